"""What to type instead: the cures that errors name. Nothing here runs before there is an error."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

__all__ = ["conversion", "explain", "explained", "instead_of_array", "instead_of_number", "unknown"]

Class = TypeVar("Class", bound=type)

SYNONYMS = {
    "where": "mask masks valid valid_mask action_mask action_masks",
    "sample_weight": "mask attention_mask ignore_index pad_token_id weights sample_weights",
    "axis": "dim dims axes",
    "keepdims": "keepdim keep_dims",
    "alpha": "order q a alphas orders",
    "alphas": "alpha order orders q",
    "base": "log_base unit units",
    "weight": "beta coef coefficient ent_coef lam lambda_ strength scale",
    "weights": "weight w",
    "reference": "target teacher q ref reference_logits",
    "reduction": "reduce size_average",
    "source": "from_logits input_type kind",
    "target": "floor threshold min_entropy",
    "temperature": "t tau",
    "bandwidth": "sigma gamma length_scale",
    "k": "neighbors n_neighbors",
    "cotangent": "grad_output grad_outputs upstream",
    "vector": "v tangent",
}
"""What an argument is called elsewhere."""
FIRST = ("input", "x", "p", "probs", "probabilities", "logits", "data")
MEANING = {
    "where": "True for the outcomes that count",
    "sample_weight": "0 for the rows to leave out, as in sample_weight=(labels != -100)",
    "base": "as in base=2 for bits",
    "source": "'logits' or 'probs'",
}
NEEDED = {
    "alpha": ", the order: 1 for Shannon's entropy, 2 for the collision entropy",
    "alphas": ", the orders, as in [0.5, 1, 2]",
}
IN_A_TERM = "each distribution has its own value: take their mean, or a term of renyi_core.regularizers"
CONVERSIONS = {
    "numpy": "np.asarray({0})",
    "torch": "torch.as_tensor({0}, device={1}.device)",
    "jax.numpy": "jnp.asarray({0})",
    "dask.array": "da.asarray({0})",
    "cupy": "cp.asarray({0})",
}
TO_NUMPY = {
    "torch": "{0}.numpy(force=True)",
    "cupy": "{0}.get()",
    "dask": "{0}.compute()",
    "array_api_strict": "np.asarray({0})",
}
"""By way of NumPy: a tensor may have a gradient, and a graph no values yet, which others do not take."""


def unknown(what: str, keyword: str, known: Iterable[str], later: Iterable[str] = ()) -> str:
    """Return what to say of a keyword that is none of those known to what was called, or ``later`` to what it makes."""
    known, later = list(known), list(later)
    meant = [name for name, others in SYNONYMS.items() if keyword in (name, *others.split())]
    found, when = [name for name in meant if name in known], ""
    if not found and any(name in later for name in meant):
        found, when = [name for name in meant if name in later], "at the call "
    found = found or difflib.get_close_matches(keyword, known, n=1)
    if found:
        use = (f"`{name}=`" + (f", {MEANING[name]}" if name in MEANING else "") for name in found)
        return f"`{what}` has no argument `{keyword}`: {when}use {'; or '.join(use)}"
    if any(keyword in (name, *SYNONYMS[name].split()) for name in ("reduction", "sample_weight")):
        return f"`{what}` has no argument `{keyword}`: {IN_A_TERM}"
    return f"`{what}` has no argument `{keyword}`; it takes {', '.join(f'`{name}`' for name in known)}"


def explain(
    function: Callable[..., Any], args: Any, kwargs: Any, *, also: tuple[str, ...] = (), later: Iterable[str] = ()
) -> None:
    """Raise a TypeError that says how to call a function, if these are not arguments of it.

    ``also`` names keywords that are known besides its own, ``later`` those of a call of what it makes.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        reason = str(error)
    else:
        return
    name = getattr(function, "__name__", type(function).__name__)
    parameters = list(signature.parameters.values())
    if name in {"__call__", "__init__"}:
        # what a method is called on says more than its name
        name, args, parameters = type(args[0]).__name__, args[1:], parameters[1:]
    first = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    placed = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    known = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    missing = [p.name for p in parameters[len(args) :] if p.default is p.empty and p.name not in kwargs]
    for keyword in kwargs:
        if keyword in first or (missing[:1] == first[:1] and keyword in FIRST):
            reason = f"takes its first arguments without their names, as in {name}({', '.join(first)}, ...)"
            break
        if keyword not in known:
            raise TypeError(unknown(name, keyword, [*known, *also], later)) from None
    else:
        if len(args) > len(placed):
            named = ", ".join(f"`{name}=`" for name in known if name not in placed)
            reason = f"takes {len(placed)} arguments without a name, got {len(args)}; name the others: {named}"
        elif missing:
            reason = f"needs `{missing[0]}`{NEEDED.get(missing[0], '')}"
    msg = f"`{name}` {reason}"
    raise TypeError(msg) from None


def explained(cls: Class) -> Class:
    """Return a class that says of options that it does not have which ones it has."""
    init: Any = cls.__init__  # type: ignore[misc]

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            init(self, *args, **kwargs)
        except TypeError:
            explain(init, (self, *args), kwargs, later=_of_call(cls))
            raise

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def _of_call(cls: type) -> Iterable[str]:
    """Return the keywords of a call of a term or of a module."""
    forward = getattr(cls, "forward", None)
    return getattr(cls, "keywords", ()) if forward is None else inspect.signature(forward).parameters


def instead_of_number(value: Any, name: str) -> str:
    """Return where the number is that something else gives, as the end of a sentence."""
    if callable(value):
        return f"; call it first: a schedule gives the {name} of a step as {name}=schedule(step)"
    if hasattr(type(value), "weight") and hasattr(type(value), "update"):
        return f"; use the number that it holds, {name}=controller.weight, after each update"
    return ""


def instead_of_array(x: Any, name: str) -> str:
    """Return how to make an array of something else, as the end of a sentence."""
    if isinstance(x, (list, tuple, int, float)):
        return f"; use np.asarray({name}, dtype=float), or the like of another library"
    if type(x).__module__.partition(".")[0] == "xarray":
        return "; use xarray.apply_ufunc(function, ..., input_core_dims=[[dim], []]), which keeps the names"
    for method in ("to_numpy", "toarray", "numpy"):
        if hasattr(type(x), method):
            return f"; use {name}.{method}()"
    # on the type: a distribution may compute them
    if any(hasattr(type(x), part) for part in ("logits", "probs")):
        return "; use its `.logits` with a function of logits, or its `.probs` with one of probabilities"
    return ""


def conversion(x: Any, name: str, of: str, library: str) -> str:
    """Return how to convert an array, a list or a number to the library of the argument ``of``."""
    own, into = type(x).__module__.partition(".")[0], CONVERSIONS.get(library, f"{library}.asarray({{0}})")
    if own not in TO_NUMPY or (own, library) == ("cupy", "torch"):
        return into.format(name, of)
    if str(getattr(x, "dtype", "")) == "torch.bfloat16":
        # NumPy has no such dtype
        name = f"{name}.float()"
    by_numpy = TO_NUMPY[own].format(name)
    return by_numpy if library == "numpy" else into.format(by_numpy, of)
