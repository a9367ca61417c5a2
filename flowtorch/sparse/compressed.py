"""Compressed layouts: CSR, CSC, and their blocked forms BSR and BSC, with batches and dense dimensions."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode, no_grad
from flowtorch.autograd.node import edge
from flowtorch.sparse.construct import as_tensor, checks_wanted
from flowtorch.sparse.entries import coalesce, take
from flowtorch.sparse.on_device import by_host, placed
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import LayoutTensor, SparseTensor, hollow, make
from flowtorch.tensor import Tensor, shared_counter, wrap

_new: Any = object.__new__
CSR, CSC, BSR, BSC = (dtypes.LAYOUTS[f"sparse_{n}"] for n in ("csr", "csc", "bsr", "bsc"))
LAYOUTS = (CSR, CSC, BSR, BSC)
TURNED = {CSR: CSC, CSC: CSR, BSR: BSC, BSC: BSR}
BACKENDS = {CSR: "SparseCsr", CSC: "SparseCsc", BSR: "SparseBsr", BSC: "SparseBsc"}


class CompressedTensor(LayoutTensor):
    """Pointers into the entries of each row (column), the other coordinate of each entry, and the values.

    ``_comp`` (*batch, rows + 1), ``_plain`` (*batch, nnz), ``_val`` (*batch, nnz, *block, *dense).
    """

    __slots__ = ("_comp", "_layout", "_plain", "_val")

    backend_name = "sparse_csr"
    layout = property(lambda self: self._layout)                         # type: ignore[assignment]
    backend = property(lambda self: BACKENDS[self._layout])              # type: ignore[assignment]
    is_sparse_csr = property(lambda self: self._layout is CSR)           # type: ignore[assignment]

    _comp: Tensor
    _plain: Tensor
    _val: Tensor
    _layout: dtypes.layout

    def sparse_dim(self) -> int:
        return 2

    def batch_dim(self) -> int:
        """How many leading dimensions are batches."""
        return self._comp._array.ndim - 1

    def dense_dim(self) -> int:
        return self._array.ndim - 2 - self.batch_dim()

    def _nnz(self) -> int:
        return self._plain._array.shape[-1]

    def blocksize(self) -> tuple[int, int]:
        """Rows and columns of a block; (1, 1) for layouts without blocks."""
        if self._layout in (CSR, CSC):
            return 1, 1
        n = self.batch_dim() + 1
        return self._val._array.shape[n], self._val._array.shape[n + 1]

    def values(self) -> Tensor:
        """The values of the entries; gradients flow through."""
        return values_of(self)

    def crow_indices(self) -> Tensor:
        """Where the entries of each row begin."""
        return self._part("crow_indices", self._comp, (CSR, BSR), "row")

    def col_indices(self) -> Tensor:
        """The column of each entry."""
        return self._part("col_indices", self._plain, (CSR, BSR), "row")

    def ccol_indices(self) -> Tensor:
        """Where the entries of each column begin."""
        return self._part("ccol_indices", self._comp, (CSC, BSC), "column")

    def row_indices(self) -> Tensor:
        """The row of each entry."""
        return self._part("row_indices", self._plain, (CSC, BSC), "column")

    def _part(self, name: str, part: Tensor, layouts: tuple, kind: str) -> Tensor:
        if self._layout not in layouts:
            raise RuntimeError(f"{name} expected sparse {kind} compressed tensor layout but got {self.backend}")
        return part.detach()                                             # type: ignore[attr-defined]

    def stride(self, dim: int | None = None) -> Any:
        raise RuntimeError(f"{self._kind()} tensors do not have strides")

    def is_contiguous(self, memory_format: Any = None) -> bool:
        raise RuntimeError(f"{self._kind()} tensors do not have is_contiguous")

    def _kind(self) -> str:
        return f"Sparse {str(self._layout)[-3:].upper()}"

    @property
    def nbytes(self) -> int:
        return self._comp.nbytes + self._plain.nbytes + self._val.nbytes

    def __flowtorch_detach__(self) -> Any:
        t = with_values(self, self._val)
        t._counter = shared_counter(self)
        return t

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        dtype = options.get("dtype") or self.dtype
        if maker.__name__ == "zeros_like":
            result = empty(self._layout, tuple(self.shape), dtype, options.get("device") or self.device)
        else:
            result = with_values(self, maker(self._val, *args, dtype=dtype))
        if options.get("requires_grad"):
            result.requires_grad = True
        return result

    def __flowtorch_new__(self, maker: Any, shape: tuple, options: dict) -> Any:
        from flowtorch.ops.view import sizes

        return empty(self._layout, sizes(shape, maker.__name__), options.get("dtype") or self.dtype,
                     options.get("device") or self.device)

    def zero_(self) -> Any:
        """Drop every entry."""
        self._take(empty(self._layout, tuple(self.shape), self.dtype, self.device))
        return self

    def fill_(self, value: Any) -> Any:
        """Set every entry's values."""
        self._val.fill_(value)                                           # type: ignore[attr-defined]
        return self

    def type(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            raise RuntimeError(f"Unimplemented backend {self.backend}CPU")
        return Tensor.type(self, dtype, *args, **kwargs)                 # type: ignore[attr-defined]


def assemble(layout: Any, comp: Tensor, plain: Tensor, values: Tensor, shape: Any) -> CompressedTensor:
    """A compressed tensor of these parts, which are not checked and lose their history."""
    t = _new(CompressedTensor)
    source = values._type
    t._array = hollow(shape, source.dtype)
    t._type = tensor_type(source.dtype, source.device, False, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._comp, t._plain, t._layout = comp, plain, layout
    t._val = values.detach() if values.requires_grad else values         # type: ignore[attr-defined]
    return t


def with_values(like: CompressedTensor, values: Tensor) -> CompressedTensor:
    """Other values at the entries of ``like``, without history."""
    return assemble(like._layout, like._comp, like._plain, values, like._array.shape)


def empty(layout: Any, shape: tuple, dtype: Any, device: Any = None) -> CompressedTensor:
    """A tensor without entries."""
    if layout not in (CSR, CSC):
        raise RuntimeError(f"empty tensors of layout {layout} need a block size; construct one from its parts")
    if len(shape) < 2:
        raise RuntimeError("torch.empty: Only batched sparse compressed (non-block) tensors are supported, but got "
                           f"size {list(shape)}")
    *batch, rows, columns = shape
    lines = rows if layout is CSR else columns
    t = assemble(layout, wrap(np.zeros((*batch, lines + 1), np.int64)), wrap(np.zeros((*batch, 0), np.int64)),
                 wrap(np.zeros((*batch, 0), dtype.numpy)), shape)
    return t if device is None else t.to(device)                         # type: ignore[attr-defined]


# ---------------------------------------------------------------- values and coordinates

def values_of(t: CompressedTensor) -> Tensor:
    """The values of ``t`` (not copied), through which gradients reach it."""
    values = t._val.detach()                                             # type: ignore[attr-defined]
    if edge(t) is None:
        return values
    like = t.detach()                                                    # type: ignore[attr-defined]
    return link(values, "ValuesBackward0", [t], [lambda g: rebuilt(like, g)])


def rebuilt(like: CompressedTensor, values: Tensor, label: str = "SparseCompressedTensorBackward0") -> Any:
    """Other values at the entries of ``like``, through which gradients reach them."""
    return link(with_values(like, values), label, [values], [lambda g: at_entries(g, like)])


def lines(t: CompressedTensor) -> np.ndarray:
    """The compressed coordinate of each entry, (*batch, nnz)."""
    comp = t._comp._array.reshape(-1, t._comp._array.shape[-1])
    count = comp.shape[1] - 1
    found = [np.repeat(np.arange(count), np.diff(c)) for c in comp]
    return np.stack(found).reshape(t._plain._array.shape) if found else np.zeros(t._plain._array.shape, np.int64)


def coordinates(t: CompressedTensor) -> np.ndarray:
    """The indices of every element stored, (batch + 2, elements), blocks spread out."""
    first, second = lines(t), t._plain._array.astype(np.int64)
    row, column = (first, second) if t._layout in (CSR, BSR) else (second, first)
    batch = np.indices(row.shape, np.int64)[:-1]
    if t._layout in (BSR, BSC):
        height, width = t.blocksize()
        row = row[..., None, None] * height + np.arange(height)[:, None] + np.zeros(width, np.int64)
        column = column[..., None, None] * width + np.arange(width) + np.zeros((height, 1), np.int64)
        batch = [np.broadcast_to(b[..., None, None], row.shape) for b in batch]    # type: ignore[assignment]
    return np.stack([*[b.reshape(-1) for b in batch], row.reshape(-1), column.reshape(-1)]).astype(np.int64)


def dense_shape(t: CompressedTensor) -> tuple:
    return tuple(t._array.shape[t.batch_dim() + 2:])


@by_host
def at_entries(g: Any, like: CompressedTensor) -> Tensor:
    """The elements of ``g``, of any layout, at the entries of ``like``, as its values lie."""
    if type(g) is CompressedTensor:
        if g._layout is like._layout and same_entries(g, like):
            return values_of(g)
        g = to_coo(g)
    return take(g, wrap(coordinates(like))).reshape(like._val.shape)     # type: ignore[attr-defined]


def same_entries(a: CompressedTensor, b: CompressedTensor) -> bool:
    return (a._comp is b._comp and a._plain is b._plain) or (
        np.array_equal(a._comp._array, b._comp._array) and np.array_equal(a._plain._array, b._plain._array))


@by_host
def mask(x: Any, like: CompressedTensor) -> CompressedTensor:
    """``x`` at the entries of ``like``."""
    return rebuilt(like.detach(), at_entries(x, like), "SparseMaskBackward0")    # type: ignore[attr-defined]


# ---------------------------------------------------------------- conversion

@by_host
def to_coo(t: CompressedTensor) -> SparseTensor:
    """The same entries as a COO tensor; its gradient, where it is sparse, gets the layout of ``t``."""
    like = t.detach()                                                    # type: ignore[attr-defined]
    values = like._val.reshape(-1, *dense_shape(t))
    ordered = t._layout is CSR
    result = make(wrap(coordinates(t)), values, t._array.shape, ordered)
    if ordered and t._array.ndim == 2 and t.dtype not in dtypes.LOW_PRECISION and t.dtype is not dtypes.bool_:
        result.__dict__["_csr"] = lambda: (like._val._array, like._plain._array, like._comp._array)

    def back(g: Any) -> Any:
        return g if g.layout is dtypes.strided else mask(g, like)
    result = link(result, "ToSparseBackward1", [t], [back])
    return result if ordered else coalesce(result)


@by_host
def to_dense(t: CompressedTensor, dtype: Any = None, masked_grad: bool | None = None) -> Tensor:
    """The dense tensor; the gradient of ``t`` has its entries."""
    like = t.detach()                                                    # type: ignore[attr-defined]
    dense = to_coo(like).to_dense()                                      # type: ignore[attr-defined]
    result = link(dense, "ToDenseBackward0", [t], [lambda g: g if masked_grad is False else mask(g, like)])
    return result if dtype is None else result.to(dtype)


@by_host
def to_compressed(t: Any, layout: Any, blocksize: Any = None, dense_dim: int | None = None) -> CompressedTensor:
    """A tensor of any layout in a compressed one."""
    if layout not in LAYOUTS:
        raise RuntimeError(f"to_sparse: conversion to layout {layout} is not supported")
    name = str(layout).rpartition(".")[2]
    if layout in (BSR, BSC):
        blocksize = tuple(blocksize) if blocksize is not None else (1, 1)
    if type(t) is CompressedTensor:
        if t._layout is layout and (blocksize is None or blocksize == t.blocksize()):
            return t
        if t._layout in (BSR, BSC) and layout in (CSR, CSC):
            raise RuntimeError(f"sparse_compressed_to_{name}: expected SparseCsr or SparseCsc layout but got "
                               f"{t.backend}")
    source = to_coo(t) if type(t) is CompressedTensor else t
    if type(source) is SparseTensor:
        if source.sparse_dim() != 2 and type(t) is SparseTensor:
            raise RuntimeError(f"to_{name}: only COO tensors with two sparse dimensions can be converted, but got "
                               f"{source.sparse_dim()}")
        return _from_coo(source, layout, blocksize)
    dense = dense_dim or 0
    if t.dim() < 2 + dense:
        raise IndexError(f"to_{name}: expected at least {2 + dense} dimensions, but got {t.dim()}")
    split = t.dim() - dense
    coo = source.detach().to_sparse(split) if split else source.detach().to_sparse()
    result = _from_coo(coo, layout, blocksize)
    return link(result, "ToSparse" + BACKENDS[layout][6:] + "Backward0", [t],
                [lambda g: g if g.layout is dtypes.strided else g.to_dense()])


def _from_coo(s: SparseTensor, layout: Any, blocksize: Any) -> CompressedTensor:
    """Entries of a COO tensor with batch dimensions and two more, in a compressed layout."""
    source, s = s, coalesce(s.detach())                                  # type: ignore[attr-defined]
    shape, split = s._array.shape, s.sparse_dim()
    batch, (rows, columns) = shape[:split - 2], shape[split - 2:split]
    height, width = blocksize or (1, 1)
    if rows % height or columns % width:
        raise RuntimeError(f"dense_to_{str(layout).rpartition('.')[2]}: tensor sparse size ({rows},{columns}) must be "
                           f"divisible by given blocksize ({height},{width})")
    where = s._ind._array
    by_row = layout in (CSR, BSR)
    block = where[:-2], where[-2] // height, where[-1] // width
    first, second = (block[1], block[2]) if by_row else (block[2], block[1])
    count, other = (rows // height, columns // width) if by_row else (columns // width, rows // height)
    page = np.ravel_multi_index(tuple(block[0]), batch) if len(batch) else np.zeros(where.shape[1], np.int64)
    keys, entry = np.unique((page * count + first) * other + second, return_inverse=True)
    pages = int(np.prod(batch, dtype=np.int64)) if len(batch) else 1
    per_page = np.bincount(keys // (count * other) if count * other else keys, minlength=pages)
    if len(set(per_page.tolist())) > 1:
        raise RuntimeError("Expect the same number of specified elements per batch.")
    nnz = int(per_page[0]) if len(per_page) else 0
    counts = np.bincount(keys // max(other, 1), minlength=pages * count).reshape(pages, count)
    comp = np.concatenate([np.zeros((pages, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    comp = comp.reshape(*batch, count + 1)
    plain = (keys % max(other, 1)).reshape(*batch, nnz)
    dense = tuple(shape[split:])
    if layout in (BSR, BSC):
        values = np.zeros((len(keys), height, width, *dense), s._val._array.dtype)
        values[entry.reshape(-1), where[-2] % height, where[-1] % width] = s._val._array
        values = values.reshape(*batch, nnz, height, width, *dense)
    else:
        values = np.empty((len(keys), *dense), s._val._array.dtype)
        values[entry.reshape(-1)] = s._val._array
        values = values.reshape(*batch, nnz, *dense)
    result = assemble(layout, wrap(comp), wrap(plain), wrap(values, s._val._type), shape)
    return link(result, "ToSparse" + BACKENDS[layout][6:] + "Backward0", [source],
                [lambda g: to_coo(g) if type(g) is CompressedTensor else g])


# ---------------------------------------------------------------- construction

@placed
def construct(layout: Any, compressed_indices: Any, plain_indices: Any, values: Any, size: Any = None, *,
              dtype: Any = None, device: Any = None, requires_grad: bool = False,
              check_invariants: bool | None = None) -> CompressedTensor:
    """A tensor of a compressed layout from its parts."""
    if layout not in LAYOUTS:
        got = "none" if layout is None else {"sparse_coo": "Sparse"}.get(str(layout).rpartition(".")[2], "Strided")
        raise RuntimeError(f"sparse_compressed_tensor expected sparse compressed tensor layout but got {got}")
    comp, plain, values = as_tensor(compressed_indices), as_tensor(plain_indices), as_tensor(values, dtype)
    if device is not None:
        values = values.to(device=device)                                # type: ignore[attr-defined]
    if size is None:
        size = _inferred(layout, comp, plain, values)
    shape = tuple(int(n) for n in size)
    _check(layout, comp, plain, values, shape, checks_wanted(check_invariants))
    t = rebuilt(assemble(layout, comp.detach(), plain.detach(), values.detach(), shape), values)   # type: ignore[attr-defined]
    if requires_grad and not t.requires_grad:
        t.requires_grad = True
    return t


def _inferred(layout: Any, comp: Tensor, plain: Tensor, values: Tensor) -> tuple:
    """The smallest shape that holds the entries."""
    batch = comp._array.shape[:-1]
    count = comp._array.shape[-1] - 1
    other = int(plain._array.max()) + 1 if plain._array.size else 0
    blocks = 2 if layout in (BSR, BSC) else 0
    n = len(batch) + 1
    height, width = values._array.shape[n:n + 2] if blocks else (1, 1)
    rows, columns = (count, other) if layout in (CSR, BSR) else (other, count)
    return (*batch, rows * height, columns * width, *values._array.shape[n + blocks:])


def _names(layout: Any) -> tuple[str, str, str, str]:
    return ("crow_indices", "col_indices", "row", "column") if layout in (CSR, BSR) else (
        "ccol_indices", "row_indices", "column", "row")


def _check(layout: Any, comp: Tensor, plain: Tensor, values: Tensor, shape: tuple, thorough: bool) -> None:
    """RuntimeError where the parts do not make a tensor of this shape."""
    outer, inner, line, other = _names(layout)
    for name, t in ((outer, comp), (inner, plain)):
        if t.dtype not in (dtypes.int32, dtypes.int64):
            raise RuntimeError(f"{outer} and {inner} must be an int32 or int64 type, but got {name}: {t.dtype}")
        if t.dim() < 1:
            raise RuntimeError(f"{name} must have dimensionality >= 1 but got {t.dim()}")
    batch = comp.dim() - 1
    blocks = 2 if layout in (BSR, BSC) else 0
    if len(shape) < batch + 2:
        raise RuntimeError("tensor dimensionality must be sum of batch, base, and dense dimensionalities "
                           f"(={batch} + 2 + {values.dim() - batch - 1 - blocks}) but got {len(shape)}")
    height, width = values._array.shape[batch + 1:batch + 3] if blocks else (1, 1)
    rows, columns = shape[batch] // max(height, 1), shape[batch + 1] // max(width, 1)
    count, reach = (rows, columns) if layout in (CSR, BSR) else (columns, rows)
    if comp._array.shape[-1] != count + 1:
        raise RuntimeError(f"{outer}.shape[-1] must be equal to the number of {line}s + 1 (={count + 1}), but got "
                           f"{comp._array.shape[-1]}")
    nnz = plain._array.shape[-1]
    if values.dim() <= batch or values._array.shape[batch] != nnz:
        raise RuntimeError(f"{inner}.shape[-1] must be equal to nnz (={values._array.shape[batch:batch + 1]}) as "
                           f"defined by values.shape[{batch}], but got {nnz}")
    if tuple(values._array.shape[batch + 1 + blocks:]) != shape[batch + 2:]:
        raise RuntimeError(f"values must have dense dimensions {list(shape[batch + 2:])}, but got values of shape "
                           f"{list(values.shape)}")
    c, p = comp._array, plain._array
    if (c[..., 0] != 0).any():
        raise RuntimeError(f"`{outer}[..., 0] == 0` is not satisfied.")
    if (c[..., -1] != nnz).any():
        raise RuntimeError(f"`{outer}[..., -1] == nnz` is not satisfied.")
    steps = np.diff(c, axis=-1)
    if (steps < 0).any() or (steps > reach).any():
        raise RuntimeError(f"`0 <= {outer}[..., 1:] - {outer}[..., :-1] <= n{other}s` is not satisfied.".replace(
            "ncolumns", "ncols"))
    if p.size and (p.min() < 0 or p.max() >= reach):
        raise RuntimeError(f"`0 <= {inner} < n{other}s` is not satisfied.".replace("ncolumns", "ncols"))
    if thorough:
        t = assemble(layout, comp, plain, values, shape)
        keys = lines(t).astype(np.int64) * reach + p
        if (np.diff(keys, axis=-1) <= 0).any():
            raise RuntimeError(f"`{inner}[..., {outer}[..., i - 1]:{outer}[..., i]] for all i = 1, ..., n{line}s are "
                               "sorted and distinct along the last dimension values` is not satisfied.")


@by_host
def sampled_addmm(input: Any, mat1: Any, mat2: Any, beta: Any = 1.0, alpha: Any = 1.0) -> CompressedTensor:
    """``beta * input + alpha * (mat1 @ mat2)`` at the entries of ``input``."""
    if type(input) is not CompressedTensor or input._layout is not CSR:
        raise RuntimeError("sampled_addmm: Expected self to be in CSR layout")
    where = coordinates(input)
    rows, columns = wrap(where[-2]), wrap(where[-1])
    picked = (mat1.index_select(0, rows) * mat2.index_select(1, columns).t()).sum(-1)
    product = picked if alpha == 1 else picked * alpha
    like = input.detach()                                                # type: ignore[attr-defined]
    with no_grad():
        values = product + like._val * beta if beta else product
    # The gradient of the input has the layout of the incoming one, as PyTorch's has: dense from to_dense's consumers.
    return link(with_values(like, values), "SparseSampledAddmmBackward0", [input, product],
                [lambda g: g * beta.conjugate(), lambda g: at_entries(g, like)])
