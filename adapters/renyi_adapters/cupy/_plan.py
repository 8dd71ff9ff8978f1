"""Which kernel takes which entries: classes of orders, strides, grids and splits, from shapes and numbers alone."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from renyi_core._kernels.state import TWO_SUMS, Order

__all__ = [
    "GRID",
    "THREADS",
    "Launch",
    "Layout",
    "Strides",
    "Variant",
    "gradient_launch",
    "layout_of",
    "short_launch",
    "state_launch",
    "variant_of",
]

THREADS = 256
SCALARS = 4
GRID = 2**31 - 1
"""The most blocks of a launch along x."""
SHORT = 2048
"""Up to this many entries a warp, or some of its lanes, takes a row."""
ENTRIES_A_LANE = 16
SHORT_BYTES = 128
"""The longest rows of which a thread takes one."""
LEAST_SPLIT = 2048
"""The fewest entries of a row that are worth a block."""
LEAST_TALL_SPLIT = 64
FULL_WAVES = 4
"""From so many waves of blocks on, the last of them, which is not full, costs little."""
POWERS = {2.0: "SQUARE", 3.0: "CUBE", 4.0: "FOURTH", 0.5: "ROOT"}


class Variant(NamedTuple):
    """What a module is compiled for: the element's size in bytes, the class of the order, and whether s is summed."""

    itemsize: int
    kind: str
    gap: bool

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the compiler."""
        return ("--std=c++17", f"-DELEMENT={self.itemsize}", f"-DKIND={self.kind}", f"-DGAP={int(self.gap)}")


def variant_of(itemsize: int, order: Order, *, full: bool) -> Variant:
    """Return the variant for a static order; ``full`` for a gradient to follow. All α of a class share one."""
    if order.alpha == math.inf:
        return Variant(itemsize, "INFINITE", gap=False)
    if order.t == 0:
        return Variant(itemsize, "SHANNON", gap=False)
    kind = POWERS.get(order.alpha, "ABOVE" if order.t > 0 else "BELOW")
    return Variant(itemsize, kind, gap=full or abs(order.t) < TWO_SUMS)


class Strides(NamedTuple):
    """The strides of an array in elements: of its rows, numbered outer × inner, and of the entries of a row."""

    outer: int
    inner: int
    entry: int


class Layout(NamedTuple):
    """Rows, entries of a row, the length of the inner numbering of rows, and the strides of each array."""

    rows: int
    n: int
    inner: int
    arrays: tuple[Strides, ...]


def _collapse(lengths: list[int], strides: list[list[int]]) -> list[tuple[int, list[int]]]:
    """Return the fewest axes, as length and strides of each array, that run over the same elements in order."""
    axes: list[tuple[int, list[int]]] = []
    for length, steps in zip(lengths, strides, strict=True):
        if length == 1:
            continue
        if axes and all(outer == length * step for outer, step in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = axes[-1][0] * length, steps
        else:
            axes.append((length, steps))
    return axes


@functools.lru_cache(maxsize=256)
def layout_of(
    shape: tuple[int, ...], axis: tuple[int, ...], strides: tuple[tuple[int, ...], ...], itemsizes: tuple[int, ...]
) -> Layout | None:
    """Return how the kernels walk over arrays of one shape; None if their strides, in bytes, are too many."""
    if any(step % size for steps, size in zip(strides, itemsizes, strict=True) for step in steps):
        return None
    ndim = len(shape)

    def steps(i: int) -> list[int]:
        return [array[i] // size for array, size in zip(strides, itemsizes, strict=True)]

    reduced = sorted((i + ndim for i in axis), key=lambda i: [-abs(step) for step in steps(i)])
    kept = [i for i in range(ndim) if i - ndim not in axis]
    entries = _collapse([shape[i] for i in reduced], [steps(i) for i in reduced])
    rows = _collapse([shape[i] for i in kept], [steps(i) for i in kept])
    if len(entries) > 1 or len(rows) > 2:
        return None
    still = [0] * len(strides)
    n, entry = entries[0] if entries else (1, still)
    inner, inner_steps = rows[-1] if rows else (1, still)
    outer, outer_steps = rows[0] if len(rows) == 2 else (1, still)
    arrays = tuple(Strides(*each) for each in zip(outer_steps, inner_steps, entry, strict=True))
    return Layout(outer * inner, n, inner, arrays)


class Launch(NamedTuple):
    """A kernel and its grid; ``size`` is the argument that says how blocks are shared out."""

    kernel: str
    grid: tuple[int, int]
    size: int
    splits: int = 1
    chunk: int = 0


def _is_tall(layout: Layout, strides: Strides) -> bool:
    """Return whether it is rows that lie side by side in memory, not entries."""
    return layout.inner >= 32 and abs(strides.inner) < abs(strides.entry)


def _splits(blocks: int, most: int, resident: int) -> int:
    """Return into how many splits to cut each row, so that the last wave of blocks leaves little idle."""
    best, best_use = 1, 0.0
    for splits in range(1, max(1, min(most, math.ceil(FULL_WAVES * resident / blocks))) + 1):
        waves = blocks * splits / resident
        use = waves / math.ceil(waves)
        if use > best_use + 0.05:
            best, best_use = splits, use
    return best


@functools.lru_cache(maxsize=256)
def state_launch(layout: Layout, resident: int, *, masked: bool) -> Launch:
    """Return the launch that sums the states, on a device that runs ``resident`` blocks at a time."""
    rows, n, x = layout.rows, layout.n, layout.arrays[0]
    tall = _is_tall(layout, x)
    if tall or n <= SHORT:
        lanes = 1
        if not tall:
            while lanes < 32 and lanes < n and (lanes * ENTRIES_A_LANE < n or rows * lanes < THREADS * resident):
                lanes *= 2
        blocks = math.ceil(rows * lanes / THREADS)
        splits = _splits(blocks, n // (LEAST_TALL_SPLIT * lanes), resident)
        chunk = math.ceil(n / splits)
        return Launch("lanes_state", (blocks, math.ceil(n / chunk)), lanes, math.ceil(n / chunk), chunk)
    kernel = "vector_state" if x.entry == 1 and not masked else "scalar_state"
    # whole lines of the cache
    chunk = math.ceil(n / _splits(rows, n // LEAST_SPLIT, resident) / 64) * 64
    splits = math.ceil(n / chunk)
    return Launch(kernel, (rows * splits, 1), splits, splits, chunk)


def short_launch(layout: Layout, itemsize: int, address: int, resident: int, *, masked: bool) -> Launch | None:
    """Return the launch for very short rows, one after another in all arrays and aligned, if there are many."""
    rows, n = layout.rows, layout.n
    if masked or not 2 <= n <= SHORT_BYTES // itemsize or rows < THREADS * resident or address % 16:
        return None
    if layout.inner != rows or any((each.inner, each.entry) != (n, 1) for each in layout.arrays):
        return None
    return Launch("short_rows", (math.ceil(rows / THREADS), 1), -(-(2**32) // n))


def gradient_launch(layout: Layout, itemsize: int, offset: int, *, masked: bool) -> Launch:
    """Return the launch of the gradient, the last of the arrays, which lies ``offset`` bytes from the first."""
    rows, n, x, out = layout.rows, layout.n, layout.arrays[0], layout.arrays[-1]
    apart = (offset, (x.outer - out.outer) * itemsize, (x.inner - out.inner) * itemsize)
    if n > SHORT // 2 and x.entry == out.entry == 1 and not masked and not any(step % 16 for step in apart):
        unroll = 2 if itemsize == 8 else 4
        pieces = max(1, math.ceil(n * itemsize / 16 / (unroll * THREADS)))
        return Launch("vector_gradient", (rows * pieces, 1), pieces)
    blocks = math.ceil(rows * n / (SCALARS * THREADS))
    return Launch("scalar_gradient", (blocks, 1), int(_is_tall(layout, x)))
