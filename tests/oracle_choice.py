"""Regularized choices from the condition of stationarity in 80 digits, all roots of it; derivatives by differences.

With gaps γ = max s − s, p ∝ (δ − γ)₊^{1/(α−1)} and δ − ⟨p, γ⟩ = T α/(α − 1) for α > 1; p ∝ (δ + γ)^{−1/(1−α)} and
δ + ⟨p, γ⟩ = T α/(1 − α) for α < 1.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import DIGITS

STEP = mpmath.mpf(10) ** -25
ORDERS = (1e-20, 0.3, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1 + 1e-6, 1.5, 2.0, 4.0, 20.0, math.inf)

__all__ = ["ORDERS", "Exact", "along", "exact", "objective", "rows"]


class Exact(NamedTuple):
    """p and the value, the derivatives of p by s (a matrix), T and α, those of the value by T and α."""

    p: list
    value: float
    jacobian: list
    p_temperature: list
    p_alpha: list
    temperature: float
    alpha: float
    roots: int


def objective(p, scores, alpha, temperature):
    """Return ⟨p, s⟩ + T H_α(p)."""
    kept = [(w, s) for w, s in zip(p, scores, strict=True) if w > 0]
    mean = mpmath.fsum(w * s for w, s in kept)
    if alpha == 1:
        entropy = -mpmath.fsum(w * mpmath.log(w) for w, _ in kept)
    elif alpha == math.inf:
        entropy = -mpmath.log(max(w for w, _ in kept))
    else:
        entropy = mpmath.log(mpmath.fsum(w**alpha for w, _ in kept)) / (1 - alpha)
    return mean + temperature * entropy


class _Condition:
    """The distributions p(δ) and what is 0 where one of them is stationary."""

    def __init__(self, scores, alpha, temperature):
        top = max(scores)
        self.gaps = [top - s for s in scores]
        self.t = alpha - 1
        self.sign = 1 if self.t > 0 else -1
        self.level = temperature * alpha / abs(self.t)

    def p(self, delta):
        w = [delta - self.sign * gap if gap < mpmath.inf else mpmath.mpf(0) for gap in self.gaps]
        powers = [(x / delta) ** (1 / self.t) if x > 0 else mpmath.mpf(0) for x in w]
        size = mpmath.fsum(powers)
        return [power / size for power in powers]

    def __call__(self, delta):
        mean = mpmath.fsum(w * gap for w, gap in zip(self.p(delta), self.gaps, strict=True) if w > 0)
        return delta - self.sign * mean - self.level

    def roots(self):
        finite = [gap for gap in self.gaps if gap < mpmath.inf]
        if self.sign < 0:
            return [self.refined(self.level * mpmath.mpf(10) ** -60, self.level)]
        width = max(finite)
        nodes = {self.level + width * k / 48 for k in range(49)}
        for gap in finite:
            nodes |= {gap * (1 + mpmath.mpf(10) ** -k) for k in (2, 4, 8, 16)} | {gap}
        nodes = sorted(node for node in nodes if self.level <= node <= self.level + width)
        signs = [mpmath.sign(self(node)) for node in nodes]
        found = [node for node, sign in zip(nodes, signs, strict=True) if sign == 0]
        changes = [k for k in range(len(nodes) - 1) if signs[k] * signs[k + 1] < 0]
        return found + [self.refined(nodes[k], nodes[k + 1]) for k in changes]

    def refined(self, low, high):
        if self(high) == 0:
            return high
        return mpmath.findroot(self, (low, high), solver="anderson", tol=mpmath.mpf(10) ** -150, verify=False)

    def moved(self, delta):
        """Return the root next to one of a condition that is close: each step has 25 digits more than the last."""
        step = delta * STEP**1.5
        slope = (self(delta + step) - self(delta - step)) / (2 * step)
        for _ in range(4):
            delta -= self(delta) / slope
        return delta


def _near(condition, delta, scores, alpha, temperature):
    """Return the p that moves to these arguments from the root δ of a condition that is close."""
    near = _Condition(scores, alpha, temperature)
    return near.p(near.moved(delta * (near.level / condition.level)))


def along(scores, alpha, temperature, direction):
    """Return dp/dε, d²p/dε² and d³p/dε³ along a direction of the scores, the temperature and α, a list of n + 2."""
    with mpmath.workdps(3 * DIGITS if alpha == 1 else DIGITS):
        start = [mpmath.mpf(float(x)) for x in (*scores, temperature, alpha)]
        if alpha == 1:
            start[-1] += STEP**2
        condition = _Condition(start[:-2], start[-1], start[-2])
        roots = (
            (objective(condition.p(delta), start[:-2], start[-1], start[-2]), delta) for delta in condition.roots()
        )
        _, delta = max(roots)
        step = mpmath.mpf(10) ** -15

        def at(k):
            *moved, heat, order = (x + k * step * float(d) for x, d in zip(start, direction, strict=True))
            return _near(condition, delta, moved, order, heat)

        parts = list(zip(*map(at, range(-2, 3)), strict=True))
        first = [(q[3] - q[1]) / (2 * step) for q in parts]
        second = [(q[3] - 2 * q[2] + q[1]) / step**2 for q in parts]
        return first, second, [(q[4] - 2 * q[3] + 2 * q[1] - q[0]) / (2 * step**3) for q in parts]


def exact(scores, alpha, temperature):
    with mpmath.workdps(3 * DIGITS if alpha == 1 else DIGITS):
        return _exact(tuple(map(float, scores)), alpha, float(temperature))


@functools.cache
def _exact(scores, alpha, temperature):
    scores, temperature = [mpmath.mpf(s) for s in scores], mpmath.mpf(temperature)
    if alpha == math.inf:
        return _at_infinity(scores, temperature)
    # the limit, to 50 digits
    a = mpmath.mpf(alpha) if alpha != 1 else 1 + STEP**2
    condition = _Condition(scores, a, temperature)
    candidates = [(objective(condition.p(delta), scores, a, temperature), delta) for delta in condition.roots()]
    value, delta = max(candidates)
    p = condition.p(delta)

    def at(change, step):
        moved = [s + (step if change == k else 0) for k, s in enumerate(scores)]
        there = a + (step if change == "alpha" else 0), temperature + (step if change == "temperature" else 0)
        q = _near(condition, delta, moved, *there)
        return [*q, objective(q, moved, *there)]

    def difference(change):
        if isinstance(change, int) and scores[change] == -mpmath.inf:
            return [mpmath.mpf(0)] * (len(scores) + 1)
        step = STEP * min(a, 1) * (1 if change == "alpha" else temperature)
        pairs = zip(at(change, step), at(change, -step), strict=True)
        return [(high - low) / (2 * step) for high, low in pairs]

    jacobian = [difference(k)[:-1] for k in range(len(scores))]
    *p_temperature, along_temperature = difference("temperature")
    *p_alpha, along_alpha = difference("alpha")
    return Exact(p, value, jacobian, p_temperature, p_alpha, along_temperature, along_alpha, len(candidates))


def _at_infinity(scores, temperature):
    """Equal on the k largest scores, for the best k."""
    zero = [mpmath.mpf(0)] * len(scores)
    order = sorted((s for s in scores if s > -mpmath.inf), reverse=True)
    sizes = range(1, len(order) + 1)
    value, k = max((mpmath.fsum(order[:k]) / k + temperature * mpmath.log(k), k) for k in sizes)
    p = [mpmath.mpf(1) / k if s >= order[k - 1] else mpmath.mpf(0) for s in scores]
    entropy = mpmath.log(k)
    return Exact(p, value, [zero] * len(scores), zero, zero, entropy, mpmath.mpf(0), 1)


@functools.cache
def rows(dtype):
    """Return scores by name, of length 6, and a temperature for each."""
    rng = np.random.default_rng(8)
    noise = rng.normal(size=(4, 6))
    known = {
        "normal": (noise[0], 0.7),
        "wide": (1e4 * noise[1], 900.0),
        "sparse": (5 * noise[1], 0.5),
        "nearly equal": (3 + 1e-4 * noise[2], 1.0),
        "far from 0": (1e4 + noise[0], 2.0),
        "two groups": (np.asarray([2.05, 0.0, 0.01, -0.005, 0.02, -0.01]), 1.0),
        "ties": (np.asarray([1.0, 1.0, 0.25, 0.25, -1.0, -1.0]), 0.8),
        "masked": (np.where(np.arange(6) % 3 == 1, -np.inf, noise[3]), 1.5),
    }
    return {name: (scores.astype(dtype), np.asarray(t).astype(dtype)) for name, (scores, t) in known.items()}
