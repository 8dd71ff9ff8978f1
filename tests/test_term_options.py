"""Terms of a loss: arithmetic, options, what they refuse and what they cost."""

from __future__ import annotations

import copy
import math
import pickle
import tracemalloc

import numpy as np
import oracle_terms as oracle
import pytest
from term_cases import ALL, WITH_TWO, arrays, close, skip_where_compiled

import renyi_core as renyi
from renyi_core.regularizers import (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    EntropyFloor,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
    SampledEntropyBonus,
    Term,
    TermSum,
)

CLASSES = (
    BalanceTerm,
    ConfidencePenalty,
    DivergenceTerm,
    DiversityTerm,
    EntropyBonus,
    GaussianEntropyBonus,
    InformationTerm,
    LabelSmoothing,
    SampledEntropyBonus,
)


def test_terms_read_back():
    for term, text in (
        (EntropyBonus(), "EntropyBonus(weight=1.0)"),
        (EntropyBonus(weight=0.01, alpha=2.0), "EntropyBonus(alpha=2.0, weight=0.01)"),
        (EntropyFloor(target=1.5, source="probs", alpha=math.inf), None),
        (EntropyBonus(2.0, 0.01), "EntropyBonus(alpha=2.0, weight=0.01)"),
        (
            EntropyFloor(0.5, 2.0, 0.01, relative=True),
            "EntropyFloor(target=0.5, alpha=2.0, relative=True, weight=0.01)",
        ),
        (DivergenceTerm(0.5, direction="reverse"), "DivergenceTerm(alpha=0.5, direction='reverse', weight=1.0)"),
        (InformationTerm(weight=3, marginal_alpha=0.5), "InformationTerm(marginal_alpha=0.5, weight=3)"),
        (DiversityTerm(kernel="cosine", alpha=1), "DiversityTerm(alpha=1, kernel='cosine', weight=1.0)"),
        (
            EntropyBonus(weight=0.1) + BalanceTerm(alpha=0.5),
            "EntropyBonus(weight=0.1) + BalanceTerm(alpha=0.5, weight=1.0)",
        ),
    ):
        assert text is None or repr(term) == text
        again = eval(
            repr(term), {name: value for name, value in globals().items() if name[0].isupper() or name == "math"}
        )
        assert again == term == pickle.loads(pickle.dumps(term)) == copy.deepcopy(term)
        assert hash(again) == hash(term)
    assert EntropyBonus(alpha=2.0) != EntropyBonus(alpha=2.5)
    assert EntropyBonus() != SampledEntropyBonus()


def test_the_base_has_no_value():
    with pytest.raises(TypeError, match="abstract"):
        Term()


def test_terms_do_not_change():
    term = EntropyBonus(weight=0.5)
    with pytest.raises(AttributeError):
        term.weight = 1.0
    other = term.replace(weight=0.25, alpha=2.0)
    assert (term.weight, term.alpha, other.weight, other.alpha) == (0.5, 1.0, 0.25, 2.0)
    with pytest.raises(TypeError, match="beta"):
        term.replace(beta=1.0)
    assert len({EntropyBonus(), EntropyBonus(weight=1), EntropyBonus(weight=2)}) == 2


def test_sums(backend):
    x, y = backend.asarray(oracle.X), backend.asarray(oracle.Y)
    weights = backend.asarray(oracle.WEIGHTS)
    parts = EntropyBonus(alpha=2.0, weight=0.1), BalanceTerm(weight=0.2), DivergenceTerm(alpha=0.5, weight=0.3)
    term = sum(parts)
    assert isinstance(term, TermSum)
    assert term == parts[0] + (parts[1] + parts[2]) == (parts[0] + parts[1]) + parts[2]
    assert 2 * parts[0] == parts[0] * 2 == EntropyBonus(alpha=2.0, weight=0.2)
    assert term * 0.5 == 0.5 * term == EntropyBonus(alpha=2.0, weight=0.05) + parts[1] * 0.5 + parts[2] * 0.5
    assert np.float64(2) * parts[0] == EntropyBonus(alpha=2.0, weight=0.2)
    if backend.compiles:
        pytest.skip("JAX compiles for seconds what the other libraries tell")
    value, gradient = renyi.value_and_grad(term)(x, reference=y, sample_weight=weights)
    own = [
        renyi.value_and_grad(part)(x, sample_weight=weights, **({"reference": y} if k == 2 else {}))
        for k, part in enumerate(parts)
    ]
    close(backend, value, sum(backend.numpy(each) for each, _ in own))
    close(backend, term(x, reference=y, sample_weight=weights), sum(backend.numpy(each) for each, _ in own))
    close(backend, gradient, sum(backend.numpy(each) for _, each in own))
    _, twice = renyi.value_and_grad(term)(x, reference=y, sample_weight=weights, cotangent=-2)
    close(backend, twice, -2 * backend.numpy(gradient))
    # a sum of rows
    rows = EntropyBonus(reduction="none") + LabelSmoothing(reduction="none")
    value, gradient = renyi.value_and_grad(rows)(x)
    assert tuple(value.shape) == (5,)
    assert tuple(gradient.shape) == (5, 4)
    # an array scales a term
    scaled = parts[0] * backend.asarray(np.asarray(0.5)) + parts[1]
    close(backend, scaled(x), backend.numpy((0.5 * parts[0] + parts[1])(x)))


def test_sums_refuse_what_they_cannot_say():
    x = np.ones((3, 4))
    term = EntropyBonus() + BalanceTerm()
    for call in (term, renyi.value_and_grad(term)):
        for unknown in ("reference", "base", "labels"):
            with pytest.raises(TypeError, match=unknown):
                call(x, **{unknown: x})
        for option in ("alpha", "weight"):
            with pytest.raises(TypeError, match=f"`{option}`"):
                call(x, **{option: 1.0})
    with pytest.raises(TypeError, match="reference"):
        (EntropyBonus() + DivergenceTerm())(x)
    with pytest.raises(ValueError, match="`reduction='none'`"):
        EntropyBonus(reduction="none") + EntropyBonus()
    with pytest.raises(ValueError, match="`reduction='none'`"):
        EntropyBonus(reduction="none") + BalanceTerm()
    assert isinstance(EntropyBonus(reduction="sum") + BalanceTerm(), TermSum)
    for other in (1, 1.0, None, "term", np.ones(3), [EntropyBonus()]):
        for operation in (lambda a, b: a + b, lambda a, b: b + a):
            with pytest.raises(TypeError):
                operation(EntropyBonus(), other)
            with pytest.raises(TypeError):
                operation(term, other)
    for factor in ("2", None, [2.0], EntropyBonus(), term, True):
        for each in (EntropyBonus(), term):
            with pytest.raises(TypeError):
                each * factor
    for factor in (-1, math.nan, math.inf, np.ones(2)):
        for each in (EntropyBonus(), term):
            with pytest.raises(ValueError, match="`weight`"):
                each * factor
    with pytest.raises(TypeError, match="`terms`"):
        TermSum((EntropyBonus(), 1.0))
    with pytest.raises(ValueError, match="`wrt` must be one of 0 for `TermSum`"):
        renyi.value_and_grad(term, "alpha")
    with pytest.raises(TypeError, match=r"`hvp`.*EntropyBonus"):
        renyi.hvp(EntropyBonus())


@pytest.mark.parametrize("cls", CLASSES)
def test_weights_that_are_none_are_refused(cls):
    for weight in (-1, -1e-300, math.nan, math.inf, np.ones(1)):
        with pytest.raises(ValueError, match="`weight`"):
            cls(weight=weight)
    for weight in ("1", None, 1j, True, [1.0]):
        with pytest.raises(TypeError, match="`weight`"):
            cls(weight=weight)
    # beside two orders, a number without a name could be any of the three
    if cls is InformationTerm:
        with pytest.raises(TypeError, match=r"`InformationTerm` takes 0 .*`weight=`.*`marginal_alpha=`"):
            cls(2.0)
    else:
        assert cls(2.5, 0.01) == cls(alpha=2.5, weight=0.01)


@pytest.mark.parametrize("cls", [*CLASSES, EntropyFloor])
def test_orders_and_choices_that_are_none_are_refused(cls):
    options = {"target": 1.0} if cls is EntropyFloor else {}
    for name in ("marginal_alpha", "conditional_alpha") if cls is InformationTerm else ("alpha",):
        for alpha in (-1, math.nan, -math.inf):
            with pytest.raises(ValueError, match=f"`{name}`"):
                cls(**options, **{name: alpha})
        for alpha in ("1", None, 1j, True, [1.0]):
            with pytest.raises(TypeError, match=f"`{name}`"):
                cls(**options, **{name: alpha})
    for option in ("reduction", "source", "direction", "kernel"):
        known = option in cls.__dataclass_fields__
        for value in ("average", "Mean", None, 0):
            with pytest.raises(ValueError if known else TypeError, match=f"`{option}`" if known else option):
                cls(**options, **{option: value})


def test_options_of_single_terms():
    for cls, name in (
        (BalanceTerm, "alpha"),
        (InformationTerm, "marginal_alpha"),
        (InformationTerm, "conditional_alpha"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            cls(**{name: np.ones(3)})
    for target in (math.nan, -0.5, math.inf):
        with pytest.raises(ValueError, match="`target`"):
            EntropyFloor(target=target)
    for target in ("1", None, np.ones(()), True):
        with pytest.raises(TypeError, match="`target`"):
            EntropyFloor(target=target)
    with pytest.raises(TypeError, match="target"):
        EntropyFloor()
    with pytest.raises(ValueError, match="`target`"):
        EntropyFloor(target=1.01, relative=True)
    with pytest.raises(TypeError, match="`relative`"):
        EntropyFloor(target=1.0, relative=1)
    with pytest.raises(TypeError, match="`squashed`"):
        GaussianEntropyBonus(squashed="tanh")
    for bandwidth in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="`bandwidth`"):
            DiversityTerm(bandwidth=bandwidth)
    with pytest.raises(ValueError, match="`bandwidth`"):
        DiversityTerm(kernel="cosine", bandwidth=2.0)


def calls(backend, name):
    """A term and its transforms, of weight 1 and 0: one that costs nothing is no laxer."""
    second = [backend.asarray(oracle.Y)] if name in WITH_TWO else []
    for weight in (1.0, 0):
        term = ALL[name].replace(weight=weight)
        for f in (term, renyi.value_and_grad(term), renyi.value_and_grad(term, "weight")):
            yield lambda x, f=f, **options: f(x, *second, **options)


@pytest.mark.parametrize("name", ALL)
def test_bad_arrays_and_weights(backend, name):
    x = backend.asarray(oracle.X)
    foreign = np.ones(()) if backend.library != "numpy" else pytest.importorskip("array_api_strict").ones(())
    for call in calls(backend, name):
        for bad in ([[1.0, 2.0]], 1.0, None, backend.asarray(np.ones((5, 4), dtype=np.int64))):
            with pytest.raises(TypeError, match=r"`(logits|log_std|log_prob|samples)`"):
                call(bad)
        for weight in (-1, math.nan, backend.asarray(np.ones(5))):
            with pytest.raises(ValueError, match="`weight`"):
                call(x, weight=weight)
        with pytest.raises(TypeError, match="`weight`"):
            call(x, weight=foreign)
        for weights in (np.ones(4), np.ones((5, 4)), np.ones((1, 5))):
            with pytest.raises(ValueError, match="`sample_weight`"):
                call(x, sample_weight=backend.asarray(weights))
        for weights in ([1.0] * 5, 1.0, True, backend.asarray(np.ones((), dtype=np.complex64))):
            with pytest.raises(TypeError, match="`sample_weight`"):
                call(x, sample_weight=weights)


@pytest.mark.parametrize("name", ALL)
def test_bad_orders_axes_masks_and_cotangents(backend, name):
    x = backend.asarray(oracle.X)
    keywords = ALL[name].keywords
    for call in calls(backend, name):
        with pytest.raises(TypeError if name == "information" else ValueError, match="alpha"):
            call(x, alpha=-1.0)
        for axis in (2, ()):
            with pytest.raises(ValueError if "axis" in keywords else TypeError, match="axis"):
                call(x, axis=axis)
        with pytest.raises(TypeError, match="where"):
            call(x, where=x)
    term, second = ALL[name], [backend.asarray(oracle.Y)] if name in WITH_TWO else []
    for cotangent in (np.ones(5), np.ones(1)):
        with pytest.raises(ValueError, match="`cotangent`"):
            renyi.value_and_grad(term)(x, *second, cotangent=backend.asarray(cotangent))
    for cotangent in ("1", [1.0], True):
        with pytest.raises(TypeError, match="`cotangent`"):
            renyi.value_and_grad(term)(x, *second, cotangent=cotangent)


@pytest.mark.parametrize("weight", [1.0, 0])
def test_bad_calls_of_single_terms(backend, weight):
    x, y = backend.asarray(oracle.X), backend.asarray(oracle.Y)
    with pytest.raises(ValueError, match="`mean`"):
        GaussianEntropyBonus(weight=weight)(x, y)
    with pytest.raises(ValueError, match="`mean`"):
        GaussianEntropyBonus(weight=weight, squashed=True)(x)
    with pytest.raises(ValueError, match="`samples`"):
        DiversityTerm(weight=weight)(x[0, :])
    with pytest.raises(ValueError, match="`reference`"):
        DivergenceTerm(weight=weight)(x, y[:3, :])
    with pytest.raises(TypeError, match="`reference`"):
        DivergenceTerm(weight=weight)(x, None)
    with pytest.raises(TypeError, match="reference"):
        DivergenceTerm(weight=weight)(x)
    for target in (1.3863, 1.5, 10):
        with pytest.raises(ValueError, match="`target`"):
            EntropyFloor(target=target, weight=weight)(x)
    assert tuple(EntropyFloor(target=math.log(4), weight=weight)(x).shape) == ()
    for term in (GaussianEntropyBonus(), EntropyBonus(), LabelSmoothing()):
        with pytest.raises(ValueError, match="`wrt`"):
            renyi.value_and_grad(term, 1)


def test_a_weight_of_nothing_is_a_plain_zero(backend):
    """With no graph in torch, and whatever the entries are; of the dtype that the scalar would have."""
    bad = np.full((5, 4), math.nan)
    for name, term in ALL.items():
        given = arrays(backend, name, bad, bad)
        if backend.library == "torch":
            given = [x.requires_grad_() for x in given]
        for value in (term(*given, weight=0), term.replace(weight=0.0)(*given), (0 * term)(*given)):
            assert tuple(value.shape) == ()
            assert value.dtype == given[0].dtype
            assert float(backend.numpy(value)) == 0
            if backend.library == "torch":
                assert value.grad_fn is None
                assert not value.requires_grad
        value, gradient = renyi.value_and_grad(term)(*given, weight=0)
        assert tuple(gradient.shape) == (5, 4)
        assert (backend.numpy(gradient) == 0).all()
        if hasattr(term, "reduction"):
            shape = () if name == "diversity" else (5,)
            assert tuple(term.replace(reduction="none")(*given, weight=0).shape) == shape
        if name != "information":
            slope = renyi.grad(term, "alpha")(*given, weight=0, **({} if name == "diversity" else {"alpha": 2.0}))
            assert backend.numpy(slope) == 0
    unweighted = renyi.grad(EntropyBonus(), "weight")(backend.asarray(oracle.X), weight=0)
    assert backend.numpy(unweighted) < 0


def test_a_weight_of_nothing_takes_no_memory():
    x = np.ones((256, 4096))
    mask, weights = np.ones((256, 4096), dtype=bool), np.ones(256)
    for name, term in ALL.items():
        options = {"sample_weight": weights[: x.shape[0]]} if name != "diversity" else {}
        options |= {"where": mask} if "where" in term.keywords else {}
        given = (x, x) if name in WITH_TWO else (x,)
        term(*given, weight=0, **options)
        tracemalloc.start()
        term(*given, weight=0, **options)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 32_000, (name, peak)


def test_weights_and_orders_at_the_call(backend):
    skip_where_compiled(backend)
    for name, term in ALL.items():
        given = arrays(backend, name)
        alpha = {} if name == "information" else {"alpha": 2.0}
        want = backend.numpy(term.replace(weight=0.25, **alpha)(*given))
        array = backend.asarray(np.asarray(0.25))
        for value in (
            term(*given, weight=0.25, **alpha),
            term(*given, weight=array, **alpha),
            term.replace(weight=array, **alpha)(*given),
            (term.replace(**alpha) * array)(*given),
        ):
            close(backend, value, want)
        _, gradient = renyi.value_and_grad(term)(*given, weight=array, **alpha)
        close(backend, gradient, backend.numpy(renyi.grad(term)(*given, weight=0.25, **alpha)))
        value, slope = renyi.value_and_grad(term, "weight")(*given, weight=array, **alpha)
        close(backend, value, want)
        close(backend, slope, 4 * want)


def test_the_module_is_an_attribute():
    assert renyi.regularizers.EntropyBonus is EntropyBonus
    for name in renyi.regularizers.__all__:
        assert isinstance(getattr(renyi.regularizers, name), type) or name == "state_entropy_reward"
    assert issubclass(EntropyBonus, Term)


def test_a_sum_takes_a_reference_and_other_options(backend):
    x, reference = (backend.asarray(oracle.X * scale) for scale in (1.0, 0.5))
    parts = EntropyBonus(2.0, 0.1), DivergenceTerm(0.5, 0.2), BalanceTerm(weight=0.3)
    total = parts[0] + parts[1] + parts[2]
    want = sum(backend.numpy(value) for value in (parts[0](x), parts[1](x, reference), parts[2](x)))
    for value in (total(x, reference), total(x, reference=reference)):
        assert backend.numpy(value) == pytest.approx(want, rel=1e-12)
    _, (along_x, along_reference) = renyi.value_and_grad(total, (0, 1))(x, reference)
    by_hand = renyi.grad(parts[1], 1)(x, reference)
    np.testing.assert_allclose(backend.numpy(along_reference), backend.numpy(by_hand), rtol=1e-12)
    np.testing.assert_allclose(
        backend.numpy(along_x), backend.numpy(renyi.grad(total)(x, reference)), rtol=1e-12, atol=1e-15
    )
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(parts[0] + parts[2], 1)
    with pytest.raises(TypeError, match="reference"):
        (parts[0] + parts[2])(x, reference)
    for call in (total, renyi.grad(total)):
        with pytest.raises(TypeError, match="needs `reference`, which DivergenceTerm"):
            call(x)
        with pytest.raises(TypeError, match="two values of `reference`"):
            call(x, reference, reference=x)
        with pytest.raises(TypeError, match="takes 2 arguments without a name, got 3"):
            call(x, reference, x)
    changed = total.replace(alpha=2.0, source="probs")
    assert changed == EntropyBonus(2.0, 0.1, source="probs") + DivergenceTerm(2.0, 0.2, source="probs") + BalanceTerm(
        alpha=2.0, weight=0.3, source="probs"
    )
    assert total.replace(direction="reverse").terms[0] == parts[0]
    for wrong in ({"weight": 0.5}, {"orders": 2.0}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            total.replace(**wrong)
