"""Random sequences of what changes a state: adapters, ``agnostic_only``, controllers of weights, sums of terms."""

from __future__ import annotations

import json
import math
import types

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from test_fuzz import LONG, examples

import renyi_core as renyi
from renyi_core._kernels import entropy as kernels
from renyi_core.regularizers import BalanceTerm, ConfidencePenalty, EntropyBonus, EntropyFloor
from renyi_core.schedules import Cosine, Harmonic, Linear, TargetEntropy

BACKENDS = ("numpy",)
pytestmark = pytest.mark.usefixtures("backend")
LIBRARY = "array_api_strict"
PROBS = np.asarray([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])


class Adapters(RuleBasedStateMachine):
    """An adapter runs when it is the last one registered and no ``agnostic_only`` is open; results never change."""

    def __init__(self):
        super().__init__()
        self.xp = pytest.importorskip(LIBRARY)
        self.open, self.registered, self.ran = [], None, []

    @rule(overlaid=st.sampled_from([(), ("entropy",), ("entropy", "entropy_and_gradient")]), prefix=st.booleans())
    def register(self, overlaid, prefix):
        def counting(name):
            def kernel(*args, **options):
                self.ran.append((module, name))
                return getattr(kernels, name)(*args, **options)

            kernel.__name__ = name
            return kernel

        module = types.SimpleNamespace()
        for name in overlaid:
            setattr(module, name, counting(name))
        renyi.register_adapter(f"array_api_compat.{LIBRARY}" if prefix else LIBRARY, module)
        self.registered = module

    @rule()
    def take_away(self):
        renyi.register_adapter(LIBRARY, None)
        self.registered = None

    @rule()
    def enter(self):
        context = renyi.agnostic_only()
        context.__enter__()
        self.open.append(context)

    @precondition(lambda self: self.open)
    @rule(error=st.booleans())
    def leave(self, error):
        # an error goes on, and the context ends all the same
        assert not self.open.pop().__exit__(*((KeyError, KeyError(), None) if error else (None, None, None)))

    @rule(alpha=st.sampled_from([0.5, 1.0, 2.0, math.inf]), with_gradient=st.booleans())
    def evaluate(self, alpha, with_gradient):
        self.ran.clear()
        x = self.xp.asarray(PROBS)
        name = "entropy_and_gradient" if with_gradient else "entropy"
        if with_gradient:
            value, gradient = renyi.value_and_grad(renyi.entropy)(x, alpha)
            np.testing.assert_allclose(np.asarray(gradient), renyi.grad(renyi.entropy)(PROBS, alpha), atol=1e-14)
        else:
            value = renyi.entropy(x, alpha)
        np.testing.assert_allclose(np.asarray(value), renyi.entropy(PROBS, alpha), rtol=1e-14)
        expected = not self.open and hasattr(self.registered, name)
        assert self.ran == ([(self.registered, name)] if expected else [])

    def teardown(self):
        while self.open:
            self.open.pop().__exit__(None, None, None)
        renyi.register_adapter(LIBRARY, None)


class Controller(RuleBasedStateMachine):
    """A controller, what it should be by the formula, and a twin that is only ever restored from its state."""

    @initialize(
        wanted=st.floats(-3, 3),
        initial=st.floats(0.01, 1),
        rate=st.sampled_from([1e-3, 0.1, 5.0]),
        bounds=st.sampled_from([(1e-6, 1e3), (0.01, 1.0), (0.005, 2)]),
    )
    def begin(self, wanted, initial, rate, bounds):
        self.target, self.rate, self.bounds = wanted, rate, bounds
        self.controller, self.twin = (
            TargetEntropy(wanted, initial=start, rate=rate, bounds=bounds) for start in (initial, 0.5)
        )
        self.log_weight, self.saved = math.log(initial), []
        self.twin.load_state_dict(self.controller.state_dict())

    @rule(entropy=st.floats(-10, 10), array=st.booleans())
    def update(self, entropy, array):
        before = self.controller.weight
        after = self.controller.update(np.asarray([entropy]) if array else entropy)
        assert after == self.controller.weight == self.twin.update(entropy)
        assert after <= before if entropy >= self.target else after >= before
        low, high = map(math.log, self.bounds)
        self.log_weight = min(max(self.log_weight + self.rate * (self.target - entropy), low), high)

    @rule(entropy=st.sampled_from([math.nan, math.inf, np.zeros(2), "1", None]))
    def refuse(self, entropy):
        with pytest.raises((ValueError, TypeError), match="`entropy`"):
            self.controller.update(entropy)

    @rule(state=st.sampled_from([{}, {"log_weight": math.nan}, {"log_weight": "0"}, {"weight": 0.0}, None]))
    def refuse_state(self, state):
        with pytest.raises((ValueError, TypeError)):
            self.controller.load_state_dict(state)

    @rule()
    def save(self):
        self.saved.append((json.dumps(self.controller.state_dict()), self.log_weight))

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def restore(self, data):
        state, self.log_weight = data.draw(st.sampled_from(self.saved))
        self.controller.load_state_dict(json.loads(state))
        self.twin = TargetEntropy(self.target, initial=self.bounds[0], rate=self.rate, bounds=self.bounds)
        self.twin.load_state_dict(self.controller.state_dict())

    @invariant()
    def holds(self):
        if hasattr(self, "controller"):
            assert self.bounds[0] <= self.controller.weight <= self.bounds[1]
            assert self.controller.weight == self.twin.weight
            assert self.controller.weight == pytest.approx(math.exp(self.log_weight), rel=1e-12)


PARTS = (EntropyBonus(alpha=2.0, weight=0.5), BalanceTerm(weight=0.1), ConfidencePenalty(), EntropyFloor(target=0.5))


class Sums(RuleBasedStateMachine):
    """Sums of terms with scheduled weights: value and gradient are those of the parts, whatever was added when."""

    def __init__(self):
        super().__init__()
        self.x = np.random.default_rng(0).normal(size=(5, 4))
        self.parts, self.total = [PARTS[0]], PARTS[0]
        self.step = 0

    @rule(part=st.sampled_from(PARTS), right=st.booleans())
    def add(self, part, right):
        self.total = self.total + part if right else part + self.total
        self.parts.append(part)

    @precondition(lambda self: len(self.parts) < 10)
    @rule()
    def add_itself(self):
        self.total, self.parts = self.total + self.total, self.parts * 2

    @rule(factor=st.sampled_from([0, 0.5, 2.0, 1]), right=st.booleans())
    def scale(self, factor, right):
        self.total = self.total * factor if right else factor * self.total
        self.parts = [part * factor for part in self.parts]

    @rule(schedule=st.sampled_from([Linear(0.5, 2.0, 10), Cosine(1.0, 0.25, 5), Harmonic(1.0, 2.0, 7)]))
    def go_on(self, schedule):
        self.step += 1
        weight = schedule(self.step)
        assert weight == pytest.approx(float(schedule(np.asarray(float(self.step)))), rel=1e-14)
        self.scale(weight, right=True)

    @invariant()
    def is_the_sum(self):
        value, gradient = renyi.value_and_grad(self.total)(self.x)
        each = [renyi.value_and_grad(part)(self.x) for part in self.parts]
        size = sum(abs(float(part)) for part, _ in each)
        assert abs(value - sum(part for part, _ in each)) <= 1e-13 * size
        assert abs(self.total(self.x) - value) <= 1e-13 * size
        want, rounding = sum(part for _, part in each), sum(np.abs(part) for _, part in each)
        assert np.all(np.abs(gradient - want) <= 1e-12 * np.max(rounding))


@pytest.mark.parametrize("machine", [Adapters, Controller, Sums], ids=lambda machine: machine.__name__)
def test_any_sequence(machine):
    share = {Adapters: 1, Controller: 0.5, Sums: 0.1}[machine]
    steps = hypothesis.settings(examples(share), stateful_step_count=50 if LONG else 20)
    run_state_machine_as_test(machine, settings=steps)
