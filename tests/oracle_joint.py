"""Measures of joint distributions by their definitions, in 80 digits, differentiated by differences of 1e-25."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import mpmath
import numpy as np
from oracle import DIGITS
from oracle_pairs import error

ORDERS = (0.0, 1e-17, 0.3, 0.5, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 2.0, 5.0, 20.0, math.inf)
STEP = mpmath.mpf(10) ** -25

__all__ = ["ORDERS", "Exact", "error", "exact", "joints"]


class Exact(NamedTuple):
    """The value, its derivatives in the order of the entries (None where p = 0 and they are not smooth) and in α."""

    value: float
    gradient: list
    alpha_gradient: float


def _shannon(weights):
    weights = list(weights)
    size = mpmath.fsum(weights)
    return -mpmath.fsum(w / size * mpmath.log(w / size) for w in weights if w > 0)


def _mutual_information_at_1(joint):
    row, column = map(mpmath.fsum, joint), map(mpmath.fsum, zip(*joint, strict=True))
    return _shannon(row) + _shannon(column) - _shannon(w for line in joint for w in line)


def _channel(joint, inputs):
    """Return the joint as inputs and conditional distributions, without the rows of zeros."""
    kept = [(q, [w / mpmath.fsum(line) for w in line]) for q, line in zip(inputs, joint, strict=True) if sum(line) > 0]
    size = mpmath.fsum(q for q, _ in kept)
    return [(q / size, line) for q, line in kept]


def sibson(joint, alpha):
    return _sibson(joint, [mpmath.fsum(line) for line in joint], alpha)


def _sibson(joint, inputs, alpha):
    known = _channel(joint, inputs)
    columns = range(len(joint[0]))
    if alpha == 0:
        return -mpmath.log(max(mpmath.fsum(q for q, line in known if line[y] > 0) for y in columns))
    if alpha == 1:
        return _mutual_information_at_1([[q * w for w in line] for q, line in known])
    if alpha == math.inf:
        return mpmath.log(mpmath.fsum(max(line[y] for _, line in known) for y in columns))
    sums = [mpmath.fsum(q * line[y] ** alpha for q, line in known if line[y] > 0) for y in columns]
    return alpha / (alpha - 1) * mpmath.log(mpmath.fsum(s ** (1 / alpha) for s in sums))


def _renyi(weights, alpha):
    size = mpmath.fsum(weights)
    p = [w / size for w in weights if w > 0]
    if alpha == 1:
        return _shannon(p)
    if alpha == math.inf:
        return -mpmath.log(max(p))
    return mpmath.log(mpmath.fsum(w**alpha for w in p)) / (1 - alpha)


def conditional(joint, alpha):
    columns = [column for column in zip(*joint, strict=True) if sum(column) > 0]
    size = mpmath.fsum(w for column in columns for w in column)
    if alpha == 0:
        return mpmath.log(max(sum(w > 0 for w in column) for column in columns))
    if alpha == 1:
        return mpmath.fsum(mpmath.fsum(column) / size * _shannon(column) for column in columns)
    if alpha == math.inf:
        return -mpmath.log(mpmath.fsum(max(column) for column in columns) / size)
    sums = [mpmath.fsum((w / size) ** alpha for w in column if w > 0) for column in columns]
    return alpha / (1 - alpha) * mpmath.log(mpmath.fsum(s ** (1 / alpha) for s in sums))


def arimoto(joint, alpha):
    return _renyi([mpmath.fsum(line) for line in joint], alpha) - conditional(joint, alpha)


FUNCTIONS = {"sibson": sibson, "arimoto": arimoto, "conditional": conditional}


def exact(name, joint, alpha, digits=DIGITS):
    # next to 0 a power 1/α, next to 1 a quotient 0/0 take as many digits as the step has zeros
    digits = 2 * digits if alpha in {0, 1} else digits
    with mpmath.workdps(digits):
        return _exact(name, tuple(tuple(map(float, line)) for line in joint), alpha, digits)


@functools.cache
def _exact(name, joint, alpha, digits):
    f = FUNCTIONS[name]
    joint = [[mpmath.mpf(w) for w in line] for line in joint]
    a = alpha if math.isinf(alpha) else mpmath.mpf(alpha)
    value = f(joint, a)
    gradient = []
    for x, line in enumerate(joint):
        for y, w in enumerate(line):

            def moved(step, x=x, y=y):
                there = [list(one) for one in joint]
                there[x][y] += step
                return f(there, a)

            alone = not any(one[y] for one in joint) or (name != "conditional" and not any(line))
            if w > 0:
                step = STEP * w
                change = moved(step) - moved(-step)
                # the last digits of what does not change
                gradient.append(change / (2 * step) if abs(change) > mpmath.mpf(10) ** (10 - digits) else mpmath.mpf(0))
            elif alpha <= 1 or alone:
                gradient.append(mpmath.mpf(0))
            else:
                gradient.append((moved(STEP) - value) / STEP if alpha >= 2 else None)
    if math.isinf(alpha):
        slope = mpmath.mpf(0)
    elif alpha == 0:
        slope = (f(joint, STEP) - value) / STEP
    else:
        step = STEP * min(a, 1)
        slope = (f(joint, a + step) - f(joint, a - step)) / (2 * step)
    return Exact(value, gradient, slope)


@functools.cache
def joints(dtype):
    """Return joint distributions of 4 × 5 by name; where two entries tie, the derivatives at α = ∞ are not smooth."""
    rng = np.random.default_rng(5)
    x, y, noise, wide = (
        rng.normal(size=(4, 1)),
        rng.normal(size=(1, 5)),
        rng.normal(size=(4, 5)),
        rng.normal(size=(4, 5)),
    )
    product = np.exp(x + y)
    holes = np.exp(noise) * (wide > -0.5)
    empty = np.exp(noise)
    empty[1] = 0
    empty[:, 3] = 0
    nearly = np.diag(np.exp(x[:, 0])) @ np.eye(4, 5) + 1e-9 * np.exp(noise)
    found = {
        "random": np.exp(noise),
        "wide": np.exp(6 * wide),
        "nearly independent": product * (1 + 1e-3 * noise),
        "nearer independent": product * (1 + (1e-8 if dtype == "float64" else 1e-5) * noise),
        "holes": holes,
        "empty row and column": empty,
        "nearly deterministic": nearly,
        "peaked": np.exp(noise) + 1e6 * (np.arange(20).reshape(4, 5) == 7),
        "one output for most": np.exp(noise) * np.where(np.arange(5) == 2, 1e6, 1),
        "one input for most": np.exp(noise) * np.where(np.arange(4) == 2, 1e6, 1)[:, None],
        "small": 1e-30 * np.exp(noise),
    }
    return {name: values.astype(dtype) for name, values in found.items()}
