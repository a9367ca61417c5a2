"""Convolution with one channel a group on numpy arrays, in three ways.

*Columns*, for outputs of the input's size: the kernel times copies of the image, one for each position. *Bands*, for
other images: a row of outputs is a row of inputs times a matrix that has the kernel's row along its diagonal, so there
is one small product by BLAS for every row of the kernel. *Runs*, for the other ranks: rows run together, so that a
kernel position is an offset and one loop goes over a whole channel.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from flowtorch.ops.conv_geometry import Geometry, each_image, flipped, offsets, padded, partial_sums
from flowtorch.ops.conv_moves import Moves

_as_strided = np.lib.stride_tricks.as_strided
_CACHE = 1 << 17  # elements of the columns that are multiplied at once
_STRIP = 32  # outputs of a row that share a band: wider ones would multiply more zeros


# ---------------------------------------------------------------- columns

def _in_columns(g: Geometry, dtype: np.dtype) -> bool:
    return g.outputs == 1 and prod(g.stride) == 1 and g.out == g.size and dtype.char in "fd" and prod(g.out) > 0


class _Columns:
    """Copies of some channels of an image for every position but those along its first dimension, which are offsets."""

    def __init__(self, g: Geometry, dtype: Any) -> None:
        height, *rest = g.size
        copies = g.groups * prod(g.kernel[1:]) * (height + 2 * g.padding[0]) * prod(rest)
        self.step = -(-g.groups // -(-copies // _CACHE))
        room = np.zeros((self.step, *g.kernel[1:], height + 2 * g.padding[0], *rest), dtype)
        inside = slice(g.padding[0], g.padding[0] + height)
        inner = np.moveaxis(room, 0, len(rest))[(*[slice(None)] * (len(rest) + 1), inside)]
        self.moves = Moves(inner[None], [(0,), *g.shifts[1:]])
        self.flat = room.reshape(self.step, prod(g.kernel[1:]), -1)
        self.rows = [slice(i * g.dilation[0] * prod(rest), (i * g.dilation[0] + height) * prod(rest))
                     for i in range(g.kernel[0])]

    def of(self, image: np.ndarray) -> Any:
        """(channels as a slice, their columns by rows of the kernel) one after the other."""
        for start in range(0, len(image), self.step):
            channels = image[start : start + self.step]
            self.moves.fill(channels)
            n = len(channels)
            yield slice(start, start + n), [self.flat[:n, :, row] for row in self.rows]


def _in_the_plane(x: np.ndarray, g: Geometry) -> tuple[np.ndarray, Geometry]:
    """Lines as images of one row."""
    if len(g.kernel) > 1:
        return x, g
    one, none = (1,), (0,)
    return x[:, :, None], g._replace(size=one + g.size, kernel=one + g.kernel, out=one + g.out, stride=one + g.stride,
                                     padding=none + g.padding, dilation=one + g.dilation)


def _forward_by_columns(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> None:
    x, g = _in_the_plane(x, g)
    w = np.ascontiguousarray(weight).reshape(g.groups, g.kernel[0], 1, -1).swapaxes(0, 1)
    results = out.reshape(len(x), g.groups, 1, prod(g.out))

    def some(first: int, last: int) -> None:
        columns = _Columns(g, out.dtype)
        part = np.empty((columns.step, 1, prod(g.out)), out.dtype)
        for i in range(first, last):
            for channels, (top, *others) in columns.of(x[i]):
                result, product = results[i, channels], part[: len(top)]
                np.matmul(w[0, channels], top, result)
                for k, c in enumerate(others, 1):
                    np.matmul(w[k, channels], c, product)
                    result += product

    each_image(some, len(x), g)


def _weight_by_columns(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    x, g = _in_the_plane(x, g)
    own = grad.reshape(len(x), g.groups, prod(g.out), 1)

    def some(images: slice, total: np.ndarray) -> None:
        columns = _Columns(g, dtype)
        for i in range(images.start, images.stop):
            for channels, rows in columns.of(x[i]):
                for k, c in enumerate(rows):
                    total[k, channels] += np.matmul(c, own[i, channels])

    total = partial_sums(some, len(x), g, (g.kernel[0], g.groups, prod(g.kernel[1:]), 1), dtype)
    return total.swapaxes(0, 1)


# ---------------------------------------------------------------- bands

def _in_bands(g: Geometry, dtype: np.dtype) -> bool:
    return g.outputs == 1 and len(g.kernel) == 2 and dtype.char in "fd" and prod(g.out) > 0


def _strips(g: Geometry) -> list[tuple[slice, slice, int]]:
    """(outputs, inputs, number of outputs) of the strips of a row."""
    step, reach = g.stride[1], (g.kernel[1] - 1) * g.dilation[1] + 1
    starts = range(0, g.out[1], _STRIP)
    return [(slice(a, a + n), slice(a * step, (a + n - 1) * step + reach), n)
            for a in starts for n in (min(_STRIP, g.out[1] - a),)]


def _diagonals(bands: np.ndarray, g: Geometry) -> Any:
    """For every position along a row: a view of where it stands in (..., inputs, outputs) bands."""
    *lead, inputs, outputs = bands.strides
    for j in range(g.kernel[1]):
        yield _as_strided(bands[..., j * g.dilation[1] :, :], (*bands.shape[:-2], bands.shape[-1]),
                          (*lead, inputs * g.stride[1] + outputs))


def _bands(weight: np.ndarray, g: Geometry) -> np.ndarray:
    """(kernel rows, channels, inputs, outputs) of the widest strip."""
    n = min(_STRIP, g.out[1])
    bands = np.zeros((g.kernel[0], g.groups, (n - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1, n),
                     weight.dtype)
    rows = weight.reshape(g.groups, *g.kernel).transpose(1, 0, 2)
    for j, diagonal in enumerate(_diagonals(bands, g)):
        diagonal[...] = rows[..., j : j + 1]
    return bands


def _met(x: np.ndarray, i: int, g: Geometry) -> np.ndarray:
    """The rows of padded images that row ``i`` of the kernel meets."""
    start = i * g.dilation[0]
    return x[..., start : start + (g.out[0] - 1) * g.stride[0] + 1 : g.stride[0], :]


def _forward_by_bands(x: np.ndarray, weight: np.ndarray, g: Geometry, out: np.ndarray) -> bool:
    """False if infinities may have met the zeros beside a band."""
    x, bands = padded(x, g.padding), _bands(weight, g)
    part = np.empty(out.shape[1:], out.dtype)
    strips = _strips(g)
    for image, result in zip(x, out, strict=True):
        for i in range(g.kernel[0]):
            rows = _met(image, i, g)
            for outputs, inputs, n in strips:
                band = bands[i] if n == bands.shape[3] else bands[i, :, : inputs.stop - inputs.start, :n]
                np.matmul(rows[..., inputs], band, (part if i else result)[..., outputs])
            if i:
                result += part
    return bool(np.isfinite(out).all())


def _input_by_bands(grad: np.ndarray, weight: np.ndarray, g: Geometry, x: np.ndarray) -> bool:
    """Into zeros as large as the padded images; False if infinities may have met the zeros beside a band."""
    bands, strips = _bands(weight, g).swapaxes(2, 3), _strips(g)
    for own, image in zip(grad, x, strict=True):
        for i in range(g.kernel[0]):
            rows = _met(image, i, g)
            for outputs, inputs, n in strips:
                rows[..., inputs] += np.matmul(own[..., outputs], bands[i, :, :n, : inputs.stop - inputs.start])
    return bool(np.isfinite(x).all())


def _weight_by_bands(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """Every input of a row times every output: the sums along the diagonals are the gradient."""
    x, total = padded(x, g.padding), np.zeros((g.groups, *g.kernel), dtype)
    for outputs, inputs, n in _strips(g):
        for i in range(g.kernel[0]):
            products = np.zeros((g.groups, inputs.stop - inputs.start, n), dtype)
            for own, image in zip(grad, x, strict=True):
                products += np.matmul(_met(image, i, g)[..., inputs].swapaxes(1, 2), own[..., outputs])
            for j, diagonal in enumerate(_diagonals(products, g)):
                total[:, i, j] += diagonal.sum(-1)
    return total.reshape(g.groups, 1, *g.kernel)


# ---------------------------------------------------------------- runs

class _Flat:
    """Images whose rows run together: a kernel position is then an offset, and one loop goes over a whole channel."""

    def __init__(self, x: np.ndarray, g: Geometry) -> None:
        self.x = np.ascontiguousarray(padded(x, g.padding))
        self.size, self.out = self.x.shape[2:], g.out
        steps = [prod(self.size[d + 1 :]) for d in range(len(self.size))]
        self.steps = steps
        self.length = sum((o - 1) * s for o, s in zip(g.out, steps, strict=True)) + 1
        self.offsets = [sum(i * d * s for i, d, s in zip(k, g.dilation, steps, strict=True))
                        for k in product(*map(range, g.kernel))]
        self.room = np.empty((g.groups, len(self.offsets), self.length), x.dtype)

    def columns(self, i: int) -> np.ndarray:
        """The (channels, kernel positions, length) columns of an image; overwritten by the next."""
        flat = self.x[i].reshape(len(self.x[i]), -1)
        for k, at in enumerate(self.offsets):
            np.copyto(self.room[:, k], flat[:, at : at + self.length])
        return self.room

    def results(self, flat: np.ndarray) -> np.ndarray:
        """(channels, *out) of (channels, length)."""
        step = flat.itemsize
        return _as_strided(flat, (len(flat), *self.out), (flat.strides[0], *(s * step for s in self.steps)))


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """``conv_kernels.forward`` with one input channel a group."""
    n = len(x)
    if _in_columns(g, np.dtype(dtype)):
        out = np.empty((n, g.groups, *g.out), dtype)
        _forward_by_columns(x, weight, g, out)
        return out
    if _in_bands(g, x.dtype) and weight.dtype == x.dtype:
        out = np.empty((n, g.groups, *g.out), dtype)
        if _forward_by_bands(x, weight, g, out):
            return out
    if g.outputs == 1 and g.dense:
        flat, w = _Flat(x, g), weight.reshape(g.groups, 1, -1)
        out = np.empty((n, g.groups, *g.out), dtype)
        for i in range(n):
            out[i] = flat.results(np.matmul(w, flat.columns(i))[:, 0])
        return out
    out = np.zeros((n, g.groups, g.outputs, *g.out), dtype)
    w, x = weight.reshape(g.groups, g.outputs, *g.kernel), padded(x, g.padding)
    ones = (1,) * len(g.out)
    for k, where in offsets(g):
        out += x[(slice(None), slice(None), *where)][:, :, None] * w[(..., *k)].reshape(1, g.groups, g.outputs, *ones)
    return out.reshape(n, g.groups * g.outputs, *g.out)


def input_gradient(grad: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """``conv_kernels.input_gradient`` with one input channel a group."""
    if g.outputs == 1 and g.dense and min(g.transposed().padding) >= 0:
        return forward(grad, flipped(weight, g.groups), g.transposed(), dtype)
    n = len(grad)
    inner = tuple(slice(p, p + s) for p, s in zip(g.padding, g.size, strict=True))
    x = np.zeros((n, g.groups, *(s + 2 * p for s, p in zip(g.size, g.padding, strict=True))), dtype)
    if _in_bands(g, grad.dtype) and weight.dtype == grad.dtype:
        if _input_by_bands(grad, weight, g, x):
            return np.ascontiguousarray(x[(slice(None), slice(None), *inner)])
        x[...] = 0
    own, w = grad.reshape(n, g.groups, g.outputs, *g.out), weight.reshape(g.groups, g.outputs, *g.kernel)
    ones = (1,) * len(g.out)
    for k, where in offsets(g):
        part = own * w[(..., *k)].reshape(1, g.groups, g.outputs, *ones)
        x[(slice(None), slice(None), *where)] += part.sum(2)
    return np.ascontiguousarray(x[(slice(None), slice(None), *inner)])


def weight_gradient(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """``conv_kernels.weight_gradient`` with one input channel a group."""
    n = len(x)
    if _in_columns(g, np.dtype(dtype)):
        return _weight_by_columns(grad, x, g, dtype).reshape(g.groups, 1, *g.kernel)
    if _in_bands(g, x.dtype) and grad.dtype == x.dtype:
        return _weight_by_bands(grad, x, g, dtype)
    if g.outputs == 1 and g.dense:
        flat = _Flat(x, g)
        total = np.zeros((g.groups, 1, len(flat.offsets)), dtype)
        own = np.zeros((g.groups, flat.length), dtype)                      # zeros between the ends of rows
        for i in range(n):
            flat.results(own)[...] = grad[i]
            total += np.matmul(own[:, None], flat.columns(i).swapaxes(1, 2))
        if np.isfinite(total).all():        # else what is infinite may have met the zeros between the rows
            return total.reshape(g.groups, 1, *g.kernel)
    own, x = grad.reshape(n, g.groups, g.outputs, -1), padded(x, g.padding)
    out = np.empty((g.groups, g.outputs, *g.kernel), dtype)
    for k, where in offsets(g):
        part = x[(slice(None), slice(None), *where)].reshape(n, g.groups, -1)
        out[(slice(None), slice(None), *k)] = np.einsum("ngmo,ngo->gm", own, part)
    return out.reshape(g.groups * g.outputs, 1, *g.kernel)
