"""The Rényi entropy of y = tanh(x) for a Gaussian x, and its derivatives, by Gauss–Legendre quadrature.

With t = α − 1, g(x) = 2 log cosh x and N the Gaussian of mean μ and scale s = σ/√α, a change of variables gives::

    H = log σ + log(2π)/2 + log α/(2t) − Λ/t          Λ = log E_N exp(t g)
    ∂H/∂μ = −E_π g'          ∂H/∂σ = 1/σ − E_π (g' v)/√α          v = (x − μ)/s,  π ∝ N exp(t g)
    ∂H/∂α = (log α/t)'/2 − (t E_π g − Λ)/t² + E_π (g' s v)/(2α)

As g is even, the integral is one over x > 0, where N(x) + N(−x) stands for N and π has one mode. The nodes are those of
the interval that holds π to the precision of the dtype: all is analytic there, but for g at ±iπ/2, which the nodes,
dense at the ends, can tell from 0. Near α = 1 the integral is Σ N expm1(t g)/t instead, whose terms have one sign.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .dtypes import cast
from .family import ENTRIES, Family, finished
from .library import ask, constants
from .orders import order_ratio, order_ratio_slope
from .quadrature import gauss_legendre
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, nonzero

Array = Any

__all__ = [
    "LOG_SCALE",
    "SQUASHED",
    "TANH_GAUSSIAN",
    "tanh_gaussian_entropy",
    "tanh_gaussian_entropy_and_alpha_gradient",
    "tanh_gaussian_entropy_and_gradient",
]

NEAR = 0.25
"""Up to this distance of α to 1, Λ/t comes from expm1(t g)/t."""


def _size(eps: float) -> int:
    """Return how many nodes the precision ``eps`` needs: measured, for scales of up to 20."""
    return 128 if eps < 1e-10 else 64


class Nodes(NamedTuple):
    """The nodes along the last axis: v, g, tanh x, the logarithm of N without its factor, weights of x and −x.

    ``alpha``, ``t``, ``s`` and ``r`` = μ/s are those of the distribution, with a last axis of length 1.
    """

    v: Array
    g: Array
    tanh: Array
    log_density: Array
    weight: Array
    mirrored: Array
    alpha: Any
    t: Any
    s: Array
    r: Array


def _positive(values: Array, xp: Any) -> Array:
    return xp.where(values > 0, values, 0.0)


def _log_cosh_squared(x: Array, xp: Any) -> Array:
    """Return 2 log cosh x for x >= 0, to the last digit also near 0."""
    small = x < 1
    near = xp.sinh(xp.where(small, x, 0.0) / 2)
    far = xp.where(small, 1.0, x)
    return xp.where(small, 2 * xp.log1p(2 * near * near), 2 * (far - math.log(2)) + 2 * xp.log1p(xp.exp(-2 * far)))


def _mode(mean: Array, pull: Array, steps: int, xp: Any) -> Array:
    """Return the root x >= 0 of x = mean + pull tanh x, both >= 0, which Newton's steps near from above."""
    x = mean + pull
    for _ in range(steps):
        tanh = xp.tanh(x)
        slope = (1 - pull) + pull * tanh * tanh
        x = x - (x - mean - pull * tanh) / xp.where(slope == 0, 1.0, slope)
    return _positive(x, xp)


def _last(values: Any) -> Any:
    """Return values with a new last axis, for the nodes."""
    return values if type(values) is float else values[..., None]


def _interval(mean: Array, s: Array, t: Any, depth: float, xp: Any) -> tuple[Array, Array]:
    """Return the ends, in units of v, of what of π at x > 0 is not below exp(−depth) of its peak."""
    reach = math.sqrt(2 * depth)
    r = mean / s
    if type(t) is float:
        up, below, near = max(t, 0.0), max(-t, 0.0), abs(t) <= NEAR
    else:
        up, below, near = _positive(t, xp), _positive(-t, xp), xp.abs(t) <= NEAR
    # t > 0: log cosh is convex, of slope 1 at most, so that beyond the mode π falls faster than the bound
    pull = 2 * up * s
    mode = _mode(mean, pull * s, 8, xp)
    tail = xp.exp(-2 * mode)
    center, excess = pull * (1 - tail) / (1 + tail), pull * 2 * tail / (1 + tail)
    right = center + excess + xp.sqrt(excess * excess + 2 * depth)
    left = center - math.sqrt(2) * reach
    # near α = 1, N itself counts too
    left = xp.where((left > -reach) & near, -reach, left)
    tanh = xp.tanh(_positive(mean + s * left, xp))
    left = xp.where(2 * pull * s * (1 - tanh * tanh) <= 1, left, -r)
    # t < 0: log cosh(μ + d) − log cosh μ >= d − log 2, and the mode is between μ − 2 |t| s² and μ
    pull = 2 * below * s
    further = 2 * (depth + 2 * math.log(2))
    short = further / (xp.sqrt(pull * pull + further) + pull)
    if type(t) is float:
        if t < 0:
            left, right = -pull - reach, reach + 0 * pull if near else short
    else:
        left = xp.where(t < 0, -pull - reach, left)
        right = xp.where(t < 0, xp.where(near, reach + 0 * pull, short), right)
    return xp.where(left > -r, left, -r), right


def _nodes(mean: Array, scale: Array, order: Order, xp: Any) -> Nodes:
    """Return the nodes for a mean >= 0 and a finite order > 0; 1 stands for α = 0."""
    alpha, t = order.alpha, order.t
    if not order.static:
        alpha, t = xp.where(alpha == 0, 1.0, alpha), xp.where(alpha == 0, 0.0, t)
    s = scale / (math.sqrt(alpha) if order.static else xp.sqrt(alpha))
    mean, s = mean + 0 * s, s + 0 * mean
    depth = 4 - math.log(float(xp.finfo(s.dtype).eps))
    left, right = _interval(mean, s, t, depth, xp)
    mean, s, left, right, alpha, t = map(_last, (mean, s, left, right, alpha, t))
    r = mean / s
    quadrature = ask(gauss_legendre, xp)(_size(float(xp.finfo(s.dtype).eps)))
    points, shares = (constants(part, s, xp)[(None,) * (r.ndim - 1) + (...,)] for part in quadrature)
    v = left + (right - left) * points
    x = _positive(mean + s * v, xp)
    weight = (right - left) * shares / math.sqrt(2 * math.pi)
    mirrored = weight * xp.exp(-2 * r * _positive(v + r, xp))
    return Nodes(v, _log_cosh_squared(x, xp), xp.tanh(x), -v * v / 2, weight, mirrored, alpha, t, s, r)


class Gain(NamedTuple):
    """Λ/t; N exp(t g)/exp(peak) at the nodes without their weights, and its sum over both sides."""

    value: Array
    tilted: Array
    total: Array


def _gain(nodes: Nodes, order: Order, xp: Any) -> Gain:
    u = nodes.t * nodes.g
    both = nodes.weight + nodes.mirrored
    exponent = nodes.log_density + u
    peak = xp.max(exponent, axis=-1, keepdims=True)
    tilted = xp.exp(exponent - peak)
    total = xp.sum(both * tilted, axis=-1, keepdims=True)
    t = nonzero(Order(nodes.alpha, nodes.t), xp=xp)
    apart = (xp.log(total) + peak) / t
    if order.static and abs(order.t) > NEAR:
        return Gain(apart, tilted, total)
    eps = float(xp.finfo(u.dtype).eps)
    safe = xp.max(xp.abs(u), axis=-1, keepdims=True) < 0.8 * math.log(float(xp.finfo(u.dtype).max))
    small = xp.abs(u) <= 1
    small_terms = nodes.g * expm1_ratio(xp.where(small, u, 0.0), eps=eps, xp=xp)
    terms = xp.where(small, small_terms, xp.expm1(xp.where(safe & ~small, u, 0.0)) / t)
    mean = xp.sum(both * xp.exp(nodes.log_density) * terms, axis=-1, keepdims=True)
    inner = safe & (nodes.t * mean > -0.5)
    if not order.static:
        inner = inner & (xp.abs(nodes.t) <= NEAR)
    near = mean * log1p_ratio(xp.where(inner, nodes.t * mean, 0.0), eps=eps, xp=xp)
    return Gain(xp.where(inner, near, apart), tilted, total)


class Parameters(NamedTuple):
    """Mean (not below 0) and scale, with 0 and 1 in place of what is invalid, and where they are valid."""

    mean: Array
    scale: Array
    sound: Array
    sign: Array


def _parameters(mean: Array, scale: Array, xp: Any) -> Parameters:
    sound = (scale > 0) & xp.isfinite(scale) & xp.isfinite(mean)
    mean, scale = xp.where(sound, mean, 0.0), xp.where(sound, scale, 1.0)
    negative = mean < 0
    # not abs(), whose derivative at 0 would hide the second one
    return Parameters(xp.where(negative, -mean, mean), scale, sound, xp.where(negative, -1.0, 1.0 + 0 * mean))


def _held(order: Order, like: Array, xp: Any) -> Order:
    """Return the order, ∞ in place of one that differs from it by less than rounding: log α/α is below its square.

    The interval of the nodes, of width 1/√α, would be lost in the rounding of where it lies.
    """
    most = float(xp.finfo(like.dtype).eps) ** -1.5
    if order.static:
        return Order(math.inf, math.inf) if order.alpha > most else order
    infinite = order.infinite | (order.alpha > most)
    return Order(xp.where(infinite, 2.0, order.alpha), xp.where(infinite, 1.0, order.t), infinite)


def _least(p: Parameters, xp: Any) -> tuple[Array, Array]:
    """Return H_∞ and the x of the largest density."""
    mode = _mode(p.mean, 2 * p.scale * p.scale, 40, xp)
    far = (mode - p.mean) / p.scale
    value = math.log(2 * math.pi) / 2 + xp.log(p.scale) + far * far / 2 - _log_cosh_squared(mode, xp)
    return value, mode


def _slope_at_zero(p: Parameters, xp: Any) -> Array:
    """Return ∂H/∂α at α = 0: minus the Kullback–Leibler divergence of the uniform distribution of y from y's own."""
    mean_square = (math.pi**2 / 12 + p.mean * p.mean) / (2 * p.scale * p.scale)
    return 2 - math.log(2) - math.log(2 * math.pi) / 2 - xp.log(p.scale) - mean_square


def _value(p: Parameters, order: Order, xp: Any) -> tuple[Array, Nodes | None, Gain | None]:
    if order.static and order.alpha == math.inf:
        return _least(p, xp)[0], None, None
    if order.static and order.alpha == 0:
        return math.log(2) + 0 * (p.mean + p.scale), None, None
    nodes = _nodes(p.mean, p.scale, order, xp)
    gain = _gain(nodes, order, xp)
    if order.static:
        ratio = order_ratio(order, xp=xp)
    else:
        ratio = order_ratio(Order(nodes.alpha[..., 0], nodes.t[..., 0], order.infinite), xp=xp)
    value = xp.log(p.scale) + (math.log(2 * math.pi) + ratio) / 2 - gain.value[..., 0]
    if not order.static:
        # not log 2 alone, so that differentiation with respect to α is right at 0 too
        value = xp.where(order.alpha == 0, math.log(2) + order.alpha * _slope_at_zero(p, xp), value)
        value = xp.where(order.infinite, _least(p, xp)[0], value)
    return value, nodes, gain


def _over(values: Array, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the sum over the axes, which keep length 1: that of the dimensions of one variable."""
    return xp.sum(values, axis=axis, keepdims=True) if axis else values


def tanh_gaussian_entropy(mean: Array, sigma: Array, order: Order, *, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the entropy of each squashed Gaussian of independent dimensions along the axes, which keep length 1."""
    p, order = _parameters(mean, sigma, xp), _held(order, mean, xp)
    return _over(xp.where(p.sound, _value(p, order, xp)[0], math.nan), axis, xp)


def tanh_gaussian_entropy_and_gradient(
    mean: Array,
    sigma: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    axis: tuple[int, ...],
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives with respect to the means (0) or the scales (1), times ``scale``."""
    p, order = _parameters(mean, sigma, xp), _held(order, mean, xp)
    value, nodes, gain = _value(p, order, xp)
    found = []
    for i in wrt:
        gradient = 0 * value
        if nodes is not None and gain is not None:
            if i == 0:
                tilted = gain.tilted / gain.total * nodes.tanh
                gradient = -2 * xp.sum((nodes.weight - nodes.mirrored) * tilted, axis=-1)
            else:
                root = math.sqrt(nodes.alpha) if order.static else xp.sqrt(nodes.alpha[..., 0])
                gradient = 1 / p.scale - 2 / root * _slope_along_scale(nodes, gain, xp)
        if not order.static or order.alpha == math.inf:
            tanh = xp.tanh(_least(p, xp)[1])
            limit = -2 * tanh if i == 0 else 1 / p.scale - 4 * p.scale * tanh * tanh
            if not order.static:
                limit = xp.where(order.infinite, limit, xp.where(order.alpha == 0, 0.0, gradient))
            gradient = limit
        if i == 0:
            gradient = gradient * p.sign
        found.append(xp.where(p.sound, gradient, math.nan))
    like = tuple((mean, sigma)[i] for i in wrt)
    return _over(xp.where(p.sound, value, math.nan), axis, xp), *finished(tuple(found), like, scale, xp)


def tanh_gaussian_entropy_and_alpha_gradient(
    mean: Array, sigma: Array, order: Order, *, axis: tuple[int, ...], xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    p, order = _parameters(mean, sigma, xp), _held(order, mean, xp)
    value, nodes, gain = _value(p, order, xp)
    if nodes is None or gain is None:
        slope = 0 * value if order.alpha == math.inf else _slope_at_zero(p, xp) + 0 * value
    else:
        shift = nodes.s[..., 0] * _slope_along_scale(nodes, gain, xp)
        ratio = order_ratio_slope(
            order if order.static else Order(nodes.alpha[..., 0], nodes.t[..., 0], order.infinite), xp=xp
        )
        alpha = nodes.alpha if order.static else nodes.alpha[..., 0]
        slope = ratio / 2 - _curvature(nodes, gain, order, xp) + shift / alpha
    if not order.static:
        slope = xp.where(order.alpha == 0, _slope_at_zero(p, xp), xp.where(order.infinite, 0.0, slope))
    value, slope = (_over(xp.where(p.sound, part, math.nan), axis, xp) for part in (value, slope))
    return value, slope


def _slope_along_scale(nodes: Nodes, gain: Gain, xp: Any) -> Array:
    """Return E_π (v tanh x): on the other side, both factors change their signs."""
    along = nodes.weight * nodes.v + nodes.mirrored * (nodes.v + 2 * nodes.r)
    return xp.sum(along * (gain.tilted / gain.total * nodes.tanh), axis=-1)


def _curvature(nodes: Nodes, gain: Gain, order: Order, xp: Any) -> Array:
    """Return (t E_π g − Λ)/t², the divergence of π from N over t², half the variance of g at α = 1."""
    t = nonzero(Order(nodes.alpha, nodes.t), xp=xp)
    both = nodes.weight + nodes.mirrored
    tilted = both * gain.tilted / gain.total
    rest = nodes.g - gain.value
    apart = xp.sum(tilted * rest, axis=-1) / (t if order.static else t[..., 0])
    if order.static and abs(order.t) > NEAR:
        return apart
    u = nodes.t * rest
    near = xp.abs(u) <= 1
    density = both * xp.exp(nodes.log_density)
    curvature = power_curvature(xp.where(near, u, 0.0), eps=float(xp.finfo(u.dtype).eps), xp=xp)
    terms = xp.where(near, density * rest * rest * curvature, (tilted * (u - 1) + density) / t / t)
    close = xp.sum(terms, axis=-1)
    return close if order.static else xp.where(xp.abs(nodes.t[..., 0]) <= NEAR, close, apart)


TANH_GAUSSIAN = Family(
    tanh_gaussian_entropy,
    tanh_gaussian_entropy_and_gradient,
    tanh_gaussian_entropy_and_alpha_gradient,
    layouts=(ENTRIES, ENTRIES),
    masked=False,
    block=1 << 8,
)


def log_scale_entropy(log_scale: Array, order: Order, *, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the entropy of Gaussians of independent dimensions, from the logarithms of their standard deviations."""
    return _over(log_scale + (order_ratio(order, xp=xp) + math.log(2 * math.pi)) / 2, axis, xp)


def log_scale_entropy_and_gradient(
    log_scale: Array, order: Order, *, axis: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivative, 1, times ``scale``."""
    value = log_scale_entropy(log_scale, order, axis=axis, xp=xp)
    gradient = xp.zeros_like(log_scale) + (1.0 if scale is None else scale)
    return value, cast(gradient, log_scale.dtype, xp)


def log_scale_entropy_and_alpha_gradient(
    log_scale: Array, order: Order, *, axis: tuple[int, ...], xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    slope = xp.zeros_like(log_scale) + order_ratio_slope(order, xp=xp) / 2
    return log_scale_entropy(log_scale, order, axis=axis, xp=xp), _over(slope, axis, xp)


LOG_SCALE = Family(
    log_scale_entropy, log_scale_entropy_and_gradient, log_scale_entropy_and_alpha_gradient, masked=False, plain=True
)


def _sigma(log_scale: Array, xp: Any) -> Array:
    """Return the standard deviation, +inf without a warning."""
    large = log_scale > math.log(float(xp.finfo(log_scale.dtype).max))
    return xp.where(large, math.inf, xp.exp(xp.where(large, 0.0, log_scale)))


def squashed_entropy(log_scale: Array, mean: Array, order: Order, *, axis: tuple[int, ...], xp: Any) -> Array:
    """Return the entropy of squashed Gaussians, from the logarithms of their standard deviations and their means."""
    return tanh_gaussian_entropy(mean, _sigma(log_scale, xp), order, axis=axis, xp=xp)


def squashed_entropy_and_gradient(
    log_scale: Array,
    mean: Array,
    order: Order,
    *,
    wrt: tuple[int, ...],
    axis: tuple[int, ...],
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives along the logarithms (0) or the means (1), times ``scale``."""
    sigma, flipped = _sigma(log_scale, xp), tuple(1 - i for i in wrt)
    options: dict[str, Any] = {"axis": axis, "xp": xp, "scale": scale}
    value, *found = tanh_gaussian_entropy_and_gradient(mean, sigma, order, wrt=flipped, **options)
    return value, *(part * sigma if i == 0 else part for i, part in zip(wrt, found, strict=True))


def squashed_entropy_and_alpha_gradient(
    log_scale: Array, mean: Array, order: Order, *, axis: tuple[int, ...], xp: Any
) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    return tanh_gaussian_entropy_and_alpha_gradient(mean, _sigma(log_scale, xp), order, axis=axis, xp=xp)


SQUASHED = TANH_GAUSSIAN._replace(
    value=squashed_entropy, gradient=squashed_entropy_and_gradient, slope=squashed_entropy_and_alpha_gradient
)
