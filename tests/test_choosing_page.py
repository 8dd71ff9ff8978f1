"""The page that compares the applications: its numbers are those of their results, and it knows all of them."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import numpy as np
import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
sys.path.insert(0, str(EXAMPLES))

pytest.importorskip("tqdm")
import harness  # noqa: E402

PAGE = ROOT / "docs" / "choosing.md"


def mean(name, measure, **setting):
    """Return the mean of a measure over the runs of a setting."""
    rows = [
        row
        for row in harness.read_csv(EXAMPLES / "results" / f"{name}.csv")
        if all(row[key] == value for key, value in setting.items())
    ]
    assert len(rows) >= 5, (name, setting)
    return harness.moments(rows, measure)[0]


def best(name, measure, of, settings):
    """Return the largest mean among the settings that ``of`` admits."""
    return max(mean(name, measure, **setting) for setting in settings if of(setting))


def robot(alpha):
    if alpha is None:
        return mean("rl_robot", "paths", beta=0, temperature=1)
    rows = harness.read_csv(EXAMPLES / "results" / "rl_robot.csv")
    weights = {row["beta"] for row in rows if row["alpha"] == alpha and row["beta"] > 0}
    settings = [{"alpha": alpha, "beta": weight, "temperature": 1} for weight in weights]
    return best("rl_robot", "paths", lambda s: mean("rl_robot", "optimal", **s) >= 0.99, settings)


def answers(measure, beta):
    def of(alpha):
        setting = {"beta": 0} if alpha is None else {"alpha": alpha, "beta": beta}
        return mean("rl_answers", measure, vocabulary=1000, target=0, **setting)

    return of


def explored(alpha):
    setting = {"beta": 0, "alpha": 1} if alpha is None else {"beta": 0.05, "alpha": alpha}
    return mean("rl_explore", "far", entropy="states", **setting)


def exits(alpha):
    """Return the exits in use at 6 steps, between the runs that were made."""
    rows = harness.read_csv(EXAMPLES / "results" / "rl_control.csv")
    if alpha is None:
        return mean("rl_control", "exits", width=0)
    found = []
    for same in harness.groups(rows, ("seed",)).values():
        runs = [row for row in same if row["width"] == 0 or (row["algorithm"], row["alpha"]) == ("RenyiSAC", alpha)]
        found.append(np.interp(6, *zip(*sorted((row["steps"], row["exits"]) for row in runs), strict=True)))
    assert len(found) >= 5
    return np.mean(found)


def modes(alpha):
    setting = {"beta": 0} if alpha is None else {"beta": 0.1, "alpha": "1/2" if alpha == 0.5 else alpha}
    return mean("gan", "effective", data="ring", sigma=0.25, **setting)


def perplexity(at):
    terms = {None: ("none", 0), 0.5: ("α = 1/2", 0.1), 1: ("Shannon", 0.2), 2: ("α = 2", 0.2)}

    def of(alpha):
        term, weight = terms[alpha]
        return mean("text", "perplexity", term=term, weight=weight, at=at)

    return of


def clusters(alpha):
    if alpha is None:
        return mean("clustering", "accuracy", alpha="none")
    return mean("clustering", "accuracy", alpha=alpha, weight=0.1)


def best_clusters(alpha):
    if alpha is None:
        return clusters(None)
    rows = harness.read_csv(EXAMPLES / "results" / "clustering.csv")
    settings = [{"alpha": alpha, "weight": w} for w in {row["weight"] for row in rows if row["alpha"] == alpha}]
    return best("clustering", "accuracy", lambda setting: True, settings)


ROWS = {
    "shortest paths used": (robot, "{:.0f}"),
    "distinct right ones in 100, β = 0.2": (answers("distinct", 0.2), "{:.0f}"),
    "distinct right ones in 100, β = 0.3": (answers("distinct", 0.3), "{:.0f}"),
    "useless token, β = 0.2": (answers("leak", 0.2), "{:.2g} %"),
    "useless token, β = 0.3": (answers("leak", 0.3), "{:.2g} %"),
    "far goal reached": (explored, "{:.2f}"),
    "exits in use": (exits, "{:.2f}"),
    "used in effect": (modes, "{:.1f}"),
    "at its best temperature": (perplexity("best"), "{:.1f}"),
    "at an entropy of 2 nats": (perplexity("entropy 2"), "{:.1f}"),
    "little weight": (clusters, "{:.2f}"),
    "the best weight of each": (best_clusters, "{:.2f}"),
}


def test_numbers():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    table = lines[2 : 2 + len(ROWS)]
    for line, (title, (number, form)) in zip(table, ROWS.items(), strict=True):
        assert title in line
        found = [cell.strip() for cell in line.strip("|").split("|")][1:]
        numbers = [number(alpha) for alpha in (None, 0.5, 1, 2)]
        scale = 100 if "%" in form else 1
        wanted = [form.format(scale * value) for value in numbers]
        assert found == wanted, title


def test_numbers_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    grid = mean("gan", "modes", data="grid", alpha=2, beta=1)
    by_pixels = mean("clustering", "accuracy", alpha="k-means")
    optimal = mean("rl_robot", "optimal", alpha=2, beta=0.35)
    for claim in (
        f"for which 252 shortest paths are equally good. Without a bonus it uses {robot(None):.0f} of them",
        f"With a bonus of order 2 it uses {robot(2):.0f}, and {100 * optimal:.0f} % of its walks are still",
        f"all {mean('gan', 'modes', data='ring', alpha=2, sigma=0.25):.0f} modes of the ring, {grid:.1f} of the 25",
        f"{best_clusters(1):.2f} right where k-means has {by_pixels:.2f}.",
    ):
        assert claim in text, claim


def test_examples_run():
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0
