"""Shapes and dtypes of all values of a graph, found by running it."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import flowtorch as torch

from ..interpreter import Interpreter
from ..node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]

_FORMATS = ("contiguous_format", "channels_last", "channels_last_3d")


class TensorMetadata(NamedTuple):
    """What is known of a tensor."""

    shape: Any
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: Any
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(result: Any, include_contiguity: bool = True) -> TensorMetadata:
    strided = result.layout is torch.strided
    fitting = None
    if strided and include_contiguity:
        formats = [getattr(torch, name) for name in _FORMATS]
        fitting = next((f for f in formats if _is_in(result, f)), None)
    stride = result.stride() if strided else ()
    return TensorMetadata(result.shape, result.dtype, result.requires_grad, stride, fitting, False, {})


def _is_in(tensor: Any, memory_format: Any) -> bool:
    try:
        return tensor.is_contiguous(memory_format=memory_format)
    except RuntimeError:  # a format for another number of dimensions
        return False


class ShapeProp(Interpreter):
    """Runs a graph and notes in each node's ``meta``: ``tensor_meta`` of the tensors it makes, and its ``type``."""

    def __init__(self, gm: Any, fake_mode: Any = None) -> None:
        super().__init__(gm)
        self.fake_mode = fake_mode

    def run_node(self, n: Node) -> Any:
        """The node's value, noted."""
        try:
            with self.fake_mode or contextlib.nullcontext():
                result = super().run_node(n)
        except Exception as error:
            raise RuntimeError(f"ShapeProp error for: node={n.format_node()} with meta={n.meta}") from error
        tensors = []

        def note(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            tensors.append(value)
            return _extract_tensor_metadata(value)

        known = map_aggregate(result, note)
        if tensors:
            n.meta["tensor_meta"] = known
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run the graph on these arguments."""
        return super().run(*args)
