"""Beta, gamma and Dirichlet densities: against mpmath, at all orders and extremes, derivatives, laws, bad input."""

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

# what the adapters change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
FUNCTIONS = (renyi.beta_entropy, renyi.gamma_entropy, renyi.dirichlet_entropy)
every = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
ORDERS = (0.0, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 20.0, 1e8, math.inf)
FEW = (0.0, 0.5, 1.0, 1 + 1e-9, 2.0, math.inf)
A = (0.5, 1.0, 1.0, 7.9, 3.0, 1e-6, 1e-20, 1e4, 1e15, 1 + 1e-6, 1e15, 100.0, 0.7)
B = (0.5, 1.0, 3.0, 8.1, 5.0, 2.0, 1e-6, 1e4, 1.0, 2.0, 1e10, 0.3, 0.9)
ROWS = ((1.0,) * 4, (0.5,) * 4, (1e6, 1.0, 2.0, 0.2), (3.0, 8.5, 20.0, 1.1), (1e-8, 1e-3, 0.1, 0.5), (1e12,) * 4)


def inputs(f):
    """The arguments, in NumPy, and those of each density in a row."""
    given = {
        renyi.beta_entropy: (A, B),
        renyi.gamma_entropy: (A, tuple(1 / b for b in B)),
        renyi.dirichlet_entropy: (ROWS,),
    }[f]
    arrays = tuple(np.asarray(part) for part in given)
    return arrays, ROWS if len(arrays) == 1 else list(zip(*given, strict=True))


def log_beta(values):
    return sum(map(mpmath.loggamma, values)) - mpmath.loggamma(sum(values))


@functools.cache
def exact(f, density, alpha):
    """The entropy, the derivatives along the parameters and along α; None of what is infinite, or has one of two."""
    with mpmath.workdps(100):
        x, a = [mpmath.mpf(v) for v in density], mpmath.mpf(alpha)
        gamma = f is renyi.gamma_entropy
        rate, x = (x[1], x[:1]) if gamma else (mpmath.mpf(1), x)
        if alpha == math.inf:
            modes = [v - 1 for v in x]
            if min(modes) < 0:
                return -mpmath.inf, None, None
            total = sum(modes)
            log = -sum(v * mpmath.log(v) for v in modes if v)
            if gamma:
                return mpmath.loggamma(x[0]) + log + modes[0] - mpmath.log(rate), None, 0
            return log_beta(x) + log + (total * mpmath.log(total) if total else 0), None, 0
        if gamma and alpha == 0:
            return mpmath.inf, None, None
        t, b = a - 1, [a * (v - 1) + 1 for v in x]
        if min(b) <= 0:
            return -mpmath.inf, None, None
        n, total, psi = len(x), sum(x), [mpmath.digamma(v) for v in b]
        size = mpmath.loggamma(x[0]) if gamma else log_beta(x)
        # of log of the integral less α times that of α = 1, and its slope; at α = 1 their limits
        moved = mpmath.log(a) if gamma else mpmath.digamma(sum(b))
        mean = sum((v - 1) * p for v, p in zip(x, psi, strict=True))
        slope = mean - (x[0] - 1) * moved - b[0] / a if gamma else mean - (total - n) * moved
        if alpha == 1:
            along = [(v - 1) * mpmath.polygamma(1, v) for v in x]
            across = 1 if gamma else (total - n) * mpmath.polygamma(1, total)
            spread = sum((v - 1) * part for v, part in zip(x, along, strict=True))
            spread -= (x[0] - 2) if gamma else (total - n) * across
            value, gradient, curved = size - slope, [across - part for part in along], -spread / 2
        else:
            whole = mpmath.loggamma(b[0]) - b[0] * mpmath.log(a) if gamma else log_beta(b)
            log = whole - a * size
            before = 0 if gamma else mpmath.digamma(total)
            gradient = [-a / t * (p - moved - mpmath.digamma(v) + before) for p, v in zip(psi, x, strict=True)]
            value, curved = -log / t, (log - t * (slope - size)) / t**2
        return value - mpmath.log(rate), [*gradient, *([-1 / rate] if gamma else [])], curved


def check(f, density, alpha, dtype, value, gradient, slope):
    """Within 64 units of the value or 1 (n, of n concentrations), of the gradient's norm, and of the slope."""
    eps, widest = float(np.finfo(dtype).eps), float(np.finfo(dtype).max)
    density = tuple(float(v) for v in np.asarray(density, dtype))
    want, along, curved = exact(f, density, float(alpha))
    case = (density, alpha)
    if not mpmath.isfinite(want):
        assert value == float(want), case
        return
    assert abs(value - want) <= 64 * eps * max(1, abs(want), len(density) if len(density) > 2 else 0), case
    if along is not None and max(map(abs, along)) < widest / 8:
        size = mpmath.norm(along)
        assert mpmath.norm([g - w for g, w in zip(gradient, along, strict=True)]) <= 64 * eps * size + 1e-30, case
    if curved is not None and abs(curved) < widest / 8:
        assert abs(slope - curved) <= 64 * eps * abs(curved) + 1e-30, case


@every
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, f, dtype):
    """Numbers, and an array of orders."""
    if dtype == "float32" and (backend.slow or backend.compiles):
        pytest.skip("the same code")
    arrays, densities = inputs(f)
    given, wrt = [backend.asarray(x, dtype) for x in arrays], (*range(len(arrays)), "alpha")
    # a compilation each, for which those in the array stand
    for alpha in () if backend.compiles else FEW if backend.slow else ORDERS:
        value, (*gradients, slope) = renyi.value_and_grad(f, wrt)(*given, alpha)
        check_all(f, densities, [alpha], dtype, [backend.numpy(part)[None] for part in (value, *gradients, slope)])
    orders = np.asarray([alpha for alpha in ORDERS if dtype == "float64" or abs(alpha - 1) != 1e-12])
    orders = orders.astype(dtype)
    both = backend.compiled(renyi.value_and_grad(f, wrt))
    value, found = both(*[x[None, ...] for x in given], backend.asarray(orders[:, None], dtype))
    check_all(f, densities, orders, dtype, [backend.numpy(part) for part in (value, *found)])


def check_all(f, densities, orders, dtype, parts):
    value, *gradients, slope = parts
    assert value.shape == slope.shape == (len(orders), len(densities))
    gradients = gradients[0] if len(gradients) == 1 else np.stack(gradients, -1)
    for k, alpha in enumerate(orders):
        rows = (part[k].tolist() for part in (value, gradients, slope))
        for density, *row in zip(densities, *rows, strict=True):
            check(f, density, alpha, dtype, *row)


@every
def test_automatic_differentiation(backend, f):
    """The library's own differentiation, once and of the analytic derivative."""
    if backend.name not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation, or its float32")
    given = [backend.asarray(np.asarray([[0.9, 2.5], [12.0, 1.0]])) for _ in range(2 - (f is renyi.dirichlet_entropy))]
    orders = backend.asarray(np.asarray([0.5, 1.0] if len(given) == 1 else [[0.5], [1.0]]))
    if backend.compiles:
        import jax

        got = jax.jit(jax.grad(lambda x, a: f(x, *given[1:], a).sum(), (0, 1)))(given[0], orders)
    else:
        got = [derivative(backend, lambda x, a: f(x, *given[1:], a), given[0], orders, i) for i in (0, 1)]
    both = backend.compiled(lambda x, a: renyi.value_and_grad(f, (0, "alpha"))(x, *given[1:], a, cotangent=1.0)[1])
    for part, want in zip(got, both(given[0], orders), strict=True):
        np.testing.assert_allclose(np.asarray(part), backend.numpy(want), rtol=1e-12)
    if not backend.compiles:
        step = 1e-4
        mixed = derivative(backend, lambda x, a: renyi.grad(f, "alpha")(x, *given[1:], a), given[0], 1.0, 0)
        high, low = (backend.numpy(renyi.grad(f)(*given, 1 + sign * step)) for sign in (1, -1))
        np.testing.assert_allclose(mixed, (high - low) / (2 * step), rtol=1e-5, atol=1e-6)


def test_those_of_others(backend):
    """Where the densities are uniform, exponential, or one and the same."""
    if backend.compiles:
        pytest.skip("compilations of the same code")
    one, x = backend.asarray(np.ones(3)), backend.asarray(np.asarray([0.7, 2.0, 30.0]))
    for alpha in (0.5, 1.0, 2.0, math.inf):
        got = backend.numpy(renyi.gamma_entropy(one, 1 / x, alpha))
        np.testing.assert_allclose(got, backend.numpy(renyi.exponential_entropy(x, alpha)), rtol=1e-13, atol=1e-13)
        pair = backend.asarray(np.asarray([[0.7, 5.0], [2.0, 5.0], [30.0, 5.0]]))
        got, want = renyi.beta_entropy(x, 5 * one, alpha, base=2), renyi.dirichlet_entropy(pair, alpha, base=2)
        np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want))
        np.testing.assert_allclose(backend.numpy(renyi.beta_entropy(one, one, alpha)), 0, atol=1e-13)


@every
def test_what_is_no_density_is_nan_alone(backend, f):
    if backend.compiles:
        pytest.skip("compilations of the same code")
    bad = np.asarray([2.0, 0.0, -1.0, math.inf, math.nan])
    for place in range(len(inputs(f)[0])):
        if f is renyi.dirichlet_entropy:
            given = [backend.asarray(np.stack([bad, np.full(5, 2.0)], -1))]
        else:
            given = [backend.asarray(bad if i == place else np.full(5, 2.0)) for i in (0, 1)]
        for wrt in (*range(len(given)), "alpha"):
            for got in renyi.value_and_grad(f, wrt)(*given, 2.0):
                lost = np.isnan(backend.numpy(got)).reshape(5, -1)
                np.testing.assert_array_equal(lost, np.asarray([0, 1, 1, 1, 1], bool)[:, None] | np.zeros_like(lost))


@every
def test_axes_cotangents_and_half_precision(backend, f):
    if backend.compiles or backend.library == "strict":
        pytest.skip("slow there, or without float16")
    x = np.asarray([[1.5, 2.0, 0.75], [4.0, 1.0, 3.0]])
    given = [backend.asarray(x) for _ in range(2 - (f is renyi.dirichlet_entropy))]
    weights = np.asarray([2.0, -1.0])
    value, gradient = renyi.value_and_grad(f)(*given, 0.7)
    if f is renyi.dirichlet_entropy:
        kept = f(*given, 0.7, keepdims=True)
        assert tuple(kept.shape) == (2, 1)
        turned = f(backend.asarray(x.T.copy()), 0.7, axis=0)
        np.testing.assert_array_equal(backend.numpy(turned), backend.numpy(value))
        cotangent = backend.asarray(weights)
    else:
        cotangent = backend.asarray(weights[:, None])
    pulled = renyi.grad(f)(*given, 0.7, cotangent=cotangent, base=2)
    want = backend.numpy(gradient) * weights[:, None] / math.log(2)
    np.testing.assert_allclose(backend.numpy(pulled), want, rtol=1e-6)
    halves = [backend.asarray(x, "float16") for _ in given]
    got = backend.numpy(f(*halves, 0.7))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got.astype(float), backend.numpy(value), rtol=2e-3, atol=1e-5)


@every
def test_bad_input(backend, f):
    x = backend.asarray(np.ones((2, 3)))
    count = len(inputs(f)[0])
    name = "a" if f is renyi.beta_entropy else "concentration"
    for error, message, first, alpha, options in (
        (TypeError, f"`{name}`", 2.0, 2.0, {}),
        (TypeError, f"`{name}`", backend.asarray(np.ones(3, dtype=np.int64)), 2.0, {}),
        (TypeError, "`alpha`", x, 1j, {}),
        (ValueError, "`alpha`", x, -1.0, {}),
        (ValueError, "`alpha`", x, backend.asarray(np.ones(4)), {}),
        (ValueError, "`base`", x, 2.0, {"base": 0}),
    ):
        for function in (f, renyi.value_and_grad(f)):
            with pytest.raises(error, match=message):
                function(first, *[x] * (count - 1), alpha, **options)
    if count == 2:
        other = "b" if f is renyi.beta_entropy else "rate"
        with pytest.raises(ValueError, match=f"`{other}`"):
            f(x, backend.asarray(np.ones(2)), 2.0)
    else:
        with pytest.raises(ValueError, match="`axis`"):
            f(x, 2.0, axis=2)


parameters = st.floats(-8, 8).map(math.exp)


@settings(max_examples=10, deadline=None)
@given(x=st.tuples(parameters, parameters, parameters), low=st.floats(0, 30), high=st.floats(0, 30))
def test_never_increases_with_the_order(backend, x, low, high):
    """And is at most the logarithm of the support's size."""
    if backend.library != "numpy":
        pytest.skip("the same code, and slower")
    low, high = sorted((low, high))
    own = np.asarray(x)
    for f, shown in (
        (renyi.dirichlet_entropy, (own,)),
        (renyi.beta_entropy, (own[0], own[1])),
        (renyi.gamma_entropy, (own[0], own[1])),
    ):
        most, upper, lower, least = (float(f(*map(np.asarray, shown), a)) for a in (0, low, high, math.inf))
        scale = max(1, *(abs(v) if math.isfinite(v) else 1 for v in (upper, lower, least)))
        assert most + 1e-13 * scale >= upper
        assert upper + 1e-13 * scale >= lower
        assert lower + 1e-13 * scale >= least
