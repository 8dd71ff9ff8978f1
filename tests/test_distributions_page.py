"""The sections of docs/distributions.md run, each where its framework is installed, and train as a loop by hand."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from renyi_training.distributions import Normal, TanhNormal  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
PAGE = Path(__file__).parent.parent / "docs" / "distributions.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^##? ", TEXT, flags=re.MULTILINE)[1:]}
NEEDS = {
    "RL frameworks": (),
    "Masks and zeros": (),
    "Distributions that you did not make": (),
    "TorchRL": ("torchrl",),
    "tianshou": ("tianshou",),
    "RLlib": ("ray.rllib",),
    "skrl": ("skrl",),
    "CleanRL": (),
}


def test_sections():
    assert set(SECTIONS) == set(NEEDS)


def run(name):
    """Run a section, and return its names."""
    names = {}
    test = doctest.DocTestParser().get_doctest(SECTIONS[name], names, name, str(PAGE), 0)
    results = doctest.DocTestRunner().run(test, clear_globs=False)
    assert results.attempted > 0
    assert results.failed == 0
    return test.globs


def trains_in_tianshou(names):
    """The loss reports H_2, and a larger coefficient makes it larger."""
    from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
    from tianshou.data import Batch, Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.utils.net.continuous import ContinuousActorProbabilistic
    from tianshou.utils.torch_utils import policy_within_training_step

    policy, make = names["policy"], names["gymnasium"].make
    policy.actor.last.model[0].weight.data *= 20
    optim = names["AdamOptimizerFactory"](lr=0.03)
    algorithm = names["PPO"](policy=policy, critic=names["critic"], optim=optim, ent_coef=100.0, vf_coef=0.0)
    collector = Collector(algorithm, DummyVectorEnv([lambda: make("CartPole-v1")]), VectorReplayBuffer(64, 1))
    with policy_within_training_step(policy):
        collector.collect(n_step=64, gym_reset_kwargs={"seed": 0}, reset_before_collect=True)
        batch, _ = collector.buffer.sample(0)

        def entropy():
            logits, _ = policy.actor(batch.obs)
            return renyi.entropy_from_logits(logits, 2.0)

        before = entropy()
        torch.testing.assert_close(policy(batch).dist.entropy(), before)
        algorithm.update(buffer=collector.buffer, batch_size=32, repeat=5)
        assert entropy().mean() > before.mean() + 0.05
    # continuous actions
    continuous = names["PPO"](
        policy=ProbabilisticActorPolicy(
            actor=ContinuousActorProbabilistic(preprocess_net=names["net"], action_shape=2),
            dist_fn=lambda given: torch.distributions.Independent(Normal(*given, alpha=2.0), 1),
            action_space=names["gymnasium"].spaces.Box(-1, 1, (2,)),
        ),
        critic=names["critic"],
        optim=optim,
    )
    found = continuous.policy(Batch(obs=torch.randn(8, 4), info={})).dist
    torch.testing.assert_close(found.entropy(), renyi.gaussian_entropy(found.base_dist.variance, 2.0, kind="diagonal"))


def reads_the_order_of_a_tensor_in_torchrl(names):
    order = torch.tensor(2.0)
    names["actor"][-1].distribution_kwargs["alpha"] = order
    loss = names["ClipPPOLoss"](names["actor"], names["critic"], entropy_coeff=0.01)
    batch = names["actor"](names["TensorDict"](names["batch"], 8)).detach()
    for alpha in (2.0, 0.0):
        order.fill_(alpha)
        want = renyi.entropy_from_logits(batch["logits"][:, :2], alpha).mean()
        torch.testing.assert_close(loss(batch)["entropy"], want)


def has_the_entropy_in_rllib(names):
    logits = torch.randn(8, 3, requires_grad=True)
    policy, other = (names["RenyiCategorical"].from_logits(x) for x in (logits, 2 * logits))
    check(policy.entropy(), logits)
    assert policy.kl(other).shape == (8,)

    from ray.rllib.core.distribution.torch.torch_distribution import TorchSquashedGaussian

    class Squashed(TorchSquashedGaussian):
        def entropy(self):
            return renyi.tanh_gaussian_entropy(self._dist.loc, self._dist.scale, 2.0, axis=-1)

    policy = Squashed(loc=logits, scale=logits.exp())
    torch.testing.assert_close(policy.entropy(), TanhNormal(logits, logits.exp(), alpha=2.0).entropy())


def has_the_entropy_in_skrl(names):
    policy, observations = names["policy"], torch.randn(8, 4)
    policy.act({"observations": observations}, role="policy")
    check(policy.get_entropy(role="policy")[:, 0], policy.net(observations), policy.net.weight)

    from skrl.models.torch import GaussianMixin

    class Gaussian(GaussianMixin, names["Model"]):
        def __init__(self, **options):
            names["Model"].__init__(self, **options)
            GaussianMixin.__init__(self)

        def compute(self, inputs, role):
            return inputs["observations"][:, :2], {"log_std": inputs["observations"][:, 2:]}

        def get_entropy(self, *, role=""):
            entropy = names["distribution_entropy"](self.distribution(role=role), 2.0)
            return entropy.sum(dim=-1).unsqueeze(-1)

    policy = Gaussian(observation_space=4, action_space=2, device="cpu")
    policy.act({"observations": observations}, role="policy")
    want = renyi.gaussian_entropy((2 * observations[:, 2:]).exp(), 2.0, kind="diagonal")
    torch.testing.assert_close(policy.get_entropy(role="policy")[:, 0], want)


def has_the_entropy_in_cleanrl(names):
    agent, observations = names["Agent"](), torch.randn(8, 4)
    check(agent.get_action_and_value(observations)[2], agent.actor(observations), agent.actor.weight)


def check(found, logits, parameter=None):
    """Equal to H_2 of the logits, with its gradient."""
    want = renyi.entropy_from_logits(logits, 2.0)
    torch.testing.assert_close(found, want)
    parameter = logits if parameter is None else parameter
    torch.testing.assert_close(*(torch.autograd.grad(value.sum(), parameter)[0] for value in (found, want)))


MORE = {
    "TorchRL": reads_the_order_of_a_tensor_in_torchrl,
    "tianshou": trains_in_tianshou,
    "RLlib": has_the_entropy_in_rllib,
    "skrl": has_the_entropy_in_skrl,
    "CleanRL": has_the_entropy_in_cleanrl,
}


@pytest.mark.parametrize("name", list(NEEDS))
def test_section(name, tmp_path, monkeypatch):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = run(name)
    if name in MORE:
        MORE[name](names)
