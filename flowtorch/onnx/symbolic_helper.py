"""Marks of functions that would write operators as ONNX: they are kept as they are, and never called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["parse_args", "quantized_args"]


def parse_args(*arg_descriptors: str) -> Callable:
    """A decorator that returns the function as it is."""
    return lambda fn: fn


def quantized_args(*arg_q_descriptors: bool, **options: Any) -> Callable:
    """A decorator that returns the function as it is."""
    return lambda fn: fn


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
