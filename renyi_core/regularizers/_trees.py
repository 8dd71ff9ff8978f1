"""Terms as pytrees of JAX, where that is imported: options that are arrays are leaves, all others are static."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

__all__ = ["as_tree"]

_known: set[type] = set()


def as_tree(cls: type) -> None:
    """Register a class of terms with JAX, once, if somebody has imported it."""
    if cls in _known or "jax" not in sys.modules:
        return
    _known.add(cls)
    sys.modules["jax"].tree_util.register_pytree_node(cls, _flatten, lambda kept, leaves: _unflatten(cls, kept, leaves))


def _is_leaf(value: Any) -> bool:
    """Whether it is an array, or a tuple of terms."""
    return isinstance(value, tuple) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def _flatten(term: Any) -> tuple[tuple[Any, ...], tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]]:
    values = {field.name: getattr(term, field.name) for field in dataclasses.fields(term)}
    # None, or whatever took the place of an array, stays a leaf
    names = getattr(term, "_leaves", None) or tuple(name for name, value in values.items() if _is_leaf(value))
    static = tuple((name, value) for name, value in values.items() if name not in names)
    return tuple(values[name] for name in names), (names, static)


def _unflatten(cls: type, kept: Any, leaves: Any) -> Any:
    """Return a term of what JAX puts in the place of its arrays, which has been checked, or is no array at all."""
    names, static = kept
    term: Any = object.__new__(cls)
    for name, value in (*zip(names, leaves, strict=True), *static, ("_leaves", names)):
        object.__setattr__(term, name, value)
    return term
