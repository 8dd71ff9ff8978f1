"""JAX: rules of derivatives that keep rows only, forward and reverse, of every order.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._by_rows import by_rows
from ._choice import center_csiszar, constant, regularized_argmax, search_choice, take_cells
from ._entropy import entropy, entropy_and_gradient
from ._neighbors import kth_neighbor, neighbor_sum
from ._rows import rows
from ._sums import totals

__all__ = [
    "by_rows",
    "center_csiszar",
    "constant",
    "entropy",
    "entropy_and_gradient",
    "kth_neighbor",
    "neighbor_sum",
    "regularized_argmax",
    "rows",
    "search_choice",
    "take_cells",
    "totals",
]
