"""The CUDA kernels compile for the GPUs of today, in registers alone, with the loads that they should have.

A third of the variants for one of sm_80, sm_90 and sm_100; all with --full, and for all of them with
RENYI_ALL_VARIANTS=1. No GPU is needed.
"""

from __future__ import annotations

import math
import os
import re
import warnings

import pytest

from renyi_core._kernels.state import Order

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")

ORDERS = (0.5, 0.3, 0.9, 1.0, 1.1, 1.7, 2.0, 3.0, 4.0, math.inf)
ARCHITECTURES = (80, 90, 100)
KERNELS = {
    "lanes_state",
    "vector_state",
    "scalar_state",
    "merge_states",
    "vector_gradient",
    "scalar_gradient",
    "short_rows",
}
REPORT = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)
LOAD = re.compile(r"ld\.global(?:\.nc)?\.((?:v\d\.)?)[a-z](\d+)")


def _variants():
    from renyi_adapters.cupy._plan import variant_of

    found = (
        variant_of(size, Order(alpha, alpha - 1), full=full)
        for size in (2, 4, 8)
        for alpha in ORDERS
        for full in (False, True)
    )
    return list(dict.fromkeys(found))


VARIANTS = _variants()


def _cases():
    for i, variant in enumerate(VARIANTS):
        # 14 variants of a dtype: each class meets another architecture in each dtype
        every = "RENYI_ALL_VARIANTS" in os.environ
        for architecture in ARCHITECTURES if every else (ARCHITECTURES[i % 3],):
            marks = pytest.mark.full if (i + i // 3) % 3 else ()
            name = f"{'-'.join(map(str, variant))}-sm_{architecture}"
            yield pytest.param(variant, architecture, id=name, marks=marks)


@pytest.fixture(scope="module")
def nvrtc():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("cupy", exc_type=ImportError)
        from cupy.cuda import nvrtc
    try:
        nvrtc.getVersion()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no NVRTC: {error}")
    return nvrtc


def compiled(nvrtc, variant, architecture):
    """Return the compiler's report and the PTX."""
    from renyi_adapters.cupy._launch import source

    program = nvrtc.createProgram(source(), "kernels.cu", [], [])
    # as CuPy compiles
    options = [*variant.options, "-ftz=true", "--device-as-default-execution-space"]
    options += [f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"]
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    ptx = nvrtc.getPTX(program)
    log = nvrtc.getProgramLog(program)
    nvrtc.destroyProgram(program)
    return log, ptx if isinstance(ptx, str) else ptx.decode()


def kernels_of(ptx):
    bodies = ptx.split(".visible .entry ")[1:]
    return {body.split("(", 1)[0]: body for body in bodies}


def test_every_class_has_its_variants():
    assert len(VARIANTS) == 3 * 14


@pytest.mark.parametrize(("variant", "architecture"), list(_cases()))
def test_compiles_in_registers(nvrtc, variant, architecture):
    log, ptx = compiled(nvrtc, variant, architecture)
    assert "warning" not in log, log
    report = {name: tuple(map(int, numbers)) for name, *numbers in REPORT.findall(log)}
    assert set(report) == KERNELS
    for name, (stack, stores, loads, registers) in report.items():
        assert (stack, stores, loads) == (0, 0, 0), name
        most = 80 if name == "short_rows" else 64
        assert registers <= (128 if variant.itemsize == 8 else most), name
    unroll, parts = (2, 2) if variant.itemsize == 8 else (4, 16 // variant.itemsize)
    kernels = kernels_of(ptx)
    # one load of 16 bytes for each vector under way and one of those that are left over, and a single entry's
    found = LOAD.findall(kernels["vector_state"])
    wide = [load for load in found if load[0]]
    assert len(wide) == unroll + 1
    assert len(found) - len(wide) == 1
    assert all(int(vector[1]) * int(bits) == 128 for vector, bits in wide)
    # those of the gradient, and those of the zeros of a row that does not count
    stores = re.findall(r"st\.global\.v", kernels["vector_gradient"])
    assert len(stores) == 2 * unroll
    if variant.itemsize < 8:
        per_entry = 2 if variant.kind in {"ABOVE", "BELOW"} else 1
        exponentials = len(re.findall(r"ex2\.approx", kernels["vector_gradient"]))
        assert exponentials == per_entry * (unroll * parts + 1)
