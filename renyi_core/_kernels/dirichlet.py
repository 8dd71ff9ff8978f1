"""Entropies of gamma, beta and Dirichlet densities, and their derivatives, by what each parameter adds to them.

With n concentrations a of sum A, shape(x, m) as in :mod:`.shapes` and ρ as there::

    Dirichlet   (n − 1)/2 ρ + Σ shape(a, 1) − shape(A, n)
    gamma       ρ/2 + shape(k, 1) − log rate,               ρ = log α/(α − 1)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .family import ENTRIES, Family, finished
from .orders import order_ratio
from .shapes import Common, Shape, alpha_slope, held, log_over, shape_entropy, shape_of, slope
from .sources import accumulate
from .state import Order

Array = Any
Axis = tuple[int, ...]

__all__ = ["BETA", "DIRICHLET", "GAMMA"]


class Parts(NamedTuple):
    """The parameters and their sum, what they share, n, and where rows are distributions, of a finite entropy."""

    each: Shape
    total: Shape
    common: Common
    n: int
    sound: Array
    alive: Array


def _all(values: Array, axis: Axis, xp: Any) -> Array:
    return xp.all(values, axis=axis, keepdims=True)


def _parts(a: Array, order: Order, axis: Axis, xp: Any) -> Parts:
    a = accumulate(a, xp=xp)
    sound = _all((a > 0) & (a < math.inf), axis, xp)
    total = xp.sum(xp.where(sound, a, 1.0), axis=axis, keepdims=True)
    sound = sound & (total < math.inf)
    a, n = xp.where(sound, a, 1.0), math.prod(a.shape[i] for i in axis)
    total, s = xp.where(sound, total, 1.0 * n), a - 1
    excess = xp.sum(s, axis=axis, keepdims=True)
    wide = total > n
    slack = xp.where(wide, excess / total, 0.0)
    order = held(order, a, xp)
    common = Common(order, order.alpha * slack + xp.where(wide, n / total, 1.0), slack)
    each, alive = shape_of(a, s, xp.where(wide, slack - n * (s / total), -s), 1, common, xp)
    of_total, _ = shape_of(total, excess, xp.where(wide, 0.0, -excess), n, common, xp)
    return Parts(each, of_total, common, n, sound, _all(alive, axis, xp))


def _dirichlet(parts: Parts, axis: Axis, xp: Any) -> Array:
    common = parts.common
    gap = common.order.t * common.slack
    rho = common.slack * log_over(gap, common.beta, xp)
    value = xp.sum(shape_entropy(parts.each, common, xp), axis=axis, keepdims=True) + (parts.n - 1) / 2 * rho
    value = value - shape_entropy(parts.total, common, xp)
    # the volume of the simplex, in which the largest logarithms do not cancel by themselves
    value = xp.where(common.order.alpha + xp.zeros_like(value) == 0, -math.lgamma(parts.n), value)
    value = xp.where(parts.alive, value, -math.inf)
    return xp.where(parts.sound, value, math.nan)


def dirichlet_entropy(a: Array, order: Order, *, axis: Axis, xp: Any) -> Array:
    """Return the entropy of each Dirichlet density; the reduced axes keep length 1."""
    return _dirichlet(_parts(a, order, axis, xp), axis, xp)


def dirichlet_entropy_and_gradient(
    a: Array, order: Order, *, axis: Axis, xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives with respect to the concentrations, times ``scale``."""
    parts = _parts(a, order, axis, xp)
    gap = slope(parts.total, parts.common, xp) - slope(parts.each, parts.common, xp)
    gradient = xp.where(parts.sound & parts.alive, parts.common.order.alpha * gap, math.nan)
    return _dirichlet(parts, axis, xp), *finished((gradient,), (a,), scale, xp)


def dirichlet_entropy_and_alpha_gradient(a: Array, order: Order, *, axis: Axis, xp: Any) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    parts = _parts(a, order, axis, xp)
    each = xp.sum(alpha_slope(parts.each, parts.common, xp), axis=axis, keepdims=True)
    gap = alpha_slope(parts.total, parts.common, xp) - each
    return _dirichlet(parts, axis, xp), xp.where(parts.sound & parts.alive, _but_infinite(gap, order, xp), math.nan)


def _but_infinite(values: Array, order: Order, xp: Any) -> Array:
    """Return the values, 0 at α = ∞."""
    if order.static:
        return xp.zeros_like(values) if order.alpha == math.inf else values
    return xp.where(order.infinite, 0.0, values)


def _joined(a: Array, b: Array, order: Order, xp: Any) -> tuple[Array, Order]:
    """Return the two concentrations along a last axis, and the order with one."""
    joined = xp.stack([a + xp.zeros_like(b), b + xp.zeros_like(a)], axis=-1)
    return joined, order if order.static else Order(*(part[..., None] for part in order))


def beta_entropy(a: Array, b: Array, order: Order, *, xp: Any) -> Array:
    """Return the entropy of each beta density."""
    return dirichlet_entropy(*_joined(a, b, order, xp), axis=(-1,), xp=xp)[..., 0]


def beta_entropy_and_gradient(
    a: Array, b: Array, order: Order, *, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives with respect to the two concentrations, times ``scale``."""
    value, gradient = dirichlet_entropy_and_gradient(*_joined(a, b, order, xp), axis=(-1,), xp=xp)
    return value[..., 0], *finished(tuple(gradient[..., i] for i in wrt), tuple((a, b)[i] for i in wrt), scale, xp)


def beta_entropy_and_alpha_gradient(a: Array, b: Array, order: Order, *, xp: Any) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    value, along = dirichlet_entropy_and_alpha_gradient(*_joined(a, b, order, xp), axis=(-1,), xp=xp)
    return value[..., 0], along[..., 0]


class One(NamedTuple):
    """The shape of a gamma density, its rate, and where they make one, of a finite entropy."""

    shape: Shape
    common: Common
    rate: Array
    sound: Array
    alive: Array


def _one(k: Array, rate: Array, order: Order, xp: Any) -> One:
    sound = (k > 0) & (k < math.inf) & (rate > 0) & (rate < math.inf)
    k, rate, order = xp.where(sound, k, 1.0), xp.where(sound, rate, 1.0), held(order, k, xp)
    # at α = 0 the entropy is +inf, whatever the rest
    if order.static:
        order = Order(1.0, 0.0) if order.alpha == 0 else order
    else:
        order = Order(*(xp.where(order.alpha == 0, n, x) for x, n in zip(order[:2], (1.0, 0.0), strict=True)))
    common = Common(order, order.alpha + 0 * k, 1.0 + 0 * k)
    shape, alive = shape_of(k, k - 1, common.slack, 1, common, xp)
    return One(shape, common, rate, sound, alive)


def _gamma(one: One, order: Order, xp: Any) -> Array:
    value = shape_entropy(one.shape, one.common, xp) + (order_ratio(order, xp=xp) / 2 - xp.log(one.rate))
    return xp.where(one.sound, xp.where(one.alive, value, -math.inf), math.nan)


def gamma_entropy(k: Array, rate: Array, order: Order, *, xp: Any) -> Array:
    """Return the entropy of each gamma density."""
    return _gamma(_one(k, rate, order, xp), order, xp)


def gamma_entropy_and_gradient(
    k: Array, rate: Array, order: Order, *, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the entropy and its derivatives with respect to the shape (0) and the rate (1), times ``scale``."""
    one = _one(k, rate, order, xp)
    value = _gamma(one, order, xp)
    alpha = order.alpha if order.static and order.alpha == 0 else one.common.order.alpha
    if not order.static:
        alpha = xp.where(order.alpha == 0, 0.0, alpha)
    found = [-alpha * slope(one.shape, one.common, xp) if i == 0 else xp.zeros_like(value) - 1 / one.rate for i in wrt]
    found = [xp.where(one.sound & one.alive, part, math.nan) for part in found]
    return value, *finished(tuple(found), tuple((k, rate)[i] for i in wrt), scale, xp)


def gamma_entropy_and_alpha_gradient(k: Array, rate: Array, order: Order, *, xp: Any) -> tuple[Array, Array]:
    """Return the entropy and its derivative with respect to α."""
    one = _one(k, rate, order, xp)
    along = _but_infinite(-alpha_slope(one.shape, one.common, xp), order, xp)
    along = xp.where(order.alpha + xp.zeros_like(along) == 0, -math.inf, along)
    return _gamma(one, order, xp), xp.where(one.sound & one.alive, along, math.nan)


DIRICHLET = Family(
    dirichlet_entropy,
    dirichlet_entropy_and_gradient,
    dirichlet_entropy_and_alpha_gradient,
    layouts=(ENTRIES,),
    masked=False,
    block=1 << 10,
)
BETA = Family(
    beta_entropy,
    beta_entropy_and_gradient,
    beta_entropy_and_alpha_gradient,
    layouts=(0, 0),
    kept=0,
    masked=False,
    block=1 << 9,
)
GAMMA = BETA._replace(value=gamma_entropy, gradient=gamma_entropy_and_gradient, slope=gamma_entropy_and_alpha_gradient)
