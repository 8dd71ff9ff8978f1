"""Terms of a loss in use: schedules, compilers, what their names promise, and that they train."""

from __future__ import annotations

import math

import numpy as np
import oracle_terms as oracle
import pytest
from term_cases import ALL, PAIRS, TERMS, arrays, close

import renyi_core as renyi
from renyi_core.regularizers import (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
    state_entropy_reward,
)


def test_schedules_under_compilation(backend):
    """Coefficient, order and sum as traced arrays: one compilation for a whole schedule."""
    if backend.library not in {"jax", "torch"}:
        pytest.skip("nothing is compiled")
    traces = []

    def loss(x, sample_weight, weight, alpha):
        traces.append(1)
        term = EntropyBonus(weight=weight, alpha=alpha) + 0.5 * BalanceTerm()
        return renyi.value_and_grad(term)(x, sample_weight=sample_weight)

    if backend.library == "jax":
        compiled = backend.compiled(loss)
    else:
        import torch

        compiled = torch.compile(loss, backend="eager", fullgraph=True)
    for numbers in ((0.1, 0.5), (0.2, 2.0), (0.3, 1.0)):
        given = (oracle.X, oracle.WEIGHTS, *map(np.asarray, numbers))
        got = compiled(*map(backend.asarray, given))
        for part, want in zip(got, loss(*given), strict=True):
            close(backend, part, want, 64)
    if backend.compiles:
        # and three times on NumPy
        assert len(traces) == 4


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in {"bonus", "balance", "floor"} else pytest.mark.full) for n in ALL]
)
def test_traced_by_torch_compile(backend, name):
    if backend.library != "torch":
        pytest.skip("of torch alone")
    if name == "squashed":
        pytest.skip("torch warns of the cache of the quadrature's nodes")
    import torch

    term, given = ALL[name], arrays(backend, name)
    options = {"sample_weight": backend.asarray(oracle.WEIGHTS)} if name != "diversity" else {}
    if "where" in term.keywords:
        options["where"] = backend.asarray(oracle.WHERE)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: term(*args, **options), backend="eager", fullgraph=True)
    leaf = given[0].clone().requires_grad_()
    value = compiled(leaf, *given[1:])
    value.backward()
    close(backend, value.detach(), backend.numpy(term(*given, **options)))
    close(backend, leaf.grad, backend.numpy(renyi.grad(term)(*given, **options)))


def test_terms_are_static_arguments(backend):
    if backend.library != "jax":
        pytest.skip("of JAX alone")
    import jax

    f = jax.jit(lambda term, x: term(x), static_argnums=0)
    x = backend.asarray(oracle.X)
    for weight in (1.0, 2.0):
        got = float(f(EntropyBonus(alpha=2.0, weight=weight), x))
        assert got == pytest.approx(weight * oracle.exact("bonus", 2.0, masked=False)[0], rel=1e-5)


def test_rows_of_unknown_number(backend):
    """Dask does not know how many rows a mask leaves, and nothing is computed to find out."""
    if backend.library != "dask":
        pytest.skip("of Dask alone")
    all_rows = backend.asarray(np.ones(5, dtype=bool))
    x, y, w = (backend.asarray(v)[all_rows] for v in (oracle.X, oracle.Y, oracle.WEIGHTS))
    assert not all(isinstance(n, int) for n in x.shape)
    for name in ("bonus", "floor", "smoothing", "forward", "gaussian", "balance", "information"):
        term, given = TERMS[name], (x, y) if name in PAIRS else (x,)
        for options in [{"sample_weight": w}, {}][: 2 if name in {"bonus", "balance"} else 1]:
            known = {"sample_weight": oracle.WEIGHTS} if options else {}
            want = renyi.value_and_grad(term)(*(oracle.X, oracle.Y)[: len(given)], **known)
            for got, part in zip(renyi.value_and_grad(term)(*given, **options), want, strict=True):
                close(backend, got, np.asarray(part))


def test_gradients_of_weights_and_orders_by_torch(backend):
    """A coefficient or an order that is learned is differentiated through."""
    if backend.library != "torch":
        pytest.skip("of torch alone")
    x = backend.asarray(oracle.X)
    weight, alpha = (backend.asarray(np.asarray(number)).requires_grad_() for number in (0.5, 2.0))
    EntropyBonus(weight=weight, alpha=alpha)(x).backward()
    for wrt, leaf in (("weight", weight), ("alpha", alpha)):
        want = renyi.grad(EntropyBonus(weight=0.5, alpha=2.0), wrt)(x)
        close(backend, leaf.grad, backend.numpy(want))


def test_label_smoothing_is_what_it_is_called(backend):
    """Cross-entropy with smoothed targets is (1 − ε) CE + ε D_1(u‖p) + ε log n, to the last digits."""
    if backend.compiles:
        pytest.skip("nothing in it is of the library")
    eps, labels = 0.1, np.asarray([0, 1, 2, 3, 0])
    x = oracle.X
    log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    one_hot = np.eye(4)[labels]
    smoothed = -(((1 - eps) * one_hot + eps / 4) * log_p).sum(-1).mean()
    hard = -(one_hot * log_p).sum(-1).mean()
    term = LabelSmoothing(weight=eps)(backend.asarray(x))
    close(backend, term, smoothed - (1 - eps) * hard - eps * math.log(4), 128)
    if backend.library == "torch":
        import torch

        own = torch.nn.functional.cross_entropy(torch.asarray(x), torch.asarray(labels), label_smoothing=eps)
        assert float(own) == pytest.approx((1 - eps) * hard + float(term) + eps * math.log(4), rel=1e-14)


def test_penalty_and_bonus_differ_by_log_n(backend):
    if backend.compiles:
        pytest.skip("nothing in it is of the library")
    options = {"where": backend.asarray(oracle.WHERE), "sample_weight": backend.asarray(oracle.WEIGHTS)}
    x = backend.asarray(np.where(oracle.WHERE, oracle.X, -math.inf))
    penalty = renyi.value_and_grad(ConfidencePenalty(alpha=2.0))(x, **options)
    bonus = renyi.value_and_grad(EntropyBonus(alpha=2.0))(x, **options)
    w = np.where(oracle.WHERE.any(-1), oracle.WEIGHTS, 0)
    log_n = np.log(np.maximum(oracle.WHERE.sum(-1), 1)) @ w / w.sum()
    close(backend, penalty[0], log_n + backend.numpy(bonus[0]))
    close(backend, penalty[1], backend.numpy(bonus[1]))


def skip_where_slow(backend):
    if backend.slow:
        pytest.skip("hundreds of steps, which NumPy and torch take in no time")


def descend(backend, term, *given, steps=60, rate=1.0, **options):
    """Return the first array after steps of gradient descent on the term alone, its others fixed."""
    f = backend.compiled(renyi.grad(term))
    x, *others = given
    for _ in range(steps):
        x = x - rate * f(x, *others, **options)
    return x


def measured(backend, f, *args, **options):
    return float(np.mean(backend.numpy(f(*args, **options))))


TRAINED = {
    "bonus": (EntropyBonus(alpha=2.0), lambda x, _: renyi.entropy_from_logits(x, 2.0), 1),
    "confidence": (ConfidencePenalty(alpha=0.5), lambda x, _: renyi.entropy_from_logits(x, 0.5), 1),
    "smoothing": (LabelSmoothing(), lambda x, _: renyi.entropy_from_logits(x, 1.0), 1),
    "forward": (DivergenceTerm(alpha=2.0), lambda x, y: renyi.divergence_from_logits(x, y, 2.0), -1),
    "reverse": (DivergenceTerm(direction="reverse"), lambda x, y: renyi.divergence_from_logits(y, x, 1.0), -1),
    "information": (InformationTerm(), lambda x, _: renyi.entropy_from_logits(x, 1.0), -1),
    "gaussian": (GaussianEntropyBonus(), lambda x, _: x, 1),
    "diversity": (DiversityTerm(bandwidth=2.0), lambda x, _: renyi.kernel_entropy(x, 2, bandwidth=2.0), 1),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_moves_what_the_term_says(backend, name):
    if name != "bonus":
        skip_where_slow(backend)
    term, f, sign = TRAINED[name]
    given = arrays(backend, name)
    steps = 3 if backend.library == "dask" else 60
    after = descend(backend, term, *given, steps=steps, rate=0.5)
    reference = given[-1]
    before_and_after = measured(backend, f, given[0], reference), measured(backend, f, after, reference)
    assert sign * (before_and_after[1] - before_and_after[0]) > (1e-3 if steps == 3 else 0.05), before_and_after


def test_training_presses_up_to_the_floor_alone(backend):
    skip_where_slow(backend)
    term = EntropyFloor(target=0.8, relative=True, reduction="sum")
    x = backend.asarray(oracle.X)
    before = backend.numpy(renyi.entropy_from_logits(x, 1.0))
    after = backend.numpy(renyi.entropy_from_logits(descend(backend, term, x, steps=200, rate=0.1), 1.0))
    low = before < 0.8 * math.log(4)
    assert low.any()
    assert not low.all()
    np.testing.assert_array_equal(after[~low], before[~low])
    # a step past the target is the last
    np.testing.assert_allclose(after[low], 0.8 * math.log(4), atol=0.05)


def test_training_balances_a_batch_and_leaves_rows_sure(backend):
    skip_where_slow(backend)
    x = np.zeros((8, 4))
    x[:, 0], x[:, 1] = 3.0, np.linspace(-1, 1, 8)

    def at_mean(x):
        p = np.exp(x - np.logaddexp.reduce(x, axis=-1, keepdims=True))
        return renyi.entropy(p.mean(0), 1.0)

    for term in (BalanceTerm(), InformationTerm() + BalanceTerm()):
        after = backend.numpy(descend(backend, term, backend.asarray(x), steps=200, rate=2.0))
        assert at_mean(after) > at_mean(x) + 0.3


class TestStateEntropyReward:
    COUNTS = np.asarray([[8, 4, 2, 1, 1], [3, 3, 3, 3, 3]])

    def test_is_the_derivative(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        d = self.COUNTS / self.COUNTS.sum(-1, keepdims=True)
        for alpha in (0.5, 1.0, 2.0):
            got = state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), alpha)
            if alpha == 1:
                want = -np.log(d) + (d * np.log(d)).sum(-1, keepdims=True)
            else:
                want = alpha / (1 - alpha) * (d ** (alpha - 1) / (d**alpha).sum(-1, keepdims=True) - 1)
            close(backend, got, want)
            close(backend, backend.asarray((d * backend.numpy(got)).sum(-1)), np.zeros(2))
        commonest = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), math.inf))
        np.testing.assert_allclose(commonest, [[-1, 1, 1, 1, 1], [0] * 5], atol=1e-6)
        assert (backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), 0.0)) == 0).all()

    def test_counts_axes_masks_and_orders(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        counts = backend.asarray(self.COUNTS)
        xp = backend.xp
        got = state_entropy_reward(counts, 0.5)
        default = xp.__array_namespace_info__().default_dtypes()["real floating"]
        assert got.dtype == default
        turned = state_entropy_reward(xp.permute_dims(counts, (1, 0)), 0.5, axis=0)
        np.testing.assert_allclose(backend.numpy(turned).T, backend.numpy(got), rtol=1e-6, atol=1e-6)
        alphas = backend.asarray(np.asarray([0.5, 2.0]))
        each = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), alphas))
        for k, alpha in enumerate((0.5, 2.0)):
            one = state_entropy_reward(backend.asarray(self.COUNTS[k].astype(float)), alpha)
            close(backend, backend.asarray(each[k]), backend.numpy(one))
        mask = np.asarray([True, True, False, True, True])
        masked = backend.numpy(state_entropy_reward(counts, 0.5, where=backend.asarray(mask)))
        kept = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS[:, mask]), 0.5))
        np.testing.assert_allclose(masked[:, mask], kept, rtol=1e-5, atol=1e-6)
        assert (masked[:, ~mask] == 0).all()

    def test_states_never_seen(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        counts = np.asarray([[4.0, 2, 0, 1], [0, 0, 0, 0]])
        x = backend.asarray(counts)
        for alpha in (0.5, 1.0):
            for order in (alpha, backend.asarray(np.asarray(alpha))):
                got = backend.numpy(state_entropy_reward(x, order))
                assert got[0, 2] == math.inf
                assert np.isfinite(got[0, [0, 1, 3]]).all()
                assert np.isnan(got[1]).all()
        got = backend.numpy(state_entropy_reward(x, 2.0))
        # α/(α − 1)
        assert got[0, 2] == pytest.approx(2.0)
        assert got[0].max() == got[0, 2]
        assert (backend.numpy(state_entropy_reward(x, 0.0))[0] == 0).all()
        smoothed = backend.numpy(state_entropy_reward(x, 0.5, smoothing=1))
        added = backend.numpy(state_entropy_reward(backend.asarray(counts + 1), 0.5))
        np.testing.assert_allclose(smoothed, added, rtol=1e-6, atol=1e-6)
        masked = backend.numpy(state_entropy_reward(x, 1.0, where=x > 0))
        assert masked[0, 2] == 0

    def test_what_it_refuses(self, backend):
        x = backend.asarray(np.ones((2, 3)))
        for smoothing in (-1, math.nan, math.inf):
            with pytest.raises(ValueError, match="`smoothing`"):
                state_entropy_reward(x, 1.0, smoothing=smoothing)
        for smoothing in ("1", None, True, backend.asarray(np.ones(()))):
            with pytest.raises(TypeError, match="`smoothing`"):
                state_entropy_reward(x, 1.0, smoothing=smoothing)
        for alpha in (-1, math.nan):
            with pytest.raises(ValueError, match="`alpha`"):
                state_entropy_reward(x, alpha)
        for counts in ([1, 2], None, 3.0):
            with pytest.raises(TypeError, match="`counts`"):
                state_entropy_reward(counts, 1.0)
        with pytest.raises(ValueError, match="`axis`"):
            state_entropy_reward(x, 1.0, axis=2)
        with pytest.raises(TypeError, match="`where`"):
            state_entropy_reward(x, 1.0, where=x)
