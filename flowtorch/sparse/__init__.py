"""torch.sparse: functions of sparse tensors beside those that every tensor has."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.sparse import handlers as _handlers
from flowtorch.sparse.compressed import CompressedTensor as _CompressedTensor
from flowtorch.sparse.construct import check_sparse_tensor_invariants
from flowtorch.sparse.on_device import by_host as _by_host
from flowtorch.sparse.tensor import LayoutTensor as _LayoutTensor
from flowtorch.sparse.tensor import SparseTensor as _SparseTensor
from flowtorch.tensor import Tensor, wrap

_handlers.load()

from flowtorch.sparse import compressed_ops as _compressed_ops  # noqa: E402
from flowtorch.sparse import products as _products  # noqa: E402
from flowtorch.sparse import reductions as _reductions  # noqa: E402

__all__ = ["addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax", "mm", "sampled_addmm",
           "softmax", "spdiags", "sum"]


def mm(mat1: Tensor, mat2: Tensor, reduce: str | None = None) -> Tensor:
    """The product of a sparse matrix and a sparse or dense one; the sparse one's gradient has its entries only."""
    if reduce is not None:
        return _compressed_ops.reduced(mat1, mat2, reduce)
    for t in (mat1, mat2):
        if t.dim() != 2:
            raise RuntimeError(f"mm: expected matrices, but got a {t.dim()}D tensor")
    if not isinstance(mat1, _LayoutTensor) and not isinstance(mat2, _LayoutTensor):
        return mat1.mm(mat2)                                             # type: ignore[attr-defined]
    if isinstance(mat1, _SparseTensor) and not isinstance(mat2, _CompressedTensor):
        return _products.multiply(mat1, mat2, masked=True)
    return _compressed_ops.matmul(mat1, mat2, masked=True)


def __getattr__(name: str) -> Any:
    if name.endswith("Tensor"):
        from flowtorch.sparse.legacy import TYPES

        if name in TYPES:
            return TYPES[name]
    if "emi_structured" in name or name.startswith("SparseSemiStructured"):
        import importlib

        module = importlib.import_module("flowtorch.sparse.semi_structured")
        return module if name == "semi_structured" else getattr(module, name)
    raise AttributeError(f"module 'torch.sparse' has no attribute '{name}' (flowtorch does not provide it)")


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0) -> Tensor:
    """``beta * mat + alpha * (mat1 @ mat2)``; the gradient of sparse ``mat1`` has its entries only."""
    if not isinstance(mat1, _LayoutTensor):
        return mat.addmm(mat1, mat2, beta=beta, alpha=alpha)             # type: ignore[attr-defined]
    if isinstance(mat1, _SparseTensor):
        return _products.addmm(mat, mat1, mat2, beta, alpha, masked=True)
    return _compressed_ops.addmm(mat, mat1, mat2, beta, alpha, masked=True)


def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum of a sparse tensor; its gradient has the entries that ``input`` has."""
    if isinstance(input, _CompressedTensor):
        input.coalesce()                                                 # type: ignore[attr-defined]
    if not isinstance(input, _SparseTensor):
        return input.sum(dtype=dtype) if dim is None else input.sum(dim, dtype=dtype)     # type: ignore[attr-defined]
    return _reductions.sum_dims(input, range_of(input) if dim is None else dim, dtype=dtype)


def range_of(t: Tensor) -> list[int]:
    """All dimensions of a tensor."""
    return list(range(t.dim()))


def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Softmax along ``dim`` over the entries; elements without one count as minus infinity."""
    return _softmax(input, dim, dtype, False)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of ``softmax``."""
    return _softmax(input, dim, dtype, True)


def _softmax(input: Tensor, dim: int, dtype: Any, log: bool) -> Tensor:
    if not isinstance(input, _SparseTensor):
        raise NotImplementedError("Could not run 'aten::_sparse_softmax' with arguments from the 'CPU' backend: the "
                                  "operand has to be a sparse COO tensor.")
    return _reductions.softmax(input if dtype is None else input.to(dtype), dim, log)    # type: ignore[attr-defined]


def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0,
                  out: Any = None) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` at the entries of the CSR matrix ``input``."""
    from flowtorch.sparse import compressed

    return compressed.sampled_addmm(input, mat1, mat2, beta, alpha)


@_by_host
def spdiags(diagonals: Tensor, offsets: Tensor, shape: tuple[int, int], layout: Any = None) -> Tensor:
    """A sparse matrix with the rows of ``diagonals`` along the diagonals that ``offsets`` names."""
    rows = diagonals if diagonals.dim() == 2 else diagonals.unsqueeze(0)      # type: ignore[attr-defined]
    where = np.atleast_1d(offsets._array)
    if len(set(where.tolist())) != len(where):
        raise RuntimeError("spdiags(): Offset tensor contains duplicate values")
    if len(where) != rows.shape[0]:
        raise RuntimeError(f"spdiags(): Number of diagonals ({rows.shape[0]}) does not match the number of offsets "
                           f"({len(where)})")
    indices, at = [], []
    for k, offset in enumerate(where.tolist()):
        columns = np.arange(max(0, offset), min(shape[1], shape[0] + offset, rows.shape[1]))
        indices.append(np.stack([columns - offset, columns]))
        at.append(np.stack([np.full(len(columns), k), columns]))
    from flowtorch.sparse.entries import build

    place = np.concatenate(at, axis=1).astype(np.int64)
    values = rows[wrap(place[0]), wrap(place[1])]
    result = build(wrap(np.concatenate(indices, axis=1).astype(np.int64)), values, tuple(shape), False)
    return result if layout in (None, dtypes.LAYOUTS["sparse_coo"]) else result.to_sparse(layout=layout)  # type: ignore[attr-defined]


def as_sparse_gradcheck(gradcheck: Any) -> Any:
    """A gradcheck for functions of sparse tensors: it perturbs their values."""
    def check(func: Any, inputs: Any, **options: Any) -> Any:
        masked = options.pop("masked", False)
        inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        layouts = [t if isinstance(t, _LayoutTensor) else None for t in inputs]

        def strided(*values: Any) -> Any:
            args = [v if s is None else _with_values(s, v) for s, v in zip(layouts, values, strict=True)]
            result = func(*args)
            return result.to_dense(masked_grad=masked) if isinstance(result, _LayoutTensor) else result
        flat = tuple(t if s is None else s.coalesce().values().detach().requires_grad_(s.requires_grad)
                     for t, s in zip(inputs, layouts, strict=True))
        return gradcheck(strided, flat, **options)
    return check


def _with_values(s: Any, values: Any) -> Any:
    from flowtorch.sparse.entries import build

    s = s.coalesce()
    return build(s._ind, values, tuple(s.shape), True)
