"""What functions with several results return."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensor = Any

__all__ = ["EntropyAndLogProb"]


class EntropyAndLogProb(NamedTuple):
    """The entropy of each distribution, the log-probability of a given token of it, and its log-sum-exp."""

    entropy: Tensor
    log_prob: Tensor
    log_sum_exp: Tensor
