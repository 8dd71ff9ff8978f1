"""Opt-in checks of values: what a block of :func:`checking` looks at in the arguments of each public call."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, NamedTuple, TypeVar

from ._arrays import coefficient, counted, namespace, readable
from ._kernels.bounds import TOLERANCE, unknown
from ._kernels.csiszar import LARGEST, LEAST
from ._kernels.library import ask
from ._kernels.neighbors import kth_neighbor, neighbor_gap
from ._rules import _rules
from ._shapes import axes_of, broadcast_shapes, put_back
from ._values import (
    check_entries,
    check_known,
    check_logits,
    check_matrices,
    check_outcomes,
    check_probs,
    default_tolerance,
    wide,
)

Array = Any
Given = dict[str, Any]
R = TypeVar("R")

__all__ = ["active", "blocks", "checked", "checking"]


class _ThreadState(threading.local):
    """The tolerance of the innermost block that the thread is in, in a tuple; None outside of blocks."""

    tolerance: tuple[float | None] | None = None


_here = _ThreadState()
blocks: list[None] = []
"""One for each block of any thread: empty, it costs a call nothing, and torch.compile looks at it."""


@contextmanager
def checking(*, tolerance: float | None = None) -> Iterator[None]:
    """Read the values of arguments within the block, and raise ValueError for what gives NaN or nonsense in silence.

    For debugging: it waits for a GPU and takes time. It holds for the thread that enters the block, not for others.
    Public functions, their derivatives and the terms of :mod:`renyi_core.regularizers` then refuse

    - probabilities with a negative, infinite or NaN entry, or whose sum is not 1; outside the block the result is
      that of p/Σp, so counts and other weights must be divided by their sum here;
    - logits and scores with +inf or NaN; rows without an outcome;
    - probabilities in the place of logits: all rows lie in [0, 1] and sum to 1, not one of many that happens to, and
      not all entries are 0 or 1;
    - counts, weights and masks of samples that are negative (such as labels of −100), infinite or NaN, and counts
      for :func:`entropy_from_counts` that are not whole;
    - orders that are negative, NaN or beyond what the function takes, in an array;
    - covariances that are not symmetric or not positive definite, matrices that are not those of a kernel, scales
      that are not positive; samples, means, log-densities, cotangents and vectors that are not finite or NaN;
    - samples that coincide with k others, for :func:`particle_entropy` and :func:`particle_reward` without ``jitter``.

    Rows that do not count, of weight 0 or in terms without an outcome that ``where`` leaves, may hold anything.

    Parameters
    ----------
    tolerance : float, optional
        How far the sum of probabilities may be from 1, as in :func:`check_probabilities`.

    Raises
    ------
    TypeError, ValueError
        If ``tolerance`` is not a number >= 0; within the block, ValueError with the name of the argument, the index
        of the first row or entry, what is there, and the cure.

    See Also
    --------
    check_probabilities : One array, at once.

    Notes
    -----
    What cannot be read is not checked: arrays under ``jax.jit``, ``jax.vmap``, ``torch.compile``, ``torch.export``
    and ``torch.func.vmap``, and those of Dask, whose graphs are not computed. torch traces a compiled function again
    where it is first called within a block. Of torch's ``parallel_entropy``, whose rows are spread over processes, and
    of the steps of :mod:`renyi_core.schedules` nothing is checked.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> with renyi.checking():
    ...     renyi.entropy_from_logits(np.asarray([[0.0, 1.0], [np.nan, 2.0]]), 2)
    Traceback (most recent call last):
        ...
    ValueError: `logits` must be below +inf and not NaN: 1 of 4 entries is not, first at (1, 0): nan
    """
    number = None if tolerance is None else coefficient(tolerance, "tolerance")
    before = _here.tolerance
    blocks.append(None)
    _here.tolerance = (number,)
    try:
        yield
    finally:
        _here.tolerance = before
        blocks.pop()


def active(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the thread is in a block, and torch does not compile the call."""
    if _here.tolerance is None:
        return False
    for x in (*args, *kwargs.values()):
        compiler = getattr(namespace(x), "compiler", None) if hasattr(x, "dtype") else None
        if compiler is not None:
            return not compiler.is_compiling()
    return True


def checked(function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Return what the function gives, with the values of its arguments checked.

    The call comes first: it checks types and shapes, and its own calls take values that are not the caller's.
    """
    held = _here.tolerance
    assert held is not None  # noqa: S101  active() has looked
    _here.tolerance = None
    try:
        result = function(*args, **kwargs)
        _check_call(function, args, kwargs, held[0])
    finally:
        _here.tolerance = held
    return result


class _Must(NamedTuple):
    """What the entries of an argument must be: in words, as a test, and what to do where they are not."""

    words: str
    test: Callable[[Array], Array]
    hint: str = ""


_NUMBER = _Must("finite", lambda x: (x > -math.inf) & (x < math.inf))
_DENSITY = _Must("below +inf and not NaN", lambda x: x < math.inf)
_POSITIVE = _Must("> 0 and finite", lambda x: (x > 0) & (x < math.inf))
_WEIGHT = _Must(">= 0 and finite", lambda x: (x >= 0) & (x < math.inf))
_LABELS = _WEIGHT._replace(hint="; of labels, take the mask labels != -100")
_ORDER = _Must(">= 0", lambda x: x >= 0)

_PROBS = ("probs", "joint", "p", "q")
_LOGITS = ("logits", "p_logits", "q_logits", "scores")
_MATRICES = ("covariance", "covariance_p", "covariance_q", "gram", "gram_x", "gram_y")
_ENTRIES = {
    **dict.fromkeys(("alpha", "alphas", "marginal_alpha", "conditional_alpha"), _ORDER),
    **dict.fromkeys(("counts", "weights", "weight"), _WEIGHT),
    **dict.fromkeys(("scale", "width", "temperature", "bandwidth"), _POSITIVE),
    **dict.fromkeys(("a", "b", "concentration", "rate"), _POSITIVE),
    **dict.fromkeys(("samples", "samples_x", "samples_y", "mean", "mean_p", "mean_q", "log_std", "hidden"), _NUMBER),
    **dict.fromkeys(("cotangent", "vector"), _NUMBER),
    **dict.fromkeys(("log_prob", "log_probs", "bias"), _DENSITY),
    "sample_weight": _LABELS,
}
_PAIRS = ({"p", "q"}, {"p_logits", "q_logits"}, {"logits", "probs", "reference"}, {"log_std", "mean"})
_AXES = {"joint": (-2, -1), "samples": (-2, -1)}


def _check_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Given, tolerance: float | None) -> None:
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    if "f" in given:
        # a derivative, of a function or a term
        f, inner = given["f"], given["args"]
        of, inner = (f, inner) if inspect.isfunction(f) else (type(f).__call__, (f, *inner))
        _check_call(of, inner, given["kwargs"], tolerance)
        given = {name: given[name] for name in ("cotangent", "vector") if name in given}
    owner = given.pop("self", None)
    if hasattr(owner, "terms"):
        for term in owner.terms:
            own = {name: value for name, value in kwargs.items() if name in term.keywords}
            _check_call(type(term).__call__, (term, *args[1:]), own, tolerance)
        return
    if "tolerance" not in given:
        # what is named so checks by itself
        _Arguments.of(function, owner, given, tolerance).check()


class _Arguments(NamedTuple):
    """The arguments of a call, of which ``arrays`` are to be checked: none, unless all can be read."""

    name: str
    given: Given
    arrays: Given
    source: str | None
    tolerance: float | None

    @classmethod
    def of(cls, function: Any, owner: Any, given: Given, tolerance: float | None) -> _Arguments:
        """Return the arguments; options that a term holds stand for those not given."""
        source = getattr(owner, "source", None)
        held = getattr(owner, "__dict__", {})
        given = {**held, **{name: x for name, x in given.items() if x is not None or name not in held}}
        if source is not None:
            given = {source if name == "x" else name: x for name, x in given.items()}
        arrays = {name: x for name, x in given.items() if hasattr(x, "dtype") and not isinstance(x, Real)}
        arrays = {name: x.detach() if hasattr(x, "detach") else x for name, x in arrays.items() if namespace(x)}
        if not all(map(readable, arrays.values())):
            arrays = {}
        return cls(function.__name__, given, arrays, source, tolerance)

    def check(self) -> None:
        """Raise ValueError for the first argument that is wrong."""
        cotangent = self.given.get("cotangent")
        if isinstance(cotangent, Real) and not math.isfinite(cotangent):
            msg = f"`cotangent` must be finite, got {cotangent!r}"
            raise ValueError(msg)
        for name, x in self.arrays.items():
            xp = namespace(x)
            if xp.isdtype(x.dtype, ("real floating", "integral")):
                self._check(name, self.source if name == "reference" else name, wide(counted(x, name), xp), xp)

    def _check(self, name: str, kind: str | None, values: Array, xp: Any) -> None:
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = default_tolerance(self.arrays[name].dtype if kind in _PROBS else values.dtype, xp)
        if kind in _MATRICES and self.given.get("kind", "full") == "full":
            check_matrices(values, name=name, tolerance=tolerance, covariance=kind.startswith("c"), xp=xp)
        elif kind in _PROBS:
            values, axes, rows = self._rows(name, values, 0.0, xp)
            axis = self.given.get("axis", axes if len(axes) > 1 else -1)
            options = {"name": name, "axis": axis, "axes": axes, "tolerance": tolerance, "xp": xp}
            other = self._other_source("probs")
            hints = f"; of logits, call {other}", f"; divide by the sum, or, of logits, call {other}"
            check_probs(values, rows=rows, hints=hints, **options)
        elif kind in _LOGITS:
            values, axes, rows = self._rows(name, values, -math.inf, xp)
            hint = None if kind == "scores" else f"; they go to {self._other_source('logits')}"
            check_logits(values, name=name, axes=axes, tolerance=tolerance, xp=xp, rows=rows, hint=hint)
        elif kind in _ENTRIES or kind in _MATRICES:
            self._check_entries(name, values, tolerance, xp)

    def _check_entries(self, name: str, values: Array, tolerance: float, xp: Any) -> None:
        must = _ENTRIES.get(name, _POSITIVE)
        if "hidden" in self.given and name == "weight":
            must = _NUMBER
        if name == "alpha" and self.given.get("kind") == "csiszar":
            must = _Must(f"from {LEAST} to {LARGEST}", lambda x: (x >= LEAST) & (x <= LARGEST))
        if name == "alpha" and self.name == "particle_entropy":
            limit = self.given["k"] + 1
            must = _Must(f">= 0 and less than `k` + 1 = {limit}", lambda x: (x >= 0) & (x < limit))
        if name == "alpha" and self.name == "particle_reward":
            must = _Must("between 0 and 1", lambda x: (x > 0) & (x < 1))
        axes: tuple[int, ...] = ()
        rows: Any = True
        if name in {"counts", "weights", "samples", "log_std", "mean", "log_prob", "log_probs"}:
            values, axes, rows = self._rows(name, values, -math.inf if name == "log_probs" else 0.0, xp)
        check_entries(~must.test(values) & rows, values, must.words, name=name, xp=xp, hint=must.hint)
        if name == "log_probs":
            parts = unknown(values, n=self.given["n"], where=self.arrays.get("where"), axis=axes, xp=xp)
            check_known(parts.rest, parts.room, parts.number, max(TOLERANCE, tolerance), axes=axes, xp=xp)
        if name in {"counts", "weights"}:
            check_outcomes(values, 0, name=name, axes=axes, xp=xp)
        if name == "samples" and self.name.startswith("particle") and self.given["jitter"] is None:
            gap = neighbor_gap(values, ask(kth_neighbor, xp)(values, k=self.given["k"], xp=xp), xp=xp)
            reach = xp.max(xp.abs(gap), axis=-1)
            hint = "; of rounded samples, give `jitter=` and `rng=`"
            check_entries(reach == 0, reach, "apart from their k-th neighbors", name=name, xp=xp, hint=hint)
        if self.name == "entropy_from_counts":
            whole = values == xp.floor(values)
            check_entries(~whole, values, "whole", name=name, xp=xp, hint="; the error needs the number of draws")

    def _rows(self, name: str, values: Array, outside: float, xp: Any) -> tuple[Array, tuple[int, ...], Any]:
        """Return the values without what ``where`` leaves out, the axes of a row, and which rows count."""
        pair = next((pair for pair in _PAIRS if name in pair), ())
        shape = broadcast_shapes(*(tuple(self.arrays[x].shape) for x in pair if x in self.arrays), tuple(values.shape))
        axis = self.given.get("axis", _AXES.get(name, -1))
        axes = () if axis == () else axes_of(shape, axis, name)
        where, weight = self.arrays.get("where"), self.arrays.get("sample_weight")
        rows: Any = True
        if where is not None:
            values = xp.where(where, values, outside)
            if "sample_weight" in self.given:
                rows = xp.any(xp.broadcast_to(where, shape), axis=axes, keepdims=True)
        if weight is None and name == "probs":
            weight = self.arrays.get("weights")
        if weight is not None:
            used = weight if xp.isdtype(weight.dtype, "bool") else weight != 0
            rows = put_back(used, axes, xp) & rows
        return values, axes, rows

    def _other_source(self, source: str) -> str:
        """Return what to call with arrays of the other kind."""
        if self.source is not None:
            return f"the term with source={'logits' if source == 'probs' else 'probs'!r}"
        names = {f.__name__ for f in _rules}
        other = f"{self.name}_from_logits" if source == "probs" else self.name.removesuffix("_from_logits")
        if other in names and other != self.name:
            return other
        return "it with their softmax" if source == "probs" else "it as their logarithm"
