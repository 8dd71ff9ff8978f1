"""The page on adapters: a library of its own runs without one, and its adapter is used, and right."""

from __future__ import annotations

import ast
import doctest
import inspect
import math
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import oracle
import pytest

import renyi_core as renyi
from renyi_core import _kernels
from renyi_core._kernels import divergence, entropy, neighbors, row_blocks
from renyi_core.regularizers import EntropyBonus

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "writing_adapters.md"
sys.path.insert(0, str(ROOT / "docs" / "examples"))

import toy_adapter  # noqa: E402
import toy_arrays  # noqa: E402

ROWS = ("two", "flat", "nearly flat", "normal", "wide", "peaked", "near-deterministic", "masked", "tied", "far tail")
ORDERS = (0.0, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 20.0, 1e3, math.inf)


@pytest.fixture
def adapter():
    renyi.register_adapter("toy_arrays", toy_adapter)
    yield
    renyi.register_adapter("toy_arrays", None)


def written(function, *args, **kwargs):
    """The result, and how many numbers the library's operations wrote for it."""
    before = toy_arrays.written
    result = function(*args, **kwargs)
    return result, toy_arrays.written - before


def test_page():
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_the_page_shows_the_adapter_as_it_is():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert ast.dump(ast.parse(block)) == ast.dump(ast.parse(textwrap.dedent(inspect.getsource(toy_adapter.entropy))))


def test_the_kernels_of_the_table_are_dispatched():
    """Each name of the table is a kernel, and the library looks it up for an adapter."""
    table = PAGE.read_text(encoding="utf-8").split("## What can be overlaid")[1].split("## Rules")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) == 9
    kernels = {name: module for module in (entropy, divergence, neighbors, row_blocks) for name in module.__all__}
    package = Path(_kernels.__file__).parent.parent
    source = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for name in names:
        assert name in kernels
        wanted = rf"dispatch\((\w+\.)?{name}\b|\b{name}, {name}|kernels?\.{name}\b"
        assert re.search(wanted, source), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("registered", [False, True])
def test_accuracy(dtype, registered, request):
    """Against 80 digits, as every engine: values by the overlay, gradients by the library's own kernel."""
    if registered:
        request.getfixturevalue("adapter")
    eps = float(np.finfo(dtype).eps)
    for name in ROWS:
        row = oracle.rows(dtype)[name]["logits"]
        x = toy_arrays.Array(row)
        for alpha in ORDERS:
            exact = oracle.exact(row, alpha, "logits")
            value = renyi.entropy_from_logits(x, alpha)
            assert type(value) is toy_arrays.Array
            assert value.dtype == dtype
            assert oracle.error(value.data, exact.entropy, eps) <= 16, (name, alpha)
            both, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
            assert oracle.error(both.data, exact.entropy, eps) <= 16, (name, alpha)
            assert oracle.error(gradient.data, exact.gradient, eps) <= 16, (name, alpha)


@pytest.mark.usefixtures("adapter")
def test_the_overlay_is_used_where_it_serves_and_nowhere_else():
    x = toy_arrays.Array(np.random.default_rng(1).normal(size=(4, 500)))
    for alpha in (0.5, 0.9, 1.0, 1.7, 2.0):
        for function in (renyi.entropy_from_logits, renyi.hill_number_from_logits, renyi.tsallis_entropy_from_logits):
            value, cost = written(function, x, alpha)
            with renyi.agnostic_only():
                want, plain = written(function, x, alpha)
            np.testing.assert_allclose(value.data, want.data, rtol=32 * 2.0**-52)
            assert cost < x.size / 4 < 5 * x.size < plain
    where = toy_arrays.Array(np.arange(500) < 100)
    orders = toy_arrays.Array(np.asarray([0.5, 1.0, 2.0, 3.0]))
    others = (
        (x, 0.0, {}),
        (x, math.inf, {}),
        (x, 2.0, {"where": where}),
        (x, 2.0, {"axis": 0}),
        (x, orders, {}),
    )
    for values, alpha, options in others:
        value, cost = written(renyi.entropy_from_logits, values, alpha, **options)
        with renyi.agnostic_only():
            want, plain = written(renyi.entropy_from_logits, values, alpha, **options)
        assert np.array_equal(value.data, want.data)
        assert cost == plain > x.size


@pytest.mark.usefixtures("adapter")
def test_rows_that_make_no_sense_are_nan_alone():
    rows = np.asarray([[0.0, -1.0, -math.inf], [-math.inf] * 3, [0.0, math.nan, 1.0], [0.0, math.inf, 1.0]])
    with np.errstate(invalid="ignore"):
        for alpha in (0.9, 1.0, 2.0):
            value = renyi.entropy_from_logits(toy_arrays.Array(rows), alpha)
            assert np.isnan(value.data).tolist() == [False, True, True, True]


@pytest.mark.parametrize("registered", [False, True])
def test_half_precision_and_terms(registered, request):
    if registered:
        request.getfixturevalue("adapter")
    half = np.random.default_rng(2).normal(size=(3, 2000)).astype(np.float16)
    value = renyi.entropy_from_logits(toy_arrays.Array(half), 1.1)
    assert value.dtype == np.float16
    assert np.array_equal(value.data, renyi.entropy_from_logits(half, 1.1))
    term = EntropyBonus(alpha=2.0, weight=0.1)
    x = half.astype(np.float64)
    got, gradient = renyi.value_and_grad(term)(toy_arrays.Array(x))
    want, want_gradient = renyi.value_and_grad(term)(x)
    np.testing.assert_allclose(float(got), want, rtol=1e-14)
    np.testing.assert_allclose(gradient.data, want_gradient, rtol=0, atol=1e-17)
