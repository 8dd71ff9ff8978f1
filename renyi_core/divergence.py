"""Divergences of two distributions, from probabilities or logits."""

from __future__ import annotations

from typing import Any

from ._kernels.divergence import DIVERGENCE
from ._pairs import of_pair
from ._quantity import quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["divergence", "divergence_from_logits"]


@quantity(0, 1, "alpha")
def divergence(
    p: ArrayOf[ArrayT],
    q: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Rényi divergence of order α of the distribution P from Q.

    .. math:: D_\alpha(P \| Q) = \frac{1}{\alpha - 1} \log \sum_i p_i^\alpha q_i^{1 - \alpha}

    α = 0 is −log Q(p > 0), α = 1/2 twice the Bhattacharyya distance, α → 1 the Kullback–Leibler divergence
    Σ p log(p/q), α = 2 log(1 + χ²), α = ∞ log max p/q. D is never negative, 0 for P = Q, and never decreases with α.

    Parameters
    ----------
    p, q : array
        Probabilities of any array-API library, of one real floating-point dtype, of shapes (..., n) that broadcast.
        They need not sum to 1 exactly: the result is that of p/Σp and q/Σq. Outcomes of probability 0 in both count
        for nothing; where q = 0 and p > 0 the divergence is +inf for α ≥ 1. A row with a negative, infinite or NaN
        entry, or with no positive one, gives NaN, and it alone.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    axis : int, tuple of int or None, default -1
        The axis or axes of p and q, broadcast together, along which the outcomes of one distribution lie.
    where : array of bool, optional
        Broadcasts to p and q; entries where it is False are left out of both.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    array
        The divergences, shape (...), of the dtype, library and device of ``p``; float16 and bfloat16 are summed in
        float32 and rounded once.

    Raises
    ------
    TypeError
        If ``p`` or ``q`` is not an array of a real floating-point dtype, their dtypes or libraries differ, or ``alpha``
        is complex.
    ValueError
        If ``alpha`` is a negative number or NaN, shapes do not broadcast, ``p`` or ``q`` lacks outcomes along
        ``axis``, or ``base`` is not positive or is 1.

    See Also
    --------
    divergence_from_logits : The same of logits.
    alpha_divergence : The mean of a power instead of its logarithm.
    cross_entropy : The entropy of P where Q is P.
    jensen_divergence : Of several, symmetric.

    Notes
    -----
    Exact for close pairs, where the textbook formula loses all digits, D being of the order of the square of the
    difference, and for distant ones: within 64 units in the last place of the dtype, plus the rounding of the weights
    of entries far below the largest, 4 units for each nat.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` (p), ``1`` (q) and ``"alpha"``. Where p = 0 the derivative is the
    right one if that is finite (α > 1) and 0 else; where q = 0 it is 0. Derivatives that nearly vanish because P and Q
    are nearly proportional, but for outcomes that one of them hardly has (not: has not), are right next to D alone.

    References
    ----------
    T. van Erven and P. Harremoës, "Rényi divergence and Kullback–Leibler divergence", IEEE Transactions on
    Information Theory 60 (2014), pp. 3797–3820, equations (1), (9) and (10) and theorem 6.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p, q = np.asarray([0.5, 0.25, 0.25]), np.asarray([0.25, 0.25, 0.5])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.divergence(p, q, alpha, base=2)), 6))
    0.5 0.126496
    1 0.25
    2 0.459432
    inf 1.0
    """
    return of_pair(DIVERGENCE, p, q, alpha, "probs", axis=axis, where=where, base=base, keepdims=keepdims)


@quantity(0, 1, "alpha")
def divergence_from_logits(
    p_logits: ArrayOf[ArrayT],
    q_logits: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Rényi divergence of order α of softmax(p_logits) from softmax(q_logits).

    As :func:`divergence`, without forming the probabilities: no overflow or underflow, whatever the logits.

    Parameters
    ----------
    p_logits, q_logits : array
        Unnormalized log-probabilities, of shapes (..., n) that broadcast; −inf is an outcome of probability 0.
    alpha, axis, where, base, keepdims
        See :func:`divergence`.

    Returns
    -------
    array
        See :func:`divergence`.

    Raises
    ------
    TypeError, ValueError
        See :func:`divergence`.

    See Also
    --------
    divergence : Of probabilities.
    cross_entropy_from_logits : The entropy of P where Q is P.
    regularizers.DivergenceTerm : As a term of a loss.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.asarray([2.0, 1.0, 0.0])
    >>> print(f"{renyi.divergence_from_logits(logits, logits + [0.0, 0.0, 1e-8], 2.0):.6e}")
    8.192507e-18
    """
    return of_pair(
        DIVERGENCE, p_logits, q_logits, alpha, "logits", axis=axis, where=where, base=base, keepdims=keepdims
    )
