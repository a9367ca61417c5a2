"""Composites that change shapes: flattening, moving dimensions, splitting, broadcasting, grids and products."""
from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

from flowtorch.dtypes import contiguous_format, int64
from flowtorch.ops.arguments import need_bool, need_int, need_ints
from flowtorch.ops.copy import clone
from flowtorch.ops.families import normalize_dim, result_dtype
from flowtorch.ops.join import cat, stack
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.rearrange import flip, int_list, interleave_index
from flowtorch.ops.view import permute, reshape, slice_, split, split_with_sizes, transpose, view_
from flowtorch.tensor import Size, Tensor, wrap

# ---------------------------------------------------------------- flatten and friends


@composite(method=True)
def flatten(input, start_dim=0, end_dim=-1):
    """The dimensions from ``start_dim`` to ``end_dim`` (both included) as one: a view where possible, else a copy.

    >>> torch.zeros(2, 3, 4).flatten(1).shape
    torch.Size([2, 12])
    """
    n = input.dim()
    if end_dim == -1 and start_dim in (0, 1) and n > start_dim + 1 and input.numel():
        return reshape(input, (input.size(0), -1) if start_dim else (-1,))
    start, end = normalize_dim(start_dim, n), normalize_dim(end_dim, n)
    if n == 0:
        return input.reshape(1)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    shape = input.shape
    size = 1
    for s in shape[start:end + 1]:
        size *= s
    return reshape(input, (*shape[:start], size, *shape[end + 1:]))


@composite(method=True)
def ravel(input):
    """All elements as a vector: a view of contiguous tensors."""
    return view_(input.contiguous(), (-1,)) if input.numel() else input.reshape(0)


@composite(method=True)
def unflatten(input, dim, sizes):
    """Dimension ``dim`` split into ``sizes``, one of which may be -1."""
    n = normalize_dim(dim, input.dim())
    need_ints("unflatten", "sizes", 3, sizes)
    sizes = tuple(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    have, known = input.size(n), 1
    for s in sizes:
        known *= s if s != -1 else 1
    fits = known == have if -1 not in sizes else known != 0 and have % known == 0
    if not fits and not (-1 in sizes and known == 0):
        raise RuntimeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {n} "
                           f"({have}) in the "
                           "input tensor")
    if -1 in sizes and known == 0:
        raise RuntimeError(f"unflatten: cannot infer the size -1 of {list(sizes)}: the other sizes multiply to 0")
    sizes = tuple(have // known if s == -1 else s for s in sizes)
    return view_(input, (*input.shape[:n], *sizes, *input.shape[n + 1:]))


@composite(method=True)
def movedim(input, source, destination):
    """Move dimensions to other places; the others keep their order."""
    n = input.dim()
    if type(source) is int and type(destination) is int and n:
        one = list(range(n))
        one.insert(normalize_dim(destination, n), one.pop(normalize_dim(source, n)))
        return permute(input, one)
    given = [list(d) if isinstance(d, (tuple, list)) else [d] for d in (source, destination)]
    if len(given[0]) != len(given[1]):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({given[0]} dims) should contain the "
                           "same "
                           f"number of dims as destination ({given[1]} dims)")
    source, destination = ([normalize_dim(d, n) for d in dims] for dims in given)
    for dims, name, shown in ((source, "source", given[0]), (destination, "destination", given[1])):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({shown})")
    if n == 0:
        return REGISTRY["alias"].public(input)
    order: list[Any] = [None] * n
    for s, d in zip(source, destination, strict=True):
        order[d] = s
    rest = iter(d for d in range(n) if d not in source)
    return permute(input, [next(rest) if d is None else d for d in order])


@composite(method=True)
def moveaxis(input, source, destination):
    """Move dimensions to other places; another name of ``movedim``."""
    return movedim(input, source, destination)


@composite(method=True)
def swapaxes(input, axis0, axis1):
    """Swap two dimensions; another name of ``transpose``."""
    return transpose(input, axis0, axis1)


@composite(method=True)
def swapdims(input, dim0, dim1):
    """Swap two dimensions; another name of ``transpose``."""
    return transpose(input, dim0, dim1)


def _reversed(self):
    """The slices along the first dimension from the last to the first, as a copy."""
    return self if self.dim() == 0 else flip(self, (0,))


Tensor.__reversed__ = _reversed                                         # type: ignore[attr-defined]

# ---------------------------------------------------------------- transposes as attributes

def _T(self):
    """The dimensions in reverse order, as a view: the transpose of a matrix.

    >>> torch.zeros(2, 3).T.shape
    torch.Size([3, 2])
    """
    n = self.dim()
    if n == 0:
        warnings.warn(
            "Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.", stacklevel=2
        )
    elif n != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and "
            "it will "
            "throw an error in a future release. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            stacklevel=2,
        )
    return permute(self, tuple(range(n - 1, -1, -1)))


def _mT(self):
    """The last two dimensions swapped, as a view."""
    return _matrix_transpose(self, "tensor.mT", "Tensor.mT is deprecated on 0-D tensors. This function is the "
                                                "identity in "
                             "these cases.")


def _mH(self):
    """The last two dimensions swapped, complex numbers conjugated."""
    out = _matrix_transpose(self, "tensor.mH", "Tensor.mH is deprecated on 0-D tensors. Consider using x.conj().")
    return out.conj() if out.dtype.is_complex else out


def _H(self):
    """The conjugate transpose of a matrix."""
    n = self.dim()
    if n not in (0, 2):
        more = " For batches of matrices, consider using tensor.mH" if n > 2 else ""
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {n}-D tensor.{more}")
    if n == 0:
        warnings.warn("Tensor.H is deprecated on 0-D tensors. Consider using x.conj().", stacklevel=2)
    out = self if n == 0 else transpose(self, 0, 1)
    return out.conj() if out.dtype.is_complex else out


def _matrix_transpose(x: Any, name: str, deprecated: str) -> Any:
    n = x.dim()
    if n == 0:
        warnings.warn(deprecated, stacklevel=3)
        return x
    if n == 1:
        raise RuntimeError(f"{name} is only supported on matrices or batches of matrices. Got 1-D tensor.")
    return transpose(x, -2, -1)


Tensor.T, Tensor.mT, Tensor.H, Tensor.mH = property(_T), property(_mT), property(_H), property(_mH)   # type: ignore[attr-defined]


@composite(method=True)
def adjoint(input):
    """The last two dimensions swapped, complex numbers conjugated."""
    out = _matrix_transpose(input, "tensor.adjoint()", "adjoint() is deprecated on 0-D tensors. Consider using "
                                                       "x.conj().")
    return out.conj() if out.dtype.is_complex else out


# ---------------------------------------------------------------- like another tensor

@composite(namespace="Tensor", method=True)
def expand_as(self, other):
    """This tensor expanded to the shape of ``other``, without copying: see ``expand``.

    >>> torch.tensor([[1], [2]]).expand_as(torch.zeros(2, 3))
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return self.expand(other.shape)


@composite(namespace="Tensor", method=True)
def view_as(self, other):
    """The same elements under the shape of ``other``, without a copy."""
    return view_(self, other.shape)


@composite(namespace="Tensor", method=True)
def reshape_as(self, other):
    """The same elements in the shape of ``other``: a view where possible."""
    return reshape(self, other.shape)


@composite(namespace="Tensor", method=True)
def type_as(self, other):
    """Converted to the dtype and device of ``other``."""
    return self.to(other.device, other.dtype) if self.device != other.device else self.to(other.dtype)


# ---------------------------------------------------------------- broadcasting

@composite(method=True)
def broadcast_to(input, *sizes, shape=None):
    """Repeat dimensions of size 1 to the given shape, without copying."""
    return input.expand(*sizes) if shape is None else input.expand(shape)


@composite
def broadcast_shapes(*shapes):
    """The shape that tensors of the given shapes broadcast to."""
    result: list[int] = []
    for k, shape in enumerate(shapes):
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        result = [1] * (len(shape) - len(result)) + result
        for i in range(-1, -1 - len(shape), -1):
            if shape[i] < 0:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if shape[i] not in (1, result[i]):
                if result[i] != 1:
                    raise RuntimeError(f"Attempting to broadcast a dimension of length {shape[i]} at {i}! Mismatching "
                                       "argument "
                                       f"at index {k} had {shape}; but expected shape should be broadcastable to "
                                       f"{result}")
                result[i] = shape[i]
    return Size(result)


@composite
def broadcast_tensors(*tensors):
    """The tensors expanded to one shape, as views."""
    from flowtorch.errors import broadcast_error

    for k, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
    shapes = [tuple(t.shape) for t in tensors]
    text = broadcast_error(shapes)
    if text is not None:
        raise RuntimeError(text)
    shape = np.broadcast_shapes(*shapes)
    return tuple(t if t.shape == shape else t.expand(shape) for t in tensors)


# ---------------------------------------------------------------- splitting

@composite(method=True)
def tensor_split(input, indices_or_sections, dim=0):
    """Pieces along ``dim``: that many of nearly equal size, or cut at the given indices."""
    if input.dim() == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = normalize_dim(dim, input.dim())
    at = indices_or_sections
    if isinstance(at, Tensor):
        if at.dim() > 1 or at.dtype.name != "int64":
            raise RuntimeError("tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                               "one-dimensional "
                               "tensor of dtype long")
        at = at.tolist()
    n = input.size(dim)
    if isinstance(at, (tuple, list)):
        edges = [0, *at, n]
        return tuple(slice_(input, dim, a, b, 1) for a, b in itertools.pairwise(edges))
    if at <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {at}")
    small, extra = divmod(n, at)
    pieces, start = [], 0
    for k in range(at):
        size = small + (k < extra)
        pieces.append(slice_(input, dim, start, start + size, 1))
        start += size
    return tuple(pieces)


def _split_along(name: str, least: int, dim: Any) -> Any:
    def split_(input, indices_or_sections):
        n = input.dim()
        if not isinstance(indices_or_sections, (int, tuple, list)):
            raise TypeError(f"{name}() received an invalid combination of arguments. Expected (int sections) or "
                            f"(tuple of ints indices), got {type(indices_or_sections).__name__}")
        if n < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor "
                               f"with {n} "
                               "dimensions!")
        d = dim(n)
        k = indices_or_sections
        if isinstance(k, int) and (k == 0 or input.size(d) % k):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {d}, but the size of the dimension "
                               f"{input.size(d)} is not divisible by the split_size {k}!")
        return tensor_split(input, k, d)
    split_.__name__ = split_.__qualname__ = name
    split_.__doc__ = "Pieces of equal size, or cut at the given indices, along one dimension."
    return composite(split_, method=True)


hsplit = _split_along("hsplit", 1, lambda n: 0 if n == 1 else 1)
vsplit = _split_along("vsplit", 2, lambda n: 0)
dsplit = _split_along("dsplit", 3, lambda n: 2)


def _untracked(pieces: Any) -> tuple:
    """The same memory, but no views to autograd: in-place changes of one do not reach the others' histories."""
    for t in pieces:
        t._view = None
        t._counter = 0
    return tuple(pieces)


@composite(method=True)
def unsafe_split(input, split_size, dim=0):
    """``split`` whose pieces do not count as views."""
    return _untracked(split(input, split_size, dim))


@composite(method=True)
def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """``split_with_sizes`` whose pieces do not count as views."""
    return _untracked(split_with_sizes(input, tuple(split_sizes), dim))


@composite(method=True)
def unsafe_chunk(input, chunks, dim=0):
    """``chunk`` whose pieces do not count as views."""
    return _untracked(input.chunk(chunks, dim))


@composite(method=True)
def narrow(input, dim, start, length):
    """The ``length`` slices of ``dim`` from ``start`` on, as a view."""
    if input.dim() == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if type(start) is not int and not isinstance(start, Tensor):
        start = need_int("narrow", "start", 3, start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if isinstance(start, Tensor):
        if start.dim() or start.dtype.rank != 1:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = int(start)
    dim = normalize_dim(dim, input.dim())
    n = input.size(dim)
    if not -n <= start <= n:
        raise IndexError(f"start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_(input, dim, start, start + length, 1)


@composite(method=True, out=True)
def narrow_copy(input, dim, start, length):
    """A copy of the ``length`` slices of ``dim`` from ``start`` on."""
    start = need_int("narrow_copy", "start", 3, start)
    if 0 < input.dim() <= dim:
        raise RuntimeError("Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false.  (Could "
                           "this "
                           f"error message be improved? narrow_copy: dim {dim} of a {input.dim()}-d tensor)")
    if length < 0 and -input.dim() <= dim < input.dim():
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({input.size(dim)}).")
    return clone(narrow(input, dim, start, length), memory_format=contiguous_format)


# ---------------------------------------------------------------- repetition and rotation

@composite(method=True)
def tile(input, *dims, **given):
    """``repeat`` that takes fewer counts than dimensions: missing ones are 1."""
    if given.keys() - {"dims"}:
        raise TypeError(f"tile() got an unexpected keyword argument '{next(k for k in given if k != 'dims')}'")
    repeats = int_list(dims, given.get("dims"), "tile", "dims") if dims or given else ()
    return input.repeat((1,) * (input.dim() - len(repeats)) + repeats)


@composite(method=True)
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Every slice along ``dim`` (of the flattened tensor by default) repeated ``repeats`` times: a number, or one for
    each.

    >>> torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor([3, 1]))
    tensor([1, 1, 1, 2])
    """
    if repeats is None:
        return interleave_index(input)
    if dim is None:
        input, dim = input.reshape(-1), 0
    dim = normalize_dim(dim, input.dim())
    if input.dim() == 0:
        input = input.reshape(1)
    if not isinstance(repeats, Tensor):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        shape = input.shape
        wide = input.unsqueeze(dim + 1).expand(*shape[:dim + 1], repeats, *shape[dim + 1:])
        return view_(
            clone(wide, memory_format=contiguous_format), (*shape[:dim], shape[dim] * repeats, *shape[dim + 1 :])
        )
    n = input.size(dim)
    if repeats.dim() > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if repeats.numel() == 1:
        repeats = repeats.reshape(1).expand(n)
    elif repeats.size(0) != n:
        raise RuntimeError("repeats must have the same size as input along dim, but got repeats.size(0) = "
                           f"{repeats.size(0)} and input.size({dim}) = {n}")
    if repeats.is_meta and output_size is not None:
        return input.index_select(dim, repeats.new_empty(output_size))
    index = interleave_index(repeats)
    if output_size is not None and n and output_size != index.size(0):
        raise RuntimeError(f"repeat_interleave(): allocated size does not match required size: output_size is "
                           f"{output_size}, the repeats add up to {index.size(0)}")
    return input.index_select(dim, index)


@composite(method=True)
def fliplr(input):
    """The order of the columns reversed."""
    if input.dim() < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@composite(method=True)
def flipud(input):
    """The order of the rows reversed."""
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


@composite(method=True)
def rot90(input, k=1, dims=(0, 1)):
    """Rotate the plane of two dimensions by ``k`` quarter turns."""
    k = need_int("rot90", "k", 2, k)
    n = input.dim()
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if n < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {n}")
    a, b = (normalize_dim(d, n) for d in dims)
    if a == b:
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 1:
        return flip(input, (b,)).transpose_(a, b)
    if k == 2:
        return flip(input, (a, b))
    if k == 3:
        return flip(input, (a,)).transpose_(a, b)
    return clone(input, memory_format=contiguous_format)


# ---------------------------------------------------------------- grids and products

def _tensor_args(tensors: tuple) -> tuple:
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors


@composite
def meshgrid(*tensors, indexing=None):
    """Coordinate grids of 1-d tensors, as views: "ij" keeps the order of the dimensions, "xy" swaps the first two.

    >>> x, y = torch.meshgrid(torch.tensor([1, 2]), torch.tensor([3, 4, 5]), indexing="ij")
    >>> y
    tensor([[3, 4, 5],
            [3, 4, 5]])
    """
    tensors = _tensor_args(tensors)
    if indexing is None:
        warnings.warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
                      stacklevel=2)
        indexing = "ij"
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in tensors:
        if t.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t}")
    if any(t.dtype is not tensors[0].dtype for t in tensors):
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if any(t.device != tensors[0].device for t in tensors):
        raise RuntimeError("meshgrid expects all tensors to have the same device")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(tensors) >= 2
    order = (tensors[1], tensors[0], *tensors[2:]) if swap else tensors
    shape = [t.numel() for t in order]
    grids = [view_(t, tuple(-1 if i == k else 1 for i in range(len(order)))).expand(shape) for k, t in enumerate(order)]
    if swap:
        grids = [g.transpose(0, 1) for g in grids]
        grids[0], grids[1] = grids[1], grids[0]
        grids = [g.transpose(0, 1) for g in grids]
    return tuple(grids)


@composite
def cartesian_prod(*tensors):
    """All combinations of one element of each vector, one row each."""
    for t in tensors:
        if t.dim() != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.flatten() for g in meshgrid(*tensors, indexing="ij")], 1)


@composite
def combinations(input, r=2, with_replacement=False):
    """All combinations of ``r`` elements of a vector, one row each."""
    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.size(0)), r)), np.int64).reshape(-1, r)
    return input[wrap(rows).to(input.device)]


@composite
def block_diag(*tensors):
    """A matrix with the given matrices (or vectors, numbers) on its diagonal."""
    for k, t in enumerate(tensors):
        if t.dim() > 2:
            raise RuntimeError(f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {k} has "
                               f"{t.dim()} "
                               "dimensions")
    if not tensors:
        from flowtorch.ops.factory import empty

        return empty(1, 0)
    common = result_dtype([t if t.dim() else t.reshape(1) for t in tensors])
    blocks = [t.reshape(1, -1).to(common) if t.dim() < 2 else t.to(common) for t in tensors]
    width, left, rows = sum(b.size(1) for b in blocks), 0, []
    for b in blocks:
        rows.append(REGISTRY["constant_pad_nd"].public(b, [left, width - left - b.size(1)]))
        left += b.size(1)
    return cat(rows, 0)


@composite
def vander(x, N=None, increasing=False):
    """The matrix of the powers of a vector's elements, ``N`` columns."""
    need_bool("vander", "increasing", 3, increasing)
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.size(0) if N is None else need_int("vander", "N", 2, N)
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    if n == 0 or x.size(0) == 0:
        return x.new_empty((x.size(0), n), dtype=_integral_to_long(x))
    ones = x.new_ones((x.size(0), 1), dtype=_integral_to_long(x))
    if n > 1:
        powers = x.to(ones.dtype).unsqueeze(1).expand(x.size(0), n - 1).cumprod(1)
        ones = cat([ones, powers], 1)
    return ones if increasing else flip(ones, (1,))


def _integral_to_long(x: Any) -> Any:
    return int64 if x.dtype.rank < 2 else x.dtype


# ---------------------------------------------------------------- integration

def _trapezoid_parts(name: str, y: Any, x: Any, dx: Any, dim: int) -> Any:
    """(y[1:] + y[:-1]) times the step widths, along ``dim``."""
    if y.dtype.name == "bool":
        raise RuntimeError(f"{name}: received a bool input for `y`, but bool is not supported")
    if y.dim() == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = normalize_dim(dim, y.dim())
    n = y.size(dim)
    pairs = slice_(y, dim, 0, max(n - 1, 0), 1) + slice_(y, dim, 1, None, 1)
    if x is None:
        return pairs, dx, dim
    if x.dtype.name == "bool":
        raise RuntimeError(f"{name}: received a bool input for `x`, but bool is not supported")
    if x.dim() == 1:
        if x.size(0) != n:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        width = (x[1:] - x[:-1]).reshape((-1,) + (1,) * (y.dim() - 1 - dim))
    else:
        if x.dim() < y.dim():
            x = x.reshape((1,) * (y.dim() - x.dim()) + tuple(x.shape))
        m = x.size(dim)
        width = slice_(x, dim, 1, None, 1) - slice_(x, dim, 0, max(m - 1, 0), 1)
    return pairs * width, 1.0, dim


def _x_or_dx(name: str, x: Any, dx: Any) -> tuple:
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: give x or dx, not both")
    if x is not None and not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'x' must be Tensor, not {type(x).__name__}")
    return x, 1 if dx is None else dx


@composite
def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The integral along ``dim`` by the trapezoidal rule, for points ``x`` or a spacing ``dx``."""
    x, dx = _x_or_dx("trapezoid", x, dx)
    if y.dim() and y.size(dim) == 0:
        return y.new_zeros([n for d, n in enumerate(y.shape) if d != dim % y.dim()])
    parts, scale, dim = _trapezoid_parts("trapezoid", y, x, dx, dim)
    return parts.sum(dim) * (scale / 2)


@composite
def trapz(y, x=None, *, dx=None, dim=-1):
    """The integral along ``dim`` by the trapezoidal rule; another name of ``trapezoid``."""
    return trapezoid(y, x, dx=dx, dim=dim)


@composite
def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """The running integral along ``dim`` by the trapezoidal rule."""
    x, dx = _x_or_dx("cumulative_trapezoid", x, dx)
    parts, scale, dim = _trapezoid_parts("cumulative_trapezoid", y, x, dx, dim)
    return parts.cumsum(dim) * (scale / 2)


@composite
def unravel_index(indices, shape):
    """The coordinates, in a tensor of ``shape``, of flat ``indices``: one tensor per dimension."""
    if indices.dtype.rank != 1:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, int) for n in shape):
        raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(shape)}")
    shape = tuple(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    steps = [1]
    for n in reversed(shape[1:]):
        steps.insert(0, steps[0] * n)
    indices = indices.to(int64)                               # the steps may be beyond the range of small integers
    each = REGISTRY["stack"].public([(indices // s) % n for s, n in zip(steps, shape, strict=True)], -1) \
        if shape else indices.new_zeros((*indices.shape, 0), dtype=int64)
    return each.unbind(-1)
