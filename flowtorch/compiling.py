"""``torch.compile``: the callable as it is. Nothing is traced or fused yet; the result is what eager execution
gives."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile(
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
) -> Any:
    """Return ``model`` (or a decorator), to be called as it is."""
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return lambda f: f
    return model
