"""Matrix products on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.cuda import empty
from flowtorch.codegen import triton_kernel
from flowtorch.ops.cuda import blas
from flowtorch.ops.cuda.base import bilinear, cast, combined, copied, copy_into, dense, formula, kernel, number, parts
from flowtorch.ops.products import _unlike


def product(left: Any, right: Any, tf32: bool | None = None, **epilogue: Any) -> Any:
    """``left @ right`` of arrays of rank 2 or more: by cuBLAS, or by a kernel, complex ones as four real products.

    ``tf32`` says whether float32 may be rounded to TensorFloat-32; by default what the program has allowed.
    """
    from flowtorch import backends

    if tf32 is None:
        tf32 = bool(backends.cuda.matmul.allow_tf32)
    found = blas.product(left, right, tf32=tf32, **epilogue)
    if found is not None:
        return found
    if left.dtype.kind != "c":
        if left.dtype == np.float32:
            epilogue["tf32"] = tf32
        if left.dtype.kind == "b":
            return cast(triton_kernel.matmul(cast(left, np.int32), cast(right, np.int32), **epilogue), bool)
        return triton_kernel.matmul(left, right, **epilogue)
    return bilinear(triton_kernel.matmul, dense(left), dense(right))


@kernel("matmul")
def matmul(input: Any, other: Any) -> Any:
    left = input[None, :] if input.ndim == 1 else input
    right = other[:, None] if other.ndim == 1 else other
    result = product(left, right)
    if other.ndim == 1:
        result = result[..., 0]
    return result[..., 0, :] if input.ndim == 1 and other.ndim > 1 else result[..., 0] if input.ndim == 1 else result


@kernel("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if bias is None or input.dtype.kind == "c" or weight.ndim != 2:
        result = matmul(input, weight.T)
        if bias is None:
            return result
        if input.dtype.kind == "c":
            return combined(result, bias)
        name = result.dtype.name
        return formula("x + b", (("x", name), ("b", name)), (), name)(result, bias)
    rows = input if input.ndim == 2 else dense(input).reshape(-1, input.shape[-1]) if input.shape[-1] else None
    if rows is None:
        result = empty((*input.shape[:-1], len(weight)), input.dtype)
        copy_into(result, bias)
        return result
    return product(rows, weight.T, addend=bias).reshape(*input.shape[:-1], len(weight))


@kernel("mm", "bmm", "mv", "dot")
def two(input: Any, other: Any) -> Any:
    if _unlike(input, other):
        raise TypeError
    return matmul(input, other)


@kernel("vdot")
def vdot(input: Any, other: Any) -> Any:
    if input.dtype.kind == "c":
        conjugate = copied(input)
        imag = parts(conjugate)[1]
        name = imag.dtype.name
        formula("-x", (("x", name),), (), name)(imag, out=imag)
        input = conjugate
    return two(input, other)


# ---------------------------------------------------------------- beta * input + alpha * product

def _number(value: Any, dtype: np.dtype) -> Any:
    value = number(value)
    if dtype.kind in "biu":
        return int(value)
    if isinstance(value, complex):
        raise RuntimeError("value cannot be converted to type "
                           f"{'double' if dtype == np.float64 else 'float'} without overflow")
    return float(value)


def _combined(input: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    if left.dtype.kind == "c":
        name = left.dtype.name
        total, alpha, beta = product(left, right), complex(number(alpha)), complex(number(beta))
        if beta == 0:
            return formula("x * s", (("x", name),), ("s",), name)(total, alpha)
        types = (("x", name), ("y", name))
        return formula("x * s + y * t", types, ("s", "t"), name)(total, input, alpha, beta)
    shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    if np.broadcast_shapes(shape, input.shape) != shape:
        raise ValueError("shape mismatch")
    alpha, beta = _number(alpha, left.dtype), _number(beta, left.dtype)
    addend = None if beta == 0 else input  # what is multiplied by zero may be NaN
    return product(left, right, addend=addend, alpha=alpha, beta=beta)


@kernel("addmm", "baddbmm")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _combined(input, mat1, mat2, beta, alpha)


@kernel("addmv")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _combined(input[..., None] if input.ndim else input, mat, vec[:, None], beta, alpha)[:, 0]


@kernel("addbmm")
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    n, rows, inner = batch1.shape
    left = dense(batch1.transpose(1, 0, 2)).reshape(rows, n * inner)
    return _combined(input, left, dense(batch2).reshape(n * inner, batch2.shape[2]), beta, alpha)


@kernel("linalg_cross")
def linalg_cross(input: Any, other: Any, dim: int = -1) -> Any:
    shape = np.broadcast_shapes(input.shape, other.shape)
    dim %= len(shape)
    result = empty(shape, input.dtype)
    if input.dtype.kind == "b":
        raise NotImplementedError(f"the cross product of {input.dtype} has no kernel on device 'cuda'")
    name = input.dtype.name

    def at(array: Any, k: int) -> Any:
        return array[(slice(None),) * (dim - len(shape) + array.ndim) + (k,)]

    types = tuple((text, name) for text in "abcd")
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        formula("a * b - c * d", types, (), name)(at(input, j), at(other, k), at(input, k), at(other, j),
                                                 out=at(result, i))
    return result

