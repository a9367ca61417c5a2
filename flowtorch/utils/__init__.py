"""Helpers around tensors and modules, each in the place where PyTorch has it."""

from __future__ import annotations

import importlib
from typing import Any

from .swap import swap_tensors as swap_tensors

_LAZY = {
    "_pytree",
    "_python_dispatch",
    "checkpoint",
    "data",
    "deterministic",
    "dlpack",
    "hooks",
    "serialization",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module 'torch.utils' has no attribute '{name}'")


def set_module(obj: Any, mod: Any) -> None:
    """Set the module that an object says it comes from."""
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod
