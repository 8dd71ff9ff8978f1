"""Which CUDA kernel runs, on which grid: from shapes and numbers alone."""

from __future__ import annotations

import math

import pytest

from renyi_adapters.cupy import _plan
from renyi_adapters.cupy._plan import Strides, gradient_launch, layout_of, state_launch, variant_of
from renyi_core._kernels.state import Order

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
RESIDENT = 132 * 4


def rows_of(rows, n, itemsize):
    return layout_of((rows, n), (-1,), ((n * itemsize, itemsize),), (itemsize,))


def test_a_schedule_of_alpha_shares_one_variant():
    for full in (False, True):
        assert len({variant_of(2, Order(1.3 + k / 99, 0.3 + k / 99), full=full) for k in range(60)}) == 1
        assert len({variant_of(2, Order(0.7 - k / 99, -0.3 - k / 99), full=full) for k in range(60)}) == 1


def test_orders_with_one_exponential():
    kinds = [variant_of(4, Order(alpha, alpha - 1), full=False).kind for alpha in (0.5, 1.0, 2.0, 3.0, 4.0, math.inf)]
    assert kinds == ["ROOT", "SHANNON", "SQUARE", "CUBE", "FOURTH", "INFINITE"]
    assert variant_of(4, Order(1.7, 0.7), full=False) == (4, "ABOVE", False)
    assert variant_of(4, Order(1.1, 0.1), full=False) == (4, "ABOVE", True)
    assert variant_of(4, Order(0.9, -0.1), full=False) == (4, "BELOW", True)
    assert variant_of(4, Order(2.0, 1.0), full=True) == (4, "SQUARE", True)


def test_the_layouts_that_need_no_copy():
    contiguous = layout_of((4, 5, 6), (-1,), ((120, 24, 4),), (4,))
    assert contiguous == (20, 6, 20, (Strides(0, 6, 1),))
    middle = layout_of((4, 5, 6), (-2,), ((120, 24, 4),), (4,))
    assert middle == (24, 5, 6, (Strides(30, 1, 6),))
    assert layout_of((4, 5, 6), (-3, -2), ((120, 24, 4),), (4,)) == (6, 20, 6, (Strides(0, 1, 6),))
    assert layout_of((4, 5, 6), (-3, -1), ((120, 24, 4),), (4,)) is None
    # a mask of one row for all keeps the rows' numbering in two parts only if x needs none
    masked = layout_of((4, 5, 6), (-1,), ((120, 24, 4), (0, 6, 1)), (4, 1))
    assert masked == (20, 6, 5, (Strides(30, 6, 1), Strides(0, 6, 1)))


def test_a_stride_that_is_no_number_of_elements_needs_a_copy():
    assert layout_of((4, 5), (-1,), ((22, 4),), (4,)) is None


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("rows", [1, 2, 3, 64, 100, 527, 528, 600, 4096, 8192, 1_000_000])
@pytest.mark.parametrize("n", [1, 2, 10, 33, 100, 1000, 2049, 32_000, 151_936, 1_000_000])
def test_every_entry_has_its_block(itemsize, rows, n):
    layout = rows_of(rows, n, itemsize)
    launch = state_launch(layout, RESIDENT, masked=False)
    assert launch.splits * launch.chunk >= n
    assert (launch.splits - 1) * launch.chunk < n
    assert 0 < launch.grid[0] <= _plan.GRID
    assert launch.grid[1] <= 65_535
    if launch.kernel == "lanes_state":
        assert launch.grid[1] == launch.splits
        assert launch.grid[0] * _plan.THREADS >= rows * launch.size
        assert launch.size in {1, 2, 4, 8, 16, 32}
    else:
        assert launch.grid == (rows * launch.splits, 1)
    gradient = gradient_launch((layout._replace(arrays=layout.arrays * 2)), itemsize, 4096, masked=False)
    if gradient.kernel == "vector_gradient":
        unroll = 2 if itemsize == 8 else 4
        assert gradient.grid[0] == rows * gradient.size
        assert gradient.size * unroll * _plan.THREADS * 16 >= n * itemsize
    else:
        assert gradient.grid[0] * _plan.SCALARS * _plan.THREADS >= rows * n
    assert gradient.grid[0] <= _plan.GRID


def test_few_long_rows_are_split_and_many_are_not():
    assert state_launch(rows_of(8192, 151_936, 2), RESIDENT, masked=False) == ("vector_state", (8192, 1), 1, 1, 151_936)
    few = state_launch(rows_of(64, 150_000, 4), RESIDENT, masked=False)
    assert few.splits == 8  # 512 of the 528 blocks that run at a time
    one = state_launch(rows_of(1, 1_000_000, 4), RESIDENT, masked=False)
    assert one.splits > 400
    between = state_launch(rows_of(600, 150_000, 4), RESIDENT, masked=False)
    waves = 600 * between.splits / RESIDENT
    assert waves / math.ceil(waves) > 0.9


def test_short_rows_share_warps():
    assert state_launch(rows_of(1_000_000, 10, 4), RESIDENT, masked=False).size == 1
    assert state_launch(rows_of(1_000_000, 100, 4), RESIDENT, masked=False).size == 8
    assert state_launch(rows_of(100_000, 1000, 4), RESIDENT, masked=False).size == 32
    assert state_launch(rows_of(8, 10, 4), RESIDENT, masked=False).size == 16


def test_rows_side_by_side_are_read_side_by_side():
    layout = layout_of((8192, 4096), (-2,), ((4096 * 4, 4),) * 2, (4, 4))
    launch = state_launch(layout, RESIDENT, masked=False)
    assert (launch.kernel, launch.size) == ("lanes_state", 1)
    assert launch.grid[0] * launch.grid[1] > RESIDENT // 2
    assert gradient_launch(layout, 4, 4096, masked=False)[:3] == ("scalar_gradient", (8192 * 4, 1), 1)


def test_vectors_only_where_both_arrays_are_aligned_alike():
    layout = rows_of(4, 50_257, 2)
    both = layout._replace(arrays=layout.arrays * 2)
    assert gradient_launch(both, 2, 32, masked=False).kernel == "vector_gradient"
    assert gradient_launch(both, 2, 34, masked=False).kernel == "scalar_gradient"
    assert gradient_launch(both, 2, 32, masked=True).kernel == "scalar_gradient"
    assert state_launch(layout, RESIDENT, masked=True).kernel == "scalar_state"
    apart = layout._replace(arrays=(Strides(0, 50_257, 1), Strides(0, 50_264, 1)))
    assert gradient_launch(apart, 2, 32, masked=False).kernel == "scalar_gradient"


def test_beyond_32_bits():
    layout = rows_of(40_000, 151_936, 2)
    launch = state_launch(layout, RESIDENT, masked=False)
    assert launch.grid[0] == 40_000
    wide = gradient_launch(layout._replace(arrays=layout.arrays * 2), 2, 1 << 40, masked=False)
    assert wide.grid[0] == 40_000 * wide.size
