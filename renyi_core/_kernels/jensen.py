"""The Jensen–Rényi divergence of several distributions and its derivatives, exact for close and for distant ones.

With M = Σ w_k P_k, μ its escort M**α/Σ M**α, r = log(P_k/M), δ = expm1(r), v = log M + H(M), S = Σ μ exp(α r), each of
one P_k, where Σ_k w_k δ = 0 at every outcome and Σ_i M δ = 0 for every distribution::

    F = Σ M v φ(t v) δ = Σ (μ − M) δ/t              φ(u) = expm1(u)/u
    B = F + Σ μ exp(r) r φ(t r) = (S − 1)/t         K(r) = (expm1(α r) − α δ)/t >= 0
    β = log1p(t B)/t = H(M) − H(P_k)                Λ(x) = (x − log1p(x))/x²
    τ = β − α F = Σ μ K(r) − t B² Λ(t B)            J = Σ_k w_k τ_k

τ ≥ 0 for α ≤ 1, both its terms being so. With ε = r − β, π = μ exp(r + t ε) the escort of P_k::

    ∂J/∂w_k = τ_k − J                               (of weights that sum to 1)
    ∂J/∂log P_k = α w_k (μ exp(r) ε φ(t ε) + P_k F)
    ∂J/∂α = Σ_k w_k Σ_i μ exp(r) (v ε φ(t ε) + ε² ψ(t ε)),   ψ(u) = (u exp(u) − expm1(u))/u²

where Σ_k w_k (β − δ) = J takes what is of first order out of the last sum. δ comes from x − (Σ x) m without the
rounding of the product, m = Σ w P_k: that of m is a factor that all P_k share at an outcome, that of Σ x one that all
outcomes of a P_k share, and both are known from Σ_k w_k δ = 0 and Σ_i M δ = 0. Of logits z it is expm1 of z − log m
less the logarithm of what P_k is divided by, in differences that lose nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .family import Family, finished
from .pairs import exponent_limit, power_excess
from .sources import accumulate, center
from .special import exp_curvature, expm1_ratio, log1p_curvature, log1p_ratio, power_curvature, product_gap
from .state import Order, Source, finish, log_ratio, nonzero, partial_state
from .sums import total

Array = Any

__all__ = [
    "JENSEN",
    "JENSEN_FROM_LOGITS",
    "jensen_divergence",
    "jensen_divergence_and_alpha_gradient",
    "jensen_divergence_and_gradient",
    "jensen_divergence_from_logits",
    "jensen_divergence_from_logits_and_alpha_gradient",
    "jensen_divergence_from_logits_and_gradient",
]


class Mixture(NamedTuple):
    """P_k next to M: δ and r (0 where P_k = 0), P_k/M, and the entries of M as logarithms and weights.

    ``x`` holds the weights of the outcomes, ``weights`` is w, ``sizes`` what each P_k, and ``weight_size`` what w was
    divided by. ``dead`` marks P_k = 0 < M,
    ``empty`` the outcomes where M = 0, ``used`` the distributions of positive weight.
    """

    x: Array
    mean: Array
    weights: Array
    delta: Array
    ratio: Array
    r: Array
    dead: Array
    empty: Array
    used: Array
    sizes: Array
    weight_size: Array
    sound: Array


def _mixture(x: Array, weights: Array | None, order: Order, xp: Any, source: Source) -> Mixture:
    x = accumulate(x, xp=xp)
    logits = None if source == "probs" else x
    x = x if logits is None else _weights(logits, xp)
    w = xp.zeros_like(x[..., :1]) + (1.0 if weights is None else accumulate(weights, xp=xp)[..., None])
    weight_size = total(w, -2, xp)
    sizes = total(x, -1, xp)
    sound = (xp.min(x, axis=-1, keepdims=True) >= 0) & (sizes > 0) & (sizes < math.inf) & (w >= 0)
    sound = xp.min(xp.where(sound, 1.0 + 0 * w, 0.0), axis=-2, keepdims=True) > 0
    sound = sound & (weight_size > 0) & (weight_size < math.inf)
    x, w = xp.where(sound, x, 1.0), xp.where(sound, w, 1.0)
    # a weight of 0 is held at 0
    w = xp.where(w > 0, w, 0.0)
    weight_size = total(w, -2, xp)
    w = w / weight_size
    used, zero = w > 0, x == 0
    empty = xp.max(xp.where(used, x, 0.0), axis=-2, keepdims=True) == 0
    # where p = 0 the derivative of the entropy is +inf up to α = 1: the entry is then held at 0
    x = xp.where(zero & (empty | (order.t + 0 * x <= 0)), 0.0, x)
    sizes = total(x, -1, xp)
    mean = total(w * (x / sizes), -2, xp)
    # of logits that none has within the reach of the dtype; what was raised to it is then never near its mean
    least = 0.0 if logits is None else 2 * float(xp.finfo(x.dtype).smallest_normal)
    empty = empty | (mean <= least)
    some = xp.where(empty, 1.0, mean)
    mass = total(xp.where(empty, 0.0, mean), -1, xp)
    live = used & ~empty
    quotient = xp.where(live, x / sizes, some) / some
    near = live & (quotient > 0.5) & (quotient < 2)
    if logits is None:
        gap = _gap_of_products(x, sizes, some, quotient, near, xp)
    else:
        gap = xp.where(near & sound, _gap_of_logits(logits, sizes, some, w, near & sound, xp), quotient - 1)
    share = xp.where(empty, 0.0, mean) / mass
    shift = total(share * gap, -1, xp)
    factor = xp.where(used, 1 + shift, 1.0)
    rho = xp.where(live, (gap - shift) / factor, 0.0)
    rest = total(w * rho, -2, xp)
    # once more: the rounding of the first sum is the same for all
    delta = xp.where(live, rho - rest, 0.0)
    again = total(w * delta, -2, xp)
    rest = rest + again
    delta = xp.where(live, (delta - again) / (1 + rest), 0.0)
    ratio = xp.where(live, quotient / (factor * (1 + rest)), 1.0)
    mean = share * (1 + rest)
    # Σ M δ = 0: that of an outcome that has most of the mass is minus the sum of the others
    top = live & (mean > 0.5) & (xp.abs(delta) < 0.25)
    others = total(xp.where(top, 0.0, mean * delta), -1, xp)
    delta = xp.where(top, -others / xp.where(top, mean, 1.0), delta)
    ratio = xp.where(top, 1 + delta, ratio)
    dead = live & (x == 0)
    near = delta > -0.5
    r = xp.where(
        near, xp.log1p(xp.where(near, delta, 0.0)), xp.log(xp.where(near | dead, 1.0, xp.where(ratio > 0, ratio, 1.0)))
    )
    dead = dead | (ratio == 0)
    return Mixture(x, mean, w, delta, ratio, r, dead, empty, used, sizes, weight_size, sound)


def _weights(logits: Array, xp: Any) -> Array:
    """Return exp(z − max z): of the support, but less than the smallest number, what is taken for that."""
    _, e, none = log_ratio(logits, xp.max(logits, axis=-1, keepdims=True), source="logits", xp=xp)
    least = float(xp.finfo(e.dtype).smallest_normal)
    return xp.where(~none & (e < least), least, e)


def _gap_of_products(x: Array, sizes: Array, mean: Array, quotient: Array, near: Array, xp: Any) -> Array:
    """Return quotient − 1, x − size·mean as if the product were not rounded, of numbers whose halves are exact."""
    eps, largest = float(xp.finfo(x.dtype).eps), float(xp.finfo(x.dtype).max)
    floor = 4 / (largest * eps)
    exact = near & (x > floor) & (mean > floor) & (sizes > floor) & (sizes < largest * eps)
    one, other, own = (xp.where(exact, z, 1.0) for z in (sizes + 0 * x, mean + 0 * x, x))
    return xp.where(exact, product_gap(own, one, other, eps=eps) / (one * other), quotient - 1)


def _gap_of_logits(logits: Array, sizes: Array, mean: Array, w: Array, near: Array, xp: Any) -> Array:
    """Return P_k/mean − 1 where that is ``near`` 0, 0 elsewhere; of differences that lose nothing."""
    peak = xp.max(logits, axis=-1, keepdims=True)
    size = xp.where(xp.abs(peak) < math.inf, peak, 0.0) + xp.log(sizes)
    common = total(w * size, -2, xp)
    base = xp.log(mean) + common
    z = xp.where(near, logits, base)
    gap = z - base
    lost = gap - z
    lost = (z - (gap - lost)) - (base + lost)
    return xp.expm1(xp.where(near, (gap - (size - common)) + lost, 0.0))


class Parts(NamedTuple):
    """M, μ, v, and of each P_k its escort π, F, β and τ."""

    p: Array
    escort: Array
    v: Array
    tilted: Array
    f: Array
    beta: Array
    tau: Array


def _parts(mix: Mixture, order: Order, xp: Any) -> Parts:
    """Return the parts of the divergence, for α < ∞."""
    alpha, t, eps = order.alpha, nonzero(order, xp=xp), float(xp.finfo(mix.r.dtype).eps)
    entries = center(mix.mean, order, source="probs", where=None, axis=(-1,), xp=xp)
    rows = finish(partial_state(entries, order, axis=(-1,), xp=xp, full=True), order, xp=xp)
    p = entries.e / rows.total
    escort = p if entries.w is None else entries.w / rows.total_alpha
    v = xp.where(entries.dead, 0.0, entries.d - rows.c)
    u = order.t * v
    gentle = xp.abs(u) <= 1
    tilt = p * v * expm1_ratio(xp.where(gentle, u, 0.0), eps=eps, xp=xp)
    tilt = xp.where(gentle & ~mix.empty, tilt, (escort - p) / t)
    f = total(tilt * mix.delta, -1, xp)

    # in units of max M**α, with the largest entry of P_k as that of the sum
    height = alpha * xp.where(mix.dead | mix.empty, 0.0, entries.d + mix.r)
    live = ~(mix.dead | mix.empty)
    top = xp.max(xp.where(live, height, -math.inf), axis=-1, keepdims=True)
    top = xp.where(top == -math.inf, 0.0, top)
    tilted = xp.where(live, xp.exp(xp.where(live, height - top, 0.0)), 0.0)
    size = total(tilted, -1, xp)
    size = xp.where(size > 0, size, 1.0)
    log_s = top + xp.log(size) - (xp.log(rows.total) if rows.total_alpha is None else xp.log(rows.total_alpha))

    limit = exponent_limit(mix.r, xp) / 2
    safe, steep = top < limit, alpha * mix.r > limit
    # of powers that would overflow but for the weight μ
    power = tilted * xp.exp(xp.where(safe, top, 0.0)) / (rows.total if rows.total_alpha is None else rows.total_alpha)
    r = xp.where(steep, 0.0, mix.r)
    u = order.t * r
    gentle = xp.abs(u) <= 1
    growth = mix.ratio * r * expm1_ratio(xp.where(gentle, u, 0.0), eps=eps, xp=xp)
    growth = xp.where(gentle, growth, (xp.exp(xp.where(gentle, 0.0, alpha * r)) - mix.ratio) / t)
    growth = escort * xp.where(mix.dead, -mix.ratio / t, growth)
    b = f + total(xp.where(steep, (power - escort * mix.ratio) / t, growth), -1, xp)
    # of the order of a small α, Σ μ expm1(α r)/t
    small = order.t + 0 * r < -0.5
    gain = escort * xp.where(mix.dead, -1.0, xp.expm1(xp.where(small, alpha * r, 0.0)))
    gain = xp.where(mix.empty, 0.0, xp.where(steep, power - escort, gain))
    b = xp.where(small[..., :1], total(gain, -1, xp) / t, b)
    a = order.t * b
    inner = safe & (xp.abs(a) <= 0.5)
    some = xp.where(inner, b, 0.0)
    x = order.t * some
    beta = xp.where(inner, some * log1p_ratio(x, eps=eps, xp=xp), log_s / t)

    # where p = 0, K is 1 − α (P_k/M)/t: the value is 1, but the derivative counts
    excess = xp.where(mix.dead, 1 - mix.ratio * (alpha / t), power_excess(r, order, xp=xp))
    excess = total(xp.where(steep, (power - escort - alpha * (escort * mix.delta)) / t, escort * excess), -1, xp)
    curved = order.t * some * some * log1p_curvature(x, eps=eps, xp=xp)
    curved = xp.where(inner, curved, xp.where(safe, (a - log_s) / t, 0.0))
    mixed = ~inner & (order.t + 0 * b > 0)
    tau = xp.where(mixed | ~safe, beta - alpha * f, excess - curved)
    if not order.static or order.alpha == 0:
        counted = _counted(mix, xp)
        tau = counted if order.static else xp.where(order.alpha == 0, counted, tau)
    return Parts(p, escort, v, tilted / size, f, beta, tau)


def _counted(mix: Mixture, xp: Any) -> Array:
    """Return the logarithm of how many outcomes M has for each of P_k's, by the number that P_k lacks.

    Those of the input count, also the ones that next to the others are less than the smallest number.
    """
    one = 1.0 + 0 * mix.x
    held = xp.max(xp.where(mix.used, mix.x, 0.0), axis=-2, keepdims=True) > 0
    missing = total(xp.where(held & (mix.x == 0), one, 0.0), -1, xp)
    own = total(xp.where(held & (mix.x > 0), one, 0.0), -1, xp)
    return xp.log1p(missing / xp.where(own > 0, own, 1.0))


def _at_infinity(mix: Mixture, xp: Any) -> Parts:
    """Return the parts at α = ∞: J is the least of Σ w log(max P_k) − log M, over the outcomes."""
    eps = float(xp.finfo(mix.r.dtype).eps)
    alive = ~mix.empty & (mix.mean > 0)
    mean = xp.where(alive, mix.mean, 1.0)
    peak = xp.max(mix.x, axis=-1, keepdims=True)
    below, _, none = log_ratio(mix.x, peak, source="probs", xp=xp)
    below = xp.where(none | mix.dead, 0.0, below)
    near = alive & ~mix.dead & (xp.abs(mix.r) <= 1)
    r = xp.where(near, mix.r, 0.0)
    largest = xp.log(peak / mix.sizes)
    beta = xp.where(mix.dead, largest - xp.log(mean), mix.r - below)
    tau = xp.where(near, -below - r * r * exp_curvature(r, eps=eps, xp=xp), beta - mix.delta)
    each = xp.where(alive, total(xp.where(mix.used, mix.weights * tau, 0.0), -2, xp), math.inf)
    escort = _shared(each == xp.min(each, axis=-1, keepdims=True), mix.mean, xp)
    own = xp.where(none, 0.0, xp.where(below == 0, 1.0 + 0 * below, 0.0))
    tilted = own / total(own, -1, xp)
    f, beta, tau = (total(escort * part, -1, xp) for part in (mix.delta, beta, tau))
    return Parts(mix.mean, escort, 0 * mix.mean, tilted, f, beta, tau)


def _shared(top: Array, like: Array, xp: Any) -> Array:
    """Return the same weight for each of the marked entries, adding up to 1."""
    ones = xp.where(top, 1.0 + 0 * like, 0.0)
    return ones / total(ones, -1, xp)


def _value(mix: Mixture, parts: Parts, xp: Any) -> Array:
    """Return J."""
    return total(xp.where(mix.used, mix.weights * parts.tau, 0.0), -2, xp)


def _by_order(function: Any, mix: Mixture, order: Order, xp: Any) -> Any:
    """Return function(parts, order), of α = ∞ by its number also where an array holds it."""
    if order.static:
        parts = _at_infinity(mix, xp) if order.alpha == math.inf else _parts(mix, order, xp)
        return function(parts, order)
    inner = function(_parts(mix, order, xp), order)
    outer = function(_at_infinity(mix, xp), Order(math.inf, math.inf))
    # an order of NaN has no value
    return tuple(xp.where(order.infinite, b, a) + 0 * order.alpha for a, b in zip(inner, outer, strict=True))


def jensen_divergence(x: Array, weights: Array | None, order: Order, *, xp: Any, source: Source = "probs") -> Array:
    """Return the divergence of each set of distributions; the last two axes keep length 1."""
    mix = _mixture(x, weights, order, xp, source)
    (value,) = _by_order(lambda parts, _: (_value(mix, parts, xp),), mix, order, xp)
    return xp.where(mix.sound, value, math.nan)


def jensen_divergence_and_gradient(
    x: Array,
    weights: Array | None,
    order: Order,
    *,
    wrt: tuple[int, ...],
    xp: Any,
    scale: Any = None,
    source: Source = "probs",
) -> tuple[Array, ...]:
    """Return the divergence and its gradients along the distributions (0) or the weights (1), times ``scale``."""
    mix = _mixture(x, weights, order, xp, source)

    def all_of(parts: Parts, own: Order) -> tuple[Array, ...]:
        value = _value(mix, parts, xp)
        found = [value]
        for i in wrt:
            if i == 1:
                found.append(xp.where(mix.used, (parts.tau - value) / mix.weight_size, 0.0))
            else:
                along = _balanced(_along_entries(mix, parts, own, xp), mix, xp)
                found.append(along if source == "probs" else along * mix.x)
        return tuple(found)

    value, *found = (xp.where(mix.sound, part, math.nan) for part in _by_order(all_of, mix, order, xp))
    like = tuple(x if i == 0 or weights is None else weights for i in wrt)
    gradients = finished(tuple(found), like, scale, xp)
    return value, *(part[..., 0] if i == 1 else part for i, part in zip(wrt, gradients, strict=True))


def _along_entries(mix: Mixture, parts: Parts, order: Order, xp: Any) -> Array:
    """Return ∂J/∂x."""
    w = xp.where(mix.used & ~mix.empty, mix.weights / mix.sizes, 0.0)
    # μ/M and π/P_k
    mean = parts.escort / xp.where(mix.empty, 1.0, parts.p)
    p = xp.where(mix.dead, 0.0, mix.x / mix.sizes)
    some_p = xp.where(p > 0, p, 1.0)
    if order.static and order.alpha == math.inf:
        gradient = (parts.tilted - parts.escort - parts.escort * mix.delta) / some_p
        # less than half of M is never among the largest, and 1 + δ lost its digits there
        return w * (xp.where(mix.dead | (mix.delta < -0.5), -mean, gradient) + parts.f)
    eps, t = float(xp.finfo(mix.r.dtype).eps), nonzero(order, xp=xp)
    gap = mix.r - parts.beta
    u = order.t * gap
    near = ~mix.dead & (xp.abs(u) <= 1)
    inner = mean * gap * expm1_ratio(xp.where(near, u, 0.0), eps=eps, xp=xp)
    far = (xp.where(p > 0, parts.tilted / some_p, 0.0) - mean) / t
    gradient = order.alpha * w * (xp.where(near, inner, far) + parts.f)
    # where p = 0 it is +inf up to α = 1
    return xp.where((mix.x == 0) & (order.t + 0 * gradient <= 0), 0.0, gradient)


def _balanced(gradient: Array, mix: Mixture, xp: Any) -> Array:
    """Return ∂J/∂x, Σ x ∂J/∂x being 0, with that of an outcome that has most of a distribution from the others."""
    top = mix.x > 0.5 * mix.sizes
    others = total(xp.where(top, 0.0, mix.x * gradient), -1, xp)
    return xp.where(top, -others / xp.where(top, mix.x, 1.0), gradient)


def jensen_divergence_and_alpha_gradient(
    x: Array, weights: Array | None, order: Order, *, xp: Any, source: Source = "probs"
) -> tuple[Array, Array]:
    """Return the divergence of each set of distributions and its derivative with respect to α."""
    mix = _mixture(x, weights, order, xp, source)

    def both(parts: Parts, own: Order) -> tuple[Array, Array]:
        value = _value(mix, parts, xp)
        if own.static and own.alpha == math.inf:
            return value, 0 * value
        return value, _alpha_slope(mix, parts, value, own, xp)

    value, slope = _by_order(both, mix, order, xp)
    return xp.where(mix.sound, value, math.nan), xp.where(mix.sound, slope, math.nan)


def _alpha_slope(mix: Mixture, parts: Parts, value: Array, order: Order, xp: Any) -> Array:
    eps, t = float(xp.finfo(mix.r.dtype).eps), nonzero(order, xp=xp)
    gap = mix.r - parts.beta
    u = order.t * gap
    near = ~mix.dead & (xp.abs(u) <= 1) & (xp.abs(mix.r) <= 1)
    r, e, u = (xp.where(near, z, 0.0) for z in (mix.r, gap, u))
    curved = order.t * e * e * exp_curvature(u, eps=eps, xp=xp) - r * r * exp_curvature(r, eps=eps, xp=xp)
    curved = parts.escort * (curved + mix.delta * e * expm1_ratio(u, eps=eps, xp=xp))
    spread = parts.escort * mix.ratio * e * e * power_curvature(u, eps=eps, xp=xp)
    # of what is far from M, from its own escort
    gap = xp.where(mix.dead, 0.0, gap)
    far, t = parts.escort * mix.ratio, xp.where(near, 1.0, t + 0 * gap)
    exponent = order.t * gap
    gentle = ~near & ~mix.dead & (xp.abs(exponent) <= 1)
    some, own = xp.where(gentle, exponent, 0.0), xp.where(gentle, gap, 0.0)
    lift = xp.where(gentle, far * own * expm1_ratio(some, eps=eps, xp=xp), (parts.tilted - far) / t)
    lift = lift + parts.escort * (parts.beta - mix.delta)
    rise = far * own * own * power_curvature(some, eps=eps, xp=xp)
    rise = xp.where(gentle, rise, (parts.tilted * (exponent - 1) + far) / t / t)
    terms = parts.v * xp.where(near, curved, lift) + xp.where(near, spread, rise)
    terms = xp.where(mix.used & ~mix.empty, mix.weights * terms, 0.0)
    return total(total(terms, -2, xp) - parts.escort * parts.v * value, -1, xp)


JENSEN = Family(
    jensen_divergence,
    jensen_divergence_and_gradient,
    jensen_divergence_and_alpha_gradient,
    layouts=(2, 1),
    kept=2,
    masked=False,
)


def jensen_divergence_from_logits(z: Array, weights: Array | None, order: Order, *, xp: Any) -> Array:
    """Return the divergence of each set of distributions, from logits."""
    return jensen_divergence(z, weights, order, xp=xp, source="logits")


def jensen_divergence_from_logits_and_gradient(
    z: Array, weights: Array | None, order: Order, *, wrt: tuple[int, ...], xp: Any, scale: Any = None
) -> tuple[Array, ...]:
    """Return the divergence and its gradients along the logits (0) or the weights (1), times ``scale``."""
    return jensen_divergence_and_gradient(z, weights, order, wrt=wrt, xp=xp, scale=scale, source="logits")


def jensen_divergence_from_logits_and_alpha_gradient(
    z: Array, weights: Array | None, order: Order, *, xp: Any
) -> tuple[Array, Array]:
    """Return the divergence of each set of distributions, from logits, and its derivative with respect to α."""
    return jensen_divergence_and_alpha_gradient(z, weights, order, xp=xp, source="logits")


JENSEN_FROM_LOGITS = JENSEN._replace(
    value=jensen_divergence_from_logits,
    gradient=jensen_divergence_from_logits_and_gradient,
    slope=jensen_divergence_from_logits_and_alpha_gradient,
)
