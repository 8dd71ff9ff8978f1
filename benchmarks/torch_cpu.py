"""torch on the CPU, side by side with what people write: time, and the memory that backward keeps and needs.

    python benchmarks/torch_cpu.py [--rounds 5] [--rows 64] [--categories 150000]

Processor time, all threads together, and wall time; the contestants alternate within a round. ``kept`` is what saved
tensors hold beyond the logits, ``peak`` what the process grows by in forward and backward, as multiples of the logits,
each in a process of its own.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

import torch

import renyi_core as renyi


def textbook(alpha):
    def entropy(logits):
        log_p = torch.log_softmax(logits, -1)
        if alpha == 1:
            return -(log_p.exp() * log_p).sum(-1)
        return torch.logsumexp(alpha * log_p, -1) / (1 - alpha)

    return entropy


def categorical(logits):
    return torch.distributions.Categorical(logits=logits).entropy()


def contestants(alpha):
    found = {"renyi_core": lambda logits: renyi.entropy_from_logits(logits, alpha), "log_softmax": textbook(alpha)}
    if alpha == 1:
        found["Categorical.entropy"] = categorical
    return found


def run(entropy, logits, *, backward):
    logits.grad = None
    wall, cpu = time.perf_counter(), time.process_time()
    value = entropy(logits)
    if backward:
        value.sum().backward()
    return time.perf_counter() - wall, time.process_time() - cpu


def kept(entropy, logits):
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() != logits.untyped_storage().data_ptr():
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        entropy(logits)
    return sum(storages.values()) / logits.untyped_storage().nbytes()


def make(options):
    # in place, so that the largest size of the process so far is what it holds now
    logits = torch.empty(options.rows, options.categories).normal_(generator=torch.Generator().manual_seed(0)).mul_(3)
    return logits.requires_grad_()


def growth(options, alpha, name):
    """Return the growth of the largest resident size of a fresh process."""
    command = [sys.executable, __file__, "--rows", str(options.rows), "--categories", str(options.categories)]
    result = subprocess.run([*command, "--peak", f"{alpha}:{name}"], capture_output=True, text=True, check=True)  # noqa: S603
    return float(result.stdout)


def largest():
    """Return the largest resident size so far, in bytes; Linux alone tells it apart from that of the parent."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def peak(options):
    alpha, _, name = options.peak.partition(":")
    alpha = float(alpha)
    entropy = contestants(alpha)[name]
    small = torch.randn(4, 1000, requires_grad=True)
    entropy(small).sum().backward()
    logits = make(options)
    before = largest()
    entropy(logits).sum().backward()
    print((largest() - before) / logits.untyped_storage().nbytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--categories", type=int, default=150_000)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options)
        return
    logits = make(options)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rows} × {options.categories} float32,"
    )
    print(f"{options.rounds} rounds, {time.strftime('%Y-%m-%d')}; nanoseconds an element: processor / wall time.\n")
    print("| α | | forward | forward + backward | kept | peak |\n| --- | --- | --- | --- | --- | --- |")
    for alpha in (0.5, 1.0, 1.7, 2.0):
        found = contestants(alpha)
        times = {(name, backward): [] for name in found for backward in (False, True)}
        for _ in range(options.rounds + 1):
            for (name, backward), results in times.items():
                results.append(run(found[name], logits, backward=backward))
        for name, entropy in found.items():
            cells = []
            for backward in (False, True):
                wall, cpu = (
                    statistics.median(t[1:]) * 1e9 / logits.numel() for t in zip(*times[name, backward], strict=True)
                )
                cells.append(f"{cpu:.2f} / {wall:.2f}")
            memory = f"{kept(entropy, logits):.3f} | {growth(options, alpha, name):.2f}"
            print(f"| {alpha} | {name} | {' | '.join(cells)} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
