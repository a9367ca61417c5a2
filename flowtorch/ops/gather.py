"""Reading and writing along one dimension by an index of the result's shape: gather, scatter and their reductions."""
from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from flowtorch.dtypes import from_numpy_dtype
from flowtorch.errors import broadcast_error
from flowtorch.ops.arguments import need_number
from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.op import composite
from flowtorch.ops.writing import number_tensor, writing
from flowtorch.tensor import Tensor

_maximum = np.maximum.reduce
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_REDUCTIONS = {"sum": np.add, "prod": np.multiply, "mean": np.add, "amax": np.maximum, "amin": np.minimum}


def outside(index: np.ndarray, n: int) -> bool:
    """Whether some index is not in [0, n)."""
    if not index.size:
        return False
    # Read as unsigned, negative numbers are the largest: one pass instead of two.
    return int(_maximum(index.view(_UNSIGNED[index.dtype.itemsize]), axis=None)) >= n


def check_bounds(index: np.ndarray, n: int, dim: int, error: Any = RuntimeError, prefix: str = "") -> None:
    """Raise unless every index is in [0, n)."""
    if outside(index, n):
        bad = index[(index < 0) | (index >= n)].flat[0]
        raise error(f"{prefix}index {bad} is out of bounds for dimension {dim} with size {n}")


def _check(name: str, shape: tuple, index: np.ndarray, dim: int, src: np.ndarray | None = None) -> int:
    """The checks of the gather and scatter ops on their shapes; the dimension counted from the front."""
    ndim = len(shape) or 1
    dim = normalize_dim(dim, ndim)
    if index.size == 0:
        return dim
    if index.dtype not in (np.int64, np.int32):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    if (index.ndim or 1) != ndim:
        what = "input" if name == "gather" else "self"
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {what} tensor")
    if src is not None and (index.ndim or 1) != (src.ndim or 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    size, have = index.shape or (1,), shape or (1,)
    fits = all(size[d] <= have[d] for d in range(ndim) if d != dim)
    if name == "gather":
        if not fits:
            d = next(d for d in range(ndim) if d != dim and size[d] > have[d])
            raise RuntimeError(f"Size does not match at dimension {d} expected index {list(index.shape)} to be no "
                               "larger than "
                               f"self {list(shape)} apart from dimension {dim}")
    elif not fits or (src is not None and any(a > b for a, b in zip(size, src.shape or (1,), strict=True))):
        raise RuntimeError(f"Expected index {list(index.shape)} to be no larger than self {list(shape)} apart from "
                           "dimension "
                           f"{dim}" + ("" if src is None else f" and to be no larger size than src {list(src.shape)}"))
    check_bounds(index, have[dim], dim)
    return dim


def flat_index(index: np.ndarray, dim: int, shape: tuple) -> np.ndarray:
    """Positions in a C-contiguous array of ``shape`` that ``index`` along ``dim`` names, in the index's shape."""
    if not shape:
        return index.astype(np.int64)
    if not index.ndim:
        index = index.reshape(1)
    step = 1
    for n in shape[dim + 1:]:
        step *= n
    if len(shape) == 1:
        return index if index.dtype == np.int64 else index.astype(np.int64)
    if index.size <= 4096:
        return index * step + _offsets(index.shape, dim, shape)
    flat = index.astype(np.int64) if step == 1 else np.multiply(index, step, dtype=np.int64)
    stride = 1
    for d in range(len(shape) - 1, -1, -1):
        if d != dim and index.shape[d] > 1:
            flat += (np.arange(index.shape[d]) * stride).reshape((-1,) + (1,) * (index.ndim - 1 - d))
        stride *= shape[d]
    return flat


@functools.lru_cache(256)
def _offsets(size: tuple, dim: int, shape: tuple) -> np.ndarray:
    """Positions in an array of ``shape`` of all coordinates of an index of ``size`` with 0 along ``dim``."""
    flat = np.zeros(size, np.int64)
    stride = 1
    for d in range(len(shape) - 1, -1, -1):
        if d != dim:
            flat += (np.arange(size[d]) * stride).reshape((-1,) + (1,) * (len(size) - 1 - d))
        stride *= shape[d]
    return flat


@op(tensors=("input", "index"), low="keep", linear=("input",),
    vjp=(lambda g, index, input_shape, dim, sparse_grad: _gather_gradient(g, index, input_shape, dim, sparse_grad),
         None))
def gather(input, dim, index, *, sparse_grad=False):
    """The elements of ``input`` that ``index`` (int64) names along ``dim``; all other coordinates are the index's
    own.

    The result has the shape of ``index``: ``out[i][j] = input[index[i][j]][j]`` for ``dim=0``. RuntimeError for
    indices out of range, or if ``index`` is larger than ``input`` in another dimension.

    >>> x = torch.tensor([[1, 2], [3, 4]])
    >>> torch.gather(x, 1, torch.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]])
    """
    dim = _check("gather", input.shape, index, dim)
    if index.size == 0:
        return np.empty(index.shape, input.dtype)
    flat = flat_index(index, dim, input.shape)
    return (input.reshape(-1) if input.flags.c_contiguous else np.ravel(input)).take(flat).reshape(index.shape)


def _gather_gradient(g, index, shape, dim, sparse_grad):
    if not sparse_grad:
        return scatter_add(g.new_zeros(shape), dim, index, g)
    from flowtorch.sparse.gradients import gather_gradient

    return gather_gradient(g, dim, index, shape)


def _scatter_at(input: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray) -> tuple:
    """(flat view of ``input`` or None, flat positions, matching elements of ``src``)."""
    flat = flat_index(index, dim, input.shape).reshape(-1)
    part = src if src.ndim == 0 or src.shape == index.shape else src[tuple(slice(n) for n in index.shape)]
    values = np.broadcast_to(part, index.shape).reshape(-1) if part.ndim == 0 else part.reshape(-1)
    return flat, values


def _with_flat(input: np.ndarray, change: Any) -> None:
    """Run ``change`` on ``input`` as one flat C-contiguous array, and copy back if that had to be a copy."""
    if input.flags.c_contiguous:
        change(input.reshape(-1))
        return
    work = np.ascontiguousarray(input)
    change(work.reshape(-1))
    input[...] = work


def _same_dtype(input: np.ndarray, src: np.ndarray) -> None:
    if input.dtype != src.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")


def put_along(input: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, adds: bool) -> None:
    """Write the elements of ``src`` at the places that ``index`` names along ``dim``, or add them in order."""
    at, values = _scatter_at(input, dim, index, src)

    def change(flat: np.ndarray) -> None:
        if adds:
            accumulate(flat, at, values, "sum")
        else:
            flat[at] = values

    _with_flat(input, change)


# ---------------------------------------------------------------- scatter

@writing(("input", "index", "src"), order="rows", name="_scatter", method=False, linear=("input", "src"),
         node="ScatterBackward0",
         vjp=(lambda g, dim, index: _scatter(g, dim, index, g.new_zeros(())), None,
              lambda g, dim, index, src_shape: _src_gradient(g, dim, index, src_shape)))
def _scatter(input, dim, index, src):
    """``input`` with the elements of ``src`` at the places that ``index`` names along ``dim``."""
    value = (src.ndim == 0 and input.ndim > 0) or index.ndim == 0 == src.ndim
    dim = _check("scatter", input.shape, index, dim, None if value else src)
    _same_dtype(input, src)
    if index.size:
        put_along(input, dim, index, src, False)


def _src_gradient(g, dim, index, shape):
    """The gradient in ``src``: what ``index`` reads from ``g``; zero where ``src`` is larger than the index."""
    grad = gather(g, dim, index)
    if not shape and grad.dim():
        return grad.sum()
    if tuple(grad.shape) == tuple(shape):
        return grad
    full = g.new_zeros(shape)
    if grad.numel():
        full = _slices_put(full, grad)
    return full


def _slices_put(full, part):
    from flowtorch.ops.pad import constant_pad_nd

    pad = []
    for n, m in zip(reversed(full.shape), reversed(part.shape), strict=True):
        pad += [0, n - m]
    return constant_pad_nd(part, pad)


def _scatter_call(self, dim, index, src, value, reduce, inplace):
    given = src if src is not None else value
    if given is None:
        raise TypeError("scatter() received an invalid combination of arguments - got "
                        f"({type(dim).__name__}, {type(index).__name__}), but expected one of: (int dim, Tensor "
                        "index, Tensor src),"
                        " (int dim, Tensor index, Number value), (int dim, Tensor index, Tensor src, *, str reduce), "
                        "(int dim, Tensor index, Number value, *, str reduce)")
    if not isinstance(self, Tensor):
        raise TypeError(f"scatter(): argument 'input' (position 1) must be Tensor, not {type(self).__name__}")
    if not isinstance(given, Tensor):
        need_number("scatter", "value", 4, given)
        given = number_tensor(given, self)
        if reduce is not None and isinstance(index, Tensor):
            given = given.expand(index.shape)
    elif given.dim() == 0 and self.dim() and isinstance(index, Tensor) and index.numel():
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    elif reduce is not None:
        warnings.warn("The reduce argument of torch.scatter with Tensor src is deprecated and will be removed in a "
                      "future "
                      "PyTorch release. Use torch.scatter_reduce instead for more reduction options.", stacklevel=3)
    if reduce is None:
        return (_scatter.op.public_inplace if inplace else _scatter)(self, dim, index, given)
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    f = scatter_reduce.op.public_inplace if inplace else scatter_reduce
    return f(self, dim, index, given, {"add": "sum", "multiply": "prod"}[reduce])


@composite(method=True, out=True)
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """``input`` with ``src`` (a tensor or a number) at the places that ``index`` names along ``dim``."""
    return _scatter_call(input, dim, index, src, value, reduce, False)


@composite(namespace="Tensor", method=True)
def scatter_(self, dim, index, src=None, *, value=None, reduce=None):
    """Write ``src`` (a tensor or a number) at the places that ``index`` names along ``dim``."""
    return _scatter_call(self, dim, index, src, value, reduce, True)


@writing(("input", "index", "src"), order="rows", linear=("input", "src"), low="upcast",
         vjp=(lambda g: g, None, lambda g, dim, index, src_shape: _src_gradient(g, dim, index, src_shape)))
def scatter_add(input, dim, index, src):
    """``input`` with the elements of ``src`` added at the places that ``index`` names along ``dim``."""
    dim = _check("scatter", input.shape, index, dim, src)
    _same_dtype(input, src)
    if index.size:
        put_along(input, dim, index, src, True)


def accumulate(flat: np.ndarray, at: np.ndarray, values: np.ndarray, how: str) -> None:
    """``flat[at] op= values`` with every repetition counted."""
    ufunc = _REDUCTIONS[how]
    if flat.dtype.kind == "b":
        ufunc = np.logical_or if ufunc in (np.add, np.maximum) else np.logical_and
    elif flat.dtype.kind == "c" and ufunc is np.add:
        part = flat.real.dtype
        both = np.stack((at * 2, at * 2 + 1), -1).reshape(-1)
        np.add.at(flat.view(part), both, np.ascontiguousarray(values).view(part))
        return
    ufunc.at(flat, at, np.ascontiguousarray(values))


# ---------------------------------------------------------------- scatter_reduce

@writing(("input", "index", "src"), order="rows", low="upcast")
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """``input`` with ``src`` reduced into the places that ``index`` names: sum, prod, mean, amax or amin."""
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    dim = _check("scatter", input.shape, index, dim, src)
    _same_dtype(input, src)
    if index.size:
        at, values = _scatter_at(input, dim, index, src)
        _with_flat(input, lambda flat: reduce_into(flat, at, values, reduce, include_self))


def identity_of(how: str, dtype: np.dtype) -> Any:
    """What a reduction starts from."""
    if how in ("sum", "mean"):
        return dtype.type(0)
    if how == "prod":
        return dtype.type(1)
    if dtype.kind == "b":
        return how == "amin"
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if how == "amax" else np.iinfo(dtype).max
    return dtype.type(-np.inf if how == "amax" else np.inf)


def reduce_into(flat: np.ndarray, at: np.ndarray, values: np.ndarray, how: str, include_self: bool) -> None:
    """Reduce ``values`` into ``flat[at]``, starting from what is there or (without ``include_self``) from nothing."""
    if not include_self:
        flat[at] = identity_of(how, flat.dtype)
    accumulate(flat, at, values, how)
    if how == "mean":
        count = np.bincount(at, minlength=flat.size) + (1 if include_self else 0)
        count[count == 0] = 1
        if flat.dtype.kind in "iu":
            np.floor_divide(flat, count.astype(flat.dtype), flat)
        else:
            np.divide(flat, count.astype(flat.real.dtype), flat)


@scatter_reduce.derivative
def _scatter_reduce_derivative(g, input, dim, index, src, reduce, include_self, out, needs):
    along = _Along(lambda x: gather(x, dim, index), lambda x, s: scatter_add(x, dim, index, s),
                   lambda x: _scatter(x, dim, index, x.new_zeros(())),
                   lambda x, s: scatter_reduce(x, dim, index, s, reduce, include_self=include_self))
    trimmed = src if src.shape == index.shape or not src.dim() else src[tuple(slice(n) for n in index.shape)]
    grad_input, grad_src = reduced_gradients(g, input, trimmed, reduce, include_self, out, along)
    if tuple(grad_src.shape) != tuple(src.shape):
        grad_src = _slices_put(src.new_zeros(src.shape), grad_src)
    return grad_input if needs[0] else None, None, grad_src if needs[2] else None


class _Along:
    """The four maps that a reduction along an index needs for its derivative."""

    def __init__(self, read: Any, add: Any, clear: Any, again: Any) -> None:
        self.read, self.add, self.clear, self.again = read, add, clear, again


def reduced_gradients(g, input, src, how, include_self, out, along):
    """The gradients in ``input`` and ``src`` of a reduction of ``src`` into ``input``."""
    if how == "sum":
        grad_input, grad_src = g, along.read(g)
    elif how == "mean":
        ones = input.new_ones(input.shape)
        count = along.add(ones if include_self else ones * 0, src.new_ones(src.shape))
        count = count.masked_fill(count == 0, 1)
        share = g / count
        grad_input, grad_src = share, along.read(share)
    elif how == "prod":
        return _prod_gradients(g, input, src, include_self, out, along)
    else:
        value = along.read(out)
        own, from_src = (input == out).to(input.dtype), (src == value).to(src.dtype)
        count = along.add(own if include_self else along.clear(own), from_src)
        share = g / count.masked_fill(count == 0, 1)
        grad_input, grad_src = own * share, from_src * along.read(share)
        if not include_self:
            untouched = along.clear(g.new_ones(g.shape))
            return g * untouched, grad_src
        return grad_input, grad_src
    return grad_input if include_self else along.clear(grad_input), grad_src


def _prod_gradients(g, input, src, include_self, out, along):
    # Zeros are replaced by one where the product is differentiated, so that the quotient is the product of the others.
    filled = input.masked_fill(input == 0, 1)
    grad_input = g * along.again(filled, src) / filled
    zero = src == 0
    zeros = along.read(along.add(input.new_zeros(input.shape), zero.to(src.dtype)))
    single = zero & (zeros == 1)
    others = along.again(input, src.masked_fill(single, 1))
    grad_src = single.to(src.dtype) * along.read(g * others)
    rest = along.read(g * out) / src.masked_fill(zero, 1)
    grad_src = grad_src + rest.masked_fill(zero, 0)
    return grad_input if include_self else along.clear(grad_input), grad_src


@composite(method=True, out=True)
def take_along_dim(input, indices, dim=None):
    """The elements that ``indices`` (broadcast with ``input``) name along ``dim``; of the flat tensor without it."""
    if indices.dtype.name != "int64":
        raise RuntimeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype.label}")
    if dim is None:
        flat, at = input.reshape(-1), indices.reshape(-1)
        return gather(flat, 0, _wrapped(at, flat.size(0)))
    if input.dim() != indices.dim():
        raise RuntimeError("torch.take_along_dim(): input and indices should have the same number of dimensions, but "
                           "got "
                           f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices")
    dim = normalize_dim(dim, input.dim())
    shapes = [tuple(1 if d == dim else n for d, n in enumerate(t.shape)) for t in (input, indices)]
    if (refused := broadcast_error(shapes)) is not None:
        raise RuntimeError(f"take_along_dim(): {refused}")
    shape = list(np.broadcast_shapes(*shapes))
    n, m = (input.size(dim), indices.size(dim)) if input.dim() else (1, 1)
    if input.dim():
        input = input.expand(*shape[:dim], n, *shape[dim + 1:])
        indices = indices.expand(*shape[:dim], m, *shape[dim + 1:])
    return gather(input, dim, _wrapped(indices, n))


def _wrapped(index, n):
    """Negative indices counted from the end."""
    return index.where(index >= 0, index + n)


def label(a: np.ndarray) -> str:
    """PyTorch's name of an array's dtype, for messages."""
    return from_numpy_dtype(a.dtype).label
