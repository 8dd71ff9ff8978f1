"""Logits of which others hold a part: the partial state of the rows here, and the gradient from the merged state.

The state is full, with s beside the two sums. Where these are far apart, s = (Σ e**α − Σ e)/t loses nothing; only the
rows where they are close, which are nearly uniform, are summed in the form that is exact there too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels.state import TWO_SUMS, Order, Rows, State, merge

from ._engine import FLAT
from ._exact import LOW, exact_sums, scaled_expm1, weighs_by_e

Array = Any

__all__ = ["PIECE", "Plan", "close_rows", "exact_state", "gradient_piece", "plan"]

PIECE = 1 << 13
"""Entries whose temporaries fit in the cache together."""


def exact_state(x: Array, order: Order, xp: Any) -> State:
    """Return the full state of rows of logits, for an order that :func:`is_exact` takes."""
    step = max(1, PIECE // len(x))
    state: Any = None
    for start in range(0, x.shape[1], step):
        part = exact_sums(x[:, start : start + step], order)
        state = part if state is None else merge(state, part, order, source="logits", xp=xp)
    return State(*(None if part is None else part[:, 0] for part in state))


def close_rows(state: State) -> Array:
    """Return the indices of rows whose sums are so close that their difference has lost digits."""
    total, total_alpha = 1 + state.r0, 1 + state.ra
    return np.flatnonzero(2 * np.minimum(total, total_alpha) > np.maximum(total, total_alpha))


class Plan(NamedTuple):
    """What the gradient needs of each row: ∂H/∂z·factor is a·e − b·e**α, ``top`` where e = 1, in rows that are peaked.

    In exact rows, and at all rows for orders near 1, it is a·(exp(d) or exp(α d))·expm1(τ (d − c)).
    """

    peak: Array
    c: Array
    a: Array
    b: Any
    top: Any
    peaked: Any
    exact: Any
    exact_a: Any


def plan(state: State, rows: Rows, order: Order, factor: Any) -> Plan:
    """Return the plan for the rows of a full state, for an order that :func:`is_exact` takes."""
    alpha, t = order.alpha, order.t
    peak, r0 = state.peak, state.r0
    factor = np.asarray(1 if factor is None else factor, rows.total.dtype)
    if t == 0:
        return Plan(peak, rows.c, -factor / rows.total, None, None, None, None, None)
    exact_a = (-alpha / abs(t) * factor) / (rows.total if t > 0 else rows.total_alpha)
    if abs(t) < TWO_SUMS:
        return Plan(peak, rows.c, exact_a, None, None, None, None, None)
    ratio = factor * (alpha / t)
    a, b = ratio / rows.total, ratio / rows.total_alpha
    top = ratio * ((state.ra - r0) / rows.total / rows.total_alpha)
    # where p − q is the difference of two numbers near 1, and where p and q are close everywhere
    return Plan(peak, rows.c, a, b, top, r0 < 1, top * top < a * a * FLAT * np.minimum(r0, r0 * r0), exact_a)


def gradient_piece(x: Array, rows: Plan, order: Order, out: Array, room: Array) -> None:
    """Write the gradient with respect to entries of rows to ``out``, which may be x.

    The plan's fields are columns; ``room`` are two buffers of the size of x or more.
    """
    first, second = (buffer[: x.size].reshape(x.shape) for buffer in room)
    if rows.b is None:
        _exact(np.subtract(x, rows.peak, out=first), rows.c, rows.a, order, out, second)
        return
    tops: Any = ()
    exacts: Any = ()
    if rows.peaked.any():
        tops = np.flatnonzero(rows.peaked)
        at = x[tops].argmax(axis=-1)
        is_top = x[tops, at] == rows.peak[tops, 0]
        tops, at = tops[is_top], at[is_top]
    if rows.exact.any():
        exacts = np.flatnonzero(rows.exact)
        some = x[exacts] - rows.peak[exacts]
    _combine(np.subtract(x, rows.peak, out=first), rows.a, rows.b, order.alpha, out, first, second)
    if len(tops):
        out[tops, at] = rows.top[tops, 0]
    if len(exacts):
        _exact(some, rows.c[exacts], rows.exact_a[exacts], order, some, np.empty_like(some))
        out[exacts] = some


def _exact(d: Array, c: Array, a: Array, order: Order, out: Array, room: Array) -> None:
    """Write the form that loses no digits to ``out``, which may be d."""
    t, by_e = order.t, weighs_by_e(order)
    low = LOW[d.dtype.char]
    # exp(d) twice by its root, if it falls below the dtype before exp(α d) does
    twice = by_e and t < 0 and not np.minimum.reduce(d, axis=None, initial=0) >= low
    exponent = np.multiply(d, 0.5 if twice else order.alpha, out=room) if twice or not by_e else d
    b = np.exp(exponent, out=room)
    if t == 0:
        # −inf·0 of a masked outcome is 0
        moved = np.maximum(d, -1e4, out=d)
        moved -= c
        moved *= a
    else:
        if twice:
            np.maximum(d, 2 * low, out=d)
        if by_e and t < 0:
            # of t and 1/Σe, not |t| and 1/Σe**α
            a = a * -np.exp(t * c)
        moved = scaled_expm1(np.subtract(d, c, out=d), c, t if by_e else -t, a)
    if twice:
        moved *= b
    np.multiply(moved, b, out=out)


def _combine(d: Array, a: Array, b: Array, alpha: float, out: Array, first: Array, second: Array) -> None:
    """Write a·e − b·e**α to ``out``; d lies in the first buffer and is spent."""
    if alpha == 0.5:
        d *= d.dtype.type(0.5)
        w = np.exp(d, out=first)
        part = np.multiply(w, a, out=second)
        part -= b
        np.multiply(part, w, out=out)
        return
    if alpha in {2, 3, 4}:
        e = np.exp(d, out=first)
        part = np.multiply(e, -b, out=second) if alpha == 2 else np.square(e, out=second)
        if alpha == 4:
            part *= e
        if alpha != 2:
            part *= -b
        part += a
        np.multiply(part, e, out=out)
        return
    w = np.exp(np.multiply(d, alpha, out=second), out=second)
    e = np.exp(d, out=first)
    e *= a
    w *= b
    np.subtract(e, w, out=out)
