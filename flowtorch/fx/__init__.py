"""Names of ``torch.fx`` that code which is not traced itself needs: marks for the tracer, and types to ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from flowtorch.nn.module import Module

__all__ = ["Graph", "GraphModule", "Node", "Proxy", "Tracer", "has_side_effect", "wrap"]


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """Mark a function as one that is not to be traced into: returns it as it is."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name


def has_side_effect(fn: Callable) -> Callable:
    """Mark a function as one whose calls must be kept: returns it as it is."""
    return fn


def _none(name: str) -> NoReturn:
    raise NotImplementedError(
        f"torch.fx.{name}: flowtorch records no graphs. Forward hooks, torch.overrides.TorchFunctionMode and "
        "torch.func see or change calls as they run."
    )


class Proxy:
    """The type of values while they are traced, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("Proxy")


class Node:
    """The type of a graph's calls, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("Node")


class Graph:
    """The type of recorded graphs, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("Graph")


class GraphModule(Module):
    """The type of modules made of graphs, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none("GraphModule")


class Tracer:
    """The type of what records graphs: classes may derive from it, but it does not trace."""

    def trace(self, root: Any, concrete_args: Any = None) -> NoReturn:
        """Record a graph: not supported."""
        _none("Tracer.trace")


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
