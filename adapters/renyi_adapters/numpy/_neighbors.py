"""Nearest neighbors in NumPy: by SciPy's k-d tree where there is one and dimensions are few, or by partial sorts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from renyi_core._kernels import neighbors as agnostic
from renyi_core._kernels.neighbors import blocks_of, finite_sets

Array = Any

__all__ = ["kth_neighbor", "neighbor_counts", "neighbor_sum"]

DIMENSIONS = 15
"""Up to so many, a tree visits fewer samples than there are."""
SAMPLES = 100
"""Fewer than so many are counted in all pairs, of many sets at once."""
LIMIT = 1 << 18
"""Pairs of one block, so that it stays in the cache."""


@functools.cache
def tree_class() -> Callable[..., Any] | None:
    """Return SciPy's k-d tree, None where SciPy is not installed."""
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        return None
    tree: Callable[..., Any] = cKDTree
    return tree


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:
    """Overlay renyi_core._kernels.neighbors.kth_neighbor."""
    sets = samples.reshape(-1, *samples.shape[-2:])
    found = np.empty(sets.shape[:2], np.int64)
    tree = tree_class() if samples.shape[-1] <= DIMENSIONS else None
    for i, given in enumerate(sets):
        one, _ = finite_sets(given, xp)
        # a power of two, so that squares are in range and no digit is lost
        scaled = np.ldexp(one, -np.frexp(np.max(np.abs(one)))[1])
        if tree is None:
            _partial_sort(scaled, k, found[i])
        else:
            found[i] = tree(scaled).query(scaled, [k + 1])[1][:, 0]
    return found.reshape(samples.shape[:-1])


def _partial_sort(samples: Array, k: int, out: Array) -> None:
    """Put in ``out`` the index of the k-th nearest neighbor of each of the (N, d) samples."""
    for block in blocks_of(samples, LIMIT):
        total = np.zeros((block.stop - block.start, len(samples)), samples.dtype)
        for column in samples.T:
            gap = np.subtract.outer(column[block], column)
            gap *= gap
            total += gap
        out[block] = np.argpartition(total, k, axis=-1)[:, k]


def neighbor_counts(x: Array, y: Array, *, k: int, xp: Any) -> tuple[Array, Array, Array]:
    """Overlay renyi_core._kernels.neighbors.neighbor_counts."""
    tree = tree_class()
    if tree is None or x.shape[-1] + y.shape[-1] > DIMENSIONS or x.shape[-2] < SAMPLES:
        return agnostic.neighbor_counts(x, y, k=k, xp=xp)
    sets = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    parts = [np.broadcast_to(part, sets + part.shape[-2:]).reshape(-1, *part.shape[-2:]) for part in (x, y)]
    counts = np.empty((2, len(parts[0]), x.shape[-2]), np.int64)
    zero = np.empty(counts.shape[1:], bool)
    for i, both in enumerate(zip(*parts, strict=True)):
        pairs = np.concatenate(both, axis=-1)
        reach = tree(pairs).query(pairs, [k + 1], p=math.inf)[0][:, 0]
        zero[i] = reach == 0
        for one, out in zip(both, counts, strict=True):
            # what is nearer, and not as near
            out[i] = tree(one).query_ball_point(one, np.nextafter(reach, 0), p=math.inf, return_length=True)
    shape = (*sets, x.shape[-2])
    return counts[0].reshape(shape), counts[1].reshape(shape), zero.reshape(shape)


def neighbor_sum(values: Array, index: Array, *, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.neighbor_sum."""
    *sets, n, dimension = values.shape
    count = math.prod(sets)
    flat = (index.reshape(count, n) + n * np.arange(count)[:, None]).ravel()
    total = np.empty((count * n, dimension), values.dtype)
    for i in range(dimension):
        total[:, i] = np.bincount(flat, values[..., i].ravel(), count * n)
    return total.reshape(values.shape)
