"""Every row of a table of times or memory is a row of a committed result, and the ranges in the text are its ranges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
# the result that the tables of a section are from
SOURCES = {
    "performance.md": {
        "NumPy": "2026-11-23-numpy-epyc-2-cores.md",
        "torch": "2026-11-23-torch-epyc-2-cores.md",
        "Terms": "2026-11-25-terms-epyc-2-cores.md",
        "Linear head": "2026-11-25-linear-epyc-2-cores.md",
        "JAX": "2026-11-30-jax-epyc-2-cores.md",
        "Dask": "2026-11-25-dask-epyc-2-cores.md",
        "Samples": "2026-11-25-diversity-epyc-2-cores.md",
        "Quantities": "2026-11-30-families-epyc-2-cores.md",
    },
    "tutorials/vocabularies.md": {
        "Logits that exist anyway": "2026-11-23-torch-epyc-2-cores.md",
        "Logits that never exist": "2026-11-25-linear-epyc-2-cores.md",
    },
    "tutorials/distributed.md": {"Dask: chunks": "2026-11-25-dask-epyc-2-cores.md"},
}


def tables(text):
    """The tables of a text: lists of lines, the header first, without the line below it."""
    found = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    return [[lines[0], *lines[2:]] for lines in (table.splitlines() for table in found)]


def sections(page):
    parts = re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", SOURCES)
def test_rows_are_measured(page):
    parts = sections(page)
    assert {title for title, part in parts.items() if tables(part)} == set(SOURCES[page])
    for title, source in SOURCES[page].items():
        measured = tables((RESULTS / source).read_text(encoding="utf-8"))
        for header, *rows in tables(parts[title]):
            assert rows
            # a table that has this header, and all of these rows
            assert any(known == header and set(rows) <= set(body) for known, *body in measured), (title, header)


def test_threads_of_torch():
    """The first table is of one thread, the second of two, as the text says."""
    one, two = tables(sections("performance.md")["torch"])
    text = (RESULTS / SOURCES["performance.md"]["torch"]).read_text(encoding="utf-8")
    first, _, second = text.partition("2 threads")
    assert all(row in first for row in one[1:])
    assert all(row in second for row in two[1:])


def test_ranges():
    rows = [
        cells(row) for row in tables((RESULTS / SOURCES["performance.md"]["NumPy"]).read_text(encoding="utf-8"))[0][1:]
    ]
    value, gradient = ({(row[0], row[1], row[2]): float(row[column]) for row in rows} for column in (5, 8))
    text = " ".join(sections("performance.md")["NumPy"].split())
    assert f"the value is {min(value.values())} to {max(value.values())} times as fast" in text
    assert f"with the gradient {min(gradient.values())} to {max(gradient.values())} times" in text
    assert max(value, key=value.get)[:2] == ("float32", "100,000 × 10")
    assert min(gradient, key=gradient.get)[:2] == ("float64", "100,000 × 10")
    _, *samples = tables(sections("performance.md")["Samples"])[0]
    times = {tuple(cells(row)[2:4]): float(cells(row)[4]) for row in samples}
    for library in ("NumPy", "torch"):
        assert 1.8 < times[f"{library}, value", "renyi_core"] / times[f"{library}, value", "plain"] < 2.5


def test_commands_are_those_of_the_scripts():
    """Every command names a script that is there, with options that it has."""
    part = sections("performance.md")["Measure your own"]
    commands = re.findall(r"python (benchmarks/\w+\.py)(.*?)(?:  #.*)?$", part, flags=re.MULTILINE)
    assert len(commands) == 8
    for script, options in commands:
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in source, (script, option)
