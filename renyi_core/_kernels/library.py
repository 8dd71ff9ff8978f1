"""What a kernel may ask of an array library: the one way in.

A kernel is written in the operations of a namespace ``xp``. Where a library has a better way to do something (skip what
is not needed, search without derivatives, go through rows in blocks), its adapter has a function of the same name and
signature, and the kernel asks for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from array_api_compat import device

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = [
    "adapter_of",
    "adapters",
    "ask",
    "blocks",
    "constants",
    "here",
    "identity",
    "load_with",
    "short_way",
]

_UNKNOWN = object()
adapters: dict[str, Any] = {}
"""The adapter of each library's name; None for one that has none."""

LIBRARIES = {"numpy": "numpy", "torch": "torch", "torch.nn.parameter": "torch"}
"""By the module of an array's type, which torch.compile can look up, the library's name."""


class _ThreadState(threading.local):
    """How many blocks without adapters the thread is in."""

    depth = 0


here = _ThreadState()
blocks: list[None] = []
"""One for each such block of any thread: torch.compile looks at it, and traces again when there are more or fewer."""


def _nothing(name: str) -> Any:  # noqa: ARG001
    return None


_load: Callable[[str], Any] = _nothing


def load_with(load: Callable[[str], Any]) -> None:
    """Say who imports the adapter of a library that is met for the first time."""
    global _load  # noqa: PLW0603
    _load = load


def adapter_of(xp: Any) -> Any:
    """Return the adapter of a namespace, None if it has none."""
    name = xp.__name__.removeprefix("array_api_compat.")
    adapter = adapters.get(name, _UNKNOWN)
    if adapter is _UNKNOWN:
        loaded = _load(name)
        # another thread may have registered its own meanwhile
        adapter = adapters.setdefault(name, loaded)
    return adapter


def ask(function: Function, xp: Any) -> Function:
    """Return the library's own function of that name, or the function itself."""
    if blocks and here.depth:
        return function
    found: Function = getattr(adapter_of(xp), function.__name__, function)
    return found


def short_way(name: str, x: Any) -> Callable[..., Any] | None:
    """Return what the adapter of an array has for plain calls; what it gives is None for those that are not."""
    if blocks and here.depth:
        return None
    return getattr(adapters.get(LIBRARIES.get(type(x).__module__, "")), name, None)


def constants(values: Any, like: Any, xp: Any) -> Any:
    """Return numbers as an array of the dtype and on the device of another."""
    return xp.asarray(values, dtype=like.dtype, device=device(like))


def identity(n: int, like: Any, xp: Any) -> Any:
    """Return the identity matrix of the dtype and on the device of an array."""
    return xp.eye(n, dtype=like.dtype, device=device(like))
