"""Matrix products with COO operands."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.dtypes import LOW_PRECISION
from flowtorch.sparse.entries import build, coalesce, merged, values_of
from flowtorch.sparse.handlers import handles, strided
from flowtorch.sparse.on_device import by_host
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor, make
from flowtorch.tensor import wrap


def matrix(s: Any) -> Any:
    """A 2-d tensor of any sparse layout as a scipy array, duplicates summed."""
    from scipy.sparse import csr_array

    ready = s.__dict__.get("_csr")                 # a compressed tensor on its way through COO
    if ready is not None:
        return csr_array(ready(), shape=s._array.shape)
    values = s._val._array
    if s.dtype in LOW_PRECISION:
        values = values.astype(np.float32)
    if values.dtype.kind == "b":
        raise NotImplementedError("\"addmm_sparse_dense\" not implemented for 'Bool'")
    ind = s._ind._array
    if s._coal:                                    # sorted: the rows need no counting sort
        starts = np.searchsorted(ind[0], np.arange(s._array.shape[0] + 1))
        return csr_array((values, ind[1], starts), shape=s._array.shape)
    return csr_array((values, (ind[0], ind[1])), shape=s._array.shape)


def adjoint(x: Any) -> Any:
    x = x.transpose(0, 1)
    return x.conj() if x.is_complex() else x


def check(name: str, a: Any, b: Any) -> None:
    """Refuse operands that are no matrices that fit each other."""
    if any(isinstance(t, SparseTensor) and t.dense_dim() for t in (a, b)):
        raise RuntimeError(f"{name}: expected sparse matrices without dense dimensions")
    if a.dim() != 2:
        raise RuntimeError(f"{name}: Expected 2D matrix for the first operand, but got {a.dim()}D tensor")
    if a.shape[1] != b.shape[0]:
        sizes = "x".join(map(str, a.shape)), "x".join(map(str, b.shape))
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({sizes[0]} and {sizes[1]})")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype} != {b.dtype}")


def sparse_dense(s: Any, d: Any) -> Any:
    """``s @ d`` of a sparse matrix and a dense matrix or vector, without history."""
    array = d._array
    if d.dtype in LOW_PRECISION:
        array = array.astype(np.float32)
    return wrap(np.ascontiguousarray(np.asarray(matrix(s) @ array), dtype=d.dtype.numpy), d._type)


@by_host
def multiply(a: Any, b: Any, masked: bool = False) -> Any:
    """The product of a sparse matrix and a matrix or vector, in either order.

    The gradient in the sparse factor is dense, as for any factor; with ``masked`` it has that factor's entries only.
    """
    if not isinstance(a, SparseTensor):
        return _from_left(a, b, masked)
    if b.dim() not in (1, 2):
        raise RuntimeError("expand is unsupported for Sparse tensors")
    check("mm", a, b)
    if isinstance(b, SparseTensor):
        return _sparse_sparse(a, b)
    if not strided(b):
        return NotImplemented
    result = sparse_dense(a, b)
    vector = b.dim() == 1
    label = "SparseAddmmBackward0" if masked else "MvBackward0" if vector else "MmBackward0"

    def to_sparse(g: Any, a: Any, b: Any) -> Any:
        column, factor = (g.unsqueeze(1), b.unsqueeze(1)) if vector else (g, b)
        return at_entries(column, factor, a) if masked else column @ adjoint(factor)

    return link(result, label, [a, b], [to_sparse, lambda g, a, b: multiply(adjoint(a), g)], [a, b])


def at_entries(left: Any, right: Any, like: SparseTensor) -> SparseTensor:
    """``left @ adjoint(right)`` at the entries of ``like`` only."""
    like = coalesce(like.detach())                                       # type: ignore[attr-defined]
    rows, columns = like._ind.unbind(0)                                  # type: ignore[attr-defined]
    values = (left.index_select(0, rows) * right.index_select(0, columns).conj()).sum(-1)
    return build(like._ind, values, like._array.shape, True)


def _from_left(a: Any, b: Any, masked: bool) -> Any:
    """dense @ sparse, as the transpose of sparse @ dense."""
    if a.dim() == 1:
        return multiply(b.transpose(0, 1), a, masked)
    if a.dim() != 2 or b.dim() != 2:
        raise RuntimeError("expand is unsupported for Sparse tensors")
    if a.shape[1] != b.shape[0]:
        check("mm", a, b)
    return multiply(b.transpose(0, 1), a.transpose(0, 1), masked).transpose(0, 1)


def _sparse_sparse(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    product = (matrix(a) @ matrix(b)).tocoo()
    indices = np.stack([product.row, product.col]).astype(np.int64)
    indices, values = merged(indices, product.data.astype(a.dtype.numpy), product.shape)
    result = make(wrap(indices), wrap(values, a._val._type), product.shape, True)
    return link(result, "SparseSparseMatmulBackward0", [a, b],
                [lambda g, a, b: _kept(multiply(g, adjoint(b)), a), lambda g, a, b: _kept(multiply(adjoint(a), g), b)],
                [a, b])


def _kept(g: Any, like: SparseTensor) -> Any:
    """A gradient at the entries that its factor has."""
    return g.sparse_mask(coalesce(like.detach()))                        # type: ignore[attr-defined]


@by_host
def add_product(input: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> SparseTensor:
    """``beta * input + alpha * (a @ b)``: the entries of ``input``, then those of the product, not merged."""
    if not isinstance(input, SparseTensor):
        raise RuntimeError("sspaddmm: expected 'input' to have sparse layout, got 'input' with layout "
                           f"{input.layout!r}")
    product = sparse_product(a, b, "sspaddmm")
    for d, (got, size) in enumerate(zip(input.shape, product.shape, strict=False)):
        if got != size:
            raise RuntimeError(f"sspaddmm: Argument #1: Expected dim {d} size {size}, got {got}")
    from flowtorch.ops.op import REGISTRY

    cat = REGISTRY["cat"].public
    return build(cat([input._indices(), product._indices()], 1),
                 cat([values_of(input) * beta, values_of(product) * alpha]), tuple(input.shape), False)


@by_host
def sparse_product(a: Any, b: Any, name: str = "smm") -> SparseTensor:
    """``a @ b`` of a COO matrix and a dense one, as a COO tensor with whole rows where ``a`` has entries."""
    if not isinstance(a, SparseTensor):
        raise RuntimeError(f"{name}: expected 'mat1' to have sparse layout, got 'mat1' with layout {a.layout!r}")
    if not strided(b):
        raise RuntimeError(f"{name}: expected 'mat2' to have strided layout, got 'mat2' with layout {b.layout!r}")
    if b.dim() != 2:
        raise RuntimeError(f"{name}: Argument #3: matrices expected, got {b.dim()}D tensor")
    product = multiply(a, b)
    rows = coalesce(a.detach())._ind[0].unique()                         # type: ignore[attr-defined]
    columns = b.shape[1]
    indices = rows.new_empty((2, len(rows) * columns))
    indices[0] = rows.repeat_interleave(columns)
    indices[1] = rows.new_tensor(range(columns)).repeat(len(rows))
    return build(indices, product.index_select(0, rows).reshape(-1), tuple(product.shape), False)


# ---------------------------------------------------------------- handlers

@handles("matmul", "mm", "mv")
def matmul(a: Any, b: Any) -> Any:
    return multiply(a, b)


@handles("linear")
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    out = multiply(x, weight.transpose(0, 1))
    return out if bias is None else out + bias


@handles("addmm")
@by_host
def addmm(input: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1, masked: bool = False) -> Any:
    """``beta * input + alpha * (a @ b)``."""
    if isinstance(input, SparseTensor) and not (isinstance(a, SparseTensor) and isinstance(b, SparseTensor)):
        return NotImplemented
    product = multiply(a, b, masked)
    product = product if alpha == 1 else product * alpha
    if beta == 0 and not isinstance(input, SparseTensor):
        return product
    if not isinstance(input, SparseTensor):
        input = input.expand(product.shape)
    return (input if beta == 1 else input * beta) + product


@handles("addmv")
def addmv(input: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return NotImplemented if isinstance(input, SparseTensor) else addmm(input, a, b, beta, alpha)


@handles("bmm")
def bmm(a: Any, b: Any) -> Any:
    """Batches of sparse matrices times dense ones."""
    if not isinstance(a, SparseTensor):
        return NotImplemented
    if isinstance(b, SparseTensor):
        raise RuntimeError("bmm_sparse: Tensor 'mat2' must be dense")
    if a.dim() != 3 or b.dim() != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
        raise RuntimeError(f"bmm_sparse: expected batches of matrices that fit, but got {list(a.shape)} and "
                           f"{list(b.shape)}")
    from flowtorch.ops.op import REGISTRY

    pages = [multiply(x, y) for x, y in zip(a.unbind(0), b.unbind(0), strict=True)]   # type: ignore[attr-defined]
    if not pages:
        return b.new_zeros((0, a.shape[1], b.shape[2]))
    return REGISTRY["stack"].public(pages)


