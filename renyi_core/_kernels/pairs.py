"""Two distributions next to each other, entry by entry, and the functions of r = log(p/q) that stay exact near 0.

r is the difference of the logits less log(Σ exp x/Σ exp y), which is formed from Σ q expm1(Δ), not from two logarithms.
"""

from __future__ import annotations

import math
from math import factorial
from typing import Any, NamedTuple

from .doors import accumulate
from .special import expm1_ratio
from .state import Door, Order, log_ratio, nonzero

Array = Any
Axis = tuple[int, ...]

__all__ = ["Axis", "Pair", "balanced", "bounded_exp", "compare", "exponent_limit", "or_one", "power_excess", "total"]

NEAR = 0.5
"""Up to this distance of α to 1, K is exp(r) r φ(t r) − expm1(r)."""


class Pair(NamedTuple):
    """Two distributions, entry by entry: p, q and r = log(p/q), which is 0 where either is 0.

    ``log_q`` is 0 where q = 0. ``live`` marks the entries where neither is 0, ``only_p`` and ``only_q`` those where
    the other one is. ``outside`` is m, the mass of P where q = 0, and ``unused`` that of Q where p = 0. ``scales`` are
    what the probabilities were divided by. ``sound`` says which rows are two distributions.
    """

    p: Array
    q: Array
    r: Array
    log_q: Array
    live: Array
    only_p: Array
    only_q: Array
    outside: Array
    unused: Array
    scales: tuple[Array, Array]
    sound: Array


def total(values: Array, axis: Axis, xp: Any) -> Array:
    """Return the sum along the axes, which keep length 1."""
    return xp.sum(values, axis=axis, keepdims=True)


APART = 8.0
"""From this difference of their largest logits on, two rows are compared each by its own."""


def _aligned(y: Array, peak: Array, other: Array, xp: Any) -> tuple[Array, Array]:
    """Return weights times the power of two that brings their peak next to another one, and log of that over it."""
    k = xp.round((xp.log(other) - xp.log(peak)) / math.log(2))
    # in two steps: the power itself may overflow
    half = xp.floor(k / 2)
    first, second = 2.0**half, 2.0 ** (k - half)
    return y * first * second, xp.log(other / (peak * first * second))


def _difference(
    x: Array, y: Array, d: tuple[Array, Array], peaks: tuple[Array, Array], live: Array, door: Door, xp: Any
) -> tuple[Array, Array]:
    """Return log(p/q) up to a number a row, 0 where not live, at no loss where they are close; and log of the peaks."""
    own = xp.where(live, d[0], 0.0) - xp.where(live, d[1], 0.0)
    if door == "logits":
        offset = peaks[0] - peaks[1]
        apart = xp.abs(offset) > APART
        return xp.where(apart, own, xp.where(live, x, 0.0) - xp.where(live, y, 0.0)), xp.where(apart, 0.0, offset)
    scaled, offset = _aligned(y, peaks[1], peaks[0], xp)
    p, q = xp.where(live, x, 1.0), xp.where(live, scaled, 1.0)
    close = live & (p < 2 * q) & (q < 2 * p)
    p, q = xp.where(close, p, 1.0), xp.where(close, q, 1.0)
    return xp.where(close, xp.log1p((p - q) / q), xp.where(live, own + offset, 0.0)), offset


def _one(x: Array, door: Door, axis: Axis, xp: Any) -> tuple[Array, Array, Array, Array, Array]:
    """Return d = log(x/max x), e, where they are dead, Σ e and the peak."""
    peak = xp.max(x, axis=axis, keepdims=True)
    if door == "probs":
        peak = xp.where(xp.min(x, axis=axis, keepdims=True) < 0, math.nan, peak)
    d, e, dead = log_ratio(x, peak, door=door, xp=xp)
    if door == "probs":
        e = xp.where(dead, 0.0, e)
    return d, e, dead, total(e, axis, xp), peak


def compare(x: Array, y: Array, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Pair:
    """Return the two distributions next to each other."""
    x, y = accumulate(x, xp=xp), accumulate(y, xp=xp)
    x, y = x + xp.zeros_like(y), y + xp.zeros_like(x)
    if where is not None:
        nothing = -math.inf if door == "logits" else 0.0
        x, y = xp.where(where, x, nothing), xp.where(where, y, nothing)
    dp, ep, dead_p, total_p, peak_p = _one(x, door, axis, xp)
    dq, eq, dead_q, total_q, peak_q = _one(y, door, axis, xp)
    sound = (total_p > 0) & (total_q > 0)
    # rows that are none go on as such of one outcome: the value tells
    total_p, total_q = xp.where(sound, total_p, 1.0), xp.where(sound, total_q, 1.0)
    p, q = xp.where(sound, ep, 0.0) / total_p, xp.where(sound, eq, 0.0) / total_q
    log_total_q = xp.log(total_q)
    log_q = xp.where(sound & ~dead_q, dq, 0.0) - xp.where(dead_q, 0.0, log_total_q)
    live, only_p, only_q = sound & ~(dead_p | dead_q), sound & dead_q & ~dead_p, sound & dead_p & ~dead_q
    outside = total(xp.where(only_p, p, 0.0), axis, xp)
    unused = total(xp.where(only_q, q, 0.0), axis, xp)
    peak_p, peak_q = xp.where(sound, peak_p, 1.0), xp.where(sound, peak_q, 1.0)
    delta, far = _difference(x, y, (dp, dq), (peak_p, peak_q), live, door, xp)
    weights = xp.where(live, q, 0.0)
    mass = total(weights, axis, xp)
    mean = total(weights * delta, axis, xp) / xp.where(mass > 0, mass, 1.0)
    centred = xp.where(live, delta - mean, 0.0)
    limit = exponent_limit(centred, xp)
    # Σ q exp(Δ) >= Σ q by Jensen's inequality: nothing cancels but what is unused, or outside
    near = (xp.max(centred, axis=axis, keepdims=True) < limit) & (unused < 0.5) & (outside < 0.5)
    excess = total(weights * xp.expm1(xp.where(near, centred, 0.0)), axis, xp)
    ratio = xp.log1p(xp.where(near, excess - unused, 0.0)) - xp.log1p(-xp.where(near, outside, 0.0))
    far = far + (xp.log(total_p) - log_total_q)
    r = xp.where(live, xp.where(near, centred - ratio, delta - far), 0.0)
    scales = (peak_p * total_p, peak_q * total_q)
    return Pair(p, q, r, log_q, live, only_p, only_q, outside, unused, scales, sound)


def exponent_limit(like: Array, xp: Any) -> float:
    """Return how large an exponent may be with room to spare."""
    return math.log(float(xp.finfo(like.dtype).max)) * 0.8


def _terms(eps: float) -> int:
    k = 2
    while 1 / factorial(k) > eps / 64:
        k += 1
    return k


def power_excess(r: Array, order: Order, *, xp: Any) -> Array:
    """Return K(r) = (expm1(α r) − α expm1(r))/t for r whose exponentials do not overflow."""
    alpha, t = order.alpha, order.t
    eps = float(xp.finfo(r.dtype).eps)
    if order.static:
        steep, low = max(1.0, alpha), min(1.0, alpha)
    else:
        steep, low = xp.where(alpha > 1, alpha, 1.0), xp.where(alpha > 1, 1.0, alpha)
    near = xp.abs(r) * steep <= 1
    # Σ α (1 + α + … + α^(k−2)) r^k/k! from k = 2 on, in powers of α r if α > 1
    small = xp.where(near, r, 0.0)
    power = ratio = low / steep
    geometric, term = 1.0, low * small * (steep * small) / 2
    series = term
    for k in range(3, _terms(eps)):
        geometric = geometric + power
        power = power * ratio
        term = term * (steep * small) / k
        series = series + term * geometric
    u = t * r
    middle = ~near & (abs(t) <= NEAR) & (xp.abs(u) <= 1)
    some = xp.where(middle, r, 0.0)
    between = xp.exp(some) * some * expm1_ratio(xp.where(middle, u, 0.0), eps=eps, xp=xp) - xp.expm1(some)
    other = xp.where(near | middle, 0.0, r)
    far = (xp.expm1(alpha * other) - alpha * xp.expm1(other)) / nonzero(order, xp=xp)
    return xp.where(near, series, xp.where(middle, between, far))


def bounded_exp(u: Array, xp: Any) -> Array:
    """Return exp(u), +inf without a warning."""
    limit = math.log(float(xp.finfo(u.dtype).max)) * 0.999
    return xp.where(u > limit, math.inf, xp.exp(xp.where(u > limit, 0.0, u)))


def balanced(gradient: Array, weights: Array, axis: Axis, xp: Any) -> Array:
    """Return a gradient whose entries add up to 0 with that of a dominant weight, if there is one, from the others."""
    top = weights > 0.5
    return xp.where(top, -total(xp.where(top, 0.0, gradient), axis, xp), gradient)


def or_one(values: Array, xp: Any) -> Array:
    """Return the values, 1 in place of those that are not positive."""
    return xp.where(values > 0, values, 1.0)
