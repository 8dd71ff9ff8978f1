"""Csiszár's mutual information: against a minimum found in 80 digits, its laws and closed forms, its derivatives."""

from __future__ import annotations

import functools
import math

import hypothesis
import mpmath
import numpy as np
import oracle_joint
import pytest
from hypothesis import strategies as st
from oracle_pairs import error

import renyi_core as renyi

# numpy:agnostic is numpy's code, jax:x32 that of jax, compiled anew
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
CSISZAR = {"kind": "csiszar"}
information = renyi.mutual_information
ORDERS = (0.25, 1 - 1e-12, 1.0, 2.0, 16.0)
NAMES = ("random", "wide", "nearly independent", "nearer independent", "holes", "empty row and column", "peaked")
STEP = mpmath.mpf(10) ** -20


def mean_divergence(joint, q, alpha):
    """Return Σ_x P(x) D_α(W_x ‖ Q), by its definition."""
    size = mpmath.fsum(w for line in joint for w in line)
    mean = mpmath.mpf(0)
    for line in joint:
        row = mpmath.fsum(line)
        if row == 0:
            continue
        pairs = [(w / row, q[y]) for y, w in enumerate(line) if w > 0]
        if alpha == 1:
            divergence = mpmath.fsum(w * mpmath.log(w / v) for w, v in pairs)
        else:
            divergence = mpmath.log(mpmath.fsum(w**alpha * v ** (1 - alpha) for w, v in pairs)) / (alpha - 1)
        mean += row / size * divergence
    return mean


def tilted_ratios(conditional, inputs, q, alpha):
    """Return T(Q)/Q, T the mean of the tilted outputs W^α Q^(1−α)."""
    powers = conditional**alpha * q ** (1 - alpha)
    return inputs @ (powers / powers.sum(-1, keepdims=True)) / q


def nearest(joint, alpha):
    """Return the Q of least mean divergence, the fixed point of Q ∝ Q (T(Q)/Q)^ω: in floats, then in all digits."""
    joint = np.asarray(joint)
    columns = np.asarray([any(column) for column in joint.T])
    joint = joint[[any(line) for line in joint]][:, columns]
    inputs, conditional = joint.sum(-1) / joint.sum(), joint / joint.sum(-1, keepdims=True)
    omega = 2 / (1 + alpha)
    q = inputs @ conditional
    if alpha != 1:
        floats = [np.asarray(part, dtype=float) for part in (conditional, inputs, q)]
        for k in range(3000):
            change = tilted_ratios(*floats, float(alpha)) ** (float(omega) if k > 50 else min(1, 1 / float(alpha)))
            floats[2] = floats[2] * change / np.sum(floats[2] * change)
        q = floats[2] * (q / q)
        q = q / q.sum()
        # the square root of the value is what the gradient is as large as
        small = mean_divergence(joint, q, alpha) ** 0.5 * mpmath.mpf(10) ** -19
        for _ in range(500):
            ratios = tilted_ratios(conditional, inputs, q, alpha)
            q = q * ratios**omega
            q = q / q.sum()
            if max(abs(ratio - 1) for ratio in ratios) < small:
                break
        else:
            raise AssertionError
    rest = iter(q)
    return [next(rest) if there else mpmath.mpf(0) for there in columns]


@functools.cache
def exact(name, dtype, alpha):
    """Return the value, its gradient (None where p = 0 and α < 2) and its derivative by α, at fixed Q."""
    joint = oracle_joint.joints(dtype)[name]
    with mpmath.workdps(80):
        weights = [[mpmath.mpf(float(w)) for w in line] for line in joint]
        a = mpmath.mpf(alpha)
        q = nearest(weights, a)
        value = mean_divergence(weights, q, a)
        gradient = []
        for x, line in enumerate(weights):
            for y, w in enumerate(line):

                def moved(step, x=x, y=y):
                    there = [list(one) for one in weights]
                    there[x][y] += step
                    return mean_divergence(there, q, a)

                if w > 0:
                    gradient.append((moved(STEP * w) - moved(-STEP * w)) / (2 * STEP * w))
                else:
                    smooth = alpha >= 2 and any(line) and any(one[y] for one in weights)
                    gradient.append(
                        (moved(STEP**2) - value) / STEP**2 if smooth else None if alpha > 1 else mpmath.mpf(0)
                    )
        slope = (mean_divergence(weights, q, a + STEP) - mean_divergence(weights, q, a - STEP)) / (2 * STEP)
        return value, gradient, slope


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_grid(backend, dtype):
    if backend.slow and dtype == "float32":
        pytest.skip("the formulas of the grid, which run there")
    eps = float(np.finfo(dtype).eps)
    known = {name: oracle_joint.joints(dtype)[name] for name in NAMES}
    joint = backend.asarray(np.stack(list(known.values())), dtype)
    several = ORDERS[:: 3 if backend.few else 1]
    orders = (0.25,) if backend.slow else several if dtype == "float64" else (2.0,)
    failures = []
    for alpha in orders:

        def everything(x, a=alpha):
            slope = renyi.grad(information, "alpha")(x, a, **CSISZAR)
            return *renyi.value_and_grad(information)(x, a, **CSISZAR), slope, information(x, a, **CSISZAR)

        value, gradient, slope, alone = map(backend.numpy, backend.compiled(everything)(joint))
        np.testing.assert_allclose(alone, value, rtol=4 * eps, atol=eps**2)
        for k, name in enumerate(known):
            logs = np.log(known[name][known[name] > 0])
            bound = 64 + 4 * max(1, alpha) * float(np.ptp(logs))
            want, along, along_alpha = exact(name, dtype, alpha)
            found = {
                "value": (error(value[k], want, eps), 64),
                "gradient": (error(gradient[k].ravel(), along, eps), bound),
                "alpha": (error(slope[k], along_alpha, eps), bound),
            }
            failures += [(e, b, what, name, alpha) for what, (e, b) in found.items() if not e <= b]
    assert not failures, max(failures)


def test_orders_in_an_array(backend):
    if backend.compiles:
        pytest.skip("thousands of operations to compile")
    names = ("random", "holes", "nearly independent")
    joint = np.stack([oracle_joint.joints("float64")[name] for name in names])
    orders = np.asarray([0.25, 1.0, 5.0, 16.0, 0.2, 17.0, math.inf, 0.0, math.nan])
    x, alpha = backend.asarray(joint), backend.asarray(orders[:, None])
    value, gradient = map(backend.numpy, renyi.value_and_grad(information)(x[None, ...], alpha, **CSISZAR))
    slope = backend.numpy(renyi.grad(information, "alpha")(x[None, ...], alpha, **CSISZAR))
    for k, order in enumerate(orders):
        for part in (value[k], gradient[k], slope[k]):
            assert np.isnan(part).all() == (k >= 4)
            assert np.isfinite(part).all() == (k < 4)
        if k < 4:
            want = [float(exact(name, "float64", float(order))[0]) for name in names]
            np.testing.assert_allclose(value[k], want, rtol=1e-13)
            np.testing.assert_allclose(gradient[k], renyi.grad(information)(joint, order, **CSISZAR), atol=1e-12)


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=12, max_size=12)


@hypothesis.settings(max_examples=10)
@hypothesis.given(WEIGHTS, WEIGHTS, st.floats(0.25, 16))
def test_laws(backend, weights, others, alpha):
    if backend.library != "numpy":
        pytest.skip("the same iterations: on the grid alone")
    joint = np.asarray(weights).reshape(3, 4)
    x = backend.asarray(joint)

    def of(weights, order=alpha, **options):
        return float(backend.numpy(information(backend.asarray(weights), order, **(options or CSISZAR))))

    mine, sibson = of(joint), of(joint, kind="sibson")
    slack = 1e-14
    assert 0 <= mine <= math.log(3) + slack
    # by Jensen's inequality, over the inputs
    assert (mine - sibson) * (alpha - 1) <= slack
    assert of(joint, 1.0) == pytest.approx(of(joint, 1.0, kind="sibson"), rel=1e-12, abs=1e-15)
    assert of(joint, min(alpha + 0.5, 16)) >= mine - slack
    # no other output distribution is nearer, and outputs taken together tell less
    q = backend.asarray(np.asarray(others[:4])[None])
    rows = backend.numpy(renyi.divergence(x, q, alpha))
    assert mine <= rows @ joint.sum(-1) / joint.sum() + slack
    assert of(np.add.reduceat(joint, (0, 2, 3), axis=1)) <= mine + slack
    # the scale of the weights is of no matter: the gradient is orthogonal to them
    gradient = backend.numpy(renyi.grad(information)(x, alpha, **CSISZAR))
    assert np.sum(gradient * joint) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.25, 1.0, 3.0, 16.0])
def test_closed_forms(backend, alpha):
    if backend.slow:
        pytest.skip("slow there: on the grid alone")

    def of(weights, **options):
        return float(backend.numpy(information(backend.asarray(np.asarray(weights)), alpha, **(options or CSISZAR))))

    # a symmetric channel with equal inputs: all kinds are one
    symmetric = [[0.4375, 0.0625], [0.0625, 0.4375]]
    for kind in ("sibson", "arimoto"):
        assert of(symmetric) == pytest.approx(of(symmetric, kind=kind), rel=1e-14)
    # Y = X: Q = P, for every order
    p = np.asarray([0.5, 0.25, 0.125, 0.125])
    assert of(np.diag(p)) == pytest.approx(-np.sum(p * np.log(p)), rel=1e-14)
    # independent variables
    independent = np.random.default_rng(3).uniform(0.1, 1, size=(4, 1)) * np.asarray([0.1, 0.3, 0.7])
    assert 0 <= of(independent) <= 1e-16


def test_automatic_differentiation(backend):
    """By torch's and JAX's own means, past the search: what the analytic derivatives say."""
    joint = np.stack([oracle_joint.joints("float64")[name] for name in ("random", "holes", "nearly independent")])
    orders = np.asarray([0.3, 2.0, 1.0])
    along = renyi.grad(information)(joint, orders, **CSISZAR)
    slope = renyi.grad(information, "alpha")(joint, orders, **CSISZAR)
    if backend.library == "torch":
        args = [backend.asarray(x).requires_grad_() for x in (joint, orders)]
        information(*args, **CSISZAR).sum().backward()
        found = [x.grad.numpy() for x in args]
    elif backend.library == "jax":
        import jax

        along = renyi.grad(information)(joint, 2.0, **CSISZAR)
        found = [jax.jit(jax.grad(lambda x: information(x, 2.0, **CSISZAR).sum()))(backend.asarray(joint))]
    else:
        pytest.skip("a library without automatic differentiation")
    for got, want in zip(found, (along, slope), strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_joints_that_are_none_are_nan_alone(backend):
    if backend.compiles:
        pytest.skip("the formulas of the grid, which run there")
    joint = np.full((5, 3, 2), 0.25)
    joint[1, 2, 0], joint[2], joint[3, 0, 1] = -0.25, 0, np.nan
    got, gradient = renyi.value_and_grad(information)(backend.asarray(joint), 2.0, **CSISZAR)
    bad = [False, True, True, True, False]
    np.testing.assert_array_equal(np.isnan(backend.numpy(got)), bad)
    np.testing.assert_array_equal(np.isnan(backend.numpy(gradient)).all((1, 2)), bad)


def test_wide_joints(backend):
    """No overflow, no warning, and nearer than the mean outputs, however unlike the rows are."""
    if backend.library != "numpy":
        pytest.skip("the formulas of the grid, which run there")
    rng = np.random.default_rng(12)
    for k in range(9):
        joint = np.exp(rng.normal(size=(4, 5)) * (5, 20, 60)[k % 3]) * (rng.random((4, 5)) > 0.2)
        joint = joint / joint.max()
        product = joint.sum(0)[None]
        for alpha in (0.25, 16.0):
            got, gradient = renyi.value_and_grad(information)(joint, alpha, **CSISZAR)
            live = joint.sum(-1) > 0
            rows = renyi.divergence(joint[live], product, alpha)
            most = rows @ joint[live].sum(-1) / joint.sum()
            assert -1e-15 <= got <= most * (1 + 1e-12) + 1e-15
            assert np.isfinite(gradient[joint > 0]).all()
            assert np.isfinite(renyi.grad(information, "alpha")(joint, alpha, **CSISZAR))


@pytest.mark.parametrize(("seed", "width"), [(454, 80), (463, 150), (466, 80)])
def test_steps_that_lead_out_of_range(backend, seed, width):
    """Weights over a hundred orders of magnitude, some of them 0, for which steps of Newton's method overflow."""
    if backend.library != "numpy":
        pytest.skip("the formulas of the grid, which run there")
    rng = np.random.default_rng(seed)
    joint = np.exp(rng.normal(size=(4, 5)) * width) * (rng.random((4, 5)) > 0.2)
    joint = np.minimum(joint, 1e100) / 1e100
    for alpha in (0.25, 16.0):
        got, gradient = renyi.value_and_grad(information)(joint, alpha, **CSISZAR)
        assert 0 <= got <= math.log(4) + 1e-12
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("alpha", [0.25, 16.0])
def test_rows_far_apart(backend, alpha):
    """Where the first steps of Newton's method go astray: what thousands of steps of the fixed point come to."""
    if backend.library != "numpy":
        pytest.skip("the formulas of the grid, which run there")
    rng = np.random.default_rng(1)
    for _ in range(10):
        joint = np.exp(12 * rng.normal(size=(5, 6)))
        inputs, conditional = joint.sum(-1) / joint.sum(), joint / joint.sum(-1, keepdims=True)
        q = inputs @ conditional
        for _ in range(1500):
            q = q * tilted_ratios(conditional, inputs, q, alpha) ** (2 / (1 + alpha))
            q = q / q.sum()
        with mpmath.workdps(30):
            weights = [[mpmath.mpf(w) for w in line] for line in joint]
            want = float(mean_divergence(weights, [mpmath.mpf(w) for w in q / q.sum()], mpmath.mpf(alpha)))
        assert float(information(joint, alpha, **CSISZAR)) == pytest.approx(want, rel=1e-11)


def test_orders_that_are_refused(backend):
    x = backend.asarray(np.full((2, 3), 1 / 6))
    for call in (information, renyi.grad(information), renyi.grad(information, "alpha")):
        for alpha in (0, 0.2, 16.5, math.inf):
            with pytest.raises(ValueError, match=r"`alpha` must be from 0.25 to 16.0 for the kind 'csiszar'"):
                call(x, alpha, **CSISZAR)


def test_second_derivatives(backend):
    """There the outputs that make it least move with the joint distribution: against differences of the gradient."""
    if backend.library not in {"torch", "jax"} or backend.variant == "x32":
        pytest.skip("no automatic differentiation in float64")
    joint, direction = np.random.default_rng(0).uniform(0.5, 1.5, size=(2, 3, 4))
    for alpha in (0.7, 2.0)[1 if backend.compiles else 0 :]:
        step = 1e-5 * direction
        ends = (renyi.grad(information)(joint + k * step, alpha, **CSISZAR) for k in (1, -1))
        want = np.subtract(*ends) / 2e-5
        x, d = backend.asarray(joint), backend.asarray(direction)
        if backend.library == "torch":
            import torch

            x.requires_grad_()
            (gradient,) = torch.autograd.grad(information(x, alpha, **CSISZAR), x, create_graph=True)
            (got,) = torch.autograd.grad((gradient * d).sum(), x)
        else:
            import jax

            f = functools.partial(information, alpha=alpha, **CSISZAR)
            got = jax.jit(lambda x, d, f=f: jax.jvp(jax.grad(f), (x,), (d,))[1])(x, d)
        np.testing.assert_allclose(backend.numpy(got), want, rtol=0, atol=1e-7)
