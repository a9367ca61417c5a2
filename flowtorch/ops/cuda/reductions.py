"""Reductions, norms and softmax on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.cuda import empty, parts
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.ops.cuda.base import KERNELS, along, copy_into, formula, kernel
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
    if rule not in ("sum", "mean"):
        raise NotImplementedError(f"the reduction '{rule}' of complex numbers has no kernel on device 'cuda'")
    plane = "float64" if dtype == "complex128" else "float32"
    real, imag = (_reduced(rule, part, dim, keepdim, plane) for part in parts(input))
    result = empty(real.shape, np.dtype(dtype))
    for target, part in zip(parts(result), (real, imag), strict=True):
        copy_into(target, part)
    return result


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
    state = compute_type(input.dtype.name)
    axes = normalize_dims(dim, input.ndim)
    center = _reduced("mean", input, dim, True, state)
    squares = formula("(x - m) * (x - m)", (("x", input.dtype.name), ("m", state)), (), state)(input, center)
    total = _reduced("sum", squares, dim, keepdim, state)
    freedom = float(max(np.prod([input.shape[d] for d in axes], dtype=np.int64) - correction, 0))
    text = "sqrt(x / n)" if root else "x / n"
    return formula(text, (("x", state),), ("n",), input.dtype.name)(total, freedom)


@kernel("_var")
def var(input: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    return _moments(input, dim, correction, keepdim, root=False)


@kernel("_std")
def std(input: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
    return _moments(input, dim, correction, keepdim, root=True)


@kernel("_logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    name, state = input.dtype.name, compute_type(input.dtype.name)
    top = _reduced("amax", input, dim, True, name)
    top = formula("where(isinf(x), 0, x)", (("x", name),), (), state)(top)
    powers = formula("exp(x - m)", (("x", name), ("m", state)), (), state)(input, top)
    total = _reduced("sum", powers, dim, True, state)
    result = formula("log(x) + m", (("x", state), ("m", state)), (), name)(total, top)
    return result if keepdim else result.squeeze(normalize_dims(dim, input.ndim))


@kernel("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    flags = formula("cast(x != 0, int64)", (("x", input.dtype.name),), (), "int64")(input)
    return _reduced("sum", flags, dim, False, "int64")


@kernel("_vector_norm")
def vector_norm(input: Any, ord: float = 2.0, dim: Any = None, keepdim: bool = False) -> Any:
    name, state = input.dtype.name, compute_type(input.dtype.name)
    if input.dtype.kind == "c":
        input = formula("abs(x)", (("x", name),), (), "float64" if name == "complex128" else "float32")(input)
        return vector_norm(input, ord, dim, keepdim)
    if ord in (math.inf, -math.inf):
        size = formula("abs(x)", (("x", name),), (), name)(input)
        return _reduced("amax" if ord > 0 else "amin", size, dim, keepdim, name)
    text = {0.0: "cast(x != 0, " + state + ")", 1.0: "abs(x)", 2.0: "x * x"}.get(ord)
    if text is not None:
        parts = formula(text, (("x", name),), (), state)(input)
    else:
        parts = formula("pow(abs(x), p)", (("x", name),), ("p",), state)(input, float(ord))
    total = _reduced("sum", parts, dim, keepdim, state if ord not in (0, 1) else name)
    if ord in (0, 1):
        return total
    if ord == 2:
        return formula("sqrt(x)", (("x", state),), (), name)(total)
    return formula("pow(x, p)", (("x", state),), ("p",), name)(total, 1 / ord)


# ---------------------------------------------------------------- softmax

def _softmax(log: bool) -> tuple[Callable, Callable]:
    def forward(input: Any, dim: int) -> Any:
        return triton_kernel.softmax(input, along(dim, input.ndim), input.dtype.name, log)

    def backward(grad: Any, output: Any, dim: int) -> Any:
        return triton_kernel.softmax_backward(grad, output, along(dim, grad.ndim), grad.dtype.name, log)

    return forward, backward


KERNELS["_softmax"], KERNELS["_softmax_backward"] = _softmax(log=False)
KERNELS["_log_softmax"], KERNELS["_log_softmax_backward"] = _softmax(log=True)


