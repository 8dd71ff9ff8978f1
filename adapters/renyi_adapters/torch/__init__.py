"""torch: derivatives by ``torch.autograd.Function``, which keeps the input alone, and on the CPU NumPy's blocks."""

from ._entropy import (
    entropy,
    entropy_and_alpha_gradient,
    entropy_and_gradient,
    entropy_hvp,
    gradient_in_place_of_the_input,
)

__all__ = [
    "entropy",
    "entropy_and_alpha_gradient",
    "entropy_and_gradient",
    "entropy_hvp",
    "gradient_in_place_of_the_input",
]
