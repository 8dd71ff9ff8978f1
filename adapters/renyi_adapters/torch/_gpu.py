"""The measures of one distribution and their gradients on a GPU, along any axes: Triton's kernels from logits.

None stands for what is not for them.
"""

from __future__ import annotations

from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_core._kernels.entropy import factor_of
from renyi_core._kernels.measures import ENTROPY, Measure
from renyi_core._kernels.state import Order, Rows, Source, State, finish

from . import _triton as triton

Tensor = Any
Axis = tuple[int, ...]
XP: Any = torch_namespace

__all__ = ["gradient", "keeps_digits", "value"]


def keeps_digits(x: Tensor) -> bool:
    """Return whether a gradient is worth a full state: in 16 bits its rounding hides most of what that gains."""
    return bool(x.dtype.itemsize > 2)


def _moved(x: Tensor | None, axis: Axis) -> Tensor:
    """Return a tensor with the reduced axes as one, the last: a view where the axes allow."""
    if x is None or axis == (-1,):
        return x
    x = x.movedim(axis, tuple(range(-len(axis), 0)))
    return x if len(axis) == 1 else x.flatten(-len(axis))


def _mask(where: Tensor | None, x: Tensor, axis: Axis) -> Tensor | None:
    return None if where is None else _moved(where.expand(x.shape), axis)


def _rows_shape(x: Tensor, axis: Axis) -> tuple[int, ...]:
    return tuple(1 if k - x.ndim in axis else length for k, length in enumerate(x.shape))


def _rows(state: Tensor, order: Order, shape: tuple[int, ...], *, full: bool) -> Rows:
    peak, r0, s, ra = (part.reshape(shape) for part in state)
    with_s, with_ra = order.needs(full=full)
    return finish(State(peak, r0, s if with_s else None, ra if with_ra else None), order, xp=XP)


def _takes(x: Tensor, order: Order, where: Tensor | None, source: Source, *others: Tensor | None) -> bool:
    return source == "logits" and triton.takes(x, [order], where, *others)


def value(
    x: Tensor, order: Order, where: Tensor | None, axis: Axis, source: Source, measure: Measure, *, full: bool
) -> tuple[Tensor, Tensor] | None:
    """Return the measure and the state to give to :func:`gradient`, or None."""
    if not _takes(x, order, where, source):
        return None
    both = triton.values_and_state(_moved(x, axis), [order], where=_mask(where, x, axis), full=full)
    if both is None:
        return None
    values, state = both
    shape = _rows_shape(x, axis)
    if measure is ENTROPY:
        return values.reshape(shape), state
    return measure.value(_rows(state, order, shape, full=full), order, xp=XP), state


def gradient(
    x: Tensor,
    order: Order,
    where: Tensor | None,
    axis: Axis,
    source: Source,
    measure: Measure,
    scale: Any,
    *,
    full: bool,
    state: Tensor | None = None,
    out: Tensor | None = None,
) -> tuple[Any, Tensor] | None:
    """Return the measure and its gradient times ``scale``, or None; of a given ``state``, None and the gradient.

    The gradient is written to ``out`` if given, which may be x. ``full`` is what the state was or is to be made with.
    """
    tensor = scale if isinstance(scale, torch.Tensor) else None
    if not _takes(x, order, where, source, tensor, state):
        return None
    values = None
    if state is None:
        both = value(x, order, where, axis, source, measure, full=full)
        if both is None:
            return None
        values, state = both
    shape = _rows_shape(x, axis)
    rows = None if measure is ENTROPY else _rows(state, order, shape, full=full)
    factor: Any = scale if rows is None else factor_of(rows, order, measure, scale, XP)
    if factor is not None:
        if not isinstance(factor, torch.Tensor):
            factor = torch.full((), factor, dtype=state.dtype, device=x.device)
        factor = factor.expand(shape).squeeze(axis)
    along_one = len(axis) == 1
    room = None
    if along_one:
        out = torch.empty_like(x) if out is None else out
        room = _moved(out, axis)
    result = triton.gradient_of_states(
        _moved(x, axis),
        state,
        [order],
        factor,
        sums=[triton.with_s(order, full=full)],
        where=_mask(where, x, axis),
        out=room,
    )
    if result is None:
        return None
    if along_one:
        return values, out
    lengths = tuple(x.shape[k] for k in axis)
    result = result.unflatten(-1, lengths).movedim(tuple(range(-len(axis), 0)), axis)
    return values, result if out is None else out.copy_(result)
