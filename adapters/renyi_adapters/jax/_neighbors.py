"""Nearest neighbors in JAX: one block of rows after the other in a loop of one compilation, and ``top_k``."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from renyi_core._kernels.neighbors import PAIRS, finite_sets

Array = Any

__all__ = ["kth_neighbor", "neighbor_sum"]


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.kth_neighbor."""
    return _kth_neighbor(samples, k=k)


# or the loop would be compiled at each call outside of ``jit``
@functools.partial(jax.jit, static_argnames="k", inline=True)
def _kth_neighbor(samples: Array, *, k: int) -> Array:
    *sets, n, _ = samples.shape
    samples, _ = finite_sets(samples, jnp)
    size = jnp.max(jnp.abs(samples), axis=(-2, -1), keepdims=True)
    # squares of differences of this unit neither overflow nor vanish
    size = jnp.where(size > 0, size, 1.0)
    rows = max(1, min(n, PAIRS // max(1, n * math.prod(sets))))

    def find(one: Array) -> Array:
        """Return the indices of one row of each set."""
        gaps = (one[..., None, :] - samples) / size
        return jax.lax.top_k(-jnp.sum(gaps * gaps, axis=-1), k + 1)[1][..., k]

    found = jax.lax.map(find, jnp.moveaxis(samples, -2, 0), batch_size=rows)
    return jnp.moveaxis(found, 0, -1)


def neighbor_sum(values: Array, index: Array, *, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.neighbor_sum."""
    *sets, n, dimension = values.shape
    count = math.prod(sets)
    flat = index.reshape(count, n) + n * jnp.arange(count, dtype=index.dtype)[:, None]
    total = jnp.zeros((count * n, dimension), values.dtype)
    return total.at[flat.reshape(-1)].add(values.reshape(-1, dimension)).reshape(values.shape)
