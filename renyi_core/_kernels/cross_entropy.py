"""The Rényi cross-entropy of two distributions and its derivatives: an exponential mean, with no subtraction.

With g = log(max q/q) >= 0, L = −log max q, and m the mass of P where q = 0::

    S = Σ p g φ(−t g) + m/t >= 0                φ(z) = expm1(z)/z
    C = −log1p(−t S)/t                          = −log(Σ p (q/max q)**t)/t
    H = L + C

and with v = g − C and π = p exp(−t v), a distribution::

    ∂H/∂x = p v φ(−t v)                         = (p − π)/t
    ∂H/∂y = q − π                               = −q expm1(e), e = log(p/q) − t v, up to a number a row
                                                  log(p/q) − t g = log p + (1 − t) g
    ∂H/∂α = −Σ p v² ψ(−t v)                     ψ(z) = (z exp(z) − expm1(z))/z², no term > 0

for logits x of P and y of Q. Where the sum is near its bound, or would overflow, C comes from the largest of
log p − t g.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .family import ENTRIES, Family, finished
from .library import ask
from .pairs import Axis, Pair, balanced, bounded_exp, compare, exponent_limit, log_tilt, of_largest, or_one
from .sources import accumulate, distributions
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, Source, log_ratio, nonzero
from .sums import total

Array = Any

__all__ = ["CROSS_ENTROPY", "cross_entropy", "cross_entropy_and_alpha_gradient", "cross_entropy_and_gradient"]


class Costs(NamedTuple):
    """P, log p (0 where p = 0), g (0 where q = 0) and L, entry by entry.

    ``live`` marks p, q > 0, ``lost`` q = 0 < p, ``unused`` p = 0 < q. ``sound`` says which rows are two distributions.
    """

    p: Array
    log_p: Array
    g: Array
    level: Array
    live: Array
    lost: Array
    unused: Array
    sound: Array


def _entries(x: Array, source: Source, axis: Axis, xp: Any) -> tuple[Array, Array, Array]:
    """Return d = log(x/max x), exp(d), and where that is 0."""
    peak = xp.max(x, axis=axis, keepdims=True)
    if source == "probs":
        peak = xp.where(xp.min(x, axis=axis, keepdims=True) < 0, math.nan, peak)
    return log_ratio(x, peak, source=source, xp=xp)


def _rest(d: Array, e: Array, axis: Axis, xp: Any) -> Array:
    """Return Σ e less 1, the largest."""
    top = d == 0
    return total(xp.where(top, 0.0, e), axis, xp) + (total(xp.where(top, e, 0.0), axis, xp) - 1)


def _costs(x: Array, y: Array, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> Costs:
    x, y = x + xp.zeros_like(y), y + xp.zeros_like(x)
    (x, y), rows = ask(distributions, xp)(x, y, source=source, where=where, axis=axis, xp=xp)
    dp, ep, dead_p = _entries(x, source, axis, xp)
    dq, eq, dead_q = _entries(y, source, axis, xp)
    # where q = 0, and p too, they are held at 0
    eq, ep = xp.where(dead_q, 0.0, eq), xp.where(dead_p & dead_q, 0.0, ep)
    rest_p, rest_q = _rest(dp, ep, axis, xp), _rest(dq, eq, axis, xp)
    sound = (rest_p >= 0) & (rest_q >= 0) & rows
    rest_p, rest_q = xp.where(sound, rest_p, 0.0), xp.where(sound, rest_q, 0.0)
    p = xp.where(sound, ep, 0.0) / (1 + rest_p)
    log_p = xp.where(sound & ~dead_p, dp - xp.log1p(rest_p), 0.0)
    g = -xp.where(sound & ~dead_q, dq, 0.0)
    live, lost, unused = sound & ~(dead_p | dead_q), sound & dead_q & ~dead_p, sound & dead_p & ~dead_q
    return Costs(p, log_p, g, xp.log1p(rest_q), live, lost, unused, sound)


class Mean(NamedTuple):
    """C, and log(π/p)."""

    value: Array
    log_ratio: Array


def _mean(costs: Costs, order: Order, axis: Axis, xp: Any) -> Mean:
    """Return C for α < ∞; where no outcome is left, 0."""
    t, eps, limit = nonzero(order, xp=xp), float(xp.finfo(costs.g.dtype).eps), exponent_limit(costs.g, xp)
    z = -order.t * costs.g
    near, steep = xp.abs(z) <= 1, z >= limit
    inner = costs.p * costs.g * expm1_ratio(xp.where(near, z, 0.0), eps=eps, xp=xp)
    # of p that is 0 but for its logarithm, and of exponentials that would overflow
    faint = costs.live & ~near & (steep | (costs.p == 0))
    height = xp.where(costs.live, costs.log_p + z, -math.inf)
    top = xp.max(height, axis=axis, keepdims=True)
    power = bounded_exp(xp.where(faint, xp.where(top < limit, height, 0.0), 0.0), xp) - costs.p
    outer = xp.where(faint, power, costs.p * xp.expm1(xp.where(near | steep, 0.0, z)))
    terms = xp.where(near, inner, outer / -t)
    terms = xp.where(costs.live | costs.unused, terms, 0.0)
    # of mass that is lost 1/t, if t > 0: for t <= 0, H is infinite anyhow
    lost = total(xp.where(costs.lost, costs.p, 0.0), axis, xp) / t
    mean = total(terms, axis, xp) + lost
    x = -order.t * mean
    close = (top < limit) & (x > -0.5)
    large = close & (x > 1)
    x = xp.where(close, x, 0.0)
    value = xp.where(close, mean, 0.0) * log1p_ratio(xp.where(large, 0.0, x), eps=eps, xp=xp)
    value = xp.where(large, xp.log1p(x) / -t, value)
    apart, log_ratio = _apart(costs, order, axis, xp)
    return Mean(xp.where(close, value, apart), log_ratio)


def _apart(costs: Costs, order: Order, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return C from the largest of log p − t g, and log(π/p)."""
    g, log_p = of_largest((costs.g, costs.log_p), costs.log_p, -order.t * costs.g, costs.live, axis, xp)
    # α times a difference is rounded less than the difference of two products
    drop = -order.t * (costs.g - g)
    exponent = xp.where(costs.live, costs.log_p - log_p + drop, 0.0)
    size = total(xp.where(costs.live, xp.exp(exponent), 0.0), axis, xp)
    # where p = 0 the value is 0, but the derivative counts
    edge = xp.where(costs.unused, drop - log_p, 0.0)
    edge = xp.where(edge < exponent_limit(edge, xp), edge, 0.0)
    size = size + total(xp.where(costs.unused, costs.p * xp.exp(edge), 0.0), axis, xp)
    log_size = log_p + xp.log(xp.where(size > 0, size, 1.0))
    return g - log_size / nonzero(order, xp=xp), xp.where(costs.live | costs.unused, drop - log_size, 0.0)


def _ties(costs: Costs, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return C and π at α = ∞: the share of P of each of the largest q."""
    least = -xp.max(xp.where(costs.live, -costs.g, -math.inf), axis=axis, keepdims=True)
    top = costs.live & (costs.g == least)
    log_p = xp.where(top, costs.log_p, -math.inf)
    largest = xp.max(log_p, axis=axis, keepdims=True)
    share = xp.where(top, xp.exp(xp.where(top, log_p - xp.where(top, largest, 0.0), 0.0)), 0.0)
    size = total(share, axis, xp)
    share = share / xp.where(size > 0, size, 1.0)
    # as a mean, so that derivatives through it are shared alike
    return total(share * costs.g, axis, xp), share


def _value(costs: Costs, order: Order, mean: Mean | None, axis: Axis, xp: Any) -> Array:
    """Return H."""
    least = _ties(costs, axis, xp)[0]
    value = least if mean is None else mean.value
    if not order.static:
        value = xp.where(order.infinite, least, value)
    count = xp.where(costs.live, 1.0 + 0 * costs.g, 0.0)
    infinite = xp.max(count, axis=axis, keepdims=True) == 0
    some_lost = xp.max(xp.where(costs.lost, 1.0 + 0 * costs.g, 0.0), axis=axis, keepdims=True) > 0
    if order.static:
        infinite = infinite | some_lost if order.alpha <= 1 else infinite
    else:
        infinite = infinite | (some_lost & (order.t <= 0) & ~order.infinite)
    return xp.where(costs.sound, xp.where(infinite, math.inf, costs.level + value), math.nan)


def _means(costs: Costs, order: Order, axis: Axis, xp: Any) -> Mean | None:
    return None if order.static and order.alpha == math.inf else _mean(costs, order, axis, xp)


def cross_entropy(
    x: Array, y: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return the cross-entropy of each pair of distributions; the reduced axes keep length 1."""
    costs = _costs(x, y, source=source, where=where, axis=axis, xp=xp)
    return _value(costs, order, _means(costs, order, axis, xp), axis, xp)


class Tilt(NamedTuple):
    """π, h = (p − π)/t = p v φ(−t v), −t v and v; where that is not ``near`` 0, v is 0 and −t v = log(π/p)."""

    tilted: Array
    h: Array
    u: Array
    v: Array
    near: Array


def _tilt(costs: Costs, mean: Mean, order: Order, axis: Axis, xp: Any) -> Tilt:
    t, eps = nonzero(order, xp=xp), float(xp.finfo(costs.g.dtype).eps)
    known = costs.live | costs.unused
    near = known & (abs(order.t) * (costs.g + mean.value) <= 1)
    v = xp.where(near, costs.g - mean.value, 0.0)
    # of p that is 0 but for its logarithm
    tilted = xp.where(costs.live, xp.exp(xp.where(costs.live, costs.log_p + mean.log_ratio, 0.0)), 0.0)
    inner = costs.p * v * expm1_ratio(-order.t * v, eps=eps, xp=xp)
    h = balanced(xp.where(near, inner, (costs.p - tilted) / t), costs.p, axis, xp)
    # where most of P is on one outcome, v is near 0 there, and h is minus the sum of the others
    top = (costs.p > 0.5) & known
    k = h / xp.where(top, costs.p, 1.0)
    close = top & (xp.abs(order.t * k) < 0.5)
    v = xp.where(close, k * log1p_ratio(xp.where(close, -order.t * k, 0.0), eps=eps, xp=xp), v)
    near = near | close
    return Tilt(tilted, h, xp.where(near, -order.t * v, mean.log_ratio), v, near)


def cross_entropy_and_gradient(
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
    """Return the cross-entropy and its gradients with respect to the entries of P (0) or of Q (1), times ``scale``."""
    costs = _costs(x, y, source=source, where=where, axis=axis, xp=xp)
    mean = _means(costs, order, axis, xp)
    value = _value(costs, order, mean, axis, xp)
    pair = compare(x, y, source=source, where=where, axis=axis, xp=xp)
    gradients = []
    for i in wrt:
        if i == 0:
            gradient, ratio = _along_p(costs, mean, order, axis, xp)
        else:
            depth = _depth(x, costs.live, source, axis, xp)
            gradient, ratio = _along_q(costs, mean, pair, depth, order, axis, xp)
        gradient = gradient if source == "logits" else ratio / pair.scales[i]
        gradients.append(xp.where(xp.isfinite(value), gradient, math.nan))
    return value, *finished(tuple(gradients), tuple((x, y)[i] for i in wrt), scale, xp, where=where)


def _along_p(costs: Costs, mean: Mean | None, order: Order, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return ∂H/∂x for logits x, and that over p."""
    none = xp.zeros_like(costs.p)
    # H is the least g: only which outcomes there are matters
    if mean is None:
        return none, none
    t = nonzero(order, xp=xp)
    tilt = _tilt(costs, mean, order, axis, xp)
    eps = float(xp.finfo(costs.g.dtype).eps)
    inner = tilt.v * expm1_ratio(xp.where(tilt.near, tilt.u, 0.0), eps=eps, xp=xp)
    far = (bounded_exp(xp.where(tilt.near, 0.0, tilt.u), xp) - 1) / -t
    # where p = 0 the derivative may be too large to be one
    far = xp.where(costs.unused & ~xp.isfinite(far), 0.0, far)
    top = costs.p > 0.5
    ratio = xp.where(top, tilt.h / xp.where(top, costs.p, 1.0), xp.where(tilt.near, inner, far))
    ratio = xp.where(costs.live | costs.unused, ratio, 0.0)
    ratio = xp.where(costs.lost & (order.t + none > 0), 1 / t, ratio)
    gradient = xp.where(costs.live | costs.lost, tilt.h, 0.0)
    if not order.static:
        gradient, ratio = xp.where(order.infinite, 0.0, gradient), xp.where(order.infinite, 0.0, ratio)
    return gradient, ratio


def _depth(x: Array, live: Array, source: Source, axis: Axis, xp: Any) -> Array:
    """Return log p up to a number a row, 0 where not live, exact where those that are hardly differ."""
    x = xp.where(live, accumulate(x, xp=xp), -math.inf if source == "logits" else 0.0)
    depth, _, _ = log_ratio(x, xp.max(x, axis=axis, keepdims=True), source=source, xp=xp)
    return xp.where(live, depth, 0.0)


def _along_q(
    costs: Costs, mean: Mean | None, pair: Pair, depth: Array, order: Order, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return ∂H/∂y for logits y, and that over q."""
    q, r = pair.q, pair.r
    known, top = costs.live | costs.unused, q > 0.5
    some = xp.where(top, q, 1.0)
    limit = q - _ties(costs, axis, xp)[1]
    if mean is None:
        gradient = balanced(limit, q, axis, xp)
        return gradient, xp.where(known, gradient / or_one(q, xp), 0.0)
    tilt = _tilt(costs, mean, order, axis, xp)
    # from the form whose terms are small near α = 1, or near α = 2
    one, two = pair.delta - order.t * costs.g, depth + (1 - order.t) * costs.g
    s = (one if order.t < 0.5 else two) if order.static else xp.where(order.t < 0.5, one, two)
    exponent, near = log_tilt(s, pair, axis, xp)
    near = near & (xp.abs(exponent) <= 1)
    inner = -xp.expm1(xp.where(near, exponent, 0.0))
    gradient = xp.where(near, q * inner, q - tilt.tilted)
    if not order.static:
        near = near & ~order.infinite
        gradient = xp.where(order.infinite, limit, gradient)
    gradient = xp.where(known, balanced(gradient, q, axis, xp), 0.0)
    # of entries so small that the other form loses them
    far = 1 - bounded_exp(xp.where(costs.live & ~near, mean.log_ratio + r, -math.inf), xp)
    ratio = xp.where(near, inner, far)
    if not order.static:
        ratio = xp.where(order.infinite, limit / or_one(q, xp), ratio)
    return gradient, xp.where(known, xp.where(top, gradient / some, ratio), 0.0)


def cross_entropy_and_alpha_gradient(
    x: Array, y: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the cross-entropy of each pair of distributions and its derivative with respect to α, never positive."""
    costs = _costs(x, y, source=source, where=where, axis=axis, xp=xp)
    mean = _means(costs, order, axis, xp)
    value = _value(costs, order, mean, axis, xp)
    finite = xp.isfinite(value)
    none = xp.where(finite, 0.0 * xp.where(finite, value, 0.0), math.nan)
    if mean is None:
        return value, none
    tilt, t = _tilt(costs, mean, order, axis, xp), nonzero(order, xp=xp)
    u = xp.where(tilt.near, tilt.u, 0.0)
    inner = (costs.p * tilt.v) * tilt.v * power_curvature(u, eps=float(xp.finfo(u.dtype).eps), xp=xp)
    outer = (xp.where(tilt.tilted > 0, tilt.tilted * (tilt.u - 1), 0.0) + costs.p) / t / t
    terms = xp.where(tilt.near, inner, xp.where(costs.live | costs.lost, outer, 0.0))
    slope = none - total(terms, axis, xp)
    return value, slope if order.static else xp.where(order.infinite, none, slope)


CROSS_ENTROPY = Family(cross_entropy, cross_entropy_and_gradient, cross_entropy_and_alpha_gradient, (ENTRIES, ENTRIES))
