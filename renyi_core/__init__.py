"""Rényi entropy, its relatives and their analytic gradients, exact at every order, on any array library."""

import sys
from typing import TYPE_CHECKING, NoReturn

from . import monitoring, regularizers, schedules
from ._checking import checking
from ._config import show_config
from ._dispatch import agnostic_only, register_adapter
from ._other_names import no_such_name
from .bounds import entropy_bounds_from_top
from .checks import check_probabilities
from .choice import regularized_argmax, regularized_max
from .cross_entropy import cross_entropy, cross_entropy_from_logits
from .densities import exponential_entropy, laplace_entropy, uniform_entropy
from .dirichlet import beta_entropy, dirichlet_entropy, gamma_entropy
from .divergence import divergence, divergence_from_logits
from .diversity import gram_entropy, gram_joint_entropy, gram_mutual_information, vendi_score
from .entropy import (
    entropy,
    entropy_from_logits,
    hill_number,
    hill_number_from_logits,
    tsallis_entropy,
    tsallis_entropy_from_logits,
)
from .estimators import EntropyEstimate, entropy_from_counts, entropy_from_log_prob
from .gaussian import gaussian_divergence, gaussian_entropy
from .gradients import grad, hvp, value_and_grad
from .information import conditional_entropy, maximal_leakage, mutual_information
from .jensen import jensen_divergence, jensen_divergence_from_logits
from .masks import high_entropy_mask, nucleus_mask
from .monitoring import Summary, summary
from .particles import particle_entropy, particle_mutual_information, particle_reward
from .power_divergence import (
    alpha_divergence,
    alpha_divergence_from_logits,
    tsallis_divergence,
    tsallis_divergence_from_logits,
)
from .samples import kernel_entropy
from .spectrum import entropy_spectrum, entropy_spectrum_from_logits
from .tanh_gaussian import tanh_gaussian_entropy
from .truncated_gaussian import truncated_gaussian_entropy

__version__ = "0.1.0"

__all__ = [
    "EntropyEstimate",
    "Summary",
    "agnostic_only",
    "alpha_divergence",
    "alpha_divergence_from_logits",
    "beta_entropy",
    "check_probabilities",
    "checking",
    "conditional_entropy",
    "cross_entropy",
    "cross_entropy_from_logits",
    "dirichlet_entropy",
    "divergence",
    "divergence_from_logits",
    "entropy",
    "entropy_bounds_from_top",
    "entropy_from_counts",
    "entropy_from_log_prob",
    "entropy_from_logits",
    "entropy_spectrum",
    "entropy_spectrum_from_logits",
    "exponential_entropy",
    "gamma_entropy",
    "gaussian_divergence",
    "gaussian_entropy",
    "grad",
    "gram_entropy",
    "gram_joint_entropy",
    "gram_mutual_information",
    "high_entropy_mask",
    "hill_number",
    "hill_number_from_logits",
    "hvp",
    "jensen_divergence",
    "jensen_divergence_from_logits",
    "kernel_entropy",
    "laplace_entropy",
    "maximal_leakage",
    "monitoring",
    "mutual_information",
    "nucleus_mask",
    "particle_entropy",
    "particle_mutual_information",
    "particle_reward",
    "register_adapter",
    "regularized_argmax",
    "regularized_max",
    "regularizers",
    "schedules",
    "show_config",
    "summary",
    "tanh_gaussian_entropy",
    "truncated_gaussian_entropy",
    "tsallis_divergence",
    "tsallis_divergence_from_logits",
    "tsallis_entropy",
    "tsallis_entropy_from_logits",
    "uniform_entropy",
    "value_and_grad",
    "vendi_score",
]

# type checkers would take any name for one that is there
if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        module = sys.modules[__name__]
        msg = no_such_name(name, module, (regularizers, schedules, monitoring))
        raise AttributeError(msg, name=name, obj=module)
