"""What the pages show in torch beside doctests: the script of two processes, and the table of a masked logit."""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
# after tests/, which has an every_call of its own
sys.path.append(str(ROOT / "benchmarks"))

import accuracy  # noqa: E402

PAGE = ROOT / "docs" / "tutorials" / "distributed.md"
RESULT = ROOT / "benchmarks" / "results" / "2026-11-25-accuracy.md"


def test_masked_logits():
    again = accuracy.masked()
    rows = RESULT.read_text(encoding="utf-8").split("## A masked logit")[1].splitlines()[4:]
    assert len(rows) == len(again)
    for line, (name, numbers) in zip(rows, again.items(), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == name
        assert [float(cell) for cell in cells[1:]] == pytest.approx(numbers, abs=2e-6, nan_ok=True)
        if "renyi" in name:
            assert all(map(math.isfinite, numbers))


def test_the_script_of_two_processes(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch.distributed is not in this build")
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 3
    script = tmp_path / "script.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**common, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0].splitlines() == [
        "rows: 4 count, the gradient is that of one process",
        "vocabulary: value and gradient are those of one process",
    ]
