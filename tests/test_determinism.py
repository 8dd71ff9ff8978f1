"""What is the same bit for bit: a call made again, in a new process, with more threads; and a row of any batch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import every_call
import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "torch")
SHAPES = ((3000, 7), (60, 700), (2, 20_000))
ORDERS = (0.0, 0.5, 1.0, 1.1, 1.7, 2.0, float("inf"))


def rows(shape, dtype="float64", seed=0):
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def digest():
    """Return a number for the results of all functions of plain rows, of every length that blocks tell apart."""
    found = hashlib.sha256()
    for shape in SHAPES:
        x, y = rows(shape), rows(shape, seed=1)
        for alpha in (0.5, 1.0, 1.7, 2.0):
            results = [renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)]
            results += [renyi.value_and_grad(renyi.divergence_from_logits)(x, y, alpha)]
            results += [renyi.regularized_argmax(x[:50], alpha)] if shape[1] < 1000 else []
            for leaf in every_call.leaves(tuple(results)):
                found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def test_a_call_made_again(backend):
    for shape in SHAPES:
        x = backend.asarray(rows(shape))
        for alpha in ORDERS:
            f = renyi.value_and_grad(renyi.entropy_from_logits)
            assert every_call.same(f(x, alpha), f(x, alpha))


def test_new_processes_and_numbers_of_threads(backend):
    if backend.name != "numpy":
        pytest.skip("NumPy's blocks stand for all")
    here, want = Path(__file__).parent, digest()
    command = [sys.executable, "-c", "import test_determinism; print(test_determinism.digest())"]
    for count in ("2", "1") if backend.full else ("2",):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
        environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join([str(here), *filter(None, sys.path)])}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == want


def test_numbers_of_torch_threads(backend):
    if backend.library != "torch":
        pytest.skip("of torch alone")
    import torch

    x, before = torch.asarray(rows((400, 700))), torch.get_num_threads()
    f = renyi.value_and_grad(renyi.entropy_from_logits)
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append([f(x, alpha) for alpha in ORDERS])
    finally:
        torch.set_num_threads(before)
    assert all(every_call.same(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_of_a_batch(backend, shape, dtype):
    """Bit for bit that of the row alone; where blocks share a shift, to the last digits.

    That is NumPy's engine of two sums, with torch's on it: orders at least 1/4 from 1, and 1 itself.
    """
    x = rows(shape, dtype)
    eps, f = np.finfo(dtype).eps, renyi.value_and_grad(renyi.entropy_from_logits)
    for alpha in ORDERS:
        value, gradient = map(backend.numpy, f(backend.asarray(x), alpha))
        bound = 0 if backend.variant == "agnostic" or alpha in {0, 1.1} else 16
        for i in {0, len(x) // 2, len(x) - 1}:
            for some in (slice(i, i + 1), slice(i, i + 2), slice(max(0, i - 5), i + 1)):
                at = 0 if some.start == i else i - some.start
                alone, its = map(backend.numpy, f(backend.asarray(x[some]), alpha))
                assert abs(alone[at] - value[i]) <= bound * eps * abs(value[i])
                assert np.linalg.norm(its[at] - gradient[i]) <= bound * eps * np.linalg.norm(gradient[i])


def test_a_pair_of_a_batch(backend):
    p, q = np.exp(rows((800, 30))), np.exp(rows((800, 30), seed=1))
    f = renyi.value_and_grad(renyi.divergence)
    for alpha in (0.5, 1.0, 2.0):
        value, gradient = map(backend.numpy, f(backend.asarray(p), backend.asarray(q), alpha))
        for i in (0, 400, 799):
            alone, its = map(backend.numpy, f(backend.asarray(p[i : i + 1]), backend.asarray(q[i : i + 1]), alpha))
            assert alone[0] == value[i]
            assert np.array_equal(its[0], gradient[i])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_rows_beside_the_uniform_distribution_agree_with_themselves_alone(backend, alpha):
    """Rows of a block may share a series."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 50)) * 10.0 ** rng.uniform(-3, 0.7, size=(40, 1))
    eps = float(np.finfo("float64").eps)
    for wrt in (0, 1):

        def both(x, wrt=wrt):
            pair = (x, backend.asarray(np.zeros(50)))
            call = renyi.value_and_grad(renyi.divergence_from_logits, wrt)
            return list(map(backend.numpy, call(*(pair if wrt == 0 else pair[::-1]), alpha)))

        value, gradient = both(backend.asarray(rows))
        for k, row in enumerate(rows):
            alone, along = both(backend.asarray(row))
            assert abs(value[k] - alone) <= 16 * eps * alone
            assert np.linalg.norm(gradient[k] - along) <= 16 * eps * np.linalg.norm(along)
