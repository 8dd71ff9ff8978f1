"""What keeps distributions that make no sense, and those that do not count, away from the others' derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from renyi_core._dispatch import dispatch

from .doors import accumulate
from .state import Door

Array = Any

__all__ = ["distributions", "scaled", "unless"]


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


def distributions(*arrays: Array, door: Door, where: Array | None, axis: tuple[int, ...], xp: Any) -> tuple[Array, ...]:
    """Return the arrays in the precision of sums, at weight 0 what is masked, and all of rows that make no sense.

    Automatic differentiation multiplies the NaN within such a row by a cotangent of 0; from the choice here on it is 0.
    An adapter that differentiates otherwise may do without it.
    """
    nothing = -math.inf if door == "logits" else 0.0
    sums = [accumulate(x, xp=xp) for x in arrays]
    if where is not None:
        sums = [xp.where(where, x, nothing) for x in sums]
    sound: Any = True
    for x in sums:
        numbers = xp.all((x >= nothing) & (x < math.inf), axis=axis, keepdims=True)
        sound = sound & numbers & xp.any(x > nothing, axis=axis, keepdims=True)
    return tuple(xp.where(sound, x, nothing) for x in sums)
