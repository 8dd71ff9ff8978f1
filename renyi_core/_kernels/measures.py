"""Functions of the entropy of one distribution: the entropy itself, the Hill number, the Tsallis entropy.

Each is a function F(H_α, α): its value from the rows of a state, and the derivatives that the chain rule needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .special import expm1_ratio, power_curvature
from .state import TWO_SUMS, Order, Rows, nonzero

Array = Any
_OfRows = Callable[..., Any]

__all__ = ["ENTROPY", "HILL", "TSALLIS", "Measure"]


class Measure(NamedTuple):
    """F(H, α) and its derivatives ∂F/∂H, ∂²F/∂H² and ∂F/∂α at fixed H, each from ``(rows, order, xp=)``.

    A derivative of None is the constant that it is for the entropy itself: 1, 0 and 0.
    """

    value: _OfRows
    slope: _OfRows | None = None
    curvature: _OfRows | None = None
    alpha_slope: _OfRows | None = None


def _entropy(rows: Rows, order: Order, *, xp: Any) -> Array:  # noqa: ARG001
    return rows.h


def _power(base: Array, exponent: Array | float, xp: Any) -> Array:
    """Return a power, of an array's exponent: for each that is a number torch.compile has a graph of its own."""
    return base ** (xp.zeros_like(base) + exponent)


def _hill(rows: Rows, order: Order, *, xp: Any) -> Array:
    """exp(H) from the sums themselves: exp of a rounded H would lose the digits of H's integer part."""
    if order.static:
        if order.alpha == math.inf:
            return rows.total
        if order.alpha == 0:
            return rows.total_alpha
        if abs(order.t) < TWO_SUMS:
            return rows.total * xp.exp(-rows.c)
        return rows.total * _power(rows.total_alpha / rows.total, -1 / order.t, xp)
    far = xp.abs(order.t) >= TWO_SUMS
    power = (rows.total_alpha / rows.total) ** (-1 / xp.where(far, order.t, 1.0))
    factor = xp.where(far, power, xp.exp(-rows.c))
    return rows.total * xp.where(order.infinite, 1.0, factor)


def _power_sum(rows: Rows, order: Order, *, xp: Any) -> Array:
    """Σ p**α = exp(−t H), from H where that is below 1 and from the sums, whose error α multiplies, elsewhere."""
    if order.static and order.alpha == math.inf:
        return 0 * rows.h
    u = -order.t * rows.h
    small = ~(xp.abs(u) > 1) | (rows.h < 1)  # NaN counts as small
    near = xp.exp(xp.where(small, u, 0.0))
    if rows.total_alpha is None:
        return near
    result = xp.where(small, near, rows.total_alpha * _power(rows.total, -order.alpha, xp))
    return result if order.static else xp.where(order.infinite, 0 * rows.h, result)


def _tsallis(rows: Rows, order: Order, *, xp: Any) -> Array:
    if order.static and order.alpha == math.inf:
        return 0 * rows.h
    u = -order.t * rows.h
    near = ~(xp.abs(u) > 1)  # NaN counts as near
    value = rows.h * expm1_ratio(xp.where(near, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    value = xp.where(near, value, (1 - _power_sum(rows, order, xp=xp)) / nonzero(order, xp=xp))
    return value if order.static else xp.where(order.infinite, 0 * rows.h, value)


def _tsallis_curvature(rows: Rows, order: Order, *, xp: Any) -> Array:
    if order.static and order.alpha == math.inf:
        return 0 * rows.h
    return -order.t * _power_sum(rows, order, xp=xp)


def _tsallis_alpha_slope(rows: Rows, order: Order, *, xp: Any) -> Array:
    if order.static and order.alpha == math.inf:
        return 0 * rows.h
    u = -order.t * rows.h
    near = ~(xp.abs(u) > 1)  # NaN counts as near
    curvature = power_curvature(xp.where(near, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    t = nonzero(order, xp=xp)
    far = (u - 1) * _power_sum(rows, order, xp=xp) + 1
    value = -xp.where(near, rows.h * rows.h * curvature, far / t / t)
    return value if order.static else xp.where(order.infinite, 0 * rows.h, value)


ENTROPY = Measure(_entropy)
HILL = Measure(_hill, slope=_hill, curvature=_hill)
TSALLIS = Measure(_tsallis, slope=_power_sum, curvature=_tsallis_curvature, alpha_slope=_tsallis_alpha_slope)
