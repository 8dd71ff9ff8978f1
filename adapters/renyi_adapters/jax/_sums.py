"""Sums of several terms over the rows of an array, in one loop.

XLA compiles a sum to a loop of its own, which computes anew what other sums have too. One ``reduce`` of many arrays is
one loop; on the CPU it is a vectorized one where the entries to be summed are few, and next to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = Any

__all__ = ["row_sums", "totals"]

WIDTH = 4
"""How many entries are summed in such a loop, whose sums are summed again."""
SHORT = 8
LONG = 256
"""In shorter rows the loops go along the batch."""


def _add(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _reduced(values: tuple[Array, ...]) -> tuple[Array, ...]:
    zeros = tuple(jnp.zeros((), x.dtype) for x in values)
    sums: tuple[Array, ...] = jax.lax.reduce(values, zeros, _add, (values[0].ndim - 1,))
    return sums


_at_once: Any = jax.custom_jvp(_reduced)
"""The sums over the last axis, whose derivatives are sums of their own."""


@_at_once.defjvp  # type: ignore[untyped-decorator]
def _jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    return _at_once(*primals), tuple(jnp.sum(each, axis=-1) for each in tangents[0])


def row_sums(terms: Callable[[Array, Array], tuple[Array, ...]], x: Array, peak: Array, *, short: int) -> list[Array]:
    """Return the sums over the last axis, kept, of the terms that a function makes of entries and their peaks."""
    n = x.shape[-1]
    if not isinstance(n, int) or _is_spread(x):
        # a symbol, of a graph to be exported; or a row over several devices
        return [jnp.sum(each, axis=-1, keepdims=True) for each in terms(x, peak)]
    if n <= short or jax.default_backend() != "cpu":
        return [each[..., None] for each in _at_once(terms(x, peak))]
    # the rest is none or some: XLA lays down the terms of a single one
    count = n // WIDTH if n % WIDTH == 0 else (n - 2) // WIDTH
    whole = count * WIDTH
    blocks, peaks = x[..., :whole].reshape(*x.shape[:-1], count, WIDTH), peak[..., None]
    if n < LONG:
        blocks, peaks = jnp.moveaxis(blocks, -2, 0), jnp.moveaxis(peaks, -2, 0)
        sums = [jnp.sum(each, axis=0)[..., None] for each in _at_once(terms(blocks, peaks))]
    else:
        sums = [jnp.sum(each, axis=-1, keepdims=True) for each in _at_once(terms(blocks, peaks))]
    if whole == n:
        return sums
    rest = _at_once(terms(x[..., whole:], peak))
    return [a + b[..., None] for a, b in zip(sums, rest, strict=True)]


def totals(values: tuple[Array, ...], *, axis: tuple[int, ...], xp: Any) -> tuple[Array, ...]:  # noqa: ARG001
    """Overlay renyi_core._kernels.sums.totals."""
    n = values[0].shape[axis[0]]
    if len(axis) > 1 or not isinstance(n, int) or _is_spread(values[0]):
        return tuple(jnp.sum(each, axis=axis, keepdims=True) for each in values)
    rows = tuple(jnp.moveaxis(each, axis[0], -1) for each in values)
    whole = n // WIDTH * WIDTH if n > SHORT else 0
    sums = [0.0] * len(values)
    if whole:
        blocks = tuple(each[..., :whole].reshape(*each.shape[:-1], whole // WIDTH, WIDTH) for each in rows)
        parts = _at_once(blocks)
        sums = list(_at_once(parts) if n < LONG else [jnp.sum(each, axis=-1) for each in parts])
    if whole < n:
        rest = _at_once(tuple(each[..., whole:] for each in rows))
        sums = [a + b for a, b in zip(sums, rest, strict=True)]
    return tuple(jnp.expand_dims(each, axis[0]) for each in sums)


def _is_spread(x: Array) -> bool:
    """Return whether the type of x says that rows are spread over devices."""
    spec: Any = getattr(getattr(getattr(x, "aval", None), "sharding", None), "spec", ())
    return len(spec) == x.ndim and spec[-1] is not None
