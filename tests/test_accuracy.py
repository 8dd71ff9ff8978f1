"""Every public function against 80-digit arithmetic, in units of the dtype's machine epsilon.

The bounds are those the docstrings state. Two conditions are inherent and are added to them: a logit d below the
largest carries the rounding of z − max z, and Σp**α, a factor of the Tsallis entropy's gradient, is the exponential of
(1 − α) H.
"""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "numpy:agnostic", "strict", "torch", "jax", "jax:x32", "dask")

DOORS = ("logits", "probs")
MEASURES = {
    "entropy": (renyi.entropy, renyi.entropy_from_logits),
    "hill": (renyi.hill_number, renyi.hill_number_from_logits),
    "tsallis": (renyi.tsallis_entropy, renyi.tsallis_entropy_from_logits),
}


def function(measure, source):
    return MEASURES[measure][DOORS.index(source) ^ 1]


def slope(measure, exact):
    """The derivative of a measure with respect to the entropy."""
    return {"entropy": 1.0, "hill": float(exact.hill.high[0]), "tsallis": exact.power_sum}[measure]


def alpha_slope(measure, exact):
    return {
        "entropy": exact.alpha_gradient,
        "hill": exact.hill_alpha_gradient,
        "tsallis": exact.tsallis_alpha_gradient,
    }[measure]


class Worst:
    """Collects the worst case of a run, so that a failure names it."""

    def __init__(self):
        self.cases = []

    def add(self, error, bound, *case):
        self.cases.append((error / bound, error, bound, *case))

    def check(self):
        assert self.cases
        ratio, error, bound, *case = max(self.cases, key=lambda item: item[0])
        assert ratio <= 1, f"{error:.1f} eps, bound {bound}: {case}"


SOME = ("flat", "nearly flat", "normal", "peaked", "near-deterministic", "masked", "tied", "far tail", "zipf", "wide")
FEW = ("nearly flat", "near-deterministic", "masked", "wide")
LARGE = 10_000


def cases(backend, dtype, source, measure):
    """The rows and orders of the grid: all of them for the entropy, some for what is made of it.

    Where each operation costs a compilation or a graph, some serve for numbers too: there, all orders come in an array
    (test_orders_in_an_array).
    """
    for name, doors in oracle.rows(dtype).items():
        row = doors[source]
        if name not in SOME and (measure != "entropy" or backend.few):
            continue
        if backend.library == "dask" and name not in FEW:
            continue
        every = 5 if row.size > LARGE or lazy(backend) else 3 if measure != "entropy" else 1
        orders = oracle.FEW if every < 5 and backend.few else oracle.ORDERS[::every]
        yield name, oracle.padded(row, source) if backend.compiles else row, orders


def lazy(backend):
    """Whether each operation is compiled, or a task of a graph."""
    return backend.library in {"jax", "dask"}


def representable(values, dtype):
    return np.max(np.abs(values)) < np.finfo(dtype).max


@pytest.mark.parametrize("source", DOORS)
@pytest.mark.parametrize("measure", sorted(MEASURES))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grid(backend, dtype, measure, source):
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    if measure != "entropy" and (backend.variant == "x32" or (backend.library == "dask" and dtype == "float32")):
        pytest.skip("made of the entropy by the same operations as with 64 bits")
    eps = float(np.finfo(dtype).eps)
    bounds = backend.bounds[dtype]
    f = function(measure, source)
    both, along = renyi.value_and_grad(f), renyi.grad(f, "alpha")
    worst = Worst()
    for name, row, orders in cases(backend, dtype, source, measure):
        x = backend.asarray(row, dtype)
        for alpha in orders:
            exact = oracle.exact(row, alpha, source)
            want = getattr(exact, measure)
            case = name, alpha
            worst.add(oracle.error(backend.numpy(f(x, alpha)), want, eps), bounds[0], "value", *case)
            value, gradient = both(x, alpha)
            worst.add(oracle.error(backend.numpy(value), want, eps), bounds[0], "value beside gradient", *case)
            factor = slope(measure, exact)
            scaled = oracle.Pair(exact.gradient.high * factor, exact.gradient.low * factor)
            if factor > np.finfo(dtype).tiny / eps and representable(scaled.high, dtype):
                # |log Σ p**α| times the error of the entropy, which is coarser there
                condition = 2 * abs(math.log(factor)) if measure == "tsallis" else 0
                bound = bounds[1] + condition
                worst.add(oracle.error(backend.numpy(gradient), scaled, eps), bound, "gradient", *case)
            got = backend.numpy(along(x, alpha))
            worst.add(oracle.error(got, alpha_slope(measure, exact), eps), bounds[2], "d/dalpha", *case)
    worst.check()


@pytest.mark.parametrize("source", DOORS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orders_in_an_array(backend, dtype, source):
    """The general path, in which no order is known beforehand, on rows of one batch."""
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    eps = float(np.finfo(dtype).eps)
    bounds = backend.bounds[dtype]
    worst = Worst()
    # α itself is rounded to the array's dtype, so that the orders within 1e-12 of 1 need float64
    kind = "float64" if "float64" in backend.dtypes else "float32"
    f = function("entropy", source)
    both, slope_of = renyi.value_and_grad(f), renyi.grad(f, "alpha")
    everything = backend.compiled(lambda x, alphas: (*both(x, alphas), slope_of(x, alphas)))
    for name, doors in oracle.rows(dtype).items():
        if backend.library == "dask" and name not in SOME:
            continue
        row = oracle.padded(doors[source], source) if backend.compiles else doors[source]
        orders = np.asarray(oracle.ORDERS[:: 8 if row.size > LARGE else 1], dtype=kind)
        alphas = backend.asarray(orders, kind)
        x = backend.asarray(np.stack([row] * len(orders)), dtype)
        value, gradient, along = map(backend.numpy, everything(x, alphas))
        for k, alpha in enumerate(orders):
            exact = oracle.exact(row, float(alpha), source)
            worst.add(oracle.error(value[k], exact.entropy, eps), bounds[0], "value", name, alpha)
            worst.add(oracle.error(gradient[k], exact.gradient, eps), bounds[1], "gradient", name, alpha)
            worst.add(oracle.error(along[k], exact.alpha_gradient, eps), bounds[2], "d/dalpha", name, alpha)
    worst.check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_beside_a_nearly_certain_outcome(backend, dtype):
    """Between 1/2 and 1, and close above, where the rare outcomes are the whole entropy: no rounding of α d shows."""
    if dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    if backend.library == "jax":
        pytest.skip("JAX sums exp(α d)")
    if backend.library == "dask":
        pytest.skip("Dask's blocks are NumPy's")
    eps = float(np.finfo(dtype).eps)
    f = renyi.entropy_from_logits
    worst = Worst()
    rng = np.random.default_rng(3)
    for gap in (10, 30, 60, 80):
        rare = -gap - np.repeat(np.arange(6) / 8, 60 if gap == 30 else 1)
        rows = {
            "few": np.concatenate([[0.0], np.full(3, -float(gap))]),
            "many": rng.permutation(np.concatenate([[3.0], 3 + rare])),
            "masked": rng.permutation(np.concatenate([[0.0], rare, np.full(2, -np.inf), np.full(2, -1e9)])),
        }
        for name, row in rows.items():
            x = backend.asarray(row.astype(dtype))
            # torch's rows go through the blocks that serve long ones, with exp(α d) up to 3/4
            low = () if backend.library == "torch" else (0.51, 0.7, 0.75)
            for alpha in (*low, 0.9, 0.99, 1 - 1e-6, 1 - 1e-9, 1 + 1e-9):
                exact = oracle.exact(row.astype(dtype), alpha, "logits")
                value, gradient = renyi.value_and_grad(f)(x, alpha)
                slope = renyi.grad(f, "alpha")(x, alpha)
                for what, got, want in (
                    ("value", f(x, alpha), exact.entropy),
                    ("value beside gradient", value, exact.entropy),
                    ("gradient", gradient, exact.gradient),
                    ("d/dalpha", slope, exact.alpha_gradient),
                ):
                    worst.add(oracle.error(backend.numpy(got), want, eps), 6, what, name, gap, alpha)
    worst.check()


@pytest.mark.parametrize("name", ["normal", "nearly flat", "peaked", "masked", "tied", "far tail"])
def test_hessian(backend, name):
    """Hessian–vector products against the exact Hessian of the textbook entropy."""
    dtype = backend.dtypes[-1]
    eps = float(np.finfo(dtype).eps)
    row = oracle.rows(dtype)[name]["logits"][:60]
    vector = np.random.default_rng(1).normal(size=row.shape).astype(dtype)
    worst = Worst()
    for alpha in (0.0, 0.3, 1.0, 1 + 1e-12, 2.0, 20.0, math.inf):
        product = renyi.hvp(renyi.entropy_from_logits)(
            backend.asarray(row, dtype), alpha, vector=backend.asarray(vector, dtype)
        )
        want, size = oracle.hessian_product(row, vector, alpha)
        error = np.linalg.norm(backend.numpy(product) - want)
        # against ‖H‖‖v‖: the product itself may cancel
        worst.add(float(error / size / eps) if size else float(error > 0), 64, alpha)
    worst.check()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(backend, dtype):
    kind = getattr(backend.xp, dtype, None)
    if backend.library not in {"numpy", "torch", "jax"} or kind is None:
        pytest.skip(f"no {dtype} on {backend}")
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(1, 3000)).astype(np.float16).astype(np.float32)
    half = backend.asarray(logits, "float32")
    half = half.astype(kind) if backend.library != "torch" else half.to(kind)
    logits = backend.numpy(half.astype("float32") if backend.library != "torch" else half.float())
    for alpha in (0.5, 1.0, 1.1, 2.0, math.inf):
        value, gradient = renyi.value_and_grad(renyi.entropy_from_logits)(half, alpha)
        assert value.dtype == gradient.dtype == half.dtype
        eps = 2.0**-10 if dtype == "float16" else 2.0**-7
        to_numpy = (
            (lambda a: backend.numpy(a.float()))
            if backend.library == "torch"
            else (lambda a: np.asarray(a, dtype=np.float32))
        )
        for k in range(1):
            exact = oracle.exact(logits[k], alpha, "logits")
            # a rounding, and no more: 3000 terms summed in half precision would be off by hundreds of eps
            assert oracle.error(to_numpy(value)[k], exact.entropy, eps) <= 0.51
            assert oracle.error(to_numpy(gradient)[k], exact.gradient, eps) <= 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_results_have_the_dtype_of_the_input(backend, dtype):
    if dtype not in backend.dtypes and backend.library not in {"numpy", "torch", "jax"}:
        pytest.skip(f"no {dtype} on {backend}")
    if dtype == "float64" and dtype not in backend.dtypes:
        pytest.skip(f"no {dtype} on {backend}")
    x = backend.asarray(np.asarray([0.1, 0.5, 0.75]), dtype)
    for measure, doors in MEASURES.items():
        for f in doors:
            results = [*renyi.value_and_grad(f)(x, 1.5), *renyi.value_and_grad(f, "alpha")(x, 1.5)]
            if f.__name__.endswith("logits"):
                results.append(renyi.hvp(f)(x, 1.5, vector=x))
            assert all(result.dtype == x.dtype for result in results), measure
