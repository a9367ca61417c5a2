"""Matrix products by cuBLAS through CuPy, for the shapes where the table of configurations prefers it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import address, array_module, element_strides, empty, kernel_module
from flowtorch.ops.cuda.base import copy_into

_TYPES = {"float32": 0, "float64": 1, "float16": 2, "complex64": 4, "complex128": 5, "bfloat16": 14}
"""cudaDataType."""
_SINGLE, _SINGLE_TF32, _DOUBLE = 68, 77, 70
"""cublasComputeType_t."""
_DEFAULT_ALGORITHM = -1


def product(
    left: Any, right: Any, tf32: bool, addend: Any = None, alpha: Any = 1, beta: Any = 1, activation: str = ""
) -> Any:
    """``alpha * left @ right + beta * addend`` by cuBLAS, or None where a kernel of ours is to do it."""
    name = left.dtype.name
    rows, inner, cols = left.shape[-2], left.shape[-1], right.shape[-1]
    if array_module() is np or activation or name not in _TYPES or right.dtype != left.dtype or not rows * inner * cols:
        return None
    tuning = kernel_module("tuning")
    if not tuning.find("matmul", tuning.matmul_class(name, rows, cols, inner)).get("library"):
        return None
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    sides = [_side(array, batch) for array in (left, right)]
    if None in sides or not math.prod(batch):
        return None
    result = empty((*batch, rows, cols), left.dtype)
    if addend is None:
        beta = 0
    elif beta != 0:
        copy_into(result, addend)
    _multiply(result, sides, (rows, cols, inner), math.prod(batch), (alpha, beta), tf32)
    return result


def _side(array: Any, batch: tuple[int, ...]) -> tuple | None:
    """(address, whether transposed, leading dimension, step from one matrix to the next), or None if there is none."""
    rows, cols = array.shape[-2:]
    *outer, down, across = element_strides(array)
    if (across == 1 or cols == 1) and (down >= cols or rows == 1):
        flipped, leading = 0, max(down, cols, 1)
    elif (down == 1 or rows == 1) and (across >= rows or cols == 1):
        flipped, leading = 1, max(across, rows, 1)
    else:
        return None
    sizes = array.shape[:-2]
    if math.prod(sizes) == 1:
        return address(array), flipped, leading, 0
    if sizes != batch:
        return None
    several = [(size, step) for size, step in zip(sizes, outer, strict=True) if size != 1]
    first = expected = several[-1][1]
    for size, step in reversed(several):
        if step != expected:
            return None
        expected = step * size
    return address(array), flipped, leading, first


def _multiply(
    result: Any, sides: list, sizes: tuple[int, int, int], count: int, scales: tuple[Any, Any], tf32: bool
) -> None:
    """cuBLAS counts columns first, so it is asked for the transpose: right.T @ left.T."""
    rows, cols, inner = sizes
    name = result.dtype.name
    kind = _TYPES[name]
    precise = _DOUBLE if name in ("float64", "complex128") else _SINGLE
    if name == "float32" and tf32:
        precise = _SINGLE_TF32
    state = np.dtype(name if name not in ("float16", "bfloat16") else "float32")
    factors = np.array(scales, state)  # in the host's memory, read by the call itself
    cublas, handle = _library()
    (a, a_flipped, a_leading, a_step), (b, b_flipped, b_leading, b_step) = sides
    ends = (factors.ctypes.data + state.itemsize, address(result), kind, cols)
    if count == 1:
        cublas.gemmEx(handle, b_flipped, a_flipped, cols, rows, inner, factors.ctypes.data, b, kind, b_leading,
                      a, kind, a_leading, *ends, precise, _DEFAULT_ALGORITHM)  # fmt: skip
        return
    cublas.gemmStridedBatchedEx(
        handle, b_flipped, a_flipped, cols, rows, inner, factors.ctypes.data, b, kind, b_leading, b_step,
        a, kind, a_leading, a_step, *ends, rows * cols, count, precise, _DEFAULT_ALGORITHM,
    )  # fmt: skip


def _library() -> tuple[Any, int]:
    cuda = array_module().cuda
    return cuda.cublas, cuda.device.get_cublas_handle()
