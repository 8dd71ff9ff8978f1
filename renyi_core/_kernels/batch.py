"""What the terms of a whole batch add: its mean distribution, and the information of the rows about the outcome.

For the mean m = Σ s p of rows p = softmax(z), with shares s that add up to 1, and g = ∂F/∂m::

    ∂F/∂z = s p (g − Σ p g)

where g is taken relative to its entry at the largest p, so that a row that is nearly certain loses nothing.

The information Σ s D(p‖m) has r = log(p/m) in the place of g. Of rows that are nearly alike r is small, and comes from
their differences u = z − c from the mean logits c, which are exact, and q = softmax(c)::

    v = u − log1p(Σ q expm1(u)) = log(p/q)        r = v − log1p(Σ s expm1(v))        D = Σ m (r exp(r) − expm1(r))
"""

from __future__ import annotations

import math
from typing import Any

from .family import ALL, ENTRIES, ROWS, Family, finished
from .guards import scaled
from .sources import accumulate, peak_of
from .special import power_curvature
from .state import Source, log_ratio
from .sums import log_sum

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "BATCH_INFORMATION",
    "SHARE_OF_MEAN",
    "assignments",
    "batch_information",
    "batch_information_and_gradient",
    "share_of_mean",
    "share_of_mean_and_product",
    "weighted",
]


def weighted(values: Array, weights: Any, *, xp: Any) -> Array:
    """Return weights times values, 0 where the weight is 0 whatever the value; None is a weight of 1."""
    if weights is None:
        return values
    if isinstance(weights, (int, float)):
        return values * weights
    none = weights == 0
    return xp.where(none, 0.0, weights * xp.where(none, 0.0, values))


def assignments(x: Array, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the probabilities of each row, and what its weights were divided by; NaN for an invalid row."""
    x = accumulate(x, xp=xp)
    if where is not None:
        x = xp.where(where, x, -math.inf if source == "logits" else 0.0)
    peak = peak_of(x, source=source, axis=axis, xp=xp)
    _, e, _ = log_ratio(x, peak, source=source, xp=xp)
    total = xp.sum(e, axis=axis, keepdims=True)
    sound = total > 0
    p = xp.where(sound, e, math.nan) / xp.where(sound, total, 1.0)
    return p, xp.where(sound, peak, 1.0) * xp.where(sound, total, 1.0)


def _through_mean(p: Array, slope: Array, shares: Any, size: Array, *, source: Source, axis: Axis, xp: Any) -> Array:
    """Return the gradient with respect to each row of a function of the mean, given its ``slope`` at the mean."""
    top = p == xp.max(p, axis=axis, keepdims=True)
    at_top = xp.max(xp.where(top, slope, -math.inf), axis=axis, keepdims=True)
    slope = slope - xp.where(at_top == -math.inf, math.nan, at_top)
    slope = slope - xp.sum(p * slope, axis=axis, keepdims=True)
    return weighted(p * slope if source == "logits" else slope / size, shares, xp=xp)


def _log_mean(values: Array, shares: Array, log_shares: Array, live: Array, axis: Axis, xp: Any) -> Array:
    """Return log Σ shares·exp(values) over the live entries, for shares that add up to 1; exact near 0."""
    all_live = xp.where(live | (shares == 0), 1.0 + 0.0 * values, 0.0)
    largest = xp.max(xp.where(live, xp.abs(values), 0.0), axis=axis, keepdims=True)
    near = (xp.min(all_live, axis=axis, keepdims=True) > 0) & (largest <= 1)
    excess = xp.sum(shares * xp.expm1(xp.where(near & live, values, 0.0)), axis=axis, keepdims=True)
    return xp.where(near, xp.log1p(xp.where(near, excess, 0.0)), log_sum(values + log_shares, live, axis, xp))


def _deviations(
    x: Array, p: Array, shares: Any, *, source: Source, where: Array | None, axis: Axis, axes: Axis, xp: Any
) -> tuple[Array, Array, Array]:
    """Return D(p‖m) of each row from the mean m of the rows, log(p/m), and where that is not 0 for lack of weight.

    The outcomes lie along ``axis``, the rows along ``axes``; ``p`` is their probabilities.
    """
    x = accumulate(x, xp=xp)
    live = ~((x <= 0) | (x == math.inf)) if source == "probs" else ~(xp.abs(x) == math.inf)
    if where is not None:
        live = live & where
    if not isinstance(shares, float):
        live = live & ~(shares == 0)
    x = xp.where(live, x, 1.0)
    logs = xp.where(live, xp.log(x) if source == "probs" else x, 0.0)
    weights = weighted(xp.where(live, 1.0 + 0.0 * logs, 0.0), shares, xp=xp)
    mass = xp.sum(weights, axis=axes, keepdims=True)
    used = ~(mass <= 0)
    center = xp.sum(weights * logs, axis=axes, keepdims=True) / xp.where(used, mass, 1.0)
    log_q = xp.where(used, center - log_sum(center, used, axis, xp), 0.0)
    q = xp.where(used, xp.exp(log_q), 0.0)
    u = xp.where(live, logs - center, 0.0)
    v = xp.where(live, u - _log_mean(u, q, log_q, live, axis, xp), 0.0)
    counted = 0.0 * v + shares
    log_shares = xp.log(xp.where(counted > 0, counted, 1.0))
    r = xp.where(live, v - _log_mean(v, counted, log_shares, live, axes, xp), 0.0)
    mean = xp.sum(weighted(p, shares, xp=xp), axis=axes, keepdims=True)
    small = xp.abs(r) <= 1
    near = xp.where(small, r, 0.0)
    near = near * near * power_curvature(near, eps=float(xp.finfo(r.dtype).eps), xp=xp)
    far = xp.where(small, 0.0, r)
    terms = xp.where(live, xp.where(small, near, far * xp.exp(far) - xp.expm1(far)), 1.0)
    return xp.sum(mean * terms, axis=axis, keepdims=True), r, live


def share_of_mean(x: Array, shares: Any, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Return the probabilities of each row times its share: what the row adds to the mean."""
    return weighted(assignments(x, source=source, where=where, axis=axis, xp=xp)[0], shares, xp=xp)


def share_of_mean_and_product(
    x: Array,
    shares: Any,
    *,
    wrt: tuple[int | str, ...],
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Array,
) -> tuple[Array, ...]:
    """Return what each row adds to the mean, and the products of a cotangent, ``scale``, along x (0) and shares (1)."""
    p, size = assignments(x, source=source, where=where, axis=axis, xp=xp)
    found: list[Array] = []
    for i in wrt:
        if i == 0:
            gradient = _through_mean(p, scale, shares, size, source=source, axis=axis, xp=xp)
            found += finished((gradient,), (x,), None, xp, where=where)
        else:
            found.append(xp.sum(p * scale, axis=axis, keepdims=True))
    return weighted(p, shares, xp=xp), *found


def batch_information(x: Array, shares: Any, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Return Σ s D(p‖m), a scalar."""
    return _information(x, shares, source, where, axis, xp)[0]


def batch_information_and_gradient(
    x: Array,
    shares: Any,
    *,
    wrt: tuple[int | str, ...],
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the information, and its derivatives along x (0) or the shares (1), times ``scale``."""
    value, rows, slope, live, p, size = _information(x, shares, source, where, axis, xp)
    found: list[Array] = []
    for i in wrt:
        if i == 0:
            # what the rows change of the mean has no effect to first order
            factor = shares if scale is None else shares * scale
            gradient = _through_mean(p, slope, factor, size, source=source, axis=axis, xp=xp)
            gradient = xp.where(live | xp.isnan(gradient), gradient, 0.0)
            found += finished((gradient,), (x,), None, xp, where=where)
        else:
            found.append(scaled(rows, scale, xp))
    return value, *found


def _information(x: Array, shares: Any, source: Source, where: Array | None, axis: Axis, xp: Any) -> tuple[Array, ...]:
    p, size = assignments(x, source=source, where=where, axis=axis, xp=xp)
    axes = tuple(i for i in range(p.ndim) if i - p.ndim not in axis)
    rows, slope, live = _deviations(x, p, shares, source=source, where=where, axis=axis, axes=axes, xp=xp)
    return xp.sum(weighted(rows, shares, xp=xp)), rows, slope, live, p, size


SHARE_OF_MEAN = Family(share_of_mean, share_of_mean_and_product, None, layouts=(ENTRIES, ROWS), result=ENTRIES)
BATCH_INFORMATION = Family(batch_information, batch_information_and_gradient, None, layouts=(ENTRIES, ROWS), result=ALL)
