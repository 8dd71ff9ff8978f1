"""What torch has its own ways for: constants of a graph, sorting, and picking."""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any

__all__ = ["argsort_cells", "constant", "sort_gaps", "take_cells"]


def constant(values: Any) -> Any:
    """Overlay renyi_core._kernels.guards.constant."""
    if isinstance(values, tuple):
        parts = tuple(map(constant, values))
        return type(values)(*parts) if hasattr(values, "_fields") else parts
    return values.detach() if isinstance(values, torch.Tensor) else values


def argsort_cells(values: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.argsort_cells; torch's ONNX exporter knows no ``stable``."""
    return torch.argsort(values, dim=0, **({} if torch.compiler.is_compiling() else {"stable": True}))


def sort_gaps(gaps: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice.sort_gaps; of numbers an unstable order is as good."""
    return torch.sort(gaps, dim=-1).values


def take_cells(values: Tensor, index: Tensor, *, xp: Any) -> Tensor:  # noqa: ARG001
    """Overlay renyi_core._kernels.choice_search.take_cells; ``take_along_dim`` fixes the lengths of exported graphs."""
    return values.expand(values.shape[:1] + index.shape[1:]).gather(0, index)
