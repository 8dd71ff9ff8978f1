"""The mean assignment of a batch, its entropy, and what all terms of it share."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, NamedTuple

from renyi_core._arrays import Arguments, check_cotangent, coefficient, prepare, rectangular, zeros
from renyi_core._kernels.batch import SHARE_OF_MEAN
from renyi_core._kernels.dtypes import cast
from renyi_core._kernels.entropy import ENTROPIES
from renyi_core._kernels.family import Call, Family, run
from renyi_core._kernels.measures import ENTROPY
from renyi_core._kernels.sources import accumulate
from renyi_core._numbers import check_choice

from ._calls import TermCall, in_rows, per_row, product, with_arrays
from ._term import Term

Array = Any

__all__ = ["BatchTerm", "Marginal", "Mean", "of_batch", "scalar_order"]


class Mean(NamedTuple):
    """The shares of the rows, the mean of the rows as probabilities, without batch axes, and these axes.

    ``empty`` says whether no row counts; the mean is then anything. None: there are rows.
    """

    shares: Any
    mean: Array
    empty: Any
    axes: tuple[int, ...]


def of_batch(family: Family, batch: TermCall, source: Any, shares: Any) -> Call:
    """Return the call of a family of rows and their shares."""
    arguments = batch.arguments
    options = {"source": source, "axis": arguments.axis}
    return Call(family, (arguments.x, in_rows(shares, batch)), None, arguments.where, options, arguments.xp)


def mean_of(batch: TermCall, source: Any) -> Mean:
    arguments, xp = batch.arguments, batch.arguments.xp
    shares = batch.shares()
    ndim = arguments.x.ndim
    axes = tuple(i for i in range(ndim) if i - ndim not in arguments.axis)
    mean = xp.sum(run(of_batch(SHARE_OF_MEAN, batch, source, shares)), axis=axes)
    empty = None
    if not isinstance(shares, float):
        empty = xp.sum(shares) == 0
        mean = xp.where(empty, 1.0, mean)
    return Mean(shares, mean, empty, axes)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class BatchTerm(Term):
    """A term of all rows together: a scalar, the sum of what :meth:`_total` gives, times the weight."""

    source: str = "logits"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_choice(self.source, "source", ("logits", "probs"))

    @abc.abstractmethod
    def _checked(self, *args: Any, **kwargs: Any) -> TermCall:
        """Return the arguments of a call, checked."""

    def _marginal(self, batch: TermCall, alpha: Any) -> Marginal:
        """Return the entropy of the mean, of an order."""
        return Marginal.of(mean_of(batch, self.source), alpha, self.source)

    @abc.abstractmethod
    def _total(self, batch: TermCall) -> Array:
        """Return what the term is a bonus on."""

    @abc.abstractmethod
    def _total_and_gradient(self, batch: TermCall, factor: Any) -> tuple[Array, Array]:
        """Return the total, and its gradient with respect to the first array times a factor."""

    @abc.abstractmethod
    def _total_and_slope(self, batch: TermCall, wrt: str) -> tuple[Array, Array]:
        """Return the total and its derivative with respect to an order."""

    @abc.abstractmethod
    def _order(self, batch: TermCall, name: str) -> Any:
        """Return the order that the derivative is with respect to."""

    def _evaluate(self, batch: TermCall) -> Array:
        if batch.none() or 0 in batch.rows:
            return zeros((), batch.arguments.x, batch.arguments.xp)
        batch = self._masked(batch)
        return batch.scaled(0.0 - self._total(batch), batch.weight)

    def _masked(self, batch: TermCall) -> TermCall:
        """Return the batch without the rows that do not count, in the dtype of sums."""
        rectangular(batch.arguments.x, self.source, batch.arguments.axis)
        batch = batch.masked(0.0 if self.source == "logits" else 1.0)
        arguments = batch.arguments
        return batch._replace(
            arguments=with_arrays(arguments, accumulate(arguments.x, xp=arguments.xp), arguments.where)
        )

    def _derivatives(self, wrt: tuple[int | str, ...], cotangent: Any, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(*args, **kwargs)
        both = [self._derivative(name, cotangent, given) for name in wrt]
        return both[0][0], tuple(gradient for _, gradient in both)

    def _derivative(self, wrt: int | str, cotangent: Any, given: TermCall) -> tuple[Array, Array]:
        xp = given.arguments.xp
        cotangent = check_cotangent(cotangent, given.arguments, ())
        order = None if wrt in {0, "weight"} else self._order(given, str(wrt))
        if 0 in given.rows or (given.none() and wrt != "weight"):
            value, (gradient,) = given._replace(alpha=order).zero((wrt,))
            return value, gradient
        batch = self._masked(given)
        if wrt == "weight":
            total = 0.0 - self._total(batch)
            return batch.scaled(total, batch.weight), total if cotangent is None else batch.scaled(total, cotangent)
        factor = product(product(-1, batch.weight, batch), cotangent, batch)
        if wrt == 0:
            rectangular(given.arrays[0], self.source)
            total, gradient = self._total_and_gradient(batch, factor)
            gradient = cast(gradient, given.arrays[0].dtype, xp)
        else:
            total, slope = self._total_and_slope(batch, str(wrt))
            gradient = batch.scaled(slope, factor)
            dtype = getattr(order, "dtype", gradient.dtype)
            if xp.isdtype(dtype, "real floating"):
                gradient = cast(gradient, dtype, xp)
        return batch.scaled(0.0 - total, batch.weight), gradient


def scalar_order(alpha: Any, name: str) -> Any:
    """Return an order of a whole batch, a number or an array of shape (); raise for anything else."""
    if coefficient(alpha, name, infinite=True) is None and alpha.ndim != 0:
        msg = f"`{name}` must be a number or an array of shape (), got shape {tuple(alpha.shape)}"
        raise ValueError(msg)
    return alpha


class Marginal(NamedTuple):
    """The entropy of a batch's mean: what the kernels of the entropy say of it, and 0 where no row counts."""

    mean: Mean
    arguments: Arguments
    source: str

    @classmethod
    def of(cls, mean: Mean, alpha: Any, source: str) -> Marginal:
        arguments = prepare(mean.mean, alpha, name=source, axis=None, where=None, base=None, keepdims=False)
        return cls(mean, arguments, source)

    def _run(self, wrt: tuple[int | str, ...] = ()) -> Any:
        arguments = self.arguments
        options = {"source": "probs", "measure": ENTROPY, "axis": arguments.axis}
        return run(Call(ENTROPIES, (arguments.x,), arguments.order, None, options, arguments.xp), wrt)

    def _scalar(self, value: Array) -> Array:
        value, empty = per_row(value, self.arguments), self.mean.empty
        return value if empty is None else self.arguments.xp.where(empty, 0.0, value)

    def value(self) -> Array:
        return self._scalar(self._run())

    def value_and_slope(self) -> tuple[Array, Array]:
        value, slope = self._run(("alpha",))
        return self._scalar(value), self._scalar(slope)

    def value_and_gradient(self, batch: TermCall, factor: Any) -> tuple[Array, Array]:
        """Return the entropy and its gradient with respect to all rows, times a factor."""
        value, slope = self._run((0,))
        for i in self.mean.axes:
            slope = self.arguments.xp.expand_dims(slope, axis=i)
        call = of_batch(SHARE_OF_MEAN, batch, self.source, product(self.mean.shares, factor, batch))
        return self._scalar(value), run(call, (0,), slope)[1]
