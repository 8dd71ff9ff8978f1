"""A point that may leave a corridor at either end, by Soft Actor-Critic of Stable-Baselines3: plain, and of order α.

    python docs/examples/rl_control.py

The policy is a squashed Gaussian, whose entropy of order α is computed by quadrature; β is automatic. Prints a table,
and writes its runs, rl_control.csv, and a figure, rl_control.png.
"""

import math
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from harness import groups, moments, parse, print_table, study, write_csv
from matplotlib.figure import Figure
from rl_robot import COLORS, NAMES
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

import renyi_core as renyi
from renyi_training.stable_baselines3 import RenyiSAC, distribution_entropy

HALF, EXIT, HORIZON, COST = 4.0, 3.5, 20, 0.5
STEPS, EPISODES, BATCH, BATCHES = 1_000, 500, 64, 20
ALPHAS = (0.5, 1.0, 2.0, math.inf)
WIDTHS = (0.1, 0.15, 0.2, 0.3)
LEVELS = (5.0, 5.5, 6.0)  # steps
MEASURES = {"exits": 2, "steps": 2, "return": 2, "closed": 2, "beta": 3}
LEGEND = """\
exits: in use in effect, exp of Shannon's entropy of their shares; steps: to an exit; closed: the share of episodes that
leave by the other exit when the one used more is closed. The target of β: the entropy of a policy of mean 0 and scale
width before squashing; width 0: β = 0. SAC: one sample of the entropy for each state, RenyiSAC: quadrature.
One width is no comparison of orders: they pay different prices for it. --full compares them at equal steps."""


class Setting(NamedTuple):
    algorithm: str  # "SAC" or "RenyiSAC"
    alpha: float
    width: float  # the target of β is the entropy of a policy of mean 0 and this scale; 0: β = 0


SHOWN = {  # panels of the figure
    "β = 0": Setting("SAC", 1.0, 0.0),
    "α = 1/2": Setting("RenyiSAC", 0.5, 0.2),
    "α = 2": Setting("RenyiSAC", 2.0, 0.2),
}


def settings(full):
    found = [Setting("SAC", 1.0, 0.0)]
    for kind in [("SAC", 1.0), *(("RenyiSAC", alpha) for alpha in ALPHAS)]:
        widths = WIDTHS if full else (0.2,)
        if full and kind[1] < 1:
            widths = (*WIDTHS, 0.4)  # it takes fewer steps at the same width
        found += [Setting(*kind, width) for width in widths]
    return found


def target(alpha, width):
    """Return the entropy of a policy of mean 0 and this scale."""
    return float(renyi.tanh_gaussian_entropy(np.zeros(1), np.full(1, width), alpha, axis=-1))


class Corridor(gymnasium.Env):
    """A point on a line, which the action moves by at most 1; an exit at either end ends the episode."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), dtype=np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.place, self.taken = self.np_random.normal(0, 0.1, 1), 0
        return self._seen(), {}

    def step(self, action):
        before = abs(self.place.item())
        self.place = np.clip(self.place + action, -HALF, HALF)
        self.taken += 1
        after = abs(self.place.item())
        return self._seen(), after - before - COST, after >= EXIT, self.taken == HORIZON, {}

    def _seen(self):
        return (self.place / HALF).astype(np.float32)


def play(model, seed, closed=0):
    """Return the places in the episodes, (HORIZON + 1, EPISODES), their exits (−1, 1, 0 for none) and their steps."""
    generator = np.random.default_rng(seed)
    places = [generator.normal(0, 0.1, EPISODES)]
    ends, taken = np.zeros(EPISODES), np.full(EPISODES, HORIZON)
    for step in range(HORIZON):
        with torch.no_grad():
            actions = model.actor(torch.as_tensor(places[-1][:, None] / HALF, dtype=torch.float32)).numpy()[:, 0]
        moved = np.clip(places[-1] + actions, -HALF, HALF)
        places.append(np.where(ends == 0, moved, places[-1]))
        sides = np.sign(places[-1])
        new = (ends == 0) & (np.abs(places[-1]) >= EXIT) & (sides != closed)
        ends[new], taken[new] = sides[new], step + 1
    return np.asarray(places), ends, taken


class Weights(BaseCallback):
    """log β after each step."""

    def __init__(self):
        super().__init__()
        self.trace = []

    def _on_step(self):
        if self.model.log_ent_coef is not None:
            self.trace.append(self.model.log_ent_coef.item())
        return True


def train(setting, seed):
    """Return the trained model and log β after each step."""
    torch.set_num_threads(1)
    options = {"learning_starts": 200, "buffer_size": STEPS, "train_freq": 2, "batch_size": BATCH, "gamma": 0.9}
    options |= {"learning_rate": 5e-3, "tau": 0.02, "policy_kwargs": {"net_arch": [32, 32]}, "seed": seed}
    options |= {"device": "cpu", "stats_window_size": STEPS, "ent_coef": 0.0}
    if setting.width:
        options |= {"ent_coef": "auto_0.2", "target_entropy": target(setting.alpha, setting.width)}
    if setting.algorithm == "SAC":
        model = SAC("MlpPolicy", Corridor(), **options)
    else:
        model = RenyiSAC("MlpPolicy", Corridor(), alpha=setting.alpha, **options)
    weights = Weights()
    model.learn(STEPS, callback=weights)
    return model, weights.trace


def noise(model, alpha):
    """Return how much two estimates of the entropy vary from batch to batch: by quadrature, and by one sample a state.

    Each is the standard deviation of the batch's mean entropy, and that of its gradient, relative to the mean gradient.
    """
    one = SquashedDiagGaussianDistribution(1)
    parameters = list(model.actor.parameters())
    entropies, gradients = ([], []), ([], [])
    for _ in range(BATCHES):
        states = model.replay_buffer.sample(BATCH).observations
        mean, log_std, _ = model.actor.get_action_dist_params(states)
        sampled = -one.log_prob_from_params(mean, log_std)[1].mean()
        exact = distribution_entropy(one.proba_distribution(mean, log_std), alpha).mean()
        for k, entropy in enumerate((exact, sampled)):
            gradient = torch.autograd.grad(entropy, parameters, retain_graph=True, allow_unused=True)
            gradients[k].append(torch.cat([part.ravel() for part in gradient if part is not None]).numpy())
            entropies[k].append(entropy.item())
    found = {}
    for name, values, vectors in zip(("quadrature", "sample"), entropies, map(np.asarray, gradients), strict=True):
        mean = np.linalg.norm(vectors.mean(axis=0))  # 0 where all actions are saturated
        spread = math.sqrt(vectors.var(axis=0, ddof=1).sum())
        found[f"entropy by {name}"] = float(np.std(values, ddof=1))
        found[f"gradient by {name}"] = float(spread / mean) if mean else math.inf
    return found


def run(setting, seed):
    """Train one policy; return what it does, and how noisy its entropy was."""
    model, trace = train(setting, seed)
    places, ends, taken = play(model, 1_000 + seed)
    counts = np.asarray([(ends == side).sum() for side in (-1, 1)])
    _, others, _ = play(model, 2_000 + seed, closed=2 * int(counts.argmax()) - 1)
    half = np.asarray(trace[len(trace) // 2 :])
    line = np.arange(len(half))
    return {
        "exits": float(renyi.hill_number(counts / counts.sum(), 1.0)) if counts.any() else 0.0,
        "steps": float(taken.mean()),
        "return": float((np.abs(places[-1]) - np.abs(places[0]) - COST * taken).mean()),
        "reached": float((ends != 0).mean()),
        "closed": float((others != 0).mean()),
        "beta": math.exp(trace[-1]) if trace else 0.0,
        "wander": float(np.std(half - np.polyval(np.polyfit(line, half, 1), line))) if trace else 0.0,
        "training": float(np.mean([episode["l"] for episode in model.ep_info_buffer])),
        **noise(model, setting.alpha),
    }


def at_equal_steps(rows):
    """Return a row for each kind and seed: its exits in use where it takes the same number of steps, interpolated."""
    found = []
    for algorithm, alpha, seed in groups(rows, ("algorithm", "alpha", "seed")):
        of_seed = [row for row in rows if row["seed"] == seed]
        same = [row for row in of_seed if row["width"] == 0 or (row["algorithm"], row["alpha"]) == (algorithm, alpha)]
        points = sorted((row["steps"], row["exits"]) for row in same)
        exits = np.interp(LEVELS, *zip(*points, strict=True))
        names = [f"at {level:g}" for level in LEVELS]
        found.append({"algorithm": algorithm, "alpha": alpha, **dict(zip(names, exits.tolist(), strict=True))})
    return found


def draw(rows, figure):
    """Draw the exits in use against the steps for each order, and above it where three policies go."""
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.6))
    panels = upper.subplots(1, len(SHOWN), sharey=True)
    for axes, (name, setting) in zip(panels, SHOWN.items(), strict=True):
        places, ends, _ = play(train(setting, 0)[0], 0)
        for side, color in ((-1, "#0072b2"), (1, "#e69f00")):
            axes.plot(places[:9, ends == side][:, :40], color=color, lw=0.7, alpha=0.4)
        axes.axhline(EXIT, color="0.6", lw=1, ls=":")
        axes.axhline(-EXIT, color="0.6", lw=1, ls=":")
        axes.set(xlim=(0, 8), ylim=(-HALF, HALF), xticks=(0, 4, 8), yticks=(-EXIT, 0, EXIT))
        axes.set_title(name, fontsize=11)
        axes.set_xlabel("step", fontsize=10)
        axes.spines[["top", "right"]].set_visible(b=False)
    panels[0].set_yticklabels(["exit", "start", "exit"], fontsize=10)
    axes = lower.subplots()
    fronts = {}
    for (algorithm, alpha, width), same in groups(rows, Setting._fields).items():
        front = (algorithm, alpha) if width else "plain"
        fronts.setdefault(front, []).append([moments(same, measure)[0] for measure in ("steps", "exits")])
    for front, points in fronts.items():
        if front == "plain":
            style = {"color": "0.55", "ls": "", "marker": "X", "ms": 9, "label": "β = 0"}
        elif front[0] == "SAC":
            style = {"color": "0.4", "ls": "--", "marker": "s", "mfc": "white", "label": "α = 1, one sample (SAC)"}
        else:
            style = {
                "color": COLORS[front[1]],
                "marker": "o",
                "label": NAMES[front[1]].replace("Shannon", "quadrature"),
            }
        axes.plot(*zip(*points, strict=True), lw=2, **style)
    axes.set_ylim(0.97, 2.03)
    axes.set_xlabel("steps to an exit (4 is the least)", fontsize=11)
    axes.set_ylabel("exits in use, in effect", fontsize=11)
    axes.spines[["top", "right"]].set_visible(b=False)
    axes.legend(frameon=False, fontsize=10, loc="lower right")


def main(argv=None):
    options = parse("Soft Actor-Critic with the Rényi entropy of a squashed Gaussian.", seeds=5, argv=argv)
    rows = study(run, settings(options.full), seeds=options.seeds, workers=options.workers)
    write_csv(rows, options.output / "rl_control.csv")
    print_table(rows, by=Setting._fields, measures=list(MEASURES), digits=MEASURES)
    print(f"Mean ± standard deviation over the seeds.\n{LEGEND}")
    if options.full:
        names = [f"at {level:g}" for level in LEVELS]
        print_table(at_equal_steps(rows), by=("algorithm", "alpha"), measures=names)
        print("Exits in use at equal steps, between the widths by linear interpolation.")
    figure = Figure(figsize=(6.4, 7.2), layout="constrained")
    draw(rows, figure)
    figure.savefig(options.output / "rl_control.png", dpi=100)
    print(f"Runs and figure: {options.output / 'rl_control.csv'}, {options.output / 'rl_control.png'}")


if __name__ == "__main__":
    main()
