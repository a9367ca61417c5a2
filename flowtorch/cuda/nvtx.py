"""Marks for NVIDIA's profiler (``torch.cuda.nvtx``): there is no library to give them to, and calls say so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


def _none(*args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: marks go nowhere."""
    raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")


mark = range_push = range_pop = range_start = range_end = _none


@contextlib.contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A context that is marked."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
