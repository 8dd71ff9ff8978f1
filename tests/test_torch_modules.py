"""The modules of the torch adapter: what they return, what they keep and refuse, and a learned order."""

from __future__ import annotations

import io
import math

import every_call
import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from module_cases import gradient, make, order_of, same  # noqa: E402

import renyi_training.torch  # noqa: E402
from renyi_core.regularizers import EntropyBonus  # noqa: E402
from renyi_training.torch import EntropyRegularizer, TargetEntropyWeight  # noqa: E402

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # torch's own, from the first use of torch.compile
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


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
    assert term(x, sample_weight=-weights).isnan().any()


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


@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2, math.inf])
def test_the_controller_takes_no_heed_of_padding(alpha):
    logits, valid = make((4, 6, 5)), torch.arange(6) < torch.tensor([6, 1, 4, 2])[:, None]
    entropies = renyi.entropy_from_logits(logits, alpha)
    whole, part, padded = (TargetEntropyWeight(1.0, rate=0.5) for _ in range(3))
    whole.update(entropies)
    part.update(entropies[valid])
    padded.update(torch.where(valid, entropies, math.nan), where=valid)
    torch.testing.assert_close(padded.log_weight, part.log_weight, rtol=1e-14, atol=0)
    # at order 0 all entropies are equal
    assert torch.isclose(padded.log_weight, whole.log_weight, rtol=1e-12, atol=0) == (alpha == 0)
    columns = TargetEntropyWeight(1.0, rate=0.5)
    columns.update(entropies, torch.arange(6) < 2)
    part.load_state_dict(TargetEntropyWeight(1.0).state_dict())
    part.update(entropies[:, :2])
    torch.testing.assert_close(columns.log_weight, part.log_weight, rtol=1e-14, atol=0)
    before = padded.log_weight.clone()
    padded.update(entropies, torch.zeros_like(valid))
    assert torch.equal(padded.log_weight, before)


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
    with pytest.raises(TypeError, match="`where` must have a boolean dtype"):
        TargetEntropyWeight(1.0).update(torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="`where`"):
        TargetEntropyWeight(1.0).update(torch.ones(2), torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((2.0, renyi.schedules.Linear(1.0, 2.0, 3)), {}, r"`weight` .* weight=schedule\(step\)"),
        ((2.0, renyi.schedules.TargetEntropy(1.0)), {}, r"`weight` .* weight=controller.weight"),
        ((2.0, 0.1), {"dim": 1}, "`EntropyRegularizer` has no argument `dim`: use `axis=`"),
        ((2.0, 0.1), {"ignore_index": -100}, "at the call use `sample_weight=`"),
        ((2.0,), {}, "`EntropyRegularizer` needs `weight`"),
    ],
)
def test_natural_mistakes(args, options, words):
    with pytest.raises(TypeError, match=words):
        EntropyRegularizer(*args, **options)


@pytest.mark.parametrize("name", sorted(every_call.TERMS))
def test_each_term_has_a_module_of_its_name(name):
    """It gives what the term gives, with its weight in the state and a weight of 0 that computes nothing."""
    arrays = [torch.tensor(x) for x in map(every_call.inputs("plain").get, every_call.TERMS[name])]
    needed = {"target": 1.0} if name == "EntropyFloor" else {}
    kind, term = getattr(renyi_training.torch, name), every_call.term(name, weight=0.25)
    module = kind(**needed, weight=0.25)
    same(lambda x: module(x, *arrays[1:]), lambda x: term(x, *arrays[1:]), arrays[0], rtol=1e-14, atol=0)
    other = kind(**needed, weight=0.5)
    other.load_state_dict(module.state_dict())
    assert float(other(*arrays)) == float(module(*arrays)) != 0
    module.set_weight(0.0)
    assert float(module(*arrays)) == 0
    module.set_weight(torch.tensor(0.5))
    torch.testing.assert_close(module.bfloat16()(*arrays), 2 * term(*arrays), rtol=1e-14, atol=0)
    assert name in repr(module)
    for wrong in (-1.0, math.inf):
        with pytest.raises(ValueError, match="`weight`"):
            module.set_weight(wrong)
    with pytest.raises(TypeError, match="`weight` of a module must be a number"):
        kind(**needed, weight=torch.tensor(1.0))


def test_a_module_of_a_term_takes_what_the_term_takes():
    x, mask = make((6, 5)), torch.tensor([True, True, False, True, True])
    module = renyi_training.torch.EntropyBonus(0.5, 0.1, reduction="none")
    term = EntropyBonus(0.5, 0.1, reduction="none")
    options = {"where": mask, "alpha": torch.tensor(2.0), "sample_weight": torch.arange(6) % 2, "axis": 1}
    torch.testing.assert_close(module(x, **options), term(x, **options), rtol=1e-14, atol=0)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, where=mask), term(x, where=mask), rtol=1e-12, atol=0)
    with pytest.raises(TypeError, match="no argument `beta`"):
        renyi_training.torch.EntropyBonus(2.0, beta=0.1)
