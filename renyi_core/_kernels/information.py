"""The mutual information of order α of Sibson and of Arimoto, and its derivatives, in one form for every order.

In the terms of :mod:`.channel`, with every sum of terms of one sign::

    t S(y) = Σ_x Q expm1(α u)                 S = Σ_x Q K(u) >= 0,  K(u) = (expm1(α u) − α expm1(u))/t
    M(y)   = log1p(t S)/α                     M = t m,  m >= 0
    t B    = Σ_y c expm1(M)                   B = Σ_y c m φ(t m) >= 0,  φ(z) = expm1(z)/z
    b      = log1p(t B)/t                     I = α b

I is the divergence of the joint distribution Q·W from Q × q*, with q* = c exp(M)/(1 + t B) the outputs that make it
least. So the derivatives at fixed q* are all there is of it, with v = log(W/q*) − I = u − M − b, h = (π − Q W)/t and
π = Q W exp(t v), a distribution, as for a divergence::

    ∂I/∂log J = α h − t W Σ_y h                       Sibson
              = α h                                   Arimoto, whose Q depends on J as well
    ∂I/∂α     = Σ Q W v² ψ(t v)  (+ Σ h log P, Arimoto)         ψ(z) = (z exp(z) − expm1(z))/z²

After R. Sibson, "Information radius", Zeitschrift für Wahrscheinlichkeitstheorie 14 (1969), pp. 149–160; S. Verdú,
"α-mutual information", Information Theory and Applications Workshop 2015.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from . import csiszar
from .channel import AXES, Channel, Kind, by_order, channel
from .family import Family, finished
from .pairs import bounded_exp, exponent_limit, power_excess
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, nonzero
from .sums import log_sum, total

Array = Any

__all__ = [
    "INFORMATION",
    "mutual_information",
    "mutual_information_and_alpha_gradient",
    "mutual_information_and_gradient",
]


LEAST = 1e-18
"""An order whose first-order terms are all that a float has of it."""


class Parts(NamedTuple):
    """I, M(y), b, log q* and v; at α = 0, α M in place of M and log Σ exp(Σ λ log Q W) in that of b."""

    value: Array
    m: Array
    b: Any
    log_q: Array
    v: Any = None


class Powers(NamedTuple):
    """α M, S ℓ(t S) and where the latter holds, for each output; α (u − M), and where that has its digits."""

    powers: Array
    slope: Array
    inner: Array
    lift: Array
    lifted: Array


def _log_powers(ch: Channel, order: Order, xp: Any) -> Powers:
    alpha, eps = order.alpha, float(xp.finfo(ch.u.dtype).eps)
    steep = alpha * ch.u
    small = (xp.max(steep, axis=-2, keepdims=True) < exponent_limit(ch.u, xp)) & ~ch.lost
    excess = power_excess(xp.where(small, ch.u, 0.0), order, xp=xp)
    # where p = 0, K is 1 − α exp(u)/t to first order: the value is 1, but the derivative counts
    at_zero = 1 - xp.where(ch.live, 0.0, ch.ratio) * (alpha / nonzero(order, xp=xp))
    mean = total(ch.inputs * xp.where(ch.live, excess, at_zero), -2, xp)
    x = order.t * mean
    inner = small & (x > -0.5)
    # beyond 1 the quotient's own derivative would overflow before the logarithm's does
    large = inner & (x > 1)
    mean = xp.where(inner & ~large, mean, 0.0)
    slope = mean * log1p_ratio(order.t * mean, eps=eps, xp=xp)
    slope = xp.where(large, xp.log1p(xp.where(large, x, 0.0)) / nonzero(order, xp=xp), slope)
    # α (u − M) next to the largest: α times its rounding is in both terms of the difference
    level = ch.omega + ch.u
    peak = xp.max(xp.where(ch.live, level, -math.inf), axis=-2, keepdims=True)
    peak = xp.where(ch.columns, peak, 0.0)
    below = alpha * xp.where(ch.live, level - peak, 0.0)
    rest = log_sum(ch.log_rho + below, ch.live, -2, xp)
    powers = xp.where(inner, order.t * slope, alpha * peak + rest)
    return Powers(powers, slope, inner, below - rest - alpha * ch.omega, ch.live & ~(inner & (x <= 1)) & (order.t > 0))


def _parts(ch: Channel, order: Order, kind: Kind, xp: Any) -> Parts:
    if order.static and order.alpha == math.inf:
        return _at_infinity(ch, kind, xp)
    if order.static and order.alpha == 0:
        return _at_zero(ch, xp)
    alpha, t, eps = order.alpha, order.t, float(xp.finfo(ch.u.dtype).eps)
    powers, slope, inner, lift, lifted = _log_powers(ch, order, xp)
    m = powers / alpha
    log_q = xp.log(ch.reference) + m
    gentle = inner & (xp.abs(m) <= 1)
    terms = ch.means * slope / alpha * expm1_ratio(xp.where(gentle, m, 0.0), eps=eps, xp=xp)
    terms = xp.where(gentle, terms, (xp.exp(xp.where(gentle, 0.0, log_q)) - ch.means) / nonzero(order, xp=xp))
    mean = total(xp.where(ch.columns, terms, 0.0), AXES, xp)
    x = t * mean
    near = x > -0.5
    b = xp.where(near, mean, 0.0) * log1p_ratio(xp.where(near, x, 0.0), eps=eps, xp=xp)
    size = log_sum(log_q, ch.columns, -1, xp)
    b = xp.where(near, b, size / nonzero(order, xp=xp))
    v = xp.where(lifted, (lift - alpha * b) / alpha, xp.where(ch.live, ch.u - m - b, 0.0))
    return Parts(alpha * b, m, b, xp.where(ch.columns, log_q - t * b, 0.0), v)


def _at_infinity(ch: Channel, kind: Kind, xp: Any) -> Parts:
    if kind == "sibson":
        m = xp.max(xp.where(ch.live, ch.u, -math.inf), axis=-2, keepdims=True)
        m = xp.where(ch.columns, m, 0.0)
        log_q = xp.log(ch.reference) + m
        close = (xp.abs(m) <= 1) & ~ch.lost
        terms = xp.where(close, ch.means * xp.expm1(xp.where(close, m, 0.0)), xp.exp(log_q) - ch.means)
    else:
        # Σ_y max_x J less the weight of a largest row, from their differences: exact where they are close
        top = xp.max(ch.joint, axis=-2, keepdims=True)
        row = total(ch.joint, -1, xp)
        size = xp.max(row, axis=-2, keepdims=True)
        terms = total(xp.where(row == size, ch.inputs * (top - ch.joint), 0.0), -2, xp) / size
        log_q = xp.log(xp.where(ch.columns, top, 1.0)) - xp.log(size)
        m = log_q - xp.log(ch.reference)
    value = xp.log1p(total(xp.where(ch.columns, terms, 0.0), AXES, xp))
    return Parts(value, m, None, log_q - value)


def _at_zero(ch: Channel, xp: Any) -> Parts:
    """Of the outputs that most inputs reach, those that q* goes to share it as exp Σ λ log Q W, λ being Q of these."""
    # of the same inputs the same number, to the last digit, whatever else is known of the output
    gone = total(xp.where(ch.live, 0.0, ch.inputs), -2, xp)
    near = gone < 0.5
    kept = total(xp.where(ch.live, ch.inputs, 0.0), -2, xp)
    powers = xp.where(near, xp.log1p(xp.where(near, -gone, 0.0)), xp.log(xp.where(near | ~ch.columns, 1.0, kept)))
    value = -xp.max(xp.where(ch.columns, powers, -math.inf), axis=-1, keepdims=True)
    best = ch.columns & (powers == -value)
    # Σ Q u = Σ (Q where p = 0) − Σ Q (expm1(u) − u), whose bracket is K/α for the least α
    least = LEAST if xp.finfo(ch.u.dtype).bits > 32 else math.sqrt(LEAST)
    excess = xp.where(ch.live, power_excess(ch.u, Order(least, least - 1.0), xp=xp) / least, -1.0)
    mean = -total(ch.inputs * excess, -2, xp) / xp.exp(powers)
    # Σ λ ω less Σ Q ω: to which order Arimoto's inputs leave the uniform ones
    mean = mean - total(ch.inputs * ch.omega * _unshared(ch, powers, xp), -2, xp)
    shares = xp.where(best, ch.reference * xp.expm1(xp.where(best, mean, 0.0)), -ch.means)
    shares = total(xp.where(ch.columns, shares, 0.0), AXES, xp)
    near = shares > -0.5
    size = xp.where(near, xp.log1p(xp.where(near, shares, 0.0)), log_sum(xp.log(ch.reference) + mean, best, -1, xp))
    log_q = xp.where(best, xp.log(ch.reference) + mean - size, -math.inf)
    return Parts(value, powers, size, log_q)


def _unshared(ch: Channel, powers: Array, xp: Any) -> Array:
    """Return 1 − λ/Q at α = 0."""
    return xp.where(ch.live, -xp.expm1(-powers), 1.0)


def _tilted_at_infinity(ch: Channel, parts: Parts, kind: Kind, xp: Any) -> Array:
    """Return π at α = ∞: q*(y) times the share of each input."""
    # ties are exact in these numbers, and in those of `parts` they are not
    score = xp.where(ch.live, ch.conditional if kind == "sibson" else ch.joint, 0.0)
    top = ch.live & (score == xp.max(score, axis=-2, keepdims=True))
    share = xp.where(top, ch.marginal if kind == "sibson" else 1 + 0 * ch.u, 0.0)
    size = total(share, -2, xp)
    return xp.exp(parts.log_q) * share / xp.where(size > 0, size, 1.0)


class Tilt(NamedTuple):
    """What the derivatives are made of: h/p, Σ_y h/P, and t v and v where the first is ``near`` 0, π elsewhere."""

    ratio: Array
    rows: Array
    v: Array
    u: Array
    near: Array
    tilted: Array


def _tilt(ch: Channel, parts: Parts, order: Order, kind: Kind, xp: Any) -> Tilt:
    t, eps = nonzero(order, xp=xp), float(xp.finfo(ch.u.dtype).eps)
    v = parts.v
    u = order.t * v
    near = ch.live & (xp.abs(u) <= 1) & (ch.factor > 0)
    inner = v * expm1_ratio(xp.where(near, u, 0.0), eps=eps, xp=xp)
    log_inputs = ch.log_rho + order.alpha * ch.omega
    log_factor = xp.where(ch.rows, log_inputs - xp.log(xp.where(ch.rows, ch.marginal, 1.0)), 0.0)
    far = xp.where(ch.live & ~near, bounded_exp(xp.where(near, 0.0, log_factor + u), xp), 0.0)
    ratio = xp.where(near, ch.factor * xp.where(near, inner, 0.0), (far - ch.factor) / t)
    # near independence Σ_y h is of second order: Σ_y h = Q Σ_y c (K(u) − exp(α u) d φ(−t d)), d = M + b
    d = parts.m + parts.b
    steep = xp.abs(ch.u) * (order.alpha + 1)
    small = (
        xp.max(xp.where(ch.columns, xp.where(ch.lost, 2.0, steep + xp.abs(order.t * d)), 0.0), axis=-1, keepdims=True)
        <= 1
    ) & ch.rows
    some, gap = xp.where(small, ch.u, 0.0), xp.where(small & ch.columns, d, 0.0)
    shift = xp.exp(order.alpha * some) * gap * expm1_ratio(-order.t * gap, eps=eps, xp=xp)
    inner = xp.where(ch.live, power_excess(some, order, xp=xp) - shift, 1.0)
    rows = total(ch.conditional * ratio, -1, xp)
    # for small α of order α, from π/(Q W) = q* exp(α u − α M)/W
    low = ch.rows & (order.alpha < 0.5)
    unshared = xp.where(ch.live, -xp.expm1(xp.where(low, order.alpha * (ch.u - parts.m), 0.0)), 1.0)
    rows = xp.where(
        low, ch.factor * total(xp.where(ch.columns, xp.exp(parts.log_q) * unshared, 0.0), -1, xp) / -t, rows
    )
    small = small & (~low | (kind == "arimoto"))
    rows = xp.where(small, ch.factor * total(ch.means * inner, -1, xp), rows)
    return Tilt(ratio, rows, xp.where(near, v, 0.0), u, near, far * ch.p)


def _sound(ch: Channel, value: Array, xp: Any) -> Array:
    """Return the value, 0 where rounding makes it negative, NaN where there is no joint distribution."""
    return xp.where(ch.sound, xp.where(value < 0, 0.0, value), math.nan)


def mutual_information(joint: Array, order: Order, *, kind: Kind, xp: Any) -> Array:
    """Return the mutual information of each joint distribution; the last two axes keep length 1."""
    if kind == "csiszar":
        return csiszar.csiszar(joint, order, xp=xp)

    def value(own: Order) -> tuple[Array]:
        ch = channel(joint, own, kind, xp)
        return (_sound(ch, _parts(ch, own, kind, xp).value, xp),)

    return by_order(value, order, xp)[0]


def mutual_information_and_gradient(
    joint: Array, order: Order, *, kind: Kind, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the mutual information and its gradient with respect to the joint distribution, times ``scale``."""
    if kind == "csiszar":
        value, gradient = csiszar.csiszar_and_gradient(joint, order, xp=xp)
        return value, *finished((gradient,), (joint,), scale, xp)

    def both(own: Order) -> tuple[Array, Array]:
        ch = channel(joint, own, kind, xp)
        parts = _parts(ch, own, kind, xp)
        gradient = _gradient(ch, parts, own, kind, xp)
        free = ch.live | (ch.rows & ch.columns & (own.t + 0 * ch.u > 0))
        gradient = xp.where(free, gradient, 0.0) / ch.size
        return _sound(ch, parts.value, xp), xp.where(ch.sound, gradient, math.nan)

    value, gradient = by_order(both, order, xp)
    return value, *finished((gradient,), (joint,), scale, xp)


def _gradient(ch: Channel, parts: Parts, order: Order, kind: Kind, xp: Any) -> Array:
    """Return (∂I/∂log J)/p."""
    some_marginal = xp.where(ch.rows, ch.marginal, 1.0)
    if order.static and order.alpha == 0:
        lost = total(xp.exp(parts.log_q) * _unshared(ch, parts.m, xp), -1, xp)
        return 0 * ch.u + (lost if kind == "sibson" else 0.0)
    if order.static and order.alpha == math.inf:
        tilted = _tilted_at_infinity(ch, parts, kind, xp)
        rows = total(tilted, -1, xp) / some_marginal if kind == "sibson" else ch.factor
        return tilted / xp.where(ch.live, ch.p, 1.0) - rows
    tilt = _tilt(ch, parts, order, kind, xp)
    ratio, mean = tilt.ratio, tilt.rows
    if kind == "arimoto":
        return order.alpha * ratio
    return order.alpha * ratio - order.t * mean


def mutual_information_and_alpha_gradient(joint: Array, order: Order, *, kind: Kind, xp: Any) -> tuple[Array, Array]:
    """Return the mutual information of each joint distribution and its derivative with respect to α."""
    if kind == "csiszar":
        return csiszar.csiszar_and_alpha_gradient(joint, order, xp=xp)

    def both(own: Order) -> tuple[Array, Array]:
        ch = channel(joint, own, kind, xp)
        parts = _parts(ch, own, kind, xp)
        slope = _alpha_slope(ch, parts, own, kind, xp)
        return _sound(ch, parts.value, xp), xp.where(ch.sound, slope, math.nan)

    value, slope = by_order(both, order, xp)
    return value, slope


def _alpha_slope(ch: Channel, parts: Parts, order: Order, kind: Kind, xp: Any) -> Array:
    if order.static and order.alpha == math.inf:
        return 0 * parts.value
    if order.static and order.alpha == 0:
        return parts.value - parts.b
    tilt, t = _tilt(ch, parts, order, kind, xp), nonzero(order, xp=xp)
    weights, eps = ch.inputs * ch.conditional, float(xp.finfo(ch.u.dtype).eps)
    inner = weights * tilt.v * tilt.v * power_curvature(xp.where(tilt.near, tilt.u, 0.0), eps=eps, xp=xp)
    outer = (xp.where(tilt.tilted > 0, tilt.tilted * (tilt.u - 1), 0.0) + weights) / t / t
    slope = total(xp.where(tilt.near, inner, xp.where(ch.live, outer, 0.0)), AXES, xp)
    return slope if kind == "sibson" else slope + total(ch.marginal * tilt.rows * ch.omega, AXES, xp)


INFORMATION = Family(
    mutual_information,
    mutual_information_and_gradient,
    mutual_information_and_alpha_gradient,
    layouts=(2,),
    kept=2,
    masked=False,
)
