"""Terms of the entropy of each distribution: the bonus and the floor."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from renyi_core._advice import explained
from renyi_core._arrays import coefficient, prepare
from renyi_core._kernels.entropy import ENTROPIES
from renyi_core._kernels.family import Family
from renyi_core._kernels.measures import ENTROPY
from renyi_core._numbers import check_choice, flag
from renyi_core._typing import Alpha, ArrayOf, ArrayT

from ._calls import TermCall
from ._term import RowTerm

Array = Any

__all__ = ["Distributions", "EntropyBonus", "EntropyFloor"]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Distributions(RowTerm):
    """A term of distributions along an axis, given by logits or probabilities."""

    source: str = "logits"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_choice(self.source, "source", ("logits", "probs"))

    @property
    def _neutral(self) -> float | None:
        return 0.0 if self.source == "logits" else 1.0

    def __call__(
        self,
        x: ArrayOf[ArrayT],
        /,
        *,
        axis: int | tuple[int, ...] | None = -1,
        where: ArrayOf[Any] | None = None,
        sample_weight: ArrayOf[Any] | None = None,
        alpha: Alpha | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        x : array
            Logits, or for ``source="probs"`` probabilities, shape (..., n), of a real floating-point dtype.
        axis : int, tuple of int or None, default -1
            The axis or axes along which the outcomes of one distribution lie; the others are those of the rows.
        where : array of bool, optional
            Broadcasts to x; outcomes where it is False are left out. A row without an outcome has weight 0.
        sample_weight : array, optional
            Weights ≥ 0 of the rows, or a mask of those that count; broadcasts to them. Rows of weight 0 count for
            nothing, whatever they hold. A negative weight gives NaN.
        alpha : float or array, optional
            The order for this call, in the place of the term's.
        weight : float or array of shape (), optional
            The coefficient for this call, in the place of the term's.

        Returns
        -------
        array
            A scalar, or the values of the rows for ``reduction="none"``; float32 for float16 and bfloat16, else of the
            dtype of x.
        """
        return self._evaluate(
            self._checked(x, axis=axis, where=where, sample_weight=sample_weight, alpha=alpha, weight=weight)
        )

    def _checked(
        self,
        x: Array,
        /,
        *,
        axis: Any = -1,
        where: Any = None,
        sample_weight: Any = None,
        alpha: Any = None,
        weight: Any = None,
    ) -> TermCall:
        alpha = self.alpha if alpha is None else alpha
        arguments = prepare(x, alpha, name=self.source, axis=axis, where=where, base=None, keepdims=False)
        return self._batch(arguments, (x,), weight=weight, alpha=alpha, sample_weight=sample_weight)

    def _settings(self) -> dict[str, Any]:
        return {"source": self.source}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class _OfEntropy(Distributions):
    """A term that is a function of the entropy of each row."""

    _family: ClassVar[Family] = ENTROPIES

    def _settings(self) -> dict[str, Any]:
        return {"source": self.source, "measure": ENTROPY}


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EntropyBonus(_OfEntropy):
    r"""A bonus on the entropy of each distribution, −weight · mean H_α.

    Added to a loss, it keeps a classifier, a policy or a next-token model from growing too sure: α > 1 presses on the
    dominant outcomes, α < 1 keeps rare ones alive.

    Parameters
    ----------
    alpha : float or array, default 1
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array that broadcasts against the rows. α = 0
        has no gradient.
    weight : float or array, default 1
        The coefficient β ≥ 0: a number, or an array of shape () of the library of the input, such as what a schedule
        gives under ``jax.jit``; NaN where that is negative. The number 0 computes nothing: the result is a plain 0,
        with no graph. α and β need no names: ``EntropyBonus(2.0, 0.01)``.
    reduction : {"mean", "sum", "none"}, default "mean"
        What becomes of the rows: Σ w H/Σ w with the sample weights w (0 if none is positive), Σ w H, or w H.
    source : {"logits", "probs"}, default "logits"
        What the term is called with.

    Raises
    ------
    TypeError
        If an option or an argument is not of its type; see :func:`renyi_core.entropy`.
    ValueError
        If ``weight`` is negative, infinite or NaN, ``alpha`` is negative or NaN, ``reduction`` or ``source`` is another
        one, or shapes do not fit.

    See Also
    --------
    EntropyFloor : Below a target only.
    BalanceTerm : Of the mean of the batch.
    GaussianEntropyBonus : Of Gaussians.
    renyi_core.entropy_from_logits : What it averages.

    Notes
    -----
    The rows are within the bounds of :func:`renyi_core.entropy_from_logits`. ``grad`` and ``value_and_grad`` take
    ``wrt=0``, ``"alpha"`` and ``"weight"``. The gradient is formed in the same pass as the value.

    References
    ----------
    R. J. Williams and J. Peng, "Function optimization using connectionist reinforcement learning algorithms",
    Connection Science 3 (1991), pp. 241–268, for α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> from renyi_core.regularizers import EntropyBonus
    >>> term = EntropyBonus(alpha=2.0, weight=0.01)
    >>> term
    EntropyBonus(alpha=2.0, weight=0.01)
    >>> logits = np.asarray([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    >>> value, gradient = renyi.value_and_grad(term)(logits)
    >>> print(f"{value:.6f}", np.round(gradient, 6).tolist())
    -0.006532 [[-0.001054, -0.001054, 0.002109], [0.001777, -0.000888, -0.000888]]
    >>> print(f"{term(logits, sample_weight=np.asarray([True, False])):.6f}")
    -0.008633
    """

    _sign: ClassVar[int] = -1

    @property
    def _neutral(self) -> float | None:
        # rows of cotangent 0 have the gradient 0 whatever they hold
        return None


@dataclasses.dataclass(frozen=True, repr=False)
class _OfTarget:
    """What has a target: the first option, in front of the order, which needs no name."""

    target: float


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EntropyFloor(_OfEntropy, _OfTarget):
    r"""A penalty on entropies below a target alone, weight · mean max(0, target − H_α).

    Rows whose entropy is the target or more have no gradient.

    Parameters
    ----------
    target : float
        The least entropy wanted, ≥ 0, in nats; for ``relative=True`` as a share of that of the uniform distribution,
        log n, between 0 and 1. It comes first, and needs no name, nor do ``alpha`` and ``weight`` after it.
    relative : bool, default False
        Whether the target is a share. n is the number of the outcomes of a row that ``where`` leaves.
    alpha, weight, reduction, source
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError
        As :class:`EntropyBonus`.
    ValueError
        As :class:`EntropyBonus`; if ``target`` is negative, infinite or NaN, or above 1 for ``relative=True``, and at
        the call if it is above log n, which no distribution reaches.

    See Also
    --------
    EntropyBonus : Everywhere.
    renyi_core.schedules.TargetEntropy : A weight that holds the entropy.

    Notes
    -----
    As for :class:`EntropyBonus`, but that the gradient takes a second pass.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import EntropyFloor
    >>> term = EntropyFloor(target=0.5, relative=True, reduction="none")
    >>> term
    EntropyFloor(target=0.5, relative=True, weight=1.0, reduction='none')
    >>> print(np.round(term(np.asarray([[0.0, 0.0, 1.0, 0.0], [9.0, 0.0, 0.0, 0.0]])), 6))
    [0.       0.689446]
    """

    relative: bool = False

    _linear: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if coefficient(self.target, "target") is None:
            msg = f"`target` must be a number, got {type(self.target).__name__}"
            raise TypeError(msg)
        flag(self.relative, "relative")
        if self.relative and self.target > 1:
            msg = f"`target` must be <= 1, a share of log n, for `relative=True`; got {self.target!r}"
            raise ValueError(msg)

    def _checked(self, x: Array, /, **kwargs: Any) -> TermCall:
        batch = super()._checked(x, **kwargs)
        lengths = [x.shape[i] for i in batch.arguments.axis]
        if not self.relative and all(isinstance(n, int) for n in lengths):
            most = math.log(math.prod(lengths))
            # a target of log n may have been rounded in float32
            if self.target > most * (1 + 1e-6):
                msg = (
                    f"`target` must be at most log n, {most:.6g} for {math.prod(lengths)} outcomes; got {self.target!r}"
                )
                raise ValueError(msg)
        return batch

    def _outer(self, rows: Array, batch: TermCall) -> tuple[Array, Any]:
        xp = batch.arguments.xp
        gap = self._target(rows, batch) - rows
        above = gap <= 0
        return xp.where(above, 0.0, gap), xp.where(above, 0.0, -1.0 + 0.0 * gap)

    def _target(self, rows: Array, batch: TermCall) -> Any:
        """Return the target in nats, of each row if the rows have their own numbers of outcomes."""
        arguments = batch.arguments
        x, where, xp = arguments.x, arguments.where, arguments.xp
        lengths = [x.shape[i] for i in arguments.axis]
        if not self.relative:
            return self.target
        if where is None and all(isinstance(n, int) for n in lengths):
            return self.target * math.log(math.prod(lengths))
        ones = xp.astype(xp.zeros_like(x), rows.dtype) + 1.0
        count = xp.sum(ones if where is None else xp.where(where, ones, 0.0), axis=arguments.axis)
        return self.target * xp.log(count)
