"""The Tsallis and α-divergence and the cross-entropy: definitions in 80 digits, laws, derivatives, bad input."""

from __future__ import annotations

import fractions
import math
from decimal import Decimal, localcontext

import hypothesis
import numpy as np
import oracle_measures as oracle
import oracle_pairs
import pytest
from hypothesis import strategies as st
from test_divergence import condition, through

import renyi_core as renyi

# jax:x32 runs the code of jax, compiled anew for minutes
BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
FUNCTIONS = {
    "tsallis": (renyi.tsallis_divergence, renyi.tsallis_divergence_from_logits),
    "alpha": (renyi.alpha_divergence, renyi.alpha_divergence_from_logits),
    "cross": (renyi.cross_entropy, renyi.cross_entropy_from_logits),
}
SOME_ORDERS = (0.0, 1e-17, 0.3, 1 - 1e-12, 1.0, 2.0, 20.0, math.inf)
FEW_ORDERS = {"tsallis": (0.3,), "alpha": (0.3,), "cross": (1.7,)}
every = pytest.mark.parametrize("measure", FUNCTIONS)
doors = pytest.mark.parametrize("source", ["probs", "logits"])


def function(measure, source):
    return FUNCTIONS[measure][source == "logits"]


def pairs(dtype):
    sure = np.asarray([0, *range(-70, -59)], dtype=dtype)
    surer = np.asarray([0, *range(-59, -70, -1)], dtype=dtype)
    known = oracle_pairs.pairs(dtype, 12)
    return {**known, "sure": (sure, sure), "sure together": (sure, surer)}


@every
@doors
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype, source, measure):
    if dtype not in backend.dtypes or (backend.compiles and (dtype == "float32" or measure == "tsallis")):
        pytest.skip("no such dtype, or once is enough where all is compiled")
    if backend.library == "jax" and (source, measure) == ("probs", "alpha"):
        pytest.skip("compiled in test_automatic_differentiation")
    f, eps = function(measure, source), float(np.finfo(dtype).eps)
    known = pairs(dtype)
    rows = [np.stack([through(pair[k], source) for pair in known.values()]) for k in (0, 1)]
    x, y = (backend.asarray(row, dtype) for row in rows)
    orders = FEW_ORDERS[measure] if backend.compiles else SOME_ORDERS if backend.few else oracle.ORDERS
    failures, checked = [], 0
    for alpha in orders:

        def everything(x, y, a=alpha):
            value, first = renyi.value_and_grad(f)(x, y, a)
            return value, first, renyi.grad(f, 1)(x, y, a), renyi.grad(f, "alpha")(x, y, a), f(x, y, a)

        *got, alone = map(backend.numpy, backend.compiled(everything)(x, y))
        np.testing.assert_allclose(alone, got[0], rtol=4 * eps, atol=eps**2)
        for k, (name, (one, other)) in enumerate(known.items()):
            exact = oracle.exact(measure, rows[0][k], rows[1][k], alpha, source)
            if exact.value > np.finfo(dtype).max:
                assert got[0][k] == math.inf, (name, alpha)
                continue
            bound = (64 + condition(one, other, source)) * exact.factor
            errors = oracle.misses([part[k] for part in got], exact, eps, dtype)
            failures += [(e, bound, i, name, alpha) for i, e in enumerate(errors) if not e <= bound]
            checked += 1
    assert not failures, max(failures)
    assert checked > len(orders)


@every
@doors
def test_orders_in_an_array(backend, source, measure):
    if backend.compiles and (source, measure) != ("logits", "alpha"):
        pytest.skip("a thousand operations to compile")
    f = function(measure, source)
    names = ("independent", "nearer", "p is zero", "q is zero", "disjoint", "peaked together")
    known = [oracle_pairs.pairs("float64", 12)[name] for name in names]
    x, y = (backend.asarray(np.stack([through(pair[k], source) for pair in known])) for k in (0, 1))
    orders = backend.asarray(np.asarray(SOME_ORDERS)[:, None])

    def everything(x, y, a):
        value, first = renyi.value_and_grad(f)(x, y, a)
        return value, first, renyi.grad(f, 1)(x, y, a), renyi.grad(f, "alpha")(x, y, a)

    got = [backend.numpy(part) for part in backend.compiled(everything)(x[None, ...], y[None, ...], orders)]
    for k, alpha in enumerate(SOME_ORDERS):
        want = everything(backend.numpy(x), backend.numpy(y), alpha)
        # at q's entries of next to no weight a derivative of 1e30 follows exp(20 r)
        for part, wanted in zip(got, want, strict=True):
            np.testing.assert_allclose(part[k], wanted, rtol=1e-11, atol=1e-14)


@every
@doors
def test_automatic_differentiation(backend, source, measure):
    """By torch's and JAX's own means: what the analytic derivatives say, at entries and rows of weight 0 too."""
    f = function(measure, source)
    names = ["independent", "near", "a shared zero", "p is zero", "q is zero", "disjoint", "peaked together"]
    rows = [[through(oracle_pairs.pairs("float64", 12)[name][k], source) for name in names] for k in (0, 1)]
    x, y = (backend.asarray(np.stack(row)) for row in rows)
    if backend.library == "torch":
        for alpha in (0.0, 0.3, 1 - 1e-12, 1.0, 1.1, 2.0, 20.0, math.inf):
            a, b = (z.clone().requires_grad_() for z in (x, y))
            value = f(a, b, alpha)
            if not value.isfinite().any():
                assert measure != "cross"
                assert alpha == math.inf
                continue
            value[value.isfinite()].sum().backward()
            for wrt, own in ((0, a), (1, b)):
                _agree(own.grad, renyi.grad(f, wrt)(x, y, alpha), value.isfinite())
        finite = [name not in {"q is zero", "disjoint"} for name in names]
        orders = backend.asarray(np.asarray([0.3, 1.0, 1.1, 2.0, 5.0])[:, None]).requires_grad_()
        x, y = x[finite][None], y[finite][None]
        f(x, y, orders).sum().backward()
        want = renyi.grad(f, "alpha")(x, y, orders.detach())
        _agree(orders.grad, want.sum(1, keepdim=True), np.full(5, True))
    elif backend.library == "jax" and measure != "tsallis" and (source == "probs") == (measure == "cross"):
        import jax

        alpha = 0.3
        finite = np.isfinite(np.asarray(jax.jit(lambda x, y: f(x, y, alpha))(x, y)))
        x, y = x[finite], y[finite]
        got = jax.jit(jax.grad(lambda x, y: f(x, y, alpha).sum(), (0, 1)))(x, y)
        for wrt in (0, 1):
            want = renyi.grad(f, wrt)(backend.numpy(x), backend.numpy(y), alpha)
            _agree(got[wrt], want, finite[finite])


@every
@doors
def test_automatic_differentiation_is_as_exact_as_the_rule(backend, source, measure):
    """Of close pairs, and of T next to its bound: a sum of derivatives of either sign would leave no digits."""
    names = ["near", "nearer", "nearest", "peaked apart"]
    rows = [[through(oracle_pairs.pairs("float64", 12)[name][k], source) for name in names] for k in (0, 1)]
    x, y = (backend.asarray(np.stack(row)) for row in rows)
    f = function(measure, source)
    if backend.library == "jax" and (measure, source) == ("cross", "logits"):
        import jax

        alpha = backend.asarray(np.asarray(1.0))
        got = [jax.jit(jax.grad(lambda *args: f(*args).sum(), (0, 1, 2)))(x, y, alpha)]
        orders = (1.0,)
    elif backend.library == "torch":
        orders = (0.5, 1.0, 1 + 1e-12, 4.0)
        got = [derivatives(f, x, y, alpha) for alpha in orders]
    else:
        return
    eps = 2.0**-52
    for parts, alpha in zip(got, orders, strict=True):
        for wrt, part in zip((0, 1, "alpha"), parts, strict=True):
            want = backend.numpy(renyi.grad(f, wrt)(x, y, alpha))
            found, want = (float(part), want.sum(keepdims=True)) if wrt == "alpha" else (backend.numpy(part), want)
            assert (np.linalg.norm(found - want, axis=-1) <= 64 * eps * np.linalg.norm(want, axis=-1)).all(), alpha


def derivatives(f, x, y, alpha):
    """Those of the sum by torch's own means, with respect to both and to an order for all of them."""
    import torch

    args = [z.clone().requires_grad_() for z in (x, y, torch.tensor(alpha, dtype=torch.float64))]
    return torch.autograd.grad(f(*args).sum(), args)


def _agree(got, want, finite):
    got, want, finite = (np.asarray(part) for part in (got, want, finite))
    assert finite.any()
    got, want = got[finite], want[finite]
    assert np.isfinite(got).all()
    norm = np.linalg.norm(want, axis=-1, keepdims=True) + 1e-6
    np.testing.assert_allclose(got / norm, want / norm, rtol=0, atol=1e-10)


def value(backend, f, p, q, alpha, **options):
    rows = (backend.asarray(np.asarray(row, dtype=np.float64)) for row in (p, q))
    return float(backend.numpy(f(*rows, alpha, **options)))


@pytest.mark.parametrize("alpha", [2, 3, 5])
def test_rational_distributions(backend, alpha):
    """Power sums of fractions are fractions: nothing is rounded but the last step."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    p, q = (np.asarray(row) / 16 for row in ([1, 2, 5, 8], [4, 7, 4, 1]))
    one, other = ([fractions.Fraction(v) for v in row] for row in (p, q))
    total = sum(a**alpha * b ** (1 - alpha) for a, b in zip(one, other, strict=True))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    tsallis = float((total - 1) / (alpha - 1))
    assert value(backend, renyi.tsallis_divergence, p, q, alpha) == pytest.approx(tsallis, rel=16 * eps)
    assert value(backend, renyi.alpha_divergence, p, q, alpha) == pytest.approx(tsallis / alpha, rel=16 * eps)
    mixed = sum(a * b ** (alpha - 1) for a, b in zip(one, other, strict=True))
    with localcontext() as context:
        context.prec = 25
        cross = (Decimal(mixed.numerator) / Decimal(mixed.denominator)).ln() / (1 - alpha)
    assert value(backend, renyi.cross_entropy, p, q, alpha) == pytest.approx(float(cross), rel=8 * eps)


LOGITS = st.lists(st.floats(-8, 8), min_size=4, max_size=4)


@hypothesis.given(LOGITS, LOGITS, st.floats(0.05, 4))
def test_laws(backend, one, other, alpha):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    close = {"rel": 1e4 * eps, "abs": 64 * eps**2}

    def of(f, x, y, order):
        return value(backend, f, x, y, order)

    def tsallis(x, y, order):
        return of(renyi.tsallis_divergence_from_logits, x, y, order)

    def amari(x, y, order):
        return of(renyi.alpha_divergence_from_logits, x, y, order)

    def cross(x, y, order):
        return of(renyi.cross_entropy_from_logits, x, y, order)

    d, t = of(renyi.divergence_from_logits, one, other, alpha), alpha - 1
    mine = tsallis(one, other, alpha)
    # a function of D that grows with it, Kullback–Leibler's at α = 1 all the same
    assert mine >= 0
    assert (math.log1p(t * mine) / t if abs(t) > 1e-3 and t * mine < 1e3 else d) == pytest.approx(
        d, rel=1e-9, abs=1e-12
    )
    assert tsallis(one, other, 1) == of(renyi.divergence_from_logits, one, other, 1)
    assert tsallis(one, other, alpha + 0.5) >= mine * (1 - 1e3 * eps)
    assert amari(one, other, alpha) == pytest.approx(mine / alpha, **close)
    assert amari(one, other, 0) == tsallis(other, one, 1) == amari(other, one, 1)
    if alpha < 1:
        assert amari(one, other, alpha) == pytest.approx(amari(other, one, 1 - alpha), **close)
        assert (1 - alpha) * mine == pytest.approx(alpha * tsallis(other, one, 1 - alpha), **close)
        assert mine <= 1 / (1 - alpha)
    # the cross-entropy with oneself is the entropy, with the uniform distribution log n, and at least H_∞(Q)
    h = cross(one, other, alpha)
    assert cross(one, one, alpha) == pytest.approx(of_one(backend, one, alpha), **close)
    assert cross(one, [0.0] * 4, alpha) == pytest.approx(math.log(4), rel=4 * eps)
    assert cross(one, other, alpha + 0.5) <= h * (1 + 64 * eps)
    assert of_one(backend, other, math.inf) * (1 - 64 * eps) <= h
    shannon = of_one(backend, one, 1) + of(renyi.divergence_from_logits, one, other, 1)
    assert cross(one, other, 1) == pytest.approx(shannon, rel=256 * eps)


def of_one(backend, logits, alpha):
    return float(backend.numpy(renyi.entropy_from_logits(backend.asarray(np.asarray(logits)), alpha)))


def test_cross_entropy_is_not_least_at_the_distribution_itself(backend):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    p, sure = [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]
    got = value(backend, renyi.cross_entropy, p, sure, 2)
    assert got == pytest.approx(math.log(2), rel=1e-6)
    assert got < value(backend, renyi.cross_entropy, p, p, 2)
    assert value(backend, renyi.cross_entropy, p, sure, 1) == math.inf


def test_no_outcome_in_common(backend):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    p, q = [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]
    for alpha in (0.0, 0.25, 1.0, 2.0, math.inf):
        tsallis = 1 / (1 - alpha) if alpha < 1 else math.inf
        assert value(backend, renyi.tsallis_divergence, p, q, alpha) == pytest.approx(tsallis, rel=1e-6)
        amari = tsallis / alpha if 0 < alpha < math.inf else math.inf
        assert value(backend, renyi.alpha_divergence, p, q, alpha) == pytest.approx(amari, rel=1e-6)
        assert value(backend, renyi.cross_entropy, p, q, alpha) == math.inf
    x, y = (backend.asarray(np.asarray(row)) for row in (p, q))
    for wrt in (0, 1):
        assert (backend.numpy(renyi.grad(renyi.tsallis_divergence, wrt)(x, y, 0.25)) == 0).all()
    slope = float(backend.numpy(renyi.grad(renyi.tsallis_divergence, "alpha")(x, y, 0.5)))
    assert slope == pytest.approx(4, rel=1e-6)
    # the only one in common is left out
    x, y = (backend.asarray(np.asarray([*row, 1.0])) for row in (p, q))
    where = backend.asarray(np.asarray([True, True, True, False]))
    got = float(backend.numpy(renyi.tsallis_divergence(x, y, 0.25, where=where)))
    assert got == pytest.approx(4 / 3, rel=1e-6)
    assert (backend.numpy(renyi.grad(renyi.tsallis_divergence)(x, y, 0.25, where=where)) == 0).all()
    # nor have those that are no distributions
    for bad in ([0.5, math.inf, 0.0], [0.5, -0.5, 0.0], [0.5, math.nan, 0.0], [0.0, 0.0, 0.0]):
        for pair in ((bad, q), (q, bad)):
            assert math.isnan(value(backend, renyi.tsallis_divergence, *pair, 0.25))


@every
def test_shapes_masks_bases_and_cotangents(backend, measure):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    f = function(measure, "probs")
    rng = np.random.default_rng(1)
    p, q = np.exp(rng.normal(size=(2, 3, 4, 5)))
    x, y = backend.asarray(p), backend.asarray(q)
    want = backend.numpy(f(x, y, 1.7))
    kwargs = {"rtol": 1e-12, "atol": 1e-12}
    assert want.shape == (3, 4)
    moved = f(backend.xp.permute_dims(x, (2, 0, 1)), backend.xp.permute_dims(y, (2, 0, 1)), 1.7, axis=0, keepdims=True)
    assert tuple(moved.shape) == (1, 3, 4)
    np.testing.assert_allclose(backend.numpy(moved)[0], want, **kwargs)
    options = {"base": 2} if measure == "cross" else {}
    unit = math.log(2) if options else 1.0
    mask = np.asarray([True, False, True, True, False])
    masked = renyi.value_and_grad(f)(x, y, 1.7, where=backend.asarray(mask), **options)
    kept = renyi.value_and_grad(f)(backend.asarray(p[..., mask]), backend.asarray(q[..., mask]), 1.7)
    np.testing.assert_allclose(backend.numpy(masked[0]) * unit, backend.numpy(kept[0]), **kwargs)
    np.testing.assert_allclose(backend.numpy(masked[1])[..., mask] * unit, backend.numpy(kept[1]), **kwargs)
    assert (backend.numpy(masked[1])[..., ~mask] == 0).all()
    # one reference for all rows: the product with a cotangent is summed over them
    one, weights = backend.asarray(q[0, 0]), rng.normal(size=(3, 4))
    cotangent = backend.asarray(weights)
    _, gradient = renyi.value_and_grad(f, 1)(x, one, 1.7, cotangent=cotangent, **options)
    each = backend.numpy(renyi.grad(f, 1)(x, one, 1.7)) / unit
    assert each.shape == (3, 4, 5)
    np.testing.assert_allclose(backend.numpy(gradient), (each * weights[..., None]).sum((0, 1)), **kwargs)
    slope = backend.numpy(renyi.grad(f, "alpha")(x, y, 1.7)) / unit
    total = backend.numpy(renyi.grad(f, "alpha")(x, y, 1.7, cotangent=cotangent, **options))
    np.testing.assert_allclose(total, np.sum(slope * weights), **kwargs)


@every
def test_rows_that_are_no_distributions_are_nan_alone(backend, measure):
    if backend.compiles and measure != "cross":
        pytest.skip("what the others do there, compiled anew")
    f = function(measure, "probs")
    p = np.full((6, 4), 0.25)
    p[1, 2], p[2], p[3, 0], p[4, 1] = -0.25, 0, np.nan, np.inf
    x, y = backend.asarray(p), backend.asarray(np.full((6, 4), 0.25))
    bad = np.asarray([False, True, True, True, True, False])
    for pair in ((x, y), (y, x))[1 if backend.library == "jax" else 0 :]:
        for alpha in (0.0, 0.5, 1.0, 2.0, math.inf)[4 if backend.compiles else 0 :]:
            for wrt in (0, 1):
                call = backend.compiled(lambda x, y, v=wrt, a=alpha: renyi.value_and_grad(f, v)(x, y, a))
                got, gradient = map(backend.numpy, call(*pair))
                np.testing.assert_array_equal(np.isnan(got), bad)
                np.testing.assert_array_equal(np.isnan(gradient).all(-1), bad)
                assert np.isfinite(gradient[~bad]).all()
            slope = backend.numpy(renyi.grad(f, "alpha")(*pair, alpha))
            np.testing.assert_array_equal(np.isnan(slope), bad)
    if not backend.compiles:
        # what is masked has no derivative, in any row
        mask = backend.asarray(np.asarray([True, True, True, False]))
        gradient = backend.numpy(renyi.grad(f)(x, y, 2.0, where=mask))
        np.testing.assert_array_equal(np.isnan(gradient), bad[:, None] & np.asarray([True, True, True, False]))
    if not backend.compiles:
        orders = backend.asarray(np.asarray([-1.0, 0.0, math.nan, math.inf]))
        got = backend.numpy(f(y[:4, :], y[:4, :], orders))
        np.testing.assert_array_equal(np.isnan(got), [True, False, True, False])


@every
def test_half_precision_is_summed_in_float32(backend, measure):
    if backend.library in {"strict", "jax"}:
        pytest.skip("no float16 here, or the same casts as on the other libraries")
    f = function(measure, "logits")
    x, y = (backend.asarray(np.random.default_rng(k).normal(size=(2, 50)), "float16") for k in (0, 1))
    wide = [backend.xp.astype(row, backend.xp.float32) for row in (x, y)]
    got, gradient = renyi.value_and_grad(f, 1)(x, y, 1.7)
    want, wanted = renyi.value_and_grad(f, 1)(*wide, 1.7)
    assert got.dtype == gradient.dtype == x.dtype
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want).astype(np.float16))
    np.testing.assert_allclose(backend.numpy(gradient), backend.numpy(wanted).astype(np.float16), rtol=1e-3)


@pytest.mark.parametrize("measure", ["tsallis", "alpha"])
def test_values_next_to_overflow(backend, measure):
    """They are finite where exp(t D) = 1 + t T is not, and gradients of the α-divergence."""
    dtype = backend.dtypes[-1]
    info = np.finfo(dtype)
    # exp(t D) is five times the largest number
    p, q = np.asarray([1.0, 0.0]), np.asarray([1.0, (5 * float(info.max / 64)) ** (1 / 11) * 64 ** (1 / 11) - 1])
    both = backend.compiled(lambda x, y: renyi.value_and_grad(function(measure, "probs"), 1)(x, y, 12.0))
    got, gradient = map(backend.numpy, both(*(backend.asarray(row[None].astype(dtype), dtype) for row in (p, q))))
    exact = oracle.exact(measure, p.astype(dtype), q.astype(dtype), 12.0, "probs")
    assert exact.value * (11 if measure == "tsallis" else 132) > float(info.max)
    # with respect to the outcome that P lacks, which is next to nothing
    wanted = float(exact.gradients[1][1])
    assert abs(wanted) < info.max
    for one, want in ((got[0], exact.value), (gradient[0, 1], wanted))[: 2 if measure == "alpha" else 1]:
        assert abs(float(one) / float(want) - 1) < 4096 * float(info.eps)


@pytest.mark.parametrize("measure", ["tsallis", "alpha"])
def test_slopes_next_to_overflow(backend, measure):
    """∂/∂α is finite where t D exp(t D), of which it is a part 1/t², is not."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    p, q = np.asarray([0.0455, 0.25]), np.asarray([0.5, 0.5])
    alpha, dtype = (1345.0, "float64") if "float64" in backend.dtypes else (160.0, "float32")
    f = function(measure, "probs")
    value, slope = renyi.value_and_grad(f, "alpha")(backend.asarray(p[None]), backend.asarray(q[None]), alpha)
    want = oracle.exact(measure, p, q, alpha, "probs")
    for got, exact in ((value, want.value), (slope, want.alpha_gradient)):
        assert abs(float(backend.numpy(got)[0]) / float(exact) - 1) < 4096 * float(np.finfo(dtype).eps)
    assert float(want.alpha_gradient) > float(np.finfo(dtype).max) / alpha**3


def test_what_overflows_is_infinite(backend):
    if backend.library in {"jax", "dask"}:
        pytest.skip("a matter of warnings, and Dask's own casts give them")
    for dtype in backend.dtypes:
        x, y = (backend.asarray(np.asarray([row]), dtype) for row in ([0.0, 300.0], [300.0, 0.0]))
        got, gradient = map(backend.numpy, renyi.value_and_grad(renyi.tsallis_divergence_from_logits)(x, y, 4.0))
        assert got[0] == math.inf
        assert np.isnan(gradient).all()
    if backend.library != "strict":
        x, y = (backend.asarray(np.asarray([row]), "float16") for row in ([0.0, 12.0], [12.0, 0.0]))
        got, gradient = map(backend.numpy, renyi.value_and_grad(renyi.tsallis_divergence_from_logits, 1)(x, y, 2.0))
        assert got[0] == math.inf
        assert np.isinf(gradient).all()


@every
def test_bad_input(backend, measure):
    f = function(measure, "probs")
    x = backend.asarray(np.full((2, 3), 1 / 3))
    cases = [
        (TypeError, "`q`", (x, [0.5, 0.5], 2.0), {}),
        (TypeError, "`p`", (0.5, x, 2.0), {}),
        (TypeError, "`q`.*dtype", (x, backend.asarray(np.ones((2, 3), dtype=np.int64)), 2.0), {}),
        (ValueError, "`q`.*broadcast", (x, backend.asarray(np.ones((2, 4))), 2.0), {}),
        (ValueError, "`q`.*lacks", (x, backend.asarray(np.ones((2, 1))), 2.0), {}),
        (ValueError, "`alpha`", (x, x, -1.0), {}),
        (TypeError, "`alpha`", (x, x, 2j), {}),
        (ValueError, "`axis`", (x, x, 2.0), {"axis": 5}),
        (TypeError, "`where`", (x, x, 2.0), {"where": x}),
        (*((ValueError, "`base`") if measure == "cross" else (TypeError, "base")), (x, x, 2.0), {"base": 1}),
    ]
    for error, message, args, kwargs in cases:
        for call in (f, renyi.value_and_grad(f), renyi.value_and_grad(f, "alpha")):
            with pytest.raises(error, match=message):
                call(*args, **kwargs)
    with pytest.raises(TypeError, match="`p_logits`"):
        function(measure, "logits")(0.5, x, 2.0)
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(f)(x, x, 2.0, cotangent=backend.asarray(np.ones(3)))
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(f, 2)
