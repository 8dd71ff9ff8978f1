"""The Jensen–Rényi divergence: against its definition in 80 digits, its laws, closed forms, derivatives, bad input."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import hypothesis
import numpy as np
import oracle_jensen as oracle
import pytest
from hypothesis import strategies as st

import renyi_core as renyi

# jax:x32 runs the code of jax, compiled anew for minutes
BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
SOME_ORDERS = (0.0, 1e-20, 1 - 1e-12, 1.0, 1.7, 20.0, math.inf)
FEW_ORDERS = (0.3, 1.7)


def condition(probs):
    """The weights carry the rounding of logarithms."""
    logs = np.log(probs[probs > 0])
    return 4 * float(np.max(logs) - np.min(logs))


def size_of_logs(probs, weights):
    """The norm of w P log(P/M), which the derivative with respect to log P is measured next to."""
    p = probs / probs.sum(1, keepdims=True)
    w = (weights / weights.sum())[:, None]
    live, mean = p > 0, (w * p).sum(0)
    logs = np.log(np.where(live, p, 1) / np.where(mean > 0, mean, 1))
    return float(np.linalg.norm(w * p * np.where(live & (mean > 0), logs, 0)))


def error(got, want, floor, eps):
    want = np.asarray([float(v) for v in np.ravel(want)]).reshape(np.shape(got))
    size = max(float(np.linalg.norm(want)), floor)
    return float(np.linalg.norm(np.asarray(got, dtype=np.float64) - want)) / (size if size > 1e-45 else 1) / eps


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype):
    if dtype not in backend.dtypes or (backend.compiles and dtype == "float32"):
        pytest.skip("no such dtype, or once is enough where all is compiled")
    eps = float(np.finfo(dtype).eps)
    known = oracle.sets(dtype)
    probs, weights = (np.stack([case[k] for case in known.values()]) for k in (0, 1))
    x, w = backend.asarray(probs, dtype), backend.asarray(weights, dtype)
    orders = FEW_ORDERS if backend.compiles else SOME_ORDERS if backend.few else oracle.ORDERS
    failures, checked = [], 0
    for alpha in orders:

        def everything(x, w, a=alpha):
            value, along = renyi.value_and_grad(renyi.jensen_divergence)(x, a, weights=w)
            along_w, slope = (renyi.grad(renyi.jensen_divergence, wrt)(x, a, weights=w) for wrt in ("weights", "alpha"))
            return value, along, along_w, slope, renyi.jensen_divergence(x, a, weights=w)

        value, along, along_w, slope, alone = map(backend.numpy, backend.compiled(everything)(x, w))
        np.testing.assert_allclose(alone, value, rtol=4 * eps, atol=eps**2)
        for k, name in enumerate(known):
            exact = oracle.exact(probs[k], weights[k], alpha)
            # what is nearly certain is next to its own norm
            own = alpha == 0 or (name == "sure" and alpha <= 1)
            floor = 0 if own else size_of_logs(probs[k].astype(float), weights[k].astype(float))
            held = weights[k] == 0
            wanted = np.where(held, 0, np.asarray([float(v) for v in exact.along_weights]))
            errors = {
                "value": error(value[k], exact.value, exact.terms if alpha > 1 else 0, eps),
                "entries": error(along[k].astype(float) * probs[k], exact.along_entries, floor, eps),
                "weights": error(along_w[k], wanted, exact.terms / float(np.sum(weights[k])), eps),
                "alpha": error(slope[k], exact.alpha_gradient, exact.terms, eps),
            }
            bound = 64 + condition(probs[k].astype(float))
            failures += [(e, bound, what, name, alpha) for what, e in errors.items() if not e <= bound]
            checked += 1
    assert not failures, max(failures)
    assert checked == len(known) * len(orders)


def test_orders_in_an_array(backend):
    if backend.compiles:
        pytest.skip("JAX compiles one in test_automatic_differentiation")
    names = ("independent", "nearer", "zeros", "disjoint", "sure", "a weight of 0")
    probs, weights = (np.stack([oracle.sets()[name][k] for name in names]) for k in (0, 1))
    x, w = backend.asarray(probs), backend.asarray(weights)
    orders = backend.asarray(np.asarray(SOME_ORDERS)[:, None])
    for wrt in (0, "alpha", "weights"):
        value, gradient = renyi.value_and_grad(renyi.jensen_divergence, wrt)(x[None, ...], orders, weights=w[None, ...])
        for k, alpha in enumerate(SOME_ORDERS):
            want = map(backend.numpy, renyi.value_and_grad(renyi.jensen_divergence, wrt)(x, alpha, weights=w))
            for part, wanted in zip((value, gradient), want, strict=True):
                size = np.max(np.abs(wanted), axis=tuple(range(1, wanted.ndim)), keepdims=True)
                size = np.where(size > 0, size, 1)
                np.testing.assert_allclose(backend.numpy(part)[k] / size, wanted / size, rtol=0, atol=1e-13)


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=12, max_size=12)


@hypothesis.given(WEIGHTS, st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0.05, 5))
def test_laws(backend, rows, weights, alpha):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    probs, w = np.asarray(rows).reshape(3, 4), np.asarray(weights)
    eps = float(np.finfo(backend.dtypes[-1]).eps)

    def jensen(probs, order, w):
        return float(backend.numpy(renyi.jensen_divergence(backend.asarray(probs), order, weights=backend.asarray(w))))

    def entropy(p, order):
        return float(backend.numpy(renyi.entropy(backend.asarray(p), order)))

    j = jensen(probs, alpha, w)
    if alpha <= 1:
        assert j >= 0
    # at α = 1 between 0 and the entropy of the weights, and the mean divergence from the mean
    shannon = jensen(probs, 1, w)
    assert 0 <= shannon <= entropy(w, 1)
    p, share = probs / probs.sum(1, keepdims=True), w / w.sum()
    mean = backend.asarray(np.broadcast_to(share @ p, p.shape))
    kl = backend.numpy(renyi.divergence(backend.asarray(p), mean, 1))
    assert shannon == pytest.approx(float(kl @ share), rel=256 * eps, abs=8 * eps**1.5)
    # the definition, as far as it goes
    apart = entropy(share @ p, alpha) - share @ [entropy(row, alpha) for row in p]
    assert j == pytest.approx(apart, abs=64 * eps)
    # the order of outcomes and of distributions is nothing
    for same in (jensen(probs[:, ::-1], alpha, w), jensen(probs[::-1], alpha, w[::-1]), jensen(p * 0.5, alpha, 3 * w)):
        assert same == pytest.approx(j, abs=256 * eps * shannon + eps**1.5)
    # equal distributions, however weighted, and one split in two
    assert abs(jensen(probs[[0, 0, 0]], alpha, w)) <= eps**2
    split = jensen(probs[[0, 0, 1, 2]], alpha, np.asarray([w[0] / 2, w[0] / 2, w[1], w[2]]))
    assert split == pytest.approx(j, abs=64 * eps * shannon + eps**1.5)
    assert jensen(probs[[0, 1, 1, 2]], alpha, np.asarray([w[0], w[1], 0, w[2]])) == pytest.approx(j, abs=64 * eps)


def test_it_may_be_negative(backend):
    """The Rényi entropy of order 20 of (1 − s, s) is convex at 0.05."""
    probs = backend.asarray(np.asarray([[0.93, 0.07], [0.97, 0.03]]))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    got = float(backend.numpy(backend.compiled(lambda x: renyi.jensen_divergence(x, 20.0))(probs)))
    want = float(oracle.exact(backend.numpy(probs), np.ones(2), 20.0).value)
    assert want < 0
    assert got == pytest.approx(want, rel=64 * eps)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0, 20.0, math.inf])
def test_closed_forms(backend, alpha):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    eps = float(np.finfo(backend.dtypes[-1]).eps)

    def jensen(probs, **options):
        return float(backend.numpy(renyi.jensen_divergence(backend.asarray(np.asarray(probs)), alpha, **options)))

    # one distribution, and k that share no outcome and are one another's permutations
    assert jensen([[0.5, 0.3, 0.2]]) == 0
    assert jensen(np.kron(np.eye(3), [[0.5, 0.375, 0.125]])) == pytest.approx(math.log(3), rel=16 * eps)
    # certain ones: the entropy of the weights
    w = np.asarray([0.5, 0.25, 0.25])
    h = float(backend.numpy(renyi.entropy(backend.asarray(w), alpha)))
    assert jensen(np.eye(3), weights=backend.asarray(w)) == pytest.approx(h, rel=16 * eps)
    if alpha == 0:
        assert jensen([[1, 1, 0, 0.0], [0, 1, 1, 1]]) == pytest.approx(math.log(4) - math.log(6) / 2, rel=8 * eps)
        # of the same outcomes, whatever their weights
        assert jensen([[1e-20, 0.3, 0.7, 0], [0.5, 1e-9, 0.5, 0]]) == 0
    if alpha == 2:
        # sums of squares of fractions are fractions
        rows = ([1, 2, 5, 8], [4, 7, 4, 1])
        p = [[Fraction(v, 16) for v in row] for row in rows]
        mean = [(a + b) / 2 for a, b in zip(*p, strict=True)]
        with localcontext() as context:
            context.prec = 25
            logs = [
                (Decimal(s.numerator) / Decimal(s.denominator)).ln()
                for s in (sum(v * v for v in q) for q in (*p, mean))
            ]
            want = float((logs[0] + logs[1]) / 2 - logs[2])
        assert jensen(np.asarray(rows) / 16) == pytest.approx(want, rel=32 * eps)


def test_automatic_differentiation(backend):
    """By torch's and JAX's own means: what the analytic derivatives say, at entries and weights of 0 too."""
    names = ("independent", "near", "zeros", "disjoint", "an outcome of none", "a weight of 0", "of sums far apart")
    probs, weights = (np.stack([oracle.sets()[name][k] for name in names]) for k in (0, 1))
    probs[6] = probs[6] / probs[6].sum(1, keepdims=True) * np.asarray([[0.1], [1.0], [7.0]])
    x, w = backend.asarray(probs), backend.asarray(weights)

    def f(x, w, a):
        return renyi.jensen_divergence(x, a, weights=w)

    if backend.library == "torch":
        for alpha in (0.0, 0.3, 1 - 1e-12, 1.0, 1.1, 2.0, 20.0, math.inf):
            own, share = (z.clone().requires_grad_() for z in (x, w))
            f(own, share, alpha).sum().backward()
            _agree(own.grad, renyi.grad(renyi.jensen_divergence)(x, alpha, weights=w))
            _agree(share.grad, renyi.grad(renyi.jensen_divergence, "weights")(x, alpha, weights=w))
        orders = backend.asarray(np.asarray([0.3, 1.0, 1.1, 2.0, 5.0])[:, None]).requires_grad_()
        f(x[None], w, orders).sum().backward()
        want = renyi.grad(renyi.jensen_divergence, "alpha")(x[None], orders.detach(), weights=w)
        _agree(orders.grad, want.sum(1, keepdim=True))
    elif backend.library == "jax":
        import jax

        orders = np.asarray([0.3, 1.0, 1.1, 2.0, 20.0, 1.0, 0.5])
        got = jax.jit(jax.grad(lambda *args: f(*args).sum(), (0, 1, 2)))(x, w, backend.asarray(orders))
        for part, wrt in zip(got, (0, "weights", "alpha"), strict=True):
            _agree(part, renyi.grad(renyi.jensen_divergence, wrt)(probs, orders, weights=weights))


def _agree(got, want):
    got, want = (np.asarray(part) for part in (got, want))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11 * max(1e-3, np.max(np.abs(want))))


def test_shapes_weights_bases_and_cotangents(backend):
    if backend.library == "jax":
        pytest.skip("the shapes of the other libraries, compiled one by one")
    f, rng = renyi.jensen_divergence, np.random.default_rng(1)
    probs, weights = rng.uniform(0.1, 1, size=(2, 4, 3, 5)), rng.uniform(0.1, 1, size=(4, 3))
    x, w = backend.asarray(probs), backend.asarray(weights)
    tolerance = {"rtol": 1e-11, "atol": 1e-13}
    want = backend.numpy(f(x, 1.7, weights=w))
    assert want.shape == (2, 4)
    rows = f(x[1, 2, ...], 1.7, weights=w[2, ...])
    assert float(backend.numpy(rows)) == pytest.approx(want[1, 2], rel=1e-11)
    bits = f(x, 1.7, weights=w, base=2, keepdims=True)
    assert tuple(bits.shape) == (2, 4, 1, 1)
    np.testing.assert_allclose(backend.numpy(bits)[..., 0, 0] * math.log(2), want, **tolerance)
    cotangent = rng.normal(size=(2, 4))
    for wrt, shape in ((0, (2, 4, 3, 5)), ("weights", (2, 4, 3)), ("alpha", (2, 4))):
        each = backend.numpy(renyi.grad(f, wrt)(x, 1.7, weights=w))
        assert each.shape == shape
        product = renyi.grad(f, wrt)(x, 1.7, weights=w, base=2, cotangent=backend.asarray(cotangent))
        wanted = each * cotangent.reshape((2, 4) + (1,) * (each.ndim - 2)) / math.log(2)
        summed = {0: (), "weights": 0, "alpha": (0, 1)}[wrt]
        np.testing.assert_allclose(backend.numpy(product), wanted.sum(summed), **tolerance)
    # without weights all are the same, and have a derivative too
    uniform = f(x, 1.7, weights=backend.asarray(np.ones(3)))
    np.testing.assert_allclose(backend.numpy(f(x, 1.7)), backend.numpy(uniform), **tolerance)
    along = renyi.grad(f, "weights")(x, 1.7, cotangent=1.0)
    assert tuple(along.shape) == (3,)
    each = backend.numpy(renyi.grad(f, "weights")(x, 1.7, weights=backend.asarray(np.full(3, 1.0))))
    np.testing.assert_allclose(backend.numpy(along), each.sum((0, 1)), **tolerance)


def test_sets_that_are_none_are_nan_alone(backend):
    f = renyi.jensen_divergence
    probs, weights = np.full((9, 2, 3), 0.25), np.full((9, 2), 0.5)
    probs[:, 0, 0] = 0.5
    probs[1, 1, 0], probs[2, 0], probs[3, 0, 1], probs[5, 1, 1] = -0.25, 0, np.nan, np.inf
    weights[6, 0], weights[7], weights[4, 0] = -0.25, np.nan, 0
    bad = np.isin(np.arange(9), [1, 2, 3, 5, 6, 7])
    x, w = backend.asarray(probs), backend.asarray(weights)
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf)[4 if backend.compiles else 0 :]:
        for wrt in (0,) if backend.compiles else (0, "weights", "alpha"):
            call = backend.compiled(lambda x, w, a=alpha, v=wrt: renyi.value_and_grad(f, v)(x, a, weights=w))
            got, gradient = map(backend.numpy, call(x, w))
            np.testing.assert_array_equal(np.isnan(got), bad)
            gradient = gradient.reshape(9, -1)
            np.testing.assert_array_equal(np.isnan(gradient).all(1), bad)
            assert np.isfinite(gradient[~bad]).all()
    if not backend.compiles:
        orders = backend.asarray(np.asarray([-1.0, 0.0, math.nan, math.inf]))
        for wrt in (0, "weights", "alpha"):
            got, gradient = renyi.value_and_grad(f, wrt)(x[:1, ...], orders)
            np.testing.assert_array_equal(np.isnan(backend.numpy(got)), [True, False, True, False])
            gradient = np.isnan(backend.numpy(gradient).reshape(4, -1)).all(1)
            np.testing.assert_array_equal(gradient, [True, False, True, False])


def test_half_precision_is_summed_in_float32(backend):
    if backend.library in {"strict", "jax"}:
        pytest.skip("no float16 here, or the same casts as on the other libraries")
    probs = backend.asarray(np.random.default_rng(2).uniform(size=(3, 4, 5)), "float16")
    got, gradient = renyi.value_and_grad(renyi.jensen_divergence)(probs, 1.7)
    want = renyi.jensen_divergence(backend.xp.astype(probs, backend.xp.float32), 1.7)
    assert got.dtype == gradient.dtype == probs.dtype
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want).astype(np.float16))


def test_bad_input(backend):
    x, w = backend.asarray(np.full((4, 2, 3), 1 / 3)), backend.asarray(np.ones(2))
    f = renyi.jensen_divergence
    for call in (f, renyi.value_and_grad(f), renyi.value_and_grad(f, "alpha"), renyi.value_and_grad(f, "weights")):
        for probs in (backend.asarray(np.ones((2, 3), dtype=np.int64)), [[0.5, 0.5]], 0.5, None):
            with pytest.raises(TypeError, match="`probs`"):
                call(probs, 2.0)
        for shape in ((3,), (), (0, 3), (3, 0)):
            with pytest.raises(ValueError, match="`probs`"):
                call(backend.asarray(np.ones(shape)), 2.0)
        for weights in ([0.5, 0.5], 1.0, backend.asarray(np.ones(2, dtype=np.int64))):
            with pytest.raises(TypeError, match="`weights`"):
                call(x, 2.0, weights=weights)
        for shape in ((3,), (1,), (), (3, 2), (2, 4, 2)):
            with pytest.raises(ValueError, match="`weights`"):
                call(x, 2.0, weights=backend.asarray(np.ones(shape)))
        for alpha in (-1.0, math.nan, backend.asarray(np.ones(3))):
            with pytest.raises(ValueError, match="`alpha`"):
                call(x, alpha, weights=w)
        for alpha in (2j, True, "2", None):
            with pytest.raises(TypeError, match="`alpha`"):
                call(x, alpha)
        with pytest.raises(ValueError, match="`base`"):
            call(x, 2.0, base=1)
    with pytest.raises(TypeError, match="dtype of `probs`"):
        f(x, 2.0, weights=backend.asarray(np.ones(2), "float32"))
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(f)(x, 2.0, cotangent=backend.asarray(np.ones(3)))
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(f, 1)


def test_outcomes_hardly_there_at_infinity(backend):
    """Against the closed form, log max p_k − log max M, where one of the distributions hardly has M's commonest."""
    rows = np.asarray([[2e-7, 9e-11, 1.0], [4.5e-4, 2e-12, 1.0], [1.0, 2e-5, 7e-27]])
    sizes = rows.sum(axis=-1, keepdims=True)
    p = rows / sizes
    mean = p.mean(axis=0)
    slope = (p == p.max(axis=-1, keepdims=True)) / p - (mean == mean.max()) / mean
    want = (slope - (p * slope).sum(axis=-1, keepdims=True)) / sizes / 3
    got = backend.numpy(renyi.grad(renyi.jensen_divergence)(backend.asarray(rows), math.inf))
    few = want[2]
    np.testing.assert_allclose(got[2], few, rtol=1e-4 if backend.dtypes[-1] == "float32" else 1e-9)
