"""Regularized choices in NumPy, by the compiled engine where there is one; the others go by rows."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from renyi_adapters import native
from renyi_core._kernels.choice import ARGMAX, MAX
from renyi_core._kernels.family import Call, Family
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.state import Order

from ._compiled import FORMATS, HEAD, addressof, sum_dtype
from ._rows import RowsOfCall, in_blocks, rows

Array = Any
Axis = tuple[int, ...]
Wrt = tuple[int | str, ...]
Entries = tuple[int, int, int]

__all__ = [
    "choices_at_once",
    "packed",
    "plain_numbers",
    "regularized_argmax",
    "regularized_argmax_and_product",
    "regularized_max",
    "regularized_max_and_gradient",
    "run",
]

TASK = struct.Struct("@2qP2qP2q2d2PqdPqPqP2qP2qP2q4Pq")
"""What the engine's task of choices has after its first and last row."""
COPIED = 1 << 16
"""Entries that are taken at a time where they can't be seen as rows of one array."""
NOTHING = 0, 0, 0
LEAST, LARGEST = 1e-30, 1e30
"""The engine knows orders up to this one, and ∞ not: float32 has no room for others."""


def _knows(call: Call) -> bool:
    x, order = call.arrays[0], call.order
    if native.library() is None or order is None or x.dtype.char not in FORMATS or not x.size:
        return False
    if not (x.dtype.isnative and x.flags.aligned):
        return False
    if order.static:
        return bool(0 < order.alpha <= LARGEST)
    return not (order.infinite.any() or (order.alpha == 0).any() or (order.alpha > LARGEST).any())


def _run_call(call: Call, wrt: Wrt = (), scale: Any = None) -> Any:
    """Return the value, or (value, *derivatives): those by α are the array-API code's."""
    if not _knows(call):
        return rows(call, wrt, scale)
    known = tuple(place for place in wrt if place != "alpha")
    found = _computed(call, known, scale)
    if known == wrt:
        return found
    value, *parts = found if known else (found,)
    by_place = {**dict(zip(known, parts, strict=True)), "alpha": rows(call, ("alpha",), scale)[1]}
    return value, *(by_place[place] for place in wrt)


def _computed(call: Call, wrt: Wrt, scale: Any) -> Any:
    x, temperature = call.arrays
    order: Any = call.order
    one = not hasattr(scale, "shape") or (call.family is ARGMAX and scale.shape == x.shape and scale.flags.c_contiguous)
    plain = call.where is None and call.axis == (-1,) and isinstance(temperature, float) and order.static
    if plain and one and x.flags.c_contiguous:
        flat = (-1, x.shape[-1])
        vector = scale.reshape(flat) if hasattr(scale, "shape") else scale
        found = _rows(call._replace(arrays=(x.reshape(flat), temperature)), wrt, vector)
        parts = [part.reshape((*x.shape[:-1], -1)) for part in (found if wrt else (found,))]
        return tuple(parts) if wrt else parts[0]
    return in_blocks(RowsOfCall(call, scale), wrt, COPIED, _rows)


def _rows(call: Call, wrt: Wrt, scale: Any) -> Any:
    """Return the same of arrays of two axes."""
    x, temperature = call.arrays
    order: Any = call.order
    dtype = sum_dtype(x)
    choice = call.family is ARGMAX
    names = ("p", "product", "by_temperature") if choice else ("value", "p", "entropy")
    wanted = [names[0], *(names[1 + int(place)] for place in wrt)]
    outs = {
        name: np.empty(x.shape, x.dtype) if name in {"p", "product"} else np.empty((len(x), 1), dtype)
        for name in wanted
    }
    factor = vector = None
    if wrt and choice:
        vector = scale.astype(x.dtype, copy=False)
    elif wrt and scale is not None:
        factor = np.ascontiguousarray(scale, dtype).reshape(-1)
    _call_engine(x, temperature, order, call.where, factor, vector, outs)
    found = [outs[name] for name in wanted]
    if not choice:
        # of p, the engine did it
        found = [
            scaled(part, scale, np) if name == "entropy" else part for name, part in zip(wanted, found, strict=True)
        ]
    return tuple(found) if wrt else found[0]


def _call_engine(
    x: Array, temperature: Any, order: Order, mask: Any, factor: Any, vector: Any, outs: dict[str, Array]
) -> None:
    alpha, t, number = order.alpha, order.t, temperature
    keywords: dict[str, Any] = {}
    if not order.static:
        # near 1, t has the digits of α; elsewhere α has those of t
        alphas, ts = (np.ascontiguousarray(part, np.float64).reshape(-1) for part in order[:2])
        near = abs(ts) < 0.5
        alphas, ts = np.where(near, 1 + ts, alphas), np.where(near, ts, alphas - 1)
        alpha = t = math.nan
        keywords["orders"] = alphas.ctypes.data, ts.ctypes.data, int(alphas.size > 1)
    if not isinstance(temperature, float):
        held = np.ascontiguousarray(temperature, sum_dtype(x)).reshape(-1)
        number = math.nan
        keywords["temperatures"] = held.ctypes.data, int(held.size > 1)
    if mask is not None:
        keywords["mask"] = mask.ctypes.data, *mask.strides
    if factor is not None:
        keywords["factor"] = factor.ctypes.data, int(factor.size > 1)
    for name, part in (("vector", vector), ("p", outs.get("p")), ("product", outs.get("product"))):
        if part is not None:
            keywords[name] = _entries(part)
    keywords["rows"] = [
        outs[name].ctypes.data if name in outs else 0 for name in ("value", "entropy", "by_temperature")
    ]
    task = packed(x.shape[1], FORMATS[x.dtype.char], _entries(x), alpha, t, number, **keywords)
    rows_of_x, n = x.shape
    run(task, rows_of_x, n, native.threads())


def run(task: bytes, rows: int, n: int, threads: int) -> None:
    """Call the engine."""
    native.run(native.library().renyi_choices, task, HEAD, rows, n, threads)


def packed(
    n: int,
    kind: int,
    x: Entries,
    alpha: float,
    t: float,
    temperature: float,
    *,
    mask: Entries = NOTHING,
    orders: Entries = NOTHING,
    temperatures: tuple[int, int] = (0, 0),
    factor: tuple[int, int] = (0, 0),
    vector: Entries = NOTHING,
    p: Entries = NOTHING,
    product: Entries = NOTHING,
    rows: Entries = NOTHING,
    v: int = 0,
    given: int = 0,
) -> bytes:
    """Return the task of rows at these addresses.

    Each comes with its step to the next row and to the next entry; ``rows`` are the addresses of values, entropies and
    products along the temperature, ``v`` that of what backward keeps of each row, which is ``given`` where that is 1;
    2: p is, at α = 1.
    """
    return TASK.pack(
        n,
        kind,
        *x,
        *mask,
        alpha,
        t,
        *orders,
        temperature,
        *temperatures,
        *factor,
        *vector,
        *p,
        *product,
        *rows,
        v,
        given,
    )


def _entries(x: Array) -> Entries:
    """Return where an array of two axes lies, and its steps in entries."""
    return x.ctypes.data, x.strides[0] // x.itemsize, x.strides[1] // x.itemsize


def choices_at_once(family: Family, scores: Array, alpha: Any, temperature: Any) -> Array | None:
    """Return the choices of contiguous rows, None for what is to be looked at more closely."""
    numbers = plain_numbers(alpha, temperature)
    if (
        numbers is None
        or type(scores) is not np.ndarray
        or scores.dtype not in PLAIN
        or not scores.ndim
        or not scores.size
        or native.library() is None
    ):
        return None
    if not (scores.flags.c_contiguous and scores.flags.aligned):
        return None
    n, dtype = scores.shape[-1], scores.dtype
    out = np.empty(scores.shape if family is ARGMAX else scores.shape[:-1], dtype)
    to = addressof(out)
    places: dict[str, Any] = {"p": (to, n, 1)} if family is ARGMAX else {"rows": (to, 0, 0)}
    task = packed(n, FORMATS[dtype.char], (scores.ctypes.data, n, 1), *numbers, **places)
    run(task, scores.size // n, n, native.threads())
    return out


def plain_numbers(alpha: Any, temperature: Any) -> tuple[float, float, float] | None:
    """Return α, α − 1 and the temperature where they are plain numbers that the engine knows."""
    if type(alpha) not in NUMBERS or type(temperature) not in NUMBERS:
        return None
    return (alpha, alpha - 1.0, temperature) if LEAST < alpha <= LARGEST and 0 < temperature <= LARGEST else None


PLAIN = {np.dtype(np.float32), np.dtype(np.float64)}
NUMBERS = {int, float}


def _call(family: Any, scores: Array, temperature: Any, order: Order, where: Array | None, axis: Axis, xp: Any) -> Call:
    return Call(family, (scores, temperature), order, where, {"axis": axis}, xp)


def regularized_argmax(
    scores: Array, temperature: Any, order: Order, *, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.choice.regularized_argmax."""
    return _run_call(_call(ARGMAX, scores, temperature, order, where, axis, xp))


def regularized_argmax_and_product(
    scores: Array,
    temperature: Any,
    order: Order,
    *,
    wrt: Wrt,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Array,
) -> tuple[Array, ...]:
    """Overlay renyi_core._kernels.choice.regularized_argmax_and_product."""
    found: tuple[Array, ...] = _run_call(_call(ARGMAX, scores, temperature, order, where, axis, xp), wrt, scale)
    return found


def regularized_max(
    scores: Array, temperature: Any, order: Order, *, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Overlay renyi_core._kernels.choice.regularized_max."""
    return _run_call(_call(MAX, scores, temperature, order, where, axis, xp))


def regularized_max_and_gradient(
    scores: Array,
    temperature: Any,
    order: Order,
    *,
    wrt: Wrt,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Overlay renyi_core._kernels.choice.regularized_max_and_gradient."""
    found: tuple[Array, ...] = _run_call(_call(MAX, scores, temperature, order, where, axis, xp), wrt, scale)
    return found
