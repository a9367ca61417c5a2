"""COO tensors rearranged, joined and cut: transposes, select, index_select, cat."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import normalize_dim
from flowtorch.sparse.entries import build, coalesce, values_of
from flowtorch.sparse.handlers import handles
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor, make
from flowtorch.tensor import wrap


@handles("transpose")
def transpose(s: Any, dim0: int, dim1: int) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    n, split = s._array.ndim, s.sparse_dim()
    a, b = normalize_dim(dim0, n), normalize_dim(dim1, n)
    if a == b:
        return link(make(s._ind, s._val, s._array.shape, s._coal), "TransposeBackward0", [s], [lambda g: g])
    if a >= split or b >= split:
        raise RuntimeError(f"sparse transpose: transposed dimensions must be sparse Got sparse_dim: {split}, d0: {a}, "
                           f"d1: {b}")
    order = list(range(n))
    order[a], order[b] = b, a
    return _permuted(s, order, "TransposeBackward0")


def _permuted(s: SparseTensor, order: list[int], label: str) -> SparseTensor:
    split = s.sparse_dim()
    values = s._values()
    if order[split:] != list(range(split, len(order))):
        values = values.permute(0, *[d - split + 1 for d in order[split:]])     # type: ignore[attr-defined]
    shape = tuple(s._array.shape[d] for d in order)
    t = make(wrap(np.ascontiguousarray(s._ind._array[order[:split]])), values, shape, False)
    back = [int(d) for d in np.argsort(order)]
    return link(t, label, [s], [lambda g: g.permute(back)])


@handles("t")
def t(s: Any) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    if s.sparse_dim() > 2 or s.dense_dim():
        raise RuntimeError("t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got "
                           f"{s.sparse_dim()} sparse and {s.dense_dim()} dense dimensions")
    if s._array.ndim < 2:
        return link(make(s._ind, s._val, s._array.shape, s._coal), "TBackward0", [s], [lambda g: g])
    return _permuted(s, [1, 0], "TBackward0")


@handles("permute")
def permute(s: Any, dims: Any) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    n, split = s._array.ndim, s.sparse_dim()
    if len(dims) != n:
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does not match the length "
                           f"of the desired ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = "
                           f"{len(dims)}")
    order = [normalize_dim(d, n) for d in dims]
    if len(set(order)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    if any(d >= split for d in order[:split]):
        raise RuntimeError("permute(sparse_coo): sparse and dense dimensions cannot change places")
    return _permuted(s, order, "PermuteBackward0")


@handles("reshape")
def reshape(s: Any, *args: Any) -> Any:
    raise RuntimeError("reshape is not implemented for sparse tensors")


@handles("expand")
def expand(s: Any, size: Any, *args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("expand is unsupported for Sparse tensors")


@handles("unsqueeze")
def unsqueeze(s: Any, dim: int) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    n, split = s._array.ndim, s.sparse_dim()
    at = normalize_dim(dim, n + 1)
    shape = (*s._array.shape[:at], 1, *s._array.shape[at:])
    if at > split:
        result = make(s._ind, s._values().unsqueeze(at - split + 1), shape, s._coal)   # type: ignore[attr-defined]
    else:
        result = make(wrap(np.insert(s._ind._array, at, 0, axis=0)), s._val, shape, s._coal)
    return link(result, "UnsqueezeBackward0", [s], [lambda g: g.select(at, 0)])


@handles("select")
def select(s: Any, dim: int, index: int) -> Any:
    """One slice of a dimension: sparse as long as a sparse dimension is left."""
    if type(s) is not SparseTensor:
        return NotImplemented
    n, split = s._array.ndim, s.sparse_dim()
    if not n:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, n)
    size = s._array.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(s.shape)} at dimension {dim}")
    index %= size
    shape = s._array.shape[:dim] + s._array.shape[dim + 1:]
    s = coalesce(s) if s.requires_grad else s
    if dim >= split:
        return build(s._ind, values_of(s).select(dim - split + 1, index), shape, s._coal)   # type: ignore[attr-defined]
    keep = np.flatnonzero(s._ind._array[dim] == index)
    values = values_of(s).index_select(0, wrap(keep))                    # type: ignore[attr-defined]
    if split == 1:
        return values.sum(0, dtype=s.dtype)
    return build(wrap(np.delete(s._ind._array, dim, 0)[:, keep]), values, shape, s._coal, "SelectBackward0")


@handles("unbind")
def unbind(s: Any, dim: int = 0) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    dim = normalize_dim(dim, s._array.ndim)
    return tuple(select(s, dim, i) for i in range(s._array.shape[dim]))


@handles("index_select")
def index_select(s: Any, dim: int, index: Any) -> Any:
    """The slices of ``dim`` that ``index`` names."""
    if type(s) is not SparseTensor:
        return NotImplemented
    n, split = s._array.ndim, s.sparse_dim()
    dim = normalize_dim(dim, n)
    if index.dim() > 1:
        raise IndexError("index_select() argument index must be 1-D long-tensor.")
    wanted = index._array.reshape(-1).astype(np.int64)
    size = s._array.shape[dim]
    if wanted.size and (wanted.min() < -size or wanted.max() >= size):
        bad = wanted[(wanted < -size) | (wanted >= size)][0]
        raise IndexError(f"index_select(): index contains {bad} that is out of range for tensor of size "
                         f"{list(s.shape)} at dimension {dim}")
    wanted %= max(size, 1)
    shape = (*s._array.shape[:dim], len(wanted), *s._array.shape[dim + 1:])
    s = coalesce(s) if s.requires_grad else s
    if dim >= split:
        values = values_of(s).index_select(dim - split + 1, wrap(wanted))        # type: ignore[attr-defined]
        return build(s._ind, values, shape, s._coal)
    entries, places = _matches(s._ind._array[dim], wanted)
    indices = s._ind._array[:, entries]
    indices[dim] = places
    return build(wrap(indices), values_of(s).index_select(0, wrap(entries)), shape, False)   # type: ignore[attr-defined]


def _matches(coordinates: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (entry, place) with ``coordinates[entry] == wanted[place]``."""
    order = np.argsort(coordinates, kind="stable")
    ordered = coordinates[order]
    low, high = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, "right")
    counts = high - low
    places = np.repeat(np.arange(len(wanted)), counts)
    starts = np.repeat(low - np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else low, counts)
    return order[starts + np.arange(len(places))], places


def narrow_copy(s: SparseTensor, dim: int, start: int, length: int) -> SparseTensor:
    """A range of one dimension."""
    return index_select(s, dim, wrap(np.arange(start, start + length)))


@handles("cat")
def cat(tensors: Any, dim: int = 0) -> Any:
    if not all(type(t) is SparseTensor for t in tensors):
        raise RuntimeError("torch.cat(): all tensors must be sparse if one of them is")
    first = tensors[0]
    n, split = first._array.ndim, first.sparse_dim()
    dim = normalize_dim(dim, n)
    for t in tensors:
        if t.sparse_dim() != split or t._array.ndim != n or any(
                a != b for d, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if d != dim):
            raise RuntimeError(f"All tensors must have the same shape: {list(first.shape)}, apart from the "
                               f"concatenation dimension, and the same number of sparse dimensions; got "
                               f"{list(t.shape)}")
    from flowtorch.ops.op import REGISTRY

    tensors = [coalesce(t) if t.requires_grad else t for t in tensors]
    starts = np.cumsum([0, *[t._array.shape[dim] for t in tensors]])
    shape = list(first._array.shape)
    shape[dim] = int(starts[-1])
    blocks, parts = [], []
    for t, start in zip(tensors, starts, strict=False):
        indices, values = t._ind._array, values_of(t)
        if dim < split:
            indices = indices.copy()
            indices[dim] += start
        else:
            wide = [*values.shape]
            wide[dim - split + 1] = shape[dim]
            padded = values.new_zeros(wide)                              # type: ignore[attr-defined]
            values = padded.slice_scatter(values, dim - split + 1, int(start), int(start) + t._array.shape[dim])
        blocks.append(indices)
        parts.append(values)
    return build(wrap(np.concatenate(blocks, axis=1)), REGISTRY["cat"].public(parts), shape, False)


@handles("stack")
def stack(tensors: Any, dim: int = 0) -> Any:
    return cat([t.unsqueeze(dim) for t in tensors], dim)
