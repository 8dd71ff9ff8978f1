"""The k-th nearest neighbors of samples among each other, by the differences of all pairs, a block of rows at a time.

An index is what a search gives; the distance is then computed anew, from the difference to the sample found. So a
faster search changes nothing else, and automatic differentiation passes through the difference alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

Array = Any

__all__ = ["blocks_of", "finite_sets", "kth_neighbor", "neighbor_counts", "neighbor_gap", "neighbor_sum"]

PAIRS = 1 << 20
"""Pairs of one block."""


def blocks_of(samples: Array, limit: int = PAIRS) -> Iterator[slice]:
    """Yield blocks of the samples of each set, as slices, whose pairs with all samples are no more than the limit."""
    *sets, n, _ = samples.shape
    rows = max(1, limit // max(1, n * math.prod(sets)))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def finite_sets(samples: Array, xp: Any) -> tuple[Array, Array]:
    """Return samples with 0 in place of what is not finite, and which sets of (..., N, d) needed none of that.

    Entries count as finite as long as distances cannot overflow.
    """
    finite = xp.abs(samples) <= float(xp.finfo(samples.dtype).max) / (4 * samples.shape[-1])
    return xp.where(finite, samples, 0.0), xp.all(finite, axis=(-2, -1))


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:
    """Return the index of the k-th nearest neighbor of each of the (..., N, d) samples, of shape (..., N)."""
    samples, _ = finite_sets(samples, xp)
    size = xp.max(xp.abs(samples), axis=(-2, -1), keepdims=True)
    # squares of differences of this unit neither overflow nor vanish
    size = xp.where(size > 0, size, 1.0)
    found = []
    for block in blocks_of(samples):
        total: Any = 0.0
        for i in range(samples.shape[-1]):
            column = samples[..., i]
            gap = (column[..., block, None] - column[..., None, :]) / size
            total = total + gap * gap
        # the sample itself is the nearest of all, or one that coincides with it is: the distances are the same
        found.append(xp.argsort(total, axis=-1)[..., k])
    return found[0] if len(found) == 1 else xp.concat(found, axis=-1)


def neighbor_counts(x: Array, y: Array, *, k: int, xp: Any) -> tuple[Array, Array, Array]:
    """Return how many samples are nearer to each one than its k-th neighbor in both, in x and in y.

    Distances are the largest gap of any dimension. A sample counts itself. The last array says where the neighbor is
    at distance 0.
    """
    found = []
    for block in blocks_of(x):
        gaps = [_largest_gap(part, block, xp) for part in (x, y)]
        reach = xp.sort(xp.maximum(*gaps), axis=-1)[..., k]
        counts = [xp.sum(xp.astype(gap < reach[..., None], xp.int32), axis=-1) for gap in gaps]
        found.append((*counts, reach == 0))
    first, second, zero = (part[0] if len(part) == 1 else xp.concat(part, axis=-1) for part in zip(*found, strict=True))
    return first, second, zero


def _largest_gap(samples: Array, block: slice, xp: Any) -> Array:
    """Return the largest difference along any dimension of a block of samples to all of them."""
    total: Any = None
    for i in range(samples.shape[-1]):
        column = samples[..., i]
        gap = xp.abs(column[..., block, None] - column[..., None, :])
        total = gap if total is None else xp.maximum(total, gap)
    return total


def neighbor_gap(samples: Array, index: Array, *, xp: Any) -> Array:
    """Return the difference of each sample to the one of its index, of the shape of the samples."""
    return samples - xp.take_along_axis(samples, index[..., None], axis=-2)


def neighbor_sum(values: Array, index: Array, *, xp: Any) -> Array:
    """Return for each sample the sum of the (..., N, d) values of those that have its index."""
    positions = xp.cumulative_sum(xp.ones_like(index), axis=-1) - 1
    total: Any = 0.0
    for block in blocks_of(values):
        here = positions[..., :, None] == index[..., None, block]
        total = total + xp.matmul(xp.astype(here, values.dtype), values[..., block, :])
    return total
