"""Gaussians on an interval: against mpmath's erf in 120 digits, derivatives, limits, laws, bad input."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_autodiff import derivative

import renyi_core as renyi

# what the adapters change is not in this function
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
ORDERS = (1e-6, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.75, 2.0, 20.0, 1e6)
CASES = (
    (0.0, 1.0, -1.0, 1.0),
    (0.0, 1.0, -math.inf, math.inf),
    (0.0, 1.0, -1e-3, 1e-3),
    (0.0, 1.0, 10.0, math.inf),
    (3.0, 0.5, -1.0, 1.0),
    (0.0, 2.0, -30.0, 0.5),
    (0.5, 1e3, -1.0, 1.0),
    (0.0, 1.0, -math.inf, 2.0),
    (1.0, 1e-3, -1.0, 1.0),
    (0.0, 1.0, -40.0, -39.0),
    (0.0, 1.0, 1e4, math.inf),
    (-1.946, 3.847, -4.033, 0.801),
    (2.352, 1.639, -0.259, 0.525),
)
WRT = (0, 1, 2, 3, "alpha")
f = renyi.truncated_gaussian_entropy


def log_integral(a, low, high):
    """log of the integral of exp(−a z²/2)."""
    low, high = (end * mpmath.sqrt(a / 2) for end in (low, high))
    if high < 0:
        low, high = -high, -low
    size = mpmath.erfc(low) - mpmath.erfc(high) if low > 0 else mpmath.erf(high) - mpmath.erf(low)
    return mpmath.log(size * mpmath.sqrt(mpmath.pi / (2 * a)))


def by_definition(mean, scale, low, high, a):
    ends = (low - mean) / scale, (high - mean) / scale
    return mpmath.log(scale) + (a * log_integral(mpmath.mpf(1), *ends) - log_integral(a, *ends)) / (a - 1)


@functools.cache
def exact(case, alpha):
    """The value and the five derivatives by differences; the order 1 is 1 + 1e-40."""
    with mpmath.workdps(140):
        point = [*map(mpmath.mpf, case), mpmath.mpf(alpha) if alpha != 1 else 1 + mpmath.mpf(10) ** -40]
        found = [by_definition(*point)]
        for i, value in enumerate(point):
            if mpmath.isinf(value):
                found.append(mpmath.mpf(0))
                continue
            step = (abs(value) or 1) * mpmath.mpf(10) ** (-60 if i < 4 else -50)
            low, high = ([v + sign * step * (i == k) for k, v in enumerate(point)] for sign in (-1, 1))
            found.append((by_definition(*high) - by_definition(*low)) / (2 * step))
        return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype):
    if dtype == "float32" and backend.slow:
        pytest.skip("the same code")
    eps = float(np.finfo(dtype).eps)
    given = [backend.asarray(np.asarray(part), dtype) for part in zip(*CASES, strict=True)]
    cases = np.asarray(CASES).astype(dtype).tolist()
    orders = np.asarray([0.3, 1.0, 2.0] if backend.slow else ORDERS, dtype)
    both = backend.compiled(renyi.value_and_grad(f, WRT))
    value, found = both(*[x[None, ...] for x in given], backend.asarray(orders[:, None], dtype))
    for k, alpha in enumerate(orders.tolist()):
        parts = [backend.numpy(part)[k] for part in (value, *found)]
        alone = parts
        if not backend.slow:
            own, along = renyi.value_and_grad(f, WRT)(*given, alpha)
            alone = [backend.numpy(part) for part in (own, *along)]
        for i, case in enumerate(cases):
            want, *gradient, slope = exact(tuple(case), alpha)
            for got, *partial, along in (parts, alone):
                assert abs(got[i] - want) <= 64 * eps * max(1, abs(want)), (case, alpha)
                error = mpmath.norm([float(g[i]) - w for g, w in zip(partial, gradient, strict=True)])
                assert error <= 64 * eps * mpmath.norm(gradient), (case, alpha)
                assert abs(along[i] - slope) <= 64 * eps * abs(slope), (case, alpha)


def test_limits(backend):
    """Orders 0 and ∞, and what is no density, alone."""
    if backend.compiles:
        pytest.skip("compilations of the same code")
    ends = [backend.asarray(np.asarray(v)) for v in ([-1.0, -math.inf, 2.0], [2.0, 3.0, math.inf])]
    mean, scale = backend.asarray(np.asarray([1.0, 0.0, 0.0])), backend.asarray(np.asarray([0.5, 2.0, 1.0]))
    for orders in ((0.0, math.inf), [backend.asarray(np.full(3, v)) for v in (0.0, math.inf)]):
        none, most = (backend.numpy(f(mean, scale, *ends, order)) for order in orders)
        np.testing.assert_allclose(none, [math.log(3), math.inf, math.inf], rtol=1e-15)
        tails = [math.erf(math.sqrt(2)) / 2 + math.erf(math.sqrt(8)) / 2, math.erfc(-1.5 / math.sqrt(2)) / 2]
        want = np.asarray([0.5, 2.0]) * math.sqrt(2 * math.pi) * tails
        np.testing.assert_allclose(most[:2], np.log(want), rtol=1e-13)
        assert most[2] == pytest.approx(2 + math.log(math.sqrt(math.pi / 2) * math.erfc(math.sqrt(2))), rel=1e-13)
        assert (backend.numpy(renyi.grad(f, "alpha")(mean, scale, *ends, orders[1])) == 0).all()
    bad = np.asarray([[0, 1, -1, 1], [math.nan, 1, -1, 1], [0, 0, -1, 1], [0, math.inf, -1, 1], [0, 1, 1, 1]], float)
    given = [backend.asarray(part) for part in (*bad.T,)]
    for got in renyi.value_and_grad(f, WRT)(*given, 2.0)[1]:
        np.testing.assert_array_equal(np.isnan(backend.numpy(got)), [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(np.isnan(backend.numpy(f(*given, 2.0))), [0, 1, 1, 1, 1])


def test_the_whole_line_is_the_gaussian(backend):
    if backend.compiles:
        pytest.skip("compilations of the same code")
    scale = backend.asarray(np.asarray([0.1, 1.0, 7.0]))
    for alpha in (0.5, 1.0, 2.0, math.inf):
        got = backend.numpy(f(0 * scale + 3, scale, -math.inf, math.inf, alpha, base=2))
        want = backend.numpy(renyi.gaussian_entropy(scale * scale, alpha, kind="isotropic", dimension=1, base=2))
        np.testing.assert_allclose(got, want, rtol=1e-13)


def test_automatic_differentiation(backend):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    mean, scale = backend.asarray(np.asarray([0.2, -3.0, 1.0])), backend.asarray(np.asarray([0.5, 1.0, 20.0]))
    orders = backend.asarray(np.asarray([0.3, 1.0, 2.5]))
    if backend.compiles:
        import jax

        got = jax.jit(jax.grad(lambda x, a: f(x, scale, -1.0, 2.0, a).sum(), (0, 1)))(mean, orders)
    else:
        got = [derivative(backend, lambda x, a: f(x, scale, -1.0, 2.0, a), mean, orders, i) for i in (0, 1)]
        twice = derivative(backend, lambda x, a: renyi.grad(f, 1)(x, scale, -1.0, 2.0, a), mean, 1.0, 0)
        step = 1e-4
        high, low = (backend.numpy(renyi.grad(f, 1)(mean + sign * step, scale, -1.0, 2.0, 1.0)) for sign in (1, -1))
        np.testing.assert_allclose(twice, (high - low) / (2 * step), rtol=1e-5, atol=1e-8)
    ends = np.asarray(-1.0), np.asarray(2.0)
    for part, wrt in zip(got, (0, "alpha"), strict=True):
        want = renyi.grad(f, wrt)(np.asarray(mean), np.asarray(scale), *ends, np.asarray(orders))
        np.testing.assert_allclose(np.asarray(part), want, rtol=1e-12)


def test_bad_input(backend):
    x = backend.asarray(np.ones(3))
    for error, message, args, options in (
        (TypeError, "`mean`", (2.0, x, -1.0, 1.0, 2.0), {}),
        (TypeError, "`scale`", (x, 2.0, -1.0, 1.0, 2.0), {}),
        (TypeError, "`low`", (x, x, None, 1.0, 2.0), {}),
        (TypeError, "`high`", (x, x, -1.0, "1", 2.0), {}),
        (ValueError, "`high`", (x, x, -1.0, backend.asarray(np.ones(2)), 2.0), {}),
        (ValueError, "`alpha`", (x, x, -1.0, 1.0, -1.0), {}),
        (ValueError, "`base`", (x, x, -1.0, 1.0, 2.0), {"base": 0}),
    ):
        with pytest.raises(error, match=message):
            f(*args, **options)


@settings(max_examples=15, deadline=None)
@given(st.floats(-20, 20), st.floats(-5, 5), st.floats(1e-3, 50), st.floats(0, 30), st.floats(0, 30))
def test_never_increases_with_the_order(backend, mean, log_scale, width, low, high):
    """And is at most the logarithm of the interval's length."""
    if backend.library != "numpy":
        pytest.skip("the same code, and slower")
    given = np.asarray(mean), np.exp(np.asarray(log_scale)), 0.0, width
    upper, lower, least = (float(f(*given, alpha)) for alpha in (*sorted((low, high)), math.inf))
    slack = 1e-13 * max(1, abs(least))
    assert math.log(width) + slack >= upper
    assert upper + slack >= lower
    assert lower + slack >= least
