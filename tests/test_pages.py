"""The page of each library runs, and so do the examples of its adapter."""

from __future__ import annotations

import contextlib
import doctest
import importlib
from pathlib import Path

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
    module = importlib.import_module(f"renyi_adapters.{backend.library}")
    assert doctest.testmod(module).failed == 0


def test_quantities():
    """The examples run, every function is told of, and the rows of estimators are the measured ones."""
    page = PAGES / "quantities.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
