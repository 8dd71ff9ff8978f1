"""Measures of joint distributions: against their definitions in 80 digits, their laws, closed forms, derivatives."""

from __future__ import annotations

import math

import hypothesis
import numpy as np
import oracle_joint as oracle
import pytest
from hypothesis import strategies as st

import renyi_core as renyi

# jax:x32 runs the code of jax, compiled anew for minutes
BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "dask")
SIBSON = {"kind": "sibson"}
ARIMOTO = {"kind": "arimoto"}
FUNCTIONS = {
    "sibson": (renyi.mutual_information, SIBSON),
    "arimoto": (renyi.mutual_information, ARIMOTO),
    "conditional": (renyi.conditional_entropy, {}),
}
SOME_ORDERS = (0.0, 1e-17, 1 - 1e-12, 2.0, 20.0, math.inf)
FEW_ORDERS = (0.3, 1 + 1e-12, 20.0)
every = pytest.mark.parametrize("name", FUNCTIONS)


def condition(joint, alpha, name):
    """What the derivatives may carry: the rounding of exponents, and of inputs that are a power."""
    span, steep = 4 * float(np.ptp(np.log(joint[joint > 0]))), max(1.0, min(alpha, 1e4))
    if name == "conditional":
        return span * steep
    return span + steep * (1 if name == "sibson" else 16)


@every
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype, name):
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    (f, options), eps = FUNCTIONS[name], float(np.finfo(dtype).eps)
    known = oracle.joints(dtype)
    if not backend.full:
        # each half of them once or twice
        known = dict(list(known.items())[list(FUNCTIONS).index(name) % 2 :: 2])
    joint = backend.asarray(np.stack(list(known.values())), dtype)
    few = backend.compiles or dtype == "float32"
    orders = (*oracle.ORDERS, 1e3) if not backend.few else FEW_ORDERS if few else SOME_ORDERS
    failures, checked = [], 0
    if backend.library == "jax":
        orders = (0.3, 20.0) if dtype == "float64" else (20.0,)
    for alpha in orders:
        # Arimoto's inputs are a power of the marginal, which is rounded
        far = name == "arimoto" and not math.isinf(alpha)

        def everything(x, a=alpha):
            slope = renyi.grad(f, "alpha")(x, a, **options)
            return *renyi.value_and_grad(f)(x, a, **options), slope, f(x, a, **options)

        value, gradient, slope, alone = map(backend.numpy, backend.compiled(everything)(joint))
        np.testing.assert_allclose(alone, value, rtol=4 * eps, atol=eps**2)
        for k, (row, weights) in enumerate(known.items()):
            exact = oracle.exact(name, weights, alpha)
            bound = 64 + condition(weights, alpha, name)
            errors = {
                "value": (oracle.error(value[k], exact.value, eps), max(64, 4 * alpha) if far else 64),
                "gradient": (oracle.error(gradient[k].ravel(), exact.gradient, eps), bound),
                "alpha": (oracle.error(slope[k], exact.alpha_gradient, eps), bound),
            }
            if name == "arimoto" and row == "one input for most" and exact.value < 1e-20:
                # P**α is all but a point, and the docstring says so
                del errors["gradient"]
            failures += [(e, b, what, row, alpha) for what, (e, b) in errors.items() if not e <= b]
            checked += 1
    assert not failures, max(failures)
    assert checked == len(known) * len(orders)


@every
def test_orders_in_an_array(backend, name):
    f, options = FUNCTIONS[name]
    rows = ("random", "holes", "nearly independent", "empty row and column")
    joint = backend.asarray(np.stack([oracle.joints("float64")[row] for row in rows]))
    orders = SOME_ORDERS
    array = backend.asarray(np.asarray(orders)[:, None])
    eps = float(np.finfo(backend.dtypes[-1]).eps)

    def both(x, a):
        return *renyi.value_and_grad(f)(x, a, **options), renyi.grad(f, "alpha")(x, a, **options)

    got = list(map(backend.numpy, backend.compiled(both)(joint[None, ...], array)))
    eager = backend.numpy(joint)
    for k, alpha in enumerate(orders):
        want = both(eager, alpha)
        np.testing.assert_allclose(got[0][k], want[0], rtol=256 * eps, atol=eps**2)
        for part, wanted in zip(got[1:], want[1:], strict=True):
            np.testing.assert_allclose(part[k], wanted, rtol=1e4 * eps, atol=1e4 * eps * np.max(np.abs(wanted)))


def value(backend, f, joint, *args, **options):
    return float(backend.numpy(f(backend.asarray(joint), *args, **options)))


def entropy_of_inputs(backend, joint, alpha):
    return value(backend, renyi.entropy, np.asarray(joint).sum(-1), alpha)


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=12, max_size=12)


@hypothesis.given(WEIGHTS, st.floats(0.05, 5))
def test_laws(backend, weights, alpha):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    joint = np.asarray(weights).reshape(3, 4)
    eps = float(np.finfo(backend.dtypes[-1]).eps)

    def sibson(weights, order):
        return value(backend, renyi.mutual_information, weights, order)

    shannon = sibson(joint, 1)
    assert shannon == pytest.approx(sibson(joint.T, 1), rel=256 * eps, abs=eps**2)
    mine = sibson(joint, alpha)
    # between 0 and log min(X, Y), not decreasing in α
    assert 0 <= mine <= math.log(3) * (1 + 64 * eps)
    assert sibson(joint, alpha + 0.5) >= mine * (1 - 128 * eps)
    # data processing: two outputs taken together, and the inputs of two rows
    for merged in (np.add.reduceat(joint, (0, 2, 3), axis=1), np.add.reduceat(joint, (0, 2), axis=0)):
        assert sibson(merged, alpha) <= mine * (1 + 64 * eps)
    h = entropy_of_inputs(backend, joint, alpha)
    given_y = value(backend, renyi.conditional_entropy, joint, alpha)
    arimoto = value(backend, renyi.mutual_information, joint, alpha, **ARIMOTO)
    assert given_y <= h * (1 + 64 * eps)
    assert arimoto == pytest.approx(h - given_y, abs=256 * eps)
    assert arimoto <= h * (1 + 64 * eps)
    # the least divergence from a product with P_X: no other output distribution is closer
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    pair = (backend.asarray(weights.ravel()) for weights in (joint, product))
    assert mine <= float(backend.numpy(renyi.divergence(*pair, alpha))) * (1 + 64 * eps) + eps**2


def test_independent_variables(backend):
    if backend.library == "jax":
        pytest.skip("compiled anew for one order: the formulas of the grid")
    rng = np.random.default_rng(3)
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    joint = rng.uniform(0.1, 1, size=(3, 6, 1)) * rng.uniform(0.1, 1, size=(3, 1, 5))
    x = backend.asarray(joint)
    for alpha in (0.0, 0.5, 1.0, 2.0)[3 if backend.compiles else 0 :]:
        for options in (SIBSON, ARIMOTO):
            got = backend.numpy(renyi.mutual_information(x, alpha, **options))
            assert (got >= 0).all()
            assert (got <= eps).all(), alpha
        h = backend.numpy(renyi.entropy(backend.asarray(joint.sum(-1)), alpha))
        np.testing.assert_allclose(backend.numpy(renyi.conditional_entropy(x, alpha)), h, rtol=64 * eps)
    if backend.compiles:
        return
    # of products without rounding it is 0 at α = ∞ too
    exact = backend.asarray(np.asarray([[1.0], [2.0], [5.0]]) * np.asarray([[1.0, 3.0, 4.0]]))
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf):
        for options in (SIBSON, ARIMOTO):
            assert float(backend.numpy(renyi.mutual_information(exact, alpha, **options))) <= 4 * eps**2


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0, 7.0, math.inf])
def test_closed_forms(backend, alpha):
    if backend.compiles:
        pytest.skip("compiled case by case there: on the grid alone")
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    tolerance = {"rel": 64 * eps, "abs": 8 * eps}
    delta = 0.125
    symmetric = np.asarray([[1 - delta, delta], [delta, 1 - delta]]) / 2
    # equal inputs: log 2 less the entropy of the noise, for both kinds
    noise = value(backend, renyi.entropy, np.asarray([delta, 1 - delta]), alpha)
    for options in (SIBSON, ARIMOTO):
        got = value(backend, renyi.mutual_information, symmetric, alpha, **options)
        assert got == pytest.approx(math.log(2) - noise, **tolerance)
    assert value(backend, renyi.conditional_entropy, symmetric, alpha) == pytest.approx(noise, **tolerance)
    # three equal inputs, erased with chance ε: Z = Σ_y (Σ_x P W**α)**(1/α) = 3 (1/3)**(1/α) (1 − ε) + ε
    erasure = np.concatenate([np.eye(3) * (1 - delta), np.full((3, 1), delta)], axis=1) / 3
    got = value(backend, renyi.mutual_information, erasure, alpha)
    if alpha == 0:
        want = 0.0
    elif alpha == 1:
        want = (1 - delta) * math.log(3)
    elif alpha == math.inf:
        want = math.log(3 * (1 - delta) + delta)
    else:
        want = alpha / (alpha - 1) * math.log(3 ** (1 - 1 / alpha) * (1 - delta) + delta)
    assert got == pytest.approx(want, **tolerance)
    # Y = X: Sibson's is the entropy of order 1/α, Arimoto's that of order α
    p = np.asarray([0.5, 0.25, 0.125, 0.125])
    other = math.inf if alpha == 0 else 1 / alpha
    got = value(backend, renyi.mutual_information, np.diag(p), alpha)
    assert got == pytest.approx(value(backend, renyi.entropy, p, other), **tolerance)
    got = value(backend, renyi.mutual_information, np.diag(p), alpha, **ARIMOTO)
    assert got == pytest.approx(value(backend, renyi.entropy, p, alpha), **tolerance)
    assert value(backend, renyi.conditional_entropy, np.diag(p), alpha) == 0


def test_rounding_makes_nothing_negative(backend):
    """All but a part e**-18000 of P**α is on one input: the channel tells nothing, to the last digit."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    joint = np.exp(np.random.default_rng(0).normal(size=(40, 5, 3)))
    joint[:, 0] *= 6.8e7
    got = backend.numpy(renyi.mutual_information(backend.asarray(joint), 1e3, **ARIMOTO))
    assert (got >= 0).all()
    assert (got < 1e-15).all()


def test_maximal_leakage(backend):
    joint = oracle.joints("float64")["holes"]
    x = backend.asarray(joint)
    want = value(backend, renyi.mutual_information, joint, math.inf)
    got, gradient = renyi.value_and_grad(renyi.maximal_leakage)(x)
    assert float(backend.numpy(got)) == want == value(backend, renyi.maximal_leakage, joint)
    along = renyi.grad(renyi.mutual_information)(x, math.inf)
    np.testing.assert_array_equal(backend.numpy(gradient), backend.numpy(along))
    assert value(backend, renyi.maximal_leakage, joint, base=2) == pytest.approx(want / math.log(2), rel=1e-6)


@every
def test_automatic_differentiation(backend, name):
    """By torch's and JAX's own means: what the analytic derivatives say."""
    f, options = FUNCTIONS[name]
    rows = [oracle.joints("float64")[row] for row in ("random", "holes", "nearly independent", "empty row and column")]
    joint = backend.asarray(np.stack(rows))
    if backend.library == "torch":
        for alpha in (0.3, 1 - 1e-12, 1.0, 2.0, 20.0, math.inf):
            x = joint.clone().requires_grad_()
            f(x, alpha, **options).sum().backward()
            _agree(x.grad, renyi.grad(f)(joint, alpha, **options).numpy())
        # exp(u) by the derivative of expm1(u) would have no digit of its own there
        certain = backend.asarray(oracle.joints("float64")["nearly deterministic"]).requires_grad_()
        (gradient,) = backend.xp.autograd.grad(f(certain, 2.0, **options), certain)
        miss = (gradient - renyi.grad(f)(certain.detach(), 2.0, **options)).norm()
        assert miss <= 64 * 2.0**-52 * gradient.norm()
        orders = backend.asarray(np.asarray([0.3, 1.0, 2.0, 20.0])).requires_grad_()
        f(joint, orders, **options).sum().backward()
        _agree(orders.grad, renyi.grad(f, "alpha")(joint, orders.detach(), **options).numpy())
    elif backend.library == "jax":
        import jax

        got = jax.jit(jax.grad(lambda x: f(x, 2.0, **options).sum()))(joint)
        _agree(got, renyi.grad(f)(backend.numpy(joint), 2.0, **options))


def _agree(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12 * np.max(np.abs(want)))


@every
def test_shapes_bases_and_cotangents(backend, name):
    if backend.compiles:
        pytest.skip("the shapes of the other libraries, compiled one by one")
    f, options = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    joint = backend.asarray(np.exp(rng.normal(size=(2, 3, 4, 5))))
    rtol = 1e-12
    want = backend.numpy(f(joint, 1.7, **options))
    assert want.shape == (2, 3)
    bits = f(joint, 1.7, base=2, keepdims=True, **options)
    assert tuple(bits.shape) == (2, 3, 1, 1)
    np.testing.assert_allclose(backend.numpy(bits)[..., 0, 0] * math.log(2), want, rtol=rtol)
    each = backend.numpy(renyi.grad(f)(joint, 1.7, **options))
    assert each.shape == (2, 3, 4, 5)
    weights = rng.normal(size=(2, 3))
    cotangent = backend.asarray(weights)
    _, product = renyi.value_and_grad(f)(joint, 1.7, cotangent=cotangent, base=2, **options)
    wanted = each * weights[..., None, None] / math.log(2)
    np.testing.assert_allclose(backend.numpy(product), wanted, rtol=rtol, atol=rtol)
    slope = backend.numpy(renyi.grad(f, "alpha")(joint, 1.7, **options))
    total = backend.numpy(renyi.grad(f, "alpha")(joint, 1.7, cotangent=cotangent, **options))
    np.testing.assert_allclose(total, np.sum(slope * weights), rtol=rtol, atol=rtol)


@every
def test_joints_that_are_none_are_nan_alone(backend, name):
    f, options = FUNCTIONS[name]
    joint = np.full((7, 3, 2), 0.25)
    joint[1, 2, 0], joint[2], joint[3, 0, 1], joint[5, 1, 1] = -0.25, 0, np.nan, np.inf
    bad = [False, True, True, True, False, True, False]
    for alpha in (0.0, 0.5, 1.0, 2.0, math.inf)[3 if backend.compiles else 0 :]:
        call = backend.compiled(lambda x, a=alpha: renyi.value_and_grad(f)(x, a, **options))
        got, gradient = call(backend.asarray(joint))
        np.testing.assert_array_equal(np.isnan(backend.numpy(got)), bad)
        np.testing.assert_array_equal(np.isnan(backend.numpy(gradient)).all((1, 2)), bad)
        assert np.isfinite(backend.numpy(gradient)[~np.asarray(bad)]).all()
    orders = backend.asarray(np.asarray([-1.0, 0.0, math.nan, math.inf]))
    if backend.library == "jax":
        return
    got = backend.numpy(f(backend.asarray(np.full((4, 3, 2), 0.25)), orders, **options))
    np.testing.assert_array_equal(np.isnan(got), [True, False, True, False])


@every
def test_half_precision_is_summed_in_float32(backend, name):
    if backend.library == "strict":
        pytest.skip("no float16 here")
    if backend.library == "jax" and name != "conditional":
        pytest.skip("the same casts as for the conditional entropy")
    f, options = FUNCTIONS[name]
    joint = backend.asarray(np.random.default_rng(2).uniform(size=(3, 4, 5)), "float16")
    got, gradient = renyi.value_and_grad(f)(joint, 1.7, **options)
    want = f(backend.xp.astype(joint, backend.xp.float32), 1.7, **options)
    assert got.dtype == gradient.dtype == joint.dtype
    np.testing.assert_allclose(backend.numpy(got), backend.numpy(want).astype(np.float16), rtol=1e-3)


def test_bad_input(backend):
    x = backend.asarray(np.full((2, 3), 1 / 6))
    integers = backend.asarray(np.ones((2, 3), dtype=np.int64))
    for f in (renyi.mutual_information, renyi.conditional_entropy):
        for call in (f, renyi.value_and_grad(f), renyi.value_and_grad(f, "alpha")):
            for joint in (integers, [[0.5, 0.5]], 0.5, None):
                with pytest.raises(TypeError, match="`joint`"):
                    call(joint, 2.0)
            for shape in ((3,), (), (0, 3), (3, 0)):
                with pytest.raises(ValueError, match="`joint`"):
                    call(backend.asarray(np.ones(shape)), 2.0)
            for alpha in (-1.0, math.nan, backend.asarray(np.ones(4))):
                with pytest.raises(ValueError, match="`alpha`"):
                    call(backend.asarray(np.ones((3, 2, 2))), alpha)
            for alpha in (2j, True, "2", None):
                with pytest.raises(TypeError, match="`alpha`"):
                    call(x, alpha)
            with pytest.raises(ValueError, match="`base`"):
                call(x, 2.0, base=1)
        with pytest.raises(ValueError, match="`cotangent`"):
            renyi.grad(f)(x, 2.0, cotangent=backend.asarray(np.ones(3)))
        with pytest.raises(ValueError, match="`wrt`"):
            renyi.grad(f, 1)
    for kind in ("csiszár", "Sibson", None, 1):
        for call in (renyi.mutual_information, renyi.grad(renyi.mutual_information)):
            with pytest.raises(ValueError, match="`kind` must be one of 'sibson', 'arimoto', 'csiszar'"):
                call(x, 2.0, kind=kind)
    with pytest.raises(TypeError, match="`joint`"):
        renyi.maximal_leakage(integers)


@pytest.mark.parametrize("alpha", [1e-3, 0.3, 5.0])
def test_derivative_along_a_channel_without_noise(backend, alpha):
    """Sibson's is the entropy of order 1/α there: both kinds of term of the derivative count."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    p = np.asarray([0.5, 0.3, 0.125, 0.075])
    gradient = backend.numpy(renyi.grad(renyi.mutual_information)(backend.asarray(np.diag(p)), alpha))
    want = backend.numpy(renyi.grad(renyi.entropy)(backend.asarray(p), 1 / alpha))
    eps = float(np.finfo(backend.dtypes[-1]).eps)
    error = np.linalg.norm(np.diag(gradient) - want) / np.linalg.norm(want)
    assert error < 64 * eps


def slope_error(backend, f, joint, alpha, name, options):
    slope = backend.numpy(renyi.grad(f, "alpha")(backend.asarray(joint, str(joint.dtype)), alpha, **options))
    exact = oracle.exact(name, joint, alpha)
    return oracle.error(slope, exact.alpha_gradient, float(np.finfo(joint.dtype).eps))


@pytest.mark.parametrize("name", ["sibson", "arimoto"])
def test_outputs_of_the_same_inputs_share_the_least_order(backend, name):
    """At α = 0 those that most inputs reach tie, to the last digit, also one that has next to no weight."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    f, options = FUNCTIONS[name]
    faint = np.asarray(
        [[0.1, 2.0, 0.0, 3e-34, 1e-3], [0.3, 1.5, 2e-9, 2e-34, 0.0], [0.2, 1e-20, 3.0, 3e-35, 0.3]], dtype="float32"
    )
    if "float32" in backend.dtypes:
        assert slope_error(backend, f, faint, 0.0, name, options) < 64
        moved = slope_error(backend, f, faint[[1, 2, 0]][:, [3, 0, 4, 1, 2]], 0.0, name, options)
        assert moved < 64
    # none is reached by all three
    parted = np.asarray([[0, 0, 0, 4.0, 0], [4, 4, 4, 4, 4], [1.448, 0, 0, 0, 4]])
    assert slope_error(backend, f, parted if name == "arimoto" else parted[:, 1:], 0.0, name, options) < 64


def test_columns_that_are_nearly_uniform(backend):
    """What they lack of log n differs by the square of how far they are from uniform: by less than a rounding."""
    if backend.compiles:
        pytest.skip("the formulas of the grid")
    f = renyi.conditional_entropy
    for dtype, gap in (("float64", 1e-9), ("float64", 1e-3), ("float32", 1e-5)):
        if dtype not in backend.dtypes:
            continue
        rng = np.random.default_rng(4)
        nearly = (1 + gap * rng.normal(size=(4, 5))) * rng.uniform(0.1, 1, size=5)
        # an impossible outcome and a column of nothing; then three columns of an outcome less
        nearly[1], nearly[:, 3] = 0, 0
        fewer = nearly.copy()
        fewer[2, 1:4] = 0
        for joint in (nearly.astype(dtype), fewer.astype(dtype)):
            x, eps = backend.asarray(joint, dtype), float(np.finfo(dtype).eps)
            for alpha in (0.0, 0.5, 1 - 1e-12, 1.0, 3.0, math.inf):
                exact = oracle.exact("conditional", joint, alpha)
                value, gradient = map(backend.numpy, renyi.value_and_grad(f)(x, alpha))
                slope = backend.numpy(renyi.grad(f, "alpha")(x, alpha))
                assert oracle.error(value, exact.value, eps) < 8
                assert oracle.error(gradient.ravel(), exact.gradient, eps) < 64
                assert oracle.error(slope, exact.alpha_gradient, eps) < 64
                if backend.library == "torch" and alpha > 0:
                    along = x.clone().requires_grad_()
                    f(along, alpha).backward()
                    assert oracle.error(along.grad.numpy().ravel(), exact.gradient, eps) < 64
