"""Masks of what a bonus should see of a large vocabulary: the likeliest outcomes, the most uncertain positions."""

from __future__ import annotations

from typing import Any

from ._arrays import check_mask, floating
from ._kernels.family import Call, Family, run
from ._kernels.masks import HIGHEST, NUCLEUS
from ._numbers import number
from ._quiet import quiet
from ._shapes import axes_of, with_axes
from ._typing import ArrayOf

Array = Any

__all__ = ["high_entropy_mask", "nucleus_mask"]


@quiet
def nucleus_mask(logits: ArrayOf[Any], /, mass: float, *, axis: int = -1, where: ArrayOf[Any] | None = None) -> Any:
    """Return where the fewest outcomes are whose probability reaches ``mass``: the nucleus of each distribution.

    As ``where=`` of an entropy or a term it keeps a bonus out of the tail of a large vocabulary, which is worth much to
    an entropy and nothing to the task. The entropy then is that of the nucleus alone, and its gradient elsewhere 0.

    Parameters
    ----------
    logits : array
        The logits, of any array-API library and a real floating-point dtype, shape (..., n).
    mass : float
        The probability to be reached, above 0 and at most 1. 1 takes every outcome above −inf.
    axis : int, default -1
        The axis along which the outcomes lie.
    where : boolean array, optional
        Broadcasts to ``logits``; entries where it is False are no outcomes, and not in the nucleus.

    Returns
    -------
    array
        A boolean array of the shape of ``logits``. Of equal logits the first ones come first. Nothing is in it in a row
        that makes no sense, with +inf or NaN or without an outcome: its entropy is NaN either way.

    Raises
    ------
    TypeError
        If ``logits`` is not an array of a real floating-point dtype, ``mass`` not a real number, ``axis`` not an
        integer, or ``where`` not boolean.
    ValueError
        If ``mass`` is not above 0 and at most 1, ``axis`` is out of range or has no entries, or ``where`` does not
        broadcast.

    See Also
    --------
    high_entropy_mask : Which positions, rather than which outcomes.
    entropy_bounds_from_top : Of the whole distribution, where only its nucleus is known.

    Notes
    -----
    It has no derivative: the number of outcomes is constant but where it jumps. Time is that of sorting each row.
    Probabilities are added up in the dtype of ``logits``, float32 for float16 and bfloat16, from the largest one on: in
    float32, of 150,000 outcomes, the mass is met to about 1e-5.

    References
    ----------
    A. Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, arXiv:1904.09751, for the nucleus; of an
    entropy bonus, among others, "Rethinking Entropy Regularization in Large Reasoning Models", 2025, arXiv:2509.25133.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.log([[0.1, 0.6, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    >>> print(renyi.nucleus_mask(logits, 0.7))
    [[False  True  True False]
     [ True  True  True False]]
    >>> print(renyi.entropy_from_logits(logits, 2, where=renyi.nucleus_mask(logits, 0.7)).round(4))
    [0.47   1.0986]
    """
    x: Array = logits
    xp = floating(x, "logits")
    (own,) = axes_of(tuple(x.shape), (axis,), "logits")
    check_mask(where, xp, "logits", tuple(x.shape))
    x, where = (None if part is None else xp.moveaxis(with_axes(part, x.ndim), own, -1) for part in (x, where))
    return xp.moveaxis(_found(NUCLEUS, x, where, xp, mass=_share(mass, "mass")), -1, own)


@quiet
def high_entropy_mask(entropies: ArrayOf[Any], /, share: float, *, where: ArrayOf[Any] | None = None) -> Any:
    """Return where the ``share`` of the entries is that have the highest entropy, of all axes together.

    Of the tokens of a batch few are uncertain, and they are those that decide what the answer will be: a policy
    gradient, or a bonus, of these alone is as good as one of all. As ``sample_weight=`` of a term, or times a loss.

    Parameters
    ----------
    entropies : array
        The entropies, of whatever order, of any array-API library and a real floating-point dtype, any shape.
    share : float
        How much of them, above 0 and at most 1; 0.2 in the paper below. The number is the nearest whole one, and at
        least 1.
    where : boolean array, optional
        Broadcasts to ``entropies``; entries where it is False, as of padding, do not count and are not taken.

    Returns
    -------
    array
        A boolean array of the shape of ``entropies``. Of equal entropies the first ones, in the order of the last axis,
        come first. NaN and −inf count as left out.

    Raises
    ------
    TypeError
        If ``entropies`` is not an array of a real floating-point dtype, ``share`` not a real number, or ``where`` not
        boolean.
    ValueError
        If ``share`` is not above 0 and at most 1, or ``where`` does not broadcast.

    See Also
    --------
    nucleus_mask : Which outcomes, rather than which positions.
    schedules.TargetEntropy : ``anchor=`` holds the entropy at a share of what it was at first.

    Notes
    -----
    It has no derivative. What runs on several processes takes the share of each process's own entries.

    References
    ----------
    S. Wang et al., "Beyond the 80/20 Rule: High-Entropy Minority Tokens Drive Effective Reinforcement Learning for LLM
    Reasoning", 2025, arXiv:2506.01939, whose policy gradient is that of 20 % of the tokens.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> entropies = np.asarray([[0.1, 2.0, 0.3, 0.0], [1.5, 0.2, 9.0, 9.0]])
    >>> written = np.asarray([[True, True, True, True], [True, True, False, False]])
    >>> print(renyi.high_entropy_mask(entropies, 0.3, where=written))
    [[False  True False False]
     [ True False False False]]
    """
    x: Array = entropies
    xp = floating(x, "entropies")
    shape = tuple(x.shape)
    check_mask(where, xp, "entropies", shape)
    share = _share(share, "share")
    if 0 in shape:
        return xp.zeros_like(x, dtype=xp.bool)
    if where is not None:
        where = xp.reshape(xp.broadcast_to(where, shape), (-1,))
    return xp.reshape(_found(HIGHEST, xp.reshape(x, (-1,)), where, xp, share=share), shape)


def _share(value: Any, name: str) -> float:
    share = number(value, name)
    if not 0 < share <= 1:
        msg = f"`{name}` must be above 0 and at most 1, got {value!r}"
        raise ValueError(msg)
    return share


def _found(family: Family, x: Array, where: Any, xp: Any, **options: float) -> Array:
    return run(Call(family, (x,), None, where, {"axis": (-1,), **options}, xp)) != 0
