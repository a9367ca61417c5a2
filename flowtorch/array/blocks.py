"""Elementwise kernels of several passes, block by block: what they write on the way never leaves the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

BLOCK = 8192  # elements: a few rows of temporaries fit in the second-level cache, in double precision too
CACHE = 1 << 20  # bytes of what one block of a function reads, writes and keeps: about a second-level cache
_GRAIN = 16  # blocks that are worth another thread
_SINGLE = np.dtype(np.float32)


def fill(kernel: Callable, *inputs: np.ndarray, rooms: Sequence[Any] = ()) -> np.ndarray:
    """A new array like the first input, written by ``kernel(*inputs, out, *rooms)``.

    ``rooms`` are the dtypes (or pairs of a count of rows and a dtype) of what the kernel
    needs beside; it gets them uninitialised.
    """
    if len(inputs) > 1 and any(a.shape != inputs[0].shape for a in inputs):
        inputs = np.broadcast_arrays(*inputs)
    first = inputs[0]
    out = np.empty_like(first, order="C" if 0 in first.strides else "K")
    if first.size <= BLOCK or not (out.flags.c_contiguous or _alike(inputs, out)):
        kernel(*inputs, out, *[_room(r, out.shape) for r in rooms])
        return out
    flat = [_in_rows(a) if out.flags.c_contiguous else a.ravel("K") for a in (*inputs, out)]
    block = _length(flat, rooms)

    def some(first: int, last: int) -> None:
        space = [_room(r, (block,)) for r in rooms]
        for start in range(first * block, min(last * block, out.size), block):
            parts = [a[start : start + block] for a in flat]
            n = parts[0].size
            kernel(*parts, *(space if n == block else [s[..., :n] for s in space]))

    _spread(some, -(-out.size // block), max(_GRAIN * BLOCK // block, 1))
    return out


def _length(arrays: Sequence[np.ndarray], rooms: Sequence[Any]) -> int:
    """Elements of a block: as many as the cache holds, as every block costs a call of each of the kernel's ufuncs."""
    each = sum(a.itemsize for a in arrays)
    for room in rooms:
        count, dtype = room if isinstance(room, tuple) else (1, room)
        each += count * np.dtype(dtype).itemsize
    return max(CACHE // each // 1024, 1) * 1024


def by_rows(kernel: Callable, *inputs: np.ndarray, rooms: int = 0, results: list | None = None) -> np.ndarray:
    """A new array like the first input, written by ``kernel(*rows, out_rows, *rooms)`` some rows at a time.

    All inputs are contiguous and of one shape; a row lies along the last dimension. What the kernel returns is put into
    ``results``, in the order of the rows; several threads may run it at once.
    """
    n = inputs[0].shape[-1]
    out = np.empty(inputs[0].shape, inputs[0].dtype)
    matrices = [a.reshape(-1, n) for a in (*inputs, out)]
    step = max(_length(matrices, (out.dtype,) * rooms) // n, 1)
    length = len(matrices[0])
    results = [] if results is None else results
    results[:] = [None] * -(-length // step)

    def some(first: int, last: int) -> None:
        space = [np.empty((step, n), out.dtype) for _ in range(rooms)]
        with buffers_of_rows(n):
            for start in range(first * step, min(last * step, length), step):
                parts = [a[start : start + step] for a in matrices]
                count = len(parts[0])
                results[start // step] = kernel(*parts, *(space if count == step else [s[:count] for s in space]))

    _spread(some, len(results), max(_GRAIN * BLOCK // (step * n), 1))
    return out


@contextmanager
def buffers_of_rows(n: int) -> Iterator[None]:
    """Inside the block numpy's ufuncs work row by row, ``n`` numbers long, where an operand is a column or one row.

    With its own buffers of 8192 numbers numpy would copy the operands of as many rows as fit into them, so as to make
    one call of its inner loop: that takes twice as long as a call for each row, unless rows are short.
    """
    before = np.setbufsize(min(n // 16 * 16, 8192) if n >= 256 else 1024)
    try:
        yield
    finally:
        np.setbufsize(before)


def _spread(some: Callable[[int, int], None], count: int, grain: int) -> None:
    if count < 2 * grain:
        some(0, count)
        return
    from flowtorch.array.spread import spread

    spread(some, count, grain)


def _alike(inputs: Sequence[np.ndarray], out: np.ndarray) -> bool:
    """Whether the elements of all lie without gaps, in the order of ``out``."""
    return all(a.strides == out.strides for a in inputs)


def _in_rows(array: np.ndarray) -> np.ndarray:
    """The elements in order, as one dimension. One number everywhere, as the gradient of a sum is, stays one number."""
    if array.size and not any(array.strides):
        return np.broadcast_to(array[(0,) * array.ndim], array.size)
    return array.reshape(-1)


def _room(what: Any, shape: tuple) -> np.ndarray:
    return np.empty((what[0], *shape), what[1]) if isinstance(what, tuple) else np.empty(shape, what)


def in_double(ufunc: Any) -> Callable:
    """``ufunc`` of one array; in float32 computed in double precision and rounded once, as numpy's own loops err more.
    """

    def kernel(input: np.ndarray) -> np.ndarray:
        if input.dtype is not _SINGLE:
            return ufunc(input)
        if input.size < 512 and input.flags.c_contiguous:
            return ufunc(input.astype(np.float64)).astype(_SINGLE)
        return fill(rounded, input)

    def rounded(part: np.ndarray, out: np.ndarray) -> None:
        ufunc(part, out, dtype=np.float64, casting="same_kind")

    return kernel
