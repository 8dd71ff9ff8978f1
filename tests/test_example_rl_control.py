"""Soft Actor-Critic in a corridor with two exits: its claims in small, and its command."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "examples"))

torch = pytest.importorskip("torch")
for name in ("stable_baselines3", "matplotlib", "tqdm"):
    pytest.importorskip(name)
import harness  # noqa: E402
import rl_control  # noqa: E402

import renyi_core as renyi  # noqa: E402


@pytest.fixture(scope="module")
def models():
    """A policy without a bonus and one with that of order 2, both after a third of the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rl_control, "STEPS", 500)
        settings = {"none": ("SAC", 1.0, 0.0), "two": ("RenyiSAC", 2.0, 0.4)}
        return {name: rl_control.train(rl_control.Setting(*setting), 0) for name, setting in settings.items()}


def test_claim(models):
    """Without a bonus one exit is used, with it both, and the other is found when one is closed."""
    found = {}
    for name, (model, trace) in models.items():
        assert bool(trace) == (name == "two")
        _, ends, taken = rl_control.play(model, 0)
        rarer = min((ends == side).mean() for side in (-1, 1))
        side = 1 if (ends == 1).mean() > 0.5 else -1
        found[name] = rarer, taken.mean(), (rl_control.play(model, 1, closed=side)[1] == -side).mean()
    assert found["none"][0] < 0.05
    assert found["none"][1] < 5
    assert found["none"][2] < 0.05
    assert found["two"][0] > 0.15
    assert found["two"][2] > 0.15


def test_noise(models):
    """One sample for each state is noisier than the quadrature, which varies with the states of the batch alone."""
    noise = rl_control.noise(models["two"][0], 1.0)
    assert noise["entropy by sample"] > 1.2 * noise["entropy by quadrature"] > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            models["two"][0].replay_buffer, "sample", lambda _: SimpleNamespace(observations=torch.zeros(64, 1))
        )
        same_states = rl_control.noise(models["two"][0], 1.0)
    assert same_states["entropy by quadrature"] == pytest.approx(0, abs=1e-6)
    assert same_states["gradient by quadrature"] == pytest.approx(0, abs=1e-5)
    assert same_states["gradient by sample"] > 0.01


@pytest.mark.parametrize("alpha", [0.5, 1.0, math.inf])
def test_target(alpha):
    entropy = renyi.tanh_gaussian_entropy(torch.zeros(1), torch.full((1,), 0.2), alpha, axis=-1)
    assert rl_control.target(alpha, 0.2) == pytest.approx(entropy.item(), rel=1e-6)


@pytest.mark.parametrize(("force", "closed"), [(0.9, 0), (-0.6, 0), (0.9, 1), (0.1, 0)])
def test_played_as_measured(force, closed):
    """The episodes are those of the environment."""
    model = SimpleNamespace(actor=lambda states: torch.full_like(states, force))
    places, ends, taken = rl_control.play(model, 3, closed=closed)
    corridor = rl_control.Corridor()
    for episode in range(5):
        corridor.reset(seed=0)
        corridor.place = places[:1, episode]
        rewards, done = [], False
        while not done:
            seen, reward, there, over, _ = corridor.step(np.asarray([force], dtype=np.float32))
            done = there or over
            assert seen.item() == pytest.approx(places[len(rewards) + 1, episode] / rl_control.HALF, abs=1e-6)
            rewards.append(reward)
            if there and closed:
                break
        assert len(rewards) <= taken[episode]
        assert ends[episode] == (np.sign(force) if there and not closed else 0)
        if not closed:
            assert len(rewards) == taken[episode]
            distance = abs(places[-1, episode]) - abs(places[0, episode])
            assert sum(rewards) == pytest.approx(distance - rl_control.COST * taken[episode], abs=1e-5)


def test_measures(monkeypatch):
    """Of a policy that goes on at full force to where it is: its starts say what it does."""
    model = SimpleNamespace(
        actor=lambda states: torch.where(states + 0.02 > 0, 1.0, -1.0), ep_info_buffer=[{"l": 4}, {"l": 6}]
    )
    trace = [0.0, 0.0, *(0.3 + 0.1 * step for step in range(3))]
    monkeypatch.setattr(rl_control, "train", lambda *_: (model, trace))
    monkeypatch.setattr(rl_control, "noise", lambda *_: {})
    found = rl_control.run(rl_control.Setting("SAC", 1.0, 0.2), 5)
    starts, again = (np.random.default_rng(seed).normal(0, 0.1, rl_control.EPISODES) for seed in (1005, 2005))
    right = (starts > -0.08).mean()
    entropy = -right * math.log(right) - (1 - right) * math.log(1 - right)
    assert 0.7 < right < 0.85
    assert found["exits"] == pytest.approx(math.exp(entropy), rel=1e-12)
    assert found["closed"] == pytest.approx((again <= -0.08).mean(), rel=1e-12)
    assert found["steps"] == pytest.approx(4, abs=0.01)
    assert found["return"] == pytest.approx(
        (4 - np.where(starts > -0.08, -starts, starts) - abs(starts)).mean() - 2, abs=0.1
    )
    assert (found["reached"], found["training"]) == (1.0, 5.0)
    assert found["beta"] == pytest.approx(math.exp(0.5))
    assert found["wander"] == pytest.approx(0, abs=1e-12)


def test_equal_steps():
    """Between the runs of a seed and the one without a bonus; beyond the last, the last."""
    rows = [
        {"algorithm": name, "alpha": alpha, "width": width, "seed": seed, "steps": steps + seed, "exits": exits}
        for seed in (0, 1)
        for name, alpha, width, steps, exits in (
            ("SAC", 1, 0, 4, 1.0),
            ("SAC", 1, 0.2, 5.25, 1.5),
            ("B", 2, 0.1, 5.5, 1.9),
        )
    ]
    sac, other, later, _ = rl_control.at_equal_steps(rows)
    assert [sac["at 5"], sac["at 5.5"]] == pytest.approx([1.4, 1.5])
    assert [later["at 5"], later["at 6"]] == pytest.approx([1.0, 1.4])
    assert [other["at 5"], other["at 6"]] == pytest.approx([1.6, 1.9])


@pytest.mark.parametrize("full", [False, True])
def test_runs(tmp_path, monkeypatch, capsys, full):
    for name, value in (("STEPS", 210), ("EPISODES", 20), ("BATCHES", 2), ("ALPHAS", (2.0,)), ("WIDTHS", (0.2,))):
        monkeypatch.setattr(rl_control, name, value)
    rl_control.main(["--seeds", "2", "--workers", "1", "--output", str(tmp_path), *(["--full"] if full else [])])
    rows = harness.read_csv(tmp_path / "rl_control.csv")
    assert len(rows) == 2 * len(rl_control.settings(full=full))
    assert (tmp_path / "rl_control.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert all(measure in printed for measure in rl_control.MEASURES)
    assert ("at 5.5" in printed) == full
