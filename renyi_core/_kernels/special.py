"""Ratios that stay exact where their textbook forms divide 0 by 0.

Each is a polynomial near its removable singularity, not a guarded quotient: so automatic differentiation
through it is right there too, to any order.
"""

from __future__ import annotations

import math
from math import factorial
from typing import Any

Array = Any

__all__ = [
    "exp_curvature",
    "expm1_ratio",
    "log1p_curvature",
    "log1p_ratio",
    "log1p_ratio_slope",
    "power_curvature",
    "product_gap",
]


def _terms(scale: float, eps: float) -> int:
    """Return how many Taylor terms 1/k! on ``|u| <= scale`` the precision ``eps`` needs."""
    k = 2
    while scale**k / factorial(k + 1) * (k + 1) > eps / 8:
        k += 1
    return k + 1


def _polynomial(u: Array, coefficients: list[float], xp: Any) -> Array:
    """Evaluate by Horner's rule, the constant coefficient first."""
    result = xp.zeros_like(u) + coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        result = result * u + coefficient
    return result


def expm1_ratio(u: Array, *, eps: float, xp: Any) -> Array:
    """Return φ(u) = expm1(u)/u for ``|u| <= 1``, with φ(0) = 1."""
    return _polynomial(u, [1 / factorial(k + 1) for k in range(_terms(1.0, eps))], xp)


def power_curvature(u: Array, *, eps: float, xp: Any) -> Array:
    """Return (u·exp(u) − expm1(u))/u² for ``|u| <= 1``; 1/2 at 0."""
    return _polynomial(u, [(k + 1) / factorial(k + 2) for k in range(_terms(1.0, eps))], xp)


def exp_curvature(u: Array, *, eps: float, xp: Any) -> Array:
    """Return (expm1(u) − u)/u² for ``|u| <= 1``; 1/2 at 0."""
    return _polynomial(u, [1 / factorial(k + 2) for k in range(_terms(1.0, eps))], xp)


def log1p_ratio(x: Array, *, eps: float, xp: Any) -> Array:
    """Return ℓ(x) = log1p(x)/x for ``x > −1/2``, with ℓ(0) = 1."""
    small = xp.abs(x) <= 0.125
    near = xp.where(small, x, 0.0)
    # log1p(x) = 2 artanh(x/(2+x)), an odd series in y = x/(2+x), |y| <= 1/15
    y = near / (2 + near)
    terms, power = 1, 1.0
    while power > eps / 8:
        power /= 225
        terms += 1
    series = _polynomial(y * y, [1 / (2 * k + 1) for k in range(terms)], xp) * (2 / (2 + near))
    # XLA's float64 log1p is off by 100 units in the last place between −1/2 and −0.3, where log(1 + x) is as good
    below = x < -0.25
    far = xp.where(small | below, 1.0, x)
    left = xp.where(below, x, -0.5)
    return xp.where(small, series, xp.where(below, xp.log(1 + left) / left, xp.log1p(far) / far))


def log1p_ratio_slope(x: Any, *, eps: float) -> Any:
    """Return the derivative of log1p(x)/x = a·artanh(y)/y, a = 2/(2 + x), y = x/(2 + x), for ``|x| <= 1/2``."""
    a, y = 2 / (2 + x), x / (2 + x)
    terms = 2 + math.ceil(math.log(8 / eps, 9))
    series = slope = 0.0
    for k in reversed(range(terms)):
        series = series * y * y + 1 / (2 * k + 1)
        if k > 0:
            slope = slope * y * y + 2 * k / (2 * k + 1)
    return a * a / 2 * (a * y * slope - series)


def log1p_curvature(x: Array, *, eps: float, xp: Any) -> Array:
    """Return Λ(x) = (x − log1p(x))/x² for ``|x| <= 1/2``; 1/2 at 0."""
    # the series of log1p(x) = 2 artanh(y), y = x/(2+x), without its first term
    y = x / (2 + x)
    terms = 2 + math.ceil(math.log(8 / eps, 9))
    series = _polynomial(y * y, [1 / (2 * k + 3) for k in range(terms)], xp)
    return (1 - 2 * y * series / (2 + x)) / (2 + x)


def product_gap(value: Array, a: Array, b: Array, *, eps: float) -> Array:
    """Return value − a·b as if the product were not rounded, for factors far from overflow and underflow.

    After T. J. Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18
    (1971), pp. 224–242, section 5.
    """
    splitter = 2.0 ** ((round(-math.log2(eps)) + 2) // 2) + 1

    def halves(x: Array) -> tuple[Array, Array]:
        scaled = x * splitter
        high = scaled - (scaled - x)
        return high, x - high

    product = a * b
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return (value - product) - rest
