"""Recorded sequences of kernels (CUDA graphs): not supported, and what would make one says so."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "make_graphed_callables"]


def _none(name: str) -> NoReturn:
    raise RuntimeError(f"torch.cuda.{name}: flowtorch does not record CUDA graphs. Call the function itself.")


class CUDAGraph:
    """The type of recorded graphs, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("CUDAGraph")


class graph:
    """A context that records: not supported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("graph")


def graph_pool_handle() -> NoReturn:
    """Memory for graphs: not supported."""
    _none("graph_pool_handle")


def make_graphed_callables(*args: Any, **kwargs: Any) -> NoReturn:
    """Functions that replay a graph: not supported."""
    _none("make_graphed_callables")
