#!/usr/bin/env bash
# pyitlib: a variable of ±1, a spin, has no entropy. −1 is the mark of a missing observation, and what is marked is left
# out without a word: a fair spin has 0 bits instead of 1, two equal spins share 0 bits instead of 1, and of a variable
# of −1, 0 and 1 a third of the observations is gone. Add 1 to what has negative labels, or pass another fill_value.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q pyitlib==0.3.1 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 scikit-learn==1.9.1
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore", FutureWarning)
from importlib.metadata import version  # noqa: E402

from pyitlib import discrete_random_variable as discrete  # noqa: E402

print("pyitlib", version("pyitlib"), "numpy", np.__version__)
found = []
for labels in ([-1, 1], [0, 1], [-1, 0, 1], [0, 1, 2]):
    x = np.asarray(labels * 10)
    found.append((float(discrete.entropy(x)), float(discrete.information_mutual(x, x))))
    print(f"labels {labels!s:11} entropy {found[-1][0]:.4f} bits, information on itself {found[-1][1]:.4f} bits")
log3 = np.log2(3)
assert np.allclose(found, [(0, 0), (1, 1), (1, 1), (log3, log3)]), found
PYTHON
