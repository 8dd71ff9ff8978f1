"""Quiet arithmetic: what overflows or is invalid gives ±inf or NaN, whatever the caller made of NumPy's errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._arrays import namespace

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["quiet"]


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with NumPy's floating-point errors ignored while it runs; other libraries have none."""

    @functools.wraps(function)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R:
        for x in args:
            if hasattr(x, "dtype"):
                errstate = getattr(namespace(x), "errstate", None)
                if errstate is not None:
                    with errstate(all="ignore"):
                        return function(*args, **kwargs)
                break
        return function(*args, **kwargs)

    return quietly
