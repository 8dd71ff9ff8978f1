"""The checks of the Python numbers and words that configurations hold."""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real
from typing import Any

from ._advice import instead_of_number

__all__ = ["as_float", "check_choice", "finite", "flag", "integer", "is_number", "length", "number", "positive"]


def is_number(value: Any) -> bool:
    """Return whether it is a real number; a boolean is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def number(value: Any, name: str) -> float:
    """Return a real number as a float."""
    if not is_number(value):
        msg = f"`{name}` must be a real number, got {value!r}{instead_of_number(value, name)}"
        raise TypeError(msg)
    return as_float(value, name)


def as_float(value: Any, name: str) -> float:
    """Return a real number as a float; raise ValueError for one beyond them, such as 10**400."""
    try:
        return float(value)
    except OverflowError:
        # too long to be shown
        msg = f"`{name}` is an {type(value).__name__} beyond the floats, which end at 1.8e308; for ∞ give math.inf"
        raise ValueError(msg) from None


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


def integer(value: Any, name: str) -> int:
    """Return an integer as an int; a boolean is invalid, and so is an array of several."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    msg = f"`{name}` must be an integer, got {value!r}"
    raise TypeError(msg)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless an option is one of its choices."""
    if not isinstance(value, str) or value not in choices:
        msg = f"`{name}` must be one of {', '.join(map(repr, choices))}, got {value!r}"
        raise ValueError(msg)
