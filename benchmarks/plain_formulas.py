"""What a careful user writes in place of each function: the formulas that benchmarks/every_call.py measures against.

Those of torch and JAX return a value, and automatic differentiation its gradient; ``m`` has the functions of the
library, ``m.xp``, and what it calls otherwise than others. Those of NumPy take ``wrt`` first, the numbers of the
arguments to differentiate by, and return the value and these gradients, in temporaries that they use again.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
import scipy.special

NODES = np.arange(-6, 6.25, 0.25)


# entropies


def number(a):
    """Return an order that is a number, None for an array of one for each row."""
    return None if np.ndim(a) else a


def column(a):
    return a[:, None] if np.ndim(a) else a


def entropy_from_logits(m, z, a):
    if number(a) == 2:
        p = m.softmax(z)
        return -m.xp.log((p * p).sum(-1))
    return of_logs(m, m.logs(z), a)


def of_logs(m, log_p, a):
    if number(a) == 1:
        return -(m.xp.exp(log_p) * log_p).sum(-1)
    return -m.xp.amax(log_p, -1) if number(a) == math.inf else m.xp.log(m.xp.exp(column(a) * log_p).sum(-1)) / (1 - a)


def entropy_by_sums(m, z, a):
    """Return the same without logarithms of each probability, which are slow for short rows in torch."""
    if number(a) == 1:
        total = m.lse(z)
        return total - (m.xp.exp(z - total[:, None]) * z).sum(-1)
    return m.lse(z) - m.xp.amax(z, -1) if number(a) == math.inf else (m.lse(column(a) * z) - a * m.lse(z)) / (1 - a)


def entropy(m, p, a):
    match number(a):
        case 1:
            return -(p * m.xp.log(p)).sum(-1)
        case 2:
            return -m.xp.log((p * p).sum(-1))
        case math.inf:
            return -m.xp.log(m.xp.amax(p, -1))
    return m.xp.log((p ** column(a)).sum(-1)) / (1 - a)


def spectrum(m, p, alphas, log_p=None):
    log_p = m.xp.log(p) if log_p is None else log_p
    return m.xp.stack([of_logs(m, log_p, a) for a in alphas], -1)


def spectrum_from_logits(m, z, alphas):
    return spectrum(m, None, alphas, m.logs(z))


def summary(m, z, alphas):
    """Return the summary of a spectrum whose last order is ∞."""
    h = np_spectrum_from_logits((), z, alphas)[0] if m is NUMPY else spectrum_from_logits(m, z, alphas)
    return m.xp.exp(h), h[..., -1], m.xp.exp(-h[..., -1]), h


def categorical(m, z, _a):
    return m.xp.distributions.Categorical(logits=z).entropy()


def exponentials(x):
    """Return logits less their largest, their exponentials and the sums of these."""
    x = x - x.max(-1, keepdims=True)
    weights = np.exp(x)
    return x, weights, weights.sum(-1)


def np_entropy_from_logits(wrt, z, a):
    x, w, total = exponentials(z)
    match number(a):
        case 1:
            mean = np.vecdot(w, x) / total
            if wrt:
                x -= mean[:, None]
                w *= (-1 / total)[:, None]
                w *= x
            return np.log(total) - mean, w
        case 2:
            squares = np.vecdot(w, w)
            if wrt:
                np.multiply(w, (-2 / squares)[:, None], out=x)
                x += (2 / total)[:, None]
                x *= w
            return 2 * np.log(total) - np.log(squares), x
        case math.inf:
            if wrt:
                w /= total[..., None]
                w[np.arange(len(w)), z.argmax(-1)] -= 1
            return np.log(total), w
    x *= column(a)
    np.exp(x, out=x)
    powers = x.sum(-1)
    if wrt:
        x *= (a / (1 - a) / powers)[:, None]
        w *= (a / (1 - a) / total)[:, None]
        x -= w
    return (np.log(powers) - a * np.log(total)) / (1 - a), x


def np_entropy(wrt, p, a):
    match number(a):
        case 1:
            log_p = np.log(p)
            h = -np.vecdot(p, log_p)
            return h, np.negative(log_p, out=log_p) if wrt else None
        case 2:
            total = np.vecdot(p, p)
            return -np.log(total), p * (-2 / total)[..., None] if wrt else None
        case math.inf:
            most = p.max(-1, keepdims=True)
            return -np.log(most[..., 0]), (p == most) / -most if wrt else None
    power = np.log(p)
    power *= column(a - 1)
    np.exp(power, out=power)
    total = np.vecdot(p, power)
    if wrt:
        power *= (a / (1 - a) / total)[:, None]
    return np.log(total) / (1 - a), power


def np_spectrum_from_logits(_wrt, z, alphas):
    x, w, total = exponentials(z)
    buffer, log_total, found = np.empty_like(x), np.log(total), []
    for a in alphas:
        if a == 1:
            found.append(log_total - np.vecdot(w, x) / total)
        elif a == math.inf:
            found.append(log_total)
        else:
            np.exp(np.multiply(x, a, out=buffer), out=buffer)
            found.append((np.log(buffer.sum(-1)) - a * log_total) / (1 - a))
    return [np.stack(found, -1)]


# pairs


def exponents(crossed, a):
    """Return u, v and k of log(Σ p**u q**v)/k, a divergence or a cross-entropy."""
    return (1, a - 1, 1 - a) if crossed else (a, 1 - a, a - 1)


def pair_from_logits(m, x, y, a, crossed=False):
    log_p, log_q = m.logs(x), m.logs(y)
    if a == 1:
        return (m.xp.exp(log_p) * (-log_q if crossed else log_p - log_q)).sum(-1)
    u, v, k = exponents(crossed, a)
    return m.lse(u * log_p + v * log_q) / k


def pair_by_sums(m, x, y, a, crossed=False):
    """Return the same without logarithms of each probability."""
    u, v, k = exponents(crossed, a)
    if a == 1:
        total = m.lse(x)
        mean = (m.xp.exp(x - total[:, None]) * (-y if crossed else x - y)).sum(-1)
        return mean + m.lse(y) - (0 if crossed else total)
    return (m.lse(u * x + v * y) - u * m.lse(x) - v * m.lse(y)) / k


def kl_div(m, x, y, _a):
    return m.xp.nn.functional.kl_div(m.logs(y), m.logs(x), reduction="none", log_target=True).sum(-1)


def pair(m, p, q, a, crossed=False):
    log_base = m.xp.log(q) if crossed else m.xp.log(p / q)
    if a == 1:
        return (p * log_base).sum(-1) * (-1 if crossed else 1)
    return m.xp.log((p * m.xp.exp((a - 1) * log_base)).sum(-1)) / exponents(crossed, a)[2]


def np_pair_from_logits(wrt, x, y, a, crossed=False):
    (x, p, sum_p), (y, q, sum_q) = exponentials(x), exponentials(y)
    u, v, k = exponents(crossed, a)
    if a == 1:
        ratio = np.negative(y, out=x) if crossed else np.subtract(x, y, out=x)
        mean = np.vecdot(p, ratio) / sum_p
        value = mean + np.log(sum_q) - (0 if crossed else np.log(sum_p))
        if wrt:
            ratio -= mean[:, None]
            p /= sum_p[:, None]
            ratio *= p
        first, w = ratio, p
    else:
        x *= u
        x += np.multiply(y, v, out=y)
        top = x.max(-1)
        x -= top[:, None]
        w = np.exp(x, out=x)
        total = w.sum(-1)
        value = (np.log(total) + top - u * np.log(sum_p) - v * np.log(sum_q)) / k
        if wrt:
            w /= total[..., None]
            p /= sum_p[:, None]
            first = np.subtract(w, p, out=p)
            first *= u / k
    if 1 in wrt:
        q /= sum_q[:, None]
        q -= w
    return value, first if wrt else None, q


def np_pair(wrt, p, q, a, crossed=False):
    ratio = p / q if wrt or not crossed else None
    power = np.log(q if crossed else ratio)
    u, _, k = exponents(crossed, a)
    if a == 1:
        value = np.vecdot(p, power) * (-1 if crossed else 1)
        if wrt:
            power *= -1 if crossed else 1
            np.negative(ratio, out=ratio)
        return value, power, ratio
    power *= a - 1
    np.exp(power, out=power)
    total = np.vecdot(p, power)
    if 1 in wrt:
        ratio *= power
        ratio *= (-1 / total)[:, None]
    if wrt:
        power *= (u / k / total)[:, None]
    return np.log(total) / k, power, ratio


def jensen(m, sets, a):
    mean = sets.mean(-2)
    if a == 1:
        return (sets * (m.xp.log(sets) - m.xp.log(mean)[..., None, :])).sum(-1).mean(-1)
    return entropy(m, mean, a) - entropy(m, sets, a).mean(-1)


def jensen_from_logits(m, sets, a):
    return jensen(m, m.softmax(sets), a)


def np_jensen(wrt, sets, a):
    mean = sets.mean(-2)
    if a == 1:
        ratio = np.log(sets)
        ratio -= np.log(mean)[..., None, :]
        value = np.vecdot(sets, ratio).mean(-1)
        if wrt:
            ratio /= sets.shape[-2]
        return value, ratio
    (h, slope), (each, slopes) = np_entropy(wrt, mean, a), np_entropy(wrt, sets, a)
    return h - each.mean(-1), (slope[..., None, :] - slopes) / sets.shape[-2] if wrt else None


# joint distributions


def conditional_entropy(m, joint, a):
    if a == 1:
        return -(joint * m.xp.log(joint / joint.sum(-2, keepdims=True))).sum((-2, -1))
    return a / (1 - a) * m.xp.log(((joint**a).sum(-2) ** (1 / a)).sum(-1))


def mutual_information(m, joint, a):
    given = joint.sum(-1, keepdims=True)
    if a == 1:
        return (joint * m.xp.log(joint / (given * joint.sum(-2, keepdims=True)))).sum((-2, -1))
    return a / (a - 1) * m.xp.log(((given ** (1 - a) * joint**a).sum(-2) ** (1 / a)).sum(-1))


def maximal_leakage(m, joint):
    return m.xp.log(m.xp.amax(joint / joint.sum(-1, keepdims=True), -2).sum(-1))


# samples and densities


def check_probabilities(m, p):
    if not bool((p >= 0).all() & (m.xp.abs(p.sum(-1) - 1) < 3e-4).all()):
        raise ValueError
    return p


def entropy_from_counts(m, counts, a):
    """Return the plug-in estimate and its standard error."""
    draws = counts.sum(-1, keepdims=True)
    f = counts / draws
    if a == 1:
        log_f = m.xp.log(f + (f == 0))
        h = -(f * log_f).sum(-1)
        return h, m.xp.sqrt((f * (log_f + h[..., None]) ** 2).sum(-1) / draws[..., 0])
    power = f ** (a - 1)
    total = (f * power).sum(-1, keepdims=True)
    slope = a / (1 - a) * (power / total - 1)
    return m.xp.log(total[..., 0]) / (1 - a), m.xp.sqrt((f * slope * slope).sum(-1) / draws[..., 0])


def from_log_prob(m, x, a):
    return -x.mean(-1) if a == 1 else (m.lse(x if a == 2 else (a - 1) * x) - math.log(x.shape[-1])) / (1 - a)


def np_from_log_prob(wrt, x, a):
    if not wrt:
        return [from_log_prob(NUMPY, x, a)]
    if a == 1:
        return -x.mean(-1), np.full_like(x, -1 / x.shape[-1])
    scaled = x if a == 2 else (a - 1) * x
    _, w, total = exponentials(scaled)
    w /= -total[:, None]
    return (np.log(total / x.shape[-1]) + scaled.max(-1)) / (1 - a), w


def log_ratio(a):
    return 1.0 if a == 1 else math.log(a) / (a - 1)


def of_scale(m, scale, a):
    return m.xp.log(scale) + log_ratio(a)


def dirichlet_entropy(m, concentration, a):
    """Return the entropy of Dirichlet densities, from log-gammas as they stand."""

    def log_beta(x):
        return m.lgamma(x).sum(-1) - m.lgamma(x.sum(-1))

    return (log_beta(a * (concentration - 1) + 1) - a * log_beta(concentration)) / (1 - a)


def beta_entropy(m, a, b, alpha):
    return dirichlet_entropy(m, m.xp.stack([a, b], -1), alpha)


def gamma_entropy(m, k, rate, a):
    power = a * (k - 1) + 1
    return (m.lgamma(power) - a * m.lgamma(k) - power * math.log(a)) / (1 - a) - m.xp.log(rate)


def truncated_gaussian(m, mean, scale, low, high, a):
    def mass(factor):
        return m.ndtr((high - mean) / scale * factor) - m.ndtr((low - mean) / scale * factor)

    whole = math.log(2 * math.pi) / 2 + math.log(a) / (2 * (a - 1))
    return whole + m.xp.log(scale) + (m.xp.log(mass(math.sqrt(a))) - a * m.xp.log(mass(1.0))) / (1 - a)


def entropy_bounds_from_top(m, log_probs, a, n):
    """Return both bounds along a new last axis; log_probs are the k largest of n."""
    p, k = m.xp.exp(log_probs), log_probs.shape[-1]
    rest, least = 1 - p.sum(-1), m.falling(p)[..., -1]
    whole, known = m.xp.floor(rest / least), (p**a).sum(-1)
    lower = known + whole * least**a + m.xp.abs(rest - whole * least) ** a
    upper = known + (n - k) * (rest / (n - k)) ** a
    return m.xp.log(m.xp.stack([lower, upper], -1)) / (1 - a)


def nucleus_mask(m, z, mass):
    p = m.softmax(z)
    falling = m.falling(p)
    count = (m.xp.cumsum(falling, -1) - falling < mass).sum(-1)
    return p >= m.along(falling, count[..., None] - 1)


def high_entropy_mask(m, entropies, share):
    falling = m.falling(entropies.reshape(-1))
    return entropies >= falling[max(1, round(share * len(falling))) - 1]


def half_log_det(m, matrix):
    return m.xp.log(m.xp.diagonal(m.xp.linalg.cholesky(matrix), 0, -2, -1)).sum(-1)


def gaussian_entropy(m, covariance, a):
    return half_log_det(m, covariance) + covariance.shape[-1] / 2 * (math.log(2 * math.pi) + log_ratio(a))


def gaussian_divergence(m, mean_p, p, mean_q, q, a):
    mixed, gap = a * q + (1 - a) * p if a != 1 else q, (mean_p - mean_q)[..., None]
    dets = half_log_det(m, mixed) - half_log_det(m, p)
    found = m.xp.linalg.solve(mixed, gap if a != 1 else m.xp.concatenate([gap, p], -1))
    mahalanobis = (gap * found[..., :1]).sum((-2, -1))
    if a == 1:
        return (mahalanobis + m.xp.diagonal(found[..., 1:], 0, -2, -1).sum(-1) - p.shape[-1]) / 2 + dets
    return a / 2 * mahalanobis - (dets - a * (half_log_det(m, q) - half_log_det(m, p))) / (a - 1)


def tanh_gaussian_entropy(m, mean, scale, a):
    """Return the entropy by the trapezoidal rule, as there is no closed form."""
    nodes, weights = m.array(NODES), m.array(0.25 * (2 * math.pi) ** (-a / 2) * np.exp(-a / 2 * NODES**2))
    log_slope = -2 * m.xp.log(m.xp.cosh(mean[..., None] + scale[..., None] * nodes))
    if a == 1:
        return m.xp.log(scale) + math.log(2 * math.pi * math.e) / 2 + (log_slope * weights).sum(-1)
    return m.xp.log((m.xp.exp((1 - a) * log_slope) * weights).sum(-1)) / (1 - a) + m.xp.log(scale)


def gram_entropy(m, gram, a):
    trace = m.xp.diagonal(gram, 0, -2, -1).sum(-1)
    if a == 2:
        return 2 * m.xp.log(trace) - m.xp.log((gram * gram).sum((-2, -1)))
    return entropy(m, m.xp.clip(m.xp.linalg.eigvalsh(gram), 1e-30, None) / trace[..., None], a)


def gram_mutual_information(m, x, y, a):
    return gram_entropy(m, x, a) + gram_entropy(m, y, a) - gram_entropy(m, x * y, a)


def kernel_entropy(m, points, a):
    return gram_entropy(m, m.xp.exp(m.squares(points) / -2), a)


def particle_reward(m, points, a):
    return m.kth_smallest(m.squares(points), 3) ** ((1 - a) / 2)


def particle_mutual_information(m, x, y):
    n = x.shape[-2]
    gaps = [m.xp.amax(m.xp.abs(z[..., :, None, :] - z[..., None, :, :]), -1) for z in (x, y)]
    reach = m.kth_smallest(m.xp.maximum(*gaps), 3)[..., None]
    psi = m.array(np.cumsum([-np.euler_gamma, *(1 / np.arange(1, n))]))
    counts = [(gap < reach).sum(-1) for gap in gaps]
    return 1.5 - np.euler_gamma + psi[n - 1] - (psi[counts[0] - 1] + psi[counts[1] - 1]).mean(-1)


def particle_entropy(m, points, a):
    n, d = points.shape[-2:]
    log_distance = m.xp.log(m.kth_smallest(m.squares(points), 3)) / 2
    constant = math.log(n - 1) + d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    if a == 1:
        return constant + d * log_distance.mean(-1) - (1.5 - np.euler_gamma)
    power = m.lse(d * (1 - a) * log_distance) - math.log(n)
    return constant + (math.log(2) - math.lgamma(4 - a) + power) / (1 - a)


# choices: those of Tsallis' entropy are of the same family, at scores divided by a number that is found before


def entmax(m, z, a):
    """Return the choice by bisection."""
    z = (a - 1) * z
    low, width = m.xp.amax(z, -1)[..., None] - 1, 1 - z.shape[-1] ** (1 - a)
    for _ in range(m.halvings):
        width /= 2
        enough = (m.xp.clip(z - (low + width), 0, None) ** (1 / (a - 1))).sum(-1)[..., None] >= 1
        low = m.xp.where(enough, low + width, low)
    p = m.xp.clip(z - low, 0, None) ** (1 / (a - 1))
    return p / p.sum(-1)[..., None]


def sparsemax(m, z, a):
    """Return the choice of order 2 by sorting."""
    if a != 2:
        return entmax(m, z, a)
    falling = m.falling(z)
    excess = falling.cumsum(-1) - 1
    count = (m.array(np.arange(1, z.shape[-1] + 1)) * falling > excess).sum(-1)[..., None]
    return m.xp.clip(z - m.along(excess, count - 1) / count, 0, None)


def product(p, a, g):
    """Return the product of the derivative of either choice with ``g``."""
    weights = (p > 0) * p ** (2 - a)
    return weights * (g - (weights * g).sum(-1)[..., None] / weights.sum(-1)[..., None])


def argmax(m, scores, divisor, _cotangent, a, solve=sparsemax):
    return m.softmax(scores) if a == 1 else m.implicit(solve, scores / divisor[:, None], a)


def np_argmax(wrt, scores, divisor, cotangent, a):
    if a != 1:
        p = sparsemax(NUMPY, scores / divisor[:, None], a)
        return p, product(p, a, cotangent) if wrt else None
    p = softmax(scores)
    return p, p * (cotangent - np.vecdot(p, cotangent)[:, None]) if wrt else None


def largest(m, scores, divisor, a, solve=sparsemax):
    if a == 1:
        return m.lse(scores)
    p = solve(m, m.constant(scores / divisor[:, None]), a)
    return (p * scores).sum(-1) + m.xp.log((p**a).sum(-1)) / (1 - a)


def np_largest(wrt, scores, divisor, a):
    if a != 1:
        p = sparsemax(NUMPY, scores / divisor[:, None], a)
        return np.vecdot(p, scores) + np.log((p**a).sum(-1)) / (1 - a), p
    if not wrt:
        return [lse(scores)]
    _, p, total = exponentials(scores)
    p /= total[:, None]
    return scores.max(-1) + np.log(total), p


# a function of a value, and its slope from what it returns


def hill(f):
    return chained(f, lambda xp, h, _a: xp.exp(h), lambda value, _a: value)


def tsallis(f, sign=1, amari=False):
    """Return Tsallis' entropy (sign 1) or divergence (−1) of Rényi's, or Amari's divergence."""

    def outer(xp, h, a):
        t = sign * (1 - a)
        return h if a == 1 else xp.expm1(t * h) / (t * a if amari else t)

    return chained(f, outer, lambda value, a: 1 / a + sign * (1 - a) * value if amari else 1 + sign * (1 - a) * value)


def chained(f, outer, slope):
    def formula(first, *arguments):
        *_, a = arguments
        if not isinstance(first, tuple):
            return outer(first.xp, f(first, *arguments), a)
        inner, *gradients = f(first, *arguments)
        value = outer(np, inner, a)
        for i in first:
            gradients[i] *= slope(value, a)[..., None]
        return value, *gradients

    return formula


# the libraries: what differs, and ``run``, which makes a call of a value, or of it and its gradients, without arguments


def softmax(x):
    _, w, total = exponentials(x)
    w /= total[..., None]
    return w


def lse(x):
    top = x.max(-1)
    x = x - top[..., None]
    return top + np.log(np.exp(x, out=x).sum(-1))


def logs(x):
    x, _, total = exponentials(x)
    x -= np.log(total)[:, None]
    return x


def squares(points):
    """Return the squares of the distances of the (..., N, d) points."""
    total = 0.0
    for i in range(points.shape[-1]):
        gap = points[..., i, None] - points[..., None, :, i]
        gap *= gap
        total += gap
    return total


NUMPY = SimpleNamespace(
    xp=np,
    array=np.asarray,
    halvings=50,
    softmax=softmax,
    logs=logs,
    lse=lse,
    squares=squares,
    kth_smallest=lambda x, k: np.partition(x, k, -1)[..., k],
    falling=lambda x: np.sort(x, -1)[..., ::-1],
    along=lambda x, index: np.take_along_axis(x, index, -1),
    greatest=lambda x: x.max(-1),
    lgamma=scipy.special.gammaln,
    ndtr=scipy.special.ndtr,
)


def of_torch(dtype):
    import torch

    class Implicit(torch.autograd.Function):
        @staticmethod
        def forward(ctx, solve, z, a):
            ctx.p, ctx.a = solve(m, z, a), a
            return ctx.p

        @staticmethod
        def backward(ctx, g):
            return None, product(ctx.p, ctx.a, g), None

    def run(f, arrays, more, wrt, weights):
        leaves = [x.detach().requires_grad_(i in wrt) for i, x in enumerate(arrays)]

        def call():
            for x in leaves:
                x.grad = None
            value = f(*leaves, *more)
            if wrt:
                (value if weights is None else value * weights).sum().backward()
            return value, [leaves[i].grad for i in wrt]

        return call

    wide = torch.float32 if dtype == "bfloat16" else getattr(torch, dtype)
    m = SimpleNamespace(
        xp=torch,
        array=lambda x: torch.from_numpy(x).to(wide),
        convert=lambda x: torch.from_numpy(x).to(getattr(torch, dtype)),
        wide=lambda x: x.to(wide),
        run=run,
        logs=lambda x: x.log_softmax(-1),
        softmax=lambda x: x.softmax(-1),
        lse=lambda x: x.logsumexp(-1),
        squares=lambda x: torch.cdist(x, x).square(),
        kth_smallest=lambda x, k: x.topk(k + 1, largest=False)[0][..., k],
        falling=lambda x: x.sort(-1, descending=True)[0],
        along=lambda x, index: x.take_along_dim(index, -1),
        greatest=lambda x: x.amax(-1),
        lgamma=torch.lgamma,
        ndtr=torch.special.ndtr,
        implicit=Implicit.apply,
        constant=torch.Tensor.detach,
    )
    return m


def of_jax(dtype):
    import jax
    import jax.numpy as jnp

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0, 2))
    def implicit(solve, z, a):
        return solve(m, z, a)

    implicit.defvjp(lambda solve, z, a: 2 * (solve(m, z, a),), lambda _solve, a, p, g: (product(p, a, g),))

    def run(f, arrays, more, wrt, weights):
        def total(*arrays):
            value = f(*arrays)
            return (value if weights is None else value * arrays[-1]).sum(), value

        compiled = jax.jit(jax.value_and_grad(total, wrt, has_aux=True) if wrt else f)

        def call():
            found = jax.block_until_ready(compiled(*arrays, *more))
            return (found[0][1], found[1]) if wrt else found

        return call

    m = SimpleNamespace(
        xp=jnp,
        array=lambda x: jnp.asarray(x, dtype=dtype),
        run=run,
        logs=jax.nn.log_softmax,
        softmax=jax.nn.softmax,
        lse=lambda x: jax.nn.logsumexp(x, -1),
        squares=lambda x: ((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1),
        kth_smallest=lambda x, k: -jax.lax.top_k(-x, k + 1)[0][..., k],
        falling=lambda x: jnp.sort(x, -1, descending=True),
        along=lambda x, index: jnp.take_along_axis(x, index, -1),
        greatest=lambda x: x.max(-1),
        lgamma=jax.scipy.special.gammaln,
        ndtr=jax.scipy.special.ndtr,
        implicit=implicit,
        constant=jax.lax.stop_gradient,
    )
    return m
