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
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .diversity import (
    gram_entropy,
    gram_entropy_and_alpha_gradient,
    gram_entropy_and_gradient,
    needs_eigenvalues,
    order_two,
)
from .family import Family, finished
from .library import ask
from .measures import ENTROPY
from .row_blocks import Terms, by_rows
from .state import Order

Array = Any
KernelName = Literal["gaussian", "laplacian", "linear", "cosine"]

__all__ = [
    "FEATURES",
    "KERNEL_ENTROPY",
    "KernelName",
    "Scaled",
    "kernel_entropy",
    "kernel_entropy_and_alpha_gradient",
    "kernel_entropy_and_gradient",
    "order_two_entropy",
]

FEATURES = ("linear", "cosine")
"""The kernels that are inner products, without a bandwidth."""


class Scaled(NamedTuple):
    """Samples, and what divides their distances: σ² or σ, a number or an array with two axes for pairs.

    ``nothing`` is 0 for each set of samples, NaN where one of its entries or its bandwidth is invalid; a set of zeros,
    or a bandwidth of 1, stands in there. ``power`` is that of σ.
    """

    x: Array
    bandwidth: Any
    scale: Any
    power: int
    nothing: Array


def _finite(x: Array, xp: Any) -> tuple[Array, Array]:
    """Return samples, those of a set with an invalid entry as zeros, and which sets are valid."""
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


def _over(terms: Terms, s: Scaled, *others: Array, laid: Sequence[bool], xp: Any) -> tuple[Array, ...]:
    return ask(by_rows, xp)(terms, (s.x, *others), cost=math.prod(s.x.shape), rows=laid, xp=xp)


def kernel_matrix(s: Scaled, *, xp: Any) -> Array:
    """Return the matrix exp(−r); NaN for what are no samples."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        return (xp.exp(-_exponents(_differences(block[0], s.x), s, xp)),)

    return _over(terms, s, laid=(True,), xp=xp)[0] + s.nothing[..., None, None]


def kernel_matrix_gradient(s: Scaled, slopes: Array, *, bandwidth: bool, xp: Any) -> Array:
    """Return the derivative with respect to the samples, or the bandwidth, given that with respect to the matrix."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        differences = _differences(block[0], s.x)
        r = _exponents(differences, s, xp)
        weights = block[1] * xp.exp(-r)
        return (xp.sum(weights * r, axis=(-2, -1)) if bandwidth else _directed(weights, differences, s, xp),)

    (gradient,) = _over(terms, s, slopes, laid=(not bandwidth,), xp=xp)
    if bandwidth:
        return gradient * s.power / _without_pairs(s.bandwidth)
    # a sample has a row and a column
    return -2 * gradient / s.scale


def _without_pairs(values: Any) -> Any:
    return values if isinstance(values, float) else values[..., 0, 0]


def order_two_entropy(s: Scaled, *, xp: Any) -> Array:
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

    gaps, squares = _over(terms, s, laid=(False, False), xp=xp)
    count = s.x.shape[-2] ** 2
    return order_two(gaps / count, squares / count, xp).h + s.nothing


def order_two_gradient(s: Scaled, *, bandwidth: bool, xp: Any) -> tuple[Array, Array]:
    """Return the entropy of order 2 and its derivative with respect to the samples, or the bandwidth."""

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        differences = _differences(block[0], s.x)
        r = _exponents(differences, s, xp)
        weights = xp.exp(-2 * r)
        slope = xp.sum(weights * r, axis=(-2, -1)) if bandwidth else _directed(weights, differences, s, xp)
        return xp.sum(-xp.expm1(-2 * r), axis=(-2, -1)), xp.sum(weights, axis=(-2, -1)), slope

    gaps, squares, slope = _over(terms, s, laid=(False, False, not bandwidth), xp=xp)
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


def _gram(x: Array, bandwidth: Any, kernel: KernelName, xp: Any) -> Array:
    if kernel in FEATURES:
        return feature_gram(x, kernel, xp)[0]
    return kernel_matrix(scaled(x, bandwidth, kernel, xp), xp=xp)


def kernel_entropy(x: Array, bandwidth: Any, order: Order, *, kernel: KernelName, xp: Any) -> Array:
    """Return the entropy of the kernel matrix of each set of samples."""
    if kernel not in FEATURES and not needs_eigenvalues(order):
        return order_two_entropy(scaled(x, bandwidth, kernel, xp), xp=xp)
    return gram_entropy(_gram(x, bandwidth, kernel, xp), order, measure=ENTROPY, xp=xp)


def kernel_entropy_and_gradient(
    x: Array, bandwidth: Any, order: Order, *, kernel: KernelName, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives with respect to the samples (0) or the bandwidth (1), times ``scale``."""
    of_matrix: dict[str, Any] = {"measure": ENTROPY, "xp": xp}
    if kernel in FEATURES:
        gram, samples, lengths = feature_gram(x, kernel, xp)
        value, slopes = gram_entropy_and_gradient(gram, order, **of_matrix)
        found = [feature_gradient(slopes, samples, lengths, xp)]
    else:
        s = scaled(x, bandwidth, kernel, xp)
        if needs_eigenvalues(order):
            value, slopes = gram_entropy_and_gradient(kernel_matrix(s, xp=xp), order, **of_matrix)
            found = [kernel_matrix_gradient(s, slopes, bandwidth=i == 1, xp=xp) for i in wrt]
        else:
            both = [order_two_gradient(s, bandwidth=i == 1, xp=xp) for i in wrt]
            value, found = both[0][0], [gradient for _, gradient in both]
    like = tuple(x for _ in wrt)
    return value, *finished(tuple(found), like, scale, xp, trailing=tuple(0 if i else 2 for i in wrt))


def kernel_entropy_and_alpha_gradient(
    x: Array, bandwidth: Any, order: Order, *, kernel: KernelName, xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    return gram_entropy_and_alpha_gradient(_gram(x, bandwidth, kernel, xp), order, measure=ENTROPY, xp=xp)


KERNEL_ENTROPY = Family(
    kernel_entropy,
    kernel_entropy_and_gradient,
    kernel_entropy_and_alpha_gradient,
    layouts=(2, 0),
    kept=0,
    masked=False,
)
