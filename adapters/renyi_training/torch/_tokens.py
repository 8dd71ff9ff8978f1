"""What functions of logits and of a head check alike: orders, and the tokens whose log-probabilities are asked for."""

from __future__ import annotations

from typing import Any

import torch

from renyi_core._arrays import prepare
from renyi_core._kernels.state import Order
from renyi_core._numbers import finite, positive

Tensor = Any

__all__ = ["checked_orders", "checked_tokens", "factor", "without_ignored"]


def checked_orders(logits: Tensor, alpha: Any, where: Tensor | None) -> tuple[Order, ...]:
    """Return the orders of logits: of a number, of a tensor that broadcasts to the rows, or of a tuple of numbers."""
    given: tuple[Any, ...] = alpha if isinstance(alpha, tuple) else (alpha,)
    if not given:
        msg = "`alpha` must hold at least one order, got ()"
        raise ValueError(msg)
    options: dict[str, Any] = {"name": "logits", "axis": -1, "where": where, "base": None, "keepdims": False}
    problems = [prepare(logits, order, **options) for order in given]
    static = all(arguments.order.static for arguments in problems)
    if isinstance(alpha, tuple) and not static:
        msg = f"`alpha` must be a number or a tuple of numbers, got {alpha!r}"
        raise TypeError(msg)
    rows = tuple(logits.shape[:-1])
    if not static and problems[0].shape != rows:
        msg = f"`alpha` of shape {tuple(alpha.shape)} does not broadcast to the tokens, of shape {rows}"
        raise ValueError(msg)
    return tuple(arguments.order for arguments in problems)


def factor(value: Any, name: str) -> float:
    """Return a positive and finite number as a float; raise for any other."""
    return positive(finite(value, name), name)


def checked_tokens(tokens: Any, shape: tuple[int, ...], vocabulary: int, ignore_index: Any) -> tuple[Tensor, Tensor]:
    """Return the tokens as int64, any in the place of those to ignore, and where these are (None: there are none)."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        msg = f"`ignore_index` must be an integer, got {ignore_index!r}"
        raise TypeError(msg)
    if tokens is None:
        return None, None
    integers = isinstance(tokens, torch.Tensor) and tokens.dtype != torch.bool
    if not integers or tokens.is_floating_point() or tokens.is_complex():
        given = tokens.dtype if isinstance(tokens, torch.Tensor) else type(tokens).__name__
        msg = f"`tokens` must be a tensor of integers, got {given}"
        raise TypeError(msg)
    if tuple(tokens.shape) != shape:
        msg = f"`tokens` of shape {tuple(tokens.shape)} must have the shape of the distributions, {shape}"
        raise ValueError(msg)
    # a comparison in uint8 would take −100 for 156
    tokens = tokens.long()
    extremes = _extremes(tokens)
    if extremes is not None:
        low, high = extremes
        if not low <= ignore_index <= high and low >= 0 and high < vocabulary:
            return tokens, None
    ignored = tokens == ignore_index
    tokens = torch.where(ignored, 0, tokens)
    if extremes is not None:
        for token in _extremes(tokens) or ():
            if not 0 <= token < vocabulary:
                msg = f"`tokens` must be from 0 to {vocabulary - 1} or `ignore_index`, {ignore_index}; got {token}"
                raise IndexError(msg)
    return tokens, ignored


def without_ignored(result: Tensor, ignored: Tensor) -> Tensor:
    """Return a result of positions, 0 with a gradient of 0 where their token is to be ignored."""
    return result if ignored is None else torch.where(ignored, 0.0, result)


def _extremes(tokens: Tensor) -> tuple[int, int] | None:
    """Return the least and the largest token; None if they cannot be read, or only by waiting for a GPU."""
    if torch.compiler.is_compiling() or type(tokens) is not torch.Tensor:
        return None
    if tokens.device.type != "cpu" or tokens.numel() == 0:
        return None
    try:
        low, high = torch.aminmax(tokens)
        return int(low), int(high)
    except RuntimeError:
        # batched by vmap
        return None
