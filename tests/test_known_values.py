"""Values that other projects publish, and their re-derivation in high precision."""

from __future__ import annotations

import collections
import functools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "jax:x32", "dask")

FUNCTIONS = {
    "renyi_entropy": renyi.entropy,
    "shannon_entropy": renyi.entropy,
    "hill_number": renyi.hill_number,
    "tsallis_entropy": renyi.tsallis_entropy,
    "renyi_divergence": renyi.divergence,
    "kl_divergence": renyi.divergence,
    "sibson_mutual_information": renyi.mutual_information,
    "arimoto_mutual_information": functools.partial(renyi.mutual_information, kind="arimoto"),
    "arimoto_conditional_entropy": renyi.conditional_entropy,
    "jensen_renyi_divergence": renyi.jensen_divergence,
    "gaussian_entropy": renyi.gaussian_entropy,
    "tanh_gaussian_entropy": functools.partial(renyi.tanh_gaussian_entropy, axis=-1),
    "gaussian_divergence": renyi.gaussian_divergence,
    "renyi_divergence_gaussian": functools.partial(renyi.gaussian_divergence, kind="diagonal"),
}
ENTROPIES = {"renyi_entropy", "shannon_entropy", "hill_number", "tsallis_entropy"}


def _arrays(given):
    """Return the arrays that a function takes, numbers or fractions in the file."""
    if "mean_shift" in given:
        variance = [given["sigma"] ** 2]
        rows = [[given["mean_shift"]], variance, [0.0], variance]
    else:
        rows = [row for row in given.values() if isinstance(row, list)]
    return [np.vectorize(lambda v: float(Fraction(v)))(np.asarray(row, dtype=object)) for row in rows]


def _by_source():
    groups = collections.defaultdict(list)
    for value in json.loads(Path(__file__).with_name("known_values.json").read_text(encoding="utf-8"))["values"]:
        groups[value["source"], value["quantity"]].append(value)
    return groups


GROUPS = _by_source()


@functools.cache
def _results(backend, group):
    """Return each value of a group with what the library makes of it, computed once for both tests."""
    exact = [v for v in GROUPS[group] if v["source"] != "definition" or _held(backend, v)]
    return [(value, *_got(backend, value)) for value in exact]


def _got(backend, value):
    """Return the library's value and the machine epsilon of the dtype that it has."""
    options = {} if value["log_base"] == "e" else {"base": float(value["log_base"])}
    alpha = 1.0 if value["quantity"] == "shannon_entropy" else float(value["order"])
    arrays = [backend.asarray(x) for x in _arrays(value["input"])]
    if value["quantity"] == "jensen_renyi_divergence":
        options["weights"] = arrays.pop()
    got = backend.numpy(FUNCTIONS[value["quantity"]](*arrays, alpha, **options))
    return float(got), float(np.finfo(got.dtype).eps)


def _held(backend, value):
    """Return whether the dtype holds the numbers that a value is exact for."""
    return all(np.all(x.astype(backend.dtypes[-1]) == x) for x in _arrays(value["input"]))


def _wrong(backend, group, tolerance):
    """Return the values that are further off than their tolerance, to be shown when the test fails."""
    if backend.variant == "x32" and group[1] not in {"renyi_entropy", "renyi_divergence"}:
        pytest.skip("a compilation each, of what runs with 64 bits and in float32 elsewhere")
    found = []
    for value, got, eps in _results(backend, group):
        want, allowed = tolerance(value, eps)
        if not math.isclose(got, want, rel_tol=0.0, abs_tol=allowed):
            found.append((value["file"], value["quantity"], value["order"], value["input"], want, got, allowed))
    return found


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_published_values_are_met_to_the_digits_given(backend, group):
    bound = backend.bounds["float32"][0]

    def published(value, eps):
        # float32 cannot hold the digits of a float64 value
        digits = bound * eps * abs(float(value["expected"])) if backend.dtypes == ("float32",) else 0.0
        return float(value["expected"]), max(value["tol_abs"], digits)

    assert not _wrong(backend, group, published)


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_rederived_values_are_met_to_the_bound_of_the_dtype(backend, group):
    def rederived(value, eps):
        bound = backend.bounds[backend.dtypes[-1]][0] if value["quantity"] in ENTROPIES else 64
        want = float(value["mpmath_check"])
        return want, bound * eps * abs(want)

    assert not _wrong(backend, group, rederived)
