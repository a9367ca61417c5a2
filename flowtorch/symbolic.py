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
