"""Rows of logits in the form that XLA runs fast: few plain sums of exponentials, each from the logits themselves.

On the CPU XLA fuses such a sum with its exponential into one vectorised loop over the input, which a comparison or a
choice between two values breaks, and so does a difference that two sums share. The largest entry of each row has to
stay out of the sums all the same, lest nearly deterministic rows lose their digits. So a long row is cut into blocks,
each of which is summed as it is, and only the block with the largest entry is summed again without that entry. With
τ = |α − 1|, b = exp(d) and B = Σ exp(d) for α > 1, and b = exp(α d) and B = Σ exp(α d) for α < 1::

    s = Σ b expm1(τ d)/τ               ∂H/∂z = −(α/τ) (b/B) expm1(τ (d − c))
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.special import log1p_ratio
from renyi_core._kernels.state import TWO_SUMS, Order, Rows

Array = Any
Weight = Callable[[Array], Array]

__all__ = ["gradient", "state", "takes"]

LONG = 2048
"""Rows of this length are cut into blocks."""
BLOCKS = 64
"""Their number is a power of two, this at most: a mesh that divides the row divides its blocks."""
SHORTEST = 256
"""The least length of a block."""
LEAST = -1e4
"""In place of −inf in products with a weight of 0."""


def takes(order: Order | None, axis: tuple[int, ...]) -> bool:
    """Return whether rows of logits with this order, None for an array, may be had in this form."""
    return order is not None and axis == (-1,) and order.alpha != 0


def _positions(x: Array) -> Array:
    """Return the positions along the last axis; the other axes have length 1."""
    return jnp.arange(x.shape[-1]).reshape((1,) * (x.ndim - 1) + (-1,))


class _Short:
    """Rows whose largest entries are told by comparison."""

    def __init__(self, x: Array) -> None:
        self._x = x
        self.peak = jnp.max(jax.lax.stop_gradient(x), axis=-1, keepdims=True)
        # the dtypes are changed openly: JAX may be told to refuse the rest
        self._ties = jnp.sum(x == self.peak, axis=-1, keepdims=True).astype(x.dtype)

    def total(self, weight: Weight, before: Array | None = None) -> Array:  # noqa: ARG002
        """Return the sum of the weights, each a function of d."""
        return jnp.sum(weight(self._x - self.peak), axis=-1, keepdims=True)

    def total_but_top(self, weight: Weight, before: Array | None = None) -> Array:
        """Return the sum without the weight of one largest entry, which is 1."""
        # the derivative of a largest entry stays
        return self.total(lambda d: weight(d) - (d == 0).astype(d.dtype), before) + (self._ties - 1)


class _Long:
    """Rows in blocks, the last of which may be shorter: ``before`` is a sum over the same entries."""

    def __init__(self, x: Array) -> None:
        n = x.shape[-1]
        count = math.gcd(n, BLOCKS)
        while n // count < SHORTEST:
            count //= 2
        count = max(count, BLOCKS // 4)
        whole = n // count * count
        lead = x.shape[:-1]
        self._blocks = x[..., :whole].reshape(*lead, count, whole // count)
        self._rest = x[..., whole:]
        highest = jax.lax.stop_gradient(jnp.max(self._blocks, axis=-1))
        self._first = jnp.argmax(highest, axis=-1, keepdims=True)
        block = jnp.take_along_axis(self._blocks, self._first[..., None], axis=-2, mode="clip")[..., 0, :]
        # next to the rest, which is less than a block
        self._top = jnp.concatenate([block, self._rest], axis=-1)
        where = jnp.argmax(jax.lax.stop_gradient(self._top), axis=-1, keepdims=True)
        self._is_top = _positions(self._top) == where
        self.peak = jnp.take_along_axis(jax.lax.stop_gradient(self._top), where, axis=-1, mode="clip")

    def _sums(self, weight: Weight, before: Array | None) -> tuple[Array, Array]:
        """Return the sums of the blocks and the peak, a number of its own: a difference with it is never stored."""
        peak = self.peak
        if before is not None:
            barrier: Any = jax.lax.optimization_barrier
            peak, _ = barrier((peak, before))
        return jnp.sum(weight(self._blocks - peak[..., None]), axis=-1), peak

    def total(self, weight: Weight, before: Array | None = None) -> Array:
        """Return the sum of the weights, each a function of d."""
        sums, peak = self._sums(weight, before)
        total = jnp.sum(sums, axis=-1, keepdims=True)
        return total + jnp.sum(weight(self._rest - peak), axis=-1, keepdims=True) if self._rest.shape[-1] else total

    def total_but_top(self, weight: Weight, before: Array | None = None) -> Array:
        """Return the sum without the weight of one largest entry, which is 1."""
        sums, peak = self._sums(weight, before)
        again = weight(self._top - peak)
        # the derivative of the largest entry stays
        without = jnp.sum(jnp.where(self._is_top, again - 1, again), axis=-1, keepdims=True)
        is_first = _positions(sums) == self._first
        return jnp.sum(jnp.where(is_first, 0, sums), axis=-1, keepdims=True) + without


def _unflatten(kind: type[Any], names: tuple[str, ...], arrays: tuple[Array, ...]) -> Any:
    rows = object.__new__(kind)
    vars(rows).update(zip(names, arrays, strict=True))
    return rows


# arguments of what is compiled
for _kind in (_Short, _Long):
    jax.tree_util.register_pytree_node(
        _kind, lambda rows: (tuple(vars(rows).values()), tuple(vars(rows))), functools.partial(_unflatten, _kind)
    )


def _mean(rows: _Short | _Long, order: Order, large: Array) -> Array:
    """Return s/B, next to the sum ``large`` = B."""
    t, tau = order.t, abs(order.t)

    def terms(d: Array) -> Array:
        if tau == 0:
            return jnp.maximum(d, LEAST) * jnp.exp(d)
        # divided by τ before the product, which could fall below the dtype
        return jnp.exp(d if t > 0 else order.alpha * d) * (jnp.expm1(tau * d) * (1 / tau))

    return rows.total(terms, before=large) / large


# or the branches would be compiled at each call outside of ``jit``
@functools.partial(jax.jit, static_argnames="order", inline=True)
def _near_one(rows: _Short | _Long, large: Array, close: Array, c: Array, *, order: Order) -> Array:
    """Return c from s in the rows that are ``close``; s costs a sum, which is left out where there are none."""

    def from_s(c: Array) -> Array:
        mean = _mean(rows, order, large)
        x = jnp.where(close, abs(order.t) * mean, 0.0)
        return jnp.where(close, mean * log1p_ratio(x, eps=float(jnp.finfo(x.dtype).eps), xp=jnp), c)

    return jax.lax.cond(jnp.any(close), from_s, lambda c: c, c)


def _plain(order: Order, dtype: Any) -> Order:
    """Return α = 1 for orders that round to it: φ(t d) is then 1 wherever exp(d) is not 0."""
    if abs(order.t) * -LEAST < float(jnp.finfo(dtype).eps) / 8:
        return Order(1.0, 0.0)
    return order


def state(x: Array, order: Order, *, where: Array | None, full: bool) -> tuple[Array, Rows]:
    """Return the peaks and what the state says of the rows; ``full`` where a gradient is to follow."""
    x = _masked(x, where)
    order = _plain(order, x.dtype)
    rows = _Long(x) if _is_long(x.shape[-1]) and not _is_spread(x) else _Short(x)
    alpha, t = order.alpha, order.t
    r0 = rows.total_but_top(jnp.exp)
    # −inf in all of a row has gone through −inf − −inf, a NaN
    total, h_inf = 1 + r0, jnp.log1p(r0)
    if alpha == math.inf:
        return rows.peak, Rows(total, h_inf, 0 * h_inf, h_inf, None)
    if t == 0:
        c = _mean(rows, order, total)
        return rows.peak, Rows(total, h_inf, c, h_inf - c, None)
    ra = rows.total_but_top(lambda d: jnp.exp(alpha * d), before=r0)
    total_alpha = 1 + ra
    c = (jnp.log1p(ra) - h_inf) / t
    if full or abs(t) < TWO_SUMS:
        small, large = (total_alpha, total) if t > 0 else (total, total_alpha)
        # where the two sums are close, c is a small difference of their logarithms
        close = small > large / 2

        c = _near_one(rows, large, close, c, order=order)
    return rows.peak, Rows(total, h_inf, c, h_inf - c, total_alpha)


def gradient(x: Array, peak: Array, rows: Rows, order: Order, *, where: Array | None) -> Array:
    """Return ∂H/∂logits, for α < ∞, next to the state of the same rows."""
    x = _masked(x, where)
    order = _plain(order, x.dtype)
    d = x - peak
    alpha, t = order.alpha, order.t
    if t == 0:
        return -jnp.exp(d) * (jnp.maximum(d, LEAST) - rows.c) / rows.total
    tau = abs(t)
    scale = (-alpha / tau) / (rows.total if t > 0 else rows.total_alpha)
    return scale * jnp.exp(d if t > 0 else alpha * d) * jnp.expm1(tau * (d - rows.c))


def _is_long(n: Any) -> bool:
    """Return whether rows of n entries are cut into blocks; not where n is a symbol, of a graph to be exported."""
    return isinstance(n, int) and n >= LONG


def _is_spread(x: Array) -> bool:
    """Return whether the type of x says that rows are spread over devices: a block can't be taken out of them then."""
    spec: Any = getattr(getattr(getattr(x, "aval", None), "sharding", None), "spec", ())
    return len(spec) == x.ndim and spec[-1] is not None


def _masked(x: Array, where: Array | None) -> Array:
    x = accumulate(x, xp=jnp)
    return x if where is None else jnp.where(where, x, -math.inf)
