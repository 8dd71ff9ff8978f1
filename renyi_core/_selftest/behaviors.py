"""What a result is beside its value: its dtype, shape, device, and what may not happen to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace, device

import renyi_core as renyi

from .library import Library, NotOfferedError
from .rows import EPS

Array = Any

__all__ = ["BEHAVIORS"]

TABLE = [[0.5, 0.25, 0.125, 0.125], [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]]
LOGITS = [[0.0, 1.0, -1.0, 2.0], [3.0, -math.inf, 0.0, 0.0], [0.0, -5.0, 5.0, -math.inf]]
ORDERS = (0.0, 0.5, 1.0, math.inf)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _flat(values: Any) -> list[float]:
    return [x for part in values for x in _flat(part)] if isinstance(values, list) else [values]


def _close(library: Library, got: Array, want: Array, dtype: str, what: str) -> None:
    _require(tuple(got.shape) == tuple(want.shape), f"{what}: shape {tuple(got.shape)}, not {tuple(want.shape)}")
    pairs = zip(_flat(library.read(got)), _flat(library.read(want)), strict=True)
    worst = max((abs(g - w) / (1 + abs(w)) for g, w in pairs), default=0.0)
    _require(worst <= 64 * EPS[dtype], f"{what}: off by {worst / EPS[dtype]:.1f} eps")


def _kept(library: Library, dtype: str) -> None:
    """Check namespace, dtype, device and shape of every result."""
    for f, values in ((renyi.entropy, TABLE), (renyi.entropy_from_logits, LOGITS)):
        x = library.array(values, dtype)
        value, gradient = renyi.value_and_grad(f)(x, 2.0)
        slope = renyi.grad(f, "alpha")(x, 2.0)
        for what, result, shape in (("value", value, (3,)), ("gradient", gradient, (3, 4)), ("∂/∂α", slope, (3,))):
            _require(array_namespace(result) is library.xp, f"{what}: of another namespace")
            _require(result.dtype == x.dtype, f"{what}: dtype {result.dtype}, not {x.dtype}")
            _require(device(result) == device(x), f"{what}: on {device(result)}, not {device(x)}")
            _require(tuple(result.shape) == shape, f"{what}: shape {tuple(result.shape)}, not {shape}")


def _axes(library: Library, dtype: str) -> None:
    xp, f = library.xp, renyi.entropy_from_logits
    x = library.array([[[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]], [[3.0, 0.0, 0.0], [0.25, 0.5, 1.0]]], dtype)
    moved = xp.permute_dims(x, (2, 0, 1))
    _close(library, f(moved, 0.5, axis=0), f(x, 0.5), dtype, "axis=0")
    _close(
        library, f(x, 0.5, axis=(0, 2)), f(xp.reshape(xp.permute_dims(x, (1, 0, 2)), (2, 6)), 0.5), dtype, "two axes"
    )
    _close(library, f(x, 2.0, axis=None), f(xp.reshape(x, (12,)), 2.0), dtype, "axis=None")
    kept = f(x, 2.0, keepdims=True)
    _close(library, kept, xp.reshape(f(x, 2.0), (2, 2, 1)), dtype, "keepdims")
    _close(library, f(x, 2.0, base=2) * math.log(2), f(x, 2.0), dtype, "base=2")


def _masks(library: Library, dtype: str) -> None:
    xp = library.xp
    for f, values, dead in ((renyi.entropy, TABLE, 0.0), (renyi.entropy_from_logits, LOGITS, -math.inf)):
        keep = [[True, False, True, True], [True, True, False, True], [False, True, True, True]]
        zero = library.array([[dead] * 4] * 3, dtype)
        x = library.array(values, dtype)
        where = library.array([[1.0 if k else 0.0 for k in line] for line in keep], dtype) > 0
        garbage = xp.where(where, x, math.nan)
        for alpha in ORDERS:
            value, gradient = renyi.value_and_grad(f)(garbage, alpha, where=where)
            want, _ = renyi.value_and_grad(f)(xp.where(where, x, zero), alpha)
            _close(library, value, want, dtype, f"where, α = {alpha}")
            outside = [
                g
                for g, k in zip(_flat(library.read(gradient)), [k for line in keep for k in line], strict=True)
                if not k
            ]
            _require(all(g == 0 for g in outside), f"α = {alpha}: the gradient is not 0 where `where` is False")


def _finite(library: Library, dtype: str) -> None:
    """Look for NaN and infinities in gradients of zeros, −inf and ties."""
    for f, values in ((renyi.entropy, TABLE), (renyi.entropy_from_logits, LOGITS)):
        for alpha in ORDERS:
            for wrt in (0, "alpha"):
                got = renyi.grad(f, wrt)(library.array(values, dtype), alpha)
                _require(all(map(math.isfinite, _flat(library.read(got)))), f"{f.__name__}, α = {alpha}, wrt={wrt!r}")


def _senseless(library: Library, dtype: str) -> None:
    """Check that an invalid row gives NaN, and only that row."""
    bad = {
        renyi.entropy: [[math.nan, 0.5], [math.inf, 0.5], [-0.25, 0.5], [0.0, 0.0]],
        renyi.entropy_from_logits: [[math.nan, 0.5], [math.inf, 0.5], [-math.inf, -math.inf]],
    }
    for f, rows in bad.items():
        for alpha in ORDERS:
            x = library.array([row for pair in ([[0.5, 0.25], row] for row in rows) for row in pair], dtype)
            for what, part in zip(("value", "gradient"), renyi.value_and_grad(f)(x, alpha), strict=True):
                values = library.read(part)
                _require(all(map(math.isnan, _flat(values[1::2]))), f"{f.__name__}, α = {alpha}: {what} is not NaN")
                _require(not any(map(math.isnan, _flat(values[::2]))), f"{f.__name__}, α = {alpha}: NaN in a good row")


def _empty(library: Library, dtype: str) -> None:
    x = library.array(TABLE, dtype)[:0, ...]
    for alpha in ORDERS:
        value, gradient = renyi.value_and_grad(renyi.entropy)(x, alpha)
        _require(tuple(value.shape) == (0,), f"value of shape {tuple(value.shape)}")
        _require(tuple(gradient.shape) == (0, 4), f"gradient of shape {tuple(gradient.shape)}")


def _refused(library: Library, dtype: str) -> None:  # noqa: ARG001  of every dtype that is none
    x = library.raw.asarray([1, 2, 3])
    try:
        renyi.entropy(x, 2.0)
    except TypeError:
        return
    _require(condition=False, message="integers were taken")


def _products(library: Library, dtype: str) -> None:
    """Check a cotangent for each row, and an order for each row, against a loop over numbers."""
    xp, f = library.xp, renyi.entropy_from_logits
    x = library.array(LOGITS, dtype)
    cotangent = library.array([0.5, -1.0, 2.0], dtype)
    alone = renyi.grad(f)(x, 0.5) * xp.reshape(cotangent, (3, 1))
    _close(library, renyi.grad(f)(x, 0.5, cotangent=cotangent), alone, dtype, "cotangent")
    orders = library.array([[order] for order in ORDERS], dtype)
    together = f(x[None, ...], orders)
    for k, order in enumerate(ORDERS):
        _close(library, together[k, ...], f(x, order), dtype, f"α = {order} in an array")


def _halves(library: Library, dtype: str) -> None:  # noqa: ARG001  whatever the others have
    """Check that half-precision numbers are summed in float32 and rounded once."""
    half = library.dtype("float16")
    xp = library.xp
    n = 3000
    z = [0.0 if k else 2.0 for k in range(n)]
    x = xp.astype(library.array(z, "float32"), half)
    got = renyi.entropy_from_logits(x, 2.0)
    _require(got.dtype == half, f"dtype {got.dtype}, not float16")
    total = n - 1 + math.exp(2)
    want = 2 * math.log(total) - math.log(n - 1 + math.exp(4))
    error = abs(library.read(xp.astype(got, library.dtype("float32"))) - want) / want * 2.0**10
    _require(error <= 0.51, f"off by {error:.2f} eps of float16")


def _lazy(library: Library, dtype: str) -> None:
    if not library.is_lazy():
        msg = "the library is not lazy"
        raise NotOfferedError(msg)
    arrays = [(f, library.array(v, dtype)) for f, v in ((renyi.entropy, TABLE), (renyi.entropy_from_logits, LOGITS))]
    orders = library.array([0.5, 1.0, 2.0], dtype)
    with library.refusing_reads():
        for f, x in arrays:
            for alpha in (0.5, 1.0, 2.0, math.inf, orders):
                renyi.value_and_grad(f)(x, alpha)
                renyi.grad(f, "alpha")(x, alpha)


BEHAVIORS: dict[str, Callable[[Library, str], None]] = {
    "dtype, namespace, device and shape are kept": _kept,
    "axis, keepdims, base": _axes,
    "where": _masks,
    "gradients are finite with zeros, masks and ties": _finite,
    "a senseless row gives NaN, and it alone": _senseless,
    "a batch of no rows": _empty,
    "integers are refused": _refused,
    "cotangent, and α in an array": _products,
    "half precision is summed in float32": _halves,
    "no value is read": _lazy,
}
