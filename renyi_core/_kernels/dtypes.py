"""Change of dtype."""

from __future__ import annotations

from typing import Any

Array = Any

__all__ = ["cast"]


def cast(x: Array, dtype: Any, xp: Any) -> Array:
    """Return an array in a dtype, the array itself where it has it.

    Not every library's ``astype`` takes the standard's ``copy=False``.
    """
    return x if x.dtype == dtype else xp.astype(x, dtype)
