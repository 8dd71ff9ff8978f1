"""What keeps distributions that make no sense, and those that do not count, away from the others' derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from renyi_core._dispatch import dispatch

from .doors import accumulate
from .state import Door

Array = Any

__all__ = ["along", "distributions", "or_nan", "scaled", "unless"]


def unless(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Return the values where they are known, else what a function computes, which an adapter may spare itself."""
    return xp.where(known, values, others())


def scaled(values: Array, scale: Any, xp: Any) -> Array:
    """Return a derivative times ``scale``, None for 1: 0 where that is 0, whatever the derivative."""
    if scale is None:
        return values
    if isinstance(scale, (int, float)):
        return values * scale if scale else xp.zeros_like(values)
    # where the derivative is a number, that of the product stays
    return dispatch(unless, xp)(scale != 0, values, lambda: xp.where(xp.isfinite(values), values, 0.0), xp) * scale


def along(vector: Array, product: Array, axis: tuple[int, ...], xp: Any) -> Array:
    """Return a product with ``vector``: 0 in rows where that is 0, whatever it was multiplied by."""
    moved = xp.any(vector != 0, axis=axis, keepdims=True)
    return dispatch(unless, xp)(moved, product, lambda: xp.where(xp.isfinite(product), product, 0.0), xp)


def distributions(*arrays: Array, door: Door, where: Array | None, axis: tuple[int, ...], xp: Any) -> tuple[Any, Any]:
    """Return the arrays in the precision of sums, at weight 0 what is masked, and which rows are distributions in all.

    In the place of rows that are none stands the uniform distribution: automatic differentiation multiplies what is NaN
    by a cotangent of 0. An adapter that differentiates otherwise may do without, and return True for the rows.
    """
    nothing, one = (-math.inf, 0.0) if door == "logits" else (0.0, 1.0)
    parts = [accumulate(x, xp=xp) for x in arrays]
    if where is not None:
        parts = [xp.where(where, x, nothing) for x in parts]
    sound: Any = True
    for x in parts:
        numbers = xp.all((x >= nothing) & (x < math.inf), axis=axis, keepdims=True)
        sound = sound & numbers & xp.any(x > nothing, axis=axis, keepdims=True)
    return tuple(xp.where(sound, x, one) for x in parts), sound


def or_nan(values: Array, sound: Any, xp: Any) -> Array:
    """Return the values of rows that are distributions, NaN for the others."""
    return values if sound is True else xp.where(sound, values, math.nan)
