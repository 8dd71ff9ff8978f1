"""Entropies of densities that a scale alone gives: Laplace, exponential, uniform."""

from __future__ import annotations

from typing import Any

from ._arrays import prepare_parameters
from ._kernels.densities import SCALE_ENTROPY
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["exponential_entropy", "laplace_entropy", "uniform_entropy"]

_LAPLACE = {"factor": 2.0, "shape": 1.0}
_EXPONENTIAL = {"factor": 1.0, "shape": 1.0}
_UNIFORM = {"factor": 1.0, "shape": 0.0}


@quantity(0, "alpha")
def laplace_entropy(scale: ArrayOf[ArrayT], /, alpha: Alpha, *, base: float | None = None) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of the Laplace density exp(−\|x − μ\|/b)/2b.

    .. math:: H_\alpha = \log 2 b + \frac{\log \alpha}{\alpha - 1}

    α = 0 is +inf, α → 1 the differential entropy 1 + log 2b, α = ∞ log 2b, minus the logarithm of the largest density.

    Parameters
    ----------
    scale : array
        The scale b > 0, of a real floating-point dtype, shape (...).
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``scale``; NaN where a scale is not positive and
        finite.

    Raises
    ------
    TypeError
        If ``scale`` is not an array of a real floating-point dtype, or ``alpha`` is complex.
    ValueError
        If ``alpha`` is negative or NaN, shapes do not broadcast, or ``base`` is not positive or is 1.

    See Also
    --------
    exponential_entropy : Of one side.
    uniform_entropy : Of a flat top.
    gaussian_entropy : Of a Gaussian.

    Notes
    -----
    The error is a few units in the last place of the larger of the two terms. ``grad`` and ``value_and_grad`` take
    ``wrt=0`` and ``"alpha"``. Independent dimensions add up: sum the result over them.

    References
    ----------
    M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate continuous
    distributions", Information Sciences 249 (2013), pp. 124–131.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.laplace_entropy(np.asarray(0.5), alpha)), 6))
    0.5 1.386294
    1 1.0
    2 0.693147
    inf 0.0
    """
    return _of_scale(scale, alpha, base, "scale", _LAPLACE)


@quantity(0, "alpha")
def exponential_entropy(scale: ArrayOf[ArrayT], /, alpha: Alpha, *, base: float | None = None) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of the exponential density exp(−x/b)/b, x > 0.

    .. math:: H_\alpha = \log b + \frac{\log \alpha}{\alpha - 1}

    α = 0 is +inf, α → 1 the differential entropy 1 + log b, α = ∞ log b.

    Parameters
    ----------
    scale : array
        The mean b > 0, one over the rate, of a real floating-point dtype, shape (...).
    alpha, base
        See :func:`laplace_entropy`.

    Returns
    -------
    array
        See :func:`laplace_entropy`.

    Raises
    ------
    TypeError, ValueError
        See :func:`laplace_entropy`.

    See Also
    --------
    laplace_entropy : Of both sides.
    uniform_entropy : Of a flat top.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(round(float(renyi.exponential_entropy(np.asarray(2.0), 2)), 6))
    1.386294
    """
    return _of_scale(scale, alpha, base, "scale", _EXPONENTIAL)


@quantity(0, "alpha")
def uniform_entropy(width: ArrayOf[ArrayT], /, alpha: Alpha, *, base: float | None = None) -> ArrayT:
    """Return the differential Rényi entropy of the uniform density on an interval, the logarithm of its width.

    It is the same at every order, and the largest that a density on the interval has.

    Parameters
    ----------
    width : array
        The width of the interval, > 0, of a real floating-point dtype, shape (...).
    alpha, base
        See :func:`laplace_entropy`.

    Returns
    -------
    array
        See :func:`laplace_entropy`.

    Raises
    ------
    TypeError, ValueError
        See :func:`laplace_entropy`.

    See Also
    --------
    laplace_entropy : With a tail.
    gaussian_entropy : Of a Gaussian.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(float(renyi.uniform_entropy(np.asarray(8.0), 2, base=2)))
    3.0
    """
    return _of_scale(width, alpha, base, "width", _UNIFORM)


def _of_scale(scale: Array, alpha: Any, base: Any, name: str, options: dict[str, float]) -> Any:
    arguments, values = prepare_parameters((scale,), alpha, names=(name,), base=base)
    return Quantity(arguments, SCALE_ENTROPY, values, options, alpha)
