#!/usr/bin/env bash
# SciPy: the Jensen-Shannon distance of two softmaxes of the same logits, one of scipy.special and one written out, is
# NaN in about half of all cases. They differ by a rounding, the sum of the two divergences comes out as −1e-18, and its
# square root is taken. A nearest-neighbor search, or a mean, over such distances is NaN from its best pair on. Close
# pairs that are not NaN have lost all digits: 5e-9 where 1e-16 is true.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import scipy
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

warnings.simplefilter("ignore", RuntimeWarning)
print("scipy", scipy.__version__, "numpy", np.__version__)
draw = np.random.default_rng(0)
logits = draw.normal(size=(200, 100))
written = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
found = jensenshannon(softmax(logits, axis=-1), written, axis=-1)
share = np.isnan(found).mean()
print(f"200 pairs, at most {abs(softmax(logits, axis=-1) / written - 1).max():.0e} apart: {share:.0%} are NaN")
print(f"the largest of the others: {np.nanmax(found):.0e}")
assert np.allclose(softmax(logits, axis=-1), written, rtol=1e-14, atol=0)
assert 0.2 < share < 0.8
assert np.nanmax(found) > 1e-9
PYTHON
