"""The order of dimensions in which results lie in memory, where numpy's choice is another than PyTorch's."""
from __future__ import annotations

from typing import Any

import numpy as np


def in_order(result: np.ndarray, *operands: Any) -> np.ndarray:
    """``result`` of an elementwise computation, laid out as PyTorch lays it out for these operands (None: absent)."""
    for a in operands:
        if a is not None and not a.flags.c_contiguous:
            break
    else:
        if result.flags.c_contiguous:
            return result
    from flowtorch.codegen.planner import output_strides

    shape = result.shape
    steps = []
    for a in operands:
        if a is not None and a.ndim:
            full = (0,) * (len(shape) - a.ndim)
            steps.append((*full, *[0 if n == 1 != m else s // a.itemsize
                                   for n, m, s in zip(a.shape, shape[len(full):], a.strides, strict=True)]))
    if not steps:
        return result
    wanted = tuple([s * result.itemsize for s in output_strides(shape, tuple(steps))])
    if all(n < 2 or s == w for n, s, w in zip(shape, result.strides, wanted, strict=True)):
        return result
    return copied(result, wanted)


def copied(array: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """A copy of ``array`` with the given (dense) strides."""
    order = sorted(range(array.ndim), key=lambda d: -strides[d])
    back = sorted(range(array.ndim), key=order.__getitem__)
    return np.ascontiguousarray(array.transpose(order)).transpose(back)


def copy_of(array: np.ndarray) -> np.ndarray:
    """A copy in the same order of dimensions, without the overlap of expanded memory."""
    return array.copy(order="K") if 0 not in array.strides else np.array(array, order="C")


def with_gaps(array: np.ndarray) -> np.ndarray:
    """A copy with the strides of ``array``, gaps between the elements included; contiguous if elements overlap."""
    if array.flags.c_contiguous or 0 in array.strides:
        return np.array(array, order="C")
    span = 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) // array.itemsize
    copy = np.lib.stride_tricks.as_strided(np.zeros(max(span, 0), array.dtype), array.shape, array.strides)
    copy[...] = array
    return copy


def in_rows(array: np.ndarray) -> np.ndarray:
    """``array``, or a contiguous copy of it: for kernels whose results never keep the order of their inputs."""
    return array if array.ndim < 2 or array.flags.c_contiguous else np.ascontiguousarray(array)
