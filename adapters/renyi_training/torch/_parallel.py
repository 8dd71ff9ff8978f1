"""The entropy of distributions whose logits are spread over processes, as those of a tensor-parallel head are.

Each process computes the partial state of its logits; one collective gathers the states, and each process merges all
of them in the order of the ranks, so that the results have the same bits everywhere. Backward needs no collective.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from array_api_compat import torch as torch_namespace

from renyi_adapters.torch import _states as states
from renyi_core._arrays import check_mask, floating, prepare
from renyi_core._kernels.state import Order, State, finish

Tensor = Any

__all__ = ["Last", "gathered", "is_distributed", "parallel_entropy"]


def parallel_entropy(local_logits: Tensor, alpha: float, *, group: Any = None, where: Tensor | None = None) -> Tensor:
    """Rényi entropy of distributions whose logits are spread over the processes of a group.

    For a head whose vocabulary is cut into shards. All processes of the group call it together; each gets the entropy
    of the whole distributions, with the same bits, at the cost of one collective of a few numbers a row.

    Parameters
    ----------
    local_logits : tensor of shape (..., n), or DTensor
        The logits of this process's shard; the shards may differ in length, and be empty. The other dimensions and the
        dtype are the same on all processes. A DTensor is sharded along its last dimension by one dimension of its mesh;
        by the others it may be sharded along its rows, or replicated.
    alpha : float
        The order, a number >= 0; 0, 1 and ∞ are taken as limits.
    group : ProcessGroup, optional
        The processes, by default all of them. That of a DTensor comes with its mesh.
    where : boolean tensor, optional
        A mask of this process's valid logits that broadcasts to them: False for the padding of a vocabulary. A shard
        may have no valid logits at all, though not all shards of a row may. With a DTensor it is a DTensor of the same
        mesh, cut as the logits are, or the local mask.

    Returns
    -------
    tensor of shape (...), or DTensor
        The entropy in nats, in the dtype of the logits; of a DTensor, replicated along the dimension of the mesh that
        cut the vocabulary, and sharded along rows as the logits are.

    Raises
    ------
    TypeError
        If the logits are not real floating-point, or ``alpha`` is not a number.
    ValueError
        If ``alpha`` is negative or NaN, ``where`` does not fit, or a DTensor is not sharded as said above.

    Notes
    -----
    The gradient of the local logits is the local cotangent times the derivative of the entropy. So the processes are
    taken to compute one and the same loss from it, as is usual for tensor-parallel losses. Where they do not, each has
    the gradient of its own loss alone: to differentiate the sum of different losses, sum the cotangents first. (A
    DTensor does, where it has partial cotangents.)

    What is kept for backward is the local logits and four numbers a row. Second derivatives, forward mode and
    ``torch.func`` are not supported; ``torch.compile`` breaks its graph here. Whether gradients are enabled must be the
    same on all processes.

    Examples
    --------
    >>> import torch
    >>> import torch.distributed as dist
    >>> from renyi_training.torch import parallel_entropy
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    >>> value = parallel_entropy(logits, 0.5)
    >>> value.mean().backward()
    >>> [round(number, 4) for number in value.tolist()]
    [0.9529, 1.0986]
    >>> dist.destroy_process_group()
    """
    compute: Any = _parallel_entropy
    if torch.compiler.is_compiling():
        # it could follow neither NumPy's blocks nor the collective
        compute = torch.compiler.disable(_parallel_entropy)
    return compute(local_logits, alpha, group, where)


def _parallel_entropy(logits: Any, alpha: Any, group: Any, where: Any) -> Tensor:
    if is_distributed(logits):
        return _of_distributed(logits, alpha, group, where)
    floating(logits, "local_logits")
    if not isinstance(logits, torch.Tensor) or logits.ndim == 0:
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        msg = f"`local_logits` must be a torch tensor of at least one dimension, got {given}"
        raise TypeError(msg)
    if isinstance(alpha, torch.Tensor):
        msg = "`alpha` must be a number here, got a tensor; float(alpha) if it needs no gradient"
        raise TypeError(msg)
    check_mask(where, torch_namespace, "local_logits", tuple(logits.shape))
    # an empty shard is no error here
    rows = logits.new_empty(()).expand(*logits.shape[:-1], 1)
    order = prepare(rows, alpha, name="local_logits", axis=-1, where=None, base=None, keepdims=False).order
    value: Tensor = _ParallelEntropy.apply(logits, where, order, group, torch.is_grad_enabled())
    return value


def gathered(
    parts: list[State], orders: tuple[Order, ...], group: Any, chosen: Tensor | None = None
) -> tuple[list[State], Tensor | None]:
    """Return the state of each order merged over the processes, and what one of them has chosen: the one collective.

    What a process has not chosen is NaN.
    """
    given = [field for part in parts for field in part if field is not None]
    packed = torch.stack(given if chosen is None else [*given, chosen])
    everyone = [torch.empty_like(packed) for _ in range(dist.get_world_size(group))]
    dist.all_gather(everyone, packed, group=group)
    total: list[State] = []
    for fields in everyone:
        rest = iter(fields)
        shard = [State(*(None if field is None else next(rest) for field in part)) for part in parts]
        pairs = zip(total, shard, orders, strict=True)
        total = [states.merged(*pair) for pair in pairs] if total else shard
        if chosen is not None:
            theirs = next(rest)
            chosen = torch.where(theirs.isnan(), chosen, theirs)
    return total, chosen


class _ParallelEntropy(torch.autograd.Function):
    """The entropy of whole distributions from local logits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, where: Tensor | None, order: Order, group: Any, full: bool) -> Tensor:
        (state,), _ = gathered([states.state_of(x, order, where=where, full=full)], (order,), group)
        if ctx.needs_input_grad[0]:
            ctx.order = order
            ctx.save_for_backward(x, where, *state)
        return finish(state, order, xp=torch_namespace).h[..., 0].to(x.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        x, where, *fields = ctx.saved_tensors
        scale = cotangent.detach()[..., None].to(states.accumulator(x.dtype))
        gradient = states.gradient_of_state(x, State(*fields), scale, ctx.order, where=where)
        if torch.is_grad_enabled():
            gradient = Last.apply("`parallel_entropy`", gradient, x, cotangent)
        return gradient, None, None, None, None


class Last(torch.autograd.Function):
    """A gradient that is not to be differentiated: torch's own decorator would drop the part along the inputs."""

    @staticmethod
    def forward(ctx: Any, name: str, gradient: Tensor, *inputs: Tensor) -> Tensor:  # noqa: ARG004
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:  # noqa: ARG004
        msg = f"{ctx.name} has no second derivatives"
        raise RuntimeError(msg)


def is_distributed(value: Any) -> bool:
    """Return whether this is a DTensor, without importing what defines them."""
    return isinstance(value, torch.Tensor) and hasattr(value, "device_mesh") and hasattr(value, "to_local")


def _cutting_dimension(value: Any, name: str) -> int:
    """Return the dimension of the mesh that cuts the last dimension of a DTensor."""
    from torch.distributed.tensor import Replicate, Shard

    last = value.ndim - 1
    cutting = [k for k, p in enumerate(value.placements) if isinstance(p, Shard) and p.dim in (last, -1) and value.ndim]
    others = [p for k, p in enumerate(value.placements) if k not in cutting]
    if len(cutting) != 1 or not all(type(p) in (Replicate, Shard) for p in others):
        msg = (
            f"`{name}` must be sharded along its last dimension by one dimension of its mesh, and sharded along rows or"
            f" replicated by the others; got {tuple(value.placements)}"
        )
        raise ValueError(msg)
    return cutting[0]


def _of_distributed(logits: Any, alpha: Any, group: Any, where: Any) -> Tensor:
    """Return the entropy of a DTensor as a DTensor."""
    from torch.distributed.tensor import DTensor, Replicate

    if group is not None:
        msg = "`group` must be None with a DTensor, whose mesh has the group"
        raise ValueError(msg)
    mesh, cutting = logits.device_mesh, _cutting_dimension(logits, "local_logits")
    if is_distributed(where):
        if where.device_mesh != mesh or _cutting_dimension(where, "where") != cutting:
            msg = f"`where` must be cut as `local_logits` is, {logits.placements}; got {where.placements}"
            raise ValueError(msg)
        where = where.to_local()
    value = _parallel_entropy(logits.to_local(), alpha, mesh.get_group(cutting), where)
    placements = [Replicate() if k == cutting else p for k, p in enumerate(logits.placements)]
    shape = torch.Size(logits.shape[:-1])
    strides = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    return DTensor.from_local(value, mesh, placements, run_check=False, shape=shape, stride=tuple(strides))
