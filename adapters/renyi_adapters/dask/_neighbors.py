"""Nearest neighbors in Dask: the samples of a set are brought into one chunk, then NumPy's search runs on each chunk.

The index is a task of its own, so that what is made of it shares one search.
"""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np

from renyi_adapters.numpy._neighbors import kth_neighbor as search
from renyi_core._kernels import particles as agnostic
from renyi_core._kernels.state import Order

da: Any = dask.array
Array = Any

__all__ = ["kth_neighbor", "particle_reward"]


def renyi_neighbors(samples: Array, *, k: int) -> Array:
    """Return the indices for a chunk, with a last axis of length 1."""
    return search(samples, k=k, xp=np)[..., None]


def renyi_reward(samples: Array, index: Array, *, order: Order) -> Array:
    """Return the rewards for a chunk, with a last axis of length 1."""
    return agnostic.particle_reward(samples, index[..., 0], order, xp=np)[..., None]


def _whole(x: Array, axes: tuple[int, ...]) -> Array:
    return x.rechunk({i + x.ndim: -1 for i in axes})


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.kth_neighbor."""
    samples = _whole(samples, (-2, -1))
    chunks = (*samples.chunks[:-1], (1,))
    meta = np.empty((0,) * samples.ndim, np.int64)
    return samples.map_blocks(renyi_neighbors, k=k, dtype=np.int64, chunks=chunks, meta=meta)[..., 0]


def particle_reward(samples: Array, index: Array, order: Order, *, xp: Any) -> Array:
    """Overlay renyi_core._kernels.particles.particle_reward."""
    if not order.static:
        return agnostic.particle_reward(samples, index, order, xp=xp)
    x, index = _whole(samples, (-2, -1)), _whole(index, (-1,))[..., None]
    settings: dict[str, Any] = {"chunks": index.chunks, "dtype": x.dtype, "meta": x._meta}  # noqa: SLF001
    return da.map_blocks(renyi_reward, x, index, order=order, **settings)[..., 0]
