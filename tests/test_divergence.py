"""The Rényi divergence: against its definition in 80 digits, its laws, its derivatives and what it refuses."""

from __future__ import annotations

import math

import hypothesis
import mpmath
import numpy as np
import oracle_pairs as oracle
import pytest
from hypothesis import strategies as st

import renyi_core as renyi

FUNCTIONS = {"probs": renyi.divergence, "logits": renyi.divergence_from_logits}
SLOW_ORDERS = (0.0, 0.5, 1 - 1e-12, 1.0, 1.1, 2.0, 20.0, math.inf)


def through(row, source):
    if source == "logits":
        return row
    p = np.exp(row - row.max())
    # subnormal numbers are 0 to some libraries
    return np.where(p < np.finfo(row.dtype).tiny, 0, p)


def condition(x, y, source):
    """The weights carry the rounding of z − max z, or of the logarithm of p/max p."""
    depth = max(float(np.max(row.max() - row[np.isfinite(row)])) for row in (x, y))
    return 4 * depth


@pytest.mark.parametrize("source", ["logits", "probs"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype, source):
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    f, eps = FUNCTIONS[source], float(np.finfo(dtype).eps)
    known = oracle.pairs(dtype)
    x, y = (np.stack([through(pair[k], source) for pair in known.values()]) for k in (0, 1))
    orders = np.asarray(
        oracle.ORDERS if not backend.few else SLOW_ORDERS[::3] if backend.library == "dask" else SLOW_ORDERS
    )
    xs, ys = backend.asarray(x, dtype), backend.asarray(y, dtype)
    failures, checked = [], 0
    for alpha in orders.tolist():
        results = [renyi.value_and_grad(f, wrt)(xs, ys, alpha) for wrt in (0, 1, "alpha")]
        value = backend.numpy(results[0][0])
        got = [backend.numpy(gradient) for _, gradient in results]
        np.testing.assert_array_equal(value, backend.numpy(f(xs, ys, alpha)))
        for k, (name, (one, other)) in enumerate(known.items()):
            exact = oracle.exact(x[k], y[k], alpha, source)
            if exact.value == math.inf:
                assert value[k] == math.inf, (name, alpha)
                continue
            bound = 64 + condition(one, other, source)
            errors = {
                "value": oracle.error(value[k], exact.value, eps),
                "p": oracle.error(got[0][k], exact.gradients[0], eps),
                "q": oracle.error(got[1][k], exact.gradients[1], eps),
                "alpha": oracle.error(got[2][k], exact.alpha_gradient, eps),
            }
            failures += [(error, bound, what, name, alpha) for what, error in errors.items() if not error <= bound]
            checked += 1
    assert not failures, max(failures)
    assert checked > 5 * len(orders)


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_orders_in_an_array(backend, source):
    f = FUNCTIONS[source]
    names = ("independent", "nearer", "p is zero", "q is zero", "peaked together")
    known = [oracle.pairs("float64")[name] for name in names]
    x, y = (backend.asarray(np.stack([through(pair[k], source) for pair in known])) for k in (0, 1))
    orders = backend.asarray(np.asarray(SLOW_ORDERS)[:, None])
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    for wrt in (0, 1, "alpha"):
        both = renyi.value_and_grad(f, wrt)
        value, gradient = backend.compiled(both)(x[None, ...], y[None, ...], orders)
        value, gradient = backend.numpy(value), backend.numpy(gradient)
        for k, alpha in enumerate(SLOW_ORDERS):
            if eps > 1e-10 and 0 < abs(alpha - 1) < eps:
                # 1 in an array of float32
                continue
            # by NumPy's code where each number would be compiled
            numbers = [backend.numpy(part) for part in (x, y)] if backend.compiles else (x, y)
            want, want_gradient = (backend.numpy(part) for part in both(*numbers, alpha))
            tolerance = 256 * eps if eps < 1e-10 else 1e-4
            finite = np.isfinite(want)
            np.testing.assert_array_equal(np.isfinite(value[k]), finite)
            np.testing.assert_allclose(value[k][finite], want[finite], rtol=tolerance, atol=eps)
            norm = np.max(np.abs(want_gradient[finite])) + eps
            np.testing.assert_allclose(gradient[k][finite] / norm, want_gradient[finite] / norm, atol=tolerance)


LOGITS = st.lists(st.floats(-8, 8), min_size=4, max_size=4)


@hypothesis.given(LOGITS, LOGITS, st.floats(0.05, 0.95))
def test_laws(backend, one, other, alpha):
    x, y = backend.asarray(np.asarray([one])), backend.asarray(np.asarray([other]))
    eps = float(np.finfo(backend.dtypes[-1]).eps)

    # one compilation for all orders
    compiled = backend.compiled(renyi.divergence_from_logits)

    def value(first, second, order):
        order = backend.asarray(np.asarray(order)) if backend.compiles else order
        return float(backend.numpy(compiled(first, second, order))[0])

    d = value(x, y, alpha)
    assert d >= 0
    # skew symmetry, equation (9) of van Erven and Harremoës
    other_way = alpha / (1 - alpha) * value(y, x, 1 - alpha)
    assert d == pytest.approx(other_way, rel=2e3 * eps, abs=1e-30)
    # not decreasing in α, and α(1 − α)-scaled not increasing: theorems 3 and 16
    higher = value(x, y, alpha + 0.05)
    assert higher >= d * (1 - 64 * eps)
    assert (1 - alpha) / alpha * d >= (0.95 - alpha) / (alpha + 0.05) * higher * (1 - 1e3 * eps)
    # against the uniform distribution it is log n − H
    h = float(backend.numpy(renyi.entropy_from_logits(x, alpha))[0])
    assert value(x, 0 * x, alpha) == pytest.approx(math.log(4) - h, abs=64 * eps)
    # Pinsker's inequality: D >= α/2 ‖P − Q‖₁²
    p, q = (np.exp(np.asarray(row) - np.logaddexp.reduce(row)) for row in (one, other))
    assert d >= alpha / 2 * np.abs(p - q).sum() ** 2 - 64 * eps
    # data processing: two outcomes taken together
    merged = [np.log(np.asarray([[row[0] + row[1], row[2], row[3]]])) for row in (p, q)]
    assert value(*map(backend.asarray, merged), alpha) <= d + 256 * eps


STEPS = st.lists(st.integers(-64, 64), min_size=3, max_size=3)


@hypothesis.given(STEPS, STEPS, STEPS, STEPS, st.floats(0.05, 5))
def test_it_is_additive(backend, p, q, other_p, other_q, alpha):
    """Of independent variables together it is the sum; logits in steps of 1/8 are added without rounding."""
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    first, second = (backend.asarray(np.asarray(rows) / 8) for rows in ((p, other_p), (q, other_q)))
    both = [np.add.outer(*np.asarray(rows)).ravel() / 8 for rows in ((p, other_p), (q, other_q))]
    order = backend.asarray(np.asarray(alpha)) if backend.compiles else alpha
    f = backend.compiled(renyi.divergence_from_logits)
    apart = backend.numpy(f(first, second, order)).sum()
    together = float(backend.numpy(f(*map(backend.asarray, both), order)))
    assert together == pytest.approx(apart, rel=2e3 * eps, abs=16 * eps**2)


def test_it_is_zero_of_equals_alone(backend):
    """The closest neighbor in the dtype is at a distance already, of half the square of the relative step."""
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    p = np.asarray([[0.25, 0.25, 0.25, 0.25]])
    step = np.asarray([[0.25 * eps, -0.25 * eps, 0, 0]])
    for alpha in (0.5, 1.0, 2.0):
        same, near = (
            float(backend.numpy(renyi.divergence(backend.asarray(p + move), backend.asarray(p), alpha))[0])
            for move in (0 * step, step)
        )
        assert same == 0
        assert near == pytest.approx(alpha * eps**2 / 4, rel=1e-6)


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_sums_do_not_count(backend, source):
    """Rows of sums that are 460 nats apart are as exact as those of the same sum."""
    rng = np.random.default_rng(4)
    x = np.stack([1e-9 * rng.normal(size=6), rng.normal(size=6)])
    y = x + 0.2 * rng.normal(size=(2, 6))
    pairs = [(x, y + 460.0), (x - 460.0, y)] if source == "logits" else [(np.exp(x), 1e200 * np.exp(y))]
    f = FUNCTIONS[source]
    for first, second in pairs[: 1 if backend.compiles else 2]:
        for alpha in (0.5, 2.0)[: 1 if backend.slow else 2]:
            value, gradient = renyi.value_and_grad(f, 1)(backend.asarray(first), backend.asarray(second), alpha)
            for k in range(2):
                exact = oracle.exact(first[k], second[k], alpha, source)
                assert oracle.error(backend.numpy(value)[k], exact.value, 2.0**-52) <= 64
                # of a weight of 1e200 it is 1e-200
                got = [float(g) * (1e200 if source == "probs" else 1) for g in backend.numpy(gradient)[k]]
                want = [g * (10**200 if source == "probs" else 1) for g in exact.gradients[1]]
                assert oracle.error(got, want, 2.0**-52) <= 64


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_outcomes_that_q_hardly_has(backend, source):
    """What they add is of the order of α p, although p/q is beyond what an exponent is taken of, or q underflows."""
    dtype = backend.dtypes[-1]
    eps, reach = float(np.finfo(dtype).eps), (600.0 if dtype == "float64" else 78.0)
    for far in (reach, 2 * reach)[: 2 if source == "logits" else 1]:
        x = np.asarray([0.0, -37.0, -39.0, -18.0, -7.5], dtype=dtype)
        y = np.asarray([0.01, -20.0, -19.0 - far, -38.0 - far, -7.5], dtype=dtype)
        x, y = (through(row, source) for row in (x, y))
        pair = [backend.asarray(row[None], dtype) for row in (x, y)]
        for alpha in (1e-6, 0.1, 0.9, 0.995, 1 - 1e-9, 1.0, 1.01)[: 1 if backend.compiles else 7]:
            got = float(backend.numpy(FUNCTIONS[source](*pair, alpha))[0])
            exact = oracle.exact(x, y, alpha, source)
            assert oracle.error(got, exact.value, eps) <= 64 + 4 * far, alpha


def test_nearly_proportional_weights(backend):
    """They are as exact as nearly equal ones, whatever the ratio, with a weight of a row's own beside them or not."""
    rng = np.random.default_rng(5)
    p = rng.random((6, 7)) + 0.1
    q = np.asarray([3.0, 0.7, 1e-300, 1.3, 1e250, 1.0])[:, None] * p * (1 + 1e-10 * rng.normal(size=(6, 7)))
    p[3, 0], q[4, 0] = 0.0, 1e-60 * q[4, 1]
    xs, ys = backend.asarray(p), backend.asarray(q)
    for alpha in (0.5, 2.0)[: 1 if backend.slow else 2]:

        def everything(x, y, a=alpha):
            value, first = renyi.value_and_grad(renyi.divergence)(x, y, a)
            return value, first, renyi.grad(renyi.divergence, 1)(x, y, a)

        value, first, second = map(backend.numpy, backend.compiled(everything)(xs, ys))
        for k in range(len(p)):
            exact = oracle.exact(p[k], q[k], alpha, "probs")
            scale = q[k, 2] / p[k, 2]
            with mpmath.workdps(50):
                want = [None if g is None else g * mpmath.mpf(float(scale)) for g in exact.gradients[1]]
            bound = 64 + condition(np.log(p[k] + (p[k] == 0)), np.log(q[k]), "probs")
            assert oracle.error(value[k], exact.value, 2.0**-52) <= bound, (k, alpha)
            # derivatives with respect to weights of next to nothing are as large as those are small
            some = [i for i in range(7) if min(p[k, i], q[k, i] / scale) > 1e-9]
            for got, wanted in ((first[k], exact.gradients[0]), (scale * second[k], want)):
                assert oracle.error(got[some], [wanted[i] for i in some], 2.0**-52) <= bound, (k, alpha)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_that_are_hardly_there(backend, dtype):
    """The largest of Q stands where P has next to nothing, subnormal, or what Q has beside an unused outcome is."""
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    faint = {"float64": 1e-315, "float32": 1e-42}[dtype]
    pairs = [([1.0, faint], [1e-3, 1.0], -math.log(1e-3 / 1.001))]
    if not backend.compiles:
        # there subnormal weights may be 0
        pairs.append(([1.0, 0.0], [faint, 1.0], -math.log(float(np.asarray(faint, dtype)))))
    for p, q, wanted in pairs:
        x, y = (backend.asarray(np.asarray([row]), dtype) for row in (p, q))
        for alpha in (0.5, 2.0)[: 1 if backend.slow else 2]:
            got = backend.numpy(renyi.divergence(x, y, alpha))
            assert got[0] == pytest.approx(wanted, rel=1e-6), (p, q, alpha)


def test_near_order_1_hundreds_of_nats_apart(backend):
    """Where no sum of powers is in range, the division by α − 1 would leave no digit."""
    dtype = backend.dtypes[-1]
    far = 900.0 if dtype == "float64" else 95.0
    x, y = np.asarray([[0.0, -1.0, -2.0]]), np.asarray([[-far, -1.0, 0.5]])
    eps = float(np.finfo(dtype).eps)
    for alpha in (1 - 1e-12, 1 - 1e-6, 1.0, 1 + 1e-12, 1 + 1e-6):
        value = backend.numpy(renyi.divergence_from_logits(backend.asarray(x), backend.asarray(y), alpha))
        exact = oracle.exact(x[0], y[0], alpha, "logits").value
        assert oracle.error(value[0], exact, eps) <= 64, alpha


def test_shapes_axes_masks_and_bases(backend):
    if backend.compiles:
        pytest.skip("each shape is a compilation of the formulas of the grid")
    rng = np.random.default_rng(1)
    p, q = np.exp(rng.normal(size=(2, 3, 4, 5)))
    x, y = backend.asarray(p), backend.asarray(q)
    want = backend.numpy(renyi.divergence(x, y, 1.7))
    kwargs = {"rtol": 1e-12}
    assert want.shape == (3, 4)
    moved = renyi.divergence(backend.xp.permute_dims(x, (2, 0, 1)), backend.xp.permute_dims(y, (2, 0, 1)), 1.7, axis=0)
    np.testing.assert_allclose(backend.numpy(moved), want, **kwargs)
    bits = renyi.divergence(x, y, 1.7, base=2, keepdims=True)
    assert tuple(bits.shape) == (3, 4, 1)
    np.testing.assert_allclose(backend.numpy(bits)[..., 0] * math.log(2), want, **kwargs)
    mask = np.asarray([True, False, True, True, False])
    masked = renyi.value_and_grad(renyi.divergence)(x, y, 1.7, where=backend.asarray(mask))
    kept = renyi.value_and_grad(renyi.divergence)(backend.asarray(p[..., mask]), backend.asarray(q[..., mask]), 1.7)
    np.testing.assert_allclose(backend.numpy(masked[0]), backend.numpy(kept[0]), **kwargs)
    np.testing.assert_allclose(backend.numpy(masked[1])[..., mask], backend.numpy(kept[1]), **kwargs)
    assert (backend.numpy(masked[1])[..., ~mask] == 0).all()
    # one reference for all rows: the product with a cotangent is summed over them
    one = backend.asarray(q[0, 0])
    _, gradient = renyi.value_and_grad(renyi.divergence, 1)(x, one, 1.7, cotangent=0.5)
    each = backend.numpy(renyi.grad(renyi.divergence, 1)(x, one, 1.7))
    assert each.shape == (3, 4, 5)
    np.testing.assert_allclose(backend.numpy(gradient), 0.5 * each.sum((0, 1)), rtol=1e-4, atol=1e-6)


def test_rows_that_are_no_distributions_are_nan_alone(backend):
    p = np.full((5, 4), 0.25)
    p[1, 2], p[2], p[3, 0] = -0.25, 0, np.nan
    x, y = backend.asarray(p), backend.asarray(np.full((5, 4), 0.25))
    for pair in ((x, y), (y, x)):
        for alpha in (0.0, 0.5, 1.0, 2.0, math.inf):
            got = backend.numpy(renyi.divergence(*pair, alpha))
            np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, False])


def test_half_precision_is_summed_in_float32(backend):
    if backend.library == "strict":
        pytest.skip("no float16 here")
    x, y = (backend.asarray(np.random.default_rng(k).normal(size=(2, 50)), "float16") for k in (0, 1))
    wide = [backend.xp.astype(row, backend.xp.float32) for row in (x, y)]
    got, want = renyi.divergence_from_logits(x, y, 1.7), renyi.divergence_from_logits(*wide, 1.7)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want).astype(np.float16))


def test_bad_input(backend):
    x = backend.asarray(np.full((2, 3), 1 / 3))
    cases = [
        (TypeError, "`q`", (x, [0.5, 0.5], 2.0), {}),
        (TypeError, "`p`", (0.5, x, 2.0), {}),
        (TypeError, "`q`.*dtype", (x, backend.asarray(np.ones((2, 3), dtype=np.int64)), 2.0), {}),
        (ValueError, "`q`.*broadcast", (x, backend.asarray(np.ones((2, 4))), 2.0), {}),
        (ValueError, "`q`.*lacks", (x, backend.asarray(np.ones((2, 1))), 2.0), {}),
        (ValueError, "`p`.*lacks", (backend.asarray(np.ones((2, 1))), x, 2.0), {}),
        (ValueError, "`alpha`", (x, x, -1.0), {}),
        (ValueError, "`axis`", (x, x, 2.0), {"axis": 5}),
        (ValueError, "`base`", (x, x, 2.0), {"base": 1}),
        (TypeError, "`where`", (x, x, 2.0), {"where": x}),
    ]
    for error, message, args, kwargs in cases:
        with pytest.raises(error, match=message):
            renyi.divergence(*args, **kwargs)
    if "float32" in backend.dtypes and "float64" in backend.dtypes:
        with pytest.raises(TypeError, match="`q` must have the dtype of `p`"):
            renyi.divergence(x, backend.asarray(np.full((2, 3), 1 / 3), "float32"), 2.0)
