"""Entropies of many orders at once."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

from ._arrays import floating, namespace, real, same_namespace, usable
from ._kernels.dtypes import cast
from ._kernels.library import short_way
from ._kernels.measures import ENTROPY
from ._kernels.sources import accumulate
from ._kernels.state import Source
from ._quantity import quantity
from ._typing import ArrayOf, ArrayT
from .entropy import is_plain, of_rows

Array = Any

__all__ = ["entropy_spectrum", "entropy_spectrum_from_logits"]


def _orders(alphas: Any, x: Array, source: Source) -> list[Any]:
    """Return the orders of a spectrum one by one: numbers of a sequence, or the 0-d entries of an array."""
    if isinstance(alphas, Sequence) and not isinstance(alphas, str):
        orders = list(alphas)
    else:
        xp = floating(x, source)
        usable(alphas, "alphas")
        if namespace(alphas) is None:
            kind = type(alphas).__name__
            msg = f"`alphas` must be a list or an array of orders, got {kind}; for one order use entropy"
            raise TypeError(msg)
        same_namespace(alphas, xp, "alphas", source)
        real(alphas, "alphas")
        if alphas.ndim != 1:
            msg = f"`alphas` must have one dimension, got shape {tuple(alphas.shape)}"
            raise ValueError(msg)
        orders = [alphas[k] for k in range(alphas.shape[0])]
    if not orders:
        msg = "`alphas` is empty"
        raise ValueError(msg)
    return orders


@quantity(0, "alpha")
def entropy_spectrum(
    probs: ArrayOf[ArrayT],
    /,
    alphas: Sequence[float] | ArrayOf[Any],
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Rényi entropies of many orders at once, along a new last axis.

    Parameters
    ----------
    probs, axis, where, base, keepdims
        As in :func:`entropy`.
    alphas : sequence of float, or array of shape (k,)
        The orders.

    Returns
    -------
    array
        Shape (..., k): the result of :func:`entropy` for each order, stacked along a new last axis, whatever
        ``axis`` is.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`; ValueError if ``alphas`` is empty or has more than one dimension.

    See Also
    --------
    entropy_spectrum_from_logits : The same of logits.
    entropy : Of one order, or of one for each distribution.
    monitoring.plot_spectrum : A figure of it.

    Notes
    -----
    Its gradient with respect to the probabilities has the orders as a new last axis, too: shape (..., n, k).

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p = np.asarray([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    >>> print(np.round(renyi.entropy_spectrum(p, [0, 1, 2, math.inf], base=2), 4) + 0.0)
    [[1.585 1.5   1.415 1.   ]
     [0.    0.    0.    0.   ]]
    """
    return _spectrum(probs, alphas, "probs", axis=axis, where=where, base=base, keepdims=keepdims)


@quantity(0, "alpha")
def entropy_spectrum_from_logits(
    logits: ArrayOf[ArrayT],
    /,
    alphas: Sequence[float] | ArrayOf[Any],
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Rényi entropies of many orders of the softmax of logits, along a new last axis.

    Parameters
    ----------
    logits, axis, where, base, keepdims
        As in :func:`entropy_from_logits`.
    alphas : sequence of float, or array of shape (k,)
        The orders.

    Returns
    -------
    array
        Shape (..., k), as in :func:`entropy_spectrum`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy_spectrum`.

    See Also
    --------
    entropy_spectrum : Of probabilities.
    entropy_from_logits : Of one order.
    monitoring.plot_spectrum : A figure of it.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> renyi.entropy_spectrum_from_logits(np.zeros((5, 8)), [0.5, 1, 2]).shape
    (5, 3)
    """
    return _spectrum(logits, alphas, "logits", axis=axis, where=where, base=base, keepdims=keepdims)


class _Spectrum(NamedTuple):
    """The quantities of the orders, and the input as it was given."""

    x: Array
    orders: list[Any]
    source: Source
    options: dict[str, Any]

    def one(self, x: Array, alpha: Any) -> Any:
        """Return the quantity of one order."""
        return of_rows(x, alpha, self.source, ENTROPY, **self.options)

    @property
    def xp(self) -> Any:
        """The namespace of the input."""
        return namespace(self.x)

    def value(self) -> Array:
        """Return the entropies along a new last axis: of plain calls by the library's short way, if it has one."""
        way = short_way("spectrum_at_once", self.x) if is_plain(**self.options) else None
        found = None if way is None else way(self.x, self.orders, self.source)
        if found is not None:
            return found
        return self.xp.stack([self.one(self.x, alpha).value() for alpha in self.orders], axis=-1)

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Array, tuple[Array, ...]]:
        """Return the entropies and their derivatives; the gradients of all orders are added up for a cotangent."""
        xp, x, count = self.xp, self.x, len(self.orders)
        if cotangent is not None and 0 in wrt:
            x = accumulate(x, xp=xp)
        shared = cotangent is None or isinstance(cotangent, (Real, complex))
        if not shared:
            same_namespace(cotangent, xp, "cotangent", self.one(x, self.orders[0]).arguments.name)
            shared = cotangent.ndim == 0
            if not shared and cotangent.shape[-1] not in {1, count}:
                msg = f"`cotangent` of shape {tuple(cotangent.shape)} does not end in the {count} `alphas`"
                raise ValueError(msg)
        values, parts = [], []
        for k, alpha in enumerate(self.orders):
            part = cotangent if shared else cotangent[..., k if cotangent.shape[-1] > 1 else 0]
            value, found = self.one(x, alpha).derivatives(wrt, part)
            values.append(value)
            parts.append(found)
        gradients = []
        for name, each in zip(wrt, zip(*parts, strict=True), strict=True):
            if cotangent is None or name == "alpha":
                gradients.append(xp.stack(each, axis=-1))
            else:
                gradients.append(cast(functools.reduce(operator.add, each), self.x.dtype, xp))
        return cast(xp.stack(values, axis=-1), self.x.dtype, xp), tuple(gradients)


def _spectrum(x: Array, alphas: Any, source: Source, **options: Any) -> Any:
    floating(x, source)
    return _Spectrum(x, _orders(alphas, x, source), source, options)
