"""The entropy from log-densities of samples, and what counts of draws say of the error of an estimate.

With r = ℓ − mean ℓ and t = α − 1, the logarithm of the mean of exp(t ℓ) is t mean ℓ + log1p(mean expm1(t r)), so that
nothing is divided by t that is not of its order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .family import Family, finished
from .guards import or_nan
from .library import ask
from .sources import accumulate, distributions
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, nonzero

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "FROM_LOG_PROB",
    "LogMean",
    "curvature",
    "entropy_from_log_prob",
    "entropy_from_log_prob_and_alpha_gradient",
    "entropy_from_log_prob_and_gradient",
    "falling_power_sum",
    "log_mean",
    "power_sum_ratio",
]


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
    count = xp.sum(xp.where(where, xp.ones_like(values), 0.0), axis=axis, keepdims=True)
    total = xp.sum(xp.where(where, values, 0.0), axis=axis, keepdims=True)
    return total / xp.where(count > 0, count, 1.0), count


def curvature(v: Array, order: Order, *, xp: Any) -> Array:
    """Return (t v exp(t v) − expm1(t v))/t², which is not negative, for t v not far above 0."""
    u, t = order.t * v, nonzero(order, xp=xp)
    near = xp.abs(u) <= 1
    inner = v * v * power_curvature(xp.where(near, u, 0.0), eps=float(xp.finfo(v.dtype).eps), xp=xp)
    far = xp.where(near, 1.0, u)
    return xp.where(near, inner, (far * xp.exp(far) - xp.expm1(far)) / t / t)


def entropy_from_log_prob(log_prob: Array, order: Order, *, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Return log mean exp(t ℓ)/(−t); the reduced axes keep length 1."""
    (values,), sound = ask(distributions, xp)(log_prob, source="logits", where=where, axis=axis, xp=xp)
    least = -xp.max(values, axis=axis, keepdims=True)
    least = xp.where(xp.abs(least) < math.inf, least, math.nan)
    if order.static and order.alpha == math.inf:
        return or_nan(least, sound, xp)
    parts = log_mean(values, order, axis=axis, xp=xp, where=where)
    value = -parts.mean - parts.excess
    if where is not None:
        value = xp.where(xp.isnan(least), math.nan, value)
    return or_nan(value if order.static else xp.where(order.infinite, least, value), sound, xp)


def entropy_from_log_prob_and_gradient(
    log_prob: Array, order: Order, *, where: Array | None, axis: Axis, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its gradient, −exp(t ℓ)/Σ exp(t ℓ), times ``scale``; ties share that of α = ∞."""
    value = entropy_from_log_prob(log_prob, order, where=where, axis=axis, xp=xp)
    values = accumulate(log_prob, xp=xp)
    if where is not None:
        values = xp.where(where, values, -math.inf)
    peak = xp.max(values, axis=axis, keepdims=True)
    if where is not None:
        peak = xp.where(peak == -math.inf, 0.0, peak)
        values = xp.where(where, values, peak)
    if order.static and order.alpha == math.inf:
        weights = xp.where(values == peak, 1.0 + 0 * values, 0.0)
    else:
        u = order.t * (values - peak)
        weights = xp.exp(u - xp.max(u, axis=axis, keepdims=True))
        if not order.static:
            weights = xp.where(order.infinite, xp.where(values == peak, 1.0 + 0 * u, 0.0), weights)
    if where is not None:
        weights = xp.where(where, weights, 0.0)
    total = xp.sum(weights, axis=axis, keepdims=True)
    gradient = -weights / (total if where is None else xp.where(total == 0, 1.0, total))
    return value, *finished((gradient,), (log_prob,), scale, xp, where=where)


def entropy_from_log_prob_and_alpha_gradient(
    log_prob: Array, order: Order, *, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α, which is not positive.

    With v = ℓ + H, so that the mean of exp(t v) is 1, it is minus the mean of (t v exp(t v) − expm1(t v))/t².
    """
    value = entropy_from_log_prob(log_prob, order, where=where, axis=axis, xp=xp)
    if order.static and order.alpha == math.inf:
        return value, 0.0 * value
    values = accumulate(log_prob, xp=xp)
    if where is not None:
        values = xp.where(where, values, 0.0)
    parts = log_mean(values, order, axis=axis, xp=xp, where=where)
    # exp(t v) is at most the number of samples
    slope, _ = _means(-curvature(parts.r - parts.excess, order, xp=xp), axis, where, xp)
    slope = xp.where(xp.isnan(value), math.nan, slope)
    return value, slope if order.static else xp.where(order.infinite, 0.0 * value, slope)


FROM_LOG_PROB = Family(
    entropy_from_log_prob,
    entropy_from_log_prob_and_gradient,
    entropy_from_log_prob_and_alpha_gradient,
)


def power_sum_ratio(counts: Array, alpha: float, *, axis: int, xp: Any) -> Array:
    """Return Σ p**(α−1)/Σ p**α over the outcomes seen; the reduced axis keeps length 1."""
    largest = xp.max(counts, axis=axis, keepdims=True)
    largest = xp.where(largest > 0, largest, 1.0)
    seen = counts > 0
    e = xp.where(seen, counts, 1.0) / largest
    below = xp.sum(xp.where(seen, e ** (alpha - 1), 0.0), axis=axis, keepdims=True)
    total = xp.sum(xp.where(seen, e**alpha, 0.0), axis=axis, keepdims=True)
    draws = xp.sum(counts, axis=axis, keepdims=True)
    return below / xp.where(total > 0, total, 1.0) * (draws / largest)


def falling_power_sum(counts: Array, order: int, *, axis: int, xp: Any) -> Array:
    """Return Σ c(c−1)…(c−k+1)/(N(N−1)…(N−k+1)), NaN where N < k; the reduced axis keeps length 1."""
    draws = xp.sum(counts, axis=axis, keepdims=True)
    enough = draws >= order
    draws = xp.where(enough, draws, 1.0 * order)
    product = counts / draws
    for k in range(1, order):
        product = product * xp.where(counts > k, counts - k, 0.0) / (draws - k)
    return xp.where(enough, xp.sum(product, axis=axis, keepdims=True), math.nan)
