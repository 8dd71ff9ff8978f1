"""Blocks small enough for plain array expressions, in the form that loses no digits anywhere.

With τ = |α − 1|, b = e and B = Σe for α > 1 and b = e**α and B = Σe**α for α < 1, both the sum and the gradient are
products of one sign, and no exponential overflows, since d = log(p/max p) <= 0::

    s = Σ b expm1(τ d)/τ               ∂H/∂z = −(α/τ) (b/B) expm1(τ (d − c))
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels.state import TWO_SUMS, Order, Rows, State

Array = Any

SHORT_DOT = 1024
SMALL = 1e-20
"""Below this, log1p(x)/x is 1 to the last digit."""

__all__ = ["Exact", "exact_gradient", "exact_rows", "exact_sums", "is_exact"]


class Exact(NamedTuple):
    """Rows of logits: d and b of every entry, and the rows, whose ``total_alpha`` is None at α = 1."""

    d: Array
    b: Array
    rows: Rows


def is_exact(x: Array, order: Order) -> bool:
    """Return whether this form takes the dtype and order; at α = 0 and ∞ it says nothing."""
    return order.static and x.dtype.char in "fd" and x.dtype.isnative and 0 < order.alpha < math.inf


def _dot(a: Array, b: Array) -> Array:
    """Return the rows' dot products; BLAS only where its sums are short enough to round little."""
    if a.shape[-1] <= SHORT_DOT:
        return np.vecdot(a, b)[..., None]
    return np.add.reduce(a * b, axis=-1, keepdims=True)


def _two_sums(d: Array, low: Array, low_e: Array, ties: Any, h_inf: Array, order: Order) -> tuple[Array, Array]:
    """Return 1 + ra and c = (log1p(ra) − log1p(r0))/t."""
    if order.alpha == 2:
        ra = _dot(low_e, low_e) + ties
    else:
        w = np.exp(order.alpha * d)
        w *= low
        ra = np.add.reduce(w, axis=-1, keepdims=True) + ties
    return 1 + ra, (np.log1p(ra) - h_inf) / order.t


def exact_rows(logits: Array, order: Order, *, full: bool) -> Exact:
    """Return the rows of logits along the last axis; ``full`` for a gradient to follow."""
    alpha, t = order.alpha, order.t
    d = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    e = np.exp(d)
    low = d < 0
    n = d.shape[-1]
    low_e = e * low
    r0 = np.add.reduce(low_e, axis=-1, keepdims=True)
    ties: Any = 0
    if np.count_nonzero(low) * n != d.size * (n - 1):
        ties = n - 1 - np.add.reduce(low, axis=-1, keepdims=True, dtype=d.dtype)
        r0 += ties
    total = 1 + r0
    h_inf = np.log1p(r0)
    if t == 0:
        # −inf·0 of a masked outcome is 0
        c = _dot(e, np.maximum(d, -1e4)) / total
        return Exact(d, e, Rows(total, h_inf, c, h_inf - c, None))
    near = abs(t) < TWO_SUMS
    if not (full or near):
        total_alpha, c = _two_sums(d, low, low_e, ties, h_inf, order)
        return Exact(d, e, Rows(total, h_inf, c, h_inf - c, total_alpha))
    b = e if t > 0 else np.exp(alpha * d)
    moved = abs(t) * d
    np.expm1(moved, out=moved)
    if near:
        # divided by τ before the product with b, which could fall below the dtype; and t c likewise
        moved /= abs(t)
        mean = _dot(b, moved) / total
        x = t * mean
        c = np.where(np.abs(x) < SMALL, mean, np.log1p(x) / t)
    else:
        x = _dot(b, moved) / (total if t > 0 else -total)
        c = np.log1p(x) / t
    total_alpha = total * (1 + x)
    if t > 0 and np.minimum.reduce(x, axis=None, initial=0) < -0.5:
        # most of Σe is lost in Σe**α = Σe + t s: sum that by itself
        apart, by_sums = _two_sums(d, low, low_e, ties, h_inf, order)
        lost = x < -0.5
        total_alpha, c = np.where(lost, apart, total_alpha), np.where(lost, by_sums, c)
    return Exact(d, b, Rows(total, h_inf, c, h_inf - c, total_alpha))


def exact_sums(logits: Array, order: Order) -> State:
    """Return the full partial state of logits along the last axis; of no weight at all, that of no entries."""
    alpha, t = order.alpha, order.t
    peak = np.maximum.reduce(logits, axis=-1, keepdims=True)
    d = logits - np.where(peak == -math.inf, 0, peak)
    e = np.exp(d)
    low = d < 0
    # one of the largest is left out, the other ties are 1 each
    ties = d.shape[-1] - 1 - np.add.reduce(low, axis=-1, keepdims=True, dtype=d.dtype)
    r0 = np.add.reduce(e * low, axis=-1, keepdims=True) + ties
    if t == 0:
        return State(peak, r0, _dot(e, np.maximum(d, -1e4)), None)
    w = np.exp(alpha * d)
    moved = abs(t) * d
    np.expm1(moved, out=moved)
    # before the product, which could fall below the dtype
    moved /= abs(t)
    s = _dot(e if t > 0 else w, moved)
    w *= low
    return State(peak, r0, s, np.add.reduce(w, axis=-1, keepdims=True) + ties)


def exact_gradient(exact: Exact, order: Order, factor: Any) -> Array:
    """Return the gradient with respect to the logits, times the rows' ``factor`` (None for 1)."""
    d, b, rows = exact
    alpha, t = order.alpha, order.t
    if t == 0:
        scale = -1 / rows.total
        moved = np.maximum(d, -1e4)
        moved -= rows.c
    else:
        scale = (-alpha / abs(t)) / (rows.total if t > 0 else rows.total_alpha)
        moved = d - rows.c
        moved *= abs(t)
        np.expm1(moved, out=moved)
    moved *= scale if factor is None else scale * factor
    moved *= b
    return moved
