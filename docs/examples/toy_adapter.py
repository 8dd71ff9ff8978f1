"""An adapter for toy_arrays: any quantity as one operation, and an engine for the entropy of logits."""

import math

import numpy as np
import toy_arrays
from array_api_compat import numpy as numpy_namespace

from renyi_core._kernels import entropy as kernels
from renyi_core._kernels import family
from renyi_core._kernels.state import Order, State, finish


def rows(call, wrt=(), scale=None):
    """Overlay renyi_core._kernels.family.rows: NumPy runs the call on the memory of the arrays."""
    order = call.order if call.order is None or call.order.static else Order(*map(_inside, call.order))
    arrays, where = tuple(map(_inside, call.arrays)), _inside(call.where)
    seen = call._replace(arrays=arrays, order=order, where=where, xp=numpy_namespace)
    found = family.run(seen, wrt, _inside(scale))
    results = [toy_arrays.Array(part) for part in (found if wrt else (found,))]
    toy_arrays.written += sum(part.size for part in results)
    return tuple(results) if wrt else results[0]


def _inside(x):
    return x.data if isinstance(x, toy_arrays.Array) else x


def entropy(x, order, *, source, measure, where, axis, xp):
    """Overlay renyi_core._kernels.entropy.entropy, with its signature."""
    common = source == "logits" and where is None and axis == (-1,) and order.static and 0 < order.alpha < math.inf
    if not common:
        return kernels.entropy(x, order, source=source, measure=measure, where=where, axis=axis, xp=xp)
    state = State(*(None if part is None else toy_arrays.Array(part) for part in _fused_state(x.data, order)))
    toy_arrays.written += sum(part.size for part in state if part is not None)
    return measure.value(finish(state, order, xp=xp), order, xp=xp)


def _fused_state(z, order):
    """Return peak, r0, s and ra of each row: what a kernel in the library's own language would sum in one pass."""
    z = z.astype(np.float32) if z.dtype == np.float16 else z
    needs_s, needs_ra = order.needs(full=False)
    peak = z.max(axis=-1, keepdims=True)
    empty = peak == -math.inf
    d = z - np.where(empty, 0.0, np.where(peak == math.inf, math.nan, peak))
    dead = d == -math.inf
    d = np.where(dead, -1.0, d)
    e = np.where(dead, 0.0, np.exp(d))
    top = np.arange(z.shape[-1]) == z.argmax(axis=-1, keepdims=True)

    def but_top(values):
        # a row of −inf alone has the sum −1, of which the library makes NaN
        return np.sum(np.where(top, 0.0, values), axis=-1, keepdims=True) - empty

    w = np.where(dead, 0.0, np.exp(order.alpha * d))
    ra = but_top(w) if needs_ra else None
    s = np.sum(_power_gap(d, e, w, order.t), axis=-1, keepdims=True) if needs_s else None
    return peak, but_top(e), s, ra


def _power_gap(d, e, w, t):
    """Return (w − e)/t, where e = exp(d) and w = exp((1 + t)d), without subtracting nearly equal numbers."""
    if t == 0:
        return e * d
    far = np.abs(t * d) > 1
    return np.where(far, (w - e) / t, e * np.expm1(np.where(far, 0.0, t * d)) / t)
