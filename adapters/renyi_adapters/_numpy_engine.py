"""The arithmetic of the NumPy adapter: a block of rows at a time, in two buffers that are used again.

Where α is 1, or ∞, or at least 1/4 from 1, two sums give the entropy (see renyi_core._kernels.state), with one
exponential for α = 1/2, 1, 2, 3, 4 and ∞ and two for the others; one largest entry is set to 0 in the buffer, so that
a plain sum leaves it out. Rows so short that a reduction over each would cost more than its arithmetic lie transposed.
"""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels.state import TWO_SUMS, Door, Order, Rows, State

Array = Any

__all__ = ["Engine", "is_fast"]

BUFFER_BYTES = 1 << 18
"""The fastest of 64 KiB to 1 MiB on the machines measured; the workspace is two of these and a little."""
SHORT = 32
"""Rows shorter than this lie transposed."""
SEGMENT = 512
"""Dot products run over as many entries at a time and are then summed in pairs: a longer run would round more."""
FLAT = 1 / 64
"""Where the squared norm of the gradient (p − q)·α/t is a smaller share of that of p·α/t, p − q lost digits."""


def is_fast(x: Array, order: Order, door: Door, *, gradient: bool) -> bool:
    """Return whether the engine takes this dtype, order and door."""
    if not order.static or x.dtype.char not in "efd" or not x.dtype.isnative or order.alpha == 0:
        return False
    if order.t != 0 and abs(order.t) < TWO_SUMS:
        return False
    if math.isinf(order.alpha):
        return not gradient
    return door == "logits" or (not gradient and order.alpha <= 2)


ONES = {np.dtype(kind): np.ones(2 * SEGMENT, kind) for kind in (np.float32, np.float64)}


class _Wide:
    """Rows as they are; one largest entry of each is known by its index, and ``start`` is the first column at hand."""

    ties = 0

    def __init__(self, size: int, dtype: Any) -> None:
        self.index = np.arange(size)
        self.ones = ONES[dtype]
        self.start = 0

    def peaks(self, x: Array) -> Array:
        self.top = x.argmax(axis=-1)
        return x[self.index[: len(x)], self.top]

    def load(self, x: Array, buffer: Array) -> Array:  # noqa: ARG002
        return x

    def room(self, buffer: Array, rows: int, width: int) -> Array:
        return buffer[: rows * width].reshape(rows, width)

    def spread(self, rows: Array) -> Array:
        return rows[:, None]

    def drop_top(self, values: Array) -> None:
        self.put_top(values, 0)

    def put_top(self, values: Array, rows: Any) -> None:
        """Set the largest entries, which :meth:`drop_top` has set to 0."""
        at = self.top - self.start
        if len(at) > 1:
            values[self.index[: len(at)], at] = rows
        elif 0 <= at[0] < values.shape[1]:
            values[0, at[0]] = rows if np.ndim(rows) == 0 else rows[0]

    def dot(self, a: Array, b: Array) -> Array:
        rows, n = a.shape
        if n <= 2 * SEGMENT:
            return np.vecdot(a, b)
        whole = n - n % SEGMENT
        cut = (rows, whole // SEGMENT, SEGMENT)
        result = np.add.reduce(np.vecdot(a[:, :whole].reshape(cut), b[:, :whole].reshape(cut)), axis=-1)
        return result + np.vecdot(a[:, whole:], b[:, whole:]) if whole < n else result

    def total(self, a: Array) -> Array:
        rows, n = a.shape
        if n <= 2 * SEGMENT:
            return np.vecdot(a, self.ones[:n])
        whole = n - n % SEGMENT
        cut = (rows, whole // SEGMENT, SEGMENT)
        result = np.add.reduce(np.vecdot(a[:, :whole].reshape(cut), self.ones[:SEGMENT]), axis=-1)
        return result + np.vecdot(a[:, whole:], self.ones[: n - whole]) if whole < n else result


class _Tall:
    """Short rows transposed, so that reductions run along axis 0; the entries below the largest are known by a mask."""

    def peaks(self, x: Array) -> Array:
        peaks = np.maximum.reduce(x, axis=0)
        self.low = x < peaks
        lows = np.add.reduce(self.low.view(np.uint8), axis=0, dtype=np.uint8)
        self.ties = (len(x) - 1) - lows.astype(x.dtype)
        return peaks

    def load(self, x: Array, buffer: Array) -> Array:
        tall = self.room(buffer, *x.shape)
        np.copyto(tall, x.T)
        return tall

    def room(self, buffer: Array, rows: int, width: int) -> Array:
        return buffer[: rows * width].reshape(width, rows)

    def spread(self, rows: Array) -> Array:
        return rows

    def drop_top(self, values: Array) -> None:
        # faster than a masked copy; and NaN stays NaN
        values *= self.low

    def put_top(self, values: Array, rows: Any) -> None:
        values += rows * ~self.low

    def dot(self, a: Array, b: Array) -> Array:
        return np.einsum("ij,ij->j", a, b)

    def total(self, a: Array) -> Array:
        return np.add.reduce(a, axis=0)


class Weights(NamedTuple):
    """What lies in the buffers: d = log(p/max p) at α = 1 only, e = p/max p, w = e**α at α = 1/2 and general orders."""

    d: Any
    e: Any
    w: Any


class _Workspace(threading.local):
    """Two buffers a thread, kept: the first touch of fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self.bytes = np.empty((2, BUFFER_BYTES), np.uint8)


_workspaces = _Workspace()


def _workspace(dtype: Any) -> Array:
    return _workspaces.bytes.view(dtype)


class Engine:
    """The buffers of one call, for rows of ``n`` entries of which ``rows`` at most are taken at a time."""

    def __init__(self, x: Array, n: int, order: Order, door: Door) -> None:
        self.order, self.door, self.n = order, door, n
        self.dtype = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
        room = BUFFER_BYTES // self.dtype.itemsize
        self.width = min(n, room)
        self.rows = max(1, min(room // n, x.size // n))
        self.buffers = _workspace(self.dtype)
        self.layout: Any = _Tall() if n < SHORT else _Wide(self.rows, self.dtype)

    def state(self, x: Array, keep: Array | None = None) -> State:
        """Return the partial state of a block of shape (rows, n); rows longer than a buffer come one at a time.

        ``keep`` has the shape of the block: the exponentials of long rows are left there for the gradient.
        """
        layout = self.layout
        x = layout.load(x, self.buffers[0])
        peak = layout.peaks(x)
        if self.door == "probs":
            least = np.minimum.reduce(x, axis=0 if isinstance(layout, _Tall) else -1)
            peak = np.where((least < 0) | (peak == 0), math.nan, peak)
        sums: list[Any] = [0, 0, 0]
        for start in range(0, self.n, self.width):
            layout.start = start
            columns = slice(start, start + self.width)
            if self.n > self.width:
                self._weights = self.weigh(x[:, columns], peak, None if keep is None else keep[:, columns])
            else:
                self._weights = self.weigh(x, peak, None)
            parts = self._sums(self._weights)
            sums = [None if part is None else total + part for total, part in zip(sums, parts, strict=True)]
        r0, s, ra = sums
        self._excess = None if ra is None else ra - r0
        # a peak of ±inf or NaN, set to 0 in its place, would be forgotten
        r0 = r0 + layout.ties + 0 * peak
        return State(peak, r0, s, None if ra is None else ra + layout.ties)

    def _rooms(self, x: Array) -> list[Array]:
        rows, width = x.shape if isinstance(self.layout, _Wide) else x.shape[::-1]
        return [self.layout.room(buffer, rows, width) for buffer in self.buffers]

    def weigh(self, x: Array, peak: Array, keep: Array | None) -> Weights:
        """Fill the buffers from a block, or columns of it, given the largest entries; the first result goes to keep."""
        layout, alpha = self.layout, self.order.alpha
        first, second = self._rooms(x)
        if self.door == "probs":
            return self._weigh_probs(x, peak, first, second)
        d = np.subtract(x, layout.spread(peak), out=first)
        if alpha == 1:
            e = np.exp(d, out=second if keep is None else keep)
            layout.drop_top(e)
            return Weights(d, e, None)
        if alpha == 0.5:
            d *= 0.5
            w = np.exp(d, out=d if keep is None else keep)
            layout.drop_top(w)
            return Weights(None, None, w)
        w = None
        if alpha not in {2, 3, 4, math.inf}:
            w = np.exp(np.multiply(d, alpha, out=second), out=second)
            layout.drop_top(w)
        e = np.exp(d, out=d if keep is None else keep)
        layout.drop_top(e)
        return Weights(None, e, w)

    def _weigh_again(self, x: Array, peak: Array, kept: Array) -> Weights:
        """Return what :meth:`weigh` gave, from what it kept."""
        layout, alpha = self.layout, self.order.alpha
        first, second = self._rooms(x)
        if alpha == 0.5:
            return Weights(None, None, kept)
        if alpha in {2, 3, 4}:
            return Weights(None, kept, None)
        d = np.subtract(x, layout.spread(peak), out=first)
        if alpha == 1:
            np.copyto(d, -1, where=d == -math.inf)
            return Weights(d, kept, None)
        w = np.exp(np.multiply(d, alpha, out=second), out=second)
        layout.drop_top(w)
        return Weights(None, kept, w)

    def _weigh_probs(self, x: Array, peak: Array, first: Array, second: Array) -> Weights:
        layout, alpha = self.layout, self.order.alpha
        e = np.divide(x, layout.spread(peak), out=first)
        layout.drop_top(e)
        if alpha == 1:
            d = np.log(np.maximum(e, np.finfo(self.dtype).tiny, out=second), out=second)
            return Weights(d, e, None)
        if alpha in {2, math.inf}:
            return Weights(None, e, None)
        return Weights(None, e, np.sqrt(e, out=second) if alpha == 0.5 else np.power(e, alpha, out=second))

    def _sums(self, weights: Weights) -> tuple[Array, Array | None, Array | None]:
        """Return r0, s and ra without the entries that were set to 0; may overwrite what it no longer needs."""
        layout, alpha = self.layout, self.order.alpha
        d, e, w = weights
        if d is not None:
            s = layout.dot(e, d)
            if np.isnan(s).any():
                # 0·−inf of a masked outcome
                np.copyto(d, -1, where=d == -math.inf)
                s = layout.dot(e, d)
            return layout.total(e), s, None
        if e is None:
            return layout.dot(w, w), None, layout.total(w)
        if w is not None:
            return layout.total(e), None, layout.total(w)
        ra = None
        if alpha != math.inf:
            second = self.room_like(e)
            square = e if alpha == 2 else np.multiply(e, e, out=second)
            ra = layout.dot(square, e if alpha == 3 else square)
        return layout.total(e), None, ra

    def room_like(self, values: Array) -> Array:
        """Return the second buffer in the shape of values that do not lie in it."""
        return self.buffers[1][: values.size].reshape(values.shape)

    def rows_of(self, state: State) -> Rows:
        """Return what the state says of each row."""
        total, h_inf = 1 + state.r0, np.log1p(state.r0)
        if state.ra is not None:
            c = (np.log1p(state.ra) - h_inf) / self.order.t
            return Rows(total, h_inf, c, h_inf - c, 1 + state.ra)
        c = 0 * h_inf if state.s is None else state.s / total
        return Rows(total, h_inf, c, h_inf - c, None)

    def gradient(self, x: Array, state: State, rows: Rows, factor: Any, out: Array) -> Array:
        """Write ∂H/∂logits times ``factor`` to ``out``, right after :meth:`state` of the same block, with keep=out.

        Return the indices of rows that lost digits, to be done otherwise.

        The buffers hold e = 0 in the place of the largest entry, whose derivative comes from the sums: −p v, or
        (α/t)(p − q) = (α/t)(ra − r0)/(Σe Σw), where nothing cancels. Elsewhere p − q has an error of one part in the
        last place of p, which counts against the norm of the gradient.
        """
        layout = self.layout
        alpha, t = self.order.alpha, self.order.t
        if t == 0:
            a = factor / rows.total
            b, top = rows.c, a * rows.c
            doubtful = np.zeros(0, dtype=np.intp)
        else:
            ratio = factor * (alpha / t)
            a, b = ratio / rows.total, ratio / rows.total_alpha
            top = ratio * (self._excess / rows.total / rows.total_alpha)
            # the sum of the squares of e is at most both of these
            doubtful = np.flatnonzero(top * top < a * a * FLAT * np.minimum(state.r0, state.r0 * state.r0))
        wide = isinstance(layout, _Wide)
        norms: Any = top * top
        squares: Any = 0
        for start in range(0, self.n, self.width):
            weights, target = self._weights, out
            if self.n > self.width:
                layout.start = start
                columns = slice(start, start + self.width)
                target = out[:, columns]
                weights = self._weigh_again(x[:, columns], state.peak, target)
            if wide and len(doubtful):
                if weights.e is None:
                    squares = squares + layout.dot(*(np.square(weights.w, out=self.room_like(weights.w)),) * 2)
                else:
                    squares = squares + layout.dot(weights.e, weights.e)
            part = self._combine(weights, layout.spread(a), layout.spread(b), target if wide else None)
            if wide and len(doubtful):
                norms = norms + layout.dot(part, part)
            layout.put_top(part, top)
            if not wide:
                np.copyto(out, part.T)
        return doubtful[norms[doubtful] < (a * a * squares * FLAT)[doubtful]] if wide and len(doubtful) else doubtful

    def _combine(self, weights: Weights, a: Array, b: Array, out: Array | None) -> Array:
        """Return a·e·(b − d) at α = 1 and a·e − b·e**α elsewhere, in ``out`` or a buffer; the buffers are spent."""
        d, e, w = weights
        if d is not None:
            np.subtract(b, d, out=d)
            d *= e
            return np.multiply(d, a, out=d if out is None else out)
        if e is None:
            e = np.multiply(w, a, out=self.room_like(w))
            e -= b
            return np.multiply(e, w, out=w if out is None else out)
        if w is not None:
            e *= a
            w *= b
            return np.subtract(e, w, out=e if out is None else out)
        w = np.multiply(e, -b, out=self.room_like(e)) if self.order.alpha == 2 else np.square(e, out=self.room_like(e))
        if self.order.alpha != 2:
            if self.order.alpha == 4:
                w *= e
            w *= -b
        w += a
        return np.multiply(w, e, out=e if out is None else out)
