"""The entropy of a linear layer's softmax, without its logits: the public function."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from array_api_compat import torch as torch_namespace

from renyi_core._arrays import check_mask, floating
from renyi_core._kernels.state import Order
from renyi_core._quiet import quiet

from ._head import Head, head_entropy
from ._parallel import is_distributed
from ._results import EntropyAndLogProb
from ._tokens import checked_orders, checked_tokens, factor, without_ignored

Tensor = Any

__all__ = ["linear_entropy"]

# torch before 2.7 does not say
is_exporting: Any = getattr(torch.compiler, "is_exporting", bool)

ROOM_CPU, ROOM = 1 << 25, 1 << 28
"""Bytes of logits that exist at a time."""


@quiet
def linear_entropy(
    hidden: Tensor,
    weight: Tensor,
    alpha: Any,
    *,
    bias: Tensor | None = None,
    tokens: Tensor | None = None,
    where: Tensor | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
    scale: float = 1.0,
    ignore_index: int = -100,
    group: Any = None,
    chunk: int | None = None,
) -> Any:
    r"""Rényi entropy of softmax(hidden · weightᵀ + bias), without ever storing its logits.

    .. math:: z = \frac{c}{T} \tanh \frac{s\,(h W^\top + b)}{c}

    with the temperature T, the soft cap c and the scale s; without a cap z = s (h Wᵀ + b)/T.

    The entropy of the head of a language model, for training: forward and backward compute the logits a tile at a
    time, so that memory beyond the arguments and their gradients is a fixed amount, whatever the number of tokens; of
    float16 and bfloat16 there is besides, in backward, the float32 sum of one gradient, the smaller one. Backward
    computes each tile once more, from a few numbers a token that are kept.

    Parameters
    ----------
    hidden : tensor of shape (..., features)
        What the layer is applied to, for each token.
    weight : tensor of shape (vocabulary, features)
        The weight of the layer, as of ``torch.nn.Linear``. One that ``fully_shard`` has spread is gathered here, and
        so is ``bias``; their gradients are averaged over the processes, as ``fully_shard`` does.
    alpha : float, tuple or list of floats, or tensor
        The order, >= 0; 0, 1 and ∞ are taken as limits. A tuple of orders has the entropies of all of them from the
        same products. A tensor must broadcast to the tokens, of shape (...); it may be a parameter, and is slower.
    bias : tensor of shape (vocabulary,), optional
        The bias of the layer.
    tokens : integer tensor of shape (...), optional
        A token for each position, of which the log-probability is given too. One that is not in the vocabulary is an
        error on the CPU, and has NaN on a GPU, which is not waited for.
    where : boolean tensor of shape (vocabulary,), optional
        A mask of the real entries of a padded vocabulary; padding has probability 0 and a gradient of 0. Its weights
        must be finite all the same.
    temperature : float, default 1
        What the logits are divided by, > 0: that of the sampling, as a rule.
    softcap : float, optional
        The bound of the logits before the temperature, > 0: ``final_logit_softcapping`` of Gemma 2 and 3.
    scale : float, default 1
        What the products are multiplied by, > 0: ``logit_scale`` of Cohere, 1 over ``logits_scaling`` of Granite.
    ignore_index : int, default -100
        The token of positions that have none, as in ``torch.nn.functional.cross_entropy``: their results and gradients
        are 0, whatever ``hidden`` holds, and they are left out of the products. A GPU is waited for, to count them.
    group : ProcessGroup, optional
        The processes that the vocabulary is spread over: ``weight``, ``bias`` and ``where`` are this one's shard, in
        the order of the ranks; shards may differ in length, and be empty. All else is the same on all of them, and
        ``tokens`` are numbers of the whole vocabulary. All processes call it together.
    chunk : int, optional
        The room for logits, in tokens: ``chunk`` · vocabulary of them exist at a time, twice as many in backward with
        a ``softcap``. By default what fits 32 MB, or 256 MB on a GPU. It is a matter of speed and memory, not of the
        result beyond its last digits.

    Returns
    -------
    tensor of shape (...), or EntropyAndLogProb
        The entropy in nats, of shape (..., K) for a tuple of K orders; with ``tokens`` a named tuple ``(entropy,
        log_prob, log_sum_exp)``, whose other fields have shape (...). With ``group`` all processes have the same. There
        being no logits whose dtype they could have, they have that of the sums: float32 for float16 and bfloat16.

    Raises
    ------
    TypeError
        If a dtype is not what is said above, or ``weight`` or ``bias`` has another than ``hidden`` has; or if one of a
        tuple of orders is not a number.
    ValueError
        If a shape does not fit, ``alpha`` is negative or NaN, or ``temperature``, ``softcap`` or ``scale`` is not
        positive and finite; or if ``group`` comes with a weight that is a DTensor, not a shard.
    IndexError
        If a token on the CPU is not in the vocabulary.

    Notes
    -----
    Differentiable with respect to ``hidden``, ``weight``, ``bias`` and ``alpha``. The gradients of float16 and bfloat16
    are summed over tiles in float32. Second derivatives (``create_graph=True``) are right, but take the direct way,
    which stores the logits; ``torch.func`` and forward mode are not supported. Under ``torch.autocast`` the logits
    have the dtype that ``torch.nn.functional.linear`` would give them. ``torch.compile`` breaks its graph here; a graph
    of ``torch.export`` stores the logits.

    Of a ``group``, forward takes one collective, of five numbers a token and order at most, and one more of a number
    for each process where there are ``tokens``. Backward sums the gradient of ``hidden`` over the processes, in
    float32 at least, which is its one collective; so ``hidden`` needs nothing around it that does so once more. As with
    :func:`parallel_entropy`, all processes are taken to compute one and the same loss. There are no second derivatives.

    The accuracy is that of the logits, which are rounded to their dtype, and beyond that of
    :func:`renyi_core.entropy_from_logits`. The same call twice gives the same bits where the products do.

    Examples
    --------
    >>> import torch
    >>> from renyi_training.torch import linear_entropy
    >>> hidden = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> weight = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 5.0]], requires_grad=True)
    >>> value = linear_entropy(hidden, weight, 0.5)
    >>> [round(number, 4) for number in value.tolist()]
    [0.9529, 1.0986]
    >>> value.mean().backward()
    >>> weight.grad.shape
    torch.Size([3, 2])
    >>> entropy, log_prob, _ = linear_entropy(hidden, weight, 1, tokens=torch.tensor([0, 2]))
    >>> [round(number, 4) for number in log_prob.tolist()]
    [-0.4076, -1.0986]
    >>> linear_entropy(hidden, weight, (0.5, 1, 2)).shape
    torch.Size([2, 3])
    """
    compute: Any = _linear_entropy
    if torch.compiler.is_compiling() and (group is not None or not is_exporting()):
        # it could follow neither NumPy's blocks nor the buffers, nor a collective
        compute = torch.compiler.disable(_linear_entropy)
    change = temperature, softcap, scale
    return compute(hidden, weight, alpha, bias, tokens, where, change, ignore_index, group, chunk)


def _linear_entropy(
    hidden: Tensor,
    weight: Tensor,
    alpha: Any,
    bias: Tensor | None,
    tokens: Tensor | None,
    where: Tensor | None,
    change: tuple[Any, Any, Any],
    ignore_index: int,
    group: Any,
    chunk: int | None,
) -> Any:
    weight, bias = (_whole(part, name, group) for part, name in ((weight, "weight"), (bias, "bias")))
    _check_layer(hidden, weight, bias, empty=group is not None)
    lead, vocabulary = tuple(hidden.shape[:-1]), weight.shape[0]
    offset, total = (0, vocabulary) if group is None or tokens is None else _place(weight, group)
    tokens, ignored = checked_tokens(tokens, lead, total, ignore_index)
    dtype = _dtype_of_logits(hidden)
    # in the place of the logits that there are not: their shape, dtype and device, and one number
    logits = hidden.new_empty((), dtype=dtype).expand(*lead, max(1, vocabulary))
    alpha = tuple(alpha) if isinstance(alpha, list) else alpha
    orders = checked_orders(logits, alpha, None)
    check_mask(where, torch_namespace, "logits", (*lead, vocabulary))
    if where is not None and tuple(where.shape) != (vocabulary,):
        msg = f"`where` must have the shape of the vocabulary, {(vocabulary,)}, got {tuple(where.shape)}"
        raise ValueError(msg)
    static = orders[0].static
    temperature, softcap, scale = change
    divisor = factor(temperature, "temperature")
    head = Head(
        orders if static else (),
        dtype,
        _room(chunk, logits, capped=softcap is not None),
        tokens is not None,
        torch.is_grad_enabled(),
        factor(scale, "scale") / divisor,
        None if softcap is None else factor(softcap, "softcap") / divisor,
        group,
    )
    rows = hidden.reshape(-1, hidden.shape[-1])
    columns = [None] * 3 if static else _columns(orders[0], lead)
    shape = (*lead, len(orders)) if isinstance(alpha, tuple) else lead
    if tokens is None:
        return head_entropy(head, rows, weight, bias, None, where, *columns).reshape(shape)
    tokens, count = tokens.reshape(-1) - offset, rows.shape[0]
    kept = _kept(ignored)
    if kept is not None:
        rows, tokens = rows[kept], tokens[kept]
        columns = [column if column is None or column.shape[0] == 1 else column[kept] for column in columns]
    results = head_entropy(head, rows, weight, bias, tokens, where, *columns)
    if kept is not None:
        results = [part.new_zeros(count, part.shape[1]).index_copy(0, kept, part) for part in results]
    elif ignored is not None:
        results = [without_ignored(part, ignored.reshape(-1, 1)) for part in results]
    return EntropyAndLogProb(*(part.reshape(of) for part, of in zip(results, (shape, lead, lead), strict=True)))


def _whole(parameter: Any, name: str, group: Any) -> Any:
    """Return a parameter, gathered if it is spread over processes: then its gradient is the mean of theirs."""
    if not is_distributed(parameter):
        return parameter
    if group is not None:
        msg = f"`{name}` must be this process's shard with `group`, {name}.to_local(), got a DTensor"
        raise ValueError(msg)
    from torch.distributed.tensor import Partial

    return parameter.full_tensor(grad_placements=[Partial("avg")] * parameter.device_mesh.ndim)


def _place(weight: Tensor, group: Any) -> tuple[int, int]:
    """Return where this process's shard begins in the vocabulary, and the vocabulary's size."""
    rank = dist.get_rank(group)
    sizes = torch.zeros(dist.get_world_size(group), dtype=torch.int64, device=weight.device)
    sizes[rank] = weight.shape[0]
    dist.all_reduce(sizes, group=group)
    return int(sizes[:rank].sum()), int(sizes.sum())


def _kept(ignored: Tensor) -> Tensor | None:
    """Return the numbers of the positions that have a token; None if it is all of them, or cannot be known."""
    if ignored is None or type(ignored) is not torch.Tensor or ignored.device.type == "meta":
        return None
    if torch.compiler.is_compiling():
        return None
    kept = (~ignored.reshape(-1)).nonzero()[:, 0]
    return None if kept.shape[0] == ignored.numel() else kept


def _columns(order: Order, lead: tuple[int, ...]) -> list[Tensor]:
    """Return the tensors of an order as columns of one row, or of a row for each token."""
    tensors: list[Tensor] = list(order)
    if order.alpha.numel() == 1:
        return [part.reshape(1, 1) for part in tensors]
    return [part.expand(*lead, 1).reshape(-1, 1) for part in tensors]


def _autocast_dtype(device: str) -> Any:
    """Return the dtype of autocast, None where it is off."""
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def _check_layer(hidden: Any, weight: Any, bias: Any, *, empty: bool) -> None:
    """Raise unless these are a linear layer, which may be ``empty``, and its input."""
    for name, value in (("hidden", hidden), ("weight", weight), ("bias", bias)):
        if value is None and name == "bias":
            continue
        if not isinstance(value, torch.Tensor) or is_distributed(value):
            cure = f"; {name}.to_local() is this process's part" if is_distributed(value) else ""
            msg = f"`{name}` must be a torch tensor, got {type(value).__module__}.{type(value).__name__}{cure}"
            raise TypeError(msg)
        floating(value, name)
        if value.dtype != hidden.dtype and _autocast_dtype(hidden.device.type) is None:
            msg = f"`{name}` must have the dtype of `hidden`, {hidden.dtype}, got {value.dtype}"
            raise TypeError(msg)
    if hidden.ndim == 0:
        msg = "`hidden` must have shape (..., features), got no dimension"
        raise ValueError(msg)
    if weight.ndim != 2 or not (empty or weight.shape[0]) or weight.shape[1] != hidden.shape[-1]:
        given = f"{tuple(weight.shape)} with `hidden` of shape {tuple(hidden.shape)}"
        msg = f"`weight` must have shape (vocabulary, features), got {given}"
        raise ValueError(msg)
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        msg = f"`bias` must have the shape of the vocabulary, {(weight.shape[0],)}, got {tuple(bias.shape)}"
        raise ValueError(msg)


def _dtype_of_logits(hidden: Tensor) -> Any:
    """Return the dtype that ``torch.nn.functional.linear`` gives; autocast leaves float64 alone."""
    dtype = _autocast_dtype(hidden.device.type)
    return hidden.dtype if dtype is None or hidden.dtype == torch.float64 else dtype


def _room(chunk: Any, logits: Tensor, *, capped: bool) -> int:
    """Return how many tokens have room for their logits at a time."""
    if chunk is None:
        room = (ROOM_CPU if logits.device.type == "cpu" else ROOM) // (1 + capped)
        return max(1, room // (int(logits.shape[-1]) * int(logits.dtype.itemsize)))
    if isinstance(chunk, bool) or not isinstance(chunk, int):
        msg = f"`chunk` must be an integer or None, got {chunk!r}"
        raise TypeError(msg)
    if chunk < 1:
        msg = f"`chunk` must be at least 1, got {chunk}"
        raise ValueError(msg)
    return chunk
