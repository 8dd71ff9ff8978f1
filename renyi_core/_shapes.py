"""Axes and shapes: what broadcasts to what, and the way back."""

from __future__ import annotations

from typing import Any

from ._numbers import integer

Array = Any

__all__ = [
    "axes_of",
    "broadcast_shapes",
    "check_fits",
    "on_rows",
    "put_back",
    "reduced_shape",
    "sum_to_shape",
    "with_axes",
]


def axes_of(shape: tuple[Any, ...], axis: Any, name: str) -> tuple[int, ...]:
    """Return the axes to reduce of an array of this shape, negative and sorted."""
    ndim = len(shape)
    if type(axis) is int and axis == -1 and ndim > 0 and shape[-1] != 0:
        return (-1,)
    if axis is None:
        axis = tuple(range(ndim))
    numbers = axis if isinstance(axis, tuple) else (axis,)
    axes = []
    for number in numbers:
        try:
            index = integer(number, "axis")
        except TypeError:
            msg = f"`axis` must be an integer, a tuple of integers or None, got {axis!r}"
            raise TypeError(msg) from None
        if not -ndim <= index < ndim:
            msg = f"`axis` {index} is out of range for `{name}` with {ndim} dimension{'' if ndim == 1 else 's'}"
            raise ValueError(msg)
        axes.append(index % ndim - ndim)
    if not axes or len(set(axes)) < len(axes):
        what = "repeats an axis" if axes else "names no axis"
        msg = f"`axis` {axis!r} {what} of `{name}` with shape {shape}"
        raise ValueError(msg)
    if any(shape[i] == 0 for i in axes):
        msg = f"`axis` {axis!r} has no entries: `{name}` has shape {shape}"
        raise ValueError(msg)
    return tuple(sorted(axes))


def reduced_shape(shape: tuple[Any, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[Any, ...]:
    """Return the shape of a reduction over the negative ``axes``."""
    if axes == (-1,):
        return (*shape[:-1], 1) if keepdims else shape[:-1]
    numbered = enumerate(shape, -len(shape))
    return tuple(1 if i in axes else n for i, n in numbered if keepdims or i not in axes)


def broadcast_shapes(*shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the common shape; lengths that a lazy library does not know (None, nan) agree with any other."""
    result: list[Any] = []
    for i in range(max(map(len, shapes))):
        length: Any = 1
        for shape in shapes:
            n = shape[-1 - i] if i < len(shape) else 1
            if n in (1, length):
                continue
            if length == 1 or not isinstance(length, int):
                length = n
            elif isinstance(n, int):
                msg = f"shapes {shapes} do not broadcast"
                raise ValueError(msg)
        result.append(length)
    return tuple(reversed(result))


def _known(*lengths: Any) -> bool:
    return all(isinstance(n, int) for n in lengths)


def check_fits(values: Array, shape: tuple[Any, ...], name: str, target: str) -> None:
    """Raise ValueError unless ``values`` broadcasts to ``shape``."""
    given = tuple(values.shape)
    try:
        fits = len(given) <= len(shape) and len(broadcast_shapes(given, shape)) == len(shape)
        fits = fits and all(n in (1, m) for n, m in zip(given[::-1], shape[::-1], strict=False) if _known(n, m))
    except ValueError:
        fits = False
    if not fits:
        msg = f"`{name}` of shape {given} does not broadcast to {target}, of shape {shape}"
        raise ValueError(msg)


def on_rows(
    values: Array,
    name: str,
    rows_shape: tuple[Any, ...],
    axes: tuple[int, ...],
    keepdims: bool,
    xp: Any,
    *,
    entries: bool = False,
) -> tuple[Array, tuple[Any, ...]]:
    """Return an argument of the rows in the shape that broadcasts against the kernels' rows, and that of the result.

    It broadcasts against the result, within its axes; or it has the axes of the input, and length 1 along those that
    are reduced. Where the distributions are the ``entries`` of the input, it may have more axes.
    """
    shape = own = tuple(values.shape)
    whole = keepdims or len(shape) == len(rows_shape) + len(axes)
    fits = not whole or all(shape[i] == 1 for i in axes if -i <= len(shape))
    if whole and fits and not keepdims:
        own = reduced_shape(shape, axes, keepdims=False)
    larger = len(own) > len(rows_shape) and not entries
    try:
        result_shape = broadcast_shapes(rows_shape, own)
    except ValueError:
        fits = False
    if larger or not fits:
        msg = f"`{name}` of shape {shape} does not broadcast against the result, of shape {rows_shape}"
        if larger:
            msg += (
                ", which has fewer axes; for several of each distribution call `entropy_spectrum`, or give the input "
                "an axis of length 1 for them"
            )
        raise ValueError(msg)
    return values if whole else put_back(values, axes, xp), result_shape


def put_back(values: Array, axes: tuple[int, ...], xp: Any) -> Array:
    """Return an array that broadcasts against the result with length 1 along the axes that the result lacks."""
    for i in reversed(axes):
        if -i <= values.ndim + 1:
            values = xp.expand_dims(values, axis=i)
    return values


def with_axes(values: Array, ndim: int) -> Array:
    """Return an array with so many axes at least: JAX may be told to refuse fewer than those it broadcasts to."""
    missing = ndim - values.ndim
    return values[(*(None,) * missing, ...)] if missing > 0 else values


def sum_to_shape(values: Array, shape: tuple[int, ...], xp: Any, axes: tuple[int, ...] = ()) -> Array:
    """Return the sum over the axes along which an array of ``shape`` was broadcast to ``values``.

    The array may have length 1 along ``axes`` that the values lack.
    """
    if tuple(values.shape) == shape:
        return values
    if len(shape) > values.ndim:
        values = put_back(values, axes, xp)
    extra = values.ndim - len(shape)
    axes = tuple(i for i in range(values.ndim) if i < extra or (shape[i - extra] == 1 and values.shape[i] != 1))
    if not axes:
        return values
    return xp.reshape(xp.sum(values, axis=axes), shape)
