"""The entropy of a distribution and its derivatives, from logits or probabilities, in one form for every order.

With c = H_∞ − H_α, v = d − c is log p + H_α without its cancellation; q is the escort distribution p**α/Σp**α::

    ∂H/∂z = −α p v φ(t v)   = (α/t)(p − q)                            φ(u) = expm1(u)/u
    ∂H/∂p = −α v φ(t v)/Σp  = (α/t)(1 − q/p)/Σp
    ∂H/∂α = −Σ p v² ψ(t v)  = −Σ (q (t v − 1) + p)/t²                 ψ(u) = (u exp(u) − expm1(u))/u²

The first form is taken where ``|t v| <= 1``, the second elsewhere: neither subtracts nearly equal numbers there.
"""

from __future__ import annotations

import math
from typing import Any

from .dtypes import cast
from .family import ENTRIES, Family
from .guards import along, or_nan, scaled
from .library import ask
from .measures import Measure
from .sources import accumulate, center, distributions, power_ratio
from .special import expm1_ratio, power_curvature
from .state import Entries, Order, Rows, Source, finish, nonzero, partial_state

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "ENTROPIES",
    "HESSIAN",
    "alpha_gradient",
    "alpha_slope_of",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_hvp",
    "entropy_state",
    "factor_of",
    "gradient_entries",
    "top_sums",
]


def entropy_state(
    x: Array, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any, full: bool = False
) -> tuple[Entries, Rows, Any]:
    """Return the centered entries, what their state says of them, and which rows are distributions."""
    (x,), sound = ask(distributions, xp)(x, source=source, where=where, axis=axis, xp=xp)
    entries = center(x, order, source=source, where=None, axis=axis, xp=xp)
    return entries, finish(partial_state(entries, order, axis=axis, xp=xp, full=full), order, xp=xp), sound


def entropy(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return the measure of each distribution; the reduced axes keep length 1."""
    _, rows, sound = entropy_state(x, order, source=source, where=where, axis=axis, xp=xp)
    return or_nan(measure.value(rows, order, xp=xp), sound, xp)


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
    """Return the measure and its gradient with respect to each distribution's own entries, times ``scale``."""
    entries, rows, sound = entropy_state(x, order, source=source, where=where, axis=axis, xp=xp, full=True)
    gradient = gradient_entries(entries, rows, order, source=source, where=None, axis=axis, xp=xp)
    gradient = or_nan(scaled(gradient, factor_of(rows, order, measure, None, xp), xp), sound, xp)
    gradient = gradient if where is None else xp.where(where, gradient, 0.0)
    return or_nan(measure.value(rows, order, xp=xp), sound, xp), cast(scaled(gradient, scale, xp), x.dtype, xp)


def factor_of(rows: Rows, order: Order, measure: Measure, scale: Any, xp: Any) -> Any:
    """Return the rows' factor of a gradient, ∂F/∂H times ``scale``; None for 1."""
    if measure.slope is None:
        return scale
    slope = measure.slope(rows, order, xp=xp)
    return scaled(slope, scale, xp)


def top_sums(entries: Entries, *, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the sum of e over the largest entries, which is their number, and the sum over the others."""
    top = entries.d == 0
    ties = xp.sum(xp.where(top, entries.e, 0.0), axis=axis, keepdims=True)
    return ties, xp.sum(xp.where(top, 0.0, entries.e), axis=axis, keepdims=True)


def _spread(row: Array, entries: Array) -> Array:
    """Return a number a row as what a choice between entries takes: of rows of several lengths, one for each entry."""
    return row + 0 * entries if getattr(entries, "is_nested", False) else row


def gradient_entries(
    entries: Entries,
    rows: Rows,
    order: Order,
    *,
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    tops: tuple[Array, Array] | None = None,
) -> Array:
    """Return ∂H/∂z or ∂H/∂p; ``tops`` are the :func:`top_sums` of whole rows, if the entries are pieces of them."""
    d, e, w, dead = entries.d, entries.e, entries.w, entries.dead
    probs = source == "probs"
    p = e / rows.total
    limit = None
    if not order.static or order.alpha == math.inf:
        # α = ∞: p − (1/k on each of the k largest), the limit of every finite order, ties included
        ties, below = top_sums(entries, axis=axis, xp=xp) if tops is None else tops
        limit = xp.where(d == 0, _spread(-below / xp.where(ties == 0, 1.0, ties), p), 1.0)
        if order.static:
            return _through(limit, None, p, entries, rows, order, probs, where, xp)
    if order.static and order.alpha == 0:
        return _through(0 * d, None, p, entries, rows, order, probs, where, xp)
    if order.static and order.t == 0:
        return _through(rows.c - d, None, p, entries, rows, order, probs, where, xp)
    v = d - rows.c
    u = order.t * v
    far = xp.abs(u) > 1
    ratio = order.alpha / nonzero(order, xp=xp)
    inner = -order.alpha * v * expm1_ratio(xp.where(far, 0.0, u), eps=float(xp.finfo(d.dtype).eps), xp=xp)
    if probs:
        escort = power_ratio(d, e, w, dead, order, xp=xp) * (rows.total / rows.total_alpha)
        factor = xp.where(far, ratio * (1 - escort), inner)
        outer = None
    else:
        factor = xp.where(far, 0.0, inner)
        outer = xp.where(far, ratio * (p - w / rows.total_alpha), 0.0)
    if limit is not None:
        factor = xp.where(order.infinite, limit, factor)
        outer = None if outer is None else xp.where(order.infinite, 0.0, outer)
    return _through(factor, outer, p, entries, rows, order, probs, where, xp)


def _through(
    factor: Array,
    outer: Array | None,
    p: Array,
    entries: Entries,
    rows: Rows,
    order: Order,
    probs: bool,
    where: Array | None,
    xp: Any,
) -> Array:
    """Return the gradient, p·factor + outer for logits and factor/Σp for probabilities."""
    if not probs:
        gradient = p * factor
        gradient = gradient if outer is None else gradient + outer
        return gradient if where is None else xp.where(where, gradient, 0.0)
    if entries.edge is None:
        factor = xp.where(entries.dead, _spread(0 * rows.total, p), factor)
    else:
        at_zero = 1.0 if order.static and order.alpha == math.inf else order.alpha / nonzero(order, xp=xp)
        if not order.static:
            at_zero = xp.where(order.infinite, 1.0, at_zero)
        zero = _spread(0 * rows.total, p)
        factor = xp.where(entries.edge, at_zero + zero, xp.where(entries.dead, zero, factor))
    gradient = factor / (entries.peak * rows.total)
    return gradient if where is None else xp.where(where, gradient, 0.0)


def entropy_and_alpha_gradient(
    x: Array, order: Order, *, source: Source, measure: Measure, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the measure of each distribution and its derivative with respect to α."""
    entries, rows, sound = entropy_state(x, order, source=source, where=where, axis=axis, xp=xp, full=True)
    slope = alpha_gradient(entries, rows, order, axis=axis, xp=xp)
    both = measure.value(rows, order, xp=xp), alpha_slope_of(slope, rows, order, measure, xp)
    return or_nan(both[0], sound, xp), or_nan(both[1], sound, xp)


def alpha_slope_of(slope: Array, rows: Rows, order: Order, measure: Measure, xp: Any) -> Array:
    """Return dF/dα, given ∂H/∂α."""
    slope = scaled(slope, factor_of(rows, order, measure, None, xp), xp)
    return slope if measure.alpha_slope is None else slope + measure.alpha_slope(rows, order, xp=xp)


def alpha_gradient(entries: Entries, rows: Rows, order: Order, *, axis: Axis, xp: Any) -> Array:
    """Return ∂H/∂α ≤ 0."""
    if order.static and order.alpha == math.inf:
        return 0 * rows.h
    p = entries.e / rows.total
    v = entries.d - rows.c
    if order.static and order.t == 0:
        return -xp.sum(p * v * v, axis=axis, keepdims=True) / 2
    u = order.t * v
    far = xp.abs(u) > 1
    terms = (p * v) * v * power_curvature(xp.where(far, 0.0, u), eps=float(xp.finfo(v.dtype).eps), xp=xp)
    q = entries.w / rows.total_alpha
    t = nonzero(order, xp=xp)
    terms = xp.where(far, (xp.where(q == 0, 0.0, q * (u - 1)) + p) / t / t, terms)
    result = -xp.sum(terms, axis=axis, keepdims=True)
    return result if order.static else xp.where(order.infinite, 0 * rows.h, result)


def entropy_hvp(
    x: Array,
    vector: Array,
    order: Order,
    *,
    measure: Measure,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> Array:
    """Return the Hessian with respect to the logits of each distribution times ``vector``, times ``scale``.

    With ū the mean of the vector under p, and G = ⟨∂H/∂z, vector⟩, differentiating ∂H/∂z = −α p v φ(t v) gives
    −α p [(u − ū) v φ(t v) + exp(t v)((u − ū) + G)], and its second form (α/t)[p (u − ū_p) − α q (u − ū_q)].
    """
    entries, rows, sound = entropy_state(x, order, source="logits", where=where, axis=axis, xp=xp, full=True)
    gradient = gradient_entries(entries, rows, order, source="logits", where=where, axis=axis, xp=xp)
    p = entries.e / rows.total
    given = accumulate(vector, xp=xp)
    vector = xp.where(entries.dead, 0.0, given)

    def deviation(weights: Array) -> Array:
        return vector - xp.sum(weights * vector, axis=axis, keepdims=True)

    about_p = deviation(p)
    slope = xp.sum(gradient * about_p, axis=axis, keepdims=True)
    product = p * about_p
    if not order.static or order.alpha != math.inf:
        limit = product
        v = entries.d - rows.c
        u = order.t * v
        far = xp.abs(u) > 1
        inner = v * expm1_ratio(xp.where(far, 0.0, u), eps=float(xp.finfo(v.dtype).eps), xp=xp)
        near = -order.alpha * p * (about_p * inner + (1 + order.t * inner) * (about_p + slope))
        if order.static and order.t == 0:
            product = near
        else:
            q = entries.w / rows.total_alpha
            ratio = order.alpha / nonzero(order, xp=xp)
            product = xp.where(far, ratio * (limit - order.alpha * q * deviation(q)), near)
        if not order.static:
            product = xp.where(order.infinite, limit, product)
    product = scaled(product, factor_of(rows, order, measure, None, xp), xp)
    if measure.curvature is not None:
        product = product + measure.curvature(rows, order, xp=xp) * slope * gradient
    product = or_nan(product, sound, xp)
    product = product if where is None else xp.where(where, product, 0.0)
    return cast(scaled(along(given, product, axis, xp), scale, xp), x.dtype, xp)


ENTROPIES = Family(entropy, entropy_and_gradient, entropy_and_alpha_gradient)
HESSIAN = Family(entropy_hvp, None, None, layouts=(ENTRIES, ENTRIES), result=ENTRIES)
