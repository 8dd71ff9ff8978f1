"""The Triton kernels without a GPU: in Triton's interpreter, and compiled ahead of time for several GPUs."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
triton = pytest.importorskip("triton")

BACKENDS = ("torch",)
HERE = Path(__file__).parent
ACCUMULATORS = {"bf16": "fp32", "fp16": "fp32", "fp32": "fp32", "fp64": "fp64"}
KINDS = {"inf": 0, "1": 1, "2": 2, "3": 3, "4": 4, "1/2": 5, "general": 6}
LIMITS = {"fp64": 192}
"""Registers of a thread by dtype; 144 for the others, which the short rows' gradient with all its parts comes to."""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, *code],
        cwd=HERE.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("part", ["grid or shards", "not grid and not shards"])
def test_in_the_interpreter(part):
    options = ["-q", "-p", "no:cacheprovider", "--backends=torch", "-k", part, str(HERE / "triton_interpreted.py")]
    done = run(["-m", "pytest", *options], TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.usefixtures("backend")
def test_triton_is_imported_late():
    code = "import sys, torch, renyi_core; renyi_core.entropy_from_logits(torch.zeros(3), 2.0); print(*sys.modules)"
    environment = {"TRITON_INTERPRET": "0"}
    done = run(["-c", code], **environment)
    assert done.returncode == 0, done.stderr
    assert "renyi_adapters.torch._triton" in done.stdout.split()
    assert "renyi_adapters.torch._triton_kernels" not in done.stdout.split()


def variants():
    """Each class of order for one dtype in turn, the general ones for each; some for GPUs before and after sm_90.

    Every third of them without --full.
    With RENYI_ALL_VARIANTS=1 in the environment, all of them for all.
    """
    if os.environ.get("RENYI_ALL_VARIANTS"):
        for *variant, _ in list(_variants()):
            for capability in (80, 90, 100):
                yield *variant, capability
        return
    dtypes = ("bf16", "fp32", "fp64")
    for k, (name, kind, with_s, dtype, masked, shifted, count, capability) in enumerate(_variants()):
        chosen = dtype == dtypes[(k // 2) % 3] if kind != "general" else dtype != "fp16"
        if chosen and (capability == 90 or dtype == "fp32"):
            yield name, kind, with_s, dtype, masked, shifted, count, capability


def _variants():
    classes = [(kind, with_s) for kind in KINDS for with_s in (False, True) if not (kind in {"inf", "1"} and with_s)]
    for dtype in ACCUMULATORS:
        for kind, with_s in classes:
            for kernel in ("state", "gradient"):
                yield kernel, kind, with_s, dtype, dtype == "bf16" and with_s, False, 1, 90
    for kernel in ("state", "gradient", "short state", "short gradient", "merge"):
        for dtype in ("bf16", "fp32", "fp64"):
            yield kernel, "general", True, dtype, True, True, 1, 90
            for capability in (80, 100):
                yield kernel, "general", dtype != "bf16", dtype, False, True, 1, capability
    for kernel in ("state", "gradient", "short state", "short gradient", "merge"):
        for dtype in ("bf16", "fp32"):
            yield kernel, "general", dtype != "bf16", dtype, False, True, 3, 90


def compiled(variant):
    """Return the PTX, and registers, stack and local bytes, of a variant."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from renyi_adapters.torch import _triton, _triton_gradients, _triton_kernels

    name, kind, with_s, dtype, masked, shifted, count, capability = variant
    kernel = {
        "state": _triton_kernels.state_of_long_rows,
        "short state": _triton_kernels.state_of_short_rows,
        "merge": _triton_kernels.merge_states,
        "gradient": _triton_gradients.gradient_of_long_rows,
        "short gradient": _triton_gradients.gradient_of_short_rows,
    }[name]
    size = {"fp32": 4, "fp64": 8}.get(dtype, 2)
    constants = {
        **{f"KIND{k}": KINDS[kind] if k < count else -1 for k in range(3)},
        **{f"S{k}": with_s and k < count for k in range(3)}, "MASKED": masked,
        "UNIT": True, "SHIFTED": shifted, "FINISH": not shifted, "LANES": 128, "B": 16 // size,
        "A": _triton.deepest(size, lean=not (masked or with_s or count > 1)), "TILE": _triton.GRADIENT_TILE[size],
        "SCALED": True, "P": shifted, "TOKEN": shifted, "col_stride": 1, "out_col_stride": 1,
        **_triton.short_tile(500 if masked else 50, size),
    }  # fmt: skip
    types = dict.fromkeys(("x", "out"), f"*{dtype}") | {"mask": "*u8", "tokens": "*i64"}
    types |= dict.fromkeys(("state", "parts", "value", "scale", "extras"), f"*{ACCUMULATORS[dtype]}")
    types |= {f"{what}{k}": "i64" for what in ("alpha", "t") for k in range(3)}
    names = kernel.arg_names
    aligned = set(types) | ({"n"} if shifted else {"n", "row_stride", "mask_row_stride", "out_row_stride"})
    source = ASTSource(
        fn=kernel,
        signature={key: "constexpr" if key in constants else types.get(key, "i32") for key in names},
        constexprs={(names.index(key),): constants[key] for key in names if key in constants},
        attrs={
            (k,): [["tt.divisibility", 16]]
            for k, key in enumerate(names)
            if key in aligned and key not in constants and not key[-1].isdigit()
        },
    )
    options = {"num_warps": 4, "enable_fp_fusion": True}
    result = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    cubin = Path(os.environ["TRITON_CACHE_DIR"]) / f"{abs(hash(variant))}-{os.getpid()}.cubin"
    cubin.write_bytes(result.asm["cubin"])
    usage = subprocess.run([tool, "-res-usage", cubin], capture_output=True, text=True, check=True).stdout
    cubin.unlink()
    resources = [int(number) for number in re.search(r"REG:(\d+) STACK:(\d+).*LOCAL:(\d+)", usage).groups()]
    return variant, result.asm["ptx"], resources


def test_compiled_ahead_of_time(backend, tmp_path, monkeypatch, record_property):
    """No spills, and the logits loaded once for each of the two loops, as wide as can be; written likewise."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    from renyi_adapters.torch import _triton

    most, chosen = {}, list(variants())[:: 1 if backend.full else 3]
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        for variant, ptx, (registers, stack, local) in pool.map(compiled, chosen, chunksize=4):
            name, _, with_s, dtype, masked, shifted, count, _ = variant
            # three orders at once may keep one number of float64 aside
            assert local == 0, variant
            assert stack == 0 or (count == 3 and stack == 8), variant
            assert registers <= (LIMITS.get(dtype, 144) if count == 1 else 255), (variant, registers)
            most[name, dtype, count] = max(most.get((name, dtype, count), 0), registers)
            if masked or shifted or name not in {"state", "gradient"}:
                continue
            wide = "v2.b64" if dtype == "fp64" else "v4.b32"
            loads = len(re.findall(rf"ld\.global\S*\.{re.escape(wide)}", ptx))
            stores = len(re.findall(rf"st\.global\S*\.{re.escape(wide)}", ptx))
            others = len(re.findall(r"ld\.global", ptx)) - loads
            # two loops, each with the loads of one tile by one thread
            size = {"fp32": 4, "fp64": 8}.get(dtype, 2)
            once = (
                _triton.deepest(size, lean=not with_s)
                if name == "state"
                else _triton.GRADIENT_TILE[size] * size // 2048
            )
            assert loads == 2 * once, (variant, loads)
            assert stores == (0 if name == "state" else 2 * once), (variant, stores)
            assert others <= 5, (variant, others)
    record_property("registers", str(most))
    sys.stdout.write(f"registers of a thread: {most}\n")
