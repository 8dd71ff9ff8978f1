"""Divergences of the power sum W = Σ p**α q**(1−α) by their definitions, in 80 digits."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
from oracle import DIGITS
from oracle_pairs import _weights


class Exact(NamedTuple):
    """The value, its derivatives with respect to the entries of each (None where p or q is 0), and to α, and t D."""

    value: float
    gradients: tuple[list, list]
    alpha_gradient: float
    exponent: float


def exact(family, x, y, alpha, door):
    with mpmath.workdps(DIGITS):
        return _exact(family, tuple(map(float, x)), tuple(map(float, y)), alpha, door)


@functools.cache
def _exact(family, x, y, alpha, door):
    if family == "alpha" and alpha == 0:
        # the Kullback–Leibler divergence the other way
        other = _exact("alpha", y, x, 1.0, door)
        return Exact(other.value, other.gradients[::-1], -other.alpha_gradient, other.exponent)
    (p, p_total), (q, q_total) = _weights(x, door), _weights(y, door)
    n, zero, a = len(p), mpmath.mpf(0), mpmath.mpf(alpha)
    live = [i for i in range(n) if p[i] > 0 and q[i] > 0]
    lost = any(p[i] > 0 and q[i] == 0 for i in range(n))
    if math.isinf(alpha):
        same = p == q
        none = [zero] * n if same else []
        return Exact(zero if same else math.inf, (none, none), zero, 0.0)
    if lost and alpha >= 1:
        return Exact(math.inf, ([], []), math.nan, 0.0)
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
    if family == "alpha":
        slope = (slope - value / a) / a
        value, along_p, along_q = value / a, [g / a for g in along_p], [g / a for g in along_q]
    if door == "probs":
        along_p = [g / p[i] / p_total if p[i] > 0 else None for i, g in enumerate(along_p)]
        along_q = [g / q[i] / q_total if q[i] > 0 else None for i, g in enumerate(along_q)]
    return Exact(value, (along_p, along_q), slope, float(mpmath.log(total)) if live else 0.0)
