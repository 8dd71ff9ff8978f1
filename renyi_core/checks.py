"""The explicit check of probabilities."""

from __future__ import annotations

from typing import Any

from ._arrays import check_mask, floating
from ._numbers import number
from ._quiet import quiet
from ._shapes import axes_of
from ._typing import ArrayOf, ArrayT
from ._values import check_probs, default_tolerance, wide

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

    The only function that always reads values: it waits for a GPU, computes a Dask graph and cannot run under
    ``jax.jit``. The others check within a block of :func:`checking` alone, and give NaN for a distribution that makes
    no sense.

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

    See Also
    --------
    checking : The same for every call of a block.

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
    values = wide(x, xp)
    if where is not None:
        values = xp.where(where, values, 0.0)
    tolerance = default_tolerance(x.dtype, xp) if tolerance is None else number(tolerance, "tolerance")
    check_probs(values, name="probs", axis=axis, axes=axes, tolerance=tolerance, xp=xp)
    return x
