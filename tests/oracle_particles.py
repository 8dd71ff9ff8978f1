"""The nearest-neighbor estimate by its definition, in 60 digits, and its derivatives by differences of those."""

from __future__ import annotations

import mpmath

DIGITS = 60
STEP = mpmath.mpf(10) ** -20


def distances(samples, k):
    """Return the distance of each sample to its k-th nearest neighbor."""
    x = [[mpmath.mpf(value) for value in row] for row in samples]

    def between(a, b):
        return mpmath.sqrt(mpmath.fsum((u - v) ** 2 for u, v in zip(a, b, strict=True)))

    return [sorted(between(a, b) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)]


def log_ball(dimension):
    """Return the logarithm of the volume of the unit ball."""
    half = mpmath.mpf(dimension) / 2
    return half * mpmath.log(mpmath.pi) - mpmath.loggamma(half + 1)


def log_factor(k, alpha):
    """Return log C_k."""
    a = mpmath.mpf(alpha)
    return -mpmath.psi(0, k) if a == 1 else (mpmath.loggamma(k) - mpmath.loggamma(k + 1 - a)) / (1 - a)


def entropy(samples, k, alpha):
    """Return the estimate."""
    with mpmath.workdps(DIGITS):
        a, n, dimension = mpmath.mpf(alpha), len(samples), len(samples[0])
        rho = distances(samples, k)
        if a == 1 and 0 in rho:
            return mpmath.mpf("-inf")
        log_zeta = [
            mpmath.log(n - 1) + log_factor(k, a) + log_ball(dimension) + dimension * mpmath.log(r) for r in rho if r > 0
        ]
        if a == 1:
            return mpmath.fsum(log_zeta) / n
        return mpmath.log(mpmath.fsum(mpmath.exp((1 - a) * z) for z in log_zeta) / n) / (1 - a)


def size(samples, k, alpha):
    """Return the sum of the magnitudes of what the estimate adds up."""
    with mpmath.workdps(DIGITS):
        rho = [r for r in distances(samples, k) if r > 0]
        dimension = len(samples[0])
        largest = max(abs(dimension * mpmath.log(r)) for r in rho)
        parts = mpmath.log(len(samples) - 1), log_ball(dimension), log_factor(k, alpha)
        return largest + mpmath.fsum(map(abs, parts))


def gradient(samples, k, alpha):
    """Return the derivative with respect to each entry."""
    with mpmath.workdps(DIGITS):
        rows = [[mpmath.mpf(value) for value in row] for row in samples]

        def moved(i, j, step):
            return [[value + step * (a == i and b == j) for b, value in enumerate(row)] for a, row in enumerate(rows)]

        def slope(i, j):
            return (entropy(moved(i, j, STEP), k, alpha) - entropy(moved(i, j, -STEP), k, alpha)) / (2 * STEP)

        return [[float(slope(i, j)) for j in range(len(row))] for i, row in enumerate(rows)]


def alpha_gradient(samples, k, alpha):
    """Return the derivative with respect to α, which must not be 1: there the definition divides 0 by 0."""
    with mpmath.workdps(DIGITS):
        a = mpmath.mpf(alpha)
        step = STEP / 3
        return float((entropy(samples, k, a + step) - entropy(samples, k, a - step)) / (2 * step))
