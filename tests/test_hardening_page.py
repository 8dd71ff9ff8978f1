"""The page on use in production, and the mutations of CONTRIBUTING.md: the scores are the committed ones."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import mutation

BACKENDS = ("numpy",)
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "hardening.md"


def test_scores_are_the_committed_ones():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Mutations")[1]
    with Path(__file__).with_name("mutation_scores.csv").open(encoding="utf-8") as file:
        results = list(csv.DictReader(file))
    shown = re.findall(r"^\| `([\w.]+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text, flags=re.MULTILINE)
    assert shown == [tuple(row.values()) for row in results]
    assert results
    for row in results:
        assert row["file"] in mutation.TESTS
        assert int(row["killed"]) + int(row["survived"]) == int(row["tried"]) <= int(row["mutants"])
    killed, tried = (sum(int(row[name]) for row in results) for name in ("killed", "tried"))
    assert f" {killed} of {tried} were killed." in text
    assert f" {tried} changes they noticed {killed};" in PAGE.read_text(encoding="utf-8")
    gaps = len(re.findall(r"Killed\s+since", text))
    assert f" {gaps} were gaps," in text
    survivors = re.findall(r"^- `([\w.]+)`, ", text, flags=re.MULTILINE)
    assert {name: survivors.count(name) for name in set(survivors)} == {
        row["file"]: int(row["survived"]) for row in results if row["survived"] != "0"
    }


def test_each_file_has_its_tests():
    for name, (files, _) in mutation.TESTS.items():
        assert any((ROOT / folder / mutation.source(name)).exists() for folder in ("", "adapters"))
        assert all((ROOT / "tests" / name).exists() for name in files)


def test_links_and_sessions_are_there():
    text = PAGE.read_text(encoding="utf-8")
    links = re.findall(r"\]\((\.\./[^)]+)\)", text)
    assert links
    assert all((PAGE.parent / link).exists() for link in links)
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    names = re.findall(r"`nox -s (\w+)", text)
    assert len(names) >= 3
    assert all(f"def {name}(" in sessions for name in names)
