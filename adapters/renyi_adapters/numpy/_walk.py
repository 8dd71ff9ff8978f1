"""Walking over the distributions of a NumPy array in blocks that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from renyi_core._kernels.state import Order

Array = Any
Index = tuple[Any, ...]

__all__ = ["Index", "RowBlocks", "boxes", "settle"]


def boxes(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Yield indices that cut an array of ``shape`` into boxes of at most ``limit`` elements, in order."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    if inner <= limit:
        step = max(1, limit // max(1, inner))
        for start in range(0, shape[0], step):
            yield (slice(start, start + step),)
    else:
        for i in range(shape[0]):
            for rest in boxes(shape[1:], limit):
                yield (i, *rest)


class RowBlocks:
    """The distributions of x one under the other: views only, a copy is made of a block at a time.

    ``lead`` is the shape of the rows and ``n`` the number of outcomes in each.
    """

    def __init__(
        self,
        x: Array,
        order: Order,
        where: Array | None,
        axis: tuple[int, ...],
        scale: Any = None,
        *,
        flat: bool = True,
    ) -> None:
        self.axis = axis
        shape = x.shape if order.static else np.broadcast_shapes(x.shape, order.alpha.shape)
        if shape != x.shape:
            x = np.broadcast_to(x, shape)
        self.shape = x.shape
        self.n: int = math.prod(x.shape[i] for i in axis)
        self.order = order
        self.entries = self.moved(x)
        self.mask = None if where is None else self.moved(np.broadcast_to(where, x.shape))
        rows = tuple(1 if i - x.ndim in axis else length for i, length in enumerate(x.shape))
        self._rows = rows
        self._alpha = None if order.static else [self.spread(part) for part in order]
        self.scale = scale
        if isinstance(scale, np.ndarray):
            self.scale = self.spread(scale) if scale.ndim > 0 else scale[()]
        self.flat = flat and where is None and axis == (-1,) and x.flags.c_contiguous
        if self.flat:
            self.entries = self.entries.reshape(-1, self.n)
            if isinstance(self.scale, np.ndarray):
                self.scale = self.scale.reshape(-1)
            if self._alpha is not None:
                self._alpha = [part.reshape(-1) for part in self._alpha]
        self.lead: tuple[int, ...] = self.entries.shape[: self.entries.ndim - len(axis)]

    def moved(self, x: Array) -> Array:
        """Return x with the reduced axes last."""
        if self.axis == (-1,):
            return x
        return np.moveaxis(x, self.axis, range(-len(self.axis), 0))

    def spread(self, rows: Array) -> Array:
        """Return an array that broadcasts to the rows in their full shape, the reduced axes dropped."""
        return np.broadcast_to(np.asarray(rows), self._rows).reshape(self._rows).squeeze(self.axis)

    def blocks(self, limit: int) -> Iterator[tuple[Index, Array, Array | None, Order, Any]]:
        """Yield ``(index, x, where, order, scale)`` for blocks of at most ``limit`` rows, each of shape (rows, n)."""
        if 0 in self.lead:
            return
        for index in boxes(self.lead, max(1, limit)):
            x = self.entries[index]
            where = self.mask
            if not self.flat:
                x = x.reshape(-1, self.n)
                where = None if where is None else where[index].reshape(-1, self.n)
            order, scale = self.order, self.scale
            if self._alpha is not None:
                order = Order(*(part[index].reshape(-1, 1) for part in self._alpha))
            if isinstance(scale, np.ndarray):
                scale = scale[index].reshape(-1)
            yield index, x, where, order, scale

    def new_rows(self, dtype: Any) -> Array:
        """Return room for a number a row."""
        return np.empty(self.lead, dtype)

    def as_rows(self, values: Array) -> Array:
        """Return such numbers with the reduced axes at length 1."""
        return values.reshape(self._rows)

    def new_entries(self, dtype: Any, out: Array | None = None) -> tuple[Array, Array]:
        """Return room for a number an entry: in the shape of x, and a view of it that :meth:`blocks` indexes.

        ``out`` is that room, if it is given.
        """
        entries = np.empty(self.shape, dtype) if out is None else out
        return entries, entries.reshape(-1, self.n) if self.flat else self.moved(entries)


def settle(gradient: Array, mask: Array | None, scale: Any) -> None:
    """Set the gradient of rows to 0 at what is masked and where a row's scale is 0, whatever it was."""
    if isinstance(scale, np.ndarray):
        if np.count_nonzero(scale) < scale.size:
            np.copyto(gradient, 0, where=(scale == 0).reshape(-1, 1))
    elif scale == 0:
        gradient[...] = 0
    if mask is not None:
        np.copyto(gradient, 0, where=~mask)
