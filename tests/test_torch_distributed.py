"""A training step with the term on two processes is the step of one process on the whole batch.

Also of a model whose head is within linear_entropy, which takes its weight, not its output: gathered with the model, or
spread over the processes when it is called.
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


ON_THEIR_OWN = {"logits": [["0", "2"]], "fused": [["body"], ["body", "head"]]}
"""What fully_shard takes on its own, one model after the other; all else is gathered with the model itself."""


def sharded(model, names):
    from torch.distributed.fsdp import fully_shard

    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    for layer in (*map(model.get_submodule, names), model):
        fully_shard(layer, mesh=mesh)
    return model


def work(kind, head, path, rank):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        if kind == "ddp":
            models = [torch.nn.parallel.DistributedDataParallel(build(head))]
        else:
            models = [sharded(build(head), names) for names in ON_THEIR_OWN[head]]
        parameters = []
        for model in models:
            step(model, data()[rank::2], head)
            parameters.append([getattr(p, "full_tensor", lambda p=p: p)().detach() for p in model.parameters()])
        if rank == 0:
            torch.save(parameters, f"{path}/parameters")
        dist.barrier()
    finally:
        dist.destroy_process_group()
    return models


@pytest.mark.parametrize("head", ["logits", "fused"])
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_step(kind, head, tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    command = [sys.executable, __file__, kind, head, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    model = build("logits")
    step(model, data(), "logits")
    want = [parameter.detach() for parameter in model.parameters()]
    found = torch.load(tmp_path / "parameters")
    assert len(found) == (len(ON_THEIR_OWN[head]) if kind == "fsdp" else 1)
    for got in found:
        torch.testing.assert_close(got, want)


if __name__ == "__main__":
    kept = work(*sys.argv[1:4], int(sys.argv[4]))
    # threads of torch's gloo may still run, and abort a process that ends with them: seen twice. A model that is let go
    # of waits for them, and they may wait for the interpreter's lock, which it holds: seen once
    os._exit(0)
