"""Terms of a loss in use: arithmetic, options, schedules, what they refuse and cost, and that they train."""

from __future__ import annotations

import copy
import math
import pickle
import tracemalloc

import numpy as np
import oracle_terms as oracle
import pytest
from test_regularizers import PAIRS, TERMS, close, skip_where_lazy

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
    state_entropy_reward,
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
ALL = {**TERMS, "diversity": DiversityTerm(), "squashed": GaussianEntropyBonus(squashed=True)}
WITH_TWO = PAIRS | {"squashed"}


def arrays(backend, name, x=oracle.X, y=oracle.Y):
    return [backend.asarray(rows) for rows in ((x, y) if name in WITH_TWO else (x,))]


def test_terms_read_back():
    for term, text in (
        (EntropyBonus(), "EntropyBonus()"),
        (EntropyBonus(weight=0.01, alpha=2.0), "EntropyBonus(alpha=2.0, weight=0.01)"),
        (EntropyFloor(target=1.5, source="probs", alpha=math.inf), None),
        (DivergenceTerm(direction="reverse", reduction="sum"), "DivergenceTerm(direction='reverse', reduction='sum')"),
        (InformationTerm(weight=3, marginal_alpha=0.5), "InformationTerm(marginal_alpha=0.5, weight=3)"),
        (DiversityTerm(kernel="cosine", alpha=1), "DiversityTerm(alpha=1, kernel='cosine')"),
        (EntropyBonus(weight=0.1) + BalanceTerm(alpha=0.5), "EntropyBonus(weight=0.1) + BalanceTerm(alpha=0.5)"),
    ):
        assert text is None or repr(term) == text
        again = eval(
            repr(term), {name: value for name, value in globals().items() if name[0].isupper() or name == "math"}
        )
        assert again == term == pickle.loads(pickle.dumps(term)) == copy.deepcopy(term)
        assert hash(again) == hash(term)
    assert EntropyBonus(alpha=2.0) != EntropyBonus(alpha=2.5)
    assert EntropyBonus() != SampledEntropyBonus()


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
    with pytest.raises(TypeError):
        cls(2.0)


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
    skip_where_lazy(backend)
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


def test_schedules_under_compilation(backend):
    """Coefficient, order and sum as traced arrays: one compilation for a whole schedule."""
    if backend.library not in {"jax", "torch"}:
        pytest.skip("nothing is compiled")
    traces = []

    def loss(x, sample_weight, weight, alpha):
        traces.append(1)
        term = EntropyBonus(weight=weight, alpha=alpha) + 0.5 * BalanceTerm()
        return renyi.value_and_grad(term)(x, sample_weight=sample_weight)

    if backend.library == "jax":
        compiled = backend.compiled(loss)
    else:
        import torch

        compiled = torch.compile(loss, backend="eager", fullgraph=True)
    for numbers in ((0.1, 0.5), (0.2, 2.0), (0.3, 1.0)):
        given = (oracle.X, oracle.WEIGHTS, *map(np.asarray, numbers))
        got = compiled(*map(backend.asarray, given))
        for part, want in zip(got, loss(*given), strict=True):
            close(backend, part, want, 64)
    if backend.compiles:
        # and three times on NumPy
        assert len(traces) == 4


@pytest.mark.parametrize("name", ALL)
def test_traced_by_torch_compile(backend, name):
    if backend.library != "torch":
        pytest.skip("of torch alone")
    if name == "squashed":
        pytest.skip("torch warns of the cache of the quadrature's nodes")
    import torch

    term, given = ALL[name], arrays(backend, name)
    options = {"sample_weight": backend.asarray(oracle.WEIGHTS)} if name != "diversity" else {}
    if "where" in term.keywords:
        options["where"] = backend.asarray(oracle.WHERE)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *args: term(*args, **options), backend="eager", fullgraph=True)
    leaf = given[0].clone().requires_grad_()
    value = compiled(leaf, *given[1:])
    value.backward()
    close(backend, value.detach(), backend.numpy(term(*given, **options)))
    close(backend, leaf.grad, backend.numpy(renyi.grad(term)(*given, **options)))


def test_terms_are_static_arguments(backend):
    if backend.library != "jax":
        pytest.skip("of JAX alone")
    import jax

    f = jax.jit(lambda term, x: term(x), static_argnums=0)
    x = backend.asarray(oracle.X)
    for weight in (1.0, 2.0):
        got = float(f(EntropyBonus(alpha=2.0, weight=weight), x))
        assert got == pytest.approx(weight * oracle.exact("bonus", 2.0, masked=False)[0], rel=1e-5)


def test_rows_of_unknown_number(backend):
    """Dask does not know how many rows a mask leaves, and nothing is computed to find out."""
    if backend.library != "dask":
        pytest.skip("of Dask alone")
    all_rows = backend.asarray(np.ones(5, dtype=bool))
    x, y, w = (backend.asarray(v)[all_rows] for v in (oracle.X, oracle.Y, oracle.WEIGHTS))
    assert not all(isinstance(n, int) for n in x.shape)
    for name in ("bonus", "floor", "smoothing", "forward", "gaussian", "balance", "information"):
        term, given = TERMS[name], (x, y) if name in PAIRS else (x,)
        for options in [{"sample_weight": w}, {}][: 2 if name in {"bonus", "balance"} else 1]:
            known = {"sample_weight": oracle.WEIGHTS} if options else {}
            want = renyi.value_and_grad(term)(*(oracle.X, oracle.Y)[: len(given)], **known)
            for got, part in zip(renyi.value_and_grad(term)(*given, **options), want, strict=True):
                close(backend, got, np.asarray(part))


def test_gradients_of_weights_and_orders_by_torch(backend):
    """A coefficient or an order that is learned is differentiated through."""
    if backend.library != "torch":
        pytest.skip("of torch alone")
    x = backend.asarray(oracle.X)
    weight, alpha = (backend.asarray(np.asarray(number)).requires_grad_() for number in (0.5, 2.0))
    EntropyBonus(weight=weight, alpha=alpha)(x).backward()
    for wrt, leaf in (("weight", weight), ("alpha", alpha)):
        want = renyi.grad(EntropyBonus(weight=0.5, alpha=2.0), wrt)(x)
        close(backend, leaf.grad, backend.numpy(want))


def test_label_smoothing_is_what_it_is_called(backend):
    """Cross-entropy with smoothed targets is (1 − ε) CE + ε D_1(u‖p) + ε log n, to the last digits."""
    if backend.compiles:
        pytest.skip("nothing in it is of the library")
    eps, labels = 0.1, np.asarray([0, 1, 2, 3, 0])
    x = oracle.X
    log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
    one_hot = np.eye(4)[labels]
    smoothed = -(((1 - eps) * one_hot + eps / 4) * log_p).sum(-1).mean()
    hard = -(one_hot * log_p).sum(-1).mean()
    term = LabelSmoothing(weight=eps)(backend.asarray(x))
    close(backend, term, smoothed - (1 - eps) * hard - eps * math.log(4), 128)
    if backend.library == "torch":
        import torch

        own = torch.nn.functional.cross_entropy(torch.asarray(x), torch.asarray(labels), label_smoothing=eps)
        assert float(own) == pytest.approx((1 - eps) * hard + float(term) + eps * math.log(4), rel=1e-14)


def test_penalty_and_bonus_differ_by_log_n(backend):
    if backend.compiles:
        pytest.skip("nothing in it is of the library")
    options = {"where": backend.asarray(oracle.WHERE), "sample_weight": backend.asarray(oracle.WEIGHTS)}
    x = backend.asarray(np.where(oracle.WHERE, oracle.X, -math.inf))
    penalty = renyi.value_and_grad(ConfidencePenalty(alpha=2.0))(x, **options)
    bonus = renyi.value_and_grad(EntropyBonus(alpha=2.0))(x, **options)
    w = np.where(oracle.WHERE.any(-1), oracle.WEIGHTS, 0)
    log_n = np.log(np.maximum(oracle.WHERE.sum(-1), 1)) @ w / w.sum()
    close(backend, penalty[0], log_n + backend.numpy(bonus[0]))
    close(backend, penalty[1], backend.numpy(bonus[1]))


def skip_where_slow(backend):
    if backend.slow:
        pytest.skip("hundreds of steps, which NumPy and torch take in no time")


def descend(backend, term, *given, steps=60, rate=1.0, **options):
    """Return the first array after steps of gradient descent on the term alone, its others fixed."""
    f = backend.compiled(renyi.grad(term))
    x, *others = given
    for _ in range(steps):
        x = x - rate * f(x, *others, **options)
    return x


def measured(backend, f, *args, **options):
    return float(np.mean(backend.numpy(f(*args, **options))))


TRAINED = {
    "bonus": (EntropyBonus(alpha=2.0), lambda x, _: renyi.entropy_from_logits(x, 2.0), 1),
    "confidence": (ConfidencePenalty(alpha=0.5), lambda x, _: renyi.entropy_from_logits(x, 0.5), 1),
    "smoothing": (LabelSmoothing(), lambda x, _: renyi.entropy_from_logits(x, 1.0), 1),
    "forward": (DivergenceTerm(alpha=2.0), lambda x, y: renyi.divergence_from_logits(x, y, 2.0), -1),
    "reverse": (DivergenceTerm(direction="reverse"), lambda x, y: renyi.divergence_from_logits(y, x, 1.0), -1),
    "information": (InformationTerm(), lambda x, _: renyi.entropy_from_logits(x, 1.0), -1),
    "gaussian": (GaussianEntropyBonus(), lambda x, _: x, 1),
    "diversity": (DiversityTerm(bandwidth=2.0), lambda x, _: renyi.kernel_entropy(x, 2, bandwidth=2.0), 1),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_moves_what_the_term_says(backend, name):
    if name != "bonus":
        skip_where_slow(backend)
    term, f, sign = TRAINED[name]
    given = arrays(backend, name)
    steps = 3 if backend.library == "dask" else 60
    after = descend(backend, term, *given, steps=steps, rate=0.5)
    reference = given[-1]
    before_and_after = measured(backend, f, given[0], reference), measured(backend, f, after, reference)
    assert sign * (before_and_after[1] - before_and_after[0]) > (1e-3 if steps == 3 else 0.05), before_and_after


def test_training_presses_up_to_the_floor_alone(backend):
    skip_where_slow(backend)
    term = EntropyFloor(target=0.8, relative=True, reduction="sum")
    x = backend.asarray(oracle.X)
    before = backend.numpy(renyi.entropy_from_logits(x, 1.0))
    after = backend.numpy(renyi.entropy_from_logits(descend(backend, term, x, steps=200, rate=0.1), 1.0))
    low = before < 0.8 * math.log(4)
    assert low.any()
    assert not low.all()
    np.testing.assert_array_equal(after[~low], before[~low])
    # a step past the target is the last
    np.testing.assert_allclose(after[low], 0.8 * math.log(4), atol=0.05)


def test_training_balances_a_batch_and_leaves_rows_sure(backend):
    skip_where_slow(backend)
    x = np.zeros((8, 4))
    x[:, 0], x[:, 1] = 3.0, np.linspace(-1, 1, 8)

    def at_mean(x):
        p = np.exp(x - np.logaddexp.reduce(x, axis=-1, keepdims=True))
        return renyi.entropy(p.mean(0), 1.0)

    for term in (BalanceTerm(), InformationTerm() + BalanceTerm()):
        after = backend.numpy(descend(backend, term, backend.asarray(x), steps=200, rate=2.0))
        assert at_mean(after) > at_mean(x) + 0.3


class TestStateEntropyReward:
    COUNTS = np.asarray([[8, 4, 2, 1, 1], [3, 3, 3, 3, 3]])

    def test_is_the_derivative(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        d = self.COUNTS / self.COUNTS.sum(-1, keepdims=True)
        for alpha in (0.5, 1.0, 2.0):
            got = state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), alpha)
            if alpha == 1:
                want = -np.log(d) + (d * np.log(d)).sum(-1, keepdims=True)
            else:
                want = alpha / (1 - alpha) * (d ** (alpha - 1) / (d**alpha).sum(-1, keepdims=True) - 1)
            close(backend, got, want)
            close(backend, backend.asarray((d * backend.numpy(got)).sum(-1)), np.zeros(2))
        commonest = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), math.inf))
        np.testing.assert_allclose(commonest, [[-1, 1, 1, 1, 1], [0] * 5], atol=1e-6)
        assert (backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), 0.0)) == 0).all()

    def test_counts_axes_masks_and_orders(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        counts = backend.asarray(self.COUNTS)
        xp = backend.xp
        got = state_entropy_reward(counts, 0.5)
        default = xp.__array_namespace_info__().default_dtypes()["real floating"]
        assert got.dtype == default
        turned = state_entropy_reward(xp.permute_dims(counts, (1, 0)), 0.5, axis=0)
        np.testing.assert_allclose(backend.numpy(turned).T, backend.numpy(got), rtol=1e-6, atol=1e-6)
        alphas = backend.asarray(np.asarray([0.5, 2.0]))
        each = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS.astype(float)), alphas))
        for k, alpha in enumerate((0.5, 2.0)):
            one = state_entropy_reward(backend.asarray(self.COUNTS[k].astype(float)), alpha)
            close(backend, backend.asarray(each[k]), backend.numpy(one))
        mask = np.asarray([True, True, False, True, True])
        masked = backend.numpy(state_entropy_reward(counts, 0.5, where=backend.asarray(mask)))
        kept = backend.numpy(state_entropy_reward(backend.asarray(self.COUNTS[:, mask]), 0.5))
        np.testing.assert_allclose(masked[:, mask], kept, rtol=1e-5, atol=1e-6)
        assert (masked[:, ~mask] == 0).all()

    def test_states_never_seen(self, backend):
        if backend.compiles:
            pytest.skip("the kernel has its own tests")
        counts = np.asarray([[4.0, 2, 0, 1], [0, 0, 0, 0]])
        x = backend.asarray(counts)
        for alpha in (0.5, 1.0):
            for order in (alpha, backend.asarray(np.asarray(alpha))):
                got = backend.numpy(state_entropy_reward(x, order))
                assert got[0, 2] == math.inf
                assert np.isfinite(got[0, [0, 1, 3]]).all()
                assert np.isnan(got[1]).all()
        got = backend.numpy(state_entropy_reward(x, 2.0))
        # α/(α − 1)
        assert got[0, 2] == pytest.approx(2.0)
        assert got[0].max() == got[0, 2]
        assert (backend.numpy(state_entropy_reward(x, 0.0))[0] == 0).all()
        smoothed = backend.numpy(state_entropy_reward(x, 0.5, smoothing=1))
        added = backend.numpy(state_entropy_reward(backend.asarray(counts + 1), 0.5))
        np.testing.assert_allclose(smoothed, added, rtol=1e-6, atol=1e-6)
        masked = backend.numpy(state_entropy_reward(x, 1.0, where=x > 0))
        assert masked[0, 2] == 0

    def test_what_it_refuses(self, backend):
        x = backend.asarray(np.ones((2, 3)))
        for smoothing in (-1, math.nan, math.inf):
            with pytest.raises(ValueError, match="`smoothing`"):
                state_entropy_reward(x, 1.0, smoothing=smoothing)
        for smoothing in ("1", None, True, backend.asarray(np.ones(()))):
            with pytest.raises(TypeError, match="`smoothing`"):
                state_entropy_reward(x, 1.0, smoothing=smoothing)
        for alpha in (-1, math.nan):
            with pytest.raises(ValueError, match="`alpha`"):
                state_entropy_reward(x, alpha)
        for counts in ([1, 2], None, 3.0):
            with pytest.raises(TypeError, match="`counts`"):
                state_entropy_reward(counts, 1.0)
        with pytest.raises(ValueError, match="`axis`"):
            state_entropy_reward(x, 1.0, axis=2)
        with pytest.raises(TypeError, match="`where`"):
            state_entropy_reward(x, 1.0, where=x)


def test_the_module_is_an_attribute():
    assert renyi.regularizers.EntropyBonus is EntropyBonus
    for name in renyi.regularizers.__all__:
        assert isinstance(getattr(renyi.regularizers, name), type) or name == "state_entropy_reward"
    assert issubclass(EntropyBonus, Term)
