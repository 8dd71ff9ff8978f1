"""One call of a term: its checked arguments, the weights of its rows, and the factors that they are multiplied by."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

from renyi_core._arrays import Arguments, zeros
from renyi_core._kernels.dtypes import cast
from renyi_core._shapes import put_back

Array = Any

__all__ = [
    "TermCall",
    "in_rows",
    "per_row",
    "product",
    "with_arrays",
]


class TermCall(NamedTuple):
    """The checked arguments of one call: ``arrays`` are those to differentiate with respect to, ``rows`` the shape.

    ``weights`` are those given, and after :meth:`masked` those of the rows in the dtype of sums, None for 1.
    """

    arguments: Arguments
    arrays: tuple[Array, ...]
    rows: tuple[Any, ...]
    weights: Any
    weight: Any
    alpha: Any = None

    def masked(self, neutral: float | None) -> TermCall:
        """Return the batch with ``neutral`` entries in rows of weight 0 or without an outcome, and the weights.

        None leaves the entries.
        """
        arguments, xp = self.arguments, self.arguments.xp
        weights, where = self.weights, arguments.where
        if weights is None and where is None:
            return self
        dtype = arguments.sums
        if weights is not None:
            weights = cast(weights, dtype, xp)
            weights = xp.where(weights < 0, math.nan, weights)
        if where is not None:
            for _ in range(len(self.rows) + len(arguments.axis) - where.ndim):
                where = where[None, ...]
            some = xp.any(where, axis=arguments.axis)
            weights = xp.astype(some, dtype) if weights is None else xp.where(some, weights, 0.0)
        if all(isinstance(n, int) for n in self.rows):
            weights = xp.broadcast_to(weights, self.rows)
        else:
            # of lengths that a lazy library does not know
            weights = weights * self._ones()
        if neutral is None:
            return self._replace(weights=weights)
        dead = put_back(weights == 0, arguments.axis, xp)
        arrays = tuple(xp.where(dead, neutral, x) for x in self.arrays)
        if where is not None:
            where = where | dead
        return self._replace(arguments=with_arrays(arguments, arrays[0], where), arrays=arrays, weights=weights)

    def summable(self) -> TermCall:
        """Return the batch in the dtype of sums if the gradient of an array is a sum over rows."""
        if self.arguments.sums == self.arguments.x.dtype:
            return self
        arrays = self.arguments.summable(*self.arrays)
        return self._replace(arguments=with_arrays(self.arguments, arrays[0], self.arguments.where), arrays=arrays)

    def shares(self) -> Any:
        """Return the shares of the rows in a mean; all of them 0 if no row counts."""
        xp = self.arguments.xp
        if self.weights is not None:
            total = xp.sum(self.weights)
            return self.weights / xp.where(total == 0, 1.0, total)
        if all(isinstance(n, int) for n in self.rows):
            return 1 / max(1, math.prod(self.rows))
        ones = self._ones()
        return ones / xp.sum(ones)

    def _ones(self) -> Array:
        """Return 1 for each row, where a lazy library does not know how many they are."""
        xp = self.arguments.xp
        entries = functools.reduce(operator.add, map(xp.zeros_like, self.arrays))
        ones = xp.max(entries, axis=self.arguments.axis) + 1.0
        return cast(ones, self.arguments.sums, xp)

    def scaled(self, values: Array, factor: Any) -> Array:
        """Return values times a number or a scalar array, in their own dtype."""
        if isinstance(factor, (int, float)):
            return values if factor == 1 else values * factor
        return values * cast(factor, values.dtype, self.arguments.xp)

    def none(self) -> bool:
        """Whether the weight is the number 0, so that nothing has to be computed."""
        return isinstance(self.weight, float) and self.weight == 0

    def zero(self, wrt: tuple[int | str, ...], shape: tuple[int, ...] = ()) -> tuple[Array, tuple[Array, ...]]:
        """Return a value and gradients of nothing but zeros."""
        xp, x = self.arguments.xp, self.arguments.x
        found = []
        for name in wrt:
            variable = self.arrays[name] if isinstance(name, int) else self.alpha
            found.append(xp.zeros_like(variable if hasattr(variable, "shape") else zeros((), x, xp)))
        return zeros(shape, x, xp), tuple(found)


def with_arrays(arguments: Arguments, x: Array, where: Array | None) -> Arguments:
    """Return arguments with another array and mask."""
    return Arguments(x, arguments.order, where, *arguments[3:])


def per_row(values: Array, arguments: Arguments) -> Array:
    """Return a kernel's rows, whose reduced axes have length 1, without these axes and not rounded."""
    return values if arguments.keepdims else arguments.xp.squeeze(values, axis=arguments.axis)


def product(factor: Any, other: Any, batch: TermCall) -> Any:
    """Return the product of two factors, each None for 1, a number or an array, in the dtype of sums."""
    xp = batch.arguments.xp
    dtype = batch.arguments.sums
    result = None
    for each in (factor, other):
        if each is None:
            continue
        value = each if isinstance(each, (int, float)) else cast(each, dtype, xp)
        result = value if result is None else result * value
    return result


def in_rows(factor: Any, batch: TermCall) -> Any:
    """Return a factor of the rows in the shape of the kernels' rows."""
    if factor is None or isinstance(factor, (int, float)):
        return factor
    return put_back(factor, batch.arguments.axis, batch.arguments.xp)
