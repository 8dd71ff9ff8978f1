"""Checks that read values: a ValueError says the argument, where its first fault is, what is there, and the cure."""

from __future__ import annotations

import math
from typing import Any

Array = Any

__all__ = [
    "check_entries",
    "check_known",
    "check_logits",
    "check_matrices",
    "check_outcomes",
    "check_probs",
    "default_tolerance",
    "wide",
]

BE, DO = ("is", "are"), ("does", "do")


def wide(x: Array, xp: Any) -> Array:
    """Return float16 and bfloat16 as float32, in which sums and comparisons are exact enough."""
    return xp.astype(x, xp.float32) if xp.finfo(x.dtype).bits == 16 else x


def default_tolerance(dtype: Any, xp: Any) -> float:
    """Return how far a sum may be from 1: the square root of the dtype's machine epsilon."""
    return math.sqrt(float(xp.finfo(dtype).eps))


def check_entries(bad: Array, values: Array, must: str, *, name: str, xp: Any, hint: str = "") -> None:
    """Raise ValueError if one of the entries is bad."""
    _refuse(bad, values, f"`{name}` must be {must}", "entries", BE, hint, xp)


def check_probs(
    values: Array,
    *,
    name: str,
    axis: Any,
    axes: tuple[int, ...],
    tolerance: float,
    xp: Any,
    rows: Any = True,
    hints: tuple[str, str] = ("", ""),
) -> None:
    """Raise ValueError unless the rows that count have entries finite and >= 0, and sums of 1; with a hint for each."""
    bad = ~((values >= 0) & (values < math.inf)) & rows
    check_entries(bad, values, "finite and >= 0", name=name, xp=xp, hint=hints[0])
    sums = xp.sum(values, axis=axes, keepdims=True)
    off = (xp.abs(sums - 1) > tolerance) & rows
    must = f"`{name}` must sum to 1 within {tolerance:.2g} along axis {axis}"
    _refuse(xp.squeeze(off, axis=axes), xp.squeeze(sums, axis=axes), must, "distributions", DO, hints[1], xp)


def check_outcomes(values: Array, least: float, *, name: str, axes: tuple[int, ...], xp: Any, rows: Any = True) -> None:
    """Raise ValueError unless the rows that count have an entry above the least."""
    if 0 in values.shape:
        return
    peak = xp.max(values, axis=axes, keepdims=True)
    empty = (peak <= least) & rows
    must = f"`{name}` must have an outcome in each row, an entry above {least} that is not masked"
    _refuse(xp.squeeze(empty, axis=axes), xp.squeeze(peak, axis=axes), must, "rows", DO, "", xp)


def check_known(rest: Array, room: Array, number: Array, tolerance: float, *, axes: tuple[int, ...], xp: Any) -> None:
    """Raise ValueError unless log-probabilities leave their other outcomes what these have room for."""
    for bad, values, must in (
        (number < 0, number, "be at most `n` in each row"),
        (rest < -tolerance, 1 - rest, f"sum to at most 1 within {tolerance:.2g}, as probabilities"),
        (
            rest > room + tolerance,
            rest,
            "leave no more than the other outcomes have room for below the least known one",
        ),
    ):
        rows, shown = (xp.squeeze(part, axis=axes) for part in (bad, values))
        _refuse(rows, shown, f"`log_probs` must {must}", "rows", DO, "", xp)


def check_logits(
    values: Array, *, name: str, axes: tuple[int, ...], tolerance: float, xp: Any, rows: Any, hint: str | None
) -> None:
    """Raise ValueError unless the rows that count have an outcome and, with a hint, are no probabilities."""
    check_entries(~(values < math.inf) & rows, values, "below +inf and not NaN", name=name, xp=xp)
    check_outcomes(values, -math.inf, name=name, axes=axes, xp=xp, rows=rows)
    if hint is None or math.prod(values.shape[i] for i in axes) == 1 or 0 in values.shape:
        return
    shown = xp.where(values == -math.inf, 0.0, values)
    unlike = (shown < 0) | (shown > 1) | (xp.abs(xp.sum(shown, axis=axes, keepdims=True) - 1) > tolerance)
    # rows of zeros and ones are made by hand
    fractions = (shown > 0) & (shown < 1) & rows
    if bool(xp.any(fractions)) and not bool(xp.any(unlike & rows)):
        msg = f"`{name}` must be logits: every row lies in [0, 1] and sums to 1, as probabilities do{hint}"
        raise ValueError(msg)


def check_matrices(values: Array, *, name: str, tolerance: float, covariance: bool, xp: Any) -> None:
    """Raise ValueError unless matrices can be covariances, or those of a kernel."""
    check_entries(~(xp.abs(values) < math.inf), values, "finite", name=name, xp=xp)
    diagonal = xp.linalg.diagonal(values)
    low = diagonal <= 0 if covariance else diagonal < 0
    check_entries(low, diagonal, f"{'>' if covariance else '>='} 0 on its diagonal", name=name, xp=xp)
    size = xp.sqrt(diagonal)
    size = size[..., :, None] * size[..., None, :]
    if not covariance:
        far = xp.abs(values) > (1 + tolerance) * size
        must, hint = "at most √(K_ii K_jj), as those of a kernel", "; of distances d take exp(-d²/2σ²)"
        check_entries(far, values, must, name=name, xp=xp, hint=hint)
        return
    gap = xp.abs(values - xp.linalg.matrix_transpose(values))
    check_entries(gap > tolerance * size, values, "symmetric", name=name, xp=xp, hint="; take (C + Cᵀ)/2")
    least = xp.linalg.eigvalsh(values / size)[..., 0]
    must, hint = f"`{name}` must be positive definite", ", an eigenvalue of its correlations; add to the diagonal"
    _refuse(~(least > 0), least, must, "matrices", BE, hint, xp)


def _refuse(bad: Array, values: Array, must: str, unit: str, verb: tuple[str, str], hint: str, xp: Any) -> None:
    """Raise ValueError if there is something bad: what must be, how much is not, where the first is, and a hint."""
    if not bool(xp.any(bad)):
        return
    count = int(xp.sum(xp.astype(bad, xp.int32)))
    if getattr(bad, "is_nested", False):
        msg = f"{must}: {count} {unit} {verb[count != 1]} not{hint}"
        raise ValueError(msg)
    if all(isinstance(n, int) for n in bad.shape):
        values = xp.broadcast_to(values, bad.shape)
    else:
        # of lengths that Dask does not know: here it counts them, of arrays that nobody else has
        values = xp.where(bad, values, values).compute_chunk_sizes()
        # chunks that a filter emptied have no largest entry
        bad = bad.compute_chunk_sizes().rechunk("auto")
    at, value = _first(bad, values, xp)
    msg = f"{must}: {count} of {math.prod(bad.shape)} {unit} {verb[count != 1]} not, first at {at}{value}{hint}"
    raise ValueError(msg)


def _first(bad: Array, values: Array, xp: Any) -> tuple[tuple[int, ...], str]:
    """Return the index of the first True, and in words the value there."""
    flat = int(xp.argmax(xp.astype(xp.reshape(bad, (-1,)), xp.int32)))
    try:
        value = f": {float(xp.reshape(values, (-1,))[flat]):.6g}"
    except TypeError:
        # what jax.grad differentiates can be compared, and not be a float
        value = ""
    index: list[int] = []
    for n in reversed(bad.shape):
        index.append(flat % n)
        flat //= n
    return tuple(reversed(index)), value
