"""What to look at while training: how sure the predictions are, at several orders, in numbers and in a figure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ._arrays import floating, log_base, namespace
from ._numbers import integer, is_number
from ._quiet import quiet
from ._typing import ArrayOf
from .entropy import entropy_from_logits
from .spectrum import entropy_spectrum_from_logits

Array = Any

__all__ = ["Summary", "plot_spectrum", "spectrum_orders", "summary"]

UNITS = {2.0: "bits", 10.0: "hartleys"}
TICKS = {0.0: "0", 0.5: "1/2", 1.0: "1", 2.0: "2", 4.0: "4", math.inf: "∞"}


class Summary(NamedTuple):
    """What :func:`summary` returns; the means over a batch are the caller's.

    Attributes
    ----------
    effective_number : array of shape (..., k)
        The Hill number exp(H_α) for each order: how many equally likely outcomes have the same entropy. At α = 1 it is
        the perplexity.
    min_entropy : array of shape (...)
        H_∞, in nats.
    top_mass : array of shape (...)
        The probability of the likeliest outcome, exp(−H_∞).
    spectrum : array of shape (..., k)
        H_α for each order, in nats.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> renyi.summary(np.zeros(4))._fields
    ('effective_number', 'min_entropy', 'top_mass', 'spectrum')
    """

    effective_number: Array
    min_entropy: Array
    top_mass: Array
    spectrum: Array


@quiet
def summary(
    logits: ArrayOf[Any],
    /,
    alphas: Sequence[float] | ArrayOf[Any] = (0.5, 1, 2, math.inf),
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: ArrayOf[Any] | None = None,
) -> Summary:
    """Return the entropies of the softmax of logits at several orders, and what is read off them.

    Parameters
    ----------
    logits, axis, where
        As in :func:`entropy_from_logits`.
    alphas : sequence of float, or array of shape (k,), default (1/2, 1, 2, ∞)
        The orders of ``effective_number`` and ``spectrum``.

    Returns
    -------
    Summary
        For each distribution, not their mean, in the dtype of ``logits``.

    Raises
    ------
    TypeError, ValueError
        As in :func:`entropy_spectrum_from_logits`.

    See Also
    --------
    entropy_from_logits : Of one order.
    monitoring.plot_spectrum : The curve over all orders.

    Notes
    -----
    One pass over the logits for each order, as in :func:`entropy_spectrum_from_logits`, and no other if the numbers
    ``alphas`` include ``math.inf``; one more for the min-entropy if they do not, or are an array. The spectrum has the
    accuracy of :func:`entropy`; ``effective_number`` and ``top_mass`` are exponentials of it, and have relative errors
    of up to 16 units in the last place for each nat of the entropy, and one more (64 where those of the entropy are):
    :func:`hill_number_from_logits` is free of that factor.

    It takes no gradient of its own: stop it (``detach``, ``stop_gradient``) or call it outside what is differentiated.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> logits = np.log(np.asarray([[0.5, 0.25, 0.25], [0.98, 0.01, 0.01]]))
    >>> found = renyi.summary(logits, (1, np.inf))
    >>> print(np.round(found.effective_number, 4))
    [[2.8284 2.    ]
     [1.1184 1.0204]]
    >>> print(np.round(found.top_mass, 4))
    [0.5  0.98]
    """
    xp = floating(logits, "logits")
    spectrum = entropy_spectrum_from_logits(logits, alphas, axis=axis, where=where)
    known = list(alphas) if isinstance(alphas, Sequence) else []
    if math.inf in known:
        min_entropy = spectrum[..., known.index(math.inf)]
    else:
        min_entropy = entropy_from_logits(logits, math.inf, axis=axis, where=where)
    return Summary(xp.exp(spectrum), min_entropy, xp.exp(-min_entropy), spectrum)


def spectrum_orders(count: int = 65) -> list[float]:
    """Return orders from 0 to ∞ at equal distances of α/(1 + α): the points of a smooth curve of the spectrum.

    Parameters
    ----------
    count : int, default 65
        How many, >= 2.

    Returns
    -------
    list of float
        From 0.0 to ``math.inf``, increasing. An odd count has 1 in the middle.

    Raises
    ------
    TypeError
        If ``count`` is not an integer.
    ValueError
        If it is below 2.

    See Also
    --------
    plot_spectrum : The figure that they are for.
    renyi_core.entropy_spectrum : The entropies.

    Examples
    --------
    >>> from renyi_core.monitoring import spectrum_orders
    >>> spectrum_orders(5)
    [0.0, 0.3333333333333333, 1.0, 3.0, inf]
    """
    count = integer(count, "count")
    if count < 2:
        msg = f"`count` must be at least 2, got {count}"
        raise ValueError(msg)
    return [k / (count - 1 - k) if k < count - 1 else math.inf for k in range(count)]


def plot_spectrum(
    spectrum: Array,
    alphas: Sequence[float] | Array,
    *,
    base: float | None = None,
    outcomes: int | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw entropies over their orders, from 0 to ∞, with the effective number of outcomes on the right.

    It needs Matplotlib: ``pip install renyi-core[plot]``.

    Parameters
    ----------
    spectrum : array of shape (k,) or (curves, k)
        Entropies, as of :func:`renyi_core.entropy_spectrum`. They are read one by one.
    alphas : sequence of k floats, or array of shape (k,)
        Their orders, increasing; :func:`spectrum_orders` gives those of a smooth curve.
    base : float, optional
        The base of the logarithm that the entropies were taken with; natural (nats) by default.
    outcomes : int, optional
        The number n of outcomes: the line of log n, which no entropy exceeds, is drawn with it.
    labels : sequence of str, optional
        One for each curve, in a legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    ImportError
        If Matplotlib is not installed.
    TypeError
        If ``spectrum`` is not an array of a real floating-point dtype, an order or ``outcomes`` not a number.
    ValueError
        If the shape, the orders or the labels do not fit each other, ``outcomes`` is below 1, or an entropy is above
        the logarithm of ``outcomes``, as one in another base is.

    See Also
    --------
    spectrum_orders : Orders for it.
    renyi_core.entropy_spectrum : The values.
    renyi_core.summary : A few numbers of each distribution.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> from renyi_core.monitoring import plot_spectrum, spectrum_orders
    >>> probs = np.asarray([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])
    >>> orders = spectrum_orders()
    >>> spectrum = renyi.entropy_spectrum(probs, orders)
    >>> ax = plot_spectrum(spectrum, orders, outcomes=4, labels=["sure", "unsure"])  # doctest: +SKIP
    >>> ax.figure.savefig("spectrum.png")  # doctest: +SKIP
    """
    unit, curves = log_base(base), _curves(spectrum)
    orders = _checked_orders(alphas)
    if any(len(curve) != len(orders) for curve in curves):
        msg = f"`spectrum` of shape {tuple(spectrum.shape)} does not end in the {len(orders)} `alphas`"
        raise ValueError(msg)
    if labels is not None and (isinstance(labels, str) or len(labels) != len(curves)):
        msg = f"`labels` must be one for each of {len(curves)} curves, got {labels!r}"
        raise ValueError(msg)
    most = _most(outcomes, curves, base)
    if ax is None:
        ax = _new_axes()
    places = [_place(order) for order in orders]
    for k, curve in enumerate(curves):
        ax.plot(places, curve, label=None if labels is None else labels[k])
    if most is not None:
        ax.axhline(most, color="0.6", linestyle="--", linewidth=1, zorder=1)
        ax.text(0.99, most, f"log {outcomes:,}", ha="right", va="bottom", color="0.4")
    ax.margins(y=0.1)
    ax.set_xticks([_place(order) for order in TICKS], TICKS.values())
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("order α")
    name = "nats" if base is None else UNITS.get(base, f"log base {base:g}")
    ax.set_ylabel(f"Rényi entropy [{name}]")
    _effective_number_axis(ax, unit)
    if labels is not None:
        ax.legend()
    return ax


def _most(outcomes: Any, curves: list[list[float]], base: Any) -> float | None:
    """Return the largest entropy of so many outcomes; raise where one is above it, or has another sign."""
    unit = log_base(base)
    if unit < 0:
        msg = f"`base` must be > 1 for a figure, got {base!r}"
        raise ValueError(msg)
    if outcomes is None:
        return None
    if not is_number(outcomes):
        msg = f"`outcomes` must be a number, got {outcomes!r}"
        raise TypeError(msg)
    if not outcomes >= 1:
        msg = f"`outcomes` must be at least 1, got {outcomes!r}"
        raise ValueError(msg)
    most, largest = math.log(outcomes) / unit, max(map(max, curves), default=0.0)
    # a rounding in float16 is no other base
    if largest > most * 1.01 + 0.01:
        given = "nats" if base is None else f"base {base:g}"
        msg = (
            f"`spectrum` reaches {largest:.6g}, above log n = {most:.6g} of {outcomes} `outcomes` in {given}: "
            "give the base that it was taken with as `base`"
        )
        raise ValueError(msg)
    return most


def _new_axes() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        msg = "plot_spectrum needs Matplotlib: pip install renyi-core[plot]"
        raise ImportError(msg) from error
    return plt.subplots(layout="constrained")[1]


def _place(order: float) -> float:
    """Return where an order lies on the axis: α/(1 + α)."""
    return 1.0 if order == math.inf else order / (1 + order)


def _effective_number_axis(ax: Any, unit: float) -> None:
    """Put exp(H) on the right, with ticks at round numbers as far apart as there is room for; H is in so many nats."""
    highest = ax.get_ylim()[1] * unit
    if highest < math.log(20):
        numbers = list(range(1, 20))
    else:
        numbers = [digit * 10**power for power in range(math.ceil(highest)) for digit in (1, 2, 5)]
    ticks: list[int] = []
    for number in numbers:
        if math.log(number) <= highest and (not ticks or math.log(number / ticks[-1]) >= highest / 16):
            ticks.append(number)
    right = ax.secondary_yaxis("right")
    right.set_yticks([math.log(number) / unit for number in ticks], [f"{number:,}" for number in ticks])
    right.set_ylabel("effective number of outcomes")


def _curves(spectrum: Any) -> list[list[float]]:
    xp = floating(spectrum, "spectrum")
    if spectrum.ndim not in {1, 2}:
        msg = f"`spectrum` must have one or two dimensions, got shape {tuple(spectrum.shape)}"
        raise ValueError(msg)
    # torch warns of a number that is taken out of a graph
    spectrum = spectrum.detach() if hasattr(spectrum, "detach") else spectrum
    rows = xp.reshape(spectrum, (-1, spectrum.shape[-1]))
    return [[float(rows[i, k]) for k in range(rows.shape[1])] for i in range(rows.shape[0])]


def _checked_orders(alphas: Any) -> list[float]:
    given, xp = alphas, namespace(alphas)
    if xp is not None and alphas.ndim == 1 and xp.isdtype(alphas.dtype, ("integral", "real floating")):
        alphas = alphas.detach() if hasattr(alphas, "detach") else alphas
        alphas = [float(alphas[k]) for k in range(alphas.shape[0])]
    if isinstance(alphas, str) or not isinstance(alphas, Sequence) or not all(map(is_number, alphas)):
        msg = f"`alphas` must be a sequence of numbers or an array of one dimension, got {given!r}"
        raise TypeError(msg)
    orders = [float(alpha) for alpha in alphas]
    if not orders or not all(low < high for low, high in itertools.pairwise(orders)) or not orders[0] >= 0:
        msg = f"`alphas` must be >= 0 and increase, got {alphas!r}"
        raise ValueError(msg)
    return orders
