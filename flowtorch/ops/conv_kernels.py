"""Convolution as products of matrices: which copies of the input are made, and how many images share a product.

Two ways. *Shifted rows*, for stride 1: the input is copied once for every kernel position but those of the first
dimension; moving on along that one is an offset into the same copy, so there are as many products as the kernel is
high, added up. *Windows*, for everything else: every kernel position is copied, for as many images at once as stay in
the cache, so that small images make one large product. One channel a group: see ``conv_depthwise``.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

_as_strided = np.lib.stride_tricks.as_strided
_CACHE = 1 << 17  # elements of the columns that are multiplied at once
_AREA = 1024  # outputs of an image that make a product large enough alone
_ROWS_AREA, _ROWS_CHANNELS = 64, 8  # from which on shifted rows are worth their several products


class Geometry(NamedTuple):
    """The sizes of a convolution: channels of one group, and tuples of the spatial dimensions."""

    groups: int
    channels: int
    outputs: int
    size: tuple
    kernel: tuple
    out: tuple
    stride: tuple
    padding: tuple
    dilation: tuple

    @property
    def pointwise(self) -> bool:
        """Whether the input itself is the columns."""
        return prod(self.kernel) == 1 and prod(self.stride) == 1 and not any(self.padding) and self.size == self.out

    @property
    def dense(self) -> bool:
        """Whether the stride is 1, and no output is left out."""
        return prod(self.stride) == 1 and all(
            o + d * (k - 1) == n + 2 * p
            for n, k, o, p, d in zip(self.size, self.kernel, self.out, self.padding, self.dilation, strict=True))

    @property
    def in_rows(self) -> bool:
        """Whether shifted rows are the way."""
        return (self.groups == 1 and self.kernel[0] > 1 and self.channels >= _ROWS_CHANNELS
                and prod(self.out) >= _ROWS_AREA and self.dense)

    def transposed(self) -> Geometry:
        """The convolution, with the kernel flipped, that a dense one's adjoint in its input is."""
        padding = tuple(d * (k - 1) - p for k, p, d in zip(self.kernel, self.padding, self.dilation, strict=True))
        return self._replace(channels=self.outputs, outputs=self.channels, size=self.out, out=self.size,
                             padding=padding)

    def shared(self, images: int) -> int:
        """How many images to multiply at once."""
        area = prod(self.out)
        if area >= _AREA:
            return 1
        return max(1, min(images, _CACHE // max(1, self.groups * self.channels * prod(self.kernel) * area)))


def flipped(weight: np.ndarray, groups: int) -> np.ndarray:
    """The (F, C / groups, *K) weight of ``Geometry.transposed``: (C, F / groups, *K), every kernel turned round."""
    f, c, *kernel = weight.shape
    turned = weight.reshape(groups, f // groups, c, *kernel).swapaxes(1, 2)
    return np.flip(turned, tuple(range(3, turned.ndim))).reshape(groups * c, f // groups, *kernel)


def padded(x: np.ndarray, padding: tuple) -> np.ndarray:
    """``x`` with zeros around its spatial dimensions."""
    if not any(padding):
        return x
    shape = (*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)))
    out = np.zeros(shape, x.dtype)
    out[(slice(None), slice(None), *(slice(p, p + n) for n, p in zip(x.shape[2:], padding, strict=True)))] = x
    return out


def offsets(g: Geometry) -> Any:
    """For every kernel position: (position, slices of the padded input that it meets)."""
    for k in product(*map(range, g.kernel)):
        yield k, tuple(slice(i * d, i * d + (o - 1) * s + 1, s)
                       for i, d, o, s in zip(k, g.dilation, g.out, g.stride, strict=True))


# ---------------------------------------------------------------- shifted rows

class _Rows:
    """The copies of one image."""

    def __init__(self, g: Geometry, dtype: Any) -> None:
        rest = g._replace(size=g.size[1:], kernel=g.kernel[1:], out=g.out[1:], stride=g.stride[1:],
                          padding=g.padding[1:], dilation=g.dilation[1:])
        height, (top, bottom) = g.size[0] + 2 * g.padding[0], (g.padding[0], g.padding[0] + g.size[0])
        copies = np.zeros((*rest.kernel, g.channels, height, *rest.out), dtype)
        self.flat = copies.reshape(prod(rest.kernel) * g.channels, -1)
        self.step, self.area = g.dilation[0] * prod(rest.out), prod(g.out)
        self.count = g.kernel[0]
        self.places = []
        for position, where in offsets(rest):
            # Only what lies inside the image is copied; the zeros around it stay from the beginning.
            spans = [_inside(w, n, p, o) for w, n, p, o in zip(where, rest.size, rest.padding, rest.out, strict=True)]
            target = copies[(*position, slice(None), slice(top, bottom), *(a for a, _ in spans))]
            self.places.append((target, (slice(None), slice(None), *(b for _, b in spans))))

    def fill(self, image: np.ndarray) -> None:
        for target, where in self.places:
            np.copyto(target, image[where])

    def shifted(self, k: int) -> np.ndarray:
        """The (positions * channels, outputs) columns at position ``k`` of the first dimension."""
        return self.flat[:, k * self.step : k * self.step + self.area]


def _inside(where: slice, n: int, padding: int, out: int) -> tuple[slice, slice]:
    """(outputs, inputs) of a slice of the padded input, as far as it meets the input; stride 1."""
    start = where.start - padding
    first, last = max(0, -start), max(0, min(out, n - start))
    return slice(first, max(first, last)), slice(first + start, max(first, last) + start)


def _rows_forward(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> None:
    rows = _Rows(g, out.dtype)
    axes = (2, 0, *range(3, weight.ndim), 1)
    w = np.ascontiguousarray(weight.transpose(axes)).reshape(rows.count, g.outputs, -1)
    part = np.empty((g.outputs, rows.area), out.dtype)
    for image, result in zip(x, out.reshape(len(x), g.outputs, rows.area), strict=True):
        rows.fill(image)
        np.matmul(w[0], rows.shifted(0), result)
        for k in range(1, rows.count):
            np.matmul(w[k], rows.shifted(k), part)
            result += part


def _rows_weight(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    rows = _Rows(g, dtype)
    total = np.zeros((rows.count, g.outputs, len(rows.flat)), dtype)
    part = np.empty(total.shape[1:], dtype)
    for image, own in zip(x, grad.reshape(len(x), g.outputs, rows.area), strict=True):
        rows.fill(image)
        for k in range(rows.count):
            np.matmul(own, rows.shifted(k).T, part)
            total[k] += part
    total = total.reshape(rows.count, g.outputs, *g.kernel[1:], g.channels)
    return total.transpose(1, total.ndim - 1, 0, *range(2, total.ndim - 1))


# ---------------------------------------------------------------- windows

class _Windows:
    """The columns of some images at once: (groups, channels * positions, images * outputs)."""

    def __init__(self, x: np.ndarray, g: Geometry, dtype: Any) -> None:
        self.g, self.x, self.shared = g, padded(x, g.padding), g.shared(len(x))
        self.room: Any = None
        self.dtype = dtype

    def __iter__(self) -> Any:
        """(images as a slice, columns) one after the other; the columns are overwritten by the next."""
        g, n = self.g, len(self.x)
        lead = (g.groups, g.channels * prod(g.kernel))
        for start in range(0, n, self.shared):
            images = slice(start, min(n, start + self.shared))
            part = self.x[images]
            if g.pointwise:
                yield images, together(part, g.groups)
                continue
            s = part.strides
            steps = zip(s[2:], g.dilation, g.stride, strict=True)
            inner, outer = zip(*((a * d, a * t) for a, d, t in steps), strict=True)
            view = _as_strided(part, (part.shape[1], *g.kernel, len(part), *g.out), (s[1], *inner, s[0], *outer),
                               writeable=False)
            if self.room is None or self.room.shape != view.shape:
                self.room = np.empty(view.shape, self.dtype)
            np.copyto(self.room, view)
            yield images, self.room.reshape(*lead, -1)


def together(part: np.ndarray, groups: int) -> np.ndarray:
    """(images, channels, *size) as (groups, channels of a group, images * size)."""
    n, c = part.shape[:2]
    if n == 1:
        return part.reshape(groups, c // groups, -1)
    return part.reshape(n, groups, c // groups, -1).transpose(1, 2, 0, 3).reshape(groups, c // groups, -1)


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(N, F, *out) of (N, C, *size)."""
    out = np.empty((len(x), g.groups * g.outputs, *g.out), dtype)
    if not (x.size and weight.size):
        out[...] = 0                                    # a sum of nothing
        return out
    if g.in_rows:
        _rows_forward(x, weight, g, out)
        return out
    w = weight.reshape(g.groups, g.outputs, -1)
    for images, columns in _Windows(x, g, dtype):
        part = out[images]
        if len(part) == 1:
            np.matmul(w, columns, part.reshape(g.groups, g.outputs, -1))
        else:
            result = np.matmul(w, columns).reshape(part.shape[1], len(part), -1)
            part.reshape(*part.shape[:2], -1)[...] = result.swapaxes(0, 1)
    return out


def weight_gradient(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(F, C / groups, *kernel) of the gradient of ``forward`` and its input."""
    if g.in_rows:
        return np.ascontiguousarray(_rows_weight(grad, x, g, dtype))
    total = np.zeros((g.groups, g.outputs, g.channels * prod(g.kernel)), dtype)
    for images, columns in _Windows(x, g, dtype):
        total += np.matmul(together(grad[images], g.groups), columns.swapaxes(1, 2))
    return total.reshape(g.groups * g.outputs, g.channels, *g.kernel)


def input_gradient(grad: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(N, C, *size) of the gradient of ``forward`` and its weight."""
    if g.dense and min(g.transposed().padding) >= 0:
        return forward(grad, flipped(weight, g.groups), g.transposed(), dtype)
    n, shared = len(grad), g.shared(len(grad))
    c, size = g.groups * g.channels, tuple(s + 2 * p for s, p in zip(g.size, g.padding, strict=True))
    x = np.zeros((n, c, *size), dtype)
    w = weight.reshape(g.groups, g.outputs, -1).swapaxes(1, 2)              # (groups, channels * positions, outputs)
    for start in range(0, n, shared):
        part = x[start : start + shared]
        columns = np.matmul(w, together(grad[start : start + shared], g.groups))
        columns = columns.reshape(g.groups, g.channels, *g.kernel, len(part), *g.out)
        images = part.reshape(len(part), g.groups, g.channels, *size)
        images = images.transpose(1, 2, 0, *range(3, images.ndim))
        for k, where in offsets(g):
            images[(slice(None), slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *k)]
    inner = tuple(slice(p, p + s) for p, s in zip(g.padding, g.size, strict=True))
    return np.ascontiguousarray(x[(slice(None), slice(None), *inner)])
