"""The sizes of a convolution, and what its ways of computing share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from flowtorch.array.spread import spread

_CACHE = 1 << 17  # elements of the columns that are multiplied at once
_AREA, _LEAST = 1024, 256  # outputs that make a product large enough, and that it has where there are as many
_ROWS_AREA, _ROWS = 128, 1 << 22  # outputs and multiplications of an image that are worth a product for every row
_MANY = 2048  # outputs: for so many BLAS is faster by more than turning the result round costs


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
        return (self.groups == 1 and self.kernel[0] > 1 and prod(self.out) >= _ROWS_AREA and self.dense
                and self.outputs * self.channels * prod(self.kernel) * prod(self.out) >= _ROWS)

    @property
    def work(self) -> int:
        """How long an image takes, in multiplications by BLAS; a number that is copied takes as long as a dozen."""
        return self.groups * self.channels * prod(self.kernel) * prod(self.out) * (self.outputs + 12)

    @property
    def shifts(self) -> list:
        """For every dimension and position along it: where in the image it begins."""
        return [[i * d - p for i in range(k)] for k, p, d in zip(self.kernel, self.padding, self.dilation, strict=True)]

    def transposed(self) -> Geometry:
        """The convolution, with the kernel flipped, that a dense one's adjoint in its input is."""
        padding = tuple(d * (k - 1) - p for k, p, d in zip(self.kernel, self.padding, self.dilation, strict=True))
        return self._replace(channels=self.outputs, outputs=self.channels, size=self.out, out=self.size,
                             padding=padding)

    def upright(self, images: int) -> bool:
        """Whether the weight's gradient is to be computed as it lies, rather than columns first."""
        return images * prod(self.out) < _MANY

    def shared(self, images: int) -> int:
        """How many images to multiply at once."""
        area = prod(self.out)
        if area >= _AREA:
            return 1
        columns = max(1, self.groups * self.channels * prod(self.kernel) * area)
        return max(1, min(images, max(_CACHE // columns, _LEAST // max(1, area))))


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


# ---------------------------------------------------------------- images on several threads

_WORTH = 1 << 23  # multiplications that take long enough for another thread


def each_image(some: Callable[[int, int], object], images: int, g: Geometry, together: int = 1) -> None:
    """Call ``some(first, last)`` for all images, on several threads where they have much to do.

    So many ``together`` are never divided: the last bits of a product's numbers may depend on its size.
    """
    grain = 1 + _WORTH // (g.work * together + 1)
    spread(lambda a, b: some(a * together, min(b * together, images)), -(-images // together), grain)


_SUMS = 4  # sums over images that may be made at once
_ELEMENTS = 1 << 20  # of all these sums together


def partial_sums(some: Callable[[slice, np.ndarray], object], images: int, g: Geometry, shape: tuple,
                 dtype: Any) -> np.ndarray:
    """The sum of what ``some(images as a slice, zeros)`` has added to the zeros, over all images.

    How the images are divided does not depend on the number of threads, and neither do the results.
    """
    parts = max(1, min(images, _SUMS, _ELEMENTS // max(1, prod(shape)), g.work * images // _WORTH))
    totals = np.zeros((parts, *shape), dtype)

    def each(first: int, last: int) -> None:
        for i in range(first, last):
            some(slice(images * i // parts, images * (i + 1) // parts), totals[i])

    spread(each, parts)
    return totals[0] if parts == 1 else totals.sum(0)
