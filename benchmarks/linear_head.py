"""The entropy of a linear head on the CPU, side by side with what people write: time and memory of a training step.

    python benchmarks/linear_head.py [--rounds 5] [--tokens 2048] [--features 256] [--vocabulary 32000]

Forward and backward, with gradients of the hidden states and of the weight; the contestants alternate within a round.
``direct`` stores the logits and takes the entropy of renyi_core, or of log_softmax as people write it; ``checkpoint``
takes chunks of tokens under ``torch.utils.checkpoint``. ``products`` is the matrix products alone, tile by tile in
buffers that are reused: one forward, the same again in backward, and one for each gradient. Wall time and processor
time, medians, and the ratio of the latter; ``peak`` is what a process of its own grows by, in MB, gradients included.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch.utils.checkpoint import checkpoint

import renyi_core as renyi
from renyi_training.torch import linear_entropy

CHUNK = 256


def textbook(logits, alpha):
    log_p = torch.log_softmax(logits, -1)
    if alpha == 1:
        return -(log_p.exp() * log_p).sum(-1)
    return torch.logsumexp(alpha * log_p, -1) / (1 - alpha)


def in_chunks(entropy):
    """Return the entropy of the head in chunks of tokens, each computed again in backward."""

    def whole(hidden, weight, alpha):
        def one(part, weight):
            return entropy(part @ weight.t(), alpha)

        parts = [checkpoint(one, part, weight, use_reentrant=False) for part in hidden.split(CHUNK)]
        return torch.cat(parts)

    return whole


def half(hidden, weight, alpha):
    """Return the entropy where every other token is to be ignored."""
    tokens = torch.where(torch.arange(hidden.shape[0]) % 2 == 0, 0, -100)
    return linear_entropy(hidden, weight, alpha, tokens=tokens).entropy


CONTESTANTS = {
    "linear_entropy": linear_entropy,
    "linear_entropy, soft cap": lambda hidden, weight, alpha: linear_entropy(
        hidden, weight, alpha, softcap=30.0, temperature=0.7
    ),
    "linear_entropy, half ignored": half,
    "linear_entropy, with orders 1/2 and 3": lambda hidden, weight, alpha: linear_entropy(
        hidden, weight, (alpha, 0.5, 3.0)
    ),
    "direct, renyi_core": lambda hidden, weight, alpha: renyi.entropy_from_logits(hidden @ weight.t(), alpha),
    "direct, log_softmax": lambda hidden, weight, alpha: textbook(hidden @ weight.t(), alpha),
    "checkpoint, renyi_core": in_chunks(renyi.entropy_from_logits),
    "checkpoint, log_softmax": in_chunks(textbook),
}


def step(name, hidden, weight, alpha):
    hidden.grad = weight.grad = None
    CONTESTANTS[name](hidden, weight, alpha).mean().backward()


def products(hidden, weight):
    """Compute the products of a step and nothing else."""
    with torch.no_grad():
        width = CHUNK * weight.shape[0] // hidden.shape[0]
        of_hidden, of_weight = torch.zeros_like(hidden), torch.zeros_like(weight)
        room = hidden.new_empty(hidden.shape[0] * width)
        for backward in (False, True):
            for start in range(0, weight.shape[0], width):
                part = weight[start : start + width]
                tile = room[: hidden.shape[0] * part.shape[0]].view(hidden.shape[0], -1)
                torch.mm(hidden, part.t(), out=tile)
                if backward:
                    of_hidden.addmm_(tile, part)
                    torch.mm(tile.t(), hidden, out=of_weight[start : start + width])


def make(options):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.empty(options.tokens, options.features).normal_(generator=generator)
    weight = torch.empty(options.vocabulary, options.features).normal_(generator=generator)
    weight.mul_(3 / options.features**0.5)
    return hidden.requires_grad_(), weight.requires_grad_()


def timed(function, *args):
    wall, cpu = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def largest():
    """Return the largest resident size so far, in MB; Linux alone tells it apart from that of the parent."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def peak(options):
    """Print the growth of this process in a step, after one of the same kind that is small."""
    alpha, _, name = options.peak.partition(":")
    small = [
        torch.randn(8, options.features, requires_grad=True),
        torch.randn(99, options.features, requires_grad=True),
    ]
    step(name, *small, float(alpha))
    arguments = make(options)
    before = largest()
    step(name, *arguments, float(alpha))
    print(largest() - before)


def growth(options, alpha, name):
    """Return the growth of the largest resident size of a fresh process."""
    sizes = ("--tokens", options.tokens, "--features", options.features, "--vocabulary", options.vocabulary)
    command = [sys.executable, __file__, *map(str, sizes), "--peak", f"{alpha}:{name}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return float(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options)
        return
    hidden, weight = make(options)
    logits = options.tokens * options.vocabulary * 4 / 2**20
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.tokens} tokens × {options.features}"
        f" features, vocabulary {options.vocabulary}, float32 (logits: {logits:.0f} MB),"
    )
    print(f"{options.rounds} rounds, {time.strftime('%Y-%m-%d')}; seconds, processor / wall.\n")
    print("| α | | forward + backward | times the products | peak, MB |\n| --- | --- | --- | --- | --- |")
    for alpha in (1.0, 1.7, 2.0):
        times = {name: [] for name in ("products", *CONTESTANTS)}
        for _ in range(options.rounds + 1):
            for name, results in times.items():
                bare = name == "products"
                results.append(timed(products, hidden, weight) if bare else timed(step, name, hidden, weight, alpha))
        medians = {
            name: [statistics.median(t[1:]) for t in zip(*results, strict=True)] for name, results in times.items()
        }
        for name, (wall, cpu) in medians.items():
            ratio = statistics.median(
                mine[1] / bare[1] for mine, bare in zip(times[name][1:], times["products"][1:], strict=True)
            )
            memory = "" if name == "products" else f"{growth(options, alpha, name):.0f}"
            print(f"| {alpha} | {name} | {cpu:.2f} / {wall:.2f} | {ratio:.2f} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
