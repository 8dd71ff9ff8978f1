"""Entropy over two processes, each with a shard of the vocabulary, is that of one process: values and gradients.

Of logits, and of a head.
"""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import subprocess
import sys

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("torch.distributed is not in this build", allow_module_level=True)

import torch.distributed as dist  # noqa: E402

from renyi_training.torch import linear_entropy, parallel_entropy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 1.0, 1 + 1e-9, 1.1, 1.7, 2.0, math.inf)
CUTS = {"even": 50, "uneven": 17, "empty": 0}


def logits(dtype=torch.float64, shape=(3, 4, 100)):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    x[0, 0] = 1.5  # uniform: all tied
    x[0, 1, [2, 3, 60, 99]] = 9.0  # ties on both sides
    x[0, 2, :50] = -math.inf  # nothing on one side
    x[0, 3, :] = -1e4
    x[0, 3, 70] = 1e4
    return x.to(dtype)


def mask():
    where = torch.ones(100, dtype=torch.bool)
    where[:20] = where[80:] = where[33] = False  # of the uneven cut, all that the first has
    return where


def cotangents(dtype):
    return torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(3, 4).to(dtype)


def cases():
    """All combinations that are worth a call: name, dtype, order, cut, masked."""
    for alpha in ORDERS:
        for cut in CUTS:
            for masked in (False, True):
                yield torch.float64, alpha, cut, masked
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            yield dtype, alpha, "uneven", True


def on_shards(rank):
    """Return value and gradient of the shard for each case."""
    results = []
    for dtype, alpha, cut, masked in cases():
        columns = slice(0, CUTS[cut]) if rank == 0 else slice(CUTS[cut], None)
        local = logits(dtype)[..., columns].requires_grad_()
        where = mask()[columns] if masked else None
        value = parallel_entropy(local, alpha, where=where)
        (gradient,) = torch.autograd.grad(value, local, cotangents(dtype))
        with torch.no_grad():
            plain = parallel_entropy(local, alpha, where=where)
        results.append((value.detach(), gradient, plain))
    return results


def factors():
    return torch.arange(24, dtype=torch.float64).reshape(4, 6)


def on_mesh(rank):
    """Return the full value and gradient of DTensors: sharded unevenly, with a mask, and by rows too."""
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
    both = dist.device_mesh.init_device_mesh("cpu", (2, 1))
    results = []
    for where in (None, mask()):
        for placed, placements in ((mesh, [Shard(-1)]), (both, [Shard(0), Shard(2)]), (both, [Replicate(), Shard(2)])):
            x = distribute_tensor(logits()[..., :99], placed, placements).requires_grad_()
            valid = where
            if where is not None and placed is mesh:
                valid = where[:50] if rank == 0 else where[50:99]
            elif where is not None:
                valid = distribute_tensor(where[:99], placed, [Replicate(), Shard(0)])
            value = parallel_entropy(x, 1.7, where=valid)
            assert value.shape == (3, 4)
            assert value.device_mesh == placed
            (value.square().sum() * 2).backward()
            assert x.grad.placements == x.placements
            results.append((value.full_tensor().detach(), x.grad.full_tensor()))
    # a cotangent that is a sum over the processes
    x = distribute_tensor(logits(), mesh, [Shard(-1)]).requires_grad_()
    (parallel_entropy(x, 1.7) @ distribute_tensor(factors(), mesh, [Shard(1)])).sum().backward()
    results.append((None, x.grad.full_tensor()))
    with pytest.raises(ValueError, match="`local_logits` must be sharded along its last dimension"):
        parallel_entropy(distribute_tensor(logits(), mesh, [Shard(0)]), 1.7)
    with pytest.raises(ValueError, match="`group` must be None with a DTensor"):
        parallel_entropy(distribute_tensor(logits(), mesh, [Shard(-1)]), 1.7, group=dist.group.WORLD)
    replicated = distribute_tensor(mask(), mesh, [Replicate()])
    with pytest.raises(ValueError, match="`where` must be sharded"):
        parallel_entropy(distribute_tensor(logits(), mesh, [Shard(-1)]), 1.7, where=replicated)
    return results


HEADS = {
    "plain": {"alpha": 0.5},
    "with tokens": {"alpha": 1.0, "tokens": True},
    "orders, masked": {"alpha": (2.0, 1.0, 1.7, math.inf), "tokens": True, "masked": True},
    "capped": {"alpha": 1.7, "tokens": True, "masked": True, "softcap": 2.0, "scale": 3.0, "temperature": 0.5},
    "order that learns": {"alpha": torch.tensor([1.3]), "tokens": True},
    "bfloat16": {"alpha": (1.0, 2.0), "dtype": torch.bfloat16, "tokens": True},
}
CUTS_OF_HEAD = {"even": 12, "uneven": 5, "empty": 0}


def head_on(columns, shape, alpha, dtype=torch.float64, tokens=False, masked=False, **options):
    """Return the results of a head of some of the vocabulary, and their gradients; a part of the tokens is ignored."""
    generator = torch.Generator().manual_seed(0)
    whole = [torch.randn(size, generator=generator, dtype=torch.float64) for size in ((*shape, 5), (23, 5), (23,))]
    whole = [whole[0], whole[1][columns], whole[2][columns]]
    leaves = [part.to(dtype).requires_grad_() for part in whole]
    if isinstance(alpha, torch.Tensor):
        alpha = alpha.to(dtype).requires_grad_()
        leaves.append(alpha)
    if tokens:
        ids = (torch.arange(math.prod(shape)) * 7 % 23).reshape(shape)
        options["tokens"] = torch.where(ids % 5 == 1, -100, ids)
    if masked:
        options["where"] = (torch.arange(23) % 4 != 3)[columns]
    found = linear_entropy(*leaves[:2], alpha, bias=leaves[2], chunk=3, **options)
    found = list(found) if tokens else [found]
    weights = [torch.linspace(-1, 2, part.numel(), dtype=torch.float64).reshape(part.shape) for part in found]
    # what is masked has a log-probability of -inf
    total = sum((torch.where(part.isfinite(), part, 0.0) * by).sum() for part, by in zip(found, weights, strict=True))
    return [part.detach() for part in found], torch.autograd.grad(total, leaves)


def on_heads(rank):
    """Return values and gradients of heads whose vocabulary is spread, of fewer tokens than it has entries and more."""
    results = []
    for name, cut, shape in itertools.product(HEADS, CUTS_OF_HEAD, ((3, 2), (40,))):
        columns = slice(0, CUTS_OF_HEAD[cut]) if rank == 0 else slice(CUTS_OF_HEAD[cut], None)
        results.append(head_on(columns, shape, group=dist.group.WORLD, **HEADS[name]))
    return results


def refused(rank):
    """Return the collectives of heads; raise unless what is refused is."""
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.distributed.tensor.debug import CommDebugMode

    columns = slice(0, 12) if rank == 0 else slice(12, None)
    counts = []
    for name in ("plain", "with tokens", "orders, masked", "order that learns"):
        with CommDebugMode() as mode:
            head_on(columns, (3, 2), group=dist.group.WORLD, **HEADS[name])
        counts.append(mode.get_total_counts())
    hidden, weight = torch.randn(2, 3, requires_grad=True), torch.randn(4, 3)
    with pytest.raises(IndexError, match="`tokens` must be from 0 to 7 or `ignore_index`, -100; got 8"):
        linear_entropy(hidden, weight, 2.0, tokens=torch.tensor([7, 8]), group=dist.group.WORLD)
    value = linear_entropy(hidden, weight, 2.0, group=dist.group.WORLD)
    (gradient,) = torch.autograd.grad(value.sum(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="`linear_entropy` with `group` has no second derivatives"):
        gradient.sum().backward()
    spread = distribute_tensor(weight, dist.device_mesh.init_device_mesh("cpu", (2,)), [Shard(0)])
    with pytest.raises(ValueError, match="`weight` must be this process's shard with `group`, weight"):
        linear_entropy(hidden, spread, 2.0, group=dist.group.WORLD)
    with pytest.raises(TypeError, match=r"`hidden` must be a torch tensor.*; hidden.to_local.. is"):
        linear_entropy(spread, weight, 2.0)
    return counts


def collectives(rank):
    """Return the number of collectives of a call, forward and backward."""
    from torch.distributed.tensor.debug import CommDebugMode

    local = logits()[..., rank * 50 : rank * 50 + 50].requires_grad_()
    counts = []
    for alpha in (1.0, 1.7, math.inf):
        with CommDebugMode() as mode:
            value = parallel_entropy(local, alpha)
        forward = mode.get_total_counts()
        with mode:
            value.sum().backward()
        counts.append((forward, mode.get_total_counts()))
    return counts


def work(path, rank):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        results = {"shards": on_shards(rank), "mesh": on_mesh(rank), "collectives": collectives(rank)}
        results |= {"heads": on_heads(rank), "collectives of heads": refused(rank)}
        # a group of one process is that process alone
        groups = [dist.new_group([k]) for k in range(2)]
        results["alone"] = parallel_entropy(logits() + rank, 1.7, group=groups[rank])
        torch.save(results, f"{path}/{rank}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the two processes say."""
    path = tmp_path_factory.mktemp("parallel")
    command = [sys.executable, __file__, str(path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return [torch.load(path / str(rank)) for rank in range(2)]


def whole(dtype, alpha, where):
    """Value and gradient of one process, computed in the precision of the sums."""
    x = logits(dtype).to(torch.promote_types(dtype, torch.float32)).requires_grad_()
    value = renyi.entropy_from_logits(x, alpha, where=where)
    (gradient,) = torch.autograd.grad(value, x, cotangents(x.dtype))
    return value.detach(), gradient


@pytest.mark.parametrize("alpha", ORDERS)
def test_shards(results, alpha):
    tried = 0
    for case, first, second in zip(cases(), results[0]["shards"], results[1]["shards"], strict=True):
        dtype, order, _, masked = case
        if order != alpha:
            continue
        tried += 1
        where = mask() if masked else None
        x = logits(dtype)
        want, want_gradient = whole(dtype, alpha, where)
        ulp = torch.finfo(dtype).eps
        assert torch.equal(first[0], second[0]), case
        assert first[0].dtype == first[1].dtype == dtype
        dead = (x if where is None else torch.where(where, x, -math.inf)).amax(-1) == -math.inf
        assert torch.equal(first[0].isnan(), dead), case
        got = first[0].double()
        torch.testing.assert_close(got[~dead], want[~dead].double(), rtol=16 * ulp, atol=0, msg=str(case))
        gradient = torch.cat([first[1], second[1]], -1).double()
        error = (gradient - want_gradient).norm(dim=-1)[~dead]
        assert (error <= 16 * ulp * want_gradient.norm(dim=-1)[~dead] + 1e-300).all(), case
        torch.testing.assert_close(first[2].double(), got, rtol=16 * ulp, atol=0, equal_nan=True)
    assert tried == 9


def test_distributed_tensors(results):
    cases = iter(zip(results[0]["mesh"], results[1]["mesh"], strict=True))
    for where in (None, mask()[:99]):
        x = logits()[..., :99].requires_grad_()
        value = renyi.entropy_from_logits(x, 1.7, where=where)
        (value.square().sum() * 2).backward()
        for _ in range(3):
            for got, gradient in next(cases):
                torch.testing.assert_close(got, value.detach(), rtol=1e-13, atol=0)
                torch.testing.assert_close(gradient, x.grad, rtol=1e-11, atol=1e-14)
    x = logits().requires_grad_()
    (renyi.entropy_from_logits(x, 1.7) @ factors()).sum().backward()
    for _, gradient in next(cases):
        torch.testing.assert_close(gradient, x.grad, rtol=1e-11, atol=1e-14)
    assert next(cases, None) is None


def test_one_collective(results):
    for result in results:
        assert result["collectives"] == [(1, 0)] * 3


def test_heads(results):
    tried = zip(results[0]["heads"], results[1]["heads"], strict=True)
    for name, cut, shape in itertools.product(HEADS, CUTS_OF_HEAD, ((3, 2), (40,))):
        (first, of_first), (second, of_second) = next(tried)
        want, of_want = head_on(slice(None), shape, **HEADS[name])
        coarse = HEADS[name].get("dtype") == torch.bfloat16
        tolerance = {"rtol": 0.01, "atol": 0.02} if coarse else {"rtol": 1e-12, "atol": 1e-13}
        case = f"{name}, {cut}, {shape}"
        assert all(torch.equal(*pair) for pair in zip(first, second, strict=True)), case
        # the hidden states and the order have whole gradients on both
        assert all(torch.equal(of_first[k], of_second[k]) for k in (0, *range(3, len(of_want)))), case
        shards = [torch.cat([a, b]) for a, b in zip(of_first[1:3], of_second[1:3], strict=True)]
        found = [*first, of_first[0], *shards, *of_first[3:]]
        for one, other in zip(found, [*want, *of_want], strict=True):
            assert one.dtype == other.dtype, case
            torch.testing.assert_close(one, other, msg=lambda text, case=case: f"{case}: {text}", **tolerance)


def test_collectives_of_heads(results):
    """Of the states, of the gradient of hidden, of an order's; with tokens, of the shards' sizes."""
    for result in results:
        assert result["collectives of heads"] == [2, 3, 3, 4]


def test_group(results):
    for result in results:
        torch.testing.assert_close(result["alone"], renyi.entropy_from_logits(logits(), 1.7))


@pytest.fixture
def group():
    """A world of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7, math.inf])
def test_gradcheck(alpha):
    where = torch.ones(5, dtype=torch.bool)
    where[1] = False
    x = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: parallel_entropy(x, alpha, where=where), x)


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kept_for_backward(alpha, dtype):
    """The local logits and at most four numbers a row."""
    x = torch.randn(8, 3000).to(dtype).requires_grad_()
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = parallel_entropy(x, alpha)
    assert kept.pop(x.untyped_storage().data_ptr()) == x.untyped_storage().nbytes()
    assert sum(kept.values()) <= 4 * 4 * 8
    value.sum().backward()
    assert x.grad.dtype == dtype


@pytest.mark.usefixtures("group")
def test_nothing_is_kept_without_need():
    calls = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: calls.append(t) or t, lambda t: t):
        value = parallel_entropy(torch.randn(3, 7), 1.7)
    assert not value.requires_grad
    assert calls == []


@pytest.mark.usefixtures("group")
def test_second_derivatives_are_refused():
    x = torch.randn(3, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(parallel_entropy(x, 1.7).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        gradient.sum().backward()


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_compile():
    torch._dynamo.reset()
    x = torch.randn(3, 7, requires_grad=True)
    torch.compile(lambda x: (2 * parallel_entropy(x * 2, 1.7)).sum(), backend="aot_eager")(x).backward()
    y = x.detach().requires_grad_()
    (2 * renyi.entropy_from_logits(y * 2, 1.7)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_docstring():
    assert doctest.testmod(importlib.import_module("renyi_training.torch._parallel")).failed == 0


def test_errors():
    x = torch.randn(3, 7)
    for error, message, args, kwargs in (
        (TypeError, "`alpha` must be a number", (x, torch.tensor(2.0)), {}),
        (TypeError, "`local_logits` must have a real floating-point dtype", (x.long(), 2.0), {}),
        (TypeError, "`local_logits` must be a torch tensor", (x.numpy(), 2.0), {}),
        (TypeError, "`local_logits` must be a torch tensor of at least one dimension", (x.sum(), 2.0), {}),
        (ValueError, "`alpha` must be >= 0", (x, -1.0), {}),
        (TypeError, "`where` must have a boolean dtype", (x, 2.0), {"where": x}),
        (ValueError, "`where` of shape", (x, 2.0), {"where": torch.ones(6, dtype=torch.bool)}),
    ):
        with pytest.raises(error, match=message):
            parallel_entropy(*args, **kwargs)


@pytest.mark.gpu
def test_nccl():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for dtype in (torch.float32, torch.bfloat16):
            for alpha in ORDERS:
                x = logits(dtype).cuda().requires_grad_()
                value = parallel_entropy(x, alpha, where=mask().cuda())
                (gradient,) = torch.autograd.grad(value, x, cotangents(dtype).cuda())
                want, want_gradient = whole(dtype, alpha, mask())
                tolerance = {"rtol": 16 * torch.finfo(dtype).eps, "atol": 1e-5, "equal_nan": True}
                torch.testing.assert_close(value.detach().cpu().float(), want, **tolerance)
                torch.testing.assert_close(gradient.cpu().float(), want_gradient, **tolerance)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
