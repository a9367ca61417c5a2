"""``Tensor.grad_dtype``: leaves whose gradient has another dtype than they have, or any."""

from __future__ import annotations

import weakref
from typing import Any

from flowtorch.array.tensortype import TensorType, tensor_type
from flowtorch.dtypes import dtype
from flowtorch.tensor import Tensor

# By id of the leaf: a reference that removes the entry, and the dtype (None: whatever comes). Empty in most programs,
# which is all that the engine asks.
gradient_dtypes: dict[int, tuple[weakref.ref, dtype | None]] = {}


def gradient_dtype(self: Tensor) -> dtype | None:
    """The dtype that gradients of this leaf are converted to: its own unless set; None leaves them as they come."""
    if self._node is not None:
        raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
    found = gradient_dtypes.get(id(self))
    return self._type.dtype if found is None else found[1]


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
    key = id(self)
    gradient_dtypes.pop(key, None)
    if value is not self._type.dtype:
        gradient_dtypes[key] = (weakref.ref(self, lambda _: gradient_dtypes.pop(key, None)), value)


def gradient_type(leaf: Tensor, gradient: Any) -> TensorType:
    """The type that ``leaf`` wants its gradient in."""
    found = gradient_dtypes.get(id(leaf))
    if found is None:
        return leaf._type
    wanted: dtype = found[1] or getattr(gradient, "dtype", leaf._type.dtype)
    return tensor_type(wanted, leaf._type.device)
