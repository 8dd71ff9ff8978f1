"""The modules of the torch adapter: what they return, what they keep, compiled, cast, resumed, on two processes."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from renyi_adapters.torch import EntropyRegularizer, TargetEntropyWeight  # noqa: E402

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # torch's own, from the first use of torch.compile
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


def make(shape=(3, 5), seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradient(f, x):
    leaf = x.detach().clone().requires_grad_()
    value = f(leaf)
    value.sum().backward()
    return value.detach(), leaf.grad


def order_of(term):
    return float(torch.as_tensor(term.alpha).detach())


def same(f, g, x, **options):
    for got, want in zip(gradient(f, x), gradient(g, x), strict=True):
        torch.testing.assert_close(got, want, **options)


@pytest.mark.parametrize(
    ("alpha", "learned"), [(0.5, False), (1.0, False), (2.0, False), (math.inf, False), (1.0, True)]
)
def test_the_term_is_minus_the_weighted_mean(alpha, learned):
    term = EntropyRegularizer(alpha, 0.25, learn_alpha=learned)
    # a learned order is in float32
    rtol = 1e-6 if learned else 1e-14

    def by_hand(x, where=None):
        return -0.25 * renyi.entropy_from_logits(x, alpha, where=where).mean()

    same(term, by_hand, make(), rtol=rtol, atol=rtol)
    same(lambda x: term(x, x > -1), lambda x: by_hand(x, x > -1), make(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions_weights_and_axes(reduction):
    term = EntropyRegularizer(2.0, 0.5, reduction=reduction, axis=1)
    x, weights = make((4, 5, 3)), torch.tensor([[1.0], [0.0], [2.0], [0.5]])
    reduce = {"mean": torch.mean, "sum": torch.sum, "none": lambda h: h}[reduction]
    same(term, lambda x: -0.5 * reduce(renyi.entropy_from_logits(x, 2.0, axis=1)), x)

    def by_hand(x):
        terms = weights * renyi.entropy_from_logits(x, 2.0, axis=1)
        return -0.5 * (terms.sum() / 10.5 if reduction == "mean" else reduce(terms))

    same(lambda x: term(x, sample_weight=weights), by_hand, x)
    mask = weights != 0
    same(lambda x: term(x, sample_weight=mask), lambda x: term(x, sample_weight=mask.double()), x)


def test_what_has_no_part_may_hold_anything():
    """Fully masked rows and samples of weight 0, with NaN in them; 0 where nothing has a part."""
    x = make((4, 5))
    clean = x[2:]
    x[0], x[1, 2] = math.nan, math.inf
    where = torch.ones(4, 5, dtype=torch.bool)
    where[0] = False
    where[2, 3] = False
    weights = torch.tensor([1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    for reduction, count in (("mean", 4.0), ("sum", 1.0)):
        term = EntropyRegularizer(0.5, 1.0, reduction=reduction)
        value, slope = gradient(lambda x, term=term: term(x, where, weights), x)
        expected = -(weights[2:] * renyi.entropy_from_logits(clean, 0.5, where=where[2:])).sum() / count
        torch.testing.assert_close(value, expected)
        assert torch.all(slope[:2] == 0)
        assert torch.all(torch.isfinite(slope))
        assert slope[2:].abs().max() > 0
        for nothing in ({"where": where & False}, {"sample_weight": 0 * weights}, {"where": where[0]}):
            value, slope = gradient(lambda x, term=term, nothing=nothing: term(x, **nothing), x)
            assert float(value) == 0.0
            assert torch.all(slope == 0)
        assert float(term(torch.empty(0, 5))) == 0.0
    # the mean without weights is that of the rows that have a part
    got = EntropyRegularizer(2.0, 1.0)(x[[0, 2, 3]], where[[0, 2, 3]])
    torch.testing.assert_close(got, -renyi.entropy_from_logits(clean, 2.0, where=where[2:]).mean())


def test_weight_0_builds_no_graph():
    term = EntropyRegularizer(2.0, 0.0)
    kept = []
    x = make((8, 1000)).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        value = term(x)
    assert not value.requires_grad
    assert float(value) == 0.0
    assert not kept
    assert EntropyRegularizer(2.0, 0.0, reduction="none")(x).shape == (8,)
    term.set_weight(0.5)
    assert term(x).requires_grad
    assert float(term(x).detach()) < 0
    term.set_weight(torch.tensor([0.25]))
    torch.testing.assert_close(term(x), -0.25 * renyi.entropy_from_logits(x, 2.0).mean())


@pytest.mark.parametrize("alpha", [0.7, 3.0, math.inf])
def test_state_dict_resumes_exactly(alpha):
    for learned in (False, True)[: 1 if alpha == math.inf else 2]:
        term = EntropyRegularizer(alpha, 0.1, learn_alpha=learned)
        term.set_weight(1 / 3)
        stream = io.BytesIO()
        torch.save({"model": term.state_dict()}, stream)
        stream.seek(0)
        other = EntropyRegularizer(2.0, 0.0, learn_alpha=learned)
        other.load_state_dict(torch.load(stream, weights_only=True)["model"])
        assert other.extra_repr() == term.extra_repr()
        assert torch.equal(torch.as_tensor(other.alpha), torch.as_tensor(term.alpha))
        assert torch.equal(other.weight, term.weight)
        assert torch.equal(other(make()), term(make()))
    off = EntropyRegularizer(2.0, 0.0)
    term = EntropyRegularizer(2.0, 1.0)
    term.load_state_dict(off.state_dict())
    assert not term(make().requires_grad_()).requires_grad


def adversary(term, make_optimizer, steps):
    """Take steps that push α now up, now down, by the largest gradients there are, and yield it."""
    optimizer = make_optimizer(term.parameters())
    for step in range(steps):
        optimizer.zero_grad()
        x = make((4, 6), seed=step, dtype=torch.float32) * 3
        sign = -1 if (step // 100) % 2 else 1
        (1e3 * sign * term(x)).backward()
        optimizer.step()
        yield term.alpha.detach()


SGD, ADAM = torch.optim.SGD, torch.optim.Adam


@pytest.mark.parametrize(
    ("optimizer", "bounds", "steps"),
    [(SGD, (0.5, 4.0), 1000), (ADAM, (0.5, 4.0), 1000), (ADAM, (0.1, 0.7), 200), (SGD, (0.0, 1e6), 200)],
)
def test_a_learned_order_stays_within_its_bounds(optimizer, bounds, steps):
    term = EntropyRegularizer(sum(bounds) / 2.5, 1.0, learn_alpha=True, alpha_bounds=bounds)
    count = 0
    for alpha in adversary(term, lambda parameters: optimizer(parameters, lr=1e3), steps):
        assert torch.isfinite(alpha)
        assert float(torch.tensor(bounds[0])) <= float(alpha) <= float(torch.tensor(bounds[1]))
        count += 1
    assert count == steps
    assert torch.isfinite(term.raw_alpha)


@pytest.mark.parametrize("bounds", [(0.0, 1.9), (0.1, 0.8), (0.5, 4.0)])
def test_a_learned_order_is_not_rounded_beyond_a_bound(bounds):
    """Nor does its gradient end there."""
    low, high = (float(torch.tensor(bound)) for bound in bounds)
    term = EntropyRegularizer(0.7, 1.0, learn_alpha=True, alpha_bounds=bounds)
    for raw in (1e9, -1e9, math.inf, -math.inf):
        with torch.no_grad():
            term.raw_alpha.fill_(raw)
        assert low <= order_of(term) <= high
        assert order_of(term) == pytest.approx(high if raw > 0 else low, rel=1e-6, abs=1e-6)
        (slope,) = torch.autograd.grad(term.alpha, term.raw_alpha)
        assert float(slope) > 0 or math.isinf(raw)


def test_a_learned_order_comes_back_from_a_bound():
    term = EntropyRegularizer(2.0, 1.0, learn_alpha=True)
    with torch.no_grad():
        term.raw_alpha.fill_(1e3)
    optimizer = torch.optim.Adam(term.parameters(), lr=10.0)
    x = make((4, 6), dtype=torch.float32)
    for _ in range(300):
        optimizer.zero_grad()
        term(x).backward()
        optimizer.step()
    # the bonus alone prefers the lower bound
    assert 0.5 <= order_of(term) < 0.6


def test_the_gradient_of_a_learned_order():
    term = EntropyRegularizer(1.7, 0.5, learn_alpha=True).double()
    term(make()).backward()
    slope = -0.5 * renyi.grad(renyi.entropy_from_logits, "alpha")(make(), order_of(term)).mean()
    step = 1e-6
    with torch.no_grad():
        term.raw_alpha += step
        above = order_of(term)
        term.raw_alpha -= 2 * step
        below = order_of(term)
    torch.testing.assert_close(term.raw_alpha.grad, slope * (above - below) / (2 * step), rtol=1e-6, atol=0)
    # at the middle, too
    middle = EntropyRegularizer(2.25, 0.5, learn_alpha=True)
    middle(make()).backward()
    assert middle.raw_alpha.grad > 0


@pytest.mark.parametrize(("backend_name", "learned"), [("eager", False), ("aot_eager", False), ("aot_eager", True)])
def test_compile(backend_name, learned):
    """One graph for all weights."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    term = EntropyRegularizer(1.5, 0.1, learn_alpha=learned)
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


def test_the_controller_is_the_core_s():
    options = {"fraction": 0.5, "n": 5, "initial": 0.2, "rate": 0.3, "bounds": (0.1, 0.21)}
    beta, plain = TargetEntropyWeight(**options), renyi.schedules.TargetEntropy(**options)
    assert beta.target == plain.target
    for step in range(20):
        entropies = renyi.entropy_from_logits(make(seed=step, dtype=torch.float32) * (step / 5), 2.0)
        beta.update(entropies.requires_grad_())
        plain.update(entropies.double().mean())
        assert float(beta()) == pytest.approx(plain.weight, rel=1e-14)
        assert 0.1 <= float(beta()) <= 0.21
    assert not beta().requires_grad


def test_the_controller_resumes_exactly_and_survives_nan():
    beta = TargetEntropyWeight(1.0, initial=0.3, rate=0.1)
    beta.update(torch.tensor([0.3, 0.5]))
    saved = {name: value.clone() for name, value in beta.state_dict().items()}
    assert set(saved) == {"log_weight"}
    other = TargetEntropyWeight(1.0, rate=0.1)
    other.load_state_dict(saved)
    for bad in (torch.tensor(math.nan), torch.tensor([1.0, math.inf]), torch.ones(0)):
        other.update(bad)
        assert torch.equal(other.log_weight, saved["log_weight"])
    for entropy in (0.7, 1.4):
        for controller in (beta, other):
            controller.update(torch.tensor(entropy))
    assert torch.equal(beta.log_weight, other.log_weight)
    assert not torch.equal(beta.log_weight, saved["log_weight"])


def test_bad_input():
    for alpha, weight in ((True, 1.0), ("2", 1.0), (torch.tensor(2.0), 1.0), (2.0, "1"), (2.0, None), (2j, 1.0)):
        with pytest.raises(TypeError, match=r"`(alpha|weight)`"):
            EntropyRegularizer(alpha, weight)
    for alpha, weight in ((-1, 1.0), (math.nan, 1.0), (2.0, math.nan), (2.0, math.inf)):
        with pytest.raises(ValueError, match=r"`(alpha|weight)`"):
            EntropyRegularizer(alpha, weight)
    for bounds in ((2.0, 0.5), (-1.0, 4.0), (0.5, math.inf), (0.5, 0.5)):
        with pytest.raises(ValueError, match="`alpha_bounds`"):
            EntropyRegularizer(1.0, 1.0, learn_alpha=True, alpha_bounds=bounds)
    for alpha in (0.5, 4.0, 5.0, math.inf):
        with pytest.raises(ValueError, match="`alpha`"):
            EntropyRegularizer(alpha, 1.0, learn_alpha=True)
    with pytest.raises(ValueError, match="`reduction`"):
        EntropyRegularizer(1.0, 1.0, reduction="average")
    with pytest.raises(TypeError, match="`axis`"):
        EntropyRegularizer(1.0, 1.0, axis=None)
    term = EntropyRegularizer(1.0, 1.0)
    with pytest.raises(TypeError, match="`logits`"):
        term(torch.ones(2, 3, dtype=torch.int64))
    for bad in (torch.ones(3), torch.ones(2, 2), torch.ones(1, 2, 1)):
        with pytest.raises(ValueError, match="`sample_weight`"):
            term(make((2, 5)), sample_weight=bad)
    with pytest.raises(TypeError, match="`sample_weight`"):
        term(make(), sample_weight=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="`where`"):
        term(make(), torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="`target`"):
        TargetEntropyWeight(2.0, n=4)
    for bad in (1.0, [1.0], torch.ones(2, dtype=torch.int64)):
        with pytest.raises(TypeError, match="`entropy`"):
            TargetEntropyWeight(1.0).update(bad)


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
        beta.update(entropies)
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
    errors = [process.communicate()[1] for process in processes]
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
