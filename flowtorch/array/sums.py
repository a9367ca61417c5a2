"""Sums of floating-point numbers as products with ones: BLAS adds several times as fast as numpy's reductions do.

A product adds up at most ``CHUNK`` numbers, in the lanes of a vector register; what is longer is cut into chunks, whose
sums numpy adds pairwise. So the error stays that of a pairwise sum.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

CHUNK = 1024
ROWS = 256  # of columns' sums, where BLAS adds row to row
SHORT = 16  # columns that are summed as fast as one
FEW = 2048  # fewer elements are not worth the look
_add_reduce: Any = np.add.reduce


@lru_cache(maxsize=256)
def ones(n: int, char: str) -> np.ndarray:
    """A vector of ones, to be read only."""
    return np.ones(n, char)


@lru_cache(maxsize=256)
def spread(n: int, char: str) -> np.ndarray:
    """What multiplies rows of ``n`` numbers to their sums: in a column, or for short rows in each of ``n`` columns.

    The latter costs hardly more, and what follows needs no broadcasting, which would cost small arrays twice as much.
    """
    return np.ones((n, n if n <= SHORT else 1), char)


def between(numbers: np.ndarray, low: float, high: float) -> bool:
    """Whether all of these few numbers lie strictly between; where one is nan, False or a true answer for the rest."""
    if numbers.size > SHORT:
        return bool(np.minimum.reduce(numbers) > low and np.maximum.reduce(numbers) < high)
    known = numbers.tolist()
    return min(known) > low and max(known) < high


def over(array: np.ndarray, axes: Any, keepdims: bool = False, squares: bool = False) -> Any:
    """The sum of ``array`` (or of its squares) over ``axes``, non-negative ones (None: all).

    None where this is not the way: few elements, gaps between them, no floating-point numbers, or neither the first
    dimensions nor the last are the axes.
    """
    if array.size < FEW or array.dtype.char not in "fd" or not array.flags.c_contiguous:
        return None
    shape = array.shape
    kept = len(shape) if axes is not None else 0
    while kept and kept - 1 in axes:
        kept -= 1
    if kept == len(shape):
        lead = len(axes)
        if not lead or max(axes) >= lead:
            return None
        matrix = array.reshape(math.prod(shape[:lead]), -1)
        total = of_columns(matrix * matrix if squares else matrix).reshape(shape[lead:])
        return total.reshape((1,) * lead + shape[lead:]) if keepdims else total
    total = _chunked(array.reshape(*shape[:kept], -1), _products_with_themselves if squares else _products_with_ones)
    if axes is not None and len(axes) > len(shape) - kept:
        total = _add_reduce(total, axis=tuple([a for a in axes if a < kept]))
    if keepdims:
        return total.reshape([1 if axes is None or d in axes else n for d, n in enumerate(shape)])
    return total


def total(array: np.ndarray) -> Any:
    """The sum of all elements of a contiguous array of real numbers, at least one."""
    n, char = array.size, array.dtype.char
    if n <= CHUNK:
        return np.vdot(array, ones(n, char))
    parts = n // CHUNK
    whole = parts * CHUNK
    flat = array.reshape(-1)
    chunks = (flat if whole == n else flat[:whole]).reshape(parts, CHUNK).dot(ones(CHUNK, char))
    result = chunks.dot(ones(parts, char)) if parts <= CHUNK else _add_reduce(chunks)
    return result if whole == n else result + flat[whole:].dot(ones(n - whole, char))


def of_rows(matrix: np.ndarray, squares: bool = False) -> np.ndarray:
    """The sums of the rows of a contiguous matrix (or of their squares), as a column."""
    return _chunked(matrix, _products_with_themselves if squares else _products_with_ones)[:, None]


def of_columns(matrix: np.ndarray) -> np.ndarray:
    """The sums of the columns of a contiguous matrix of real numbers, as a row."""
    n, char = len(matrix), matrix.dtype.char
    if n <= ROWS:
        return ones(n, char).dot(matrix)
    whole = n // ROWS * ROWS
    total = _add_reduce(np.matmul(ones(ROWS, char), matrix[:whole].reshape(-1, ROWS, matrix.shape[1])), axis=0)
    return total + ones(n - whole, char).dot(matrix[whole:]) if whole < n else total


def _products_with_ones(parts: np.ndarray) -> np.ndarray:
    return parts.dot(ones(parts.shape[-1], parts.dtype.char))


def _products_with_themselves(parts: np.ndarray) -> np.ndarray:
    return np.matmul(parts[..., None, :], parts[..., None])[..., 0, 0]


def _chunked(array: np.ndarray, product: Any) -> Any:
    """The sums of products over the last dimension."""
    n = array.shape[-1]
    if n <= CHUNK:
        return product(array)
    whole = n // CHUNK * CHUNK
    total = _add_reduce(product(array[..., :whole].reshape(*array.shape[:-1], -1, CHUNK)), axis=-1)
    return total + product(array[..., whole:]) if whole < n else total
