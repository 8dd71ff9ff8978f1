"""The Rényi divergence of two distributions and its derivatives, exact for close and for distant pairs.

With r = log(p/q), D the divergence and v = r − D, every sum has terms of one sign::

    K(r) = (expm1(α r) − α expm1(r))/t >= 0          t S = Σ q exp(α r) − 1 + α m,  S = Σ q K(r)
    D = log1p(t S − α m)/t                           m = Σ p where q = 0, K = 1 where p = 0
    ∂D/∂x =  α p v φ(t v)   = (α/t)(π − p)           φ(u) = expm1(u)/u
    ∂D/∂y = −q expm1(α r − t D) = q − π              π = p exp(t v) = q exp(α r − t D), a distribution
    ∂D/∂α =  Σ p v² ψ(t v) = Σ (π (t v − 1) + p)/t²  ψ(u) = (u exp(u) − expm1(u))/u²

for logits x of P and y of Q. Where the sum t S − α m is near −1, or would overflow, D comes from the largest of
log q + α r instead. After T. van Erven and P. Harremoës, "Rényi divergence and Kullback–Leibler divergence", IEEE
Transactions on Information Theory 60 (2014), section II and equation (9).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .family import ENTRIES, Family, finished
from .guards import where_known
from .library import ask
from .pairs import (
    Axis,
    Pair,
    balanced,
    bounded_exp,
    centered,
    compare,
    exponent_limit,
    log_tilt,
    of_largest,
    or_one,
    power_excess,
    power_excess_slope,
)
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, Source, nonzero
from .sums import total

Array = Any

__all__ = [
    "DIVERGENCE",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "divergence_and_slopes",
]


def _ties(pair: Pair, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the largest r and π at α = ∞: the same on each of the entries with that r."""
    r = xp.where(pair.live, pair.r, -math.inf)
    largest = xp.max(r, axis=axis, keepdims=True)
    top = pair.live & (r == largest)
    count = total(xp.where(top, 1.0 + 0 * pair.r, 0.0), axis, xp)
    return largest, xp.where(top, 1 / xp.where(count == 0, 1.0, count), 0.0)


def _value(pair: Pair, order: Order, axis: Axis, xp: Any) -> Array:
    """Return D."""
    largest = _ties(pair, axis, xp)[0]
    disjoint = largest == -math.inf
    lost = pair.outside > 0
    if order.static and order.alpha == math.inf:
        value = largest
    else:
        value = _finite_order(pair, order, largest, axis, xp)
        if not order.static:
            value = xp.where(order.infinite, largest, value)
    if order.static:
        infinite = disjoint | lost if order.t >= 0 else disjoint
    else:
        infinite = disjoint | (lost & ((order.t >= 0) | order.infinite))
    return xp.where(pair.sound, xp.where(infinite, math.inf, value), math.nan)


def _finite_order(pair: Pair, order: Order, largest: Array, axis: Axis, xp: Any) -> Array:
    alpha, t = order.alpha, order.t
    t_or_one = nonzero(order, xp=xp)
    limit, largest = exponent_limit(pair.r, xp), xp.where(largest > 0, largest, 0.0)
    # of an outcome that Q hardly has, from p and t r alone
    steepest = max(1.0, alpha) if order.static else xp.where(alpha > 1, alpha, 1.0)
    steep = pair.live & (pair.r * steepest > limit)
    safe = largest * t < limit
    if not order.static or t > 0:
        faint = steep & (pair.p < float(xp.finfo(pair.p.dtype).smallest_normal))
        safe = safe & ((t <= 0) | ~xp.any(faint, axis=axis, keepdims=True))
    excess = pair.q * power_excess(xp.where(pair.live & safe & ~steep, pair.r, 0.0), order, xp=xp)
    excess = ask(where_known, xp)(~steep, excess, lambda: _steep_excess(pair, steep & safe, order, xp), xp)
    mean = total(xp.where(pair.live, excess, 0.0), axis, xp) + pair.unused
    mean = mean - (alpha / t_or_one) * pair.outside
    u = t * mean
    inner = safe & (u > -0.5)
    u = xp.where(inner, u, 0.0)
    value = mean * log1p_ratio(u, eps=float(xp.finfo(u.dtype).eps), xp=xp)
    return ask(where_known, xp)(inner, value, lambda: _apart(pair, order, axis, xp), xp)


def _steep_excess(pair: Pair, steep: Array, order: Order, xp: Any) -> Array:
    """Return q K(r) = p (exp(t r) − α)/t + q, for t r without overflow; near α = 1 that is p (r φ(t r) − 1) + q."""
    r = xp.where(steep, pair.r, 0.0)
    u = order.t * r
    gentle = xp.abs(u) <= 1
    near = r * expm1_ratio(xp.where(gentle, u, 0.0), eps=float(xp.finfo(r.dtype).eps), xp=xp) - 1
    far = (xp.exp(xp.where(gentle, 0.0, u)) - order.alpha) / nonzero(order, xp=xp)
    return pair.p * xp.where(gentle, near, far) + pair.q


def _apart(pair: Pair, order: Order, axis: Axis, xp: Any) -> Array:
    """Return D of distributions that are a long way from each other.

    From the largest of log q + α r; where |t r| <= 1 everywhere, that is near α = 1, from Σ p expm1(t r)/t.
    """
    t = nonzero(order, xp=xp)
    weights = _weights(pair, order, axis, xp)
    value = (weights.unit + xp.log(weights.total)) / t
    u = order.t * pair.r
    gentle = xp.max(xp.abs(u), axis=axis, keepdims=True) <= 1
    slope = pair.r * expm1_ratio(xp.where(gentle, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    mean = total(pair.p * slope, axis, xp) - pair.outside / t
    inner = gentle & (order.t * mean > -0.5)
    x = xp.where(inner, order.t * mean, 0.0)
    return xp.where(inner, mean * log1p_ratio(x, eps=float(xp.finfo(x.dtype).eps), xp=xp), value)


class Weights(NamedTuple):
    """q exp(α r) in units of its largest entry, their sum, the logarithm of the unit, and log(π/p)."""

    values: Array
    total: Array
    unit: Array
    log_ratio: Array


def _weights(pair: Pair, order: Order, axis: Axis, xp: Any) -> Weights:
    """Return q exp(α r) of the live entries, 0 elsewhere."""
    r = xp.where(pair.live, order.alpha * pair.r, 0.0)
    top = xp.max(xp.where(pair.live, pair.log_q + r, -math.inf), axis=axis, keepdims=True)
    # next to the entry of the unit: α times a difference is rounded less than the difference of two products
    its_r, its_log_q = of_largest((pair.r, pair.log_q), pair.log_q, r, pair.live, axis, xp)
    difference = order.alpha * (xp.where(pair.live, pair.r, its_r) - its_r)
    values = xp.exp(xp.where(pair.live, pair.log_q - its_log_q, 0.0) + difference)
    values = xp.where(pair.live, values, 0.0)
    size = total(values, axis, xp)
    size = xp.where(size > 0, size, 1.0)
    log_ratio = xp.where(pair.live, difference - pair.r - (its_log_q + xp.log(size)), 0.0)
    return Weights(values, size, xp.where(top > -math.inf, top, 0.0), log_ratio)


class Tilt(NamedTuple):
    """What the derivatives are made of, for α < ∞: π, h = (π − p)/t = p v φ(t v), u = t v and v.

    Where u is not ``near`` 0, v is 0 and u = log(π/p). One entry of P may have most of its mass, and so of π: there v
    is near 0, and h is minus the sum of the others.
    """

    tilted: Array
    h: Array
    u: Array
    v: Array
    near: Array


def _scores(pair: Pair, order: Order, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return v = r − D from Σ p exp(t v) = 1, and in which rows: exact where r hardly varies, however large D is."""
    t, eps = nonzero(order, xp=xp), float(xp.finfo(pair.r.dtype).eps)
    c = centered(pair.delta, pair.p, pair.live, axis, xp)
    u = order.t * c
    gentle = xp.max(xp.abs(u), axis=axis, keepdims=True) <= 1
    gain = total(pair.p * c * expm1_ratio(xp.where(gentle, u, 0.0), eps=eps, xp=xp), axis, xp)
    x = order.t * gain - pair.outside
    known = gentle & (x > -0.5)
    x = xp.where(known, x, 0.0)
    whole = pair.outside == 0
    shift = gain * log1p_ratio(xp.where(whole, x, 0.0), eps=eps, xp=xp)
    return c - xp.where(whole, shift, xp.log1p(x) / t), known


def _tilt(pair: Pair, value: Array, order: Order, axis: Axis, xp: Any) -> Tilt:
    t, eps = nonzero(order, xp=xp), float(xp.finfo(pair.r.dtype).eps)
    value = xp.where(xp.isfinite(value), value, 0.0)
    weights = _weights(pair, order, axis, xp)
    tilted = weights.values / weights.total
    v, known = _scores(pair, order, axis, xp)
    v = xp.where(known, v, pair.r - value)
    size = xp.where(known, xp.abs(v), xp.abs(pair.r) + xp.abs(value))
    near = pair.live & (abs(order.t) * size <= 1)
    v = xp.where(near, v, 0.0)
    inner = pair.p * v * expm1_ratio(order.t * v, eps=eps, xp=xp)
    h = balanced(xp.where(near, inner, (tilted - pair.p) / t), pair.p, axis, xp)
    top = pair.p > 0.5
    k = h / xp.where(top, pair.p, 1.0)
    close = top & (xp.abs(order.t * k) < 0.5)
    ratio = log1p_ratio(xp.where(close, order.t * k, 0.0), eps=eps, xp=xp)
    v = xp.where(close, k * ratio, v)
    near = near | close
    return Tilt(tilted, h, xp.where(near, order.t * v, weights.log_ratio), v, near)


def divergence(x: Array, y: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Return the divergence of each pair of distributions; the reduced axes keep length 1."""
    return _value(compare(x, y, source=source, where=where, axis=axis, xp=xp), order, axis, xp)


def divergence_and_gradient(
    x: Array,
    y: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the divergence and its gradients with respect to the entries of P (0) or of Q (1), times ``scale``."""
    pair = compare(x, y, source=source, where=where, axis=axis, xp=xp)
    value = _value(pair, order, axis, xp)
    gradients = tuple((_along_p, _along_q)[i](pair, value, order, source, axis, xp) for i in wrt)
    return value, *finished(gradients, tuple((x, y)[i] for i in wrt), scale, xp, where=where)


def _no_gradient(value: Array, xp: Any) -> Array:
    """Return 0, and NaN where the value is not finite."""
    return xp.where(xp.isfinite(value), 0.0 * xp.where(xp.isfinite(value), value, 0.0), math.nan)


def _along_p(pair: Pair, value: Array, order: Order, source: Source, axis: Axis, xp: Any) -> Array:
    """Return ∂D/∂x for the given source."""
    limit, nothing = None, _no_gradient(value, xp)
    if not order.static or order.alpha == math.inf:
        limit = balanced(_ties(pair, axis, xp)[1] - pair.p, pair.p, axis, xp)
    if order.static and order.alpha == math.inf:
        gradient = limit
        ratio, at_zero = gradient / or_one(pair.p, xp), -1.0
    else:
        t = nonzero(order, xp=xp)
        tilt = _tilt(pair, value, order, axis, xp)
        gradient = order.alpha * tilt.h
        # of entries so small that their part of the other form is lost
        small = pair.live & ~tilt.near & (pair.p <= 0.5) & (order.alpha > 0)
        far = (bounded_exp(xp.where(small, tilt.u, 0.0), xp) - 1) / t
        ratio = order.alpha * xp.where(small, far, tilt.h / or_one(pair.p, xp))
        # where p = 0: the right derivative where that is finite, as for the entropy
        at_zero = -order.alpha / t
        if order.static:
            at_zero = at_zero if order.t > 0 else 0.0
        else:
            gradient = xp.where(order.infinite, limit, gradient)
            ratio = xp.where(order.infinite, limit / or_one(pair.p, xp), ratio)
            at_zero = xp.where(order.infinite, -1.0, xp.where(order.t > 0, at_zero, 0.0))
    if source == "logits":
        return gradient + nothing
    edge = xp.where(pair.only_q, at_zero + nothing, nothing)
    return xp.where(pair.live | pair.only_p, ratio + nothing, edge) / pair.scales[0]


def _along_q(pair: Pair, value: Array, order: Order, source: Source, axis: Axis, xp: Any) -> Array:
    """Return ∂D/∂y for the given source."""
    limit, nothing = None, _no_gradient(value, xp)
    if not order.static or order.alpha == math.inf:
        limit = pair.q - _ties(pair, axis, xp)[1]
    if order.static and order.alpha == math.inf:
        gradient = balanced(limit, pair.q, axis, xp)
        ratio = gradient / or_one(pair.q, xp)
    else:
        weights = _weights(pair, order, axis, xp)
        exponent, near = log_tilt(order.alpha * pair.delta, pair, axis, xp)
        near = near & (xp.abs(exponent) <= 1)
        inner = -xp.expm1(xp.where(near, exponent, 0.0))
        gradient = xp.where(near, pair.q * inner, pair.q - weights.values / weights.total)
        if not order.static:
            near = near & ~order.infinite
            gradient = xp.where(order.infinite, limit, gradient)
        gradient = balanced(gradient, pair.q, axis, xp)
        small = pair.live & (pair.q <= 0.5)
        if not order.static:
            small = small & ~order.infinite
        far = 1 - bounded_exp(xp.where(small & ~near, weights.log_ratio + pair.r, 0.0), xp)
        ratio = xp.where(small, xp.where(near, inner, far), gradient / or_one(pair.q, xp))
    if source == "logits":
        return gradient + nothing
    return xp.where(pair.live | pair.only_q, ratio, 0.0) / pair.scales[1] + nothing


def divergence_and_alpha_gradient(
    x: Array, y: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the divergence of each pair and its derivative with respect to α, which is not negative."""
    pair = compare(x, y, source=source, where=where, axis=axis, xp=xp)
    value = _value(pair, order, axis, xp)
    return value, _along_alpha(pair, value, order, axis, xp)


def divergence_and_slopes(
    x: Array, y: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array, Array]:
    """Return D, ∂D/∂α, and ∂A/∂α of the α-divergence A for α >= 1/2, NaN where its terms might overflow."""
    pair = compare(x, y, source=source, where=where, axis=axis, xp=xp)
    value = _value(pair, order, axis, xp)
    slope = _along_alpha(pair, value, order, axis, xp)
    if order.static and order.alpha == math.inf:
        return value, slope, slope
    known = xp.isfinite(value)
    safe = (xp.abs(order.alpha * pair.r) < exponent_limit(pair.r, xp)) & (pair.r < exponent_limit(pair.r, xp))
    known = known & xp.all(safe | ~pair.live, axis=axis, keepdims=True)
    terms = pair.q * power_excess_slope(xp.where(pair.live & known, pair.r, 0.0), order, xp=xp)
    skew = total(xp.where(pair.live, terms, 0.0), axis, xp) - pair.unused / order.alpha / order.alpha
    t = xp.where(pair.outside > 0, nonzero(order, xp=xp) + 0 * skew, 1.0)
    skew = skew + pair.outside / t / t
    return value, slope, xp.where(known, skew, math.nan)


def _along_alpha(pair: Pair, value: Array, order: Order, axis: Axis, xp: Any) -> Array:
    if order.static and order.alpha == math.inf:
        return _no_gradient(value, xp)
    tilt = _tilt(pair, value, order, axis, xp)
    u = xp.where(tilt.near, tilt.u, 0.0)
    t = xp.where(tilt.near, 1.0, nonzero(order, xp=xp) + 0 * u)
    inner = (pair.p * tilt.v) * tilt.v * power_curvature(u, eps=float(xp.finfo(u.dtype).eps), xp=xp)
    outer = (xp.where(tilt.tilted > 0, tilt.tilted * (tilt.u - 1), 0.0) + pair.p) / t / t
    terms = xp.where(tilt.near, inner, xp.where(pair.live | pair.only_p, outer, 0.0))
    slope = total(terms, axis, xp) + _no_gradient(value, xp)
    return slope if order.static else xp.where(order.infinite, _no_gradient(value, xp), slope)


DIVERGENCE = Family(divergence, divergence_and_gradient, divergence_and_alpha_gradient, (ENTRIES, ENTRIES))
