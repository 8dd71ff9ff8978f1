"""Around each public function: no floating-point errors of NumPy's, and checks of values where they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._arrays import namespace
from ._checking import active, blocks, checked

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["quiet"]


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with NumPy's floating-point errors ignored while it runs; other libraries have none.

    It is also where a block of :func:`renyi_core.checking` looks at the arguments.
    """

    @functools.wraps(function)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R:
        call = functools.partial(checked, function) if blocks and active(args, kwargs) else function
        for x in args:
            if hasattr(x, "dtype"):
                errstate = getattr(namespace(x), "errstate", None)
                if errstate is not None:
                    with errstate(all="ignore"):
                        return call(*args, **kwargs)
                break
        return call(*args, **kwargs)

    return quietly
