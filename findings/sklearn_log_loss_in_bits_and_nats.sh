#!/usr/bin/env bash
# scikit-learn: criterion="log_loss" of a tree is in bits, metrics.log_loss in nats, and so is mutual_info_score.
# The impurity of a fair coin is 1.0 in the tree and 0.693 in the metric of the same name. A min_impurity_decrease that
# was taken from a gain in nats asks for too little, by a factor of 1.44.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import math

import sklearn
from sklearn.metrics import log_loss, mutual_info_score
from sklearn.tree import DecisionTreeClassifier

labels = [0, 1, 0, 1]
features = [[label] for label in labels]
found = {
    f'tree, criterion="{name}"': DecisionTreeClassifier(criterion=name).fit(features, labels).tree_.impurity[0]
    for name in ("log_loss", "entropy")
}
found["metrics.log_loss"] = log_loss(labels, [[0.5, 0.5]] * 4)
found["metrics.mutual_info_score"] = mutual_info_score(labels, labels)
print("scikit-learn", sklearn.__version__)
for name, value in found.items():
    print(f"{name:28} of a fair coin: {value:.4f}")
want = [1, 1, math.log(2), math.log(2)]
assert all(math.isclose(value, one) for value, one in zip(found.values(), want, strict=True))
PYTHON
