"""Convolution by columns: every kernel position is copied, for as many images at once as stay in the cache.

Small images so make one large product. This is the way for everything that has no better one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from flowtorch.array import blas
from flowtorch.ops.conv_geometry import Geometry, each_image, offsets, padded, partial_sums
from flowtorch.ops.conv_moves import Moves

_as_strided = np.lib.stride_tricks.as_strided


class _Columns:
    """The columns of some images at once: (groups, channels * positions, images * outputs)."""

    def __init__(self, x: np.ndarray, g: Geometry, dtype: Any, turned: bool = False) -> None:
        self.g, self.dtype, self.count = g, dtype, g.shared(len(x))
        self.order = [slice(None, None, -1 if turned else 1)] * len(g.kernel)  # of the positions
        self.same = prod(g.stride) == 1 and g.out == g.size
        self.x = x if self.same else padded(x, g.padding)

    def of(self, images: slice) -> Any:
        """(images as a slice, columns) one after the other; the columns are overwritten by the next."""
        room: Any = None
        for start in range(images.start, images.stop, self.count):
            now = slice(start, min(images.stop, start + self.count))
            part = self.x[now]
            if self.g.pointwise:
                yield now, together(part, self.g.groups)
                continue
            if room is None or room.shape[-len(self.g.out) - 1] != len(part):
                room = np.empty((part.shape[1], *self.g.kernel, len(part), *self.g.out), self.dtype)
                copy = self._copies(room[(slice(None), *self.order)])
            copy(part)
            yield now, room.reshape(self.g.groups, self.g.channels * prod(self.g.kernel), -1)

    def _copies(self, room: np.ndarray) -> Callable:
        """What fills the room from images."""
        g = self.g
        if self.same:
            fill = Moves(np.moveaxis(room, 0, len(g.kernel)), g.shifts).fill
            return lambda part: fill(part.swapaxes(0, 1))

        def copy(part: np.ndarray) -> None:
            s = part.strides
            steps = zip(s[2:], g.dilation, g.stride, strict=True)
            inner, outer = zip(*((a * d, a * t) for a, d, t in steps), strict=True)
            np.copyto(room, _as_strided(part, room.shape, (s[1], *inner, s[0], *outer), writeable=False))

        return copy


def together(part: np.ndarray, groups: int) -> np.ndarray:
    """(images, channels, *size) as (groups, channels of a group, images * size)."""
    n, c = part.shape[:2]
    if n == 1:
        return part.reshape(groups, c // groups, -1)
    return part.reshape(n, groups, c // groups, -1).transpose(1, 2, 0, 3).reshape(groups, c // groups, -1)


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> None:
    """Write the convolution of ``x`` into ``out``."""
    _multiply(weight.reshape(g.groups, g.outputs, -1), _Columns(x, g, out.dtype), g, out)


def turned(grad: np.ndarray, weight: np.ndarray, g: Geometry, x: np.ndarray) -> None:
    """Write the gradient of ``forward`` into ``x``: the convolution with the turned kernel, whose sizes ``g`` has."""
    w = weight.reshape(g.groups, g.channels, g.outputs, -1).swapaxes(2, 3).reshape(g.groups, -1, g.outputs)
    _multiply(w.swapaxes(1, 2), _Columns(grad, g, x.dtype, turned=True), g, x)


def _multiply(w: np.ndarray, columns: _Columns, g: Geometry, out: np.ndarray) -> None:
    def some(first: int, last: int) -> None:
        for images, c in columns.of(slice(first, last)):
            part = out[images]
            if len(part) == 1:
                np.matmul(w, c, part.reshape(g.groups, g.outputs, -1))
            else:
                result = np.matmul(w, c).reshape(part.shape[1], len(part), -1)
                part.reshape(*part.shape[:2], -1)[...] = result.swapaxes(0, 1)

    each_image(some, len(out), g, columns.count)


def weight_gradient(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(F, C / groups, *kernel) of the gradient of ``forward`` and its input."""
    columns, upright = _Columns(x, g, dtype), g.upright(len(x))

    def some(images: slice, total: np.ndarray) -> None:
        for now, c in columns.of(images):
            own = together(grad[now], g.groups)
            first, second = (own, c) if upright else (c, own)
            if g.groups == 1:
                blas.multiply(first[0], second[0].T, total[0], 1.0)
            else:
                total += np.matmul(first, second.swapaxes(1, 2))

    shape = (g.outputs, g.channels * prod(g.kernel))
    total = partial_sums(some, len(x), g, (g.groups, *(shape if upright else shape[::-1])), dtype)
    total = np.ascontiguousarray(total if upright else total.swapaxes(1, 2))
    return total.reshape(g.groups * g.outputs, g.channels, *g.kernel)


def scattered(grad: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(N, C, *size) of the gradient of ``forward``: those of the columns, added up where they came from."""
    shared = g.shared(len(grad))
    c, size = g.groups * g.channels, tuple(s + 2 * p for s, p in zip(g.size, g.padding, strict=True))
    x = np.zeros((len(grad), c, *size), dtype)
    w = weight.reshape(g.groups, g.outputs, -1).swapaxes(1, 2)              # (groups, channels * positions, outputs)

    def some(first: int, last: int) -> None:
        for start in range(first, last, shared):
            now = slice(start, min(start + shared, last))
            part = x[now]
            columns = np.matmul(w, together(grad[now], g.groups))
            columns = columns.reshape(g.groups, g.channels, *g.kernel, len(part), *g.out)
            images = part.reshape(len(part), g.groups, g.channels, *size)
            images = images.transpose(1, 2, 0, *range(3, images.ndim))
            for k, where in offsets(g):
                images[(slice(None), slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *k)]

    each_image(some, len(x), g, shared)
    inner = tuple(slice(p, p + s) for p, s in zip(g.padding, g.size, strict=True))
    return np.ascontiguousarray(x[(slice(None), slice(None), *inner)])
