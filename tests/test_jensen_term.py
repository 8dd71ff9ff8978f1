"""JensenTerm: what distillation writes by hand, its bound, its ends, any axes, and a mixture that is learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import DivergenceTerm, JensenTerm

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "dask")
RNG = np.random.default_rng(0)
X, Y = 2 * RNG.normal(size=(2, 3, 4, 5))
ORDERS = (0.0, 0.5, 1.0, 2.0, math.inf)


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def test_what_distillation_writes_by_hand(backend):
    """The teacher's share is the β of GKD."""
    p, q = softmax(X), softmax(Y)
    for beta in (0.1, 0.5, 0.9):
        mean = (1 - beta) * p + beta * q
        want = (beta * (q * np.log(q / mean)) + (1 - beta) * (p * np.log(p / mean))).sum(-1)
        got = JensenTerm(mixture=beta, reduction="none", weight=2.0)(backend.asarray(X), backend.asarray(Y))
        np.testing.assert_allclose(backend.numpy(got), 2 * want, rtol=1e-12)
        assert (want < -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)).all()


def test_the_ends_are_divergences(backend):
    x, y = backend.asarray(X), backend.asarray(Y)
    for mixture, share, direction in ((1e-9, 1e-9, "reverse"), (1 - 2.0**-30, 2.0**-30, "forward")):
        got = float(backend.numpy(JensenTerm(mixture=mixture)(x, y))) / share
        assert got == pytest.approx(float(backend.numpy(DivergenceTerm(direction=direction)(x, y))), rel=1e-6)


def test_supports_that_differ(backend):
    """Finite, and of order 0 all that has a finite logit counts, be it too small for a number."""
    x = np.asarray([[0.0, -math.inf, 0.0, -2000.0], [0.0, 0.0, -math.inf, -math.inf]])
    y = np.asarray([[-math.inf, 0.0, -math.inf, -math.inf], [-math.inf, -math.inf, 0.0, 0.0]])
    counts, shares = math.log(4) - 0.7 * np.log([3, 2]) - 0.3 * np.log([1, 2]), [0.3, 0.7]
    for alpha, want in ((0.0, counts), (1.0, [float(renyi.entropy(np.asarray(shares), 1))] * 2)):
        term = JensenTerm(alpha, mixture=0.3, reduction="none")
        value, slope = renyi.value_and_grad(term)(backend.asarray(x), backend.asarray(y))
        np.testing.assert_allclose(backend.numpy(value), want, rtol=1e-12)
        assert np.isfinite(backend.numpy(slope)).all()


@pytest.mark.parametrize("axis", [1, (0, 2)])
def test_any_axes(backend, axis):
    """With a mask, orders of rows, and one teacher for all rows; along both sources."""
    kept = tuple(i for i in range(3) if i not in np.atleast_1d(axis))
    where = RNG.random(X.shape) > 0.3
    rows, n = math.prod(X.shape[i] for i in kept), X.size // math.prod(X.shape[i] for i in kept)
    flat = [np.transpose(part, (*kept, *np.atleast_1d(axis))).reshape(rows, n) for part in (X, Y, where)]
    orders = np.linspace(0.3, 2.5, rows)
    for source, change in (("logits", np.asarray), ("probs", np.exp)):
        term = JensenTerm(mixture=0.3, reduction="none", source=source)
        for wrt in (0, 1, "alpha"):
            given = [backend.asarray(change(part)) for part in (X, Y)]
            order = backend.asarray(orders.reshape([X.shape[i] for i in kept]))
            got = renyi.value_and_grad(term, wrt)(*given, axis=axis, where=backend.asarray(where), alpha=order)
            plain = [backend.asarray(change(part)) for part in flat[:2]]
            options = {"where": backend.asarray(flat[2]), "alpha": backend.asarray(orders)}
            want = renyi.value_and_grad(term, wrt)(*plain, **options)
            np.testing.assert_allclose(backend.numpy(got[0]).ravel(), backend.numpy(want[0]), rtol=1e-12)
            slope = backend.numpy(got[1])
            slope = slope if wrt == "alpha" else np.transpose(slope, (*kept, *np.atleast_1d(axis)))
            np.testing.assert_allclose(slope.ravel(), backend.numpy(want[1]).ravel(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("alpha", ORDERS)
def test_close_rows_and_one_teacher_for_all(backend, alpha):
    """J of rows that are nearly the teacher's is of second order, and the teacher's gradient is the sum of theirs."""
    teacher, gap = Y[0, :1], np.asarray([[1e-5], [-2e-5]]) * X[0, :2]
    x, y = backend.asarray(teacher + gap), backend.asarray(teacher)
    value, both = renyi.value_and_grad(JensenTerm(alpha, mixture=0.4, reduction="sum"), (0, 1))(x, y)
    if alpha in (0.5, 1.0):
        p = softmax(teacher)
        centered = gap - (p * gap).sum(-1, keepdims=True)
        second = 0.4 * 0.6 / 2 * (p * centered**2).sum() if alpha == 1.0 else None
        assert second is None or float(backend.numpy(value)) == pytest.approx(second, rel=1e-4)
        assert 0 < float(backend.numpy(value)) < 1e-8
    assert backend.numpy(both[1]).shape == (1, 5)
    each = JensenTerm(alpha, mixture=0.4, reduction="sum")
    parts = [backend.numpy(renyi.grad(each, 1)(x[i : i + 1, :], y)) for i in range(2)]
    np.testing.assert_allclose(backend.numpy(both[1]), sum(parts), rtol=1e-10, atol=1e-18)


def test_a_mixture_that_is_learned(backend):
    if backend.library != "torch":
        pytest.skip("of automatic differentiation")
    import torch

    x, y = backend.asarray(X), backend.asarray(Y)
    mixture = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(JensenTerm(mixture=mixture)(x, y).detach(), JensenTerm(mixture=0.3)(x, y))
    assert torch.autograd.gradcheck(lambda m, z: JensenTerm(0.7, mixture=m)(z, y), (mixture, x[0].requires_grad_()))


@pytest.mark.parametrize(
    ("mixture", "error", "words"),
    [
        (0.0, ValueError, "`mixture` must be between 0 and 1, got 0.0; the ends are `DivergenceTerm`"),
        (1, ValueError, "`mixture` must be between 0 and 1, got 1"),
        (-0.1, ValueError, "`mixture` must be >= 0"),
        (math.nan, ValueError, "`mixture`"),
        ("half", TypeError, "`mixture`"),
        (None, TypeError, "`mixture`"),
    ],
)
def test_bad_mixture(mixture, error, words):
    with pytest.raises(error, match=words):
        JensenTerm(mixture=mixture)
    with pytest.raises(ValueError, match=r"`mixture` must be a number or an array of shape \(\), got shape \(2,\)"):
        JensenTerm(mixture=np.ones(2))
