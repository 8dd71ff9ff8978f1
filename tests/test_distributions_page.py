"""The sections of docs/distributions.md run, each where its framework is installed, and train as a loop by hand."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
PAGE = Path(__file__).parent.parent / "docs" / "distributions.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^##? ", TEXT, flags=re.MULTILINE)[1:]}
NEEDS = {
    "TorchRL, tianshou, RLlib, skrl, CleanRL": (),
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
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.utils.torch_utils import policy_within_training_step

    policy, make = names["policy"], names["gymnasium"].make
    observations = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))

    def entropy():
        logits, _ = policy.actor(observations)
        return renyi.entropy_from_logits(logits, 2.0).mean()

    optim = names["AdamOptimizerFactory"](lr=0.03)
    algorithm = names["PPO"](policy=policy, critic=names["critic"], optim=optim, ent_coef=100.0)
    collector = Collector(algorithm, DummyVectorEnv([lambda: make("CartPole-v1")]), VectorReplayBuffer(64, 1))
    policy.actor.last.model[0].weight.data *= 20
    before = entropy()
    with policy_within_training_step(policy):
        collector.collect(n_step=64, reset_before_collect=True)
        batch, _ = collector.buffer.sample(0)
        logits, _ = policy.actor(batch.obs)
        torch.testing.assert_close(policy(batch).dist.entropy(), renyi.entropy_from_logits(logits, 2.0))
        algorithm.update(buffer=collector.buffer, batch_size=32, repeat=10)
    assert entropy() > before + 0.01


def has_the_entropy_in_rllib(names):
    logits = torch.randn(8, 3, requires_grad=True)
    policy, other = (names["RenyiCategorical"].from_logits(x) for x in (logits, 2 * logits))
    check(policy.entropy(), logits)
    assert policy.kl(other).shape == (8,)


def has_the_entropy_in_skrl(names):
    policy, observations = names["policy"], torch.randn(8, 4)
    policy.act({"observations": observations}, role="policy")
    check(policy.get_entropy(role="policy")[:, 0], policy.net(observations), policy.net.weight)


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
    names = run(name)
    if name in MORE:
        MORE[name](names)
