"""The entropy of a linear head equals that of its stored logits, in value and gradients, and never stores them."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from renyi_adapters.torch import _blocks, _states  # noqa: E402
from renyi_training.torch import EntropyAndLogProb, _linear, linear_entropy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 1.0, 1.1, 1.7, 2.0, math.inf)
FEATURES, VOCABULARY = 5, 23
# fewer tokens than the vocabulary has entries, which is cut then, and more; none; a single one
SHAPES = {"few": (3, 4), "many": (40,), "none": (0,), "single": ()}
CHUNKS = (1, 3, 7, 100, None)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def numbers(shape, seed, device="cpu", dtype=torch.float64):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.to(device, dtype).requires_grad_()


def layer(shape, device="cpu", dtype=torch.float64, features=FEATURES, vocabulary=VOCABULARY):
    """Return the input, the weight and the bias of a layer."""
    return (
        numbers((*shape, features), 0, device, dtype),
        numbers((vocabulary, features), 1, device, dtype),
        numbers((vocabulary,), 2, device, dtype),
    )


def some_tokens(shape, device="cpu"):
    return (torch.arange(math.prod(shape)) * 7 % VOCABULARY).reshape(shape).to(device)


def mask(shape, device="cpu"):
    """Leave out padding and some entries besides, but none of the tokens."""
    where = torch.zeros(VOCABULARY, dtype=torch.bool)
    where[some_tokens(shape).flatten()] = where[:3] = True
    return where.to(device)


def direct(hidden, weight, alpha, bias=None, tokens=None, where=None, temperature=1.0, softcap=None, scale=1.0):
    """The results by way of the logits, in the form of a tuple."""
    logits = scale * torch.nn.functional.linear(hidden, weight, bias)
    logits = (logits if softcap is None else softcap * torch.tanh(logits / softcap)) / temperature
    value = renyi.entropy_from_logits(logits, alpha, where=where)
    if tokens is None:
        return (value,)
    if where is not None:
        logits = torch.where(where, logits, -math.inf)
    total = logits.logsumexp(-1)
    return value, logits.gather(-1, tokens[..., None])[..., 0] - total, total


def compare(inputs, got, want, **tolerance):
    """Compare values and gradients."""
    for one, other in zip(got, want, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, **tolerance)
    weights = [torch.linspace(-1, 2, value.numel()).reshape(value.shape).to(value) for value in want]
    gradients = [
        torch.autograd.grad(sum((a * w).sum() for a, w in zip(values, weights, strict=True)), inputs)
        for values in (got, want)
    ]
    for x, one, other in zip(inputs, *gradients, strict=True):
        assert one.dtype == x.dtype
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_values_and_gradients(shape, alpha, device):
    inputs = layer(shape, device)
    hidden, weight, bias = inputs
    for chunk, masked, with_tokens in itertools.product(CHUNKS, (False, True), (False, True)):
        options = {
            "bias": bias,
            "where": mask(shape, device) if masked else None,
            "tokens": some_tokens(shape, device) if with_tokens else None,
        }
        got = linear_entropy(hidden, weight, alpha, chunk=chunk, **options)
        if with_tokens:
            assert isinstance(got, EntropyAndLogProb)
        compare(inputs, got if with_tokens else (got,), direct(hidden, weight, alpha, **options))
        with torch.no_grad():
            plain = linear_entropy(hidden, weight, alpha, chunk=chunk, **options)
        torch.testing.assert_close(plain[0] if with_tokens else plain, got[0] if with_tokens else got)


CHANGES = {
    "temperature": {"temperature": 0.7},
    "Gemma 2": {"softcap": 3.0, "temperature": 1.5},
    "Cohere, Granite": {"scale": 0.0625},
    "all": {"temperature": 0.5, "softcap": 2.0, "scale": 3.0},
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("shape", [(3, 4), (40,)])
def test_temperature_cap_and_scale(shape, name, device):
    """Of either side that is cut, masked too, with their gradients."""
    inputs = layer(shape, device)
    hidden, weight, bias = inputs
    for alpha, chunk, masked in itertools.product((0.0, 0.5, 1.0, 2.0, math.inf), (3, None), (False, True)):
        options = {"tokens": some_tokens(shape, device), **CHANGES[name]}
        options |= {"where": mask(shape, device), "bias": bias} if masked else {}
        got = linear_entropy(hidden, weight, alpha, chunk=chunk, **options)
        compare(inputs[: 2 + masked], got, direct(hidden, weight, alpha, **options))


@pytest.mark.parametrize("alpha", [1.0, 1.7])
def test_gradcheck_of_a_capped_head(alpha):
    inputs = layer((2,), features=2, vocabulary=4)
    options = {"tokens": torch.arange(2), "chunk": 1, **CHANGES["all"]}

    def f(hidden, weight, bias):
        return tuple(linear_entropy(hidden, weight, alpha, bias=bias, **options))

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("threads", [1, 8])
def test_hyperbolic_tangent(dtype, threads, monkeypatch):
    """NumPy's or torch's, over the tensor, strided ones too."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x = torch.cat([torch.linspace(-12, 12, 999), torch.tensor([0.0, -0.0, 1e-30, math.inf, math.nan])]).to(dtype)
    room = torch.zeros(len(x), 2, dtype=dtype)
    room[:, 0] = x
    assert _blocks.tanh_(room[:, 0]).data_ptr() == room.data_ptr()
    want = x.double().tanh()
    torch.testing.assert_close(room[:, 0].double(), want, rtol=2 * torch.finfo(dtype).eps, atol=0, equal_nan=True)
    assert not room[:, 1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_far_beyond_the_cap(dtype):
    """Nothing overflows: the logits are at the cap, without a gradient."""
    hidden, weight = (
        torch.tensor([[400.0, 3.0]]).to(dtype),
        torch.tensor([[100.0, 0.0], [-100.0, 0.0], [0.0, 1.0]]).to(dtype),
    )
    hidden.requires_grad_()
    entropy, log_prob, total = linear_entropy(hidden, weight, 1.0, tokens=torch.tensor([2]), softcap=2.0)
    logits = torch.tensor([2.0, -2.0, 2 * math.tanh(1.5)])
    torch.testing.assert_close(total, logits.logsumexp(0)[None], rtol=torch.finfo(dtype).eps, atol=0)
    torch.testing.assert_close(
        entropy[0], renyi.entropy_from_logits(logits, 1.0), rtol=2 * torch.finfo(dtype).eps, atol=0
    )
    (gradient,) = torch.autograd.grad(log_prob.sum(), hidden)
    want = (1 - torch.softmax(logits, 0)[2]) / math.cosh(1.5) ** 2
    # a last digit of tanh(1.5) is five of the slope, 1 − tanh²
    torch.testing.assert_close(gradient.float(), torch.tensor([[0.0, want]]), rtol=16 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("kind", ["scalar", "row", "all"])
@pytest.mark.parametrize("shape", [(3, 4), (10, 4)])
def test_orders_as_tensors(shape, kind, device):
    """One α for all tokens, broadcast, and one for each, ∞ and 1 among them."""
    hidden, weight, bias = layer(shape, device)
    size = {"scalar": (), "row": shape[1:], "all": shape}[kind]
    orders = torch.linspace(0.3, 2.5, math.prod(size), dtype=torch.float64)
    if kind != "scalar":
        orders[1], orders[2] = 1.0, math.inf
    alpha = orders.reshape(size).to(device).requires_grad_()
    for chunk in CHUNKS:
        options = {"bias": bias, "tokens": some_tokens(shape, device), "where": mask(shape, device)}
        got = linear_entropy(hidden, weight, alpha, chunk=chunk, **options)
        compare((hidden, weight, bias, alpha), got, direct(hidden, weight, alpha, **options))


@pytest.mark.parametrize("orders", [(0.0, 0.5, 1.0, 1.7, math.inf), (2.0, 1.0), (0.5,)], ids=["five", "two", "one"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_orders_of_one_pass(shape, orders, device):
    """They are those of a call for each, capped and masked too, with and without tokens."""
    inputs = layer(shape, device)
    hidden, weight, bias = inputs
    for chunk, changed, with_tokens in itertools.product((3, None), (False, True), (False, True)):
        options = {"bias": bias, "tokens": some_tokens(shape, device) if with_tokens else None}
        options |= {"where": mask(shape, device), **CHANGES["all"]} if changed else {}
        got = linear_entropy(hidden, weight, orders if with_tokens else list(orders), chunk=chunk, **options)
        apart = [direct(hidden, weight, alpha, **options) for alpha in orders]
        want = torch.stack([one[0] for one in apart], -1), *apart[0][1:]
        if with_tokens:
            # of the entropies alone
            sums = got.entropy.sum(), want[0].sum()
            found, other = (torch.autograd.grad(one, inputs, retain_graph=True) for one in sums)
            torch.testing.assert_close(found, other)
        compare(inputs, got if with_tokens else (got,), want)


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += "mm" in str(function)
        return function(*args, **(kwargs or {}))


def test_orders_share_the_products():
    counts = []
    for alpha in (1.7, (0.5, 1.0, 1.7, 2.0)):
        with Products() as products:
            linear_entropy(*layer((3, 4))[:2], alpha, chunk=3).sum().backward()
        counts.append(products.count)
    assert counts[0] == counts[1] > 4


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7, math.inf, "tensor", (1.0, 0.5, 2.0)])
@pytest.mark.parametrize("shape", [(2,), (6,)])
def test_gradcheck(shape, alpha):
    inputs = layer(shape, features=2, vocabulary=4)
    if alpha == "tensor":
        inputs = (*inputs, torch.tensor(1.3, dtype=torch.float64, requires_grad=True))
    tokens = torch.arange(shape[0]) % 4

    def f(hidden, weight, bias, order=alpha):
        return tuple(linear_entropy(hidden, weight, order, bias=bias, tokens=tokens, chunk=1))

    assert torch.autograd.gradcheck(f, inputs)
    if alpha != math.inf:
        assert torch.autograd.gradgradcheck(f, inputs)


def test_only_what_is_asked_for():
    """Gradients of some inputs alone, and of some results alone."""
    tokens = some_tokens((3, 4))
    for chosen in range(3):
        inputs = [x.detach() for x in layer((3, 4))]
        inputs[chosen].requires_grad_()
        hidden, weight, bias = inputs
        for result in range(3):
            got = linear_entropy(hidden, weight, 1.7, bias=bias, tokens=tokens, chunk=2)[result]
            want = direct(hidden, weight, 1.7, bias=bias, tokens=tokens)[result]
            compare((inputs[chosen],), (got,), (want,))
    assert not linear_entropy(*(x.detach() for x in layer((3,))[:2]), 1.7).requires_grad


def test_states_without_gradients(monkeypatch):
    """Where no gradient can follow, the state is not the full one, which costs more."""
    asked = []
    state_of = _states.state_of
    monkeypatch.setattr(_states, "state_of", lambda *a, full, **k: asked.append(full) or state_of(*a, full=full, **k))
    inputs = layer((3,))[:2]
    linear_entropy(*inputs, 1.7)
    with torch.no_grad():
        linear_entropy(*inputs, 1.7)
    assert asked == [True, False]


@pytest.mark.parametrize("ignored", [-100, 3])
@pytest.mark.parametrize("chunk", [1, None])
def test_positions_without_a_token(ignored, chunk):
    """All results are 0, without gradients, whatever is there; the other positions are as they were."""
    hidden, weight, _ = layer((4,))
    tokens, options = torch.tensor([ignored, 4, ignored, 0]), {"ignore_index": ignored, "chunk": chunk}
    keep, alpha = tokens != ignored, torch.tensor([0.5, 1.0, math.inf, 1.7], dtype=torch.float64, requires_grad=True)
    padded = torch.where(keep[:, None], hidden, math.nan)
    found = linear_entropy(padded, weight, alpha, tokens=tokens, **options)
    whole = linear_entropy(hidden[keep], weight, alpha[keep], tokens=tokens[keep], chunk=chunk)
    for part, want in zip(found, whole, strict=True):
        assert part[~keep].tolist() == [0.0, 0.0]
        torch.testing.assert_close(part[keep], want)
    inputs = hidden, weight, alpha
    got, want = (
        torch.autograd.grad(sum(part.sum() for part in all_), inputs, create_graph=True) for all_ in (found, whole)
    )
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)
    assert not got[0][~keep].any()
    twice = [torch.autograd.grad(each[0].square().sum(), weight)[0] for each in (got, want)]
    torch.testing.assert_close(*twice)


def test_positions_without_a_token_are_left_out_of_the_products(monkeypatch):
    hidden, weight, _ = layer((40,))
    rows = []
    head_entropy = _linear.head_entropy
    monkeypatch.setattr(
        _linear, "head_entropy", lambda head, x, *rest: rows.append(len(x)) or head_entropy(head, x, *rest)
    )
    for kept in (40, 7, 0):
        tokens = torch.where(torch.arange(40) < kept, 3, -100)
        results = linear_entropy(hidden, weight, 2.0, tokens=tokens)
        gradient = torch.autograd.grad(sum(part.sum() for part in results), hidden)[0]
        assert int(gradient.any(-1).sum()) == kept
    assert rows == [40, 7, 0]


@pytest.mark.parametrize("token", [-1, VOCABULARY, -101])
def test_token_outside_of_the_vocabulary(token):
    hidden, weight, _ = layer((3,))
    message = f"`tokens` must be from 0 to {VOCABULARY - 1} or `ignore_index`, -100; got {token}"
    with pytest.raises(IndexError, match=message):
        linear_entropy(hidden, weight, 2.0, tokens=torch.tensor([-100, token, 4]))


def test_token_that_is_masked():
    inputs = layer((3,))
    hidden, weight, bias = inputs
    options = {"bias": bias, "tokens": torch.tensor([0, 1, 2]), "where": torch.arange(VOCABULARY) != 1}
    got, want = linear_entropy(hidden, weight, 1.7, **options), direct(hidden, weight, 1.7, **options)
    assert got.log_prob[1] == -math.inf
    compare(inputs, got[1:2], want[1:2])


def test_rows_of_nothing_and_of_nan():
    hidden, weight, _ = layer((4,))
    where = torch.zeros(VOCABULARY, dtype=torch.bool)
    assert linear_entropy(hidden, weight, 1.7, where=where).isnan().all()
    hidden = torch.where(torch.tensor([[False], [True], [False], [False]]), math.nan, hidden.detach())
    assert linear_entropy(hidden, weight, 1.7, chunk=1).isnan().tolist() == [False, True, False, False]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(20,), (200,)])
def test_half_precision(shape, dtype, device):
    """As in float32 on the logits that the layer has in half precision; sums lose no more than a rounding."""
    inputs = layer(shape, device, dtype, features=16, vocabulary=100)
    hidden, weight, bias = inputs
    logits = torch.nn.functional.linear(hidden, weight, bias)
    tokens = torch.arange(shape[0], device=device) % 100
    for alpha in (0.5, 1.0, 2.0, math.inf):
        got = linear_entropy(hidden, weight, alpha, bias=bias, tokens=tokens, chunk=3)
        assert [result.dtype for result in got] == [torch.float32] * 3
        z = logits.detach().float().requires_grad_()
        log_prob = torch.log_softmax(z, -1)[torch.arange(shape[0]), tokens]
        want = renyi.entropy_from_logits(z, alpha), log_prob, z.logsumexp(-1)
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
        (of_logits,) = torch.autograd.grad(sum(part.sum() for part in want), z)
        wanted = of_logits @ weight.float(), of_logits.T @ hidden.float(), of_logits.sum(0)
        gradients = torch.autograd.grad(sum(part.sum() for part in got), inputs)
        for gradient, other, x in zip(gradients, wanted, inputs, strict=True):
            assert gradient.dtype == x.dtype == dtype
            error = (gradient.float() - other).norm() / other.norm()
            assert error < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("shape", [(64,), (1200,)])
def test_sums_over_tiles_are_in_float32(shape, device):
    """Of many tiles, where sums in bfloat16 lose digits: whichever side is cut."""
    dtype = torch.bfloat16
    inputs = [x.detach() for x in layer(shape, device, dtype, features=4, vocabulary=1000)[:2]]
    inputs[0].abs_()
    inputs[1].abs_()
    hidden, weight = (x.requires_grad_() for x in inputs)
    chunk = 1
    gradients = torch.autograd.grad(linear_entropy(hidden, weight, 2.0, chunk=chunk).sum(), inputs)
    z = torch.nn.functional.linear(hidden, weight).detach().float()
    of_logits = renyi.grad(renyi.entropy_from_logits)(z, 2.0)
    # the cut side's sum over the tiles, as bfloat16 has it
    rough, want = torch.zeros_like(inputs[1] if shape[0] > 1000 else inputs[0]), None
    if shape[0] > 1000:
        want = of_logits.T @ hidden.float()
        for k in range(shape[0]):
            rough += of_logits[k, :, None].to(dtype) * hidden[k].detach()
        got = gradients[1]
    else:
        want = of_logits @ weight.float()
        for k in range(0, 1000, 15):
            rough += of_logits[:, k : k + 15].to(dtype) @ weight[k : k + 15].detach()
        got = gradients[0]
    error, rough_error = ((x.float() - want).norm() / want.norm() for x in (got, rough))
    assert error < torch.finfo(dtype).eps
    assert rough_error > 2 * error


class Largest(TorchDispatchMode):
    """Records the largest number of elements, and of bytes, that a new tensor has."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor):
                # views of an argument that is there anyway, such as its expansion, take no room
                size = value.element_size()
                self.elements = max(self.elements, value.untyped_storage().nbytes() // size)
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "agnostic"])
@pytest.mark.parametrize(("tokens", "vocabulary"), [(100, 400), (400, 100)])
def test_logits_are_never_stored(tokens, vocabulary, blocks, dtype, monkeypatch):
    if not blocks:
        monkeypatch.setattr(_blocks, "blocks", None)
    inputs = layer((tokens,), dtype=dtype, features=8, vocabulary=vocabulary)
    hidden, weight, bias = inputs
    chosen = torch.zeros(tokens, dtype=torch.int64)
    chunk = 9
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    orders = 1.0, 1.7, torch.tensor(1.3, requires_grad=True), (0.5, 1.0, 2.0)
    for alpha, softcap in zip(orders, (None, 2.0, None, 2.0), strict=True):
        with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            results = linear_entropy(hidden, weight, alpha, bias=bias, tokens=chosen, chunk=chunk, softcap=softcap)
            sum(result.sum() for result in results).backward()
        assert largest.elements <= max(chunk * vocabulary, *(x.numel() for x in inputs)) < tokens * vocabulary / 10
    for x in inputs:
        kept.pop(x.untyped_storage().data_ptr())
    assert sum(kept.values()) <= 6 * tokens * (4 * 4 + 8 + 8 + 16)


def test_docstring():
    assert doctest.testmod(importlib.import_module("renyi_training.torch._linear")).failed == 0


def test_autocast():
    hidden, weight, bias = (numbers(s, k, dtype=torch.float32) for k, s in enumerate([(6, 16), (50, 16), (50,)]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = linear_entropy(hidden, weight, 1.7, bias=bias, chunk=2)
        want = renyi.entropy_from_logits(torch.nn.functional.linear(hidden, weight, bias), 1.7)
        double = linear_entropy(hidden.double(), weight.double(), 1.7)
        mixed = linear_entropy(hidden.bfloat16(), weight, 1.7, bias=bias, chunk=2)
    assert want.dtype == torch.bfloat16
    assert got.dtype == torch.float32
    assert double.dtype == torch.float64
    torch.testing.assert_close(got, want.float(), rtol=0.02, atol=0)
    torch.testing.assert_close(got, mixed)
    inputs = hidden, weight, bias
    for one, other in zip(*(torch.autograd.grad(v.float().sum(), inputs) for v in (got, want)), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_modules():
    """A head within a module, the gradient added to that of another loss."""
    head = torch.nn.Linear(FEATURES, VOCABULARY, dtype=torch.float64)
    hidden = numbers((3, 4, FEATURES), 0)
    tokens = some_tokens((3, 4))

    def loss(fused):
        if fused:
            entropy, log_prob, _ = linear_entropy(hidden, head.weight, 0.5, bias=head.bias, tokens=tokens)
        else:
            entropy, log_prob, _ = direct(hidden, head.weight, 0.5, head.bias, tokens)
        return -log_prob.mean() - 0.1 * entropy.mean() + head(hidden).square().mean()

    got, want = (torch.autograd.grad(loss(fused), (hidden, *head.parameters())) for fused in (True, False))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_compile():
    """The graph breaks around it, and the result is the same."""
    torch._dynamo.reset()
    inputs = layer((3, 4))[:2]
    f = torch.compile(lambda hidden, weight: 2 * linear_entropy(hidden * 2, weight, 1.7), backend="aot_eager")
    compare(inputs, (f(*inputs),), (2 * linear_entropy(inputs[0] * 2, inputs[1], 1.7),))


def test_strides():
    hidden, weight, bias = layer((4, 6))
    got = linear_entropy(hidden.transpose(0, 1), weight.t().contiguous().t(), 1.7, bias=bias[:1].expand(VOCABULARY))
    want = direct(hidden.transpose(0, 1), weight, 1.7, bias[:1].expand(VOCABULARY))
    compare((hidden, weight, bias), (got,), want)


def test_fake_and_meta_tensors():
    from torch._subclasses import FakeTensorMode

    def shapes(device):
        hidden = torch.empty(2, 3, FEATURES, device=device, requires_grad=True)
        weight = torch.empty(VOCABULARY, FEATURES, device=device, requires_grad=True)
        tokens = torch.empty(2, 3, dtype=torch.int64, device=device)
        results = linear_entropy(hidden, weight, 1.7, tokens=tokens, chunk=1)
        gradients = torch.autograd.grad(sum(result.sum() for result in results), (hidden, weight))
        return [tuple(x.shape) for x in (*results, *gradients)]

    want = [(2, 3)] * 3 + [(2, 3, FEATURES), (VOCABULARY, FEATURES)]
    assert shapes("meta") == want
    with FakeTensorMode():
        assert shapes("cpu") == want


def test_same_bits():
    inputs = layer((50,))
    runs = [torch.autograd.grad(linear_entropy(*inputs[:2], 1.7, chunk=3).sum(), inputs[:2]) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


HIDDEN, WEIGHT = torch.randn(2, 3, FEATURES), torch.randn(VOCABULARY, FEATURES)


@pytest.mark.parametrize(
    ("error", "message", "hidden", "weight", "options"),
    [
        (TypeError, "`hidden` must have a real floating-point dtype", HIDDEN.long(), WEIGHT, {}),
        (TypeError, "`hidden` must be a torch tensor", [1.0], WEIGHT, {}),
        (TypeError, "`weight` must have the dtype of `hidden`", HIDDEN, WEIGHT.double(), {}),
        (TypeError, "`weight` must be a torch tensor", HIDDEN, WEIGHT.numpy(), {}),
        (TypeError, "`bias` must have the dtype of `hidden`", HIDDEN, WEIGHT, {"bias": WEIGHT[:, 0].double()}),
        (TypeError, "`tokens` must be a tensor of integers", HIDDEN, WEIGHT, {"tokens": torch.zeros(2, 3)}),
        (TypeError, "`tokens` must be a tensor of integers", HIDDEN, WEIGHT, {"tokens": torch.zeros(2, 3) > 0}),
        (TypeError, "`tokens` must be a tensor of integers", HIDDEN, WEIGHT, {"tokens": 3}),
        (TypeError, "`where` must have a boolean dtype", HIDDEN, WEIGHT, {"where": torch.ones(VOCABULARY)}),
        (TypeError, "`chunk` must be an integer", HIDDEN, WEIGHT, {"chunk": 2.0}),
        (TypeError, "`alpha` must be", HIDDEN, WEIGHT, {"alpha": "2"}),
        (ValueError, "`hidden` must have shape", torch.tensor(1.0), WEIGHT, {}),
        (ValueError, "`weight` must have shape", HIDDEN, WEIGHT[:, :3], {}),
        (ValueError, "`weight` must have shape", HIDDEN, WEIGHT[0], {}),
        (ValueError, "`weight` must have shape", HIDDEN, WEIGHT[:0], {}),
        (ValueError, "`bias` must have the shape of the vocabulary", HIDDEN, WEIGHT, {"bias": WEIGHT[:3, 0]}),
        (ValueError, "`tokens` of shape .3,. must have the shape", HIDDEN, WEIGHT, {"tokens": torch.zeros(3).long()}),
        (ValueError, "`where` must have the shape", HIDDEN, WEIGHT, {"where": torch.ones(3, VOCABULARY) > 0}),
        (ValueError, "`where` must have the shape", HIDDEN, WEIGHT, {"where": torch.ones(1) > 0}),
        (ValueError, "`chunk` must be at least 1", HIDDEN, WEIGHT, {"chunk": 0}),
        (ValueError, "`temperature` must be > 0", HIDDEN, WEIGHT, {"temperature": 0}),
        (ValueError, "`softcap` must be > 0", HIDDEN, WEIGHT, {"softcap": -30.0}),
        (ValueError, "`scale` must be finite", HIDDEN, WEIGHT, {"scale": math.inf}),
        (TypeError, "`temperature` must be", HIDDEN, WEIGHT, {"temperature": torch.tensor(1.0)}),
        (ValueError, "`alpha` must be >= 0", HIDDEN, WEIGHT, {"alpha": -0.5}),
        (ValueError, "`alpha` must hold at least one order", HIDDEN, WEIGHT, {"alpha": ()}),
        (TypeError, "`alpha` must be a number or a tuple", HIDDEN, WEIGHT, {"alpha": (1.0, torch.tensor(2.0))}),
        (TypeError, "`alpha` must be a number or an array", HIDDEN, WEIGHT, {"alpha": [1.0, [2.0]]}),
        (ValueError, "`alpha` of shape", HIDDEN, WEIGHT, {"alpha": torch.ones(5)}),
        (ValueError, "`alpha` of shape", HIDDEN, WEIGHT, {"alpha": torch.ones(4, 2, 3)}),
    ],
)
def test_errors(error, message, hidden, weight, options):
    alpha = options.get("alpha", 2.0)
    rest = {name: value for name, value in options.items() if name != "alpha"}
    with pytest.raises(error, match=message):
        linear_entropy(hidden, weight, alpha, **rest)


@pytest.mark.parametrize("alpha", [0.5, 1.0, math.inf, torch.tensor(1.7, dtype=torch.float64), (0.5, 2.0)])
@pytest.mark.parametrize("cut", [2, 64])
def test_tokens_that_do_not_count(alpha, cut):
    """Padding of NaN and +inf that a loss leaves out: the gradients are those without it."""
    generator = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (6, 11))
    keep = torch.tensor([True, False, True, False, True, True])
    tokens = torch.arange(6)

    def gradients(hidden, tokens, keep):
        leaves = [x.clone().requires_grad_() for x in (hidden, weight)]
        order = alpha.clone().requires_grad_() if isinstance(alpha, torch.Tensor) else alpha
        found = linear_entropy(*leaves, order, tokens=tokens, chunk=cut)
        sum(torch.where(keep.reshape(-1, *(1,) * (part.ndim - 1)), part, 0.0).sum() for part in found).backward()
        return [x.grad for x in (*leaves, *([order] if isinstance(alpha, torch.Tensor) else []))]

    padded = rows.clone()
    padded[1], padded[3, 0] = math.nan, math.inf
    got = gradients(padded, tokens, keep)
    want = gradients(rows[keep], tokens[keep], keep[keep])
    torch.testing.assert_close(got[0][keep], want[0])
    assert not got[0][~keep].any()
    torch.testing.assert_close(got[1:], want[1:])
