"""Names that libraries take from ``torch._dynamo``: there is no tracer, so they leave functions as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from flowtorch._dynamo import config, eval_frame, external_utils
from flowtorch._dynamo.eval_frame import OptimizedModule
from flowtorch.compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    list_backends,
    reset,
    set_stance,
    substitute_in_graph,
)

__all__ = [
    "OptimizedModule", "allow_in_graph", "assume_constant_result", "config", "disable", "disallow_in_graph",
    "eval_frame", "external_utils", "forbid_in_graph", "graph_break", "is_compiling", "list_backends", "mark_dynamic",
    "mark_static", "mark_static_address", "maybe_mark_dynamic", "nonstrict_trace", "optimize", "optimize_assert",
    "patch_dynamo_config", "reset", "run", "set_stance", "skip_frame", "substitute_in_graph",
]  # fmt: skip


def optimize(*args: Any, **kwargs: Any) -> Callable:
    """A decorator that returns the function as it is."""
    return lambda fn: fn


optimize_assert = optimize


def run(fn: Any = None) -> Any:
    """Return ``fn`` as it is."""
    return fn


disallow_in_graph = forbid_in_graph = nonstrict_trace = run


def graph_break(msg: str = "") -> None:
    """There is no graph to break."""


def skip_frame(msg: str = "") -> None:
    """There is no frame to skip."""


def mark_dynamic(t: Any, index: Any, *args: Any, **kwargs: Any) -> None:
    """A note for a tracer: changes nothing."""


def mark_static(t: Any, index: Any = None) -> Any:
    """A note for a tracer: changes nothing; returns a class that was decorated."""
    return t if isinstance(t, type) else None


def mark_static_address(t: Any, guard: bool = True) -> None:
    """A note for a tracer: changes nothing."""


maybe_mark_dynamic = mark_dynamic


def patch_dynamo_config(*args: Any, **kwargs: Any) -> contextlib.ContextDecorator:
    """Settings for a while, as a context or decorator."""
    return config.patch(*args, **kwargs)


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
