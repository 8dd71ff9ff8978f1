"""Calls from many threads at once give what they give one after the other, bit for bit."""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import every_call
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core._kernels import library

BACKENDS = ("numpy", "torch")
THREADS = 8


def together(jobs):
    """Run the jobs, each in a thread of its own, beginning at once; return their results in order."""
    barrier = threading.Barrier(len(jobs))

    def run(job):
        barrier.wait(60)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(60) for future in [pool.submit(run, job) for job in jobs]]


@pytest.fixture
def switching():
    """Threads that take turns after microseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def blocked(backend):
    """Yield calls that run in blocks, of all shapes and forms that use the workspace differently."""
    rng = np.random.default_rng(0)
    entropy = renyi.entropy_from_logits
    for shape, dtype in (
        *(((3000, 7), "float32"), ((3000, 7), "float64"), ((60, 700), "float64"), ((2, 70_000), "float32")),
        *(((500, 40), "float16"), ((4, 8), "float64")),
    ):
        logits = 3 * rng.normal(size=shape)
        logits[:, ::5] = -np.inf
        for alpha in (0.5, 1.0, 1.1, 1.7, 2.0, 3.0):
            x = backend.asarray(logits, dtype)
            yield lambda x=x, alpha=alpha: entropy(x, alpha)
            yield lambda x=x, alpha=alpha: renyi.value_and_grad(entropy)(x, alpha)
    p, q = (backend.asarray(np.exp(rng.normal(size=(800, 30)))) for _ in range(2))
    for alpha in (0.5, 1.0, 2.0):
        yield lambda alpha=alpha: renyi.value_and_grad(renyi.divergence)(p, q, alpha)
        yield lambda alpha=alpha: renyi.entropy(p, alpha)
    state = backend.asarray(3 * rng.normal(size=(40, 9)))
    yield lambda: renyi.hvp(entropy)(state, 2.0, vector=state)


@pytest.mark.usefixtures("switching")
def test_many_threads_with_different_shapes_dtypes_and_orders(backend):
    jobs = list(blocked(backend))
    want = [job() for job in jobs]

    def work(first):
        order = [(first * 5 + 7 * i) % len(jobs) for i in range(len(jobs))]
        return [i for i in order if not every_call.same(jobs[i](), want[i])]

    assert together([lambda k=k: work(k) for k in range(THREADS)]) == [[]] * THREADS


@pytest.mark.usefixtures("switching")
def test_every_function_in_many_threads(backend):
    if backend.library != "numpy":
        pytest.skip("what is not in blocks has no state of its own")
    orders = (0.5, 2.0) if backend.full else (0.5,)
    jobs = [
        job for name, job in every_call.calls(every_call.inputs("plain", shape=(4, 5)), orders) if "check" not in name
    ]
    want = [job() for job in jobs]

    def work(first):
        return [i for i in range(first, len(jobs), 2) if not every_call.same(jobs[i](), want[i])]

    assert together([lambda k=k: work(k % 2) for k in range(4)]) == [[]] * 4


def test_agnostic_only_holds_for_its_thread_alone(backend):
    kernel, overlay = renyi.entropy, types.SimpleNamespace(__name__="threads_of_a_test")
    inside, checked = threading.Event(), threading.Event()

    def adapted():
        def spectrum():
            return None

        renyi.register_adapter("threads_of_a_test", types.SimpleNamespace(spectrum=kernel))
        return library.ask(spectrum, overlay) is kernel

    def holds():
        with renyi.agnostic_only():
            inside.set()
            checked.wait(60)
            return adapted()

    def other():
        inside.wait(60)
        found = adapted()
        checked.set()
        return found

    try:
        assert together([holds, other]) == [False, True]
        assert adapted()
    finally:
        renyi.register_adapter("threads_of_a_test", None)


@pytest.mark.usefixtures("switching")
def test_agnostic_only_entered_and_left_by_many_threads_is_left(backend):
    def work():
        for _ in range(2000):
            with renyi.agnostic_only(), renyi.agnostic_only():
                pass
        return library.here.depth

    assert together([work] * THREADS) == [0] * THREADS
    assert not library.blocks


def test_an_adapter_registered_during_the_first_use_stays(backend, monkeypatch):
    own = types.SimpleNamespace()

    def slow(name):
        # another thread, while this one imports
        renyi.register_adapter(name, own)
        return types.SimpleNamespace(spectrum="the one that comes with the library")

    monkeypatch.setattr(library, "_load", slow)

    def spectrum():
        return None

    namespace = types.SimpleNamespace(__name__="first_use_of_a_test")
    try:
        assert library.ask(spectrum, namespace) is spectrum
        assert library.adapters["first_use_of_a_test"] is own
    finally:
        library.adapters.pop("first_use_of_a_test", None)


FIRST_USE = """
import sys, threading
import numpy as np
import renyi_core as renyi
from renyi_core._kernels import library
sys.setswitchinterval(1e-6)
assert "renyi_adapters.numpy" not in sys.modules
x, barrier, results = np.arange(12.0).reshape(3, 4), threading.Barrier(8), []
def work():
    barrier.wait()
    results.append(renyi.value_and_grad(renyi.entropy_from_logits)(x, 1.7))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(results) == 8, len(results)
assert all(np.array_equal(a, b) for result in results for a, b in zip(result, results[0]))
assert library.adapters["numpy"] is sys.modules["renyi_adapters.numpy"]
"""


def test_first_use_by_many_threads(backend):
    if backend.library != "numpy":
        pytest.skip("the import of one adapter stands for all")
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True)
