"""Entropies of beta, gamma and Dirichlet densities."""

from __future__ import annotations

from typing import Any

from ._arrays import prepare, prepare_parameters, rectangular
from ._kernels.dirichlet import BETA, DIRICHLET, GAMMA
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["beta_entropy", "dirichlet_entropy", "gamma_entropy"]


@quantity(0, 1, "alpha")
def beta_entropy(a: ArrayOf[ArrayT], b: ArrayOf[Any], /, alpha: Alpha, *, base: float | None = None) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of the beta density x^(a−1)(1 − x)^(b−1)/B(a, b), 0 < x < 1.

    .. math:: H_\alpha = \frac{1}{1 - \alpha} \log \frac{B(\alpha (a - 1) + 1, \alpha (b - 1) + 1)}{B(a, b)^\alpha}

    α = 0 is 0, the logarithm of the interval's length, α → 1 the differential entropy, α = ∞ minus the logarithm of the
    largest density. H never increases with α and is at most 0, that of a = b = 1. Where a or b is at most 1 − 1/α the
    integral of f^α diverges, and H is −inf: the density grows without bound.

    Parameters
    ----------
    a, b : array
        The parameters, > 0, of one real floating-point dtype, of shapes that broadcast to (...).
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``a``; NaN where a parameter is not positive and
        finite.

    Raises
    ------
    TypeError
        If a parameter is not an array of a real floating-point dtype, their dtypes or libraries differ, or ``alpha`` is
        complex.
    ValueError
        If ``alpha`` is negative or NaN, shapes do not broadcast, or ``base`` is not positive or is 1.

    See Also
    --------
    dirichlet_entropy : Of more than two shares.
    gamma_entropy : On the positive numbers.
    uniform_entropy : With a = b = 1, on any interval.

    Notes
    -----
    Against 330 digits of mpmath, for parameters from 1e-100 to 1e100 and orders 0, 1e-10 to 1e15 and ∞, 1 ± 1e-12 among
    them, the error is within 64 units in the last place of the dtype of the result or of 1 if that is larger; so are
    that of ∂/∂α of itself, and that of the gradient of its norm. Nothing is divided by α − 1. Close to
    where H becomes −inf the rounding of α itself counts.

    On an interval of another length add its logarithm. ``grad`` and ``value_and_grad`` take ``wrt=0``, ``1`` and
    ``"alpha"``; where H is −inf they give NaN.

    References
    ----------
    M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate continuous
    distributions", Information Sciences 249 (2013), pp. 124–131; A. Rényi, "On measures of entropy and information",
    1961, for the entropy.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> a, b = np.asarray([2.0, 1.0, 0.5]), np.asarray([5.0, 1.0, 0.5])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, np.round(renyi.beta_entropy(a, b, alpha), 6))
    0.5 [-0.361546  0.       -0.090042]
    1 [-0.484531  0.       -0.241564]
    2 [-0.597837  0.            -inf]
    inf [-0.899185  0.            -inf]
    """
    arguments, arrays = prepare_parameters((a, b), alpha, names=("a", "b"), base=base)
    found: Any = Quantity(arguments, BETA, arrays, {}, alpha)
    return found


@quantity(0, 1, "alpha")
def gamma_entropy(
    concentration: ArrayOf[ArrayT], rate: ArrayOf[Any], /, alpha: Alpha, *, base: float | None = None
) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of the gamma density λ^k x^(k−1) exp(−λx)/Γ(k), x > 0.

    .. math:: H_\alpha = \frac{1}{1 - \alpha} \log \frac{\Gamma(\alpha (k - 1) + 1)}
        {\Gamma(k)^\alpha \alpha^{\alpha (k - 1) + 1}} - \log \lambda

    α = 0 is +inf, α → 1 the differential entropy, α = ∞ minus the logarithm of the largest density. Where k is at most
    1 − 1/α the integral of f^α diverges, and H is −inf: the density grows without bound.

    Parameters
    ----------
    concentration, rate : array
        The shape k and the rate λ (one over the scale), > 0, as those of torch.distributions.Gamma: of one real
        floating-point dtype, of shapes that broadcast to (...). χ² of ν degrees of freedom is k = ν/2, λ = 1/2.
    alpha, base
        See :func:`beta_entropy`.

    Returns
    -------
    array
        See :func:`beta_entropy`.

    Raises
    ------
    TypeError, ValueError
        See :func:`beta_entropy`.

    See Also
    --------
    exponential_entropy : With k = 1.
    beta_entropy : On an interval.

    Notes
    -----
    As exact as :func:`beta_entropy`, and measured with it. ``grad`` and ``value_and_grad`` take ``wrt=0``, ``1`` and
    ``"alpha"``; where H is −inf they give NaN.

    References
    ----------
    As :func:`beta_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> k, rate = np.asarray([0.75, 1.0, 100.0]), np.asarray(2.0)
    >>> for alpha in (0.5, 1, 2):
    ...     print(alpha, np.round(renyi.gamma_entropy(k, rate, alpha), 6))
    0.5 [0.488297 0.693147 3.219024]
    1 [-0.011331  0.306853  3.025035]
    2 [-0.512377  0.        2.871187]
    """
    arguments, arrays = prepare_parameters((concentration, rate), alpha, names=("concentration", "rate"), base=base)
    found: Any = Quantity(arguments, GAMMA, arrays, {}, alpha)
    return found


@quantity(0, "alpha")
def dirichlet_entropy(
    concentration: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of the Dirichlet density Π x_i^(a_i−1)/B(a), Σ x_i = 1.

    .. math:: H_\alpha = \frac{1}{1 - \alpha} \log \frac{B(\alpha (a - 1) + 1)}{B(a)^\alpha}, \qquad
        B(a) = \frac{\prod_i \Gamma(a_i)}{\Gamma(\sum_i a_i)}

    The density is one of the first n − 1 shares. α = 0 is −log (n − 1)!, the logarithm of the simplex's volume, α → 1
    the differential entropy, α = ∞ minus the logarithm of the largest density. H never increases with α, and is largest
    where all a_i are 1. Where one is at most 1 − 1/α the integral of f^α diverges, and H is −inf.

    Parameters
    ----------
    concentration : array
        The concentrations a_i > 0 along ``axis``, of a real floating-point dtype.
    alpha, axis, base, keepdims
        As in :func:`entropy`.

    Returns
    -------
    array
        The entropies, of the dtype, library and device of ``concentration``; NaN where one of a density is not positive
        and finite, or their sum is not finite.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    beta_entropy : Of two.
    entropy : Of a distribution, as a draw of this density is one.

    Notes
    -----
    As exact as :func:`beta_entropy`, next to n if that is larger. ``grad`` and ``value_and_grad`` take ``wrt=0`` and
    ``"alpha"``; where H is −inf they give NaN.

    References
    ----------
    A. Rényi, "On measures of entropy and information", 1961, for the entropy.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> a = np.asarray([[1.0, 1.0, 1.0], [2.0, 3.0, 5.0]])
    >>> for alpha in (0, 1, 2):
    ...     print(alpha, np.round(renyi.dirichlet_entropy(a, alpha), 6))
    0 [-0.693147 -0.693147]
    1 [-0.693147 -1.461182]
    2 [-0.693147 -1.665197]
    """
    options: dict[str, Any] = {"axis": axis, "where": None, "base": base, "keepdims": keepdims}
    arguments = prepare(concentration, alpha, name="concentration", **options)
    rectangular(concentration, "concentration", arguments.axis)
    found: Any = Quantity(arguments, DIRICHLET, (concentration,), {}, alpha)
    return found
