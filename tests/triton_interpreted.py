"""The checks of the Triton kernels on the CPU; test_triton.py runs this file in a process with TRITON_INTERPRET=1."""

from __future__ import annotations

import numpy as np
import pytest
import triton_checks


@pytest.mark.parametrize("name", list(triton_checks.CHECKS))
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:All-NaN slice encountered:RuntimeWarning")
def test_interpreted(name):
    assert triton_checks.kernels.INTERPRETED
    # of NumPy, which Triton's interpreter computes with: ∞ and NaN are ordinary there
    with np.errstate(all="ignore"):
        triton_checks.CHECKS[name]("cpu")
