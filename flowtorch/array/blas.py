"""numpy's own OpenBLAS, for what numpy itself does not offer."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_found = 0  # threads that BLAS had before it was left with one; 0 while it has its own number


@functools.cache
def library() -> Any:
    """numpy's OpenBLAS as a ctypes library; None where numpy uses another BLAS."""
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue  # not a library for this machine
    return None


@functools.cache
def _function(name: str) -> Any:
    for spelling in (f"scipy_openblas_{name}64_", f"openblas_{name}64_", f"openblas_{name}"):
        if library() is not None and hasattr(library(), spelling):
            return getattr(library(), spelling)
    return None


def get_threads() -> int:
    """How many threads BLAS may use; 0 where nobody knows."""
    function = _function("get_num_threads")
    return _found or (0 if function is None else int(function()))


def set_threads(num: int) -> None:
    """Let BLAS use so many threads, from the end of ``one_thread`` on."""
    global _found
    if _found:
        _found = num
    else:
        _set(num)


def _set(num: int) -> None:
    function = _function("set_num_threads")
    if function is not None:
        function(num)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block BLAS works in the thread that calls it. One thread at a time may be in such a block."""
    global _found
    _found = get_threads()
    _set(1)
    try:
        yield
    finally:
        restore_threads()


def restore_threads() -> None:
    """End ``one_thread``, also in a process that was forked from inside such a block."""
    global _found
    if _found:
        _set(_found)
        _found = 0
