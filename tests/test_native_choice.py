"""Regularized choices on the compiled engine: as exact as everywhere, and each row as it is alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import oracle_choice as oracle
import pytest
from choice_cases import argmax, largest
from test_choice import error

import renyi_core as renyi
from renyi_adapters import native

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
# every form of w**(1/t), and orders on both sides of 1
ORDERS = (1e-20, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.01, 1.5, 1.7, 2.0, 4.0, 20.0)
# less than a vector, whole ones, blocks of long rows, and what is left of either
LENGTHS = (1, 2, 7, 16, 65, 1000, 1024, 2100)


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


def both(scores, alpha, temperature=1.0, cotangent=None, **options):
    """Return p, the product of its Jacobian and that along T, the value and its gradients."""
    cotangent = np.roll(scores, 1, -1) if cotangent is None else cotangent
    cotangent = np.where(np.isfinite(cotangent), cotangent, 0).astype(scores.dtype)
    p, product = renyi.value_and_grad(argmax)(scores, alpha, temperature, cotangent=cotangent, **options)
    value, gradient = renyi.value_and_grad(largest)(scores, alpha, temperature, **options)
    slopes = renyi.grad(largest, "temperature")(scores, alpha, temperature, **options)
    return p, product, value, gradient, slopes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact(dtype):
    eps = float(np.finfo(dtype).eps)
    failures = []
    for (name, (scores, temperature)), alpha in itertools.product(oracle.rows(dtype).items(), ORDERS[::2]):
        exact = oracle.exact(scores, alpha, temperature)
        n = len(scores)
        tiles = np.broadcast_to(scores, (n, n))
        p, jacobian, value, _, slope = both(tiles, alpha, float(temperature), np.eye(n))
        unit = max(abs(float(exact.value)), float(temperature))
        errors = {
            "p": error(p[0], exact.p, eps),
            "jacobian": error(jacobian, itertools.chain(*exact.jacobian), eps),
            "value": abs(float(value[0] - exact.value)) / unit / eps,
            "temperature": error(slope[:1], [exact.temperature], eps),
        }
        failures += [(e, what, name, alpha) for what, e in errors.items() if not e <= 64]
    assert not failures, sorted(failures, key=lambda f: -f[0])[:8]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", LENGTHS)
def test_rows_have_the_bits_that_they_have_alone(n, dtype):
    x = np.random.default_rng(n).normal(size=(12, n)).astype(dtype)
    apart = np.full((12, 3 * n + 1), np.nan, dtype)
    apart[:, 1::3] = x
    true = np.broadcast_to(np.asarray(True), x.shape)
    for alpha in (0.5, 0.7, 1.0, 1.3, 1.5, 2.0):
        want = both(x, alpha, 0.5)
        np.testing.assert_array_equal(argmax(x, alpha, 0.5), want[0])
        np.testing.assert_array_equal(want[3], want[0])
        alone = [both(x[i], alpha, 0.5) for i in range(0, 12, 5)]
        others = (
            both(apart[:, 1::3], alpha, 0.5),
            both(np.asfortranarray(x), alpha, 0.5),
            both(x, alpha, 0.5, where=true),
            [np.moveaxis(part, 0, -1) if part.ndim > 1 else part for part in turned(x, alpha)],
        )
        for k, whole in enumerate(want):
            np.testing.assert_array_equal(np.stack([one[k] for one in alone]), whole[::5])
            for other in others:
                np.testing.assert_array_equal(other[k], whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_short_rows_do_not_see_each_other(dtype):
    """They go 64 at a time: rows that make no sense, other orders and temperatures beside them change no bit."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(130, 9)).astype(dtype)
    x[3, 2], x[70], x[71, :4], x[129, 0] = np.nan, -np.inf, -np.inf, np.inf
    orders = rng.choice([0.5, 0.8, 1.0, 1.5, 1.7, 2.0], size=130)
    temperatures = rng.uniform(0.3, 2, size=130).astype(dtype)
    for alpha, held in ((1.0, 0.5), (1.5, 0.5), (2.0, 0.5), (1.7, 0.5), (orders, temperatures)):
        each = alpha if alpha is orders else np.full(130, alpha)
        for k in (0, 1, 63, 64, 71, 128):
            one = slice(k, k + 1)
            temperature = held[one] if held is temperatures else held
            alone = both(x[one], each[one] if alpha is orders else alpha, temperature)
            for part, whole in zip(alone, both(x, alpha, held), strict=True):
                np.testing.assert_array_equal(part, whole[one])


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_closed_forms_find_what_the_search_does(alpha):
    """Rows of more than 64 entries are searched: absent outcomes make them so. Two groups have two local maxima."""
    rng = np.random.default_rng(6)
    for n in (2, 5, 10, 63):
        x = rng.normal(size=(400, n)) * rng.choice([0.3, 1.0, 3.0], size=(400, 1))
        x[::2, 1:] = -rng.uniform(1.5, 5, size=(200, 1)) + 0.1 * x[::2, 1:]
        x[::2, 0] = 0
        absent = np.full((400, 65 - n), -np.inf)
        want = both(np.concatenate([x, absent], 1), alpha)
        got = both(x, alpha)
        np.testing.assert_allclose(got[0], want[0][:, :n], rtol=0, atol=1e-13)
        np.testing.assert_allclose(got[2], want[2], rtol=1e-14, atol=1e-14)
        single = argmax(x.astype(np.float32), alpha)
        exact = argmax(x.astype(np.float32).astype(np.float64), alpha)
        assert (np.linalg.norm(single - exact, axis=1) <= 16 * 2**-23 * np.linalg.norm(exact, axis=1)).all()


def turned(x, alpha):
    """Return the same along the first axis."""
    return both(np.ascontiguousarray(x.T), alpha, 0.5, np.roll(x, 1, -1).T, axis=0)


def test_threads_change_no_bit(monkeypatch):
    x = np.random.default_rng(0).normal(size=(200, 700)).astype(np.float32)
    for alpha in (1.0, 1.5, 1.7):
        want = both(x, alpha)
        with monkeypatch.context() as patch:
            patch.setattr(native, "threads", lambda: 3)
            for one, other in zip(both(x, alpha), want, strict=True):
                np.testing.assert_array_equal(one, other)


def compare(got, want, dtype, temperature):
    """Compare rows that need not be finite with those of the array-API code."""
    tolerance = 256 * np.finfo(dtype).eps
    for part, exact in zip(got, want, strict=True):
        np.testing.assert_array_equal(np.isnan(part), np.isnan(exact))
        known = np.nan_to_num(exact.astype(np.float64))
        size = np.linalg.norm(known, axis=-1, keepdims=True) if part.ndim > 1 else np.abs(known) + temperature
        assert (np.abs(np.nan_to_num(part) - known) <= tolerance * size + np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", ORDERS)
def test_the_same_as_the_array_api_code(alpha, dtype):
    """Masked, tied, absent outcomes, rows that make no sense, and what is multiplied by 0."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(14, 37)).astype(dtype)
    x[1, 3:9] = x[1].max() + 1
    x[2] = 0.25
    x[3, ::2] = -np.inf
    x[4, 5], x[5, 5], x[6] = np.nan, np.inf, -np.inf
    x[7] *= 100
    x[8] = np.where(np.arange(37) == 4, 0, -np.inf)
    where = rng.random(x.shape) < 0.7
    where[:, 4] = True
    cotangent = rng.normal(size=x.shape)
    cotangent[[4, 9]] = 0
    temperature = rng.uniform(0.3, 2, size=14).astype(dtype)
    temperature[10:12] = 0, np.inf
    for held, mask in ((0.7, None), (0.7, where), (temperature, where)):
        got = both(x, alpha, held, cotangent, where=mask)
        with native.off():
            want = both(x, alpha, held, cotangent, where=mask)
        compare(got, want, dtype, np.nan_to_num(held, posinf=0))


def test_orders_of_rows():
    rng = np.random.default_rng(4)
    x, cotangent = rng.normal(size=(2, len(ORDERS), 30))
    orders = np.asarray(ORDERS)
    want = [both(row, float(alpha), 0.8, vector) for row, alpha, vector in zip(x, orders, cotangent, strict=True)]
    for part, alone in zip(both(x, orders, 0.8, cotangent), zip(*want, strict=True), strict=True):
        np.testing.assert_allclose(part, np.stack(alone), rtol=1e-12, atol=1e-14)
    orders[:3] = math.nan, -1.0, math.inf
    assert np.isnan(argmax(x, orders)[:2]).all()
    np.testing.assert_allclose(argmax(x, orders)[2], argmax(x[2], math.inf))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_what_torch_keeps_for_backward(dtype):
    """The derivatives of a second call: what is kept is what they would find again."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    x, cotangent = torch.randn(2, 9, 21, generator=generator).to(getattr(torch, dtype))
    for alpha, f in itertools.product((0.7, 1, 1.5, 3.0), (argmax, largest)):
        scores = x.clone().requires_grad_()
        value = f(scores, alpha, 0.5)
        along = cotangent if f is argmax else cotangent[:, 0]
        value.backward(along)
        again, gradient = renyi.value_and_grad(f)(x, alpha, 0.5, cotangent=along)
        kept = {"rtol": 0, "atol": 0} if dtype.startswith("float") else {"rtol": 1e-2, "atol": 1e-3}
        torch.testing.assert_close(value.detach(), again, **kept)
        torch.testing.assert_close(scores.grad, gradient, **kept)
        assert scores.grad.dtype == value.dtype == x.dtype
