#!/usr/bin/env bash
# skrl: importing its models calls torch.distributions.Categorical.set_default_validate_args(False) at module level.
# That is a static method which sets the default of the base class, so that it is off for every distribution of the
# process, also in code that has nothing to do with skrl: Normal(0, -1) is no error any more, and a sample outside the
# support gets a finite log-probability. validate_args=True, said for each distribution, still checks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q torch==2.13.0 numpy==2.3.5 gymnasium==1.2.2 skrl==2.1.1
"$work/venv/bin/python" - <<'PYTHON'
import skrl
import torch
from torch.distributions import Bernoulli, Normal


def refused(call):
    try:
        call()
    except ValueError:
        return True
    return False


cases = {
    "Normal(0.0, -1.0)": lambda: Normal(0.0, -1.0),
    "Bernoulli(0.5).log_prob(0.3)": lambda: Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.3)),
    "Normal(0.0, -1.0, validate_args=True)": lambda: Normal(0.0, -1.0, validate_args=True),
}
before = {name: refused(call) for name, call in cases.items()}
import skrl.models.torch  # noqa: E402

after = {name: refused(call) for name, call in cases.items()}
print("torch", torch.__version__, "skrl", skrl.__version__)
for name in cases:
    print(f"{name:38} refused before: {before[name]}, after importing skrl.models.torch: {after[name]}")
assert all(before.values())
assert list(after.values()) == [False, False, True]
PYTHON
