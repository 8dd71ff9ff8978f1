"""Optima that are searched for in JAX: loops that are compiled once, and no derivatives.

What a loop closes over would be compiled anew at each call outside of ``jit``; inside, these are no functions at all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from renyi_core._kernels import choice, choice_search, csiszar
from renyi_core._kernels.channel import Channel
from renyi_core._kernels.choice_search import Curve
from renyi_core._kernels.state import Order

Array = Any

__all__ = ["center_csiszar", "constant", "regularized_argmax", "search_choice", "take_cells"]


def _repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    # no ``fori_loop``: linearized, that would have constants of its steps as arrays
    count_and_state = 0, state
    return jax.lax.while_loop(lambda now: now[0] < times, lambda now: (now[0] + 1, step(now[1])), count_and_state)[1]


@functools.partial(jax.jit, static_argnames=("static", "axis", "xp"), inline=True)
def _search(arrays: tuple[Array, ...], traced: Any, *, static: Any, axis: tuple[int, ...], xp: Any) -> Any:
    g, live, span = arrays
    return choice_search.search_choice(Curve(g, live, static or traced, span, axis, xp), repeat=_repeat)


@functools.partial(jax.jit, static_argnames=("static", "xp"), inline=True)
def _center(ch: Channel, traced: Any, *, static: Any, xp: Any) -> Any:
    return csiszar.center_csiszar(ch, static or traced, xp=xp, repeat=_repeat)


def _argmax(static: tuple[Order, tuple[int, ...], Any], scores: Array, temperature: Any, where: Any) -> Array:
    order, axis, number = static
    given = temperature if number is None else number
    return choice.regularized_argmax(scores, given, order, where=where, axis=axis, xp=jnp)


_apply: Any = jax.custom_jvp(_argmax, nondiff_argnums=(0,))


@_apply.defjvp  # type: ignore[untyped-decorator]
def _jvp(static: Any, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    (order, axis, number), (scores, temperature, where) = static, primals
    given = temperature if number is None else number
    along = choice.regularized_argmax_and_tangent
    return along(scores, given, order, tangents[:2], where=where, axis=axis, xp=jnp)


def regularized_argmax(
    scores: Array, temperature: Any, order: Order, *, where: Array | None, axis: tuple[int, ...], xp: Any
) -> Array:
    """Overlay renyi_core._kernels.choice.regularized_argmax: its derivative takes a fraction of JAX's to compile."""
    if not order.static or order.alpha in {0, math.inf}:
        return choice.regularized_argmax(scores, temperature, order, where=where, axis=axis, xp=xp)
    number = temperature if isinstance(temperature, float) else None
    return _apply((order, axis, number), scores, None if number is not None else temperature, where)


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


def take_cells(values: Array, index: Array, *, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.take_cells; the indices are within the bounds."""
    return jnp.take_along_axis(values, index, axis=0, mode="clip")
