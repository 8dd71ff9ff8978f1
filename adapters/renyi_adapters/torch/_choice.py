"""Optima that are searched for, out of autograd's sight: what is formed of them has their derivatives."""

from __future__ import annotations

from typing import Any

import torch

from renyi_core._kernels import choice_search, csiszar
from renyi_core._kernels.channel import Channel
from renyi_core._kernels.choice_search import Curve
from renyi_core._kernels.state import Order

Tensor = Any

__all__ = ["argsort_cells", "center_csiszar", "search_choice", "sort_gaps", "take_cells"]


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) else x


def search_choice(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search_choice."""
    order = Order(*map(_detached, curve.order))
    with torch.no_grad():
        return choice_search.search_choice(curve._replace(g=curve.g.detach(), span=_detached(curve.span), order=order))


def center_csiszar(ch: Channel, order: Order, *, xp: Any) -> Any:
    """Overlay renyi_core._kernels.csiszar.center_csiszar."""
    with torch.no_grad():
        return csiszar.center_csiszar(Channel(*map(_detached, ch)), Order(*map(_detached, order)), xp=xp)


def argsort_cells(values: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.argsort_cells; torch's ONNX exporter knows no ``stable``."""
    return torch.argsort(values, dim=0, **({} if torch.compiler.is_compiling() else {"stable": True}))


def sort_gaps(gaps: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice.sort_gaps; of numbers an unstable order is as good."""
    return torch.sort(gaps, dim=-1).values


def take_cells(values: Tensor, index: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.take_cells; ``take_along_dim`` fixes the lengths of exported graphs."""
    return values.expand(values.shape[:1] + index.shape[1:]).gather(0, index)
