"""Around each public function: no floating-point errors of NumPy's, and checks of values where they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._advice import explain
from ._arrays import namespace
from ._checking import active, blocks, checked

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["quiet"]


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with NumPy's floating-point errors ignored while it runs; other libraries have none.

    It is also where a block of :func:`renyi_core.checking` looks at the arguments, and where a call with arguments that
    the function does not have is told which ones it has.
    """

    @functools.wraps(function)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            call = functools.partial(checked, function) if blocks and active(args, kwargs) else function
            for x in args:
                if hasattr(x, "dtype"):
                    errstate = getattr(namespace(x), "errstate", None)
                    if errstate is not None:
                        with errstate(all="ignore"):
                            return call(*args, **kwargs)
                    break
            return call(*args, **kwargs)
        except TypeError:
            explain(function, args, kwargs)
            raise

    return quietly
