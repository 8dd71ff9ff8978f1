"""16 bits: what is added up is added up in float32, and rounded once, as if the input had been float32."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import DivergenceTerm, EntropyBonus

BACKENDS = ("numpy", "numpy:agnostic", "torch", "jax", "dask")
EPS = 2.0**-10
KINDS = ("float16", "float32")
N = 4096
RNG = np.random.default_rng(0)
ROWS, ONE = RNG.normal(size=(N, 3)).astype(np.float16), RNG.normal(size=3).astype(np.float16)
ORDERS = np.linspace(0.5, 3, N).astype(np.float16)
PAIRS = np.exp(ROWS).astype(np.float16).reshape(N // 2, 2, 3)
MEANS = np.zeros((N, 2), np.float16)
COVARIANCES = np.eye(2, dtype=np.float16) * (1 + np.arange(N, dtype=np.float16) % 5)[:, None, None]


def mean(f, wrt=0, **options):
    """Return the gradient of the mean over N rows."""
    return lambda *args: renyi.grad(f, wrt)(*args, cotangent=1 / N, **options)


SUMS = {
    "entropy of many orders": (mean(renyi.entropy_from_logits), (ONE[None], ORDERS)),
    "bonus of many orders": (lambda x, alpha: renyi.grad(EntropyBonus())(x, alpha=alpha), (ONE[None], ORDERS)),
    "spectrum": (lambda x: renyi.grad(renyi.entropy_spectrum)(x, [k / 9 for k in range(30)], cotangent=1.0), (PAIRS,)),
    "divergence": (mean(renyi.divergence_from_logits, 1), (ROWS, ONE, 2.0)),
    "cross-entropy": (mean(renyi.cross_entropy_from_logits, 1), (ROWS, ONE, 2.0)),
    "Tsallis' divergence": (mean(renyi.tsallis_divergence_from_logits, 1), (ROWS, ONE, 2.0)),
    "term": (renyi.grad(DivergenceTerm(), 1), (ROWS, ONE)),
    "weights": (lambda p, w: mean(renyi.jensen_divergence, "weights", weights=w)(p, 2.0), (PAIRS, PAIRS[0, :, 0])),
    "largest": (mean(renyi.regularized_max), (ONE[None], ORDERS)),
    "Laplace": (mean(renyi.laplace_entropy), (PAIRS[0, 0, :1], ORDERS)),
    "Gaussian": (mean(renyi.gaussian_divergence, 2), (MEANS, COVARIANCES, ONE[:2], COVARIANCES[0], 1.0)),
    "squashed": (mean(renyi.tanh_gaussian_entropy), (ONE[:1], PAIRS[:64, 0, 0], 2.0)),
}


def both(backend, call, args):
    """Return what a call gives for float16, and for the same numbers in float32, rounded."""
    given = [[backend.asarray(x, dtype) if isinstance(x, np.ndarray) else x for x in args] for dtype in KINDS]
    low, high = (_parts(backend.compiled(call)(*some)) for some in given)
    return [(backend.numpy(x), backend.numpy(y).astype(np.float16)) for x, y in zip(low, high, strict=True)]


def _parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", SUMS)
def test_gradients_that_are_sums_over_rows(backend, name):
    if backend.compiles and name not in {"divergence", "term"}:
        pytest.skip("the sum is the same code, which takes long to compile")
    ((got, want),) = both(backend, *SUMS[name])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * EPS * np.max(np.abs(want)))


@pytest.mark.parametrize("estimator", ["plug-in", "bias-corrected", "unbiased"])
def test_counts(backend, estimator):
    """Draws beyond 65504, the largest number; squares of frequencies below 6e-8, the smallest."""
    few = (np.arange(3000.0) % 10, np.full(3, 3e4), np.asarray([6.0, 3.0, 1.0]))
    for counts in few[: 1 if backend.slow else 3]:
        pairs = both(backend, lambda x: renyi.entropy_from_counts(x, 2, estimator=estimator), (counts,))
        for got, want in pairs:
            assert got.dtype == np.float16
            np.testing.assert_allclose(got, want, rtol=EPS)
        if counts[0] == 3e4:
            assert pairs[0][0] == np.float16(math.log(3))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "bool"])
def test_narrow_integers_are_added_up_as_floats(backend, kind):
    """Counts and weights that overflow their own dtype."""
    if backend.slow and kind != "int8":
        pytest.skip("the cast is the same code, which takes long to compile")
    many = np.full(1000, 100).astype(kind)
    logits = backend.asarray(np.tile(ONE, (1000, 1)))
    got = EntropyBonus()(logits, sample_weight=backend.asarray(many))
    np.testing.assert_allclose(backend.numpy(got), backend.numpy(EntropyBonus()(logits)), rtol=1e-6)
    if kind != "bool":
        value, _ = renyi.entropy_from_counts(backend.asarray(many), 2, estimator="unbiased")
        # Σ c(c − 1)/(N(N − 1)) of 1,000 counts of 100
        np.testing.assert_allclose(backend.numpy(value), -math.log(99 / 99_999), rtol=1e-6)
