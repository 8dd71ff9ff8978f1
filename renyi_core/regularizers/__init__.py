"""Terms of a loss: small immutable callables over arrays of any library.

A term is made once, with its order, coefficient and reduction, and returns what is to be *added* to a loss: bonuses
come with a minus sign. ``renyi_core.value_and_grad(term)`` gives the analytic gradient, with no automatic
differentiation; that of torch and JAX goes through the terms as well. Terms add up, and a number times a term scales
its weight::

    term = EntropyBonus(alpha=2.0, weight=0.01) + 0.1 * BalanceTerm()
    loss = task_loss + term(logits)

``weight`` and ``alpha`` may be arrays of the library of the input, for schedules under ``jax.jit``; they can be given
at the call as well, ``term(logits, weight=beta)``, or by ``term.replace(weight=beta)``.
"""

from ._batch import BalanceTerm, InformationTerm
from ._continuous import GaussianEntropyBonus, SampledEntropyBonus, state_entropy_reward
from ._divergence import ConfidencePenalty, DivergenceTerm, JensenTerm, LabelSmoothing
from ._diversity import DiversityTerm
from ._entropy import EntropyBonus, EntropyFloor
from ._term import Term, TermSum

__all__ = [
    "BalanceTerm",
    "ConfidencePenalty",
    "DivergenceTerm",
    "DiversityTerm",
    "EntropyBonus",
    "EntropyFloor",
    "GaussianEntropyBonus",
    "InformationTerm",
    "JensenTerm",
    "LabelSmoothing",
    "SampledEntropyBonus",
    "Term",
    "TermSum",
    "state_entropy_reward",
]
