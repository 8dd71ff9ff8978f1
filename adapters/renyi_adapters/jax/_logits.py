"""Rows of logits of one order, in one form for all: two exponentials an entry, summed in one loop.

With d = z − max z, β = min(1, α), γ = |α − 1|, b = exp(β d) and m = expm1(γ d) ≤ 0, the smaller weight of each entry is
b (1 + m) and the larger one b, of exp(d) and exp(α d). Sums without one largest entry have terms of one sign, and so
has s = Σ b m/γ (α = 1: Σ b d). With B = Σ b over all entries and c = H_∞ − H_α::

    ∂H/∂z = −α (b/B) (m/γ exp(−γ c) + expm1(−γ c)/γ)           (α = 1: −(b/B) (d − c))
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.state import Order, Rows, State, finish

from ._sums import row_sums

Array = Any

__all__ = ["gradient", "state", "takes"]

LEAST = 1e-30
"""Orders below this, products of which with the least number may not be seen, are left to the array-API code."""


def takes(order: Order | None, axis: tuple[int, ...]) -> bool:
    """Return whether rows of logits with this order, None for an array, may be had in this form."""
    return order is not None and axis == (-1,) and order.alpha > LEAST


def _exps(u: Array) -> tuple[Array, Array]:
    """Return exp(u) and expm1(u) for u <= 0, from one reduction of the range: u = n log 2 + r."""
    info = jnp.finfo(u.dtype)
    # exp is 0 from here on
    least = math.log(float(info.smallest_normal)) - math.log(2)
    u = jnp.where(u < least, least, u)
    n = jnp.floor(u * (1 / math.log(2)) + 0.5)
    # the first product has no rounding; log 2 has more digits than a float
    high = math.floor(math.log(2) * 2**11) / 2**11
    r = (u - n * high) - n * (math.log(2) - high + 2.3190468138462996e-17)
    q = jnp.zeros_like(r)
    for k in range(13 if info.bits == 64 else 7, 0, -1):
        q = (q + 1 / math.factorial(k)) * r
    power = jax.lax.bitcast_convert_type((n.astype(f"int{info.bits}") + (info.maxexp - 1)) << info.nmant, u.dtype)
    return power + power * q, power * q + (power - 1)


def _weights(d: Array, order: Order) -> tuple[Array, Array, Array]:
    """Return b, b (1 + m) and m/γ; at α = 1 d itself, but 0 where b is."""
    low, gamma = min(1.0, order.alpha), abs(order.t)
    if gamma in {0, math.inf}:
        b = jnp.exp(d)
        return b, b, jnp.where(b > 0, d, 0.0)
    e, m = _exps(gamma * d)
    b = e if low == gamma else jnp.exp(low * d)
    return b, b * e, m * (1 / gamma)


def _terms(x: Array, peak: Array, *, order: Order) -> tuple[Array, ...]:
    large, small, m = _weights(x - peak, order)
    top = jnp.where(large == 1, jnp.ones_like(x), 0.0)
    # a difference, so that the derivative of a largest entry stays
    return top, large - top, small - top, large * m


def _plain(order: Order, dtype: Any) -> Order:
    """Return α = 1 for orders that round to it: φ(t d) is then 1 wherever exp(d) is not 0."""
    return Order(1.0, 0.0) if abs(order.t) * 1e4 < float(jnp.finfo(dtype).eps) / 8 else order


def state(x: Array, order: Order, *, where: Array | None) -> tuple[Array, Rows]:
    """Return the peaks and what the state says of the rows."""
    x = _masked(x, where)
    order = _plain(order, x.dtype)
    peak = jnp.max(jax.lax.stop_gradient(x), axis=-1, keepdims=True)
    # a choice, before which XLA stops to lay the differences down
    peak = jnp.where(jnp.isfinite(peak), peak, math.nan)
    ties, large, small, s = row_sums(
        functools.partial(_terms, order=order), x, peak, short=20 if order.t in {0, math.inf} else 5
    )
    large, small = large + (ties - 1), small + (ties - 1)
    r0, ra = (large, small) if order.t >= 0 else (small, large)
    return peak, finish(State(peak, r0, s, ra), order, xp=jnp)


def gradient(x: Array, peak: Array, rows: Rows, order: Order, *, where: Array | None) -> Array:
    """Return ∂H/∂logits, for α < ∞, next to the state of the same rows."""
    x = _masked(x, where)
    order = _plain(order, x.dtype)
    b, _, m = _weights(x - peak, order)
    gamma = abs(order.t)
    scale = -order.alpha / (rows.total if order.t >= 0 else rows.total_alpha)
    if gamma == 0:
        return b * (-scale * (rows.c - m))
    shift = -gamma * rows.c
    return b * (m * (scale * jnp.exp(shift)) + scale * (jnp.expm1(shift) * (1 / gamma)))


def _masked(x: Array, where: Array | None) -> Array:
    x = accumulate(x, xp=jnp)
    return x if where is None else jnp.where(where, x, -math.inf)
