"""The CUDA kernels without a GPU: their arithmetic, indices and shuffles on the CPU, within the bounds of every engine.

What runs is the adapter itself, on NumPy arrays, with its CUDA source compiled as C++ (cuda_on_cpu.h). Exponentials
are made as wrong there as the GPU's may be.
"""

from __future__ import annotations

import functools
import math

import cuda_on_cpu
import numpy as np
import oracle
import pytest
from cuda_on_cpu import emulated, needs_compiler

import renyi_core as renyi
from renyi_adapters.cupy import _plan

BACKENDS = ("numpy",)
pytestmark = [pytest.mark.usefixtures("backend"), needs_compiler]
BOUND = 16
LARGE = 10_000
ENTROPY = renyi.entropy_from_logits
KINDS = (0.5, 0.3, 0.9, 1.0, 1.1, 1.7, 2.0, 3.0, 4.0, math.inf)
"""An order of every class, with and without s for its value alone; each is compiled for each dtype."""
EACH = [pytest.param(a, marks=() if a in {1, 1.7} else pytest.mark.full) for a in KINDS]


@pytest.fixture(params=["lanes", "blocks"])
def path(request, monkeypatch):
    """Whether short rows go to lanes of a warp, as they do, or to whole blocks, as long rows do."""
    if request.param == "blocks":
        monkeypatch.setattr(_plan, "SHORT", 0)
        _plan.state_launch.cache_clear()
    yield request.param
    _plan.state_launch.cache_clear()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients_against_exact_arithmetic(backend, path, dtype):
    eps = float(np.finfo(dtype).eps)
    cases = []
    # of every class in float32
    orders = oracle.ORDERS[1 if path == "lanes" else 2 :: 6 if backend.few else 1]
    for name, doors in oracle.rows(dtype).items():
        x = doors["logits"]
        for alpha in orders[:: 8 if x.size > LARGE else 1]:
            exact = oracle.exact(x, alpha, "logits")
            with emulated():
                alone = ENTROPY(x, alpha)
                value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha)
            cases.append((oracle.error(alone, exact.entropy, eps), "value", name, alpha))
            cases.append((oracle.error(value, exact.entropy, eps), "value beside gradient", name, alpha))
            cases.append((oracle.error(gradient, exact.gradient, eps), "gradient", name, alpha))
    assert max(cases)[0] <= BOUND, max(cases)


def test_nearly_deterministic_rows_keep_their_last_digits():
    # the product of the second with log2(e) is rounded by nearly half a unit, 31 eps of its exponential
    x = np.asarray([0.0, -83.96484375, -86.0], dtype="float32")
    for alpha in (0.9, 1.0, 1.0 + 1e-12, 1.7, 2.0, math.inf):
        exact = oracle.exact(x, alpha, "logits")
        with emulated():
            value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha)
        assert 0 < value < 1e-31
        assert oracle.error(value, exact.entropy, 2.0**-23) <= BOUND
        assert oracle.error(gradient, exact.gradient, 2.0**-23) <= BOUND


@pytest.mark.parametrize("alpha", EACH)
def test_half_precision_is_rounded_once(alpha):
    x = (np.random.default_rng(5).normal(size=700) * 2).astype("float16")
    exact = oracle.exact(x.astype("float32"), alpha, "logits")
    with emulated():
        value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha)
    assert value.dtype == gradient.dtype == np.float16
    assert oracle.error(value, exact.entropy, 2.0**-10) <= 0.51
    # entries under float16's smallest normal number have less digits
    np.testing.assert_allclose(gradient.astype("float64"), exact.gradient.high, rtol=2.0**-10, atol=2.0**-25)


def test_long_sums_do_not_drift(backend, monkeypatch):
    """Millions of equal terms, unsplit: each addition to a plain sum rounds to the same side, 26 eps in the end."""
    monkeypatch.setattr(cuda_on_cpu, "SMS", 0.25)
    _plan.state_launch.cache_clear()
    x = np.full(3_000_000, -22.24, dtype="float32")
    # each thread has one entry above, or its terms would be ties, and counted
    x[:1024:4] = -20.0
    x[0] = 0.0
    for alpha in (1.1, 0.9, 1.0)[: 1 if backend.few else 3]:
        exact = oracle.exact(x, alpha, "logits")
        with emulated() as runtime:
            assert oracle.error(ENTROPY(x, alpha), exact.entropy, 2.0**-23) <= BOUND
        assert len(runtime.launched) == 1
    _plan.state_launch.cache_clear()


def test_more_splits_than_a_warp_has_lanes(backend, monkeypatch):
    monkeypatch.setattr(cuda_on_cpu, "SMS", 16)
    _plan.state_launch.cache_clear()
    x = np.round(np.random.default_rng(9).normal(size=130_000), 2).astype("float32")
    for alpha in KINDS[:: 5 if backend.few else 1]:
        assert agrees(ENTROPY, x, alpha) == [
            "vector_state",
            "merge_states",
            "vector_gradient",
            "vector_state",
            "merge_states",
        ]
    assert _plan.state_launch(_plan.layout_of(x.shape, (-1,), (x.strides,), (4,)), 64, masked=False).splits > 33
    _plan.state_launch.cache_clear()


@functools.cache
def batch():
    x = np.random.default_rng(3).normal(size=(6, 5, 700)) * 3
    x[1, 2, ::3] = -np.inf
    x[2, 1, :] = 0.25
    x[3, 0, 17:400] = 9.0
    x[4, 4, :] += 1e4
    return np.round(x, 2)


def close(got, want, dtype):
    # float16 is rounded once
    n, eps = 1 if dtype == np.float16 else 64, np.finfo(dtype).eps
    assert got.dtype == dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got.astype("float64"), want, rtol=n * eps, atol=n * eps * np.nanmax(np.abs(want)))


def agrees(f, x, alpha, **options):
    """Compare value and gradient of the kernels with those of the library's own code; return what was launched."""
    wide = x.astype("float64")
    cotangent = options.get("cotangent")
    value, gradient = renyi.value_and_grad(f)(wide, alpha, **options)
    if isinstance(cotangent, np.ndarray):
        options["cotangent"] = cotangent.astype("float32" if x.dtype == np.float16 else x.dtype)
    with emulated() as runtime:
        got, got_gradient = renyi.value_and_grad(f)(x, alpha, **options)
        options.pop("cotangent", None)
        alone = f(x, alpha, **options)
    close(got, value, x.dtype)
    close(alone, value, x.dtype)
    close(got_gradient, gradient, x.dtype)
    return [kernel for _, kernel, _ in runtime.launched]


VIEWS = {
    "contiguous": lambda x: (x, -1),
    "sliced": lambda x: (np.concatenate([x, x], -1)[..., 3:703], -1),
    "unaligned rows": lambda x: (np.concatenate([x, x], -1)[..., 1:702][..., :-2], -1),
    "every other entry": lambda x: (np.repeat(x, 2, -1)[..., ::2], -1),
    "backwards": lambda x: (x[..., ::-1], -1),
    "every other row": lambda x: (x[::2, ::-1], -1),
    "first axis": lambda x: (np.moveaxis(x, -1, 0).copy(), 0),
    "first axis of many rows": lambda x: (x.reshape(300, 70), 0),
    "first axis of many rows, apart": lambda x: (np.repeat(x.reshape(300, 70), 2, -1)[..., ::2], 0),
    "middle axis": lambda x: (np.moveaxis(x, -1, 1).copy(), 1),
    "middle axis of a view": lambda x: (np.moveaxis(x, -1, 1), 1),
    "two axes": lambda x: (x, (1, 2)),
    "two axes apart": lambda x: (x, (0, 2)),
    "all axes": lambda x: (x, None),
    "Fortran order": lambda x: (np.asfortranarray(x), -1),
    "four axes, three strides": lambda x: (x.reshape(6, 5, 7, 100)[::2, ::2, ::2], -1),
    "broadcast entries": lambda x: (np.broadcast_to(x[..., :1], (6, 5, 2100)), -1),
    "broadcast rows": lambda x: (np.broadcast_to(x[:, :1], (6, 5, 700)), -1),
    "one entry": lambda x: (x[..., :1], -1),
    "one row": lambda x: (x[0, 0], -1),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_strides(path, view, dtype):
    x, axis = VIEWS[view](batch().astype(dtype))
    agrees(ENTROPY, x, 1.0, axis=axis)
    if dtype == "float32":
        agrees(ENTROPY, x, 2.0, axis=axis, keepdims=True)


@pytest.mark.parametrize("alpha", EACH)
def test_masks(path, alpha):
    x = batch().astype("float32")
    rng = np.random.default_rng(1)
    for shape in ((6, 5, 700), (700,), (5, 1), (6, 1, 700)):
        # of (5, 1), whole rows are left out: NaN
        where = rng.random(shape) < 0.7
        agrees(ENTROPY, np.where(where, x, np.nan).astype("float32"), alpha, where=where)
    agrees(ENTROPY, np.moveaxis(x, -1, 0).copy(), alpha, axis=0, where=np.moveaxis(where, -1, 0).copy())


def test_what_is_masked_has_a_gradient_of_zero():
    x = batch()[1].astype("float32")
    for alpha in KINDS:
        with emulated():
            gradient = renyi.grad(ENTROPY)(x, alpha)
        assert (gradient[np.isneginf(x)] == 0).all()
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("alpha", EACH)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bad_rows_are_nan_and_they_alone(path, alpha, dtype):
    x = np.random.default_rng(2).normal(size=(7, 600)).astype(dtype)
    good = x.copy()
    x[1, 5] = np.nan
    x[2, 0] = np.nan
    x[3, 599] = np.inf
    x[4] = -np.inf
    x[5, ::2] = -np.inf
    good[5, ::2] = -np.inf
    with emulated():
        value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha)
        want, want_gradient = renyi.value_and_grad(ENTROPY)(good, alpha)
    bad = [1, 2, 3, 4]
    assert np.isnan(value[bad]).all()
    assert np.isnan(gradient[bad]).all()
    rest = [0, 5, 6]
    np.testing.assert_array_equal(value[rest], want[rest])
    np.testing.assert_array_equal(gradient[rest], want_gradient[rest])
    # nor have those rows a gradient if they do not count, or at what is masked
    cotangent = np.isin(np.arange(7), rest).astype("float64" if dtype == "float64" else "float32")
    mask = np.arange(600) % 7 > 0
    for f in (ENTROPY, renyi.hill_number_from_logits):
        with emulated():
            gradient = renyi.grad(f)(x, alpha, cotangent=cotangent)
            masked = renyi.grad(f)(x, alpha, where=mask & np.isin(np.arange(7), rest)[:, None])
        assert np.isfinite(gradient).all()
        assert not gradient[bad].any()
        assert not masked[bad].any()


@pytest.mark.parametrize("f", [renyi.hill_number_from_logits, renyi.tsallis_entropy_from_logits])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.1, 1.7, 2.0, math.inf])
def test_other_measures(f, alpha):
    agrees(f, batch()[0].astype("float32"), alpha, cotangent=np.arange(1.0, 6.0))


@pytest.mark.parametrize("alpha", [1.0, 1.7, math.inf])
def test_cotangents_and_bases(path, alpha):
    x = batch()[:3].astype("float32")
    rng = np.random.default_rng(4)
    for cotangent in (-0.25, rng.normal(size=(3, 5)), rng.normal(size=5), np.asarray(2.0)):
        agrees(ENTROPY, x, alpha, cotangent=cotangent, base=2)


def test_more_rows_than_a_grid_has_in_y():
    x = np.random.default_rng(6).normal(size=(70_000, 3)).astype("float32")
    assert agrees(ENTROPY, x, 2.0) == ["short_rows", "short_rows"]


@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(d, marks=pytest.mark.full) for d in ("float16", "float64"))]
)
def test_very_short_rows(backend, dtype):
    """A thread for each row, and value and gradient at once."""
    rng = np.random.default_rng(8)
    most = _plan.SHORT_BYTES // np.dtype(dtype).itemsize
    for n in (2, 3, 10, most - 1, most)[:: 2 if backend.few else 1]:
        x = np.round(rng.normal(size=(5000 + n, n)) * 3, 2).astype(dtype)
        x[3], x[4, 1], x[5, 0], x[6, -1] = -np.inf, np.nan, np.inf, -np.inf
        for alpha in (1.0, 0.3) if n != 10 else KINDS[:: 3 if backend.few else 1]:
            with_row = rng.normal(size=len(x))
            assert agrees(ENTROPY, x, alpha, cotangent=with_row) == ["short_rows"] * 2
    # one entry more than a thread takes, and rows that are not one after another
    assert "short_rows" not in agrees(ENTROPY, np.zeros((5000, most + 1), dtype), 1.0)
    assert "short_rows" not in agrees(ENTROPY, x[:, 1:], 1.0)
    assert "short_rows" not in agrees(ENTROPY, x.reshape(-1)[1 : 1 + 5000 * most].reshape(5000, most), 1.0)
    assert agrees(renyi.hill_number_from_logits, x[10:], 1.7) == ["short_rows", "scalar_gradient", "short_rows"]


def test_launches():
    x = np.random.default_rng(7).normal(size=(2, 9000)).astype("float32")
    split = ["vector_state", "merge_states"]
    assert agrees(ENTROPY, x, 1.7) == [*split, "vector_gradient", *split]
    many = np.random.default_rng(7).normal(size=(64, 2100)).astype("float32")
    assert agrees(ENTROPY, many, 1.7) == ["vector_state", "vector_gradient", "vector_state"]


def test_memory():
    """No array of the input's size but the gradient: four numbers for each row, five for each row and split."""
    x = np.random.default_rng(7).normal(size=(3, 40_000)).astype("float32")
    with emulated() as runtime:
        renyi.value_and_grad(ENTROPY)(x, 1.7)
    *rest, largest = sorted(size for _, _, size in runtime.allocated)
    splits = max(grid[0] for _, kernel, grid in runtime.launched if kernel == "vector_state") // 3
    assert largest == x.nbytes
    assert splits > 1
    assert sum(rest) == 4 * 3 * (1 + 4 + 5 * splits)


def test_devices_that_are_not_cuda_s(monkeypatch):
    monkeypatch.setattr(cuda_on_cpu.Emulated, "works", lambda _: False)
    with emulated() as runtime:
        value = ENTROPY(batch(), 2.0)
    assert runtime.launched == []
    np.testing.assert_allclose(value, ENTROPY(batch(), 2.0), rtol=1e-12)


def test_what_the_kernels_do_not_take_runs_the_library_s_own_code():
    x = batch()[0]
    calls = [
        lambda f: f(renyi.entropy)(np.exp(x), 2.0),
        lambda f: f(ENTROPY)(x, np.linspace(0.5, 2, 5)),
        lambda f: f(ENTROPY)(x, 0),
        lambda f: f(ENTROPY)(x, 1e-40),
        lambda f: f(ENTROPY)(x.astype(">f4"), 2.0),
        lambda f: f(ENTROPY)(np.zeros((0, 4)), 2.0),
    ]
    for call in calls:
        with emulated() as runtime:
            value, gradient = call(renyi.value_and_grad)
            alone = call(lambda f: f)
        assert runtime.launched == []
        want, want_gradient = call(renyi.value_and_grad)
        np.testing.assert_allclose(value, want, rtol=1e-5)
        np.testing.assert_allclose(alone, want, rtol=1e-5)
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-5, atol=1e-7)
