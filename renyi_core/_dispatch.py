"""From a namespace's name to the adapter that overlays the kernels for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._kernels.library import adapter_of, adapters, blocks, here, load_with

__all__ = ["agnostic_only", "namespace_of", "register_adapter", "tracer_of"]


def register_adapter(name: Any, module: Any) -> None:
    """Make ``module`` the adapter of the array library called ``name``.

    An adapter overlays the kernels: each function of its that bears a kernel's name, with the kernel's signature,
    runs in that kernel's place for arrays of that library. Names that it lacks run the library's own code.
    An adapter adds speed, memory and derivative rules; it never changes a result.

    Parameters
    ----------
    name : str
        The ``__name__`` of the array-API namespace, as in ``"numpy"``, ``"torch"``, ``"jax.numpy"``,
        ``"dask.array"``; the prefix ``"array_api_compat."`` may be given or left out.
    module : module or object, or None
        Where the functions are looked up, as attributes. None takes the adapter away.

    Raises
    ------
    TypeError
        If ``name`` is not a string, or ``module`` is one.

    See Also
    --------
    agnostic_only : Without any adapter.

    Examples
    --------
    >>> import types
    >>> import renyi_core as renyi
    >>> renyi.register_adapter("my_arrays", types.SimpleNamespace())
    >>> renyi.register_adapter("my_arrays", None)
    """
    if not isinstance(name, str):
        msg = f"`name` must be the name of a namespace, a string; got {type(name).__name__}"
        raise TypeError(msg)
    if isinstance(module, str):
        msg = f"`module` must be a module or an object, got {module!r}; use importlib.import_module(module)"
        raise TypeError(msg)
    adapters[name.removeprefix("array_api_compat.")] = module


@contextmanager
def agnostic_only() -> Iterator[None]:
    """Leave every adapter aside within the block: the same array-API code then runs on every library.

    For tests and comparisons. It holds for the thread that enters the block, not for others.

    See Also
    --------
    register_adapter : One adapter more, or less.

    Examples
    --------
    >>> import numpy as np
    >>> import renyi_core as renyi
    >>> with renyi.agnostic_only():
    ...     print(round(float(renyi.entropy(np.asarray([0.5, 0.5]), 2)), 6))
    0.693147
    """
    # the changes of a list are atomic; a ContextVar is not traceable by torch.compile
    blocks.append(None)
    here.depth += 1
    try:
        yield
    finally:
        here.depth -= 1
        blocks.pop()


def _built_in(name: str) -> Any:
    """Import the adapter that comes with the library; plain imports, so that compilers and type checkers follow."""
    if name == "numpy":
        from renyi_adapters import numpy as module

        return module
    if name == "torch":
        from renyi_adapters import torch as torch_module

        return torch_module
    if name == "jax.numpy":
        from renyi_adapters import jax as jax_module

        return jax_module
    if name == "dask.array":
        from renyi_adapters import dask as dask_module

        return dask_module
    if name == "cupy":
        from renyi_adapters import cupy as cupy_module

        return cupy_module
    return None


load_with(_built_in)


def namespace_of(xp: Any) -> Any:
    """Return the adapter's own form of a namespace, or the namespace itself."""
    return getattr(adapter_of(xp), "namespace", xp)


def tracer_of(xp: Any) -> Any:
    """Return the adapter's ``changing_number(number, x)``, None without one.

    It gives a number as an array where a compiler traces it as one that changes from call to call.
    """
    return getattr(adapter_of(xp), "changing_number", None)
