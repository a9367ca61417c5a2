"""Ops that take indices or masks, on the device: gather, scatter, index, embedding, nonzero and their relatives."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, to_host
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.triton_map import grid_map
from flowtorch.dtypes import from_numpy_dtype
from flowtorch.errors import broadcast_error
from flowtorch.ops import gather as gathering
from flowtorch.ops import index_select as selecting
from flowtorch.ops import masking
from flowtorch.ops.cuda import places as placing
from flowtorch.ops.cuda.base import INT64, bits, copied, copy_into, dense, formula, full, kernel, number, parts, zeros
from flowtorch.ops.cuda.places import Lookup, Places, along_dim, outline, read, slices, spread_to, write, written
from flowtorch.ops.cuda.scans import cumsum
from flowtorch.ops.families import convert_array, normalize_dim
from flowtorch.ops.index_kernels import index_arrays


def _at_least_1d(array: Any) -> Any:
    return array if array.ndim else array.reshape(1)


# ---------------------------------------------------------------- along a dimension, by an index of the result's shape

@kernel("gather")
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    dim = gathering._check("gather", input.shape, outline(index), dim)
    if index.size == 0:
        return empty(index.shape, input.dtype)
    source, at = _at_least_1d(input), _at_least_1d(index)
    return read(source, along_dim(source, dim, at, "gather()", at.shape)).reshape(index.shape)


def _scattered(input: Any, dim: int, index: Any, src: Any, rule: str | None, include_self: bool = True) -> Any:
    value = rule is None and ((src.ndim == 0 and input.ndim > 0) or index.ndim == 0 == src.ndim)
    dim = gathering._check("scatter", input.shape, outline(index), dim, None if value else src)
    gathering._same_dtype(input, src)

    def change(result: Any) -> None:
        if not index.size:
            return
        target, at = _at_least_1d(result), _at_least_1d(index)
        values = src
        if src.ndim and src.shape != index.shape:
            values = src[tuple([slice(n) for n in at.shape])]
        places = along_dim(target, dim, at, "scatter()", at.shape)
        if rule is None:
            write(target, places, values)
        else:
            placing.accumulate(target, places, values, rule, include_self)

    return written(input, change)


@kernel("_scatter")
def scatter(input: Any, dim: int, index: Any, src: Any) -> Any:
    return _scattered(input, dim, index, src, None)


@kernel("scatter_add")
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    return _scattered(input, dim, index, src, "sum")


@kernel("scatter_reduce")
def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    if reduce not in gathering._REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    return _scattered(input, dim, index, src, reduce, include_self)


# ---------------------------------------------------------------- whole slices, by a vector

@kernel("index_select")
def index_select(input: Any, dim: int, index: Any) -> Any:
    dim = normalize_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in selecting._INDEX:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if input.ndim == 0:
        if index.size != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {index.size} value(s)")
        return copied(input)
    if gathering.outside(outline(index), input.shape[dim]):
        if input.shape[dim] == 0:
            raise RuntimeError("index_select(): self indexing axis dim should be positive")
        raise IndexError("index out of range in self")
    return read(input, slices(input, dim, index, "index_select()"))


@kernel("index_add")
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    dim = selecting._check_source("index_add_", input, dim, index, source)
    gathering.check_bounds(outline(index), input.shape[dim] if input.ndim else 1, dim)
    alpha = number(alpha)
    if alpha != 1:
        name = source.dtype.name
        factor = int(alpha) if source.dtype.kind in "iu" else alpha
        source = formula("x * a", (("x", name),), ("a",), name)(source, factor)

    def change(result: Any) -> None:
        target = _at_least_1d(result)
        placing.accumulate(target, slices(target, dim, index, "index_add()"), _at_least_1d(source))

    return written(input, change)


@kernel("index_copy")
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    if index.dtype != np.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {gathering.label(index)}")
    if input.dtype != source.dtype:
        raise RuntimeError("index_copy_(): self and source expected to have the same dtype, but got (self) "
                           f"{gathering.label(input)} and (source) {gathering.label(source)}")
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    dim = normalize_dim(dim, input.ndim)
    if source.ndim == 0 and index.size != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {index.size})")
    if source.ndim and input.ndim and (
            source.ndim != input.ndim or source.shape[:dim] + source.shape[dim + 1:]
            != input.shape[:dim] + input.shape[dim + 1:]):
        raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. Destination slice "
                           f"shape: {' '.join(map(str, input.shape[:dim] + input.shape[dim + 1:]))} at dimension {dim} "
                           f"and source slice shape: {' '.join(map(str, source.shape[:dim] + source.shape[dim + 1:]))} "
                           "at dimension 0.")
    if source.ndim and input.ndim and source.shape[dim] != index.size:
        raise IndexError(f"index_copy_(): Number of indices ({index.size}) should be equal to source.size(dim) "
                         f"({source.shape[dim]})")
    gathering.check_bounds(outline(index), input.shape[dim] if input.ndim else 1, dim, IndexError, "index_copy_(): ")

    def change(result: Any) -> None:
        target = _at_least_1d(result)
        write(target, slices(target, dim, index, "index_copy()"), _at_least_1d(source))

    return written(input, change)


@kernel("index_fill")
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    if index.dtype != np.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    dim = normalize_dim(dim, input.ndim)
    n = input.shape[dim] if input.ndim else 1
    seen = outline(index)
    if index.size and (seen.min() < -n or seen.max() >= n):
        bad = index[(index < -n) | (index >= n)].flat[0]
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {n}")

    def change(result: Any) -> None:
        target = _at_least_1d(result)
        places = slices(target, dim, index, "index_fill()")
        for lookup in places.lookups:
            lookup.wrap = True
        write(target, places, value.reshape((1,) * target.ndim))

    return written(input, change) if index.size else copied(input)


@kernel("index_reduce")
def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    warnings.warn("index_reduce() is in beta and the API may change at any time.", stacklevel=6)
    dim = selecting._check_source("index_reduce_", input, dim, index, source)
    if gathering.outside(outline(index), input.shape[dim] if input.ndim else 1):
        raise IndexError("index out of range in self")

    def change(result: Any) -> None:
        target = _at_least_1d(result)
        at = slices(target, dim, index, "index_reduce()")
        placing.accumulate(target, at, _at_least_1d(source), reduce, include_self)

    return written(input, change)


# ---------------------------------------------------------------- single elements of the flat tensor

def _check_flat(name: str, index: Any, n: int) -> None:
    selecting._flat_positions(name, index if outline(index) is index else np.zeros(min(index.size, 1), index.dtype), n)


@kernel("take")
def take(input: Any, index: Any) -> Any:
    _check_flat("take", index, input.size)
    flat = dense(input).reshape(-1)
    return read(flat, Places(index.shape, (0,) * index.ndim, [Lookup(index, 1, flat.size, True)], "take()"))


@kernel("put")
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    _check_flat("put_", index, input.size)
    if input.dtype != source.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got self.dtype = "
                           f"{gathering.label(input)} and source.dtype = {gathering.label(source)}")
    if index.size != source.size:
        raise IndexError("put_(): Expected source and index to have the same number of elements, but got "
                         f"source.numel() = {source.size}, index.numel() = {index.size}")
    result = empty(input.shape, input.dtype)
    copy_into(result, input)
    flat, at = result.reshape(-1), dense(index).reshape(-1)
    places = Places(at.shape, (0,), [Lookup(at, 1, flat.size, True)], "put_()")
    values = dense(source).reshape(-1)
    if accumulate:
        placing.accumulate(flat, places, values)
    else:
        write(flat, places, values)
    return result


# ---------------------------------------------------------------- embedding

@kernel("embedding")
def embedding(weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False,
              sparse: bool = False) -> Any:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in selecting._INDEX:
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following scalar types: "
                           f"Long, Int; but got torch.{gathering.label(indices)}Tensor instead (while checking "
                           "arguments for embedding)")
    if gathering.outside(outline(indices), len(weight)):
        raise IndexError("index out of range in self")
    return read(weight, _rows(weight, indices, "embedding()"))


def _rows(matrix: Any, indices: Any, what: str) -> Places:
    row, column = element_strides(matrix)
    shape = (*indices.shape, matrix.shape[1])
    return Places(shape, (*[0] * indices.ndim, column), [Lookup(indices[..., None], row, matrix.shape[0])], what)


@kernel("embedding_dense_backward")
def embedding_dense_backward(grad_output: Any, indices: Any, num_weights: int, padding_idx: int = -1,
                             scale_grad_by_freq: bool = False) -> Any:
    result = zeros((num_weights, grad_output.shape[-1]), grad_output.dtype)
    name = grad_output.dtype.name
    if padding_idx is not None and padding_idx >= 0:
        types = (("g", name), ("k", indices.dtype.name))
        grad_output = formula("where(k == pad, 0, g)", types, ("pad",), name)(grad_output, indices[..., None],
                                                                              padding_idx)
    if scale_grad_by_freq:
        count = zeros((num_weights,), np.int32)
        at = Places(indices.shape, (0,) * indices.ndim, [Lookup(indices, 1, num_weights)], "embedding()")
        placing.accumulate(count, at, _ones(indices.shape))
        own = read(count, at)
        types = (("g", name), ("n", "int32"))
        grad_output = formula("g / cast(n, " + name + ")", types, (), name)(grad_output, own[..., None])
    placing.accumulate(result, _rows(result, indices, "embedding()"), grad_output)
    return result


def _ones(shape: tuple) -> Any:
    return full(shape, np.int32, 1)


# ---------------------------------------------------------------- tensors of indices

def _lookups(indices: list, dims: tuple, shape: tuple) -> tuple[list, list[int]]:
    """Index arrays with masks replaced by their coordinates, and the dimension that each one indexes."""
    flat: list = []
    where: list[int] = []
    for a, d in zip(index_arrays(indices, dims, shape), dims, strict=True):
        if a.dtype.kind == "b":
            found = nonzero(a)
            flat += [found[:, j] for j in range(a.ndim)] if a.ndim else [found[:, :0]]
            where += range(d, d + a.ndim)
        else:
            flat.append(a)
            where.append(d)
    return flat, where


def _indexed(shape: tuple, strides: tuple, indices: list, dims: tuple) -> Places:
    flat, where = _lookups(indices, dims, shape)
    try:
        block = np.broadcast_shapes(*[i.shape for i in flat])
    except ValueError:
        raise IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                         + ", ".join(str(list(i.shape)) for i in flat)) from None
    if 0 not in block and any(shape[d] == 0 for d in where):
        raise IndexError("index is out of bounds for dimension with size 0")
    for i, d in zip(flat, where, strict=True):
        seen = outline(i)
        if i.size and (seen.min() < -shape[d] or seen.max() >= shape[d]):
            bad = i[(i < -shape[d]) | (i >= shape[d])].flat[0]
            raise IndexError(f"index {bad} is out of bounds for dimension {d} with size {shape[d]}")
    rest = [d for d in range(len(shape)) if d not in where]
    first = where[0] if where == list(range(where[0], where[0] + len(where))) else 0
    space = (*[shape[d] for d in rest[:first]], *block, *[shape[d] for d in rest[first:]])
    steps = (*[strides[d] for d in rest[:first]], *[0] * len(block), *[strides[d] for d in rest[first:]])
    after = (1,) * (len(rest) - first)
    lookups = [Lookup(i.reshape((*i.shape, *after)), strides[d], shape[d], True)
               for i, d in zip(flat, where, strict=True)]
    return Places(space, steps, lookups, "index")


@kernel("index")
def index(input: Any, indices: list, dims: tuple) -> Any:
    return read(input, _indexed(input.shape, element_strides(input), indices, dims))


@kernel("index_backward")
def index_backward(input: Any, indices: list, dims: tuple, shape: tuple) -> Any:
    result = zeros(shape, input.dtype)
    if input.size:
        placing.accumulate(result, _indexed(shape, element_strides(result), indices, dims), input)
    return result


@kernel("_index_put")
def index_put(input: Any, values: Any, indices: list, dims: tuple, accumulate: bool = False) -> Any:
    if len(indices) == 1 and values.size == 1 and not accumulate and indices[0].dtype.name in ("bool", "uint8"):
        if indices[0].dtype == np.uint8:
            raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")
        values = values.reshape(())
        if values.dtype != input.dtype:
            values = convert_array(values, from_numpy_dtype(input.dtype))
    elif values.dtype != input.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{from_numpy_dtype(input.dtype).label} for the destination and "
                           f"{from_numpy_dtype(values.dtype).label} for the source.")

    def change(result: Any) -> None:
        places = _indexed(result.shape, element_strides(result), indices, dims)
        given = values
        extra = given.ndim - len(places.shape)
        if extra > 0 and all(n == 1 for n in given.shape[:extra]):
            given = given.reshape(given.shape[extra:])
        try:
            fits = np.broadcast_shapes(given.shape, places.shape) == places.shape
        except ValueError:
            fits = False
        if not fits:
            raise RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
                               f"indexing result of shape {list(places.shape)}")
        if accumulate:
            placing.accumulate(result, places, given)
        else:
            write(result, places, given)

    return written(input, change)


# ---------------------------------------------------------------- masks

def _flags(input: Any) -> Any:
    """1 where the flattened input is not zero."""
    flat = dense(input).reshape(-1)
    if input.dtype.kind == "c":
        real, imag = (dense(part) for part in parts(flat))
        types = (("a", real.dtype.name), ("b", real.dtype.name))
        return formula("cast((a != 0) | (b != 0), int64)", types, (), "int64")(real, imag)
    return formula("cast(x != 0, int64)", (("x", input.dtype.name),), (), "int64")(flat)


def _numbered(input: Any) -> tuple[Any, Any, int]:
    """(flags of the flattened input, their running count, how many are set): waits for the device."""
    flags = _flags(input)
    if not flags.size:
        return flags, flags, 0
    running = cumsum(flags, 0)
    return flags, running, int(to_host(running[-1:])[0])


@kernel("_nonzero")
def nonzero(input: Any) -> Any:
    if input.ndim == 0:
        return empty((int(bool(to_host(input))), 0), INT64)
    flags, running, count = _numbered(input)
    result = empty((input.ndim, count), INT64)
    lines = [f"tl.store(y_ptr + {d} * count + n - 1, c{d}.to(tl.int64), mask=m & (f != 0))" for d in range(input.ndim)]
    given = {"f": flags.reshape(input.shape), "n": running.reshape(input.shape)}
    grid_map("nonzero", input.shape, lines, given, {}, {"y": result}, {"count": count})
    return result.T


@kernel("masked_select")
def masked_select(input: Any, mask: Any) -> Any:
    if mask.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    try:
        shape = np.broadcast_shapes(input.shape, mask.shape)
    except ValueError:
        raise RuntimeError(broadcast_error([mask.shape, input.shape])) from None
    flags, running, count = _numbered(spread_to(mask, shape))
    result = empty((count,), input.dtype)
    at = formula("where(f != 0, n - 1, -1)", (("f", "int64"), ("n", "int64")), (), "int64")(flags, running)
    chosen = Places(shape, (0,) * len(shape), [Lookup(at.reshape(shape), 1, max(count, 1))], "masked_select()")
    _write_chosen(result, chosen, input)
    return result


def _write_chosen(target: Any, places: Places, values: Any) -> None:
    """``write`` where a negative position means that nothing is written."""
    at, words = places.split(target)
    given = bits(values)
    lines = ["tl.store(x_ptr + k0 * t0 + off, v, mask=m & (k0 >= 0))"]
    lines.insert(0, f"off = {f'c{len(at.shape) - 1}' if len(at.shape) > len(places.shape) else 0}")
    grid_map("write_chosen", at.shape, lines, {**at.inputs, "v": given}, {}, {"x": words},
             {"t0": at.lookups[0].stride})


@kernel("_masked_scatter")
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    if input.dtype != source.dtype:
        a, b = (gathering.label(x) for x in (input, source))
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{a} and {b}")
    masking._fit_mask(np.broadcast_to(np.zeros((), input.dtype), input.shape),
                      np.broadcast_to(np.zeros((), mask.dtype), mask.shape), "masked_scatter_")
    spread = spread_to(mask, input.shape)
    flags, running, count = _numbered(spread)
    if count > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    if not count:
        return copied(input)
    at = formula("where(f != 0, n - 1, 0)", (("f", "int64"), ("n", "int64")), (), "int64")(flags, running)
    lookup = Lookup(at.reshape(input.shape), 1, source.size)
    places = Places(input.shape, (0,) * input.ndim, [lookup], "masked_scatter_()")
    values = read(dense(source).reshape(-1), places)
    result = copied(input)
    _choose(spread, values, result)
    return result


def _choose(mask: Any, values: Any, target: Any) -> None:
    words, given = bits(target), bits(values)
    flags = mask if words.ndim == mask.ndim else mask[..., None]
    grid_map("choose", words.shape, ["y = tl.where(f, v, x)"], {"f": flags, "v": given, "x": words}, {"y": words})


@kernel("_interleave_index")
def interleave_index(repeats: Any) -> Any:
    if repeats.dtype not in (np.int64, np.int32):
        raise NotImplementedError(f"\"repeat_interleave_cuda\" not implemented for '{gathering.label(repeats)}'")
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if not repeats.size:
        return empty((0,), repeats.dtype)
    ends = cumsum(repeats, 0)
    least = to_host(_least(repeats))
    if least < 0:
        raise RuntimeError("repeats can not be negative")
    total = int(to_host(ends[-1:])[0])
    result = empty((total,), repeats.dtype)
    grid_map("interleave", (total,), [*_SEARCH, "y = low"], {}, {"y": result}, {"e": ends},
             {"count": repeats.size}, constants={"STEPS": repeats.size.bit_length()})
    return result


def _least(array: Any) -> Any:
    return triton_kernel.reduce("amin", array, tuple(range(array.ndim)), array.dtype.name)


# the number of elements of the ascending e that are <= i
_SEARCH = (
    "low = i * 0",
    "high = low + count",
    "for step in range(STEPS):",
    "    middle = (low + high) // 2",
    "    edge = tl.load(e_ptr + middle, mask=m & (middle < count), other=0)",
    "    right = (low < high) & (edge <= i)",
    "    high = tl.where((low < high) & (right == 0), middle, high)",
    "    low = tl.where(right, middle + 1, low)",
)
