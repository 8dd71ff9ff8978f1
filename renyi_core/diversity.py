"""The diversity of samples, from kernel matrices of their similarities."""

from __future__ import annotations

from typing import Any

from ._arrays import floating, prepare_parameters
from ._kernels.diversity import GRAM_ENTROPY, GRAM_PAIR
from ._kernels.family import Family
from ._kernels.measures import ENTROPY, HILL
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["gram_entropy", "gram_joint_entropy", "gram_mutual_information", "vendi_score"]


@quantity(0, "alpha")
def gram_entropy(gram: ArrayOf[ArrayT], /, alpha: Alpha, *, base: float | None = None) -> ArrayT:
    r"""Return the matrix-based Rényi entropy of order α of a kernel matrix.

    .. math:: S_\alpha(K) = \frac{1}{1 - \alpha} \log \operatorname{tr} \Bigl(\frac{K}{\operatorname{tr} K}\Bigr)^\alpha

    It is the :func:`entropy` of the eigenvalues of K/tr K: α = 0 is the logarithm of the numerical rank, α → 1 von
    Neumann's entropy, α = 2 −log(‖K‖²/tr(K)²), α = ∞ minus the logarithm of the largest eigenvalue. It lies between 0,
    for samples that are all alike, and log N, for samples of which no two are, and never increases with α.

    Parameters
    ----------
    gram : array
        Positive semidefinite matrices of similarities, shape (..., N, N), of a real floating-point dtype. Their
        symmetric part (K + Kᵀ)/2 is taken, and divided by the trace: with equal K_ii that is the normalization
        K_ij/(N √(K_ii K_jj)) of the reference; where they differ, samples count by their K_ii here.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``gram``; float16 and bfloat16 are computed in
        float32 and rounded once.

    Raises
    ------
    TypeError
        If ``gram`` is not an array of a real floating-point dtype, ``alpha`` is complex or of another library, or
        the library has no ``linalg.eigvalsh`` and the order is not the number 2.
    ValueError
        If ``gram`` has not the shape of square matrices, ``alpha`` is a negative number or NaN, or ``base`` is not
        positive or is 1.

    See Also
    --------
    vendi_score : As an effective number of samples.
    kernel_entropy : Of the samples themselves.
    gram_joint_entropy : Of two matrices together.
    gram_mutual_information : What two matrices share.

    Notes
    -----
    A matrix with an entry that is infinite or NaN, a negative eigenvalue or a trace of 0 gives NaN, and it alone. α = 2
    as a number needs no eigenvalues, and sees negative ones only if Σ (K_ii K_jj − K_ij²) is negative, or a K_ii is.

    Eigenvalues have the rounding of the largest: those of up to N units in its last place are taken as 0, or α < 1
    would sum noise. The errors of the entropy and of its derivatives are those of the eigenvalues, next to 1 and 1/tr K
    and not to themselves where they are small. α = 2 is exact, within 16 units in the last place of the dtype, its
    derivative too, also for samples that nearly coincide or of which hardly any two are alike.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, whose derivative U diag(∂H/∂λ) Uᵀ is symmetric, and ``"alpha"``. At
    an eigenvalue of 0 the derivative is the right one if that is finite (α > 1) and 0 else; equal eigenvalues are no
    special case, and at α = ∞ they share the derivative of the largest. Automatic differentiation gives the same.

    References
    ----------
    L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
    kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> gram = np.asarray([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> for alpha in (0, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.gram_entropy(gram, alpha)), 6))
    0 1.098612
    1 1.011404
    2 0.944462
    inf 0.693147
    """
    return of_grams(GRAM_ENTROPY, (gram,), alpha, base, measure=ENTROPY)


@quantity(0, "alpha")
def vendi_score(gram: ArrayOf[ArrayT], /, alpha: Alpha = 1.0) -> ArrayT:
    r"""Return the Vendi score of order α, exp(S_α): the effective number of different samples.

    Samples that are all alike have 1, N of which no two are have N; see :func:`gram_entropy` for S_α.

    Parameters
    ----------
    gram : array
        Positive semidefinite matrices of similarities, shape (..., N, N), as in :func:`gram_entropy`; K_ii = 1 in the
        references.
    alpha : float or array, default 1
        The order, as in :func:`gram_entropy`. Small orders count rare kinds of samples, large ones those that
        dominate.

    Returns
    -------
    array
        The scores, between 1 and N, shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`gram_entropy`.

    See Also
    --------
    gram_entropy : Its logarithm.
    kernel_entropy : Of the samples themselves.
    hill_number : Of a distribution.

    Notes
    -----
    The derivatives are those of :func:`gram_entropy`, times the score.

    References
    ----------
    D. Friedman and A. B. Dieng, "The Vendi score: a diversity evaluation metric for machine learning", Transactions on
    Machine Learning Research, 2023, for order 1; A. P. Pasarkar and A. B. Dieng, "Cousins of the Vendi score: a family
    of similarity-based diversity metrics for science and machine learning", AISTATS 2024, for the others.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> gram = np.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> for alpha in (0, 1, 2):
    ...     print(alpha, round(float(renyi.vendi_score(gram, alpha)), 6))
    0 2.0
    1 1.889882
    2 1.8
    """
    return of_grams(GRAM_ENTROPY, (gram,), alpha, None, measure=HILL)


@quantity(0, 1, "alpha")
def gram_joint_entropy(
    gram_x: ArrayOf[ArrayT], gram_y: ArrayOf[Any], /, alpha: Alpha, *, base: float | None = None
) -> ArrayT:
    r"""Return the matrix-based joint entropy of order α of two variables, from a kernel matrix of each.

    .. math:: S_\alpha(K, L) = S_\alpha(K \circ L), \qquad (K \circ L)_{ij} = K_{ij} L_{ij}

    Two samples are alike where both variables are. If the K_ii are equal and the L_ii are, it is not less than
    S_α(K) and S_α(L), at any order.

    Parameters
    ----------
    gram_x, gram_y : array
        Positive semidefinite kernel matrices of the same N samples, shapes (..., N, N) that broadcast, of one real
        floating-point dtype.
    alpha, base
        As in :func:`gram_entropy`.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``gram_x``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`gram_entropy`; also if the dtypes, libraries or N of the two differ.

    See Also
    --------
    gram_entropy : Of one matrix.
    gram_mutual_information : What the two share.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``1`` and ``"alpha"``.

    References
    ----------
    L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
    kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> x = np.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> y = np.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    >>> print(round(float(renyi.gram_joint_entropy(x, y, 2)), 6))
    1.098612
    """
    return of_grams(GRAM_PAIR, (gram_x, gram_y), alpha, base, kind="joint")


@quantity(0, 1, "alpha")
def gram_mutual_information(
    gram_x: ArrayOf[ArrayT], gram_y: ArrayOf[Any], /, alpha: Alpha, *, base: float | None = None
) -> ArrayT:
    r"""Return the matrix-based mutual information of order α of two variables.

    .. math:: I_\alpha(K; L) = S_\alpha(K) + S_\alpha(L) - S_\alpha(K, L)

    If the K_ii are equal and the L_ii are, it is at most the smaller of S_α(K) and S_α(L), and ≥ 0 at the orders 0 and
    1, where rank and von Neumann's entropy are sub-additive. At other orders it may be negative.

    Parameters
    ----------
    gram_x, gram_y, alpha, base
        As in :func:`gram_joint_entropy`.

    Returns
    -------
    array
        The mutual information, shape (...), of the dtype, library and device of ``gram_x``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`gram_joint_entropy`.

    See Also
    --------
    gram_joint_entropy : Of the two together.
    gram_entropy : Of one matrix.
    mutual_information : Of a joint distribution.

    Notes
    -----
    A difference of entropies: its error is that of the largest of the three.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``1`` and ``"alpha"``.

    References
    ----------
    L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
    kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> x = np.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> for y in (x, np.ones((3, 3))):
    ...     print(abs(round(float(renyi.gram_mutual_information(x, y, 1)), 6)))
    0.636514
    0.0
    """
    return of_grams(GRAM_PAIR, (gram_x, gram_y), alpha, base, kind="information")


def of_grams(family: Family, grams: tuple[Array, ...], alpha: Any, base: Any, **options: Any) -> Any:
    """Return a quantity of kernel matrices."""
    names = ("gram",) if len(grams) == 1 else ("gram_x", "gram_y")
    for gram, name in zip(grams, names, strict=True):
        floating(gram, name)
        shape = tuple(gram.shape)
        if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
            msg = f"`{name}` must have the shape (..., N, N) of square matrices, got {shape}"
            raise ValueError(msg)
    arguments, arrays = prepare_parameters(grams, alpha, names=names, trailing=(2,) * len(grams), base=base)
    if arrays[0].shape[-1] != arrays[-1].shape[-1]:
        msg = f"`gram_y` of shape {tuple(arrays[1].shape)} has not the {arrays[0].shape[-1]} samples of `gram_x`"
        raise ValueError(msg)
    return Quantity(arguments, family, arrays, options, alpha)
