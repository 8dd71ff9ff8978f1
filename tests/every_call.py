"""Every public function of arrays, and its derivatives, as calls without arguments: for tests of what holds of all."""

from __future__ import annotations

import functools
import math

import numpy as np
from array_api_compat import array_namespace

import renyi_core as renyi
from renyi_core import regularizers
from renyi_core._rules import _rules
from renyi_core.schedules import dual_ascent

ORDERS = (0.0, 0.5, 0.9, 1.0, 1 + 1e-12, 1.7, 2.0, 3.0, 20.0, math.inf)
NO_CALLS = {
    *("EntropyEstimate", "Summary", "agnostic_only", "checking", "grad", "hvp", "monitoring", "register_adapter"),
    *("show_config", "regularizers", "schedules", "value_and_grad"),
}
"""Public names that are no functions of arrays."""
ARGUMENTS = {
    "alpha_divergence": ("probs", "other_probs"),
    "alpha_divergence_from_logits": ("logits", "other_logits"),
    "beta_entropy": ("shapes", "shapes"),
    "cross_entropy": ("probs", "other_probs"),
    "cross_entropy_from_logits": ("logits", "other_logits"),
    "dirichlet_entropy": ("shapes",),
    "divergence": ("probs", "other_probs"),
    "divergence_from_logits": ("logits", "other_logits"),
    "entropy_bounds_from_top": ("log_probs",),
    "entropy_from_counts": ("counts",),
    "entropy_from_log_prob": ("logits",),
    "exponential_entropy": ("scale",),
    "gamma_entropy": ("shapes", "scale"),
    "gaussian_divergence": ("mean", "covariance", "mean", "other_covariance"),
    "gaussian_entropy": ("covariance",),
    "gram_entropy": ("covariance",),
    "gram_joint_entropy": ("covariance", "other_covariance"),
    "gram_mutual_information": ("covariance", "other_covariance"),
    "high_entropy_mask": ("scores",),
    "kernel_entropy": ("points",),
    "laplace_entropy": ("scale",),
    "nucleus_mask": ("logits",),
    "particle_entropy": ("points",),
    "particle_mutual_information": ("points", "other_logits"),
    "particle_reward": ("points",),
    "regularized_argmax": ("scores",),
    "regularized_max": ("scores",),
    "summary": ("logits",),
    "tanh_gaussian_entropy": ("scores", "scale"),
    "truncated_gaussian_entropy": ("scores", "scale", "low", "high"),
    "tsallis_divergence": ("probs", "other_probs"),
    "tsallis_divergence_from_logits": ("logits", "other_logits"),
    "uniform_entropy": ("scale",),
    "vendi_score": ("covariance",),
}
"""Of the others: logits where the name ends so, else probabilities."""
WITHOUT_ORDER = {
    *("check_probabilities", "high_entropy_mask", "maximal_leakage", "nucleus_mask"),
    "particle_mutual_information",
}
SPECTRA = {"entropy_spectrum", "entropy_spectrum_from_logits", "summary"}
OPTIONS = {
    "check_probabilities": [{"tolerance": 1e308}],
    "entropy_bounds_from_top": [{"n": 10**6}],
    "high_entropy_mask": [{"share": 0.2}],
    "mutual_information": [{"kind": kind} for kind in ("sibson", "arimoto", "csiszar")],
    "nucleus_mask": [{"mass": 0.8}],
    "particle_mutual_information": [{"k": 2}],
    "particle_reward": [{"k": 2}],
}
TERMS = {
    "BalanceTerm": ("logits",),
    "ConfidencePenalty": ("logits",),
    "DivergenceTerm": ("logits", "other_logits"),
    "DiversityTerm": ("points",),
    "EntropyBonus": ("logits",),
    "EntropyFloor": ("logits",),
    "GaussianEntropyBonus": ("scores",),
    "InformationTerm": ("logits",),
    "JensenTerm": ("logits", "other_logits"),
    "LabelSmoothing": ("logits",),
    "SampledEntropyBonus": ("logits",),
}
CONTENTS = ("plain", "masked", "tiny", "huge")


@np.errstate(all="ignore")
def inputs(content, dtype="float64", shape=(6, 7), seed=0):
    """Return the arrays that the functions are called with; ``content`` says what numbers they hold."""
    rng = np.random.default_rng(seed)
    logits, other_logits, scores = 3 * rng.normal(size=(3, *shape))
    tiny, huge = (float(getattr(np.finfo(dtype), name)) for name in ("smallest_subnormal", "max"))
    if content == "masked":
        logits[:, ::3] = other_logits[:, ::2] = -np.inf
        logits[0] = other_logits[0] = -np.inf
        logits[1], logits[2, 1] = np.nan, np.inf
    probs, other_probs, scale = np.exp(logits), np.exp(other_logits), np.exp(rng.normal(size=shape))
    if content == "tiny":
        logits, other_logits, scores = 1e3 * logits, 1e3 * other_logits, scores * tiny
        probs[:, 1:] = probs[0] = other_probs[::2] = scale[::2] = tiny
    if content == "huge":
        logits, other_logits, scores = (np.sign(x) * huge / n for x, n in ((logits, 1), (other_logits, 2), (scores, 4)))
        probs, other_probs = np.full(shape, huge / 8), np.where(other_probs > 1, huge, tiny)
        scale[::2] = huge
    matrix = rng.normal(size=(shape[-1], shape[-1]))
    found = {"logits": logits, "other_logits": other_logits, "probs": probs, "other_probs": other_probs}
    # below 1 the entropies of large orders are infinite
    found["shapes"] = 1 + scale if content == "plain" else scale
    found |= {"low": scores - scale, "high": scores + scale}
    found |= {"scale": scale, "scores": scores, "points": scores, "mean": scores[0]}
    found |= {"covariance": matrix @ matrix.T + np.eye(len(matrix)), "other_covariance": np.eye(len(matrix)) * scale[0]}
    # half of the probability, of the likeliest outcomes
    found["log_probs"] = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True) - np.log(2)
    found["counts"] = probs if content in {"tiny", "huge"} else np.floor(10 * np.abs(rng.normal(size=shape)))
    return {name: values.astype(dtype) for name, values in found.items()}


def _orders(name, options, orders):
    """Return the orders that the function takes."""
    if name in WITHOUT_ORDER:
        return orders[:1]
    if options.get("kind") == "csiszar":
        return [alpha for alpha in orders if 0.25 <= alpha <= 16]
    if name == "particle_reward":
        return [alpha for alpha in orders if 0 < alpha < 1]
    return [alpha for alpha in orders if alpha < 3] if name == "particle_entropy" else orders


def _ones_like(x):
    return array_namespace(x).ones_like(x)


def arguments(name):
    """Return the names of the inputs that a public function takes by position."""
    return ARGUMENTS.get(name, ("logits" if name.endswith("_from_logits") else "probs",))


def of_function(name, arrays, orders=ORDERS):
    """Yield ``(label, call)`` for a public function, each of its derivatives and each order."""
    f = getattr(renyi, name)
    given = [arrays[argument] for argument in arguments(name)]
    rule = _rules.get(f)
    for options in OPTIONS.get(name, [{}]):
        for alpha in _orders(name, options, orders):
            order = () if name in WITHOUT_ORDER else ([alpha],) if name in SPECTRA else (alpha,)
            label = f"{name} {alpha} {options or ''}"
            yield label, functools.partial(f, *given, *order, **options)
            for wrt in rule.wrt if rule else ():
                more = {"weights": _ones_like(given[0][:, 0])} if wrt == "weights" else {}
                if name == "regularized_argmax":
                    more["cotangent"] = _ones_like(given[0])
                call = functools.partial(renyi.value_and_grad(f, wrt), *given, *order, **options, **more)
                yield f"{label} wrt {wrt}", call
            if rule and rule.hvp:
                yield f"{label} hvp", functools.partial(renyi.hvp(f), *given, *order, vector=_ones_like(given[0]))


def term(name, **options):
    """Return a term of a loss."""
    needed = {"target": 1.0} if name == "EntropyFloor" else {}
    return getattr(regularizers, name)(**needed, **options)


def of_term(name, arrays, orders=ORDERS):
    """Yield ``(label, call)`` for a term of a loss, each of its derivatives and each order."""
    given = [arrays[argument] for argument in TERMS[name]]
    for alpha in orders:
        one = term(name, **({"marginal_alpha": alpha} if name == "InformationTerm" else {"alpha": alpha}))
        yield f"{name} {alpha}", functools.partial(one, *given)
        yield f"2 of {name} {alpha}", functools.partial(one if len(given) > 1 else one + 0.5 * one, *given)
        for wrt in one.wrt:
            yield f"{name} {alpha} wrt {wrt}", functools.partial(renyi.value_and_grad(one, wrt), *given)


def of_training(arrays):
    """Yield ``(label, call)`` for what else takes arrays while training."""
    for alpha in (0.5, 1.0, 2.0):
        reward = regularizers.state_entropy_reward
        yield f"state_entropy_reward {alpha}", functools.partial(reward, arrays["counts"], alpha)
    yield "dual_ascent", functools.partial(dual_ascent, 0.0, arrays["logits"], target=1.0, rate=100.0)
    for schedule in (renyi.schedules.Exponential(1e-300, 1e300, 10), renyi.schedules.Harmonic(1, math.inf, 10)):
        yield repr(schedule), functools.partial(schedule, np.abs(arrays["scores"]))


NAMES = sorted(set(renyi.__all__) - NO_CALLS)


def calls(arrays, orders=ORDERS):
    """Yield ``(label, call)`` for all of these."""
    for name in NAMES:
        yield from of_function(name, arrays, orders)
    for name in TERMS:
        yield from of_term(name, arrays, orders)
    yield from of_training(arrays)


def leaves(result):
    """Return the arrays of a result, as a list."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, tuple) else [result]


def same(one, other):
    """Whether two results are equal bit for bit."""
    pairs = zip(map(np.asarray, leaves(one)), map(np.asarray, leaves(other)), strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)
