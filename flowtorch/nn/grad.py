"""Gradients of convolutions, for those who compute them by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ops.conv import convolution_input, convolution_weight
from ..tensor import Tensor
from .sizes import ntuple

Size = int | Sequence[int]


def _gradient_in_input(n: int) -> Callable[..., Tensor]:
    def gradient(
        input_size: Any,
        weight: Tensor,
        grad_output: Tensor,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> Tensor:
        sizes = (ntuple(option, n) for option in (stride, padding, dilation))
        return convolution_input(grad_output, weight, tuple(input_size)[-n:], *sizes, groups)

    gradient.__name__ = gradient.__qualname__ = f"conv{n}d_input"
    gradient.__doc__ = f"Return the gradient of ``conv{n}d`` with respect to its input, of shape ``input_size``."
    return gradient


def _gradient_in_weight(n: int) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor,
        weight_size: Any,
        grad_output: Tensor,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> Tensor:
        sizes = (ntuple(option, n) for option in (stride, padding, dilation))
        return convolution_weight(grad_output, input, tuple(weight_size)[-n:], *sizes, groups)

    gradient.__name__ = gradient.__qualname__ = f"conv{n}d_weight"
    gradient.__doc__ = f"Return the gradient of ``conv{n}d`` with respect to its weight, of shape ``weight_size``."
    return gradient


conv1d_input, conv2d_input, conv3d_input = map(_gradient_in_input, (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = map(_gradient_in_weight, (1, 2, 3))
