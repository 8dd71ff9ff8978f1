"""What the documentation shows runs: docstrings' examples, the README's lines, the quickstart."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import renyi_core

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
MODULES = [module.name for module in pkgutil.walk_packages(renyi_core.__path__, "renyi_core.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    if "._" not in name:
        for public in module.__all__:
            assert ">>> " in getattr(module, public).__doc__, public


README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_readme(block):
    if "import torch" in block:
        pytest.skip("for torch: test_pages.py runs it")
    exec(compile(block, "README.md", "exec"), {})


def test_readme_is_short():
    assert len(README.split()) <= 900


PAGES = ("index.md", "install.md", "numpy.md", "regularizers.md", "schedules.md", "selftest.md", "uncertainty.md")


@pytest.mark.parametrize("name", PAGES)
def test_page_of_no_library(name):
    result = doctest.testfile(str(ROOT / "docs" / name), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_quickstart(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    script = ROOT / "docs" / "examples" / "quickstart.py"
    figure = tmp_path / "figure.png"
    command = [sys.executable, str(script), "--epochs", "2", "--seeds", "2", "--output", str(figure)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert f"\nFigure: {figure.resolve()}\n" in result.stdout
    found = re.findall(r"^ *(\S+)  [\d.]+  ([\d.]+) ± .*?([\d.]+) ± .*?([\d.]+) ± ", result.stdout, flags=re.MULTILINE)
    rows = {name: list(map(float, numbers)) for name, *numbers in found}
    assert list(rows) == ["none", "1/2", "1", "2", "inf"]
    # accuracy, confidence and calibration error: of the first row, and of the row with the least error
    best = min(rows, key=lambda name: rows[name][2])
    told = result.stdout.partition("What to notice: ")[2]
    for name in ("none", best):
        accuracy, confidence, error = rows[name]
        assert 0 < accuracy <= 1
        assert error >= abs(confidence - accuracy) - 1e-3
        shares = [float(share) for share in re.findall(r"([\d.]+)%", told)]
        assert any(abs(share - 100 * accuracy) < 0.11 for share in shares)
        assert any(abs(share - 100 * confidence) < 0.11 for share in shares)
        assert f"{error:.3f}" in told
