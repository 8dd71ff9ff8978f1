"""What of the array-API kernels NumPy can spare itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.state import Source

Array = Any
Axis = tuple[int, ...]

__all__ = ["distributions", "where_known"]


def where_known(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Overlay renyi_core._kernels.guards.where_known."""
    return values if known.all() else xp.where(known, values, others())


def distributions(*arrays: Array, source: Source, where: Array | None, axis: Axis, xp: Any) -> tuple[Any, Any]:  # noqa: ARG001
    """Overlay renyi_core._kernels.sources.distributions; NaN in a row stays: nothing differentiates it."""
    nothing = -math.inf if source == "logits" else 0.0
    sums = (accumulate(x, xp=xp) for x in arrays)
    return tuple(x if where is None else xp.where(where, x, nothing) for x in sums), True
