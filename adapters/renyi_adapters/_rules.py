"""The array-API code whose own derivatives stand in for those of torch and JAX: they lose no digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from renyi_core._kernels import cross_entropy as cross
from renyi_core._kernels import divergence as renyi
from renyi_core._kernels import information
from renyi_core._kernels import power_divergence as power
from renyi_core._kernels.state import Order

Array = Any

__all__ = ["CROSS_ENTROPY", "DIVERGENCE", "INFORMATION", "POWER", "Kernels"]


class Kernels(NamedTuple):
    """A function of two arrays, with its gradient along one of them, and with its derivative along α."""

    value: Callable[..., Any]
    with_gradient: Callable[..., Any]
    with_slope: Callable[..., Any]


def _information(joint: Array, _: None, order: Order, *, family: Any, xp: Any, **__: Any) -> Array:
    return information.mutual_information(joint, order, kind=family, xp=xp)


def _information_and_gradient(
    joint: Array, _: None, order: Order, *, family: Any, xp: Any, scale: Any = None, **__: Any
) -> tuple[Array, Array]:
    return information.mutual_information_and_gradient(joint, order, kind=family, scale=scale, xp=xp)


def _information_and_alpha_gradient(
    joint: Array, _: None, order: Order, *, family: Any, xp: Any, **__: Any
) -> tuple[Array, Array]:
    return information.mutual_information_and_alpha_gradient(joint, order, kind=family, xp=xp)


DIVERGENCE = Kernels(renyi.divergence, renyi.divergence_and_gradient, renyi.divergence_and_alpha_gradient)
CROSS_ENTROPY = Kernels(cross.cross_entropy, cross.cross_entropy_and_gradient, cross.cross_entropy_and_alpha_gradient)
POWER = Kernels(power.power_divergence, power.power_divergence_and_gradient, power.power_divergence_and_alpha_gradient)
INFORMATION = Kernels(_information, _information_and_gradient, _information_and_alpha_gradient)
"""Of one array, a joint distribution, and None."""
