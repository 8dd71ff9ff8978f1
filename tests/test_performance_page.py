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
MEMORY = "2026-11-23-torch-epyc-2-cores.md"
# the result that the tables of a section are from
SOURCES = {
    "performance.md": {
        "NumPy": "2026-11-30-every-call-numpy.md",
        "torch": "2026-11-30-every-call-torch.md",
        "Linear head": "2026-11-25-linear-epyc-2-cores.md",
        "JAX": "2026-11-30-jax-epyc-2-cores.md",
        "Dask": "2026-11-25-dask-epyc-2-cores.md",
        "Samples": "2026-11-25-diversity-epyc-2-cores.md",
    },
    "tutorials/vocabularies.md": {
        "With the logits in memory": "2026-11-30-every-call-torch.md",
        "Without the logits in memory": "2026-11-25-linear-epyc-2-cores.md",
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
        results = [[cells(line) for line in table] for table in tables((RESULTS / source).read_text(encoding="utf-8"))]
        for header, *rows in ([cells(line) for line in table] for table in tables(parts[title])):
            assert rows
            # a table that has these columns, in whatever order, and all of these rows
            assert any(rows_in(header, rows, result) for result in results), (title, header)


def rows_in(header, rows, result):
    known, *body = result
    if sorted(header) != sorted(known):
        return False
    places = range(len(known)) if header == known else [known.index(name) for name in header]
    return all(row in [[line[place] for place in places] for line in body] for row in rows)


def ratios(library, names, *, graded, large=True):
    """The least and the largest ratio of some functions, without those of other formulas, in the words of the page."""
    rows = [cells(line) for line in measured(library).splitlines() if line.startswith("| ")]
    found = [
        float(row[6])
        for row in rows[2:]
        if row[0] in names
        and ("∂" in row[2]) == graded
        and "," not in row[1]
        and (row[3] not in {"64x6", "8x4"}) == large
    ]
    return f"{min(found):g} to {max(found):g} times"


def measured(library):
    return (RESULTS / f"2026-11-30-every-call-{library}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("section", "library", "entropies", "pairs", "probabilities"),
    [
        (
            "NumPy",
            "numpy",
            "entropies of logits are {} as fast as the formula, with the gradient {}",
            "divergences and cross-entropies of logits {}, with gradients {}",
            "cross-entropies of probabilities run {} as fast, with the gradient {}",
        ),
        (
            "torch",
            "torch",
            "entropies of logits are {} as fast as the formula, and forward with backward {}",
            "divergences and cross-entropies of logits {}, with gradients {}",
            "cross-entropies of probabilities run {} as fast, with gradients {}",
        ),
    ],
)
def test_ranges(section, library, entropies, pairs, probabilities):
    """What the text says of large calls holds of all rows, and so does what it says of the whole result."""
    text = " ".join(sections("performance.md")[section].split())
    for phrase, names in (
        (entropies, {"entropy_from_logits"}),
        (pairs, {"divergence_from_logits", "cross_entropy_from_logits"}),
        (probabilities, {"entropy", "divergence", "cross_entropy"}),
    ):
        assert phrase.format(*(ratios(library, names, graded=graded) for graded in (False, True))) in text
    median, below = re.search(r"median ([\d.]+), below 1 in (\d+ of \d+)", measured(library)).groups()
    assert f"median is {median}, and it is below 1 in {below} rows" in text


@pytest.mark.parametrize(
    ("page", "library"),
    [
        ("numpy.md", "numpy"),
        ("torch.md", "torch"),
        ("index.md", "numpy"),
        ("../README.md", "numpy"),
        ("../README.md", "torch"),
    ],
)
def test_ranges_on_other_pages(page, library):
    text = (DOCS / page).read_text(encoding="utf-8")
    for graded in (False, True):
        assert ratios(library, {"entropy_from_logits"}, graded=graded).removesuffix(" times") in text


def test_slower_than_the_formula():
    """What the text says has no engine, and of small calls."""
    without = {"entropy_from_log_prob"}
    low, high = map(float, re.findall(r"[\d.]+", ratios("numpy", without, graded=True)))
    assert low < 0.02
    assert 0.18 < high < 0.22
    text = " ".join(sections("performance.md")["NumPy"].split())
    value, gradient = (ratios("numpy", {"jensen_divergence"}, graded=graded) for graded in (False, True))
    assert (
        f"of the orders 1 and 2 runs {value.removesuffix(' times')} times as fast, with the gradient {gradient};"
        in text
    )
    low, high = map(float, re.findall(r"[\d.]+", ratios("numpy", {"entropy_from_logits"}, graded=True, large=False)))
    assert low < high < 1


def test_memory_of_torch():
    """What torch's own formulas keep for backward, and the peak, are as the pages say."""
    rows = [
        cells(line)
        for line in (RESULTS / MEMORY).read_text(encoding="utf-8").splitlines()
        if line.startswith("| 1.0 |")
    ]
    kept = {row[1]: (float(row[4]), float(row[5])) for row in rows}
    pages = ("torch.md", "performance.md", "tutorials/vocabularies.md")
    texts = {page: " ".join((DOCS / page).read_text(encoding="utf-8").split()) for page in pages}
    assert kept["renyi_core"] == (0, 1.01)
    assert f"| renyi_core | 0 | {kept['renyi_core'][1]} |" in texts["torch.md"]
    for name, shown in (("log_softmax", "`log_softmax` formula"), ("Categorical.entropy", "`Categorical.entropy`")):
        assert f"| {shown} | {kept[name][0]:g} | {round(kept[name][1], 1)} |" in texts["torch.md"]
    assert (kept["log_softmax"][0], kept["Categorical.entropy"][0]) == (2, 3)
    for page in pages[1:]:
        assert "1.01 times the logits" in texts[page]
        assert "formula keeps twice their size" in texts[page]
        assert "`Categorical.entropy` keeps three times" in texts[page]


def test_samples():
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
