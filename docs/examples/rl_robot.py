"""The robot that learns only one way: 252 shortest paths, and what is left of them when something is put in the way."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import rl_grid
from harness import groups, moments

SIDE, ITERATIONS, EPISODES = 6, 200, 1000
ALPHAS = (0.5, 1.0, 2.0, 4.0, math.inf)
BETAS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
TEMPERATURES = (1.0, 1.1, 1.2, 1.4, 1.7, 2.0)
OPTIMAL = 0.99  # the share of optimal episodes at which the orders are compared
MEASURES = {"paths": 0, "optimal": 3, "damaged": 2}
WORLD = {"start": (0, 0), "goals": {(SIDE - 1, SIDE - 1): 1.0}}
LEGEND = f"""\
paths: of the 252 shortest, how many are used in {EPISODES:,} episodes; optimal: the share of episodes that
take one of them; damaged: the share that reach the goal past a block, without more training. Temperature: of the policy
as it is measured. The β of each order: that with the most paths of those tried with optimal >= {OPTIMAL}."""
NAMES = {0.5: "α = 1/2", 1.0: "α = 1 (Shannon)", 2.0: "α = 2", 4.0: "α = 4", math.inf: "α = ∞"}
COLORS = {0.5: "#56b4e9", 1.0: "#222222", 2.0: "#e69f00", 4.0: "#d55e00", math.inf: "#aa3377", "temperature": "0.55"}
OPEN = rl_grid.grid(SIDE, SIDE, **WORLD)


class Setting(NamedTuple):
    alpha: float
    beta: float
    temperature: float = 1.0  # of the policy when it is measured


def settings(full):
    plain = [Setting(1.0, 0.0, temperature) for temperature in TEMPERATURES]
    betas = BETAS if full else (0.04, 0.1, 0.2, 0.3, 0.4)
    return plain + [Setting(alpha, beta) for alpha in ALPHAS for beta in betas]


def shortest_paths():
    """Return the cells and actions of each shortest path, both (252, 10)."""
    length = 2 * (SIDE - 1)
    downs = list(itertools.combinations(range(length), SIDE - 1))
    actions = np.zeros((len(downs), length), dtype=int)
    np.put_along_axis(actions, np.asarray(downs), 1, axis=1)
    down = actions.cumsum(axis=1) - actions
    right = np.arange(length) - down
    return down * SIDE + right, actions


def blocked():
    """Return the maps with a block of 2 × 2 cells in the way, wherever it fits."""
    corners = itertools.product(range(SIDE - 1), repeat=2)
    blocks = [tuple(itertools.product((row, row + 1), (column, column + 1))) for row, column in corners]
    ends = {WORLD["start"], *WORLD["goals"]}
    return [rl_grid.grid(SIDE, SIDE, walls=block, **WORLD) for block in blocks if not ends & set(block)]


def measures(logits):
    """Return what the policies do, exactly: nothing is sampled."""
    policy = np.exp(rl_grid.log_softmax(logits))
    cells, actions = shortest_paths()
    paths = policy[:, cells, actions].prod(axis=-1)
    goal = next(iter(OPEN.goals))
    steps = rl_grid.HORIZON
    damaged = [rl_grid.occupancy(world, policy, steps)[:, goal] for world in blocked()]
    return {
        "paths": (1 - (1 - paths) ** EPISODES).sum(axis=1),
        "optimal": paths.sum(axis=1),
        "success": rl_grid.occupancy(OPEN, policy, steps)[:, goal],
        "damaged": np.mean(damaged, axis=0),
    }


def run(seeds, setting, seed):
    """Train one policy for each of the seeds from ``seed`` on."""
    numbers = range(seed, seed + seeds)
    logits = rl_grid.train(OPEN, alpha=setting.alpha, weight=setting.beta, seeds=numbers, iterations=ITERATIONS)
    return measures(logits / setting.temperature)


def table(rows, level=None):
    """Return the rows of the plain policy and, for each order (and the temperature), those of its best setting.

    The best has the most paths of those whose share of optimal episodes is at least ``level`` on the average.
    """
    level = OPTIMAL if level is None else level
    kinds = {}
    for setting, same in groups(rows, Setting._fields).items():
        alpha, beta, temperature = setting
        kind = ("plain" if temperature == 1 else "temperature") if beta == 0 else alpha
        if kind == "plain" or moments(same, "optimal")[0] >= level:
            kinds.setdefault(kind, []).append(same)
    return [row for found in kinds.values() for row in max(found, key=lambda same: moments(same, "paths")[0])]


def draw(rows, figure):
    """Draw the fronts, and above them where three robots walk."""
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.75))
    best = list(groups(table(rows), Setting._fields))
    shown = {"no bonus": best[0]} | {NAMES[s[0]]: s for s in best if s[1] > 0 and s[0] in {1, math.inf}}
    for axes, (name, setting) in zip(upper.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        logits = rl_grid.train(OPEN, alpha=setting[0], weight=setting[1], seeds=[0], iterations=ITERATIONS)
        policy = np.exp(rl_grid.log_softmax(logits))
        visited = 1 - np.prod([1 - rl_grid.occupancy(OPEN, policy, k)[0] for k in range(2 * SIDE - 1)], axis=0)
        axes.imshow(visited.reshape(SIDE, SIDE), cmap="Blues", vmin=0, vmax=1)
        axes.text(0, 0, "start", ha="center", va="center", color="white", fontsize=9)
        axes.text(SIDE - 1, SIDE - 1, "goal", ha="center", va="center", color="white", fontsize=9)
        axes.set(xticks=[], yticks=[])
        axes.set_title(name if setting[1] == 0 else f"{name}, β = {setting[1]:g}", fontsize=11)
    axes = lower.subplots()
    fronts = {}
    for setting, same in groups(rows, Setting._fields).items():
        alpha, beta, temperature = setting
        front = "temperature" if beta == 0 else alpha
        fronts.setdefault(front, []).append((1 - moments(same, "optimal")[0], moments(same, "paths")[0]))
        if beta == 0 and temperature == 1:
            plain = fronts[front][0]
    for front, points in fronts.items():
        if front != "temperature":
            points = [plain, *points]  # noqa: PLW2901
        style = {"color": COLORS[front], "lw": 2, "marker": "o", "ms": 5}
        if front == "temperature":
            style |= {"ls": "--", "marker": "s", "lw": 1.5}
        axes.plot(*zip(*points, strict=True), label=NAMES.get(front, "temperature, no bonus"), **style)
    axes.axvline(1 - OPTIMAL, color="0.6", lw=1, ls=":")
    axes.set(xscale="log", xlim=(1.5e-3, 0.06), ylim=(0, 252))
    axes.set_xticks([0.002, 0.005, 0.01, 0.02, 0.05], ["0.2 %", "0.5 %", "1 %", "2 %", "5 %"])
    axes.set_xticks([], minor=True)
    axes.invert_xaxis()
    axes.set_xlabel("episodes that are not optimal", fontsize=11)
    axes.set_ylabel("shortest paths used (of 252)", fontsize=11)
    axes.spines[["top", "right"]].set_visible(b=False)
    axes.legend(frameon=False, fontsize=10, loc="upper right")
