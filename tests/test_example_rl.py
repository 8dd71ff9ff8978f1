"""The reinforcement-learning application: its claims in small, its page against its results, its command."""

from __future__ import annotations

import doctest
import math
import sys
from pathlib import Path

import numpy as np
import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
sys.path.insert(0, str(EXAMPLES))

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
import harness  # noqa: E402
import rl  # noqa: E402
import rl_answers  # noqa: E402
import rl_explore  # noqa: E402
import rl_grid  # noqa: E402
import rl_masks  # noqa: E402
import rl_robot  # noqa: E402
import robot_paths  # noqa: E402

import renyi_core as renyi  # noqa: E402

PAGE = (ROOT / "docs" / "rl.md").read_text(encoding="utf-8")


def results(part):
    return harness.read_csv(EXAMPLES / "results" / f"rl_{part}.csv")


def cell(rows, measure, digits):
    mean, deviation = harness.moments(rows, measure)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def percent(rows, measure):
    mean, deviation = (100 * value for value in harness.moments(rows, measure))
    digits = 2 if mean < 10 else 0
    return f"{mean:.{digits}f} ± {deviation:.{digits}f} %"


def order(alpha):
    return {0.5: "1/2", math.inf: "∞"}.get(alpha, f"{alpha:g}")


def on_page(*cells):
    line = f"| {' | '.join(cells)} |"
    assert line in PAGE.splitlines(), line


class TestRobot:
    def test_claim(self):
        """A bonus keeps many paths, and they serve when one is blocked; a larger order loses less optimality."""
        plain, half, two = (
            rl_robot.run(5, rl_robot.Setting(alpha, beta), 100) for alpha, beta in ((1.0, 0.0), (0.5, 0.2), (2.0, 0.3))
        )
        assert plain["paths"].max() < 25
        assert two["paths"].min() > 110
        assert two["damaged"].min() - plain["damaged"].max() > 0.2
        assert half["optimal"].mean() < 0.98
        assert two["optimal"].mean() > 0.985

    def test_paths(self):
        """The paths are different, stay on the map and end at the goal."""
        cells, actions = rl_robot.shortest_paths()
        assert len({tuple(row) for row in actions}) == math.comb(10, 5)
        reached = rl_robot.OPEN.following[cells, actions]
        assert (reached[:, :-1] == cells[:, 1:]).all()
        assert (reached[:, -1] == rl_robot.SIDE**2 - 1).all()
        assert (cells[:, 0] == 0).all()

    def test_played_as_measured(self):
        """The exact probabilities are those of the episodes that are played, also past a block."""
        logits = np.random.default_rng(0).normal(size=(1, 36, 4))
        logits[..., :2] += 1.5
        policy = np.exp(rl_grid.log_softmax(logits))
        blocks = rl_robot.blocked()
        assert len(blocks) == 23
        for world in (rl_robot.OPEN, blocks[7]):
            exact = rl_grid.occupancy(world, policy, rl_grid.HORIZON)[0, 35]
            played = [rl_grid.play(world, logits, [np.random.default_rng(seed)]) for seed in range(60)]
            share = np.mean([(reached[:, 0] == 35).any(axis=0) for _, _, reached, _ in played])
            assert 0.2 < exact < 0.98
            assert abs(share - exact) < 4 * 0.5 / math.sqrt(60 * rl_grid.EPISODES)

    def test_page(self):
        rows = results("robot")
        assert len(rows) == 8 * len(rl_robot.settings(full=True))
        for level in (0.99, 0.98):
            chosen = harness.groups(rl_robot.table(rows, level), rl_robot.Setting._fields)
            assert len(chosen) == 7
            for (alpha, beta, temperature), same in chosen.items():
                name, weight = ("–", f"0, temperature {temperature:g}") if beta == 0 else (order(alpha), f"{beta:g}")
                shown = ("paths", "damaged", "optimal")
                measures = [cell(same, measure, rl_robot.MEASURES[measure]) for measure in shown]
                # without a bonus the two thresholds have the same rows, and the page has them once
                on_page(name, *measures, weight, f"{100 * level if beta else 99:.0f} %")
        found = harness.groups(rows, rl_robot.Setting._fields)
        near = [found[1, beta, 1] for beta in (0.125, 0.15, 0.175)]
        assert [round(harness.moments(same, "paths")[0]) for same in near] == [143, 163, 151]
        assert all(0.989 <= harness.moments(same, "optimal")[0] < 0.99 for same in near)
        strong = [f"{harness.moments(found[alpha, 0.7, 1], 'optimal')[0]:.2f}" for alpha in (1, 2, 0.5)]
        assert strong == ["0.10", "0.01", "0.35"]

    def test_picture_of_the_readme(self, tmp_path, monkeypatch):
        """The rooms are of settings that are optimal enough; the walks follow the map and end at the goal."""
        found = harness.groups(results("robot"), rl_robot.Setting._fields)
        settings, paths = zip(*robot_paths.rooms(results("robot")), strict=True)
        assert [(alpha, beta > 0, temperature) for alpha, beta, temperature in settings] == [
            (1, False, 1),
            (1, True, 1),
            (2, True, 1),
        ]
        assert paths == tuple(harness.moments(found[setting], "paths")[0] for setting in settings)
        assert all(harness.moments(found[setting], "optimal")[0] >= 0.99 for setting in settings)
        monkeypatch.setattr(rl_robot, "ITERATIONS", 3)
        cells = robot_paths.walks((1.0, 0.0, 1.0), np.random.default_rng(0))
        steps = rl_robot.OPEN.following[cells[:, :-1]] == cells[:, 1:, None]
        assert (steps.any(axis=-1) | (cells[:, :-1] == rl_robot.SIDE**2 - 1)).all()
        robot_paths.draw(results("robot"), tmp_path / "paths.png")
        assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")


class TestExplore:
    def test_claim(self):
        """Nothing but the entropy of the visits finds the far goal."""
        for setting in (("states", 1.0, 0.0), ("actions", 1.0, 0.2)):
            assert rl_explore.run(3, rl_explore.Setting(*setting), 100)["far"].max() < 0.1
        assert rl_explore.run(3, rl_explore.Setting("states", 2.0, 0.05), 100)["far"].min() > 0.9

    def test_page(self):
        rows = results("explore")
        assert len(rows) == 8 * len(rl_explore.settings(full=True))
        found = harness.groups(rows, rl_explore.Setting._fields)
        for alpha in rl_explore.ALPHAS:
            shares = [harness.moments(found["states", alpha, beta], "far")[0] for beta in rl_explore.BETAS]
            on_page(order(alpha), *(f"{share:.2f}" for share in shares))
        others = [row["far"] for row in rows if row["entropy"] == "actions" or row["beta"] == 0]
        assert max(others) < 0.005  # what the page says of the rest


@pytest.fixture
def small(monkeypatch):
    for name, value in (("TASKS", 2), ("STEPS", 250), ("PRETRAINING", 150)):
        monkeypatch.setattr(rl_answers, name, value)


class TestAnswers:
    @pytest.mark.usefixtures("small")
    def test_claim(self):
        """Order 2 keeps the right answers apart without the leak; 1/2 leaks, and Shannon's bears less weight."""
        plain, half, shannon, two = (
            rl_answers.run(3, rl_answers.Setting(500, alpha, beta, 0.0), 100)
            for alpha, beta in ((1.0, 0.0), (0.5, 0.2), (1.0, 0.3), (2.0, 0.3))
        )
        assert plain["distinct"].max() < 20
        assert two["distinct"].min() > 60
        assert two["leak"].max() < 0.05
        assert two["right"].min() > 0.95
        assert half["leak"].min() > 0.15
        assert shannon["leak"].min() > 0.4

    @pytest.mark.usefixtures("small")
    def test_sampled_as_measured(self):
        """The exact shares are those of the answers sampled, and useless tokens come as often as they should."""
        generators = [np.random.default_rng(seed) for seed in range(2)]
        policy = rl_answers.pretrain(generators, 30)
        exact = rl_answers.measures(policy)
        probs = np.exp(rl_grid.log_softmax(policy.logits()))
        rewards, first, whole = [], [], []
        for _ in range(60):
            _, tokens, written, right = rl_answers.sample(probs, generators)
            rewards.append(right.mean(axis=(1, 2)))
            first.append(tokens[0])
            whole.append((written & (tokens < rl_answers.DIGITS))[-1].mean(axis=(1, 2)))
        sigma = 0.5 / math.sqrt(60 * 2 * rl_answers.GROUP)
        assert np.abs(np.mean(rewards, axis=0) - exact["right"]).max() < 4 * sigma
        assert np.abs(1 - np.mean(whole, axis=0) - exact["leak"]).max() < 4 * sigma
        for run in range(2):
            found = np.bincount(np.concatenate(first, axis=-1)[run, 0], minlength=30) / (60 * rl_answers.GROUP)
            assert np.abs(found - probs[run, 0]).max() < 4 * 0.5 / math.sqrt(60 * rl_answers.GROUP)

    def test_page(self):
        rows = results("answers")
        assert len(rows) == 8 * len(rl_answers.settings(full=True))
        found = harness.groups(rl_answers.table(rows), rl_answers.Setting._fields)
        for (vocabulary, alpha, beta, target), same in found.items():
            weight = f"target {target:g}" if target else f"{beta:g}"
            name = order(alpha) if beta or target else "–"
            measures = [cell(same, "distinct", 0), percent(same, "leak"), cell(same, "right", 3)]
            on_page(name, *measures, weight, f"{vocabulary:,}")
        found = harness.groups(rows, rl_answers.Setting._fields)
        for alpha in rl_answers.ALPHAS:
            sweep = [found[rl_answers.VOCABULARY, alpha, beta, 0] for beta in rl_answers.BETAS]
            on_page(f"leak, α = {order(alpha)}", *(percent(same, "leak") for same in sweep))
            on_page(f"distinct, α = {order(alpha)}", *(cell(same, "distinct", 0) for same in sweep))
        plain = found[rl_answers.VOCABULARY, 1, 0, 0]
        before = [f"{harness.moments(plain, f'{name} before')[0]:.2f}" for name in ("right", "leak")]
        distinct = f"{harness.moments(plain, 'distinct before')[0]:.0f}"
        assert f"Before tuning they are {distinct}, {before[1]} and {before[0]}." in PAGE

    @pytest.mark.parametrize("n", [1_000, 100_000])
    def test_pull_on_the_tail(self, n):
        logits = np.log(np.concatenate([[0.99], np.full(n, 0.01 / n)]))
        gradient = renyi.grad(renyi.entropy_from_logits)
        orders = (0.5, 1.0, 2.0, 4.0, math.inf)
        on_page(f"{n:,}", *(f"{gradient(logits, alpha)[1:].sum():.4f}" for alpha in orders))


class TestMasks:
    @pytest.mark.usefixtures("small")
    def test_claim(self):
        """Shannon's bonus keeps the answers apart without the leak on a nucleus, and leaks at the forks alone."""
        nucleus, forks = (
            rl_masks.run(1, rl_masks.Setting(500, 1.0, 0.3, mass, share, 0.0), 100)
            for mass, share in ((rl_masks.MASS, 1.0), (1.0, rl_masks.FORKS))
        )
        assert nucleus["distinct"].min() > 60
        assert nucleus["leak"].max() < 0.03
        assert forks["leak"].min() > 0.2

    @pytest.mark.usefixtures("small")
    def test_anchor(self, monkeypatch):
        """The weight that is returned is the controller's, of the share of the first entropy."""
        monkeypatch.setattr(rl_answers, "STEPS", 30)
        weights = [
            rl_masks.run(2, rl_masks.Setting(100, 1.0, 0.0, 1.0, 1.0, anchor), 100)["weight"] for anchor in (0.1, 10.0)
        ]
        assert (weights[0] < rl_answers.INITIAL).all()
        assert (weights[1] > rl_answers.INITIAL).all()

    def test_page(self):
        assert doctest.testfile(str(ROOT / "docs" / "rl.md"), module_relative=False) == (0, 16)
        rows = results("masks")
        assert len(rows) == 4 * len(rl_masks.settings(full=True))
        for setting, same in harness.groups(rows, rl_masks.Setting._fields).items():
            vocabulary, alpha, beta, nucleus, forks, anchor = setting
            parts = [f"{name} {share:g}" for name, share in (("nucleus", nucleus), ("forks", forks)) if share < 1]
            on_page(
                ", ".join((parts or ["all tokens"]) + ([f"anchor {anchor:g}"] if anchor else [])),
                cell(same, "distinct", 0),
                percent(same, "leak"),
                cell(same, "right", 3),
                order(alpha),
                cell(same, "weight", 2) if anchor else f"{beta:g}",
                f"{vocabulary:,}",
            )


def exits_at(levels, algorithm, alpha):
    """Return, for each seed, the exits in use at equal steps, between the runs that were made."""
    found = []
    for same in harness.groups(results("control"), ("seed",)).values():
        points = [row for row in same if row["width"] == 0 or (row["algorithm"], row["alpha"]) == (algorithm, alpha)]
        points.sort(key=lambda row: row["steps"])
        found.append(np.interp(levels, [row["steps"] for row in points], [row["exits"] for row in points]))
    return np.asarray(found)


class TestControl:
    """The page alone: what needs Stable-Baselines3 is in test_example_rl_control.py."""

    KINDS = (("SAC", 1), ("RenyiSAC", 0.5), ("RenyiSAC", 1), ("RenyiSAC", 2), ("RenyiSAC", math.inf))

    @staticmethod
    def name(algorithm, alpha):
        return "1, one sample (SAC)" if algorithm == "SAC" else order(alpha)

    def test_page(self):
        found = harness.groups(results("control"), ("algorithm", "alpha", "width"))
        widths = (0.1, 0.15, 0.2, 0.3)
        kinds = [(*kind, width) for kind in self.KINDS for width in widths]
        assert set(found) == {("SAC", 1, 0), ("RenyiSAC", 0.5, 0.4), *kinds}
        assert {len(same) for same in found.values()} == {8}
        for (algorithm, alpha, width), same in found.items():
            measures = [cell(same, measure, 2) for measure in ("exits", "steps", "closed", "beta")]
            on_page(*((self.name(algorithm, alpha), f"{width:g}") if width else ("–", "β = 0")), *measures)
        for kind in self.KINDS:
            exits = exits_at((5, 5.5, 6), *kind)
            cells = zip(exits.mean(axis=0), exits.std(axis=0, ddof=1), strict=True)
            on_page(self.name(*kind), *(f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in cells))
        for width in widths:
            sample, quadrature = (found[algorithm, 1, width] for algorithm in ("SAC", "RenyiSAC"))
            on_page(
                f"{width:g}",
                *(cell(quadrature, f"entropy by {name}", 2) for name in ("sample", "quadrature")),
                *(cell(quadrature, f"gradient by {name}", 2) for name in ("sample", "quadrature")),
                *(cell(same, "wander", 3) for same in (sample, quadrature)),
                *(cell(same, "training", 2) for same in (sample, quadrature)),
            )

    def test_differences(self):
        """What the page says of them, seed by seed, with standard errors."""
        shannon = exits_at((5, 5.5, 6), "RenyiSAC", 1)
        for kind in self.KINDS:
            difference = exits_at((5, 5.5, 6), *kind) - shannon
            error = difference.std(axis=0, ddof=1) / math.sqrt(len(difference))
            mean = difference.mean(axis=0)
            if kind != ("RenyiSAC", 0.5):
                assert (abs(mean) <= 1.5 * error).all()
                assert abs(mean).max() < 0.12
                if kind == ("RenyiSAC", 2):
                    assert f"{mean[1]:.2f} more with a standard error of {error[1]:.2f}" in PAGE
                continue
            less, errors = ([f"{value:.2f}" for value in values[1:]] for values in (-mean, error))
            assert f"{less[0]} less than α = 1 at 5.5 steps and {less[1]} at 6" in PAGE
            assert f"standard errors of {errors[0]} and {errors[1]}" in PAGE
            assert (difference[:, 1:] < 0).sum(axis=0).tolist() == [7, 7]

    def test_noise(self):
        found = harness.groups(results("control"), ("algorithm", "alpha", "width"))
        ratios = {"entropy": [], "gradient": []}
        for width in (0.1, 0.15, 0.2, 0.3):
            sample, quadrature = (found[algorithm, 1, width] for algorithm in ("SAC", "RenyiSAC"))
            for measure, values in ratios.items():
                means = [harness.moments(quadrature, f"{measure} by {name}")[0] for name in ("sample", "quadrature")]
                values.append(means[0] / means[1])
            lengths = [harness.moments(same, "training")[0] for same in (sample, quadrature)]
            assert 0 < lengths[1] - lengths[0] < 0.11
        assert [f"{value(ratios['gradient']):.1f}" for value in (min, max)] == ["1.2", "1.7"]
        assert 2.5 < min(ratios["entropy"]) < max(ratios["entropy"]) < 4.5

    def test_both_ways_or_one(self):
        """What the best policy of mean 0 has over the best of one side, where the reward of a step is |a|."""
        means, scales = np.linspace(0, 6, 91)[:, None], np.geomspace(0.2, 20, 121)
        nodes = np.linspace(-5, 5, 301)
        density = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
        force = sum(p * np.abs(np.tanh(means + scales * z)) for p, z in zip(density, nodes, strict=True))
        one_side = means >= 1.2816 * scales  # at least 90 % of the normal distribution
        parameters = [np.broadcast_to(value, force.shape)[..., None] for value in (means, scales)]
        for alpha in (0.5, 1, 2, math.inf):
            entropy = renyi.tanh_gaussian_entropy(*parameters, alpha, axis=-1)
            values = [force + beta * entropy for beta in (0.05, 0.1, 0.15, 0.2)]
            margins = [value[0].max() - value[one_side].max() for value in values]
            on_page(
                order(alpha), *(f"{margin + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−") for margin in margins)
            )


class TestCommand:
    @pytest.mark.parametrize("name", rl.PARTS)
    def test_runs(self, name, tmp_path, monkeypatch, capsys):
        for module, iterations in ((rl_robot, "ITERATIONS"), (rl_explore, "ITERATIONS"), (rl_answers, "STEPS")):
            monkeypatch.setattr(module, iterations, 2)
        monkeypatch.setattr(rl_answers, "TASKS", 1)
        monkeypatch.setattr(rl_answers, "PRETRAINING", 20)
        monkeypatch.setattr(rl_answers, "CORRECT", 0.0)
        monkeypatch.setattr(rl_robot, "OPTIMAL", 0.0)
        rl.main(["--part", name, "--seeds", "2", "--workers", "1", "--output", str(tmp_path)])
        part = sys.modules[f"rl_{name}"]
        rows = harness.read_csv(tmp_path / f"rl_{name}.csv")
        assert len(rows) == 2 * len(part.settings(full=False))
        assert (tmp_path / f"rl_{name}.png").read_bytes().startswith(b"\x89PNG")
        printed = capsys.readouterr().out
        assert all(measure in printed for measure in part.MEASURES)

    def test_runs_do_not_depend_on_their_neighbors(self, monkeypatch):
        monkeypatch.setattr(rl_robot, "ITERATIONS", 3)
        setting = rl_robot.Setting(2.0, 0.3)
        together = rl.together(rl_robot.run, [setting], seeds=3, workers=1, description="")
        alone = rl_robot.run(1, setting, 2)
        assert [row["seed"] for row in together] == [0, 1, 2]
        assert together[2]["paths"] == pytest.approx(alone["paths"][0], rel=1e-12)
