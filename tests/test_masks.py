"""Nucleus and high-entropy masks: against a loop over sorted outcomes, ties, masks, rows without meaning, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "jax:x32", "dask")


def nucleus(row, mass, live):
    """The outcomes one by one, of equal ones the first, until they reach the mass."""
    order = sorted((k for k in range(len(row)) if live[k] and row[k] > -math.inf), key=lambda k: (-row[k], k))
    weights = [math.exp(row[k] - row[order[0]]) for k in order]
    found, reached = np.zeros(len(row), bool), 0.0
    for k, weight in zip(order, weights, strict=True):
        if mass < 1 and reached >= mass * math.fsum(weights):
            break
        found[k], reached = True, reached + weight
    return found


def rows():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=(8, 13)) * np.asarray([0.1, 1, 3, 20])[:, None].repeat(2, 0), np.zeros((2, 13))]
    )
    x[2, ::3], x[9] = -np.inf, rng.integers(0, 3, 13)
    return x, rng.random(x.shape) < 0.7


def once(backend):
    if backend.compiles:
        pytest.skip("each operation a compilation, of what test_nucleus runs")


@pytest.mark.parametrize("mass", [0.9, 1e-9, 0.37, 1.0])
def test_nucleus(backend, mass):
    x, live = rows()
    for mask in (None, live):
        want = [
            nucleus(row, mass, keep) for row, keep in zip(x, np.ones_like(live) if mask is None else live, strict=True)
        ]
        where = None if mask is None else backend.asarray(mask)
        got = backend.compiled(lambda x, w=where: renyi.nucleus_mask(x, mass, where=w))(backend.asarray(x))
        assert got.dtype == backend.xp.bool
        np.testing.assert_array_equal(backend.numpy(got), want)


def test_nucleus_along_other_axes_and_of_many_rows(backend):
    once(backend)
    x, live = rows()
    turned = renyi.nucleus_mask(backend.asarray(x.T), 0.8, axis=0, where=backend.asarray(live.T))
    np.testing.assert_array_equal(
        backend.numpy(turned).T, [nucleus(*row) for row in zip(x, [0.8] * len(x), live, strict=True)]
    )
    x = np.random.default_rng(1).normal(size=(3, 40, 500))
    mask = backend.numpy(
        renyi.nucleus_mask(backend.asarray(x), 0.5, axis=1, where=backend.asarray(np.full((40, 1), True)))
    )
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    reached = np.where(mask, p, 0).sum(axis=1)
    assert np.all(reached >= 0.5 - 1e-6)
    assert np.all(reached - np.where(mask, p, 1).min(axis=1) < 0.5 + 1e-6)
    assert np.all(np.where(mask, p, 1).min(axis=1) >= np.where(mask, 0, p).max(axis=1))


def test_nucleus_of_rows_without_meaning(backend):
    once(backend)
    bad = [[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf] * 3, [0, 1, 2]]
    for mass in (0.5, 1.0):
        got = backend.numpy(renyi.nucleus_mask(backend.asarray(np.asarray(bad)), mass))
        assert not got[:3].any()
        assert got[3].any()
    x = backend.asarray(np.asarray(bad[3:], float))
    assert not backend.numpy(renyi.nucleus_mask(x, 0.5, where=backend.asarray(np.zeros(3, bool)))).any()
    assert backend.numpy(
        renyi.nucleus_mask(x, 0.5, where=backend.asarray(np.asarray([True, False, False])))
    ).tolist() == [[True, False, False]]


def test_high_entropy(backend):
    rng = np.random.default_rng(2)
    x, live = rng.integers(0, 6, (4, 2, 7)) / 2, rng.random((4, 2, 7)) < 0.8
    x[0, 0, :3], x[1, 1, 0] = np.nan, -np.inf
    for share in (0.2,) if backend.compiles else (0.2, 1e-9, 0.3, 1.0):
        for mask in (live,) if backend.compiles else (None, live):
            free = (np.ones_like(live) if mask is None else live) & (x > -np.inf)
            order = sorted(np.flatnonzero(free), key=lambda k: (-x.ravel()[k], k))
            want = np.zeros(x.size, bool)
            want[order[: max(1, math.floor(share * len(order) + 0.5))]] = True
            where = None if mask is None else backend.asarray(mask)
            found = backend.compiled(lambda x, s=share, w=where: renyi.high_entropy_mask(x, s, where=w))
            got = found(backend.asarray(x))
            assert got.dtype == backend.xp.bool
            np.testing.assert_array_equal(backend.numpy(got).ravel(), want)


def test_high_entropy_of_few_entries(backend):
    once(backend)
    x = np.arange(14.0).reshape(2, 7)
    nothing = renyi.high_entropy_mask(backend.asarray(x), 0.5, where=backend.asarray(np.zeros(7, bool)))
    assert not backend.numpy(nothing).any()
    assert bool(backend.numpy(renyi.high_entropy_mask(backend.asarray(np.asarray(1.0)), 0.1)))
    if backend.library != "dask":
        assert renyi.high_entropy_mask(backend.asarray(np.zeros((0, 3))), 0.1).shape == (0, 3)


def test_a_bonus_of_the_nucleus_pulls_on_nothing_else(backend):
    once(backend)
    x = backend.asarray(rows()[0][4:8])
    mask = renyi.nucleus_mask(x, 0.9)
    gradient = renyi.grad(renyi.entropy_from_logits)(x, 0.5, where=mask)
    gradient, mask = backend.numpy(gradient), backend.numpy(mask)
    assert not gradient[~mask].any()
    assert np.all(gradient[mask & (mask.sum(axis=1, keepdims=True) > 1)] != 0)
    if backend.library == "torch":
        x = x.requires_grad_()
        assert not renyi.nucleus_mask(x, 0.9).requires_grad
        assert not renyi.high_entropy_mask(x, 0.9).requires_grad


def test_bad_input(backend):
    x = backend.asarray(np.zeros((2, 3)))
    for f, name in ((renyi.nucleus_mask, "mass"), (renyi.high_entropy_mask, "share")):
        for error, bad in (
            (ValueError, 0.0),
            (ValueError, 1.5),
            (ValueError, math.nan),
            (TypeError, "0.5"),
            (TypeError, x),
        ):
            with pytest.raises(error, match=f"`{name}`"):
                f(x, bad)
        with pytest.raises(TypeError, match="`where`"):
            f(x, 0.5, where=x)
        with pytest.raises(ValueError, match="`where`"):
            f(x, 0.5, where=backend.asarray(np.ones(4, bool)))
        with pytest.raises(TypeError, match=r"`logits`|`entropies`"):
            f([0.0, 1.0], 0.5)
    for error, axis in ((ValueError, 2), (TypeError, (0, 1)), (TypeError, None)):
        with pytest.raises(error, match="`axis`"):
            renyi.nucleus_mask(x, 0.5, axis=axis)
