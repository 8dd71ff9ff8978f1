"""The backends: every test that asks for ``backend`` runs once on each of them.

``pytest --backends=numpy,strict,torch,jax,dask`` names the libraries; one that is named and not installed is an
error, not a skip. A library may stand for several variants.

A test of many cases, each a row of a grid, runs as many as show every value of every parameter once, the library among
them; ``--full`` runs all, loops over all orders, and what ``pytest.mark.full`` marks. ``--every=2`` runs the first, the
third, ... case of each test, where there is no time for more.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import sys
from typing import Any

import capabilities
import hypothesis
import numpy as np
import pytest
from array_api_compat import array_namespace

import renyi_core as renyi

hypothesis.settings.register_profile("suite", deadline=None, max_examples=6, derandomize=True)
hypothesis.settings.register_profile("suite-full", deadline=None, max_examples=40, derandomize=True)

VARIANTS = {
    "numpy": ("numpy", "numpy:agnostic"),
    "strict": ("strict",),
    "torch": ("torch",),
    "jax": ("jax", "jax:x32"),
    "dask": ("dask",),
}


class Backend:
    """An array library in one of its variants: how the tests make its arrays and read them."""

    full = False
    """Whether all is asked for, by ``--full``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.library, _, self.variant = name.partition(":")
        module = {"strict": "array_api_strict", "jax": "jax.numpy", "dask": "dask.array"}.get(
            self.library, self.library
        )
        self.xp: Any = importlib.import_module(module)
        if self.library == "strict":
            _compare_faster(self.xp.float64)
        self.compiles = self.library == "jax"
        self.slow = self.library in {"strict", "jax", "dask"}
        # few orders and rows serve, where the grids are not asked for in full
        self.few = self.slow or not self.full
        self.dtypes = ("float32",) if self.variant == "x32" else ("float32", "float64")
        # units in the last place: (value, gradient, derivative in alpha), wider where reductions are coarser
        coarse = self.library in {"jax", "dask"}
        self.bounds = {"float64": (16, 16, 32), "float32": (64, 64, 64) if coarse else (16, 16, 32)}

        self.xp = array_namespace(self.asarray(np.zeros(1)))

    def __repr__(self) -> str:
        return self.name

    def asarray(self, values: Any, dtype: str | None = None) -> Any:
        """Return an array of the library, float64 (float32 where there is no other) by default."""
        values = np.asarray(values)
        if dtype is None and values.dtype.kind == "f":
            dtype = self.dtypes[-1] if values.dtype == np.float64 else None
        values = values if dtype is None else values.astype(dtype)
        if self.library == "torch":
            return self.xp.from_numpy(np.array(values))
        if self.library == "dask":
            return self.xp.from_array(values, chunks=tuple(max(1, -(-n // 2)) for n in values.shape))
        if self.library == "numpy":
            values = np.array(values)
            values.flags.writeable = False
            return values
        return self.xp.asarray(values)

    def numpy(self, x: Any) -> np.ndarray:
        """Return the values as a NumPy array; with Dask, this is where they are computed."""
        if self.library == "dask":
            import dask

            with dask.config.set(scheduler="synchronous"):
                # graphs of a few tasks: to optimize them takes longer than to run them
                return np.asarray(x.compute(optimize_graph=False))
        if self.library == "torch":
            return x.detach().numpy()
        return np.asarray(x)

    def compiled(self, function: Any) -> Any:
        """Return the function as one compilation, where operations would be compiled one by one."""
        if not self.compiles:
            return function
        import jax

        return jax.jit(function)

    @contextlib.contextmanager
    def context(self) -> Any:
        """Set the library up: x64 for JAX, no computation at all for Dask."""
        with contextlib.ExitStack() as stack:
            if self.variant == "agnostic":
                stack.enter_context(renyi.agnostic_only())
            if self.library == "jax":
                import jax
                from jax import experimental

                # in older versions of JAX it is experimental
                enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else experimental.enable_x64
                stack.enter_context(enable_x64(self.variant != "x32"))
            if self.library == "dask":
                import dask

                stack.enter_context(dask.config.set(scheduler=_refuse))
            yield


def _compare_faster(dtype: Any) -> None:
    """Find dtypes of array-api-strict at once: it looks for each among a dozen, several times in each operation."""
    kind = type(dtype)
    thorough = kind.__eq__
    if thorough.__module__ != kind.__module__ or not hasattr(dtype, "_np_dtype"):
        return
    made: dict[Any, Any] = {}
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith(f"{kind.__module__[:-8]}.")]
    tables = [*modules, *(table for module in modules for table in module.values() if isinstance(table, dict))]
    for table in tables:
        for name, value in table.items():
            if type(value) is tuple and {type(part) for part in value} == {kind}:
                made |= {part._np_dtype: part for part in value}
                table[name] = tuple(sorted(value, key=lambda part: part._np_dtype not in ("float64", "float32")))
    kind.__new__ = lambda cls, known: made.get(known) or made.setdefault(np.dtype(known), object.__new__(cls))
    kind.__eq__ = lambda self, other: self is other if type(other) is kind else thorough(self, other)


def _refuse(*args: Any, **kwargs: Any) -> Any:
    msg = "a Dask graph was computed"
    raise AssertionError(msg)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backends", default="numpy,strict", help="comma-separated: " + ", ".join(VARIANTS))
    parser.addoption(
        "--full", action="store_true", help="run all combinations of parameters, and loops over all orders"
    )
    parser.addoption("--every", default=1, type=int, help="how many cases of each test to go on by")


def pytest_configure(config: pytest.Config) -> None:
    Backend.full = config.getoption("--full")
    # elsewhere each operation is compiled, or a graph: milliseconds a call instead of microseconds
    eager = not set(config.getoption("--backends").split(",")) <= {"jax", "dask"}
    hypothesis.settings.load_profile("suite-full" if Backend.full and eager else "suite")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        libraries = metafunc.config.getoption("--backends").split(",")
        unknown = set(libraries) - set(VARIANTS)
        if unknown:
            msg = f"unknown backends: {', '.join(sorted(unknown))}"
            raise pytest.UsageError(msg)
        names = [name for library in libraries for name in VARIANTS[library]]
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of a module whose ``BACKENDS`` does not name the backend, and cases that --every passes over.

    Each operation is compiled for JAX, so its variant without 64 bits runs where it is named alone.
    """
    everywhere = [name for names in VARIANTS.values() for name in names if name != "jax:x32"]

    here = {name for library in config.getoption("--backends").split(",") for name in VARIANTS[library]}

    every, cases = config.getoption("--every"), collections.Counter()

    def wanted(item: pytest.Item) -> bool:
        names = getattr(item.module, "BACKENDS", everywhere)
        on = _on(item)
        # one that takes no backend runs beside those that do
        if here.isdisjoint(names) if on is None else on not in names:
            return False
        test = item.nodeid.partition("[")[0], on
        cases[test] += 1
        return cases[test] % every == 1 % every

    chosen = {item: wanted(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not chosen[item]])
    items[:] = [item for item in items if chosen[item]]
    if not config.getoption("--full"):
        _new_values_first(items)


Values = set[tuple[tuple[str, int], ...]]
RUN: dict[str, Values] = collections.defaultdict(set)
"""Of each test: the values of its parameters with which it has run."""
REDUNDANT: list[pytest.Item] = []


def _on(item: pytest.Item) -> str | None:
    return item.callspec.params.get("backend") if hasattr(item, "callspec") else None


def _values(item: pytest.Item) -> tuple[str, Values]:
    """Return the test and the values of its parameters, the library among them; those of one mark are one value."""
    params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    marks = [mark.args[0] for mark in item.iter_markers("parametrize")]
    together = [mark.replace(" ", "").split(",") if isinstance(mark, str) else mark for mark in marks]
    values = {tuple((name, id(params.pop(name))) for name in names) for names in together}
    return item.nodeid.partition("[")[0], values | {((name, id(value)),) for name, value in params.items()}


def _new_values_first(items: list[pytest.Item]) -> None:
    """Sort by module and test, and its cases: first those of the most values not shown before, or shown least.

    array-api-strict, which is slow and runs NumPy's code, has one of them where others have the values as well.
    """
    modules: dict[Any, dict[str, list[tuple[pytest.Item, Values]]]] = {}
    for item in items:
        test, values = _values(item)
        modules.setdefault(item.path, {}).setdefault(test, []).append((item, values))
    items.clear()
    for cases in (cases for tests in modules.values() for cases in tests.values()):
        shown: collections.Counter[Any] = collections.Counter()
        left = set().union(*(values for _, values in cases))
        while left:
            best = max(
                cases,
                key=lambda case: (len(case[1] & left), _on(case[0]) != "strict", -sum(shown[v] for v in case[1])),
            )
            cases.remove(best)
            shown.update(best[1])
            left -= best[1]
            items.append(best[0])
        items += [item for item, _ in cases]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Pass over a case whose values have all run in others; where those were skipped, it takes their place.

    And over what is marked as for ``--full``.
    """
    test, values = _values(item)
    redundant = item.get_closest_marker("full") or (values and values <= RUN[test])
    if item.config.getoption("--full") or not redundant:
        return None
    REDUNDANT.append(item)
    # what was set up for the case before, in the belief that this one is next
    item.session._setupstate.teardown_exact(nextitem)
    return True


SHOWN: dict[tuple[str, str], bool] = {}
"""Of the tests that docs/capabilities.md names, on the libraries it names: whether one passed."""
MISSING = ("could not import", "not in this build", "no NVRTC", "no CUDA device")
"""Reasons to skip that lie in the machine."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.skipped and any(reason in str(report.longrepr) for reason in MISSING):
        return report
    if report.when == "call" and not report.skipped:
        test, values = _values(item)
        RUN[test] |= values
    if report.when == "call" or report.skipped:
        case = getattr(item, "callspec", None)
        backend = case.params.get("backend") if case else None
        library = (backend or getattr(item.module, "BACKENDS", ("",))[0]).partition(":")[0]
        parameters = set(case.id.split("-")) if case else set()
        test = f"{item.path.stem}::{getattr(item, 'originalname', None)}"
        for name in capabilities.shown_by(test, library, parameters):
            SHOWN[name, library] = SHOWN.get((name, library), False) or not report.skipped
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if REDUNDANT:
        terminalreporter.write_line(f"{len(REDUNDANT)} more cases run with --full")
    for test, library in _hollow(terminalreporter.config):
        terminalreporter.write_line(f"docs/capabilities.md names {test} for {library}: it was skipped", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _hollow(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _hollow(config: pytest.Config) -> list[tuple[str, str]]:
    # else the cases may be among those passed over
    whole = config.getoption("--full") and config.getoption("--every") == 1
    return sorted(claim for claim, shown in SHOWN.items() if not shown and whole)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Any:
    """Return each backend asked for, in its context."""
    chosen = Backend(request.param)
    with chosen.context():
        yield chosen
