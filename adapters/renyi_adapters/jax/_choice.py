"""Optima that are searched for in JAX: loops that are compiled once, and no derivatives.

What a loop closes over would be compiled anew at each call outside of ``jit``; inside, these are no functions at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from renyi_core._kernels import choice_search, csiszar
from renyi_core._kernels.channel import Channel
from renyi_core._kernels.choice_search import Curve
from renyi_core._kernels.state import Order

Array = Any

__all__ = ["center_csiszar", "constant", "search_choice"]


def _repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, now: step(now), state)


@functools.partial(jax.jit, static_argnames=("static", "axis", "xp"), inline=True)
def _search(arrays: tuple[Array, ...], traced: Any, *, static: Any, axis: tuple[int, ...], xp: Any) -> Any:
    g, live, span = arrays
    return choice_search.search_choice(Curve(g, live, static or traced, span, axis, xp), repeat=_repeat)


@functools.partial(jax.jit, static_argnames=("static", "xp"), inline=True)
def _center(ch: Channel, traced: Any, *, static: Any, xp: Any) -> Any:
    return csiszar.center_csiszar(ch, static or traced, xp=xp, repeat=_repeat)


def constant(values: Any) -> Any:
    """Overlay renyi_core._kernels.guards.constant."""
    if isinstance(values, Order) and values.static:
        return values
    stopped: Any = jax.lax.stop_gradient(values)
    return stopped


def search_choice(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search_choice."""
    g, live, order, span, axis, xp = curve
    traced, static = (None, order) if order.static else (order, None)
    return _search((g, live, span), traced, static=static, axis=axis, xp=xp)


def center_csiszar(ch: Channel, order: Order, *, xp: Any) -> Any:
    """Overlay renyi_core._kernels.csiszar.center_csiszar."""
    traced, static = (None, order) if order.static else (order, None)
    return _center(ch, traced, static=static, xp=xp)
