"""One formula for every order and both sources: the sums of a block of rows, and the gradient from them.

With d = log(p/max p) <= 0 and t = α − 1, b is the larger of the weights e = exp(d) and w = exp(α d), the other one
b·exp(τ d), and µ = expm1(τ d)/τ::

    b = e, τ = t        α > 3/4                     B = Σ b, O = Σ b exp(τ d)     without one largest entry
    b = w, τ = −t       elsewhere                   s = Σ b µ                     every term of one sign
    ∂H/∂z = −α b (µ − s/(1 + B))/(1 + O) = −α b (exp(τ d) − (1 + O)/(1 + B))/(τ (1 + O))

r0 and ra of renyi_core._kernels.state are B and O, or O and B. The first form of the gradient, in which nothing near
equal is subtracted, is taken for orders near 1 and in rows whose weights are alike; elsewhere two sums say all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels.state import TWO_SUMS, Order, Rows, Source, State, finish

Array = Any

__all__ = ["Block", "Form", "forms", "rows_at_once"]

BLOCK_BYTES = 1 << 18
"""Of an array of a block, the few of which fit in the cache together."""
SHORT = 32
"""Rows up to this length lie transposed, so that the inner loops are long."""
SHORT_DOT = 1024
"""BLAS rounds little in sums of so many products."""
KEPT_BYTES = 5 << 17
"""A long row has its weights computed once up to this size, twice above."""
LOST = 4
"""By so much exp(τ d) − (1 + O)/(1 + B) may magnify rounding."""
CERTAIN = 1 / 4
"""Up to here of B, the derivative of the largest entry comes from the sums."""
NEAR = 0.75
"""Probabilities that are a larger share of the largest have their logarithm from the difference."""
FEW = 16
"""A share of entries that are picked out sooner than all are gone through."""
INFINITE = Order(math.inf, math.inf)


def rows_at_once(n: int, dtype: Any) -> int:
    """Return how many rows of length n make a block."""
    return max(1, BLOCK_BYTES // max(4, dtype.itemsize) // n)


def forms(order: Order, source: Source, x: Array, *, full: bool) -> Iterator[tuple[Any, Form]]:
    """Yield an index of the rows of each block of x, and the form that they have; orders are of shape (rows, 1)."""
    step = rows_at_once(x.shape[1], x.dtype)
    if order.static:
        near = abs(order.t) < TWO_SUMS
        form = Form(order, source, x.dtype, full=full, by_e=near or order.t > 0, close=near)
        for start in range(0, len(x), step):
            yield slice(start, start + step), form
        return
    alpha, t, infinite = (part.reshape(-1) for part in order)
    near, above = ~infinite & (np.abs(t) < TWO_SUMS), ~infinite & (t >= TWO_SUMS)
    below = ~(infinite | near | above)
    for mask, by_e, close in ((infinite, True, False), (near, True, True), (above, True, False), (below, False, False)):
        index = np.flatnonzero(mask)
        for start in range(0, len(index), step):
            some = index[start : start + step]
            own = INFINITE if mask is infinite else Order(alpha[some], t[some], infinite[some])
            form = Form(own, source, x.dtype, full=full, by_e=by_e, close=close)
            # neighbors are a view, not a copy
            alone = some[-1] - some[0] == len(some) - 1
            yield slice(some[0], some[-1] + 1) if alone else some, form


class Form:
    """An order as the formula takes it, or one for each row of shape (rows,), all of them in the same way.

    ``full`` says that a gradient is to follow.
    """

    def __init__(self, order: Order, source: Source, dtype: Any, *, full: bool, by_e: bool, close: bool) -> None:
        self.order, self.source, self.full, self.by_e, self.close = order, source, full, by_e, close
        alpha, t = order.alpha, order.t
        info = np.finfo(dtype)
        self.tiny = info.tiny
        self.nothing = -math.inf if source == "logits" else 0
        self.beta: Any = 1.0 if by_e else alpha
        self.tau: Any = t if by_e else -t
        self.deep = math.log(info.tiny)
        self.infinite = order.static and alpha == math.inf
        self.halves = order.static and 0.5 < alpha < 1
        self.same = order.static and self.tau == self.beta
        cap = math.log(info.max) / 2
        if order.static:
            self.low = self.lowest = cap / self.tau if self.tau < 0 else -1e4 if self.tau == 0 else -math.inf
            self.power = min(self.tau, 1.0)
            self.steep = not self.infinite and self.tau > 1
            least = self.beta
        else:
            # so near 0 that µ is d
            self.tau = np.where(t == 0, info.eps / 4096, self.tau).astype(dtype)
            self.beta = self.beta if by_e else alpha.astype(dtype)
            self.low = np.where(self.tau < 0, cap / self.tau, -math.inf).astype(dtype)
            self.lowest, least = np.max(self.low), np.min(self.beta)
            self.power = np.minimum(self.tau, 1)
            self.steep = bool(np.max(self.tau) > 1)
        self.counts = bool(dtype.type(least) == 0)
        """Whether b is 1 for whatever has any weight, in some rows."""

    def laid(self, column: Any) -> Form:
        """Return the form with orders of rows as columns."""
        if self.order.static:
            return self
        form: Form = object.__new__(Form)
        form.__dict__.update({name: column(value) for name, value in self.__dict__.items()})
        return form

    def swapped(self, base: Any, other: Any) -> tuple[Any, Any]:
        """Return what is of e and of w, given what is of b and of the other weight; and the other way."""
        return (base, other) if self.by_e else (other, base)

    def rows(self, state: State, xp: Any) -> Rows:
        """Return what the state says of the rows; two sums suffice where an order is far from 1."""
        return finish(state if self.close else state._replace(s=None), self.order, xp=xp)

    def moved(self, d: Array) -> Array:
        """Return µ in the place of d."""
        if not np.minimum.reduce(d, axis=None) >= self.lowest:
            # of no weight, and b·µ must not be 0·∞
            np.maximum(d, self.low, out=d)
        if self.order.static and self.tau == 0:
            return d
        d *= self.tau
        np.expm1(d, out=d)
        d /= self.tau
        return d

    def rest(self, d: Array) -> Array:
        """Return exp(τ d)."""
        u = self.tau * d
        return np.exp(u, out=u)


class _Weights(NamedTuple):
    """Of the entries of a piece b, ``rest`` = exp(τ d) and µ where needed, and roots of b where that may underflow."""

    b: Array
    rest: Any
    mu: Any
    roots: Any = None

    def times_b(self, values: Array) -> None:
        """Multiply values by b in their place."""
        values *= self.b if self.roots is None else self.roots
        if self.roots is not None:
            values *= self.roots


def _of_logits(x: Array, peak: Array, form: Form) -> _Weights:
    """Return the weights."""
    d = x - peak
    if form.infinite:
        return _Weights(np.exp(d, out=d), None, None)
    if form.same:
        d *= form.beta
        b = np.exp(d, out=d)
        return _Weights(b, b, None)
    rest = None if form.close else form.rest(d)
    roots = None
    if form.halves and not (form.close and np.minimum.reduce(d, axis=None) > form.deep):
        # α d would be rounded, and e underflow before w
        b = np.exp(0.5 * d)
        roots = b if form.close else None
        b = b * (b if form.close else np.exp((form.order.alpha - 0.5) * d))
    elif form.counts:
        b = np.where(x > -math.inf, np.exp(form.beta * np.maximum(d, np.finfo(d.dtype).min)), 0)
    else:
        b = np.exp(d if form.by_e else form.beta * d)
    return _Weights(b, rest, form.moved(d) if form.close else None, roots)


def _of_probs(x: Array, peak: Array, form: Form, *, zeros: bool) -> _Weights:
    """Return the weights."""
    e = x / peak
    low: Any = None
    if zeros:
        # subnormal numbers have lost digits
        low = (e < form.tiny) & (x > 0)
        low = np.nonzero(low) if low.any() else None
    d = _log(x, e, peak, low, full=form.full) if form.close or form.steep or low is not None else None
    b = e if form.by_e else e**form.beta
    if form.counts:
        b = np.where(x > 0, b, 0)
    rest = _rest_of_probs(b, e, d, form, zeros=zeros)
    roots = None
    if low is not None:
        roots = _patch(low, b, rest, d, form)
    return _Weights(b, rest, form.moved(d) if form.close else None, roots)


def _rest_of_probs(b: Array, e: Array, d: Any, form: Form, *, zeros: bool) -> Any:
    if form.same:
        return b
    if form.close or form.infinite:
        return None
    if not form.by_e:
        return e / (np.maximum(b, form.tiny) if zeros else b)
    rest = e**form.power
    if form.steep:
        # a larger power would magnify the rounding of e
        rest *= np.exp((form.tau - form.power) * (np.maximum(d, -1e4) if zeros else d))
    return rest


def _patch(low: Any, b: Array, rest: Any, d: Array, form: Form) -> Any:
    """Set in its place what e does not give where it is ``low``, or return the roots of b that do."""
    if form.close:
        roots = np.sqrt(b)
        roots[low] = np.exp(0.5 * d[low])
        return roots
    b[low] = np.exp(np.broadcast_to(form.beta, d.shape)[low] * d[low])
    if rest is not None and rest is not b:
        rest[low] = form.rest(d)[low]
    return None


def _log(x: Array, e: Array, peak: Array, low: Any, *, full: bool) -> Array:
    """Return d, given e = x/peak and where that is ``low``, below the dtype."""
    d = np.log(e)
    if full:
        # differences of these are all that the gradient of a nearly uniform row is
        near = e > NEAR
        if FEW * np.count_nonzero(near) < near.size:
            at = np.flatnonzero(near)
            top = peak.ravel()[at // x.shape[1] if len(peak) == len(x) else at % x.shape[1]]
            d.ravel()[at] = np.log1p((x.ravel()[at] - top) / top)
        else:
            np.log1p((x - peak) / peak, out=d, where=near)
    if low is not None:
        unit = 2.0 ** -np.finfo(x.dtype).minexp
        d[low] = np.log(x[low] * unit) - np.log(np.broadcast_to(peak, x.shape)[low]) - math.log(unit)
    return d


class Block:
    """Rows of shape (rows, n), that :func:`rows_at_once` bounds, unless there is one alone.

    Numbers of rows are of shape (rows,), and in the layout of :meth:`column` where the entries are. With ``peak``, the
    rows are parts of distributions with that largest entry.
    """

    def __init__(self, x: Array, form: Form, peak: Any = None) -> None:
        self.tall = x.shape[1] <= SHORT
        self.axis = 0 if self.tall else -1
        self.x = np.ascontiguousarray(x.T) if self.tall else x
        self.form = form.laid(self.column)
        self.room = BLOCK_BYTES // x.dtype.itemsize
        self.long = self.x.size > self.room
        self.top: Any = None
        self.zeros = True
        """Whether a probability may be 0, or nearly."""
        self._kept: Any = None
        self._again: Any = None
        self.peak = self._peak() if peak is None else self.column(peak)

    def column(self, values: Any) -> Any:
        """Return numbers of rows so that they broadcast to x."""
        return values.reshape((1, -1) if self.tall else (-1, 1)) if isinstance(values, np.ndarray) else values

    def _peak(self) -> Array:
        if self.tall:
            peak = np.maximum.reduce(self.x, axis=0, keepdims=True)
        else:
            self.top = np.arange(len(self.x)), self.x.argmax(axis=-1)
            peak = self.x[self.top][:, None]
        if self.form.source == "probs":
            least = np.minimum.reduce(self.x, axis=self.axis, keepdims=True)
            self.zeros = not np.minimum.reduce(least - self.form.tiny * peak, axis=None) > self.form.tiny
            if self.zeros:
                peak = np.where(least < 0, math.nan, peak)
        return peak

    def _pieces(self) -> Any:
        """Return the columns of each piece, one alone unless a row is long, and the weights in it."""
        if self._kept is not None:
            return self._kept
        n = self.x.shape[-1]
        step = self.room if self.long else n
        pieces: Any = (self._piece(slice(start, start + step)) for start in range(0, n, step))
        if self.x.nbytes <= KEPT_BYTES:
            pieces = self._kept = list(pieces)
        return pieces

    def _piece(self, columns: slice) -> tuple[slice, _Weights]:
        x = self.x[:, columns]
        if self.form.source == "logits":
            return columns, _of_logits(x, self.peak, self.form)
        return columns, _of_probs(x, self.peak, self.form, zeros=self.zeros)

    def _sum(self, values: Array) -> Array:
        return np.add.reduce(values, axis=self.axis, keepdims=True)

    def _dot(self, one: Array, other: Array) -> Array:
        if not self.tall and one.shape[-1] <= SHORT_DOT:
            return np.vecdot(one, other)[:, None]
        return self._sum(one * other)

    def _sums(self, columns: slice, weights: _Weights) -> list[Any]:
        """Return B, O and s of a piece, None for what is not needed."""
        b, rest, mu, roots = weights
        s = None
        if mu is not None:
            s = self._dot(b, mu) if roots is None else self._dot(roots, roots * mu)
        if self.tall:
            return [_sum_but_top(b), None if rest is None else _sum_but_top(b * rest), s]
        top = self.top
        if self.long:
            rows, at = top
            here = (at >= columns.start) & (at < columns.stop)
            top = rows[here], at[here] - columns.start
        b[top] = 0
        total, other = self._sum(b), None if rest is None else self._dot(b, rest)
        b[top] = 1
        return [total, other, s]

    def state(self) -> State:
        """Return the state of the rows, all of it where a gradient is to follow."""
        form = self.form
        if form.infinite and form.full:
            return self._finished(*self._sums_at_infinity())
        total: list[Any] = [0, 0, 0]
        for columns, weights in self._pieces():
            parts = self._sums(columns, weights)
            total = [None if part is None else some + part for some, part in zip(total, parts, strict=True)]
        base, other, s = total
        if form.close and not (form.order.static and form.tau == 0):
            other = base + form.tau * s
        elif form.full and s is None:
            s = (other - base) / form.tau
            some = self._alike(base, other)
            if some is not None:
                s[some] = sum(self._sum(w.b[some] * self._moved(columns, some)) for columns, w in self._pieces())
        r0, ra = form.swapped(base, other)
        return self._finished(r0, s, ra)

    def _sums_at_infinity(self) -> tuple[Array, Array, Array]:
        """Return r0, and what t·s and ra tend to: minus the sum of all but the largest, how many these are less one."""
        ties: Any = 0
        below: Any = 0
        for columns, weights in self._pieces():
            less = (self.x[:, columns] < self.peak).astype(self.x.dtype)
            ties = ties + self._sum(1 - less)
            below = below + self._dot(weights.b, less)
        return below + (ties - 1), -below, ties - 1

    def _finished(self, r0: Array, s: Any, ra: Any) -> State:
        """Return the state; rows without any weight have that of no entries."""
        # ±inf and NaN, left out of the sums, would be forgotten
        r0 = r0 + 0 * self.peak
        state = State(*(None if part is None else part.reshape(-1) for part in (self.peak, r0, s, ra)))
        if not np.minimum.reduce(state.peak) > self.form.nothing:
            lost = state.peak == self.form.nothing
            for values, identity in zip(state, (self.form.nothing, -1, 0, -1), strict=True):
                if values is not None:
                    np.copyto(values, identity, where=lost)
        return state

    def _alike(self, base: Array, other: Array) -> Any:
        """Return an index of rows, for an order far from 1, of which exp(τ d) has lost the gradient, or None."""
        cancels = LOST * (base - other) < (1 + base) * np.minimum(other, np.sqrt(other))
        found = np.flatnonzero(cancels & (2 * other > base - 1))
        if len(found) == 0:
            return None
        return (slice(None), found) if self.tall else found

    def _moved(self, columns: slice, some: Any) -> Array:
        """Return µ of some rows."""
        if self._again is not None:
            return self._again
        x, peak, form = self.x[:, columns][some], self.peak[some], self.form
        d = x - peak if form.source == "logits" else _log(x, x / peak, peak, None, full=True)
        if not form.order.static:
            form = form.laid(lambda part: part[some] if isinstance(part, np.ndarray) else part)
        moved = form.moved(d)
        if not self.long:
            # of one piece, whose gradient comes next
            self._again = moved
        return moved

    def gradient(self, state: State, rows: Rows, factor: Any, out: Array) -> None:
        """Write the gradient times ``factor``, None or numbers of rows, to ``out``, which may be x."""
        form, probs = self.form, self.form.source == "probs"
        total = self.column(rows.total)
        base, other = form.swapped(total, total if rows.total_alpha is None else self.column(rows.total_alpha))
        per_row = self._per_row(total, base, other)
        per_row = per_row if factor is None else per_row * self.column(factor)
        s = self.column(state.s)
        for columns, weights in self._pieces():
            x = self.x[:, columns]
            if form.infinite:
                part = weights.b if not probs else np.ones_like(x)
                np.multiply(part, s / (1 + self.column(state.ra)), out=part, where=x == self.peak)
            else:
                part = self._difference(columns, weights, s / base, other / base, state)
                if probs:
                    self._by_probability(part, weights, x)
                else:
                    weights.times_b(part)
            if probs and self.zeros:
                # whose reciprocal may overflow
                part /= self.peak
            if self.tall:
                part *= per_row
                out[...] = part.T
            else:
                np.multiply(part, per_row, out=out[:, columns], casting="unsafe")

    def _per_row(self, total: Array, base: Array, other: Array) -> Array:
        """Return the factor of the gradient that is the same in a whole row."""
        form, alpha = self.form, self.column(self.form.order.alpha)
        probs = form.source == "probs"
        if form.infinite:
            per_row = 1 / total
        elif not probs:
            per_row = -alpha / other
        else:
            per_row = -alpha * base / other / total if form.by_e else -alpha / total
        if not (form.close or form.infinite):
            per_row = per_row / form.tau
        return per_row / self.peak if probs and not self.zeros else per_row

    def _difference(self, columns: slice, weights: _Weights, mean: Array, ratio: Array, state: State) -> Array:
        """Return µ − s/(1 + B), τ times that for an order far from 1."""
        form = self.form
        if form.close:
            return np.subtract(weights.mu, mean, out=weights.mu)
        part = weights.rest - ratio
        base, other = form.swapped(self.column(state.r0), self.column(state.ra))
        if np.minimum.reduce(base, axis=None) < CERTAIN:
            if self.top is not None and not self.long:
                part[self.top] = (-form.tau * mean)[:, 0]
            else:
                np.copyto(part, -form.tau * mean, where=(weights.b == 1) & (weights.rest == 1))
        some = self._alike(base, other)
        if some is not None:
            moved = self._moved(columns, some)
            moved -= mean[some]
            moved *= form.tau if form.order.static else form.tau[some]
            part[some] = moved
        return part

    def _by_probability(self, part: Array, weights: _Weights, x: Array) -> None:
        """Divide by p/b what is to be a derivative in p."""
        form = self.form
        if not form.by_e:
            part /= np.maximum(weights.rest, form.tiny) if self.zeros else weights.rest
        if self.zeros and (form.close or not form.by_e):
            # the derivative at p = 0 is ∞ up to α = 1: held there
            np.copyto(part, 0, where=(x == 0) & self.column(form.order.t <= 0))


def _sum_but_top(values: Array) -> Array:
    """Return the sums of columns without one largest entry."""
    high = values[0]
    total = np.zeros_like(high)
    for row in values[1:]:
        total += np.minimum(high, row)
        high = np.maximum(high, row)
    return total[None]
