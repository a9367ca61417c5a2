"""The numpy side of indexing by tensors: checking the indices, reading, writing and adding at the places they name."""
from __future__ import annotations

import warnings

import numpy as np

from flowtorch.array.scatter import add_rows, linear_index
from flowtorch.dtypes import from_numpy_dtype
from flowtorch.ops.families import convert_array

_full = slice(None)


def numpy_index(ndim: int, indices: list, dims: tuple) -> tuple:
    """The numpy index with the array ``indices[k]`` at dimension ``dims[k]`` (a mask takes as many as it has)."""
    result: list = []
    at = dict(zip(dims, indices, strict=True))
    d = 0
    while d < ndim:
        item = at.get(d, _full)
        result.append(item)
        d += item.ndim if item is not _full and item.dtype.kind == "b" else 1
    return tuple(result)


def index_arrays(indices: list, dims: tuple, shape: tuple) -> list:
    """The arrays of index tensors, checked; uint8 masks become bool ones."""
    arrays = []
    for a, d in zip(indices, dims, strict=True):
        if a.dtype == np.uint8:
            warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                          stacklevel=6)
            a = a.astype(bool)
        if a.dtype.kind == "b":
            if a.shape != shape[d:d + a.ndim]:
                wrong = next((j for j in range(a.ndim) if d + j >= len(shape) or a.shape[j] != shape[d + j]), 0)
                if d + wrong >= len(shape):
                    raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
                raise IndexError(f"The shape of the mask {list(a.shape)} at index {wrong} does not match the shape "
                                 f"of the indexed tensor {list(shape)} at index {d + wrong}")
        elif a.dtype not in (np.int64, np.int32):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        arrays.append(a)
    return arrays


def explain_index(error: Exception, arrays: list, dims: tuple, shape: tuple) -> Exception:
    """PyTorch's exception for what numpy refused: indices that do not broadcast or lie outside."""
    flat: list = []
    for a, d in zip(arrays, dims, strict=True):
        flat += [(i, shape[d + j]) for j, i in enumerate(a.nonzero())] if a.dtype.kind == "b" else [(a, shape[d])]
    try:
        np.broadcast_shapes(*[i.shape for i, _ in flat])
    except ValueError:
        return IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                          + ", ".join(str(list(i.shape)) for i, _ in flat))
    for k, (i, n) in enumerate(flat):
        if n == 0 and i.size:
            return IndexError("index is out of bounds for dimension with size 0")
        bad = i[(i < -n) | (i >= n)]
        if bad.size:
            return IndexError(f"index {bad.flat[0]} is out of bounds for dimension {k} with size {n}")
    return error


def result_shape(shape: tuple, arrays: list, dims: tuple) -> tuple:
    """The shape of what an array of ``shape`` gives at ``arrays``; IndexError for indices into a size of 0."""
    flat, where = expand_masks(arrays, dims)
    try:
        block = np.broadcast_shapes(*[i.shape for i in flat])
    except ValueError as error:
        raise explain_index(error, arrays, dims, shape) from None
    if 0 not in block and any(shape[d] == 0 for d in where):
        raise IndexError("index is out of bounds for dimension with size 0")
    rest = [d for d in range(len(shape)) if d not in where]
    first = where[0] if where == list(range(where[0], where[0] + len(where))) else 0
    return (*[shape[d] for d in rest[:first]], *block, *[shape[d] for d in rest[first:]])


def laid_out(out: np.ndarray, input: np.ndarray, arrays: list, dims: tuple) -> np.ndarray:
    """What ``input`` gave at ``arrays``, its dimensions in memory in the order that PyTorch would choose."""
    flat, where = expand_masks(arrays, dims)
    rest = [d for d in range(input.ndim) if d not in where]
    first = where[0] if where == list(range(where[0], where[0] + len(where))) else 0
    block = np.broadcast_shapes(*[i.shape for i in flat])
    n = len(block)
    strides = [input.strides[d] if input.shape[d] > 1 else 0 for d in rest]
    operands = [(*strides[:first], *[0] * n, *strides[first:])]
    for i in flat:
        own = [s if m > 1 else 0 for s, m in zip(i.strides, i.shape, strict=True)]
        operands.append((*[0] * first, *[0] * (n - i.ndim), *own, *[0] * (len(rest) - first)))
    order = memory_order(out.shape, operands)
    if order == list(range(out.ndim)):
        return np.ascontiguousarray(out)
    back = np.argsort(order)
    return np.ascontiguousarray(out.transpose(order)).transpose(back)


def memory_order(shape: tuple, operands: list) -> list:
    """The dimensions from the outermost in memory to the innermost: insertion sort by the operands' strides.

    The first operand that steps along both of two dimensions decides; 0 means that it does not step.
    """
    order = list(range(len(shape)))[::-1]

    def compare(a: int, b: int) -> int:
        for strides in operands:
            if strides[a] and strides[b]:
                if strides[a] != strides[b]:
                    return -1 if strides[a] < strides[b] else 1
                if shape[a] > shape[b]:
                    return 1
        return 0

    for i in range(1, len(order)):
        place = i
        for j in range(i - 1, -1, -1):
            result = compare(order[j], order[place])
            if result > 0:
                order[j], order[place] = order[place], order[j]
                place = j
            elif result < 0:
                break
    return order[::-1]


def expand_masks(arrays: list, dims: tuple) -> tuple[list, list]:
    """Index arrays with masks replaced by their coordinates, and the dimension that each one indexes."""
    flat: list = []
    where: list = []
    for a, d in zip(arrays, dims, strict=True):
        flat += a.nonzero() if a.dtype.kind == "b" else (a,)
        where += range(d, d + (a.ndim if a.dtype.kind == "b" else 1))
    return flat, where


def put(target: np.ndarray, arrays: list, dims: tuple, values: np.ndarray, accumulate: bool) -> None:
    """Write or add ``values`` into ``target`` where ``arrays`` point."""
    at = numpy_index(target.ndim, arrays, dims)
    if not accumulate:
        target[at] = values
        return
    if len(arrays) == 1 and arrays[0].dtype.kind == "b":
        target[at] += values                                      # a mask names every element once
        return
    if target.dtype.kind == "b":
        np.logical_or.at(target, at, values)
        return
    if values.size < 256:
        np.add.at(target, at, values)
        return
    full, where = expand_masks(arrays, dims)
    block = np.broadcast_shapes(*[i.shape for i in full])
    rest = [d for d in range(target.ndim) if d not in where]
    together = where == list(range(where[0], where[0] + len(where)))
    first = where[0] if together else 0
    shape = (*[target.shape[d] for d in rest[:first]], *block, *[target.shape[d] for d in rest[first:]])
    values = np.broadcast_to(values, shape)
    values = np.moveaxis(values, range(first, first + len(block)), range(len(block)))
    order = (*where, *rest)
    moved = target.transpose(order)
    work = moved if moved.flags.c_contiguous else np.ascontiguousarray(moved)
    size = [target.shape[d] for d in where]
    rows = linear_index(full, tuple(size))
    n = int(np.prod(size, dtype=np.int64))
    width = int(np.prod([target.shape[d] for d in rest], dtype=np.int64))
    for i, m in zip(full, size, strict=True):
        if i.size and (i.min() < -m or i.max() >= m):
            raise IndexError("out of bounds")
    add_rows(work.reshape(n, width), rows, values.reshape(rows.size, width))
    if work is not moved:
        moved[...] = work


def write(target: np.ndarray, values: np.ndarray, indices: list, dims: tuple, accumulate: bool) -> None:
    """``put`` with PyTorch's rules for the dtype and shape of ``values``, and its errors."""
    arrays = index_arrays(indices, dims, target.shape)
    if len(indices) == 1 and values.size == 1 and not accumulate and arrays[0].dtype.kind == "b":
        if indices[0].dtype == np.uint8:
            raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")
        values = convert_array(values.reshape(()), from_numpy_dtype(target.dtype))
    elif values.dtype != target.dtype:
        result_shape(target.shape, arrays, dims)              # what is wrong with the indices comes first
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{from_numpy_dtype(target.dtype).label} for the destination and "
                           f"{from_numpy_dtype(values.dtype).label} for the source.")
    if not target.size or not values.size:
        wanted = result_shape(target.shape, arrays, dims)
        if not _fits(values.shape, wanted):
            raise _mismatch(values, wanted)
        if not target.size:
            return
    try:
        put(target, arrays, dims, values, accumulate)
    except (IndexError, ValueError, TypeError) as error:
        at = numpy_index(target.ndim, arrays, dims)
        try:
            wanted = target[at].shape
        except IndexError:
            raise explain_index(error, arrays, dims, target.shape) from None
        if values.ndim > len(wanted) and _fits(values.shape, wanted):
            put(target, arrays, dims, values.reshape(values.shape[values.ndim - len(wanted):]), accumulate)
            return
        raise _mismatch(values, wanted) from None


def _fits(shape: tuple, wanted: tuple) -> bool:
    """Whether values of ``shape`` can be expanded to ``wanted``, leading dimensions of size 1 dropped."""
    lead = max(len(shape) - len(wanted), 0)
    return all(n == 1 for n in shape[:lead]) and all(
        n in (1, m) for n, m in zip(shape[lead:][::-1], wanted[::-1], strict=False))


def _mismatch(values: np.ndarray, wanted: tuple) -> RuntimeError:
    return RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
                        f"indexing result of shape {list(wanted)}")
