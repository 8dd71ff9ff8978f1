"""Pairs in NumPy of which one is the uniform distribution u, for logits z of the other and orders that are numbers.

Far from u, D comes from entropies and from logarithms of sums. Near u these cancel. There, D is a sum of terms of one
sign: with q ∝ exp(θ z) on the outcomes, v = z − Σ q z and C(s) = log Σ q exp(s v) = log1p(Σ q k(s v)) >= 0,
k(u) = expm1(u) − u >= 0::

    D_α(p‖u) = C(−1) + C(t)/t                    θ = 1        α >= 1
    D_α(p‖u) = C(−α) + α/(1 − α) C(1 − α)        θ = α        α < 1
    D_α(u‖p) = C(1) + C(−t)/t                    θ = 0        α >= 1
    D_α(u‖p) = C(α) + α/(1 − α) C(α − 1)         θ = 1 − α    α < 1
    ∂D_α(u‖p)/∂z = p − π = −p expm1(−α v − C(−α))             θ = 1, π ∝ exp(−t z)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from renyi_core._kernels import divergence as general
from renyi_core._kernels.pairs import exponent_limit
from renyi_core._kernels.state import Order, Source

from ._exact import exact_gradient, exact_rows, is_exact
from ._walk import RowBlocks, settle

Array = Any
Axis = tuple[int, ...]

__all__ = ["of_uniform", "other_than_uniform"]

BLOCK = 1 << 15
"""Entries that are taken at a time."""
SHARE = 8
"""A difference that is at least one part in as many of what it is the difference of is taken as it is."""
FEW = 1 / 64
"""Below this, a sum of k is of arguments that are small, for which k has lost digits."""
INVERSE_FACTORIALS = [1 / math.factorial(j + 2) for j in range(20)]
"""k(u)/u² by powers of u."""


def other_than_uniform(x: Array, y: Array, order: Order, *, source: Source, axis: Axis) -> int | None:
    """Return which of the two is to be taken by :func:`of_uniform`, None for neither: the other is one uniform row."""
    if source != "logits" or not is_exact(x, order) or y.dtype != x.dtype:
        return None
    for which, (one, other) in enumerate(((x, y), (y, x))):
        lengths = [one.shape[i] for i in axis]
        if other.ndim > one.ndim or other.size != math.prod(lengths) or one.size == 0:
            continue
        if any(i < -other.ndim or other.shape[i] != length for i, length in zip(axis, lengths, strict=True)):
            continue
        first = other[(0,) * other.ndim]
        if math.isfinite(first) and (other == first).all():
            return which
    return None


class _Block(NamedTuple):
    """Rows of logits next to their largest, d; how many outcomes u has, and p; and where p has some if not all."""

    z: Array
    d: Array
    outcomes: Any
    live: Any
    count: Any


def _some(block: _Block, rows: Array) -> _Block:
    if len(rows) == len(block.d):
        return block
    return _Block(*(part[rows] if isinstance(part, np.ndarray) else part for part in block))


def _is_narrow(block: _Block, steepest: float) -> Array:
    """Return in which rows no exponential of d or −d times this overflows."""
    return np.minimum.reduce(block.d, axis=-1) * -steepest < exponent_limit(block.d, np)


def _block(z: Array, mask: Array | None) -> _Block:
    n: Any = z.shape[-1]
    if mask is not None:
        n = np.add.reduce(mask, axis=-1, keepdims=True, dtype=z.dtype)
        z = np.where(mask, z, z.dtype.type(-math.inf))
    d = z - np.maximum.reduce(z, axis=-1, keepdims=True)
    if np.minimum.reduce(d, axis=None) > -math.inf:
        return _Block(z, d, n, None, n)
    live = d > -math.inf
    return _Block(z, np.where(live, d, 0), n, live, np.add.reduce(live, axis=-1, keepdims=True, dtype=z.dtype))


def _live(values: Array, block: _Block) -> Array:
    """Return the values, 0 where p is, in their place."""
    if block.live is not None:
        values *= block.live
    return values


def _sum(values: Array) -> Array:
    return np.add.reduce(values, axis=-1, keepdims=True)


def _series(u: Array, size: float) -> Array:
    """Return k(u) for |u| <= size <= 1/2."""
    least = np.finfo(u.dtype).eps / 16
    highest, *others = [c for j, c in enumerate(INVERSE_FACTORIALS) if c * size**j > least][::-1]
    power = np.full_like(u, highest)
    for coefficient in others:
        power *= u
        power += u.dtype.type(coefficient)
    power *= u
    power *= u
    return power


class _Tilted(NamedTuple):
    """The distribution q, and v."""

    q: Array
    v: Array

    def cumulants(self, s: float) -> Array:
        """Return C(s)."""
        u = s * self.v
        size = max(np.maximum.reduce(u, axis=None), -np.minimum.reduce(u, axis=None))
        if size <= 0.5:
            return np.log1p(_sum(self.q * _series(u, float(size))))
        terms = np.expm1(u)
        terms -= u
        terms *= self.q
        sums = _sum(terms)
        few = np.flatnonzero(sums < FEW)
        if len(few):
            some = u[few]
            near = np.abs(some) <= 0.5
            small = _series(np.where(near, some, 0), 0.5)
            sums[few] = _sum(self.q[few] * np.where(near, small, np.expm1(some) - some))
        return np.log1p(sums)


def _tilted(block: _Block, theta: float) -> _Tilted:
    if theta == 0 and block.live is None:
        q = np.full((len(block.d), 1), 1 / block.count, block.d.dtype) + 0 * block.d[:, :1]
    else:
        q = _live(np.exp(theta * block.d), block)
        q /= _sum(q)
    # of z, not of d, in which small logits are rounded beside a large one; a rounded mean is the same for all of a row
    z = block.z if block.live is None else np.where(block.live, block.z, 0)
    v = _live(z - _sum(q * z), block)
    return _Tilted(q, _live(v - _sum(q * v), block))


def _far(block: _Block, order: Order, *, forward: bool) -> tuple[Array, Array]:
    """Return D by differences, and where these lose nothing."""
    alpha, t = order.alpha, order.t
    if not forward and alpha >= 1:
        return _far_from(block, alpha, t)
    own = order if forward else Order(-t, -alpha)
    whole = np.log(block.outcomes)
    gap = whole - exact_rows(block.z, own, full=False).rows.h
    return gap if forward else gap * (alpha / -t), gap * SHARE >= whole


def _far_from(block: _Block, alpha: float, t: float) -> tuple[Array, Array]:
    """Return D(u‖p) for α >= 1."""
    mean = np.log(_sum(_live(np.exp(block.d), block)) / block.count)
    if alpha == 1:
        low = _sum(block.d) / -block.count
        size = low
    else:
        low = -np.minimum.reduce(block.d, axis=-1, keepdims=True)
        powers = np.log(_sum(_live(np.exp(-t * (block.d + low)), block)) / block.count)
        size = low + (1 - powers) / t
        low = low + powers / t
    value = mean + low
    # 1 for the rounding of the sum in its logarithm
    return value, value * SHARE >= size - mean + 1


def _near(block: _Block, order: Order, *, forward: bool) -> Array:
    """Return D in the form for rows near u."""
    alpha, t = order.alpha, order.t
    if alpha >= 1:
        base = _tilted(block, float(forward))
        one, other, weight = (-1.0, t, t) if forward else (1.0, -t, t)
        value = base.cumulants(one)
        if t != 0:
            value += base.cumulants(other) / weight
        part: Any = 1
    else:
        base = _tilted(block, alpha if forward else -t)
        one, other = (-alpha, -t) if forward else (alpha, t)
        value = base.cumulants(one) + (alpha / -t) * base.cumulants(other)
        part = 1 if forward else alpha / -t
    if block.live is None:
        return value
    return value + part * np.log1p((block.outcomes - block.count) / block.count)


def _values(block: _Block, order: Order, *, forward: bool) -> tuple[Array, Array]:
    """Return D and the indices of rows that neither form suits: none of numbers, and wide ones near u."""
    value, known = _far(block, order, forward=forward)
    rest = np.flatnonzero(~known)
    lost = rest
    if len(rest):
        some = _some(block, rest)
        value[rest] = _near(some, order, forward=forward)
        lost = rest[~_is_narrow(some, max(1.0, order.alpha))]
    if not forward and order.alpha >= 1 and block.live is not None:
        # p is 0 where u is not
        lost = np.union1d(lost, np.flatnonzero(block.count < block.outcomes))
    return value, lost


def _gradient_from(block: _Block, order: Order) -> Array:
    """Return ∂D(u‖p)/∂z."""
    p = _live(np.exp(block.d), block)
    p /= _sum(p)
    pi = _powers(block, order.t)
    gradient = p - pi
    # of rows that are near u, the difference of two that are nearly equal
    squares = np.vecdot(p, p) + (np.vecdot(pi, pi) if order.t != 0 else 1 / np.ravel(block.count))
    close = np.vecdot(gradient, gradient) * SHARE**2 < squares
    near = np.flatnonzero(close & _is_narrow(block, order.alpha))
    if len(near):
        some = _some(block, near)
        base = _tilted(some, 1.0)
        exponent = -order.alpha * base.v
        exponent -= base.cumulants(-order.alpha)
        inner = np.expm1(exponent)
        inner *= -base.q
        gradient[near] = np.where(np.abs(exponent) <= 1, inner, gradient[near])
    sure = np.flatnonzero(np.maximum.reduce(p, axis=-1) > 0.5)
    if len(sure):
        top = p[sure].argmax(axis=-1)
        gradient[sure, top] = 0
        gradient[sure, top] = -np.add.reduce(gradient[sure], axis=-1)
    return gradient


def _powers(block: _Block, t: float) -> Array:
    """Return π."""
    if t == 0:
        return (1 if block.live is None else block.live) / block.count
    lowest = np.minimum.reduce(block.d, axis=-1, keepdims=True) if t > 0 else 0
    pi = _live(np.exp(-t * (block.d - lowest)), block)
    pi /= _sum(pi)
    return pi


def of_uniform(
    x: Array,
    order: Order,
    where: Array | None,
    axis: Axis,
    xp: Any,
    *,
    forward: bool,
    scale: Any = None,
    with_gradient: bool = False,
) -> tuple[Array, Any]:
    """Return the divergence of rows from u, or of u from them, and its gradient with respect to the logits, or None.

    Rows that suit no form of this module are left to that of any two distributions.
    """
    walk = RowBlocks(x, order, where, axis, scale, flat=False)
    values = walk.new_rows(x.dtype)
    gradient: Any = None
    target: Any = None
    if with_gradient:
        gradient, target = walk.new_entries(x.dtype)
    with np.errstate(all="ignore"):
        for index, z, mask, _, factor in walk.blocks(max(1, BLOCK // walk.n)):
            block = _block(z, mask)
            value, lost = _values(block, order, forward=forward)
            column = factor[:, None] if isinstance(factor, np.ndarray) else factor
            part: Any = None
            if with_gradient and forward:
                minus = -1 if column is None else -column
                part = exact_gradient(exact_rows(block.z, order, full=True), order, minus)
            elif with_gradient:
                part = _gradient_from(block, order)
                part = part if column is None else part * column
            if len(lost):
                u = np.zeros_like(z[lost])
                pair = (z[lost], u) if forward else (u, z[lost])
                kwargs = {"source": "logits", "where": None if mask is None else mask[lost], "axis": (-1,), "xp": xp}
                if with_gradient and not forward:
                    own = column[lost] if isinstance(column, np.ndarray) else column
                    value[lost], part[lost] = general.divergence_and_gradient(
                        *pair, order, wrt=(1,), scale=own, **kwargs
                    )
                else:
                    value[lost] = general.divergence(*pair, order, **kwargs)
            if with_gradient:
                settle(part, None, value, column)
            if with_gradient and mask is not None:
                part = np.where(mask, part, 0)
            values[index] = value.reshape(np.shape(values[index]))
            if with_gradient:
                target[index] = part.reshape(target[index].shape)
    return walk.as_rows(values), gradient
