"""Regularized choices in Dask: the chunks of each row are brought together, for the library of the chunks to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
from array_api_compat import array_namespace

from renyi_core._kernels import choice
from renyi_core._kernels.state import Order

from ._namespace import whole

da: Any = dask.array
Array = Any
Axis = tuple[int, ...]

__all__ = [
    "regularized_argmax",
    "regularized_argmax_and_product",
    "regularized_max",
    "regularized_max_and_gradient",
]


def renyi_choice(
    *blocks: Any, kernel: Callable[..., Any], names: tuple[str, ...], part: int | None, options: dict[str, Any]
) -> Any:
    """Return what a kernel gives for a block, or one part of that."""
    given = {**options, **dict(zip(names, blocks, strict=True))}
    scores = given.pop("scores")
    if "alpha" in given:
        given["order"] = Order(given.pop("alpha"), given.pop("t"), given.pop("infinite"))
    with np.errstate(all="ignore"):
        result = kernel(scores, xp=array_namespace(scores), **given)
    return result if part is None else result[part]


def _run(kernel: Callable[..., Any], pair: tuple[bool, ...], *, axis: Axis, **arguments: Any) -> Any:
    """Return the results of a kernel; ``pair`` says which of them have the shape of the scores."""
    order = arguments.pop("order")
    if order.static:
        arguments["order"] = order
    else:
        arguments.update(alpha=order.alpha, t=order.t, infinite=order.infinite)
    arrays = {name: x for name, x in arguments.items() if isinstance(x, da.Array)}
    options = {name: x for name, x in arguments.items() if name not in arrays} | {"axis": axis}
    scores = arrays["scores"]
    ndim = max(x.ndim for x in arrays.values())
    if scores.ndim < ndim:
        arrays["scores"] = scores[(None,) * (ndim - scores.ndim)]
    labels = range(ndim)
    indexed = [part for x in arrays.values() for part in (whole(x, axis), tuple(labels[ndim - x.ndim :]))]
    reduced = [ndim + i for i in axis]
    sums = np.dtype(np.float32) if scores.dtype == np.float16 else scores.dtype

    def mapped(part: int | None, whole: bool) -> Array:
        return da.blockwise(
            renyi_choice,
            tuple(labels),
            *indexed,
            kernel=kernel,
            names=tuple(arrays),
            part=part,
            options=options,
            adjust_chunks=None if whole else dict.fromkeys(reduced, 1),
            concatenate=True,
            dtype=scores.dtype if whole else sums,
            meta=np.empty((0,) * ndim, scores.dtype if whole else sums),
        )

    if len(pair) == 1:
        return mapped(None, pair[0])
    return mapped(0, pair[0]), mapped(1, pair[1])


def regularized_argmax(scores: Array, order: Order, temperature: Any, *, where: Any, axis: Axis, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice.regularized_argmax."""
    given = {"scores": scores, "order": order, "temperature": temperature, "where": where, "axis": axis}
    return _run(choice.regularized_argmax, (True,), **given)


def regularized_max(scores: Array, order: Order, temperature: Any, *, where: Any, axis: Axis, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice.regularized_max."""
    given = {"scores": scores, "order": order, "temperature": temperature, "where": where, "axis": axis}
    return _run(choice.regularized_max, (False,), **given)


def regularized_max_and_gradient(
    scores: Array,
    order: Order,
    temperature: Any,
    *,
    wrt: int | str,
    where: Any,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.choice.regularized_max_and_gradient."""
    given = {"scores": scores, "order": order, "temperature": temperature, "where": where, "axis": axis}
    both: tuple[Array, Array] = _run(choice.regularized_max_and_gradient, (False, wrt == 0), wrt=wrt, **given)
    return both


def regularized_argmax_and_product(
    scores: Array,
    cotangent: Array,
    order: Order,
    temperature: Any,
    *,
    wrt: int | str,
    where: Any,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.choice.regularized_argmax_and_product."""
    given = {"scores": scores, "order": order, "temperature": temperature, "where": where, "axis": axis}
    kernel = choice.regularized_argmax_and_product
    both: tuple[Array, Array] = _run(kernel, (True, wrt == 0), wrt=wrt, cotangent=cotangent, **given)
    return both
