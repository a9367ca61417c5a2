"""Ops that devices compute in one kernel where the CPU composes others: they are called for tensors on a device alone.

The bodies say what is computed; ``flowtorch/ops/cuda`` has the kernels. Derivatives of derivatives are made of single
ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.families import op, pointwise
from flowtorch.ops.second_order import derived


def on_device(input: Any, *parameters: Any) -> bool:
    """Whether ``input`` is a plain tensor of real numbers on a device, and so are the parameters (or None).

    Those of half-precision inputs may be of single precision: kernels read each operand in its own.
    """
    kind = input._type
    if kind.device.type != "cuda" or not kind.plain or not kind.dtype.is_floating_point:
        return False
    types = [p._type for p in parameters if p is not None]
    wide = kind.dtype.itemsize < 4
    return all(t is kind or (wide and t.plain and t.device is kind.device and t.dtype is dtypes.float32) for t in types)


def _rows(x: Any, count: int) -> Any:
    return x.reshape(-1, count)


# ---------------------------------------------------------------- root mean square

@op(tensors=("input", "weight"), method=False, out=False, namespace="_norm", node="FusedRmsNormBackward0",
    rejects=("integer", "bool", "complex"))
def _rms_norm(input, weight=None, count=1, eps=1e-6):
    """Rows of ``count`` elements over the root of their mean square, scaled."""
    x = _rows(input, count)
    out = x / np.sqrt((x * x).mean(1, keepdims=True) + x.dtype.type(eps))
    return (out if weight is None else out * weight.reshape(-1)).reshape(input.shape)


@_rms_norm.derivative
def _rms_norm_backward(g, input, weight, count, eps, needs):
    if not derived(g, input, weight):
        dx, dw = _rms_norm_adjoint(g, input, weight, count, eps, needs[1])
        return dx, dw.view(weight.shape) if needs[1] else None
    rows, x = _rows(g, count), _rows(input, count)
    scale = (x.square().mean(1, True) + eps).rsqrt()
    normal = x * scale
    inner = rows if weight is None else rows * weight.reshape(-1)
    dx = scale * (inner - normal * (inner * normal).mean(1, True))
    return dx.reshape(input.shape), (rows * normal).sum(0).view(weight.shape) if needs[1] else None


@op(tensors=("grad", "input", "weight"), method=False, out=False)
def _rms_norm_adjoint(grad, input, weight=None, count=1, eps=1e-6, affine=True):
    """The gradients of ``_rms_norm`` (that of the weight flat; empty unless ``affine``)."""
    x, g = _rows(input, count), _rows(grad, count)
    scale = 1 / np.sqrt((x * x).mean(1, keepdims=True) + x.dtype.type(eps))
    normal = x * scale
    dw = (g * normal).sum(0) if affine else np.empty(0, grad.dtype)
    inner = g if weight is None else g * weight.reshape(-1)
    dx = scale * (inner - normal * (inner * normal).mean(1, keepdims=True))
    return dx.reshape(input.shape), dw


# ---------------------------------------------------------------- running statistics, groups of channels

def _channel_shape(x: Any) -> tuple:
    return (1, -1, *(1,) * (x.ndim - 2))


def _others(x: Any) -> tuple:
    return (0, *range(2, x.ndim))


@pointwise(namespace="_norm", method=False, vjp=(None, None), rejects=("integer", "bool"),
           expr="input * (1 - momentum) + value * (momentum * factor)")
def _moved(input, value, momentum=0.1, factor=1.0):
    """``input`` moved towards ``value`` times ``factor`` by ``momentum``."""
    return input * (1 - momentum) + value * (momentum * factor)

@op(tensors=("input", "weight", "bias"), method=False, out=False, namespace="_norm", node="NativeGroupNormBackward0",
    rejects=("integer", "bool", "complex"))
def _group_norm(input, weight=None, bias=None, groups=1, eps=1e-5):
    """(N, C, *) standardised by groups of channels, then scaled and shifted by channel."""
    x = input.reshape(input.shape[0], groups, -1)
    x = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + x.dtype.type(eps))
    out, shape = x.reshape(input.shape), _channel_shape(input)
    out = out if weight is None else out * weight.reshape(shape)
    return out if bias is None else out + bias.reshape(shape)


@_group_norm.derivative
def _group_norm_backward(g, input, weight, groups, eps, needs):
    if not derived(g, input, weight):
        dx, dw, db = _group_norm_adjoint(g, input, weight, groups, eps, needs[1] or needs[2])
        return dx, dw if needs[1] else None, db if needs[2] else None
    shape, dims = _channel_shape(input), _others(input)
    x = input.reshape(len(input), groups, -1)
    away = x - x.mean(2, True)
    scale = (away.square().mean(2, True) + eps).rsqrt()
    normal = away * scale
    inner = (g if weight is None else g * weight.view(shape)).reshape(x.shape)
    dx = scale * (inner - inner.mean(2, True) - normal * (inner * normal).mean(2, True))
    dw = (g * normal.view(input.shape)).sum(dims) if needs[1] else None
    return dx.view(input.shape), dw, g.sum(dims) if needs[2] else None


@op(tensors=("grad", "input", "weight"), method=False, out=False)
def _group_norm_adjoint(grad, input, weight=None, groups=1, eps=1e-5, affine=True):
    """The gradients of ``_group_norm`` in input, weight and bias (those empty unless ``affine``)."""
    shape, dims = _channel_shape(input), _others(input)
    x = input.reshape(len(input), groups, -1)
    scale = 1 / np.sqrt(x.var(2, keepdims=True) + x.dtype.type(eps))
    normal = (x - x.mean(2, keepdims=True)) * scale
    inner = (grad if weight is None else grad * weight.reshape(shape)).reshape(x.shape)
    dx = scale * (inner - inner.mean(2, keepdims=True) - normal * (inner * normal).mean(2, keepdims=True))
    empty = np.empty(0, grad.dtype)
    dw, db = ((grad * normal.reshape(input.shape)).sum(dims), grad.sum(dims)) if affine else (empty, empty)
    return dx.reshape(input.shape), dw, db


# ---------------------------------------------------------------- dropout

@op(tensors=("input",), method=False, out=False, namespace="_nn", outputs=("output", "mask"),
    node="NativeDropoutBackward0", rejects=("integer", "bool", "complex"),
    vjp=(lambda g, out, p: None if g[0] is None else _masked_scale(g[0], out[1], 1 / (1 - p)),))
def _dropout(input, p, seed, offset):
    """``input`` with elements zeroed with probability ``p`` and the others over ``1 - p``, and where they stand.

    ``seed`` and ``offset`` are a draw of the device's generator.
    """
    kept = np.random.default_rng((seed, offset)).random(input.shape) >= p
    return input * kept * input.dtype.type(1 / (1 - p)), kept


@op(tensors=("input", "condition"), method=False, out=False, namespace="_nn", linear=("input",),
    vjp=(lambda g, condition, scale: _masked_scale(g, condition, scale), None))
def _masked_scale(input, condition, scale):
    """``input`` times ``scale`` where ``condition`` holds, times zero elsewhere."""
    return input * condition * input.dtype.type(scale)


def draw(p: float, device: Any, generator: Any = None) -> tuple:
    """(p, seed, offset): what a kernel that drops with probability ``p`` needs to draw by itself."""
    from flowtorch.ops.random import generator_for

    drawn = generator_for("dropout", generator, device)
    return (float(p), *drawn.advance())  # type: ignore[union-attr]


def dropout(input: Any, p: float, generator: Any = None) -> tuple:
    """(``input`` with elements zeroed with probability ``p`` and the others over ``1 - p``, where they stand)."""
    return _dropout(input, *draw(p, input.device, generator))
