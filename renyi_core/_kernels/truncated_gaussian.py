"""The Rényi entropy of a Gaussian on an interval, and its derivatives, by Gauss–Legendre quadrature.

In units of σ, with the mode z₀ (0 or the end next to it), w = z − z₀ and d = −z₀ w − w²/2 <= 0, t = α − 1::

    F(α) = log ∫ exp(α d) dw        c = (F(α) − F(1))/t        H = log σ + F(1) − c
    p = exp(d − F(1))               q = exp(α d − F(α))        (q − p)/t = p v φ(t v),  v = d − c,  φ(u) = expm1(u)/u
    ∂H/∂μ = α/σ ∫ (p − q)/t w       ∂H/∂σ = 2α/σ ∫ (q − p)/t d     ∂H/∂α = −∫ p (t v exp(t v) − expm1(t v))/t²
    ∂H/∂high = (α p − q)/t/σ at the upper end, = p (1 − v φ(t v))/σ; the lower one the same, with the other sign

Of the two ends the further one from the mode has v < 0, so that nothing cancels there; the derivative of the other
comes from Σ ∂H = 0, over μ and the ends. Near α = 1, and where neither density falls too far for the other's nodes, the
integrals are those of one set of nodes, and sums of terms of one sign; else each has its own.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .estimators import curvature
from .family import Family, finished
from .library import constants
from .quadrature import gauss_legendre
from .shapes import held
from .special import expm1_ratio, log1p_ratio
from .state import Order, nonzero, power_gap

Array = Any

__all__ = ["TRUNCATED_GAUSSIAN"]

NEAR = 0.5, 1.75
"""Between these orders both integrals have the same nodes on any interval."""


class Interval(NamedTuple):
    """σ, z₀ and how far the ends are from it, of μ = 0, σ = 1 and ∓1 in place of what is invalid; the order."""

    scale: Array
    mode: Array
    left: Array
    right: Array
    order: Order
    sound: Array


class Nodes(NamedTuple):
    """w, d and the weights of the nodes, along a last axis."""

    w: Array
    d: Array
    weight: Array


class Parts(NamedTuple):
    """Where p and q have the same nodes; F(1), c, the nodes of p and of q, and these with the nodes' weights."""

    interval: Interval
    near: Array
    log_size: Array
    c: Array
    one: Nodes
    own: Nodes
    p: Array
    q: Array


def _interval(mean: Array, scale: Array, low: Array, high: Array, order: Order, xp: Any) -> Interval:
    sound = (scale > 0) & (scale < math.inf) & (xp.abs(mean) < math.inf) & (low < high)
    sound = sound & (low < math.inf) & (high > -math.inf)
    mean, scale = xp.where(sound, mean, 0.0), xp.where(sound, scale, 1.0)
    low, high = xp.where(sound, low, -1.0), xp.where(sound, high, 1.0)
    a, b, width = (low - mean) / scale, (high - mean) / scale, (high - low) / scale
    mode = xp.where(a > 0, a, xp.where(b < 0, b, 0.0))
    left = xp.where(b < 0, width, xp.where(a > 0, 0.0, -a))
    right = xp.where(a > 0, width, xp.where(b < 0, 0.0, b))
    # an array for each row, and α = 0 as a number whose nodes have finite squares
    order, least = held(order, mode, xp), 256 * float(xp.finfo(mode.dtype).smallest_normal)
    alpha, t = order.alpha + xp.zeros_like(mode), order.t + xp.zeros_like(mode)
    return Interval(scale, mode, left, right, Order(xp.where(alpha < least, least, alpha), t), sound)


def _depth(eps: float) -> float:
    """Return how far below its mode the logarithm of a density is taken to be nothing."""
    return 4 - math.log(eps)


def _nodes(interval: Interval, alpha: Array, xp: Any) -> Nodes:
    """Return the nodes of the part where exp(α d) is not below rounding."""
    eps = float(xp.finfo(alpha.dtype).eps)
    # α (|z₀| w + w²/2) is the depth at unit · 1/(r + √(r² + 1))
    unit = math.sqrt(2 * _depth(eps)) / xp.sqrt(alpha)
    r = xp.abs(interval.mode) / unit
    large, small = xp.where(r > 1, r, 1.0), xp.where(r > 1, 1.0, r)
    ratio = small / large
    reach = unit / (r + large * xp.sqrt(1 + ratio * ratio))
    left = xp.where(interval.left < reach, interval.left, reach)[..., None]
    right = xp.where(interval.right < reach, interval.right, reach)[..., None]
    quadrature = gauss_legendre(64 if eps < 1e-10 else 32)
    points, shares = (constants(part, alpha, xp)[(None,) * (left.ndim - 1) + (...,)] for part in quadrature)
    w = (left + right) * points - left
    return Nodes(w, -w * (interval.mode[..., None] + w / 2), (left + right) * shares)


def _parts(interval: Interval, order: Order, xp: Any) -> Parts:
    alpha, t, _ = interval.order
    everywhere = order.static and NEAR[0] <= order.alpha <= NEAR[1]
    furthest = xp.where(interval.left > interval.right, interval.left, interval.right)
    deepest = furthest * (xp.abs(interval.mode) + furthest / 2)
    near = (alpha >= NEAR[0]) & (alpha <= NEAR[1])
    near = near | (xp.where(alpha > 1, alpha, 1.0) * deepest <= NEAR[1] * _depth(float(xp.finfo(t.dtype).eps)))
    one = _nodes(interval, xp.where(near & (alpha < 1), alpha, 1.0), xp)
    own = one if everywhere else _nodes(interval, alpha, xp)
    falls = xp.exp(one.d)
    e = one.weight * falls
    powers = own.weight * xp.exp(alpha[..., None] * own.d)
    size, own_size = xp.sum(e, axis=-1), xp.sum(powers, axis=-1)
    along = Order(xp.where(near, alpha, 1.0)[..., None], xp.where(near, t, 0.0)[..., None])
    gap = power_gap(one.d, falls, xp.exp(along.alpha * one.d), along, xp=xp)
    mean = xp.sum(one.weight * gap, axis=-1) / size
    close = mean * log1p_ratio(along.t[..., 0] * mean, eps=float(xp.finfo(t.dtype).eps), xp=xp)
    far = (xp.log(own_size) - xp.log(size)) / xp.where(near, 1.0, t)
    c = xp.where(near, close, far)
    return Parts(interval, near, xp.log(size), c, one, own, e / size[..., None], powers / own_size[..., None])


def _value(parts: Parts, order: Order, width: Array, xp: Any) -> Array:
    value = xp.log(parts.interval.scale) + parts.log_size - parts.c
    value = xp.where(order.alpha + xp.zeros_like(value) == 0, xp.log(width), value)
    return xp.where(parts.interval.sound, value, math.nan)


def _change(v: Array, t: Array, xp: Any) -> Array:
    """Return expm1(t v)/t."""
    u = t * v
    gentle = xp.abs(u) <= 1
    inner = v * expm1_ratio(xp.where(gentle, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    return xp.where(gentle, inner, xp.expm1(xp.where(gentle, 1.0, u)) / nonzero(Order(1 + t, t), xp=xp))


def _moved(parts: Parts, of: Any, xp: Any) -> Array:
    """Return the integral of (q − p)/t times what is given of the nodes."""
    t = xp.where(parts.near, parts.interval.order.t, 0.0)[..., None]
    values = of(parts.one)
    mean = xp.sum(parts.p * values, axis=-1)
    v = parts.one.d - parts.c[..., None]
    close = xp.sum(parts.p * (values - mean[..., None]) * _change(v, t, xp), axis=-1)
    apart = xp.where(parts.near, 1.0, parts.interval.order.t)
    return xp.where(parts.near, close, (xp.sum(parts.q * of(parts.own), axis=-1) - mean) / apart)


def _at_end(parts: Parts, w: Array, xp: Any) -> Array:
    """Return (α p − q)/t at an end, 0 where that is infinite."""
    interval = parts.interval
    alpha, t, _ = interval.order
    finite = xp.abs(w) < math.inf
    w = xp.where(finite, w, 0.0)
    d = -w * (interval.mode + w / 2)
    p, v = xp.exp(d - parts.log_size), d - parts.c
    u = t * v
    # where α p is far from q, which is p exp(t v), each is by itself
    steep = xp.abs(u) > 1
    close = p * (1 - _change(xp.where(steep, 0.0, v), t, xp))
    q = xp.exp(xp.where(steep, alpha * d - parts.log_size - t * parts.c, 0.0))
    return xp.where(finite, xp.where(steep, (alpha * p - q) / xp.where(steep, t, 1.0), close), 0.0)


def truncated_gaussian_entropy(mean: Array, sigma: Array, low: Array, high: Array, order: Order, *, xp: Any) -> Array:
    """Return the entropy of each Gaussian on its interval."""
    parts = _parts(_interval(mean, sigma, low, high, order, xp), order, xp)
    return _value(parts, order, xp.where(parts.interval.sound, high - low, 1.0), xp)


def truncated_gaussian_entropy_and_gradient(
    mean: Array,
    sigma: Array,
    low: Array,
    high: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives along mean (0), scale (1) and the ends (2, 3), times ``scale``."""
    parts = _parts(_interval(mean, sigma, low, high, order, xp), order, xp)
    interval = parts.interval
    alpha = xp.where(order.alpha + xp.zeros_like(interval.mode) == 0, 0.0, interval.order.alpha)
    value = _value(parts, order, xp.where(interval.sound, high - low, 1.0), xp)
    along = -alpha * _moved(parts, lambda nodes: nodes.w, xp)
    lower_is_further = interval.left > interval.right
    far = _at_end(parts, xp.where(lower_is_further, -interval.left, interval.right), xp)
    lower = xp.where(lower_is_further, -far, -along - far)
    found = {0: along, 1: 2 * alpha * _moved(parts, lambda nodes: nodes.d, xp), 2: lower, 3: -along - lower}
    gradients = tuple(xp.where(interval.sound, found[i] / interval.scale, math.nan) for i in wrt)
    like = tuple((mean, sigma, low, high)[i] for i in wrt)
    return value, *finished(gradients, like, scale, xp)


def truncated_gaussian_entropy_and_alpha_gradient(
    mean: Array, sigma: Array, low: Array, high: Array, order: Order, *, xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    parts = _parts(_interval(mean, sigma, low, high, order, xp), order, xp)
    interval = parts.interval
    value = _value(parts, order, xp.where(interval.sound, high - low, 1.0), xp)
    t = interval.order.t
    own = xp.where(parts.near, t, 0.0)[..., None]
    close = xp.sum(parts.p * curvature(parts.one.d - parts.c[..., None], Order(1 + own, own), xp=xp), axis=-1)
    apart = (xp.sum(parts.q * parts.own.d, axis=-1) - parts.c) / xp.where(parts.near, 1.0, t)
    slope = -xp.where(parts.near, close, apart)
    slope = xp.where(value == math.inf, -math.inf, slope)
    if not order.static:
        slope = xp.where(order.infinite, 0.0, slope)
    elif order.alpha == math.inf:
        slope = xp.zeros_like(slope)
    return value, xp.where(interval.sound, slope, math.nan)


TRUNCATED_GAUSSIAN = Family(
    truncated_gaussian_entropy,
    truncated_gaussian_entropy_and_gradient,
    truncated_gaussian_entropy_and_alpha_gradient,
    layouts=(0, 0, 0, 0),
    kept=0,
    masked=False,
    block=1 << 8,
)
