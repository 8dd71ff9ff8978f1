"""Random calls against arithmetic of 80 digits: rows of every kind, orders from 0 to ∞ and as near to 1 as floats are.

A short profile runs with the other tests; ``nox -s fuzz`` runs as many examples as FUZZ_EXAMPLES says, at random.
"""

from __future__ import annotations

import contextlib
import math

import mpmath
import numpy as np
import oracle
import oracle_jensen
import oracle_joint
import oracle_measures
import oracle_pairs
from fuzz_cases import ROWS, logits, pairs_of, probs
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import arrays, back, examples

import renyi_core as renyi

BACKENDS = ("numpy", "torch")
DOORS = {"probs": probs, "logits": logits}
PAIRS = {
    "divergence": (renyi.divergence, renyi.divergence_from_logits),
    "tsallis": (renyi.tsallis_divergence, renyi.tsallis_divergence_from_logits),
    "alpha": (renyi.alpha_divergence, renyi.alpha_divergence_from_logits),
    "cross": (renyi.cross_entropy, renyi.cross_entropy_from_logits),
}
JOINTS = {
    "sibson": (renyi.mutual_information, {"kind": "sibson"}),
    "arimoto": (renyi.mutual_information, {"kind": "arimoto"}),
    "conditional": (renyi.conditional_entropy, {}),
}
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64"])
doors = st.sampled_from(sorted(DOORS))
two_kinds = st.lists(st.sampled_from(ROWS), min_size=2, max_size=2)
lengths = st.sampled_from([1, 2, 3, 5, 33])


@st.composite
def orders(draw):
    """Draw an order: special, near 1, small, large or moderate."""
    power = st.floats(-16, -1)
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, math.inf]))
    if kind == 1:
        return 1 + draw(st.sampled_from([-1.0, 1.0])) * 10 ** draw(power)
    if kind == 2:
        return 10 ** draw(st.floats(-6, -1))
    return draw(st.floats(10, 1e4)) if kind == 3 else draw(st.floats(0.1, 6))


def as_they_are(agnostic):
    """The array-API code alone, or what the library takes."""
    return renyi.agnostic_only() if agnostic else contextlib.nullcontext()


def everything(backend, f, xs, alpha, wrt, agnostic, **options):
    """Return the value and each derivative."""
    with as_they_are(agnostic):
        given_ = arrays(backend, xs)
        found = [renyi.value_and_grad(f, each)(*given_, alpha, **options) for each in wrt]
        alone = back(backend, f(*given_, alpha, **options))
    value, eps = back(backend, found[0][0]), float(np.finfo(xs[0].dtype).eps)
    np.testing.assert_allclose(alone, value, rtol=128 * eps, atol=eps**2)
    return value, [back(backend, gradient) for _, gradient in found]


def spans(source, *rows):
    """Return how many nats the entries of a row span, at most."""
    logs = [
        np.log(row[row > 0].astype(float)) if source == "probs" else row[row > -np.inf].astype(float) for row in rows
    ]
    return max(float(np.ptp(each)) for each in logs)


def off(got, want, eps, largest, floor=0):
    """Return the error in eps, relative to the norm of what is wanted or to a floor; absolute if both are 0."""
    with mpmath.workdps(oracle.DIGITS):
        pairs = zip(np.ravel(got), np.ravel(np.asarray(want, dtype=object)), strict=True)
        pairs = [(mpmath.mpf(float(g)), w) for g, w in pairs if w is not None and abs(w) < largest]
        if any(mpmath.isnan(g) or mpmath.isinf(g) for g, _ in pairs):
            return math.inf
        size = mpmath.sqrt(mpmath.fsum(w * w for _, w in pairs))
        size = max(size, abs(floor))
        miss = mpmath.sqrt(mpmath.fsum((g - w) ** 2 for g, w in pairs))
        return float(miss / (size if size > mpmath.mpf(10) ** -40 else 1) / eps)


@examples(1)
@given(seeds, doors, lengths, st.lists(st.sampled_from(ROWS), min_size=1, max_size=1), orders(), dtypes, st.booleans())
def test_entropies(backend, seed, source, n, kind, alpha, dtype, agnostic):
    row, eps = DOORS[source](np.random.default_rng(seed), (n,), kind, dtype), float(np.finfo(dtype).eps)
    f = renyi.entropy if source == "probs" else renyi.entropy_from_logits
    value, (gradient, slope) = everything(backend, f, [row], alpha, (0, "alpha"), agnostic)
    exact, span = oracle.exact(row, alpha, source), spans(source, row)
    if exact.entropy.high[0] < max(1e-40, float(np.finfo(dtype).tiny) / eps):
        # below what 80 digits tell from 0, or a result of subnormal numbers
        assert 0 <= value <= 2 * exact.entropy.high[0] + 1e-40
        return
    # z − max z is rounded
    assert oracle.error(value, exact.entropy, eps) <= 16 + span / 2
    assert oracle.error(slope, exact.alpha_gradient, eps) <= 32 + 4 * span
    if np.max(np.abs(exact.gradient.high)) < np.finfo(dtype).max:
        # escort weights below e**−40 count for nothing
        steep = span if alpha < 1 else min(min(alpha, 1e6) * span, 40.0)
        assert oracle.error(gradient, exact.gradient, eps) <= 32 + 4 * steep


@examples(1)
@given(seeds, doors, lengths, two_kinds, orders(), dtypes, st.booleans(), st.sampled_from(sorted(PAIRS)))
def test_pairs(backend, seed, source, n, kinds, alpha, dtype, agnostic, measure):
    eps, largest = float(np.finfo(dtype).eps), float(np.finfo(dtype).max) / 16
    if math.isinf(alpha) and measure in {"tsallis", "alpha"}:
        # 0 or infinite, by whether two rounded distributions are equal
        return
    x, y = pairs_of(DOORS[source])(np.random.default_rng(seed), (), n, kinds, dtype)
    value, got = everything(backend, PAIRS[measure][source == "logits"], [x, y], alpha, (0, 1, "alpha"), agnostic)
    exact = (
        oracle_pairs.exact(x, y, alpha, source)
        if measure == "divergence"
        else oracle_measures.exact(measure, x, y, alpha, source)
    )
    if exact.value > largest:
        assert value > largest / 2
        return
    bound = 64 + 8 * spans(source, x, y) + 16 * min(alpha, 1e5)
    bound *= getattr(exact, "factor", 1.0)
    assert off(value, exact.value, eps, largest) <= bound
    if math.isinf(alpha) or (measure in {"tsallis", "alpha"} and exact.value * max(alpha, 1.0) > largest):
        # which entries are the largest is a matter of rounding; exp(t D), which multiplies ∂D, overflows
        return
    # derivatives of what is next to 0 are right next to the value
    for gradient, want in zip(got, (*exact.gradients, exact.alpha_gradient), strict=True):
        assert off(gradient, want, eps, largest, exact.value) <= bound


@examples(0.5)
@given(seeds, st.sampled_from([2, 3, 5]), two_kinds, orders(), dtypes, st.sampled_from(sorted(JOINTS)))
def test_joints(backend, seed, n, kinds, alpha, dtype, name):
    eps, largest = float(np.finfo(dtype).eps), float(np.finfo(dtype).max) / 16
    joint = probs(np.random.default_rng(seed), (3, n), kinds, dtype)
    f, options = JOINTS[name]
    value, (gradient, slope) = everything(backend, f, [joint], alpha, (0, "alpha"), agnostic=False, **options)
    exact, span = oracle_joint.exact(name, joint, alpha, digits=240), spans("probs", joint)
    steep = max(1.0, min(alpha, 1e4))
    # Arimoto's inputs are a power of a rounded marginal, and are lost where that leaves all but one
    floor = (1.0 if math.isinf(alpha) else 1e-15) if name == "arimoto" else 0
    power = 4 * steep if name == "arimoto" else 0
    assert off(value, exact.value, eps, largest, floor) <= 64 + span / 2 + power
    bound = 64 + 4 * span + 32 * steep + (4 / alpha if 0 < alpha < 1 else 0)
    if name == "conditional":
        bound += 4 * span * steep
    # of a channel without noise and equal inputs the derivatives vanish, and are right next to the information
    own = 0 if name == "conditional" else float(exact.value)
    # the square of a rounding, where columns are nearly uniform on a part of their outcomes
    of_slope = own / (1 + min(alpha, 1e5)) ** (1 if name == "arimoto" else 2) + 64 * eps * float(exact.value) ** 2
    assert off(slope, exact.alpha_gradient, eps, largest, floor + of_slope) <= bound
    if 0 < alpha < math.inf:
        # the oracle's steps are no steps next to entries of less
        want = [g if w > 0 else None for g, w in zip(exact.gradient, joint.ravel(), strict=True)]
        assert off(gradient, want, eps, largest, floor + own) <= bound


@examples(0.5)
@given(seeds, st.sampled_from([1, 2, 5, 9]), two_kinds, orders(), dtypes, st.booleans())
def test_jensen(backend, seed, n, kinds, alpha, dtype, weighted):
    rng, eps = np.random.default_rng(seed), float(np.finfo(dtype).eps)
    rows = probs(rng, (3, n), kinds, dtype)
    weights = rng.uniform(0.05, 1, size=3).astype(dtype) if weighted else np.ones(3, dtype=dtype)
    options = {"weights": backend.asarray(weights, dtype)} if weighted else {}
    value = back(backend, renyi.jensen_divergence(*arrays(backend, [rows]), alpha, **options))
    exact = oracle_jensen.exact(rows, weights, alpha)
    # a sum of terms of both signs above 1
    floor = exact.terms if alpha > 1 else 0
    assert off(value, exact.value, eps, math.inf, floor) <= 128 + 2 * spans("probs", rows) + min(alpha, 1e5)
