"""Pointwise functions of three tensors, or with bounds, and those that put numbers together."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.errors import c_name
from flowtorch.ops import dispatch
from flowtorch.ops.families import pointwise
from flowtorch.ops.op import composite
from flowtorch.ops.order import in_order
from flowtorch.ops.pointwise import conj, need_tensors
from flowtorch.tensor import Tensor


def _times(tensor: Any, value: Any) -> Any:
    return tensor if type(value) in (int, float) and value == 1 else tensor * value


@pointwise(
    expr="input + value * tensor1 * tensor2",
    tensors=("input", "tensor1", "tensor2"),
    numbers=(),
    rejects=("bool",),
    vjp=(
        lambda g: g,
        lambda g, tensor2, value: g * conj(_times(tensor2, value)),
        lambda g, tensor1, value: g * conj(_times(tensor1, value)),
    ),
)
def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2."""
    product = tensor1 * tensor2 if value == 1 else tensor1 * tensor2 * np.asarray(value).astype(tensor1.dtype)
    if product.ndim and np.broadcast_shapes(input.shape, product.shape) == product.shape:
        return np.add(input, product, product)
    return input + product


_INTEGER_ADDCDIV = (
    "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true "
    "division of tensor1 "
    "and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2))."
    "to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future "
    "addcdiv behavior is "
    "just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes.")


@pointwise(expr="input + value * tensor1 / tensor2", tensors=("input", "tensor1", "tensor2"), numbers=(),
           rejects={"integer": _INTEGER_ADDCDIV, "bool": _INTEGER_ADDCDIV},
           vjp=(lambda g: g, lambda g, tensor2, value: g * conj(value / tensor2),
                lambda g, tensor1, tensor2, value: -g * conj(value * tensor1 / (tensor2 * tensor2))))
def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2."""
    return input + np.asarray(value).astype(tensor1.dtype) * (tensor1 / tensor2)


def _check_lerp(operands, dtype):
    first, weight = operands[0]._type.dtype, operands[2]
    for x, name in zip(operands[1:], ("end", "weight"), strict=True):
        if isinstance(x, Tensor) and x._type.dtype is not first and (name == "end" or x.dim()):
            raise RuntimeError(f"expected dtype {c_name(first)} for `{name}` but got dtype {c_name(x._type.dtype)}")
    if isinstance(weight, Tensor):
        if dtype.rank < 2:
            raise NotImplementedError(f"\"lerp_kernel_tensor\" not implemented for '{dtype.label}'")
    elif first.rank < 2:
        raise NotImplementedError(f"\"lerp_kernel_scalar\" not implemented for '{first.label}'")


def _check_clamp(operands, dtype):
    given = [x for x in operands[1:] if x is not None]
    if dtype.name == "bool" and given and not (len(given) == 1 and isinstance(given[0], Tensor)):
        raise NotImplementedError("\"clamp_cpu\" not implemented for 'Bool'")


@pointwise(
    expr="where(abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))",
    tensors=("input", "end", "weight"),
    numbers=("weight",),
    check=_check_lerp,
    vjp=(
        lambda g, weight: g * conj(1 - weight),
        lambda g, weight: g * conj(weight),
        lambda g, input, end: g * conj(end - input),
    ),
)
def lerp(input, end, weight):
    """Interpolate linearly: input + weight * (end - input)."""
    size = np.abs(weight)
    if size.ndim == 0:
        return input + weight * (end - input) if size < 0.5 else end - (end - input) * (1 - weight)
    return np.where(size < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))


_MANY = 4096  # elements from which on one pass over memory is what counts


@pointwise(check=_check_clamp, expr="minimum(maximum(input, min), max)", tensors=("input", "min", "max"),
           rejects=("complex",),
           vjp=(lambda g, input, min, max: g.masked_fill(~_inside(input, min, max), 0),
                lambda g, input, min, max: g.masked_fill(~((input < min) & _below(min, max)), 0),
                lambda g, input, min, max: g.masked_fill(~_above(input, min, max), 0)))
def clamp(input, min=None, max=None):
    """Limit every element to [min, max]. Either bound may be left out, and each may be a number or a tensor that
    broadcasts.

    nan stays nan. RuntimeError if both bounds are None.

    >>> torch.clamp(torch.tensor([-2.0, 0.5, 3.0]), min=0, max=1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if min is None or max is None:
        return np.maximum(input, min) if max is None else np.minimum(input, max)
    if (input.size >= _MANY and input.dtype.kind in "fiu" and not np.ndim(min) and not np.ndim(max)
            and np.result_type(input, min, max) == input.dtype):
        return input.clip(min, max)                   # one pass over memory; for few numbers two calls are faster
    return np.minimum(np.maximum(input, min), max)


def _inside(input, min, max):
    if min is None:
        return input <= max
    return input >= min if max is None else (input >= min) & (input <= max)


def _below(min, max):
    return True if max is None else min <= max


def _above(input, min, max):
    return input > max if min is None else (input > max) | (min > max)


def _one_bound(name: str, result: Any, bound: Any, out: Any) -> Any:
    if out is None:
        return result
    return dispatch.write_out(dispatch.OutRule(name if isinstance(bound, Tensor) else "clamp"), out, result)


@composite(method=True, inplace=True)
def clamp_min(input, min, *, out=None):
    """Limit every element from below."""
    return _one_bound("clamp_min", clamp(input, min), min, out)


@composite(method=True, inplace=True)
def clamp_max(input, max, *, out=None):
    """Limit every element from above."""
    return _one_bound("clamp_max", clamp(input, None, max), max, out)


@pointwise(
    expr="where(condition, input, other)",
    tensors=("condition", "input", "other"),
    numbers=("input", "other"),
    method=False,
    inplace=False,
    name="_where",
    vjp=(None, lambda g, condition: g.masked_fill(~condition, 0), lambda g, condition: g.masked_fill(condition, 0)),
)
def _where(condition, input, other):
    """Elements of ``input`` where ``condition`` holds, else of ``other``."""
    return np.where(condition, input, other)


def _check_parts(operands, dtype):
    need_tensors("complex", real=operands[0], imag=operands[1])
    labels = [x._type.dtype.label for x in operands]
    if any(label not in ("Half", "Float", "Double") for label in labels):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {' and '.join(labels)}")
    if labels[0] != labels[1]:
        raise RuntimeError(f"Expected object of scalar type {labels[0]} but got scalar type {labels[1]} for second "
                           "argument")


@pointwise(
    name="complex",
    method=False,
    inplace=False,
    linear=True,
    check=_check_parts,
    promote="complex",
    expr="complex(real, imag)",
    vjp=(lambda g: g.real, lambda g: g.imag),
)
def complex_(real, imag):
    """Complex numbers from their parts."""
    shape = np.broadcast_shapes(real.shape, imag.shape)
    out = in_order(np.empty(shape, np.result_type(real, np.complex64)), real, imag)
    out.real, out.imag = real, imag
    return out


@composite(out=True)
def polar(abs, angle):
    """Complex numbers from their moduli and angles."""
    need_tensors("polar", abs=abs, angle=angle)
    _check_parts((abs, angle), None)
    if abs.dtype is not angle.dtype:
        raise RuntimeError(f"Expected object of scalar type {abs.dtype.label} but got scalar type {angle.dtype.label} "
                           "for second "
                           "argument")
    return complex_(abs * angle.cos(), abs * angle.sin())
