"""Dask: a partial state for each chunk, merged in a tree; nothing is computed.

Not for users: renyi_core calls it for arrays of this library.
"""

from ._entropy import entropy, entropy_and_gradient
from ._namespace import namespace
from ._neighbors import kth_neighbor, particle_reward
from ._rows import rows

__all__ = ["entropy", "entropy_and_gradient", "kth_neighbor", "namespace", "particle_reward", "rows"]
