"""A training step with the term on two processes is the step of one process on the whole batch.

Also of a model whose head is within linear_entropy, which takes its weight, not its output.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from renyi_training.torch import linear_entropy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")


class WithHead(torch.nn.Module):
    """Returns the entropies, not the logits."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh())
        self.head = torch.nn.Linear(16, 40)

    def forward(self, inputs):
        hidden = self.body(inputs)
        return [linear_entropy(hidden, self.head.weight, alpha, bias=self.head.bias) for alpha in (1.7, 1)]


def build(head):
    torch.manual_seed(0)
    if head == "fused":
        return WithHead()
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 40))


def step(model, inputs, head):
    """One step of stochastic gradient descent on −H."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    if head == "fused":
        first, second = model(inputs)
    else:
        first, second = (renyi.entropy_from_logits(model(inputs), alpha) for alpha in (1.7, 1))
    loss = -first.mean() - 0.1 * second.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def data():
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


def work(kind, head, path, rank):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        model = build(head)
        if kind == "ddp":
            model = torch.nn.parallel.DistributedDataParallel(model)
        else:
            from torch.distributed.fsdp import fully_shard

            mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
            # the head's weight is gathered with the model itself, not when its own forward is called
            for layer in (model.body, model) if head == "fused" else (model[0], model[2], model):
                fully_shard(layer, mesh=mesh)
        step(model, data()[rank::2], head)
        parameters = [getattr(p, "full_tensor", lambda p=p: p)().detach() for p in model.parameters()]
        if rank == 0:
            torch.save(parameters, f"{path}/parameters")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("head", ["logits", "fused"])
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_step(kind, head, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    command = [sys.executable, __file__, kind, head, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    model = build("logits")
    step(model, data(), "logits")
    for got, want in zip(torch.load(tmp_path / "parameters"), model.parameters(), strict=True):
        torch.testing.assert_close(got, want.detach())


if __name__ == "__main__":
    work(*sys.argv[1:4], int(sys.argv[4]))
    # threads of torch's gloo may still run, and abort a process that ends with them: seen twice
    os._exit(0)
