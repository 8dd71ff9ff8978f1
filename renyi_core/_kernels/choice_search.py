"""The search for the distribution of largest payoff plus entropy: one number v for each row.

With gaps g = (max s − s)/T >= 0, t = α − 1 and c = exp(−t v)/α, a stationary distribution is on the curve::

    y = c g        w = (1 − t y)₊        e = w**(1/t)  (exp(−y) at α = 1)        p = e/Σ e
    m = Σ p y      R = Σ p w = 1 − t m   M = −log R/t                            h = Σ p g = m/c

on which H_α(p) = log Σ e + M, and it is stationary where v = M. Along the curve the objective f = H_α(p) − h rises
with v where v < M and falls where v > M, since df/dh = α c/R − 1. A stationary v is between 0 and log n/max(α, 1):
R >= n**(−t/α) for α > 1, by R >= 1/Σ e and R >= (Σ e/n)**t; R <= n**(−t) for α < 1.

Up to α = 1 there is one stationary point, since d(v − M)/dv > 0. Beyond it there may be several, and the largest f is
looked for: in a cell of the curve df/dh is between two numbers, which bound f there from its ends. The cells of the
largest bounds are halved, again and again, and what is left is bisected. No v so found depends on s but through
comparisons: k steps of Newton's method from it have the first 2^k − 1 derivatives of the stationary point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .library import ask, constants
from .state import Order, nonzero
from .sums import totals

Array = Any
Axis = tuple[int, ...]

__all__ = ["Curve", "argsort_cells", "repeat", "search_choice", "take_cells"]

CELLS = 8
"""How many cells are halved at a time."""
HALVINGS = 10
FINALISTS = 4
"""How many of the last cells are bisected to find out whose objective is the largest."""
COMPARISONS = 10


class Curve(NamedTuple):
    """The gaps g, 0 where not ``live``; ``span`` is the largest v of each row. A new first axis numbers points."""

    g: Array
    live: Array
    order: Order
    span: Array
    axis: Axis
    xp: Any


class Points(NamedTuple):
    """Points of the curve: their v, c, h, M and f."""

    v: Array
    c: Array
    h: Array
    m: Array
    f: Array


def _joined(points: Points, xp: Any) -> Array:
    """Return the numbers of points along a new last axis; cells have those of their left and then their right ends."""
    return xp.stack(list(points), axis=-1)


def _ends(cells: Array) -> tuple[Points, Points]:
    numbers = [cells[..., k] for k in range(2 * len(Points._fields))]
    return Points(*numbers[: len(Points._fields)]), Points(*numbers[len(Points._fields) :])


def _at(curve: Curve, v: Array) -> Points:
    """Return the points at v, to the last digits but a few."""
    xp, order, axis = curve.xp, curve.order, curve.axis
    t, t_or_one = order.t, nonzero(order, xp=xp)
    c = xp.exp(-t * v) / order.alpha
    y = c * curve.g
    u = -t * y
    inside = curve.live & (u > -1)
    u = xp.where(inside, u, 0.0)
    log_e = xp.log1p(u) / t_or_one
    if not order.static:
        log_e = xp.where(t == 0, -y, log_e)
    e = xp.where(inside, xp.exp(log_e), 0.0)
    total, mean, rest = ask(totals, xp)((e, e * y, e * (1 + u)), axis=axis, xp=xp)
    mean = mean / total
    near = t * mean < 0.5
    rest = xp.where(near, -t * mean, rest / total - 1)
    m = -xp.log1p(rest) / t_or_one
    if not order.static:
        m = xp.where(t == 0, mean, m)
    h = mean / c
    return Points(v, c, h, m, xp.log(total) + m - h)


def _bounds(left: Points, right: Points, order: Order, xp: Any) -> Array:
    """Return what f is not above between two points, as :func:`_ranked`.

    With c0 >= c >= c1, df/dh is between c1 α/(1 − t c1 h) − 1 and the same of c0. Integrated from either end these
    bound f by convex functions of h of monotone difference: the bound is at an end, or where the two meet.
    """
    t, t_or_one, alpha = order.t, nonzero(order, xp=xp), order.alpha
    sparse = t + 0 * left.f > 0
    ends = [1 - xp.where(sparse, t * point.c * point.h, 0.0) for point in (left, right)]
    low, high = (xp.where(end > 0, end, 1.0) for end in ends)
    width = right.h - left.h
    excess = xp.expm1(xp.where(sparse, t / alpha * (right.f - left.f + width) + xp.log(high / low), 0.0))
    slope = t * ((1 + excess) * left.c - right.c)
    meet = xp.where(slope > 0, excess / xp.where(slope > 0, slope, 1.0), left.h) - left.h
    meet = xp.where(meet > 0, xp.where(meet < width, meet, width), 0.0)
    drop = left.c * t * meet / low
    some = sparse & (drop < 1)
    rise = -alpha / t_or_one * xp.log1p(-xp.where(some, drop, 0.0)) - meet
    rest = width - meet
    grown = xp.where(sparse, right.c * t * rest / high, 0.0)
    fall = rest - alpha / t_or_one * xp.log1p(xp.where(grown > -0.5, grown, 0.0))
    bound = xp.where(left.f > right.f, left.f, right.f)
    for side, inner in ((left.f + rise, some), (right.f + fall, sparse)):
        bound = xp.where(inner & (side > bound), side, bound)
    return _ranked(bound, left, right, order, xp)


def _ranked(f: Array, left: Points, right: Points, order: Order, xp: Any) -> Array:
    """Return f, larger by its rounding where the cell has a maximum between its ends.

    For α <= 1 it is the last cell that begins before the maximum; where M is at the end of the span, rounding may keep
    v < M even there.
    """
    begins = left.v <= left.m
    crosses = begins & (right.v >= right.m)
    slack = 16 * float(xp.finfo(f.dtype).eps) * (1 + xp.abs(f))
    sparse = order.t + 0 * f > 0
    return xp.where(sparse, f + xp.where(crosses, slack, 0.0), xp.where(begins, left.v, -1.0))


def _best(cells: Array, count: int, curve: Curve) -> Array:
    """Return the cells with the largest bounds, first those with the least v where bounds are equal."""
    xp = curve.xp
    # the largest first; not every library sorts in descending order
    index = ask(argsort_cells, xp)(-_bounds(*_ends(cells), curve.order, xp), xp=xp)[:count, ...]
    # lengths may be unknown: not broadcast to a shape
    zeros = xp.reshape(constants([0] * cells.shape[-1], index, xp), (1,) * index.ndim + (-1,))
    index = index[..., None] + zeros
    return ask(take_cells, xp)(cells, index, xp=xp)


def argsort_cells(values: Array, *, xp: Any) -> Array:
    """Return the indices that sort along the first axis, of equal values the first one first."""
    return xp.argsort(values, axis=0)


def take_cells(values: Array, index: Array, *, xp: Any) -> Array:
    """Return the values at these indices of the first axis."""
    return xp.take_along_axis(values, index, axis=0)


def _halved(cells: Array, curve: Curve) -> Array:
    xp, size = curve.xp, len(Points._fields)
    left, right = cells[..., :size], cells[..., size:]
    middle = _joined(_at(curve, (left[..., 0] + right[..., 0]) / 2), xp)
    halves = xp.concat([left, middle], axis=-1), xp.concat([middle, right], axis=-1)
    return xp.concat(list(halves), axis=0)


def repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    """Return the state after so many steps."""
    for _ in range(times):
        state = step(state)
    return state


def _digits(like: Array, xp: Any) -> int:
    return round(-math.log2(float(xp.finfo(like.dtype).eps)))


def _along_points(order: Order) -> Order:
    """Return the order with a first axis that numbers points."""
    return order if order.static else Order(*(part[None, ...] for part in order))


def search_choice(curve: Curve, *, repeat: Callable[..., Any] = repeat) -> Array:
    """Return v of the largest f."""
    xp, order, span = curve.xp, curve.order, curve.span
    digits = _digits(span, xp)

    def halve(ends: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return ends, with v <= M at the lower and v >= M at the upper one, half as far apart."""
        low, high = ends
        middle = (low + high) / 2
        rising = middle < _at(curve, middle).m
        return xp.where(rising, middle, low), xp.where(rising, high, middle)

    if order.static and order.alpha <= 1:
        low, high = repeat(digits - 4, halve, (0 * span, span))
        return (low + high) / 2
    # not every library broadcasts along a new axis unasked
    curve = curve._replace(g=curve.g[None, ...], live=curve.live[None, ...], order=_along_points(order))
    parts = constants([k / CELLS for k in range(CELLS + 1)], span, xp)
    parts = xp.reshape(parts, (CELLS + 1, *(1,) * span.ndim))
    points = _joined(_at(curve, parts * span[None, ...]), xp)
    cells = xp.concat([points[:-1, ...], points[1:, ...]], axis=-1)
    cells = repeat(HALVINGS, lambda cells: _best(_halved(cells, curve), CELLS, curve), cells)
    # the first have the largest bounds
    left, right = _ends(cells[:FINALISTS, ...])
    low, high = repeat(COMPARISONS, halve, (left.v, right.v))
    middle = _at(curve, (low + high) / 2)
    first = xp.argmax(_ranked(middle.f, left, right, curve.order, xp), axis=0, keepdims=True)
    ends = tuple(ask(take_cells, xp)(end, first, xp=xp) for end in (low, high))
    low, high = repeat(max(0, digits - HALVINGS - COMPARISONS - 6), halve, ends)
    return ((low + high) / 2)[0, ...]
