"""From checked arguments through the dispatch to a kernel and back: what the measures of one distribution share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._arrays import Problem, check_cotangent, check_real, floating, prepare, rectangular
from ._dispatch import dispatch
from ._kernels.dtypes import cast
from ._kernels.entropy import entropy, entropy_and_alpha_gradient, entropy_and_gradient, entropy_hvp
from ._kernels.guards import scaled
from ._kernels.measures import TSALLIS, Measure
from ._kernels.state import Door
from ._rules import Rule
from ._shapes import put_back, sum_to_shape, with_axes

Array = Any

__all__ = ["cotangent_rows", "differentiate", "evaluate", "finished", "in_base", "rule_for"]


def evaluate(
    x: Array,
    alpha: Any,
    *,
    door: Door,
    measure: Measure,
    axis: Any,
    where: Any,
    keepdims: bool,
    base: Any = None,
) -> Array:
    """Return the measure of each distribution."""
    tail = measure is TSALLIS
    problem = prepare(x, alpha, name=door, axis=axis, where=where, base=base, keepdims=keepdims, tail=tail)
    xp = problem.xp
    kernel = dispatch(entropy, xp)
    values = kernel(x, problem.order, door=door, measure=measure, where=where, axis=problem.axis, xp=xp)
    return problem.rows(in_base(values, problem))


def in_base(values: Array, problem: Problem) -> Array:
    """Return values in nats in the base asked for."""
    return values if problem.log_base == 1 else values / problem.log_base


def cotangent_rows(cotangent: Any, problem: Problem) -> Any:
    """Return a cotangent in the shape of the kernels' rows, in their dtype."""
    cotangent = check_cotangent(cotangent, problem, problem.shape)
    if cotangent is None or isinstance(cotangent, float):
        return cotangent
    cotangent = cast(cotangent, problem.sums, problem.xp)
    return cotangent if problem.keepdims else put_back(cotangent, problem.axis, problem.xp)


def differentiate(
    problem: Problem,
    wrt: int | str,
    cotangent: Any,
    *arrays: Array,
    along_alpha: Callable[[], tuple[Array, Array]],
    along_entries: Callable[..., tuple[Array, Array]],
    shape: Any,
) -> tuple[Array, Array]:
    """Return the value and its derivative, as the caller asked for them, from kernels that know no base.

    ``along_entries`` takes the scale of its gradient, None for 1, and the arrays. ``shape`` is that of what a product
    with a cotangent belongs to.
    """
    scale = cotangent_rows(cotangent, problem)
    if wrt == "alpha":
        value, gradient = along_alpha()
        gradient = in_base(gradient, problem)
        gradient = scaled(gradient, scale, problem.xp)
        gradient = problem.rows(gradient) if scale is None else problem.pulled(gradient, shape)
    else:
        if problem.log_base != 1:
            scale = (1 if scale is None else scale) / problem.log_base
        if cotangent is None:
            value, gradient = along_entries(scale, *arrays)
        else:
            value, gradient = along_entries(scale, *problem.summable(*arrays))
            gradient = problem.summed(gradient, shape)
    return problem.rows(in_base(value, problem)), gradient


def finished(
    problem: Problem, value: Array, gradient: Array, cotangent: Any, shape: Any, trailing: int
) -> tuple[Array, Array]:
    """Return a value, and its derivative with so many axes of an argument's own, as the caller asked for them."""
    rows = cotangent_rows(cotangent, problem)
    if rows is not None:
        rows = rows if isinstance(rows, (int, float)) else rows[(..., *(None,) * trailing)]
        gradient = scaled(gradient, rows, problem.xp)
        gradient = sum_to_shape(gradient, tuple(shape), problem.xp)
    return problem.rows(in_base(value, problem)), problem.rows(in_base(gradient, problem))


def rule_for(door: Door, measure: Measure, *, has_base: bool = False) -> Rule:
    """Return the rule of the public function of a measure behind a door, with or without the parameter ``base``."""
    tail = measure is TSALLIS

    def check_base(base: Any) -> None:
        if base is not None and not has_base:
            msg = "got an unexpected keyword argument 'base'"
            raise TypeError(msg)

    def value_and_gradient(
        wrt: int | str,
        cotangent: Any,
        x: Array,
        /,
        alpha: Any,
        *,
        axis: Any = -1,
        where: Any = None,
        keepdims: bool = False,
        base: Any = None,
    ) -> tuple[Array, Array]:
        check_base(base)
        problem = prepare(x, alpha, name=door, axis=axis, where=where, base=base, keepdims=keepdims, tail=tail)
        if wrt == "alpha":
            value, gradient = _along_alpha(problem, door, measure, cotangent, getattr(alpha, "shape", ()))
        else:
            value, gradient = _along_entries(problem, door, measure, cotangent)
        return problem.rows(in_base(value, problem)), gradient

    def product(
        vector: Any,
        x: Array,
        /,
        alpha: Any,
        *,
        axis: Any = -1,
        where: Any = None,
        keepdims: bool = False,
        base: Any = None,
    ) -> Array:
        check_base(base)
        problem = prepare(x, alpha, name=door, axis=axis, where=where, base=base, keepdims=keepdims, tail=tail)
        xp = problem.xp
        check_real(vector, xp, "vector", door, tuple(x.shape), f"`{door}`")
        floating(vector, "vector")
        rectangular(x, door, problem.axis)
        if getattr(x, "is_nested", False) and not vector.is_nested:
            msg = f"`vector` must be a nested tensor like `{door}`: pass 0 * {door} + vector"
            raise TypeError(msg)
        vector = with_axes(vector, x.ndim)
        kernel = dispatch(entropy_hvp, xp)
        scale = None if problem.log_base == 1 else 1 / problem.log_base
        return kernel(x, vector, problem.order, measure=measure, where=where, axis=problem.axis, xp=xp, scale=scale)

    return Rule((0, "alpha"), value_and_gradient, product if door == "logits" else None)


def _along_entries(problem: Problem, door: Door, measure: Measure, cotangent: Any) -> tuple[Array, Array]:
    x, xp = problem.x, problem.xp
    scale = cotangent_rows(cotangent, problem)
    if problem.log_base != 1:
        scale = (1 if scale is None else scale) / problem.log_base
    if cotangent is not None:
        (x,) = problem.summable(x)
    kernel = dispatch(entropy_and_gradient, xp)
    value, gradient = kernel(
        x, problem.order, door=door, measure=measure, where=problem.where, axis=problem.axis, xp=xp, scale=scale
    )
    return value, gradient if cotangent is None else problem.summed(gradient, x.shape)


def _along_alpha(problem: Problem, door: Door, measure: Measure, cotangent: Any, shape: Any) -> tuple[Array, Array]:
    x, xp = problem.x, problem.xp
    kernel = dispatch(entropy_and_alpha_gradient, xp)
    value, gradient = kernel(
        x, problem.order, door=door, measure=measure, where=problem.where, axis=problem.axis, xp=xp
    )
    gradient = in_base(gradient, problem)
    if cotangent is None:
        return value, problem.rows(gradient)
    return value, problem.pulled(scaled(gradient, cotangent_rows(cotangent, problem), xp), shape)
