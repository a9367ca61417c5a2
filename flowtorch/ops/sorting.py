"""Order statistics along a dimension: sort, topk, kthvalue, median, mode. NaN counts as the largest value."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.dtypes import from_numpy_dtype
from flowtorch.ops.arguments import need_bool, need_int
from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.gather import flat_index
from flowtorch.ops.op import REGISTRY, composite


def at_indices(g: Any, indices: Any, dim: int, keepdim: bool, shape: Any) -> Any:
    """The gradient of values that were read at ``indices`` along ``dim``: zeros elsewhere."""
    if not shape:
        return g.reshape(())
    if not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return REGISTRY["_scatter"].public(g.new_zeros(shape), dim, indices, g)


def _refuse(name: str, array: np.ndarray, kinds: str) -> None:
    if array.dtype.kind in kinds:
        raise NotImplementedError(f'"{name}" not implemented for \'{from_numpy_dtype(array.dtype).label}\'')


def stable_order(a: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """The stable argsort of ``a`` along ``axis``."""
    if not descending:
        return a.argsort(axis=axis, kind="stable")
    reverse = (slice(None),) * axis + (slice(None, None, -1),)
    return a.shape[axis] - 1 - a[reverse].argsort(axis=axis, kind="stable")[reverse]


def take_along(a: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """``np.take_along_axis`` by way of flat positions, which is quicker."""
    if not a.flags.c_contiguous:
        return np.take_along_axis(a, index, axis)
    return a.reshape(-1).take(flat_index(index, axis, a.shape))


# ---------------------------------------------------------------- sort

@op(tensors=("input",), outputs=("values", "indices"), vjp=(
    lambda g, input_shape, dim, out: None if g[0] is None else at_indices(g[0], out[1], dim, True, input_shape),))
def sort(input, dim=-1, descending=False, *, stable=None):
    """The values along ``dim`` in ascending (or descending) order, and their indices. Equal values keep their order
    with ``stable=True``; nan counts as the largest.

    >>> torch.sort(torch.tensor([3, 1, 2]))
    torch.return_types.sort(
    values=tensor([1, 2, 3]),
    indices=tensor([1, 2, 0]))
    """
    if input.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    dim = normalize_dim(dim, input.ndim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    order = stable_order(input, dim, bool(descending))
    if input.flags.c_contiguous:
        return take_along(input, order, dim), order
    order = _like_layout(order, input)
    return _like_layout(np.take_along_axis(input, order, dim), input), order


def _like_layout(a: np.ndarray, like: np.ndarray) -> np.ndarray:
    """``a`` with its dimensions in memory in the order of ``like``'s, as PyTorch leaves the results of sort."""
    order = sorted(range(like.ndim), key=lambda d: -like.strides[d])
    if order == list(range(like.ndim)) or 0 in like.strides:
        return np.ascontiguousarray(a)
    back = np.argsort(order)
    return np.ascontiguousarray(a.transpose(order)).transpose(back)


@composite(method=True)
def argsort(input, dim=-1, descending=False, *, stable=False):
    """The indices (int64) that put the values along ``dim`` in ascending order, or descending with
    ``descending=True``.

    >>> torch.argsort(torch.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    return sort(input.detach(), dim, descending, stable=True)[1]


@composite(method=True, out=True)
def msort(input):
    """The values along the first dimension in ascending order."""
    return sort(input, 0)[0]


# ---------------------------------------------------------------- topk and kthvalue

@op(tensors=("input",), outputs=("values", "indices"), vjp=(
    lambda g, input_shape, dim, out: None if g[0] is None else at_indices(g[0], out[1], dim, True, input_shape),))
def topk(input, k, dim=-1, largest=True, sorted=True):
    """The ``k`` largest values along ``dim`` and their indices; the smallest with ``largest=False``.

    RuntimeError if ``k`` exceeds the size of ``dim``.

    >>> torch.topk(torch.tensor([1, 5, 3]), 2)
    torch.return_types.topk(
    values=tensor([5, 3]),
    indices=tensor([1, 2]))
    """
    if input.dtype.kind in "cb":
        raise RuntimeError(f"{' ' if input.dtype.kind == 'c' else ''}topk does not support "
                           f"{'complex' if input.dtype.kind == 'c' else 'bool'} dtypes on CPU")
    need_bool("topk", "largest", 4, largest)
    dim = normalize_dim(dim, input.ndim)
    n = input.shape[dim] if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if input.ndim == 0:
        return (input.copy(), np.zeros((), np.int64)) if k else (np.empty(0, input.dtype), np.empty(0, np.int64))
    if k * 8 < n and n > 128:
        part = input.argpartition(n - k if largest else max(k - 1, 0), axis=dim)
        part = part[(slice(None),) * dim + (slice(n - k, None) if largest else slice(0, k),)]
        chosen = take_along(input, part, dim)
        order = take_along(part, stable_order(chosen, dim, largest), dim)
    else:
        order = stable_order(input, dim, largest)[(slice(None),) * dim + (slice(0, k),)]
    order = np.ascontiguousarray(order)
    return take_along(input, order, dim), order


def _nonempty_dim(name: str, input: np.ndarray, dim: int) -> int:
    dim = normalize_dim(dim, input.ndim)
    if input.ndim and input.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return dim


def _read(input: np.ndarray, index: np.ndarray, dim: int, keepdim: bool) -> tuple:
    """(values, indices) at one index per slice (kept as size 1)."""
    values, index = take_along(input, index, dim), np.ascontiguousarray(index)
    if keepdim:
        return values, index
    return values.squeeze(dim), index.squeeze(dim)


def _kth_index(input: np.ndarray, k: Any, dim: int) -> np.ndarray:
    """Where the value of rank ``k`` (from 0; an int or one per slice) stands along ``dim``."""
    n = input.shape[dim]
    if isinstance(k, int):
        at = (slice(None),) * dim + (slice(k, k + 1),)
        order = input.argpartition(k, axis=dim) if n > 512 else stable_order(input, dim, False)
        return order[at]
    return take_along(stable_order(input, dim, False), k, dim)


_by_index = (lambda g, input_shape, dim, keepdim, out: None if g[0] is None else at_indices(
    g[0], out[1], dim, keepdim, input_shape),)


@op(tensors=("input",), outputs=("values", "indices"), vjp=_by_index)
def kthvalue(input, k, dim=-1, keepdim=False):
    """The ``k``-th smallest value (from 1) along ``dim``, and where it is."""
    _refuse("kthvalue_cpu", input, "cb")
    k = need_int("kthvalue", "k", 2, k)
    need_bool("kthvalue", "keepdim", 4, keepdim)
    dim = _nonempty_dim("kthvalue", input, dim)
    n = input.shape[dim] if input.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    return _read(input, _kth_index(input, k - 1, dim), dim, keepdim)


# ---------------------------------------------------------------- median

def _median_index(input: np.ndarray, dim: int, ignore_nan: bool) -> np.ndarray:
    n = input.shape[dim]
    nan = np.isnan(input) if input.dtype.kind == "f" else None
    if nan is None or not nan.any():
        return _kth_index(input, (n - 1) // 2, dim)
    if ignore_nan:
        count = n - nan.sum(axis=dim, keepdims=True)
        return _kth_index(input, np.maximum(count - 1, 0) // 2, dim)
    return np.where(nan.any(axis=dim, keepdims=True), nan.argmax(axis=dim, keepdims=True),
                    _kth_index(input, (n - 1) // 2, dim))


def _median_along(name: str, input: np.ndarray, dim: int, keepdim: bool, ignore_nan: bool) -> tuple:
    _refuse("median_out_impl", input, "cb")
    dim = _nonempty_dim(name, input, dim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    return _read(input, _median_index(input, dim, ignore_nan), dim, keepdim)


def _median_all(input: np.ndarray, ignore_nan: bool) -> np.ndarray:
    _refuse("median_cpu", input, "cb")
    if input.size == 0:
        return np.array(np.nan if input.dtype.kind == "f" else np.iinfo(input.dtype).min, input.dtype)
    flat = input.reshape(-1)
    return flat[_median_index(flat, 0, ignore_nan)].reshape(())


def _share(g: Any, input: Any, out: Any) -> Any:
    """The gradient of a value that several elements have: each gets an equal part."""
    same = input == out
    if input.dtype.is_floating_point:
        same = same | (input.isnan() & out.isnan())
    return same.to(g.dtype) * (g / same.sum().clamp(min=1))


def _define_median(name: str, ignore_nan: bool, what: str) -> tuple:
    def all_(input):
        return _median_all(input, ignore_nan)

    def along(input, dim, keepdim=False):
        return _median_along(name, input, dim, keepdim, ignore_nan)

    node = name.capitalize() + "Backward0"
    all_.__doc__ = f"The median of all elements{what}; the lower of two middle ones."
    along.__doc__ = f"The median along ``dim``{what}, and where it is; the lower of two middle ones."
    whole = op(all_, name=f"_{name}_all", tensors=("input",), method=False, node=node,
               vjp=(lambda g, input, out: _share(g, input, out),))
    sliced = op(along, name=f"_{name}_dim", tensors=("input",), method=False, node=node, outputs=("values", "indices"),
                vjp=_by_index)
    return whole, sliced


_median_whole, _median_dim = _define_median("median", False, "")
_nanmedian_whole, _nanmedian_dim = _define_median("nanmedian", True, " that are not NaN")


@composite(method=True)
def median(input, dim=None, keepdim=False, *, out=None):
    """The median of all elements, or with ``dim`` the medians along it and where they are; the lower of two middle
    ones."""
    if dim is None:
        _no_out("median", out)
        return _median_whole(input)
    return _renamed("median", _median_dim(input, dim, keepdim, out=out))


@composite(method=True)
def nanmedian(input, dim=None, keepdim=False, *, out=None):
    """``median`` of the elements that are not NaN."""
    if dim is None:
        _no_out("nanmedian", out)
        return _nanmedian_whole(input)
    return _renamed("nanmedian", _nanmedian_dim(input, dim, keepdim, out=out))


def _no_out(name: str, out: Any) -> None:
    if out is not None:
        raise TypeError(f'{name}() missing 1 required positional arguments: "dim"')


def _renamed(name: str, result: Any) -> Any:
    from flowtorch.ops.families import named_result

    return named_result(name, ("values", "indices"))(result)


# ---------------------------------------------------------------- mode

@op(tensors=("input",), outputs=("values", "indices"), vjp=_by_index)
def mode(input, dim=-1, keepdim=False):
    """The most frequent value along ``dim`` (the smallest of several), and its last position."""
    _refuse("mode_cpu", input, "c")
    dim = _nonempty_dim("mode", input, dim)
    if input.ndim == 0:
        return input.copy(), np.zeros((), np.int64)
    moved = np.moveaxis(input, dim, -1)
    last = input.ndim - 1
    order = moved.argsort(axis=-1, kind="stable")
    ordered = take_along(moved, order, last)
    # Position in its run of equal values; the first longest run ends where this is largest for the first time.
    n = ordered.shape[-1]
    starts = np.zeros(ordered.shape, np.int64)
    starts[..., 1:] = np.where(ordered[..., 1:] != ordered[..., :-1], np.arange(1, n), 0)
    length = np.arange(n) - np.maximum.accumulate(starts, axis=-1)
    end = length.argmax(axis=-1)[..., None]
    index = take_along(order, end, last)
    return _read(input, np.moveaxis(index, -1, dim), dim, keepdim)
