"""The search for a regularized maximum in blocks of rows that stay in the cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from renyi_core._kernels import choice_search as agnostic
from renyi_core._kernels.choice_search import CELLS, Curve

Array = Any

__all__ = ["search_choice"]

BLOCK = 2**17
"""How many numbers an array of the search holds."""


def search_choice(curve: Curve) -> Array:
    """Overlay renyi_core._kernels.choice_search.search_choice."""
    g, span = curve.g, curve.span
    n = g.shape[-1]
    rows = max(1, BLOCK // (CELLS * n))
    if not curve.order.static or curve.axis != (-1,) or math.prod(g.shape[:-1]) <= rows:
        return agnostic.search_choice(curve)
    g, live = g.reshape(-1, n), curve.live.reshape(-1, n)
    flat = span.reshape(-1, 1)
    found = np.empty_like(flat)
    for start in range(0, len(g), rows):
        part = slice(start, start + rows)
        found[part] = agnostic.search_choice(curve._replace(g=g[part], live=live[part], span=flat[part]))
    return found.reshape(span.shape)
