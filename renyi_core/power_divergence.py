"""Divergences that are functions of Rényi's: Tsallis' and Amari's α-divergence, from probabilities or logits."""

from __future__ import annotations

from typing import Any

from ._kernels.power_divergence import POWER_DIVERGENCE
from ._pairs import of_pair
from ._quantity import quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = [
    "alpha_divergence",
    "alpha_divergence_from_logits",
    "tsallis_divergence",
    "tsallis_divergence_from_logits",
]


@quantity(0, 1, "alpha")
def tsallis_divergence(
    p: ArrayOf[ArrayT],
    q: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Tsallis divergence (relative entropy) of order α of the distribution P from Q.

    .. math:: T_\alpha(P \| Q) = \frac{\sum_i p_i^\alpha q_i^{1 - \alpha} - 1}{\alpha - 1}

    α = 0 is Q(p = 0), α = 1/2 twice the squared Hellinger distance Σ (√p − √q)²/2, α → 1 the Kullback–Leibler
    divergence in nats, α = 2 χ². α = ∞ is 0 for P = Q and +inf else. T is never negative, 0 for P = Q, and never
    decreases with α. It is expm1((α − 1) D)/(α − 1), D the :func:`divergence`.

    Parameters
    ----------
    p, q : array
        As in :func:`divergence`. Where q = 0 and p > 0, T is +inf for α ≥ 1. For α < 1 it is at most 1/(1 − α), which
        it is where P and Q share no outcome.
    alpha, axis, where, keepdims
        As in :func:`divergence`.

    Returns
    -------
    array
        The divergences, shape (...), of the dtype, library and device of ``p``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    tsallis_divergence_from_logits : The same of logits.
    alpha_divergence : Divided by α.
    divergence : Rényi's.
    tsallis_entropy : Of one distribution.

    Notes
    -----
    As exact as :func:`divergence`, near P = Q too, but for the factor exp((α − 1) D), whose relative error is
    (α − 1) D times that of D.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` (p), ``1`` (q) and ``"alpha"``. Where p or q is 0 they follow
    :func:`divergence`; where P and Q share no outcome and α < 1 they are 0.

    References
    ----------
    C. Tsallis, "Generalized entropy-based criterion for consistent testing", Physical Review E 58 (1998),
    pp. 1442–1445.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p, q = np.asarray([0.5, 0.25, 0.25]), np.asarray([0.25, 0.25, 0.5])
    >>> for alpha in (0.5, 1, 2):
    ...     print(alpha, round(float(renyi.tsallis_divergence(p, q, alpha)), 6))
    0.5 0.085786
    1 0.173287
    2 0.375
    """
    return of_pair(POWER_DIVERGENCE, p, q, alpha, "probs", kind="tsallis", axis=axis, where=where, keepdims=keepdims)


@quantity(0, 1, "alpha")
def tsallis_divergence_from_logits(
    p_logits: ArrayOf[ArrayT],
    q_logits: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Tsallis divergence of order α of softmax(p_logits) from softmax(q_logits).

    Parameters
    ----------
    p_logits, q_logits : array
        As in :func:`divergence_from_logits`.
    alpha, axis, where, keepdims
        As in :func:`divergence`.

    Returns
    -------
    array
        See :func:`tsallis_divergence`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    tsallis_divergence : Of probabilities.
    divergence_from_logits : Rényi's.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.asarray([2.0, 1.0, 0.0])
    >>> print(f"{renyi.tsallis_divergence_from_logits(logits, logits + [0.0, 0.0, 1e-8], 2.0):.6e}")
    8.192507e-18
    """
    return of_pair(
        POWER_DIVERGENCE, p_logits, q_logits, alpha, "logits", kind="tsallis", axis=axis, where=where, keepdims=keepdims
    )


@quantity(0, 1, "alpha")
def alpha_divergence(
    p: ArrayOf[ArrayT],
    q: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return Amari's α-divergence of P from Q, in the parametrisation of Cichocki and Amari.

    .. math:: A_\alpha(P \| Q) = \frac{\sum_i p_i^\alpha q_i^{1 - \alpha} - 1}{\alpha (\alpha - 1)}
        = A_{1 - \alpha}(Q \| P)

    α → 0 is the Kullback–Leibler divergence of Q from P, α = 1/2 the symmetric one, 4(1 − Σ √(p q)), α → 1 the
    Kullback–Leibler divergence of P from Q, α = 2 half of χ². Near P = Q it is of second order and the same for all α.
    Amari's own parameter a = 1 − 2α makes it 4(1 − Σ p^((1−a)/2) q^((1+a)/2))/(1 − a²); where the exponents are
    written the other way round, a = 2α − 1.

    Parameters
    ----------
    p, q : array
        As in :func:`divergence`. A is +inf where q = 0 and p > 0 for α ≥ 1, and where p = 0 and q > 0 for α = 0.
    alpha, axis, where, keepdims
        As in :func:`divergence`; for α < 0 take ``alpha_divergence(q, p, 1 - alpha)``. α = ∞ is 0 for P = Q and +inf
        else.

    Returns
    -------
    array
        The divergences, ≥ 0, shape (...), of the dtype, library and device of ``p``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    alpha_divergence_from_logits : The same of logits.
    tsallis_divergence : Α times as large.
    divergence : Rényi's.

    Notes
    -----
    It is T_α(P‖Q)/α for α ≥ 1/2 and T_{1−α}(Q‖P)/(1 − α) else, with T the :func:`tsallis_divergence`, and as exact.
    So are its derivatives with respect to p and q. ∂A/∂α is a sum of terms of either sign, of the third order in the
    difference of P and Q, to which its error is relative.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` (p), ``1`` (q) and ``"alpha"``.

    References
    ----------
    A. Cichocki and S. Amari, "Families of alpha- beta- and gamma-divergences: flexible and robust measures of
    similarities", Entropy 12 (2010), pp. 1532–1568, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p, q = np.asarray([0.5, 0.25, 0.25]), np.asarray([0.25, 0.25, 0.5])
    >>> for alpha in (0, 0.5, 1, 2):
    ...     print(alpha, round(float(renyi.alpha_divergence(p, q, alpha)), 6))
    0 0.173287
    0.5 0.171573
    1 0.173287
    2 0.1875
    """
    return of_pair(POWER_DIVERGENCE, p, q, alpha, "probs", kind="alpha", axis=axis, where=where, keepdims=keepdims)


@quantity(0, 1, "alpha")
def alpha_divergence_from_logits(
    p_logits: ArrayOf[ArrayT],
    q_logits: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return Amari's α-divergence of softmax(p_logits) from softmax(q_logits).

    Parameters
    ----------
    p_logits, q_logits : array
        As in :func:`divergence_from_logits`.
    alpha, axis, where, keepdims
        As in :func:`alpha_divergence`.

    Returns
    -------
    array
        See :func:`alpha_divergence`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`divergence`.

    See Also
    --------
    alpha_divergence : Of probabilities.
    divergence_from_logits : Rényi's.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.asarray([2.0, 1.0, 0.0])
    >>> print(f"{renyi.alpha_divergence_from_logits(logits, logits + [0.0, 0.0, 1e-8], 0.0):.6e}")
    4.096253e-18
    """
    return of_pair(
        POWER_DIVERGENCE, p_logits, q_logits, alpha, "logits", kind="alpha", axis=axis, where=where, keepdims=keepdims
    )
