"""What a user of torch and JAX is told; read where both are installed, and run as well."""

from typing import assert_type

import jax
import torch

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus


def loss(task: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """A training step's own function passes the type on."""
    return task - 0.1 * renyi.entropy_from_logits(logits, 2.0).mean()


logits = torch.zeros(3, 4)
assert_type(renyi.entropy_from_logits(logits, 2.0), torch.Tensor)
assert_type(renyi.entropy_from_logits(torch.nn.Parameter(logits), torch.ones(3)), torch.Tensor)
assert_type(EntropyBonus(alpha=2.0, weight=0.01)(logits, where=logits > -1), torch.Tensor)
assert_type(renyi.value_and_grad(renyi.entropy_from_logits)(logits, 2.0), tuple[torch.Tensor, torch.Tensor])
assert_type(loss(torch.zeros(()), logits), torch.Tensor)


def of_jax(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Do the same with JAX; what makes its arrays is partly untyped itself."""
    assert_type(renyi.entropy_from_logits(x, 2.0), jax.Array)
    return renyi.value_and_grad(renyi.entropy_from_logits)(x, 0.5)
