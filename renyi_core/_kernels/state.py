"""The partial state: what one pass over the entries of a distribution leaves behind, and its merge.

With dᵢ = log pᵢ − log max p and eᵢ = exp(dᵢ), the state of a set of entries is::

    peak   the largest logit, or the largest weight
    r0     Σ eᵢ without one largest entry                       (so Σ eᵢ = 1 + r0)
    s      Σ (exp(α dᵢ) − exp(dᵢ))/(α − 1), every term ≤ 0
    ra     Σ exp(α dᵢ) without one largest entry

Every sum has terms of one sign and leaves the largest entry out, so nothing cancels, at any order and for any
distribution. States of disjoint sets merge by :func:`merge`, which is associative and commutative and has the
identity :func:`empty_state`: a cache block, a chunk, a tile or a shard computes a state, in any order, and merges it.

A field that a static order does not need is None: only r0 at α = ∞, no ra at α = 1, and no s where
``|α − 1| >= 1/4`` unless it is asked for (two sums then give the entropy to full accuracy).
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

from .guards import where_known
from .library import ask
from .special import expm1_ratio, log1p_ratio

Array = Any
Source = Literal["logits", "probs"]

__all__ = [
    "TWO_SUMS",
    "Entries",
    "Order",
    "Rows",
    "Source",
    "State",
    "below_dtype",
    "empty_state",
    "finish",
    "log_ratio",
    "merge",
    "nonzero",
    "partial_state",
    "power_gap",
]

TWO_SUMS = 0.25
"""From this distance of α to 1 on, r0 and ra alone give the entropy to full accuracy."""


class Order(NamedTuple):
    """An order α and t = α − 1, formed in the precision of the given α: Python floats, or arrays that broadcast.

    In arrays, α = ∞ is marked in ``infinite`` and α = 2 stands in its place, so that no product is ∞·0.
    """

    alpha: Any
    t: Any
    infinite: Any = None

    @property
    def static(self) -> bool:
        """Whether α is a Python number."""
        return isinstance(self.alpha, float)

    def needs(self, *, full: bool) -> tuple[bool, bool]:
        """Return whether the state needs s and whether it needs ra."""
        if not self.static:
            return True, True
        if self.alpha == math.inf:
            return False, False
        return full or abs(self.t) < TWO_SUMS, self.t != 0


class Entries(NamedTuple):
    """The entries of a distribution, centered on its largest.

    ``d`` = log(p/max p), ``e`` = p/max p and ``w`` = e**α (None at α = 1 and ∞). Entries of weight 0 are ``dead``:
    d = −1, e = w = 0 there. ``edge`` marks those of them with p = 0 where α > 1: their e still carries a derivative.
    """

    peak: Array
    d: Array
    e: Array
    w: Any
    dead: Array
    edge: Any


class State(NamedTuple):
    """The partial state; each field has length 1 along the reduced axes, ``peak`` is the largest logit or weight."""

    peak: Array
    r0: Array
    s: Any
    ra: Any


class Rows(NamedTuple):
    """What a state says of its distribution: Σ eᵢ, −log max p, c = H_∞ − H_α (≤ 0), H_α and 1 + ra."""

    total: Array
    h_inf: Array
    c: Array
    h: Array
    total_alpha: Any


def power_gap(d: Array, e: Array, w: Array | None, order: Order, *, xp: Any) -> Array:
    """Return (exp(α d) − exp(d))/(α − 1) for d <= 0, given e = exp(d) and w = exp(α d)."""
    if order.static and order.t == 0:
        return e * d
    u = order.t * d
    far = xp.abs(u) > 1
    near = (e * d) * expm1_ratio(xp.where(far, 0.0, u), eps=float(xp.finfo(d.dtype).eps), xp=xp)
    return xp.where(far, (w - e) / nonzero(order, xp=xp), near)


def nonzero(order: Order, *, xp: Any) -> Any:
    """Return t with 1 in place of 0, for quotients that are not chosen where t = 0."""
    if order.static:
        return order.t if order.t != 0 else 1.0
    return xp.where(order.t == 0, 1.0, order.t)


def log_ratio(x: Array, peak: Array, *, source: Source, xp: Any) -> tuple[Array, Array, Array]:
    """Return d = log(p/max p), e = exp(d) and where they are of weight 0, for x next to the ``peak``, at no loss.

    Where e is less than the smallest number it is 0, and d tells: the entry is one of the support all the same.
    """
    info = xp.finfo(x.dtype)
    if source == "logits":
        # +inf − inf is NaN all the same, but with a warning in some libraries; a peak of −inf has no entries at all
        peak = xp.where(peak == math.inf, math.nan, xp.where(peak == -math.inf, 0.0, peak))
        # in halves: a difference that would overflow is the largest there is
        half, dead = x / 2 - peak / 2, x == -math.inf
        least = -float(info.max) / 2
        d = xp.where(dead, -1.0, 2 * xp.where(half < least, least, half))
        return d, xp.where(dead, 0.0, xp.exp(d)), dead
    peak = xp.where(peak == 0, 1.0, xp.where(xp.abs(peak) == math.inf, math.nan, peak))
    e = x / peak
    dead = x == 0
    near = e > 0.75
    below = xp.where(near, (x - peak) / peak, 0.0)
    e = xp.where(near, 1 + below, e)  # exactly 1 at the peak, where XLA's x/peak may not be
    low, known = below_dtype(e, dead, xp)
    # in other units, lest the derivative of the logarithm overflow
    unit = 2.0 ** round(8 - math.log2(float(info.eps)))
    d = xp.where(near, xp.log1p(below), xp.log(xp.where(near | low, 1.0, e)))
    d = ask(where_known, xp)(known, d, functools.partial(_log_of_low, x, peak, known, unit, xp), xp)
    return xp.where(dead, -1.0, d), e, dead


def _log_of_low(x: Array, peak: Array, known: Array, unit: float, xp: Any) -> Array:
    return xp.log(xp.where(known, 1.0, x) * unit) - (xp.log(peak) + math.log(unit))


def below_dtype(e: Array, dead: Array, xp: Any) -> tuple[Array, Array]:
    """Return where e has lost digits below the dtype, 0 included, and where it has not, or is 0 by right."""
    low = e < float(xp.finfo(e.dtype).smallest_normal)
    return low, ~low | dead


def _sum_but_top(values: Array, top: Array, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the sum without one of the ``top`` entries, each of which is exactly 1.

    The second sum counts the ties; it stays a sum, not a count, so that derivatives pass through it.
    """
    below = xp.sum(xp.where(top, 0.0, values), axis=axis, keepdims=True)
    ties = xp.sum(xp.where(top, values, 0.0), axis=axis, keepdims=True)
    return below + (ties - 1)


def partial_state(entries: Entries, order: Order, *, axis: tuple[int, ...], xp: Any, full: bool = False) -> State:
    """Return the state of the entries; ``full`` asks for s also where the entropy does without it."""
    top = entries.d == 0
    with_s, with_ra = order.needs(full=full)
    r0 = _sum_but_top(entries.e, top, axis, xp)
    s = ra = None
    if with_s:
        gap = power_gap(entries.d, entries.e, entries.w, order, xp=xp)
        if entries.edge is not None:
            # at p = 0 and α > 1 the gap is −e/t to first order: value 0, but the right derivative
            gap = xp.where(entries.edge, -entries.e / nonzero(order, xp=xp), gap)
        s = xp.sum(gap, axis=axis, keepdims=True)
    if with_ra:
        ra = _sum_but_top(entries.w, top, axis, xp)
    return State(entries.peak, r0, s, ra)


def empty_state(like: Array, order: Order, *, source: Source, xp: Any, full: bool = False) -> State:
    """Return the state of no entries at all, the identity of :func:`merge`."""
    with_s, with_ra = order.needs(full=full)
    zero = xp.zeros_like(like)
    peak = zero - math.inf if source == "logits" else zero
    return State(peak, zero - 1, zero if with_s else None, zero - 1 if with_ra else None)


def merge(a: State, b: State, order: Order, *, source: Source, xp: Any) -> State:
    """Return the state of the union of two disjoint sets of entries."""
    swap = b.peak > a.peak
    peak, low = xp.where(swap, b.peak, a.peak), xp.where(swap, a.peak, b.peak)
    low_total = 1 + xp.where(swap, a.r0, b.r0)
    d, e, dead = log_ratio(low, peak, source=source, xp=xp)
    dead = dead | (low_total == 0)
    d, e = xp.where(dead, -1.0, d), xp.where(dead, 0.0, e)
    r0 = xp.where(swap, b.r0, a.r0) + e * low_total
    w = None
    if a.ra is not None:
        w = xp.where(dead, 0.0, xp.exp(order.alpha * d))
    elif a.s is not None:
        w = e
    s = ra = None
    if a.ra is not None:
        ra = xp.where(swap, b.ra, a.ra) + w * (1 + xp.where(swap, a.ra, b.ra))
    if a.s is not None:
        gap = power_gap(d, e, w, order, xp=xp) * low_total
        s = xp.where(swap, b.s, a.s) + w * xp.where(swap, a.s, b.s) + gap
    return State(peak, r0, s, ra)


def finish(state: State, order: Order, *, xp: Any) -> Rows:
    """Return the entropy and its parts; NaN where there is no entry of positive weight."""
    # −1 is a row without entries; a NaN does not always show in ra, since NaN**0 is 1
    sound = state.r0 >= 0
    r0 = xp.where(sound, state.r0, math.nan)
    ra = None if state.ra is None else xp.where(sound, state.ra, math.nan)
    total = 1 + r0
    h_inf = xp.log1p(r0)
    total_alpha = None if ra is None else 1 + ra
    if order.static and order.alpha == math.inf:
        return Rows(total, h_inf, 0 * h_inf, h_inf, total_alpha)
    if state.s is None:
        c = (xp.log1p(ra) - h_inf) / order.t
    elif order.static and order.t == 0:
        c = state.s / total
    else:
        mean = state.s / total
        x = order.t * mean
        inner = x > -0.5
        c = mean * log1p_ratio(xp.where(inner, x, 0.0), eps=float(xp.finfo(r0.dtype).eps), xp=xp)
        c = xp.where(inner, c, (xp.log1p(ra) - h_inf) / nonzero(order, xp=xp))
        if order.infinite is not None:
            c = xp.where(order.infinite, 0.0, c)
    h = xp.log1p(ra) if order.static and order.alpha == 0 else h_inf - c
    return Rows(total, h_inf, c, h, total_alpha)
