"""Compile the engine for processors: a build hook of hatchling, and ``python build.py`` to compile it in place.

It is compiled once for each instruction set, with the first compiler at hand. Without one, or with RENYI_NATIVE=0, the
wheel is a pure one, and NumPy computes.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # in place, without hatchling
    BuildHookInterface = object

HERE = Path(__file__).resolve().parent
SUFFIX = ".dll" if sys.platform == "win32" else ".so"
COMPILERS = ["c++", "g++", "clang++", "gcc", "clang", "cc"]
# contraction off: a multiply-add stands where the source has it, and a row has the same bits in every loop
FLAGS = (
    "-std=c++17 -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp-simd -fPIC -fno-exceptions -fno-rtti"
)
X86 = {
    # for processors of before 2013, and to ask what a newer one has: compiled fast
    "base": ["-O1", "-ftree-vectorize"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
SETS: dict[str, dict[str, list[str]]] = {"x86_64": X86, "amd64": X86}


def compiler() -> str | None:
    """Return the compiler: what CXX says, or the first that is found."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS
    return next((name for name in names if shutil.which(name)), None)


def compile_engine() -> str:
    """Compile what is missing or older than its sources; return what kept it from that, or nothing."""
    if os.environ.get("RENYI_NATIVE") == "0":
        return "RENYI_NATIVE=0"
    name = compiler()
    if name is None:
        return "no C++ compiler was found"
    sources = sorted(HERE.glob("*.cpp"))
    newest = max(path.stat().st_mtime for path in [*sources, *HERE.glob("*.h"), Path(__file__)])
    more = os.environ.get("RENYI_NATIVE_FLAGS", "").split()
    running = []
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        for way, special in SETS.get(platform.machine().lower(), {"base": []}).items():
            target = HERE / f"engine-{way}{SUFFIX}"
            if target.exists() and target.stat().st_mtime >= newest:
                continue
            made = Path(folder) / target.name
            command = [name, *FLAGS.split(), *special, *more, "-shared", "-o", str(made), *map(str, sources), "-lm"]
            running.append((target, made, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))  # noqa: S603
        for target, made, process in running:
            _, errors = process.communicate()
            if process.returncode:
                return f"{name} failed: {errors.strip().splitlines()[-1] if errors.strip() else process.returncode}"
            made.replace(target)
    return ""


class EngineHook(BuildHookInterface):  # type: ignore[misc]
    """Put the engine in the wheel, which then is for one platform, whatever the Python."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        lacks = compile_engine()
        if lacks:
            self.app.display_info(f"renyi-core without its compiled engine: {lacks}")
            return
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["artifacts"].append(f"adapters/renyi_adapters/native/engine-*{SUFFIX}")


if __name__ == "__main__":
    print(compile_engine() or "compiled")  # noqa: T201
