"""Kernels of the normalisations that read large arrays some rows, or one sample, at a time: so they stay cached."""

from __future__ import annotations

import numpy as np

from flowtorch.array import sums
from flowtorch.array.blocks import BLOCK, buffers_of_rows, by_rows


def are_rows(count: int, *arrays: np.ndarray) -> bool:
    """Whether these are many rows of ``count`` real numbers, in order."""
    first = arrays[0]
    return first.size > BLOCK and 0 < count <= BLOCK and _in_order(arrays)


def are_channels(dims: tuple, *arrays: np.ndarray) -> bool:
    """Whether statistics over ``dims`` are those of channels with long rows, in arrays too large for the cache."""
    first = arrays[0]
    return (first.size > 4 * BLOCK and dims == (0, *range(2, first.ndim)) and first[0, 0].size >= 16
            and _in_order(arrays))


def _in_order(arrays: tuple) -> bool:
    d = arrays[0].dtype
    return d.char in "fd" and all(a.flags.c_contiguous and a.dtype == d for a in arrays)


def _deviations(rows: np.ndarray, out: np.ndarray, eps: float) -> np.ndarray:
    """Write the deviations from the rows' means; returns 1 / standard deviation as a column."""
    n = rows.dtype.type(rows.shape[1])
    np.subtract(rows, sums.of_rows(rows) / n, out)
    variance = sums.of_rows(out, squares=True)
    variance /= n
    variance += rows.dtype.type(eps)
    np.sqrt(variance, variance)
    return np.reciprocal(variance, variance)


def rows(input: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, count: int, eps: float) -> np.ndarray:
    """Standardise rows of ``count`` elements, then scale and shift them."""
    def kernel(part: np.ndarray, out: np.ndarray) -> None:
        out *= _deviations(part, out, eps)
        if weight is not None:
            out *= weight.reshape(-1)
        if bias is not None:
            out += bias.reshape(-1)

    return by_rows(kernel, input.reshape(-1, count)).reshape(input.shape)


def rows_adjoint(grad: np.ndarray, input: np.ndarray, weight: np.ndarray | None, count: int, eps: float,
                 affine: bool) -> tuple:
    """The gradients of ``rows`` in input, weight and bias; the last two empty unless ``affine``."""
    dtype = input.dtype
    sides: list = []
    scale = sums.ones(count, dtype.char) if weight is None else weight.reshape(-1)
    share = scale / dtype.type(count)

    def kernel(g: np.ndarray, part: np.ndarray, out: np.ndarray, deviation: np.ndarray) -> tuple:
        rstd = _deviations(part, deviation, eps)
        np.multiply(g, deviation, out)
        side = (rstd[:, 0].dot(out), sums.ones(len(g), dtype.char).dot(g)) if affine else ()
        deviation *= out.dot(share)[:, None] * rstd * rstd
        deviation += g.dot(share)[:, None]
        np.multiply(g, scale, out)
        out -= deviation
        out *= rstd
        return side

    dx = by_rows(kernel, grad.reshape(-1, count), input.reshape(-1, count), rooms=1, results=sides)
    dx = dx.reshape(input.shape)
    if not affine:
        return dx, np.empty(0, dtype), np.empty(0, dtype)
    return dx, *[np.add.reduce(np.stack(parts), axis=0) for parts in zip(*sides, strict=True)]


def channels_adjoint(grad: np.ndarray, input: np.ndarray, weight: np.ndarray | None, eps: float) -> tuple:
    """The gradients of standardising, scaling and shifting each channel of (N, C, *): in input, weight and bias."""
    n, channels = input.shape[:2]
    x, g = input.reshape(n, channels, -1), grad.reshape(n, channels, -1)
    dtype = x.dtype
    count = dtype.type(n * x.shape[2])
    mean = sums.over(x, (0, 2))[:, None] / count
    step = max(1, min(n, 4 * BLOCK // max(1, channels * x.shape[2])))
    blocks = [slice(i, i + step) for i in range(0, n, step)]
    deviations, room = np.empty((2, step, *x.shape[1:]), dtype)
    sides = np.zeros((3, channels))                     # double precision: there may be many samples
    variance, along, total = sides
    with buffers_of_rows(x.shape[2]):
        for images in blocks:
            own = g[images]
            deviation = np.subtract(x[images], mean, deviations[: len(own)])
            variance += _by_channel(deviation, squares=True)
            along += _by_channel(np.multiply(own, deviation, room[: len(own)]))
            total += _by_channel(own)
    rstd = 1 / np.sqrt(variance / count + eps)
    along *= rstd                                       # the gradient in the weight
    rstd, along, total = (v.astype(dtype)[:, None] for v in (rstd, along, total))
    slope, shift = along * rstd / count, total / count
    scale = rstd if weight is None else rstd * weight.reshape(-1, 1)
    out = np.empty(x.shape, dtype)
    with buffers_of_rows(x.shape[2]):
        for images in blocks:
            result = out[images]
            deviation = np.subtract(x[images], mean, deviations[: len(result)])
            deviation *= slope
            deviation += shift
            np.subtract(g[images], deviation, result)
            result *= scale
    return out.reshape(input.shape), along.reshape(-1), total.reshape(-1)


def _by_channel(part: np.ndarray, squares: bool = False) -> np.ndarray:
    """The sums of the (N, C, *) numbers (or of their squares) in each channel."""
    return sums.of_rows(part.reshape(-1, part.shape[2]), squares).reshape(part.shape[:2]).sum(0, dtype=np.float64)
