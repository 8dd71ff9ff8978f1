"""What a release says of itself is the same everywhere: versions, Pythons, extras, sessions; and no machine's paths."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import renyi_core

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def constant(name):
    """Return a constant of the noxfile, which needs nox to be imported."""
    assignments = (n for n in NOXFILE.body if isinstance(n, ast.Assign))
    (value,) = (n.value for n in assignments if ast.unparse(n.targets[0]) == name)
    return value


def sessions():
    return {n.name: n for n in NOXFILE.body if isinstance(n, ast.FunctionDef) and n.decorator_list}


def test_the_version_is_the_same_everywhere():
    version = renyi_core.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "renyi_core/__init__.py"
    assert re.search(r"^version: (.*)$", read("CITATION.cff"), flags=re.MULTILINE)[1] == version
    newest = re.search(r"^## \[(.*)\] - (.*)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert newest[1] == version
    assert re.fullmatch(r"unreleased|\d{4}-\d{2}-\d{2}", newest[2])
    # of a release, both have the day
    day = re.search(r"^date-released: (.*)$", read("CITATION.cff"), flags=re.MULTILINE)
    assert newest[2] == (day[1].strip("'\"") if day else "unreleased")


def test_the_citation_says_what_the_metadata_say():
    citation, project = read("CITATION.cff"), PROJECT["project"]
    assert re.search(r"^license: (.*)$", citation, flags=re.MULTILINE)[1] == project["license"]
    assert re.findall(r"^  - name: (.*)$", citation, flags=re.MULTILINE) == [a["name"] for a in project["authors"]]
    assert re.findall(r"^  - (?!name: )(.*)$", citation, flags=re.MULTILINE) == project["keywords"]


def test_the_pythons_are_the_same_everywhere():
    pythons = ast.literal_eval(constant("PYTHONS"))
    prefix = "Programming Language :: Python :: 3."
    classified = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if c.startswith(prefix)]
    assert classified == pythons
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == pythons[0]
    assert f"Python {pythons[0]} to {pythons[-1]}" in read("README.md")


def test_every_extra_is_told_of_and_no_other():
    extras = set(PROJECT["project"]["optional-dependencies"])
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    installed = re.findall(r"pip install [^\n]*?(?:renyi-core|\.)\[([\w,]+)\]", text)
    named = {name for names in installed for name in names.split(",")}
    assert named
    assert named <= extras
    page = read("docs/install.md")
    assert {name for name in extras if f"`{name}`" not in page} == set()
    told = set(re.findall(r"extras? `(\w+)`", text))
    assert told
    assert told <= extras
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items():
        assert all(re.search(r">=\d", r) for r in requirements), f"{extra} has no floor"


def test_every_session_that_is_named_exists_and_says_what_it_does():
    known = sessions()
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "noxfile.py"])
    named = {re.split(r"[-(]", name)[0] for name in re.findall(r"nox -s \"?([\w.()-]+)", text)}
    assert {"example", "gpu"} <= named
    assert named <= set(known)
    for name, function in known.items():
        line = (ast.get_docstring(function) or "").split("\n")[0]
        assert re.fullmatch(r"[A-Z].{20,}\.", line), name
    # every session that is there is explained to whoever contributes
    contributing = read("CONTRIBUTING.md")
    assert {name for name in known if f"`{name}" not in contributing} == set()


def test_the_floors_that_are_tested_are_those_of_the_metadata():
    """Each version that the sessions of floors install is one that an extra, or the library, names as its oldest."""
    extras = PROJECT["project"]["optional-dependencies"]
    pattern = r"^([\w-]+)(?:\[\w+\])?>=([\w.]+)"
    declared: dict[str, set[str]] = {}
    for requirement in [*PROJECT["project"]["dependencies"], *(r for names in extras.values() for r in names)]:
        name, version = re.match(pattern, requirement).groups()
        declared.setdefault(name, set()).add(version)
    assert {name for name, versions in declared.items() if len(versions) > 1} == set()
    nodes = [constant(name) for name in ("TEST_FLOORS", "FLOORS", "LIBRARY_FLOORS")]
    pins = {n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant) and "==" in str(n.value)}
    assert pins
    for pin in pins:
        name, version = re.match(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", pin).groups()
        if name in declared:
            (oldest,) = declared[name]
            assert f"{version}.0".startswith(f"{oldest}."), pin
    tested = {pin.split("==")[0] for pin in pins}
    assert {re.match(pattern, r)[1] for r in extras["test"]} <= tested


def test_no_file_names_a_path_of_a_machine():
    if shutil.which("git") is None:
        pytest.skip("needs git, which says what files belong to the checkout; there is none on PATH")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        listed = "\n".join(str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file())
    pattern = re.compile(rb"(?<![\w./-])/(?:root|work|home|Users|tmp)/[\w.]")
    names = [name for name in listed.splitlines() if "__pycache__" not in name]
    assert len(names) > 100
    assert [name for name in names if (ROOT / name).is_file() and pattern.search((ROOT / name).read_bytes())] == []
