"""Pairs of distributions on the CPU by the compiled engine: of tensors that are not large, all in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from array_api_compat import torch as torch_namespace
from torch.autograd import forward_ad

try:
    import numpy as np

    from renyi_adapters.native import _pairs as native
    from renyi_adapters.numpy import _pairs as _engine
except ImportError:  # torch itself can do without NumPy
    _engine = None  # type: ignore[assignment]

from renyi_core._kernels.cross_entropy import CROSS_ENTROPY
from renyi_core._kernels.divergence import DIVERGENCE
from renyi_core._kernels.family import Call, Family
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.power_divergence import POWER_DIVERGENCE
from renyi_core._kernels.state import Order, Source

from . import _compiled as compiled
from ._function import sum_to

Tensor = Any

__all__ = ["short_way", "value"]

engine: Any = _engine

KEPT = 1 << 22
"""Up to so many entries the gradients are computed with the value, and kept for backward."""
SMALL = 1 << 16
"""Up to so many entries room for results is torch's."""
FORMATS = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
FAMILIES = DIVERGENCE, CROSS_ENTROPY, POWER_DIVERGENCE
TYPES = {torch.Tensor, torch.nn.Parameter}


def _array(x: Tensor | None) -> Any:
    """Return a NumPy array that shares the memory of a tensor, of bfloat16 as int16."""
    if x is None:
        return None
    x = x.detach()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def _tensor(part: Any, like: Tensor) -> Tensor:
    found = torch.from_numpy(part)
    return found.view(like.dtype) if found.dtype == torch.int16 else found


def _computed(call: Call, wrt: tuple[int, ...] = (), scale: Any = None, *, wide: bool = False) -> Any:
    arrays = tuple(_array(x) for x in call.arrays)
    seen = call._replace(arrays=arrays, where=_array(call.where), xp=np)
    found = engine.computed(seen, wrt, _array(scale), wide=wide, threads=torch.get_num_threads())
    if not wrt:
        return torch.from_numpy(found)
    return [torch.from_numpy(found[0]), *(_tensor(part, call.arrays[0]) for part in found[1:])]


def _at_once(call: Call, wrt: tuple[int, ...]) -> Any:
    """Return the value and the gradients, in the dtype of sums, of small contiguous arrays, None if rows are left."""
    (x, y), order, threads = call.arrays, call.order, torch.get_num_threads()
    n, source, cross = x.shape[-1], call.options["source"], int(call.family is CROSS_ENTROPY)
    sums = torch.float64 if x.dtype == torch.float64 else torch.float32
    value = torch.empty((*x.shape[:-1], 1), dtype=sums)
    flags = torch.empty(value.numel(), dtype=torch.uint8)
    gradients = [torch.empty_like(x, dtype=sums) for _ in wrt]
    along = [gradient.data_ptr() for gradient in gradients]
    along = along if len(along) == 2 else [*along, 0] if wrt == (0,) else [0, *(along or [0])]
    addresses = (x.data_ptr(), y.data_ptr(), value.data_ptr(), *along, flags.data_ptr())
    formats = FORMATS[x.dtype], FORMATS[sums]
    left = native.plain(formats, source, order, (value.numel(), n), addresses, threads, cross=cross)  # type: ignore[arg-type]
    return None if left else (value, *gradients)


def _with_gradients(call: Call, wrt: tuple[int, ...]) -> tuple[bool, Any]:
    """Return the value and the gradients, and whether all of these are known to be numbers."""
    x, y = call.arrays
    if (
        call.family is not POWER_DIVERGENCE
        and x.shape == y.shape
        and call.where is None
        and call.options["axis"] == (-1,)
        and x.numel() <= SMALL
        and x.is_contiguous()
        and y.is_contiguous()
    ):
        found = _at_once(call, wrt)
        if found is not None:
            return call.options["source"] == "logits" or _are_numbers(found[1:]), found
    found = _computed(call, wrt, wide=True)
    if not wrt:
        return False, (found,)
    return _are_numbers(found[:1] if call.options["source"] == "logits" else found[1:]), found


def _are_numbers(parts: Any) -> bool:
    """Return whether all entries are finite, and not so large that their sum is not."""
    return all(math.isfinite(part.sum().item()) for part in parts)


def _gradients(call: Call, wrt: tuple[int, ...], cotangent: Tensor) -> Any:
    return _computed(call, wrt, cotangent)[1:]


class _Divergence(torch.autograd.Function):
    """Backward keeps the arguments, and the gradients if the forward pass has them."""

    @staticmethod
    def forward(ctx: Any, call: Call, again: Any, kept: bool, x: Tensor, y: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad
        ctx.wrt = (0, 1) if wanted[3] and wanted[4] else (0,) if wanted[3] else (1,)
        ctx.again, ctx.kept = again, kept
        ctx.rest = call.family, call.order, call.where, call.options, call.xp
        gradients: list[Any] = []
        if max(x.numel(), y.numel()) > KEPT:
            value = _computed(call)
        else:
            ctx.sound, (value, *gradients) = _with_gradients(call, ctx.wrt)
        ctx.save_for_backward(x, y, *gradients)
        return value if kept else value.squeeze(-1)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
        x, y, *gradients = ctx.saved_tensors
        cotangent = cotangent if ctx.kept else cotangent.unsqueeze(-1)
        if gradients and not torch.is_grad_enabled():
            # of a row that does not count 0, whatever its derivative
            parts = [g * cotangent if ctx.sound else scaled(g, cotangent, torch_namespace) for g in gradients]
        else:
            family, *rest = ctx.rest
            call = Call(family, (x, y), *rest)
            way = ctx.again if torch.is_grad_enabled() or compiled.is_transformed() else _gradients
            parts = way(call, ctx.wrt, cotangent)
        found: list[Any] = [None, None]
        for i, part in zip(ctx.wrt, parts, strict=True):
            like = (x, y)[i]
            found[i] = part if part.shape == like.shape and part.dtype == like.dtype else sum_to(part, like)
        return None, None, None, *found


def value(call: Call, again: Callable[..., Any]) -> Tensor | None:
    """Return the divergence, or None where the engine does not know it; ``again`` differentiates its derivatives."""
    order = call.order
    if (
        engine is None
        or call.family not in FAMILIES
        or torch.compiler.is_compiling()
        or order is None
        or not (engine.takes_order(order) and order.static)
        or forward_ad._current_level >= 0  # noqa: SLF001
        or compiled.is_transformed()
    ):
        return None
    x, y = call.arrays
    if not (_is_here(x) and _is_here(y) and x.dtype == y.dtype and x.numel() and y.numel()):
        return None
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        plain: Tensor = _with_gradients(call, ())[1][0]
        return plain
    found: Tensor = _Divergence.apply(call, again, True, x, y)
    return found


def _is_here(x: Tensor) -> bool:
    return type(x) in TYPES and x.dtype in FORMATS and x.is_cpu and x.layout is torch.strided and not x.is_neg()


def short_way(again: Callable[..., Any]) -> Callable[..., Tensor | None]:
    """Return what gives the pairs of rows of simple tensors at once, or None where they are to be looked at closely."""

    def way(family: Family, x: Tensor, y: Tensor, alpha: Any, source: Source) -> Tensor | None:
        if family not in FAMILIES[:2] or torch.compiler.is_compiling() or not compiled.is_there():
            return None
        if type(alpha) not in {float, int} or not (1e-30 < alpha <= engine.LARGEST or alpha == 0):
            return None
        if type(x) not in TYPES or type(y) not in TYPES:
            return None
        if not (compiled.is_simple(x) and compiled.is_simple(y)):
            return None
        if x.dtype is not y.dtype or x.shape != y.shape or not x.ndim or not x.numel():
            return None
        order = Order(float(alpha), alpha - 1.0)
        call = Call(family, (x, y), order, None, {"source": source, "axis": (-1,)}, torch_namespace)
        if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
            value = _Divergence.apply(call, again, False, x, y)
        else:
            value = _with_gradients(call, ())[1][0].squeeze(-1)
        return value if value.dtype is x.dtype else value.to(x.dtype)

    return way
