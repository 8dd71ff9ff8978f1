"""The Rényi cross-entropy by its definition, in 80 digits."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
from oracle import DIGITS
from oracle_pairs import _weights


class Exact(NamedTuple):
    """H, its derivatives with respect to the entries of each, through their door, and to α, and p log(max q/q)."""

    value: float
    gradients: tuple[list, list]
    alpha_gradient: float
    costs: list


def exact(x, y, alpha, door):
    with mpmath.workdps(DIGITS):
        return _exact(tuple(map(float, x)), tuple(map(float, y)), alpha, door)


@functools.cache
def _exact(x, y, alpha, door):
    (p, p_total), (q, q_total) = _weights(x, door), _weights(y, door)
    n, zero, a = len(p), mpmath.mpf(0), mpmath.mpf(alpha)
    t = a - 1
    known = [i for i in range(n) if q[i] > 0]
    live = [i for i in known if p[i] > 0]
    if not live or (any(p[i] > 0 and q[i] == 0 for i in range(n)) and alpha <= 1):
        return Exact(math.inf, ([], []), math.nan, [])
    cost = {i: -mpmath.log(q[i]) for i in known}
    if math.isinf(alpha):
        value = min(cost[i] for i in live)
        share = [p[i] if i in live and cost[i] == value else zero for i in range(n)]
        tilted, slope = [s / mpmath.fsum(share) for s in share], zero
        ratios = [zero] * n
    elif alpha == 1:
        value, tilted = mpmath.fsum(p[i] * cost[i] for i in live), p
        slope = -mpmath.fsum(p[i] * (cost[i] - value) ** 2 for i in live) / 2
        ratios = [cost[i] - value if i in cost else None for i in range(n)]
    else:
        powers = {i: mpmath.exp(-t * cost[i]) for i in known}
        total = mpmath.fsum(p[i] * powers[i] for i in live)
        value, tilted = -mpmath.log(total) / t, [p[i] * powers[i] / total if i in cost else zero for i in range(n)]
        slope = (mpmath.fsum(tilted[i] * cost[i] for i in live) - value) / t
        ratios = [(1 - powers.get(i, zero) / total) / t for i in range(n)]
    along_p = [p[i] * ratios[i] if p[i] > 0 else zero for i in range(n)]
    along_q = [q[i] - tilted[i] for i in range(n)]
    least = min(cost.values())
    costs = [p[i] * (cost[i] - least) if i in live else zero for i in range(n)]
    if door == "probs":
        along_p = [ratios[i] / p_total if i in cost or p[i] > 0 else zero for i in range(n)]
        along_q = [g / q[i] / q_total if q[i] > 0 else zero for i, g in enumerate(along_q)]
        costs = [cost[i] - least if i in live else zero for i in range(n)]
    return Exact(value, (along_p, along_q), slope, costs)
