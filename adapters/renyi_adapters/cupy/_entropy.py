"""The overlay: the entropy of logits and its gradient by the kernels, all else by the library's own code.

Forward is one launch, two where few long rows are split; the gradient is one more, from four numbers for each row, and
of very short rows it comes with the first.
Memory is CuPy's pool's: the results, four numbers for each row, and five for each row and split.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.measures import ENTROPY, Measure
from renyi_core._kernels.state import Order, Rows, Source

from ._launch import Runtime
from ._plan import GRID, THREADS, Launch, Layout, gradient_launch, layout_of, short_launch, state_launch, variant_of

Array = Any
Axis = tuple[int, ...]

__all__ = ["entropy", "entropy_and_gradient"]

LEAST_ORDER = 1e-30
"""Below this order exp(α d) of a masked outcome, whose d stands at −2e38 in float32, would not be 0."""

runtime = Runtime()


class _Call:
    """One call: its arrays as the kernels walk over them, and the numbers of its rows.

    ``out`` is where the gradient goes; it and x may be copies, whose reduced axes come last, if x's own strides are
    too many for the kernels.
    """

    def __init__(
        self, x: Array, order: Order, where: Array | None, axis: Axis, xp: Any, *, gradient: bool, measure: Measure
    ) -> None:
        self.xp, self.order, self.measure, self.axis = xp, order, measure, axis
        self.variant = variant_of(x.dtype.itemsize, order, full=gradient)
        self.scalar = np.float64 if x.dtype.itemsize == 8 else np.float32
        self.dtype = xp.float64 if x.dtype.itemsize == 8 else xp.float32
        self.shape = tuple(1 if i in axis else n for i, n in enumerate(x.shape, -x.ndim))
        self.mask = None if where is None else xp.broadcast_to(where, x.shape)
        self.x, self.out = x, xp.empty_like(x) if gradient else None
        self.moved = False
        layout = self._layout(axis)
        if layout is None:
            last = tuple(range(-len(axis), 0))
            self.moved = True
            self.x = xp.moveaxis(x, axis, last).copy(order="C")
            self.mask = None if self.mask is None else xp.moveaxis(self.mask, axis, last).copy(order="C")
            self.out = xp.empty_like(self.x) if gradient else None
            layout = self._layout(last)
        if layout is None:
            msg = "a contiguous array has one stride"
            raise AssertionError(msg)
        self.layout: Layout = layout
        resident, masked = runtime.resident(x, self.variant), where is not None
        arrays = [runtime.address(array) for array in (self.x, self.out) if array is not None]
        self.short = short_launch(layout, x.dtype.itemsize, math.gcd(*arrays), resident, masked=masked)
        self.first: Launch = self.short or state_launch(layout, resident, masked=masked)

    def _layout(self, axis: Axis) -> Layout | None:
        arrays = [array for array in (self.x, self.mask, self.out) if array is not None]
        strides, sizes = zip(*((array.strides, array.dtype.itemsize) for array in arrays), strict=True)
        return layout_of(tuple(self.x.shape), axis, strides, sizes)

    def _new(self, *shape: int) -> Array:
        return self.xp.empty(shape, dtype=self.dtype)

    def _run(self, launch: Launch, args: list[Any]) -> None:
        runtime.run(self.x, self.variant, launch.kernel, launch.grid, args)

    def _row_args(self) -> list[Any]:
        layout = self.layout
        mask = (0, 0, 0) if self.mask is None else layout.arrays[1]
        addresses = [runtime.address(self.x), 0 if self.mask is None else runtime.address(self.mask)]
        return [*addresses, layout.rows, layout.n, layout.inner, *layout.arrays[0], *mask]

    def _order_args(self) -> list[Any]:
        alpha, t = self.order.alpha, self.order.t
        if alpha == math.inf:
            alpha = t = 1.0
        over = 1 / t if t else 0.0
        return [self.scalar(value) for value in (alpha, t, abs(t), over, abs(over))]

    def _scale_args(self, scale: Any) -> tuple[list[Any], Any]:
        """Return the arguments for what multiplies the gradient, and the array that they point into."""
        if scale is None or isinstance(scale, (int, float)):
            return [0, 0, self.scalar(1.0 if scale is None else scale)], None
        weights = self.xp.astype(scale, self.dtype, copy=False)
        if weights.size > 1:
            weights = self.xp.broadcast_to(weights, self.shape).copy(order="C")
        return [runtime.address(weights), int(weights.size > 1), self.scalar(1.0)], weights

    def states(self, scale: Any = None) -> tuple[Array, Rows | None, Array | None]:
        """Return the entropies, the rows where the measure is another, and the lines for a gradient to follow.

        Of short rows the gradient of the entropy, times ``scale``, is then there already, and no lines are.
        """
        rows, first, order = self.layout.rows, self.first, self._order_args()
        at_once = self.short is not None and self.measure is ENTROPY
        values = self.xp.empty(self.shape, dtype=self.dtype)
        fields = None if self.measure is ENTROPY else self._new(5, rows)
        lines = None if self.out is None or at_once else self._new(4, rows)
        partial = None if first.splits == 1 else self._new(5, rows * first.splits)
        parts, *results = (0 if array is None else runtime.address(array) for array in (partial, values, fields, lines))
        if self.short is not None:
            scales, kept = self._scale_args(scale)
            out = 0 if self.out is None or not at_once else runtime.address(self.out)
            head = [runtime.address(self.x), rows, self.layout.n, first.size]
            self._run(first, [*head, *order, *scales, out, 0, *results])
            del kept
        else:
            self._run(first, [*self._row_args(), *order, first.size, first.chunk, parts, *results])
        if partial is not None:
            merging = Launch("merge_states", (math.ceil(rows / (THREADS // 32)), 1), 0)
            self._run(merging, [parts, rows, first.splits, *order, 0, *results])
        if fields is None:
            return values, None, lines
        total, h_inf, c, h, total_alpha = (self.xp.reshape(field, self.shape) for field in fields)
        return values, Rows(total, h_inf, c, h, None if self.order.t == 0 else total_alpha), lines

    def value(self, values: Array, rows: Rows | None) -> Array:
        """Return the measure's values."""
        return values if rows is None else self.measure.value(rows, self.order, xp=self.xp)

    def gradient(self, lines: Array | None, scale: Any) -> Array:
        """Return the gradient times ``scale``, a number or one for each row, or None for 1."""
        out = self.out
        if lines is not None:
            offset = runtime.address(out) - runtime.address(self.x)
            launch = gradient_launch(self.layout, self.x.dtype.itemsize, offset, masked=self.mask is not None)
            scales, kept = self._scale_args(scale)
            to = [runtime.address(out), *self.layout.arrays[-1], launch.size]
            self._run(launch, [*self._row_args(), *self._order_args(), runtime.address(lines), *scales, *to])
            del kept
        return self.xp.moveaxis(out, tuple(range(-len(self.axis), 0)), self.axis) if self.moved else out


def _is_taken(x: Array, order: Order, source: Source) -> bool:
    """Return whether the kernels take the call."""
    if source != "logits" or not order.static or order.alpha < LEAST_ORDER or not runtime.works():
        return False
    return x.dtype.char in "efd" and x.dtype.isnative and 0 < x.size <= GRID * THREADS


def entropy(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy."""
    if not _is_taken(x, order, source):
        return agnostic.entropy(x, order, source=source, measure=measure, where=where, axis=axis, xp=xp)
    with runtime.on(x):
        call = _Call(x, order, where, axis, xp, gradient=False, measure=measure)
        values, rows, _ = call.states()
        return call.value(values, rows)


def entropy_and_gradient(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.entropy.entropy_and_gradient."""
    if not _is_taken(x, order, source):
        return agnostic.entropy_and_gradient(
            x, order, source=source, measure=measure, where=where, axis=axis, xp=xp, scale=scale
        )
    with runtime.on(x):
        call = _Call(x, order, where, axis, xp, gradient=True, measure=measure)
        values, rows, lines = call.states(scale)
        factor = scale if rows is None else agnostic.factor_of(rows, order, measure, scale, xp)
        return call.value(values, rows), call.gradient(lines, factor)
