#!/usr/bin/env bash
# JAX on the CPU: a quotient of two ordinary float32 numbers can be 0 where it is 1/3 or 1. XLA divides by one number
# that serves many (a row's maximum or sum, a scalar) as a product with its reciprocal, and takes subnormal numbers for
# 0: the reciprocal of what is above 2**126 (8.5e37) is subnormal. Each row divided by its own maximum is 0 throughout,
# with jit and without, and in float64 from 2**1022 on. NumPy gives 1/3, 2/3, 1. So weights that are "only" divided by
# their sum or maximum must be brought down first, by a power of two.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.3.5
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np

weights = np.asarray([[1e38, 2e38, 3e38]], np.float32)


def shares(x):
    return x / x.max(-1, keepdims=True)


found = {
    "NumPy": shares(weights),
    "JAX": np.asarray(shares(jax.numpy.asarray(weights))),
    "jax.jit": np.asarray(jax.jit(shares)(weights)),
    "brought down by 2**-8": np.asarray(jax.jit(shares)(weights / 256)),
}
print("jax", jax.__version__, "numpy", np.__version__)
for name, value in found.items():
    print(f"{name:22}", value[0].tolist())
assert np.allclose(found["NumPy"], [[1 / 3, 2 / 3, 1]])
assert np.allclose(found["brought down by 2**-8"], [[1 / 3, 2 / 3, 1]])
assert not found["JAX"].any()
assert not found["jax.jit"].any()
PYTHON
