"""What all terms share: options, arithmetic, and the way from the values of rows to a scalar and back."""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
import math
import operator
from typing import Any, ClassVar, NoReturn, Self

from renyi_core._advice import unknown
from renyi_core._arrays import Arguments, check_cotangent, check_real, coefficient, zeros
from renyi_core._kernels.batch import weighted
from renyi_core._kernels.dtypes import cast
from renyi_core._kernels.family import Call, Family, run
from renyi_core._numbers import check_choice
from renyi_core._quiet import quiet
from renyi_core._rules import Rule
from renyi_core._shapes import sum_to_shape
from renyi_core._typing import ArrayOf, ArrayT

from ._calls import TermCall, in_rows, per_row, product
from ._trees import as_tree

Array = Any

__all__ = ["OfOrder", "RowTerm", "Term", "TermSum"]


class Summand(abc.ABC):
    """What ``+`` makes a :class:`TermSum` of."""

    # NumPy's numbers leave a product with a term to the term
    __array_ufunc__: ClassVar[None] = None

    def __add__(self, other: Any) -> TermSum:
        if isinstance(other, Summand):
            return TermSum((self, other))
        msg = f"a term adds up with terms, and its value with a loss, as in loss + term(logits); got {_kind(other)}"
        raise TypeError(msg)

    def __radd__(self, other: Any) -> Any:
        # sum() begins with 0
        return self if isinstance(other, int) and other == 0 else self + other

    def __mul__(self, factor: Any) -> Self:
        if isinstance(factor, (Summand, str)):
            msg = f"a term is multiplied by a number, and added to other terms by `+`; got {_kind(factor)}"
            raise TypeError(msg)
        return self._times(scalar_weight(factor))

    __rmul__ = __mul__

    @abc.abstractmethod
    def _times(self, factor: Any) -> Self:
        """Return the term with its weight times a factor."""

    def __neg__(self) -> NoReturn:
        msg = f"no term is subtracted: {SIGNS}; add it to the loss"
        raise TypeError(msg)

    def __sub__(self, other: Any) -> NoReturn:
        self.__neg__()

    __rsub__ = __sub__


SIGNS = "weights are >= 0, and the sign is inside, so that a bonus is negative already"


def _kind(value: Any) -> str:
    return type(value).__name__


def scalar_weight(weight: Any) -> Any:
    """Return a number as a float, a scalar array as it is; raise for anything else."""
    number = coefficient(weight, "weight", cure=f"; {SIGNS}")
    if number is None and weight.ndim != 0:
        msg = f"`weight` must be a number or an array of shape (), got shape {tuple(weight.shape)}"
        raise ValueError(msg)
    return weight if number is None else number


@dataclasses.dataclass(frozen=True, repr=False)
class OfOrder:
    """What has one order: the first option, in front of the weight, which need no names."""

    alpha: Any = 1.0


@dataclasses.dataclass(frozen=True, repr=False)
class Term(Summand):
    """A term of a loss: a callable with options that do not change; what it returns is to be added to the loss.

    The base of the others, with no value of its own. Terms with equal numbers as options are equal and have one hash,
    so that they can be static arguments of ``jax.jit``. They are pytrees of JAX as well, whose leaves are the options
    that are arrays: passed as an argument, a term with an array as its weight is compiled once for all weights.

    Parameters
    ----------
    weight : float or array, default 1
        The coefficient: a number ≥ 0, or an array of shape () of the library of the input; NaN where that is negative.

    Examples
    --------
    >>> from renyi_core.regularizers import EntropyBonus, Term
    >>> term = EntropyBonus(alpha=2.0, weight=0.1)
    >>> isinstance(term, Term), term == EntropyBonus(alpha=2.0) * 0.1
    (True, True)
    >>> term.replace(weight=0.2)
    EntropyBonus(alpha=2.0, weight=0.2)
    """

    weight: Any = 1.0

    wrt: ClassVar[tuple[int | str, ...]] = (0, "weight")
    keywords: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        if "__call__" in vars(cls):
            parameters = inspect.signature(cls.__call__).parameters.values()
            cls.keywords = frozenset(p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY) - {"self"}
            cls.__call__ = quiet(cls.__call__)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Check the options; a subclass checks its own as well."""
        as_tree(type(self))
        scalar_weight(self.weight)

    def _options(self, arguments: Arguments, weight: Any, sample_weight: Any, rows: tuple[Any, ...]) -> Any:
        """Return the weight of this call, checked with the weights of the rows."""
        xp = arguments.xp
        weight = scalar_weight(self.weight if weight is None else weight)
        if not isinstance(weight, float):
            check_real(weight, xp, "weight", arguments.name, (), "a scalar")
            weight = xp.where(weight < 0, math.nan, cast(weight, arguments.sums, xp))
        if sample_weight is not None:
            check_real(sample_weight, xp, "sample_weight", arguments.name, rows, "the rows")
        return weight

    def replace(self, **changes: Any) -> Self:
        """Return the term with other options, as in ``term.replace(weight=0.02)``."""
        return dataclasses.replace(self, **changes)

    @property
    def rule(self) -> Rule:
        """How :func:`renyi_core.value_and_grad` differentiates the term."""
        return Rule(self.wrt, self._derivatives)

    @abc.abstractmethod
    def _derivatives(self, wrt: tuple[int | str, ...], cotangent: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the value and its derivatives, times a cotangent."""

    @abc.abstractmethod
    def __call__(self, x: ArrayOf[ArrayT], /) -> ArrayT:
        """Return the term's value, to be added to a loss."""

    def __repr__(self) -> str:
        last = ("weight", "reduction", "source")
        fields = sorted(dataclasses.fields(self), key=lambda f: last.index(f.name) + 1 if f.name in last else 0)
        given = ((f.name, getattr(self, f.name), f.default) for f in fields)
        shown = ", ".join(
            f"{name}={_shown(value)}" for name, value, default in given if name == "weight" or not _same(value, default)
        )
        return f"{type(self).__name__}({shown})"

    def _times(self, factor: Any) -> Self:
        return self.replace(weight=self.weight * factor)


def _shown(value: Any) -> str:
    return "math.inf" if isinstance(value, float) and value == math.inf else repr(value)


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (str, int, float)) and value == default)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class RowTerm(Term, OfOrder):
    """A term whose rows, the distributions of a batch, each have a value that a reduction takes together.

    A subclass says what quantity its rows have: ``_family`` is the family that computes it, ``_settings`` its options.
    ``_outer`` makes the value of it, that quantity with a sign where the term is ``_linear``.
    """

    reduction: str = "mean"

    wrt: ClassVar[tuple[int | str, ...]] = (0, "alpha", "weight")
    _sign: ClassVar[int] = 1
    _linear: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the options; a subclass checks its own as well."""
        super().__post_init__()
        coefficient(self.alpha, "alpha", infinite=True)
        check_choice(self.reduction, "reduction", ("mean", "sum", "none"))

    @property
    def _neutral(self) -> float | None:
        """What stands in the place of the entries of rows that do not count."""
        return 0.0

    @property
    @abc.abstractmethod
    def _family(self) -> Family:
        """The quantity of each row."""

    def _settings(self) -> dict[str, Any]:
        """Return the options of the family."""
        return {}

    def _arrays(self, batch: TermCall) -> tuple[Array, ...]:
        """Return the arrays of the family."""
        return batch.arrays

    def _run(self, batch: TermCall, wrt: tuple[int | str, ...] = (), factor: Any = None) -> Any:
        """Return the quantity of each row, and with ``wrt`` its derivatives times the factor of its row."""
        arguments, family = batch.arguments, self._family
        options = {**self._settings(), "axis": arguments.axis}
        call = Call(family, self._arrays(batch), arguments.order, arguments.where, options, arguments.xp)
        if not wrt:
            return per_row(run(call), arguments)
        rows, *found = run(call, wrt, in_rows(factor, batch))
        parts = (per_row(part, arguments) if name == "alpha" else part for name, part in zip(wrt, found, strict=True))
        return per_row(rows, arguments), *parts

    def _outer(self, rows: Array, batch: TermCall) -> tuple[Array, Any]:  # noqa: ARG002
        """Return the value of each row and its derivative with respect to its quantity."""
        return (rows if self._sign == 1 else -rows), self._sign

    def _batch(
        self,
        arguments: Arguments,
        arrays: tuple[Array, ...],
        *,
        weight: Any,
        alpha: Any,
        sample_weight: Any = None,
    ) -> TermCall:
        weight = self._options(arguments, weight, sample_weight, arguments.shape)
        return TermCall(arguments, arrays, arguments.shape, sample_weight, weight, alpha)

    @abc.abstractmethod
    def _checked(self, *args: Any, **kwargs: Any) -> TermCall:
        """Return the arguments of a call, checked."""

    def _reduced(self, values: Array, weights: Any, batch: TermCall) -> Array:
        values = weighted(values, weights, xp=batch.arguments.xp)
        return values if self.reduction == "none" else batch.arguments.xp.sum(values)

    def _weights(self, batch: TermCall) -> Any:
        """Return the factor of each row in the result, None for 1."""
        return batch.shares() if self.reduction == "mean" else batch.weights

    def _zero_shape(self, batch: TermCall) -> tuple[int, ...]:
        return batch.rows if self.reduction == "none" else ()

    def _evaluate(self, batch: TermCall) -> Array:
        if batch.none():
            return zeros(self._zero_shape(batch), batch.arguments.x, batch.arguments.xp)
        batch = batch.masked(self._neutral)
        values, _ = self._outer(self._run(batch), batch)
        return batch.scaled(self._reduced(values, self._weights(batch), batch), batch.weight)

    def _derivatives(self, wrt: tuple[int | str, ...], cotangent: Any, *args: Any, **kwargs: Any) -> Any:
        given = self._checked(*args, **kwargs)
        xp = given.arguments.xp
        cotangent = check_cotangent(cotangent, given.arguments, self._zero_shape(given))
        if given.none() and "weight" not in wrt:
            return given.zero(wrt, self._zero_shape(given))
        batch = given.masked(self._neutral)
        weights = self._weights(batch)
        # all that a row's value is multiplied by
        factor = product(product(weights, batch.weight, batch), cotangent, batch)
        summed = cotangent is not None or self.reduction != "none"
        if summed and any(isinstance(name, int) for name in wrt):
            batch = batch.summable()
        names = tuple(name for name in wrt if name != "weight")
        outer: Any = self._sign
        if names and not self._linear:
            outer = self._outer(self._run(batch), batch)[1]
        factor = product(factor, outer, batch)
        # an array of orders may have more rows than the arrays: each has its gradient, unless they are summed
        rows, *parts = self._run(batch, names, factor if summed else None) if names else (self._run(batch),)
        values, _ = self._outer(rows, batch)
        values = self._reduced(values, weights, batch)
        found: dict[int | str, Array] = {}
        if "weight" in wrt:
            found["weight"] = values if cotangent is None else xp.sum(batch.scaled(values, cotangent))
        for name, part in zip(names, parts, strict=True):
            if not summed:
                part = weighted(part, factor if name == "alpha" else in_rows(factor, batch), xp=xp)  # noqa: PLW2901
            found[name] = self._as_given(part, name, given, summed=summed)
        return batch.scaled(values, batch.weight), tuple(found[name] for name in wrt)

    def _as_given(self, gradient: Array, name: int | str, given: TermCall, *, summed: bool) -> Array:
        """Return a derivative in the shape of its argument, or of each row, in its dtype."""
        arguments = given.arguments
        argument = given.alpha if name == "alpha" else given.arrays[int(name)]
        dtype = getattr(argument, "dtype", gradient.dtype)
        dtype = dtype if arguments.xp.isdtype(dtype, "real floating") else gradient.dtype
        if summed:
            shape = tuple(getattr(argument, "shape", ()))
            gradient = sum_to_shape(gradient, shape, arguments.xp, arguments.axis)
        return cast(gradient, dtype, arguments.xp)


@dataclasses.dataclass(frozen=True, repr=False)
class TermSum(Summand):
    """The sum of terms: what ``+`` of two terms gives.

    It is called with the first argument of its terms, and a reference if one of them takes it, and passes to each the
    keyword arguments that it knows.

    Parameters
    ----------
    terms : tuple of Term or TermSum
        The summands. With ``reduction="none"`` all of them must have it.

    Raises
    ------
    TypeError
        If a summand is no term, or a keyword argument of a call is one that no term knows. ``alpha`` and ``weight`` are
        of one term: set them with its ``replace``, or scale the sum with ``*``.
    ValueError
        If some, and not all, of the terms have ``reduction="none"``.

    Notes
    -----
    ``grad`` and ``value_and_grad`` take ``wrt=0``, and 1, the reference, if a term takes one.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.regularizers import BalanceTerm, EntropyBonus
    >>> term = EntropyBonus(weight=0.01) + BalanceTerm(weight=0.1)
    >>> 2 * term
    EntropyBonus(weight=0.02) + BalanceTerm(weight=0.2)
    >>> print(round(float(term(np.zeros((8, 4)))), 6))
    -0.152492
    """

    terms: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Take sums apart and check what can be added."""
        as_tree(type(self))
        flat: list[Term] = []
        for term in self.terms:
            if not isinstance(term, Summand):
                msg = f"`terms` must be terms, got {type(term).__name__}"
                raise TypeError(msg)
            flat += term.terms if isinstance(term, TermSum) else (term,)
        if len({getattr(term, "reduction", "mean") == "none" for term in flat}) > 1:
            msg = f"terms with `reduction='none'` add up with their like alone, got {', '.join(map(repr, flat))}"
            raise ValueError(msg)
        object.__setattr__(self, "terms", tuple(flat))

    def replace(self, **changes: Any) -> TermSum:
        """Return the sum with other options, each in all terms that have it, as in ``term.replace(reduction="sum")``.

        The weights have to each other the proportion that they have: scale the sum with ``*``.
        """
        if "weight" in changes:
            msg = "`weight` is an option of each term: set it with `replace`, or scale the sum with `*`"
            raise TypeError(msg)
        options = [{field.name for field in dataclasses.fields(term)} for term in self.terms]
        for name in changes:
            if not any(name in own for own in options):
                msg = unknown("TermSum.replace", name, sorted(set().union(*options) - {"weight"}))
                raise TypeError(msg)
        pairs = zip(self.terms, options, strict=True)
        return TermSum(tuple(t.replace(**{k: v for k, v in changes.items() if k in own}) for t, own in pairs))

    def _each(self, reference: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Term, dict[str, Any]]]:
        if len(reference) > 1 or (reference and "reference" in kwargs):
            got = f"takes 2 arguments without a name, got {1 + len(reference)}"
            msg = f"`TermSum` {got if len(reference) > 1 else 'was given two values of `reference`'}"
            raise TypeError(msg)
        if reference:
            kwargs = {**kwargs, "reference": reference[0]}
        for term in self.terms:
            if "reference" in term.keywords and "reference" not in kwargs:
                msg = f"`TermSum` needs `reference`, which {type(term).__name__} compares with"
                raise TypeError(msg)
        known = frozenset().union(*(term.keywords for term in self.terms)) - {"alpha", "weight"}
        for name in kwargs:
            if name in {"alpha", "weight"}:
                msg = f"`{name}` is an option of each term: set it with `replace`, or scale the sum with `*`"
                raise TypeError(msg)
            if name not in known:
                msg = unknown("TermSum", name, sorted(known))
                raise TypeError(msg)
        return [(term, {k: v for k, v in kwargs.items() if k in term.keywords}) for term in self.terms]

    @quiet
    def __call__(self, x: ArrayOf[ArrayT], /, *reference: ArrayOf[Any], **kwargs: Any) -> ArrayT:
        """Return the sum of the terms' values."""
        values = [term(x, **own) for term, own in self._each(reference, kwargs)]
        return functools.reduce(operator.add, values)

    @property
    def rule(self) -> Rule:
        """How :func:`renyi_core.value_and_grad` differentiates the sum."""
        takes = any("reference" in term.keywords for term in self.terms)
        return Rule((0, 1) if takes else (0,), self._derivatives)

    def _derivatives(
        self, wrt: tuple[int | str, ...], cotangent: Any, x: Array, /, *reference: Any, **kwargs: Any
    ) -> Any:
        value: Any = None
        found: dict[int | str, Any] = {}
        for term, own in self._each(reference, kwargs):
            names = tuple(name for name in wrt if name != 1 or "reference" in term.keywords)
            part, gradients = term.rule.derivatives(names, cotangent, x, **own) if names else (term(x, **own), ())
            value = part if value is None else value + part
            for name, gradient in zip(names, gradients, strict=True):
                found[name] = found[name] + gradient if name in found else gradient
        return value, tuple(found[name] for name in wrt)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))

    def _times(self, factor: Any) -> TermSum:
        return TermSum(tuple(term * factor for term in self.terms))
