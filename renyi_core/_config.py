"""What this installation is made of: versions, and whether the compiled engine runs."""

from __future__ import annotations

import platform
import sys
from importlib import import_module, metadata

__all__ = ["show_config"]

CUPY = ("cupy", "cupy-cuda12x", "cupy-cuda13x")
LIBRARIES = ("array-api-compat", "numpy", "torch", "jax", "dask", *CUPY, "triton")


def show_config() -> str:
    """Return what this installation is made of, and whether the compiled engine for processors runs.

    No array library is imported. Add it to a report of a bug.

    Returns
    -------
    str
        A line for the package and Python, one for the libraries that are installed, and one for the engine: the
        instruction set that it uses and how many threads it may take, or why it does not run. RENYI_NATIVE=0 in the
        environment turns it off, RENYI_NATIVE_ISA=base, v3 or v4 chooses the instruction set, and RENYI_NUM_THREADS
        the number of threads.

    See Also
    --------
    agnostic_only : Without any adapter, and so without the engine.

    Examples
    --------
    >>> import renyi_core as renyi
    >>> print(renyi.show_config().splitlines()[2].split(":")[0])
    compiled engine
    """
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    try:
        engine = import_module("renyi_adapters.native").config()
    except ImportError:
        engine = "off: the package renyi_adapters is not installed"
    python = f"Python {platform.python_version()} on {sys.platform}, {platform.machine()}"
    version = sys.modules["renyi_core"].__version__
    return f"renyi-core {version}, {python}\nlibraries: {', '.join(found)}\ncompiled engine: {engine}"
