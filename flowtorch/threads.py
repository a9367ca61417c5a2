"""How many threads the CPU kernels use: those of numpy's BLAS and of the C kernels, and of work in blocks."""
from __future__ import annotations

import os

from flowtorch.array import blas

_asked: list[int] = []
_interop = [os.cpu_count() or 1]


def get_num_threads() -> int:
    """The number of threads of one operation."""
    return (blas.get_threads() or (_asked[-1] if _asked else 0) or int(os.environ.get("OMP_NUM_THREADS", 0))
            or os.cpu_count() or 1)


def set_num_threads(num: int, /) -> None:
    """Set the number of threads of one operation."""
    if isinstance(num, bool) or not isinstance(num, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    _asked[:] = [num]
    blas.set_threads(num)
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
