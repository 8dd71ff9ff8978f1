"""What is fuzzed: random input for every function of arrays, in any layout of memory."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

import renyi_core as renyi
from renyi_core import regularizers

ALPHAS = (0.0, 1e-3, 0.5, 0.9, 1 - 1e-12, 1.0, 1 + 1e-10, 1.1, 1.7, 2.0, 3.0, 4.0, 20.0, 1e4, math.inf)
# for what is found by a search, or is of a full matrix
MODERATE = (0.5, 0.9, 1.0, 1.5, 2.0, 4.0)
# at orders below 1 the smallest eigenvalues count, which are of the order of the rounding of the largest
OF_EIGENVALUES = (1.0, 1.5, 2.0, 4.0, math.inf)
ROWS = ("flat", "nearly flat", "normal", "wide", "peaked", "near-deterministic", "masked", "one alive", "tied", "tail")


def logits_row(kind, n, rng, dtype):
    """Return a row of logits of a kind."""
    noise = rng.normal(size=n)
    if kind == "flat":
        return np.full(n, rng.normal())
    if kind == "nearly flat":
        return rng.normal() + noise * 10.0 ** rng.uniform(-9 if dtype == "float64" else -5, -1)
    if kind == "wide":
        return 30 * noise
    if kind == "tied":
        return np.round(noise)
    if kind == "tail":
        return np.where(np.arange(n) == rng.integers(n), 0.0, -rng.uniform(20, 80, n))
    row = noise.copy()
    if kind == "peaked":
        row[rng.integers(n)] = 9.0
    if kind == "near-deterministic":
        row = row - 27
        row[rng.integers(n)] = 0.0
    alive = rng.integers(n)
    if kind == "masked":
        row[rng.random(n) < 0.5] = -np.inf
        row[alive] = noise[alive]
    if kind == "one alive":
        row[np.arange(n) != alive] = -np.inf
    return row


def logits(rng, shape, kinds, dtype):
    """Return rows of these kinds, in turn."""
    count = math.prod(shape[:-1])
    rows = [logits_row(kinds[k % len(kinds)], shape[-1], rng, dtype) for k in range(count)]
    return np.reshape(np.asarray(rows, dtype=dtype), shape)


def probs(rng, shape, kinds, dtype):
    """Return the exponentials of logits, not normalized, without subnormal numbers."""
    z = logits(rng, shape, kinds, "float64" if dtype == "float64" else "float32").astype(np.float64)
    p = np.exp(z - z.max(axis=-1, keepdims=True)) * 2.0 ** rng.integers(-3, 3)
    return np.where(p < np.finfo(dtype).tiny, 0, p).astype(dtype)


class Spec(NamedTuple):
    """A function, how its arrays are made, with respect to what it has derivatives, which axes may be permuted.

    ``axes`` are those of the first array, along which a permutation changes nothing but the order of its gradient's
    entries; ``own`` is how many of its last axes belong to one result. ``bound`` is in units of the dtype's eps of the
    result plus a ``floor``: of what it is a sum of terms of both signs.
    """

    f: Any
    make: Any
    wrt: tuple = (0, "alpha")
    axes: tuple[int, ...] = (-1,)
    own: int = 1
    alphas: tuple[float, ...] = ALPHAS
    bound: float = 64
    entry: bool = True
    floor: Any = None
    options: Any = None


def _one(make):
    return lambda rng, batch, n, kinds, dtype: (make(rng, (*batch, n), kinds, dtype),)


def pairs_of(make):
    def pair(rng, batch, n, kinds, dtype):
        one = make(rng, (*batch, n), kinds, dtype)
        other = make(rng, (*batch, n), kinds[::-1], dtype)
        # what P has, Q has as well, but now and then
        if rng.random() < 0.8:
            other = np.where(other == (0 if make is probs else -np.inf), one, other)
        return one, other

    return pair


def _sets(rng, batch, n, kinds, dtype):
    return (probs(rng, (*batch, 3, n), kinds, dtype),)


def _scores(rng, batch, n, kinds, dtype):
    # entries that are neither far apart nor so close that the support is a matter of rounding
    x = rng.normal(size=(*batch, n)) * rng.choice([0.5, 3.0])
    x[rng.random(x.shape) < 0.2] = -np.inf
    x[..., 0] = rng.normal(size=batch)
    return (x.astype(dtype),)


def _grams(count):
    def make(rng, batch, n, kinds, dtype):
        found = []
        for _ in range(count):
            a = rng.normal(size=(*batch, n, n + 2))
            found.append((a @ np.swapaxes(a, -1, -2)).astype(dtype))
        return tuple((g + np.swapaxes(g, -1, -2)) / 2 for g in found)

    return make


def _samples(rng, batch, n, kinds, dtype):
    return (rng.normal(size=(*batch, n + 4, 2)).astype(dtype),)


def _nothing(value, alpha):
    return 0.0


def _own_value(value, alpha):
    """The derivative in α may vanish, and is as exact as the value."""
    return float(np.max(np.abs(value), initial=0, where=np.isfinite(value)))


def _one_and_value(value, alpha):
    """A sum of terms of both signs, of the order of 1."""
    return 1 + _own_value(value, alpha)


def _squares(value, alpha):
    """The derivative in α may vanish as the square of a distance, and is next to the square of a rounding then."""
    return 1e-7 * _own_value(value, alpha) ** 2


def _faint(value, alpha):
    """The derivatives may vanish, and digits are lost where α leaves next to nothing of all inputs but one."""
    return _own_value(value, alpha) / 16 + 1e-15


def _terms_of_jensen(value, alpha):
    """The derivative in α is as exact as J, and J where α > 1 as the entropies, which are of the order of 1."""
    value = np.max(np.abs(value), initial=0, where=np.isfinite(value))
    # J is 0 at α = 0 where all have the same outcomes
    return float(value if np.max(alpha) <= 1 else value + 1) + 1e-10


ENTROPIES = {
    f"{name}{suffix}": Spec(getattr(renyi, name + suffix), _one(make))
    for name in ("entropy", "hill_number", "tsallis_entropy")
    for suffix, make in (("", probs), ("_from_logits", logits))
}
PAIRS = {
    f"{name}{suffix}": Spec(
        getattr(renyi, name + suffix),
        pairs_of(make),
        wrt=(0, 1, "alpha"),
        bound=512,
        axes=(),
        floor=_own_value if name == "alpha_divergence" else _nothing,
    )
    for name in ("divergence", "tsallis_divergence", "alpha_divergence", "cross_entropy")
    for suffix, make in (("", probs), ("_from_logits", logits))
}
OTHERS = {
    "regularized_max": Spec(renyi.regularized_max, _scores, alphas=MODERATE, bound=256),
    "regularized_argmax": Spec(renyi.regularized_argmax, _scores, alphas=MODERATE, bound=4096, entry=False),
    "jensen_divergence": Spec(renyi.jensen_divergence, _sets, axes=(-1, -2), own=2, bound=1024, floor=_terms_of_jensen),
    "mutual_information": Spec(renyi.mutual_information, _sets, axes=(-1, -2), own=2, bound=1024, floor=_squares),
    "mutual_information, Arimoto": Spec(
        renyi.mutual_information,
        _sets,
        axes=(-1, -2),
        own=2,
        # its inputs are a power of a rounded marginal
        alphas=tuple(alpha for alpha in ALPHAS if alpha != 1e4),
        bound=1024,
        floor=_faint,
        options={"kind": "arimoto"},
    ),
    "mutual_information, Csiszár": Spec(
        renyi.mutual_information, _sets, axes=(-1, -2), own=2, alphas=MODERATE, bound=1024, options={"kind": "csiszar"}
    ),
    "conditional_entropy": Spec(renyi.conditional_entropy, _sets, axes=(-1, -2), own=2, bound=1024),
    "gram_entropy": Spec(renyi.gram_entropy, _grams(1), axes=(), own=2, alphas=OF_EIGENVALUES, bound=4096),
    "vendi_score": Spec(renyi.vendi_score, _grams(1), axes=(), own=2, alphas=OF_EIGENVALUES, bound=4096),
    "gram_joint_entropy": Spec(
        renyi.gram_joint_entropy, _grams(2), (0, 1, "alpha"), axes=(), own=2, alphas=OF_EIGENVALUES, bound=4096
    ),
    "kernel_entropy": Spec(renyi.kernel_entropy, _samples, axes=(-2,), own=2, alphas=OF_EIGENVALUES, bound=4096),
    "particle_entropy": Spec(
        renyi.particle_entropy,
        _samples,
        axes=(-2, -1),
        own=2,
        alphas=(0.5, 0.9, 1.0, 1.5, 2.0),
        bound=1024,
        floor=_one_and_value,
    ),
    "gaussian_entropy": Spec(
        functools.partial(renyi.gaussian_entropy), _grams(1), wrt=(), axes=(), own=2, alphas=MODERATE, bound=4096
    ),
}
TERMS = {
    "EntropyBonus": (regularizers.EntropyBonus(), logits),
    "EntropyBonus, rows": (regularizers.EntropyBonus(alpha=0.5, reduction="none"), logits),
    "EntropyFloor": (regularizers.EntropyFloor(target=0.5, relative=True), logits),
    "ConfidencePenalty": (regularizers.ConfidencePenalty(), logits),
    "LabelSmoothing": (regularizers.LabelSmoothing(), logits),
    "BalanceTerm": (regularizers.BalanceTerm(alpha=2.0), logits),
    "InformationTerm": (regularizers.InformationTerm(), logits),
    "sum": (regularizers.EntropyBonus(alpha=2.0, weight=0.3) + regularizers.BalanceTerm(weight=0.1), logits),
}


def _strided(x):
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, dtype=x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def _rows_strided(x):
    tall = np.full((3 * x.shape[0], *x.shape[1:]), np.nan, dtype=x.dtype)
    tall[::3] = x
    return tall[::3]


def _unaligned(x):
    room = np.empty(x.nbytes + 1, dtype=np.uint8)
    moved = room[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def _read_only(x):
    kept = x.copy()
    kept.flags.writeable = False
    return kept


LAYOUTS = {
    "plain": lambda x: x,
    "fortran": np.asfortranarray,
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "strided": _strided,
    "rows strided": _rows_strided,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
}
"""The same values as they may lie in NumPy's memory."""
