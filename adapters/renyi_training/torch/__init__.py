"""torch: modules of a loss, and entropies of heads, of tokens, and of logits that lie on several processes."""

from renyi_adapters.torch._entropy import gradient_in_place_of_the_input

from ._linear import linear_entropy
from ._modules import EntropyRegularizer, TargetEntropyWeight
from ._parallel import parallel_entropy
from ._results import EntropyAndLogProb
from ._statistics import entropy_and_log_prob
from ._terms import (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    JensenTerm,
    LabelSmoothing,
    SampledEntropyBonus,
)

__all__ = [
    "BalanceTerm",
    "ConfidencePenalty",
    "DivergenceTerm",
    "DiversityTerm",
    "EntropyAndLogProb",
    "EntropyBonus",
    "EntropyFloor",
    "EntropyRegularizer",
    "GaussianEntropyBonus",
    "InformationTerm",
    "JensenTerm",
    "LabelSmoothing",
    "SampledEntropyBonus",
    "TargetEntropyWeight",
    "entropy_and_log_prob",
    "gradient_in_place_of_the_input",
    "linear_entropy",
    "parallel_entropy",
]
