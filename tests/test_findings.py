"""The scripts on other libraries have the form that findings/README.md states; they are not run here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
FINDINGS = sorted((Path(__file__).parent.parent / "findings").glob("*.sh"))


def test_there_are_some():
    assert len(FINDINGS) >= 16


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_form(path):
    text = path.read_text(encoding="utf-8")
    comment, code = text.split("set -euo pipefail\n")
    said = comment.splitlines()
    assert said[0] == "#!/usr/bin/env bash"
    assert len(said) >= 4
    assert all(line.startswith("# ") for line in said[1:])
    assert os.access(path, os.X_OK)
    assert "mktemp -d" in code
    assert "assert" in code
    assert "print(" in code
    assert "renyi" not in code.replace("renyi_divergence", "")
    installs = re.findall(r"pip install (.*)", code)
    assert len(installs) == 1
    packages = [word for word in shlex.split(installs[0]) if not word.startswith("-")]
    assert all(re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", package) for package in packages), packages
    # what bash takes it for, without running it
    assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_the_python_in_it_is_python(path):
    text = path.read_text(encoding="utf-8")
    parts = re.findall(r"<<'PYTHON'\n(.*?)^PYTHON$", text, flags=re.MULTILINE | re.DOTALL)
    assert parts
    for part in parts:
        compile(part, path.name, "exec")
