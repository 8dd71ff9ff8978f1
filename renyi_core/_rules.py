"""How a public function is differentiated: a registry that :mod:`renyi_core.gradients` reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Rule", "name_of", "register_rule", "rule_of"]


class Rule(NamedTuple):
    """The derivatives of one public function.

    ``wrt`` names what it can be differentiated with respect to. ``derivatives(names, cotangent, *args, **kwargs)``
    takes some of these, and the function's own arguments, and returns the value and a tuple;
    ``hvp(vector, *args, **kwargs)`` the product with the Hessian.
    """

    wrt: tuple[int | str, ...]
    derivatives: Callable[..., tuple[Any, tuple[Any, ...]]]
    hvp: Callable[..., Any] | None = None


_rules: dict[Any, Rule] = {}


def register_rule(function: Callable[..., Any], rule: Rule) -> None:
    """Register the rule of a public function."""
    _rules[function] = rule


def rule_of(function: Any, transform: str) -> Rule:
    """Return the rule of a public function, or that which a callable object carries; raise TypeError without one."""
    own = getattr(function, "rule", None)
    if isinstance(own, Rule):
        return own
    try:
        return _rules[function]
    except (KeyError, TypeError):
        known = ", ".join(sorted(f.__name__ for f in _rules))
        got = name_of(function)
        cure = "; other functions are for your library's automatic differentiation"
        if not callable(function):
            cure = f"; give the function, and its arguments afterwards: {transform}(f)(...)"
        msg = (
            f"`f` has no analytic derivative: `{transform}` takes a term of renyi_core.regularizers or one of {known}; "
            f"got {got}{cure}"
        )
        raise TypeError(msg) from None


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or that of the type of a callable object, which may hold arrays."""
    return getattr(function, "__name__", None) or type(function).__name__
