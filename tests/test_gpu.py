"""On a GPU: values, gradients and autograd agree with NumPy's; ``nox -s gpu``, on a machine that has one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import renyi_core as renyi

pytestmark = pytest.mark.gpu
ORDERS = (0.0, 0.5, 1.0, 1.1, 2.0, math.inf)
DTYPES = ("float32", "float64")


class Torch:
    def __init__(self):
        self.torch = pytest.importorskip("torch")
        if not self.torch.cuda.is_available():
            pytest.skip("no CUDA device")

    def put(self, values):
        return self.torch.from_numpy(values).cuda()

    def get(self, array):
        assert array.is_cuda
        return array.detach().cpu().numpy()


class CuPy:
    def __init__(self):
        self.cupy = pytest.importorskip("cupy")
        if not self.cupy.is_available():
            pytest.skip("no CUDA device")

    def put(self, values):
        return self.cupy.asarray(values)

    def get(self, array):
        return self.cupy.asnumpy(array)


class Jax:
    def __init__(self):
        self.jax = pytest.importorskip("jax")
        if self.jax.default_backend() != "gpu":
            pytest.skip("no GPU")

    def put(self, values):
        return self.jax.device_put(values)

    def get(self, array):
        return np.asarray(array)


@pytest.fixture(params=[Torch, CuPy, Jax], ids=lambda library: library.__name__)
def library(request):
    return request.param()


def rows(dtype, source):
    x = np.random.default_rng(0).normal(size=(40, 3000)) * 3
    x[::3, ::7] = -np.inf
    x[5] = 1.0
    return (x if source == "logits" else np.exp(x)).astype(dtype)


@pytest.mark.parametrize("source", ["logits", "probs"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_numpy(library, dtype, source):
    f = renyi.entropy_from_logits if source == "logits" else renyi.entropy
    x = rows(dtype, source)
    eps = np.finfo(dtype).eps
    given = library.put(x)
    if library.get(given).dtype != x.dtype:
        pytest.skip(f"no {dtype} here")
    for alpha in ORDERS:
        value, gradient = renyi.value_and_grad(f)(given, alpha)
        want, want_gradient = renyi.value_and_grad(f)(x, alpha)
        np.testing.assert_allclose(library.get(value), want, rtol=64 * eps, atol=64 * eps)
        norms = np.linalg.norm(want_gradient, axis=-1, keepdims=True)
        difference = np.linalg.norm(library.get(gradient) - want_gradient, axis=-1, keepdims=True)
        assert (difference <= 64 * eps * (1 + norms)).all()


def test_autograd_of_torch():
    library = Torch()
    x = rows("float32", "logits")
    for alpha in ORDERS:
        leaf = library.put(x).requires_grad_()
        renyi.entropy_from_logits(leaf, alpha).sum().backward()
        want = renyi.grad(renyi.entropy_from_logits)(x, alpha)
        np.testing.assert_allclose(library.get(leaf.grad), want, rtol=1e-4, atol=1e-6)
