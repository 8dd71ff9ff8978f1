"""Adapters are found by the namespace's name, overlay the kernels, and leave results alone."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core._kernels import entropy as kernels
from renyi_core._kernels import library

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
LIBRARIES = ("numpy", "torch", "jax", "dask", "cupy", "scipy", "array_api_strict")
OVERLAID = ("entropy", "entropy_and_gradient", "entropy_and_alpha_gradient", "entropy_hvp")


@pytest.fixture
def overlay():
    """An adapter for array-api-strict that counts its calls, taken away again."""
    calls = []

    def entropy(x, order, **options):
        calls.append(order.alpha)
        return kernels.entropy(x, order, **options)

    renyi.register_adapter("array_api_strict", types.SimpleNamespace(entropy=entropy))
    yield calls
    renyi.register_adapter("array_api_strict", None)


def test_an_adapter_overlays_one_kernel_and_leaves_the_others(overlay):
    strict = pytest.importorskip("array_api_strict")
    p = strict.asarray([0.5, 0.5])
    renyi.entropy(p, 2.0)
    assert overlay == [2.0]
    renyi.grad(renyi.entropy)(p, 2.0)
    assert overlay == [2.0]
    renyi.entropy(np.asarray([0.5, 0.5]), 3.0)
    assert overlay == [2.0]


def test_agnostic_only_leaves_adapters_aside_and_brings_them_back(overlay):
    strict = pytest.importorskip("array_api_strict")
    p = strict.asarray([0.5, 0.5])
    with renyi.agnostic_only(), renyi.agnostic_only():
        renyi.entropy(p, 2.0)
    assert overlay == []
    renyi.entropy(p, 2.0)
    assert overlay == [2.0]
    with pytest.raises(KeyError), renyi.agnostic_only():
        raise KeyError
    renyi.entropy(p, 3.0)
    assert overlay == [2.0, 3.0]


def test_an_adapter_may_be_named_with_or_without_the_prefix():
    module = types.SimpleNamespace()
    renyi.register_adapter("array_api_compat.some_library", module)
    try:
        assert library.adapters["some_library"] is module
    finally:
        del library.adapters["some_library"]


def test_numpy_has_its_adapter():
    import array_api_compat.numpy as xp

    import renyi_adapters.numpy as adapter

    for name in OVERLAID:
        assert library.ask(getattr(kernels, name), xp) is getattr(adapter, name)
        with renyi.agnostic_only():
            assert library.ask(getattr(kernels, name), xp) is getattr(kernels, name)


def test_adapters_import_the_kernels_alone():
    """Neither the public functions nor what is for training, which are built on them."""
    found = set()
    for path in (Path(__file__).parent.parent / "adapters" / "renyi_adapters").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    ours = {name for name in found if name.startswith("renyi_") and not name.startswith("renyi_adapters")}
    assert ours
    assert {name for name in ours if not name.startswith("renyi_core._kernels")} == set()


def test_the_name_must_be_a_string():
    with pytest.raises(TypeError, match="`name`"):
        renyi.register_adapter(np, None)  # type: ignore[arg-type]


def test_importing_the_library_imports_no_array_library():
    known = (*LIBRARIES, "renyi_adapters", "renyi_training")
    code = f"import sys, renyi_core; print([m for m in {known} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_what_is_for_training_imports_no_framework():
    known = (*LIBRARIES, "stable_baselines3", "sb3_contrib", "transformers", "trl", "renyi_core", "renyi_adapters")
    code = f"import sys, renyi_training; print([m for m in {known} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_all_names_are_sorted_and_there():
    assert renyi.__all__ == sorted(renyi.__all__)
    for name in renyi.__all__:
        assert getattr(renyi, name).__doc__
