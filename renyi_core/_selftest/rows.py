"""The inputs: distributions of every shape that is hard for a formula, as Python numbers of the dtype."""

from __future__ import annotations

import functools
import math
import random
import struct

__all__ = ["EPS", "ORDERS", "QUICK_ORDERS", "TINY", "batches", "pairs", "rounded", "scores"]

ORDERS = (0.0, 0.01, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-12, 1.1, 1.7, 2.0, 5.0, 20.0, 1000.0, math.inf)
QUICK_ORDERS = (0.0, 0.5, 1 - 1e-12, 1.0, 2.0, 20.0, math.inf)
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
TINY = {"float32": 2.0**-126, "float64": 2.0**-1022}
LENGTH = 40


def rounded(value: float, dtype: str) -> float:
    """Return the number of the dtype that is nearest."""
    return float(struct.unpack("f", struct.pack("f", value))[0]) if dtype == "float32" else value


def _softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    total = math.fsum(weights)
    return [w / total for w in weights]


@functools.cache
def batches(dtype: str, source: str, *, quick: bool = False) -> list[dict[str, tuple[float, ...]]]:
    """Return rows by name, those of one length together, as logits or as probabilities of the dtype."""
    rng = random.Random(20261125)  # noqa: S311  inputs of a test

    def normal(scale: float, n: int = LENGTH) -> list[float]:
        return [rng.gauss(0, scale) for _ in range(n)]

    short = {
        "flat": [2.5] * LENGTH,
        "nearly flat": [1.5 + x for x in normal(1e-9 if dtype == "float64" else 1e-5)],
        "normal": normal(3),
        "wide": normal(30),
        "zipf": [-math.log(k) for k in range(1, LENGTH + 1)],
        "peaked": [9.0, *normal(1, LENGTH - 1)],
        "nearly deterministic": [0.0] + [-27.6 + x for x in normal(1, LENGTH - 1)],
        "masked": [-math.inf if rng.random() < 0.4 else x for x in normal(1)],
        "masked but one": [-math.inf] * (LENGTH - 1) + [3.0],
        "tied": [4.0] * 3 + normal(1, LENGTH - 13) + [1.0] * 10,
        "far tail": [0.0, -1.0] + [-rng.uniform(20, 80) for _ in range(LENGTH - 2)],
        "offset": [1e4 + round(4 * x) / 16 for x in normal(4)],
    }
    values = normal(2, 25)
    long = [values[k % 25] for k in range(20_000)]
    rng.shuffle(long)
    groups = [short, {"two": [0.3, -1.1]}, {"one category": [0.0]}]
    if not quick:
        groups.append({"20,000 outcomes": long, "20,000 flat": [0.0] * 20_000})
    # subnormal numbers have digits to lose in p/max p
    tiny = TINY[dtype]
    if source == "probs":
        groups = [
            {name: [p if p > tiny else 0.0 for p in _softmax(z)] for name, z in group.items()} for group in groups
        ]
    return [{name: tuple(rounded(x, dtype) for x in row) for name, row in group.items()} for group in groups]


@functools.cache
def pairs(dtype: str, source: str) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return two rows by name, close ones and distant ones, positive in the same places."""
    rng = random.Random(7)  # noqa: S311  inputs of a test
    n = 12
    base = [rng.gauss(0, 1.5) for _ in range(n)]
    # moved by units in the last place of numbers below 4
    unit = 2 * EPS[dtype]
    known = {
        "independent": (base, [rng.gauss(0, 1.5) for _ in range(n)]),
        "near": (base, [z + 1e-3 * rng.gauss(0, 1) for z in base]),
        "nearest": (base, [rounded(z, dtype) + unit * rng.randint(-9, 9) for z in base]),
        "masked": ([-math.inf if k % 3 == 0 else z for k, z in enumerate(base)],) * 2,
        "peaked apart": ([6.0, *base[1:]], [*base[:-1], 6.0]),
    }
    one, other = known["masked"]
    known["masked"] = one, [z + 0.25 * rng.gauss(0, 1) for z in other]
    convert = _softmax if source == "probs" else list
    return {
        name: (tuple(rounded(x, dtype) for x in convert(one)), tuple(rounded(x, dtype) for x in convert(other)))
        for name, (one, other) in known.items()
    }


@functools.cache
def scores(dtype: str) -> dict[str, tuple[float, ...]]:
    """Return scores by name, for a temperature of 0.75."""
    rng = random.Random(11)  # noqa: S311  inputs of a test
    known = {
        "normal": [rng.gauss(0, 1) for _ in range(6)],
        "sparse": [rng.gauss(0, 5) for _ in range(6)],
        "nearly equal": [3 + 1e-4 * rng.gauss(0, 1) for _ in range(6)],
        "ties": [1.0, 1.0, 0.25, 0.25, -1.0, -1.0],
    }
    return {name: tuple(rounded(x, dtype) for x in row) for name, row in known.items()}
