"""The entropy of a linear layer's softmax, of which the logits are never stored: a tile of them exists at a time.

A tile spans all tokens and some of the vocabulary, or the whole vocabulary and some tokens: whichever of the two is
longer is cut, so that tiles are as square as the room allows. Partial states of a cut vocabulary are merged. Backward
computes each tile anew and writes the gradient over it; what is summed over tiles, the gradient of the shorter side, is
summed in float32 at least, and the other one is a product of whole rows.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from array_api_compat import torch as torch_namespace
from torch.nn.functional import linear

from renyi_adapters.torch import _states as states
from renyi_adapters.torch._function import pull, sum_to
from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.state import Order, Rows, State, finish

Tensor = Any

__all__ = ["Head", "head_entropy"]

LAST = (-1,)
ALIGNMENT = 64
PARTS = 8
"""The gradient of log-probabilities takes a tile in so many parts, since it needs a copy."""


@dataclass(frozen=True)
class Head:
    """What of a call is not a tensor.

    The order (None: tensors), the dtype of the logits, of how many tokens they may exist at a time, whether there are
    tokens given, and whether gradients are enabled, which they are not within a Function. The logits are ``factor``
    times the products, or ``cap`` · tanh(``factor`` · product/``cap``).
    """

    order: Order | None
    dtype: Any
    chunk: int
    with_log_prob: bool
    with_gradient: bool
    factor: float = 1.0
    cap: float | None = None

    def order_of(self, alpha: Tensor, t: Tensor, infinite: Tensor) -> Order:
        """Return the order."""
        return Order(alpha, t, infinite) if self.order is None else self.order


class _Tile(NamedTuple):
    """Logits of some tokens, ``rows``, and some of the vocabulary, ``columns``, and what a cap makes of their slope."""

    rows: slice
    columns: slice
    logits: Tensor
    slope: Tensor | None


class _Tiles:
    """The tiles of a call, each written over the one before, and the layer in the dtype of the logits."""

    def __init__(
        self,
        head: Head,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        where: Tensor | None,
        *,
        sloped: bool = False,
    ) -> None:
        self._head, self._where = head, where
        self.hidden, self.weight = hidden.to(head.dtype), weight.to(head.dtype)
        self.bias = None if bias is None else bias.to(head.dtype)
        if where is not None and head.cap is None:
            # by the bias, which costs the product nothing
            shift = self.weight.new_zeros(()) if self.bias is None else self.bias
            self.bias = torch.where(where, shift, -math.inf)
        tokens, vocabulary = hidden.shape[0], weight.shape[0]
        self.cuts_vocabulary = tokens <= vocabulary
        longer, shorter = (vocabulary, tokens) if self.cuts_vocabulary else (tokens, vocabulary)
        length = max(1, head.chunk * vocabulary // max(1, shorter))
        if length >= longer:
            length = longer
        elif length > ALIGNMENT:
            length = -(-longer // -(-longer // (length - length % ALIGNMENT)))
            length += -length % ALIGNMENT
        self._cuts = [slice(start, min(start + length, longer)) for start in range(0, longer, length)]
        self._room = self.hidden.new_empty(length * shorter)
        self._slopes = torch.empty_like(self._room) if sloped and head.cap is not None else None

    def __iter__(self) -> Iterator[_Tile]:
        """Compute one tile after the other."""
        tokens, vocabulary = slice(0, self.hidden.shape[0]), slice(0, self.weight.shape[0])
        for cut in self._cuts:
            rows, columns = (tokens, cut) if self.cuts_vocabulary else (cut, vocabulary)
            shape = rows.stop - rows.start, columns.stop - columns.start
            logits = self._room[: math.prod(shape)].view(shape)
            factors = self.hidden[rows], self.weight[columns].t()
            factor, cap = self._head.factor, self._head.cap
            inner = factor if cap is None else factor / cap
            shift, share = (logits, 0.0) if self.bias is None else (self.bias[columns], inner)
            torch.addmm(shift, *factors, beta=share, alpha=inner, out=logits)
            slope = None
            if cap is not None:
                logits.tanh_()
                if self._slopes is not None:
                    slope = self._slopes[: logits.numel()].view(shape)
                    torch.addcmul(logits.new_ones(()), logits, logits, value=-1, out=slope)
                logits.mul_(cap)
                if self._where is not None:
                    logits.masked_fill_(~self._where[columns], -math.inf)
            yield _Tile(rows, columns, logits, slope)


def _of_token(tokens: Tensor, tile: _Tile) -> tuple[Tensor, Tensor]:
    """Return the column of each token within a tile, any if it is in another, and whether it is in this one."""
    return _within(tokens[tile.rows, None].long() - tile.columns.start, tile.logits.shape[1])


def _within(column: Tensor, length: int) -> tuple[Tensor, Tensor]:
    inside = (column >= 0) & (column < length)
    return torch.where(inside, column, 0), inside


def _forward(
    head: Head, order: Order, tiles: _Tiles, tokens: Tensor | None, *, full: bool
) -> tuple[State, Tensor | None]:
    """Return the state of each row and, if there are tokens, their logits."""
    chosen = None
    parts: list[State] = []
    if tokens is not None:
        # of a token that is outside of the vocabulary
        chosen = tiles.hidden.new_full((tokens.shape[0], 1), math.nan, dtype=states.accumulator(head.dtype))
    for tile in tiles:
        part_order = states.rows_of_order(order, tile.rows)
        part = states.state_of(tile.logits, part_order, full=full)
        if parts and tiles.cuts_vocabulary:
            parts[0] = states.merged(parts[0], part, part_order)
        else:
            parts.append(part)
        if tokens is not None and chosen is not None:
            column, inside = _of_token(tokens, tile)
            found = tile.logits.gather(1, column).to(chosen.dtype)
            chosen[tile.rows] = torch.where(inside, found, chosen[tile.rows])
    return State(*(None if field[0] is None else torch.cat(field) for field in zip(*parts, strict=True))), chosen


def _add(total: Tensor, index: slice, a: Tensor, b: Tensor, *, once: bool) -> None:
    """Add the product of a and b to a part of the total, or write it there if it is its only term."""
    part = total[index]
    if once and total.dtype == a.dtype:
        torch.mm(a, b, out=part)
    elif total.dtype == a.dtype:
        part.addmm_(a, b)
    else:
        part.add_(torch.mm(a, b))


class _Gradients:
    """The gradients that backward fills, None for one that is not asked for."""

    def __init__(self, tiles: _Tiles, wanted: tuple[bool, ...]) -> None:
        self._tiles = tiles
        dtype = tiles.hidden.dtype
        sums = states.accumulator(dtype)
        one_side = tiles.cuts_vocabulary
        of_hidden, of_weight, of_bias, of_alpha = wanted
        new = tiles.hidden.new_zeros
        self.hidden = new(tiles.hidden.shape, dtype=sums if one_side else dtype) if of_hidden else None
        self.weight = new(tiles.weight.shape, dtype=dtype if one_side else sums) if of_weight else None
        self.bias = new(tiles.weight.shape[:1], dtype=sums) if of_bias else None
        self.alpha = new((tiles.hidden.shape[0], 1), dtype=sums) if of_alpha else None

    def add(self, tile: _Tile) -> None:
        """Add what follows from the gradient of a tile."""
        tiles = self._tiles
        if tile.slope is not None:
            tile.logits.mul_(tile.slope)
        if self.hidden is not None:
            _add(self.hidden, tile.rows, tile.logits, tiles.weight[tile.columns], once=not tiles.cuts_vocabulary)
        if self.weight is not None:
            _add(self.weight, tile.columns, tile.logits.t(), tiles.hidden[tile.rows], once=tiles.cuts_vocabulary)
        if self.bias is not None:
            self.bias[tile.columns] += tile.logits.sum(0, dtype=self.bias.dtype)


class _Cotangents(NamedTuple):
    """Columns of what is to be pulled back: of the entropy, of the token's logit and of the log-sum-exp."""

    entropy: Tensor | None
    chosen: Tensor | None
    log_sum_exp: Tensor | None


def _cotangents(dtype: Any, entropy: Any, log_prob: Any, log_sum_exp: Any) -> _Cotangents:
    entropy, log_prob, log_sum_exp = (
        None if one is None else one.detach().reshape(-1, 1).to(dtype) for one in (entropy, log_prob, log_sum_exp)
    )
    # log-probability = logit of the token − log-sum-exp
    if log_prob is not None:
        log_sum_exp = -log_prob if log_sum_exp is None else log_sum_exp - log_prob
    return _Cotangents(entropy, log_prob, log_sum_exp)


def _without_idle(hidden: Tensor, given: _Cotangents) -> Tensor:
    """Return 0 in place of tokens that do not count, whose NaN a cotangent of 0 would bring into the weight's gradient.

    It takes a copy, where there are such tokens.
    """
    idle: Any = None
    for cotangent in given:
        if cotangent is not None:
            idle = cotangent == 0 if idle is None else idle & (cotangent == 0)
    # what is fake or on the meta device has no values to be read
    known = type(hidden) is torch.Tensor and hidden.device.type != "meta"
    return hidden if known and not bool(idle.any()) else torch.where(idle, 0.0, hidden)


def _gradient_over(
    tile: _Tile, order: Order, state: State, rows: Rows, given: _Cotangents, tokens: Tensor | None, where: Tensor | None
) -> None:
    """Write the gradient with respect to the logits of a tile over them; all else but the tokens is of its rows."""
    logits = tile.logits
    if given.log_sum_exp is None:
        states.gradient_of_state(logits, state, given.entropy, order, out=logits)
        return
    step = max(1, -(-logits.shape[0] // PARTS))
    for start in range(0, logits.shape[0], step):
        index = slice(start, start + step)
        part = logits[index]
        probs = torch.sub(part, state.peak[index]).exp_()
        along = given.log_sum_exp[index] / rows.total[index]
        probs = scaled(probs, torch.where(given.log_sum_exp[index] == 0, 0.0, along), torch_namespace)
        if given.entropy is None:
            part.copy_(probs)
        else:
            some = State(*(None if field is None else field[index] for field in state))
            part_order = states.rows_of_order(order, index)
            states.gradient_of_state(part, some, given.entropy[index], part_order, out=part)
            part.add_(probs)
    if given.chosen is not None and tokens is not None:
        column, inside = _of_token(tokens, tile)
        if where is not None:
            inside = inside & where[tile.columns][column]
        logits.scatter_add_(1, column, torch.where(inside, given.chosen, 0.0).to(logits.dtype))


def _without_autocast(device: str) -> Any:
    """Return a context in which products have the dtype of their factors."""
    if not torch.amp.is_autocast_available(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def _direct(head: Head, *tensors: Tensor) -> Any:
    """Return the results by way of stored logits, in torch's differentiable operations."""
    hidden, weight, bias, tokens, where, alpha, t, infinite = tensors
    if alpha is not None:
        # the value of t was formed before α was rounded; its derivative is α's
        t = t.detach() + (alpha - alpha.detach())
    order = head.order_of(alpha, t, infinite)
    logits = linear(hidden.to(head.dtype), weight.to(head.dtype), None if bias is None else bias.to(head.dtype))
    logits = logits.to(states.accumulator(head.dtype))
    logits = head.factor * logits if head.cap is None else head.cap * torch.tanh(head.factor / head.cap * logits)
    if where is not None:
        logits = torch.where(where, logits, -math.inf)
    value = agnostic.entropy(
        logits, order, source="logits", measure=ENTROPY, where=where, axis=LAST, xp=torch_namespace
    )[:, 0]
    if tokens is None:
        return value
    total = torch.logsumexp(logits, -1)
    column, inside = _within(tokens[:, None].long(), logits.shape[1])
    return value, torch.where(inside, logits.gather(1, column), math.nan)[:, 0] - total, total


class _HeadEntropy(torch.autograd.Function):
    """The results for flat tokens, from ``(head, hidden, weight, bias, tokens, where, alpha, t, infinite)``."""

    @staticmethod
    def forward(ctx: Any, head: Head, *tensors: Any) -> Any:
        hidden, weight, bias, tokens, where, *of_order = tensors
        order = head.order_of(*of_order)
        ctx.head = head
        ctx.set_materialize_grads(False)
        with _without_autocast(hidden.device.type):
            tiles = _Tiles(head, hidden, weight, bias, where)
            state, chosen = _forward(head, order, tiles, tokens, full=head.with_gradient and any(ctx.needs_input_grad))
            rows = finish(state, order, xp=torch_namespace)
        ctx.save_for_backward(*tensors, *state)
        if chosen is None:
            return rows.h[:, 0]
        log_prob = (chosen - state.peak) - rows.h_inf
        return rows.h[:, 0], log_prob[:, 0], (state.peak + rows.h_inf)[:, 0]

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        head = ctx.head
        *tensors, peak, r0, s, ra = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if all(one is None for one in given):
            return (None, *(None for _ in tensors))
        if torch.is_grad_enabled():
            # the gradient is to be differentiated in its turn
            like = states.accumulator(head.dtype)
            some = tuple(tensors[0].new_zeros(tensors[0].shape[0], dtype=like) if g is None else g for g in given)
            return (None, *pull(_direct, head, tensors, wanted, some if head.with_log_prob else some[0]))
        hidden, weight, bias, tokens, where, *of_order = tensors
        order, state = head.order_of(*of_order), State(peak, r0, s, ra)
        cotangents = _cotangents(peak.dtype, *given, *(None,) * (3 - len(given)))
        with _without_autocast(hidden.device.type):
            hidden = _without_idle(hidden, cotangents) if wanted[1] else hidden
            tiles = _Tiles(head, hidden, weight, bias, where, sloped=True)
            gradients = _Gradients(tiles, (*wanted[:3], wanted[5] and cotangents.entropy is not None))
            rows = finish(state, order, xp=torch_namespace)
            of_products = _Cotangents(*(None if one is None else head.factor * one for one in cotangents))
            for tile in tiles:
                _pull_tile(tile, order, state, rows, of_products, tokens, where, gradients)
        along = [
            None if gradient is None else gradient.to(tensor.dtype)
            for gradient, tensor in zip((gradients.hidden, gradients.weight, gradients.bias), tensors, strict=False)
        ]
        slope = None
        if gradients.alpha is not None:
            slope = sum_to(scaled(gradients.alpha, cotangents.entropy, torch_namespace), of_order[0])
        return (None, *along, None, None, slope, None, None)


def _pull_tile(
    tile: _Tile,
    order: Order,
    state: State,
    rows: Rows,
    given: _Cotangents,
    tokens: Tensor | None,
    where: Tensor | None,
    gradients: _Gradients,
) -> None:
    """Pull the cotangents back through one tile."""

    def some(fields: Any) -> Any:
        return type(fields)(*(None if field is None else field[tile.rows] for field in fields))

    order, state = states.rows_of_order(order, tile.rows), some(state)
    if gradients.alpha is not None:
        gradients.alpha[tile.rows] += states.alpha_slope_of_state(tile.logits, state, order)
    _gradient_over(tile, order, state, some(rows), some(given), tokens, where)
    gradients.add(tile)


def head_entropy(head: Head, *tensors: Any) -> Any:
    """Return the results for flat tokens, as :class:`_HeadEntropy`; an exported graph stores the logits."""
    return (_direct if torch.compiler.is_compiling() else _HeadEntropy.apply)(head, *tensors)
