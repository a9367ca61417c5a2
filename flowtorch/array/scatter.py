"""Adding rows of values at (repeated) positions of a numpy array: the kernel under every gather's derivative."""
from __future__ import annotations

import numpy as np

_BLOCK = 1 << 16        # elements per call: bounds the memory of the flat index


def linear_index(indices: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Row numbers in an array of ``shape`` for one index array per dimension (broadcast, negative allowed), flat."""
    total: np.ndarray | None = None
    for index, n in zip(indices, shape, strict=True):
        index = np.where(index < 0, index + n, index) if index.size and index.min() < 0 else index
        total = index if total is None else total * n + index
    assert total is not None
    if len(indices) > 1:
        total = np.broadcast_to(total, np.broadcast_shapes(*[i.shape for i in indices]))
    return np.ascontiguousarray(total, np.int64).reshape(-1)


def add_rows(target: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """``target[rows[i]] += values[i]`` for every i, in order, rows repeated or not.

    ``target`` is (n, d) and C-contiguous, ``rows`` (k,) of int64 in range, ``values`` (k, d).
    """
    d = target.shape[1]
    if rows.size == 0 or d == 0:
        return
    if target.dtype.kind == "b":
        np.logical_or.at(target, rows, values)
        return
    values = np.ascontiguousarray(values, target.dtype)
    if target.dtype.kind == "c":
        part = target.real.dtype
        add_rows(target.view(part), rows, values.view(part))
        return
    flat = target.reshape(-1)
    if d == 1:
        np.add.at(flat, rows, values.reshape(-1))
        return
    if d > 1 and values.size >= 1 << 15 and values.dtype.kind == "f" and _add_product(target, rows, values):
        return
    # One-dimensional ufunc.at has a fast loop in numpy; many-dimensional index arrays do not reach it.
    step = max(_BLOCK // d, 1)
    columns = np.arange(d)
    for start in range(0, rows.size, step):
        block = rows[start:start + step]
        np.add.at(flat, (block[:, None] * d + columns).reshape(-1), values[start:start + step].reshape(-1))


def _add_product(target: np.ndarray, rows: np.ndarray, values: np.ndarray) -> bool:
    """``add_rows`` as the product of a sparse 0/1 matrix with ``values``; False where scipy is missing."""
    try:
        from scipy.sparse import csc_array
    except ImportError:
        return False
    places = None
    if len(target) > 2 * rows.size:                # many rows stay as they are: work on those that change
        places, rows = np.unique(rows, return_inverse=True)
    n, k = len(target) if places is None else len(places), rows.size
    ones = csc_array((np.ones(k, values.dtype), rows, np.arange(k + 1)), shape=(n, k))
    total = ones @ values
    if places is None:
        np.add(target, total, target)
    else:
        target[places] += total
    return True
