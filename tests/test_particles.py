"""Entropy by nearest neighbors: the definition in 60 digits, laws of motion, consistency, ties, derivatives."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import oracle_particles as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "jax:x32", "dask")
BOUND, COARSE = 8, 64


def sample(n, d, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * scale


def orders(k):
    return (0.0, 0.3, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 1.5, 2.0, k + 0.9)


def bound(backend, dtype):
    return COARSE if backend.bounds[dtype][0] > 16 else BOUND


SHAPES = ((6, 1, 1), (7, 2, 2), (12, 3, 3))


@pytest.mark.parametrize(("n", "d", "k"), SHAPES)
def test_value(backend, n, d, k):
    # JAX has a variant of its own for float32
    for dtype in backend.dtypes[-1:] if backend.compiles else backend.dtypes:
        rows = sample(n, d).astype(dtype)
        x, eps = backend.asarray(rows, dtype), float(np.finfo(dtype).eps)
        alphas = [a for a in orders(k) if a < k + 1]
        want = np.asarray([float(oracle.entropy(rows.tolist(), k, a)) for a in alphas])
        size = np.asarray([float(oracle.size(rows.tolist(), k, a)) for a in alphas])
        f = backend.compiled(lambda x, a, k=k: renyi.particle_entropy(x, a, k=k))
        got = backend.numpy(f(x[None, ...], backend.asarray(np.asarray(alphas))))
        assert got.dtype == dtype
        assert (np.abs(got - want) <= bound(backend, dtype) * eps * size).all(), (got - want) / eps / size
        some = range(len(alphas)) if not backend.slow else () if backend.compiles and d > 1 else (3,)
        for i in some:
            f = backend.compiled(lambda x, a=alphas[i], k=k: renyi.particle_entropy(x, a, k=k))
            got = backend.numpy(f(x))
            assert abs(got - want[i]) <= bound(backend, dtype) * eps * size[i], (alphas[i], got, want[i])


def test_extreme_scales(backend):
    """Squares of these differences would overflow or vanish, or make neighbors of all samples."""
    for dtype, scales in {"float32": (1e-30, 1e30), "float64": (1e-200, 1e200)}.items():
        if dtype not in backend.dtypes:
            continue
        rows = np.stack([sample(8, 2, 1, scale) for scale in scales]).astype(dtype)
        f = backend.compiled(lambda x: renyi.particle_entropy(x, 2.0))
        got = backend.numpy(f(backend.asarray(rows, dtype)))
        for i, row in enumerate(rows.tolist()):
            want, size = oracle.entropy(row, 3, 2), oracle.size(row, 3, 2)
            assert abs(got[i] - want) <= bound(backend, dtype) * float(np.finfo(dtype).eps) * size


def test_scales_apart(backend):
    """Distances that are next to nothing beside others: no warning, no NaN."""
    if backend.slow:
        pytest.skip("the others are alike")
    x = backend.asarray(np.asarray([[0.0], [1e-200], [1e160], [-1e160]]))
    assert np.isfinite(backend.numpy(renyi.particle_entropy(x, 0.5, k=1)))


def test_half_precision(backend):
    if backend.library not in {"numpy", "torch"}:
        pytest.skip("the others are alike")
    rows = sample(8, 2).astype(np.float16)
    got = renyi.particle_entropy(backend.asarray(rows, "float16"), 2.0)
    want = renyi.particle_entropy(rows.astype(np.float32), 2.0)
    assert backend.numpy(got).dtype == np.float16
    assert backend.numpy(got) == np.float16(want)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_jitter_of_rounded_samples(backend, alpha):
    """N(0, 1) rounded to 0.01: −1.752 without, at α = 1/2, and the closed form within what the samples scatter by."""
    if backend.name not in {"numpy", "torch"}:
        pytest.skip("the noise is added in the same code, and 5,000 samples take long")
    x = np.round(np.random.default_rng(0).normal(size=(5000, 1)), 2)
    got = renyi.particle_entropy(backend.asarray(x), alpha, jitter=0.01, rng=np.random.default_rng(9))
    exact = float(renyi.gaussian_entropy(np.eye(1), alpha))
    assert abs(float(got) - exact) < 0.04
    assert float(renyi.particle_entropy(backend.asarray(x), alpha)) < exact - 3


def test_jitter_is_what_is_added(backend):
    """From any source of uniform numbers, in any width for each dimension, to samples that then have a gradient."""
    x, noise = np.round(sample(12, 2), 0), np.random.default_rng(3).random((12, 2))
    width = backend.asarray(np.asarray([1.0, 2.0]))
    want = backend.asarray(x + np.asarray([1.0, 2.0]) * (noise - 0.5))
    sources = [np.random.default_rng(3), lambda shape: backend.asarray(np.random.default_rng(3).random(shape))]
    for rng in sources[: 1 if backend.slow else 2]:
        reward = backend.compiled(lambda x, rng=rng: renyi.particle_reward(x, 0.5, jitter=width, rng=rng))
        got = reward(backend.asarray(x))
        expected = backend.numpy(backend.compiled(lambda x: renyi.particle_reward(x, 0.5))(want))
        np.testing.assert_allclose(backend.numpy(got), expected, rtol=8 * np.finfo(expected.dtype).eps)
    f, rng = renyi.value_and_grad(renyi.particle_entropy), np.random.default_rng(3)
    got = backend.compiled(lambda x: f(x, 0.5, jitter=width, rng=rng))(backend.asarray(x))
    rtol = {"float64": 1e-10, "float32": 1e-4}[backend.dtypes[-1]]
    for part, expected in zip(got, backend.compiled(lambda x: f(x, 0.5))(want), strict=True):
        np.testing.assert_allclose(backend.numpy(part), backend.numpy(expected), rtol=rtol)


def test_bad_jitter(backend):
    x = backend.asarray(sample(5, 2))
    rng = np.random.default_rng(0)
    cases = [
        (TypeError, "`jitter` and `rng` belong together", {"jitter": 0.1}),
        (TypeError, "`jitter` and `rng` belong together", {"rng": rng}),
        (ValueError, "`jitter` must be >= 0", {"jitter": -0.1, "rng": rng}),
        (TypeError, "`jitter` must be a number or an array", {"jitter": "1", "rng": rng}),
        (ValueError, "`jitter` of shape .* does not broadcast", {"jitter": backend.asarray(np.ones(3)), "rng": rng}),
        (TypeError, "`rng` must have a method `random`", {"jitter": 0.1, "rng": 0}),
        (ValueError, "`rng` must give numbers of the shape", {"jitter": 0.1, "rng": lambda shape: rng.random(3)}),
    ]
    for f in (renyi.particle_entropy, renyi.particle_reward):
        for error, message, options in cases:
            with pytest.raises(error, match=message):
                f(x, 0.5, **options)


@functools.cache
def compiled_once(backend):
    return backend.compiled(renyi.particle_entropy)


@given(seed=st.integers(0, 2**32 - 1), power=st.integers(-30, 30), alpha=st.sampled_from((0.0, 0.5, 1.0, 1.7, 3.5)))
def test_scale_and_translation(backend, seed, power, alpha):
    """H(aX) = H(X) + d log a; a translation that rounds nothing changes nothing."""
    rows = np.random.default_rng(seed).integers(0, 1 << 10, size=(6, 2)).astype(np.float32) + np.eye(6, 2) / 8
    x = np.stack([rows, rows * 2.0**power, rows + 2.0**12, rows[::-1]])
    alpha = backend.asarray(np.asarray(alpha)) if backend.compiles else alpha
    got = backend.numpy(compiled_once(backend)(backend.asarray(x), alpha))
    assert got[2] == got[0]
    if not backend.slow:
        slope = backend.numpy(renyi.grad(renyi.particle_entropy, "alpha")(backend.asarray(x[:3]), alpha))
        assert (slope == slope[0]).all()
    wants = got[0] + 2 * power * math.log(2), got[0]
    tolerance = 64 * np.finfo(got.dtype).eps * (20 + 2 * abs(power))
    for value, want in zip(got[[1, 3]], wants, strict=True):
        assert value == want or abs(value - want) <= tolerance


# (bias, standard deviation) of one estimate from 2,000 samples at α = 1/2, 1, 2, measured over 1,000 sets
MEASURED = {
    ("gaussian", 1): ((-0.0171, 0.0257), (-0.0003, 0.0233), (0.0016, 0.0428)),
    ("gaussian", 2): ((-0.0870, 0.0330), (-0.0093, 0.0283), (0.0034, 0.0487)),
    ("cube", 1): ((0.0001, 0.0138), (-0.0003, 0.0178), (-0.0010, 0.0385)),
    ("cube", 3): ((0.1212, 0.0163), (0.1027, 0.0192), (0.0729, 0.0367)),
}


@pytest.mark.parametrize(("density", "d"), MEASURED)
def test_consistency(backend, density, d):
    """Means over 20 sets, other than those measured, are within five of their standard errors of the exact entropy."""
    if backend.name != "numpy":
        pytest.skip("the others are alike")
    rng = np.random.default_rng([17, d])
    shape, alphas = (20, 2000, d), np.asarray([[0.5], [1.0], [2.0]])
    x = rng.normal(size=shape) if density == "gaussian" else rng.uniform(size=shape)
    exact = renyi.gaussian_entropy(np.eye(d)[None], alphas[:, 0]) if density == "gaussian" else np.zeros(3)
    means = renyi.particle_entropy(x[None], alphas).mean(axis=-1)
    for mean, entropy, (bias, deviation) in zip(means, exact, MEASURED[density, d], strict=True):
        assert abs(mean - entropy - bias) <= 5 * deviation / math.sqrt(20)


def test_sets_are_apart(backend):
    if backend.variant == "x32":
        pytest.skip("float64 is alike")
    sets = np.stack([sample(9, 2, seed) for seed in range(6)]).reshape(2, 3, 9, 2)
    x = backend.asarray(sets)
    got = backend.numpy(backend.compiled(lambda x: renyi.particle_entropy(x, 2.0))(x))
    assert got.shape == (2, 3)
    one = [[float(renyi.particle_entropy(s, 2.0)) for s in row] for row in sets]
    rtol = 1e-13
    np.testing.assert_allclose(got, one, rtol=rtol)
    alphas = backend.asarray(np.asarray([[[0.5]], [[4.0]], [[2.0]], [[9.0]], [[math.inf]], [[-1.0]]]))
    table = backend.numpy(backend.compiled(lambda x, a: renyi.particle_entropy(x, a, base=2))(x[None, ...], alphas))
    assert table.shape == (6, 2, 3)
    np.testing.assert_allclose(table[2], got / math.log(2), rtol=rtol)
    assert np.isfinite(table[0]).all()
    assert np.isnan(table[[1, 3, 4, 5]]).all()
    for wrt in () if backend.slow else (0, "alpha"):
        slopes = backend.numpy(renyi.grad(renyi.particle_entropy, wrt)(x[None, ...], alphas))
        assert np.isfinite(slopes[[0, 2]]).all()
        assert np.isnan(slopes[[1, 3, 4, 5]]).all()


def test_set_that_is_not_finite_gives_nan_alone(backend):
    """Nor where distances could overflow."""
    sets = np.stack([sample(6, 2, seed) for seed in range(7)])

    def parts(x):
        value, gradient = renyi.value_and_grad(renyi.particle_entropy)(x, 0.5)
        slope = renyi.grad(renyi.particle_entropy, "alpha")(x, 0.5)
        return value, gradient, slope, renyi.particle_reward(x, 0.5)

    f = backend.compiled(parts)
    want = [backend.numpy(part)[::2] for part in f(backend.asarray(sets))]
    large = float(np.finfo(backend.dtypes[-1]).max) / 2
    sets[1, 0, 0], sets[3, 5, 1], sets[5, 1], sets[5, 2] = math.nan, math.inf, -large, large
    got = list(map(backend.numpy, f(backend.asarray(sets))))
    for part, sound in zip(got, want, strict=True):
        assert np.isnan(part[1::2]).all()
        np.testing.assert_array_equal(part[::2], sound)
        assert np.isfinite(sound).all()


def test_samples_that_coincide(backend):
    """Where k others lie on a sample: −inf from α = 1 on; below, a sum without the sample, and no derivative in it."""
    if backend.variant == "x32":
        pytest.skip("float64 is alike")
    rows = sample(7, 2)
    rows[1] = rows[3] = rows[0]
    x = backend.asarray(np.stack([rows, np.zeros((7, 2))]))
    alphas = np.asarray([0.0, 0.5, 0.99, 1.0, 1.000001, 2.0])
    rtol = 1e-13
    want = [float(oracle.entropy(rows.tolist(), 2, a)) for a in alphas[:3]]
    slopes = [oracle.alpha_gradient(rows.tolist(), 2, a) for a in alphas[:3]]
    rules = [renyi.value_and_grad(renyi.particle_entropy, wrt) for wrt in (0, "alpha")]
    pairs = backend.compiled(lambda x, a: [both(x[None, ...], a, k=2) for both in rules])(
        x, backend.asarray(alphas[:, None])
    )
    for both, pair in zip(rules, pairs, strict=True):
        value, gradient = map(backend.numpy, pair)
        np.testing.assert_allclose(value[:3, 0], want, rtol=rtol)
        assert (value[3:] == -math.inf).all()
        assert (value[:, 1] == -math.inf).all()
        assert np.isfinite(gradient).all()
        assert (gradient[3:] == 0).all()
        assert (gradient[:, 1] == 0).all()
        if gradient.ndim == 2:
            np.testing.assert_allclose(gradient[:3, 0], slopes, rtol=10 * rtol)
        else:
            assert (gradient[:3, 0, [2, 4, 5, 6]] != 0).all()
        for i in range(6) if not backend.slow else ():
            value_i, gradient_i = both(x, float(alphas[i]), k=2)
            np.testing.assert_allclose(backend.numpy(value_i), value[i], rtol=1e-14)
            np.testing.assert_allclose(backend.numpy(gradient_i), gradient[i], rtol=1e-11, atol=1e-13)
    if not backend.slow:
        tiny = renyi.particle_entropy(backend.asarray(rows * 2.0**-660), 0.0, k=2)
        assert backend.numpy(tiny) == pytest.approx(want[0] - 2 * 660 * math.log(2), rel=1e-13)
    reward = backend.numpy(backend.compiled(lambda x: renyi.particle_reward(x, 0.5, k=2))(x))
    assert (reward[0][[0, 1, 3]] == 0).all()
    assert (reward[0][[2, 4, 5, 6]] > 0).all()
    assert (reward[1] == 0).all()


DERIVATIVES = (0.0, 0.5, 1 + 1e-12, 2.0, 3.5)


@pytest.mark.parametrize("wrt", [0, "alpha"])
def test_derivatives(backend, wrt):
    k = 3
    rows = sample(7, 2, 4).astype(np.float32).astype(np.float64)
    exact = oracle.gradient if wrt == 0 else oracle.alpha_gradient
    want = np.asarray([exact(rows.tolist(), k, a) for a in DERIVATIVES])
    weights = np.arange(5.0)
    both = renyi.value_and_grad(renyi.particle_entropy, wrt)

    def parts(x, alphas, weights):
        value, slope = both(x, alphas, k=k)
        return value, renyi.particle_entropy(x, alphas, k=k), slope, both(x, alphas, k=k, cotangent=weights, base=2)[1]

    x, alphas = backend.asarray(rows), backend.asarray(np.asarray(DERIVATIVES))
    f = backend.compiled(parts)
    value, plain, got, product = map(backend.numpy, f(x[None, ...], alphas, backend.asarray(weights)))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    np.testing.assert_allclose(value, plain, rtol=4 * eps)
    assert got.shape == want.shape
    scale = np.max(np.abs(want), axis=tuple(range(1, want.ndim)), keepdims=True)
    assert (np.abs(got - want) <= 64 * eps * scale).all(), (got - want) / eps / scale
    total = (np.tensordot(weights, want, 1)[None] if wrt == 0 else weights * want) / math.log(2)
    assert product.shape == total.shape
    assert (np.abs(product - total) <= 64 * eps * np.max(np.abs(total))).all()
    for i in range(5) if not backend.slow else ():
        _, one = both(x, DERIVATIVES[i], k=k)
        assert (np.abs(backend.numpy(one) - want[i]) <= 64 * eps * scale[i]).all()


def test_alpha_derivative_at_one(backend):
    """Half of trigamma(k) less the variance of d log ρ."""
    rows = sample(7, 2, 4)
    rho = [float(r) for r in oracle.distances(rows.tolist(), 3)]
    want = (float(mpmath.psi(1, 3)) - np.var(2 * np.log(rho))) / 2
    x = backend.asarray(rows)
    f = renyi.grad(renyi.particle_entropy, "alpha")
    for alpha in (1, backend.asarray(np.asarray(1.0))):
        slope = backend.compiled(lambda x, a=alpha: f(x, a))(x)
        assert backend.numpy(slope) == pytest.approx(want, rel=1e-4 if backend.dtypes == ("float32",) else 1e-12)


def test_automatic_differentiation(backend):
    """Through values that are −inf too, and a distance of 0; the rule says the same."""
    if backend.library not in {"torch", "jax"} or backend.variant:
        pytest.skip("no automatic differentiation, or that of float64")
    twins = sample(7, 2, 5)
    twins[1] = twins[0]
    x = backend.asarray(np.stack([sample(7, 2, 4), twins])[None])
    alphas = backend.asarray(np.asarray([[0.5], [1.0], [1.5]]))

    def total(x, alphas):
        values = renyi.particle_entropy(x, alphas, k=1)
        return backend.xp.where(values > -math.inf, values, 0.0).sum()

    def reward(x, alphas):
        return renyi.particle_reward(x, alphas[:1], k=1).sum()

    def rules(x, alphas):
        return [renyi.grad(renyi.particle_entropy, wrt)(x, alphas, k=1, cotangent=1.0) for wrt in (0, "alpha")]

    if backend.library == "jax":
        import jax

        got, finite, want = jax.jit(
            lambda *args: (jax.grad(total, (0, 1))(*args), jax.grad(reward, (0, 1))(*args), rules(*args))
        )(x, alphas)
    else:
        leaves = [part.clone().requires_grad_() for part in (x, alphas)]
        got, finite = (backend.xp.autograd.grad(f(*leaves), leaves) for f in (total, reward))
        want = rules(x, alphas)
    for part, exact in zip(map(backend.numpy, got), map(backend.numpy, want), strict=True):
        assert np.isfinite(part).all()
        assert (np.abs(part - exact) <= 64 * 2.0**-52 * np.max(np.abs(exact))).all()
    assert all(np.isfinite(backend.numpy(part)).all() for part in finite)


def test_transforms_of_torch(backend):
    """Mapped, compiled, and differentiated twice."""
    if backend.library != "torch":
        pytest.skip("a test of torch")
    import torch

    x = backend.asarray(np.stack([sample(6, 2, seed) for seed in range(3)]))

    def f(x):
        return renyi.particle_entropy(x, 1.5, k=2)

    np.testing.assert_allclose(torch.func.vmap(f)(x), f(x), rtol=1e-14)
    compiled = torch.compile(f, backend="eager", fullgraph=True)
    np.testing.assert_allclose(compiled(x), f(x), rtol=1e-14)
    assert torch.autograd.gradgradcheck(f, (x[:1].clone().requires_grad_(),))


def test_reward(backend):
    """Neighbors on a line by hand: distances 1, 1, 2 and 9."""
    x = backend.asarray(np.asarray([[0.0], [1.0], [3.0], [12.0]]))
    for alpha in (0.25, 0.5, 0.9)[: 1 if backend.slow else 3]:
        got = backend.numpy(renyi.particle_reward(x, alpha, k=1))
        np.testing.assert_allclose(got, np.asarray([1.0, 1.0, 2.0, 9.0]) ** (1 - alpha), rtol=1e-6)
    got = backend.numpy(renyi.particle_reward(x, 0.5, k=2))
    np.testing.assert_allclose(got, np.sqrt([3.0, 2.0, 3.0, 11.0]), rtol=1e-6)
    furthest = backend.numpy(renyi.particle_reward(x, 0.5, k=np.int64(3)))
    np.testing.assert_allclose(furthest, np.sqrt([12.0, 11.0, 9.0, 12.0]), rtol=1e-6)
    alphas = backend.asarray(np.asarray([[0.5], [0.0], [1.0], [2.0], [math.inf], [-1.0], [math.nan]]))
    table = backend.numpy(renyi.particle_reward(x[None, ...], alphas, k=2))
    np.testing.assert_array_equal(table[0], got)
    assert np.isnan(table[1:]).all()


def test_bad_input(backend):
    x = backend.asarray(sample(5, 2))
    cases = [
        (TypeError, "`samples`", ([[1.0], [2.0]], 0.5), {}),
        (TypeError, "`samples`", (backend.asarray(np.ones((5, 2), dtype=np.int64)), 0.5), {}),
        (ValueError, "`samples`", (x[:, 0], 0.5), {}),
        (ValueError, "`samples`", (x[:1, :], 0.5), {}),
        (ValueError, "`samples`", (x[:, :0], 0.5), {}),
        (ValueError, "`k`", (x, 0.5), {"k": 0}),
        (ValueError, "`k`", (x, 0.5), {"k": 5}),
        (TypeError, "`k`", (x, 0.5), {"k": 1.0}),
        (TypeError, "`k`", (x, 0.5), {"k": True}),
        (ValueError, "`alpha`", (x, -0.1), {}),
        (ValueError, "`alpha`", (x, math.nan), {}),
        (TypeError, "`alpha`", (x, 2j), {}),
        (TypeError, "`alpha`", (x, "2"), {}),
    ]
    for f in (renyi.particle_entropy, renyi.particle_reward):
        for error, message, args, kwargs in cases:
            with pytest.raises(error, match=message):
                f(*args, **kwargs)
    if backend.library == "dask":
        for f in (renyi.particle_entropy, renyi.particle_reward):
            with pytest.raises(ValueError, match="`samples` must have a known number"):
                f(x[x[:, 0] > 0], 0.5)
    sets = backend.asarray(np.stack([sample(5, 2)] * 2))
    with pytest.raises(ValueError, match="`alpha`"):
        renyi.particle_entropy(sets, backend.asarray(np.ones(3)))
    for f in (renyi.particle_entropy, renyi.value_and_grad(renyi.particle_entropy)):
        for alpha in (4, 4.0, 5, math.inf):
            with pytest.raises(ValueError, match="`alpha` must be less than `k`"):
                f(x, alpha)
        with pytest.raises(ValueError, match="`base`"):
            f(x, 2, base=1)
    for alpha in (0, 1, 1.5, math.inf):
        with pytest.raises(ValueError, match="`alpha` must be between 0 and 1"):
            renyi.particle_reward(x, alpha)
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(renyi.particle_entropy)(x, 2, cotangent=backend.asarray(np.ones(3)))
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(renyi.particle_entropy, 1)
    with pytest.raises(TypeError, match="`f`"):
        renyi.grad(renyi.particle_reward)
