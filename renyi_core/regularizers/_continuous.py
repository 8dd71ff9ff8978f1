"""Terms of continuous policies, and the reward of states seldom visited."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from renyi_core._advice import explained
from renyi_core._arrays import coefficient, counted, prepare, prepare_parameters, rectangular
from renyi_core._kernels.dtypes import cast
from renyi_core._kernels.estimators import FROM_LOG_PROB
from renyi_core._kernels.family import Family
from renyi_core._kernels.sources import accumulate
from renyi_core._kernels.tanh_gaussian import LOG_SCALE, SQUASHED
from renyi_core._numbers import flag
from renyi_core._quiet import quiet
from renyi_core._typing import Alpha, ArrayOf, ArrayT
from renyi_core.entropy import entropy
from renyi_core.gradients import grad

from ._calls import TermCall
from ._term import RowTerm

Array = Any

__all__ = ["GaussianEntropyBonus", "SampledEntropyBonus", "state_entropy_reward"]


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class GaussianEntropyBonus(RowTerm):
    r"""A bonus on the entropy of a Gaussian policy of independent dimensions, −weight · mean H_α.

    .. math:: H_\alpha = \sum_{k=1}^{d} \Bigl(\log \sigma_k + \frac{1}{2} \log 2 \pi
        + \frac{1}{2} \frac{\log \alpha}{\alpha - 1}\Bigr)

    The order adds a constant; of the policy tanh(x) of Soft Actor-Critic, ``squashed=True``, it shapes the density:
    the entropy then depends on the mean as well, and large orders press on the peaks at the bounds.

    Parameters
    ----------
    squashed : bool, default False
        Whether the action is tanh(x) of a Gaussian x, as in :func:`renyi_core.tanh_gaussian_entropy`.
    alpha : float or array, default 1
        The order, > 0: a number (``math.inf`` included), or an array that broadcasts against the rows.
    weight, reduction
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError
        As :class:`EntropyBonus`.
    ValueError
        As :class:`EntropyBonus`; if ``mean`` is missing for ``squashed=True``, or given without it.

    See Also
    --------
    SampledEntropyBonus : From log-densities of samples.
    EntropyBonus : Of discrete actions.
    renyi_core.gaussian_entropy : What it averages.
    renyi_core.tanh_gaussian_entropy : Of squashed actions.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0`` (log σ), for ``squashed=True`` ``1`` (the mean), ``"alpha"`` and
    ``"weight"``. The squashed entropy has the accuracy of :func:`renyi_core.tanh_gaussian_entropy`.

    References
    ----------
    J. Schulman, F. Wolski, P. Dhariwal, A. Radford and O. Klimov, "Proximal policy optimization algorithms", 2017,
    equation (9), for such a bonus; see :func:`renyi_core.gaussian_entropy` for the entropy.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import GaussianEntropyBonus
    >>> log_std, mean = np.asarray([[-1.0, 0.0], [0.0, 0.0]]), np.asarray([[0.0, 0.0], [3.0, 0.0]])
    >>> term = GaussianEntropyBonus(weight=0.01)
    >>> print(f"{term(log_std):.6f}")
    -0.023379
    >>> squashed = GaussianEntropyBonus(squashed=True, weight=0.01)
    >>> squashed
    GaussianEntropyBonus(squashed=True, weight=0.01)
    >>> print(f"{squashed(log_std, mean):.6f}")
    0.007975
    """

    squashed: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        flag(self.squashed, "squashed")

    @property
    def rule(self) -> Any:
        """How :func:`renyi_core.value_and_grad` differentiates the term."""
        rule = super().rule
        return rule._replace(wrt=(0, 1, "alpha", "weight")) if self.squashed else rule

    def __call__(
        self,
        log_std: ArrayOf[ArrayT],
        /,
        mean: ArrayOf[Any] | None = None,
        *,
        axis: int | tuple[int, ...] | None = -1,
        sample_weight: ArrayOf[Any] | None = None,
        alpha: Alpha | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        log_std : array
            log σ of each dimension, shape (..., d), of a real floating-point dtype.
        mean : array, optional
            The mean of x, of a shape that broadcasts with that of ``log_std``, for ``squashed=True`` alone.
        axis : int, tuple of int or None, default -1
            The axis or axes of the dimensions.
        sample_weight, alpha, weight
            As for :class:`EntropyBonus`.

        Returns
        -------
        array
            A scalar, or the values of the rows for ``reduction="none"``; float32 for float16 and bfloat16, else of the
            dtype of ``log_std``.
        """
        options = {"axis": axis, "sample_weight": sample_weight, "alpha": alpha, "weight": weight}
        return self._evaluate(self._checked(log_std, mean, **options))

    def _checked(
        self,
        log_std: Array,
        /,
        mean: Array | None = None,
        *,
        axis: Any = -1,
        sample_weight: Any = None,
        alpha: Any = None,
        weight: Any = None,
    ) -> TermCall:
        if (mean is None) == self.squashed:
            msg = f"`mean` belongs to `squashed=True` alone, got {type(mean).__name__} for {self!r}"
            raise ValueError(msg)
        alpha = self.alpha if alpha is None else alpha
        arrays = (log_std,) if mean is None else (log_std, mean)
        names = ("log_std", "mean")[: len(arrays)]
        if axis == ():
            msg = "`axis` () names no axis of `log_std`"
            raise ValueError(msg)
        arguments, _ = prepare_parameters(arrays, alpha, names=names, axis=axis)
        return self._batch(arguments, arrays, weight=weight, alpha=alpha, sample_weight=sample_weight)

    @property
    def _family(self) -> Family:
        return SQUASHED if self.squashed else LOG_SCALE

    def _arrays(self, batch: TermCall) -> tuple[Array, ...]:
        return tuple(accumulate(x, xp=batch.arguments.xp) for x in batch.arrays)

    _sign: ClassVar[int] = -1


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class SampledEntropyBonus(RowTerm):
    r"""A bonus on the entropy of a policy known by log-densities of its own samples, −weight · mean Ĥ_α.

    Ĥ_α is :func:`renyi_core.entropy_from_log_prob` of the N samples of each row. With samples x = g(noise), and
    log-densities that depend on the parameters through the samples as well, automatic differentiation gives the
    pathwise gradient. One sample for each row gives Shannon's estimate −log f, whatever α.

    Parameters
    ----------
    alpha, weight, reduction
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError, ValueError
        As :class:`EntropyBonus`.

    See Also
    --------
    GaussianEntropyBonus : Of Gaussians, without sampling.
    renyi_core.entropy_from_log_prob : What it averages.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0`` (the log-densities), ``"alpha"`` and ``"weight"``.

    References
    ----------
    T. Haarnoja, A. Zhou, P. Abbeel and S. Levine, "Soft actor-critic: off-policy maximum entropy deep reinforcement
    learning with a stochastic actor", ICML 2018, for α = 1 and one sample.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import SampledEntropyBonus
    >>> term = SampledEntropyBonus(alpha=0.5, weight=0.1)
    >>> term
    SampledEntropyBonus(alpha=0.5, weight=0.1)
    >>> print(f"{term(np.asarray([[-1.0, -2.0, -0.5], [-1.0, -1.0, -1.0]])):.6f}")
    -0.113323
    """

    def __call__(
        self,
        log_prob: ArrayOf[ArrayT],
        /,
        *,
        axis: int | tuple[int, ...] | None = -1,
        where: ArrayOf[Any] | None = None,
        sample_weight: ArrayOf[Any] | None = None,
        alpha: Alpha | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        log_prob : array
            log f(x) of samples x from f, along ``axis``, of a real floating-point dtype.
        axis : int, tuple of int or None, default -1
            The axis or axes of the samples of one distribution.
        where : array of bool, optional
            Broadcasts to ``log_prob``; samples where it is False are left out. A row without a sample has weight 0.
        sample_weight, alpha, weight
            As for :class:`EntropyBonus`; the sample weights are those of the rows.

        Returns
        -------
        array
            A scalar, or the values of the rows for ``reduction="none"``; float32 for float16 and bfloat16, else of the
            dtype of ``log_prob``.
        """
        options = {"axis": axis, "where": where, "sample_weight": sample_weight, "alpha": alpha, "weight": weight}
        return self._evaluate(self._checked(log_prob, **options))

    def _checked(
        self,
        log_prob: Array,
        /,
        *,
        axis: Any = -1,
        where: Any = None,
        sample_weight: Any = None,
        alpha: Any = None,
        weight: Any = None,
    ) -> TermCall:
        alpha = self.alpha if alpha is None else alpha
        arguments = prepare(log_prob, alpha, name="log_prob", axis=axis, where=where, base=None, keepdims=False)
        rectangular(log_prob, "log_prob", arguments.axis)
        return self._batch(arguments, (log_prob,), weight=weight, alpha=alpha, sample_weight=sample_weight)

    _family: ClassVar[Family] = FROM_LOG_PROB
    _sign: ClassVar[int] = -1


@quiet
def state_entropy_reward(
    counts: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    smoothing: float = 0.0,
) -> ArrayT:
    r"""Return the reward of each state that leads to visits of the largest entropy of order α.

    .. math:: r(s) = \frac{\partial H_\alpha}{\partial d(s)}
        = \frac{\alpha}{1 - \alpha} \Bigl(\frac{d(s)^{\alpha - 1}}{\sum_u d(u)^\alpha} - 1\Bigr), \qquad
        d = \frac{\text{counts} + \text{smoothing}}{\sum (\text{counts} + \text{smoothing})}

    α → 1 is −log d(s) − H_1. Its mean under d is 0. Small orders reward the states hardly seen most, α > 1 keeps from
    those seen most; α = 0 is 0 for each, α = ∞ a penalty on the commonest alone. It is what a policy is to maximize
    while the visits are counted anew, not a term of a loss.

    Parameters
    ----------
    counts : array
        How often each state was visited, or for how long, shape (..., n), of an integer or real floating-point dtype.
    alpha : float or array
        The order, ≥ 0: a number or an array that broadcasts against the shape (...).
    axis : int, tuple of int or None, default -1
        The axis or axes of the states.
    where : array of bool, optional
        Broadcasts to ``counts``; states where it is False are left out, and have the reward 0.
    smoothing : float, default 0
        What is added to each count, such as 1.

    Returns
    -------
    array
        The rewards, of the shape of ``counts`` (broadcast with ``alpha``), of its dtype if that is a floating-point
        one, else of the library's default one. A state that was never visited has, without smoothing, the limit: +inf
        for 0 < α ≤ 1. Nothing visited at all is NaN.

    Raises
    ------
    TypeError
        If ``counts`` is not an array of a real dtype, or ``alpha`` or ``smoothing`` is not a real number.
    ValueError
        If ``alpha`` or ``smoothing`` is negative or NaN, or shapes do not fit.

    See Also
    --------
    renyi_core.particle_reward : From distances, without probabilities.
    EntropyBonus : Of actions.

    Notes
    -----
    Within the bounds of :func:`renyi_core.entropy`'s derivative.

    References
    ----------
    E. Hazan, S. Kakade, K. Singh and A. Van Soest, "Provably efficient maximum entropy exploration", ICML 2019, for
    α = 1; C. Zhang, Y. Cai, L. Huang and J. Li, "Exploration by maximizing Rényi entropy for reward-free RL framework",
    AAAI 2021, for 0 < α < 1.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import state_entropy_reward
    >>> counts = np.asarray([4, 2, 1, 1])
    >>> print(np.round(state_entropy_reward(counts, 0.5), 6))
    [-0.261204  0.044815  0.477592  0.477592]
    >>> print(np.round(state_entropy_reward(np.asarray([4, 2, 1, 0]), 0.5, smoothing=1), 6))
    [-0.229224 -0.004932  0.218704  0.723508]
    """
    added = coefficient(smoothing, "smoothing")
    if added is None:
        msg = f"`smoothing` must be a number, got {type(smoothing).__name__}"
        raise TypeError(msg)
    counts = counted(counts, "counts")
    arguments = prepare(counts, alpha, name="counts", axis=axis, where=where, base=None, keepdims=False)
    xp, order = arguments.xp, arguments.order
    values = accumulate(counts, xp=xp) + added
    if where is not None:
        values = xp.where(where, values, 0.0)
    total = xp.sum(values, axis=arguments.axis, keepdims=True)
    density = values / xp.where(total > 0, total, math.nan)
    reward = grad(entropy)(density, alpha, axis=arguments.axis, where=where)
    # the derivative of the entropy keeps outcomes of probability 0 out
    steep = 0 < order.alpha <= 1 if order.static else (order.alpha > 0) & (order.t <= 0)
    unseen = (density == 0) & steep
    if where is not None:
        unseen = unseen & where
    return cast(xp.where(unseen, math.inf, reward), arguments.x.dtype, xp)
