"""The entropies of Stable-Baselines3's action distributions, and what is refused."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys

import pytest

import renyi_core as renyi
from renyi_core import schedules

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
gymnasium = pytest.importorskip("gymnasium")
from sb3_cases import PPO_OPTIONS, SAC_OPTIONS, bandit  # noqa: E402
from stable_baselines3.common import distributions as sb3  # noqa: E402
from stable_baselines3.common.policies import ActorCriticPolicy  # noqa: E402

from renyi_training.stable_baselines3 import (  # noqa: E402
    RenyiA2C,
    RenyiPPO,
    RenyiSAC,
    _algorithms,
    _entropies,
    distribution_entropy,
)

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.5, 1, 2, 3.7, math.inf)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("alpha", ORDERS)
def test_categorical(alpha):
    logits = draw(5, 4)
    found = distribution_entropy(sb3.CategoricalDistribution(4).proba_distribution(logits), alpha)
    torch.testing.assert_close(found, renyi.entropy_from_logits(logits, alpha), rtol=1e-14, atol=0)


@pytest.mark.parametrize("alpha", ORDERS)
def test_products_of_discrete_distributions_add_up(alpha):
    """Against the joint distribution of all parts, which is one distribution."""
    logits = draw(5, 5)
    found = distribution_entropy(sb3.MultiCategoricalDistribution([2, 3]).proba_distribution(logits), alpha)
    joint = (logits[:, :2, None] + logits[:, None, 2:]).reshape(5, 6)
    torch.testing.assert_close(found, renyi.entropy_from_logits(joint, alpha), rtol=1e-13, atol=0)

    found = distribution_entropy(sb3.BernoulliDistribution(2).proba_distribution(logits[:, :2]), alpha)
    first, second = torch.sigmoid(logits[:, 0]), torch.sigmoid(logits[:, 1])
    pairs = [first * second, first * (1 - second), (1 - first) * second, (1 - first) * (1 - second)]
    torch.testing.assert_close(found, renyi.entropy(torch.stack(pairs, dim=1), alpha), rtol=1e-13, atol=0)


@pytest.mark.parametrize("logit", [-40.0, 12.0, 17.0, 40.0])
def test_the_bonus_of_binary_actions_that_are_nearly_certain(logit):
    """p log 1/p to first order, at α = 1 too, where torch's Bernoulli is 18 times too small beyond a logit of 16."""
    logits = torch.tensor([[logit, 0.0]], requires_grad=True)
    policy = _entropies.replaced(sb3.BernoulliDistribution(2), _entropies.PlusEntropy)
    entropy = policy.proba_distribution(logits).entropy()
    rare = 1 / (1 + math.exp(abs(logit)))
    want = rare * abs(logit) + math.log1p(math.exp(-abs(logit)))
    assert entropy.item() == pytest.approx(want + math.log(2), rel=1e-6)
    (gradient,) = torch.autograd.grad(entropy.sum(), logits)
    # −z p(1 − p)
    assert float(gradient[0, 0]) == pytest.approx(-logit * rare * (1 - rare), rel=1e-6)
    alone = policy.proba_distribution(logits[:, :1]).entropy()
    assert alone.item() == pytest.approx(want, rel=1e-6)


MASKS = [[1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("alpha", [0, *ORDERS])
@pytest.mark.parametrize("kind", ["discrete", "multidiscrete", "multibinary"])
def test_actions_that_are_masked_do_not_count(kind, alpha):
    """Against the logits of the allowed actions alone; 0, without a gradient, where none is allowed."""
    maskable = pytest.importorskip("sb3_contrib.common.maskable.distributions")
    sizes = {"discrete": [6], "multidiscrete": [2, 4], "multibinary": [2, 2, 2]}[kind]
    distribution = {
        "discrete": lambda: maskable.MaskableCategoricalDistribution(6),
        "multidiscrete": lambda: maskable.MaskableMultiCategoricalDistribution(sizes),
        "multibinary": lambda: maskable.MaskableBernoulliDistribution(3),
    }[kind]()
    logits, masks = draw(4, 6).requires_grad_(), torch.tensor(MASKS, dtype=torch.bool)
    distribution.proba_distribution(logits)
    before = distribution_entropy(distribution, alpha)
    distribution.apply_masking(masks)
    found = distribution_entropy(distribution, alpha)
    parts = [
        [
            renyi.entropy_from_logits(z[m], alpha)
            for z, m in zip(x.split(sizes), where.split(sizes), strict=True)
            if m.any()
        ]
        for x, where in zip(logits, masks, strict=True)
    ]
    want = torch.stack([sum(part, torch.zeros(())) for part in parts])
    torch.testing.assert_close(found, want, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(found[2], before[2], rtol=1e-13, atol=0)
    gradients = [torch.autograd.grad(x.sum(), logits, retain_graph=True)[0] for x in (found, want)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)
    assert not gradients[0][3].any()


@pytest.mark.parametrize("alpha", ORDERS)
def test_gaussian(alpha):
    log_std = draw(3, seed=1)
    found = distribution_entropy(sb3.DiagGaussianDistribution(3).proba_distribution(draw(5, 3), log_std), alpha)
    # the logarithm of the integral of f^α, a Gaussian integral
    over = {1: 0.5, math.inf: 0.0}.get(alpha) if alpha in {1, math.inf} else math.log(alpha) / (alpha - 1) / 2
    want = log_std.sum() + 3 * (math.log(2 * math.pi) / 2 + over)
    torch.testing.assert_close(found, want.expand(5), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("alpha", ORDERS)
def test_squashed_gaussians(alpha):
    mean, log_std = draw(5, 2), draw(5, 2, seed=1) / 2
    found = distribution_entropy(sb3.SquashedDiagGaussianDistribution(2).proba_distribution(mean, log_std), alpha)
    # the trapezoidal rule for the integral of f^α, which converges fast; its terms at the ends are nil
    step = 2e-4
    x = step * torch.arange(-200_000, 200_001, dtype=torch.float64)
    want = torch.zeros(5, dtype=torch.float64)
    for k in range(5):
        for j in range(2):
            standard = (x - mean[k, j]) / log_std[k, j].exp()
            log_cosh = x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)
            log_f = -(standard**2) / 2 - log_std[k, j] - math.log(2 * math.pi) / 2 + 2 * log_cosh
            # dy = dx/cosh² x
            if alpha == 1:
                want[k] -= (torch.exp(log_f - 2 * log_cosh) * log_f).sum() * step
            elif alpha == math.inf:
                want[k] -= log_f.max()
            else:
                want[k] += (torch.logsumexp(alpha * log_f - 2 * log_cosh, 0) + math.log(step)) / (1 - alpha)
    tolerance = 1e-7 if alpha == math.inf else 1e-13
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_noise(squash):
    distribution = sb3.StateDependentNoiseDistribution(2, squash_output=squash)
    distribution.proba_distribution_net(3)
    mean, log_std, latent = (draw(*shape).float() for shape in ((5, 2), (3, 2), (5, 3)))
    distribution.proba_distribution(mean, log_std, latent)
    variance = latent**2 @ log_std.exp() ** 2 + 1e-6
    if squash:
        want = renyi.tanh_gaussian_entropy(mean, variance.sqrt(), 2, axis=-1)
    else:
        want = renyi.gaussian_entropy(variance, 2, kind="diagonal")
    torch.testing.assert_close(distribution_entropy(distribution, 2), want)


@pytest.mark.parametrize("alpha", [0.5, 1, 2, math.inf])
def test_the_entropy_of_a_saturated_policy_is_finite(alpha):
    """SAC bounds log σ by −20 and 2, and leaves the mean free."""
    mean, log_std = torch.meshgrid(torch.tensor([-30.0, 0.0, 8.0]), torch.tensor([-20.0, 0.0, 2.0]), indexing="ij")
    leaves = [mean.reshape(-1, 1).clone().requires_grad_(), log_std.reshape(-1, 1).clone().requires_grad_()]
    distribution = sb3.SquashedDiagGaussianDistribution(1).proba_distribution(*leaves)
    value = distribution_entropy(distribution, alpha)
    value.sum().backward()
    assert all(bool(torch.isfinite(x).all()) for x in (value, *(leaf.grad for leaf in leaves)))
    # the mean of a saturated one is drawn back
    pull = leaves[0].grad.reshape(3, 3)
    assert bool((pull[0] > 0).all() and (pull[2] < 0).all())


@pytest.mark.parametrize("alpha", [0.5, 2, math.inf])
def test_the_bonus_of_a_gaussian_is_the_same_at_every_order(alpha):
    """But for the constant."""
    log_std = draw(3).requires_grad_()
    distribution = sb3.DiagGaussianDistribution(3).proba_distribution(draw(5, 3), log_std)
    difference = distribution_entropy(distribution, alpha) - distribution_entropy(distribution, 1)
    constant = -1.0 if alpha == math.inf else math.log(alpha) / (alpha - 1) - 1
    torch.testing.assert_close(difference, torch.full((5,), 1.5 * constant, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(difference.sum(), log_std)
    torch.testing.assert_close(gradient, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_distribution_that_is_not_known():
    with pytest.raises(TypeError, match="no Rényi entropy is known for the action distribution object"):
        distribution_entropy(object(), 2)


@pytest.mark.parametrize(
    ("kind", "name", "options", "error", "message"),
    [
        (RenyiPPO, "discrete", {"alpha": -1.0}, ValueError, "`alpha` must be >= 0, got -1.0"),
        (RenyiPPO, "discrete", {"alpha": math.nan}, ValueError, "`alpha` must be >= 0, got nan"),
        (RenyiPPO, "discrete", {"alpha": "2"}, TypeError, "`alpha` must be a real number, got '2'"),
        (RenyiPPO, "discrete", {"alpha": None}, TypeError, "`alpha` must be a real number, got None"),
        (RenyiPPO, "discrete", {"alpha": True}, TypeError, "`alpha` must be a real number, got True"),
        (RenyiPPO, "discrete", {"alpha": lambda left: left - 0.5}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiPPO, "discrete", {"alpha": lambda left: 0.5 - left}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiPPO, "discrete", {"alpha": schedules.Linear(2, -2, 9)}, ValueError, "`alpha` must be >= 0, got -2.0"),
        (RenyiPPO, "box", {"alpha": 0}, ValueError, "`alpha` must be > 0 for Gaussian actions"),
        (RenyiPPO, "box", {"alpha": schedules.Linear(0, 2, 9)}, ValueError, "`alpha` must be > 0 for Gaussian actions"),
        (RenyiPPO, "discrete", {"ent_coef": "auto"}, TypeError, "`ent_coef` must be a real number, got 'auto'"),
        (RenyiPPO, "discrete", {"ent_coef": math.inf}, ValueError, "`ent_coef` must be finite, got inf"),
        (RenyiA2C, "discrete", {"ent_coef": lambda left: 1 / left if left else math.inf}, ValueError, "be finite"),
        (RenyiSAC, "box", {"alpha": -0.5}, ValueError, "`alpha` must be >= 0, got -0.5"),
        (RenyiSAC, "box", {"target_entropy": 1.5}, ValueError, "`target_entropy` must be less than 1.38629"),
        (RenyiSAC, "box", {"target_entropy": math.nan}, ValueError, "`target_entropy` must be less than 1.38629"),
    ],
)
def test_bad_configurations(kind, name, options, error, message):
    with pytest.raises(error, match=message):
        kind("MlpPolicy", bandit(name), device="cpu", **options)


def test_what_is_not_an_error():
    RenyiPPO("MlpPolicy", bandit("discrete"), alpha=0, ent_coef=-0.1, **PPO_OPTIONS).learn(32)
    # the target counts for an automatic coefficient alone
    RenyiSAC("MlpPolicy", bandit("box"), alpha=0, ent_coef=0.1, target_entropy=2.0, **SAC_OPTIONS).learn(16)


def test_a_distribution_that_is_not_known_is_refused_at_construction():
    class Own(ActorCriticPolicy):
        def _build(self, lr_schedule):
            super()._build(lr_schedule)
            self.action_dist = object()

    with pytest.raises(TypeError, match="no Rényi entropy is known for the action distribution object"):
        RenyiPPO(Own, bandit("discrete"), **PPO_OPTIONS)


def test_a_schedule_that_goes_astray_on_its_way():
    def orders(remaining):
        return -1.0 if 0 < remaining < 1 else 1.0

    model = RenyiPPO("MlpPolicy", bandit("discrete"), alpha=orders, ent_coef=0.1, **PPO_OPTIONS)
    with pytest.raises(ValueError, match="`alpha` must be >= 0"):
        model.learn(64)
    assert model.ent_coef == 0.1


def test_without_the_framework():
    code = """
import sys
sys.modules["stable_baselines3"] = None
try:
    import renyi_training.stable_baselines3
except ImportError as error:
    assert "pip install 'renyi-core[sb3]'" in str(error), error
else:
    raise SystemExit("no ImportError")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_docstrings():
    for module, examples in ((_algorithms, 7), (_entropies, 5)):
        found = doctest.testmod(module)
        assert found.attempted >= examples
        assert found.failed == 0
