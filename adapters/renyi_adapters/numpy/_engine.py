"""The arithmetic of the NumPy adapter: rows a block at a time, in a workspace that is used again.

Where α is 1, or ∞, or at least 1/4 from 1, two sums give the entropy (see renyi_core._kernels.state), with one
exponential for α = 1/2, 1, 2, 3, 4 and ∞ and two for the others. The largest entry of each row is left out of the sums,
so that nothing cancels: rows as they are know its index and set it to 0 in the buffer, short rows sort it out (see
_tall.py).
"""

from __future__ import annotations

import abc
import math
import threading
from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels.state import TWO_SUMS, Order, Rows, Source, State

Array = Any

__all__ = ["Engine", "WideEngine", "is_fast", "workspace"]

BUFFER_BYTES = 1 << 18
"""The fastest of 64 KiB to 1 MiB on the machines measured; the workspace is two of these."""
SEGMENT = 512
"""Dot products run over as many entries at a time and are then summed in pairs: a longer run would round more."""
FLAT = 1 / 64
"""Where the squared norm of the gradient (p − q)·α/t is a smaller share of that of p·α/t, p − q lost digits; at α = 1,
of that of p times the distance between the row's peak and the shift."""
SPREAD = 8
"""Rows whose largest logits lie no further apart, and α times them twice as far, are shifted by one number: a column
to subtract costs three times."""
HIGH = {np.dtype(np.float32): 60.0, np.dtype(np.float64): 600.0}
"""Up to here the exponentials of logits and their sums stay far from overflow without any shift."""
FAINT = 1e-12
"""Below this share of the largest entry, the others may be so small that only a shift of the row's own keeps them."""
SQUARES = {0.5, 2, 3, 4}
"""Orders whose powers come of multiplying: nothing is lost in α times a logit that was not shifted."""
ONES = {np.dtype(kind): np.ones(2 * SEGMENT, kind) for kind in (np.float32, np.float64)}


def is_fast(x: Array, order: Order, source: Source, *, gradient: bool) -> bool:
    """Return whether the engine takes this dtype, order and source."""
    if not order.static or x.dtype.char not in "efd" or not x.dtype.isnative or order.alpha == 0:
        return False
    if order.t != 0 and abs(order.t) < TWO_SUMS:
        return False
    if order.alpha == math.inf:
        return not gradient
    return source == "logits" or (not gradient and order.alpha <= 2)


class Sums(NamedTuple):
    """Sums over the entries of some rows without their largest, in units of e**shift.

    ``above`` is what the largest logits exceed the shift by, None where they are the shift.
    """

    peak: Array
    above: Array | None
    r0: Any
    s: Any
    ra: Any


class _Workspace(threading.local):
    """The buffers of a thread, kept: the first touch of fresh memory costs more than the arithmetic on it."""

    def __init__(self) -> None:
        self.bytes = np.empty(2 * BUFFER_BYTES, np.uint8)


_workspaces = _Workspace()


def workspace(dtype: Any) -> Array:
    """Return two buffers of this thread."""
    return _workspaces.bytes.view(dtype).reshape(2, -1)


class Engine(abc.ABC):
    """What one call needs for rows of ``n`` entries, of which :meth:`gradient` takes ``rows`` at a time."""

    rows: int

    def __init__(self, x: Array, n: int, order: Order, source: Source) -> None:
        self.order, self.source, self.n = order, source, n
        self.dtype = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
        self.workspace: Array = _workspaces.bytes.view(self.dtype)
        self._above: Any = None
        self._units: tuple[Array, Array] | None = None
        self._excess: Any = None
        self._share: Any = None

    @abc.abstractmethod
    def sums(self, x: Array, keep: Array | None, *, common: bool) -> Sums:
        """Return the sums of at most ``rows`` rows; with ``common``, all have one shift if they allow it.

        With ``keep``, in the shape of x, a gradient is to follow, and it may be used to that end.
        """

    @abc.abstractmethod
    def gradient(self, x: Array, state: State, rows: Rows, factor: Any, out: Array) -> Array:
        """Write ∂H/∂logits times ``factor`` to ``out``, right after :meth:`state` of the same rows, with keep=out.

        Return the indices of rows that lost digits, to be done otherwise.
        """

    def state(self, x: Array, keep: Array | None = None) -> State:
        """Return the partial state of rows of shape (rows, n)."""
        cuts = [slice(i, i + self.rows) for i in range(0, len(x), self.rows)]
        parts = [self.sums(x[cut], keep, common=self.source == "logits") for cut in cuts]
        peak, r0, s, ra = self._joined(parts)
        if self._units is not None and not np.minimum.reduce(r0) >= FAINT:
            for i, cut in enumerate(cuts):
                if not np.minimum.reduce(r0[cut]) >= FAINT:
                    parts[i] = self.sums(x[cut], keep, common=False)
            peak, r0, s, ra = self._joined(parts)
        self._excess = None if ra is None else ra - r0
        # a peak of ±inf or NaN, left out of the sums, would be forgotten
        return State(peak, r0 + 0 * peak, s, ra)

    def _joined(self, parts: list[Sums]) -> tuple[Array, Array, Array | None, Array | None]:
        """Return the peaks, r0, s and ra of all parts, in units of the largest entry of each row."""
        peak, above, r0, s, ra = parts[0]
        if len(parts) > 1:
            peak, r0 = np.concatenate([part.peak for part in parts]), np.concatenate([part.r0 for part in parts])
            s = None if s is None else np.concatenate([part.s for part in parts])
            ra = None if ra is None else np.concatenate([part.ra for part in parts])
            if any(part.above is not None for part in parts):
                above = np.concatenate([0 * part.peak if part.above is None else part.above for part in parts])
        self._above, self._units = above, None
        if above is None:
            return peak, r0, s, ra
        alpha = self.order.alpha
        e = np.exp(above)
        # powers as the entries have theirs, lest the rounding of α times a large logit come between
        w = {1: e, 2: e * e, 3: e * e * e, 4: (e * e) ** 2}[alpha] if alpha in {1, 2, 3, 4} else np.exp(alpha * above)
        self._units = e, w
        return peak, r0 / e, None if s is None else (s - above * r0) / e, None if ra is None else ra / w

    def common_shift(self, peak: Array) -> tuple[Any, Array | None]:
        """Return a shift of all rows, and what the largest entries are above it where they differ; or both None."""
        high, low = (peak[0], peak[0]) if len(peak) == 1 else (np.maximum.reduce(peak), np.minimum.reduce(peak))
        if low >= 0 and high * max(self.order.alpha, 1) <= HIGH[self.dtype] and self.order.alpha in SQUARES:
            return 0, peak
        if high == low:
            return high, None
        near = (high - low) * max(1, self.order.alpha / 2) <= SPREAD
        return (high, peak - high) if near else (None, None)

    def rows_of(self, state: State) -> Rows:
        """Return what the state says of each row."""
        total, h_inf = 1 + state.r0, np.log1p(state.r0)
        if state.ra is not None:
            c = (np.log1p(state.ra) - h_inf) / self.order.t
            return Rows(total, h_inf, c, h_inf - c, 1 + state.ra)
        c = 0 * h_inf if state.s is None else state.s / total
        return Rows(total, h_inf, c, h_inf - c, None)

    def terms(self, state: State, rows: Rows, factor: Any) -> tuple[Array, Array, Array, Array]:
        """Return a, b, the derivative of the largest entry, and the indices of rows where p − q may lose digits.

        ∂H/∂z·factor is a·e·(b − d) at α = 1 and a·e − b·e**α elsewhere. At the largest entry it comes from the sums,
        as (α/t)(p − q) = (α/t)(ra − r0)/(Σe Σw), where nothing cancels.
        """
        if self.order.t == 0:
            a, self._share = factor / rows.total, None
            if self._above is None:
                return a, rows.c, a * rows.c, np.zeros(0, dtype=np.intp)
            # b − d loses what both carry of the distance between the shift and the row's own peak
            self._share = FLAT * self._above * self._above
            few = rows.c * rows.c < self._share * np.minimum(state.r0, state.r0 * state.r0)
            return a, rows.c, a * rows.c, np.flatnonzero(few)
        ratio = factor * (self.order.alpha / self.order.t)
        a, b = ratio / rows.total, ratio / rows.total_alpha
        top = ratio * (self._excess / rows.total / rows.total_alpha)
        self._share = FLAT
        # the sum of the squares of e is at most both of these
        return a, b, top, np.flatnonzero(top * top < a * a * FLAT * np.minimum(state.r0, state.r0 * state.r0))


class Weights(NamedTuple):
    """What lies in the buffers: d = log(p/max p) at α = 1 only, e = p/max p, w = e**α at α = 1/2 and general orders."""

    d: Any
    e: Any
    w: Any


class WideEngine(Engine):
    """Rows as they are, the largest entry of each set to 0 in the buffers; those longer than a buffer one at a time."""

    def __init__(self, x: Array, n: int, order: Order, source: Source) -> None:
        super().__init__(x, n, order, source)
        room = BUFFER_BYTES // self.dtype.itemsize
        self.width = min(n, room)
        self.rows = max(1, min(room // n, x.size // n))
        self._buffers = workspace(self.dtype)
        self._index = np.arange(self.rows)
        self._ones = ONES[self.dtype]
        self._start = 0
        self._top: Any = None
        self._shift: Any = None
        self._weights: Any = None
        self._masked = False

    def sums(self, x: Array, keep: Array | None, *, common: bool) -> Sums:
        self._top = x.argmax(axis=-1)
        peak = x[self._index[: len(x)], self._top]
        if self.source == "probs":
            peak = np.where(np.minimum.reduce(x, axis=-1) < 0, math.nan, peak)
        self._masked = False
        self._shift, above = self.common_shift(peak) if common else (None, None)
        if self._shift is None:
            self._shift = peak[:, None]
        if self.n <= self.width:
            self._weights = self._weigh(x, None)
            return Sums(peak, above, *self._sums_of(self._weights))
        total: list[Any] = [0, 0, 0]
        for start in range(0, self.n, self.width):
            self._start = start
            columns = slice(start, start + self.width)
            self._weights = self._weigh(x[:, columns], None if keep is None else keep[:, columns])
            parts = self._sums_of(self._weights)
            total = [None if part is None else some + part for some, part in zip(total, parts, strict=True)]
        return Sums(peak, above, *total)

    def _put_top(self, values: Array, rows: Any) -> None:
        """Set the largest entries."""
        at = self._top - self._start
        if len(at) > 1:
            values[self._index[: len(at)], at] = rows
        elif 0 <= at[0] < values.shape[1]:
            values[0, at[0]] = rows if np.ndim(rows) == 0 else rows[0]

    def _dot(self, a: Array, b: Array) -> Array:
        rows, n = a.shape
        if n <= 2 * SEGMENT:
            return np.vecdot(a, b)
        whole = n - n % SEGMENT
        cut = (rows, whole // SEGMENT, SEGMENT)
        result = np.add.reduce(np.vecdot(a[:, :whole].reshape(cut), b[:, :whole].reshape(cut)), axis=-1)
        return result + np.vecdot(a[:, whole:], b[:, whole:]) if whole < n else result

    def _total(self, a: Array) -> Array:
        rows, n = a.shape
        if n <= 2 * SEGMENT:
            return np.vecdot(a, self._ones[:n])
        whole = n - n % SEGMENT
        cut = (rows, whole // SEGMENT, SEGMENT)
        result = np.add.reduce(np.vecdot(a[:, :whole].reshape(cut), self._ones[:SEGMENT]), axis=-1)
        return result + np.vecdot(a[:, whole:], self._ones[: n - whole]) if whole < n else result

    def _rooms(self, x: Array) -> list[Array]:
        return [buffer[: x.size].reshape(x.shape) for buffer in self._buffers]

    def _weigh(self, x: Array, keep: Array | None) -> Weights:
        """Fill the buffers from a block, or columns of it; the first result goes to keep."""
        alpha = self.order.alpha
        first, second = self._rooms(x)
        if self.source == "probs":
            return self._weigh_probs(x, first, second)
        # an int is the shift of 0
        d = x if isinstance(self._shift, int) else np.subtract(x, self._shift, out=first)
        if alpha == 1:
            e = np.exp(d, out=second if keep is None else keep)
            self._put_top(e, 0)
            return Weights(d, e, None)
        if alpha == 0.5:
            w = np.exp(np.multiply(d, d.dtype.type(0.5), out=first), out=first if keep is None else keep)
            self._put_top(w, 0)
            return Weights(None, None, w)
        w = None
        if alpha not in {2, 3, 4, math.inf}:
            w = np.exp(np.multiply(d, alpha, out=second), out=second)
            self._put_top(w, 0)
        e = np.exp(d, out=first if keep is None else keep)
        self._put_top(e, 0)
        return Weights(None, e, w)

    def _weigh_again(self, x: Array, kept: Array) -> Weights:
        """Return what :meth:`_weigh` gave, from what it kept."""
        alpha = self.order.alpha
        first, second = self._rooms(x)
        if alpha == 0.5:
            return Weights(None, None, kept)
        if alpha in {2, 3, 4}:
            return Weights(None, kept, None)
        d = np.subtract(x, self._shift, out=first)
        if alpha == 1:
            if self._masked:
                np.copyto(d, -1, where=d == -math.inf)
            return Weights(d, kept, None)
        w = np.exp(np.multiply(d, alpha, out=second), out=second)
        self._put_top(w, 0)
        return Weights(None, kept, w)

    def _weigh_probs(self, x: Array, first: Array, second: Array) -> Weights:
        alpha = self.order.alpha
        e = np.divide(x, self._shift, out=first)
        self._put_top(e, 0)
        if alpha == 1:
            d = np.log(np.maximum(e, np.finfo(self.dtype).tiny, out=second), out=second)
            return Weights(d, e, None)
        if alpha in {2, math.inf}:
            return Weights(None, e, None)
        return Weights(None, e, np.sqrt(e, out=second) if alpha == 0.5 else np.power(e, alpha, out=second))

    def _sums_of(self, weights: Weights) -> tuple[Array, Array | None, Array | None]:
        """Return r0, s and ra without the entries that were set to 0; may overwrite what it no longer needs."""
        alpha = self.order.alpha
        d, e, w = weights
        if d is not None:
            s = self._dot(e, d)
            if np.isnan(s).any():
                # 0·−inf of a masked outcome
                self._masked = True
                np.copyto(d, -1, where=d == -math.inf)
                s = self._dot(e, d)
            return self._total(e), s, None
        if e is None:
            return self._dot(w, w), None, self._total(w)
        if w is not None:
            return self._total(e), None, self._total(w)
        ra = None
        if alpha != math.inf:
            square = e if alpha == 2 else np.multiply(e, e, out=self._room_beside(e))
            ra = self._dot(square, e if alpha == 3 else square)
        return self._total(e), None, ra

    def _room_beside(self, values: Array) -> Array:
        """Return the second buffer in the shape of values that do not lie in it."""
        return self._buffers[1][: values.size].reshape(values.shape)

    def gradient(self, x: Array, state: State, rows: Rows, factor: Any, out: Array) -> Array:
        a, b, top, doubtful = self.terms(state, rows, factor)
        norms: Any = top * top
        squares: Any = 0
        if self._units is not None:
            # the buffers hold e and w in units of their own
            e, w = self._units
            a, b = a / e, b + self._above if self.order.t == 0 else b / w
        for start in range(0, self.n, self.width):
            weights, target = self._weights, out
            if self.n > self.width:
                self._start = start
                columns = slice(start, start + self.width)
                target = out[:, columns]
                weights = self._weigh_again(x[:, columns], target)
            if len(doubtful):
                e = weights.e
                if e is None:
                    e = np.square(weights.w, out=self._room_beside(weights.w))
                squares = squares + self._dot(e, e)
            part = self._combine(weights, a[:, None], b[:, None], target)
            if len(doubtful):
                norms = norms + self._dot(part, part)
            self._put_top(part, top)
        return doubtful[norms[doubtful] < (a * a * squares * self._share)[doubtful]] if len(doubtful) else doubtful

    def _combine(self, weights: Weights, a: Array, b: Array, out: Array) -> Array:
        """Write a·e·(b − d) at α = 1 and a·e − b·e**α elsewhere to ``out``; the buffers are spent."""
        d, e, w = weights
        if d is not None:
            np.subtract(b, d, out=d)
            d *= e
            return np.multiply(d, a, out=out)
        if e is None:
            e = np.multiply(w, a, out=self._room_beside(w))
            e -= b
            return np.multiply(e, w, out=out)
        if w is not None:
            e *= a
            w *= b
            return np.subtract(e, w, out=out)
        if self.order.alpha == 2:
            w = np.multiply(e, -b, out=self._room_beside(e))
        else:
            w = np.square(e, out=self._room_beside(e))
            if self.order.alpha == 4:
                w *= e
            w *= -b
        w += a
        return np.multiply(w, e, out=out)
