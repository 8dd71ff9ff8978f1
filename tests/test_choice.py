"""Regularized choices: against 80-digit roots, brute force over simplices, their laws and limits, derivatives."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import oracle_choice as oracle
import pytest
from choice_cases import argmax, largest, not_compiled

import renyi_core as renyi

# jax:x32 runs that of jax, compiled anew
BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
N = 6


def norm(values):
    return mpmath.sqrt(mpmath.fsum(mpmath.mpf(x) ** 2 for x in values))


def error(got, want, eps):
    """Return the norm-wise error in units in the last place."""
    got, want = np.asarray(got, dtype=float).ravel(), list(want)
    scale = norm(want)
    return float(norm(float(g) - w for g, w in zip(got, want, strict=True)) / (scale or 1)) / eps


def everything(scores, alpha, temperature, identity, alphas):
    """Return p, the value and every derivative, of scores of shape (N, ..., N); those of p along the first axis."""
    p, jacobian = renyi.value_and_grad(argmax)(scores, alpha, temperature, cotangent=identity)
    value, again = renyi.value_and_grad(largest)(scores, alpha, temperature)
    return {
        "p": p,
        "value": value,
        "jacobian": jacobian,
        "p again": again,
        "p alone": argmax(scores, alpha, temperature),
        "value alone": largest(scores, alpha, temperature),
        "p_temperature": renyi.grad(argmax, "temperature")(scores, alpha, temperature, cotangent=identity),
        "p_alpha": renyi.grad(argmax, "alpha")(scores, alphas, temperature, cotangent=identity),
        "temperature": renyi.grad(largest, "temperature")(scores, alpha, temperature),
        "alpha": renyi.grad(largest, "alpha")(scores, alpha, temperature),
    }


def check(got, names, dtype, alpha, failures):
    """Compare one order's results, of shape (N, len(names), ...), with the oracle's."""
    eps = float(np.finfo(dtype).eps)
    for k, name in enumerate(names):
        scores, temperature = oracle.rows(dtype)[name]
        exact = oracle.exact(scores, alpha, temperature)
        unit = max(abs(exact.value), mpmath.mpf(float(temperature)))
        errors = {"value": float(abs(float(got["value"][0, k]) - exact.value) / unit) / eps}
        for what, want in (("p", exact.p), ("temperature", [exact.temperature]), ("alpha", [exact.alpha])):
            if what in got:
                errors[what] = error(got[what][0, k], want, eps)
        # row i of the product with the identity is the derivative of p_i by the scores: a symmetric matrix
        errors["jacobian"] = error(got["jacobian"][:, k], itertools.chain(*exact.jacobian), eps)
        for what in ("p_temperature", "p_alpha"):
            if what in got:
                errors[what] = error(got[what][:, k], getattr(exact, what), eps)
        failures += [(e, what, name, alpha) for what, e in errors.items() if not e <= 64]


def tiled(backend, dtype):
    rows = oracle.rows(dtype)
    scores, temperatures = map(np.stack, zip(*rows.values(), strict=True))
    shape = (N, len(rows))
    tiles = backend.asarray(np.broadcast_to(scores, (*shape, N)), dtype)
    identity = backend.asarray(np.broadcast_to(np.eye(N)[:, None], (*shape, N)), dtype)
    return list(rows), tiles, backend.asarray(np.broadcast_to(temperatures, shape), dtype), identity


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype):
    if backend.library == "jax":
        pytest.skip("all orders in one array there")
    names, scores, temperature, identity = tiled(backend, dtype)
    failures = []
    if backend.library == "strict":
        orders = (1 + 1e-12,) if dtype == "float64" else (2.0,)
    elif backend.few or dtype == "float32":
        orders = (1e-20, 1 + 1e-12, 2.0, 20.0, math.inf)
    else:
        orders = oracle.ORDERS
    for alpha in orders:
        alphas = backend.asarray(np.full((N, len(names)), alpha))
        got = {k: backend.numpy(x) for k, x in everything(scores, alpha, temperature, identity, alphas).items()}
        np.testing.assert_array_equal(got["p"], got["p alone"])
        np.testing.assert_array_equal(got["p"], got["p again"])
        np.testing.assert_array_equal(got["value"], got["value alone"])
        check(got, names, dtype, alpha, failures)
    assert not failures, sorted(failures, key=lambda f: -f[0])[:8]


def test_orders_in_an_array(backend):
    names, scores, temperature, identity = tiled(backend, "float64")
    some_orders = oracle.ORDERS[:: 3 if backend.few else 1]
    orders = backend.asarray(np.asarray(some_orders)[:, None, None])

    def some(x, alpha, t, cotangent):
        p, value = argmax(x, alpha, t), largest(x, alpha, t)
        cotangent = backend.xp.broadcast_to(cotangent, p.shape)
        x = backend.xp.broadcast_to(x, p.shape)
        return p, value, renyi.grad(argmax)(x, alpha, t, cotangent=cotangent), renyi.grad(largest, "alpha")(x, alpha, t)

    got = backend.compiled(some)(scores[None, ...], orders, temperature, identity)
    parts = dict(zip(("p", "value", "jacobian", "alpha"), map(backend.numpy, got), strict=True))
    failures = []
    for k, alpha in enumerate(some_orders):
        check({name: part[k] for name, part in parts.items()}, names, "float64", alpha, failures)
    assert not failures, sorted(failures, key=lambda f: -f[0])[:8]


def test_masks(backend):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4, 6))
    mask = rng.random((4, 6)) > 0.4
    mask[:, 0] = True
    x, where = backend.asarray(values), backend.asarray(mask)
    cotangent = backend.asarray(rng.normal(size=(4, 6)))
    absent = backend.asarray(np.where(mask, values, -np.inf))
    for alpha in (0.0, 0.5, 1.0, math.inf, 2.0)[4 if backend.compiles else 0 :]:

        def both(scores, cotangent, where=None, alpha=alpha):
            return renyi.value_and_grad(argmax)(scores, alpha, where=where, cotangent=cotangent)

        both = backend.compiled(both)
        p, product = map(backend.numpy, both(x, cotangent, where))
        assert (p[~mask] == 0).all()
        if not backend.compiles:
            np.testing.assert_array_equal(p, backend.numpy(both(absent, cotangent)[0]))
        assert np.isfinite(product).all()
        assert (product[~mask] == 0).all()
        for k in range(0 if backend.compiles else 4):
            kept = backend.asarray(values[k, mask[k]])
            np.testing.assert_allclose(p[k, mask[k]], backend.numpy(argmax(kept, alpha)), rtol=0, atol=1e-15)
            got = float(backend.numpy(largest(x, alpha, where=where))[k])
            assert got == pytest.approx(float(backend.numpy(largest(kept, alpha))), rel=1e-14)


def test_rows_that_make_no_sense_are_nan_alone(backend):
    values = np.zeros((9, 3)) + np.asarray([0.0, 1.0, 0.5])
    values[1, 0], values[3, 1], values[5], values[7] = np.nan, np.inf, -np.inf, [np.nan, np.inf, 0]
    bad = np.arange(9) % 2 == 1
    x = backend.asarray(values)
    cotangent = backend.asarray(np.ones((9, 3)) * np.arange(3))
    for alpha in (0.0, 0.5, 1.0, math.inf, 2.0)[4 if backend.compiles else 0 :]:

        def parts(x, cotangent, alpha=alpha):
            p, product = renyi.value_and_grad(argmax)(x, alpha, cotangent=cotangent)
            return p, product, *renyi.value_and_grad(largest, "temperature")(x, alpha), renyi.grad(largest)(x, alpha)

        for part in backend.compiled(parts)(x, cotangent):
            got = backend.numpy(part).reshape(9, -1)
            assert np.isnan(got[bad]).all()
            assert np.isfinite(got[~bad]).all()
    if backend.compiles:
        return
    some = backend.asarray(np.zeros((6, 3)) + np.asarray([0.0, 1.0, 0.5]))
    temperatures = backend.asarray(np.asarray([1.0, 0.0, -1.0, math.inf, math.nan, 2.0]))
    orders = backend.asarray(np.asarray([2.0, -1.0, math.nan, 1.0, -math.inf, math.inf]))
    got = backend.numpy(largest(some, 2.0, temperatures))
    np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, True, False])
    got = backend.numpy(largest(some, orders))
    np.testing.assert_array_equal(np.isnan(got), [False, True, True, False, True, False])


def test_extremes_of_range(backend):
    """No overflow, no warning; the tails for α near 0 are α T/γ, of gaps and reciprocals that are held in range."""
    if backend.compiles:
        pytest.skip("half a minute of compilations of the formulas that the grid compiles too")
    info = np.finfo(backend.dtypes[-1])
    huge = backend.asarray(np.asarray([info.max, -info.max, 0.0, -np.inf]))
    tiny = backend.asarray(np.asarray([1e-30, 0.0, -1e-30, 1e-31]))
    for alpha in (0.0, 1e-310, 1e-9, 0.5, 1.0, 2.0, 1e12, 1e200, math.inf)[:: 2 if backend.few else 1]:
        for temperature in (1e-320, 1e-30, 1.0, 1e30, 1e308)[:: 2 if backend.few else 1]:
            p = backend.numpy(argmax(huge, alpha, temperature))
            assert p[3] == 0
            assert p.sum() == pytest.approx(1, abs=1e-14)
            if temperature <= 1:
                np.testing.assert_allclose(p, [1, 0, 0, 0], atol=1e-300)
            p = backend.numpy(argmax(tiny, alpha, temperature))
            assert p.sum() == pytest.approx(1, abs=1e-14)
            assert p.argmax() == 0
            assert np.isfinite(backend.numpy(largest(tiny, alpha, temperature)))
    orders = np.asarray([info.tiny / 64, info.tiny, 1e-9])
    for scores in (huge, tiny):
        together = backend.numpy(argmax(scores[None, ...], backend.asarray(orders)))
        alone = [backend.numpy(argmax(scores, float(alpha))) for alpha in orders]
        # exponentials of −700
        np.testing.assert_allclose(together, alone, rtol=2000 * info.eps)


@pytest.mark.parametrize(("alpha", "gap"), [(0.5, 6.1311), (1.5, 2.6236), (2.0, 1.9355)])
def test_beyond_the_series_of_the_derivative_by_alpha(backend, alpha, gap):
    """(α − 1)(log p + H) is 2 at the second outcome, where a series for up to 1 loses hundreds of units."""
    not_compiled(backend)
    scores = np.asarray([0.0, -gap])
    exact = oracle.exact(scores, alpha, 1.0)
    x, orders, first = (backend.asarray(np.asarray(values)) for values in (scores, alpha, [1.0, 0.0]))
    got = backend.numpy(renyi.grad(largest, "alpha")(x, alpha))
    assert got == pytest.approx(float(exact.alpha), rel=1e-14, abs=0)
    got = backend.numpy(renyi.grad(argmax, "alpha")(x, orders, cotangent=first))
    assert got == pytest.approx(float(exact.p_alpha[0]), rel=1e-14, abs=0)


def test_automatic_differentiation(backend):
    """By torch's and JAX's own means, through the search: what the analytic derivatives say."""
    if backend.library not in {"torch", "jax"}:
        pytest.skip("a library without automatic differentiation")
    rows = oracle.rows("float64")
    names = ("normal", "sparse", "two groups", "ties", "masked")
    scores = np.stack([rows[name][0] for name in names])
    temperatures = np.stack([rows[name][1] for name in names])
    weights = np.random.default_rng(3).normal(size=scores.shape)
    orders = np.asarray([0.3, 1.0, 2.0, 1 + 1e-12, 1.5])

    def loss(x, alpha, t):
        return (argmax(x, alpha, t) * backend.asarray(weights)).sum() + largest(x, alpha, t).sum()

    cases = [orders] if backend.compiles else [orders, orders[::-1].copy(), 0.5, 1, 2.0, 4.0, math.inf]
    for order in cases:
        args = scores, order, temperatures
        alphas = order if isinstance(order, np.ndarray) else np.full(5, float(order))
        wanted = []
        for wrt in (0, "alpha", "temperature"):
            along = renyi.grad(argmax, wrt)(scores, alphas, temperatures, cotangent=weights)
            wanted.append(along + renyi.grad(largest, wrt)(scores, alphas, temperatures))
        if backend.library == "torch":
            x = backend.asarray(scores).requires_grad_()
            argmax(x, math.inf).sum().backward()
            assert (x.grad == 0).all()
            args = [backend.asarray(x).requires_grad_() if isinstance(x, np.ndarray) else x for x in args]
            loss(*args).backward()
            found = [x.grad.numpy() if isinstance(order, np.ndarray) or k != 1 else None for k, x in enumerate(args)]
        else:
            import jax

            found = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*map(backend.asarray, args))
        for got, want in zip(found, wanted, strict=True):
            if got is not None:
                np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11 * np.max(np.abs(want)))


def test_shapes_and_cotangents(backend):
    not_compiled(backend)
    rng = np.random.default_rng(6)
    values = rng.normal(size=(3, 4, 5))
    x = backend.asarray(values)
    whole = backend.numpy(argmax(x, 2.0, 0.5))
    by_axis = backend.numpy(argmax(x, 2.0, 0.5, axis=1))
    moved = backend.asarray(np.moveaxis(values, 1, -1))
    np.testing.assert_allclose(np.moveaxis(by_axis, 1, -1), backend.numpy(argmax(moved, 2.0, 0.5)), atol=1e-15)
    joined = backend.asarray(np.moveaxis(values, 1, 0).reshape(4, 15))
    both = backend.numpy(argmax(x, math.inf, 0.5, axis=(0, 2)))
    want = backend.numpy(argmax(joined, math.inf, 0.5)).reshape(4, 3, 5)
    np.testing.assert_allclose(np.moveaxis(both, 1, 0), want, atol=1e-15)
    assert tuple(largest(x, math.inf, axis=None).shape) == ()
    kept = largest(x, 2.0, 0.5, axis=1, keepdims=True)
    assert tuple(kept.shape) == (3, 1, 5)
    # temperatures and orders for rows
    temperatures = backend.asarray(np.linspace(0.3, 1.0, 12).reshape(3, 4))
    each = backend.numpy(argmax(x, 2.0, temperatures))
    one = backend.numpy(argmax(x[1, 2, :], 2.0, float(np.linspace(0.3, 1.0, 12)[6])))
    np.testing.assert_allclose(each[1, 2], one, atol=1e-15)
    several = backend.asarray(np.asarray([0.5, 0.25])[:, None, None])
    x = x[None, ...]
    wide = argmax(x, 2.0, several)
    assert tuple(wide.shape) == (2, 3, 4, 5)
    np.testing.assert_array_equal(backend.numpy(wide)[0], whole)
    assert tuple(largest(x, 2.0, several).shape) == (2, 3, 4)
    # products have the shape of the argument
    weights = rng.normal(size=(3, 4))
    cotangent = backend.asarray(weights)
    p, product = renyi.value_and_grad(largest)(x, 2.0, 0.5, cotangent=cotangent)[1], None
    np.testing.assert_allclose(backend.numpy(p)[0], whole * weights[..., None], atol=1e-14)
    slope = backend.numpy(renyi.grad(largest, "alpha")(x, 2.0, 0.5))
    total = backend.numpy(renyi.grad(largest, "alpha")(x, 2.0, 0.5, cotangent=cotangent))
    assert total.shape == ()
    assert total == pytest.approx(np.sum(slope * weights), rel=1e-12)
    columns = backend.asarray(np.full((1, 4), 0.5))
    product = backend.numpy(renyi.grad(largest, "temperature")(x, 2.0, columns, cotangent=1.0))
    entropies = backend.numpy(renyi.grad(largest, "temperature")(x, 2.0, 0.5))
    np.testing.assert_allclose(product, entropies[0].sum(0, keepdims=True), rtol=1e-12)
    along = rng.normal(size=(2, 3, 4, 5))
    product = renyi.grad(argmax)(x, 2.0, several, cotangent=backend.asarray(along))
    parts = [
        backend.numpy(renyi.grad(argmax)(x, 2.0, t, cotangent=backend.asarray(w)))
        for t, w in zip((0.5, 0.25), along, strict=True)
    ]
    np.testing.assert_allclose(backend.numpy(product), sum(parts), atol=1e-13)
    product = renyi.grad(argmax, "temperature")(x, 2.0, several, cotangent=backend.asarray(along))
    assert tuple(product.shape) == (2, 1, 1)
    assert tuple(renyi.grad(argmax, "alpha")(x, 2.0, several, cotangent=backend.asarray(along)).shape) == ()


def test_derivatives_at_the_ends(backend):
    """α = 0 and ∞, where p does not change with the scores, and the right derivative by α at 0 of p."""
    if backend.compiles:
        pytest.skip("compilations of the formulas that the grid compiles too")
    x = backend.asarray(np.asarray([[1.0, 0.5, -2.0], [1.0, 1.0, -np.inf]]))
    cotangent = backend.asarray(np.asarray([[0.0, 2.0, -1.0], [3.0, 1.0, 5.0]]))
    for alpha in (0.0, math.inf):
        for wrt in (0, "temperature"):
            assert (backend.numpy(renyi.grad(argmax, wrt)(x, alpha, 0.5, cotangent=cotangent)) == 0).all()
    orders = backend.asarray(np.zeros(2))
    # p is α T/(n γ) below the top
    got = backend.numpy(renyi.grad(argmax, "alpha")(x, orders, 0.5, cotangent=cotangent))
    np.testing.assert_allclose(got, [0.5 / 3 * (2 / 0.5 - 1 / 3), 0], rtol=1e-14)
    got = backend.numpy(renyi.grad(largest, "alpha")(x, orders, 0.5))
    np.testing.assert_array_equal(got, [-math.inf, 0])
    np.testing.assert_array_equal(backend.numpy(renyi.grad(largest, "alpha")(x, math.inf, 0.5)), 0)
    got = backend.numpy(renyi.grad(largest, "temperature")(x, 0.0, 0.5))
    np.testing.assert_allclose(got, np.log([3, 2]), rtol=1e-15)


def test_half_precision_is_summed_in_float32(backend):
    not_compiled(backend)
    if backend.library == "strict":
        pytest.skip("no float16 here")
    x = backend.asarray(np.random.default_rng(2).normal(size=(3, 5)), "float16")
    single = backend.xp.astype(x, backend.xp.float32)
    p, product = renyi.value_and_grad(argmax)(x, 1.7, 0.5, cotangent=x)
    assert p.dtype == product.dtype == largest(x, 1.7, 0.5).dtype == x.dtype
    want, wanted = renyi.value_and_grad(argmax)(single, 1.7, 0.5, cotangent=single)
    np.testing.assert_array_equal(backend.numpy(p), backend.numpy(want).astype(np.float16))
    np.testing.assert_allclose(backend.numpy(product), backend.numpy(wanted), rtol=1e-3, atol=1e-6)
    temperature = backend.asarray(np.asarray([0.1, 0.5, 2.0]), "float16")
    value, slope = renyi.value_and_grad(largest, "temperature")(x, 1.7, temperature)
    wide = backend.xp.astype(temperature, backend.xp.float32)
    want, wanted = renyi.value_and_grad(largest, "temperature")(single, 1.7, wide)
    assert value.dtype == slope.dtype == x.dtype
    np.testing.assert_array_equal(backend.numpy(value), backend.numpy(want).astype(np.float16))
    np.testing.assert_allclose(backend.numpy(slope), backend.numpy(wanted), rtol=1e-3)


CALLS = [
    argmax,
    largest,
    renyi.value_and_grad(largest),
    renyi.grad(largest, "alpha"),
    renyi.grad(largest, "temperature"),
]


@pytest.mark.parametrize("call", CALLS, ids=["argmax", "max", "gradient", "alpha", "temperature"])
def test_bad_input(backend, call):
    x = backend.asarray(np.ones((3, 4)))
    for scores in (backend.asarray(np.ones((3, 4), dtype=np.int64)), [[1.0, 2.0]], 1.0, None):
        with pytest.raises(TypeError, match="`scores`"):
            call(scores, 2.0)
    for alpha in (-1.0, math.nan, backend.asarray(np.ones(4))):
        with pytest.raises(ValueError, match="`alpha`"):
            call(x, alpha)
    for alpha in (2j, True, "2", None):
        with pytest.raises(TypeError, match="`alpha`"):
            call(x, alpha)
    for temperature in (0, -1.0, math.nan, math.inf, backend.asarray(np.ones(4)), backend.asarray(np.ones((3, 2)))):
        with pytest.raises(ValueError, match="`temperature`"):
            call(x, 2.0, temperature)
    for temperature in (1j, True, "1", None, [1.0], backend.asarray(np.ones(3), "float32")):
        with pytest.raises(TypeError, match="`temperature`"):
            call(x, 2.0, temperature)
    with pytest.raises(TypeError, match="`temperature`"):
        call(x, 2.0, backend.asarray(np.ones(3, dtype=np.int64)))
    for axis in (2, (0, 0), ()):
        with pytest.raises(ValueError, match="`axis`"):
            call(x, 2.0, axis=axis)
    for shape in ((3, 0), ()):
        with pytest.raises(ValueError, match="`axis`"):
            call(backend.asarray(np.ones(shape)), 2.0)
    with pytest.raises(TypeError, match="`where`"):
        call(x, 2.0, where=x)
    with pytest.raises(ValueError, match="`where`"):
        call(x, 2.0, where=backend.asarray(np.ones((2, 4), dtype=bool)))


def test_bad_cotangents(backend):
    x = backend.asarray(np.ones((3, 4)))
    for wrt in (0, "alpha", "temperature"):
        with pytest.raises(ValueError, match="`cotangent` is needed"):
            renyi.grad(argmax, wrt)(x, 2.0)
        for shape in ((3, 5), (2, 3, 4), (3,)):
            with pytest.raises(ValueError, match="`cotangent`"):
                renyi.grad(argmax, wrt)(x, 2.0, cotangent=backend.asarray(np.ones(shape)))
        for cotangent in (1.0, [1.0], "1", backend.asarray(np.ones((3, 4), dtype=np.int64))):
            with pytest.raises(TypeError, match="`cotangent`"):
                renyi.grad(argmax, wrt)(x, 2.0, cotangent=cotangent)
        with pytest.raises(ValueError, match="`cotangent`"):
            renyi.grad(largest, wrt)(x, 2.0, cotangent=backend.asarray(np.ones(4)))
    with pytest.raises(ValueError, match="`temperature`"):
        largest(x, 2.0, backend.asarray(np.ones((3, 2))), keepdims=True)
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(argmax, 1)
    with pytest.raises(TypeError, match="keepdims"):
        argmax(x, 2.0, keepdims=True)


def test_batched_derivatives_of_torch(backend):
    """The whole Jacobian from one call of torch's own."""
    if backend.library != "torch":
        pytest.skip("a test of torch")
    import torch

    scores = backend.asarray(np.random.default_rng(0).normal(size=4)).requires_grad_()
    for alpha in (0.7, 2.0):
        p = renyi.regularized_argmax(scores, alpha)
        (jacobian,) = torch.autograd.grad(p, scores, torch.eye(4, dtype=p.dtype), is_grads_batched=True)
        rows = [
            renyi.grad(renyi.regularized_argmax)(scores.detach(), alpha, cotangent=row) for row in torch.eye(4).double()
        ]
        torch.testing.assert_close(jacobian, torch.stack(rows), rtol=1e-12, atol=1e-14)
