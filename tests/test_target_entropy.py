"""The controller of an entropy: where it drives a policy, its state, and its pure step."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.schedules import (
    TargetEntropy,
    dual_ascent,
)

# what the adapters change is not in these functions
BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
REWARDS = np.linspace(0.0, 1.0, 6)


def bandit(alpha, controller, logits, steps, after=None):
    """Train a softmax policy on the rewards of a bandit by exact gradients, and return its entropies."""
    bonus = renyi.value_and_grad(renyi.entropy_from_logits)
    entropies = []
    for step in range(steps):
        probs = np.exp(logits - logits.max())
        probs /= probs.sum()
        entropy, gradient = bonus(logits, alpha, cotangent=controller.weight)
        logits = logits + probs * (REWARDS - probs @ REWARDS) + gradient
        controller.update(entropy)
        entropies.append(float(entropy))
        if after is not None:
            after(step, logits)
    return np.asarray(entropies)


@pytest.mark.parametrize("fraction", [0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_entropy_comes_to_its_target_and_stays(alpha, fraction):
    """From above and from below, to 2 %."""
    target = fraction * math.log(6)
    above = bandit(alpha, TargetEntropy(fraction=fraction, n=6, initial=1.0, rate=0.05), np.zeros(6), 1500)
    below = bandit(alpha, TargetEntropy(target, initial=1e-3, rate=0.05), 8 * REWARDS, 1500)
    assert above[0] > 1.2 * target
    assert below[20] < 0.95 * target
    for entropies in (above, below):
        assert np.all(np.abs(entropies[1000:] / target - 1) < 0.02)
        assert abs(entropies[-1] / target - 1) < 2e-3


def test_a_saved_controller_resumes_exactly():
    """Also through JSON, in the midst of the training."""
    options = {"fraction": 0.5, "n": 6, "rate": 0.05}
    controller, saved = TargetEntropy(initial=0.3, **options), []

    def save(step, logits):
        if step == 99:
            saved.extend([json.dumps(controller.state_dict()), pickle.dumps(controller.state_dict()), logits.copy()])

    whole = bandit(2.0, controller, np.zeros(6), 200, save)
    for state in (json.loads(saved[0]), pickle.loads(saved[1])):
        other = TargetEntropy(**options)
        assert other.weight != controller.weight
        other.load_state_dict(state)
        assert np.array_equal(bandit(2.0, other, saved[2], 100), whole[100:])
        assert other.state_dict() == controller.state_dict()


def test_an_anchor_is_the_entropy_at_first():
    """A share of that of the first update, and so a given target; kept by what saves the controller."""
    first = bandit(2.0, TargetEntropy(1.0, initial=0.02), np.zeros(6) + REWARDS, 1)[0]
    controller = TargetEntropy(anchor=0.8, initial=0.02, rate=0.05)
    assert math.isnan(controller.target)
    assert repr(controller) == "TargetEntropy(anchor=0.8, weight=0.02)"
    with pytest.raises(ValueError, match="`entropy` must be > 0"):
        controller.update(0.0)
    assert controller.state_dict() == {"log_weight": math.log(0.02), "target": None}
    entropies = bandit(2.0, controller, np.zeros(6) + REWARDS, 1500)
    assert controller.target == 0.8 * first
    assert np.all(np.abs(entropies[1000:] / controller.target - 1) < 0.02)
    given = bandit(2.0, TargetEntropy(0.8 * first, initial=0.02, rate=0.05), np.zeros(6) + REWARDS, 1500)
    np.testing.assert_array_equal(entropies, given)
    other = TargetEntropy(anchor=0.8, rate=0.05)
    other.load_state_dict(json.loads(json.dumps(controller.state_dict())))
    for copy in (other, pickle.loads(pickle.dumps(controller))):
        assert copy.target == controller.target
        assert copy.update(3.0) == TargetEntropy(controller.target, initial=controller.weight, rate=0.05).update(3.0)
    other.load_state_dict(TargetEntropy(anchor=0.8).state_dict())
    other.update(2.0)
    assert other.target == 0.8 * 2.0


def test_the_step_and_its_bounds():
    controller = TargetEntropy(1.5, initial=0.1, rate=0.2, bounds=(0.05, 0.15))
    assert controller.weight == pytest.approx(0.1, rel=1e-15)
    assert controller.update(2.0) == pytest.approx(0.1 * math.exp(-0.1), rel=1e-14)
    assert controller.update(1.5) == pytest.approx(0.1 * math.exp(-0.1), rel=1e-14)
    assert controller.update(-40.0) == 0.15
    # no debt is left of the time at the bound
    assert controller.update(2.5) == pytest.approx(0.15 * math.exp(-0.2), rel=1e-14)
    assert controller.update(1e300) == pytest.approx(0.05, rel=1e-15)
    assert controller.target == 1.5
    assert repr(controller) == "TargetEntropy(target=1.5, weight=0.05)"
    controller.load_state_dict({"log_weight": 0.0})
    assert controller.weight == 0.15


def test_what_is_not_finite_leaves_the_state(backend):
    controller = TargetEntropy(1.5, initial=0.1)
    before = controller.state_dict()
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="`entropy` must be finite"):
            controller.update(bad)
        if backend.library != "dask":
            with pytest.raises(ValueError, match="`entropy` must be finite"):
                controller.update(backend.asarray(np.asarray(bad)))
        assert controller.state_dict() == before


def test_the_entropy_may_be_an_array_of_one(backend):
    controller, twin = (TargetEntropy(1.5, initial=0.1) for _ in range(2))
    twin.update(2.25)
    for shape in ((), (1,), (1, 1)):
        entropy = backend.asarray(np.full(shape, 2.25))
        if backend.library == "torch":
            entropy.requires_grad_()
        if backend.library == "dask":
            import dask

            with dask.config.set(scheduler="synchronous"):
                controller.update(entropy)
        else:
            controller.update(entropy)
        assert controller.weight == twin.weight
        twin.update(2.25)
    with pytest.raises(ValueError, match="`entropy` must be one number"):
        controller.update(backend.asarray(np.ones(2)))
    for bad in ("1", None, True, 1j, [1.0], backend.asarray(np.asarray(1))):
        with pytest.raises(TypeError, match="`entropy`"):
            controller.update(bad)


def test_dual_ascent_of_arrays(backend):
    """As of numbers, entry by entry; where the entropy is not finite the weight stays; nothing is read."""
    entropies = np.asarray([0.5, 1.5, math.nan, 2.5, math.inf, 100.0, -100.0])
    logs = np.asarray([-1.0, -2.0, -3.0, -4.0, -5.0, 0.0, 0.0])
    options = {"rate": 0.25, "bounds": (1e-2, 10.0)}
    for dtype in backend.dtypes:
        x, y = backend.asarray(logs, dtype), backend.asarray(entropies, dtype)
        target = backend.asarray(np.full(1, 1.5), dtype)

        def each(x, y, target):
            return [
                dual_ascent(x, y, target=1.5, **options),
                dual_ascent(x, y, target=target, **options),
                dual_ascent(-1.0, y, target=1.5, **options),
                dual_ascent(x, 2.0, target=1.5, **options),
            ]

        got = backend.compiled(each)(x, y, target)
        assert all(result.dtype == x.dtype and result.shape == (7,) for result in got)
        got = [backend.numpy(result) for result in got]

        def one(log, entropy):
            finite = entropy if math.isfinite(entropy) else 1.5
            return dual_ascent(float(log), float(finite), target=1.5, **options)

        both = [one(log, entropy) for log, entropy in zip(logs, entropies, strict=True)]
        want = [both, both, [one(-1.0, entropy) for entropy in entropies], [one(log, 2.0) for log in logs]]
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g, w, rtol=4 * float(np.finfo(dtype).eps))
    assert both[2] == -3.0
    assert both[5] == math.log(1e-2)
    assert both[6] == math.log(10.0)


def test_bad_controllers(backend):
    for options in ({}, {"target": 1.0, "fraction": 0.5, "n": 4}, {"fraction": 0.5}, {"target": "1"}, {"target": True},
                    {"fraction": 0.5, "n": 4.0}, {"fraction": 0.5, "n": True}, {"fraction": "1", "n": 4},
                    {"anchor": 0.9, "target": 1.0}, {"anchor": 0.9, "n": 4}, {"anchor": "1"},
                    {"target": 1.0, "rate": None}, {"target": 1.0, "initial": "1"}, {"target": 1.0, "bounds": 1.0},
                    {"target": 1.0, "bounds": "12"}, {"target": 1.0, "bounds": (1.0, None)}):  # fmt: skip
        with pytest.raises(TypeError, match="`"):
            TargetEntropy(**options)
    for name, options in (
        ("target", {"target": 1.4, "n": 4}),
        ("target", {"target": -0.1, "n": 4}),
        ("target", {"target": math.nan}),
        ("target", {"target": math.inf}),
        ("fraction", {"fraction": 1.01, "n": 4}),
        ("fraction", {"fraction": -0.1, "n": 4}),
        ("fraction", {"fraction": math.nan, "n": 4}),
        ("n", {"fraction": 0.5, "n": 1}),
        ("anchor", {"anchor": 0.0}),
        ("anchor", {"anchor": math.inf}),
        ("rate", {"target": 1.0, "rate": 0.0}),
        ("rate", {"target": 1.0, "rate": math.nan}),
        ("bounds", {"target": 1.0, "bounds": (0.0, 1.0)}),
        ("bounds", {"target": 1.0, "bounds": (2.0, 1.0)}),
        ("initial", {"target": 1.0, "initial": 2.0, "bounds": (0.5, 1.0)}),
        ("initial", {"target": 1.0, "initial": 0.0}),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            TargetEntropy(**options)
    assert TargetEntropy(math.log(4), n=4).target == math.log(4)
    assert TargetEntropy(-3.0).target == -3.0
    controller = TargetEntropy(1.0)
    for bad in (None, 1.0, [("log_weight", 1.0)], {"log_weight": "1"}, {"log_weight": None}):
        with pytest.raises(TypeError, match=r"`(state|log_weight)`"):
            controller.load_state_dict(bad)
    for bad in ({}, {"log_weight": 1.0, "step": 1}, {"weight": 1.0}, {"log_weight": math.nan}):
        with pytest.raises(ValueError, match=r"`(state|log_weight)`"):
            controller.load_state_dict(bad)
    controller = TargetEntropy(anchor=0.5)
    for error, bad in ((ValueError, {"log_weight": 1.0}), (ValueError, {"log_weight": 1.0, "target": math.nan}),
                       (TypeError, {"log_weight": 1.0, "target": "1"})):  # fmt: skip
        with pytest.raises(error, match=r"`(state|target)`"):
            controller.load_state_dict(bad)
    assert controller.state_dict() == TargetEntropy(anchor=0.5).state_dict()
    good = {"target": 1.0}
    x = backend.asarray(np.asarray(1.0))
    for log_weight, entropy, options in (
        ("1", 1.0, good),
        (1.0, None, good),
        (1.0, 1.0, {"target": "1"}),
        (x, True, good),
        (backend.asarray(np.asarray(1)), 1.0, good),
        (x, [1.0], good),
    ):
        with pytest.raises(TypeError, match=r"`(log_weight|entropy|target)`"):
            dual_ascent(log_weight, entropy, **options)
    for values, options in (((math.nan, 1.0), good), ((1.0, math.inf), good), ((x, math.nan), good),
                            ((1.0, 1.0), {"target": math.nan}), ((x, x), good | {"rate": -1.0})):  # fmt: skip
        with pytest.raises(ValueError, match=r"`(log_weight|entropy|target|rate)`"):
            dual_ascent(*values, **options)
    foreign = pytest.importorskip("array_api_strict").ones(()) if backend.library == "numpy" else np.ones(())
    with pytest.raises(TypeError, match="`entropy`"):
        dual_ascent(x, foreign, target=1.0)
