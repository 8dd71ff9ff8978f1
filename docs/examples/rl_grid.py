"""Gridworlds and tabular PPO with an entropy bonus of any order, in NumPy: many runs at once, one for each seed.

The policy is a table of logits, (runs, cells, 4). The gradient of the clipped objective is written out below; that of
the bonus is the library's. A run draws from the generator of its own seed, and so does not depend on its neighbors.
"""

from typing import NamedTuple

import numpy as np

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus

EPISODES, HORIZON, EPOCHS = 32, 40, 4
DISCOUNT, TRACE, CLIP = 0.95, 0.95, 0.2
LEARNING_RATE, ADAM = 0.05, (0.9, 0.999, 1e-8)
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


class Grid(NamedTuple):
    """A map: where each action leads from each cell, and what the cells reached give."""

    start: int
    following: np.ndarray  # (cells, 4)
    goals: dict[int, float]

    @property
    def payoff(self):
        """The reward for reaching each cell; reaching one with a reward ends the episode."""
        found = np.zeros(len(self.following))
        found[list(self.goals)] = list(self.goals.values())
        return found


def grid(rows, columns, *, start, goals, walls=()):
    """Return the map; a step into a wall or off the map leads nowhere."""
    following = np.empty((rows * columns, 4), dtype=int)
    for row in range(rows):
        for column in range(columns):
            for action, (down, right) in enumerate(STEPS):
                there = row + down, column + right
                inside = 0 <= there[0] < rows and 0 <= there[1] < columns and there not in walls
                following[row * columns + column, action] = np.ravel_multi_index(
                    there if inside else (row, column), (rows, columns)
                )

    def cell(place):
        return int(np.ravel_multi_index(place, (rows, columns)))

    return Grid(cell(start), following, {cell(place): reward for place, reward in goals.items()})


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class Adam:
    """Kingma and Ba 2015, on one array."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate = parameters, rate
        self.mean, self.square, self.steps = np.zeros_like(parameters), np.zeros_like(parameters), 0

    def descend(self, gradient):
        one, two, small = ADAM
        self.steps += 1
        self.mean += (1 - one) * (gradient - self.mean)
        self.square += (1 - two) * (gradient**2 - self.square)
        scale = np.sqrt(self.square / (1 - two**self.steps)) + small
        self.parameters -= self.rate * (self.mean / (1 - one**self.steps)) / scale


def play(world, logits, generators):
    """Return cells, actions, the cells reached and which steps are played, each (horizon, runs, episodes)."""
    runs = len(generators)
    levels = np.exp(log_softmax(logits)).cumsum(axis=-1)[..., :-1]
    draws = np.stack([generator.random((HORIZON, EPISODES)) for generator in generators], axis=1)
    ends = world.payoff > 0
    cells = np.full((runs, EPISODES), world.start)
    alive = np.full((runs, EPISODES), True)
    run = np.arange(runs)[:, None]
    steps = []
    for draw in draws:
        actions = (draw[..., None] > levels[run, cells]).sum(axis=-1)
        reached = world.following[cells, actions]
        steps.append((cells, actions, reached, alive))
        cells, alive = reached, alive & ~ends[reached]
    return tuple(np.stack(part) for part in zip(*steps, strict=True))


def advantages(world, values, cells, reached, alive, rewards):
    """Return the generalized advantage estimates (Schulman et al. 2016) and the returns that the values learn."""
    run = np.arange(values.shape[0])[:, None]
    goes_on = ~(world.payoff > 0)[reached]
    goes_on[-1] = False
    now, then = values[run, cells], values[run, reached]
    errors = rewards + DISCOUNT * then * goes_on - now
    found = np.zeros_like(errors)
    total = np.zeros(errors.shape[1:])
    for step in range(len(errors) - 1, -1, -1):
        total = errors[step] + DISCOUNT * TRACE * goes_on[step] * total
        found[step] = total
    targets = found + now
    count = alive.sum(axis=(0, 2))[:, None]
    mean = (found * alive).sum(axis=(0, 2))[:, None] / count
    centered = (found - mean) * alive
    deviation = np.sqrt((centered**2).sum(axis=(0, 2))[:, None] / count)
    return centered / np.where(deviation > 0, deviation, 1.0), targets


def train(world, *, alpha, weight, seeds, iterations, intrinsic=None):
    """Return the logits that PPO comes to, (runs, cells, 4); ``intrinsic(visits)`` is a reward for each cell."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    shape = (len(generators), *world.following.shape)
    logits, values = np.zeros(shape), np.zeros(shape[:2])
    policy, critic = Adam(logits, LEARNING_RATE), Adam(values, LEARNING_RATE)
    bonus = renyi.value_and_grad(EntropyBonus(alpha=alpha, weight=weight, reduction="sum"))
    run = np.arange(shape[0])[:, None]
    for _ in range(iterations):
        cells, actions, reached, alive = play(world, logits, generators)
        old = log_softmax(logits)[run, cells, actions]
        at = np.ravel_multi_index((np.broadcast_to(run, cells.shape), cells), shape[:2])
        visits = np.bincount(at.ravel(), alive.ravel(), minlength=values.size).reshape(shape[:2])
        share = visits / visits.sum(axis=1, keepdims=True)
        rewards = world.payoff[reached]
        if intrinsic is not None:
            rewards = rewards + intrinsic(visits)[run, reached]
        advantage, targets = advantages(world, values, cells, reached, alive, rewards)
        count = alive.sum(axis=(0, 2))[:, None]
        taken = np.ravel_multi_index((np.broadcast_to(run, cells.shape), cells, actions), shape)
        for _ in range(EPOCHS):
            new = log_softmax(logits)
            ratio = np.exp(new[run, cells, actions] - old)
            clipped = np.where(advantage > 0, ratio > 1 + CLIP, ratio < 1 - CLIP)
            pull = np.where(clipped, 0.0, ratio * advantage) / count  # advantages are 0 after the end
            pulls = np.bincount(taken.ravel(), pull.ravel(), minlength=logits.size).reshape(shape)
            gradient = np.exp(new) * pulls.sum(axis=-1, keepdims=True) - pulls
            # All that the regularizer takes: minus weight times the mean entropy over the cells that were visited.
            gradient += bonus(logits, sample_weight=share)[1]
            policy.descend(gradient)
            error = np.where(alive, values[run, cells] - targets, 0.0) / count
            critic.descend(np.bincount(at.ravel(), error.ravel(), minlength=values.size).reshape(shape[:2]))
    return logits


def occupancy(world, policy, steps):
    """Return the probability of each cell after ``steps`` steps, (runs, cells), goals absorbing; ``policy``: probs."""
    runs, cells, _ = policy.shape
    moves = np.zeros((runs, cells, cells))
    for action in range(4):
        moves[:, np.arange(cells), world.following[:, action]] += policy[..., action]
    for goal in world.goals:
        moves[:, goal] = np.eye(cells)[goal]
    where = np.zeros((runs, 1, cells))
    where[..., world.start] = 1
    for _ in range(steps):
        where = where @ moves
    return where[:, 0]
