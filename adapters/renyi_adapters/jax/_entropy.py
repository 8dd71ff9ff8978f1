"""JAX: a ``custom_jvp`` whose linear part is computed anew when it is transposed, so that reverse mode keeps rows only.

Forward mode, reverse mode and every order of both follow from the one rule; jit, vmap, scan and sharding from JAX.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import Measure
from renyi_core._kernels.sources import accumulate, center, distributions
from renyi_core._kernels.state import Order, Rows, Source, finish, partial_state

from . import _logits as logits

Array = Any
Axis = tuple[int, ...]

__all__ = ["entropy", "entropy_and_gradient"]


@dataclass(frozen=True)
class _Static:
    """What of a call is not an array; ``order`` is None where α is an array."""

    order: Order | None
    source: Source
    measure: Measure
    axis: Axis

    def of(self, traced: Any) -> Order:
        order: Order = traced if self.order is None else self.order
        return order


def _is_plain(static: _Static) -> bool:
    return static.source == "logits" and logits.takes(static.order, static.axis)


def _state(static: _Static, x: Array, order: Order, where: Array | None, *, full: bool) -> tuple[Array, Rows]:
    """Return the peaks and what the state says of the rows."""
    if _is_plain(static):
        return logits.state(x, order, where=where)
    entries = center(x, order, source=static.source, where=where, axis=static.axis, xp=jnp)
    # once for all sums: XLA would compute the exponentials anew for each of them
    barrier: Any = jax.lax.optimization_barrier
    entries = entries._replace(e=barrier(entries.e))
    return entries.peak, finish(partial_state(entries, order, axis=static.axis, xp=jnp, full=full), order, xp=jnp)


def _entropy(static: _Static, x: Array, order: Order | None, where: Array | None) -> Array:
    of = static.of(order)
    return static.measure.value(_state(static, x, of, where, full=False)[1], of, xp=jnp)


def _same(static: _Static, x: Array, where: Array | None) -> Array:  # noqa: ARG001
    return x


_guarded: Any = jax.custom_jvp(_same, nondiff_argnums=(0,))
"""The input as it is, but without derivatives in invalid rows."""


def _guarded_jvp(static: _Static, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    x, where = primals
    _, sound = distributions(x, source=static.source, where=where, axis=static.axis, xp=jnp)
    return x, jnp.where(sound, tangents[0], 0)


_guarded.defjvp(_guarded_jvp)


_apply: Any = jax.custom_jvp(_entropy, nondiff_argnums=(0,))


@functools.partial(_apply.defjvp, symbolic_zeros=True)
def _jvp(static: _Static, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    x, traced, where = primals
    x = _guarded(static, x, where)
    dx, dorder, _ = tangents
    order, measure = static.of(traced), static.measure
    peak, rows = _state(static, x, order, where, full=True)
    value = measure.value(rows, order, xp=jnp)
    # of t = α − 1, too, but the derivative in α counts both
    dalpha = None if static.order is not None else dorder.alpha
    total = jnp.zeros_like(value)
    if not isinstance(dx, SymbolicZero):
        total += _along_entries(static, x, traced, where, peak, rows, dx)
    if dalpha is not None and not isinstance(dalpha, SymbolicZero):
        total += _along_alpha(static, x, traced, where, peak, rows, dalpha)
    return value, jnp.where(jnp.isnan(rows.h), 0, total)


@functools.partial(jax.checkpoint, static_argnums=(0,))
def _along_entries(
    static: _Static, x: Array, traced: Order | None, where: Array | None, peak: Array, rows: Rows, dx: Array
) -> Array:
    order, axis = static.of(traced), static.axis
    if _is_plain(static) and order.alpha != math.inf:
        gradient = logits.gradient(x, peak, rows, order, where=where)
    else:
        entries = center(x, order, source=static.source, where=where, axis=axis, xp=jnp, peak=peak)
        gradient = agnostic.gradient_entries(entries, rows, order, source=static.source, where=where, axis=axis, xp=jnp)
    # without a value the gradient is NaN, and its product with 0
    dx = accumulate(jnp.where(jnp.isnan(rows.h), 0, dx), xp=jnp)
    product = jnp.sum(gradient * dx, axis=axis, keepdims=True)
    factor = agnostic.factor_of(rows, order, static.measure, None, jnp)
    return product if factor is None else product * factor


@functools.partial(jax.checkpoint, static_argnums=(0,))
def _along_alpha(
    static: _Static, x: Array, traced: Order | None, where: Array | None, peak: Array, rows: Rows, dalpha: Array
) -> Array:
    order, axis = static.of(traced), static.axis
    entries = center(x, order, source=static.source, where=where, axis=axis, xp=jnp, peak=peak)
    slope = agnostic.alpha_gradient(entries, rows, order, axis=axis, xp=jnp)
    dalpha = jnp.where(jnp.isnan(rows.h), 0, dalpha)
    return agnostic.alpha_slope_of(slope, rows, order, static.measure, jnp) * dalpha


def entropy(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> Array:
    """Overlay renyi_core._kernels.entropy.entropy."""
    static = _Static(order if order.static else None, source, measure, axis)
    return _apply(static, x, None if order.static else order, where)


def entropy_and_gradient(
    x: Array,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.entropy.entropy_and_gradient; JAX differentiates through it."""
    static = _Static(order if order.static else None, source, measure, axis)
    if not _is_plain(static) or order.alpha == math.inf:
        return agnostic.entropy_and_gradient(
            x, order, source=source, measure=measure, where=where, axis=axis, xp=xp, scale=scale
        )
    peak, rows = logits.state(x, order, where=where)
    gradient = logits.gradient(x, peak, rows, order, where=where)
    factor = agnostic.factor_of(rows, order, measure, scale, xp)
    gradient = scaled(gradient, factor, xp)
    gradient = gradient if where is None else jnp.where(where, gradient, 0)
    return measure.value(rows, order, xp=xp), gradient.astype(x.dtype)
