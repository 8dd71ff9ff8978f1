"""Arimoto's conditional entropy and its derivatives: a mean of the entropies of the columns, with no subtraction.

With h(y) = H_α(X|Y = y), P(y) the marginal, and τ = t/α, it is the exponential mean::

    s = Σ_y P h φ(−τ h) >= 0            φ(z) = expm1(z)/z
    H = −log1p(−τ s)/τ                  = α/(1 − α) log Σ_y (Σ_x P(x, y)**α)**(1/α)

and with g = h − H and w = P exp(−τ g), a distribution::

    ∂H/∂log J = w ∂h/∂log J + P(x, y) g φ(−τ g)
    ∂H/∂α     = Σ w ∂h/∂α − Σ P g² ψ(−τ g)/α²      ψ(z) = (z exp(z) − expm1(z))/z², no term > 0

Where all columns are nearly uniform over n outcomes each, or α is small, g is the difference of what h and H lack of
log n, n the most outcomes that a column has: D of a column is its divergence from the uniform distribution of those,
and that of H their exponential mean, with −τ. It is of the order of α, as g is, of which τ takes α away.

After S. Arimoto, "Information measures and capacity of order α for discrete memoryless channels", Topics in Information
Theory, 1977, pp. 41–52, and S. Fehr and S. Berens, "On the conditional Rényi entropy", IEEE Transactions on Information
Theory 60 (2014), pp. 6801–6810.
"""

from __future__ import annotations

import math
from typing import Any

from .channel import AXES, by_order, sound_joint
from .entropy import entropy, entropy_and_alpha_gradient, entropy_and_gradient
from .family import Family, finished
from .measures import ENTROPY
from .pairs import exponent_limit, power_excess
from .special import expm1_ratio, log1p_ratio, power_curvature, product_gap
from .state import Order, nonzero
from .sums import total

Array = Any

__all__ = [
    "CONDITIONAL_ENTROPY",
    "conditional_entropy",
    "conditional_entropy_and_alpha_gradient",
    "conditional_entropy_and_gradient",
]


HUGE = 2.0**100
"""Columns beyond this, or below its inverse, are never taken to be nearly uniform."""
SMALL = 0.5
"""Up to this order what the columns' entropies lack of log n has all its digits, however uneven they are."""


class _Columns:
    """The columns of a joint distribution, those of zeros replaced by others of weight 0."""

    def __init__(self, joint: Array, order: Order, xp: Any) -> None:
        joint, self.sound = sound_joint(joint, xp)
        self.live = xp.max(joint, axis=-2, keepdims=True) > 0
        # the derivative where p = 0 is +inf up to α = 1, and depends on the path in a column of zeros
        held = (joint == 0) & (~self.live | (xp.zeros_like(joint) + order.t <= 0))
        joint = xp.where(held, 0.0, joint)
        self.size = total(joint, AXES, xp)
        self.weights = total(joint, -2, xp) / self.size
        self.joint = xp.where(self.live, joint, 1.0)
        self.order, self.xp = order, xp
        self.kwargs: dict[str, Any] = {"source": "probs", "measure": ENTROPY, "where": None, "axis": (-2,), "xp": xp}

    @property
    def tau(self) -> Any:
        """t/α."""
        order = self.order
        return 1.0 if order.static and order.alpha == math.inf else order.t / order.alpha

    def mean(self, h: Array) -> tuple[Array, Array]:
        """Return H and g."""
        xp = self.xp
        if self.order.static and self.order.alpha == 0:
            value = xp.max(xp.where(self.live, h, -math.inf), axis=-1, keepdims=True)
            return value, h - value
        value = self._mean(h, self.tau)
        deficit, most, close = self._deficits()
        mean, whole = self._mean(deficit, -self.tau), xp.log(most)
        close = close | ((self.order.alpha <= SMALL) & (mean < whole / 2))
        value = xp.where(close, whole - mean, value)
        return value, xp.where(self.live, xp.where(close, mean - deficit, h - value), 0.0)

    def _deficits(self) -> tuple[Array, Array, Array]:
        """Return what each column's entropy lacks of the most, of how many that is, and if it is next to nothing."""
        xp, order, joint = self.xp, self.order, self.joint
        eps, live, small = float(xp.finfo(joint.dtype).eps), joint > 0, order.alpha <= SMALL
        count = total(xp.where(live, 1.0 + 0 * joint, 0.0), -2, xp)
        column = total(joint, -2, xp)
        ratio = joint / column * count
        # n p − 1 without the rounding of the product, away from what splits its factors into halves
        near = live & (ratio > 0.5) & (ratio < 2) & (column > 1 / HUGE) & (column < HUGE)
        some, one = xp.where(near, joint, 1.0), xp.where(near, column, 1.0)
        gap = -product_gap(one, some, xp.where(near, count, 1.0), eps=eps) / one
        u = xp.where(near, xp.log1p(xp.where(near, gap, 0.0)), 0.0)
        far = live & ~near
        u = xp.where(far & small, xp.log(xp.where(far, joint, 1.0)) - xp.log(xp.where(far, column / count, 1.0)), u)
        # the rounding of the column's sum moves all of u; Σ n p − 1 = 0, entries of 0 and their derivatives included
        excess = total(xp.where(live, xp.expm1(u), ratio), -2, xp) / count
        u = xp.where(live, u - xp.log1p(xp.where(excess > -0.5, excess, 0.0)), 0.0)
        if order.static and order.alpha == math.inf:
            deficit, steep = xp.max(xp.where(live, u, -math.inf), axis=-2, keepdims=True), 1.0
        else:
            at_zero = -ratio * (order.alpha / nonzero(order, xp=xp))
            mean = total(xp.where(live, power_excess(u, order, xp=xp), at_zero), -2, xp) / count
            x = order.t * mean
            inner = xp.abs(x) < 0.5
            deficit = mean * log1p_ratio(xp.where(inner, x, 0.0), eps=eps, xp=xp)
            power = xp.log(xp.where(inner, 1.0, total(xp.where(live, xp.exp(order.alpha * u), 0.0), -2, xp) / count))
            deficit = xp.where(small & ~inner, power / nonzero(order, xp=xp), deficit)
            steep = order.alpha
        uneven = xp.any(far, axis=-2, keepdims=True) | (steep * xp.max(xp.abs(u), axis=-2, keepdims=True) > 0.25)
        most = xp.max(xp.where(self.live, count, 0.0), axis=-1, keepdims=True)
        close = ~xp.any(self.live & (uneven | (count != most)), axis=AXES, keepdims=True)
        known = self.live & (close | small)
        return xp.where(known, deficit + xp.log(most / xp.where(known, count, 1.0)), 0.0), most, close

    def _mean(self, h: Array, tau: Any) -> Array:
        """Return −log Σ P exp(−τ h)/τ for h >= 0."""
        xp, eps = self.xp, float(self.xp.finfo(h.dtype).eps)
        some_tau = (
            tau if self.order.static and tau != 0 else xp.where(tau == 0, 1.0, tau) if not self.order.static else 1.0
        )
        z = -tau * h
        small, safe = xp.abs(z) <= 1, z < exponent_limit(h, xp)
        near = h * expm1_ratio(xp.where(small, z, 0.0), eps=eps, xp=xp)
        far = xp.expm1(xp.where(small | ~safe, 0.0, z)) / -some_tau
        s = total(self.weights * xp.where(small, near, far), AXES, xp)
        x = -tau * s
        inner = (
            (xp.max(xp.where(self.live, z, -math.inf), axis=-1, keepdims=True) < exponent_limit(h, xp))
            & (x > -0.5)
            & (x <= 1)
        )
        s = xp.where(inner, s, 0.0)
        logs = xp.where(self.live, xp.log(xp.where(self.live, self.weights, 1.0)) + z, -math.inf)
        top = xp.max(logs, axis=-1, keepdims=True)
        rest = total(xp.where(self.live, xp.exp(xp.where(self.live, logs, top) - top), 0.0), AXES, xp)
        return xp.where(inner, s * log1p_ratio(-tau * s, eps=eps, xp=xp), (top + xp.log(rest)) / -some_tau)

    def shares(self, g: Array) -> tuple[Array, Array, Array]:
        """Return exp(−τ g), −τ g and g φ(−τ g)."""
        xp, tau = self.xp, self.tau
        z = -tau * g
        small = xp.abs(z) <= 1
        near = g * expm1_ratio(xp.where(small, z, 0.0), eps=float(xp.finfo(g.dtype).eps), xp=xp)
        # Σ P exp(z) = 1: no exponent is larger than −log P
        exponential = xp.exp(z)
        far = (exponential - 1) / -(xp.where(small, 1.0, tau + 0 * g))
        return exponential, z, xp.where(small, near, far)


def conditional_entropy(joint: Array, order: Order, *, xp: Any) -> Array:
    """Return the conditional entropy of each joint distribution; the last two axes keep length 1."""

    def value(own: Order) -> tuple[Array]:
        columns = _Columns(joint, own, xp)
        h = entropy(columns.joint, own, **columns.kwargs)
        return (xp.where(columns.sound, columns.mean(h)[0], math.nan),)

    return by_order(value, order, xp)[0]


def conditional_entropy_and_gradient(joint: Array, order: Order, *, xp: Any, scale: Any = None) -> tuple[Array, ...]:
    """Return the conditional entropy and its gradient with respect to the joint distribution, times ``scale``."""

    def both(own: Order) -> tuple[Array, Array]:
        columns = _Columns(joint, own, xp)
        h, along = entropy_and_gradient(columns.joint, own, **columns.kwargs)
        value, g = columns.mean(h)
        if own.static and own.alpha == 0:
            gradient = 0 * along
        else:
            exponential, _, shift = columns.shares(g)
            gradient = columns.weights * exponential * along + shift / columns.size
            held = (columns.joint == 0) & (own.t + 0 * along <= 0)
            gradient = xp.where(columns.live & ~held, gradient, 0.0)
        return xp.where(columns.sound, value, math.nan), xp.where(columns.sound, gradient, math.nan)

    value, gradient = by_order(both, order, xp)
    return value, *finished((gradient,), (joint,), scale, xp)


def conditional_entropy_and_alpha_gradient(joint: Array, order: Order, *, xp: Any) -> tuple[Array, Array]:
    """Return the conditional entropy of each joint distribution and its derivative with respect to α."""

    def both(own: Order) -> tuple[Array, Array]:
        columns = _Columns(joint, own, xp)
        h, along = entropy_and_alpha_gradient(columns.joint, own, **columns.kwargs)
        value, g = columns.mean(h)
        slope = _alpha_slope(columns, g, along, value)
        return xp.where(columns.sound, value, math.nan), xp.where(columns.sound, slope, math.nan)

    value, slope = by_order(both, order, xp)
    return value, slope


def _alpha_slope(columns: _Columns, g: Array, along: Array, value: Array) -> Array:
    order, xp = columns.order, columns.xp
    if order.static and order.alpha == math.inf:
        return 0 * value
    if order.static and order.alpha == 0:
        # log Σ P exp(∂h/∂α) over the columns that share the maximum, next to Σ P = 1 over all
        best = columns.live & (g == 0)
        excess = xp.where(best, columns.weights * xp.expm1(xp.where(best, along, 0.0)), -columns.weights)
        excess = total(xp.where(columns.live, excess, 0.0), AXES, xp)
        size = total(xp.where(best, columns.weights * xp.exp(xp.where(best, along, 0.0)), 0.0), AXES, xp)
        near = excess > -0.5
        return xp.where(near, xp.log1p(xp.where(near, excess, 0.0)), xp.log(xp.where(near, 1.0, size)))
    exponential, z, _ = columns.shares(g)
    small = xp.abs(z) <= 1
    curvature = power_curvature(xp.where(small, z, 0.0), eps=float(xp.finfo(g.dtype).eps), xp=xp)
    # ψ(z) g²/α² = (z exp(z) − expm1(z))/t²
    t, rate = xp.where(small, 1.0, order.t + 0 * g), g / order.alpha
    spread = xp.where(small, rate * rate * curvature, (exponential * (z - 1) + 1) / t / t)
    return total(columns.weights * (exponential * along - spread), AXES, xp)


CONDITIONAL_ENTROPY = Family(
    conditional_entropy,
    conditional_entropy_and_gradient,
    conditional_entropy_and_alpha_gradient,
    layouts=(2,),
    kept=2,
    masked=False,
)
