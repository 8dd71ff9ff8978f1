"""Terms of the rows of two processes are those of one process: values, gradients, and what each pays."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("torch.distributed is not in this build", allow_module_level=True)

import torch.distributed as dist  # noqa: E402

from renyi_training.torch import BalanceTerm, InformationTerm  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 1.0, 2.0, math.inf)
TERMS = (
    *(lambda group, a=a: BalanceTerm(a, 0.5, group=group) for a in ORDERS),
    *(lambda group, a=a: InformationTerm(marginal_alpha=a, weight=0.5, group=group) for a in (0.5, 1.0, math.inf)),
    lambda group: InformationTerm(conditional_alpha=2.0, group=group),
)
SHANNON = 6
CUTS = (2, 0)
"""Of ten rows, how many the first process has."""


def make(scale=2.0):
    return scale * torch.randn((10, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def options(kind):
    where = torch.ones(10, 4, dtype=torch.bool)
    where[1, 2] = where[6, 0] = where[8] = False
    weights = torch.linspace(0, 3, 10, dtype=torch.float64)
    if kind == "one counts":
        weights = (torch.arange(10) == 7).double()
    return {} if kind == "plain" else {"where": where, "sample_weight": weights}


def cases():
    return itertools.product(range(len(TERMS)), CUTS, ("plain", "masked", "one counts"))


def found(index, kind, rows=slice(None), group=None, scale=2.0, source="logits"):
    """The value and the gradients of some of the rows, along their weights too."""
    x, term = make(scale)[rows], TERMS[index](group)
    if source == "probs":
        x, term.term = x.softmax(-1), term.term.replace(source=source)
    given = {name: value[rows] for name, value in options(kind).items()}
    leaves = [x.requires_grad_()]
    if given:
        leaves.append(given["sample_weight"].requires_grad_())
    value = term(x, **given)
    slopes = torch.autograd.grad(value, leaves)
    # a row of weight 0 may hold anything, and its weight has any derivative
    return value.detach(), slopes[0], *(slope * (leaves[1] > 0) for slope in slopes[1:])


def work(path, rank):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meeting", rank=rank, world_size=2)
    try:
        results = []
        for index, cut, kind in cases():
            rows = slice(0, cut) if rank == 0 else slice(cut, None)
            results.append(found(index, kind, rows, dist.group.WORLD))
        half = slice(5 * rank, 5 * rank + 5)
        alike = [found(SHANNON, "plain", half, dist.group.WORLD, scale=1e-6, source=s) for s in ("logits", "probs")]
        own = [dist.new_group([k]) for k in range(2)][rank]
        alone = found(2, "plain", half, own)
        none = TERMS[2](dist.group.WORLD)
        none.set_weight(0.0)
        torch.save({"cases": results, "alike": alike, "alone": alone, "off": none(make())}, f"{path}/{rank}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the two processes say."""
    path = tmp_path_factory.mktemp("group")
    command = [sys.executable, __file__, str(path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return [torch.load(path / str(rank)) for rank in range(2)]


def same(first, second, want, **tolerance):
    """Both have the value; their gradients, of which a loop takes the mean, are together that of one process."""
    assert torch.equal(first[0], second[0])
    torch.testing.assert_close(first[0], want[0], **tolerance)
    for one, other, whole in zip(first[1:], second[1:], want[1:], strict=True):
        torch.testing.assert_close(torch.cat([one, other]) / 2, whole, **tolerance)


@pytest.mark.parametrize("index", range(len(TERMS)))
def test_two_processes_are_one(results, index):
    tried = 0
    for case, first, second in zip(cases(), results[0]["cases"], results[1]["cases"], strict=True):
        if case[0] == index:
            same(first, second, found(index, case[2]), rtol=1e-12, atol=1e-14)
            tried += 1
    assert tried == 6


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_rows_that_are_nearly_alike(results, source):
    """The value keeps its digits, which a difference of entropies would lose."""
    first, second = (result["alike"][source == "probs"] for result in results)
    want = found(SHANNON, "plain", scale=1e-6, source=source)
    same(first, second, want, rtol=1e-9 if source == "logits" else 1e-7, atol=1e-16)
    assert 0 < -float(want[0]) < 1e-11


def test_a_group_of_one_process_is_that_process_alone(results):
    for rank, result in enumerate(results):
        want = found(2, "plain", slice(5 * rank, 5 * rank + 5))
        torch.testing.assert_close(result["alone"], want, rtol=1e-12, atol=1e-14)
        assert float(result["off"]) == 0


@pytest.fixture
def group():
    """A world of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_second_derivatives_and_no_rows(group):
    for index in (3, SHANNON):
        module = TERMS[index](group)
        assert torch.autograd.gradgradcheck(module, make()[:2].requires_grad_())
        assert float(module(make()[:0])) == 0
        assert torch.equal(module(make(), sample_weight=torch.zeros(10)), torch.zeros((), dtype=torch.float64))


def test_docstring():
    assert doctest.testmod(importlib.import_module("renyi_training.torch._terms")).failed == 0


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
    # threads of torch's gloo may still run, and abort a process that ends with them
    os._exit(0)
