"""A room that deceives: a goal of 0.5 near the start, one of 1 in the far corner, and a reward for seldom seen cells.

The intrinsic reward of a cell is β · ∂H_α/∂d(s), d an exponential average of the visits; β falls to 0 while it trains.
"""

import math
from typing import NamedTuple

import numpy as np
import rl_grid
from harness import groups, moments
from rl_robot import COLORS, NAMES

from renyi_core.regularizers import state_entropy_reward
from renyi_core.schedules import Linear

SIDE, ITERATIONS, RATE, SMOOTHING = 8, 300, 0.1, 1.0
START, NEAR, FAR = (0, 0), (2, 2), (SIDE - 1, SIDE - 1)
ROOM = rl_grid.grid(SIDE, SIDE, start=START, goals={NEAR: 0.5, FAR: 1.0})
ALPHAS = (0.5, 1.0, 2.0, 4.0, math.inf)
BETAS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
ACTION_BETAS = (0.05, 0.1, 0.2, 0.4)
MEASURES = {"far": 2, "near": 2}
LEGEND = """\
far, near: the share of episodes that end in the far goal, of 1, and in the near one, of 0.5. The entropy is of the
visits to states or of the actions in them. The β of each order: that which reaches the far goal most often."""


class Setting(NamedTuple):
    entropy: str  # of "states" or "actions"
    alpha: float
    beta: float


def settings(full):
    states, actions = (BETAS, ACTION_BETAS) if full else (BETAS[3::2], ACTION_BETAS[::2])
    return [
        Setting("states", 1.0, 0.0),
        *(Setting("states", alpha, beta) for alpha in ALPHAS for beta in states),
        *(Setting("actions", alpha, beta) for alpha in (1.0, 2.0) for beta in actions),
    ]


class Intrinsic:
    """The reward of each cell, from an average of the visits that is its state."""

    def __init__(self, alpha, beta):
        self.alpha, self.weight, self.step, self.average, self.total = alpha, Linear(beta, 0.0, ITERATIONS), 0, 0.0, 0.0

    def __call__(self, visits):
        self.total += visits
        self.average += (visits - self.average) * (RATE if self.step else 1.0)
        weight = self.weight(self.step)
        self.step += 1
        return weight * state_entropy_reward(self.average, self.alpha, smoothing=SMOOTHING)


def train(setting, seeds):
    """Return the logits and how often each cell was visited in training."""
    states = setting.entropy == "states"
    intrinsic = Intrinsic(setting.alpha, setting.beta if states else 0.0)
    weight = 0.0 if states else setting.beta
    logits = rl_grid.train(
        ROOM, alpha=setting.alpha, weight=weight, seeds=seeds, iterations=ITERATIONS, intrinsic=intrinsic
    )
    return logits, intrinsic.total


def run(seeds, setting, seed):
    """Train one policy for each of the seeds from ``seed`` on; the exact share of episodes that end in each goal."""
    logits, _ = train(setting, range(seed, seed + seeds))
    ends = rl_grid.occupancy(ROOM, np.exp(rl_grid.log_softmax(logits)), rl_grid.HORIZON)
    near, far = ROOM.goals
    return {"far": ends[:, far], "near": ends[:, near]}


def table(rows):
    """Return the rows of the plain policy and, of each entropy and order, those of the best β."""
    kinds = {}
    for setting, same in groups(rows, Setting._fields).items():
        kinds.setdefault(setting[:2] if setting[2] else "plain", []).append(same)
    return [row for found in kinds.values() for row in max(found, key=lambda same: moments(same, "far")[0])]


def draw(rows, figure):
    """Draw how often the far goal is reached, and above it where three robots went in training."""
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.5))
    shown = {
        "no bonus": Setting("states", 1.0, 0.0),
        "actions, α = 1, β = 0.2": Setting("actions", 1.0, 0.2),
        "cells, α = 2, β = 0.05": Setting("states", 2.0, 0.05),
    }
    for axes, (name, setting) in zip(upper.subplots(1, len(shown)), shown.items(), strict=True):
        visits = train(setting, [0])[1][0]
        axes.imshow(np.log10(1 + visits).reshape(SIDE, SIDE), cmap="Blues", vmin=0, vmax=4.5)
        for place, mark in ((START, "S"), (NEAR, "0.5"), (FAR, "1")):
            dark = visits[np.ravel_multi_index(place, (SIDE, SIDE))] > 300
            axes.text(*place, mark, ha="center", va="center", fontsize=9, color="white" if dark else "black")
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=10)
    axes = lower.subplots()
    lines = {}
    for (entropy, alpha, beta), same in groups(rows, Setting._fields).items():
        if beta:
            lines.setdefault((entropy, alpha), []).append((beta, 100 * moments(same, "far")[0]))
    for (entropy, alpha), points in lines.items():
        states = entropy == "states"
        label = f"cells, {NAMES[alpha].removesuffix(' (Shannon)')}" if states else f"actions, α = {alpha:g}"
        style = (
            {"lw": 5 if alpha == 1 else 2, "marker": "o"}
            if states
            else {"lw": 1.5, "ls": "--", "marker": "s", "mfc": "white"}
        )
        axes.plot(*zip(*points, strict=True), color=COLORS[alpha], label=label, **style)
    axes.set(xscale="log", ylim=(-3, 103))
    axes.set_xticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5"])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("weight β of the entropy", fontsize=11)
    axes.set_ylabel("episodes that reach the far goal [%]", fontsize=11)
    axes.spines[["top", "right"]].set_visible(b=False)
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0.5, 0.1))
