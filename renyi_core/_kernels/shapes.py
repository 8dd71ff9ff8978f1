"""What a parameter of Γ adds to the entropy of a gamma or a Dirichlet density, and its derivatives.

At the order α = 1 + t a parameter x becomes b = x + t s, s = x − m: m is 1, or n for the sum of n parameters. Asked for
is (α log Γ(x) − log Γ(b))/t + (b − 1/2) ρ, where ρ = log β/t and the factor β = α(1 − κ) + κ, about that of b and x, is
the same for all parameters of a density: what is added cancels between them, and takes the large logarithms along. By
Stirling's series, log Γ(y) = (y − 1/2) log y − y + c + μ(y), c = log(2π)/2, with e = m − κ x, b/x = β v, u = v − 1 =
−t e/(β x) it is::

    c − m + (m − 1/2) log x + e v ℓ(u) + log v/(2t) + μ(x) − (μ(b) − μ(x))/t            ℓ(u) = log1p(u)/u
    −∂/∂x /α + ρ = (ψ(b) − ψ(x))/t = ρ + log v/t + s (1/(2 x b) + …)
    −∂/∂α = e²/(β² x) Λ(u) + s²/(2x²) Ψ(t s/x) + …      Λ = (u − log1p(u))/u²      Ψ(h) = (log1p(h) − h/(1 + h))/h²

Nothing is divided by t. Where x or b is under 8 the series is that of y = x + 8 and b + 8, and the recurrence of Γ adds
a sum over j < 8. κ is 0 for a gamma density; for a Dirichlet density of sum A it is n/A, or 1 if that is larger.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .gamma import SHIFT, STIRLING, divided, stirling
from .library import constants
from .special import log1p_curvature, log1p_ratio, log1p_ratio_slope
from .state import Order, nonzero

Array = Any

__all__ = ["Common", "Shape", "alpha_slope", "held", "log_over", "shape_entropy", "shape_of", "slope"]

SLOPES = tuple(c * (2 * n + 1) for n, c in enumerate(STIRLING))
"""Those of the derivative of Stirling's series."""


class Common(NamedTuple):
    """What the parameters of a density share: the order, β and 1 − κ."""

    order: Order
    beta: Any
    slack: Any


class Shape(NamedTuple):
    """A parameter: x, s and b, ``m``; y = x + ``shift``, 1/y and 1/(b + shift), and e, u, v and ℓ(u) of y.

    ``low`` is where there is a shift. ``steps`` are x + j and b + j along a last axis, with x and b 1 elsewhere.
    """

    x: Array
    s: Array
    b: Array
    m: int
    low: Array
    shift: Array
    y: Array
    inverse: Array
    inverse_b: Array
    e: Array
    u: Array
    v: Array
    ratio: Array
    steps: tuple[Array, Array]


def held(order: Order, like: Array, xp: Any) -> Order:
    """Return the order, a large number in place of ∞: the entropies differ by less than rounding."""
    most = math.sqrt(float(xp.finfo(like.dtype).max)) / 8
    if order.static:
        return Order(min(order.alpha, most), min(order.t, most))
    large = order.infinite | (order.alpha > most)
    return Order(xp.where(large, most, order.alpha), xp.where(large, most, order.t), order.infinite)


def log_over(u: Array, v: Array, xp: Any) -> Array:
    """Return log(v)/u for v = 1 + u, known to the last digit also where that is small."""
    inner = u > -0.5
    near = log1p_ratio(xp.where(inner, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    return xp.where(inner, near, xp.log(xp.where(inner, 0.5, v)) / xp.where(inner, -0.5, u))


def shape_of(x: Array, s: Array, e: Array, m: int, common: Common, xp: Any) -> tuple[Shape, Array]:
    """Return the parts of a parameter x > 0, and where b > 0; it is taken to be 1 elsewhere."""
    (alpha, t, _), beta, slack = common
    most = math.sqrt(float(xp.finfo(x.dtype).max))
    b = xp.where((t + 0 * s < 0) & (s > 0), alpha * s + m, x + t * xp.where(s < most, s, most))
    alive = b > 0
    b = xp.where(alive, b, 1.0)
    low = (x < SHIFT) | (b < SHIFT)
    shift = xp.where(low, 1.0 * SHIFT, 0 * x)
    y, e = x + shift, e + shift * slack
    u = -t * (e / beta / y)
    v = xp.where(low, (b + shift) / y / beta, 1 + u)
    inverse = 1 / y
    inverse_b = xp.where(low, 1 / (b + shift), inverse / beta / v)
    j = _numbers(x[..., None], xp)
    steps = xp.where(low, x, 1.0)[..., None] + j, xp.where(low, b, 1.0)[..., None] + j
    return Shape(x, s, b, m, low, shift, y, inverse, inverse_b, e, u, v, log_over(u, v, xp), steps), alive


def _numbers(like: Array, xp: Any) -> Array:
    """Return 0, 1, … along a last axis, with the others of an array at length 1."""
    return constants(list(range(SHIFT)), like, xp)[(None,) * (like.ndim - 1) + (...,)]


def _over_steps(shape: Shape, values: Array, xp: Any) -> Array:
    return xp.where(shape.low, xp.sum(values, axis=-1), 0.0)


def _log_v(shape: Shape, common: Common) -> Array:
    """Return log v/t."""
    return -(shape.e / common.beta / shape.y) * shape.ratio


def _last(values: Any) -> Any:
    """Return values with a new last axis, for the steps."""
    return values if isinstance(values, float) else values[..., None]


def shape_entropy(shape: Shape, common: Common, xp: Any) -> Array:
    """Return what the parameter adds to the entropy."""
    order, m = common.order, shape.m
    constant = math.log(2 * math.pi) / 2 - m
    series, _ = divided(STIRLING, shape.inverse_b, shape.inverse, slope=False)
    value = constant - shape.shift + (m - 0.5) * xp.log(shape.y) + _log_v(shape, common) / 2
    value = value + shape.e * shape.ratio * xp.where(shape.low, shape.b / shape.y / common.beta, shape.v)
    value = value + shape.inverse * (stirling(shape.inverse) + shape.s * shape.inverse_b * series)
    return value + _over_steps(shape, _steps_of_entropy(shape, order, xp), xp)


def _steps_of_entropy(shape: Shape, order: Order, xp: Any) -> Array:
    """Return (log((b + j)/(b + 8)) − α log((x + j)/(x + 8)))/t."""
    x, b = shape.steps
    alpha, t, own = _last(order.alpha), _last(order.t), x * _last(shape.inverse)
    near = far = None
    if not order.static or order.alpha >= 0.5:
        # (b + j) y/((x + j)(b + 8)) is 1 + t·gain
        gain = _last(shape.s * shape.inverse_b) * (SHIFT - _numbers(x, xp)) / x
        near = gain * log_over(t * gain, b / x * _last(shape.y * shape.inverse_b), xp) - xp.log(own)
    if not order.static or order.alpha < 0.5:
        far = (xp.log(b * _last(shape.inverse_b)) - alpha * xp.log(own)) / _last(nonzero(order, xp=xp))
    if near is None or far is None:
        return far if near is None else near
    return xp.where(alpha < 0.5, far, near)


def slope(shape: Shape, common: Common, xp: Any) -> Array:
    """Return (ψ(b) − ψ(x))/t − ρ: the derivative of the entropy with respect to x is −α times that."""
    x, b = shape.steps
    series, _ = divided(SLOPES, shape.inverse_b, shape.inverse, first=1, slope=False)
    value = _log_v(shape, common) + shape.s * shape.inverse_b * shape.inverse * (0.5 + series)
    return value + _over_steps(shape, _last(shape.s) / x / b, xp)


def _bend(rate: Array, after: Array, order: Order, xp: Any) -> Array:
    """Return r² Ψ(t r), where ``after`` is 1 + t r."""
    h = order.t * rate
    near = xp.abs(h) <= 0.5
    inner = -rate * rate * log1p_ratio_slope(xp.where(near, h, 0.0), eps=float(xp.finfo(h.dtype).eps))
    rest, t = xp.where(near, 1.0, after), nonzero(order, xp=xp)
    return xp.where(near, inner, (xp.log(rest) - h / rest) / t / t)


def alpha_slope(shape: Shape, common: Common, xp: Any) -> Array:
    """Return minus the derivative of the entropy with respect to α, less what cancels between the parameters.

    No part is negative. With z = x + j and r = s/(z (b + j + 1)), that of each step is (z + 1) r² Ψ(t r).
    """
    (order, beta, slack), (z, b) = common, shape.steps
    eps, t, pull = float(xp.finfo(z.dtype).eps), nonzero(order, xp=xp), shape.e - shape.shift * slack
    u = -order.t * (pull / beta / shape.x)
    near = xp.abs(u) <= 0.5
    curved = pull / beta * (pull / beta / shape.x) * log1p_curvature(xp.where(near, u, 0.0), eps=eps, xp=xp)
    ratio = xp.where(shape.low, shape.b / shape.x / beta, shape.v)
    # beyond the largest number x is tiny
    log = xp.log(xp.where(near | (ratio == math.inf), 1.0, ratio))
    curved = xp.where(near, curved, (-pull / beta - shape.x * log / t) / t)
    after = xp.where(shape.low, (shape.b + shape.shift) / shape.y, beta * shape.v)
    part = shape.s * shape.inverse_b
    _, series = divided(STIRLING, shape.inverse_b, shape.inverse)
    value = curved + _bend(shape.s / shape.y, after, order, xp) / 2 + part * (part * shape.inverse) * series
    along = order if order.static else Order(_last(order.alpha), _last(order.t))
    bends = (z + 1) * _bend(_last(shape.s) / z / (b + 1), b / z * ((z + 1) / (b + 1)), along, xp)
    return value + _over_steps(shape, bends, xp)
