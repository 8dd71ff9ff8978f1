"""From one declaration of a public function to its value and its derivatives.

A public function's body checks its arguments and returns a :class:`Quantity`: what is to be computed. The decorator
:func:`quantity` makes of it the function that returns the value, and the rule that :mod:`renyi_core.gradients` reads,
which takes the function's own arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ._arrays import Arguments, check_cotangent, check_real, floating, rectangular, same_namespace
from ._kernels.dtypes import cast
from ._kernels.entropy import HESSIAN
from ._kernels.family import ENTRIES, ROWS, Call, Family, run
from ._quiet import quiet
from ._rules import Rule, register_rule
from ._shapes import check_fits, put_back, with_axes

Array = Any
Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["Quantity", "cotangent_rows", "in_base", "quantity"]


class Quantity(NamedTuple):
    """The checked arguments of a call, the family that computes it, its arrays and its options.

    ``places`` are the names of the last arrays, where they have one; ``shapes`` those of the caller's arrays that the
    family has in another shape.
    """

    arguments: Arguments
    family: Family
    arrays: tuple[Any, ...]
    options: dict[str, Any]
    alpha: Any = None
    places: tuple[str, ...] = ()
    shapes: dict[int | str, Any] | None = None

    def call(self, arrays: tuple[Any, ...]) -> Call:
        """Return the call of the family."""
        arguments, options = self.arguments, self.options
        if self.family.kept is None:
            options = {**options, "axis": arguments.axis}
        return Call(self.family, arrays, arguments.order, arguments.where, options, arguments.xp)

    def value(self) -> Array:
        """Return what the public function returns."""
        return self._finished(run(self.call(self.arrays)))

    def _finished(self, value: Array) -> Array:
        arguments = self.arguments
        if self.family.result == ENTRIES:
            return cast(value, arguments.x.dtype, arguments.xp)
        return arguments.rows(in_base(value, arguments))

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Array, tuple[Array, ...]]:
        """Return the value and the derivatives, each for the argument as the caller gave it."""
        arrays = self.arrays
        places = tuple(self._place(name) for name in wrt)
        scale = self._scale(cotangent)
        if cotangent is not None:
            arrays = self._summable()
        value, *found = run(self.call(arrays), places, scale)
        return self._finished(value), tuple(
            self._as_given(part, place, cotangent is not None) for part, place in zip(found, places, strict=True)
        )

    def _place(self, name: int | str) -> int | str:
        return len(self.arrays) - len(self.places) + self.places.index(name) if name in self.places else name

    def _scale(self, cotangent: Any) -> Any:
        arguments = self.arguments
        if self.family.result == ENTRIES:
            return _cotangent_entries(cotangent, arguments)
        scale = cotangent_rows(cotangent, arguments)
        if arguments.log_base != 1:
            scale = (1 if scale is None else scale) / arguments.log_base
        return scale

    def _summable(self) -> tuple[Any, ...]:
        """Return the arrays in the dtype of sums where the gradient of one is a sum over rows."""
        arguments = self.arguments
        if arguments.sums == arguments.x.dtype:
            return self.arrays
        entries = [x for x, layout in zip(self.arrays, self.family.layouts, strict=True) if layout == ENTRIES]
        if entries and len(entries) == len(self.arrays):
            return arguments.summable(*entries)
        return tuple(cast(x, arguments.sums, arguments.xp) if _is_floating(x, arguments) else x for x in self.arrays)

    def _as_given(self, part: Array, place: int | str, summed: bool) -> Array:
        """Return a derivative as the caller asked for it: of each row, or as a product with a cotangent."""
        arguments = self.arguments
        layout = ROWS if place == "alpha" else self.family.layouts[int(place)]
        if not summed:
            return arguments.rows(part) if layout == ROWS else cast(part, arguments.x.dtype, arguments.xp)
        argument = self.alpha if place == "alpha" else self.arrays[int(place)]
        shape = (self.shapes or {}).get(place, getattr(argument, "shape", ()))
        return arguments.pulled(part, shape) if layout == ROWS else arguments.summed(part, shape)

    def product(self, vector: Any) -> Array:
        """Return the Hessian with respect to the logits times a vector."""
        arguments = self.arguments
        x, xp, name = arguments.x, arguments.xp, arguments.name
        check_real(vector, xp, "vector", name, tuple(x.shape), f"`{name}`")
        floating(vector, "vector")
        rectangular(x, name, arguments.axis)
        if getattr(x, "is_nested", False) and not vector.is_nested:
            msg = f"`vector` must be a nested tensor like `{name}`: pass 0 * {name} + vector"
            raise TypeError(msg)
        vector = with_axes(vector, x.ndim)
        scale = None if arguments.log_base == 1 else 1 / arguments.log_base
        options = {"measure": self.options["measure"], "axis": arguments.axis, "scale": scale}
        return run(Call(HESSIAN, (x, vector), arguments.order, arguments.where, options, xp))


def _is_floating(x: Any, arguments: Arguments) -> bool:
    return hasattr(x, "dtype") and arguments.xp.isdtype(x.dtype, "real floating")


def in_base(values: Array, arguments: Arguments) -> Array:
    """Return values in nats in the base asked for."""
    return values if arguments.log_base == 1 else values / arguments.log_base


def cotangent_rows(cotangent: Any, arguments: Arguments) -> Any:
    """Return a cotangent in the shape of the kernels' rows, in their dtype."""
    cotangent = check_cotangent(cotangent, arguments, arguments.shape)
    if cotangent is None or isinstance(cotangent, float):
        return cotangent
    cotangent = cast(cotangent, arguments.sums, arguments.xp)
    return cotangent if arguments.keepdims else put_back(cotangent, arguments.axis, arguments.xp)


def _cotangent_entries(cotangent: Any, arguments: Arguments) -> Array:
    """Return a cotangent of a value that is a distribution."""
    if cotangent is None:
        msg = "`cotangent` is needed: the value is a distribution, and its derivative a matrix for each row"
        raise ValueError(msg)
    same_namespace(cotangent, arguments.xp, "cotangent", arguments.name)
    floating(cotangent, "cotangent")
    lengths = iter(arguments.shape)
    numbers = range(-len(arguments.shape) - len(arguments.axis), 0)
    shape = tuple(arguments.x.shape[i] if i in arguments.axis else next(lengths) for i in numbers)
    check_fits(cotangent, shape, "cotangent", "the value")
    return with_axes(cotangent, len(shape))


def quantity(*wrt: int | str, product: bool = False) -> Callable[[Function], Function]:
    """Make a public function, and its rule, of one that returns a :class:`Quantity` or what has its methods.

    ``wrt`` is what it can be differentiated with respect to; ``product``: its Hessian as well.
    """

    def decorate(prepare: Any) -> Any:
        @functools.wraps(prepare)
        def value(*args: Any, **kwargs: Any) -> Any:
            return prepare(*args, **kwargs).value()

        def derivatives(names: tuple[int | str, ...], cotangent: Any, *args: Any, **kwargs: Any) -> Any:
            return prepare(*args, **kwargs).derivatives(names, cotangent)

        def hessian(vector: Any, *args: Any, **kwargs: Any) -> Any:
            return prepare(*args, **kwargs).product(vector)

        function = quiet(value)
        register_rule(function, Rule(wrt, derivatives, hessian if product else None))
        return function

    return decorate
