"""The terms of renyi_core.regularizers as modules: the weight is in the state_dict and moves with the model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from renyi_core import regularizers

from . import _group
from ._modules import Weighted

Tensor = Any

__all__ = [
    "BalanceTerm",
    "ConfidencePenalty",
    "DivergenceTerm",
    "DiversityTerm",
    "EntropyBonus",
    "EntropyFloor",
    "GaussianEntropyBonus",
    "InformationTerm",
    "JensenTerm",
    "LabelSmoothing",
    "SampledEntropyBonus",
]


class TermModule(Weighted):
    """A term of a loss as a module: constructed as the term of the same name, and called as it is.

    Its options are numbers and words. The weight is a buffer in float64, which :meth:`set_weight` changes; ``alpha``
    may be a tensor at the call. ``term`` is the term, with the weight 1.
    """

    kind: ClassVar[type[regularizers.Term]]

    def __init__(self, *args: Any, **options: Any) -> None:
        term: Any = self.kind(*args, **options)
        tensors = [name for name, value in vars(term).items() if isinstance(value, torch.Tensor)]
        if tensors:
            cure = "call `set_weight`" if tensors[0] == "weight" else "give it at the call"
            msg = f"`{tensors[0]}` of a module must be a number, got a tensor; {cure}"
            raise TypeError(msg)
        super().__init__(term.weight)
        self.term = term.replace(weight=1.0)

    def set_weight(self, weight: float | Tensor) -> None:
        """Set the weight, from a schedule or a controller: a number >= 0, or a tensor of one, which is not read."""
        if not isinstance(weight, torch.Tensor):
            regularizers.EntropyBonus(weight=weight)
        super().set_weight(weight)

    def forward(self, *arrays: Tensor, **options: Any) -> Tensor:
        """Return the value of the term, to be added to a loss; the arguments are those of the term."""
        return self.weigh(self.term, *arrays, **options)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"{self.term!r} * {self._shown()}"


class EntropyBonus(TermModule):
    """:class:`renyi_core.regularizers.EntropyBonus` as a module.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.torch import EntropyBonus
    >>> bonus = EntropyBonus(2.0, 0.01)
    >>> logits = torch.zeros(8, 4, requires_grad=True)
    >>> bonus(logits).backward()
    >>> bonus.set_weight(0.005)
    >>> sorted(bonus.state_dict())
    ['weight']
    """

    kind = regularizers.EntropyBonus


class BalanceTerm(TermModule):
    """:class:`renyi_core.regularizers.BalanceTerm` as a module, of the rows of all processes where there is a group.

    Parameters
    ----------
    alpha, weight, source
        As in the term.
    group : torch.distributed.ProcessGroup, optional
        The processes over whose rows the mean goes, as ``torch.distributed.group.WORLD``; by default this one alone.

    Raises
    ------
    TypeError, ValueError
        As the term.

    Notes
    -----
    With a group the value is the same on all processes, and each call is one collective, two of an InformationTerm, as
    is its backward pass: all processes call, with the same weight, those too that have no rows. Each has the gradient
    of the sum of the processes' losses, so that the mean of the gradients, which ``DistributedDataParallel`` and
    ``fully_shard`` take, is that of one process with all rows.

    Examples
    --------
    >>> import torch
    >>> import torch.distributed as dist
    >>> from renyi_training.torch import BalanceTerm
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> term = BalanceTerm(weight=0.01, group=dist.group.WORLD)
    >>> router_logits = torch.zeros(8, 4, requires_grad=True)
    >>> round(term(router_logits).item(), 6)
    -0.013863
    >>> dist.destroy_process_group()
    """

    kind = _group.BalanceTerm


class ConfidencePenalty(TermModule):
    """:class:`renyi_core.regularizers.ConfidencePenalty` as a module."""

    kind = regularizers.ConfidencePenalty


class DivergenceTerm(TermModule):
    """:class:`renyi_core.regularizers.DivergenceTerm` as a module."""

    kind = regularizers.DivergenceTerm


class DiversityTerm(TermModule):
    """:class:`renyi_core.regularizers.DiversityTerm` as a module."""

    kind = regularizers.DiversityTerm


class EntropyFloor(TermModule):
    """:class:`renyi_core.regularizers.EntropyFloor` as a module."""

    kind = regularizers.EntropyFloor


class GaussianEntropyBonus(TermModule):
    """:class:`renyi_core.regularizers.GaussianEntropyBonus` as a module."""

    kind = regularizers.GaussianEntropyBonus


class InformationTerm(TermModule):
    """:class:`renyi_core.regularizers.InformationTerm` as a module, with the ``group=`` of :class:`BalanceTerm`."""

    kind = _group.InformationTerm


class JensenTerm(TermModule):
    """:class:`renyi_core.regularizers.JensenTerm` as a module."""

    kind = regularizers.JensenTerm


class LabelSmoothing(TermModule):
    """:class:`renyi_core.regularizers.LabelSmoothing` as a module."""

    kind = regularizers.LabelSmoothing


class SampledEntropyBonus(TermModule):
    """:class:`renyi_core.regularizers.SampledEntropyBonus` as a module."""

    kind = regularizers.SampledEntropyBonus
