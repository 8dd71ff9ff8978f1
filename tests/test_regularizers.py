"""The terms of a loss: values and gradients against their definitions in 60 digits, masks, weights, reductions."""

from __future__ import annotations

import functools
import math

import numpy as np
import oracle_terms as oracle
import pytest
from term_cases import PAIRS, close, differentiate, of_order, skip_where_compiled

import renyi_core as renyi
from renyi_core.regularizers import (
    BalanceTerm,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
    SampledEntropyBonus,
)


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


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("name", oracle.TERMS)
def test_value_and_gradients(backend, name, masked):
    """Analytic, and by torch's and JAX's automatic differentiation, at 1/2, 1, 2 and ∞."""
    if not masked and name not in {"bonus", "balance"}:
        skip_where_compiled(backend)
    if name in {"confidence", "reverse"}:
        skip_where_compiled(backend)
    (arrays, options), digits = everything(backend, name, masked=masked), backend.dtypes[-1]
    automatic = backend.library in {"torch", "jax"}

    def both(alpha, *args):
        term = of_order(name, alpha)
        results = [renyi.value_and_grad(term, wrt)(*args, **options) for wrt in range(len(args))]
        own = differentiate(backend, lambda *args: term(*args, **options), *args) if automatic else []
        return term(*args, **options), [value for value, _ in results], [gradient for _, gradient in results], own

    compiled = backend.compiled(both)
    # each order of the information term is compiled anew
    orders = oracle.ORDERS if not backend.compiles or name != "information" else (0.5, 1.0)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
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
    skip_where_compiled(backend)
    x, orders = backend.asarray(oracle.X), np.asarray([[0.5], [2.0]])
    weights = backend.asarray(oracle.WEIGHTS)
    for term in (EntropyBonus(weight=0.5), EntropyFloor(target=1.2, weight=0.5)):
        each = term.replace(alpha=backend.asarray(orders), reduction="none")
        value, gradient = renyi.value_and_grad(each)(x[None, ...], sample_weight=weights)
        assert tuple(value.shape) == (2, 5)
        assert tuple(gradient.shape) == (2, 5, 4)
        for k, alpha in enumerate((0.5, 2.0)):
            want, slope = renyi.value_and_grad(each.replace(alpha=alpha))(x, sample_weight=weights)
            close(backend, value[k, :], backend.numpy(want))
            close(backend, gradient[k, :, :], backend.numpy(slope))
        _, summed = renyi.value_and_grad(each.replace(reduction="sum"))(x[None, ...], sample_weight=weights)
        close(backend, summed[0, ...], backend.numpy(gradient).sum(0))


def test_diversity(backend):
    """Against the core, in sets of samples; at order 2 also against its definition."""
    if backend.compiles:
        pytest.skip("the kernels have their own tests")
    orders = (0.5, 1.0, 2.0, math.inf)
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
    slope = renyi.grad(DiversityTerm(alpha=1.0), "alpha")(backend.asarray(entries[0]))
    want = renyi.grad(renyi.kernel_entropy, "alpha")(backend.asarray(entries[0]), 1.0)
    close(backend, slope, -backend.numpy(want))


def test_squashed_policies(backend):
    """Against the core, whose tests hold it to 40 digits; ∂/∂log σ is σ ∂/∂σ."""
    skip_where_compiled(backend)
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
