"""A toy array library: NumPy's arrays behind a class of its own, and a count of the numbers that operations write.

This module is the namespace: ``x.__array_namespace__()`` returns it, and what it lacks it takes from NumPy.
"""

import operator
import sys

import numpy as np

written = 0
"""How many numbers all operations have written so far: on a device, traffic to memory."""


class Array:
    """What a real library would keep on its device."""

    def __init__(self, data):
        self.data = np.asarray(data)

    dtype = property(lambda self: self.data.dtype)
    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    device = "toy"

    def __array_namespace__(self, *, api_version=None):
        return sys.modules[__name__]

    def __getitem__(self, key):
        return Array(self.data[key])

    def __float__(self):
        return float(self.data)

    def __repr__(self):
        return f"toy {self.data!r}"


def _inside(value):
    """Return what NumPy is to see of an argument."""
    if isinstance(value, Array):
        return value.data
    if isinstance(value, (list, tuple)):
        return type(value)(_inside(item) for item in value)
    return None if isinstance(value, str) and value == Array.device else value


def _operation(function):
    def run(*args, **kwargs):
        global written  # noqa: PLW0603  the count is the module's
        result = function(*map(_inside, args), **{name: _inside(value) for name, value in kwargs.items()})
        if isinstance(result, (np.ndarray, np.generic)):
            written += result.size
            return Array(result)
        return result

    return run


def _reflected(function):
    return lambda x, y: function(y, x)


for _name in ("add", "sub", "mul", "truediv", "pow", "and_", "or_"):
    _run = _operation(getattr(operator, _name))
    _name = _name.strip("_")
    setattr(Array, f"__{_name}__", _run)
    setattr(Array, f"__r{_name}__", _reflected(_run))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "invert", "abs"):
    setattr(Array, f"__{_name}__", _operation(getattr(operator, _name)))


def __getattr__(name):
    """Return NumPy's function of the name, taking and giving arrays of this library; dtypes as they are."""
    if name.startswith("__") and name != "__array_namespace_info__":
        raise AttributeError(name)
    found = getattr(np, name)
    return found if isinstance(found, type) or not callable(found) else _operation(found)
