"""Arrays, masks and orders: with :mod:`._usable`, what touches array-api-compat.

Shapes, dtypes and Python numbers are read here, array values never, but for :func:`readable`, which debugging asks:
that would stop a GPU, break ``jax.jit`` and compute a Dask graph.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple, NoReturn

from array_api_compat import device, is_dask_array

from ._advice import instead_of_array, instead_of_number
from ._kernels.dtypes import cast
from ._kernels.state import TWO_SUMS, Order
from ._numbers import as_float, flag
from ._shapes import axes_of, broadcast_shapes, check_fits, on_rows, reduced_shape, sum_to_shape, with_axes
from ._usable import Floats, floating, floats_of, kind_of, namespace, real, rectangular, same_namespace, usable

Array = Any

__all__ = [
    "Arguments",
    "check_cotangent",
    "check_mask",
    "check_real",
    "coefficient",
    "counted",
    "floating",
    "log_base",
    "namespace",
    "prepare",
    "prepare_pair",
    "prepare_parameters",
    "readable",
    "real",
    "rectangular",
    "same_namespace",
    "sum_dtype",
    "usable",
    "zeros",
]


class Arguments(NamedTuple):
    """The checked arguments of one call; ``axis`` is negative, ``log_base`` is 1 for nats, ``shape`` the result's.

    ``name`` is what the caller knows ``x`` by, ``sums`` the dtype that sums of it have.
    """

    x: Array
    order: Order
    where: Array | None
    axis: tuple[int, ...]
    keepdims: bool
    log_base: float
    shape: tuple[Any, ...]
    xp: Any
    name: str
    sums: Any

    def rows(self, values: Array) -> Array:
        """Return rows, whose reduced axes have length 1, as the caller asked for them."""
        if not self.keepdims:
            values = self.xp.squeeze(values, axis=self.axis)
        return values if values.dtype == self.x.dtype else self.xp.astype(values, self.x.dtype)

    def pulled(self, rows: Array, shape: Any) -> Array:
        """Return the gradient with respect to a number or an array of this shape: rows added up, then rounded."""
        rows = rows if self.keepdims else self.xp.squeeze(rows, axis=self.axis)
        return self.summed(rows, shape)

    def summed(self, gradient: Array, shape: Any) -> Array:
        """Return a gradient added up to the shape of an argument, then rounded."""
        return cast(sum_to_shape(gradient, tuple(shape), self.xp, self.axis), self.x.dtype, self.xp)

    def summable(self, *arrays: Array) -> tuple[Array, ...]:
        """Return arrays in the dtype of sums if the gradient of one is a sum over rows that it was broadcast to."""
        if self.sums == self.x.dtype:
            return arrays
        if all(reduced_shape(tuple(x.shape), self.axis, self.keepdims) == self.shape for x in arrays):
            return arrays
        return tuple(cast(x, self.sums, self.xp) for x in arrays)


def _number(value: Any, name: str) -> float | None:
    """Return a real Python number as a float, None if it is something else."""
    if type(value) is float:
        return value
    if isinstance(value, (bool, complex)):
        msg = f"`{name}` must be a real number, got {value!r}"
        raise TypeError(msg)
    return as_float(value, name) if isinstance(value, Real) else None


def log_base(base: Any) -> float:
    """Return the logarithm of a base, 1 for None."""
    if base is None:
        return 1.0
    number = _number(base, "base")
    if number is None:
        msg = f"`base` must be a real number or None, got {type(base).__name__}"
        raise TypeError(msg)
    if not 0 < number < math.inf or number == 1:
        msg = f"`base` must be positive, finite and not 1, got {base!r}"
        raise ValueError(msg)
    return math.log(number)


def _static_order(alpha: float, floats: Floats) -> Order:
    """Return the order of a Python number, as far as the dtype tells it from 0 and ∞."""
    if not alpha >= 0:
        msg = f"`alpha` must be >= 0, got {alpha!r}"
        raise ValueError(msg)
    if alpha > floats.largest_alpha:
        alpha = math.inf
    if alpha < floats.smallest_alpha:
        alpha = 0.0
    return Order(alpha, alpha - 1.0)


def _array_order(alpha: Array, floats: Floats, xp: Any) -> Order:
    """Return the order of an array: t = α − 1 is formed before α is rounded to the dtype of the sums."""
    own = floats_of(xp, alpha.dtype)
    alpha = cast(alpha, floats.accumulator if own is None else own.accumulator, xp)
    infinite = alpha > floats.largest_alpha
    # 0 itself keeps its derivative
    alpha = xp.where((alpha > 0) & (alpha < floats.smallest_alpha), 0.0, alpha)
    dtype = floats.accumulator
    alpha = xp.where(infinite, 2.0, xp.where(alpha >= 0, alpha, math.nan))
    return Order(cast(alpha, dtype, xp), cast(alpha - 1.0, dtype, xp), infinite)


def _alpha_order(
    alpha: Any,
    x: Array,
    floats: Floats,
    rows_shape: tuple[Any, ...],
    axes: tuple[int, ...],
    keepdims: bool,
    name: str,
    xp: Any,
    *,
    entries: bool = False,
) -> tuple[Order, tuple[Any, ...]]:
    """Return the order of a number or an array, and the shape of the result."""
    number = _number(alpha, "alpha")
    if number is not None:
        # two sums of powers of logits are faster than what suits all numbers
        fast = name == "logits" and (number <= 0.5 or number >= 1 + TWO_SUMS)
        alpha = number if floats.tracer is None or fast else floats.tracer(number, x)
        order = _static_order(number, floats) if alpha is number else _array_order(alpha, floats, xp)
        return order, rows_shape
    if namespace(alpha) is None:
        _neither(alpha, "alpha")
    same_namespace(alpha, xp, "alpha", name)
    if getattr(x, "is_nested", False):
        msg = f"`alpha` must be a number where `{name}` is a nested tensor: pass alpha.item(), or pad `{name}`"
        raise TypeError(msg)
    real(alpha, "alpha")
    alpha, result_shape = on_rows(alpha, "alpha", rows_shape, axes, keepdims, xp, entries=entries)
    alpha = with_axes(alpha, len(rows_shape) + (0 if keepdims else len(axes)))
    return _array_order(alpha, floats, xp), result_shape


def check_mask(where: Any, xp: Any, name: str, shape: tuple[Any, ...]) -> None:
    """Raise unless ``where`` is None or a boolean mask that broadcasts to ``shape``."""
    if where is None:
        return
    same_namespace(where, xp, "where", name)
    if where.dtype != xp.bool:
        msg = f"`where` must have a boolean dtype, got {where.dtype}; compare it, as in where != 0"
        raise TypeError(msg)
    check_fits(where, shape, "where", f"`{name}`")


def check_real(values: Any, xp: Any, name: str, of: str, shape: tuple[Any, ...], target: str) -> None:
    """Raise unless it is a real or boolean array of the library of ``of`` that broadcasts to a target's ``shape``."""
    same_namespace(values, xp, name, of)
    real(values, name, boolean=True)
    check_fits(values, shape, name, target)


def check_cotangent(cotangent: Any, arguments: Arguments, shape: tuple[Any, ...]) -> Any:
    """Return a cotangent that is None, a number, as a float, or an array that broadcasts to the value's ``shape``."""
    if cotangent is None:
        return None
    number = _number(cotangent, "cotangent")
    if number is not None:
        return number
    check_real(cotangent, arguments.xp, "cotangent", arguments.name, shape, "the value")
    return with_axes(cotangent, len(shape))


def coefficient(value: Any, name: str, *, infinite: bool = False, cure: str = "") -> float | None:
    """Return an option that is a number ≥ 0 as a float, None if it is an array; raise for anything else."""
    number = _number(value, name)
    if number is None:
        if namespace(value) is None:
            _neither(value, name)
        real(value, name, boolean=True)
    elif not number >= 0 or (number == math.inf and not infinite):
        msg = f"`{name}` must be >= 0{'' if infinite else ' and finite'}, got {value!r}{cure}"
        raise ValueError(msg)
    return number


def _neither(value: Any, name: str) -> NoReturn:
    """Raise TypeError for what is neither a number nor an array."""
    usable(value, name)
    cure = ""
    if name == "alpha" and isinstance(value, (list, tuple)):
        cure = "; for several orders of each distribution use entropy_spectrum, for one order of each an array"
    elif name == "alpha" and value is None:
        cure = "; 1 is the order of Shannon's entropy"
    else:
        cure = instead_of_number(value, name) or instead_of_array(value, name)
    msg = f"`{name}` must be a number or an array, got {type(value).__name__}{cure}"
    raise TypeError(msg)


def prepare(
    x: Any, alpha: Any, *, name: str, axis: Any, where: Any, base: Any, keepdims: bool, tail: bool = False
) -> Arguments:
    """Check the arguments that every measure of one distribution takes; a ``tail`` is a result that falls as 1/α."""
    if keepdims is not False:
        keepdims = flag(keepdims, "keepdims")
    xp = floating(x, name)
    axes = axes_of(tuple(x.shape), axis, name)
    check_mask(where, xp, name, tuple(x.shape))
    rows_shape = reduced_shape(tuple(x.shape), axes, keepdims)
    floats = floats_of(xp, x.dtype)
    assert floats is not None  # noqa: S101  floating() has looked
    if tail:
        floats = floats._replace(largest_alpha=floats.largest_tail)
    order, shape = _alpha_order(alpha, x, floats, rows_shape, axes, keepdims, name, xp)
    return Arguments(x, order, where, axes, keepdims, log_base(base), shape, xp, name, floats.accumulator)


def prepare_pair(
    x: Any, y: Any, alpha: Any, *, names: tuple[str, str], axis: Any, where: Any, base: Any, keepdims: bool
) -> Arguments:
    """Check the arguments that every function of two distributions takes; ``shape`` is that of both together."""
    if keepdims is not False:
        keepdims = flag(keepdims, "keepdims")
    xp = floating(x, names[0])
    same_namespace(y, xp, names[1], names[0])
    floating(y, names[1])
    if x.dtype != y.dtype:
        msg = f"`{names[1]}` must have the dtype of `{names[0]}`, {x.dtype}; got {y.dtype}"
        raise TypeError(msg)
    given = tuple(x.shape), tuple(y.shape)
    try:
        shape = broadcast_shapes(*given)
    except ValueError:
        msg = f"`{names[1]}` of shape {given[1]} does not broadcast with `{names[0]}`, of shape {given[0]}"
        raise ValueError(msg) from None
    axes = axes_of(shape, axis, names[0])
    for name, own in zip(names, given, strict=True):
        if any(-i > len(own) or (own[i] == 1 and shape[i] != 1) for i in axes):
            msg = f"`{name}` of shape {own} lacks outcomes along `axis` {axis!r} of the shape {shape} of both together"
            raise ValueError(msg)
    rectangular(x, names[0], axes)
    rectangular(y, names[1], axes)
    rows_shape = reduced_shape(shape, axes, keepdims)
    floats = floats_of(xp, x.dtype)
    assert floats is not None  # noqa: S101  floating() has looked
    order, result_shape = _alpha_order(alpha, x, floats, rows_shape, axes, keepdims, names[0], xp)
    base = log_base(base)
    arguments = Arguments(x, order, where, axes, keepdims, base, result_shape, xp, names[0], floats.accumulator)
    check_mask(where, xp, names[0], shape)
    return arguments


def prepare_parameters(
    arrays: tuple[Any, ...],
    alpha: Any,
    *,
    names: tuple[str, ...],
    trailing: tuple[int, ...] | None = None,
    axis: Any = (),
    base: Any = None,
    keepdims: bool = False,
) -> tuple[Arguments, tuple[Array, ...]]:
    """Check the arguments that every function of a distribution's parameters takes.

    The last ``trailing`` axes of each array belong to one distribution; the others broadcast. ``axis`` is of those;
    () is none. The arrays are returned in the dtype that they are summed in.
    """
    keepdims = flag(keepdims, "keepdims")
    xp = floating(arrays[0], names[0])
    shapes = []
    for x, name, own in zip(arrays, names, trailing or (0,) * len(arrays), strict=True):
        same_namespace(x, xp, name, names[0])
        floating(x, name)
        if x.dtype != arrays[0].dtype:
            msg = f"`{name}` must have the dtype of `{names[0]}`, {arrays[0].dtype}; got {x.dtype}"
            raise TypeError(msg)
        shapes.append(tuple(x.shape)[: x.ndim - own])
        try:
            shape = broadcast_shapes(*shapes)
        except ValueError:
            given = tuple(arrays[0].shape)
            msg = f"`{name}` of shape {tuple(x.shape)} does not broadcast with `{names[0]}`, of shape {given}"
            raise ValueError(msg) from None
    axes = () if axis == () else axes_of(shape, axis, names[0])
    keepdims = keepdims or not axes
    floats = floats_of(xp, arrays[0].dtype)
    assert floats is not None  # noqa: S101  floating() has looked
    rows_shape = reduced_shape(shape, axes, keepdims)
    entries = not axes and not any(trailing or ())
    order, result_shape = _alpha_order(
        alpha, arrays[0], floats, rows_shape, axes, keepdims, names[0], xp, entries=entries
    )
    base, sums = log_base(base), floats.accumulator
    arguments = Arguments(arrays[0], order, None, axes, keepdims, base, result_shape, xp, names[0], sums)
    return arguments, tuple(cast(x, sums, xp) for x in arrays)


def readable(x: Array) -> bool:
    """Return whether values can be read: not those of a Dask graph, nor within a transformation that hides them."""
    if is_dask_array(x):
        return False
    xp = namespace(x)
    try:
        bool(xp.any(xp.astype(x, xp.bool)))
    except Exception:  # noqa: BLE001  each library has its own error
        return False
    return True


def counted(x: Any, name: str) -> Array:
    """Return an integer array in the library's default floating-point dtype, a floating-point one as it is."""
    usable(x, name)
    xp = namespace(x)
    if xp is not None and kind_of(xp, x.dtype) == "integral":
        return xp.astype(x, xp.__array_namespace_info__().default_dtypes()["real floating"])
    floating(x, name)
    return x


def zeros(shape: tuple[int, ...], like: Array, xp: Any, *, dtype: Any = None) -> Array:
    """Return zeros of the dtype that sums of an array have, or of another one, on its device."""
    return xp.zeros(shape, dtype=sum_dtype(like, xp) if dtype is None else dtype, device=device(like))


def sum_dtype(x: Array, xp: Any) -> Any:
    """Return the dtype that sums of an array have."""
    floats = floats_of(xp, x.dtype)
    return x.dtype if floats is None else floats.accumulator
