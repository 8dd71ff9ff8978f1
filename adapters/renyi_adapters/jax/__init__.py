"""JAX: rules of derivatives that keep rows only, forward and reverse, of every order.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._choice import center_csiszar, search_choice
from ._entropy import entropy, entropy_and_gradient
from ._neighbors import kth_neighbor, neighbor_sum
from ._pairs import cross_entropy, divergence, mutual_information, power_divergence
from ._rows import by_rows

__all__ = [
    "by_rows",
    "center_csiszar",
    "cross_entropy",
    "divergence",
    "entropy",
    "entropy_and_gradient",
    "kth_neighbor",
    "mutual_information",
    "neighbor_sum",
    "power_divergence",
    "search_choice",
]
