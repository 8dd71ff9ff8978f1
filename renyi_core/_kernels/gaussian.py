"""The Rényi entropy of a Gaussian and the divergence of two, and their derivatives.

With the Cholesky factor L of Σq, Δ = Σp − Σq, y = L⁻¹(μp − μq), t = α − 1, and the eigenvalues ε of L⁻¹ΔL⁻ᵀ::

    D = α/2 yᵀ(I − t L⁻¹ΔL⁻ᵀ)⁻¹y + Σ F(ε)/2              S = αΣq + (1 − α)Σp = L(I − t L⁻¹ΔL⁻ᵀ)Lᵀ
    F(ε) = −log(1 − t ε)/t − log(1 + ε) = α ε² ∫₀¹ u du/((1 − t ε u)(1 + ε u)) >= 0

The integral has a positive integrand, so that close covariances lose no digits, and none is divided by α − 1. With
w = S⁻¹(μp − μq) the derivatives are, and here nothing cancels either::

    ∂D/∂μp = α w = −∂D/∂μq          ∂D/∂Σp = α/2 (t w wᵀ + S⁻¹ΔΣp⁻¹)          ∂D/∂Σq = −α/2 (α w wᵀ + S⁻¹ΔΣq⁻¹)
    ∂D/∂α = wᵀΣp w/2 + Σ G(ε)/2      G(ε) = ∂F/∂α = ε² ∫₀¹ u du/(1 − t ε u)²

After M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate continuous
distributions", Information Sciences 249 (2013), table 2 and equation (10).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from .family import Family, finished
from .library import identity
from .orders import order_ratio, order_ratio_slope
from .quadrature import gauss_legendre
from .special import log1p_ratio
from .state import Order

Array = Any
Kernel = TypeVar("Kernel", bound=Callable[..., Any])
Kind = Literal["full", "diagonal", "isotropic"]

__all__ = [
    "GAUSSIAN_DIVERGENCE",
    "GAUSSIAN_ENTROPY",
    "TRAILING",
    "gaussian_divergence",
    "gaussian_divergence_and_alpha_gradient",
    "gaussian_divergence_and_gradient",
    "gaussian_entropy",
    "gaussian_entropy_and_alpha_gradient",
    "gaussian_entropy_and_gradient",
]

TRAILING = {"full": 2, "diagonal": 1, "isotropic": 0}
"""How many axes a covariance has."""
POINTS = 12
"""Nodes of F's integral where ``|ε|`` and ``|t ε|`` are at most 1/2: an error of 5.8**−24."""
NODES, WEIGHTS = gauss_legendre(POINTS)


def _log(values: Array, xp: Any) -> Array:
    """Return the logarithm, NaN where values are not positive."""
    positive = values > 0
    return xp.where(positive, xp.log(xp.where(positive, values, 1.0)), math.nan)


def _naming(covariance: str) -> Callable[[Kernel], Kernel]:
    """Let a kernel name the covariance where the library raises an error of linear algebra."""

    def decorate(kernel: Any) -> Any:
        @functools.wraps(kernel)
        def named(*args: Any, **kwargs: Any) -> Any:
            try:
                return kernel(*args, **kwargs)
            except Exception as error:
                if "LinAlgError" not in type(error).__name__:
                    raise
                msg = f"`{covariance}` is not positive definite: {error}"
                raise ValueError(msg) from error

        return named

    return decorate


def _log_determinant(covariance: Array, kind: Kind, dimension: int, xp: Any) -> Array:
    if kind == "full":
        return 2 * xp.sum(_log(xp.linalg.diagonal(xp.linalg.cholesky(covariance)), xp), axis=-1)
    return xp.sum(_log(covariance, xp), axis=-1) if kind == "diagonal" else dimension * _log(covariance, xp)


@_naming("covariance")
def gaussian_entropy(covariance: Array, order: Order, *, kind: Kind, dimension: int, xp: Any) -> Array:
    """Return the entropy of each Gaussian."""
    half = dimension / 2
    constant = half * math.log(2 * math.pi) + half * order_ratio(order, xp=xp)
    return _log_determinant(covariance, kind, dimension, xp) / 2 + constant


@_naming("covariance")
def gaussian_entropy_and_gradient(
    covariance: Array, order: Order, *, kind: Kind, dimension: int, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivative with respect to the covariance, half its inverse, times ``scale``."""
    value = gaussian_entropy(covariance, order, kind=kind, dimension=dimension, xp=xp)
    if kind == "full":
        half = xp.linalg.inv(covariance) / 2
        gradient = (half + xp.matrix_transpose(half)) / 2
    else:
        sound = covariance > 0
        inverse = xp.where(sound, 1 / xp.where(sound, covariance, 1.0), math.nan)
        gradient = inverse * (dimension / 2 if kind == "isotropic" else 0.5)
    return value, *finished((gradient,), (covariance,), scale, xp, trailing=(TRAILING[kind],))


@_naming("covariance")
def gaussian_entropy_and_alpha_gradient(
    covariance: Array, order: Order, *, kind: Kind, dimension: int, xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    value = gaussian_entropy(covariance, order, kind=kind, dimension=dimension, xp=xp)
    sound = _log_determinant(covariance, kind, dimension, xp)
    return value, dimension / 2 * order_ratio_slope(order, xp=xp) + 0 * sound


class Whitened(NamedTuple):
    """What Σq makes a unit: ε, 1 + ε without its rounding, y, and for full covariances L and the matrices of both."""

    eps: Array
    ratio: Array
    y: Array
    factor: Any
    gap: Any
    whole: Any


def _whiten(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array, kind: Kind, xp: Any) -> Whitened:
    y = mean_p - mean_q
    if kind == "diagonal":
        sound = (cov_q > 0) & (cov_p > 0)
        unit = xp.where(sound, cov_q, 1.0)
        eps = xp.where(sound, xp.where(sound, cov_p - cov_q, 0.0) / unit, math.nan)
        ratio = xp.where(sound, cov_p, math.nan) / unit
        return Whitened(eps + 0 * y, ratio + 0 * y, y / xp.sqrt(unit), None, None, None)
    if not hasattr(getattr(xp, "linalg", None), "eigvalsh"):
        msg = f"`kind='full'` needs eigenvalues, which {xp.__name__} does not have; 'diagonal' does not"
        raise TypeError(msg)
    factor = xp.linalg.cholesky(cov_q)
    gap, whole = _within(factor, cov_p - cov_q, xp), _within(factor, cov_p + 0 * cov_q, xp)
    y = xp.linalg.solve(factor + 0 * gap, y[..., None] + 0 * gap[..., :1])[..., 0]
    # of the gap those near 0 are exact, of the whole those near −1, in the same ascending order
    eps, ratio = xp.linalg.eigvalsh(gap), xp.linalg.eigvalsh(whole)
    sound = ratio > 0
    eps, ratio = xp.where(sound, eps, math.nan), xp.where(sound, ratio, math.nan)
    return Whitened(eps + 0 * y, ratio + 0 * y, y, factor, gap, whole)


def _within(factor: Array, matrix: Array, xp: Any) -> Array:
    """Return L⁻¹ X L⁻ᵀ, symmetric but for the rounding of the two solutions, and then without."""
    half = xp.linalg.solve(factor + 0 * matrix, matrix)
    both = xp.linalg.solve(factor + 0 * matrix, xp.matrix_transpose(half))
    return (both + xp.matrix_transpose(both)) / 2


class Mixture(NamedTuple):
    """S in units of Σq: 1 − t ε, and at α = ∞, where S/α counts, −ε.

    α = ``alpha`` (1 at ∞) multiplies its inverse, and ``slope``, t (1 at ∞), is the derivative of −S along ε. All have
    a last axis where they are arrays. ``values`` are those of the eigenvalues, 1 instead where that is not positive;
    ``finite`` says where the divergence is.
    """

    alpha: Any
    t: Any
    slope: Any
    last: Any
    values: Array
    finite: Array


def _mixed(m: Mixture, w: Whitened, xp: Any, unit: Any = None) -> Array:
    """Return the eigenvalues of S, or given a unit matrix S itself; for α < 1 as α + (1 − α)(1 + ε), of one sign."""
    unit, gap, whole = (1.0, w.eps, w.ratio) if unit is None else (unit, w.gap, w.whole)
    if isinstance(m.t, float):
        return -gap if m.last else m.alpha * unit - m.t * whole if m.t < 0 else unit - m.t * gap
    last, alpha, t = (m.last, m.alpha, m.t) if gap is w.eps else (x[..., None] for x in (m.last, m.alpha, m.t))
    return xp.where(last, -gap, xp.where(t < 0, alpha * unit - t * whole, unit - t * gap))


def _mixture(w: Whitened, order: Order, xp: Any) -> Mixture:
    alpha, t = order.alpha, order.t
    if order.static:
        last = alpha == math.inf
        alpha, t, slope = (1.0, 0.0, 1.0) if last else (alpha, t, t)
    else:
        last, alpha, t = order.infinite[..., None], alpha[..., None], t[..., None]
        alpha, t = xp.where(last, 1.0, alpha), xp.where(last, 0.0, t)
        slope = xp.where(last, 1.0, t)
    m = Mixture(alpha, t, slope, last, w.eps, w.eps)
    values = _mixed(m, w, xp) + 0 * w.eps
    positive = values > 0
    # at α = ∞ a direction in which P and Q agree counts for nothing; NaN is left to show itself
    nothing = last & (w.eps == 0) & (w.y == 0)
    if w.gap is not None:
        positive = xp.all(positive, axis=-1, keepdims=True)
        nothing = last & ~xp.any(w.eps > 0, axis=-1, keepdims=True) & xp.all(w.y == 0, axis=-1, keepdims=True)
    finite = xp.all(positive | nothing, axis=-1) | xp.any(xp.isnan(values), axis=-1)
    return m._replace(values=xp.where(positive, values, 1.0), finite=finite)


def _solved(w: Whitened, m: Mixture, unit: Any, xp: Any) -> tuple[Array, Any]:
    """Return what S in units of Σq gives of y, and for full covariances S itself; where it is none, the unit."""
    if w.gap is None:
        return w.y / m.values, None
    positive = xp.all(_mixed(m, w, xp) > 0, axis=-1)[..., None, None]
    matrix = xp.where(positive, _mixed(m, w, xp, unit), unit)
    return xp.linalg.solve(matrix, w.y[..., None] + 0 * matrix[..., :1])[..., 0], matrix


def _log_ratio(w: Whitened, xp: Any) -> Array:
    """Return log(1 + ε)."""
    near = xp.abs(w.eps) <= 0.5
    return xp.where(near, xp.log1p(xp.where(near, w.eps, 0.0)), xp.log(w.ratio)) + 0 * w.eps


def _integral(integrand: Any) -> Any:
    """Return the integral over (0, 1)."""
    total = WEIGHTS[0] * integrand(NODES[0])
    for node, weight in zip(NODES[1:], WEIGHTS[1:], strict=True):
        total = total + weight * integrand(node)
    return total


def _excess(w: Whitened, m: Mixture, xp: Any) -> Array:
    """Return F(ε) for 1 − tε > 0."""
    eps, log_ratio = w.eps, _log_ratio(w, xp)
    u = m.t * eps
    near = (xp.abs(eps) <= 0.5) & (xp.abs(u) <= 0.5)
    e, v = xp.where(near, eps, 0.0), xp.where(near, u, 0.0)
    inner = m.alpha * e * e * _integral(lambda x: x / ((1 - v * x) * (1 + e * x)))
    sound = ~near & (u < 1)
    flat = ~sound | (xp.abs(u) <= 0.5)
    small = sound & (m.alpha < 0.5)
    v, t = xp.where(flat, 0.5, u), xp.where(flat & ~small, 1.0, m.t + 0 * u)
    gentle = log1p_ratio(-xp.where(sound & flat, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    far = xp.where(flat, eps * gentle, -xp.log1p(-v) / t) - log_ratio
    # 1 − tε = (1 + ε)(1 − αε/(1 + ε)): for a small α the two logarithms above are nearly equal
    e, ratio = xp.where(small, eps, 0.0), xp.where(small, w.ratio, 1.0)
    below = m.alpha * log_ratio + xp.log1p(-m.alpha * e / ratio)
    return xp.where(near, inner, xp.where(small, -below / t, far) + 0 * eps)


def _excess_slope(w: Whitened, m: Mixture, xp: Any) -> Array:
    """Return G(ε) for 1 − tε > 0."""
    eps = w.eps
    u = m.t * eps
    far = (xp.abs(u) > 0.5) & (u < 1)
    v = xp.where(xp.abs(u) <= 0.5, u, 0.0)
    inner = eps * eps * _integral(lambda x: x / ((1 - v * x) * (1 - v * x)))
    e, t, values = xp.where(far, eps, 0.0), xp.where(far, m.t + 0 * u, 1.0), xp.where(far, m.values, 1.0)
    return xp.where(far, (xp.log(values) / t + e / values) / t, inner)


def _value(w: Whitened, m: Mixture, order: Order, solved: Array, xp: Any) -> Array:
    far = m.alpha * w.y * solved
    if order.static and order.alpha == math.inf:
        terms = far - _log_ratio(w, xp)
    else:
        terms = far + _excess(w, m, xp)
        if not order.static:
            terms = xp.where(order.infinite[..., None], far - _log_ratio(w, xp), terms)
    return xp.where(m.finite, xp.sum(terms, axis=-1) / 2, math.inf)


@_naming("covariance_q")
def gaussian_divergence(
    mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array, order: Order, *, kind: Kind, xp: Any
) -> Array:
    """Return the divergence of each pair."""
    unit = _unit(mean_p, kind, xp)
    numbers = (cov_p > 0) & (cov_q > 0) if unit is None else ~xp.isnan(cov_p + cov_q)
    sound = ~xp.any(xp.isnan(mean_p - mean_q), axis=-1) & xp.all(numbers, axis=(-1,) if unit is None else (-2, -1))
    row = sound[..., None]
    mean_p, mean_q = xp.where(row, mean_p, 0.0), xp.where(row, mean_q, 0.0)
    row, one = (row, 1.0) if unit is None else (row[..., None], unit)
    cov_p, cov_q = xp.where(row, cov_p, one), xp.where(row, cov_q, one)
    w = _whiten(mean_p, cov_p, mean_q, cov_q, kind, xp)
    m = _mixture(w, order, xp)
    return xp.where(sound, _value(w, m, order, _solved(w, m, unit, xp)[0], xp), math.nan)


def _unwhitened(factor: Array, matrix: Array, xp: Any) -> Array:
    """Return L⁻ᵀ X L⁻¹ for a symmetric X."""
    upper = xp.matrix_transpose(factor) + 0 * matrix
    half = xp.linalg.solve(upper, matrix)
    whole = xp.linalg.solve(upper, xp.matrix_transpose(half))
    return (whole + xp.matrix_transpose(whole)) / 2


@_naming("covariance_q")
def gaussian_divergence_and_gradient(
    mean_p: Array,
    cov_p: Array,
    mean_q: Array,
    cov_q: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    kind: Kind,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the divergence and its derivatives with respect to the first four arguments, times ``scale``."""
    unit, given = _unit(mean_p, kind, xp), (mean_p, cov_p, mean_q, cov_q)
    w = _whiten(mean_p, cov_p, mean_q, cov_q, kind, xp)
    m = _mixture(w, order, xp)
    solved, matrix = _solved(w, m, unit, xp)
    value = _value(w, m, order, solved, xp)
    nothing = xp.where(xp.isfinite(value), 0.0 * xp.where(xp.isfinite(value), value, 0.0), math.nan)[..., None]
    along = _diagonal if kind == "diagonal" else _full
    found = along(w, m, solved, matrix, cov_p, cov_q, nothing, xp)
    trailing = (1, TRAILING[kind], 1, TRAILING[kind])
    parts = tuple(found(i) for i in wrt)
    return value, *finished(parts, tuple(given[i] for i in wrt), scale, xp, trailing=tuple(trailing[i] for i in wrt))


def _unit(like: Array, kind: Kind, xp: Any) -> Any:
    """Return the identity matrix for full covariances."""
    return identity(like.shape[-1], like, xp) if kind == "full" else None


def _diagonal(
    w: Whitened, m: Mixture, solved: Array, _: None, cov_p: Array, cov_q: Array, nothing: Array, xp: Any
) -> Callable[[int], Array]:
    alpha, sound = m.alpha, cov_q > 0
    along = solved / xp.sqrt(xp.where(sound, cov_q, 1.0))

    def derivative(i: int) -> Array:
        if i in {0, 2}:
            return (1 - i) * alpha * along + nothing
        cov = cov_p if i == 1 else cov_q
        other = w.eps / m.values / xp.where(cov > 0, cov, 1.0)
        factor, sign = (m.slope, 0.5) if i == 1 else (alpha, -0.5)
        return sign * alpha * (factor * along * along + other) + nothing

    return derivative


def _full(
    w: Whitened, m: Mixture, solved: Array, matrix: Array, _: Array, __: Array, nothing: Array, xp: Any
) -> Callable[[int], Array]:
    upper = xp.matrix_transpose(w.factor) + 0 * matrix
    along = xp.linalg.solve(upper, solved[..., None])

    def derivative(i: int) -> Array:
        alpha = m.alpha
        if i in {0, 2}:
            return (1 - i) * alpha * along[..., 0] + nothing
        other = xp.linalg.solve(matrix, w.gap + 0 * matrix)
        if i == 1:
            other = xp.linalg.solve(w.whole + 0 * other, other)
        factor, sign = (m.slope, 0.5) if i == 1 else (alpha, -0.5)
        if not isinstance(alpha, float):
            alpha, factor = alpha[..., None], factor[..., None]
        outer = along * xp.matrix_transpose(along)
        return sign * alpha * (factor * outer + _unwhitened(w.factor, other, xp)) + nothing[..., None]

    return derivative


@_naming("covariance_q")
def gaussian_divergence_and_alpha_gradient(
    mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array, order: Order, *, kind: Kind, xp: Any
) -> tuple[Array, Array]:
    """Return the divergence of each pair and its derivative with respect to α, which is not negative."""
    w = _whiten(mean_p, cov_p, mean_q, cov_q, kind, xp)
    m = _mixture(w, order, xp)
    solved, _ = _solved(w, m, _unit(mean_p, kind, xp), xp)
    value = _value(w, m, order, solved, xp)
    moved = w.ratio * solved if w.gap is None else xp.sum(w.whole * xp.matrix_transpose(solved[..., None]), axis=-1)
    slope = xp.sum(solved * moved + _excess_slope(w, m, xp), axis=-1) / 2
    if order.static:
        slope = 0.0 * slope if order.alpha == math.inf else slope
    else:
        slope = xp.where(order.infinite, 0.0, slope)
    return value, xp.where(xp.isfinite(value), slope, math.nan)


def _entropies(kind: Kind) -> Family:
    kernels = gaussian_entropy, gaussian_entropy_and_gradient, gaussian_entropy_and_alpha_gradient
    return Family(*kernels, layouts=(TRAILING[kind],), kept=0, masked=False)


def _divergences(kind: Kind) -> Family:
    kernels = gaussian_divergence, gaussian_divergence_and_gradient, gaussian_divergence_and_alpha_gradient
    return Family(*kernels, layouts=(1, TRAILING[kind], 1, TRAILING[kind]), kept=0, masked=False)


GAUSSIAN_ENTROPY: dict[str, Family] = {kind: _entropies(kind) for kind in ("full", "diagonal", "isotropic")}
GAUSSIAN_DIVERGENCE: dict[str, Family] = {kind: _divergences(kind) for kind in ("full", "diagonal")}
