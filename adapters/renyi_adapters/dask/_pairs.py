"""Pairs of distributions in Dask: the chunks of a row are brought together, then NumPy's call runs on each pair."""

from __future__ import annotations

import math
from typing import Any

import dask.array
import numpy as np
from array_api_compat import numpy as numpy_namespace

from renyi_adapters.numpy import _pairs as blocks
from renyi_core._kernels import divergence as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.state import Door, Order

da: Any = dask.array
Array = Any
Axis = tuple[int, ...]

__all__ = ["divergence", "divergence_and_alpha_gradient", "divergence_and_gradient", "divergence_and_slopes"]


def renyi_divergence(x: Array, y: Array, *, order: Order, door: Door, axis: Axis) -> Array:
    """Return the divergence of a pair of chunks."""
    return blocks.divergence(x, y, order, door=door, where=None, axis=axis, xp=numpy_namespace)


def renyi_divergence_gradient(x: Array, y: Array, *, wrt: int, order: Order, door: Door, axis: Axis) -> Array:
    """Return its gradient with respect to one of them."""
    return blocks.divergence_and_gradient(x, y, order, wrt=wrt, door=door, where=None, axis=axis, xp=numpy_namespace)[1]


def renyi_divergence_slope(x: Array, y: Array, *, order: Order, door: Door, axis: Axis) -> Array:
    """Return its derivative with respect to α."""
    return blocks.divergence_and_alpha_gradient(x, y, order, door=door, where=None, axis=axis, xp=numpy_namespace)[1]


def renyi_divergence_skew(x: Array, y: Array, *, order: Order, door: Door, axis: Axis) -> Array:
    """Return the derivative of the α-divergence with respect to α."""
    return blocks.divergence_and_slopes(x, y, order, door=door, where=None, axis=axis, xp=numpy_namespace)[2]


def _together(x: Array, y: Array, order: Order, where: Array | None, door: Door, axis: Axis) -> Any:
    """Return both in the same chunks, of whole rows, or None if that is not for NumPy."""
    shapes = [*x.shape, *y.shape, *(() if where is None else where.shape)]
    if not order.static or any(type(part._meta) is not np.ndarray for part in (x, y)):  # noqa: SLF001
        return None
    if any(math.isnan(n) for n in shapes):
        return None
    x, y = da.broadcast_arrays(x, y)
    if where is not None:
        nothing = x.dtype.type(-np.inf if door == "logits" else 0)
        x, y = da.where(where, x, nothing), da.where(where, y, nothing)
    x = x.rechunk({k % x.ndim: -1 for k in axis})
    return x, y.rechunk(x.chunks)


def _rows(function: Any, pair: Any, order: Order, door: Door, axis: Axis) -> Array:
    x, y = pair
    chunks = tuple((1,) if k in axis else lengths for k, lengths in enumerate(x.chunks, -x.ndim))
    dtype = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype
    meta = np.empty((0,) * x.ndim, dtype)
    return da.map_blocks(function, x, y, order=order, door=door, axis=axis, chunks=chunks, dtype=dtype, meta=meta)


def divergence(x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any) -> Array:
    """Overlay renyi_core._kernels.divergence.divergence."""
    pair = _together(x, y, order, where, door, axis)
    if pair is None:
        return agnostic.divergence(x, y, order, door=door, where=where, axis=axis, xp=xp)
    return _rows(renyi_divergence, pair, order, door, axis)


def divergence_and_gradient(
    x: Array,
    y: Array,
    order: Order,
    *,
    wrt: int,
    door: Door,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_gradient."""
    pair = _together(x, y, order, where, door, axis)
    if pair is None:
        return agnostic.divergence_and_gradient(
            x, y, order, wrt=wrt, door=door, where=where, axis=axis, xp=xp, scale=scale
        )
    meta = np.empty((0,) * pair[0].ndim, x.dtype)
    settings: dict[str, Any] = {"wrt": wrt, "order": order, "door": door, "axis": axis}
    gradient = da.map_blocks(renyi_divergence_gradient, *pair, **settings, dtype=x.dtype, meta=meta)
    if where is not None:
        gradient = da.where(where, gradient, x.dtype.type(0))
    gradient = gradient if scale is None else scaled(gradient, scale, xp).astype(x.dtype)
    return _rows(renyi_divergence, pair, order, door, axis), gradient


def divergence_and_alpha_gradient(
    x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_alpha_gradient."""
    pair = _together(x, y, order, where, door, axis)
    if pair is None:
        return agnostic.divergence_and_alpha_gradient(x, y, order, door=door, where=where, axis=axis, xp=xp)
    value = _rows(renyi_divergence, pair, order, door, axis)
    return value, _rows(renyi_divergence_slope, pair, order, door, axis)


def divergence_and_slopes(
    x: Array, y: Array, order: Order, *, door: Door, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array, Array]:
    """Overlay renyi_core._kernels.divergence.divergence_and_slopes."""
    pair = _together(x, y, order, where, door, axis)
    if pair is None:
        return agnostic.divergence_and_slopes(x, y, order, door=door, where=where, axis=axis, xp=xp)
    each = renyi_divergence, renyi_divergence_slope, renyi_divergence_skew
    value, slope, skew = (_rows(function, pair, order, door, axis) for function in each)
    return value, slope, skew
