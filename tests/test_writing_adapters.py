"""The page on adapters: a library of its own runs without one, and its adapter is used, and right."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import math
import pkgutil
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import oracle
import pytest

import renyi_core as renyi
from renyi_core import _kernels
from renyi_core._kernels.family import Family
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
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block, function in zip(blocks, (toy_adapter.rows, toy_adapter.entropy), strict=True):
        assert ast.dump(ast.parse(block)) == ast.dump(ast.parse(textwrap.dedent(inspect.getsource(function))))


def test_the_functions_of_the_table_are_looked_up():
    """Each name is a kernel of a family, whose engine goes first, or a function that kernels ask the library for."""
    table = PAGE.read_text(encoding="utf-8").split("## What you can replace")[1].split("## Rules")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) == 12
    modules = [
        importlib.import_module(f"{_kernels.__name__}.{module.name}")
        for module in pkgutil.iter_modules(_kernels.__path__)
    ]
    families = [family for module in modules for family in vars(module).values() if isinstance(family, Family)]
    kernels = {
        kernel.__name__ for family in families for kernel in (family.value, family.gradient, family.slope) if kernel
    }
    package = Path(_kernels.__file__).parent.parent
    source = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    asked = set(re.findall(r"\bask\((?:\w+\.)?(\w+), ", source))
    assert names <= kernels | asked


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
def test_rows_serve_every_quantity():
    """What NumPy gives, to the last bit, and no more written than a few copies of the results."""
    rng = np.random.default_rng(3)
    probs, others = rng.dirichlet(np.ones(50), size=(2, 6))
    orders, where = np.asarray([0.5, 1.0, 2.0, 3.0, 0.0, math.inf]), np.arange(50) < 40
    factors, samples = rng.normal(size=6), rng.normal(size=(2, 9, 3))
    cases = (
        (renyi.entropy, (probs, 1.7), (0, "alpha"), {"cotangent": factors}),
        (renyi.divergence, (probs, others, orders), (0, 1, "alpha"), {"where": where}),
        (renyi.jensen_divergence, (rng.dirichlet(np.ones(20), size=(4, 3)), 2.0), (0, "alpha"), {"base": 2}),
        (renyi.gaussian_divergence, (probs[0, :2], np.eye(2), others[0, :2], 2 * np.eye(2), 0.5), (0, 1, 2, 3), {}),
        # eigenvalues, which the library lacks
        (renyi.kernel_entropy, (samples, 1.0), (0, "bandwidth", "alpha"), {"bandwidth": 1.5}),
        (renyi.entropy_from_log_prob, (rng.normal(size=(5, 8)), 2.0), (0, "alpha"), {}),
        (EntropyBonus(alpha=2.0, weight=0.1), (probs,), (0, "alpha"), {"sample_weight": np.abs(factors)}),
    )
    for f, args, wrt, options in cases:
        given = [toy_arrays.Array(x) if isinstance(x, np.ndarray) else x for x in args]
        keywords = {k: toy_arrays.Array(x) if isinstance(x, np.ndarray) else x for k, x in options.items()}
        (value, found), cost = written(renyi.value_and_grad(f, wrt), *given, **keywords)
        want, wanted = renyi.value_and_grad(f, wrt)(*args, **options)
        for one, other in zip((value, *found), (want, *wanted), strict=True):
            assert type(one) is toy_arrays.Array
            np.testing.assert_array_equal(one.data, other)
        sizes = sum(x.size for x in (value, *found))
        assert cost <= 4 * sizes + 200, (f, cost, sizes)


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
