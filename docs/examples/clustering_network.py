"""A network of two layers that clusters images, trained without automatic differentiation.

The objective is that of regularized information maximization and IMSAT, with an order in the marginal term,

    mean D_1(p(x) || p(T x)) + certainty * mean H_1(p(x)) - weight * H_alpha(mean p(x)),

for a small random distortion T of each image. The gradient of each part with respect to the logits comes from
``renyi.value_and_grad``; from there to the weights it is the chain rule, written out. The arrays are of any library
that follows the array API standard, CuPy among them.
"""

import math
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

import renyi_core as renyi
from renyi_core.regularizers import BalanceTerm, DivergenceTerm

SIDE, CLUSTERS = 8, 10

entropy = renyi.value_and_grad(renyi.entropy_from_logits)


class Plan(NamedTuple):
    """How every network is trained, whatever its balance term."""

    hidden: int = 256
    epochs: int = 100
    batch: int = 256
    rate: float = 3e-3
    certainty: float = 0.1  # the weight of the mean conditional entropy
    shift: float = 0.8  # pixels
    turn: float = 12.0  # degrees
    scale: float = 0.12  # enlarged or shrunk by up to this share
    noise: float = 0.2


class Network:
    """Logits of the clusters, ``relu(x @ w1 + b1) @ w2 + b2``, and the gradients of its parameters."""

    def __init__(self, hidden, middle, rng, asarray):
        # three times and half of the usual size: pixels vary by less than 1, and no cluster should lead at first
        w1 = rng.normal(size=(SIDE * SIDE, hidden)) * 3 * math.sqrt(2 / SIDE**2)
        w2 = rng.normal(size=(hidden, CLUSTERS)) * 0.5 * math.sqrt(2 / hidden)
        # the hidden units see the images about their mean
        self.parameters = [asarray(p) for p in (w1, -middle @ w1, w2, np.zeros(CLUSTERS))]

    def forward(self, x):
        """Return the logits and what the way back needs."""
        w1, b1, w2, b2 = self.parameters
        hidden = x @ w1 + b1
        active = array_namespace(x).astype(hidden > 0, x.dtype)
        hidden = hidden * active
        return hidden @ w2 + b2, (x, hidden, active)

    def backward(self, kept, gradient):
        """Return the gradients of the parameters from that of the logits."""
        x, hidden, active = kept
        xp = array_namespace(x)
        inner = (gradient @ self.parameters[2].T) * active
        return [x.T @ inner, xp.sum(inner, axis=0), hidden.T @ gradient, xp.sum(gradient, axis=0)]


class Adam:
    """Kingma and Ba's optimizer, with its usual constants."""

    def __init__(self, parameters, rate):
        xp = array_namespace(*parameters)
        self.parameters, self.rate, self.step = parameters, rate, 0
        self.first, self.second = ([xp.zeros_like(p) for p in parameters] for _ in range(2))

    def update(self, gradients):
        self.step += 1
        rate = self.rate * math.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        xp = array_namespace(*gradients)
        for i, g in enumerate(gradients):
            self.first[i] += 0.1 * (g - self.first[i])
            self.second[i] += 0.001 * (g * g - self.second[i])
            self.parameters[i] -= rate * self.first[i] / (xp.sqrt(self.second[i]) + 1e-8)


def distort(images, plan, rng, asarray):
    """Return each image, a row of pixels, shifted, turned, scaled and with noise, at random."""
    xp = array_namespace(images)
    n = images.shape[0]

    def uniform(bound):
        return rng.uniform(-bound, bound, size=(n, 1)).astype(np.float32)

    angle, size = np.radians(uniform(plan.turn)), 1 + uniform(plan.scale)
    middle = (SIDE - 1) / 2
    row, column = np.mgrid[:SIDE, :SIDE].reshape(2, 1, -1).astype(np.float32) - middle
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    # where each pixel comes from, on the image with a margin of one empty pixel, which also stands for all beyond
    source = [cosine * row - sine * column, sine * row + cosine * column]
    y, x = (np.clip(s + middle + uniform(plan.shift) + 1, 0, SIDE + 1) for s in source)
    top, left = (np.minimum(np.floor(s), SIDE) for s in (y, x))
    padded = xp.reshape(images, (n, SIDE, SIDE))
    padded = xp.concat([xp.zeros_like(padded[:, :1, :]), padded, xp.zeros_like(padded[:, :1, :])], axis=1)
    padded = xp.concat([xp.zeros_like(padded[:, :, :1]), padded, xp.zeros_like(padded[:, :, :1])], axis=2)
    flat = xp.reshape(padded, (-1,))
    result = plan.noise * asarray(rng.standard_normal((n, SIDE * SIDE), dtype=np.float32))
    first = ((SIDE + 2) * top + left).astype(np.int64) + (SIDE + 2) ** 2 * np.arange(n)[:, None]
    for down in (0, 1):
        for right in (0, 1):
            weight = (1 - abs(y - top - down)) * (1 - abs(x - left - right))
            index = asarray(np.ravel(first + (SIDE + 2) * down + right))
            result = result + asarray(weight) * xp.reshape(xp.take(flat, index), weight.shape)
    return result


def step(network, images, distorted, balance, plan):
    """Return the gradients of the objective with respect to the parameters."""
    logits, kept = network.forward(images)
    others, kept_others = network.forward(distorted)
    # the undistorted image is the teacher: its side of the divergence is held fixed
    consistency = DivergenceTerm(direction="reverse")
    _, of_others = renyi.value_and_grad(consistency)(others, logits)
    _, certain = entropy(logits, 1, cotangent=plan.certainty / logits.shape[0])
    _, even = renyi.value_and_grad(balance)(logits)
    both = network.backward(kept, certain + even), network.backward(kept_others, of_others)
    return [g + h for g, h in zip(*both, strict=True)]


def train(images, alpha, weight, seed, *, plan, xp):
    """Return the cluster of each image, an array of ``xp``; the images are rows of pixels from 0 to 1, in NumPy."""
    rng = np.random.default_rng(seed)

    def asarray(values):
        values = np.asarray(values)
        return xp.asarray(values.astype(np.float32) if values.dtype == np.float64 else values)

    balance = BalanceTerm(alpha=alpha, weight=weight)
    data = asarray(images)
    network = Network(plan.hidden, images.mean(axis=0), rng, asarray)
    optimizer = Adam(network.parameters, plan.rate)
    for _ in range(plan.epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(images) - plan.batch + 1, plan.batch):
            batch = xp.take(data, asarray(order[start : start + plan.batch]), axis=0)
            optimizer.update(step(network, batch, distort(batch, plan, rng, asarray), balance, plan))
    return xp.argmax(network.forward(data)[0], axis=-1)
