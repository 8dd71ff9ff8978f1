#!/usr/bin/env bash
# jax.scipy.special: four ways to write p·log p, four gradients at p = 0. −entr(p) has −inf, which is the derivative;
# rel_entr(p, 1), the same function, has 0; kl_div(p, 1), which is that less p plus 1, has −1; xlogy(p, p) has NaN. They
# agree everywhere else. And where rel_entr(1, q) is inf, its gradient is 0: nothing tells an optimizer to raise q.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np
from jax.scipy.special import entr, kl_div, rel_entr, xlogy

cases = {
    "-entr(p)": (lambda p: -entr(p), 0.0),
    "rel_entr(p, 1)": (lambda p: rel_entr(p, 1.0), 0.0),
    "kl_div(p, 1)": (lambda p: kl_div(p, 1.0), 0.0),
    "xlogy(p, p)": (lambda p: xlogy(p, p), 0.0),
    "rel_entr(1, q)": (lambda q: rel_entr(1.0, q), 0.0),
}
print("jax", jax.__version__)
found = {}
for name, (function, x) in cases.items():
    value, gradient = jax.value_and_grad(function)(x)
    found[name] = float(value), float(gradient)
    print(f"{name:15} at 0: value {found[name][0]}, gradient {found[name][1]}; at 0.5: {jax.grad(function)(0.5):.4f}")
want = [(0, -np.inf), (0, 0), (1, -1), (0, np.nan), (np.inf, 0)]
assert np.array_equal(list(found.values()), want, equal_nan=True), found
PYTHON
