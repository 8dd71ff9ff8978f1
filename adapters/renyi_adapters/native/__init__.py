"""The compiled engine for processors, called by ctypes: rows of NumPy arrays and of torch tensors on the CPU.

Not for users. Where it is missing, or RENYI_NATIVE=0 says so, the adapters do without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["FORMATS", "config", "library", "off", "run", "threads"]

FORMATS = {"float32": 0, "float64": 1, "bfloat16": 2, "float16": 3}
"""How entries are stored, as the engine numbers it."""
SHARED = 1 << 15
"""Rows are shared among threads where each has at least so many entries."""
_SUFFIX = ".dll" if sys.platform == "win32" else ".so"
_WAYS = "base", "v3", "v4"


class _State(threading.local):
    off = 0


_state = _State()


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Do without the engine in this thread, within the block."""
    _state.off += 1
    try:
        yield
    finally:
        _state.off -= 1


@functools.cache
def _load() -> tuple[Any, str]:
    """Return the library, or None, and what runs or why not."""
    if os.environ.get("RENYI_NATIVE") == "0":
        return None, "off: RENYI_NATIVE=0"
    here = Path(__file__).parent

    def opened(way: str) -> Any:
        return ctypes.CDLL(str(here / f"engine-{way}{_SUFFIX}"))

    asked = os.environ.get("RENYI_NATIVE_ISA")
    try:
        base = opened("base")
        best = base.renyi_instructions()
        if asked is not None and (asked not in _WAYS or _WAYS.index(asked) > best):
            return None, f"off: this processor has no RENYI_NATIVE_ISA={asked}; it has {', '.join(_WAYS[: best + 1])}"
        way = asked or _WAYS[best]
        engine = base if way == "base" else opened(way)
    except OSError as error:
        return None, f"off: no compiled engine here ({error}); install from source where there is a C++ compiler"
    for name in ("renyi_entropies", "renyi_pairs", "renyi_choices"):
        getattr(engine, name).argtypes = [ctypes.c_char_p]
        getattr(engine, name).restype = ctypes.c_int64
    return engine, f"on: instruction set {way}"


def library() -> Any:
    """Return the compiled library, None where there is none or it is off."""
    return None if _state.off else _load()[0]


def config() -> str:
    """Return in words whether the engine runs, and why not."""
    return f"{_load()[1]}, {threads()} threads" if _load()[0] else _load()[1]


@functools.cache
def threads() -> int:
    """Return how many threads a call may take: RENYI_NUM_THREADS, OMP_NUM_THREADS, or one for each core."""
    for name in ("RENYI_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0]
        if value.isdigit() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pools: dict[int, ThreadPoolExecutor] = {}
"""Of each process: threads do not survive a fork."""


def run(function: Any, task: bytes, head: Any, rows: int, n: int, most: int) -> int:
    """Call the engine for all rows, shared among at most so many threads, and return the sum of its answers.

    ``head`` packs the first and the last row, which ``task`` follows. Threads that are workers of others take no more.
    """
    parts = min(most, rows, rows * n // SHARED)
    if parts < 2 or threading.current_thread() is not threading.main_thread():
        return _checked(function(head.pack(0, rows) + task))
    process = os.getpid()
    if process not in _pools:
        _pools.clear()
        _pools[process] = ThreadPoolExecutor(thread_name_prefix="renyi")
    cuts = [rows * i // parts for i in range(parts + 1)]
    tasks = [head.pack(first, last) + task for first, last in itertools.pairwise(cuts)]
    others = [_pools[process].submit(function, other) for other in tasks[1:]]
    return _checked(function(tasks[0])) + sum(_checked(other.result()) for other in others)


def _checked(answer: int) -> int:
    if answer < 0:
        raise MemoryError
    return answer
