"""Kernels with their derivatives, as ``torch.autograd.Function``: what every torch kernel is built with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

Tensor = Any

__all__ = ["differentiable", "is_plain", "pull", "push", "sum_to"]


def differentiable(
    fast: Callable[..., Tensor],
    pure: Callable[..., Tensor],
    *,
    pull_back: Callable[..., tuple[Any, ...]] | None = None,
    push_forward: Callable[..., Tensor] | None = None,
    several: bool = False,
) -> Callable[..., Any]:
    """Return a function ``(static, *tensors) -> tensor`` that keeps nothing but its arguments for its derivatives.

    It has reverse and forward mode, of any order, and a rule for ``torch.func.vmap``.

    Parameters
    ----------
    fast : callable
        ``(static, *tensors)``, the value. ``static`` is passed on as it is; a tensor may be None. The value may come
        with more tensors, which are kept for ``pull_back`` and have no derivative.
    pure : callable
        The same in differentiable torch operations.
    pull_back : callable, optional
        ``(static, tensors, wanted, cotangent, *kept)``, the vector–Jacobian product as one tensor or None for each
        argument; ``wanted`` says which. Built of such functions itself, it can be differentiated further. By default
        that of ``pure``.
    push_forward : callable, optional
        ``(static, tensors, tangents)``, the Jacobian–vector product, where a tangent may be None. By default that of
        ``pure``.
    several : bool, default False
        Whether the value is a tuple of tensors, each of which has derivatives.
    """

    class Function(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(static: Any, *tensors: Any) -> Any:
            return fast(static, *tensors)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            ctx.static, *tensors = inputs
            kept = output[1:] if isinstance(output, tuple) and not several else ()
            ctx.mark_non_differentiable(*kept)
            ctx.kept = len(kept)
            ctx.save_for_backward(*tensors, *kept)
            ctx.save_for_forward(*tensors)
            ctx.set_materialize_grads(several)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor | None, *others: Any) -> tuple[Any, ...]:
            saved, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
            tensors, kept = saved[: len(wanted)], saved[len(wanted) :]
            if cotangent is None:
                return (None, *(None for _ in tensors))
            if pull_back is None:
                given = (cotangent, *others) if several else cotangent
                return (None, *pull(pure, ctx.static, tensors, wanted, given))
            return (None, *pull_back(ctx.static, tensors, wanted, cotangent, *kept))

        @staticmethod
        def jvp(ctx: Any, _: None, *tangents: Any) -> Any:
            tangent = None
            if any(tangent is not None for tangent in tangents):
                tensors = ctx.saved_tensors[: len(tangents)]
                forward = push_forward or functools.partial(push, pure)
                tangent = forward(ctx.static, tensors, tangents)
            return (tangent, *(None,) * ctx.kept) if ctx.kept else tangent

    # or torch reads it anew at each call
    Function.forward.__signature__ = inspect.signature(Function.forward)  # type: ignore[attr-defined]
    traced = pure if pull_back is None else _traced(pure, pull_back)

    def apply(static: Any, *tensors: Any) -> Any:
        if torch.compiler.is_compiling():
            return traced(static, *tensors)
        # a derivative rule takes its time
        output = fast(static, *tensors) if is_plain(*tensors) else Function.apply(static, *tensors)
        return output[0] if isinstance(output, tuple) and not several else output

    return apply


def _traced(pure: Callable[..., Tensor], pull_back: Callable[..., tuple[Any, ...]]) -> Callable[..., Tensor]:
    """Return what torch.compile traces: a Function without a forward mode, which keeps its arguments itself."""

    class Traced(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, static: Any, *tensors: Any) -> Any:
            ctx.static = static
            ctx.save_for_backward(*tensors)
            return pure(static, *tensors)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
            wanted = ctx.needs_input_grad[1:]
            return (None, *pull_back(ctx.static, ctx.saved_tensors, wanted, cotangent))

    traced: Callable[..., Tensor] = Traced.apply
    return traced


def _partial(
    pure: Callable[..., Tensor], static: Any, tensors: Sequence[Any], wanted: Sequence[bool]
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Return ``pure`` as a function of the wanted tensors, and these."""

    def f(*some: Tensor) -> Tensor:
        rest = iter(some)
        return pure(static, *(next(rest) if want else tensor for tensor, want in zip(tensors, wanted, strict=True)))

    return f, [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]


def pull(
    pure: Callable[..., Tensor], static: Any, tensors: Sequence[Any], wanted: Sequence[bool], cotangent: Any
) -> list[Any]:
    """Return the vector–Jacobian product of ``pure``, None for what is not wanted."""
    f, some = _partial(pure, static, tensors, wanted)
    pulled: Any = torch.func.vjp(f, *some)
    gradients = iter(pulled[1](cotangent))
    return [next(gradients) if want else None for want in wanted]


def push(pure: Callable[..., Any], static: Any, tensors: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Return the Jacobian–vector product of ``pure``.

    The vector–Jacobian product is linear in the cotangent, and its own one is the Jacobian–vector product: levels of
    forward mode, which do not nest outside torch.func, are not needed.
    """
    wanted = [tangent is not None for tangent in tangents]
    f, some = _partial(pure, static, tensors, wanted)
    pulled: Any = torch.func.vjp(f, *some)
    value = pulled[0]
    zero = tuple(map(torch.zeros_like, value)) if isinstance(value, tuple) else torch.zeros_like(value)
    twice: Any = torch.func.vjp(pulled[1], zero)
    return twice[1](tuple(tangent for tangent in tangents if tangent is not None))[0]


def sum_to(values: Tensor, like: Tensor) -> Tensor:
    """Return the sum over what ``like`` was broadcast along, in its shape and dtype."""
    return values.sum_to_size(like.shape).to(like.dtype)


def is_plain(*args: Any) -> bool:
    """Return whether no derivative is asked for by torch's own means."""
    if torch.compiler.is_compiling():
        return False
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    unpack: Any = forward_ad.unpack_dual
    return all(unpack(tensor).tangent is None for tensor in tensors)
