"""Schedules against their formulas, of numbers and of arrays."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle

import mpmath
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.schedules import (
    Constant,
    Cosine,
    Exponential,
    Harmonic,
    Linear,
    Piecewise,
)

# what the adapters change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")


mp = mpmath.mp


def _share(step, steps):
    return min(mpmath.mpf(step), mpmath.mpf(steps)) / mpmath.mpf(steps)


def _linear(start, end, steps):
    def at(step):
        f = _share(step, steps)
        return (1 - f) * mpmath.mpf(start) + f * mpmath.mpf(end)

    return at


def _cosine(start, end, steps, warmup):
    def at(step):
        if step < warmup:
            return mpmath.mpf(start) * mpmath.mpf(step) / warmup
        f = _share(step - warmup, steps - warmup)
        return mpmath.mpf(end) + (mpmath.mpf(start) - mpmath.mpf(end)) * (1 + mpmath.cos(mpmath.pi * f)) / 2

    return at


def _exponential(start, end, steps):
    def at(step):
        f = _share(step, steps)
        return mpmath.mpf(start) ** (1 - f) * mpmath.mpf(end) ** f

    return at


def _harmonic(start, end, steps):
    def at(step):
        f = _share(step, steps)
        parts = ((1 - f) / mpmath.mpf(start), 0 if end == math.inf else f / mpmath.mpf(end))
        if start == math.inf:
            parts = (0, parts[1])
        return 1 / sum(parts) if sum(parts) else mpmath.inf

    return at


def _steps(points):
    return lambda step: mpmath.mpf([value for at, value in points if at <= step or at == points[0][0]][-1])


def _lines(points):
    def at(step):
        for (a, u), (b, v) in reversed(list(itertools.pairwise(points))):
            if step >= a:
                return _linear(u, v, b - a)(step - a)
        return mpmath.mpf(points[0][1])

    return at


POINTS = [(3, 0.5), (7, 1.25), (20, 0.1)]


# the schedule, its formula, and how many units in the last place its own factors cost: none, or up to 4,
# and one for each nat that the ends of an exponential are apart
CASES = [
    (Constant(0.3), lambda _: mpmath.mpf(0.3), 0),
    (Constant(math.inf), lambda _: mpmath.inf, 0),
    (Linear(0.1, 0.0, 20), _linear(0.1, 0.0, 20), 4),
    (Linear(0.5, 4.0, 7.5), _linear(0.5, 4.0, 7.5), 4),
    (Linear(0.3, 0.3, 20), lambda _: mpmath.mpf(0.3), 0),
    (Cosine(0.1, 0.0, 20), _cosine(0.1, 0.0, 20, 0), 4),
    (Cosine(0.2, 1.5, 17, warmup=6), _cosine(0.2, 1.5, 17, 6), 4),
    (Exponential(1.0, 1e-3, 20), _exponential(1.0, 1e-3, 20), 4),
    (Exponential(1e30, 1e-30, 20), _exponential(1e30, 1e-30, 20), 142),
    (Exponential(0.3, 0.3, 20), lambda _: mpmath.mpf(0.3), 0),
    (Exponential(0.25, 4.0, 13), _exponential(0.25, 4.0, 13), 4),
    (Harmonic(0.5, 4.0, 20), _harmonic(0.5, 4.0, 20), 4),
    (Harmonic(0.3, 0.3, 20), lambda _: mpmath.mpf(0.3), 0),
    (Harmonic(1.0, math.inf, 20), _harmonic(1.0, math.inf, 20), 4),
    (Harmonic(math.inf, 2.0, 20), _harmonic(math.inf, 2.0, 20), 4),
    (Piecewise(POINTS), _steps(POINTS), 0),
    (Piecewise([(0, 1), (4, math.inf)]), _steps([(0, 1), (4, math.inf)]), 0),
    (Piecewise(POINTS, "linear"), _lines(POINTS), 4),
    (Piecewise([(5, 0.3)], "linear"), lambda _: mpmath.mpf(0.3), 0),
]
AT = [0, 1, 3, 3.5, 5, 6, 7, 7.25, 8.5, 10, 11, 13, 16.9, 17, 19, 20, 21, 1e9]


def close(got, want, units, eps):
    """Whether a value is right to some units in the last place."""
    if want == mpmath.inf:
        return got == math.inf
    return abs(mpmath.mpf(float(got)) - want) <= units * eps * abs(want)


@pytest.mark.parametrize(("schedule", "formula", "bound"), CASES, ids=[repr(case[0]) for case in CASES])
def test_numbers(schedule, formula, bound):
    with mp.workdps(40):
        for step in [*AT, math.inf, np.int64(5), np.float32(3.5)]:
            got = schedule(step)
            assert type(got) is float
            assert close(got, formula(float(step) if step != math.inf else 1e30), bound, 2.0**-52), step


def test_arrays(backend):
    """Of floating-point steps in their dtype, below 0 as at 0; no value is read."""
    for dtype in backend.dtypes:
        eps = float(np.finfo(dtype).eps)
        at = [-5.0, *AT]
        steps = backend.asarray(np.asarray(at).reshape(1, -1), dtype)
        results = backend.compiled(lambda steps: [schedule(steps) for schedule, *_ in CASES])(steps)
        for (schedule, formula, bound), result in zip(CASES, results, strict=True):
            assert result.dtype == steps.dtype
            assert result.shape == steps.shape
            values = backend.numpy(result)[0]
            with mp.workdps(40):
                for step, got in zip(at, values, strict=True):
                    want = formula(max(float(np.asarray(step, dtype)), 0.0))
                    assert close(got, want, max(bound, 1), eps), (schedule, step)


def test_whole_steps(backend):
    for dtype in ("int32", "int64"):
        steps = backend.asarray(np.arange(25), dtype if backend.library != "jax" else "int32")
        results = backend.compiled(lambda s: [schedule(s) for schedule, *_ in CASES])(steps)
        floats = backend.xp.__array_namespace_info__().default_dtypes()["real floating"]
        for (schedule, *_), result in zip(CASES, results, strict=True):
            assert result.dtype == floats
            values = backend.numpy(result)
            tolerance = 64 * float(np.finfo(values.dtype).eps)
            np.testing.assert_allclose(values, [schedule(k) for k in range(25)], rtol=tolerance)
    scalar = Linear(0.0, 1.0, 10)(backend.asarray(np.asarray(5)))
    assert scalar.shape == ()
    assert float(backend.numpy(scalar)) == 0.5


def test_both_ends_are_met_exactly():
    for start, end in ((0.1, 0.7), (1 / 3, 1e-5), (49.0, 1 / 49), (1e-300, 1e300)):
        for schedule in (Linear, Cosine, Exponential, Harmonic):
            for steps in (1, 3, 7, 1000, 0.3):
                f = schedule(start, end, steps)
                assert (f(0), f(steps), f(2 * steps)) == (start, end, end)
    assert Cosine(0.7, 0.1, 10, warmup=3)(3) == 0.7


def test_the_repr_shows_what_was_given():
    assert repr(Linear(1, np.float64(0.5), 10)) == "Linear(start=1.0, end=0.5, steps=10)"
    assert repr(Cosine(1.0, 0.5, 2.5, warmup=1)) == "Cosine(start=1.0, end=0.5, steps=2.5, warmup=1)"
    assert repr(Piecewise([[0, 1], (2, 0.5)])) == "Piecewise(points=((0, 1.0), (2, 0.5)), interpolation='constant')"


def test_as_coefficients_and_orders(backend):
    """A schedule of α that comes to ∞ is the entropy of those orders."""
    logits = np.log([[0.5, 0.25, 0.125, 0.125]] * 3)
    orders = Harmonic(1.0, math.inf, 2)(backend.asarray(np.asarray([0.0, 1.0, 2.0])))
    values = backend.numpy(renyi.entropy_from_logits(backend.asarray(logits), orders))
    expected = [1.75 * math.log(2), -math.log(0.25 + 0.0625 + 2 / 64), math.log(2)]
    np.testing.assert_allclose(values, expected, rtol=1e-6 if values.dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("schedule", [case[0] for case in CASES], ids=repr)
def test_they_are_values(schedule):
    names = {"inf": math.inf}
    again = eval(repr(schedule), {kind.__name__: kind for kind in (
        Constant, Cosine, Exponential, Harmonic, Linear, Piecewise)}, names)  # fmt: skip
    for other in (again, pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert type(other) is type(schedule)
    field = dataclasses.fields(schedule)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(schedule, field, 1.0)
    assert sum(other == schedule for other, *_ in CASES) == 1


@pytest.mark.parametrize("kind", [Linear, Cosine, Exponential, Harmonic])
@pytest.mark.parametrize("name", ["start", "end", "steps"])
def test_bad_ends_and_lengths(kind, name):
    good = {"start": 1.0, "end": 2.0, "steps": 10}
    for bad in ("1", None, True, 1j, [1.0], np.ones(2)):
        with pytest.raises(TypeError, match=f"`{name}`"):
            kind(**good | {name: bad})
    for bad in (math.nan, -math.inf, *((0, -1, math.inf) if name == "steps" else ())):
        with pytest.raises(ValueError, match=f"`{name}`"):
            kind(**good | {name: bad})


def test_bad_schedules():
    for kind in (Exponential, Harmonic):
        for bad in (0, -1.0):
            for ends in ((bad, 1.0), (1.0, bad)):
                with pytest.raises(ValueError, match=r"`(start|end)`"):
                    kind(*ends, 10)
    for kind in (Linear, Cosine, Exponential):
        with pytest.raises(ValueError, match="`end` must be finite"):
            kind(1.0, math.inf, 10)
    with pytest.raises(ValueError, match="both"):
        Harmonic(math.inf, math.inf, 10)
    for bad in (10, 11, -1, math.nan):
        with pytest.raises(ValueError, match="`warmup`"):
            Cosine(1.0, 0.0, 10, warmup=bad)
    for bad in ("1", None, False):
        with pytest.raises(TypeError, match="`warmup`"):
            Cosine(1.0, 0.0, 10, warmup=bad)
    with pytest.raises(ValueError, match="`value`"):
        Constant(math.nan)
    with pytest.raises(TypeError, match="`value`"):
        Constant("1")


def test_bad_points():
    for bad in ("01", None, 1.0, {0: 1.0}, [0, 1], [(0, 1, 2)], ["01"], [(0, "1")], [(None, 1)], [(0, True)]):
        with pytest.raises(TypeError, match="`points`"):
            Piecewise(bad)
    for bad in ([], [(-1, 1.0)], [(1, 1.0), (1, 2.0)], [(2, 1.0), (1, 2.0)], [(math.inf, 1.0)], [(math.nan, 1.0)],
                [(0, math.nan)]):  # fmt: skip
        with pytest.raises(ValueError, match="`points`"):
            Piecewise(bad)
    with pytest.raises(ValueError, match="`points`"):
        Piecewise([(0, 1.0), (1, math.inf)], "linear")
    with pytest.raises(ValueError, match="`interpolation`"):
        Piecewise([(0, 1.0)], "cubic")


def test_bad_steps(backend):
    for schedule, *_ in CASES:
        for bad in (-1, -1e-300, math.nan, -math.inf, np.int64(-2)):
            with pytest.raises(ValueError, match="`step`"):
                schedule(bad)
        for bad in ("1", None, True, 1j, [1, 2]):
            with pytest.raises(TypeError, match="`step`"):
                schedule(bad)
        for dtype in (bool, np.complex64):
            with pytest.raises(TypeError, match="`step`"):
                schedule(backend.asarray(np.ones(2, dtype=dtype)))
