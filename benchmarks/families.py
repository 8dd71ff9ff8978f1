"""Each quantity on torch, value and backward: next to the plain formula, and to automatic differentiation of our code.

    python benchmarks/families.py [--rounds 5] [--shapes 64x6,256x8000]

float32 on the CPU, one thread, processor time. The contestants alternate within a round; a ratio is the median over the
rounds of a round's own. ``plain`` is the formula that a careful user writes in torch, clamped where it would be NaN;
``autodiff`` is our array-API code under torch's automatic differentiation. ``kept`` is what each holds for backward, in
multiples of what is differentiated.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import renyi_core as renyi
from renyi_core.regularizers import BalanceTerm, DivergenceTerm, InformationTerm, SampledEntropyBonus

ALPHA = 2.0
TINY = 1e-30


def logs(x):
    """Return log-probabilities."""
    return x.log_softmax(-1)


def plain_divergence(x, y):
    return torch.logsumexp(ALPHA * logs(x) + (1 - ALPHA) * logs(y), -1) / (ALPHA - 1)


def plain_tsallis(x, y):
    return torch.expm1((ALPHA - 1) * plain_divergence(x, y)) / (ALPHA - 1)


def plain_alpha(x, y):
    return plain_tsallis(x, y) / ALPHA


def plain_cross_entropy(x, y):
    return torch.logsumexp(logs(x) + (ALPHA - 1) * logs(y), -1) / (1 - ALPHA)


def plain_jensen(p):
    mean = p.mean(-2, keepdim=True)
    return (p * (p.clamp_min(TINY).log() - mean.clamp_min(TINY).log())).sum(-1).mean(-1)


def plain_sibson(joint):
    p = joint / joint.sum((-2, -1), keepdim=True)
    marginal = p.sum(-1, keepdim=True)
    powers = (marginal * (p / marginal) ** ALPHA).sum(-2) ** (1 / ALPHA)
    return ALPHA / (ALPHA - 1) * powers.sum(-1).log()


def plain_conditional(joint):
    p = joint / joint.sum((-2, -1), keepdim=True)
    return ALPHA / (1 - ALPHA) * ((p**ALPHA).sum(-2) ** (1 / ALPHA)).sum(-1).log()


def plain_log_prob(x):
    return (torch.logsumexp((ALPHA - 1) * x, -1) - math.log(x.shape[-1])) / (1 - ALPHA)


def plain_balance(x):
    return -((x.softmax(-1).mean(0) ** ALPHA).sum().log() / (1 - ALPHA))


def plain_information(x):
    p, log_p = x.softmax(-1), logs(x)
    return -(p * (log_p - p.mean(0).clamp_min(TINY).log())).sum(-1).mean()


def contestants(rows, columns):
    """Return for each quantity ours, the plain formula, and the tensors that are differentiated."""
    rng = np.random.default_rng(0)

    def tensor(x):
        return torch.from_numpy(np.asarray(x, np.float32)).requires_grad_()

    x, y = (tensor(2 * rng.normal(size=(rows, columns))) for _ in range(2))
    reference = y.detach()
    sets = tensor(rng.dirichlet(np.ones(columns), (rows // 2, 2)))
    side = max(2, math.isqrt(columns))
    joint = tensor(rng.random((rows, side, side)))
    logits = {
        "divergence_from_logits": (renyi.divergence_from_logits, plain_divergence),
        "tsallis_divergence_from_logits": (renyi.tsallis_divergence_from_logits, plain_tsallis),
        "alpha_divergence_from_logits": (renyi.alpha_divergence_from_logits, plain_alpha),
        "cross_entropy_from_logits": (renyi.cross_entropy_from_logits, plain_cross_entropy),
    }
    found = {f"{name}, both": (functools.partial(_of_two, f), plain, (x, y)) for name, (f, plain) in logits.items()}
    found |= {
        f"{name}, one": (lambda x, f=f: f(x, reference, ALPHA), lambda x, g=plain: g(x, reference), (x,))
        for name, (f, plain) in logits.items()
    }
    return found | {
        "jensen_divergence, α = 1": (lambda p: renyi.jensen_divergence(p, 1), plain_jensen, (sets,)),
        "mutual_information": (lambda p: renyi.mutual_information(p, ALPHA), plain_sibson, (joint,)),
        "conditional_entropy": (lambda p: renyi.conditional_entropy(p, ALPHA), plain_conditional, (joint,)),
        "regularized_argmax, α = 1": (
            lambda s: renyi.regularized_argmax(s, 1)[:, 0],
            lambda s: s.softmax(-1)[:, 0],
            (x,),
        ),
        "regularized_max, α = 1": (lambda s: renyi.regularized_max(s, 1), lambda s: s.logsumexp(-1), (x,)),
        "entropy_from_log_prob": (lambda s: renyi.entropy_from_log_prob(s, ALPHA), plain_log_prob, (x,)),
        "DivergenceTerm": (
            lambda x: DivergenceTerm(ALPHA)(x, reference),
            lambda x: plain_divergence(x, reference).mean(),
            (x,),
        ),
        "BalanceTerm": (BalanceTerm(ALPHA), plain_balance, (x,)),
        "InformationTerm, α = 1": (InformationTerm(), plain_information, (x,)),
        "SampledEntropyBonus": (SampledEntropyBonus(ALPHA), lambda x: -plain_log_prob(x).mean(), (x,)),
    }


def _of_two(f, x, y):
    return f(x, y, ALPHA)


def agnostic(f, *tensors):
    """Return what the array-API code gives, without adapters."""
    with renyi.agnostic_only():
        return f(*tensors)


def seconds(f, tensors):
    """Return the processor time of a value and its backward pass."""
    for x in tensors:
        x.grad = None
    start = time.process_time()
    f(*tensors).sum().backward()
    return time.process_time() - start


def kept(f, tensors):
    """Return what is held for backward, in multiples of the tensors."""
    sizes = {}

    def pack(x):
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        value = f(*tensors)
    del value
    return sum(sizes.values()) / sum(x.nbytes for x in tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", default="64x6,256x8000")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, one thread; {options.rounds} rounds,")
    print(f"{time.strftime('%Y-%m-%d')}; α = {ALPHA:g} where nothing else is said; processor time.\n")
    print("| shape | quantity | ms | to plain | to autodiff | kept | autodiff kept | plain kept |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for shape in options.shapes.split(","):
        rows, columns = map(int, shape.split("x"))
        for name, (ours, plain, tensors) in contestants(rows, columns).items():
            every = ours, plain, functools.partial(agnostic, ours)
            times = [[seconds(f, tensors) for f in every] for _ in range(options.rounds + 1)][1:]
            middle = statistics.median(row[0] for row in times) * 1e3
            ratios = (statistics.median(row[0] / row[k] for row in times) for k in (1, 2))
            held = (kept(f, tensors) for f in (every[0], every[2], every[1]))
            cells = [
                f"{rows} × {columns:,}",
                name,
                f"{middle:.2f}",
                *(f"{r:.2f}" for r in ratios),
                *(f"{k:.1f}" for k in held),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
