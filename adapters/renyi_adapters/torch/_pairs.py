"""Functions of two torch tensors: backward keeps these alone, and computes the analytic derivatives."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_adapters._rules import CROSS_ENTROPY, DIVERGENCE, INFORMATION, POWER, Kernels
from renyi_core._kernels import divergence as agnostic
from renyi_core._kernels import information
from renyi_core._kernels.channel import AXES, Kind
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.state import Door, Order

from . import _blocks as numpy_blocks
from ._function import differentiable, is_plain, sum_to

Tensor = Any
Axis = tuple[int, ...]

__all__ = [
    "cross_entropy",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "divergence_and_slopes",
    "mutual_information",
    "power_divergence",
]


@dataclass(frozen=True)
class _Static:
    """What of a call is not a tensor; ``order`` is None where α is a tensor, ``wrt`` is for the gradient."""

    kernels: Kernels
    order: Order | None
    door: Door
    axis: Axis
    family: str | None = None
    wrt: int = 0

    def arguments(self, alpha: Tensor, t: Tensor, infinite: Tensor, where: Tensor) -> tuple[Order, dict[str, Any]]:
        """Return the order and the other arguments of a kernel."""
        order = self.order
        if order is None:
            # the value of t was formed before α was rounded; its derivative is α's
            t = t.detach() + (alpha - alpha.detach()) if isinstance(alpha, torch.Tensor) else t
            order = Order(alpha, t, infinite)
        family = {} if self.family is None else {"family": self.family}
        return order, {"door": self.door, "where": where, "axis": self.axis, "xp": torch_namespace, **family}


def _in_blocks(kernel: str, static: _Static, x: Tensor, y: Tensor, *rest: Tensor, **options: Any) -> Any:
    """Return what a kernel of NumPy's adapter does, as tensors, or None if NumPy can't see these, or in their dtype."""
    if static.kernels is not DIVERGENCE or numpy_blocks.blocks is None:
        return None
    if x.dtype not in {torch.float32, torch.float64} or y.dtype != x.dtype:
        return None
    try:
        one, other, *mine = (numpy_blocks.array(tensor) for tensor in (x, y, *rest))
        options = {k: numpy_blocks.array(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    except (RuntimeError, TypeError):
        # on a GPU, batched by vmap, fake, distributed
        return None
    order, kwargs = static.arguments(*mine)
    found = getattr(numpy_blocks.blocks, kernel)(
        one, other, order, **(kwargs | {"xp": numpy_blocks.numpy_namespace}), **options
    )
    return [torch.from_numpy(values) for values in (found if isinstance(found, tuple) else (found,))]


def _fast_value(static: _Static, *tensors: Tensor) -> Tensor:
    found = _in_blocks("divergence", static, *tensors)
    return _value(static, *tensors) if found is None else found[0]


def _fast_gradient(static: _Static, *tensors: Tensor) -> Tensor:
    *others, scale = tensors
    found = _in_blocks("divergence_and_gradient", static, *others, wrt=static.wrt, scale=scale)
    return _gradient(static, *tensors) if found is None else found[1]


def _fast_alpha_slope(static: _Static, *tensors: Tensor) -> Tensor:
    found = _in_blocks("divergence_and_alpha_gradient", static, *tensors)
    return _alpha_slope(static, *tensors) if found is None else found[1]


def _value(static: _Static, x: Tensor, y: Tensor, *rest: Tensor) -> Tensor:
    order, kwargs = static.arguments(*rest)
    value: Tensor = static.kernels.value(x, y, order, **kwargs)
    return value


def _gradient(static: _Static, x: Tensor, y: Tensor, *rest: Tensor) -> Tensor:
    *order_and_mask, scale = rest
    order, kwargs = static.arguments(*order_and_mask)
    gradient: Tensor = static.kernels.with_gradient(x, y, order, wrt=static.wrt, scale=scale, **kwargs)[1]
    return gradient


def _alpha_slope(static: _Static, x: Tensor, y: Tensor, *rest: Tensor) -> Tensor:
    order, kwargs = static.arguments(*rest)
    slope: Tensor = static.kernels.with_slope(x, y, order, **kwargs)[1]
    return slope


_apply_gradient = differentiable(_fast_gradient, _gradient)
_apply_alpha_slope = differentiable(_fast_alpha_slope, _alpha_slope)


def _pull_back(static: _Static, tensors: Any, wanted: Any, cotangent: Tensor) -> tuple[Any, ...]:
    found: list[Any] = [None] * len(tensors)
    for wrt in (0, 1):
        if wanted[wrt]:
            gradient = _apply_gradient(dataclasses.replace(static, wrt=wrt), *tensors, cotangent)
            found[wrt] = sum_to(gradient, tensors[wrt])
    if wanted[2]:
        # t = α − 1, too, but its part is in that of α
        found[2] = sum_to(scaled(_apply_alpha_slope(static, *tensors), cotangent, torch_namespace), tensors[2])
    return tuple(found)


def _push_forward(static: _Static, tensors: Any, tangents: Any) -> Tensor:
    x = tensors[0]
    total = None
    for wrt in (0, 1):
        if tangents[wrt] is not None:
            one = torch.ones((), dtype=x.dtype, device=x.device)
            gradient = _apply_gradient(dataclasses.replace(static, wrt=wrt), *tensors, one)
            part = scaled(gradient, tangents[wrt], torch_namespace).sum(static.axis, keepdim=True)
            total = part if total is None else total + part
    if tangents[2] is not None:
        part = scaled(_apply_alpha_slope(static, *tensors), tangents[2], torch_namespace)
        total = part if total is None else total + part
    if total is None:
        # of t alone, which comes with that of α
        total = (0 * x).sum(static.axis, keepdim=True)
    return total


_apply_value = differentiable(_fast_value, _value, pull_back=_pull_back, push_forward=_push_forward)


def divergence(x: Tensor, y: Tensor, order: Order, *, door: Door, where: Tensor | None, axis: Axis, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.divergence.divergence."""
    return _apply_value(*_plain(DIVERGENCE, x, y, order, where, door, axis))


def cross_entropy(
    x: Tensor,
    y: Tensor,
    order: Order,
    *,
    door: Door,
    where: Tensor | None,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> Tensor:
    """Overlay renyi_core._kernels.cross_entropy.cross_entropy."""
    return _apply_value(*_plain(CROSS_ENTROPY, x, y, order, where, door, axis))


def power_divergence(
    x: Tensor,
    y: Tensor,
    order: Order,
    *,
    family: str,
    door: Door,
    where: Tensor | None,
    axis: Axis,
    xp: Any,  # noqa: ARG001
) -> Tensor:
    """Overlay renyi_core._kernels.power_divergence.power_divergence."""
    return _apply_value(*_plain(POWER, x, y, order, where, door, axis, family))


def mutual_information(joint: Tensor, order: Order, *, kind: Kind, xp: Any) -> Tensor:
    """Overlay renyi_core._kernels.information.mutual_information."""
    if kind == "csiszar":
        return information.mutual_information(joint, order, kind=kind, xp=xp)
    return _apply_value(*_plain(INFORMATION, joint, None, order, None, "probs", AXES, kind))


def divergence_and_gradient(
    x: Tensor,
    y: Tensor,
    order: Order,
    *,
    wrt: int,
    door: Door,
    where: Tensor | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Tensor, Tensor]:
    """Overlay renyi_core._kernels.divergence.divergence_and_gradient; differentiable by torch's own means."""
    if is_plain(x, y, order.alpha, scale):
        plain = _plain(DIVERGENCE, x, y, order, where, door, axis)
        found = _in_blocks("divergence_and_gradient", *plain, wrt=wrt, scale=scale)
        if found is not None:
            return found[0], found[1]
    return agnostic.divergence_and_gradient(x, y, order, wrt=wrt, door=door, where=where, axis=axis, xp=xp, scale=scale)


def divergence_and_alpha_gradient(
    x: Tensor, y: Tensor, order: Order, *, door: Door, where: Tensor | None, axis: Axis, xp: Any
) -> tuple[Tensor, Tensor]:
    """Overlay renyi_core._kernels.divergence.divergence_and_alpha_gradient; differentiable by torch's own means."""
    value, slope = _along_alpha(agnostic.divergence_and_alpha_gradient, x, y, order, door, where, axis, xp)
    return value, slope


def divergence_and_slopes(
    x: Tensor, y: Tensor, order: Order, *, door: Door, where: Tensor | None, axis: Axis, xp: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Overlay renyi_core._kernels.divergence.divergence_and_slopes; differentiable by torch's own means."""
    value, slope, skew = _along_alpha(agnostic.divergence_and_slopes, x, y, order, door, where, axis, xp)
    return value, slope, skew


def _along_alpha(
    kernel: Any, x: Tensor, y: Tensor, order: Order, door: Door, where: Tensor | None, axis: Axis, xp: Any
) -> Any:
    if is_plain(x, y, order.alpha):
        found = _in_blocks(kernel.__name__, *_plain(DIVERGENCE, x, y, order, where, door, axis))
        if found is not None:
            return found
    return kernel(x, y, order, door=door, where=where, axis=axis, xp=xp)


def _plain(
    kernels: Kernels,
    x: Tensor,
    y: Tensor | None,
    order: Order,
    where: Tensor | None,
    door: Door,
    axis: Axis,
    family: str | None = None,
) -> tuple[Any, ...]:
    """Return the arguments of a function of :func:`differentiable`; t has no derivative of its own."""
    if order.static:
        return _Static(kernels, order, door, axis, family), x, y, None, None, None, where
    return _Static(kernels, None, door, axis, family), x, y, order.alpha, order.t.detach(), order.infinite, where
