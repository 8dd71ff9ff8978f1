"""No call warns, raises or changes what is the caller's: NumPy's error state, warnings, random numbers, printing."""

from __future__ import annotations

import contextlib
import math
import random
import warnings

import every_call
import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def strict_caller():
    """A caller for whom every floating-point error is one, and every warning; nothing of this is changed."""
    # SciPy, when first imported, adds filters of its own
    renyi.particle_entropy(np.ones((5, 2)), 0.5)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        before = np.geterr(), list(warnings.filters), np.get_printoptions()
        state, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002  the caller's
        yield
        assert before == (np.geterr(), list(warnings.filters), np.get_printoptions())
        assert random.getstate() == state
        assert all(np.array_equal(a, b) for a, b in zip(numbers, np.random.get_state(), strict=True))  # noqa: NPY002


@pytest.mark.parametrize(("content", "dtype"), [*((c, "float64") for c in every_call.CONTENTS), ("tiny", "float16")])
@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.usefixtures("strict_caller")
def test_no_call_warns_or_raises_whatever_the_numbers(content, dtype, *, agnostic):
    # what is stricter: sums in float32 and the cast to float16, and the orders with forms of their own
    orders = (0.0, 1 + 1e-12, math.inf) if dtype == "float16" else (0.5, 1.0)
    orders = (1.7,) if agnostic else orders
    count = 0
    for label, call in every_call.calls(every_call.inputs(content, dtype, shape=(4, 5)), orders):
        try:
            with renyi.agnostic_only() if agnostic else contextlib.nullcontext():
                call()
        except (ArithmeticError, Warning) as error:
            pytest.fail(f"{label}: {error!r}")
        except ValueError as error:
            if not label.startswith("check_probabilities") and "not positive definite" not in str(error):
                raise
        count += 1
    assert count > 100 * len(orders)


@pytest.mark.usefixtures("strict_caller")
def test_an_error_leaves_the_callers_state_as_it_was():
    x = np.asarray([[0.5, 0.5]])
    for f in (renyi.entropy, renyi.value_and_grad(renyi.entropy), renyi.regularizers.EntropyBonus(source="probs")):
        with pytest.raises((TypeError, ValueError)):
            f(x, -1.0, where=x)
        with pytest.raises(FloatingPointError):
            np.exp(np.asarray(1e3))


@pytest.mark.usefixtures("strict_caller")
def test_more_outcomes_than_the_dtype_can_count():
    found = renyi.summary(np.zeros(70_000, np.float16), [1.0, math.inf])
    assert list(found.effective_number) == [math.inf] * 2
    assert found.top_mass > 0


def test_results_are_what_they_are_under_any_error_state():
    """The state decides about warnings alone: overflow is +inf, a row without meaning NaN, all others as ever."""
    arrays = every_call.inputs("masked")
    for label, call in every_call.calls(arrays, (0.5,)):
        if label.startswith("check_probabilities"):
            continue
        want = call()
        with np.errstate(all="raise"):
            assert every_call.same(call(), want), label


def test_inputs_are_left_alone():
    arrays = every_call.inputs("plain")
    before = {name: values.copy() for name, values in arrays.items()}
    for values in arrays.values():
        values.flags.writeable = False
    for label, call in every_call.calls(arrays, (1.0, 2.0)):
        if not label.startswith("check_probabilities"):
            call()
    assert all(np.array_equal(before[name], values) for name, values in arrays.items())
