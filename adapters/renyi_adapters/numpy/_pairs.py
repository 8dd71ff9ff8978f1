"""Pairs of distributions in NumPy: the library's own kernels a block of rows at a time, a row whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from renyi_core._kernels import divergence as agnostic
from renyi_core._kernels.doors import accumulate
from renyi_core._kernels.state import Door, Order

from ._states import PIECE
from ._uniform import of_uniform, other_than_uniform
from ._walk import Walk

# The C library of Linux gives what was freed back to the system, to be faulted in again by the next block, unless an
# array larger than the temporaries of a block was freed before: one that was never touched will do.
np.empty(1 << 21)

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "distributions",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "divergence_and_slopes",
    "unless",
]


class _Rows:
    """The rows of both, next to each other."""

    def __init__(self, x: Array, y: Array, order: Order, where: Array | None, axis: Axis, scale: Any = None) -> None:
        x, y = np.broadcast_arrays(x, y)
        self.walk = Walk(x, order, where, axis, scale, flat=False)
        self._second = self.walk.moved(np.broadcast_to(y, self.walk.shape))
        self.dtype = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype

    def blocks(self) -> Any:
        """Yield ``(index, x, y, where, order, scale)``, each of shape (rows, n) or (rows, 1)."""
        for index, x, where, order, scale in self.walk.blocks(max(1, PIECE // self.walk.n)):
            column = scale[:, None] if isinstance(scale, np.ndarray) else scale
            yield index, x, self._second[index].reshape(x.shape), where, order, column


def _put(values: Array, index: Any, block: Array) -> None:
    values[index] = block.reshape(np.shape(values[index]))


def unless(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Overlay renyi_core._kernels.guards.unless."""
    return values if known.all() else xp.where(known, values, others())


def distributions(*arrays: Array, door: Door, where: Array | None, axis: Axis, xp: Any) -> tuple[Any, Any]:  # noqa: ARG001
    """Overlay renyi_core._kernels.doors.distributions; what is NaN in a row stays, since nothing differentiates it."""
    nothing = -math.inf if door == "logits" else 0.0
    sums = (accumulate(x, xp=xp) for x in arrays)
    return tuple(x if where is None else xp.where(where, x, nothing) for x in sums), True


def divergence(x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Overlay renyi_core._kernels.divergence.divergence."""
    which = other_than_uniform(x, y, order, door=door, axis=axis)
    if which is not None:
        return of_uniform((x, y)[which], order, where, axis, xp, forward=which == 0)[0]
    rows = _Rows(x, y, order, where, axis)
    values = rows.walk.new_rows(rows.dtype)
    with np.errstate(all="ignore"):
        for index, one, other, mask, own, _ in rows.blocks():
            _put(values, index, agnostic.divergence(one, other, own, door=door, where=mask, axis=(-1,), xp=xp))
    return rows.walk.as_rows(values)


def divergence_and_gradient(
    x: Array,
    y: Array,
    order: Order,
    *,
    wrt: int,
    door: Door,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_gradient."""
    if wrt == other_than_uniform(x, y, order, door=door, axis=axis):
        other: Any = (x, y)[wrt]
        return of_uniform(other, order, where, axis, xp, forward=wrt == 0, scale=scale, with_gradient=True)
    rows = _Rows(x, y, order, where, axis, scale)
    values = rows.walk.new_rows(rows.dtype)
    gradient, target = rows.walk.new_entries(x.dtype)
    with np.errstate(all="ignore"):
        for index, one, other, mask, own, column in rows.blocks():
            value, part = agnostic.divergence_and_gradient(
                one, other, own, wrt=wrt, door=door, where=mask, axis=(-1,), xp=xp, scale=column
            )
            _put(values, index, value)
            _put(target, index, part)
    return rows.walk.as_rows(values), gradient


def divergence_and_alpha_gradient(
    x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_alpha_gradient."""
    value, slope = _by_rows(agnostic.divergence_and_alpha_gradient, 2, x, y, order, where, axis, door=door, xp=xp)
    return value, slope


def divergence_and_slopes(
    x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_slopes."""
    value, slope, skew = _by_rows(agnostic.divergence_and_slopes, 3, x, y, order, where, axis, door=door, xp=xp)
    return value, slope, skew


def _by_rows(
    kernel: Any, count: int, x: Array, y: Array, order: Order, where: Array | None, axis: Axis, **options: Any
) -> list[Array]:
    """Return what a kernel gives of each row, so many numbers."""
    rows = _Rows(x, y, order, where, axis)
    found = [rows.walk.new_rows(rows.dtype) for _ in range(count)]
    with np.errstate(all="ignore"):
        for index, one, other, mask, own, _ in rows.blocks():
            for target, block in zip(found, kernel(one, other, own, where=mask, axis=(-1,), **options), strict=True):
                _put(target, index, block)
    return [rows.walk.as_rows(values) for values in found]
