"""The entropy of samples by a Gaussian kernel, side by side with what people write: cdist, exp, eigvalsh.

    python benchmarks/diversity.py [--rounds 5] [--sizes 256,2048] [--features 16]

``value`` is the entropy alone; ``gradient`` has the gradient with respect to the samples besides, by torch's backward,
or by ``renyi.value_and_grad`` (``rule``). At α = 2 the plain code takes minus the logarithm of the mean square of the
matrix. The contestants alternate within a round; medians of processor time, in milliseconds, one thread, float64.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import scipy
import torch
from scipy.spatial.distance import cdist

import renyi_core as renyi


def plain_numpy(x, alpha):
    gram = np.exp(-cdist(x, x, "sqeuclidean") / 2) / len(x)
    if alpha == 2:
        return -np.log(np.sum(gram * gram))
    values = np.linalg.eigvalsh(gram)
    values = values[values > 1e-12]
    return -np.sum(values * np.log(values))


def plain_torch(x, alpha):
    gram = torch.exp(-torch.cdist(x, x).square() / 2) / len(x)
    if alpha == 2:
        return -torch.log((gram * gram).sum())
    values = torch.linalg.eigvalsh(gram).clamp(min=1e-12)
    return -(values * values.log()).sum()


def backward(f):
    """Return the function with torch's gradient."""

    def both(x, alpha):
        x = x.detach().requires_grad_()
        f(x, alpha).backward()
        return x.grad

    return both


RULE = renyi.value_and_grad(renyi.kernel_entropy)
CONTESTANTS = {
    ("NumPy", "value"): {"renyi_core": renyi.kernel_entropy, "plain": plain_numpy},
    ("NumPy", "gradient"): {"renyi_core, rule": RULE},
    ("torch", "value"): {"renyi_core": renyi.kernel_entropy, "plain": plain_torch},
    ("torch", "gradient"): {
        "renyi_core, rule": RULE,
        "renyi_core, backward": backward(renyi.kernel_entropy),
        "plain, backward": backward(plain_torch),
    },
}


def seconds(function, *args):
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="256,2048")
    parser.add_argument("--features", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"NumPy {np.__version__}, SciPy {scipy.__version__}, torch {torch.__version__}"
    print(f"{versions}; {options.features} features, {options.rounds} rounds, {time.strftime('%Y-%m-%d')}.\n")
    print("| N | α | | | ms |\n| --- | --- | --- | --- | --- |")
    for n in map(int, options.sizes.split(",")):
        x = np.random.default_rng(0).normal(size=(n, options.features))
        arrays = {"NumPy": x, "torch": torch.asarray(x)}
        for alpha in (1.0, 2.0):
            times = {(*key, name): [] for key, named in CONTESTANTS.items() for name in named}
            for _ in range(options.rounds + 1):
                for key, results in times.items():
                    library, what, name = key
                    results.append(seconds(CONTESTANTS[library, what][name], arrays[library], alpha))
            for (library, what, name), results in times.items():
                median = 1000 * statistics.median(results[1:])
                print(f"| {n} | {alpha:g} | {library}, {what} | {name} | {median:.3g} |", flush=True)


if __name__ == "__main__":
    main()
