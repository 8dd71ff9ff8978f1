#!/usr/bin/env bash
# Paddle: one Categorical reads its argument in two ways. probs and log_prob take it for weights, divided by their sum;
# sample, entropy and kl_divergence take it for logits. So what is drawn does not follow the probabilities that the same
# object reports, and a policy gradient weighs the draws of one distribution by the log-probabilities of another. Only
# the logarithms of normalized probabilities make sample and entropy right, and then log_prob is of negative weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q paddlepaddle==3.3.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import paddle
from paddle.distribution import Categorical

paddle.seed(0)
x = np.asarray([1.0, 2.0, 3.0])
outcomes = Categorical(paddle.to_tensor(x))
weights, softmax = x / x.sum(), np.exp(x) / np.exp(x).sum()


def entropy(p):
    return -np.sum(p * np.log(p))


probs = outcomes.probs(paddle.to_tensor([0, 1, 2])).numpy()
log_prob = outcomes.log_prob(paddle.to_tensor([0, 1, 2])).numpy()
drawn = np.bincount(outcomes.sample([100_000]).numpy().ravel(), minlength=3) / 100_000
found = float(outcomes.entropy().numpy())
print("paddle", paddle.__version__, "numpy", np.__version__)
print("argument", x, "as weights", weights.round(4), "as logits", softmax.round(4))
print("probs", probs.round(4), "exp(log_prob)", np.exp(log_prob).round(4), "frequencies of sample", drawn.round(4))
print(f"entropy {found:.4f}, of the weights {entropy(weights):.4f}, of the softmax {entropy(softmax):.4f}")
assert np.allclose(probs, weights)
assert np.allclose(np.exp(log_prob), weights)
assert np.allclose(drawn, softmax, atol=0.01)
assert np.isclose(found, entropy(softmax))
PYTHON
