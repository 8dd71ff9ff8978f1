"""JAX told to refuse what it would promote: dtypes of their own accord, and arrays of fewer axes."""

from __future__ import annotations

import pytest
from every_call import NAMES, TERMS, inputs, leaves, of_function, of_term

import renyi_core as renyi
from renyi_core import regularizers

BACKENDS = ("jax",)
NO_GRADIENT = {"entropy_from_counts", "particle_mutual_information", "particle_reward", "summary"}
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


@pytest.mark.parametrize(
    "call",
    [
        # of a temperature, or of what else is a number
        lambda z, c: renyi.regularized_argmax(z, 0.5, c),
        lambda z, c: renyi.regularized_max(z, c, c, axis=(0, 2)),
        lambda z, c: renyi.grad(renyi.regularized_max, "temperature")(z, 2.0, c, cotangent=c),
        lambda z, c: renyi.grad(renyi.regularized_argmax)(z, 2.0, c, cotangent=c),
        lambda z, c: renyi.grad(renyi.entropy_from_logits)(z, 2.0, cotangent=c),
        lambda z, c: renyi.grad(renyi.entropy_from_logits, "alpha")(z, c, cotangent=c, base=2),
        lambda z, c: renyi.hvp(renyi.entropy_from_logits)(z, 2.0, vector=c + z[0, 0]),
        lambda z, c: renyi.grad(regularizers.EntropyBonus(reduction="none"))(z, cotangent=c),
        lambda z, c: renyi.grad(renyi.jensen_divergence, "weights")(z, 2.0, weights=c + z[0, :, 0], cotangent=c),
        lambda z, c: renyi.grad(renyi.kernel_entropy, "bandwidth")(z, 2.0, bandwidth=c, cotangent=c),
    ],
)
def test_numbers_and_lower_ranks_as_arrays(backend, call):
    import jax

    z, half = backend.xp.ones((2, 3, 4)), backend.xp.asarray(0.5)
    result = traced(call, z, half)
    assert [x.shape for x in result] == [x.shape for x in jax.eval_shape(lambda *args: [call(*args)], z, half)]
    traced(jax.grad(lambda c: call(z, c).sum()), half)
