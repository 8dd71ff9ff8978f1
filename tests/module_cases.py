"""What the tests of the modules share."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def make(shape=(3, 5), seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradient(f, x):
    leaf = x.detach().clone().requires_grad_()
    value = f(leaf)
    value.sum().backward()
    return value.detach(), leaf.grad


def order_of(term):
    return float(torch.as_tensor(term.alpha).detach())


def same(f, g, x, **options):
    for got, want in zip(gradient(f, x), gradient(g, x), strict=True):
        torch.testing.assert_close(got, want, **options)
