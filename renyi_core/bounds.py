"""Bounds of an entropy of which only the likeliest outcomes are known."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ._arrays import prepare, rectangular
from ._kernels.bounds import BOUND, TOLERANCE
from ._numbers import integer
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = ["entropy_bounds_from_top"]


class _Bounds(NamedTuple):
    """The lower and the upper bound; what a :class:`Quantity` has, this has in pairs."""

    lower: Quantity
    upper: Quantity

    def value(self) -> tuple[Array, Array]:
        """Return both bounds."""
        return self.lower.value(), self.upper.value()

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return the bounds, and of each derivative that of the lower and that of the upper one."""
        values, found = zip(*(bound.derivatives(wrt, cotangent) for bound in self), strict=True)
        return values, tuple(zip(*found, strict=True))


@quantity(0, "alpha")
def entropy_bounds_from_top(
    log_probs: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    n: int,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
) -> tuple[ArrayT, ArrayT]:
    r"""Return the sharpest bounds of the Rényi entropy of n outcomes, of the largest log-probabilities alone.

    What an interface to a language model returns of the next token, or a head that keeps the k likeliest. With
    r = 1 − Σ exp ℓ for the probability of the others, each of which is at most the least known p,

    - the upper bound is the entropy with r spread evenly over the n − k outcomes not known;
    - the lower bound is that with r packed into ⌊r/p⌋ outcomes as likely as the least known one, and one of what is
      left.

    The entropy of the k known probabilities divided by their sum is no bound: it may lie below both.

    Parameters
    ----------
    log_probs : array
        The natural logarithms ℓ of the k largest probabilities, of a real floating-point dtype, in any order. They
        are those of the whole distribution, which do not sum to 1. −inf is an outcome known to be impossible.
    alpha : float or array
        The order, ≥ 0, as in :func:`entropy`.
    n : int
        The number of outcomes, known ones included: the size of the vocabulary.
    axis : int, tuple of int or None, default -1
        As in :func:`entropy`.
    where : boolean array, optional
        Broadcasts to ``log_probs``; entries where it is False are not known, so that k differs from row to row.
    base : float, optional
        The base of the logarithm in which the bounds are; natural (nats) by default.

    Returns
    -------
    lower, upper : array
        The bounds, of the shape, dtype, library and device that :func:`entropy` would give. NaN in a row for which
        there is no distribution of n outcomes: probabilities that sum to more than 1, k > n, or n − k outcomes that
        would have to be likelier than the least known one.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`; TypeError if ``n`` is not an integer, ValueError if it is less than 1, or than the
        number of log-probabilities without ``where``. Within :func:`checking`, ValueError for what gives NaN.

    See Also
    --------
    entropy_from_logits : Where all are known.
    entropy_from_counts : Where outcomes are drawn.

    Notes
    -----
    Published log-probabilities are rounded. A sum above 1 by no more than 0.001 (3 % in float16, 9 % in bfloat16)
    leaves no rest, and the known p/Σp are all there is; as much may be missing where the others have no room for it.
    What is left for the last outcome of the lower bound counts from 8 units in the last place of 1 − max p on.

    The error is within 64 units in the last place of the bound, as far as r itself has digits: it has an error of some
    units in the last place of 1 − max p, which shows where α < 1 and r is far smaller. ``grad`` and ``value_and_grad``
    take ``wrt=0`` and ``"alpha"``, and give a derivative as a pair, (that of the lower, that of the upper bound).
    It is that with r = 1 − Σ exp ℓ and a fixed number of packed outcomes, which is continuous but where that number
    changes; the least known ones share what is packed. Where there is no rest it is the derivative of the entropy of
    p/Σp.

    References
    ----------
    A. W. Marshall, I. Olkin and B. C. Arnold, "Inequalities: Theory of Majorization and Its Applications", second
    edition, 2011, section 3.D: Schur concavity. The completions are the least and the largest one in the order of
    majorization.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> log_probs = np.log([0.5, 0.25, 0.125])
    >>> for alpha in (0.5, 1, 2, math.inf):
    ...     lower, upper = renyi.entropy_bounds_from_top(log_probs, alpha, n=8)
    ...     print(alpha, round(float(lower), 6), round(float(upper), 6))
    0.5 1.298614 1.709877
    1 1.213008 1.414187
    2 1.067841 1.104882
    inf 0.693147 0.693147
    """
    arguments = prepare(log_probs, alpha, name="log_probs", axis=axis, where=where, base=base, keepdims=False)
    rectangular(log_probs, "log_probs", arguments.axis)
    n, lengths = integer(n, "n"), [arguments.x.shape[i] for i in arguments.axis]
    least = 1 if where is not None or not all(isinstance(k, int) for k in lengths) else math.prod(lengths)
    if n < least:
        msg = f"`n` must count all outcomes, at least the {least} known ones along `axis`; got {n!r}"
        raise ValueError(msg)
    options = {"n": n, "tolerance": max(TOLERANCE, math.sqrt(float(arguments.xp.finfo(arguments.x.dtype).eps)))}
    found: Any = _Bounds(
        *(Quantity(arguments, BOUND, (log_probs,), {**options, "upper": upper}, alpha) for upper in (False, True))
    )
    return found
