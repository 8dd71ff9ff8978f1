"""Arrays that pass for what they are not, in the place of every array argument of every public function.

The arguments are read from the signatures, so that a new one is among them.
"""

from __future__ import annotations

import dataclasses
import inspect
import math

import every_call
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core import regularizers, schedules
from renyi_core._rules import _rules

BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
OPTIONS = {
    "GaussianEntropyBonus": {"squashed": True},
    "DiversityTerm": {"kernel": "gaussian"},
    "entropy_bounds_from_top": {"n": 10**6},
    "high_entropy_mask": {"share": 0.5},
    "kernel_entropy": {"kernel": "gaussian"},
    "nucleus_mask": {"mass": 0.5},
}


def _annotated(f):
    """Return the names of the parameters that may be arrays, and what all of them are called by."""
    parameters = inspect.signature(f).parameters.values()
    kinds = ("ArrayOf", "Alpha", "Any")
    return [p.name for p in parameters if any(kind in str(p.annotation) for kind in kinds)], list(parameters)


def _places(label, f, inputs, **options):
    """Yield ``(label, parameter, call)`` for each array argument of a function; the call takes what stands there."""
    names, parameters = _annotated(f)
    values = dict(zip([p.name for p in parameters], inputs, strict=False)) | options
    for p in parameters[len(inputs) :]:
        if p.default is p.empty and p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}:
            values[p.name] = [0.5] if p.name == "alphas" else 0.5
    for name in names:
        yield f"{label} {name}", name, lambda bad, name=name: _call(f, parameters, {**values, name: bad})


def _call(f, parameters, values):
    positional = [values.pop(p.name) for p in parameters if p.kind is not p.KEYWORD_ONLY and p.name in values]
    return f(*positional, **values)


def _of_functions(arrays):
    for name in every_call.NAMES:
        f, inputs = getattr(renyi, name), [arrays[argument] for argument in every_call.arguments(name)]
        options = OPTIONS.get(name, {})
        yield from _places(name, f, inputs, **options)
        rule = _rules.get(f)
        order = () if name in every_call.WITHOUT_ORDER else ([0.5],) if name in every_call.SPECTRA else (0.5,)
        for wrt in rule.wrt if rule else ():
            # bandwidth and weights are derivatives of what was given
            both = renyi.value_and_grad(f, wrt)
            more = {**options, **({"weights": arrays["probs"][:, 0]} if wrt == "weights" else {})}
            yield (
                f"{name} wrt {wrt} cotangent",
                "cotangent",
                lambda bad, both=both, more=more, inputs=inputs, order=order: both(
                    *inputs, *order, **more, cotangent=bad
                ),
            )
        if rule and rule.hvp:
            product = renyi.hvp(f)
            yield (
                f"hvp of {name} vector",
                "vector",
                lambda bad, product=product, inputs=inputs: product(*inputs, 0.5, vector=bad),
            )


def _of_terms(arrays):
    for name, inputs in every_call.TERMS.items():
        given = [arrays[argument] for argument in inputs]
        options = OPTIONS.get(name, {})
        term = every_call.term(name, **options)
        given = [*given, arrays["scores"]] if "squashed" in options else given
        for label, parameter, call in _places(name, term, given):
            yield label, "logits" if parameter == "x" else parameter, call
        for wrt in term.wrt:
            both = renyi.value_and_grad(term, wrt)
            yield (
                f"{name} wrt {wrt} cotangent",
                "cotangent",
                lambda bad, both=both, given=given: both(*given, cotangent=bad),
            )
        for field in dataclasses.fields(term):
            if field.type == "Any":
                yield (
                    f"{name}({field.name}=...)",
                    field.name,
                    lambda bad, name=name, key=field.name, options=options: every_call.term(
                        name, **{**options, key: bad}
                    ),
                )


def _of_training(arrays):
    yield from _places("state_entropy_reward", regularizers.state_entropy_reward, [arrays["probs"]])
    yield from _places("dual_ascent", schedules.dual_ascent, [arrays["scores"]] * 2, target=1.0)
    yield "Linear step", "step", schedules.Linear(0.0, 1.0, 10)
    yield "TargetEntropy anchor", "anchor", lambda bad: schedules.TargetEntropy(anchor=bad)
    for name in ("target", "initial", "rate"):
        yield (
            f"TargetEntropy {name}",
            name,
            lambda bad, name=name: schedules.TargetEntropy(**{"target": 1.0, name: bad}),
        )
    yield "TargetEntropy fraction", "fraction", lambda bad: schedules.TargetEntropy(fraction=bad, n=3)
    yield "TargetEntropy n", "n", lambda bad: schedules.TargetEntropy(fraction=0.5, n=bad)
    yield "TargetEntropy.update", "entropy", schedules.TargetEntropy(1.0).update


def places(arrays):
    """Yield ``(label, parameter, call)`` for every array argument of the library."""
    yield from _of_functions(arrays)
    yield from _of_terms(arrays)
    yield from _of_training(arrays)


LABELS = {label for label, _, _ in places(every_call.inputs("plain"))}


def test_all_kinds_of_arguments_are_among_them():
    """The walk cannot run empty."""
    for label in (
        *("entropy probs", "entropy alpha", "entropy where", "entropy wrt 0 cotangent", "divergence q"),
        *("hvp of entropy_from_logits vector", "jensen_divergence weights", "kernel_entropy bandwidth"),
        *(
            "regularized_max temperature",
            "EntropyBonus sample_weight",
            "EntropyBonus weight",
            "EntropyFloor(alpha=...)",
        ),
        *("EntropyFloor(alpha=...)", "dual_ascent target", "DivergenceTerm reference"),
        *("entropy_spectrum alphas", "summary logits", "check_probabilities where"),
        *("entropy_from_counts counts", "GaussianEntropyBonus mean", "state_entropy_reward counts", "Linear step"),
    ):
        assert label in LABELS, label


def guises(backend):
    """Yield arrays of the library that cannot be used, and a word of the reason."""
    if backend.library == "numpy":
        values = np.asarray([0.5, 0.3, 0.2])
        yield np.ma.masked_array(values, [0, 0, 1]), "where="
        yield np.rec.array([(0.5, 0.5)] * 3), ""
        yield np.matrix(values), "asarray"
        yield values.astype(object), ""
        yield values.astype("datetime64[s]"), ""
    elif backend.library == "torch":
        torch, values = backend.xp, backend.asarray(np.ones((2, 3)))
        yield torch.masked.masked_tensor(values, values > 0), "where="
        yield values.to_sparse(), "to_dense"
        yield values.to_sparse_csr(), "to_dense"
        yield torch.nested.nested_tensor([values[0], values[1, :2]]), "jagged"
        yield values.to(torch.float8_e4m3fn), ""
        yield values.to(torch.complex64), ""
    elif backend.library == "jax":
        yield backend.xp.ones(3, dtype=backend.xp.float8_e4m3fn), ""
        yield backend.xp.ones(3, dtype=backend.xp.complex64), ""
    elif backend.library == "dask":
        yield backend.xp.ma.masked_array(backend.xp.ones(3), np.asarray([0, 0, 1])), "where="
        yield backend.asarray(np.ones(3, np.complex64)), ""
    else:
        yield backend.asarray(np.ones(3, np.complex64)), ""


@pytest.mark.filterwarnings("ignore:.*(Sparse CSR|nested tensors|MaskedTensor|out of beta|matrix subclass).*")
def test_arrays_that_cannot_be_used_are_refused_by_name(backend):
    arrays = {name: backend.asarray(values) for name, values in every_call.inputs("plain").items()}
    failures = []
    for bad, reason in guises(backend):
        for label, parameter, call in places(arrays):
            if parameter == "rng":
                continue
            try:
                call(bad)
            except TypeError as error:
                said = str(error)
            except Exception as error:  # noqa: BLE001  the wrong one is what is looked for
                said = f"{type(error).__name__}: {error}"
            else:
                said = "taken"
            numeric = label.startswith("TargetEntropy") or label == "entropy_from_counts alpha"
            if f"`{parameter}`" not in said or (reason not in said and not numeric):
                failures.append((type(bad).__name__, label, said[:200]))
    assert not failures, "\n".join(map(str, failures))


def test_bfloat16_of_numpy_is_refused_with_the_cure(backend):
    """NumPy stores ml_dtypes' numbers and has no kind of dtype for them."""
    if backend.library != "numpy":
        pytest.skip("NumPy's own bfloat16")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    probs = np.full(4, 0.25)
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn):
        for call in (renyi.entropy, lambda x, a: renyi.entropy(probs, a, where=x)):
            with pytest.raises(TypeError, match=r"`probs`|`where`"):
                call(probs.astype(dtype), 2.0)
    with pytest.raises(TypeError, match=r"`probs` .* got bfloat16; convert it, e.g. by .astype\(numpy.float32\)"):
        renyi.entropy(probs.astype(ml_dtypes.bfloat16), 2.0)


@pytest.mark.filterwarnings("ignore:.*nested tensors.*")
def test_jagged_rows_are_refused_where_they_must_have_one_length(backend):
    if backend.library != "torch":
        pytest.skip("nested tensors are torch's")
    from renyi_training.torch import entropy_and_log_prob

    x = backend.xp.nested.nested_tensor([backend.asarray(np.ones((n, 3))) for n in (2, 4)], layout=backend.xp.jagged)
    assert renyi.entropy(x, 2.0).is_nested
    assert renyi.regularized_argmax(x, 0.5).is_nested
    for name, call in (
        ("scores", lambda: renyi.regularized_argmax(x, 2.0)),
        ("scores", lambda: renyi.regularized_max(x, math.inf)),
        ("joint", lambda: renyi.mutual_information(x, 2.0)),
        ("probs", lambda: renyi.jensen_divergence(x, 2.0)),
        ("logits", lambda: entropy_and_log_prob(x, 2.0)),
        ("logits", lambda: renyi.grad(regularizers.BalanceTerm())(x)),
    ):
        with pytest.raises(TypeError, match=f"`{name}` is a nested tensor"):
            call()


@pytest.mark.filterwarnings("ignore:.*nested tensors.*")
def test_jagged_rows_are_refused_where_torch_cannot_take_rows_of_any_length(backend):
    if backend.library != "torch":
        pytest.skip("nested tensors are torch's")
    parts = [backend.asarray(np.full(n, 1 / n)) for n in (2, 4)]
    x = backend.xp.nested.nested_tensor(parts, layout=backend.xp.jagged)
    for name, call in (
        ("p", lambda: renyi.divergence(x, x, 2.0)),
        ("p_logits", lambda: renyi.grad(renyi.cross_entropy_from_logits)(x, x, 1.0)),
        ("log_prob", lambda: renyi.entropy_from_log_prob(x, 2.0)),
        ("log_prob", lambda: renyi.grad(renyi.entropy_from_log_prob)(x, 2.0)),
        ("scores", lambda: renyi.regularized_max(x, 0.5)),
        ("logits", lambda: renyi.hvp(renyi.entropy_from_logits)(x, 2.0, vector=x)),
        ("logits", lambda: regularizers.ConfidencePenalty()(x)),
        ("logits", lambda: renyi.grad(regularizers.LabelSmoothing())(x)),
        ("logits", lambda: regularizers.BalanceTerm()(x)),
        ("logits", lambda: regularizers.InformationTerm()(x)),
        ("log_prob", lambda: regularizers.SampledEntropyBonus()(x)),
    ):
        with pytest.raises(TypeError, match=f"`{name}` is a nested tensor"):
            call()
    rows = backend.xp.nested.nested_tensor([part[:, None] for part in parts], layout=backend.xp.jagged)
    hvp, vector = renyi.hvp(renyi.entropy_from_logits), backend.asarray(np.ones(1))
    with pytest.raises(TypeError, match=r"`vector` must be a nested tensor .* pass 0 \* logits \+ vector"):
        hvp(rows, 2.0, vector=vector)
    assert hvp(rows, 2.0, vector=0 * rows + vector).is_nested
    for values in (x, rows):
        with pytest.raises(TypeError, match="`alpha` must be a number where `probs` is a nested tensor"):
            renyi.entropy(values, backend.asarray(np.asarray(2.0)))
    with pytest.raises(ValueError, match=r"`probs` must sum to 1 .*: 6 distributions do not"):
        renyi.check_probabilities(rows)


@pytest.mark.parametrize("points", [[0, 5], [(0, 1.0), 5]])
def test_points_that_are_no_pairs_are_named(points):
    with pytest.raises(TypeError, match="`points` must be a sequence of"):
        schedules.Piecewise(points, [1.0, 2.0])
    with pytest.raises(ValueError, match="`interpolation` must be one of"):
        schedules.Piecewise([(0, 1.0)], [1.0, 2.0])
