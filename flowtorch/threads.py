"""How many threads the CPU kernels use: those of numpy's BLAS and of the C kernels."""
from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np


@functools.cache
def _blas() -> Any:
    """numpy's own OpenBLAS as a ctypes library; None where numpy uses another BLAS."""
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue  # not a library for this machine
    return None


def _function(name: str) -> Any:
    library = _blas()
    for spelling in (f"scipy_openblas_{name}64_", f"openblas_{name}64_", f"openblas_{name}"):
        if library is not None and hasattr(library, spelling):
            return getattr(library, spelling)
    return None


_asked: list[int] = []
_interop = [os.cpu_count() or 1]


def get_num_threads() -> int:
    """The number of threads of one operation."""
    function = _function("get_num_threads")
    if function is not None:
        return int(function())
    return _asked[-1] if _asked else int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1


def set_num_threads(num: int, /) -> None:
    """Set the number of threads of one operation."""
    if isinstance(num, bool) or not isinstance(num, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _asked[:] = [num]
    function = _function("set_num_threads")
    if function is not None:
        function(num)
    from flowtorch import native

    if native.module is not None:
        native.module.threads(num)


def get_num_interop_threads() -> int:
    """The number of operations that may run at once; they run one after another here."""
    return _interop[0]


def set_num_interop_threads(num: int, /) -> None:
    """Accepted for PyTorch's sake: operations run one after another."""
    if num <= 0:
        raise RuntimeError("Expected positive number of threads")
    _interop[0] = num


def init_num_threads() -> None:
    """Accepted for PyTorch's sake: threads need no preparation."""
