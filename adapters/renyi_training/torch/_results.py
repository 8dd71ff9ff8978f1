"""What functions with several results return."""

from __future__ import annotations

from typing import Any, NamedTuple

Tensor = Any

__all__ = ["EntropyAndLogProb"]


class EntropyAndLogProb(NamedTuple):
    """The entropy of each distribution, the log-probability of a given token of it, and its log-sum-exp.

    ``log_prob`` is None where no tokens were given.
    """

    entropy: Tensor
    log_prob: Tensor | None
    log_sum_exp: Tensor
