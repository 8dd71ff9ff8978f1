"""Choices regularized by the Rényi entropy: the distribution of largest payoff plus entropy, and the largest value."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

from ._arrays import floating, prepare, rectangular, same_namespace
from ._kernels.choice import ARGMAX, MAX
from ._kernels.dtypes import cast
from ._kernels.family import Family
from ._kernels.library import short_way
from ._numbers import as_float
from ._quantity import Quantity, quantity
from ._shapes import on_rows, with_axes
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["regularized_argmax", "regularized_max"]


@quantity(0, "temperature", "alpha")
def regularized_argmax(
    scores: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    temperature: Any = 1.0,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
) -> ArrayT:
    r"""Return the distribution of the largest expected score plus entropy.

    .. math:: \operatorname{arg\,max}_p \; \langle p, s \rangle + T H_\alpha(p)

    α = 1 is softmax(s/T). For α > 1 the distribution is sparse, p ∝ (s − τ)₊^{1/(α−1)}, scores below a threshold τ get
    exactly 0; for α < 1 it has heavy tails, p ∝ (τ − s)^{−1/(1−α)}. α = ∞ is uniform on the largest scores, as many as
    is best. α = 0 is the limit for α → 0: all on the largest score. Ties share equally.

    Parameters
    ----------
    scores : array
        Of any array-API library, of a real floating-point dtype, shape (..., n). −inf gets probability 0; a row with
        NaN or +inf, or with no score above −inf, gives NaN, and it alone.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library that broadcasts
        against the rows, shape (...).
    temperature : float or array, default 1.0
        T, in the scores' unit for each nat of entropy: a positive number, or an array of the dtype of ``scores`` that
        broadcasts against the rows; where it is not positive and finite, the row gives NaN.
    axis : int, tuple of int or None, default -1
        The axis or axes along which the outcomes of one distribution lie.
    where : array of bool, optional
        Broadcasts to ``scores``; entries where it is False get probability 0.

    Returns
    -------
    array
        The distributions, in the shape of ``scores`` (broadcast with ``alpha`` and ``temperature`` where these make the
        result larger), of its dtype, library and device; float16 and bfloat16 are summed in float32 and rounded once.

    Raises
    ------
    TypeError
        If ``scores`` is not an array of a real floating-point dtype, or ``alpha`` or ``temperature`` is neither a real
        number nor an array of the same library (and ``temperature`` of the same dtype).
    ValueError
        If ``alpha`` is a negative number or NaN, ``temperature`` is a number that is not positive and finite, or shapes
        do not broadcast.

    See Also
    --------
    regularized_max : The value of that choice.
    entropy : Of what is chosen.

    Notes
    -----
    Up to α = 1 the objective is strictly concave and the maximum unique. For α > 1 the entropy is not concave (but for
    two outcomes up to α = 2): there may be several local maxima, and the one of largest value is returned, found by
    bounds on a curve that all of them are on. As the scores move, it may jump from one to another; where two are equal
    to rounding, either may be returned, always the same for the same input.

    Within 64 units in the last place of the dtype, norm-wise, at every order, 1 ± 1e-12 among them, and the
    derivatives as well: beyond the rounding that the scores' own carries through these derivatives, which are infinite
    where an outcome enters the support with α > 2. Orders below 2.4e-296, in float32 below 1.3e-26, count as these: of
    lower ones 1/α has no room.

    ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"temperature"`` and ``"alpha"``, and need ``cotangent=``, an array
    that broadcasts to the result: a vector–Jacobian product. By torch's and JAX's own means there are second and third
    derivatives, right where probabilities are 0 too; there the second one jumps as an outcome enters the support.

    References
    ----------
    A. Rényi, "On measures of entropy and information", Proceedings of the Fourth Berkeley Symposium on Mathematical
    Statistics and Probability 1 (1961), pp. 547–561, for the entropy; J. M. Danskin, The Theory of Max-Min, Springer,
    1967, for the derivative of the maximum.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> scores = np.asarray([2.0, 1.0, 0.0, -3.0])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     print(alpha, np.round(renyi.regularized_argmax(scores, alpha, 1.0), 4))
    0.5 [0.7994 0.1351 0.0535 0.012 ]
    1 [0.6623 0.2436 0.0896 0.0045]
    2 [0.5447 0.3333 0.122  0.    ]
    inf [0.5 0.5 0.  0. ]
    """
    return _Choice(ARGMAX, scores, alpha, temperature, axis, where, keepdims=False)  # type: ignore[return-value]


@quantity(0, "temperature", "alpha")
def regularized_max(
    scores: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    temperature: Any = 1.0,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the largest expected score plus entropy.

    .. math:: \max_p \; \langle p, s \rangle + T H_\alpha(p)

    α = 1 is T log Σ exp(s/T). It is convex in the scores, between the largest score and that plus T log n, and never
    increases with α; α = 0 is its limit for α → 0, the largest score plus T log n.

    Parameters
    ----------
    scores, alpha, temperature, axis, where
        As in :func:`regularized_argmax`.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    array
        The values, shape (...), of the dtype, library and device of ``scores``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`regularized_argmax`.

    See Also
    --------
    regularized_argmax : The choice, which is its gradient.

    Notes
    -----
    Within 64 units in the last place of the dtype, relative to the larger of the value and T. The gradient with respect
    to the scores is the distribution that :func:`regularized_argmax` returns, that with respect to the temperature its
    entropy: ``grad`` and ``value_and_grad`` take ``wrt=0``, ``"temperature"`` and ``"alpha"``. For α → 0 the derivative
    by α is −inf but where all scores are equal.

    References
    ----------
    As in :func:`regularized_argmax`.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> scores = np.asarray([2.0, 1.0, 0.0, -3.0])
    >>> value, gradient = renyi.value_and_grad(renyi.regularized_max)(scores, 2.0, 0.5)
    >>> print(round(float(value), 6), np.round(gradient, 6))
    2.0 [1. 0. 0. 0.]
    >>> print(round(float(renyi.regularized_max(scores, 1, 0.5)), 6))
    2.071485
    """
    return _Choice(MAX, scores, alpha, temperature, axis, where, keepdims)  # type: ignore[return-value]


class _Choice(NamedTuple):
    """A call as it was made: looked at closely unless the library has a short way for it."""

    family: Family
    scores: Any
    alpha: Any
    temperature: Any
    axis: Any
    where: Any
    keepdims: bool

    def value(self) -> Array:
        """Return what the public function returns."""
        plain = type(self.axis) is int and self.axis == -1 and self.where is None and self.keepdims is False
        way = short_way("choices_at_once", self.scores) if plain else None
        found = None if way is None else way(self.family, self.scores, self.alpha, self.temperature)
        return _quantity(*self).value() if found is None else found

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Array, tuple[Array, ...]]:
        """Return the value and the derivatives."""
        return _quantity(*self).derivatives(wrt, cotangent)


def _quantity(family: Family, scores: Any, alpha: Any, temperature: Any, axis: Any, where: Any, keepdims: bool) -> Any:
    arguments = prepare(scores, alpha, name="scores", axis=axis, where=where, base=None, keepdims=keepdims)
    if not arguments.order.static or arguments.order.alpha > 1:
        rectangular(scores, "scores")
    rectangular(scores, "scores", arguments.axis)
    if isinstance(temperature, (bool, complex)):
        msg = f"`temperature` must be a real number or an array, got {temperature!r}"
        raise TypeError(msg)
    if isinstance(temperature, Real):
        number = as_float(temperature, "temperature")
        if not 0 < number < math.inf:
            msg = f"`temperature` must be positive and finite, got {temperature!r}"
            raise ValueError(msg)
        return Quantity(arguments, family, (scores, number), {}, alpha, ("temperature",))
    xp = arguments.xp
    same_namespace(temperature, xp, "temperature", "scores")
    floating(temperature, "temperature")
    if temperature.dtype != scores.dtype:
        msg = f"`temperature` must have the dtype of `scores`, {scores.dtype}; got {temperature.dtype}"
        raise TypeError(msg)
    given = tuple(temperature.shape)
    rows, shape = on_rows(temperature, "temperature", arguments.shape, arguments.axis, keepdims, xp)
    rows = cast(with_axes(rows, scores.ndim), arguments.sums, xp)
    return Quantity(arguments._replace(shape=shape), family, (scores, rows), {}, alpha, ("temperature",), {1: given})
