"""Nearest neighbors in torch: distances by differences, not by products, which would lose digits, and ``topk``."""

from __future__ import annotations

import math
from typing import Any

import torch

from renyi_core._kernels.neighbors import blocks_of, finite_sets

Array = Any

__all__ = ["kth_neighbor", "neighbor_sum"]


def kth_neighbor(samples: Array, *, k: int, xp: Any) -> Array:
    """Overlay renyi_core._kernels.neighbors.kth_neighbor."""
    samples, _ = finite_sets(samples, xp)
    # a power of two, so that squares are in range and no digit is lost
    exponent = torch.frexp(samples.abs().amax((-2, -1), keepdim=True))[1]
    least = math.frexp(torch.finfo(samples.dtype).tiny)[1]
    samples = torch.ldexp(samples, -exponent.clamp(min=least))
    found = []
    for block in blocks_of(samples):
        distances = torch.cdist(samples[..., block, :], samples, compute_mode="donot_use_mm_for_euclid_dist")
        # a copy, lest it keep all k alive
        found.append(distances.topk(k + 1, largest=False)[1][..., k].clone())
    return found[0] if len(found) == 1 else torch.cat(found, -1)


def neighbor_sum(values: Array, index: Array, *, xp: Any) -> Array:  # noqa: ARG001
    """Overlay renyi_core._kernels.neighbors.neighbor_sum."""
    *sets, n, dimension = values.shape
    count = math.prod(sets)
    first = torch.arange(count, device=values.device)[:, None] * n
    flat = (index.reshape(count, n) + first).reshape(-1)
    total = torch.zeros((count * n, dimension), dtype=values.dtype, device=values.device)
    return total.index_add(0, flat, values.reshape(-1, dimension)).reshape(values.shape)
