"""Blocks small enough for plain array expressions, in the form that loses no digits anywhere.

With d = log(p/max p) <= 0, both the sum and the gradient are products of one sign::

    s = Σ e expm1(t d)/t               ∂H/∂z = −(α/t) (e/Σe) expm1(t (d − c))              α > 3/4
    s = −Σ e**α expm1(−t d)/t          ∂H/∂z = (α/t) (e**α/Σe**α) expm1(−t (d − c))        elsewhere

The exponential magnifies the rounding of a product α d by α d. So none is formed at 1/2 < α < 1, where it shows most:
from 3/4 on, e**α is in expm1(t d), and up to there it is e**½ e**(α − ½).
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

HALVED = 0.5, 0.75
"""Between these orders, e and e**α come of e**½."""
TINY = {char: float(np.finfo(char).tiny) for char in "fd"}
LOW = {char: math.log(tiny) for char, tiny in TINY.items()}
"""exp(d) has all its digits from here on."""
EPS = {char: float(np.finfo(char).eps) for char in "fd"}
FAINT = {char: float(np.finfo(char).tiny / np.finfo(char).eps) for char in "fd"}
"""Where t c is smaller, it may have lost digits below the dtype: at the largest entry of a row, d − c is −c."""

__all__ = [
    "EPS",
    "HALVED",
    "LOW",
    "TINY",
    "Exact",
    "exact_gradient",
    "exact_rows",
    "exact_sums",
    "is_exact",
    "scaled_expm1",
    "weighs_by_e",
]


class Exact(NamedTuple):
    """Rows of logits: d of every entry, b = e or e**α as :func:`weighs_by_e` says, and what the rows say.

    Of e, there may be the ``roots`` to take in its place; at α = 1, ``rows.total_alpha`` is None.
    """

    d: Array
    b: Array
    roots: Any
    rows: Rows


def is_exact(x: Array, order: Order) -> bool:
    """Return whether this form takes the dtype and order; at α = 0 and ∞ it says nothing."""
    return order.static and x.dtype.char in "fd" and x.dtype.isnative and 0 < order.alpha < math.inf


def weighs_by_e(order: Order) -> bool:
    """Return whether the form with e is taken."""
    return order.t >= 0 or order.alpha > HALVED[1]


def _dot(a: Array, b: Array) -> Array:
    """Return the rows' dot products; BLAS only where its sums are short enough to round little."""
    if a.shape[-1] <= SHORT_DOT:
        return np.vecdot(a, b)[..., None]
    return np.add.reduce(a * b, axis=-1, keepdims=True)


def _roots(d: Array, r0: Array, order: Order) -> Any:
    """Return exp(d/2) where 3/4 < α < 1 and e falls below the dtype before e**α does, in rows of hardly more.

    Entries of no weight at all are raised to where expm1(t d) is far from overflow.
    """
    low = LOW[d.dtype.char]
    if np.minimum.reduce(d, axis=None, initial=0) >= low:
        return None
    rare = d.shape[-1] * math.exp(order.alpha * low) / EPS[d.dtype.char]
    roots = None if np.minimum.reduce(r0, axis=None, initial=1) >= rare else np.exp(0.5 * d)
    np.maximum(d, 2 * low, out=d)
    return roots


def scaled_expm1(v: Array, c: Array, step: float, scale: Array) -> Array:
    """Return scale·expm1(step·v) for v = d − c, in the place of v, also where step·c falls below the dtype."""
    if abs(step) < TWO_SUMS and np.maximum.reduce(c, axis=None, initial=-1) * -abs(step) < FAINT[v.dtype.char]:
        u = step * v
        np.copyto(v, np.expm1(u) / step, where=np.abs(u) > EPS[v.dtype.char] / 2)
        v *= scale * step
        return v
    v *= step
    np.expm1(v, out=v)
    v *= scale
    return v


def _powers(d: Array, alpha: float) -> tuple[Array, Any]:
    """Return e, and e**α where it comes along."""
    if not HALVED[0] < alpha <= HALVED[1]:
        return np.exp(d), None
    half = np.exp(0.5 * d)
    w = np.exp((alpha - 0.5) * d)
    w *= half
    return np.square(half, out=half), w


def _weighed(b: Array, roots: Any, moved: Array) -> Array:
    return _dot(b, moved) if roots is None else _dot(roots, roots * moved)


def _two_sums(d: Array, low: Array, low_e: Array, w: Any, ties: Any, h_inf: Array, order: Order) -> tuple[Array, Array]:
    """Return 1 + ra and c = (log1p(ra) − log1p(r0))/t."""
    if order.alpha == 2:
        ra = _dot(low_e, low_e) + ties
    else:
        w = np.exp(order.alpha * d) if w is None else w
        w *= low
        ra = np.add.reduce(w, axis=-1, keepdims=True) + ties
    return 1 + ra, (np.log1p(ra) - h_inf) / order.t


def exact_rows(logits: Array, order: Order, *, full: bool) -> Exact:
    """Return the rows of logits along the last axis; ``full`` for a gradient to follow."""
    alpha, t = order.alpha, order.t
    d = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    e, w = _powers(d, alpha)
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
        return Exact(d, e, None, Rows(total, h_inf, c, h_inf - c, None))
    near = abs(t) < TWO_SUMS
    if not (full or near):
        total_alpha, c = _two_sums(d, low, low_e, w, ties, h_inf, order)
        return Exact(d, e, None, Rows(total, h_inf, c, h_inf - c, total_alpha))
    by_e = weighs_by_e(order)
    b = e if by_e else np.exp(alpha * d) if w is None else w
    roots = _roots(d, r0, order) if by_e and t < 0 else None
    step = t if by_e else -t
    moved = step * d
    np.expm1(moved, out=moved)
    if near:
        # divided by t before the product with b, which could fall below the dtype; and t c likewise
        moved /= step
        mean = _weighed(b, roots, moved) / total
        x = t * mean
        c = np.where(np.abs(x) < SMALL, mean, np.log1p(x) / t)
    else:
        x = _dot(b, moved) / (total if by_e else -total)
        c = np.log1p(x) / t
    total_alpha = total * (1 + x)
    if t > 0 and np.minimum.reduce(x, axis=None, initial=0) < -0.5:
        # most of Σe is lost in Σe**α = Σe + t s: sum that by itself
        apart, by_sums = _two_sums(d, low, low_e, None, ties, h_inf, order)
        lost = x < -0.5
        total_alpha, c = np.where(lost, apart, total_alpha), np.where(lost, by_sums, c)
    return Exact(d, b, roots, Rows(total, h_inf, c, h_inf - c, total_alpha))


def exact_sums(logits: Array, order: Order) -> State:
    """Return the full partial state of logits along the last axis, α ≠ 1; of no weight at all, that of no entries."""
    alpha, t = order.alpha, order.t
    peak = np.maximum.reduce(logits, axis=-1, keepdims=True)
    d = logits - np.where(peak == -math.inf, 0, peak)
    e, w = _powers(d, alpha)
    low = d < 0
    # one of the largest is left out, the other ties are 1 each
    ties = d.shape[-1] - 1 - np.add.reduce(low, axis=-1, keepdims=True, dtype=d.dtype)
    r0 = np.add.reduce(e * low, axis=-1, keepdims=True) + ties
    by_e = weighs_by_e(order)
    if w is None and not (by_e and t < 0):
        w = np.exp(alpha * d)
    roots = _roots(d, r0, order) if by_e and t < 0 else None
    step = t if by_e else -t
    moved = step * d
    np.expm1(moved, out=moved)
    # before the product, which could fall below the dtype
    moved /= step
    s = _weighed(e if by_e else w, roots, moved)
    if w is None:
        # of the same sign
        return State(peak, r0, s, r0 + t * s)
    w *= low
    return State(peak, r0, s, np.add.reduce(w, axis=-1, keepdims=True) + ties)


def exact_gradient(exact: Exact, order: Order, factor: Any) -> Array:
    """Return the gradient with respect to the logits, times the rows' ``factor`` (None for 1)."""
    d, b, roots, rows = exact
    by_e = weighs_by_e(order)
    step = order.t if by_e else -order.t
    scale = (-order.alpha / (step or 1)) / (rows.total if by_e else rows.total_alpha)
    if factor is not None:
        scale *= factor
    if step == 0:
        moved = np.maximum(d, -1e4)
        moved -= rows.c
        moved *= scale
    else:
        moved = scaled_expm1(d - rows.c, rows.c, step, scale)
    moved *= b if roots is None else roots
    if roots is not None:
        moved *= roots
    return moved
