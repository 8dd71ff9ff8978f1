"""The Rényi cross-entropy of two distributions, from probabilities or logits."""

from __future__ import annotations

from typing import Any

from ._kernels.cross_entropy import CROSS_ENTROPY
from ._pairs import of_pair
from ._quantity import quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["cross_entropy", "cross_entropy_from_logits"]


@quantity(0, 1, "alpha")
def cross_entropy(
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
    r"""Return the Rényi cross-entropy of order α of the distribution P relative to Q.

    .. math:: H_\alpha(P; Q) = \frac{1}{1 - \alpha} \log \sum_i p_i q_i^{\alpha - 1}

    α = 0 is log Σ p/q, α → 1 the cross-entropy −Σ p log q, α = 2 −log Σ p q, α = ∞ −log of the largest q where p > 0.
    H(P; P) is the :func:`entropy` of P. H is never negative and never increases with α.

    For α ≠ 1 it is not least for Q = P: for α > 1 all of Q on the likeliest outcome gives less. There are other
    cross-entropies that end at Shannon's, such as H_α(P) + D_α(P‖Q), which the authors below call the natural one: that
    is ``entropy(p, alpha) + divergence(p, q, alpha)``.

    Parameters
    ----------
    p, q : array
        As in :func:`divergence`. Where q = 0 and p > 0, H is +inf for α ≤ 1; for α > 1 the outcome adds nothing to the
        sum, and H is +inf where P and Q share no outcome. An invalid row gives NaN, and only that row.
    alpha, axis, where, base, keepdims
        As in :func:`divergence`.

    Returns
    -------
    array
        The cross-entropies, shape (...), of the dtype, library and device of ``p``; float16 and bfloat16 are summed in
        float32 and rounded once.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    cross_entropy_from_logits : The same of logits.
    divergence : 0 where Q is P.
    entropy : Of P and itself.

    Notes
    -----
    Within 64 units in the last place of the dtype, also where Q is nearly certain of what P is, plus the rounding of
    the weights of entries far below the largest, 4 units for each nat.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` (p), ``1`` (q) and ``"alpha"``, and are as exact: with respect to p,
    norm-wise next to p log(max q/q), with respect to q next to q. Where p = 0 < q the derivative is the right one;
    where q = 0 it is 0, but for p > 0 and wrt=0.

    References
    ----------
    F. C. Thierrin, F. Alajaji and T. Linder, "Rényi cross-entropy measures for common distributions and processes with
    memory", Entropy 24 (2022), 1417, section 1.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p, q = np.asarray([0.5, 0.25, 0.25]), np.asarray([0.25, 0.25, 0.5])
    >>> for alpha in (0, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.cross_entropy(p, q, alpha, base=2)), 6))
    0 1.807355
    1 1.75
    2 1.678072
    inf 1.0
    """
    return of_pair(CROSS_ENTROPY, p, q, alpha, "probs", axis=axis, where=where, base=base, keepdims=keepdims)


@quantity(0, 1, "alpha")
def cross_entropy_from_logits(
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
    """Return the Rényi cross-entropy of order α of softmax(p_logits) relative to softmax(q_logits).

    Parameters
    ----------
    p_logits, q_logits : array
        As in :func:`divergence_from_logits`.
    alpha, axis, where, base, keepdims
        As in :func:`divergence`.

    Returns
    -------
    array
        See :func:`cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    cross_entropy : Of probabilities.
    divergence_from_logits : 0 where Q is P.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> sure = np.asarray([100.0, 0.0, 0.0])
    >>> print(f"{renyi.cross_entropy_from_logits(sure, sure, 2.0):.6e}")
    1.488030e-43
    """
    return of_pair(
        CROSS_ENTROPY, p_logits, q_logits, alpha, "logits", axis=axis, where=where, base=base, keepdims=keepdims
    )
