"""The divergence of two distributions by its definition, in 80 digits, and the pairs that it is measured on."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import DIGITS

ORDERS = (
    0.0,
    1e-3,
    0.1,
    0.3,
    0.5,
    0.9,
    1 - 1e-6,
    1 - 1e-12,
    1.0,
    1 + 1e-12,
    1 + 1e-6,
    1.1,
    1.5,
    1.7,
    2.0,
    3.0,
    5.0,
    20.0,
)
ORDERS += (1e3, 1e6, math.inf)


class Exact(NamedTuple):
    """D, its derivatives with respect to the entries of each (None where p or q is 0 in its source), and to α."""

    value: float
    gradients: tuple[list, list]
    alpha_gradient: float


def _weights(row, source):
    values = [mpmath.mpf(float(v)) for v in row]
    if source == "logits":
        values = [mpmath.exp(v) if v > -mpmath.inf else mpmath.mpf(0) for v in values]
    total = mpmath.fsum(values)
    return [v / total for v in values], total


def exact(x, y, alpha, source):
    with mpmath.workdps(DIGITS):
        return _exact(tuple(map(float, x)), tuple(map(float, y)), alpha, source)


@functools.cache
def _exact(x, y, alpha, source):
    (p, p_total), (q, q_total) = _weights(x, source), _weights(y, source)
    n, zero = len(p), mpmath.mpf(0)
    live = [i for i in range(n) if p[i] > 0 and q[i] > 0]
    lost = any(p[i] > 0 and q[i] == 0 for i in range(n))
    if not live or (lost and alpha >= 1):
        return Exact(math.inf, ([], []), math.nan)
    logs = {i: mpmath.log(p[i] / q[i]) for i in live}
    a = mpmath.mpf(alpha)
    if math.isinf(alpha):
        value = max(logs.values())
        ties = [i for i in live if logs[i] == value]
        tilted = [mpmath.mpf(i in ties) / len(ties) for i in range(n)]
        along_p, slope = [tilted[i] - p[i] for i in range(n)], zero
    elif alpha == 1:
        value, tilted = mpmath.fsum(p[i] * logs[i] for i in live), p
        along_p = [p[i] * (logs[i] - value) if i in logs else zero for i in range(n)]
        slope = mpmath.fsum(p[i] * (logs[i] - value) ** 2 for i in live) / 2
    else:
        weights = [q[i] * mpmath.exp(a * logs[i]) if i in logs else zero for i in range(n)]
        total = mpmath.fsum(weights)
        value, tilted = mpmath.log(total) / (a - 1), [w / total for w in weights]
        along_p = [a / (a - 1) * (tilted[i] - p[i]) for i in range(n)]
        slope = (mpmath.fsum(tilted[i] * logs[i] for i in live) - value) / (a - 1)
    along_q = [q[i] - tilted[i] for i in range(n)]
    if source == "probs":
        along_p = [g / p[i] / p_total if p[i] > 0 else None for i, g in enumerate(along_p)]
        along_q = [g / q[i] / q_total if q[i] > 0 else None for i, g in enumerate(along_q)]
    return Exact(value, (along_p, along_q), slope)


def error(got, want, eps):
    """The error of a number or, norm-wise, of a vector, in eps; absolute where the exact one is 0 but for digits."""
    pairs = [(g, w) for g, w in zip(np.atleast_1d(got), np.atleast_1d(want), strict=True) if w is not None]
    with mpmath.workdps(DIGITS):
        norm = mpmath.sqrt(mpmath.fsum(w * w for _, w in pairs))
        miss = mpmath.sqrt(mpmath.fsum((mpmath.mpf(float(g)) - w) ** 2 for g, w in pairs))
        return float(miss / (norm if norm > mpmath.mpf(10) ** (30 - DIGITS) else 1) / eps)


def pairs(dtype, n=20):
    """Return pairs of logits by name."""
    rng = np.random.default_rng(0)
    x, y, noise = rng.normal(size=(3, n))
    x, y = 3 * x, 3 * y
    found = {
        "independent": (x, y),
        "distant": (20 * x, 20 * y),
        "near": (x, x + 1e-3 * noise),
        "nearer": (x, x + 1e-8 * noise),
        "nearest": (x, x + 1e-14 * noise),
        "nearer, logits 5 apart": (x, x + 1e-8 * noise + 5),
        "nearer, p is zero": (_put(x, 4, -np.inf), x + 1e-8 * noise),
        "nearly uniform": (1e-5 * noise, y),
        "both nearly uniform": (1e-5 * noise, 1e-6 * y),
        "nearly uniform, q is zero": (_put(1e-9 * noise, 5, 10.0), _put(1e-10 * y, 5, -np.inf)),
        "the same": (x, x),
        "against uniform": (x, 0 * x),
        "a shared zero": (_put(x, 3, -np.inf), _put(y, 3, -np.inf)),
        "p is zero": (_put(x, 4, -np.inf), y),
        "q is zero": (x, _put(y, 5, -np.inf)),
        "near, q is zero": (_put(x, 5, -40.0), _put(x + 1e-8 * noise, 5, -np.inf)),
        "disjoint": (_put(x, slice(5, n), -np.inf), _put(y, slice(5), -np.inf)),
        "nearly disjoint": (_put(x, slice(11, n), -np.inf), _put(y, slice(10), -np.inf)),
        "peaked apart": (_put(x, 0, 60.0), _put(y, 1, 60.0)),
        "peaked together": (_put(x, 0, 60.0), _put(y, 0, 60.0)),
    }
    return {name: (one.astype(dtype), other.astype(dtype)) for name, (one, other) in found.items()}


def _put(x, index, value):
    x = x.copy()
    x[index] = value
    return x
