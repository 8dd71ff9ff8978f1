"""Dask: a partial state for each chunk, merged in a tree; nothing is computed.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._choice import regularized_argmax, regularized_argmax_and_product, regularized_max, regularized_max_and_gradient
from ._entropy import entropy, entropy_and_gradient
from ._joints import (
    conditional_entropy,
    conditional_entropy_and_alpha_gradient,
    conditional_entropy_and_gradient,
    mutual_information,
    mutual_information_and_alpha_gradient,
    mutual_information_and_gradient,
)
from ._namespace import namespace
from ._neighbors import kth_neighbor, neighbor_gap, neighbor_sum
from ._pairs import divergence, divergence_and_alpha_gradient, divergence_and_gradient, divergence_and_slopes
from ._rows import by_rows

__all__ = [
    "by_rows",
    "conditional_entropy",
    "conditional_entropy_and_alpha_gradient",
    "conditional_entropy_and_gradient",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "divergence_and_slopes",
    "entropy",
    "entropy_and_gradient",
    "kth_neighbor",
    "mutual_information",
    "mutual_information_and_alpha_gradient",
    "mutual_information_and_gradient",
    "namespace",
    "neighbor_gap",
    "neighbor_sum",
    "regularized_argmax",
    "regularized_argmax_and_product",
    "regularized_max",
    "regularized_max_and_gradient",
]
