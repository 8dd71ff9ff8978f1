"""Optima that are searched for in JAX: loops that are compiled once, and no derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from renyi_core._kernels import choice_search, csiszar
from renyi_core._kernels.channel import Channel
from renyi_core._kernels.choice_search import Curve
from renyi_core._kernels.state import Order

__all__ = ["center_csiszar", "search_choice"]


def _repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, now: step(now), state)


def search_choice(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search_choice."""
    stop: Any = jax.lax.stop_gradient
    order = curve.order if curve.order.static else stop(curve.order)
    return choice_search.search_choice(
        curve._replace(g=stop(curve.g), span=stop(curve.span), order=order), repeat=_repeat
    )


def center_csiszar(ch: Channel, order: Order, *, xp: Any) -> Any:
    """Overlay renyi_core._kernels.csiszar.center_csiszar."""
    stop: Any = jax.lax.stop_gradient
    order = order if order.static else stop(order)
    return csiszar.center_csiszar(stop(ch), order, xp=xp, repeat=_repeat)
