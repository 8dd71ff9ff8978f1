"""Joint distributions in Dask: the chunks of each are brought together, then NumPy's call runs on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dask.array
import numpy as np
from array_api_compat import numpy as numpy_namespace

from renyi_core._kernels import conditional, information
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.state import Order

da: Any = dask.array
Array = Any

__all__ = [
    "conditional_entropy",
    "conditional_entropy_and_alpha_gradient",
    "conditional_entropy_and_gradient",
    "mutual_information",
    "mutual_information_and_alpha_gradient",
    "mutual_information_and_gradient",
]


def renyi_joint(joint: Array, *, kernel: Callable[..., Any], part: int | None, options: dict[str, Any]) -> Array:
    """Return what a kernel gives for a chunk, or one part of that."""
    with np.errstate(all="ignore"):
        result = kernel(joint, xp=numpy_namespace, **options)
    return result if part is None else result[part]


def _run(kernel: Callable[..., Any], joint: Array, order: Order, scale: Any = None, *, xp: Any, **options: Any) -> Any:
    """Return the result of a kernel, which is the value alone, a pair of rows, or a row and a gradient."""
    whole = order.static and type(joint._meta) is np.ndarray and not any(map(math.isnan, joint.shape))  # noqa: SLF001
    pair, along = kernel.__name__.endswith("_gradient"), kernel.__name__.endswith("and_gradient")
    if not whole:
        return kernel(joint, order, xp=xp, **options, **({"scale": scale} if along else {}))
    chunked = joint.rechunk({joint.ndim - 2: -1, joint.ndim - 1: -1})
    sums = np.dtype(np.float32) if joint.dtype == np.float16 else joint.dtype

    def mapped(part: int | None, entries: bool) -> Array:
        chunks = chunked.chunks if entries else (*chunked.chunks[:-2], (1,), (1,))
        dtype = joint.dtype if entries else sums
        settings = {"kernel": kernel, "part": part, "options": {"order": order, **options}}
        meta = np.empty((0,) * joint.ndim, dtype)
        return da.map_blocks(renyi_joint, chunked, **settings, chunks=chunks, dtype=dtype, meta=meta)

    if not pair:
        return mapped(None, entries=False)
    gradient = mapped(1, entries=along)
    return mapped(0, entries=False), gradient if scale is None else scaled(gradient, scale, xp).astype(gradient.dtype)


def mutual_information(joint: Array, order: Order, *, kind: Any, xp: Any) -> Array:
    """Overlay renyi_core._kernels.information.mutual_information."""
    return _run(information.mutual_information, joint, order, kind=kind, xp=xp)


def mutual_information_and_gradient(joint: Array, order: Order, *, kind: Any, xp: Any, scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.information.mutual_information_and_gradient."""
    return _run(information.mutual_information_and_gradient, joint, order, scale, kind=kind, xp=xp)


def mutual_information_and_alpha_gradient(joint: Array, order: Order, *, kind: Any, xp: Any) -> Any:
    """Overlay renyi_core._kernels.information.mutual_information_and_alpha_gradient."""
    return _run(information.mutual_information_and_alpha_gradient, joint, order, kind=kind, xp=xp)


def conditional_entropy(joint: Array, order: Order, *, xp: Any) -> Array:
    """Overlay renyi_core._kernels.conditional.conditional_entropy."""
    return _run(conditional.conditional_entropy, joint, order, xp=xp)


def conditional_entropy_and_gradient(joint: Array, order: Order, *, xp: Any, scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.conditional.conditional_entropy_and_gradient."""
    return _run(conditional.conditional_entropy_and_gradient, joint, order, scale, xp=xp)


def conditional_entropy_and_alpha_gradient(joint: Array, order: Order, *, xp: Any) -> Any:
    """Overlay renyi_core._kernels.conditional.conditional_entropy_and_alpha_gradient."""
    return _run(conditional.conditional_entropy_and_alpha_gradient, joint, order, xp=xp)
