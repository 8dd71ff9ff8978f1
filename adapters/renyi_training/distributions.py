"""torch.distributions whose entropy is the Rényi entropy of order α, and that entropy of those which torch has.

They stand where a framework makes its distribution: what it asks for as ``entropy()`` is of order α from then on.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NoReturn

import torch
from torch import distributions as td
from torch.distributions.utils import lazy_property
from torch.nn.functional import logsigmoid

import renyi_core as renyi
from renyi_core._arrays import check_mask, coefficient, namespace
from renyi_core._numbers import integer

Tensor = Any

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Laplace",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "TanhNormal",
    "distribution_entropy",
]


def distribution_entropy(distribution: Any, alpha: Any, *, samples: int | None = None) -> Tensor:
    r"""Return the Rényi entropy of order α of each distribution in a batch.

    Parameters
    ----------
    distribution : torch.distributions.Distribution
        Categorical, OneHotCategorical or Bernoulli; Normal, MultivariateNormal, LowRankMultivariateNormal, HalfNormal,
        Laplace, Exponential, Uniform, Beta, Gamma or Dirichlet; an Independent of these; a TransformedDistribution of
        them by affine maps, and of a Normal by a TanhTransform and affine maps before and after it; or of a class
        derived from one of these, whatever its own ``entropy`` is. Others need ``samples``.
    alpha : float or tensor
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or a tensor that broadcasts against ``batch_shape``.
    samples : int, optional
        Estimate the entropy from so many samples, by :func:`renyi_core.entropy_from_log_prob`, in place of the closed
        form. The estimate has a gradient if the distribution has ``rsample``, and none otherwise.

    Returns
    -------
    tensor
        The entropies in nats, shape ``batch_shape``, differentiable. Those of densities are differential entropies.

    Raises
    ------
    TypeError
        If ``distribution`` is none of torch's, or has no closed form here while ``samples`` is not given.
    ValueError
        If ``alpha`` is negative or NaN, or ``samples`` is not positive.

    See Also
    --------
    stable_baselines3.distribution_entropy : Of the action distributions of Stable-Baselines3.

    Notes
    -----
    Probabilities are taken as they were given, to ``Categorical(probs=...)``: a 0 counts for nothing, where torch
    itself, for ``logits`` and ``log_prob``, raises it to the dtype's eps. The discrete ones are by
    :func:`renyi_core.entropy`, its accuracy included; squashed Gaussians by :func:`renyi_core.tanh_gaussian_entropy`.
    Beta, Gamma and Dirichlet densities are by the functions of these names, as :func:`renyi_core.beta_entropy`.
    Gaussians, Laplace and exponential densities have Shannon's entropy, which torch returns, plus a constant,
    :math:`\frac{d}{2} (\frac{\log \alpha}{\alpha - 1} - 1)`, or twice that: at α = 1 the result is torch's bit for bit.
    An affine map adds the logarithm of its determinant.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import distribution_entropy
    >>> p = torch.distributions.Categorical(probs=torch.tensor([0.5, 0.5, 0.0]))
    >>> print(*(round(float(distribution_entropy(p, alpha).exp()), 4) for alpha in (0, 0.1, 1, 2)))
    2.0 2.0 2.0 2.0
    >>> policy = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(3), torch.ones(3)), 1)
    >>> print(round(float(distribution_entropy(policy, 2)), 4), round(float(policy.entropy()), 4))
    3.7965 4.2568
    """
    if not isinstance(distribution, td.Distribution):
        msg = f"`distribution` must be a torch.distributions.Distribution, got {type(distribution).__name__}"
        raise TypeError(msg)
    if samples is None:
        return _form_of(distribution)(distribution, alpha)
    count = integer(samples, "samples")
    if count < 1:
        msg = f"`samples` must be >= 1, got {samples!r}"
        raise ValueError(msg)
    drawn = (distribution.rsample if distribution.has_rsample else distribution.sample)((count,))
    log_prob = distribution.log_prob(drawn)
    # the samples depend on the parameters too: without that the gradient would be another function's
    log_prob = log_prob if distribution.has_rsample else log_prob.detach()
    return renyi.entropy_from_log_prob(log_prob, alpha, axis=0)


def _form_of(distribution: Any) -> Any:
    for kind in type(distribution).__mro__:
        if kind in _FORMS:
            return _FORMS[kind]
    return _refuse(type(distribution).__name__)


def _refuse(what: str) -> NoReturn:
    msg = f"no closed form of the Rényi entropy is known here for {what}; pass `samples` to estimate it"
    raise TypeError(msg)


def _for_entries(alpha: Any, dims: int) -> Any:
    """Return orders of distributions as those of each of their independent entries, along so many axes."""
    return alpha[(..., *(None,) * dims)] if isinstance(alpha, torch.Tensor) else alpha


def _total(values: Tensor, dims: int) -> Tensor:
    return values.sum(dim=tuple(range(-dims, 0))) if dims else values


def _has_probs(distribution: Any) -> bool:
    """Return whether probabilities were given: logits from them are clamped."""
    known = vars(distribution)
    return "probs" in known and ("logits" not in known or distribution._param is distribution.probs)  # noqa: SLF001


def _of_categorical(distribution: Any, alpha: Any) -> Tensor:
    if _has_probs(distribution):
        return renyi.entropy(distribution.probs, alpha)
    return renyi.entropy_from_logits(distribution.logits, alpha)


def _of_bernoulli(distribution: Any, alpha: Any) -> Tensor:
    return renyi.entropy_from_logits(_log_both(distribution), alpha)


def _log_both(distribution: Any) -> Tensor:
    """Return the log-probabilities of 1 and of 0, along a last axis."""
    if _has_probs(distribution):
        return _log(torch.stack([distribution.probs, 1 - distribution.probs], dim=-1))
    return logsigmoid(torch.stack([distribution.logits, -distribution.logits], dim=-1))


def _log(probs: Tensor) -> Tensor:
    """Return the logarithms, −inf without a gradient for 0."""
    some = probs > 0
    return torch.where(some, torch.where(some, probs, 1.0).log(), -math.inf)


def _shifted(kind: Any, share: float) -> Any:
    """Return the form of densities whose entropies are torch's plus, for each dimension, a share of a constant."""

    def form(distribution: Any, alpha: Any) -> Tensor:
        shannon = kind.entropy(distribution)
        constant = renyi.exponential_entropy(torch.ones_like(shannon), alpha) - 1.0
        return shannon + share * math.prod(distribution.event_shape) * constant

    return form


def _of_uniform(distribution: Any, alpha: Any) -> Tensor:
    return renyi.uniform_entropy(distribution.high - distribution.low, alpha)


def _of_beta(distribution: Any, alpha: Any) -> Tensor:
    return renyi.beta_entropy(distribution.concentration1, distribution.concentration0, alpha)


def _of_gamma(distribution: Any, alpha: Any) -> Tensor:
    return renyi.gamma_entropy(distribution.concentration, distribution.rate, alpha)


def _of_dirichlet(distribution: Any, alpha: Any) -> Tensor:
    return renyi.dirichlet_entropy(distribution.concentration, alpha)


def _of_independent(distribution: Any, alpha: Any) -> Tensor:
    dims = distribution.reinterpreted_batch_ndims
    return _total(distribution_entropy(distribution.base_dist, _for_entries(alpha, dims)), dims)


def _of_transformed(distribution: Any, alpha: Any) -> Tensor:
    base, maps = _taken_apart(distribution)
    if isinstance(base, (td.Categorical, td.OneHotCategorical, td.Bernoulli)):
        _refuse(f"{type(base).__name__} mapped to other values")
    shape, own_dims = distribution.batch_shape + distribution.event_shape, len(base.event_shape)
    dims = len(distribution.event_shape) - own_dims
    alpha = _for_entries(alpha, dims)
    place, stretch, entropies = 0.0, 1.0, None
    for transform in maps:
        if isinstance(transform, td.AffineTransform):
            place, stretch = transform.loc + transform.scale * place, transform.scale * stretch
        elif isinstance(transform, td.TanhTransform) and isinstance(base, td.Normal) and entropies is None:
            mean, scale = place + stretch * base.loc, abs(stretch * base.scale)
            entropies = renyi.tanh_gaussian_entropy(mean, scale, alpha)
            place, stretch = 0.0, 1.0
        else:
            _refuse(f"{type(base).__name__} mapped by {type(transform).__name__}")
    if entropies is None:
        entropies = distribution_entropy(base, alpha)
    stretch = torch.as_tensor(stretch, dtype=entropies.dtype, device=entropies.device)
    return _total(entropies + _total(stretch.abs().log().expand(shape), own_dims), dims)


def _taken_apart(distribution: Any) -> tuple[Any, list[Any]]:
    """Return the distribution that others are made of, and the maps in their order."""
    if isinstance(distribution, td.Independent):
        return _taken_apart(distribution.base_dist)
    if isinstance(distribution, td.TransformedDistribution) and _form_of(distribution) is _of_transformed:
        base, maps = _taken_apart(distribution.base_dist)
        return base, [*maps, *_parts(distribution.transforms)]
    return distribution, []


def _parts(transforms: Any) -> list[Any]:
    found = []
    for transform in transforms:
        if isinstance(transform, td.ComposeTransform):
            found += _parts(transform.parts)
        elif isinstance(transform, td.IndependentTransform):
            found += _parts([transform.base_transform])
        else:
            found.append(transform)
    return found


_FORMS: dict[Any, Any] = {
    td.Categorical: _of_categorical,
    td.OneHotCategorical: lambda distribution, alpha: _of_categorical(distribution._categorical, alpha),  # noqa: SLF001
    td.Bernoulli: _of_bernoulli,
    td.Uniform: _of_uniform,
    td.Beta: _of_beta,
    td.Gamma: _of_gamma,
    td.Dirichlet: _of_dirichlet,
    td.Independent: _of_independent,
    td.TransformedDistribution: _of_transformed,
}
for _kind in (td.Normal, td.HalfNormal, td.MultivariateNormal, td.LowRankMultivariateNormal):
    _FORMS[_kind] = _shifted(_kind, 0.5)
for _kind in (td.Laplace, td.Exponential):
    _FORMS[_kind] = _shifted(_kind, 1.0)


class _OfOrder:
    """What makes the entropy one of order α, of any of torch's classes that has a form."""

    alpha: Any

    def __init__(self, *args: Any, alpha: Any = 1.0, **options: Any) -> None:
        coefficient(alpha, "alpha", infinite=True)
        self.alpha = alpha
        super().__init__(*args, **options)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """Return the distribution of a larger batch shape, of the same order."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new.alpha = self.alpha
        return super().expand(batch_shape, new)  # type: ignore[misc]

    def entropy(self) -> Tensor:
        """Return the entropies of order ``alpha``, in nats, shape ``batch_shape``."""
        return distribution_entropy(self, self.alpha)

    @property
    def deterministic_sample(self) -> Tensor:
        """The mode, which TorchRL takes where it does not explore."""
        return self.mode  # type: ignore[attr-defined]


class Categorical(_OfOrder, td.Categorical):
    """torch.distributions.Categorical with the Rényi entropy of order α, exact probabilities of 0, and a mask.

    Parameters
    ----------
    probs, logits : tensor
        One of the two, shape (..., n), as in torch.
    validate_args : bool, optional
        As in torch.
    alpha : float or tensor, default 1.0
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or a tensor that broadcasts against ``batch_shape``;
        of a schedule its value now.
    where : tensor of bool, optional
        Broadcasts to ``probs`` or ``logits``. Outcomes where it is False are left out, whatever was given for them:
        their probability is 0, they are never drawn, and their ``log_prob`` is −inf.

    Raises
    ------
    TypeError
        If ``alpha`` is neither a number nor a tensor, or ``where`` is not boolean.
    ValueError
        If ``alpha`` is negative or NaN, ``where`` does not broadcast, or, with ``validate_args``, leaves a distribution
        without outcomes; else as in torch.

    See Also
    --------
    distribution_entropy : Of any order, and of distributions that a framework has made.

    Notes
    -----
    All else is torch's: ``expand``, ``Independent``, ``kl_divergence``, whose gradient is finite with masks. Where
    torch raises probabilities of 0 to the dtype's eps, to take their logarithms, here ``logits`` and ``log_prob`` are
    −inf.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import Categorical
    >>> policy = Categorical(logits=torch.zeros(4), alpha=2.0, where=torch.tensor([True, True, True, False]))
    >>> print(policy.entropy().exp(), policy.probs[3], policy.log_prob(torch.tensor(3)))
    tensor(3.) tensor(0.) tensor(-inf)
    """

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: Any = None, *, alpha: Any = 1.0, where: Any = None
    ) -> None:
        if where is not None:
            x = logits if probs is None else probs
            check_mask(where, namespace(x), "logits" if probs is None else "probs", tuple(x.shape))
            if (self._validate_args if validate_args is None else validate_args) and not where.any(dim=-1).all():
                msg = "`where` must leave an outcome to each distribution: make one True in rows that do not count"
                raise ValueError(msg)
            left = torch.where(where, x, -math.inf if probs is None else 0.0)
            probs, logits = (None, left) if probs is None else (left, logits)
        super().__init__(probs, logits, validate_args, alpha=alpha)

    @lazy_property  # type: ignore[untyped-decorator]
    def logits(self) -> Tensor:
        """Return the log-probabilities, −inf for 0."""
        return _log(self.probs)


class OneHotCategorical(_OfOrder, td.OneHotCategorical):
    """torch.distributions.OneHotCategorical with the Rényi entropy of order α, as :class:`Categorical`.

    Parameters
    ----------
    probs, logits, validate_args, alpha, where
        As in :class:`Categorical`.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import OneHotCategorical
    >>> print(OneHotCategorical(probs=torch.tensor([0.25, 0.75]), alpha=float("inf")).entropy())
    tensor(0.2877)
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None, **options: Any) -> None:
        categorical = Categorical(probs, logits, validate_args, **options)
        self.alpha, self._categorical = categorical.alpha, categorical
        shape = categorical.param_shape
        td.Distribution.__init__(self, shape[:-1], shape[-1:], validate_args=validate_args)


class Bernoulli(_OfOrder, td.Bernoulli):
    """torch.distributions.Bernoulli with the Rényi entropy of order α.

    It is exact, and has a gradient, where the outcome is nearly certain: torch's is up to many times too small there.
    ``log_prob`` is exact too, and −inf for what has probability 0.

    Parameters
    ----------
    probs, logits, validate_args
        As in torch.
    alpha : float or tensor, default 1.0
        As in :class:`Categorical`.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import Bernoulli
    >>> print(Bernoulli(logits=torch.tensor([0.0, 20.0]), alpha=0.5).entropy())
    tensor([6.9315e-01, 9.0796e-05])
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probabilities of outcomes 0 and 1, or for others between the two their mixture."""
        if self._validate_args:
            self._validate_sample(value)
        terms = torch.stack([value, 1 - value], dim=-1), _log_both(self)
        return torch.where(terms[0] == 0, 0.0, terms[0] * terms[1]).sum(-1)


class Normal(_OfOrder, td.Normal):
    """torch.distributions.Normal with the Rényi entropy of order α: Shannon's plus a constant of α alone.

    The gradient of a bonus is the same at every order, but for ∂/∂α; see :class:`TanhNormal`.

    Parameters
    ----------
    loc, scale, validate_args
        As in torch.
    alpha : float or tensor, default 1.0
        As in :class:`Categorical`; the entropy of order 0 is infinite.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import Normal
    >>> policy = torch.distributions.Independent(Normal(torch.zeros(3), torch.ones(3), alpha=2.0), 1)
    >>> print(policy.entropy())
    tensor(3.7965)
    """


class MultivariateNormal(_OfOrder, td.MultivariateNormal):
    """torch.distributions.MultivariateNormal with the Rényi entropy of order α, as :class:`Normal`.

    Parameters
    ----------
    loc, covariance_matrix, precision_matrix, scale_tril, validate_args
        As in torch.
    alpha : float or tensor, default 1.0
        As in :class:`Normal`.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import MultivariateNormal
    >>> print(MultivariateNormal(torch.zeros(3), torch.eye(3), alpha=2.0).entropy())
    tensor(3.7965)
    """


class Laplace(_OfOrder, td.Laplace):
    """torch.distributions.Laplace with the Rényi entropy of order α, as :class:`Normal`.

    Parameters
    ----------
    loc, scale, validate_args
        As in torch.
    alpha : float or tensor, default 1.0
        As in :class:`Normal`.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import Laplace
    >>> print(Laplace(torch.tensor(0.0), torch.tensor(0.5), alpha=2.0).entropy())
    tensor(0.6931)
    """


class Beta(_OfOrder, td.Beta):
    """torch.distributions.Beta with the Rényi entropy of order α: a policy on an interval.

    Parameters
    ----------
    concentration1, concentration0, validate_args
        As in torch.
    alpha : float or tensor, default 1.0
        As in :class:`Categorical`.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import Beta
    >>> print(Beta(torch.tensor(2.0), torch.tensor(2.0), alpha=float("inf")).entropy())
    tensor(-0.4055)
    """


class _Tanh(td.TanhTransform):
    """Its inverse takes what is rounded to the ends, or lies beyond, for the next number inside."""

    def _inverse(self, y: Tensor) -> Tensor:
        most = 1 - torch.finfo(y.dtype).eps
        return y.clamp(-most, most).atanh()


class TanhNormal(_OfOrder, td.TransformedDistribution):
    r"""A Gaussian squashed by tanh onto (low, high), with the Rényi entropy of order α.

    torch has no such class; its entropy is that of the density itself, without samples.

    Parameters
    ----------
    loc, scale : tensor
        Mean and standard deviation before the squashing, of shapes that broadcast.
    low, high : float or tensor, default −1 and 1
        The ends of the range, which broadcast against ``loc``.
    event_dims : int, optional
        How many of the last axes are the independent dimensions of one action, whose entropies and log-densities add
        up: 1 by default, as in TorchRL, or 0 where ``loc`` has no axis.
    alpha : float or tensor, default 1.0
        As in :class:`Categorical`. The entropy of order 0 is Σ log(high − low).
    validate_args : bool, optional
        As in torch.

    Attributes
    ----------
    deterministic_sample : tensor
        The median of each dimension, which TorchRL takes where it does not explore.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Categorical`.

    Notes
    -----
    The density of a sample just drawn is that of the number before it was squashed. Of an action that is rounded to an
    end of the range, or lies beyond, it is that of the next number inside, so that ``log_prob`` is finite.
    ``kl_divergence`` is that of the Gaussians.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.distributions import TanhNormal
    >>> policy = TanhNormal(torch.zeros(5, 2), torch.ones(5, 2), low=-2.0, high=2.0, alpha=0.5)
    >>> print(policy.entropy().shape, bool((policy.sample().abs() < 2).all()))
    torch.Size([5]) True
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        loc: Any,
        scale: Any,
        *,
        low: Any = -1.0,
        high: Any = 1.0,
        event_dims: int | None = None,
        alpha: Any = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        base = td.Normal(loc, scale, validate_args)
        dims = min(1, base.loc.ndim) if event_dims is None else event_dims
        half = (high - low) / 2
        maps = [_Tanh(cache_size=1), td.AffineTransform(low + half, half, cache_size=1)]
        super().__init__(td.Independent(base, dims), maps, validate_args, alpha=alpha)

    @property
    def deterministic_sample(self) -> Tensor:
        """The median of each dimension."""
        affine = self.transforms[-1]
        return affine.loc + affine.scale * self.base_dist.base_dist.loc.tanh()


def _kl_of_categoricals(p: Any, q: Any) -> Tensor:
    return renyi.divergence_from_logits(p.logits, q.logits, 1.0)


def _kl_of_bernoullis(p: Any, q: Any) -> Tensor:
    return renyi.divergence_from_logits(_log_both(p), _log_both(q), 1.0)


td.register_kl(Categorical, Categorical)(_kl_of_categoricals)
td.register_kl(OneHotCategorical, OneHotCategorical)(_kl_of_categoricals)
td.register_kl(Bernoulli, Bernoulli)(_kl_of_bernoullis)
