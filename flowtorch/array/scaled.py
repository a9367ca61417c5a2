"""Sums of multiples of long arrays in one pass over memory, by numpy's own OpenBLAS; numpy needs two or three."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from flowtorch.array import blas

FEW = 4096  # elements up to which numpy's passes cost less than to find out where the arrays lie
_KINDS = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}


@functools.cache
def _routine(name: str, kind: str) -> Any:
    """BLAS's ``axpy`` or ``axpby`` for a dtype; None where numpy has another BLAS or one with short integers."""
    letter, number = _KINDS[kind]
    routine = getattr(blas.library(), f"scipy_cblas_{letter}{name}64_", None)
    if routine is not None:
        length, place = ctypes.c_int64, ctypes.c_void_p
        beside = [] if name == "axpy" else [number]
        routine.argtypes, routine.restype = [length, number, place, length, *beside, place, length], None
    return routine


def add(y: np.ndarray, x: np.ndarray, a: float, b: float | None = None) -> bool:
    """``y += a * x``, or ``y = b * y + a * x``, in place; False, with nothing done, where BLAS is of no use.

    That is for short arrays, arrays with gaps or read-only ones, and for multiples by zero: BLAS leaves those out,
    nan or not.
    """
    kind = y.dtype.char
    if (y.size <= FEW or kind not in _KINDS or x.dtype is not y.dtype or x.size != y.size or not a or b == 0
            or not (x.flags.c_contiguous and y.flags.c_contiguous and x.flags.writeable)):
        return False
    routine = _routine("axpy" if b is None else "axpby", kind)
    if routine is None:
        return False
    beside = () if b is None else (b,)
    routine(y.size, a, _place(x), 1, *beside, _place(y), 1)
    return True


def _place(array: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(array))  # a tenth of what array.ctypes takes
