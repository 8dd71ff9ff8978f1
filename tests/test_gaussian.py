"""Gaussians: entropy and divergence against their definitions in 80 digits, derivatives, limits, bad input."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import pytest
from oracle import DIGITS
from test_autodiff import derivative

import renyi_core as renyi
from renyi_core._kernels.quadrature import gauss_legendre

# what the adapters and 32 bits change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
ENTROPY_ORDERS = (0.1, 0.5, 0.75, 1 - 1e-12, 1.0, 1 + 1e-12, 1.2, 1.75, 2.0, 20.0, 1e6, math.inf)
ORDERS = (0.0, 1e-3, 0.3, 1 - 1e-12, 1.0, 1 + 1e-6, 1.5, 2.0, 20.0)


def matrices(name):
    """Means and covariances of P and Q."""
    p = np.asarray([[1.0, 0.25, -0.125], [0.25, 0.75, 0.0], [-0.125, 0.0, 0.5]])
    q = np.asarray([[1.5, -0.25, 0.0], [-0.25, 2.0, 0.5], [0.0, 0.5, 1.25]])
    means = np.asarray([0.5, -1.0, 0.25]), np.asarray([0.0, 0.125, -0.5])
    nearly = p + 2.0**-30 * q
    return {
        "apart": (means[0], p, means[1], q),
        "close": (means[0], nearly, means[0] + 2.0**-32, p),
        "equal": (means[0], p, means[1], p),
        "wider": (means[0], q, means[1], p),
        "much narrower": (means[0], 2.0**-40 * p, means[1], q),
    }[name]


def variances(name):
    return tuple(np.diagonal(x) if x.ndim == 2 else x for x in matrices(name))


def _divergence(mean_p, cov_p, mean_q, cov_q, a):
    """The textbook formula; +inf where the mixture is not positive definite."""
    mixed = a * cov_q + (1 - a) * cov_p
    delta = mean_p - mean_q
    if a == 1:
        inverse = cov_q**-1
        trace = sum((inverse * cov_p)[i, i] for i in range(len(delta)))
        log = mpmath.log(mpmath.det(cov_q) / mpmath.det(cov_p))
        return ((delta.T * inverse * delta)[0] + trace - len(delta) + log) / 2
    try:
        mpmath.cholesky(mixed)
    except ValueError:
        return mpmath.inf
    log = mpmath.log(mpmath.det(mixed)) - (1 - a) * mpmath.log(mpmath.det(cov_p)) - a * mpmath.log(mpmath.det(cov_q))
    return a / 2 * (delta.T * mixed**-1 * delta)[0] - log / (2 * (a - 1))


@functools.cache
def exact(name, alpha, kind):
    """The divergence and its derivatives, by differences of 1e-25; those of matrices are symmetric."""
    with mpmath.workdps(DIGITS + 20):
        given = matrices(name) if kind == "full" else variances(name)
        parts = [
            mpmath.matrix((np.diag(x) if kind == "diagonal" and k % 2 else x).tolist()) for k, x in enumerate(given)
        ]
        a, h = mpmath.mpf(alpha), mpmath.mpf(10) ** -25
        value = _divergence(*parts, a)
        if value == mpmath.inf:
            return math.inf, None

        def along(k, *where):
            ends = []
            for step in (h, -h):
                moved = [part.copy() for part in parts]
                for place in where:
                    moved[k][place] += step / len(where)
                ends.append(_divergence(*moved, a))
            return float((ends[0] - ends[1]) / (2 * h))

        n = len(given[0])
        gradients = []
        for k in range(4):
            if k % 2 == 0:
                gradients.append([along(k, i) for i in range(n)])
            elif kind == "diagonal":
                gradients.append([along(k, (i, i)) for i in range(n)])
            else:
                gradients.append(
                    [[along(k, (i, i)) if i == j else along(k, (i, j), (j, i)) for j in range(n)] for i in range(n)]
                )
        # the definition goes on below 0
        slope = float((_divergence(*parts, a + h) - _divergence(*parts, a - h)) / (2 * h))
        return float(value), (*map(np.asarray, gradients), slope)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("name", ["apart", "close", "equal", "wider", "much narrower"])
def test_divergence(backend, name, kind):
    arrays = [backend.asarray(x) for x in (matrices(name) if kind == "full" else variances(name))]
    eps = float(np.finfo("float64").eps)
    finite = 0
    for alpha in ORDERS[::3] if backend.few else ORDERS:
        value, gradients = exact(name, alpha, kind)
        got = backend.numpy(renyi.gaussian_divergence(*arrays, alpha, kind=kind))
        if value == math.inf:
            assert got == math.inf
            continue
        finite += 1
        assert abs(got - value) <= 64 * eps * abs(value), (alpha, float(got), value)
        for wrt, want in zip((0, 1, 2, 3, "alpha"), gradients, strict=True):
            again, gradient = renyi.value_and_grad(renyi.gaussian_divergence, wrt)(*arrays, alpha, kind=kind)
            np.testing.assert_array_equal(backend.numpy(again), got)
            error = np.max(np.abs(backend.numpy(gradient) - want))
            assert error <= 64 * eps * np.max(np.abs(want)) + 1e-30, (alpha, wrt, gradient, want)
    assert finite >= 2


@pytest.mark.parametrize("n", [1, 2, 3, 8, 12, 40])
def test_quadrature_is_exact_for_polynomials(n):
    nodes, weights = gauss_legendre(n)
    for k in range(2 * n):
        moment = math.fsum(w * x**k for w, x in zip(weights, nodes, strict=True))
        assert abs(moment - 1 / (k + 1)) <= 2.0**-52


def test_divergence_32_bits(backend):
    for kind, given in (("diagonal", variances("apart")), ("full", matrices("apart"))):
        got = renyi.gaussian_divergence(*(backend.asarray(x, "float32") for x in given), 1.5, kind=kind)
        assert str(backend.numpy(got).dtype) == "float32"
        assert float(backend.numpy(got)) == pytest.approx(exact("apart", 1.5, kind)[0], rel=64 * 2.0**-23)


def test_divergence_at_infinity(backend):
    """The limit of finite orders where P is the narrower, +inf elsewhere; 0 of itself."""
    for kind, apart, wider in (
        ("diagonal", variances("apart"), variances("wider")),
        ("full", matrices("apart"), matrices("wider")),
    ):
        arrays = [backend.asarray(x) for x in apart]

        def f(alpha, arrays=arrays, kind=kind, wrt=None):
            if wrt is None:
                return float(backend.numpy(renyi.gaussian_divergence(*arrays, alpha, kind=kind)))
            return backend.numpy(renyi.grad(renyi.gaussian_divergence, wrt)(*arrays, alpha, kind=kind))

        assert f(math.inf) == pytest.approx(f(1e9), rel=1e-7)
        for wrt in () if backend.slow else range(4):
            np.testing.assert_allclose(f(math.inf, wrt=wrt), f(1e9, wrt=wrt), rtol=1e-6, atol=1e-8)
        assert f(math.inf, wrt="alpha") == 0
        assert f(math.inf, arrays=[backend.asarray(x) for x in wider]) == math.inf
        same = [*arrays[:2], *arrays[:2]]
        for alpha in (math.inf,) if backend.slow else (0, 1, 5, math.inf):
            assert f(alpha, arrays=same) == 0
        assert f(math.inf, arrays=[*arrays[:2], arrays[2], arrays[1]]) == math.inf


def test_divergence_at_infinity_in_a_batch(backend):
    """The equal pair is at 0, the one of a P that is a little wider in one direction at ∞; neither sees the other."""
    if backend.library == "jax":
        pytest.skip("compiled operation by operation, which takes long")
    equal, wider = np.eye(2), np.diag([1.5, 1.0])
    mean, q = backend.asarray(np.zeros((2, 2))), backend.asarray(np.stack([equal, equal]))
    for p, want in (([equal, wider], [0, math.inf]), ([wider, equal], [math.inf, 0])):
        value, slope = renyi.value_and_grad(renyi.gaussian_divergence, "alpha")(
            mean, backend.asarray(np.stack(p)), mean, q, math.inf
        )
        assert backend.numpy(value).tolist() == want
        assert backend.numpy(slope)[want.index(0)] == 0


def test_divergence_orders_and_batches(backend):
    if backend.compiles:
        pytest.skip("slow there, and the others say it")
    given = [variances(name) for name in ("apart", "close", "equal")]
    arrays = [backend.asarray(np.stack(rows)) for rows in zip(*given, strict=True)]
    orders = np.asarray([0.0, 0.5, 1.0, 2.0, math.inf])
    for kind in ("diagonal", "full"):
        if kind == "full":
            rows = [matrices(name) for name in ("apart", "close", "equal")]
            arrays = [backend.asarray(np.stack(row)) for row in zip(*rows, strict=True)]
        for wrt in (0, 1, 3, "alpha"):
            f = renyi.value_and_grad(renyi.gaussian_divergence, wrt)
            value, gradient = f(*(x[None, ...] for x in arrays), backend.asarray(orders[:, None]), kind=kind)
            value, gradient = backend.numpy(value), backend.numpy(gradient)
            for k, alpha in enumerate(orders.tolist()):
                want, want_gradient = (backend.numpy(part) for part in f(*arrays, alpha, kind=kind))
                np.testing.assert_allclose(value[k], want, rtol=1e-13)
                np.testing.assert_allclose(gradient[k], want_gradient, rtol=1e-12, atol=1e-15)
            _, vjp = f(*arrays, 0.5, kind=kind, cotangent=backend.asarray(np.asarray([1.0, 0.0, 2.0])), base=2)
            single = backend.numpy(f(*arrays, 0.5, kind=kind)[1]) / math.log(2)
            if wrt == "alpha":
                np.testing.assert_allclose(backend.numpy(vjp), single[0] + 2 * single[2], rtol=1e-13)
            else:
                np.testing.assert_allclose(backend.numpy(vjp)[2], 2 * single[2], rtol=1e-13)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("name", ["apart", "equal"])
def test_divergence_autodiff(backend, name, kind):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    arrays = [backend.asarray(x) for x in (matrices(name) if kind == "full" else variances(name))]
    for alpha in (1.0,) if backend.compiles else (0.5, 1.0, 2.0) if name == "apart" else (0.5, 1.0):
        for wrt in range(4):

            def f(x, a, wrt=wrt):
                return renyi.gaussian_divergence(*arrays[:wrt], x, *arrays[wrt + 1 :], a, kind=kind)

            got = derivative(backend, f, arrays[wrt], alpha, 0)
            if got.ndim == 2:
                # a Cholesky factor reads one triangle: what is symmetric is half the sum
                got = (got + got.T) / 2
            want = backend.numpy(renyi.grad(renyi.gaussian_divergence, wrt)(*arrays, alpha, kind=kind))
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)
        got = derivative(backend, f, arrays[3], backend.asarray(np.asarray(alpha)), 1)
        want = backend.numpy(renyi.grad(renyi.gaussian_divergence, "alpha")(*arrays, alpha, kind=kind))
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ["full", "diagonal", "isotropic"])
def test_entropy(backend, kind):
    cov = {"full": matrices("apart")[1], "diagonal": variances("apart")[1], "isotropic": np.asarray(0.75)}[kind]
    options = {"kind": kind, **({"dimension": 3} if kind == "isotropic" else {})}
    x = backend.asarray(cov)
    eps = float(np.finfo("float64").eps)
    for alpha in ENTROPY_ORDERS[::3] if backend.slow else ENTROPY_ORDERS:
        with mpmath.workdps(DIGITS):
            matrix = {"full": cov, "diagonal": np.diag(np.atleast_1d(cov)), "isotropic": cov * np.eye(3)}[kind]
            log = mpmath.log(mpmath.det(mpmath.matrix(matrix.tolist())))
            a, ratio, slope = mpmath.mpf(alpha), mpmath.mpf(0), mpmath.mpf(0)
            if alpha == 1:
                ratio, slope = 1, mpmath.mpf(-0.5)
            elif alpha < math.inf:
                ratio = mpmath.log(a) / (a - 1)
                slope = (1 / a - ratio) / (a - 1)
            want = float(1.5 * mpmath.log(2 * mpmath.pi) + log / 2 + 1.5 * ratio), float(1.5 * slope)
        value, gradient = renyi.value_and_grad(renyi.gaussian_entropy, "alpha")(x, alpha, **options)
        np.testing.assert_array_equal(backend.numpy(renyi.gaussian_entropy(x, alpha, **options)), backend.numpy(value))
        orders = backend.asarray(np.asarray(alpha))
        others = renyi.value_and_grad(renyi.gaussian_entropy, "alpha")(x, orders, **options)
        for got in (value, others[0]):
            assert abs(float(backend.numpy(got).sum()) - want[0]) <= 16 * eps * max(1, want[0]), alpha
        for got in (gradient, others[1]):
            assert abs(float(backend.numpy(got).sum()) - want[1]) <= 32 * eps * abs(want[1]), alpha
    assert float(backend.numpy(renyi.gaussian_entropy(x, 0, **options))) == math.inf
    got = backend.numpy(renyi.grad(renyi.gaussian_entropy)(x, 2.0, cotangent=3.0, base=2, **options))
    want = np.linalg.inv(cov) / 2 if kind == "full" else (3 if kind == "isotropic" else 1) / cov / 2
    np.testing.assert_allclose(got, 3 * want / math.log(2), rtol=1e-13, atol=1e-15)


def test_entropies_of_batches_by_autodiff(backend):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    x = backend.asarray(np.stack([matrices("apart")[1], matrices("apart")[3]]))
    orders = backend.asarray(np.asarray([0.5, 1.0]))
    got = derivative(backend, renyi.gaussian_entropy, x, orders, 0)
    want = backend.numpy(renyi.grad(renyi.gaussian_entropy)(x, orders))
    np.testing.assert_allclose((got + np.swapaxes(got, 1, 2)) / 2, want, rtol=1e-13, atol=1e-15)
    got = derivative(backend, renyi.gaussian_entropy, x, orders, 1)
    np.testing.assert_allclose(got, backend.numpy(renyi.grad(renyi.gaussian_entropy, "alpha")(x, orders)), rtol=1e-13)


def test_what_is_no_covariance(backend):
    bad = backend.asarray(np.asarray([[1.0, 1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan]]))
    one, zero = backend.asarray(np.ones(2)), backend.asarray(np.zeros(2))
    want = [0, 1, 1, 1]
    for alpha in (2.0,) if backend.slow else (0.5, 1.0, 2.0):
        np.testing.assert_array_equal(
            np.isnan(backend.numpy(renyi.gaussian_entropy(bad, alpha, kind="diagonal"))), want
        )
        for pair in ((zero, bad, zero, one), (zero, one, zero, bad)):
            got = renyi.gaussian_divergence(*pair, alpha, kind="diagonal")
            np.testing.assert_array_equal(np.isnan(backend.numpy(got)), want)
    indefinite, unit = backend.asarray(np.asarray([[1.0, 2.0], [2.0, 1.0]])), backend.asarray(np.eye(2))
    assert np.isnan(backend.numpy(renyi.gaussian_divergence(zero, indefinite, zero, unit, 0.5)))
    if backend.library == "jax":
        assert np.isnan(backend.numpy(renyi.gaussian_entropy(indefinite, 2.0)))
    else:
        for call in (renyi.gaussian_entropy, renyi.grad(renyi.gaussian_entropy)):
            with pytest.raises(ValueError, match="`covariance` is not positive definite"):
                backend.numpy(call(indefinite, 2.0))
        for call in (renyi.gaussian_divergence, renyi.grad(renyi.gaussian_divergence, 3)):
            with pytest.raises(ValueError, match="`covariance_q` is not positive definite"):
                backend.numpy(call(zero, unit, zero, indefinite, 2.0))


def test_bad_input(backend):
    v, m = backend.asarray(np.ones(3)), backend.asarray(np.eye(3))
    rows = [backend.asarray(np.ones((n, 3))) for n in (2, 4)]
    ints = backend.asarray(np.ones(3, dtype=np.int64))
    entropy_cases = [
        (TypeError, "`covariance`", (1.0, 2.0), {}),
        (TypeError, "`covariance`", (ints, 2.0), {"kind": "diagonal"}),
        (ValueError, "`covariance`", (v, 2.0), {}),
        (ValueError, "`covariance`", (backend.asarray(np.ones((2, 3))), 2.0), {}),
        (ValueError, "`kind`", (m, 2.0), {"kind": "scalar"}),
        (ValueError, "`dimension`", (m, 2.0), {"dimension": 3}),
        (ValueError, "`dimension`", (v, 2.0), {"kind": "isotropic"}),
        (ValueError, "`dimension`", (v, 2.0), {"kind": "isotropic", "dimension": 0}),
        (ValueError, "`dimension`", (v, 2.0), {"kind": "isotropic", "dimension": 1.5}),
        (ValueError, "`alpha`", (m, -1.0), {}),
        (ValueError, "`base`", (m, 2.0), {"base": 0}),
    ]
    pair_cases = [
        (TypeError, "`mean_p`", (0.0, m, v, m, 2.0), {}),
        (TypeError, "`covariance_q`", (v, v, v, ints, 2.0), {"kind": "diagonal"}),
        (ValueError, "`covariance_p`", (v, v, v, m, 2.0), {}),
        (ValueError, "`mean_q`", (v, v, backend.asarray(np.ones(2)), v, 2.0), {"kind": "diagonal"}),
        (ValueError, "`mean_q`.*broadcast", (rows[0], rows[0], rows[1], v, 2.0), {"kind": "diagonal"}),
        (ValueError, "`kind`", (v, m, v, m, 2.0), {"kind": "isotropic"}),
        (ValueError, "`alpha`", (v, v, v, v, math.nan), {"kind": "diagonal"}),
        (ValueError, "`base`", (v, v, v, v, 2.0), {"kind": "diagonal", "base": 1}),
    ]
    for f, cases in ((renyi.gaussian_entropy, entropy_cases), (renyi.gaussian_divergence, pair_cases)):
        for error, message, args, kwargs in cases:
            with pytest.raises(error, match=message):
                f(*args, **kwargs)
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(renyi.gaussian_entropy, 1)
    if backend.library == "dask":
        # whose own functions have no eigenvalues
        with renyi.agnostic_only(), pytest.raises(TypeError, match="`kind='full'` needs eigenvalues"):
            renyi.gaussian_divergence(v, m, v, m, 2.0)
