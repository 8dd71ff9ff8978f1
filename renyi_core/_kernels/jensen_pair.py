"""The Jensen–Rényi divergence of two distributions along any axes, from logits or probabilities, and its derivatives.

J is that of the set of both, with the shares 1 − m and m. It is the same for any multiple of p, so that Σ p ∂J/∂p = 0,
and the derivative with respect to logits z is p ∂J/∂p.
"""

from __future__ import annotations

import math
from typing import Any

from .batch import assignments
from .family import ENTRIES, ROWS, Call, Family, Wrt, finished, run
from .jensen import JENSEN
from .state import Order, Source

Array = Any
Axis = tuple[int, ...]

__all__ = ["JENSEN_PAIR", "jensen_pair", "jensen_pair_and_alpha_gradient", "jensen_pair_and_gradient"]


class _Sets:
    """The two distributions of each row as a set: (..., 2, n)."""

    def __init__(self, x: Array, y: Array, *, source: Source, where: Array | None, axis: Axis, xp: Any) -> None:
        x, y = xp.broadcast_arrays(x, y)
        self.axis, self.xp, self.lengths = axis, xp, tuple(x.shape[i] for i in axis)
        others = tuple(i for i in range(x.ndim) if i - x.ndim not in axis)
        self.order = (*others, *(i % x.ndim for i in axis))
        self.probs, self.sizes = [], []
        for part in (x, y):
            p, size = assignments(part, source=source, where=where, axis=axis, xp=xp)
            # what belongs to the support counts, however small
            smallest, alive = float(xp.finfo(p.dtype).smallest_normal), part > (-math.inf if source == "logits" else 0)
            alive = alive if where is None else alive & where
            self.probs.append(xp.where(alive & (p < smallest), smallest, p))
            self.sizes.append(size)
        self.set = xp.stack([self._last(p) for p in self.probs], axis=-2)

    def _last(self, p: Array) -> Array:
        p = p if self.axis == (-1,) else self.xp.permute_dims(p, self.order)
        lead = p.shape[: p.ndim - len(self.axis)]
        return p if len(self.axis) == 1 else self.xp.reshape(p, (*lead, math.prod(self.lengths)))

    def entries(self, part: Array) -> Array:
        """Return what is along the last axis where it was."""
        part = self.xp.reshape(part, (*part.shape[:-1], *self.lengths)) if len(self.axis) > 1 else part
        back = tuple(self.order.index(i) for i in range(len(self.order)))
        return part if self.axis == (-1,) else self.xp.permute_dims(part, back)

    def rows(self, value: Array) -> Array:
        """Return a number for each row with length 1 along the axes."""
        for i in reversed(self.axis):
            value = self.xp.expand_dims(value, axis=i)
        return value

    def of_rows(self, value: Any) -> Any:
        """Return what :meth:`rows` gives, or a number, without these axes."""
        axes = tuple(i for i in self.axis if -i <= getattr(value, "ndim", 0))
        return self.xp.squeeze(value, axis=axes) if axes else value

    def _of_sets(self, value: Any) -> Any:
        return self.of_rows(value)[..., None, None] if hasattr(value, "ndim") else value

    def run(self, mixture: Any, order: Order, wrt: Wrt = (), scale: Any = None) -> Any:
        """Return the divergences, and with ``wrt`` (value, *derivatives), of the sets."""
        order = order if order.static else Order(*map(self._of_sets, order))
        weights = None
        if not (isinstance(mixture, float) and mixture == 0.5):
            share = self.xp.zeros_like(self.set[..., 0, 0]) + self.of_rows(mixture)
            weights = self.xp.stack([1 - share, share], axis=-1)
        return run(Call(JENSEN, (self.set, weights), order, None, {}, self.xp), wrt, self._of_sets(scale))


def jensen_pair(
    x: Array, y: Array, mixture: Any, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> Array:
    """Return the divergence of each row; ``mixture`` is the share of y."""
    sets = _Sets(x, y, source=source, where=where, axis=axis, xp=xp)
    return sets.rows(sets.run(mixture, order)[..., 0, 0])


def jensen_pair_and_gradient(
    x: Array,
    y: Array,
    mixture: Any,
    order: Order,
    *,
    wrt: tuple[int, ...],
    source: Source,
    where: Array | None,
    axis: Axis,
    xp: Any,
    scale: Any = None,
) -> tuple[Array, ...]:
    """Return the divergence and its gradients along x (0), y (1) or the mixture (2), times ``scale``."""
    sets = _Sets(x, y, source=source, where=where, axis=axis, xp=xp)
    names = tuple(dict.fromkeys(1 if i == 2 else 0 for i in wrt))
    value, *parts = sets.run(mixture, order, names, scale)
    found = dict(zip(names, parts, strict=True))
    gradients = []
    for i in wrt:
        if i == 2:
            gradients.append(sets.rows(found[1][..., 1] - found[1][..., 0]))
            continue
        along = sets.entries(found[0][..., i, :])
        along = along * sets.probs[i] if source == "logits" else along / sets.sizes[i]
        gradients += finished((along,), ((x, y)[i],), None, xp, where=where)
    return sets.rows(value[..., 0, 0]), *gradients


def jensen_pair_and_alpha_gradient(
    x: Array, y: Array, mixture: Any, order: Order, *, source: Source, where: Array | None, axis: Axis, xp: Any
) -> tuple[Array, Array]:
    """Return the divergence of each row and its derivative with respect to α."""
    sets = _Sets(x, y, source=source, where=where, axis=axis, xp=xp)
    value, slope = sets.run(mixture, order, ("alpha",))
    return sets.rows(value[..., 0, 0]), sets.rows(slope[..., 0, 0])


JENSEN_PAIR = Family(
    jensen_pair, jensen_pair_and_gradient, jensen_pair_and_alpha_gradient, layouts=(ENTRIES, ENTRIES, ROWS)
)
