"""``np.where`` without branches: with masks as irregular as data, mispredicted branches cost most of its time."""

from __future__ import annotations

import numpy as np

_INTEGERS: dict[int, np.dtype] = {n: np.dtype(f"i{n}") for n in (1, 2, 4, 8)}
_BLOCK = 16384  # elements whose temporaries stay in the cache
_SMALL = 8192
_FEW = 256  # elements among which branches cost less than calls
_ONES: dict[str, np.ndarray] = {"f": np.ones((), np.int32), "d": np.ones((), np.int64)}


def _bits(a: np.ndarray, shape: tuple, integer: np.dtype) -> np.ndarray | None:
    """The array as flat integers of its size, a 0-d one as it is; None if its memory is not in order.

    A gradient of a sum is expanded: one number everywhere is a 0-d array, others are written out.
    """
    if a.ndim == 0:
        return a.view(integer)
    if a.shape == shape and not a.flags.c_contiguous and 0 in a.strides:
        if not any(a.strides):
            return a[(slice(1),) * a.ndim].reshape(()).view(integer)
        a = np.ascontiguousarray(a)
    return a.view(integer).reshape(-1) if a.shape == shape and a.flags.c_contiguous else None


def select(mask: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """``a`` where ``mask`` holds, ``b`` elsewhere; into ``out``, which may be ``b`` itself."""
    d = a.dtype
    if mask.size < _SMALL or d != b.dtype or mask.dtype != bool or d.itemsize not in _INTEGERS or d.hasobject:
        return _plain(mask, a, b, out)
    integer = _INTEGERS[d.itemsize]
    shape = mask.shape
    x, y = _bits(a, shape, integer), _bits(b, shape, integer)
    if x is None or y is None or not mask.flags.c_contiguous or (out is not None and not out.flags.c_contiguous):
        return _plain(mask, a, b, out)
    result = np.empty(shape, d) if out is None else out
    target, flags = result.view(integer).reshape(-1), mask.view(np.int8).reshape(-1)
    for start in range(0, mask.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        chosen = np.negative(flags[block]).astype(integer)  # all bits set where the mask holds
        xs, ys = x if x.ndim == 0 else x[block], y if y.ndim == 0 else y[block]
        chosen &= xs ^ ys
        np.bitwise_xor(chosen, ys, target[block])
    return result


def cleared(mask: np.ndarray, values: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """``values`` with ``zero``, all of whose bits are 0, where ``mask`` holds."""
    one = _ONES.get(values.dtype.char)
    if one is None or not _FEW < values.size < _SMALL or mask.shape != values.shape or not (
            mask.flags.c_contiguous and values.flags.c_contiguous):
        return select(mask, zero, values)
    out = np.empty_like(values)
    bits = out.view(one.dtype)
    bits[...] = mask.view(np.int8)
    np.subtract(bits, one, bits)            # all bits set where the mask does not hold
    np.bitwise_and(bits, values.view(one.dtype), bits)
    return out


def _plain(mask: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    if out is None:
        return np.where(mask, a, b)
    if out is not b:
        np.copyto(out, b)
    np.copyto(out, a, where=mask)
    return out
