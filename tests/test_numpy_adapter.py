"""NumPy's blocks give what the library's own code gives, for any layout of memory, within bounded memory."""

from __future__ import annotations

import functools
import math
import threading
import tracemalloc

import mpmath
import numpy as np
import oracle
import pytest

import renyi_core as renyi
from renyi_adapters import native
from renyi_adapters import numpy as adapter
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.state import Order, finish, merge

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 0.75, 0.9, 1.0, 1 + 1e-12, 1.7, 2.0, 3.0, 4.0, 20.0, math.inf)
# short rows lie transposed; 70,000 float64 entries are longer than a buffer, 9,000 longer than a piece
LENGTHS = (1, 2, 10, 31, 32, 33, 700, 1500, 9000, 70_000)
DOORS = {"logits": renyi.entropy_from_logits, "probs": renyi.entropy}


def rows(length, source, dtype, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    count = max(2, min(900, 40_000 // length))
    logits = rng.normal(size=(count, length)) * scale
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    logits[:, 0] = rng.normal(size=count)
    if length > 2:
        logits[::3, 1] = logits[::3].max(axis=-1)
        logits[1::7] = logits[1::7].round()
    return (logits if source == "logits" else np.exp(logits)).astype(dtype)


def on_a_grid(x, dtype):
    """Return numbers whose differences are not rounded: the array-API code does not keep what rounding takes there."""
    step = 2.0**-12 if dtype == "float32" else 2.0**-40
    return (np.round(x / step) * step).astype(dtype)


def assert_agree(f, x, alpha, cotangent=None, **options):
    eps, tiny = np.finfo(x.dtype).eps, np.finfo(x.dtype).tiny
    both = renyi.value_and_grad(f)
    value, gradient = both(x, alpha, cotangent=cotangent, **options)
    alone = f(x, alpha, **options)
    along = renyi.grad(f, "alpha")(x, alpha, **options)
    with renyi.agnostic_only():
        want, want_gradient = both(x, alpha, cotangent=cotangent, **options)
        want_along = renyi.grad(f, "alpha")(x, alpha, **options)
    # the rounding of α d, which is −log H of rows that are nearly certain, is in the one or the other below 1
    rounded = np.maximum(0, -np.log(np.maximum(want, tiny))) * eps if np.all((alpha > 0.5) & (alpha < 1)) else 0
    for got in (value, alone):
        assert (np.isnan(got) == np.isnan(want)).all()
        assert not (np.abs(got - want) > (24 * eps + rounded) * np.abs(want) + tiny).any()
    np.testing.assert_allclose(along, want_along, rtol=64 * eps, atol=tiny)
    axis = options.get("axis", -1)
    finite = np.where(np.isfinite(want_gradient), want_gradient, 0)
    norms = np.linalg.norm(finite, axis=axis, keepdims=True)
    assert (np.isfinite(gradient) == np.isfinite(want_gradient)).all()
    difference = np.linalg.norm(np.where(np.isfinite(gradient), gradient, 0) - finite, axis=axis, keepdims=True)
    # two errors; each has c's own, magnified by |c| over the spread of the row, in many nearly flat entries
    assert (difference <= 48 * eps * norms + tiny).all()


@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", LENGTHS)
def test_blocked_equals_unblocked(length, dtype, source):
    x = rows(length, source, dtype)
    for alpha in ORDERS:
        assert_agree(DOORS[source], x, alpha)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 0.01, 0.3, 30.0])
@pytest.mark.parametrize("length", [10, 700, 70_000])
def test_nearly_flat_and_wide_rows(length, scale):
    x = np.random.default_rng(2).normal(size=(max(2, 20_000 // length), length)) * scale
    x = on_a_grid(x, "float32").astype(np.float64) if scale > 1 else x
    for alpha in ORDERS:
        assert_agree(renyi.entropy_from_logits, x, alpha)
        assert_agree(renyi.entropy_from_logits, x.astype(np.float32), alpha)


@pytest.mark.parametrize("spread", [0.0, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [40, 700, 20_000])
def test_nearly_flat_rows_beside_others(length, dtype, spread):
    """Rows of one block may share a shift, which must not cost a flat one its gradient: that is small there."""
    rng = np.random.default_rng(3)
    count = max(4, 40_000 // length)
    flat = rng.normal(size=(1, length)) * spread + rng.uniform(0, 1, size=(count, 1))
    x = np.stack([flat, rng.normal(size=flat.shape)], axis=1).reshape(-1, length).astype(dtype)
    cotangent = rng.normal(size=len(x)).astype(dtype)
    for alpha in (0.5, 1.0, 1.7, 2.0):
        assert_agree(renyi.entropy_from_logits, x, alpha, cotangent=cotangent)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [2, 10, 31, 700])
def test_rows_side_by_side_with_very_different_ones(length, dtype):
    """Rows that share a block may share a shift: peaks apart, tails far below them, peaks far from 0."""
    rng = np.random.default_rng(3)
    near = rng.normal(size=(24, length))
    far = near.copy()
    far[::2, 1:] -= 80.0 if dtype == "float32" else 650.0
    far[1::4, 1:] -= 20
    for x in (near, far):
        for peaks in (
            rng.uniform(0, 7, 24),
            rng.uniform(-7, 0, 24),
            100 + near[:, 0],
            -90 + near[:, 0],
            50 * near[:, 0],
        ):
            moved = on_a_grid(x - x.max(axis=1, keepdims=True) + peaks[:, None], dtype)
            # enough rows for the blocks, not for the form of small inputs
            moved = np.tile(moved, (9000 // (24 * length) + 1, 1))
            for alpha in ORDERS:
                assert_agree(renyi.entropy_from_logits, moved, alpha)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 10, 40, 70_000])
def test_certain_outcomes_and_rows_that_are_none(length, dtype):
    """Probabilities of which the largest is 1, or 0, or one is negative, beside others."""
    x = np.random.default_rng(6).random((6, length)).astype(dtype)
    x[0], x[0, 0] = 0, 1
    x[1] /= x[1].max()
    x[2] = 0
    x[3, -1] = -1
    x[4], x[4, -1] = 0, 1e-3
    for alpha in ORDERS:
        value = renyi.entropy(x, alpha)
        with renyi.agnostic_only():
            want = renyi.entropy(x, alpha)
        assert np.isnan(value[2:4]).all()
        assert (value[[0, 4]] == 0).all()
        np.testing.assert_allclose(value, want, rtol=24 * np.finfo(dtype).eps)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.1, 2.0, math.inf])
def test_layouts(alpha):
    base = rows(64, "logits", "float64")[:60].reshape(5, 12, 64)
    layouts = {
        "transposed": (base.transpose(2, 0, 1), 0),
        "middle": (base.transpose(0, 2, 1), 1),
        "fortran": (np.asfortranarray(base), -1),
        "every other": (base[:, ::2, ::-2], -1),
        "big-endian": (base.astype(">f8"), -1),
        "broadcast": (np.broadcast_to(base[:1], base.shape), -1),
        "two axes": (base, (0, 2)),
        "all": (base, None),
    }
    for name, (x, axis) in layouts.items():
        for where in (None, np.random.default_rng(1).random(x.shape) < 0.8):
            f = renyi.value_and_grad(renyi.entropy_from_logits)
            got = f(x, alpha, axis=axis, where=where)
            with renyi.agnostic_only():
                want = f(x, alpha, axis=axis, where=where)
            np.testing.assert_allclose(got[0], want[0], rtol=1e-14, err_msg=name)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 2.0])
def test_batches_of_several_axes(alpha):
    """More rows than a block takes along each of two axes; masked, so that they are not one table."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 60, 3, 400))
    assert_agree(renyi.entropy_from_logits, x, alpha, where=rng.random(x.shape) < 0.8)


def test_orders_for_each_row_and_more_orders_than_rows():
    # more orders than rows take an axis of length 1
    x = rows(9000, "logits", "float64")[None, :4]
    for orders in (np.asarray([0.5, 1.0, 2.0, math.inf]), np.asarray([[0.3], [1.0], [math.inf]]), np.asarray(2.0)):
        value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, orders)
        with renyi.agnostic_only():
            want, want_gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, orders)
        assert value.shape == np.broadcast_shapes((1, 4), orders.shape)
        np.testing.assert_allclose(value, want, rtol=1e-14)
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("shape", [(1, 1_000_000), (1000, 1000), (16, 150_000), (1, 80_000), (100_000, 10)])
def test_memory_beyond_input_and_output(shape, source, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x = x if source == "logits" else np.exp(x)
    value = DOORS[source]
    # what is imported at first use counts not
    value(x[:1, :2], 2.0)
    for alpha in (0.5, 0.9, 1.0, 1.7, 2.0, math.inf, np.linspace(0.2, 3, shape[0]).astype(dtype)):
        for f, results in ((value, 0), (renyi.value_and_grad(value), x.nbytes)):
            tracemalloc.start()
            f(x, alpha)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            rows = (24 if isinstance(alpha, np.ndarray) else 8) * shape[0]
            assert peak - results - rows <= 3e6, (alpha, f)


def test_threads_do_not_disturb_each_other():
    x = [rows(1000, "logits", "float64", seed=seed) for seed in range(8)]
    f = renyi.value_and_grad(renyi.entropy_from_logits)
    want = [f(part, 1.7) for part in x]
    wrong = []

    def work(k):
        for _ in range(5):
            got = f(x[k], 1.7)
            if not all(np.array_equal(a, b) for a, b in zip(got, want[k], strict=True)):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_input_is_left_alone():
    for length in (10, 700, 70_000):
        x = rows(length, "logits", "float64")
        before = x.copy()
        for alpha in ORDERS:
            renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
        assert np.array_equal(x, before)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0, 1 + 1e-12, 1.7, 2.0, 3.0, 4.0, 20.0])
def test_gradient_of_a_part(alpha, in_place):
    """From the merged state of two parts, next to the gradient of the whole: the largest in either, ties, peaks."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 40)) * 3
    x[0, 2], x[1, 30], x[2, [3, 35]] = 40, 40, 40
    x[3] = 1e-6 * x[3]
    x[4, :20] = -np.inf
    order = Order(alpha, alpha - 1.0)
    kwargs = {"source": "logits", "axis": (-1,), "xp": np}
    parts = [np.array(x[:, :17]), np.array(x[:, 17:])]
    one, other = (adapter.entropy_partial_state(part, order, full=True, **kwargs) for part in parts)
    state = merge(one, other, order, source="logits", xp=np)
    scale = rng.normal(size=(6, 1))
    got = []
    for part in parts:
        out = part if in_place else None
        got.append(adapter.entropy_gradient_of_state(part, state, scale, order, measure=ENTROPY, out=out, **kwargs))
        assert not in_place or got[-1] is part
    want = scale * renyi.grad(renyi.entropy_from_logits)(x, alpha)
    error = np.linalg.norm(np.concatenate(got, axis=-1) - want, axis=-1)
    assert (error <= 32 * np.finfo(x.dtype).eps * np.linalg.norm(want, axis=-1)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0, 1.7, 2.0])
def test_gradient_of_a_part_of_long_rows(alpha, source, dtype):
    """Rows longer than a piece and than a buffer, one of them nearly uniform."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 140_000)) * 3
    x[1] *= 1e-6
    x = (np.exp(x) if source == "probs" else x).astype(dtype)
    order = Order(alpha, alpha - 1.0)
    kwargs = {"source": source, "axis": (-1,), "xp": np}
    parts = [np.array(x[:, :70_000]), np.array(x[:, 70_000:])]
    one, other = (adapter.entropy_partial_state(part, order, full=True, **kwargs) for part in parts)
    state = merge(one, other, order, source=source, xp=np)
    want = renyi.grad(DOORS[source])(x, alpha)
    for scale in (None, np.asarray([[-2.0], [0.5]], dtype)):
        got = [
            adapter.entropy_gradient_of_state(part, state, scale, order, measure=ENTROPY, **kwargs) for part in parts
        ]
        assert got[0].dtype == x.dtype
        scaled = want if scale is None else scale * want
        error = np.linalg.norm(np.concatenate(got, axis=-1) - scaled, axis=-1)
        assert (error <= 32 * np.finfo(dtype).eps * np.linalg.norm(scaled, axis=-1)).all()


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.7])
def test_gradient_of_a_part_along_another_axis(alpha):
    x = np.random.default_rng(2).normal(size=(3, 40, 50)) * 3
    order = Order(alpha, alpha - 1.0)
    kwargs = {"source": "logits", "axis": (-2,), "xp": np}
    parts = [x[:, :15], x[:, 15:]]
    one, other = (adapter.entropy_partial_state(part, order, full=True, **kwargs) for part in parts)
    state = merge(one, other, order, source="logits", xp=np)
    got = [adapter.entropy_gradient_of_state(part, state, None, order, measure=ENTROPY, **kwargs) for part in parts]
    want = renyi.grad(renyi.entropy_from_logits)(x, alpha, axis=1)
    np.testing.assert_allclose(np.concatenate(got, axis=1), want, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("source", sorted(DOORS))
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0, 1.7, 2.0, math.inf])
def test_parts_without_weight(alpha, source, full):
    """They change nothing beside another; a part that is no distribution makes the whole NaN."""
    x = rows(80, source, "float64")[:4]
    nothing = -np.inf if source == "logits" else 0.0
    x[0, :40], x[1, 40:], x[2], x[3, 5] = nothing, nothing, nothing, np.nan if source == "logits" else -1.0
    order = Order(alpha, alpha - 1.0)
    kwargs = {"source": source, "axis": (-1,), "xp": np}
    for cut in (40, 20):
        parts = [np.array(x[:, start : start + cut]) for start in range(0, 80, cut)]
        states = [adapter.entropy_partial_state(part, order, full=full, **kwargs) for part in parts]
        state = functools.reduce(lambda a, b: merge(a, b, order, source=source, xp=np), states)
        got = finish(state, order, xp=np).h[:, 0]
        assert np.isnan(got[2:]).all()
        np.testing.assert_allclose(got[:2], DOORS[source](x[:2], alpha), rtol=1e-14)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pairs_of_more_rows_than_a_block(dtype, masked):
    """To the last bit without the compiled engine: the kernels are the same, and so are the rows."""
    rng = np.random.default_rng(5)
    shape = (2, 20, 300)
    x, y = rng.normal(size=(2, *shape)).astype(dtype)
    cotangent = rng.normal(size=shape[:-1]).astype(dtype)
    options = {"where": rng.random(shape) < 0.8 if masked else None, "base": 2.0}
    f = renyi.divergence_from_logits
    for alpha in (0.5, 2.0, rng.uniform(0.2, 3, size=shape[:-1])):

        def results(alpha=alpha):
            both = [renyi.value_and_grad(f, wrt)(x, y, alpha, **options) for wrt in (0, 1, "alpha")]
            both += [renyi.value_and_grad(f, wrt)(x, y, alpha, cotangent=cotangent, **options) for wrt in (0, 1)]
            return [f(x, y, alpha, **options), *(part for parts in both for part in parts)]

        with native.off():
            got = results()
        with renyi.agnostic_only():
            want = results()
        for one, other in zip(got, want, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("alpha", [0.6, 0.9, 1 - 1e-6, 1 - 1e-9, 1 + 1e-9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_states_beside_a_nearly_certain_outcome(dtype, alpha):
    """The sums and the gradient from them, where the rare outcomes are all there is, in rows with gaps of their own."""
    eps = float(np.finfo(dtype).eps)
    rng = np.random.default_rng(0)
    x = -np.repeat([[10.0], [60.0], [80.0]], 40, axis=1) - rng.integers(0, 40, size=(3, 40)) / 8
    x[:, 7] = 0
    x = x.astype(dtype)
    order = Order(alpha, alpha - 1.0)
    kwargs = {"source": "logits", "axis": (-1,), "xp": np}
    state = adapter.entropy_partial_state(x, order, full=True, **kwargs)
    values = finish(state, order, xp=np).h
    gradient = adapter.entropy_gradient_of_state(x, state, None, order, measure=ENTROPY, **kwargs)
    for row, value, part, ra in zip(x, values, gradient, state.ra, strict=True):
        exact = oracle.exact(row, alpha, "logits")
        assert oracle.error(value, exact.entropy, eps) <= 6
        # at 6/10, of a state that is full, e**α − e is summed for itself where it is small
        assert oracle.error(part, exact.gradient, eps) <= (64 if alpha == 0.6 else 6)
        with mpmath.workdps(60):
            want = mpmath.fsum(mpmath.exp(mpmath.mpf(alpha) * float(z)) for z in row) - 1
            assert abs(float(ra[0]) / want - 1) <= (64 if alpha == 0.6 else 6) * eps


@pytest.mark.parametrize("alpha", [0.76, 0.85])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rare_outcomes_whose_weight_underflows_before_its_power(dtype, alpha):
    """Then exp(d) says nothing of them: beside the largest outcome alone, beside others, and beside masked ones."""
    eps, low = float(np.finfo(dtype).eps), float(np.log(np.finfo(dtype).tiny))
    x = np.full((3, 5), np.round(low) - 14)
    x[:, 2] = 0
    x[1, 1] = -1
    x[2, 3:] = -np.inf, -1e9
    x = x.astype(dtype)
    value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
    alone = renyi.entropy_from_logits(x, alpha)
    for k, row in enumerate(x):
        with mpmath.workdps(700):
            a, d = mpmath.mpf(alpha), [mpmath.mpf(float(z)) for z in row if z > -np.inf]
            e, w = mpmath.fsum(map(mpmath.exp, d)), mpmath.fsum(mpmath.exp(a * z) for z in d)
            h = (mpmath.log(w) - a * mpmath.log(e)) / (1 - a)
            tops = a / (a - 1) * (1 / e - 1 / w)
            # the rounding of t d
            bound = (abs(low) / 8 + 4) * eps
            for got, want in ((value[k], h), (alone[k], h), (gradient[k, 2], tops)):
                assert abs(float(got) / want - 1) <= bound


@pytest.mark.parametrize("shape", [(0, 5), (0, 600), (1, 0, 1), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_batches_without_rows(backend, shape, masked):
    """Of every engine: nothing comes out, in its shape."""
    x = backend.asarray(np.ones(shape))
    where = backend.asarray(np.ones(shape, dtype=bool)) if masked else None
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf):
        for f in (renyi.entropy, renyi.entropy_from_logits):
            assert f(x, alpha, where=where).shape == shape[:-1]
            value, gradient = renyi.value_and_grad(f)(x, alpha, where=where)
            assert (value.shape, gradient.shape) == (shape[:-1], shape)
            assert renyi.grad(f, "alpha")(x, alpha, where=where).shape == shape[:-1]
        assert renyi.divergence(x, x, alpha, where=where).shape == shape[:-1]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("name", ["entropy_from_logits", "entropy", "regularized_argmax"])
def test_reversed_views_have_the_bits_of_their_copies(name, alpha):
    x = np.abs(np.random.default_rng(0).normal(size=(6, 300)))
    f = getattr(renyi, name)
    for view in (x[::-1], x[:, ::-1], x[::-1, ::-1], x[:, ::2]):
        assert f(view, alpha).tobytes() == f(view.copy(), alpha).tobytes()
    assert f(x[::-1], alpha).tobytes() == f(x, alpha)[::-1].tobytes()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0, 2.0, math.inf])
def test_zeros_beside_weights_so_small_that_their_products_underflow(alpha):
    x = np.asarray([[0.0, 1e-16, 0.0], [0.0, 3e-320, 0.0], [0.0, 1.0, 0.0]])
    value, gradient = renyi.value_and_grad(renyi.entropy)(x, alpha)
    assert value.tolist() == renyi.entropy(x, alpha).tolist() == [0, 0, 0]
    assert np.isfinite(gradient[0]).all()
    assert not gradient[:, 1].any()


def test_orders_next_to_0_beside_a_certain_row():
    """All of its weights round to 1 there, the largest outcome's and the others'."""
    x = np.asarray([[0.0, 0.40625], [0.0, -np.inf]])
    with native.off():
        gradient = renyi.grad(renyi.entropy_from_logits)(x, 1e-294)
        alone = renyi.grad(renyi.entropy_from_logits)(x[:1], 1e-294)
    np.testing.assert_allclose(gradient[0], alone[0], rtol=1e-14)
    assert gradient[0, 0] > 0 > gradient[0, 1]
