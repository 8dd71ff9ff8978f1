"""Pairs of distributions in NumPy: of which one is uniform, a closed form; all others go by rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from renyi_core._kernels.divergence import DIVERGENCE
from renyi_core._kernels.family import Call
from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.state import Order, Source

from ._rows import rows
from ._uniform import of_uniform, other_than_uniform

Array = Any
Axis = tuple[int, ...]

__all__ = ["distributions", "divergence", "divergence_and_gradient", "where_known"]


def where_known(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Overlay renyi_core._kernels.guards.where_known."""
    return values if known.all() else xp.where(known, values, others())


def distributions(*arrays: Array, source: Source, where: Array | None, axis: Axis, xp: Any) -> tuple[Any, Any]:  # noqa: ARG001
    """Overlay renyi_core._kernels.sources.distributions; NaN in a row stays: nothing differentiates it."""
    nothing = -math.inf if source == "logits" else 0.0
    sums = (accumulate(x, xp=xp) for x in arrays)
    return tuple(x if where is None else xp.where(where, x, nothing) for x in sums), True


def divergence(x: Array, y: Array, order: Order, *, where: Array | None, xp: Any, source: Source, axis: Axis) -> Array:
    """Overlay renyi_core._kernels.divergence.divergence."""
    which = other_than_uniform(x, y, order, source=source, axis=axis)
    if which is not None:
        return of_uniform((x, y)[which], order, where, axis, xp, forward=which == 0)[0]
    return rows(Call(DIVERGENCE, (x, y), order, where, {"source": source, "axis": axis}, xp))


def divergence_and_gradient(
    x: Array,
    y: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    where: Array | None,
    xp: Any,
    source: Source,
    axis: Axis,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Overlay renyi_core._kernels.divergence.divergence_and_gradient."""
    which = other_than_uniform(x, y, order, source=source, axis=axis)
    if which is not None and wrt == (which,):
        other = (x, y)[which]
        return of_uniform(other, order, where, axis, xp, forward=which == 0, scale=scale, with_gradient=True)
    return rows(Call(DIVERGENCE, (x, y), order, where, {"source": source, "axis": axis}, xp), wrt, scale)
