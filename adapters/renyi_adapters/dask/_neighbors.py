"""Nearest neighbours in Dask: the samples of a set are brought into one chunk, then NumPy's search runs on each chunk.

The index is a task of its own, so that what is made of it shares one search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
from array_api_compat import numpy as numpy_namespace

from renyi_adapters.numpy._neighbors import kth_neighbor as search
from renyi_core._kernels.neighbors import neighbor_gap as agnostic_gap

da: Any = dask.array
Array = Any

__all__ = ["kth_neighbor", "neighbor_gap"]


def renyi_neighbors(samples: Array, *, k: int) -> Array:
    """Return the indices for a chunk, with a last axis of length 1."""
    return search(samples, k=k, xp=numpy_namespace)[..., None]


def renyi_gap(samples: Array, index: Array) -> Array:
    """Return the differences for a chunk."""
    return agnostic_gap(samples, index[..., 0], xp=numpy_namespace)


def _whole(x: Array, axes: tuple[int, ...]) -> Array:
    return x.rechunk({i + x.ndim: -1 for i in axes})


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.kth_neighbor."""
    samples = _whole(samples, (-2, -1))
    chunks = (*samples.chunks[:-1], (1,))
    meta = np.empty((0,) * samples.ndim, np.int64)
    return samples.map_blocks(renyi_neighbors, k=k, dtype=np.int64, chunks=chunks, meta=meta)[..., 0]


def neighbor_gap(samples: Array, index: Array, *, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.neighbor_gap."""
    return _together(renyi_gap, samples, index)


def _together(function: Callable[..., Any], x: Array, index: Array) -> Array:
    """Return the function of each chunk of x and of its indices."""
    x, index = _whole(x, (-2, -1)), _whole(index, (-1,))
    return da.map_blocks(function, x, index[..., None], dtype=x.dtype, chunks=x.chunks, meta=x._meta)  # noqa: SLF001
