"""Gradients of convolutions, for those who compute them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops.conv import convolution_input, convolution_weight
from ..tensor import Tensor
from .sizes import ntuple

Size = int | Sequence[int]


def _conv_input(
    n: int, input_size: Any, weight: Tensor, grad_output: Tensor, options: Sequence[Size], groups: int
) -> Tensor:
    stride, padding, dilation = (ntuple(option, n) for option in options)
    return convolution_input(grad_output, weight, tuple(input_size)[-n:], stride, padding, dilation, groups)


def _conv_weight(
    n: int, input: Tensor, weight_size: Any, grad_output: Tensor, options: Sequence[Size], groups: int
) -> Tensor:
    stride, padding, dilation = (ntuple(option, n) for option in options)
    return convolution_weight(grad_output, input, tuple(weight_size)[-n:], stride, padding, dilation, groups)


def conv1d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv1d`` with respect to its input, of ``input_size``."""
    return _conv_input(1, input_size, weight, grad_output, (stride, padding, dilation), groups)


def conv1d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv1d`` with respect to its weight, of ``weight_size``."""
    return _conv_weight(1, input, weight_size, grad_output, (stride, padding, dilation), groups)


def conv2d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv2d`` with respect to its input, of ``input_size``."""
    return _conv_input(2, input_size, weight, grad_output, (stride, padding, dilation), groups)


def conv2d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv2d`` with respect to its weight, of ``weight_size``."""
    return _conv_weight(2, input, weight_size, grad_output, (stride, padding, dilation), groups)


def conv3d_input(
    input_size: Any,
    weight: Tensor,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv3d`` with respect to its input, of ``input_size``."""
    return _conv_input(3, input_size, weight, grad_output, (stride, padding, dilation), groups)


def conv3d_weight(
    input: Tensor,
    weight_size: Any,
    grad_output: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the gradient of ``conv3d`` with respect to its weight, of ``weight_size``."""
    return _conv_weight(3, input, weight_size, grad_output, (stride, padding, dilation), groups)
