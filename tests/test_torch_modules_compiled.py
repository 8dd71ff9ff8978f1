"""The modules of the torch adapter compiled, cast, moved between devices, and on two processes."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from module_cases import make, order_of, same  # noqa: E402

from renyi_training.torch import EntropyRegularizer, TargetEntropyWeight  # noqa: E402

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # torch's own, from the first use of torch.compile
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


@pytest.mark.parametrize(("backend_name", "learned"), [("eager", False), ("aot_eager", False), ("aot_eager", True)])
def test_compile(backend_name, learned):
    """One graph for all weights."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    term = EntropyRegularizer(1.5, 0.1, learn_alpha=learned)
    # what is known of a dtype is looked up at its first use, which a graph of its own would be for
    term(make(seed=0))
    compiled = torch.compile(term, fullgraph=True, backend=backend_name)
    schedule = renyi.schedules.Linear(0.1, 0.0, 20)
    where = make(seed=9) > -1
    for step in range(10):
        term.set_weight(schedule(step))
        x = make(seed=step)
        same(lambda x: compiled(x, where), lambda x: term(x, where), x, rtol=1e-7, atol=1e-9)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("backend_name", ["eager", "aot_eager"])
def test_compile_of_a_step_with_all_that_changes(backend_name):
    """A schedule of a step that is a tensor, and a controller, whose buffers are written to within the graph."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    ours, twins = ((EntropyRegularizer(2.0, 1.0), TargetEntropyWeight(1.0, initial=0.1, rate=0.1)) for _ in range(2))
    schedule = renyi.schedules.Cosine(1.0, 0.5, 4, warmup=2)
    # the dtype's first use, as above
    schedule(torch.tensor([0]))

    def step(x, k, term, beta):
        term.set_weight(beta() * schedule(k))
        beta.update(renyi.entropy_from_logits(x, 2.0))
        return term(x)

    compiled = torch.compile(step, fullgraph=True, backend=backend_name)
    for k in range(1, 5):
        x, at = make(seed=k), torch.tensor([k])
        torch.testing.assert_close(compiled(x, at, *ours), step(x, at, *twins))
        torch.testing.assert_close(ours[1].log_weight, twins[1].log_weight, rtol=1e-12, atol=0)
        torch.testing.assert_close(ours[0].weight, twins[0].weight, rtol=1e-7, atol=0)
        assert float(ours[1]()) != pytest.approx(0.1, rel=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("learned", [False, True])
def test_autocast(learned):
    """The loss of bfloat16 logits is that of their values, in float32."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 50)
    term = EntropyRegularizer(2.0, 0.1, learn_alpha=learned)
    inputs = make((8, 6), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(inputs)
        assert logits.dtype == torch.bfloat16
        loss = term(logits)
    assert loss.dtype == torch.float32
    expected = -0.1 * renyi.entropy_from_logits(logits.detach().double(), order_of(term)).mean()
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-6, atol=0)
    loss.backward()
    assert layer.weight.grad.abs().max() > 0
    assert torch.all(torch.isfinite(layer.weight.grad))


def test_casts_leave_the_numbers_alone():
    beta = TargetEntropyWeight(1.0, initial=1 / 3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), EntropyRegularizer(1.1, 1 / 3), beta)
    before = beta.log_weight.clone()
    for cast in (model.bfloat16, model.half, model.float, lambda: model.to("cpu", torch.bfloat16)):
        cast()
        assert torch.equal(beta.log_weight, before)
        assert model[1].weight.dtype == torch.float64
        assert float(model[1].weight) == 1 / 3
        assert model[1].alpha == 1.1
    assert model[0].weight.dtype == torch.bfloat16


def test_devices_without_float64():
    def move(x):
        if x.dtype == torch.float64:
            msg = "no float64 here"
            raise TypeError(msg)
        return x.clone()

    beta = TargetEntropyWeight(1.0, initial=0.25)
    beta._apply(move)
    assert beta.log_weight.dtype == torch.float32
    beta.update(torch.tensor([2.0, 1.5]))
    assert 0.24 < float(beta()) < 0.25


def test_from_the_meta_device():
    with torch.device("meta"):
        term, beta = EntropyRegularizer(2.0, 0.1), TargetEntropyWeight(1.0)
    assert "weight=?" in repr(term)
    assert "weight=?" in repr(beta)
    term.to_empty(device="cpu").load_state_dict(EntropyRegularizer(0.7, 0.3).state_dict())
    beta.to_empty(device="cpu").load_state_dict(TargetEntropyWeight(2.0, initial=0.3).state_dict())
    torch.testing.assert_close(term(make()), EntropyRegularizer(0.7, 0.3)(make()), rtol=0, atol=0)
    assert abs(float(beta()) - 0.3) < 1e-15


def test_nothing_is_read_from_the_device():
    """A fake tensor has no values: reading one raises."""
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        beta = TargetEntropyWeight(1.0)
        # what is known of a constant ends here
        beta.update(torch.empty(3))
        x, where, weights = torch.empty(3, 5, requires_grad=True), torch.ones(5, dtype=torch.bool), torch.empty(3)
        for learned in (False, True):
            term = EntropyRegularizer(2.0, 0.1, learn_alpha=learned)
            term.set_weight(beta())
            term(x, where, weights).backward()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            float(beta())


def train(rank, world, path):
    """Three steps of DDP with both modules; save what rank 0 has, and the weights of each."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 10), torch.nn.Identity())
    term, beta = EntropyRegularizer(2.0, 0.0), TargetEntropyWeight(fraction=0.3, n=10, initial=0.1, rate=0.5)
    model.add_module("term", term)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.term, self.beta = model[0], term, beta

        def forward(self, inputs):
            logits = self.model(inputs)
            self.term.set_weight(self.beta())
            return self.term(logits), renyi.entropy_from_logits(logits, 2.0)

    loss = Loss()
    wrapped = torch.nn.parallel.DistributedDataParallel(loss) if world > 1 else loss
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    weights = []
    for step in range(3):
        optimizer.zero_grad()
        value, entropies = wrapped(make((8, 6), seed=step, dtype=torch.float32)[rank::world])
        value.backward()
        optimizer.step()
        # of unequal shares, once with a mask
        part = torch.arange(8)[rank::world]
        beta.update(entropies, None if step == 1 else part % 3 > 0)
        weights.append(beta.log_weight.clone())
    torch.save((weights, [p.detach() for p in loss.parameters()]), f"{path}/rank{rank}of{world}")


def work(path, rank):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        train(rank, 2, path)
        lonely = TargetEntropyWeight(1.0, rate=1.0, synchronize=False)
        lonely.update(torch.tensor(float(rank)))
        torch.save(lonely.log_weight - math.log(0.01), f"{path}/lonely{rank}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def test_on_two_processes(tmp_path):
    """The weights are the same to the bit on both, and those of one process that has the whole batch."""
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    command = [sys.executable, __file__, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    train(0, 1, tmp_path)
    (first, parameters), (second, _), (alone, whole) = (
        torch.load(tmp_path / name) for name in ("rank0of2", "rank1of2", "rank0of1")
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.testing.assert_close(first, alone, rtol=1e-6, atol=0)
    torch.testing.assert_close(parameters, whole)
    assert float(torch.load(tmp_path / "lonely0")) == pytest.approx(1.0)
    assert float(torch.load(tmp_path / "lonely1")) == pytest.approx(0.0)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
