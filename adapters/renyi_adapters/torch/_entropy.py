"""The entropy of torch tensors and its derivatives: on the CPU by NumPy's blocks, on a GPU by Triton's kernels.

Backward keeps the input, and of a GPU's forward pass its state. The first derivatives are the analytic kernels; those
of higher order are torch's own, through the array-API code. While torch.compile traces, the array-API code itself runs,
which Inductor fuses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels import guards, sources
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import Measure
from renyi_core._kernels.state import Order, Source

from . import _blocks as blocks
from . import _compiled as compiled
from . import _gpu as gpu
from ._function import differentiable, is_plain, sum_to

Tensor = Any
Axis = tuple[int, ...]

__all__ = [
    "distributions",
    "entropies_at_once",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_hvp",
    "gradient_in_place_of_the_input",
    "spectrum_at_once",
    "where_known",
]


def distributions(*arrays: Tensor, source: Source, where: Tensor | None, axis: Axis, xp: Any) -> tuple[Any, Any]:
    """Overlay renyi_core._kernels.sources.distributions; of jagged rows, which torch can choose none of, all count."""
    if any(x.is_nested for x in arrays):
        return tuple(sources.accumulate(x, xp=xp) for x in arrays), True
    return sources.distributions(*arrays, source=source, where=where, axis=axis, xp=xp)


def where_known(known: Tensor, values: Tensor, others: Callable[[], Tensor], xp: Any) -> Tensor:
    """Overlay renyi_core._kernels.guards.where_known; of jagged rows, which torch can choose none of, all are known."""
    return values if values.is_nested else guards.where_known(known, values, others, xp)


@dataclass(frozen=True)
class _Static:
    """What of a call is not a tensor; ``order`` is None where α is a tensor."""

    order: Order | None
    source: Source
    measure: Measure
    axis: Axis
    in_place: bool
    full: bool
    """Whether the state that a GPU keeps of a forward pass has to serve a gradient of all digits."""

    def args(self, alpha: Tensor, t: Tensor, infinite: Tensor, where: Tensor) -> tuple[Order, dict[str, Any]]:
        """Return the order and the other arguments of an array-API kernel."""
        order = self.order
        if order is None:
            # the value of t was formed before α was rounded; its derivative is α's
            order = Order(alpha, t.detach() + (alpha - alpha.detach()), infinite)
        kwargs = {
            "source": self.source,
            "measure": self.measure,
            "where": where,
            "axis": self.axis,
            "xp": torch_namespace,
        }
        return order, kwargs

    def plain(self, alpha: Tensor, t: Tensor, infinite: Tensor, where: Tensor) -> tuple[Any, ...]:
        """Return the arguments of NumPy's blocks, after x."""
        order = Order(alpha, t, infinite) if self.order is None else self.order
        return order, where, self.axis, self.source, self.measure


class _Mode(threading.local):
    in_place = False


_mode = _Mode()


@contextmanager
def gradient_in_place_of_the_input() -> Iterator[None]:
    """Let backward write the gradient over the values of the input, for calls made within the block.

    It saves memory of the input's size, and holds only if nothing reads the input after the backward pass of this call
    has begun: no other use of it in the graph, no second backward, no leaf that is a parameter. Where another part of
    the graph reads it then, autograd raises its RuntimeError of a variable "modified by an inplace operation".
    On the CPU and, for orders that are numbers, on a GPU with Triton; elsewhere, and where the gradient is not of the
    input's shape, it changes nothing.

    Examples
    --------
    >>> import torch
    >>> import renyi_core as renyi
    >>> from renyi_training.torch import gradient_in_place_of_the_input
    >>> hidden = torch.ones(2, 3, requires_grad=True)
    >>> logits = hidden * torch.tensor([0.0, 1.0, 2.0])
    >>> with gradient_in_place_of_the_input():
    ...     loss = -renyi.entropy_from_logits(logits, 2.0).mean()
    >>> loss.backward()
    >>> hidden.grad.shape
    torch.Size([2, 3])
    """
    before, _mode.in_place = _mode.in_place, True
    try:
        yield
    finally:
        _mode.in_place = before


def _is_dense(x: Tensor) -> bool:
    """Return whether each entry has a place in memory of its own, as those of ``expand`` and ``unfold`` do not."""
    length = 1
    for stride, n in sorted(zip(x.stride(), x.shape, strict=True)):
        if n > 1 and stride != length:
            return False
        length *= n
    return True


def _value(static: _Static, x: Tensor, *rest: Tensor) -> Any:
    both = gpu.value(x, *static.plain(*rest), full=static.full)
    if both is not None:
        return both
    values = blocks.value(x, *static.plain(*rest))
    return _pure_value(static, x, *rest) if values is None else values


def _pure_value(static: _Static, x: Tensor, *rest: Tensor) -> Tensor:
    order, kwargs = static.args(*rest)
    return agnostic.entropy(x, order, **kwargs)


def _scaled_gradient(
    static: _Static, x: Tensor, alpha: Tensor, t: Tensor, inf: Tensor, mask: Tensor, scale: Tensor, state: Tensor
) -> Tensor:
    rest = alpha, t, inf, mask
    out = x.detach() if static.in_place else None
    order, where, axis, source, measure = static.plain(*rest)
    full = static.full or (state is None and gpu.keeps_digits(x))
    both = gpu.gradient(x, order, where, axis, source, measure, scale, full=full, state=state, out=out)
    if both is None:
        both = blocks.gradient(x, order, where, axis, source, measure, scale, out=out)
    if out is not None and both is not None and both[1] is out:
        # so that autograd refuses what would read the input's values, which are gone
        torch.autograd.graph.increment_version(x)
    return _pure_gradient(static, x, *rest, scale, state) if both is None else both[1]


def _pure_gradient(
    static: _Static, x: Tensor, alpha: Tensor, t: Tensor, inf: Tensor, mask: Tensor, scale: Tensor, state: Tensor
) -> Tensor:
    del state  # x says all that it says, and can be differentiated
    order, kwargs = static.args(alpha, t, inf, mask)
    return agnostic.entropy_and_gradient(x, order, scale=scale, **kwargs)[1]


def _alpha_slope(static: _Static, x: Tensor, *rest: Tensor) -> Tensor:
    both = blocks.alpha_gradient(x, *static.plain(*rest))
    return _pure_alpha_slope(static, x, *rest) if both is None else both[1]


def _pure_alpha_slope(static: _Static, x: Tensor, *rest: Tensor) -> Tensor:
    order, kwargs = static.args(*rest)
    return agnostic.entropy_and_alpha_gradient(x, order, **kwargs)[1]


_apply_gradient = differentiable(_scaled_gradient, _pure_gradient)
_apply_alpha_slope = differentiable(_alpha_slope, _pure_alpha_slope)


def _pull_back(
    static: _Static, tensors: Any, wanted: Any, cotangent: Tensor, state: Tensor | None = None
) -> tuple[Any, ...]:
    x, alpha, *_ = tensors
    along_x = along_alpha = None
    if wanted[1] or torch.is_grad_enabled():
        # x is read once more
        static = replace(static, in_place=False)
    if wanted[0]:
        along_x = sum_to(_apply_gradient(static, *tensors, cotangent, state), x)
    if wanted[1]:
        along_alpha = sum_to(scaled(_apply_alpha_slope(static, *tensors), cotangent, torch_namespace), alpha)
    # t = α − 1, too, but its part is in that of α
    return along_x, along_alpha, None, None, None


def _push_forward(static: _Static, tensors: Any, tangents: Any) -> Tensor:
    along_x, along_alpha, *_ = tangents
    static, total = replace(static, in_place=False), None
    if along_x is not None:
        one = torch.ones((), dtype=along_x.dtype, device=along_x.device)
        gradient = _apply_gradient(static, *tensors, one, None)
        total = scaled(gradient, along_x, torch_namespace).sum(static.axis, keepdim=True)
    if along_alpha is not None:
        part = scaled(_apply_alpha_slope(static, *tensors), along_alpha, torch_namespace)
        total = part if total is None else total + part
    if total is None:
        # of t alone, which comes with that of α
        total = torch.zeros_like(tensors[0]).sum(static.axis, keepdim=True)
    return total


_apply_value = differentiable(_value, _pure_value, pull_back=_pull_back, push_forward=_push_forward)


def _tensors(x: Tensor, order: Order, where: Tensor | None) -> tuple[Any, ...]:
    """Return the tensors of a call in the order of all functions above."""
    alpha, t, infinite = (None, None, None) if order.static else order
    return x, alpha, None if t is None else t.detach(), infinite, where


def entropy(
    x: Tensor, order: Order, *, source: Source, measure: Measure, where: Tensor | None, axis: Axis, xp: Any
) -> Tensor:
    """Overlay renyi_core._kernels.entropy.entropy."""
    if torch.compiler.is_compiling():
        return agnostic.entropy(x, order, source=source, measure=measure, where=where, axis=axis, xp=xp)
    full = torch.is_grad_enabled() and x.requires_grad and gpu.keeps_digits(x)
    static = _Static(order if order.static else None, source, measure, axis, _mode.in_place and _is_dense(x), full)
    return _apply_value(static, *_tensors(x, order, where))


def entropy_and_gradient(
    x: Tensor,
    order: Order,
    *,
    source: Source,
    measure: Measure,
    where: Tensor | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Tensor, Tensor]:
    """Overlay renyi_core._kernels.entropy.entropy_and_gradient; differentiable by torch's own means."""
    both = None
    if is_plain(x, order.alpha, scale):
        both = gpu.gradient(x, order, where, axis, source, measure, scale, full=gpu.keeps_digits(x))
        if both is None:
            both = blocks.gradient(x, order, where, axis, source, measure, scale)
    if both is None:
        return agnostic.entropy_and_gradient(
            x, order, source=source, measure=measure, where=where, axis=axis, xp=xp, scale=scale
        )
    return both


def entropy_and_alpha_gradient(
    x: Tensor, order: Order, *, source: Source, measure: Measure, where: Tensor | None, axis: Axis, xp: Any
) -> tuple[Tensor, Tensor]:
    """Overlay renyi_core._kernels.entropy.entropy_and_alpha_gradient; differentiable by torch's own means."""
    both = blocks.alpha_gradient(x, order, where, axis, source, measure) if is_plain(x, order.alpha) else None
    if both is None:
        return agnostic.entropy_and_alpha_gradient(
            x, order, source=source, measure=measure, where=where, axis=axis, xp=xp
        )
    return both


def entropy_hvp(
    x: Tensor,
    vector: Tensor,
    order: Order,
    *,
    measure: Measure,
    where: Tensor | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> Tensor:
    """Overlay renyi_core._kernels.entropy.entropy_hvp; differentiable by torch's own means."""
    result = None
    if is_plain(x, vector, order.alpha, scale):
        result = blocks.product(x, vector, order, where, axis, measure, scale)
    if result is None:
        return agnostic.entropy_hvp(x, vector, order, measure=measure, where=where, axis=axis, xp=xp, scale=scale)
    return result


class _AtOnce(torch.autograd.Function):
    """Rows of a simple tensor in one call of the engine each way; it keeps its input only.

    What asks for more than a gradient goes the way of all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float, source: Source, measure: Measure) -> Tensor:
        ctx.given = alpha, source, measure
        ctx.save_for_backward(x)
        return compiled.rows_at_once(x, alpha, source, measure)[0]  # type: ignore[index]

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,), (alpha, source, measure) = ctx.saved_tensors, ctx.given
        if not torch.is_grad_enabled() and not compiled.is_transformed() and compiled.has_memory(cotangent):
            scale = cotangent if cotangent.ndim == 1 else cotangent.reshape(-1)
            return compiled.rows_at_once(x, alpha, source, measure, scale, wanted=True)[1], None, None, None  # type: ignore[index]
        static = _Static(Order(float(alpha), alpha - 1.0), source, measure, (-1,), in_place=False, full=False)
        along, *_ = _pull_back(static, (x, None, None, None, None), (True, False), cotangent.unsqueeze(-1))
        return along, None, None, None


def _is_simple(x: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and compiled.is_there()
        and type(x) in compiled.TYPES
        and compiled.is_simple(x)
        and x.ndim > 0
        and x.numel() > 0
        and not _mode.in_place
    )


def entropies_at_once(x: Tensor, alpha: Any, source: Source, measure: Measure) -> Tensor | None:
    """Return the measure of the rows of a simple tensor, None for what is to be looked at more closely."""
    if not _is_simple(x) or not compiled.is_order(alpha):
        return None
    if x.requires_grad and torch.is_grad_enabled():
        values = _AtOnce.apply(x, alpha, source, measure)
    else:
        both = compiled.rows_at_once(x, alpha, source, measure)
        if both is None:
            return None
        values = both[0]
    return values if values.dtype is x.dtype else values.to(x.dtype)


def spectrum_at_once(x: Tensor, alphas: list[Any], source: Source) -> Tensor | None:
    """Return the entropies of several orders of a simple tensor, None for what is to be looked at more closely."""
    if not _is_simple(x) or (x.requires_grad and torch.is_grad_enabled()):
        return None
    values = compiled.orders_at_once(x, alphas, source)
    return values if values is None or values.dtype is x.dtype else values.to(x.dtype)
