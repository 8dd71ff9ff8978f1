"""What quantities are called elsewhere, and the call that each one is here."""

from __future__ import annotations

from types import ModuleType

__all__ = ["CALLS", "no_such_name"]

CALLS = {
    "collision_entropy": "entropy(probs, 2)",
    "effective_number": "hill_number(probs, alpha)",
    "gini_impurity": "tsallis_entropy(probs, 2)",
    "gini_simpson": "tsallis_entropy(probs, 2)",
    "hartley_entropy": "entropy(probs, 0)",
    "inverse_simpson": "hill_number(probs, 2)",
    "jensen_renyi_divergence": "jensen_divergence(probs, alpha)",
    "jensen_shannon_divergence": "jensen_divergence(probs, 1)",
    "js_divergence": "jensen_divergence(probs, 1)",
    "kl_div": "divergence(p, q, 1)",
    "kl_divergence": "divergence(p, q, 1)",
    "max_entropy": "entropy(probs, 0)",
    "min_entropy": "entropy(probs, math.inf)",
    "perplexity": "hill_number(probs, 1)",
    "relative_entropy": "divergence(p, q, 1)",
    "renyi_divergence": "divergence(p, q, alpha)",
    "renyi_entropy": "entropy(probs, alpha)",
    "shannon_entropy": "entropy(probs, 1)",
    "simpson_index": "hill_number(probs, 2) ** -1",
    "softmax": "regularized_argmax(scores, 1)",
    "tsallis": "tsallis_entropy(probs, alpha)",
    "von_neumann_entropy": "gram_entropy(gram, 1)",
}
"""Those of a Jensen divergence are distributions stacked along the axis before the last."""
STACKED = ", with the distributions stacked along the axis before the last"
LOGITS = "; of logits, {0}_from_logits"


def no_such_name(name: str, library: ModuleType, modules: tuple[ModuleType, ...]) -> str:
    """Return what to say of a name that the library does not have, and its own modules may."""
    msg = f"module {library.__name__!r} has no attribute {name!r}"
    for module in modules:
        if name in module.__all__:
            return f"{msg}: it is {module.__name__}.{name}"
    call = CALLS.get(name.removesuffix("_from_logits"))
    if call is None:
        return msg
    function = call.partition("(")[0]
    of_logits = LOGITS.format(function) if hasattr(library, f"{function}_from_logits") else ""
    return f"{msg}: use {call}{STACKED if function == 'jensen_divergence' else of_logits}"
