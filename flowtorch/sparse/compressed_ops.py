"""Ops on compressed tensors: on their values where the entries stay, by way of COO elsewhere."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.ops.op import REGISTRY
from flowtorch.sparse import arithmetic, products
from flowtorch.sparse.compressed import (
    CSR,
    TURNED,
    CompressedTensor,
    assemble,
    at_entries,
    lines,
    rebuilt,
    same_entries,
    to_compressed,
    to_coo,
    to_dense,
    values_of,
    with_values,
)
from flowtorch.sparse.elementwise import ZERO_PRESERVING
from flowtorch.sparse.handlers import compressed_table, is_number, strided
from flowtorch.sparse.on_device import by_host
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor
from flowtorch.tensor import Tensor, wrap


def handles(*names: str) -> Callable:
    """Decorator: the function handles the ops of these names for compressed operands."""
    def register(f: Callable) -> Callable:
        for name in names:
            compressed_table[name] = f
        return f
    return register


def _on_values(name: str) -> None:
    op = REGISTRY[name]

    @handles(name)
    def call(t: Any, *args: Any) -> Any:
        values = op.public(values_of(t), **dict(zip(op.names[1:], args, strict=True)))
        return rebuilt(t.detach(), values, op.node_class.__name__)


for _name in (*ZERO_PRESERVING, "neg", "_conj"):
    _on_values(_name)


@handles("clone")
def clone(t: Any, memory_format: Any = None) -> Any:
    copy = assemble(t._layout, t._comp.clone(), t._plain.clone(), t._val.clone(), t._array.shape)
    return link(copy, "CloneBackward0", [t], [lambda g: g])


@handles("_to_copy")
def to_copy(t: Any, target: Any, memory_format: Any = None, source: Any = None) -> Any:
    device, dtype = t.device, t.dtype
    parts = (t._comp.to(target.device), t._plain.to(target.device), t._val.to(target.device, target.dtype))
    return link(assemble(t._layout, *parts, t._array.shape), "ToCopyBackward0", [t], [lambda g: g.to(device, dtype)])


@handles("copy")
def copy(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if type(target) is not CompressedTensor or type(source) is not CompressedTensor:
        raise RuntimeError("copy_() between tensors of different layouts is not implemented; convert one of them first")
    if target._layout is not source._layout or target._nnz() != source._nnz():
        raise RuntimeError("torch.copy_: only sparse compressed tensors with the same number of specified elements and "
                           "the same layout are supported.")
    if source._type is target._type:
        return source.clone()                                            # type: ignore[attr-defined]
    return source.to(target.device, target.dtype)                        # type: ignore[attr-defined]


# ---------------------------------------------------------------- arithmetic

@handles("add")
def add(a: Any, b: Any, alpha: Any = 1) -> Any:
    return _sum(a, b, alpha, "AddBackward0")


@handles("sub")
def sub(a: Any, b: Any, alpha: Any = 1) -> Any:
    return _sum(a, b, -alpha, "SubBackward0")


def _sum(a: Any, b: Any, alpha: Any, label: str) -> Any:
    if strided(a) or (strided(b) and not is_number(b)):
        x, y = (t if strided(t) else to_dense(t, masked_grad=False) for t in (a, b))
        return x + y * alpha if alpha != 1 else x + y
    if type(a) is not CompressedTensor or type(b) is not CompressedTensor or a._layout is not b._layout:
        return NotImplemented
    if a.shape == b.shape and same_entries(a, b):
        return rebuilt(a.detach(), values_of(a) + values_of(b) * alpha, label)   # type: ignore[attr-defined,operator]
    total = arithmetic._sum(to_coo(a), to_coo(b), alpha, label)
    return to_compressed(total, a._layout, None if a._layout in (CSR, TURNED[CSR]) else a.blocksize())


@handles("mul")
def mul(a: Any, b: Any) -> Any:
    if type(a) is not CompressedTensor:
        a, b = b, a
    if is_number(b):
        return rebuilt(a.detach(), values_of(a) * b, "MulBackward0")     # type: ignore[operator]
    if a.shape != b.shape:
        return NotImplemented
    if not strided(b) and not (type(b) is CompressedTensor and same_entries(a, b)):
        product = arithmetic.mul(to_coo(a), b if type(b) is SparseTensor else to_coo(b))
        return to_compressed(product, a._layout, a.blocksize() if a._layout not in (CSR, TURNED[CSR]) else None)
    return rebuilt(a.detach(), values_of(a) * at_entries(b, a), "MulBackward0")   # type: ignore[operator]


@handles("true_divide")
def true_divide(a: Any, b: Any) -> Any:
    if type(a) is not CompressedTensor or not is_number(b):
        return NotImplemented
    return rebuilt(a.detach(), values_of(a) / b, "DivBackward0")         # type: ignore[attr-defined,operator]


# ---------------------------------------------------------------- products

def _plain(t: Any) -> Any:
    return to_coo(t) if type(t) is CompressedTensor else t


@handles("matmul", "mm", "mv")
def matmul(a: Any, b: Any, masked: bool = False) -> Any:
    if any(isinstance(t, CompressedTensor) and t._array.ndim != 2 for t in (a, b)):
        raise RuntimeError("matrix products of sparse compressed tensors take matrices, not batches of them")
    result = products.multiply(_plain(a), _plain(b), masked)
    if type(result) is SparseTensor:
        first = a if type(a) is CompressedTensor else b
        return to_compressed(result, first._layout if first._layout in (CSR, TURNED[CSR]) else CSR)
    return result


@by_host
def reduced(a: Any, b: Any, reduce: str) -> Any:
    """The product of a CSR matrix and a dense one with another reduction over each row's entries than the sum."""
    if type(a) is not CompressedTensor or a._layout is not CSR or a._array.ndim != 2:
        raise NotImplementedError("Could not run 'aten::_sparse_mm_reduce_impl': torch.sparse.mm with reduce= takes a "
                                  f"CSR matrix, but got a tensor of layout {a.layout}")
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, mean, amax or amin, got {reduce}")
    products.check("mm", a, b)
    columns = wrap(a._plain._array.astype(np.int64))
    terms = values_of(a).unsqueeze(1) * b.index_select(0, columns)       # type: ignore[attr-defined]
    rows = wrap(lines(a).astype(np.int64)).unsqueeze(1).expand(terms.shape)       # type: ignore[attr-defined]
    out = terms.new_zeros((a._array.shape[0], terms.shape[1]))
    return out.scatter_reduce(0, rows, terms, reduce, include_self=False)


@handles("linear")
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    return products.linear(_plain(x), _plain(weight), bias)


@handles("addmm", "addmv")
def addmm(input: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1, masked: bool = False) -> Any:
    if not strided(input):
        if type(input) is CompressedTensor:
            product = matmul(a, b, masked)
            return _sum(input * beta, product * alpha, 1, "AddmmBackward0") if not strided(product) else NotImplemented
        return NotImplemented
    return products.addmm(input, _plain(a), _plain(b), beta, alpha, masked)


# ---------------------------------------------------------------- shapes, sums

@handles("transpose")
def transpose(t: Any, dim0: int, dim1: int, label: str = "TransposeBackward0") -> Any:
    n, batch = t._array.ndim, t.batch_dim()
    a, b = sorted((dim0 % n, dim1 % n))
    if a == b:
        return link(with_values(t, t._val), "TransposeBackward0", [t], [lambda g: g])
    if (a, b) != (batch, batch + 1):
        raise RuntimeError("transpose(): can only transpose the two sparse dimensions of a sparse compressed tensor")
    shape = list(t._array.shape)
    shape[a], shape[b] = shape[b], shape[a]
    blocked = t.blocksize() != (1, 1) or t._val._array.ndim > batch + 1 + t.dense_dim()
    values = t._val.transpose(batch + 1, batch + 2) if blocked else t._val
    result = assemble(TURNED[t._layout], t._comp, t._plain, values, shape)
    return link(result, label, [t], [lambda g: g.transpose(a, b)])


@handles("t")
def t(x: Any) -> Any:
    return transpose(x, 0, 1, "TBackward0") if x._array.ndim == 2 else NotImplemented


@handles("select")
def select(x: Any, dim: int, index: int) -> Any:
    return to_coo(x).select(dim, index)                                  # type: ignore[attr-defined]


@handles("unbind")
def unbind(x: Any, dim: int = 0) -> Any:
    return to_coo(x).unbind(dim)                                         # type: ignore[attr-defined]


@handles("sum")
def sum(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if dim is None or dim == ():
        shape = x._array.shape
        total: Tensor = x._val.sum(dtype=dtype)
        return link(total, "SumBackward0", [x], [lambda g: g.expand(shape)])
    if not keepdim:
        raise RuntimeError("reduction operations on CSR tensors with keepdim=False is unsupported")
    total = to_coo(x).sum(dim, True, dtype=dtype)                        # type: ignore[attr-defined]
    return to_compressed(total, CSR)
