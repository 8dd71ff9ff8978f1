"""The entropy of a density from samples by nearest neighbors, and the reward that explores by it."""

from __future__ import annotations

from typing import Any

from ._arrays import Arguments, coefficient, floating, namespace, prepare_parameters, same_namespace
from ._kernels import neighbors, particles
from ._kernels.dtypes import cast
from ._kernels.family import Call, run
from ._kernels.guards import constant
from ._kernels.library import ask, constants
from ._kernels.particles import PARTICLE_ENTROPY, PARTICLE_INFORMATION
from ._numbers import integer
from ._quantity import Quantity, in_base, quantity
from ._quiet import quiet
from ._shapes import check_fits
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["particle_entropy", "particle_mutual_information", "particle_reward"]


@quantity(0, "alpha")
def particle_entropy(
    samples: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    k: int = 3,
    base: float | None = None,
    jitter: float | ArrayOf[Any] | None = None,
    rng: Any = None,
) -> ArrayT:
    r"""Return the Rényi entropy of order α of a density, estimated by nearest neighbors from samples of it alone.

    .. math:: \hat H_\alpha = \frac{1}{1 - \alpha} \log \frac{1}{N} \sum_{i=1}^{N} \zeta_i^{1 - \alpha}, \qquad
        \zeta_i = (N - 1) \left( \frac{\Gamma(k)}{\Gamma(k + 1 - \alpha)} \right)^{1 / (1 - \alpha)} V_d \, \rho_i^d

    ρ_i is the Euclidean distance of sample i to its k-th nearest neighbor among the others, V_d the volume of the
    unit ball. α → 1 is the estimator of Kozachenko and Leonenko, minus digamma(k) plus the mean of
    log (N − 1) V_d ρ^d. α = 0 estimates the logarithm of the volume of a bounded support.

    Parameters
    ----------
    samples : array
        N independent samples of d dimensions, of shape (..., N, d), N ≥ 2, of a real floating-point dtype. Leading axes
        are sets of their own. A set with a sample that is not finite gives NaN.
    alpha : float or array
        The order, 0 ≤ α < k + 1: a number, or an array of the same library that broadcasts against the result, where
        orders out of that range give NaN.
    k : int, default 3
        Which neighbor, 1 ≤ k ≤ N − 1. A larger one has less variance and more bias.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    jitter : float or array, optional
        For samples that were rounded, the step that they were rounded to: uniform noise of this width is added to them,
        between −jitter/2 and jitter/2. An array broadcasts against ``samples``, as one of shape (d,) does.
    rng : optional
        The source of the noise, needed with ``jitter``: what has a method ``random`` of a shape, such as
        ``np.random.default_rng(0)`` for any library, or a function of a shape that returns uniform numbers in [0, 1),
        such as ``functools.partial(jax.random.uniform, key)``.

    Returns
    -------
    array
        The estimates, of shape (...), of the dtype, library and device of ``samples``. A differential entropy may be
        negative.

    Raises
    ------
    TypeError
        If ``samples`` is not an array of a real floating-point dtype, ``alpha`` is complex, ``k`` not an integer, or
        ``jitter`` or ``rng`` is given without the other.
    ValueError
        If ``alpha`` is a number that is negative, NaN or ≥ k + 1, ``k`` is out of range, ``samples`` has not the shape
        (..., N, d), ``jitter`` is negative, or ``base`` is not positive or is 1.

    See Also
    --------
    particle_reward : The part of each sample.
    kernel_entropy : By a kernel of a width.
    entropy_from_log_prob : Where the density is known.

    Notes
    -----
    Samples that coincide with k others have ρ = 0. For α ≥ 1 the estimate is then −inf and its derivatives 0; for
    α < 1 they add nothing to the sum, and have no derivative: the estimate is then finite, and far too low where many
    do, as rounded samples do. They are those whose :func:`particle_reward` is 0, and in a block of :func:`checking` an
    error. ``jitter`` spreads rounded samples over the steps that they were rounded to: the estimate is then that of the
    density, where it is flat over a step.

    The terms have finite variance for α < 1 + k/2; nearer to k + 1 the estimate scatters widely. For α < 1 it needs
    light tails. The bias falls slowly in many dimensions: benchmarks/results has measured biases and deviations.

    Within 8 units in the last place of the dtype (64 in float32 on JAX and Dask) of the sum of the magnitudes that are
    added up, log(N − 1), log V_d, log C_k and the largest d·log ρ by size, at every order, 1 ± 1e-12 included; the
    gradient within 64, of its largest entry. The derivative in α is a difference of two terms and has their rounding.
    Distances neither overflow nor vanish, but those under 1e-154 (in float32 1e-19) of the largest sample of a set may
    be taken for 0. Samples beyond 1/4d of the largest number of the dtype count as not finite.

    All pairs are compared, in blocks, N² d operations; on NumPy with SciPy installed (the extra ``neighbors``) a k-d
    tree takes their place up to 15 dimensions.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, the samples, and ``"alpha"``. The derivative holds neighbors fixed,
    as it must: they change where distances tie.

    References
    ----------
    N. Leonenko, L. Pronzato and V. Savani, "A class of Rényi information estimators for multidimensional densities",
    Annals of Statistics 36 (2008), pp. 2153–2182, with the correction in Annals of Statistics 38 (2010), pp. 3837–3838;
    L. F. Kozachenko and N. N. Leonenko, "Sample estimate of the entropy of a random vector", Problems of Information
    Transmission 23 (1987), for α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> samples = np.random.default_rng(0).normal(size=(10_000, 2))
    >>> for alpha in (0.5, 1, 2):
    ...     exact = renyi.gaussian_entropy(np.eye(2), alpha)
    ...     print(alpha, round(float(renyi.particle_entropy(samples, alpha)), 2), round(float(exact), 2))
    0.5 3.17 3.22
    1 2.82 2.84
    2 2.53 2.53

    Rounded samples: how many coincide with three others, the estimate, and that with jitter; 3.22 is right.

    >>> rounded = np.round(samples, 1)
    >>> print((renyi.particle_reward(rounded, 0.5) == 0).mean())
    0.8044
    >>> for options in ({}, {"jitter": 0.1, "rng": np.random.default_rng(1)}):
    ...     print(round(float(renyi.particle_entropy(rounded, 0.5, **options)), 2))
    1.93
    3.2
    """
    arguments, arrays, k = _search(samples, alpha, k, base, jitter, rng, trailing=2)
    found: Any = Quantity(arguments, PARTICLE_ENTROPY, arrays, {"k": k}, alpha)
    return found


@quiet
def particle_reward(
    samples: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    k: int = 3,
    jitter: float | ArrayOf[Any] | None = None,
    rng: Any = None,
) -> ArrayT:
    r"""Return the intrinsic reward ρ^{1−α} of each sample, ρ its distance to its k-th nearest neighbor.

    This is the reward of RISE: states far from the others earn more, the more so the smaller α is. In the sum of
    :func:`particle_entropy` the term of a state is proportional to ρ^{d(1−α)}; the reward leaves out d.

    Parameters
    ----------
    samples : array
        N states, or features of them, of shape (..., N, d), of a real floating-point dtype. Leading axes are sets of
        their own. A set with a sample that is not finite gives NaN.
    alpha : float or array
        The order, 0 < α < 1: a number, or an array of the same library that broadcasts against the result, where
        orders out of that range give NaN. The method has no α = 1, whose reward would be a logarithm.
    k : int, default 3
        Which neighbor, 1 ≤ k ≤ N − 1, not counting the sample itself.
    jitter, rng
        As in :func:`particle_entropy`, for states that were rounded.

    Returns
    -------
    array
        The rewards, ≥ 0, of shape (..., N), of the dtype, library and device of ``samples``.

    Raises
    ------
    TypeError
        As :func:`particle_entropy`.
    ValueError
        If ``alpha`` is a number that is not between 0 and 1, or as :func:`particle_entropy`.

    See Also
    --------
    particle_entropy : What it is the part of.
    regularizers.state_entropy_reward : For states of known probabilities.

    Notes
    -----
    Within 16 units in the last place in float64, 64 in float32. Samples that coincide with k others earn 0. There is
    no rule for ``grad``, since a reward is not differentiated; automatic differentiation passes through.

    References
    ----------
    M. Yuan, M.-O. Pun and D. Wang, "Rényi state entropy maximization for exploration acceleration in reinforcement
    learning", IEEE Transactions on Artificial Intelligence (2022), arXiv:2203.04297.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> states = np.asarray([[0.0], [1.0], [2.0], [11.0]])
    >>> print(renyi.particle_reward(states, 0.5, k=1))
    [1. 1. 1. 3.]
    """
    arguments, arrays, _ = _search(samples, alpha, k, None, jitter, rng, trailing=1)
    if arguments.order.static and not 0 < arguments.order.alpha < 1:
        msg = f"`alpha` must be between 0 and 1, got {alpha!r}"
        raise ValueError(msg)
    return arguments.rows(ask(particles.particle_reward, arguments.xp)(*arrays, arguments.order, xp=arguments.xp))


@quiet
def particle_mutual_information(
    samples_x: ArrayOf[ArrayT],
    samples_y: ArrayOf[Any],
    /,
    *,
    k: int = 3,
    base: float | None = None,
    jitter: float | ArrayOf[Any] | None = None,
    rng: Any = None,
) -> ArrayT:
    r"""Return the mutual information of two continuous variables, estimated by nearest neighbors from pairs of them.

    .. math:: \hat I = \psi(k) + \psi(N) - \frac{1}{N} \sum_{i=1}^{N} \bigl(\psi(n_x(i) + 1) + \psi(n_y(i) + 1)\bigr)

    The distance of two pairs is the largest difference in any dimension of x or y; n_x(i) is the number of other
    samples whose x is nearer to that of sample i than the pair of its k-th nearest neighbor is, n_y(i) that of y. This
    is the first estimator of Kraskov, Stögbauer and Grassberger. Most of the errors of the entropies that it is made of
    cancel, and all of them where x and y are independent.

    Parameters
    ----------
    samples_x, samples_y : array
        N independent pairs of samples, of shapes (..., N, d_x) and (..., N, d_y), N ≥ 2, of one real floating-point
        dtype. Leading axes are sets of their own, which broadcast. A set with a sample that is not finite gives NaN.
    k : int, default 3
        Which neighbor, 1 ≤ k ≤ N − 1. A larger one has less variance and more bias.
    base : float, optional
        The base of the logarithm; natural (nats) by default.
    jitter, rng
        As in :func:`particle_entropy`, for samples that were rounded; an array broadcasts against x and y side by side,
        as one of shape (d_x + d_y,) does.

    Returns
    -------
    array
        The estimates, of shape (...), of the dtype, library and device of ``samples_x``. They scatter around 0, below
        it as well, where x and y are independent.

    Raises
    ------
    TypeError
        If an array is not of a real floating-point dtype, or they have not one dtype and library; as
        :func:`particle_entropy`.
    ValueError
        If the shapes do not fit, ``k`` is out of range, ``jitter`` is negative, or ``base`` is not positive or is 1.

    See Also
    --------
    particle_entropy : Of one variable, of any order.
    mutual_information : Of probabilities, of any order.
    gram_mutual_information : By kernels, of any order.

    Notes
    -----
    It is Shannon's information alone. Bring the variables to scales of the same size first: the true information does
    not change with them, the estimate does. Where it is large next to log N, as of variables that nearly determine each
    other, the estimate is too small. benchmarks/results has measured biases and deviations.

    Pairs that coincide with k others make it +inf: they have no density. ``jitter`` spreads rounded samples over the
    steps that they were rounded to.

    The result is that of the counts to a few units in the last place of the sum of its terms. Counts do not change with
    a small step of a sample, so that derivatives are 0, and there is no rule for ``grad``. All pairs are compared, in
    blocks, N² (d_x + d_y) operations and a sort.

    References
    ----------
    A. Kraskov, H. Stögbauer and P. Grassberger, "Estimating mutual information", Physical Review E 69 (2004), 066138.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> x, noise = np.random.default_rng(0).normal(size=(2, 1000, 1))
    >>> for correlation in (0.0, 0.6, 0.9):
    ...     y = correlation * x + math.sqrt(1 - correlation**2) * noise
    ...     exact = -math.log(1 - correlation**2) / 2
    ...     print(round(float(renyi.particle_mutual_information(x, y)), 2), round(exact, 2))
    -0.01 -0.0
    0.22 0.22
    0.82 0.83
    """
    names = ("samples_x", "samples_y")
    given: tuple[Any, ...] = (samples_x, samples_y)
    for samples, name in zip(given, names, strict=True):
        floating(samples, name)
        _check_sets(tuple(samples.shape), name)
    arguments, (x, y) = prepare_parameters(given, 1.0, names=names, trailing=(2, 2), base=base)
    xp, n = arguments.xp, x.shape[-2]
    if y.shape[-2] != n:
        msg = f"`samples_y` must have as many samples as `samples_x`, {n}; got {y.shape[-2]}"
        raise ValueError(msg)
    k = _neighbor(k, n)
    if jitter is not None or rng is not None:
        # of both at once: a function of a shape may give the same numbers twice
        lead, width = arguments.shape, x.shape[-1]
        both = [xp.broadcast_to(part, (*lead, *part.shape[-2:])) for part in (x, y)]
        pairs = xp.concat(both, axis=-1)
        pairs = pairs + _noise(pairs, jitter, rng, xp)
        x, y = pairs[..., :width], pairs[..., width:]
    call = Call(PARTICLE_INFORMATION, (ask(constant, xp)(x), ask(constant, xp)(y)), None, None, {"k": k}, xp)
    return arguments.rows(in_base(run(call)[..., 0, 0], arguments))


def _check_sets(shape: tuple[Any, ...], name: str) -> None:
    """Raise ValueError unless this is the shape of sets of samples."""
    if len(shape) < 2 or shape[-1] == 0 or shape[-2] in {0, 1}:
        msg = f"`{name}` must have the shape (..., N, d) of N ≥ 2 samples of d ≥ 1 dimensions, got {shape}"
        raise ValueError(msg)
    if not all(isinstance(length, int) for length in shape[-2:]):
        msg = f"`{name}` must have a known number of samples and dimensions, got shape {shape}"
        raise ValueError(msg)


def _neighbor(k: Any, n: int) -> int:
    """Return which neighbor, checked."""
    k = integer(k, "k")
    if not 1 <= k < n:
        msg = f"`k` must be from 1 to {n - 1}, one less than the number of samples; got {k}"
        raise ValueError(msg)
    return k


def _search(
    samples: Array, alpha: Any, k: Any, base: Any, jitter: Any, rng: Any, *, trailing: int
) -> tuple[Arguments, tuple[Array, Array], int]:
    """Return the arguments, the samples and the indices of their neighbors, and k.

    So many last axes of the samples have one value.
    """
    floating(samples, "samples")
    _check_sets(tuple(samples.shape), "samples")
    arguments, (x,) = prepare_parameters((samples,), alpha, names=("samples",), trailing=(trailing,), base=base)
    xp, k = arguments.xp, _neighbor(k, samples.shape[-2])
    if trailing == 2 and arguments.order.static and not arguments.order.alpha < k + 1:
        msg = f"`alpha` must be less than `k` + 1 = {k + 1}, got {alpha!r}"
        raise ValueError(msg)
    if jitter is not None or rng is not None:
        x = x + _noise(x, jitter, rng, xp)
    index = ask(neighbors.kth_neighbor, xp)(ask(constant, xp)(x), k=k, xp=xp)
    return arguments, (x, index), k


def _noise(x: Array, jitter: Any, rng: Any, xp: Any) -> Array:
    """Return uniform noise of the width ``jitter`` and mean 0 for each sample."""
    width = None if jitter is None else coefficient(jitter, "jitter")
    if jitter is None or rng is None:
        msg = f"`jitter` and `rng` belong together, got jitter={jitter!r} and rng={rng!r}"
        raise TypeError(msg)
    shape = tuple(x.shape)
    if width is None:
        same_namespace(jitter, xp, "jitter", "samples")
        floating(jitter, "jitter")
        check_fits(jitter, shape, "jitter", "`samples`")
        width = cast(jitter, x.dtype, xp)
    draw = getattr(rng, "random", rng)
    if not callable(draw):
        given = f"{type(rng).__module__}.{type(rng).__name__}"
        msg = f"`rng` must have a method `random` or be a function of a shape, got {given}; for torch, torch.rand"
        raise TypeError(msg)
    drawn = draw(shape)
    drawn = cast(drawn, x.dtype, xp) if namespace(drawn) is xp else constants(drawn, x, xp)
    if tuple(drawn.shape) != shape:
        msg = f"`rng` must give numbers of the shape of `samples`, {shape}; got {tuple(drawn.shape)}"
        raise ValueError(msg)
    return width * (drawn - 0.5)
