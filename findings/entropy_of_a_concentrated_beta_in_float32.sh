#!/usr/bin/env bash
# torch and NumPyro: in float32, the entropy of a Beta, Dirichlet or Gamma distribution that has seen many observations
# is a difference of numbers of the size of n · log n. It moves in steps of a quarter at a concentration of 100,000, is
# off by more than a nat from ten million on, and nothing warns. A Student t of many degrees of freedom, which is a
# normal distribution, has lost its limit as well, by another amount in each library. float64 moves all this away by a
# factor of 5e8.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 numpyro==0.22.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import math

import jax
import numpyro
import torch
from numpyro import distributions as of_jax
from torch import distributions as of_torch

print("torch", torch.__version__, "numpyro", numpyro.__version__, "jax", jax.__version__)
normal = 0.5 * math.log(2 * math.pi * math.e)
off = {}
for n in (1e3, 1e5, 1e7):
    # a symmetric Beta is normal but for terms of the order of 1/n
    exact = normal - 0.5 * math.log(4 * (2 * n + 1))
    found = float(of_torch.Beta(n, n).entropy()), float(of_jax.Beta(n, n).entropy())
    double = float(of_torch.Beta(torch.tensor(n).double(), torch.tensor(n).double()).entropy())
    off[n] = [abs(value - exact) for value in (*found, double)]
    print(f"Beta({n:.0e}, same): exact {exact:.4f}, torch {found[0]:.4f}, NumPyro {found[1]:.4f}, float64 {double:.4f}")
student = float(of_torch.StudentT(torch.tensor(1e8)).entropy()), float(of_jax.StudentT(1e8).entropy())
print(f"StudentT(1e8): exact {normal:.4f}, torch {student[0]:.4f}, NumPyro {student[1]:.4f}")
assert max(off[1e3][:2]) < 0.01
assert min(off[1e5][:2]) > 0.01
assert min(off[1e7][:2]) > 1
assert all(of_n[2] < 1e-5 for of_n in off.values())
assert all(abs(value - normal) > 0.1 for value in student)
PYTHON
