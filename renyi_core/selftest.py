"""The library's acceptance test on any array library and device: worst errors against 80-digit arithmetic.

As a command, ``python -m renyi_core.selftest --library torch --device cuda``. It needs nothing but the array library:
the exact values are computed with Python's own decimal arithmetic.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from . import agnostic_only
from ._selftest.accuracy import Check, Worst, checks, own_sums
from ._selftest.behaviors import BEHAVIORS
from ._selftest.exact import digits
from ._selftest.library import Library, NotOfferedError
from ._selftest.report import Report, Row

__all__ = ["Report", "Row", "main", "run"]

COARSE = 4.0  # units in the last place: a library's own sum of float32 that is off by more is called coarse
DTYPES = ("float32", "float64")


def run(
    xp: Any,
    device: Any = None,
    dtypes: Sequence[str] = DTYPES,
    *,
    agnostic: bool = False,
    quick: bool = False,
    only: str = "",
    make: Any = None,
    read: Any = None,
) -> Report:
    """Measure the library on arrays of a namespace and compare with its bounds.

    Values, gradients and derivatives with respect to α, on distributions that are flat, nearly flat, peaked, nearly
    deterministic, masked, tied, far-tailed or long, at orders from 0 to ∞, 1 ± 1e-12 among them; then what else a
    result must be: its dtype, its device, NaN for senseless rows alone.

    Parameters
    ----------
    xp : namespace
        An array-API namespace, or one that array-api-compat knows.
    device : optional
        A device of the library, or its name; where its ``asarray`` puts arrays by default.
    dtypes : sequence of str, default ("float32", "float64")
        Which of the two to measure. Those that the library lacks are reported as not offered.
    agnostic : bool, default False
        Leave the adapter of the library aside.
    quick : bool, default False
        Fewer orders, and neither long rows nor large batches.
    only : str, default ""
        Measure nothing whose name lacks this, as "entropy_from_logits".
    make : callable, optional
        ``make(values, dtype)`` returns an array of nested lists; ``xp.asarray`` by default.
    read : callable, optional
        ``read(x)`` returns the values of an array as nested lists; by default its ``tolist``, ``compute``, ``todense``
        and the like, NumPy's ``asarray`` and its entries one by one are tried.

    Returns
    -------
    Report
        Its ``rows``, whether all are within bounds, ``ok``, and as ``str`` the table.

    Raises
    ------
    TypeError
        If the arrays of the library are not array-API arrays, or cannot be read.
    ValueError
        If ``dtypes`` names another dtype, or none.

    Notes
    -----
    The bounds are those that the docstrings state. For entropies, 16 units in the last place for values and gradients
    and 32 for ∂H/∂α; in float32 64, if the library's own sum of 20,000 numbers is off by more than 4 units, which is
    measured first. For all else 64, and for pairs 4 more for each nat that the weights span.

    An operation or a dtype that the library lacks (an AttributeError of its namespace, NotImplementedError) is reported
    as not offered, anything else that is raised as a failure. Warnings that arise are a failure of their own row.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core import selftest
    >>> report = selftest.run(np, dtypes=["float64"], quick=True, only="entropy_from_logits")
    >>> report.ok
    True
    >>> report.rows[1].name, report.rows[1].bound
    ('entropy_from_logits: value', 16)
    """
    dtypes = tuple(dtypes)
    if not dtypes or set(dtypes) - set(DTYPES):
        msg = f"`dtypes` must be some of {', '.join(DTYPES)}, got {', '.join(map(repr, dtypes)) or 'none'}"
        raise ValueError(msg)
    library = Library(xp, device, make=make, read=read)
    with contextlib.ExitStack() as stack:
        stack.enter_context(digits())
        if agnostic:
            stack.enter_context(agnostic_only())
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        rows = [row for dtype in dtypes for row in _rows(library, dtype, quick=quick, only=only)]
    told = sorted({f"{w.category.__name__}: {w.message}" for w in caught})
    rows.append(Row("no warnings", "", "FAILED" if told else "ok", detail="; ".join(told)))
    return Report(_title(library, agnostic=agnostic), tuple(rows))


def _title(library: Library, *, agnostic: bool) -> str:
    root = sys.modules.get(library.raw.__name__.removeprefix("array_api_compat.").partition(".")[0])
    version = getattr(root, "__version__", "")
    where = "" if library.device is None else f" on {library.device}"
    return f"{library.name} {version}{where}".rstrip() + (", without its adapter" if agnostic else "")


def _rows(library: Library, dtype: str, *, quick: bool, only: str) -> Iterator[Row]:
    try:
        library.dtype(dtype)
    except NotOfferedError as failure:
        yield Row("all", dtype, "not offered", detail=str(failure))
        return
    sums = Worst()
    try:
        coarse = own_sums(library, dtype, sums) > COARSE
    except AttributeError as failure:
        yield _failure("the library's own sum", dtype, failure, library)
        return
    (error, _, case) = sums.cases[""]
    yield Row("the library's own sum", dtype, "ok", error, None, case)
    for name, check in checks(quick=quick, coarse=coarse):
        if only in name:
            yield from _measured(name, dtype, check, library)
    for name, behavior in BEHAVIORS.items():
        if only in name:
            try:
                behavior(library, dtype)
            except Exception as failure:  # noqa: BLE001  whatever an unknown library raises
                yield _failure(name, dtype, failure, library)
            else:
                yield Row(name, dtype, "ok")


def _measured(name: str, dtype: str, check: Check, library: Library) -> Iterator[Row]:
    worst = Worst()
    try:
        check(library, dtype, worst)
    except Exception as failure:  # noqa: BLE001  whatever an unknown library raises
        yield _failure(name, dtype, failure, library)
    for what, (error, bound, case) in worst.cases.items():
        yield Row(f"{name}: {what}", dtype, "ok" if error <= bound else "FAILED", error, bound, case)


def _failure(name: str, dtype: str, failure: Exception, library: Library) -> Row:
    """Return the row of a check that raised: not offered, if the library says so or lacks the name."""
    first = str(failure).strip().partition("\n")[0]
    if isinstance(failure, AttributeError):
        # a namespace that raises by itself does not say of what
        if failure.obj is None and failure.name is None:
            return Row(name, dtype, "not offered", detail=first)
        if any(failure.obj is xp for xp in library.namespaces()):
            return Row(name, dtype, "not offered", detail=f"no {failure.name}")
    if isinstance(failure, NotOfferedError):
        return Row(name, dtype, "not offered", detail=first)
    if isinstance(failure, NotImplementedError):
        return Row(name, dtype, "not offered", detail=first or type(failure).__name__)
    said = first if isinstance(failure, AssertionError) else f"raised {type(failure).__name__}: {first}"
    return Row(name, dtype, "FAILED", detail=said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 within bounds, 1 not, 2 for what cannot be run.

    Examples
    --------
    >>> from renyi_core import selftest
    >>> selftest.main(["--library", "math"])  # prints to stderr: math has no asarray
    2
    """
    parser = argparse.ArgumentParser(prog="python -m renyi_core.selftest", description=__doc__.partition("\n")[0])
    parser.add_argument("--library", default="numpy", help="the namespace to import, as torch or jax.numpy")
    parser.add_argument("--device", help="a device of the library; the default one if left out")
    parser.add_argument("--dtype", default=",".join(DTYPES), help="float32, float64 or both, comma-separated")
    parser.add_argument("--agnostic", action="store_true", help="leave the library's adapter aside")
    parser.add_argument("--quick", action="store_true", help="fewer orders, neither long rows nor large batches")
    parser.add_argument("--only", default="", metavar="TEXT", help="leave out what lacks this in its name")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        xp = importlib.import_module(options.library)
        dtypes = options.dtype.split(",")
        how = {"agnostic": options.agnostic, "quick": options.quick, "only": options.only}
        report = run(xp, options.device, dtypes, **how)
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError) as failure:
        sys.stderr.write(f"{type(failure).__name__}: {failure}\n")
        return 2
    sys.stdout.write(f"{report}, {time.perf_counter() - start:.0f} s\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
