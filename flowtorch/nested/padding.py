"""Between jagged and padded tensors."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.nested.tensor import NestedTensor, Ragged, build, values_of
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap


def rows_first(t: NestedTensor) -> Tensor:
    """The values with the ragged dimension in front."""
    values = values_of(t)
    return values if t._at == 1 else values.movedim(t._at - 1, 0)        # type: ignore[attr-defined]


def grid(ragged: Ragged, length: int) -> tuple[Tensor, Tensor]:
    """(row of the values, whether there is one) for each place of a padded batch."""
    places = np.arange(length)
    valid = places < ragged.sizes[:, None]
    rows = np.where(valid, ragged.starts[:, None] + places, 0)
    return wrap(rows), wrap(valid)


def padded(t: NestedTensor, padding: Any, output_size: Any = None) -> Tensor:
    """The pieces one above the other, filled up with ``padding``."""
    ragged, at = t._ragged, t._at
    length = ragged.longest
    rest = t._array.shape[1:at] + t._array.shape[at + 1:]
    if output_size is not None:
        output_size = tuple(output_size)
        if len(output_size) != t._array.ndim or any(a < b for a, b in zip(output_size, t._array.shape, strict=True)):
            raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not "
                               "supported.")
        length = output_size[at]
    rows, valid = grid(ragged, length)
    values = rows_first(t)
    if not values.shape[0]:
        values = values.new_zeros((1, *values.shape[1:]))                # type: ignore[attr-defined]
    out = values.index_select(0, rows.reshape(-1))                       # type: ignore[attr-defined]
    out = out.reshape(*rows.shape, *rest)
    out = out.masked_fill(~valid.reshape(*rows.shape, *(1,) * len(rest)), padding)   # type: ignore[attr-defined]
    out = out if at == 1 else out.movedim(1, at)
    if output_size is not None and tuple(out.shape) != output_size:
        extra: list[int] = []
        for have, want in zip(reversed(out.shape), reversed(output_size), strict=True):
            extra += [0, want - have]
        out = REGISTRY["constant_pad_nd"].public(out, extra, padding)
    return out


def from_padded(x: Any, ragged: Ragged, at: int, label: str = "NestedFromPaddedBackward0") -> NestedTensor:
    """The pieces of a padded tensor as a jagged one."""
    x = x if at == 1 else x.movedim(at, 1)
    if ragged.lengths is not None:
        ragged = compact(ragged)
    values = x[ragged.owners, ragged.places]
    return build(values if at == 1 else values.movedim(0, at - 1), ragged, at, label)


def compact(ragged: Ragged) -> Ragged:
    """The same lengths without holes between the pieces."""
    offsets = np.concatenate([[0], np.cumsum(ragged.sizes)]).astype(np.int64)
    return Ragged(wrap(offsets), None)
