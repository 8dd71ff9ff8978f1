"""What a user's type checker refuses: every line that ends in ``# wrong`` must be an error, and no other line."""

import numpy as np

import renyi_core as renyi
from renyi_core.regularizers import EntropyBonus

probs = np.ones((3, 4)) / 4
renyi.entropy([0.5, 0.5], 2.0)  # wrong
renyi.entropy(0.5, 2.0)  # wrong
renyi.entropy(probs)  # wrong
renyi.entropy(probs, "2")  # wrong
renyi.entropy(probs, 2.0, -1)  # wrong
renyi.entropy(probs=probs, alpha=2.0)  # wrong
renyi.entropy(probs, 2.0, axis=0.5)  # wrong
renyi.entropy(probs, 2.0, bits=True)  # wrong
renyi.divergence(probs, [0.5, 0.5], 2.0)  # wrong
renyi.mutual_information(probs, 1.0, kind="shannon")  # wrong
renyi.grad(2.0)  # wrong
renyi.value_and_grad(renyi.entropy)([0.5, 0.5], 2.0)  # wrong
renyi.entropy(probs, 2.0).entropies()  # wrong
EntropyBonus(alpha=2.0)([0.5, 0.5])  # wrong
EntropyBonus(order=2.0)  # wrong
EntropyBonus(2.0, 0.01, "sum")  # wrong
renyi.shannon(probs)  # wrong
renyi.kl_divergence(probs, probs)  # wrong
