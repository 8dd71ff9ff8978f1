"""The sections of docs/training.md run, each where its framework is installed."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # advice on the number of workers, and a name that Lightning uses
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
]
PAGE = Path(__file__).parent.parent / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
NEEDS = {
    "A plain torch loop": ("transformers",),
    "Hugging Face Transformers": ("transformers", "accelerate"),
    "TRL": ("trl",),
    "Lightning": ("lightning",),
    "Optax and Flax NNX": ("jax", "optax", "flax"),
    "NumPy and CuPy": ("numpy",),
}


def test_sections():
    assert set(SECTIONS) == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_section(name, tmp_path, monkeypatch):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(SECTIONS[name], {}, name, str(PAGE), 0)
    results = doctest.DocTestRunner().run(test)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", ["transformers", "trl"])
def test_docstrings(name):
    pytest.importorskip(name)
    results = doctest.testmod(importlib.import_module(f"renyi_training.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
