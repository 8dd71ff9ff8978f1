"""torch: derivatives by ``torch.autograd.Function``, on the CPU NumPy's blocks, on CUDA Triton's kernels.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._choice import argsort_cells, center_csiszar, search_choice, sort_gaps, take_cells
from ._entropy import (
    distributions,
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_hvp,
    gradient_in_place_of_the_input,
    unless,
)
from ._linear import linear_entropy
from ._modules import EntropyRegularizer, TargetEntropyWeight
from ._neighbors import kth_neighbor, neighbor_sum
from ._orders import changing_number
from ._pairs import (
    cross_entropy,
    divergence,
    divergence_and_alpha_gradient,
    divergence_and_gradient,
    divergence_and_slopes,
    mutual_information,
    power_divergence,
)
from ._parallel import parallel_entropy
from ._results import EntropyAndLogProb
from ._samples import order_two_entropy
from ._statistics import entropy_and_log_prob

__all__ = [
    "EntropyAndLogProb",
    "EntropyRegularizer",
    "TargetEntropyWeight",
    "argsort_cells",
    "center_csiszar",
    "changing_number",
    "cross_entropy",
    "distributions",
    "divergence",
    "divergence_and_alpha_gradient",
    "divergence_and_gradient",
    "divergence_and_slopes",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_and_log_prob",
    "entropy_hvp",
    "gradient_in_place_of_the_input",
    "kth_neighbor",
    "linear_entropy",
    "mutual_information",
    "neighbor_sum",
    "order_two_entropy",
    "parallel_entropy",
    "power_divergence",
    "search_choice",
    "sort_gaps",
    "take_cells",
    "unless",
]
