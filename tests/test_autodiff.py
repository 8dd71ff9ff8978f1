"""torch's and JAX's own automatic differentiation through the library's code: right and finite everywhere."""

from __future__ import annotations

import math

import numpy as np
import oracle_pairs
import pytest

import renyi_core as renyi

BACKENDS = ("torch", "jax")
ORDERS = (0.0, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 20.0, math.inf)
LOGITS = {
    "random": [0.3, -1.2, 2.0, 0.7, -3.0],
    "masked": [0.3, -math.inf, 2.0, -math.inf, -3.0],
    "all masked but one": [-math.inf, -math.inf, 2.0, -math.inf, -math.inf],
    "very negative": [0.3, -1e9, 2.0, -1e4, -3.0],
    "tied": [2.0, 2.0, 2.0, -1.0, 0.0],
    "uniform": [1.0, 1.0, 1.0, 1.0, 1.0],
    "near-deterministic": [0.0, -30.0, -40.0, -35.0, -31.0],
}
PROBS = {
    "random": [0.1, 0.2, 0.3, 0.15, 0.25],
    "zeros": [0.5, 0.0, 0.3, 0.0, 0.2],
    "certain": [0.0, 0.0, 1.0, 0.0, 0.0],
    "tied": [0.3, 0.3, 0.3, 0.1, 0.0],
    "uniform": [0.2, 0.2, 0.2, 0.2, 0.2],
}
FUNCTIONS = {
    "probs": [renyi.entropy, renyi.hill_number, renyi.tsallis_entropy],
    "logits": [renyi.entropy_from_logits, renyi.hill_number_from_logits, renyi.tsallis_entropy_from_logits],
}
CASES = [(source, f) for source in FUNCTIONS for f in FUNCTIONS[source]]
every = pytest.mark.parametrize(("source", "f"), CASES, ids=lambda v: getattr(v, "__name__", v))


def derivative(backend, f, x, alpha, wrt):
    """The derivative of the sum of f by the library's own means, with respect to argument ``wrt``."""
    if backend.library == "torch":
        args = [x.clone(), alpha]
        args[wrt] = args[wrt].clone().requires_grad_()
        f(*args).sum().backward()
        return args[wrt].grad.numpy()
    import jax

    # a number is a constant of the compilation, an array is not
    arrays = [] if isinstance(alpha, int | float) else [alpha]
    found = jax.grad(lambda x, *array: f(x, *(array or [alpha])).sum(), wrt)
    return np.asarray(jax.jit(found)(x, *arrays))


def rule(backend, f, wrt, *args):
    """The analytic derivative; that of NumPy in place of JAX's, whose operations would be compiled one by one."""
    if backend.compiles:
        args = [arg if isinstance(arg, int | float) else np.asarray(arg) for arg in args]
    return backend.numpy(renyi.grad(f, wrt)(*args))


def batch(backend, source):
    """Return the names of the rows, and the rows for each order: of shape (orders, rows, entries)."""
    known = PROBS if source == "probs" else LOGITS
    rows = np.asarray(list(known.values()))
    return list(known), rows, backend.asarray(np.stack([rows] * len(ORDERS)))


@pytest.mark.parametrize("kind", ["number", "array"])
@every
def test_gradient(backend, source, f, kind):
    names, rows, x = batch(backend, source)
    orders = backend.asarray(np.asarray(ORDERS)[:, None])
    want = rule(backend, f, 0, x, orders)
    if kind == "array":
        got = derivative(backend, f, x, orders, 0)
    else:
        # each is a compilation
        some = slice(None, None, 2 if backend.compiles else 1)
        numbers = list(enumerate(ORDERS))[some]
        got = np.stack([derivative(backend, f, x[k, ...], alpha, 0) for k, alpha in numbers])
        want = want[some]
    # to the precision of p: unlike the analytic rules, plain differentiation subtracts p from p on uniform rows
    scale = 1 + np.max(np.abs(want), axis=-1, keepdims=True)
    for k, name in enumerate(names):
        assert np.isfinite(got[:, k]).all(), name
        np.testing.assert_allclose((got / scale)[:, k], (want / scale)[:, k], rtol=1e-12, atol=1e-13, err_msg=name)
    assert (got[:, np.isneginf(rows)] == 0).all()


@every
def test_alpha_gradient(backend, source, f):
    names, _, x = batch(backend, source)
    orders = backend.asarray(np.stack([np.asarray(ORDERS)] * len(names), axis=1))
    got = derivative(backend, f, x, orders, 1)
    want = rule(backend, f, "alpha", x, orders)
    for k, name in enumerate(names):
        np.testing.assert_allclose(got[:, k], want[:, k], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0, 20.0])
@pytest.mark.parametrize("name", ["masked", "very negative"])
def test_through_a_softmax_of_the_users(backend, name, alpha):
    """p = softmax(z) with p = 0 exactly: a +inf derivative there would make the whole row NaN."""
    z = backend.asarray(np.asarray(LOGITS[name]))

    if backend.library == "torch":
        import torch

        def f(z, alpha):
            return renyi.entropy(torch.softmax(z, -1), alpha)
    else:
        import jax

        def f(z, alpha):
            return renyi.entropy(jax.nn.softmax(z), alpha)

    got = derivative(backend, f, z, alpha, 0)
    want = rule(backend, renyi.entropy_from_logits, 0, z, alpha)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-13)


def test_whole_rows_masked_by_where(backend):
    rows = np.asarray([[0.3, -1.2, 2.0], [5.0, 1.0, 1.0]])
    mask = backend.asarray(np.asarray([[True, False, True], [True, True, True]]))

    def f(z, alpha):
        return renyi.entropy_from_logits(z, alpha, where=mask)

    for alpha in (0.3, 1.0, 2.0):
        got = derivative(backend, f, backend.asarray(rows), alpha, 0)
        assert np.isfinite(got).all()
        assert got[0, 1] == 0


def test_second_derivative(backend):
    """Differentiated twice, against the library's Hessian–vector product."""
    z, v = (backend.asarray(np.asarray(values)) for values in ([0.3, -1.2, 2.0, 0.7], [1.0, -0.5, 0.2, 0.9]))
    for alpha in (0.5, 1.0, 1.1, 2.0):
        if backend.library == "torch":
            import torch

            z.requires_grad_(True)
            (first,) = torch.autograd.grad(renyi.entropy_from_logits(z, alpha), z, create_graph=True)
            (got,) = torch.autograd.grad((first * v).sum(), z)
            z.requires_grad_(False)
        else:
            import jax

            along = jax.grad(lambda z, a=alpha: renyi.entropy_from_logits(z, a))
            got = jax.jit(lambda z, v, along=along: jax.jvp(along, (z,), (v,))[1])(z, v)
        want = renyi.hvp(renyi.entropy_from_logits)(backend.numpy(z), alpha, vector=backend.numpy(v))
        np.testing.assert_allclose(backend.numpy(got), want, rtol=1e-9, atol=1e-11)


PAIRS = ("independent", "nearer", "a shared zero", "p is zero", "q is zero", "peaked apart", "peaked together")


@pytest.mark.parametrize("source", ["logits", "probs"])
@pytest.mark.parametrize("alpha", [0.5, 1 - 1e-12, 1.0, 2.0, math.inf])
def test_divergence(backend, alpha, source):
    """By the library's own means with respect to both distributions: what the analytic derivatives say."""
    if backend.compiles and alpha not in {0.5, 2.0}:
        pytest.skip("each order is a compilation; test_divergence_along_orders has the others")
    f = renyi.divergence_from_logits if source == "logits" else renyi.divergence
    known = [oracle_pairs.pairs("float64")[name] for name in PAIRS if name != "q is zero" or alpha < 1]
    x, y = (
        backend.asarray(np.exp(rows) if source == "probs" else rows) for rows in map(np.stack, zip(*known, strict=True))
    )
    for wrt in (0, 1):
        got = derivative(backend, lambda *args: f(*args, alpha), x, y, wrt)
        want = rule(backend, f, wrt, x, y, alpha)
        error = np.linalg.norm(got - want, axis=-1) / np.linalg.norm(want, axis=-1)
        assert (error < 64 * np.finfo(want.dtype).eps).all(), dict(zip(PAIRS, error, strict=False))


def test_divergence_along_orders(backend):
    x, y = (backend.asarray(np.stack([rows] * 5)) for rows in oracle_pairs.pairs("float64")["independent"])
    orders = backend.asarray(np.asarray([0.5, 1.0, 1.1, 2.0, math.inf]))
    got = derivative(backend, lambda first, alpha: renyi.divergence_from_logits(first, y, alpha), x, orders, 1)
    want = rule(backend, renyi.divergence_from_logits, "alpha", x, y, orders)
    np.testing.assert_allclose(got, want, rtol=1e-5 if backend.variant == "x32" else 1e-12)
