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


def order(alpha):
    return {0.5: "1/2", math.inf: "∞"}.get(alpha, f"{alpha:g}")


def line(row):
    """Return the line of the page's table that a row of the results makes."""
    alpha = "–" if row["remedy"] in {"none", "KL"} else order(row["alpha"])
    remedy = "before tuning" if row["step"] == 0 else row["remedy"]
    target = f"{row['target']:g}" if row["target"] else "–"
    numbers = [f"{row['right']:.3f}", row["distinct"], f"{row['effective 1']:.0f}", f"{row['effective 2']:.0f}"]
    cells = [row["task"], remedy, alpha, f"{row['beta']:g}", target, *numbers, f"{100 * row['leak']:.1f} %"]
    return f"| {' | '.join(map(str, cells))} |"


def test_page():
    """Each line of the table is a run with seed 0 after the last step, in the order of the results."""
    rows = harness.read_csv(EXAMPLES / "results" / "llm.csv")
    known = [line(row) for row in rows if row["seed"] == 0 and row["step"] in {0, STEPS}]
    shown = [text for text in PAGE.splitlines() if text.startswith(("| countries", "| multiples"))]
    assert len(shown) > 5
    assert shown == [text for text in known if text in shown], "\n".join(known)


def test_answers_are_those_counted():
    """The file of the answers has as many different ones, and as many, as the results say."""
    counts, different = Counter(), Counter()
    for row in harness.read_csv(EXAMPLES / "results" / "llm_answers.csv"):
        run = tuple(row[name] for name in ("task", "remedy", "alpha", "beta", "target", "seed"))
        counts[run] += row["count"]
        different[run] += 1
    for row in harness.read_csv(EXAMPLES / "results" / "llm.csv"):
        run = tuple(row[name] for name in ("task", "remedy", "alpha", "beta", "target", "seed"))
        if row["step"] == STEPS:
            assert different[run] == row["distinct"]
            assert counts[run] / 1000 == pytest.approx(row["right"])
