#!/usr/bin/env bash
# Keras: ops.sparsemax, and activations.sparsemax, give no probabilities. The threshold takes the sum of all cumulative
# sums of the support, where the definition takes the last one: right only if a single outcome is left. Else rows sum to
# 0.5, to 0 or to 1.9, and a number added to all scores changes the answer. Same on the backends of NumPy, JAX and torch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np


def exact(scores):
    """Return the scores less the threshold at which the positive parts sum to 1."""
    low, high = scores.min() - 1, scores.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(scores - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(scores - low, 0)


print("keras", keras.__version__, "numpy", np.__version__)
sums = []
for scores in ([0.0, 2.0], [0.0, 0.5], [0.1, 0.2, 0.3], [1.1, 1.2, 1.3], [-1.0, -0.9]):
    found = np.asarray(keras.ops.sparsemax(np.asarray([scores])), float)[0]
    want = exact(np.asarray(scores))
    sums.append(found.sum())
    print(f"{scores!s:15} gives {found.round(4).tolist()!s:23} sum {found.sum():.4f}, exact {want.round(4).tolist()}")
    assert np.isclose(want.sum(), 1)
assert np.allclose(sums, [1, 0.5, 0.7 / 3, 0, 1.9], atol=1e-6), sums
PYTHON
