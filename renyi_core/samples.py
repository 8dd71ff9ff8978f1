"""The diversity of samples, from their coordinates and a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, get_args

from ._arrays import floating, prepare_parameters
from ._kernels.diversity import GRAM_ENTROPY
from ._kernels.measures import ENTROPY
from ._kernels.samples import FEATURES, KERNEL_ENTROPY, KernelName
from ._numbers import as_float
from ._quantity import Quantity, quantity
from ._shapes import with_axes
from ._typing import Alpha, ArrayOf, ArrayT
from .diversity import of_grams

Array = Any

__all__ = ["kernel_entropy"]


@quantity(0, "bandwidth", "alpha")
def kernel_entropy(
    samples: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    kernel: KernelName | Callable[[Array, Array], Array] = "gaussian",
    bandwidth: Any = 1.0,
    base: float | None = None,
) -> ArrayT:
    r"""Return the matrix-based Rényi entropy of order α of samples: that of their kernel matrix.

    .. math:: S_\alpha = \frac{1}{1 - \alpha} \log \operatorname{tr} \Bigl(\frac{K}{\operatorname{tr} K}\Bigr)^\alpha,
        \qquad K_{ij} = k(x_i, x_j)

    See :func:`gram_entropy`. Its exponential is the Vendi score of the samples.

    Parameters
    ----------
    samples : array
        Sets of N samples of d features, shape (..., N, d), of a real floating-point dtype.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the result.
    kernel : {"gaussian", "laplacian", "cosine", "linear"} or callable, default "gaussian"
        exp(−‖x − y‖²/(2σ²)), exp(−‖x − y‖₁/σ), x·y/(‖x‖ ‖y‖), x·y; or a function that takes the samples twice and
        returns their kernel matrices, shape (..., N, N).
    bandwidth : float or array, default 1
        σ > 0, of "gaussian" and "laplacian" alone: a number, or an array of the dtype of ``samples`` that broadcasts
        against the result; where that is not positive and finite the result is NaN.
    base : float, optional
        The base of the logarithm; natural (nats) by default.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``samples``; float16 and bfloat16 are computed
        in float32 and rounded once.

    Raises
    ------
    TypeError
        If ``samples`` is not an array of a real floating-point dtype, ``alpha`` is complex or of another library,
        ``bandwidth`` is neither a real number nor an array of the same dtype, or the library has no
        ``linalg.eigvalsh``, and the order is not the number 2.
    ValueError
        If ``samples`` has not two axes of lengths that are known and not 0, ``kernel`` is another name, ``bandwidth``
        is not positive and finite or goes with a kernel that has none, ``alpha`` is negative or NaN, or ``base`` is
        not positive or is 1.

    See Also
    --------
    gram_entropy : Of a kernel matrix at hand.
    particle_entropy : By distances to neighbors, without a kernel.
    regularizers.DiversityTerm : As a term of a loss.

    Notes
    -----
    Distances are formed from differences of the samples, those of a few rows at a time. α = 2, as a number, with
    "gaussian" or "laplacian" stores no matrix, for the gradient neither: it needs a few megabytes, or what the samples
    themselves take, whatever N; and it is exact, within 16 units in the last place of the dtype, for samples that
    nearly coincide too. Other orders form the matrix, whose eigenvalues have the rounding of the largest: the entropy
    of samples closer than that is lost, and where torch's automatic differentiation stores all N²·d differences; JAX's,
    and the derivatives here, do not.

    "cosine" and "linear" take the d × d matrix of the features instead, if that is smaller: its entropy is the same. A
    sample of zeros has no direction, and counts for nothing.

    A set of samples with an entry that is infinite or NaN gives NaN, and it alone.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"bandwidth"`` and ``"alpha"``. They are finite where samples
    coincide; at the kink of "laplacian", features that are equal count for nothing.

    References
    ----------
    L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
    kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> samples = np.asarray([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.kernel_entropy(samples, alpha)), 6))
    0.5 1.027171
    1 0.967029
    2 0.879183
    inf 0.624372
    >>> print(f"{renyi.kernel_entropy(1e-9 * samples, 2):.6e}")
    4.444444e-18
    """
    return of_kernel(samples, alpha, kernel, bandwidth, base)


def of_kernel(samples: Array, alpha: Any, kernel: Any, bandwidth: Any, base: Any) -> Any:
    """Return the entropy of the kernel matrix of samples, as a quantity."""
    if not isinstance(kernel, str):
        gram = _called(samples, kernel, bandwidth)
        return _OfKernel(*of_grams(GRAM_ENTROPY, (gram,), alpha, base, measure=ENTROPY))
    if kernel not in get_args(KernelName):
        msg = f"`kernel` must be one of {', '.join(map(repr, get_args(KernelName)))} or a function, got {kernel!r}"
        raise ValueError(msg)
    _check_samples(samples)
    given = _check_bandwidth(bandwidth, meant=kernel not in FEATURES)
    arrays: tuple[Array, ...] = (samples,)
    if not (given is None or isinstance(given, float)):
        arrays = (samples, given)
    names, trailing = ("samples", "bandwidth")[: len(arrays)], (2, 0)[: len(arrays)]
    arguments, checked = prepare_parameters(arrays, alpha, names=names, trailing=trailing, base=base)
    rows = with_axes(checked[1], samples.ndim - 2) if len(checked) == 2 else given
    shapes: dict[int | str, Any] = {1: tuple(getattr(bandwidth, "shape", ()))}
    options = {"kernel": kernel}
    return _OfKernel(arguments, KERNEL_ENTROPY, (checked[0], rows), options, alpha, ("bandwidth",), shapes)


class _OfKernel(Quantity):
    """The entropy of a kernel matrix, whose derivatives need a kernel with a name."""

    def derivatives(self, wrt: Any, cotangent: Any) -> Any:
        """Return the value and the derivatives."""
        if self.family is not KERNEL_ENTROPY:
            msg = "`kernel` must be a name for an analytic derivative, got a function; differentiate it yourself"
            raise TypeError(msg)
        if "bandwidth" in wrt and self.arrays[1] is None:
            msg = f"`wrt='bandwidth'` needs a kernel that has one, got `kernel={self.options['kernel']!r}`"
            raise ValueError(msg)
        return super().derivatives(wrt, cotangent)


def _check_bandwidth(bandwidth: Any, *, meant: bool) -> Any:
    """Return a number as a float, an array as it is."""
    if not meant:
        if isinstance(bandwidth, (int, float)) and bandwidth == 1:
            return None
        msg = f"`bandwidth` belongs to `kernel='gaussian'` and 'laplacian' alone, got {bandwidth!r}"
        raise ValueError(msg)
    if isinstance(bandwidth, (bool, complex)):
        msg = f"`bandwidth` must be a real number or an array, got {bandwidth!r}"
        raise TypeError(msg)
    if not isinstance(bandwidth, Real):
        floating(bandwidth, "bandwidth")
        return bandwidth
    number = as_float(bandwidth, "bandwidth")
    if not 0 < number < math.inf:
        msg = f"`bandwidth` must be positive and finite, got {bandwidth!r}"
        raise ValueError(msg)
    return number


def _check_samples(samples: Array) -> None:
    floating(samples, "samples")
    shape = tuple(samples.shape)
    if len(shape) < 2 or not all(isinstance(n, int) and n > 0 for n in shape[-2:]):
        msg = f"`samples` must have the shape (..., N, d) of lengths that are known and not 0, got {shape}"
        raise ValueError(msg)


def _called(samples: Array, kernel: Any, bandwidth: Any) -> Array:
    """Return the matrices that a kernel of the caller's gives."""
    if not callable(kernel):
        msg = f"`kernel` must be a name or a function of the samples, twice, got {kernel!r}"
        raise TypeError(msg)
    _check_samples(samples)
    _check_bandwidth(bandwidth, meant=False)
    gram = kernel(samples, samples)
    n, shape = samples.shape[-2], tuple(getattr(gram, "shape", ()))
    if shape[-2:] != (n, n):
        msg = f"`kernel` must return matrices of shape (..., {n}, {n}), got {shape or type(gram).__name__}"
        raise ValueError(msg)
    return gram
