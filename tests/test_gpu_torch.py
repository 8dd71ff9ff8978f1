"""The Triton kernels on a GPU: what triton_checks asks of them in the interpreter, and what only a device can show."""

from __future__ import annotations

import math

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)
pytest.importorskip("triton")

import triton_checks  # noqa: E402

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]


def logits(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cuda", dtype=torch.float32).mul_(3).to(dtype)


@pytest.mark.parametrize("name", list(triton_checks.CHECKS))
def test_checks(name):
    triton_checks.CHECKS[name]("cuda")


@pytest.mark.parametrize("shape", [(70_000, 1100), (200_000, 10)])
def test_more_rows_than_a_grid_axis_has(shape):
    x = logits(*shape)
    value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, 1.7)
    some = torch.tensor([0, 1, 65_535, 65_536, shape[0] - 1], device="cuda")
    with renyi.agnostic_only():
        want = renyi.value_and_grad(renyi.entropy_from_logits)(x[some], 1.7)
    torch.testing.assert_close(value[some], want[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient[some], want[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1_000_000), (64, 150_000), (3000, 5003), (100_000, 10)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_bit_for_bit(shape, dtype):
    x = logits(*shape, dtype=dtype)
    both = renyi.value_and_grad(renyi.entropy_from_logits)
    for alpha in (0.5, 1.0, 1.1, 2.0, 2.7):
        value, gradient = both(x, alpha)
        for _ in range(3):
            again, gradient_again = both(x, alpha)
            assert torch.equal(value, again)
            assert torch.equal(gradient, gradient_again)


def test_large_vocabulary():
    """8192 × 151,936, or as many rows as a fifth of the memory holds: offsets past 2**31 wherever they fit."""
    n = 151_936
    free, _ = torch.cuda.mem_get_info()
    rows = min(16_384, free // 5 // (2 * n))
    x = logits(1, n, dtype=torch.bfloat16).expand(rows, n).contiguous()
    for alpha in (1.0, 1.7, 2.0):
        value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)
        want = renyi.value_and_grad(renyi.entropy_from_logits)(x[:1].double(), alpha)
        torch.testing.assert_close(value[[0, -1]].double(), want[0].expand(2), rtol=2**-8, atol=0)
        torch.testing.assert_close(gradient[-1].double(), want[1][0], rtol=2**-7, atol=1e-9)
        assert torch.equal(gradient[0], gradient[-1])


@pytest.mark.parametrize("shape", [(512, 32_000), (4, 1_000_000)])
def test_memory(shape):
    """Beyond the logits: a few numbers for each row and split in forward, the gradient in backward."""
    x = logits(*shape).requires_grad_()
    renyi.entropy_from_logits(x, 1.7).sum().backward()
    x.grad = None
    torch.cuda.synchronize()
    size, small = x.numel() * 4, 1 << 20
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    loss = renyi.entropy_from_logits(x, 1.7).sum()
    assert torch.cuda.max_memory_allocated() - before <= small
    loss.backward()
    assert torch.cuda.max_memory_allocated() - before <= size + small


def test_a_schedule_of_orders_compiles_nothing():
    from renyi_adapters.torch import _triton_kernels

    x = logits(64, 5000)
    renyi.entropy_from_logits(x, 1.3)
    compiled = dict.fromkeys(_triton_kernels.state_of_long_rows.device_caches)
    counts = {device: len(_triton_kernels.state_of_long_rows.device_caches[device][0]) for device in compiled}
    for step in range(20):
        renyi.entropy_from_logits(x, 1.31 + 0.02 * step)
    assert counts == {device: len(_triton_kernels.state_of_long_rows.device_caches[device][0]) for device in compiled}


def test_what_the_kernels_do_not_take():
    """Orders in a tensor, α = 0, probabilities, compiled code: by the array-API code, on the device."""
    x = logits(5, 3000).double()
    alpha = torch.tensor([0.5, 1.0, 2.0, 3.0, math.inf], device="cuda", dtype=torch.float64)
    want = torch.stack([renyi.entropy_from_logits(x[k], float(a)) for k, a in enumerate(alpha)])
    torch.testing.assert_close(renyi.entropy_from_logits(x, alpha), want)
    torch.testing.assert_close(renyi.entropy(x.softmax(-1), 2.0), renyi.entropy_from_logits(x, 2.0))
    torch.testing.assert_close(renyi.entropy_from_logits(x, 0.0), torch.full((5,), math.log(3000)).double().cuda())
    compiled = torch.compile(renyi.entropy_from_logits, fullgraph=True)
    torch.testing.assert_close(compiled(x, 1.7), renyi.entropy_from_logits(x, 1.7))


def test_without_triton(monkeypatch):
    x = logits(5, 3000).double().requires_grad_()
    want = renyi.grad(renyi.entropy_from_logits)(x.detach(), 1.7)
    monkeypatch.setattr(triton_checks.kernels, "_kernels", lambda: None)
    renyi.entropy_from_logits(x, 1.7).sum().backward()
    torch.testing.assert_close(x.grad, want)
