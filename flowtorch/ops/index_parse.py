"""Reading what stands between the brackets: PyTorch's rules for every kind of index."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch.ops import factory
from flowtorch.tensor import Tensor, wrap

_full = slice(None)
_BASIC = {int, slice, bool, type(None), type(...)}


def parse(self: Any, index: Any) -> tuple[tuple, list, tuple]:
    """(basic index, index tensors, the dimensions of the basic view that they index).

    The basic index is a tuple of ints, slices and None with checked bounds; it is empty if it would change nothing and
    there are tensors.
    """
    entries = [i if type(i) in _BASIC else _entry(i) for i in _as_tuple(index)]
    shape = self._array.shape if type(self) is Tensor else tuple(self.shape)
    specified = 0
    for e in entries:
        kind = type(e)
        if kind is int or kind is slice:
            specified += 1
        elif kind is not bool and e is not None and e is not ...:
            specified += e.dim() if e.dtype.name in ("bool", "uint8") else 1
    if type(index) is not tuple and not shape:
        _refuse_scalar(entries[0])
    if specified > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    items: list = []
    tensors: list = []
    dims: list = []
    source = target = 0
    for place, e in enumerate(entries):
        if type(e) is int:
            items.append(_checked(e, shape, source, place))
            source += 1
        elif type(e) is slice:
            items.append(_full if e == _full else _slice(e))
            source += 1
            target += 1
        elif e is ...:
            n = len(shape) - specified
            items += [_full] * min(n, max(len(shape) - source, 0))       # a second Ellipsis may find nothing left
            source += n
            target += n
        elif e is None:
            items.append(None)
            target += 1
        elif type(e) is bool:
            items.append(None)
            tensors.append(wrap(np.zeros(1 if e else 0, np.int64)))
            dims.append(target)
            target += 1
        else:
            n = e.dim() if e.dtype.name in ("bool", "uint8") else 1
            items += [_full] * n
            tensors.append(e)
            dims.append(target)
            source += n
            target += n
    if tensors and all(i is _full for i in items):
        items = []
    return tuple(items), tensors, tuple(dims)


def _as_tuple(index: Any) -> tuple:
    if type(index) is tuple:
        return index
    if isinstance(index, tuple):
        return tuple(index)
    if isinstance(index, Tensor) or not isinstance(index, (list, range)):
        return (index,)
    if len(index) < 32 and any(i is None or i is ... or isinstance(i, (slice, Tensor, list, tuple, np.ndarray, range))
                               for i in index):
        warnings.warn("Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in "
                      "pytorch "
                      "2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor "
                      "index, "
                      "x[torch.tensor(seq)], which will result either in an error or a different result", stacklevel=5)
        return tuple(index)
    return (index,)


def _entry(i: Any) -> Any:
    """One entry as int, bool, slice, None, Ellipsis or index tensor."""
    kind = type(i)
    if kind is Tensor and i._array.ndim and i._type.dtype.name in ("int64", "bool"):
        return i
    if isinstance(i, (list, tuple, range, str, bytes)):
        return _from_sequence(i)
    if isinstance(i, np.ndarray):
        i = factory.from_numpy(i)
        if i.dtype.name not in ("bool", "uint8"):
            i = i.to(factory.dtypes.int64)
    if isinstance(i, Tensor):
        name = i.dtype.name
        if name not in ("bool", "uint8", "int64", "int32"):
            if i.dim() == 0 and i.dtype.rank == 1:
                return int(i)
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if i.dim() == 0 and i._type.plain:
            return bool(i) if name in ("bool", "uint8") else int(i)
        return i
    if isinstance(i, np.bool_) or not hasattr(kind, "__index__"):
        label = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        raise IndexError("only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
                         "indices "
                         f"(got {label})")
    return i.__index__()


def _from_sequence(i: Any) -> Tensor:
    if isinstance(i, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(i).__name__}'")
    t = factory.tensor(list(i))
    return t if t.dtype.name in ("bool", "uint8") else t.to(factory.dtypes.int64)


def _slice(s: slice) -> slice:
    bounds = [_bound(s.start), _bound(s.stop), _bound(s.step)]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("slice step cannot be zero" if bounds[2] == 0 else "step must be greater than zero")
    if bounds == [None, None, None]:
        return _full
    return slice(*bounds)


def _bound(b: Any) -> int | None:
    if b is None or type(b) is int:
        return b
    if not hasattr(type(b), "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return b.__index__()


def _checked(i: int, shape: tuple, dim: int, place: int) -> int:
    if not -2 ** 63 <= i < 2 ** 63:
        raise ValueError("Overflow when unpacking long long")
    n = shape[dim] if dim < len(shape) else 0
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of bounds for dimension {place} with size {n}")
    return i


def _refuse_scalar(entry: Any) -> None:
    if type(entry) is int:
        raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                         "to "
                         "convert a 0-dim tensor to a number")
    if type(entry) is slice:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
