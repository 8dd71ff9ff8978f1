"""entropy_and_log_prob on the CPU: the results of separate calls, and one gradient of all of them."""

from __future__ import annotations

import functools
import math

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.5, 1.0, 1.7, 2.0, math.inf)


def make(dtype=torch.float64, shape=(3, 4, 7)):
    logits = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[0, 0, 3] = -math.inf
    tokens = torch.randint(0, shape[-1], shape[:-1], generator=torch.Generator().manual_seed(1))
    tokens[0, 0] = 2
    return logits.to(dtype), tokens


def statistics(*args, **kwargs):
    from renyi_training.torch import entropy_and_log_prob

    return entropy_and_log_prob(*args, **kwargs)


def directly(logits, orders, tokens, where=None):
    """The same by separate calls, as people write them."""
    z = logits if where is None else torch.where(where, logits, -math.inf)
    entropy = torch.stack([renyi.entropy_from_logits(logits, alpha, where=where) for alpha in orders], -1)
    log_prob = torch.log_softmax(z, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return entropy, log_prob, torch.logsumexp(z, -1)


@pytest.mark.parametrize("masked", [False, True])
def test_results_and_gradient(masked):
    logits, tokens = make()
    where = torch.arange(7) != 5 if masked else None
    tokens = torch.where(tokens == 5, 4, tokens)
    weights = torch.randn(3, 4, len(ORDERS) + 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = []
    results = []
    for function in (statistics, directly):
        leaf = logits.clone().requires_grad_()
        found = function(leaf, ORDERS, tokens, where=where)
        packed = torch.cat([found[0], found[1].unsqueeze(-1), found[2].unsqueeze(-1)], -1)
        (packed * weights).sum().backward()
        results.append(packed.detach())
        gradients.append(leaf.grad)
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-13)
    assert (gradients[0][0, 0, 3] == 0).all()


def test_one_order_and_no_tokens():
    logits, _ = make()
    found = statistics(logits, 1.7)
    assert found.log_prob is None
    torch.testing.assert_close(found.entropy, renyi.entropy_from_logits(logits, 1.7))
    assert found.entropy.shape == found.log_sum_exp.shape == (3, 4)


@pytest.mark.parametrize(("ignored", "compiled"), [(-100, False), (2, False), (-100, True)])
def test_positions_without_a_token(ignored, compiled):
    """As in language models' labels, −100: all is 0 without a gradient, and the other rows as they were."""
    logits, tokens = make()
    tokens[1, 2] = ignored
    leaf, again = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    call = functools.partial(statistics, ignore_index=ignored, temperature=0.7)
    call = torch.compile(call, fullgraph=True, backend="aot_eager") if compiled else call
    found, keep = call(leaf, (2.0,), tokens), tokens != ignored
    wanted = directly(again / 0.7, (2.0,), torch.where(keep, tokens, 0))
    for got, want in zip(found, wanted, strict=True):
        assert got[~keep].count_nonzero() == 0
        torch.testing.assert_close(got[keep], want[keep])
    sum(got.sum() for got in found).backward()
    sum(want[keep].sum() for want in wanted).backward()
    torch.testing.assert_close(leaf.grad, again.grad)
    assert not leaf.grad[~keep].any()


def test_tokens_that_are_not_there():
    """An error where they can be read; NaN where they cannot, and 8 bits are wide enough for −100."""
    logits, tokens = make()
    for token in (-1, logits.shape[-1], -99):
        wrong = tokens.clone()
        wrong[1, 2] = token
        with pytest.raises(IndexError, match=f"`tokens` must be from 0 to {logits.shape[-1] - 1} .*; got {token}"):
            statistics(logits, 2.0, wrong)
        compiled = torch.compile(statistics, fullgraph=True, backend="aot_eager")
        assert compiled(logits, 2.0, wrong).log_prob.isnan().nonzero().tolist() == [[1, 2]]
    few = torch.full(tokens.shape, 1, dtype=torch.uint8)
    torch.testing.assert_close(statistics(logits, 2.0, few), statistics(logits, 2.0, few.long()))
    many = torch.zeros(3, 200)
    found = statistics(many, 2.0, torch.full((3,), 156, dtype=torch.uint8)).log_prob
    torch.testing.assert_close(found, many[:, 0] - math.log(200))
    assert statistics(many[:0], 2.0, few.new_zeros(0)).log_prob.shape == (0,)
    one = torch.func.vmap(lambda z, token: statistics(z, 2.0, token).log_prob)(logits[0], tokens[0])
    torch.testing.assert_close(one, statistics(logits[0], 2.0, tokens[0]).log_prob)


def test_derivatives():
    logits, tokens = make(shape=(2, 1, 4))
    logits[0, 0, 3] = 0.5
    logits.requires_grad_()

    def f(z):
        found = statistics(z, (0.5, 1.0, 2.0), tokens)
        return found.entropy, found.log_prob, found.log_sum_exp

    assert torch.autograd.gradcheck(f, logits)
    assert torch.autograd.gradgradcheck(f, logits)


def test_under_compile():
    logits, tokens = make()
    compiled = torch.compile(lambda z: statistics(z, (1.0, 2.0), tokens), fullgraph=True, backend="aot_eager")
    for got, want in zip(compiled(logits), statistics(logits, (1.0, 2.0), tokens), strict=True):
        torch.testing.assert_close(got, want)


def test_half_precision_is_summed_in_float32():
    logits, tokens = make(torch.bfloat16)
    found = statistics(logits, (1.0, 2.0), tokens)
    assert {part.dtype for part in found} == {torch.float32}
    for got, want in zip(found, statistics(logits.float(), (1.0, 2.0), tokens), strict=True):
        # the entropies pass through the dtype of the blocks' results
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_bad_input():
    logits, tokens = make()
    cases = [
        (TypeError, "`logits`", (logits.long(), 2.0)),
        (TypeError, "`alpha`", (logits, torch.tensor(2.0))),
        (ValueError, "`alpha`", (logits, ())),
        (ValueError, "`alpha`", (logits, (2.0, -1.0))),
        (TypeError, "`tokens`", (logits, 2.0, tokens.double())),
        (TypeError, "`tokens`", (logits, 2.0, 3)),
        (TypeError, "`tokens`", (logits, 2.0, tokens == 0)),
        (ValueError, "`tokens`", (logits, 2.0, tokens[0])),
    ]
    for error, message, args in cases:
        with pytest.raises(error, match=message):
            statistics(*args)
