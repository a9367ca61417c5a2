"""``Variable``, what made tensors that record before tensors did so themselves."""

from __future__ import annotations

import warnings
from typing import Any

from flowtorch.tensor import Tensor

__all__ = ["Variable"]


class _VariableMeta(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_VariableMeta):
    """A tensor's data as a new leaf: ``Variable(torch.ones(2), requires_grad=True)``; every tensor is an instance."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool = False, *, name: Any = None) -> Any:
        """A tensor that shares the memory of ``data``, and none of its history."""
        if volatile:
            message = "volatile was removed and now has no effect. Use `with torch.no_grad():` instead."
            warnings.warn(message, stacklevel=2)
        if data is None:
            return Tensor().requires_grad_(requires_grad)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        leaf = data.detach()
        if requires_grad and leaf.dtype.rank < 2:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return leaf.requires_grad_(requires_grad)
