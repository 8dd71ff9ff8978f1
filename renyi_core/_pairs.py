"""What the functions of two distributions share: from checked arguments to a kernel and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._arrays import prepare_pair
from ._dispatch import dispatch
from ._evaluate import differentiate, in_base
from ._kernels.state import Door
from ._rules import Rule

Array = Any
Kernel = Callable[..., Any]

__all__ = ["NAMES", "evaluate_pair", "pair_rule"]

NAMES = {"probs": ("p", "q"), "logits": ("p_logits", "q_logits")}


def evaluate_pair(
    kernel: Kernel,
    x: Array,
    y: Array,
    alpha: Any,
    *,
    door: Door,
    axis: Any,
    where: Any,
    base: Any = None,
    keepdims: bool,
    **family: Any,
) -> Array:
    """Return what the kernel, of a family if it knows several, gives of each pair of distributions."""
    problem, _ = prepare_pair(x, y, alpha, names=NAMES[door], axis=axis, where=where, base=base, keepdims=keepdims)
    run = dispatch(kernel, problem.xp)
    values = run(x, y, problem.order, door=door, where=where, axis=problem.axis, xp=problem.xp, **family)
    return problem.rows(in_base(values, problem))


def pair_rule(with_gradient: Kernel, with_slope: Kernel, door: Door, **family: Any) -> Rule:
    """Return the rule of a function of two distributions, from the kernels of its derivatives; a family has no base."""

    def value_and_gradient(
        wrt: int | str,
        cotangent: Any,
        x: Array,
        y: Array,
        /,
        alpha: Any,
        *,
        axis: Any = -1,
        where: Any = None,
        base: Any = None,
        keepdims: bool = False,
    ) -> tuple[Array, Array]:
        if base is not None and family:
            msg = "got an unexpected keyword argument 'base'"
            raise TypeError(msg)
        problem, _ = prepare_pair(x, y, alpha, names=NAMES[door], axis=axis, where=where, base=base, keepdims=keepdims)
        xp, order = problem.xp, problem.order
        options: dict[str, Any] = {"door": door, "where": where, "axis": problem.axis, "xp": xp} | family
        return differentiate(
            problem,
            wrt,
            cotangent,
            x,
            y,
            along_alpha=lambda: dispatch(with_slope, xp)(x, y, order, **options),
            along_entries=lambda scale, x, y: dispatch(with_gradient, xp)(
                x, y, order, wrt=int(wrt), scale=scale, **options
            ),
            shape=getattr(alpha, "shape", ()) if wrt == "alpha" else (x, y)[int(wrt)].shape,
        )

    return Rule((0, 1, "alpha"), value_and_gradient)
