"""The backends: every test that asks for ``backend`` runs once on each of them.

``pytest --backends=numpy,strict,torch,jax,dask`` names the libraries; one that is named and not installed is an
error, not a skip. A library may stand for several variants.

A test of many cases, each a row of a grid, runs as many as show every value of every parameter once; ``--full`` runs
all, and loops over all orders. ``--every=2`` runs the first, the third, ... case of each test, where there is no time
for more.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
from typing import Any

import capabilities
import hypothesis
import numpy as np
import pytest
from array_api_compat import array_namespace

import renyi_core as renyi

hypothesis.settings.register_profile("suite", deadline=None, max_examples=15, derandomize=True)
hypothesis.settings.register_profile("suite-full", deadline=None, max_examples=40, derandomize=True)
# where each operation is compiled, or a graph: milliseconds a call instead of microseconds
hypothesis.settings.register_profile("suite-lazy", deadline=None, max_examples=8, derandomize=True)

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
    """Compare dtypes of array-api-strict at once; it looks for NumPy's first, ten times in each of its operations."""
    kind = type(dtype)
    thorough = kind.__eq__
    if thorough.__module__ == kind.__module__ and hasattr(dtype, "_np_dtype"):
        kind.__eq__ = lambda self, other: (
            self._np_dtype == other._np_dtype if type(other) is kind else thorough(self, other)
        )


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
    lazy = set(config.getoption("--backends").split(",")) <= {"jax", "dask"}
    hypothesis.settings.load_profile("suite-lazy" if lazy else "suite-full" if Backend.full else "suite")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        libraries = metafunc.config.getoption("--backends").split(",")
        unknown = set(libraries) - set(VARIANTS)
        if unknown:
            msg = f"unknown backends: {', '.join(sorted(unknown))}"
            raise pytest.UsageError(msg)
        names = [name for library in libraries for name in VARIANTS[library]]
        metafunc.parametrize("backend", names, indirect=True, scope="session")


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


ALIKE = {"numpy:agnostic": "strict", "jax:x32": "jax"}
"""Variants that run the code of another: together they have each value once."""
Values = set[tuple[tuple[str, int, bool], ...]]
RUN: dict[tuple[str, str | None], Values] = collections.defaultdict(set)
"""Of each test on each library: the values of its parameters with which it has run."""
REDUNDANT: list[pytest.Item] = []


def _on(item: pytest.Item) -> str | None:
    return item.callspec.params.get("backend") if hasattr(item, "callspec") else None


def _values(item: pytest.Item) -> tuple[tuple[str, str | None], Values]:
    """Return the test and the library, and the values of the parameters; those of one mark are one value.

    Where the dtype is one of them, the others count in float64 and in what has less digits.
    """
    params = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    wide = params.get("dtype") == "float64"
    marks = [mark.args[0] for mark in item.iter_markers("parametrize")]
    together = [mark.replace(" ", "").split(",") if isinstance(mark, str) else mark for mark in marks]
    values = {tuple((name, id(params.pop(name)), wide) for name in names) for names in together}
    on = ALIKE.get(_on(item), _on(item))
    return (item.nodeid.partition("[")[0], on), values | {((name, id(value), wide),) for name, value in params.items()}


def _new_values_first(items: list[pytest.Item]) -> None:
    """Sort the cases of each test in their places: first those that show the most values not shown before."""
    places, seen = collections.defaultdict(list), collections.defaultdict(set)
    for k, item in enumerate(items):
        places[_on(item), _values(item)[0]].append(k)
    for (_, test), where in places.items():
        cases, shown = [(items[k], _values(items[k])[1]) for k in where], seen[test]
        for k in where:
            best = max(range(len(cases)), key=lambda i: len(cases[i][1] - shown))
            items[k], values = cases.pop(best)
            shown |= values


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Pass over a case whose values have all run in others; where those were skipped, it takes their place."""
    test, values = _values(item)
    if item.config.getoption("--full") or not values or not values <= RUN[test]:
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
        terminalreporter.write_line(f"{len(REDUNDANT)} more combinations of parameters run with --full")
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
