"""Splitting the tensors in nested arguments over devices, and joining those in results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor
from . import comm

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """Return ``inputs`` once for each device, every tensor in it replaced by that device's piece along
    ``dim``."""
    if isinstance(inputs, Tensor):
        return comm.scatter(inputs, target_gpus, None, dim)
    if isinstance(inputs, dict) and inputs:
        pieces = (scatter(value, target_gpus, dim) for value in inputs.values())
        return [type(inputs)(zip(inputs, values, strict=True)) for values in zip(*pieces, strict=False)]
    if isinstance(inputs, (tuple, list)) and inputs:
        parts = list(zip(*(scatter(value, target_gpus, dim) for value in inputs), strict=False))
        if _is_namedtuple(inputs):
            return [type(inputs)(*part) for part in parts]
        return [list(part) for part in parts] if isinstance(inputs, list) else parts
    return [inputs for _ in target_gpus]


def scatter_kwargs(
    inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, target_gpus: Sequence[Any], dim: int = 0
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the positional and the keyword arguments for each device."""
    positional = list(scatter(inputs, target_gpus, dim)) if inputs else []
    keyword = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    count = max(len(positional), len(keyword))
    positional += [()] * (count - len(positional))
    keyword += [{} for _ in range(count - len(keyword))]
    return tuple(positional), tuple(keyword)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Return the results of several devices as one, their tensors joined along ``dim`` on
    ``target_device``."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return comm.gather(outputs, dim, target_device)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(first) != len(other) for other in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([out[key] for out in outputs], target_device, dim)) for key in first)
    joined = [gather(values, target_device, dim) for values in zip(*outputs, strict=True)]
    return type(first)(*joined) if _is_namedtuple(first) else type(first)(joined)
