"""A hash of a tensor's elements, by which programs notice that one changed."""

from __future__ import annotations

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.families import normalize_dims, reduction

# The type whose bits stand for an element.
_WIDE: dict[dtypes.dtype, type] = {
    **dict.fromkeys((dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64), np.float64),
    **dict.fromkeys((dtypes.bool_, dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64), np.int64),
}


def _check_dtype(name: str, given: dtypes.dtype, wanted: dtypes.dtype) -> None:
    raise RuntimeError(f"Expected result to be of dtype uint64, but got {given.label}")


@reduction(out=_check_dtype, low="keep")
def hash_tensor(input, dim=(), keepdim=False, *, mode=0):
    """Join the bits of the elements, widened to 64 bits, by exclusive or; ``dim=()`` takes all dimensions.

    >>> import flowtorch as torch
    >>> torch.hash_tensor(torch.tensor([1, 2, 4]))
    tensor(7, dtype=torch.uint64)
    """
    axes = checked_dims(input, dim, mode)
    dtype = dtypes.from_numpy_dtype(input.dtype)
    if dtype not in _WIDE:
        if input.size:
            raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{dtype.label}'")
        return np.add.reduce(np.empty(input.shape, np.uint64), axis=axes, keepdims=keepdim)
    return np.bitwise_xor.reduce(input.astype(_WIDE[dtype]).view(np.uint64), axis=axes, keepdims=keepdim)


def checked_dims(input: np.ndarray, dim: object, mode: int) -> tuple:
    """The dimensions to reduce; refuses unknown modes and hashes of nothing."""
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    axes = normalize_dims(None if dim in ((), []) else dim, input.ndim)
    _need_elements(input, dim, axes)
    return axes


def _need_elements(input: np.ndarray, dim: object, axes: tuple) -> None:
    if input.size:
        return
    if dim in ((), [], None):
        raise RuntimeError(
            "hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
            "with the 'dim' argument."
        )
    for d in axes:
        if input.shape[d] == 0:
            raise IndexError(f"hash_tensor: Expected reduction dim {d} to have non-zero size.")
