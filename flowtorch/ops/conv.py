"""Convolution in one to three dimensions: three bilinear ops, each the derivative of the others.

``convolution(x, w)``, its adjoint in the input ``convolution_input(g, w)`` (also the transposed convolution) and its
adjoint in the weight ``convolution_weight(g, x)`` are closed under differentiation, so every order of derivative
exists. The CPU kernels are in ``conv_kernels`` and ``conv_depthwise``.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.errors import c_name
from flowtorch.ops.arguments import need_int
from flowtorch.ops.families import op
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.pointwise import conj


def output_size(size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    """Spatial size of a convolution's output."""
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1
                 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True))


def _kernel(which: str, groups: int, weight_shape: tuple, size: Any, out: Any, stride: tuple, padding: tuple,
            dilation: tuple) -> tuple[Any, Any]:
    """One of the kernels of these sizes, and the sizes as it takes them; most programs never need its module."""
    from flowtorch.ops import conv_geometry, conv_kernels

    f, c, *kernel = weight_shape
    g = conv_geometry.Geometry(groups, c, f // groups, *map(tuple, (size, kernel, out, stride, padding, dilation)))
    if groups == 1 or c > 1:
        return getattr(conv_kernels, which), g
    from flowtorch.ops import conv_depthwise

    return getattr(conv_depthwise, which), g


@op(name="convolution", tensors=("input", "weight", "bias"), method=False, out=False, namespace="_conv",
    follows=("input", "weight"),
    vjp=(lambda g, weight, input_shape, stride, padding, dilation, groups:
         convolution_input(g, conj(weight), input_shape[2:], stride, padding, dilation, groups),
         lambda g, input, weight_shape, stride, padding, dilation, groups:
         convolution_weight(g, conj(input), weight_shape[2:], stride, padding, dilation, groups),
         lambda g: g.sum((0, *range(2, g.dim())))))
def convolution(input, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1, size=None):
    """Cross-correlate (N, C, *S) with (F, C / groups, *K); ``bias`` is (F,); ``size`` crops the output."""
    kernel = weight.shape[2:]
    out_size = output_size(input.shape[2:], kernel, stride, padding, dilation) if size is None else size
    run, g = _kernel("forward", groups, weight.shape, input.shape[2:], out_size, stride, padding, dilation)
    out = run(input, weight, g, np.result_type(input, weight))
    if bias is not None:
        out += bias.reshape(1, -1, *(1,) * len(kernel))
    return out


@op(name="convolution_input", tensors=("grad", "weight"), method=False, out=False, namespace="_conv",
    node="ConvolutionBackward0", follows=("grad", "weight"),
    vjp=(lambda g, weight, grad_shape, stride, padding, dilation, groups:
         convolution(g, conj(weight), None, stride, padding, dilation, groups, grad_shape[2:]),
         lambda g, grad, weight_shape, stride, padding, dilation, groups:
         convolution_weight(conj(grad), g, weight_shape[2:], stride, padding, dilation, groups)))
def convolution_input(grad, weight, size, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """Adjoint of ``convolution`` in its input, for inputs of spatial ``size``: the transposed convolution."""
    run, g = _kernel("input_gradient", groups, weight.shape, size, grad.shape[2:], stride, padding, dilation)
    return run(grad, weight, g, np.result_type(grad, weight))


@op(name="convolution_weight", tensors=("grad", "input"), method=False, out=False, namespace="_conv",
    node="ConvolutionBackward0", follows=("grad", "input"),
    vjp=(lambda g, input, grad_shape, stride, padding, dilation, groups:
         convolution(conj(input), g, None, stride, padding, dilation, groups, grad_shape[2:]),
         lambda g, grad, input_shape, stride, padding, dilation, groups:
         convolution_input(conj(grad), g, input_shape[2:], stride, padding, dilation, groups)))
def convolution_weight(grad, input, kernel, stride=(1,), padding=(0,), dilation=(1,), groups=1):
    """Adjoint of ``convolution`` in its weight, for weights of spatial size ``kernel``."""
    shape = (grad.shape[1], input.shape[1] // groups, *kernel)
    run, g = _kernel("weight_gradient", groups, shape, input.shape[2:], grad.shape[2:], stride, padding, dilation)
    return run(grad, input, g, np.result_type(grad, input))


# ---------------------------------------------------------------- the public functions

def _tuple(value: Any, n: int, name: str, what: str) -> tuple:
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return tuple(value) * n
        if len(value) != n:
            raise RuntimeError(f"expected {what} to be a single integer value or a list of {n} values to match the "
                               "convolution "
                               f"dimensions, but got {what}={list(value)}")
        return tuple(int(v) for v in value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{what}' must be tuple of ints, but found element of type "
                        f"{type(value).__name__}")
    return (value.__index__(),) * n


def _check_tensors(name: str, input: Any, weight: Any, bias: Any, n: int) -> None:
    from flowtorch.tensor import Tensor

    for what, t in (("input", input), ("weight", weight)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(t).__name__}")
    if weight.dim() < 3:
        raise RuntimeError("weight should have at least three dimensions")
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of "
                           "size: "
                           f"{list(input.shape)}")
    if bias is not None and bias.dtype is not input.dtype and "transpose" not in name:
        raise RuntimeError(f"Input type ({c_name(input.dtype)}) and bias type ({c_name(bias.dtype)}) should be the "
                           "same")
    if input.dtype is not weight.dtype:
        if input.dtype.itemsize == 2:
            raise RuntimeError(f"Input type (torch.{input.dtype.label}Tensor) and weight type "
                               f"(torch.{weight.dtype.label}Tensor) should be the same")
        raise RuntimeError(f"expected scalar type {input.dtype.label} but found {weight.dtype.label}")


def _check_channels(input: Any, weight: Any, bias: Any, n: int, groups: int, transposed: bool) -> Any:
    """(batched input, whether a batch dimension was added); PyTorch's errors for channels that do not fit."""
    given = "transposed=1" if transposed else f"groups={groups}"
    size = list(weight.shape)
    if weight.dim() != n + 2:
        raise RuntimeError(f"Expected {weight.dim()}-dimensional input for {weight.dim()}-dimensional weight {size}, "
                           "but got "
                           f"{input.dim()}-dimensional input of size {list(input.shape)} instead")
    if weight.shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got "
                           "weight of size "
                           f"[{size}] instead")
    if weight.shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but "
                           "got weight of "
                           f"size [{size}] instead")
    unbatched = input.dim() == n + 1
    if unbatched:
        input = input.unsqueeze(0)
    channels = input.shape[1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        raise RuntimeError(f"Given {given}, weight of size {size}, expected input{list(input.shape)} to have "
                           f"{expected} channels, "
                           f"but got {channels} channels instead")
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != outputs):
        raise RuntimeError(f"Given {'transposed=1, ' if transposed else ''}weight of size {size}, expected bias to be "
                           "1-dimensional "
                           f"with {outputs} elements, but got bias of size {list(bias.shape)} instead")
    return input, unbatched


def _positive(groups: int, stride: tuple, padding: tuple, dilation: tuple) -> None:
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")


def _convolve(name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
              groups: int) -> Any:
    _check_tensors(name, input, weight, bias, n)
    stride, dilation = _tuple(stride, n, name, "stride"), _tuple(dilation, n, name, "dilation")
    kernel = tuple(weight.shape[2:])
    named = padding if isinstance(padding, str) else None
    padding = () if named else _tuple(padding, n, name, "padding")
    _positive(groups, stride, padding, dilation)
    input, unbatched = _check_channels(input, weight, bias, n, groups, False)
    if named:
        input, padding = _named_padding(name, input, named, kernel, stride, dilation)
    size = tuple(s + 2 * p for s, p in zip(input.shape[2:], padding, strict=True))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(s < r for s, r in zip(size, reach, strict=True)):
        raise RuntimeError(f"Calculated padded input size per channel: ({' x '.join(map(str, size))}). Kernel size: "
                           f"({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size")
    out = convolution(input if n > 1 else input.contiguous(), weight, bias, stride, padding, dilation, groups)
    if _keeps_rows(n, out):
        out = out.contiguous()
    return out.squeeze(0) if unbatched else out


def _keeps_rows(n: int, t: Any) -> bool:
    """Whether PyTorch's kernel gives no channels-last results: in three dimensions in double precision."""
    return n == 3 and t.dtype in (dtypes.float64, dtypes.complex128)


def _named_padding(name: str, input: Any, padding: str, kernel: tuple, stride: tuple, dilation: tuple) -> tuple:
    """(input, padding) for padding "valid" or "same"; an odd total goes to the end, as a padded input."""
    if padding == "valid":
        return input, (0,) * len(kernel)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    extra = [t % 2 for t in total]
    if any(extra):
        spec = [v for e in reversed(extra) for v in (0, e)]
        input = REGISTRY["constant_pad_nd"].public(input, spec, 0)
    return input, tuple(t // 2 for t in total)


def _transposed(name: str, n: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
                groups: int, dilation: Any) -> Any:
    _check_tensors(name, input, weight, bias, n)
    stride, dilation = _tuple(stride, n, name, "stride"), _tuple(dilation, n, name, "dilation")
    padding, extra = _tuple(padding, n, name, "padding"), _tuple(output_padding, n, name, "output_padding")
    _positive(groups, stride, padding, dilation)
    input, unbatched = _check_channels(input, weight, bias, n, groups, True)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    for e, s, d in zip(extra, stride, dilation, strict=True):
        if e >= s and e >= d:
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got output_padding: "
                               f"{list(extra)}, stride: {list(stride)}, dilation: {list(dilation)}")
    kernel = tuple(weight.shape[2:])
    size = tuple((i - 1) * s - 2 * p + d * (k - 1) + e + 1 for i, s, p, d, k, e in
                 zip(input.shape[2:], stride, padding, dilation, kernel, extra, strict=True))
    if any(s <= 0 for s in size):
        raise RuntimeError(f"Given input size per channel: ({' x '.join(map(str, input.shape[2:]))}). Calculated "
                           "output size per "
                           f"channel: ({' x '.join(map(str, size))}). Output size is too small")
    input = input if n > 1 else input.contiguous()
    shaped = None if bias is None else bias.view(1, -1, *(1,) * n)
    if shaped is not None and input.dtype in dtypes.LOW_PRECISION and not input.is_cuda:    # rounded once, at the end
        wide = convolution_input(input.float(), weight.float(), size, stride, padding, dilation, groups)
        out = (wide + shaped.float()).to(input.dtype)
    else:
        out = convolution_input(input, weight, size, stride, padding, dilation, groups)
        out = out if shaped is None else out + shaped
    if _keeps_rows(n, out):
        out = out.contiguous()
    return out.squeeze(0) if unbatched else out


def _define(n: int) -> tuple:
    name, transposed_name = f"conv{n}d", f"conv_transpose{n}d"

    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        return _convolve(name, n, input, weight, bias, stride, padding, dilation, groups)

    def conv_transpose(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        return _transposed(transposed_name, n, input, weight, bias, stride, padding, output_padding, groups, dilation)

    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = (f"Cross-correlate a (N, C, {'D, H, W'[9 - 3 * n:]}) input with a (F, C / groups, ...) weight in "
                    f"{n} "
                    "dimension(s); ``padding`` may be 'same' or 'valid'.")
    conv_transpose.__name__ = conv_transpose.__qualname__ = transposed_name
    conv_transpose.__doc__ = f"The transposed convolution in {n} dimension(s), with a (C, F / groups, ...) weight."
    return tuple(composite(f) for f in (conv, conv_transpose))


conv1d, conv_transpose1d = _define(1)
conv2d, conv_transpose2d = _define(2)
conv3d, conv_transpose3d = _define(3)


@composite
def conv_tbc(input, weight, bias, pad=0):
    """1-d convolution of (time, batch, channels) with a (width, in, out) weight."""
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise RuntimeError(
            "Input must have 3 dims: time, batch, in_channel"
            if input.dim() != 3
            else "Weight tensor must have 3 dims: kernel_width, in_channels, out_channels."
            if weight.dim() != 3
            else "Bias must be 1-D"
        )
    pad = need_int("conv_tbc", "pad", 4, pad)
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1).contiguous()
