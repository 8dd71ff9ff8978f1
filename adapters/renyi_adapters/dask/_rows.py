"""Any family on Dask: the chunks of each row are brought together, then a task a chunk runs NumPy's call."""

from __future__ import annotations

import math
from typing import Any

import dask.array
import numpy as np
from array_api_compat import array_namespace

from renyi_core._kernels import family as agnostic
from renyi_core._kernels.family import ALL, ENTRIES, ROWS, Call, Family, Layout, Wrt, run
from renyi_core._kernels.state import Order

from ._namespace import whole

da: Any = dask.array
Array = Any

__all__ = ["rows"]


def renyi_rows(
    *blocks: Any, family: Family, names: tuple[Any, ...], given: dict[Any, Any], options: dict[str, Any], wrt: Wrt
) -> tuple[Any, ...]:
    """Return the value of a chunk, and its derivatives, in a tuple that the next tasks take apart."""
    found = {**given, **dict(zip(names, blocks, strict=True))}
    arrays = tuple(found[i] for i in range(len(family.layouts)))
    order = found.get("order")
    if "alpha" in found:
        order = Order(*(_kept(found[name], family) for name in ("alpha", "t", "infinite")))
    xp = array_namespace(*(x for x in arrays if hasattr(x, "dtype")))
    call = Call(family, arrays, order, found["where"], options, xp)
    with np.errstate(all="ignore"):
        result = run(call, wrt, _kept(found["scale"], family))
    return result if wrt else (result,)


def _kept(rows: Any, family: Family) -> Any:
    """Return numbers of rows with the axes of length 1 that the family keeps."""
    return rows[(..., *(None,) * family.kept)] if family.kept and hasattr(rows, "shape") else rows


def renyi_part(found: Any, *, which: int) -> Any:
    """Return one of the results of a chunk, which may come in lists of one."""
    while isinstance(found, list):
        found = found[0]
    return np.asarray(found[which]) if isinstance(found[which], np.generic) else found[which]


class _Plan:
    """The arguments of a call that are arrays, by name, with their layouts; ``rest`` are those that are not.

    ``ndim`` is how many axes all entries have, or for families whose reduced axes are the last ones, all rows.
    """

    def __init__(self, call: Call, scale: Any) -> None:
        family, order = call.family, call.order
        self.call, self.parallel = call, family.kept is None
        # of all rows together, everything is in one chunk
        self.axis = call.axis
        result = ENTRIES if family.result == ENTRIES else ROWS
        given: dict[Any, tuple[Any, Layout]] = dict(enumerate(zip(call.arrays, family.layouts, strict=True)))
        if order is not None and not order.static:
            given |= {name: (part, ROWS) for name, part in zip(("alpha", "t", "infinite"), order, strict=True)}
        given |= {"where": (call.where, ENTRIES), "scale": (scale, result)}
        self.rest = {name: x for name, (x, _) in given.items() if not isinstance(x, da.Array)}
        if order is None or order.static:
            self.rest["order"] = order
        self.arguments = {name: pair for name, pair in given.items() if name not in self.rest}
        self.ndim = max(x.ndim - self._own(layout) for x, layout in self.arguments.values())
        if family.result == ALL:
            self.axis = tuple(range(-self.ndim, 0))

    def is_cut_anywhere(self) -> bool:
        """Return whether rows are cut at lengths that are not known."""
        entries = [x for x, layout in self.arguments.values() if layout == ENTRIES]
        return any(math.isnan(x.shape[k]) and x.numblocks[k] > 1 for x in entries for k in self.axis if -k <= x.ndim)

    def _own(self, layout: Layout) -> int:
        """Return how many last axes of an array are none of the plan's."""
        if self.parallel:
            return 0
        return len(self.axis) if layout == ROWS else int(layout)

    def _laid(self, place: int, x: Array, layout: Layout) -> tuple[Array, tuple[int, ...]]:
        """Return an array each of whose rows is in one chunk, and its labels."""
        own = self._own(layout)
        lead = tuple(range(self.ndim))[self.ndim - max(0, x.ndim - own) :]
        if self.parallel:
            return whole(x, self.axis), lead
        if layout == ROWS:
            return x[(..., *(0,) * min(own, x.ndim))], lead
        # axes that the result lacks: one chunk comes whole
        labels = range(100 * (place + 1), 100 * (place + 1) + own)
        return whole(x, tuple(range(-own, 0))), (*lead, *labels)

    def results(self, wrt: Wrt) -> Array:
        """Return the tuples of all chunks, as an array of rows."""
        laid = (self._laid(place, x, layout) for place, (x, layout) in enumerate(self.arguments.values()))
        return da.blockwise(
            renyi_rows,
            tuple(range(self.ndim)),
            *(part for pair in laid for part in pair),
            family=self.call.family,
            names=tuple(self.arguments),
            given=self.rest,
            options=self.call.options,
            wrt=wrt,
            adjust_chunks={self.ndim + k: 1 for k in self.axis} if self.parallel else None,
            concatenate=True,
            dtype=np.float64,
            meta=np.empty((0,) * self.ndim),
        )

    def part(self, found: Array, which: int, layout: Layout, like: Any, dtype: Any) -> Array:
        """Return one of the results, in chunks of whole rows."""
        kept = 0 if self.parallel else len(self.axis)
        chunks = found.chunks
        if layout == ALL:
            settings: dict[str, Any] = {
                "which": which,
                "concatenate": False,
                "dtype": dtype,
                "meta": np.empty((), dtype),
            }
            return da.blockwise(renyi_part, (), found, tuple(range(found.ndim)), **settings)
        if layout == ENTRIES:
            chunks = tuple((self._length(k),) if k in self.axis else own for k, own in enumerate(chunks, -found.ndim))
        elif layout == ROWS:
            chunks = (*chunks, *((1,),) * kept)
        elif layout:
            chunks = (*chunks, *((n,) for n in self._lengths(like, int(layout))))
        new = list(range(found.ndim, len(chunks))) or None
        meta = np.empty((0,) * len(chunks), dtype)
        return da.map_blocks(renyi_part, found, which=which, chunks=chunks, new_axis=new, dtype=dtype, meta=meta)

    def _lengths(self, like: Any, own: int) -> tuple[int, ...]:
        """Return the lengths of the axes of one row, of an array that was left out those of the first array."""
        if like is not None:
            return tuple(like.shape[like.ndim - own :])
        first, layout = self.arguments[0]
        return tuple(first.shape[first.ndim - int(layout) :][:own])

    def _length(self, k: int) -> int:
        """Return how many entries there are along an axis."""
        lengths = [x.shape[k] for x, layout in self.arguments.values() if layout == ENTRIES and -k <= x.ndim]
        return next((n for n in lengths if n != 1), 1)


def rows(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Overlay renyi_core._kernels.family.rows."""
    family, plan = call.family, _Plan(call, scale)
    choice = family.slope is None and call.order is not None
    if plan.is_cut_anywhere() and not choice:
        # what is joined could not be cut again at lengths that are not known; of a choice nothing else would be small
        return agnostic.rows(call, wrt, scale)
    first = next(x for x in call.arrays if isinstance(x, da.Array))
    sums = np.dtype(np.float32) if first.dtype == np.float16 else first.dtype
    found = plan.results(wrt)
    value = plan.part(found, 0, family.result, None, first.dtype if family.result == ENTRIES else sums)
    if not wrt:
        return value
    parts = []
    for which, place in enumerate(wrt, 1):
        layout = ROWS if place == "alpha" else family.layouts[int(place)]
        like = first if place == "alpha" else call.arrays[int(place)]
        dtype = sums if layout == ROWS or not hasattr(like, "dtype") else like.dtype
        part = plan.part(found, which, layout, like, dtype)
        if hasattr(like, "chunks") and layout != ROWS and part.shape == like.shape and part.chunks != like.chunks:
            part = part.rechunk(like.chunks)
        parts.append(part)
    return value, *parts
