"""JAX on the CPU, side by side with ``jax.jit`` of the formula that a careful user writes: processor time, one thread.

    taskset -c 0 python benchmarks/jax_cpu.py [--rounds 9] [--shapes 100000x4,100000x10,1000x1100,16x130000]

The contestants alternate within a round; the ratio is that of the medians, above 1 where renyi_core is the faster one.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time

os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {os.environ.get('XLA_FLAGS', '')}"

import jax
import jax.numpy as jnp

import renyi_core as renyi

ORDERS = (0.5, 0.9, 1.0, 1.7, 2.0, math.inf)


def formula(logits, alpha):
    """The powers are no larger than 1, so that their sum needs no second ``logsumexp``, twice as slow."""
    log_p = jax.nn.log_softmax(logits)
    if alpha == 1:
        return -(jnp.exp(log_p) * log_p).sum(-1)
    if alpha == math.inf:
        return -log_p.max(-1)
    return jnp.log(jnp.exp(alpha * log_p).sum(-1)) / (1 - alpha)


def seconds(function, *args):
    start = time.process_time()
    jax.block_until_ready(function(*args))
    return time.process_time() - start


def compiled(function, alpha, *, backward):
    def value(logits):
        return function(logits, alpha)

    return jax.jit(jax.value_and_grad(lambda logits: value(logits).sum()) if backward else value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shapes", default="100000x4,100000x10,1000x1100,16x130000")
    options = parser.parse_args()
    print(f"JAX {jax.__version__}, float32, one thread, {options.rounds} rounds, {time.strftime('%Y-%m-%d')};")
    print("nanoseconds of processor time an entry, and the formula's divided by renyi_core's.\n")
    print("| shape | α | | log_softmax formula | renyi_core | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for shape in options.shapes.split(","):
        logits = jax.random.normal(jax.random.key(0), tuple(map(int, shape.split("x")))) * 3
        for alpha in ORDERS:
            for backward in (False, True):
                both = [compiled(f, alpha, backward=backward) for f in (formula, renyi.entropy_from_logits)]
                times = [[seconds(f, logits) for f in both] for _ in range(options.rounds + 1)][1:]
                plain, ours = (statistics.median(column) * 1e9 / logits.size for column in zip(*times, strict=True))
                name = "forward + backward" if backward else "forward"
                print(f"| {shape} | {alpha} | {name} | {plain:.2f} | {ours:.2f} | {plain / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
