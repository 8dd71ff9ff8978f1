"""The compiled engine: the same bits for a row wherever it stands, on every instruction set, with and without it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import renyi_core as renyi
from renyi_adapters import native

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 0.9, 1.0, 1 + 1e-9, 1.7, 2.0, math.inf)
DOORS = {"logits": renyi.entropy_from_logits, "probs": renyi.entropy}
compiled = pytest.mark.skipif(native.library() is None, reason="no compiled engine here")


def rows(source, shape, dtype, seed=0):
    x = np.random.default_rng(seed).normal(size=shape) * 3
    return (x if source == "logits" else np.exp(x)).astype(dtype)


def all_of(x, alpha, source, **options):
    """Return the value, the gradient and the derivative in α of each row."""
    return np.stack(
        [
            np.concatenate([np.ravel(part) for part in (value, entries, slope)])
            for value, entries, slope in _by_row(x, alpha, source, options)
        ]
    )


def _by_row(x, alpha, source, options):
    value, (entries, slope) = renyi.value_and_grad(DOORS[source], wrt=(0, "alpha"))(x, alpha, **options)
    return zip(value, entries, slope, strict=True)


@compiled
@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 65, 1000, 1030, 9001])
def test_a_row_has_the_bits_that_it_has_alone(n, dtype, source):
    x = rows(source, (131 if n < 100 else 5, n), dtype)
    for alpha in ORDERS:
        alone = np.concatenate([all_of(x[i : i + 1].copy(), alpha, source) for i in range(0, len(x), 4)])
        wide = np.zeros((len(x), n + 3), dtype)
        wide[:, 1 : n + 1] = x
        mask = np.ones(x.shape, bool)
        for found in (
            all_of(x, alpha, source),
            all_of(x[::-1].copy(), alpha, source)[::-1],
            all_of(wide[:, 1 : n + 1], alpha, source),
            all_of(np.asfortranarray(x), alpha, source),
            all_of(x, alpha, source, where=mask),
        ):
            np.testing.assert_array_equal(found[::4], alone)


@compiled
@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("n", [3, 200])
def test_orders_of_other_rows_do_not_change_bits(n, source):
    x, orders = rows(source, (48, n), "float32"), np.asarray(ORDERS * 6)
    alone = [all_of(x[i : i + 1], orders[i : i + 1], source)[0] for i in range(len(x))]
    np.testing.assert_array_equal(all_of(x, orders, source), alone)


@compiled
@pytest.mark.parametrize("n", [4, 3000])
def test_threads_do_not_change_bits(n, monkeypatch):
    x = rows("logits", (600_000 // n, n), "float32")
    both = renyi.value_and_grad(renyi.entropy_from_logits, wrt=(0, "alpha"))
    value, alone = both(x, 1.7)
    for count in (2, 3, 5):
        monkeypatch.setattr(native, "threads", lambda count=count: count)
        found, parts = both(x, 1.7)
        for got, want in zip((found, *parts), (value, *alone), strict=True):
            np.testing.assert_array_equal(got, want)


@compiled
def test_workers_of_others_take_no_threads(monkeypatch):
    """What runs in a thread of Dask's, or of a pool, has that one only."""
    monkeypatch.setattr(native, "threads", lambda: 4)
    monkeypatch.setattr(native, "_pools", {})
    x = rows("logits", (100, 10_000), "float32")
    worker = threading.Thread(target=lambda: renyi.entropy_from_logits(x, 2.0))
    worker.start()
    worker.join()
    assert not native._pools
    renyi.entropy_from_logits(x, 2.0)
    assert list(native._pools) == [os.getpid()]


FORKED = """
import os
import numpy as np
import renyi_core as renyi
from renyi_adapters import native
native.threads = lambda: 2
x = np.ones((100, 10_000), np.float32)
want = renyi.entropy_from_logits(x, 2.0)
child = os.fork()
if child == 0:
    os._exit(0 if (renyi.entropy_from_logits(x, 2.0) == want).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_fork_does_not_hang():
    assert _printed(FORKED) == "0"


CONFIG = "import renyi_core; print(renyi_core.show_config().splitlines()[2])"
VALUES = """
import numpy as np
import renyi_core as renyi
x = np.random.default_rng(0).normal(size=(70, 9)) * 3
print(repr(float(sum((renyi.grad(renyi.entropy_from_logits)(x, alpha) ** 2).sum() for alpha in (0.5, 0.9, 1, 2)))))
"""


def _printed(code, **environment):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout.strip()


def test_the_environment_turns_it_off():
    assert _printed(CONFIG, RENYI_NATIVE="0") == "compiled engine: off: RENYI_NATIVE=0"


def test_it_says_what_the_processor_lacks():
    assert (
        "RENYI_NATIVE_ISA=v9" in _printed(CONFIG, RENYI_NATIVE="1", RENYI_NATIVE_ISA="v9") or native.library() is None
    )


@compiled
def test_instruction_sets_agree_and_so_does_the_pure_code():
    with native.off():
        x = rows("logits", (70, 9), "float64")
        gradients = [renyi.grad(renyi.entropy_from_logits)(x, alpha) for alpha in (0.5, 0.9, 1, 2)]
    pure = float(sum((gradient**2).sum() for gradient in gradients))
    best = native._WAYS.index(native.config().split("set ")[1].split(",")[0])
    for way in native._WAYS[: best + 1]:
        config, value = _printed(f"{CONFIG}\n{VALUES}", RENYI_NATIVE_ISA=way).splitlines()
        assert way in config
        assert "threads" in config
        assert abs(float(value) - pure) <= 1e-14 * pure


def test_within_the_block_it_is_off():
    x = rows("logits", (50, 7), "float64")
    with native.off():
        assert native.library() is None
        pure = renyi.entropy_from_logits(x, 2.0)
    np.testing.assert_allclose(renyi.entropy_from_logits(x, 2.0), pure, rtol=1e-14)


@pytest.mark.parametrize("axis", [-1.0, np.asarray([-1])], ids=["float", "array"])
def test_plain_calls_are_checked_like_others(axis):
    p = np.ones((2, 3))
    for call in (lambda: renyi.entropy(p, 2.0, axis=axis), lambda: renyi.divergence(p, p, 2.0, axis=axis)):
        with pytest.raises(TypeError, match="axis"):
            call()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_layouts_that_are_not_rows(dtype):
    """Along other axes, of views with gaps, backwards, of an unaligned or a foreign byte order."""
    x = rows("logits", (6, 8, 10), dtype)
    packed = np.zeros(x.size * x.itemsize + 1, np.uint8)[1:].view(dtype).reshape(x.shape)
    packed[...] = x
    for alpha in (0.9, 1.0, 2.0):
        for axis in (-1, 0, 1, (0, 2), None):
            want = renyi.entropy_from_logits(np.ascontiguousarray(x), alpha, axis=axis)
            for view in (x[::-1][::-1], np.asfortranarray(x)):
                np.testing.assert_array_equal(renyi.entropy_from_logits(view, alpha, axis=axis), want)
            for view in (packed, x.astype(x.dtype.newbyteorder())):
                found = renyi.entropy_from_logits(view, alpha, axis=axis)
                np.testing.assert_allclose(found, want, rtol=8 * np.finfo(dtype).eps)


@compiled
@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("n", [65, 1000])
@pytest.mark.parametrize("source", sorted(DOORS))
def test_plain_and_exact_forms_agree_with_double(source, n, scale):
    """Rows of all kinds, from nearly uniform to nearly certain: which form serves depends on the row."""
    x = np.random.default_rng(3).normal(size=(24, n)) * scale
    if source == "probs":
        x = np.exp(x - x.max(-1, keepdims=True))
        x[:16] /= x[:16].sum(-1, keepdims=True)
    x = x.astype(np.float32)
    x[::5, 1::3] = 0 if source == "probs" else -np.inf
    eps = np.finfo(np.float32).eps
    for alpha in (0.02, 0.3, 0.5, 0.74, 0.9, 1 - 1e-6, 1.0, 1.1, 1.26, 1.7, 2.0, 5.0, 20.0, math.inf):
        value, gradient = renyi.value_and_grad(DOORS[source])(x, alpha)
        only = DOORS[source](x, alpha)
        with native.off():
            true, slope = renyi.value_and_grad(DOORS[source])(x.astype(np.float64), alpha)
        assert np.all(abs(value - true) <= 16 * eps * abs(true))
        assert np.all(abs(only - true) <= 16 * eps * abs(true))
        sound = np.isfinite(slope).all(-1) & (abs(slope) < 1e30).all(-1)  # beyond, a probability is no normal number
        norms = [np.linalg.norm(part[sound].astype(np.float64), axis=-1) for part in (gradient - slope, slope)]
        assert np.all(norms[0] <= 16 * eps * norms[1])
        lost = x.copy()
        lost[3, 40] = np.nan
        assert np.isnan(DOORS[source](lost, alpha)[3])
        assert np.isnan(renyi.grad(DOORS[source])(lost, alpha)[3, 40])
        assert sound.any() or (scale > 8 and alpha < 1)


@pytest.mark.parametrize("alpha", [20.0, 1e3, 1e6, 1e30])
@pytest.mark.parametrize("lead", [1.01, 1.1, 1.3, 3.0])
def test_large_orders_of_nearly_uniform_probabilities(lead, alpha):
    """The power of the one that leads is beyond the numbers of float32."""
    p = np.full(1000, 1e-3, np.float32)
    p[0] *= lead
    exact = p.astype(float) / p.sum(dtype=float)
    others = 999 * math.exp(alpha * math.log(exact[1] / exact[0]))
    expected = (math.log1p(others) + alpha * math.log(exact[0])) / (1 - alpha)
    assert abs(float(renyi.entropy(p, alpha)) - expected) <= 8 * np.spacing(np.float32(expected))


@compiled
@pytest.mark.parametrize("n", [6, 300])
@pytest.mark.parametrize("source", sorted(DOORS))
def test_a_spectrum_is_its_orders(source, n):
    """Several orders in one pass: each is right, and has the bits that its row and its orders have alone."""
    whole = {"logits": renyi.entropy_spectrum_from_logits, "probs": renyi.entropy_spectrum}[source]
    x = rows(source, (70, n), np.float32) / (n if source == "probs" else 1)
    x[3, :2] = 0 if source == "probs" else -np.inf
    orders = [*ORDERS, 0.1, 3.0, 40.0]
    found = whole(x, orders)
    assert found.shape == (70, len(orders))
    for k, alpha in enumerate(orders):
        np.testing.assert_allclose(found[:, k], DOORS[source](x, alpha), rtol=16 * np.finfo(np.float32).eps)
    np.testing.assert_array_equal(np.concatenate([whole(x[i : i + 1], orders) for i in range(70)]), found)
    np.testing.assert_array_equal(whole(x, orders[::-1]), found[:, ::-1])
    if source == "probs":
        eps = np.finfo(np.float32).eps
        for factor in (1e-30, 1e10, 1e30):
            np.testing.assert_allclose(whole(x * np.float32(factor), orders), found, rtol=32 * eps)
    x[0, 0] = np.nan
    assert np.isnan(whole(x, orders)[0]).all()
    assert not np.isnan(whole(x, orders)[1:]).any()
