"""NumPy: entropies and their derivatives, a block of rows at a time that stays in the processor's cache.

Beyond input and output less than 3 MB is used, whatever the size of the input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.measures import Measure
from renyi_core._kernels.sources import center
from renyi_core._kernels.state import Order, Source, State, finish

from . import _compiled as compiled
from ._formula import Block, forms, rows_at_once
from ._walk import RowBlocks, settle

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_gradient_of_state",
    "entropy_hvp",
    "entropy_partial_state",
]

PIECE = 1 << 13
"""Entries that the array-API kernels, with their many temporaries, take at a time."""
LAST = (-1,)
ROWS = 1 << 11
"""Rows whose sums are finished together."""


def entropy(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy."""
    found = compiled.value(x, order, source=source, measure=measure, where=where, axis=axis)
    if found is not None:
        return found
    walk = RowBlocks(x, order, where, axis)
    values = walk.new_rows(_accumulator(x))
    with np.errstate(all="ignore"):
        for index, part, mask, own, _ in walk.blocks(_limit(walk, x, values)):
            clean = _clean(part, mask, source)
            given = forms(own, source, clean, full=False)
            blocks = [(some, form, Block(clean[some], form).state()) for some, form in given]
            if own.static:
                # what is done for each row is done for all at once
                blocks = [(slice(None), blocks[0][1], _joined([state for _, _, state in blocks]))]
            results = np.empty(len(clean), values.dtype)
            for some, form, state in blocks:
                results[some] = measure.value(form.rows(state, xp), form.order, xp=xp)
            _put(values, index, results)
    return walk.as_rows(values)


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
    out: Array | None = None,
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.entropy.entropy_and_gradient.

    ``out`` is an array for the gradient, which may share the memory of x, all of it or none.
    """
    both = compiled.gradient(x, order, source=source, measure=measure, where=where, axis=axis, scale=scale, out=out)
    if both is not None:
        return both
    walk = RowBlocks(x, order, where, axis, scale, flat=out is None or out.flags.c_contiguous)
    values = walk.new_rows(_accumulator(x))
    gradient, target = walk.new_entries(x.dtype, out)
    with np.errstate(all="ignore"):
        for index, part, mask, own, factor in walk.blocks(_limit(walk, x, values)):
            room = target[index] if walk.flat else np.empty(part.shape, x.dtype)
            clean = _clean(part, mask, source)
            value = np.empty(len(clean), values.dtype)
            for some, form in forms(own, source, clean, full=True):
                block = Block(clean[some], form)
                state = block.state()
                rows = form.rows(state, xp)
                scale = factor[some] if isinstance(factor, np.ndarray) else factor
                slope = agnostic.factor_of(rows, form.order, measure, scale, xp)
                value[some] = measure.value(rows, form.order, xp=xp)
                # a view, or of some rows a copy
                result = room[some]
                block.gradient(state, rows, slope, result)
                if not isinstance(some, slice):
                    room[some] = result
            settle(room, mask, factor)
            _put(values, index, value)
            if not walk.flat:
                _put(target, index, room)
    return walk.as_rows(values), gradient


def entropy_and_alpha_gradient(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.entropy.entropy_and_alpha_gradient."""
    both = compiled.slope(x, order, source=source, measure=measure, where=where, axis=axis)
    if both is not None:
        return both
    walk = RowBlocks(x, order, where, axis)
    values, slopes = (walk.new_rows(_accumulator(x)) for _ in range(2))
    with np.errstate(all="ignore"):
        for index, part, mask, own, _ in walk.blocks(max(1, PIECE // walk.n)):
            clean = _clean(part, mask, source)
            value, slope = (np.zeros((len(clean), 1), values.dtype) for _ in range(2))
            for some, form in forms(own, source, clean, full=True):
                x, order = clean[some], form.order
                order = order if order.static else Order(*(part[:, None] for part in order))
                state = State(*(None if field is None else field[:, None] for field in Block(x, form).state()))
                rows = finish(state, order, xp=xp)
                for start in range(0, walk.n, PIECE):
                    piece = x[:, start : start + PIECE]
                    entries = center(piece, order, source=source, where=None, axis=LAST, xp=xp, peak=state.peak)
                    slope[some] += agnostic.alpha_gradient(entries, rows, order, axis=LAST, xp=xp)
                value[some] = measure.value(rows, order, xp=xp)
                slope[some] = agnostic.alpha_slope_of(slope[some], rows, order, measure, xp)
            _put(values, index, value)
            _put(slopes, index, slope)
    return walk.as_rows(values), walk.as_rows(slopes)


def entropy_hvp(
    x: Array,
    vector: Array,
    order: Order,
    *,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy_hvp; a row is taken whole, however long it is."""
    walk = RowBlocks(x, order, where, axis, flat=False)
    vectors = walk.moved(np.broadcast_to(vector, walk.shape))
    product, target = walk.new_entries(x.dtype)
    with np.errstate(all="ignore"):
        for index, block, mask, own, _ in walk.blocks(max(1, PIECE // walk.n)):
            part = vectors[index].reshape(block.shape)
            result = agnostic.entropy_hvp(block, part, own, measure=measure, where=mask, axis=LAST, xp=xp, scale=scale)
            _put(target, index, result)
    return product


def entropy_partial_state(x: Array, order: Order, *, source: Source, axis: Axis, xp: Any, full: bool) -> State:  # noqa: ARG001
    """Return the partial state of each distribution, with length 1 along the reduced axes, for a static order.

    What has no entries of any weight is the identity of :func:`renyi_core._kernels.state.merge`.
    """
    found = compiled.partial_state(x, order, source=source, axis=axis, full=full)
    if found is not None:
        return found
    walk = RowBlocks(x, order, None, axis)
    needs = (True, True, *order.needs(full=full))
    fields = [walk.new_rows(_accumulator(x)) if need else None for need in needs]
    with np.errstate(all="ignore"):
        for index, part, _, _, _ in walk.blocks(rows_at_once(walk.n, x.dtype)):
            clean = _clean(part, None, source)
            ((_, form),) = forms(order, source, clean, full=needs[2])
            state = Block(clean, form).state()
            for field, values in zip(fields, state, strict=True):
                if field is not None:
                    _put(field, index, values)
    return State(*(None if field is None else walk.as_rows(field) for field in fields))


def entropy_gradient_of_state(
    x: Array,
    state: State,
    scale: Any,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    axis: Axis,
    xp: Any,
    out: Array | None = None,
) -> Array:
    """Return the gradient with respect to entries that are a part of the distributions of a state, which is full.

    For a static order that is not ∞. ``out`` is an array for it, which may share the memory of x, all of it or none.
    """
    found = compiled.gradient_of_state(x, state, scale, order, source=source, measure=measure, axis=axis, out=out)
    if found is not None:
        return found
    walk = RowBlocks(x, order, None, axis, scale, flat=out is None or out.flags.c_contiguous)
    fields = [None if part is None else walk.spread(part).reshape(walk.lead) for part in state]
    gradient, target = walk.new_entries(x.dtype, out)
    with np.errstate(all="ignore"):
        for index, part, _, _, factor in walk.blocks(rows_at_once(walk.n, x.dtype)):
            room = target[index] if walk.flat else np.empty(part.shape, x.dtype)
            own = State(*(None if field is None else field[index].reshape(-1) for field in fields))
            clean = _clean(part, None, source)
            ((_, form),) = forms(order, source, clean, full=True)
            rows, block = form.rows(own, xp), Block(clean, form, own.peak)
            block.gradient(own, rows, agnostic.factor_of(rows, order, measure, factor, xp), room)
            settle(room, None, factor)
            if not walk.flat:
                _put(target, index, room)
    return gradient


def _limit(walk: RowBlocks, x: Array, values: Array) -> int:
    """Return how many rows to take at a time: more than a block where these are views, no copies."""
    step = rows_at_once(walk.n, x.dtype)
    return max(step, ROWS) if walk.flat and values.dtype == x.dtype else step


def _joined(states: list[State]) -> State:
    return State(*(None if parts[0] is None else np.concatenate(parts) for parts in zip(*states, strict=True)))


def _accumulator(x: Array) -> Any:
    return np.dtype(np.float32) if x.dtype == np.float16 else x.dtype.newbyteorder("=")


def _clean(x: Array, mask: Array | None, source: Source) -> Array:
    """Return a block in the precision of sums, masked entries at weight 0."""
    x = x.astype(_accumulator(x), copy=False)
    return x if mask is None else np.where(mask, x, x.dtype.type(-math.inf if source == "logits" else 0))


def _put(values: Array, index: Any, block: Array) -> None:
    values[index] = block.reshape(np.shape(values[index]))
