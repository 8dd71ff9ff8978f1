"""The page of each library runs, and so do the examples of what is for torch."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import re
from pathlib import Path

import pytest

import renyi_core as renyi

BACKENDS = ("torch", "jax:x32", "dask")
PAGES = Path(__file__).parent.parent / "docs"


def test_page(backend):
    page = PAGES / f"{backend.library}.md"
    if backend.library == "dask":
        import dask

        computing = dask.config.set(scheduler="synchronous")
    else:
        computing = contextlib.nullcontext()
    with computing:
        result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_readme(backend):
    if backend.library != "torch":
        pytest.skip("for torch")
    text = (PAGES.parent / "README.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "import torch" in b)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["loss"] < names["cross_entropy"](names["logits"], names["y"])
    assert names["model"].weight.grad.isfinite().all()


def test_examples_of_what_is_for_torch(backend):
    if backend.library != "torch":
        pytest.skip("for torch")
    package = importlib.import_module("renyi_training.torch")
    modules = {getattr(package, name).__module__ for name in package.__all__}
    results = [doctest.testmod(importlib.import_module(name)) for name in modules]
    assert sum(result.attempted for result in results) > 20
    assert all(result.failed == 0 for result in results)


def test_quantities():
    """The examples run, every quantity is told of, and the rows of estimators are the measured ones."""
    page = PAGES / "quantities.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0
    text = page.read_text(encoding="utf-8")
    tools = {
        "EntropyEstimate",
        "Summary",
        "agnostic_only",
        "check_probabilities",
        "hvp",
        "register_adapter",
        "show_config",
    }
    tools |= {"checking", "show_config"}
    modules = {"monitoring", "regularizers", "schedules"}
    names = {name.removesuffix("_from_logits") for name in renyi.__all__} - tools - modules
    assert {name for name in names if f"`{name}" not in text} == set()
    results = PAGES.parent / "benchmarks" / "results"
    files = ("2026-11-25-estimators.md", "2026-11-30-mutual-information.md")
    measured = [line for file in files for line in (results / file).read_text(encoding="utf-8").splitlines()]
    rows = [line for line in text.splitlines() if "±" in line]
    assert rows
    assert set(rows) <= set(measured)
