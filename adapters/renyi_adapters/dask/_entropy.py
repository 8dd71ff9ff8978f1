"""Dask: a partial state for each chunk, merged in a tree, so that any axis may be cut into chunks; nothing is computed.

For chunks of NumPy and an order that is a number; every other case runs the array-API code.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import dask.array
import numpy as np

from renyi_adapters import numpy as blocks
from renyi_core._kernels.entropy import ENTROPIES
from renyi_core._kernels.family import Call
from renyi_core._kernels.measures import Measure
from renyi_core._kernels.state import Order, Source, State, finish, merge

from ._rows import rows

da: Any = dask.array
Array = Any
Axis = tuple[int, ...]

__all__ = ["entropy", "entropy_and_gradient"]


def _takes(x: Array, order: Order) -> bool:
    return order.static and type(x._meta) is np.ndarray  # noqa: SLF001  the documented way to the type of the chunks


def _dtype(x: Array) -> Any:
    return np.dtype(np.float32) if x.dtype == np.float16 else x.dtype


def _pack(state: State) -> Array:
    """Return the state as one array of records; a field that the order does not need is NaN."""
    packed = np.full(state.peak.shape, np.nan, [(name, state.peak.dtype) for name in State._fields])
    for name, values in zip(State._fields, state, strict=True):
        if values is not None:
            packed[name] = values
    return packed


def _unpack(packed: Array, order: Order, *, full: bool) -> State:
    with_s, with_ra = order.needs(full=full)
    return State(packed["peak"], packed["r0"], packed["s"] if with_s else None, packed["ra"] if with_ra else None)


def _at_least_one(x: Array, axis: Axis, source: Source) -> Array:
    """Return a chunk, or where it has no outcomes one of weight 0."""
    if all(x.shape[k] for k in axis):
        return x
    shape = [max(1, n) if k in axis else n for k, n in enumerate(x.shape, -x.ndim)]
    return np.full_like(x, -np.inf if source == "logits" else 0, shape=shape)


def renyi_state(x: Array, axis: Axis, keepdims: bool, *, order: Order, source: Source, full: bool) -> Array:  # noqa: ARG001
    """Return the packed states of a chunk."""
    axis = tuple(k - x.ndim for k in axis)
    x = _at_least_one(x, axis, source)
    return _pack(blocks.entropy_partial_state(x, order, source=source, axis=axis, xp=np, full=full))


def renyi_merge(packed: Array, axis: Axis, keepdims: bool, *, order: Order, source: Source, full: bool) -> Array:  # noqa: ARG001
    """Return the states merged along the axes, which keep length 1."""
    parts = np.moveaxis(packed, axis, range(len(axis)))
    parts = parts.reshape(math.prod(parts.shape[: len(axis)]), *parts.shape[len(axis) :])
    total = _unpack(parts[0], order, full=full)
    with np.errstate(all="ignore"):
        for part in parts[1:]:
            total = merge(total, _unpack(part, order, full=full), order, source=source, xp=np)
    return np.expand_dims(_pack(total), axis)


def renyi_value(packed: Array, *, order: Order, measure: Measure, full: bool) -> Array:
    """Return the measure, given the states of whole distributions."""
    with np.errstate(all="ignore"):
        rows = finish(_unpack(packed, order, full=full), order, xp=np)
        return measure.value(rows, order, xp=np)


def renyi_whole_rows(x: Array, *, order: Order, source: Source, measure: Measure, axis: Axis) -> Array:
    """Return the measure of a chunk of whole distributions."""
    x = _at_least_one(x, axis, source)
    return blocks.entropy(x, order, source=source, measure=measure, where=None, axis=axis, xp=np)


def renyi_value_and_gradient(
    x: Array, scale: Array = None, *, order: Order, source: Source, measure: Measure, axis: Axis, number: Any
) -> tuple[Array, Array]:
    """Return the measure of a chunk of whole distributions and its gradient: one task, whose result serves both."""
    scale = number if scale is None else scale
    some = _at_least_one(x, axis, source)
    value, gradient = blocks.entropy_and_gradient(
        some, order, source=source, measure=measure, where=None, axis=axis, xp=np, scale=scale
    )
    return value, gradient if some is x else x


def renyi_part(both: tuple[Array, Array], *, which: int) -> Array:
    """Return the value or the gradient of a chunk."""
    return both[which]


def renyi_gradient(
    x: Array,
    packed: Array,
    scale: Array = None,
    *,
    order: Order,
    source: Source,
    measure: Measure,
    axis: Axis,
    number: Any,
) -> Array:
    """Return the gradient with respect to a chunk of the entries."""
    if x.size == 0:
        return x
    state = _unpack(packed, order, full=True)
    scale = number if scale is None else scale
    with np.errstate(all="ignore"):
        return blocks.entropy_gradient_of_state(
            x, state, scale, order, source=source, measure=measure, axis=axis, xp=np
        )


def _states(x: Array, order: Order, source: Source, axis: Axis, *, full: bool) -> Array:
    settings: dict[str, Any] = {"order": order, "source": source, "full": full}
    dtype = np.dtype([(name, _dtype(x)) for name in State._fields])
    return da.reduction(
        x,
        functools.partial(renyi_state, **settings),
        functools.partial(renyi_merge, **settings),
        combine=functools.partial(renyi_merge, **settings),
        axis=tuple(k + x.ndim for k in axis),
        keepdims=True,
        dtype=dtype,
        meta=np.empty((0,) * x.ndim, dtype),
        name="renyi-state",
    )


def _masked(x: Array, where: Array | None, source: Source) -> Array:
    if where is None:
        return x
    return da.where(where, x, x.dtype.type(-np.inf if source == "logits" else 0))


def _are_whole(x: Array, axis: Axis) -> bool:
    return all(x.numblocks[k] == 1 for k in axis)


def _aligned(rows: Array, x: Array, axis: Axis) -> Array:
    """Return numbers of rows in the chunks of x; an axis of length 1 has one chunk."""
    rows = rows[(None,) * (x.ndim - rows.ndim)]
    pairs = enumerate(zip(rows.chunks, x.chunks, strict=True), -x.ndim)
    chunks = tuple((1,) if k in axis or own == (1,) else other for k, (own, other) in pairs)
    return rows if rows.chunks == chunks else rows.rechunk(chunks)


def entropy(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy."""
    if not _takes(x, order):
        return rows(Call(ENTROPIES, (x,), order, where, {"source": source, "measure": measure, "axis": axis}, xp))
    return _value(_masked(x, where, source), order, source, measure, axis, full=False)


def _meta(x: Array, dtype: Any) -> Array:
    return np.empty((0,) * x.ndim, dtype)


def _row_chunks(x: Array, axis: Axis) -> tuple[Any, ...]:
    """Return the chunks of x with length 1 along the axes, which have one chunk each."""
    return tuple((1,) if k in axis else lengths for k, lengths in enumerate(x.chunks, -x.ndim))


def _value(x: Array, order: Order, source: Source, measure: Measure, axis: Axis, *, full: bool) -> Array:
    """Return the measure; the state is ``full`` where that of a gradient serves both."""
    settings: dict[str, Any] = {"order": order, "measure": measure, "dtype": _dtype(x), "meta": _meta(x, _dtype(x))}
    if _are_whole(x, axis):
        return x.map_blocks(renyi_whole_rows, source=source, axis=axis, chunks=_row_chunks(x, axis), **settings)
    return _states(x, order, source, axis, full=full).map_blocks(renyi_value, full=full, **settings)


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
    """Overlay renyi_core._kernels.entropy.entropy_and_gradient; the gradient has the chunks of x."""
    whole = _takes(x, order) and _are_whole(x, axis)
    if not _takes(x, order) or (order.alpha == math.inf and not whole):
        options = {"source": source, "measure": measure, "axis": axis}
        value, gradient = rows(Call(ENTROPIES, (x,), order, where, options, xp), (0,), scale)
        return value, gradient
    masked = _masked(x, where, source)
    settings: dict[str, Any] = {"order": order, "source": source, "measure": measure, "axis": axis, "number": scale}
    factors = []
    if isinstance(scale, da.Array):
        settings["number"], factors = None, [_aligned(scale, x, axis)]
    gradient_meta: dict[str, Any] = {"dtype": x.dtype, "meta": _meta(x, x.dtype)}
    if whole:
        # each chunk is a pair of arrays until the next two tasks take it apart
        both = da.map_blocks(renyi_value_and_gradient, masked, *factors, **settings, **gradient_meta)
        gradient = both.map_blocks(renyi_part, which=1, **gradient_meta)
        chunks = _row_chunks(x, axis)
        value = both.map_blocks(renyi_part, which=0, chunks=chunks, dtype=_dtype(x), meta=_meta(x, _dtype(x)))
    else:
        states = _states(masked, order, source, axis, full=True)
        gradient = da.map_blocks(renyi_gradient, masked, states, *factors, **settings, **gradient_meta)
        value = _value(masked, order, source, measure, axis, full=True)
    if where is not None:
        gradient = da.where(where, gradient, x.dtype.type(0))
    return value, gradient
