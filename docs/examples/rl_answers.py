"""Answers that a program checks, in a large vocabulary: GRPO on a pretrained policy, with an entropy bonus.

An answer to task t is four digits whose sum ends in t: 1,000 right answers each. But the digits are 10 tokens among
1,000 (or more): the first useless token ends the answer, and it is wrong. The policy is log-bilinear, as the last layer
of a language model is: logits = hidden vector of the state · output vectors + biases, where the state is the task, the
position and the sum so far. It is pretrained on the odds of a corpus whose writers prefer some digits, make mistakes
and let useless tokens in, of a frequency after Zipf. Many runs, one for each seed, are trained at once.
"""

import math
from typing import NamedTuple

import numpy as np
from harness import groups, moments
from rl_grid import Adam, log_softmax
from rl_robot import COLORS, NAMES

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus
from renyi_core.schedules import TargetEntropy

DIGITS, LENGTH, TASKS, WIDTH = 10, 4, 5, 32
GROUP, STEPS, RATE = 16, 400, 0.01
PRETRAINING, PRETRAINING_RATE = 300, 0.03
USELESS, RIGHT, MISTAKE = 0.05, 0.5, 0.5  # of the corpus: useless tokens; right last digits; Dirichlet of preferences
SAMPLES = 100  # answers to each task, among which the different right ones are counted
INITIAL, CONTROLLER_RATE, BOUNDS = 0.2, 0.005, (0.01, 0.3)
VOCABULARY, LARGER = 1_000, 5_000
ALPHAS = (0.5, 1.0, 2.0, 4.0)
BETAS = (0.1, 0.15, 0.2, 0.25, 0.3)
TARGET = 1.5
CORRECT = 0.98  # the share of right answers at which the orders are compared
MEASURES = {"right": 3, "distinct": 0, "leak": 4, "weight": 2}
LEGEND = f"""\
right: the share of right answers; distinct: the different right ones among {SAMPLES} to a task; leak: the share of
answers with a useless token; weight: β at the end, which a controller moves where there is a target entropy. The β of
each order: that with the most distinct answers of those tried with right >= {CORRECT}."""
STATES = 1 + (LENGTH - 1) * DIGITS  # of a task


class Setting(NamedTuple):
    vocabulary: int
    alpha: float
    beta: float  # 0 with a target: what the controller has come to is in the results
    target: float  # nats a token; 0: none


def settings(full):
    plain = Setting(VOCABULARY, 1.0, 0.0, 0.0)
    if not full:
        return [plain, *(Setting(VOCABULARY, alpha, beta, 0.0) for alpha in ALPHAS for beta in BETAS[::2])]
    fixed = [Setting(VOCABULARY, alpha, beta, 0.0) for alpha in ALPHAS for beta in BETAS]
    dominant = [Setting(VOCABULARY, math.inf, beta, 0.0) for beta in (0.2, 0.3)]
    held = [Setting(VOCABULARY, alpha, 0.0, TARGET) for alpha in ALPHAS]
    weights = {0.5: BETAS[2:3], 1.0: BETAS[:3:2], 2.0: BETAS[:3:2], 4.0: BETAS[:3:2]}
    larger = [Setting(LARGER, alpha, beta, 0.0) for alpha, betas in weights.items() for beta in betas]
    return [plain, *fixed, *dominant, *held, *larger]


def state(task, position, total):
    """Return the number of the state; ``total``: the sum so far, mod 10."""
    return task * STATES + np.where(position > 0, 1 + (position - 1) * DIGITS + total, 0)


class Policy:
    def __init__(self, generators, vocabulary):
        def normal(*shape, scale):
            draws = [generator.standard_normal(shape, dtype=np.float32) for generator in generators]
            return scale * np.stack(draws)

        self.hidden = normal(TASKS * STATES, WIDTH, scale=1.0)
        self.output = normal(vocabulary, WIDTH, scale=WIDTH**-0.5)
        self.bias = np.zeros((len(generators), 1, vocabulary), dtype=np.float32)

    def logits(self):
        return self.hidden @ self.output.mT + self.bias

    def optimizers(self, rate):
        return [Adam(parameters, rate) for parameters in (self.hidden, self.output, self.bias)]

    def descend(self, optimizers, gradient):
        """Step against a gradient in the logits."""
        parts = gradient @ self.output, gradient.mT @ self.hidden, gradient.sum(axis=1, keepdims=True)
        for optimizer, part in zip(optimizers, parts, strict=True):
            optimizer.descend(part)


def corpus(generator, vocabulary):
    """Return the odds of the next token in each state, (states, vocabulary)."""
    odds = np.zeros((TASKS * STATES, vocabulary))
    odds[:, :DIGITS] = generator.dirichlet(np.full(DIGITS, MISTAKE), size=len(odds))
    last = state(np.arange(TASKS)[:, None], LENGTH - 1, np.arange(DIGITS))
    right = (np.arange(TASKS)[:, None] - np.arange(DIGITS)) % DIGITS
    odds[last, :DIGITS] *= 1 - RIGHT
    odds[last, right] += RIGHT
    frequencies = generator.permutation(1.0 / np.arange(1, vocabulary - DIGITS + 1))
    odds[:, :DIGITS] *= 1 - USELESS
    odds[:, DIGITS:] = USELESS * frequencies / frequencies.sum()
    return odds.astype(np.float32)


def pretrain(generators, vocabulary):
    policy = Policy(generators, vocabulary)
    odds = np.stack([corpus(generator, vocabulary) for generator in generators])
    optimizers = policy.optimizers(PRETRAINING_RATE)
    for step in range(PRETRAINING):
        for optimizer in optimizers:
            optimizer.rate = PRETRAINING_RATE * (1 - step / PRETRAINING)
        policy.descend(optimizers, (np.exp(log_softmax(policy.logits())) - odds) / len(odds[0]))
    return policy


def sample(probs, generators):
    """Return the states, tokens and which of them are written, (positions, runs, tasks, group), and the rewards."""
    runs = len(generators)
    shape = runs, TASKS, GROUP
    draws = np.stack([generator.random((LENGTH, TASKS, GROUP)) for generator in generators], axis=1)
    run, task = np.arange(runs)[:, None, None], np.arange(TASKS)[:, None]
    useful = probs[..., :DIGITS].cumsum(axis=-1, dtype=np.float64)
    total, alive = np.zeros(shape, dtype=int), np.full(shape, True)
    steps = []
    for position, draw in enumerate(draws):
        at = np.broadcast_to(state(task, position, total), shape)
        tokens = (draw[..., None] >= useful[run, at]).sum(axis=-1)
        for where in zip(*np.nonzero(alive & (tokens == DIGITS)), strict=True):  # seldom
            row = where[0], at[where]
            rest = probs[row][DIGITS:].cumsum(dtype=np.float64)
            share = (draw[where] - useful[row][-1]) / (1 - useful[row][-1])
            tokens[where] += np.searchsorted(rest, share * rest[-1])
        steps.append((at, tokens, alive))
        total, alive = (total + tokens) % DIGITS, alive & (tokens < DIGITS)
    states, tokens, written = (np.stack(part) for part in zip(*steps, strict=True))
    return states, tokens, written, alive & (total == task)


def tune(policy, generators, setting, *, controllers=(), mass=1.0, share=1.0):
    """Run GRPO; return each run's weight of the bonus at the end.

    ``controllers``: of β, one for each run, if there are any. The bonus is on the nucleus of that ``mass``, and on that
    ``share`` of the tokens written that has the highest entropy.
    """
    optimizers = policy.optimizers(RATE)
    runs = len(generators)
    bonus = renyi.value_and_grad(EntropyBonus(alpha=setting.alpha, weight=1.0, reduction="none"))
    for _ in range(STEPS):
        logits = policy.logits()
        probs = np.exp(log_softmax(logits))
        states, tokens, written, rewards = sample(probs, generators)
        # Shao et al. 2024: each answer against the others to the same task; on-policy, so that no ratio is clipped
        centered = rewards - rewards.mean(axis=-1, keepdims=True)
        deviation = rewards.std(axis=-1, keepdims=True)
        advantage = centered / np.where(deviation > 0, deviation, 1.0)
        count = written.sum(axis=(0, 2, 3))[:, None, None]
        pull = written * advantage / count
        run = np.arange(runs)[:, None, None]
        pulls = np.zeros(logits.shape, dtype=np.float32)
        np.add.at(pulls, (np.broadcast_to(run, states.shape), states, tokens), pull.astype(np.float32))
        gradient = probs * pulls.sum(axis=-1, keepdims=True) - pulls
        nucleus = None if mass == 1 else renyi.nucleus_mask(logits, mass)
        counted = written
        if share < 1:
            entropies = renyi.entropy_from_logits(logits, setting.alpha, where=nucleus)[run, states]
            forks = [renyi.high_entropy_mask(entropies[:, k], share, where=written[:, k]) for k in range(runs)]
            counted = np.stack(forks, axis=1)
        at = np.ravel_multi_index((np.broadcast_to(run, states.shape), states), logits.shape[:2])
        visits = np.bincount(at.ravel(), counted.ravel(), minlength=runs * logits.shape[1]).reshape(logits.shape[:2])
        part = (visits / visits.sum(axis=1, keepdims=True)).astype(np.float32)
        weights = np.asarray([controller.weight for controller in controllers] or runs * [setting.beta])
        values, regularizer = bonus(logits, cotangent=part * weights[:, None].astype(np.float32), where=nucleus)
        policy.descend(optimizers, gradient + regularizer)
        for controller, entropy in zip(controllers, -(part * values).sum(axis=1), strict=False):
            controller.update(float(entropy))
    return weights


def measures(policy):
    """Return what the policies answer, exactly: all 10,000 answers of four digits to each task, and the rest."""
    probs = np.exp(log_softmax(policy.logits().astype(np.float64)))[..., :DIGITS]
    task = np.arange(TASKS)[:, None]
    answers = np.indices((DIGITS,) * LENGTH).reshape(LENGTH, -1)
    totals = np.cumsum(answers, axis=0) % DIGITS
    before = [np.zeros_like(totals[0]), *totals[:-1]]
    chance = np.prod(
        [probs[:, state(task, k, before[k]), answers[k]] for k in range(LENGTH)], axis=0
    )  # (runs, tasks, answers)
    right = chance * (totals[-1] == task)
    return {
        "right": right.sum(axis=-1).mean(axis=1),
        "distinct": (1 - (1 - right) ** SAMPLES).sum(axis=-1).mean(axis=1),
        "leak": 1 - chance.sum(axis=-1).mean(axis=1),
    }


def run(seeds, setting, seed):
    """Pretrain and tune one policy for each of the seeds from ``seed`` on."""
    generators = [np.random.default_rng(number) for number in range(seed, seed + seeds)]
    policy = pretrain(generators, setting.vocabulary)
    before = {f"{name} before": values for name, values in measures(policy).items()}
    held = {"initial": INITIAL, "rate": CONTROLLER_RATE, "bounds": BOUNDS}
    controllers = [TargetEntropy(setting.target, **held) for _ in (generators if setting.target > 0 else ())]
    weights = tune(policy, generators, setting, controllers=controllers)
    return {**measures(policy), "weight": weights, **before}


def table(rows):
    """Return the rows of the plain policy, each order's best β in the smaller vocabulary, and all of the others.

    The best has the most distinct right answers of those that are right at least `CORRECT` on the average.
    """
    kinds, others = {}, []
    for setting, same in groups(rows, Setting._fields).items():
        vocabulary, alpha, beta, target = setting
        if vocabulary != VOCABULARY or target > 0:
            others += same
        elif beta == 0 or moments(same, "right")[0] >= CORRECT:
            kinds.setdefault("plain" if beta == 0 else alpha, []).append(same)
    best = [max(found, key=lambda same: moments(same, "distinct")[0]) for found in kinds.values()]
    return [row for same in best for row in same] + others


def draw(rows, figure):
    """Draw diversity and leak against the weight of the bonus."""
    upper, lower = figure.subplots(2, 1, sharex=True)
    lines = {}
    for setting, same in groups(rows, Setting._fields).items():
        vocabulary, alpha, beta, target = setting
        if target == 0:
            point = beta, moments(same, "distinct")[0], 100 * moments(same, "leak")[0]
            lines.setdefault((vocabulary, None if beta == 0 else alpha), []).append(point)
    plain = lines.pop((VOCABULARY, None))
    lines.pop((LARGER, None), None)
    for (vocabulary, alpha), points in lines.items():
        larger = vocabulary == LARGER
        style = {"color": COLORS[alpha], "lw": 2, "marker": "o"}
        if larger:
            style |= {"lw": 0, "marker": "D", "mfc": "white", "ms": 8}
        weights, distinct, leak = zip(*(points if larger else [*plain, *points]), strict=True)
        upper.plot(weights, distinct, label=None if larger else NAMES[alpha], **style)
        lower.plot(weights, leak, **style)
    if any(vocabulary == LARGER for vocabulary, _ in lines):
        upper.plot([], [], "D", color="0.4", mfc="white", ms=8, label=f"{LARGER:,} tokens")
    upper.set_ylabel(f"distinct right answers in {SAMPLES}", fontsize=11)
    upper.set_ylim(0, 100)
    lower.set(yscale="log", ylim=(0.02, 130))
    lower.set_yticks([0.1, 1, 10, 100], ["0.1 %", "1 %", "10 %", "100 %"])
    lower.set_ylabel("answers with a useless token", fontsize=11)
    lower.set_xlabel("weight β of the bonus", fontsize=11)
    upper.legend(frameon=False, fontsize=10)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(b=False)
        axes.grid(axis="y", color="0.92")
