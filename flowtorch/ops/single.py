"""Computations in half precision that PyTorch's kernels make in single precision and round once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flowtorch import dtypes
from flowtorch.tensor import Tensor

HALVES = (dtypes.float16, dtypes.bfloat16)


def in_single(f: Callable) -> Callable:
    """``f`` of tensors, the first of which says the precision: half precision is widened, and the result rounded.

    For derivatives, whose first argument is the incoming gradient, and for functions made of other functions.
    """

    @wraps(f)
    def wide(*values: Any, **options: Any) -> Any:
        first = values[0] if values else None                           # none: called by name, with symbols
        if not isinstance(first, Tensor) or first._type.dtype not in HALVES:
            return f(*values, **options)
        return f(*map(_widened, values), **options).to(first._type.dtype)

    return wide


def _widened(value: Any) -> Any:
    return value.to(dtypes.float32) if isinstance(value, Tensor) and value._type.dtype in HALVES else value
