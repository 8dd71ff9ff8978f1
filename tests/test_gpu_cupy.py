"""CuPy's kernels on a device; ``nox -s gpu``, on a machine that has one.

Values and gradients within the bounds of every engine, and what a CPU cannot show: streams, memory, other devices.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import oracle
import pytest

import renyi_core as renyi

pytestmark = pytest.mark.gpu
ENTROPY = renyi.entropy_from_logits
KINDS = (0.5, 0.3, 0.9, 1.0, 1.1, 1.7, 2.0, 3.0, 4.0, math.inf)
BOUND = 16
LARGE = 10_000


@pytest.fixture(scope="module")
def cp():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = pytest.importorskip("cupy", exc_type=ImportError)
        if not cupy.is_available():
            pytest.skip("no CUDA device")
    return cupy


@pytest.fixture
def launched(monkeypatch):
    """The kernels that were launched, by name."""
    from renyi_adapters.cupy import _entropy

    names = []
    run = _entropy.runtime.run

    def record(array, variant, kernel, grid, args):
        names.append(kernel)
        run(array, variant, kernel, grid, args)

    monkeypatch.setattr(_entropy.runtime, "run", record)
    return names


def logits(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape) * 3
    x[..., ::11] = -np.inf
    return np.round(x, 2)


def agrees(cp, x, alpha, **options):
    """Compare with NumPy in float64; x may be a view, on the device."""
    wide = cp.asnumpy(x).astype("float64")
    given = {k: v if k != "where" else cp.asarray(v) for k, v in options.items()}
    value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha, **given)
    alone = ENTROPY(x, alpha, **given)
    want, want_gradient = renyi.value_and_grad(ENTROPY)(wide, alpha, **options)
    # float16 is rounded once
    n, eps = 1 if x.dtype == np.float16 else 64, np.finfo(x.dtype).eps
    for got, exact in ((value, want), (alone, want), (gradient, want_gradient)):
        assert got.dtype == x.dtype
        assert got.device == x.device
        size = np.nanmax(np.abs(exact))
        np.testing.assert_allclose(cp.asnumpy(got).astype("float64"), exact, rtol=n * eps, atol=n * eps * size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grid(cp, launched, dtype):
    eps = float(np.finfo(dtype).eps)
    cases = []
    for name, doors in oracle.rows(dtype).items():
        row = doors["logits"]
        x = cp.asarray(row)
        for alpha in oracle.ORDERS[1 :: 8 if row.size > LARGE else 1]:
            exact = oracle.exact(row, alpha, "logits")
            value, gradient = renyi.value_and_grad(ENTROPY)(x, alpha)
            alone = ENTROPY(x, alpha)
            for what, got, want in (
                ("value", alone, exact.entropy),
                ("value beside gradient", value, exact.entropy),
                ("gradient", gradient, exact.gradient),
            ):
                cases.append((oracle.error(cp.asnumpy(got), want, eps), what, name, alpha))
    assert {"lanes_state", "vector_state", "merge_states", "vector_gradient", "scalar_gradient"} <= set(launched)
    assert max(cases)[0] <= BOUND, max(cases)


@pytest.mark.parametrize("alpha", KINDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_shapes(cp, dtype, alpha):
    for shape in ((3, 5), (1000, 10), (40, 100), (7, 3001), (3, 50_257), (300, 32_000), (1, 1_000_000), (2, 3, 700)):
        agrees(cp, cp.asarray(logits(*shape).astype(dtype)), alpha)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_strides(cp, launched, dtype):
    x = cp.asarray(logits(6, 5, 3000).astype(dtype))
    doubled = cp.concatenate([x, x], -1)
    views = [
        (doubled[..., 3:3003], -1),
        (doubled[..., ::2], -1),
        (x[..., ::-1], -1),
        (x[::2, ::-1], -1),
        (cp.moveaxis(x, -1, 0).copy(), 0),
        (cp.moveaxis(x, -1, 1).copy(), 1),
        (cp.moveaxis(x, -1, 1), 1),
        (x, (1, 2)),
        (x, (0, 2)),
        (x, None),
        (cp.asfortranarray(x), -1),
        (x.reshape(6, 5, 30, 100)[::2, ::2, ::2], -1),
        (cp.broadcast_to(x[..., 1:2], x.shape), -1),
        (cp.broadcast_to(x[:, :1], x.shape), -1),
    ]
    for view, axis in views:
        for alpha in (1.0, 1.7, math.inf):
            agrees(cp, view, alpha, axis=axis)
    assert "scalar_state" in launched


@pytest.mark.parametrize("alpha", KINDS)
def test_masks(cp, alpha):
    x = logits(6, 5, 3000).astype("float32")
    rng = np.random.default_rng(1)
    for shape in (x.shape, x.shape[-1:], (6, 1, 3000)):
        where = rng.random(shape) < 0.7
        agrees(cp, cp.asarray(np.where(where, x, np.nan)), alpha, where=where)


@pytest.mark.parametrize("alpha", KINDS)
def test_bad_rows_are_nan_and_they_alone(cp, alpha):
    for n in (100, 3000, 70_000):
        x = logits(6, n).astype("float32")
        want, want_gradient = (cp.asnumpy(part) for part in renyi.value_and_grad(ENTROPY)(cp.asarray(x), alpha))
        x[1, 5], x[2, n - 1], x[3] = np.nan, np.inf, -np.inf
        value, gradient = (cp.asnumpy(part) for part in renyi.value_and_grad(ENTROPY)(cp.asarray(x), alpha))
        assert np.isnan(value[1:4]).all()
        assert np.isnan(gradient[1:4]).all()
        np.testing.assert_array_equal(value[[0, 4, 5]], want[[0, 4, 5]])
        np.testing.assert_array_equal(gradient[[0, 4, 5]], want_gradient[[0, 4, 5]])
        assert (gradient[0][np.isneginf(x[0])] == 0).all()


@pytest.mark.parametrize("f", [renyi.hill_number_from_logits, renyi.tsallis_entropy_from_logits])
def test_other_measures(cp, f):
    x = logits(5, 3000)
    for alpha in (0.5, 1.0, 1.1, 2.0, math.inf):
        value, gradient = renyi.value_and_grad(f)(cp.asarray(x), alpha, cotangent=cp.arange(1.0, 6.0))
        want, want_gradient = renyi.value_and_grad(f)(x, alpha, cotangent=np.arange(1.0, 6.0))
        np.testing.assert_allclose(cp.asnumpy(value), want, rtol=1e-13)
        np.testing.assert_allclose(cp.asnumpy(gradient), want_gradient, rtol=1e-12, atol=1e-14)


def test_more_rows_than_a_grid_has_in_y(cp, launched):
    agrees(cp, cp.asarray(logits(200_000, 11).astype("float32")), 2.0)
    agrees(cp, cp.asarray(logits(70_000, 2100).astype("float16")), 1.0)
    assert "vector_state" in launched


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_very_short_rows(cp, launched, dtype):
    longest = 128 // np.dtype(dtype).itemsize
    for n in (2, 3, 10, longest):
        for alpha in KINDS:
            agrees(cp, cp.asarray(logits(300_001, n).astype(dtype)), alpha)
    assert set(launched) == {"short_rows"}


def test_offsets_beyond_32_bits(cp):
    rows, n = 70_000, 32_000
    free, _ = cp.cuda.runtime.memGetInfo()
    if free < 10e9:
        pytest.skip("too little memory for 2.2e9 entries and their gradient")
    row = logits(n).astype("float16")
    x = cp.broadcast_to(cp.asarray(row), (rows, n)).copy()
    want, want_gradient = renyi.value_and_grad(ENTROPY)(cp.asarray(row), 1.7)
    value, gradient = renyi.value_and_grad(ENTROPY)(x, 1.7)
    assert (value == want).all()
    for k in (0, rows // 2, rows - 1):
        cp.testing.assert_allclose(gradient[k], want_gradient, rtol=2e-3, atol=1e-7)


def test_two_launches_and_a_third_where_rows_are_split(cp, launched):
    renyi.value_and_grad(ENTROPY)(cp.zeros((20_000, 3000), dtype="float16"), 1.7)
    assert launched == ["vector_state", "vector_gradient"]
    launched.clear()
    renyi.value_and_grad(ENTROPY)(cp.zeros((2, 100_000), dtype="float16"), 1.7)
    assert launched == ["vector_state", "merge_states", "vector_gradient"]


def test_the_same_bits_every_time(cp):
    x = cp.asarray(logits(4, 150_000).astype("float32"))
    for alpha in KINDS:
        first = renyi.value_and_grad(ENTROPY)(x, alpha)
        for _ in range(5):
            again = renyi.value_and_grad(ENTROPY)(x, alpha)
            assert all((a.view("uint32") == b.view("uint32")).all() for a, b in zip(first, again, strict=True))


def test_work_goes_to_the_current_stream(cp):
    x = cp.asarray(logits(64, 30_000).astype("float32"))
    want, want_gradient = renyi.value_and_grad(ENTROPY)(x, 1.7)
    cp.cuda.Device().synchronize()
    stream = cp.cuda.Stream(non_blocking=True)
    a = cp.ones((4096, 4096), dtype="float32")

    def work():
        # what the kernels read is written in this stream, behind products that take a while
        y = cp.full_like(x, cp.nan)
        b = a
        for _ in range(20):
            b = b @ a * 1e-4
        y[...] = x
        return renyi.value_and_grad(ENTROPY)(y, 1.7)

    with stream:
        work()
        stream.synchronize()
        value, gradient = work()
        end = cp.cuda.Event()
        end.record(stream)
    assert not end.done, "the call waited for the device"
    stream.synchronize()
    cp.testing.assert_array_equal(value, want)
    cp.testing.assert_array_equal(gradient, want_gradient)


def test_calls_can_be_captured_in_a_graph(cp):
    x = cp.asarray(logits(64, 30_000).astype("float32"))
    want = ENTROPY(x, 1.7)
    cp.cuda.Device().synchronize()
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        ENTROPY(x, 1.7)
        stream.synchronize()
        stream.begin_capture()
        value = ENTROPY(x, 1.7)
        graph = stream.end_capture()
        value[...] = 0
        graph.launch(stream)
    stream.synchronize()
    cp.testing.assert_array_equal(value, want)


def test_memory_comes_from_the_pool_and_is_little(cp):
    pool = cp.cuda.MemoryPool()
    x = cp.asarray(logits(256, 30_000).astype("float32"))
    renyi.value_and_grad(ENTROPY)(x, 1.7)
    cp.cuda.Device().synchronize()
    with cp.cuda.using_allocator(pool.malloc):
        value = ENTROPY(x, 1.7)
        forward = pool.total_bytes()
        both = renyi.value_and_grad(ENTROPY)(x, 1.7)
        total = pool.total_bytes()
    assert value.data.mem.size
    assert 0 < forward <= 2**20
    assert both[1].nbytes <= total <= x.nbytes + 2**21


def test_the_device_of_the_array_not_the_current_one(cp):
    if cp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device")
    x = logits(64, 30_000).astype("float32")
    want, want_gradient = renyi.value_and_grad(ENTROPY)(cp.asarray(x), 1.7)
    with cp.cuda.Device(1):
        other = cp.asarray(x)
    with cp.cuda.Device(0):
        value, gradient = renyi.value_and_grad(ENTROPY)(other, 1.7)
        assert cp.cuda.Device().id == 0
    assert value.device.id == gradient.device.id == 1
    np.testing.assert_array_equal(cp.asnumpy(value), cp.asnumpy(want))
    np.testing.assert_array_equal(cp.asnumpy(gradient), cp.asnumpy(want_gradient))


def test_a_schedule_of_alpha_compiles_once(cp):
    from renyi_adapters.cupy import _launch

    x = cp.asarray(logits(8, 3000).astype("float32"))
    ENTROPY(x, 1.5)
    before = _launch._module.cache_info().currsize
    for k in range(50):
        ENTROPY(x, 1.3 + k / 83)
    assert _launch._module.cache_info().currsize == before


def test_what_the_kernels_do_not_take(cp, launched):
    x = logits(5, 300)
    for call in (
        lambda f, a: f(renyi.entropy)(np.exp(x) if a is np else cp.exp(cp.asarray(x)), 2.0),
        lambda f, a: f(ENTROPY)(a.asarray(x), a.linspace(0.5, 2, 5)),
        lambda f, a: f(ENTROPY)(a.asarray(x), 0),
    ):
        value, gradient = call(renyi.value_and_grad, cp)
        want, want_gradient = call(renyi.value_and_grad, np)
        np.testing.assert_allclose(cp.asnumpy(value), want, rtol=1e-12)
        np.testing.assert_allclose(cp.asnumpy(gradient), want_gradient, rtol=1e-12, atol=1e-14)
    assert launched == []
