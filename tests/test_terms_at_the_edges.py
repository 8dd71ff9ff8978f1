"""Terms of a loss where rows do not count, are sure, are alike, or few digits are left."""

from __future__ import annotations

import math

import numpy as np
import oracle_terms as oracle
import pytest
from term_cases import ALL, PAIRS, TERMS, arrays, close, differentiate, of_order, skip_where_compiled

import renyi_core as renyi
from renyi_core.regularizers import (
    BalanceTerm,
    ConfidencePenalty,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
)


def test_the_floor_presses_from_the_first_step_below_it(backend):
    skip_where_compiled(backend)
    x = backend.asarray(oracle.X[:1])
    both = renyi.value_and_grad(renyi.entropy_from_logits)(x, 2.0)
    h, slope = (float(backend.numpy(part).ravel()[0]) for part in both)
    for gap in (1e-3, -1e-3):
        value, gradient = renyi.value_and_grad(EntropyFloor(target=h + gap, alpha=2.0))(x)
        assert float(backend.numpy(value)) == pytest.approx(max(0.0, gap), abs=1e-6)
        assert backend.numpy(gradient)[0, 0] == pytest.approx(-slope if gap > 0 else 0.0)


def test_infinite_values_of_rows_that_do_not_count(backend):
    skip_where_compiled(backend)
    x = backend.asarray(oracle.X)
    orders = backend.asarray(np.asarray([0.0, 1.0, 1.0, 2.0, math.nan]))
    weights = backend.asarray(np.asarray([0, 1, 0, 1, 0]))
    for reduction in ("mean", "sum", "none"):
        term = GaussianEntropyBonus(alpha=orders, reduction=reduction)
        value, gradient = renyi.value_and_grad(term)(x, sample_weight=weights)
        assert np.isfinite(backend.numpy(value)).all()
        assert (backend.numpy(gradient)[0] == 0).all()
        assert (backend.numpy(gradient)[1] != 0).all()
    assert backend.numpy(GaussianEntropyBonus(alpha=0)(x)) == -math.inf


@pytest.mark.parametrize("name", ALL)
def test_negative_weights_give_nan(backend, name):
    """Of a row, such as labels of -100, and of the term: in the value and in every derivative."""
    if name not in {"bonus", "balance"}:
        skip_where_compiled(backend)
    given = [x[None, ...] for x in arrays(backend, name)] if name == "diversity" else arrays(backend, name)
    rows = 1 if name == "diversity" else 5
    bad = {"sample_weight": backend.asarray(np.full(rows, -100))}, {"weight": backend.asarray(np.asarray(-0.5))}
    for options in bad:
        value = backend.compiled(ALL[name])(*given, **options)
        assert np.isnan(backend.numpy(value)).all()
        for wrt in ALL[name].rule.wrt:
            f = renyi.value_and_grad(ALL[name], wrt)
            value, gradient = (backend.numpy(part) for part in backend.compiled(f)(*given, **options))
            assert np.isnan(value).all()
            # the weight that is NaN is not in the derivative along it
            assert np.isnan(gradient).all() or (wrt, *options) == ("weight", "weight")
    if rows == 5 and hasattr(ALL[name], "reduction"):
        weights = backend.asarray(np.asarray([1.0, 1.0, -1.0, 1.0, 0.0]))
        each = renyi.value_and_grad(ALL[name].replace(reduction="none"))
        value, gradient = (backend.numpy(part) for part in each(*given, sample_weight=weights))
        assert np.isnan(value).tolist() == [False, False, True, False, False]
        assert np.isnan(gradient).all(-1).tolist() == [False, False, True, False, False]


EMPTY = {
    "of weight 0": (lambda b: {"sample_weight": b.asarray(np.zeros(5))}),
    "masked": (lambda b: {"sample_weight": b.asarray(np.zeros(5, dtype=bool))}),
    "without outcomes": (lambda b: {"where": b.asarray(np.zeros((5, 4), dtype=bool))}),
}


@pytest.mark.parametrize("batch", EMPTY)
@pytest.mark.parametrize("name", oracle.TERMS)
def test_masked_out_batches_are_nothing(backend, name, batch):
    """0, with gradients 0, whatever the entries hold; by automatic differentiation too."""
    if name in oracle.UNMASKED and batch == "without outcomes":
        return
    if backend.library == "strict" and batch == "masked":
        pytest.skip("the same operations as of weight 0")
    if batch != "of weight 0" or name not in {"bonus", "floor", "smoothing", "gaussian", "balance", "information"}:
        skip_where_compiled(backend)
    options = EMPTY[batch](backend)
    count = 2 if name in PAIRS else 1

    def both(*args):
        terms = [of_order(name, alpha) for alpha in (0.5, 2.0)][: 1 if backend.slow else 2]
        values = [renyi.value_and_grad(term, wrt)(*args, **options) for term in terms for wrt in range(count)]
        own = []
        if backend.library in {"torch", "jax"}:
            own = [differentiate(backend, lambda *args, t=term: t(*args, **options), *args) for term in terms]
        return [term(*args, **options) for term in terms], values, own

    for entries in (oracle.X, np.full((5, 4), math.nan), np.full((5, 4), -math.inf)):
        x = backend.asarray(entries)
        values, results, own = backend.compiled(both)(*[x] * count)
        values = [*values, *(value for value, _ in results)]
        gradients = [gradient for _, gradient in results] + [gradient for pair in own for gradient in pair]
        assert all(backend.numpy(value) == 0 for value in values)
        assert all((backend.numpy(gradient) == 0).all() for gradient in gradients)
        assert not any(np.signbit(backend.numpy(value)) for value in values)


def test_batches_of_no_rows_are_nothing(backend):
    skip_where_compiled(backend)
    x = backend.asarray(np.ones((0, 4)))
    for name, term in TERMS.items():
        value, gradient = renyi.value_and_grad(term)(*[x] * (2 if name in PAIRS else 1))
        assert backend.numpy(value) == 0
        assert tuple(gradient.shape) == (0, 4)


def test_senseless_rows_that_count_give_nan(backend):
    skip_where_compiled(backend)
    entries = oracle.X.copy()
    entries[1] = math.nan
    x = backend.asarray(entries)
    for name in oracle.TERMS:
        term = of_order(name, 2.0)
        value, gradient = renyi.value_and_grad(term)(*[x] * (2 if name in PAIRS else 1))
        assert np.isnan(backend.numpy(value)), name
        assert name == "gaussian" or np.isnan(backend.numpy(gradient)[1]).all(), name
        if name not in oracle.BATCHES:
            rows = backend.numpy(term.replace(reduction="none")(*[x] * (2 if name in PAIRS else 1)))
            assert np.isnan(rows).tolist() == [False, True, False, False, False]


def test_penalties_near_their_least_keep_their_digits(backend):
    """Where the difference of two entropies has none left; the information in its gradient as well."""
    skip_where_compiled(backend)
    mp, few = oracle.mp, len(backend.dtypes) == 1
    center = np.asarray([0.0, 0.5, -1.0, 0.25])
    pattern = np.asarray([[1.0, -1.0, 2.0, -2.0], [-1.0, 1.5, -2.0, 2.0], [0.5, 0.0, 0.0, -1.0]])
    weights = np.asarray([1.0, 2.0, 0.0])
    x = (2.0**-10 if few else 2.0**-20) * pattern
    uniform = [mp.mpf(1) / 4] * 4

    def information(rows):
        p = [oracle._softmax(row, [True] * 4) for row in rows[:2]]
        mean = [(a + 2 * b) / 3 for a, b in zip(*p, strict=True)]
        return -(oracle.divergence(p[0], mean, 1) + 2 * oracle.divergence(p[1], mean, 1)) / 3

    with mp.workdps(60):
        p = [oracle._softmax([mp.mpf(float(z)) for z in row], [True] * 4) for row in x]
        of_uniform = float(sum(oracle.divergence(row, uniform, 2) for row in p) / 3)
        to_uniform = float(sum(oracle.divergence(uniform, row, 1) for row in p) / 3)
        rows = [[mp.mpf(float(z)) for z in row] for row in x + center]
        shared, slopes = float(information(rows)), np.zeros((3, 4))
        for k, i in np.ndindex(3, 4):
            kept, sides = rows[k][i], []
            for step in (oracle.STEP, -oracle.STEP):
                rows[k][i] = kept + step
                sides.append(information(rows))
            rows[k][i] = kept
            slopes[k, i] = float((sides[0] - sides[1]) / (2 * oracle.STEP))
    close(backend, ConfidencePenalty(alpha=2.0)(backend.asarray(x)), of_uniform)
    close(backend, LabelSmoothing()(backend.asarray(x)), to_uniform)
    given, options = backend.asarray(x + center), {"sample_weight": backend.asarray(weights)}
    value, gradient = renyi.value_and_grad(InformationTerm())(given, **options)
    close(backend, value, shared)
    close(backend, gradient, slopes)
    if backend.library == "torch":
        close(backend, differentiate(backend, lambda x: InformationTerm()(x, **options), given)[0], slopes, 1e4)


def test_information_of_rows_that_are_sure(backend):
    """It is the entropy of the outcomes' shares; exponentials of single logits are 0 there, or beyond any float."""
    skip_where_compiled(backend)
    x = np.asarray([[1e3, 0, 0], [0, 1e3, -1e3], [-1e3, 0, 1e3], [-math.inf, -math.inf, 2e3]])
    value, gradient = renyi.value_and_grad(InformationTerm())(backend.asarray(x))
    close(backend, value, -1.5 * math.log(2), 2e3 * 4)
    assert (np.abs(backend.numpy(gradient)) < 1e-30).all()
    p = backend.asarray(np.asarray([[1.0, 0, 0], [0, 1e-300, 0], [0, 0, 1e30], [0, 0, 3]]))
    if backend.dtypes[-1] == "float64":
        value, gradient = renyi.value_and_grad(InformationTerm(source="probs"))(p)
        close(backend, value, -1.5 * math.log(2))
        assert (backend.numpy(gradient) == 0).all()


def test_one_row(backend):
    """The mean of one row is the row: the information is 0, without rounding, and has no gradient."""
    skip_where_compiled(backend)
    for x in (backend.asarray(oracle.X[0]), backend.asarray(oracle.X[:1])):
        value, gradient = renyi.value_and_grad(InformationTerm())(x)
        close(backend, value, 0.0)
        close(backend, gradient, np.zeros(x.shape))
        for alpha in (0.5, 2.0):
            for name, term in (("balance", BalanceTerm(alpha=alpha)), ("bonus", EntropyBonus(alpha=alpha))):
                value, gradient = renyi.value_and_grad(term)(x)
                want, slope = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
                assert tuple(value.shape) == (), name
                close(backend, value, -backend.numpy(want).sum())
                close(backend, gradient, -backend.numpy(slope))


def test_gradients_of_rows_that_are_sure(backend):
    """Of a row of p = (1 − δ, δ, …) the gradient of the balance is of the order of δ, and right."""
    skip_where_compiled(backend)
    far = 30.0 if len(backend.dtypes) == 2 else 12.0
    logits = np.asarray([[far, 0.0, 1.0], [0.0, 0.5, 1.0], [0.3, 0.2, 1.0]])
    gradient = backend.numpy(renyi.grad(BalanceTerm(alpha=2.0))(backend.asarray(logits)))[0]
    with oracle.mp.workdps(60):
        step, sides = oracle.STEP, []
        for i in range(3):
            pair = []
            for sign in (1, -1):
                rows = [[oracle.mp.mpf(float(z)) for z in row] for row in logits]
                rows[0][i] += sign * step
                p = [oracle._softmax(row, [True] * 3) for row in rows]
                pair.append(oracle._balance(p, [oracle.mp.mpf(1) / 3] * 3, oracle.mp.mpf(2)))
            sides.append(float((pair[0] - pair[1]) / (2 * step)))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    assert np.max(np.abs(gradient - sides)) <= (64 + 4 * far) * eps * np.max(np.abs(sides))


def test_sixteen_bits(backend):
    """Rows are summed in float32, and so is the scalar returned; the gradient is rounded once."""
    if backend.library not in {"numpy", "torch"}:
        pytest.skip("the dtypes are the same for all, and few libraries have them")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 512, 8)).astype(np.float16)
    weights = rng.random(512)
    kinds = [backend.asarray(np.zeros(1, dtype=np.float16)).dtype]
    if backend.library == "torch":
        kinds.append(backend.xp.bfloat16)
    for dtype in kinds:
        for name in oracle.TERMS:
            term, count = of_order(name, 2.0), 2 if name in PAIRS else 1
            low = [backend.xp.astype(backend.asarray(rows), dtype) for rows in (x, y)][:count]
            high = [backend.xp.astype(rows, backend.xp.float32) for rows in low]
            options = {"sample_weight": backend.asarray(weights)}
            value, gradient = renyi.value_and_grad(term)(*low, **options)
            want, slope = renyi.value_and_grad(term)(*high, **options)
            assert value.dtype == term(*low, **options).dtype == backend.xp.float32
            assert gradient.dtype == dtype
            np.testing.assert_allclose(float(value), float(want), rtol=1e-6)
            rounded = backend.numpy(backend.xp.astype(backend.xp.astype(slope, dtype), backend.xp.float32))
            got = backend.numpy(backend.xp.astype(gradient, backend.xp.float32))
            np.testing.assert_allclose(got, rounded, rtol=2.0**-7, atol=1e-7)
            assert np.mean(got == rounded) > 0.98
