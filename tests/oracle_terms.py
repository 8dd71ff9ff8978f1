"""The terms of a loss in 60 digits, from their definitions, and their derivatives by central differences."""

from __future__ import annotations

import functools

import mpmath as mp
import numpy as np

ORDERS = (0.5, 1.0, 2.0, float("inf"))
SHARE = 0.9
"""Of log n, the target of the floor."""
MIXTURE = 0.3
"""The share of the reference."""
PAIRS = {"forward", "reverse", "jensen"}

_rng = np.random.default_rng(11)
X = np.round(_rng.normal(size=(5, 4)) * 1.5, 3)
# above the floor
X[1] = [0.03, -0.02, 0.05, 0.01]
Y = np.round(_rng.normal(size=(5, 4)), 3)
WHERE = np.asarray([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]], dtype=bool)
WEIGHTS = np.asarray([1.0, 0.5, 0.0, 2.0, 3.0])
STEP = mp.mpf(10) ** -20


def _softmax(row, mask):
    weights = [mp.exp(z) if keep else mp.mpf(0) for z, keep in zip(row, mask, strict=True)]
    return [w / mp.fsum(weights) for w in weights]


def entropy(p, alpha):
    if alpha == mp.inf:
        return -mp.log(max(p))
    p = [v for v in p if v > 0]
    if alpha == 1:
        return -mp.fsum(v * mp.log(v) for v in p)
    return mp.log(mp.fsum(v**alpha for v in p)) / (1 - alpha)


def divergence(p, q, alpha):
    both = [(v, w) for v, w in zip(p, q, strict=True) if v > 0]
    if alpha == mp.inf:
        return mp.log(max(v / w for v, w in both))
    if alpha == 1:
        return mp.fsum(v * mp.log(v / w) for v, w in both)
    return mp.log(mp.fsum(v**alpha * w ** (1 - alpha) for v, w in both)) / (alpha - 1)


def _uniform(mask):
    return [mp.mpf(1) / sum(mask) if keep else mp.mpf(0) for keep in mask]


def _floor(row, _, mask, alpha):
    return max(mp.mpf(0), mp.mpf(SHARE) * mp.log(sum(mask)) - entropy(_softmax(row, mask), alpha))


def _jensen(x, y, mask, alpha):
    m, p, q = mp.mpf(MIXTURE), _softmax(x, mask), _softmax(y, mask)
    mean = [(1 - m) * v + m * w for v, w in zip(p, q, strict=True)]
    return entropy(mean, alpha) - (1 - m) * entropy(p, alpha) - m * entropy(q, alpha)


def _gaussian(row, _, mask, alpha):
    ratio = {1: mp.mpf(1), mp.inf: mp.mpf(0)}.get(alpha)
    ratio = mp.log(alpha) / (alpha - 1) if ratio is None else ratio
    return -mp.fsum(z + mp.log(2 * mp.pi) / 2 + ratio / 2 for z in row)


def _sampled(row, _, mask, alpha):
    if alpha == mp.inf:
        return max(row)
    if alpha == 1:
        return mp.fsum(row) / len(row)
    return -mp.log(mp.fsum(mp.exp((alpha - 1) * z) for z in row) / len(row)) / (1 - alpha)


ROWS = {
    "bonus": lambda x, _, mask, alpha: -entropy(_softmax(x, mask), alpha),
    "floor": _floor,
    "confidence": lambda x, _, mask, alpha: divergence(_softmax(x, mask), _uniform(mask), alpha),
    "smoothing": lambda x, _, mask, alpha: divergence(_uniform(mask), _softmax(x, mask), alpha),
    "forward": lambda x, y, mask, alpha: divergence(_softmax(x, mask), _softmax(y, mask), alpha),
    "reverse": lambda x, y, mask, alpha: divergence(_softmax(y, mask), _softmax(x, mask), alpha),
    "jensen": _jensen,
    "gaussian": _gaussian,
    "sampled": _sampled,
}
UNMASKED = {"gaussian", "sampled"}


def _balance(p, shares, alpha):
    return -entropy([mp.fsum(s * row[i] for s, row in zip(shares, p, strict=True)) for i in range(len(p[0]))], alpha)


def _information(p, shares, alpha):
    """The marginal entropy is of order alpha, the conditional one of the order that stands across it, or the same."""
    other = mp.mpf(2) if alpha == 0.5 else mp.mpf(1)
    return _balance(p, shares, alpha) + mp.fsum(s * entropy(row, other) for s, row in zip(shares, p, strict=True))


BATCHES = {"balance": _balance, "information": _information}
TERMS = (*ROWS, *BATCHES)


def loss(name, x, y, alpha, *, masked):
    """Return the term of the rows, of the weights and masks above if ``masked``."""
    mask = WHERE if masked and name not in UNMASKED else np.ones_like(WHERE)
    weights = WEIGHTS if masked else np.ones_like(WEIGHTS)
    used = [k for k in range(len(weights)) if weights[k] > 0 and mask[k].any()]
    total = mp.fsum(weights[k] for k in used)
    shares = [mp.mpf(weights[k]) / total for k in used]
    if name in BATCHES:
        return BATCHES[name]([_softmax(x[k], mask[k]) for k in used], shares, alpha)
    return mp.fsum(
        s * ROWS[name](x[k], y[k], [bool(keep) for keep in mask[k]], alpha) for s, k in zip(shares, used, strict=True)
    )


@functools.cache
def exact(name, alpha, *, masked, digits="float64"):
    """Return the value, the gradients with respect to x and y, and the derivative in α (None at ∞)."""
    with mp.workdps(60):
        x, y = ([[mp.mpf(float(z)) for z in row] for row in rows.astype(digits)] for rows in (X, Y))
        alpha = mp.mpf(alpha)
        value = loss(name, x, y, alpha, masked=masked)
        gradients = []
        for rows in (x, y) if name in PAIRS else (x,):
            gradient = np.zeros(X.shape)
            for k, i in np.ndindex(X.shape):
                kept, sides = rows[k][i], []
                for step in (STEP, -STEP):
                    rows[k][i] = kept + step
                    sides.append(loss(name, x, y, alpha, masked=masked))
                rows[k][i] = kept
                gradient[k, i] = float((sides[0] - sides[1]) / (2 * STEP))
            gradients.append(gradient)
        slope = None
        if alpha != mp.inf and name != "information":
            sides = [loss(name, x, y, alpha + step, masked=masked) for step in (STEP, -STEP)]
            slope = float((sides[0] - sides[1]) / (2 * STEP))
        return float(value), gradients, slope
