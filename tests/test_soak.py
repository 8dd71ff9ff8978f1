"""Memory stays flat over thousands of calls, and a large divergence needs little beyond input and output.

``SOAK=100`` in the environment, as ``nox -s soak`` has it, makes a hundred times as many calls, of every function;
``--full`` makes ten thousand.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import every_call
import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy",)
TIMES = int(os.environ.get("SOAK", "1"))
CALLS = 1000
STATUS = Path("/proc/self/statm")
X, P, Q = (np.exp(np.random.default_rng(k).normal(size=(8, 4))) for k in range(3))
TERM = every_call.term("EntropyBonus", alpha=1.7, weight=0.1) + every_call.term("BalanceTerm")
JOBS = {
    "value": lambda: renyi.entropy_from_logits(X, 1.7),
    "gradient": lambda: renyi.value_and_grad(renyi.entropy_from_logits)(X, 2.0),
    "divergence": lambda: renyi.divergence(P, Q, 0.5),
    "term": lambda: TERM(X),
}


def resident():
    """Return the bytes of memory that the process holds."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(job, calls):
    """Return by how many bytes Python's memory has grown over as many calls, and the process's."""
    tracemalloc.start()
    # the interpreter keeps some hundred freed objects for the next ones
    for _ in range(200):
        job()
    gc.collect()
    held = resident() if STATUS.exists() else 0
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(calls):
        job()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before, (resident() if STATUS.exists() else 0) - held


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in {"gradient", "term"} else pytest.mark.full) for name in JOBS]
)
def test_memory_stays_flat(backend, name):
    calls = CALLS * TIMES * 10 if backend.full else CALLS // 3
    # an object a call would be a leak, each time; at times the interpreter keeps as much for the next objects
    for _ in range(3):
        traced, held = growth(JOBS[name], calls)
        if traced < 16_000:
            break
    assert traced < 16_000
    assert held < 1 << 20


def test_a_leak_would_be_seen(backend):
    kept = []
    traced, _ = growth(lambda: kept.append(object()), 500)
    assert traced > 5000


@pytest.mark.skipif(TIMES == 1, reason="minutes: nox -s soak")
def test_memory_of_every_function_stays_flat(backend):
    for label, job in every_call.calls(every_call.inputs("plain", shape=(4, 5)), (0.5, 1.0, 2.0)):
        if not label.startswith("check_probabilities"):
            traced, held = growth(job, 10 * TIMES)
            assert traced < 2000, label
            assert held < 4 << 20, label


@pytest.mark.parametrize(("shape", "beyond"), [((100, 4000), 0), ((20_000, 10), 0), ((1, 100_000), 25)], ids=str)
def test_memory_of_a_large_divergence(backend, shape, beyond):
    """Rows are taken whole, a few at a time: what is needed does not grow with their number, but with their length."""
    x, y = np.random.default_rng(0).standard_normal((2, *shape))
    for f, output in (
        (renyi.divergence_from_logits, 8 * shape[0]),
        (renyi.value_and_grad(renyi.divergence_from_logits), 8 * shape[0] + x.nbytes),
    ):
        tracemalloc.start()
        f(x, y, 0.5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - output <= (beyond * x.nbytes or 2e6)
