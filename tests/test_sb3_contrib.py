"""The algorithms of sb3-contrib with a Rényi entropy: masks, memory, quantiles, and no target networks."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from renyi_core import schedules

torch = pytest.importorskip("torch")
pytest.importorskip("sb3_contrib")
gymnasium = pytest.importorskip("gymnasium")
from sb3_cases import (  # noqa: E402
    PPO_OPTIONS,
    SAC_OPTIONS,
    SPACES,
    Bandit,
    Chain,
    descend,
    equal,
    follow,
    goes_on_exactly,
    least,
    move_weight,
    parameters,
    reloaded,
    sampled,
    squashed_entropy,
    states,
    taught,
)
from sb3_contrib import TQC, CrossQ, MaskablePPO, RecurrentPPO  # noqa: E402
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy  # noqa: E402
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy  # noqa: E402

from renyi_training.stable_baselines3 import (  # noqa: E402
    RenyiCrossQ,
    RenyiMaskablePPO,
    RenyiRecurrentPPO,
    RenyiTQC,
    _contrib,
)

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0, 0.5, 1, 2, math.inf)
SIZES = {"discrete": [4], "multidiscrete": [2, 3], "multibinary": [2, 2, 2]}
RECURRENT = {**PPO_OPTIONS, "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 4}}
QUANTILES = {**SAC_OPTIONS, "policy_kwargs": {"net_arch": [16], "n_quantiles": 5}, "top_quantiles_to_drop_per_net": 1}
OPTIONS = {RenyiMaskablePPO: PPO_OPTIONS, RenyiRecurrentPPO: RECURRENT, RenyiTQC: QUANTILES, RenyiCrossQ: SAC_OPTIONS}


class Masked(Bandit):
    """Forbids one action everywhere, and another at half the states."""

    def __init__(self, name, preference=1.0, *, free=False):
        super().__init__(SPACES[name], preference)
        self.size, self.free = sum(SIZES[name]), free

    def reset(self, **options):
        self.seen, info = super().reset(**options)
        return self.seen, info

    def step(self, action):
        self.seen, *rest = super().step(action)
        return self.seen, *rest

    def action_masks(self):
        mask = np.ones(self.size, dtype=bool)
        if not self.free:
            mask[1], mask[-1] = False, self.seen[0] > 0
        return mask


def environment(kind, preference=1.0):
    if kind is RenyiMaskablePPO:
        return Masked("discrete", preference)
    return Chain(SPACES["discrete" if kind is RenyiRecurrentPPO else "box"], preference)


def model_of(kind, preference=1.0, **options):
    policy = "MlpLstmPolicy" if kind is RenyiRecurrentPPO else "MlpPolicy"
    return kind(policy, environment(kind, preference), **OPTIONS[kind] | options)


@pytest.mark.parametrize("name", list(SIZES))
@pytest.mark.parametrize(("alpha", "weight"), [(1.0, 0.1), (2.5, 0.0)])
def test_masked_ppo_of_order_one_or_weight_zero_is_sb3s(name, alpha, weight):
    """Bit for bit."""
    ours = RenyiMaskablePPO("MlpPolicy", Masked(name), alpha=alpha, ent_coef=weight, **PPO_OPTIONS).learn(64)
    theirs = MaskablePPO("MlpPolicy", Masked(name), ent_coef=weight, **PPO_OPTIONS).learn(64)
    assert equal(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "alpha", "weight"),
    [
        (RenyiRecurrentPPO, RecurrentPPO, 1.0, 0.1),
        (RenyiRecurrentPPO, RecurrentPPO, 2.5, 0.0),
        (RenyiTQC, TQC, 2.5, 0.0),
        (RenyiCrossQ, CrossQ, 2.5, 0.0),
    ],
)
def test_order_one_or_weight_zero_is_sb3s(ours, theirs, alpha, weight):
    """Bit for bit."""
    policy = "MlpLstmPolicy" if theirs is RecurrentPPO else "MlpPolicy"
    found = model_of(ours, alpha=alpha, ent_coef=weight).learn(64)
    assert equal(found, theirs(policy, environment(ours), ent_coef=weight, **OPTIONS[ours]).learn(64))


def entropy_by_hand(logits, mask, alpha):
    probs = torch.softmax(logits.masked_fill(~mask, -math.inf), dim=1)
    if alpha == 0:
        return mask.sum(dim=1).log() + 0 * logits.sum(dim=1)
    if alpha == math.inf:
        return -probs.amax(dim=1).log()
    powers = torch.where(mask, probs, 1.0)
    if alpha == 1:
        return -(powers * powers.log()).sum(dim=1)
    return torch.where(mask, powers**alpha, 0.0).sum(dim=1).log() / (1 - alpha)


def close(one, other, atol=1e-5):
    for a, b in zip(parameters(one), parameters(other), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("name", ["discrete", "multidiscrete"])
def test_masked_ppo_is_the_one_written_by_hand(name, alpha):
    """Of the logits of the allowed actions, with sb3-contrib's own loop."""

    class ByHand(MaskableActorCriticPolicy):
        def evaluate_actions(self, obs, actions, action_masks=None):
            values, log_prob, _ = super().evaluate_actions(obs, actions, action_masks)
            distribution = self.get_distribution(obs)
            parts = getattr(distribution, "distributions", None) or [distribution.distribution]
            masks = torch.as_tensor(action_masks).bool().reshape(len(obs), -1).split(SIZES[name], dim=1)
            pairs = zip(parts, masks, strict=True)
            return values, log_prob, sum(entropy_by_hand(part.logits, mask, alpha) for part, mask in pairs)

    model = RenyiMaskablePPO("MlpPolicy", Masked(name), alpha=alpha, ent_coef=0.5, **PPO_OPTIONS).learn(32)
    by_hand = MaskablePPO(ByHand, Masked(name), ent_coef=0.5, **PPO_OPTIONS).learn(32)
    close(model, by_hand)
    values = [each.logger.name_to_value["train/entropy_loss"] for each in (model, by_hand)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    plain = MaskablePPO("MlpPolicy", Masked(name), **PPO_OPTIONS).learn(32)
    # at order 0 a bonus is a constant
    assert equal(model, plain) is (alpha == 0)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("name", list(SIZES))
def test_masks_that_allow_everything_change_nothing(name, alpha):
    options = {"alpha": alpha, "ent_coef": 0.3, **PPO_OPTIONS}
    found = RenyiMaskablePPO("MlpPolicy", Masked(name, free=True), **options).learn(32)
    close(found, RenyiMaskablePPO("MlpPolicy", Masked(name, free=True), **options).learn(32, use_masking=False))


@pytest.mark.parametrize("alpha", ORDERS)
def test_an_action_that_is_never_allowed_has_no_part(alpha):
    """Whatever its logit is; its own parameters stay as they are, but for the rounding of sb3-contrib's normalizer."""
    model = RenyiMaskablePPO("MlpPolicy", Masked("discrete"), alpha=alpha, ent_coef=0.3, **PPO_OPTIONS)
    head = model.policy.action_net
    before = head.weight.detach().clone()
    model.learn(32)
    moved = (head.weight.detach() - before).abs().amax(dim=1)
    assert moved[1] < 2e-5
    assert moved[0] > 2e-2
    masks = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 1]]).bool()
    found = []
    for bias in (0.0, 50.0):
        head.bias.data[1] = bias
        _, _, entropy = model.policy.evaluate_actions(states(2), torch.tensor([0, 3]), masks)
        found.append(entropy)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert found[0][1] == 0
    if alpha == 0:
        torch.testing.assert_close(found[0], torch.tensor([math.log(3), 0.0]))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_recurrent_ppo_is_the_one_written_by_hand(alpha):
    """Episodes have several steps, so that batches are padded."""

    class ByHand(RecurrentActorCriticPolicy):
        def evaluate_actions(self, obs, actions, lstm_states, episode_starts):
            values, log_prob, _ = super().evaluate_actions(obs, actions, lstm_states, episode_starts)
            distribution, _ = self.get_distribution(obs, lstm_states.pi, episode_starts)
            probs = distribution.distribution.probs
            return values, log_prob, torch.log((probs**alpha).sum(dim=-1)) / (1 - alpha)

    model = model_of(RenyiRecurrentPPO, alpha=alpha, ent_coef=0.5).learn(32)
    by_hand = RecurrentPPO(ByHand, environment(RenyiRecurrentPPO), ent_coef=0.5, **RECURRENT).learn(32)
    close(model, by_hand)
    assert not equal(model, model_of(RenyiRecurrentPPO).learn(32))


def tqc_step_by_hand(model, batch, alpha):
    """One step of the paper's losses, with β·H_α added to each quantile that is kept, in place."""
    obs, beta = batch.observations, model.log_ent_coef.detach().exp()
    chosen, entropy = sampled(model, obs, alpha)
    move_weight(model, entropy)
    with torch.no_grad():
        following, following_entropy = sampled(model, batch.next_observations, alpha)
        atoms = model.critic_target(batch.next_observations, following).flatten(1).sort(dim=1).values
        # of two critics, the largest one of each
        value = atoms[:, :-2] + beta * following_entropy
        target = batch.rewards + (1 - batch.dones) * model.gamma * value
    quantiles = model.critic(obs, batch.actions)
    distance = target[:, None, None, :] - quantiles[..., None]
    huber = torch.where(distance.abs() > 1, distance.abs() - 0.5, distance**2 / 2)
    levels = (torch.arange(5) + 0.5)[:, None] / 5
    descend(model.critic, (torch.abs(levels - (distance < 0).float()) * huber).mean())
    descend(model.actor, -(model.critic(obs, chosen).mean(dim=(1, 2))[:, None] + beta * entropy).mean())
    follow(model)


def crossq_step_by_hand(model, batch, alpha):
    """One step of the paper's losses with V(s) = E[Q] + β·H_α: both batches at once, the actor at each third step."""
    obs, beta = batch.observations, model.log_ent_coef.detach().exp()
    model._n_updates += 1
    with torch.no_grad():
        model.actor.set_bn_training_mode(False)
        following, entropy = sampled(model, batch.next_observations, alpha)
    model.critic.set_bn_training_mode(True)
    pairs = torch.cat([obs, batch.next_observations]), torch.cat([batch.actions, following])
    now, later = torch.cat(model.critic(*pairs), dim=1).chunk(2)
    model.critic.set_bn_training_mode(False)
    value = later.detach().min(dim=1, keepdim=True).values + beta * entropy
    target = batch.rewards + (1 - batch.dones) * model.gamma * value
    descend(model.critic, ((now - target) ** 2).mean(dim=0).sum() / 2)
    if model._n_updates % 3 == 0:
        model.actor.set_bn_training_mode(True)
        chosen, entropy = sampled(model, obs, alpha)
        model.actor.set_bn_training_mode(False)
        move_weight(model, entropy)
        descend(model.actor, -(least(model.critic, obs, chosen) + beta * entropy).mean())


@pytest.mark.parametrize("alpha", [1.0, 2.5])
@pytest.mark.parametrize(("kind", "step"), [(RenyiTQC, tqc_step_by_hand), (RenyiCrossQ, crossq_step_by_hand)])
def test_off_policy_training_is_the_one_written_by_hand(kind, step, alpha):
    """Within rounding."""
    options = {"learning_starts": 40, "batch_size": 16, "ent_coef": "auto_0.7", "alpha": alpha}
    ours, by_hand = (model_of(kind, **options).learn(40) for _ in range(2))
    start = parameters(ours)
    taught(ours, by_hand, step, alpha)
    torch.testing.assert_close(ours.log_ent_coef, by_hand.log_ent_coef, rtol=0, atol=1e-6)
    close(ours, by_hand, 2e-5)
    trained = [not torch.equal(a, b) for a, b in zip(start, parameters(ours), strict=True)]
    frozen = [not parameter.requires_grad for parameter in ours.policy.parameters()]
    assert all(moved or still for moved, still in zip(trained, frozen, strict=True))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
@pytest.mark.parametrize("kind", [RenyiMaskablePPO, RenyiRecurrentPPO])
def test_the_bonus_raises_the_entropy_and_a_penalty_lowers_it(kind, alpha):
    trained = (model_of(kind, alpha=alpha, ent_coef=w, learning_rate=0.02).learn(160) for w in (-1.0, 0.0, 1.0))
    low, none, high = (-model.logger.name_to_value["train/entropy_loss"] for model in trained)
    assert low < none - 0.03 < none + 0.03 < high


@pytest.mark.parametrize("alpha", [0.5, 2.0])
@pytest.mark.parametrize("kind", [RenyiTQC, RenyiCrossQ])
def test_the_bonus_raises_the_entropy_of_off_policy_training(kind, alpha):
    weights = {"ent_coef": 0.01}, {"ent_coef": 3.0}
    models = (model_of(kind, alpha=alpha, learning_rate=0.01, **weight).learn(90) for weight in weights)
    low, high = (squashed_entropy(model, alpha) for model in models)
    assert low < high - 0.1


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (RenyiMaskablePPO, {"alpha": schedules.Linear(1.0, 2.0, 300), "ent_coef": schedules.TargetEntropy(0.8)}),
        (RenyiRecurrentPPO, {"alpha": 2.0, "ent_coef": 0.1}),
        (RenyiTQC, {"alpha": schedules.Linear(1.0, 2.0, 100), "ent_coef": "auto_0.5"}),
        (RenyiCrossQ, {"alpha": math.inf, "ent_coef": "auto_0.5"}),
    ],
)
def test_a_saved_model_goes_on_exactly(kind, options):
    loaded = goes_on_exactly(model_of(kind, **options).learn(32), lambda: environment(kind), 64)
    assert loaded._owner().action_dist.alpha == loaded.logger.name_to_value["train/alpha"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(RenyiMaskablePPO, MaskablePPO), (RenyiRecurrentPPO, RecurrentPPO), (RenyiTQC, TQC), (RenyiCrossQ, CrossQ)],
)
def test_files_are_those_of_sb3_contrib(ours, theirs):
    model = model_of(ours, ent_coef=0.1)
    plain = reloaded(model, theirs)
    loaded = reloaded(plain, ours, env=environment(ours), alpha=3.0)
    assert type(plain) is theirs
    assert equal(plain, model)
    assert equal(loaded, model)
    loaded.learn(32)
    assert loaded._owner().action_dist.alpha == 3.0


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        (RenyiMaskablePPO, {"alpha": -1.0}, ValueError, "`alpha` must be >= 0, got -1.0"),
        (RenyiRecurrentPPO, {"ent_coef": "auto"}, TypeError, "`ent_coef` must be a real number, got 'auto'"),
        (RenyiTQC, {"alpha": math.nan}, ValueError, "`alpha` must be >= 0, got nan"),
        (RenyiCrossQ, {"target_entropy": 1.5}, ValueError, "`target_entropy` must be less than 1.38629"),
    ],
)
def test_bad_configurations(kind, options, error, message):
    with pytest.raises(error, match=message):
        model_of(kind, **options)


def test_it_is_imported_when_it_is_asked_for():
    code = """
import sys
from renyi_training import stable_baselines3
assert not {name for name in sys.modules if name.startswith("sb3_contrib")}
sys.modules["sb3_contrib"] = None
for name in ("RenyiMaskablePPO", "RenyiRecurrentPPO", "RenyiTQC", "RenyiCrossQ"):
    try:
        getattr(stable_baselines3, name)
    except ImportError as error:
        assert str(error) == f"{name} needs sb3-contrib: pip install 'renyi-core[sb3-contrib]'", error
    else:
        raise SystemExit("no ImportError")
assert not hasattr(stable_baselines3, "RenyiDQN")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_docstrings_and_page():
    found = doctest.testmod(_contrib)
    assert found.attempted >= 11
    assert found.failed == 0
    page = Path(__file__).parent.parent / "docs" / "stable_baselines3.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted >= 19
    assert found.failed == 0
