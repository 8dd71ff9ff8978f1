"""Entropies estimated from counts, and from the log-densities of samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ._arrays import counted, prepare, rectangular
from ._kernels import estimators as kernels
from ._kernels.sources import accumulate
from ._kernels.state import Order
from ._numbers import check_choice, is_number
from ._quantity import Quantity, in_base, quantity
from ._quiet import quiet
from ._typing import Alpha, ArrayOf, ArrayT
from .entropy import entropy
from .gradients import value_and_grad

Array = Any

__all__ = ["EntropyEstimate", "entropy_from_counts", "entropy_from_log_prob"]


class EntropyEstimate(NamedTuple):
    """An estimate of an entropy and its standard error.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> renyi.entropy_from_counts(np.asarray([8, 8]), 2).value.shape
    ()
    """

    value: Array
    standard_error: Array


@quiet
def entropy_from_counts(
    counts: ArrayOf[Any],
    /,
    alpha: float,
    *,
    estimator: str = "plug-in",
    axis: int = -1,
    base: float | None = None,
) -> EntropyEstimate:
    r"""Return the Rényi entropy of order α of a distribution that was drawn from, by how often each outcome was seen.

    Parameters
    ----------
    counts : array
        The number of draws of each outcome, N in all, of an integer or a real floating-point dtype. Integers are taken
        to the library's default floating-point dtype.
    alpha : float
        The order, ≥ 0, a number.
    estimator : {"plug-in", "bias-corrected", "unbiased"}, default "plug-in"
        ``"plug-in"``: the entropy of the frequencies, of a bias of order 1/N. ``"bias-corrected"``: less the term of
        order 1/N of that bias, in frequencies; at α = 1 it adds (seen outcomes − 1)/2N. α = ∞ has none.
        ``"unbiased"``: minus the logarithm of the unbiased estimate of Σ p^α over α − 1, for an integer α ≥ 2.
    axis : int, default -1
        The axis along which the outcomes lie.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    EntropyEstimate
        ``value`` and ``standard_error``, without the axis. The error is that of the delta method to first order, which
        is 0 for equal frequencies.

    Raises
    ------
    TypeError
        If ``counts`` is not an array of a real dtype, or ``alpha`` is not a real number.
    ValueError
        If ``estimator`` is not one of the three or does not have this ``alpha``, ``alpha`` is negative or NaN, ``axis``
        is out of range, or ``base`` is not positive or is 1.

    See Also
    --------
    entropy : Of known probabilities.
    hill_number : As an effective number of outcomes.
    entropy_from_log_prob : From densities of samples.

    Notes
    -----
    The power sum is what ``"unbiased"`` has no bias of; its logarithm has one of order 1/N. No outcome seen α times
    makes it +inf, fewer than α draws NaN.

    References
    ----------
    J. Acharya, A. Orlitsky, A. T. Suresh and H. Tyagi, "Estimating Rényi entropy of discrete distributions", IEEE
    Transactions on Information Theory 63 (2017), section II; G. A. Miller, "Note on the bias of information estimates",
    1955, for the correction at α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> counts = np.asarray([6, 3, 1])
    >>> for estimator in ("plug-in", "bias-corrected", "unbiased"):
    ...     value, error = renyi.entropy_from_counts(counts, 2, estimator=estimator)
    ...     print(estimator, round(float(value), 6), round(float(error), 6))
    plug-in 0.776529 0.247483
    bias-corrected 0.863296 0.247483
    unbiased 0.916291 0.247483
    """
    check_choice(estimator, "estimator", ("plug-in", "bias-corrected", "unbiased"))
    counts = counted(counts, "counts")
    arguments = prepare(counts, alpha, name="counts", axis=axis, where=None, base=base, keepdims=True)
    xp, order = arguments.xp, arguments.order
    if not is_number(alpha):
        msg = f"`alpha` must be a number, got {type(alpha).__name__}"
        raise TypeError(msg)
    if not order.static:
        # a number that torch.compile traces
        order = Order(alpha, alpha - 1.0)
    if estimator == "unbiased" and not (order.alpha >= 2 and order.alpha == math.floor(min(order.alpha, 1e3))):
        msg = f"`estimator='unbiased'` needs an integer `alpha` from 2 to 1000, got {alpha!r}"
        raise ValueError(msg)
    if estimator == "bias-corrected" and order.alpha == math.inf:
        msg = "`estimator='bias-corrected'` needs a finite `alpha`, got inf"
        raise ValueError(msg)
    if len(arguments.axis) != 1:
        msg = f"`axis` must be one axis, got {axis!r}"
        raise ValueError(msg)
    along = arguments.axis[0]
    counts = accumulate(counts, xp=xp)
    draws = xp.sum(counts, axis=along, keepdims=True)
    value, slope = value_and_grad(entropy)(counts, alpha, axis=along, keepdims=True)
    # ∂H/∂p of a draw, whose mean is 0
    variance = xp.sum(counts * slope * slope, axis=along, keepdims=True)
    if estimator == "bias-corrected":
        ratio = kernels.power_sum_ratio(counts, order.alpha, axis=along, xp=xp)
        draws = xp.where(draws > 0, draws, 1.0)
        value = value + order.alpha * (ratio - 1) / (2 * draws) - order.t * variance / 2
    elif estimator == "unbiased":
        total = kernels.falling_power_sum(counts, int(order.alpha), axis=along, xp=xp)
        seen = ~(total <= 0)
        unbiased = xp.where(seen, 0.0 - xp.log(xp.where(seen, total, 1.0)) / order.t, math.inf)
        value = xp.where(xp.isnan(value), math.nan, unbiased)
    arguments = arguments._replace(keepdims=False)
    return EntropyEstimate(*(arguments.rows(in_base(part, arguments)) for part in (value, xp.sqrt(variance))))


@quantity(0, "alpha")
def entropy_from_log_prob(
    log_prob: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Rényi entropy of order α, estimated from log-densities (or log-probabilities) of its own samples.

    .. math:: \hat H_\alpha = \frac{1}{1 - \alpha} \log \frac{1}{N} \sum_{k=1}^{N} f(x_k)^{\alpha - 1}

    α → 1 is minus the mean of log f, α = ∞ minus its largest value.

    Parameters
    ----------
    log_prob : array
        log f(x) at N independent samples x from f, along ``axis``, of a real floating-point dtype.
    where : array of bool, optional
        Broadcasts to ``log_prob``; samples where it is False are left out, whatever stands there: N is the number of
        the others, and a row without one gives NaN.
    alpha, axis, base, keepdims
        As in :func:`entropy`.

    Returns
    -------
    array
        The estimates, of the dtype, library and device of ``log_prob``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    entropy_from_counts : From counts.
    particle_entropy : Where no density is known.
    regularizers.SampledEntropyBonus : As a term of a loss.

    Notes
    -----
    The bias is of order 1/N but at α = 1: half the variance of f^{α−1} over the square of its mean, over N(α − 1). One
    sample per distribution gives Shannon's estimate −log f, whatever α. It does not overflow, and is exact through
    α = 1: within 16 units in the last place of the largest log-density.

    ``grad`` and ``value_and_grad`` take ``wrt=0`` and ``"alpha"``. Where samples are x = g(noise) and log f is a
    function of the parameters through both, that gradient times the derivative of log f(x) is the pathwise gradient,
    and automatic differentiation gives it.

    References
    ----------
    A. Rényi, "On measures of entropy and information", 1961, for the entropy, as the mean of f^{α−1} under f.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> x = np.random.default_rng(0).normal(size=100_000)
    >>> log_prob = -x * x / 2 - np.log(2 * np.pi) / 2
    >>> estimate = renyi.entropy_from_log_prob(log_prob, 2)
    >>> print(round(float(estimate), 2), round(float(renyi.gaussian_entropy(np.ones((1, 1)), 2)), 2))
    1.27 1.27
    """
    arguments = prepare(log_prob, alpha, name="log_prob", axis=axis, where=where, base=base, keepdims=keepdims)
    rectangular(log_prob, "log_prob", arguments.axis)
    found: Any = Quantity(arguments, kernels.FROM_LOG_PROB, (log_prob,), {}, alpha)
    return found
