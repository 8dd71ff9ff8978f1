"""The search of nearest neighbors: many samples, far from the origin, with and without SciPy's tree."""

from __future__ import annotations

import functools
import importlib.util
import math

import numpy as np
import oracle_particles as oracle
import pytest
from test_particles import sample

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "jax:x32", "dask")


@functools.cache
def many(n, d):
    """Return so many samples, and what `brute` finds of them."""
    rows = sample(n, d, 7).astype(np.float32).astype(np.float64)
    return rows, *brute(rows, 3)


def brute(rows, k):
    """Return the indices of k-th nearest neighbors, and the distances."""
    gaps = rows[:, None] - rows
    squares = np.sum(gaps * gaps, axis=-1)
    np.fill_diagonal(squares, np.inf)
    index = np.argsort(squares, axis=-1)[:, k - 1]
    return index, np.sqrt(squares[np.arange(len(rows)), index])


@pytest.mark.parametrize("d", [2, 17])
def test_many_samples(backend, d):
    """More pairs than one block holds; few dimensions, and more than a tree takes. The gradient adds up to none."""
    if d > 2 and (backend.library == "dask" or backend.variant == "x32" or (backend.slow and not backend.compiles)):
        pytest.skip("the search is NumPy's, or that of float64")
    n = 1100
    rows, index, rho = many(n, d)
    x = backend.asarray(rows)
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    reward = backend.compiled(lambda x: renyi.particle_reward(x, 0.25))(x)
    np.testing.assert_allclose(backend.numpy(reward), rho**0.75, rtol=16 * eps if eps < 1e-10 else 64 * eps)
    if not backend.slow:
        single = renyi.particle_reward(backend.asarray(rows, "float32"), 0.25)
        np.testing.assert_allclose(backend.numpy(single), rho**0.75, rtol=64 * 2.0**-23)
    value, gradient = backend.compiled(lambda x: renyi.value_and_grad(renyi.particle_entropy)(x, 1.0))(x)
    pull = d / n * (rows - rows[index]) / rho[:, None] ** 2
    want = pull.copy()
    np.subtract.at(want, index, pull)
    assert np.max(np.abs(backend.numpy(gradient) - want)) <= 64 * eps * np.max(np.abs(want))
    constant = float(oracle.log_ball(d) + oracle.log_factor(3, 1)) + math.log(n - 1)
    assert backend.numpy(value) == pytest.approx(constant + d * np.log(rho).mean(), rel=64 * eps)


def test_far_from_the_origin(backend):
    """Where squares of distances by products of samples would lose their digits, and with them the neighbors."""
    if backend.slow and not backend.compiles:
        pytest.skip("the others are alike")
    for dtype in backend.dtypes:
        shift = 2.0**20 if dtype == "float64" else 2.0**6
        rows = (sample(200, 2, 8) + shift).astype(dtype)
        _, rho = brute(rows.astype(np.float64), 3)
        reward = backend.compiled(lambda x: renyi.particle_reward(x, 0.5))(backend.asarray(rows, dtype))
        np.testing.assert_allclose(backend.numpy(reward), np.sqrt(rho), rtol=16 * float(np.finfo(dtype).eps))


def test_neighbors_with_and_without_a_tree(monkeypatch):
    """SciPy's tree, and what runs where there is no SciPy."""
    from renyi_adapters.numpy import _neighbors as search

    rows = np.stack([sample(600, 3, seed) for seed in (1, 2)]).astype(np.float32)
    assert (search.tree_class() is None) == (importlib.util.find_spec("scipy") is None)
    calls = []

    def tree(samples):
        calls.append(samples)
        from scipy.spatial import cKDTree

        return cKDTree(samples)

    if search.tree_class() is not None:
        monkeypatch.setattr(search, "tree_class", lambda: tree)
        by_tree = search.kth_neighbor(rows, k=40, xp=np)
        assert len(calls) == 2
        monkeypatch.setattr(search, "tree_class", lambda: None)
        np.testing.assert_array_equal(by_tree, search.kth_neighbor(rows, k=40, xp=np))
        assert len(calls) == 2
    monkeypatch.setattr(search, "tree_class", lambda: None)
    for k in (1, 4, 40, 599):
        np.testing.assert_array_equal(search.kth_neighbor(rows, k=k, xp=np)[0], brute(rows[0].astype(float), k)[0])


def test_without_scipy(monkeypatch):
    import sys

    from renyi_adapters.numpy import _neighbors as search

    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    search.tree_class.cache_clear()
    assert search.tree_class() is None
    search.tree_class.cache_clear()
