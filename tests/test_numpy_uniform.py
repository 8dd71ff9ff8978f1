"""Divergences next to the uniform distribution, on NumPy and torch's CPU."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import ConfidencePenalty, LabelSmoothing

BACKENDS = ("numpy", "torch")
ORDERS = (0.05, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0, 1 + 1e-9, 1.1, 2.0, 5.0, 20.0)


def exact(row, alpha, *, forward):
    """Return D and its gradient in 100 digits, of logits of which some may be −inf."""
    return _exact(tuple(row.tolist()), alpha, forward)


@functools.cache
def _exact(row, alpha, forward):
    row, outcomes = np.asarray(row), len(row)
    with mpmath.workdps(100):
        values, index, counts = np.unique(row, return_inverse=True, return_counts=True)
        e = [mpmath.exp(mpmath.mpf(float(v)) - float(row.max())) if v > -np.inf else mpmath.mpf(0) for v in values]
        total = mpmath.fsum(int(c) * w for c, w in zip(counts, e, strict=True))
        p, u, a = [w / total for w in e], [mpmath.mpf(1) / outcomes] * len(e), mpmath.mpf(alpha)
        one, other = (p, u) if forward else (u, p)
        live = [i for i in range(len(p)) if p[i] > 0]
        if alpha == 1:
            value = mpmath.fsum(int(counts[i]) * one[i] * mpmath.log(one[i] / other[i]) for i in live)
            tilted = one
        else:
            powers = [one[i] ** a * other[i] ** (1 - a) if p[i] > 0 else mpmath.mpf(0) for i in range(len(p))]
            size = mpmath.fsum(int(c) * w for c, w in zip(counts, powers, strict=True))
            value, tilted = mpmath.log(size) / (a - 1), [w / size for w in powers]
        if not forward:
            slopes = [p[i] - tilted[i] for i in range(len(p))]
        elif alpha == 1:
            slopes = [p[i] * (mpmath.log(p[i] / u[i]) - value) if p[i] > 0 else mpmath.mpf(0) for i in range(len(p))]
        else:
            slopes = [a / (a - 1) * (tilted[i] - p[i]) for i in range(len(p))]
        return value, [slopes[i] for i in index]


def rows(dtype):
    """Rows near the uniform distribution, far from it, and partly near it, by name."""
    rng = np.random.default_rng(1)
    flat = rng.normal(size=60) * 1e-3
    table = {f"normal {scale}": rng.normal(size=60) * scale for scale in (1e-9, 1e-4, 0.01, 0.3, 0.6, 1, 3, 10)}
    table |= {f"one at {far}": np.where(np.arange(60) == 7, far, flat) for far in (-60.0, -30.0, -3.0, 0.5, 3.0, 30.0)}
    table["wide"] = rng.normal(size=60) * 60
    table["five"] = rng.normal(size=5) * 0.4
    table["two"] = np.asarray([0.0, -40.0])
    table["half"] = np.where(np.arange(60) < 30, flat, flat - 50)
    table["far from 0"] = 1000 + np.round(rng.normal(size=50) * 0.1, 3)
    return {name: row.astype(dtype) for name, row in table.items()}


def errors(backend, row, alpha, *, forward, dtype, where=None):
    """Return the errors of value, value beside the gradient, and gradient, in eps, and how the first compare."""
    eps = float(np.finfo(dtype).eps)
    x = backend.asarray(row[None], dtype)
    u = backend.asarray(np.zeros_like(row)[None], dtype)
    mask = None if where is None else backend.asarray(where[None])
    pair = (x, u) if forward else (u, x)
    options = {"where": mask}
    alone = backend.numpy(renyi.divergence_from_logits(*pair, alpha, **options))[0]
    along = renyi.value_and_grad(renyi.divergence_from_logits, wrt=1 - forward)
    value, gradient = (backend.numpy(part)[0] for part in along(*pair, alpha, **options))
    kept = row if where is None else row[where]
    want, slopes = exact(kept, alpha, forward=forward)
    with mpmath.workdps(60):
        size = mpmath.sqrt(mpmath.fsum(s * s for s in slopes))
        got = gradient if where is None else gradient[where]
        miss = mpmath.sqrt(mpmath.fsum((float(g) - s) ** 2 for g, s in zip(got, slopes, strict=True)))
        assert where is None or not gradient[~where].any()
        return [float(abs(float(v) / want - 1)) / eps for v in (alone, value)] + [float(miss / size) / eps]


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_all_kinds(backend, dtype, forward):
    for name, row in rows(dtype).items():
        for alpha in ORDERS[int(forward) :: 2 if backend.few else 1]:
            found = errors(backend, row, alpha, forward=forward, dtype=dtype)
            span = float(np.ptp(row))
            # an entry far below the largest is rounded, and so is α times it
            assert max(found[:2]) <= 24 + span / 2, (name, alpha, found)
            assert found[2] <= 56 + 2 * min(alpha, 1) * min(span, 5), (name, alpha, found)


def test_gradients_of_outcomes_that_cancel(backend):
    """Of a row that is nearly certain under p and under π, and of small logits beside a large one, or one far off."""
    rng = np.random.default_rng(0)
    off = np.where(np.arange(200) == 7, -60.0, rng.normal(size=200) * 1e-3)
    sure = np.where(np.arange(20) == 7, 640.0, 0.0)
    beside = np.where(np.arange(200) == 7, 0.5, rng.normal(size=200) * 1e-3)
    assert errors(backend, off, 1.0, forward=False, dtype="float64")[2] <= 80
    assert errors(backend, sure, 0.9, forward=False, dtype="float64")[2] <= 80
    for dtype in ("float32", "float64"):
        assert errors(backend, beside, 20.0, forward=False, dtype=dtype)[2] <= 24


@pytest.mark.parametrize("forward", [True, False])
def test_cotangents_scale_the_rows_of_the_gradient(backend, forward):
    rng = np.random.default_rng(0)
    rows, scale = rng.normal(size=(5, 9)), rng.normal(size=5)
    rows[3, 3] = 1e4
    x, u = backend.asarray(rows), backend.asarray(np.zeros((1, 9)))
    both = renyi.value_and_grad(renyi.divergence_from_logits, wrt=1 - forward)
    pair = (x, u) if forward else (u, x)
    plain = backend.numpy(both(*pair, 0.3)[1])
    scaled = backend.numpy(both(*pair, 0.3, cotangent=backend.asarray(scale))[1])
    np.testing.assert_allclose(scaled, plain * scale[:, None], rtol=1e-13)
    assert (np.abs(plain).sum(axis=-1)[[0, 1, 2, 4]] > 0.01).all()


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("scale", [1e-4, 0.2, 3.0])
def test_masks_leave_outcomes_out_of_both(backend, scale, forward):
    rng = np.random.default_rng(0)
    row = rng.normal(size=60) * scale
    where = rng.random(60) < 0.6
    row[~where] += rng.normal(size=60)[~where] * 50
    for alpha in (0.3, 1.0, 2.0):
        assert max(errors(backend, row, alpha, forward=forward, dtype="float64", where=where)) <= 24, alpha


@pytest.mark.parametrize("scale", [1e-4, 0.2, 3.0])
def test_outcomes_given_up(backend, scale):
    """Of logit −inf, without a mask: they are outcomes of the uniform distribution."""
    row = np.random.default_rng(0).normal(size=60) * scale
    row[[3, 20, 21]] = -np.inf
    for alpha in (0.3, 0.5, 1.0, 2.0):
        assert max(errors(backend, row, alpha, forward=True, dtype="float64")) <= 24, alpha
    for alpha in (0.3, 0.5):
        assert max(errors(backend, row, alpha, forward=False, dtype="float64")) <= 24, alpha
    x, u = backend.asarray(np.stack([row, np.zeros(60)])), backend.asarray(np.zeros((1, 60)))
    for alpha in (1.0, 2.0):
        value, gradient = renyi.value_and_grad(renyi.divergence_from_logits, wrt=1)(u, x, alpha)
        assert backend.numpy(value).tolist() == [math.inf, 0]
        gradient = backend.numpy(gradient)
        assert np.isnan(gradient[0]).all()
        assert not gradient[1].any()


@pytest.mark.parametrize("term", [ConfidencePenalty(reduction="none"), LabelSmoothing(reduction="none")], ids=repr)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_terms_take_rows_of_all_kinds_in_one_batch(backend, term, alpha):
    """Each row as it is alone; a row that is none is NaN alone; weights of rows and other axes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 30)) * np.asarray([1e-6, 0.3, 5.0])[:, None]
    x[4, 1, 2] = np.nan
    where = rng.random((40, 1, 30)) < 0.8
    weights = rng.random((40, 3))

    def norm(values):
        return np.linalg.norm(np.where(np.isnan(values), 0, values), axis=-1)

    whole, mask = backend.asarray(x), backend.asarray(where)
    options = {"where": mask, "sample_weight": backend.asarray(weights), "alpha": alpha}
    value, gradient = (backend.numpy(part) for part in renyi.value_and_grad(term)(whole, **options))
    np.testing.assert_array_equal(value, backend.numpy(term(whole, **options)))
    lost = np.zeros((40, 3), dtype=bool)
    lost[4, 1] = bool(where[4, 0, 2])
    np.testing.assert_array_equal(np.isnan(value), lost)
    moved = backend.asarray(np.moveaxis(x, -1, 0).copy())
    options["where"] = backend.asarray(np.moveaxis(where, -1, 0).copy())
    other = renyi.value_and_grad(term)(moved, axis=0, **options)
    np.testing.assert_allclose(backend.numpy(other[0]), value, rtol=1e-14)
    assert (norm(np.moveaxis(backend.numpy(other[1]), 0, -1) - gradient) <= 1e-12 * norm(gradient) + 1e-20).all()
    with renyi.agnostic_only():
        options["where"] = mask
        want, want_gradient = (backend.numpy(part) for part in renyi.value_and_grad(term)(whole, **options))
    np.testing.assert_allclose(value, want, rtol=1e-13)
    assert (norm(gradient - want_gradient) <= 1e-12 * norm(gradient) + 1e-20).all()
    np.testing.assert_array_equal(np.isnan(gradient), np.isnan(want_gradient))
