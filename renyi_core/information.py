"""Measures of the joint distribution of two variables: mutual information, conditional entropy, maximal leakage."""

from __future__ import annotations

import math
from typing import Any, get_args

from ._arrays import Arguments, floating, prepare, rectangular
from ._kernels.channel import AXES, Kind
from ._kernels.conditional import CONDITIONAL_ENTROPY
from ._kernels.csiszar import LARGEST, LEAST
from ._kernels.information import INFORMATION
from ._numbers import check_choice
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["conditional_entropy", "maximal_leakage", "mutual_information"]


@quantity(0, "alpha")
def mutual_information(
    joint: ArrayOf[ArrayT], /, alpha: Alpha, *, kind: Kind = "sibson", base: float | None = None, keepdims: bool = False
) -> ArrayT:
    r"""Return the mutual information of order α of two variables.

    .. math::
        I_\alpha^{\text{Sibson}}(X \to Y)
            = \frac{\alpha}{\alpha - 1} \log \sum_y \Bigl(\sum_x P(x) P(y|x)^\alpha\Bigr)^{1/\alpha}
            = \min_Q D_\alpha(P_{XY} \| P_X \times Q), \qquad
        I_\alpha^{\text{Arimoto}}(X; Y) = H_\alpha(X) - H_\alpha(X|Y), \qquad
        I_\alpha^{\text{Csisz\'ar}}(X \to Y) = \min_Q \sum_x P(x) D_\alpha(P_{Y|X=x} \| Q)

    α → 1 is Shannon's mutual information for all kinds, and none is symmetric in X and Y elsewhere. Sibson's is
    −log max_y P_X(P(y|x) > 0) at α = 0, never decreases with α, and ends at :func:`maximal_leakage`, α = ∞. Arimoto's
    uses :func:`conditional_entropy`, and is Sibson's of the inputs P(x)^α/Σ P^α. Csiszár's is at least
    Sibson's for α < 1 and at most that for α > 1. All are ≥ 0, and 0 for independent variables.

    Parameters
    ----------
    joint : array
        Weights of the pairs (x, y), of any array-API library, of a real floating-point dtype, shape (..., X, Y). They
        need not sum to 1: the result is that of joint/Σ joint. Rows and columns of zeros count for nothing. A joint
        distribution with a negative, infinite or NaN entry, with no positive one, or whose sum overflows, gives NaN,
        and it alone.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    kind : {"sibson", "arimoto", "csiszar"}, default "sibson"
        Whose definition. Csiszár's, a minimum without a closed form, is for α from 1/4 to 16: in an array, other orders
        give NaN.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    keepdims : bool, default False
        Whether the last two axes stay, with length 1.

    Returns
    -------
    array
        The mutual information, shape (...), of the dtype, library and device of ``joint``; float16 and bfloat16 are
        summed in float32 and rounded once.

    Raises
    ------
    TypeError
        If ``joint`` is not an array of a real floating-point dtype, or ``alpha`` is complex or of another library.
    ValueError
        If ``joint`` has fewer than two axes or no entries along them, ``alpha`` is a negative number or NaN, ``kind``
        is another one, or "csiszar" and ``alpha`` a number outside [1/4, 16], or ``base`` is not positive or is 1.

    See Also
    --------
    conditional_entropy : What is left to know.
    maximal_leakage : Of Sibson's kind, α = ∞.
    gram_mutual_information : Of samples, by kernels.

    Notes
    -----
    Within 64 units in the last place of the dtype, near independence too, where I is of the order of the square of the
    dependence and the difference of two entropies loses all digits: joint − row·column is formed without the rounding
    of the product; so also where one input or one output has all but a millionth of the weight. Arimoto's, of inputs
    that are a power, carries up to 4 α units, and a unit of 1 at α = ∞. The derivatives are as exact, norm-wise, but
    for the rounding of exponents: 4 units for each nat that the entries span, and α more, 32 α for Arimoto's. Where
    they vanish, as for a channel without noise and equal inputs, they are right next to I. Arimoto's value and
    derivatives lose digits where α leaves all but 1e-20 of P^α on one input.

    Csiszár's minimum is found by iterations, as many for every input, the last of them Newton's: as exact on the tests'
    grid.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` and ``"alpha"``. Where an entry is 0 the derivative is the right one
    if that is finite (α > 1) and 0 else; in rows and columns of zeros it is 0.

    References
    ----------
    R. Sibson, "Information radius", Zeitschrift für Wahrscheinlichkeitstheorie und verwandte Gebiete 14 (1969),
    pp. 149–160; S. Arimoto, "Information measures and capacity of order α for discrete memoryless channels", Topics in
    Information Theory, 1977, pp. 41–52; S. Verdú, "α-mutual information", Information Theory and Applications Workshop,
    2015; I. Csiszár, "Generalized cutoff rates and Rényi's information measures", IEEE Transactions on Information
    Theory 41 (1995), pp. 26–34; B. Nakiboğlu, "The Augustin capacity and center", Problems of Information Transmission
    55 (2019).

    Examples
    --------
    A binary symmetric channel that errs one time in ten, with equal inputs:

    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> joint = np.asarray([[0.45, 0.05], [0.05, 0.45]])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.mutual_information(joint, alpha, base=2)), 6))
    0.5 0.321928
    1 0.531004
    2 0.713696
    inf 0.847997
    """
    return _of_information(joint, alpha, kind, base, keepdims)


@quantity(0)
def maximal_leakage(joint: ArrayOf[ArrayT], /, *, base: float | None = None, keepdims: bool = False) -> ArrayT:
    r"""Return the maximal leakage from X to Y, Sibson's mutual information of order ∞.

    .. math:: L(X \to Y) = \log \sum_y \max_{x: P(x) > 0} P(y|x)

    It bounds by which factor Y makes it likelier to guess anything at all about X.

    Parameters
    ----------
    joint, base, keepdims
        As in :func:`mutual_information`.

    Returns
    -------
    array
        The leakages, between 0 and log min(X, Y), shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`mutual_information`.

    See Also
    --------
    mutual_information : Of any order.

    References
    ----------
    I. Issa, A. B. Wagner and S. Kamath, "An operational approach to information leakage", IEEE Transactions on
    Information Theory 66 (2020), pp. 1625–1657, theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(float(renyi.maximal_leakage(np.eye(4), base=2)))
    2.0
    """
    return _of_information(joint, math.inf, "sibson", base, keepdims)


@quantity(0, "alpha")
def conditional_entropy(
    joint: ArrayOf[ArrayT], /, alpha: Alpha, *, base: float | None = None, keepdims: bool = False
) -> ArrayT:
    r"""Return Arimoto's conditional entropy of order α of X given Y, the variable of the last axis.

    .. math::
        H_\alpha(X|Y) = \frac{\alpha}{1 - \alpha} \log \sum_y \Bigl(\sum_x P(x, y)^\alpha\Bigr)^{1/\alpha}

    α = 0 is the logarithm of the largest number of x that one y leaves possible, α → 1 Shannon's conditional entropy,
    α = ∞ −log of the chance to guess X from Y, Σ_y max_x P(x, y). It is never above ``entropy`` of X, and equal for
    independent variables.

    Parameters
    ----------
    joint, alpha, base, keepdims
        As in :func:`mutual_information`.

    Returns
    -------
    array
        The conditional entropies, shape (...), of the dtype, library and device of ``joint``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`mutual_information`.

    See Also
    --------
    mutual_information : What the one tells of the other.
    entropy : Of one variable.

    Notes
    -----
    Within 64 units in the last place of the dtype, also where X is nearly certain. The derivatives are as exact,
    norm-wise, but for 4 units for each nat that the entries span, times α beyond 1, next to α = 0 too, although the
    weight of each y is a power 1/α. Nearly uniform columns lose nothing, although their entropies differ by the square
    of how far they are from uniform; where they are so on a part of their outcomes alone, the derivative in α carries
    the square of a rounding.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` and ``"alpha"``. Where an entry is 0 the derivative is the right one
    if that is finite (α > 1) and 0 else; in columns of zeros it is 0.

    References
    ----------
    S. Arimoto, "Information measures and capacity of order α for discrete memoryless channels", Topics in Information
    Theory, 1977, pp. 41–52; S. Fehr and S. Berens, "On the conditional Rényi entropy", IEEE Transactions on Information
    Theory 60 (2014), pp. 6801–6810.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> joint = np.asarray([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
    >>> for alpha in (0, 1, math.inf):
    ...     print(alpha, round(float(renyi.conditional_entropy(joint, alpha, base=2)), 6))
    0 1.0
    1 0.5
    inf 0.415037
    """
    arguments = _prepare(joint, alpha, base, keepdims)
    return Quantity(arguments, CONDITIONAL_ENTROPY, (joint,), {}, alpha)  # type: ignore[return-value]


def _of_information(joint: Any, alpha: Any, kind: Kind, base: Any, keepdims: bool) -> Any:
    arguments = _prepare(joint, alpha, base, keepdims)
    _check_kind(kind, arguments)
    return Quantity(arguments, INFORMATION, (joint,), {"kind": kind}, alpha)


def _prepare(joint: Any, alpha: Any, base: Any, keepdims: bool) -> Arguments:
    floating(joint, "joint")
    rectangular(joint, "joint")
    shape = tuple(joint.shape)
    if len(shape) < 2 or 0 in shape[-2:]:
        msg = f"`joint` must have shape (..., X, Y) with X, Y >= 1, got {shape}"
        raise ValueError(msg)
    return prepare(joint, alpha, name="joint", axis=AXES, where=None, base=base, keepdims=keepdims)


def _check_kind(kind: Any, arguments: Arguments) -> None:
    check_choice(kind, "kind", get_args(Kind))
    order = arguments.order
    if kind == "csiszar" and order.static and not LEAST <= order.alpha <= LARGEST:
        msg = f"`alpha` must be from {LEAST} to {LARGEST} for the kind 'csiszar', got {order.alpha!r}"
        raise ValueError(msg)
