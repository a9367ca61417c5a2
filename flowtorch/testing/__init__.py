"""Comparing results: ``assert_close``, tensors to compare with, and the registry of sample calls of every function."""

from __future__ import annotations

from typing import Any

_WHERE = {"assert_close": "comparison", "assert_allclose": "comparison", "make_tensor": "creation"}
__all__ = ["assert_allclose", "assert_close", "make_tensor"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "difftest":
        return import_module(f"{__name__}.difftest")
    if name in _WHERE:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        return value
    raise AttributeError(f"module 'torch.testing' has no attribute '{name}'")
