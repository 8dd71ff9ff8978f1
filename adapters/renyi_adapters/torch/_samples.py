"""The entropy of order 2 of samples: backward keeps them alone, and computes the analytic derivative."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from renyi_core._kernels import samples as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.row_blocks import by_rows
from renyi_core._kernels.samples import Scaled

from ._function import differentiable, sum_to

Tensor = Any

__all__ = ["order_two_entropy"]


@dataclass(frozen=True)
class _Static:
    """What of a call is not a tensor; ``number`` is the bandwidth if that is none, ``of`` what a derivative is of."""

    power: int
    number: float | None
    of: int = 0

    def scaled(self, x: Tensor, bandwidth: Tensor, nothing: Tensor) -> Scaled:
        sigma = bandwidth if self.number is None else self.number
        return Scaled(x, sigma, sigma * sigma if self.power == 2 else sigma, self.power, nothing)


def _value(static: _Static, *tensors: Tensor) -> Tensor:
    return agnostic.order_two_entropy(static.scaled(*tensors), rows=by_rows, xp=torch_namespace)


def _gradient(static: _Static, *tensors: Tensor) -> Tensor:
    s = static.scaled(*tensors)
    gradient = agnostic.order_two_gradient(s, bandwidth=static.of == 1, rows=by_rows, xp=torch_namespace)[1]
    return gradient[..., None, None] if static.of == 1 else gradient


_apply_gradient = differentiable(_gradient, _gradient)


def _pull_back(static: _Static, tensors: Any, wanted: Any, cotangent: Tensor) -> tuple[Any, ...]:
    found: list[Any] = [None] * len(tensors)
    for wrt in (0, 1):
        if wanted[wrt]:
            gradient = _apply_gradient(replace(static, of=wrt), *tensors)
            found[wrt] = sum_to(scaled(gradient, cotangent[..., None, None], torch_namespace), tensors[wrt])
    return tuple(found)


_apply = differentiable(_value, _value, pull_back=_pull_back)


def order_two_entropy(s: Scaled, *, rows: Any, xp: Any) -> Tensor:
    """Overlay renyi_core._kernels.samples.order_two_entropy."""
    if torch.compiler.is_compiling():
        return agnostic.order_two_entropy(s, rows=rows, xp=xp)
    if isinstance(s.bandwidth, float):
        return _apply(_Static(s.power, s.bandwidth), s.x, None, s.nothing.detach())
    return _apply(_Static(s.power, None), s.x, s.bandwidth, s.nothing.detach())
