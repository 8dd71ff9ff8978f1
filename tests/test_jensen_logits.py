"""The Jensen–Rényi divergence from logits: against its definition in 80 digits, also of close ones, and its limits."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_autodiff import derivative

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
ORDERS = (0.0, 0.5, 1 - 1e-12, 1.0, 1.1, 2.0, math.inf)
WEIGHTS = np.asarray([0.2, 0.5, 0.3])
RNG = np.random.default_rng(0)
ROW = RNG.normal(size=5)
SETS = {
    "far": 3 * RNG.normal(size=(3, 5)),
    "near": ROW + 1e-6 * RNG.normal(size=(3, 5)),
    "nearer, apart by constants": ROW + 1e-9 * RNG.normal(size=(3, 5)) + np.asarray([[0.0], [10.0], [-3.0]]),
    "of few": np.where(np.eye(3, 5) > 0, -math.inf, RNG.normal(size=(3, 5))),
    "deep": np.asarray([[0.0, -800, -1, -2, -3], [900, 0, 899, 898, 0], [0, -1, -5, -1, 0]]),
}
f = renyi.jensen_divergence_from_logits


def entropy(p, alpha):
    p = [v for v in p if v]
    if alpha in {0, math.inf}:
        return mpmath.log(len(p)) if alpha == 0 else -mpmath.log(max(p))
    if alpha == 1:
        return -mpmath.fsum(v * mpmath.log(v) for v in p)
    return mpmath.log(mpmath.fsum(v**alpha for v in p)) / (1 - alpha)


def by_definition(rows, weights, alpha):
    shares = [w / mpmath.fsum(weights) for w in weights]
    sizes = [[mpmath.exp(v) for v in row] for row in rows]
    probs = [[v / mpmath.fsum(row) for v in row] for row in sizes]
    mean = [mpmath.fsum(w * v for w, v in zip(shares, column, strict=True)) for column in zip(*probs, strict=True)]
    each = [w * entropy(p, alpha) for w, p in zip(shares, probs, strict=True)]
    size = mpmath.norm(
        [
            w * v * mpmath.log(v / m)
            for w, p in zip(shares, probs, strict=True)
            for v, m in zip(p, mean, strict=True)
            if v
        ]
    )
    return entropy(mean, alpha) - mpmath.fsum(each), size


@functools.cache
def exact(name, alpha):
    """The value, its derivatives along logits, weights and α by differences of 1e-40, and the gradient's own size."""
    with mpmath.workdps(120):
        rows = [[mpmath.mpf(v) for v in row] for row in SETS[name].tolist()]
        weights, step = [mpmath.mpf(v) for v in WEIGHTS.tolist()], mpmath.mpf(10) ** -40
        alpha = alpha if math.isinf(alpha) else mpmath.mpf(alpha)
        value, size = by_definition(rows, weights, alpha)

        def along(change):
            return (by_definition(*change(step))[0] - by_definition(*change(-step))[0]) / (2 * step)

        def moved(i, j):
            return lambda h: (
                [[v + h * ((i, j) == (k, n)) for n, v in enumerate(r)] for k, r in enumerate(rows)],
                weights,
                alpha,
            )

        logits = [[along(moved(i, j)) for j in range(5)] for i in range(3)]
        slope = 0 if alpha in {0, math.inf} else along(lambda h: (rows, weights, alpha + h))
        return value, logits, slope, size


def test_grid(backend):
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    x, w = backend.asarray(np.stack(list(SETS.values()))), backend.asarray(WEIGHTS)
    orders = (0.5,) if backend.compiles else ORDERS
    for alpha in orders:
        both = backend.compiled(lambda x, a=alpha: renyi.value_and_grad(f, (0, "alpha"))(x, a, weights=w))
        value, (gradient, slope) = both(x)
        value, gradient, slope = map(backend.numpy, (value, gradient, slope))
        for k, name in enumerate(SETS):
            want, along, curved, size = exact(name, alpha)
            bound = 64 * eps * (1 if name != "deep" else 1 + 800 * min(alpha, 1))
            terms = size if name.startswith("near") else 0
            assert abs(value[k] - want) <= bound * max(abs(want), terms**2), (name, alpha)
            # at α = 0 the differences are 0
            error = mpmath.norm(
                [
                    g - v
                    for own, row in zip(gradient[k], along, strict=True)
                    for g, v in zip(own.tolist(), row, strict=True)
                ]
            )
            assert error <= bound * max(size, mpmath.norm([v for row in along for v in row])), (name, alpha)
            if alpha not in {0, math.inf}:
                assert abs(slope[k] - curved) <= bound * max(abs(curved), abs(want)), (name, alpha)


def test_that_of_probabilities(backend):
    """Of softmax: value, derivatives along the weights, orders in an array, a base, and axes that stay."""
    if backend.compiles:
        pytest.skip("compilations of the same code")
    x, w = backend.asarray(SETS["far"]), backend.asarray(WEIGHTS)
    probs = backend.asarray(np.exp(SETS["far"]))
    orders = backend.asarray(np.asarray([0.5, 1.0, 2.0]))
    for wrt in ("weights", "alpha"):
        options = {"weights": w, "base": 2, "keepdims": True}
        got, want = (
            renyi.value_and_grad(g, wrt)(z[None, ...], orders[:, None, None], **options)
            for g, z in ((f, x), (renyi.jensen_divergence, probs))
        )
        for part, wanted in zip(got, want, strict=True):
            np.testing.assert_allclose(backend.numpy(part), backend.numpy(wanted), rtol=1e-13)
    halves = f(backend.asarray(SETS["far"], "float16"), 2.0) if backend.library != "strict" else None
    assert halves is None or str(halves.dtype).endswith("float16")


def test_automatic_differentiation(backend):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    x = backend.asarray(np.stack([SETS[name] for name in ("far", "near", "of few")]))
    orders = backend.asarray(np.asarray([0.5, 1.0, 2.0]))
    if backend.compiles:
        import jax

        # the order's rule is that of test_grid
        got = [jax.jit(jax.grad(lambda z: f(z, orders).sum()))(x)]
    else:
        got = [derivative(backend, f, x, orders, i) for i in (0, 1)]
    for part, wrt in zip(got, (0, "alpha")[: len(got)], strict=True):
        want = renyi.grad(f, wrt)(np.asarray(x), np.asarray(orders))
        np.testing.assert_allclose(np.asarray(part), want, rtol=1e-9, atol=1e-18)


def test_outcomes_beyond_the_reach_of_the_dtype(backend):
    """What all that have it have far below the others is as good as −inf, but of the support at α = 0."""
    if backend.compiles:
        pytest.skip("compilations of the same code")
    masks = [(-1e4, -1e4), (-760, -math.inf), (-760, -900), (-742, -743), (-1e30, -1e4), (-math.inf, -math.inf)]
    rows = np.asarray([[[0, 1, a], [1, 0, b]] for a, b in masks] + [[[0, -math.inf, a]] * 2 for a, _ in masks[::5]])
    same = np.asarray([5] * 6 + [7] * 2)
    for dtype in backend.dtypes[-2:]:
        eps = float(np.finfo(dtype).eps)
        for alpha in (0.0, 0.01, 0.5, 1.0, 2.0, math.inf):
            value, (gradient, slope) = renyi.value_and_grad(f, (0, "alpha"))(backend.asarray(rows, dtype), alpha)
            value, gradient, slope = map(backend.numpy, (value, gradient, slope))
            want = value[same] if alpha else [0, math.log(1.5) / 2, *[0] * 6]
            np.testing.assert_allclose(value, want, rtol=4 * eps)
            np.testing.assert_allclose(gradient, gradient[same], rtol=16 * eps)
            np.testing.assert_array_equal(gradient[:, :, 2], 0)
            np.testing.assert_allclose(slope, slope[same], rtol=16 * eps)


def test_sets_that_are_none_are_nan_alone(backend):
    if backend.compiles:
        pytest.skip("compilations of the same code")
    rows = np.zeros((5, 2, 3))
    rows[:, 0, 0], rows[1, 0, 1], rows[2, 1, 1], rows[3, 1], rows[4, 0, 1] = 1, math.nan, math.inf, -math.inf, -math.inf
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf):
        value, gradient = renyi.value_and_grad(f)(backend.asarray(rows), alpha)
        np.testing.assert_array_equal(np.isnan(backend.numpy(value)), [0, 1, 1, 1, 0])
        np.testing.assert_array_equal(np.isnan(backend.numpy(gradient)).any((1, 2)), [0, 1, 1, 1, 0])
        assert backend.numpy(gradient)[4, 0, 1] == 0


def test_bad_input(backend):
    x = backend.asarray(np.zeros((2, 3)))
    for error, message, args, options in (
        (TypeError, "`logits`", ([[0.0]], 2.0), {}),
        (ValueError, "`logits`", (backend.asarray(np.zeros(3)), 2.0), {}),
        (ValueError, "`alpha`", (x, -1.0), {}),
        (ValueError, "`weights`", (x, 2.0), {"weights": backend.asarray(np.ones(3))}),
    ):
        with pytest.raises(error, match=message):
            f(*args, **options)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=8, max_size=8), st.floats(0, 1), st.floats(-100, 100))
def test_laws(backend, rows, alpha, shift):
    """Not negative up to α = 1, at most the entropy of the weights at 1, and constants are nothing."""
    if backend.library != "numpy":
        pytest.skip("the same code, and slower")
    x = np.reshape(rows, (2, 4))
    assert f(x, alpha) >= 0
    assert f(x, 1.0) <= math.log(2) + 1e-15
    assert f(x + np.asarray([[shift], [0]]), alpha) == pytest.approx(float(f(x, alpha)), rel=1e-9, abs=1e-12)
