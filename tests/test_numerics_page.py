"""The page on numerics: its code runs, its rows are the measured ones, and those of this library hold here.

The rows of other packages are not measured again: they are not installed with the tests.
"""

from __future__ import annotations

import doctest
import functools
import math
import sys
from pathlib import Path

import pytest

import renyi_core as renyi

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
# after tests/, which has an every_call of its own
sys.path.append(str(ROOT / "benchmarks"))

import accuracy  # noqa: E402
import accuracy_report  # noqa: E402

PAGE = ROOT / "docs" / "numerics.md"
RESULT = ROOT / "benchmarks" / "results" / "2026-11-25-accuracy.md"
ROWS = accuracy_report.read_csv(RESULT.with_suffix(".csv"))
OURS = ("renyi-core, logits", "renyi-core, probabilities")


def table_lines(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]


def section(title):
    """The rows of a table of the result."""
    part = RESULT.read_text(encoding="utf-8").split(f"## {title}")[1].split("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("|")][2:]


def errors(**wanted):
    return [row["error"] for row in ROWS if all(row[key] == value for key, value in wanted.items())]


def test_examples_run():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_rows_are_those_of_the_result():
    rows = table_lines(PAGE)
    assert set(rows) <= set(table_lines(RESULT))
    for title in ("All orders", "Nearly certain", "The gradient", "A masked logit"):
        assert set(section(title)) <= set(rows), title
    assert {row for row in section("Near α = 1") if "float64" in row} <= set(rows)


def test_tables_of_the_result_are_made_of_its_rows():
    text = RESULT.read_text(encoding="utf-8")
    assert accuracy_report.markdown(ROWS, {}) in text
    assert text.startswith("# How exact")


def test_what_the_page_says_of_the_rows():
    """Claims of the text that are not rows of its tables."""
    near, at_one = {"part": "near 1", "dtype": "float64"}, {"dtype": "float64", "alpha": 1.0}
    branch = {row["alpha"]: row["error"] for row in ROWS if row["method"] == "textbook with a branch"}
    at = max(branch, key=branch.get)
    assert math.isclose(abs(at - 1), 1e-8, rel_tol=1e-6)
    assert 1e7 < branch[at] < 1e9  # half of 15.7 digits
    assert max(errors(method="textbook", **near)) > 1 / 2**-52  # every digit at 1e-15
    for part in ("near 1", "wide", "at 1"):
        assert max(errors(method=OURS[0], part=part) + errors(method=OURS[1], part=part)) < 3
    wide = {"part": "wide", "dtype": "float32", "method": "textbook"}
    assert math.isinf(max(errors(alpha=50.0, **wide)))
    assert max(errors(alpha=20.0, **wide)) < 100
    wide = {"part": "wide", "dtype": "float64", "method": "textbook"}
    assert all(max(errors(alpha=alpha, **wide)) < 2 for alpha in (0.01, 0.1, 0.5))
    assert max(errors(alpha=2.0, **wide)) == errors(alpha=2.0, distribution="peaked", **wide)[0] > 10
    for gap in (40, 60, 80):
        share = errors(method="scipy", distribution=f"exp(-{gap})", part="nearly certain", **at_one)[0] * 2**-52
        assert math.isclose(share, 1 / (gap + 1), rel_tol=0.05)
    for row in ROWS:
        if row["part"] == "nearly certain" and row["method"] in OURS:
            gap = int(row["distribution"][len("exp(-") : -1])
            product = {OURS[0]: gap / 8, OURS[1]: row["alpha"] * gap / 2}[row["method"]]
            assert row["error"] <= 3 + (product if 0.5 < row["alpha"] < 1 else row["alpha"] * gap / 2)
            if row["alpha"] >= 1 or (row["method"], row["dtype"]) == (OURS[1], "float64"):
                assert row["error"] < 4


@pytest.mark.full
def test_this_library_measured_again(monkeypatch, tmp_path):
    """Every sixth order: no worse than the result says, but for what another processor's exponentials differ by."""
    found = accuracy.methods()[:2]
    monkeypatch.setattr(accuracy, "methods", lambda: found)
    monkeypatch.setattr(accuracy, "measure", functools.partial(accuracy.measure, every=6))
    monkeypatch.setattr(
        sys, "argv", ["accuracy.py", f"--csv={tmp_path / 'csv'}", f"--markdown={tmp_path / 'markdown'}"]
    )
    accuracy.main()
    rows = accuracy_report.read_csv(tmp_path / "csv")
    assert f"renyi-core {renyi.__version__}, " in (tmp_path / "markdown").read_text(encoding="utf-8")
    assert {row["method"] for row in rows} == {*OURS, "textbook"}
    for method in OURS:
        for part in ("near 1", "wide", "at 1", "gradient near 1", "gradient"):
            for dtype in ("float64", "float32"):
                again = [r["error"] for r in rows if (r["method"], r["part"], r["dtype"]) == (method, part, dtype)]
                if again:
                    assert max(again) <= max(errors(method=method, part=part, dtype=dtype)) + 3, (method, part, dtype)
    for row in rows:
        if row["part"] == "nearly certain":
            assert row["error"] <= 16
    # the formula beside it fares as ill as the result says
    gradient = [r["error"] for r in rows if r["method"] == "textbook" and r["part"] == "gradient near 1"]
    assert max(gradient) > 1e6


def test_figure(tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "accuracy.png"
    accuracy_report.draw(ROWS, figure)
    committed = RESULT.with_suffix(".png").read_bytes()
    assert figure.read_bytes()[:4] == committed[:4] == b"\x89PNG"
    assert len(committed) <= 150_000
