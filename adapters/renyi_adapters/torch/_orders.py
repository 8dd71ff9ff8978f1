"""Orders under torch.compile."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["changing_number"]


def changing_number(number: float, x: Any) -> Any:
    """Return a number as a tensor where torch.compile traces it as one that changes from call to call.

    A branch of each number's kind would be a compilation of its own; those of a tensor are all in one graph.
    """
    if torch.compiler.is_compiling():
        # loaded with the compiler, slow without
        from torch.fx.experimental import symbolic_shapes

        # of older versions of torch each branch is compiled
        if hasattr(symbolic_shapes, "has_static_value") and not symbolic_shapes.has_static_value(number):
            dtype = torch.float32 if x.device.type == "mps" else torch.float64
            # a sum: ahead of time, torch makes a number that fills a tensor a constant of the graph
            return torch.zeros((), dtype=dtype, device=x.device) + number
    return number
