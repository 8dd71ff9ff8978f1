"""Rows that make no sense, of padding or without outcomes, and that a loss leaves out: they change no derivative."""

from __future__ import annotations

import functools
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
    {name: ((LOGITS if door == "logits" else PROBS,), {}) for name, door in ENTROPIES.items()}
    | {name: ((LOGITS, OTHERS) if door == "logits" else (PROBS, OTHER_PROBS), {}) for name, door in PAIRS.items()}
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
TERMS = {
    "EntropyBonus": (LOGITS,),
    "EntropyFloor": (LOGITS,),
    "ConfidencePenalty": (LOGITS,),
    "LabelSmoothing": (LOGITS,),
    "DivergenceTerm": (LOGITS, OTHERS),
    "BalanceTerm": (LOGITS,),
    "InformationTerm": (LOGITS,),
    "GaussianEntropyBonus": (LOGITS,),
    "SampledEntropyBonus": (LOGITS,),
}


def padded(x, nothing=None):
    """Return rows with two between them that make no sense: of NaN, and of no weight."""
    if nothing is None:
        nothing = 0.0 if (x >= 0).all() else -math.inf
    return np.stack([x[0], np.full_like(x[0], nothing), np.full_like(x[0], math.nan), x[1]])


def orders_of(name):
    if name.endswith("csiszar"):
        return (0.5, 2.0)
    return FEW[:3] if name.startswith("particle") else ORDERS if name in ENTROPIES else FEW


def cotangent_of(name):
    """Return a cotangent of the value, 0 in rows that do not count."""
    rows = np.asarray([1.5, 0.0, 0.0, -0.5])
    return rows[:, None] * np.arange(1.0, 6.0) if name == "regularized_argmax" else rows


def same(got, want, along_alpha, case):
    """The rows that count have the gradient that they have by themselves, and the others none."""
    if along_alpha:
        np.testing.assert_allclose(got, want, rtol=1e-6 if got.dtype == np.float32 else 1e-12, err_msg=case)
    else:
        np.testing.assert_allclose(got[KEEP], want, rtol=1e-12, atol=1e-13, err_msg=case)
        assert not got[~KEEP].any(), case


@pytest.mark.parametrize("name", CASES)
def test_analytic(backend, name):
    """With a cotangent that is 0 in those rows."""
    f, (arrays, options) = getattr(renyi, name.partition(":")[0]), CASES[name]
    g = cotangent_of(name)
    every = [*range(len(arrays)), "alpha"]
    orders = orders_of(name)
    if backend.slow:
        orders, every = orders[1::5], every[:: len(arrays)]
    # differences of infinities warn on array-api-strict
    other = math.nan if name in {"entropy_from_log_prob", "gaussian_divergence"} else None
    wide, good = [backend.asarray(padded(x, other)) for x in arrays], [backend.asarray(x) for x in arrays]
    for alpha in orders:
        for wrt in every:
            gradient = backend.compiled(
                lambda *args, w=wrt, a=alpha: renyi.grad(f, w)(*args[1:], a, cotangent=args[0], **options)
            )
            got, want = gradient(backend.asarray(g), *wide), gradient(backend.asarray(g[KEEP]), *good)
            same(backend.numpy(got), backend.numpy(want), wrt == "alpha", f"{alpha} {wrt}")


def own_derivatives(backend, f, g, arrays, alpha):
    """Return the derivatives of the library's own of the sum of values times g, where that is not 0."""
    xp = backend.xp
    arrays = [backend.asarray(x) for x in arrays]
    keep, g = backend.asarray(g != 0), backend.asarray(g)
    along_alpha = not isinstance(alpha, float)

    def loss(*args):
        alpha_now = args[-1] if along_alpha else alpha
        value = f(*args[: len(arrays)], alpha_now)
        return xp.sum(xp.where(keep, value, 0.0) * g)

    every = (*arrays, backend.asarray(np.asarray(alpha))) if along_alpha else tuple(arrays)
    if backend.library == "torch":
        leaves = [x.clone().requires_grad_() for x in every]
        loss(*leaves).backward()
        return [leaf.grad.numpy() for leaf in leaves]
    import jax

    return [np.asarray(x) for x in jax.jit(jax.grad(loss, tuple(range(len(every)))))(*every)]


def check_own(backend, f, arrays, alpha, g):
    got = own_derivatives(backend, f, g, [padded(x) for x in arrays], alpha)
    want = own_derivatives(backend, f, g[KEEP], arrays, alpha)
    for k, (one, other) in enumerate(zip(got, want, strict=True)):
        same(one, other, k == len(arrays), f"{alpha} {k}")


@pytest.mark.parametrize("engine", ["adapter", "agnostic"])
@pytest.mark.parametrize("name", CASES)
def test_automatic(backend, name, engine, request):
    """Where the loss chooses 0 in place of those rows, and a shared order that is an array."""
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no derivatives of its own")
    if engine == "agnostic" and backend.library == "jax" and not name.startswith(("entropy", "cross", "reg")):
        pytest.skip("compiled for long; torch takes the same code")
    f, (arrays, options) = getattr(renyi, name.partition(":")[0]), CASES[name]
    f = functools.partial(f, **options)
    orders = orders_of(name)[1::3] if backend.slow else orders_of(name)
    with renyi.agnostic_only() if engine == "agnostic" else request.getfixturevalue("nothing"):
        for alpha in orders:
            check_own(backend, f, arrays, alpha, cotangent_of(name))
        if not name.endswith("csiszar"):
            check_own(backend, f, arrays, np.asarray(1.7), cotangent_of(name))


@pytest.fixture
def nothing():
    import contextlib

    return contextlib.nullcontext()
