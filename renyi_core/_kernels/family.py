"""A quantity as every library runs it: its kernels, how its arrays lie, and a call of it.

A new quantity is one file with one :class:`Family`. A library runs all families by one function of its adapter, which
has the name and the signature of :func:`rows`; what it knows a faster way for it has under the kernel's own name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .dtypes import cast
from .guards import scaled
from .library import ask
from .state import Order

Array = Any
Axis = tuple[int, ...]
Layout = str | int
Wrt = tuple[int | str, ...]

__all__ = ["ALL", "ENTRIES", "ROWS", "Call", "Family", "Layout", "Wrt", "finished", "per_row", "rows", "run"]

ENTRIES = "entries"
"""An array whose reduced axes are those of the call: an entry for each outcome."""
ROWS = "rows"
"""An array that broadcasts to the rows, its reduced axes of length 1."""
ALL = "all"
"""A value of shape (), of all rows together."""


class Family(NamedTuple):
    """The kernels of a quantity, which take its arrays, the order and options, and how the arrays lie.

    ``value`` gives the rows, ``gradient`` with ``wrt=`` and ``scale=`` (value, *gradients), ``slope`` (value, ∂/∂α).
    Without a slope the gradient knows "alpha" as well. ``layouts`` are those of the arrays: ENTRIES, ROWS, or how many
    last axes belong to one row. ``result`` is the layout of the value: ROWS, ALL, or ENTRIES, whose gradient needs the
    scale. ``kept`` is how many axes of length 1 the value has in families whose reduced axes are always the last ones.
    ``masked``: it takes a mask. ``plain``: a library's own derivatives of the value are as good as the rule. ``block``
    is how many entries of rows to take at a time, so that temporaries stay in a cache.
    """

    value: Callable[..., Any]
    gradient: Any
    slope: Callable[..., Any] | None
    layouts: tuple[Layout, ...] = (ENTRIES,)
    result: Layout = ROWS
    kept: int | None = None
    masked: bool = True
    plain: bool = False
    block: int = 1 << 13


class Call(NamedTuple):
    """A call of a family: its arrays, each of which may be None or a number, the order, the mask, and static options.

    The order is None for a family that has none.
    """

    family: Family
    arrays: tuple[Any, ...]
    order: Order | None
    where: Array | None
    options: dict[str, Any]
    xp: Any

    @property
    def axis(self) -> Axis:
        """The reduced axes."""
        kept = self.family.kept
        return self.options["axis"] if kept is None else tuple(range(-kept, 0))

    def keywords(self) -> dict[str, Any]:
        """Return what the kernels take besides arrays and order."""
        given = {**self.options, "xp": self.xp}
        if self.family.masked:
            given["where"] = self.where
        return given


def run(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Return the value, and with ``wrt`` (value, *derivatives), by the best way that the library has.

    ``wrt`` are numbers of arrays and "alpha"; ``scale``, None for 1, is what the derivatives of each row are multiplied
    by. A derivative has the layout of its array, in the shape that it is broadcast to; that in α is one of rows.
    """
    needed = _kernels(call.family, wrt)
    own = [ask(kernel, call.xp) for kernel, _ in needed]
    if own == [kernel for kernel, _ in needed]:
        return ask(rows, call.xp)(call, wrt, scale)
    if len(needed) == 1:
        return _called(own, call, wrt, scale)
    # a library may have one of the two
    found: dict[int | str, Any] = {}
    value: Any = None
    for _, places in needed:
        value, *parts = run(call, places, scale)
        found.update(zip(places, parts, strict=True))
    return value, *(found[place] for place in wrt)


def rows(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Return what :func:`run` returns, by the array-API code."""
    return _called([kernel for kernel, _ in _kernels(call.family, wrt)], call, wrt, scale)


def _kernels(family: Family, wrt: Wrt) -> list[tuple[Callable[..., Any], Wrt]]:
    """Return the kernels that are needed, each with what it is to give."""
    if not wrt:
        return [(family.value, ())]
    if family.slope is None or "alpha" not in wrt:
        return [(family.gradient, wrt)]
    entries = tuple(place for place in wrt if place != "alpha")
    return [*([(family.gradient, entries)] if entries else []), (family.slope, ("alpha",))]


def _called(kernels: list[Callable[..., Any]], call: Call, wrt: Wrt, scale: Any) -> Any:
    family = call.family
    found: dict[int | str, Any] = {}
    given = call.arrays if call.order is None else (*call.arrays, call.order)
    value: Any = None
    for kernel, (known, places) in zip(kernels, _kernels(family, wrt), strict=True):
        keywords = call.keywords()
        if not places:
            return kernel(*given, **keywords)
        if known is family.slope:
            value, slope = kernel(*given, **keywords)
            found["alpha"] = scaled(slope, scale, call.xp)
            continue
        if len(family.layouts) > 1 or family.slope is None:
            keywords["wrt"] = places
        value, *parts = kernel(*given, scale=scale, **keywords)
        found.update(zip(places, parts, strict=True))
    return value, *(found[place] for place in wrt)


def finished(
    gradients: tuple[Array, ...],
    like: tuple[Array, ...],
    scale: Any,
    xp: Any,
    *,
    where: Array | None = None,
    trailing: tuple[int, ...] | None = None,
) -> tuple[Array, ...]:
    """Return gradients times ``scale`` in the dtypes of their arrays, 0 where ``where`` is False.

    ``trailing`` are the numbers of axes that they have and ``scale`` has not.
    """
    found = []
    for gradient, x, more in zip(gradients, like, trailing or (0,) * len(like), strict=True):
        part = gradient if where is None else xp.where(where, gradient, 0.0)
        found.append(cast(scaled(part, per_row(scale, more), xp), x.dtype, xp))
    return tuple(found)


def per_row(scale: Any, more: int) -> Any:
    """Return a factor of rows with so many more axes of length 1."""
    return scale[(..., *(None,) * more)] if more and hasattr(scale, "ndim") else scale
