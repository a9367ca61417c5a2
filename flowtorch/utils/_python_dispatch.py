"""Questions about tensor subclasses, under the names that other libraries import."""

from __future__ import annotations

from typing import Any

from flowtorch.tensor import Tensor

__all__ = ["is_traceable_wrapper_subclass", "is_traceable_wrapper_subclass_type"]


def is_traceable_wrapper_subclass_type(t: Any) -> bool:
    """Whether a class wraps other tensors and can be taken apart: it has the two flattening methods."""
    return (
        isinstance(t, type)
        and issubclass(t, Tensor)
        and t is not Tensor
        and hasattr(t, "__tensor_flatten__")
        and hasattr(t, "__tensor_unflatten__")
    )


def is_traceable_wrapper_subclass(t: object) -> bool:
    """Whether a tensor wraps others and can be taken apart."""
    return isinstance(t, Tensor) and is_traceable_wrapper_subclass_type(type(t))
