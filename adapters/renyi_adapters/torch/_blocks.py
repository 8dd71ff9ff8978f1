"""Tensors on the CPU through NumPy's blocks: their memory is shared, and bfloat16 is converted a piece at a time.

In one thread: threads that hand the interpreter's lock to each other after every block gained nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

try:
    import numpy as np

    from renyi_adapters import numpy as _blocks
except ImportError:  # torch itself can do without NumPy
    _blocks = None  # type: ignore[assignment]

from renyi_core._kernels.measures import ENTROPY, Measure
from renyi_core._kernels.state import Order, Source, State

from . import _compiled as compiled

Tensor = Any
Array = Any
Axis = tuple[int, ...]

__all__ = [
    "alpha_gradient",
    "array",
    "blocks",
    "gradient",
    "gradient_of_state",
    "np",
    "product",
    "state",
    "tanh_",
    "value",
]

CHUNK = 1 << 18
"""Entries that are taken at a time where they are copied, as bfloat16 is to float32."""

FEW_THREADS = 4
"""Up to so many, torch's hyperbolic tangent takes longer than NumPy's on one."""

LAST = (-1,)

blocks: Any = _blocks


def _empty(shape: tuple[int, ...], dtype: Any) -> Tensor:
    """Return room from NumPy, which asks for large pages: to touch those of torch costs more than the arithmetic."""
    if dtype == torch.bfloat16:
        return torch.from_numpy(np.empty(shape, np.int16)).view(dtype)
    return torch.from_numpy(np.empty(shape, _DTYPES[dtype]))


def array(tensor: Tensor | None) -> Array:
    """Return a NumPy array that shares the tensor's memory (of bfloat16: a view as int16), or raise."""
    if tensor is None:
        return None
    tensor = tensor.detach()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


class _Problem:
    """The arrays of one call and how they are cut: along the longest axis that is not reduced."""

    def __init__(self, x: Tensor, order: Order, where: Tensor | None, axis: Axis, *others: Tensor | None) -> None:
        self.order, self.axis = order, axis
        rest = () if order.static else tuple(order)
        self.tensors = (x, where, *others, *rest)
        self.arrays = [array(tensor) for tensor in self.tensors]
        self.others = len(others)
        self.copies = x.dtype == torch.bfloat16
        shape = tuple(np.broadcast_shapes(x.shape, *(part.shape for part in rest)))
        self.shape = shape
        free = [k for k in range(-x.ndim, 0) if k not in axis and x.shape[k] == shape[k] and len(shape) == x.ndim]
        self.cut: int = max(free, key=lambda k: x.shape[k]) if free else 0
        """Negative; 0 is for none."""

    def rows(self, count: int) -> list[Tensor]:
        """Return room for so many results of one number a row."""
        x = self.tensors[0]
        lengths = tuple(1 if k - len(self.shape) in self.axis else n for k, n in enumerate(self.shape))
        dtype = x.dtype if x.dtype.itemsize > 2 else torch.float32
        return [_empty(lengths, dtype) for _ in range(count)]

    def _pieces(self) -> Iterator[slice | None]:
        """Yield the slices to be done one at a time: None is all there is."""
        size = math.prod(self.shape)
        if not self.copies or not self.cut or size <= CHUNK:
            yield None
            return
        length = self.shape[self.cut]
        step = max(1, length * CHUNK // size)
        for start in range(0, length, step):
            yield slice(start, start + step)

    def _of(self, array: Array, piece: slice | None) -> Array:
        if piece is None or array is None or array.ndim < -self.cut or array.shape[self.cut] == 1:
            return array
        return array[(..., piece, *(slice(None),) * (-self.cut - 1))]

    def _floats(self, array: Array, tensor: Tensor) -> Array:
        """Return bfloat16, viewed as int16, in float32, which has the same exponents."""
        if tensor is None or tensor.dtype != torch.bfloat16:
            return array
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)

    def run(self, kernel: Callable[..., Any], *outs: Tensor) -> None:
        """Call ``kernel(x, order, where, *others, *outs)`` for each piece."""
        targets = [array(out) for out in outs]
        rounded = [out.dtype == torch.bfloat16 for out in outs]
        for piece in self._pieces():
            x, where, *rest = (
                self._floats(self._of(array, piece), tensor)
                for array, tensor in zip(self.arrays, self.tensors, strict=True)
            )
            order = self.order if self.order.static else Order(*rest[self.others :])
            room = [self._of(target, piece) for target in targets]
            floats = [np.empty(r.shape, np.float32) if half else r for r, half in zip(room, rounded, strict=True)]
            kernel(x, order, where, *rest[: self.others], *floats)
            for target, values, half in zip(room, floats, rounded, strict=True):
                if half:
                    target[...] = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy()


def _problem(*args: Any) -> _Problem | None:
    """Return the arguments, or None if NumPy can't see these tensors: on a GPU, batched by vmap, fake, distributed."""
    if blocks is None or args[0].numel() == 0 or args[0].dtype not in _DTYPES:
        return None
    try:
        return _Problem(*args)
    except (RuntimeError, TypeError):
        return None


_DTYPES = {torch.float16: "f2", torch.bfloat16: "i2", torch.float32: "f4", torch.float64: "f8"}


def value(x: Tensor, order: Order, where: Tensor | None, axis: Axis, source: Source, measure: Measure) -> Tensor | None:
    """Return the measure, or None if this is not for NumPy."""
    found = compiled.value(x, order, where, axis, source, measure)
    if found is not None:
        return found
    arguments = _problem(x, order, where, axis)
    if arguments is None:
        return None

    def kernel(x: Array, order: Order, where: Array, out: Array) -> None:
        out[...] = blocks.entropy(x, order, source=source, measure=measure, where=where, axis=axis, xp=np)

    (values,) = arguments.rows(1)
    arguments.run(kernel, values)
    return values


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
) -> tuple[Tensor, Tensor] | None:
    """Return the measure and its gradient times ``scale``, or None; the gradient is written to ``out`` if given.

    ``out`` may be x.
    """
    found = compiled.gradient(x, order, where, axis, source, measure, scale, out=out)
    if found is not None:
        return found
    tensor = scale if isinstance(scale, torch.Tensor) else None
    arguments = _problem(x, order, where, axis, tensor)
    if arguments is None:
        return None

    def kernel(x: Array, order: Order, where: Array, part: Array, values: Array, out: Array) -> None:
        values[...], _ = blocks.entropy_and_gradient(
            x,
            order,
            source=source,
            measure=measure,
            where=where,
            axis=axis,
            xp=np,
            scale=scale if tensor is None else part,
            out=out,
        )

    (values,) = arguments.rows(1)
    if out is None or out.shape != arguments.shape:
        out = _empty(arguments.shape, x.dtype)
    arguments.run(kernel, values, out)
    return values, out


def alpha_gradient(
    x: Tensor, order: Order, where: Tensor | None, axis: Axis, source: Source, measure: Measure
) -> tuple[Tensor, Tensor] | None:
    """Return the measure and its derivative in α, or None."""
    found = compiled.alpha_gradient(x, order, where, axis, source, measure)
    if found is not None:
        return found
    arguments = _problem(x, order, where, axis)
    if arguments is None:
        return None

    def kernel(x: Array, order: Order, where: Array, values: Array, slopes: Array) -> None:
        values[...], slopes[...] = blocks.entropy_and_alpha_gradient(
            x, order, source=source, measure=measure, where=where, axis=axis, xp=np
        )

    values, slopes = arguments.rows(2)
    arguments.run(kernel, values, slopes)
    return values, slopes


def product(
    x: Tensor, vector: Tensor, order: Order, where: Tensor | None, axis: Axis, measure: Measure, scale: Any
) -> Tensor | None:
    """Return the Hessian with respect to the logits times a vector, or None."""
    if isinstance(scale, torch.Tensor):
        return None
    arguments = _problem(x, order, where, axis, vector)
    if arguments is None:
        return None

    def kernel(x: Array, order: Order, where: Array, vector: Array, out: Array) -> None:
        out[...] = blocks.entropy_hvp(x, vector, order, measure=measure, where=where, axis=axis, xp=np, scale=scale)

    out = _empty(arguments.shape, x.dtype)
    arguments.run(kernel, out)
    return out


def state(x: Tensor, order: Order, where: Tensor | None, *, full: bool) -> State | None:
    """Return the partial state of logits over the last axis, for a static order, or None."""
    found = compiled.state(x, order, where, full=full)
    if found is not None:
        return found
    arguments = _problem(x, order, where, LAST)
    if arguments is None:
        return None
    arguments.copies |= where is not None

    def kernel(x: Array, order: Order, where: Array, *outs: Array) -> None:
        if where is not None:
            x = np.where(where, x, x.dtype.type(-math.inf))
        found = blocks.entropy_partial_state(x, order, source="logits", axis=LAST, xp=np, full=full)
        for out, values in zip(outs, (values for values in found if values is not None), strict=True):
            out[...] = values

    needs = True, True, *order.needs(full=full)
    fields = arguments.rows(sum(needs))
    arguments.run(kernel, *fields)
    rest = iter(fields)
    return State(*(next(rest) if need else None for need in needs))


def gradient_of_state(
    x: Tensor, state: State, scale: Any, order: Order, where: Tensor | None, out: Tensor
) -> Tensor | None:
    """Write the gradient of logits that are a part of a state's distributions to ``out``, which may be x, or None.

    For a static order that is not ∞.
    """
    found = compiled.gradient_of_state(x, state, scale, order, where, out)
    if found is not None:
        return found
    tensor = scale if isinstance(scale, torch.Tensor) else None
    arguments = _problem(x, order, where, LAST, *state, tensor)
    if arguments is None:
        return None
    arguments.copies |= where is not None

    def kernel(x: Array, order: Order, where: Array, *rest: Array) -> None:
        *fields, part, out = rest
        if where is not None:
            x = np.where(where, x, x.dtype.type(-math.inf))
        blocks.entropy_gradient_of_state(
            x,
            State(*fields),
            scale if tensor is None else part,
            order,
            source="logits",
            measure=ENTROPY,
            axis=LAST,
            xp=np,
            out=out,
        )
        if where is not None:
            np.copyto(out, 0, where=~where)

    arguments.run(kernel, out)
    return out


def tanh_(x: Tensor) -> Tensor:
    """Write the hyperbolic tangent over the tensor: on one thread NumPy's takes a seventh of torch's time."""
    if blocks is None or x.dtype.itemsize == 2 or x.is_cuda or torch.get_num_threads() > FEW_THREADS:
        return x.tanh_()
    try:
        values = array(x)
    except (RuntimeError, TypeError):
        return x.tanh_()
    np.tanh(values, out=values)
    return x
