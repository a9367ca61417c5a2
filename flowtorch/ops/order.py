"""The order of dimensions in which results lie in memory, where numpy's choice is another than PyTorch's."""
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from flowtorch.array import copies
from flowtorch.array.memory_format import in_rows as in_rows
from flowtorch.array.place import as_strided


def in_order(result: np.ndarray, *operands: Any) -> np.ndarray:
    """``result`` of an elementwise computation, laid out as PyTorch lays it out for these operands (None: absent)."""
    for a in operands:
        if a is not None and not a.flags.c_contiguous:
            break
    else:
        if result.flags.c_contiguous:
            return result
    moves = _moves(result.shape, result.strides, result.itemsize,
                   tuple([(a.shape, a.strides, a.itemsize) for a in operands if a is not None and a.ndim]))
    return result if moves is None else np.ascontiguousarray(result.transpose(moves[0])).transpose(moves[1])


@lru_cache(maxsize=4096)
def _moves(shape: tuple, strides: tuple, itemsize: int, operands: tuple) -> tuple[list, list] | None:
    """How to bring a result of these strides into PyTorch's order, there and back; None if it lies right."""
    from flowtorch.codegen.planner import output_strides

    steps = []
    for own, s, size in operands:
        full = (0,) * (len(shape) - len(own))
        steps.append((*full, *[0 if n == 1 != m else x // size
                               for n, m, x in zip(own, shape[len(full):], s, strict=True)]))
    if not steps:
        return None
    wanted = [s * itemsize for s in output_strides(shape, tuple(steps))]
    if all(n < 2 or s == w for n, s, w in zip(shape, strides, wanted, strict=True)):
        return None
    order = sorted(range(len(shape)), key=lambda d: -wanted[d])
    return order, sorted(range(len(shape)), key=order.__getitem__)


def empty_like(array: np.ndarray) -> np.ndarray:
    """Memory for a result as PyTorch lays it out for ``array``: where elements repeat, numpy would choose otherwise."""
    return np.empty_like(array, order="C" if 0 in array.strides else "K")


def astype(array: np.ndarray, target: Any, copy: bool = True) -> np.ndarray:
    """``array`` as another numpy dtype, in that order."""
    if isinstance(target, np.dtype) and target.kind == "V" and target.name == "float8_e4m3fn":
        array = np.asarray(np.clip(array.astype(np.float32), -448.0, 448.0))     # no infinity: the largest number
    return array.astype(target, order="C" if 0 in array.strides else "K", copy=copy)


def copy_of(array: np.ndarray) -> np.ndarray:
    """A copy in the same order of dimensions, without the overlap of expanded memory."""
    return copies.duplicate(array) if 0 not in array.strides else in_order(np.array(array, order="C"), array)


def with_gaps(array: np.ndarray) -> np.ndarray:
    """A copy with the strides of ``array``, gaps between the elements included; contiguous if elements overlap."""
    if array.flags.c_contiguous or 0 in array.strides:
        return np.array(array, order="C")
    span = 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) // array.itemsize
    copy = as_strided(np.zeros(max(span, 0), array.dtype), array.shape, array.strides)
    copy[...] = array
    return copy
