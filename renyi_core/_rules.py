"""How a public function is differentiated: a registry that :mod:`renyi_core.gradients` reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Rule", "register_rule", "rule_of"]


class Rule(NamedTuple):
    """The derivatives of one public function.

    ``wrt`` names what it can be differentiated with respect to. ``value_and_gradient(wrt, cotangent, *args, **kwargs)``
    takes the function's own arguments and checks them as the function does; so does ``hvp(vector, *args, **kwargs)``.
    """

    wrt: tuple[int | str, ...]
    value_and_gradient: Callable[..., tuple[Any, Any]]
    hvp: Callable[..., Any] | None = None


_rules: dict[Any, Rule] = {}


def register_rule(function: Callable[..., Any], rule: Rule) -> None:
    """Register the rule of a public function."""
    _rules[function] = rule


def rule_of(function: Callable[..., Any], transform: str) -> Rule:
    """Return the rule of a public function; raise TypeError for any other callable."""
    try:
        return _rules[function]
    except (KeyError, TypeError):
        known = ", ".join(sorted(f.__name__ for f in _rules))
        msg = f"`f` has no analytic derivative: `{transform}` takes one of {known}; got {function!r}"
        raise TypeError(msg) from None
