"""Any family on torch: backward keeps its arrays only, and computes the analytic derivatives.

On the CPU the kernels run in NumPy's blocks, on the memory of the tensors. Derivatives of higher order are torch's own,
through the array-API code.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_core._kernels import family as agnostic
from renyi_core._kernels.family import ALL, ENTRIES, ROWS, Call, Family, Wrt
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.state import Order

from . import _blocks as numpy_blocks
from . import _choice as choices
from . import _pairs as pairs
from ._function import differentiable, is_plain, push, sum_to

Tensor = Any

__all__ = ["choices_at_once", "pairs_at_once", "rows"]


@dataclass(frozen=True)
class _Static:
    """What of a call is no tensor; ``order`` is None where α is a tensor, ``numbers`` are the arrays that are numbers.

    ``wrt`` is for derivatives.
    """

    family: Family
    order: Order | None
    ordered: bool
    numbers: tuple[float | None, ...]
    options: dict[str, Any]
    wrt: Wrt = ()

    def call(self, tensors: Any) -> Call:
        """Return the call, of tensors in the order of :func:`_parted`."""
        *arrays, alpha, t, infinite, where = tensors
        order = self.order
        if order is None and self.ordered:
            # the value of t was formed before α was rounded; its derivative is α's
            t = t.detach() + (alpha - alpha.detach()) if isinstance(alpha, torch.Tensor) else t
            order = Order(alpha, t, infinite)
        given = tuple(x if number is None else number for x, number in zip(arrays, self.numbers, strict=True))
        return Call(self.family, given, order, where, self.options, torch_namespace)


def _parted(call: Call) -> tuple[Any, ...]:
    """Return the static part of a call and its tensors; t has no derivative of its own."""
    order = call.order
    traced = None if order is None or order.static else order
    numbers = tuple(x if isinstance(x, float) else None for x in call.arrays)
    static = _Static(call.family, None if traced else order, order is not None, numbers, call.options)
    arrays = (None if isinstance(x, float) else x for x in call.arrays)
    rest = (None, None, None) if traced is None else (traced.alpha, traced.t.detach(), traced.infinite)
    return static, *arrays, *rest, call.where


def _in_blocks(call: Call, wrt: Wrt, scale: Any) -> Any:
    """Return what NumPy's adapter gives, as tensors, or None if NumPy can't see these: on a GPU, batched, fake."""
    if numpy_blocks.blocks is None:
        return None
    order, options, xp = call.order, call.options, numpy_blocks.np
    try:
        arrays = tuple(_array(x) for x in call.arrays)
        if order is not None and not order.static:
            order = Order(*map(_array, order))
        seen, factor = Call(call.family, arrays, order, _array(call.where), options, xp), _array(scale)
    except (RuntimeError, TypeError):
        return None
    found = agnostic.run(seen, wrt, factor)
    if not wrt:
        return torch.as_tensor(found)
    value, *parts = found
    gradients = []
    for place, part in zip(wrt, parts, strict=True):
        like = None if place == "alpha" else call.arrays[int(place)]
        gradient = torch.as_tensor(part)
        gradients.append(gradient.to(like.dtype) if isinstance(like, torch.Tensor) else gradient)
    return torch.as_tensor(value), *gradients


def _array(x: Any) -> Any:
    """Return a NumPy array that shares the memory of a tensor; of bfloat16, which it has not, one in float32."""
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def _fast_value(static: _Static, *tensors: Tensor) -> Tensor:
    call = static.call(tensors)
    found = _in_blocks(call, (), None)
    return agnostic.rows(call) if found is None else found


def _value(static: _Static, *tensors: Tensor) -> Tensor:
    value: Tensor = agnostic.rows(static.call(tensors))
    return value


def _fast_derivatives(static: _Static, *tensors: Tensor) -> tuple[Tensor, ...]:
    *given, scale = tensors
    call = static.call(given)
    found = _in_blocks(call, static.wrt, scale)
    return tuple(agnostic.rows(call, static.wrt, scale) if found is None else found)[1:]


def _derivatives(static: _Static, *tensors: Tensor) -> tuple[Tensor, ...]:
    *given, scale = tensors
    return tuple(agnostic.rows(static.call(given), static.wrt, scale))[1:]


_apply_derivatives = differentiable(_fast_derivatives, _derivatives, several=True)


def _places(static: _Static, wanted: Any) -> tuple[tuple[int, int | str], ...]:
    """Return the positions of what a derivative is wanted of, and its names for the kernels."""
    # of t = α − 1, too, but its part is in that of α
    count = len(static.numbers)
    return tuple((i, "alpha" if i == count else i) for i in range(count + 1) if wanted[i])


def _pull_back(static: _Static, tensors: Any, wanted: Any, cotangent: Tensor) -> tuple[Any, ...]:
    found: list[Any] = [None] * len(tensors)
    places = _places(static, wanted)
    if places:
        asked = dataclasses.replace(static, wrt=tuple(name for _, name in places))
        for (i, _), part in zip(places, _apply_derivatives(asked, *tensors, cotangent), strict=True):
            found[i] = sum_to(part, tensors[i])
    return tuple(found)


def _push_forward(static: _Static, tensors: Any, tangents: Any) -> Tensor:
    family = static.family
    places = _places(static, [tangent is not None for tangent in tangents])
    if family.result in {ENTRIES, ALL} or not places:
        return push(_value, static, tensors, tangents)
    like = next(x for x in tensors if x is not None)
    asked = dataclasses.replace(static, wrt=tuple(name for _, name in places))
    one = torch.ones((), dtype=torch.float32 if like.dtype.itemsize == 2 else like.dtype, device=like.device)
    total = None
    for (i, name), gradient in zip(places, _apply_derivatives(asked, *tensors, one), strict=True):
        layout = ROWS if name == "alpha" else family.layouts[i]
        part = scaled(gradient, tangents[i], torch_namespace)
        if layout == ENTRIES:
            part = part.sum(static.options["axis"], keepdim=True) if static.options["axis"] else part
        elif layout not in {ROWS, 0}:
            part = part.sum(tuple(range(-int(layout), 0)))[(..., *(None,) * (family.kept or 0))]
        total = part if total is None else total + part
    return total


_apply = differentiable(_fast_value, _value, pull_back=_pull_back, push_forward=_push_forward)


def _again(call: Call, wrt: Wrt, cotangent: Tensor) -> tuple[Tensor, ...]:
    """Return the derivatives of a call, times a cotangent, as what can be differentiated further."""
    static, *tensors = _parted(call)
    found: tuple[Tensor, ...] = _apply_derivatives(dataclasses.replace(static, wrt=wrt), *tensors, cotangent)
    return found


def rows(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.family.rows; derivatives are differentiable by torch's own means."""
    if call.family.plain:
        return agnostic.rows(call, wrt, scale)
    if not wrt:
        found = pairs.value(call, _again)
        found = choices.value(call, _again) if found is None else found
        return _apply(*_parted(call)) if found is None else found
    alpha = None if call.order is None else call.order.alpha
    found = _in_blocks(call, wrt, scale) if is_plain(*call.arrays, alpha, scale) else None
    return agnostic.rows(call, wrt, scale) if found is None else found


pairs_at_once = pairs.short_way(_again)
choices_at_once = choices.short_way(_again)
