"""Bounds from the likeliest outcomes: against exact completions, truths between them, rounded values, bad input."""

from __future__ import annotations

import functools
import math
import tracemalloc

import every_call
import mpmath
import numpy as np
import pytest

import renyi_core as renyi

# what the adapters change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
ORDERS = (0.0, 0.1, 0.5, 1 - 1e-9, 1.0, 1.7, 2.0, 20.0, math.inf)
N = 50257
bounds = renyi.entropy_bounds_from_top


def rows(dtype):
    """Log-probabilities of five outcomes, −inf where fewer are known, and how many outcomes there are."""
    eps = float(np.finfo(dtype).eps)
    table = [
        *((np.log([0.5, 0.25, 0.125]), n) for n in (4, 8, N)),
        (np.log([0.2, 0.4]), N),
        (np.log([0.15, 0.4, 0.2]), 5),  # the others just have room
        (np.log([0.9, 0.01, 0.03]), 12),
        (np.log([0.3, 0.3, 0.2, 0.2 - 1e-3]), 7),
        (np.asarray([-1e-3]), 2),
        (np.asarray([-1e-10, -25.0, -28.0]), N),
        (np.asarray([-eps / 16]), N),
        (np.asarray([-math.log(3)]), 4),
        (np.asarray([-5.0, -5.0, -5.0, -5.0]), 10**6),
        (np.asarray([-0.7, -0.8, -20.0 if dtype == "float64" else -12.0]), 10**9),
        (np.asarray([-0.01, -7.0, -8.0, -9.0, -10.0]), N),
    ]
    found = np.full((len(table), 5), -np.inf)
    for row, (known, _) in zip(found, table, strict=True):
        row[: len(known)] = known
    return found.astype(dtype), [n for _, n in table]


def completion(logs, n, upper, eps, off=0):
    """Probabilities and how many there are of each; the rest is off by so many eps of 1 − max p."""
    probs = [mpmath.exp(x) for x in logs]
    noise = 8 * eps * (1 - max(probs))
    rest, least, m = 1 - mpmath.fsum(probs) + off / 8 * noise, min(probs), n - len(probs)
    known = [(p, 1) for p in probs]
    if rest <= noise:
        return known
    if rest >= m * least - noise:
        return [*known, (least, m)]
    if upper:
        return [*known, (rest / m, m)]
    full = int(mpmath.floor(rest / least))
    left = rest - full * least
    return [*known, (least, full - 1), (least, 1)] if left <= noise else [*known, (least, full), (left, 1)]


def entropy(parts, alpha):
    total = mpmath.fsum(p * m for p, m in parts)
    parts = [(p / total, m) for p, m in parts if m]
    if alpha == math.inf:
        return -mpmath.log(max(p for p, _ in parts))
    if alpha == 1:
        return -mpmath.fsum(m * p * mpmath.log(p) for p, m in parts)
    return mpmath.log(mpmath.fsum(m * p**alpha for p, m in parts)) / (1 - mpmath.mpf(alpha))


@functools.cache
def exact(logs, n, alpha, upper, eps, off=0):
    """The bound, its gradient and its derivative along α, by differences."""
    with mpmath.workdps(120):
        given, step = [mpmath.mpf(x) for x in logs], mpmath.mpf(10) ** -40
        parts = completion(given, n, upper, eps, off)
        value = entropy(parts, alpha)
        moved = [entropy(completion(_moved(given, x, step), n, upper, eps, off), alpha) for x in given]
        slope = 0 if alpha == math.inf else (entropy(parts, mpmath.mpf(alpha) + step) - value) / step
        return np.asarray([value]), np.asarray([(value - m) / step for m in moved]), np.asarray([slope])


def _moved(logs, which, step):
    """Log-probabilities, of which those equal to one are less by a step in all; the derivative there is shared."""
    return [x - step / logs.count(x) * (x == which) for x in logs]


def compare(backend, n, dtype, alphas, order):
    """Compare value and derivatives of the rows of n outcomes, once for each order, with what is exact.

    Within 64 eps of the largest entry, and for derivatives of what a rest that is off by 8 eps of 1 − max p would do.
    """
    given, numbers = rows(dtype)
    x = np.stack([given[[m == n for m in numbers]]] * len(alphas))
    eps, live = float(np.finfo(dtype).eps), x > -np.inf

    def both(x, where):
        return renyi.value_and_grad(bounds, wrt=(0, "alpha"))(x, order, n=n, where=where)

    value, (gradient, slope) = backend.compiled(both)(backend.asarray(x, dtype), backend.asarray(live))
    for upper in (False, True):
        values, gradients, slopes = (backend.numpy(part[upper]) for part in (value, gradient, slope))
        assert values.dtype == gradients.dtype == slopes.dtype == dtype
        assert not np.any(gradients[~live])
        for at in np.ndindex(values.shape):
            case = tuple(x[at][live[at]].tolist()), n, float(alphas[at[0]]), upper, eps
            got = values[at], gradients[at][live[at]], slopes[at]
            for part, want, near in zip(got, exact(*case), exact(*case, 8), strict=True):
                allowed = 64 * eps * np.max(np.abs(want)) + eps * eps
                allowed += 0 if part is got[0] else np.max(np.abs(near - want))
                assert np.max(np.abs(part - want)) <= allowed, case


def grids(backend):
    """The numbers of outcomes and the dtypes: all of them where that is quick."""
    numbers = sorted(set(rows("float64")[1]))
    return [(n, dtype) for n in (numbers[::-3] if backend.slow else numbers) for dtype in backend.dtypes[-1:]]


def test_grid(backend):
    """An order for each row."""
    for n, dtype in [(N, "float64")] if backend.compiles else grids(backend):
        alphas = np.asarray(ORDERS, dtype)
        compare(backend, n, dtype, alphas, backend.asarray(alphas[:, None], dtype))


def once(backend):
    if backend.compiles:
        pytest.skip("each operation a compilation, of what test_grid runs")


@pytest.mark.parametrize("alpha", ORDERS)
def test_orders_that_are_numbers(backend, alpha):
    if backend.slow and alpha not in {0.0, 1.0, math.inf}:
        pytest.skip("the operations of other orders")
    for n, dtype in [(N, "float64")] if backend.slow else [*grids(backend), (N, "float32")]:
        compare(backend, n, dtype, [float(np.asarray(alpha, dtype))], alpha)


def test_known_values(backend):
    """Lower and upper bounds, and log 4 and log 8 of the support: rounding adds no outcome."""
    once(backend)
    cases = {
        8: {
            0.0: (math.log(4), math.log(8)),
            0.5: (1.2986137317871613, 1.709876839509314),
            1.0: (1.2130075659799043, 1.4141873050341668),
            2.0: (1.067840630001356, 1.1048819016817051),
            math.inf: (math.log(2), math.log(2)),
        },
        N: {1.0: (1.3321790402101223, 5.3848662973696802), 2.0: (1.2729656758128874, 1.609421993746755)},
    }
    for n, wanted in cases.items():
        x = np.log([0.125, 0.5, 0.25] if n == 8 else [0.4, 0.2])
        order = backend.asarray(np.asarray(list(wanted)))
        for base in (None, 2) if n == 8 else (None,):
            found = bounds(backend.asarray(np.stack([x] * len(wanted))), order, n=n, base=base)
            got = np.stack([backend.numpy(part) for part in found], axis=1) * (math.log(2) if base else 1)
            np.testing.assert_allclose(got, list(wanted.values()), rtol=1e-14)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.5, math.inf])
def test_truth_lies_between_and_both_are_attained(backend, alpha):
    """Of 10,000 distributions of 12 outcomes, of which the 1 to 12 likeliest are known, in any order."""
    once(backend)
    rng = np.random.default_rng(1)
    truth = rng.dirichlet(np.ones(12), 10_000) ** rng.choice([0.3, 1, 2], (10_000, 1))
    truth = np.sort(truth / truth.sum(axis=1, keepdims=True), axis=1)[:, ::-1]
    known = np.arange(12) < rng.integers(1, 13, (10_000, 1))
    order = rng.permuted(np.broadcast_to(np.arange(12), truth.shape), axis=1)
    x = np.where(known, np.log(truth), 5.0)  # masked entries may hold anything
    tops = [backend.asarray(np.take_along_axis(part, order, axis=1)) for part in (x, known)]
    lower, upper = (backend.numpy(part) for part in bounds(tops[0], alpha, n=12, where=tops[1]))
    slack = 1e-8  # a rest of 1e-10 has few digits, which α < 1 shows
    entropies = renyi.entropy(truth, alpha)
    assert np.all(lower <= entropies + slack)
    assert np.all(entropies <= upper + slack)
    if alpha == 0:
        return  # what is left for one more outcome may be rounding alone
    p = np.where(known, truth, 0.0)
    rest, least = 1 - p.sum(axis=1), np.where(known, truth, 1.0).min(axis=1)
    even = np.where(known, truth, (rest / np.maximum(12 - known.sum(axis=1), 1))[:, None])
    packed = np.sort(p, axis=1)
    for k in range(12):
        free = packed[:, k] == 0
        packed[:, k] += np.where(free, np.clip(rest, 0, least), 0)
        rest -= np.where(free, np.clip(rest, 0, least), 0)
    np.testing.assert_allclose(upper, renyi.entropy(even, alpha), rtol=0, atol=slack)
    np.testing.assert_allclose(lower, renyi.entropy(packed, alpha), rtol=0, atol=slack)


def test_axes_and_orders_of_each_row(backend):
    once(backend)
    x = np.log(np.asarray([[[0.5, 0.1], [0.2, 0.1]], [[0.3, 0.25], [0.01, 0.02]]]))
    orders = np.asarray([[0.5], [2.0]])
    for axis in (-1, (-3, -1)):
        shape = tuple(n for i, n in enumerate(x.shape, -3) if i not in np.atleast_1d(axis))
        order = np.broadcast_to(orders if axis == -1 else orders[:, 0], shape)
        both = renyi.value_and_grad(bounds)(backend.asarray(x), backend.asarray(order), n=400, axis=axis)
        moved = x.reshape(-1, 2) if axis == -1 else x.transpose(1, 0, 2).reshape(2, 4)
        for upper in (False, True):
            assert both[0][upper].shape == shape
            got = backend.numpy(both[1][upper])
            got = got.reshape(-1, 2) if axis == -1 else got.transpose(1, 0, 2).reshape(2, 4)
            for k, row in enumerate(moved):
                value, gradient = renyi.value_and_grad(bounds)(row, float(order.ravel()[k]), n=400)
                np.testing.assert_allclose(backend.numpy(both[0][upper]).ravel()[k], value[upper], rtol=1e-13)
                np.testing.assert_allclose(got[k], gradient[upper], rtol=1e-12, atol=1e-12)


def test_automatic_differentiation(backend):
    """Of the lower bound plus twice the upper one, in both arguments at once."""
    if backend.name not in {"torch", "jax"}:
        pytest.skip("of torch and JAX")
    x, alpha = np.log([[0.5, 0.2, 0.11], [0.2, 0.3, 0.02]] * 4), np.repeat([0.5, 1.0, 3.0, math.inf], 2)
    want = [lower + 2 * upper for lower, upper in renyi.grad(bounds, (0, "alpha"))(x, alpha, n=30)]

    def loss(x, alpha):
        lower, upper = bounds(x, alpha, n=30)
        return (lower + 2 * upper).sum()

    args = [backend.asarray(x), backend.asarray(alpha)]
    if backend.library == "torch":
        loss(*(arg.requires_grad_() for arg in args)).backward()
        got = [arg.grad for arg in args]
    else:
        import jax

        got = jax.jit(jax.grad(loss, (0, 1)))(*args)
    for part, rule in zip(got, want, strict=True):
        np.testing.assert_allclose(backend.numpy(part), rule, rtol=1e-12, atol=1e-12)


def test_rounded_log_probs(backend):
    """Sums of a little more than 1 leave no rest, and a little less with no room for it is no rest either."""
    once(backend)
    p = np.asarray([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])
    with np.errstate(divide="ignore"):
        x = np.log(p) + np.asarray([[2e-4], [-4e-4], [1e-4]])
    alphas = (0.0, 0.5, 1.0, 2.0, math.inf)
    rows, order = np.concatenate([x] * len(alphas)), backend.asarray(np.repeat(alphas, 3))
    found, slopes = renyi.value_and_grad(bounds)(backend.asarray(rows), order, n=3)
    want = np.concatenate([renyi.entropy(p, alpha) for alpha in alphas])
    for got, slope in zip(found, slopes, strict=True):
        np.testing.assert_allclose(backend.numpy(got), want, rtol=0, atol=1e-6)
        np.testing.assert_allclose(np.sum(backend.numpy(slope), axis=-1), 0, atol=1e-6)  # of p over its sum
    more = [backend.numpy(part)[::3] for part in bounds(backend.asarray(rows), order, n=5)]
    np.testing.assert_allclose(*more, rtol=1e-12)  # outcomes that have no probability
    if not backend.slow:
        half = bounds(backend.asarray(np.log([0.5, 0.25, 0.125]), "float16"), 1.0, n=8)
        assert [backend.numpy(part).dtype for part in half] == [np.float16] * 2
        np.testing.assert_allclose([float(part) for part in half], [1.2130, 1.4142], rtol=4e-3)


MISFITS = {
    "more than 1": ([0.6, 0.5, 0.1], "sum to at most 1"),
    "no room": ([0.3, 0.2, 0.05], "leave no more"),
    "impossible": ([0.5, 0.2, 0.0], "leave no more"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_row_that_does_not_fit_is_nan_and_it_alone(backend, name):
    once(backend)
    p, message = MISFITS[name]
    with np.errstate(divide="ignore"):
        x = backend.asarray(np.log([[0.5, 0.3, 0.1], p]))
    for alpha in (0.5, math.inf):
        values, *derivatives = renyi.value_and_grad(bounds, (0, "alpha"))(x, alpha, n=6)
        for part in (*values, *(part for pair in derivatives[0] for part in pair)):
            np.testing.assert_array_equal(np.isnan(backend.numpy(part)[:2]).reshape(2, -1)[:, 0], [False, True])
    if backend.library != "dask":
        with renyi.checking(), pytest.raises(ValueError, match=f"`log_probs` must {message}.*first at \\(1,\\)"):
            bounds(x, 2.0, n=6)


def test_bad_input(backend):
    x = backend.asarray(np.log([[0.5, 0.25], [0.2, 0.2]]))
    mask = backend.asarray(np.asarray([[True, False], [True, True]]))
    for error, message, given, options in (
        (TypeError, "`log_probs`", (2.0, 2.0), {"n": 5}),
        (TypeError, "`alpha`", (x, 1j), {"n": 5}),
        (ValueError, "`alpha`", (x, -1.0), {"n": 5}),
        (ValueError, "`axis`", (x, 1.0), {"n": 5, "axis": 2}),
        (TypeError, "`where`", (x, 1.0), {"n": 5, "where": x}),
        (ValueError, "`base`", (x, 2.0), {"n": 5, "base": 1}),
        (TypeError, "`n`", (x, 2.0), {"n": 5.5}),
        (ValueError, "`n`", (x, 2.0), {"n": 1}),
        (ValueError, "`n`", (x, 2.0), {"n": 0, "where": mask}),
        (TypeError, "n", (x, 2.0), {}),
    ):
        for function in (bounds, renyi.value_and_grad(bounds)):
            with pytest.raises(error, match=message):
                function(*given, **options)
    once(backend)
    for part in bounds(x, 2.0, n=1, where=mask):  # of the second row two are known, and of the first a half
        assert np.all(np.isnan(backend.numpy(part)))
    nothing = bounds(backend.asarray(np.log([[0.5, math.nan], [0.2, 0.2], [math.inf, 0.1]])), 1.0, n=20)
    for part in nothing:
        np.testing.assert_array_equal(np.isnan(backend.numpy(part)), [True, False, True])


def test_memory(backend):
    """NumPy takes rows a block at a time, and torch keeps for backward what it was given."""
    x = np.full((20_000, 20), -4.0)
    if backend.name == "numpy":
        bounds(x[:2], 0.7, n=N)  # what comes with a first call
        for call in (bounds, renyi.value_and_grad(bounds)):
            tracemalloc.start()
            result = call(x, 0.7, n=N)
            peak = tracemalloc.get_traced_memory()[1] - sum(part.nbytes for part in every_call.leaves(result))
            tracemalloc.stop()
            assert peak < 3e6
    elif backend.library == "torch":
        given, kept = backend.asarray(x).requires_grad_(), set()
        hooks = backend.xp.autograd.graph.saved_tensors_hooks(lambda x: kept.add(x.data_ptr()) or x, lambda x: x)
        with hooks:
            lower, upper = bounds(given, 0.7, n=N)
        assert (lower + upper).requires_grad
        assert kept == {given.data_ptr()}
    else:
        pytest.skip("what NumPy and torch take")


def test_lengths_that_are_not_known(backend):
    """How many are known is then seen in the values alone."""
    if backend.library != "dask":
        pytest.skip("lengths of Dask's arrays")
    x = backend.asarray(np.log([[0.5, 0.25], [0.1, 0.1], [0.3, 0.3]]))
    lower, upper = bounds(x[x[:, 0] > -2], 2.0, n=8)
    want = bounds(np.log([[0.5, 0.25], [0.3, 0.3]]), 2.0, n=8)
    for got, part in zip((lower, upper), want, strict=True):
        np.testing.assert_allclose(backend.numpy(got), part, rtol=1e-14)
