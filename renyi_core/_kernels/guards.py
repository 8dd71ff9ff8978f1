"""What keeps invalid distributions, and those that do not count, away from the others' derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .library import ask

Array = Any

__all__ = ["along", "constant", "or_nan", "scaled", "where_known"]


def where_known(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Return the values where they are known, else what a function computes, which an adapter may spare itself."""
    return xp.where(known, values, others())


def constant(values: Any) -> Any:
    """Return an array, a number or a tuple of them without derivatives, where a library differentiates."""
    return values


def scaled(values: Array, scale: Any, xp: Any) -> Array:
    """Return a derivative times ``scale``, None for 1: 0 where that is 0, whatever the derivative."""
    if scale is None:
        return values
    if isinstance(scale, (int, float)):
        return values * scale if scale else xp.zeros_like(values)
    # where the derivative is a number, that of the product stays
    return ask(where_known, xp)(scale != 0, values, lambda: xp.where(xp.isfinite(values), values, 0.0), xp) * scale


def along(vector: Array, product: Array, axis: tuple[int, ...], xp: Any) -> Array:
    """Return a product with ``vector``: 0 in rows where that is 0, whatever it was multiplied by."""
    # a sum, which torch's batched derivatives know
    moved = xp.astype(vector + xp.zeros_like(product) != 0, product.dtype)
    moved = xp.sum(moved, axis=axis, keepdims=True) > 0
    return ask(where_known, xp)(moved, product, lambda: xp.where(xp.isfinite(product), product, 0.0), xp)


def or_nan(values: Array, sound: Any, xp: Any) -> Array:
    """Return the values of rows that are distributions, NaN for the others."""
    return values if sound is True else xp.where(sound, values, math.nan)
