"""Values that other projects publish, and their re-derivation in high precision."""

from __future__ import annotations

import collections
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi

FUNCTIONS = {
    "renyi_entropy": renyi.entropy,
    "shannon_entropy": renyi.entropy,
    "hill_number": renyi.hill_number,
    "tsallis_entropy": renyi.tsallis_entropy,
}


def _weights(given):
    """Return what the library normalises: counts, weights, or probabilities written as fractions."""
    (values,) = (given[key] for key in ("counts", "weights", "probs") if key in given)
    return tuple(float(Fraction(v)) for v in values)


def _by_source():
    groups = collections.defaultdict(list)
    for value in json.loads(Path(__file__).with_name("known_values.json").read_text(encoding="utf-8"))["values"]:
        groups[value["source"], value["quantity"]].append(value)
    return groups


GROUPS = _by_source()


def _got(backend, value):
    """Return the library's value and the machine epsilon of the dtype that it has."""
    options = {} if value["log_base"] == "e" else {"base": float(value["log_base"])}
    alpha = 1.0 if value["quantity"] == "shannon_entropy" else float(value["order"])
    x = backend.asarray(np.asarray(_weights(value["input"])))
    got = backend.numpy(FUNCTIONS[value["quantity"]](x, alpha, **options))
    return float(got), float(np.finfo(got.dtype).eps)


def _wrong(backend, group, tolerance):
    """Return the values that are further off than their tolerance, to be shown when the test fails."""
    found = []
    for value in GROUPS[group]:
        got, eps = _got(backend, value)
        want, allowed = tolerance(value, eps)
        if not math.isclose(got, want, rel_tol=0.0, abs_tol=allowed):
            found.append((value["file"], value["quantity"], value["order"], value["input"], want, got, allowed))
    return found


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_published_values_are_met_to_the_digits_given(backend, group):
    bound = backend.bounds["float32"][0]

    def published(value, eps):
        # float32 cannot hold the digits of a float64 value
        digits = bound * eps * abs(value["expected"]) if backend.dtypes == ("float32",) else 0.0
        return value["expected"], max(value["tol_abs"], digits)

    assert not _wrong(backend, group, published)


@pytest.mark.parametrize("group", GROUPS, ids=" ".join)
def test_rederived_values_are_met_to_the_bound_of_the_dtype(backend, group):
    bound = backend.bounds[backend.dtypes[-1]][0]

    def rederived(value, eps):
        want = float(value["mpmath_check"])
        return want, bound * eps * abs(want)

    assert not _wrong(backend, group, rederived)
