"""CuPy: the entropy of logits and its gradient in CUDA kernels, which read the logits once for each.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._entropy import entropy, entropy_and_gradient

__all__ = ["entropy", "entropy_and_gradient"]
