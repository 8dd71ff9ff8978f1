"""Pairs of distributions by the compiled engine: rows of two NumPy arrays, with what is asked for in one call.

An array of int16 holds bfloat16, as torch's adapter hands it over.
"""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any

import numpy as np

from renyi_adapters import native
from renyi_core._kernels.state import Order, Source

Array = Any

__all__ = ["FORMATS", "divergences", "plain", "sum_dtype"]

HEAD = struct.Struct("@2q")
TASK = struct.Struct("@5qP2qP2qP2qPPqPqPP2qP2qP2d")
"""What the engine's Task has after its first and last row."""
FORMATS = {"f": 0, "d": 1, "h": 2, "e": 3}
NONE = 0, 0, 0


def sum_dtype(x: Array) -> Any:
    """Return the dtype that sums are formed in."""
    return x.dtype if x.dtype.itemsize > 2 else np.dtype(np.float32)


def _order(alpha: float, t: float) -> tuple[int, int, Any]:
    """Return where the numbers of an order are, and what keeps them there."""
    numbers = (ctypes.c_double * 2)(alpha, t)
    where = ctypes.addressof(numbers)
    return where, where + 8, numbers


def plain(
    formats: tuple[int, int],
    source: Source,
    order: Order,
    shape: tuple[int, int],
    entries: tuple[int, ...],
    threads: int,
    *,
    cross: int,
) -> int:
    """Compute contiguous rows, of which and of whose results the addresses are given; return how many are left.

    The addresses are those of x, y, the values, the gradients, 0 for those that are not wanted, and the flags.
    """
    x, y, value, along_x, along_y, flags = entries
    rows, n = shape
    alpha, t, kept = _order(order.alpha, order.t)
    ends = (value, along_x, n, 1, along_y, n, 1, flags, 0.5, 0.5)
    kinds = (*formats, int(source == "probs"), cross)
    task = TASK.pack(n, *kinds, x, n, 1, y, n, 1, 0, 0, 0, alpha, t, 0, 0, 0, *ends)
    flagged = native.run(native.library().renyi_pairs, task, HEAD, rows, n, threads)
    del kept  # only now may the order go
    return flagged


def _place(x: Array | None) -> tuple[int, int, int]:
    if x is None:
        return NONE
    size = x.itemsize
    return x.ctypes.data, x.strides[0] // size, x.strides[1] // size


def divergences(
    x: Array,
    y: Array,
    order: Order,
    *,
    source: Source,
    where: Array | None = None,
    wrt: tuple[int, ...] = (),
    scale: Any = None,
    wide: bool = False,
    cross: int = 0,
    shares: tuple[float, float] = (0.5, 0.5),
    outs: tuple[Array, ...] | None = None,
    threads: int | None = None,
) -> tuple[Array, list[Array], Array | None]:
    """Return the divergences of rows, their gradients times ``scale``, and what is left to do.

    With ``cross`` 1 it is the cross-entropy, with 2 the Jensen–Shannon divergence, of probabilities.

    Parameters
    ----------
    x, y, where : array of shape (rows, n)
        Of any strides; ``where`` of booleans.
    order : Order
        Of numbers but α = ∞, or of arrays of a number a row.
    scale : None, number or array
        The array has one number, or one a row.
    shares : tuple of two floats
        Those of x and y in the mixture of the Jensen–Shannon divergence.
    outs : tuple of arrays of shape (rows, n), optional
        Where the gradients go.

    Returns
    -------
    value : array of shape (rows,)
        In the dtype that sums are formed in.
    gradients : list of arrays of shape (rows, n)
        In the dtype of x, or that of sums if ``wide``.
    left : array of shape (rows,), or None
        1 for rows that are left to be done, 2 for those whose gradients are.
    """
    rows, n = x.shape
    if order.static:
        alpha, t, _kept = _order(order.alpha, order.t)
        order_row = 0
    else:
        alphas = np.where(order.infinite, math.inf, order.alpha).astype(np.float64).reshape(-1)
        ts = order.t.astype(np.float64).reshape(-1)
        alpha, t, order_row = alphas.ctypes.data, ts.ctypes.data, 1
    scales = None if scale is None else np.ascontiguousarray(scale, sum_dtype(x)).reshape(-1)
    value, flags = np.empty(rows, sum_dtype(x)), np.empty(rows, np.uint8)
    dtype = sum_dtype(x) if wide else x.dtype
    rooms = outs if outs is not None else tuple(np.empty((rows, n), dtype) for _ in wrt)
    gradients = dict(zip(wrt, rooms, strict=True))
    task = TASK.pack(
        n,
        FORMATS[x.dtype.char],
        FORMATS[dtype.char],
        int(source == "probs"),
        cross,
        *_place(x),
        *_place(y),
        *_place(where),
        alpha,
        t,
        order_row,
        *((0, 0) if scales is None else (scales.ctypes.data, int(scales.size > 1))),
        value.ctypes.data,
        *_place(gradients.get(0)),
        *_place(gradients.get(1)),
        flags.ctypes.data,
        *shares,
    )
    left = native.run(native.library().renyi_pairs, task, HEAD, rows, n, threads or native.threads())
    return value, [gradients[i] for i in wrt], flags if left else None
