"""The Triton kernels of the state of rows of logits, in one read of them, and of the merge of such states.

Each takes up to three orders at once; those of kind NONE leave no code. A row's state lies field by field in a buffer:
the peak, r0, and for each order s and ra (see renyi_core._kernels.state), each ``size`` numbers long.

A program takes one row, or some consecutive tiles of it, and each of its lanes a few entries of every tile, with a
running peak and sums of its own: lanes meet once, at the end. Short rows are taken whole, several by a program.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ._triton_math import INFINITE, NONE, ONE, add, finish, float_of, move, r0_of, ra_of, s_of

__all__ = ["above_all", "field", "load", "load_rows", "merge_states", "state_of_long_rows", "state_of_short_rows"]


@triton.jit
def above_all(peak):
    """Return the peak to subtract, so that −∞ − peak is −∞ where there is nothing else."""
    return tl.where(peak == float("-inf"), 0.0, peak)


@triton.jit
def load(
    x,
    mask,
    columns,
    inside,
    col_stride,
    mask_col_stride,
    dtype: tl.constexpr,
    GUARDED: tl.constexpr,
    MASKED: tl.constexpr,
    UNIT: tl.constexpr,
):
    """Return the logits in some columns of a row, −∞ for what the mask or the row leaves out."""
    offsets = columns
    if not UNIT:
        offsets = columns.to(tl.int64) * col_stride
    if GUARDED:
        z = tl.load(x + offsets, mask=inside, other=float("-inf")).to(dtype)
    else:
        z = tl.load(x + offsets).to(dtype)
    if MASKED:
        at = mask + columns.to(tl.int64) * mask_col_stride
        if GUARDED:
            keep = tl.load(at, mask=inside, other=0)
        else:
            keep = tl.load(at)
        z = tl.where(keep != 0, z, float("-inf"))
    return z


@triton.jit
def add_tile(
    z, peak, count,
    b0, x0, s0, b1, x1, s1, b2, x2, s2,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
):  # fmt: skip
    """Return the lanes' peaks, counts and sums with a tile of logits (a, lane, b) added."""
    higher = tl.maximum(peak, tl.max(tl.max(z, axis=2), axis=0))
    safe = above_all(higher)
    step = peak - safe
    b0, x0, s0 = move(b0, x0, s0, count, step, alpha0, t0, KIND0, S0)
    b1, x1, s1 = move(b1, x1, s1, count, step, alpha1, t1, KIND1, S1)
    b2, x2, s2 = move(b2, x2, s2, count, step, alpha2, t2, KIND2, S2)
    d = z - safe[None, :, None]
    tied = tl.where(d == 0.0, 1.0, 0.0)
    count = tl.where(step < 0.0, 0.0, count) + tl.sum(tl.sum(tied, axis=2), axis=0)
    b0, x0, s0 = add(b0, x0, s0, d, alpha0, t0, KIND0, S0)
    b1, x1, s1 = add(b1, x1, s1, d, alpha1, t1, KIND1, S1)
    b2, x2, s2 = add(b2, x2, s2, d, alpha2, t2, KIND2, S2)
    return higher, count, b0, x0, s0, b1, x1, s1, b2, x2, s2


@triton.jit
def join(b_sum, x_sum, s, count, step, alpha, t, KIND: tl.constexpr, WITH_S: tl.constexpr):
    """Return the sums of one order over all lanes about their common peak."""
    if KIND != NONE:
        b_sum, x_sum, s = move(b_sum, x_sum, s, count, step, alpha, t, KIND, WITH_S)
    return tl.sum(b_sum, axis=0), tl.sum(x_sum, axis=0), tl.sum(s, axis=0)


@triton.jit
def field(state, index: tl.constexpr, size):
    """Return where a field of the state begins."""
    for _ in tl.static_range(index):
        state += size
    return state


@triton.jit
def put(
    state, value, at, row, size, rows, b_sum, x_sum, s, count, t, inside,
    ORDER: tl.constexpr, KIND: tl.constexpr, WITH_S: tl.constexpr, FINISH: tl.constexpr,
):  # fmt: skip
    """Write the state of one order and, where the rows are whole, its entropy."""
    if KIND != NONE:
        r0 = r0_of(b_sum, x_sum, count, t, KIND)
        ra = ra_of(b_sum, x_sum, count, t, KIND)
        s = s_of(b_sum, s, KIND)
        if ORDER == 0:
            tl.store(state + size + at, r0, mask=inside)
        tl.store(field(state, 2 + 2 * ORDER, size) + at, s, mask=inside)
        tl.store(field(state, 3 + 2 * ORDER, size) + at, ra, mask=inside)
        if FINISH:
            _, _, _, h = finish(r0, s, ra, t, KIND, WITH_S)
            tl.store(field(value, ORDER, rows) + row, h, mask=inside)


@triton.jit(do_not_specialize=["alpha0", "t0", "alpha1", "t1", "alpha2", "t2"])
def state_of_long_rows(
    x, mask, state, value, n, rows, splits, tiles, size, row_stride, col_stride, mask_row_stride, mask_col_stride,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
    MASKED: tl.constexpr, UNIT: tl.constexpr, SHIFTED: tl.constexpr, FINISH: tl.constexpr,
    A: tl.constexpr, LANES: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Compute the state of ``tiles`` tiles of a row of logits; ``SHIFTED``: tiles begin at addresses that suit them."""
    dtype: tl.constexpr = state.dtype.element_ty
    TILE: tl.constexpr = A * LANES * B
    alpha0, t0 = float_of(alpha0, dtype), float_of(t0, dtype)
    alpha1, t1 = float_of(alpha1, dtype), float_of(t1, dtype)
    alpha2, t2 = float_of(alpha2, dtype), float_of(t2, dtype)

    program = tl.program_id(0)
    row = program // splits
    begin = row.to(tl.int64) * row_stride
    shift = n * 0
    if SHIFTED:
        shift = (begin % 16).to(tl.int32)
        begin = tl.multiple_of(begin - shift, 16)
    x += begin
    if MASKED:
        mask += row.to(tl.int64) * mask_row_stride - shift.to(tl.int64) * mask_col_stride
    end = n + shift
    first = (program % splits) * tiles
    last = tl.minimum(first + tiles, tl.cdiv(end, TILE))
    # tiles of the row alone are read without a guard
    first_whole = tl.minimum(tl.where((first == 0) & (shift > 0), 1, first), last)
    last_whole = tl.maximum(tl.minimum(last, end // TILE), first_whole)

    lane = tl.zeros((LANES,), dtype)
    peak = lane - float("inf")
    count = lane
    b0 = lane
    x0 = lane
    s0 = lane
    b1 = lane
    x1 = lane
    s1 = lane
    b2 = lane
    x2 = lane
    s2 = lane
    within = (
        tl.arange(0, A)[:, None, None] * (LANES * B)
        + tl.arange(0, LANES)[None, :, None] * B
        + tl.arange(0, B)[None, None, :]
    )
    for tile in range(first_whole, last_whole):
        columns = tile * TILE + within
        z = load(x, mask, columns, None, col_stride, mask_col_stride, dtype, False, MASKED, UNIT)
        peak, count, b0, x0, s0, b1, x1, s1, b2, x2, s2 = add_tile(
            z, peak, count, b0, x0, s0, b1, x1, s1, b2, x2, s2, alpha0, t0, alpha1, t1, alpha2, t2,
            KIND0, S0, KIND1, S1, KIND2, S2,
        )  # fmt: skip
    ahead = first_whole - first
    for edge in range(ahead + last - last_whole):
        columns = tl.where(edge < ahead, first + edge, last_whole + edge - ahead) * TILE + within
        inside = (columns >= shift) & (columns < end)
        z = load(x, mask, columns, inside, col_stride, mask_col_stride, dtype, True, MASKED, UNIT)
        peak, count, b0, x0, s0, b1, x1, s1, b2, x2, s2 = add_tile(
            z, peak, count, b0, x0, s0, b1, x1, s1, b2, x2, s2, alpha0, t0, alpha1, t1, alpha2, t2,
            KIND0, S0, KIND1, S1, KIND2, S2,
        )  # fmt: skip

    top = tl.max(peak, axis=0)
    step = peak - above_all(top)
    b0, x0, s0 = join(b0, x0, s0, count, step, alpha0, t0, KIND0, S0)
    b1, x1, s1 = join(b1, x1, s1, count, step, alpha1, t1, KIND1, S1)
    b2, x2, s2 = join(b2, x2, s2, count, step, alpha2, t2, KIND2, S2)
    number = tl.sum(tl.where(step < 0.0, 0.0, count), axis=0)
    tl.store(state + program, top)
    put(state, value, program, row, size, rows, b0, x0, s0, number, t0, None, 0, KIND0, S0, FINISH)
    put(state, value, program, row, size, rows, b1, x1, s1, number, t1, None, 1, KIND1, S1, FINISH)
    put(state, value, program, row, size, rows, b2, x2, s2, number, t2, None, 2, KIND2, S2, FINISH)


@triton.jit
def load_rows(
    x, mask, n, rows, row_stride, col_stride, mask_row_stride, mask_col_stride,
    dtype: tl.constexpr, MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return the rows of a program, their logits, and which rows and entries there are."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < rows)[:, None] & (column < n)[None, :]
    offsets = row[:, None] * row_stride + column.to(tl.int64)[None, :] * col_stride
    z = tl.load(x + offsets, mask=inside, other=float("-inf")).to(dtype)
    if MASKED:
        at = mask + row[:, None] * mask_row_stride + column.to(tl.int64)[None, :] * mask_col_stride
        z = tl.where(tl.load(at, mask=inside, other=0) != 0, z, float("-inf"))
    return row, column, z, inside


@triton.jit(do_not_specialize=["alpha0", "t0", "alpha1", "t1", "alpha2", "t2"])
def state_of_short_rows(
    x, mask, state, value, n, rows, row_stride, col_stride, mask_row_stride, mask_col_stride,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
    MASKED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute the state of whole rows, and their entropy."""
    dtype: tl.constexpr = state.dtype.element_ty
    alpha0, t0 = float_of(alpha0, dtype), float_of(t0, dtype)
    alpha1, t1 = float_of(alpha1, dtype), float_of(t1, dtype)
    alpha2, t2 = float_of(alpha2, dtype), float_of(t2, dtype)
    row, _, z, _ = load_rows(
        x, mask, n, rows, row_stride, col_stride, mask_row_stride, mask_col_stride, dtype, MASKED, ROWS, COLUMNS
    )
    there = row < rows
    peak = tl.max(z, axis=1)
    d = z - above_all(peak)[:, None]
    count = tl.sum(tl.where(d == 0.0, 1.0, 0.0), axis=1)
    nothing = tl.zeros((ROWS,), dtype)
    b0, x0, s0 = add(nothing, nothing, nothing, d, alpha0, t0, KIND0, S0)
    b1, x1, s1 = add(nothing, nothing, nothing, d, alpha1, t1, KIND1, S1)
    b2, x2, s2 = add(nothing, nothing, nothing, d, alpha2, t2, KIND2, S2)
    tl.store(state + row, peak, mask=there)
    put(state, value, row, row, rows, rows, b0, x0, s0, count, t0, there, 0, KIND0, S0, True)
    put(state, value, row, row, rows, rows, b1, x1, s1, count, t1, there, 1, KIND1, S1, True)
    put(state, value, row, row, rows, rows, b2, x2, s2, count, t2, there, 2, KIND2, S2, True)


@triton.jit
def merge_order(
    parts, state, value, at, row, lane, there, size, rows, r0, step, alpha, t,
    ORDER: tl.constexpr, KIND: tl.constexpr, WITH_S: tl.constexpr,
):  # fmt: skip
    """Merge the states of one order of the parts of a row, one in each lane."""
    if KIND != NONE:
        s = tl.load(field(parts, 2 + 2 * ORDER, size) + at + lane, mask=there, other=0.0)
        ra = tl.load(field(parts, 3 + 2 * ORDER, size) + at + lane, mask=there, other=-1.0)
        # one entry at the peak, and the others as if they were below it; but no entry at all in an empty part
        count = tl.where(r0 == -1.0, 0.0, 1.0)
        b_sum = tl.where(t > 0.0, r0, ra) + (1.0 - count)
        x_sum = tl.where(t > 0.0, ra, r0) + (1.0 - count)
        if KIND == ONE:
            b_sum = r0 + (1.0 - count)
        elif KIND == INFINITE:
            b_sum = -s + 0.0 * r0
            count = 1.0 + ra
        b_sum, x_sum, s = join(b_sum, x_sum, s, count, step, alpha, t, KIND, WITH_S)
        number = tl.sum(tl.where(step < 0.0, 0.0, count), axis=0)
        put(state, value, row, row, rows, rows, b_sum, x_sum, s, number, t, None, ORDER, KIND, WITH_S, True)


@triton.jit(do_not_specialize=["alpha0", "t0", "alpha1", "t1", "alpha2", "t2"])
def merge_states(
    parts, state, value, rows, splits, size,
    alpha0, t0, alpha1, t1, alpha2, t2,
    KIND0: tl.constexpr, S0: tl.constexpr, KIND1: tl.constexpr, S1: tl.constexpr, KIND2: tl.constexpr, S2: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """Merge the states of the parts of a row, and compute its entropy."""
    dtype: tl.constexpr = state.dtype.element_ty
    alpha0, t0 = float_of(alpha0, dtype), float_of(t0, dtype)
    alpha1, t1 = float_of(alpha1, dtype), float_of(t1, dtype)
    alpha2, t2 = float_of(alpha2, dtype), float_of(t2, dtype)
    row = tl.program_id(0)
    at = row.to(tl.int64) * splits
    lane = tl.arange(0, LANES)
    there = lane < splits
    peak = tl.load(parts + at + lane, mask=there, other=float("-inf"))
    r0 = tl.load(parts + size + at + lane, mask=there, other=-1.0)
    top = tl.max(peak, axis=0)
    step = peak - above_all(top)
    tl.store(state + row, top)
    merge_order(parts, state, value, at, row, lane, there, size, rows, r0, step, alpha0, t0, 0, KIND0, S0)
    merge_order(parts, state, value, at, row, lane, there, size, rows, r0, step, alpha1, t1, 1, KIND1, S1)
    merge_order(parts, state, value, at, row, lane, there, size, rows, r0, step, alpha2, t2, 2, KIND2, S2)
