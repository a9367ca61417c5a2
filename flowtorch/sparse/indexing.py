"""Indexing of sparse tensors: integers take slices, None adds a dimension; ranges would need a stride."""
from __future__ import annotations

from typing import Any

from flowtorch.sparse.handlers import unsupported
from flowtorch.tensor import Tensor


def _integer(i: Any) -> bool:
    return isinstance(i, Tensor) and i.dim() == 0 and i.dtype.rank == 1


def getitem(s: Any, index: Any) -> Any:
    """``s[index]`` of a sparse tensor."""
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, (Tensor, list, bool)) and not _integer(i) for i in items):
        raise unsupported("index.Tensor", [s])
    given = sum(i is not None and i is not ... for i in items)
    if given > s.dim():
        raise IndexError(f"too many indices for tensor of dimension {s.dim()}")
    result, at = s, 0
    for k, item in enumerate(items):
        if item is None:
            result, at = result.unsqueeze(at), at + 1
        elif item is ...:
            at = result.dim() - sum(i is not None and i is not ... for i in items[k:])
        elif isinstance(item, slice):
            n = result.shape[at]
            if item.indices(n) != (0, n, 1):
                raise unsupported("as_strided", [s])
            at += 1
        else:
            n = result.shape[at]
            if not -n <= int(item) < n:
                raise IndexError(f"index {int(item)} is out of bounds for dimension {at} with size {n}")
            result = result.select(at, int(item))
    return result
