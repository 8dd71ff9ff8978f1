"""NumPy: the kernels run in blocks that stay in the processor's cache.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._choice import (
    choices_at_once,
    regularized_argmax,
    regularized_argmax_and_product,
    regularized_max,
    regularized_max_and_gradient,
)
from ._compiled import entropies_at_once, spectrum_at_once
from ._entropy import (
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_gradient_of_state,
    entropy_hvp,
    entropy_partial_state,
)
from ._neighbors import kth_neighbor, neighbor_counts, neighbor_sum
from ._pairs import (
    cross_entropy,
    cross_entropy_and_alpha_gradient,
    cross_entropy_and_gradient,
    distributions,
    divergence,
    divergence_and_alpha_gradient,
    divergence_and_gradient,
    jensen_divergence,
    jensen_divergence_and_alpha_gradient,
    jensen_divergence_and_gradient,
    jensen_pair,
    jensen_pair_and_gradient,
    power_divergence,
    power_divergence_and_alpha_gradient,
    power_divergence_and_gradient,
    where_known,
)
from ._rows import rows

__all__ = [
    "choices_at_once",
    "cross_entropy",
    "cross_entropy_and_alpha_gradient",
    "cross_entropy_and_gradient",
    "distributions",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "entropies_at_once",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_gradient_of_state",
    "entropy_hvp",
    "entropy_partial_state",
    "jensen_divergence",
    "jensen_divergence_and_alpha_gradient",
    "jensen_divergence_and_gradient",
    "jensen_pair",
    "jensen_pair_and_gradient",
    "kth_neighbor",
    "neighbor_counts",
    "neighbor_sum",
    "power_divergence",
    "power_divergence_and_alpha_gradient",
    "power_divergence_and_gradient",
    "regularized_argmax",
    "regularized_argmax_and_product",
    "regularized_max",
    "regularized_max_and_gradient",
    "rows",
    "spectrum_at_once",
    "where_known",
]
