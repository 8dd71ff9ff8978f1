"""Dask's array-API namespace, for lengths that are not known: chunks may be empty, and there is no telling which."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
from array_api_compat.dask import array as compat

da: Any = dask.array
Array = Any

__all__ = ["known", "namespace", "whole"]

namespace: Any = types.ModuleType(compat.__name__, compat.__doc__)
"""The functions of array-api-compat, but for those below."""
namespace.__dict__.update(vars(compat))


def known(x: Array) -> bool:
    """Return whether all lengths are known."""
    return not any(map(math.isnan, x.shape))


def renyi_together(x: Array) -> Array:
    """Return chunks that were joined."""
    return x


def whole(x: Array, axes: tuple[int, ...]) -> Array:
    """Return x with one chunk along the axes, negative numbers of which it may lack some."""
    axes = tuple(k for k in axes if -k <= x.ndim and x.numblocks[k] > 1)
    if not any(math.isnan(x.shape[k]) for k in axes):
        return x.rechunk({x.ndim + k: -1 for k in axes}) if axes else x
    labels = range(x.ndim)
    # a product without a factor: what it sums over is joined
    joined = tuple(k + x.ndim if k - x.ndim in axes else k for k in labels)
    new = {k + 2 * x.ndim: (x.shape[k],) for k in axes}
    return da.blockwise(renyi_together, joined, x, labels, new_axes=new, concatenate=True, dtype=x.dtype)


def renyi_extreme(x: Array, axis: tuple[int, ...], keepdims: bool, *, function: Callable[..., Array]) -> Array:
    """Return the extreme of a chunk, what no number exceeds where there are none."""
    if all(x.shape[k] for k in axis):
        return function(x, axis=axis, keepdims=keepdims)
    shape = [1 if k in axis else n for k, n in enumerate(x.shape) if keepdims or k not in axis]
    return np.full_like(x, -math.inf if function is np.max else math.inf, shape=shape)


def _extreme(function: Callable[..., Array]) -> Callable[..., Array]:
    of_known = getattr(compat, function.__name__)
    part = functools.partial(renyi_extreme, function=function)

    @functools.wraps(of_known)
    def extreme(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
        if known(x) or x.dtype.kind != "f":
            return of_known(x, axis=axis, keepdims=keepdims)
        return da.reduction(x, part, part, axis=axis, keepdims=keepdims, dtype=x.dtype)

    return extreme


def _stack(arrays: Any, /, *, axis: int = 0) -> Array:
    return da.stack(arrays, axis=axis, allow_unknown_chunksizes=not all(map(known, arrays)))


def _expand_dims(x: Array, /, *, axis: int) -> Array:
    index = [slice(None)] * x.ndim
    index.insert(axis % (x.ndim + 1), None)  # type: ignore[arg-type]
    return x[tuple(index)]


def renyi_take(x: Array, indices: Array, *, axis: int) -> Array:
    """Return what a chunk has at the indices."""
    return np.take_along_axis(x, indices, axis=axis)


def _take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    k = axis % x.ndim
    of, at, out = list(range(x.ndim)), list(range(x.ndim)), list(range(x.ndim))
    # the indices have a length of their own along the axis
    of[k] = x.ndim
    x = whole(x, (k - x.ndim,))
    return da.blockwise(renyi_take, out, x, of, indices, at, axis=k, concatenate=True, dtype=x.dtype)


namespace.max, namespace.min = _extreme(np.max), _extreme(np.min)
namespace.expand_dims, namespace.stack = _expand_dims, _stack
namespace.take_along_axis = _take_along_axis
