"""Coefficients and orders that change while a model trains: step → value, for β and for α.

Each class is immutable, compares by its parameters, can be pickled, and is called with the step: a number gives a
float, an array (traced by ``jax.jit``, too) an array of its library. An epoch, a fraction of one, or a count of tokens
is a step as well: whatever the ``steps`` of the schedule are counted in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from ._arrays import counted, floating
from ._numbers import check_choice, finite, length, number, positive
from ._quiet import quiet
from ._target_entropy import TargetEntropy, dual_ascent

Array = Any

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "Harmonic",
    "Linear",
    "Piecewise",
    "TargetEntropy",
    "dual_ascent",
]


class _Numbers:
    """What the schedules use of an array library, for Python numbers."""

    exp = staticmethod(math.exp)
    sin = staticmethod(math.sin)

    @staticmethod
    def where(condition: bool, x: float, y: float) -> float:
        return x if condition else y

    @staticmethod
    def clip(x: float, low: float, high: float) -> float:
        return min(max(x, low), high)

    @staticmethod
    def full_like(_: float, value: float) -> float:
        return value


class _Schedule(ABC):
    """A function of the step, written once for numbers and arrays."""

    __slots__ = ()

    @quiet
    def __call__(self, step: Any, /) -> Any:
        """Return the value at a step: a float for a number, an array for an array."""
        if isinstance(step, Real):
            checked = number(step, "step")
            if not checked >= 0:
                msg = f"`step` must be >= 0, got {step!r}"
                raise ValueError(msg)
            return float(self._value(checked, _Numbers))
        if not hasattr(type(step), "shape"):
            msg = f"`step` must be a number >= 0 or an array, got {step!r}"
            raise TypeError(msg)
        steps = counted(step, "step")
        return self._value(steps, floating(steps, "step"))

    @abstractmethod
    def _value(self, step: Any, xp: Any) -> Any:
        """Return the value; a step below 0 counts as 0."""


def _progress(step: Any, steps: float, xp: Any) -> tuple[Any, Any]:
    """Return which share of the steps is done, and which remains."""
    done = xp.clip(step, 0.0, float(steps))
    return done / steps, (steps - done) / steps


def _between(start: float, end: float, done: Any, left: Any, xp: Any) -> Any:
    """Interpolate from the nearer end, so that both are met exactly; ``done`` + ``left`` is 1."""
    change = end - start
    return xp.where(done < 0.5, start + change * done, end - change * left)


@dataclass(frozen=True, slots=True)
class Constant(_Schedule):
    """The same value at every step.

    Parameters
    ----------
    value : float
        The value, ``math.inf`` included.

    Raises
    ------
    TypeError
        If ``value`` is not a real number.
    ValueError
        If it is NaN.

    Examples
    --------
    >>> from renyi_core.schedules import Constant
    >>> Constant(0.01)(500)
    0.01
    """

    value: float

    def __post_init__(self) -> None:
        """Check the value."""
        value = number(self.value, "value")
        if math.isnan(value):
            msg = f"`value` must be a number, got {self.value!r}"
            raise ValueError(msg)
        object.__setattr__(self, "value", value)

    def _value(self, step: Any, xp: Any) -> Any:
        return xp.full_like(step, self.value)


@dataclass(frozen=True, slots=True)
class _Path(_Schedule):
    """From ``start`` at step 0 to ``end`` at step ``steps``, which is held from there on."""

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        """Check the ends and the number of steps."""
        for name in ("start", "end"):
            object.__setattr__(self, name, self._check_end(getattr(self, name), name))
        object.__setattr__(self, "steps", length(self.steps, "steps"))

    @staticmethod
    def _check_end(value: Any, name: str) -> float:
        return finite(value, name)


@dataclass(frozen=True, slots=True)
class Linear(_Path):
    """From one value to another by equal differences.

    Parameters
    ----------
    start, end : float
        The values at step 0, and at step ``steps`` and from there on; finite.
    steps : float
        The length of the way, > 0.

    Raises
    ------
    TypeError
        If a parameter is not a real number.
    ValueError
        If an end is not finite, or ``steps`` is not positive and finite.

    Notes
    -----
    The step is a number >= 0, or an array: of integers (the result has the library's default floating-point dtype) or
    floating-point (the result has its dtype). Values of arrays are not read, so a negative one counts as 0. Both ends
    are met exactly; between them the relative error is within 4 units in the last place where they have one sign.

    Examples
    --------
    >>> import numpy as np
    >>> from renyi_core.schedules import Linear
    >>> weight = Linear(0.1, 0.0, 1000)
    >>> weight
    Linear(start=0.1, end=0.0, steps=1000)
    >>> weight(500), weight(5000)
    (0.05, 0.0)
    >>> weight(np.asarray([0, 500, 1000]))
    array([0.1 , 0.05, 0.  ])
    """

    def _value(self, step: Any, xp: Any) -> Any:
        return _between(self.start, self.end, *_progress(step, self.steps, xp), xp)


@dataclass(frozen=True, slots=True)
class Cosine(_Path):
    r"""From one value to another along half a period of the cosine, after a linear warm-up from 0 if one is asked for.

    .. math:: \beta(s) = \text{end} + \frac{\text{start} - \text{end}}{2} (1 + \cos \pi f(s)),
        \qquad f = \frac{s - \text{warmup}}{\text{steps} - \text{warmup}}

    Parameters
    ----------
    start, end, steps
        As in :class:`Linear`; ``steps`` counts those of the warm-up, too.
    warmup : float, default 0
        In that many first steps the value rises linearly from 0 to ``start``. It is for β: an order α below 1 on the
        way from 0 is rarely meant.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Linear`; ValueError unless 0 <= ``warmup`` < ``steps``.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, arXiv:1608.03983:
    the shape, there of a learning rate.

    Examples
    --------
    >>> from renyi_core.schedules import Cosine
    >>> weight = Cosine(0.1, 0.02, 1000, warmup=200)
    >>> [round(weight(step), 6) for step in (0, 100, 200, 600, 1000)]
    [0.0, 0.05, 0.1, 0.06, 0.02]
    """

    warmup: float = 0

    def __post_init__(self) -> None:
        """Check the ends, the number of steps and those of the warm-up."""
        # super() without arguments fails in a dataclass with slots
        _Path.__post_init__(self)
        warmup = self.warmup if self.warmup == 0 else length(self.warmup, "warmup")
        number(warmup, "warmup")
        if not warmup < self.steps:
            msg = f"`warmup` must be less than `steps`, {self.steps!r}; got {self.warmup!r}"
            raise ValueError(msg)
        object.__setattr__(self, "warmup", warmup)

    def _value(self, step: Any, xp: Any) -> Any:
        done, left = _progress(step - self.warmup, self.steps - self.warmup, xp)
        quarter = math.pi / 2
        # (1 − cos πf)/2, and with what is left (1 + cos πf)/2, without the subtraction
        value = _between(self.start, self.end, xp.sin(quarter * done) ** 2, xp.sin(quarter * left) ** 2, xp)
        if not self.warmup:
            return value
        return xp.where(step < self.warmup, self.start * _progress(step, self.warmup, xp)[0], value)


@dataclass(frozen=True, slots=True)
class Exponential(_Path):
    r"""From one value to another by equal ratios: the logarithm of the value is linear.

    .. math:: \beta(s) = \text{start}^{1 - f} \, \text{end}^{f}, \qquad f = s / \text{steps}

    Parameters
    ----------
    start, end, steps
        As in :class:`Linear`; both ends positive.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Linear`; ValueError if an end is not positive.

    Notes
    -----
    For each nat that the ends are apart, the relative error may be a unit in the last place larger than that of
    :class:`Linear`.

    Examples
    --------
    >>> from renyi_core.schedules import Exponential
    >>> weight = Exponential(1.0, 0.01, 1000)
    >>> [round(weight(step), 6) for step in (0, 250, 500, 1000)]
    [1.0, 0.316228, 0.1, 0.01]
    """

    @staticmethod
    def _check_end(value: Any, name: str) -> float:
        return positive(finite(value, name), name)

    def _value(self, step: Any, xp: Any) -> Any:
        done, left = _progress(step, self.steps, xp)
        ratio = self.end / self.start
        log = math.log(ratio) if 0 < ratio < math.inf else math.log(self.end) - math.log(self.start)
        # the exponent of the form that is not taken would overflow
        return xp.where(
            done < 0.5,
            self.start * xp.exp(log * xp.where(done < 0.5, done, 0.0)),
            self.end * xp.exp(-log * xp.where(done < 0.5, 0.0, left)),
        )


@dataclass(frozen=True, slots=True)
class Harmonic(_Path):
    r"""From one value to another with a reciprocal that is linear: for α, to or from ∞.

    .. math:: \alpha(s) = \Bigl(\frac{1 - f}{\text{start}} + \frac{f}{\text{end}}\Bigr)^{-1},
        \qquad f = s / \text{steps}

    Parameters
    ----------
    start, end, steps
        As in :class:`Linear`; both ends positive, and one of them may be ``math.inf``.

    Raises
    ------
    TypeError, ValueError
        As in :class:`Linear`; ValueError if an end is not positive, or both are infinite.

    Notes
    -----
    The other schedules take finite ends: an order that grows by equal steps, or ratios, never comes to ∞.

    Examples
    --------
    >>> import math
    >>> from renyi_core.schedules import Harmonic
    >>> alpha = Harmonic(1.0, math.inf, 1000)
    >>> [round(alpha(step), 6) for step in (0, 500, 750, 1000)]
    [1.0, 2.0, 4.0, inf]
    """

    def __post_init__(self) -> None:
        """Check the ends and the number of steps."""
        _Path.__post_init__(self)
        if self.start == self.end == math.inf:
            msg = "`start` and `end` cannot both be infinite; use Constant(math.inf)"
            raise ValueError(msg)

    @staticmethod
    def _check_end(value: Any, name: str) -> float:
        return positive(value, name)

    def _value(self, step: Any, xp: Any) -> Any:
        to_end, to_start = _progress(step, self.steps, xp)
        low, high, at_low, at_high = self.start, self.end, to_start, to_end
        if low > high:
            low, high, at_low, at_high = high, low, at_high, at_low
        # low/(at_low + at_high · low/high), where the shares add up to 1
        ratio = low / high
        share = xp.where(at_high < 0.5, 1.0 - at_high * (1.0 - ratio), ratio + at_low * (1.0 - ratio))
        return xp.where(at_low > 0, low / xp.where(at_low > 0, share, 1.0), high)


@dataclass(frozen=True, slots=True)
class Piecewise(_Schedule):
    """Values given at some steps, held until the next one or joined by straight lines.

    Parameters
    ----------
    points : sequence of (step, value)
        The steps strictly increase from one >= 0. The first value holds before its step, too, the last one ever after.
    interpolation : {"constant", "linear"}, default "constant"
        What lies between two points. Values may be ``math.inf`` with "constant" alone.

    Raises
    ------
    TypeError
        If ``points`` is not a sequence of pairs of real numbers.
    ValueError
        If there are no points, the steps do not increase, are negative or not finite, a value is NaN, or is infinite
        where it cannot be, or ``interpolation`` is neither.

    Examples
    --------
    >>> from renyi_core.schedules import Piecewise
    >>> alpha = Piecewise([(0, 0.5), (1000, 1.0), (5000, 2.0)])
    >>> alpha(999), alpha(1000), alpha(10_000)
    (0.5, 1.0, 2.0)
    >>> Piecewise([(0, 0.0), (100, 0.1), (500, 0.0)], interpolation="linear")(300)
    0.05
    """

    points: Sequence[tuple[float, float]]
    interpolation: Literal["constant", "linear"] = "constant"

    def __post_init__(self) -> None:
        """Check the points."""
        object.__setattr__(self, "points", self._checked(self.points))
        check_choice(self.interpolation, "interpolation", ("constant", "linear"))

    def _checked(self, points: Any) -> tuple[tuple[float, float], ...]:
        if isinstance(points, str) or not isinstance(points, Sequence):
            msg = f"`points` must be a sequence of (step, value), got {points!r}"
            raise TypeError(msg)
        checked: list[tuple[float, float]] = []
        for point in points:
            if isinstance(point, str) or not isinstance(point, Sequence) or len(point) != 2:
                msg = f"`points` must be a sequence of (step, value), got {point!r} in it"
                raise TypeError(msg)
            step, value = (number(part, "points") for part in point)
            if not 0 <= step < math.inf or (checked and not step > checked[-1][0]):
                msg = f"the steps of `points` must be >= 0, finite and strictly increase, got {point[0]!r}"
                raise ValueError(msg)
            if math.isnan(value) or (self.interpolation == "linear" and math.isinf(value)):
                msg = f"`points` cannot have the value {point[1]!r} with {self.interpolation} interpolation"
                raise ValueError(msg)
            checked.append((int(step) if isinstance(point[0], Integral) else step, value))
        if not checked:
            msg = "`points` is empty"
            raise ValueError(msg)
        return tuple(checked)

    def _value(self, step: Any, xp: Any) -> Any:
        result = xp.full_like(step, self.points[-1][1])
        for k in reversed(range(len(self.points) - 1)):
            (at, value), (following, next_value) = self.points[k : k + 2]
            if self.interpolation == "linear":
                value = _between(value, next_value, *_progress(step - at, following - at, xp), xp)
            result = xp.where(step < following, value, result)
        return result
