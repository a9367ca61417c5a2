"""Local response normalisation as Torch7 had it."""

from __future__ import annotations

import numpy as np

from flowtorch.ops.families import op


def _mix(window: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of (N, C, H, W) ``values`` over the channels that each row of the (C, C) ``window`` selects."""
    n, c, h, w = values.shape
    return (window.astype(values.dtype) @ values.reshape(n, c, h * w)).reshape(values.shape)


def _offsets(channels: int) -> np.ndarray:
    channel = np.arange(channels)
    return channel[None, :] - channel[:, None]


def _scale(input, size, alpha, k):
    # PyTorch's running sum over channels never drops channel 0; trained models depend on it.
    reach = int((size - 1) / 2 + 1)
    offset = _offsets(input.shape[1])
    window = (offset < reach) & ((offset > -reach) | (np.arange(input.shape[1]) == 0))
    return _mix(window, input * input) * (alpha / size) + k


@op(
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    node="CrossMapLRN2dBackward",
    vjp=(lambda g, input, size, alpha, beta, k: cross_map_lrn_backward(g, input, size, alpha, beta, k),),  # type: ignore[has-type]
)
def cross_map_lrn(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide (N, C, H, W) by a power of ``k`` plus the mean of the squares of neighbouring channels."""
    return input * _scale(input, size, alpha, k) ** -beta


@op(tensors=("grad", "input"), namespace="_nn", method=False, out=False)
def cross_map_lrn_backward(grad, input, size, alpha, beta, k):
    """PyTorch's gradient of ``cross_map_lrn``: its window is shifted by one channel against the forward one."""
    scale = _scale(input, size, alpha, k)
    before = int(size - (size - 1) / 2)
    offset = _offsets(input.shape[1])
    window = (offset >= -before) & (offset < size - before)
    ratio = _mix(window, grad * input * scale ** (-beta - 1))
    return scale**-beta * grad - (2 * alpha * beta / size) * input * ratio
