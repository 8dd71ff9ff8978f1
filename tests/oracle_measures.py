"""Measures of two distributions other than Rényi's divergence, by their definitions, in 80 digits."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import DIGITS
from oracle_pairs import _weights

ORDERS = (0.0, 1e-17, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 1.7, 2.0, 5.0, 20.0, 1e3, math.inf)


class Exact(NamedTuple):
    """The value, its derivatives with respect to the entries of each, of their source (None: none), and to α.

    ``factor`` multiplies the bounds. The error along α is measured next to ``floor``, the size of what adds up to it,
    if that is the larger.
    """

    value: float
    gradients: tuple[list, list]
    alpha_gradient: float
    factor: float = 1.0
    floor: float = 0.0


def exact(measure, x, y, alpha, source):
    f = _cross if measure == "cross" else functools.partial(_power, measure)
    # next to 0 and 1 the quotients take as many digits as α has zeros there
    with mpmath.workdps(DIGITS if min(alpha, abs(alpha - 1)) > 1e-6 else 2 * DIGITS):
        return f(tuple(map(float, x)), tuple(map(float, y)), float(alpha), source)


def misses(got, want, eps, dtype):
    """The errors of (value, p, q, α), in eps."""
    parts = ((want.value, 0), (want.gradients[0], 0), (want.gradients[1], 0), (want.alpha_gradient, want.floor))
    return [_miss(g, w, floor, eps, np.finfo(dtype)) for g, (w, floor) in zip(got, parts, strict=True)]


def _miss(got, want, floor, eps, info):
    with mpmath.workdps(DIGITS):
        pairs = zip(np.atleast_1d(got), np.atleast_1d(want), strict=True)
        pairs = [(float(g), w) for g, w in pairs if w is not None and abs(w) < float(info.max)]
        norm = mpmath.sqrt(mpmath.fsum(w * w for _, w in pairs))
        miss = mpmath.sqrt(mpmath.fsum((mpmath.mpf(g) - w) ** 2 for g, w in pairs))
        size = max(norm, floor)
        size = max(size, float(info.tiny)) if size > mpmath.mpf(10) ** (30 - DIGITS) else 1
        return float(miss / size / eps)


@functools.cache
def _power(family, x, y, alpha, source):
    """The Tsallis ("tsallis") or α-divergence ("alpha"), of the power sum W = Σ p**α q**(1−α)."""
    if family == "alpha" and alpha == 0:
        # the Kullback–Leibler divergence the other way
        other = _power("alpha", y, x, 1.0, source)
        return other._replace(gradients=other.gradients[::-1], alpha_gradient=-other.alpha_gradient)
    (p, p_total), (q, q_total) = _weights(x, source), _weights(y, source)
    n, zero, a = len(p), mpmath.mpf(0), mpmath.mpf(alpha)
    live = [i for i in range(n) if p[i] > 0 and q[i] > 0]
    if math.isinf(alpha):
        none = [zero] * n
        return Exact(zero, (none, none), zero) if p == q else Exact(math.inf, ([], []), math.nan)
    if any(p[i] > 0 and q[i] == 0 for i in range(n)) and alpha >= 1:
        return Exact(math.inf, ([], []), math.nan)
    logs = {i: mpmath.log(p[i] / q[i]) for i in live}
    w = [q[i] * mpmath.exp(a * logs[i]) if i in logs else zero for i in range(n)]
    total, t = mpmath.fsum(w), a - 1
    moments = [mpmath.fsum(w[i] * logs[i] ** k for i in live) for k in (1, 2)]
    if alpha == 1:
        value, slope = moments[0], moments[1] / 2
        along_p = [p[i] * (logs[i] - value) if i in logs else zero for i in range(n)]
    else:
        value = (total - 1) / t
        slope = (moments[0] - value) / t
        along_p = [a / t * (w[i] - p[i] * total) for i in range(n)]
    along_q = [q[i] * total - w[i] for i in range(n)]
    floor = 0.0
    if family == "alpha":
        slope = (slope - value / a) / a
        value, along_p, along_q = value / a, [g / a for g in along_p], [g / a for g in along_q]
        floor = mpmath.fsum(abs(term) for term in _slopes(p, q, logs, a))
    if source == "probs":
        along_p = [g / p[i] / p_total if p[i] > 0 else None for i, g in enumerate(along_p)]
        along_q = [g / q[i] / q_total if q[i] > 0 else None for i, g in enumerate(along_q)]
    factor = 1 + abs(float(mpmath.log(total))) if live else 1.0
    return Exact(value, (along_p, along_q), slope, factor, floor)


def _slopes(p, q, logs, a):
    """What each outcome adds to ∂A/∂α."""
    t = a - 1
    for i in range(len(p)):
        if i in logs:
            r = logs[i]
            if t == 0:
                yield q[i] * (mpmath.exp(r) * r**2 / 2 - (r * mpmath.exp(r) - mpmath.expm1(r)))
                continue
            gap = mpmath.expm1(a * r) - a * mpmath.expm1(r)
            yield q[i] * (r * mpmath.exp(a * r) - mpmath.expm1(r) - gap * (2 * a - 1) / a / t) / a / t
        else:
            yield p[i] / t**2 if p[i] else -q[i] / a**2


@functools.cache
def _cross(x, y, alpha, source):
    """The cross-entropy."""
    (p, p_total), (q, q_total) = _weights(x, source), _weights(y, source)
    n, zero, a = len(p), mpmath.mpf(0), mpmath.mpf(alpha)
    t = a - 1
    known = [i for i in range(n) if q[i] > 0]
    live = [i for i in known if p[i] > 0]
    if not live or (any(p[i] > 0 and q[i] == 0 for i in range(n)) and alpha <= 1):
        return Exact(math.inf, ([], []), math.nan)
    cost = {i: -mpmath.log(q[i]) for i in known}
    if math.isinf(alpha):
        value, slope, ratios = min(cost[i] for i in live), zero, [zero] * n
        share = [p[i] if i in live and cost[i] == value else zero for i in range(n)]
        tilted = [s / mpmath.fsum(share) for s in share]
    elif alpha == 1:
        value, tilted = mpmath.fsum(p[i] * cost[i] for i in live), p
        slope = -mpmath.fsum(p[i] * (cost[i] - value) ** 2 for i in live) / 2
        ratios = [cost[i] - value if i in cost else zero for i in range(n)]
    else:
        powers = {i: mpmath.exp(-t * cost[i]) for i in known}
        total = mpmath.fsum(p[i] * powers[i] for i in live)
        value, tilted = -mpmath.log(total) / t, [p[i] * powers[i] / total if i in cost else zero for i in range(n)]
        slope = (mpmath.fsum(tilted[i] * cost[i] for i in live) - value) / t
        ratios = [(1 - powers.get(i, zero) / total) / t for i in range(n)]
    along_p = [p[i] * ratios[i] for i in range(n)]
    along_q = [q[i] - tilted[i] for i in range(n)]
    if source == "probs":
        along_p = [ratios[i] / p_total if i in cost or p[i] > 0 else zero for i in range(n)]
        along_q = [g / q[i] / q_total if q[i] > 0 else zero for i, g in enumerate(along_q)]
    return Exact(value, (along_p, along_q), slope)
