"""What the terms of a loss add to the kernels: weighted means over rows, a batch's mean assignment, log-scales.

For the mean m = Σ s p of rows p = softmax(z), with shares s that add up to 1, and g = ∂F/∂m::

    ∂F/∂z = s p (g − Σ p g)

where g is taken relative to its entry at the largest p, so that a row that is nearly certain loses nothing.
"""

from __future__ import annotations

import math
from typing import Any

from .doors import accumulate, peak_of
from .orders import order_ratio, order_ratio_slope
from .state import Door, Order, log_ratio

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "assignments",
    "log_scale_entropy",
    "log_scale_entropy_slope",
    "through_mean",
    "weighted",
]


def weighted(values: Array, weights: Any, *, xp: Any) -> Array:
    """Return weights times values, 0 where the weight is 0 whatever the value; None is a weight of 1."""
    if weights is None:
        return values
    if isinstance(weights, (int, float)):
        return values * weights
    none = weights == 0
    return xp.where(none, 0.0, weights * xp.where(none, 0.0, values))


def assignments(x: Array, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the probabilities of each row, and what its weights were divided by; NaN for a row that is none."""
    x = accumulate(x, xp=xp)
    if where is not None:
        x = xp.where(where, x, -math.inf if door == "logits" else 0.0)
    peak = peak_of(x, door=door, axis=axis, xp=xp)
    _, e, _ = log_ratio(x, peak, door=door, xp=xp)
    total = xp.sum(e, axis=axis, keepdims=True)
    sound = total > 0
    p = xp.where(sound, e, math.nan) / xp.where(sound, total, 1.0)
    return p, xp.where(sound, peak, 1.0) * xp.where(sound, total, 1.0)


def through_mean(p: Array, slope: Array, shares: Any, size: Array, *, door: Door, axis: Axis, xp: Any) -> Array:
    """Return the gradient with respect to each row of a function of the mean, given its ``slope`` at the mean."""
    top = p == xp.max(p, axis=axis, keepdims=True)
    at_top = xp.max(xp.where(top, slope, -math.inf), axis=axis, keepdims=True)
    slope = slope - xp.where(at_top == -math.inf, math.nan, at_top)
    slope = slope - xp.sum(p * slope, axis=axis, keepdims=True)
    return weighted(p * slope if door == "logits" else slope / size, shares, xp=xp)


def log_scale_entropy(log_scale: Array, order: Order, *, xp: Any) -> Array:
    """Return the entropy of each dimension of a Gaussian, from the logarithm of its standard deviation."""
    return log_scale + (order_ratio(order, xp=xp) + math.log(2 * math.pi)) / 2


def log_scale_entropy_slope(log_scale: Array, order: Order, *, xp: Any) -> Array:
    """Return the derivative of the entropy of each dimension with respect to α."""
    return xp.zeros_like(log_scale) + order_ratio_slope(order, xp=xp) / 2
