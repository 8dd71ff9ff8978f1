"""The terms of a divergence from and to the uniform distribution, side by side with the entropy bonus.

    python benchmarks/terms.py [--rounds 7] [--shapes 1024x1500,64x50000]

Value and gradient with respect to float32 logits ~ N(0, scale²), on torch by backward; the wall time of one thread. The
contestants alternate within a round, and a ratio is the median over the rounds of a round's own. ``peak`` is what the
process grows by, in multiples of the logits, each in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch_cpu import largest

import renyi_core as renyi
from renyi_core.regularizers import ConfidencePenalty, DivergenceTerm, EntropyBonus, LabelSmoothing

ORDERS = (0.5, 1.0, 2.0)
SCALES = (3.0, 0.3, 0.01)


def contestants(alpha, library, columns):
    # next to uniform, and not taken for it: what any pair costs
    reference = np.zeros((1, columns), np.float32)
    reference[0, 0] = 1e-30
    if library == "torch":
        reference = torch.from_numpy(reference)
    pair = DivergenceTerm(alpha=alpha)
    return {
        "EntropyBonus": EntropyBonus(alpha=alpha),
        "ConfidencePenalty": ConfidencePenalty(alpha=alpha),
        "LabelSmoothing": LabelSmoothing(alpha=alpha),
        "DivergenceTerm": lambda x: (
            pair(x, reference) if library == "torch" else renyi.value_and_grad(pair)(x, reference)
        ),
    }


def run(term, x):
    if isinstance(x, torch.Tensor):
        x.grad = None
        term(x).backward()
    elif isinstance(term, renyi.regularizers.Term):
        renyi.value_and_grad(term)(x)
    else:
        term(x)


def seconds(term, x):
    start = time.perf_counter()
    run(term, x)
    return time.perf_counter() - start


def logits(library, shape, scale):
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    x *= scale
    return torch.from_numpy(x).requires_grad_() if library == "torch" else x


def peak(text):
    library, name, alpha, scale, shape = text.split(":")
    rows, columns = map(int, shape.split("x"))
    term = contestants(float(alpha), library, columns)[name]
    run(term, logits(library, (2, columns), float(scale)))
    x = logits(library, (rows, columns), float(scale))
    before = largest()
    run(term, x)
    return (largest() - before) / (4 * rows * columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shapes", default="1024x1500,64x50000")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak))
        return
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, one thread; {options.rounds} rounds,")
    print(f"{time.strftime('%Y-%m-%d')}; milliseconds, and the ratio to EntropyBonus.\n")
    print(
        "| shape | library | logits | α | term | ms | ratio | peak |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for shape in options.shapes.split(","):
        size = tuple(map(int, shape.split("x")))
        for library in ("torch", "NumPy"):
            for scale in SCALES:
                x = logits(library, size, scale)
                for alpha in ORDERS if scale == SCALES[0] else ORDERS[1:2]:
                    found = contestants(alpha, library, size[1])
                    times = [[seconds(term, x) for term in found.values()] for _ in range(options.rounds + 1)][1:]
                    for k, name in enumerate(found):
                        middle = statistics.median(row[k] for row in times) * 1e3
                        ratio = statistics.median(row[k] / row[0] for row in times)
                        command = [sys.executable, __file__, f"--peak={library}:{name}:{alpha}:{scale}:{shape}"]
                        grown = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603
                        cells = f"{size[0]} × {size[1]:,}", library, f"N(0, {scale:g}²)", str(alpha), name
                        print(f"| {' | '.join(cells)} | {middle:.1f} | {ratio:.1f} | {grown:.2f} |", flush=True)


if __name__ == "__main__":
    main()
