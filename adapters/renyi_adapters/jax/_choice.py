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

__all__ = ["center_csiszar", "search_choice"]


def _repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, now: step(now), state)


@functools.partial(jax.jit, static_argnames=("static", "axis", "xp"), inline=True)
def _search(arrays: tuple[Array, ...], traced: Any, *, static: Any, axis: tuple[int, ...], xp: Any) -> Any:
    g, live, span = arrays
    return choice_search.search_choice(Curve(g, live, static or traced, span, axis, xp), repeat=_repeat)


@functools.partial(jax.jit, static_argnames=("static", "xp"), inline=True)
def _center(ch: Channel, traced: Any, *, static: Any, xp: Any) -> Any:
    return csiszar.center_csiszar(ch, static or traced, xp=xp, repeat=_repeat)


def _parted(order: Order) -> tuple[Any, Any]:
    """Return the order as an array without derivatives, or else as what is static."""
    stop: Any = jax.lax.stop_gradient
    return (None, order) if order.static else (stop(order), None)


def search_choice(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search_choice."""
    stop: Any = jax.lax.stop_gradient
    traced, static = _parted(curve.order)
    return _search(stop((curve.g, curve.live, curve.span)), traced, static=static, axis=curve.axis, xp=curve.xp)


def center_csiszar(ch: Channel, order: Order, *, xp: Any) -> Any:
    """Overlay renyi_core._kernels.csiszar.center_csiszar."""
    stop: Any = jax.lax.stop_gradient
    traced, static = _parted(order)
    return _center(stop(ch), traced, static=static, xp=xp)
