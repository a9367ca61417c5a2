"""Names that checkpoints and other libraries look for in ``torch._utils``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import flowtorch as torch  # noqa: F401  (pickles name torch._utils.torch.channels_last)
from flowtorch.serialization.tensors import (
    _rebuild_meta_tensor_no_storage,
    _rebuild_parameter,
    _rebuild_parameter_with_state,
    _rebuild_sparse_tensor,
    _rebuild_tensor,
    _rebuild_tensor_v2,
    _rebuild_tensor_v3,
)

__all__ = [
    "ExceptionWrapper",
    "_flatten_dense_tensors",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_sparse_tensor",
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_unflatten_dense_tensors",
    "cpu_count",
]


class KeyErrorMessage(str):
    """A text that a KeyError shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """An exception and its traceback in a form that can be sent to another process or thread."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        exc_type, error, trace = sys.exc_info() if exc_info is None else exc_info
        self.exc_type: Any = exc_type
        self.exc_msg = "".join(traceback.format_exception(exc_type, error, trace))
        self.where = where

    def reraise(self) -> None:
        """Raise an exception of the same type that shows the original traceback in its message."""
        message: Any = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            message = KeyErrorMessage(message)
        try:
            if getattr(self.exc_type, "message", None):
                error = self.exc_type(message=message)
            else:
                error = self.exc_type(message)
        except Exception:
            # Exceptions with constructors of their own cannot be made from a text.
            error = RuntimeError(message)
        raise error from None


def cpu_count() -> int | None:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _element_size(dtype: Any) -> int:
    """The bytes of an element of a dtype."""
    return dtype.itemsize


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The index of a device given as an int, a string or a device."""
    from flowtorch import devices

    if isinstance(device, int):
        return device
    if device is None and optional:
        return 0
    resolved = devices.device(device) if isinstance(device, str) else device
    if not isinstance(resolved, devices.device):
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
    if resolved.type == "cpu":
        if allow_cpu:
            return -1
        raise ValueError(f"Expected a non cpu device, but got: {device}")
    if resolved.index is None and not optional:
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
    return resolved.index or 0


def _flatten_dense_tensors(tensors: Sequence[Any]) -> Any:
    """The elements of tensors of one dtype one after another, as a flat tensor."""
    import flowtorch

    return flowtorch.cat([tensor.contiguous().view(-1) for tensor in tensors])


def _unflatten_dense_tensors(flat: Any, tensors: Sequence[Any]) -> tuple:
    """Views of a flat tensor with the shapes of ``tensors``: undoes ``_flatten_dense_tensors``."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))


def _get_available_device_type() -> str | None:
    """The type of the accelerator that is there, or None."""
    from flowtorch import accelerator

    found = accelerator.current_accelerator(True)
    return None if found is None else found.type


def _get_device_module(device_type: str) -> Any:
    """The module of a device type: ``torch.cuda`` for "cuda"."""
    module = getattr(sys.modules["flowtorch"], device_type, None)
    if module is None:
        raise RuntimeError(
            f"Device '{device_type}' does not have a corresponding module registered as 'torch.{device_type}'."
        )
    return module
