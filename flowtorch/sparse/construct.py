"""Making COO tensors: from indices and values, and from dense tensors."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.scatter import add_rows
from flowtorch.dtypes import LOW_PRECISION
from flowtorch.ops import factory
from flowtorch.sparse.entries import build, keys_of, mask
from flowtorch.sparse.on_device import by_host, placed
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor, empty, make
from flowtorch.tensor import Tensor, wrap


class _Checks:
    enabled = False


checks = _Checks()


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """Data as a dense tensor: a tensor keeps its history."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)                 # type: ignore[attr-defined]
    return factory.tensor(data, dtype=dtype)


@placed
def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, *args: Any, dtype: Any = None,
                      device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
                      check_invariants: bool | None = None, is_coalesced: bool | None = None,
                      layout: Any = None) -> SparseTensor:
    """A COO tensor with ``values[k]`` at ``indices[:, k]``; without values, one of the given size without entries."""
    if values is None:
        shape = size if indices is None else indices
        if shape is None or (isinstance(shape, Tensor) and shape.dim() != 1):
            raise TypeError("sparse_coo_tensor(): expected (indices, values, size) or (size)")
        shape = tuple(int(n) for n in shape)
        return empty(shape, len(shape), dtype or dtypes.get_default_dtype(), requires_grad)
    indices, values = as_tensor(indices), as_tensor(values, dtype)
    if values.layout is not dtypes.strided or indices.layout is not dtypes.strided:
        raise RuntimeError(f"expected values to be a strided tensor, but got {values.layout}")
    if indices.dtype is not dtypes.int64:
        indices = indices.detach().to(dtypes.int64)                      # type: ignore[attr-defined]
    shape = check_parts(indices, values, size)
    if is_coalesced and checks_wanted(check_invariants):
        keys = keys_of(indices._array, shape[:indices.shape[0]])
        if len(keys) > 1 and not (keys[1:] > keys[:-1]).all():
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")
    if device is not None:
        values = values.to(device=device)                                # type: ignore[attr-defined]
    coalesced = indices.shape[1] < 2 if is_coalesced is None else is_coalesced
    t = build(indices.detach(), values, shape, coalesced)                # type: ignore[attr-defined]
    if requires_grad and not t.requires_grad:
        t.requires_grad = True
    return t


def checks_wanted(given: bool | None) -> bool:
    return checks.enabled if given is None else bool(given)


def check_parts(indices: Tensor, values: Tensor, size: Any) -> tuple:
    """The shape of a COO tensor of these parts; RuntimeError where they do not fit together."""
    where = indices._array
    if values.dim() < 1:
        values = values.reshape(1)                                       # type: ignore[attr-defined]
    if size is None:
        if where.ndim != 2:
            raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(where.shape)}")
        if where.shape[1]:
            if where.size and where.min() < 0:
                d = int(np.flatnonzero((where < 0).any(axis=1))[0])
                raise RuntimeError(f"found negative index {where[d].min()} for dim {d}")
            lead = tuple(int(n) + 1 for n in where.max(axis=1)) if len(where) else ()
        else:
            lead = (0,) * len(where)
        size = (*lead, *values.shape[1:])
    size = tuple(int(n) for n in (size if isinstance(size, (tuple, list, Tensor)) else (size,)))
    split, dense = where.shape[0] if where.ndim else 0, values.dim() - 1
    if len(size) != split + dense:
        raise RuntimeError(f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, "
                           f"sparse_dim = {split}, dense_dim = {dense}")
    if where.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(where.shape)}")
    if where.shape[1] != values.shape[0]:
        raise RuntimeError(f"indices and values must have same nnz, but got nnz from indices: {where.shape[1]}, nnz "
                           f"from values: {values.shape[0]}")
    if tuple(values.shape[1:]) != size[split:]:
        raise RuntimeError(f"values has incorrect size, expected "
                           f"{[where.shape[1], *size[split:]]}, got {list(values.shape)}")
    if where.size:
        low, high = where.min(axis=1), where.max(axis=1)
        for d in range(split):
            if low[d] < 0:
                raise RuntimeError(f"found negative index {low[d]} for dim {d}")
            if high[d] >= size[d]:
                raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {size[d]} but found "
                                   f"index {high[d]}")
    return size


@by_host
def to_sparse_coo(t: Any, sparse_dim: int | None = None) -> SparseTensor:
    """The elements of a dense tensor that are not zero, as a COO tensor."""
    if type(t) is SparseTensor:
        if sparse_dim is not None and sparse_dim != t.sparse_dim():
            raise RuntimeError("to_sparse: conversion from Sparse to Sparse with sparse_dim argument "
                               "!=self.sparse_dim() is not supported")
        return t
    if t.layout is not dtypes.strided:
        from flowtorch.sparse import compressed

        return compressed.to_coo(t)
    n = t.dim()
    split = n if sparse_dim is None else sparse_dim
    if not 0 <= split <= n or (split == 0 and n):
        raise RuntimeError(f"sparse_dim argument must be in >0 and <={n} when dense tensor is not zero-dimensional, "
                           f"but got {split}" if n else
                           f"sparse_dim argument must be 0 when given zero-dimensional tensor, but got {split}")
    array = t.detach()._array
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    full = (array != 0) if split == n else (array != 0).reshape(*array.shape[:split], -1).any(axis=-1)
    if n:
        indices = np.stack(np.nonzero(full)).astype(np.int64)
        values = t.detach()[tuple(wrap(row) for row in indices)]
    else:
        count = int(bool(full))
        indices, values = np.zeros((0, count), np.int64), t.detach().reshape(1)[:count]
    result = make(wrap(indices), values, t.shape, True)
    return link(result, "ToSparseBackward1", [t], [lambda g: g if g.layout is dtypes.strided else g.to_dense()])


def resize(s: SparseTensor, size: tuple, sparse_dim: int, dense_dim: int) -> SparseTensor:
    """Change the size of ``s`` in place; RuntimeError where entries would be lost."""
    if s._nnz():
        for what, have, want in (("sparse", s.sparse_dim(), sparse_dim), ("dense", s.dense_dim(), dense_dim)):
            if have != want:
                raise RuntimeError(f"changing the number of {what} dimensions (from {have} to {want}) on a non-empty "
                                   "sparse tensor is not supported.")
        split = s.sparse_dim()
        for what, old, new in (("sparse", s._array.shape[:split], size[:split]),
                               ("dense", s._array.shape[split:], size[split:])):
            if any(b < a for a, b in zip(old, new, strict=True)):
                raise RuntimeError(f"shrinking the size of {what} dimensions (from {list(old)} to {list(new)}) on a "
                                   "non-empty sparse tensor is not supported.")
        values = s._val
        if tuple(values.shape[1:]) != tuple(size[split:]):
            wide = values.new_zeros((s._nnz(), *size[split:]))           # type: ignore[attr-defined]
            wide[tuple(slice(n) for n in values.shape)] = values
            values = wide
        s._take(make(s._ind, values, size, s._coal))
    else:
        s._take(empty(size, sparse_dim, s.dtype, device=s.device))
    return s


@by_host
def to_dense(s: SparseTensor, dtype: Any = None, masked_grad: bool | None = None) -> Tensor:
    """The dense tensor; the gradient of ``s`` has the entries that ``s`` has (all with ``masked_grad=False``)."""
    from flowtorch.sparse.entries import coalesce

    values, shape, split = s._val, s._array.shape, s.sparse_dim()
    out = np.zeros(shape, values._array.dtype)
    detached = s.detach()                                                # type: ignore[attr-defined]
    if s._coal or s.dtype in LOW_PRECISION or not values._array.size or not out.size:
        c = coalesce(detached)
        if split:
            out[tuple(c._ind._array)] = c._val._array
        elif c._nnz():
            out[...] = c._val._array[0]
    else:
        rows = int(np.prod(shape[:split]))
        add_rows(out.reshape(rows, -1), keys_of(s._ind._array, shape[:split]), values._array.reshape(s._nnz(), -1))
    result = wrap(out, values._type)
    if masked_grad is False:
        result = link(result, "ToDenseBackward0", [s], [lambda g: g])
    else:
        result = link(result, "ToDenseBackward0", [s], [lambda g: mask(g, coalesce(detached))])
    return result if dtype is None else result.to(dtype)                 # type: ignore[attr-defined]


class check_sparse_tensor_invariants:
    """Switch the costlier checks of constructors on or off: as calls, a context manager or a decorator."""

    def __init__(self, enable: bool = True) -> None:
        self.state = enable
        self.saved: bool | None = None

    @staticmethod
    def is_enabled() -> bool:
        """Whether the checks are on."""
        return checks.enabled

    @staticmethod
    def enable() -> None:
        """Check from now on."""
        checks.enabled = True

    @staticmethod
    def disable() -> None:
        """Check no longer."""
        checks.enabled = False

    def __enter__(self) -> None:
        if self.saved is not None:
            raise RuntimeError("This context manager instance is already activated. Use a different context manager "
                               "instance for context nesting.")
        self.saved, checks.enabled = checks.enabled, self.state

    def __exit__(self, *exc: object) -> None:
        checks.enabled, self.saved = bool(self.saved), None

    def __call__(self, f: Any) -> Any:
        import functools

        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return f(*args, **kwargs)
        return call
