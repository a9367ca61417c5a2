"""Views: the same memory under another shape or order. Each body maps an array to an array over the same memory."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.place import as_strided as _as_strided
from flowtorch.autograd.node_names import recorded_as
from flowtorch.dtypes import float16, float32, float64, from_numpy_dtype
from flowtorch.ops.arguments import need_int, need_ints
from flowtorch.ops.families import NeedsCopy, normalize_dim, normalize_dims, view
from flowtorch.ops.fast_views import several
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.tensor import address_of, owner_of, wrap

builtins_sum = sum



def strided(array: np.ndarray, shape: tuple, strides: tuple) -> np.ndarray:
    """An array over the same memory with the given shape and byte strides (the callers guarantee the bounds)."""
    if array.flags.c_contiguous and array.size and isinstance(array, np.ndarray):
        return np.ndarray(shape, array.dtype, array, 0, strides)
    return _as_strided(array, shape, strides)


def sizes(args: tuple, what: str) -> tuple:
    """The ints of a size given as separate arguments, one sequence, or 0-d tensors."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    for i, n in enumerate(args):
        if type(n) is not int:
            if isinstance(n, (bool, float, str)) or not hasattr(n, "__index__"):
                raise TypeError(f"{what}(): argument 'size' (position {i + 1}) must be tuple of ints, but found "
                                "element "
                                f"of type {type(n).__name__} at pos {i}")
            return tuple(int(n.__index__()) for n in args)
    return tuple(args)


def infer_shape(shape: tuple, numel: int) -> tuple:
    """``shape`` with -1 replaced; RuntimeError if ``numel`` elements do not fit."""
    unknown = None
    known = 1
    for i, n in enumerate(shape):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = i
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n}")
        else:
            known *= n
    if unknown is None:
        if known != numel:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        return shape
    if known == 0:
        if numel == 0:
            raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                               "dimension size -1 can be any value and is ambiguous")
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    if numel % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return (*shape[:unknown], numel // known, *shape[unknown + 1:])


def contiguous_strides(shape: tuple, itemsize: int) -> tuple:
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def view_strides(array: np.ndarray, shape: tuple) -> tuple | None:
    """Byte strides that make ``array``'s memory appear as ``shape``, or None if only a copy can."""
    if array.size == 0:
        return array.strides if array.shape == shape else contiguous_strides(shape, array.itemsize)
    if array.ndim == 0:
        return (array.itemsize,) * len(shape)
    strides = [0] * len(shape)
    target = len(shape) - 1
    chunk_stride = array.strides[-1]
    chunk = filled = 1
    for d in range(array.ndim - 1, -1, -1):
        chunk *= array.shape[d]
        if d == 0 or (array.shape[d - 1] != 1 and array.strides[d - 1] != chunk * chunk_stride):
            while target >= 0 and (filled < chunk or shape[target] == 1):
                strides[target] = filled * chunk_stride
                filled *= shape[target]
                target -= 1
            if filled != chunk:
                return None
            if d > 0:
                chunk_stride = array.strides[d - 1]
                chunk = filled = 1
    return tuple(strides) if target == -1 else None


def _view_as(array: np.ndarray, shape: tuple) -> np.ndarray:
    strides = view_strides(array, shape)
    if strides is None:
        raise RuntimeError("view size is not compatible with input tensor's size and stride (at least one dimension "
                           "spans across two contiguous subspaces). Use .reshape(...) instead.")
    return strided(array, shape, strides)


@view(name="view", variadic="size", namespace="Tensor", vjp=(lambda g, input_shape: g.reshape(input_shape),))
def view_(input, size):
    """The same elements in another shape, without a copy: the result shares memory with this tensor.

    One size may be -1 and is then computed. RuntimeError if the number of elements differs, or if the strides allow
    the new shape only with a copy (``reshape`` makes that copy). ``view(dtype)`` reinterprets the bytes.

    >>> x = torch.arange(6)
    >>> x.view(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    >>> x.view(2, 3)[0, 0] = 9
    >>> x
    tensor([9, 1, 2, 3, 4, 5])
    """
    if input.flags.c_contiguous:
        try:
            return input.reshape(size)
        except (ValueError, TypeError):
            pass  # what does not fit is said below, in PyTorch's words
    return _view_as(input, infer_shape(sizes((size,), "view"), input.size))


@view(name="_view_dtype", method=False, changes_type=True, vjp=(None,))
def view_dtype(input, dtype):
    """The same bytes as elements of another dtype: what ``x.view(dtype)`` is."""
    array = input
    target = dtype.numpy
    if target.itemsize != array.itemsize:
        if array.ndim == 0:
            raise RuntimeError("self.dim() cannot be 0 to view "
                               f"{from_numpy_dtype(array.dtype).label} as {dtype.label} (different element sizes)")
        if array.strides[-1] != array.itemsize and array.size:  # numpy's strides of nothing are zeros
            raise RuntimeError("self.stride(-1) must be 1 to view "
                               f"{from_numpy_dtype(array.dtype).label} as {dtype.label} (different element sizes), "
                               "but got "
                               f"{array.strides[-1] // array.itemsize}")
        if array.shape[-1] * array.itemsize % target.itemsize:
            raise RuntimeError(f"self.size(-1) must be divisible by {target.itemsize // array.itemsize} to view "
                               f"{from_numpy_dtype(array.dtype).label} as {dtype.label} (different element sizes), "
                               "but got "
                               f"{array.shape[-1]}")
        if not array.size:
            return np.empty((*array.shape[:-1], array.shape[-1] * array.itemsize // target.itemsize), target)
    return array.view(target)


@view(vjp=(lambda g, dim0, dim1: g.transpose(dim0, dim1),))
def transpose(input, dim0, dim1):
    """A view with the dimensions ``dim0`` and ``dim1`` swapped.

    >>> torch.zeros(2, 3, 4).transpose(0, -1).shape
    torch.Size([4, 3, 2])
    """
    n = input.ndim
    if n == 0:
        normalize_dim(dim0, n), normalize_dim(dim1, n)
        return input.view()
    return input.swapaxes(dim0, dim1)


@view(vjp=(lambda g: g.t(),))
def t(input):
    """The transpose of a matrix, as a view; vectors and 0-d tensors stay. RuntimeError for more dimensions.

    >>> torch.tensor([[1, 2], [3, 4]]).t()
    tensor([[1, 3],
            [2, 4]])
    """
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return input.T


@view(variadic="dims", vjp=(lambda g, dims: g.permute(_inverse(dims)),))
def permute(input, dims):
    """A view with the dimensions in another order; ``dims`` names each dimension once (RuntimeError otherwise).

    >>> torch.zeros(2, 3, 4).permute(2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    n = input.ndim
    if len(dims) != n:
        need_ints("permute", "dims", 2, dims)
        raise RuntimeError("permute(sparse_coo): number of dimensions in the tensor input does not match the length "
                           "of the "
                           f"desired ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = "
                           f"{len(dims)}")
    try:
        return input.transpose(dims)
    except (ValueError, TypeError):
        order = [normalize_dim(d, n) for d in dims]
        if len(set(order)) != n:
            raise RuntimeError("permute(): duplicate dims are not allowed.") from None
        return input.transpose(order)


def _inverse(dims: Any) -> tuple:
    n = len(dims)
    order = [0] * n
    for i, d in enumerate(dims):
        order[d % n] = i
    return tuple(order)


@view(variadic="size", vjp=(lambda g, input_shape: g.sum_to_size(input_shape),))
def expand(input, size, *, implicit=False):
    """A view in which dimensions of size 1 are repeated without copying. -1 keeps a size; new dimensions go in front.

    Several elements of the result share one place in memory: clone it before writing into it.

    >>> torch.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    size = sizes((size,), "expand")
    lead = len(size) - input.ndim
    if lead < 0:
        raise RuntimeError(f"expand({_type_name(input)}{{{list(input.shape)}}}, size={list(size)}): the number of "
                           "sizes provided "
                           f"({len(size)}) must be greater or equal to the number of dimensions in the tensor "
                           f"({input.ndim})")
    shape, strides = [], []
    for i, n in enumerate(size):
        have = input.shape[i - lead] if i >= lead else None
        if n == -1:
            if have is None:
                raise RuntimeError(f"expand({_type_name(input)}{{{list(input.shape)}}}, size={list(size)}): the "
                                   "expanded size of "
                                   f"the tensor (-1) isn't allowed in a leading, non-existing dimension {i}")
            n = have
        elif n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
        if have is None:
            stride = 0
            if n == 1 and i + 1 <= len(size):
                stride = None                                   # settled below: PyTorch gives size-1 dims a real stride
        elif have == n:
            stride = input.strides[i - lead]
        elif have == 1:
            stride = 0
        else:
            raise RuntimeError(f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                               "non-singleton "
                               f"dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(input.shape)}")
        shape.append(n)
        strides.append(stride)
    for i in range(len(size) - 1, -1, -1):
        if strides[i] is None:
            following = i + 1
            strides[i] = shape[following] * strides[following] if following < len(size) else input.itemsize
    return strided(input, tuple(shape), tuple(strides))


def _type_name(array: np.ndarray) -> str:
    return f"torch.{from_numpy_dtype(array.dtype).label}Tensor"


@view(vjp=(lambda g, dim: g.squeeze(dim),))
def unsqueeze(input, dim):
    """A view with a new dimension of size 1 at place ``dim``, which lies in [-ndim - 1, ndim] (IndexError otherwise).

    >>> torch.zeros(2, 3).unsqueeze(-1).shape
    torch.Size([2, 3, 1])
    """
    n = input.ndim
    if type(dim) is not int or not 0 <= dim <= n:
        dim = normalize_dim(dim, n + 1)
    if input.flags.c_contiguous and input.size:
        shape = input.shape
        return input.reshape((*shape[:dim], 1, *shape[dim:]) if dim else (1, *shape))
    stride = input.shape[dim] * input.strides[dim] if dim < n else input.itemsize
    return _as_strided(input, (*input.shape[:dim], 1, *input.shape[dim:]),
                       (*input.strides[:dim], stride, *input.strides[dim:]))


@view(vjp=(lambda g, input_shape, dim: g.reshape(input_shape),))   # dim: the node is named after it
def squeeze(input, dim=None):
    """A view without dimensions of size 1: all of them, or those of ``dim`` (an int or several) that have size 1.

    >>> x = torch.zeros(1, 2, 1)
    >>> x.squeeze().shape, x.squeeze(0).shape, x.squeeze(1).shape
    (torch.Size([2]), torch.Size([2, 1]), torch.Size([1, 2, 1]))
    """
    gone = {d for d in normalize_dims(dim, input.ndim) if dim != () and input.ndim and input.shape[d] == 1}
    return input.squeeze(tuple(gone))


@view(vjp=(lambda g, input_shape, dim, index: _select_backward(g, input_shape, dim, index),))
def select(input, dim, index):
    """The slice at ``index`` of dimension ``dim``, which disappears."""
    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, input.ndim)
    n = input.shape[dim]
    index = index.__index__()
    if not -n <= index < n:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension "
                         f"{dim}")
    return input[(slice(None),) * dim + (index, ...)]


def _select_backward(g, shape, dim, index):
    return REGISTRY["getitem_backward"].public(g, (slice(None),) * (dim % len(shape)) + (index,), shape)


@view(name="slice", method=False, node="SliceBackward0",
      vjp=(lambda g, input_shape, dim, start, end, step: _slice_backward(g, input_shape, dim, start, end, step),))
def slice_(input, dim=0, start=None, end=None, step=1):
    """Every ``step``-th index of dimension ``dim`` from ``start`` up to ``end``."""
    if input.ndim == 0:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    dim = normalize_dim(dim, input.ndim)
    return input[(slice(None),) * dim + (slice(start, end, step),)]


def _slice_backward(g, shape, dim, start, end, step):
    return REGISTRY["getitem_backward"].public(
        g, (slice(None),) * (dim % len(shape)) + (slice(start, end, step),), shape
    )


@view(
    vjp=(lambda g, input, size, stride, storage_offset: _as_strided_backward(g, input, size, stride, storage_offset),)
)
def as_strided(input, size, stride, storage_offset=None):
    """A view of the storage with the given sizes, strides and offset (in elements)."""
    size, stride = sizes((size,), "as_strided"), sizes((stride,), "as_strided")
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    owner = owner_of(input)
    base, width = address_of(owner), input.itemsize
    start = address_of(input) if storage_offset is None else base + storage_offset * width
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    extent = 0 if 0 in size else 1 + builtins_sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    capacity = memory_end(owner) - start
    if start < base or extent * width > capacity:
        raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset "
                           f"{(start - base) // width}, and itemsize {width} requiring a storage size of "
                           f"{extent * width + start - base} are out of bounds for storage of size "
                           f"{memory_end(owner) - base}")
    return at_address(owner, start, size, tuple(s * width for s in stride), input.dtype)


def memory_end(owner: np.ndarray) -> int:
    """One past the last byte of the memory that ``owner`` owns (it may itself be transposed)."""
    if owner.size == 0:
        return address_of(owner)
    return address_of(owner) + builtins_sum((n - 1) * s for n, s in zip(owner.shape, owner.strides, strict=True)) + (
        owner.itemsize)


def at_address(owner: np.ndarray, start: int, shape: tuple, strides: tuple, dtype: np.dtype) -> np.ndarray:
    """An array inside ``owner``'s memory; the bounds have been checked."""
    offset = start - address_of(owner)
    if not isinstance(owner, np.ndarray):
        from flowtorch.array.cuda import inside

        return inside(owner, offset, shape, strides, dtype)
    n = memory_end(owner) - address_of(owner)
    flat = _as_strided(
        owner.view(np.uint8) if owner.flags.c_contiguous and owner.ndim else _bytes_of(owner), (n,), (1,)
    )
    return np.ndarray(shape, dtype, flat, offset, strides) if n else np.empty(shape, dtype)


def _bytes_of(owner: np.ndarray) -> np.ndarray:
    flat = _as_strided(owner, (1,), (owner.itemsize,))
    return flat.view(np.uint8)


def _as_strided_backward(g, input, size, stride, storage_offset):
    if input.is_meta:
        return g.new_empty(input.shape)
    n = owner_of(input._array)
    count = (memory_end(n) - address_of(n)) // input.element_size()
    flat = g.new_zeros((count,))
    offset = input.storage_offset() if storage_offset is None else storage_offset
    index = np.zeros((), np.int64)
    for k, (m, s) in enumerate(zip(size, stride, strict=True)):
        index = index + (np.arange(m) * s).reshape((-1,) + (1,) * (len(size) - 1 - k))
    index = np.broadcast_to(index + offset, tuple(size)).reshape(-1)
    flat = flat.index_add(0, wrap(np.ascontiguousarray(index)).to(g.device), g.reshape(-1))
    return flat.as_strided(input.shape, input.stride(), input.storage_offset())


@view(vjp=(lambda g, input_shape, offset, dim1, dim2: _diagonal_backward(g, input_shape, offset, dim1, dim2),))
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonals of the planes of ``dim1`` and ``dim2``, as the last dimension."""
    n = input.ndim
    d1, d2 = normalize_dim(dim1, n), normalize_dim(dim2, n)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, d1, d2)


def _diagonal(a, offset, d1, d2):
    rows, cols = a.shape[d1], a.shape[d2]
    length = max(min(rows, cols - offset) if offset >= 0 else min(rows + offset, cols), 0)
    keep = [d for d in range(a.ndim) if d not in (d1, d2)]
    shape = (*(a.shape[d] for d in keep), length)
    strides = (*(a.strides[d] for d in keep), a.strides[d1] + a.strides[d2])
    if length:
        corner = [slice(None)] * a.ndim
        corner[d1 if offset < 0 else d2] = slice(abs(offset), None)
        a = a[tuple(corner)]
    return _as_strided(a, shape, strides)


def _diagonal_backward(g, shape, offset, dim1, dim2):
    grad = g.new_zeros(shape)
    grad.diagonal(offset, dim1, dim2).copy_(g)
    return grad


@view(name="unbind", changes_type=True, vjp=(lambda g, input_shape, dim: _unbind_backward(g, input_shape, dim),))
def unbind(input, dim=0):
    """All slices along ``dim``, as a tuple of views without that dimension.

    >>> torch.unbind(torch.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    if input.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = normalize_dim(dim, input.ndim)
    before = (slice(None),) * dim
    return [input[(*before, i, ...)] for i in range(input.shape[dim])]


unbind = several(REGISTRY["unbind"])  # noqa: F811


def _unbind_backward(g, shape, dim):
    some = next(x for x in g if x is not None)
    return REGISTRY["stack"].public([some.new_zeros(some.shape) if x is None else x for x in g], dim)


@view(name="split_with_sizes", changes_type=True, node="SplitWithSizesBackward0",
      vjp=(lambda g, input_shape, split_sizes, dim: _split_backward(g, input_shape, split_sizes, dim),))
def split_with_sizes(input, split_sizes, dim=0):
    """Consecutive pieces of the given sizes along ``dim``."""
    if input.ndim == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = normalize_dim(dim, input.ndim)
    split_sizes = sizes((split_sizes,), "split_with_sizes")
    if any(n < 0 for n in split_sizes):
        raise RuntimeError("split_with_sizes expects split_sizes have only non-negative entries, but got "
                           f"split_sizes={list(split_sizes)}")
    if builtins_sum(split_sizes) != input.shape[dim]:
        raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {input.shape[dim]} (input "
                           "tensor's size "
                           f"at dimension {dim}), but got split_sizes={list(split_sizes)}")
    before, start, pieces = (slice(None),) * dim, 0, []
    for n in split_sizes:
        pieces.append(input[(*before, slice(start, start + n))])
        start += n
    return pieces


split_with_sizes = several(REGISTRY["split_with_sizes"])  # noqa: F811


def _split_backward(g, shape, split_sizes, dim):
    some = next(x for x in g if x is not None)
    d = dim % len(shape)
    parts = [some.new_zeros((*shape[:d], n, *shape[d + 1:])) if x is None else x
             for x, n in zip(g, split_sizes, strict=True)]
    return REGISTRY["cat"].public(parts, dim)


@composite
def split(tensor, split_size_or_sections, dim=0):
    """Views of consecutive pieces along ``dim``: all of one size (the last may be smaller), or of the sizes in a
    list.

    RuntimeError if listed sizes do not add up to the size of ``dim``.

    >>> torch.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if isinstance(split_size_or_sections, (tuple, list)):
        if not hasattr(tensor, "_array"):
            return tensor.split(split_size_or_sections, dim)             # as PyTorch asks it
        return split_with_sizes(tensor, tuple(split_size_or_sections), dim)
    if tensor.dim() == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    if type(split_size_or_sections) is not int:
        need_ints("split_with_sizes", "split_sizes", 2, split_size_or_sections)
    size = split_size_or_sections.__index__()
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    n = tensor.size(dim)
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    pieces = max((n + size - 1) // size, 1) if size else 1
    parts = split_with_sizes(tensor, (*([size] * (pieces - 1)), n - size * (pieces - 1)), dim)
    recorded_as(parts[:1], "SplitBackward0")
    return parts


def _split_method(input, split_size, dim=0):
    """Pieces of ``split_size`` along ``dim`` (the last may be smaller), or of the sizes in a list."""
    return split(input, split_size, dim)


_split_method.__name__ = _split_method.__qualname__ = "split"            # its parameter is not named as torch.split's
composite(_split_method, namespace="Tensor", method=True)


@composite(method=True)
def chunk(input, chunks, dim=0):
    """At most ``chunks`` pieces of equal size along ``dim`` (the last may be smaller)."""
    if input.dim() == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if type(chunks) is not int:
        chunks = need_int("chunk", "chunks", 2, chunks)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.size(dim)
    size = (n + chunks - 1) // chunks
    if size == 0:
        return split_with_sizes(input, (0,) * chunks, dim)
    return split(input, size, dim)


@view(vjp=(lambda g, input_shape, dimension, size, step: _unfold_backward(g, input_shape, dimension, size, step),))
def unfold(input, dimension, size, step):
    """All windows of ``size`` along ``dimension``, every ``step``; the window is a new last dimension."""
    d = normalize_dim(dimension, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if size < 0 or step <= 0:
        raise RuntimeError(f"size is {size} but must be >= 0" if size < 0 else f"step is {step} but must be > 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {d} is {n} but size is {size}")
    if input.ndim == 0:
        return _as_strided(input, (size,), (input.itemsize,))
    shape = (*input.shape[:d], (n - size) // step + 1, *input.shape[d + 1:], size)
    strides = (*input.strides[:d], input.strides[d] * step, *input.strides[d + 1:], input.strides[d])
    return _as_strided(input, shape, strides)


def _unfold_backward(g, shape, dimension, size, step):
    if not shape:
        return g.sum()
    d = dimension % len(shape)
    windows = g.shape[d]
    index = (np.arange(windows)[:, None] * step + np.arange(size)).reshape(-1)
    moved = g.movedim(-1, d + 1).flatten(d, d + 1)
    return g.new_zeros(shape).index_add(d, wrap(index.astype(np.int64)).to(g.device), moved)


@view(changes_type=True, method=False, vjp=(lambda g: _complex_from(g, None),))
def real(input):
    """The real part, as a view of complex tensors; real tensors come back as they are."""
    return _part(input, 0) if from_numpy_dtype(input.dtype).is_complex else input


def _part(a, k):
    """The real (0) or imaginary (1) parts of a complex array, as a view."""
    if a.dtype.kind == "c":
        return a.imag if k else a.real
    return at_address(owner_of(a), address_of(a) + 2 * k, a.shape, a.strides, np.dtype(np.float16))


_real = real


def real(input):                                                        # type: ignore[no-redef]
    """The real part, as a view of complex tensors; real tensors come back as they are."""
    return input if hasattr(input, "_type") and input._type.plain and not input._type.dtype.is_complex else _real(input)


REGISTRY["real"].public = real
real.op = REGISTRY["real"]                                              # type: ignore[attr-defined]


@view(changes_type=True, method=False, vjp=(lambda g: _complex_from(None, g),))
def imag(input):
    """The imaginary part, as a view."""
    if not from_numpy_dtype(input.dtype).is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _part(input, 1)


def _complex_from(re, im):
    some = re if re is not None else im
    zero = some.new_zeros(some.shape)
    return REGISTRY["complex"].public(zero if re is None else re, zero if im is None else im)


@view(changes_type=True, vjp=(lambda g: view_as_complex(g.contiguous()),), method=False)
def view_as_real(input):
    """A complex tensor as a real one with a last dimension of 2."""
    if not from_numpy_dtype(input.dtype).is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _as_strided(_part(input, 0), (*input.shape, 2), (*input.strides, input.itemsize // 2))


_COMPLEX_PARTS = (float16, float32, float64)


@view(changes_type=True, vjp=(lambda g: view_as_real(g),), method=False)
def view_as_complex(input):
    """A real tensor with a last dimension of 2 as a complex one."""
    part = from_numpy_dtype(input.dtype)
    if part not in _COMPLEX_PARTS:
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but got a tensor of "
                           "scalar "
                           f"type: {part.label}")
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2" if input.ndim else
                           "Input tensor must have one or more dimensions")
    if input.strides[-1] != input.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s // input.itemsize % 2 for s, n in zip(input.strides[:-1], input.shape, strict=False) if n > 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if (address_of(input) - address_of(owner_of(input))) // input.itemsize % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return at_address(owner_of(input), address_of(input), input.shape[:-1], input.strides[:-1], part.to_complex().numpy)


@view(variadic="shape", node="ViewBackward0", vjp=(lambda g, input_shape: g.reshape(input_shape),))
def reshape(input, shape):
    """The same elements in another shape: a view where the strides allow it, else a copy.

    One size may be -1 and is then computed; RuntimeError if the number of elements differs.

    >>> torch.arange(6).reshape(3, 2).t().reshape(-1)
    tensor([0, 2, 4, 1, 3, 5])
    """
    if input.flags.c_contiguous:
        try:
            return input.reshape(shape)
        except (ValueError, TypeError):
            pass  # what does not fit is said below, in PyTorch's words
    shape = infer_shape(sizes((shape,), "reshape"), input.size)
    strides = view_strides(input, shape)
    if strides is None:
        raise NeedsCopy(shape)
    return strided(input, shape, strides)
