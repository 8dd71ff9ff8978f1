"""Entropies of kernel matrices by their definition, from eigenvalues in 100 digits."""

from __future__ import annotations

import math

import mpmath
import numpy as np

DIGITS = 100
STEP = "1e-40"
"""Of one-sided differences: their own error is of this size, or its square root for α = 3/2."""


def matrix(values):
    """Return floats as a matrix of exact numbers."""
    return mpmath.matrix(np.asarray(values, dtype=np.float64).tolist())


def entropy_of(eigenvalues, alpha):
    total, a = mpmath.fsum(eigenvalues), mpmath.mpf(alpha)
    # what 100 digits leave of 0
    p = [x / total for x in eigenvalues if x > total * mpmath.mpf(10) ** -80]
    if alpha == math.inf:
        return -mpmath.log(max(p))
    if alpha == 1:
        return -mpmath.fsum(x * mpmath.log(x) for x in p)
    return mpmath.log(mpmath.fsum(x**a for x in p)) / (1 - a)


def entropy(gram, alpha):
    """Return the entropy of a matrix of exact numbers."""
    return entropy_of(list(mpmath.eigsy(gram, eigvals_only=True)), alpha)


def along(f, gram, direction):
    """Return the right derivative of a function of a matrix along a direction, extrapolated once."""
    h = mpmath.mpf(STEP)
    start, half, whole = f(gram), f(gram + direction * (h / 2)), f(gram + direction * h)
    return (4 * half - whole - 3 * start) / h


def alpha_slope(f, alpha):
    """Return the derivative of a function of α, the right one at 0."""
    if alpha == math.inf:
        return mpmath.mpf(0)
    a, h = mpmath.mpf(alpha), mpmath.mpf(STEP)
    low = a if alpha == 0 else a - h
    return (f(a + h) - f(low)) / (a + h - low)


def kernel_matrix(samples, kernel, bandwidth):
    """Return the kernel matrix of samples that are exact numbers, rows of a matrix."""
    n, d = samples.rows, samples.cols
    rows = [[samples[i, k] for k in range(d)] for i in range(n)]
    sigma = mpmath.mpf(bandwidth)

    def of(x, y):
        if kernel == "gaussian":
            return mpmath.exp(-mpmath.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / (2 * sigma**2))
        if kernel == "laplacian":
            return mpmath.exp(-mpmath.fsum(abs(a - b) for a, b in zip(x, y, strict=True)) / sigma)
        dot = mpmath.fdot(x, y)
        return dot if kernel == "linear" else dot / mpmath.sqrt(mpmath.fdot(x, x) * mpmath.fdot(y, y))

    return mpmath.matrix([[of(x, y) for y in rows] for x in rows])
