"""Errors of the CUDA driver, of CuPy and of its memory pool as PyTorch raises them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flowtorch import cuda
from flowtorch.accelerator import AcceleratorError

_OUT_OF_MEMORY = 2
_KINDS = ("DriverError", "CUDARuntimeError", "CUDADriverError", "OutOfMemoryError", "AcceleratorError")


def translated(error: Exception, during: str = "") -> Exception:
    """The exception to raise for one of the driver or of CuPy: what went wrong, and ``during`` what.

    Memory that is not there is an OutOfMemoryError, all else an AcceleratorError with the driver's ``error_code``.
    """
    kind = type(error).__name__
    if kind not in _KINDS:
        return error
    code = getattr(error, "code", getattr(error, "status", getattr(error, "error_code", None)))
    text = str(error)
    if isinstance(error, cuda.OutOfMemoryError):
        return cuda.OutOfMemoryError(text + during)
    if kind == "OutOfMemoryError" or code == _OUT_OF_MEMORY:
        return cuda.OutOfMemoryError(f"CUDA out of memory. {_amounts(text)}{during}")
    if not text.startswith("CUDA error: "):  # CuPy puts the code's name in front
        text = f"CUDA error: {text.partition(': ')[2] or text}"
    made = AcceleratorError(text + during)
    made.error_code = code
    return made


def _amounts(said: str) -> str:
    """What was said, and how much memory there is, as far as it can be asked."""
    said += " "
    try:
        free, total = cuda.mem_get_info()
    except RuntimeError:  # a device in trouble answers nothing
        return said
    pool: Any = cuda._pool()
    if pool is not None:
        said += f"CuPy's pool holds {_size(pool.total_bytes())}, of which {_size(pool.used_bytes())} are in use. "
    return f"{said}GPU 0 has {_size(total)} in all, of which {_size(free)} are free."


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.2f} MiB"


@contextlib.contextmanager
def translating() -> Iterator[None]:
    """Raise what goes wrong inside as PyTorch does."""
    try:
        yield
    except Exception as error:
        found = translated(error)
        if found is error:
            raise
        raise found from None
