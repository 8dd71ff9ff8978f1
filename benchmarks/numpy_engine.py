"""NumPy, side by side with the formulas that people write: time ratios and memory, as a Markdown table.

    python benchmarks/numpy_engine.py [--rounds 7] [--quick]

Processor time of one thread; the contestants alternate within a round, and the ratio is the median over the rounds
of a round's own ratio. Memory is what NumPy allocated at the peak beyond the input and the output.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
import tracemalloc

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import renyi_core as renyi

SHAPES = ((1, 1_000_000), (1000, 1000), (64, 150_000), (100_000, 10), (4096, 32_000))
QUICK = ((1, 100_000), (1000, 100), (10_000, 10))
ORDERS = (0.5, 1, 1.7, 2)
TINY = (8, 4)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def textbook(logits, alpha):
    """The formula as people write it: softmax, power, sum, logarithm."""
    p = softmax(logits)
    if alpha == 1:
        return -(p * np.log(p)).sum(axis=-1)
    return np.log((p**alpha).sum(axis=-1)) / (1 - alpha)


def textbook_gradient(logits, alpha):
    p = softmax(logits)
    if alpha == 1:
        log_p = np.log(p)
        h = -(p * log_p).sum(axis=-1)
        return h, -p * (log_p + h[..., None])
    power = p**alpha
    total = power.sum(axis=-1, keepdims=True)
    return np.log(total[..., 0]) / (1 - alpha), alpha / (1 - alpha) * (power / total - p)


ours = renyi.entropy_from_logits
ours_gradient = renyi.value_and_grad(renyi.entropy_from_logits)


def seconds(function, *args):
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def ratios(theirs, mine, args, rounds):
    """Return the median times of both and the median ratio of theirs to mine."""
    theirs(*args), mine(*args)
    pairs = [(seconds(theirs, *args), seconds(mine, *args)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def extra_bytes(function, *args):
    """Return the peak of allocated memory less what the result holds."""
    tracemalloc.start()
    result = function(*args)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    results = result if isinstance(result, tuple) else (result,)
    return peak - sum(array.nbytes for array in results)


def microseconds(function, *args, calls=500, repeats=9):
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            function(*args)
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def machine():
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):  # noqa: PTH110
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    simd = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return (
        f"{model}, {os.cpu_count()} cores, {', '.join(simd)}; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, renyi-core {renyi.__version__}; {time.strftime('%Y-%m-%d')}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small shapes, to see that it runs")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("# NumPy: renyi_core against the textbook formula\n")
    print(f"{machine()}; {options.rounds} rounds. Nanoseconds an element; logits ~ N(0, 3).\n")
    print(
        "| dtype | shape | α | textbook | ours | ratio | with gradient: textbook | ours | ratio | extra MB | extra MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for dtype in ("float32", "float64"):
        for shape in QUICK if options.quick else SHAPES:
            logits = rng.standard_normal(shape, dtype=dtype)
            logits *= 3
            scale = 1e9 / logits.size
            for alpha in ORDERS:
                rounds = min(options.rounds, 3) if logits.size > 2e7 else options.rounds
                a, b, forward = ratios(textbook, ours, (logits, alpha), rounds)
                c, d, gradient = ratios(textbook_gradient, ours_gradient, (logits, alpha), rounds)
                memory = [extra_bytes(f, logits, alpha) / 1e6 for f in (ours, ours_gradient)]
                cells = [
                    dtype,
                    " × ".join(f"{n:,}" for n in shape),
                    str(alpha),
                    *(f"{a * scale:.2f}", f"{b * scale:.2f}", f"{forward:.1f}"),
                    *(f"{c * scale:.2f}", f"{d * scale:.2f}", f"{gradient:.1f}"),
                    *(f"{number:.2f}" for number in memory),
                ]
                print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nTiny input, {TINY[0]} × {TINY[1]}, microseconds a call (least of 9 runs):\n")
    print("| dtype | α | textbook | ours | with gradient: textbook | ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for dtype in ("float32", "float64"):
        logits = rng.standard_normal(TINY, dtype=dtype)
        for alpha in ORDERS:
            times = [microseconds(f, logits, alpha) for f in (textbook, ours, textbook_gradient, ours_gradient)]
            print(f"| {dtype} | {alpha} | " + " | ".join(f"{t:.1f}" for t in times) + " |")


if __name__ == "__main__":
    main()
