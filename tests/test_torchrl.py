"""The distributions in TorchRL's losses: equal to hand-written ones, with masks, and the entropy goes up."""

from __future__ import annotations

import math

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
pytest.importorskip("torchrl")
from tensordict import TensorDict  # noqa: E402
from tensordict.nn import NormalParamExtractor, TensorDictModule  # noqa: E402
from torch import nn  # noqa: E402
from torchrl.envs import ExplorationType, set_exploration_type  # noqa: E402
from torchrl.modules import MaskedCategorical, ProbabilisticActor, ValueOperator  # noqa: E402
from torchrl.modules import TanhNormal as TorchRLTanhNormal  # noqa: E402
from torchrl.objectives import ClipPPOLoss, SACLoss, SoftUpdate  # noqa: E402

from renyi_training.distributions import (  # noqa: E402
    Categorical,
    OneHotCategorical,
    TanhNormal,
    distribution_entropy,
)

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0, 0.5, 1, 2, math.inf)
STATES, ACTIONS = 6, 4
WHERE = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]] * 2, dtype=torch.bool)


def discrete(kind, alpha, *, masked=False, **options):
    """A policy of logits, which are its only parameters, and its actions with advantages."""
    torch.manual_seed(0)
    net = nn.Linear(STATES, ACTIONS, bias=False)
    net.weight.data *= 3
    keys = {"logits": "logits", "where": "mask"} if masked else ["logits"]
    actor = ProbabilisticActor(
        TensorDictModule(net, in_keys=["observation"], out_keys=["logits"]),
        in_keys=keys,
        distribution_class=kind,
        distribution_kwargs={"alpha": alpha, **options},
        return_log_prob=True,
    )
    return actor, net, TensorDict({"observation": torch.eye(STATES), "mask": WHERE}, STATES)


def squashed(kind, **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(STATES, 4), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=kind,
        distribution_kwargs={"low": -2.0, "high": 2.0, **options},
        return_log_prob=True,
    )
    return actor, net, TensorDict({"observation": torch.eye(STATES)}, STATES)


def ppo(actor, data, advantage=0.0):
    with set_exploration_type(ExplorationType.DETERMINISTIC):
        data = actor(data).detach()
    data["advantage"] = torch.full((STATES, 1), advantage)
    data["value_target"] = torch.zeros(STATES, 1)
    loss = ClipPPOLoss(actor, ValueOperator(nn.Linear(STATES, 1), in_keys=["observation"]), entropy_coeff=0.1)
    return loss, data


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
@pytest.mark.parametrize("alpha", ORDERS)
def test_ppo(kind, alpha, masked):
    actor, net, data = discrete(kind, alpha, masked=masked)
    loss, data = ppo(actor, data)
    where = WHERE if masked else None
    found, want = loss(data), renyi.entropy_from_logits(net.weight.T, alpha, where=where).mean()
    torch.testing.assert_close(found["entropy"], want)
    gradients = [
        torch.autograd.grad(value, parameter, allow_unused=True)[0]
        for value, parameter in (
            (found["loss_entropy"], loss.actor_network_params["module", "0", "module", "weight"]),
            (-0.1 * want, net.weight),
        )
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 2, math.inf])
def test_training_is_that_of_a_loop_by_hand(alpha, masked):
    actor, net, data = discrete(Categorical, alpha, masked=masked)
    by_hand = net.weight.detach().T.clone().requires_grad_()
    loss, data = ppo(actor, data)
    optimizers = [torch.optim.Adam(parameters, lr=0.05) for parameters in (loss.parameters(), [by_hand])]
    entropies = []
    for _ in range(8):
        result = loss(data)
        value = renyi.entropy_from_logits(by_hand, alpha, where=WHERE if masked else None).mean()
        entropies.append(float(value.detach()))
        for optimizer, total in zip(
            optimizers, (result["loss_objective"] + result["loss_entropy"], -0.1 * value), strict=True
        ):
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    torch.testing.assert_close(net.weight.T, by_hand, rtol=1e-5, atol=1e-6)
    assert entropies == sorted(entropies)
    assert entropies[-1] > entropies[0] + 0.02


def test_actions_that_are_masked_are_never_taken():
    actor, _, data = discrete(Categorical, 2, masked=True)
    torch.manual_seed(0)
    with set_exploration_type(ExplorationType.RANDOM):
        taken = torch.stack([actor(data.clone())["action"] for _ in range(200)])
    assert torch.equal(nn.functional.one_hot(taken, ACTIONS).sum(0) > 0, WHERE)


@pytest.mark.parametrize("alpha", ORDERS)
def test_the_distributions_of_torchrl_itself(alpha):
    torch.manual_seed(0)
    logits = torch.randn(STATES, ACTIONS)
    found = distribution_entropy(MaskedCategorical(logits, mask=WHERE), alpha)
    torch.testing.assert_close(found, renyi.entropy_from_logits(logits, alpha, where=WHERE))
    loc, scale = logits.chunk(2, -1)
    theirs = TorchRLTanhNormal(loc, scale.exp(), low=-2.0, high=2.0)
    ours = TanhNormal(loc, scale.exp(), low=-2.0, high=2.0, alpha=alpha)
    torch.testing.assert_close(distribution_entropy(theirs, alpha), ours.entropy())
    torch.manual_seed(1)
    action = theirs.sample()
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.deterministic_sample, theirs.deterministic_sample)


@pytest.mark.parametrize("alpha", ORDERS)
def test_ppo_of_squashed_actions(alpha):
    """The entropy is the closed form, where TorchRL has one sample for its own class."""
    actor, net, data = squashed(TanhNormal, alpha=alpha)
    loss, data = ppo(actor, data, 1.0)
    found = loss(data)
    want = renyi.tanh_gaussian_entropy(*net(data["observation"]), alpha, axis=-1) + 2 * math.log(2)
    torch.testing.assert_close(found["entropy"], want.mean())
    (found["loss_objective"] + found["loss_entropy"]).backward()
    assert all(bool(p.grad.isfinite().all()) for p in loss.actor_network_params.flatten_keys().values())


class Soft(TanhNormal):
    """What SACLoss asks for in place of an entropy."""

    def rsample_and_log_prob(self, sample_shape=()):
        return self.rsample(sample_shape), -self.entropy().expand(*sample_shape, *self.batch_shape)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(STATES + 2, 1)

    def forward(self, observation, action):
        return self.net(torch.cat([observation, action], -1))


@pytest.mark.parametrize("alpha", [0.5, 1, 2, math.inf])
def test_sac(alpha):
    """SACLoss never asks for an entropy, but for −log π of one sample."""
    actor, _, data = squashed(Soft, alpha=alpha)
    critic = ValueOperator(Critic(), in_keys=["observation", "action"], out_keys=["state_action_value"])
    loss = SACLoss(actor, critic, alpha_init=0.3, target_entropy=-2.0)
    SoftUpdate(loss, tau=0.1)
    data = actor(data).detach()
    data["next"] = TensorDict(
        {"observation": torch.eye(STATES), "reward": torch.ones(STATES, 1)}
        | {name: torch.zeros(STATES, 1, dtype=torch.bool) for name in ("done", "terminated")},
        STATES,
    )
    torch.manual_seed(1)
    found = loss(data)
    entropies = actor.get_dist(data).entropy()
    torch.testing.assert_close(found["entropy"], entropies.mean())
    torch.testing.assert_close(found["loss_alpha"], (math.log(0.3) * (entropies - -2.0)).mean())
    (found["loss_actor"] + found["loss_qvalue"]).backward()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    for _ in range(5):
        optimizer.zero_grad()
        loss(data)["loss_actor"].backward()
        optimizer.step()
    assert actor.get_dist(data).entropy().mean() > entropies.mean()


def test_sac_with_the_samples_of_the_plain_class():
    actor, _, data = squashed(TanhNormal)
    policy = actor.get_dist(data)
    torch.manual_seed(0)
    action = policy.rsample((4000,))
    torch.testing.assert_close(-policy.log_prob(action).mean(0), policy.entropy(), rtol=0, atol=0.1)
