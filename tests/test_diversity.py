"""Entropies of kernel matrices: against eigenvalues in 100 digits, closed forms, laws, derivatives, what is refused."""

from __future__ import annotations

import functools
import itertools
import math

import mpmath
import numpy as np
import oracle_diversity as oracle
import pytest

import renyi_core as renyi

BACKENDS = ("numpy", "strict", "torch", "jax", "dask")
ORDERS = (0.0, 0.5, 1.0, 1 + 1e-12, 1.5, 2.0, 3.0, math.inf)
EPS = 2.0**-52
X = np.asarray([[1.0, 2.0], [0.5, -1.0], [-1.5, 0.25], [0.75, 0.5]])
MATRICES = {
    "full": np.asarray([[1, 0.5, 0.25, -0.25], [0.5, 1, 0.125, 0], [0.25, 0.125, 1, 0.5], [-0.25, 0, 0.5, 1]]),
    "rank two": X @ X.T,
    "identity": np.eye(4),
    "alike": np.ones((4, 4)),
    "pairs": np.kron(np.eye(2), np.ones((2, 2))),
    "three and one": np.asarray([[1.0, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]),
    "weights": np.diag([4.0, 2.0, 1.0, 0.0]),
}
STACK = np.stack(list(MATRICES.values()))
DIRECTION = np.asarray([[3.0, 1.0, -1.0, 0.5], [1.0, 2.0, 0.25, 0.0], [-1.0, 0.25, 2.0, 0.5], [0.5, 0.0, 0.5, 1.0]])


def orders_of(backend):
    """With JAX each is a compilation, and arrays have the rest."""
    return (0.5, 2.0) if backend.library == "jax" else ORDERS


def all_of(backend, f, wrts, *arrays, **options):
    """Value and derivatives at each order, of one compilation."""
    orders = orders_of(backend)

    def every(*arrays):
        return [
            [f(*arrays, alpha, **options), *(renyi.grad(f, wrt)(*arrays, alpha, **options) for wrt in wrts)]
            for alpha in orders
        ]

    results = backend.compiled(every)(*map(backend.asarray, arrays))
    return {alpha: [backend.numpy(part) for part in parts] for alpha, parts in zip(orders, results, strict=True)}


@functools.cache
def exact(name, alpha):
    """The entropy, its derivative with respect to α, and that along DIRECTION, or within the range of the matrix."""
    with mpmath.workdps(oracle.DIGITS):
        gram = oracle.matrix(MATRICES[name])
        direction = oracle.matrix(DIRECTION)
        if alpha <= 1:
            # the entropy is not differentiable out of the range: there, the derivative is held at 0
            direction = gram * direction * gram
        value = oracle.entropy(gram, alpha)
        slope = oracle.alpha_slope(lambda a: oracle.entropy(gram, a), alpha)
        along = oracle.along(lambda k: oracle.entropy(k, alpha), gram, direction)
        return float(value), float(slope), float(along), np.asarray(direction.tolist(), dtype=float)


def test_the_direction_is_one_of_kernel_matrices():
    assert np.linalg.eigvalsh(DIRECTION).min() > 0


def test_values_and_derivatives(backend):
    wrts = (0, "alpha")
    results = all_of(backend, renyi.gram_entropy, wrts, STACK)
    scores = {} if backend.library == "jax" else all_of(backend, renyi.vendi_score, wrts, STACK)
    for alpha, (values, gradients, slopes) in results.items():
        np.testing.assert_allclose(gradients, np.swapaxes(gradients, 1, 2), atol=1e-16)
        for k, name in enumerate(MATRICES):
            value, slope, along, direction = exact(name, alpha)
            assert abs(values[k] - value) <= 16 * EPS * max(value, 1), (name, alpha)
            # an eigenvalue's rounding is that of the largest, and the smallest counts most at α = 0
            assert abs(slopes[k] - slope) <= 64 * EPS * max(abs(slope), 1), (name, alpha)
            if scores:
                score, by_gram, by_alpha = (part[k] for part in scores[alpha])
                assert score == pytest.approx(math.exp(value), rel=32 * EPS, abs=0)
                np.testing.assert_allclose(by_gram, gradients[k] * math.exp(value), rtol=1e-13, atol=1e-14)
                assert by_alpha == pytest.approx(slope * math.exp(value), rel=1e-12, abs=1e-13)
            if name != "full" and alpha in {math.inf, 1 + 1e-12}:
                # a derivative that differs by sides, or that is 10¹² at a 0
                continue
            got = float(np.sum(gradients[k] * direction))
            scale = float(np.sum(np.abs(gradients[k] * direction)))
            assert abs(got - along) <= 64 * EPS * max(scale, 1), (name, alpha)


def test_derivatives_at_eigenvalues_that_are_zero_or_equal(backend):
    results = all_of(backend, renyi.gram_entropy, (0,), STACK)
    null = np.asarray([1.0, -1.0, 0.0, 0.0])
    names = list(MATRICES)
    for alpha, (_, gradients) in results.items():
        assert np.isfinite(gradients).all()
        for name in ("alike", "pairs", "three and one"):
            want = 0.0
            if alpha > 1:
                # of S with respect to a share p = 0: α/(α − 1), 1 at ∞; v has the length 2, and the trace is 4
                want = (1.0 if alpha == math.inf else alpha / (alpha - 1)) * 2 / 4
            got = null @ gradients[names.index(name)] @ null
            assert got == pytest.approx(want, rel=1e-12 if alpha != 1 + 1e-12 else 1e-3, abs=1e-14), (name, alpha)
        # N alike directions: a constant matrix, and 0 because the trace is divided by
        np.testing.assert_allclose(gradients[names.index("identity")], np.zeros((4, 4)), atol=1e-15)
    # at ∞ the two largest eigenvalues share the derivative −1/λ, and 1/tr is added to each of the four
    half = np.kron(np.eye(2), np.full((2, 2), 0.5))
    if math.inf in results:
        np.testing.assert_allclose(results[math.inf][1][names.index("pairs")], (np.eye(4) - half) / 4, atol=1e-15)


def test_largest_eigenvalues_that_rounding_alone_tells_apart(backend):
    rotation, _ = np.linalg.qr(DIRECTION)
    gram = (rotation * np.asarray([2.0, 2.0, 2.0, 1.0])) @ rotation.T
    f = backend.compiled(lambda k, alphas: [renyi.grad(renyi.gram_entropy)(k, alpha) for alpha in (math.inf, alphas)])
    one, both = map(backend.numpy, f(backend.asarray(gram[None]), backend.asarray(np.asarray([2.0, math.inf]))))
    top = rotation[:, :3] @ rotation[:, :3].T
    for gradient in (one[0], both[1]):
        np.testing.assert_allclose(gradient, np.eye(4) / 7 - top / 6, atol=1e-15)


def test_rank_is_numerical(backend):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    rank = backend.compiled(lambda k: renyi.vendi_score(k, 0))
    for dtype in backend.dtypes:
        np.testing.assert_allclose(backend.numpy(rank(backend.asarray(x @ x.T, dtype))), 3, rtol=1e-6)
    # what rounding leaves of 37 zeros would be 37·√eps
    singular = np.linalg.svd(x, compute_uv=False) ** 2
    want = renyi.entropy(singular, 0.1)
    low = backend.compiled(lambda k: renyi.gram_entropy(k, 0.1))
    np.testing.assert_allclose(backend.numpy(low(backend.asarray(x @ x.T))), want, rtol=1e-12)


def test_orders_in_an_array(backend):
    grams, orders = backend.asarray(STACK), backend.asarray(np.asarray(ORDERS)[:, None])
    f = backend.compiled(
        lambda x, a: [
            renyi.gram_entropy(x, a),
            renyi.grad(renyi.gram_entropy)(x, a),
            renyi.grad(renyi.gram_entropy, "alpha")(x, a),
            renyi.grad(renyi.gram_entropy)(x, a, cotangent=0.5),
            renyi.grad(renyi.gram_entropy, "alpha")(x, a, cotangent=0.5),
        ]
    )
    value, gradient, slope, product, along = map(backend.numpy, f(grams[None, ...], orders))
    assert value.shape == (len(ORDERS), len(STACK))
    for k, alpha in enumerate(ORDERS):
        # the order 2 among the others takes eigenvalues, the number does not
        wants = (renyi.gram_entropy, renyi.grad(renyi.gram_entropy), renyi.grad(renyi.gram_entropy, "alpha"))
        for got, want in zip((value, gradient, slope), (f(STACK, alpha) for f in wants), strict=True):
            np.testing.assert_allclose(got[k], want, rtol=1e-13, atol=1e-2 if alpha == 1 + 1e-12 else 2e-14)
    np.testing.assert_allclose(product[0], 0.5 * gradient.sum(0), rtol=1e-12, atol=1e-2)  # 10¹² at 1 + 1e-12
    np.testing.assert_allclose(along, 0.5 * slope.sum(1, keepdims=True), rtol=1e-13)


def test_closed_forms(backend):
    if backend.library == "jax":
        pytest.skip("slow there, and the others say it")
    sizes = np.asarray([5, 3, 1, 1])
    groups = np.repeat(np.arange(4), sizes)
    gram = backend.asarray((groups[:, None] == groups).astype(float))
    for alpha in (1.5, 2.0) if backend.slow else ORDERS:
        want = renyi.entropy(sizes / 10, alpha)
        assert float(backend.numpy(renyi.gram_entropy(gram, alpha))) == pytest.approx(want, rel=1e-14, abs=0)
        assert float(backend.numpy(renyi.gram_entropy(gram, alpha, base=2))) == pytest.approx(
            want / math.log(2), rel=1e-14, abs=0
        )
        for n in (1, 9):
            one, other = backend.asarray(np.full((n, n), 0.75)), backend.asarray(0.75 * np.eye(n))
            assert float(backend.numpy(renyi.vendi_score(one, alpha))) == pytest.approx(1, rel=4 * EPS, abs=0)
            assert float(backend.numpy(renyi.vendi_score(other, alpha))) == pytest.approx(n, rel=16 * EPS, abs=0)
    shannon = float(backend.numpy(renyi.vendi_score(gram)))
    assert shannon == pytest.approx(math.exp(renyi.entropy(sizes / 10, 1)), rel=1e-14, abs=0)


def test_invariance_and_monotony(backend):
    if backend.compiles:
        pytest.skip("slow there, and the others say it")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 5))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 4)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    order = rng.permutation(8)
    same = [gram[order][:, order], rotation @ gram @ rotation.T, 3 * gram, gram + np.triu(gram, 1) - np.tril(gram, -1)]
    values = []
    for alpha in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf):
        got = (backend.numpy(renyi.gram_entropy(backend.asarray(k), alpha)) for k in (gram, *same))
        value, *others = map(float, got)
        # not symmetric, the last is as its symmetric part
        np.testing.assert_allclose(others, value, rtol=1e-13)
        values.append(value)
    assert math.log(8) == pytest.approx(values[0], rel=1e-15, abs=0)
    assert all(low > high for low, high in itertools.pairwise(values))


@pytest.mark.parametrize("scale", [1.0, 2.0**530, 2.0**-530], ids=["1", "large", "small"])
def test_order_two_of_samples_that_nearly_coincide(backend, scale):
    gaps = np.asarray([[0.0, 1, 2, 4], [1, 0, 3, 2], [2, 3, 0, 1], [4, 2, 1, 0]])
    pair = backend.compiled(lambda k: renyi.value_and_grad(renyi.gram_entropy)(k, 2))
    single = backend.compiled(lambda k: renyi.gram_entropy(k, 2))
    for tiny in (2.0**-20, 2.0**-45):
        gram = 1 - tiny * gaps
        # as exact without a common diagonal, and where the products of its entries round
        weights = np.asarray([1.0, 1.1, 1.3, 0.7])
        for k in (gram, gram * np.outer(weights, weights)):
            with mpmath.workdps(oracle.DIGITS):
                exactly = oracle.matrix(k)
                total = mpmath.fsum(exactly[i, i] for i in range(4)) ** 2
                square = mpmath.fsum(x**2 for x in exactly)
                want = float(mpmath.log(total / square))
                matrix = np.asarray((2 * exactly / -square).tolist(), dtype=float)
            value, gradient = pair(backend.asarray(scale * k))
            assert float(backend.numpy(value)) == pytest.approx(want, rel=16 * EPS, abs=0), (tiny, want)
            again = single(backend.asarray(scale * k))
            np.testing.assert_array_equal(backend.numpy(again), backend.numpy(value))
            wanted = matrix + np.eye(4) * 2 / np.trace(k)
            np.testing.assert_allclose(scale * backend.numpy(gradient), wanted, atol=8 * EPS)


def test_order_two_of_samples_that_are_hardly_alike(backend):
    """The derivative is small, and right to the last digits next to itself."""
    alike = 2.0**-40 * DIRECTION / 3
    f = backend.compiled(functools.partial(renyi.grad(renyi.gram_entropy), alpha=2))
    for diagonal in (np.ones(4), 1 + 2.0**-38 * np.arange(4)):
        gram = alike - np.diag(np.diag(alike)) + np.diag(diagonal)
        with mpmath.workdps(oracle.DIGITS):
            k = oracle.matrix(gram)
            trace, square = mpmath.fsum(k[i, i] for i in range(4)), mpmath.fsum(x**2 for x in k)
            want = 2 * (mpmath.eye(4) / trace - k / square)
            want = np.asarray(want.tolist(), dtype=float)
        got = backend.numpy(f(backend.asarray(gram)))
        # the shares of a trace that is no power of 2 round, each
        spread = EPS if diagonal[1] > 1 else 0
        np.testing.assert_allclose(got, want, rtol=16 * EPS, atol=8 * EPS * np.max(np.abs(want)) + spread)


def test_order_two_of_rank_one(backend):
    """Products that round leave negative minors: 0 all the same, and a derivative."""
    f = backend.compiled(lambda k: renyi.value_and_grad(renyi.gram_entropy)(k, 2))
    weights = np.random.default_rng(0).uniform(0.1, 3, size=(20, 6))
    grams = weights[:, :, None] * weights[:, None, :]
    value, gradient = map(backend.numpy, f(backend.asarray(grams)))
    assert (value >= 0).all()
    assert (value <= 4 * EPS).all()
    assert (value == 0).any()
    trace = np.trace(grams, axis1=1, axis2=2)[:, None, None]
    np.testing.assert_allclose(gradient, 2 * (np.eye(6) - grams / trace) / trace, rtol=1e-12, atol=1e-14)


def test_matrices_that_are_none_are_nan_alone(backend):
    bad = np.stack([MATRICES["full"]] * 9)
    bad[1, 2, 0] = math.nan
    bad[2, 1, 1] = math.inf
    bad[3] = 0
    bad[4, 3, 3] = -1e-3
    bad[5] *= -1
    bad[6, 0, 1] = bad[6, 1, 0] = 4  # an eigenvalue is negative, and a minor
    bad[7, 3, 3] = math.nan
    f = backend.compiled(lambda x: [renyi.value_and_grad(renyi.gram_entropy)(x, alpha) for alpha in alphas])
    alphas = set(orders_of(backend)) & ({0.5, 2.0} if backend.library == "jax" else {0.5, 2.0, math.inf})
    want = np.asarray([0, 1, 1, 1, 1, 1, 1, 1, 0], dtype=bool)
    for value, gradient in f(backend.asarray(bad)):
        np.testing.assert_array_equal(np.isnan(backend.numpy(value)), want)
        np.testing.assert_array_equal(np.isnan(backend.numpy(gradient)).all(axis=(1, 2)), want)
        assert np.isfinite(backend.numpy(gradient)[~want]).all()
    # of minors that are not negative, yet an eigenvalue is
    odd = np.full((3, 3), -0.75) + 1.75 * np.eye(3)
    assert np.isnan(backend.numpy(backend.compiled(lambda k: renyi.gram_entropy(k, 1))(backend.asarray(odd))))
    orders = backend.asarray(np.asarray([1.0, -1.0, math.nan]))
    f = backend.compiled(renyi.gram_entropy)
    got = backend.numpy(f(backend.asarray(np.stack([np.eye(3)] * 3)), orders))
    np.testing.assert_array_equal(np.isnan(got), [False, True, True])


def test_half_precision_is_summed_in_float32(backend):
    if backend.library == "strict":
        pytest.skip("no float16 here")
    gram, samples = (backend.asarray(x, "float16") for x in (MATRICES["full"], X))
    alpha = 2.0 if backend.library == "jax" else orders_of(backend)[-1]
    for f, x in ((renyi.gram_entropy, gram), (renyi.kernel_entropy, samples)):
        both = backend.compiled(functools.partial(renyi.value_and_grad(f), alpha=alpha))
        for got, want in zip(both(x), both(backend.xp.astype(x, backend.xp.float32)), strict=True):
            assert got.dtype == x.dtype
            np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want).astype(np.float16))


def test_float32(backend):
    gram = backend.asarray(MATRICES["full"], "float32")
    for alpha in orders_of(backend)[:2]:
        got = backend.numpy(backend.compiled(lambda k, a=alpha: renyi.gram_entropy(k, a))(gram))
        assert got.dtype == np.float32
        assert abs(got - exact("full", alpha)[0]) <= 16 * 2.0**-23 * 2


# what torch's forward mode loads
@pytest.mark.filterwarnings("ignore:`torch.jit.script`")
@pytest.mark.parametrize("transform", ["reverse", "forward"])
def test_automatic_differentiation(backend, transform):
    if backend.library not in {"torch", "jax"}:
        pytest.skip("no automatic differentiation")
    grams = backend.asarray(STACK)
    orders = (2.0 if transform == "reverse" else 1.5,) if backend.library == "jax" else ORDERS
    wants = [renyi.grad(renyi.gram_entropy, wrt) for wrt in (0, "alpha")]
    rules = {alpha: [None, *(f(STACK, alpha) for f in wants)] for alpha in ORDERS}
    for alpha in orders:
        got = differentiated(backend, lambda x, a=alpha: renyi.gram_entropy(x, a), grams, transform)
        assert np.isfinite(got).all()
        # near 1 the derivative at an eigenvalue of 0 is 10¹², its own rounding with it
        scale = 1e12 if alpha == 1 + 1e-12 else 1.0
        np.testing.assert_allclose(got, rules[alpha][1], atol=1e-14 * scale)
    if transform == "reverse":
        mixed = backend.asarray(np.asarray([0.5, 1.0, 1.5, 2.0, 3.0, 0.0, math.inf]))
        got = differentiated(backend, lambda x: renyi.gram_entropy(x, mixed), grams, transform)
        want = [rules[alpha][1][k] for k, alpha in enumerate([0.5, 1.0, 1.5, 2.0, 3.0, 0.0, math.inf])]
        np.testing.assert_allclose(got, want, atol=1e-13)
        got = differentiated(backend, lambda a: renyi.gram_entropy(grams[:1, ...], a), mixed, transform)
        want = [rules[alpha][2][0] for alpha in [0.5, 1.0, 1.5, 2.0, 3.0, 0.0, math.inf]]
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14)


def differentiated(backend, f, x, transform):
    """The derivatives of the sum of f by the library's own means."""
    if backend.library == "torch":
        import torch

        if transform == "reverse":
            y = x.clone().requires_grad_()
            f(y).sum().backward()
            return y.grad.numpy()
        return torch.func.jacfwd(lambda y: f(y).sum())(x).numpy()
    import jax

    derivative = jax.grad if transform == "reverse" else jax.jacfwd
    return np.asarray(jax.jit(derivative(lambda y: f(y).sum()))(x))


def test_bad_input(backend):
    square, vector = backend.asarray(np.eye(3)), backend.asarray(np.ones(3))
    ints = backend.asarray(np.eye(3, dtype=np.int64))
    cases = [
        (TypeError, "`gram`", (1.0, 2.0), {}),
        (TypeError, "`gram`.*dtype", (ints, 2.0), {}),
        (ValueError, "`gram`.*square", (vector, 2.0), {}),
        (ValueError, "`gram`.*square", (backend.asarray(np.ones((2, 3))), 2.0), {}),
        (ValueError, "`gram`.*square", (backend.asarray(np.ones((2, 0, 0))), 2.0), {}),
        (ValueError, "`alpha`", (square, -1.0), {}),
        (ValueError, "`alpha`", (square, math.nan), {}),
        (TypeError, "`alpha`", (square, "2"), {}),
        (ValueError, "`base`", (square, 2.0), {"base": 1}),
    ]
    for error, message, args, kwargs in cases:
        with pytest.raises(error, match=message):
            renyi.gram_entropy(*args, **kwargs)
        with pytest.raises(error, match=message):
            renyi.grad(renyi.gram_entropy)(*args, **kwargs)
        if not kwargs:
            with pytest.raises(error, match=message):
                renyi.vendi_score(*args)
    for wrt in (1, "gram"):
        with pytest.raises(ValueError, match="`wrt`"):
            renyi.grad(renyi.gram_entropy, wrt)
    with pytest.raises(ValueError, match="`cotangent`"):
        renyi.grad(renyi.gram_entropy)(square, 2.0, cotangent=vector)


def test_a_library_without_eigenvalues(backend):
    """Dask's own functions are one: the number 2 works, and what else is asked for is refused at once."""
    if backend.library != "dask":
        pytest.skip("these have eigenvalues")
    gram, two = backend.asarray(MATRICES["full"]), backend.asarray(np.asarray(2.0))
    with renyi.agnostic_only():
        value = renyi.gram_entropy(gram, 2)
        calls = [
            *(lambda f=f: f(gram, 1.0) for f in (renyi.gram_entropy, renyi.vendi_score, renyi.kernel_entropy)),
            lambda: renyi.grad(renyi.gram_entropy)(gram, 1.0),
            lambda: renyi.grad(renyi.kernel_entropy)(gram, 1.0),
            lambda: renyi.grad(renyi.gram_entropy, "alpha")(gram, 2),
            lambda: renyi.gram_entropy(gram, two),
        ]
        for call in calls:
            with pytest.raises(TypeError, match=r"`alpha`.*eigenvalues"):
                call()
    assert float(backend.numpy(value)) == pytest.approx(exact("full", 2.0)[0], rel=16 * EPS, abs=0)
