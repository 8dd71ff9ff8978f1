"""Bounds of the entropy of n outcomes of which the log-probabilities ℓ of the k likeliest are known.

The entropy is Schur concave: of all completions it is largest where the rest r = 1 − Σ exp ℓ is spread evenly, and
smallest where it is packed into outcomes as likely as the least known one, and one of what is left. So either bound is
the entropy of the known outcomes, ``full`` more like the least of them, and ``count`` more of one probability u. Since
u takes what the others leave, the derivatives are those of the entropy in its own p::

    ∂/∂ℓᵢ = pᵢ (∂H/∂pᵢ − ∂H/∂u) (1 + full, shared among the least known)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .entropy import alpha_gradient, gradient_entries, top_sums
from .family import Family, finished
from .guards import or_nan
from .library import ask
from .sources import center, distributions
from .state import Entries, Order, Rows, State, finish, partial_state, power_gap
from .sums import total

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "BOUND",
    "TOLERANCE",
    "entropy_bound",
    "entropy_bound_and_alpha_gradient",
    "entropy_bound_and_gradient",
    "unknown",
]

TOLERANCE = 1e-3
"""By how much the probability of published log-probabilities may miss, for their rounding."""


class Unknown(NamedTuple):
    """Of each row the number of outcomes not known, their probability, and the most that they have room for.

    ``least`` are the known ones of the least probability, ``noise`` is how far rounding may move the rest.
    """

    number: Array
    rest: Array
    room: Array
    least: Array
    noise: Array

    def fits(self, tolerance: float) -> Array:
        """Return where there is a completion, but for rounding."""
        return (self.number >= 0) & (self.rest >= -tolerance) & (self.rest <= self.room + tolerance)


class Bound(NamedTuple):
    """The known entries, what their completed rows say, the others with their numbers, and which rows make sense.

    ``least`` is as in :class:`Unknown`; ``inside`` is where the rest is neither 0 nor all that there is room for.
    """

    known: Entries
    rows: Rows
    others: tuple[tuple[Array, Entries], ...]
    least: Array
    inside: Array
    sound: Array


def unknown(x: Array, *, n: int, where: Array | None, axis: Axis, xp: Any) -> Unknown:
    """Return what the known log-probabilities leave of n outcomes; the reduced axes keep length 1."""
    one = xp.ones_like(x) if where is None else xp.where(where, xp.ones_like(x), 0.0)
    low = xp.min(x if where is None else xp.where(where, x, math.inf), axis=axis, keepdims=True)
    peak = xp.max(x, axis=axis, keepdims=True)
    top, number = x == peak, n - total(one, axis, xp)
    beside = -xp.expm1(peak)  # all but one largest, at no loss where that is nearly 1
    rest = beside - total(xp.where(top, 0.0, xp.exp(x)), axis, xp)
    rest = rest - (total(xp.where(top, one, 0.0), axis, xp) - 1) * xp.exp(peak)
    return Unknown(number, rest, number * xp.exp(low), x == low, 8 * float(xp.finfo(x.dtype).eps) * beside)


def _bound(
    log_probs: Array,
    order: Order,
    *,
    n: int,
    upper: bool,
    tolerance: float,
    where: Array | None,
    axis: Axis,
    xp: Any,
    full: bool = False,
) -> Bound:
    (x,), sound = ask(distributions, xp)(log_probs, source="logits", where=where, axis=axis, xp=xp)
    number, rest, room, least, noise = parts = unknown(x, n=n, where=where, axis=axis, xp=xp)
    p = xp.exp(xp.max(xp.where(least, x, -math.inf), axis=axis, keepdims=True))
    some = rest > noise
    inside = some & (rest < room - noise)
    if upper:
        packed, count, each = 0 * rest, number, rest / xp.where(inside, number, 1.0)
    else:
        packed = xp.floor(xp.where(inside, rest, 0.0) / xp.where(inside, p, 1.0))
        each = rest - packed * p
        whole = ~(each > noise)
        packed, count = packed - xp.astype(whole, x.dtype), 1 + 0 * rest
        each = xp.where(whole | (each > p), p, each)
    # else the rest is 0, or all that there is room for
    packed = xp.where(inside, packed, xp.where(some, number, 0.0))
    count, each = xp.where(inside, count, 0.0), xp.where(inside, each, p)
    known = center(x, order, source="logits", where=None, axis=axis, xp=xp)
    peak, r0, s, ra = partial_state(known, order, axis=axis, xp=xp, full=full)
    others = []
    for many, prob in ((packed, p), (count, each)):
        one = center(prob, order, source="probs", where=None, axis=axis, xp=xp, peak=xp.exp(peak))
        r0 = r0 + many * one.e
        s = None if s is None else s + many * power_gap(one.d, one.e, one.w, order, xp=xp)
        ra = None if ra is None else ra + many * one.w
        others.append((many, one))
    rows = finish(State(peak, r0, s, ra), order, xp=xp)
    return Bound(known, rows, tuple(others), least, inside, sound & parts.fits(tolerance))


def entropy_bound(log_probs: Array, order: Order, *, xp: Any, **options: Any) -> Array:
    """Return the bound of each row; the reduced axes keep length 1."""
    bound = _bound(log_probs, order, xp=xp, **options)
    return or_nan(bound.rows.h, bound.sound, xp)


def entropy_bound_and_gradient(
    log_probs: Array, order: Order, *, where: Array | None, axis: Axis, xp: Any, scale: Any = None, **options: Any
) -> tuple[Array, ...]:
    """Return the bound and its gradient with respect to the known log-probabilities, times ``scale``."""
    known, rows, others, least, inside, sound = _bound(
        log_probs, order, where=where, axis=axis, xp=xp, full=True, **options
    )
    (packed, _), (_, rest) = others
    ties, below = top_sums(known, axis=axis, xp=xp)
    for many, one in others:
        more = top_sums(one, axis=axis, xp=xp)
        ties, below = ties + many * more[0], below + many * more[1]
    shared = {"where": None, "axis": axis, "xp": xp, "tops": (ties, below)}
    gradient = gradient_entries(known, rows, order, source="logits", **shared)
    rest = rest._replace(peak=xp.ones_like(rest.peak))
    taken = xp.where(inside, gradient_entries(rest, rows, order, source="probs", **shared), 0.0)
    share = packed / total(xp.where(least, xp.ones_like(known.d), 0.0), axis, xp)
    gradient = or_nan((gradient - known.e * taken) * xp.where(least, 1 + share, 1.0), sound, xp)
    return or_nan(rows.h, sound, xp), *finished((gradient,), (log_probs,), scale, xp, where=where)


def entropy_bound_and_alpha_gradient(
    log_probs: Array, order: Order, *, axis: Axis, xp: Any, **options: Any
) -> tuple[Array, Array]:
    """Return the bound and its derivative with respect to α."""
    bound = _bound(log_probs, order, axis=axis, xp=xp, full=True, **options)
    slope = alpha_gradient(bound.known, bound.rows, order, axis=axis, xp=xp)
    for many, one in bound.others:
        slope = slope + many * alpha_gradient(one, bound.rows, order, axis=axis, xp=xp)
    return or_nan(bound.rows.h, bound.sound, xp), or_nan(slope, bound.sound, xp)


BOUND = Family(entropy_bound, entropy_bound_and_gradient, entropy_bound_and_alpha_gradient)
