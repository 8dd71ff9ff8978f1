"""The Dask adapter: any chunks, on any axis, on a cluster too, and when a worker dies."""

from __future__ import annotations

import contextlib
import math
import os
import signal

import numpy as np
import pytest

import renyi_core as renyi
from renyi_core.regularizers import BalanceTerm, ConfidencePenalty, EntropyBonus, InformationTerm

da = pytest.importorskip("dask.array")

BACKENDS = ("dask",)
pytestmark = pytest.mark.usefixtures("backend")
ORDERS = (0.0, 0.5, 1.0, 1.1, 2.0, math.inf)
FUNCTIONS = {"probs": renyi.entropy, "logits": renyi.entropy_from_logits}


def rows(source="logits", shape=(6, 8, 30)):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) * 3
    x[rng.random(shape) < 0.2] = -np.inf
    x[0, 0, :20] = -np.inf  # whole chunks without any weight
    return x if source == "logits" else np.exp(x)


def values(x):
    return x.compute(scheduler="synchronous")


@pytest.mark.parametrize("source", sorted(FUNCTIONS))
@pytest.mark.parametrize("axis", [-1, 0, (0, 2), None])
@pytest.mark.parametrize("chunks", [(6, 8, 30), (2, 3, 7), (1, 8, 10), ((1, 5), (8,), (3, 27))], ids=str)
def test_any_chunks(chunks, axis, source):
    x, f = rows(source), FUNCTIONS[source]
    lazy = da.from_array(x, chunks=chunks)
    for alpha in ORDERS:
        value, gradient = renyi.value_and_grad(f)(lazy, alpha, axis=axis)
        want, want_gradient = renyi.value_and_grad(f)(x, alpha, axis=axis)
        assert gradient.chunks == lazy.chunks
        np.testing.assert_allclose(values(value), want, rtol=1e-14)
        np.testing.assert_allclose(values(f(lazy, alpha, axis=axis)), want, rtol=1e-14)
        np.testing.assert_allclose(values(gradient), want_gradient, rtol=1e-10, atol=1e-14)


def test_chunks_of_unknown_length():
    x = rows(shape=(40, 3, 30))[:, 0]
    lazy = da.from_array(x, chunks=(10, 7))
    some = lazy[lazy[:, 0] > 0]
    assert math.isnan(some.shape[0])
    want = renyi.value_and_grad(renyi.entropy_from_logits)(x[x[:, 0] > 0], 1.7)
    got = renyi.value_and_grad(renyi.entropy_from_logits)(some, 1.7)
    for part, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(values(part), expected, rtol=1e-12, atol=1e-15)


def spectrum(x, **options):
    return renyi.entropy_spectrum_from_logits(x, [1.0, 2.0], **options)


CALLS = {
    "Shannon": lambda x, **axis: renyi.value_and_grad(renyi.entropy_from_logits)(x, 1.0, **axis),
    "collision": lambda x, **axis: renyi.value_and_grad(renyi.hill_number_from_logits)(x, 2.0, **axis),
    "largest": lambda x, **axis: renyi.value_and_grad(renyi.entropy_from_logits)(x, math.inf, **axis),
    "of probabilities": lambda x, **axis: renyi.value_and_grad(renyi.entropy)(x * x, 0.5, **axis),
    "along alpha": lambda x, **axis: renyi.grad(renyi.entropy_from_logits, "alpha")(x, 2.0, **axis),
    "Hessian": lambda x, **axis: renyi.hvp(renyi.entropy_from_logits)(x, 2.0, vector=x, **axis),
    "spectrum": spectrum,
    "summary": renyi.summary,
    "divergence": lambda x, **axis: renyi.value_and_grad(renyi.divergence_from_logits, 1)(x, x * x, 2.0, **axis),
    "cross-entropy": lambda x, **axis: renyi.cross_entropy(x * x, 1 + x * x, 2.0, **axis),
    "of samples": lambda x, **axis: renyi.entropy_from_log_prob(x, 2.0, **axis),
    "choice": lambda x, **axis: renyi.value_and_grad(renyi.regularized_max)(x, 2.0, **axis),
    "penalty": renyi.value_and_grad(ConfidencePenalty()),
    "balance": renyi.value_and_grad(BalanceTerm() + EntropyBonus()),
    "information": renyi.value_and_grad(InformationTerm()),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("axis", [0, -1])
def test_chunks_that_a_filter_emptied(name, axis):
    """Of unknown lengths, one of which is 0: NumPy's results, along the axis that is cut and along the other."""
    x = np.random.default_rng(1).normal(size=(6, 3))
    keep = np.asarray([False, False, True, True, False, True])
    lazy = da.from_array(x, chunks=(2, 3))[da.from_array(keep, chunks=2)]
    want, got = CALLS[name](x[keep], axis=axis), CALLS[name](lazy, axis=axis)
    pairs = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    for part, expected in pairs:
        np.testing.assert_allclose(values(part), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("adapted", [True, False])
def test_chunks_that_are_all_empty(adapted):
    """No rows, or rows of nothing, which are no distributions."""
    lazy = da.from_array(np.zeros((4, 3)), chunks=(2, 3))[da.from_array(np.zeros(4, bool), chunks=2)]
    for f, x in ((renyi.entropy_from_logits, lazy), (renyi.entropy, lazy + 1)):
        with contextlib.nullcontext() if adapted else renyi.agnostic_only():
            none, nan = f(x, 2.0), f(x, 2.0, axis=0)
        assert values(none).shape == (0,)
        assert np.isnan(values(nan)).tolist() == [True, True, True]


def test_rows_that_are_not_distributions_are_nan_alone():
    x = np.zeros((5, 12))
    x[1, 3], x[2], x[3, 7] = np.nan, -np.inf, np.inf
    for alpha in (0.5, 1.0, 1.1, 2.0, math.inf):
        got = values(renyi.entropy_from_logits(da.from_array(x, chunks=(2, 5)), alpha))
        np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, False])
    p = np.full((5, 12), 1 / 12)
    p[1, 3], p[2], p[3, 7] = np.nan, 0, -0.5
    for alpha in (0.5, 1.0, 1.1, 2.0, math.inf):
        got = values(renyi.entropy(da.from_array(p, chunks=(2, 5)), alpha))
        np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, False])


def test_cotangents_are_lazy_or_not():
    x = rows()[..., :7]
    x[np.isinf(x)] = 0
    lazy, v = da.from_array(x, chunks=(3, 3, 3)), np.linspace(-1, 1, 48).reshape(6, 8)
    f = renyi.grad(renyi.entropy_from_logits)
    for given, plain in ((da.from_array(v, chunks=(2, 4)), v), (0.5, 0.5), (da.asarray(0.5), np.asarray(0.5))):
        got = values(f(lazy, 1.7, cotangent=given))
        np.testing.assert_allclose(got, f(x, 1.7, cotangent=plain), rtol=1e-12, atol=1e-15)


def test_tasks_have_readable_names():
    x = da.ones((8, 8), chunks=(4, 4))
    both = renyi.value_and_grad(renyi.entropy_from_logits)(x, 2.0)
    names = {str(key) for part in both for key in dict(part.__dask_graph__())}
    # one state for each chunk serves both
    assert sum("renyi-state" in name and "aggregate" not in name for name in names) == 4, names
    for name in ("renyi-state", "renyi_value", "renyi_gradient"):
        assert any(name in key for key in names), names


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    # a process each, restarted when it dies
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def test_on_a_cluster(cluster):
    x = rows()
    lazy = da.from_array(x, chunks=(2, 3, 7))
    got = cluster.compute(list(renyi.value_and_grad(renyi.entropy_from_logits)(lazy, 1.7)), sync=True)
    want = renyi.value_and_grad(renyi.entropy_from_logits)(x, 1.7)
    for part, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-10, atol=1e-14)


def _die_once(block, path):
    """Kill the worker that comes here first."""
    try:
        with open(path, "x"):  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
    except FileExistsError:
        pass
    return block


def test_a_worker_dies(cluster, tmp_path):
    x = rows()
    lazy = da.from_array(x, chunks=(2, 3, 7)).map_blocks(_die_once, path=str(tmp_path / "died"), meta=x[:0, :0, :0])
    got = cluster.compute(renyi.entropy_from_logits(lazy, 1.7), sync=True)
    assert (tmp_path / "died").exists()
    np.testing.assert_allclose(got, renyi.entropy_from_logits(x, 1.7), rtol=1e-14)


@pytest.mark.parametrize("axis", [0, -1])
def test_without_the_adapter_indices_are_taken_across_chunks(axis):
    """What the choices of α > 1 and the nearest neighbors take, and array-api-compat lacks."""
    x = rows(shape=(6, 8, 5))
    lazy = da.from_array(x, chunks=(4, 3, 2))
    index = np.argsort(x, axis=axis)[:2, :, 1:2] if axis == 0 else np.argsort(x, axis=axis)[..., :3]
    got = renyi._usable.namespace(lazy).take_along_axis(lazy, da.from_array(index, chunks=1), axis=axis)
    np.testing.assert_array_equal(values(got), np.take_along_axis(x, index, axis=axis))
    samples = x[:, 0]
    with renyi.agnostic_only():
        got = renyi.grad(renyi.particle_entropy)(da.from_array(samples, chunks=(4, 5)), 0.9, k=1)
    np.testing.assert_allclose(values(got), renyi.grad(renyi.particle_entropy)(samples, 0.9, k=1), rtol=1e-12)


def test_probabilities_of_unknown_lengths_are_checked():
    import dask

    x = np.full((12, 4), 0.25)
    x[9:] *= np.asarray([1.0, 1.5, 2.0])[:, None]
    lazy = da.from_array(x, chunks=(3, 2))
    some = lazy[da.from_array(np.arange(12) > 6, chunks=3)]
    with dask.config.set(scheduler="synchronous"):
        renyi.check_probabilities(lazy[lazy[:, 0] == 0.25])
        with pytest.raises(ValueError, match=r"2 of 5 distributions do not, first at \(3,\): 1.5"):
            renyi.check_probabilities(some)
        with pytest.raises(ValueError, match=r"20 of 20 entries are not, first at \(0, 0\): -0.25"):
            renyi.check_probabilities(-some)
    # the caller's array is as it was
    assert math.isnan(some.shape[0])
