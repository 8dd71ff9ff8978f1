"""Rows so short that a reduction over each would cost more than its arithmetic: they lie transposed.

The largest entry of each is sorted out by a tournament: the losers of all its games are the others, ties among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from renyi_core._kernels.state import Order, Rows, Source, State

from ._engine import FLAT, Engine, Sums

Array = Any

__all__ = ["SHORT", "TallEngine"]

SHORT = 32
"""Rows shorter than this lie transposed."""


class TallEngine(Engine):
    """Rows shorter than SHORT, as columns: reductions run along axis 0.

    The workspace is cut into one buffer for the values, one more where a gradient needs two of them, and one for the
    losers and half as many winners.
    """

    def __init__(self, x: Array, n: int, order: Order, source: Source, *, gradient: bool) -> None:
        super().__init__(x, n, order, source)
        self._two = gradient and order.alpha not in {0.5, 2}
        parts = (2 * n + (n + 1) // 2 if gradient else 2 * n) + n * self._two
        self.rows = max(1, min(self.workspace.size // parts, x.size // n))
        self._kept: Any = None

    def _rooms(self, count: int) -> tuple[Array, Array, Array]:
        """Return buffers of the values, of the second values, and of the losers and winners, ``count`` rows each."""
        cut = self.n * count
        first = self.workspace[:cut].reshape(self.n, count)
        second = self.workspace[cut : 2 * cut].reshape(self.n, count) if self._two else first
        rest = self.workspace[cut * (1 + self._two) :]
        return first, second, rest[: rest.size // count * count].reshape(-1, count)

    def sums(self, x: Array, keep: Array | None, *, common: bool) -> Sums:
        first, second, games = self._rooms(len(x))
        np.copyto(first, x.T)
        if keep is not None:
            return self._sums_and_weights(first, second, games)
        least = np.minimum.reduce(first, axis=0) if self.source == "probs" else None
        losers = _losers(first, games, None)
        peak = first[0].copy()
        spare = first[: len(losers)]
        if least is not None:
            peak = np.where((least < 0) | (peak == 0), math.nan, peak)
            losers /= peak
            return Sums(peak, None, *self._sums_of_probs(losers, spare))
        shift, above = self.common_shift(peak) if common else (None, None)
        # an int is the shift of 0
        if not isinstance(shift, int):
            losers -= peak if shift is None else shift
        return Sums(peak, above, *self._sums_of_logits(losers, spare))

    def _sums_of_logits(self, d: Array, spare: Array) -> tuple[Array, Array | None, Array | None]:
        """Return r0, s and ra; the arguments are spent."""
        alpha = self.order.alpha
        if alpha == 1:
            e = np.exp(d, out=spare)
            return np.add.reduce(e, axis=0), _products(e, d), None
        if alpha == 0.5:
            d *= d.dtype.type(0.5)
            w = np.exp(d, out=d)
            return _dot(w, w), None, np.add.reduce(w, axis=0)
        ra = None
        if alpha not in {2, 3, 4, math.inf}:
            ra = np.add.reduce(np.exp(np.multiply(d, alpha, out=spare), out=spare), axis=0)
        e = np.exp(d, out=d)
        if alpha in {2, 3, 4}:
            square = e if alpha == 2 else np.square(e, out=spare)
            ra = _dot(square, e if alpha == 3 else square)
        return np.add.reduce(e, axis=0), None, ra

    def _sums_of_probs(self, e: Array, spare: Array) -> tuple[Array, Array | None, Array | None]:
        """Return r0, s and ra; the second argument is spent."""
        alpha = self.order.alpha
        s, ra = None, None
        if alpha == 1:
            s = _dot(e, np.log(np.maximum(e, np.finfo(self.dtype).tiny, out=spare), out=spare))
        elif alpha == 2:
            ra = _dot(e, e)
        elif alpha != math.inf:
            w = np.sqrt(e, out=spare) if alpha == 0.5 else np.power(e, alpha, out=spare)
            ra = np.add.reduce(w, axis=0)
        return np.add.reduce(e, axis=0), s, ra

    def _sums_and_weights(self, d: Array, second: Array, games: Array) -> Sums:
        """Return the sums and keep the weights in their places for the gradient: each row on its own peak."""
        alpha = self.order.alpha
        peak = np.maximum.reduce(d, axis=0)
        d -= peak
        s, ra = None, None
        if alpha == 1:
            e = np.exp(d, out=second)
            # the largest has d = 0
            s = _products(e, d)
            self._kept = d, e
            return Sums(peak, None, np.add.reduce(_losers(e, games, len(e)), axis=0), s, None)
        if alpha == 0.5:
            d *= d.dtype.type(0.5)
            w = np.exp(d, out=d)
            self._kept = w, games
            losers = _losers(w, games, len(w))
            return Sums(peak, None, _dot(losers, losers), None, np.add.reduce(losers, axis=0))
        if alpha not in {2, 3, 4}:
            w = np.exp(np.multiply(d, alpha, out=second), out=second)
            ra = np.add.reduce(_losers(w, games, len(w)), axis=0)
        e = np.exp(d, out=d)
        if alpha in {3, 4}:
            w = np.square(e, out=second)
            w *= e if alpha == 3 else w
        losers = _losers(e, games, len(e))
        r0 = np.add.reduce(losers, axis=0)
        if alpha == 2:
            self._kept = e, games
            return Sums(peak, None, r0, None, _dot(losers, losers))
        self._kept = e, w
        if alpha in {3, 4}:
            ra = _dot(np.square(losers, out=None if alpha == 3 else losers), losers)
        return Sums(peak, None, r0, None, ra)

    def gradient(self, x: Array, state: State, rows: Rows, factor: Any, out: Array) -> Array:  # noqa: ARG002
        """See :meth:`Engine.gradient`; written around the derivative of the largest entry, where e = w = 1.

        a·e − b·w = top·e + b·(e − w), since top = a − b.
        """
        a, b, top, doubtful = self.terms(state, rows, factor)
        alpha, (first, second) = self.order.alpha, self._kept
        if alpha == 1:
            part = np.subtract(b, first, out=first)
            part *= second
            part *= a
        elif alpha == 2:
            part = np.subtract(1, first, out=second[: self.n])
            part *= b
            part += top
            part *= first
        elif alpha == 0.5:
            part = np.subtract(first, 1, out=second[: self.n])
            part *= a
            part += top
            part *= first
        else:
            part = np.subtract(first, second, out=second)
            part *= b
            first *= top
            part += first
        np.copyto(out, part.T)
        if len(doubtful):
            some = part[:, doubtful]
            bound = a * a * FLAT * np.minimum(state.r0, state.r0 * state.r0)
            doubtful = doubtful[_dot(some, some) < bound[doubtful]]
        return doubtful


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("ij,ij->j", a, b)


def _products(e: Array, d: Array) -> Array:
    """Return Σ e d, where 0·−inf of a masked outcome is 0; d is then changed."""
    s = _dot(e, d)
    if np.isnan(s).any():
        np.copyto(d, -1, where=d == -math.inf)
        s = _dot(e, d)
    return s


def _losers(values: Array, games: Array, winners: int | None) -> Array:
    """Return all but one largest of each column, in ``games``.

    With ``winners`` None the values are spent and the largest are left in ``values[0]``; else it is the row of
    ``games`` from where the winners of the first games have room.
    """
    room = values if winners is None else games[winners:]
    n = len(values)
    done = 0
    while n > 1:
        half = n // 2
        one, other = values[:half], values[half : 2 * half]
        np.minimum(one, other, out=games[done : done + half])
        np.maximum(one, other, out=room[:half])
        if n % 2:
            room[half] = values[n - 1]
        values = room
        done += half
        n -= half
    return games[:done]
