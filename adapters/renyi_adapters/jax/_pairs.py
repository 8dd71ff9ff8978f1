"""Pairs of distributions in JAX: a ``custom_jvp`` with the analytic derivatives, which reverse mode computes anew."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from renyi_adapters._rules import CROSS_ENTROPY, DIVERGENCE, INFORMATION, POWER, Kernels
from renyi_core._kernels import information
from renyi_core._kernels.channel import AXES, Kind
from renyi_core._kernels.doors import accumulate
from renyi_core._kernels.state import Door, Order

Array = Any
Axis = tuple[int, ...]

__all__ = ["cross_entropy", "divergence", "mutual_information", "power_divergence"]


@dataclass(frozen=True)
class _Static:
    """What of a call is not an array; ``order`` is None where α is an array."""

    kernels: Kernels
    order: Order | None
    door: Door
    axis: Axis
    family: str | None = None

    def arguments(self, traced: Any, where: Array | None) -> tuple[Order, dict[str, Any]]:
        """Return the order and the other arguments of a kernel."""
        order: Order = traced if self.order is None else self.order
        family = {} if self.family is None else {"family": self.family}
        return order, {"door": self.door, "where": where, "axis": self.axis, "xp": jnp, **family}


def _value(static: _Static, x: Array, y: Array, traced: Order | None, where: Array | None) -> Array:
    order, kwargs = static.arguments(traced, where)
    value: Array = static.kernels.value(x, y, order, **kwargs)
    return value


_apply: Any = jax.custom_jvp(_value, nondiff_argnums=(0,))


@functools.partial(_apply.defjvp, symbolic_zeros=True)
def _jvp(static: _Static, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    x, y, traced, where = primals
    value = _value(static, x, y, traced, where)
    # in the precision of sums, of which some values are already rounded
    total = accumulate(jnp.zeros_like(value), xp=jnp)
    finite = jnp.isfinite(value)
    for wrt, tangent in enumerate(tangents[:2]):
        if tangent is not None and not isinstance(tangent, SymbolicZero):
            total += _along(static, wrt, x, y, traced, where, finite, tangent)
    # of t = α − 1, too, but the derivative in α counts both
    slope = None if static.order is not None else tangents[2].alpha
    if slope is not None and not isinstance(slope, SymbolicZero):
        total += _along_alpha(static, x, y, traced, where, finite, slope)
    return value, jnp.where(finite, total, 0).astype(value.dtype)


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
    _, gradient = static.kernels.with_gradient(x, y, order, wrt=wrt, **kwargs)
    # elsewhere the gradient is NaN, and its product with 0
    tangent = accumulate(jnp.where(finite, tangent, 0), xp=jnp)
    return jnp.sum(accumulate(gradient, xp=jnp) * tangent, axis=static.axis, keepdims=True)


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
    slope: Array = static.kernels.with_slope(x, y, order, **kwargs)[1]
    return accumulate(slope, xp=jnp) * accumulate(jnp.where(finite, tangent, 0), xp=jnp)


def divergence(x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.divergence.divergence."""
    return _of(DIVERGENCE, x, y, order, where, door, axis)


def cross_entropy(x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.cross_entropy.cross_entropy."""
    return _of(CROSS_ENTROPY, x, y, order, where, door, axis)


def power_divergence(
    x: Array,
    y: Array,
    order: Order,
    *,
    family: str,
    door: Door,
    where: Array | None,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> Array:
    """Overlay renyi_core._kernels.power_divergence.power_divergence."""
    return _of(POWER, x, y, order, where, door, axis, family)


def mutual_information(joint: Array, order: Order, *, kind: Kind, xp: Any) -> Array:
    """Overlay renyi_core._kernels.information.mutual_information."""
    if kind == "csiszar":
        return information.mutual_information(joint, order, kind=kind, xp=xp)
    return _of(INFORMATION, joint, None, order, None, "probs", AXES, kind)


def _of(
    kernels: Kernels,
    x: Array,
    y: Array | None,
    order: Order,
    where: Array | None,
    door: Door,
    axis: Axis,
    family: str | None = None,
) -> Array:
    static = _Static(kernels, order if order.static else None, door, axis, family)
    value: Array = _apply(static, x, y, None if order.static else order, where)
    return value
