"""The search for a regularized maximum in JAX: loops that are compiled once, and no derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from renyi_core._kernels import choice_search as agnostic
from renyi_core._kernels.choice_search import Curve

__all__ = ["search"]


def _repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    return jax.lax.fori_loop(0, times, lambda _, now: step(now), state)


def search(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search."""
    stop: Any = jax.lax.stop_gradient
    order = curve.order if curve.order.static else stop(curve.order)
    return agnostic.search(curve._replace(g=stop(curve.g), span=stop(curve.span), order=order), repeat=_repeat)
