"""The distribution of largest payoff plus entropy, and its derivatives, in one form for every order.

In the terms of :mod:`.choice_search`, with q ∝ p/w, and μ and σ² the mean and variance of y under q::

    X = Σ q w = 1 − t μ                 A = c/X                 d(v − M)/dv = (1 − t σ²/X²)/R
    J x = A q (x − E_q x + α t (y − μ) Cov_q(y, x)/(X² − t σ²))

is the derivative of p by s/T, a symmetric matrix that is that of the softmax at α = 1. With ω = (m − y)/R,
l = log1p(t ω)/t = log p + H and K = l² ψ(t l), ψ(u) = (u exp(u) − expm1(u))/u²::

    ∂p/∂α = J (κ (ω + w/R) − K − l w/R),  κ = Σ p l w/R               ∂H/∂α = −Σ p K
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .channel import by_order
from .choice_search import Curve, search_choice
from .dtypes import cast
from .family import ENTRIES, ROWS, Family, finished
from .guards import along, constant, scaled
from .library import ask
from .pairs import balanced
from .sources import accumulate, distributions
from .special import log1p_ratio, power_curvature
from .state import Order, nonzero
from .sums import total, totals

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "ARGMAX",
    "MAX",
    "regularized_argmax",
    "regularized_argmax_and_product",
    "regularized_argmax_and_tangent",
    "regularized_max",
    "regularized_max_and_gradient",
    "sort_gaps",
]


class Rows(NamedTuple):
    """The gaps of each row to its ``peak``, in units of the ``temperature``, and which rows make sense."""

    curve: Curve
    top: Array
    peak: Array
    temperature: Any
    sound: Array


class Choice(NamedTuple):
    """p and what the derivatives need; ``entropy`` is H(p), ``gap`` is h."""

    p: Array
    y: Array
    w: Array
    c: Array
    r: Array
    mean: Array
    m: Array
    entropy: Array
    gap: Array
    inside: Array


class Spread(NamedTuple):
    """1/w, Σ p/w, y − μ, X and X² − t σ²; q = p/w/Σ p/w itself may underflow where α is small."""

    inverse: Array
    size: Array
    y: Array
    x: Array
    curvature: Array


def _rows(scores: Array, order: Order, temperature: Any, where: Array | None, axis: Axis, xp: Any) -> Rows:
    (x,), sound = ask(distributions, xp)(scores, source="logits", where=where, axis=axis, xp=xp)
    info = xp.finfo(x.dtype)
    smallest, largest = float(info.smallest_normal), float(info.max)
    peak = xp.max(x, axis=axis, keepdims=True)
    sound = (peak > -math.inf) & (peak < math.inf) & sound
    if isinstance(temperature, float):
        temperature = min(max(temperature, 4 * smallest), largest)
        # where one broadcasts to an array, so does the other
        hot = temperature > 1
        unit, low = (temperature, 1.0) if hot else (1.0, temperature)
    else:
        valid = (temperature > 0) & (temperature < math.inf)
        sound = sound & valid
        temperature = xp.where(valid, xp.where(temperature < 4 * smallest, 4 * smallest, temperature), 1.0)
        hot = temperature > 1
        unit, low = xp.where(hot, temperature, 1.0), xp.where(hot, 1.0, temperature)
    if not order.static:
        sound = sound & (order.alpha >= 0)
    # an invalid row goes on as one of equal scores
    peak, x = xp.where(sound, peak, 0.0), xp.where(sound, x, 0.0)
    live = x > -math.inf
    count = total(xp.where(live, 1.0, xp.zeros_like(x)), axis, xp)
    order = _held(order, smallest * 2.0**40, xp)
    # beyond the cap c g would overflow, and a larger gap changes no digit
    cap = largest / 64 * _at_most_one(order.alpha, xp) / count
    half = peak / 2 - xp.where(live, x, peak) / 2
    near = half / unit < cap / 2 * low
    gaps = xp.where(near, xp.where(near, half, 0.0) / (temperature * 0.5), cap)
    span = xp.log(count) * _at_most_one(1 / order.alpha, xp)
    return Rows(Curve(gaps, live, order, span, axis, xp), live & (gaps == 0), peak, temperature, sound)


def _at_most_one(value: Any, xp: Any) -> Any:
    return min(value, 1.0) if isinstance(value, float) else xp.where(value < 1, value, 1.0)


def _held(order: Order, least: float, xp: Any) -> Order:
    """Return the order, not below what its reciprocal has room for."""
    if order.static:
        return order._replace(alpha=max(order.alpha, least))
    alpha = xp.where(order.alpha >= 0, order.alpha, 1.0)
    return order._replace(alpha=xp.where(alpha < least, least, alpha), t=xp.where(order.alpha >= 0, order.t, 0.0))


def _log_power(x: Array, order: Order, xp: Any) -> Array:
    """Return log1p(t x)/t."""
    u = order.t * x
    inner = u > -0.5
    near = x * log1p_ratio(xp.where(inner, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    return xp.where(inner, near, xp.log(1 + xp.where(inner, 0.0, u)) / nonzero(order, xp=xp))


def _choice(rows: Rows, v: Array) -> Choice:
    """Return the point of the curve at v."""
    curve = rows.curve
    xp, order, axis = curve.xp, curve.order, curve.axis
    c = xp.exp(-order.t * v) / order.alpha
    y = c * curve.g
    u = -order.t * y
    inside = curve.live & (u > -1)
    y, w = xp.where(inside, y, 0.0), 1 + xp.where(inside, u, 0.0)
    e = xp.where(inside, xp.exp(_log_power(-y, order, xp)), 0.0)
    sums = ask(totals, xp)
    rest, ties = sums((xp.where(rows.top, 0.0, e), xp.where(rows.top, e, 0.0)), axis=axis, xp=xp)
    # a sum, not a count, so that derivatives pass through it
    rest = rest + (ties - 1)
    p = e / (1 + rest)
    mean, r, gap = sums((p * y, p * w, p * curve.g), axis=axis, xp=xp)
    near = order.t * mean < 0.5
    m = -_log_power(-xp.where(near, mean, 0.0), order, xp)
    m = xp.where(near, m, -xp.log(xp.where(near, 1.0, r)) / nonzero(order, xp=xp))
    return Choice(p, y, w, c, r, mean, m, xp.log1p(rest) + m, gap, inside)


def _spread(choice: Choice, order: Order, axis: Axis, xp: Any) -> Spread:
    inverse = 1 / choice.w
    sums = choice.p * inverse, choice.p * (choice.y * inverse)
    size, mean = ask(totals, xp)(sums, axis=axis, xp=xp)
    y = choice.y - mean / size
    x = 1 / size
    return Spread(inverse, size, y, x, x * x - order.t * total(choice.p * (y * inverse) * y, axis, xp) / size)


def _solve(rows: Rows) -> Choice:
    """Return the maximum, after two steps of Newton's method: its first three derivatives are those of the two."""
    curve = rows.curve
    order, axis, xp = curve.order, curve.axis, curve.xp
    if order.static and order.t == 0:
        return _choice(rows, 0 * curve.span)
    fixed = ask(constant, xp)
    v = ask(search_choice, xp)(curve._replace(g=fixed(curve.g), span=fixed(curve.span), order=fixed(order)))
    eps = float(xp.finfo(v.dtype).eps)
    for _ in range(2):
        there = _choice(rows, v)
        spread = _spread(there, order, axis, xp)
        square = spread.x * spread.x
        regular = spread.curvature > math.sqrt(eps) * square
        step = (v - there.m) * there.r * square / xp.where(regular, spread.curvature, 1.0)
        v = v - xp.where(regular & (xp.abs(step) <= curve.span / 64), step, 0.0)
    return _choice(rows, v)


def _flat(rows: Rows) -> tuple[Array, Array, Array]:
    """Return p at α = ∞, equal on the largest scores, with its entropy and h.

    Of two entries of p below the largest, one could grow at the other's cost, and −log max p + Σ p s is convex in max p
    for a given support: all of them are equal.
    """
    g, live, _, _, axis, xp = rows.curve
    order = tuple(i for i in range(-g.ndim, 0) if i not in axis) + axis
    gaps = xp.permute_dims(xp.where(live, g, math.inf), tuple(i % g.ndim for i in order))
    if len(axis) > 1:
        gaps = xp.reshape(gaps, (*gaps.shape[: g.ndim - len(axis)], -1))
    gaps = ask(sort_gaps, xp)(gaps, xp=xp)
    finite = gaps < math.inf
    some = xp.where(finite, gaps, 0.0)
    count = xp.cumulative_sum(xp.where(finite, 1.0, xp.zeros_like(some)), axis=-1)
    objective = xp.log(count) - xp.cumulative_sum(some, axis=-1) / count
    objective = xp.where(finite, objective, -math.inf)
    last = xp.max(xp.where(objective == xp.max(objective, axis=-1, keepdims=True), some, 0.0), axis=-1)
    for i in sorted(i % g.ndim for i in axis):
        last = xp.expand_dims(last, axis=i)
    inside = xp.where(live & (g <= last), 1.0, xp.zeros_like(g))
    size = total(inside, axis, xp)
    # differentiable, with the derivative 0
    p = inside / size + 0 * g
    return p, xp.log(size), total(p * g, axis, xp)


def sort_gaps(gaps: Array, *, xp: Any) -> Array:
    """Return the gaps sorted along the last axis; of numbers an unstable order is as good, and faster."""
    return xp.sort(gaps, axis=-1, stable=False)


def _top(rows: Rows) -> tuple[Array, Array, Array]:
    """Return the limit of p for α -> 0, equal on the largest entries, with the limit of its entropy and h = 0."""
    curve, xp = rows.curve, rows.curve.xp
    top = xp.where(rows.top, 1.0, xp.zeros_like(curve.g))
    size = total(top, curve.axis, xp)
    live = total(xp.where(curve.live, 1.0, xp.zeros_like(curve.g)), curve.axis, xp)
    return top / size + 0 * curve.g, xp.log(live), 0 * live


def _is(order: Order, alpha: float) -> bool:
    return order.static and order.alpha == alpha


def _extreme(rows: Rows, own: Order) -> tuple[Array, Array, Array]:
    return _flat(rows) if _is(own, math.inf) else _top(rows)


def _sound(rows: Rows, *values: Array) -> tuple[Array, ...]:
    return tuple(rows.curve.xp.where(rows.sound, value, math.nan) for value in values)


def _value(rows: Rows, entropy: Array, gap: Array) -> Array:
    return rows.peak + rows.temperature * (entropy - gap)


def regularized_argmax(
    scores: Array, temperature: Any, order: Order, *, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return the distributions."""

    def function(own: Order) -> tuple[Array, ...]:
        rows = _rows(scores, own, temperature, where, axis, xp)
        p = _extreme(rows, own)[0] if own.static and own.alpha in {0, math.inf} else _solve(rows).p
        return _sound(rows, p)

    return cast(by_order(function, order, xp)[0], scores.dtype, xp)


def regularized_max(
    scores: Array, temperature: Any, order: Order, *, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return the value of each maximum; the reduced axes keep length 1."""

    def function(own: Order) -> tuple[Array, ...]:
        rows = _rows(scores, own, temperature, where, axis, xp)
        if own.static and own.alpha in {0, math.inf}:
            _, entropy, gap = _extreme(rows, own)
            return _sound(rows, _value(rows, entropy, gap))
        choice = _solve(rows)
        return _sound(rows, _value(rows, choice.entropy, choice.gap))

    return by_order(function, order, xp)[0]


def _curvature(choice: Choice, order: Order, xp: Any) -> tuple[Array, Array, Array]:
    """Return K, l and w/R."""
    t, eps = nonzero(order, xp=xp), float(xp.finfo(choice.y.dtype).eps)
    share = choice.w / choice.r
    log_share = _log_power(-choice.y, order, xp) + choice.m
    u = order.t * log_share
    near = xp.abs(u) <= 1
    inner = log_share * log_share * power_curvature(xp.where(near, u, 0.0), eps=eps, xp=xp)
    return xp.where(near, inner, (share * u - (share - 1)) / t / t), log_share, share


def _next_to_top(vector: Array, rows: Rows) -> Array:
    """Return a vector less its mean at the largest scores: the rest keeps its digits where p is small."""
    xp, axis = rows.curve.xp, rows.curve.axis
    size = total(xp.where(rows.top, 1.0, xp.zeros_like(vector)), axis, xp)
    return vector - total(xp.where(rows.top, vector, 0.0), axis, xp) / size


def _product(choice: Choice, rows: Rows, vector: Array) -> Array:
    """Return J times a vector."""
    order, axis, xp = rows.curve.order, rows.curve.axis, rows.curve.xp
    spread = _spread(choice, order, axis, xp)
    vector = xp.where(choice.inside, vector, 0.0)
    vector = _next_to_top(vector, rows)
    vector = vector - total(choice.p * (spread.inverse * vector), axis, xp) / spread.size
    covariance = total(choice.p * (choice.y * spread.inverse * vector), axis, xp) / spread.size
    factor = order.alpha * covariance * order.t / xp.where(spread.curvature != 0, spread.curvature, 1.0)
    product = choice.p * (choice.c * spread.inverse) * (vector + factor * spread.y)
    return balanced(product, choice.p, axis, xp)


def _alpha_score(choice: Choice, rows: Rows) -> Array:
    """Return what J takes to ∂p/∂α."""
    order, axis, xp = rows.curve.order, rows.curve.axis, rows.curve.xp
    k, log_share, share = _curvature(choice, order, xp)
    kappa = total(choice.p * log_share * share, axis, xp)
    return _next_to_top(kappa * ((choice.mean - choice.y) / choice.r + share) - k - log_share * share, rows)


def regularized_max_and_gradient(
    scores: Array,
    temperature: Any,
    order: Order,
    *,
    wrt: tuple[int | str, ...],
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the value of each maximum and its derivatives, times ``scale``: with respect to the scores (0), p itself.

    1 is the temperature, "alpha" the order.
    """

    def function(own: Order) -> tuple[Array, ...]:
        rows = _rows(scores, own, temperature, where, axis, xp)
        if own.static and own.alpha in {0, math.inf}:
            p, entropy, gap = _extreme(rows, own)
            slope = 0 * entropy
            if own.alpha == 0:
                alone = xp.max(xp.where(rows.curve.live & ~rows.top, 1.0, 0 * p), axis=axis, keepdims=True) == 0
                slope = xp.where(alone, slope, -math.inf)
        else:
            choice = _solve(rows)
            p, entropy, gap = choice.p, choice.entropy, choice.gap
            slope = 0 * entropy
            if "alpha" in wrt:
                slope = -rows.temperature * total(p * _curvature(choice, rows.curve.order, xp)[0], axis, xp)
        found = {0: p, 1: entropy, "alpha": slope}
        return _sound(rows, _value(rows, entropy, gap), *(found[each] for each in wrt))

    value, *found = by_order(function, order, xp)
    return value, *_scaled(found, wrt, scores, scale, where, xp)


def _scaled(
    found: list[Array], wrt: tuple[int | str, ...], scores: Array, scale: Any, where: Array | None, xp: Any
) -> tuple[Array, ...]:
    """Return derivatives times ``scale``, those of the scores in their dtype."""
    return tuple(
        finished((part,), (scores,), scale, xp, where=where)[0] if each == 0 else scaled(part, scale, xp)
        for each, part in zip(wrt, found, strict=True)
    )


def regularized_argmax_and_product(
    scores: Array,
    temperature: Any,
    order: Order,
    *,
    wrt: tuple[int | str, ...],
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Array,
) -> tuple[Array, ...]:
    """Return the distributions and the products of a cotangent, ``scale``, with their Jacobians.

    ``wrt`` is as for the maximum.
    """

    def function(own: Order) -> tuple[Array, ...]:
        rows = _rows(scores, own, temperature, where, axis, xp)
        vector = accumulate(scale, xp=xp) + 0 * rows.curve.g
        if own.static and own.alpha in {0, math.inf}:
            p = _extreme(rows, own)[0]
            nothing = 0 * (p * vector)
            found: dict[int | str, Array] = {0: nothing, 1: total(nothing, axis, xp)}
            found["alpha"] = _along_alpha_at_zero(p, vector, rows) if own.alpha == 0 else found[1]
            return _sound(rows, p, *(found[each] for each in wrt))
        choice = _solve(rows)
        product = _product(choice, rows, vector)
        parts = []
        for each in wrt:
            if each == "alpha":
                parts.append(total(product * _alpha_score(choice, rows), axis, xp))
            else:
                part = product if each == 0 else total(product * rows.curve.g, axis, xp)
                parts.append(part / rows.temperature)
        return _sound(rows, choice.p, *parts)

    p, *found = by_order(function, order, xp)
    given = accumulate(scale, xp=xp)
    found = [along(given, part, axis, xp) for part in found]
    return cast(p, scores.dtype, xp), *_scaled(found, wrt, scores, None, where, xp)


def regularized_argmax_and_tangent(
    scores: Array,
    temperature: Any,
    order: Order,
    tangents: tuple[Array, Any],
    *,
    where: Array | None,
    axis: Axis,
    xp: Any,
) -> tuple[Array, Array]:
    """Return the distributions of 0 < α < ∞ and how they move with the scores and the temperature, None for a constant.

    The second is linear in the tangents, as libraries need it that transpose; 0 in a row that makes no sense.
    """
    rows = _rows(scores, order, temperature, where, axis, xp)
    choice = _solve(rows)
    vector, heat = tangents
    vector = accumulate(vector, xp=xp)
    if heat is not None:
        vector = vector + rows.curve.g * heat
    product = _product(choice, rows, xp.where(rows.sound, vector, 0.0)) / rows.temperature
    return cast(_sound(rows, choice.p)[0], scores.dtype, xp), cast(product, scores.dtype, xp)


def _along_alpha_at_zero(p: Array, vector: Array, rows: Rows) -> Array:
    """For α -> 0, p is α/(n g) but at the top."""
    g, live, _, _, axis, xp = rows.curve
    below = live & ~rows.top
    top = total(p * vector, axis, xp)
    count = total(xp.where(live, 1.0, xp.zeros_like(g)), axis, xp)
    shares = xp.where(below, (vector - top) / xp.where(below, g, 1.0), 0.0)
    return total(shares, axis, xp) / count


ARGMAX = Family(
    regularized_argmax, regularized_argmax_and_product, None, layouts=(ENTRIES, ROWS), result=ENTRIES, block=1 << 11
)
MAX = Family(regularized_max, regularized_max_and_gradient, None, layouts=(ENTRIES, ROWS), block=1 << 11)
