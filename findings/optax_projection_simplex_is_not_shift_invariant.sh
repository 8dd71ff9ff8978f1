#!/usr/bin/env bash
# Optax: projection_simplex(scores), which is sparsemax, depends on a number that is added to all scores. The threshold
# is a difference of cumulative sums, and the maximum is not taken out first: in float32, the sums of what should be
# distributions are off by 0.004 for scores around 10,000 and by as much as 1 around a million. Subtract the maximum of
# each row before, and they sum to 1. A single row may be right by luck.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np
import optax

print("optax", optax.__version__, "jax", jax.__version__)
noise = np.random.default_rng(0).normal(size=(20, 1000))
project = jax.vmap(optax.projections.projection_simplex)
off, mended = [], []
for shift in (0.0, 1e4, 1e6):
    scores = jax.numpy.asarray(noise + shift, "float32")
    found = project(scores), project(scores - scores.max(-1, keepdims=True))
    for errors, shares in zip((off, mended), found, strict=True):
        errors.append(float(abs(shares.sum(-1) - 1).max()))
    print(f"scores around {shift:9.0f}: sums off by up to {off[-1]:.1e}, less their maximum: {mended[-1]:.1e}")
assert off[0] < 1e-5
assert 1e-3 < off[1] < off[2]
assert off[2] > 0.01
assert max(mended) < 1e-5
PYTHON
