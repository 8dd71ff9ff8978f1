"""The term of samples that are to differ from each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, get_args

from renyi_core._advice import explained
from renyi_core._arrays import coefficient, floating, prepare
from renyi_core._kernels.dtypes import cast
from renyi_core._kernels.family import Family, run
from renyi_core._kernels.samples import KERNEL_ENTROPY, KernelName
from renyi_core._kernels.sources import accumulate
from renyi_core._typing import Alpha, ArrayOf, ArrayT
from renyi_core.samples import of_kernel

from ._calls import TermCall
from ._term import RowTerm

Array = Any

__all__ = ["DiversityTerm"]


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class DiversityTerm(RowTerm):
    r"""A bonus on how much the samples or features of a batch differ, −weight · S_α of their kernel matrix.

    It keeps a generator from making one image, and self-supervised features from collapsing to a point. S_α is
    :func:`renyi_core.kernel_entropy`: 0 for samples that are all alike, log N for N of which no two are.

    Parameters
    ----------
    alpha : float or array, default 2
        The order, ≥ 0: 2, as a number, needs no eigenvalues and stores no kernel matrix.
    kernel : {"gaussian", "laplacian", "cosine", "linear"} or callable, default "gaussian"
        As for :func:`renyi_core.kernel_entropy`. A callable leaves the derivative to automatic differentiation.
    bandwidth : float or array, default 1
        σ > 0, of "gaussian" and "laplacian" alone. Samples much further apart than it feel no force.
    weight : float or array, default 1
        As in :class:`EntropyBonus`.
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of several sets of samples, as in :class:`EntropyBonus`.

    Raises
    ------
    TypeError
        As :func:`renyi_core.kernel_entropy`.
    ValueError
        As :class:`EntropyBonus`; for another ``kernel``, a ``bandwidth`` that is not positive and finite or goes with a
        kernel that has none, and samples without two axes.

    See Also
    --------
    BalanceTerm : Of distributions of a batch.
    renyi_core.kernel_entropy : What it averages.
    renyi_core.vendi_score : A number of samples.

    Notes
    -----
    As exact as :func:`renyi_core.kernel_entropy`. ``grad`` and ``value_and_grad`` take ``wrt=0`` (the samples),
    ``"alpha"`` and ``"weight"``. The rows that ``sample_weight`` weighs are whole sets of samples.

    References
    ----------
    L. G. Sanchez Giraldo, M. Rao and J. C. Principe, "Measures of entropy from data using infinitely divisible
    kernels", IEEE Transactions on Information Theory 61 (2015), pp. 535–548, for S_α.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> from renyi_core.regularizers import DiversityTerm
    >>> term = DiversityTerm(weight=0.1, bandwidth=2.0)
    >>> term
    DiversityTerm(bandwidth=2.0, weight=0.1)
    >>> value, gradient = renyi.value_and_grad(term)(np.asarray([[0.0], [1.0], [5.0]]))
    >>> print(f"{value:.6f}", np.round(gradient[:, 0], 6))
    -0.067158 [ 0.017147 -0.015344 -0.001803]
    """

    alpha: Any = dataclasses.field(default=2.0, kw_only=False)
    kernel: str | Callable[[Array, Array], Array] = "gaussian"
    bandwidth: Any = 1.0

    _sign: ClassVar[int] = -1
    _family: ClassVar[Family] = KERNEL_ENTROPY

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not callable(self.kernel) and self.kernel not in get_args(KernelName):
            names = ", ".join(map(repr, get_args(KernelName)))
            msg = f"`kernel` must be one of {names} or a function, got {self.kernel!r}"
            raise ValueError(msg)
        number = coefficient(self.bandwidth, "bandwidth")
        if number == 0:
            msg = f"`bandwidth` must be positive, got {self.bandwidth!r}"
            raise ValueError(msg)
        if number != 1 and self.kernel not in ("gaussian", "laplacian"):
            msg = f"`bandwidth` belongs to `kernel='gaussian'` and 'laplacian' alone, got {self.bandwidth!r}"
            raise ValueError(msg)

    @property
    def _neutral(self) -> float:
        # samples of zeros have no direction
        return 1.0

    def __call__(
        self,
        samples: ArrayOf[ArrayT],
        /,
        *,
        sample_weight: ArrayOf[Any] | None = None,
        alpha: Alpha | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        samples : array
            Sets of N samples of d features, shape (..., N, d), of a real floating-point dtype.
        sample_weight, alpha, weight
            As for :class:`EntropyBonus`; the sample weights are those of the sets, shape (...).

        Returns
        -------
        array
            A scalar, or the values of the sets for ``reduction="none"``; float32 for float16 and bfloat16, else of the
            dtype of ``samples``.
        """
        return self._evaluate(self._checked(samples, sample_weight=sample_weight, alpha=alpha, weight=weight))

    def _checked(
        self, samples: Array, /, *, sample_weight: Any = None, alpha: Any = None, weight: Any = None
    ) -> TermCall:
        alpha = self.alpha if alpha is None else alpha
        floating(samples, "samples")
        shape = tuple(samples.shape)
        if len(shape) < 2 or 0 in shape[-2:]:
            msg = f"`samples` must have the shape (..., N, d) of lengths that are not 0, got {shape}"
            raise ValueError(msg)
        arguments = prepare(samples, alpha, name="samples", axis=(-2, -1), where=None, base=None, keepdims=False)
        return self._batch(arguments, (samples,), weight=weight, alpha=alpha, sample_weight=sample_weight)

    def _run(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        xp, bandwidth = batch.arguments.xp, self.bandwidth
        samples = accumulate(batch.arguments.x, xp=xp)
        if hasattr(bandwidth, "dtype") and not isinstance(bandwidth, float):
            bandwidth = cast(bandwidth, samples.dtype, xp)
        quantity = of_kernel(samples, batch.alpha, self.kernel, bandwidth, None)
        if wrt and callable(self.kernel):
            return quantity.derivatives(wrt, factor)
        return run(quantity.call(quantity.arrays), wrt, factor)
