"""Tensors on the CPU through the compiled engine: their memory is shared, that of bfloat16 too.

None stands for what the engine can't see: a tensor on a GPU, batched by vmap, fake, distributed.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import torch
from torch.autograd import forward_ad

from renyi_adapters import native
from renyi_core._kernels.measures import ENTROPY, Measure
from renyi_core._kernels.state import Order, Source, State

engine: Any = None
np: Any = None
with contextlib.suppress(ImportError):  # torch itself can do without NumPy
    import numpy as np

    from renyi_adapters.numpy import _compiled as engine

Tensor = Any
Axis = tuple[int, ...]
LAST = (-1,)

__all__ = [
    "alpha_gradient",
    "gradient",
    "gradient_of_state",
    "has_memory",
    "is_order",
    "is_simple",
    "is_there",
    "is_transformed",
    "orders_at_once",
    "rows_at_once",
    "state",
    "value",
]


def _array(x: Any) -> Any:
    if isinstance(x, State):
        return State(*map(_array, x))
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach()
    return (x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy()


# Triton's interpreter takes tensors of the CPU
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def is_there() -> bool:
    """Return whether the engine can be asked."""
    return engine is not None and not INTERPRETED and native.library() is not None


def _call(name: str, x: Tensor, order: Order, args: tuple[Any, ...] = (), **kwargs: Any) -> Any:
    """Return what the engine's function gives, of arrays on the memory of the tensors: arrays, which share it too."""
    if not is_there() or x.device.type != "cpu" or x.is_nested:
        return None
    try:
        size = x.dtype.itemsize
        x, arrays = _array(x), [_array(arg) for arg in args]
        if not order.static:
            order = Order(*map(_array, order))
        if isinstance(kwargs.get("scale"), torch.Tensor):
            kwargs["scale"] = kwargs["scale"].to(torch.float32 if size == 2 else kwargs["scale"].dtype)
        for key in ("where", "scale", "out"):
            if kwargs.get(key) is not None:
                kwargs[key] = _array(kwargs[key])
    except (RuntimeError, TypeError):
        return None
    return getattr(engine, name)(x, *arrays, order, threads=torch.get_num_threads(), **kwargs)


TYPES = (torch.Tensor, torch.nn.Parameter)
KINDS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_NAMES = {torch.float32: "f4", torch.float64: "f8", torch.bfloat16: "i2", torch.float16: "f2"}
LARGE = 1 << 19
is_transformed: Any = torch._C._are_functorch_transforms_active  # noqa: SLF001  what autograd.Function asks itself


def has_memory(x: Tensor) -> bool:
    """Return whether a tensor has memory of its own, which one batched by vmap has not."""
    try:
        x.data_ptr()
    except RuntimeError:
        return False
    return True


def is_simple(x: Tensor) -> bool:
    """Return whether it is a plain contiguous tensor on the CPU, outside of torch's transformations."""
    return (
        x.layout is torch.strided
        and not x.is_nested
        and x.is_cpu
        and x.dtype in KINDS
        and x.is_contiguous()
        and not (x.is_neg() or is_transformed() or forward_ad._current_level >= 0)  # noqa: SLF001
    )


def _room(x: Tensor) -> Tensor:
    """Return room for a gradient: of large ones from NumPy, whose pages are larger than torch's, and so fewer."""
    if x.numel() < LARGE:
        return torch.empty_like(x)
    return torch.from_numpy(np.empty(x.shape, _NAMES[x.dtype])).view(x.dtype)


def rows_at_once(
    x: Tensor, alpha: float, source: Source, measure: Measure, scale: Tensor | None = None, *, wanted: bool = False
) -> tuple[Tensor, Tensor | None] | None:
    """Return the measure of the rows of a simple tensor, and its gradient times ``scale`` if that is wanted."""
    lead, n = x.shape[:-1], x.shape[-1]
    values = torch.empty(lead, dtype=x.dtype if x.dtype.itemsize > 2 else torch.float32)
    gradient = _room(x) if wanted else None
    task = engine.packed(
        x.data_ptr(),
        n,
        KINDS[x.dtype],
        alpha,
        source,
        measure,
        values.data_ptr(),
        scale=0 if scale is None else scale.data_ptr(),
        scale_row=0 if scale is None or scale.ndim != 1 else scale.stride(0),
        gradient=0 if gradient is None else gradient.data_ptr(),
    )
    if task is None:
        return None
    native.run(native.library().renyi_entropies, task, engine.HEAD, values.numel(), n, torch.get_num_threads())
    return values, gradient


def is_order(alpha: Any) -> bool:
    """Return whether it is a plain number that is an order."""
    return bool(engine.is_order(alpha))


def orders_at_once(x: Tensor, alphas: list[Any], source: Source) -> Tensor | None:
    """Return the entropies of several orders along a new last axis, None where an order is no plain number."""
    orders, n = engine.several(alphas), x.shape[-1]
    if orders is None:
        return None
    values = torch.empty((*x.shape[:-1], len(alphas)), dtype=x.dtype if x.dtype.itemsize > 2 else torch.float32)
    task = engine.packed_orders(x.data_ptr(), n, KINDS[x.dtype], orders, source, values.data_ptr())
    run = native.library().renyi_entropies
    native.run(run, task, engine.HEAD, x.numel() // n, n * len(alphas), torch.get_num_threads())
    return values


def value(x: Tensor, order: Order, where: Tensor | None, axis: Axis, source: Source, measure: Measure) -> Any:
    """Return the measure of each distribution."""
    found = _call("value", x, order, source=source, measure=measure, where=where, axis=axis)
    return None if found is None else torch.from_numpy(found)


def gradient(
    x: Tensor,
    order: Order,
    where: Tensor | None,
    axis: Axis,
    source: Source,
    measure: Measure,
    scale: Any,
    *,
    out: Tensor | None = None,
) -> Any:
    """Return the measure and its gradient times ``scale``, which is written to ``out``; that may be x."""
    found = _call("gradient", x, order, source=source, measure=measure, where=where, axis=axis, scale=scale, out=out)
    if found is None:
        return None
    values, entries = map(torch.from_numpy, found)
    entries = entries.view(x.dtype)
    return values, entries if out is None or out.shape != entries.shape else out


def alpha_gradient(x: Tensor, order: Order, where: Tensor | None, axis: Axis, source: Source, measure: Measure) -> Any:
    """Return the measure and its derivative in α."""
    found = _call("slope", x, order, source=source, measure=measure, where=where, axis=axis)
    return None if found is None else tuple(map(torch.from_numpy, found))


def state(x: Tensor, order: Order, where: Tensor | None, *, full: bool) -> State | None:
    """Return the partial state of logits over the last axis."""
    found = _call("partial_state", x, order, source="logits", where=where, axis=LAST, full=full)
    return None if found is None else State(*(None if part is None else torch.from_numpy(part) for part in found))


def gradient_of_state(
    x: Tensor, state: State, scale: Any, order: Order, where: Tensor | None, out: Tensor
) -> Tensor | None:
    """Write the gradient of logits that are a part of a state's distributions to ``out``, which may be x."""
    found = _call(
        "gradient_of_state",
        x,
        order,
        (state, scale),
        source="logits",
        measure=ENTROPY,
        where=where,
        axis=LAST,
        out=out,
    )
    return None if found is None else out
