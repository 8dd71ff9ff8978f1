"""The types that public signatures give users; inside, arrays of any library are Any."""

from __future__ import annotations

from types import EllipsisType
from typing import Any, Protocol, TypeAlias, TypeVar

__all__ = ["Alpha", "ArrayOf", "ArrayT", "Gradient", "HessianProduct", "ValueAndGradient"]

ArrayT = TypeVar("ArrayT")
_ArrayT_co = TypeVar("_ArrayT_co", covariant=True)


class ArrayOf(Protocol[_ArrayT_co]):
    """An array, by the type of ``x[...]``: its library's array type, and dtype, without what is said of its shape.

    A function of ``ArrayOf[T]`` that returns ``T`` gives a tensor for a tensor, and for a NumPy array whose type says
    that it has two axes, one that says nothing of its axes. Lists and numbers are not arrays.
    """

    def __getitem__(self, key: EllipsisType, /) -> _ArrayT_co:
        """Return all entries."""


Alpha: TypeAlias = float | ArrayOf[Any]


class ValueAndGradient(Protocol):
    """What :func:`value_and_grad` returns: the arguments of ``f``, and ``cotangent=``."""

    def __call__(
        self, x: ArrayOf[ArrayT], /, *args: Any, cotangent: float | ArrayOf[Any] | None = None, **kwargs: Any
    ) -> tuple[ArrayT, ArrayT]:
        """Return the value and the gradient."""


class Gradient(Protocol):
    """What :func:`grad` returns: the arguments of ``f``, and ``cotangent=``."""

    def __call__(
        self, x: ArrayOf[ArrayT], /, *args: Any, cotangent: float | ArrayOf[Any] | None = None, **kwargs: Any
    ) -> ArrayT:
        """Return the gradient."""


class HessianProduct(Protocol):
    """What :func:`hvp` returns: the arguments of ``f``, and ``vector=``."""

    def __call__(self, x: ArrayOf[ArrayT], /, *args: Any, vector: ArrayOf[Any], **kwargs: Any) -> ArrayT:
        """Return the Hessian times the vector."""
