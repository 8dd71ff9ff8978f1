"""Entropies by the compiled engine: each function returns what its namesake of the kernels does, or None.

An array of int16 holds bfloat16, as torch's adapter hands it over.
"""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import numpy as np

from renyi_adapters import native
from renyi_core._kernels.measures import ENTROPY, HILL, TSALLIS, Measure
from renyi_core._kernels.state import Order, Source, State

from ._walk import RowBlocks

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "entropies_at_once",
    "gradient",
    "gradient_of_state",
    "packed",
    "partial_state",
    "slope",
    "spectrum_at_once",
    "sum_dtype",
    "value",
]

HEAD = struct.Struct("@2q")
TASK = struct.Struct("@4qP2qP2q2d2PqPq3P2qP3q")
"""What the engine's Task has after its first and last row."""
FORMATS = {"f": 0, "d": 1, "h": 2, "e": 3}
MEASURES = {ENTROPY: 0, HILL: 1, TSALLIS: 2}
COPIED, ROWS = 1 << 16, 1 << 14
"""Entries and rows that are taken at a time where copies are made of them, or of their orders."""


def sum_dtype(x: Array) -> Any:
    """Return the dtype that sums are formed in."""
    return x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32)


def _run(
    x: Array,
    order: Order,
    source: Source,
    measure: Measure,
    *,
    mask: Array | None = None,
    scale: Any = None,
    values: Array | None = None,
    slopes: Array | None = None,
    gradient: Array | None = None,
    state: Array | None = None,
    given: bool = False,
    threads: int | None = None,
) -> None:
    """Call the engine for rows: arrays of two axes, or of one number a row; what has length 1 is for all rows."""
    rows, n = x.shape
    size = x.itemsize
    orders: tuple[Any, ...] = order.alpha, order.t, 0, 0, 0
    if not order.static:
        # near 1, t has the digits of α; elsewhere α has those of t
        alphas, ts = (part.astype(np.float64).reshape(-1) for part in (order.alpha, order.t))
        near = abs(ts) < 0.5
        alphas, ts = np.where(near, 1 + ts, alphas), np.where(near, ts, alphas - 1)
        alphas = np.where(order.infinite.reshape(-1), math.inf, alphas)
        orders = 0.0, 0.0, alphas.ctypes.data, ts.ctypes.data, int(alphas.size > 1)
    scales = None if scale is None else np.ascontiguousarray(scale, sum_dtype(x)).reshape(-1)
    task = TASK.pack(
        n,
        FORMATS[x.dtype.char],
        int(source == "probs"),
        MEASURES[measure],
        x.ctypes.data,
        x.strides[0] // size,
        x.strides[1] // size,
        *((0, 0, 0) if mask is None else (mask.ctypes.data, *mask.strides)),
        *orders,
        *((0, 0) if scales is None else (scales.ctypes.data, int(scales.size > 1))),
        0 if values is None else values.ctypes.data,
        0 if slopes is None else slopes.ctypes.data,
        *((0, 0, 0) if gradient is None else (gradient.ctypes.data, *(stride // size for stride in gradient.strides))),
        *((0, 0) if state is None else (state.ctypes.data, state.shape[1])),
        int(given),
        1,
    )
    engine = native.library()
    native.run(engine.renyi_entropies, task, HEAD, rows, n, threads or native.threads())


def packed(
    x: int,
    n: int,
    kind: int,
    alpha: Any,
    source: Source,
    measure: Measure,
    values: int,
    *,
    scale: int = 0,
    scale_row: int = 0,
    gradient: int = 0,
) -> bytes | None:
    """Return the task of contiguous rows at these addresses, None for an order that is none, or is no plain number."""
    if not is_order(alpha):
        return None
    what = n, kind, int(source == "probs"), MEASURES[measure]
    return TASK.pack(
        *what, x, n, 1, 0, 0, 0, alpha, alpha - 1.0, 0, 0, 0, scale, scale_row, values, 0, gradient, n, 1, 0, 0, 0, 1
    )


def packed_orders(x: int, n: int, kind: int, orders: Array, source: Source, values: int) -> bytes:
    """Return the task of the entropies of several orders: an array whose first row is α, the second α - 1."""
    at, step = orders.ctypes.data, orders.strides[0]
    what = n, kind, int(source == "probs"), MEASURES[ENTROPY]
    return TASK.pack(
        *what, x, n, 1, 0, 0, 0, 0, 0, at, at + step, 0, 0, 0, values, 0, 0, n, 1, 0, 0, 0, orders.shape[1]
    )


def is_order(alpha: Any) -> bool:
    """Return whether it is a plain number that is an order."""
    return type(alpha) in {float, int} and (1e-30 < alpha < 1e30 or alpha in {0, math.inf})


def several(alphas: list[Any]) -> Array | None:
    """Return α and α - 1 of several orders as the engine takes them, None where one is no plain number."""
    return np.asarray([alphas, [alpha - 1.0 for alpha in alphas]], np.float64) if all(map(is_order, alphas)) else None


def addressof(x: Array) -> int:
    """Return where an array of our own lies, faster than by ``x.ctypes``."""
    return ctypes.addressof(ctypes.c_char.from_buffer(x))


def entropies_at_once(x: Array, alpha: Any, source: Source, measure: Measure) -> Array | None:
    """Return the measure of contiguous rows, None for what is to be looked at more closely."""
    engine = native.library()
    if engine is None or not _is_simple(x):
        return None
    dtype = x.dtype
    values = np.empty(x.shape[:-1], dtype)
    n = x.shape[-1]
    task = packed(x.ctypes.data, n, FORMATS[dtype.char], alpha, source, measure, addressof(values))
    if task is None:
        return None
    native.run(engine.renyi_entropies, task, HEAD, values.size, n, native.threads())
    return values


def spectrum_at_once(x: Array, alphas: list[Any], source: Source) -> Array | None:
    """Return the entropies of several orders along a new last axis, None for what is to be looked at more closely."""
    engine = native.library()
    if engine is None or not _is_simple(x):
        return None
    orders = several(alphas)
    if orders is None:
        return None
    values, n = np.empty((*x.shape[:-1], len(alphas)), x.dtype), x.shape[-1]
    task = packed_orders(x.ctypes.data, n, FORMATS[x.dtype.char], orders, source, addressof(values))
    native.run(engine.renyi_entropies, task, HEAD, x.size // n, n * len(alphas), native.threads())
    return values


def _is_simple(x: Any) -> bool:
    return (
        type(x) is np.ndarray
        and x.dtype in _PLAIN
        and x.ndim > 0
        and x.size > 0
        and x.flags.c_contiguous
        and x.flags.aligned
    )


_PLAIN = {np.dtype(np.float32), np.dtype(np.float64)}


def _takes(x: Array) -> bool:
    return (
        native.library() is not None and x.dtype.char in FORMATS and x.dtype.isnative and x.flags.aligned and x.size > 0
    )


def _is_plain(x: Array, order: Order, where: Array | None, axis: Axis) -> bool:
    return where is None and axis == (-1,) and order.static and x.flags.c_contiguous


def _is_flat(x: Array, n: int) -> bool:
    try:
        np.reshape(x, (-1, n), copy=False)
    except ValueError:
        return False
    return True


class _Rows:
    """The rows of a call that are not one array of two axes; what can't be one is copied, a block at a time."""

    def __init__(self, x: Array, order: Order, where: Array | None, axis: Axis, scale: Any = None) -> None:
        self.walk = RowBlocks(x, order, where, axis, scale, flat=False)
        self.dtype = sum_dtype(x)

    def run(
        self,
        source: Source,
        measure: Measure,
        outs: dict[str, Array],
        entries: Any = None,
        *,
        threads: int | None,
    ) -> None:
        """Fill ``outs``, which have a number for each row, and ``entries``, one for each entry."""
        walk = self.walk
        seen = [part for part in (walk.entries, walk.mask, entries) if part is not None]
        limit = math.prod(walk.lead) if all(_is_flat(part, walk.n) for part in seen) else max(1, COPIED // walk.n)
        for index, x, mask, order, scale in walk.blocks(limit if walk.order.static else min(limit, ROWS)):
            rows: dict[str, Any] = {
                name: np.empty((*out.shape[: out.ndim - len(walk.lead)], len(x)), out.dtype)
                for name, out in outs.items()
            }
            place = None if entries is None else entries[index].reshape(-1, walk.n)
            _run(x, order, source, measure, mask=mask, scale=scale, gradient=place, threads=threads, **rows)
            for name, out in outs.items():
                place_of = (*(slice(None),) * (out.ndim - len(walk.lead)), *index)
                out[place_of] = rows[name].reshape(out[place_of].shape)
            if place is not None and not np.may_share_memory(place, entries):
                entries[index] = place.reshape(entries[index].shape)


def value(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    threads: int | None = None,
) -> Array | None:
    """Return the measure of each distribution, the reduced axes at length 1."""
    if not _takes(x):
        return None
    if _is_plain(x, order, where, axis):
        n = x.shape[-1]
        values = np.empty((*x.shape[:-1], 1), sum_dtype(x))
        _run(x.reshape(-1, n), order, source, measure, values=values, threads=threads)
        return values
    rows = _Rows(x, order, where, axis)
    values = rows.walk.new_rows(rows.dtype)
    rows.run(source, measure, {"values": values}, threads=threads)
    return rows.walk.as_rows(values)


def gradient(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    scale: Any = None,
    out: Array | None = None,
    threads: int | None = None,
) -> tuple[Array, Array] | None:
    """Return the measure and its gradient times ``scale``, which is written to ``out``; that may be x."""
    if not _takes(x):
        return None
    if (
        _is_plain(x, order, where, axis)
        and not (isinstance(scale, np.ndarray) and scale.size > 1)
        and (out is None or out.flags.c_contiguous)
    ):
        n = x.shape[-1]
        values, found = np.empty((*x.shape[:-1], 1), sum_dtype(x)), np.empty_like(x) if out is None else out
        place = found.reshape(-1, n)
        _run(x.reshape(-1, n), order, source, measure, scale=scale, values=values, gradient=place, threads=threads)
        return values, found
    rows = _Rows(x, order, where, axis, scale)
    out = None if out is None or out.shape != rows.walk.shape else out
    values = rows.walk.new_rows(rows.dtype)
    found, target = rows.walk.new_entries(x.dtype, out)
    rows.run(source, measure, {"values": values}, target, threads=threads)
    return rows.walk.as_rows(values), found


def slope(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    threads: int | None = None,
) -> tuple[Array, Array] | None:
    """Return the measure and its derivative in α."""
    if not _takes(x):
        return None
    rows = _Rows(x, order, where, axis)
    values, slopes = rows.walk.new_rows(rows.dtype), rows.walk.new_rows(rows.dtype)
    rows.run(source, measure, {"values": values, "slopes": slopes}, threads=threads)
    return rows.walk.as_rows(values), rows.walk.as_rows(slopes)


def partial_state(
    x: Array,
    order: Order,
    *,
    source: Source,
    where: Array | None = None,
    axis: Axis,
    full: bool,
    threads: int | None = None,
) -> State | None:
    """Return the partial state of each distribution for a static order."""
    if not _takes(x):
        return None
    rows = _Rows(x, order, where, axis)
    state = np.empty((4, *rows.walk.lead), rows.dtype)
    rows.run(source, ENTROPY, {"state": state}, threads=threads)
    needs = True, True, *order.needs(full=full)
    return State(*(rows.walk.as_rows(field) if need else None for field, need in zip(state, needs, strict=True)))


def gradient_of_state(
    x: Array,
    state: State,
    scale: Any,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None = None,
    axis: Axis,
    out: Array | None = None,
    threads: int | None = None,
) -> Array | None:
    """Return the gradient with respect to entries that are a part of the distributions of a full state."""
    if not _takes(x):
        return None
    walk = RowBlocks(x, order, where, axis, scale, flat=False)
    found, target = walk.new_entries(x.dtype, out)
    fields = np.stack([np.zeros(walk.lead, sum_dtype(x)) if field is None else walk.spread(field) for field in state])
    seen = [part for part in (walk.entries, walk.mask, target) if part is not None]
    limit = math.prod(walk.lead) if all(_is_flat(part, walk.n) for part in seen) else max(1, COPIED // walk.n)
    for index, block, mask, _, factor in walk.blocks(limit):
        place = target[index].reshape(-1, walk.n)
        some = np.ascontiguousarray(fields[(slice(None), *index)].reshape(4, -1), sum_dtype(x))
        _run(
            block,
            order,
            source,
            measure,
            mask=mask,
            scale=factor,
            gradient=place,
            state=some,
            given=True,
            threads=threads,
        )
        if not np.may_share_memory(place, target):
            target[index] = place.reshape(target[index].shape)
    return found
