"""Convolution of wide images with few channels, of any stride, line by line.

Lines of the image stand below each other, each as copies for the positions along the kernel's second dimension. So what
a line of outputs meets is one block of memory, and the blocks of neighbouring lines overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.conv_geometry import Geometry, each_image

_as_strided = np.lib.stride_tricks.as_strided


class _Lines:
    """The (lines, channels * positions, outputs of a line) blocks of one image."""

    def __init__(self, g: Geometry, dtype: Any) -> None:
        (height, self.width), (high, wide), (count, length) = g.size, g.kernel, g.out
        top, self.step = g.padding[0], g.stride[1]
        self.room = np.zeros((height + 2 * top, wide, g.channels, length), dtype)
        inside, self.places = self.room[top : top + height], []
        for j in range(wide):
            start = j * g.dilation[1] - g.padding[1]
            first = max(0, -(start // self.step))           # the first and last outputs that meet the image
            last = max(first, min(length, -((start - self.width) // self.step)))
            lane, begin = (start + first * self.step) % self.step, (start + first * self.step) // self.step
            self.places.append((inside[:, j, :, first:last], lane, slice(begin, begin + last - first)))
        line, row = self.room.strides[0], self.room.strides[2]
        self.blocks = _as_strided(self.room, (count, high * wide * g.channels, length),
                                  (line * g.stride[0], row, dtype.itemsize), writeable=False)

    def fill(self, image: np.ndarray) -> None:
        by_line = image.swapaxes(0, 1)
        lanes = [np.ascontiguousarray(by_line[..., i :: self.step]) for i in range(min(self.step, self.width))]
        for target, lane, where in self.places:
            if target.size:
                np.copyto(target, lanes[lane][..., where])


def suits(g: Geometry) -> bool:
    """Whether this is the way: lines long enough for a product, and few channels, as every product packs the weight."""
    return (g.groups == 1 and len(g.kernel) == 2 and g.dilation[0] == 1 and g.out[1] >= 96
            and max(g.stride) > 1 and 16 <= g.channels * g.kernel[0] * g.kernel[1] <= 256)


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> None:
    """Write the convolution of ``x`` into ``out``."""
    w = weight.transpose(0, 2, 3, 1).reshape(g.outputs, -1)

    def some(first: int, last: int) -> None:
        lines = _Lines(g, out.dtype)
        for image, result in zip(x[first:last], out[first:last], strict=True):
            lines.fill(image)
            np.matmul(w, lines.blocks, result.swapaxes(0, 1))

    each_image(some, len(x), g)
