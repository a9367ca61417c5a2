"""Convolution of stride 1 by shifted rows.

An image is copied once for every kernel position but those of the first dimension; moving on along that one is an
offset into the same copy. So there are as many products as the kernel is high, and BLAS adds them up.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from flowtorch.array import blas
from flowtorch.ops.conv_geometry import Geometry, each_image, offsets, partial_sums
from flowtorch.ops.conv_moves import Moves


class _Rows:
    """The copies of one image: for positions and channels, or with ``turned`` for channels and positions from the last.
    """

    def __init__(self, g: Geometry, dtype: Any, turned: bool = False) -> None:
        rest = g._replace(size=g.size[1:], kernel=g.kernel[1:], out=g.out[1:], stride=g.stride[1:],
                          padding=g.padding[1:], dilation=g.dilation[1:])
        height, inside = g.size[0] + 2 * g.padding[0], slice(g.padding[0], g.padding[0] + g.size[0])
        lead = (g.channels, *rest.kernel) if turned else (*rest.kernel, g.channels)
        copies = np.empty((*lead, height, *rest.out), dtype)
        self.flat = copies.reshape(prod(lead), -1)
        self.step, self.area, self.count = g.dilation[0] * prod(rest.out), prod(g.out), g.kernel[0]
        if turned:
            copies = np.moveaxis(copies, 0, len(rest.kernel))[tuple([slice(None, None, -1)] * len(rest.kernel))]
        at_first = copies.swapaxes(0, len(lead))
        at_first[: inside.start] = at_first[inside.stop :] = 0
        inner = copies[(*[slice(None)] * len(lead), inside)]
        self.places: list = []
        self.moves = Moves(inner[None], [(0,), *rest.shifts]) if rest.out == rest.size else None
        if self.moves is None:                  # only what lies inside is copied, the zeros around it stay
            copies[...] = 0
            for position, where in offsets(rest):
                spans = [_inside(w, *s) for w, *s in zip(where, rest.size, rest.padding, rest.out, strict=True)]
                target = inner[(*position, slice(None), slice(None), *(a for a, _ in spans))]
                self.places.append((target, (..., *(b for _, b in spans))))

    def fill(self, image: np.ndarray) -> None:
        if self.moves is not None:
            self.moves.fill(image)
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


def _by_first(weight: np.ndarray) -> np.ndarray:
    """(first position, F, other positions, C) of (F, C, *kernel)."""
    return np.ascontiguousarray(weight.transpose(2, 0, *range(3, weight.ndim), 1))


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> None:
    """Write the convolution of ``x`` into ``out``."""
    matrices = _by_first(weight).reshape(g.kernel[0], g.outputs, -1)
    _multiply(x, matrices, g, out, False)


def turned(grad: np.ndarray, weight: np.ndarray, g: Geometry, x: np.ndarray) -> None:
    """Write the gradient of ``forward`` into ``x``: the convolution with the turned kernel, whose sizes ``g`` has."""
    matrices = _by_first(weight)[::-1].reshape(g.kernel[0], -1, g.outputs).swapaxes(1, 2)
    _multiply(grad, matrices, g, x, True)


def _multiply(x: np.ndarray, matrices: np.ndarray, g: Geometry, out: np.ndarray, turned: bool) -> None:
    results = out.reshape(len(x), g.outputs, -1)

    def some(first: int, last: int) -> None:
        rows = _Rows(g, out.dtype, turned)
        for image, result in zip(x[first:last], results[first:last], strict=True):
            rows.fill(image)
            for k in range(rows.count):
                blas.multiply(matrices[k], rows.shifted(k), result, float(k > 0))

    each_image(some, len(x), g)


def weight_gradient(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(F, C, *kernel) of the gradient of ``forward`` and its input."""
    own, columns = grad.reshape(len(x), g.outputs, -1), prod(g.kernel[1:]) * g.channels
    upright = g.upright(len(x))

    def some(images: slice, total: np.ndarray) -> None:
        rows = _Rows(g, dtype)
        for image, gradient in zip(x[images], own[images], strict=True):
            rows.fill(image)
            for k in range(rows.count):
                if upright:
                    blas.multiply(gradient, rows.shifted(k).T, total[k], 1.0)
                else:
                    blas.multiply(rows.shifted(k), gradient.T, total[k], 1.0)

    shape = (g.outputs, columns) if upright else (columns, g.outputs)
    total = partial_sums(some, len(x), g, (g.kernel[0], *shape), dtype)
    total = total if upright else total.swapaxes(1, 2)
    total = total.reshape(g.kernel[0], g.outputs, *g.kernel[1:], g.channels)
    return np.ascontiguousarray(total.transpose(1, total.ndim - 1, 0, *range(2, total.ndim - 1)))
