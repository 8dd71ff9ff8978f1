"""What holds of every quantity on every library: signatures, several derivatives, memory, tasks; and of the house."""

from __future__ import annotations

import ast
import functools
import inspect
import tracemalloc
from pathlib import Path

import every_call
import numpy as np
import pytest

import renyi_core as renyi
from renyi_core._rules import _rules
from renyi_core.regularizers import DivergenceTerm, EntropyBonus

BACKENDS = ("numpy", "torch", "jax", "dask")
pytestmark = pytest.mark.usefixtures("backend")
ROOT = Path(__file__).parent.parent
ELSEWHERE = {"entropy_bounds_from_top"}
"""Of two values: in test_bounds.py."""
FUNCTIONS = sorted(name for name in set(every_call.NAMES) - ELSEWHERE if getattr(renyi, name) in _rules)
JOINTS = {
    "conditional_entropy",
    "jensen_divergence",
    "jensen_divergence_from_logits",
    "maximal_leakage",
    "mutual_information",
}
ORDER = 0.7
DOUBLED = {"regularized_argmax", "regularized_max"}
"""Choices, which may keep twice their input."""
PAIRS = ("divergence", "Divergence", "cross_entropy", "CrossEntropy", "Confidence", "LabelSmoothing")
"""What is in the names of pairs, which may keep their gradients beside their inputs, up to 4 million entries."""


def inputs(dtype, rows, n, sets=200):
    """Arrays of the functions: distributions of n outcomes, so many sets of matrices and samples."""
    rng = np.random.default_rng(0)
    arrays = every_call.inputs("plain", dtype, (rows, n))
    matrices = rng.normal(size=(sets, 12, 16))
    matrices = matrices @ matrices.swapaxes(-1, -2) + np.eye(12)
    arrays |= {"covariance": matrices, "other_covariance": matrices + np.eye(12), "mean": rng.normal(size=(sets, 12))}
    arrays |= {"points": rng.normal(size=(sets, 40, 48)), "joint": rng.random((sets, 16, n // 16))}
    return {name: x.astype(dtype) for name, x in arrays.items()}


def calls(arrays, alpha=ORDER):
    """Yield the name of each function and term, the names of its arrays, and it as a function of these."""
    for name in FUNCTIONS:
        f = getattr(renyi, name)
        order = () if name in every_call.WITHOUT_ORDER else ([alpha],) if name in every_call.SPECTRA else (alpha,)
        names = ("joint",) if name in JOINTS else every_call.arguments(name)
        yield name, names, functools.partial(_called, f, order)
    for name, names in every_call.TERMS.items():
        if name != "InformationTerm":
            yield name, names, functools.partial(_called, every_call.term(name, alpha=alpha), ())
    yield "InformationTerm", ("logits",), functools.partial(_called, every_call.term("InformationTerm"), ())


def _called(f, order, *given, **options):
    return f(*given, *order, **options)


def test_a_rule_has_the_signature_of_its_function(backend):
    """It takes the same options, with the same defaults, and refuses the same."""
    if backend.library != "numpy":
        pytest.skip("of Python, not of arrays")
    arrays = every_call.inputs("plain")
    for name in FUNCTIONS:
        f = getattr(renyi, name)
        order = () if name in every_call.WITHOUT_ORDER else ([2.0],) if name in every_call.SPECTRA else (2.0,)
        given = [arrays[argument] for argument in every_call.arguments(name)]
        parameters = inspect.signature(f).parameters.values()
        named = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        more = {"cotangent": np.ones_like(given[0])} if name == "regularized_argmax" else {}
        both = functools.partial(renyi.value_and_grad(f), **more)
        for part, want in zip(both(*given, *order, **named), both(*given, *order), strict=True):
            assert np.array_equal(part, want, equal_nan=True)
        for unknown in {"base", "axis", "where", "keepdims", "no_such_option"} - set(named):
            for call in (f, both):
                with pytest.raises(TypeError, match=unknown):
                    call(*given, *order, **{unknown: None})
        with pytest.raises(TypeError):
            both(*given, *order, 1.0, 2.0, 3.0)


def test_several_derivatives_from_one_call(backend):
    """They are those of one call each, in the order asked for."""
    if backend.library == "dask":
        pytest.skip("computed on NumPy")
    arrays = {name: backend.asarray(x) for name, x in every_call.inputs("plain", shape=(5, 6)).items()}
    p, q = arrays["probs"], arrays["other_probs"]
    scores, weights = arrays["scores"], arrays["scale"][:, 0] * 0 + 0.5
    one = backend.asarray(np.ones((5,)))
    cases = (
        (renyi.divergence, (p, q, 2.0), {"base": 2}, (1, "alpha", 0)),
        (renyi.cross_entropy_from_logits, (arrays["logits"], arrays["other_logits"], 0.5), {}, (0, 1, "alpha")),
        (renyi.alpha_divergence, (p, q, 0.3), {}, (1, 0)),
        (renyi.jensen_divergence, (p, 2.0), {"weights": weights}, ("weights", 0, "alpha")),
        (renyi.gaussian_divergence, (p, q, q, p, 0.5), {"kind": "diagonal"}, (3, 0, "alpha", 1)),
        (renyi.tanh_gaussian_entropy, (scores, q, 2.0), {}, (1, 0)),
        (renyi.regularized_max, (scores, 0.5, 2.0), {}, ("temperature", 0, "alpha")),
        (renyi.regularized_argmax, (scores, 0.5, 2.0), {"cotangent": p}, ("alpha", 0, "temperature")),
        (renyi.kernel_entropy, (scores, 2.0), {}, ("bandwidth", 0)),
        (renyi.entropy_spectrum, (p, [0.5, 1.0]), {}, (0, "alpha")),
        (EntropyBonus(2.0, 0.1), (arrays["logits"],), {"sample_weight": one}, (0, "alpha", "weight")),
        (DivergenceTerm(0.5, direction="reverse"), (arrays["logits"], arrays["other_logits"]), {}, (1, "weight", 0)),
    )
    for f, given, options, wrt in cases[:: 4 if backend.compiles else 1]:
        value, found = renyi.value_and_grad(f, wrt)(*given, **options)
        assert isinstance(found, tuple)
        assert len(found) == len(wrt)
        for name, part in zip(wrt, found, strict=True):
            want, gradient = renyi.value_and_grad(f, name)(*given, **options)
            assert backend.numpy(part).shape == backend.numpy(gradient).shape
            np.testing.assert_allclose(backend.numpy(part), backend.numpy(gradient), rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(backend.numpy(value), backend.numpy(want), rtol=1e-14)
        same = renyi.grad(f, wrt)(*given, **options)
        assert all(np.array_equal(backend.numpy(a), backend.numpy(b)) for a, b in zip(same, found, strict=True))
    for wrong in ((), (0, 0), (0, "temperature"), (5,)):
        with pytest.raises(ValueError, match="`wrt`"):
            renyi.value_and_grad(renyi.divergence, wrong)


TRACED = {
    *("DivergenceTerm", "InformationTerm", "alpha_divergence", "cross_entropy_from_logits", "entropy_from_log_prob"),
    *("jensen_divergence", "regularized_max"),
}
"""Of JAX, where each is a compilation."""


@pytest.mark.parametrize("alpha", [1 + 1e-6, 2.0])
def test_automatic_differentiation_has_the_digits_of_the_rule(backend, alpha):
    """Also next to α = 1, where that of the operations loses all of them."""
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    arrays = inputs("float64", 5, 32, sets=3)
    arrays["points"] = arrays["points"] / 10
    for name, names, f in calls(arrays, alpha):
        if backend.library == "jax" and (name not in TRACED or alpha == 2):
            continue
        given = [arrays[k] for k in names]
        _, order = f.args
        rule = f.args[0].wrt if name in every_call.TERMS else _rules[f.args[0]].wrt
        wrt = tuple(i for i in rule if isinstance(i, int))
        with renyi.agnostic_only():
            cotangent = np.random.default_rng(1).normal(size=np.shape(f(*given)))
            _, want = renyi.value_and_grad(f.args[0], wrt)(*given, *order, cotangent=cotangent)
        for exact, got in zip(want, pulled(backend, f, given, cotangent, wrt), strict=True):
            assert np.max(np.abs(got - exact)) <= 64 * 2.0**-52 * np.max(np.abs(exact)), name


def pulled(backend, f, given, cotangent, wrt):
    """The derivatives of a function by the library's own means."""
    tensors = [backend.asarray(x) for x in given]
    if backend.library == "torch":
        for i in wrt:
            tensors[i].requires_grad_()
        f(*tensors).backward(backend.asarray(cotangent))
        return [tensors[i].grad.numpy() for i in wrt]
    import jax

    found = jax.jit(lambda given, along: jax.vjp(f, *given)[1](along))(tensors, backend.asarray(cotangent))
    return [np.asarray(found[i]) for i in wrt]


def test_torch_keeps_the_inputs_only(backend):
    if backend.library != "torch":
        pytest.skip("what autograd keeps")
    import torch

    arrays = inputs("float32", 64, 256, sets=8)
    for name, names, f in calls(arrays):
        given = [torch.tensor(arrays[k], requires_grad=True) for k in names]
        kept = {}

        def pack(x, kept=kept):
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            value = f(*given)
        assert value.requires_grad
        share = sum(kept.values()) / sum(x.nbytes for x in given)
        doubled = name in DOUBLED or any(part in name for part in PAIRS)
        assert share <= (2.1 if doubled else 1.05), (name, share)


LARGE = {"beta_entropy", "dirichlet_entropy", "gamma_entropy", "tanh_gaussian_entropy", "truncated_gaussian_entropy"}
"""Series or quadratures of each entry, which a part of the rows shows as well."""
BATCHES = {"BalanceTerm", "InformationTerm", "entropy_spectrum", "entropy_spectrum_from_logits", *DOUBLED}
"""What may take as much as its input: a term of the mean of all rows has them all as probabilities."""


def test_memory_of_numpy(backend):
    """Beyond input and results at most 3 MB and a fifth of the input."""
    if backend.library != "numpy" or backend.variant == "agnostic":
        pytest.skip("NumPy's allocations are traced")
    arrays = inputs("float64", 256, 1024, sets=250)
    # what comes with the first call of all
    renyi.divergence(arrays["probs"][:2], arrays["other_probs"][:2], 2.0)
    for name, names, f in list(calls(arrays))[:: 1 if backend.full else 3]:
        if name == "InformationTerm":
            # at α = 1 its rows are compared with their mean, all at once
            continue
        given = [arrays[k][: 64 if name in LARGE and not backend.full else None] for k in names]
        # the gradient is with the value
        for call in (f, renyi.value_and_grad(f.args[0], 0))[0 if backend.full else 1 :]:
            options = {"cotangent": given[0]} if name == "regularized_argmax" and call is not f else {}
            order = () if call is f else f.args[1]
            tracemalloc.start()
            result = call(*given, *order, **options)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            peak -= sum(x.nbytes for x in every_call.leaves(result))
            size = sum(x.nbytes for x in given)
            assert peak <= 3e6 + (1.2 if name in BATCHES else 0.2) * size, (name, peak / 1e6, size / 1e6)


def test_tasks_of_dask(backend):
    """At most 20 for each chunk, for a value and for each derivative, whatever rows the chunks cut."""
    if backend.library != "dask":
        pytest.skip("Dask's graphs")
    import dask.array as da

    for rows, length in ((6, 14), (2, 14), (2, 5)):
        for order in (ORDER, 1.0, 2.0):
            arrays = every_call.inputs("plain", shape=(6, 14))
            pieces = {name: (rows, length) if x.shape == (6, 14) else -1 for name, x in arrays.items()}
            lazy = {name: da.from_array(x, chunks=pieces[name]) for name, x in arrays.items()}
            chunks = lazy["logits"].npartitions
            for label, call in every_call.calls(lazy, (order,)):
                if label.startswith(("check_probabilities", "summary", "dual_ascent", "Exponential", "Harmonic")):
                    continue
                for part in every_call.leaves(call()):
                    assert len(part.__dask_graph__()) <= 20 * chunks, (label, rows, length, len(part.__dask_graph__()))


def modules():
    """Yield the name of each module of the packages, its file, and whether it is a package."""
    for base in (ROOT, ROOT / "adapters"):
        for package in ("renyi_core", "renyi_adapters", "renyi_training"):
            for path in sorted((base / package).rglob("*.py")):
                parts = path.relative_to(base).with_suffix("").parts
                is_package = parts[-1] == "__init__"
                yield ".".join(parts[:-1] if is_package else parts), path, is_package


def imports():
    """For each module those that it imports, also within functions."""
    known = {name: (path, is_package) for name, path, is_package in modules()}
    graph = {}
    for name, (path, is_package) in known.items():
        here = name.split(".") if is_package else name.split(".")[:-1]
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = here[: len(here) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                inner = {f"{module}.{alias.name}" for alias in node.names} & set(known)
                found |= inner or {module}
        graph[name] = (found & set(known)) - {name}
    return graph


def test_the_house(backend):
    """Kernels import only kernels, overlays neither the public package nor what trains; there is no circle."""
    if backend.library != "numpy":
        pytest.skip("of files, not of arrays")
    graph = imports()
    assert len(graph) > 100
    for name, others in graph.items():
        for other in others:
            if name.startswith("renyi_core._kernels"):
                assert other.startswith("renyi_core._kernels"), (name, other)
            if name.startswith("renyi_adapters"):
                assert other.startswith(("renyi_core._kernels", "renyi_adapters")), (name, other)
            if name.startswith("renyi_core"):
                assert not other.startswith("renyi_training"), (name, other)
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a circle in {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}
