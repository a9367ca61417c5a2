"""Sliding blocks of images as columns (im2col), and the adjoint that adds columns up into images (col2im)."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.arguments import int_tuple
from flowtorch.ops.families import op


def _blocks(image: np.ndarray, kernel: tuple, dilation: tuple, stride: tuple, out: tuple) -> np.ndarray:
    """(N, C, kh, kw, oh, ow) view of a padded (N, C, H, W) image."""
    n, c = image.shape[:2]
    sn, sc, sh, sw = image.strides
    return np.lib.stride_tricks.as_strided(
        image, (n, c, *kernel, *out), (sn, sc, sh * dilation[0], sw * dilation[1], sh * stride[0], sw * stride[1])
    )


def block_counts(size: tuple, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> tuple:
    """How many blocks fit vertically and horizontally."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


@op(
    name="im2col",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    low="keep",
    node="Im2ColBackward0",
    vjp=(
        lambda g, input_shape, kernel, dilation, padding, stride: col2im(  # type: ignore[has-type]
            g, tuple(input_shape[2:]), kernel, dilation, padding, stride
        ),
    ),
)
def im2col(input, kernel, dilation, padding, stride):
    """The blocks of (N, C, H, W) images as (N, C kh kw, blocks) columns."""
    n, c, h, w = input.shape
    out = block_counts((h, w), kernel, dilation, padding, stride)
    if any(padding):
        (top, left) = padding
        padded = np.zeros((n, c, h + 2 * top, w + 2 * left), input.dtype)
        padded[:, :, top : top + h, left : left + w] = input
        input = padded
    return _blocks(input, kernel, dilation, stride, out).reshape(n, c * kernel[0] * kernel[1], out[0] * out[1])


@op(
    name="col2im",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    node="Col2ImBackward0",
    vjp=(lambda g, kernel, dilation, padding, stride: im2col(g, kernel, dilation, padding, stride),),
)
def col2im(input, size, kernel, dilation, padding, stride):
    """Images (N, C, *size) in which every pixel is the sum of all column entries that lie on it."""
    n = input.shape[0]
    c = input.shape[1] // (kernel[0] * kernel[1])
    out = block_counts(size, kernel, dilation, padding, stride)
    columns = input.reshape(n, c, *kernel, *out)
    (top, left), (h, w) = padding, size
    image = np.zeros((n, c, h + 2 * top, w + 2 * left), input.dtype)
    for i in range(kernel[0]):
        rows = slice(i * dilation[0], i * dilation[0] + (out[0] - 1) * stride[0] + 1, stride[0])
        for j in range(kernel[1]):
            across = slice(j * dilation[1], j * dilation[1] + (out[1] - 1) * stride[1] + 1, stride[1])
            image[:, :, rows, across] += columns[:, :, i, j]
    return image[:, :, top : top + h, left : left + w]


def _positive(kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> None:
    for name, pair, least in (
        ("kernel", kernel, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
        ("stride", stride, 1),
    ):
        if min(pair) < least:
            subject = "kernel size" if name == "kernel" else name
            rule = "be non-negative" if least == 0 else "be greater than zero"
            short = "pad" if name == "padding" else name
            raise RuntimeError(f"{subject} should {rule}, but got {short}_height: {pair[0]} {short}_width: {pair[1]}")


def _pair(function: str, value: Any, name: str) -> tuple:
    pair = (value, value) if isinstance(value, int) else int_tuple(function, name, 2, value)
    if len(pair) == 1:
        pair *= 2
    if len(pair) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(pair)}")
    return pair


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Extract the sliding blocks of (N, C, H, W) or (C, H, W) images as (N, C kh kw, blocks) columns."""
    kernel, dilation = _pair("im2col", kernel_size, "kernel_size"), _pair("im2col", dilation, "dilation")
    padding, stride = _pair("im2col", padding, "padding"), _pair("im2col", stride, "stride")
    _positive(kernel, dilation, padding, stride)
    shape = tuple(input.shape)
    if input.dim() == 2:
        raise IndexError("Dimension out of range (expected to be in range of [-2, 1], but got 2)")
    if input.dim() not in (3, 4) or 0 in shape[input.dim() - 3 :]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
            f"input, but got: {list(shape)}"
        )
    out = block_counts(shape[-2:], kernel, dilation, padding, stride)
    if min(out) < 1:
        raise RuntimeError(
            f"Given input with spatial size {shape[-2:]}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, calculated shape of the array of sliding blocks as {out}, but its components "
            "must be at least one."
        )
    if not (input.dtype.is_floating_point or input.dtype.is_complex or input.dtype.name == "bool"):
        raise NotImplementedError(f"\"im2col_out_cpu\" not implemented for '{input.dtype.label}'")
    if input.dim() == 3:
        return im2col(input.unsqueeze(0), kernel, dilation, padding, stride).squeeze(0)
    return im2col(input, kernel, dilation, padding, stride)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Add up (N, C kh kw, blocks) or (C kh kw, blocks) columns of sliding blocks into images of ``output_size``."""
    size = _pair("col2im", output_size, "output_size")
    kernel, dilation = _pair("col2im", kernel_size, "kernel_size"), _pair("col2im", dilation, "dilation")
    padding, stride = _pair("col2im", padding, "padding"), _pair("col2im", stride, "stride")
    _positive(kernel, dilation, padding, stride)
    shape = tuple(input.shape)
    if input.dim() not in (2, 3) or 0 in shape[input.dim() - 2 :]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions "
            f"for input, but got: {list(shape)}"
        )
    if shape[-2] % (kernel[0] * kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={shape[-2]} and kernel_size={kernel}."
        )
    out = block_counts(size, kernel, dilation, padding, stride)
    if out[0] * out[1] != shape[-1] or min(out) < 1:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"stride={stride}, expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {out[0]} * {out[1]} = {out[0] * out[1]}, but got input.size(2)={shape[-1]}."
        )
    if not (input.dtype.is_floating_point or input.dtype.is_complex or input.dtype.name == "bool"):
        raise NotImplementedError(f"\"col2im_out_cpu\" not implemented for '{input.dtype.label}'")
    if input.dim() == 2:
        return col2im(input.unsqueeze(0), size, kernel, dilation, padding, stride).squeeze(0)
    return col2im(input, size, kernel, dilation, padding, stride)
