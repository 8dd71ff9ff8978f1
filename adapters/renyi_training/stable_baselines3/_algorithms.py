"""PPO, A2C and SAC, and what they share with the algorithms of sb3-contrib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common import distributions as sb3

from renyi_core._numbers import finite, number
from renyi_core.schedules import TargetEntropy, _Schedule

from ._entropies import MinusEntropy, PlusEntropy, replaced, squashes

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm as Base
else:
    Base = object


class _Order(Base):
    """What the algorithms share: α, a number or a schedule, in a distribution that knows it."""

    alpha: Any
    _mixin: type

    def __init__(self, *args: Any, alpha: Any = 1.0, **options: Any) -> None:
        self.alpha = alpha
        super().__init__(*args, **options)

    def _setup_model(self) -> None:
        super()._setup_model()
        owner = self._owner()
        owner.action_dist = replaced(getattr(owner, "action_dist", None), self._mixin)
        for order in _ends(self.alpha):
            self._check_order(order)

    def _owner(self) -> Any:
        """Return the module that holds the action distribution."""
        return self.policy

    def _check_order(self, order: Any) -> float:
        checked = number(order, "alpha")
        if not checked >= 0:
            msg = f"`alpha` must be >= 0, got {order!r}"
            raise ValueError(msg)
        kind = self._owner().action_dist
        gaussian = isinstance(kind, (sb3.DiagGaussianDistribution, sb3.StateDependentNoiseDistribution))
        if checked == 0 and gaussian and not squashes(kind):
            msg = "`alpha` must be > 0 for Gaussian actions, whose entropy of order 0 is infinite"
            raise ValueError(msg)
        return checked

    def _set_order(self) -> None:
        order = self._check_order(_current(self.alpha, self))
        self._owner().action_dist.alpha = order
        self.logger.record("train/alpha", order)


def _current(setting: Any, model: Any) -> Any:
    """Return a number now: one of renyi_core's schedules counts time steps, any other callable is called as SB3's."""
    if isinstance(setting, _Schedule):
        return setting(model.num_timesteps)
    return setting(model._current_progress_remaining) if callable(setting) else setting  # noqa: SLF001


def _ends(setting: Any) -> tuple[Any, ...]:
    """Return the number, or what a schedule begins and ends with."""
    if isinstance(setting, _Schedule):
        return setting(0), setting(math.inf)
    return (setting(1.0), setting(0.0)) if callable(setting) else (setting,)


class OnPolicy(_Order):
    """PPO and its kin: the entropy is in the loss, times a coefficient that may be a schedule or a controller."""

    ent_coef: Any
    _mixin = PlusEntropy

    def _setup_model(self) -> None:
        super()._setup_model()
        if not isinstance(self.ent_coef, TargetEntropy):
            for weight in _ends(self.ent_coef):
                finite(weight, "ent_coef")

    def train(self) -> None:
        """Update the policy on the rollout at hand, as SB3 does, with α and the coefficient of now."""
        self._set_order()
        setting = self.ent_coef
        controlled = isinstance(setting, TargetEntropy)
        weight = setting.weight if controlled else finite(_current(setting, self), "ent_coef")
        self.logger.record("train/ent_coef", weight)
        # SB3 reads a number here; what was given comes back, to be saved
        self.ent_coef = weight
        try:
            super().train()
        finally:
            self.ent_coef = setting
        if controlled:
            setting.update(-self.logger.name_to_value["train/entropy_loss"])


class OffPolicy(_Order):
    """SAC and its kin: the entropy is in the value of a state."""

    _mixin = MinusEntropy

    def _owner(self) -> Any:
        return self.actor

    def _setup_model(self) -> None:
        super()._setup_model()
        most = math.prod(self.action_space.shape) * math.log(2)
        if self.ent_coef_optimizer is not None and not self.target_entropy < most:
            msg = f"`target_entropy` must be less than {most:.6g}, the largest entropy; got {self.target_entropy!r}"
            raise ValueError(msg)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Take gradient steps, as SB3 does, with the α of now."""
        self._set_order()
        super().train(gradient_steps, batch_size)


class RenyiPPO(OnPolicy, PPO):
    r"""Proximal Policy Optimization with the bonus ``ent_coef`` · H_α on the entropy of the policy.

    .. math:: L = L^{\text{clip}} + c_v L^{\text{value}} - \beta \operatorname{mean}_s H_\alpha(\pi(\cdot | s))

    Parameters
    ----------
    *args, **options
        Those of ``stable_baselines3.PPO``.
    alpha : float or callable, default 1.0
        The order, ≥ 0, ``math.inf`` included; > 0 for Gaussian actions. Or a schedule: SB3's, called with what remains
        of the progress (1 to 0), or one of :mod:`renyi_core.schedules`, called with the number of time steps.
    ent_coef : float, callable or TargetEntropy, default 0.0
        β: a number, a schedule as above, or a :class:`renyi_core.schedules.TargetEntropy`, which moves it after each
        call of ``train`` by the mean entropy there.

    Raises
    ------
    TypeError
        If ``alpha`` or ``ent_coef`` is neither a number nor a schedule of numbers, or the policy's action distribution
        is none that :func:`distribution_entropy` knows.
    ValueError
        If one is out of its range: at construction for numbers and both ends of schedules, else when it is used.

    Notes
    -----
    With α = 1, and with ``ent_coef=0``, training is that of ``stable_baselines3.PPO`` bit for bit, but for α = 1 with
    two action distributions. Of squashed gSDE SB3 has no entropy and takes the mean of −log π of the actions taken,
    whose gradient has mean 0 for the policy that took them; here it is the entropy. Of MultiBinary it has torch's
    Bernoulli, whose entropy is many times too small where an action is nearly certain (in float32 beyond a logit of
    about 16), and has no gradient there, so that a bonus cannot call the policy back; here it is exact.

    The entropy of a Gaussian, which a Box has by default, depends on α by a constant alone. So for it the bonus does
    the same at every order; it is for discrete actions, and squashed ones, that α matters.

    ``save`` keeps ``alpha`` and ``ent_coef``, the state of a controller and schedules too; ``load`` takes other ones.
    A file of ``PPO`` can be loaded here, ``RenyiPPO.load(path, env, alpha=2.0)``, and the other way round. ``predict``
    and the policy's parameters are SB3's. The log has "train/alpha" and "train/ent_coef"; "train/entropy_loss" is
    −H_α.

    References
    ----------
    J. Schulman, F. Wolski, P. Dhariwal, A. Radford and O. Klimov, "Proximal Policy Optimization Algorithms", 2017,
    arXiv:1707.06347, section 5, for the bonus of Shannon's entropy.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiPPO
    >>> model = RenyiPPO("MlpPolicy", "CartPole-v1", alpha=2.0, ent_coef=0.01, n_steps=64, seed=0, device="cpu")
    >>> model = model.learn(128)
    """


class RenyiA2C(OnPolicy, A2C):
    """Advantage actor-critic with the bonus ``ent_coef`` · H_α on the entropy of the policy.

    All that :class:`RenyiPPO` says holds here, of ``stable_baselines3.A2C``.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiA2C
    >>> model = RenyiA2C("MlpPolicy", "CartPole-v1", alpha=0.5, ent_coef=0.01, seed=0, device="cpu").learn(50)
    """


class RenyiSAC(OffPolicy, SAC):
    r"""Soft Actor-Critic with the Rényi entropy of order α of the policy.

    .. math:: V(s) = \mathbb{E}_{a \sim \pi(\cdot | s)}[Q(s, a)] + \beta H_\alpha(\pi(\cdot | s))

    The critics learn r + γ V(s'), the actor maximizes V, and an automatic β is moved by dual ascent on
    H_α − ``target_entropy``, all as in SAC. The entropy is that of the squashed Gaussian by quadrature, exact to
    rounding, where SAC has −log π(a | s) of one sampled action. There H_1 is its expectation, so for α = 1 this is SAC
    with less noise; an order other than 1 has no such estimate by one sample.

    Parameters
    ----------
    *args, **options
        Those of ``stable_baselines3.SAC``, ``ent_coef`` (β: a number, "auto" or "auto_0.1") and ``target_entropy``
        (in nats, "auto" for minus the number of dimensions) among them.
    alpha : float or callable, default 1.0
        The order, ≥ 0, ``math.inf`` included, or a schedule, as in :class:`RenyiPPO`.

    Raises
    ------
    TypeError
        If ``alpha`` is neither a number nor a schedule of numbers.
    ValueError
        If ``alpha`` is out of its range, at construction for a number and both ends of a schedule, else when it is
        used; or an automatic β has a ``target_entropy`` that no policy reaches: d log 2 or more, for d dimensions.

    Notes
    -----
    With ``ent_coef=0.0`` training is that of ``stable_baselines3.SAC`` bit for bit.

    Any bonus that depends on π(· | s) alone leaves the evaluation of a policy a contraction, and a policy that raises
    E[Q] + β H_α at every state is a better one [2]_. H_α is not concave for α > 1 in general, so that the best policy
    at a state need not be one alone.

    The entropy is that of actions in (−1, 1), at most d log 2. Scaling them to the bounds of the Box adds
    Σ log((high − low)/2), a constant, which ``target_entropy`` must not count. H_α falls as α grows, so the same
    ``target_entropy`` asks for broader policies at larger orders. At α = 0 it is constant, and the bonus has no effect.

    The entropies are of a (batch, d, 64) array, twice for each gradient step. ``save``, ``load`` and ``predict`` are as
    in :class:`RenyiPPO`.

    References
    ----------
    .. [1] T. Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", 2018, arXiv:1812.05905.
    .. [2] M. Geist, B. Scherrer and O. Pietquin, "A Theory of Regularized Markov Decision Processes", ICML 2019,
       arXiv:1901.11275.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiSAC
    >>> model = RenyiSAC("MlpPolicy", "Pendulum-v1", alpha=2.0, learning_starts=20, seed=0, device="cpu").learn(30)
    """
