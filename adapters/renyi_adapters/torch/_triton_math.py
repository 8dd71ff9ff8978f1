"""What the Triton kernels do to each entry, and to the sums of a set of entries.

With d = z − peak, τ = |α − 1|, b = exp(min(α, 1) d) and x = exp(τ d), the smaller order of α and 1 has the weights b
and the larger one b x. The sums of a set of entries are those of b and of b x over the entries below the peak, the
number of entries at the peak, and::

    s = Σ b (x − 1)/τ          (exp(α d) − exp(d))/(α − 1), in a form whose factors have one sign and do not overflow

so nothing cancels and the largest entries are in no sum. Where α is 1, 2, 3, 4 or 1/2, x is a power of b.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "FOUR",
    "GENERAL",
    "HALF",
    "INFINITE",
    "NONE",
    "ONE",
    "THREE",
    "TWO",
    "add",
    "expm1_over",
    "finish",
    "float_of",
    "move",
    "powers",
    "r0_of",
    "ra_of",
    "s_of",
    "sum_of",
]

NONE = tl.constexpr(-1)
INFINITE = tl.constexpr(0)
ONE = tl.constexpr(1)
TWO = tl.constexpr(2)
THREE = tl.constexpr(3)
FOUR = tl.constexpr(4)
HALF = tl.constexpr(5)
GENERAL = tl.constexpr(6)


@triton.jit
def float_of(bits, dtype: tl.constexpr):
    """Return the number whose float64 has these bits: a float argument would arrive in float32."""
    return bits.to(tl.float64, bitcast=True).to(dtype)


@triton.jit
def exp(x):
    """Return exp(x); in float32 by the instruction for powers of two."""
    if x.dtype == tl.float64:
        return tl.exp(x)
    else:
        return tl.exp2(x * 1.4426950408889634)


@triton.jit
def powers(d, alpha, t, KIND: tl.constexpr):
    """Return b and x; x means nothing at α = 1 and ∞."""
    if KIND == GENERAL:
        b = exp(d * tl.minimum(alpha, 1.0))
        x = exp(d * tl.abs(t))
    elif KIND == HALF:
        b = exp(d * 0.5)
        x = b
    else:
        b = exp(d)
        x = b
        if KIND == THREE:
            x = b * b
        elif KIND == FOUR:
            x = b * b * b
    return b, x


@triton.jit
def expm1_over(v, x, t):
    """Return (x − 1)/τ for x = exp(τ v): by the series of v expm1(u)/u at small u = τ v, where τ may be tiny."""
    tau = tl.abs(t)
    u = v * tau
    if v.dtype == tl.float64:
        p = u * 4.779477332387385e-14 + 7.647163731819816e-13
        p = p * u + 1.1470745597729725e-11
        p = p * u + 1.6059043836821613e-10
        p = p * u + 2.08767569878681e-09
        p = p * u + 2.505210838544172e-08
        p = p * u + 2.755731922398589e-07
        p = p * u + 2.7557319223985893e-06
        p = p * u + 2.48015873015873e-05
        p = p * u + 0.0001984126984126984
    else:
        p = u * 2.48015873015873e-05 + 0.0001984126984126984
    p = p * u + 0.001388888888888889
    p = p * u + 0.008333333333333333
    p = p * u + 0.041666666666666664
    p = p * u + 0.16666666666666666
    p = p * u + 0.5
    p = p * u + 1.0
    return tl.where(tl.abs(u) <= 0.5, v * p, (x - 1.0) * (1.0 / tau))


@triton.jit
def sum_of(values):
    """Return the sum over the entries that one lane has of a tile: of a row in a tile of rows, all of it."""
    if len(values.shape) == 3:
        return tl.sum(tl.sum(values, axis=2), axis=0)
    else:
        return tl.sum(values, axis=1)


@triton.jit
def add(b_sum, x_sum, s, d, alpha, t, KIND: tl.constexpr, WITH_S: tl.constexpr):
    """Return the sums of one order with the entries d of a tile added, those at the peak left out."""
    if KIND != NONE:
        b, x = powers(d, alpha, t, KIND)
        # a NaN is not left out
        b = tl.where(d == 0.0, 0.0, b)
        b_sum += sum_of(b)
        if KIND > ONE:
            x_sum += sum_of(b * x)
        if KIND == ONE:
            # weight 0 times −∞ is 0
            s += sum_of(b * tl.maximum(d, -10000.0))
        elif WITH_S:
            s += sum_of(b * expm1_over(d, x, t))
    return b_sum, x_sum, s


@triton.jit
def move(b_sum, x_sum, s, count, d, alpha, t, KIND: tl.constexpr, WITH_S: tl.constexpr):
    """Return the sums of one order about a higher peak, of which the old one is at d <= 0.

    Where d < 0 the ``count`` entries at the old peak are then below the peak, and enter the sums.
    """
    if KIND != NONE:
        b, x = powers(d, alpha, t, KIND)
        higher = d < 0.0
        if KIND == ONE:
            s = tl.where(higher, b * s + b * tl.maximum(d, -10000.0) * (b_sum + count), s)
        elif WITH_S:
            total = tl.where(t > 0.0, b_sum, x_sum) + count
            weight = tl.where(t > 0.0, b * x, b)
            s = tl.where(higher, weight * s + b * expm1_over(d, x, t) * total, s)
        b_sum = tl.where(higher, (b_sum + count) * b, b_sum)
        if KIND > ONE:
            x_sum = tl.where(higher, (x_sum + count) * (b * x), x_sum)
    return b_sum, x_sum, s


@triton.jit
def r0_of(b_sum, x_sum, count, t, KIND: tl.constexpr):
    """Return Σ exp(d) without one of the largest entries: −1 where there are none."""
    if KIND > ONE:
        return tl.where(t > 0.0, b_sum, x_sum) + (count - 1.0)
    else:
        return b_sum + (count - 1.0)


@triton.jit
def ra_of(b_sum, x_sum, count, t, KIND: tl.constexpr):
    """Return Σ exp(α d) without one of the largest entries: at α = ∞ the number of others that are as large."""
    if KIND > ONE:
        return tl.where(t > 0.0, x_sum, b_sum) + (count - 1.0)
    else:
        return count - 1.0


@triton.jit
def s_of(b_sum, s, KIND: tl.constexpr):
    """Return s; at α = ∞ what t s tends to, minus the sum over the entries that are not largest."""
    if KIND == INFINITE:
        return -b_sum
    else:
        return s


@triton.jit
def log1p_ratio(x):
    """Return log1p(x)/x for x > −1: the rounding of 1 + x is in both parts of the quotient."""
    w = 1.0 + x
    r = w - 1.0
    return tl.where(r == 0.0, 1.0, tl.log(w) / tl.where(r == 0.0, 1.0, r))


@triton.jit
def finish(r0, s, ra, t, KIND: tl.constexpr, WITH_S: tl.constexpr):
    """Return Σ exp(d), Σ exp(α d), c = H_∞ − H_α and H_α; NaN where there is no entry of weight."""
    r0 = tl.where(r0 >= 0.0, r0, float("nan"))
    total = 1.0 + r0
    h_inf = r0 * log1p_ratio(r0)
    if KIND == INFINITE:
        c = 0.0 * r0
    elif KIND == ONE:
        c = s / total
    else:
        c = (ra * log1p_ratio(ra) - h_inf) / t
        if WITH_S:
            mean = s / total
            x = t * mean
            c = tl.where(x > -0.5, mean * log1p_ratio(x), c)
    return total, 1.0 + ra, c, h_inf - c
