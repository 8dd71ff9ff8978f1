"""What the tests of Stable-Baselines3 share."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
gymnasium = pytest.importorskip("gymnasium")
from gymnasium import spaces  # noqa: E402

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
