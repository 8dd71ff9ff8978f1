"""Second and third derivatives of regularized choices, by the libraries' own means, against 80-digit differences."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import oracle_choice as oracle
import pytest
from choice_cases import argmax, largest

import renyi_core as renyi

BACKENDS = ("torch", "jax")
ORDERS = (0.3, 1.0, 1 + 1e-6, 1.5, 2.0, 4.0)


@functools.cache
def cases(dtype):
    """Return scores, temperatures, directions of the scores, the temperature and α, and weights, in rows."""
    rng = np.random.default_rng(5)
    scores, temperatures = map(np.stack, zip(*oracle.rows(dtype).values(), strict=True))
    directions = rng.normal(size=(len(scores), 8))
    directions[:, :6][~np.isfinite(scores)] = 0
    directions[:, 6] *= temperatures / 4
    directions[:, 7] /= 16
    return scores, temperatures, directions.astype(dtype), rng.normal(size=scores.shape).astype(dtype)


def function(backend, alpha, dtype, *, moves):
    """Return ⟨weights, p⟩ of each row as a function of how far it is moved; T and α move as well where asked."""
    scores, temperatures, directions, weights = (backend.asarray(x) for x in cases(dtype))

    def f(moved):
        x = scores + moved[:, None] * directions[:, :6]
        if not moves:
            return (argmax(x, alpha, temperatures) * weights).sum()
        order = 0 * moved + alpha + moved * directions[:, 7]
        return (argmax(x, order, temperatures + moved * directions[:, 6]) * weights).sum()

    return f


def ways(backend):
    """Return functions that give the second derivative of each term of a sum, and backwards the third."""
    if backend.library == "torch":
        import torch

        grad, jvp = torch.func.grad, torch.func.jvp
    else:
        import jax

        grad, jvp = jax.grad, jax.jvp

    def along(f):
        return lambda moved: jvp(f, (moved,), (backend.xp.ones_like(moved),))[1]

    def backwards(f, moved):
        found = [f(moved.requires_grad_())]
        for _ in range(3):
            found += torch.autograd.grad(found[-1].sum(), moved, create_graph=True)
        return [x.detach() for x in found[2:]]

    def forward_over_reverse(f, moved):
        return [along(grad(f))(moved)]

    def reverse_over_forward(f, moved):
        return [grad(along(f))(moved)]

    if backend.library == "torch":
        return [backwards, forward_over_reverse, reverse_over_forward]
    return [reverse_over_forward]


# torch's own, of the first call of its forward mode
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_second_and_third(backend, dtype):
    """⟨weights, p⟩ along a line of the scores, and of the temperature and α as well."""
    if backend.compiles and dtype == "float32":
        pytest.skip("compiled anew for the same")
    scores, temperatures, directions, weights = cases(dtype)
    eps, failures = float(np.finfo(dtype).eps), []
    orders = (2.0,) if backend.compiles else ORDERS if dtype == "float64" else ORDERS[3:5]
    for alpha, moves in itertools.product(orders, (False, True) if backend.full or not backend.compiles else (False,)):
        f = function(backend, alpha, dtype, moves=moves)
        lines = np.where(moves | (np.arange(8) < 6), directions, 0)
        exact = [oracle.along(x, alpha, *case) for x, *case in zip(scores, temperatures, lines, strict=True)]
        # of each row the first three derivatives, which are vectors
        first, *higher = np.moveaxis(np.asarray(exact, dtype=float), 1, 0)
        for way in ways(backend):
            found = backend.compiled(functools.partial(way, f))(backend.asarray(np.zeros(len(scores)), dtype))
            for k, got in enumerate(found):
                want, size = (higher[k] * weights).sum(-1), np.abs(weights).sum(-1)
                size *= np.max(np.abs(higher[k]), axis=-1) + np.max(np.abs(first), axis=-1) ** (k + 2)
                errors = np.abs(backend.numpy(got) - want) / (eps * size + np.finfo(dtype).tiny)
                names = oracle.rows(dtype)
                failures += [
                    (e, way.__name__, k + 2, name, alpha, moves) for e, name in zip(errors, names, strict=True)
                ]
    worst = sorted(failures, reverse=True)[:8]
    assert worst[0][0] <= 64, worst


def test_hessian_of_the_largest_value(backend):
    """The Jacobian of the distribution: 0 outside of the support and the mask, also beside a row without sense."""
    values = np.asarray(
        [[2.0, 1.0, 0.3, -9.0], [0.0, 0.1, -np.inf, 0.2], [np.nan, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 9.0]]
    )
    mask = np.ones((4, 4), dtype=bool)
    mask[3, 3] = False
    x, where = backend.asarray(values), backend.asarray(mask)
    cotangent = np.random.default_rng(0).normal(size=(4, 4))
    weights = backend.asarray(cotangent)
    for alpha in (2.0,) if backend.compiles else (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, np.inf):

        def slope(x, alpha=alpha):
            if backend.library == "torch":
                return backend.xp.func.grad(lambda x: largest(x, alpha, where=where).sum())(x)
            import jax

            return jax.grad(lambda x: largest(x, alpha, where=where).sum())(x)

        if backend.library == "torch":
            found = backend.xp.func.vjp(slope, x)[1](weights)[0]
        else:
            import jax

            found = jax.jit(lambda x: jax.vjp(slope, x)[1](weights)[0])(x)
        found, keep = backend.numpy(found), [0, 1, 3]
        expected = renyi.grad(argmax)(values, alpha, where=mask, cotangent=cotangent)
        np.testing.assert_allclose(found[keep], expected[keep], rtol=0, atol=1e-14)
        assert (found[~mask] == 0).all()
        assert found[1, 2] == 0
        if alpha >= 1.5:
            assert found[0, 3] == 0
