"""Entries of COO tensors: order, duplicates, look-up, and the way between a tensor and its values with gradients."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.scatter import add_rows
from flowtorch.autograd.node import edge
from flowtorch.dtypes import LOW_PRECISION
from flowtorch.sparse.on_device import by_host
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor, make
from flowtorch.tensor import Tensor, wrap


def keys_of(indices: np.ndarray, shape: tuple) -> np.ndarray:
    """One int64 per entry that orders entries as their coordinates do."""
    if not len(indices):
        return np.zeros(indices.shape[1], np.int64)
    total = 1
    for n in shape:
        total *= n
    if total >= 2 ** 63:
        return np.unique(indices, axis=1, return_inverse=True)[1].reshape(-1)
    keys = indices[0].astype(np.int64)
    for row, n in zip(indices[1:], shape[1:], strict=False):
        keys = keys * n + row
    return keys


def common_keys(a: SparseTensor, b: SparseTensor) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the entries of two tensors that compare with each other."""
    n = a._nnz()
    both = np.concatenate([a._ind._array, b._ind._array], axis=1)
    keys = keys_of(both, a._array.shape[:a.sparse_dim()])
    return keys[:n], keys[n:]


def merged(indices: np.ndarray, values: np.ndarray, shape: tuple, low: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct indices, and the values of equal ones summed."""
    keys = keys_of(indices, shape)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(first)
    if len(starts) == len(keys):
        return indices[:, order], values[order]
    kept = order[starts]
    sums = values[kept] if low is None else values[kept].astype(np.float32)
    again = np.flatnonzero(~first)                  # what comes after the first of its kind is added to that
    group = np.cumsum(first)[again] - 1
    rest = values[order[again]].astype(sums.dtype, copy=False)
    if rest.size:
        add_rows(sums.reshape(len(kept), -1), group, rest.reshape(len(again), -1))
    return indices[:, kept], sums if low is None else sums.astype(low)


@by_host
def coalesce(s: SparseTensor) -> SparseTensor:
    """``s`` with sorted indices and duplicates summed; itself if it is so already."""
    if s._coal:
        return s
    low = s.dtype.numpy if s.dtype in LOW_PRECISION else None
    indices, values = merged(s._ind._array, s._val._array, s._array.shape[:s.sparse_dim()], low)
    t = make(wrap(indices), wrap(values, s._val._type), s._array.shape, True)
    return link(t, "CoalesceBackward0", [s], [lambda g: g])


def build(indices: Tensor, values: Tensor, shape: Any, coalesced: bool, label: str = "") -> SparseTensor:
    """A COO tensor of these values, through which gradients reach them."""
    t = make(indices, values, shape, coalesced)
    return link(t, label or "SparseCooTensorWithDimsAndTensorsBackward0", [values], [lambda g: take(g, indices)])


def values_of(s: SparseTensor) -> Tensor:
    """The values of ``s`` (not copied), through which gradients reach it."""
    values = s._values()
    if edge(s) is None:
        return values
    indices, shape, coalesced = s._ind, s._array.shape, s._coal
    return link(values, "ValuesBackward0", [s], [lambda g: build(indices, g, shape, coalesced)])


@by_host
def take(x: Any, indices: Tensor) -> Tensor:
    """The elements (or slices) of ``x``, dense or COO, at ``indices``."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a Tensor, got {type(x).__name__}")
    if type(x) is not SparseTensor:
        if x.layout is not Tensor.layout.fget(x):                        # type: ignore[attr-defined]
            x = x.to_dense()                                             # type: ignore[attr-defined]
        if not len(indices._array):
            return x.unsqueeze(0).expand((indices._array.shape[1], *x.shape))   # type: ignore[attr-defined]
        return x[tuple(indices.unbind(0))]                               # type: ignore[attr-defined,index]
    x = coalesce(x)
    if len(indices._array) != x.sparse_dim():
        return take(x.to_dense(), indices)                               # type: ignore[attr-defined]
    if x._ind is indices:
        return values_of(x)
    probe = make(indices, x._val, x._array.shape, False)
    have, want = common_keys(x, probe)
    if not len(have):
        return x._val.new_zeros((len(want), *x._val.shape[1:]))          # type: ignore[attr-defined]
    at = np.minimum(np.searchsorted(have, want), len(have) - 1)
    found = have[at] == want
    values = values_of(x).index_select(0, wrap(at))                      # type: ignore[attr-defined]
    if found.all():
        return values
    return values.masked_fill(wrap(~found).reshape((-1,) + (1,) * x.dense_dim()), 0)   # type: ignore[attr-defined]


@by_host
def mask(x: Any, like: SparseTensor, label: str = "SparseMaskBackward0") -> SparseTensor:
    """``x`` (dense or COO) at the entries of ``like``."""
    if tuple(x.shape) != tuple(like.shape):
        raise RuntimeError("sparse_mask(): operands have incompatible sizes; self has size "
                           f"{list(x.shape)} but mask has size {list(like.shape)}")
    if type(x) is SparseTensor:
        like = like.detach()                                             # type: ignore[attr-defined]
        result = make(like._ind, take(x.detach(), like._ind), like._array.shape, like._coal)   # type: ignore[attr-defined]
        return link(result, label, [x], [lambda g: mask(g, like)])
    return build(like._ind, take(x, like._ind), like._array.shape, like._coal, label)
