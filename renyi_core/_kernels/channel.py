"""A joint distribution as an input distribution and a channel, next to the outputs that the inputs have on average.

With W(y|x) = J(x, y)/Σ_y J and inputs Q(x), here P(x) (Sibson) or its escort P(x)**α/Σ P**α (Arimoto)::

    c(y) = Σ_x Q(x) W(y|x)                      u(x, y) = log W(y|x)/c(y)

J − (Σ_y J)·c is formed without the rounding of the product. What the roundings of c and Σ_y J add to whole columns and
rows of u is known, since Σ_x Q exp(u) = Σ_y c exp(u) = 1, and taken away. So u has all its digits near independence
too, where it is near 0.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from .sources import accumulate
from .special import product_gap
from .state import Order
from .sums import total

Array = Any
Kind = Literal["sibson", "arimoto", "csiszar"]

__all__ = ["AXES", "Channel", "Kind", "by_order", "channel", "sound_joint"]

AXES = (-2, -1)

FAINT = 2.0**-20
"""Where the mean output is less than this part of the marginal one, that stands in its place."""


class Channel(NamedTuple):
    """The weights ``joint`` of p(x, y), p and its parts.

    ``inputs`` is Q(x), whose logarithm is ``log_rho`` + α ``omega``, and ``factor`` Q(x)/P(x). ``means`` is c(y); where
    that is faint (``lost``) u refers to the marginal of p in its place, the ``reference`` in both cases. ``ratio`` is
    W/c. ``live`` marks p > 0, ``rows`` and ``columns`` those with an entry that is. ``size`` is what p was divided by.
    """

    joint: Array
    p: Array
    marginal: Array
    conditional: Array
    inputs: Array
    omega: Array
    log_rho: Array
    factor: Array
    means: Array
    reference: Array
    lost: Array
    u: Array
    ratio: Array
    live: Array
    rows: Array
    columns: Array
    size: Array
    sound: Array


def by_order(function: Any, order: Order, xp: Any) -> Any:
    """Return function(order), which is asked for α = 0 and α = ∞ by their numbers also where an array holds them."""
    if order.static:
        return function(order)
    zero = order.alpha == 0
    between = Order(xp.where(zero, 0.5, order.alpha), xp.where(zero, -0.5, order.t), zero & ~zero)
    inner = function(between)
    lowest, highest = function(Order(0.0, -1.0)), function(Order(math.inf, math.inf))
    parts = zip(inner, lowest, highest, strict=True)
    return tuple(xp.where(zero, low, xp.where(order.infinite, high, value)) for value, low, high in parts)


def sound_joint(joint: Array, xp: Any) -> tuple[Array, Array]:
    """Return the joint, 1 throughout where it is invalid, and where it is valid."""
    joint = accumulate(joint, xp=xp)
    size = total(joint, AXES, xp)
    sound = (size > 0) & (size < math.inf) & (xp.min(joint, axis=AXES, keepdims=True) >= 0)
    return xp.where(sound, joint, 1.0), sound


def _escort(row: Array, rows: Array, order: Order, xp: Any) -> tuple[Array, Array, Array]:
    """Return P(x)**α/Σ P**α, log(P/max P) and −log Σ (P/max P)**α."""
    top = xp.max(row, axis=-2, keepdims=True)
    e = row / top
    d = xp.log(xp.where(rows, e, 1.0))
    if order.static and order.alpha == math.inf:
        w = xp.where(row == top, e, 0.0)
    elif order.static and order.alpha == 0:
        w = xp.where(rows, 1 + 0 * d, 0.0)
    else:
        w = xp.where(rows, e, 1.0) * xp.exp(order.t * d)
        w = xp.where(rows, w, 0.0)
    size = total(w, -2, xp)
    return w / size, d, -xp.log(size)


def _centered(u: Array, ratio: Array, weights: Array, live: Array, lost: Array, axis: int, xp: Any) -> Array:
    """Return u less log Σ exp(u), weighted, where that is all rounding; 0 where not live."""
    u = xp.where(live, u, 0.0)
    small = xp.max(xp.abs(xp.where(lost, 64.0, u)), axis=axis, keepdims=True) < 64
    excess = xp.where(live, xp.expm1(xp.where(small, u, 0.0)), ratio - 1)
    shift = total(weights * excess, axis, xp)
    # not of a row or column of zeros
    shift = xp.log1p(xp.where(small & (shift > -0.5), shift, 0.0))
    return xp.where(live, u - shift, 0.0)


def channel(joint: Array, order: Order, kind: Kind, xp: Any) -> Channel:
    """Return the channel of each joint distribution."""
    joint, sound = sound_joint(joint, xp)
    dead = joint == 0
    rows, columns = (xp.max(joint, axis=axis, keepdims=True) > 0 for axis in (-1, -2))
    # where p = 0, the derivative is +inf up to α = 1, and depends on the path where no entry of a row or column is > 0
    held = dead & (~rows | ~columns | (xp.zeros_like(joint) + order.t <= 0))
    joint = xp.where(held, 0.0, joint)
    live, eps, largest = ~dead, float(xp.finfo(joint.dtype).eps), float(xp.finfo(joint.dtype).max)
    row, column, size = total(joint, -1, xp), total(joint, -2, xp), total(joint, AXES, xp)
    some_row = xp.where(rows, row, 1.0)
    marginal, conditional = row / size, joint / some_row
    if kind == "sibson":
        inputs, omega, log_rho = marginal, 0 * marginal, xp.log(xp.where(rows, marginal, 1.0))
        factor = xp.where(rows, 1 + omega, 0.0)
    else:
        inputs, omega, log_rho = _escort(row, rows, order, xp)
        factor = inputs / xp.where(rows, marginal, 1.0)
    means = total(inputs * conditional, -2, xp)
    floor = 4 / (largest * eps)
    # an input of next to no weight has these outputs to itself: c and W/c would undo each other's derivatives
    lost = columns & ((means < floor) | (means < FAINT * column / size))
    reference = xp.where(columns, xp.where(lost, column / size, means), 1.0)
    product = some_row * reference
    some = live & (product > floor)
    ratio = xp.where(some | ~live, joint, 0.0) / xp.where(some, product, 1.0)
    # beyond these numbers the parts of a split product would not be exact
    close = some & (ratio > 0.5) & (ratio < 2) & (joint > floor) & (some_row < largest * eps)
    one, other = xp.where(close, some_row, 1.0), xp.where(close, reference, 1.0)
    near = xp.log1p(product_gap(xp.where(close, joint, 1.0), one, other, eps=eps) / (one * other))
    apart = xp.log(xp.where(live, conditional, 1.0)) - xp.log(reference)
    u = xp.where(close, near, xp.where(some, xp.log(xp.where(some, ratio, 1.0)), apart))
    ratio = joint / xp.where(product > 0, product, 1.0)
    for weights, axis in ((means, -1), (inputs, -2)):
        u = _centered(u, ratio, weights, live, lost, axis, xp)
    return Channel(
        *(joint, joint / size, marginal, conditional, inputs, omega, log_rho, factor),
        *(means, reference, lost, u, ratio, live, rows, columns, size, sound),
    )
