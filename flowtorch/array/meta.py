"""Arrays of the meta device: a shape, strides and a dtype over memory that reads as zeros and is never filled."""
from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np

from flowtorch.array.place import host_strided

_SMALL = 1 << 26            # where address space is limited
_region: list[np.ndarray] = []


def _reserve() -> np.ndarray:
    """Address space that takes no memory, as large as the system grants."""
    size = 1 << 44
    try:
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            size = _SMALL
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        while size >= _SMALL:
            try:
                return np.frombuffer(mmap.mmap(-1, size, flags, mmap.PROT_READ), np.uint8)
            except (OSError, ValueError, OverflowError):
                size >>= 2
    except (ImportError, AttributeError):
        pass  # no mmap, or no anonymous one, on this system
    return np.frombuffer(bytes(1 << 16), np.uint8)


def contiguous_strides(shape: tuple, width: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous array; a size of 0 counts as 1."""
    strides = []
    step = width
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def meta_array(shape: Any, dtype: Any, strides: Any = None) -> np.ndarray:
    """An array of this shape and layout that may be looked at, but holds nothing and refuses to be written."""
    shape, dtype = tuple(shape), np.dtype(dtype)
    if strides is None:
        strides = contiguous_strides(shape, dtype.itemsize)
    if not _region:
        _region.append(_reserve())
    reach = dtype.itemsize + sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if n)
    if reach > _region[0].size:
        strides = (0,) * len(shape)                # too large to have an address: its elements share one
        reach = dtype.itemsize
    return host_strided(_region[0][:dtype.itemsize].view(dtype), shape, strides, writeable=False)


def like(a: np.ndarray) -> np.ndarray:
    """A meta array with the shape, strides and dtype of ``a``."""
    return meta_array(a.shape, a.dtype, a.strides if a.size else None)


def ordered(shape: tuple, dtype: Any, source: np.ndarray | None) -> np.ndarray:
    """A dense meta array whose dimensions lie in memory in the order of those of ``source``."""
    dtype = np.dtype(dtype)
    if source is None or source.shape != shape or source.flags.c_contiguous or not source.size:
        return meta_array(shape, dtype)
    order = sorted(range(len(shape)), key=lambda d: (-abs(source.strides[d]) if shape[d] > 1 else -math.inf, d))
    if any(source.strides[d] == 0 and shape[d] > 1 for d in order):
        order = list(range(len(shape)))
    strides = [0] * len(shape)
    step = dtype.itemsize
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return meta_array(shape, dtype, tuple(strides))
