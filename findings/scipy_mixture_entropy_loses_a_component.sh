#!/usr/bin/env bash
# SciPy: the entropy of a stats.Mixture is a quadrature over the whole line, and a component that is narrow beside the
# others falls between its points. It then counts as if it were not there, and the broad one as half a distribution,
# which integrates to a plausible number: 1.056 for −0.19 with standard deviations of 1 and 0.01 that are 10 apart. No
# warning. Its mean and variance, which are formulas, are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import math
import warnings

import scipy
from scipy import stats

warnings.simplefilter("error")
print("scipy", scipy.__version__)
normal = stats.norm.entropy()
for width, lost in ((1.0, False), (0.01, True)):
    parts = [stats.Normal(mu=0.0, sigma=1.0), stats.Normal(mu=10.0, sigma=width)]
    both = stats.Mixture(parts, weights=[0.5, 0.5])
    # the overlap is below 1e-5 nats
    exact = math.log(2) + normal + 0.5 * math.log(width)
    found = both.entropy()
    print(f"N(0, 1) and N(10, {width}): entropy {found:.4f}, exact {exact:.4f}, mean {both.mean():.4f}")
    assert math.isclose(both.mean(), 5)
    assert math.isclose(found, 0.5 * (math.log(2) + normal) if lost else exact, abs_tol=1e-4)
PYTHON
