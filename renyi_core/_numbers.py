"""The checks of Python numbers that configurations hold."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

__all__ = ["finite", "flag", "is_number", "length", "number", "positive"]


def is_number(value: Any) -> bool:
    """Return whether it is a real number; a boolean is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def number(value: Any, name: str) -> float:
    """Return a real number as a float."""
    if not is_number(value):
        msg = f"`{name}` must be a real number, got {value!r}"
        raise TypeError(msg)
    return float(value)


def flag(value: Any, name: str) -> bool:
    """Return True or False, NumPy's as well."""
    kind = type(value)
    if kind is not bool and (kind.__module__, kind.__name__.rstrip("_")) != ("numpy", "bool"):
        msg = f"`{name}` must be True or False, got {value!r}"
        raise TypeError(msg)
    return bool(value)


def finite(value: Any, name: str) -> float:
    """Return a finite real number as a float."""
    checked = number(value, name)
    if not math.isfinite(checked):
        msg = f"`{name}` must be finite, got {value!r}"
        raise ValueError(msg)
    return checked


def positive(value: Any, name: str) -> float:
    """Return a real number > 0 as a float, ∞ included."""
    checked = number(value, name)
    if not checked > 0:
        msg = f"`{name}` must be > 0, got {value!r}"
        raise ValueError(msg)
    return checked


def length(value: Any, name: str) -> float:
    """Return a positive, finite number; a whole one as an integer."""
    checked = positive(finite(value, name), name)
    return int(value) if isinstance(value, Integral) else checked
