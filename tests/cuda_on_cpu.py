"""The CuPy adapter on NumPy arrays: its own Python, and its CUDA source compiled as C++ with threads as fibers."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

import renyi_adapters.cupy as adapter
import renyi_core as renyi
from renyi_adapters.cupy import _entropy, _launch
from renyi_core._kernels.library import adapters

HERE = Path(__file__).parent
KERNELS = (
    "lanes_state",
    "vector_state",
    "scalar_state",
    "merge_states",
    "vector_gradient",
    "scalar_gradient",
    "short_rows",
)
TAIL = 'extern "C" int run(const char* name, unsigned x, unsigned y, void** args, int count) {\n' + "".join(
    f'    if (!strcmp(name, "{name}")) return launch({name}, x, y, args, count);\n' for name in KERNELS
)
GUARD, PATTERN = 256, 0xA5
SMS = 4
"""The multiprocessors of the device that is imitated: few, so that small arrays fill it."""

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")


@functools.cache
def folder():
    # kept for the process, since what is loaded from it is
    return tempfile.TemporaryDirectory(prefix="cuda_on_cpu", ignore_cleanup_errors=True)


@functools.cache
def library(variant):
    """Return the kernels of a variant as a shared library."""
    name = f"{variant.itemsize}_{variant.kind}_{int(variant.gap)}"
    source = Path(folder().name) / f"{name}.cpp"
    parts = [HERE / "cuda_on_cpu.h", *(Path(_launch.__file__).parent / part for part in _launch.FILES[1:])]
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    source.write_text(f"{text}\n{TAIL}    return 3;\n}}\n", encoding="utf-8")
    target = source.with_suffix(".so")
    command = ["g++", "-shared", "-fPIC", "-Og", "-w", "-ffp-contract=off", *variant.options, str(source)]
    command = [option.replace("--std", "-std") for option in command]
    subprocess.run([*command, "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


class Emulated(_launch.Runtime):
    """Launches on the CPU; it keeps what was launched and what was allocated."""

    def __init__(self):
        self.launched = []
        self.allocated = []

    def empty(self, shape, dtype=None, device=None):
        """Return an array of garbage between guards, as aligned as the device's."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        memory = np.full(size + 3 * GUARD, PATTERN, dtype=np.uint8)
        start = GUARD + -(memory.ctypes.data + GUARD) % GUARD
        self.allocated.append((memory, start, size))
        return memory[start : start + size].view(dtype).reshape(shape)

    def empty_like(self, x, dtype=None):
        """Return such an array with its axes in the order of x's in memory."""
        axes = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
        array = self.empty([x.shape[i] for i in axes], dtype or x.dtype)
        return np.transpose(array, np.argsort(axes))

    def check_guards(self):
        for memory, start, size in self.allocated:
            assert (memory[:start] == PATTERN).all(), "written before an array"
            assert (memory[start + size :] == PATTERN).all(), "written beyond an array"

    def works(self):
        return True

    def on(self, array):
        return contextlib.nullcontext()

    def address(self, array):
        return array.ctypes.data

    def resident(self, array, variant):
        return SMS * (2 if variant.itemsize == 8 else 4)

    def run(self, array, variant, kernel, grid, args):
        self.launched.append((variant, kernel, grid))
        kinds = {np.float32: ctypes.c_float, np.float64: ctypes.c_double, int: ctypes.c_longlong}
        values = [kinds[type(arg)](arg) for arg in args]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        status = library(variant).run(kernel.encode(), *grid, pointers, len(values))
        assert status == 0, f"{kernel} of {variant}: status {status}"


@contextlib.contextmanager
def emulated():
    """Make NumPy arrays take the CuPy adapter's way; yield the runtime."""
    before, runtime = adapters.copy(), Emulated()
    kept, _entropy.runtime = _entropy.runtime, runtime
    renyi.register_adapter("numpy", adapter)
    try:
        with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(np, "empty", runtime.empty)
            patch.setattr(np, "empty_like", runtime.empty_like)
            yield runtime
        runtime.check_guards()
    finally:
        _entropy.runtime = kept
        adapters.clear()
        adapters.update(before)
