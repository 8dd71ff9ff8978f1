"""Graphs of ONNX, written by torch's exporter and by ndonnx, in ONNX Runtime."""

from __future__ import annotations

import doctest
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from test_export import CHOICES, LOGITS, PROBS, arrays, by_torch, check, function

import renyi_core as renyi

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")
ndonnx = pytest.importorskip("ndonnx")

BACKENDS = ("torch",)
ORDERS = (0.5, 1.0, 1.5, 2.0, math.inf)
NAMES = ("divergence", "divergence_from_logits", "entropy", "entropy_from_logits")
CASES = list(dict.fromkeys([*itertools.product(NAMES, ORDERS), *LOGITS, *PROBS, *CHOICES]))


def run(model, values):
    """Return the first result of a model."""
    session = onnxruntime.InferenceSession(model)
    return session.run(None, {given.name: x for given, x in zip(session.get_inputs(), values, strict=True)})[0]


# torch's exporter warns of its own parts
@pytest.mark.filterwarnings("ignore:::torch", "ignore:::onnxscript", "ignore:::copyreg", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_torch(backend, name, alpha):
    f = function(name, alpha)
    program = by_torch(f, arrays(backend, name, 3, 6))
    file = io.BytesIO()
    torch.onnx.export(program, dynamo=True, verbose=False).save(file)
    args = arrays(backend, name, 7, 6, seed=1)
    check(name, run(file.getvalue(), [x.numpy() for x in args]), f(*args).numpy())


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_ndonnx(backend, name, alpha):
    f = function(name, alpha)
    values = [x.numpy() for x in arrays(backend, name, 7, 6, seed=1)]
    lazy = [ndonnx.argument(shape=("rows", "n"), dtype=ndonnx.asarray(x).dtype) for x in values]
    model = ndonnx.build({f"x{i}": x for i, x in enumerate(lazy)}, {"value": f(*lazy)})
    check(name, run(model.SerializeToString(), values), f(*values))


def test_gradient_in_ndonnx(backend):
    values = arrays(backend, "entropy_from_logits", 7, 6)[0].numpy()
    lazy = ndonnx.argument(shape=("rows", "n"), dtype=ndonnx.float32)
    gradient = renyi.grad(renyi.entropy_from_logits)
    model = ndonnx.build({"logits": lazy}, {"gradient": gradient(lazy, 2.0)})
    expected = gradient(values, 2.0)
    assert np.max(np.abs(run(model.SerializeToString(), [values]) - expected)) <= 1e-6


@pytest.mark.filterwarnings("ignore:::torch", "ignore:::onnxscript", "ignore:::copyreg", "ignore::DeprecationWarning")
def test_page():
    pytest.importorskip("jax")
    pytest.importorskip("flatbuffers")
    page = Path(__file__).parent.parent / "docs" / "export.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0
