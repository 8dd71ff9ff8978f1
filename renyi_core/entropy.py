"""Entropies of one distribution, from probabilities or logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._arrays import Arguments, prepare
from ._kernels.entropy import ENTROPIES
from ._kernels.library import short_way
from ._kernels.measures import ENTROPY, HILL, TSALLIS, Measure
from ._kernels.state import Source
from ._quantity import Quantity, quantity
from ._typing import Alpha, ArrayOf, ArrayT

Array = Any

__all__ = [
    "entropy",
    "entropy_from_logits",
    "hill_number",
    "hill_number_from_logits",
    "tsallis_entropy",
    "tsallis_entropy_from_logits",
]


class _OfRows(NamedTuple):
    """A measure of each distribution, and its arguments as they were given; what :class:`Quantity` can, this can."""

    x: Any
    alpha: Any
    source: Source
    measure: Measure
    base: Any
    options: dict[str, Any]

    def _quantity(self) -> Quantity:
        x, alpha, source, measure, base, options = self
        arguments = prepare(x, alpha, name=source, base=base, tail=measure is TSALLIS, **options)
        return Quantity(arguments, ENTROPIES, (x,), {"source": source, "measure": measure}, alpha)

    @property
    def arguments(self) -> Arguments:
        """The checked arguments."""
        return self._quantity().arguments

    def value(self) -> Array:
        """Return what the public function returns: of plain calls by the library's short way, if it has one."""
        way = short_way("entropies_at_once", self.x) if is_plain(base=self.base, **self.options) else None
        found = None if way is None else way(self.x, self.alpha, self.source, self.measure)
        return self._quantity().value() if found is None else found

    def derivatives(self, wrt: tuple[int | str, ...], cotangent: Any) -> tuple[Array, tuple[Array, ...]]:
        """Return the value and the derivatives."""
        return self._quantity().derivatives(wrt, cotangent)

    def product(self, vector: Any) -> Array:
        """Return the Hessian with respect to the logits times a vector."""
        return self._quantity().product(vector)


def is_plain(*, axis: Any, where: Any, base: Any, keepdims: Any) -> bool:
    """Return whether a call leaves all options as they are."""
    return type(axis) is int and axis == -1 and where is None and base is None and keepdims is False


def of_rows(x: Any, alpha: Any, source: Source, measure: Measure, *, base: Any = None, **options: Any) -> Any:
    """Return a measure of each distribution, as a quantity."""
    return _OfRows(x, alpha, source, measure, base, options)


@quantity(0, "alpha")
def entropy(
    probs: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Rényi entropy of order α of probabilities.

    .. math:: H_\alpha(P) = \frac{1}{1 - \alpha} \log \sum_i p_i^\alpha

    α = 0 is the logarithm of the number of outcomes with p > 0 (Hartley), α → 1 Shannon's −Σ p log p, α = 2 the
    collision entropy −log Σ p², α = ∞ the min-entropy −log max p; H never increases with α.

    Parameters
    ----------
    probs : array
        Probabilities of any array-API library, of a real floating-point dtype, shape (..., n). They need not sum to
        1 exactly: the result is that of p/Σp. p = 0 has weight 0. A distribution with a negative, infinite or NaN
        entry, or with no positive one, gives NaN, and it alone; :func:`check_probabilities` raises for it.
    alpha : float or array
        The order, ≥ 0: a number (0, 1 and ``math.inf`` included), or an array of the same library, an order for
        each distribution: it broadcasts against the result within its axes, or has the axes of ``probs`` and length 1
        along ``axis``. Where it is negative or NaN the result is NaN. For several orders of each distribution call
        :func:`entropy_spectrum`. One near the dtype's largest number, from 5e33 in float32 on,
        counts as ∞.
    axis : int, tuple of int or None, default -1
        The axis or axes along which the outcomes of one distribution lie; None for all.
    where : array of bool, optional
        Broadcasts to ``probs``; entries where it is False are left out, whatever they hold.
    base : float, optional
        The base of the logarithm, as in 2 for bits; natural (nats) by default.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``probs``; float16 and bfloat16 are summed in
        float32 and rounded once.

    Raises
    ------
    TypeError
        If ``probs`` is not an array of a real floating-point dtype, ``alpha`` is complex, ``where`` is not boolean,
        or arrays of two libraries are mixed.
    ValueError
        If ``alpha`` is a negative number or NaN, ``axis`` is out of range or has no entries, ``base`` is not
        positive or is 1, or shapes do not broadcast.

    See Also
    --------
    entropy_from_logits : The same of logits.
    entropy_spectrum : Of many orders at once.
    hill_number : As an effective number of outcomes.
    divergence : Of two distributions.

    Notes
    -----
    One centered form serves every order, with no threshold near 1 and no epsilon: the relative error is within 16
    units in the last place of the dtype (64 in float32 where the library's own reductions are coarser), also within
    1e-12 of α = 1, and for distributions whose entropy is nearly 0.

    Array values are never read, but in a block of :func:`checking`: under ``jax.jit`` and with Dask the result stays
    lazy.

    References
    ----------
    A. Rényi, "On measures of entropy and information", Proceedings of the Fourth Berkeley Symposium on Mathematical
    Statistics and Probability, vol. 1, 1961, pp. 547-561, equation (1.21).

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> p = np.asarray([0.5, 0.25, 0.25])
    >>> for alpha in (0, 1, 2, math.inf):
    ...     print(alpha, round(float(renyi.entropy(p, alpha, base=2)), 6))
    0 1.584963
    1 1.5
    2 1.415037
    inf 1.0
    """
    return of_rows(probs, alpha, "probs", ENTROPY, axis=axis, where=where, base=base, keepdims=keepdims)


@quantity(0, "alpha", product=True)
def entropy_from_logits(
    logits: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    base: float | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Rényi entropy of order α of the softmax of logits.

    The same as ``entropy(softmax(logits), alpha)``, without forming the softmax: probabilities too small for the
    dtype still count, which matters for α < 1.

    Parameters
    ----------
    logits : array
        Unnormalized log-probabilities z, shape (..., n), of a real floating-point dtype. −inf is a masked outcome,
        of weight 0. A distribution with +inf or NaN, or with −inf alone, gives NaN, and it alone.
    alpha, axis, where, base, keepdims
        As in :func:`entropy`.

    Returns
    -------
    array
        The entropies, shape (...), of the dtype, library and device of ``logits``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    entropy : Of probabilities.
    entropy_spectrum_from_logits : Of many orders at once.
    value_and_grad : Its gradient.
    regularizers.EntropyBonus : As a term of a loss.

    Notes
    -----
    The accuracy is that of :func:`entropy`. One limit is inherent: a logit far below the largest, by d, carries the
    rounding of z − max z, a relative error of up to ``|d|``/2 units in the last place in its own weight exp(d)
    and α ``|d|`` in exp(α d). It shows where such outcomes make up most of the entropy.

    References
    ----------
    A. Rényi, "On measures of entropy and information", 1961, equation (1.21).

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.asarray([[0.0, 0.0, -np.inf], [1000.0, 0.0, 0.0]])
    >>> print(np.round(renyi.entropy_from_logits(logits, 0.5, base=2), 6))
    [1. 0.]
    >>> orders = np.asarray([1.0, 2.0])
    >>> print(np.round(renyi.entropy_from_logits(np.zeros((2, 4)), orders, base=2), 6))
    [2. 2.]
    """
    return of_rows(logits, alpha, "logits", ENTROPY, axis=axis, where=where, base=base, keepdims=keepdims)


@quantity(0, "alpha")
def hill_number(
    probs: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Hill number of order α, exp(H_α): the effective number of outcomes, or the perplexity.

    .. math:: {}^{\alpha}\!D(P) = \Bigl(\sum_i p_i^\alpha\Bigr)^{1/(1-\alpha)}

    α = 0 counts the outcomes with p > 0, α = 1 is the perplexity, α = 2 the inverse Simpson (participation) index,
    α = ∞ is 1/max p. n equally likely outcomes give n at every order.

    Parameters
    ----------
    probs, alpha, axis, where, keepdims
        As in :func:`entropy`.

    Returns
    -------
    array
        The Hill numbers, between 1 and n, shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    hill_number_from_logits : The same of logits.
    entropy : Its logarithm.
    vendi_score : Where outcomes are alike.

    Notes
    -----
    It is formed from the power sums themselves, not as exp of a rounded entropy, so that large numbers keep their
    last digits.

    References
    ----------
    M. O. Hill, "Diversity and evenness: a unifying notation and its consequences", Ecology 54(2), 1973, pp. 427-432.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(float(renyi.hill_number(np.asarray([0.25, 0.25, 0.25, 0.25]), 1)))
    4.0
    """
    return of_rows(probs, alpha, "probs", HILL, axis=axis, where=where, keepdims=keepdims)


@quantity(0, "alpha", product=True)
def hill_number_from_logits(
    logits: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Hill number of order α of the softmax of logits; at α = 1 the perplexity of each distribution.

    Parameters
    ----------
    logits, alpha, axis, where, keepdims
        As in :func:`entropy_from_logits`.

    Returns
    -------
    array
        The Hill numbers, between 1 and n, shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    hill_number : Of probabilities.
    entropy_from_logits : Its logarithm.

    References
    ----------
    M. O. Hill, "Diversity and evenness: a unifying notation and its consequences", Ecology 54(2), 1973, pp. 427-432.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(float(renyi.hill_number_from_logits(np.zeros(8), 2)))
    8.0
    """
    return of_rows(logits, alpha, "logits", HILL, axis=axis, where=where, keepdims=keepdims)


@quantity(0, "alpha")
def tsallis_entropy(
    probs: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    r"""Return the Tsallis entropy of order α.

    .. math:: T_\alpha(P) = \frac{1 - \sum_i p_i^\alpha}{\alpha - 1}

    α = 0 is the number of outcomes with p > 0 less 1, α → 1 Shannon's entropy in nats, α = 2 the Gini–Simpson index,
    α = ∞ is 0.

    Parameters
    ----------
    probs, alpha, axis, where, keepdims
        As in :func:`entropy`.

    Returns
    -------
    array
        The Tsallis entropies, ≥ 0, shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    tsallis_entropy_from_logits : The same of logits.
    entropy : Which adds up over independent variables.
    tsallis_divergence : Of two distributions.

    References
    ----------
    C. Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of Statistical Physics 52, 1988,
    pp. 479-487, equation (1).

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(round(float(renyi.tsallis_entropy(np.asarray([0.5, 0.25, 0.25]), 2)), 6))
    0.625
    """
    return of_rows(probs, alpha, "probs", TSALLIS, axis=axis, where=where, keepdims=keepdims)


@quantity(0, "alpha", product=True)
def tsallis_entropy_from_logits(
    logits: ArrayOf[ArrayT],
    /,
    alpha: Alpha,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
    keepdims: bool = False,
) -> ArrayT:
    """Return the Tsallis entropy of order α of the softmax of logits.

    Parameters
    ----------
    logits, alpha, axis, where, keepdims
        As in :func:`entropy_from_logits`.

    Returns
    -------
    array
        The Tsallis entropies, ≥ 0, shape (...).

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy`.

    See Also
    --------
    tsallis_entropy : Of probabilities.
    entropy_from_logits : Rényi's.

    References
    ----------
    C. Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of Statistical Physics 52, 1988,
    pp. 479-487, equation (1).

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> print(float(renyi.tsallis_entropy_from_logits(np.zeros(4), 2)))
    0.75
    """
    return of_rows(logits, alpha, "logits", TSALLIS, axis=axis, where=where, keepdims=keepdims)
