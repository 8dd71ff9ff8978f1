"""The page on the language model: its numbers are those of the results."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
sys.path.insert(0, str(EXAMPLES))

pytest.importorskip("tqdm")
import harness  # noqa: E402

PAGE = (ROOT / "docs" / "llm.md").read_text(encoding="utf-8")
STEPS = 40
SETTING = ("task", "remedy", "alpha", "beta", "target")


def order(alpha):
    return {0.5: "1/2", math.inf: "∞"}.get(alpha, f"{alpha:g}")


def cells(row):
    """Return the first cells of a line of the page's tables: the setting."""
    alpha = "–" if row["remedy"] in {"none", "KL"} else order(row["alpha"])
    remedy = "before tuning" if row["step"] == 0 else row["remedy"]
    return [row["task"], remedy, alpha, f"target {row['target']:g}" if row["target"] else f"{row['beta']:g}"]


def line(row):
    """Return the line that a row of the results makes."""
    effective = [f"{row[name]:.0f}" if row["distinct"] else "–" for name in ("effective 1", "effective 2")]
    numbers = [f"{row['right']:.3f}", f"{row['distinct']}", *effective]
    return f"| {' | '.join([*cells(row), *numbers])} | {100 * row['leak']:.1f} % |"


def spread(rows):
    """Return the line that the other seeds of a setting make: mean ± standard deviation."""
    scales = {"right": (1, 3), "distinct": (1, 0), "effective 1": (1, 0), "effective 2": (1, 0), "leak": (100, 1)}
    numbers = []
    for measure, (scale, digits) in scales.items():
        mean, deviation = harness.moments(rows, measure)
        numbers.append(f"{scale * mean:.{digits}f} ± {scale * deviation:.{digits}f}")
    return f"| {' | '.join([*cells(rows[0]), *numbers])} % |"


def results(steps):
    rows = harness.read_csv(EXAMPLES / "results" / "llm.csv")
    return [row for row in rows if row["step"] in steps]


def shown():
    """Return the lines of the page's tables: of seed 0, and of the other seeds."""
    lines = [text for text in PAGE.splitlines() if text.startswith(("| countries", "| multiples"))]
    return [text for text in lines if "±" not in text], [text for text in lines if "±" in text]


def test_the_sweep():
    """Each line of the table is a run with seed 0 after the last step, in the order of the results."""
    known = [line(row) for row in results({0, STEPS}) if row["seed"] == 0]
    lines, _ = shown()
    assert len(lines) > 5
    assert lines == [text for text in known if text in lines], "\n".join(known)


def test_the_other_seeds():
    """Each line of the table is of three seeds or more, which had no part in the choice of the weight."""
    runs = harness.groups([row for row in results({STEPS}) if row["seed"]], SETTING).values()
    known = [spread(rows) for rows in runs if len(rows) >= 3]
    _, lines = shown()
    assert len(lines) > 3
    assert lines == [text for text in known if text in lines], "\n".join(known)


def test_answers_are_those_counted():
    """The file of the answers has as many different ones, and as many, as the results say."""
    counts, different = Counter(), Counter()
    for row in harness.read_csv(EXAMPLES / "results" / "llm_answers.csv"):
        run = tuple(row[name] for name in (*SETTING, "seed"))
        counts[run] += row["count"]
        different[run] += 1
    for row in harness.read_csv(EXAMPLES / "results" / "llm.csv"):
        run = tuple(row[name] for name in (*SETTING, "seed"))
        if row["step"] == STEPS:
            assert different[run] == row["distinct"]
            assert counts[run] / 1000 == pytest.approx(row["right"])
