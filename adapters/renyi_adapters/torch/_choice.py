"""The search for a regularized maximum, out of autograd's sight: the step after it has the derivatives."""

from __future__ import annotations

from typing import Any

import torch

from renyi_core._kernels import choice_search as agnostic
from renyi_core._kernels.choice_search import Curve
from renyi_core._kernels.state import Order

__all__ = ["search"]


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) else x


def search(curve: Curve) -> Any:
    """Overlay renyi_core._kernels.choice_search.search."""
    order = Order(*map(_detached, curve.order))
    with torch.no_grad():
        return agnostic.search(curve._replace(g=curve.g.detach(), span=_detached(curve.span), order=order))
