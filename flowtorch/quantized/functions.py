"""Making quantised tensors, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.quantized.parameters import choose
from flowtorch.quantized.tensor import STORED, QuantizedTensor, Quantizer, make
from flowtorch.tensor import Tensor, wrap


def _limits(dtype: Any) -> tuple[int, int]:
    if dtype not in STORED:
        raise RuntimeError(f"ScalarType {dtype.label} is not supported in new_qtensor.")
    info = np.iinfo(STORED[dtype].numpy)
    return int(info.min), int(info.max)


def quantized_numbers(input: Any, quantizer: Quantizer, dtype: dtypes.dtype) -> Tensor:
    """The integers nearest to the values of a float32 tensor, clamped to what the type holds."""
    low, high = _limits(dtype)
    scale, zero_point = quantizer.scale, quantizer.zero_point
    if quantizer.axis is not None:
        shape = [1] * input.dim()
        shape[quantizer.axis] = -1
        scale, zero_point = (x.reshape(shape).numpy() for x in (scale, zero_point))
    inverse = np.float32(1) / np.float32(scale)
    values = input.detach()._array
    if dtype is dtypes.qint32:  # more integers than float32 tells apart
        grid = np.rint(values * inverse).astype(np.float64) + zero_point
    else:
        grid = np.rint(values * inverse + np.float32(zero_point))
    # NaN has no number; it takes the lowest.
    numbers = np.clip(np.nan_to_num(grid, nan=low, posinf=high, neginf=low), low, high)
    return wrap(np.ascontiguousarray(numbers).astype(STORED[dtype].numpy).reshape(input.shape))


def _check_input(name: str, input: Any, dtype: Any) -> None:
    if isinstance(input, QuantizedTensor):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'QuantizedCPU' backend: the "
                                  "tensor is quantised already")  # fmt: skip
    _limits(dtype)
    if input.dtype is not dtypes.float32:
        raise RuntimeError(f"Quantize only works on Float Tensor, got {input.dtype.label}")


def quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: Any) -> Any:
    """Quantise float32 values with one scale and zero point; given a list of tensors, each with its own.

    >>> import flowtorch as torch
    >>> torch.quantize_per_tensor(torch.tensor([-1.0, 0.26]), 0.1, 10, torch.quint8).int_repr()
    tensor([ 0, 13], dtype=torch.uint8)
    """
    if isinstance(input, (list, tuple)):
        pairs = zip(input, scale.tolist(), zero_point.tolist(), strict=True)
        return tuple(quantize_per_tensor(t, s, z, dtype) for t, s, z in pairs)
    _check_input("quantize_per_tensor", input, dtype)
    scale = scale.item() if isinstance(scale, Tensor) else float(scale)
    zero_point = int(zero_point)
    low, high = _limits(dtype)
    if not low <= zero_point <= high:
        side = "above upper" if zero_point > high else "below lower"
        raise RuntimeError(f"quantize_tensor_per_tensor_affine zero_point {zero_point} is {side} bound.")
    quantizer = Quantizer(scale, zero_point)
    return make(quantized_numbers(input, quantizer, dtype), quantizer, dtype)


def quantize_per_channel(input: Any, scales: Any, zero_points: Any, axis: int, dtype: Any) -> Any:
    """Quantise float32 values with a scale and a zero point for each index of dimension ``axis``."""
    _check_input("quantize_per_channel", input, dtype)
    if not 0 <= axis < input.dim():
        raise RuntimeError(f"Channel axis out of range in per channel affine quantization. Got: {axis} Expected: "
                           f"[0, {input.dim()})")  # fmt: skip
    for name, given in (("scales", scales), ("zero_points", zero_points)):
        if given.numel() != input.shape[axis]:
            raise RuntimeError(
                f"length of {name} must equal to channel, expected {input.shape[axis]} got, {given.numel()}"
            )
    quantizer = Quantizer(scales.to(dtypes.float64), zero_points.to(dtypes.int64), axis)
    return make(quantized_numbers(input, quantizer, dtype), quantizer, dtype)


def quantize_per_tensor_dynamic(input: Any, dtype: Any, reduce_range: bool) -> Any:
    """Quantise float32 values with the scale and zero point that their own range asks for."""
    _check_input("quantize_per_tensor_dynamic", input, dtype)
    low, high = _limits(dtype)
    if reduce_range:
        low, high = (low + 1) // 2 if low < 0 else 0, high // 2
    least, most = (input.min().item(), input.max().item()) if input.numel() else (0.0, 0.0)
    scale, zero_point = choose(least, most, low, high)
    return quantize_per_tensor(input, scale, zero_point, dtype)


def dequantize(input: Any) -> Any:
    """The float32 values of a quantised tensor, or of each of several."""
    if isinstance(input, Sequence):
        return tuple(dequantize(t) for t in input)
    if isinstance(input, QuantizedTensor):
        return input._quantizer.read(input._numbers)
    return input.to(dtypes.float32)


def empty_quantized(size: Any, qtensor: Any, **options: Any) -> Any:
    """A quantised tensor of another size, of the scheme of ``qtensor``, with any values."""
    numbers = _quantized("empty_quantized", qtensor)._numbers.new_empty(size)
    return make(numbers, qtensor._quantizer, qtensor.dtype)


def _quantized(name: str, input: Any) -> QuantizedTensor:
    if not isinstance(input, QuantizedTensor):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: the tensor is "
                                  "not quantised; torch.quantize_per_tensor makes one that is")  # fmt: skip
    return input


def _of_scheme(name: str, input: Any, kind: str) -> Quantizer:
    q = _quantized(name, input)._quantizer
    if (q.axis is None) != (kind == "kPerTensorAffine"):
        raise RuntimeError(f"Expected quantizer->qscheme() == {kind} to be true, but got false: {name} of a tensor "
                           f"of scheme {q.scheme}")  # fmt: skip
    return q


def int_repr(input: Any) -> Tensor:
    """The integers of a quantised tensor, as a tensor of their own."""
    return _quantized("int_repr", input)._numbers.clone(memory_format=dtypes.contiguous_format)


def qscheme(self: Any) -> dtypes.qscheme:
    """The kind of scheme of a quantised tensor."""
    return _quantized("qscheme", self)._quantizer.scheme


def q_scale(input: Any) -> float:
    """The scale of a tensor quantised as a whole."""
    return _of_scheme("q_scale", input, "kPerTensorAffine").scale


def q_zero_point(input: Any) -> int:
    """The integer that stands for 0 in a tensor quantised as a whole."""
    return _of_scheme("q_zero_point", input, "kPerTensorAffine").zero_point


def q_per_channel_scales(input: Any) -> Tensor:
    """The scales of the channels."""
    return _of_scheme("q_per_channel_scales", input, "kPerChannelAffine").scale


def q_per_channel_zero_points(input: Any) -> Tensor:
    """The integers that stand for 0 in the channels."""
    return _of_scheme("q_per_channel_zero_points", input, "kPerChannelAffine").zero_point


def q_per_channel_axis(input: Any) -> int:
    """The dimension whose indices are the channels."""
    return _of_scheme("q_per_channel_axis", input, "kPerChannelAffine").axis  # type: ignore[return-value]


def _pooled(n: int) -> Any:
    def pool(
        input: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Any:
        import flowtorch

        _quantized(f"quantized_max_pool{n}d", input)
        return getattr(flowtorch, f"max_pool{n}d")(input, kernel_size, stride, padding, dilation, ceil_mode)

    pool.__name__ = pool.__qualname__ = f"quantized_max_pool{n}d"
    pool.__doc__ = f"``max_pool{n}d`` of a quantised tensor."
    return pool


quantized_max_pool1d, quantized_max_pool2d, quantized_max_pool3d = (_pooled(n) for n in (1, 2, 3))
