"""The Tsallis divergence T and the α-divergence of Amari as functions of the Rényi divergence D.

In the terms of :mod:`.divergence`, with every term of one sign but those of ∂A/∂α::

    T     = expm1(t D)/t = D φ(t D)                       A = T/α
    ∂T/∂D = exp(t D)                                      ∂A/∂α = Σ q f[0, 1, α, α],  f(a) = exp(a r)
    ∂T/∂α = D² ψ(t D) + exp(t D) ∂D/∂α                          = (∂T/∂α − A)/α

The divided difference has the sign of r, and is of the order of r³. A of α < 1/2 is that of 1 − α with P and Q in each
other's place, so that α = 0 is no limit of quotients. Where P and Q share no outcome, D = +inf, and T = −1/t for α < 1.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from .divergence import divergence, divergence_and_alpha_gradient, divergence_and_gradient, divergence_and_slopes
from .family import ENTRIES, Family, finished
from .library import ask
from .pairs import Axis, bounded_exp
from .sources import accumulate
from .special import expm1_ratio, power_curvature
from .state import Order, Source, nonzero

Array = Any
Kind = Literal["tsallis", "alpha"]

__all__ = [
    "POWER_DIVERGENCE",
    "Kind",
    "of_divergence",
    "order_of",
    "power_divergence",
    "power_divergence_and_alpha_gradient",
    "power_divergence_and_gradient",
]


class _Arranged(NamedTuple):
    """What D is taken of: x and y of an order, where they are ``swapped``, and where they share no outcome (``apart``).

    The value asked for is T over ``divisor``. Rows that are apart have x in the place of y.
    """

    x: Array
    y: Array
    order: Order
    kind: Kind
    divisor: Any
    swapped: Any
    apart: Array | None


def order_of(order: Order, kind: Kind) -> tuple[Order, bool]:
    """Return the order of the D that is needed, for a number, and whether that is of Q and P in each other's place."""
    swapped = kind == "alpha" and order.alpha < 0.5
    return (Order(-order.t, 0.0 - order.alpha) if swapped else order), swapped


def of_divergence(d: Array, order: Order, kind: Kind, *, xp: Any) -> tuple[Array, Array]:
    """Return T or A, and ∂/∂D, given D of the order that :func:`order_of` says."""
    inner, swapped = order_of(order, kind)
    divisor = inner.alpha if kind == "alpha" and inner.alpha < math.inf else 1.0
    pair = _Arranged(None, None, inner, kind, divisor, swapped, None)
    return _value(d, pair, xp=xp), _slope(d, pair, xp=xp)


def _arrange(
    x: Array, y: Array, order: Order, *, kind: Kind, source: Source, where: Array | None, axis: Axis, xp: Any
) -> _Arranged:
    """Return what D is taken of."""
    x, y = accumulate(x, xp=xp), accumulate(y, xp=xp)
    swapped: Any = False
    divisor: Any = 1.0
    if kind == "alpha":
        if not order.static:
            swapped = order.alpha < 0.5
            x, y = xp.where(swapped, y, x), xp.where(swapped, x, y)
            alpha, t = xp.where(swapped, -order.t, order.alpha), xp.where(swapped, -order.alpha, order.t)
            order = Order(alpha, t, order.infinite)
        else:
            order, swapped = order_of(order, kind)
            x, y = (y, x) if swapped else (x, y)
        divisor = order.alpha if not order.static or order.alpha < math.inf else 1.0
    apart = None
    if not order.static or order.t < 0:
        apart = _apart(x, y, source, where, axis, xp)
        y = xp.where(apart, x, y)
    return _Arranged(x, y, order, kind, divisor, swapped, apart)


def _apart(x: Array, y: Array, source: Source, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Return which rows are two distributions that share no outcome."""
    x, y = x + xp.zeros_like(y), y + xp.zeros_like(x)
    least = -math.inf if source == "logits" else 0.0
    apart = None
    for z in (x, y):
        own = z if where is None else xp.where(where, z, least)
        peak, low = (f(own, axis=axis, keepdims=True) for f in (xp.max, xp.min))
        sound = (peak > least) & (peak < math.inf) & (low >= least)
        apart = sound if apart is None else apart & sound
    both = (x > least) & (y > least)
    if where is not None:
        both = both & where
    return apart & ~xp.any(both, axis=axis, keepdims=True)


def _exponent(d: Array, order: Order, xp: Any) -> tuple[Array, Array, Array]:
    """Return t D, where it is near 0, and D; 0 for one that is no number or infinite."""
    d = xp.where(d < math.inf, d, 0.0)
    u = order.t * d
    return u, ~(xp.abs(u) > 1), d


def _value(d: Array, pair: _Arranged, *, xp: Any) -> Array:
    """Return T or A, given D."""
    order = pair.order
    beyond = xp.where(d > 0, math.inf, xp.where(d == math.inf, 0.0, d))
    if order.static and order.alpha == math.inf:
        return beyond
    u, near, some = _exponent(d, order, xp)
    t = nonzero(order, xp=xp)
    inner = some * expm1_ratio(xp.where(near, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    limit = math.log(float(xp.finfo(u.dtype).max)) * 0.999
    large = u > limit
    outer = xp.expm1(xp.where(near | large, 0.0, u)) / t / pair.divisor
    # exp(t D) may overflow where its part 1/t does not, and so may the product of t and the divisor
    part = u
    for scale in (t, pair.divisor):
        part = part - (math.log(abs(scale)) if order.static else xp.log(xp.where(large, scale, 1.0 + 0 * u)))
    outer = xp.where(large, bounded_exp(xp.where(large, part, 0.0), xp), outer)
    result = xp.where(near, inner / pair.divisor, outer)
    apart = d == math.inf if pair.apart is None else pair.apart | (d == math.inf)
    most = -1 / t / pair.divisor if not order.static or order.t < 0 else math.inf
    if not order.static:
        most = xp.where(order.t < 0, most, math.inf)
    result = xp.where(apart, most, result)
    if not order.static:
        result = xp.where(order.infinite, xp.where(pair.apart, math.inf, beyond), result)
    return xp.where(xp.isnan(d), math.nan, result)


def _slope(d: Array, pair: _Arranged, *, xp: Any) -> Array:
    """Return ∂/∂D; NaN where the value is not finite."""
    order = pair.order
    known = _value(d, pair, xp=xp)
    finite = xp.isfinite(known)
    if order.static and order.alpha == math.inf:
        return xp.where(finite, 0.0 * xp.where(finite, d, 0.0), math.nan)
    u = _exponent(d, order, xp)[0]
    # 1 + t T, which may be finite where exp(t D) is not, over the divisor
    steep = finite & (u > 1)
    result = xp.exp(xp.where(finite & ~steep, u, 0.0)) / pair.divisor
    growth = _product(xp.where(steep, known, 0.0), xp.where(steep, order.t + xp.zeros_like(u), 0.0), xp)
    result = xp.where(steep, growth + 1 / pair.divisor, result)
    if not order.static:
        # at α = ∞ finite where P = Q alone, and 0 there for every order
        result = xp.where(order.infinite, 0.0, result)
    return xp.where(finite, result, math.nan)


def _alpha_slope(d: Array, along: Array, skew: Array | None, pair: _Arranged, *, xp: Any) -> Array:
    """Return ∂/∂α, given D, ∂D/∂α and, of A, what its sum gives, NaN where that is not known; NaN where not finite."""
    order = pair.order
    result = _value(d, pair, xp=xp)
    finite = xp.isfinite(result)
    if order.static and order.alpha == math.inf:
        return xp.where(finite, 0.0 * xp.where(finite, d, 0.0), math.nan)
    t = nonzero(order, xp=xp)
    u, near, some = _exponent(xp.where(finite, d, 0.0), order, xp)
    curvature = power_curvature(xp.where(near, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    # exp(t D) = 1 + t T may overflow where T and the slope do not
    steep = u > 1
    power = xp.exp(xp.where(steep, 0.0, u))
    along = xp.where(finite & (d < math.inf), along, 0.0)
    known, apart = xp.where(finite, result, 0.0), xp.where(near, 1.0, t + 0 * u)
    growth = xp.where(near, some * some * curvature, ((u - 1) * power + 1) / apart / apart)
    growth = (growth + power * along) / pair.divisor
    steep_known = xp.where(steep, known, 0.0)
    large = _product(steep_known, some, xp) + _product(steep_known, xp.where(steep, t * along, 0.0), xp)
    large = large + ((some / pair.divisor - steep_known) / t + along / pair.divisor)
    growth = xp.where(steep, large, growth)
    apart = d == math.inf if pair.apart is None else pair.apart | (d == math.inf)
    if pair.apart is not None:
        growth = xp.where(apart, 1 / t / t / pair.divisor, growth)
    if skew is not None:
        growth = growth - known / pair.divisor
        growth = xp.where(apart | xp.isnan(skew), growth, skew) * _sign(pair, xp)
    if not order.static:
        growth = xp.where(order.infinite, 0.0, growth)
    return xp.where(finite, growth, math.nan)


def _sign(pair: _Arranged, xp: Any) -> Any:
    if pair.order.static:
        return -1.0 if pair.swapped else 1.0
    return xp.where(pair.swapped, -1.0, xp.zeros_like(pair.order.t) + 1.0)


def _product(gradient: Array, factor: Array, xp: Any) -> Array:
    """Return gradient·factor for a factor >= 0, infinite without a warning."""
    largest = float(xp.finfo(gradient.dtype).max)
    large = xp.abs(gradient) > largest / xp.where(factor > 1, factor, 1.0)
    some = xp.where((gradient == 0) & (factor == math.inf), 0.0, factor)
    return _infinite(large, gradient, xp.where(large, 0.0, gradient) * xp.where(large, 0.0, some), xp)


def _infinite(large: Array, sign: Array, values: Array, xp: Any) -> Array:
    return xp.where(large & (sign > 0), math.inf, xp.where(large, -math.inf, values))


def power_divergence(
    x: Array, y: Array, order: Order, *, kind: Kind, source: Source, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return T or A of each pair of distributions; the reduced axes keep length 1."""
    kwargs: dict[str, Any] = {"source": source, "where": where, "axis": axis, "xp": xp}
    pair = _arrange(x, y, order, kind=kind, **kwargs)
    return _value(ask(divergence, xp)(pair.x, pair.y, pair.order, **kwargs), pair, xp=xp)


def power_divergence_and_gradient(
    x: Array,
    y: Array,
    order: Order,
    *,
    kind: Kind,
    wrt: tuple[int, ...],
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the divergence and its gradients with respect to the entries of P (0) or of Q (1), times ``scale``."""
    kwargs: dict[str, Any] = {"source": source, "where": where, "axis": axis, "xp": xp}
    pair = _arrange(x, y, order, kind=kind, **kwargs)
    if order.static or kind == "tsallis":
        here = tuple(1 - i for i in wrt) if pair.swapped else wrt
        d, *found = ask(divergence_and_gradient, xp)(pair.x, pair.y, pair.order, wrt=here, **kwargs)
    else:
        d, *both = ask(divergence_and_gradient, xp)(pair.x, pair.y, pair.order, wrt=(0, 1), **kwargs)
        found = [xp.where(pair.swapped, both[1 - i], both[i]) for i in wrt]
    slope = _slope(d, pair, xp=xp)
    gradients = tuple(_product(gradient, slope, xp) for gradient in found)
    return _value(d, pair, xp=xp), *finished(gradients, tuple((x, y)[i] for i in wrt), scale, xp, where=where)


def power_divergence_and_alpha_gradient(
    x: Array, y: Array, order: Order, *, kind: Kind, source: Source, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the divergence of each pair of distributions and its derivative with respect to α."""
    kwargs: dict[str, Any] = {"source": source, "where": where, "axis": axis, "xp": xp}
    pair = _arrange(x, y, order, kind=kind, **kwargs)
    skew = None
    if kind == "alpha":
        d, along, skew = divergence_and_slopes(pair.x, pair.y, pair.order, **kwargs)
    else:
        d, along = divergence_and_alpha_gradient(pair.x, pair.y, pair.order, **kwargs)
    return _value(d, pair, xp=xp), _alpha_slope(d, along, skew, pair, xp=xp)


POWER_DIVERGENCE = Family(
    power_divergence, power_divergence_and_gradient, power_divergence_and_alpha_gradient, (ENTRIES, ENTRIES)
)
