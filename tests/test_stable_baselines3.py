"""PPO, A2C and SAC of Stable-Baselines3 with a Rényi entropy: the training, schedules, resuming."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core import schedules

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
gymnasium = pytest.importorskip("gymnasium")
from sb3_cases import (  # noqa: E402
    ON_POLICY,
    PPO_OPTIONS,
    SAC_OPTIONS,
    SPACES,
    Chain,
    bandit,
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
from stable_baselines3 import A2C, PPO, SAC  # noqa: E402
from stable_baselines3.common.policies import ActorCriticPolicy  # noqa: E402

from renyi_training.stable_baselines3 import RenyiA2C, RenyiPPO, RenyiSAC, distribution_entropy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")


def mean_entropy(model, alpha):
    with torch.no_grad():
        return float(distribution_entropy(model.policy.get_distribution(states()), alpha).mean())


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize(("alpha", "weight"), [(1.0, 0.1), (2.5, 0.0)])
def test_ppo_of_order_one_or_weight_zero_is_the_one_of_sb3(name, alpha, weight):
    """Bit for bit; of torch's Bernoulli, whose entropy is not taken, to its rounding while the policy is unsure."""
    ours = RenyiPPO("MlpPolicy", bandit(name), alpha=alpha, ent_coef=weight, **PPO_OPTIONS).learn(160)
    theirs = PPO("MlpPolicy", bandit(name), ent_coef=weight, **PPO_OPTIONS).learn(160)
    if name == "multibinary" and weight:
        for one, other in zip(parameters(ours), parameters(theirs), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    else:
        assert equal(ours, theirs)


@pytest.mark.parametrize(("alpha", "weight"), [(1.0, 0.1), (2.5, 0.0)])
def test_a2c_of_order_one_or_weight_zero_is_the_one_of_sb3(alpha, weight):
    """Bit for bit."""
    ours = RenyiA2C("MlpPolicy", bandit("discrete"), alpha=alpha, ent_coef=weight, **ON_POLICY).learn(160)
    theirs = A2C("MlpPolicy", bandit("discrete"), ent_coef=weight, **ON_POLICY).learn(160)
    assert equal(ours, theirs)


@pytest.mark.parametrize("alpha", [1.0, 2.5])
@pytest.mark.parametrize("use_sde", [False, True])
def test_sac_of_weight_zero_is_the_one_of_sb3(alpha, use_sde):
    """Bit for bit."""
    options = {**SAC_OPTIONS, "ent_coef": 0.0, "use_sde": use_sde}
    ours = RenyiSAC("MlpPolicy", bandit("box"), alpha=alpha, **options).learn(40)
    theirs = SAC("MlpPolicy", bandit("box"), **options).learn(40)
    assert equal(ours, theirs)


class ByHand(ActorCriticPolicy):
    """PPO with the entropy of order 2 of the logits, written out."""

    def evaluate_actions(self, obs, actions):
        values, log_prob, _ = super().evaluate_actions(obs, actions)
        probs = self.get_distribution(obs).distribution.probs
        return values, log_prob, -torch.log((probs**2).sum(dim=-1))


@pytest.mark.parametrize(("ours", "theirs", "options"), [(RenyiPPO, PPO, PPO_OPTIONS), (RenyiA2C, A2C, ON_POLICY)])
def test_the_term_is_the_one_written_by_hand(ours, theirs, options):
    """Within rounding: another formula of the same entropy."""
    model = ours("MlpPolicy", bandit("discrete"), alpha=2, ent_coef=0.5, **options).learn(32)
    by_hand = theirs(ByHand, bandit("discrete"), ent_coef=0.5, **options).learn(32)
    for one, other in zip(parameters(model), parameters(by_hand), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert not equal(model, theirs("MlpPolicy", bandit("discrete"), ent_coef=0.5, **options).learn(32))


def sac_step_by_hand(model, batch, alpha):
    """One step of the paper's losses with V(s) = E[Q] + β·H_α, in place."""
    obs, beta = batch.observations, model.log_ent_coef.detach().exp()
    chosen, entropy = sampled(model, obs, alpha)
    move_weight(model, entropy)
    with torch.no_grad():
        following, following_entropy = sampled(model, batch.next_observations, alpha)
        value = least(model.critic_target, batch.next_observations, following) + beta * following_entropy
        target = batch.rewards + (1 - batch.dones) * model.gamma * value
    descend(model.critic, sum(((q - target) ** 2).mean() / 2 for q in model.critic(obs, batch.actions)))
    descend(model.actor, -(least(model.critic, obs, chosen) + beta * entropy).mean())
    follow(model)


def test_what_sac_is_given_at_order_one_is_the_mean_of_what_it_samples():
    model = RenyiSAC("MlpPolicy", bandit("box"), **SAC_OPTIONS)
    theirs = SAC("MlpPolicy", bandit("box"), **SAC_OPTIONS)
    with torch.no_grad():
        _, exact = model.actor.action_log_prob(states(1))
        _, sampled = theirs.actor.action_log_prob(states(1).expand(100_000, 2))
    assert exact.shape == (1,)
    # five standard errors, and the 1e-6 of SB3's logarithm
    assert abs(float(exact - sampled.mean())) < 5 * float(sampled.std()) / math.sqrt(100_000) + 1e-5


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_sac_is_the_one_written_by_hand(alpha):
    """Within rounding."""
    options = {**SAC_OPTIONS, "learning_starts": 40, "batch_size": 16, "ent_coef": "auto_0.7"}
    ours, by_hand = (RenyiSAC("MlpPolicy", Chain(SPACES["box"]), alpha=alpha, **options).learn(40) for _ in range(2))
    start = parameters(ours)
    taught(ours, by_hand, sac_step_by_hand, alpha)
    torch.testing.assert_close(ours.log_ent_coef, by_hand.log_ent_coef, rtol=0, atol=1e-6)
    for one, other, before in zip(parameters(ours), parameters(by_hand), start, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
        assert not torch.equal(one, before)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_bonus_raises_the_entropy_of_ppo_and_a_penalty_lowers_it(alpha):
    low, none, high = (
        mean_entropy(
            RenyiPPO("MlpPolicy", bandit("discrete"), alpha=alpha, ent_coef=w, **PPO_OPTIONS).learn(160), alpha
        )
        for w in (-0.2, 0.0, 0.5)
    )
    assert low < none - 0.05 < none + 0.05 < high


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_bonus_raises_the_entropy_of_sac(alpha):
    low, high = (
        squashed_entropy(RenyiSAC("MlpPolicy", bandit("box"), alpha=alpha, ent_coef=w, **SAC_OPTIONS).learn(250), alpha)
        for w in (0.01, 3.0)
    )
    assert low < high - 0.3


def test_sac_holds_the_entropy_of_its_order_at_the_target():
    options = {**SAC_OPTIONS, "learning_rate": 0.01, "target_entropy": 0.4, "ent_coef": "auto_0.1"}
    model = RenyiSAC("MlpPolicy", bandit("box"), alpha=3.0, **options).learn(700)
    assert squashed_entropy(model, 3.0) == pytest.approx(0.4, abs=0.25)
    # which is not where the entropy of order 1 is
    assert squashed_entropy(model, 1.0) > squashed_entropy(model, 3.0) + 0.1


def test_a_controller_moves_the_coefficient_of_ppo():
    controller = schedules.TargetEntropy(fraction=0.9, n=4, initial=0.01, rate=0.5)
    model = RenyiPPO("MlpPolicy", bandit("discrete", 3.0), alpha=2.0, ent_coef=controller, **PPO_OPTIONS).learn(32 * 60)
    assert mean_entropy(model, 2.0) == pytest.approx(controller.target, abs=0.12)
    assert model.ent_coef is controller
    free = RenyiPPO("MlpPolicy", bandit("discrete", 3.0), alpha=2.0, **PPO_OPTIONS).learn(32 * 60)
    assert mean_entropy(free, 2.0) < controller.target - 0.3


def test_the_controller_is_given_the_mean_entropy_of_the_call():
    controller = schedules.TargetEntropy(0.5, initial=0.1, rate=0.25)
    options = {**ON_POLICY, "n_steps": 8}
    model = RenyiA2C("MlpPolicy", bandit("discrete"), alpha=2.0, ent_coef=controller, **options)
    # A2C takes one step on the whole rollout, before which the policy is that of the start
    model.learn(8)
    with torch.no_grad():
        start = RenyiA2C("MlpPolicy", bandit("discrete"), **options).policy
        seen = torch.as_tensor(model.rollout_buffer.observations.reshape(-1, 2))
        entropy = float(distribution_entropy(start.get_distribution(seen), 2.0).mean())
    assert math.log(controller.weight / 0.1) == pytest.approx(0.25 * (0.5 - entropy), rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "want"),
    [
        # SB3's: of what remains after 32 of 64 steps, and after all
        (lambda remaining: 1.0 + remaining, [1.5, 1.0]),
        # renyi_core's: of the steps done
        (schedules.Linear(1.0, 3.0, 128), [1.5, 2.0]),
    ],
)
def test_schedules(schedule, want):
    seen = []

    class Watched(RenyiPPO):
        def train(self):
            super().train()
            values = self.logger.name_to_value
            seen.append((self.policy.action_dist.alpha, values["train/alpha"], values["train/ent_coef"]))

    Watched("MlpPolicy", bandit("discrete"), alpha=schedule, ent_coef=schedule, **PPO_OPTIONS).learn(64)
    assert seen == [(value, value, value) for value in want]


def test_a_schedule_of_sac():
    orders = schedules.Linear(1.0, 2.0, 40)
    model = RenyiSAC("MlpPolicy", bandit("box"), alpha=orders, **SAC_OPTIONS).learn(20)
    assert model.actor.action_dist.alpha == 1.5


def test_a_scheduled_coefficient_is_the_one_of_the_loss():
    scheduled = RenyiPPO("MlpPolicy", bandit("discrete"), alpha=2, ent_coef=lambda _: 0.3, **PPO_OPTIONS).learn(64)
    number = RenyiPPO("MlpPolicy", bandit("discrete"), alpha=2, ent_coef=0.3, **PPO_OPTIONS).learn(64)
    assert equal(scheduled, number)


def test_squashed_noise_of_ppo_has_the_entropy_that_sb3_lacks():
    options = {**PPO_OPTIONS, "use_sde": True, "policy_kwargs": {"net_arch": [8], "squash_output": True}}
    model = RenyiPPO("MlpPolicy", bandit("box"), alpha=1.0, ent_coef=0.1, **options).learn(32)
    observations = states()
    _, _, entropy = model.policy.evaluate_actions(observations, torch.zeros(16, 2))
    inner = model.policy.get_distribution(observations).distribution
    torch.testing.assert_close(entropy, renyi.tanh_gaussian_entropy(inner.loc, inner.scale, 1.0, axis=-1))


def test_a_policy_of_the_users_own():
    class Own(ActorCriticPolicy):
        pass

    model = RenyiPPO(Own, bandit("discrete"), alpha=2, ent_coef=0.5, **PPO_OPTIONS).learn(32)
    assert type(model.policy) is Own
    assert equal(model, RenyiPPO("MlpPolicy", bandit("discrete"), alpha=2, ent_coef=0.5, **PPO_OPTIONS).learn(32))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (RenyiPPO, {**PPO_OPTIONS, "alpha": 2.0, "ent_coef": 0.1}),
        (RenyiPPO, {**PPO_OPTIONS, "alpha": math.inf, "ent_coef": lambda remaining: remaining}),
        (
            RenyiPPO,
            {
                **PPO_OPTIONS,
                "alpha": schedules.Linear(1.0, 2.0, 300),
                "ent_coef": schedules.TargetEntropy(1.0, rate=0.5),
            },
        ),
        (RenyiA2C, {**ON_POLICY, "alpha": 0.5, "ent_coef": 0.1}),
        (RenyiSAC, {**SAC_OPTIONS, "alpha": 2.0, "ent_coef": "auto_0.5"}),
        (RenyiSAC, {**SAC_OPTIONS, "alpha": schedules.Linear(1.0, 2.0, 100), "ent_coef": 0.5}),
    ],
)
def test_a_saved_model_goes_on_exactly(kind, options):
    name = "box" if kind is RenyiSAC else "discrete"
    model = kind("MlpPolicy", bandit(name), **options).learn(64)
    observations = states().numpy()
    chosen = [each.predict(observations, deterministic=True)[0] for each in (model, reloaded(model, kind))]
    assert np.array_equal(*chosen)
    loaded = goes_on_exactly(model, lambda: bandit(name), 96)
    if not callable(model.ent_coef) and not isinstance(model.ent_coef, schedules.TargetEntropy):
        assert (loaded.alpha, loaded.ent_coef) == (model.alpha, model.ent_coef)


@pytest.mark.parametrize(("ours", "theirs", "name"), [(RenyiPPO, PPO, "discrete"), (RenyiSAC, SAC, "box")])
def test_files_are_those_of_sb3(ours, theirs, name):
    options = PPO_OPTIONS if ours is RenyiPPO else SAC_OPTIONS
    for one, other in ((theirs, ours), (ours, theirs)):
        model = one("MlpPolicy", bandit(name), ent_coef=0.1, **options).learn(32)
        file = io.BytesIO()
        model.save(file)
        file.seek(0)
        loaded = other.load(file, env=bandit(name), device="cpu", **({"alpha": 3.0} if other is ours else {}))
        assert equal(loaded, model)
        loaded.learn(32)
        assert not equal(loaded, model)
    assert type(loaded) is theirs


def test_load_takes_another_order_and_coefficient():
    model = RenyiPPO("MlpPolicy", bandit("discrete"), alpha=2.0, ent_coef=0.1, **PPO_OPTIONS)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = RenyiPPO.load(file, alpha=0.5, ent_coef=0.2, env=bandit("discrete"), device="cpu").learn(32)
    assert loaded.policy.action_dist.alpha == 0.5
    assert loaded.ent_coef == 0.2
    file.seek(0)
    with pytest.raises(ValueError, match="`alpha` must be >= 0, got -1"):
        RenyiPPO.load(file, alpha=-1, env=bandit("discrete"), device="cpu")
