"""What the kernels of update formulas call beside numpy's ufuncs: interpolation, and sums of multiples.

Each gets a work array, and the array for the result. Where that is the first operand and the arrays are long, numpy's
BLAS makes one pass over them where numpy needs two or three.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array import scaled


def lerp(start: np.ndarray, end: np.ndarray, weight: np.ndarray, work: np.ndarray, out: np.ndarray) -> None:
    """Write ``start + weight * (end - start)``."""
    # As PyTorch, from the nearer end: exact at weight 0 and at weight 1.
    np.subtract(end, start, work)
    if abs(weight) < 0.5:
        np.multiply(work, weight, work)
        np.add(start, work, out)
    else:
        np.multiply(work, 1 - weight, work)
        np.subtract(end, work, out)


def _long_lerp(start: np.ndarray, end: np.ndarray, weight: np.ndarray, work: np.ndarray, out: np.ndarray) -> None:
    if out is start and abs(weight) < 0.5:
        np.subtract(end, start, work)
        if scaled.add(start, work, float(weight)):
            return
    lerp(start, end, weight, work, out)


def _add_scaled(x: np.ndarray, y: np.ndarray, b: np.ndarray, work: np.ndarray, out: np.ndarray) -> None:
    """Write ``x + b * y``."""
    if out is not x or not scaled.add(x, y, float(b)):
        np.multiply(y, b, work)
        np.add(x, work, out)


def _scale_add(x: np.ndarray, a: np.ndarray, y: np.ndarray, work: np.ndarray, out: np.ndarray) -> None:
    """Write ``a * x + y``."""
    if out is not x or not scaled.add(x, y, 1.0, float(a)):
        np.multiply(x, a, work)
        np.add(work, y, out)


def _scale_add_scaled(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray, work: np.ndarray,
                      out: np.ndarray) -> None:
    """Write ``a * x + b * y``."""
    if out is not x or not scaled.add(x, y, float(b), float(a)):
        np.multiply(y, b, work)
        np.multiply(x, a, out)      # in this order: y may lie where the result goes
        np.add(out, work, out)


LONG: dict[str, Any] = {"lerp": _long_lerp, "add_scaled": _add_scaled, "scale_add": _scale_add,
                        "scale_add_scaled": _scale_add_scaled}
