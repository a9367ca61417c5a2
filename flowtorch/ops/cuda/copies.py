"""Copies on the device: clone, joins, pads, flips, triangles, and copies with a part overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowtorch import dtypes
from flowtorch.array.cuda import empty
from flowtorch.array.place import broadcast
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops import masking, rearrange
from flowtorch.ops.cuda.base import bits, copied, copy_into, dense, fill, formula, full, kernel, zeros
from flowtorch.ops.families import normalize_dim, normalize_dims
from flowtorch.ops.join import joinable
from flowtorch.ops.op import REGISTRY


def _channels_last(shape: Sequence[int], dtype: Any) -> Any:
    order = [0, *range(2, len(shape)), 1]
    return empty([shape[d] for d in order], dtype).transpose([order.index(d) for d in range(len(shape))])


@kernel("clone")
def clone(input: Any, *, memory_format: Any = dtypes.preserve_format) -> Any:
    if memory_format is dtypes.preserve_format or memory_format is None:
        return copied(input)
    if memory_format in (dtypes.channels_last, dtypes.channels_last_3d):
        rank = 4 if memory_format is dtypes.channels_last else 5
        if input.ndim != rank:
            raise RuntimeError(f"required rank {rank} tensor to use {memory_format.name} format")
        result = _channels_last(input.shape, input.dtype)
    else:
        result = empty(input.shape, input.dtype)
    copy_into(result, input)
    return result


@kernel("_linked")
def linked(grad: Any, input: Any) -> Any:
    return copied(grad)


@kernel("getitem_backward")
def getitem_backward(input: Any, index: tuple, shape: tuple) -> Any:
    result = zeros(shape, input.dtype)
    part = result[tuple([i for i in index if i is not None] + [...])]
    copy_into(part, input.reshape(part.shape))
    return result


@kernel("_masked_fill")
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    name = input.dtype.name
    if value.dtype.kind == "c" and input.dtype.kind != "c":
        masking.check_number(value.item(), dtypes.from_numpy_dtype(input.dtype))
    if input.dtype.kind == "c":
        result = copied(input)
        flags = dense(broadcast(mask, input.shape))
        single = full((1,), input.dtype, complex(value.item()))
        words, chosen = bits(result), bits(single)
        shape = words.shape
        flags = flags if words.ndim == flags.ndim else flags[..., None]
        inputs = {"f": flags, "x": words, "v": chosen.reshape(chosen.shape[1:])}
        grid_map("masked_fill", shape, ["y = tl.where(f, v, x)"], inputs, {"y": words})
        return result
    types = (("m", mask.dtype.name), ("x", name), ("v", value.dtype.name))
    return formula("where(m, cast(v, " + name + "), x)", types, (), name)(mask, input, value)


# ---------------------------------------------------------------- joining

@kernel("cat")
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    given, dim = joinable(tensors, dim)
    first = given[0]
    shape = list(first.shape)
    shape[dim] = sum(a.shape[dim] for a in given)
    order = (0, *range(2, first.ndim), 1)
    last = first.ndim in (4, 5) and all(a.transpose(order).flags.c_contiguous for a in given)
    result = _channels_last(shape, first.dtype) if last else empty(shape, first.dtype)
    start = 0
    for a in given:
        copy_into(result[(slice(None),) * dim + (slice(start, start + a.shape[dim]),)], a)
        start += a.shape[dim]
    return result


@kernel("stack")
def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    dim = normalize_dim(dim, first.ndim + 1)
    for k, a in enumerate(tensors):
        if a.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 "
                               f"and {list(a.shape)} at entry {k}")
    result = empty((*first.shape[:dim], len(tensors), *first.shape[dim:]), first.dtype)
    for k, a in enumerate(tensors):
        copy_into(result[(slice(None),) * dim + (k, ...)], a)
    return result


# ---------------------------------------------------------------- other orders

@kernel("repeat")
def repeat(input: Any, repeats: tuple) -> Any:
    if len(repeats) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * (len(repeats) - input.ndim) + input.shape
    total = [n * r for n, r in zip(shape, repeats, strict=True)]
    for n in total:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {total}")
    result = empty(total, input.dtype)
    if result.size:
        split = result.reshape([part for n, r in zip(shape, repeats, strict=True) for part in (r, n)])
        copy_into(split, input.reshape([part for n in shape for part in (1, n)]))
    return result


@kernel("flip")
def flip(input: Any, dims: Any) -> Any:
    axes = normalize_dims(dims, input.ndim) if dims else ()
    if not input.ndim or not axes:
        return copied(input)
    result = empty(input.shape, input.dtype, [s // input.itemsize for s in input.strides])
    copy_into(result, input[tuple([slice(None, None, -1 if d in axes else 1) for d in range(input.ndim)])])
    return result


@kernel("roll")
def roll(input: Any, shifts: Any, dims: Any = ()) -> Any:
    shifts, axes = rearrange._tuple(shifts), () if dims is None else rearrange._tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(axes) and not (len(shifts) == 1 and not axes):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(axes)}")
    if not axes:
        if not input.ndim:
            return copied(input)
        return _rolled(dense(input).reshape(-1), shifts[0], 0).reshape(input.shape)
    if not input.ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    result = input
    for shift, d in zip(shifts, axes, strict=True):
        result = _rolled(result, shift, normalize_dim(d, input.ndim))
    return result


def _rolled(input: Any, shift: int, dim: int) -> Any:
    result, n = empty(input.shape, input.dtype), input.shape[dim]
    at = shift % n if n else 0
    before = (slice(None),) * dim
    copy_into(result[(*before, slice(at, None))], input[(*before, slice(0, n - at))])
    copy_into(result[(*before, slice(0, at))], input[(*before, slice(n - at, None))])
    return result


@kernel("constant_pad_nd")
def constant_pad_nd(input: Any, pad: Any, value: Any = 0) -> Any:
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    shape, source, target = [], [], []
    for n, (left, right) in zip(input.shape, pairs, strict=True):
        size = n + left + right
        if size < 0:
            raise RuntimeError(f"The input size {n}, plus negative padding {left} and {right}, resulted in a negative "
                               "output size, which is invalid. Check dimension of your input.")
        shape.append(size)
        source.append(slice(max(-left, 0), n - max(-right, 0)))
        target.append(slice(max(left, 0), size - max(right, 0)))
    result = full(shape, input.dtype, value)
    if result.size and input.size:
        copy_into(result[tuple(target)], input[tuple(source)])
    return result


def _triangle(name: str, compare: str) -> Any:
    def triangle(input: Any, diagonal: int = 0) -> Any:
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        result = empty(input.shape, input.dtype)
        x, y = bits(input), bits(result)
        row = input.ndim - 2
        line = f"y = tl.where(c{row + 1} - c{row} {compare} diagonal, x, tl.zeros_like(x))"
        grid_map(name, x.shape, [line], {"x": x}, {"y": y}, numbers={"diagonal": diagonal})
        return result
    return triangle


kernel("tril")(_triangle("tril", "<="))
kernel("triu")(_triangle("triu", ">="))


@kernel("diag_embed")
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = input.ndim + 1
    d1, d2 = normalize_dim(dim1, n), normalize_dim(dim2, n)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, size)
    result = zeros(shape, input.dtype)
    copy_into(REGISTRY["diagonal"].body(result, offset, d1, d2), input)
    return result


# ---------------------------------------------------------------- a view of a copy overwritten

def _overwriting(name: str, view: str) -> None:
    find = REGISTRY[view].body

    def overwrite(input: Any, src: Any, *where: Any, **options: Any) -> Any:
        result = copied(input)
        part = find(result, *where, **options)
        if part.shape != src.shape:
            raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                               f"{list(src.shape)}, slice size = {list(part.shape)}")
        copy_into(part, src)
        return result

    kernel(name)(overwrite)


for _name in ("select", "slice", "diagonal", "as_strided"):
    _overwriting(f"{_name}_scatter", _name)




def filled_like(input: Any, value: Any) -> Any:
    """A new array of ``input``'s shape, dtype and order of dimensions."""
    result = empty(input.shape, input.dtype, [s // input.itemsize for s in input.strides])
    fill(result, value)
    return result
