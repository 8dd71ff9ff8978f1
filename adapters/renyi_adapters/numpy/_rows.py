"""Any family on NumPy: its kernels a block of rows at a time, whose temporaries stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from renyi_core._kernels import family as agnostic
from renyi_core._kernels.family import ALL, ENTRIES, ROWS, Call, Layout
from renyi_core._kernels.state import Order

from ._walk import Index, boxes

# The C library of Linux gives what was freed back to the system, to be faulted in again by the next block, unless an
# array larger than the temporaries of a block was freed before: one that was never touched will do.
np.empty(1 << 21)

Array = Any

__all__ = ["RowsOfCall", "in_blocks", "rows"]


class RowsOfCall:
    """The rows of a call one under the other: views only, a copy is made of a block at a time.

    ``lead`` is the shape of the rows, ``shape`` that of an array of all entries.
    """

    def __init__(self, call: Call, scale: Any) -> None:
        self.call, self.scale = call, scale
        self.axis = call.axis
        self.parallel = call.family.kept is None
        order = call.order
        self.order = () if order is None or order.static else tuple(order)
        pairs = list(zip(call.arrays, call.family.layouts, strict=True))
        if self.parallel:
            shapes = [x.shape for x, _ in pairs if hasattr(x, "shape")] + [part.shape for part in self.order]
            self.shape = np.broadcast_shapes(*shapes)
            self.lead = tuple(n for i, n in enumerate(self.shape, -len(self.shape)) if i not in self.axis)
            self.n = math.prod(self.shape[i] for i in self.axis)
        else:
            kept = len(self.axis)
            leads = [x.shape[: x.ndim - n] for x, n in pairs if hasattr(x, "shape")]
            leads += [part.shape[: max(0, part.ndim - kept)] for part in self.order]
            self.lead = np.broadcast_shapes(*leads)
            self.n = max(math.prod(x.shape[x.ndim - n :]) for x, n in pairs if hasattr(x, "shape"))

    def _moved(self, x: Array) -> Array:
        """Return entries with the reduced axes last."""
        return x if self.axis in {(-1,), ()} else np.moveaxis(x, self.axis, range(-len(self.axis), 0))

    def laid(self, x: Any, layout: Layout) -> Any:
        """Return an array as rows in their full shape, and the axes of one row; a number as it is."""
        if not hasattr(x, "shape"):
            return x
        if layout == ENTRIES:
            return self._moved(np.broadcast_to(x, self.shape))
        if layout != ROWS:
            return np.broadcast_to(x, self.lead + x.shape[x.ndim - int(layout) :])
        if self.parallel:
            ones = tuple(1 if i in self.axis else n for i, n in enumerate(self.shape, -len(self.shape)))
            return np.broadcast_to(x, ones).reshape(self.lead)
        # of length 1 along the axes that are kept
        return np.broadcast_to(x.reshape(x.shape[: max(0, x.ndim - len(self.axis))]), self.lead)

    def _block(self, x: Any, index: Index, layout: Layout) -> Any:
        if not hasattr(x, "shape"):
            return x
        part = x[index]
        if layout == ENTRIES:
            return part.reshape(-1, self.n)
        if layout == ROWS:
            return part.reshape(-1, *(1,) * (1 if self.parallel else len(self.axis)))
        own = x.ndim - len(self.lead)
        return part.reshape(-1, *x.shape[x.ndim - own :])

    def blocks(self, limit: int) -> Iterator[tuple[Index, Call, Any]]:
        """Yield the index of each block of at most so many entries, the call of its rows, and their scale."""
        call, layouts = self.call, self.call.family.layouts
        arrays = [self.laid(x, layout) for x, layout in zip(call.arrays, layouts, strict=True)]
        order = [self.laid(part, ROWS) for part in self.order]
        where = self.laid(call.where, ENTRIES)
        result = ENTRIES if call.family.result == ENTRIES else ROWS
        scale = self.laid(self.scale, result)
        options = {**call.options, "axis": (-1,)} if self.parallel else call.options
        for index in boxes(self.lead, max(1, limit // max(1, self.n))):
            own = call.order if not order else Order(*(self._block(part, index, ROWS) for part in order))
            parts = tuple(self._block(x, index, layout) for x, layout in zip(arrays, layouts, strict=True))
            block = call._replace(arrays=parts, order=own, where=self._block(where, index, ENTRIES), options=options)
            yield index, block, self._block(scale, index, result)

    def room(self, block: Array, layout: Layout) -> tuple[Array, Array]:
        """Return an array for a result, given a block of it, and a view of it that is indexed by rows."""
        if layout == ENTRIES:
            whole = np.empty(self.shape, block.dtype)
            return whole, self._moved(whole)
        if layout not in {ROWS, 0}:
            whole = np.empty(self.lead + block.shape[1:], block.dtype)
            return whole, whole
        rows = np.empty(self.lead, block.dtype)
        if layout == 0:
            return rows, rows
        if self.parallel:
            ones = tuple(1 if i in self.axis else n for i, n in enumerate(self.shape, -len(self.shape)))
            return rows.reshape(ones), rows
        return rows.reshape(self.lead + (1,) * len(self.axis)), rows


def _is_small(call: Call) -> bool:
    """Return whether all arrays have one shape, of a block at most: at a glance."""
    shapes = {x.shape for x in call.arrays if hasattr(x, "shape")}
    return (
        len(shapes) == 1
        and (call.order is None or call.order.static)
        and math.prod(next(iter(shapes))) <= call.family.block
    )


def rows(call: Call, wrt: tuple[int | str, ...] = (), scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.family.rows."""
    family = call.family
    with np.errstate(all="ignore"):
        if family.result == ALL or _is_small(call):
            return agnostic.rows(call, wrt, scale)
        walk = RowsOfCall(call, scale)
        if math.prod(walk.lead) * walk.n <= family.block or math.prod(walk.lead) <= 1:
            return agnostic.rows(call, wrt, scale)
        return in_blocks(walk, wrt, family.block, agnostic.rows)


def in_blocks(walk: RowsOfCall, wrt: tuple[int | str, ...], limit: int, compute: Callable[..., Any]) -> Any:
    """Return what ``compute`` makes of a call's rows, at most ``limit`` entries of them at a time."""
    family = walk.call.family
    layouts = [family.result, *(ROWS if place == "alpha" else family.layouts[int(place)] for place in wrt)]
    targets: list[tuple[Array, Array]] = []
    for index, block, factor in walk.blocks(limit):
        found = compute(block, wrt, factor)
        parts = found if wrt else (found,)
        targets = targets or [walk.room(part, layout) for part, layout in zip(parts, layouts, strict=True)]
        for (_, target), part in zip(targets, parts, strict=True):
            target[index] = part.reshape(target[index].shape)
    results = tuple(whole for whole, _ in targets)
    return results if wrt else results[0]
