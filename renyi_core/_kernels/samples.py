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
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from .diversity import order_two
from .row_blocks import Terms

Array = Any
ByRows = Callable[..., tuple[Array, ...]]
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


def _differences(x: Array, y: Array) -> Array:
    """Return the differences of each x from each y."""
    return x[..., :, None, :] - y[..., None, :, :]


def _exponents(differences: Array, s: Scaled, xp: Any) -> Array:
    """Return r."""
    if s.power == 2:
        return xp.linalg.vecdot(differences, differences) / (2 * s.scale)
    return xp.sum(xp.abs(differences), axis=-1) / s.scale


def _directed(weights: Array, differences: Array, s: Scaled, xp: Any) -> Array:
    """Return Σ_j w_ij ∂r_ij/∂x_i times the scale; where two samples agree in a feature, the kink counts for nothing."""
    towards = differences if s.power == 2 else xp.sign(differences)
    return xp.matmul(weights[..., None, :], towards)[..., 0, :]


def _over(rows: ByRows, terms: Terms, s: Scaled, *others: Array, laid: Sequence[bool], xp: Any) -> tuple[Array, ...]:
    return rows(terms, (s.x, *others), cost=math.prod(s.x.shape), rows=laid, xp=xp)


def kernel_matrix(s: Scaled, *, rows: ByRows, xp: Any) -> Array:
    """Return the matrix exp(−r); NaN for what are no samples."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        return (xp.exp(-_exponents(_differences(block[0], s.x), s, xp)),)

    return _over(rows, terms, s, laid=(True,), xp=xp)[0] + s.nothing[..., None, None]


def kernel_matrix_gradient(s: Scaled, slopes: Array, *, bandwidth: bool, rows: ByRows, xp: Any) -> Array:
    """Return the derivative with respect to the samples, or the bandwidth, given that with respect to the matrix."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        differences = _differences(block[0], s.x)
        r = _exponents(differences, s, xp)
        weights = block[1] * xp.exp(-r)
        return (xp.sum(weights * r, axis=(-2, -1)) if bandwidth else _directed(weights, differences, s, xp),)

    (gradient,) = _over(rows, terms, s, slopes, laid=(not bandwidth,), xp=xp)
    if bandwidth:
        return gradient * s.power / _without_pairs(s.bandwidth)
    # a sample has a row and a column
    return -2 * gradient / s.scale


def _without_pairs(values: Any) -> Any:
    return values if isinstance(values, float) else values[..., 0, 0]


def order_two_entropy(s: Scaled, *, rows: ByRows, xp: Any) -> Array:
    """Return the entropy of order 2 of the kernel matrix."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:
        others = s.x if start is None else s.x[..., start:, :]
        r = 2 * _exponents(_differences(block[0], others), s, xp)
        sums = [xp.sum(values, axis=-2) for values in (-xp.expm1(-r), xp.exp(-r))]
        if start is None:
            return tuple(xp.sum(columns, axis=-1) for columns in sums)
        # all pairs within the block, and those with later rows for their mirror images too
        own = block[0].shape[-2]
        return tuple(xp.sum(part[..., :own], axis=-1) + 2 * xp.sum(part[..., own:], axis=-1) for part in sums)

    gaps, squares = _over(rows, terms, s, laid=(False, False), xp=xp)
    count = s.x.shape[-2] ** 2
    return order_two(gaps / count, squares / count, xp).h + s.nothing


def order_two_gradient(s: Scaled, *, bandwidth: bool, rows: ByRows, xp: Any) -> tuple[Array, Array]:
    """Return the entropy of order 2 and its derivative with respect to the samples, or the bandwidth."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        differences = _differences(block[0], s.x)
        r = _exponents(differences, s, xp)
        weights = xp.exp(-2 * r)
        slope = xp.sum(weights * r, axis=(-2, -1)) if bandwidth else _directed(weights, differences, s, xp)
        return xp.sum(-xp.expm1(-2 * r), axis=(-2, -1)), xp.sum(weights, axis=(-2, -1)), slope

    gaps, squares, slope = _over(rows, terms, s, laid=(False, False, not bandwidth), xp=xp)
    count = s.x.shape[-2] ** 2
    value = order_two(gaps / count, squares / count, xp).h + s.nothing
    if bandwidth:
        return value, -2 * s.power * slope / squares / _without_pairs(s.bandwidth) + s.nothing
    return value, 4 * slope / s.scale / squares[..., None, None] + s.nothing[..., None, None]


def feature_gram(x: Array, kernel: KernelName, xp: Any) -> tuple[Array, Array, Any]:
    """Return the smaller matrix of inner products, the samples that it is of, and the lengths that divided them."""
    x, sound = _finite(x, xp)
    lengths = None
    if kernel == "cosine":
        squares = xp.sum(x * x, axis=-1, keepdims=True)
        # a sample of zeros has no direction, and counts for nothing
        lengths = xp.where(squares > 0, xp.sqrt(xp.where(squares > 0, squares, 1.0)), 1.0)
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
