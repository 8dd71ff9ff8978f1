"""The two sources of a distribution: logits or probabilities become the same centered entries."""

from __future__ import annotations

import math
from typing import Any

from .guards import where_known
from .library import ask
from .state import Entries, Order, Source, below_dtype, log_ratio

Array = Any

__all__ = ["accumulate", "center", "distributions", "peak_of", "power_ratio"]

CLOSE = 0.5
"""Up to this distance of α to 1, e**α is formed as e·e**t."""


def accumulate(x: Array, *, xp: Any) -> Array:
    """Return x in the precision that sums are formed in: float32 for float16 and bfloat16."""
    return xp.astype(x, xp.float32) if xp.finfo(x.dtype).bits == 16 else x


def distributions(
    *arrays: Array, source: Source, where: Array | None, axis: tuple[int, ...], xp: Any
) -> tuple[Any, Any]:
    """Return the arrays in the precision of sums, at weight 0 what is masked, and which rows are distributions in all.

    In the place of invalid rows stands the uniform distribution: automatic differentiation multiplies what is NaN
    by a cotangent of 0. An adapter that differentiates otherwise may do without, and return True for the rows.
    """
    nothing, one = (-math.inf, 0.0) if source == "logits" else (0.0, 1.0)
    parts = [accumulate(x, xp=xp) for x in arrays]
    if where is not None:
        parts = [xp.where(where, x, nothing) for x in parts]
    sound: Any = True
    for x in parts:
        peak = peak_of(x, source=source, axis=axis, xp=xp)
        sound = sound & (peak > nothing) & (peak < math.inf)
    return tuple(xp.where(sound, x, one) for x in parts), sound


def peak_of(x: Array, *, source: Source, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the largest entry of each distribution; NaN where a probability is negative."""
    peak = xp.max(x, axis=axis, keepdims=True)
    if source == "logits":
        return peak
    return xp.where(xp.min(x, axis=axis, keepdims=True) < 0, math.nan, peak)


def center(
    x: Array,
    order: Order,
    *,
    source: Source,
    where: Array | None,
    axis: tuple[int, ...],
    xp: Any,
    peak: Array | None = None,
) -> Entries:
    """Return the entries of x centered on the largest of them, or on the ``peak`` of what x is a part of."""
    x = accumulate(x, xp=xp)
    if where is not None:
        x = xp.where(where, x, -math.inf if source == "logits" else 0.0)
    if peak is None:
        peak = peak_of(x, source=source, axis=axis, xp=xp)
    d, e, dead = log_ratio(x, peak, source=source, xp=xp)
    edge = None
    if source == "probs":
        # the derivative at p = 0 is +inf up to α = 1: the entry is then held at 0
        if order.static and order.alpha <= 1:
            e = xp.where(dead, 0.0, e)
        elif order.static:
            edge = dead
        else:
            edge = dead & (order.t > 0)
            e = xp.where(dead & ~edge, 0.0, e)
    return Entries(peak, d, e, _weights(d, e, dead, order, source, xp), dead, edge)


def _weights(d: Array, e: Array, dead: Array, order: Order, source: Source, xp: Any) -> Array | None:
    """Return e**α.

    Of logits by exp(α d), whose product is rounded; between 1/2 and 1, where that shows most, by exp(d/2) and a rest,
    with no more than d/4 multiplied out. Of probabilities by a power, which has no rounded logarithm in it: by e·e**t
    near α = 1, where t carries less rounding than α, and by exp(α d) again where α > 2, since a power magnifies e's own
    rounding.
    """
    if order.static and (order.t == 0 or order.alpha == math.inf):
        return None
    alpha, t = order.alpha, order.t
    if source == "logits" and order.static and 0.5 < alpha < 1:
        half = xp.exp(0.5 * d)
        if alpha <= 0.75:
            w = half * xp.exp((alpha - 0.5) * d)
        else:
            faint = 2 * math.log(float(xp.finfo(d.dtype).smallest_normal))  # w is 0 from there on
            w = half * (half * xp.exp(t * xp.where(d < faint, 0.0, d)))
    elif source == "logits":
        w = xp.exp(alpha * d)
    else:
        low, known = below_dtype(e, dead, xp)
        base = xp.where(low, 1.0, e)
        if not order.static:
            close = xp.abs(t) <= CLOSE
            power = xp.where(close, t, xp.where(alpha < 2, alpha, 2.0))
            rest = xp.where(alpha < 2, 0.0, alpha - 2.0)
            w = base**power * xp.where(close, base, 1.0) * xp.exp(rest * d)
        elif abs(t) <= CLOSE:
            w = base * base**t
        elif alpha <= 2:
            w = base**alpha
        else:
            w = xp.exp(alpha * d)
        w = ask(where_known, xp)(known, w, lambda: xp.exp(alpha * d), xp)
    return xp.where(dead, 0.0, w)


def power_ratio(d: Array, e: Array, w: Array, dead: Array, order: Order, *, xp: Any) -> Array:
    """Return w/e = e**t of probabilities; near α = 1 by its own power, since w = e·e**t may fall below the dtype."""
    low, known = below_dtype(e, dead, xp)
    base = xp.where(low, 1.0, e)
    if order.static:
        ratio = base**order.t if abs(order.t) <= CLOSE else w / base
    else:
        close = xp.abs(order.t) <= CLOSE
        ratio = xp.where(close, base ** xp.where(close, order.t, 0.0), w / base)
    return ask(where_known, xp)(known, ratio, lambda: xp.exp(xp.where(known, 0.0, order.t * d)), xp)
