"""Jagged nested tensors, and orders that are NumPy's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)


def check(f, parts):
    """Compare with the function of each part."""
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged, requires_grad=True)
    values = f(nested)
    (values.values() if values.is_nested else values).sum().backward()
    for part, value, gradient in zip(parts, values.unbind(), nested.grad.unbind(), strict=True):
        own = part.clone().requires_grad_()
        expected = f(own)
        expected.sum().backward()
        torch.testing.assert_close(value, expected.detach(), rtol=2e-6, atol=0, check_dtype=True)
        torch.testing.assert_close(gradient, own.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("name", ["entropy", "entropy_from_logits", "hill_number_from_logits", "tsallis_entropy"])
def test_rows_of_any_number(backend, name, alpha):
    f = getattr(renyi, name)
    parts = [torch.randn(n, 4, generator=torch.Generator().manual_seed(n)).abs() for n in (3, 1, 5)]
    parts[0][0, 1] = -math.inf if "logits" in name else 0.0
    check(lambda x: f(x, alpha), parts)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, math.inf])
def test_divergences(backend, alpha):
    parts = [torch.randn(n, 4, generator=torch.Generator().manual_seed(n)) for n in (3, 5)]
    check(lambda x: renyi.divergence_from_logits(x, x.detach() * 0.5, alpha), parts)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("name", ["entropy", "entropy_from_logits", "hill_number", "tsallis_entropy_from_logits"])
def test_rows_of_any_length(backend, name, alpha):
    f = getattr(renyi, name)
    check(lambda x: f(x, alpha), [torch.rand(n, generator=torch.Generator().manual_seed(n)) for n in (3, 1, 5)])


def test_counts_of_rows_of_any_length(backend):
    parts = [torch.tensor([3.0, 1.0]), torch.tensor([2.0, 5.0, 1.0])]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    results = renyi.entropy_from_counts(nested, 2.0)
    for got, wanted in zip(results, zip(*(renyi.entropy_from_counts(x, 2.0) for x in parts), strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(wanted))


def test_torch_has_none():
    """What the page says of torch: when this fails, torch has learned it."""
    nested = torch.nested.nested_tensor([torch.zeros(2, 4), torch.zeros(3, 4)], layout=torch.jagged)
    with pytest.raises(NotImplementedError, match="logsumexp"):
        torch.logsumexp(nested, -1)
    with pytest.raises(NotImplementedError, match="logsumexp"):
        torch.distributions.Categorical(logits=nested)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.int64])
def test_orders_of_numpy(backend, number):
    logits = torch.linspace(-1, 1, 8, requires_grad=True).reshape(2, 4)
    for f in (renyi.entropy_from_logits, renyi.regularized_argmax, renyi.value_and_grad(renyi.hill_number_from_logits)):
        results = f(logits, number(2)), f(logits, 2.0)
        for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in results), strict=True):
            assert one.dtype == torch.float32
            assert torch.equal(one, other)
