"""The Triton kernels of the gradient with respect to logits: from the states of rows, in one read and one write.

Up to three orders at once, and what the cotangents of log-sum-exp and of a token's log-probability add to them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ._triton_kernels import above_all, field, load, load_rows
from ._triton_math import GENERAL, INFINITE, NONE, ONE, exp, expm1_over, finish, float_of, powers

__all__ = ["gradient_of_long_rows", "gradient_of_short_rows"]


@triton.jit
def factors(
    state, scale, row, there, size, scale_row, scale_order, alpha, t,
    ORDER: tl.constexpr, KIND: tl.constexpr, WITH_S: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    """Return of one order c, exp(−τ c) and the rows' factor of the gradient; at α = ∞, −(others)/(ties) for c."""
    r0 = tl.load(state + size + row, mask=there, other=0.0)
    c = r0
    kappa = r0
    factor = r0
    if KIND != NONE:
        s = tl.load(field(state, 2 + 2 * ORDER, size) + row, mask=there, other=0.0)
        ra = tl.load(field(state, 3 + 2 * ORDER, size) + row, mask=there, other=0.0)
        total, total_alpha, c, _ = finish(r0, s, ra, t, KIND, WITH_S)
        if KIND == INFINITE:
            c = s / total_alpha
            factor = 1.0 / total
        elif KIND == ONE:
            factor = -1.0 / total
        else:
            factor = -alpha / tl.where(t > 0.0, total, total_alpha)
            kappa = exp(-tl.abs(t) * c)
        if SCALED:
            g = tl.load(scale + row * scale_row + ORDER * scale_order, mask=there, other=0.0)
            # of a row that does not count, whatever it holds
            factor = tl.where(g == 0.0, 0.0, factor * g.to(r0.dtype))
    return c, kappa, factor


@triton.jit
def add_order(gradient, d, c, kappa, factor, alpha, t, KIND: tl.constexpr):
    """Return the gradient with that of one order added."""
    if KIND != NONE:
        b, x = powers(d, alpha, t, KIND)
        if KIND == INFINITE:
            slope = tl.where(d == 0.0, c, 1.0)
        elif KIND == ONE:
            slope = tl.maximum(d, -10000.0) - c
        else:
            v = d - c
            if KIND == GENERAL:
                x = exp(v * tl.abs(t))
            else:
                x = x * kappa
            slope = expm1_over(v, x, t)
        gradient += tl.where(factor == 0.0, 0.0, (factor * b) * slope)
    return gradient


@triton.jit
def add_token(gradient, d, columns, token, along_p, along_token, P: tl.constexpr, TOKEN: tl.constexpr):
    """Return the gradient with those of log-sum-exp and of the token's log-probability added."""
    if P:
        gradient += tl.where(along_p == 0.0, 0.0, along_p * exp(d))
    if TOKEN:
        gradient += tl.where((columns == token) & (d > float("-inf")), along_token, 0.0)
    return gradient


@triton.jit
def extras_of(state, extras, tokens, row, there, size, P: tl.constexpr, TOKEN: tl.constexpr):
    """Return the factor of exp(d), the token's column and what to add there."""
    r0 = tl.load(state + size + row, mask=there, other=0.0)
    along_p = r0
    along_token = r0
    token = r0
    if P:
        along_p = tl.load(extras + row, mask=there, other=0.0)
        along_p = tl.where(along_p == 0.0, 0.0, along_p / (1.0 + tl.where(r0 >= 0.0, r0, float("nan"))))
    if TOKEN:
        along_token = tl.load(extras + size + row, mask=there, other=0.0)
        token = tl.load(tokens + row, mask=there, other=-1)
    return along_p, along_token, token


@triton.jit(do_not_specialize=["alpha0", "t0", "alpha1", "t1", "alpha2", "t2"])
def gradient_of_long_rows(
    x, mask, out, state, scale, extras, tokens, n, size, splits, tiles,
    row_stride, col_stride, mask_row_stride, mask_col_stride, out_row_stride, out_col_stride, scale_row, scale_order,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
    MASKED: tl.constexpr, UNIT: tl.constexpr, SHIFTED: tl.constexpr, SCALED: tl.constexpr,
    P: tl.constexpr, TOKEN: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the gradient of ``tiles`` tiles of a row; ``out`` may be x."""
    dtype: tl.constexpr = state.dtype.element_ty
    kind: tl.constexpr = out.dtype.element_ty
    alpha0, t0 = float_of(alpha0, dtype), float_of(t0, dtype)
    alpha1, t1 = float_of(alpha1, dtype), float_of(t1, dtype)
    alpha2, t2 = float_of(alpha2, dtype), float_of(t2, dtype)

    program = tl.program_id(0)
    row = (program // splits).to(tl.int64)
    begin = row * row_stride
    target = row * out_row_stride
    shift = n * 0
    if SHIFTED:
        shift = (begin % 16).to(tl.int32)
        begin = tl.multiple_of(begin - shift, 16)
        target = tl.multiple_of(target - shift, 16)
    x += begin
    out += target
    if MASKED:
        mask += row * mask_row_stride - shift.to(tl.int64) * mask_col_stride
    end = n + shift
    first = (program % splits) * tiles
    last = tl.minimum(first + tiles, tl.cdiv(end, TILE))
    first_whole = tl.minimum(tl.where((first == 0) & (shift > 0), 1, first), last)
    last_whole = tl.maximum(tl.minimum(last, end // TILE), first_whole)

    there = row >= 0
    peak = above_all(tl.load(state + row))
    c0, k0, f0 = factors(state, scale, row, there, size, scale_row, scale_order, alpha0, t0, 0, KIND0, S0, SCALED)
    c1, k1, f1 = factors(state, scale, row, there, size, scale_row, scale_order, alpha1, t1, 1, KIND1, S1, SCALED)
    c2, k2, f2 = factors(state, scale, row, there, size, scale_row, scale_order, alpha2, t2, 2, KIND2, S2, SCALED)
    along_p, along_token, token = extras_of(state, extras, tokens, row, there, size, P, TOKEN)
    within = tl.arange(0, TILE)
    for tile in range(first_whole, last_whole):
        columns = tile * TILE + within
        d = load(x, mask, columns, None, col_stride, mask_col_stride, dtype, False, MASKED, UNIT) - peak
        gradient = add_order(tl.zeros_like(d), d, c0, k0, f0, alpha0, t0, KIND0)
        gradient = add_order(gradient, d, c1, k1, f1, alpha1, t1, KIND1)
        gradient = add_order(gradient, d, c2, k2, f2, alpha2, t2, KIND2)
        gradient = add_token(gradient, d, columns - shift, token, along_p, along_token, P, TOKEN)
        if MASKED:
            gradient = tl.where(d == float("-inf"), 0.0, gradient)
        offsets = columns
        if not UNIT:
            offsets = columns.to(tl.int64) * out_col_stride
        tl.store(out + offsets, gradient.to(kind))
    ahead = first_whole - first
    for edge in range(ahead + last - last_whole):
        columns = tl.where(edge < ahead, first + edge, last_whole + edge - ahead) * TILE + within
        inside = (columns >= shift) & (columns < end)
        d = load(x, mask, columns, inside, col_stride, mask_col_stride, dtype, True, MASKED, UNIT) - peak
        gradient = add_order(tl.zeros_like(d), d, c0, k0, f0, alpha0, t0, KIND0)
        gradient = add_order(gradient, d, c1, k1, f1, alpha1, t1, KIND1)
        gradient = add_order(gradient, d, c2, k2, f2, alpha2, t2, KIND2)
        gradient = add_token(gradient, d, columns - shift, token, along_p, along_token, P, TOKEN)
        if MASKED:
            gradient = tl.where(d == float("-inf"), 0.0, gradient)
        offsets = columns
        if not UNIT:
            offsets = columns.to(tl.int64) * out_col_stride
        tl.store(out + offsets, gradient.to(kind), mask=inside)


@triton.jit(do_not_specialize=["alpha0", "t0", "alpha1", "t1", "alpha2", "t2"])
def gradient_of_short_rows(
    x, mask, out, state, scale, extras, tokens, n, rows,
    row_stride, col_stride, mask_row_stride, mask_col_stride, out_row_stride, out_col_stride, scale_row, scale_order,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
    MASKED: tl.constexpr, SCALED: tl.constexpr, P: tl.constexpr, TOKEN: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write the gradient of whole rows; ``out`` may be x."""
    dtype: tl.constexpr = state.dtype.element_ty
    alpha0, t0 = float_of(alpha0, dtype), float_of(t0, dtype)
    alpha1, t1 = float_of(alpha1, dtype), float_of(t1, dtype)
    alpha2, t2 = float_of(alpha2, dtype), float_of(t2, dtype)
    row, column, z, inside = load_rows(
        x, mask, n, rows, row_stride, col_stride, mask_row_stride, mask_col_stride, dtype, MASKED, ROWS, COLUMNS
    )
    there = row < rows
    peak = above_all(tl.load(state + row, mask=there, other=0.0))
    d = z - peak[:, None]
    c, k, f = factors(state, scale, row, there, rows, scale_row, scale_order, alpha0, t0, 0, KIND0, S0, SCALED)
    gradient = add_order(tl.zeros_like(d), d, c[:, None], k[:, None], f[:, None], alpha0, t0, KIND0)
    c, k, f = factors(state, scale, row, there, rows, scale_row, scale_order, alpha1, t1, 1, KIND1, S1, SCALED)
    gradient = add_order(gradient, d, c[:, None], k[:, None], f[:, None], alpha1, t1, KIND1)
    c, k, f = factors(state, scale, row, there, rows, scale_row, scale_order, alpha2, t2, 2, KIND2, S2, SCALED)
    gradient = add_order(gradient, d, c[:, None], k[:, None], f[:, None], alpha2, t2, KIND2)
    along_p, along_token, token = extras_of(state, extras, tokens, row, there, rows, P, TOKEN)
    gradient = add_token(gradient, d, column[None, :], token[:, None], along_p[:, None], along_token[:, None], P, TOKEN)
    if MASKED:
        gradient = tl.where(d == float("-inf"), 0.0, gradient)
    offsets = row[:, None] * out_row_stride + column.to(tl.int64)[None, :] * out_col_stride
    tl.store(out + offsets, gradient.to(out.dtype.element_ty), mask=inside)
