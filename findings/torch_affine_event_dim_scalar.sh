#!/usr/bin/env bash
# torch.distributions, AffineTransform(..., event_dim=1) with a tensor of one number as scale: the number scales all d
# dimensions of an event, but its logarithm is counted once instead of d times. log_prob is wrong by (d − 1) log|scale|,
# without an error; a Python float, a full tensor, or event_dim=0 over an Independent base give the right one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PYTHON'
import math

import torch
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

x = torch.zeros(3)
base = Independent(Normal(x, 1.0), 1)
exact = float(Independent(Normal(x, 2.0), 1).log_prob(x))
scales = {"2.0": 2.0, "tensor(2.0)": torch.tensor(2.0), "tensor([2.0])": torch.tensor([2.0]), "full": 2 * torch.ones(3)}
found = {}
print("torch", torch.__version__, "exact", exact)
for name, scale in scales.items():
    for dims in (0, 1):
        log_prob = TransformedDistribution(base, AffineTransform(0.0, scale, event_dim=dims)).log_prob(x)
        found[name, dims] = float(log_prob)
        print(f"scale={name:14} event_dim={dims} log_prob={found[name, dims]:.4f}")
wrong = {("tensor(2.0)", 1), ("tensor([2.0])", 1)}
for case, value in found.items():
    assert math.isclose(value, exact + (2 * math.log(2) if case in wrong else 0), rel_tol=1e-6), case
PYTHON
