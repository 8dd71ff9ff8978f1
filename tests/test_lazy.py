"""No array value is read on the way: JAX traces, Dask builds a graph (its scheduler raises in these tests)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

FUNCTIONS = [
    renyi.entropy,
    renyi.entropy_from_logits,
    renyi.hill_number,
    renyi.hill_number_from_logits,
    renyi.tsallis_entropy,
    renyi.tsallis_entropy_from_logits,
]
BACKENDS = ("jax", "jax:x32", "dask")
ORDERS = (0.0, 0.5, 1.0, 1.1, 2.0, math.inf)


def static_orders(f):
    """Each is a compilation, or a graph, of its own."""
    return (0.5, 1.0, 1.1, math.inf) if f in {renyi.entropy, renyi.entropy_from_logits} else ()


def calls(f):
    """Every way to call a function of one distribution, by name."""
    ways = {
        "value": f,
        "gradient": lambda x, alpha: renyi.value_and_grad(f)(x, alpha)[1],
        "alpha": renyi.grad(f, "alpha"),
        "vjp": lambda x, alpha: renyi.grad(f)(x, alpha, cotangent=0.5),
    }
    if "logits" in f.__name__:
        ways["hvp"] = lambda x, alpha: renyi.hvp(f)(x, alpha, vector=x)
    return ways


def _only(backend, library):
    if backend.library != library:
        pytest.skip(f"a test of {library}")


@pytest.fixture
def eager():
    """The same rows in NumPy, without its adapter."""
    return np.random.default_rng(0).uniform(0.1, 2, size=(4, 6))


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_jit(backend, f, eager):
    _only(backend, "jax")
    if backend.variant == "x32" and f is not renyi.entropy_from_logits:
        pytest.skip("traced as with 64 bits")
    import jax

    dtype = backend.dtypes[-1]
    x = backend.asarray(eager, dtype)
    rtol = 2e-4 if dtype == "float32" else 1e-11
    ways = calls(f)
    traces = []

    def all_ways(x, alpha):
        # by one compilation, which finds what they have in common
        traces.append(alpha)
        return {name: call(x, alpha) for name, call in ways.items()}

    def check(got, alpha):
        for name, call in ways.items():
            want = call(eager, alpha)
            np.testing.assert_allclose(backend.numpy(got[name]), want, rtol=rtol, atol=rtol, err_msg=f"{name} {alpha}")

    for alpha in static_orders(f):
        check(jax.jit(all_ways, static_argnums=1)(x, alpha), alpha)
    # α traced, so that one compilation serves a whole schedule
    traces.clear()
    traced = jax.jit(all_ways)
    for alpha in ORDERS:
        check(traced(x, backend.asarray(alpha, dtype)), alpha)
    assert len(traces) == 1


def test_vmap(backend, eager):
    _only(backend, "jax")
    if backend.variant == "x32":
        pytest.skip("mapped as with 64 bits")
    import jax

    x = backend.asarray(eager)
    orders = backend.asarray(np.asarray([0.5, 1.0, 2.0, 3.0]))
    got = jax.vmap(renyi.entropy_from_logits)(x, orders)
    want = renyi.entropy_from_logits(x, orders)
    np.testing.assert_allclose(backend.numpy(got), backend.numpy(want), rtol=1e-5)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_dask_stays_a_graph(backend, f, eager):
    _only(backend, "dask")
    x = backend.asarray(eager)
    for name, call in calls(f).items():
        for alpha in (*static_orders(f), backend.asarray(np.asarray([0.5, 1.0, 2.0, math.inf]))):
            if name == "vjp" and not isinstance(alpha, float):
                continue
            lazy = call(x, alpha)
            assert type(lazy) is type(x)
            order = alpha if isinstance(alpha, float) else backend.numpy(alpha)
            np.testing.assert_allclose(backend.numpy(lazy), call(eager, order), rtol=1e-11, atol=1e-13, err_msg=name)


def test_unknown_lengths(backend):
    _only(backend, "dask")
    rows = np.random.default_rng(0).normal(size=(10, 5))
    x = backend.asarray(rows)
    some = x[x[:, 0] > 0]
    assert math.isnan(some.shape[0])
    got = backend.numpy(renyi.entropy_from_logits(some, 2.0))
    np.testing.assert_allclose(got, renyi.entropy_from_logits(rows[rows[:, 0] > 0], 2.0), rtol=1e-13)
