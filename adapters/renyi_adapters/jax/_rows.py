"""Any family on JAX: a ``custom_jvp`` with the analytic derivatives, which reverse mode computes anew."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from renyi_core._kernels import family as agnostic
from renyi_core._kernels.family import ALL, ENTRIES, ROWS, Call, Family, Wrt
from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.state import Order

Array = Any

__all__ = ["rows"]


@dataclass(frozen=True)
class _Static:
    """What of a call is not an array; ``order`` is None where α is an array; ``numbers`` are such arrays."""

    family: Family
    order: Order | None
    numbers: tuple[float | None, ...]
    options: tuple[tuple[str, Any], ...]

    def call(self, arrays: tuple[Any, ...], traced: Any, where: Array | None) -> Call:
        """Return the call."""
        order = traced if self.order is None else self.order
        given = tuple(x if number is None else number for x, number in zip(arrays, self.numbers, strict=True))
        return Call(self.family, given, order, where, dict(self.options), jnp)


def _value(static: _Static, arrays: tuple[Any, ...], traced: Any, where: Array | None) -> Array:
    value: Array = agnostic.rows(static.call(arrays, traced, where))
    return value


_apply: Any = jax.custom_jvp(_value, nondiff_argnums=(0,))


@functools.partial(_apply.defjvp, symbolic_zeros=True)
def _jvp(static: _Static, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    value = _value(static, *primals)
    # in the precision of sums, of which some values are already rounded
    total = accumulate(jnp.zeros_like(value), xp=jnp)
    finite = jnp.isfinite(value)
    along: list[tuple[int | str, Any]] = list(enumerate(tangents[0]))
    if isinstance(primals[1], Order):
        # of t = α − 1, too, but the derivative in α counts both
        along.append(("alpha", tangents[1].alpha))
    for place, tangent in along:
        if tangent is not None and not isinstance(tangent, SymbolicZero):
            total += _along(static, place, *primals, finite, tangent)
    return value, jnp.where(finite, total, 0).astype(value.dtype)


@functools.partial(jax.checkpoint, static_argnums=(0, 1))
def _along(
    static: _Static,
    place: int | str,
    arrays: tuple[Any, ...],
    traced: Any,
    where: Array | None,
    finite: Array,
    tangent: Array,
) -> Array:
    """Return what a tangent of one argument adds to that of the value."""
    family, call = static.family, static.call(arrays, traced, where)
    gradient = accumulate(agnostic.rows(call, (place,))[1], xp=jnp)
    layout = ROWS if place == "alpha" else family.layouts[int(place)]
    own = 0 if layout in {ENTRIES, ROWS} else int(layout)
    kept = (family.kept or 0) if own else 0
    known = finite if kept == 0 else jnp.squeeze(finite, tuple(range(-kept, 0)))
    known = known[(..., *(None,) * own)]
    # elsewhere the gradient is NaN, and its product with 0
    product = gradient * accumulate(jnp.where(known, tangent, 0), xp=jnp)
    if family.result == ALL:
        return jnp.sum(product)
    if layout == ENTRIES:
        return jnp.sum(product, axis=call.axis, keepdims=True) if call.axis else product
    return jnp.sum(product, axis=tuple(range(-own, 0)))[(..., *(None,) * kept)] if own else product


def rows(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.family.rows; JAX differentiates through derivatives, and distributions."""
    if wrt or call.family.result == ENTRIES or call.family.plain:
        return agnostic.rows(call, wrt, scale)
    numbers = tuple(x if isinstance(x, float) else None for x in call.arrays)
    arrays = tuple(None if isinstance(x, float) else x for x in call.arrays)
    order = call.order
    traced = None if order is None or order.static else order
    static = _Static(call.family, None if traced else order, numbers, tuple(sorted(call.options.items())))
    return _apply(static, arrays, traced, call.where)
