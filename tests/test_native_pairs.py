"""Pairs on the compiled engine: as exact as everywhere, and each row as it is alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import oracle_pairs as oracle
import pytest

import renyi_core as renyi
from renyi_adapters import native
from renyi_adapters.native import _pairs as engine
from renyi_core._kernels.cross_entropy import cross_entropy_and_gradient
from renyi_core._kernels.divergence import divergence_and_gradient
from renyi_core._kernels.state import Order
from renyi_core.regularizers import JensenTerm

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0, 1 + 1e-9, 1.7, 2.0, 5.0)
# lanes of short rows, blocks of long ones, and what is left of either
LENGTHS = (1, 2, 7, 64, 65, 1000, 4096, 9000)
SOURCES = "logits", "probs"


@pytest.fixture(params=["base", "v3", "v4"], autouse=True)
def way(request, monkeypatch):
    """Each set of instructions that this machine has."""
    monkeypatch.setenv("RENYI_NATIVE_ISA", request.param)
    native._load.cache_clear()
    if native.library() is None:
        pytest.skip(native.config())
    yield request.param
    monkeypatch.undo()
    native._load.cache_clear()


def through(x, source):
    if source == "logits":
        return x
    wide = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return (wide / wide.sum(axis=-1, keepdims=True)).astype(x.dtype)


def sample(rows, n, dtype, source, seed=0):
    x, y = np.random.default_rng(seed).normal(size=(2, rows, n)).astype(dtype)
    y[::3] = x[::3] + np.asarray(1e-3, dtype) * y[::3]
    scale = np.asarray(0.5 if dtype == "float16" else 2, dtype)
    return through(scale * x, source), through(scale * y, source)


def computed(x, y, alpha, source, **options):
    order = Order(float(alpha), float(alpha) - 1.0)
    value, gradients, left = engine.divergences(x, y, order, source=source, wrt=(0, 1), **options)
    return value, *gradients, left


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact(dtype, source):
    eps = float(np.finfo(dtype).eps)
    done = 0
    for name, pair in oracle.pairs(dtype).items():
        for tail in (0, 60):
            nothing = np.full(tail, -np.inf, dtype)
            x, y = (through(np.concatenate([row, nothing]), source) for row in pair)
            for alpha in ORDERS[:: 3 if tail else 1]:
                value, *gradients, left = computed(x[None], y[None], alpha, source)
                if left is not None:
                    continue
                exact = oracle.exact(x, y, alpha, source)
                errors = [oracle.error(value[0], exact.value, eps)]
                errors += [oracle.error(g[0], want, eps) for g, want in zip(gradients, exact.gradients, strict=True)]
                assert max(errors) <= 32, (errors, name, alpha, tail)
                done += 1
    assert done > 150


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.3, 2.0])
@pytest.mark.parametrize(("rows", "n"), [(2000, 40), (200, 300)])
def test_random_rows(rows, n, alpha, source, cross):
    """Of short rows, and of long ones, some of which plain sums are exact for."""
    x, y = sample(rows, n, "float32", source)
    value, *gradients, left = computed(x, y, alpha, source, cross=cross)
    assert left is None
    kernel = cross_entropy_and_gradient if cross else divergence_and_gradient
    with native.off():
        order = Order(alpha, alpha - 1.0)
        wide = (row.astype(np.float64) for row in (x, y))
        kwargs = {"source": source, "where": None, "axis": (-1,), "xp": np}
        want, *along = kernel(*wide, order, wrt=(0, 1), **kwargs)
    eps = float(np.finfo(np.float32).eps)
    assert (np.abs(value - want[:, 0]) <= 12 * eps * want[:, 0]).all()
    for got, exact in zip(gradients, along, strict=True):
        bound = 40 * eps if cross else 16 * eps
        assert (np.linalg.norm(got - exact, axis=-1) <= bound * np.linalg.norm(exact, axis=-1)).all()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", LENGTHS)
def test_rows_have_the_bits_that_they_have_alone(n, dtype, source):
    rows = 70 if n < 1000 else 24
    x, y = sample(rows, n, dtype, source)
    apart = np.full((2, rows, 3 * n + 1), np.nan, dtype)
    apart[:, :, 1::3] = x, y
    for alpha, options in itertools.product((0.2, 1.0, 1.3, 2.0), ({}, {"cross": True})):
        want = computed(x, y, alpha, source, **options)
        alone = [computed(x[i : i + 1], y[i : i + 1], alpha, source, **options) for i in range(0, rows, 23)]
        for got, whole in zip(zip(*alone, strict=True), want, strict=True):
            if whole is not None and whole.dtype != np.uint8:
                np.testing.assert_array_equal(np.concatenate(got), whole[::23])
        other = computed(apart[0, :, 1::3], apart[1, :, 1::3], alpha, source, **options)
        turned = computed(*(np.asfortranarray(row) for row in (x, y)), alpha, source, **options)
        masked = computed(x, y, alpha, source, where=np.broadcast_to(np.asarray(True), x.shape), **options)
        reference = computed(x, np.broadcast_to(y[:1], y.shape), alpha, source, **options)
        for got in (other, turned, masked):
            for one, whole in zip(got, want, strict=True):
                np.testing.assert_array_equal(one, whole)
        for one, whole in zip(
            reference, computed(x, np.repeat(y[:1], rows, axis=0), alpha, source, **options), strict=True
        ):
            np.testing.assert_array_equal(one, whole)


def test_threads_change_no_bit():
    x, y = sample(300, 1000, "float32", "logits")
    for one, two in zip(computed(x, y, 1.7, "logits"), computed(x, y, 1.7, "logits", threads=3), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("n", [12, 3000])
def test_rows_that_are_left_are_those_of_the_kernels(n):
    """Beside others, in value and gradients, whatever is wrong with them."""
    x, y = sample(8, n, "float64", "logits")
    x[1, 2], y[2, 3], y[3, 4] = np.nan, np.inf, -np.inf
    x[4] *= 300
    x[5], y[6] = -np.inf, -np.inf
    for alpha in (0.3, 1.0, 2.0):
        left = computed(x, y, alpha, "logits")[-1]
        assert left[[1, 2, 5, 6]].all()
        assert not left[[0, 7]].any()
        got = [renyi.value_and_grad(renyi.divergence_from_logits, i)(x, y, alpha) for i in (0, 1)]
        with native.off():
            want = [renyi.value_and_grad(renyi.divergence_from_logits, i)(x, y, alpha) for i in (0, 1)]
        for one, other in zip(got, want, strict=True):
            np.testing.assert_array_equal(one[0][left == 1], other[0][left == 1])
            np.testing.assert_array_equal(one[1][left > 0], other[1][left > 0])


@pytest.mark.parametrize("n", [300, 4200])
def test_no_probabilities_in_any_block_are_no_divergence(n):
    p, q = sample(5, n, "float32", "probs")
    p[0, -1], q[1, -1], q[2, -1], p[3, -1] = np.nan, -1e-9, np.inf, -1
    for alpha in (0.3, 1.0, 1.7, 2.0, 3.0):
        for measure in (renyi.divergence, renyi.cross_entropy):
            np.testing.assert_array_equal(np.isnan(measure(p, q, alpha)), [True] * 4 + [False])


@pytest.mark.parametrize("source", SOURCES)
def test_masks_scales_and_orders_of_rows(source):
    """What is masked might as well not be there."""
    rng = np.random.default_rng(1)
    x, y = sample(90, 100, "float64", source)
    where = rng.random((90, 100)) < 0.6
    f = {"logits": renyi.divergence_from_logits, "probs": renyi.divergence}[source]
    alpha, cotangent = rng.uniform(0.1, 3, size=90), rng.normal(size=90)
    alpha[:3] = 1.0, math.inf, 0.0
    value, gradient = renyi.value_and_grad(f, 1)(x, y, alpha, where=where, cotangent=cotangent)
    assert (gradient[~where] == 0).all()
    for i in range(0, 90, 7):
        kept = where[i]
        one, along = renyi.value_and_grad(f, 1)(x[i, kept], y[i, kept], float(alpha[i]), cotangent=cotangent[i])
        np.testing.assert_allclose(value[i], one, rtol=1e-13)
        np.testing.assert_allclose(gradient[i, kept], along, rtol=1e-10, atol=1e-13)


def test_value_is_the_same_with_and_without_gradients():
    x, y = sample(70, 300, "float32", "logits")
    y[5] = x[5]
    y[6] = np.where(np.arange(300) == 4, -50, x[6])
    value, _, _, left = computed(x, y, 1.3, "logits")
    order = Order(1.3, 1.3 - 1.0)
    np.testing.assert_array_equal(engine.divergences(x, y, order, source="logits")[0], value)
    assert left is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 12, 700, 9000])
@pytest.mark.parametrize(("alpha", "share"), [(1.0, None), (2.0, None), (1.0, 0.9), (1.0, 1e-6)])
def test_jensen_shannon(alpha, share, n, dtype):
    """Of close pairs too, with zeros, beside rows that make no sense, and of rows as they are alone."""
    rng, eps = np.random.default_rng(n), float(np.finfo(dtype).eps)
    p = rng.gamma(0.5, size=(70, 2, n)) + 1e-6
    p[::3, 1] = p[::3, 0] * (1 + 1e-4 * rng.normal(size=p[::3, 0].shape))
    if n > 1:
        p[1, 0, : n // 2], p[2, :, 1] = 0, 0
        p[4, 1] = 0
    p[5, 0, 0] = np.nan
    p = p.astype(dtype)
    cotangent = rng.normal(size=70).astype(dtype)
    weights = None if share is None else np.asarray([1 - share, share], dtype)

    def both(p, alpha, cotangent):
        given = weights if weights is None else weights.astype(p.dtype)
        return renyi.value_and_grad(renyi.jensen_divergence)(p, alpha, weights=given, cotangent=cotangent)

    value, gradient = both(p, alpha, cotangent=cotangent)
    with native.off():
        want, along = both(p.astype(np.float64), alpha, cotangent=cotangent.astype(np.float64))
    np.testing.assert_allclose(value, want, rtol=16 * eps, atol=eps if n == 1 else 0)
    sound = ~np.isnan(want)
    assert sound.sum() == (68 if n > 1 else 69)
    miss, size = (np.linalg.norm(part[sound], axis=-1) for part in (gradient - along, along))
    assert (miss <= 16 * eps * size + (eps if n == 1 else 0)).all()
    for i in (0, 3, 8):
        one, row = both(p[i], alpha, cotangent=float(cotangent[i]))
        np.testing.assert_array_equal(one, value[i])
        np.testing.assert_array_equal(row, gradient[i])
    np.testing.assert_array_equal(renyi.jensen_divergence(np.asfortranarray(p), alpha, weights=weights), value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("n", "mixture"), [(5, 0.5), (70, 0.9), (5000, 1e-3)])
def test_mixture_of_logits(n, mixture, dtype):
    """With a mask, logits of −inf, rows that make no sense, and a teacher of one row; of rows as they are alone."""
    rng, eps = np.random.default_rng(n), float(np.finfo(dtype).eps)
    x, y = 3 * rng.normal(size=(9, n)), 3 * rng.normal(size=(1, n))
    x[2, 1], x[3, 0], x[4, 2], x[5] = -np.inf, np.nan, np.inf, -np.inf
    x[6] = y[0]
    x, y, mask = x.astype(dtype), y.astype(dtype), np.arange(n) != 3
    for where in (None, mask):

        def both(term, x, y, where=where):
            return renyi.value_and_grad(term, (0, 1))(x, y, where=where)

        term = JensenTerm(mixture=mixture, reduction="none")
        value, (along_x, along_y) = both(term, x, y)
        with native.off():
            want, exact = both(term, x.astype(float), np.repeat(y, 9, 0).astype(float))
        sound = np.isfinite(want)
        np.testing.assert_array_equal(sound, [1, 1, 1, 0, 0, 0, 1, 1, 1])
        np.testing.assert_allclose(value[sound], want[sound], rtol=64 * eps, atol=1e-30)
        assert np.isnan(value[~sound]).all()
        miss = np.linalg.norm((along_x - exact[0])[sound].astype(float), axis=-1)
        assert (
            miss <= 64 * eps * np.linalg.norm(exact[0][sound], axis=-1) + np.finfo(dtype).smallest_subnormal * n
        ).all()
        assert where is None or (along_x[:, 3] == 0)[sound].all()
        alone = both(term, x[2:3], y)
        np.testing.assert_array_equal(alone[0], value[2:3])
        np.testing.assert_array_equal(alone[1][0], along_x[2:3])
        miss = np.linalg.norm((along_y - exact[1])[sound].astype(float), axis=-1)
        assert (
            miss <= 64 * eps * np.linalg.norm(exact[1][sound], axis=-1) + np.finfo(dtype).smallest_subnormal * n
        ).all()
