"""What torch.export makes of gradients, of the linear head and of the modules."""

from __future__ import annotations

import pytest
from test_export import arrays, by_torch, check_gradient, function, gradient_of

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)


@pytest.mark.parametrize("name", ["divergence_from_logits", "regularized_max"])
def test_gradients_of_masked_logits(backend, name):
    """The graph has no backward pass of an ``autograd.Function``: torch differentiates what is left."""
    call = by_torch(function(name, 0.5), arrays(backend, name, 3, 6)).module()
    x, *rest = arrays(backend, name, 5, 6, seed=1)
    gradient = gradient_of(backend, lambda x: call(x, *rest), x)
    check_gradient(backend, name, gradient, x, *rest)


def hidden_and_tokens(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 3, generator=generator, requires_grad=True)
    return hidden, torch.arange(rows) % 6 - (torch.arange(rows) == 1).long()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("alpha", [1.5, None], ids=["number", "parameter"])
def test_linear_head(backend, alpha, strict):
    from renyi_training.torch import linear_entropy

    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 6)
            self.alpha = torch.nn.Parameter(torch.tensor(1.5))

        def forward(self, hidden, tokens):
            order = self.alpha if alpha is None else alpha
            found = linear_entropy(hidden, self.layer.weight, order, bias=self.layer.bias, tokens=tokens)
            return found.entropy, found.log_prob

    torch.manual_seed(0)
    head = Head()
    shapes = {"hidden": {0: torch.export.Dim("rows")}, "tokens": {0: torch.export.Dim("rows")}}
    graph = torch.export.export(head, hidden_and_tokens(4), dynamic_shapes=shapes, strict=strict).module()
    for one, other in zip(graph(*hidden_and_tokens(7, 1)), head(*hidden_and_tokens(7, 1)), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=0, equal_nan=True)
    gradients = []
    for module in (head, graph):
        hidden, tokens = hidden_and_tokens(7, 1)
        entropy, log_prob = module(hidden, tokens.abs())
        (entropy.sum() + log_prob.sum()).backward()
        gradients.append([hidden.grad, *(p.grad for _, p in sorted(module.named_parameters()) if p.grad is not None)])
    assert len(gradients[0]) == (4 if alpha is None else 3)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_log_prob_and_modules(backend):
    from renyi_training.torch import EntropyRegularizer, TargetEntropyWeight, entropy_and_log_prob

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.term = EntropyRegularizer(alpha=2.0, weight=0.1, learn_alpha=True)
            self.beta = TargetEntropyWeight(fraction=0.5, n=6, initial=0.1, rate=0.5)

        def forward(self, logits, tokens):
            found = entropy_and_log_prob(logits, (1.0, 2.0), tokens)
            return self.term(logits) + self.beta() * found.entropy.sum() + found.log_prob.sum()

    loss, tokens = Loss(), torch.arange(7) % 6
    shapes = {"logits": {0: torch.export.Dim("rows")}, "tokens": {0: torch.export.Dim("rows")}}
    graph = torch.export.export(loss, (torch.randn(3, 6), tokens[:3]), dynamic_shapes=shapes).module()
    found = []
    for module in (loss, graph):
        logits = torch.linspace(-2, 2, 42).sin().reshape(7, 6).requires_grad_()
        value = module(logits, tokens)
        value.backward()
        (alpha,) = module.parameters()
        found.append((value.detach(), logits.grad, alpha.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
