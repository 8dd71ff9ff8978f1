"""Values from the tests and the runs of other projects: each is met, or differs for the reason that stands beside it.

``order`` is α, ``input`` an index into the arrays; ``source`` names the project, its version and the test.
"""

from __future__ import annotations

import collections
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import digamma

import renyi_core as renyi

BACKENDS = ("numpy",)

PEERS = json.loads(Path(__file__).with_name("peer_cases.json").read_text(encoding="utf-8"))
CASES = collections.defaultdict(list)
for _case in PEERS["cases"]:
    CASES[_case["quantity"]].append(_case)


def _floats(values):
    if isinstance(values, list):
        return [_floats(value) for value in values]
    return float(values)


def _skew(p, q, alpha):
    return renyi.tsallis_divergence(p, q, alpha) - alpha / (1 - alpha) * renyi.tsallis_divergence(q, p, 1 - alpha)


def _from_uniform(p, alpha):
    return renyi.divergence(p, np.full_like(p, 1 / p.size), alpha) - (math.log(p.size) - renyi.entropy(p, alpha))


def _finite(p, q, alpha):
    gradients = [renyi.grad(renyi.divergence_from_logits, wrt)(p, q, alpha) for wrt in (0, 1)]
    return float(np.all(np.isfinite(gradients)))


def _from_counts(counts, alpha, estimator, **options):
    return renyi.entropy_from_counts(counts, alpha, estimator=estimator, **options).value


def _particle_tsallis(samples, alpha, **options):
    return np.expm1((1 - alpha) * renyi.particle_entropy(samples, alpha, **options)) / (1 - alpha)


OF_OTHER_NAMES = {
    "counts_corrected": lambda n, alpha, **options: _from_counts(n, alpha, "bias-corrected", **options),
    "counts_hill_unbiased": lambda n, alpha: np.exp(_from_counts(n, alpha, "unbiased")),
    "counts_plugin": lambda n, alpha, **options: _from_counts(n, alpha, "plug-in", **options),
    "entropy_grad_logits": renyi.grad(renyi.entropy_from_logits),
    "finite:kl_grad_logits": _finite,
    # Amari's a is 1 − 2α: a → −a exchanges P and Q, and is α → 1 − α
    "identity:alpha_symmetry": lambda p, q, a: (
        renyi.alpha_divergence(p, q, (1 - a) / 2) - renyi.alpha_divergence(q, p, (1 + a) / 2)
    ),
    "identity:self_cross_entropy": lambda p, alpha: renyi.cross_entropy(p, p, alpha) - renyi.entropy(p, alpha),
    "identity:skew_divergence": _skew,
    "identity:uniform_divergence": _from_uniform,
    "maximal_leakage": lambda joint, _, **options: renyi.maximal_leakage(joint, **options),
    "min_entropy_dominance": lambda n, alpha: np.exp(-renyi.entropy(n, alpha)),
    "particle_tsallis": _particle_tsallis,
    "pielou": lambda n, alpha: renyi.entropy(n, alpha) / renyi.entropy(n, 0),
    "positive:divergence": lambda p, q, alpha: float(renyi.divergence(p, q, alpha) > 0),
    "positive:tsallis_divergence": lambda p, q, alpha: float(renyi.tsallis_divergence(p, q, alpha) > 0),
    "simpson_e": lambda n, alpha: renyi.hill_number(n, alpha) / n.size,
}


def _call(case):
    """Return what the library gives, the arrays of the case and its options."""
    options = dict(case.get("kwargs", {}))
    dtype = options.pop("dtype", "float64")
    arrays = [np.asarray(_floats(array), dtype) for array in PEERS["inputs"][case["input"]]]
    alpha = None if case["order"] is None else float(case["order"])
    if "weights" in options:
        options["weights"] = np.asarray(options["weights"])
    name = case["quantity"].removeprefix("raises:")
    function = OF_OTHER_NAMES.get(name) or getattr(renyi, name)
    return np.asarray(function(*arrays, alpha, **options)), arrays, options


def _expected(case, arrays, options):
    """Return the peer's value, or what it becomes by the reason for which it differs, from the definition."""
    want, alpha, note = np.asarray(_floats(case["expected"])), case["order"], case.get("note", "")
    if "psi(N)" in note:
        n = len(arrays[0])
        return want + (math.log(n - 1) - digamma(n)) / math.log(options["base"])
    if "does not normalize" in note:
        return want + math.log(arrays[0].sum())
    if "zero eigenvalues" in note:
        values = np.linalg.eigvalsh(arrays[0] / len(arrays[0]))
        return np.sum(values[values > 1e-12] ** alpha) ** (1 / (1 - alpha))
    if "special order" in note:
        p, q = arrays
        return np.sum(p * np.log(p / q))
    return want


def _objective(p, scores, alpha, temperature):
    return p @ scores + temperature * renyi.entropy(p, alpha)


@pytest.mark.parametrize("quantity", sorted(q for q in CASES if not q.startswith("raises:")))
def test_the_values_of_peers_are_met_or_differ_for_their_reason(quantity):
    wrong = []
    for case in CASES[quantity]:
        note = case.get("note", "")
        if "negative orders" in note or "empty input" in note:
            with pytest.raises(ValueError, match="`alpha`" if "negative" in note else "no entries"):
                _call(case)
            continue
        got, arrays, options = _call(case)
        want = _expected(case, arrays, options)
        tolerance = {"rtol": case["tol"] if case["rel"] else 0.0, "atol": 0.0 if case["rel"] else case["tol"]}
        met = got.shape == want.shape and np.allclose(got, want, equal_nan=True, **tolerance)
        if not met and "stationary point" in note:
            scores, rest = arrays[0], (case["order"], options["temperature"])
            met = _objective(got, scores, *rest) > _objective(want, scores, *rest)
        # a reason that explains no difference has gone stale
        peer = np.asarray(_floats(case["expected"]))
        stale = note and "stationary point" not in note and np.allclose(got, peer, rtol=1e-12, atol=0.0, equal_nan=True)
        if not met or stale:
            wrong.append((case["id"], case["source"], case["order"], got, want, note))
    assert not wrong


@pytest.mark.parametrize("quantity", sorted(q for q in CASES if q.startswith("raises:")))
def test_what_peers_refuse_is_refused(quantity):
    for case in CASES[quantity]:
        if "refuses order 0" in case.get("note", ""):
            # the limit: −log of the largest share of the inputs that an output is possible for
            assert _call(case)[0] == 0
        else:
            with pytest.raises(ValueError, match="`base`" if case.get("kwargs") else "`alpha`"):
                _call(case)


def test_all_values_are_there():
    assert sum(map(len, CASES.values())) == 704
