"""The Jensen–Rényi divergence by its definition, in 80 digits, and the sets of distributions it is measured on."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import DIGITS

ORDERS = (0.0, 1e-20, 0.3, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 1.7, 2.0, 5.0, 20.0, math.inf)


class Exact(NamedTuple):
    """J, its derivatives along log P_k, w and α, and the size of the terms that J is a sum of."""

    value: float
    along_entries: np.ndarray
    along_weights: list
    alpha_gradient: float
    terms: float


def exact(probs, weights, alpha):
    with mpmath.workdps(DIGITS):
        rows = tuple(tuple(map(float, row)) for row in probs)
        return _exact(rows, tuple(map(float, weights)), float(alpha))


def _entropy(p, a):
    """H, its derivative along log p as if Σ p were free, and along α."""
    live = [i for i, v in enumerate(p) if v > 0]
    zero = mpmath.mpf(0)
    if math.isinf(a):
        top = max(p)
        ties = [i for i in live if abs(p[i] - top) < top * mpmath.mpf(10) ** -40]
        return -mpmath.log(top), [-mpmath.mpf(i in ties) / len(ties) for i in range(len(p))], zero
    logs = {i: mpmath.log(p[i]) for i in live}
    if a == 1:
        h = -mpmath.fsum(p[i] * logs[i] for i in live)
        along = [-p[i] * (logs[i] + 1) if i in logs else zero for i in range(len(p))]
        return h, along, -mpmath.fsum(p[i] * (logs[i] + h) ** 2 for i in live) / 2
    powers = {i: mpmath.exp(a * logs[i]) for i in live}
    total = mpmath.fsum(powers.values())
    t = mpmath.mpf(a) - 1
    h = -mpmath.log(total) / t
    along = [-a / t * powers[i] / total if i in logs else zero for i in range(len(p))]
    return h, along, -(mpmath.fsum(powers[i] / total * logs[i] for i in live) + h) / t


@functools.cache
def _exact(rows, weights, alpha):
    a = alpha if math.isinf(alpha) or alpha == 1 else mpmath.mpf(alpha)
    w = [mpmath.mpf(v) for v in weights]
    w_total = mpmath.fsum(w)
    w = [v / w_total for v in w]
    ps = []
    for row in rows:
        own = [mpmath.mpf(v) for v in row]
        total = mpmath.fsum(own)
        ps.append([v / total for v in own])
    n = len(rows[0])
    m = [mpmath.fsum(wk * p[i] for wk, p in zip(w, ps, strict=True)) for i in range(n)]
    h, along_m, slope_m = _entropy(m, a)
    own = [_entropy(p, a) for p in ps]
    value = h - mpmath.fsum(wk * each[0] for wk, each in zip(w, own, strict=True))
    slope = slope_m - mpmath.fsum(wk * each[2] for wk, each in zip(w, own, strict=True))
    entries, along_w = np.zeros((len(ps), n)), []
    for k, p in enumerate(ps):
        free = [w[k] * (along_m[i] * p[i] / m[i] - own[k][1][i]) if m[i] > 0 else mpmath.mpf(0) for i in range(n)]
        total = mpmath.fsum(free)
        entries[k] = [float(f - p[i] * total) for i, f in enumerate(free)]
        along_w.append(mpmath.fsum(along_m[i] * p[i] / m[i] for i in range(n) if m[i] > 0) - own[k][0])
    mean = mpmath.fsum(wk * g for wk, g in zip(w, along_w, strict=True))
    along_w = [g - mean for g in along_w]
    terms = mpmath.fsum(wk * (abs(g + value) + _terms(p, m, a)) for wk, g, p in zip(w, along_w, ps, strict=True))
    return Exact(value, entries, [g / w_total for g in along_w], slope, float(terms))


def _terms(p, m, a):
    """The part Σ μ K(r) of what one distribution adds to J, or for distant ones the size of its parts β and α F."""
    if math.isinf(a) or a <= 1:
        return mpmath.mpf(0)
    live = [i for i, v in enumerate(m) if v > 0]
    total = mpmath.fsum(m[i] ** a for i in live)
    mu = {i: m[i] ** a / total for i in live}
    ratio = {i: p[i] / m[i] for i in live}
    first = a * mpmath.fsum(mu[i] * (ratio[i] - 1) for i in live)
    powers = mpmath.fsum(mu[i] * ratio[i] ** a for i in live)
    return min(powers - 1 - first, abs(mpmath.log(powers)) + abs(first)) / (a - 1)


def sets(dtype="float64"):
    """Return sets of distributions and weights by name."""
    rng = np.random.default_rng(0)
    n = 8
    base, noise = rng.uniform(0.1, 1, size=n), rng.normal(size=(3, n))
    base = base / base.sum()
    equal, some = np.ones(3), np.asarray([0.5, 0.2, 0.3])
    spread = np.exp(2 * rng.normal(size=(3, n)))
    holes = spread.copy()
    holes[0, :3], holes[1, 2:5], holes[2, 7] = 0, 0, 0
    blocks = np.kron(np.eye(3), rng.uniform(0.1, 1, size=(1, 3)))[:, :n]
    empty = spread.copy()
    empty[:, 4] = 0
    sure = np.full((3, n), 1e-12)
    sure[:, 0] = 1
    sure[1, 3] = 1e-6

    def near(gap):
        rows = base * (1 + gap * noise)
        return rows / rows.sum(1, keepdims=True)

    found = {
        "independent": (spread, some),
        "normalized": (spread / spread.sum(1, keepdims=True), equal),
        "near": (near(1e-3), some),
        "nearer": (near(1e-8), equal),
        "nearest": (near(1e-14), some),
        "nearer but one": (
            np.concatenate([near(1e-8)[:2], spread[2:] / spread[2].sum()]),
            np.asarray([0.5, 0.5, 1e-20]),
        ),
        "nearer, of other sums": (near(1e-8) * np.asarray([[0.7], [1.0], [600.0]]), some),
        "nearer, uneven weights": (near(1e-8), np.asarray([1e-4, 1e-7, 1.0])),
        "nearly certain": (
            np.eye(3, n)[[0, 0, 0]] + np.eye(3, n, 1) * [[1e-9], [0], [0]],
            np.asarray([0.05, 1.0, 0.01]),
        ),
        "near, nearly certain": (np.exp(-9.0 * np.arange(n)) * (1 + 1e-4 * noise), some),
        "the same": (np.stack([base] * 3), equal),
        "zeros": (holes, some),
        "near, with zeros": (near(1e-8) * (np.arange(n) < 6), some),
        "disjoint": (blocks, some),
        "an outcome of none": (empty, equal),
        "sure": (sure, some),
        "sure of others": (np.eye(3, n) + 1e-9, some),
        "uneven weights": (spread, np.asarray([1e-9, 1.0, 1e-4])),
        "a weight of 0": (spread, np.asarray([1.0, 0.0, 2.0])),
        "of sums far apart": (spread * np.asarray([[1e-30], [1.0], [1e30]]), some),
        "peaked": (np.exp(8 * rng.normal(size=(3, n))), some),
    }
    return {name: (probs.astype(dtype), weights.astype(dtype)) for name, (probs, weights) in found.items()}
