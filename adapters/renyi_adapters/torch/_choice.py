"""Regularized choices of torch: by the compiled engine on the CPU, else by its own constants, sorting and picking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_adapters import native
from renyi_core._kernels import quadrature
from renyi_core._kernels.choice import ARGMAX, MAX
from renyi_core._kernels.family import Call, Family
from renyi_core._kernels.state import Order

from . import _compiled as compiled

engine: Any = None
with contextlib.suppress(ImportError):  # torch itself can do without NumPy
    from renyi_adapters.numpy import _choice as engine

Tensor = Any
FAMILIES = ARGMAX, MAX
TYPES = {torch.Tensor, torch.nn.Parameter}

__all__ = ["argsort_cells", "constant", "gauss_legendre", "short_way", "sort_gaps", "take_cells", "value"]


def constant(values: Any) -> Any:
    """Overlay renyi_core._kernels.guards.constant."""
    if isinstance(values, tuple):
        parts = tuple(map(constant, values))
        return type(values)(*parts) if hasattr(values, "_fields") else parts
    return values.detach() if isinstance(values, torch.Tensor) else values


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def gauss_legendre(n: int) -> tuple[list[float], list[float]]:
    """Overlay renyi_core._kernels.quadrature.gauss_legendre: torch.compile cannot trace decimals."""
    return quadrature.gauss_legendre(n)


def argsort_cells(values: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.argsort_cells; torch's ONNX exporter knows no ``stable``."""
    return torch.argsort(values, dim=0, **({} if torch.compiler.is_compiling() else {"stable": True}))


def sort_gaps(gaps: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice.sort_gaps; of numbers an unstable order is as good."""
    return torch.sort(gaps, dim=-1).values


def take_cells(values: Tensor, index: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.take_cells; ``take_along_dim`` fixes the lengths of exported graphs."""
    return values.expand(values.shape[:1] + index.shape[1:]).gather(0, index)


class _Choices(torch.autograd.Function):  # type: ignore[misc]
    """Backward keeps the scores, and of each row where on its curve the choice is; at α = 1 the choice itself."""

    @staticmethod
    def forward(ctx: Any, call: Call, again: Any, scores: Tensor) -> Tensor:
        ctx.again, ctx.call = again, call._replace(arrays=(None, call.arrays[1]))
        softmax = call.order is not None and call.order.t == 0
        v = None if softmax else torch.empty(scores.shape[:-1], dtype=torch.float64)
        out = _computed(call, v)
        ctx.save_for_backward(
            scores, v, out if softmax and call.family is ARGMAX and scores.dtype.itemsize > 2 else None
        )
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
        scores, v, p = ctx.saved_tensors
        call = ctx.call._replace(arrays=(scores, ctx.call.arrays[1]))
        if torch.is_grad_enabled() or not compiled.has_memory(cotangent):
            return None, None, ctx.again(call, (0,), cotangent)[0]
        return None, None, _product(call, v, p, cotangent.contiguous())


def _packed(call: Call, v: Tensor | None, **places: Any) -> None:
    scores, temperature = call.arrays
    n, order = scores.shape[-1], tuple(call.order or ())
    place = scores.data_ptr(), n, 1
    kept = 0 if v is None else v.data_ptr()
    task = engine.packed(n, compiled.KINDS[scores.dtype], place, *order[:2], temperature, v=kept, **places)
    engine.run(task, scores.numel() // n, n, torch.get_num_threads())


def _computed(call: Call, v: Tensor | None = None) -> Tensor:
    scores = call.arrays[0]
    if call.family is ARGMAX:
        out = torch.empty_like(scores)
        _packed(call, v, p=(out.data_ptr(), scores.shape[-1], 1))
    else:
        out = torch.empty((*scores.shape[:-1], 1), dtype=_sums(scores))
        _packed(call, v, rows=(out.data_ptr(), 0, 0))
    return out


def _product(call: Call, v: Tensor | None, p: Tensor | None, cotangent: Tensor) -> Tensor:
    scores = call.arrays[0]
    n, out = scores.shape[-1], torch.empty_like(scores)
    to = out.data_ptr(), n, 1
    if call.family is not ARGMAX:
        _packed(call, v, p=to, factor=(cotangent.data_ptr(), 1), given=int(v is not None))
        return out
    places = {"product": to, "vector": (cotangent.data_ptr(), n, 1)}
    if p is None:
        _packed(call, v, given=int(v is not None), **places)
    else:
        _packed(call, v, given=2, p=(p.data_ptr(), n, 1), **places)
    return out


def _sums(scores: Tensor) -> torch.dtype:
    return scores.dtype if scores.dtype.itemsize > 2 else torch.float32


def _differentiable(call: Call, again: Any) -> Tensor:
    scores = call.arrays[0]
    if torch.is_grad_enabled() and scores.requires_grad:
        found: Tensor = _Choices.apply(call, again, scores)
        return found
    return _computed(call)


def value(call: Call, again: Callable[..., Any]) -> Tensor | None:
    """Return plain choices by the engine, None for others; ``again`` differentiates their derivatives."""
    order = call.order
    if call.family not in FAMILIES or order is None or not order.static:
        return None
    scores, temperature = call.arrays
    if call.where is not None or call.options["axis"] != (-1,) or not isinstance(temperature, float):
        return None
    return _differentiable(call, again) if _knows(scores, order.alpha, temperature) else None


def _knows(scores: Tensor, alpha: Any, temperature: Any) -> bool:
    return (
        not torch.compiler.is_compiling()
        and engine is not None
        and type(scores) in TYPES
        and compiled.is_simple(scores)
        and scores.ndim > 0
        and scores.numel() > 0
        and native.library() is not None
        and engine.plain_numbers(alpha, temperature) is not None
    )


def short_way(again: Callable[..., Any]) -> Callable[..., Tensor | None]:
    """Return what gives the choices of rows of simple tensors at once, or None where they need a closer look."""

    def way(family: Family, scores: Tensor, alpha: Any, temperature: Any) -> Tensor | None:
        if not _knows(scores, alpha, temperature):
            return None
        order = Order(float(alpha), alpha - 1.0)
        call = Call(family, (scores, float(temperature)), order, None, {"axis": (-1,)}, torch_namespace)
        found = _differentiable(call, again)
        return found if family is ARGMAX else found.squeeze(-1).to(scores.dtype)

    return way
