"""Random calls: every way to a result leads to the same one, whatever the layout, the batch and the adapter.

A short profile runs with the other tests; ``nox -s fuzz`` runs as many examples as FUZZ_EXAMPLES says, at random.
"""

from __future__ import annotations

import itertools
import math
import os

import hypothesis
import numpy as np
import pytest
from fuzz_cases import ENTROPIES, LAYOUTS, OTHERS, PAIRS, ROWS, TERMS
from hypothesis import given
from hypothesis import strategies as st

import renyi_core as renyi

BACKENDS = ("numpy", "torch")
SPECS = {**ENTROPIES, **PAIRS, **OTHERS}
LONG = int(os.environ.get("FUZZ_EXAMPLES", "0"))
seeds = st.integers(0, 2**32 - 1)
kinds = st.lists(st.sampled_from(ROWS), min_size=1, max_size=4)
dtypes = st.sampled_from(["float32", "float64"])
# a block of NumPy's adapter holds 32,768 numbers of float64
batches = st.sampled_from([(), (1,), (3,), (2, 2), (0,), (0, 2), (7,)])
lengths = st.sampled_from([1, 2, 3, 5, 33])


def examples(share):
    """Return the settings: a share of the long profile's examples, at random, or few and always the same."""
    if LONG:
        return hypothesis.settings(
            max_examples=max(1, round(share * LONG)),
            deadline=None,
            derandomize=False,
            print_blob=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
    return hypothesis.settings(max_examples=max(3, round(30 * share)), deadline=None, derandomize=True)


def arrays(backend, xs, kind="plain"):
    """Return NumPy arrays as those of the backend, in a layout where it has such."""
    if backend.library == "numpy":
        return [LAYOUTS[kind](x) if x.ndim else x for x in xs]
    if backend.library == "torch":
        if kind in {"strided", "rows strided", "fortran"}:
            return [backend.xp.from_numpy(LAYOUTS[kind](x)) if x.ndim else backend.asarray(x) for x in xs]
        return [backend.asarray(x, str(x.dtype)) for x in xs]
    return [backend.asarray(x, str(x.dtype)) for x in xs]


def back(backend, x):
    return np.asarray(backend.numpy(x), dtype=np.float64)


def _is_huge(x):
    return ((np.abs(x) > 1e35) & (np.abs(x) < 4e38)) | (np.abs(x) > 1e305)


def off(got, want, own, floor=0.0):
    """Return the largest error of a result, relative to the norm over its last ``own`` axes plus ``floor``."""
    assert got.shape == want.shape
    if not got.size:
        return 0.0
    axes, least = tuple(range(-own, 0)) if own else (), 1e-30
    assert np.array_equal(np.isnan(got), np.isnan(want))
    # whether a number next to the largest of its dtype is infinite is a matter of rounding
    edge = np.isinf(got) != np.isinf(want)
    assert all(np.all(np.isinf(part[edge]) | _is_huge(part[edge])) for part in (got, want))
    both = [np.where(edge, 0.0, part) for part in (got, want)]
    assert np.array_equal(*(part[np.isinf(both[1])] for part in both))
    both = [np.where(np.isfinite(both[1]), part, 0.0) for part in both]
    gap, size = both[0] - both[1], both[1]
    if axes:
        # squares of very large or very small numbers are neither
        unit = np.max(np.maximum(np.abs(gap), np.abs(size)), axis=axes, keepdims=True)
        unit = np.where(unit > 0, unit, 1.0)
        gap, size = (np.sqrt(np.sum((part / unit) ** 2, axis=axes)) for part in (gap, size))
        unit = np.squeeze(unit, axis=axes)
        with np.errstate(over="ignore"):
            floor, least = floor / unit, least / unit
    gap, size = np.abs(gap), np.abs(size)
    with np.errstate(all="ignore"):
        return float(np.max(np.where(gap <= least, 0.0, gap / (size + floor))))


def native(dtype):
    """Return a dtype; NumPy's in the machine's order of bytes, which results may have or keep."""
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) else dtype


def results(backend, spec, xs, alpha, options, cotangent=None):
    """Return all that a function gives: the value, and from each rule value and gradient."""
    options = {**(spec.options or {}), **options}
    value = spec.f(*xs, alpha, **options)
    found = {"value": back(backend, value)}
    if cotangent is None and not spec.entry:
        return found
    extra = {} if cotangent is None else {"cotangent": cotangent}
    for wrt in spec.wrt:
        again, gradient = renyi.value_and_grad(spec.f, wrt)(*xs, alpha, **extra, **options)
        assert native(gradient.dtype) == native(again.dtype) == native(value.dtype)
        found[f"value beside {wrt}"] = back(backend, again)
        found[wrt] = back(backend, gradient)
        alone = back(backend, renyi.grad(spec.f, wrt)(*xs, alpha, **extra, **options))
        assert np.array_equal(alone, found[wrt], equal_nan=True)
    return found


def spread(xs, alpha=1.0):
    """Return how many nats the entries span, times α where that is larger: what the rounding of powers is worth."""
    x = np.concatenate([x.astype(np.float64).reshape(-1) for x in xs])
    x = np.log(x[x > 0]) if np.all(x >= 0) else x[np.isfinite(x)]
    return float(np.ptp(x) * np.clip(np.max(alpha, where=np.isfinite(alpha), initial=1), 1, 100)) if x.size else 0.0


def agree(found, want, spec, alpha, bound):
    for what, got in found.items():
        own = spec.own if what in {0, 1} else 0
        error = off(got, want[what], own, spec.floor(want["value"], alpha) if spec.floor else 0.0)
        assert error <= bound, (what, error / bound)


@st.composite
def calls(draw, specs):
    name = draw(st.sampled_from(sorted(specs)))
    spec, dtype = specs[name], draw(dtypes)
    rng = np.random.default_rng(draw(seeds))
    xs = spec.make(rng, draw(batches), draw(lengths), draw(kinds), dtype)
    return name, spec, xs, draw(st.sampled_from(spec.alphas)), rng, dtype


@examples(1)
@given(calls(SPECS), st.sampled_from(sorted(LAYOUTS)))
def test_adapter_layout_and_door_do_not_matter(backend, call, kind):
    _, spec, xs, alpha, _, dtype = call
    found = results(backend, spec, arrays(backend, xs, kind), alpha, {})
    with renyi.agnostic_only():
        want = results(backend, spec, arrays(backend, xs), alpha, {})
    bound = (spec.bound + 4 * spread(xs, alpha)) * float(np.finfo(dtype).eps)
    agree(found, want, spec, alpha, bound)
    for what in found:
        if str(what).startswith("value "):
            assert off(found[what], found["value"], 0) <= bound, what


@examples(0.5)
@given(st.data(), calls(SPECS), st.sampled_from([2, 40, 900]))
def test_a_row_does_not_see_its_batch(backend, data, call, copies):
    """Rows of one block may share work, never digits."""
    name, spec, _, alpha, rng, dtype = call
    n, count = data.draw(lengths), 4
    if name not in ENTROPIES:
        copies = min(copies, 6)
    xs = spec.make(rng, (count,), n, data.draw(kinds | st.just(["nearly flat", "normal"])), dtype)
    order = rng.permutation(np.repeat(np.arange(count), copies))
    together = results(backend, spec, arrays(backend, [x[order] for x in xs]), alpha, {})
    bound = (spec.bound + 4 * spread(xs, alpha)) * float(np.finfo(dtype).eps)
    for k in range(count):
        alone = results(backend, spec, arrays(backend, [x[k] for x in xs]), alpha, {})
        mine = {what: got[order == k] for what, got in together.items()}
        agree(mine, {what: np.broadcast_to(want, mine[what].shape) for what, want in alone.items()}, spec, alpha, bound)


@examples(0.15)
@given(st.data(), calls({**ENTROPIES, **PAIRS}), st.sampled_from(sorted(LAYOUTS)), st.booleans(), st.booleans())
def test_options_are_what_they_abbreviate(backend, data, call, kind, keepdims, masked):
    """Axes, masks, orders in an array and a cotangent, all at once, against rows one by one."""
    name, spec, _, _, rng, dtype = call
    shape = data.draw(st.sampled_from([(2, 3, 4), (1, 3, 5), (2, 1, 33)]))
    xs = spec.make(rng, shape[:-1], shape[-1], data.draw(kinds), dtype)
    axis = data.draw(st.sampled_from([-1, 0, 1, (0, 2), (-1, 1), (2, 1, 0), None]))
    axes = tuple(range(3)) if axis is None else tuple(a % 3 for a in (axis if isinstance(axis, tuple) else (axis,)))
    rest = tuple(i for i in range(3) if i not in axes)
    short = tuple(1 if i in axes else shape[i] for i in range(3))
    shown = short if keepdims else tuple(shape[i] for i in rest)
    alphas = np.reshape(
        data.draw(st.lists(st.sampled_from(spec.alphas), min_size=math.prod(short), max_size=math.prod(short))), shown
    )
    # α − 1 is formed before it is rounded, but an array of float32 has rounded it already
    alphas = alphas.astype(data.draw(st.sampled_from(["float64", dtype])))
    cotangent = rng.integers(-4, 5, size=shown).astype(dtype)
    where = rng.random(shape) < (0.7 if masked else 2)
    options = {"axis": axis, "keepdims": keepdims}
    if masked:
        options["where"] = backend.asarray(where)
    filled = [np.where(where, x, dtype == "float64") for x in xs] if masked else xs
    given_alpha, given_cotangent = (backend.asarray(part, str(part.dtype)) for part in (alphas, cotangent))
    found = results(backend, spec, arrays(backend, filled, kind), given_alpha, options)
    empty = -np.inf if "logits" in name else 0.0
    order = (*rest, *axes)
    rows = [
        np.where(where, x, empty).astype(dtype).transpose(order).reshape(-1, math.prod(shape[i] for i in axes))
        for x in xs
    ]

    def row_of(part, what, k):
        return (part.transpose(order).reshape(rows[0].shape) if what in {0, 1} else part.reshape(-1))[k]

    products = {}
    for wrt in spec.wrt:
        product = renyi.grad(spec.f, wrt)(
            *arrays(backend, filled, kind), given_alpha, cotangent=given_cotangent, **options
        )
        products[wrt] = back(backend, product)
    bound = (spec.bound + 4 * spread(xs, alphas)) * float(np.finfo(dtype).eps)
    for k, each in enumerate(zip(*rows, strict=True)):
        own = alphas.reshape(-1)[k : k + 1]
        want = results(backend, spec, arrays(backend, each), backend.asarray(own, str(own.dtype))[0], {})
        got = {}
        for what, part in found.items():
            got[what] = row_of(part, what, k)
            if what in {0, 1}:
                kept = row_of(where, 0, k)
                if np.isnan(want["value"]):
                    # of a row that is none, masked entries have 0 or NaN
                    assert np.all(np.isnan(got[what][kept]))
                else:
                    assert np.all(got[what][~kept] == 0)
                want[what] = np.where(kept, want[what], got[what])
        agree(got, want, spec, own, bound)
        for wrt, product in products.items():
            factor = float(cotangent.reshape(-1)[k])
            with np.errstate(invalid="ignore"):
                scaled = got[wrt] * factor if factor else np.zeros_like(got[wrt])
            assert off(row_of(product, wrt, k), scaled, 1 if wrt != "alpha" else 0) <= bound, wrt


@examples(0.4)
@given(calls({name: spec for name, spec in SPECS.items() if spec.axes}))
def test_permutations_permute(backend, call):
    _, spec, (x, *_), alpha, rng, dtype = call
    plain = results(backend, spec, arrays(backend, [x]), alpha, {})
    eps = float(np.finfo(dtype).eps)
    for axis in spec.axes:
        order = rng.permutation(x.shape[axis])
        moved = results(backend, spec, arrays(backend, [np.take(x, order, axis=axis)]), alpha, {})
        entries = {0} if spec.entry else {"value"}
        want = {what: np.take(part, order, axis=axis) if what in entries else part for what, part in plain.items()}
        if spec.f is renyi.jensen_divergence and alpha == math.inf:
            # which outcome is the one that counts is a matter of rounding
            moved.pop(0)
        agree(moved, want, spec, alpha, (spec.bound + 4 * spread([x], alpha)) * eps)


@examples(0.4)
@given(st.data(), calls({**ENTROPIES, **PAIRS, "mutual_information": SPECS["mutual_information"]}))
def test_outcomes_of_weight_0_change_nothing(backend, data, call):
    name, spec, xs, alpha, _, dtype = call
    empty = -np.inf if "logits" in name else 0.0
    more = data.draw(st.integers(1, 40))
    longer = [np.concatenate([x, np.full((*x.shape[:-1], more), empty, dtype=dtype)], axis=-1) for x in xs]
    plain = results(backend, spec, arrays(backend, xs), alpha, {})
    found = results(backend, spec, arrays(backend, longer), alpha, {})
    cut = {what: part[..., : xs[0].shape[-1]] if what in {0, 1} else part for what, part in found.items()}
    agree(cut, plain, spec, alpha, (spec.bound + 4 * spread(xs, alpha)) * float(np.finfo(dtype).eps))


FALLING = ("entropy", "entropy_from_logits", "conditional_entropy", "gram_entropy", "cross_entropy")
RISING = ("divergence", "divergence_from_logits", "mutual_information")


@examples(0.4)
@given(st.data(), calls({name: SPECS[name] for name in (*FALLING, *RISING)}))
def test_monotone_in_the_order_and_not_negative(backend, data, call):
    name, spec, xs, _, _, dtype = call
    sign = 1 if name in RISING else -1
    alphas = sorted(data.draw(st.lists(st.sampled_from(spec.alphas), min_size=3, max_size=3, unique=True)))
    values = [back(backend, spec.f(*arrays(backend, xs), alpha)) for alpha in alphas]
    bound = (spec.bound + 4 * spread(xs, alphas)) * float(np.finfo(dtype).eps)
    for low, high in itertools.pairwise(values):
        with np.errstate(invalid="ignore"):
            room = bound * np.abs(low) if name != "gram_entropy" else bound
            assert np.all((sign * (high - low) >= -room) | np.isinf(low) | np.isinf(high))
    slope = back(backend, renyi.grad(spec.f, "alpha")(*arrays(backend, xs), alphas[1]))
    assert np.all((sign * slope >= -bound) | ~np.isfinite(values[1]))
    assert all(np.all((value >= 0) | np.isnan(value)) for value in values)


@examples(0.3)
@given(calls({**ENTROPIES, **PAIRS, "jensen_divergence": SPECS["jensen_divergence"]}), st.sampled_from(sorted(LAYOUTS)))
def test_half_precision_is_float32_rounded(backend, call, kind):
    _, spec, xs, alpha, _, _ = call
    with np.errstate(over="ignore"):
        halves = [x.astype(np.float16) for x in xs]
    wide = [x.astype(np.float32) for x in halves]
    found = results(backend, spec, arrays(backend, halves, kind), alpha, {})
    want = results(backend, spec, arrays(backend, wide), alpha, {})
    with np.errstate(over="ignore"):
        rounded = {what: part.astype(np.float16).astype(np.float64) for what, part in want.items()}
    for what, got in found.items():
        assert got.shape == rounded[what].shape
        same = (got == rounded[what]) | (np.isnan(got) & np.isnan(rounded[what]))
        # beside a tie, or in half precision's subnormal numbers, the last digit may go either way
        with np.errstate(invalid="ignore"):
            close = np.abs(got - want[what]) <= 2.0**-10 * np.abs(want[what]) + 2.0**-23
        assert np.all(same | close), what


@examples(0.5)
@given(st.data(), st.sampled_from(sorted(TERMS)), st.sampled_from(sorted(LAYOUTS)), seeds, kinds, dtypes, st.booleans())
def test_terms_by_every_door(backend, data, name, kind, seed, row_kinds, dtype, weighted):
    term, make = TERMS[name]
    rng = np.random.default_rng(seed)
    n = data.draw(st.sampled_from([2, 5, 33]))
    x = make(rng, (data.draw(st.integers(1, 9)), n), row_kinds, dtype)
    options, rows = {}, len(x)
    if weighted:
        weights = rng.integers(0, 3, size=rows).astype(dtype)
        weights[rng.integers(rows)] = 1
        options["sample_weight"] = backend.asarray(weights, dtype)
    both = renyi.value_and_grad(term)
    (x_,) = arrays(backend, [x], kind)
    value = back(backend, term(x_, **options))
    again, gradient = (back(backend, part) for part in both(x_, **options))
    with renyi.agnostic_only():
        (plain,) = arrays(backend, [x])
        want, want_gradient = (back(backend, part) for part in both(plain, **options))
    bound = (1024 + 4 * spread([x])) * float(np.finfo(dtype).eps)
    if not np.all(np.isfinite(want)):
        # label smoothing of an outcome that the logits exclude
        assert name == "LabelSmoothing"
        assert np.array_equal(value, want)
        assert np.array_equal(again, want)
        return
    scale = float(np.max(np.abs(want), initial=0)) + math.log(n)
    assert np.max(np.abs(value - want)) <= bound * scale
    assert np.max(np.abs(again - want)) <= bound * scale
    assert np.max(np.abs(gradient - want_gradient)) <= bound * (1 + np.max(np.abs(want_gradient)))
    if weighted and name != "EntropyBonus, rows":
        # a row of weight 0 is left out, whatever it holds, and one of weight 2 counts twice
        repeated = np.repeat(x, weights.astype(int), axis=0)
        alone = back(backend, term(*arrays(backend, [repeated])))
        assert np.max(np.abs(alone - want)) <= bound * scale
    if name == "sum":
        assert value == pytest.approx(sum(float(back(backend, part(x_, **options))) for part in term.terms), rel=bound)


shapes = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3).map(tuple)
axes = st.none() | st.integers(-4, 3) | st.lists(st.integers(-3, 2), max_size=3).map(tuple)


@examples(1)
@given(st.data(), st.sampled_from(sorted({**ENTROPIES, **PAIRS})), shapes, axes, st.booleans())
def test_any_shapes_fit_or_are_refused_by_name(backend, data, name, shape, axis, keepdims):
    """Whatever the shapes: the same answer from every function, or the same error, which names an argument."""
    spec = SPECS[name]
    near = st.just(shape) | shapes
    xs = [backend.asarray(np.full(shape if k == 0 else data.draw(near), 0.5)) for k in range(len(spec.wrt) - 1)]
    alpha = data.draw(st.sampled_from([0.5, 1.0, 2.0, math.inf]) | near)
    alpha = backend.asarray(np.full(alpha, 2.0)) if isinstance(alpha, tuple) else alpha
    options = {"axis": axis, "keepdims": keepdims}
    if data.draw(st.booleans()):
        options["where"] = backend.asarray(np.full(data.draw(near), fill_value=True))

    def outcome(f, **more):
        try:
            return f(*xs, alpha, **options, **more)
        except (TypeError, ValueError) as error:
            return str(error)

    value = outcome(spec.f)
    refused = isinstance(value, str)
    assert not refused or "`" in value
    for wrt in spec.wrt:
        both = outcome(renyi.value_and_grad(spec.f, wrt))
        assert both == value if refused else both[0].shape == value.shape
        if not refused:
            assert wrt == "alpha" or both[1].ndim >= xs[wrt].ndim
            own = getattr(alpha, "shape", ()) if wrt == "alpha" else xs[wrt].shape
            ones = backend.asarray(np.ones(value.shape))
            assert tuple(outcome(renyi.grad(spec.f, wrt), cotangent=ones).shape) == tuple(own)
    with renyi.agnostic_only():
        plain = outcome(spec.f)
        assert plain == value if refused else plain.shape == value.shape
        assert refused or np.allclose(back(backend, plain), back(backend, value), rtol=1e-5, equal_nan=True)
