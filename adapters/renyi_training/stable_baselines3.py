"""Stable-Baselines3: PPO, A2C and SAC with the Rényi entropy of order α in place of Shannon's.

Each is SB3's own algorithm, whose ``train`` runs unchanged: the policy's action distribution alone is another, which
returns the entropy of order α where SB3 asks it for an entropy, or SAC for a log-probability.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

try:
    from stable_baselines3 import A2C, PPO, SAC
    from stable_baselines3.common import distributions as sb3
except ImportError as error:
    msg = "renyi_training.stable_baselines3 needs Stable-Baselines3: pip install 'renyi-core[sb3]'"
    raise ImportError(msg) from error

import renyi_core as renyi
from renyi_core._numbers import finite, number
from renyi_core.schedules import TargetEntropy, _Schedule

Tensor = Any

__all__ = ["RenyiA2C", "RenyiPPO", "RenyiSAC", "distribution_entropy"]


def distribution_entropy(distribution: Any, alpha: float) -> Tensor:
    r"""Return the Rényi entropy of order α of each action distribution in a batch.

    The dimensions of an action are independent, so that their entropies add up.

    Parameters
    ----------
    distribution : stable_baselines3.common.distributions.Distribution
        With its parameters set, as ``policy.get_distribution(obs)`` returns it: categorical, multi-categorical,
        Bernoulli, diagonal Gaussian, squashed diagonal Gaussian, or of state-dependent noise (gSDE), squashed or not;
        or a maskable one of sb3-contrib. Actions that its masks forbid have probability 0; a state without any, such
        as padding, has the entropy 0.
    alpha : float
        The order, ≥ 0, ``math.inf`` included.

    Returns
    -------
    tensor of shape (batch,)
        The entropies in nats, differentiable. Those of densities are of the actions as the policy knows them: squashed
        ones lie in (−1, 1), and scaling them to the bounds of a Box adds Σ log((high − low)/2), a constant.

    Raises
    ------
    TypeError
        If the distribution is not one of these.
    ValueError
        If ``alpha`` is negative or NaN.

    Notes
    -----
    By :func:`renyi_core.entropy_from_logits`, :func:`renyi_core.gaussian_entropy` and
    :func:`renyi_core.tanh_gaussian_entropy`, whose docstrings state accuracy and sources. SB3 has no entropy of
    squashed Gaussians; here it is that of the density itself, without the 1e-6 that SB3 adds within its logarithm.

    Examples
    --------
    >>> import torch
    >>> from stable_baselines3.common.distributions import CategoricalDistribution
    >>> from renyi_training.stable_baselines3 import distribution_entropy
    >>> distribution = CategoricalDistribution(3).proba_distribution(torch.tensor([[2.0, 1.0, 0.0]]))
    >>> [round(distribution_entropy(distribution, alpha).item(), 4) for alpha in (0, 1, 2, float("inf"))]
    [1.0986, 0.8324, 0.6723, 0.4076]
    """
    if _is_maskable(distribution):
        inner = getattr(distribution, "distributions", None) or distribution.distribution
    else:
        _check_kind(distribution)
        inner = distribution.distribution
    if isinstance(inner, (list, tuple)):
        return torch.stack([_categorical_entropy(part, alpha) for part in inner], dim=1).sum(dim=1)
    if isinstance(inner, torch.distributions.Categorical):
        return _categorical_entropy(inner, alpha)
    if isinstance(distribution, sb3.BernoulliDistribution):
        logits = torch.stack([inner.logits, torch.zeros_like(inner.logits)], dim=-1)
        return renyi.entropy_from_logits(logits, alpha).sum(dim=1)
    if _squashes(distribution):
        return renyi.tanh_gaussian_entropy(inner.loc, inner.scale, alpha, axis=-1)
    return renyi.gaussian_entropy(inner.scale.square(), alpha, kind="diagonal")


def _is_maskable(distribution: Any) -> bool:
    """Return whether this is a distribution of sb3-contrib, which need not be installed."""
    return isinstance(distribution, sb3.Distribution) and hasattr(distribution, "apply_masking")


def _categorical_entropy(inner: Any, alpha: float) -> Tensor:
    """Return the entropies of torch's Categorical, or of sb3-contrib's, which gives what is masked a logit of −1e8."""
    allowed = getattr(inner, "masks", None)
    if allowed is None:
        return renyi.entropy_from_logits(inner.logits, alpha)
    none = ~allowed.any(-1, keepdim=True)
    entropies = renyi.entropy_from_logits(inner.logits, alpha, where=allowed | none)
    return torch.where(none[..., 0], 0.0, entropies)


def _check_kind(distribution: Any) -> None:
    kinds = (
        sb3.CategoricalDistribution,
        sb3.MultiCategoricalDistribution,
        sb3.BernoulliDistribution,
        sb3.DiagGaussianDistribution,
        sb3.StateDependentNoiseDistribution,
    )
    if not isinstance(distribution, kinds):
        msg = f"no Rényi entropy is known for the action distribution {type(distribution).__name__}"
        raise TypeError(msg)


def _squashes(distribution: Any) -> bool:
    if isinstance(distribution, sb3.StateDependentNoiseDistribution):
        return distribution.bijector is not None
    return isinstance(distribution, sb3.SquashedDiagGaussianDistribution)


class _Entropy:
    """What PPO and A2C ask a distribution for."""

    alpha = 1.0

    def entropy(self) -> Tensor:
        """Return the entropy of order α; for α = 1 SB3's own tensor, where it has one, to the last bit.

        But that of MultiBinary: torch's Bernoulli clamps probabilities next to 0 and 1 to its eps, and has no gradient.
        """
        own = self.alpha == 1 and not isinstance(self, sb3.BernoulliDistribution)
        shannon = super().entropy() if own else None  # type: ignore[misc]
        return distribution_entropy(self, self.alpha) if shannon is None else shannon


class _MinusEntropy:
    """What SAC asks a distribution for."""

    alpha = 1.0

    def log_prob_from_params(self, *parameters: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Return actions, and −H_α of their distribution in place of their log-probabilities."""
        actions = self.actions_from_params(*parameters, **options)  # type: ignore[attr-defined]
        return actions, -distribution_entropy(self, self.alpha)


@functools.cache
def _derived(mixin: Any, kind: Any) -> Any:
    return type(f"Renyi{kind.__name__}", (mixin, kind), {})


def _replaced(distribution: Any, mixin: Any) -> Any:
    """Return the distribution with the methods of the mixin."""
    _check_kind(distribution)
    original: Any = type(distribution)
    kind = _derived(mixin, original)
    replaced = kind.__new__(kind)
    replaced.__dict__.update(distribution.__dict__)
    return replaced


class _Order:
    """What the algorithms share: α, a number or a schedule, in a distribution that knows it."""

    alpha: Any
    _mixin: type

    def __init__(self, *args: Any, alpha: Any = 1.0, **options: Any) -> None:
        self.alpha = alpha
        super().__init__(*args, **options)

    def _setup_model(self) -> None:
        super()._setup_model()  # type: ignore[misc]
        owner = self._owner()
        owner.action_dist = _replaced(getattr(owner, "action_dist", None), self._mixin)
        for order in _ends(self.alpha):
            self._check_order(order)

    def _owner(self) -> Any:
        """Return the module that holds the action distribution."""
        return self.policy  # type: ignore[attr-defined]

    def _check_order(self, order: Any) -> float:
        checked = number(order, "alpha")
        if not checked >= 0:
            msg = f"`alpha` must be >= 0, got {order!r}"
            raise ValueError(msg)
        kind = self._owner().action_dist
        gaussian = isinstance(kind, (sb3.DiagGaussianDistribution, sb3.StateDependentNoiseDistribution))
        if checked == 0 and gaussian and not _squashes(kind):
            msg = "`alpha` must be > 0 for Gaussian actions, whose entropy of order 0 is infinite"
            raise ValueError(msg)
        return checked

    def _set_order(self) -> None:
        order = self._check_order(_current(self.alpha, self))
        self._owner().action_dist.alpha = order
        self.logger.record("train/alpha", order)  # type: ignore[attr-defined]


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


class _OnPolicy(_Order):
    """PPO and A2C: the entropy is in the loss, times a coefficient that may be a schedule or a controller."""

    ent_coef: Any
    _mixin = _Entropy

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
        logger = self.logger  # type: ignore[attr-defined]
        logger.record("train/ent_coef", weight)
        # SB3 reads a number here; what was given comes back, to be saved
        self.ent_coef = weight
        try:
            super().train()  # type: ignore[misc]
        finally:
            self.ent_coef = setting
        if controlled:
            setting.update(-logger.name_to_value["train/entropy_loss"])


class RenyiPPO(_OnPolicy, PPO):
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


class RenyiA2C(_OnPolicy, A2C):
    """Advantage actor-critic with the bonus ``ent_coef`` · H_α on the entropy of the policy.

    All that :class:`RenyiPPO` says holds here, of ``stable_baselines3.A2C``.

    Examples
    --------
    >>> from renyi_training.stable_baselines3 import RenyiA2C
    >>> model = RenyiA2C("MlpPolicy", "CartPole-v1", alpha=0.5, ent_coef=0.01, seed=0, device="cpu").learn(50)
    """


class RenyiSAC(_Order, SAC):
    r"""Soft Actor-Critic with the Rényi entropy of order α of the policy.

    .. math:: V(s) = \mathbb{E}_{a \sim \pi(\cdot | s)}[Q(s, a)] + \beta H_\alpha(\pi(\cdot | s))

    The critics learn r + γ V(s'), the actor maximises V, and an automatic β is moved by dual ascent on
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

    _mixin = _MinusEntropy

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
