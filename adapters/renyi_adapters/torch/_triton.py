"""Launches Triton's kernels on CUDA tensors; None is returned for what they do not take.

They take logits of float16, bfloat16, float32 and float64 in any strides, and orders that are numbers, but 0. Triton is
imported when the first such tensor is seen. With TRITON_INTERPRET=1 in the environment they run on the CPU, slowly.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from renyi_core._kernels.state import TWO_SUMS, Order, State

Tensor = Any

__all__ = ["gradient_of_state", "gradient_of_states", "most_orders", "state_of", "takes", "values_and_state", "with_s"]

most_orders = 3
"""Orders of one launch."""

WARPS = 4
LANES = 32 * WARPS
SHORT = {2: 1024, 4: 1024, 8: 512}
"""Rows up to this length, by the bytes of an entry, are taken whole, and so many entries by a program."""
GRADIENT_TILE = {2: 2048, 4: 2048, 8: 1024}
GRADIENT_TILES = 8
"""Tiles of the gradient for a program where there are rows enough."""
MOST_SPLITS = 1024
LONGEST = 2**31 - 2**16
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NO_ORDER = -1
KINDS = {math.inf: 0, 1.0: 1, 2.0: 2, 3.0: 3, 4.0: 4, 0.5: 5}
GENERAL = 6
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
PLAIN = (torch.Tensor, torch.nn.Parameter)


class _Kernels(NamedTuple):
    """The modules of the kernels."""

    states: Any
    gradients: Any


@functools.cache
def _kernels() -> _Kernels | None:
    """Return the kernels, None where Triton is missing."""
    try:
        from . import _triton_gradients, _triton_kernels
    except ImportError:
        return None
    return _Kernels(_triton_kernels, _triton_gradients)


@functools.cache
def processors(device: Any) -> int:
    """Return the number of the device's multiprocessors; 0 if Triton's code does not run there."""
    if device.type != "cuda":
        return 1
    known = torch.cuda.get_device_properties(device)
    return 0 if torch.version.hip or known.major < 8 else int(known.multi_processor_count)


def _has_memory(tensor: Tensor | None) -> bool:
    """Return whether a kernel can be given the tensor: one batched by vmap, fake or distributed has no address."""
    if tensor is None:
        return True
    if type(tensor) not in PLAIN:
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


def takes(x: Tensor, orders: Sequence[Order], *others: Tensor | None) -> bool:
    """Return whether the kernels take these logits at these orders, reduced over the last axis."""
    kind = x.device.type
    if (kind != "cuda" and not (INTERPRETED and kind == "cpu")) or torch.compiler.is_compiling():
        return False
    if x.dtype not in FLOATS or x.numel() == 0 or x.shape[-1] > LONGEST:
        return False
    if not all(order.static and order.alpha > 0 for order in orders):
        return False
    if not all(_has_memory(tensor) for tensor in (x, *others)):
        return False
    return processors(x.device) > 0 and _kernels() is not None


class _Matrix(NamedTuple):
    """A tensor as rows of one stride; ``col_stride`` is that of the last axis."""

    tensor: Tensor
    row_stride: int
    col_stride: int


def _row_stride(shape: Sequence[int], strides: Sequence[int]) -> int | None:
    """Return the one stride of all these axes in turn, None if they have none."""
    result = None
    expected = 0
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length == 1:
            continue
        if result is None:
            result = stride
        elif stride != expected:
            return None
        expected = stride * length
    return 0 if result is None else result


def _matrix(tensor: Tensor) -> _Matrix:
    """Return the rows of a tensor, which is copied only if they have no common stride."""
    stride = _row_stride(tensor.shape[:-1], tensor.stride()[:-1])
    if stride is None:
        return _matrix(tensor.contiguous())
    return _Matrix(tensor, stride, 1 if tensor.shape[-1] == 1 else tensor.stride(-1))


def _mask(where: Tensor | None, x: Tensor) -> _Matrix:
    if where is None:
        return _Matrix(x, 0, 0)
    return _matrix(where.expand(x.shape).view(torch.uint8))


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def with_s(order: Order, *, full: bool) -> bool:
    """Return whether the kernels sum s; at α = ∞ they keep other numbers in its place."""
    return order.alpha != math.inf and order.needs(full=full)[0]


def _order_args(orders: Sequence[Order], sums: Sequence[bool]) -> tuple[list[int], dict[str, Any]]:
    """Return α and t of three orders as bits of float64, and the constants that say which code they need."""
    numbers: list[int] = []
    constants: dict[str, Any] = {}
    for k in range(most_orders):
        alpha = t = 1.0
        kind = NO_ORDER
        if k < len(orders):
            kind = KINDS.get(orders[k].alpha, GENERAL)
            if kind > 1:
                alpha, t = orders[k].alpha, orders[k].t
        numbers += [_bits(alpha), _bits(t)]
        constants[f"KIND{k}"] = kind
        constants[f"S{k}"] = k < len(orders) and sums[k]
    return numbers, constants


def accumulator(dtype: Any) -> Any:
    """Return the dtype that sums are formed in."""
    return torch.float32 if dtype.itemsize == 2 else dtype


def _on(device: Any) -> Any:
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _shifted(*matrices: _Matrix) -> bool:
    """Return whether rows begin at addresses that don't suit wide loads, but all in the same way."""
    strides = {matrix.row_stride % 16 for matrix in matrices}
    return all(matrix.col_stride == 1 for matrix in matrices) and len(strides) == 1 and strides != {0}


def short_tile(n: int, size: int) -> dict[str, int]:
    """Return the tile of a program that takes whole rows."""
    columns = 1 << (n - 1).bit_length()
    return {"COLUMNS": columns, "ROWS": SHORT[size] // columns}


def values_and_state(
    x: Tensor, orders: Sequence[Order], *, where: Tensor | None = None, full: bool = False
) -> tuple[Tensor, Tensor] | None:
    """Return the entropies of each order and the state of logits over the last axis, or None.

    For K orders on logits of shape (..., n) the entropies have shape (K, ...), and the state (2 + 2K, ...): the peak,
    r0, and s and ra of each order. It lacks s where an order does without it, unless it is ``full``. At α = ∞, s and ra
    are what t·s and ra tend to: minus the sum of exp(d) over the entries that aren't largest, and the number of the
    largest less one.
    """
    if not takes(x, orders, where):
        return None
    kernels = _kernels()
    assert kernels is not None  # noqa: S101  takes() has looked
    kernels_of_states = kernels.states
    batch, n = x.shape[:-1], x.shape[-1]
    rows = math.prod(batch)
    matrix, mask = _matrix(x), _mask(where, x)
    numbers, constants = _order_args(orders, [with_s(order, full=full) for order in orders])
    constants.update(MASKED=where is not None, num_warps=WARPS, enable_fp_fusion=True)
    dtype = accumulator(x.dtype)
    values = torch.empty((len(orders), *batch), dtype=dtype, device=x.device)
    state = torch.empty((2 + 2 * len(orders), *batch), dtype=dtype, device=x.device)
    strides = matrix.row_stride, matrix.col_stride, mask.row_stride, mask.col_stride
    with _on(x.device):
        if n <= SHORT[x.dtype.itemsize]:
            short = short_tile(n, x.dtype.itemsize)
            kernels_of_states.state_of_short_rows[(-(-rows // short["ROWS"]),)](
                matrix.tensor, mask.tensor, state, values, n, rows, *strides, *numbers, **constants, **short
            )
            return values, state
        each = 16 // x.dtype.itemsize
        lean = where is None and len(orders) == 1 and not constants["S0"]
        deep = min(deepest(x.dtype.itemsize, lean=lean), 1 << (-(-n // (LANES * each)) - 1).bit_length())
        shifted = _shifted(matrix)
        tiles = -(-(n + 15 * shifted) // (deep * LANES * each))
        splits = _splits(rows, tiles, processors(x.device))
        each_tiles = -(-tiles // splits)
        splits = -(-tiles // each_tiles)
        parts = state
        if splits > 1:
            parts = torch.empty((2 + 2 * len(orders), rows * splits), dtype=dtype, device=x.device)
        kernels_of_states.state_of_long_rows[(rows * splits,)](
            matrix.tensor, mask.tensor, parts, values, n, rows, splits, each_tiles, rows * splits, *strides, *numbers,
            UNIT=matrix.col_stride == 1, SHIFTED=shifted, FINISH=splits == 1, A=deep, LANES=LANES, B=each, **constants,
        )  # fmt: skip
        if splits > 1:
            del constants["MASKED"]
            kernels_of_states.merge_states[(rows,)](
                parts, state, values, rows, splits, rows * splits, *numbers,
                LANES=1 << (splits - 1).bit_length(), **constants,
            )  # fmt: skip
    return values, state


def deepest(size: int, *, lean: bool) -> int:
    """Return how many wide loads of a tile each lane has at most; more would take more registers than it gains.

    ``size`` is that of an entry in bytes; ``lean`` is for one order without s and without a mask.
    """
    return 4 if size == 4 or (size == 2 and lean) else 2


def _splits(rows: int, tiles: int, processors: int) -> int:
    """Return into how many parts to cut each row, so that all processors have work."""
    wanted = 8 * processors
    return 1 if 2 * rows >= wanted else min(tiles, MOST_SPLITS, -(-wanted // rows))


def gradient_of_states(
    x: Tensor,
    state: Tensor,
    orders: Sequence[Order],
    scale: Tensor | None,
    *,
    sums: Sequence[bool],
    where: Tensor | None = None,
    out: Tensor | None = None,
    extras: Tensor | None = None,
    tokens: Tensor | None = None,
) -> Tensor | None:
    """Return Σ scale_k ∂H_k/∂z, from the state that :func:`values_and_state` makes, or None.

    ``scale`` broadcasts to (K, ...), ``sums`` says of each order whether the state has its s. ``extras`` of shape
    (2, ...) are the factor of p and what is added at the entry that ``tokens`` of shape (...), if given, names.
    The result is in x's dtype, in ``out`` if given, which may be x.
    """
    if not takes(x, orders, where, scale, state, extras, tokens):
        return None
    kernels = _kernels()
    assert kernels is not None  # noqa: S101  takes() has looked
    batch, n = x.shape[:-1], x.shape[-1]
    rows = math.prod(batch)
    matrix, mask = _matrix(x), _mask(where, x)
    result = torch.empty_like(x) if out is None else out
    target = _matrix(result)
    numbers, constants = _order_args(orders, sums)
    scale_row = scale_order = 0
    if scale is not None:
        scale = scale.expand(len(orders), *batch)
        found = _row_stride(batch, scale.stride()[1:])
        if found is None:
            scale = scale.contiguous()
            found = _row_stride(batch, scale.stride()[1:])
        scale_row, scale_order = found or 0, scale.stride(0)
    constants.update(
        MASKED=where is not None,
        SCALED=scale is not None,
        P=extras is not None,
        TOKEN=tokens is not None,
        num_warps=WARPS,
        enable_fp_fusion=True,
    )
    pointers = (
        matrix.tensor,
        mask.tensor,
        target.tensor,
        state,
        state if scale is None else scale,
        state if extras is None else extras,
        state if tokens is None else tokens,
    )
    strides = [stride for part in (matrix, mask, target) for stride in (part.row_stride, part.col_stride)]
    strides += [scale_row, scale_order]
    with _on(x.device):
        if n <= SHORT[x.dtype.itemsize]:
            short = short_tile(n, x.dtype.itemsize)
            kernels.gradients.gradient_of_short_rows[(-(-rows // short["ROWS"]),)](
                *pointers, n, rows, *strides, *numbers, **constants, **short
            )
        else:
            tile = GRADIENT_TILE[x.dtype.itemsize]
            shifted = _shifted(matrix, target)
            tiles = -(-(n + 15 * shifted) // tile)
            wanted = max(-(-tiles // GRADIENT_TILES), -(-8 * processors(x.device) // rows))
            each_tiles = -(-tiles // min(tiles, wanted))
            splits = -(-tiles // each_tiles)
            kernels.gradients.gradient_of_long_rows[(rows * splits,)](
                *pointers, n, rows, splits, each_tiles, *strides, *numbers,
                UNIT=matrix.col_stride == target.col_stride == 1, SHIFTED=shifted, TILE=tile, **constants,
            )  # fmt: skip
    return result if target.tensor is result else result.copy_(target.tensor)


def state_of(x: Tensor, order: Order, *, where: Tensor | None = None, full: bool = False) -> State | None:
    """Return the partial state of logits over the last axis, which keeps length 1, or None.

    With ``full`` it is what :func:`gradient_of_state` needs, at α = ∞ with the fields that
    :func:`values_and_state` describes.
    """
    both = values_and_state(x, [order], where=where, full=full)
    if both is None:
        return None
    peak, r0, s, ra = both[1].unsqueeze(-1).unbind()
    has_s, has_ra = order.needs(full=full)
    infinite = full and order.alpha == math.inf
    return State(peak, r0, s if has_s or infinite else None, ra if has_ra or infinite else None)


def gradient_of_state(
    x: Tensor,
    state: State,
    scale: Any,
    order: Order,
    *,
    where: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor | None:
    """Return ∂H/∂z times ``scale`` for logits that are all or a part of the distributions of a full state, or None.

    ``scale`` is None, a number, or a tensor that broadcasts to the state's shape. A state without s, of
    ``|α − 1| >= 1/4``, is taken too: the gradient of nearly uniform rows then has fewer digits.
    """
    if not order.static or (state.s is None and (state.ra is None or abs(order.t) < TWO_SUMS)):
        return None
    batch = x.shape[:-1]
    fields = [torch.zeros_like(state.r0) if part is None else part for part in state]
    packed = torch.stack([part.expand(*batch, 1) for part in fields]).squeeze(-1)
    if scale is not None and not isinstance(scale, torch.Tensor):
        scale = torch.full((), scale, dtype=packed.dtype, device=x.device)
    if scale is not None:
        scale = scale.expand(*batch, 1).squeeze(-1)
    summed = order.alpha != math.inf and state.s is not None
    return gradient_of_states(x, packed, [order], scale, sums=[summed], where=where, out=out)
