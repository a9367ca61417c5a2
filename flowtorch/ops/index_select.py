"""Reading and writing whole slices by a vector of indices: index_select, index_add, index_copy, index_fill,
index_reduce, embedding; and single elements of the flat tensor: take and put."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch.array import copies
from flowtorch.array.scatter import add_rows
from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.gather import _Along, check_bounds, label, outside, reduce_into, reduced_gradients
from flowtorch.ops.op import composite
from flowtorch.ops.writing import writing
from flowtorch.tensor import Tensor, wrap

_INDEX = (np.dtype(np.int64), np.dtype(np.int32))


# ---------------------------------------------------------------- index_select

@op(tensors=("input", "index"), low="keep", linear=("input",),
    vjp=(lambda g, index, input_shape, dim: _index_select_backward(g, index, input_shape, dim), None))
def index_select(input, dim, index):
    """A copy of the slices of ``input`` along ``dim`` that the vector ``index`` (int32 or int64) names. IndexError
    out of range.

    >>> torch.index_select(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    dim = normalize_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in _INDEX:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if input.ndim == 0:
        if index.size != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.size} value(s)")
        if index.reshape(-1)[0] != 0:
            raise IndexError("index out of range in self")
        return input.copy()
    n = input.shape[dim]
    if outside(index, n):
        if n == 0:
            raise RuntimeError("index_select(): self indexing axis dim should be positive")
        raise IndexError("index out of range in self")
    return copies.take(input, index if index.ndim else index.reshape(1), dim)


def _index_select_backward(g, index, shape, dim):
    if not shape:
        return g.reshape(shape)
    return index_add(g.new_zeros(shape), dim, index, g)


# ---------------------------------------------------------------- index_add, index_copy, index_fill

def _add_rows_along(input: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray) -> None:
    moved = np.moveaxis(input, dim, 0)
    work = moved if moved.flags.c_contiguous else np.ascontiguousarray(moved)
    width = moved[:1].size
    add_rows(work.reshape(len(work), width), index.reshape(-1).astype(np.int64),
             np.moveaxis(source, dim, 0).reshape(index.size, width))
    if work is not moved:
        moved[...] = work


def _check_source(name: str, input: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray) -> int:
    if index.dtype not in _INDEX:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {label(index)}")
    if input.dtype != source.dtype:
        raise RuntimeError(f"{name}(): self ({label(input)}) and source ({label(source)}) must have the same scalar "
                           "type")
    if index.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got dim: {index.ndim} with type: "
                         f"{label(index)} "
                         f"and size: {list(index.shape)}")
    dim = normalize_dim(dim, input.ndim)
    have = source.shape[dim] if source.ndim > dim else 1
    if index.size != have:
        raise RuntimeError(f"{name}(): Number of indices ({index.size}) should be equal to source.size(dim): "
                           f"({have}), for "
                           f"dim: {dim}")
    if input.ndim != source.ndim or any(a != b for d, (a, b) in enumerate(zip(input.shape, source.shape, strict=True))
                                        if d != dim):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the specified dimension. Got "
                           f"self.shape = {list(input.shape)} source.shape = {list(source.shape)}")
    return dim


@writing(("input", "index", "source"), order="rows", linear=("input", "source"), low="upcast",
         vjp=(lambda g: g, None,
              lambda g, dim, index, source_shape, alpha: _source_gradient(g, dim, index, source_shape) * alpha))
def index_add(input, dim, index, source, *, alpha=1):
    """``input`` with the slices of ``source``, times ``alpha``, added to those that ``index`` names along ``dim``."""
    dim = _check_source("index_add_", input, dim, index, source)
    check_bounds(index, input.shape[dim] if input.ndim else 1, dim)
    if alpha != 1:
        source = source * np.asarray(alpha).astype(source.dtype)
    if input.ndim == 0:
        input += source.reshape(())
        return
    _add_rows_along(input, dim, index, source)


def _source_gradient(g, dim, index, shape):
    if not shape:
        return g
    return index_select(g, dim, index)


@writing(("input", "index", "source"), order="rows", linear=("input", "source"),
         vjp=(lambda g, dim, index: index_fill(g, dim, index, 0), None,
              lambda g, dim, index, source_shape: index_select(g, dim, index).reshape(source_shape)))
def index_copy(input, dim, index, source):
    """``input`` with the slices that ``index`` names along ``dim`` replaced by those of ``source``."""
    if index.dtype != np.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {label(index)}")
    if input.dtype != source.dtype:
        raise RuntimeError("index_copy_(): self and source expected to have the same dtype, but got (self) "
                           f"{label(input)} and (source) {label(source)}")
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    dim = normalize_dim(dim, input.ndim)
    if source.ndim == 0 and index.size != 1:
        raise IndexError("index_copy_(): When source is scalar, index should have one element (got "
                         f"{index.size})")
    if source.ndim != input.ndim and source.ndim and input.ndim:
        raise IndexError("index_copy_(): When source and destination are not scalars, their dimensionality must "
                         "match. Source "
                         f"dimensionality ({source.ndim}), destination dimensionality ({input.ndim})")
    if source.ndim and input.ndim:
        a, b = (x.shape[:dim] + x.shape[dim + 1:] for x in (input, source))
        if a != b:
            raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. Destination "
                               "slice shape: "
                               f"{' '.join(map(str, a))} at dimension {dim} and source slice shape: "
                               f"{' '.join(map(str, b))} "
                               f"at dimension 0.")
        if source.shape[dim] != index.size:
            raise IndexError(f"index_copy_(): Number of indices ({index.size}) should be equal to source.size(dim) "
                             f"({source.shape[dim]})")
    check_bounds(index, input.shape[dim] if input.ndim else 1, dim, IndexError, "index_copy_(): ")
    if input.ndim == 0:
        input[...] = source.reshape(())
    else:
        input[(slice(None),) * dim + (index.reshape(-1),)] = source if source.ndim else source.reshape(())


def _fill_value(values: list) -> list:
    input, dim, index, value = values
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError("index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{value.dim()} dimension(s).")
    elif isinstance(input, Tensor) and isinstance(value, (int, float, complex, np.generic)):
        if isinstance(value, complex) and not input.dtype.is_complex:
            raise RuntimeError("index_fill_(): Converting complex Scalar to non-complex type is not supported")
        value = wrap(np.asarray(value.item() if isinstance(value, np.generic) else value).astype(input._type.numpy))
    return [input, dim, index, value]


@writing(("input", "index", "value"), out=False, linear=("input", "value"), prepare=_fill_value,
         vjp=(lambda g, dim, index: index_fill(g, dim, index, 0), None,
              lambda g, dim, index: index_select(g, dim, index.unique()).sum()))
def index_fill(input, dim, index, value):
    """``input`` with the slices that ``index`` names along ``dim`` set to the number or 0-d tensor ``value``."""
    if index.dtype != np.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    dim = normalize_dim(dim, input.ndim)
    n = input.shape[dim] if input.ndim else 1
    if index.size and (index.min() < -n or index.max() >= n):
        bad = index[(index < -n) | (index >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {n}")
    value = (value.real if value.dtype.kind == "c" and input.dtype.kind != "c" else value).astype(input.dtype)
    if input.ndim == 0:
        if index.size:
            input[...] = value
    else:
        input[(slice(None),) * dim + (index.reshape(-1),)] = value


@writing(("input", "index", "source"), order="rows", low="upcast")
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """``input`` with the slices of ``source`` reduced (prod, mean, amax, amin) into those that ``index`` names."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError("index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
                           f"{reduce}.")
    warnings.warn("index_reduce() is in beta and the API may change at any time.", stacklevel=6)
    dim = _check_source("index_reduce_", input, dim, index, source)
    n = input.shape[dim] if input.ndim else 1
    if outside(index, n):
        raise IndexError("index out of range in self")
    if not index.size:
        return
    moved = np.moveaxis(input, dim, 0) if input.ndim else input.reshape(1)
    work = np.ascontiguousarray(moved)
    width = work[:1].size
    at = (index.reshape(-1, 1).astype(np.int64) * width + np.arange(width)).reshape(-1)
    values = np.moveaxis(source, dim, 0) if source.ndim else source
    reduce_into(work.reshape(-1), at, np.ascontiguousarray(values).reshape(-1), reduce, include_self)
    moved[...] = work


@index_reduce.derivative
def _index_reduce_derivative(g, input, dim, index, source, reduce, include_self, out, needs):
    def again(x, s):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return index_reduce(x, dim, index, s, reduce, include_self=include_self)

    def read(x):
        return index_select(x, dim, index) if x.dim() else x

    along = _Along(read, lambda x, s: index_add(x, dim, index, s), lambda x: index_fill(x, dim, index, 0), again)
    grad_input, grad_source = reduced_gradients(g, input, source, reduce, include_self, out, along)
    return grad_input if needs[0] else None, None, grad_source if needs[2] else None


# ---------------------------------------------------------------- take and put

def _flat_positions(name: str, index: np.ndarray, n: int) -> np.ndarray:
    if index.dtype != np.int64:
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {label(index)}")
    if index.size:
        if n == 0:
            raise IndexError(f"{name}(): tried to {'take from' if name == 'take' else 'put elements into'} an empty "
                             "tensor")
        if index.min() < -n or index.max() >= n:
            bad = index[(index < -n) | (index >= n)].flat[0]
            raise IndexError(f"out of range: tried to access index {bad} on a tensor of {n} elements.")
    return np.where(index < 0, index + n, index)


@op(tensors=("input", "index"), low="keep", linear=("input",),
    vjp=(lambda g, index, input_shape: put(g.new_zeros(input_shape), index, g, True), None))
def take(input, index):
    """The elements of the flattened ``input`` that ``index`` names, in the index's shape."""
    if index.dtype == np.int64 and input.size:
        try:
            return input.take(index)                              # checks the bounds itself
        except IndexError:
            pass  # the positions are checked below, in PyTorch's words
    at = _flat_positions("take", index, input.size)
    return input.reshape(-1).take(at).reshape(index.shape)


@writing(
    ("input", "index", "source"),
    linear=("input", "source"),
    low="upcast",
    out=False,
    vjp=(
        lambda g, index, accumulate, source_shape: g if accumulate else put(g, index, g.new_zeros(index.shape)),
        None,
        lambda g, index, source_shape: take(g, index).reshape(source_shape),
    ),
)
def put(input, index, source, accumulate=False):
    """``input`` with the elements of ``source`` at the places of the flattened tensor that ``index`` names."""
    at = _flat_positions("put_", index, input.size).reshape(-1)
    if input.dtype != source.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{label(input)} and source.dtype = {label(source)}")
    if index.size != source.size:
        raise IndexError("put_(): Expected source and index to have the same number of elements, but got "
                         "source.numel() = "
                         f"{source.size}, index.numel() = {index.size}")
    work = np.ascontiguousarray(input)
    flat, values = work.reshape(-1), np.ascontiguousarray(source).reshape(-1)
    if accumulate:
        add_rows(flat.reshape(-1, 1), at, values.reshape(-1, 1))
    else:
        flat[at] = values
    if work is not input:
        input[...] = work


# ---------------------------------------------------------------- embedding

@op(out=False, tensors=("weight", "indices"), method=False, low="keep", linear=("weight",), node="EmbeddingBackward0",
    vjp=(lambda g, indices, weight_shape, padding_idx, scale_grad_by_freq, sparse: _embedding_gradient(
        g, indices, weight_shape, padding_idx, scale_grad_by_freq, sparse), None))
def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """The rows of the matrix ``weight`` that ``indices`` name; no gradient reaches row ``padding_idx``."""
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in _INDEX:
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: "
                           "Long, Int; "
                           f"but got torch.{label(indices)}Tensor instead (while checking arguments for embedding)")
    if outside(indices, len(weight)):
        raise IndexError("index out of range in self")
    return copies.take(weight, indices, 0)


@op(
    tensors=("grad_output", "indices"),
    method=False,
    linear=("grad_output",),
    namespace="Tensor",
    vjp=(
        lambda g, indices, padding_idx, scale_grad_by_freq: _embedding_again(
            g, indices, padding_idx, scale_grad_by_freq
        ),
        None,
    ),
)
def embedding_dense_backward(grad_output, indices, num_weights, padding_idx=-1, scale_grad_by_freq=False):
    """The gradient of ``embedding`` in its matrix: each row of ``grad_output`` added to the row it came from."""
    width = grad_output.shape[-1]
    out = np.zeros((num_weights, width), grad_output.dtype)
    rows = indices.reshape(-1).astype(np.int64)
    values = grad_output.reshape(rows.size, width)
    if padding_idx is not None and padding_idx >= 0:
        keep = rows != padding_idx
        if not keep.all():
            rows, values = rows[keep], values[keep]
    if scale_grad_by_freq:
        count = np.bincount(rows, minlength=num_weights)
        values = values / count[rows].astype(values.dtype)[:, None]
    add_rows(out, rows, values)
    return out


def _embedding_gradient(g, indices, shape, padding_idx, scale_grad_by_freq, sparse):
    if not sparse:
        return embedding_dense_backward(g, indices, shape[0], padding_idx, scale_grad_by_freq)
    from flowtorch.sparse.gradients import embedding_gradient

    return embedding_gradient(g, indices, shape, padding_idx, scale_grad_by_freq)


def _embedding_again(g, indices, padding_idx, scale_grad_by_freq):
    if scale_grad_by_freq:
        raise RuntimeError("double backward is not supported for embedding with scale_grad_by_freq")
    grad = embedding(g, indices, padding_idx)
    if padding_idx is not None and padding_idx >= 0:
        grad = grad.masked_fill((indices == padding_idx).unsqueeze(-1), 0)
    return grad


def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:
    """Scale the rows of ``input`` that ``indices`` name down to ``max_norm``, in place."""
    if input.dim() != 2:
        raise RuntimeError(f"Expected 2-dimensional tensor, but got {input.dim()}-dimensional tensor for argument #1 "
                           "'self' (while checking arguments for embedding_renorm_)")
    if input.is_meta:
        return input
    if input.is_cuda:
        return _renorm_there(input, indices.unique(), max_norm, norm_type)
    array = input._array
    rows = np.unique(indices._array)
    part = array[rows].astype(np.float32 if array.dtype.itemsize < 4 else array.dtype)
    norms = np.linalg.norm(part, ord=norm_type, axis=1) if norm_type != 2 else np.sqrt((part * part).sum(1))
    scale = np.where(norms > max_norm, max_norm / (norms + 1e-7), 1).astype(part.dtype)
    array[rows] = (part * scale[:, None]).astype(array.dtype)
    input._bump_version()
    return input


def _renorm_there(input: Any, rows: Any, max_norm: float, norm_type: float) -> Any:
    """The same of a table whose memory is not the host's."""
    from flowtorch.autograd.mode import no_grad

    with no_grad():
        part = input[rows]
        norms = (part.float() if part.dtype.itemsize < 4 else part).norm(norm_type, 1)
        scale = (max_norm / (norms + 1e-7)).where(norms > max_norm, norms.new_ones(()))
        input[rows] = (part * scale.unsqueeze(1)).to(part.dtype)
    return input


composite(embedding_renorm_)
