"""Two kernel matrices: joint entropy and mutual information against their definition, their laws, what is refused."""

from __future__ import annotations

import functools
import math

import mpmath
import numpy as np
import oracle_diversity as oracle
import pytest
from test_diversity import DIRECTION, EPS, MATRICES, ORDERS, STACK, all_of

import renyi_core as renyi

BACKENDS = ("numpy", "strict", "torch", "jax", "dask")


def joint(x, y, alpha):
    return oracle.entropy(mpmath.matrix([[x[i, j] * y[i, j] for j in range(x.cols)] for i in range(x.rows)]), alpha)


def shared(x, y, alpha):
    return oracle.entropy(x, alpha) + oracle.entropy(y, alpha) - joint(x, y, alpha)


TWO = {"joint": (renyi.gram_joint_entropy, joint), "shared": (renyi.gram_mutual_information, shared)}


@functools.cache
def exact_of_two(quantity, pair, alpha):
    """The quantity, its derivatives along DIRECTION with respect to each matrix, and that with respect to α."""
    of = TWO[quantity][1]
    with mpmath.workdps(oracle.DIGITS):
        one, other = (oracle.matrix(MATRICES[name]) for name in pair)
        direction = oracle.matrix(DIRECTION)
        first = oracle.along(lambda x: of(x, other, alpha), one, direction)
        second = oracle.along(lambda y: of(one, y, alpha), other, direction)
        slope = oracle.alpha_slope(lambda a: of(one, other, a), alpha)
        return tuple(map(float, (of(one, other, alpha), first, second, slope)))


@pytest.mark.parametrize("quantity", TWO)
def test_two_variables(backend, quantity):
    if backend.library == "jax" and quantity == "joint":
        pytest.skip("a part of the other")
    names, others = ("full", "rank two", "pairs", "identity"), ("rank two", "full", "full", "pairs")
    x, y = (np.stack([MATRICES[name] for name in side]) for side in (names, others))
    results = all_of(backend, TWO[quantity][0], (0, 1, "alpha"), x, y)
    for alpha in set(results) & {0.5, 1.0, 2.0, 3.0}:
        for k, pair in enumerate(zip(names, others, strict=True)):
            value, *gradients, along = (part[k] for part in results[alpha])
            want, *derivatives, slope = exact_of_two(quantity, pair, alpha)
            assert abs(value - want) <= 32 * EPS, (pair, alpha)
            for wrt in (0, 1):
                # up to α = 1, matrices that are not of full rank have no finite derivative out of their range
                if alpha > 1 or pair[wrt] in {"full", "identity"}:
                    got = np.sum(gradients[wrt] * DIRECTION)
                    assert got == pytest.approx(derivatives[wrt], rel=1e-12, abs=1e-13), (pair, alpha, wrt)
            assert along == pytest.approx(slope, rel=1e-12, abs=1e-13), (pair, alpha)


def test_two_variables_broadcast(backend):
    if backend.library == "jax":
        pytest.skip("slow there, and the others say it")
    x, y = backend.asarray(STACK[:2]), backend.asarray(MATRICES["full"])
    for f in (renyi.gram_joint_entropy, renyi.gram_mutual_information):
        each, product = (
            backend.numpy(renyi.grad(f, 1)(x, y, 2, base=2, **options))
            for options in ({}, {"cotangent": backend.asarray(np.asarray([1.0, -2.0]))})
        )
        assert each.shape == (2, 4, 4)
        np.testing.assert_allclose(product, each[0] - 2 * each[1], rtol=1e-12, atol=1e-14)
        nats = backend.numpy(renyi.grad(f, 1)(x, y, 2))
        np.testing.assert_allclose(each * math.log(2), nats, rtol=1e-14)


def test_laws_of_two_variables(backend):
    if backend.compiles:
        pytest.skip("slow there, and the others say it")
    rng = np.random.default_rng(3)
    for n in (2, 3, 5):
        grams = []
        for size in (n, 2):
            x = rng.normal(size=(50, n, size))
            x /= np.linalg.norm(x, axis=-1, keepdims=True)
            grams.append(backend.asarray(x @ np.swapaxes(x, -1, -2)))
        for alpha in ORDERS:
            one, other = (backend.numpy(renyi.gram_entropy(k, alpha)) for k in grams)
            joint = backend.numpy(renyi.gram_joint_entropy(*grams, alpha))
            assert (joint >= np.maximum(one, other) - 1e-13).all()
            shared = backend.numpy(renyi.gram_mutual_information(*grams, alpha))
            assert (shared <= np.minimum(one, other) + 1e-13).all()
            if alpha in {0, 1}:
                assert (shared >= -1e-13).all()


def test_information_may_be_negative(backend):
    """With equal diagonals and entries that are not negative, too: log((35/90)/((5/9)(65/90)))."""
    root = math.sqrt(0.75)
    x = np.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    y = np.asarray([[1.0, root, root], [root, 1.0, 0.5], [root, 0.5, 1.0]])
    assert np.linalg.eigvalsh(y).min() > -1e-15
    value = float(backend.numpy(renyi.gram_mutual_information(backend.asarray(x), backend.asarray(y), 2)))
    assert value == pytest.approx(math.log(63 / 65), rel=1e-13, abs=0)


def test_bad_input(backend):
    square, vector = backend.asarray(np.eye(3)), backend.asarray(np.ones(3))
    pairs = [
        (TypeError, "`gram_y`", (square, 1.0, 2.0), {}),
        (TypeError, "`gram_y`.*dtype", (square, backend.asarray(np.eye(3), "float32"), 2.0), {}),
        (ValueError, "`gram_x`.*square", (vector, square, 2.0), {}),
        (ValueError, "`gram_y`.*square", (square, vector, 2.0), {}),
        (ValueError, "`gram_y`.*3 samples", (square, backend.asarray(np.eye(4)), 2.0), {}),
        (ValueError, "`gram_y`.*broadcast", (backend.asarray(STACK[:2]), backend.asarray(STACK[:3]), 2.0), {}),
        (ValueError, "`alpha`", (square, square, -1.0), {}),
        (ValueError, "`base`", (square, square, 2.0), {"base": 0}),
    ]
    for f in (renyi.gram_joint_entropy, renyi.gram_mutual_information):
        for error, message, args, kwargs in pairs:
            with pytest.raises(error, match=message):
                f(*args, **kwargs)
