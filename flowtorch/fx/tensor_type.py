"""Types of tensors by their shapes, some dimensions of which may be unknown."""

from __future__ import annotations

from typing import Any

__all__ = ["Dyn", "TensorType", "is_consistent", "is_more_precise"]


class TensorType:
    """Tensors with these dimensions: ``TensorType((1, Dyn))`` or ``TensorType[1, Dyn]``."""

    def __init__(self, dim: Any) -> None:
        self.__origin__ = TensorType
        self.__args__ = dim

    @property
    def dims(self) -> Any:
        """The dimensions."""
        return self.__args__

    def __repr__(self) -> str:
        return f"TensorType[{self.dims}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorType) and list(self.dims) == list(other.dims)

    def __hash__(self) -> int:
        return hash(tuple(self.dims))

    @staticmethod
    def __class_getitem__(*args: Any) -> TensorType:
        given = args[0] if len(args) == 1 and isinstance(args[0], tuple) else args
        return TensorType(tuple(given))


class _DynType:
    """The type of ``Dyn``: anything."""

    __name__ = "_DynType"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _DynType)

    def __hash__(self) -> int:
        return hash(_DynType)

    def __repr__(self) -> str:
        return "Dyn"


Dyn = _DynType()


def _all_dims(t1: Any, t2: Any, test: Any) -> bool:
    if not (isinstance(t1, TensorType) and isinstance(t2, TensorType)):
        return False
    return len(t1.dims) == len(t2.dims) and all(map(test, t1.dims, t2.dims))


def is_consistent(t1: Any, t2: Any) -> bool:
    """Whether a value may be of both types."""
    return t1 == t2 or Dyn in (t1, t2) or _all_dims(t1, t2, is_consistent)


def is_more_precise(t1: Any, t2: Any) -> bool:
    """Whether every value of the first type is one of the second."""
    return t1 == t2 or t2 == Dyn or _all_dims(t1, t2, is_more_precise)
