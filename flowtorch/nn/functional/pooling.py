"""Pooling by p-norms, made of average pooling."""

from __future__ import annotations

import math

import flowtorch as torch

from ...ops.op import composite

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]


def _lp_pool(input, norm_type: float, kernel_size, stride, ceil_mode: bool, spatial: int):
    """The p-norm of each window: the root of its mean of powers, times its number of elements."""
    if math.isinf(norm_type):
        largest = getattr(torch.nn.functional, f"max_pool{spatial}d")
        size = input.abs()
        if norm_type > 0:
            return largest(size, kernel_size, stride, 0, 1, ceil_mode)
        return -largest(-size, kernel_size, stride, 0, 1, ceil_mode)
    average = getattr(torch.nn.functional, f"avg_pool{spatial}d")
    if spatial > 1 and not isinstance(kernel_size, int) and len(kernel_size) != spatial:
        raise ValueError(f"too many values to unpack (expected {spatial})" if len(kernel_size) > spatial else
                         f"not enough values to unpack (expected {spatial}, got {len(kernel_size)})")
    count = kernel_size**spatial if isinstance(kernel_size, int) else math.prod(kernel_size)
    mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    # The sign times the magnitude is the mean itself, but for its derivative at zero.
    return (mean.sign() * mean.abs().relu() * count).pow(1.0 / norm_type)


@composite(namespace="nn.functional")
def lp_pool1d(input, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window of (N, C, L) or (C, L) input."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


@composite(namespace="nn.functional")
def lp_pool2d(input, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window of (N, C, H, W) or (C, H, W) input."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


@composite(namespace="nn.functional")
def lp_pool3d(input, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window of (N, C, D, H, W) or (C, D, H, W) input."""
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)
