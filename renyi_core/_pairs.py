"""What the functions of two distributions share: from their arguments to what is to be computed."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._arrays import prepare_pair
from ._kernels.family import Family
from ._kernels.library import short_way
from ._kernels.state import Source
from ._quantity import Quantity

Array = Any

__all__ = ["NAMES", "of_pair"]

NAMES = {"probs": ("p", "q"), "logits": ("p_logits", "q_logits")}


class _OfPair(NamedTuple):
    """A quantity of pairs, and its arguments as they were given; what :class:`Quantity` can, this can."""

    family: Family
    arrays: tuple[Array, Array]
    alpha: Any
    source: Source
    base: Any
    options: dict[str, Any]
    given: dict[str, Any]

    def _quantity(self) -> Quantity:
        names = NAMES[self.source]
        arguments = prepare_pair(*self.arrays, self.alpha, names=names, base=self.base, **self.given)
        return Quantity(arguments, self.family, self.arrays, {"source": self.source, **self.options}, self.alpha)

    def value(self) -> Array:
        """Return what the public function returns: of plain calls by the library's short way, if it has one."""
        axis, given = self.given["axis"], self.given
        plain = type(axis) is int and axis == -1 and given["where"] is None and given["keepdims"] is False
        plain = plain and self.base is None and not self.options
        way = short_way("pairs_at_once", self.arrays[0]) if plain else None
        found = None if way is None else way(self.family, *self.arrays, self.alpha, self.source)
        return self._quantity().value() if found is None else found

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Array, tuple[Array, ...]]:
        """Return the value and the derivatives."""
        return self._quantity().derivatives(wrt, cotangent)


def of_pair(
    family: Family,
    x: Array,
    y: Array,
    alpha: Any,
    source: Source,
    *,
    base: Any = None,
    kind: str | None = None,
    **given: Any,
) -> Any:
    """Return the quantity of each pair of distributions; ``kind`` is for a family that knows several."""
    return _OfPair(family, (x, y), alpha, source, base, {} if kind is None else {"kind": kind}, given)
