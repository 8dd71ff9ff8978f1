"""Entropies of Gaussians and the divergence of two, from their parameters."""

from __future__ import annotations

from typing import Any

from ._arrays import floating, prepare_parameters
from ._kernels.gaussian import GAUSSIAN_DIVERGENCE, GAUSSIAN_ENTROPY, TRAILING
from ._numbers import check_choice
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["gaussian_divergence", "gaussian_entropy"]


@quantity(0, "alpha")
def gaussian_entropy(
    covariance: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    kind: str = "full",
    dimension: int | None = None,
    base: float | None = None,
) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of Gaussians.

    .. math:: H_\alpha = \frac{d}{2} \log 2 \pi + \frac{1}{2} \log \det \Sigma
        + \frac{d}{2} \frac{\log \alpha}{\alpha - 1}

    α = 0 is +inf, α → 1 the differential entropy d/2 log 2πe + ½ log det Σ, α = ∞ minus the logarithm of the largest
    density.

    Parameters
    ----------
    covariance : array
        Of a real floating-point dtype: matrices, shape (..., d, d), for ``kind="full"``; the variances of independent
        dimensions, shape (..., d), for ``"diagonal"``; the variance that all of ``dimension`` dimensions have, shape
        (...), for ``"isotropic"``.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    kind : {"full", "diagonal", "isotropic"}, default "full"
        What ``covariance`` holds.
    dimension : int, optional
        The number of dimensions d, for ``kind="isotropic"`` alone.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``covariance``.

    Raises
    ------
    TypeError
        If ``covariance`` is not an array of a real floating-point dtype, or ``alpha`` is complex.
    ValueError
        If ``kind`` is not one of the three, ``covariance`` lacks the axes that it needs, ``dimension`` is missing, not
        positive or out of place, ``alpha`` is negative or NaN, or ``base`` is not positive or is 1.

    See Also
    --------
    gaussian_divergence : Of two Gaussians.
    tanh_gaussian_entropy : Of a squashed one.
    regularizers.GaussianEntropyBonus : As a term of a loss.

    Notes
    -----
    Variances that are not positive give NaN. A matrix that is not positive definite has no Cholesky factor: that is a
    ValueError on NumPy, torch and array-api-strict, which say so, and NaN on JAX. Only its lower triangle is read.
    On Dask the ValueError comes when the graph is computed.

    The error is a few units in the last place of the largest of the three terms, plus what the determinant of an
    ill-conditioned matrix loses. ``grad`` and ``value_and_grad`` take ``wrt=0`` and ``"alpha"``; that of a matrix is
    symmetric, Σ⁻¹/2.

    References
    ----------
    M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate continuous
    distributions", Information Sciences 249 (2013), pp. 124–131; T. M. Cover and J. A. Thomas, "Elements of Information
    Theory", 2006, theorem 8.4.1, for α = 1.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> covariance = np.asarray([[2.0, 0.5], [0.5, 1.0]])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.gaussian_entropy(covariance, alpha)), 6))
    0.5 3.503979
    1 3.117685
    2 2.810832
    inf 2.117685
    """
    return _of_one(covariance, alpha, kind, dimension, base)


@quantity(0, 1, 2, 3, "alpha")
def gaussian_divergence(
    mean_p: ArrayOf[ArrayT],
    covariance_p: ArrayOf[Any],
    mean_q: ArrayOf[Any],
    covariance_q: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    kind: str = "full",
    base: float | None = None,
) -> ArrayT:
    r"""Return the Rényi divergence of order α of a Gaussian P from a Gaussian Q.

    .. math:: D_\alpha(P \| Q) = \frac{\alpha}{2} \delta^\top \Sigma_\alpha^{-1} \delta - \frac{1}{2 (\alpha - 1)}
        \log \frac{\det \Sigma_\alpha}{(\det \Sigma_p)^{1 - \alpha} (\det \Sigma_q)^\alpha}, \qquad
        \Sigma_\alpha = \alpha \Sigma_q + (1 - \alpha) \Sigma_p, \quad \delta = \mu_p - \mu_q

    α = 0 is 0, α → 1 the Kullback–Leibler divergence, α = ∞ the logarithm of the largest ratio of the densities. Where
    Σ_α is not positive definite, as it is for large α unless P is the narrower one in every direction, it is +inf.

    Parameters
    ----------
    mean_p, mean_q : array
        Means, shapes (..., d), of one real floating-point dtype.
    covariance_p, covariance_q : array
        Covariance matrices, shapes (..., d, d), for ``kind="full"``; variances of independent dimensions, shapes
        (..., d), for ``"diagonal"``.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    kind : {"full", "diagonal"}, default "full"
        What the covariances hold.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The divergences, shape (...), of the dtype, library and device of ``mean_p``.

    Raises
    ------
    TypeError
        If an argument is not an array of a real floating-point dtype, their dtypes or libraries differ, ``alpha`` is
        complex, or ``kind="full"`` is asked for from a library without ``linalg.eigvalsh``.
    ValueError
        If ``kind`` is neither, shapes do not broadcast or have no common d, ``alpha`` is negative or NaN, or ``base``
        is not positive or is 1.

    See Also
    --------
    gaussian_entropy : Of one Gaussian.
    divergence : Of probabilities.

    Notes
    -----
    No value is read, so that no error is raised where Σ_α is not positive definite. A Σ_q that is not is a ValueError
    on NumPy, torch and array-api-strict, whose Cholesky factorization says so, on Dask when the graph is computed, and
    NaN on JAX; a Σ_p that is not, or variances that are not positive, give NaN.

    The covariances are compared by the eigenvalues of Σ_q^{-1/2}(Σ_p − Σ_q)Σ_q^{-1/2}, in terms of one sign, none of
    which is divided by α − 1: within 64 units in the last place for diagonal ones, the closest included. Full ones add
    the condition number of Σ_q, and an eigenvalue that is small next to the largest has the latter's rounding.

    At α = ∞ a direction in which the two agree, mean and variance, counts for nothing if ``kind="diagonal"``; full
    covariances must be further apart than rounding in every direction, or the means be equal.

    ``grad`` and ``value_and_grad`` take ``wrt=0, 1, 2, 3`` and ``"alpha"``, also for equal covariances; derivatives
    with respect to matrices are symmetric. Where the divergence is +inf they are NaN.

    References
    ----------
    M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate continuous
    distributions", Information Sciences 249 (2013), pp. 124–131, table 2; T. van Erven and P. Harremoës, "Rényi
    divergence and Kullback–Leibler divergence", IEEE Transactions on Information Theory 60 (2014), equation (10).

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> zero, one = np.zeros(2), np.ones(2)
    >>> for alpha in (0.5, 1, 2, 10):
    ...     print(alpha, round(float(renyi.gaussian_divergence(zero, 0.5 * one, one, one, alpha, kind="diagonal")), 6))
    0.5 0.78445
    1 1.193147
    2 1.621015
    10 2.321913
    """
    return _of_pair(mean_p, covariance_p, mean_q, covariance_q, alpha, kind, base)


def _check_axes(x: Array, count: int, name: str) -> None:
    """Raise ValueError unless the last axes are those of vectors or of square matrices."""
    floating(x, name)
    shape = tuple(x.shape)
    if len(shape) < count or 0 in shape[-count:] or (count == 2 and shape[-1] != shape[-2]):
        msg = f"`{name}` must have the shape {'(..., d)' if count == 1 else '(..., d, d)'} of its `kind`, got {shape}"
        raise ValueError(msg)


def _of_one(covariance: Array, alpha: Any, kind: Any, dimension: Any, base: Any) -> Any:
    check_choice(kind, "kind", ("full", "diagonal", "isotropic"))
    trailing = TRAILING[kind]
    if (dimension is None) != (kind != "isotropic"):
        msg = f"`dimension` belongs to `kind='isotropic'` alone, got {dimension!r} for {kind!r}"
        raise ValueError(msg)
    if trailing:
        _check_axes(covariance, trailing, "covariance")
    elif type(dimension) is not int or dimension < 1:
        msg = f"`dimension` must be a positive integer, got {dimension!r}"
        raise ValueError(msg)
    arguments, arrays = prepare_parameters((covariance,), alpha, names=("covariance",), trailing=(trailing,), base=base)
    d = covariance.shape[-1] if trailing else dimension
    return Quantity(arguments, GAUSSIAN_ENTROPY[kind], arrays, {"kind": kind, "dimension": d}, alpha)


_NAMES = ("mean_p", "covariance_p", "mean_q", "covariance_q")


def _of_pair(
    mean_p: Array, covariance_p: Array, mean_q: Array, covariance_q: Array, alpha: Any, kind: Any, base: Any
) -> Any:
    check_choice(kind, "kind", ("full", "diagonal"))
    arrays: tuple[Array, ...] = (mean_p, covariance_p, mean_q, covariance_q)
    trailing = (1, 2, 1, 2) if kind == "full" else (1, 1, 1, 1)
    for x, count, name in zip(arrays, trailing, _NAMES, strict=True):
        _check_axes(x, count, name)
    arguments, arrays = prepare_parameters(arrays, alpha, names=_NAMES, trailing=trailing, base=base)
    d = mean_p.shape[-1]
    for x, name in zip(arrays, _NAMES, strict=True):
        if x.shape[-1] != d:
            msg = f"`{name}` of shape {tuple(x.shape)} has not the {d} dimensions of `mean_p`"
            raise ValueError(msg)
    return Quantity(arguments, GAUSSIAN_DIVERGENCE[kind], arrays, {"kind": kind}, alpha)
