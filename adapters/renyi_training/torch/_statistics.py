"""What training loops ask of logits, in one pass: entropies, a token's log-probability, log-sum-exp."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from array_api_compat import torch as torch_namespace

from renyi_adapters.torch import _blocks as blocks
from renyi_adapters.torch import _gpu as gpu
from renyi_adapters.torch import _triton as triton
from renyi_adapters.torch._function import differentiable, pull
from renyi_core._arrays import rectangular
from renyi_core._kernels import entropy as agnostic
from renyi_core._kernels.guards import scaled
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.sources import distributions
from renyi_core._kernels.state import Order
from renyi_core._quiet import quiet

from ._results import EntropyAndLogProb
from ._tokens import checked_orders, checked_tokens, factor, without_ignored

Tensor = Any

__all__ = ["entropy_and_log_prob"]

LAST = (-1,)
XP: Any = torch_namespace
LARGEST = Order(math.inf, math.inf)


class _Static(NamedTuple):
    """The orders, and whether the state that a GPU keeps has to serve a gradient of all digits."""

    orders: tuple[Order, ...]
    full: bool

    def groups(self) -> list[tuple[Order, ...]]:
        """Return the orders as they go to the GPU together."""
        step = triton.most_orders
        return [self.orders[start : start + step] for start in range(0, len(self.orders), step)]


@quiet
def entropy_and_log_prob(
    logits: Tensor,
    alpha: float | tuple[float, ...],
    tokens: Tensor | None = None,
    *,
    where: Tensor | None = None,
    temperature: float = 1.0,
    ignore_index: int = -100,
) -> EntropyAndLogProb:
    """Return the Rényi entropy, the log-probability of given tokens and log-sum-exp, which share what they need.

    On a GPU with Triton the forward pass reads the logits once for all of them, up to three orders at a time, and the
    backward pass reads them once more and writes their gradient, which has the parts of all three results. On other
    devices each result takes its own pass.

    Parameters
    ----------
    logits : tensor of shape (..., n)
        Unnormalized log-probabilities.
    alpha : float or tuple of floats
        The order, or orders, >= 0; ``math.inf`` included.
    tokens : integer tensor of shape (...), optional
        The entry of each distribution whose log-probability is wanted. One that is not there is an error on the CPU;
        it has NaN on a GPU, which is not waited for, and where values cannot be read, as under ``torch.compile``.
    where : boolean tensor, optional
        A mask of valid entries that broadcasts to the logits; the others have probability 0.
    temperature : float, default 1
        What the logits are divided by, > 0; another than 1 takes a copy of them.
    ignore_index : int, default -100
        The token of positions that have none, as in ``torch.nn.functional.cross_entropy``: their results are 0, and so
        are their gradients.

    Returns
    -------
    EntropyAndLogProb
        ``entropy`` of shape (...), or (..., K) for a tuple of K orders, in nats; ``log_prob`` of shape (...), None
        without tokens; ``log_sum_exp`` of shape (...). They have the dtype of the logits, but float32 for float16 and
        bfloat16, in which a loss would lose most of its digits. All are differentiable.

    Raises
    ------
    TypeError
        If the logits are not real floating-point, an order is not a number, or the tokens are not integers.
    ValueError
        If an order is negative or NaN, a shape does not fit, or ``temperature`` is not positive and finite.
    IndexError
        If a token on the CPU is not there.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.torch import entropy_and_log_prob
    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    >>> found = entropy_and_log_prob(logits, 2.0, torch.tensor([0, 1]))
    >>> loss = -found.log_prob.mean() - 0.01 * found.entropy.mean()
    >>> loss.backward()
    >>> [round(number, 4) for number in found.log_prob.tolist()]
    [-0.4076, -1.0986]
    """
    # of a tuple, lest an order be a tensor
    orders = checked_orders(logits, alpha if isinstance(alpha, tuple) else (alpha,), where)
    rectangular(logits, "logits")
    tokens, ignored = checked_tokens(tokens, tuple(logits.shape[:-1]), logits.shape[-1], ignore_index)
    full = torch.is_grad_enabled() and logits.requires_grad and gpu.keeps_digits(logits)
    divisor = factor(temperature, "temperature")
    logits = logits if divisor == 1 else logits / divisor
    function = _pure if torch.compiler.is_compiling() else _apply
    packed = function(_Static(orders, full), logits, tokens, where)
    count = len(orders)
    packed = without_ignored(packed, ignored)
    entropies = packed[:count].movedim(0, -1) if isinstance(alpha, tuple) else packed[0]
    return EntropyAndLogProb(entropies, None if tokens is None else packed[count + 1], packed[count])


def _clean(x: Tensor, where: Tensor | None) -> Tensor:
    return x if where is None else torch.where(where, x, -math.inf)


def _index(x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the tokens lie along the last axis, and whether they do."""
    index = tokens.long().unsqueeze(-1)
    known = (index >= 0) & (index < x.shape[-1])
    return torch.where(known, index, 0), known


def _picked(x: Tensor, tokens: Tensor, where: Tensor | None) -> Tensor:
    """Return the logits of the tokens, NaN for one that there is not."""
    index, known = _index(x, tokens)
    picked = x.gather(-1, index).to(triton.accumulator(x.dtype))
    if where is not None:
        picked = torch.where(where.expand(x.shape).gather(-1, index), picked, -math.inf)
    return torch.where(known, picked, math.nan).squeeze(-1)


def _pack(x: Tensor, tokens: Tensor, where: Tensor, entropies: Tensor, peak: Tensor, h_inf: Tensor) -> Tensor:
    """Return all results in one tensor; without log-sum-exp's rounding in the log-probability."""
    results = [*entropies, peak + h_inf]
    if tokens is not None:
        results.append((_picked(x, tokens, where) - peak) - h_inf)
    return torch.stack(results)


def _fast(static: _Static, x: Tensor, tokens: Tensor, where: Tensor) -> Any:
    states = _states(static, x, where)
    if states:
        peak, r0 = states[0][1][:2]
        h_inf = torch.log1p(torch.where(r0 >= 0, r0, math.nan))
        entropies = torch.cat([values for values, _ in states])
        return _pack(x, tokens, where, entropies, peak, h_inf), *(state for _, state in states)
    *entropies, h_inf = (blocks.value(x, order, where, LAST, "logits", ENTROPY) for order in (*static.orders, LARGEST))
    found = [part.squeeze(-1) for part in (*entropies, h_inf) if part is not None]
    if len(found) <= len(entropies):
        return _pure(static, x, tokens, where)
    peak = _clean(x, where).amax(-1).to(found[-1].dtype)
    return _pack(x, tokens, where, found[:-1], peak, found[-1])


def _states(static: _Static, x: Tensor, where: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the entropies and states of the orders, group by group; none where the GPU's kernels do not take them."""
    if not triton.takes(x, static.orders, where):
        return []
    found = (triton.values_and_state(x, group, where=where, full=static.full) for group in static.groups())
    return [both for both in found if both is not None]


def _pure(static: _Static, x: Tensor, tokens: Tensor, where: Tensor) -> Tensor:
    entropies = [
        agnostic.entropy(x, order, source="logits", measure=ENTROPY, where=where, axis=LAST, xp=XP).squeeze(-1)
        for order in static.orders
    ]
    (z,), sound = distributions(x, source="logits", where=where, axis=LAST, xp=XP)
    results = [*entropies, torch.where(sound, torch.logsumexp(z, -1, keepdim=True), math.nan).squeeze(-1)]
    if tokens is not None:
        index, known = _index(x, tokens)
        results.append(torch.where(known & sound, torch.log_softmax(z, -1).gather(-1, index), math.nan).squeeze(-1))
    return torch.stack(results)


def _gradient(static: _Static, x: Tensor, tokens: Tensor, where: Tensor, cotangent: Tensor, *states: Tensor) -> Tensor:
    count = len(static.orders)
    along_token = torch.zeros_like(cotangent[0]) if tokens is None else cotangent[count + 1]
    along_p = cotangent[count] - along_token
    if states and triton.takes(x, static.orders, where, cotangent, tokens, *states):
        return _gpu_gradient(static, x, tokens, where, cotangent, torch.stack([along_p, along_token]), states)
    total: Tensor = None
    for order, part in zip(static.orders, cotangent[:count], strict=True):
        both = blocks.gradient(x, order, where, LAST, "logits", ENTROPY, part.unsqueeze(-1).contiguous())
        if both is None:
            return _pure_gradient(static, x, tokens, where, cotangent, *states)
        total = both[1].to(part.dtype) if total is None else total.add_(both[1])
    total.add_(scaled(torch.softmax(_clean(x, where).to(total.dtype), -1), along_p.unsqueeze(-1), XP))
    if where is not None:
        total = torch.where(where, total, 0.0)
    if tokens is not None:
        index, known = _index(x, tokens)
        alive = known & (_picked(x, tokens, where) != -math.inf).unsqueeze(-1)
        total.scatter_add_(-1, index, torch.where(alive, along_token.unsqueeze(-1), 0.0))
    return total.to(x.dtype)


def _gpu_gradient(
    static: _Static, x: Tensor, tokens: Tensor, where: Tensor, cotangent: Tensor, extras: Tensor, states: Any
) -> Tensor:
    total: Tensor = None
    done = 0
    if tokens is not None:
        tokens = tokens.contiguous()
    for group, state in zip(static.groups(), states, strict=True):
        sums = [triton.with_s(order, full=static.full) for order in group]
        scale = cotangent[done : done + len(group)]
        first = total is None
        part = triton.gradient_of_states(
            x,
            state,
            group,
            scale,
            sums=sums,
            where=where,
            extras=extras if first else None,
            tokens=tokens if first else None,
        )
        total = part if first else total.add_(part)
        done += len(group)
    return total


def _pure_gradient(
    static: _Static, x: Tensor, tokens: Tensor, where: Tensor, cotangent: Tensor, *states: Tensor
) -> Tensor:
    del states  # x says all that they say, and can be differentiated
    return pull(_pure, static, (x, tokens, where), (True, False, False), cotangent)[0]


_apply_gradient = differentiable(_gradient, _pure_gradient)


def _pull_back(static: _Static, tensors: Any, wanted: Any, cotangent: Tensor, *states: Tensor) -> tuple[Any, ...]:
    return (_apply_gradient(static, *tensors, cotangent, *states) if wanted[0] else None), None, None


_apply = differentiable(_fast, _pure, pull_back=_pull_back)
