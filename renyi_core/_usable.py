"""Which arrays can be used: namespaces and dtypes, and what only passes for an array, refused with the cure.

Types and dtypes are looked up once, so that a call of known ones pays for a look into a table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from ._advice import conversion, instead_of_array
from ._dispatch import namespace_of, tracer_of

__all__ = [
    "Floats",
    "floating",
    "floats_of",
    "kind_of",
    "namespace",
    "real",
    "rectangular",
    "same_namespace",
    "usable",
]


class Floats(NamedTuple):
    """What is known of a real floating-point dtype: the dtype of its sums, and where α counts as 0 and as ∞.

    Beyond ``largest_tail``, 1/α is no normal number either. ``tracer`` is :func:`tracer_of` the library.
    """

    accumulator: Any
    smallest_alpha: float
    largest_alpha: float
    largest_tail: float
    tracer: Any


_MASKED = "its mask would be lost; pass its data, and `where=` with True where an entry counts"
_COMPRESSED = "it lacks functions of the standard; pass `.todense()` of it"
REFUSED = {
    "numpy.MaskedArray": _MASKED,
    "torch.MaskedTensor": _MASKED,
    "numpy.matrix": "its rows are matrices; pass `numpy.asarray` of it",
    "sparse.GCXS": _COMPRESSED,
    "sparse.DOK": _COMPRESSED,
}
"""Types that pass for arrays and cannot be used, by package and name, and what to do."""

_namespaces: dict[type, Any] = {}
_differ: dict[type, bool] = {}
"""The types of which some arrays can be used and some cannot."""
_dtypes: dict[str, dict[Any, tuple[str | None, Floats | None]]] = {}


def namespace(x: Any) -> Any:
    """Return the namespace of an array, None for anything else; looked up once for each type."""
    kind = type(x)
    if kind not in _namespaces:
        _differ[kind] = False
        if f"{kind.__module__}.{kind.__name__}" in {"torch.Tensor", "torch.nn.parameter.Parameter"}:
            # the general look-up would make torch.compile warn of its caches
            from array_api_compat import torch

            _namespaces[kind], _differ[kind] = torch, True
        else:
            sound = is_array_api_obj(x) and _objection(kind) is None
            # NumPy is such a namespace itself; to wrap it loads all of it, f2py and its test tools included
            wrapped = False if is_numpy_array(x) else None
            _namespaces[kind] = namespace_of(array_namespace(x, use_compat=wrapped)) if sound else None
            _differ[kind] = hasattr(x, "is_nested") or hasattr(x, "_meta")
    return _namespaces[kind]


def _objection(kind: type) -> str | None:
    """Return why arrays of a type are refused and the cure, None if they are not."""
    names = (f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in kind.__mro__)
    return next((REFUSED[name] for name in names if name in REFUSED), None)


def _objection_to(x: Any, xp: Any) -> str | None:
    """Return why one array of a type is refused and the cure: a Dask array of masked chunks, a sparse tensor."""
    if hasattr(x, "_meta"):
        return _objection(type(x._meta))  # noqa: SLF001  where Dask says what its chunks are
    if x.layout is xp.jagged or (x.layout is xp.strided and not x.is_nested):
        return None
    if x.is_nested:
        return "it is nested, and its layout is not torch.jagged: make it so, or pad it and pass `where=`"
    return f"its layout is {x.layout}; pass `.to_dense()` of it"


def _namespace_of(x: Any, name: str) -> Any:
    """Return the namespace of an array; raise TypeError for anything else, or what cannot be used, with the cure."""
    xp, kind = namespace(x), type(x)
    if xp is not None and not _differ[kind]:
        return xp
    objection = _objection(kind) if xp is None else _objection_to(x, xp)
    if objection is not None:
        msg = f"`{name}` is a {kind.__module__}.{kind.__name__}: {objection}"
        raise TypeError(msg)
    if xp is None:
        msg = f"`{name}` must be an array of an array-API library, got {kind.__name__}{instead_of_array(x, name)}"
        raise TypeError(msg)
    return xp


def _dtype(xp: Any, dtype: Any) -> tuple[str | None, Floats | None]:
    """Return which kind a dtype is of, and what is known of a real floating-point one; looked up once for each.

    Floats of less than 16 bits are of no kind, nor is what the library knows no arithmetic of.
    """
    # of each library by itself: torch.compile compares what it looks up with all that it may have been
    known = _dtypes.get(xp.__name__)
    if known is None:
        known = _dtypes[xp.__name__] = {}
    if dtype not in known:
        kind, floats = None, None
        try:
            kind = next((k for k in ("real floating", "integral", "bool") if xp.isdtype(dtype, k)), None)
            bits = xp.finfo(dtype).bits if kind == "real floating" else 0
        except TypeError:
            # dtypes that NumPy has from elsewhere, as ml_dtypes.bfloat16, and records
            kind, bits = None, 0
        if kind == "real floating" and bits < 16:
            kind = None
        elif kind == "real floating":
            accumulator = xp.float32 if bits == 16 else dtype
            info = xp.finfo(accumulator)
            # below the smallest float, α may be 0 where it meets −inf; up to here, products with α cannot overflow, of
            # which those with 1/α, that the Tsallis entropy is, need no room
            least, room = float(info.smallest_normal), 2.0**-16
            floats = Floats(accumulator, least, room * float(info.max), 1 / least, tracer_of(xp))
        known[dtype] = kind, floats
    return known[dtype]


def kind_of(xp: Any, dtype: Any) -> str | None:
    """Return "real floating", "integral" or "bool", None for a dtype that cannot be used."""
    return _dtype(xp, dtype)[0]


def floats_of(xp: Any, dtype: Any) -> Floats | None:
    """Return what is known of a dtype, None if it is not a real floating-point one of 16 bits or more."""
    return _dtype(xp, dtype)[1]


def floating(x: Any, name: str) -> Any:
    """Return the namespace of a real floating-point array; raise TypeError for anything else."""
    xp = _namespace_of(x, name)
    if not _dtype(xp, x.dtype)[1]:
        wide = "float64" if kind_of(xp, x.dtype) else "float32"
        msg = f"`{name}` must have a real floating-point dtype of its library, of 16 bits or more, got {x.dtype}; "
        msg += f"convert it, e.g. by .{'astype' if hasattr(x, 'astype') else 'to'}({xp.__name__.split('.')[-1]}.{wide})"
        raise TypeError(msg)
    return xp


def same_namespace(x: Any, xp: Any, name: str, of: str) -> None:
    """Raise TypeError unless x is an array of the namespace xp."""
    if namespace(x) is not xp or _differ[type(x)]:
        if namespace(x) is xp or _objection(type(x)) is not None:
            _namespace_of(x, name)
            return
        library = xp.__name__.removeprefix("array_api_compat.")
        given = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        msg = f"`{name}` must be an array of the library of `{of}`, {library}; got {given}"
        if namespace(x) is None and not isinstance(x, (list, tuple, bool, int, float)):
            raise TypeError(msg + instead_of_array(x, name))
        msg = f"{msg}; use {conversion(x, name, of, library)}"
        raise TypeError(msg)


def real(x: Any, name: str, *, boolean: bool = False) -> None:
    """Raise TypeError unless x is an array with a dtype of real numbers, or booleans if so."""
    kind = kind_of(_namespace_of(x, name), x.dtype)
    if kind is None or (kind == "bool" and not boolean):
        msg = f"`{name}` must be real{' or boolean' if boolean else ''}, of 16 bits or more if it is floating-point; "
        msg += f"got an array of dtype {x.dtype}"
        raise TypeError(msg)


def usable(x: Any, name: str) -> None:
    """Raise TypeError for an array that cannot be used, or not of real numbers; what is no array is left to others."""
    if x is not None and (namespace(x) is not None or _objection(type(x)) is not None):
        real(x, name, boolean=True)


def rectangular(x: Any, name: str, axes: tuple[int, ...] | None = None) -> None:
    """Raise TypeError for a nested tensor, where rows must have one length: along ``axes``, if these are given."""
    if getattr(x, "is_nested", False) and (axes is None or any(not isinstance(x.shape[i], int) for i in axes)):
        msg = f"`{name}` is a nested tensor, and here its rows must have one length: pad it, and mask the padding"
        raise TypeError(msg)
