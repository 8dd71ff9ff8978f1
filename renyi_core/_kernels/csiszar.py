"""The mutual information of order α of Csiszár: the least mean divergence of a channel's outputs from one distribution.

In the terms of :mod:`.channel`, for outputs q = c exp(M), with r = log(W/q) = u − M and K as for a divergence::

    D(x) = log1p(t Σ_y q K(r))/t          I = Σ_x P D, at the q that makes it least
    π = q ρ, ρ = exp(α r − t D), a distribution for each x        G = Σ_x P ρ − 1, which is 0 there

q exp(G) or so is nearer: iterated, with log(1 + G) times 1/α for α > 1, the distance in log q falls by max(1 − α,
1 − 1/α) each time. Newton's method finds the last digits, its linear equations in A δ = (1 + t (1 + G)) δ −
t Σ_x P ρ Σ_y π δ by conjugate gradients in the inner product weighted by q: the eigenvalues of A are between 1 and α.

By the envelope theorem the derivatives are those at fixed q, with v = r − D::

    ∂I/∂J = D − I + α v φ(t v)            ∂I/∂α = Σ P W v² ψ(t v)

After I. Csiszár, "Generalized cutoff rates and Rényi's information measures", IEEE Transactions on Information Theory
41 (1995), pp. 26–34; B. Nakiboğlu, "The Augustin capacity and center", Problems of Information Transmission 55 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .channel import AXES, Channel, channel
from .choice_search import repeat
from .guards import constant
from .library import ask, identity
from .pairs import bounded_exp, exponent_limit, power_excess
from .special import expm1_ratio, log1p_ratio, power_curvature
from .state import Order, nonzero
from .sums import total

Array = Any

__all__ = ["LARGEST", "LEAST", "center_csiszar", "csiszar", "csiszar_and_alpha_gradient", "csiszar_and_gradient"]

LEAST, LARGEST = 1 / 4, 16.0
"""Between which orders the iterations reach the last digits."""
ITERATIONS = 16
NEWTON = 10
CONJUGATE = 16


class Outputs(NamedTuple):
    """q, r = log(W/q), and the divergences D(x) of W from q."""

    q: Array
    r: Array
    divergences: Array


def _normalized(ch: Channel, m: Array, xp: Any) -> Array:
    """Return M less log Σ c exp(M); 0 in columns of zeros."""
    log_means = xp.log(ch.reference)
    # steps that are tried may lead anywhere
    m = xp.where(m < 1 - log_means, m, 1 - log_means)
    m = xp.where(ch.columns, m, 0.0)
    excess = total(ch.means * xp.expm1(m), -1, xp)
    near = excess > -0.5
    logs = xp.where(ch.columns, log_means + m, -math.inf)
    top = xp.max(logs, axis=-1, keepdims=True)
    far = top + xp.log(total(xp.where(ch.columns, xp.exp(logs - top), 0.0), -1, xp))
    return m - xp.where(near, xp.log1p(xp.where(near, excess, 0.0)), far)


def _outputs(ch: Channel, m: Array, order: Order, xp: Any) -> Outputs:
    """Return the outputs c exp(M), normalized."""
    eps = float(xp.finfo(ch.u.dtype).eps)
    m = _normalized(ch, m, xp)
    q = xp.where(ch.columns, ch.means * xp.exp(m), 0.0)
    r = xp.where(ch.live, ch.u - m, 0.0)
    # where p = 0, q K is q − α W/t to first order: the value is q, but the derivative counts
    at_zero = q - xp.where(ch.live, 0.0, ch.conditional) * (order.alpha / nonzero(order, xp=xp))
    unused = total(xp.where(ch.live, 0.0, at_zero), -1, xp)
    largest = max(1.0, order.alpha) if order.static else xp.where(order.alpha > 1, order.alpha, 1.0)
    steep = largest * xp.where(r > 0, r, 0.0)
    small = xp.max(steep, axis=-1, keepdims=True) < exponent_limit(r, xp)
    mean = total(xp.where(ch.live, q * power_excess(xp.where(small, r, 0.0), order, xp=xp), 0.0), -1, xp) + unused
    x = order.t * mean
    near = small & (x > -0.5) & (x < 1)
    inner = xp.where(near, mean, 0.0) * log1p_ratio(xp.where(near, x, 0.0), eps=eps, xp=xp)
    logs = xp.where(ch.live, order.alpha * r + xp.log(xp.where(ch.live & (q > 0), q, 1.0)), -math.inf)
    top = xp.max(logs, axis=-1, keepdims=True)
    top = xp.where(top == -math.inf, 0.0, top)
    size = total(xp.where(ch.live, xp.exp(xp.where(ch.live, logs - top, 0.0)), 0.0), -1, xp)
    far = (top + xp.log(xp.where(size > 0, size, 1.0))) / nonzero(order, xp=xp)
    return Outputs(q, r, xp.where(ch.rows, xp.where(near, inner, far), 0.0))


def _mean(ch: Channel, outputs: Outputs, xp: Any) -> Array:
    return total(ch.inputs * outputs.divergences, AXES, xp)


def _newton(ch: Channel, m: Array, order: Order, repeat: Callable[..., Any], xp: Any) -> Array:
    """Return M after a step of Newton's method, a part of it, or one of the fixed-point iteration: the best."""
    here = _outputs(ch, m, order, xp)
    excess = _excess(ch, here, order, xp)
    g = total(ch.inputs * excess, -2, xp)
    ratio = xp.where(ch.rows & ch.columns, excess + 1, 0.0)
    tilted = here.q * ratio
    tiny = float(xp.finfo(m.dtype).smallest_normal)

    def apply(d: Array) -> Array:
        return (1 + order.t * (1 + g)) * d - order.t * total(ch.inputs * ratio * total(tilted * d, -1, xp), -2, xp)

    def quotient(a: Array, b: Array) -> Array:
        known = b > tiny
        return xp.where(known, a / xp.where(known, b, 1.0), 0.0)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        d, rest, along, square = state
        image = apply(along)
        length = quotient(square, total(here.q * along * image, -1, xp))
        d, rest = d + length * along, rest - length * image
        smaller = total(here.q * rest * rest, -1, xp)
        return d, rest, rest + quotient(smaller, square) * along, smaller

    d = repeat(CONJUGATE, step, (0 * g, g, g, total(here.q * g * g, -1, xp)))[0]
    best, least = m + _step(g, order, xp), None
    # rounding is no reason to turn the whole step down
    slack = 8 * float(xp.finfo(m.dtype).eps)
    for length in (1 / 16, 1 / 4, 1.0):
        there = m + length * d
        mean = _mean(ch, _outputs(ch, there, order, xp), xp)
        least = _mean(ch, _outputs(ch, best, order, xp), xp) if least is None else least
        better = mean <= least * (1 + slack)
        best, least = xp.where(better, there, best), xp.where(better, mean, least)
    return best


def _excess(ch: Channel, outputs: Outputs, order: Order, xp: Any) -> Array:
    """Return ρ − 1, −1 where p = 0; 0 in columns of zeros."""
    exponent = xp.where(ch.live, order.alpha * outputs.r - order.t * outputs.divergences, 0.0)
    limit = math.log(float(xp.finfo(exponent.dtype).max)) / 4
    excess = xp.expm1(xp.where(exponent < limit, exponent, limit))
    return xp.where(ch.live, excess, xp.where(ch.rows & ch.columns, -1.0, 0 * excess))


def _step(g: Array, order: Order, xp: Any) -> Array:
    """Return the step of the fixed-point iteration."""
    damping = min(1.0, 1 / order.alpha) if order.static else xp.where(order.alpha > 1, 1 / order.alpha, 1.0)
    g = xp.where(g > -1, g, 0.0)
    return damping * xp.log1p(g)


def center_csiszar(ch: Channel, order: Order, *, xp: Any, repeat: Callable[..., Any] = repeat) -> Array:
    """Return M = log q/c of the outputs that make the mean divergence least."""

    def iterate(m: Array) -> Array:
        excess = _excess(ch, _outputs(ch, m, order, xp), order, xp)
        return m + _step(total(ch.inputs * excess, -2, xp), order, xp)

    m = repeat(ITERATIONS, iterate, 0 * ch.means + 0 * (order.t * total(ch.u, AXES, xp)))
    return repeat(NEWTON, lambda m: _newton(ch, m, order, repeat, xp), m)


def _moved(ch: Channel, m: Array, order: Order, fixed: Callable[[Any], Any], xp: Any) -> Array:
    """Return M with the derivatives that the center has: those of a step of Newton's method, which is 0 there."""
    here = _outputs(ch, m, order, xp)
    excess = _excess(ch, here, order, xp)
    g = total(ch.inputs * excess, -2, xp)
    ratio = xp.where(ch.rows & ch.columns, excess + 1, 0.0)
    matrix = identity(m.shape[-1], m, xp) * (1 + order.t * (1 + g))
    matrix = matrix - order.t * xp.matmul(xp.matrix_transpose(ch.inputs * ratio), here.q * ratio)
    step = xp.matrix_transpose(xp.linalg.solve(fixed(matrix), xp.matrix_transpose(g)))
    return m + (step - fixed(step))


def _solve(joint: Array, order: Order, xp: Any, *, moving: bool) -> tuple[Channel, Outputs, Array, Array, Order]:
    """Return the channel, its outputs, I, and which joints are sound.

    By the envelope theorem the derivatives of I are those at fixed outputs; of its derivatives they move (``moving``).
    """
    known = None
    if not order.static:
        known = (order.alpha >= LEAST) & (order.alpha <= LARGEST) & ~order.infinite
        order = Order(xp.where(known, order.alpha, 2.0), xp.where(known, order.t, 1.0), order.infinite & False)
    ch = channel(joint, order, "sibson", xp)
    fixed = ask(constant, xp)
    m = ask(center_csiszar, xp)(fixed(ch), fixed(order), xp=xp)
    if moving and fixed is not constant:
        m = _moved(ch, m, order, fixed, xp)
    outputs = _outputs(ch, m, order, xp)
    sound = ch.sound if known is None else ch.sound & known
    return ch, outputs, _mean(ch, outputs, xp), sound, order


def csiszar(joint: Array, order: Order, *, xp: Any) -> Array:
    """Return the mutual information of each joint distribution; the last two axes keep length 1."""
    _, _, value, sound, _ = _solve(joint, order, xp, moving=False)
    return xp.where(sound, value, math.nan)


def _tilt(ch: Channel, outputs: Outputs, order: Order, xp: Any) -> tuple[Array, Array, Array]:
    """Return v, t v, and where that is near 0."""
    v = xp.where(ch.live, outputs.r - outputs.divergences, 0.0)
    u = order.t * v
    return v, u, xp.abs(u) <= 1


def csiszar_and_gradient(joint: Array, order: Order, *, xp: Any) -> tuple[Array, Array]:
    """Return the mutual information and its gradient with respect to the joint distribution."""
    ch, outputs, value, sound, order = _solve(joint, order, xp, moving=True)
    t, eps = nonzero(order, xp=xp), float(xp.finfo(ch.u.dtype).eps)
    v, u, near = _tilt(ch, outputs, order, xp)
    inner = v * expm1_ratio(xp.where(near, u, 0.0), eps=eps, xp=xp)
    outer = (bounded_exp(xp.where(near, 0.0, u), xp) - 1) / t
    ratio = xp.where(ch.live, xp.where(near, inner, outer), -1 / t)
    gradient = (outputs.divergences - value + order.alpha * ratio) / ch.size
    free = ch.live | (ch.rows & ch.columns & (order.t + 0 * ch.u > 0))
    gradient = xp.where(sound, xp.where(free, gradient, 0.0), math.nan)
    return xp.where(sound, value, math.nan), gradient


def csiszar_and_alpha_gradient(joint: Array, order: Order, *, xp: Any) -> tuple[Array, Array]:
    """Return the mutual information of each joint distribution and its derivative with respect to α."""
    ch, outputs, value, sound, order = _solve(joint, order, xp, moving=True)
    t, eps = nonzero(order, xp=xp), float(xp.finfo(ch.u.dtype).eps)
    v, u, near = _tilt(ch, outputs, order, xp)
    inner = v * v * power_curvature(xp.where(near, u, 0.0), eps=eps, xp=xp)
    outer = (bounded_exp(xp.where(near, 0.0, u), xp) * (u - 1) + 1) / t / t
    slope = total(xp.where(ch.live, ch.p * xp.where(near, inner, outer), 0.0), AXES, xp)
    return xp.where(sound, value, math.nan), xp.where(sound, slope, math.nan)
