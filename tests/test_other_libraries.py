"""The page on other libraries: each of its rows says what renyi-core does, and a test here shows it."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import numpy as np
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "torch")
pytestmark = pytest.mark.usefixtures("backend")
PAGE = Path(__file__).parent.parent / "docs" / "other_libraries.md"
P, Q = (0.5, 0.25, 0.25), (0.25, 0.5, 0.25)
SKBIO = "skbio.diversity.alpha"
FLOATS = ("float32", "float64")
IN_BITS = {
    "entropy": (P,),
    "entropy_from_logits": (P,),
    "divergence": (P, Q),
    "divergence_from_logits": (P, Q),
    "cross_entropy": (P, Q),
    "cross_entropy_from_logits": (P, Q),
    "jensen_divergence": ((P, Q),),
    "jensen_divergence_from_logits": ((P, Q),),
    "mutual_information": ((P, Q),),
    "conditional_entropy": ((P, Q),),
    "gaussian_entropy": (((2.0, 0.5), (0.5, 1.0)),),
    "gamma_entropy": ((2.0,), (3.0,)),
    "beta_entropy": ((2.0,), (3.0,)),
    "dirichlet_entropy": (P,),
    "laplace_entropy": ((2.0,),),
    "exponential_entropy": ((2.0,),),
    "uniform_entropy": ((2.0,),),
}


ROWS = []
"""How the rows begin that have a test."""


def row(start):
    """Say which row of the page a test is of."""
    ROWS.append(start)
    return lambda test: test


def of(backend, values, dtype="float64"):
    return backend.asarray(np.asarray(values), dtype)


def test_every_row_has_its_test():
    tables = PAGE.read_text(encoding="utf-8").split("\n## ")
    moves, *others = ([line[2:] for line in part.splitlines() if line.startswith("| ")] for part in tables[1:])
    cells = [cell for part in others for cell in part[2:]]
    assert len(moves) - 2 == len(MOVES)
    assert len(cells) == len(ROWS)
    assert all(sum(cell.startswith(start) for cell in cells) == 1 for start in ROWS)


def by_torch(name, *logits):
    """Return what torch.distributions has, of Categorical distributions."""

    def found(torch):
        of_logits = [torch.distributions.Categorical(logits=torch.tensor(one)) for one in logits]
        return of_logits[0].entropy() if name == "entropy" else torch.distributions.kl_divergence(*of_logits)

    return found


IN_NATS, CLOSE, ORDER_2 = 1.5 * math.log(2), 0.25 * math.log(2), math.log(8 / 3)
COUNTS = (2, 1, 1)
MOVES = {
    "torch entropy": ("torch", by_torch("entropy", np.log(P)), renyi.entropy_from_logits, (np.log(P),), 1, IN_NATS),
    "torch kl_divergence": (
        "torch",
        by_torch("kl_divergence", np.log(P), np.log(Q)),
        renyi.divergence_from_logits,
        (np.log(P), np.log(Q)),
        1,
        CLOSE,
    ),
    "scipy entropy": ("scipy.stats", lambda scipy: scipy.entropy(P), renyi.entropy, (P,), 1, IN_NATS),
    "scipy divergence": ("scipy.stats", lambda scipy: scipy.entropy(P, Q), renyi.divergence, (P, Q), 1, CLOSE),
    "renyi": (SKBIO, lambda skbio: skbio.renyi(COUNTS, order=2), renyi.entropy, (COUNTS,), 2, ORDER_2),
    "hill": (SKBIO, lambda skbio: skbio.hill(COUNTS, order=2), renyi.hill_number, (COUNTS,), 2, 8 / 3),
    "tsallis": (SKBIO, lambda skbio: skbio.tsallis(COUNTS, order=2), renyi.tsallis_entropy, (COUNTS,), 2, 5 / 8),
    # of two equal scores, where the entropies choose alike
    "entmax": (
        "entmax",
        lambda entmax: entmax.sparsemax(importlib.import_module("torch").zeros(2))[0],
        lambda scores, alpha: renyi.regularized_argmax(scores, alpha)[0],
        ((0, 0),),
        2,
        1 / 2,
    ),
    "dit": (
        "dit.other",
        lambda other: other.renyi_entropy(importlib.import_module("dit").Distribution(["a", "b", "c"], list(P)), 2),
        lambda p, alpha: renyi.entropy(p, alpha, base=2),
        (P,),
        2,
        math.log2(8 / 3),
    ),
    "infomeasure": (
        "infomeasure",
        lambda infomeasure: infomeasure.entropy([0, 0, 1, 2], approach="discrete"),
        lambda counts, alpha: renyi.entropy_from_counts(counts, alpha).value,
        (COUNTS,),
        1,
        IN_NATS,
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(backend, name):
    library, theirs, ours, arrays, alpha, want = MOVES[name]
    assert float(ours(*(of(backend, one) for one in arrays), alpha)) == pytest.approx(want, rel=1e-12)
    assert float(theirs(pytest.importorskip(library))) == pytest.approx(want, rel=1e-6)


@row("The unit changes at α = 1")
@pytest.mark.parametrize("name", IN_BITS)
def test_units(backend, name):
    arrays = [of(backend, one) for one in IN_BITS[name]]
    function = getattr(renyi, name)
    limit = backend.numpy(function(*arrays, 1))
    for alpha in (0.5, 1 - 1e-12, 1, 1 + 1e-12, 2):
        nats, bits = (backend.numpy(function(*arrays, alpha, base=base)) for base in (None, 2))
        np.testing.assert_allclose(bits, nats / math.log(2), rtol=1e-12)
        if 0 < abs(alpha - 1) < 0.1:
            np.testing.assert_allclose(nats, limit, rtol=1e-10)


@row("Some divergences come with a minus sign")
@pytest.mark.parametrize("name", ["divergence", "tsallis_divergence", "alpha_divergence"])
def test_signs(backend, name):
    values = [float(getattr(renyi, name)(of(backend, P), of(backend, Q), alpha)) for alpha in (0.5, 0.999, 1, 1.001, 2)]
    assert min(values) > 0.05
    assert values[1:4] == pytest.approx([values[2]] * 3, rel=0.01)


@row("The entropy of a column")
def test_values_are_weights(backend):
    _, counts = np.unique([-1, 1, -1, 3], return_counts=True)
    for weights in ((0.5, 0.25, 0.25), (0.5, 0, 0.25, 0.25), 40.0 * counts[::-1]):
        assert float(renyi.entropy(of(backend, weights), 1)) == pytest.approx(IN_NATS, rel=1e-12)


@row("One argument is read as weights")
def test_two_names(backend):
    weights = np.asarray([1.0, 2, 3])
    for alpha in (0.5, 1, 2):
        ours = float(renyi.entropy(of(backend, weights), alpha))
        assert ours == pytest.approx(float(renyi.entropy_from_logits(of(backend, np.log(weights)), alpha)), rel=1e-12)
        assert ours != pytest.approx(float(renyi.entropy_from_logits(of(backend, weights), alpha)), rel=0.01)


@row("Digits are lost next to α = 1")
def test_next_to_one(backend):
    for alpha in (1 - 1e-12, 1 - 1e-15, 1 + 1e-15, 1 + 1e-12):
        assert float(renyi.entropy(of(backend, P), alpha)) == pytest.approx(IN_NATS, rel=2e-12)


@row("At α = 1 the choice is uniform")
def test_softmax(backend):
    scores = np.asarray([0.0, 1, 2])
    chosen = backend.numpy(renyi.regularized_argmax(of(backend, scores), 1))
    np.testing.assert_allclose(chosen, np.exp(scores) / np.exp(scores).sum(), rtol=1e-12)


@row("An order of `math.inf` is NaN")
def test_infinite_order(backend):
    gram = of(backend, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert float(renyi.vendi_score(gram, math.inf)) == pytest.approx(1.5)
    assert float(renyi.hill_number(of(backend, P), math.inf)) == pytest.approx(2)


@row("One probability of 0")
def test_zero(backend):
    p = of(backend, [0.5, 0.5, 0])
    for alpha in (0.5, 1, 2):
        value, gradient = renyi.value_and_grad(renyi.entropy)(p, alpha)
        assert float(value) == pytest.approx(math.log(2))
        assert np.isfinite(backend.numpy(gradient)).all()


@row("An outcome that both distributions lack")
@pytest.mark.parametrize("wrt", [0, 1])
def test_both_lack(backend, wrt):
    p, q = of(backend, [0, 1, -math.inf]), of(backend, [1, 0, -math.inf])
    value, gradient = renyi.value_and_grad(renyi.divergence_from_logits, wrt=wrt)(p, q, 1)
    # tanh(1/2), by hand
    assert float(value) == pytest.approx(math.tanh(0.5))
    assert np.isfinite(backend.numpy(gradient)).all()
    if backend.library == "torch":
        p.requires_grad_()
        renyi.divergence_from_logits(p, q, 1).backward()
        assert p.grad.isfinite().all()
        assert p.grad[2] == 0


@row("A row with everything masked")
def test_all_masked(backend):
    logits, allowed = of(backend, [[0, 1, 2], [0, 1, 2]]), of(backend, [[1, 1, 0], [0, 0, 0]]) > 0
    found = backend.numpy(renyi.entropy_from_logits(logits, 1, where=allowed))
    assert found[0] == pytest.approx(0.582203)
    assert np.isnan(found[1])
    term = renyi.regularizers.EntropyBonus(alpha=1)
    real = of(backend, [1, 0])
    assert float(term(logits, where=allowed, sample_weight=real)) == pytest.approx(-0.582203)


@row("Probabilities are clipped")
def test_not_clipped(backend):
    assert float(renyi.divergence(of(backend, [0.5, 0.5]), of(backend, [1, 0]), 1)) == math.inf
    assert float(renyi.divergence(of(backend, [2, 2]), of(backend, [1, 3]), 1)) == pytest.approx(0.1438410)


@row("The derivative at p = 0")
def test_derivative_at_zero(backend):
    p = of(backend, [0.5, 0.5, 0])
    for alpha, want in ((0.5, 0), (1, 0), (2, 2)):
        assert float(renyi.grad(renyi.entropy)(p, alpha)[2]) == want


@row("In float16 an entropy is 0")
def test_half_precision(backend):
    weights = of(backend, np.ones(70_000), "float16")
    for alpha in (0.5, 1, 2):
        found = renyi.entropy(weights, alpha)
        assert found.dtype == weights.dtype
        assert float(found) == pytest.approx(math.log(70_000), abs=0.005)


@row("int32 counts overflow")
def test_counts(backend):
    counts = backend.asarray(np.asarray([2**30, 2**30, 2**30], np.int32))
    assert float(renyi.entropy_from_counts(counts, 2).value) == pytest.approx(math.log(3))
    with pytest.raises(TypeError, match="must have a real floating-point dtype"):
        renyi.entropy(counts, 2)


@row("A sum of ten million float32")
def test_ten_million(backend):
    weights = of(backend, np.broadcast_to(np.float32(0.1), 10_000_000), "float32")
    assert float(renyi.entropy(weights, 1)) == pytest.approx(math.log(10_000_000), rel=1e-6)


@row("A Beta, Dirichlet or Gamma distribution")
def test_concentrated(backend):
    n = of(backend, 1e7, "float32")
    # that of the normal distribution of variance 1/(4(2n + 1)), but for terms of order 1/n
    assert float(renyi.beta_entropy(n, n, 1)) == pytest.approx(-7.67983009, abs=1e-5)
    # from the same call in float64, which tests/test_dirichlet.py and tests/test_gamma.py hold to 80 digits
    assert float(renyi.dirichlet_entropy(of(backend, [1e5] * 4, "float32"), 1)) == pytest.approx(-17.8646116, abs=1e-5)
    many = of(backend, 1e6, "float32")
    assert float(renyi.gamma_entropy(many, many, 1)) == pytest.approx(-5.4888171, abs=1e-5)


@row("The distance of two equal rows")
def test_equal_rows(backend):
    logits = np.random.default_rng(0).normal(size=(50, 100))
    written = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    shifted /= shifted.sum(-1, keepdims=True)
    assert (written != shifted).any()
    found = backend.numpy(renyi.jensen_divergence(of(backend, np.stack([written, shifted], axis=1)), 1))
    assert found.min() >= 0
    assert found.max() < 1e-30


@row("A coin that is nearly certain")
@pytest.mark.parametrize("logit", [17, -17, 80])
def test_certain(backend, logit):
    logits = of(backend, [logit, 0], "float32")
    value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(logits, 1)
    q = math.exp(-abs(logit)) / (1 + math.exp(-abs(logit)))
    assert float(value) == pytest.approx(-q * math.log(q) - (1 - q) * math.log1p(-q), rel=1e-5)
    assert float(gradient[0]) == pytest.approx(-logit * q * (1 - q), rel=1e-5)


@row("A sparse choice does not sum to 1")
@pytest.mark.parametrize("shift", [0, 1e4, 1e6])
def test_shift(backend, shift):
    noise = np.random.default_rng(0).normal(size=(3, 200))
    scores = of(backend, noise + shift, "float32")
    chosen = backend.numpy(renyi.regularized_argmax(scores, 2))
    assert (chosen == 0).any()
    np.testing.assert_allclose(chosen.sum(-1), 1, rtol=1e-5)
    kept = backend.numpy(scores)
    less = of(backend, kept - kept.max(-1, keepdims=True), "float32")
    np.testing.assert_allclose(backend.numpy(renyi.regularized_argmax(less, 2)), chosen, atol=1e-6)


@row("A sparse choice is off by 0.17")
def test_large_order(backend):
    scores = np.random.default_rng(1).normal(size=(100, 10)).astype(np.float32)
    found, double = (backend.numpy(renyi.regularized_argmax(of(backend, scores, kind), 10)) for kind in FLOATS)
    np.testing.assert_allclose(found, double, atol=1e-6)


@row("Second derivatives of a sparse choice")
def test_second_derivatives(backend):
    if backend.library != "torch":
        pytest.skip("for torch")
    scores = of(backend, [2, 1, -3]).requires_grad_()
    chosen = renyi.regularized_argmax(scores, 1.5)
    (first,) = backend.xp.autograd.grad(chosen[0], scores, create_graph=True)
    (second,) = backend.xp.autograd.grad(first[0], scores)
    assert chosen[2] == 0
    assert second.isfinite().all()
    assert second[0] != 0


@row("A compiled function keeps the first exponents")
def test_compiled_orders(backend):
    """By the compiler's front end; tests/test_torch_compile_orders.py has its C++ as well."""
    if backend.library != "torch":
        pytest.skip("for torch")
    torch = importlib.import_module("torch")
    torch.compiler.reset()
    logits = of(backend, [[2, 1, -3], [0, 0, 1]])
    compiled = torch.compile(renyi.entropy_from_logits, backend="aot_eager")
    for alpha in (0.7, 1.5, 3.0):
        torch.testing.assert_close(compiled(logits, alpha), renyi.entropy_from_logits(logits, alpha))


@row("An exported graph has no backward pass")
def test_exported(backend):
    if backend.library != "torch":
        pytest.skip("for torch")
    torch = importlib.import_module("torch")

    class Entropy(torch.nn.Module):
        def forward(self, logits):
            return renyi.entropy_from_logits(logits, 1)

    graph = torch.export.export(Entropy(), (torch.zeros(1, 3),), strict=False).module()
    logits = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    graph(logits).sum().backward()
    want = renyi.grad(renyi.entropy_from_logits)(logits.detach(), 1)
    torch.testing.assert_close(logits.grad, want)
