"""What every public function refuses, by which name it says so, and that a row without meaning stays alone."""

from __future__ import annotations

import inspect
import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import renyi_core as renyi

# what each of the others refuses is in a file of its own
ELSEWHERE = {
    "choice_cases": {"regularized_argmax", "regularized_max"},
    "test_bounds": {"entropy_bounds_from_top"},
    "test_checking": {"checking"},
    "test_densities": {"exponential_entropy", "laplace_entropy", "uniform_entropy"},
    "test_dirichlet": {"beta_entropy", "dirichlet_entropy", "gamma_entropy"},
    "test_dispatch": {"agnostic_only", "register_adapter"},
    "test_native": {"show_config"},
    "test_divergence": {"divergence", "divergence_from_logits"},
    "test_diversity": {"gram_entropy", "vendi_score"},
    "test_diversity_pairs": {"gram_joint_entropy", "gram_mutual_information"},
    "test_estimators": {"EntropyEstimate", "entropy_from_counts", "entropy_from_log_prob"},
    "test_gaussian": {"gaussian_divergence", "gaussian_entropy"},
    "test_information": {"conditional_entropy", "maximal_leakage", "mutual_information"},
    "test_jensen": {"jensen_divergence"},
    "test_jensen_logits": {"jensen_divergence_from_logits"},
    "test_masks": {"high_entropy_mask", "nucleus_mask"},
    "test_monitoring": {"Summary", "monitoring"},
    "test_pair_measures": {
        *("alpha_divergence", "alpha_divergence_from_logits", "cross_entropy"),
        *("cross_entropy_from_logits", "tsallis_divergence", "tsallis_divergence_from_logits"),
    },
    "test_particle_information": {"particle_mutual_information"},
    "test_particles": {"particle_entropy", "particle_reward"},
    "test_properties": {"grad", "hvp", "value_and_grad"},
    "test_regularizers": {"regularizers"},
    "test_samples": {"kernel_entropy"},
    "test_schedules": {"schedules"},
    "test_tanh_gaussian": {"tanh_gaussian_entropy"},
    "test_truncated_gaussian": {"truncated_gaussian_entropy"},
}
OTHER = set().union(*ELSEWHERE.values())
WITHOUT_GRADIENT = {"summary"}


class Call(NamedTuple):
    """A public function, or one of its derivatives, and what distinguishes its call."""

    name: str
    function: Any
    source: str
    parameters: tuple[str, ...]

    def __call__(self, backend, x, alpha=2.0, **options):
        """Call it with valid arguments in place of those not given."""
        if "hvp" in self.name:
            options.setdefault("vector", backend.asarray(np.asarray(1.0)))
        if "alphas" in self.parameters:
            alpha = alpha if isinstance(alpha, (list, str)) or getattr(alpha, "ndim", 0) else [alpha]
        return self.function(x, *([alpha] if len(self.parameters) > 1 else []), **options)


def _calls():
    for name in sorted(set(renyi.__all__) - OTHER):
        parameters = tuple(inspect.signature(getattr(renyi, name)).parameters)
        if not {"probs", "logits"} & set(parameters[:1]):
            continue
        f, source = getattr(renyi, name), parameters[0]
        order = [p for p in parameters[1:] if p in {"alpha", "alphas"}]
        shown = (source, *order, *(p for p in parameters if p == "base"))
        yield Call(name, f, source, shown)
        if order and name not in WITHOUT_GRADIENT:
            yield Call(f"grad {name}", renyi.value_and_grad(f), source, shown)
            yield Call(f"grad alpha {name}", renyi.value_and_grad(f, "alpha"), source, shown)
        if source == "logits" and order == ["alpha"]:
            yield Call(f"hvp {name}", renyi.hvp(f), source, shown)


CALLS = list(_calls())
WITH_ORDER = [c for c in CALLS if len(c.parameters) > 1]
ROWWISE = [c for c in WITH_ORDER if "alpha" in c.parameters]


def every(calls):
    return pytest.mark.parametrize("call", calls, ids=lambda c: c.name)


def good(backend, source="probs", shape=(3, 4)):
    """Return rows that are valid for the source."""
    x = np.arange(1.0, 1.0 + math.prod(shape)).reshape(shape)
    return backend.asarray(x if source == "probs" else np.log(x))


def test_every_public_function_is_among_the_calls():
    assert {c.name for c in CALLS if " " not in c.name} | OTHER == set(renyi.__all__)
    for file, names in ELSEWHERE.items():
        text = Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8")
        assert all(name in text for name in names), file


@every(ROWWISE)
def test_arrays_of_orders_that_do_not_fit_are_refused(backend, call):
    x = good(backend, call.source)
    for shape in ((2,), (4,), (3, 2), (1, 2)):
        with pytest.raises(ValueError, match="`alpha`"):
            call(backend, x, backend.asarray(np.full(shape, 2.0)))
    for shape in ((3,), (3, 2), (2, 3, 4)):
        with pytest.raises(ValueError, match="`alpha`"):
            call(backend, x, backend.asarray(np.full(shape, 2.0)), keepdims=True)
    for dtype in (np.complex64, bool):
        with pytest.raises(TypeError, match="`alpha`"):
            call(backend, x, backend.asarray(np.ones(3, dtype=dtype)))
    foreign = pytest.importorskip("array_api_strict").ones(3) if backend.library == "numpy" else np.ones(3)
    with pytest.raises(TypeError, match="`alpha`"):
        call(backend, x, foreign)


@pytest.mark.parametrize("f", [renyi.entropy_spectrum, renyi.entropy_spectrum_from_logits])
def test_spectrum_refuses_no_orders_and_tables_of_orders(backend, f):
    x = good(backend)
    for alphas in ([], backend.asarray(np.ones((2, 2))), backend.asarray(np.asarray(2.0)), backend.asarray(np.ones(0))):
        with pytest.raises(ValueError, match="`alphas`"):
            f(x, alphas)


@every(CALLS)
def test_axes_without_entries_are_refused(backend, call):
    for shape, axis in (((3, 0), -1), ((0,), -1), ((0, 3), (0, 1)), ((), -1), ((), None), ((), 0)):
        with pytest.raises(ValueError, match="`axis`"):
            call(backend, good(backend, call.source, shape), axis=axis)


SENSELESS = {
    "probs": {
        "NaN": [0.5, math.nan, 0.25, 0.0],
        "inf": [0.5, math.inf, 0.0, 0.1],
        "negative": [0.5, 0.75, -0.25, 0.0],
        "barely negative": [0.5, 0.5, -1e-30, 0.0],
        "all zero": [0.0] * 4,
    },
    "logits": {
        "NaN": [1.0, math.nan, 0.0, -math.inf],
        "inf": [math.inf, 1.0, 0.0, -math.inf],
        "two inf": [math.inf, 1.0, math.inf, 0.0],
        "inf and NaN": [math.inf, math.nan, 0.0, 0.0],
        "all -inf": [-math.inf] * 4,
    },
}
ORDERS = [0.0, 0.5, 1.0, 1 + 1e-12, 2.0, math.inf]


def results(backend, call, x, alpha):
    """Return the value, and the gradient where there is one, as NumPy arrays."""
    got = call(backend, backend.asarray(x), backend.asarray(alpha) if isinstance(alpha, np.ndarray) else alpha)
    return [backend.numpy(part) for part in (got if isinstance(got, tuple) else (got,))]


def alone(got, want):
    """Whether every other row is NaN throughout, and those between are what they are where all is well.

    To the last digits but not bit for bit: rows of one block may share a shift.
    """
    eps = np.finfo(got[0].dtype).eps
    return all(
        np.all(np.isnan(g[1::2])) and np.allclose(g[::2], w[::2], rtol=64 * eps, atol=64 * eps)
        for g, w in zip(got, want, strict=True)
    )


@every(WITH_ORDER)
@pytest.mark.parametrize("alpha", ORDERS)
def test_senseless_row_gives_nan_and_it_alone(backend, call, alpha):
    if backend.library == "dask" and alpha not in ORDERS[1::2]:
        pytest.skip("its chunks are NumPy's, and each call is a graph")
    bad = list(SENSELESS[call.source].values())
    x = backend.numpy(good(backend, call.source, (2 * len(bad) + 1, 4))).copy()
    want = results(backend, call, x, alpha)
    x[1::2] = bad
    assert alone(results(backend, call, x, alpha), want)


@every(WITH_ORDER)
def test_senseless_row_gives_nan_and_it_alone_with_an_array_of_orders(backend, call):
    bad, alphas = zip(*itertools.product(SENSELESS[call.source].values(), ORDERS), strict=True)
    x = backend.numpy(good(backend, call.source, (2 * len(bad) + 1, 4))).copy()
    alphas = np.asarray(ORDERS) if "alphas" in call.parameters else np.append(np.repeat(alphas, 2), 2.0)
    want = results(backend, call, x, alphas)
    x[1::2] = bad
    assert alone(results(backend, call, x, alphas), want)


@every(ROWWISE)
def test_senseless_order_gives_nan_in_its_row_alone(backend, call):
    alphas = np.resize(ORDERS, 61)
    x = backend.numpy(good(backend, call.source, (61, 4)))
    want = results(backend, call, x, alphas)
    alphas[1::2] = np.resize([-1.0, -1e-30, -math.inf, math.nan], 30)
    assert alone(results(backend, call, x, alphas), want)


@every(WITH_ORDER)
def test_no_rows_give_no_results(backend, call):
    some = results(backend, call, np.ones((3, 4)), 2.0)
    for alpha in ORDERS[::2]:
        try:
            none = results(backend, call, np.ones((0, 4)), alpha)
        except ValueError as error:
            # a known limit: dask.array's own max takes no array of size 0
            if backend.library == "dask" and "zero-size" in str(error):
                continue
            raise
        assert [part.shape for part in none] == [(0, *part.shape[1:]) for part in some]


@pytest.fixture
def computing(backend):
    """Let Dask compute: check_probabilities reads values."""
    if backend.library != "dask":
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.usefixtures("computing")
def test_check_probabilities_returns_what_it_accepts(backend):
    for values, options in (
        ([[0.5, 0.5], [1.0, 0.0]], {}),
        ([[0.5, 0.25], [0.5, 0.75]], {"axis": 0}),
        ([[0.25, 0.25], [0.5, 0.0]], {"axis": (0, 1)}),
        ([[0.25, 0.25], [0.5, 0.0]], {"axis": None}),
        ([[0.5, 0.45]], {"tolerance": 0.1}),
        ([[0.5, 0.5 + 1e-9]], {}),
        ([[0.5, 0.5, math.nan]], {"where": backend.asarray(np.asarray([True, True, False]))}),
        (np.ones((0, 4)), {}),
    ):
        probs = backend.asarray(np.asarray(values))
        assert renyi.check_probabilities(probs, **options) is probs


@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize("bad", [-0.25, -1e-30, math.nan, math.inf, -math.inf])
def test_check_probabilities_says_which_entry_is_wrong(backend, bad):
    probs = np.full((2, 3, 4), 0.25)
    probs[1, 0, 2] = probs[1, 2, 3] = bad
    with pytest.raises(ValueError, match=r"`probs` must be finite and >= 0: 2 of 24 .* first at \(1, 0, 2\): "):
        renyi.check_probabilities(backend.asarray(probs))


@pytest.mark.usefixtures("computing")
def test_check_probabilities_says_which_sum_is_wrong(backend):
    probs = np.full((2, 3, 4), 0.25)
    probs[0, 2, 1] = 0.125
    with pytest.raises(
        ValueError, match=r"`probs` must sum to 1 .* 1 of 6 distributions does not, first at \(0, 2\): 0.875"
    ):
        renyi.check_probabilities(backend.asarray(probs))
    with pytest.raises(ValueError, match=r"`probs` must sum to 1 .* 3 of 4 .* do not, first at \(0,\): 0.5"):
        renyi.check_probabilities(backend.asarray(np.asarray([[0.25, 1.0, 0.0, 0.75], [0.25, 0.0, 0.0, 0.75]])), axis=0)
    with pytest.raises(ValueError, match=r"`probs` must sum to 1 .* first at \(1,\)"):
        renyi.check_probabilities(backend.asarray(np.asarray([[0.5, 0.5], [0.5, 0.501]])), tolerance=1e-4)
