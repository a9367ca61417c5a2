"""``make_tensor``: random tensors within bounds, for tests."""

from __future__ import annotations

import math
from typing import Any


def _bounds(dtype: Any, low: Any, high: Any) -> tuple:
    """The interval to draw from: by default small numbers that every dtype holds."""
    import flowtorch

    if dtype.is_floating_point or dtype.is_complex:
        info = flowtorch.finfo(dtype)
        first, last, least, most = -9, 9, info.min, info.max
    elif dtype is flowtorch.bool:
        first, last, least, most = 0, 2, 0, 2
    else:
        info = flowtorch.iinfo(dtype)
        first, last, least, most = (-9 if info.min < 0 else 0), 10, info.min, info.max + 1
    low, high = first if low is None else low, last if high is None else high
    if any(isinstance(b, float) and math.isnan(b) for b in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low > high or (low == high and not (dtype.is_floating_point or dtype.is_complex)):
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    return max(low, least), min(high, most)


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any,
    low: Any = None,
    high: Any = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Any:
    """A tensor of this shape with random values in [low, high); by default [-9, 9).

    ``exclude_zero`` puts the least positive number in the place of zeros. ``noncontiguous`` gives every second element
    of a wider tensor; it excludes ``memory_format``.
    """
    import flowtorch

    size = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if noncontiguous and memory_format is not None:
        raise ValueError(
            f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"{noncontiguous=} and {memory_format=}"
        )
    if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"`requires_grad=True` is only supported for boolean and integral dtypes, but got {dtype=}")
    low, high = _bounds(dtype, low, high)
    wide = noncontiguous and math.prod(size) > 1
    drawn = (*size[:-1], 2 * size[-1]) if wide else size
    if dtype.is_floating_point:
        result = flowtorch.empty(drawn, dtype=flowtorch.float64).uniform_(float(low), float(high)).to(dtype)
    elif dtype.is_complex:
        parts = flowtorch.empty((*drawn, 2), dtype=flowtorch.float64).uniform_(float(low), float(high))
        result = flowtorch.view_as_complex(parts).to(dtype)
    else:
        result = flowtorch.randint(math.ceil(low), math.ceil(high), drawn, dtype=flowtorch.int64).to(dtype)
    result = result.to(device)
    if wide:
        result = result[..., ::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        tiny = flowtorch.finfo(dtype).tiny if dtype.is_floating_point or dtype.is_complex else 1
        result[result == 0] = tiny
    return result.requires_grad_() if requires_grad else result


__all__ = ["make_tensor"]
