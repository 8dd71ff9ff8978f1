"""The benchmark for GPUs runs, on the CPU and tiny shapes: its figures mean nothing there."""

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
