"""Compilation and launches: the only file of the adapter that asks CuPy for anything but arrays."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ._plan import THREADS, Variant

Array = Any

__all__ = ["FILES", "Runtime", "source"]

FILES = ("device.cuh", "state.cuh", "kernels.cu")
"""The parts of the source, in order; the first is what only a GPU has."""


@functools.cache
def source() -> str:
    """Return the CUDA C++ source of all kernels."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="ascii") for name in FILES)


@functools.cache
def _module(variant: Variant, device: int) -> Any:  # noqa: ARG001  a module is loaded on one device
    """Return the module of a variant for the current device; CuPy compiles it once and keeps it on disk."""
    import cupy

    return cupy.RawModule(code=source(), options=variant.options)


@functools.cache
def _function(variant: Variant, kernel: str, device: int) -> Any:
    return _module(variant, device).get_function(kernel)


@functools.cache
def _is_hip() -> bool:
    import cupy

    return bool(cupy.cuda.runtime.is_hip)


@functools.cache
def _multiprocessors(device: int) -> int:
    import cupy

    return int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])


class Runtime:
    """The device of an array, and launches on it in CuPy's current stream."""

    def works(self) -> bool:
        """Return whether the kernels run here: the source is CUDA's, and CuPy may be built for AMD's devices."""
        return not _is_hip()

    def on(self, array: Array) -> Any:
        """Return the context in which the array's device is the current one."""
        return array.device

    def address(self, array: Array) -> int:
        """Return the address of the first element."""
        return int(array.data.ptr)

    def resident(self, array: Array, variant: Variant) -> int:
        """Return how many blocks run at a time, by what the kernels' launch bounds promise."""
        return _multiprocessors(array.device.id) * (2 if variant.itemsize == 8 else 4)

    def run(self, array: Array, variant: Variant, kernel: str, grid: tuple[int, int], args: list[Any]) -> None:
        """Launch a kernel on the device of the array, which is the current one."""
        _function(variant, kernel, array.device.id)(grid, (THREADS,), tuple(args))
