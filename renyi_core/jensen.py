"""The Jensen–Rényi divergence of several distributions."""

from __future__ import annotations

from typing import Any

from ._arrays import floating, prepare, rectangular, same_namespace
from ._kernels.channel import AXES
from ._kernels.family import Family
from ._kernels.jensen import JENSEN, JENSEN_FROM_LOGITS
from ._quantity import Quantity, quantity
from ._shapes import check_fits, with_axes
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["jensen_divergence", "jensen_divergence_from_logits"]


@quantity(0, "alpha", "weights")
def jensen_divergence(
    probs: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    weights: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Jensen–Rényi divergence of order α of several distributions.

    .. math:: J_\alpha(P_1, \ldots, P_k) = H_\alpha\Bigl(\sum_j w_j P_j\Bigr) - \sum_j w_j H_\alpha(P_j)

    α = 0 is log of the number of outcomes that any of them has, less the mean of the logarithms of their own numbers,
    α → 1 the Jensen–Shannon divergence, which is at most the entropy of w, α = ∞ the mean of log max P_j less log of
    the largest entry of the mean. J is 0 for equal distributions, and never negative for α ≤ 1, where H_α is concave;
    for α > 1 it may be negative.

    Parameters
    ----------
    probs : array
        Probabilities of any array-API library, of a real floating-point dtype, shape (..., k, n): k distributions of n
        outcomes. They need not sum to 1 exactly: the result is that of each divided by its sum. A set in which one has
        a negative, infinite or NaN entry, has no positive one, or a sum that overflows, gives NaN, and it alone.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    weights : array, optional
        w, of the dtype of ``probs``, shape (..., k) that broadcasts to its leading axes; the same for all by default.
        They are divided by their sum. A distribution of weight 0 counts for nothing; negative, infinite or NaN weights,
        or none that is positive, give NaN.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    keepdims : bool, default False
        Whether the last two axes stay, with length 1.

    Returns
    -------
    array
        The divergences, shape (...), of the dtype, library and device of ``probs``; float16 and bfloat16 are summed in
        float32 and rounded once.

    Raises
    ------
    TypeError
        If ``probs`` is not an array of a real floating-point dtype, ``weights`` is of another dtype or library, or
        ``alpha`` is complex or of another library.
    ValueError
        If ``probs`` has fewer than two axes or no entries along them, ``weights`` does not have one for each
        distribution, ``alpha`` is a negative number or NaN, or ``base`` is not positive or is 1.

    See Also
    --------
    jensen_divergence_from_logits : Of logits.
    divergence : Of two, from one to the other.
    mutual_information : Of a joint distribution.
    regularizers.InformationTerm : As a term of a loss.

    Notes
    -----
    For α ≤ 1 within 64 units in the last place of the dtype, plus 4 units for each nat that the entries span: for
    close distributions too, where J is of the order of the square of their difference and the difference of entropies
    loses all digits (some rows drawn at random reached twice that). For α > 1 positive and negative terms of that order
    add up to J, and the error is relative to them.

    The derivatives are as exact, norm-wise: with respect to log P next to w P log(P/Σ w P), with respect to w and α
    next to the terms of J (at random, 9 times that with respect to w).

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"alpha"`` and ``"weights"``. Where an entry is 0 the derivative is
    the right one if that is finite (α > 1) and 0 else; of outcomes that none has, and of a weight that is 0, it is 0.

    References
    ----------
    A. Ben Hamza and H. Krim, "Jensen-Rényi divergence measure: theoretical and computational perspectives", IEEE
    International Symposium on Information Theory, 2003, p. 257; J. Lin, "Divergence measures based on the Shannon
    entropy", IEEE Transactions on Information Theory 37 (1991), pp. 145–151.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> probs = np.asarray([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.jensen_divergence(probs, alpha, base=2)), 6))
    0.5 0.213378
    1 0.155639
    2 0.092042
    inf 0.0
    """
    return _of_sets(probs, alpha, weights, base, keepdims, "probs", JENSEN)


@quantity(0, "alpha", "weights")
def jensen_divergence_from_logits(
    logits: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    weights: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Jensen–Rényi divergence of order α of several distributions given by logits.

    :func:`jensen_divergence` of the distributions exp(z)/Σ exp(z): the loss of generalized Jensen–Shannon distillation,
    with the student and the teacher as the two distributions.

    Parameters
    ----------
    logits : array
        Logits, unnormalized log-probabilities, of a real floating-point dtype, shape (..., k, n): k distributions of n
        outcomes. −inf is an outcome of probability 0. A set in which one has a +inf or NaN, or nothing but −inf, gives
        NaN, and it alone.
    alpha, weights, base, keepdims
        As in :func:`jensen_divergence`; ``weights`` are of the dtype of ``logits``.

    Returns
    -------
    array
        The divergences, shape (...), of the dtype, library and device of ``logits``; float16 and bfloat16 are summed in
        float32 and rounded once.

    Raises
    ------
    TypeError, ValueError
        As in :func:`jensen_divergence`.

    See Also
    --------
    jensen_divergence : Of probabilities.
    divergence_from_logits : Of two, from one to the other.

    Notes
    -----
    As exact as :func:`jensen_divergence`, for close distributions too: what two have in common is taken from their
    logits before any is exponentiated. An outcome that is further below the largest of its distribution than the dtype
    reaches, 708 in float64 and 87 in float32, counts as if it were so far: at α = 0 as one of the support, as it
    should, and for small α as a little more than it is. Where all that have it are so far below, as with a mask of
    −1e4, it is still of the support at α = 0, and else of probability 0, with a derivative of 0.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"alpha"`` and ``"weights"``. The derivative with respect to a
    logit of −inf is 0.

    References
    ----------
    As :func:`jensen_divergence`; R. Agarwal et al., "On-policy distillation of language models: learning from
    self-generated mistakes", ICLR 2024, for the loss.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> student, teacher = np.asarray([2.0, 0.0, -1.0]), np.asarray([1.0, 1.0, -1.0])
    >>> pair, mixture = np.stack([student, teacher]), np.asarray([0.1, 0.9])
    >>> print(round(float(renyi.jensen_divergence_from_logits(pair, 1, weights=mixture)), 6))
    0.028961
    """
    return _of_sets(logits, alpha, weights, base, keepdims, "logits", JENSEN_FROM_LOGITS)


def _of_sets(x: Array, alpha: Any, weights: Any, base: Any, keepdims: Any, name: str, family: Family) -> Any:
    xp = floating(x, name)
    rectangular(x, name)
    shape = tuple(x.shape)
    if len(shape) < 2 or 0 in shape[-2:]:
        msg = f"`{name}` must have shape (..., k, n) with k, n >= 1, got {shape}"
        raise ValueError(msg)
    given = shape[-2:-1]
    if weights is not None:
        same_namespace(weights, xp, "weights", name)
        floating(weights, "weights")
        if weights.dtype != x.dtype:
            msg = f"`weights` must have the dtype of `{name}`, {x.dtype}; got {weights.dtype}"
            raise TypeError(msg)
        given = tuple(weights.shape)
        if not given or (given[-1] == 1 and shape[-2] != 1):
            msg = f"`weights` of shape {given} must have one for each distribution of `{name}`, of shape {shape}"
            raise ValueError(msg)
        check_fits(weights, shape[:-1], "weights", "the distributions")
        weights = with_axes(weights, len(shape) - 1)
    arguments = prepare(x, alpha, name=name, axis=AXES, where=None, base=base, keepdims=keepdims)
    return Quantity(arguments, family, (x, weights), {}, alpha, ("weights",), {1: given})
