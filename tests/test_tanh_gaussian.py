"""The squashed Gaussian's entropy: against its integral in 40 digits, samples, autodiff, its limits, bad input."""

from __future__ import annotations

import math

import numpy as np
import oracle_gaussian as oracle
import pytest
from test_autodiff import derivative

import renyi_core as renyi

# there is no adapter of it, and 32 bits are among the types
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
PARAMETERS = ((0.0, 0.5), (0.0, 0.7), (-0.3, 2.0), (1.0, 1.0), (5.0, 0.01), (5.0, 5.0), (1.0, 5.0), (0.1, 0.1))
ORDERS = (0.1, 0.5, 0.9, 1 - 1e-12, 1.0, 1.1, 2.0, 20.0, math.inf)
WRT = (0, 1, "alpha")


def arguments(backend, dtype=None):
    mean, scale = np.asarray(PARAMETERS).T
    return backend.asarray(mean, dtype), backend.asarray(scale, dtype)


def check(backend, dtype, alpha, value, gradients):
    """Within 16 units of the dtype, 32 along α, of the result or of the parts that it is the difference of."""
    eps = float(np.finfo(dtype).eps)
    for k, (mean, scale) in enumerate(np.asarray(PARAMETERS).astype(dtype).tolist()):
        exact = oracle.squashed(mean, scale, alpha)
        bounds = [bound * eps for bound in ((16, 16, 16, 32) if backend.library == "numpy" else (32, 32, 32, 64))]
        units = max(1, abs(exact.value)), 1, max(1 / scale, abs(exact.scale)), max(1, abs(exact.alpha))
        for got, want, bound, unit in zip((value, *gradients), exact, bounds, units, strict=True):
            assert abs(float(got[k]) - want) <= bound * unit, (mean, scale, alpha, float(got[k]), want)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype):
    if dtype not in backend.dtypes or (backend.library == "dask" and dtype == "float32"):
        pytest.skip(f"no {dtype} on {backend}")
    mean, scale = arguments(backend, dtype)
    orders = (0.9, math.inf) if backend.slow else ORDERS[:: 2 if backend.few else 1]
    for alpha in orders:

        def everything(mean, scale, alpha=alpha):
            results = [renyi.value_and_grad(renyi.tanh_gaussian_entropy, wrt)(mean, scale, alpha) for wrt in WRT]
            return results[0][0], [gradient for _, gradient in results]

        value, gradients = backend.compiled(everything)(mean, scale)
        gradients = [backend.numpy(gradient) for gradient in gradients]
        check(backend, dtype, alpha, backend.numpy(value), gradients)
        plain = backend.compiled(lambda *x, alpha=alpha: renyi.tanh_gaussian_entropy(*x, alpha))(mean, scale)
        np.testing.assert_allclose(
            backend.numpy(plain), backend.numpy(value), rtol=1e-5 if dtype == "float32" else 1e-13
        )


def test_orders_in_an_array(backend):
    mean, scale = arguments(backend)
    dtype = backend.dtypes[-1]
    orders = np.asarray([alpha for alpha in (0.0, *ORDERS) if dtype == "float64" or alpha != 1 - 1e-12])
    alphas = backend.asarray(orders[:, None])

    def everything(mean, scale, alphas):
        results = [renyi.value_and_grad(renyi.tanh_gaussian_entropy, wrt)(mean, scale, alphas) for wrt in WRT]
        return results[0][0], [gradient for _, gradient in results]

    value, gradients = backend.compiled(everything)(mean[None, ...], scale[None, ...], alphas)
    value, gradients = backend.numpy(value), [backend.numpy(gradient) for gradient in gradients]
    for k, alpha in enumerate(orders.tolist()):
        if alpha > 0:
            check(backend, dtype, alpha, value[k], [gradient[k] for gradient in gradients])
    assert (np.abs(value[0] - math.log(2)) < 1e-6).all()
    assert (gradients[0][0] == 0).all()
    assert (gradients[1][0] == 0).all()


def test_order_zero_is_the_limit(backend):
    mean, scale = (backend.asarray(np.asarray([v])) for v in (0.5, 1.0))
    f = renyi.tanh_gaussian_entropy
    small, tolerance = (1e-6, 1e-5) if backend.dtypes[-1] == "float64" else (1e-3, 1e-3)
    zero, near = (backend.numpy(f(mean, scale, alpha))[0] for alpha in (0, small))
    slope = backend.numpy(renyi.grad(f, "alpha")(mean, scale, 0))[0]
    assert zero == pytest.approx(math.log(2), rel=1e-6)
    assert (near - zero) / small == pytest.approx(slope, rel=10 * tolerance)


def test_the_known_value(backend):
    """Mean 1, scale 1, α = 2: −0.46 in the applications' notes; these digits by mpmath's adaptive quadrature."""
    one = backend.asarray(np.ones(1))
    got = backend.numpy(renyi.tanh_gaussian_entropy(one, one, 2))[0]
    assert float(got) == pytest.approx(-0.4596362945921970471541166, rel=8 * float(np.finfo(got.dtype).eps))


def test_where_one_mode_becomes_two(backend):
    """The density of scale² = 1/2 and mean 0 is flat at its peak, 1/√π."""
    mean, scale = (backend.asarray(np.asarray([v])) for v in (0.0, math.sqrt(0.5)))
    value, gradient = renyi.value_and_grad(renyi.tanh_gaussian_entropy, 1)(mean, scale, math.inf)
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    assert float(backend.numpy(value)[0]) == pytest.approx(math.log(math.pi) / 2, rel=8 * eps)
    assert float(backend.numpy(gradient)[0]) == pytest.approx(math.sqrt(2), rel=8 * math.sqrt(eps))


def test_a_wide_scale_near_one(backend):
    """There both the Gaussian and the tilted one count, 7 of their standard deviations apart."""
    arrays = [backend.asarray(np.asarray([v])) for v in (150.0, 20.0)]
    exact = oracle.squashed(150.0, 20.0, 1.2)
    value, slope = renyi.value_and_grad(renyi.tanh_gaussian_entropy, "alpha")(*arrays, 1.2)
    assert float(backend.numpy(value)[0]) == pytest.approx(exact.value, rel=1e-14)
    assert float(backend.numpy(slope)[0]) == pytest.approx(exact.alpha, rel=1e-13)


def test_samples_agree(backend):
    """A Monte-Carlo estimate of log E f(y)**(α−1), within 5 of its standard errors."""
    mean, scale, n = 0.7, 0.8, 200_000
    x = mean + scale * np.random.default_rng(0).normal(size=n)
    log_density = (
        -((x - mean) ** 2) / (2 * scale**2) - math.log(scale * math.sqrt(2 * math.pi)) + 2 * np.log(np.cosh(x))
    )
    arrays = [backend.asarray(np.asarray([v])) for v in (mean, scale)]
    for alpha in (0.5, 1.5):
        powers = np.exp((alpha - 1) * log_density)
        estimate = math.log(powers.mean()) / (1 - alpha)
        error = powers.std() / powers.mean() / math.sqrt(n) / abs(1 - alpha)
        got = backend.numpy(renyi.tanh_gaussian_entropy(*arrays, alpha))[0]
        assert abs(got - estimate) < 5 * error
        assert error < 0.01


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1 + 1e-12, 1.1, 2.0, math.inf])
def test_autodiff(backend, alpha):
    """The library's own differentiation with respect to every argument: what the analytic rules say."""
    if backend.name not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation, or its float32")
    if backend.compiles and alpha != 1.1:
        pytest.skip("each order is a compilation")
    mean, scale = arguments(backend)
    f = renyi.tanh_gaussian_entropy
    tolerance = 1e-12
    got = derivative(backend, lambda x, a: f(x, scale, a), mean, alpha, 0)
    np.testing.assert_allclose(got, backend.numpy(renyi.grad(f, 0)(mean, scale, alpha)), atol=tolerance)
    got = derivative(backend, lambda x, a: f(mean, x, a), scale, alpha, 0)
    want = backend.numpy(renyi.grad(f, 1)(mean, scale, alpha))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_autodiff_along_orders(backend):
    if backend.name not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation, or its float32")
    orders = backend.asarray(np.asarray([0.0, 0.5, 0.9, 1.0, 1.1, 2.0, math.inf]))
    mean, scale = (backend.asarray(np.full(7, v)) for v in (0.7, 0.8))
    f = renyi.tanh_gaussian_entropy
    got = derivative(backend, lambda x, a: f(x, scale, a), mean, orders, 1)
    tolerance = 1e-11
    np.testing.assert_allclose(got, backend.numpy(renyi.grad(f, "alpha")(mean, scale, orders)), atol=tolerance)
    if not backend.compiles:
        got = derivative(backend, lambda x, a: f(x, scale, a), mean, orders, 0)
        np.testing.assert_allclose(got, backend.numpy(renyi.grad(f)(mean, scale, orders)), atol=tolerance)


def test_axes_bases_and_cotangents(backend):
    if backend.compiles:
        pytest.skip("slow there, and the others say it")
    rng = np.random.default_rng(2)
    mean, scale = backend.asarray(rng.normal(size=(3, 4))), backend.asarray(rng.uniform(0.2, 2, size=4))
    f = renyi.tanh_gaussian_entropy
    close = {"rtol": 1e-4 if backend.variant == "x32" else 1e-12, "atol": 1e-6 if backend.variant == "x32" else 1e-13}
    each = backend.numpy(f(mean, scale, 1.7))
    assert each.shape == (3, 4)
    np.testing.assert_allclose(backend.numpy(f(mean, scale, 1.7, axis=-1)), each.sum(-1), **close)
    bits = f(mean, scale, 1.7, axis=-1, base=2, keepdims=True)
    assert tuple(bits.shape) == (3, 1)
    np.testing.assert_allclose(backend.numpy(bits)[:, 0] * math.log(2), each.sum(-1), **close)
    orders = backend.asarray(np.asarray([0.5, 1.0, 1.7]))
    rows = backend.numpy(f(mean, scale, orders, axis=-1))
    np.testing.assert_allclose(rows[2], each[2].sum(), **close)
    weights = np.asarray([1.0, -2.0, 0.5])
    gradient = backend.numpy(renyi.grad(f, 1)(mean, scale, 1.7))
    _, vjp = renyi.value_and_grad(f, 1)(mean, scale, 1.7, axis=-1, cotangent=backend.asarray(weights))
    np.testing.assert_allclose(backend.numpy(vjp), (weights[:, None] * gradient).sum(0), **close)
    _, vjp = renyi.value_and_grad(f, "alpha")(mean, scale, 1.7, axis=-1, cotangent=backend.asarray(weights), base=2)
    slopes = backend.numpy(renyi.grad(f, "alpha")(mean, scale, 1.7, axis=-1))
    assert tuple(vjp.shape) == ()
    np.testing.assert_allclose(backend.numpy(vjp), (weights * slopes).sum() / math.log(2), **close)


def test_what_is_no_distribution_is_nan_alone(backend):
    mean = backend.asarray(np.asarray([0.0, math.nan, math.inf, 0.0, 0.0, 0.0, 1.0]))
    scale = backend.asarray(np.asarray([1.0, 1.0, 1.0, 0.0, -1.0, math.inf, 2.0]))
    for alpha in (0.5, math.inf) if backend.slow else (0, 0.5, 1, 2, math.inf):
        for wrt in ("alpha",) if backend.slow else WRT:
            value, gradient = renyi.value_and_grad(renyi.tanh_gaussian_entropy, wrt)(mean, scale, alpha)
            for got in (value, gradient):
                np.testing.assert_array_equal(np.isnan(backend.numpy(got)), [0, 1, 1, 1, 1, 1, 0])


def test_half_precision_is_summed_in_float32(backend):
    if backend.library == "strict":
        pytest.skip("no float16 here")
    arrays = [backend.asarray(np.asarray([0.5, 1.0]), "float16") for _ in range(2)]
    wide = [backend.xp.astype(x, backend.xp.float32) for x in arrays]
    got, want = (renyi.tanh_gaussian_entropy(*pair, 1.7) for pair in (arrays, wide))
    assert got.dtype == arrays[0].dtype
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want).astype(np.float16))


def test_bad_input(backend):
    x, ints = backend.asarray(np.ones((2, 3))), backend.asarray(np.ones((2, 3), dtype=np.int64))
    other = backend.asarray(np.ones(3), "float32" if backend.dtypes[-1] == "float64" else "float16")
    cases = [
        (TypeError, "`mean`", (1.0, x, 2.0), {}),
        (TypeError, "`mean`", (ints, x, 2.0), {}),
        (TypeError, "`scale`", (x, 1.0, 2.0), {}),
        (TypeError, "`scale`.*dtype", (x, other, 2.0), {}),
        (ValueError, "`scale`.*broadcast", (x, backend.asarray(np.ones(4)), 2.0), {}),
        (ValueError, "`alpha`", (x, x, -1.0), {}),
        (ValueError, "`alpha`", (x, x, math.nan), {}),
        (ValueError, "`alpha`", (x, x, backend.asarray(np.ones(2))), {}),
        (TypeError, "`alpha`", (x, x, 1j), {}),
        (ValueError, "`axis`", (x, x, 2.0), {"axis": 2}),
        (TypeError, "`axis`", (x, x, 2.0), {"axis": 1.0}),
        (ValueError, "`base`", (x, x, 2.0), {"base": 1}),
    ]
    for error, message, args, kwargs in cases:
        with pytest.raises(error, match=message):
            renyi.tanh_gaussian_entropy(*args, **kwargs)
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(renyi.tanh_gaussian_entropy)(x, x, 2.0, axis=-1, cotangent=backend.asarray(np.ones(3)))
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(renyi.tanh_gaussian_entropy, 2)
