"""The Rényi entropies of Stable-Baselines3's action distributions, and distributions that return them."""

from __future__ import annotations

import functools
from typing import Any

import torch
from stable_baselines3.common import distributions as sb3

import renyi_core as renyi

Tensor = Any


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
    _check_kind(distribution)
    # sb3-contrib's have a list of their own
    inner = getattr(distribution, "distributions", None) or distribution.distribution
    if isinstance(inner, (list, tuple)):
        return torch.stack([_categorical_entropy(part, alpha) for part in inner], dim=1).sum(dim=1)
    if isinstance(inner, torch.distributions.Categorical):
        return _categorical_entropy(inner, alpha)
    if isinstance(distribution, sb3.BernoulliDistribution):
        logits = torch.stack([inner.logits, torch.zeros_like(inner.logits)], dim=-1)
        return renyi.entropy_from_logits(logits, alpha).sum(dim=1)
    if squashes(distribution):
        return renyi.tanh_gaussian_entropy(inner.loc, inner.scale, alpha, axis=-1)
    return renyi.gaussian_entropy(inner.scale.square(), alpha, kind="diagonal")


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
    # sb3-contrib, which has the maskable ones, need not be installed
    maskable = isinstance(distribution, sb3.Distribution) and hasattr(distribution, "apply_masking")
    if not (maskable or isinstance(distribution, kinds)):
        msg = f"no Rényi entropy is known for the action distribution {type(distribution).__name__}"
        raise TypeError(msg)


def squashes(distribution: Any) -> bool:
    """Return whether its actions lie in (−1, 1)."""
    if isinstance(distribution, sb3.StateDependentNoiseDistribution):
        return distribution.bijector is not None
    return isinstance(distribution, sb3.SquashedDiagGaussianDistribution)


class PlusEntropy:
    """What PPO and its kin ask a distribution for."""

    alpha = 1.0

    def entropy(self) -> Tensor:
        """Return the entropy of order α; for α = 1 SB3's own tensor, where it has one, to the last bit.

        But that of MultiBinary: torch's Bernoulli clamps probabilities next to 0 and 1 to its eps, and has no gradient.
        """
        own = self.alpha == 1 and not isinstance(self, sb3.BernoulliDistribution)
        shannon = super().entropy() if own else None  # type: ignore[misc]
        return distribution_entropy(self, self.alpha) if shannon is None else shannon


class MinusEntropy:
    """What SAC and its kin ask a distribution for."""

    alpha = 1.0

    def log_prob_from_params(self, *parameters: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Return actions, and −H_α of their distribution in place of their log-probabilities."""
        actions = self.actions_from_params(*parameters, **options)  # type: ignore[attr-defined]
        return actions, -distribution_entropy(self, self.alpha)


@functools.cache
def _derived(mixin: Any, kind: Any) -> Any:
    return type(f"Renyi{kind.__name__}", (mixin, kind), {})


def replaced(distribution: Any, mixin: Any) -> Any:
    """Return the distribution with the methods of the mixin."""
    _check_kind(distribution)
    original: Any = type(distribution)
    kind = _derived(mixin, original)
    replaced = kind.__new__(kind)
    replaced.__dict__.update(distribution.__dict__)
    return replaced
