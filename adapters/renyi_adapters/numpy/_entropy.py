"""NumPy: the kernels run in blocks that stay in the processor's cache.

Speed and memory are gained, nothing else: beyond input and output about 0.6 MB is used, whatever the size of the
input. The engine takes the common orders and dtypes; every other case runs the library's own kernels a block at a
time, long rows in pieces whose partial states are merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import Measure
from renyi_core._kernels.sources import centre
from renyi_core._kernels.state import Entries, Order, Rows, Source, State, finish, merge, partial_state

from . import _compiled as compiled
from ._engine import Engine, WideEngine, is_fast, workspace
from ._exact import EPS, TINY, exact_gradient, exact_rows, is_exact
from ._states import PIECE, Plan, close_rows, exact_state, gradient_piece, plan
from ._tall import SHORT, TallEngine
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

ROWS = 1 << 11
"""Rows whose sums are finished together."""
LAST = (-1,)


def entropy(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy."""
    found = compiled.value(x, order, source=source, measure=measure, where=where, axis=axis)
    if found is not None:
        return found
    if x.size <= PIECE and where is None and axis == LAST and source == "logits" and is_exact(x, order):
        with np.errstate(all="ignore"):
            return measure.value(exact_rows(x, order, full=False).rows, order, xp=xp)
    walk = RowBlocks(x, order, where, axis)
    values = walk.new_rows(_accumulator(x))
    engine = _engine(walk, x, order, source, gradient=False)
    exact = source == "logits" and walk.n <= PIECE and is_exact(x, order)
    with np.errstate(all="ignore"):
        for index, block, mask, block_order, _ in walk.blocks(_limit(walk, engine, copies=x.dtype != values.dtype)):
            clean = _clean(block, mask, source)
            if engine:
                rows = engine.rows_of(_engine_state(engine, clean, xp))
            elif exact:
                rows = exact_rows(clean, block_order, full=False).rows
            else:
                rows = _Pieces(clean, block_order, source, xp, full=False).rows
            _put(values, index, measure.value(rows, block_order, xp=xp))
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
    found = compiled.gradient(x, order, source=source, measure=measure, where=where, axis=axis, scale=scale, out=out)
    if found is not None:
        return found
    if out is None and x.size <= PIECE and where is None and axis == LAST and source == "logits" and is_exact(x, order):
        with np.errstate(all="ignore"):
            value, gradient = _exact(x, order, measure, scale, xp)
            settle(gradient, None, value, scale)
            return value, gradient
    walk = RowBlocks(x, order, where, axis, scale, flat=out is None or out.flags.c_contiguous)
    dtype = _accumulator(x)
    values = walk.new_rows(dtype)
    gradient, target = walk.new_entries(x.dtype, out)
    in_place = out is not None and np.may_share_memory(x, out)
    engine = _engine(walk, x, order, source, gradient=True)
    exact = source == "logits" and walk.n <= PIECE and is_exact(x, order)
    # straight into the result, where that lies in memory as the blocks do
    direct = walk.flat and dtype == x.dtype
    later: list[Array] = []
    with np.errstate(all="ignore"):
        for index, block, mask, block_order, factor in walk.blocks(engine.rows if engine else _rows_at_once(walk.n)):
            clean = _clean(block.copy() if in_place else block, mask, source)
            part = target[index] if direct else np.empty(block.shape, dtype)
            if engine:
                value, lost = _engine_gradient(engine, clean, measure, factor, part, xp)
                if len(lost) and (in_place or not direct):
                    _redo(lost, clean, order, measure, factor, part, xp)
                elif len(lost):
                    later.append(lost + index[0].start)
            elif exact:
                value, part[...] = _exact(clean, block_order, measure, _column(factor), xp)
            else:
                value = _gradient(clean, mask, block_order, source, measure, _column(factor), part, xp)
            settle(part, mask, value, _column(factor))
            _put(values, index, value)
            if not direct:
                _put(target, index, part)
        if later:
            _redo(np.concatenate(later), x.reshape(-1, walk.n), order, measure, walk.scale, target, xp)
    return walk.as_rows(values), gradient


def _engine(walk: RowBlocks, x: Array, order: Order, source: Source, *, gradient: bool) -> Engine | None:
    if not is_fast(x, order, source, gradient=gradient):
        return None
    if walk.n < SHORT:
        return TallEngine(x, walk.n, order, source, gradient=gradient)
    return WideEngine(x, walk.n, order, source)


def _engine_state(engine: Engine, x: Array, xp: Any) -> State:
    """Return the state of rows, by the library's own kernels where weights below the dtype show in it."""
    state = engine.state(x)
    order = engine.order
    if engine.source == "probs" and order.alpha < 1:
        char = engine.dtype.char
        share = engine.n * TINY[char] ** order.alpha / EPS[char]
        rows: Any = ()
        if not np.minimum.reduce(state.ra) >= share:
            rows = np.flatnonzero(state.ra < share)
            some = x[rows]
            low = (some > 0) & (some < state.peak[rows, None] * TINY[char])
            rows = rows[low.any(axis=-1)]
        if len(rows):
            for values, own in zip(state, _Pieces(x[rows], order, "probs", xp, full=False).state, strict=True):
                if values is not None:
                    values[rows] = own
    return state


def _limit(walk: RowBlocks, engine: Engine | None, *, copies: bool) -> int:
    """Return how many rows to take at a time where values alone are asked for."""
    if engine is None:
        return _rows_at_once(walk.n)
    if not walk.flat or copies:
        return engine.rows
    # no copies are made: what is done for each row is then done for many at once
    return max(engine.rows, ROWS - ROWS % engine.rows)


def _engine_gradient(
    engine: Engine, x: Array, measure: Measure, scale: Any, out: Array, xp: Any
) -> tuple[Array, Array]:
    """Write the gradient of a block to ``out``; return the measure's values and the indices of rows to be redone."""
    state = engine.state(x, keep=out)
    rows = engine.rows_of(state)
    factor = agnostic.factor_of(rows, engine.order, measure, scale, xp)
    lost = engine.gradient(x, state, rows, np.ones_like(rows.h) if factor is None else factor, out)
    return measure.value(rows, engine.order, xp=xp), lost


def _redo(lost: Array, x: Array, order: Order, measure: Measure, scale: Any, out: Array, xp: Any) -> None:
    """Write the gradient of these rows of logits to ``out``, in the forms that lose no digits."""
    n = x.shape[1]
    step = max(1, PIECE // n)
    for start in range(0, len(lost), step):
        some = lost[start : start + step]
        some_scale = scale[some, None] if isinstance(scale, np.ndarray) else scale
        if n <= PIECE:
            out[some] = _exact(x[some], order, measure, some_scale, xp)[1]
        else:
            _gradient(x[some], None, order, "logits", measure, some_scale, out[some[0] : some[0] + 1], xp)


def _exact(x: Array, order: Order, measure: Measure, scale: Any, xp: Any) -> tuple[Array, Array]:
    """Return the measure's values and the gradient of a block of logits."""
    exact = exact_rows(x, order, full=True)
    factor = agnostic.factor_of(exact.rows, order, measure, scale, xp)
    return measure.value(exact.rows, order, xp=xp), exact_gradient(exact, order, factor)


def _gradient(
    x: Array, mask: Array | None, order: Order, source: Source, measure: Measure, scale: Any, out: Array, xp: Any
) -> Array:
    """Write the gradient of a block to ``out`` by the library's own kernels and return the measure's values."""
    pieces = _Pieces(x, order, source, xp, full=True)
    factor = agnostic.factor_of(pieces.rows, order, measure, scale, xp)
    tops = pieces.tops()
    for columns, entries in pieces.entries():
        where = None if mask is None else mask[:, columns]
        part = agnostic.gradient_entries(
            entries, pieces.rows, order, source=source, where=where, axis=LAST, xp=xp, tops=tops
        )
        out[:, columns] = scaled(part, factor, xp)
    return measure.value(pieces.rows, order, xp=xp)


def entropy_and_alpha_gradient(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.entropy.entropy_and_alpha_gradient."""
    found = compiled.slope(x, order, source=source, measure=measure, where=where, axis=axis)
    if found is not None:
        return found
    walk = RowBlocks(x, order, where, axis)
    values, slopes = (walk.new_rows(_accumulator(x)) for _ in range(2))
    with np.errstate(all="ignore"):
        for index, block, mask, block_order, _ in walk.blocks(_rows_at_once(walk.n)):
            pieces = _Pieces(_clean(block, mask, source), block_order, source, xp, full=True)
            slope = sum(
                agnostic.alpha_gradient(entries, pieces.rows, block_order, axis=LAST, xp=xp)
                for _, entries in pieces.entries()
            )
            _put(values, index, measure.value(pieces.rows, block_order, xp=xp))
            _put(slopes, index, agnostic.alpha_slope_of(slope, pieces.rows, block_order, measure, xp))
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
        for index, block, mask, block_order, _ in walk.blocks(_rows_at_once(walk.n)):
            part = vectors[index].reshape(block.shape)
            result = agnostic.entropy_hvp(
                block, part, block_order, measure=measure, where=mask, axis=LAST, xp=xp, scale=scale
            )
            _put(target, index, result)
    return product


def entropy_partial_state(x: Array, order: Order, *, source: Source, axis: Axis, xp: Any, full: bool) -> State:
    """Return the partial state of each distribution, with length 1 along the reduced axes, for a static order.

    What has no entries of any weight is the identity of :func:`renyi_core._kernels.state.merge`.
    """
    found = compiled.partial_state(x, order, source=source, axis=axis, full=full)
    if found is not None:
        return found
    walk = RowBlocks(x, order, None, axis)
    dtype = _accumulator(x)
    # the engine's logarithms of probabilities serve the value alone
    engine = _engine(walk, x, order, source, gradient=False) if source == "logits" or not full else None
    exact = source == "logits" and is_exact(x, order)
    needs = (True, True, *order.needs(full=full))
    fields = [walk.new_rows(dtype) if need else None for need in needs]
    with np.errstate(all="ignore"):
        for index, block, _, _, _ in walk.blocks(_limit(walk, engine, copies=x.dtype != dtype)):
            clean = _clean(block, None, source)
            if engine:
                state = _engine_state(engine, clean, xp)
                if full and state.ra is not None:
                    state = state._replace(s=_s_from_sums(state, clean, order, xp))
                state = _with_identity(state, clean, source)
            elif exact:
                state = exact_state(clean, order, xp)
            else:
                state = _Pieces(clean, order, source, xp, full=full).state
            for field, values in zip(fields, state, strict=True):
                if field is not None:
                    _put(field, index, values)
    return State(*(None if field is None else walk.as_rows(field) for field in fields))


def _s_from_sums(state: State, logits: Array, order: Order, xp: Any) -> Array:
    """Return s = (Σ e**α − Σ e)/t, by itself where that has lost digits."""
    s = (state.ra - state.r0) / order.t
    rows = close_rows(state)
    step = _rows_at_once(logits.shape[1])
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        s[some] = exact_state(logits[some], order, xp).s
    return s


def _with_identity(state: State, x: Array, source: Source) -> State:
    """Return the state of whole rows as one of parts: a row without any weight, NaN there, is no entry here."""
    lost = np.flatnonzero(np.isnan(state.r0))
    if len(lost) == 0:
        return state
    nothing = -math.inf if source == "logits" else 0
    lost = lost[(x[lost] == nothing).all(axis=-1)]
    for values, identity in zip(state, (nothing, -1, 0, -1), strict=True):
        if values is not None:
            values[lost] = identity
    return state


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
    with np.errstate(all="ignore"):
        rows = finish(state, order, xp=xp)
        factor = agnostic.factor_of(rows, order, measure, scale, xp)
        if source == "logits" and is_exact(x, order):
            gradient = _gradient_by_plan(x, plan(state, rows, order, factor), order, axis, out)
            settle(gradient, None, rows.h, scale)
            return gradient
        walk = RowBlocks(x, order, None, axis, factor, flat=False)
        parts = [None if part is None else walk.spread(part) for part in (state.peak, *rows)]
        gradient, target = walk.new_entries(x.dtype, out)
        for index, block, _, _, block_factor in walk.blocks(_rows_at_once(walk.n)):
            peak, *rest = (None if part is None else part[index].reshape(-1, 1) for part in parts)
            result = np.empty(block.shape, x.dtype)
            for start in range(0, walk.n, PIECE):
                columns = slice(start, start + PIECE)
                piece = _clean(block[:, columns], None, source)
                entries = centre(piece, order, source=source, where=None, axis=LAST, xp=xp, peak=peak)
                part = agnostic.gradient_entries(
                    entries, Rows(*rest), order, source=source, where=None, axis=LAST, xp=xp
                )
                result[:, columns] = scaled(part, _column(block_factor), xp)
            _put(target, index, result)
    return gradient


def _gradient_by_plan(x: Array, rows: Plan, order: Order, axis: Axis, out: Array | None) -> Array:
    walk = RowBlocks(x, order, None, axis, flat=out is None or out.flags.c_contiguous)
    spread = [None if part is None else walk.spread(part).reshape(walk.lead) for part in rows]
    gradient, target = walk.new_entries(x.dtype, out)
    room = workspace(x.dtype)
    width = min(walk.n, room.shape[1])
    for index, block, _, _, _ in walk.blocks(room.shape[1] // width):
        some = Plan(*(None if part is None else part[index].reshape(-1, 1) for part in spread))
        part = target[index] if walk.flat else np.empty(block.shape, x.dtype)
        for start in range(0, walk.n, width):
            columns = slice(start, start + width)
            gradient_piece(block[:, columns], some, order, part[:, columns], room)
        if not walk.flat:
            _put(target, index, part)
    return gradient


class _Pieces:
    """A block of rows through the library's own kernels; rows longer than a piece are merged from pieces."""

    def __init__(self, x: Array, order: Order, source: Source, xp: Any, *, full: bool) -> None:
        self._args = order, source, xp
        self._x = x
        self._columns = [slice(i, i + PIECE) for i in range(0, x.shape[1], PIECE)]
        self._whole: Entries | None = None
        state: Any = None
        for columns in self._columns:
            # each on its own peak: on that of the whole row, the sums of a piece far below it would be 1 − 1
            entries = centre(x[:, columns], order, source=source, where=None, axis=LAST, xp=xp)
            part = partial_state(entries, order, axis=LAST, xp=xp, full=full)
            state = part if state is None else merge(state, part, order, source=source, xp=xp)
        if len(self._columns) == 1:
            self._whole = entries
        self.state = State(*(None if part is None else part[:, 0] for part in state))
        self._peak = state.peak
        self.rows = finish(state, order, xp=xp)

    def entries(self) -> Iterator[tuple[slice, Entries]]:
        """Yield the columns of each piece and its entries, centred on the peak of the row."""
        order, source, xp = self._args
        for columns in self._columns:
            entries = self._whole
            if entries is None:
                entries = centre(
                    self._x[:, columns], order, source=source, where=None, axis=LAST, xp=xp, peak=self._peak
                )
            yield columns, entries

    def tops(self) -> Any:
        """Return what the gradient at α = ∞ needs of whole rows: the number of largest entries, the sum of others."""
        order, _, xp = self._args
        if order.static and order.alpha != math.inf:
            return None
        parts = [agnostic.top_sums(entries, axis=LAST, xp=xp) for _, entries in self.entries()]
        ties, below = zip(*parts, strict=True)
        return sum(ties), sum(below)


def _accumulator(x: Array) -> Any:
    return np.dtype(np.float32) if x.dtype == np.float16 else x.dtype


def _rows_at_once(n: int) -> int:
    return max(1, PIECE // n)


def _clean(x: Array, mask: Array | None, source: Source) -> Array:
    """Return a block in the precision of sums, masked entries at weight 0."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    return x if mask is None else np.where(mask, x, x.dtype.type(-math.inf if source == "logits" else 0))


def _column(rows: Any) -> Any:
    return rows[:, None] if isinstance(rows, np.ndarray) else rows


def _put(values: Array, index: Any, block: Array) -> None:
    values[index] = block.reshape(np.shape(values[index]))
