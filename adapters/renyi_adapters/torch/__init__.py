"""torch: derivatives by ``torch.autograd.Function``, on the CPU NumPy's blocks, on CUDA Triton's kernels.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._choice import argsort_cells, constant, gauss_legendre, sort_gaps, take_cells
from ._entropy import (
    distributions,
    entropies_at_once,
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_hvp,
    spectrum_at_once,
    where_known,
)
from ._neighbors import kth_neighbor, neighbor_sum
from ._orders import changing_number
from ._rows import choices_at_once, pairs_at_once, rows

__all__ = [
    "argsort_cells",
    "changing_number",
    "choices_at_once",
    "constant",
    "distributions",
    "entropies_at_once",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_hvp",
    "gauss_legendre",
    "kth_neighbor",
    "neighbor_sum",
    "pairs_at_once",
    "rows",
    "sort_gaps",
    "spectrum_at_once",
    "take_cells",
    "where_known",
]
