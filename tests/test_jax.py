"""The JAX adapter: derivatives of any order, what is kept for them, and arrays sharded over devices."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import DivergenceTerm, EntropyBonus

jax = pytest.importorskip("jax")
check_grads = pytest.importorskip("jax.test_util").check_grads

BACKENDS = ("jax", "jax:x32")
FUNCTIONS = [renyi.entropy, renyi.entropy_from_logits, renyi.hill_number_from_logits, renyi.tsallis_entropy]


def make(backend, f, shape=(3, 5)):
    x = np.random.default_rng(0).normal(size=shape)
    return backend.asarray(x if "logits" in f.__name__ else np.exp(x))


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_check_grads(backend, f):
    """Forward and reverse mode, against finite differences; to the second order through the logits."""
    if backend.variant == "x32":
        pytest.skip("finite differences need float64")
    x = make(backend, f)

    def call(x, alpha):
        # check_grads calls with arrays of NumPy as well
        return f(*map(jax.numpy.asarray, (x, alpha)))

    check_grads(jax.jit(lambda x: call(x, math.inf)), (x,), order=1)
    check_grads(jax.jit(call), (x, backend.asarray(np.asarray([0.5, 1.0, 2.0]))), order=1)
    # the higher ones are derivatives of one rule, whose measures differ to the first order
    if f is renyi.entropy_from_logits:
        check_grads(jax.jit(lambda x: f(jax.numpy.asarray(x), 1.3)), (x,), order=2)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives_agree_with_the_analytic_ones(backend, f):
    if backend.variant == "x32" and f is not renyi.entropy_from_logits:
        pytest.skip("the same rule as with 64 bits")
    x = make(backend, f)
    orders = backend.asarray(np.asarray([0.5, 1.0, math.inf]))
    got = jax.jit(jax.grad(lambda x, a: f(x, a).sum(), argnums=(0, 1)))(x, orders)
    eps = float(jax.numpy.finfo(x.dtype).eps)
    for part, wrt in zip(got, (0, "alpha"), strict=True):
        want = renyi.grad(f, wrt)(np.asarray(x), np.asarray(orders))
        np.testing.assert_allclose(part, want, rtol=64 * eps, atol=64 * eps)
    each = jax.jit(jax.vmap(jax.grad(f, argnums=(0, 1))))(x, orders)
    np.testing.assert_allclose(each[0], got[0], rtol=64 * eps, atol=64 * eps)
    np.testing.assert_allclose(each[1], got[1], rtol=64 * eps, atol=64 * eps)
    if "logits" in f.__name__ and backend.variant != "x32":
        hessian = jax.jit(jax.jacfwd(jax.jacrev(lambda row: f(row, 1.3))))(x[0])
        product = renyi.hvp(f)(*np.asarray(x[:1]), 1.3, vector=np.asarray(x[1]))
        np.testing.assert_allclose(hessian @ x[1], product, rtol=1e4 * eps, atol=1e4 * eps)


def test_second_derivatives_of_a_choice(backend):
    """JAX's own, through its rule, are those of the analytic product differentiated once; an invalid row has none."""
    x = make(backend, renyi.entropy_from_logits)
    x, weights, along = x.at[1, 2].set(math.nan), x[::-1], 1 + x[::-1] ** 2

    def loss(x, temperature):
        return (weights * renyi.regularized_argmax(x, 1.5, temperature))[::2].sum()

    def product(x, temperature):
        return renyi.grad(renyi.regularized_argmax)(x, 1.5, temperature, cotangent=weights)

    temperature = jax.numpy.asarray(0.7, x.dtype)
    got, got_along = jax.jit(lambda x: jax.jvp(jax.grad(loss), (x, temperature), (along, temperature)))(x)
    want, want_along = jax.jit(lambda x: jax.jvp(product, (x, temperature), (along, temperature)))(x)
    eps = float(jax.numpy.finfo(x.dtype).eps)
    assert (got[1] == 0).all()
    np.testing.assert_allclose(got[::2], want[::2], rtol=64 * eps, atol=64 * eps)
    np.testing.assert_allclose(got_along[::2], want_along[::2], rtol=1e3 * eps, atol=1e3 * eps)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 20.0])
def test_reverse_mode_on_nearly_uniform_rows(backend, alpha):
    """Where p − q cancels: JAX's own derivative of the sums would be lost in the rounding of p."""
    dtype = "float32" if backend.variant == "x32" else "float64"
    x = backend.asarray(1e-3 * np.random.default_rng(0).normal(size=(3, 50)), dtype)
    got = np.asarray(jax.grad(lambda x: renyi.entropy_from_logits(x, alpha).sum())(x))
    want = renyi.grad(renyi.entropy_from_logits)(np.asarray(x, np.float64), alpha)
    error = np.linalg.norm(got - want, axis=-1) / np.linalg.norm(want, axis=-1)
    assert (error <= 64 * np.finfo(dtype).eps).all()


COMPILED = []
"""A number for each compilation in this process."""
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(seconds) if event.endswith("backend_compile_duration") else None
)
EAGER = {
    "value": lambda x: renyi.entropy_from_logits(x, 1.1),
    "gradient": lambda x: renyi.value_and_grad(renyi.entropy_from_logits)(x, 0.3),
    "reverse mode": jax.grad(lambda x: renyi.entropy_from_logits(x, 0.3).sum()),
    "long rows": lambda x: renyi.entropy_from_logits(jax.numpy.tile(x, 500), 1.1),
    "argmax": lambda x: renyi.regularized_argmax(x, 1.7),
    "argmax of orders": lambda x: renyi.regularized_argmax(x, 1.7 + 0 * x[:, 0]),
    "csiszar": lambda x: renyi.mutual_information(jax.numpy.exp(x), 1.3, kind="csiszar"),
    "particles": lambda x: renyi.particle_entropy(x.T, 0.5),
}


@pytest.mark.parametrize("name", EAGER)
def test_a_call_outside_of_jit_compiles_nothing_the_second_time(backend, name):
    """Branches and loops whose functions are made anew at each call would be: a hundred times as long."""
    if backend.variant == "x32":
        pytest.skip("the same with 64 bits")
    before = len(COMPILED)
    jax.jit(lambda x: x + 1)(1)
    assert len(COMPILED) > before
    call, x = EAGER[name], make(backend, renyi.entropy_from_logits)
    call(x)
    before = len(COMPILED)
    call(x)
    assert len(COMPILED) == before


def residuals(f, *args):
    """What reverse mode keeps between its two passes: the leaves of the function that it returns."""
    _, pull = jax.vjp(f, *args)
    return jax.tree_util.tree_leaves(pull)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.1, 2.0, math.inf, "array"])
def test_kept_for_reverse_mode(backend, alpha):
    """The logits themselves, and numbers of rows."""
    x = make(backend, renyi.entropy_from_logits, (8, 4000))
    order = backend.asarray(np.full(8, 1.3)) if alpha == "array" else alpha
    kept = residuals(lambda x: renyi.entropy_from_logits(x, order), x)
    large = [part for part in kept if part.size >= x.size]
    assert all(np.array_equal(part, x) for part in large)
    assert len(large) <= 1
    assert sum(part.size for part in kept if part.size < x.size) <= 0.01 * x.size
    # and the library's own code, differentiated by JAX, keeps several times as much
    with renyi.agnostic_only():
        assert sum(part.size for part in residuals(lambda x: renyi.entropy_from_logits(x, order), x)) > 1.5 * x.size


def test_sharded_over_devices():
    """Eight devices, over the batch and over the categories: the same numbers, and the logits stay where they are."""
    code = """
        import re
        import jax, jax.numpy as jnp, numpy as np
        import renyi_core as renyi
        from jax.sharding import NamedSharding, PartitionSpec as P

        assert len(jax.devices()) == 8
        x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(16, 4096)), jax.numpy.float32)
        # the sharding is part of the type, or the compiler's own affair
        kinds = getattr(jax.sharding, "AxisType", None)
        types = [{"axis_types": (kind, kind)} for kind in (kinds.Explicit, kinds.Auto)] if kinds else [{}]
        meshes = [jax.make_mesh((2, 4), ("batch", "categories"), **kind) for kind in types]
        specs = (P("batch", None), P(None, "categories"), P("batch", "categories"))
        for mesh, spec in [(mesh, spec) for mesh in meshes for spec in specs]:
            z = jax.device_put(x, NamedSharding(mesh, spec))
            for alpha in (0.5, 1.0, 1.1, 2.0) if mesh is meshes[0] else (1.1,):
                f = jax.jit(jax.value_and_grad(lambda z, a=alpha: renyi.entropy_from_logits(z, a).sum()))
                compiled = f.lower(z).compile().as_text()
                for line in compiled.splitlines():
                    if "all-gather" in line or "all-to-all" in line:
                        sizes = [int(np.prod([int(n) for n in shape.split(",") if n] or [1]))
                                 for shape in re.findall(r"[a-z]\\d+\\[([\\d,]*)\\]", line.split("metadata")[0])]
                        assert max(sizes, default=0) <= 256, line
                (value, gradient), (want, want_gradient) = f(z), f(x)
                np.testing.assert_allclose(value, want, rtol=1e-5)
                np.testing.assert_allclose(gradient, want_gradient, rtol=1e-3, atol=1e-7)
                assert gradient.sharding.is_equivalent_to(z.sharding, 2)
        print("done")
    """
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    import os

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def long_rows(n, dtype):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(11, n)) * 3
    x[1, -1] = 30  # the largest is the last, in what is left of the blocks where they do not divide the row
    x[2, [0, n // 2, n - 1]] = 20  # ties, far apart
    x[3, [5, 6]] = 20  # and near
    x[4, : n // 2] = -np.inf  # whole blocks without any weight
    x[5] = 1.0
    x[6] = -1e3 + 1e-3 * x[6]
    x[7, 1:] -= 60  # nearly certain
    x[8] = -np.inf
    x[9, 3] = np.nan
    x[10, 3] = np.inf
    return x.astype(dtype)


@pytest.mark.parametrize(
    ("n", "alphas"), [(2048, (1.7,)), (5001, (0.5, 1.0, 1 + 1e-12, 1.1, 2.0, math.inf))], ids=["2048", "5001"]
)
def test_long_rows(backend, n, alphas):
    """In blocks: wherever the largest entry lies, with ties, whole blocks of no weight, and what is no distribution."""
    dtype = backend.dtypes[-1]
    x = long_rows(n, dtype)
    both = jax.jit(renyi.value_and_grad(renyi.entropy_from_logits), static_argnums=1)
    reverse = jax.jit(jax.grad(lambda x, alpha: renyi.entropy_from_logits(x, alpha).sum()), static_argnums=1)
    eps = np.finfo(dtype).eps
    for alpha in alphas:
        value, gradient = both(jax.numpy.asarray(x), alpha)
        want, want_gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x.astype(np.float64), alpha)
        np.testing.assert_allclose(renyi.entropy_from_logits(jax.numpy.asarray(x), alpha), want, rtol=64 * eps)
        np.testing.assert_allclose(value, want, rtol=64 * eps)
        # JAX's own rule is linear in the tangents, and 0 in what is no distribution
        for got, rest in ((gradient, np.nan), (reverse(jax.numpy.asarray(x), alpha), 0.0)):
            np.testing.assert_array_equal(got[8:], np.full_like(got[8:], rest))
            assert (np.asarray(got[:8])[np.isinf(x[:8])] == 0).all()
            error = np.linalg.norm(got[:8] - want_gradient[:8], axis=-1)
            assert (error <= 64 * eps * np.linalg.norm(want_gradient[:8], axis=-1)).all(), alpha


def test_the_largest_term_as_llvm_optimizes_it(backend):
    """It is found where the product in it is rounded in one loop, and not in another."""
    if backend.variant == "x32":
        pytest.skip("the same with 64 bits")
    from renyi_core._kernels import divergence, pairs
    from renyi_core._kernels.state import Order

    def log_ratio(x, y, alpha, xp=jax.numpy):
        pair = pairs.compare(x, y, source="logits", where=None, axis=-1, xp=xp)
        order = Order(alpha, alpha - 1, alpha == math.inf)
        return divergence._weights(pair, order, -1, xp).log_ratio

    rng = np.random.default_rng(0)
    x, y = (backend.asarray(np.log(rng.dirichlet(np.ones(20), size=200))) for _ in range(2))
    alpha = backend.asarray(np.asarray([0.3, 1.7, 7.1])[:, None, None])
    optimized = jax.jit(log_ratio).lower(x, y, alpha).compile({"xla_backend_optimization_level": 3})
    want = log_ratio(*map(backend.numpy, (x, y, alpha)), np)
    np.testing.assert_allclose(optimized(x, y, alpha), want, rtol=1e-4, atol=1e-4)


def test_terms_are_pytrees(backend):
    """Options that are arrays are leaves: one compilation for all weights, and derivatives with respect to them."""
    if backend.variant == "x32":
        pytest.skip("the same with 64 bits")
    x, traced = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 5))), []
    reference = jax.numpy.zeros((4, 5))

    @jax.jit
    def loss(term, x):
        traced.append(None)
        return term(x, reference)

    def terms(weight, alpha):
        return EntropyBonus(alpha, jax.numpy.asarray(weight)) + DivergenceTerm(2.0, jax.numpy.asarray(2 * weight))

    for weight in (0.1, 0.2):
        term = terms(weight, jax.numpy.asarray(0.5 + weight))
        np.testing.assert_allclose(loss(term, x), term(x, reference), rtol=1e-5)
    assert len(traced) == 1
    loss(terms(0.1, 0.5), x)
    assert len(traced) == 2
    gradient = jax.grad(lambda term: term(x, reference))(term)
    along = renyi.grad(EntropyBonus(0.7, 0.2), "alpha")(x)
    np.testing.assert_allclose(gradient.terms[0].alpha, along, rtol=1e-5)
    np.testing.assert_allclose(gradient.terms[1].weight, DivergenceTerm(2.0)(x, reference), rtol=1e-5)
    doubled = jax.tree_util.tree_map(lambda leaf: 2 * leaf, term)
    assert float(doubled.terms[0].weight) == pytest.approx(0.4)
    assert not jax.tree_util.tree_leaves(EntropyBonus(2.0, 0.1) + DivergenceTerm())
    # a tree of flags, or of None, has the structure of the term, as filters of Equinox ask of it
    flags = jax.tree_util.tree_map(lambda leaf: False, term)
    assert jax.tree_util.tree_structure(flags) == jax.tree_util.tree_structure(term)
    same = jax.tree_util.tree_map(lambda flag, leaf: leaf, flags, term)
    np.testing.assert_allclose(same(x, reference), term(x, reference))
