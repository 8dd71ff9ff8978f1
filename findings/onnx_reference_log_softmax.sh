#!/usr/bin/env bash
# onnx: the reference evaluator, which tells what an operator should give, is less exact for LogSoftmax than the runtimes
# that one checks with it. In float32 it is the logarithm of a softmax: −inf from some 104 nats below the maximum on,
# where onnxruntime has the logit. And a model of operator set 11, whose LogSoftmax without an axis spans all axes from
# the second on, is evaluated as of set 13, along the last one, silently.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

warnings.simplefilter("ignore", RuntimeWarning)


def run(x, opset):
    graph = helper.make_graph(
        [helper.make_node("LogSoftmax", ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [one.run(None, {"x": x})[0].ravel()[-1] for one in (ReferenceEvaluator(model), session)]


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "numpy", np.__version__)
found = {
    "logits 0, -200": run(np.asarray([[0, -200]], np.float32), 13),
    "2 x 3 x 4 zeros, opset 13": run(np.zeros((2, 3, 4), np.float32), 13),
    "2 x 3 x 4 zeros, opset 11": run(np.zeros((2, 3, 4), np.float32), 11),
}
for name, (reference, runtime) in found.items():
    print(f"{name:26} last of LogSoftmax: reference {reference:.4f}, onnxruntime {runtime:.4f}")
log4, log12 = np.log(4), np.log(12)
assert np.allclose(list(found.values()), [(-np.inf, -200), (-log4, -log4), (-log4, -log12)])
PYTHON
