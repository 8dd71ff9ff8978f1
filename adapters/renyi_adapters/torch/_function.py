"""Kernels with their derivatives, as ``torch.autograd.Function``: what every torch kernel is built with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

Tensor = Any

__all__ = ["differentiable", "pull", "sum_to"]


def differentiable(
    fast: Callable[..., Tensor],
    pure: Callable[..., Tensor],
    *,
    pull_back: Callable[..., tuple[Any, ...]] | None = None,
    push_forward: Callable[..., Tensor] | None = None,
) -> Callable[..., Tensor]:
    """Return a function ``(static, *tensors) -> tensor`` that keeps nothing but its arguments for its derivatives.

    It has reverse and forward mode, of any order, and a rule for ``torch.func.vmap``.

    Parameters
    ----------
    fast : callable
        ``(static, *tensors)``, the value. ``static`` is passed on as it is; a tensor may be None.
    pure : callable
        The same in differentiable torch operations.
    pull_back : callable, optional
        ``(static, tensors, wanted, cotangent)``, the vector–Jacobian product as one tensor or None for each argument;
        ``wanted`` says which. Built of such functions itself, it can be differentiated further. By default that of
        ``pure``.
    push_forward : callable, optional
        ``(static, tensors, tangents)``, the Jacobian–vector product, where a tangent may be None. By default that of
        ``pure``.
    """

    class Function(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(static: Any, *tensors: Any) -> Tensor:
            return fast(static, *tensors)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
            ctx.static, *tensors = inputs
            ctx.save_for_backward(*tensors)
            ctx.save_for_forward(*tensors)
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor | None) -> tuple[Any, ...]:
            tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
            if cotangent is None:
                return (None, *(None for _ in tensors))
            if pull_back is None:
                return (None, *pull(pure, ctx.static, tensors, wanted, cotangent))
            return (None, *pull_back(ctx.static, tensors, wanted, cotangent))

        @staticmethod
        def jvp(ctx: Any, _: None, *tangents: Any) -> Tensor | None:
            if all(tangent is None for tangent in tangents):
                return None
            if push_forward is None:
                return _push(pure, ctx.static, ctx.saved_tensors, tangents)
            return push_forward(ctx.static, ctx.saved_tensors, tangents)

    apply: Callable[..., Tensor] = Function.apply
    return apply


def _partial(
    pure: Callable[..., Tensor], static: Any, tensors: Sequence[Any], wanted: Sequence[bool]
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Return ``pure`` as a function of the wanted tensors, and these."""

    def f(*some: Tensor) -> Tensor:
        rest = iter(some)
        return pure(static, *(next(rest) if want else tensor for tensor, want in zip(tensors, wanted, strict=True)))

    return f, [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]


def pull(
    pure: Callable[..., Tensor], static: Any, tensors: Sequence[Any], wanted: Sequence[bool], cotangent: Tensor
) -> list[Any]:
    """Return the vector–Jacobian product of ``pure``, None for what is not wanted."""
    f, some = _partial(pure, static, tensors, wanted)
    pulled: Any = torch.func.vjp(f, *some)
    gradients = iter(pulled[1](cotangent))
    return [next(gradients) if want else None for want in wanted]


def _push(pure: Callable[..., Tensor], static: Any, tensors: Sequence[Any], tangents: Sequence[Any]) -> Tensor:
    """Return the Jacobian–vector product of ``pure``.

    The vector–Jacobian product is linear in the cotangent, and its own one is the Jacobian–vector product: levels of
    forward mode, which do not nest outside torch.func, are not needed.
    """
    wanted = [tangent is not None for tangent in tangents]
    f, some = _partial(pure, static, tensors, wanted)
    pulled: Any = torch.func.vjp(f, *some)
    twice: Any = torch.func.vjp(pulled[1], torch.zeros_like(pulled[0]))
    product: Tensor = twice[1](tuple(tangent for tangent in tangents if tangent is not None))[0]
    return product


def sum_to(values: Tensor, like: Tensor) -> Tensor:
    """Return the sum over what ``like`` was broadcast along, in its shape and dtype."""
    return values.sum_to_size(like.shape).to(like.dtype)
