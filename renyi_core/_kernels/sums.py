"""Sums along axes, which keep length 1, and numbers of half the digits whose products are exact."""

from __future__ import annotations

import math
from typing import Any

Array = Any

__all__ = ["halves", "log_sum", "total", "totals"]


def total(values: Array, axis: Any, xp: Any) -> Array:
    """Return the sum along the axes."""
    return xp.sum(values, axis=axis, keepdims=True)


def totals(values: tuple[Array, ...], *, axis: Any, xp: Any) -> tuple[Array, ...]:
    """Return the sum of each array along the axes."""
    return tuple(total(each, axis, xp) for each in values)


def log_sum(values: Array, live: Array, axis: Any, xp: Any) -> Array:
    """Return log Σ exp(values) over the live entries; 0 where there are none."""
    top = xp.max(xp.where(live, values, -math.inf), axis=axis, keepdims=True)
    top = xp.where(top == -math.inf, 0.0, top)
    size = total(xp.where(live, xp.exp(xp.where(live, values - top, 0.0)), 0.0), axis, xp)
    return top + xp.log(xp.where(size > 0, size, 1.0))


def halves(x: Array, eps: float) -> tuple[Array, Array]:
    """Return two numbers of half the digits that add up to x.

    After T. J. Dekker, "A floating-point technique for extending the available precision" (1971), section 5.
    """
    digits = round(1 - math.log2(eps))
    far = x * (2.0 ** ((digits + 1) // 2) + 1.0)
    high = far - (far - x)
    return high, x - high
