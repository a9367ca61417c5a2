"""Memory that tensors share, where a function writes: what in-place functions and ``out=`` refuse.

A result written over part of an input would depend on the order in which the elements are computed, so PyTorch refuses
the call. Which functions ask, and how closely, are facts of its kernels: most ask whether a part is shared (the whole,
element by element, does no harm to them), those that read elsewhere than they write whether anything is.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from flowtorch.tensor import Tensor, address_of

# Functions that may not even write over the whole of an input; the latter write into a copy of their first.
_APART = frozenset([
    "cat", "concat", "concatenate", "diff", "dstack", "gather", "hstack", "column_stack", "row_stack",
    "index_select", "kthvalue", "masked_select", "median", "nanmedian", "mode", "nonzero", "stack", "take",
    "take_along_dim", "topk", "vstack", "index_add", "index_copy", "index_put", "index_reduce", "put", "scatter",
    "scatter_add", "scatter_reduce",
])
# Composites whose counterparts of PyTorch compute element by element.
_POINTWISE = frozenset([
    "add", "addcdiv", "addcmul", "clamp", "clamp_max", "clamp_min", "clip", "div", "divide", "floor_divide", "fmod",
    "lerp", "logical_and", "logical_or", "logical_xor", "mul", "multiply", "nan_to_num", "remainder", "rsub", "sub",
    "subtract", "true_divide", "where", "xlogy",
])


def is_dense(a: np.ndarray) -> bool:
    """Whether the elements fill one block of memory without gaps or overlap, in whatever order of dimensions."""
    if a.flags.c_contiguous or a.size == 0:
        return True
    size = a.itemsize
    for s, n in sorted(zip(a.strides, a.shape, strict=True)):
        if n > 1:
            if s != size:
                return False
            size *= n
    return True


def has_internal_overlap(array: np.ndarray) -> bool:
    """Whether two indices of ``array`` share memory for certain: a dimension of size > 1 with stride 0."""
    if array.flags.c_contiguous or array.size == 0:
        return False
    for n, s in zip(array.shape, array.strides, strict=True):
        if s == 0 and n > 1:
            return True
    return False


def raise_overlap() -> None:
    raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                       "memory location. Please clone() the tensor before performing the operation.")


def shares(a: np.ndarray, b: np.ndarray, whole: bool = False) -> bool:
    """Whether two arrays share a part of their memory, or (with ``whole``) all of it.

    Of arrays with gaps nothing is said: whether their elements meet would be costly to find out.
    """
    if a is b:
        return whole and a.size > 0
    if not _may_share(a, b) or not (is_dense(a) and is_dense(b)):
        return False
    alike = address_of(a) == address_of(b) and a.nbytes == b.nbytes and a.strides == b.strides
    return whole if alike else True


def _may_share(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the memory between the first and the last element of two arrays of one device overlaps."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) or not (a.size and b.size):
        return False
    (low, high), (start, stop) = map(_bounds, (a, b))
    return low < stop and start < high


def _bounds(a: Any) -> tuple[int, int]:
    start = address_of(a)
    return start, start + a.itemsize + sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True))


def refuse_shared(target: np.ndarray, inputs: Iterable[Any], whole: bool = False) -> None:
    """RuntimeError if ``target`` shares memory with one of the tensors ``inputs``."""
    for t in inputs:
        if isinstance(t, Tensor) and t._type.fast and shares(target, t._array, whole):
            raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor "
                               "refer to a single memory location. Please clone() the tensor before performing the "
                               "operation.")


def check_written(op: Any, target: Tensor, inputs: Iterable[Any]) -> None:
    """Ask for an in-place call of ``op``: ``inputs`` are the other tensors."""
    if target._type.fast:
        if op.name.lstrip("_") in _APART:
            refuse_shared(target._array, inputs, whole=True)
        elif op.family.name == "pointwise" or op.name == "copy":
            refuse_shared(target._array, inputs)


def check_out(op: Any, out: Any, inputs: list) -> None:
    """Ask for a call of ``op`` (a record of an op or composite) with ``out=``."""
    name = op.name.lstrip("_")
    apart = name in _APART
    if not apart and name not in _POINTWISE and getattr(getattr(op, "family", None), "name", "") != "pointwise":
        return
    onto_itself = name.startswith(("index_", "put", "scatter"))      # scatter(x, ..., out=x) is scatter_
    for o in out if isinstance(out, (tuple, list)) else (out,):
        if isinstance(o, Tensor) and o._type.fast:
            refuse_shared(o._array, (t for t in inputs if not (t is o and onto_itself)), apart)


def tensors_of(args: Iterable[Any]) -> list:
    """The tensors among arguments, lists of them spread out."""
    found: list = []
    for a in args:
        found.extend(a) if isinstance(a, (tuple, list)) else found.append(a)
    return found
