"""The Rényi entropy of the eigenvalues of a positive semidefinite matrix K, divided by their sum, and its derivatives.

Eigenvalues within N·eps of zero, next to the largest, are 0, as for a numerical rank. At order 2 none are needed::

    S₂ = −log(‖K‖²/tr(K)²) = −log1p(−Σ_ij (K_ii K_jj − K_ij²)/tr(K)²)

Every term of the sum is a minor of K, not negative, and formed without the rounding of its products: where the samples
nearly coincide it is the whole entropy. The derivative is U diag(∂H/∂λ) Uᵀ, at order 2::

    ∂S₂/∂K = 2 (I/tr(K) − K/‖K‖²)

After L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from .entropy import entropy, entropy_and_alpha_gradient, entropy_and_gradient, factor_of
from .family import Family, finished
from .library import ask, identity
from .measures import ENTROPY, Measure
from .row_blocks import by_rows
from .special import product_gap
from .state import Order, Rows

Array = Any
Kind = Literal["joint", "information"]

__all__ = [
    "GRAM_ENTROPY",
    "GRAM_PAIR",
    "Kind",
    "gram_entropy",
    "gram_entropy_and_alpha_gradient",
    "gram_entropy_and_gradient",
    "gram_pair",
    "gram_pair_and_alpha_gradient",
    "gram_pair_and_gradient",
    "needs_eigenvalues",
    "order_two",
]

_ROW: dict[str, Any] = {"source": "probs", "where": None, "axis": (-1,)}


def needs_eigenvalues(order: Order) -> bool:
    """Return whether an order takes more than the sum of the squares of the eigenvalues."""
    return not (order.static and order.alpha == 2)


def _absorbed(values: Array, n: int) -> Array:
    """Return 0 for values within n·eps of 0, their derivative with it: next to 8n they are less than its rounding.

    XLA would add 8n and −8n first, if they were constants.
    """
    far = 8 * n + 0.0 * values
    return (values + far) - far


def _symmetric(gram: Array, xp: Any) -> tuple[Array, Array, Array]:
    """Return the symmetric part, its trace, and where it can be a kernel matrix; the unit trace stands in elsewhere."""
    gram = 0.5 * gram + 0.5 * xp.matrix_transpose(gram)
    diagonal = xp.linalg.diagonal(gram)
    sound = xp.all(xp.isfinite(gram), axis=(-2, -1)) & xp.all(diagonal >= 0, axis=-1) & xp.any(diagonal > 0, axis=-1)
    gram = xp.where(sound[..., None, None], gram, 0.0)
    trace = xp.sum(xp.where(sound[..., None], diagonal, 0.0), axis=-1)
    return gram, xp.where(sound, trace, 1.0), sound


def _cleaned(values: Array, trace: Array, order: Order, xp: Any) -> Array:
    """Return the eigenvalues next to the trace, 0 where rounding is all they are.

    At α = ∞ those that rounding alone tells from the largest are equal to it, to share its derivative.
    """
    n = values.shape[-1]
    values = values / trace[..., None]
    top = xp.max(values, axis=-1, keepdims=True)
    least = n * float(xp.finfo(values.dtype).eps) * top
    tiny = xp.abs(values) <= least
    values = xp.where(tiny, _absorbed(xp.where(tiny, values, 0.0), n), values)
    last = order.alpha == math.inf if order.static else order.infinite[..., None]
    if last is False:
        return values
    tied = last & (values >= top - least)
    return xp.where(tied, top + _absorbed(xp.where(tied, values - top, 0.0), n), values)


def _by_row(order: Order) -> Order:
    """Return the order with an axis for the eigenvalues."""
    return order if order.static else Order(*(part[..., None] for part in order))


def check_eigenvalues(xp: Any) -> None:
    """Raise TypeError if the library has no eigenvalues."""
    if not hasattr(getattr(xp, "linalg", None), "eigvalsh"):
        msg = f"`alpha` other than the number 2 needs eigenvalues, which {xp.__name__} does not have"
        raise TypeError(msg)


def gram_entropy(gram: Array, order: Order, *, measure: Measure, xp: Any) -> Array:
    """Return the measure of the eigenvalues of each matrix."""
    if needs_eigenvalues(order):
        check_eigenvalues(xp)
    gram, trace, sound = _symmetric(gram, xp)
    if not needs_eigenvalues(order):
        return measure.value(order_two(*_collision(gram, trace, sound, xp), xp), order, xp=xp)
    values = _cleaned(xp.linalg.eigvalsh(gram), trace, order, xp)
    value = entropy(values, _by_row(order), measure=measure, xp=xp, **_ROW)
    return xp.where(sound, value[..., 0], math.nan)


def _collision(gram: Array, trace: Array, sound: Array, xp: Any) -> tuple[Array, Array]:
    """Return Σ (K_ii K_jj − K_ij²)/tr(K)² and ‖K‖²/tr(K)²."""
    n, eps = gram.shape[-1], float(xp.finfo(gram.dtype).eps)
    # by a power of 2, which rounds nothing, and only where squares could overflow or underflow
    far = (trace > 2.0**20 * n) | (trace < 2.0**-20 * n)
    scale = xp.where(far, 2.0 ** -xp.floor(xp.log2(trace / n)), 1.0)
    gram, trace = gram * scale[..., None, None], trace * scale
    diagonal = xp.linalg.diagonal(gram)

    def terms(block: tuple[Array, ...], start: int | None) -> tuple[Array, ...]:  # noqa: ARG001
        (entries, a), b = block, diagonal[..., None, :]
        product = a * b
        minors = product_gap(product, entries, entries, eps=eps) - product_gap(product, a, b, eps=eps)
        return xp.sum(minors, axis=(-2, -1)), xp.sum(entries * entries, axis=(-2, -1))

    cost = math.prod(gram.shape) // n
    mixed, purity = ask(by_rows, xp)(terms, (gram, diagonal[..., None]), cost=cost, rows=(False, False), xp=xp)
    mixed, purity = mixed / trace / trace, purity / trace / trace
    # the rounding of K itself may leave a matrix of rank one a negative minor
    none = (mixed <= 0) & (mixed >= -n * eps)
    mixed = xp.where(none, _absorbed(xp.where(none, mixed, 0.0), n), mixed)
    return xp.where(sound & (mixed >= 0), mixed, math.nan), purity


def order_two(mixed: Array, purity: Array, xp: Any) -> Rows:
    """Return the entropy of order 2 from 1 − Σ p², as it is without cancellation, and Σ p²."""
    near, far = mixed <= 0.5, (mixed > 0.5) & (purity > 0)
    h = -xp.where(near, xp.log1p(-xp.where(near, mixed, 0.0)), xp.log(xp.where(far, purity, 1.0)))
    h = xp.where(near | far, h, math.nan)
    one = 1 + 0 * h
    return Rows(one, h, 0 * h, h, one * purity)


def _purity_gap(shares: Array, unit: Array, xp: Any) -> Array:
    """Return ‖A‖² I − A for a trace of 1; as sums of squares and differences, which are small for A near I/N."""
    diagonal = xp.linalg.diagonal(shares)
    between = shares * (1 - unit)
    spread = xp.sum(diagonal[..., None, :] * (diagonal[..., None, :] - diagonal[..., :, None]), axis=-1)
    return unit * (xp.sum(between * between, axis=(-2, -1))[..., None] + spread)[..., None] - between


def gram_entropy_and_gradient(
    gram: Array, order: Order, *, measure: Measure, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the measure and its derivative, symmetric, with respect to the matrix, times ``scale``."""
    value, gradient = _with_gradient(gram, order, measure, xp)
    return value, *finished((gradient,), (gram,), scale, xp, trailing=(2,))


def _with_gradient(gram: Array, order: Order, measure: Measure, xp: Any) -> tuple[Array, Array]:
    if needs_eigenvalues(order):
        check_eigenvalues(xp)
    gram, trace, sound = _symmetric(gram, xp)
    size = trace[..., None, None]
    if not needs_eigenvalues(order):
        sums = order_two(*_collision(gram, trace, sound, xp), xp)
        value, factor = measure.value(sums, order, xp=xp), factor_of(sums, order, measure, None, xp)
        purity = sums.total_alpha[..., None, None]
        unit = identity(gram.shape[-1], gram, xp)
        gradient = 2 * _purity_gap(gram / size, unit, xp) / xp.where(purity > 0, purity, 1.0) / size
        gradient = gradient + 0 * sums.h[..., None, None]
        return value, gradient if factor is None else gradient * factor[..., None, None]
    values, vectors = xp.linalg.eigh(gram)
    values = _cleaned(values, trace, order, xp)
    value, slopes = entropy_and_gradient(values, _by_row(order), measure=measure, xp=xp, **_ROW)
    gradient = xp.matmul(vectors * slopes[..., None, :], xp.matrix_transpose(vectors)) / size
    gradient = (gradient + xp.matrix_transpose(gradient)) / 2
    value = xp.where(sound, value[..., 0], math.nan)
    return value, gradient + 0 * value[..., None, None]


def gram_entropy_and_alpha_gradient(gram: Array, order: Order, *, measure: Measure, xp: Any) -> tuple[Array, Array]:
    """Return the measure of the eigenvalues of each matrix and its derivative with respect to α."""
    check_eigenvalues(xp)
    gram, trace, sound = _symmetric(gram, xp)
    values = _cleaned(xp.linalg.eigvalsh(gram), trace, order, xp)
    value, slope = entropy_and_alpha_gradient(values, _by_row(order), measure=measure, xp=xp, **_ROW)
    return xp.where(sound, value[..., 0], math.nan), xp.where(sound, slope[..., 0], math.nan)


def _product(x: Array, y: Array, xp: Any) -> Array:
    """Return the Hadamard product of two matrices; of one that is not finite, NaN throughout."""
    sound = xp.all(xp.isfinite(x) & xp.isfinite(y), axis=(-2, -1))[..., None, None]
    return xp.where(sound, xp.where(sound, x, 0.0) * xp.where(sound, y, 0.0), math.nan)


def gram_pair(x: Array, y: Array, order: Order, *, kind: Kind, xp: Any) -> Array:
    """Return the joint entropy of two variables, or their mutual information."""
    joint = gram_entropy(_product(x, y, xp), order, measure=ENTROPY, xp=xp)
    if kind == "joint":
        return joint
    one, other = (gram_entropy(gram, order, measure=ENTROPY, xp=xp) for gram in (x, y))
    return one + other - joint


def gram_pair_and_gradient(
    x: Array, y: Array, order: Order, *, kind: Kind, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the quantity and its gradients with respect to the matrices, times ``scale``."""
    grams = x, y
    value, gradient = _with_gradient(_product(x, y, xp), order, ENTROPY, xp)
    found = [gradient * grams[1 - i] for i in wrt]
    if kind == "information":
        each = {i: gram_entropy(grams[i], order, measure=ENTROPY, xp=xp) for i in (0, 1) if i not in wrt}
        for k, i in enumerate(wrt):
            each[i], own = _with_gradient(grams[i], order, ENTROPY, xp)
            found[k] = own - found[k]
        value = each[0] + each[1] - value
    return value, *finished(tuple(found), tuple(grams[i] for i in wrt), scale, xp, trailing=(2,) * len(wrt))


def gram_pair_and_alpha_gradient(x: Array, y: Array, order: Order, *, kind: Kind, xp: Any) -> tuple[Array, Array]:
    """Return the quantity and its derivative with respect to α."""
    grams = (x, y, _product(x, y, xp)) if kind == "information" else (_product(x, y, xp),)
    parts = [gram_entropy_and_alpha_gradient(gram, order, measure=ENTROPY, xp=xp) for gram in grams]
    if kind == "joint":
        return parts[0]
    value, slope = (one + other - joint for one, other, joint in zip(*parts, strict=True))
    return value, slope


GRAM_ENTROPY = Family(
    gram_entropy, gram_entropy_and_gradient, gram_entropy_and_alpha_gradient, layouts=(2,), kept=0, masked=False
)
GRAM_PAIR = Family(
    gram_pair, gram_pair_and_gradient, gram_pair_and_alpha_gradient, layouts=(2, 2), kept=0, masked=False
)
