"""A training step with the term on two processes is the step of one process on the whole batch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")


def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 40))


def step(model, inputs):
    """One step of stochastic gradient descent on −H."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = (
        -renyi.entropy_from_logits(model(inputs), 1.7).mean() - 0.1 * renyi.entropy_from_logits(model(inputs), 1).mean()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def data():
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


def work(kind, path, rank):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        model = build()
        if kind == "ddp":
            model = torch.nn.parallel.DistributedDataParallel(model)
        else:
            from torch.distributed.fsdp import fully_shard

            mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
            for layer in (model[0], model[2], model):
                fully_shard(layer, mesh=mesh)
        step(model, data()[rank::2])
        parameters = [getattr(p, "full_tensor", lambda p=p: p)().detach() for p in model.parameters()]
        if rank == 0:
            torch.save(parameters, f"{path}/parameters")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_step(kind, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    command = [sys.executable, __file__, kind, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    model = build()
    step(model, data())
    for got, want in zip(torch.load(tmp_path / "parameters"), model.parameters(), strict=True):
        torch.testing.assert_close(got, want.detach())


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
