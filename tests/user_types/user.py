"""What a user's type checker is told: read by mypy and pyright with the wheel installed, and run as well.

Nothing here is Any by mistake: each ``assert_type`` fails where the type is another one, Any included.
"""

import math
from typing import Any, assert_type

import array_api_strict
import numpy as np
import numpy.typing as npt
from array_api_strict._array_object import Array as Strict

import renyi_core as renyi
from renyi_core.regularizers import BalanceTerm, EntropyBonus

Floats = npt.NDArray[np.float64]


def loss(logits: Floats) -> Floats:
    """A function of one's own passes the type on: no cast is needed, and none is warned of."""
    return -0.1 * renyi.entropy_from_logits(logits, 2.0)


# what is said of the shape of the probabilities is not said of that of the entropies
probs = np.ones((3, 4)) / 4
logits: Floats = np.log(probs)
assert_type(renyi.entropy(probs, 2.0), Floats)
assert_type(renyi.entropy(probs, 1, axis=0, base=2, keepdims=True), Floats)
assert_type(renyi.entropy(probs, math.inf, where=probs > 0), Floats)
assert_type(renyi.entropy(probs, np.asarray([0.5, 1.0, 2.0])), Floats)
assert_type(renyi.entropy_spectrum(probs, [0.0, 1.0, math.inf]), Floats)
assert_type(renyi.divergence(probs, probs[::-1], 0.5), Floats)
assert_type(renyi.mutual_information(probs / 3.0, 1.0, kind="arimoto"), Floats)
assert_type(renyi.gaussian_entropy(np.eye(2), 2.0), Floats)
assert_type(renyi.regularized_argmax(logits, 1.5, 0.1), Floats)
assert_type(renyi.check_probabilities(probs), Floats)
assert_type(renyi.entropy(probs.astype(np.float32), 2.0), npt.NDArray[np.float32])
assert_type(loss(logits), Floats)
(rows,) = renyi.entropy(probs, 2.0).shape
assert rows == 3

value, gradient = renyi.value_and_grad(renyi.entropy)(probs, 2.0)
assert_type(value, Floats)
assert_type(gradient, Floats)
assert_type(renyi.grad(renyi.entropy, wrt="alpha")(probs, 2.0, cotangent=0.1), Floats)
assert_type(renyi.hvp(renyi.entropy_from_logits)(logits, 2.0, vector=np.ones(4)), Floats)

term = EntropyBonus(alpha=2.0, weight=0.01)
assert_type(term, EntropyBonus)
assert_type(EntropyBonus(2.0, 0.01), EntropyBonus)
assert_type(term(logits), Floats)
assert_type((term + BalanceTerm(weight=0.1))(logits, where=probs > 0), Floats)

# of any library
strict = array_api_strict.ones((3, 4))
assert_type(renyi.entropy_from_logits(strict, 2.0), Strict)

# counts may be integers where estimates are not: Any, on purpose
estimate = renyi.entropy_from_counts(np.asarray([3, 1]), 2.0)
assert_type(estimate.value, Any)
