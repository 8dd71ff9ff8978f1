"""The entropy of a linear layer's softmax, of which the logits are never stored: a tile of them exists at a time.

A tile spans all tokens and some of the vocabulary, or the whole vocabulary and some tokens: whichever of the two is
longer is cut, so that tiles are as square as the room allows. Partial states of a cut vocabulary are merged. Backward
computes each tile anew and writes the gradient over it; what is summed over tiles, the gradient of the shorter side, is
summed in float32 at least, and the other one is a product of whole rows. Several orders share the tiles.

Of a group of processes each has the tiles of its shard of the vocabulary. One collective gathers the states in forward,
another sums what is of all shards in backward: the gradients of the hidden states and of an order.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from array_api_compat import torch as torch_namespace
from torch.nn.functional import linear

from renyi_adapters.torch import _states as states
from renyi_adapters.torch._blocks import tanh_
from renyi_adapters.torch._function import pull, sum_to
from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.state import Order, Rows, State, finish

from ._parallel import Last, gathered

Tensor = Any

__all__ = ["Head", "head_entropy"]

LAST = (-1,)
ALIGNMENT = 64
PARTS = 8
"""The gradient of log-probabilities takes a tile in so many parts, since it needs a copy."""


@dataclass(frozen=True)
class Head:
    """What of a call is not a tensor.

    The orders (none: one of tensors), the dtype of the logits, of how many tokens they may exist at a time, whether
    there are tokens given, and whether gradients are enabled, which they are not within a Function. The logits are
    ``factor`` times the products, or ``cap`` · tanh(``factor`` · product/``cap``). The ``group`` has the other shards.
    """

    orders: tuple[Order, ...]
    dtype: Any
    chunk: int
    with_log_prob: bool
    with_gradient: bool
    factor: float = 1.0
    cap: float | None = None
    group: Any = None

    def orders_of(self, alpha: Tensor, t: Tensor, infinite: Tensor) -> tuple[Order, ...]:
        """Return the orders."""
        return self.orders or (Order(alpha, t, infinite),)


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
        self._head, self._where, self.group = head, where, head.group
        self.hidden, self.weight = hidden.to(head.dtype), weight.to(head.dtype)
        self.bias = None if bias is None else bias.to(head.dtype)
        if where is not None and head.cap is None:
            # by the bias, which costs the product nothing
            shift = self.weight.new_zeros(()) if self.bias is None else self.bias
            self.bias = torch.where(where, shift, -math.inf)
        tokens, vocabulary = hidden.shape[0], weight.shape[0]
        self.cuts_vocabulary = tokens <= vocabulary
        longer, shorter = (vocabulary, tokens) if self.cuts_vocabulary else (tokens, vocabulary)
        # a shard may be empty
        length = max(1, head.chunk * vocabulary // shorter) if shorter else longer
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
                tanh_(logits)
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
    head: Head, orders: tuple[Order, ...], tiles: _Tiles, tokens: Tensor | None, *, full: bool
) -> tuple[list[State], Tensor | None]:
    """Return the states of the rows, one for each order, and, if there are tokens, their logits."""
    chosen = None
    parts: list[list[State]] = [[] for _ in orders]
    if tokens is not None:
        # of a token that is outside of the vocabulary
        chosen = tiles.hidden.new_full((tokens.shape[0], 1), math.nan, dtype=states.accumulator(head.dtype))
    for tile in tiles:
        for order, found in zip(orders, parts, strict=True):
            part_order = states.rows_of_order(order, tile.rows)
            part = states.state_of(tile.logits, part_order, full=full)
            if found and tiles.cuts_vocabulary:
                found[0] = states.merged(found[0], part, part_order)
            else:
                found.append(part)
        if tokens is not None and chosen is not None and tile.logits.numel():
            column, inside = _of_token(tokens, tile)
            logit = tile.logits.gather(1, column).to(chosen.dtype)
            chosen[tile.rows] = torch.where(inside, logit, chosen[tile.rows])
    whole = [
        State(*(None if field[0] is None else torch.cat(field) for field in zip(*found, strict=True)))
        for found in parts
    ]
    return whole, chosen


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
        # of a group all processes have one dtype, whichever side of their shard is longer
        of_sum = one_side or tiles.group is not None
        of_hidden, of_weight, of_bias, of_alpha = wanted
        new = tiles.hidden.new_zeros
        self.hidden = new(tiles.hidden.shape, dtype=sums if of_sum else dtype) if of_hidden else None
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

    def reduce(self) -> None:
        """Sum what is of the shards of all processes: the one collective."""
        for total in (self.hidden, self.alpha):
            if total is not None and self._tiles.group is not None:
                dist.all_reduce(total, group=self._tiles.group)


class _Cotangents(NamedTuple):
    """Columns of what is to be pulled back: of each entropy, of the token's logit and of the log-sum-exp."""

    entropy: Tensor | None
    chosen: Tensor | None
    log_sum_exp: Tensor | None


class _Pulled(NamedTuple):
    """What backward knows of some rows: the orders with a state for each, what all states say, and the cotangents."""

    orders: tuple[Order, ...]
    states: tuple[State, ...]
    rows: Rows
    given: _Cotangents

    def some(self, index: slice) -> _Pulled:
        """Return that of some of the rows."""

        def part(fields: Any) -> Any:
            return type(fields)(*(None if field is None else field[index] for field in fields))

        orders = tuple(states.rows_of_order(order, index) for order in self.orders)
        return _Pulled(orders, tuple(map(part, self.states)), part(self.rows), part(self.given))


def _cotangents(dtype: Any, entropy: Any, log_prob: Any, log_sum_exp: Any) -> _Cotangents:
    entropy, log_prob, log_sum_exp = (
        None if one is None else one.detach().to(dtype) for one in (entropy, log_prob, log_sum_exp)
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
            none = (cotangent == 0).all(1, keepdim=True)
            idle = none if idle is None else idle & none
    # what is fake or on the meta device has no values to be read
    known = type(hidden) is torch.Tensor and hidden.device.type != "meta"
    return hidden if known and not bool(idle.any()) else torch.where(idle, 0.0, hidden)


def _gradient_over(tile: _Tile, call: _Pulled, tokens: Tensor | None, where: Tensor | None) -> None:
    """Write the gradient with respect to the logits of a tile over them; all but tokens and mask is of its rows."""
    logits, given = tile.logits, call.given
    if given.log_sum_exp is None and len(call.orders) == 1:
        states.gradient_of_state(logits, call.states[0], given.entropy, call.orders[0], out=logits)
        return
    step = max(1, -(-logits.shape[0] // PARTS))
    for start in range(0, logits.shape[0], step):
        part, some = logits[start : start + step], call.some(slice(start, start + step))
        total = None
        if some.given.log_sum_exp is not None:
            total = torch.sub(part, some.states[0].peak).exp_().mul_(some.given.log_sum_exp / some.rows.total)
            # whatever the row holds
            total.masked_fill_(some.given.log_sum_exp == 0, 0.0)
        for k, (order, state) in enumerate(zip(some.orders, some.states, strict=True)):
            if some.given.entropy is None:
                continue
            # the last one takes the place of the logits
            out = part if k == len(some.orders) - 1 else None
            found = states.gradient_of_state(part, state, some.given.entropy[:, k : k + 1], order, out=out)
            total = found if total is None else found.add_(total)
        if given.entropy is None:
            part.copy_(total)
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
    logits = linear(hidden.to(head.dtype), weight.to(head.dtype), None if bias is None else bias.to(head.dtype))
    logits = logits.to(states.accumulator(head.dtype))
    logits = head.factor * logits if head.cap is None else head.cap * torch.tanh(head.factor / head.cap * logits)
    if where is not None:
        logits = torch.where(where, logits, -math.inf)
    values = [
        agnostic.entropy(logits, order, source="logits", measure=ENTROPY, where=where, axis=LAST, xp=torch_namespace)
        for order in head.orders_of(alpha, t, infinite)
    ]
    value = torch.cat(values, -1)
    if tokens is None:
        return value
    total = torch.logsumexp(logits, -1, keepdim=True)
    column, inside = _within(tokens[:, None].long(), logits.shape[1])
    return value, torch.where(inside, logits.gather(1, column), math.nan) - total, total


class _HeadEntropy(torch.autograd.Function):
    """The results for flat tokens, from ``(head, hidden, weight, bias, tokens, where, alpha, t, infinite)``."""

    @staticmethod
    def forward(ctx: Any, head: Head, *tensors: Any) -> Any:
        hidden, weight, bias, tokens, where, *of_order = tensors
        orders = head.orders_of(*of_order)
        ctx.head = head
        ctx.set_materialize_grads(False)
        with _without_autocast(hidden.device.type):
            tiles = _Tiles(head, hidden, weight, bias, where)
            found, chosen = _forward(head, orders, tiles, tokens, full=head.with_gradient and any(ctx.needs_input_grad))
            if head.group is not None:
                found, chosen = gathered(found, orders, head.group, chosen)
        rows = [finish(state, order, xp=torch_namespace) for state, order in zip(found, orders, strict=True)]
        ctx.save_for_backward(*tensors, *(field for state in found for field in state))
        entropies = torch.cat([row.h for row in rows], -1)
        if chosen is None:
            return entropies
        peak, h_inf = found[0].peak, rows[0].h_inf
        return entropies, (chosen - peak) - h_inf, peak + h_inf

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        head = ctx.head
        tensors, fields = ctx.saved_tensors[:8], ctx.saved_tensors[8:]
        if all(one is None for one in given):
            return (None, *(None for _ in tensors))
        wanted = ctx.needs_input_grad[1:]
        if not torch.is_grad_enabled():
            return (None, *_pulled_back(head, tensors, fields, wanted, given))
        # the gradients are to be differentiated in their turn
        if head.group is not None:
            with torch.no_grad():
                along = _pulled_back(head, tensors, fields, wanted, given)
            inputs = [one for one in (*tensors, *given) if one is not None]
            name = "`linear_entropy` with `group`"
            return (None, *(None if one is None else Last.apply(name, one, *inputs) for one in along))
        columns = (len(fields) // 4, 1, 1)
        like, count = states.accumulator(head.dtype), tensors[0].shape[0]
        some = tuple(
            tensors[0].new_zeros((count, k), dtype=like) if one is None else one
            for one, k in zip(given, columns, strict=False)
        )
        return (None, *pull(_direct, head, tensors, wanted, some if head.with_log_prob else some[0]))


def _pulled_back(head: Head, tensors: Any, fields: Any, wanted: Any, given: Any) -> list[Any]:
    """Return the gradients of the tensors, computed tile by tile."""
    hidden, weight, bias, tokens, where, *of_order = tensors
    orders = head.orders_of(*of_order)
    found = tuple(State(*fields[k : k + 4]) for k in range(0, len(fields), 4))
    cotangents = _cotangents(found[0].peak.dtype, *given, *(None,) * (3 - len(given)))
    with _without_autocast(hidden.device.type):
        hidden = _without_idle(hidden, cotangents) if wanted[1] else hidden
        tiles = _Tiles(head, hidden, weight, bias, where, sloped=True)
        gradients = _Gradients(tiles, (*wanted[:3], wanted[5] and cotangents.entropy is not None))
        of_products = _Cotangents(*(None if one is None else head.factor * one for one in cotangents))
        call = _Pulled(orders, found, finish(found[0], orders[0], xp=torch_namespace), of_products)
        for tile in tiles:
            if not tile.logits.numel():
                continue
            some = call.some(tile.rows)
            if gradients.alpha is not None:
                slope = states.alpha_slope_of_state(tile.logits, some.states[0], some.orders[0])
                gradients.alpha[tile.rows] += slope
            _gradient_over(tile, some, tokens, where)
            gradients.add(tile)
        gradients.reduce()
    along = [
        None if gradient is None else gradient.to(tensor.dtype)
        for gradient, tensor in zip((gradients.hidden, gradients.weight, gradients.bias), tensors, strict=False)
    ]
    of_alpha = None
    if gradients.alpha is not None:
        of_alpha = sum_to(scaled(gradients.alpha, cotangents.entropy, torch_namespace), of_order[0])
    return [*along, None, None, of_alpha, None, None]


def head_entropy(head: Head, *tensors: Any) -> Any:
    """Return the results for flat tokens in columns, as :class:`_HeadEntropy`; an exported graph stores the logits."""
    return (_direct if torch.compiler.is_compiling() else _HeadEntropy.apply)(head, *tensors)
