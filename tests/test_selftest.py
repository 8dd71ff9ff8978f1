"""The acceptance test passes on every library, fails for a wrong adapter, and its exact values are exact."""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
import types
from decimal import Decimal
from pathlib import Path

import mpmath
import numpy as np
import oracle
import oracle_choice
import oracle_joint
import oracle_pairs
import pytest

import renyi_core as renyi
from renyi_core import selftest
from renyi_core._kernels import entropy as kernels
from renyi_core._selftest import exact
from renyi_core._selftest.library import Library
from renyi_core._selftest.rows import ORDERS, batches, pairs, scores

BACKENDS = ("numpy", "strict", "torch", "jax", "jax:x32", "dask")


def run(backend, **options):
    """Measure a backend with its own way to make arrays (Dask's are chunked) and to read them."""

    def make(values, dtype):
        name = None if dtype is None else str(np.dtype(dtype)) if backend.library == "dask" else str(dtype)
        return backend.asarray(np.asarray(values), name.rpartition(".")[-1] if name else None)

    hooks = {"make": make, "read": lambda x: backend.numpy(x).tolist()} if backend.library == "dask" else {}
    options = {"dtypes": backend.dtypes, **hooks, **options}
    return selftest.run(backend.xp, quick=True, **options)


def test_it_passes(backend):
    if backend.library in {"jax", "dask"}:
        # each operation is compiled for each shape, or a task of a graph for each chunk
        report = run(backend, only="entropy_from_logits, α in an array")
        assert report.ok, str(report)
        return
    dtypes = backend.dtypes[0 if backend.full else -1 :]
    report = run(backend, dtypes=dtypes)
    assert report.ok, str(report)
    assert sum(row.status == "ok" for row in report.rows) >= 40 * len(dtypes)


def test_behaviors_of_a_lazy_library(backend):
    if backend.library not in {"jax", "dask"}:
        pytest.skip("among all others there")
    for only in ("kept", "no value is read"):
        rows = [row for row in run(backend, only=only).rows if row.name != "the library's own sum"]
        assert len(rows) == len(backend.dtypes) + 1
        assert {row.status for row in rows} == {"ok"}, rows


@pytest.fixture
def strict(backend):
    """Use array-api-strict alone, once."""
    if backend.library != "strict":
        pytest.skip("a test of array-api-strict")
    return backend.xp


def wrong(name, factor):
    """Return an adapter whose kernel of this name is off by a factor."""

    def kernel(x, order, **options):
        value, *others = getattr(kernels, name)(x, order, **options)
        return (value, *(part * factor for part in others))

    return types.SimpleNamespace(**{name: kernel})


@pytest.mark.parametrize(
    ("kernel", "row"),
    [("entropy_and_gradient", "entropy: gradient"), ("entropy_and_alpha_gradient", "entropy_from_logits: ∂/∂α")],
)
def test_a_wrong_adapter_fails_and_is_named(strict, capsys, kernel, row):
    renyi.register_adapter("array_api_strict", wrong(kernel, 1 + 1e-5))
    arguments = ["--library", "array_api_strict", "--dtype", "float64", "--quick", "--only", row.partition(":")[0]]
    try:
        assert selftest.main(arguments) == 1
        shown = capsys.readouterr().out
        assert selftest.main([*arguments, "--agnostic"]) == 0
    finally:
        renyi.register_adapter("array_api_strict", None)
    failed = [line for line in shown.splitlines() if "FAILED" in line and not line.endswith(" s")]
    assert any(line.startswith(f"| {row} ") for line in failed)
    assert all(row.partition(": ")[2] in line for line in failed)
    assert "FAILED" not in capsys.readouterr().out.replace("0 FAILED", "")


def test_an_adapter_that_raises_or_warns_or_reads_fails(strict):
    def raising(x, order, **options):
        msg = "a kernel of its own"
        raise RuntimeError(msg)

    def warning(x, order, **options):
        np.log(np.zeros(1))
        return kernels.entropy(x, order, **options)

    for kernel, said in ((raising, "raised RuntimeError: a kernel of its own"), (warning, "divide by zero")):
        renyi.register_adapter("array_api_strict", types.SimpleNamespace(entropy=kernel))
        try:
            report = selftest.run(strict, dtypes=["float64"], quick=True, only="entropy")
        finally:
            renyi.register_adapter("array_api_strict", None)
        assert not report.ok
        assert any(row.status == "FAILED" and said in row.detail for row in report.rows), str(report)


def test_a_value_that_is_read_is_noticed(strict):
    library = Library(strict)
    x = library.array([[0.5, 0.5]], "float64")
    for read in (lambda: float(x[0, 0]), lambda: bool(x[0, 0] > 0), lambda: np.asarray(x)):
        with pytest.raises(AssertionError, match="a value was read"), library.refusing_reads():
            read()
        read()
    with library.refusing_reads():
        renyi.entropy(x, 2.0)


def test_what_is_lacking_is_not_offered(strict, monkeypatch):
    report = selftest.run(strict, strict.Device("no_float64"), quick=True, only="a batch of no rows")
    assert [row.detail for row in report.rows if row.dtype == "float64"] == ["no arrays of float64"]
    assert {row.status for row in report.rows if row.dtype == "float32"} == {"ok"}
    assert not report.ok  # no entropy among them
    monkeypatch.delattr(strict, "permute_dims")
    rows = {row.name: row for row in selftest.run(strict, dtypes=["float64"], only="axis").rows}
    assert rows["axis, keepdims, base"].status == "not offered"
    assert rows["axis, keepdims, base"].detail == "no permute_dims"
    monkeypatch.setattr(strict, "sum", None)
    with pytest.raises(TypeError, match="not callable"):
        selftest.run(strict, dtypes=["float64"])


def test_what_cannot_be_run(strict, capsys):
    for arguments, said in (
        (["--library", "no_such_library"], "no_such_library"),
        (["--library", "math"], "asarray"),
        (["--library", "builtins"], "asarray"),
        (["--dtype", "float16"], "`dtypes` must be some of float32, float64, got 'float16'"),
        (["--library", "array_api_strict", "--device", "no such device"], "no such device"),
    ):
        assert selftest.main(arguments) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        selftest.main(["--no-such-option"])
    assert left.value.code == 2
    lists = types.SimpleNamespace(__name__="lists", asarray=lambda values: values)
    with pytest.raises(TypeError, match="__array_namespace__"):
        selftest.run(lists)
    with pytest.raises(ValueError, match="none"):
        selftest.run(strict, dtypes=[])
    with pytest.raises(TypeError, match="cannot be read"):
        Library(strict, read=lambda x: "no").read(strict.ones(2))


def test_as_a_command(strict):
    code = "import sys, renyi_core; print([m for m in sys.modules if 'selftest' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    command = [sys.executable, "-m", "renyi_core.selftest", "--quick", "--only", "gaussian_entropy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # nothing but the Gaussian's: no entropy was measured
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("numpy ")
    assert "| gaussian_entropy: value " in done.stdout


def test_the_page_shows_what_was_measured(strict):
    root = Path(__file__).parent.parent
    measured = (root / "benchmarks" / "results" / "2026-11-25-selftest.md").read_text(encoding="utf-8")
    page = (root / "docs" / "selftest.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## Libraries without")[2].splitlines() if line.startswith("| ")]
    assert len(rows) >= 7
    assert set(rows) <= set(measured.splitlines())
    counts = [row.split("|")[2:5] for row in rows[2:]]
    shown = re.findall(r"^(\d+) ok, (\d+) FAILED, (\d+) not offered", measured, flags=re.MULTILINE)
    assert [tuple(map(str.strip, each)) for each in counts] == shown


# the exact values, against the oracles of the other tests


def assert_exact(got, want):
    got, want = ([float(v) for v in part] for part in (got, want))
    assert got == pytest.approx(want, rel=1e-15, abs=1e-40)


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_entropies_are_exact(strict, source):
    for batch in batches("float64", source, quick=True):
        for name in ("normal", "nearly deterministic", "masked", "tied", "two"):
            for alpha in ORDERS if name in batch else ():
                row = batch[name]
                want = oracle.exact(np.asarray(row), alpha, source)
                with exact.digits():
                    got = exact.entropy(row, alpha, source)
                    assert exact.error(want.gradient.high, got.gradients[0], 2.0**-52) < 1
                assert_exact([got.value, got.slope], [want.entropy.high[0], want.alpha_gradient.high[0]])
                assert_exact([got.power_sum], [want.power_sum])


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_divergences_are_exact(strict, source):
    for one, other in pairs("float64", source).values():
        for alpha in ORDERS:
            want = oracle_pairs.exact(one, other, alpha, source)
            with exact.digits():
                got = exact.divergence(one, other, alpha, source)
            assert_exact([got.value, got.slope], [want.value, want.alpha_gradient])
            for mine, theirs in zip(got.gradients, want.gradients, strict=True):
                kept = [k for k, g in enumerate(theirs) if g is not None]
                assert_exact([mine[k] for k in kept], [theirs[k] for k in kept])


def test_the_others_are_exact(strict):
    rng = random.Random(0)
    with exact.digits(), mpmath.workdps(80):
        for row in scores("float64").values():
            for alpha in (0.5, 1.0, 2.0, math.inf):
                want = oracle_choice.exact(row, alpha, 0.75)
                p, value = exact.choice(row, alpha, 0.75)
                assert_exact([*p, value], [*want.p, want.value])
        joint = [[rng.random() for _ in range(3)] for _ in range(4)]
        for alpha in (0.5, 1.0, 2.0):
            table = [[mpmath.mpf(w) for w in line] for line in joint]
            total = mpmath.fsum(w for line in table for w in line)
            want = oracle_joint.sibson([[w / total for w in line] for line in table], mpmath.mpf(alpha))
            assert_exact([exact.mutual_information(joint, Decimal(alpha))], [want])
            p, q = joint[0], joint[1]
            p_, q_ = ([mpmath.mpf(w) / mpmath.fsum(row) for w in row] for row in (p, q))
            if alpha == 1:
                want = -mpmath.fsum(a * mpmath.log(b) for a, b in zip(p_, q_, strict=True))
            else:
                sums = mpmath.fsum(a * b ** (mpmath.mpf(alpha) - 1) for a, b in zip(p_, q_, strict=True))
                want = mpmath.log(sums) / (1 - mpmath.mpf(alpha))
            assert_exact([exact.cross_entropy(p, q, Decimal(alpha))], [want])
        assert_exact([exact.log_determinant([[4.0, 1.0], [1.0, 2.0]])], [math.log(7)])
        assert_exact([exact.derivative(lambda a: a**3, 2.0)], [12])


def test_errors_are_in_eps(strict):
    with exact.digits():
        third = [Decimal(1) / 3]
        assert exact.error([1 / 3], third, 2.0**-52) < 0.5
        assert exact.error([1 / 3 * (1 + 8 * 2.0**-52)], third, 2.0**-52) == pytest.approx(8, abs=0.6)
        assert exact.error([math.nan], third, 1.0) == exact.error([], third, 1.0) == math.inf
        assert exact.error([0.0], [Decimal(0)], 1.0) == 0
        assert exact.error([1e-300], [Decimal(0)], 1.0) == math.inf
