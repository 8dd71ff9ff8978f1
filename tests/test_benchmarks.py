"""The benchmarks run, on the CPU and reduced: their figures mean nothing here."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from every_call import NAMES

import renyi_core as renyi
from renyi_core._rules import _rules

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


def dry_run(tmp_path, only):
    out = tmp_path / "gpu.md"
    command = [sys.executable, str(SCRIPT), "--dry-run", "--rounds=1", f"--only={only}", f"--out={out}"]
    subprocess.run(command, capture_output=True, check=True)
    return out.read_text(encoding="utf-8")


@pytest.mark.full
def test_cupy(tmp_path):
    text = dry_run(tmp_path, "cupy")
    assert text.count("| renyi_core |") == text.count("| softmax formula |") == 12


@pytest.mark.full
def test_torch(tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("no torch here")
    text = dry_run(tmp_path, "torch,linear")
    assert text.count("| renyi_core |") == 12
    assert "inear" in text


@pytest.mark.full
def test_estimators():
    script = SCRIPT.with_name("estimators.py")
    result = subprocess.run([sys.executable, str(script), "--share=0.005"], capture_output=True, text=True, check=True)
    text = result.stdout
    assert text.count("\n## ") == 4
    assert text.count("\n| ") == 18 + 20 + 24 + 36 + 2 * 4
    assert "nan" not in text
    files = ("2026-11-25-estimators.md", "2026-11-30-mutual-information.md")
    committed = "".join((SCRIPT.parent / "results" / file).read_text(encoding="utf-8") for file in files)
    assert [line.split("|")[:4] for line in committed.splitlines() if line.startswith("|")] == [
        line.split("|")[:4] for line in text.splitlines() if line.startswith("|")
    ]


EVERY_CALL = SCRIPT.with_name("every_call.py")


def every_call(*arguments, before=()):
    """Run the benchmark of every function, and return its exit status, the table's rows and what it says on stderr."""
    command = [sys.executable, *(before or (str(EVERY_CALL),)), "--shapes=6x5", "--rounds=1", *arguments]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    return result.returncode, [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]], result.stderr


def test_every_call(tmp_path):
    """Every public function of arrays has its rows, on NumPy, and the CSV file has what is printed."""
    file = tmp_path / "table.csv"
    status, rows, errors = every_call(f"--csv={file}")
    assert status == 0, errors
    assert {name for name, *_ in rows} == set(NAMES)
    for name in ("entropy", "entropy_from_logits"):
        found = {(order, what.count("∂")) for function, order, what, *_ in rows if function == name}
        assert found == {(order, n) for order in ("1", "2", "1.7", "0.9", "inf", "per row") for n in (0, 1)}
    assert all(float(number) > 0 for row in rows for number in row[4:6])
    with file.open(encoding="utf-8", newline="") as text:
        assert list(csv.reader(text))[1:] == rows


@pytest.mark.full
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_call_of_torch(dtype):
    """In torch all that has derivatives has rows with them."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("no torch here")
    status, rows, errors = every_call("--library=torch", f"--dtype={dtype}")
    assert status == 0, errors
    assert {name for name, *_ in rows} == set(NAMES)
    assert {name for name, _, what, *_ in rows if "∂" in what} == {n for n in NAMES if getattr(renyi, n) in _rules}
    assert {"1, Categorical", "1, kl_div"} < {order for _, order, *_ in rows}


@pytest.mark.full
def test_every_call_of_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("no JAX here")
    status, rows, errors = every_call("--library=jax", "--only=check_*,vendi*")
    assert status == 0, errors
    assert [(name, what) for name, _, what, *_ in rows] == [
        ("check_probabilities", "value"),
        ("vendi_score", "value"),
        ("vendi_score", "value, ∂k"),
    ]


@pytest.mark.full
def test_a_formula_of_another_value():
    """A formula that is wrong is not measured."""
    code = f"""
import runpy, sys
sys.path.insert(0, {str(EVERY_CALL.parent)!r})
import plain_formulas
right = plain_formulas.conditional_entropy
plain_formulas.conditional_entropy = lambda *x: 1.1 * right(*x)
runpy.run_path({str(EVERY_CALL)!r}, run_name="__main__")
"""
    status, rows, errors = every_call("--only=conditional_entropy", before=("-c", code))
    assert status == 1
    assert not rows
    assert errors.startswith("conditional_entropy, 1, value: the formula gives another result")


@pytest.mark.full
def test_against_another_checkout(tmp_path):
    """It runs the other checkout's code, in turns with this one's."""
    root = EVERY_CALL.parent.parent
    status, rows, errors = every_call("--only=hill_number", f"--against={root}")
    assert status == 0, errors
    assert [len(row) for row in rows] == [9] * 4
    assert all(float(row[6]) > 0 for row in rows)
    (tmp_path / "renyi_core.py").write_text("raise SystemExit('the other one')", encoding="utf-8")
    status, _, errors = every_call("--only=hill_number", f"--against={tmp_path}")
    assert status == 1
    assert "the other one" in errors
