"""Sizes that a tracer would not know yet. There is none, so they are Python's numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NoReturn


class _Symbolic:
    def __init__(self, node: Any) -> None:
        _refuse(type(self).__name__)


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"torch.{name}: nothing is traced in flowtorch, so sizes are ordinary numbers")


class SymInt(_Symbolic):
    """The type of unknown ints, of which there are none."""


class SymFloat(_Symbolic):
    """The type of unknown floats, of which there are none."""


class SymBool(_Symbolic):
    """The type of unknown truths, of which there are none."""


def sym_int(a: Any) -> int:
    """``a`` as an int, rounded towards zero."""
    return math.trunc(a) if isinstance(a, float) else operator.index(a) if hasattr(a, "__index__") else int(a)


def sym_float(a: Any) -> float:
    """``a`` as a float."""
    return float(a)


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers, a float if either is."""
    found = max(a, b)
    return float(found) if isinstance(a, float) or isinstance(b, float) else found


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers, a float if either is."""
    found = min(a, b)
    return float(found) if isinstance(a, float) or isinstance(b, float) else found


def sym_not(a: Any) -> bool:
    """The contrary."""
    return not a


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """``t`` if ``b``, else ``f``."""
    return t if b else f


def sym_sum(args: Sequence[Any]) -> Any:
    """The sum of numbers."""
    return sum(args)


def sym_sqrt(a: Any) -> float:
    """The square root of a number."""
    return math.sqrt(a)


_sym_sqrt = sym_sqrt


def sym_fresh_size(expr: Any) -> Any:
    """The number itself."""
    return expr


def sym_constrain_range(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Check that an int lies in [min, max]; of an unknown one, a tracer would note it."""
    low, high = -math.inf if min is None else min, math.inf if max is None else max
    if high < low:
        raise RuntimeError(f"Max must be greater than or equal to min. Got min={min} max={max}")
    if not low <= math.trunc(size) <= high:
        raise RuntimeError(f"Invalid value range for {math.trunc(size)} between [{min}, {max}].")


def sym_constrain_range_for_size(size: Any, *, min: int | None = None, max: int | None = None) -> None:
    """``sym_constrain_range`` of the size of a dimension, which a tracer would take for at least 2."""
    if max is not None and max <= 2:
        raise RuntimeError(f"Max value to constrain_range_for_size must be greater than 2. got: {max}")
    sym_constrain_range(size, min=0 if min is None else min, max=max)
