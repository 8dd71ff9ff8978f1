"""The ratio (log Γ(k − t) − log Γ(k))/t, t = α − 1, and its derivative: one form, exact through α = 1, for k > t ≥ −1.

With y = k + 8 and ℓ(x) = log1p(x)/x, the recurrence of Γ and Stirling's series, log Γ(y) = (y − 1/2) log y − y +
log(2π)/2 + Σ cₙ y^(1−2n), give::

    Σ_{k ≤ j < y} ℓ(−t/j)/j − (y − t − 1/2) ℓ(−t/y)/y − log y + 1 + Σ cₙ (a^(2n−1) − b^(2n−1))/t

with a = 1/(y − t), b = 1/y. The last difference is t·a·b times a sum of products of a and b: nothing is divided by t.
"""

from __future__ import annotations

import math
from typing import Any

from .special import log1p_ratio, log1p_ratio_slope
from .state import Order

Array = Any

__all__ = ["SHIFT", "STIRLING", "divided", "gamma_ratio", "gamma_ratio_slope", "stirling"]

SHIFT = 8
"""So far are k − t and k moved up before Stirling's series, whose tenth term is then under 1e-17."""
STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
    43867 / 244188,
    -174611 / 125400,
)
"""B₂ₙ/(2n(2n − 1))."""


def gamma_ratio(order: Order, k: int, *, xp: Any) -> Any:
    """Return (log Γ(k − t) − log Γ(k))/t for −1 <= t < k: −ψ(k) at t = 0."""
    t, y = order.t, k + SHIFT
    ratios = [_static_ratio(t, j) for j in range(k, y + 1)] if order.static else _ratios(t, k, xp)
    total = 1 - math.log(y) - (y - t - 0.5) / y * ratios[-1] + _series(t, y)[0]
    for i in reversed(range(SHIFT)):
        total = total + ratios[i] / (k + i)
    return total


def gamma_ratio_slope(order: Order, k: int, *, xp: Any) -> Any:
    """Return the derivative of :func:`gamma_ratio` with respect to t, which is positive."""
    t, y = order.t, k + SHIFT
    if order.static:
        ratio, slopes = _static_ratio(t, y), [_static_slope(t, j) for j in range(k, y + 1)]
    else:
        ratio, slopes = _ratios(t, k, xp)[-1], _slopes(t, k, xp)
    total = (ratio + (y - t - 0.5) / y * slopes[-1]) / y + _series(t, y)[1]
    for i in reversed(range(SHIFT)):
        total = total - slopes[i] / ((k + i) * (k + i))
    return total


def divided(coefficients: Any, a: Any, b: Any, *, first: int = 0, slope: bool = True) -> tuple[Any, Any]:
    """Return P = Σ cₙ (aᵏ − bᵏ)/(a − b), k = 2n − 1 + first, and its derivative times a, plus P, if ``slope``.

    P is the sum of cₙ aⁱ b^(k−1−i); q is the coefficient of aⁱ.
    """
    q, value, rise = 0.0, 0.0, 0.0
    for i in reversed(range(2 * len(coefficients) - 1 + first)):
        q = q * b + coefficients[i // 2] if i % 2 == first else q * b
        rise = rise * a + value if slope else rise
        value = value * a + q
    return value, value + a * rise


def stirling(inverse: Any) -> Any:
    """Return y times what Stirling's series adds to log Γ(y), of 1/y."""
    square, value = inverse * inverse, 0.0
    for coefficient in reversed(STIRLING):
        value = value * square + coefficient
    return value


def _series(t: Any, y: int) -> tuple[Any, Any]:
    """Return the divided difference of Stirling's series, a·b·P(a), and its derivative, a²·b·(P + a·P')."""
    a, b = 1 / (y - t), 1 / y
    value, slope = divided(STIRLING, a, b)
    return a * b * value, a * a * b * slope


def _arguments(t: Array, k: int, xp: Any) -> tuple[Array, Array]:
    """Return x = −t/j and 1 + x for j from k to k + 8, along a last axis."""
    steps = range(k, k + SHIFT + 1)
    return xp.stack([t / -j for j in steps], axis=-1), xp.stack([(j - t) / j for j in steps], axis=-1)


def _ratios(t: Array, k: int, xp: Any) -> list[Array]:
    """Return ℓ(−t/j) for j from k to k + 8."""
    x, rest = _arguments(t, k, xp)
    inner = x > -0.5
    near = log1p_ratio(xp.where(inner, x, 0.0), eps=float(xp.finfo(t.dtype).eps), xp=xp)
    far = xp.log(xp.where(inner, 0.5, rest)) / xp.where(inner, -0.5, x)
    values = xp.where(inner, near, far)
    return [values[..., i] for i in range(SHIFT + 1)]


def _slopes(t: Array, k: int, xp: Any) -> list[Array]:
    """Return the derivative of ℓ at −t/j for j from k to k + 8."""
    x, rest = _arguments(t, k, xp)
    inner = xp.abs(x) <= 0.5
    near = log1p_ratio_slope(xp.where(inner, x, 0.0), eps=float(xp.finfo(t.dtype).eps))
    rest, outer = xp.where(inner, 0.5, rest), xp.where(inner, -0.5, x)
    values = xp.where(inner, near, (1 / rest - xp.log(rest) / outer) / outer)
    return [values[..., i] for i in range(SHIFT + 1)]


def _static_ratio(t: float, j: int) -> float:
    if t == 0:
        return 1.0
    return -j / t * (math.log1p(-t / j) if t < j / 2 else math.log((j - t) / j))


def _static_slope(t: float, j: int) -> float:
    if abs(t) <= j / 2:
        near: float = log1p_ratio_slope(-t / j, eps=2.0**-52)
        return near
    return -j * (j / (j - t) - _static_ratio(t, j)) / t
