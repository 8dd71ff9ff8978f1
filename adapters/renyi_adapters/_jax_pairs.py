"""Pairs of distributions in JAX: a ``custom_jvp`` with the analytic derivatives, which reverse mode computes anew."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from renyi_core._kernels import divergence as agnostic
from renyi_core._kernels.state import Door, Order

Array = Any
Axis = tuple[int, ...]

__all__ = ["divergence"]


@dataclass(frozen=True)
class _Static:
    """What of a call is not an array; ``order`` is None where α is an array."""

    order: Order | None
    door: Door
    axis: Axis

    def arguments(self, traced: Any, where: Array | None) -> tuple[Order, dict[str, Any]]:
        """Return the order and the other arguments of a kernel."""
        order: Order = traced if self.order is None else self.order
        return order, {"door": self.door, "where": where, "axis": self.axis, "xp": jnp}


def _divergence(static: _Static, x: Array, y: Array, traced: Order | None, where: Array | None) -> Array:
    order, kwargs = static.arguments(traced, where)
    return agnostic.divergence(x, y, order, **kwargs)


_apply: Any = jax.custom_jvp(_divergence, nondiff_argnums=(0,))


@functools.partial(_apply.defjvp, symbolic_zeros=True)
def _jvp(static: _Static, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    x, y, traced, where = primals
    value = _divergence(static, x, y, traced, where)
    total = jnp.zeros_like(value)
    finite = jnp.isfinite(value)
    for wrt, tangent in enumerate(tangents[:2]):
        if not isinstance(tangent, SymbolicZero):
            total += _along(static, wrt, x, y, traced, where, finite, tangent)
    # of t = α − 1, too, but the derivative in α counts both
    slope = None if static.order is not None else tangents[2].alpha
    if slope is not None and not isinstance(slope, SymbolicZero):
        total += _along_alpha(static, x, y, traced, where, finite, slope)
    return value, jnp.where(finite, total, 0)


@functools.partial(jax.checkpoint, static_argnums=(0, 1))
def _along(
    static: _Static,
    wrt: int,
    x: Array,
    y: Array,
    traced: Order | None,
    where: Array | None,
    finite: Array,
    tangent: Array,
) -> Array:
    order, kwargs = static.arguments(traced, where)
    _, gradient = agnostic.divergence_and_gradient(x, y, order, wrt=wrt, **kwargs)
    # elsewhere the gradient is NaN, and its product with 0
    return jnp.sum(gradient * jnp.where(finite, tangent, 0), axis=static.axis, keepdims=True)


@functools.partial(jax.checkpoint, static_argnums=(0,))
def _along_alpha(
    static: _Static,
    x: Array,
    y: Array,
    traced: Order | None,
    where: Array | None,
    finite: Array,
    tangent: Array,
) -> Array:
    order, kwargs = static.arguments(traced, where)
    return agnostic.divergence_and_alpha_gradient(x, y, order, **kwargs)[1] * jnp.where(finite, tangent, 0)


def divergence(x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.divergence.divergence."""
    static = _Static(order if order.static else None, door, axis)
    return _apply(static, x, y, None if order.static else order, where)
