"""The entropy of a squashed Gaussian, the policy of Soft Actor-Critic."""

from __future__ import annotations

from typing import Any

from ._arrays import prepare_parameters
from ._kernels.tanh_gaussian import TANH_GAUSSIAN
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["tanh_gaussian_entropy"]


@quantity(0, 1, "alpha")
def tanh_gaussian_entropy(
    mean: ArrayOf[ArrayT],
    scale: ArrayOf[Any],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = (),
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the differential Rényi entropy of order α of y = tanh(x), where x is Gaussian.

    .. math:: H_\alpha = \frac{1}{1 - \alpha} \log \int_{-1}^{1} f(y)^\alpha \, dy, \qquad
        f(\tanh x) = \frac{1}{\sigma \sqrt{2 \pi}} e^{-(x - \mu)^2 / 2 \sigma^2} \cosh^2 x

    No samples are drawn: estimates from samples have a bias of the order of one over their number. α = 0 is log 2, the
    length of the support, α → 1 the differential entropy, α = ∞ minus the logarithm of the largest density.
    H never increases with α, is at most log 2, and may be negative.

    Parameters
    ----------
    mean, scale : array
        Mean μ and standard deviation σ of x before it is squashed, for each dimension, of one real floating-point
        dtype, of shapes that broadcast. Where the scale is not positive or either is not finite, the result is NaN.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    axis : int, tuple of int or None, default ()
        The axis or axes of independent dimensions, whose entropies add up: −1 for policies of shape (..., d), None for
        all axes, () for none, which gives the entropy of each dimension.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    keepdims : bool, default False
        Whether the axes summed over stay, with length 1.

    Returns
    -------
    array
        The entropies, of the dtype, library and device of ``mean``.

    Raises
    ------
    TypeError
        If ``mean`` or ``scale`` is not an array of a real floating-point dtype, their dtypes or libraries differ, or
        ``alpha`` is complex.
    ValueError
        If ``alpha`` is a negative number or NaN, shapes do not broadcast, ``axis`` is out of range, or ``base`` is not
        positive or is 1.

    See Also
    --------
    gaussian_entropy : Before the squashing.
    entropy_from_log_prob : From samples of any density.
    regularizers.GaussianEntropyBonus : As a term of a loss.

    Notes
    -----
    Gauss–Legendre quadrature of 128 nodes (64 in float32) on the part of the line x > 0 that matters; memory and time
    are those of an array with so many entries for each dimension.

    Measured against 40 digits, for means in [−5, 5], scales in [0.01, 5] and orders in [0.1, 20], 1 ± 1e-12 and ∞, the
    error is within 16 units in the last place of the dtype (32 for ∂/∂α) of the result or of 1 if that is larger, and
    of 1/σ for ∂/∂σ. Values keep it up to scales of 20; beyond, the error grows near α = 1: 3e-10 for a scale of 50
    and α = 0.8. Below α = 0.1, ∂/∂α loses digits like 1/α. Where σ² = 1/2 and μ = 0 one mode of the density becomes
    two: next to that point the derivatives at α = ∞ have half the digits.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` (mean), ``1`` (scale) and ``"alpha"``.

    References
    ----------
    T. Haarnoja, A. Zhou, P. Abbeel and S. Levine, "Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement
    Learning with a Stochastic Actor", ICML 2018, appendix C, equation (21), for the density; A. Rényi, "On measures of
    entropy and information", 1961, for the entropy.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> mean, scale = np.asarray([1.0, 0.0]), np.asarray([1.0, 0.5])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, np.round(renyi.tanh_gaussian_entropy(mean, scale, alpha), 6))
    0.5 [0.408672 0.557024]
    1 [0.0926   0.499967]
    2 [-0.459636  0.439573]
    inf [-1.699768  0.225791]
    >>> print(round(float(renyi.tanh_gaussian_entropy(mean, scale, 2, axis=-1)), 6))
    -0.020064
    """
    given: dict[str, Any] = {"axis": axis, "base": base, "keepdims": keepdims}
    arguments, arrays = prepare_parameters((mean, scale), alpha, names=("mean", "scale"), **given)
    found: Any = Quantity(arguments, TANH_GAUSSIAN, arrays, {}, alpha)
    return found
