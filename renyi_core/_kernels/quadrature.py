"""Gauss–Legendre quadrature, to the last digit of float64."""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext

__all__ = ["gauss_legendre"]


@functools.cache
def gauss_legendre(n: int) -> tuple[list[float], list[float]]:
    """Return the n nodes in (0, 1) and their weights, which sum to 1.

    Newton's iteration on the three-term recurrence, in decimals: in floats, the weights near the ends lose digits.
    """
    nodes, weights = [], []
    with localcontext() as context:
        context.prec = 36
        for k in range(n):
            x = Decimal(-math.cos(math.pi * (k + 0.75) / (n + 0.5)))
            # the guess is right to 2 digits, each step doubles them, and the slope is that before the last one
            for _ in range(6):
                before, value = Decimal(1), x
                for j in range(2, n + 1):
                    before, value = value, ((2 * j - 1) * x * value - (j - 1) * before) / j
                slope = n * (x * value - before) / (x * x - 1)
                x -= value / slope
            nodes.append(float((1 + x) / 2))
            weights.append(float(1 / ((1 - x * x) * slope * slope)))
    return nodes, weights
