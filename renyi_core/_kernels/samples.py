"""Kernel matrices of samples, the entropy of order 2 without them, and the derivatives of both.

The kernels are K = exp(−r), with r = ‖x − y‖²/(2σ²) or ‖x − y‖₁/σ, from the differences x − y themselves, which are
exact where samples nearly coincide. They are formed for a few rows at a time. At order 2 the same rows are all there
is, no matrix::

    S₂ = −log (1/N²) Σ exp(−2r) = −log1p(−(1/N²) Σ −expm1(−2r))
    ∂S₂/∂x_i = 4/Σ exp(−2r) · Σ_j exp(−2r_ij) ∂r_ij/∂x_i          ∂r/∂x = (x − y)/σ²  or  sign(x − y)/σ

Matrices X Xᵀ of inner products have the eigenvalues of Xᵀ X, and zeros: the smaller of the two is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from .diversity import order_two

Array = Any
KernelName = Literal["gaussian", "laplacian", "linear", "cosine"]

__all__ = [
    "KernelName",
    "Scaled",
    "feature_gradient",
    "feature_gram",
    "kernel_matrix",
    "kernel_matrix_gradient",
    "order_two_entropy",
    "order_two_gradient",
    "scaled",
]

BLOCK = 2**18
"""How many differences of features are formed at once; those of one sample with all others, if they are more."""


class Scaled(NamedTuple):
    """Samples, and what divides their distances: σ² or σ, a number or an array with two axes for pairs.

    ``nothing`` is 0 for each set of samples, NaN where one of its entries or its bandwidth is none; a set of zeros, or
    a bandwidth of 1, stands in there. ``power`` is that of σ.
    """

    x: Array
    bandwidth: Any
    scale: Any
    power: int
    nothing: Array


def _finite(x: Array, xp: Any) -> tuple[Array, Array]:
    """Return samples, those of a set with an entry that is none as zeros, and which sets have none such."""
    sound = xp.all(xp.isfinite(x), axis=(-2, -1))
    return xp.where(sound[..., None, None], x, 0.0), sound


def scaled(x: Array, bandwidth: Any, kernel: KernelName, xp: Any) -> Scaled:
    """Return samples and their bandwidth for a kernel of distances."""
    x, sound = _finite(x, xp)
    if not isinstance(bandwidth, float):
        positive = (bandwidth > 0) & xp.isfinite(bandwidth)
        sound = sound & positive
        bandwidth = xp.where(positive, bandwidth, 1.0)[..., None, None]
    power = 2 if kernel == "gaussian" else 1
    scale = bandwidth * bandwidth if power == 2 else bandwidth
    return Scaled(x, bandwidth, scale, power, xp.where(sound, 0.0 * x[..., 0, 0], math.nan))


def _blocks(x: Array) -> Iterator[tuple[int, int]]:
    """Return the first row, and the one after the last, of each block of rows."""
    n = x.shape[-2]
    rows = max(1, BLOCK // math.prod(x.shape))
    return ((start, min(start + rows, n)) for start in range(0, n, rows))


def _differences(x: Array, start: int, stop: int, first: int = 0) -> Array:
    """Return the differences of some rows from all, or from those that follow the ``first``."""
    return x[..., start:stop, None, :] - x[..., None, first:, :]


def _exponents(differences: Array, s: Scaled, xp: Any) -> Array:
    """Return r."""
    if s.power == 2:
        return xp.vecdot(differences, differences) / (2 * s.scale)
    return xp.sum(xp.abs(differences), axis=-1) / s.scale


def _directed(weights: Array, differences: Array, s: Scaled, xp: Any) -> Array:
    """Return Σ_j w_ij ∂r_ij/∂x_i times the scale; where two samples agree in a feature, the kink counts for nothing."""
    towards = differences if s.power == 2 else xp.sign(differences)
    return xp.matmul(weights[..., None, :], towards)[..., 0, :]


def kernel_matrix(s: Scaled, xp: Any) -> Array:
    """Return the matrix exp(−r); NaN for what are no samples."""
    rows = [xp.exp(-_exponents(_differences(s.x, *block), s, xp)) for block in _blocks(s.x)]
    return (rows[0] if len(rows) == 1 else xp.concat(rows, axis=-2)) + s.nothing[..., None, None]


def kernel_matrix_gradient(s: Scaled, slopes: Array, *, bandwidth: bool, xp: Any) -> Array:
    """Return the derivative with respect to the samples, or the bandwidth, given that with respect to the matrix."""
    parts = []
    for start, stop in _blocks(s.x):
        differences = _differences(s.x, start, stop)
        r = _exponents(differences, s, xp)
        weights = slopes[..., start:stop, :] * xp.exp(-r)
        if bandwidth:
            parts.append(xp.sum(weights * r, axis=(-2, -1)))
        else:
            parts.append(_directed(weights, differences, s, xp))
    if bandwidth:
        return _summed(parts) * s.power / _without_pairs(s.bandwidth)
    # a sample has a row and a column
    return -2 * xp.concat(parts, axis=-2) / s.scale


def _without_pairs(values: Any) -> Any:
    return values if isinstance(values, float) else values[..., 0, 0]


def _summed(parts: list[Array]) -> Array:
    """Return the sum, pairwise, so that many blocks add no more rounding than a few."""
    while len(parts) > 1:
        parts = [sum(parts[k + 1 : k + 2], parts[k]) for k in range(0, len(parts), 2)]
    return parts[0]


def order_two_entropy(s: Scaled, *, xp: Any) -> Array:
    """Return the entropy of order 2 of the kernel matrix, of which every block counts for its mirror image too."""
    gaps: list[Array] = []
    squares: list[Array] = []
    for start, stop in _blocks(s.x):
        r = 2 * _exponents(_differences(s.x, start, stop, start), s, xp)
        for values, parts in ((-xp.expm1(-r), gaps), (xp.exp(-r), squares)):
            columns = xp.sum(values, axis=-2)
            inside = xp.sum(columns[..., : stop - start], axis=-1)
            parts.append(inside + 2 * xp.sum(columns[..., stop - start :], axis=-1))
    count = s.x.shape[-2] ** 2
    return order_two(_summed(gaps) / count, _summed(squares) / count, xp).h + s.nothing


def order_two_gradient(s: Scaled, *, bandwidth: bool, xp: Any) -> tuple[Array, Array]:
    """Return the entropy of order 2 and its derivative with respect to the samples, or the bandwidth."""
    gaps, squares, parts = [], [], []
    for start, stop in _blocks(s.x):
        differences = _differences(s.x, start, stop)
        r = _exponents(differences, s, xp)
        weights = xp.exp(-2 * r)
        gaps.append(xp.sum(-xp.expm1(-2 * r), axis=(-2, -1)))
        squares.append(xp.sum(weights, axis=(-2, -1)))
        parts.append(xp.sum(weights * r, axis=(-2, -1)) if bandwidth else _directed(weights, differences, s, xp))
    count, total = s.x.shape[-2] ** 2, _summed(squares)
    value = order_two(_summed(gaps) / count, total / count, xp).h + s.nothing
    if bandwidth:
        gradient = -2 * s.power * _summed(parts) / total / _without_pairs(s.bandwidth)
        return value, gradient + s.nothing
    gradient = 4 * xp.concat(parts, axis=-2) / s.scale / total[..., None, None]
    return value, gradient + s.nothing[..., None, None]


def feature_gram(x: Array, kernel: KernelName, xp: Any) -> tuple[Array, Array, Any]:
    """Return the smaller matrix of inner products, the samples that it is of, and the lengths that divided them."""
    x, sound = _finite(x, xp)
    lengths = None
    if kernel == "cosine":
        squares = xp.sum(x * x, axis=-1, keepdims=True)
        # a sample of zeros has no direction, and counts for nothing
        lengths = xp.where(squares > 0, xp.sqrt(xp.where(squares > 0, squares, 1.0)), math.inf)
        x = x / lengths
    other = xp.matrix_transpose(x)
    gram = xp.matmul(other, x) if x.shape[-1] < x.shape[-2] else xp.matmul(x, other)
    return xp.where(sound[..., None, None], gram, math.nan), x, lengths


def feature_gradient(slopes: Array, x: Array, lengths: Any, xp: Any) -> Array:
    """Return the derivative with respect to the samples, given that with respect to the smaller matrix."""
    gradient = 2 * (xp.matmul(x, slopes) if x.shape[-1] < x.shape[-2] else xp.matmul(slopes, x))
    if lengths is None:
        return gradient
    return (gradient - x * xp.sum(x * gradient, axis=-1, keepdims=True)) / lengths
