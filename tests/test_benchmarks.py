"""The benchmarks for GPUs and of estimators run, on the CPU and reduced: their figures mean nothing here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


def dry_run(tmp_path, only):
    out = tmp_path / "gpu.md"
    command = [sys.executable, str(SCRIPT), "--dry-run", "--rounds=1", f"--only={only}", f"--out={out}"]
    subprocess.run(command, capture_output=True, check=True)
    return out.read_text(encoding="utf-8")


def test_cupy(tmp_path):
    text = dry_run(tmp_path, "cupy")
    assert text.count("| renyi_core |") == text.count("| softmax formula |") == 12


def test_torch(tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("no torch here")
    text = dry_run(tmp_path, "torch,linear")
    assert text.count("| renyi_core |") == 12
    assert "inear" in text


def test_estimators():
    script = SCRIPT.with_name("estimators.py")
    result = subprocess.run([sys.executable, str(script), "--share=0.005"], capture_output=True, text=True, check=True)
    text = result.stdout
    assert text.count("\n## ") == 3
    assert text.count("\n| ") == 18 + 20 + 24 + 2 * 3
    assert "nan" not in text
    committed = (SCRIPT.parent / "results" / "2026-11-25-estimators.md").read_text(encoding="utf-8")
    assert [line.split("|")[:4] for line in committed.splitlines() if line.startswith("|")] == [
        line.split("|")[:4] for line in text.splitlines() if line.startswith("|")
    ]


def test_families():
    """Backward keeps what is differentiated, and of a pair's other array; automatic differentiation many times that."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("no torch here")
    script = SCRIPT.with_name("families.py")
    command = [sys.executable, str(script), "--rounds=1", "--shapes=16x300"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| 16 ")]
    assert len(rows) == 18
    for _, name, *numbers in rows:
        _, _, _, ours, autodiff, _ = map(float, numbers)
        # a term of the mean of all rows has the mean as well, here a 16th of them
        others = 1.0 if "one" in name or name == " DivergenceTerm " else 0.1 if name == " BalanceTerm " else 0.0
        assert ours <= 1.05 + others, name
        assert autodiff > 3 * ours, name
