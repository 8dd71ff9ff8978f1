"""The entropy from log-densities of samples, and what counts of draws say of the error of an estimate.

With r = ℓ − mean ℓ and t = α − 1, the logarithm of the mean of exp(t ℓ) is t mean ℓ + log1p(mean expm1(t r)), so that
nothing is divided by t that is not of its order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .doors import accumulate
from .special import expm1_ratio, log1p_ratio
from .state import Order, nonzero

Array = Any
Axis = tuple[int, ...]

__all__ = ["LogMean", "entropy_from_log_prob", "falling_power_sum", "log_mean", "power_sum_ratio"]


class LogMean(NamedTuple):
    """What is kept of the values ℓ: how many count, their mean, ℓ − mean and log mean exp(t (ℓ − mean))/t."""

    count: Any
    mean: Array
    r: Array
    excess: Array


def log_mean(values: Array, order: Order, *, axis: Axis, xp: Any, where: Array | None = None) -> LogMean:
    """Return the parts of the mean of exp(t ℓ); the reduced axes keep length 1.

    ``values`` must be finite; where ``where`` is False they do not count.
    """
    mean, count = _means(values, axis, where, xp)
    r = values - mean
    if where is not None:
        r = xp.where(where, r, 0.0)
    u = order.t * r
    top = xp.max(u, axis=axis, keepdims=True)
    gentle = xp.max(xp.abs(u), axis=axis, keepdims=True) <= 1
    eps = float(xp.finfo(values.dtype).eps)
    gain, _ = _means(r * expm1_ratio(xp.where(gentle, u, 0.0), eps=eps, xp=xp), axis, where, xp)
    near = gain * log1p_ratio(xp.where(gentle, order.t * gain, 0.0), eps=eps, xp=xp)
    total, _ = _means(xp.exp(u - top), axis, where, xp)
    far = (xp.log(xp.where(total == 0, 1.0, total)) + top) / nonzero(order, xp=xp)
    return LogMean(count, mean, r, xp.where(gentle, near, far))


def _means(values: Array, axis: Axis, where: Array | None, xp: Any) -> tuple[Array, Any]:
    """Return the mean of the values that count, and how many they are (None: all)."""
    if where is None:
        return xp.mean(values, axis=axis, keepdims=True), None
    count = xp.sum(xp.astype(where, values.dtype), axis=axis, keepdims=True)
    total = xp.sum(xp.where(where, values, 0.0), axis=axis, keepdims=True)
    return total / xp.where(count > 0, count, 1.0), count


def entropy_from_log_prob(log_prob: Array, order: Order, *, axis: Axis, xp: Any) -> Array:
    """Return log mean exp(t ℓ)/(−t); the reduced axes keep length 1."""
    values = accumulate(log_prob, xp=xp)
    least = -xp.max(values, axis=axis, keepdims=True)
    if order.static and order.alpha == math.inf:
        return least
    parts = log_mean(values, order, axis=axis, xp=xp)
    value = -parts.mean - parts.excess
    return value if order.static else xp.where(order.infinite, least, value)


def power_sum_ratio(counts: Array, alpha: float, *, axis: int, xp: Any) -> Array:
    """Return Σ p**(α−1)/Σ p**α over the outcomes seen; the reduced axis keeps length 1."""
    largest = xp.max(counts, axis=axis, keepdims=True)
    seen = counts > 0
    e = xp.where(seen, counts, 1.0) / xp.where(largest > 0, largest, 1.0)
    below = xp.sum(xp.where(seen, e ** (alpha - 1), 0.0), axis=axis, keepdims=True)
    total = xp.sum(xp.where(seen, e**alpha, 0.0), axis=axis, keepdims=True)
    return below / total * (xp.sum(counts, axis=axis, keepdims=True) / largest)


def falling_power_sum(counts: Array, order: int, *, axis: int, xp: Any) -> Array:
    """Return Σ c(c−1)…(c−k+1)/(N(N−1)…(N−k+1)), NaN where N < k; the reduced axis keeps length 1."""
    draws = xp.sum(counts, axis=axis, keepdims=True)
    enough = draws >= order
    draws = xp.where(enough, draws, 1.0 * order)
    product = counts / draws
    for k in range(1, order):
        product = product * xp.where(counts > k, counts - k, 0.0) / (draws - k)
    return xp.where(enough, xp.sum(product, axis=axis, keepdims=True), math.nan)
