"""Reductions to fewer elements: sums, means, products, extrema, logical tests, norms."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes

from flowtorch.ops.families import normalize_dims, reduction
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor

_add_reduce = np.add.reduce
_SHORT = 256
_INT64 = np.dtype(np.int64)
# Sums of few elements are done as products with these: half the time of np.add.reduce, and as exact.
_ONES = {4: [np.ones(n, np.float32) for n in range(_SHORT + 1)], 8: [np.ones(n, np.float64) for n in range(_SHORT + 1)]}


def expand_reduced(g: Tensor, shape: tuple, dim: Any, keepdim: bool) -> Any:
    """A reduced gradient (or result) shaped to broadcast against the input again."""
    if keepdim or not shape:
        return g
    for d in sorted(normalize_dims(dim, len(shape))):
        g = g.unsqueeze(d)                                              # type: ignore[attr-defined]
    return g


def accumulation_type(array: np.ndarray, dtype: Any) -> np.dtype:
    """The dtype in which a sum or product of ``array`` is given: integers and bools widen to int64."""
    if dtype is not None:
        return dtype.numpy
    return _INT64 if array.dtype.kind in "biu" else array.dtype


@reduction(name="sum", linear=True,
           vjp=(lambda g, input_shape, dim, keepdim: expand_reduced(g, input_shape, dim, keepdim).expand(input_shape),))
def sum_(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over dimension(s) ``dim`` (all by default)."""
    if dim is None and dtype is None and not keepdim:
        n = input.size
        if 0 < n <= _SHORT and input.dtype.kind == "f" and input.itemsize > 2 and input.flags.c_contiguous:
            return np.vdot(input, _ONES[input.itemsize][n])
    target = accumulation_type(input, dtype)
    if dtype is not None and input.dtype.kind == "c" and target.kind != "c":
        input = input.real
    axes = dim if type(dim) is int and input.ndim else normalize_dims(dim, input.ndim)
    if target.itemsize == 2 and target.kind not in "iu":
        return _add_reduce(input.astype(np.float32), axis=axes, keepdims=keepdim).astype(target)
    return _add_reduce(input, axis=axes, dtype=target, keepdims=keepdim)


@reduction(linear=True, vjp=(lambda g, input_shape, dim, keepdim: expand_reduced(g, input_shape, dim, keepdim).expand(
    input_shape) / _count(input_shape, dim),))
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over dimension(s) ``dim`` (all by default)."""
    target = input.dtype if dtype is None else dtype.numpy
    if target.kind in "biu":
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
                           f"Got: {dtypes.from_numpy_dtype(target).label}")
    axes = normalize_dims(dim, input.ndim)
    if target is input.dtype and target.kind == "f":
        total = sum_.op.body(input, dim, keepdim)
    else:
        total = _add_reduce(input, axis=axes, dtype=target, keepdims=keepdim)
    n = input.size if dim is None else _count(input.shape, dim)
    return total / target.type(n) if n else total / np.asarray(n, target)


def _count(shape: tuple, dim: Any) -> int:
    n = 1
    for d in normalize_dims(dim, len(shape)):
        n *= shape[d] if shape else 1
    return n


@composite(namespace="Tensor", method=True)
def sum_to_size(self, *size):
    """Sum over the dimensions that broadcasting a tensor of ``size`` to this shape would have expanded."""
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    lead = self.dim() - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, self.shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(self.shape)}}}.")
    dims = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and self.shape[lead + i] != 1)
    out = sum_(self, dims, True) if dims else self
    return out.reshape(shape) if lead else out


