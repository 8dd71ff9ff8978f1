"""The coefficient that holds an entropy at its target: dual ascent on log β."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from ._arrays import floating, same_namespace
from ._numbers import finite, integer, positive
from ._quiet import quiet

Array = Any

__all__ = ["TargetEntropy", "dual_ascent"]

BOUNDS = (1e-6, 1e3)


def _limits(bounds: Any) -> tuple[float, float]:
    if isinstance(bounds, str) or not isinstance(bounds, Sequence) or len(bounds) != 2:
        msg = f"`bounds` must be the least and the largest weight, got {bounds!r}"
        raise TypeError(msg)
    low, high = (finite(bound, "bounds") for bound in bounds)
    if not 0 < low <= high:
        msg = f"`bounds` must be positive and in order, got {bounds!r}"
        raise ValueError(msg)
    return low, high


@quiet
def dual_ascent(
    log_weight: Any,
    entropy: Any,
    /,
    *,
    target: Any,
    rate: float = 0.01,
    bounds: tuple[float, float] = BOUNDS,
) -> Any:
    r"""Return log β after one step of dual ascent towards a target entropy.

    .. math:: \log\beta \leftarrow \operatorname{clip}\bigl(
        \log\beta + \text{rate} \cdot (\text{target} - H),\ \log\text{low},\ \log\text{high}\bigr)

    An entropy above its target lowers the weight of the bonus, one below raises it. The pure function that
    :class:`TargetEntropy` keeps the state of: of numbers, or of arrays, within ``jax.jit``, where the weight of the
    bonus is ``exp(log_weight)``.

    Parameters
    ----------
    log_weight : float or array
        log β before the step.
    entropy : float or array
        The measured entropy in nats, of whatever order; usually the mean over a batch. Arrays broadcast: one weight
        for each agent, say.
    target : float or array
        The entropy wanted, in nats.
    rate : float, default 0.01
        By how much log β moves for each nat of the difference.
    bounds : (float, float), default (1e-6, 1e3)
        The least and the largest weight β.

    Returns
    -------
    float or array
        log β after the step. Where the difference is not finite, it is the ``log_weight`` given (arrays).

    Raises
    ------
    TypeError
        If an argument is neither a real number nor a real floating-point array.
    ValueError
        If a number is not finite, ``rate`` is not positive, or ``bounds`` are not positive and in order.

    See Also
    --------
    TargetEntropy : Which keeps log β itself.

    Notes
    -----
    The step is that of gradient descent on log β · (H − target) in log β, as implementations of Soft Actor-Critic have
    it. The paper's objective is β · (H − target): in log β its gradient has the factor β, and would stall at small
    weights and jump at large ones. It is a plain step, without an optimizer's momentum or normalization: it shrinks
    with the difference, and so comes to rest at the target.

    References
    ----------
    T. Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", 2018, arXiv:1812.05905, section 5,
    equation (18).

    Examples
    --------
    >>> import math
    >>> from renyi_core.schedules import dual_ascent
    >>> round(math.exp(dual_ascent(math.log(0.1), 2.0, target=1.5, rate=0.1)), 6)
    0.095123
    """
    low, high = (math.log(bound) for bound in _limits(bounds))
    rate = positive(finite(rate, "rate"), "rate")
    xp = None
    for name, value in (("log_weight", log_weight), ("entropy", entropy), ("target", target)):
        if isinstance(value, Real):
            finite(value, name)
        elif xp is None:
            xp, first = floating(value, name), name
        else:
            same_namespace(value, xp, name, first)
            floating(value, name)
    step = rate * (target - entropy)
    if xp is None:
        return float(min(max(log_weight + step, low), high))
    if not isinstance(step, Real):
        step = xp.where(xp.isfinite(step), step, 0.0)
    return xp.clip(log_weight + step, low, high)


class TargetEntropy:
    r"""The weight β of an entropy bonus, moved after each batch so that the entropy comes to a target and stays there.

    The automatic coefficient of Soft Actor-Critic: :func:`dual_ascent` with its state.

    Parameters
    ----------
    target : float, optional
        The entropy wanted, in nats; that of a density may be negative. Either this, ``fraction`` or ``anchor``.
    fraction : float, optional
        The target as a share of log n, the largest entropy of n outcomes; from 0 to 1, and with ``n``.
    n : int, optional
        The number of outcomes, >= 2. With it, a ``target`` above log n is refused.
    anchor : float, optional
        The target as a share, above 0, of the entropy at first: of that of the first :meth:`update`, which must be
        above 0. It says how much a model that was trained before may become surer, whatever its entropy is.
    initial : float, default 0.01
        The weight to begin with, within the bounds.
    rate : float, default 0.01
        By how much log β moves in an update for each nat of the difference.
    bounds : (float, float), default (1e-6, 1e3)
        The least and the largest weight. At a bound β waits: it does not count how far the entropy is off meanwhile.

    Attributes
    ----------
    weight : float
        β, the coefficient to use.
    target : float
        The entropy wanted, in nats; with ``anchor``, NaN before the first update.

    Raises
    ------
    TypeError
        If a parameter is not a real number, ``n`` not an integer, ``bounds`` not a pair, or it is not one of
        ``target``, ``fraction`` and ``anchor`` that is given.
    ValueError
        If a parameter is out of its range, not finite, or the target is above log n.

    See Also
    --------
    dual_ascent : The step as a pure function.

    Notes
    -----
    The order of the entropy is the caller's: log n is the largest one at every order. With a target of log n itself,
    which a distribution reaches in the limit alone, β ends at its upper bound.

    What runs on several processes must give :meth:`update` the same entropy on all of them.

    References
    ----------
    T. Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", 2018, arXiv:1812.05905, section 5,
    equation (18). What differs from it is in :func:`dual_ascent`. Anchored at the entropy at first: "Rethinking Entropy
    Regularization in Large Reasoning Models", 2025, arXiv:2509.25133, there as a penalty.

    Examples
    --------
    >>> from renyi_core.schedules import TargetEntropy
    >>> controller = TargetEntropy(fraction=0.5, n=10, initial=0.1, rate=0.1)
    >>> controller
    TargetEntropy(target=1.15129, weight=0.1)
    >>> for entropy in (2.3, 2.0, 0.5):
    ...     print(round(controller.update(entropy), 6))
    0.089148
    0.081894
    0.087405

    >>> controller = TargetEntropy(anchor=0.8, initial=0.1, rate=0.1)
    >>> controller.target, controller.update(1.5) < 0.1, round(controller.target, 6)
    (nan, True, 1.2)
    """

    __slots__ = ("_anchor", "_bounds", "_log_weight", "_rate", "_target")

    def __init__(
        self,
        target: float | None = None,
        *,
        fraction: float | None = None,
        n: int | None = None,
        anchor: float | None = None,
        initial: float = 0.01,
        rate: float = 0.01,
        bounds: tuple[float, float] = BOUNDS,
    ) -> None:
        _check_one_of(target, fraction, anchor, n)
        self._anchor = None if anchor is None else positive(finite(anchor, "anchor"), "anchor")
        self._target = _wanted(target, fraction, n) if anchor is None else None
        self._rate = positive(finite(rate, "rate"), "rate")
        self._bounds = _limits(bounds)
        low, high = self._bounds
        if not low <= finite(initial, "initial") <= high:
            msg = f"`initial` must be within the `bounds`, {low!r} and {high!r}; got {initial!r}"
            raise ValueError(msg)
        self._log_weight = math.log(initial)

    def __repr__(self) -> str:
        """Show the target and the weight."""
        wanted = f"anchor={self._anchor:.6g}" if self._target is None else f"target={self._target:.6g}"
        return f"{type(self).__name__}({wanted}, weight={self.weight:.6g})"

    @property
    def target(self) -> float:
        """The entropy wanted, in nats; NaN where it is a share of one that is still to come."""
        return math.nan if self._target is None else self._target

    @property
    def weight(self) -> float:
        """β, the coefficient to use."""
        low, high = self._bounds
        return min(max(math.exp(self._log_weight), low), high)

    def update(self, entropy: Any) -> float:
        """Move the weight by the entropy measured on a batch, and return it.

        Parameters
        ----------
        entropy : float or array
            The mean entropy in nats: a number, or an array of one value, which is read.

        Raises
        ------
        TypeError
            If it is neither a real number nor an array of one.
        ValueError
            If it is not finite, several numbers, or not above 0 where it is the first one and the target is to be an
            ``anchor`` times it. The weight then is what it was.
        """
        measured = finite(_read(entropy), "entropy")
        if self._target is None:
            assert self._anchor is not None  # noqa: S101  one of the two is given
            self._target = self._anchor * positive(measured, "entropy")
        log_weight = dual_ascent(self._log_weight, measured, target=self._target, rate=self._rate, bounds=self._bounds)
        self._log_weight = log_weight
        return self.weight

    def state_dict(self) -> dict[str, float | None]:
        """Return what an update changes, as numbers that JSON and pickle keep to the last digit."""
        state: dict[str, float | None] = {"log_weight": self._log_weight}
        return state if self._anchor is None else {**state, "target": self._target}

    def load_state_dict(self, state: Any) -> None:
        """Go on from a state that :meth:`state_dict` returned; the weight is brought within this object's bounds.

        Parameters
        ----------
        state : mapping
            {"log_weight": log β}; with ``anchor`` also "target", None before the first update.

        Raises
        ------
        TypeError
            If the state is not a mapping, or holds something that is not a number.
        ValueError
            If it does not hold these alone, or a number is not finite.
        """
        if not isinstance(state, Mapping):
            msg = f"`state` must be a mapping, got {type(state).__name__}"
            raise TypeError(msg)
        if set(state) != set(self.state_dict()):
            names = " and ".join(f'"{name}"' for name in self.state_dict())
            msg = f"`state` must hold {names} alone, got {sorted(map(str, state))}"
            raise ValueError(msg)
        log_weight = finite(state["log_weight"], "log_weight")
        if self._anchor is not None:
            self._target = None if state["target"] is None else finite(state["target"], "target")
        low, high = (math.log(bound) for bound in self._bounds)
        self._log_weight = min(max(log_weight, low), high)


def _check_one_of(target: Any, fraction: Any, anchor: Any, n: Any) -> None:
    """Raise TypeError unless one of the three is given, and ``n`` with the first two alone."""
    given = {"target": target, "fraction": fraction, "anchor": anchor}
    if sum(value is not None for value in given.values()) != 1:
        words = ", ".join(f"`{name}` {value!r}" for name, value in given.items())
        msg = f"one of `target`, `fraction` and `anchor` must be given, got {words}"
        raise TypeError(msg)
    if anchor is not None and n is not None:
        msg = f"`n` is for `target` and `fraction`, not for `anchor`; got {n!r}"
        raise TypeError(msg)


def _wanted(target: Any, fraction: Any, n: Any) -> float:
    """Return the target in nats."""
    most = math.inf
    if n is not None:
        n = integer(n, "n")
        if n < 2:
            msg = f"`n` must be at least 2, got {n!r}"
            raise ValueError(msg)
        most = math.log(n)
    if fraction is None:
        wanted = finite(target, "target")
        if wanted > most:
            msg = f"`target` must be at most log n, {most:.6g} for {n} outcomes; got {target!r}"
            raise ValueError(msg)
        if n is not None and wanted < 0:
            msg = f"`target` must be >= 0 for {n} outcomes, got {target!r}"
            raise ValueError(msg)
        return wanted
    if n is None:
        msg = "`n`, the number of outcomes, must be given with `fraction`"
        raise TypeError(msg)
    share = finite(fraction, "fraction")
    if not 0 <= share <= 1:
        msg = f"`fraction` must be from 0 to 1, got {fraction!r}"
        raise ValueError(msg)
    return share * most


def _read(value: Any) -> Any:
    """Return the number in an array of one, anything else as it is."""
    if isinstance(value, Real) or not hasattr(type(value), "shape"):
        return value
    xp = floating(value, "entropy")
    if math.prod(value.shape) != 1:
        msg = f"`entropy` must be one number, got an array of shape {tuple(value.shape)}; take its mean"
        raise ValueError(msg)
    # torch warns of a number that is taken out of a graph
    value = value.detach() if hasattr(value, "detach") else value
    return float(xp.reshape(value, ()))
