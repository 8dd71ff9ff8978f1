"""What a run found: rows of a table, and whether all of it is within bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Report", "Row"]


class Row(NamedTuple):
    """One line of the report.

    ``status`` is "ok", "FAILED" or "not offered"; ``error`` and ``bound`` are in units of ``eps`` (None for a
    behavior), ``detail`` says in which case the error is worst, or what went wrong.

    Examples
    --------
    >>> from renyi_core.selftest import Row
    >>> Row("entropy: value", "float64", "ok", 1.5, 16, "zipf, α = 2.0").error
    1.5
    """

    name: str
    dtype: str
    status: str
    error: float | None = None
    bound: float | None = None
    detail: str = ""


class Report(NamedTuple):
    """The rows, and a title that names the library; ``str`` gives the table.

    Examples
    --------
    >>> from renyi_core.selftest import Report, Row
    >>> print(Report("numpy 2.4", (Row("entropy: value", "float64", "ok", 1.5, 16, "zipf, α = 2.0"),)))
    numpy 2.4
    <BLANKLINE>
    | function       | dtype   | worst error, eps | bound | status | worst at      |
    |----------------|---------|------------------|-------|--------|---------------|
    | entropy: value | float64 | 1.5              | 16.0  | ok     | zipf, α = 2.0 |
    <BLANKLINE>
    | behavior | dtype | status |
    |----------|-------|--------|
    <BLANKLINE>
    1 ok, 0 FAILED, 0 not offered
    """

    title: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and an entropy at least could be measured."""
        measured = any(
            row.status == "ok" and row.name.startswith("entropy") and row.error is not None for row in self.rows
        )
        return measured and all(row.status != "FAILED" for row in self.rows)

    def __str__(self) -> str:
        lines = [self.title, ""]
        errors = [row for row in self.rows if row.error is not None]
        others = [row for row in self.rows if row.error is None]
        lines += _table(
            ("function", "dtype", "worst error, eps", "bound", "status", "worst at"),
            ((r.name, r.dtype, _number(r.error), _number(r.bound), r.status, r.detail) for r in errors),
        )
        lines += ["", *_table(("behavior", "dtype", "status"), ((r.name, r.dtype, _status(r)) for r in others))]
        counts = {status: sum(r.status == status for r in self.rows) for status in ("ok", "FAILED", "not offered")}
        lines += ["", ", ".join(f"{number} {status}" for status, number in counts.items())]
        return "\n".join(lines)


def _status(row: Row) -> str:
    return row.status if row.status == "ok" else f"{row.status}: {row.detail}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "not finite" if math.isinf(value) else f"{value:.1f}" if value < 1e4 else f"{value:.1e}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a table of Markdown, its columns aligned."""
    table = [header, *rows]
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in table]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]
