"""Laplace, exponential, uniform: against the integral of the density, limits, derivatives, bad input."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from test_autodiff import derivative

import renyi_core as renyi

# what the adapters change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "jax:x32", "dask")
ORDERS = (0.1, 1 - 1e-12, 1.0, 1 + 1e-12, 2.0, 20.0, math.inf)
SCALES = (0.25, 1.0, 3.0)
DENSITIES = {
    renyi.laplace_entropy: lambda b, x: mpmath.exp(-abs(x) / b) / (2 * b),
    renyi.exponential_entropy: lambda b, x: mpmath.exp(-x / b) / b if x >= 0 else mpmath.mpf(0),
    renyi.uniform_entropy: lambda b, x: 1 / b if 0 <= x <= b else mpmath.mpf(0),
}
every = pytest.mark.parametrize("f", DENSITIES, ids=lambda f: f.__name__)


def exact(f, scale, alpha):
    """The entropy and its derivative along α, by integrals of the density's powers; they end at a kink or a jump."""
    with mpmath.workdps(30):
        b, a, density = mpmath.mpf(scale), mpmath.mpf(alpha), DENSITIES[f]
        if alpha == math.inf:
            return -mpmath.log(density(b, 0)), mpmath.mpf(0)
        ends = [0, b] if f is renyi.uniform_entropy else [0, 4 * b, 20 * b, 100 * b, 1000 * b]
        twice = 2 if f is renyi.laplace_entropy else 1

        def integral(g):
            return twice * mpmath.quad(lambda x: g(density(b, x)), ends)

        if alpha == 1:
            mean = integral(lambda y: y * mpmath.log(y))
            return -mean, -integral(lambda y: y * (mpmath.log(y) - mean) ** 2) / 2
        total, t = integral(lambda y: y**a), a - 1
        mean = integral(lambda y: y**a * mpmath.log(y)) / total
        return -mpmath.log(total) / t, (mpmath.log(total) - t * mean) / t**2


@every
def test_against_the_integral(backend, f):
    x, eps = backend.asarray(np.asarray(SCALES)), float(np.finfo(backend.dtypes[-1]).eps)
    orders = (0.1, 1.0, math.inf) if backend.compiles else ORDERS
    together = renyi.value_and_grad(f, "alpha")(x, backend.asarray(np.asarray(orders)[:, None]))
    assert together[0].shape == together[1].shape == (len(orders), len(SCALES))
    for k, alpha in enumerate(orders):
        # the digits of the quadrature, over t², are those of the oracle
        near = 0 < abs(alpha - 1) < 1e-6
        want = [exact(f, scale, alpha) for scale in SCALES]
        for value, slope in (renyi.value_and_grad(f, "alpha")(x, alpha), [part[k, ...] for part in together]):
            for got, (entropy, along) in zip(
                zip(backend.numpy(value).tolist(), backend.numpy(slope).tolist(), strict=True), want, strict=True
            ):
                assert abs(got[0] - entropy) <= 8 * eps * max(2, abs(entropy)) + (1e-12 if near else 0), alpha
                if not near:
                    assert abs(got[1] - along) <= 32 * eps * abs(along) + 1e-15, alpha
        np.testing.assert_array_equal(backend.numpy(f(x, alpha)), backend.numpy(renyi.value_and_grad(f)(x, alpha)[0]))


@every
def test_orders_near_1_have_the_digits_of_1(backend, f):
    x = backend.asarray(np.asarray(SCALES))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    for wrt in (None, "alpha"):
        function = f if wrt is None else renyi.grad(f, wrt)
        at, near = (backend.numpy(function(x, alpha)) for alpha in (1.0, 1 + 1e-12))
        np.testing.assert_allclose(near, at, rtol=0, atol=4e-12 + 8 * eps)


@every
def test_gradient_is_one_over_the_scale(backend, f):
    x = backend.asarray(np.asarray(SCALES))
    for order, shape in ((1.0, (3,)), (backend.asarray(np.asarray([[0.5], [math.inf]])), (2, 3))):
        gradient = backend.numpy(renyi.grad(f)(x, order))
        want = np.broadcast_to(1 / np.asarray(SCALES), shape)
        np.testing.assert_allclose(gradient, want, rtol=1e-6 if backend.variant == "x32" else 1e-15)
    vjp = renyi.grad(f)(x, backend.asarray(np.asarray([[0.5], [2.0]])), cotangent=3.0, base=2)
    np.testing.assert_allclose(backend.numpy(vjp) * math.log(2), 6 / np.asarray(SCALES), rtol=1e-6)
    if backend.name in {"torch", "jax"}:
        np.testing.assert_allclose(derivative(backend, f, x, 1.0, 0), 1 / np.asarray(SCALES), rtol=1e-14)


@every
def test_limits_and_what_is_no_scale(backend, f):
    x = backend.asarray(np.asarray([1.0, 0.0, -1.0, math.inf, math.nan]))
    value, gradient = renyi.value_and_grad(f)(x, 2.0)
    for got in (value, gradient, renyi.grad(f, "alpha")(x, 2.0)):
        np.testing.assert_array_equal(np.isnan(backend.numpy(got)), [0, 1, 1, 1, 1])
    widest = float(np.finfo(backend.dtypes[-1]).max)
    want = math.log(widest) + {renyi.laplace_entropy: math.log(2) + 1, renyi.exponential_entropy: 1}.get(f, 0.0)
    got = backend.numpy(f(backend.asarray(np.asarray([widest])), 1.0))[0]
    assert abs(got - want) <= 2 * float(np.finfo(backend.dtypes[-1]).eps) * want
    one = backend.asarray(np.asarray([1.0]))
    assert float(backend.numpy(f(one, 0.0))[0]) == (0.0 if f is renyi.uniform_entropy else math.inf)
    if backend.library != "strict":
        got = backend.numpy(f(backend.asarray(np.asarray([3.0]), "float16"), 2.0))
        assert got.dtype == np.float16
        assert got[0] == np.float16(float(exact(f, 3.0, 2.0)[0]))


@every
def test_orders_at_and_near_0(backend, f):
    """Numbers and arrays: −log α of a tail that grows without end, and no digit lost in α − 1."""
    x, eps = backend.asarray(np.asarray([2.0])), float(np.finfo(backend.dtypes[-1]).eps)
    shape = 0 if f is renyi.uniform_entropy else 1
    orders = (0.0, 1e-10, 1e-3)
    together = renyi.value_and_grad(f, "alpha")(x, backend.asarray(np.asarray(orders)[:, None]))
    for k, alpha in enumerate(orders):
        for got in (renyi.value_and_grad(f, "alpha")(x, alpha), [part[k, ...] for part in together]):
            value, slope = (float(backend.numpy(part)[0]) for part in got)
            if alpha == 0:
                assert (value, slope) == ((math.inf, -math.inf) if shape else (pytest.approx(math.log(2)), 0))
                continue
            a = mpmath.mpf(float(np.asarray(alpha, backend.dtypes[-1])))
            width = math.log(4 if f is renyi.laplace_entropy else 2)
            assert value == pytest.approx(width + shape * float(mpmath.log(a) / (a - 1)), rel=8 * eps)
            assert slope == pytest.approx(shape * float((1 - 1 / a - mpmath.log(a)) / (a - 1) ** 2), rel=32 * eps)


@every
def test_bad_input(backend, f):
    x = backend.asarray(np.ones(3))
    name = "width" if f is renyi.uniform_entropy else "scale"
    for error, message, args, options in (
        (TypeError, f"`{name}`", (2.0, 2.0), {}),
        (TypeError, f"`{name}`", (backend.asarray(np.ones(3, dtype=np.int64)), 2.0), {}),
        (TypeError, "`alpha`", (x, 1j), {}),
        (ValueError, "`alpha`", (x, -1.0), {}),
        (ValueError, "`alpha`", (x, backend.asarray(np.ones(2))), {}),
        (ValueError, "`base`", (x, 2.0), {"base": 0}),
    ):
        for function in (f, renyi.value_and_grad(f)):
            with pytest.raises(error, match=message):
                function(*args, **options)
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(f)(x, 2.0, cotangent=backend.asarray(np.ones(2)))
