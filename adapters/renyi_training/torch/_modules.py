"""Modules that keep α and β: in the state_dict, on the model's device, and through compilation."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from array_api_compat import torch as torch_namespace

from renyi_core import regularizers as terms
from renyi_core._advice import explained
from renyi_core._arrays import check_mask, floating, real, same_namespace
from renyi_core._numbers import check_choice, finite, number
from renyi_core._quiet import quiet
from renyi_core.schedules import TargetEntropy, dual_ascent

Tensor = Any

__all__ = ["EntropyRegularizer", "TargetEntropyWeight", "Weighted"]


class _Scalars(torch.nn.Module):
    """A module whose buffers are numbers in float64: they move with the model, but are not cast with it.

    In bfloat16 a weight would move in steps of 0.4 %, or not at all. Their shape is (1,): torch.compile takes a float64
    tensor of shape () for a Python number, and loses what is written to it (torch 2.13).
    """

    _buffers: dict[str, Any]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        buffers, self._buffers = self._buffers, {}
        try:
            super()._apply(fn, recurse)
        finally:
            self._buffers = buffers
        for name, before in buffers.items():
            try:
                moved = fn(before)
            except TypeError:
                # Apple's GPUs have no float64
                moved = fn(before.to(torch.float32))
            else:
                moved = moved if moved.dtype == before.dtype else before.to(moved.device)
            self._buffers[name] = moved
        return self


class Weighted(_Scalars):
    """A module with a weight β, which a number of 0 turns off: then nothing is computed."""

    weight: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(1, dtype=torch.float64))
        self.set_weight(weight)

    def set_weight(self, weight: float | Tensor) -> None:
        """Set β, from a schedule or a controller: a number, or a tensor of one, which is not read."""
        if isinstance(weight, torch.Tensor):
            real(weight, "weight")
            self._off = False
            self.weight.copy_(weight.detach().reshape(1))
            return
        value = finite(weight, "weight")
        self._off = value == 0
        self.weight.fill_(value)

    def weigh(self, term: Any, *args: Any, **options: Any) -> Tensor:
        """Return the value of a term of weight 1, times β."""
        if self._off:
            zeros: Tensor = term(*args, weight=0.0, **options)
            return zeros
        value: Tensor = term(*args, **options)
        return self.weight[0].to(value.dtype) * value

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self.weight.is_meta:
            self._off = bool(self.weight == 0)

    def _shown(self) -> str:
        return "?" if self.weight.is_meta else f"{float(self.weight):.6g}"


@explained
class EntropyRegularizer(Weighted):
    r"""The term −β · mean(H_α) of a loss: a bonus on the Rényi entropy of what logits predict.

    Parameters
    ----------
    alpha : float
        The order, >= 0, ``math.inf`` included; with ``learn_alpha`` the one to begin with, between the bounds.
    weight : float
        β, finite; a negative one makes it a penalty on the entropy.
    learn_alpha : bool, default False
        Whether α is a parameter.
    alpha_bounds : (float, float), default (0.5, 4.0)
        What a learnable α stays within.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the distributions; the mean is that of the weights of samples, too.
    axis : int, default -1
        The axis of the outcomes.

    Attributes
    ----------
    alpha : float, or tensor of shape () if it is learnable
        The order. A learnable one is differentiable.
    weight : tensor of shape (1,)
        β, in float64; :meth:`set_weight` changes it.

    Raises
    ------
    TypeError
        If ``alpha`` or ``weight`` is not a number.
    ValueError
        If one is out of its range, or ``reduction`` is not one of the three.

    Notes
    -----
    ``state_dict`` holds α and β. A learnable α is (low + high)/2 + (high − low)/π · arctan u of the parameter u,
    ``raw_alpha``, which no step takes out of the bounds. Its derivative falls as 1/u², where a sigmoid's underflows to
    0: an α that a large step has thrown against a bound comes back.

    H_α falls as α grows, so the bonus alone (β > 0) drives a learnable α to its lower bound. Let it take part in
    another loss, or maximize over it.

    α, where it is not learned, is a number to the kernels, and β a tensor: changing β does not recompile. A weight set
    to the number 0 skips the entropy: no graph and no memory.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.torch import EntropyRegularizer
    >>> regularizer = EntropyRegularizer(alpha=2.0, weight=0.01)
    >>> regularizer
    EntropyRegularizer(alpha=2.0, weight=0.01, reduction='mean')
    >>> logits = torch.zeros(8, 4, requires_grad=True)
    >>> loss = torch.nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long)) + regularizer(logits)
    >>> loss.backward()
    """

    def __init__(
        self,
        alpha: float,
        weight: float,
        *,
        learn_alpha: bool = False,
        alpha_bounds: tuple[float, float] = (0.5, 4.0),
        reduction: str = "mean",
        axis: int = -1,
    ) -> None:
        super().__init__(weight)
        check_choice(reduction, "reduction", ("mean", "sum", "none"))
        self._bonus = terms.EntropyBonus(reduction=reduction)
        if isinstance(axis, bool) or not isinstance(axis, int):
            msg = f"`axis` must be an integer, got {axis!r}"
            raise TypeError(msg)
        self.reduction, self.axis, self._learns = reduction, axis, bool(learn_alpha)
        order = number(alpha, "alpha")
        if not order >= 0:
            msg = f"`alpha` must be >= 0, got {alpha!r}"
            raise ValueError(msg)
        if self._learns:
            low, high = self._bounds = _bounds(alpha_bounds)
            if not low < order < high:
                msg = f"`alpha` must lie between the `alpha_bounds`, {low!r} and {high!r}, to be learned; got {alpha!r}"
                raise ValueError(msg)
            raw = math.tan(math.pi * (order - (low + high) / 2) / (high - low))
            self.raw_alpha = torch.nn.Parameter(torch.tensor(raw))
        else:
            self._order = order
            self.register_buffer("fixed_alpha", torch.tensor([order], dtype=torch.float64))

    @property
    def alpha(self) -> Any:
        """The order: a number, or a tensor of shape () if it is learnable."""
        if not self._learns:
            return self._order
        low, high = self._bounds
        raw = self.raw_alpha.to(torch.promote_types(self.raw_alpha.dtype, torch.float32))
        alpha = (low + high) / 2 + (high - low) / math.pi * torch.atan(raw)
        # the rounded sum may lie beyond a bound; the gradient of a clamp would end there
        return alpha + (alpha.clamp(low, high) - alpha).detach()

    @quiet
    def forward(self, logits: Tensor, where: Tensor | None = None, sample_weight: Tensor | None = None) -> Tensor:
        """Return the term to add to a loss.

        Parameters
        ----------
        logits : tensor of shape (..., n)
            Unnormalized log-probabilities.
        where : boolean tensor, optional
            A mask of valid outcomes that broadcasts to the logits. A distribution without any has no part.
        sample_weight : tensor of shape (...), optional
            The weights of the distributions, >= 0, such as a mask of tokens: those of weight 0 have no part, and a
            negative one gives NaN.

        Returns
        -------
        tensor of shape (), or (...) without a reduction
            −β · H, times the weights of samples without a reduction. Of logits in float16 or bfloat16 it is in float32.
            Where no distribution has a part it is 0.
        """
        options = {"where": where, "sample_weight": sample_weight, "alpha": 2.0 if self._off else self.alpha}
        return self.weigh(self._bonus, logits, axis=self.axis, **options)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self._learns and not self.fixed_alpha.is_meta:
            self._order = float(self.fixed_alpha)

    def extra_repr(self) -> str:
        """Show α, β and the reduction."""
        weight = self._shown()
        order = "learned" if self._learns else self._order
        return f"alpha={order}, weight={weight}, reduction={self.reduction!r}"


@explained
class TargetEntropyWeight(_Scalars):
    """The weight β of an entropy bonus that holds the entropy at a target: TargetEntropy with its state in a buffer.

    Parameters
    ----------
    target, fraction, n, initial, rate, bounds
        As in :class:`renyi_core.schedules.TargetEntropy`.
    process_group : torch.distributed.ProcessGroup, optional
        The processes that share the weight; by default all of them.
    synchronize : bool, default True
        Whether they share it, where ``torch.distributed`` is initialized. :meth:`update` is then a collective call.

    Attributes
    ----------
    target : float
        The entropy wanted, in nats.

    Raises
    ------
    TypeError, ValueError
        As in :class:`renyi_core.schedules.TargetEntropy`.

    Notes
    -----
    Nothing is read from the device. ``state_dict`` holds log β in float64, and resumes exactly.

    Examples
    --------
    >>> import torch
    >>> import renyi_core as renyi
    >>> from renyi_training.torch import TargetEntropyWeight
    >>> beta = TargetEntropyWeight(fraction=0.5, n=4, initial=0.1, rate=0.1)
    >>> logits = torch.zeros(8, 4, requires_grad=True)
    >>> entropies = renyi.entropy_from_logits(logits, 2.0)
    >>> (-beta() * entropies.mean()).backward()
    >>> beta.update(entropies)
    >>> round(float(beta()), 6)
    0.093303
    """

    log_weight: Tensor

    def __init__(
        self,
        target: float | None = None,
        *,
        fraction: float | None = None,
        n: int | None = None,
        initial: float = 0.01,
        rate: float = 0.01,
        bounds: tuple[float, float] = (1e-6, 1e3),
        process_group: Any = None,
        synchronize: bool = True,
    ) -> None:
        super().__init__()
        checked = TargetEntropy(target, fraction=fraction, n=n, initial=initial, rate=rate, bounds=bounds)
        self.target = checked.target
        self._rate, self._bounds = float(rate), (float(bounds[0]), float(bounds[1]))
        self._group, self._synchronize = process_group, synchronize
        log_weight = torch.tensor([checked.state_dict()["log_weight"]], dtype=torch.float64)
        self.register_buffer("log_weight", log_weight)

    def forward(self) -> Tensor:
        """Return β, a tensor of shape () without a gradient."""
        return self.log_weight[0].exp().clamp(*self._bounds)

    def update(self, entropy: Tensor, where: Tensor | None = None) -> None:
        """Move the weight by the entropies of a batch, a tensor of any shape of which the mean is taken.

        Over several processes it is the mean of all their entropies, and the weight is the same on each. If it is not
        finite, or of no entropy at all, the weight stays.

        Parameters
        ----------
        entropy : tensor of shape (...)
            In nats.
        where : boolean tensor, optional
            A mask of the entropies that count, such as those of tokens that are not padding, which broadcasts to them.
            What it leaves out may hold anything.
        """
        same_namespace(entropy, torch_namespace, "entropy", "log_weight")
        floating(entropy, "entropy")
        check_mask(where, torch_namespace, "entropy", tuple(entropy.shape))
        values = entropy.detach().to(self.log_weight.device, self.log_weight.dtype)
        counted = torch.ones_like(values, dtype=torch.bool) if where is None else where.to(values.device)
        counted = counted.expand(values.shape)
        total = torch.stack([torch.where(counted, values, 0.0).sum(), counted.sum().to(values.dtype)])
        if self._synchronize and dist.is_available() and dist.is_initialized():
            dist.all_reduce(total, group=self._group)
        # of no entropies: 0/0 is NaN
        mean = total[0] / total[1]
        after = dual_ascent(self.log_weight, mean, target=self.target, rate=self._rate, bounds=self._bounds)
        self.log_weight.copy_(after)

    def extra_repr(self) -> str:
        """Show the target and the weight."""
        weight = "?" if self.log_weight.is_meta else f"{float(self()):.6g}"
        return f"target={self.target:.6g}, weight={weight}"


def _bounds(bounds: Any) -> tuple[float, float]:
    low, high = (number(bound, "alpha_bounds") for bound in bounds)
    if not 0 <= low < high < math.inf:
        msg = f"`alpha_bounds` must be >= 0, finite and in order, got {bounds!r}"
        raise ValueError(msg)
    return low, high
