"""Normalisation: subtract the mean, divide by the standard deviation, over whichever dimensions a layer says.

One primitive, ``_standardize``, serves layer, batch, instance and group norm; its adjoint is an op of its own in
first-order backward and a formula on tensors where the backward itself is recorded. Scale and shift are ordinary
multiplications and additions. Low precisions are computed in float32 and rounded once at the end.
"""
from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array import sums
from flowtorch.array.memory_format import is_channels_last, with_channels_last
from flowtorch.ops import normalization_blocks as blocks
from flowtorch.ops.arguments import int_tuple, need_bool, need_int
from flowtorch.ops.copy import format_of, like_channels
from flowtorch.ops.families import op
from flowtorch.ops.fused import _group_norm, _moved, _rms_norm, on_device
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.pointwise import conj
from flowtorch.ops.second_order import derived
from flowtorch.tensor import Tensor

_reduce = np.add.reduce


def _statistics(x: np.ndarray, axes: tuple, eps: float) -> tuple:
    """(deviations from the mean, 1 / standard deviation, mean, variance) over ``axes``, kept as size 1."""
    n = x.dtype.type(max(_count(x.shape, axes), 1))
    mean = _sum(x, axes) / n
    deviation = x - mean
    variance = sums.over(deviation, axes, True, squares=True)
    if variance is None:
        square = (deviation * deviation.conj()).real if x.dtype.kind == "c" else deviation * deviation
        variance = _reduce(square, axis=axes, keepdims=True)
    variance /= n.real
    return deviation, 1 / np.sqrt(variance + variance.dtype.type(eps)), mean, variance


def _sum(x: np.ndarray, axes: tuple) -> np.ndarray:
    total = sums.over(x, axes, True)
    return _reduce(x, axis=axes, keepdims=True) if total is None else total


def _count(shape: tuple, axes: tuple) -> int:
    n = 1
    for a in axes:
        n *= shape[a]
    return n


@op(tensors=("input",), method=False, out=False, outputs=("output", "mean", "var"), node="NativeLayerNormBackward0",
    rejects=("integer", "bool"), vjp=(lambda g, input, dims, eps: _standardize_backward(g[0], input, dims, eps),))
def _standardize(input, dims, eps):
    """((input - mean) / sqrt(var + eps), mean, var) over ``dims``, which stay as size 1 in mean and var."""
    deviation, rstd, mean, variance = _statistics(_in_order(input), dims, eps)
    return np.multiply(deviation, rstd, deviation), mean, variance


def _in_order(x: np.ndarray) -> np.ndarray:
    """``x`` contiguous, with the channels last if they are, as PyTorch's normalisations return it."""
    if x.flags.c_contiguous:
        return x
    return with_channels_last(x) if x.ndim in (4, 5) and is_channels_last(x) else np.ascontiguousarray(x)


def _standardize_backward(g: Any, input: Any, dims: tuple, eps: float) -> Any:
    if g is None:
        return None
    if not derived(g, input):
        return _standardize_adjoint(g, input, dims, eps)
    deviation = input - input.mean(dims, True)
    square = (deviation * conj(deviation)).real if input.dtype.is_complex else deviation * deviation
    rstd = (square.mean(dims, True) + eps).rsqrt()
    normal = deviation * rstd
    product = g * conj(normal)
    if input.dtype.is_complex:
        product = product.real
    return rstd * (g - g.mean(dims, True) - normal * product.mean(dims, True))


@op(tensors=("grad", "input"), method=False, out=False)
def _standardize_adjoint(grad, input, dims, eps):
    """The gradient of ``_standardize``'s first output, in one kernel."""
    if blocks.are_channels(dims, grad, input):
        return blocks.channels_adjoint(grad, input, None, eps)[0]
    deviation, rstd, _, _ = _statistics(input, dims, eps)
    n = grad.dtype.type(max(_count(input.shape, dims), 1))
    product = grad * deviation.conj()
    along = _sum(product.real if product.dtype.kind == "c" else product, dims) / n
    deviation *= along * rstd * rstd
    out = np.subtract(grad, _sum(grad, dims) / n, product)
    out -= deviation
    out *= rstd
    return out


# ---------------------------------------------------------------- layer norm, scale and shift included

@op(
    tensors=("input", "weight", "bias"),
    method=False,
    out=False,
    namespace="_norm",
    node="NativeLayerNormBackward0",
    rejects=("integer", "bool"),
)
def _layer_norm(input, weight=None, bias=None, count=1, eps=1e-5):
    """Standardise (..., count) over the last dimension, given as rows, then scale and shift."""
    if blocks.are_rows(count, input):
        return blocks.rows(input, weight, bias, count, eps)
    out, _ = _standard_rows(input, count, eps)
    if weight is not None:
        np.multiply(out, weight if weight.ndim == 1 else weight.reshape(-1), out)
    if bias is not None:
        np.add(out, bias if bias.ndim == 1 else bias.reshape(-1), out)
    return out if input.ndim == 2 and out.shape == input.shape else out.reshape(input.shape)


def _sum_rows(matrix: np.ndarray) -> np.ndarray:
    return _reduce(matrix, axis=0)


_SHORT = 256    # numbers whose mean a product gives faster than a reduction
_shares: dict = {}


def _share(n: int, dtype: np.dtype) -> np.ndarray:
    """What multiplies rows to their means, laid out like ``sums.spread``: faster than a reduction for short rows."""
    key = (n, dtype.char)
    try:
        return _shares[key]
    except KeyError:
        if len(_shares) > 64:
            _shares.clear()
        value = _shares[key] = sums.spread(n, dtype.char) * dtype.type(1 / n)
        return value


@lru_cache(maxsize=64)
def _number(value: float, char: str) -> np.ndarray:
    """A number as a 0-d array, which numpy adds faster than a scalar; to be read only."""
    return np.array(value, char)


def _standard_rows(input: np.ndarray, n: int, eps: float) -> tuple:
    """(standardised rows, 1 / standard deviation of each as a column or in every column)."""
    rows = np.ascontiguousarray(input if input.ndim == 2 and input.shape[1] == n else input.reshape(-1, n))
    d = rows.dtype
    if 0 < n <= _SHORT and d.kind == "f":
        mean = rows.dot(sums.spread(n, d.char))
        np.divide(mean, _number(n, d.char), mean)       # shares of 1 / n would not always add up to what is there
        out = np.subtract(rows, mean)
        rstd = (out * out).dot(_share(n, d))
        rstd += _number(eps, d.char)
        np.sqrt(rstd, rstd)
        np.reciprocal(rstd, rstd)
    else:
        out, rstd, _, _ = _statistics(rows, (1,), eps)
    out *= rstd
    return out, rstd


@_layer_norm.derivative
def _(g, input, weight, count, eps, bias_shape, needs):
    if not derived(g, input, weight):
        dx, dw, db = _layer_norm_adjoint(g, input, weight, count, eps, needs[1] or needs[2])
        return (dx, dw.view(weight.shape) if needs[1] else None, db.view(bias_shape) if needs[2] else None)
    rows, x = g.reshape(-1, count), input.reshape(-1, count)
    normal = _standardize(x, (1,), eps)[0]
    inner = rows if weight is None else rows * conj(weight.reshape(-1))
    dx = _standardize_backward(inner, x, (1,), eps).reshape(input.shape)
    return (
        dx,
        (rows * conj(normal)).sum(0).view(weight.shape) if needs[1] else None,
        rows.sum(0).view(bias_shape) if needs[2] else None,
    )


@op(tensors=("grad", "input", "weight"), method=False, out=False)
def _layer_norm_adjoint(grad, input, weight=None, count=1, eps=1e-5, affine=True):
    """The gradients of ``_layer_norm`` in one kernel (those of weight and bias flat; empty unless ``affine``)."""
    if blocks.are_rows(count, input, grad):
        return blocks.rows_adjoint(grad, input, weight, count, eps, affine)
    normal, rstd = _standard_rows(input, count, eps)
    g = grad.reshape(-1, count)
    real = g.dtype.kind == "f"
    conjugate = normal if real else normal.conj()
    dw = db = np.empty(0, grad.dtype)
    if affine:
        sum_rows = sums.of_columns if real and g.flags.c_contiguous else _sum_rows
        dw, db = sum_rows(g * conjugate), sum_rows(g)
    if weight is not None:
        g = g * (weight.reshape(-1) if real else weight.reshape(-1).conj())
    product = g * conjugate
    if real and 0 < count <= _SHORT:
        share = _share(count, g.dtype)
        along, mean = product.dot(share), g.dot(share)
    else:
        n = g.dtype.type(max(count, 1))
        along = _reduce(product if real else product.real, axis=1, keepdims=True) / n
        mean = _reduce(g, axis=1, keepdims=True) / n
    normal *= along
    out = np.subtract(g, mean)
    out -= normal
    out *= rstd
    return out.reshape(input.shape), dw, db


# ---------------------------------------------------------------- batch norm, scale and shift included

@op(tensors=("input", "weight", "bias"), method=False, out=False, outputs=("output", "mean", "var"),
    node="NativeBatchNormBackward0", rejects=("integer", "bool", "complex"))
def _batch_norm(input, weight=None, bias=None, eps=1e-5):
    """Standardise each channel of (N, C, *), then scale and shift it; mean and variance, of shape (C,), for reading."""
    x = _in_order(input)
    shape = (-1, *(1,) * (x.ndim - 2))
    out, scale, mean, variance = _statistics(x, _but_channels(x), eps)
    if weight is not None:
        scale = scale * weight.reshape(shape)
    out *= scale
    if bias is not None:
        out += bias.reshape(shape)
    return out, mean.reshape(-1), variance.reshape(-1)


def _but_channels(x: Any) -> tuple:
    return (0, *range(2, x.ndim))


@_batch_norm.derivative
def _(g, input, weight, eps, needs):
    g = g[0]                                                # nobody derives the statistics: they are given detached
    if g is None:
        return None, None, None
    if not derived(g, input, weight):
        return tuple(d if n else None for d, n in zip(_batch_norm_adjoint(g, input, weight, eps), needs, strict=True))
    dims = _but_channels(input)
    normal = _standardize(input, dims, eps)[0]
    inner = g if weight is None else g * weight.view(-1, *(1,) * (input.dim() - 2))
    return (_standardize_backward(inner, input, dims, eps) if needs[0] else None,
            (g * normal).sum(dims) if needs[1] else None, g.sum(dims) if needs[2] else None)


@op(tensors=("grad", "input", "weight"), method=False, out=False)
def _batch_norm_adjoint(grad, input, weight=None, eps=1e-5):
    """The gradients of ``_batch_norm``'s first output, in one kernel."""
    dims = _but_channels(input)
    if blocks.are_channels(dims, grad, input):
        return blocks.channels_adjoint(grad, input, weight, eps)
    normal, scale, _, _ = _statistics(input, dims, eps)
    normal *= scale
    db = _reduce(grad, axis=dims, keepdims=True)
    dw = _reduce(grad * normal, axis=dims, keepdims=True)
    n = grad.dtype.type(max(_count(input.shape, dims), 1))
    normal *= dw / n
    out = np.subtract(grad, db / n)
    out -= normal
    out *= scale if weight is None else scale * weight.reshape(scale.shape)
    return out, dw.reshape(-1), db.reshape(-1)


def _is_one_kernel(input: Any, *parameters: Any) -> bool:
    """Whether these are plain floating-point tensors of one type in host memory, the parameters (or None) vectors."""
    return (type(input) is Tensor and input._type.simple and input.dtype.is_floating_point
            and all(p is None or (isinstance(p, Tensor) and p._type is input._type and p._array.ndim == 1)
                    for p in parameters))


def _affine(x: Any, weight: Any, bias: Any, shape: tuple) -> Any:
    if weight is not None and bias is not None:
        return REGISTRY["addcmul"].public(bias.view(shape), x, weight.view(shape))
    if weight is not None:
        x = x * weight.view(shape)
    return x if bias is None else x + bias.view(shape)


def _wide(*tensors: Any) -> tuple:
    """The tensors in float32 if the first is of low precision."""
    if tensors[0].dtype not in dtypes.LOW_PRECISION:
        return tensors
    return tuple(None if t is None else t.to(dtypes.float32) for t in tensors)


def _check_shape(name: str, input: Any, normalized_shape: Any, weight: Any, bias: Any = None) -> tuple:
    shape = int_tuple(name, "normalized_shape", 2, normalized_shape)
    if len(shape) == 1 and input.dim() and input.shape[-1] == shape[0] and (weight is None or (
            weight.shape == shape and weight.dtype is input.dtype)) and (bias is None or bias.shape == shape):
        return shape                                                    # the common case
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
                           "element, but got "
                           "normalized_shape = []")
    for what, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                               f"{list(t.shape)} and "
                               f"normalized_shape = {list(shape)}")
    if input.dim() < len(shape) or tuple(input.shape[-len(shape):]) != shape:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, "
                           f"{', '.join(map(str, shape))}], but got "
                           f"input of size{list(input.shape)}")
    if weight is not None and weight.dtype is not input.dtype and input.dtype not in dtypes.LOW_PRECISION:
        raise RuntimeError(f"expected scalar type {input.dtype.label} but found {weight.dtype.label}")
    return shape


def _over_last(input: Any, shape: Any, scale: Any) -> bool:
    """Whether these are plain tensors of one type, ``scale`` (or None) of the last dimension's shape."""
    return (type(shape) is tuple and len(shape) == 1 and type(input) is Tensor and input._type.simple
            and input._array.shape[-1:] == shape
            and (scale is None or (isinstance(scale, Tensor) and scale._type is input._type
                                   and scale._array.shape == shape)))


@composite
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True):
    """Standardise over the last dimensions, of sizes ``normalized_shape``, then scale and shift.

    Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    if _over_last(input, normalized_shape, weight) and (bias is None or _over_last(input, normalized_shape, bias)):
        return _layer_norm(input, weight, bias, normalized_shape[0], eps)
    if not isinstance(input, Tensor):
        raise TypeError(f"layer_norm(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    shape = _check_shape("layer_norm", input, normalized_shape, weight, bias)
    count = 1
    for n in shape:
        count *= n
    if weight is not None and weight.dtype is not input.dtype:               # low precision with float32 parameters
        x, w, b = _wide(input, weight, bias)
        return _layer_norm(x, w, b, count, eps).to(input.dtype)
    return _layer_norm(input, weight, bias, count, eps)


@composite
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Divide by the root of the mean square over the last dimensions, then scale (Zhang and Sennrich, 2019)."""
    shape = _check_shape("rms_norm", input, normalized_shape, weight)
    dims = tuple(range(input.dim() - len(shape), input.dim()))
    if eps is None:
        eps = dtypes.finfo(dtypes.float32 if input.dtype in dtypes.LOW_PRECISION else input.dtype).eps
    if on_device(input) and (weight is None or weight._type is input._type):
        return _rms_norm(input, weight, math.prod(shape), eps)
    given, input = input, input.contiguous()
    x, w = _wide(input, weight)
    out = x * (x.square().mean(dims, True) + eps).rsqrt()
    if w is not None:
        out = out * w
    return like_channels(out if x is input else out.to(input.dtype), given)


def _channels(name: str, input: Any, **parameters: Any) -> None:
    for what, t in parameters.items():
        if t is not None and t.numel() != input.shape[1]:
            raise RuntimeError(f"{what} should contain {input.shape[1]} elements not {t.numel()}")


@composite
def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True):
    """Standardise each channel of (N, C, *) over the batch, or with the running statistics when not ``training``.

    The running statistics move towards the batch's by ``momentum`` (the variance unbiased). Ioffe and Szegedy, 2015.
    """
    need_bool("batch_norm", "training", 6, training)
    if input.dim() == 1 and input.numel() == 0:
        return input.clone()
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    _channels("batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("running_mean must be defined in evaluation mode" if running_mean is None else
                           "running_var must be defined in evaluation mode")
    if training and on_device(input, weight, bias):
        out, mean, var = _batch_norm(input, weight, bias, eps)
        _follow(running_mean, running_var, mean.detach(), var.detach(), momentum, input.numel() // input.shape[1])
        return out
    shape = (1, -1, *(1,) * (input.dim() - 2))
    x, w, b = _wide(input, weight, bias)
    if training:
        together = _is_one_kernel(x, w, b)
        out, mean, var = _batch_norm(x, w, b, eps) if together else _standardize(x, (0, *range(2, input.dim())), eps)
        count = input.numel() // max(input.shape[1], 1)
        if count:
            _update(running_mean, mean.detach().view(-1), momentum)
            _update(running_var, var.detach().view(-1), momentum, count / max(count - 1, 1))
        if not together:
            out = _affine(out, w, b, shape)
    else:
        mean, var = _wide(x, running_mean, running_var)[1:] if x is not input else (running_mean, running_var)
        if mean.dtype is not x.dtype:
            mean, var = mean.to(x.dtype), var.to(x.dtype)
        scale = (var + eps).rsqrt()
        if w is not None:
            scale = scale * w
        if not x.is_contiguous():
            x = x.contiguous(memory_format=format_of(x))
        out = (x - mean.view(shape)) * scale.view(shape)
        if b is not None:
            out = out + b.view(shape)
    return out if x is input else out.to(input.dtype)


def _follow(running_mean: Any, running_var: Any, mean: Any, var: Any, momentum: float, count: int) -> None:
    """Move the running statistics towards the batch's, each in one kernel."""
    from flowtorch.autograd.mode import no_grad

    with no_grad():
        for running, value, factor in ((running_mean, mean, 1.0), (running_var, var, count / max(count - 1, 1))):
            if count and running is not None:
                _moved(running, value.to(running.dtype), momentum, factor, out=running)


def _update(running: Any, value: Any, momentum: float, factor: float = 1.0) -> None:
    """running = (1 - momentum) * running + momentum * factor * value, in place."""
    if running is None:
        return
    from flowtorch.autograd.mode import no_grad

    with no_grad():
        running.mul_(1 - momentum).add_(value.to(running.dtype) * (momentum * factor))


@composite
def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True):
    """Standardise each channel of each sample of (N, C, *) by its own statistics, or by the running ones."""
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    n, c = input.shape[:2]
    shape = (1, -1, *(1,) * (input.dim() - 2))
    x, w, b = _wide(input.contiguous(), weight, bias)
    out, mean, var = _standardize(x, tuple(range(2, input.dim())), eps)
    count = input.numel() // max(n * c, 1)
    _update(running_mean, mean.detach().view(n, c).mean(0), momentum)
    _update(running_var, var.detach().view(n, c).mean(0), momentum, count / max(count - 1, 1))
    out = _affine(out, w, b, shape)
    return out if x is input else out.to(input.dtype)


@composite
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True):
    """Standardise groups of channels of (N, C, *), then scale and shift each channel (Wu and He, 2018)."""
    num_groups = need_int("group_norm", "num_groups", 2, num_groups)
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    n, c = input.shape[:2]
    if c % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, but got input of "
                           "shape "
                           f"{list(input.shape)} and num_groups={num_groups}")
    for what, t in (("weight", weight), ("bias", bias)):
        if t is not None and (t.dim() != 1 or t.numel() != c):
            raise RuntimeError(f"Expected {what} to be a vector of size equal to the number of channels in input, but "
                               f"got {what} of "
                               f"shape {list(t.shape)} and input of shape {list(input.shape)}")
    if on_device(input, weight, bias) and input.numel():
        return _group_norm(input, weight, bias, num_groups, eps)
    x, w, b = _wide(input, weight, bias)
    out = _standardize(x.reshape(n, num_groups, input.numel() // max(n * num_groups, 1)), (2,), eps)[0].view(
        input.shape
    )
    out = _affine(like_channels(out, input), w, b, (1, c, *(1,) * (input.dim() - 2)))
    return out if x is input else out.to(input.dtype)


@composite
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """(output, mean, 1 / standard deviation) of ``layer_norm``."""
    shape = _check_shape("native_layer_norm", input, normalized_shape, weight, bias)
    input = input.contiguous()
    dims = tuple(range(input.dim() - len(shape), input.dim()))
    out, mean, var = _standardize(input, dims, eps)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias, mean.detach(), (var.detach() + eps).rsqrt()


@composite(out=True)
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """(output, mean, 1 / standard deviation) of ``batch_norm``; the last two are empty when not training."""
    out = batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return out, input.new_empty((0,)), input.new_empty((0,))
    mean, rstd = _moments(input, (0, *range(2, input.dim())), eps)
    return out, mean.view(-1), rstd.view(-1)


@op(name="_moments", tensors=("input",), method=False, out=False, outputs=("mean", "rstd"))
def _moments(input, dims, eps):
    """(mean, 1 / standard deviation) over ``dims``; nothing flows back through them, as in PyTorch."""
    _, rstd, mean, _ = _statistics(input, dims, eps)
    return mean, rstd


@composite
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """(output, mean, 1 / standard deviation) of ``group_norm``, the statistics as (N, group)."""
    if HxW * N * C != input.numel():
        raise RuntimeError(f"Expected input of {N} x {C} x {HxW} elements, but got {input.numel()}")
    if not input.is_contiguous():
        raise RuntimeError("Expected X.is_contiguous(memory_format) to be true, but got false.")
    groups = input.reshape(N, group, C // group * HxW)
    return group_norm(input, group, weight, bias, eps), groups.mean(2), (groups.var(2, correction=0) + eps).rsqrt()
