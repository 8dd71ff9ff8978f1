"""The documentation as a site, without building it: links, places, images, the reference, what runs where."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import os
import re
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import capabilities
import conftest
import pytest

import renyi_core as renyi

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not any(part.startswith("_") or part == "generated" for part in path.relative_to(DOCS).parts)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
OTHERS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md")])
CODE = re.compile(r"^(```+).*?^\1|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[(?!!)([^\]]*)\]\(([^()\s]*)\)")
HEADING = re.compile(r"^(#+) +(.*?)\s*$", re.MULTILINE)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)


def prose(path):
    """The text of a page without its code; code within a line leaves its place."""
    return CODE.sub(lambda found: "" if found[1] else "code", path.read_text(encoding="utf-8"))


def slug(heading):
    """The name that Git hosts and MyST give a heading."""
    words = LINK.sub(r"\2", heading).replace("`", "").lower()
    kept = (c for c in words if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def headings(path):
    blocks = re.sub(r"^(```+).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return HEADING.findall(blocks)


def places(path):
    return {slug(text) for _, text in headings(path)}


def test_the_links_found_are_all():
    """What the patterns take for a link, on text made for it."""
    text = "[a](b.md) `[no](x)` ![c](d.png)\n```\n[no](y)\n```\n[e](f.md#g-α)"
    assert LINK.findall(CODE.sub("", text)) == [("", "a", "b.md"), ("!", "c", "d.png"), ("", "e", "f.md#g-α")]
    assert slug("`summary`: Modules that keep α and β, once") == "summary-modules-that-keep-α-and-β-once"
    assert sum(len(LINK.findall(prose(path))) for path in PAGES) > 100


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_links_lead_to_files_and_places(name):
    page = ROOT / name
    for _, text, target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, place = unquote(target).partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), (text, target)
        assert path.is_relative_to(ROOT), (text, target)
        if place and path.suffix == ".md":
            assert place in places(path), (text, target)


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_images_have_texts_and_headings_are_in_order(name):
    page = ROOT / name
    for image, text, target in LINK.findall(prose(page)):
        assert not image or len(text.split()) > 3, target
    levels = [len(hashes) for hashes, _ in headings(page)]
    if not re.fullmatch(r"\[(\w+\.md)\]\(\.\./\1\)\s*", page.read_text(encoding="utf-8")):
        assert levels[:1] == [1]
        assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_page_is_in_the_navigation_once():
    entries = [
        line.split("<")[-1].rstrip(">")
        for block in TOCTREE.findall((DOCS / "index.md").read_text(encoding="utf-8"))
        for line in block.splitlines()
        if line and not line.startswith(":")
    ]
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES}
    assert sorted(entries) == sorted(pages - {"index"} | {"self"})


def listed():
    """The names of the reference, by module."""
    found, module = {}, ""
    for line in (DOCS / "reference.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            found.setdefault(module, []).append(line.strip())
    return found


def all_of(module):
    """``__all__`` of a module, read without importing its framework."""
    path = ROOT / "adapters" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    msg = f"{module} has no __all__"
    raise AssertionError(msg)


@functools.cache
def kernels():
    """The names that adapters overlay, and those by which the core asks them for more."""
    found = {"changing_number", "namespace"}
    # the blocks of NumPy that the adapters of torch and Dask run in a part of the distributions
    found |= {"entropy_partial_state", "entropy_gradient_of_state"}
    # the short ways of plain calls
    found |= {"entropies_at_once", "spectrum_at_once", "pairs_at_once", "choices_at_once"}
    for path in (ROOT / "renyi_core" / "_kernels").glob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        found |= {node.name for node in body if isinstance(node, ast.FunctionDef)}
    return found


def test_the_reference_has_every_public_name():
    reference = listed()
    modules = {"schedules", "regularizers", "monitoring"}
    assert sorted(reference["renyi_core"]) == sorted(set(renyi.__all__) - modules)
    for name in modules:
        public = set(importlib.import_module(f"renyi_core.{name}").__all__)
        assert sorted(reference[f"renyi_core.{name}"]) == sorted(public - set(renyi.__all__))
    frameworks = {"torch", "distributions", "stable_baselines3", "transformers", "trl"}
    for name in frameworks:
        assert sorted(reference[f"renyi_training.{name}"]) == sorted(all_of(f"renyi_training.{name}"))
    for name in ("numpy", "torch", "jax", "dask", "cupy"):
        assert all_of(f"renyi_adapters.{name}") <= kernels()
    assert len(reference) == 4 + len(frameworks)


def test_names_that_lead_to_the_reference():
    """What the pages make links of is what the reference has."""
    tree = ast.parse((DOCS / "_ext" / "pages.py").read_text(encoding="utf-8"))
    modules = next(node.value for node in tree.body if getattr(getattr(node, "targets", [0])[0], "id", "") == "MODULES")
    chosen = ast.literal_eval(modules)
    assert set(chosen) == set(listed())


def test_what_runs_where_is_written_anew():
    page = (DOCS / "capabilities.md").read_text(encoding="utf-8")
    assert page == capabilities.render(), "python tests/capabilities.py writes it"


def test_every_quantity_is_among_what_runs_where():
    named = {name for names in capabilities.QUANTITIES for name in names.split()}
    tools = {
        "EntropyEstimate",
        "Summary",
        "agnostic_only",
        "check_probabilities",
        "grad",
        "hvp",
        "register_adapter",
        "show_config",
    }
    other = {"checking", "show_config", "value_and_grad", "monitoring", "regularizers", "schedules"}
    assert set(renyi.__all__) - named == tools | other


@functools.cache
def declared_in(module):
    """The names of the functions of a module of tests, and its backends."""
    body = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8")).body
    backends = [*conftest.VARIANTS]
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BACKENDS":
            backends = ast.literal_eval(node.value)
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}, backends


@pytest.mark.parametrize("test", sorted({test.split("[")[0] for test, _ in capabilities.SHOWN_BY}))
def test_what_shows_it_is_a_test_of_its_libraries(test):
    module, name = test.split("::")
    names, backends = declared_in(module)
    assert name in names
    libraries = {name.partition(":")[0] for name in backends}
    assert {library for named, library in capabilities.SHOWN_BY if named.split("[")[0] == test} <= libraries


def test_results_of_a_gpu_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(capabilities, "ROOT", tmp_path)
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "cpu.md").write_text("torch 2.13.0+cpu, 1 threads, CUDA kernels emulated", encoding="utf-8")
    assert capabilities.render().count("not run yet") == 3
    (results / "gpu.md").write_text("# A GPU\n\ntorch 2.13.0, CUDA 12.8, NVIDIA H100", encoding="utf-8")
    assert capabilities.render().count("not run yet") == 2
    assert "(../benchmarks/results/gpu.md)" in capabilities.render()


@pytest.mark.parametrize(
    ("source", "outcomes", "hollow"),
    [
        ("logits", "skip", True),
        ("logits", "skip pass", False),
        ("logits", "fail", False),
        ("probs", "skip", False),
        ("logits", "lack", False),
    ],
)
def test_a_run_that_skips_what_is_named_fails(monkeypatch, source, outcomes, hollow):
    monkeypatch.setattr(conftest, "SHOWN", {})
    item = SimpleNamespace(
        path=Path("tests/test_pair_measures.py"),
        nodeid="",
        iter_markers=lambda _: (),
        originalname="test_grid",
        callspec=SimpleNamespace(params={"backend": "jax"}, indices={}, id=f"jax-float64-{source}-alpha"),
        module=None,
    )
    reasons = {"skip": "slow there", "lack": "could not import 'jax'", "pass": None, "fail": "assert"}
    for outcome in outcomes.split():
        hook = conftest.pytest_runtest_makereport(item)
        next(hook)
        report = SimpleNamespace(when="call", skipped=outcome in {"skip", "lack"}, longrepr=reasons[outcome])
        with pytest.raises(StopIteration) as stopped:
            hook.send(report)
        assert stopped.value.value is report
    # what a run of some cases passes over may be what passes
    for every, full in ((1, True), (2, True), (1, False)):
        options = {"--every": every, "--full": full}
        session = SimpleNamespace(exitstatus=pytest.ExitCode.OK, config=SimpleNamespace(getoption=options.get))
        conftest.pytest_sessionfinish(session)
        assert (session.exitstatus == pytest.ExitCode.TESTS_FAILED) == (hollow and full and every == 1)


GRID = """
import pytest

@pytest.mark.parametrize("x", [0, 1, 2])
@pytest.mark.parametrize("y", "ab")
def test(x, y):
    if (x, y) == (0, "a"):
        pytest.skip()
"""


@pytest.mark.full
@pytest.mark.parametrize(
    ("options", "counts", "more"), [([], "6 passed, 2 skipped", "4 more"), (["--full"], "10 passed, 2 skipped", "")]
)
def test_every_value_runs_once_or_all_do(tmp_path, options, counts, more):
    """Of each parameter; a case that was skipped shows none, and another takes its place."""
    files = [tmp_path / name for name in ("test_one.py", "test_two.py")]
    for path in files:
        path.write_text(GRID, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command += ["--backends=numpy", f"--rootdir={tmp_path}", *options, *files]
    paths = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
    )
    assert counts in done.stdout, done.stdout + done.stderr
    assert (f"{more} cases" in done.stdout) == bool(more)


@pytest.mark.full
def test_what_shows_it_has_cases():
    """A name with parameters that no case has would never be found skipped."""
    named = [(test, library) for test, library in capabilities.SHOWN_BY if "[" in test]
    files = sorted({f"tests/{test.split('::')[0]}.py" for test, _ in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command += [f"--backends={','.join(conftest.VARIANTS)}", *files]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    cases = {}
    for module, name, parameters in re.findall(r"^tests/(\w+)\.py::(\w+)\[(.*)\]$", found.stdout, re.MULTILINE):
        cases.setdefault(f"{module}::{name}", []).append(set(parameters.split("-")))
    for test, library in named:
        words, variants = set(capabilities.words_of(test)), set(conftest.VARIANTS[library])
        assert any(words <= case and variants & case for case in cases[test.split("[")[0]]), (test, library)


def test_every_extra_is_on_the_page_of_installing():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == sorted(
        extras, key=lambda name: page.find(f"| `{name}` |")
    )
    names = "NumPy|torch|JAX|Dask|CuPy|SciPy|Matplotlib|Stable-Baselines3|Lightning"
    for name, version, cuda in re.findall(rf"\b({names}) ≥ ([\d.]+)(?: for CUDA (\d+))?", page):
        package = {"CuPy": f"cupy-cuda{cuda}x", "Dask": "dask[array]"}.get(name, name.lower())
        assert any(f"{package}>={version}" in requirements for requirements in extras.values()), name
