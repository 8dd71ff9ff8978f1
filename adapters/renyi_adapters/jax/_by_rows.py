"""All pairs of rows on JAX: a loop that is compiled once, whatever the number of blocks.

Differentiated, each block is computed anew, so that reverse mode keeps the rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from renyi_core._kernels import row_blocks
from renyi_core._kernels.row_blocks import Terms

Array = Any

__all__ = ["by_rows"]


def by_rows(terms: Terms, arrays: tuple[Array, ...], *, cost: Any, rows: Sequence[bool], xp: Any) -> tuple[Array, ...]:  # noqa: ARG001
    """Overlay renyi_core._kernels.row_blocks.by_rows."""
    if not isinstance(cost, int):
        # a symbol, of a graph to be exported
        return terms(arrays, None)
    count = max(1, row_blocks.BLOCK // max(1, cost))
    if count >= arrays[0].shape[-2]:
        return terms(arrays, None)

    def one(row: tuple[Array, ...]) -> tuple[Array, ...]:
        return terms(tuple(x[..., None, :] for x in row), None)

    parts = jax.lax.map(jax.checkpoint(one), tuple(jnp.moveaxis(x, -2, 0) for x in arrays), batch_size=count)
    return tuple(
        jnp.moveaxis(part[..., 0, :], 0, -2) if laid else jnp.sum(part, axis=0)
        for laid, part in zip(rows, parts, strict=True)
    )
