"""An order that changes from call to call under torch.compile: eager results, and few compilations.

``COMPILE_EVERY=1`` in the environment, as ``nox -s compile_orders`` has it, compiles every function, to C++ as well.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from every_call import ARGUMENTS, NO_CALLS, OPTIONS, SPECTRA, WITHOUT_ORDER, _orders, inputs

import renyi_core as renyi

torch = pytest.importorskip("torch")

BACKENDS = ("torch",)
# torch's own, of its C++ compiler and of a cache that array-api-compat keeps
pytestmark = [
    pytest.mark.usefixtures("backend"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache:UserWarning"),
]
# through 1 itself, and on both sides of every branch
SCHEDULE = (0.3, 0.6, 1.0, 1.4, 2.0, 4.0)
# what numbers of an order that changes have been compiled to at most, the first of them as a constant
MOST = 4
# a search of equations by iterations that compile for a minute
LEFT_OUT = {"mutual_information {'kind': 'csiszar'}"}
FEW = (
    "alpha_divergence {}",
    "alpha_divergence_from_logits {}",
    "conditional_entropy {}",
    "cross_entropy {}",
    "divergence_from_logits {}",
    "entropy {}",
    "entropy_from_counts {}",
    "entropy_from_logits {}",
    "exponential_entropy {}",
    "gaussian_divergence {}",
    "hill_number_from_logits {}",
    "particle_reward {'k': 2}",
    "tsallis_entropy {}",
    "vendi_score {}",
)
EVERY = "COMPILE_EVERY" in os.environ


def cases():
    """Every public function of arrays and an order, as (function, arguments, options, orders) by name."""
    arrays = {name: torch.from_numpy(values) for name, values in inputs("plain", shape=(5, 5)).items()}
    found = {}
    for name in renyi.__all__:
        if name in NO_CALLS | WITHOUT_ORDER | SPECTRA:
            continue
        given = ARGUMENTS.get(name, ("logits" if name.endswith("_from_logits") else "probs",))
        for options in OPTIONS.get(name, [{}]):
            orders = [alpha for alpha in _orders(name, options, SCHEDULE) if name != "particle_entropy" or alpha < 3]
            found[f"{name} {options}"] = getattr(renyi, name), [arrays[k] for k in given], options, orders
    return found


CASES = {name: case for name, case in cases().items() if name not in LEFT_OUT}


def compiled(f):
    """Return the function, compiled ahead of time, where a number that no tensor takes in is a constant."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return torch.compile(f, fullgraph=True, backend="aot_eager")


def compilations():
    """Return how many graphs there are since."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def agree(got, want):
    for one, other in zip(*(part if isinstance(part, tuple) else (part,) for part in (got, want)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-15, equal_nan=True)


def test_names():
    assert set(FEW) < set(CASES)


@pytest.mark.parametrize("name", CASES if EVERY else FEW)
def test_a_schedule_of_numbers(backend, name):
    if not backend.full and name not in FEW[::3]:
        pytest.skip("seconds each: --full")
    f, given, options, orders = CASES[name]
    traced = compiled(lambda alpha: f(*given, alpha, **options))
    for alpha in orders:
        agree(traced(alpha), f(*given, alpha, **options))
    assert 0 < compilations() <= MOST


def test_a_schedule_of_many_numbers():
    """Whatever the orders are, α = ∞ among them; those of the entropies of logits have the most branches."""
    for name in ("entropy_from_logits {}", "divergence {}"):
        f, given, options, _ = CASES[name]
        traced = compiled(lambda alpha, f=f, given=given: f(*given, alpha))
        for alpha in (0.1, *np.linspace(0.2, 8, 20).tolist(), 1.0, 1 + 1e-12):
            agree(traced(alpha), f(*given, alpha, **options))
        assert 0 < compilations() <= MOST


INDUCTOR = ("entropy", "divergence_from_logits", "alpha_divergence_from_logits", "cross_entropy_from_logits")


@pytest.mark.parametrize("name", INDUCTOR if EVERY else INDUCTOR[:1])
def test_by_the_default_compiler(name):
    """With a gradient if all is compiled: C++ of both passes takes minutes, for two distributions many."""
    torch._dynamo.reset()
    f, given, _, orders = CASES[f"{name} {{}}"]
    x, *rest = given
    differentiated = EVERY and name == "entropy"
    x = x.clone().requires_grad_(differentiated)
    traced = torch.compile(lambda x, alpha: f(x, *rest, alpha), fullgraph=True)
    for alpha in orders if EVERY else orders[1:4]:
        value, want = traced(x, alpha), f(x, *rest, alpha)
        # Inductor's own exponentials and sums
        torch.testing.assert_close(value, want, rtol=1e-13, atol=1e-15)
        if differentiated:
            torch.testing.assert_close(
                *(torch.autograd.grad(part.sum(), x)[0] for part in (value, want)), rtol=1e-12, atol=1e-15
            )
