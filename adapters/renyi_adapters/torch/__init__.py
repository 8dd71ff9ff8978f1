"""torch: derivatives by ``torch.autograd.Function``, on the CPU NumPy's blocks, on CUDA Triton's kernels."""

from ._divergence import divergence
from ._entropy import (
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_hvp,
    gradient_in_place_of_the_input,
)
from ._linear import linear_entropy
from ._modules import EntropyRegularizer, TargetEntropyWeight
from ._parallel import parallel_entropy
from ._results import EntropyAndLogProb
from ._statistics import entropy_and_log_prob

__all__ = [
    "EntropyAndLogProb",
    "EntropyRegularizer",
    "TargetEntropyWeight",
    "divergence",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_and_log_prob",
    "entropy_hvp",
    "gradient_in_place_of_the_input",
    "linear_entropy",
    "parallel_entropy",
]
