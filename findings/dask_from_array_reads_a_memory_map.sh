#!/usr/bin/env bash
# Dask: from_array of a NumPy memory map, the way to cut a file that is larger than memory into chunks, reads the whole
# file into memory at once, before anything is computed: an array-like is copied, and the copy of a memory map is in
# memory. The result looks as lazy as ever. Tasks that open the memory map themselves read only their chunks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q numpy==2.3.5 "dask[array]==2026.8.0"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import tracemalloc

import dask
import dask.array as da
import numpy as np

np.lib.format.open_memmap("x.npy", mode="w+", dtype=np.float64, shape=(4096, 4096)).flush()
size = 4096 * 4096 * 8


def peak(call):
    tracemalloc.start()
    result = call()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, used


def block(block_info):
    rows, columns = block_info[None]["array-location"]
    return np.load("x.npy", mmap_mode="r")[slice(*rows), slice(*columns)]


whole, used = peak(lambda: da.from_array(np.load("x.npy", mmap_mode="r"), chunks=(256, 4096)))
lazy, less = peak(lambda: da.map_blocks(block, chunks=((256,) * 16, (4096,)), dtype=np.float64))
print("dask", dask.__version__, "numpy", np.__version__, "file:", size >> 20, "MiB")
print("from_array of the memory map, nothing computed:", used >> 20, "MiB allocated")
print("map_blocks that opens it:                      ", less >> 20, "MiB allocated")
with dask.config.set(scheduler="synchronous"):
    _, summed = peak(lambda: lazy.sum().compute())
print("and its sum:                                   ", summed >> 20, "MiB allocated")
assert whole.chunks == lazy.chunks
assert used > 0.99 * size
assert less < 0.01 * size
assert summed < 0.2 * size
PYTHON
