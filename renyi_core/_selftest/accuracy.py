"""Worst errors of the public functions, in units of the dtype's machine epsilon, against 80-digit arithmetic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import renyi_core as renyi

from . import exact
from .library import Library, NotOfferedError
from .rows import EPS, ORDERS, QUICK_ORDERS, batches, pairs, rounded, scores

Array = Any
ALL = 64.0
COPIES = 80
ALIKE = ("flat", "nearly flat", "nearly deterministic", "zipf", "masked", "tied")
"""Rows whose largest logits lie close together."""

__all__ = ["Check", "Worst", "checks", "own_sums"]


class Worst:
    """The worst case of a check by what was measured: the largest error next to its bound."""

    def __init__(self) -> None:
        self.cases: dict[str, tuple[float, float, str]] = {}

    def add(self, what: str, error: float, bound: float, case: str) -> None:
        """Keep a case if none was worse."""
        known = self.cases.get(what)
        if known is None or not error / bound <= known[0] / known[1]:
            self.cases[what] = error, bound, case


Check = Callable[[Library, str, Worst], None]


def own_sums(library: Library, dtype: str, worst: Worst) -> float:
    """Measure how far the library's own sum of 20,000 numbers of one sign is off; return that."""
    numbers = [rounded(1 / k, dtype) for k in range(1, 20_001)]
    got = library.read(library.xp.sum(library.array(numbers, dtype)))
    error = exact.error([got], [sum(map(Decimal, numbers), Decimal(0))], EPS[dtype])
    worst.add("", error, math.inf, "Σ 1/k, k ≤ 20,000")
    return error


def _bounds(dtype: str, *, coarse: bool) -> tuple[float, float, float]:
    """Return the bounds of the entropies: value, gradient, derivative in α."""
    return (64, 64, 64) if coarse and dtype == "float32" else (16, 16, 32)


def _entropies(
    library: Library, dtype: str, worst: Worst, *, source: str, measure: str, quick: bool, coarse: bool
) -> None:
    """Every order on every row; for what is made of the entropy, some orders."""
    few = quick and measure != "entropy"
    f = getattr(renyi, measure if source == "probs" else f"{measure}_from_logits")
    orders = ((QUICK_ORDERS if quick else ORDERS) if measure == "entropy" else (0.5, 1.0, 2.0))[:: 2 if few else 1]
    bounds = _bounds(dtype, coarse=coarse)
    groups = [(batch, 1) for batch in batches(dtype, source, quick=quick or measure != "entropy")][: 1 if few else None]
    if not quick:
        # in a large batch, where rows may share more than their shape
        groups.append(({name: groups[0][0][name] for name in ALIKE}, COPIES))
    for batch, copies in groups:
        x = library.array([list(row) for row in batch.values()] * copies, dtype)
        first = slice(len(batch))
        for alpha in orders:
            alone = library.read(f(x, alpha)[first])
            value, gradient = (library.read(part[first, ...]) for part in renyi.value_and_grad(f)(x, alpha))
            slope = library.read(renyi.grad(f, "alpha")(x, alpha)[first])
            for k, (name, row) in enumerate(batch.items()):
                h = exact.entropy(row, alpha, source)
                want, along, along_alpha, extra = _measure(measure, h, alpha)
                case = f"{name}, α = {alpha!r}" + (f", in {len(batch) * copies} rows" if copies > 1 else "")
                for got in (alone, value):
                    worst.add("value", exact.error([got[k]], [want], EPS[dtype]), bounds[0], case)
                worst.add("gradient", exact.error(gradient[k], along, EPS[dtype]), bounds[1] + extra, case)
                if along_alpha is not None:
                    worst.add("∂/∂α", exact.error([slope[k]], [along_alpha], EPS[dtype]), bounds[2], case)


def _measure(measure: str, h: exact.Exact, alpha: float) -> tuple[Decimal, list[Decimal], Decimal | None, float]:
    """Return value, gradient, derivative in α, and what its condition adds to the bound of the gradient."""
    if measure == "entropy":
        return h.value, h.gradients[0], h.slope, 0.0
    if measure == "hill_number":
        value = factor = h.value.exp()
        return value, [factor * g for g in h.gradients[0]], factor * h.slope, 0.0
    factor = h.power_sum
    value = h.value if alpha == 1 else (1 - factor) / Decimal(alpha - 1)
    return value, [factor * g for g in h.gradients[0]], None, 2 * abs(float(factor.ln()))


def _orders_in_an_array(library: Library, dtype: str, worst: Worst, *, source: str, coarse: bool) -> None:
    """No order known beforehand: an order for each row."""
    f = renyi.entropy if source == "probs" else renyi.entropy_from_logits
    bounds = _bounds(dtype, coarse=coarse)
    orders = [rounded(alpha, dtype) for alpha in QUICK_ORDERS]
    for batch in batches(dtype, source, quick=True)[:1]:
        x = library.array([[list(row) for row in batch.values()]], dtype)
        alphas = library.array([[alpha] for alpha in orders], dtype)
        value, gradient = map(library.read, renyi.value_and_grad(f)(x, alphas))
        slope = library.read(renyi.grad(f, "alpha")(x, alphas))
        for i, alpha in enumerate(orders):
            for k, (name, row) in enumerate(batch.items()):
                h, case = exact.entropy(row, alpha, source), f"{name}, α = {alpha!r}"
                worst.add("value", exact.error([value[i][k]], [h.value], EPS[dtype]), bounds[0], case)
                worst.add("gradient", exact.error(gradient[i][k], h.gradients[0], EPS[dtype]), bounds[1], case)
                worst.add("∂/∂α", exact.error([slope[i][k]], [h.slope], EPS[dtype]), bounds[2], case)


def _divergence(library: Library, dtype: str, worst: Worst, *, source: str, quick: bool) -> None:
    f = renyi.divergence if source == "probs" else renyi.divergence_from_logits
    known = pairs(dtype, source)
    x, y = (library.array([list(pair[k]) for pair in known.values()], dtype) for k in (0, 1))
    for alpha in QUICK_ORDERS if quick else ORDERS:
        alone = library.read(f(x, y, alpha))
        value, along_p = map(library.read, renyi.value_and_grad(f)(x, y, alpha))
        along_q = library.read(renyi.grad(f, 1)(x, y, alpha))
        slope = library.read(renyi.grad(f, "alpha")(x, y, alpha))
        for k, (name, (one, other)) in enumerate(known.items()):
            d = exact.divergence(one, other, alpha, source)
            bound, case = ALL + 4 * max(map(_depth, (one, other), (source, source))), f"{name}, α = {alpha!r}"
            for got in (alone, value):
                worst.add("value", exact.error([got[k]], [d.value], EPS[dtype]), bound, case)
            # the right derivative of p = 0 is no part of the definition
            places = [i for i in range(len(one)) if one[i] not in {0.0, -math.inf}]
            for what, got, want in (("∂/∂p", along_p, d.gradients[0]), ("∂/∂q", along_q, d.gradients[1])):
                error = exact.error([got[k][i] for i in places], [want[i] for i in places], EPS[dtype])
                worst.add(what, error, bound, case)
            worst.add("∂/∂α", exact.error([slope[k]], [d.slope], EPS[dtype]), bound, case)


def _depth(row: tuple[float, ...], source: str) -> float:
    """Return how many nats the weights span."""
    logs = [math.log(x) for x in row if x > 0] if source == "probs" else [x for x in row if x > -math.inf]
    return max(logs) - min(logs)


def _cross_entropy(library: Library, dtype: str, worst: Worst) -> None:
    known = {name: pair for name, pair in pairs(dtype, "probs").items() if name != "masked"}
    x, y = (library.array([list(pair[k]) for pair in known.values()], dtype) for k in (0, 1))
    for alpha in (0.5, 1.0, 2.0):
        got = library.read(renyi.cross_entropy(x, y, alpha))
        for k, (name, (one, other)) in enumerate(known.items()):
            want = exact.cross_entropy(one, other, Decimal(alpha))
            bound = ALL + 4 * max(map(_depth, (one, other), ("probs", "probs")))
            worst.add("value", exact.error([got[k]], [want], EPS[dtype]), bound, f"{name}, α = {alpha!r}")


def _mutual_information(library: Library, dtype: str, worst: Worst) -> None:
    tables = {
        "dependent": [[0.3, 0.05, 0.02], [0.1, 0.25, 0.28]],
        "nearly independent": [[0.25, 0.125, 0.125], [0.25, 0.125 + 2.0**-20, 0.125]],
    }
    known = {name: [[rounded(w, dtype) for w in line] for line in table] for name, table in tables.items()}
    joint = library.array(list(known.values()), dtype)
    for alpha in (0.5, 1.0, 2.0, 5.0):
        value, slope = map(library.read, renyi.value_and_grad(renyi.mutual_information, "alpha")(joint, alpha))
        for k, (name, table) in enumerate(known.items()):
            f, case = functools.partial(exact.mutual_information, table), f"{name}, α = {alpha!r}"
            worst.add("value", exact.error([value[k]], [f(Decimal(alpha))], EPS[dtype]), ALL, case)
            if alpha != 1:
                want = exact.derivative(f, alpha)
                worst.add("∂/∂α", exact.error([slope[k]], [want], EPS[dtype]), ALL, case)


def _choice(library: Library, dtype: str, worst: Worst) -> None:
    known = scores(dtype)
    x = library.array([list(row) for row in known.values()], dtype)
    for alpha in (0.5, 1.0, 2.0, math.inf):
        p = library.read(renyi.regularized_argmax(x, alpha, 0.75))
        value = library.read(renyi.regularized_max(x, alpha, 0.75))
        for k, (name, row) in enumerate(known.items()):
            want_p, want = exact.choice(row, alpha, 0.75)
            case = f"{name}, α = {alpha!r}"
            worst.add("argmax", exact.error(p[k], want_p, EPS[dtype]), ALL, case)
            worst.add("max", exact.error([value[k]], [want], EPS[dtype]), ALL, case)


MATRIX = [[2.0, 0.5, -0.25], [0.5, 1.0, 0.125], [-0.25, 0.125, 0.5]]


def _gaussian(library: Library, dtype: str, worst: Worst) -> None:
    covariance = library.array(MATRIX, dtype)
    log_2pi = Decimal("1.83787706640934548356065947281123527972279494727556682563430308096553139185453")
    log_det = exact.log_determinant(MATRIX)
    for alpha in (0.5, 1.0, 2.0, math.inf):
        per_axis = Decimal(1) if alpha == 1 else _log_over_gap(alpha)
        want = (log_det + 3 * (log_2pi + per_axis)) / 2
        got = library.read(renyi.gaussian_entropy(covariance, alpha))
        worst.add("value", exact.error([got], [want], EPS[dtype]), ALL, f"α = {alpha!r}")


def _log_over_gap(alpha: float) -> Decimal:
    """Return log α/(α − 1)."""
    return Decimal(0) if alpha == math.inf else Decimal(alpha).ln() / (Decimal(alpha) - 1)


def _gram(library: Library, dtype: str, worst: Worst) -> None:
    # at α = 2 it is −log of the sum of squares: no eigenvalue is needed to know it
    trace = sum((Decimal(MATRIX[k][k]) for k in range(3)), Decimal(0))
    want = -(sum((Decimal(x) ** 2 for line in MATRIX for x in line), Decimal(0)) / trace**2).ln()
    got = library.read(renyi.gram_entropy(library.array(MATRIX, dtype), 2.0))
    worst.add("value", exact.error([got], [want], EPS[dtype]), ALL, "α = 2.0")
    if not hasattr(getattr(library.xp, "linalg", None), "eigvalsh"):
        msg = "no linalg.eigvalsh, for other orders than 2"
        raise NotOfferedError(msg)
    # at α = ∞ the three eigenvalues of I + J: 4, 1 and 1
    plain = [[2.0 if i == j else 1.0 for j in range(3)] for i in range(3)]
    got = library.read(renyi.gram_entropy(library.array(plain, dtype), math.inf))
    worst.add("value", exact.error([got], [Decimal("1.5").ln()], EPS[dtype]), ALL, "I + J, α = inf")


def checks(*, quick: bool, coarse: bool) -> Iterator[tuple[str, Check]]:
    """Yield what is measured, by name."""
    for source in ("logits", "probs"):
        for measure in ("entropy", "hill_number", "tsallis_entropy"):
            name = measure if source == "probs" else f"{measure}_from_logits"
            yield name, functools.partial(_entropies, source=source, measure=measure, quick=quick, coarse=coarse)
        name = "entropy" if source == "probs" else "entropy_from_logits"
        yield f"{name}, α in an array", functools.partial(_orders_in_an_array, source=source, coarse=coarse)
        name = "divergence" if source == "probs" else "divergence_from_logits"
        yield name, functools.partial(_divergence, source=source, quick=quick)
    yield "cross_entropy", _cross_entropy
    yield "mutual_information", _mutual_information
    yield "regularized choice", _choice
    yield "gaussian_entropy", _gaussian
    yield "gram_entropy", _gram
