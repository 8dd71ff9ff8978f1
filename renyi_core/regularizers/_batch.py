"""Terms of a whole batch: how evenly its rows use the outcomes, and how much the outcome says of the row."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from renyi_core._advice import explained
from renyi_core._arrays import prepare
from renyi_core._kernels.batch import BATCH_INFORMATION, weighted
from renyi_core._kernels.entropy import ENTROPIES
from renyi_core._kernels.family import Call, run
from renyi_core._kernels.measures import ENTROPY
from renyi_core._typing import Alpha, ArrayOf, ArrayT

from ._calls import TermCall, in_rows, per_row, product
from ._marginal import BatchTerm, of_batch, scalar_order
from ._term import OfOrder

Array = Any

__all__ = ["BalanceTerm", "InformationTerm"]


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class BalanceTerm(BatchTerm, OfOrder):
    r"""A bonus on the even use of the outcomes by a batch, −weight · H_α(mean p).

    The mean goes over all axes but ``axis``: over the points of a clustering, or over the tokens that the router of a
    mixture of experts assigns. Single rows may be as sure as they like. α = 1 is usual; small orders press on outcomes
    that are hardly used, large ones on those used most.

    Parameters
    ----------
    alpha : float or array, default 1
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of shape ().
    weight, source
        As in :class:`EntropyBonus`.

    Raises
    ------
    TypeError
        As :class:`EntropyBonus`.
    ValueError
        As :class:`EntropyBonus`; if ``alpha`` is an array of another shape.

    See Also
    --------
    InformationTerm : Which also makes each row sure.
    EntropyBonus : Of each row.

    Notes
    -----
    Sample weights weigh the rows of the mean. One that is NaN makes the result NaN, and so does a row that is no
    distribution, unless its weight is 0. ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"alpha"`` and ``"weight"``.

    References
    ----------
    A. Krause, P. Perona and R. Gomes, "Discriminative clustering by regularized information maximization", NIPS 2010,
    whose first part it is at α = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import BalanceTerm
    >>> term = BalanceTerm(alpha=2.0, weight=0.1)
    >>> term
    BalanceTerm(alpha=2.0, weight=0.1)
    >>> sure_and_even, sure_and_alike = 50 * np.eye(3), 50 * np.eye(3)[[0, 0, 0]]
    >>> print(f"{term(sure_and_even):.6f} {term(sure_and_alike):.6f}")
    -0.109861 -0.000000
    """

    wrt: ClassVar[tuple[int | str, ...]] = (0, "alpha", "weight")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        scalar_order(self.alpha, "alpha")

    def __call__(
        self,
        x: ArrayOf[ArrayT],
        /,
        *,
        axis: int | tuple[int, ...] = -1,
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
        axis, where, sample_weight, alpha, weight
            As for :class:`EntropyBonus`.

        Returns
        -------
        array
            A scalar, float32 for float16 and bfloat16, else of the dtype of x; 0 if no row counts.
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
        alpha = scalar_order(self.alpha if alpha is None else alpha, "alpha")
        arguments = prepare(x, alpha, name=self.source, axis=axis, where=where, base=None, keepdims=False)
        weight = self._options(arguments, weight, sample_weight, arguments.shape)
        return TermCall(arguments, (x,), arguments.shape, sample_weight, weight, alpha)

    def _order(self, batch: TermCall, name: str) -> Any:  # noqa: ARG002
        return batch.alpha

    def _total(self, batch: TermCall) -> Array:
        return self._marginal(batch, batch.alpha).value()

    def _total_and_gradient(self, batch: TermCall, factor: Any) -> tuple[Array, Array]:
        return self._marginal(batch, batch.alpha).value_and_gradient(batch, factor)

    def _total_and_slope(self, batch: TermCall, wrt: str) -> tuple[Array, Array]:  # noqa: ARG002
        return self._marginal(batch, batch.alpha).value_and_slope()


@explained
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class InformationTerm(BatchTerm):
    r"""A bonus on what the outcome says of the row, −weight · (H_a(mean p) − mean H_b(p)).

    The objective of clustering by information maximization: outcomes used evenly, by rows that are sure. With a = b = 1
    the bonus is the mutual information of row and outcome. To weigh evenness more, add a :class:`BalanceTerm`.

    Parameters
    ----------
    marginal_alpha : float or array, default 1
        The order a of the entropy of the mean: a number ≥ 0 or an array of shape ().
    conditional_alpha : float or array, default 1
        The order b of the entropies of the rows: a number ≥ 0 or an array of shape ().
    weight, source
        As in :class:`EntropyBonus`; all options by name.

    Raises
    ------
    TypeError, ValueError
        As :class:`BalanceTerm`.

    See Also
    --------
    BalanceTerm : Without the rows' entropy.
    EntropyBonus : Of each row.
    renyi_core.jensen_divergence : Of distributions with weights.

    Notes
    -----
    With a = b = 1, as numbers, it is formed as the mean of D_1(p‖mean p) from differences of the logits, and exact for
    rows that are nearly alike too, in value and gradient; of ``source="probs"``, as far as their rounding allows. For
    other orders it is a difference of entropies, with the rounding of the larger one, and may be negative.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"marginal_alpha"``, ``"conditional_alpha"`` and ``"weight"``.

    References
    ----------
    A. Krause, P. Perona and R. Gomes, "Discriminative clustering by regularized information maximization", NIPS 2010;
    W. Hu, T. Miyato, S. Tokui, E. Matsumoto and M. Sugiyama, "Learning discrete representations via information
    maximizing self-augmented training", ICML 2017; both at a = b = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import InformationTerm
    >>> term = InformationTerm(marginal_alpha=0.5)
    >>> term
    InformationTerm(marginal_alpha=0.5, weight=1.0)
    >>> for rows in (50 * np.eye(3), 50 * np.eye(3)[[0, 0, 0]], np.zeros((3, 3))):
    ...     print(f"{abs(term(rows)):.6f}")
    1.098612
    0.000000
    0.000000
    """

    marginal_alpha: Any = 1.0
    conditional_alpha: Any = 1.0
    # beside two orders, a number without a name could be any of the three
    weight: Any = 1.0

    wrt: ClassVar[tuple[int | str, ...]] = (0, "marginal_alpha", "conditional_alpha", "weight")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        scalar_order(self.marginal_alpha, "marginal_alpha")
        scalar_order(self.conditional_alpha, "conditional_alpha")

    def __call__(
        self,
        x: ArrayOf[ArrayT],
        /,
        *,
        axis: int | tuple[int, ...] = -1,
        where: ArrayOf[Any] | None = None,
        sample_weight: ArrayOf[Any] | None = None,
        weight: Any = None,
    ) -> ArrayT:
        """Return the term's value, to be added to a loss.

        Parameters
        ----------
        x, axis, where, sample_weight, weight
            As for :class:`BalanceTerm`.

        Returns
        -------
        array
            A scalar, as of :class:`BalanceTerm`.
        """
        return self._evaluate(self._checked(x, axis=axis, where=where, sample_weight=sample_weight, weight=weight))

    def _checked(
        self, x: Array, /, *, axis: Any = -1, where: Any = None, sample_weight: Any = None, weight: Any = None
    ) -> TermCall:
        options = {"name": self.source, "axis": axis, "where": where, "base": None, "keepdims": False}
        arguments = prepare(x, self.conditional_alpha, **options)
        prepare(x, self.marginal_alpha, **options)
        weight = self._options(arguments, weight, sample_weight, arguments.shape)
        return TermCall(arguments, (x,), arguments.shape, sample_weight, weight)

    def _order(self, batch: TermCall, name: str) -> Any:  # noqa: ARG002
        return getattr(self, name)

    @property
    def _shannon(self) -> bool:
        orders = self.marginal_alpha, self.conditional_alpha
        return all(isinstance(alpha, (int, float)) and alpha == 1 for alpha in orders)

    def _entropies(self, batch: TermCall, wrt: tuple[int | str, ...] = (), scale: Any = None) -> Any:
        arguments = batch.arguments
        options = {"source": self.source, "measure": ENTROPY, "axis": arguments.axis}
        return run(Call(ENTROPIES, (arguments.x,), arguments.order, arguments.where, options, arguments.xp), wrt, scale)

    def _mean_rows(self, rows: Array, shares: Any, batch: TermCall) -> Array:
        xp = batch.arguments.xp
        return xp.sum(weighted(per_row(rows, batch.arguments), shares, xp=xp))

    def _information(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        return run(of_batch(BATCH_INFORMATION, batch, self.source, batch.shares()), wrt, factor)

    def _total(self, batch: TermCall) -> Array:
        if self._shannon:
            return self._information(batch)
        marginal = self._marginal(batch, self.marginal_alpha)
        return marginal.value() - self._mean_rows(self._entropies(batch), marginal.mean.shares, batch)

    def _total_and_gradient(self, batch: TermCall, factor: Any) -> tuple[Array, Array]:
        if self._shannon:
            value, gradient = self._information(batch, (0,), factor)
            return value, gradient
        marginal = self._marginal(batch, self.marginal_alpha)
        value, gradient = marginal.value_and_gradient(batch, factor)
        shares = marginal.mean.shares
        scale = in_rows(product(product(-1, shares, batch), factor, batch), batch)
        rows, own = self._entropies(batch, (0,), scale)
        return value - self._mean_rows(rows, shares, batch), gradient + own

    def _total_and_slope(self, batch: TermCall, wrt: str) -> tuple[Array, Array]:
        marginal = self._marginal(batch, self.marginal_alpha)
        rows, slopes = self._entropies(batch, ("alpha",))
        value, slope = marginal.value_and_slope()
        shares = marginal.mean.shares
        total = self._total(batch) if self._shannon else value - self._mean_rows(rows, shares, batch)
        return total, -self._mean_rows(slopes, shares, batch) if wrt == "conditional_alpha" else slope
