"""The array library under test: how its arrays are made and read, without any other library."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from array_api_compat import array_namespace, is_array_api_obj, is_lazy_array

Array = Any

__all__ = ["Library", "NotOfferedError"]

READS = (
    *("__bool__", "__float__", "__int__", "__complex__", "__array__", "__buffer__", "__dlpack__"),
    *("item", "tolist", "compute", "persist"),
)
"""No ``__index__``: libraries try it to tell integers apart, and arrays of floats have none."""


class NotOfferedError(Exception):
    """The library lacks what a check needs."""


def _by_tolist(x: Array) -> Any:
    return x.tolist()


def _by_method(x: Array) -> Any:
    own = next(getattr(x, name) for name in ("compute", "todense", "unwrap_numpy", "numpy") if hasattr(x, name))
    return own().tolist()


def _by_numpy(x: Array) -> Any:
    return importlib.import_module("numpy").asarray(x).tolist()


def _by_entries(x: Array) -> Any:
    return float(x) if x.ndim == 0 else [_by_entries(x[k, ...]) for k in range(x.shape[0])]


WAYS: tuple[Callable[[Array], Any], ...] = (_by_tolist, _by_method, _by_numpy, _by_entries)


def _numbers(values: Any) -> bool:
    return isinstance(values, (int, float)) or (isinstance(values, list) and all(map(_numbers, values)))


class Library:
    """A namespace and a device; ``read`` and ``make`` override how arrays become nested lists and come from them."""

    def __init__(self, xp: Any, device: Any = None, *, make: Any = None, read: Any = None) -> None:
        self.raw, self.make, self.reader = xp, make, read
        self.device = self._find(device)
        self.name = xp.__name__.removeprefix("array_api_compat.")
        x = self._raw_array([1.0], None)
        if not is_array_api_obj(x):
            msg = f"arrays of {self.name} have no `__array_namespace__`, and array-api-compat does not know them"
            raise TypeError(msg)
        self.xp = array_namespace(x)

    def _find(self, device: Any) -> Any:
        """Return the device of a name as the library itself lists it, the name where it lists none."""
        if isinstance(device, str):
            try:
                known = list(self.raw.__array_namespace_info__().devices())
            except (AttributeError, TypeError, RuntimeError):
                known = []
            for own in known:
                if device in {str(own), repr(own)}:
                    return own
        return device

    def namespaces(self) -> tuple[Any, ...]:
        """Return where functions are looked up."""
        extension = getattr(self.xp, "linalg", None)
        return (self.xp, self.raw) if extension is None else (self.xp, self.raw, extension)

    def _raw_array(self, values: Any, dtype: Any) -> Array:
        options = {} if dtype is None else {"dtype": dtype}
        if self.make is not None:
            return self.make(values, dtype)
        if self.device is not None:
            options["device"] = self.device
        return self.raw.asarray(values, **options)

    def dtype(self, name: str) -> Any:
        """Return a dtype that arrays really get; raise NotOfferedError where there is none of the name."""
        kind = getattr(self.xp, name, None)
        if kind is not None:
            try:
                if self._raw_array([1.0], kind).dtype == kind:
                    return kind
            except (TypeError, ValueError, NotImplementedError):
                pass
        msg = f"no arrays of {name}"
        raise NotOfferedError(msg)

    def array(self, values: Any, dtype: str) -> Array:
        """Return an array of nested lists."""
        return self._raw_array(values, self.dtype(dtype))

    def read(self, x: Array) -> Any:
        """Return the values of an array as nested lists of Python numbers, in the first way that works."""
        failures = []
        for way in (self.reader,) if self.reader else WAYS:
            try:
                values = way(x)
            except Exception as failure:  # noqa: BLE001  whatever an unknown library raises
                failures.append(f"{type(failure).__name__}: {failure}")
                continue
            if _numbers(values):
                if not self.reader:
                    self.reader = way
                return values
            failures.append(f"{way.__name__} gives {type(values).__name__}")
        msg = f"the values of a {type(x).__name__} cannot be read: {'; '.join(failures)}; pass `read=`"
        raise TypeError(msg)

    def is_lazy(self) -> bool:
        """Whether values need not be there before they are asked for."""
        x = self._raw_array([1.0], None)
        # array-api-compat does not know every library that waits for a ``compute``
        return bool(is_lazy_array(x)) or hasattr(x, "compute")

    @contextmanager
    def refusing_reads(self) -> Iterator[None]:
        """Make every attempt to read a value of an array an error."""
        kind = type(self._raw_array([1.0], None))
        saved = {name: kind.__dict__.get(name) for name in READS if hasattr(kind, name)}

        def refuse(name: str) -> Callable[..., Any]:
            def read(*_: Any, **__: Any) -> Any:
                msg = f"{name} was called: a value was read"
                raise AssertionError(msg)

            return read

        try:
            for name in saved:
                setattr(kind, name, refuse(name))
        except TypeError:
            msg = "its array type cannot be watched"
            raise NotOfferedError(msg) from None
        try:
            yield
        finally:
            for name, own in saved.items():
                if own is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, own)
