"""What torch and JAX trace cannot be read: a block of ``checking`` leaves it alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus

BACKENDS = ("torch", "jax")
ROWS = np.asarray([[1.0, 0.5], [math.nan, 0.0]])
TERM = EntropyBonus(alpha=2.0)


def entropies(x):
    return renyi.entropy_from_logits(x, 2.0)


def of_jax():
    import jax

    return [jax.jit(entropies), jax.vmap(entropies), jax.jit(jax.grad(TERM))], [entropies, jax.grad(TERM)]


def of_torch():
    import torch

    torch._dynamo.reset()
    compiled = [torch.compile(f, fullgraph=True, backend="eager") for f in (entropies, TERM, renyi.grad(TERM))]
    layer = torch.nn.Module()
    layer.forward = entropies
    with renyi.checking():
        exported = torch.export.export(layer, (torch.zeros(2, 2, dtype=torch.float64),)).module()
    backward = lambda x: TERM(x.clone().requires_grad_())  # noqa: E731
    return [*compiled, exported, torch.func.vmap(entropies)], [entropies, torch.func.grad(TERM), backward]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_what_is_traced_is_not_checked(backend):
    rows = backend.asarray(ROWS)
    traced, eager = of_jax() if backend.library == "jax" else of_torch()
    outside = [backend.numpy(f(rows)) for f in traced]
    with renyi.checking():
        for f, expected in zip(traced, outside, strict=True):
            # a NaN, or of JAX's own derivatives 0
            assert np.isnan(expected).any() or not expected[1].any()
            np.testing.assert_array_equal(backend.numpy(f(rows)), expected)
        for f in eager:
            with pytest.raises(ValueError, match=r"`logits` must be .* 1 of 4 entries is not, first at \(1, 0\)"):
                f(rows)
