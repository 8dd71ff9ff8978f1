"""What is kept in a checkpoint or sent to another process comes back the same, and works there; so after a fork."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import every_call
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core import schedules

BACKENDS = ("numpy", "torch")
LOGITS = 3 * np.random.default_rng(0).normal(size=(3000, 7))
SCHEDULES = (
    schedules.Constant(0.5),
    schedules.Linear(1.0, 0.0, 10),
    schedules.Cosine(1.0, 0.1, 10, warmup=2),
    schedules.Exponential(1.0, 0.1, 10),
    schedules.Harmonic(1.0, math.inf, 10),
    schedules.Piecewise([(0, 1.0), (5, 2.0)], interpolation="linear"),
)
TERMS = [every_call.term(name, weight=0.1) for name in every_call.TERMS]
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda x, protocol=protocol: pickle.loads(pickle.dumps(x, protocol))
        for protocol in (2, pickle.HIGHEST_PROTOCOL)
    },
}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())


@every_copy
def test_terms_and_schedules_come_back_equal(backend, copied):
    for one in (*TERMS, *SCHEDULES, TERMS[0] + 2 * TERMS[1]):
        back = copied(one)
        assert type(back) is type(one)
        assert back == one
        assert repr(back) == repr(one)
        assert hash(back) == hash(one)
    term = every_call.term("EntropyBonus", alpha=1.7)
    x = backend.asarray(LOGITS)
    assert every_call.same(renyi.value_and_grad(copied(term))(x), renyi.value_and_grad(term)(x))


@every_copy
def test_a_term_with_an_array_as_its_weight(backend, copied):
    weight = backend.asarray(np.asarray(0.25))
    back = copied(every_call.term("EntropyBonus", weight=weight))
    assert type(back.weight) is type(weight)
    assert float(back.weight) == 0.25
    assert back.weight.dtype == weight.dtype


@every_copy
def test_target_entropy_goes_on_where_it_was(backend, copied):
    one = schedules.TargetEntropy(fraction=0.5, n=10, rate=0.1)
    one.update(0.3)
    back = copied(one)
    assert back.state_dict() == one.state_dict()
    assert repr(back) == repr(one)
    assert back.update(0.2) == one.update(0.2)
    back.update(5.0)
    assert back.weight != one.weight


@every_copy
def test_results_with_names(backend, copied):
    x = backend.asarray(LOGITS[:4])
    found = (renyi.summary(x), renyi.entropy_from_counts(backend.asarray(np.ones((2, 3))), 1.0))
    for one in found:
        back = copied(one)
        assert type(back) is type(one)
        assert every_call.same(back, one)


@every_copy
def test_functions_and_their_derivatives(backend, copied):
    x = backend.asarray(LOGITS)
    for name in every_call.NAMES:
        assert copied(getattr(renyi, name)) is getattr(renyi, name)
    for one in (
        *(renyi.grad(renyi.entropy_from_logits), renyi.value_and_grad(renyi.entropy_from_logits, "alpha")),
        renyi.value_and_grad(every_call.term("EntropyBonus"), "weight"),
    ):
        options = {} if "EntropyBonus" in repr(one) else {"alpha": 1.7}
        assert every_call.same(copied(one)(x, **options), one(x, **options))
    product = renyi.hvp(renyi.hill_number_from_logits)
    assert every_call.same(copied(product)(x, 2.0, vector=x), product(x, 2.0, vector=x))


def everything(task):
    """What another process does with what it is sent."""
    derivative, term, schedule, target = task
    target.update(1.0)
    value, gradient = derivative(LOGITS, 1.7)
    return value, gradient, term(LOGITS), schedule(3), target.weight


# Python 3.12 and later, of a process that has threads
@pytest.mark.filterwarnings("ignore:.*fork.. may lead to deadlocks:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_after_use_in_this_one(backend, method):
    """With the workspace of this process in use, and threads that have one as well."""
    if backend.library != "numpy":
        pytest.skip("torch's own rules about forks are torch's")
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    task = (
        *(renyi.value_and_grad(renyi.entropy_from_logits), every_call.term("EntropyBonus", alpha=2.0)),
        *(schedules.Linear(1.0, 0.0, 10), schedules.TargetEntropy(fraction=0.5, n=10)),
    )
    want = everything(copy.deepcopy(task))
    # the checkout last, for this module's own name: the library may be installed elsewhere
    paths = [str(Path(__file__).parent), *filter(None, sys.path), str(Path(__file__).parent.parent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", paths)  # which a new process takes over
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            for got in pool.map(everything, [task] * 4):
                assert every_call.same(got, want)
    assert every_call.same(everything(task), want)


def test_modules_of_torch(backend, tmp_path):
    if backend.library != "torch":
        pytest.skip("of torch alone")
    import torch

    from renyi_training.torch import EntropyRegularizer, TargetEntropyWeight

    x = torch.asarray(LOGITS)
    module, beta = EntropyRegularizer(1.7, 0.1, learn_alpha=True), TargetEntropyWeight(1.0, initial=0.1, rate=0.1)
    beta.update(torch.tensor(0.5))
    for one, call in ((module, lambda m: m(x)), (beta, lambda m: m())):
        want = call(one)
        twin = copy.deepcopy(one)
        assert torch.equal(call(twin), want)
        with torch.no_grad():
            for values in (*twin.parameters(), *twin.buffers()):
                values.mul_(0.5)
        assert not torch.equal(call(twin), want)
        assert torch.equal(call(one), want)
        torch.save(one.state_dict(), tmp_path / "state")
        twin.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
        assert torch.equal(call(twin), want)
        torch.save(one, tmp_path / "module")
        assert torch.equal(call(torch.load(tmp_path / "module", weights_only=False)), want)
