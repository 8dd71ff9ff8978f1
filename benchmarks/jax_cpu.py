"""JAX on the CPU, side by side with ``jax.jit`` of the textbook formula: wall and processor time.

    python benchmarks/jax_cpu.py [--rounds 5] [--rows 64] [--categories 150000]

The contestants alternate within a round; the ratio is that of the medians of wall time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

import renyi_core as renyi


def textbook(logits, alpha):
    p = jax.nn.softmax(logits)
    if alpha == 1:
        return -(p * jnp.log(p)).sum(-1)
    return jnp.log((p**alpha).sum(-1)) / (1 - alpha)


def seconds(function, *args):
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--categories", type=int, default=150_000)
    options = parser.parse_args()
    logits = jax.random.normal(jax.random.key(0), (options.rows, options.categories)) * 3
    print(f"JAX {jax.__version__}, {logits.shape[0]} × {logits.shape[1]:,} float32, {options.rounds} rounds,")
    print(f"{time.strftime('%Y-%m-%d')}; nanoseconds an element: wall / processor time.\n")
    print("| α | | textbook | renyi_core | ratio |\n| --- | --- | --- | --- | --- |")
    for alpha in (0.5, 1.0, 1.7, 2.0):
        for backward in (False, True):
            both = []
            for f in (textbook, renyi.entropy_from_logits):

                def value(logits, f=f, alpha=alpha):
                    return f(logits, alpha)

                def total(logits, f=f, alpha=alpha):
                    return f(logits, alpha).sum()

                both.append(jax.jit(jax.value_and_grad(total) if backward else value))
            times = [[seconds(function, logits) for function in both] for _ in range(options.rounds + 1)][1:]
            cells, walls = [], []
            for k in range(2):
                wall, cpu = (statistics.median(t[k][i] for t in times) * 1e9 / logits.size for i in range(2))
                cells.append(f"{wall:.2f} / {cpu:.2f}")
                walls.append(wall)
            name = "forward + backward" if backward else "forward"
            print(f"| {alpha} | {name} | {' | '.join(cells)} | {walls[0] / walls[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
