"""Entropies of samples by kernels: against definitions in 100 digits, close samples, derivatives, blocks, memory."""

from __future__ import annotations

import functools
import math
import tracemalloc

import mpmath
import numpy as np
import oracle_diversity as oracle
import pytest
from test_diversity import differentiated

import renyi_core as renyi
from renyi_core._kernels import row_blocks

BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
EPS = 2.0**-52
SAMPLES = {
    "apart": np.asarray([[1.0, 2.0, -0.5], [0.5, -1.0, 0.25], [-1.5, 0.25, 1.0], [0.75, 0.5, -2.0]]),
    "few features": np.asarray([[1.0, 2.0], [0.5, -1.0], [-1.5, 0.25], [0.75, 0.5], [0.25, -0.75]]),
    "coincident": np.asarray([[1.0, 2.0], [1.0, 2.0], [-1.5, 0.25], [1.0, 0.25]]),
}
KERNELS = {"gaussian": 1.5, "laplacian": 2.5, "linear": None, "cosine": None}
MOVE = np.asarray([[0.5, -1.0, 0.25], [1.0, 0.75, -0.5], [-0.25, 0.5, 1.0], [2.0, 0.25, 0.5], [0.5, 1.5, -1.0]])


def options_of(kernel):
    return {"kernel": kernel, **({} if KERNELS[kernel] is None else {"bandwidth": KERNELS[kernel]})}


def orders_of(backend):
    return {"jax": (2.0,), "strict": (0.5, 2.0)}.get(backend.library, (0.0, 0.5, 1.0, 2.0, 3.0, math.inf))


@functools.cache
def exact(name, kernel, alpha, scale=1.0):
    """The entropy and its derivatives along MOVE, with respect to the bandwidth and to α."""
    x = scale * SAMPLES[name]
    with mpmath.workdps(oracle.DIGITS):
        samples, move = oracle.matrix(x), oracle.matrix(MOVE[: x.shape[0], : x.shape[1]])
        bandwidth = mpmath.mpf(KERNELS[kernel] or 1)

        def f(samples, bandwidth, alpha):
            return oracle.entropy(oracle.kernel_matrix(samples, kernel, bandwidth), alpha)

        value = f(samples, bandwidth, alpha)
        # both ways: at the kink of the absolute value the two sides cancel, and that is the subgradient 0
        sides = [oracle.along(lambda z: f(z, bandwidth, alpha), samples, sign * move) for sign in (1, -1)]
        by_samples = (sides[0] - sides[1]) / 2
        h = mpmath.mpf(oracle.STEP)
        by_bandwidth = (f(samples, bandwidth + h, alpha) - f(samples, bandwidth - h, alpha)) / (2 * h)
        by_alpha = oracle.alpha_slope(lambda a: f(samples, bandwidth, a), alpha)
        return tuple(float(part) for part in (value, by_samples, by_bandwidth, by_alpha))


def results(backend, name, kernel, alpha, scale=1.0):
    """The value and derivatives, of one compilation."""
    wrts = [0]
    if KERNELS[kernel] is not None:
        wrts.append("bandwidth")
    wrts.append("alpha")

    def every(x):
        options = options_of(kernel)
        both = [renyi.value_and_grad(renyi.kernel_entropy, wrt)(x, alpha, **options) for wrt in wrts]
        return renyi.kernel_entropy(x, alpha, **options), both

    value, both = backend.compiled(every)(backend.asarray(scale * SAMPLES[name]))
    for again, _ in both[: 1 if alpha == 2 else 3]:
        assert float(backend.numpy(again)) == pytest.approx(float(backend.numpy(value)), rel=8 * EPS, abs=8 * EPS**2)
    return float(backend.numpy(value)), {
        wrt: backend.numpy(gradient) for wrt, (_, gradient) in zip(wrts, both, strict=True)
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", SAMPLES)
def test_values_and_derivatives(backend, name, kernel):
    if backend.library == "jax" and name == "apart":
        pytest.skip("slow there, and the others say it")
    for alpha in orders_of(backend):
        value, gradients = results(backend, name, kernel, alpha)
        want, by_samples, by_bandwidth, by_alpha = exact(name, kernel, alpha)
        assert value == pytest.approx(want, rel=16 * EPS, abs=16 * EPS), alpha
        assert float(gradients["alpha"]) == pytest.approx(by_alpha, rel=128 * EPS, abs=64 * EPS)
        if "bandwidth" in gradients and alpha != 0:
            assert float(gradients["bandwidth"]) == pytest.approx(by_bandwidth, rel=128 * EPS, abs=64 * EPS)
        x = SAMPLES[name]
        assert gradients[0].shape == x.shape
        assert np.isfinite(gradients[0]).all()
        if alpha == 0 or (alpha < 1 and name == "coincident"):
            # samples that part add an eigenvalue: infinitely steep, held at 0
            continue
        if name == "coincident":
            # neither moves away from the other
            np.testing.assert_allclose(gradients[0][0], gradients[0][1], atol=16 * EPS)
        terms = gradients[0] * MOVE[: x.shape[0], : x.shape[1]]
        assert np.sum(terms) == pytest.approx(by_samples, abs=128 * EPS * max(1, np.sum(np.abs(terms)))), alpha


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
@pytest.mark.parametrize("scale", [1e-8, 1e-20])
def test_order_two_of_samples_that_nearly_coincide(backend, kernel, scale):
    """To the last digits, though the entropy may be 1e-40; about a point that is not 0, too."""
    value, gradients = results(backend, "apart", kernel, 2.0, scale)
    want, by_samples, by_bandwidth, _ = exact("apart", kernel, 2.0, scale)
    assert 0 < want < 1e-7
    assert value == pytest.approx(want, rel=16 * EPS, abs=0)
    assert float(gradients["bandwidth"]) == pytest.approx(by_bandwidth, rel=16 * EPS, abs=0)
    terms = gradients[0] * MOVE[:4]
    assert np.sum(terms) == pytest.approx(by_samples, abs=16 * EPS * np.sum(np.abs(terms)))
    if scale > 1e-10:
        near = np.round(SAMPLES["apart"] * 4) * 2.0**-30
        f = backend.compiled(functools.partial(renyi.kernel_entropy, alpha=2, kernel=kernel))
        both = [backend.numpy(f(backend.asarray(x))) for x in (near, 1 + near)]
        assert both[0] == both[1]


def test_it_is_the_entropy_of_the_kernel_matrix(backend):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 3))
    difference = x[:, :, None] - x[:, None]
    lengths = np.linalg.norm(x, axis=-1)
    product = x @ np.swapaxes(x, -1, -2)
    matrices = {
        "gaussian": np.exp(-(difference**2).sum(-1) / 2 / 1.5**2),
        "laplacian": np.exp(-np.abs(difference).sum(-1) / 2.5),
        "linear": product,
        "cosine": product / lengths[:, :, None] / lengths[:, None],
    }
    samples = backend.asarray(x)
    for kernel, gram in list(matrices.items())[:: 3 if backend.library == "jax" else 1]:
        for alpha in orders_of(backend):
            options = {**options_of(kernel), "base": 2}
            f = backend.compiled(lambda x, a=alpha, options=options: renyi.kernel_entropy(x, a, **options))
            got = backend.numpy(f(samples))
            np.testing.assert_allclose(got, renyi.gram_entropy(gram, alpha, base=2), rtol=1e-13)

    def own(a, b):
        assert a is b
        return backend.xp.matmul(a, backend.xp.matrix_transpose(b)) ** 2

    got = backend.numpy(renyi.kernel_entropy(samples, 2, kernel=own))
    np.testing.assert_allclose(got, renyi.gram_entropy(product**2, 2), rtol=1e-13)


def test_bandwidths_and_orders_in_arrays(backend):
    x = np.stack([SAMPLES["apart"], SAMPLES["apart"][::-1] * 0.5])
    samples, widths = backend.asarray(x), np.asarray([[0.5], [1.0], [2.0]])
    orders = (2.0, np.asarray([1.0, 3.0]))
    for kernel in ("gaussian",) if backend.library == "jax" else ("gaussian", "laplacian"):
        for alpha in orders:
            alphas = [alpha] * 2 if isinstance(alpha, float) else alpha.tolist()
            order = alpha if isinstance(alpha, float) else backend.asarray(alpha)

            def f(x, sigma, kernel=kernel, order=order):
                options = {"kernel": kernel, "bandwidth": sigma}
                each = [
                    renyi.value_and_grad(renyi.kernel_entropy, wrt)(x, order, **options) for wrt in (0, "bandwidth")
                ]
                products = [
                    renyi.grad(renyi.kernel_entropy, wrt)(x, order, cotangent=0.5, **options)
                    for wrt in (0, "bandwidth")
                ]
                return each, products

            ((value, by_samples), (_, slope)), products = backend.compiled(f)(samples, backend.asarray(widths))
            value, by_samples, slope = map(backend.numpy, (value, by_samples, slope))
            assert value.shape == slope.shape == (3, 2)
            for i, sigma in enumerate(widths[:, 0].tolist()):
                for j in range(2):
                    options = {"kernel": kernel, "bandwidth": sigma}
                    wants = [
                        renyi.value_and_grad(renyi.kernel_entropy, w)(x[j], alphas[j], **options)
                        for w in (0, "bandwidth")
                    ]
                    assert value[i, j] == pytest.approx(wants[0][0], rel=1e-13, abs=0)
                    np.testing.assert_allclose(by_samples[i, j], wants[0][1], rtol=1e-12, atol=1e-14)
                    assert slope[i, j] == pytest.approx(wants[1][1], rel=1e-12, abs=0)
            np.testing.assert_allclose(backend.numpy(products[0]), 0.5 * by_samples.sum(0), rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(backend.numpy(products[1]), 0.5 * slope.sum(1, keepdims=True), rtol=1e-12)
    if backend.library in {"jax", "strict"}:
        return
    bad = backend.asarray(np.asarray([1.0, 0.0, -1.0, math.inf, math.nan]))
    one = backend.asarray(SAMPLES["apart"])
    for kernel in ("gaussian", "laplacian"):
        got = backend.numpy(renyi.kernel_entropy(one, 2, kernel=kernel, bandwidth=bad))
        np.testing.assert_array_equal(np.isnan(got), [False, True, True, True, True])
        for wrt in (0, "bandwidth"):
            got = backend.numpy(renyi.grad(renyi.kernel_entropy, wrt)(one, 2, kernel=kernel, bandwidth=bad))
            np.testing.assert_array_equal(np.isnan(got.reshape(5, -1)).all(-1), [False, True, True, True, True])


def test_blocks(backend, monkeypatch):
    """A few rows at a time, as many as there are: the same."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 11, 3))
    gram = x @ np.swapaxes(x, -1, -2)
    samples, grams = backend.asarray(x), backend.asarray(gram)
    lazy = backend.compiles

    def f(samples, grams):
        parts = [renyi.gram_entropy(grams, 2), renyi.grad(renyi.gram_entropy)(grams, 2)]
        for kernel in ("gaussian",) if lazy else ("gaussian", "laplacian"):
            for alpha in (2.0,) if lazy else (2.0, 3.0):
                parts.append(renyi.kernel_entropy(samples, alpha, kernel=kernel))
                parts += renyi.value_and_grad(renyi.kernel_entropy)(samples, alpha, kernel=kernel)
                parts += renyi.value_and_grad(renyi.kernel_entropy, "bandwidth")(samples, alpha, kernel=kernel)
        return parts

    counts = (200,) if backend.library == "jax" else (1, 200, 264, 10**6)
    whole = f(x, gram)
    for count in counts:
        monkeypatch.setattr(row_blocks, "BLOCK", count)
        for got, want in zip(backend.compiled(functools.partial(f))(samples, grams), whole, strict=True):
            np.testing.assert_allclose(backend.numpy(got), want, rtol=1e-12, atol=1e-14)


def test_memory_at_order_two(backend):
    """2000² numbers are 32 MB, and the differences of their 16 features 512 MB."""
    if backend.library != "numpy":
        pytest.skip("tracemalloc sees NumPy's arrays")
    x = np.random.default_rng(0).normal(size=(2000, 16))
    for f in (renyi.kernel_entropy, renyi.grad(renyi.kernel_entropy), renyi.grad(renyi.kernel_entropy, "bandwidth")):
        tracemalloc.start()
        try:
            f(x, 2)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 6e6, peak


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kernel", KERNELS)
def test_automatic_differentiation(backend, kernel, monkeypatch):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    monkeypatch.setattr(row_blocks, "BLOCK", 20)
    samples, options = backend.asarray(SAMPLES["coincident"]), options_of(kernel)
    orders = (2.0,) if backend.library == "jax" else (0.0, 0.5, 1.0, 2.0, 3.0, math.inf)
    for alpha in orders:
        for transform in ("reverse", "forward") if backend.library == "torch" else ("reverse",):
            got = differentiated(backend, lambda x, a=alpha: renyi.kernel_entropy(x, a, **options), samples, transform)
            want = renyi.grad(renyi.kernel_entropy)(SAMPLES["coincident"], alpha, **options)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    if KERNELS[kernel] is not None:
        sigma = backend.asarray(np.asarray(KERNELS[kernel]))
        got = differentiated(
            backend, lambda s: renyi.kernel_entropy(samples, 2, kernel=kernel, bandwidth=s), sigma, "reverse"
        )
        want = renyi.grad(renyi.kernel_entropy, "bandwidth")(SAMPLES["coincident"], 2, **options)
        assert got == pytest.approx(want, rel=1e-13, abs=0)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torch_keeps_the_samples_alone(backend):
    if backend.library != "torch":
        pytest.skip("a test of torch")
    import torch

    x, sigma = torch.asarray(SAMPLES["apart"], requires_grad=True), torch.tensor(1.5).double().requires_grad_()
    large, saved = torch.randn(100, 3, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        renyi.kernel_entropy(large, 2)
    assert 300 <= sum(saved) < 2000
    for kernel in ("gaussian", "laplacian"):

        def f(x, sigma, kernel=kernel):
            return renyi.kernel_entropy(x, 2, kernel=kernel, bandwidth=sigma)

        assert torch.autograd.gradcheck(f, (x, sigma), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(f, (x, sigma))
        stack = torch.stack([x, 2 * x]).detach()
        torch.testing.assert_close(torch.func.vmap(f, (0, None))(stack, sigma), f(stack, sigma))


def test_samples_of_zeros_have_no_direction(backend):
    x = np.asarray([[1.0, 2.0], [0.0, 0.0], [3.0, -1.0]])
    for samples in (x, np.concat([x, np.zeros((3, 2))], axis=1)):
        f = backend.compiled(lambda x: renyi.value_and_grad(renyi.kernel_entropy)(x, 2, kernel="cosine"))
        value, gradient = f(backend.asarray(samples))
        want = renyi.kernel_entropy(samples[::2], 2, kernel="cosine")
        assert float(backend.numpy(value)) == pytest.approx(want, rel=8 * EPS, abs=0)
        assert (backend.numpy(gradient)[1] == 0).all()


def test_samples_that_are_none_are_nan_alone(backend):
    bad = np.stack([SAMPLES["apart"]] * 4)
    bad[1, 2, 0], bad[2, 0, 1] = math.nan, -math.inf
    x = backend.asarray(bad)
    for kernel in ("gaussian", "linear") if backend.library == "jax" else KERNELS:
        for alpha in {2.0} if backend.library == "jax" else {2.0, orders_of(backend)[-1]}:
            f = functools.partial(renyi.value_and_grad(renyi.kernel_entropy), alpha=alpha, kernel=kernel)
            value, gradient = backend.compiled(f)(x)
            np.testing.assert_array_equal(np.isnan(backend.numpy(value)), [False, True, True, False])
            missing = np.isnan(backend.numpy(gradient)).reshape(4, -1)
            np.testing.assert_array_equal(missing.all(-1), [False, True, True, False])
            np.testing.assert_array_equal(missing.any(-1), [False, True, True, False])


def test_bad_input(backend):
    x = backend.asarray(SAMPLES["apart"])
    wide = backend.asarray(np.stack([SAMPLES["apart"]] * 2))
    cases = [
        (TypeError, "`samples`", ([[1.0]], 2.0), {}),
        (TypeError, "`samples`.*dtype", (backend.asarray(np.ones((3, 2), dtype=np.int64)), 2.0), {}),
        (ValueError, "`samples`", (backend.asarray(np.ones(3)), 2.0), {}),
        (ValueError, "`samples`", (backend.asarray(np.ones((0, 3))), 2.0), {}),
        (ValueError, "`samples`", (backend.asarray(np.ones((3, 0))), 2.0), {}),
        (ValueError, "`kernel`.*'rbf'", (x, 2.0), {"kernel": "rbf"}),
        (TypeError, "`kernel`", (x, 2.0), {"kernel": 3}),
        (ValueError, "`bandwidth`.*positive", (x, 2.0), {"bandwidth": 0}),
        (ValueError, "`bandwidth`.*positive", (x, 2.0), {"bandwidth": -1.0}),
        (ValueError, "`bandwidth`.*positive", (x, 2.0), {"bandwidth": math.inf}),
        (ValueError, "`bandwidth`.*positive", (x, 2.0), {"bandwidth": math.nan}),
        (TypeError, "`bandwidth`", (x, 2.0), {"bandwidth": True}),
        (TypeError, "`bandwidth`", (x, 2.0), {"bandwidth": 1j}),
        (TypeError, "`bandwidth`", (x, 2.0), {"bandwidth": "1"}),
        (TypeError, "`bandwidth`.*dtype", (x, 2.0), {"bandwidth": backend.asarray(np.ones(2, dtype=np.int64))}),
        (TypeError, "`bandwidth`.*dtype", (x, 2.0), {"bandwidth": backend.asarray(np.ones(2), "float32")}),
        (ValueError, "`bandwidth`.*broadcast", (wide, 2.0), {"bandwidth": backend.asarray(np.ones(3))}),
        (ValueError, "`bandwidth`.*belongs", (x, 2.0), {"kernel": "linear", "bandwidth": 2.0}),
        (ValueError, "`bandwidth`.*belongs", (x, 2.0), {"kernel": "cosine", "bandwidth": backend.asarray(np.ones(()))}),
        (ValueError, "`alpha`", (x, -1.0), {}),
        (ValueError, "`base`", (x, 2.0), {"base": 1}),
    ]
    if backend.library == "dask":
        cases.append((ValueError, "`samples`.*known", (x[x[:, 0] > 0], 2.0), {}))
    for error, message, args, kwargs in cases:
        with pytest.raises(error, match=message):
            renyi.kernel_entropy(*args, **kwargs)
        with pytest.raises(error, match=message):
            renyi.grad(renyi.kernel_entropy)(*args, **kwargs)

    def plain(a, b):
        return backend.xp.matmul(a, backend.xp.matrix_transpose(b))

    with pytest.raises(ValueError, match=r"`bandwidth`.*belongs"):
        renyi.kernel_entropy(x, 2.0, kernel=plain, bandwidth=2.0)
    with pytest.raises(ValueError, match="`kernel` must return"):
        renyi.kernel_entropy(x, 2.0, kernel=lambda a, _: a)
    with pytest.raises(ValueError, match=r"`kernel` must return.*float"):
        renyi.kernel_entropy(x, 2.0, kernel=lambda *_: 1.0)
    with pytest.raises(TypeError, match=r"`kernel`.*analytic"):
        renyi.grad(renyi.kernel_entropy)(x, 2.0, kernel=plain)
    with pytest.raises(ValueError, match="`wrt='bandwidth'`"):
        renyi.grad(renyi.kernel_entropy, "bandwidth")(x, 2.0, kernel="linear")
    with pytest.raises(ValueError, match="`wrt`"):
        renyi.grad(renyi.kernel_entropy, 1)
