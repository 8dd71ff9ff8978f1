"""torch: derivatives by ``torch.autograd.Function``, on the CPU NumPy's blocks, on CUDA Triton's kernels."""

from ._entropy import (
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_hvp,
    gradient_in_place_of_the_input,
)
from ._statistics import EntropyAndLogProb, entropy_and_log_prob

__all__ = [
    "EntropyAndLogProb",
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_and_log_prob",
    "entropy_hvp",
    "gradient_in_place_of_the_input",
]
