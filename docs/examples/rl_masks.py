"""The task of rl_answers.py again: what keeps a bonus out of the tail of the vocabulary, other than its order.

nucleus: the bonus is on the likeliest tokens alone, as many as have that probability (`nucleus_mask`). forks: it is on
that share of the tokens written that has the highest entropy (`high_entropy_mask`). anchor: a controller moves β so
that the entropy stays at that share of what it was before tuning (`TargetEntropy`).
"""

from typing import NamedTuple

import numpy as np
import rl_answers
from harness import groups, moments
from rl_robot import COLORS, NAMES

from renyi_core.schedules import TargetEntropy

VOCABULARY, LARGER = rl_answers.VOCABULARY, rl_answers.LARGER
MASSES, MASS, FORKS, ANCHOR = (0.9, 0.95, 0.99), 0.95, 0.2, 0.8
BETA = 0.25  # at which the leak of Shannon's bonus is 59 %
MEASURES = {"right": 3, "distinct": 0, "leak": 4, "weight": 2}
LEGEND = f"""\
nucleus: the probability of the tokens that the bonus is on; forks: the share of the positions that it is on; anchor:
the share of the first entropy that a controller holds, from β = {rl_answers.INITIAL} on. The rest is as in answers."""


class Setting(NamedTuple):
    vocabulary: int
    alpha: float
    beta: float  # 0 with an anchor: what the controller has come to is in the results
    nucleus: float  # 1: all tokens
    forks: float  # 1: all positions
    anchor: float  # 0: none


def settings(full):
    def one(alpha=1.0, beta=BETA, nucleus=1.0, forks=1.0, anchor=0.0, vocabulary=VOCABULARY):
        return Setting(vocabulary, alpha, 0.0 if anchor else beta, nucleus, forks, anchor)

    some = [one(), one(nucleus=MASS), one(forks=FORKS), one(anchor=ANCHOR)]
    if not full:
        return some
    masses = [one(nucleus=mass) for mass in MASSES if mass != MASS]
    orders = [one(alpha, beta, mass) for alpha, beta in ((0.5, BETA), (2.0, 0.3), (1.0, 0.4)) for mass in (1.0, MASS)]
    together = [one(nucleus=MASS, forks=FORKS), one(nucleus=MASS, anchor=ANCHOR)]
    together.append(one(nucleus=MASS, forks=FORKS, anchor=ANCHOR))
    larger = [one(beta=0.2, nucleus=mass, vocabulary=LARGER) for mass in (1.0, MASS)]
    return [*some, *masses, *orders, *together, *larger]


def run(seeds, setting, seed):
    """Pretrain and tune one policy for each of the seeds from ``seed`` on."""
    generators = [np.random.default_rng(number) for number in range(seed, seed + seeds)]
    policy = rl_answers.pretrain(generators, setting.vocabulary)
    held = {"initial": rl_answers.INITIAL, "rate": rl_answers.CONTROLLER_RATE, "bounds": rl_answers.BOUNDS}
    controllers = [TargetEntropy(anchor=setting.anchor, **held) for _ in (generators if setting.anchor else ())]
    masks = {"mass": setting.nucleus, "share": setting.forks}
    weights = rl_answers.tune(policy, generators, setting, controllers=controllers, **masks)
    return {**rl_answers.measures(policy), "weight": weights}


def table(rows):
    """Return all rows."""
    return rows


def draw(rows, figure):
    """Draw diversity against leak, a point for each setting, filled with a nucleus."""
    axes = figure.subplots()
    for setting, same in groups(rows, Setting._fields).items():
        vocabulary, alpha, _, nucleus, forks, anchor = setting
        marker = "D" if vocabulary == LARGER else "s" if forks < 1 else "^" if anchor else "o"
        distinct, spread = moments(same, "distinct")
        style = {"color": COLORS[alpha], "mfc": "white" if nucleus == 1 else COLORS[alpha], "ms": 8, "elinewidth": 1}
        axes.errorbar(100 * moments(same, "leak")[0], distinct, spread, fmt=marker, **style)
    for alpha in (0.5, 1.0, 2.0):
        axes.plot([], [], "o", color=COLORS[alpha], label=NAMES[alpha])
    for marker, name in (("^", "with an anchor"), ("s", "at forks alone"), ("D", f"{LARGER:,} tokens")):
        axes.plot([], [], marker, color="0.4", mfc="white", label=name)
    axes.plot([], [], "o", color="0.4", label="filled: of a nucleus")
    axes.set(xscale="log", ylim=(0, 100))
    axes.set_xticks([0.1, 1, 10, 100], ["0.1 %", "1 %", "10 %", "100 %"])
    axes.set_xlabel("answers with a useless token", fontsize=11)
    axes.set_ylabel(f"distinct right answers in {rl_answers.SAMPLES}", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(b=False)
    axes.grid(axis="y", color="0.92")
