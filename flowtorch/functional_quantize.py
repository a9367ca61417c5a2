"""Fake quantisation: values rounded to what a quantised type could hold, with gradients as if they were not."""

from __future__ import annotations

import flowtorch as torch
from flowtorch.ops.arguments import need_int
from flowtorch.ops.op import composite


def _check_range(name: str, position: int, quant_min: int, quant_max: int) -> None:
    need_int(name, "quant_min", position, quant_min)
    need_int(name, "quant_max", position + 1, quant_max)
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")


def _rounded(input, scale, zero_point, quant_min: int, quant_max: int):
    """(values on the grid, where the input lies within it); NaN becomes the lowest value.

    One scale for all multiplies in float32, as in PyTorch, whatever the dtype of the input.
    """
    grid = (input * (1 / scale)).round() + zero_point
    inside = (grid >= quant_min) & (grid <= quant_max)
    grid = grid.clamp(quant_min, quant_max).nan_to_num(quant_min)
    steps = grid - zero_point
    return (steps if scale.dim() else steps.float()) * scale, inside


def _straight_through(input, scale, zero_point, quant_min: int, quant_max: int):
    """``_rounded`` whose gradient is the incoming one inside the range, and 0 outside."""
    if not input.is_floating_point():
        raise NotImplementedError(
            f"\"fake_quantize_tensor_cachemask_kernel_type_handling\" not implemented for '{input.dtype.label}'"
        )
    with torch.no_grad():
        wide = input.float() if input.dtype.itemsize < 4 else input
        values, inside = _rounded(wide, scale, zero_point, quant_min, quant_max)
        values = values.to(input.dtype)
    if not (torch.is_grad_enabled() and input.requires_grad):
        return values
    # Adds zeros, exactly: the difference is that of a tensor and itself, infinite elements left out.
    finite = input.where(inside, 0)
    return values + (finite - finite.detach())


@composite
def fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min: int, quant_max: int):
    """``(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``, straight-through.

    >>> import flowtorch as torch
    >>> torch.fake_quantize_per_tensor_affine(torch.tensor([0.14, 9.0]), 0.1, 0, 0, 15)
    tensor([0.1000, 1.5000])
    """
    _check_range("fake_quantize_per_tensor_affine", 4, quant_min, quant_max)
    if not isinstance(zero_point, torch.Tensor):
        need_int("fake_quantize_per_tensor_affine", "zero_point", 3, zero_point)
        if not quant_min <= zero_point <= quant_max:
            raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
        zero_point = torch.as_tensor(zero_point)
    if not isinstance(scale, torch.Tensor):
        scale = torch.as_tensor(scale, dtype=torch.float32)
    return _straight_through(input, scale.reshape(()), zero_point.reshape(()), quant_min, quant_max)


@composite
def fake_quantize_per_channel_affine(input, scale, zero_point, axis: int, quant_min: int, quant_max: int):
    """``fake_quantize_per_tensor_affine`` with a scale and a zero point for each index of dimension ``axis``."""
    if scale.dtype is not torch.float32 and scale.dtype is not torch.bfloat16:
        raise RuntimeError(f"Scale must be Float or BFloat16, found {scale.dtype.label}")
    if zero_point.dtype not in (torch.int32, torch.float32, torch.float16):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {zero_point.dtype.label}")
    if scale.dim() != 1 or zero_point.dim() != 1:
        raise RuntimeError("scale and zero-point need to be 1-D tensors")
    if scale.numel() != input.size(axis) or zero_point.numel() != input.size(axis):
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    _check_range("fake_quantize_per_channel_affine", 5, quant_min, quant_max)
    if bool(((zero_point < quant_min) | (zero_point > quant_max)).any()):
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    shape = [1] * input.dim()
    shape[axis] = -1
    return _straight_through(input, scale.reshape(shape), zero_point.reshape(shape), quant_min, quant_max)


@composite
def fused_moving_avg_obs_fake_quant(
    input,
    observer_on,
    fake_quant_on,
    running_min,
    running_max,
    scale,
    zero_point,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
):
    """Fake quantisation with the range that it observes: running extrema give the scale and the zero point in place.

    ``observer_on`` and ``fake_quant_on`` hold 1 where the range is followed, and where values are rounded.
    """
    if bool(observer_on):
        _observe(input, running_min, running_max, averaging_const, ch_axis if per_row_fake_quant else None)
    if not bool(fake_quant_on):
        return input.clone()
    if bool(observer_on):
        _set_parameters(running_min, running_max, scale, zero_point, quant_min, quant_max, symmetric_quant)
    if per_row_fake_quant:
        return fake_quantize_per_channel_affine(input, scale, zero_point, ch_axis, quant_min, quant_max)
    return fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max)


def _observe(input, running_min, running_max, rate: float, axis: int | None) -> None:
    """Move the running extrema towards those of ``input``, or to them the first time."""
    from flowtorch.quantized.parameters import resize_to

    with torch.no_grad():
        if axis is None:
            low, high = (x.reshape(running_min.shape) for x in input.detach().aminmax())
        else:
            rows = input.detach().transpose(0, axis).reshape(input.size(axis), -1)
            low, high = rows.aminmax(dim=1)
            resize_to(running_min, low, float("inf"))
            resize_to(running_max, high, float("-inf"))
        for running, new in ((running_min, low), (running_max, high)):
            moved = running + rate * (new - running)
            running.copy_(torch.where(running.isinf(), new, moved))


def _set_parameters(low, high, scale, zero_point, quant_min: int, quant_max: int, symmetric: bool) -> None:
    from flowtorch.quantized.parameters import choose, resize_to

    with torch.no_grad():
        pairs = zip(low.reshape(-1).tolist(), high.reshape(-1).tolist(), strict=True)
        scales, points = zip(*(choose(a, b, quant_min, quant_max, symmetric) for a, b in pairs), strict=True)
        for target, values in ((scale, scales), (zero_point, points)):
            found = torch.as_tensor(values, dtype=target.dtype)
            resize_to(target, found, 0)
            target.copy_(found.reshape(target.shape))
