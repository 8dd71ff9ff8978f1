"""Stable-Baselines3 and sb3-contrib: their algorithms with the Rényi entropy of order α in place of Shannon's.

Each is the library's own algorithm, whose ``train`` runs unchanged: the policy's action distribution alone is another,
which returns the entropy of order α where it is asked for an entropy, or by SAC and its kin for a log-probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    msg = "renyi_training.stable_baselines3 needs Stable-Baselines3: pip install 'renyi-core[sb3]'"
    raise ImportError(msg) from error

from ._algorithms import RenyiA2C, RenyiPPO, RenyiSAC
from ._entropies import distribution_entropy

if TYPE_CHECKING:
    from ._contrib import RenyiCrossQ, RenyiMaskablePPO, RenyiRecurrentPPO, RenyiTQC

__all__ = [
    "RenyiA2C",
    "RenyiCrossQ",
    "RenyiMaskablePPO",
    "RenyiPPO",
    "RenyiRecurrentPPO",
    "RenyiSAC",
    "RenyiTQC",
    "distribution_entropy",
]


def __getattr__(name: str) -> Any:
    """Import sb3-contrib when one of its algorithms is asked for."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        from . import _contrib
    except ImportError as error:
        msg = f"{name} needs sb3-contrib: pip install 'renyi-core[sb3-contrib]'"
        raise ImportError(msg) from error
    return getattr(_contrib, name)
