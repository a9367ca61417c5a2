"""The ops' kernels on device "cuda", found by the op record's name or rendered from its scalar expression.

Imported when a kernel is first asked for. Device kernels take low-precision arrays as they are: what the kernel loads
is widened there, and rounded when it is stored.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.cuda import empty
from flowtorch.array.tensortype import TensorType
from flowtorch.codegen import expression, triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.op_kernel import OpKernel
from flowtorch.codegen.triton_kernel import TritonKernel
from flowtorch.ops.families import normalize_dims
from flowtorch.ops.op import Op
from flowtorch.ops.reduction import _need_elements, accumulation_type

KERNELS: dict[str, Callable] = {}
"""Kernels of the ops that are not pointwise, by name; they take what the op's body takes."""


def kernels(op: Op, type: TensorType) -> tuple[Callable, Callable] | None:
    """(kernel of the tensors alone, kernel with parameters) of ``op`` for operands of ``type``, or None."""
    kernel = KERNELS.get(op.name)
    if kernel is None and op.expr is not None and not type.dtype.is_complex:
        try:
            name = op.name.strip("_")
            default = dtypes.get_default_dtype().name
            kernel = OpKernel(op, type.dtype.name, lambda program: TritonKernel(program, name), default)
        except NotImplementedError:
            return None
    return None if kernel is None else (kernel, kernel)


def kernel(name: str) -> Callable:
    """Decorator: the device kernel of the op ``name``."""
    def register(f: Callable) -> Callable:
        KERNELS[name] = f
        return f
    return register


# ---------------------------------------------------------------- reductions

def _reduced(rule: str, input: Any, dim: Any, keepdim: bool, dtype: str) -> Any:
    axes = normalize_dims(dim, input.ndim)
    result = triton_kernel.reduce(rule, input, axes, dtype)
    return result.reshape([1 if d in axes else n for d, n in enumerate(input.shape)]) if keepdim else result


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


@functools.cache
def _formula(text: str, inputs: tuple[tuple[str, str], ...], scalars: tuple[str, ...], result: str) -> TritonKernel:
    """A kernel of the glue's own: pointwise steps between reductions."""
    types = dict(inputs)
    tree = expression.parse(text, tuple(types), scalars)
    program = lower([tree], types, dict.fromkeys(scalars, compute_type(result)), [result])
    return TritonKernel(program, "formula")


def _moments(input: Any, dim: Any, correction: Any, keepdim: bool, root: bool) -> Any:
    state = compute_type(input.dtype.name)
    axes = normalize_dims(dim, input.ndim)
    center = _reduced("mean", input, dim, True, state)
    squares = _formula("(x - m) * (x - m)", (("x", input.dtype.name), ("m", state)), (), state)(input, center)
    total = _reduced("sum", squares, dim, keepdim, state)
    freedom = float(max(np.prod([input.shape[d] for d in axes], dtype=np.int64) - correction, 0))
    text = "sqrt(x / n)" if root else "x / n"
    return _formula(text, (("x", state),), ("n",), input.dtype.name)(total, freedom)


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
    top = _formula("where(isinf(x), 0, x)", (("x", name),), (), state)(top)
    powers = _formula("exp(x - m)", (("x", name), ("m", state)), (), state)(input, top)
    total = _reduced("sum", powers, dim, True, state)
    result = _formula("log(x) + m", (("x", state), ("m", state)), (), name)(total, top)
    return result if keepdim else result.squeeze(normalize_dims(dim, input.ndim))


# ---------------------------------------------------------------- softmax

def _along(dim: int, ndim: int) -> int:
    (d,) = normalize_dims(dim, ndim) or (0,)
    return d


def _softmax(log: bool) -> tuple[Callable, Callable]:
    def forward(input: Any, dim: int) -> Any:
        return triton_kernel.softmax(input, _along(dim, input.ndim), input.dtype.name, log)

    def backward(grad: Any, output: Any, dim: int) -> Any:
        return triton_kernel.softmax_backward(grad, output, _along(dim, grad.ndim), grad.dtype.name, log)

    return forward, backward


KERNELS["_softmax"], KERNELS["_softmax_backward"] = _softmax(log=False)
KERNELS["_log_softmax"], KERNELS["_log_softmax_backward"] = _softmax(log=True)


# ---------------------------------------------------------------- products

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
    return _formula("x + b", (("x", name), ("b", name)), (), name)(result, bias)


# ---------------------------------------------------------------- copies

@kernel("clone")
def clone(input: Any, *, memory_format: Any = dtypes.preserve_format) -> Any:
    name = input.dtype.name
    if memory_format is dtypes.preserve_format:
        return _identity(name)(input)
    order = list(range(input.ndim))
    if memory_format in (dtypes.channels_last, dtypes.channels_last_3d):
        if input.ndim != (4 if memory_format is dtypes.channels_last else 5):
            raise RuntimeError(f"required rank {9 - input.ndim} tensor to use {memory_format.name} format")
        order = [0, *order[2:], 1]
    result = empty([input.shape[d] for d in order], input.dtype).transpose([order.index(d) for d in range(input.ndim)])
    return _identity(name)(input, out=result)


def _identity(name: str) -> TritonKernel:
    return _formula("x", (("x", name),), (), name)


@kernel("getitem_backward")
def getitem_backward(input: Any, index: tuple, shape: tuple) -> Any:
    result = empty(shape, input.dtype)
    result.fill(0)
    part = result[tuple([i for i in index if i is not None] + [...])].reshape(input.shape)
    _identity(input.dtype.name)(input, out=part)
    return result


@kernel("_masked_fill")
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    name = input.dtype.name
    types = (("m", mask.dtype.name), ("x", name), ("v", value.dtype.name))
    return _formula("where(m, cast(v, " + name + "), x)", types, (), name)(mask, input, value)
