"""A block of ``checking`` holds for what the torch adapter offers besides; the page Got NaN? runs to its end."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import pytest

import renyi_core as renyi

torch = pytest.importorskip("torch")
from renyi_training.torch import EntropyRegularizer, entropy_and_log_prob, linear_entropy  # noqa: E402

BACKENDS = ("torch",)
pytestmark = pytest.mark.usefixtures("backend")
PAGE = Path(__file__).parent.parent / "docs" / "got_nan.md"
GOOD, NAN = torch.tensor([[1.0, -1.0], [0.5, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, math.nan]])
AT = r"1 of 4 entries is not, first at \(1, 1\): nan"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: entropy_and_log_prob(NAN, 2.0), f"`logits` must be below .* {AT}"),
        (lambda: entropy_and_log_prob(GOOD.softmax(-1), (1.0, 2.0)), "`logits` must be logits"),
        (lambda: linear_entropy(NAN, GOOD, 2.0), f"`hidden` must be finite: {AT}"),
        (lambda: linear_entropy(GOOD, NAN, 2.0), f"`weight` must be finite: {AT}"),
        (lambda: EntropyRegularizer(2.0, 1.0)(NAN), f"`logits` must be below .* {AT}"),
        (
            lambda: EntropyRegularizer(2.0, 1.0)(GOOD, sample_weight=torch.tensor([-1.0, 1.0])),
            r"`sample_weight` .* \(0,\): -1",
        ),
    ],
)
def test_helpers_are_checked(call, words):
    call()
    with renyi.checking(), pytest.raises(ValueError, match=words):
        call()


def test_what_is_right_passes():
    where, weight = torch.tensor([[True, True], [False, False]]), torch.tensor([True, False])
    with renyi.checking():
        module = EntropyRegularizer(2.0, 1.0)
        for options in ({"where": where}, {"sample_weight": weight}):
            module(NAN.requires_grad_(False), **options)
        linear_entropy(GOOD, GOOD, 0.5, tokens=torch.tensor([0, 1]))
        entropy_and_log_prob(GOOD, 2.0, torch.tensor([0, 1]))


def test_page():
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted > 0
    assert results.failed == 0
