"""Entropies of the Laplace, the exponential and the uniform distribution, and their derivatives.

A density of scale b has the entropy log b + constant + shape · log α/(α − 1): shape is 1 for an exponential tail, 0 for
a flat top.
"""

from __future__ import annotations

import math
from typing import Any

from .family import Family, finished
from .orders import order_ratio, order_ratio_slope
from .state import Order

Array = Any

__all__ = ["SCALE_ENTROPY", "scale_entropy", "scale_entropy_and_alpha_gradient", "scale_entropy_and_gradient"]


def scale_entropy(b: Array, order: Order, *, factor: float, shape: float, xp: Any) -> Array:
    """Return log(factor · b) + shape · log α/(α − 1), NaN where the scale is not positive and finite."""
    sound = (b > 0) & (b < math.inf)
    # a product with the factor may overflow
    large = sound & (b > 1)
    value = xp.log(xp.where(large, b, factor * xp.where(sound & ~large, b, 1.0)))
    value = xp.where(sound, xp.where(large, value + math.log(factor), value), math.nan)
    return value + _along(order, shape, order_ratio, xp)


def _along(order: Order, shape: float, function: Any, xp: Any) -> Any:
    """Return the part of the order; 0 in its shape if there is none."""
    if shape:
        return shape * function(order, xp=xp)
    return 0.0 if order.static else 0 * order.alpha


def scale_entropy_and_gradient(
    b: Array, order: Order, *, factor: float, shape: float, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivative with respect to the scale, 1/b, times ``scale``."""
    value = scale_entropy(b, order, factor=factor, shape=shape, xp=xp)
    sound = (b > 0) & (b < math.inf)
    inverse = 1 / xp.where(sound, b, 1.0)
    gradient = xp.where(xp.isnan(value), math.nan, inverse + xp.zeros_like(value))
    return value, *finished((gradient,), (b,), scale, xp)


def scale_entropy_and_alpha_gradient(
    b: Array, order: Order, *, factor: float, shape: float, xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    value = scale_entropy(b, order, factor=factor, shape=shape, xp=xp)
    slope = _along(order, shape, order_ratio_slope, xp)
    return value, xp.where(xp.isnan(value), math.nan, slope + xp.zeros_like(value))


SCALE_ENTROPY = Family(
    scale_entropy,
    scale_entropy_and_gradient,
    scale_entropy_and_alpha_gradient,
    layouts=(0,),
    kept=0,
    masked=False,
)
