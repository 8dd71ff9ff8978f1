"""The torch adapter: derivatives of every kind and order, what is kept for them, dtypes, compilation, threads."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import renyi_core as renyi
from renyi_adapters import native
from renyi_core.regularizers import EntropyBonus

torch = pytest.importorskip("torch")
forward_ad = torch.autograd.forward_ad

BACKENDS = ("torch",)
pytestmark = [
    pytest.mark.usefixtures("backend"),
    # torch's own, from the first use of forward mode and of torch.compile
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]
ORDERS = (0.5, 1.0, 1 + 1e-9, 1.1, 2.0, 3.0, math.inf)
FUNCTIONS = [
    renyi.entropy,
    renyi.entropy_from_logits,
    renyi.hill_number_from_logits,
    renyi.tsallis_entropy,
    renyi.tsallis_entropy_from_logits,
]
by_name = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)


def make(shape=(3, 5), seed=0, dtype=torch.float64, f=renyi.entropy_from_logits):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x if "logits" in f.__name__ else x.exp()).to(dtype)


@by_name
@pytest.mark.parametrize("alpha", ORDERS)
def test_gradcheck(f, alpha):
    x = make(f=f).requires_grad_()
    call = lambda x: f(x, alpha)  # noqa: E731
    assert torch.autograd.gradcheck(call, x, check_forward_ad=True, check_batched_grad=True)
    if alpha != math.inf:
        assert torch.autograd.gradgradcheck(call, x, check_fwd_over_rev=True, check_rev_over_rev=True)


@by_name
@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
def test_gradcheck_of_orders(f, shape):
    """One α for all rows, one for each, and more α than rows."""
    x = make(f=f)[(None,) * max(len(shape) - 1, 0)].clone().requires_grad_()
    alpha = torch.linspace(0.4, 2.5, math.prod(shape), dtype=torch.float64).reshape(shape).requires_grad_()
    where = torch.ones(3, 5, dtype=torch.bool)
    where[0, 1] = where[2, 4] = False
    call = lambda x, alpha: f(x, alpha, where=where)  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, alpha), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (x, alpha))


@pytest.mark.parametrize("options", [{"axis": 0}, {"axis": (0, -1)}, {"axis": None, "base": 2}, {"keepdims": True}])
def test_gradcheck_of_options(options):
    x = make().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: renyi.entropy_from_logits(x, 1.7, **options), x, check_forward_ad=True)


@by_name
def test_function_transforms(f):
    x, v = make(f=f), make(seed=1)
    for alpha in (0.5, 1.0, 2.0, torch.tensor(1.3, dtype=torch.float64)):
        one = lambda row, alpha=alpha: f(row, alpha)  # noqa: E731
        want = renyi.grad(f)(x, alpha)
        torch.testing.assert_close(torch.func.vmap(torch.func.grad(one))(x), want)
        torch.testing.assert_close(torch.func.vmap(one)(x), f(x, alpha))
        torch.testing.assert_close(torch.func.jacrev(one)(x[0]), want[0])
        torch.testing.assert_close(torch.func.jacfwd(one)(x[0]), want[0])
        torch.testing.assert_close(torch.func.jvp(one, (x[0],), (v[0],))[1], want[0] @ v[0])
        hessian = torch.func.hessian(one)(x[0])
        torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.jacrev(one))(x[0]))
        if "logits" in f.__name__:
            torch.testing.assert_close(hessian @ v[0], renyi.hvp(f)(x[0], alpha, vector=v[0]))


def test_vmap_over_orders_and_axes():
    x, orders = make((4, 5)), torch.tensor([0.5, 1.0, 2.0, math.inf], dtype=torch.float64)
    got = torch.func.vmap(renyi.entropy_from_logits, in_dims=(0, 0))(x, orders)
    torch.testing.assert_close(got, renyi.entropy_from_logits(x, orders))
    gradient = torch.func.vmap(torch.func.grad(renyi.entropy_from_logits, argnums=(0, 1)))(x, orders)
    torch.testing.assert_close(gradient[0], renyi.grad(renyi.entropy_from_logits)(x, orders))
    torch.testing.assert_close(gradient[1], renyi.grad(renyi.entropy_from_logits, "alpha")(x, orders))


def test_forward_mode_of_the_analytic_gradient():
    """A tangent must not be lost on its way through NumPy."""
    x, v = make(), make(seed=1)
    with forward_ad.dual_level():
        gradient = renyi.grad(renyi.entropy_from_logits)(forward_ad.make_dual(x, v), 1.7)
        tangent = forward_ad.unpack_dual(gradient).tangent
    torch.testing.assert_close(tangent, renyi.hvp(renyi.entropy_from_logits)(x, 1.7, vector=v))


def test_the_analytic_gradient_can_be_differentiated():
    x, v = make().requires_grad_(), make(seed=1)
    assert torch.autograd.gradcheck(lambda x: renyi.grad(renyi.entropy_from_logits)(x, 1.7), x)
    assert torch.autograd.gradcheck(lambda x: renyi.grad(renyi.entropy_from_logits, "alpha")(x, 1.7), x)
    assert torch.autograd.gradcheck(lambda x: renyi.hvp(renyi.entropy_from_logits)(x, 1.7, vector=v), x)


def kept_beside(x, loss):
    """Return the value of a loss, and how many bytes it keeps for backward beside a tensor."""
    kept = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() != x.untyped_storage().data_ptr():
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return loss(), sum(kept.values())


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.1, 1.7, 2.0, "tensor"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kept_for_backward(alpha, dtype):
    """Nothing but the logits themselves and numbers of rows."""
    x = make((8, 4000), dtype=dtype).requires_grad_()
    order = torch.full((8,), 1.3, requires_grad=True) if alpha == "tensor" else alpha
    loss, kept = kept_beside(x, lambda: renyi.entropy_from_logits(x, order).sum())
    loss.backward()
    assert kept <= 0.01 * x.untyped_storage().nbytes()
    want = renyi.grad(renyi.entropy_from_logits)(x.detach(), order.detach() if alpha == "tensor" else order)
    torch.testing.assert_close(x.grad, want)


def test_weights_of_rows_keep_no_copy():
    """Rows of weight 0 have a gradient of 0 whatever they hold, and the logits are kept as they are."""
    x = make((8, 4000))
    x[5] = math.nan
    x.requires_grad_()
    tokens = torch.arange(8) < 5
    loss, kept = kept_beside(x, lambda: EntropyBonus(2.0, 0.1)(x, sample_weight=tokens))
    loss.backward()
    assert kept <= 0.01 * x.untyped_storage().nbytes()
    torch.testing.assert_close(loss, -0.1 * renyi.entropy_from_logits(x[:5], 2.0).mean())
    assert not x.grad[5:].any()
    assert x.grad[:5].all()


def test_nothing_is_kept_without_need():
    x = make((8, 4000))
    calls = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: calls.append(t) or t, lambda t: t):
        assert not renyi.entropy_from_logits(x, 2.0).requires_grad
        with torch.no_grad():
            assert not renyi.entropy_from_logits(x.requires_grad_(), 2.0).requires_grad
    assert calls == []
    with torch.inference_mode():
        value = renyi.entropy_from_logits(x, 2.0)
    torch.testing.assert_close(value, renyi.entropy_from_logits(x.detach(), 2.0))


def test_a_change_of_the_input_before_backward_is_an_error():
    x = make().requires_grad_()
    y = x * 1
    value = renyi.entropy_from_logits(y, 2.0).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


@pytest.mark.parametrize("shape", [(3, 10), (40, 700), (2, 300_000)])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.1, 1.7, 2.0, math.inf])
def test_gradient_in_place(alpha, shape):
    from renyi_training.torch import gradient_in_place_of_the_input

    for dtype in (torch.float32, torch.bfloat16):
        x = make(shape, dtype=dtype)
        x[0] *= 1e-3  # nearly flat, where the fast form of the gradient loses digits
        want = renyi.grad(renyi.entropy_from_logits)(x, alpha)
        leaf = x.clone().requires_grad_()
        y = leaf * 1
        with gradient_in_place_of_the_input():
            value = renyi.entropy_from_logits(y, alpha).sum()
        y.register_hook(lambda gradient, y=y: torch.testing.assert_close(gradient, y))
        value.backward()
        torch.testing.assert_close(leaf.grad, want)


def test_what_reads_the_input_beside_a_gradient_in_its_place():
    """Autograd refuses it; expected at [1, 0] by hand, 2 y + (p − q)·2 of H_2, q the escort of order 2."""
    from renyi_training.torch import gradient_in_place_of_the_input

    def loss(y, order):
        terms = [lambda y: renyi.entropy_from_logits(y, 2.0), lambda y: (y**2).sum()]
        return sum(term(y) for term in terms[::order])

    refused = 0
    for order in (1, -1):
        leaf = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
        with gradient_in_place_of_the_input():
            value = loss(leaf * 1, order)
        try:
            value.backward()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)  # noqa: PT017
            refused += 1
        else:
            p = torch.softmax(leaf.detach(), 0)
            want = 2 * leaf.detach() + 2 * (p - p**2 / (p**2).sum())
            torch.testing.assert_close(leaf.grad, want)
    assert refused == 1
    # rows that share their memory have a gradient each
    leaf = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    with gradient_in_place_of_the_input():
        values = renyi.entropy_from_logits((leaf * 1).expand(2, 3), 2.0)
    (values * torch.tensor([1.0, 3.0], dtype=torch.float64)).sum().backward()
    torch.testing.assert_close(leaf.grad, 4 * renyi.grad(renyi.entropy_from_logits)(leaf.detach(), 2.0))
    # derivatives of higher order, forward mode and that of the order read the input too
    x = make((2, 5))
    alpha = torch.tensor(2.0, dtype=x.dtype, requires_grad=True)
    want = renyi.grad(renyi.entropy_from_logits, "alpha")(x, alpha.detach(), cotangent=1.0)
    leaf = x.clone().requires_grad_()
    with gradient_in_place_of_the_input():
        renyi.entropy_from_logits(leaf * 1, alpha).sum().backward()
        assert torch.autograd.gradgradcheck(lambda x: renyi.entropy_from_logits(x * 1, 2.0), leaf)
        _, along = torch.func.jvp(lambda x: renyi.entropy_from_logits(x, 2.0), (x,), (x.clone(),))
    torch.testing.assert_close(alpha.grad, want)
    gradient = renyi.grad(renyi.entropy_from_logits)(make((2, 5)), 2.0)
    torch.testing.assert_close(along, (gradient * make((2, 5))).sum(-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7, 100), (300, 1000), (3, 1, 200_000)])
def test_half_precision(dtype, shape):
    """Summed in float32 and rounded once: as the float32 call on the same numbers."""
    x = make(shape, dtype=dtype)
    for alpha in (0.5, 1.0, 2.0, torch.tensor([0.5], dtype=torch.float32)):
        for f in (renyi.entropy_from_logits, renyi.hill_number_from_logits):
            value, gradient = renyi.value_and_grad(f)(x, alpha)
            want, want_gradient = renyi.value_and_grad(f)(x.float(), alpha)
            assert value.dtype == gradient.dtype == dtype
            # not bit for bit: pieces of another size are summed in another order
            torch.testing.assert_close(value, want.to(dtype), rtol=torch.finfo(dtype).eps, atol=0)
            torch.testing.assert_close(gradient, want_gradient.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-7)


def test_autocast():
    layer = torch.nn.Linear(8, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(torch.ones(4, 8))
        value = renyi.entropy_from_logits(logits, 1.7)
    assert logits.dtype == value.dtype == torch.bfloat16
    value.float().mean().backward()
    assert torch.isfinite(layer.weight.grad).all()


def test_layouts():
    base = make((6, 8, 10))
    for x in (base.transpose(0, 2), base[::2, :, ::3], base[:1].expand(6, 8, 10), base[:, :0], -base.neg()):
        for alpha in (0.5, 1.0, 2.0):
            leaf = x.detach().requires_grad_()
            renyi.entropy_from_logits(leaf, alpha).sum().backward()
            with renyi.agnostic_only():
                want = renyi.grad(renyi.entropy_from_logits)(x, alpha)
            torch.testing.assert_close(leaf.grad, want, rtol=1e-12, atol=1e-14)


def test_compile_of_a_learnable_order():
    torch._dynamo.reset()
    sharpness = torch.nn.Parameter(torch.tensor(1.3, dtype=torch.float64))
    f = torch.compile(lambda x, a: renyi.entropy_from_logits(x, a).sum(), fullgraph=True, backend="aot_eager")
    f(make(), sharpness).backward()
    want = renyi.grad(renyi.entropy_from_logits, "alpha")(make(), 1.3).sum()
    torch.testing.assert_close(sharpness.grad, want)


@pytest.mark.parametrize("kind", ["number", "tensor"])
def test_compile(kind):
    """One graph, backward too, from the very first call; a schedule of α is one graph, or two."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    def loss(x, alpha, beta):
        return (x * x).sum() - beta * renyi.entropy_from_logits(x, alpha).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for step in range(12):
        alpha, beta = 1.3 + 0.05 * step, 0.1 * step
        order = alpha if kind == "number" else torch.tensor(alpha, dtype=torch.float64)
        x = make(seed=step).requires_grad_()
        compiled(x, order, torch.tensor(beta)).backward()
        y = x.detach().requires_grad_()
        loss(y, order, torch.tensor(beta)).backward()
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs <= (3 if kind == "number" else 1)


def test_compile_of_all_functions():
    torch._dynamo.reset()
    x, where = make(), torch.rand(3, 5) < 0.8
    where[:, 0] = True

    def everything(x):
        total = 0
        for alpha in (0.5, 1.0, 2.0, math.inf):
            total = total + renyi.entropy_from_logits(x, alpha, where=where).sum()
            total = total + renyi.entropy(x.exp(), alpha, base=2).sum()
            total = total + renyi.value_and_grad(renyi.entropy_from_logits)(x, alpha)[1].square().sum()
        return total

    got, want = (x.clone().requires_grad_() for _ in range(2))
    torch.compile(everything, fullgraph=True, backend="aot_eager")(got).backward()
    everything(want).backward()
    torch.testing.assert_close(got.grad, want.grad, rtol=1e-9, atol=1e-11)


def test_fake_and_meta_tensors():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        assert renyi.entropy_from_logits(torch.empty(3, 5, requires_grad=True), 1.7).shape == (3,)
    x = torch.empty(3, 5, device="meta", requires_grad=True)
    renyi.entropy_from_logits(x, 1.7).sum().backward()
    assert x.grad.shape == (3, 5)


def test_backward_on_several_threads():
    x = [make((30, 1000), seed=seed) for seed in range(8)]
    want = [renyi.grad(renyi.entropy_from_logits)(part, 1.7).numpy() for part in x]
    wrong = []

    def work(k):
        leaf = x[k].clone().requires_grad_()
        renyi.entropy_from_logits(leaf, 1.7).sum().backward()
        if not np.array_equal(leaf.grad.numpy(), want[k]):
            wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_numpy(monkeypatch):
    """torch can do without NumPy: the array-API code then runs within the same Functions."""
    from renyi_adapters.torch import _blocks

    x = make().requires_grad_()
    both = renyi.value_and_grad(renyi.entropy_from_logits)
    want, want_gradient = both(x.detach(), 1.7)
    monkeypatch.setattr(_blocks, "blocks", None)
    value = renyi.entropy_from_logits(x, 1.7)
    value.sum().backward()
    torch.testing.assert_close(value.detach(), want)
    torch.testing.assert_close(x.grad, want_gradient)
    torch.testing.assert_close(both(x.detach(), 1.7)[1], want_gradient)


PAIRS = (
    renyi.divergence,
    renyi.divergence_from_logits,
    renyi.cross_entropy_from_logits,
    renyi.alpha_divergence_from_logits,
    renyi.cross_entropy,
    renyi.tsallis_divergence_from_logits,
)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 2.0, "tensor"])
@pytest.mark.parametrize("f", PAIRS, ids=lambda f: f.__name__)
def test_derivatives_of_divergences(f, alpha):
    x, y = (make((2, 4), seed).requires_grad_() for seed in (0, 1))
    args = (x, y)
    if f in {renyi.divergence, renyi.cross_entropy}:
        args = tuple(row.detach().exp().requires_grad_() for row in args)
    if alpha == "tensor":
        order = torch.tensor([0.7, 1.4], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(f, (*args, order), check_forward_ad=True, check_batched_grad=True)
        return
    assert torch.autograd.gradcheck(lambda x, y: f(x, y, alpha), args, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, y: f(x, y, alpha), args)


@pytest.mark.parametrize(
    "f", [PAIRS[1], *(pytest.param(f, marks=pytest.mark.full) for f in PAIRS[2:4])], ids=lambda f: f.__name__
)
def test_divergence_under_transforms_and_compile(f):
    x, y = make((3, 5), 0), make((3, 5), 1)
    want = renyi.grad(f)(x, y, 1.7)
    got = torch.func.vmap(torch.func.grad(lambda x, y: f(x, y, 1.7)))(x, y)
    torch.testing.assert_close(got, want)
    compiled = torch.compile(lambda x, y: f(x, y, 1.7), fullgraph=True, backend="aot_eager")
    leaf = x.clone().requires_grad_()
    compiled(leaf, y).sum().backward()
    torch.testing.assert_close(leaf.grad, want)


@pytest.mark.parametrize("rows", [8, 10_500])
def test_kept_for_backward_of_divergences(rows):
    """The two arguments themselves, and of a small call on the compiled engine the gradients."""
    x, y = (make((rows, 400), seed).requires_grad_() for seed in (0, 1))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        renyi.divergence_from_logits(x, y, 1.7)
    more = [tensor for tensor in kept if tensor.data_ptr() not in {x.data_ptr(), y.data_ptr()}]
    assert len(more) == (2 if rows == 8 and native.library() else 0)


@pytest.mark.parametrize("n", [6, 3000])
@pytest.mark.parametrize("f", [renyi.divergence, renyi.divergence_from_logits], ids=["probs", "logits"])
def test_pairs_that_do_not_count(f, n):
    """Where the cotangent is 0 the gradient is, also of a row that has no value."""
    x, y = make((40, n), 0), make((40, n), 1)
    x, y = (x, y) if f is renyi.divergence_from_logits else (x.softmax(-1), y.softmax(-1))
    x[3, 0] = math.nan
    cotangent = torch.ones(40, dtype=torch.float64)
    cotangent[3] = 0
    leaves = x.requires_grad_(), y.requires_grad_()
    f(*leaves, 1.0).backward(cotangent)
    for leaf in leaves:
        assert (leaf.grad[3] == 0).all()
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[5] != 0).all()
