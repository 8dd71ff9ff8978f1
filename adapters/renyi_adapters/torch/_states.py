"""The partial state of logits and the gradient from it, by the fastest way that the device has.

On the CPU by NumPy's blocks, on a GPU by Triton's kernels, elsewhere and for an order that is a tensor by the array-API
code, some rows at a time. The logits may be a shard of the distributions: :func:`merged` makes one state of several.

At α = ∞ the gradient needs the number of the largest entries, which may lie in several shards. So a full state holds
there what t·s and ra tend to as α grows: minus the sum of the other entries, and the number of the largest less one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from array_api_compat import torch as torch_namespace

from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.sources import center
from renyi_core._kernels.state import (
    Entries,
    Order,
    Rows,
    State,
    empty_state,
    finish,
    log_ratio,
    merge,
    partial_state,
)

from . import _blocks as blocks
from . import _triton as triton

Tensor = Any

__all__ = ["accumulator", "alpha_slope_of_state", "gradient_of_state", "merged", "rows_of_order", "state_of"]

LAST = (-1,)
XP: Any = torch_namespace
PIECE_CPU, PIECE = 1 << 18, 1 << 24
"""Entries that the array-API code takes at a time, which bounds its temporaries."""


def accumulator(dtype: Any) -> Any:
    """Return the dtype that sums are formed in."""
    return torch.float32 if dtype.itemsize == 2 else dtype


def state_of(x: Tensor, order: Order, *, where: Tensor | None = None, full: bool = False) -> State:
    """Return the partial state of logits over the last axis, which keeps length 1.

    Parameters
    ----------
    x : tensor of shape (..., n)
        Logits, all of a distribution or a shard; n may be 0.
    order : Order
        A static order, or tensors that broadcast to (..., 1).
    where : boolean tensor, optional
        A mask of valid entries that broadcasts to x.
    full : bool
        Whether a gradient is to be computed from the state.

    Returns
    -------
    State
        Fields of shape (..., 1) in the dtype of sums, None for what the order does not need. What has no entry of any
        weight has the identity of ``merge``.
    """
    if x.shape[-1] == 0:
        like = x.new_zeros((*x.shape[:-1], 1), dtype=accumulator(x.dtype))
        state = empty_state(like, order, source="logits", xp=XP, full=full)
        return State(state.peak, state.r0, like, like - 1) if full and _is_infinite(order) else state
    # None on the CPU, and for what the kernels do not take
    found = triton.state_of(x, order, where=where, full=full)
    if found is None and order.static and not (full and _is_infinite(order)):
        found = blocks.state(x, order, where, full=full)
    if found is not None:
        return found
    parts = []
    for piece in _pieces(x, order, where):
        entries = center(piece.x, piece.order, source="logits", where=piece.where, axis=LAST, xp=XP)
        parts.append(_state_of_entries(entries, piece.order, full=full))
    shape = (*x.shape[:-1], 1)
    return State(*(None if field[0] is None else torch.cat(field).reshape(shape) for field in zip(*parts, strict=True)))


def gradient_of_state(
    x: Tensor, state: State, scale: Any, order: Order, *, where: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Return the gradient of the entropy with respect to logits, given the full state of their distributions.

    Parameters
    ----------
    x : tensor of shape (..., n)
        Logits, all of a distribution or a shard.
    state : State
        The full state of whole distributions, with fields of shape (..., 1).
    scale : None, number or tensor
        A factor, a tensor of which broadcasts to (..., 1).
    order : Order
        A static order, or tensors that broadcast to (..., 1).
    where : boolean tensor, optional
        A mask of valid entries that broadcasts to x.
    out : tensor, optional
        Where to write the gradient; it may be x itself.

    Returns
    -------
    tensor
        In the shape and dtype of x.
    """
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel() == 0:
        return out
    found = triton.gradient_of_state(x, state, scale, order, where=where, out=out)
    if found is None and not _is_infinite(order):
        found = blocks.gradient_of_state(x, state, scale, order, where, out)
    if found is not None:
        return found
    target = out if out.is_contiguous() else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    flat = target.view(-1, x.shape[-1])
    for piece in _pieces(x, order, where, state, scale):
        entries, rows = piece.centered()
        gradient = agnostic.gradient_entries(
            entries, rows, piece.order, source="logits", where=None, axis=LAST, xp=XP, tops=piece.tops()
        )
        gradient = scaled(gradient, piece.scale, XP)
        flat[piece.place] = gradient if piece.where is None else torch.where(piece.where, gradient, 0.0)
    return out if target is out else out.copy_(target)


def alpha_slope_of_state(x: Tensor, state: State, order: Order, *, where: Tensor | None = None) -> Tensor:
    """Return what the logits x, all of a distribution or a shard, add to ∂H/∂α, given the full state."""
    parts = []
    for piece in _pieces(x, order, where, state):
        entries, rows = piece.centered()
        parts.append(agnostic.alpha_gradient(entries, rows, piece.order, axis=LAST, xp=XP))
    return torch.cat(parts).reshape(state.peak.shape)


def merged(a: State, b: State, order: Order) -> State:
    """Return the state of the union of two disjoint sets of entries; both are full, or none."""
    if not _is_infinite(order) or a.s is None:
        return merge(a, b, order, source="logits", xp=XP)
    limit = _merged_at_infinity(a, b)
    if order.static:
        return limit
    finite = merge(a, b, order, source="logits", xp=XP)
    return State(*(torch.where(order.infinite, *pair) for pair in zip(limit, finite, strict=True)))


def _merged_at_infinity(a: State, b: State) -> State:
    """Merge as at any order, with the limits of exp(α d), which is 1 at d = 0 alone, and of t·s in place of s."""
    swap = b.peak > a.peak
    high = State(*(torch.where(swap, *pair) for pair in zip(b, a, strict=True)))
    low = State(*(torch.where(swap, *pair) for pair in zip(a, b, strict=True)))
    total = 1 + low.r0
    d, e, dead = log_ratio(low.peak, high.peak, source="logits", xp=XP)
    e = torch.where(dead | (total == 0), 0.0, e)
    w = ((d == 0) & (total != 0)).to(e.dtype)
    return State(
        high.peak,
        high.r0 + e * total,
        high.s + w * low.s + (w - e) * total,
        high.ra + w * (1 + low.ra),
    )


def rows_of_order(order: Order, index: Any) -> Order:
    """Return the order of some rows: tensors are indexed along their first dimension, unless it has length 1."""
    if order.static:
        return order
    return Order(*(part if part.shape[0] == 1 else part[index] for part in order))


def _is_infinite(order: Order) -> bool:
    """Return whether α is ∞ or, being a tensor, may be."""
    return not order.static or order.alpha == math.inf


def _state_of_entries(entries: Entries, order: Order, *, full: bool) -> State:
    state = partial_state(entries, order, axis=LAST, xp=XP, full=full)
    if not (full and _is_infinite(order)):
        return state
    ties, below = agnostic.top_sums(entries, axis=LAST, xp=XP)
    if order.static:
        return State(state.peak, state.r0, -below, ties - 1)
    s, ra = torch.where(order.infinite, -below, state.s), torch.where(order.infinite, ties - 1, state.ra)
    return State(state.peak, state.r0, s, ra)


class _Piece(NamedTuple):
    """Some rows of a call, under each other; the fields of the state and the scale are columns."""

    place: slice
    x: Tensor
    order: Order
    where: Tensor | None
    state: Any
    scale: Any

    def centered(self) -> tuple[Entries, Rows]:
        """Return the entries next to the peak of their whole distributions, and what the state says of these."""
        entries = center(self.x, self.order, source="logits", where=self.where, axis=LAST, xp=XP, peak=self.state.peak)
        return entries, finish(self.state, self.order, xp=XP)

    def tops(self) -> tuple[Tensor, Tensor] | None:
        """Return the number of the largest entries of whole distributions, and the sum of the others, at α = ∞."""
        return (1 + self.state.ra, -self.state.s) if _is_infinite(self.order) else None


def _pieces(
    x: Tensor, order: Order, where: Tensor | None, state: State | None = None, scale: Any = None
) -> Iterator[_Piece]:
    """Yield the rows of a call, some at a time."""
    lead, n = tuple(x.shape[:-1]), x.shape[-1]
    step = max(1, (PIECE_CPU if x.device.type == "cpu" else PIECE) // n)

    def columns(values: Any) -> Any:
        if not isinstance(values, torch.Tensor) or values.numel() == 1:
            return values.reshape(1, 1) if isinstance(values, torch.Tensor) else values
        return values.expand(*lead, 1).reshape(-1, 1)

    def rows(values: Any, index: slice) -> Any:
        return values[index] if isinstance(values, torch.Tensor) and values.shape[0] != 1 else values

    order = order if order.static else Order(*map(columns, order))
    state = None if state is None else State(*map(columns, state))
    scale = columns(scale)
    mask = where
    if mask is not None:
        one = mask.numel() == mask.shape[-1] if mask.ndim else True
        mask = mask.reshape(1, -1) if one else mask.expand(x.shape).reshape(-1, n)
    flat = x.detach().reshape(-1, n)
    for start in range(0, max(1, flat.shape[0]), step):
        index = slice(start, start + step)
        yield _Piece(
            index,
            flat[index],
            order if order.static else Order(*(rows(part, index) for part in order)),
            rows(mask, index),
            None if state is None else State(*(rows(part, index) for part in state)),
            rows(scale, index),
        )
