"""The terms of a loss: values and gradients against their definitions in 60 digits, masks, weights, reductions."""

from __future__ import annotations

import functools
import math

import numpy as np
import oracle_terms as oracle
import pytest

import renyi_core as renyi
from renyi_core.regularizers import (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
    SampledEntropyBonus,
)

TERMS = {
    "bonus": EntropyBonus(),
    "floor": EntropyFloor(target=oracle.SHARE, relative=True),
    "confidence": ConfidencePenalty(),
    "smoothing": LabelSmoothing(),
    "forward": DivergenceTerm(),
    "reverse": DivergenceTerm(direction="reverse"),
    "gaussian": GaussianEntropyBonus(),
    "sampled": SampledEntropyBonus(),
    "balance": BalanceTerm(),
    "information": InformationTerm(),
}
PAIRS = {"forward", "reverse"}
BOUND = 32
"""Units in the last place: of the value, and norm-wise of the gradient."""


def everything(backend, name, *, masked, dtype=None):
    """Return the arrays of a call and its masks, with nonsense where it counts for nothing."""
    x, y, options = oracle.X.copy(), oracle.Y.copy(), {}
    if masked:
        x[2], y[2] = math.nan, math.inf
        options["sample_weight"] = backend.asarray(oracle.WEIGHTS, dtype)
        if name not in oracle.UNMASKED:
            x[3] = -math.inf
            x[4, 0] = math.nan
            options["where"] = backend.asarray(oracle.WHERE)
    arrays = [backend.asarray(rows, dtype) for rows in ((x, y) if name in PAIRS else (x,))]
    return arrays, options


def of_order(name, alpha):
    if name == "information":
        return TERMS[name].replace(marginal_alpha=alpha, conditional_alpha=2.0 if alpha == 0.5 else 1.0)
    return TERMS[name].replace(alpha=alpha)


def skip_where_lazy(backend):
    if backend.library in {"jax", "dask"}:
        pytest.skip("JAX compiles, and Dask makes a graph of, each call: seconds for what the other libraries tell")


def close(backend, got, want, bound=BOUND):
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    error = np.max(np.abs(backend.numpy(got) - want)) / (np.max(np.abs(want)) or 1.0)
    assert error <= bound * eps, (error / eps, backend.numpy(got), want)


def differentiate(backend, f, *args):
    """The derivatives of a scalar by the library's own means."""
    if backend.library == "torch":
        args = [x.clone().requires_grad_() for x in args]
        f(*args).backward()
        return [x.grad for x in args]
    import jax

    return jax.grad(f, tuple(range(len(args))))(*args)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("name", oracle.TERMS)
def test_value_and_gradients(backend, name, masked):
    """Analytic, and by torch's and JAX's automatic differentiation, at 1/2, 1, 2 and ∞."""
    if not masked and name not in {"bonus", "balance"}:
        skip_where_lazy(backend)
    if name in {"confidence", "reverse"}:
        skip_where_lazy(backend)
    (arrays, options), digits = everything(backend, name, masked=masked), backend.dtypes[-1]
    automatic = backend.library in {"torch", "jax"}

    def both(alpha, *args):
        term = of_order(name, alpha)
        results = [renyi.value_and_grad(term, wrt)(*args, **options) for wrt in range(len(args))]
        own = differentiate(backend, lambda *args: term(*args, **options), *args) if automatic else []
        return term(*args, **options), [value for value, _ in results], [gradient for _, gradient in results], own

    compiled = backend.compiled(both)
    # each order of the information term is compiled anew
    orders = oracle.ORDERS if backend.library not in {"jax", "dask"} or name != "information" else (0.5, 1.0)
    for alpha in orders:
        traced = backend.compiles and name != "information"
        if backend.compiles and not traced:
            compiled = backend.compiled(functools.partial(both, alpha))
        known = () if backend.compiles and not traced else (backend.asarray(np.asarray(alpha)) if traced else alpha,)
        value, values, gradients, own = compiled(*known, *arrays)
        exact = oracle.exact(name, alpha, masked=masked, digits=digits)
        assert tuple(value.shape) == ()
        for got in (value, *values):
            assert got.dtype == arrays[0].dtype
            close(backend, got, exact[0])
        for got, want in zip((*gradients, *own), exact[1] * (1 + automatic), strict=True):
            close(backend, got, want)
            if masked:
                assert (backend.numpy(got)[2] == 0).all()
        if name == "floor":
            pressed = (exact[1][0] != 0).any(-1)
            assert masked or (pressed.any() and not pressed.all())


@pytest.mark.parametrize("name", [name for name in oracle.TERMS if name != "information"])
def test_derivatives_along_orders(backend, name):
    skip_where_lazy(backend)
    for masked in (False, True):
        arrays, options = everything(backend, name, masked=masked)
        for alpha in oracle.ORDERS[:-1]:
            exact = oracle.exact(name, alpha, masked=masked, digits=backend.dtypes[-1])
            value, slope = renyi.value_and_grad(of_order(name, alpha), "alpha")(*arrays, **options)
            close(backend, value, exact[0])
            close(backend, slope, exact[2])
            twice = renyi.grad(of_order(name, alpha), "alpha")(*arrays, cotangent=-2, **options)
            close(backend, twice, -2 * exact[2])
        assert backend.numpy(renyi.grad(of_order(name, math.inf), "alpha")(*arrays, **options)) == 0


def test_orders_of_the_information_term(backend):
    skip_where_lazy(backend)
    (x,), options = everything(backend, "information", masked=True)
    for a, b in ((1.0, 1.0), (0.5, 2.0)):
        term = InformationTerm(marginal_alpha=a, conditional_alpha=b, weight=0.5)
        of_mean = renyi.value_and_grad(BalanceTerm(alpha=a, weight=0.5), "alpha")(x, **options)[1]
        of_rows = renyi.value_and_grad(EntropyBonus(alpha=b, weight=0.5), "alpha")(x, **options)[1]
        for wrt, want in (("marginal_alpha", of_mean), ("conditional_alpha", -of_rows)):
            value, slope = renyi.value_and_grad(term, wrt)(x, **options)
            close(backend, value, backend.numpy(term(x, **options)))
            close(backend, slope, backend.numpy(want))


@pytest.mark.parametrize("name", [name for name in oracle.TERMS if name not in oracle.UNMASKED])
def test_probabilities(backend, name):
    """From softmax(z) times any number a term is what it is from z, and p ∂/∂p is ∂/∂z."""
    skip_where_lazy(backend)
    (arrays, options), term = everything(backend, name, masked=True), of_order(name, 2.0)
    p = [3 * np.exp(rows) for rows in (oracle.X, oracle.Y)[: len(arrays)]]
    kept = oracle.WHERE & (oracle.WEIGHTS > 0)[:, None]
    inputs = [backend.asarray(np.where(kept, rows, math.nan)) for rows in p]
    for wrt in range(len(arrays)):
        want = renyi.value_and_grad(term, wrt)(*arrays, **options)
        value, slope = renyi.value_and_grad(term.replace(source="probs"), wrt)(*inputs, **options)
        close(backend, value, backend.numpy(want[0]))
        close(backend, backend.asarray(p[wrt] * backend.numpy(slope)), backend.numpy(want[1]))
        assert (backend.numpy(slope)[~kept] == 0).all()


def test_reductions(backend):
    (x,), options = everything(backend, "bonus", masked=True)
    live, h, slopes = [0, 1, 4], np.zeros(5), np.zeros((5, 4))
    rows = renyi.value_and_grad(renyi.entropy_from_logits)(x, 2.0, where=options["where"])
    h[live], slopes[live] = (backend.numpy(part)[live] for part in rows)
    w = np.where([True, True, False, False, True], oracle.WEIGHTS, 0)
    upstream = np.asarray([1.0, -1.0, 0.5, 3.0, 2.0])
    for reduction, factor in (("mean", w / w.sum()), ("sum", w), ("none", w)):
        if backend.compiles and reduction == "none":
            continue
        term = EntropyBonus(alpha=2.0, weight=0.25, reduction=reduction)
        value, gradient = backend.compiled(renyi.value_and_grad(term))(x, **options)
        want = -0.25 * factor * h
        close(backend, value, want if reduction == "none" else want.sum())
        close(backend, gradient, -0.25 * factor[:, None] * slopes)
        if not backend.compiles:
            cotangent = backend.asarray(upstream if reduction == "none" else upstream[1])
            outer = upstream if reduction == "none" else upstream[1]
            _, gradient = renyi.value_and_grad(term)(x, cotangent=cotangent, **options)
            close(backend, gradient, -0.25 * (outer * factor)[:, None] * slopes)
            along_weight = renyi.value_and_grad(term, "weight")
            close(backend, along_weight(x, **options)[1], want / 0.25 if reduction == "none" else want.sum() / 0.25)
            close(backend, along_weight(x, cotangent=cotangent, **options)[1], (outer * want).sum() / 0.25)


def test_sample_weights_broadcast_and_are_masks(backend):
    x = np.random.default_rng(2).normal(size=(3, 4, 5))
    mask = np.asarray([True, False, True])[:, None]
    f = backend.compiled(renyi.value_and_grad(EntropyBonus(alpha=0.5)))
    results = [
        f(backend.asarray(x), sample_weight=backend.asarray(weights))
        for weights in (mask, mask.astype(np.float32), mask.astype(np.int64))
    ]
    if not backend.compiles:
        kept = renyi.value_and_grad(EntropyBonus(alpha=0.5))(backend.asarray(x[[0, 2]]))
        close(backend, results[0][0], backend.numpy(kept[0]))
        close(backend, backend.asarray(backend.numpy(results[0][1])[[0, 2]]), backend.numpy(kept[1]))
    for value, gradient in results:
        close(backend, value, backend.numpy(results[0][0]))
        close(backend, gradient, backend.numpy(results[0][1]))
        assert (backend.numpy(gradient)[1] == 0).all()
        assert (backend.numpy(gradient)[2] != 0).any()


def test_axes(backend):
    skip_where_lazy(backend)
    xp, x = backend.xp, np.random.default_rng(2).normal(size=(3, 4, 5))
    weights = backend.asarray(np.arange(12.0).reshape(3, 4))
    for term, arrays in (
        (EntropyBonus(alpha=2.0), 1),
        (BalanceTerm(alpha=2.0), 1),
        (InformationTerm(), 1),
        (InformationTerm(marginal_alpha=2.0), 1),
        (LabelSmoothing(alpha=2.0), 1),
        (DivergenceTerm(alpha=2.0), 2),
        (GaussianEntropyBonus(squashed=True, alpha=2.0), 2),
        (SampledEntropyBonus(alpha=2.0), 1),
    ):
        given = [backend.asarray(x), backend.asarray(x[::-1])][:arrays]
        moved = [xp.permute_dims(rows, (2, 0, 1)) for rows in given]
        value, gradient = renyi.value_and_grad(term)(*given, sample_weight=weights)
        other, turned = renyi.value_and_grad(term)(*moved, sample_weight=weights, axis=0)
        close(backend, other, backend.numpy(value))
        close(backend, turned, np.moveaxis(backend.numpy(gradient), 2, 0))
        # two axes of outcomes: 12 of them, in 5 rows
        if not isinstance(term, (GaussianEntropyBonus, SampledEntropyBonus)):
            value, gradient = renyi.value_and_grad(term)(*given, axis=(0, 1))
            flat = [xp.reshape(rows, (12, 5)) for rows in given]
            other, one = renyi.value_and_grad(term)(*flat, axis=0)
            close(backend, other, backend.numpy(value))
            close(backend, one, backend.numpy(gradient).reshape(12, 5))


def test_one_reference_for_all_rows(backend):
    skip_where_lazy(backend)
    x, w = backend.asarray(oracle.X), backend.asarray(oracle.WEIGHTS)
    one, many = backend.asarray(oracle.Y[0]), backend.asarray(np.stack([oracle.Y[0]] * 5))
    log_std = backend.asarray(oracle.X[0, :])
    for term, given, broad in (
        (DivergenceTerm(alpha=2.0, direction="reverse"), (x, one), (x, many)),
        (GaussianEntropyBonus(alpha=2.0, squashed=True), (log_std, x), (backend.asarray(oracle.X[:1].repeat(5, 0)), x)),
    ):
        shared = 1 if isinstance(term, DivergenceTerm) else 0
        value, gradient = renyi.value_and_grad(term, shared)(*given, sample_weight=w)
        want, each = renyi.value_and_grad(term, shared)(*broad, sample_weight=w)
        assert tuple(gradient.shape) == (4,)
        close(backend, value, backend.numpy(want))
        close(backend, gradient, backend.numpy(each).sum(0))


def test_an_order_for_each_row(backend):
    skip_where_lazy(backend)
    orders = np.asarray([0.5, 1.0, 2.0, math.inf, 3.0])
    (x,), options = everything(backend, "bonus", masked=True)
    shares = oracle.WEIGHTS * [1, 1, 0, 0, 1]
    shares = shares / shares.sum()
    for alpha in (backend.asarray(orders), None):
        term = EntropyBonus(alpha=backend.asarray(orders)) if alpha is None else EntropyBonus()
        value, gradient = renyi.value_and_grad(term)(x, alpha=alpha, **options)
        slope = backend.numpy(renyi.grad(term, "alpha")(x, alpha=alpha, **options))
        total = 0.0
        for k in (0, 1, 4):
            row, mask = x[k, :], options["where"][k, :]
            h, own = renyi.value_and_grad(renyi.entropy_from_logits)(row, float(orders[k]), where=mask)
            total = total - shares[k] * float(backend.numpy(h))
            close(backend, gradient[k, :], -shares[k] * backend.numpy(own))
            along = renyi.grad(renyi.entropy_from_logits, "alpha")(row, float(orders[k]), where=mask)
            close(backend, backend.asarray(slope[k]), -shares[k] * backend.numpy(along))
        close(backend, value, total)
        assert slope.shape == (5,)


def test_orders_along_another_axis(backend):
    """Without a reduction each order has its gradient; with one they are summed."""
    skip_where_lazy(backend)
    x, orders = backend.asarray(oracle.X), np.asarray([[0.5], [2.0]])
    weights = backend.asarray(oracle.WEIGHTS)
    for term in (EntropyBonus(weight=0.5), EntropyFloor(target=1.2, weight=0.5)):
        each = term.replace(alpha=backend.asarray(orders), reduction="none")
        value, gradient = renyi.value_and_grad(each)(x, sample_weight=weights)
        assert tuple(value.shape) == (2, 5)
        assert tuple(gradient.shape) == (2, 5, 4)
        for k, alpha in enumerate((0.5, 2.0)):
            want, slope = renyi.value_and_grad(each.replace(alpha=alpha))(x, sample_weight=weights)
            close(backend, value[k, :], backend.numpy(want))
            close(backend, gradient[k, :, :], backend.numpy(slope))
        _, summed = renyi.value_and_grad(each.replace(reduction="sum"))(x, sample_weight=weights)
        close(backend, summed, backend.numpy(gradient).sum(0))


def test_the_floor_presses_from_the_first_step_below_it(backend):
    skip_where_lazy(backend)
    x = backend.asarray(oracle.X[:1])
    both = renyi.value_and_grad(renyi.entropy_from_logits)(x, 2.0)
    h, slope = (float(backend.numpy(part).ravel()[0]) for part in both)
    for gap in (1e-3, -1e-3):
        value, gradient = renyi.value_and_grad(EntropyFloor(target=h + gap, alpha=2.0))(x)
        assert float(backend.numpy(value)) == pytest.approx(max(0.0, gap), abs=1e-6)
        assert backend.numpy(gradient)[0, 0] == pytest.approx(-slope if gap > 0 else 0.0)


def test_infinite_values_of_rows_that_do_not_count(backend):
    skip_where_lazy(backend)
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
        skip_where_lazy(backend)
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
    skip_where_lazy(backend)  # and dask.array's own max takes no array of size 0
    x = backend.asarray(np.ones((0, 4)))
    for name, term in TERMS.items():
        value, gradient = renyi.value_and_grad(term)(*[x] * (2 if name in PAIRS else 1))
        assert backend.numpy(value) == 0
        assert tuple(gradient.shape) == (0, 4)


def test_senseless_rows_that_count_give_nan(backend):
    skip_where_lazy(backend)
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
    skip_where_lazy(backend)
    mp, few = oracle.mp, len(backend.dtypes) == 1
    centre = np.asarray([0.0, 0.5, -1.0, 0.25])
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
        rows = [[mp.mpf(float(z)) for z in row] for row in x + centre]
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
    given, options = backend.asarray(x + centre), {"sample_weight": backend.asarray(weights)}
    value, gradient = renyi.value_and_grad(InformationTerm())(given, **options)
    close(backend, value, shared)
    close(backend, gradient, slopes)
    if backend.library == "torch":
        close(backend, differentiate(backend, lambda x: InformationTerm()(x, **options), given)[0], slopes, 1e4)


def test_information_of_rows_that_are_sure(backend):
    """It is the entropy of the outcomes' shares; exponentials of single logits are 0 there, or beyond any float."""
    skip_where_lazy(backend)
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
    skip_where_lazy(backend)
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
    skip_where_lazy(backend)
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


def test_diversity(backend):
    """Against the core, in sets of samples; at order 2 also against its definition."""
    if backend.compiles:
        pytest.skip("the kernels have their own tests")
    orders = (2.0,) if backend.library == "dask" else (0.5, 1.0, 2.0, math.inf)
    entries = np.random.default_rng(3).normal(size=(3, 4, 2))
    bad = entries.copy()
    bad[1] = math.nan
    x, w = backend.asarray(bad), backend.asarray(np.asarray([1.0, 0.0, 3.0]))
    for alpha in orders:
        term = DiversityTerm(alpha=alpha, weight=0.5, bandwidth=1.5)
        for kernel in ("gaussian", "cosine"):
            options = {"kernel": kernel} | ({"bandwidth": 1.5} if kernel == "gaussian" else {})
            own = DiversityTerm(alpha=alpha, weight=0.5, **options)
            value, gradient = renyi.value_and_grad(own)(x, sample_weight=w)
            rows = [
                renyi.value_and_grad(renyi.kernel_entropy)(backend.asarray(entries[k]), alpha, **options)
                for k in (0, 2)
            ]
            want = -0.5 * (0.25 * backend.numpy(rows[0][0]) + 0.75 * backend.numpy(rows[1][0]))
            close(backend, value, want)
            close(backend, gradient[0, :, :], -0.125 * backend.numpy(rows[0][1]))
            assert (backend.numpy(gradient)[1] == 0).all()
        if alpha != 2:
            continue
        distances = ((entries[0][:, None] - entries[0][None]) ** 2).sum(-1)
        gram = np.exp(-distances / (2 * 1.5**2))
        close(backend, term(backend.asarray(entries[0])), 0.5 * math.log((gram**2).sum() / np.trace(gram) ** 2))
        wide = term.replace(bandwidth=backend.asarray(np.asarray(1.5)))
        close(backend, wide(backend.asarray(entries[0])), backend.numpy(term(backend.asarray(entries[0]))))
    if backend.library != "dask":
        slope = renyi.grad(DiversityTerm(alpha=1.0), "alpha")(backend.asarray(entries[0]))
        want = renyi.grad(renyi.kernel_entropy, "alpha")(backend.asarray(entries[0]), 1.0)
        close(backend, slope, -backend.numpy(want))


def test_squashed_policies(backend):
    """Against the core, whose tests hold it to 40 digits; ∂/∂log σ is σ ∂/∂σ."""
    skip_where_lazy(backend)
    log_std, mean = 0.3 * oracle.X - 1, oracle.Y.copy()
    scale = np.exp(log_std)
    log_std[2], mean[2] = math.nan, math.inf
    w = oracle.WEIGHTS / oracle.WEIGHTS.sum()
    args = backend.asarray(log_std), backend.asarray(mean)
    rows = backend.asarray(oracle.Y), backend.asarray(scale)
    orders = (0.5, 1.0, 2.0, math.inf)
    for alpha in orders:
        term = GaussianEntropyBonus(alpha=alpha, squashed=True)
        f = renyi.tanh_gaussian_entropy
        h = backend.numpy(f(*rows, alpha, axis=-1))
        for wrt, (other, factor) in enumerate(((1, scale), (0, 1))):
            value, gradient = renyi.value_and_grad(term, wrt)(*args, sample_weight=backend.asarray(oracle.WEIGHTS))
            close(backend, value, -(w @ h))
            slope = backend.numpy(renyi.grad(f, other)(*rows, alpha))
            close(backend, gradient, -w[:, None] * slope * factor, 256)
        slope = renyi.grad(term, "alpha")(*args, sample_weight=backend.asarray(oracle.WEIGHTS))
        close(backend, slope, -(w @ backend.numpy(renyi.grad(f, "alpha")(*rows, alpha)).sum(-1)))
    if backend.library == "torch":
        args = [backend.asarray(values) for values in (0.3 * oracle.X - 1, oracle.Y)]
        own = differentiate(backend, GaussianEntropyBonus(alpha=2.0, squashed=True), *args)
        for wrt in (0, 1):
            want = renyi.grad(GaussianEntropyBonus(alpha=2.0, squashed=True), wrt)(*args)
            close(backend, own[wrt], backend.numpy(want))
