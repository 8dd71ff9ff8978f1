"""JAX told to refuse what it would promote: dtypes of their own accord, and arrays of fewer axes."""

from __future__ import annotations

import pytest
from every_call import NAMES, TERMS, inputs, leaves, of_function, of_term

BACKENDS = ("jax",)
NO_GRADIENT = {"entropy_from_counts", "particle_reward", "summary"}
NUMBERS_ONLY = {"entropy_from_counts", "entropy_spectrum", "entropy_spectrum_from_logits", "maximal_leakage", "summary"}


def traced(function, *args):
    """Trace the function: that is where JAX promotes, or refuses to, and nothing is compiled."""
    import jax

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return jax.eval_shape(lambda *args: jax.tree_util.tree_leaves(leaves(function(*args))), *args)


def given(backend, dtype, shape=(6, 7)):
    return {name: backend.xp.asarray(x).astype(dtype) for name, x in inputs("plain", "float32", shape).items()}


def every(name, arrays, orders):
    return (of_term if name in TERMS else of_function)(name, arrays, orders)


ALL = [*(name for name in NAMES if name != "check_probabilities"), *TERMS]


@pytest.mark.parametrize("name", ALL)
def test_values_and_derivatives(backend, name):
    calls = list(every(name, given(backend, "float32"), (2.0,)))
    calls += [(label, call) for label, call in every(name, given(backend, "float32"), (1.0,)) if "wrt" not in label]
    if name not in NUMBERS_ONLY:
        of_array = every(name, given(backend, "float64"), (backend.xp.asarray(0.5),))
        calls += [(label, call) for label, call in of_array if "wrt 1" not in label]
    assert calls
    for _, call in calls:
        traced(call)


@pytest.mark.parametrize("name", sorted(set(ALL) - NO_GRADIENT))
def test_automatic_differentiation_of_half_precision(backend, name):
    import jax

    _, call = next(iter(every(name, given(backend, "bfloat16"), (2.0,))))
    count = sum(hasattr(arg, "dtype") for arg in call.args)

    def loss(*arrays):
        parts = leaves(call.func(*arrays, *call.args[count:], **call.keywords))
        return sum(part.astype("float32").sum() for part in parts)

    traced(jax.grad(loss, tuple(range(count))), *call.args[:count])


def test_long_rows(backend):
    arrays = given(backend, "float32", (2, 2050))
    for name in ("entropy_from_logits", "divergence_from_logits"):
        for _, call in of_function(name, arrays, (1.0, 2.0)):
            traced(call)
