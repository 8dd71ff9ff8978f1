"""log α/(α − 1), what the order adds to the entropy of a Gaussian, and its derivative; both exact through α = 1."""

from __future__ import annotations

import math
from typing import Any

from .special import log1p_ratio, log1p_ratio_slope
from .state import Order

__all__ = ["order_ratio", "order_ratio_slope"]


def order_ratio(order: Order, *, xp: Any) -> Any:
    """Return log α/(α − 1): 1 at α = 1, 0 at ∞, +inf at 0."""
    alpha, t = order.alpha, order.t
    if order.static:
        if alpha in {0, math.inf}:
            return math.inf if alpha == 0 else 0.0
        if t == 0:
            return 1.0
        return (math.log1p(t) if alpha > 0.5 else math.log(alpha)) / t
    eps = float(xp.finfo(t.dtype).eps)
    inner, zero = t > -0.5, alpha == 0
    near = log1p_ratio(xp.where(inner, t, 0.0), eps=eps, xp=xp)
    far = xp.log(xp.where(inner | zero, 0.25, alpha)) / xp.where(inner, -0.75, t)
    return xp.where(order.infinite, 0.0, xp.where(zero, math.inf, xp.where(inner, near, far)))


def order_ratio_slope(order: Order, *, xp: Any) -> Any:
    """Return the derivative of log α/(α − 1): −1/2 at α = 1, 0 at ∞, −inf at 0."""
    alpha, t = order.alpha, order.t
    if order.static:
        if alpha in {0, math.inf}:
            return -math.inf if alpha == 0 else 0.0
        return log1p_ratio_slope(t, eps=2.0**-52) if abs(t) <= 0.5 else (1 / alpha - math.log(alpha) / t) / t
    inner, zero = xp.abs(t) <= 0.5, alpha == 0
    near = log1p_ratio_slope(xp.where(inner, t, 0.0), eps=float(xp.finfo(t.dtype).eps))
    a, u = xp.where(inner | zero, 2.0, alpha), xp.where(inner | zero, 1.0, t)
    far = (1 / a - xp.log(a) / u) / u
    return xp.where(order.infinite, 0.0, xp.where(zero, -math.inf, xp.where(inner, near, far)))
