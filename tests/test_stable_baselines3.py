"""PPO, A2C and SAC of Stable-Baselines3 with a Rényi entropy: the terms, the training, resuming."""

from __future__ import annotations

import doctest
import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core import schedules

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
gymnasium = pytest.importorskip("gymnasium")
import renyi_adapters.stable_baselines3 as adapter  # noqa: E402
from gymnasium import spaces  # noqa: E402
from renyi_adapters.stable_baselines3 import RenyiA2C, RenyiPPO, RenyiSAC, distribution_entropy  # noqa: E402
from stable_baselines3 import A2C, PPO, SAC  # noqa: E402
from stable_baselines3.common import distributions as sb3  # noqa: E402
from stable_baselines3.common.policies import ActorCriticPolicy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.5, 1, 2, 3.7, math.inf)
SPACES = {
    "discrete": spaces.Discrete(4),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "box": spaces.Box(-2.0, 3.0, (2,)),
}
ON_POLICY = {"n_steps": 32, "seed": 3, "device": "cpu", "policy_kwargs": {"net_arch": [8]}}
PPO_OPTIONS = {**ON_POLICY, "batch_size": 16, "n_epochs": 3, "learning_rate": 0.01}
SAC_OPTIONS = {
    "learning_starts": 8,
    "batch_size": 8,
    "buffer_size": 200,
    "learning_rate": 0.003,
    "seed": 3,
    "device": "cpu",
    "policy_kwargs": {"net_arch": [16]},
}


class Bandit(gymnasium.Env):
    """Episodes of one step; the reward grows with the sum of the action, times the preference."""

    def __init__(self, action_space, preference=1.0):
        self.action_space, self.preference = action_space, preference
        self.observation_space = spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        reward = self.preference * float(np.sum(action))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), reward, True, False, {}


def bandit(name, preference=1.0):
    return Bandit(SPACES[name], preference)


def parameters(model):
    return [parameter.detach().clone() for parameter in model.policy.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(count=16):
    return torch.rand((count, 2), generator=torch.Generator().manual_seed(1)) * 2 - 1


def mean_entropy(model, alpha):
    with torch.no_grad():
        return float(distribution_entropy(model.policy.get_distribution(states()), alpha).mean())


# the entropies


@pytest.mark.parametrize("alpha", ORDERS)
def test_categorical(alpha):
    logits = draw(5, 4)
    found = distribution_entropy(sb3.CategoricalDistribution(4).proba_distribution(logits), alpha)
    torch.testing.assert_close(found, renyi.entropy_from_logits(logits, alpha), rtol=1e-14, atol=0)


@pytest.mark.parametrize("alpha", ORDERS)
def test_products_of_discrete_distributions_add_up(alpha):
    """Against the joint distribution of all parts, which is one distribution."""
    logits = draw(5, 5)
    found = distribution_entropy(sb3.MultiCategoricalDistribution([2, 3]).proba_distribution(logits), alpha)
    joint = (logits[:, :2, None] + logits[:, None, 2:]).reshape(5, 6)
    torch.testing.assert_close(found, renyi.entropy_from_logits(joint, alpha), rtol=1e-13, atol=0)

    found = distribution_entropy(sb3.BernoulliDistribution(2).proba_distribution(logits[:, :2]), alpha)
    first, second = torch.sigmoid(logits[:, 0]), torch.sigmoid(logits[:, 1])
    pairs = [first * second, first * (1 - second), (1 - first) * second, (1 - first) * (1 - second)]
    torch.testing.assert_close(found, renyi.entropy(torch.stack(pairs, dim=1), alpha), rtol=1e-13, atol=0)


@pytest.mark.parametrize("alpha", ORDERS)
def test_gaussian(alpha):
    log_std = draw(3, seed=1)
    found = distribution_entropy(sb3.DiagGaussianDistribution(3).proba_distribution(draw(5, 3), log_std), alpha)
    # the logarithm of the integral of f^α, a Gaussian integral
    over = {1: 0.5, math.inf: 0.0}.get(alpha) if alpha in {1, math.inf} else math.log(alpha) / (alpha - 1) / 2
    want = log_std.sum() + 3 * (math.log(2 * math.pi) / 2 + over)
    torch.testing.assert_close(found, want.expand(5), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("alpha", ORDERS)
def test_squashed_gaussians(alpha):
    mean, log_std = draw(5, 2), draw(5, 2, seed=1) / 2
    found = distribution_entropy(sb3.SquashedDiagGaussianDistribution(2).proba_distribution(mean, log_std), alpha)
    # the trapezoidal rule for the integral of f^α, which converges fast; its terms at the ends are nil
    step = 2e-4
    x = step * torch.arange(-200_000, 200_001, dtype=torch.float64)
    want = torch.zeros(5, dtype=torch.float64)
    for k in range(5):
        for j in range(2):
            standard = (x - mean[k, j]) / log_std[k, j].exp()
            log_cosh = x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)
            log_f = -(standard**2) / 2 - log_std[k, j] - math.log(2 * math.pi) / 2 + 2 * log_cosh
            # dy = dx/cosh² x
            if alpha == 1:
                want[k] -= (torch.exp(log_f - 2 * log_cosh) * log_f).sum() * step
            elif alpha == math.inf:
                want[k] -= log_f.max()
            else:
                want[k] += (torch.logsumexp(alpha * log_f - 2 * log_cosh, 0) + math.log(step)) / (1 - alpha)
    tolerance = 1e-7 if alpha == math.inf else 1e-13
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_noise(squash):
    distribution = sb3.StateDependentNoiseDistribution(2, squash_output=squash)
    distribution.proba_distribution_net(3)
    mean, log_std, latent = (draw(*shape).float() for shape in ((5, 2), (3, 2), (5, 3)))
    distribution.proba_distribution(mean, log_std, latent)
    variance = latent**2 @ log_std.exp() ** 2 + 1e-6
    if squash:
        want = renyi.tanh_gaussian_entropy(mean, variance.sqrt(), 2, axis=-1)
    else:
        want = renyi.gaussian_entropy(variance, 2, kind="diagonal")
    torch.testing.assert_close(distribution_entropy(distribution, 2), want)


@pytest.mark.parametrize("alpha", [0.5, 1, 2, math.inf])
def test_the_entropy_of_a_saturated_policy_is_finite(alpha):
    """SAC bounds log σ by −20 and 2, and leaves the mean free."""
    mean, log_std = torch.meshgrid(torch.tensor([-30.0, 0.0, 8.0]), torch.tensor([-20.0, 0.0, 2.0]), indexing="ij")
    leaves = [mean.reshape(-1, 1).clone().requires_grad_(), log_std.reshape(-1, 1).clone().requires_grad_()]
    distribution = sb3.SquashedDiagGaussianDistribution(1).proba_distribution(*leaves)
    value = distribution_entropy(distribution, alpha)
    value.sum().backward()
    assert all(bool(torch.isfinite(x).all()) for x in (value, *(leaf.grad for leaf in leaves)))
    # the mean of a saturated one is drawn back
    pull = leaves[0].grad.reshape(3, 3)
    assert bool((pull[0] > 0).all() and (pull[2] < 0).all())


@pytest.mark.parametrize("alpha", [0.5, 2, math.inf])
def test_the_bonus_of_a_gaussian_is_the_same_at_every_order(alpha):
    """But for the constant."""
    log_std = draw(3).requires_grad_()
    distribution = sb3.DiagGaussianDistribution(3).proba_distribution(draw(5, 3), log_std)
    difference = distribution_entropy(distribution, alpha) - distribution_entropy(distribution, 1)
    constant = -1.0 if alpha == math.inf else math.log(alpha) / (alpha - 1) - 1
    torch.testing.assert_close(difference, torch.full((5,), 1.5 * constant, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(difference.sum(), log_std)
    torch.testing.assert_close(gradient, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_distribution_that_is_not_known():
    with pytest.raises(TypeError, match="no Rényi entropy is known for the action distribution object"):
        distribution_entropy(object(), 2)


# what the training is


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize(("alpha", "weight"), [(1.0, 0.1), (2.5, 0.0)])
def test_ppo_of_order_one_or_weight_zero_is_the_one_of_sb3(name, alpha, weight):
    """Bit for bit."""
    ours = RenyiPPO("MlpPolicy", bandit(name), alpha=alpha, ent_coef=weight, **PPO_OPTIONS).learn(160)
    theirs = PPO("MlpPolicy", bandit(name), ent_coef=weight, **PPO_OPTIONS).learn(160)
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
    """One step of the paper's losses with V(s) = E[Q] + β·H_α, in place; dual ascent of log β by Adam."""
    obs, actions, rewards = batch.observations, batch.actions, batch.rewards

    def policy(states):
        mean, log_std, _ = model.actor.get_action_dist_params(states)
        sample = torch.tanh(torch.distributions.Normal(mean, log_std.exp()).rsample())
        return sample, renyi.tanh_gaussian_entropy(mean, log_std.exp(), alpha, axis=-1)[:, None]

    def least(critic, states, chosen):
        return torch.cat(critic(states, chosen), dim=1).min(dim=1, keepdim=True).values

    chosen, entropy = policy(obs)
    beta = model.log_ent_coef.detach().exp()
    model.log_ent_coef.grad = (entropy - model.target_entropy).mean().detach().reshape(1)
    model.ent_coef_optimizer.step()
    with torch.no_grad():
        following, following_entropy = policy(batch.next_observations)
        value = least(model.critic_target, batch.next_observations, following) + beta * following_entropy
        target = rewards + (1 - batch.dones) * model.gamma * value
    loss = sum(((q - target) ** 2).mean() / 2 for q in model.critic(obs, actions))
    model.critic.optimizer.zero_grad()
    loss.backward()
    model.critic.optimizer.step()
    loss = -(least(model.critic, obs, chosen) + beta * entropy).mean()
    model.actor.optimizer.zero_grad()
    loss.backward()
    model.actor.optimizer.step()
    for old, new in zip(model.critic_target.parameters(), model.critic.parameters(), strict=True):
        old.data.lerp_(new.data, model.tau)


class Chain(Bandit):
    """Episodes that go on, so that the value of the next state counts."""

    def step(self, action):
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, bool(self.np_random.random() < 0.2), truncated, info


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
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    ours.train(3, 16)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    for _ in range(3):
        sac_step_by_hand(by_hand, by_hand.replay_buffer.sample(16), alpha)
    torch.testing.assert_close(ours.log_ent_coef, by_hand.log_ent_coef, rtol=0, atol=1e-6)
    for one, other, before in zip(parameters(ours), parameters(by_hand), start, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
        assert not torch.equal(one, before)


# what it does


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_the_bonus_raises_the_entropy_of_ppo_and_a_penalty_lowers_it(alpha):
    low, none, high = (
        mean_entropy(
            RenyiPPO("MlpPolicy", bandit("discrete"), alpha=alpha, ent_coef=w, **PPO_OPTIONS).learn(160), alpha
        )
        for w in (-0.2, 0.0, 0.5)
    )
    assert low < none - 0.05 < none + 0.05 < high


def squashed_entropy(model, alpha):
    with torch.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(states())
        return float(renyi.tanh_gaussian_entropy(mean, log_std.exp(), alpha, axis=-1).mean())


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


# saving


def resumed(model, env, steps):
    """Learn on, from a seed that is given anew, since SB3 keeps the state of neither environment nor generators."""
    model.set_env(env)
    model.set_random_seed(11)
    return model.learn(steps, reset_num_timesteps=False)


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
    """Bit for bit."""
    name = "box" if kind is RenyiSAC else "discrete"
    model = kind("MlpPolicy", bandit(name), **options).learn(64)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = kind.load(file, device="cpu")
    if kind is RenyiSAC:
        buffer = io.BytesIO()
        model.save_replay_buffer(buffer)
        buffer.seek(0)
        loaded.load_replay_buffer(buffer)
    observations = states().numpy()
    assert np.array_equal(
        loaded.predict(observations, deterministic=True)[0], model.predict(observations, deterministic=True)[0]
    )
    before = parameters(model)
    resumed(model, bandit(name), 96)
    resumed(loaded, bandit(name), 96)
    assert equal(loaded, model)
    assert not all(torch.equal(a, b) for a, b in zip(before, parameters(model), strict=True))
    if isinstance(model.ent_coef, schedules.TargetEntropy):
        assert loaded.ent_coef.weight == model.ent_coef.weight != 0.01
    elif not callable(model.ent_coef):
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


# bad configurations


@pytest.mark.parametrize(
    ("kind", "name", "options", "error", "message"),
    [
        (RenyiPPO, "discrete", {"alpha": -1.0}, ValueError, "`alpha` must be >= 0, got -1.0"),
        (RenyiPPO, "discrete", {"alpha": math.nan}, ValueError, "`alpha` must be >= 0, got nan"),
        (RenyiPPO, "discrete", {"alpha": "2"}, TypeError, "`alpha` must be a real number, got '2'"),
        (RenyiPPO, "discrete", {"alpha": None}, TypeError, "`alpha` must be a real number, got None"),
        (RenyiPPO, "discrete", {"alpha": True}, TypeError, "`alpha` must be a real number, got True"),
        (RenyiPPO, "discrete", {"alpha": lambda left: left - 0.5}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiPPO, "discrete", {"alpha": lambda left: 0.5 - left}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiPPO, "discrete", {"alpha": schedules.Linear(2, -2, 9)}, ValueError, "`alpha` must be >= 0, got -2.0"),
        (RenyiPPO, "box", {"alpha": 0}, ValueError, "`alpha` must be > 0 for Gaussian actions"),
        (RenyiPPO, "box", {"alpha": schedules.Linear(0, 2, 9)}, ValueError, "`alpha` must be > 0 for Gaussian actions"),
        (RenyiPPO, "discrete", {"ent_coef": "auto"}, TypeError, "`ent_coef` must be a real number, got 'auto'"),
        (RenyiPPO, "discrete", {"ent_coef": math.inf}, ValueError, "`ent_coef` must be finite, got inf"),
        (RenyiA2C, "discrete", {"ent_coef": lambda left: 1 / left if left else math.inf}, ValueError, "be finite"),
        (RenyiSAC, "box", {"alpha": -0.5}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiSAC, "box", {"target_entropy": 1.5}, ValueError, "`target_entropy` must be less than 1.38629"),
        (RenyiSAC, "box", {"target_entropy": math.nan}, ValueError, "`target_entropy` must be less than 1.38629"),
    ],
)
def test_bad_configurations(kind, name, options, error, message):
    with pytest.raises(error, match=message):
        kind("MlpPolicy", bandit(name), device="cpu", **options)


def test_what_is_not_an_error():
    RenyiPPO("MlpPolicy", bandit("discrete"), alpha=0, ent_coef=-0.1, **PPO_OPTIONS).learn(32)
    # the target counts for an automatic coefficient alone
    RenyiSAC("MlpPolicy", bandit("box"), alpha=0, ent_coef=0.1, target_entropy=2.0, **SAC_OPTIONS).learn(16)


def test_a_distribution_that_is_not_known_is_refused_at_construction():
    class Own(ActorCriticPolicy):
        def _build(self, lr_schedule):
            super()._build(lr_schedule)
            self.action_dist = object()

    with pytest.raises(TypeError, match="no Rényi entropy is known for the action distribution object"):
        RenyiPPO(Own, bandit("discrete"), **PPO_OPTIONS)


def test_a_schedule_that_goes_astray_on_its_way():
    def orders(remaining):
        return -1.0 if 0 < remaining < 1 else 1.0

    model = RenyiPPO("MlpPolicy", bandit("discrete"), alpha=orders, ent_coef=0.1, **PPO_OPTIONS)
    with pytest.raises(ValueError, match="`alpha` must be >= 0"):
        model.learn(64)
    assert model.ent_coef == 0.1


def test_without_the_framework():
    code = """
import sys
sys.modules["stable_baselines3"] = None
try:
    import renyi_adapters.stable_baselines3
except ImportError as error:
    assert "pip install 'renyi-core[sb3]'" in str(error), error
else:
    raise SystemExit("no ImportError")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# the documentation


def test_docstrings_and_page():
    found = doctest.testmod(adapter)
    assert found.attempted >= 10
    assert found.failed == 0
    page = Path(__file__).parent.parent / "docs" / "stable_baselines3.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
