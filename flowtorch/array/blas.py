"""numpy's own OpenBLAS, called for what numpy does not offer: its threads, and products added to a result."""

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


# ---------------------------------------------------------------- products

_ROWS, _AS_IT_IS, _TURNED = 101, 111, 112  # of CBLAS
_SCALARS = {"f": ctypes.c_float, "d": ctypes.c_double}


@functools.cache
def _gemm(char: str) -> Any:
    """CBLAS's product of matrices of this dtype; None where it cannot be called."""
    if char not in _SCALARS or library() is None:
        return None
    letter = {"f": "s", "d": "d"}[char]
    for prefix, ending in (("scipy_", "64_"), ("", "64_"), ("scipy_", ""), ("", "")):
        function = getattr(library(), f"{prefix}cblas_{letter}gemm{ending}", None)
        if function is not None:
            size, scalar, address = ctypes.c_int64 if ending else ctypes.c_int, _SCALARS[char], ctypes.c_void_p
            function.argtypes = [*[ctypes.c_int] * 3, size, size, size, scalar, address, size, address, size, scalar,
                                 address, size]
            function.restype = None
            return function
    return None


def _order(matrix: np.ndarray) -> tuple[int, int]:
    """(whether it is turned, elements from one row to the next) of a matrix for CBLAS; the latter is 0 if it has none.
    """
    (rows, columns), (down, right) = matrix.shape, matrix.strides
    size = matrix.itemsize
    if right == size and (down >= columns * size or rows == 1) and not down % size:
        return _AS_IT_IS, max(down // size, columns)
    if down == size and (right >= rows * size or columns == 1) and not right % size:
        return _TURNED, max(right // size, rows)
    return _AS_IT_IS, 0


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray, keep: float = 0.0, scale: float = 1.0) -> None:
    """``out = scale * a @ b + keep * out`` of matrices, in one call of BLAS where they are real and lie as it wants."""
    char = out.dtype.char
    gemm = _gemm(char)
    if gemm is not None and a.dtype.char == b.dtype.char == char and a.size and b.size:
        (first, lda), (second, ldb), (order, ldc) = _order(a), _order(b), _order(out)
        if lda and ldb and ldc and order == _AS_IT_IS:
            (m, k), n = a.shape, b.shape[1]
            gemm(_ROWS, first, second, m, n, k, scale, a.ctypes.data, lda, b.ctypes.data, ldb, keep,
                 out.ctypes.data, ldc)
            return
    product = np.matmul(a, b)
    if scale != 1:
        product *= scale
    if keep:
        product += out if keep == 1 else keep * out
    out[...] = product

