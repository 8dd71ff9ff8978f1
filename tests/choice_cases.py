"""What the tests of regularized choices share."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

argmax, largest = renyi.regularized_argmax, renyi.regularized_max


def not_compiled(backend):
    if backend.compiles:
        pytest.skip("compiled for each case: the orders in an array, masks and bad rows are run there")


def value(p, scores, alpha, temperature):
    """Return the objective of distributions in rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if alpha == 1:
            entropy = -np.sum(np.where(p > 0, p * np.log(p), 0), -1)
        elif alpha == math.inf:
            entropy = -np.log(np.max(p, -1))
        else:
            top = np.max(p, -1, keepdims=True)
            powers = np.where(p > 0, (p / top) ** alpha, 0)
            entropy = (np.log(np.sum(powers, -1)) + alpha * np.log(top[..., 0])) / (1 - alpha)
    return p @ scores + temperature * entropy
