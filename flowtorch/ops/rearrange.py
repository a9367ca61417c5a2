"""Copies in another order: repeat, flip, roll; and copies of a tensor with one of its views overwritten."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.memory_format import is_channels_last, with_channels_last
from flowtorch.dtypes import from_numpy_dtype
from flowtorch.ops import view as views
from flowtorch.ops.arguments import need_ints
from flowtorch.ops.dispatch import name_function
from flowtorch.ops.families import normalize_dim, normalize_dims, op
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.order import copy_of, in_rows
from flowtorch.ops.writing import writing
from flowtorch.tensor import Tensor

_forwards, _backwards = slice(None), slice(None, None, -1)


def int_list(args: tuple, given: Any, name: str, parameter: str) -> tuple:
    """The ints of a parameter given as separate arguments, one sequence, or by keyword."""
    if given is not None:
        args = (given,)
    elif not args:
        raise TypeError(f'{name}() missing 1 required positional arguments: "{parameter}"')
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    for i, n in enumerate(args):
        if type(n) is not int and (isinstance(n, (bool, float, str)) or not hasattr(n, "__index__")):
            raise TypeError(f"{name}(): argument '{parameter}' (position 1) must be tuple of ints, but found element "
                            "of type "
                            f"{type(n).__name__} at pos {i}")
    return tuple([n if type(n) is int else n.__index__() for n in args])


def public(name: str, f: Any, doc: str) -> Any:
    """Let ``f`` be the public function of op ``name``, which keeps its record."""
    record = REGISTRY[name]
    record.public = f
    name_function(f, record)
    f.__doc__ = doc
    return f


# ---------------------------------------------------------------- repeat, flip, roll

@op(tensors=("input",), low="keep", linear=True, namespace="Tensor",
    vjp=(lambda g, input_shape, repeats: _repeat_backward(g, input_shape, repeats),))
def repeat(input, repeats):
    """A copy in which the tensor is laid out ``repeats`` times along each dimension; missing dimensions go in front.

    >>> torch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    if len(repeats) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    shape = (1,) * (len(repeats) - input.ndim) + input.shape
    total = [n * r for n, r in zip(shape, repeats, strict=True)]
    for n in total:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {total}")
    if 0 in total:
        return np.empty(total, input.dtype)
    return in_rows(np.tile(input, repeats)) if repeats else input.copy()


def _repeat_backward(g, shape, repeats):
    if 0 in repeats:
        return g.new_zeros(shape)
    lead = len(repeats) - len(shape)
    split, dims = [], []
    for i, r in enumerate(repeats):
        n = shape[i - lead] if i >= lead else 1
        if r != 1:
            dims.append(len(split))
            split.append(r)
        split.append(n)
    out = g.reshape(split)
    return (out.sum(dims) if dims else out).reshape(shape)


_repeat = repeat
repeat = Tensor.repeat = public(  # type: ignore[attr-defined]
    "repeat",
    lambda self, *sizes, repeats=None: _repeat(self, int_list(sizes, repeats, "repeat", "repeats")),
    _repeat.__doc__,
)


@op(tensors=("input",), low="keep", linear=True, vjp=(lambda g, dims: flip(g, dims),))
def flip(input, dims):
    """A copy with the order of the elements along each of ``dims`` reversed.

    >>> torch.flip(torch.tensor([[1, 2], [3, 4]]), dims=[1])
    tensor([[2, 1],
            [4, 3]])
    """
    axes = normalize_dims(dims, input.ndim) if dims else ()
    if not input.ndim or not axes:
        return copy_of(input)
    index = [_backwards if d in axes else _forwards for d in range(input.ndim)]
    return copy_of(input[tuple(index)]) if 0 in input.strides else input[tuple(index)].copy(order="K")


_flip = flip
flip = Tensor.flip = public(                                            # type: ignore[attr-defined]
    "flip", lambda input, *args, dims=None: _flip(input, int_list(args, dims, "flip", "dims")), _flip.__doc__)


@op(out=False, tensors=("input",), low="keep", linear=True,
    vjp=(lambda g, shifts, dims: roll(g, tuple(-s for s in _tuple(shifts)), dims),))
def roll(input, shifts, dims=()):
    """The elements moved along ``dims`` by ``shifts`` places, around the end; without ``dims`` the flat tensor's."""
    need_ints("roll", "shifts", 2, shifts)
    shifts, axes = _tuple(shifts), () if dims is None else _tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(axes) and not (len(shifts) == 1 and not axes):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(axes)}")
    if not axes:
        return np.roll(np.ascontiguousarray(input), shifts[0]) if input.ndim else input.copy()
    if not input.ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    if not input.size:                            # PyTorch looks at no dimension then
        return np.array(input, order="C")
    axes = tuple(normalize_dim(d, input.ndim) for d in axes)
    rolled = np.roll(np.ascontiguousarray(input), shifts, axes)
    if input.ndim in (4, 5) and is_channels_last(input):
        whole = any(s % input.shape[d] == 0 for s, d in zip(shifts, axes, strict=True))
        return rolled if whole else with_channels_last(rolled)       # no way at all makes PyTorch forget the order
    return rolled


@op(name="_interleave_index", tensors=("repeats",), method=False, out=False, low="keep")
def interleave_index(repeats):
    """Each position as often as ``repeats`` says."""
    if repeats.dtype not in (np.int64, np.int32):
        raise NotImplementedError('"repeat_interleave_cpu" not implemented for '
                                  f'\'{from_numpy_dtype(repeats.dtype).label}\'')
    if repeats.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if repeats.size and repeats.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return np.repeat(np.arange(repeats.size), repeats).astype(repeats.dtype)


def _tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


# ---------------------------------------------------------------- a view of a copy overwritten

def _overwrite(part: np.ndarray, src: np.ndarray) -> None:
    if part.shape != src.shape:
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(part.shape)}")
    part[...] = src.real if src.dtype.kind == "c" and part.dtype.kind != "c" else src


@writing(("input", "src"), order="gaps", linear=True, inplace=False, out=False,
         vjp=(lambda g, dim, index, src_shape: select_scatter(g, g.new_zeros(src_shape), dim, index),
              lambda g, dim, index: g.select(dim, index)))
def select_scatter(input, src, dim, index):
    """``input`` with its slice ``index`` along ``dim`` replaced by ``src``."""
    _overwrite(REGISTRY["select"].body(input, dim, index), src)


@writing(
    ("input", "src"),
    order="gaps",
    linear=True,
    inplace=False,
    vjp=(
        lambda g, dim, start, end, step, src_shape: slice_scatter(g, g.new_zeros(src_shape), dim, start, end, step),
        lambda g, dim, start, end, step: views.slice_(g, dim, start, end, step),
    ),
)
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """``input`` with the slice ``start:end:step`` along ``dim`` replaced by ``src``."""
    _overwrite(REGISTRY["slice"].body(input, dim, start, end, step), src)


@writing(("input", "src"), order="gaps", linear=True, inplace=False, out=False,
         vjp=(lambda g, offset, dim1, dim2, src_shape: diagonal_scatter(g, g.new_zeros(src_shape), offset, dim1, dim2),
              lambda g, offset, dim1, dim2: g.diagonal(offset, dim1, dim2)))
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """``input`` with a diagonal replaced by ``src``."""
    _overwrite(REGISTRY["diagonal"].body(input, offset, dim1, dim2), src)


@writing(("input", "src"), order="gaps", linear=True, inplace=False, out=False,
         vjp=(lambda g, size, stride, storage_offset, src_shape: as_strided_scatter(
                  g.contiguous(), g.new_zeros(src_shape), size, stride, storage_offset),
              lambda g, size, stride, storage_offset: g.contiguous().as_strided(size, stride, storage_offset)))
def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """``input`` with the elements that ``as_strided`` would view replaced by ``src``."""
    _overwrite(REGISTRY["as_strided"].body(input, size, stride, storage_offset), src)
