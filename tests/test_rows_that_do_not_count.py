"""Rows that make no sense, of padding or without outcomes, and that a loss leaves out: they change no derivative."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest

import renyi_core as renyi

ORDERS = (0.0, 0.5, 0.9, 1.0, 1.7, 2.0, 3.0, math.inf)
FEW = (0.5, 1.0, 2.0, math.inf)
RNG = np.random.default_rng(0)
LOGITS, OTHERS = RNG.normal(size=(2, 2, 5))
PROBS, OTHER_PROBS = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (LOGITS, OTHERS))
FACTOR = RNG.normal(size=(2, 3, 3))
MATRICES = FACTOR @ np.swapaxes(FACTOR, -1, -2) + np.eye(3)
SAMPLES = RNG.normal(size=(2, 6, 2))
TABLES = np.exp(RNG.normal(size=(2, 3, 4)))
KEEP = np.asarray([True, False, False, True])
"""The rows that count, between two that make no sense."""


def both_doors(*stems):
    return {stem + end: "logits" if end else "probs" for stem in stems for end in ("", "_from_logits")}


ENTROPIES = both_doors("entropy", "hill_number", "tsallis_entropy")
PAIRS = both_doors("divergence", "tsallis_divergence", "alpha_divergence", "cross_entropy")
CASES = (
    {name: ((LOGITS if source == "logits" else PROBS,), {}) for name, source in ENTROPIES.items()}
    | {name: ((LOGITS, OTHERS) if source == "logits" else (PROBS, OTHER_PROBS), {}) for name, source in PAIRS.items()}
    | {
        "entropy_from_log_prob": ((LOGITS,), {}),
        "jensen_divergence": ((TABLES,), {}),
        "conditional_entropy": ((TABLES,), {}),
        "mutual_information": ((TABLES,), {"kind": "sibson"}),
        "mutual_information:arimoto": ((TABLES,), {"kind": "arimoto"}),
        "mutual_information:csiszar": ((TABLES,), {"kind": "csiszar"}),
        "regularized_max": ((LOGITS,), {}),
        "regularized_argmax": ((LOGITS,), {}),
        "gaussian_entropy": ((PROBS,), {"kind": "diagonal"}),
        "gaussian_divergence": ((LOGITS, PROBS, OTHERS, OTHER_PROBS), {"kind": "diagonal"}),
        "laplace_entropy": ((PROBS[:, 0],), {}),
        "tanh_gaussian_entropy": ((LOGITS, PROBS), {"axis": -1}),
        "gram_entropy": ((MATRICES,), {}),
        "gram_joint_entropy": ((MATRICES, MATRICES[::-1]), {}),
        "kernel_entropy": ((SAMPLES,), {}),
        "particle_entropy": ((SAMPLES,), {}),
    }
)


def padded(x, nothing=None):
    """Return rows with two between them that make no sense: of NaN, and of no weight."""
    if nothing is None:
        nothing = 0.0 if (x >= 0).all() else -math.inf
    return np.stack([x[0], np.full_like(x[0], nothing), np.full_like(x[0], math.nan), x[1]])


def orders_of(name):
    if name.endswith("csiszar"):
        return (0.5, 2.0)
    if name == "gaussian_divergence":
        return (0.5, 1.0)
    # beyond, it is infinite
    return FEW[:3] if name.startswith(("particle", "tsallis_d", "alpha")) else ORDERS if name in ENTROPIES else FEW


def cotangent_of(name):
    """Return a cotangent of the value, 0 in rows that do not count."""
    rows = np.asarray([1.5, 0.0, 0.0, -0.5])
    return rows[:, None] * np.arange(1.0, 6.0) if name == "regularized_argmax" else rows


def call_of(name):
    f, (arrays, options) = getattr(renyi, name.partition(":")[0]), CASES[name]
    return f, arrays, options


def expected(name, wrt, alpha):
    """Return NumPy's derivative from the rows that count, alone."""
    f, arrays, options = call_of(name)
    return renyi.grad(f, wrt)(*arrays, alpha, cotangent=cotangent_of(name)[KEEP], **options)


def check(got, name, wrt, alpha):
    """The rows that count have the gradient that they have by themselves, and the others none."""
    want, case = expected(name, wrt, alpha), f"{alpha} {wrt}"
    if wrt != "alpha":
        assert not got[~KEEP].any(), case
        got = got[KEEP]
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13, err_msg=case)


def few(backend, name):
    """Where each call is compiled, or a graph, the kinds of functions that have code of their own there."""
    return backend.slow and not name.startswith(("entropy", "hill", "divergence", "cross", "regularized_argmax"))


@pytest.mark.parametrize("name", CASES)
def test_analytic(backend, name):
    """With a cotangent that is 0 in those rows."""
    if few(backend, name):
        pytest.skip("the same code as on other libraries")
    f, arrays, options = call_of(name)
    # differences of infinities warn on array-api-strict
    nothing = math.nan if name == "entropy_from_log_prob" else None
    wide, g = [backend.asarray(padded(x, nothing)) for x in arrays], backend.asarray(cotangent_of(name))
    every, orders = [*range(len(arrays)), "alpha"], orders_of(name)
    if backend.slow:
        every, orders = every[:1], orders[1:2]
    for alpha in orders:
        for wrt in every:
            got = backend.compiled(lambda *x, w=wrt, a=alpha: renyi.grad(f, w)(*x, a, cotangent=g, **options))(*wide)
            check(backend.numpy(got), name, wrt, alpha)


def own_derivatives(backend, name, alpha):
    """Return the derivatives, by the library's own means, of a loss that chooses 0 in place of those rows."""
    f, arrays, options = call_of(name)
    g = cotangent_of(name)
    every, keep, factor = [backend.asarray(padded(x)) for x in arrays], backend.asarray(g != 0), backend.asarray(g)
    if not isinstance(alpha, float):
        every.append(backend.asarray(alpha))

    def loss(*args):
        order = alpha if isinstance(alpha, float) else args[-1]
        value = f(*args[: len(arrays)], order, **options)
        return backend.xp.sum(backend.xp.where(keep, value, 0.0) * factor)

    if backend.library == "torch":
        leaves = [x.clone().requires_grad_() for x in every]
        loss(*leaves).backward()
        return [leaf.grad.numpy() for leaf in leaves]
    import jax

    return [np.asarray(x) for x in jax.jit(jax.grad(loss, tuple(range(len(every)))))(*every)]


@pytest.mark.parametrize("engine", ["adapter", "agnostic"])
@pytest.mark.parametrize("name", CASES)
def test_automatic(backend, name, engine):
    """And of a shared order that is an array."""
    if backend.library not in {"torch", "jax"} or few(backend, name):
        pytest.skip("no derivatives of its own, or the same code as in torch")
    shared = [] if name.endswith("csiszar") else [np.asarray(0.7)]
    orders = orders_of(name)
    if backend.slow:
        orders = orders[1:2] if engine == "adapter" and "logits" in name else ()
        shared = shared if engine == "adapter" or name == "entropy_from_logits" else []
    with renyi.agnostic_only() if engine == "agnostic" else contextlib.nullcontext():
        for alpha in (*orders, *shared):
            for k, got in enumerate(own_derivatives(backend, name, alpha)):
                arrays = len(CASES[name][0])
                check(got, name, k if k < arrays else "alpha", float(alpha))


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_without_outcomes(backend, compiled):
    """Of logits behind a mask, and of a linear layer before them, whose weights all rows share; double backward."""
    if backend.library != "torch":
        pytest.skip("torch's")
    import torch

    mask = torch.tensor([[True] * 5, [False] * 5])
    weight = torch.eye(5, dtype=torch.float64, requires_grad=True)

    def loss(x, alpha):
        values = [renyi.entropy_from_logits(x @ weight, alpha, where=mask)]
        if not compiled:
            # which compiles for half a minute
            values.append(renyi.divergence_from_logits(x @ weight, x, alpha, where=mask))
        return sum(torch.where(mask.any(-1), value, 0.0).sum() for value in values)

    run = torch.compile(loss, backend="aot_eager", fullgraph=True) if compiled else loss
    for alpha in (1.0,) if compiled else ORDERS[1:-1]:
        x = torch.tensor(LOGITS, requires_grad=True)
        gradients = torch.autograd.grad(run(x, alpha), (x, weight), create_graph=not compiled)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert not gradients[0][1].any()
        if not compiled:
            second = torch.autograd.grad(sum((g * g).sum() for g in gradients), (x, weight))
            assert all(gradient.isfinite().all() for gradient in second)
            assert not second[0][1].any()
