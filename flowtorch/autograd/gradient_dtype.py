"""``Tensor.grad_dtype``: leaves whose gradient has another dtype than they have, or any."""

from __future__ import annotations

from typing import Any

from flowtorch.array.tensortype import TensorType, tensor_type
from flowtorch.dtypes import dtype
from flowtorch.tensor import Tensor

# Where a leaf keeps it, which the engine's C passes look for too.
KEY = "_gradient_dtype"
# Not empty once a leaf has one: all that the engine asks in most programs.
in_use: list[bool] = []


def gradient_dtype(self: Tensor) -> dtype | None:
    """The dtype that gradients of this leaf are converted to: its own unless set; None leaves them as they come."""
    if self._node is not None:
        raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
    return self.__dict__.get(KEY, self._type.dtype)


def set_gradient_dtype(self: Tensor, value: dtype | None) -> None:
    """Have gradients of this leaf converted to a dtype, or by None left as they come."""
    if value is not None and not isinstance(value, dtype):
        raise RuntimeError(f"grad_dtype must be a torch.dtype or None, but got {type(value).__name__}")
    if self._node is not None:
        raise RuntimeError("grad_dtype can only be set on leaf tensors.")
    grad = self._grad
    if grad is not None and value is not None and grad.dtype is not value:
        raise RuntimeError(
            f"Cannot set grad_dtype to '{value.label}' because there is already a gradient with dtype "
            f"'{grad.dtype.label}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure the "
            "new grad_dtype matches the existing gradient's dtype."
        )
    self.__dict__.pop(KEY, None)
    if value is not self._type.dtype:
        self.__dict__[KEY] = value
        in_use[:] = [True]


def gradient_type(leaf: Tensor, gradient: Any) -> TensorType:
    """The type that ``leaf`` wants its gradient in."""
    wanted = leaf.__dict__.get(KEY, leaf._type.dtype)
    if wanted is leaf._type.dtype:
        return leaf._type
    return tensor_type(wanted or getattr(gradient, "dtype", leaf._type.dtype), leaf._type.device)
