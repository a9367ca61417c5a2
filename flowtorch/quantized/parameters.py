"""Which scale and zero point let a quantised type hold a range of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Smaller scales lose precision where their inverse is taken.
_SMALLEST = float(np.float32(6.1e-5))


def choose(low: float, high: float, quant_min: int, quant_max: int, symmetric: bool = False) -> tuple[float, int]:
    """(scale, zero point) for values in [low, high]; ``symmetric``: 0 is in the middle where both signs occur."""
    if low > high:
        raise RuntimeError(f"In ChooseQuantizationParams, min should be less than or equal to max: {low}, {high}")
    low, high = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    middle = symmetric and low < 0 < high
    if middle:
        below, above = -((quant_max - quant_min) // 2 + 1), (quant_max - quant_min) // 2
        largest = max(abs(low / np.float32(below)), abs(high / np.float32(above)))
        low, high = largest * np.float32(below), largest * np.float32(above)
    scale = (float(high) - float(low)) / (quant_max - quant_min)
    if np.float32(scale) == 0 or math.isinf(1.0 / np.float32(scale)):
        scale = 0.1
    low, high = float(low), float(high)
    if scale < _SMALLEST:
        given, scale = scale, _SMALLEST
        if low == 0:
            high = _SMALLEST * (quant_max - quant_min)
        elif high == 0:
            low = -_SMALLEST * (quant_max - quant_min)
        else:
            low, high = low * _SMALLEST / given, high * _SMALLEST / given
    if middle:
        point = (quant_min + quant_max) / 2
    else:
        from_low, from_high = quant_min - low / scale, quant_max - high / scale
        better = abs(quant_min) + abs(low / scale) < abs(quant_max) + abs(high / scale)
        point = from_low if better else from_high
    return scale, int(np.rint(min(max(point, quant_min), quant_max)))


def resize_to(target: Any, values: Any, fill: float) -> None:
    """Give an empty buffer the shape of the values that it is to hold."""
    if target.numel() != values.numel():
        target.resize_(tuple(values.shape)).fill_(fill)
