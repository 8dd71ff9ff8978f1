"""Two distributions next to each other, entry by entry, and the functions of r = log(p/q) that stay exact near 0.

r is the difference of the logits less log(Σ exp x/Σ exp y), which is formed from Σ q expm1(Δ), not from two logarithms.
"""

from __future__ import annotations

import math
from math import factorial
from typing import Any, NamedTuple

from .library import ask
from .sources import distributions
from .special import expm1_ratio, power_curvature
from .state import Order, Source, log_ratio, nonzero
from .sums import halves, total

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "Axis",
    "Pair",
    "balanced",
    "bounded_exp",
    "centered",
    "compare",
    "exponent_limit",
    "log_tilt",
    "of_largest",
    "or_one",
    "power_excess",
    "power_excess_slope",
]

NEAR = 0.5
"""Up to this distance of α to 1, K is exp(r) r φ(t r) − expm1(r)."""


class Pair(NamedTuple):
    """Two distributions, entry by entry: p, q and r = log(p/q), which is 0 where either is 0.

    ``delta`` is r up to a number a row, with all the digits of its differences. ``log_q`` is 0 where q = 0. ``live``
    marks the entries where neither is 0, ``only_p`` and ``only_q`` those where the other one is. ``outside`` is m, the
    mass of P where q = 0, and ``unused`` that of Q where p = 0. ``scales`` are what the probabilities were divided by.
    ``sound`` says which rows are two distributions.
    """

    p: Array
    q: Array
    r: Array
    delta: Array
    log_q: Array
    live: Array
    only_p: Array
    only_q: Array
    outside: Array
    unused: Array
    scales: tuple[Array, Array]
    sound: Array


def _unit(row: Array, xp: Any) -> tuple[Array, Array]:
    """Return two powers of two whose product brings a number a row next to 1; one alone may overflow."""
    k = -xp.round(xp.log(row) / math.log(2))
    half = xp.floor(k / 2)
    return 2.0**half, 2.0 ** (k - half)


def _gap(x: Array, y: Array) -> tuple[Array, Array]:
    """Return x − y and what its rounding takes from it.

    After D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B.
    """
    gap = x - y
    back = gap - x
    return gap, (x - (gap - back)) - (y + back)


def _difference(
    x: Array,
    y: Array,
    depths: tuple[Array, Array],
    peaks: tuple[Array, Array],
    live: Array,
    *,
    source: Source,
    axis: Axis,
    xp: Any,
) -> tuple[Array, Array]:
    """Return log(p/q) up to a number a row, at no loss where they are close; 0 where not live; that of the peaks."""
    # next to the largest q of those that count: all others are near it if they are near each other
    nothing = -math.inf if source == "logits" else 0.0
    largest = xp.max(xp.where(live, y, nothing), axis=axis, keepdims=True)
    at = live & (y == largest)
    if source == "logits":
        gap, rest = _gap(xp.where(live, x, 0.0), xp.where(live, y, 0.0))
        middle = xp.max(xp.where(at, gap, -math.inf), axis=axis, keepdims=True)
        middle = xp.where(middle == -math.inf, 0.0, middle)
        offset, over = _gap(*peaks)
        return xp.where(live, (gap - middle) + rest, 0.0), (offset - middle) + over
    # not if that is so far below the peak that the others would overflow next to it: then none is near another
    least = math.sqrt(float(xp.finfo(x.dtype).smallest_normal))
    beside = xp.max(xp.where(at, x, 0.0), axis=axis, keepdims=True)
    beside = or_one(xp.where(beside > least * peaks[0], beside, peaks[0]), xp)
    largest = or_one(xp.where(largest > least * peaks[1], largest, peaks[1]), xp)
    (a, b), (c, d) = _unit(beside, xp), _unit(largest, xp)
    p, q = xp.where(live, x, beside) * a * b, xp.where(live, y, largest) * c * d
    # p − ratio q to all its digits: no product of two halves is rounded, no difference of them but the last
    ratio = (beside * a * b) / (largest * c * d)
    eps = float(xp.finfo(x.dtype).eps)
    (one, rest), (high, low) = halves(ratio, eps), halves(q, eps)
    gap = (((p - one * high) - one * low) - rest * high) - rest * low
    base = ratio * q
    close = live & (p < 2 * base) & (base < 2 * p)
    delta = xp.log1p(xp.where(close, gap, 0.0) / xp.where(close, base, 1.0))
    own = xp.where(live, depths[0], 0.0) - xp.where(live, depths[1], 0.0)
    offset = xp.log(peaks[0] * a * b) - xp.log(peaks[1] * c * d * ratio)
    return xp.where(close, delta, xp.where(live, own + offset, 0.0)), offset


def _one(x: Array, source: Source, axis: Axis, xp: Any) -> tuple[Array, Array, Array, Array, Array]:
    """Return d = log(x/max x), e, where they are dead, Σ e and the peak."""
    peak = xp.max(x, axis=axis, keepdims=True)
    if source == "probs":
        peak = xp.where(xp.min(x, axis=axis, keepdims=True) < 0, math.nan, peak)
    d, e, dead = log_ratio(x, peak, source=source, xp=xp)
    if source == "probs":
        e = xp.where(dead, 0.0, e)
    return d, e, dead, total(e, axis, xp), peak


def compare(x: Array, y: Array, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> Pair:
    """Return the two distributions next to each other."""
    x, y = x + xp.zeros_like(y), y + xp.zeros_like(x)
    (x, y), rows = ask(distributions, xp)(x, y, source=source, where=where, axis=axis, xp=xp)
    dp, ep, dead_p, total_p, peak_p = _one(x, source, axis, xp)
    dq, eq, dead_q, total_q, peak_q = _one(y, source, axis, xp)
    sound = (total_p > 0) & (total_q > 0) & rows
    # invalid rows go on as such of one outcome: the value tells
    total_p, total_q = xp.where(sound, total_p, 1.0), xp.where(sound, total_q, 1.0)
    p, q = xp.where(sound, ep, 0.0) / total_p, xp.where(sound, eq, 0.0) / total_q
    log_total_q = xp.log(total_q)
    log_q = xp.where(sound & ~dead_q, dq, 0.0) - xp.where(dead_q, 0.0, log_total_q)
    live, only_p, only_q = sound & ~(dead_p | dead_q), sound & dead_q & ~dead_p, sound & dead_p & ~dead_q
    outside = total(xp.where(only_p, p, 0.0), axis, xp)
    unused = total(xp.where(only_q, q, 0.0), axis, xp)
    peak_p, peak_q = xp.where(sound, peak_p, 1.0), xp.where(sound, peak_q, 1.0)
    delta, far = _difference(x, y, (dp, dq), (peak_p, peak_q), live, source=source, axis=axis, xp=xp)
    middle = centered(delta, q, live, axis, xp)
    limit = exponent_limit(middle, xp)
    # Σ q exp(Δ) >= Σ q by Jensen's inequality: nothing cancels but what is unused, or outside
    near = (xp.max(middle, axis=axis, keepdims=True) < limit) & (unused < 0.5) & (outside < 0.5)
    excess = total(xp.where(live, q, 0.0) * xp.expm1(xp.where(near, middle, 0.0)), axis, xp)
    ratio = xp.log1p(xp.where(near, excess - unused, 0.0)) - xp.log1p(-xp.where(near, outside, 0.0))
    far = far + (xp.log(total_p) - log_total_q)
    r = xp.where(live, xp.where(near, middle - ratio, delta - far), 0.0)
    scales = (peak_p * total_p, peak_q * total_q)
    return Pair(p, q, r, middle, log_q, live, only_p, only_q, outside, unused, scales, sound)


def centered(values: Array, weights: Array, live: Array, axis: Axis, xp: Any) -> Array:
    """Return the values less their weighted mean over the live entries; 0 where not live."""
    weights = xp.where(live, weights, 0.0)
    mean = total(weights * xp.where(live, values, 0.0), axis, xp) / or_one(total(weights, axis, xp), xp)
    return xp.where(live, values - mean, 0.0)


def log_tilt(values: Array, pair: Pair, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the values plus a number a row that makes Σ q exp(values) = 1 over the live entries, and where it holds.

    It is exact where they hardly vary, however large the number is.
    """
    s = centered(values, pair.q, pair.live, axis, xp)
    # Σ q exp(s) >= Σ q by Jensen's inequality: nothing cancels but what P does not use
    known = (xp.max(s, axis=axis, keepdims=True) < exponent_limit(s, xp)) & (pair.unused < 0.5)
    s, unused = xp.where(known, s, 0.0), xp.where(known, pair.unused, 0.0)
    excess = total(xp.where(pair.live, pair.q, 0.0) * xp.expm1(s), axis, xp) - unused
    return s - xp.log1p(excess), pair.live & known


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
    if order.static and alpha == 2:
        root = xp.expm1(r)
        return root * root
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
    if order.static and abs(t) > NEAR:
        return xp.where(near, series, _far_excess(xp.where(near, 0.0, r), order, xp))
    u = t * r
    middle = ~near & (abs(t) <= NEAR) & (xp.abs(u) <= 1)
    some = xp.where(middle, r, 0.0)
    between = xp.exp(some) * some * expm1_ratio(xp.where(middle, u, 0.0), eps=eps, xp=xp) - xp.expm1(some)
    far = _far_excess(xp.where(near | middle, 0.0, r), order, xp)
    return xp.where(near, series, xp.where(middle, between, far))


def power_excess_slope(r: Array, order: Order, *, xp: Any) -> Array:
    """Return ∂(K(r)/α)/∂α for α >= 1/2 and r whose exponentials do not overflow; it has the sign of r.

    It is the divided difference f[0, 1, α, α] of f(a) = exp(a r): that of f[1, α, α] and f[0, α, α], or of f[0, α, α]
    and f[0, 1, α] = K(r)/α.
    """
    alpha, t, eps = order.alpha, order.t, float(xp.finfo(r.dtype).eps)
    u = alpha * r
    near = (xp.abs(r) <= 1) & (xp.abs(u) <= 1)
    # Σ r³ (α r)^(k−3)/k! (1 + … + (k − 2) α^(3−k)) from k = 3 on
    some, scaled = xp.where(near, r, 0.0), xp.where(near, u, 0.0)
    term, power, geometric, weight = some * (some * some) / 6, 1.0, 1.0, 1.0
    series = term
    for k in range(4, _terms(eps) + 8):
        power = power / alpha
        geometric = geometric + power
        weight = weight + geometric
        term = term * scaled / k
        series = series + term * weight
    # in the place of those that the series has, a number whose exponential does not overflow either
    r = xp.where(near, 1 / alpha, r)
    low = _curvature(r, alpha, eps, xp)
    if order.static:
        close = abs(t) <= NEAR
        high = (
            xp.exp(r) * _curvature(r, t, eps, xp) - low if close else (low - power_excess(r, order, xp=xp) / alpha) / t
        )
        return xp.where(near, series, high)
    high = xp.exp(r) * _curvature(r, t, eps, xp) - low
    rest = (low - power_excess(r, order, xp=xp) / alpha) / nonzero(order, xp=xp)
    return xp.where(near, series, xp.where(xp.abs(t) <= NEAR, high, rest))


def _curvature(r: Array, a: Any, eps: float, xp: Any) -> Array:
    """Return r² ψ(a r) = (a r exp(a r) − expm1(a r))/a²."""
    u = a * r
    inner = xp.abs(u) <= 1
    near = r * r * power_curvature(xp.where(inner, u, 0.0), eps=eps, xp=xp)
    u, a = xp.where(inner, 1.0, u), xp.where(inner, 1.0, a + 0 * u)
    return xp.where(inner, near, (u * xp.exp(u) - xp.expm1(u)) / a / a)


def _far_excess(r: Array, order: Order, xp: Any) -> Array:
    """Return K(r) where nothing cancels, or 0 of 0."""
    return (xp.expm1(order.alpha * r) - order.alpha * xp.expm1(r)) / nonzero(order, xp=xp)


def bounded_exp(u: Array, xp: Any) -> Array:
    """Return exp(u), +inf without a warning."""
    limit = math.log(float(xp.finfo(u.dtype).max)) * 0.999
    return xp.where(u > limit, math.inf, xp.exp(xp.where(u > limit, 0.0, u)))


def balanced(gradient: Array, weights: Array, axis: Axis, xp: Any) -> Array:
    """Return a gradient whose entries add up to 0 with that of a dominant weight, if there is one, from the others."""
    top = weights > 0.5
    return xp.where(top, -total(xp.where(top, 0.0, gradient), axis, xp), gradient)


def of_largest(
    values: tuple[Array, Array], other: Array, product: Array, live: Array, axis: Axis, xp: Any
) -> tuple[Array, ...]:
    """Return the means of the values over the entries whose ``other + product`` is the largest; 0 where none is live.

    A few roundings of the product are a tie: XLA may compute the sum anew, and leave them out.
    """
    product = xp.where(live, product, 0.0)
    sums = xp.where(live, other + product, -math.inf)
    largest = xp.max(sums, axis=axis, keepdims=True)
    ties = live & (sums + 4 * float(xp.finfo(sums.dtype).eps) * xp.abs(product) >= largest)
    count = or_one(total(xp.where(ties, 1.0 + 0 * product, 0.0), axis, xp), xp)
    return tuple(total(xp.where(ties, each, 0.0), axis, xp) / count for each in values)


def or_one(values: Array, xp: Any) -> Array:
    """Return the values, 1 in place of those that are not positive."""
    return xp.where(values > 0, values, 1.0)
