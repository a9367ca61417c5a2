"""Reductions, norms and softmax on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.cuda import empty, kernel_module, parts
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import run
from flowtorch.ops import gather as gathering
from flowtorch.ops import hashing
from flowtorch.ops.cuda.base import KERNELS, along, cast, combined, dense, folded, formula, joined, kernel, zeros
from flowtorch.ops.cuda.scans import tile
from flowtorch.ops.families import normalize_dims
from flowtorch.ops.reduction import _need_elements, accumulation_type


def _reduced(rule: str, input: Any, dim: Any, keepdim: bool, dtype: str) -> Any:
    axes = normalize_dims(dim, input.ndim)
    if input.dtype.kind == "c":
        return _of_parts(rule, input, dim, keepdim, dtype)
    result = triton_kernel.reduce(rule, input, axes, dtype)
    return result.reshape([1 if d in axes else n for d, n in enumerate(input.shape)]) if keepdim else result


def _of_parts(rule: str, input: Any, dim: Any, keepdim: bool, dtype: str) -> Any:
    """A linear reduction of complex numbers, or a test of them."""
    if rule in ("any", "all"):
        flags = formula("x != 0", (("x", input.dtype.name),), (), "bool")(input)
        return _reduced(rule, flags, dim, keepdim, dtype)
    if rule == "prod":
        return _product_of_parts(cast(input, dtype), normalize_dims(dim, input.ndim), keepdim)
    if rule not in ("sum", "mean"):
        raise NotImplementedError(f"the reduction '{rule}' of complex numbers has no kernel on device 'cuda'")
    plane = "float64" if dtype == "complex128" else "float32"
    real, imag = (_reduced(rule, part, dim, keepdim, plane) for part in parts(input))
    return joined(real, imag, np.dtype(dtype))


def _product_of_parts(input: Any, axes: tuple, keepdim: bool) -> Any:
    kept = [d for d in range(input.ndim) if d not in axes]
    length = math.prod(input.shape[d] for d in axes)
    result = empty([1 if d in axes else n for d, n in enumerate(input.shape)], input.dtype)
    if result.size:
        flat = dense(input.transpose([*kept, *axes])).reshape(result.size, length)
        plane = np.dtype(np.float32 if input.dtype.itemsize == 8 else np.float64)
        sizes = tile(result.size, length)
        run(kernel_module("complex_numbers").product, (-(-result.size // sizes["ROWS"]),), flat.view(plane),
            result.reshape(-1).view(plane), *flat.shape, **sizes)
    return result if keepdim else result.reshape([input.shape[d] for d in kept])


@kernel("sum")
def sum_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return _reduced("sum", input, dim, keepdim, accumulation_type(input, dtype).name)


@kernel("_prod_all")
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    return _reduced("prod", input, dim, keepdim, accumulation_type(input, dtype).name)


@kernel("mean")
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    target = input.dtype if dtype is None else dtype.numpy
    if target.kind in "biu":
        whose = "Input" if dtype is None else "Optional"
        raise RuntimeError(f"mean(): could not infer output dtype. {whose} dtype must be either a floating point or "
                           f"complex dtype. Got: {dtypes.from_numpy_dtype(target).label}")
    return _reduced("mean", input, dim, keepdim, target.name)


def _extremum(rule: str) -> Callable:
    def extremum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        _need_elements(input, dim, rule)
        return _reduced(rule, input, dim, keepdim, input.dtype.name)
    return extremum


def _test(rule: str) -> Callable:
    def test(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return _reduced(rule, input, dim, keepdim, "uint8" if input.dtype == np.uint8 else "bool")
    return test


KERNELS |= {"amax": _extremum("amax"), "amin": _extremum("amin"), "any": _test("any"), "all": _test("all")}


def _moments(input: Any, dim: Any, correction: Any, keepdim: bool, root: bool) -> Any:
    axes = normalize_dims(dim, input.ndim)
    if input.dtype.kind == "c":
        total = combined(*(_moments(part, dim, correction, keepdim, False) for part in parts(input)))
        name = total.dtype.name
        return formula("sqrt(x)", (("x", name),), (), name)(total) if root else total
    freedom = float(max(np.prod([input.shape[d] for d in axes], dtype=np.int64) - correction, 0))
    # relative to the first element, so that equal numbers have a variance of exactly zero
    first = input[tuple(slice(0, 1) if d in axes else slice(None) for d in range(input.ndim))]
    center = folded("mean", "x - f", {"x": input, "f": first}, axes, compute_type(input.dtype.name), keepdim=True)
    return folded("sum", "(x - f - m) * (x - f - m)", {"x": input, "f": first, "m": center}, axes, input.dtype.name,
                  after="sqrt(x / n)" if root else "x / n", last={"n": freedom}, keepdim=keepdim)


@kernel("_var")
def var(input: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    return _moments(input, dim, correction, keepdim, root=False)


@kernel("_std")
def std(input: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    return _moments(input, dim, correction, keepdim, root=True)


@kernel("_logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    name, state = input.dtype.name, compute_type(input.dtype.name)
    axes = normalize_dims(dim, input.ndim)
    if input.dtype.kind == "c":
        real = parts(input)[0]
        top = _reduced("amax", real, dim, True, real.dtype.name)
        top = formula("where(isinf(x), 0, x)", (("x", real.dtype.name),), (), real.dtype.name)(top)
        types = (("x", name), ("m", real.dtype.name))
        total = _reduced("sum", formula("exp(x - m)", types, (), name)(input, top), dim, True, name)
        result = formula("log(x) + m", types, (), name)(total, top)
        return result if keepdim else result.squeeze(axes)
    top = _reduced("amax", input, dim, True, name)
    top = formula("where(isinf(x), 0, x)", (("x", name),), (), state)(top)
    total = folded("sum", "exp(x - m)", {"x": input, "m": top}, axes, state, keepdim=True)
    result = formula("log(x) + m", (("x", state), ("m", state)), (), name)(total, top)
    return result if keepdim else result.squeeze(axes)


@kernel("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    axes = normalize_dims(dim, input.ndim)
    if input.dtype.kind == "c":
        arrays = dict(zip("xy", parts(input), strict=True))
        return folded("sum", "cast((x != 0) | (y != 0), int64)", arrays, axes, "int64")
    return folded("sum", "cast(x != 0, int64)", {"x": input}, axes, "int64")


@kernel("_vector_norm")
def vector_norm(input: Any, ord: float = 2.0, dim: Any = None, keepdim: bool = False) -> Any:
    axes = normalize_dims(dim, input.ndim)
    arrays, size = {"x": input}, "abs(x)"
    name = input.dtype.name
    if input.dtype.kind == "c":
        arrays, size = dict(zip("xy", parts(input), strict=True)), "hypot(x, y)"
        name = "float64" if name == "complex128" else "float32"
    if ord in (math.inf, -math.inf):
        return folded("amax" if ord > 0 else "amin", size, arrays, axes, name, keepdim=keepdim)
    if ord == 2:
        square = "x * x" if len(arrays) == 1 else "x * x + y * y"
        return folded("sum", square, arrays, axes, name, after="sqrt(x)", keepdim=keepdim)
    text = {0.0: f"cast({size} != 0, {compute_type(name)})", 1.0: size}.get(ord)
    if text is not None:
        return folded("sum", text, arrays, axes, name, keepdim=keepdim)
    return folded("sum", f"pow({size}, p)", arrays, axes, name, numbers={"p": float(ord)}, after="pow(x, p)",
                  last={"p": 1 / ord}, keepdim=keepdim)


@kernel("hash_tensor")
def hash_tensor(input: Any, dim: Any = (), keepdim: bool = False, *, mode: int = 0) -> Any:
    """Exclusive or of the elements' bits, widened to 64 by way of float64 or int64."""
    axes = hashing.checked_dims(input, dim, mode)
    if dtypes.from_numpy_dtype(input.dtype) not in hashing._WIDE:
        if input.size:
            raise NotImplementedError(f"\"xor_sum_cuda\" not implemented for '{gathering.label(input)}'")
        input = zeros(input.shape, np.uint8)
    wide = "x0.to(tl.float64).to(tl.int64, bitcast=True)" if input.dtype.kind not in "biu" else "x0.to(tl.int64)"
    expression = kernel_module("pointwise").Expression
    words = expression("hash", (input.dtype.name,), (), ("int64",), (f"t0 = {wide}",), ("t0",))
    result = triton_kernel.fold("xor", (input,), axes, "int64", words).view(np.uint64)
    return result.reshape([1 if d in axes else n for d, n in enumerate(input.shape)]) if keepdim else result


# ---------------------------------------------------------------- softmax

def _softmax(log: bool) -> tuple[Callable, Callable]:
    def forward(input: Any, dim: int) -> Any:
        return triton_kernel.softmax(input, along(dim, input.ndim), input.dtype.name, log)

    def backward(grad: Any, output: Any, dim: int) -> Any:
        return triton_kernel.softmax_backward(grad, output, along(dim, grad.ndim), grad.dtype.name, log)

    return forward, backward


KERNELS["_softmax"], KERNELS["_softmax_backward"] = _softmax(log=False)
KERNELS["_log_softmax"], KERNELS["_log_softmax_backward"] = _softmax(log=True)


