"""All pairs of rows, a few rows at a time: what is formed of each pair is never there for all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Array = Any
Terms = Callable[[tuple[Array, ...], int | None], tuple[Array, ...]]

__all__ = ["BLOCK", "Terms", "by_rows"]

BLOCK = 2**17
"""How many numbers of the largest array are formed at once; those of one row with all others, if they are more."""


def by_rows(terms: Terms, arrays: tuple[Array, ...], *, cost: int, rows: Sequence[bool], xp: Any) -> tuple[Array, ...]:
    """Return what ``terms`` gives of blocks of rows of the arrays, along their last axis but one.

    ``terms(block, start)`` returns several arrays: those that ``rows`` marks are rows like the block's, to be laid one
    after another, the others are to be added up. ``start`` is the number of the first row, and None from an adapter
    that keeps it to itself: then ``terms`` may not leave out the pairs that it has had, for their symmetry. ``cost`` is
    how many numbers ``terms`` forms of each row.
    """
    n, count = arrays[0].shape[-2], max(1, BLOCK // max(1, cost))
    parts = [
        terms(tuple(x[..., start : min(start + count, n), :] for x in arrays), start) for start in range(0, n, count)
    ]
    return tuple(
        (xp.concat(part, axis=-2) if len(part) > 1 else part[0]) if laid else _summed(part)
        for laid, part in zip(rows, zip(*parts, strict=True), strict=True)
    )


def _summed(parts: Sequence[Array]) -> Array:
    """Return the sum, pairwise, so that many blocks add no more rounding than a few."""
    while len(parts) > 1:
        parts = [sum(parts[k + 1 : k + 2], parts[k]) for k in range(0, len(parts), 2)]
    return parts[0]
