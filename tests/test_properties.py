"""Laws of the entropies, on random distributions.

Entries are dyadic, so that differences, products and mixtures are exact in every dtype: the input carries no rounding.
"""

from __future__ import annotations

import functools
import itertools
import math

import hypothesis.extra.numpy as hnp
import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import renyi_core as renyi

SUFFIX = {"probs": "", "logits": "_from_logits"}
MEASURES = ["entropy", "hill_number", "tsallis_entropy"]
FUNCTIONS = {(source, name): getattr(renyi, name + SUFFIX[source]) for source in SUFFIX for name in MEASURES}
ENTROPY = {source: FUNCTIONS[source, "entropy"] for source in SUFFIX}
SPECTRUM = {"probs": renyi.entropy_spectrum, "logits": renyi.entropy_spectrum_from_logits}
EMPTY = {"probs": 0.0, "logits": -math.inf}  # an outcome of weight 0
grid = st.integers(-512, 512).map(lambda k: k / 64)
ENTRIES = {  # moderate, tied, extreme
    "logits": [grid, st.sampled_from([-1.0, 0.0, 3.0]), st.integers(-600, 600).map(float)],
    "probs": [st.integers(1, 1000).map(float), st.sampled_from([1.0, 4.0]), st.integers(0, 60).map(lambda k: 2.0**-k)],
}
kinds = st.sampled_from(sorted(FUNCTIONS))
orders = st.sampled_from([0.0, 0.5, 1.0, 1 - 1e-12, 1 + 1e-12, 2.0, math.inf]) | st.floats(0, 50)
cotangents = functools.partial(hnp.arrays, np.float64, elements=st.integers(-8, 8).map(float), fill=st.nothing())


def share(part):  # of the profile's examples: where one example is many calls
    return settings(max_examples=max(3, round(part * settings.default.max_examples)))


def doors(part):
    return lambda test: pytest.mark.parametrize("source", SUFFIX)(share(part)(test))


@st.composite
def rows(draw, source, shape=None, *, extreme=True, holes=True):
    """Draw distributions along the last axis, some of their outcomes of weight 0, but not all."""
    shape = shape or draw(st.sampled_from([(1,), (3, 5)]))  # few: JAX compiles each
    elements = draw(st.sampled_from(ENTRIES[source][: 3 if extreme else 2]))
    x = draw(hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()))
    if holes and draw(st.booleans()):
        hole = draw(hnp.arrays(bool, shape, fill=st.nothing()))
        hole[..., draw(st.integers(0, shape[-1] - 1))] = False
        x[hole] = EMPTY[source]
    return x


def call(backend, f, x, alpha, **options):
    """Return what a function of the library gives for NumPy arrays, as NumPy arrays in float64."""
    options = {k: backend.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    result = f(backend.asarray(x), backend.asarray(alpha) if isinstance(alpha, np.ndarray) else alpha, **options)
    if isinstance(result, tuple):
        return tuple(np.asarray(backend.numpy(part), dtype=np.float64) for part in result)
    return np.asarray(backend.numpy(result), dtype=np.float64)


def bound(backend, want, part=0, case=None):
    """Return the error allowed of values (0), gradients, norm-wise (1), and derivatives in α (2); and underflow."""
    dtype = np.finfo(backend.dtypes[-1])
    units = backend.bounds[dtype.dtype.name][part]
    if case is not None:
        (source, measure), x, alpha = case
        if source == "logits":  # the documented limit: α|d| units for a logit that is d below the largest
            units += min(alpha, 1.0) * np.max(np.where(np.isneginf(x), 0.0, np.max(x, axis=-1, keepdims=True) - x))
        if measure == "tsallis_entropy" and part == 1 and alpha < math.inf:  # Σ p**α multiplies the rounding of Σ p
            units += alpha
    size = np.hypot.reduce(want, axis=-1, keepdims=True) if part == 1 else np.abs(want)
    return units * float(dtype.eps) * size + 1e3 * float(dtype.tiny)


def near(got, want, tolerance):
    assert np.shape(got) == np.shape(want)
    return np.all(np.abs(got - want) <= tolerance)


@doors(0.6)
@given(data=st.data(), step=st.integers(3, 14))
def test_shannon_is_the_limit_from_both_sides(backend, source, data, step):
    x = data.draw(rows(source, extreme=False, holes=False))
    shannon = call(backend, ENTROPY[source], x, 1.0)
    p = x if source == "probs" else np.exp(x)
    log_p = np.log(p / np.sum(p, axis=-1, keepdims=True))
    mean = np.sum(np.exp(log_p) * log_p, axis=-1, keepdims=True)
    variance = np.sum(np.exp(log_p) * (log_p - mean) ** 2, axis=-1)
    for alpha in (1 + 10.0**-step, 1 - 10.0**-step):
        t = alpha - 1
        # dH/dα = −variance/2; the next term is the third cumulant of log p over 6, at most variance times range
        rest = t * t * variance * np.ptp(log_p, axis=-1) / 3
        tolerance = 2 * bound(backend, shannon, 0, ((source, "entropy"), x, alpha)) + rest
        assert near(call(backend, ENTROPY[source], x, alpha), shannon - t * variance / 2, tolerance)


@doors(0.6)
@given(data=st.data(), alphas=st.lists(orders, min_size=3, max_size=3))
def test_entropy_falls_with_the_order_between_its_bounds(backend, source, data, alphas):
    x = data.draw(rows(source))
    alphas = [0.0, *sorted(alphas), math.inf]
    h = call(backend, SPECTRUM[source], x, alphas)
    above = h + 2 * bound(backend, h, 0, ((source, "entropy"), x, 1.0))
    hartley = np.log(np.sum(x != EMPTY[source], axis=-1))
    assert near(h[..., 0], hartley, bound(backend, hartley))
    assert np.all(h >= 0)
    assert np.all(h[..., 1:] <= above[..., :-1])
    for k, alpha in enumerate(alphas[:-1]):
        assert alpha <= 1 or alpha == math.inf or np.all(h[..., k] <= alpha / (alpha - 1) * above[..., -1])


def test_orders_that_are_0_in_the_dtype(backend):
    """Where 0 times the −inf of a masked entry would be no number."""
    x = backend.asarray(np.asarray([[0.0, 0.0, -math.inf]]), "float32")
    for alpha in (1e-40, 1e-170):
        value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
        assert backend.numpy(value)[0] == pytest.approx(math.log(2))
        assert (backend.numpy(gradient) == 0).all()


@pytest.mark.parametrize("change", ["permuted", "padded", "moved"])
@share(0.6)
@given(data=st.data(), kind=kinds, alpha=orders)
def test_value_and_gradient_do_not_see_order_padding_offset_or_scale(backend, change, data, kind, alpha):
    x = data.draw(rows(kind[0], (3, 5) if change == "padded" else None))
    both, case = renyi.value_and_grad(FUNCTIONS[kind]), (kind, x, alpha)
    value, gradient = call(backend, both, x, alpha)
    if change == "permuted":
        order = data.draw(st.permutations(range(x.shape[-1])))
        changed, gradient = x[..., order], gradient[..., order]
    elif change == "padded":
        changed = np.concatenate([x, np.full_like(x, EMPTY[kind[0]])], axis=-1)
    else:
        shift, scale = data.draw(st.integers(-1000, 1000)), 2.0 ** data.draw(st.integers(-8, 8))
        changed, gradient = (x + shift, gradient) if kind[0] == "logits" else (x * scale, gradient / scale)
    got, got_gradient = call(backend, both, changed, alpha)
    factor = 0.0 if change == "moved" else 2.0  # moved by what is exact: not a bit may change
    assert near(got, value, factor * bound(backend, value, 0, case))
    # below the normal numbers a power of two takes digits as well
    least = 8 * np.finfo(gradient.dtype).smallest_subnormal
    assert near(got_gradient[..., : x.shape[-1]], gradient, factor * bound(backend, gradient, 1, case) + least)


@given(data=st.data(), kind=kinds, alpha=orders)
def test_gradient_is_0_for_weight_0_and_along_what_changes_nothing(backend, data, kind, alpha):
    source, measure = kind
    x = data.draw(rows(source))
    dead = x == EMPTY[source]
    gradient = call(backend, renyi.grad(FUNCTIONS[kind]), x, alpha)
    if source == "logits" or alpha <= 1:
        assert np.all(gradient[dead] == 0)
    elif measure == "entropy":  # the right derivative at p = 0
        ratio = 1.0 if alpha == math.inf else alpha / (alpha - 1)
        at_zero = np.broadcast_to(ratio / np.sum(x, axis=-1, keepdims=True), x.shape)[dead]
        assert near(gradient[dead], at_zero, bound(backend, at_zero))
    if source == "logits":
        assert np.all(call(backend, renyi.hvp(FUNCTIONS[kind]), x, alpha, vector=np.ones_like(x))[dead] == 0)
    along = gradient * (1.0 if source == "logits" else x)
    tolerance = bound(backend, along, 1, (kind, x, alpha)) * math.sqrt(x.shape[-1])
    assert near(np.sum(along, axis=-1, keepdims=True), np.zeros((*x.shape[:-1], 1)), tolerance)


@doors(0.6)
@given(data=st.data(), alpha=orders)
def test_entropies_of_independent_variables_add(backend, source, data, alpha):
    x, y = data.draw(rows(source, (4,))), data.draw(rows(source, (2,)))
    joint = x[:, None] * y if source == "probs" else x[:, None] + y
    total = call(backend, ENTROPY[source], x, alpha) + call(backend, ENTROPY[source], y, alpha)
    tolerance = 2 * bound(backend, total, 0, ((source, "entropy"), joint.reshape(-1), alpha))
    for axis in ((-2, -1), None):
        assert near(call(backend, ENTROPY[source], joint, alpha, axis=axis), total, tolerance)


@given(data=st.data(), alpha=orders)
def test_mixing_outcomes_never_lowers_the_entropy(backend, data, alpha):
    x = data.draw(rows("probs", (3, 5), extreme=False))
    shares = data.draw(st.sampled_from([(5, 11), (1, 2, 13), (4, 4, 8)]))  # sixteenths: the mixture is exact
    mixed = sum(share / 16 * x[:, data.draw(st.permutations(range(5)))] for share in shares)
    before, after = call(backend, renyi.entropy, x, alpha), call(backend, renyi.entropy, mixed, alpha)
    assert np.all(after >= before - 2 * bound(backend, before))


@given(data=st.data(), alpha=orders)
def test_probabilities_and_their_logarithms_agree(backend, data, alpha):
    p = data.draw(rows("probs"))
    z = np.log(p, where=p > 0, out=np.full_like(p, -math.inf))
    value, case = call(backend, renyi.entropy, p, alpha), (("logits", "entropy"), z, alpha)
    got, gradient = call(backend, renyi.value_and_grad(renyi.entropy_from_logits), z, alpha)
    # a logarithm is rounded to half a unit of itself, and so is its difference to the largest
    size = np.where(p > 0, np.abs(z), 0.0)
    rounded = np.sum(np.abs(gradient) * (size + np.max(size, axis=-1, keepdims=True)), axis=-1)
    assert near(got, value, 2 * bound(backend, value, 0, case) + bound(backend, rounded) / 8)


@share(0.6)
@given(data=st.data(), kind=kinds, axis=st.sampled_from([1, (-1, 0)]), many=st.booleans())
def test_axes_and_arrays_of_orders_are_a_loop_over_rows_and_numbers(backend, data, kind, axis, many):
    f, keepdims, short = FUNCTIONS[kind], axis == 1, (2, 1, 2) if axis == 1 else (2,)
    table = data.draw(rows(kind[0], (4, 2) if axis == 1 else (2, 4)))
    order = (0, 2, 1) if axis == 1 else (1, 0, 2)  # its own inverse
    x = table.reshape(2, 2, 2).transpose(order)
    alpha = np.reshape([data.draw(orders) for _ in table], short) if many else data.draw(orders)
    each = np.broadcast_to(alpha, short).astype(backend.dtypes[-1] if many else float).reshape(-1)
    value, gradient = call(backend, renyi.value_and_grad(f), x, alpha, axis=axis, keepdims=keepdims)
    slope = call(backend, renyi.grad(f, "alpha"), x, alpha, axis=axis, keepdims=keepdims)
    assert value.shape == slope.shape == short
    gradient = gradient.transpose(order).reshape(table.shape)
    for k, (row, own) in enumerate(zip(table, map(float, each), strict=True)):
        want, want_gradient = call(backend, renyi.value_and_grad(f), row, own)
        want_slope = call(backend, renyi.grad(f, "alpha"), row, own)
        got = value.reshape(-1)[k], gradient[k], slope.reshape(-1)[k]
        for part, (g, w) in enumerate(zip(got, (want, want_gradient, want_slope), strict=True)):
            assert near(g, w, 2 * bound(backend, w, part, (kind, row, own)))


@share(0.6)
@given(data=st.data(), kind=kinds, alpha=orders, garbage=st.sampled_from([math.nan, math.inf, -1.0, 7.0]))
def test_mask_leaves_entries_out_whatever_they_hold(backend, data, kind, *, alpha, garbage):
    x = data.draw(rows(kind[0], (3, 5), holes=False))
    where = data.draw(hnp.arrays(bool, x.shape, fill=st.nothing()))
    where[:, data.draw(st.integers(0, 4))] = True
    case = kind, x, alpha
    for part, wrt in ((1, 0), (2, "alpha")):
        f = renyi.value_and_grad(FUNCTIONS[kind], wrt)
        value, gradient = call(backend, f, np.where(where, x, garbage), alpha, where=where)
        want, want_gradient = call(backend, f, np.where(where, x, EMPTY[kind[0]]), alpha)
        assert wrt or np.all(gradient[~where] == 0)
        want_gradient = want_gradient if wrt else np.where(where, want_gradient, 0.0)
        assert near(value, want, 2 * bound(backend, want, 0, case))
        assert near(gradient, want_gradient, 2 * bound(backend, want_gradient, part, case))
    shared = np.asarray(data.draw(st.permutations([True, True, False, False, False])))
    got = call(backend, FUNCTIONS[kind], np.where(shared, x, garbage), alpha, where=shared)
    want = call(backend, FUNCTIONS[kind], x[:, shared], alpha)
    assert near(got, want, 2 * bound(backend, want, 0, case))


@doors(0.3)
@given(data=st.data(), alpha=orders, base=st.sampled_from([2.0, 10.0, math.e, 0.5]))
def test_base_divides_by_its_logarithm(backend, source, data, alpha, base):
    x = data.draw(rows(source, (3, 5)))
    f = ENTROPY[source]
    product = [(renyi.hvp(f), {"vector": np.arange(5.0)})] if source == "logits" else []
    for transform, options in [(f, {}), (renyi.grad(f), {}), (renyi.grad(f, "alpha"), {}), *product]:
        want = call(backend, transform, x, alpha, **options) / math.log(base)
        got = call(backend, transform, x, alpha, base=base, **options)
        assert near(got, want, bound(backend, want) / 4)


@doors(0.2)
@given(data=st.data(), alphas=st.lists(orders, min_size=3, max_size=3), array=st.booleans())
def test_spectrum_is_a_stack_of_entropies(backend, source, data, alphas, array):
    x, cotangent = data.draw(rows(source, (3, 5))), data.draw(cotangents((3, 3)))
    many = np.asarray(alphas) if array else alphas
    for part, wrt in ((1, 0), (2, "alpha")):
        one, spectrum = renyi.value_and_grad(ENTROPY[source], wrt), renyi.value_and_grad(SPECTRUM[source], wrt)
        value, gradient = call(backend, spectrum, x, many)
        _, product = call(backend, spectrum, x, many, cotangent=cotangent)
        for k, alpha in enumerate(alphas):
            want, want_gradient = call(backend, one, x, np.asarray(alpha) if array else alpha)
            case = (source, "entropy"), x, alpha
            assert near(value[..., k], want, 2 * bound(backend, want, 0, case))
            assert near(gradient[..., k], want_gradient, 2 * bound(backend, want_gradient, part, case))
        terms, over = (gradient * cotangent, 0) if wrt else (gradient * cotangent[:, None, :], -1)
        assert near(product, np.sum(terms, axis=over), bound(backend, np.sum(np.abs(terms), axis=over)) / 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (1,)], ids=["number", "per row", "larger", "shared"])
@share(0.25)
@given(data=st.data(), kind=kinds, keepdims=st.booleans(), wrt=st.sampled_from([0, "alpha"]))
def test_cotangent_multiplies_the_gradient_of_each_row(backend, shape, data, kind, *, keepdims, wrt):
    # more orders than rows take an axis of length 1
    x = data.draw(rows(kind[0], (1, 3, 5) if len(shape) == 2 else (3, 5)))
    target = (*shape, 1) if shape and keepdims else shape
    alpha = np.reshape([data.draw(orders) for _ in range(math.prod(shape))], target) if shape else data.draw(orders)
    both = renyi.value_and_grad(FUNCTIONS[kind], wrt)
    value, gradient = call(backend, both, x, alpha, keepdims=keepdims)
    target = target if wrt else x.shape
    for given_shape in (value.shape, value.shape[1:], None):
        cotangent = -0.75 if given_shape is None else data.draw(cotangents(given_shape))
        _, product = call(backend, both, x, alpha, keepdims=keepdims, cotangent=cotangent)
        full = np.broadcast_to(cotangent, value.shape)
        terms = gradient * (full if wrt or keepdims else full[..., None])
        over = tuple(i for i in range(-terms.ndim, 0) if (1, *target)[max(i, -len(target) - 1)] < terms.shape[i])
        want, size = (np.reshape(np.sum(part, axis=over), target) for part in (terms, np.abs(terms)))
        assert near(product, want, bound(backend, size) / 2)


@doors(0.6)
@given(data=st.data(), alpha=orders)
def test_hill_and_tsallis_are_functions_of_the_entropy(backend, source, data, alpha):
    x = data.draw(rows(source))
    h, hill, tsallis = (call(backend, FUNCTIONS[source, name], x, alpha) for name in MEASURES)
    off = bound(backend, h, 0, ((source, "entropy"), x, alpha))
    assert near(hill, np.exp(h), hill * off + bound(backend, hill))
    u = (1 - alpha) * h if alpha < math.inf else np.full_like(h, -math.inf)
    want = h if alpha == 1 else np.expm1(u) / (1 - alpha)
    assert near(tsallis, want, np.exp(u) * off + bound(backend, want))


def definition(logs, alpha, measure):
    """Return a measure of the softmax of mpmath numbers."""
    weights = [mpmath.exp(z) for z in logs]
    p = [w / mpmath.fsum(weights) for w in weights]
    if alpha == 1:
        h = tsallis = -mpmath.fsum(v * mpmath.log(v) for v in p)
    else:
        power = mpmath.fsum(v**alpha for v in p)
        h = mpmath.log(power) / (1 - alpha) if alpha < mpmath.inf else -mpmath.log(max(p))
        tsallis = (1 - power) / (alpha - 1)
    return {"entropy": h, "hill_number": mpmath.exp(h), "tsallis_entropy": tsallis}[measure]


@mpmath.workdps(120)
def derivatives(x, source, alpha, measure):
    """Return the definition's gradient, Hessian with respect to the logits and derivative in α, by differences."""
    variables = [*(mpmath.log(v) if source == "probs" else mpmath.mpf(v) for v in x), mpmath.mpf(alpha)]
    step, indices = mpmath.mpf(10) ** -30, range(len(x))

    def difference(*moved):
        ends = []
        for signs in itertools.product((1, -1), repeat=len(moved)):
            point = list(variables)
            for i, sign in zip(moved, signs, strict=True):
                point[i] += sign * step
            ends.append(math.prod(signs) * definition(point[:-1], point[-1], measure))
        return float(mpmath.fsum(ends) / (2 * step) ** len(moved))

    gradient, hessian = [difference(i) for i in indices], [[difference(i, j) for j in indices] for i in indices]
    return np.asarray(gradient) / (x if source == "probs" else 1.0), np.asarray(hessian), difference(-1)


@pytest.mark.parametrize(("source", "measure"), FUNCTIONS)
@share(0.4)
@given(data=st.data(), alpha=orders)
def test_derivatives_are_those_of_the_definition(backend, source, measure, data, alpha):
    x = data.draw(rows(source, (3,), extreme=False, holes=False))
    alpha = float(np.asarray(alpha, dtype=backend.dtypes[-1]))
    # a corner at α = ∞ where the largest are tied: the limit of the finite orders, not a derivative
    assume(alpha < math.inf or np.sum(x == np.max(x)) == 1)
    f = FUNCTIONS[source, measure]
    gradient, hessian, slope = derivatives(x, source, alpha, measure)
    case, exact = ((source, measure), x, alpha), 1e-50  # what 120 digits leave of a derivative that is 0
    assert near(call(backend, renyi.grad(f), x, alpha), gradient, bound(backend, gradient, 1, case) + exact)
    assert near(call(backend, renyi.grad(f, "alpha"), x, alpha), slope, bound(backend, slope, 2, case) + exact)
    if source == "logits":
        # it subtracts means under p, which for the largest are near the vector's own entry, and multiplies by α
        loss = (1 + alpha if alpha < math.inf else 1) / (1 - np.exp(np.max(x)) / np.sum(np.exp(x)))
        for order in (alpha, np.full(3, alpha)):
            got = call(backend, renyi.hvp(f), np.stack([x] * 3), order, vector=np.eye(3))
            assert near(got, hessian, loss * np.max(bound(backend, hessian, 1, case)) + exact)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
def test_certain_outcome_has_entropy_0_whatever_its_weight(backend, alpha):
    x = np.stack([np.zeros(400), np.arange(1.0, 401.0)], axis=-1)
    assert np.array_equal(call(backend, renyi.entropy, x, alpha), np.zeros(400))


def test_hessian_of_tsallis_at_infinity_is_0_for_a_certain_outcome_too(backend):
    x, v = (backend.asarray(np.asarray(row)) for row in ([0.0, -math.inf, -math.inf], [1.0, 2.0, 3.0]))
    assert (backend.numpy(renyi.hvp(renyi.tsallis_entropy_from_logits)(x, math.inf, vector=v)) == 0).all()


def test_orders_between_those_with_forms_of_their_own(backend):
    """In an array as in numbers."""
    x = backend.asarray(np.asarray([0.6, 0.3, 0.1, 0.0]))
    orders = (1.9, 2.2, 2.5, 3.5)
    together = backend.numpy(renyi.entropy(x[None, ...], backend.asarray(np.asarray(orders))))
    alone = [float(backend.numpy(renyi.entropy(x, alpha))) for alpha in orders]
    np.testing.assert_allclose(together, alone, rtol=16 * float(np.finfo(backend.dtypes[-1]).eps))
