"""Terms of a whole batch that lies on several processes: of the mean over all of them, with its gradient."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
import torch.distributed as dist

from renyi_core import regularizers
from renyi_core._kernels.batch import SHARE_OF_MEAN
from renyi_core._kernels.divergence import DIVERGENCE
from renyi_core._kernels.family import Call, run
from renyi_core._kernels.state import Order
from renyi_core.regularizers._calls import TermCall
from renyi_core.regularizers._marginal import BatchTerm, Marginal, Mean, of_batch

Tensor = Any

__all__ = ["BalanceTerm", "InformationTerm"]


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs, of losses that each process has."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        return _Sum.apply(cotangents[0], ctx.group), None


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class _OfGroup(BatchTerm):
    """A term of the rows of all processes of a group; None: of this one's alone."""

    group: Any = None

    def _evaluate(self, batch: TermCall) -> Tensor:
        if self.group is None or batch.none():
            return super()._evaluate(batch)
        # a process without rows takes part all the same
        batch = self._masked(batch)
        return batch.scaled(0.0 - self._total(batch), batch.weight)

    def _marginal(self, batch: TermCall, alpha: Any) -> Marginal:
        if self.group is None:
            return super()._marginal(batch, alpha)
        x, axis = batch.arguments.x, batch.arguments.axis
        axes = tuple(i for i in range(x.ndim) if i - x.ndim not in axis)
        weights: Any = 1.0 if batch.weights is None else batch.weights
        own = run(of_batch(SHARE_OF_MEAN, batch, self.source, weights)).sum(axes)
        count = own.new_full((), math.prod(batch.rows)) if batch.weights is None else weights.sum()
        sums = _Sum.apply(torch.cat([own.flatten(), count[None]]), self.group)
        empty = sums[-1] == 0
        some = torch.where(empty, 1.0, sums[-1])
        mean = torch.where(empty, 1.0, sums[:-1].reshape(own.shape) / some)
        return Marginal.of(Mean(weights / some, mean, empty, axes), alpha, self.source)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class BalanceTerm(_OfGroup, regularizers.BalanceTerm):
    """The term of the core, of a group."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class InformationTerm(_OfGroup, regularizers.InformationTerm):
    """The term of the core, of a group."""

    def _mean_rows(self, rows: Tensor, shares: Any, batch: TermCall) -> Tensor:
        own = super()._mean_rows(rows, shares, batch)
        return own if self.group is None else _Sum.apply(own, self.group)

    def _information(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        """Return the mean divergence from the mean, which loses nothing where the rows are nearly alike."""
        if self.group is None:
            return super()._information(batch, wrt, factor)
        arguments, mean, of_logits = batch.arguments, self._marginal(batch, 1.0).mean, self.source == "logits"
        x, of_all = arguments.x, mean.mean
        if arguments.where is not None:
            # of a row alone: the mean keeps the outcome
            x = torch.where(arguments.where, x, -math.inf if of_logits else 0.0)
        if of_logits:
            some = of_all > 0
            of_all = torch.where(some, torch.where(some, of_all, 1.0).log(), -math.inf)
        for i in mean.axes:
            of_all = of_all.unsqueeze(i)
        options = {"source": self.source, "axis": arguments.axis}
        call = Call(DIVERGENCE, (x, of_all.expand(x.shape)), Order(1.0, 0.0), None, options, arguments.xp)
        return self._mean_rows(run(call), mean.shares, batch)
