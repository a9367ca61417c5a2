"""Multiply and add with one rounding, as the machine instruction that PyTorch's kernels use does it."""

from __future__ import annotations

import numpy as np

# Multiplying by it cuts a float64 into two halves of 26 bits.
_SPLIT = 134217729.0


def affine32(values: np.ndarray, factor: np.float32, offset: np.float32) -> np.ndarray:
    """``values * factor + offset`` in float32, rounded once."""
    if factor == 1:
        return values + offset
    # A product of float32 numbers is exact in float64.
    wide = values.astype(np.float64)
    wide *= float(factor)
    wide += float(offset)
    return wide.astype(np.float32)


def affine(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """``values * factor + offset`` in float64, rounded once."""
    product = values * factor
    if offset == 0:
        return product
    total = product + offset
    if factor == 1:
        return total
    # The errors of the product (Dekker) and of the sum (Knuth), added back.
    high, low = _split(values)
    factor_high, factor_low = _split(factor)
    error = high * factor_high - product
    error += high * factor_low
    error += low * factor_high
    error += low * factor_low
    rounded = total - product
    error += (product - (total - rounded)) + (offset - rounded)
    exact = total + error
    # Splitting overflows near the end of the range; the plain result is right there but for the last bit.
    return np.where(np.isfinite(exact), exact, total)


def _split(value):  # type: ignore[no-untyped-def]
    scaled = value * _SPLIT
    high = scaled - (scaled - value)
    return high, value - high
