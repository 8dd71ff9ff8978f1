"""Entropies of many orders at once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from ._arrays import floating, namespace, real, same_namespace, usable
from ._evaluate import evaluate
from ._kernels.doors import accumulate
from ._kernels.dtypes import cast
from ._kernels.measures import ENTROPY
from ._kernels.state import Door
from ._quiet import quiet
from ._rules import Rule, register_rule, rule_of
from ._typing import ArrayOf, ArrayT
from .entropy import entropy, entropy_from_logits

Array = Any

__all__ = ["entropy_spectrum", "entropy_spectrum_from_logits"]


def _orders(alphas: Any, x: Array, door: Door) -> list[Any]:
    """Return the orders of a spectrum one by one: numbers of a sequence, or the 0-d entries of an array."""
    if isinstance(alphas, Sequence) and not isinstance(alphas, str):
        orders = list(alphas)
    else:
        xp = floating(x, door)
        usable(alphas, "alphas")
        if namespace(alphas) is None:
            kind = type(alphas).__name__
            msg = f"`alphas` must be a list or an array of orders, got {kind}; for one order use entropy"
            raise TypeError(msg)
        same_namespace(alphas, xp, "alphas", door)
        real(alphas, "alphas")
        if alphas.ndim != 1:
            msg = f"`alphas` must have one dimension, got shape {tuple(alphas.shape)}"
            raise ValueError(msg)
        orders = [alphas[k] for k in range(alphas.shape[0])]
    if not orders:
        msg = "`alphas` is empty"
        raise ValueError(msg)
    return orders


@quiet
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
    return _spectrum(probs, alphas, "probs", axis, where, base, keepdims)


@quiet
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

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> renyi.entropy_spectrum_from_logits(np.zeros((5, 8)), [0.5, 1, 2]).shape
    (5, 3)
    """
    return _spectrum(logits, alphas, "logits", axis, where, base, keepdims)


def _spectrum(x: Array, alphas: Any, door: Door, axis: Any, where: Any, base: Any, keepdims: bool) -> Array:
    xp = floating(x, door)
    values = [
        evaluate(x, alpha, door=door, measure=ENTROPY, axis=axis, where=where, base=base, keepdims=keepdims)
        for alpha in _orders(alphas, x, door)
    ]
    return xp.stack(values, axis=-1)


def _spectrum_rule(door: Door) -> Rule:
    one = rule_of(entropy if door == "probs" else entropy_from_logits, "value_and_grad").value_and_gradient

    def value_and_gradient(
        wrt: int | str, cotangent: Any, x: Array, /, alphas: Any, **options: Any
    ) -> tuple[Array, Array]:
        xp, dtype = floating(x, door), x.dtype
        orders = _orders(alphas, x, door)
        if cotangent is not None and wrt != "alpha":
            # the orders' gradients are added up
            x = accumulate(x, xp=xp)
        shared = cotangent is None or isinstance(cotangent, (Real, complex))
        if not shared:
            same_namespace(cotangent, xp, "cotangent", door)
            shared = cotangent.ndim == 0
            if not shared and cotangent.shape[-1] not in {1, len(orders)}:
                msg = f"`cotangent` of shape {tuple(cotangent.shape)} does not end in the {len(orders)} `alphas`"
                raise ValueError(msg)
        values, gradients = [], []
        for k, alpha in enumerate(orders):
            part = cotangent if shared else cotangent[..., k if cotangent.shape[-1] > 1 else 0]
            value, gradient = one(wrt, part, x, alpha, **options)
            values.append(value)
            gradients.append(gradient)
        value = cast(xp.stack(values, axis=-1), dtype, xp)
        if cotangent is None or wrt == "alpha":
            return value, xp.stack(gradients, axis=-1)
        total = gradients[0]
        for gradient in gradients[1:]:
            total = total + gradient
        return value, cast(total, dtype, xp)

    return Rule((0, "alpha"), value_and_gradient)


register_rule(entropy_spectrum, _spectrum_rule("probs"))
register_rule(entropy_spectrum_from_logits, _spectrum_rule("logits"))
