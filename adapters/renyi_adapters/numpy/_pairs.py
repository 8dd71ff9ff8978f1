"""Pairs of distributions in NumPy, by the compiled engine where there is one; the others go by rows."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from renyi_adapters import native
from renyi_adapters.native import _pairs as engine
from renyi_core._kernels.cross_entropy import CROSS_ENTROPY
from renyi_core._kernels.divergence import DIVERGENCE
from renyi_core._kernels.family import Call, Family
from renyi_core._kernels.jensen import JENSEN
from renyi_core._kernels.jensen_pair import JENSEN_PAIR
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.power_divergence import POWER_DIVERGENCE, Kind, of_divergence, order_of
from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.state import Order, Source

from ._entropy import entropy_and_gradient
from ._rows import RowsOfCall, in_blocks, rows

Array = Any
Axis = tuple[int, ...]

__all__ = [
    "LARGEST",
    "computed",
    "cross_entropy",
    "cross_entropy_and_alpha_gradient",
    "cross_entropy_and_gradient",
    "distributions",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "jensen_divergence",
    "jensen_divergence_and_alpha_gradient",
    "jensen_divergence_and_gradient",
    "jensen_pair",
    "jensen_pair_and_gradient",
    "power_divergence",
    "power_divergence_and_alpha_gradient",
    "power_divergence_and_gradient",
    "takes_order",
    "where_known",
]

LAST = (-1,)
LARGEST = 16.0
"""The engine knows orders up to this one."""
KEPT = 1 << 18
"""Of so many entries all are kept between the passes of a Jensen–Shannon divergence."""
COPIED = 1 << 16
"""Entries that are taken at a time where they can't be seen as rows of one array."""


def where_known(known: Array, values: Array, others: Callable[[], Array], xp: Any) -> Array:
    """Overlay renyi_core._kernels.guards.where_known."""
    return values if known.all() else xp.where(known, values, others())


def distributions(*arrays: Array, source: Source, where: Array | None, axis: Axis, xp: Any) -> tuple[Any, Any]:  # noqa: ARG001
    """Overlay renyi_core._kernels.sources.distributions; NaN in a row stays: nothing differentiates it."""
    nothing = -math.inf if source == "logits" else 0.0
    sums = (accumulate(x, xp=xp) for x in arrays)
    return tuple(x if where is None else xp.where(where, x, nothing) for x in sums), True


def _takes(x: Array, y: Array, order: Order | None) -> bool:
    """Return whether the engine computes the divergence of such arrays."""
    return (
        takes_order(order)
        and x.dtype == y.dtype
        and x.dtype.char in engine.FORMATS
        and x.dtype.isnative
        and x.flags.aligned
        and y.flags.aligned
        and x.size > 0
        and y.size > 0
    )


def takes_order(order: Order | None) -> bool:
    """Return whether there is an engine, and whether it knows the order."""
    return native.library() is not None and order is not None and (not order.static or order.alpha <= LARGEST)


def _run(call: Call, wrt: tuple[int, ...] = (), scale: Any = None) -> Any:
    x, y = call.arrays
    # of an order for each row the power divergences are functions of D by whole arrays
    if not _takes(x, y, call.order) or (call.family is POWER_DIVERGENCE and not _order(call).static):
        return rows(call, wrt, scale)
    return computed(call, wrt, scale)


def computed(
    call: Call, wrt: tuple[int, ...] = (), scale: Any = None, *, wide: bool = False, threads: int | None = None
) -> Any:
    """Return the value, or (value, *gradients), these in the dtype of sums if ``wide``, by the engine."""
    (x, y), order = call.arrays, _order(call)
    each = functools.partial(_rows, wide=wide, threads=threads)
    n = x.shape[-1]
    one = scale is None or not hasattr(scale, "shape") or scale.size in {1, x.size // n}
    plain = one and call.where is None and order.static and call.options["axis"] == LAST and x.shape == y.shape
    if plain and x.flags.c_contiguous and y.flags.c_contiguous:
        flat = call._replace(arrays=(x.reshape(-1, n), y.reshape(-1, n)))
        found = each(flat, wrt, scale)
        if not wrt:
            return found.reshape(*x.shape[:-1], 1)
        return found[0].reshape(*x.shape[:-1], 1), *(part.reshape(x.shape) for part in found[1:])
    walk = RowsOfCall(call, scale)
    whole = all(_is_flat(walk.laid(part, "entries")) for part in (x, y, call.where) if part is not None)
    return in_blocks(walk, wrt, math.prod(walk.lead) * walk.n if whole else COPIED, each)


def _order(call: Call) -> Order:
    """Return the order of a call that the engine takes: it has one."""
    if call.order is None:
        raise TypeError
    return call.order


def _is_flat(x: Array) -> bool:
    """Return whether all axes but the last can be seen as one, so that nothing is copied."""
    axes = [(length, step) for length, step in zip(x.shape[:-1], x.strides[:-1], strict=True) if length > 1]
    return all(outer == length * step for (_, outer), (length, step) in itertools.pairwise(axes))


def _rows(call: Call, wrt: tuple[int, ...], scale: Any, *, wide: bool, threads: int | None) -> Any:
    """Return the same of arrays of two axes."""
    (x, y), order, where, kind = call.arrays, _order(call), call.where, call.options.get("kind")
    factor = scale.reshape(-1, 1) if hasattr(scale, "shape") else scale
    options = {"source": call.options["source"], "where": where, "threads": threads}
    if kind is None:
        cross = int(call.family is CROSS_ENTROPY)
        numbers, gradients, flags = engine.divergences(
            x, y, order, wrt=wrt, scale=factor, wide=wide, cross=cross, **options
        )
        value = numbers[:, None]
    else:
        value, gradients, flags = _powers(x, y, order, kind, wrt, factor, options)
        gradients = [part if wide or part.dtype == x.dtype else _narrow(part, x.dtype) for part in gradients]
    if flags is not None:
        left = flags.nonzero()[0]
        some = order if order.static else Order(*(part[left] for part in order))
        if hasattr(factor, "shape") and factor.size > 1:
            factor = factor[left]
        mask = None if where is None else where[left]
        arrays = (_floats(x[left]), _floats(y[left]))
        found = rows(call._replace(arrays=arrays, order=some, where=mask), wrt, factor)
        redone, *parts = found if wrt else (found,)
        alone = flags[left] == 1
        value[left[alone]] = redone[alone]
        for to, part in zip(gradients, parts, strict=True):
            to[left] = _narrow(part, to.dtype)
    return (value, *gradients) if wrt else value


def _powers(x: Array, y: Array, order: Order, kind: Kind, wrt: Any, scale: Any, options: Any) -> Any:
    """Return a power divergence as a function of D, its gradients in the dtype of sums."""
    inner, swapped = order_of(order, kind)
    if swapped:
        x, y, wrt = y, x, tuple(1 - i for i in wrt)
    d, gradients, flags = engine.divergences(x, y, inner, wrt=wrt, wide=True, **options)
    with np.errstate(all="ignore"):
        value, slope = of_divergence(d[:, None], order, kind, xp=np)
        for gradient in gradients:
            gradient *= slope if scale is None else slope * scale  # noqa: PLW2901  in place
    lost = ~np.isfinite(slope[:, 0])
    if lost.any():
        flags = np.where(lost, np.uint8(1), 0 if flags is None else flags)
    return value, gradients, flags


def _floats(x: Array) -> Array:
    """Return bfloat16, which is seen as int16, as float32; anything else as it is."""
    return (x.view(np.uint16).astype(np.uint32) << 16).view(np.float32) if x.dtype == np.int16 else x


def _narrow(x: Array, dtype: Any) -> Array:
    """Return an array in a dtype; int16 stands for bfloat16."""
    if dtype != np.int16 or x.dtype == np.int16:
        with np.errstate(over="ignore"):
            return x.astype(dtype, copy=False)
    u = x.astype(np.float32, copy=False).view(np.uint32)
    rounded = ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), rounded).view(np.int16)


def _is_uniform(y: Array, x: Array, axis: tuple[int, ...]) -> bool:
    """Return whether y is one uniform row beside those of x."""
    if y.dtype != x.dtype or y.ndim > x.ndim or y.size != math.prod(x.shape[i] for i in axis) or y.size == 0:
        return False
    first = y[(0,) * y.ndim]
    return bool(np.isfinite(first)) and bool((y == first).all())


def _overlays(family: Family) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Return the overlays of the value of a family, with its gradients, and with its derivative along α."""

    def value(x: Array, y: Array, order: Order, *, where: Array | None, xp: Any, **options: Any) -> Array:
        return _run(Call(family, (x, y), order, where, options, xp))

    def with_gradients(
        x: Array, y: Array, order: Order, *, wrt: Axis, where: Array | None, xp: Any, scale: Any = None, **options: Any
    ) -> tuple[Array, ...]:
        axis = options["axis"]
        if family is DIVERGENCE and wrt == (0,) and options["source"] == "logits" and _is_uniform(y, x, axis):
            # D(p‖u) = log n − H(p), whose derivatives have all their digits
            kind = {"source": "logits", "measure": ENTROPY, "axis": axis, "scale": -1.0 if scale is None else -scale}
            gradient = entropy_and_gradient(x, order, where=where, xp=xp, **kind)[1]
            return value(x, y, order, where=where, xp=xp, **options), gradient
        found: tuple[Array, ...] = _run(Call(family, (x, y), order, where, options, xp), wrt, scale)
        return found

    def with_slope(
        x: Array, y: Array, order: Order, *, where: Array | None, xp: Any, **options: Any
    ) -> tuple[Array, Array]:
        call = Call(family, (x, y), order, where, options, xp)
        return _run(call), rows(call, ("alpha",))[1]

    return value, with_gradients, with_slope


divergence, divergence_and_gradient, divergence_and_alpha_gradient = _overlays(DIVERGENCE)
cross_entropy, cross_entropy_and_gradient, cross_entropy_and_alpha_gradient = _overlays(CROSS_ENTROPY)
power_divergence, power_divergence_and_gradient, power_divergence_and_alpha_gradient = _overlays(POWER_DIVERGENCE)


def _shares(weights: Array | None) -> tuple[float, float] | None:
    """Return the shares of two distributions where those are positive numbers, the same ones in all rows."""
    if weights is None:
        return 0.5, 0.5
    flat = weights.reshape(-1, weights.shape[-1])
    if flat.shape[-1] != 2 or not flat.size or (flat != flat[0]).any():
        return None
    one, two = map(float, flat[0])
    return (one / (one + two), two / (one + two)) if min(one, two) > 0 and one + two < math.inf else None


def _jensen(x: Array, weights: Array | None, order: Order, xp: Any, wrt: tuple[int, ...], scale: Any) -> Any:
    """Return the Jensen–Shannon divergence of two distributions, (value, *gradients), by the engine."""
    call = Call(JENSEN, (x, weights), order, None, {}, xp)
    shares = _shares(weights) if order.static and x.ndim > 1 and wrt in {(), (0,)} else None
    known = shares is not None and (order.alpha == 1 or (order.alpha == 2 and shares == (0.5, 0.5)))
    if shares is None or not known or x.shape[-2] != 2 or x.shape[-1] > KEPT or not _takes(x, x, order):
        found = rows(call, wrt, scale)
        return found if wrt else (found,)
    both = np.ascontiguousarray(x).reshape(-1, 2, x.shape[-1])
    gradient = np.empty(both.shape, x.dtype)
    factor = scale.reshape(-1, 1, 1) if hasattr(scale, "shape") else scale
    value, _, flags = engine.divergences(
        both[:, 0],
        both[:, 1],
        order,
        source="probs",
        wrt=(0, 1) if wrt else (),
        scale=factor,
        cross=int(order.alpha) + 1,
        shares=shares,
        outs=(gradient[:, 0], gradient[:, 1]) if wrt else (),
    )
    value = value[:, None, None]
    if flags is not None:
        left = flags.nonzero()[0]
        if hasattr(factor, "shape") and factor.size > 1:
            factor = factor[left]
        same = None if weights is None else weights.reshape(-1, 2)[0]
        found = rows(call._replace(arrays=(both[left], same)), wrt, factor)
        value[left] = found[0] if wrt else found
        if wrt:
            gradient[left] = found[1]
    value = value.reshape(*x.shape[:-2], 1, 1)
    return (value, gradient.reshape(x.shape)) if wrt else (value,)


def jensen_divergence(x: Array, weights: Array | None, order: Order, *, xp: Any) -> Array:
    """Overlay renyi_core._kernels.jensen.jensen_divergence."""
    return _jensen(x, weights, order, xp, (), None)[0]


def jensen_divergence_and_alpha_gradient(
    x: Array, weights: Array | None, order: Order, *, xp: Any
) -> tuple[Array, Array]:
    """Overlay renyi_core._kernels.jensen.jensen_divergence_and_alpha_gradient."""
    slope = rows(Call(JENSEN, (x, weights), order, None, {}, xp), ("alpha",))[1]
    return _jensen(x, weights, order, xp, (), None)[0], slope


def jensen_divergence_and_gradient(
    x: Array, weights: Array | None, order: Order, *, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Overlay renyi_core._kernels.jensen.jensen_divergence_and_gradient."""
    found: tuple[Array, ...] = _jensen(x, weights, order, xp, wrt, scale)
    return found


def _jensen_pair(call: Call, wrt: tuple[int, ...] = (), scale: Any = None) -> Any:
    """Return the Jensen–Shannon divergence of two arrays of logits, and (value, *gradients), by the engine."""
    (x, y, share), order = call.arrays, _order(call)
    known = order.static and order.alpha == 1 and isinstance(share, float) and 2 not in wrt
    if not known or call.options["source"] != "logits" or x.shape[-1] > KEPT or not _takes(x, y, order):
        return rows(call, wrt, scale)
    with np.errstate(all="ignore"):
        return in_blocks(RowsOfCall(call, scale), wrt, call.family.block, _of_logits)


def _of_logits(call: Call, wrt: tuple[int, ...], scale: Any) -> Any:
    """Return the same of arrays of two axes."""
    *logits, share = call.arrays
    given = distributions(*logits, source="logits", where=call.where, axis=LAST, xp=np)[0]
    weights = one, other = [np.exp(part - part.max(axis=-1, keepdims=True)) for part in given]
    value, gradients, flags = engine.divergences(
        one, other, _order(call), source="probs", wrt=wrt, scale=scale, cross=2, shares=(1 - share, share)
    )
    found = [value[:, None], *(np.multiply(part, weights[i], out=part) for i, part in zip(wrt, gradients, strict=True))]
    if flags is not None:
        left = flags.nonzero()[0]
        mask = None if call.where is None else call.where[left]
        factor = scale[left] if hasattr(scale, "shape") and scale.size > 1 else scale
        again = call._replace(arrays=(*(part[left] for part in logits), share), where=mask)
        redone = rows(again, wrt, factor)
        for to, part in zip(found, redone if wrt else (redone,), strict=True):
            to[left] = part
    found = [found[0], *(part.astype(logits[i].dtype, copy=False) for i, part in zip(wrt, found[1:], strict=True))]
    return tuple(found) if wrt else found[0]


def jensen_pair(
    x: Array, y: Array, mixture: Any, order: Order, *, where: Array | None, xp: Any, **options: Any
) -> Array:
    """Overlay renyi_core._kernels.jensen_pair.jensen_pair."""
    return _jensen_pair(Call(JENSEN_PAIR, (x, y, mixture), order, where, options, xp))


def jensen_pair_and_gradient(
    x: Array,
    y: Array,
    mixture: Any,
    order: Order,
    *,
    wrt: tuple[int, ...],
    where: Array | None,
    xp: Any,
    scale: Any = None,
    **options: Any,
) -> tuple[Array, ...]:
    """Overlay renyi_core._kernels.jensen_pair.jensen_pair_and_gradient."""
    found: tuple[Array, ...] = _jensen_pair(Call(JENSEN_PAIR, (x, y, mixture), order, where, options, xp), wrt, scale)
    return found
