"""Orders: an array of them has the axes of the result or of the input, and large ones count as what they are."""

from __future__ import annotations

import inspect
import math

import every_call
import mpmath
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core._rules import _rules

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
JOINT = {"conditional_entropy", "jensen_divergence", "jensen_divergence_from_logits", "mutual_information"}
"""Of which the last two axes belong to one value."""
REDUCING = [
    name
    for name in every_call.NAMES
    if "alpha" in inspect.signature(getattr(renyi, name)).parameters
    and (name in JOINT or "axis" in inspect.signature(getattr(renyi, name)).parameters)
    and name not in {"entropy_bounds_from_top", "entropy_from_counts"}
]
TOGETHER = ["gaussian_entropy", "gaussian_divergence", "gram_entropy", "kernel_entropy", "particle_entropy"]


def _arrays(backend, name, shape):
    """Return two of each input of a function."""
    known = [every_call.inputs("plain", shape=shape, seed=seed) for seed in (0, 1)]
    return [backend.asarray(np.stack([own[argument] for own in known])) for argument in every_call.arguments(name)]


@pytest.mark.parametrize("name", REDUCING)
def test_an_order_for_each_distribution_with_the_axes_of_the_input(backend, name):
    """The same as one without these axes; and the product with a cotangent has the shape of the orders."""
    if backend.compiles and name != "entropy":
        pytest.skip("compilations of the same code")
    f, given = getattr(renyi, name), _arrays(backend, name, (3, 4))
    options = {} if name in JOINT else {"axis": -1}
    orders = np.asarray([0.5, 2.0]) if name in JOINT else np.asarray([[0.5, 1.0, 2.0], [0.7, 3.0, 1.5]])
    kept = orders[..., None, None] if name in JOINT else orders[..., None]
    both = backend.compiled(lambda *x: f(*x, **options))
    value, want = (backend.numpy(both(*given, backend.asarray(alpha))) for alpha in (kept, orders))
    np.testing.assert_array_equal(value, want)
    if name == "regularized_argmax":
        options = {"cotangent": given[0]}
    along = backend.compiled(lambda *x: renyi.grad(f, "alpha")(*x, **{"cotangent": 1.0, **options}))
    slopes = [backend.numpy(along(*given, backend.asarray(alpha))) for alpha in (kept, orders)]
    assert slopes[0].shape == kept.shape
    np.testing.assert_array_equal(slopes[0].reshape(orders.shape), slopes[1])


@pytest.mark.parametrize("name", [*REDUCING, *TOGETHER])
def test_more_axes_than_the_result_are_refused(backend, name):
    """That of the input is no exception where its lengths are not 1."""
    given = _arrays(backend, name, (4, 4))
    extra = {"axis": -1} if "axis" in inspect.signature(getattr(renyi, name)).parameters else {}
    for shape in ((1, 1, 1, 1), (3, 2, 1, 1), (1, 1, 4)):
        with pytest.raises(ValueError, match=r"`alpha` of shape .* `entropy_spectrum`"):
            getattr(renyi, name)(*given, backend.asarray(np.full(shape, 0.5)), **extra)


def test_temperatures_have_the_axes_of_the_scores_too(backend):
    if backend.compiles:
        pytest.skip("compilations of the same code")
    x = backend.asarray(every_call.inputs("plain")["scores"])
    temperature = np.linspace(0.5, 1.5, 6)
    got, want = (renyi.regularized_max(x, 1.5, backend.asarray(t)) for t in (temperature[:, None], temperature))
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want))
    with pytest.raises(ValueError, match="`temperature` of shape"):
        renyi.regularized_max(x, 1.5, backend.asarray(temperature[:, None, None]))


def test_terms_take_an_order_for_each_row_with_the_axes_of_the_input(backend):
    x = backend.asarray(every_call.inputs("plain")["logits"])
    orders = np.linspace(0.5, 2.0, 6)
    for name in ("EntropyBonus", "EntropyFloor", "SampledEntropyBonus", "ConfidencePenalty")[
        : 1 if backend.slow else 4
    ]:
        both = renyi.value_and_grad(every_call.term(name), "alpha")
        (value, slope), (want, alone) = (both(x, alpha=backend.asarray(alpha)) for alpha in (orders[:, None], orders))
        assert tuple(slope.shape) == (6, 1)
        assert backend.numpy(value) == backend.numpy(want)
        np.testing.assert_array_equal(backend.numpy(slope)[:, 0], backend.numpy(alone))


LARGE = {"float32": (2e19, 1e25, 1e30), "float64": (2e154, 1e200, 1e290)}


def _tsallis(gap, alpha, divisor=1):
    """Return the divergence of P and Q, half of 1 ± tanh, of logits ± gap/2 and ∓ gap/2, in 60 digits and more."""
    with mpmath.workdps(60 + 2 * int(math.log10(alpha))):
        g, a = mpmath.mpf(gap), mpmath.mpf(alpha)
        p = [1 / (1 + mpmath.exp(s * g)) for s in (-1, 1)]
        renyi_divergence = mpmath.log(sum(x**a * y ** (1 - a) for x, y in zip(p, p[::-1], strict=True))) / (a - 1)
        return float(mpmath.expm1((a - 1) * renyi_divergence) / (a - 1) / (a if divisor != 1 else 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("static", [True, False], ids=["number", "array"])
def test_large_orders_are_not_infinite(backend, dtype, static):
    """What falls as 1/α, and what depends on differences of 1/α; mpmath in digits enough."""
    eps = float(np.finfo(dtype).eps)
    close = {"rtol": 64 * eps, "atol": 0}
    if backend.compiles:
        pytest.skip("compilations of the same code")
    for alpha in LARGE[dtype][: 1 if backend.slow else 3]:
        alpha = float(np.asarray(alpha, dtype))  # noqa: PLW2901
        order = alpha if static else backend.asarray(np.asarray(alpha), dtype)
        for f, x in ((renyi.tsallis_entropy, [0.5, 0.5]), (renyi.tsallis_entropy_from_logits, [0.0, 0.0])):
            got = backend.numpy(f(backend.asarray(np.asarray(x), dtype), order))
            np.testing.assert_allclose(got, 1 / alpha, **close)
        # the largest two are apart by a difference that α makes 1
        gap = float(np.asarray(1 / alpha, dtype))
        logits = backend.asarray(np.asarray([0.0, -gap]), dtype)
        share = 1 / (1 + math.exp(-alpha * gap))
        for f, factor in ((renyi.entropy_from_logits, 1), (renyi.hill_number_from_logits, 2)):
            got = backend.numpy(renyi.grad(f)(logits, order))
            np.testing.assert_allclose(got, factor * np.asarray([0.5 - share, share - 0.5]), **close)
        p, q = (backend.asarray(np.asarray([s * gap / 2, -s * gap / 2]), dtype) for s in (1, -1))
        want = _tsallis(gap, alpha)
        np.testing.assert_allclose(backend.numpy(renyi.tsallis_divergence_from_logits(p, q, order)), want, **close)
        if 1 / alpha > 8 * math.sqrt(np.finfo(dtype).smallest_normal):
            got = backend.numpy(renyi.alpha_divergence_from_logits(p, q, order))
            np.testing.assert_allclose(got, _tsallis(gap, alpha, alpha), **close)
        got = backend.numpy(
            renyi.alpha_divergence(*(backend.asarray(np.asarray(x), dtype) for x in ([0.9, 0.1], [0.5, 0.5])), order)
        )
        assert got == math.inf
        # −(log α − 1)/α², where that is a number of the dtype
        slope = renyi.grad(renyi.gaussian_entropy, "alpha")(
            backend.asarray(np.ones((1, 1)), dtype), order, kind="diagonal"
        )
        smallest = 4 * float(np.finfo(dtype).smallest_normal)
        want = (1 - math.log(alpha)) / alpha / alpha / 2
        np.testing.assert_allclose(backend.numpy(slope), [want], rtol=64 * eps, atol=smallest)


def test_the_product_of_large_orders_and_large_differences_is_not_lost(backend):
    """D stays that of α = ∞, and so do the derivatives that α multiplies twice."""
    if backend.compiles:
        pytest.skip("compilations of the same code")
    dtype, alpha = "float64", 1e290
    x, y = (backend.asarray(np.asarray(row), dtype) for row in ([3.0, 1.0, -2.0], [-2.0, 0.0, 3.0]))
    for order in (alpha, backend.asarray(np.asarray(alpha), dtype)):
        got, want = (backend.numpy(renyi.divergence_from_logits(x, y, a)) for a in (order, math.inf))
        np.testing.assert_allclose(got, want, rtol=64 * np.finfo(dtype).eps)
        for wrt in (0, "temperature", "alpha"):
            got = backend.numpy(renyi.grad(renyi.regularized_argmax, wrt)(x, order, cotangent=y))
            assert np.isfinite(got).all()
    for mean, scale in ((0.5, 5.0), (0.0, 100.0)):
        m, s = (backend.asarray(np.asarray(v), dtype) for v in (mean, scale))
        got, want = (backend.numpy(renyi.tanh_gaussian_entropy(m, s, a)) for a in (alpha, math.inf))
        assert got == want


@pytest.mark.parametrize("number", [10**400, 10**5000], ids=["400", "5000"])
def test_integers_beyond_the_floats_are_named(backend, number):
    x = backend.asarray(np.ones(3))
    for name, call in (
        ("alpha", lambda: renyi.entropy(x, number)),
        ("base", lambda: renyi.entropy(x, 2.0, base=number)),
        ("temperature", lambda: renyi.regularized_max(x, 2.0, number)),
        ("bandwidth", lambda: renyi.kernel_entropy(x[:, None], 2.0, bandwidth=number)),
        ("weight", lambda: every_call.term("EntropyBonus", weight=number)),
        ("tolerance", lambda: renyi.check_probabilities(x / 3, tolerance=number)),
        ("rate", lambda: renyi.schedules.TargetEntropy(1.0, rate=number)),
    ):
        with pytest.raises(ValueError, match=f"`{name}` is an int beyond the floats"):
            call()


def test_every_function_with_an_order_has_a_rule():
    """So that what is said of derivatives here is said of all."""
    assert all(getattr(renyi, name) in _rules for name in REDUCING)
