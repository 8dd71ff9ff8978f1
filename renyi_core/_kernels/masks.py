"""The likeliest outcomes and the largest entries of rows along the last axis: 1 where they are, 0 elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .choice import sort_gaps
from .family import ENTRIES, Family
from .library import ask
from .sources import accumulate

Array = Any

__all__ = ["HIGHEST", "NUCLEUS", "highest", "nucleus"]


def nucleus(logits: Array, *, mass: float, where: Array | None, axis: tuple[int, ...], xp: Any) -> Array:
    """Return 1 at the fewest outcomes whose probability reaches the mass, at none where there is no distribution."""
    x = _live(logits, where, xp)
    peak = xp.max(x, axis=axis, keepdims=True)
    sound = (peak > -math.inf) & (peak < math.inf)

    def count(ranked: Array) -> Array:
        weights = xp.exp(ranked - xp.where(sound, peak, 0.0))
        target = mass * xp.sum(weights, axis=-1, keepdims=True)
        return _number(xp.cumulative_sum(weights, axis=-1) < target, xp) + 1

    found = x > -math.inf if mass == 1 else _largest(x, count, xp)
    return xp.astype(found & sound, logits.dtype)


def highest(entropies: Array, *, share: float, where: Array | None, axis: tuple[int, ...], xp: Any) -> Array:  # noqa: ARG001
    """Return 1 at the share of the entries that are numbers, at least one, with the largest of them."""
    x = _live(entropies, where, xp)
    x = xp.where(xp.isnan(x), -math.inf, x)

    def count(ranked: Array) -> Array:
        whole = xp.floor(share * xp.astype(_number(ranked > -math.inf, xp), x.dtype) + 0.5)
        return xp.astype(xp.where(whole < 1, 1.0, whole), xp.int32)

    return xp.astype(_largest(x, count, xp), entropies.dtype)


def _live(x: Array, where: Array | None, xp: Any) -> Array:
    x = accumulate(x, xp=xp)
    return x if where is None else xp.where(where, x, -math.inf)


def _number(found: Array, xp: Any) -> Array:
    """Return how many there are in each row."""
    return xp.sum(xp.astype(found, xp.int32), axis=-1, keepdims=True)


def _largest(x: Array, count: Callable[[Array], Array], xp: Any) -> Array:
    """Return where the largest entries above −inf are, of equal ones the first; ``count`` is told of them in order."""
    ranked = -ask(sort_gaps, xp)(-x, xp=xp)
    place = xp.cumulative_sum(xp.ones_like(x, dtype=xp.int32), axis=-1)
    number = xp.astype(count(ranked), place.dtype)
    least = xp.min(xp.where((place <= number) & (ranked > -math.inf), ranked, math.inf), axis=-1, keepdims=True)
    above, ties = x > least, x == least
    return above | (ties & (xp.cumulative_sum(xp.astype(ties, xp.int32), axis=-1) <= number - _number(above, xp)))


NUCLEUS = Family(nucleus, None, None, result=ENTRIES)
HIGHEST = Family(highest, None, None, result=ENTRIES)
