"""Regularized choices: that no distribution is better, where there are many local maxima."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import hypothesis
import numpy as np
import oracle_choice as oracle
import pytest
from choice_cases import argmax, largest, not_compiled, value
from hypothesis import strategies as st

import renyi_core as renyi

# jax:x32 runs that of jax, compiled anew
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")


def only_numpy(backend):
    if backend.library != "numpy":
        pytest.skip("a test of the search: it is the same code for every library, and the grid runs it")


def simplex(n, steps):
    """Return a grid on the simplex."""
    inner = itertools.combinations(range(steps + n - 1), n - 1)
    cuts = np.asarray([(-1, *cut, steps + n - 1) for cut in inner])
    return (np.diff(cuts, axis=1) - 1) / steps


def by_force(scores, alpha, temperature):
    """Return the largest objective on a grid, its best points refined on smaller and smaller grids around them."""
    n = len(scores)
    grid = simplex(n, {2: 400, 3: 60, 4: 20}[n])
    moves = np.asarray(list(itertools.product((-1, -0.5, 0, 0.5, 1), repeat=n - 1)))
    moves = np.concatenate([moves, -moves.sum(1, keepdims=True)], axis=1)
    best = grid[np.argsort(value(grid, scores, alpha, temperature))[-12:]]
    size = 1 / 20
    for _ in range(45):
        near = np.maximum(best[:, None] + size * moves, 0)
        near = near / near.sum(-1, keepdims=True)
        worth = value(near, scores, alpha, temperature)
        best = near[np.arange(len(best)), np.argmax(worth, axis=1)]
        size *= 0.6
    return np.max(value(best, scores, alpha, temperature))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 2.0, 4.0, math.inf])
def test_no_distribution_is_better(backend, alpha):
    only_numpy(backend)
    rng = np.random.default_rng(4)
    several = 0
    for k in range(12):
        n = (2, 3, 4)[k % 3]
        scores = rng.normal(size=n) * rng.uniform(0.5, 2)
        temperature = float(np.exp(rng.uniform(-1, 1)))
        if k % 2:
            # a leader next to several of equal rank: where the local maxima are
            scores = np.append(temperature * rng.uniform(1.2, 2.2), 0.05 * rng.normal(size=n - 1))
        p = backend.numpy(argmax(backend.asarray(scores), alpha, temperature))
        got = float(backend.numpy(largest(backend.asarray(scores), alpha, temperature)))
        assert (p >= 0).all()
        assert p.sum() == pytest.approx(1, abs=1e-14)
        assert got == pytest.approx(value(p, scores, alpha, temperature), abs=1e-13)
        want = by_force(scores, alpha, temperature)
        assert want == pytest.approx(got, abs=1e-7)
        assert want <= got + 1e-12
        several += oracle.exact(scores, alpha, temperature).roots > 1
    assert (several > 1) == (2 < alpha < math.inf)


@pytest.mark.parametrize("n", [12, 60])
@pytest.mark.parametrize("alpha", [1.3, 2.0, 3.0, 20.0, 300.0])
def test_the_best_of_many_local_maxima(backend, n, alpha):
    """Ranks whose scores fall as log k tie sets of all sizes; so do groups of log n below the others."""
    only_numpy(backend)
    rng = np.random.default_rng(n)
    rank = np.log(np.arange(1, n + 1))
    scores = np.concatenate(
        [
            -rank * rng.uniform(0.8, 1.2, size=(8, 1)) * (1 + 0.1 * rng.normal(size=(8, n))),
            np.where(np.arange(n) < n // 4, math.log(n) * rng.uniform(0.5, 1.5, size=(8, 1)), 0)
            + 0.1 * rng.normal(size=(8, n)),
        ]
    )
    got = backend.numpy(largest(backend.asarray(scores), alpha))
    want = [_scanned(row, alpha) for row in scores]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


def ranked(seed, rows, n=100):
    rng = np.random.default_rng(seed)
    return -np.log(np.arange(1, n + 1)) * rng.uniform(0.8, 1.3, size=(rows, 1)) * (1 + 0.1 * rng.normal(size=(rows, n)))


@pytest.mark.parametrize("alpha", [20.0, pytest.param(1000.0, marks=pytest.mark.full)])
def test_hundreds_of_local_maxima(backend, alpha):
    only_numpy(backend)
    scores = ranked(1, 40)
    got = backend.numpy(largest(backend.asarray(scores), alpha))
    for row, worth in zip(scores, got, strict=True):
        assert _scanned(row, alpha, refined=False) <= worth + 1e-12


def test_maxima_that_other_bounds_miss(backend):
    """The cell that has them is dropped for another of a bound that is a little too large, or its own too small."""
    only_numpy(backend)
    scores = ranked(7, 200)
    for alpha, k in ((8.0, 119), (20.0, 70), (100.0, 70)):
        got = float(backend.numpy(largest(backend.asarray(scores[k]), alpha)))
        assert _scanned(scores[k], alpha) == pytest.approx(got, abs=1e-10)


def _scanned(scores, alpha, *, refined=True):
    """Return the largest objective of a fine scan of p ∝ (δ − γ)₊^{1/(α−1)}, refined around its maxima."""
    gaps, t = scores.max() - scores, alpha - 1
    delta = np.linspace(alpha / t, alpha / t + gaps.max(), 2000)
    edges = gaps[(gaps > delta[0]) & (gaps < delta[-1])]
    delta = np.sort(np.concatenate([delta, edges, (edges[:, None] * (1 + np.geomspace(1e-13, 1e-3, 24))).ravel()]))

    def worth(some):
        w = np.maximum(some[:, None] - gaps, 0) / some[:, None]
        p = w ** (1 / t)
        return value(p / p.sum(-1, keepdims=True), scores, alpha, 1.0)

    found = worth(delta)
    if not refined:
        return found.max()
    k = np.nonzero((found[1:-1] >= found[:-2]) & (found[1:-1] >= found[2:]))[0] + 1
    k = k[np.argsort(found[k])[-10:]]
    low, high = delta[k - 1], delta[k + 1]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(45):
        left, right = high - golden * (high - low), low + golden * (high - low)
        better = worth(left) > worth(right)
        low, high = np.where(better, low, left), np.where(better, right, high)
    return max(found.max(), *worth((low + high) / 2))


def test_limits(backend):
    not_compiled(backend)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 7))
    x = backend.asarray(values)
    shifted = np.exp((values - values.max(-1, keepdims=True)) / 0.4)
    np.testing.assert_allclose(
        backend.numpy(argmax(x, 1, 0.4)), shifted / shifted.sum(-1, keepdims=True), rtol=0, atol=1e-15
    )
    want = values.max(-1) + 0.4 * np.log(shifted.sum(-1))
    np.testing.assert_allclose(backend.numpy(largest(x, 1, 0.4)), want, rtol=1e-14)
    best = np.eye(7)[values.argmax(-1)]
    for alpha in (0.5, 2.0, math.inf)[1 if backend.compiles else 0 :]:
        np.testing.assert_allclose(backend.numpy(argmax(x, alpha, 1e-6)), best, rtol=0, atol=1e-5)
        np.testing.assert_allclose(backend.numpy(argmax(x, alpha, 1e9)), np.full((5, 7), 1 / 7), rtol=1e-7)
    # α -> 0
    np.testing.assert_array_equal(backend.numpy(argmax(x, 0)), best)
    np.testing.assert_allclose(backend.numpy(largest(x, 0, 0.4)), values.max(-1) + 0.4 * math.log(7), rtol=1e-14)
    if not backend.compiles:
        np.testing.assert_allclose(backend.numpy(argmax(x, 1e-9, 0.4)), best, rtol=0, atol=1e-7)
        np.testing.assert_allclose(backend.numpy(largest(x, 1e-9, 0.4)), backend.numpy(largest(x, 0, 0.4)), rtol=1e-6)
        np.testing.assert_allclose(backend.numpy(largest(x, 1e9)), backend.numpy(largest(x, math.inf)), rtol=1e-7)
    # α = ∞: equal on the k largest, for the best k
    ordered = np.sort(values)[:, ::-1]
    each = np.cumsum(ordered, axis=-1) / np.arange(1, 8) + 0.4 * np.log(np.arange(1, 8))
    np.testing.assert_allclose(backend.numpy(largest(x, math.inf, 0.4)), each.max(-1), rtol=1e-14)
    size = 1 + each.argmax(-1)[:, None]
    flat = (values >= np.take_along_axis(ordered, size - 1, -1)) / size
    np.testing.assert_allclose(backend.numpy(argmax(x, math.inf, 0.4)), flat, rtol=1e-15)


@pytest.mark.parametrize(("dtype", "alpha"), [("float64", 1e-30), ("float32", 1e-10)])
def test_tails_of_orders_near_0(backend, dtype, alpha):
    """p is α T/(n γ) there; v is log n, where the search ends, to rounding."""
    not_compiled(backend)
    values = np.random.default_rng(1).normal(size=(30, 5)).astype(dtype)
    gaps = values.max(-1, keepdims=True) - values
    below = gaps > 0
    x = backend.asarray(values, dtype)
    for order in (alpha, backend.asarray(np.full(30, alpha), dtype)):
        p = backend.numpy(argmax(x, order, 0.4))
        np.testing.assert_allclose(p[below], alpha * 0.4 / 5 / gaps[below], rtol=1000 * np.finfo(dtype).eps)


def test_ties_and_single_outcomes(backend):
    not_compiled(backend)
    ties = backend.asarray(np.asarray([[2.0, 2.0, 2.0, -9.0], [1.0, 1.0, 1.0, 1.0]]))
    for alpha in (0.0, 0.5, 2.0, 40.0, math.inf):
        got = backend.numpy(argmax(ties, alpha, 0.5))
        assert (got[:, :3] == got[:, :1]).all(), alpha
        np.testing.assert_array_equal(got[1], 0.25)
        assert got[0, 3] == 0 or alpha == 0.5
        single = backend.asarray(np.asarray([[3.5], [-1.0]]))
        np.testing.assert_array_equal(backend.numpy(argmax(single, alpha)), 1)
        np.testing.assert_array_equal(backend.numpy(largest(single, alpha)), [3.5, -1])


SCORES = st.lists(st.floats(-5, 5), min_size=5, max_size=5)
WEIGHTS = st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda w: sum(w) > 0.1)


@hypothesis.given(SCORES, SCORES, WEIGHTS, st.sampled_from([0.0, 0.2, 0.7, 1.0, 1.5, 3.0, 30.0, math.inf]))
def test_laws(backend, scores, others, weights, alpha):
    if backend.slow:
        pytest.skip("compiled case by case there: on the grid alone")
    temperature = 0.8
    x, y = (backend.asarray(np.asarray(values)) for values in (scores, others))

    def of(values, order=alpha):
        return float(backend.numpy(largest(values, order, temperature)))

    mine, theirs = of(x), of(y)
    # at least the objective at any distribution, so between max s and max s + T log n, and not increasing in α
    p = np.asarray(weights) / sum(weights)
    entropy = float(backend.numpy(renyi.entropy(backend.asarray(p), alpha)))
    slack = 1e-13
    assert mine >= p @ scores + temperature * entropy - slack
    assert max(scores) - slack <= mine <= max(scores) + temperature * math.log(5) + slack
    assert of(x, alpha + 0.5) <= mine + slack
    # convex in the scores, and p its subgradient: it never says more than the value does
    assert of((x + y) / 2) <= (mine + theirs) / 2 + slack
    got = backend.numpy(argmax(x, alpha, temperature))
    assert theirs >= mine + got @ (np.asarray(others) - np.asarray(scores)) - slack
    # p moves along with the scores: monotone, and the same for scores moved together
    assert (got - backend.numpy(argmax(y, alpha, temperature))) @ (np.asarray(scores) - np.asarray(others)) >= -slack
    if alpha > 0:
        order = np.argsort(scores)
        assert (np.diff(got[order]) >= -1e-15).all()


@pytest.mark.parametrize("axis", [-1, 2])
@pytest.mark.parametrize("alpha", [1.5, np.asarray([1.5, 3.0] * 25)[:, None]], ids=["number", "array"])
def test_many_rows(backend, alpha, axis):
    """More than NumPy's search takes at a time: the same as all at once, to rounding where maxima are flat."""
    only_numpy(backend)
    values = np.moveaxis(np.random.default_rng(9).normal(size=(1, 50, 11, 40)), -1, axis)
    for temperature in (0.7, np.asarray([0.7, 0.5])[:, None, None]):
        got = argmax(backend.asarray(values), alpha, temperature, axis=axis)
        with renyi.agnostic_only():
            want = argmax(backend.asarray(values), alpha, temperature, axis=axis)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


def test_memory_of_many_rows(backend):
    only_numpy(backend)
    x = np.random.default_rng(9).normal(size=(2, 400, 64))

    def peak():
        tracemalloc.start()
        argmax(x, 1.5, 0.7)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    with renyi.agnostic_only():
        whole = peak()
    assert peak() < whole / 2
