"""Matrix products on the device."""

from __future__ import annotations

from typing import Any

from flowtorch.codegen import triton_kernel
from flowtorch.ops.cuda.base import formula, kernel


@kernel("matmul")
def matmul(input: Any, other: Any) -> Any:
    left = input[None, :] if input.ndim == 1 else input
    right = other[:, None] if other.ndim == 1 else other
    result = triton_kernel.matmul(left, right)
    if other.ndim == 1:
        result = result[..., 0]
    return result[..., 0, :] if input.ndim == 1 and other.ndim > 1 else result[..., 0] if input.ndim == 1 else result


@kernel("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    result = matmul(input, weight.T)
    if bias is None:
        return result
    name = result.dtype.name
    return formula("x + b", (("x", name), ("b", name)), (), name)(result, bias)
