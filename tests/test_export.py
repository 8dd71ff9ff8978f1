"""Graphs that torch.export and jax.export keep, called with other lengths than they were traced with."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("torch", "jax")
SPECTRUM = (0.5, 1.0, 2.0, math.inf)
LOGITS = (
    *(("entropy_from_logits", alpha) for alpha in (0.5, 1.0, 1.5, 2.0, math.inf)),
    *(("hill_number_from_logits", 2.0), ("tsallis_entropy_from_logits", 1.5)),
    ("entropy_spectrum_from_logits", SPECTRUM),
)
PROBS = (("entropy", 0.5), ("entropy", 2.0), ("hill_number", 1.0), ("tsallis_entropy", 2.0))
PAIRS = (("divergence", 0.5), ("divergence_from_logits", 1.0), ("divergence_from_logits", 2.0))
CHOICES = (
    *(("regularized_argmax", alpha) for alpha in (0.5, 1.0, 1.5, 2.0, math.inf)),
    *(("regularized_max", alpha) for alpha in (1.0, 1.5, 2.0, math.inf)),
)
CASES = LOGITS + PROBS + PAIRS + CHOICES


def arrays(backend, name, rows, n, seed=0):
    """Return what the function is called with: masked logits of −inf, or probabilities of 0, and a mask."""
    pair = 2 if "divergence" in name else 1
    logits = 2 * np.random.default_rng(seed).normal(size=(pair, rows, n)).astype("float32")
    logits[:, :, 1] = -np.inf
    given = logits if "logits" in name or "regularized" in name else np.exp(logits)
    mask = np.arange(n) != 2 + np.zeros((rows, 1))
    return [*map(backend.asarray, given), backend.asarray(mask)]


def function(name, alpha):
    """Return the function of the arrays and the mask."""
    f = getattr(renyi, name)
    return lambda *args: f(*args[:-1], alpha, where=args[-1])


def exported(backend, f, args):
    """Return the function by way of a graph of any number of rows, and in JAX of outcomes."""
    if backend.library == "torch":
        return by_torch(f, args).module()
    import jax
    from jax import export

    shape = export.symbolic_shape("rows, n")
    return export.export(jax.jit(f))(*(jax.ShapeDtypeStruct(shape, x.dtype) for x in args)).call


def by_torch(f, args):
    """Return the exported program of a function of tensors, whose first dimension may have any length."""
    import torch

    class Module(torch.nn.Module):
        def forward(self, *tensors):
            return f(*tensors)

    shapes = (tuple({0: torch.export.Dim("rows")} for _ in args),)
    return torch.export.export(Module(), tuple(args), dynamic_shapes=shapes)


@pytest.mark.parametrize(
    ("name", "alpha"),
    # a search that takes seconds to trace
    [pytest.param(*case, marks=pytest.mark.full if case == ("regularized_argmax", 2.0) else ()) for case in CASES],
)
def test_values_at_other_lengths(backend, name, alpha):
    f = function(name, alpha)
    call = exported(backend, f, arrays(backend, name, 3, 6))
    args = arrays(backend, name, 7, 6 if backend.library == "torch" else 9, seed=1)
    check(name, backend.numpy(call(*args)), f(*map(backend.numpy, args)))


def check(name, value, expected):
    """Compare with NumPy's value; distributions norm-wise."""
    scale = expected if "regularized" not in name else np.max(np.abs(expected), axis=-1, keepdims=True)
    assert value.shape == expected.shape
    assert np.all(np.abs(value - expected) <= 64 * np.finfo("float32").eps * np.abs(scale))


@pytest.mark.parametrize("name", ["EntropyBonus", "ConfidencePenalty"])
def test_terms(backend, name):
    term = getattr(renyi.regularizers, name)(alpha=2.0)

    def f(logits, mask):
        return term(logits, where=mask)

    call = exported(backend, f, arrays(backend, "logits", 3, 6))
    args = arrays(backend, "logits", 7, 6, seed=1)
    assert float(call(*args)) == pytest.approx(float(f(*map(backend.numpy, args))), rel=1e-5)


@pytest.mark.parametrize("name", ["entropy_from_logits"])
def test_gradients_of_masked_logits(backend, name):
    f = function(name, 0.5)
    call = exported(backend, f, arrays(backend, name, 3, 6))
    x, mask = arrays(backend, name, 5, 6, seed=1)
    check_gradient(backend, name, gradient_of(backend, lambda x: call(x, mask), x), x, mask)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("name", ["regularized_argmax", "regularized_max"])
def test_gradients_of_choices(backend, name, alpha):
    """In JAX the graph is of the gradient, in torch of the value, which is differentiated; of half the squares."""
    if not backend.full and alpha == 1.5:
        pytest.skip("a search, as at 2")
    f, other = function(name, alpha), 6 if backend.library == "torch" else 9
    example, (x, mask) = arrays(backend, name, 3, 6), arrays(backend, name, 5, other, seed=1)
    if backend.library == "torch":
        call = exported(backend, f, example)
        gradient = gradient_of(backend, lambda x: call(x, mask) ** 2 / 2, x)
    else:
        import jax

        gradient = exported(backend, jax.grad(lambda *args: (f(*args) ** 2).sum() / 2), example)(x, mask)
    given, where = backend.numpy(x), backend.numpy(mask)
    expected = renyi.grad(getattr(renyi, name))(given, alpha, where=where, cotangent=f(given, where))
    gradient = backend.numpy(gradient)
    assert np.all(gradient[:, 1:3] == 0)
    assert np.max(np.abs(gradient - expected)) <= 64 * np.finfo("float32").eps * np.max(np.abs(expected))


def gradient_of(backend, f, x):
    """Return the gradient of the sum by the library's own means."""
    if backend.library == "torch":
        return backend.xp.autograd.grad(f(x.requires_grad_()).sum(), x)[0]
    import jax

    return jax.grad(lambda x: f(x).sum())(x)


def check_gradient(backend, name, gradient, *args):
    """Compare with the analytic gradient on NumPy, which is 0 where logits are masked."""
    *given, mask = map(backend.numpy, args)
    expected = renyi.grad(getattr(renyi, name))(*given, 0.5, where=mask)
    gradient = backend.numpy(gradient)
    assert np.all(gradient[:, 1:3] == 0)
    assert np.max(np.abs(gradient - expected)) <= 64 * np.finfo("float32").eps * np.max(np.abs(expected))
