"""Reductions of COO tensors."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import normalize_dims
from flowtorch.ops.op import REGISTRY
from flowtorch.sparse.entries import build, coalesce, keys_of, values_of
from flowtorch.sparse.handlers import handles
from flowtorch.sparse.on_device import by_host
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor
from flowtorch.tensor import wrap


@handles("sum")
def sum(s: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """A dense number, or the sum over some dimensions: sparse as long as a sparse dimension is left."""
    if type(s) is not SparseTensor:
        return NotImplemented
    if dim is None or dim == ():
        total = s._values().sum(dtype=dtype)                             # type: ignore[attr-defined]
        shape = s._array.shape
        return link(total, "SumBackward0", [s], [lambda g: g.expand(shape)])
    return sum_dims(s, dim, keepdim, dtype)


@by_host
def sum_dims(s: SparseTensor, dim: Any, keepdim: bool = False, dtype: Any = None) -> Any:
    """The sum over the named dimensions."""
    dims = normalize_dims(dim, s._array.ndim)
    shape, split = s._array.shape, s.sparse_dim()
    sparse = [d for d in dims if d < split]
    dense = [d - split + 1 for d in dims if d >= split]
    s = coalesce(s)
    values = values_of(s)
    if dense:
        values = values.sum(dense, keepdim, dtype=dtype)                 # type: ignore[attr-defined]
    elif dtype is not None:
        values = values.to(dtype)                                        # type: ignore[attr-defined]
    elif not values.dtype.is_floating_point and not values.dtype.is_complex:
        values = values.to(REGISTRY["sum"].public(values.new_zeros(1)).dtype)   # type: ignore[attr-defined]
    left = [d for d in range(split) if d not in sparse]
    final = tuple(1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims)
    if not left and not keepdim:
        return values.sum(0)                                             # type: ignore[attr-defined]
    if not sparse:
        return build(s._ind, values, final, True, "SparseSumBackward0")
    indices = s._ind._array
    if keepdim:
        indices = indices.copy()
        indices[sparse] = 0
    else:
        indices = indices[left]
    return coalesce(build(wrap(np.ascontiguousarray(indices)), values, final, False, "SparseSumBackward0"))


@handles("any")
def any_(s: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return s.values().any() if type(s) is SparseTensor and dim is None and s._coal else (
        any_(coalesce(s)) if type(s) is SparseTensor and dim is None else NotImplemented)


@handles("_vector_norm")
def vector_norm(s: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    if type(s) is not SparseTensor or (dim is not None and len(normalize_dims(dim, s._array.ndim)) != s._array.ndim):
        return NotImplemented
    if keepdim or ord in (float("-inf"), 0) or ord < 0:
        return NotImplemented
    return REGISTRY["_vector_norm"].public(values_of(coalesce(s)), ord)


@by_host
def softmax(s: SparseTensor, dim: int, log: bool) -> SparseTensor:
    """Softmax of the entries along ``dim``, elements without an entry being minus infinity."""
    s = coalesce(s)
    dim = normalize_dims(dim, s._array.ndim)[0]
    values = values_of(s)
    if dim >= s.sparse_dim():
        name = "_log_softmax" if log else "_softmax"
        return build(s._ind, REGISTRY[name].public(values, dim - s.sparse_dim() + 1), s._array.shape, True)
    others = [d for d in range(s.sparse_dim()) if d != dim]
    keys = keys_of(s._ind._array[others], tuple(s._array.shape[d] for d in others))
    groups, pool = np.unique(keys, return_inverse=True)
    pool, count = wrap(pool.reshape(-1).astype(np.int64)), len(groups)
    shape = (count, *values.shape[1:])
    spread = pool.reshape((-1,) + (1,) * (values.dim() - 1)).expand(values.shape)   # type: ignore[attr-defined]
    top = values.detach().new_full(shape, float("-inf")).scatter_reduce(0, spread, values.detach(), "amax")   # type: ignore[attr-defined]
    shifted = values - top.index_select(0, pool).nan_to_num(neginf=0.0)
    total = values.new_zeros(shape).index_add(0, pool, shifted.exp()).index_select(0, pool)   # type: ignore[attr-defined]
    out = shifted - total.log() if log else shifted.exp() / total
    return build(s._ind, out, s._array.shape, True, "SparseLogSoftmaxBackward0" if log else "SparseSoftmaxBackward0")
