"""The entropy of a density from the distance ρ of each sample to its k-th nearest neighbor, and its derivatives.

With ℓ = −d log ρ, t = α − 1 and the mean taken over the N samples,::

    H = log(N − 1) + log V + (log Γ(k − t) − log Γ(k))/t − log mean exp(t ℓ)/t

so the last term is that of an entropy from log-densities, and its derivatives are those of a log-mean-exp: the weights
w = exp(t ℓ)/Σ exp(t ℓ), and in α −mean(ψ(t v))/t² with t v = log(N w), ψ(u) = u exp(u) − expm1(u).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from .dtypes import cast
from .estimators import LogMean, curvature, log_mean
from .family import Family, per_row
from .gamma import gamma_ratio, gamma_ratio_slope
from .guards import scaled
from .library import ask, constants
from .neighbors import finite_sets, neighbor_counts, neighbor_gap, neighbor_sum
from .state import Order, nonzero

Array = Any
LAST = (-1,)

__all__ = [
    "PARTICLE_ENTROPY",
    "PARTICLE_INFORMATION",
    "particle_entropy",
    "particle_entropy_and_alpha_gradient",
    "particle_entropy_and_gradient",
    "particle_mutual_information",
    "particle_reward",
]


class Distances(NamedTuple):
    """Distances ρ = size·√square, and where they are 0: size and square are 1 there. ``unit`` is the gap over size."""

    size: Array
    square: Array
    unit: Array
    zero: Array


def _distances(gap: Array, xp: Any) -> Distances:
    """Return the lengths of the (..., d) gaps, as a factor and a sum of squares that cannot overflow or vanish."""
    size = xp.max(xp.abs(gap), axis=-1)
    zero = size == 0
    size = xp.where(zero, 1.0, size)
    unit = gap / size[..., None]
    square = xp.sum(unit * unit, axis=-1)
    return Distances(size, xp.where(zero, 1.0, square), unit, zero)


class Parts(NamedTuple):
    """What value and derivatives share; ``order`` has an axis for the samples, its t is 0 where α >= k + 1.

    ``rest`` is of ℓ with distances in units of ``unit``, the size of the largest.
    """

    order: Order
    distances: Distances
    unit: Array
    rest: LogMean
    none: Array
    void: Any


def _parts(gap: Array, order: Order, k: int, xp: Any) -> Parts:
    void: Any = False
    if not order.static:
        void = order.infinite | ~(order.t < k)
        t = xp.where(void, 0.0, order.t)[..., None]
        order = Order(xp.where(void, 1.0, order.alpha)[..., None], t, order.infinite[..., None])
    distances = _distances(gap, xp)
    unit = xp.max(xp.where(distances.zero, 0.0, distances.size), axis=-1, keepdims=True)
    unit = xp.where(unit > 0, unit, 1.0)
    # the logarithm of a ratio near 1 keeps the digits that a difference of logarithms of large numbers loses
    ratio = distances.size / unit
    near = ratio > 2.0**-10
    log_size = xp.where(near, xp.log(xp.where(near, ratio, 1.0)), xp.log(distances.size) - xp.log(unit))
    log_density = -gap.shape[-1] * (log_size + xp.log(distances.square) / 2)
    log_density = xp.where(distances.zero, 0.0, log_density)
    rest = log_mean(log_density, order, axis=LAST, xp=xp, where=~distances.zero)
    # a distance of 0 is a density of +inf, which counts for nothing where α < 1 unless it is everywhere
    coincide = xp.any(distances.zero, axis=-1, keepdims=True)
    none = coincide & ((order.t >= 0) | (rest.count == 0))
    return Parts(order, distances, unit, rest, none, void)


def _log_volume(dimension: int) -> float:
    """Return the logarithm of the volume of the unit ball."""
    return dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)


def _share(parts: Parts, n: int, xp: Any) -> Array:
    """Return the logarithm of the share of the samples that coincide with no neighbor."""
    return xp.log(xp.where(parts.none, 1.0, parts.rest.count / n))


def _value(parts: Parts, shape: tuple[int, ...], k: int, xp: Any) -> Array:
    n, dimension = shape[-2:]
    constant = math.log(n - 1) + _log_volume(dimension)
    spread = dimension * xp.log(parts.unit) - (parts.rest.mean + parts.rest.excess)
    value = constant + gamma_ratio(parts.order, k, xp=xp) + spread
    value = value - _share(parts, n, xp) / nonzero(parts.order, xp=xp)
    return _row(parts, xp.where(parts.none, -math.inf, value), xp)


def _row(parts: Parts, value: Array, xp: Any) -> Array:
    """Return a value of each set of samples, NaN where the estimator has no such order."""
    return value[..., 0] if parts.void is False else xp.where(parts.void, math.nan, value[..., 0])


def _gap(samples: Array, index: Array, xp: Any) -> tuple[Array, Array]:
    """Return the difference of each sample to the one of its index, and which sets are finite."""
    samples, sound = finite_sets(samples, xp)
    return ask(neighbor_gap, xp)(samples, index, xp=xp), sound


def particle_entropy(samples: Array, index: Array, order: Order, *, k: int, xp: Any) -> Array:
    """Return the estimate for each set of (..., N, d) samples, given the index of the k-th neighbor of each."""
    gap, sound = _gap(samples, index, xp)
    return xp.where(sound, _value(_parts(gap, order, k, xp), gap.shape, k, xp), math.nan)


def particle_entropy_and_gradient(
    samples: Array, index: Array, order: Order, *, k: int, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the estimate and its derivative with respect to the samples (0), times ``scale``."""
    gap, sound = _gap(samples, index, xp)
    parts = _parts(gap, order, k, xp)
    n, dimension = gap.shape[-2:]
    distances, rest = parts.distances, parts.rest
    weights = xp.exp(parts.order.t * (rest.r - rest.excess)) / xp.where(parts.none, 1.0 * n, rest.count)
    weights = xp.where(distances.zero | parts.none, 0.0, weights)
    if parts.void is not False:
        weights = xp.where(parts.void[..., None], math.nan, weights)
    factor = dimension * weights / distances.square
    pull = factor[..., None] * (distances.unit / distances.size[..., None])
    pull = scaled(xp.where(sound[..., None, None], pull, math.nan), per_row(scale, 2), xp)
    # broadcast, where there are more orders than sets of samples
    index = index + xp.zeros_like(pull[..., 0], dtype=index.dtype)
    gradient = pull - ask(neighbor_sum, xp)(pull, index, xp=xp)
    value = xp.where(sound, _value(parts, gap.shape, k, xp), math.nan)
    return value, *(cast(gradient, samples.dtype, xp) for _ in wrt)


def particle_entropy_and_alpha_gradient(
    samples: Array, index: Array, order: Order, *, k: int, xp: Any
) -> tuple[Array, Array]:
    """Return the estimate and its derivative with respect to α."""
    gap, sound = _gap(samples, index, xp)
    parts = _parts(gap, order, k, xp)
    rest, t = parts.rest, nonzero(parts.order, xp=xp)
    v = xp.where(parts.distances.zero, 0.0, rest.r - rest.excess)
    curved = xp.sum(curvature(v, parts.order, xp=xp), axis=-1, keepdims=True)
    slope = gamma_ratio_slope(parts.order, k, xp=xp) - curved / xp.where(parts.none, 1.0, rest.count)
    slope = slope + _share(parts, gap.shape[-2], xp) / (t * t)
    value, slope = _value(parts, gap.shape, k, xp), _row(parts, xp.where(parts.none, 0.0, slope), xp)
    return xp.where(sound, value, math.nan), xp.where(sound, slope, math.nan)


def particle_reward(samples: Array, index: Array, order: Order, *, xp: Any) -> Array:
    """Return ρ**(1 − α) for each sample; NaN for an array of orders where they are not between 0 and 1."""
    gap, sound = _gap(samples, index, xp)
    distances = _distances(gap, xp)
    length = distances.size * xp.sqrt(distances.square)
    t = order.t
    if not order.static:
        inner = (order.alpha > 0) & (t < 0) & ~order.infinite
        t = xp.where(inner, t, -0.5)
    reward = xp.where(distances.zero, 0.0, length**-t)
    reward = reward if order.static else xp.where(inner, reward, math.nan)
    return xp.where(sound[..., None], reward, math.nan)


PARTICLE_ENTROPY = Family(
    particle_entropy,
    particle_entropy_and_gradient,
    particle_entropy_and_alpha_gradient,
    layouts=(2, 1),
    kept=0,
    masked=False,
)


def particle_mutual_information(x: Array, y: Array, *, k: int, xp: Any) -> Array:
    """Return the mutual information of the (..., N, d) samples x and y; the last two axes keep length 1.

    ψ(k) + ψ(N) − mean (ψ(n_x) + ψ(n_y)) of the counts of :func:`neighbor_counts`, and ψ(n) is that of 1 plus a
    harmonic number.
    """
    (x, sound), (y, other) = finite_sets(x, xp), finite_sets(y, xp)
    counts_x, counts_y, zero = ask(neighbor_counts, xp)(x, y, k=k, xp=xp)
    n = x.shape[-2]
    sums = list(itertools.accumulate((1 / i for i in range(1, n)), initial=0.0))
    table = constants(sums, x, xp)

    def mean_of(counts: Array) -> Array:
        index = xp.where(zero, 0, counts - 1)
        return xp.mean(xp.reshape(xp.take(table, xp.reshape(index, (-1,)), axis=0), index.shape), axis=-1)

    value = (sums[k - 1] - mean_of(counts_x)) + (sums[n - 1] - mean_of(counts_y))
    value = xp.where(xp.any(zero, axis=-1), math.inf, value)
    return xp.where(sound & other, value, math.nan)[..., None, None]


PARTICLE_INFORMATION = Family(particle_mutual_information, None, None, layouts=(2, 2), kept=2, masked=False)
