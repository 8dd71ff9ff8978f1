"""The definitions in 80-digit arithmetic, and the grid of cases that every engine is measured on.

Nothing here shares a formula with the library: textbook definitions, with digits to spare for what they cancel.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import gmpy2
import numpy as np
from gmpy2 import mpfr

DIGITS = 80
BITS = 270
"""The same, for gmpy2: this oracle is asked tens of thousands of times."""

ORDERS = (
    0.0,
    1e-3,
    0.01,
    0.1,
    0.3,
    0.5,
    0.75,
    0.9,
    1 - 1e-6,
    1 - 1e-12,
    1.0,
    1 + 1e-12,
    1 + 1e-6,
    1.1,
    1.25,
    1.7,
    2.0,
    3.0,
    5.0,
    20.0,
    1e3,
    1e6,
    math.inf,
)
FEW = (0.0, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-6, 1.7, 2.0, 1e3, math.inf)
"""One of each class."""


class Pair(NamedTuple):
    """A number or array to twice the digits of float64, as the unevaluated sum high + low."""

    high: np.ndarray
    low: np.ndarray


class Exact(NamedTuple):
    """The exact values for one distribution and one order."""

    entropy: Pair
    hill: Pair
    tsallis: Pair
    gradient: Pair  # of the entropy with respect to the logits or the probabilities
    power_sum: float
    alpha_gradient: Pair
    tsallis_alpha_gradient: Pair
    hill_alpha_gradient: Pair


def _pair(values):
    values = [v if abs(v) > mpfr(10) ** (35 - DIGITS) else mpfr(0) for v in values]  # what canceled to 0
    high = np.asarray([float(v) for v in values])
    return Pair(
        high, np.asarray([float(v - h) if math.isfinite(h) else 0.0 for v, h in zip(values, high, strict=True)])
    )


@functools.cache
def _weights(key, source):
    """Return the distinct entries of a row with their multiplicities: log p, p, and where they came from."""
    row = np.frombuffer(key[0], dtype=key[1])
    values, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    values = [mpfr(float(v)) for v in values]
    counts = [int(c) for c in counts]
    if source == "logits":
        top = max(values)
        weights = [gmpy2.exp(v - top) if v > -math.inf else mpfr(0) for v in values]
        total = gmpy2.fsum([w * c for w, c in zip(weights, counts, strict=True)])
        logs = [v - top - gmpy2.log(total) for v in values]
        scale = mpfr(1)
    else:
        weights = values
        total = gmpy2.fsum([w * c for w, c in zip(weights, counts, strict=True)])
        logs = [gmpy2.log(w / total) if w > 0 else -math.inf for w in weights]
        scale = total
    return logs, [w / total for w in weights], counts, inverse, scale


def exact(row: np.ndarray, alpha: float, source: str) -> Exact:
    """Return the exact values for one row of logits or probabilities."""
    with gmpy2.context(precision=BITS):
        return _exact((row.tobytes(), row.dtype.str), alpha, source)


@functools.cache
def _exact(key, alpha, source):
    logs, probs, counts, inverse, scale = _weights(key, source)
    n = len(probs)
    live = [i for i in range(n) if probs[i] > 0]
    a = mpfr(alpha)
    t = a - 1

    def total(terms):
        return gmpy2.fsum(list(terms))

    zero = mpfr(0)
    mean_log = total(counts[i] * probs[i] * logs[i] for i in live)
    if math.isinf(alpha):
        top = max(live, key=lambda i: probs[i])
        h = -logs[top]
        power = zero
        over_p = [1 - (1 / (counts[i] * probs[i]) if i == top else 0) for i in range(n)]
        slope = tsallis = tsallis_slope = zero
    elif t == 0:
        h = tsallis = -mean_log
        power = mpfr(1)
        over_p = [-logs[i] - h if i in set(live) else zero for i in range(n)]
        slope = -total(counts[i] * probs[i] * (logs[i] - mean_log) ** 2 for i in live) / 2
        second = total(counts[i] * probs[i] * logs[i] ** 2 for i in live)
        tsallis_slope = -second / 2
    else:
        escort = {i: gmpy2.exp(a * logs[i]) for i in live}
        power = total(counts[i] * escort[i] for i in live)
        mean = total(counts[i] * escort[i] * logs[i] for i in live)
        h = -gmpy2.log(power) / t
        tsallis = (1 - power) / t
        at_zero = a / t if alpha > 1 else zero
        over_p = [a / t * (1 - escort[i] / power / probs[i]) if probs[i] > 0 else at_zero for i in range(n)]
        slope = gmpy2.log(power) / t**2 - mean / power / t
        tsallis_slope = -(1 - power) / t**2 - mean / t
    gradient = (
        [g * p for g, p in zip(over_p, probs, strict=True)] if source == "logits" else [g / scale for g in over_p]
    )
    high, low = _pair(gradient)
    hill = gmpy2.exp(h)
    return Exact(
        *(_pair([v]) for v in (h, hill, tsallis)),
        Pair(high[inverse], low[inverse]),
        float(power),
        *(_pair([v]) for v in (slope, tsallis_slope, hill * slope)),
    )


def error(got, want: Pair, eps: float, axis=None) -> float:
    """Return the error relative to the norm of what is wanted, in units of eps; norm-wise over all entries."""
    got = np.asarray(got, dtype=np.float64)
    if not np.all(np.isfinite(got)):
        return math.inf
    difference = np.linalg.norm((got - want.high) - want.low)
    norm = np.linalg.norm(want.high)
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return float(difference / norm / eps)


def _softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


@functools.cache
def rows(dtype: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the rows of the accuracy grid by name, each as logits and as probabilities of the dtype."""
    rng = np.random.default_rng(20261123)
    spread = {
        "one category": np.zeros(1),
        "two": np.asarray([0.3, -1.1]),
        "flat": np.full(7, 2.5),
        "flat 100000": np.zeros(100_000),
        "nearly flat": 1.5 + rng.normal(size=200) * (1e-9 if dtype == "float64" else 1e-5),
        "normal": rng.normal(size=200) * 3,
        "wide": rng.normal(size=150) * 30,
        "zipf": -np.log(np.arange(1, 301)),
        "peaked": np.concatenate([[9.0], rng.normal(size=120)]),
        "near-deterministic": np.concatenate([[0.0], np.full(5, -27.6) + rng.normal(size=5)]),
        "masked": np.where(rng.random(120) < 0.4, -np.inf, rng.normal(size=120)),
        "masked but one": np.asarray([-np.inf, 3.0, -np.inf]),
        "tied": np.concatenate([np.full(3, 4.0), rng.normal(size=100), np.full(50, 1.0)]),
        "tied and certain": np.asarray([5.0, -30.0, 5.0, -31.5]),
        "far tail": np.concatenate([[0.0, -1.0], -rng.uniform(20, 80, size=60)]),
        "offset": 1e4 + np.round(rng.normal(size=100) * 4, 2),
        "100000": rng.permutation(np.repeat(rng.normal(size=100) * 2, 1000)),
    }
    tiny = float(np.finfo(dtype).tiny)
    table = {}
    for name, logits in spread.items():
        probs = _softmax(logits)
        probs = np.where(probs < tiny, 0.0, probs)  # subnormal numbers have digits to lose in p/max p
        table[name] = {"logits": logits.astype(dtype), "probs": probs.astype(dtype)}
    certain = np.concatenate([[1 - 1e-12], np.full(4, 2.5e-13)])
    table["1 - 1e-12"] = {"probs": certain.astype(dtype), "logits": np.log(certain).astype(dtype)}
    table["counts"] = {
        "probs": rng.integers(0, 50, size=120).astype(dtype),
        "logits": np.round(rng.normal(size=120), 1).astype(dtype),
    }
    return table


def padded(row: np.ndarray, source: str) -> np.ndarray:
    """Return the row with outcomes of weight 0 up to one of few lengths, for libraries that compile for each shape."""
    length = next(n for n in (8, 304, 100_000) if n >= row.size)
    return np.concatenate([row, np.full(length - row.size, -np.inf if source == "logits" else 0, dtype=row.dtype)])


def hessian_product(row: np.ndarray, vector: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Return the exact Hessian of the entropy with respect to the logits times a vector, and ‖H‖_F‖v‖."""
    with gmpy2.context(precision=BITS):
        return _hessian_product((row.tobytes(), row.dtype.str), tuple(map(float, vector)), alpha)


@functools.cache
def _hessian_product(key, vector, alpha):
    logs, probs, _, inverse, _ = _weights(key, "logits")
    logs, probs = [logs[i] for i in inverse], [probs[i] for i in inverse]
    n = len(probs)
    a = mpfr(alpha)
    if alpha == 0:
        return np.zeros(n), 0.0

    def escort(order):
        weights = [gmpy2.exp(order * value) if p > 0 else mpfr(0) for value, p in zip(logs, probs, strict=True)]
        total = gmpy2.fsum(weights)
        return [w / total for w in weights]

    def covariance(q):
        return [[(q[i] if i == j else 0) - q[i] * q[j] for j in range(n)] for i in range(n)]

    # ∇²H = (α/t)(Cov p − α Cov q), its limits at α = 1 (a difference of 1e-30 in α) and ∞
    if alpha == 1:
        a = mpfr(1) + mpfr(10) ** -30
    matrix = covariance(probs)
    if not math.isinf(alpha):
        pairs = zip(matrix, covariance(escort(a)), strict=True)
        matrix = [[a / (a - 1) * (x - a * y) for x, y in zip(*rows, strict=True)] for rows in pairs]
    product = [gmpy2.fsum([x * v for x, v in zip(line, vector, strict=True)]) for line in matrix]
    size = gmpy2.sqrt(gmpy2.fsum([x * x for line in matrix for x in line]))
    return np.asarray([float(v) for v in product]), float(size * gmpy2.sqrt(gmpy2.fsum([mpfr(v) ** 2 for v in vector])))
