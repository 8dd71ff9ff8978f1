"""Entropies from counts and log-densities: exact small cases, bias within its standard error, limits, bad input."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_autodiff import derivative

import renyi_core as renyi

BACKENDS = ("numpy", "strict", "torch", "jax", "dask")


def read(backend, estimate):
    return [backend.numpy(part) for part in estimate]


def test_small_cases(backend):
    """Counts 6, 3, 1 by hand: Σ p² = 0.46, and (6·5 + 3·2)/(10·9) = 0.4 without bias."""
    for counts in (np.asarray([[6, 3, 1], [2, 1, 1]]), np.asarray([[6.0, 3.0, 1.0], [2.0, 1.0, 1.0]])):
        x = backend.asarray(counts)
        estimate = renyi.entropy_from_counts(x, 2)
        assert isinstance(estimate, renyi.EntropyEstimate)
        value, error = read(backend, estimate)
        np.testing.assert_allclose(value, -np.log([0.46, 0.375]), rtol=1e-6)
        p = counts[0] / 10
        # the delta method: Var(2p/S)/N
        want = 2 * math.sqrt(((p**3).sum() - 0.46**2) / 10) / 0.46
        assert float(error[0]) == pytest.approx(want, rel=1e-6)
        value, _ = read(backend, renyi.entropy_from_counts(x, 2, estimator="unbiased", base=2))
        np.testing.assert_allclose(value, -np.log2([0.4, 1 / 6]), rtol=1e-6)
        value, _ = read(backend, renyi.entropy_from_counts(x, 1, estimator="bias-corrected"))
        want = -(p * np.log(p)).sum() + 2 / 20
        assert float(value[0]) == pytest.approx(want, rel=1e-6)
    value, _ = read(
        backend, renyi.entropy_from_counts(backend.asarray(np.asarray([1.0, 1.0])), 2, estimator="unbiased")
    )
    assert value == math.inf
    value, _ = read(
        backend, renyi.entropy_from_counts(backend.asarray(np.asarray([1.0, 1.0])), 3, estimator="unbiased")
    )
    assert np.isnan(value)


def test_counts_without_meaning_stay_alone(backend):
    x = backend.asarray(np.asarray([[0.0, 0.0], [-1.0, 4.0], [math.nan, 2.0], [3.0, 3.0]]))
    for estimator in ("plug-in", "bias-corrected", "unbiased"):
        value, error = read(backend, renyi.entropy_from_counts(x, 2, estimator=estimator))
        np.testing.assert_array_equal(np.isnan(value), [1, 1, 1, 0])
        np.testing.assert_array_equal(np.isnan(error), [1, 1, 1, 0])


@pytest.mark.parametrize("alpha", [0.5, 1, 2, 3])
def test_bias_and_standard_error(alpha):
    """Means over 4,000 experiments of 200 draws: what is unbiased, what is less biased, and by how much it scatters."""
    p = np.asarray([0.4, 0.3, 0.15, 0.1, 0.05])
    counts = np.random.default_rng(3).multinomial(200, p, size=4000)
    exact = float(renyi.entropy(p, alpha))
    plug_in = renyi.entropy_from_counts(counts, alpha)
    corrected = renyi.entropy_from_counts(counts, alpha, estimator="bias-corrected").value
    scatter = plug_in.value.std()
    assert abs(corrected.mean() - exact) < 4 * scatter / math.sqrt(4000)
    assert abs(plug_in.value.mean() - exact) > 6 * scatter / math.sqrt(4000)
    assert plug_in.standard_error.mean() == pytest.approx(scatter, rel=0.1)
    if alpha >= 2:
        value = renyi.entropy_from_counts(counts, alpha, estimator="unbiased").value
        sums = np.exp((1 - alpha) * value)
        assert abs(sums.mean() - (p**alpha).sum()) < 4 * sums.std() / math.sqrt(4000)


ORDERS = (0.3, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 50.0)


def test_log_prob(backend):
    rows = np.random.default_rng(5).normal(size=(3, 16)) * np.asarray([[0.1], [2.0], [500.0]])
    x = backend.asarray(rows)
    for alpha in ORDERS[::2] if backend.slow else ORDERS:
        with mpmath.workdps(60):
            a = mpmath.mpf(alpha)
            want = [
                float(
                    -mpmath.fsum(map(mpmath.mpf, row)) / 16
                    if alpha == 1
                    else mpmath.log(mpmath.fsum(mpmath.exp((a - 1) * mpmath.mpf(v)) for v in row) / 16) / (1 - a)
                )
                for row in rows.tolist()
            ]
        for order in (alpha, backend.asarray(np.full(3, alpha))):
            got = backend.numpy(renyi.entropy_from_log_prob(x, order))
            assert (np.abs(got - want) <= 16 * 2.0**-52 * np.max(np.abs(rows), axis=-1)).all(), (alpha, got, want)
    least = renyi.entropy_from_log_prob(x, math.inf)
    np.testing.assert_array_equal(backend.numpy(least), -rows.max(-1))
    one = renyi.entropy_from_log_prob(x[:, :1], 2.0)
    np.testing.assert_allclose(backend.numpy(one), -rows[:, 0], rtol=1e-14)


def test_log_prob_gradients(backend):
    """Minus the weights exp(t ℓ)/Σ exp(t ℓ), and the derivative along α in 60 digits; by autodiff too."""
    rows = np.random.default_rng(6).normal(size=(2, 8)) * np.asarray([[1.0], [200.0]])
    x, f = backend.asarray(rows), renyi.entropy_from_log_prob
    orders = (0.5, 1 + 1e-12) if backend.slow else (0.0, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 3.0)
    for alpha in orders:
        with mpmath.workdps(60):
            t = mpmath.mpf(alpha) - 1
            weights, slopes = [], []
            for row in rows.tolist():
                powers = [mpmath.exp(t * v) for v in row]
                weights.append([float(w / mpmath.fsum(powers)) for w in powers])
                mean = mpmath.fsum(powers) / 8
                along = mpmath.fsum(w * v for w, v in zip(powers, row, strict=True)) / mpmath.fsum(powers)
                variance = mpmath.fsum((v - along) ** 2 for v in row) / 8
                slopes.append(float((mpmath.log(mean) - t * along) / t**2 if t else -variance / 2))
        for order in (alpha, backend.asarray(np.full(2, alpha))):
            value, gradient = renyi.value_and_grad(f)(x, order)
            np.testing.assert_array_equal(backend.numpy(value), backend.numpy(f(x, order)))
            np.testing.assert_allclose(backend.numpy(gradient), -np.asarray(weights), rtol=1e-12, atol=1e-300)
            again, slope = renyi.value_and_grad(f, "alpha")(x, order)
            np.testing.assert_array_equal(backend.numpy(again), backend.numpy(value))
            np.testing.assert_allclose(backend.numpy(slope), slopes, rtol=64 * 2.0**-52)
        if backend.library in {"torch", "jax"}:
            got = derivative(backend, f, x, alpha, 0)
            np.testing.assert_allclose(got, -np.asarray(weights), rtol=1e-12, atol=1e-300)
    vjp = renyi.grad(f)(x, 2.0, cotangent=backend.asarray(np.asarray([2.0, 0.0])), base=2)
    np.testing.assert_allclose(
        backend.numpy(vjp)[0] * math.log(2), 2 * backend.numpy(renyi.grad(f)(x, 2.0))[0], rtol=1e-14
    )
    assert not backend.numpy(vjp)[1].any()
    tied = backend.asarray(np.asarray([3.0, 1.0, 3.0]))
    for infinity in (math.inf, backend.asarray(np.asarray(math.inf))):
        np.testing.assert_array_equal(backend.numpy(renyi.grad(f)(tied, infinity)), [-0.5, 0.0, -0.5])
        assert backend.numpy(renyi.grad(f, "alpha")(tied, infinity)) == 0
    vjp = renyi.grad(f, "alpha")(x, 2.0, cotangent=3.0)
    np.testing.assert_allclose(backend.numpy(vjp), 3 * backend.numpy(renyi.grad(f, "alpha")(x, 2.0)).sum(), rtol=1e-13)


def test_bad_input(backend):
    x = backend.asarray(np.ones((2, 3), dtype=np.int64))
    cases = [
        (ValueError, "`estimator`", (x, 2), {"estimator": "best"}),
        (ValueError, "`estimator='unbiased'`.*`alpha`", (x, 1.5), {"estimator": "unbiased"}),
        (ValueError, "`estimator='unbiased'`.*`alpha`", (x, math.inf), {"estimator": "unbiased"}),
        (ValueError, "`estimator='bias-corrected'`", (x, math.inf), {"estimator": "bias-corrected"}),
        (ValueError, "`alpha`", (x, -1), {}),
        (TypeError, "`counts`", ([1, 2], 2), {}),
        (TypeError, "`counts`", (backend.asarray(np.ones(3, dtype=bool)), 2), {}),
        (ValueError, "`axis`", (x, 2), {"axis": 2}),
        (ValueError, "`axis`", (x, 2), {"axis": (0, 1)}),
        (TypeError, "`alpha`", (x, backend.asarray(np.asarray(2.0))), {}),
        (ValueError, "`base`", (x, 2), {"base": 1}),
    ]
    for error, message, args, kwargs in cases:
        with pytest.raises(error, match=message):
            renyi.entropy_from_counts(*args, **kwargs)
    with pytest.raises(TypeError, match="`log_prob`"):
        renyi.entropy_from_log_prob(x, 2)
    with pytest.raises(ValueError, match="`alpha`"):
        renyi.entropy_from_log_prob(backend.asarray(np.ones(3)), math.nan)


def masked_rows():
    rows = np.random.default_rng(7).normal(size=(3, 6)) * np.asarray([[1.0], [50.0], [1.0]])
    keep = np.asarray([[1, 0, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    return np.where(keep, rows, [math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0]), keep


def test_samples_left_out_count_nothing(backend):
    """As if they were not there, whatever they hold; a row without one is NaN, and has no gradient."""
    rows, keep = masked_rows()
    x, where, f = backend.asarray(rows), backend.asarray(keep), renyi.entropy_from_log_prob
    for alpha in (2.0,) if backend.compiles else (0.0, 0.5, 1.0, 1 + 1e-12, 2.0, math.inf):
        for order in (alpha, backend.asarray(np.full(3, alpha)))[backend.compiles :]:
            value, gradient = renyi.value_and_grad(f)(x, order, where=where)
            slope = backend.numpy(renyi.grad(f, "alpha")(x, order, where=where))
            value, gradient = backend.numpy(value), backend.numpy(gradient)
            np.testing.assert_array_equal(value, backend.numpy(f(x, order, where=where)))
            assert np.isnan([value[2], slope[2]]).all()
            assert (gradient[~keep] == 0).all()
            for k in (0, 1):
                want, (part, along) = renyi.value_and_grad(f, (0, "alpha"))(rows[k][keep[k]], alpha)
                np.testing.assert_allclose(value[k], want, rtol=1e-14)
                np.testing.assert_allclose(gradient[k][keep[k]], part, rtol=1e-13)
                np.testing.assert_allclose(slope[k], along, rtol=1e-12, atol=1e-300)
            if backend.library == "torch":
                got = derivative(backend, lambda x, a: f(x, a, where=where), x, order, 0)
                np.testing.assert_allclose(got[:2], gradient[:2], rtol=1e-12, atol=1e-300)
    if backend.compiles:
        return
    across = backend.asarray(keep[:1])
    np.testing.assert_array_equal(
        backend.numpy(f(x[:1, :], 2.0, where=across)), backend.numpy(f(x[:1, :], 2.0, where=where[:1, :]))
    )
    columns = backend.numpy(f(backend.asarray(rows[:2, 2:3]), 2.0, axis=0, where=backend.asarray(keep[:2, 2:3])))
    np.testing.assert_allclose(columns, -math.log(np.exp(rows[:2, 2]).mean()), rtol=1e-14)
    with pytest.raises(TypeError, match="`where`"):
        f(x, 2.0, where=backend.asarray(keep.astype(float)))


def test_term_of_samples_left_out(backend):
    """The mean of the rows that have a sample."""
    rows, keep = masked_rows()
    x, where = backend.asarray(rows), backend.asarray(keep)
    for alpha in (2.0,) if backend.slow else (0.0, 0.5, 1.0, 2.0, math.inf):
        term = renyi.regularizers.SampledEntropyBonus(alpha=alpha, weight=0.5)
        value, gradient = renyi.value_and_grad(term)(x, where=where)
        each = [renyi.entropy_from_log_prob(rows[k][keep[k]], alpha) for k in (0, 1)]
        np.testing.assert_allclose(backend.numpy(value), -0.5 * np.mean(each), rtol=1e-14)
        own = backend.numpy(renyi.grad(renyi.entropy_from_log_prob)(x, alpha, where=where))
        np.testing.assert_allclose(backend.numpy(gradient), np.where(keep, -0.25 * own, 0.0), rtol=1e-14)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), low=st.floats(0, 30), high=st.floats(0, 30))
def test_estimates_never_increase_with_the_order(backend, data, low, high):
    """And lie between minus the largest and minus the smallest of the samples that count."""
    if backend.library != "numpy":
        pytest.skip("the same code, and slower")
    rows = data.draw(hnp.arrays(float, 6, elements=st.floats(-50, 50)))
    keep = data.draw(hnp.arrays(bool, 6))
    keep[data.draw(st.integers(0, 5))] = True
    low, high = sorted((low, high))
    upper, lower = (float(renyi.entropy_from_log_prob(rows, alpha, where=keep)) for alpha in (low, high))
    assert -rows[keep].min() + 1e-12 >= upper
    assert upper + 1e-12 >= lower
    assert lower + 1e-12 >= -rows[keep].max()
