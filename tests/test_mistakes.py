"""Natural mistakes: each raises an error that says what to type instead, or is one of the calls that do."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re

import every_call
import numpy as np
import pytest
from test_bad_input import CALLS, good

import renyi_core as renyi
from renyi_core import regularizers, schedules
from renyi_core._other_names import CALLS as OTHER_NAMES

TERMS = {name: every_call.term(name) for name in every_call.TERMS}
FUNCTIONS = [getattr(renyi, name) for name in every_call.NAMES]


class Frame:
    """What pandas and Polars give."""

    def to_numpy(self):
        return np.ones((3, 4))


class Labeled(Frame):
    """What xarray gives."""

    __module__ = "xarray.core.dataarray"


class Categorical:
    """A distribution of torch, JAX or TensorFlow."""

    logits = probs = property(lambda self: np.zeros((3, 4)))


class Sparse:
    """A matrix of SciPy's."""

    def toarray(self):
        return np.ones((3, 4))


T, V = TypeError, ValueError
ARGUMENTS = [
    # an argument, what is given, the error, and what it must say besides the argument's name
    ("x", "[[0.5, 0.5]]", T, "np.asarray({x}, dtype=float)"),
    ("x", "(0.5, 0.5)", T, "np.asarray({x}, dtype=float)"),
    ("x", "0.5", T, "np.asarray({x}, dtype=float)"),
    ("x", "Frame()", T, "Frame; use {x}.to_numpy()"),
    ("x", "Labeled()", T, "Labeled; use xarray.apply_ufunc"),
    ("x", "Sparse()", T, "Sparse; use {x}.toarray()"),
    ("x", "Categorical()", T, "`.logits`", "`.probs`"),
    ("x", "None", T, "NoneType"),
    ("x", "'probs'", T, "str"),
    ("x", "b(np.ones((3, 4), dtype=np.int64))", T, "floating-point", "float64"),
    ("x", "b(np.ones((3, 4), dtype=bool))", T, "floating-point"),
    ("x", "b(np.ones((3, 4), dtype=np.complex64))", T, "floating-point", "complex64"),
    ("alpha", "-1", V, ">= 0", "-1"),
    ("alpha", "-1e-300", V, ">= 0"),
    ("alpha", "-math.inf", V, ">= 0"),
    ("alpha", "math.nan", V, ">= 0"),
    ("alpha", "np.float64(-2.0)", V, ">= 0"),
    ("alpha", "2j", T, "real number"),
    ("alpha", "True", T, "real number"),
    ("alpha", "'2'", T, "a number or an array", "str"),
    ("alpha", "None", T, "a number or an array", "1 is the order of Shannon's entropy"),
    ("alpha", "[0.5, 1.0, 2.0]", T, "a number or an array", "entropy_spectrum"),
    ("alpha", "schedules.Constant(2.0)", T, "alpha=schedule(step)"),
    ("alpha", "np.asarray(['2'])", T),
    ("alpha", "np.asarray([2.0], dtype=object)", T),
    ("alpha", "np.asarray(['2020'], dtype='datetime64[D]')", T),
    ("alpha", "b(np.ones(3, dtype=bool))", T, "real"),
    ("alpha", "b(np.ones(3, dtype=np.complex64))", T, "real"),
    ("alphas", "2.0", T, "a list or an array of orders", "for one order use entropy"),
    ("alphas", "None", T, "a list or an array of orders"),
    ("alphas", "'12'", T, "a list or an array"),
    ("axis", "2", V, "out of range", "2 dimensions"),
    ("axis", "-3", V, "out of range"),
    ("axis", "(0, 2)", V, "out of range"),
    ("axis", "(0, 0)", V, "repeats"),
    ("axis", "(-1, 1)", V, "repeats"),
    ("axis", "()", V, "names no axis"),
    ("axis", "1.0", T, "an integer"),
    ("axis", "'0'", T, "an integer"),
    ("axis", "True", T, "an integer"),
    ("axis", "(0, 1.0)", T, "an integer"),
    ("axis", "[0, 1]", T, "a tuple of integers"),
    ("where", "b(np.ones((3, 4)))", T, "boolean", "where != 0"),
    ("where", "b(np.ones((3, 4), dtype=np.int64))", T, "boolean", "where != 0"),
    ("where", "[True]", T, "list", "asarray(where)|as_tensor(where"),
    ("where", "True", T, "bool", "asarray(where)|as_tensor(where"),
    *(("where", f"b(np.ones({shape}, dtype=bool))", V, "does not broadcast") for shape in ((3,), (4, 3), (1, 3, 4))),
    *(("base", base, V, "positive, finite and not 1") for base in ("0", "1", "-2", "1.0", "math.nan", "math.inf")),
    *(("base", base, T, "a real number") for base in ("2j", "True", "'2'")),
    *(("keepdims", flag, T, "True or False") for flag in ("'no'", "1", "None", "np.float64(1.0)")),
    ("cotangent", "[1.0, 1.0, 1.0]", T, "list", "asarray(cotangent)|as_tensor(cotangent"),
    ("cotangent", "'1'", T, "str"),
    ("cotangent", "True", T, "real"),
    ("cotangent", "1j", T, "real"),
    ("cotangent", "b(np.ones((3, 1), dtype=np.complex64))", T, "real or boolean", "complex64"),
    *(("cotangent", f"b(np.ones({shape}))", V) for shape in ((2,), (3, 4, 2), (3, 5), (4,))),
    ("vector", "[1.0, 1.0, 1.0, 1.0]", T, "list", "asarray(vector)|as_tensor(vector"),
    ("vector", "1.0", T, "float", "asarray(vector)|as_tensor(vector"),
    ("vector", "None", T, "is missing", "vector=v"),
    ("vector", "b(np.ones(4, dtype=np.complex64))", T, "real or boolean", "complex64"),
    *(("vector", f"b(np.ones({shape}))", V, "does not broadcast") for shape in ((3,), (4, 3), (2, 3, 4))),
]


def evaluated(expression, backend, **names):
    library = {"np": np, "math": math, "schedules": schedules, "b": backend.asarray, **vars(renyi)}
    return eval(expression, globals() | library | vars(regularizers) | names)


def says(error, words):
    """Whether a message has all the words; one may be written in two ways, with a bar between."""
    return all(any(way in str(error) for way in word.split("|")) for word in words)


def taken_by(call, argument, value):
    if argument in {"cotangent", "vector"}:
        return call.name.startswith({"cotangent": "grad", "vector": "hvp"}[argument])
    if argument == "alpha" and "alphas" in call.parameters:
        # one of its orders, if it is none of the ways to give several
        return not isinstance(value, (list, str)) and not hasattr(value, "shape")
    return argument == "x" or argument in inspect.signature(getattr(renyi, call.name.split()[-1])).parameters


@pytest.mark.parametrize(("argument", "given", "error", "words"), [(*row[:3], row[3:]) for row in ARGUMENTS])
def test_what_is_given_to_any_function(backend, argument, given, error, words):
    value = evaluated(given, backend)
    asked = [call for call in CALLS if taken_by(call, argument, value)]
    assert len(asked) >= 3
    for call in asked:
        name = {"x": call.source, "alpha": "alphas?"}.get(argument, argument)
        x = value if argument == "x" else good(backend, call.source)
        if argument == "alphas":
            f = functools.partial(call.function, x, value)
        else:
            f = functools.partial(call, backend, x, **({} if argument == "x" else {argument: value}))
        with pytest.raises(error, match=f"`{name}`") as caught:
            f()
        assert says(caught.value, [word.format(x=name) for word in words]), caught.value


KEYWORDS = [
    # what is written, and what to write
    *(("mask", "where"), ("dim", "axis"), ("keepdim", "keepdims"), ("order", "alpha")),
    *(("log_base", "base"), ("orders", "alphas"), ("axs", "axis"), ("ignore_index", "sample_weight")),
    *(("beta", "weight"), ("target", "reference"), ("tau", "temperature"), ("sigma", "bandwidth")),
]


@pytest.mark.parametrize(("written", "right"), KEYWORDS)
def test_keywords_of_other_libraries(written, right):
    """In every function, derivative and term that has the argument, and nowhere else."""
    count = 0
    for f in [*FUNCTIONS, *TERMS.values()]:
        parameters = inspect.signature(f).parameters
        if right not in parameters or written in parameters:
            continue
        name = getattr(f, "__name__", type(f).__name__)
        for each in (f, renyi.grad(f)) if f in renyi._rules._rules or hasattr(f, "rule") else (f,):
            with pytest.raises(TypeError, match=f"`{name}` has no argument `{written}`: .*`{right}=`"):
                each(np.ones((3, 4)), **{written: 1})
            count += 1
    assert count


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_arguments_that_are_missing_or_too_many(f):
    parameters = inspect.signature(f).parameters.values()
    first = next(iter(parameters)).name
    needed = [p.name for p in parameters if p.default is p.empty]
    placed = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    for k, name in enumerate(needed):
        with pytest.raises(TypeError, match=f"`{f.__name__}` needs `{name}`"):
            f(*[None] * k)
    with pytest.raises(TypeError, match=f"`{f.__name__}` takes {len(placed)} arguments without a name, got"):
        f(*[None] * (len(placed) + 1))
    for name in (first, "input"):
        with pytest.raises(TypeError, match=rf"`{f.__name__}` takes its first .* as in {f.__name__}\({first}"):
            f(**{name: None})
    with pytest.raises(TypeError, match=f"`{f.__name__}` has no argument `nonsense_`; it takes `"):
        f(*[None] * len(needed), nonsense_=1)


SIGN = "the sign is inside"
CALLED = [
    # a call, the error, and what it must say
    ("EntropyBonus() * BalanceTerm()", T, "multiplied by a number", "BalanceTerm"),
    ("(EntropyBonus() + BalanceTerm()) * LabelSmoothing()", T, "multiplied by a number", "LabelSmoothing"),
    ("EntropyBonus() * (EntropyBonus() + BalanceTerm())", T, "multiplied by a number", "TermSum"),
    ("EntropyBonus() * '2'", T, "multiplied by a number", "str"),
    ("EntropyBonus() * [2.0]", T, "`weight`", "list"),
    ("-EntropyBonus()", T, SIGN, "add it to the loss"),
    ("-(EntropyBonus() + BalanceTerm())", T, SIGN),
    ("EntropyBonus() - BalanceTerm()", T, SIGN),
    ("1.0 - EntropyBonus()", T, SIGN),
    ("np.ones(3) - EntropyBonus()", T, SIGN),
    ("EntropyBonus() * -1", V, "`weight`", ">= 0", SIGN),
    ("EntropyBonus(weight=-0.01)", V, "`weight`", ">= 0", SIGN),
    ("np.ones(()) + EntropyBonus()", T, "loss + term(logits)", "ndarray"),
    ("EntropyBonus() + 1.0", T, "loss + term(logits)", "float"),
    ("EntropyBonus(weight=schedules.Linear(0.1, 0.0, steps=10))", T, "`weight`", "Linear", "weight=schedule(step)"),
    ("EntropyBonus(schedules.Linear(0.1, 0.0, steps=10))", T, "`alpha`", "Linear", "alpha=schedule(step)"),
    ("EntropyBonus()(z, weight=schedules.Constant(0.1))", T, "`weight`", "weight=schedule(step)"),
    ("EntropyBonus(beta=0.01)", T, "`EntropyBonus` has no argument `beta`: use `weight=`"),
    ("EntropyBonus(order=2)", T, "`EntropyBonus` has no argument `order`: use `alpha=`"),
    ("EntropyBonus(from_logits=True)", T, "use `source=`, 'logits' or 'probs'"),
    ("EntropyBonus().replace(coef=2)", T, "`EntropyBonus` has no argument `coef`: use `weight=`"),
    ("EntropyBonus(nonsense_=2)", T, "it takes `alpha`, `weight`, `reduction`, `source`"),
    ("EntropyBonus(2.0, 0.01, 'mean')", T, "`EntropyBonus` takes 2 arguments without a name", "`reduction=`"),
    ("EntropyBonus(ignore_index=-100)", T, "at the call use `sample_weight=`", "sample_weight=(labels != -100)"),
    ("BalanceTerm(mask=z > 0)", T, "at the call use `where=`", "`sample_weight=`"),
    ("EntropyBonus(sample_weight=z)", T, "at the call use `sample_weight=`"),
    ("EntropyBonus().replace(dim=0)", T, "at the call use `axis=`"),
    ("EntropyBonus(weight=schedules.TargetEntropy(n=3, fraction=0.5))", T, "`weight`", "weight=controller.weight"),
    ("schedules.Constant(schedules.TargetEntropy(1.0))", T, "TargetEntropy", "=controller.weight"),
    ("EntropyFloor()", T, "`EntropyFloor` needs `target`"),
    ("EntropyBonus(reduction='average')", V, "`reduction`", "'mean', 'sum', 'none'", "'average'"),
    ("EntropyBonus(source='probabilities')", V, "`source`", "'logits', 'probs'"),
    ("EntropyFloor(1.0, relative='yes')", T, "`relative`", "True or False"),
    ("GaussianEntropyBonus(squashed=1)", T, "`squashed`", "True or False"),
    ("EntropyBonus()()", T, "`EntropyBonus` needs `x`"),
    ("DivergenceTerm()(z)", T, "`DivergenceTerm` needs `reference`"),
    ("EntropyBonus()(z, mask=z > 0)", T, "`EntropyBonus` has no argument `mask`", "`where=`", "`sample_weight=`"),
    ("EntropyBonus()(z, ignore_index=-100)", T, "sample_weight=(labels != -100)"),
    ("(EntropyBonus() + BalanceTerm())(z, dim=0)", T, "`TermSum` has no argument `dim`: use `axis=`"),
    ("(EntropyBonus() + BalanceTerm())(z, alpha=2)", T, "`alpha` is an option of each term", "`replace`"),
    ("EntropyBonus()(z, sample_weight=[1, 1, 1])", T, "`sample_weight`", "`logits`", "list"),
    (
        "EntropyBonus()(z, sample_weight=b(np.ones(3, dtype=np.complex64)))",
        T,
        "`sample_weight` must be real or boolean",
    ),
    ("EntropyBonus()(z, weight=b(np.ones((), dtype=np.complex64)))", T, "`weight` must be real or boolean"),
    ("value_and_grad(EntropyBonus())(z, cotangent=b(np.ones((), dtype=np.complex64)))", T, "`cotangent`", "real"),
    ("value_and_grad(BalanceTerm())(z, cotangent=1j)", T, "`cotangent`", "real"),
    ("value_and_grad(regularized_argmax)(z, 2.0, cotangent=b(np.ones((3, 4), dtype=np.complex64)))", T, "`cotangent`"),
    ("grad(entropy_spectrum)(p, [1.0, 2.0], cotangent=1j)", T, "`cotangent`", "real"),
    ("entropy(p, 2.0, reduction='mean')", T, "`entropy` has no argument `reduction`", "take their mean"),
    ("entropy(p, 2.0, sample_weight=p)", T, "`entropy` has no argument `sample_weight`", "renyi_core.regularizers"),
    ("grad(hill_number)(p, 2.0, base=2)", T, "`hill_number` has no argument `base`"),
    ("hvp(entropy_from_logits)(z, 2.0)", T, "`vector` is missing", "hvp(entropy_from_logits)(..., vector=v)"),
    ("hvp(entropy_from_logits)(z, 2.0, v=z)", T, "has no argument `v`: use `vector=`"),
    ("divergence(p, [0.25] * 4, 2.0)", T, "`q`", "of `p`", "list"),
    ("grad(entropy, 0.0)", V, "`wrt` must be one of 0, 'alpha' for `entropy`", "0 is its first argument"),
    ("grad(entropy, 'probs')", V, "`wrt` must be one of 0, 'alpha'", "0 is its first argument"),
    *((f"grad(entropy, {wrt})", V, "`wrt`") for wrt in ("1", "-1", "None", "False", "True", "()", "(0, 0)", "1j")),
    ("value_and_grad(entropy_spectrum_from_logits, 'alphas')", V, "`wrt`"),
    *(
        (f"{transform}({f})", T, "`f`", f"`{transform}` takes", word)
        for transform in ("grad", "value_and_grad", "hvp")
        for f, word in (
            ("lambda x: x", "<lambda>; other functions are for your library's automatic differentiation"),
            ("np.exp", "got exp"),
            ("check_probabilities", "check_probabilities"),
            ("grad(entropy)", "partial"),
            ("p", f"{transform}(f)(...)"),
            ("None", "NoneType"),
            ("'entropy'", "str"),
        )
    ),
    *(
        (f"hvp({f})", T, "`f` must be a function of logits for `hvp`")
        for f in ("entropy", "entropy_spectrum_from_logits", "EntropyBonus()")
    ),
    ("register_adapter('numpy', 'my_adapter')", T, "`module`", "importlib.import_module"),
    ("register_adapter(np, None)", T, "`name`", "string"),
    ("schedules.Linear(0.1, 0.0, steps=10)()", T, "`Linear` needs `step`"),
]


@pytest.mark.parametrize(("call", "error", "words"), [(*row[:2], row[2:]) for row in CALLED])
def test_what_is_called(backend, call, error, words):
    with pytest.raises(error) as caught:
        evaluated(call, backend, p=good(backend), z=good(backend, "logits"))
    assert says(caught.value, words), caught.value
    # names that nobody can call
    assert not re.search(r"__call__|__init__|Distributions|_product|_value_and_gradient|locals", str(caught.value))


MIXED = {
    "where": "entropy(probs, 2.0, where={})",
    "alpha": "entropy(probs, {})",
    "q": "divergence(p, {}, 2.0)",
    "sample_weight": "EntropyBonus()(logits, sample_weight={})",
    "weight": "EntropyBonus()(logits, weight={})",
    "reference": "DivergenceTerm()(logits, {})",
    "cotangent": "grad(entropy)(probs, 2.0, cotangent={})",
    "vector": "hvp(entropy_from_logits)(logits, 2.0, vector={})",
    "weights": "jensen_divergence(probs, 1, weights={})",
    "temperature": "regularized_max(scores, 1, {})",
    "alphas": "entropy_spectrum(probs, {})",
}


def with_a_gradient(values):
    return pytest.importorskip("torch").asarray(values).requires_grad_(values.dtype.kind == "f")


def of_a_graph(values):
    return pytest.importorskip("dask.array").from_array(values)


def dask_that_computes():
    return pytest.importorskip("dask").config.set(scheduler="synchronous")


OTHERS = {"torch": with_a_gradient, "dask": of_a_graph}


@pytest.mark.parametrize(
    ("argument", "other"), [*((name, None) for name in MIXED), *((name, k) for name in ("where", "q") for k in OTHERS)]
)
def test_arrays_of_two_libraries(backend, argument, other):
    """The error holds code that converts; that code runs, and the call after it."""
    if backend.library == other:
        pytest.skip("one library")
    x = good(backend, shape=(3, 3))
    names = dict.fromkeys(("p", "probs", "logits", "scores"), x)
    given = np.ones(() if argument == "weight" else 3, dtype=bool if argument == "where" else "float64")
    if other:
        given = OTHERS[other](given)
    elif backend.library == "numpy":
        given = pytest.importorskip("array_api_strict").asarray(given)
    library = {"jax": "jnp", "dask": "da", "strict": "array_api_strict"}.get(backend.library, backend.library)
    module = getattr(backend.xp, "__wrapped__", None) or pytest.importorskip(backend.xp.__name__.split("compat.")[-1])
    with pytest.raises(TypeError, match=f"`{argument}` must be an array of the library of `") as caught:
        evaluated(MIXED[argument].format("given"), backend, given=given, **names)
    code = str(caught.value).partition("; use ")[2]
    with dask_that_computes() if other == "dask" else contextlib.nullcontext():
        converted = eval(code, {"np": np, library: module, argument: given, **names})
    evaluated(MIXED[argument].format("given"), backend, given=converted, **names)


def test_a_number_of_numpys_is_a_number(backend):
    for alpha in (np.float64(2.0), np.float32(2.0), np.int64(2)):
        got = renyi.grad(renyi.entropy)(good(backend), alpha, cotangent=np.float32(2.0), keepdims=np.bool_(True))
        want = renyi.grad(renyi.entropy)(good(backend), 2.0, cotangent=2.0)
        assert np.array_equal(backend.numpy(got), backend.numpy(want))
    assert renyi.entropy(good(backend), 2.0, keepdims=np.bool_(True)).shape == (3, 1)
    assert renyi.grad(renyi.entropy, np.int64(0))(np.ones(2), 2.0).shape == (2,)


P, Q, GRAM = (
    np.asarray([0.5, 0.25, 0.125, 0.125]),
    np.asarray([0.1, 0.2, 0.3, 0.4]),
    np.asarray([[2.0, 0.5], [0.5, 1.0]]),
)
ALPHA = 3.0
POWERS = (P**ALPHA).sum()
MEAN = (P + Q) / 2
SHANNON = -(P * np.log(P)).sum()
KL = (P * np.log(P / Q)).sum()
LAMBDA = np.linalg.eigvalsh(GRAM / np.trace(GRAM))


def renyi_by_definition(p):
    return np.log((p**ALPHA).sum()) / (1 - ALPHA)


def shannon_by_definition(p):
    return -(p * np.log(p)).sum()


DEFINITIONS = {
    "collision_entropy": -math.log((P**2).sum()),
    "effective_number": POWERS ** (1 / (1 - ALPHA)),
    "gini_impurity": 1 - (P**2).sum(),
    "gini_simpson": 1 - (P**2).sum(),
    "hartley_entropy": math.log(4),
    "inverse_simpson": 1 / (P**2).sum(),
    "jensen_renyi_divergence": renyi_by_definition(MEAN) - (renyi_by_definition(P) + renyi_by_definition(Q)) / 2,
    "jensen_shannon_divergence": ((P * np.log(P / MEAN)).sum() + (Q * np.log(Q / MEAN)).sum()) / 2,
    "js_divergence": shannon_by_definition(MEAN) - (shannon_by_definition(P) + shannon_by_definition(Q)) / 2,
    "kl_div": KL,
    "kl_divergence": KL,
    "max_entropy": math.log(4),
    "min_entropy": -math.log(0.5),
    "perplexity": math.exp(SHANNON),
    "relative_entropy": KL,
    "renyi_divergence": math.log((P**ALPHA * Q ** (1 - ALPHA)).sum()) / (ALPHA - 1),
    "renyi_entropy": renyi_by_definition(P),
    "shannon_entropy": SHANNON,
    "simpson_index": (P**2).sum(),
    "softmax": np.exp(Q) / np.exp(Q).sum(),
    "tsallis": (1 - POWERS) / (ALPHA - 1),
    "von_neumann_entropy": shannon_by_definition(LAMBDA),
}


@pytest.mark.parametrize("name", [*OTHER_NAMES, "shannon_entropy_from_logits"])
def test_names_of_other_libraries(name):
    """The call that the error names has the value that the name stands for."""
    with pytest.raises(AttributeError, match=f"no attribute '{name}': use ") as caught:
        getattr(renyi, name)
    call = re.split("[;,] (?:with|of)", str(caught.value).partition(": use ")[2])[0]
    probs = np.stack([P, Q]) if "jensen" in call else P
    given = {"p": P, "q": Q, "probs": probs, "scores": Q, "gram": GRAM, "alpha": ALPHA, "math": math}
    got = eval(call, {**vars(renyi), **given})
    assert np.allclose(got, DEFINITIONS[name.removesuffix("_from_logits")], rtol=1e-12)
    other = re.search(r"of logits, (\w+)", str(caught.value))
    assert other is None or callable(getattr(renyi, other[1]))
    assert other or not name.endswith("_from_logits")


def test_names_that_are_elsewhere_or_nowhere():
    for name, place in (("EntropyBonus", "regularizers"), ("Linear", "schedules"), ("plot_spectrum", "monitoring")):
        with pytest.raises(AttributeError, match=f"it is renyi_core.{place}.{name}"):
            getattr(renyi, name)
    with pytest.raises(AttributeError, match=r"^module 'renyi_core' has no attribute 'nonsense'$"):
        renyi.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'kl_divergence' from 'renyi_core'"):
        from renyi_core import kl_divergence  # noqa: F401
    assert not hasattr(renyi, "shannon_entropy")
    assert not set(OTHER_NAMES) & set(dir(renyi))
