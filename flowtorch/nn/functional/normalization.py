"""Normalisations under their public signatures."""

from __future__ import annotations

import math

import flowtorch as torch

from ...ops.op import composite

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
):
    """Normalise each channel of (N, C, ...) by the batch, whose statistics update the running ones, or by those."""
    if training and (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    if training:
        shape = input.shape
        if shape[0] * math.prod(shape[2:]) == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, False)


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
):
    """Normalise each channel of each sample of (N, C, ...) by its own statistics, or by the running ones."""
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
    return torch.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, False)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-5):
    """Normalise over the last dimensions, of sizes ``normalized_shape``, then scale and shift."""
    return torch.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input, normalized_shape, weight=None, eps: float | None = None):
    """Divide by the root mean square over the last dimensions, of sizes ``normalized_shape``, then scale."""
    return torch.rms_norm(input, normalized_shape, weight, eps)


def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-5):
    """Normalise over groups of channels of (N, C, ...), then scale and shift each channel."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    per_group = [input.size(0) * input.size(1) // num_groups, num_groups, *input.shape[2:]]
    if per_group[0] * math.prod(per_group[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {per_group}")
    return torch.group_norm(input, num_groups, weight, bias, eps)


@composite(namespace="nn.functional")
def local_response_norm(input, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """Divide by ``(k + alpha * mean of the squares of size neighbouring channels) ** beta``; (N, C, ...) input."""
    if input.dim() < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.dim()} dimensions)"
        )
    if input.numel() == 0:
        return input
    channels = input.size(1)
    around = [0, 0] * (input.dim() - 2) + [size // 2, (size - 1) // 2]
    padded = torch.constant_pad_nd(input * input, around)
    total = padded.narrow(1, 0, channels)
    for offset in range(1, size):
        total = total + padded.narrow(1, offset, channels)
    mean = total / size if input.is_floating_point() else total // size
    return input / (mean * alpha + k).pow(beta)
