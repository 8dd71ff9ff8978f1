"""The definitions in 80-digit decimal arithmetic: textbook formulas, with digits to spare for what they cancel."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import NamedTuple

__all__ = [
    "Exact",
    "choice",
    "cross_entropy",
    "derivative",
    "digits",
    "divergence",
    "entropy",
    "error",
    "log_determinant",
    "mutual_information",
]

ZERO, ONE = Decimal(0), Decimal(1)
CANCELED = Decimal(10) ** -45  # what is left of a difference that is 0
STEP = Decimal(10) ** -25


class Exact(NamedTuple):
    """A value, its gradients with respect to each array, its derivative with respect to α, and Σ p**α."""

    value: Decimal
    gradients: tuple[list[Decimal], ...]
    slope: Decimal
    power_sum: Decimal = ONE


@contextmanager
def digits() -> Iterator[None]:
    """Calculate with 80 digits, whatever the exponent."""
    with localcontext(Context(prec=80, Emin=MIN_EMIN, Emax=MAX_EMAX)):
        yield


def error(got: Iterable[float], want: Sequence[Decimal], eps: float) -> float:
    """Return the error relative to the norm of what is wanted, in units of eps; ∞ for what is not finite."""
    got = list(got)
    if len(got) != len(want) or not all(map(math.isfinite, got)):
        return math.inf
    want = [v if abs(v) > CANCELED else ZERO for v in want]
    gap = sum(((Decimal(g) - w) ** 2 for g, w in zip(got, want, strict=True)), ZERO)
    size = sum((w * w for w in want), ZERO)
    if size == 0:
        return 0.0 if gap == 0 else math.inf
    return float((gap / size).sqrt() / Decimal(eps))


@functools.cache
def _power(x: Decimal, exponent: Decimal) -> Decimal:
    return (exponent * x).exp()


@functools.cache
def _weights(row: tuple[float, ...], source: str) -> tuple[dict[float, tuple[Decimal, Decimal]], Decimal]:
    """Return p and log p of each distinct entry of weight > 0, and what the weights were divided by."""
    counts = Counter(row)
    if source == "logits":
        top = max(row)
        weights = {x: (Decimal(x) - Decimal(top)).exp() for x in counts if x > -math.inf}
    else:
        weights = {x: Decimal(x) for x in counts if x > 0}
    total = sum((counts[x] * w for x, w in weights.items()), ZERO)
    return {x: (w / total, (w / total).ln()) for x, w in weights.items()}, ONE if source == "logits" else total


@functools.cache
def entropy(row: tuple[float, ...], alpha: float, source: str) -> Exact:
    """Return the entropy of a row of logits or probabilities."""
    live, scale = _weights(row, source)
    counts = Counter(row)
    mean_log = sum((counts[x] * p * log for x, (p, log) in live.items()), ZERO)
    power, at_zero = ZERO, ZERO
    if alpha == math.inf:
        top = max(live, key=lambda x: live[x][0])
        value, slope, at_zero = -live[top][1], ZERO, ONE
        over_p = {x: 1 - (1 / (counts[x] * p) if x == top else ZERO) for x, (p, _) in live.items()}
    elif alpha == 1:
        value, power = -mean_log, ONE
        over_p = {x: -log - value for x, (_, log) in live.items()}
        slope = -sum((counts[x] * p * (log - mean_log) ** 2 for x, (p, log) in live.items()), ZERO) / 2
    else:
        a = Decimal(alpha)
        escort = {x: _power(log, a) for x, (_, log) in live.items()}
        power = sum((counts[x] * w for x, w in escort.items()), ZERO)
        mean = sum((counts[x] * w * live[x][1] for x, w in escort.items()), ZERO)
        value = power.ln() / (1 - a)
        over_p = {x: a / (a - 1) * (1 - escort[x] / power / p) for x, (p, _) in live.items()}
        slope = power.ln() / (a - 1) ** 2 - mean / power / (a - 1)
        at_zero = a / (a - 1) if alpha > 1 else ZERO
    if source == "logits":
        entries = {x: g * live[x][0] for x, g in over_p.items()}
        at_zero = ZERO
    else:
        entries = {x: g / scale for x, g in over_p.items()}
    return Exact(value, ([entries.get(x, at_zero / scale) for x in row],), slope, power)


def divergence(row: tuple[float, ...], other: tuple[float, ...], alpha: float, source: str) -> Exact:
    """Return the divergence of two rows that are positive in the same places, and its gradients there."""
    (p_live, p_scale), (q_live, q_scale) = _weights(row, source), _weights(other, source)
    pairs = [(p_live[x], q_live[y]) for x, y in zip(row, other, strict=True) if x in p_live]
    logs = [p_log - q_log for (_, p_log), (_, q_log) in pairs]
    p, q = [pair[0][0] for pair in pairs], [pair[1][0] for pair in pairs]
    along_p: list[Decimal]
    if alpha == math.inf:
        value, slope = max(logs), ZERO
        tilted = [Decimal(log == value) / logs.count(value) for log in logs]
        along_p = [w - v for w, v in zip(tilted, p, strict=True)]
    elif alpha == 1:
        value, tilted = sum((v * log for v, log in zip(p, logs, strict=True)), ZERO), p
        along_p = [v * (log - value) for v, log in zip(p, logs, strict=True)]
        slope = sum((v * (log - value) ** 2 for v, log in zip(p, logs, strict=True)), ZERO) / 2
    else:
        a = Decimal(alpha)
        weights = [v * _power(log, a) for v, log in zip(q, logs, strict=True)]
        total = sum(weights, ZERO)
        value, tilted = total.ln() / (a - 1), [w / total for w in weights]
        along_p = [a / (a - 1) * (w - v) for w, v in zip(tilted, p, strict=True)]
        slope = (sum((w * log for w, log in zip(tilted, logs, strict=True)), ZERO) - value) / (a - 1)
    along_q = [v - w for w, v in zip(tilted, q, strict=True)]
    if source == "probs":
        along_p = [g / v / p_scale for g, v in zip(along_p, p, strict=True)]
        along_q = [g / v / q_scale for g, v in zip(along_q, q, strict=True)]
    places = iter(range(len(p)))
    order = [next(places) if x in p_live else None for x in row]
    gradients = tuple([ZERO if i is None else along[i] for i in order] for along in (along_p, along_q))
    return Exact(value, gradients, slope)


def derivative(f: Callable[[Decimal], Decimal], x: float) -> Decimal:
    """Return a derivative by a central difference: exact to 30 digits."""
    there = Decimal(x)
    return (f(there + STEP) - f(there - STEP)) / (2 * STEP)


def cross_entropy(p: Sequence[float], q: Sequence[float], alpha: Decimal) -> Decimal:
    """Return the cross-entropy of probabilities that are not 0."""
    size = sum(map(Decimal, p), ZERO), sum(map(Decimal, q), ZERO)
    pairs = [(Decimal(v) / size[0], (Decimal(w) / size[1]).ln()) for v, w in zip(p, q, strict=True)]
    if alpha == 1:
        return -sum((v * log for v, log in pairs), ZERO)
    return sum((v * _power(log, alpha - 1) for v, log in pairs), ZERO).ln() / (1 - alpha)


def mutual_information(joint: Sequence[Sequence[float]], alpha: Decimal) -> Decimal:
    """Return Sibson's mutual information of a joint distribution without zeros."""
    size = sum((Decimal(w) for line in joint for w in line), ZERO)
    inputs = [sum(map(Decimal, line), ZERO) / size for line in joint]
    channel = [[(Decimal(w) / size / q).ln() for w in line] for line, q in zip(joint, inputs, strict=True)]
    columns = range(len(joint[0]))
    if alpha == 1:
        known = list(zip(inputs, channel, strict=True))
        outputs = [sum((q * log[y].exp() for q, log in known), ZERO).ln() for y in columns]
        return sum((q * log[y].exp() * (log[y] - outputs[y]) for q, log in known for y in columns), ZERO)
    sums = [
        sum((q * (alpha * log[y]).exp() for q, log in zip(inputs, channel, strict=True)), ZERO).ln() for y in columns
    ]
    return alpha / (alpha - 1) * sum(((s / alpha).exp() for s in sums), ZERO).ln()


def choice(scores: Sequence[float], alpha: float, temperature: float) -> tuple[list[Decimal], Decimal]:
    """Return the distribution of largest ⟨p, s⟩ + T H(p) and the value, for α = 1/2, 1, 2 and ∞."""
    temperature_ = Decimal(temperature)
    top = max(map(Decimal, scores))
    gaps = [top - Decimal(s) for s in scores]
    best = max(
        (_objective(p, gaps, alpha, temperature_), p) for p in _stationary(gaps, alpha, temperature_, sorted(gaps))
    )
    return best[1], top + best[0]


def _objective(p: list[Decimal], gaps: list[Decimal], alpha: float, temperature: Decimal) -> Decimal:
    if alpha == math.inf:
        value = -max(p).ln()
    elif alpha == 1:
        value = -sum((w * w.ln() for w in p if w > 0), ZERO)
    else:
        value = sum((w ** Decimal(alpha) for w in p if w > 0), ZERO).ln() / (1 - Decimal(alpha))
    return temperature * value - sum((w * gap for w, gap in zip(p, gaps, strict=True)), ZERO)


def _normalized(weights: list[Decimal]) -> list[Decimal]:
    total = sum(weights, ZERO)
    return [w / total for w in weights]


def _stationary(
    gaps: list[Decimal], alpha: float, temperature: Decimal, ordered: list[Decimal]
) -> Iterator[list[Decimal]]:
    """Yield the distributions among which the best is: one, or one for each size of the support."""
    if alpha == 1:
        yield _normalized([(-gap / temperature).exp() for gap in gaps])
    elif alpha == 0.5:
        # p ∝ (δ + γ)^−2 with δ + ⟨p, γ⟩ = T, which falls on one side of the root only
        low, high = ZERO, temperature
        for _ in range(260):
            delta = (low + high) / 2
            p = _normalized([(delta / (delta + gap)) ** 2 for gap in gaps]) if delta else gaps
            over = delta + sum((w * gap for w, gap in zip(p, gaps, strict=True)), ZERO) > temperature
            low, high = (low, delta) if over else (delta, high)
        yield p
    elif alpha == 2:
        # p ∝ (δ − γ)₊ with δ − ⟨p, γ⟩ = 2T: a quadratic in δ for each support
        for k in range(1, len(gaps) + 1):
            total, squares = sum(ordered[:k], ZERO), sum((gap * gap for gap in ordered[:k]), ZERO)
            half = (total + temperature * k) / k
            inner = half * half - (2 * temperature * total + squares) / k
            for sign in (1, -1) if inner >= 0 else ():
                delta = half + sign * inner.sqrt()
                if delta > ordered[k - 1] and (k == len(gaps) or delta <= ordered[k]):
                    yield _normalized([max(delta - gap, ZERO) for gap in gaps])
    else:
        for k in range(1, len(gaps) + 1):
            yield [ONE / k if gap <= ordered[k - 1] else ZERO for gap in gaps]


def log_determinant(matrix: Sequence[Sequence[float]]) -> Decimal:
    """Return the logarithm of the determinant of a positive definite matrix."""
    rows, total = [list(map(Decimal, line)) for line in matrix], ZERO
    for k, pivot in enumerate(rows):
        total += pivot[k].ln()
        for line in rows[k + 1 :]:
            factor = line[k] / pivot[k]
            line[:] = [x - factor * y for x, y in zip(line, pivot, strict=True)]
    return total
