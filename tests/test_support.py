"""What belongs to the support counts, however small: p > 0 and z > −∞, also where p/max p is below the dtype."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

import renyi_core as renyi

LARGEST = float(np.finfo(np.float64).max)
PROBS = {"below": [1e300, 1e-20, 0.0, 1e-250], "subnormal": [2.0, 5e-324, 0.0, 1e-310]}
ORDERS = (0.0, 1e-3, 0.1, 0.5)
CASES = pytest.mark.parametrize("name", PROBS)


def row(backend, name, dtype="float64"):
    if name == "subnormal" and backend.library == "jax":
        pytest.skip("XLA takes subnormal numbers for 0")
    return backend.asarray(np.asarray([PROBS[name]], dtype))


def exact(values, alpha, function):
    """Return a function of Σ p**α by 1000-digit arithmetic."""
    with mpmath.workdps(1000):
        p = [mpmath.mpf(float(x)) for x in values if x > 0]
        return float(function(mpmath.fsum((x / mpmath.fsum(p)) ** mpmath.mpf(alpha) for x in p), mpmath.mpf(alpha)))


FUNCTIONS = {
    "entropy": lambda s, a: mpmath.log(s) / (1 - a),
    "hill_number": lambda s, a: s ** (1 / (1 - a)),
    "tsallis_entropy": lambda s, a: (1 - s) / (a - 1),
}


@CASES
@pytest.mark.parametrize("function", FUNCTIONS)
def test_entropies(backend, name, function):
    """Within 16 units in the last place, and half of one for each nat of α log p."""
    x, f = row(backend, name), getattr(renyi, function)
    orders = ORDERS[:: 2 if backend.slow else 1]
    bounds = {alpha: (16 + 750 * alpha) * 2.0**-52 for alpha in orders}
    for alpha in orders:
        want = exact(PROBS[name], alpha, FUNCTIONS[function])
        found = [backend.compiled(lambda x, a=alpha: f(x, a))(x)]
        if not backend.slow:
            found.append(f(x, backend.asarray(np.asarray([alpha]))))
        for value in found:
            np.testing.assert_allclose(backend.numpy(value), want, rtol=bounds[alpha], err_msg=str(alpha))


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_float32(backend, alpha):
    x = backend.asarray(np.asarray([[1e30, 1e-30, 0.0]]), "float32")
    want = exact(np.asarray([1e30, 1e-30], "float32"), alpha, FUNCTIONS["entropy"])
    value = backend.compiled(lambda x: renyi.entropy(x, alpha))(x)
    np.testing.assert_allclose(backend.numpy(value), want, rtol=1e-5)


def test_logits_whose_difference_overflows(backend):
    x = backend.asarray(np.asarray([[LARGEST, -LARGEST, -math.inf]]))
    number = backend.compiled(lambda x: renyi.hill_number_from_logits(x, 0.0))
    assert backend.numpy(number(x)) == 2
    if not backend.slow:
        orders = backend.asarray(np.asarray([0.0]))
        assert backend.numpy(renyi.hill_number_from_logits(x, orders)) == 2
        spectrum = renyi.entropy_spectrum_from_logits(x, [0.0, 1.0])
        np.testing.assert_array_equal(backend.numpy(spectrum), [[math.log(2), 0.0]])
        assert not backend.numpy(renyi.grad(renyi.entropy_from_logits)(x, 0.0)).any()


@CASES
def test_derivatives(backend, name):
    """∂H/∂p = (α/t)(1 − q/p), by the same arithmetic, where p > 0; the one along α by differences."""
    if backend.slow:
        pytest.skip("the same code as on other libraries")
    x = row(backend, name)
    for alpha in (0.5, 2.0):
        got = backend.numpy(renyi.grad(renyi.entropy)(x, alpha))[0]
        with mpmath.workdps(1000):
            p = [mpmath.mpf(float(v)) for v in PROBS[name] if v > 0]
            size, power = mpmath.fsum(p), mpmath.fsum((v / mpmath.fsum(p)) ** mpmath.mpf(alpha) for v in p)
            a = mpmath.mpf(alpha)
            want = [float(a / (a - 1) * (1 - (v / size) ** (a - 1) / power) / size) for v in p]
        np.testing.assert_allclose(got[np.asarray(PROBS[name]) > 0], want, rtol=1e-12)
    value = [exact(PROBS[name], 1e-3 + h, FUNCTIONS["entropy"]) for h in (-1e-8, 1e-8)]
    slope = backend.numpy(renyi.grad(renyi.entropy, "alpha")(x, 1e-3))
    np.testing.assert_allclose(slope, (value[1] - value[0]) / 2e-8, rtol=1e-5)


@CASES
def test_divergence_of_order_zero(backend, name):
    """−log Q(p > 0): 0 of what P and Q share, whatever P gives it."""
    x = row(backend, name)
    y = backend.asarray(np.asarray([[0.25, 0.25, 0.25, 0.25]]))
    value = backend.compiled(lambda x, y: renyi.divergence(x, y, 0.0))(x, y)
    np.testing.assert_allclose(backend.numpy(value), -math.log(0.75), rtol=1e-14)
    if not backend.slow:
        np.testing.assert_array_equal(backend.numpy(renyi.cross_entropy(x, y, 0.0)), math.log(4))
        other = backend.numpy(renyi.divergence(y, x, 0.0))
        np.testing.assert_allclose(other, 0.0, atol=1e-300)


@CASES
def test_jensen_divergence_of_order_zero(backend, name):
    """log of the outcomes that any has, less the mean of those of each."""
    x = np.asarray([PROBS[name], [0.0, 0.0, 1.0, 1.0]])
    if name == "subnormal" and backend.library == "jax":
        pytest.skip("XLA takes subnormal numbers for 0")
    want = math.log(4) - (math.log(3) + math.log(2)) / 2
    for alpha in (0.0, backend.asarray(np.asarray(0.0)))[: 1 if backend.slow else 2]:
        value = renyi.jensen_divergence(backend.asarray(x), alpha)
        np.testing.assert_allclose(backend.numpy(value), want, rtol=1e-14)
