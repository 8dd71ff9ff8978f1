"""What the functions of two distributions share: from their arguments to what is to be computed."""

from __future__ import annotations

from typing import Any

from ._arrays import prepare_pair
from ._kernels.family import Family
from ._kernels.state import Source
from ._quantity import Quantity

Array = Any

__all__ = ["NAMES", "of_pair"]

NAMES = {"probs": ("p", "q"), "logits": ("p_logits", "q_logits")}


def of_pair(
    family: Family,
    x: Array,
    y: Array,
    alpha: Any,
    source: Source,
    *,
    base: Any = None,
    kind: str | None = None,
    **given: Any,
) -> Any:
    """Return the quantity of each pair of distributions; ``kind`` is for a family that knows several."""
    arguments = prepare_pair(x, y, alpha, names=NAMES[source], base=base, **given)
    options = {"source": source} if kind is None else {"source": source, "kind": kind}
    return Quantity(arguments, family, (x, y), options, alpha)
