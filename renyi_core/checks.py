"""The explicit check of probabilities."""

from __future__ import annotations

import math
from typing import Any

from ._arrays import axes_of, check_mask, floating
from ._quiet import quiet
from ._typing import ArrayOf, ArrayT

Array = Any

__all__ = ["check_probabilities"]


@quiet
def check_probabilities(
    probs: ArrayOf[ArrayT],
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    tolerance: float | None = None,
) -> ArrayT:
    """Return ``probs`` if they are probabilities, raise ValueError if not.

    The only function that reads values: it waits for a GPU, computes a Dask graph and cannot run under ``jax.jit``.
    The other functions never check, and give NaN for a distribution that makes no sense.

    Parameters
    ----------
    probs : array
        What to check, shape (..., n).
    axis, where
        As in :func:`entropy`.
    tolerance : float, optional
        How far a sum may be from 1; by default the square root of the dtype's machine epsilon (1.5e-8 in float64,
        3.5e-4 in float32).

    Returns
    -------
    array
        ``probs`` itself.

    Raises
    ------
    TypeError
        As in :func:`entropy`.
    ValueError
        If an entry is negative, infinite or NaN, or a sum is not 1; the message says how many and where the first is.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> renyi.check_probabilities(np.asarray([[0.5, 0.5], [0.5, 0.4]]))
    Traceback (most recent call last):
        ...
    ValueError: `probs` must sum to 1 within 1.5e-08 along axis -1: 1 of 2 distributions does not, first at (1,): 0.9
    """
    x: Any = probs
    xp = floating(x, "probs")
    axes = axes_of(tuple(x.shape), axis, "probs")
    check_mask(where, xp, "probs", tuple(x.shape))
    bits = xp.finfo(x.dtype).bits
    values = xp.astype(x, xp.float32) if bits == 16 else x
    if where is not None:
        values = xp.where(where, values, 0.0)
    bad = ~((values >= 0) & (values < math.inf))
    if bool(xp.any(bad)):
        count = int(xp.sum(xp.astype(bad, xp.int32)))
        at, entry = _first(bad, values, xp)
        size = math.prod(x.shape)
        msg = f"`probs` must be finite and >= 0: {count} of {size} entries are not, first at {at}: {entry}"
        raise ValueError(msg)
    if tolerance is None:
        tolerance = math.sqrt(float(xp.finfo(x.dtype).eps))
    sums = xp.sum(values, axis=axes)
    off = xp.abs(sums - 1) > tolerance
    if bool(xp.any(off)):
        count = int(xp.sum(xp.astype(off, xp.int32)))
        at, total = _first(off, sums, xp)
        verb = "does" if count == 1 else "do"
        msg = (
            f"`probs` must sum to 1 within {tolerance:.2g} along axis {axis}: {count} of {math.prod(sums.shape)} "
            f"distributions {verb} not, first at {at}: {total:.6g}"
        )
        raise ValueError(msg)
    return x


def _first(bad: Array, values: Array, xp: Any) -> tuple[tuple[int, ...], float]:
    """Return the index of the first True and the value there."""
    flat = int(xp.argmax(xp.astype(xp.reshape(bad, (-1,)), xp.int32)))
    value = float(xp.reshape(values, (-1,))[flat])
    index: list[int] = []
    for n in reversed(bad.shape):
        index.append(flat % n)
        flat //= n
    return tuple(reversed(index)), value
