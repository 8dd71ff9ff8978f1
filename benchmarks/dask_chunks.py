"""Dask, side by side with the blocked NumPy call on the same numbers; then an array larger than a worker's memory.

    python benchmarks/dask_chunks.py [--rounds 5] [--gigabytes 4]

Needs ``distributed``. Processor time on one core (the synchronous scheduler); the contestants alternate in a round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import dask
import dask.array as da
import distributed
import numpy as np

import renyi_core as renyi


def computed(call, lazy, alpha):
    # the results stay in chunks, as the input does
    return dask.persist(call(lazy, alpha), scheduler="synchronous")


def seconds(function, *args):
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def throughput(rounds):
    x = np.random.default_rng(0).standard_normal((256, 150_000), dtype=np.float32) * 3
    print("| α | chunks | forward: Dask's share of NumPy's throughput | with gradient |\n| --- | --- | --- | --- |")
    f = renyi.entropy_from_logits
    both = renyi.value_and_grad(f)
    for chunks in ((64, 150_000), (128, 50_000)):
        lazy = da.from_array(x, chunks=chunks).persist()  # the chunks in memory, as x is
        for alpha in (0.5, 1.0, 1.7, 2.0):
            cells = []
            for call in (f, both):
                ratios = [seconds(call, x, alpha) / seconds(computed, call, lazy, alpha) for _ in range(rounds + 1)][1:]
                cells.append(f"{statistics.median(ratios):.2f}")
            print(f"| {alpha} | {chunks[0]} × {chunks[1]:,} | {' | '.join(cells)} |", flush=True)


def larger_than_memory(gigabytes):
    rows = int(gigabytes * 1e9 / 4 / 150_000)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="1GB", dashboard_address=None
        ) as local,
        distributed.Client(local) as client,
    ):
        random = da.random.default_rng(0)
        logits = random.standard_normal((rows, 150_000), dtype=np.float32, chunks=(128, 50_000)) * 3
        before = client.run(peak)
        start = time.perf_counter()
        values = renyi.entropy_from_logits(logits, 1.7).compute()
        elapsed = time.perf_counter() - start
        after = client.run(peak)
    print(
        f"\n{logits.nbytes / 1e9:.1f} GB of generated logits, {rows} × 150,000 in chunks of 128 × 50,000, two workers"
    )
    print(f"of 1 GB: {elapsed:.0f} s, mean entropy {values.mean():.4f}. Largest resident size of a worker: ", end="")
    print(f"{max(after.values()) / 1e6:.0f} MB, {max(before.values()) / 1e6:.0f} MB of it before the call.")


def peak():
    """Return the largest resident size of this process so far, in bytes (Linux)."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return 1024 * int(next(line for line in file if line.startswith("VmHWM")).split()[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=4)
    options = parser.parse_args()
    print(f"Dask {distributed.__version__}, NumPy {np.__version__}; {time.strftime('%Y-%m-%d')}\n")
    throughput(options.rounds)
    larger_than_memory(options.gigabytes)


if __name__ == "__main__":
    main()
