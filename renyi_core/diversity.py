"""The diversity of samples, from kernel matrices of their similarities."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ._arrays import Problem, floating, identity, prepare_parameters
from ._dispatch import dispatch
from ._evaluate import finished, in_base
from ._kernels import diversity as kernels
from ._kernels.measures import ENTROPY, HILL, Measure
from ._kernels.row_blocks import by_rows
from ._quiet import quiet
from ._rules import Rule, register_rule
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["gram_entropy", "gram_joint_entropy", "gram_mutual_information", "vendi_score"]


@quiet
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
        the library has no ``linalg.eigvalsh``, as Dask has not, and the order is not the number 2.
    ValueError
        If ``gram`` has not the shape of square matrices, ``alpha`` is a negative number or NaN, or ``base`` is not
        positive or is 1.

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
    return _evaluate(_prepare((gram,), alpha, base), ENTROPY)


@quiet
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
    return _evaluate(_prepare((gram,), alpha, None), HILL)


@quiet
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
    return _evaluate(_prepare((gram_x, gram_y), alpha, base), ENTROPY)


@quiet
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
    prepared = _prepare((gram_x, gram_y), alpha, base)
    problem, arrays = prepared
    kernel = by_pairs(kernels.gram_entropy, problem.xp)
    parts = [kernel(x, problem.order, measure=ENTROPY) for x in (*arrays, prepared.product())]
    return problem.rows(in_base(parts[0] + parts[1] - parts[2], problem))


class Prepared(NamedTuple):
    """The checked arguments of one call, the matrices in the dtype that they are summed in."""

    problem: Problem
    arrays: tuple[Array, ...]

    def product(self) -> Array:
        """Return the Hadamard product of the matrices."""
        if len(self.arrays) == 1:
            return self.arrays[0]
        (x, y), xp = self.arrays, self.problem.xp
        sound = xp.all(xp.isfinite(x) & xp.isfinite(y), axis=(-2, -1))[..., None, None]
        return xp.where(sound, xp.where(sound, x, 0.0) * xp.where(sound, y, 0.0), math.nan)


def by_pairs(kernel: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """Return the kernel for arrays of a library, which tells it how to go through all pairs of rows."""
    return functools.partial(dispatch(kernel, xp), rows=dispatch(by_rows, xp), xp=xp)


def check_eigenvalues(problem: Problem, *, needed: bool) -> None:
    """Raise TypeError if eigenvalues are needed and the library has none."""
    if needed and not hasattr(getattr(problem.xp, "linalg", None), "eigvalsh"):
        msg = f"`alpha` other than the number 2 needs eigenvalues, which {problem.xp.__name__} does not have"
        raise TypeError(msg)


def _prepare(grams: tuple[Array, ...], alpha: Any, base: Any, *, slope: bool = False) -> Prepared:
    """Check the arguments; ``slope``: for the derivative with respect to α, which takes eigenvalues at any order."""
    names = ("gram",) if len(grams) == 1 else ("gram_x", "gram_y")
    for gram, name in zip(grams, names, strict=True):
        floating(gram, name)
        shape = tuple(gram.shape)
        if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
            msg = f"`{name}` must have the shape (..., N, N) of square matrices, got {shape}"
            raise ValueError(msg)
    problem, arrays = prepare_parameters(grams, alpha, names=names, trailing=(2,) * len(grams), base=base)
    if arrays[0].shape[-1] != arrays[-1].shape[-1]:
        msg = f"`gram_y` of shape {tuple(arrays[1].shape)} has not the {arrays[0].shape[-1]} samples of `gram_x`"
        raise ValueError(msg)
    check_eigenvalues(problem, needed=slope or kernels.needs_eigenvalues(problem.order))
    return Prepared(problem, arrays)


def _evaluate(prepared: Prepared, measure: Measure) -> Array:
    problem = prepared.problem
    value = by_pairs(kernels.gram_entropy, problem.xp)(prepared.product(), problem.order, measure=measure)
    return problem.rows(in_base(value, problem))


def gram_gradient(problem: Problem, gram: Array, measure: Measure) -> tuple[Array, Array]:
    """Return the measure of each matrix and its derivative with respect to the matrix."""
    unit = identity(gram.shape[-1], gram, problem.xp)
    both: tuple[Array, Array] = by_pairs(kernels.gram_entropy_and_gradient, problem.xp)(
        gram, problem.order, measure=measure, unit=unit
    )
    return both


def gram_slope(problem: Problem, gram: Array, measure: Measure) -> tuple[Array, Array]:
    """Return the measure of each matrix and its derivative with respect to α."""
    both = dispatch(kernels.gram_entropy_and_alpha_gradient, problem.xp)
    return both(gram, problem.order, measure=measure, xp=problem.xp)


def _differentiate(
    wrt: int | str, cotangent: Any, grams: tuple[Array, ...], alpha: Any, base: Any, measure: Measure
) -> tuple[Array, Array]:
    """Return the measure of the Hadamard product, and its derivative with respect to a factor or to α."""
    prepared = _prepare(grams, alpha, base, slope=wrt == "alpha")
    problem = prepared.problem
    if wrt == "alpha":
        both = gram_slope(problem, prepared.product(), measure)
        return finished(problem, *both, cotangent, tuple(getattr(alpha, "shape", ())), 0)
    value, gradient = gram_gradient(problem, prepared.product(), measure)
    if len(grams) == 2:
        gradient = gradient * prepared.arrays[1 - int(wrt)]
    return finished(problem, value, gradient, cotangent, tuple(grams[int(wrt)].shape), 2)


def _of_entropy(wrt: int | str, cotangent: Any, gram: Array, /, alpha: Any, *, base: Any = None) -> tuple[Array, Array]:
    return _differentiate(wrt, cotangent, (gram,), alpha, base, ENTROPY)


def _of_score(wrt: int | str, cotangent: Any, gram: Array, /, alpha: Any = 1.0) -> tuple[Array, Array]:
    return _differentiate(wrt, cotangent, (gram,), alpha, None, HILL)


def _of_joint(
    wrt: int | str, cotangent: Any, gram_x: Array, gram_y: Array, /, alpha: Any, *, base: Any = None
) -> tuple[Array, Array]:
    return _differentiate(wrt, cotangent, (gram_x, gram_y), alpha, base, ENTROPY)


def _of_information(
    wrt: int | str, cotangent: Any, gram_x: Array, gram_y: Array, /, alpha: Any, *, base: Any = None
) -> tuple[Array, Array]:
    prepared = _prepare((gram_x, gram_y), alpha, base, slope=wrt == "alpha")
    problem, arrays = prepared
    product = prepared.product()
    if wrt == "alpha":
        parts = [gram_slope(problem, x, ENTROPY) for x in (*arrays, product)]
        value, gradient = (one + other - joint for one, other, joint in zip(*parts, strict=True))
        return finished(problem, value, gradient, cotangent, tuple(getattr(alpha, "shape", ())), 0)
    own, other = arrays[int(wrt)], arrays[1 - int(wrt)]
    value, gradient = gram_gradient(problem, own, ENTROPY)
    joint, joint_gradient = gram_gradient(problem, product, ENTROPY)
    value = value + by_pairs(kernels.gram_entropy, problem.xp)(other, problem.order, measure=ENTROPY) - joint
    gradient = gradient - joint_gradient * other
    return finished(problem, value, gradient, cotangent, tuple((gram_x, gram_y)[int(wrt)].shape), 2)


register_rule(gram_entropy, Rule((0, "alpha"), _of_entropy))
register_rule(vendi_score, Rule((0, "alpha"), _of_score))
register_rule(gram_joint_entropy, Rule((0, 1, "alpha"), _of_joint))
register_rule(gram_mutual_information, Rule((0, 1, "alpha"), _of_information))
