"""What the tests of Stable-Baselines3 share."""

from __future__ import annotations

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
gymnasium = pytest.importorskip("gymnasium")
from gymnasium import spaces  # noqa: E402

import renyi_core as renyi  # noqa: E402
from renyi_core import schedules  # noqa: E402

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


class Chain(Bandit):
    """Episodes that go on, so that the value of the next state counts."""

    def step(self, action):
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, bool(self.np_random.random() < 0.2), truncated, info


def parameters(model):
    return [parameter.detach().clone() for parameter in model.policy.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


def states(count=16):
    return torch.rand((count, 2), generator=torch.Generator().manual_seed(1)) * 2 - 1


def reloaded(model, kind, **options):
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    return kind.load(file, device="cpu", **options)


def goes_on_exactly(model, environment, steps):
    """Save a model, load it, and learn on with both: bit for bit; return the loaded one.

    From a seed that is given anew, since SB3 keeps the state of neither environment nor generators.
    """
    loaded = reloaded(model, type(model))
    if hasattr(model, "replay_buffer"):
        file = io.BytesIO()
        model.save_replay_buffer(file)
        file.seek(0)
        loaded.load_replay_buffer(file)
    before = parameters(model)
    for each in (model, loaded):
        each.set_env(environment())
        each.set_random_seed(11)
        each.learn(steps, reset_num_timesteps=False)
    assert equal(loaded, model)
    assert not all(torch.equal(a, b) for a, b in zip(before, parameters(model), strict=True))
    if isinstance(model.ent_coef, schedules.TargetEntropy):
        assert loaded.ent_coef.weight == model.ent_coef.weight != 0.01
    return loaded


def squashed_entropy(model, alpha):
    with torch.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(states())
        return float(renyi.tanh_gaussian_entropy(mean, log_std.exp(), alpha, axis=-1).mean())


def sampled(model, states, alpha):
    """Return an action for each state, and the entropy of what it is drawn from."""
    mean, log_std, _ = model.actor.get_action_dist_params(states)
    sample = torch.tanh(torch.distributions.Normal(mean, log_std.exp()).rsample())
    return sample, renyi.tanh_gaussian_entropy(mean, log_std.exp(), alpha, axis=-1)[:, None]


def least(critic, states, actions):
    return torch.cat(critic(states, actions), dim=1).min(dim=1, keepdim=True).values


def move_weight(model, entropy):
    """Dual ascent of log β by Adam."""
    model.log_ent_coef.grad = (entropy - model.target_entropy).mean().detach().reshape(1)
    model.ent_coef_optimizer.step()


def descend(part, loss):
    part.optimizer.zero_grad()
    loss.backward()
    part.optimizer.step()


def follow(model):
    for old, new in zip(model.critic_target.parameters(), model.critic.parameters(), strict=True):
        old.data.lerp_(new.data, model.tau)


def taught(ours, by_hand, step, alpha):
    """Take three steps of the model's own training, and the same by hand."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    ours.train(3, 16)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    for _ in range(3):
        step(by_hand, by_hand.replay_buffer.sample(16), alpha)
