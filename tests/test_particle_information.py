"""particle_mutual_information: against its definition pair by pair, its laws, known densities, and bad input."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import pytest

import renyi_core as renyi

SHAPES = ((12, 1, 1, 1), (12, 2, 1, 3), (9, 1, 3, 8))
"""Samples, dimensions of x and of y, and k."""


def pairs(n, dx, dy, seed=0):
    """Return samples of x and y, which have something in common."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(n, dx)), rng.normal(size=(n, dy))
    return x, x[:, :1] + 0.5 * noise


def exact(x, y, k):
    """The estimate by its definition."""
    gaps = [np.abs(part[:, None] - part[None]).max(-1) for part in (x, y)]
    reach = np.sort(np.maximum(*gaps), axis=-1)[:, k]
    counts = [(gap < reach[:, None]).sum(-1) for gap in gaps]
    with mpmath.workdps(30):
        own = mpmath.fsum(mpmath.psi(0, int(n)) for part in counts for n in part) / len(x)
        return float(mpmath.psi(0, k) + mpmath.psi(0, len(x)) - own)


@pytest.mark.parametrize(("n", "dx", "dy", "k"), SHAPES)
def test_value(backend, n, dx, dy, k):
    sets = [pairs(n, dx, dy, seed) for seed in range(3)]
    for dtype in backend.dtypes:
        x, y = (np.stack([one[i] for one in sets]).astype(dtype) for i in range(2))
        f = backend.compiled(functools.partial(renyi.particle_mutual_information, k=k))
        got = f(backend.asarray(x, dtype), backend.asarray(y, dtype))
        assert got.dtype == backend.asarray(x, dtype).dtype
        want = [exact(*both, k) for both in zip(x, y, strict=True)]
        np.testing.assert_allclose(backend.numpy(got), want, rtol=0, atol=32 * np.finfo(dtype).eps)


def test_laws(backend):
    """It is the same for x and y exchanged, moved, scaled together or given in another base; y may serve several x."""
    if backend.compiles:
        pytest.skip("each shape is a compilation")
    x, y = pairs(20, 2, 1)
    f = functools.partial(renyi.particle_mutual_information, k=2)
    value = float(backend.numpy(f(backend.asarray(x), backend.asarray(y))))
    for given, options, factor in (
        ((y, x), {}, 1),
        ((8 * x + 64, 8 * y), {}, 1),
        ((x * 2.0**-900, y * 2.0**-900), {}, 1),
        ((x, y), {"base": 2}, 1 / math.log(2)),
    ):
        got = f(*map(backend.asarray, given), **options)
        assert float(backend.numpy(got)) == pytest.approx(value * factor, rel=1e-13)
    several = backend.numpy(f(backend.asarray(np.stack([x, x[::-1]])), backend.asarray(y)))
    np.testing.assert_allclose(several, [value, exact(x[::-1], y, 2)], rtol=1e-5)


def test_pairs_that_coincide_and_sets_that_are_not_finite(backend):
    """+inf where a pair coincides with k others; it is no matter whether x or y alone does. NaN stays alone."""
    x, y = (np.stack([part] * 5) for part in pairs(8, 1, 1))
    x[1, :4] = 0.0
    x[2, :3], y[2, :3] = 1.0, 2.0
    x[3, 5], y[4, 2] = math.nan, math.inf
    got = backend.numpy(
        backend.compiled(functools.partial(renyi.particle_mutual_information, k=2))(
            backend.asarray(x), backend.asarray(y)
        )
    )
    assert np.isfinite(got[:2]).all()
    assert got[2] == math.inf
    assert np.isnan(got[3:]).all()
    assert got[1] == pytest.approx(exact(x[1], y[1], 2), abs=1e-5)


def test_jitter(backend):
    """It spreads rounded pairs, x and y by numbers of their own, also where a function of a shape gives them."""
    if backend.slow or backend.variant == "x32":
        pytest.skip("a thousand pairs")
    x, y = (np.round(part, 1) for part in np.random.default_rng(0).normal(size=(2, 400, 1)))
    given = backend.asarray(x), backend.asarray(y)
    assert float(backend.numpy(renyi.particle_mutual_information(*given, k=1))) == math.inf

    def drawn(shape):
        return backend.asarray(np.random.default_rng(1).random(shape))

    for rng in (np.random.default_rng(1), drawn):
        got = renyi.particle_mutual_information(*given, jitter=0.1, rng=rng)
        noise = 0.1 * (np.random.default_rng(1).random((400, 2)) - 0.5)
        assert float(backend.numpy(got)) == pytest.approx(exact(x + noise[:, :1], y + noise[:, 1:], 3), abs=1e-12)
        assert abs(float(backend.numpy(got))) < 0.1


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_known_densities(backend, correlation):
    """Gaussians: within three deviations as benchmarks/results has them, and the bias is less than one."""
    if backend.library != "numpy":
        pytest.skip("the counts are the same")
    rng = np.random.default_rng(3)
    x, noise = rng.normal(size=(2, 20, 500, 1))
    got = renyi.particle_mutual_information(x, correlation * x + math.sqrt(1 - correlation**2) * noise)
    want = -math.log(1 - correlation**2) / 2
    assert abs(np.mean(got) - want) < 0.03
    assert (np.abs(got - want) < 0.15).all()


def test_search_of_numpy(backend):
    """The tree of SciPy and the comparison of all pairs count the same, ties included."""
    if backend.library != "numpy":
        pytest.skip("of NumPy")
    pytest.importorskip("scipy")
    x, y = (np.round(part, 1) for part in pairs(300, 2, 2))
    value = renyi.particle_mutual_information(x, y, k=4)
    with renyi.agnostic_only():
        assert renyi.particle_mutual_information(x, y, k=4) == value


def test_bad_input(backend):
    x, y = map(backend.asarray, pairs(6, 1, 2))
    f = renyi.particle_mutual_information
    for error, words, args, options in (
        (TypeError, "`samples_x`", ([[1.0], [2.0]], y), {}),
        (TypeError, "`samples_y`", (x, backend.asarray(np.ones((6, 2), dtype=np.int64))), {}),
        (ValueError, "`samples_x` must have the shape", (x[:, 0], y), {}),
        (ValueError, "`samples_y` must have the shape", (x, y[:1, :]), {}),
        (ValueError, "`samples_y` must have as many samples as `samples_x`, 6; got 5", (x, y[:5, :]), {}),
        (ValueError, "`k` must be from 1 to 5", (x, y), {"k": 6}),
        (TypeError, "`k`", (x, y), {"k": 2.0}),
        (ValueError, "`base`", (x, y), {"base": 1}),
        (TypeError, "`jitter` and `rng` belong together", (x, y), {"jitter": 0.1}),
    ):
        with pytest.raises(error, match=words):
            f(*args, **options)
    with pytest.raises(TypeError, match="`f`"):
        renyi.grad(f)


def test_checking(backend):
    """In a block, samples that coincide with k others are told of, and pairs that are not finite."""
    if backend.library == "dask" or backend.compiles:
        pytest.skip("values are read")
    x = np.asarray([[0.0], [1.0], [1.0], [1.0], [3.0]])
    words = "`samples` must be apart from their k-th neighbors: 3 of 5 entries are not, first at .1,.: 0; of rounded"
    with renyi.checking():
        for f in (renyi.particle_entropy, renyi.particle_reward, renyi.value_and_grad(renyi.particle_entropy)):
            with pytest.raises(ValueError, match=words):
                f(backend.asarray(x), 0.5, k=2)
        options = {"jitter": 0.1, "rng": np.random.default_rng(0)}
        assert math.isfinite(renyi.particle_entropy(backend.asarray(x), 0.5, k=2, **options))
        assert math.isfinite(renyi.particle_entropy(backend.asarray(x), 0.5, k=3))
        x[2] = math.nan
        with pytest.raises(ValueError, match="`samples_y` must be finite"):
            renyi.particle_mutual_information(backend.asarray(np.ones((5, 1))), backend.asarray(x))
