"""The tutorials run: the sections of each library where it is installed, with those of NumPy that they build on."""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = ("numpy", "torch", "jax:x32", "dask")
TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
# the library of each page, and of those sections that are of another
LIBRARIES = {
    "first.md": ("numpy", {"The same in torch": "torch"}),
    "orders.md": ("numpy", {}),
    "masks.md": ("numpy", {"The trap, in torch": "torch", "In a training loop, in torch": "torch"}),
    "vocabularies.md": ("torch", {}),
    "distributed.md": ("torch", {"JAX: sharded arrays": "jax", "Dask: chunks": "dask"}),
}


def sections(page):
    """The parts of a page with examples, each with its library; the part before the first title is one of them."""
    default, others = LIBRARIES[page]
    parts = re.split(r"^## ", (TUTORIALS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    titles = [part.partition("\n")[0] for part in parts]
    assert set(others) <= set(titles), page
    return [(others.get(title, default), part) for title, part in zip(titles, parts, strict=True) if ">>> " in part]


def of(page, library):
    """The text of a page for one library: for torch, with the NumPy that comes before it; "" if there is nothing."""
    parts = sections(page)
    if library not in {name for name, _ in parts}:
        return ""
    wanted = {library, "numpy"} if library == "torch" else {library}
    return "\n".join(part for name, part in parts if name in wanted)


def test_all_pages_are_known():
    assert {path.name for path in TUTORIALS.glob("*.md")} == set(LIBRARIES)


def test_examples_run(backend, tmp_path):
    texts = {page: of(page, backend.library) for page in LIBRARIES}
    texts = {page: text for page, text in texts.items() if text}
    assert texts
    if backend.library == "jax":
        # more than one device is a choice that a process makes once
        on_four_devices(texts, tmp_path)
        return
    computing = contextlib.nullcontext()
    if backend.library == "dask":
        import dask

        computing = dask.config.set(scheduler="synchronous")
    for page, text in texts.items():
        test = doctest.DocTestParser().get_doctest(text, {}, page, str(TUTORIALS / page), 0)
        with computing:
            results = doctest.DocTestRunner().run(test)
        assert results.attempted > 0, page
        assert results.failed == 0, page


def on_four_devices(texts, path):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    for page, text in texts.items():
        file = path / page
        file.write_text(">>> import jax; jax.device_count()\n4\n\n" + text, encoding="utf-8")
        command = [sys.executable, "-m", "doctest", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_figure_of_orders(tmp_path):
    """What the figure shows is what the text beside it says; and it can be drawn."""
    sys.path.insert(0, str(TUTORIALS.parent / "examples"))
    import orders

    page, script = (
        (TUTORIALS.parent / name).read_text(encoding="utf-8") for name in ("tutorials/orders.md", "examples/orders.py")
    )
    for text in (page, script):
        assert "[0.7] + 3 * [0.09] + 30 * [0.001]" in text
    dominant, common, rare = orders.pushes(orders.ORDERS)
    assert (dominant < 0).all()
    assert (rare[orders.ORDERS < 0.77] > common[orders.ORDERS < 0.77]).all()
    assert (rare[orders.ORDERS > 0.83] < common[orders.ORDERS > 0.83]).all()
    pytest.importorskip("matplotlib")
    orders.draw(tmp_path / "orders.png")
    committed = (TUTORIALS.parent / "examples" / "results" / "orders.png").read_bytes()
    assert (tmp_path / "orders.png").read_bytes()[:4] == committed[:4] == b"\x89PNG"
    assert len(committed) <= 150_000
