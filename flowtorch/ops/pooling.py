"""Pooling over windows in one to three dimensions: maxima with their indices, averages, adaptive and fractional forms.

The kernels visit kernel positions, not windows: each position is one strided slice of the whole input, so a k x k
pooling is k * k passes of vector operations without gathering the windows.
"""
from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import numpy as np

from flowtorch.ops.copy import like_channels
from flowtorch.ops.families import op
from flowtorch.ops.op import composite
from flowtorch.ops.pooling_arguments import batched, geometry, per_dimension, pooled_size
from flowtorch.ops.second_order import linked
from flowtorch.tensor import Tensor

_BLOCK = 32768  # results at a time, so that the passes over them stay in the cache


def _positions(kernel: tuple, out: tuple, stride: tuple, dilation: tuple) -> Any:
    for k in product(*map(range, kernel)):
        yield k, tuple(slice(i * d, i * d + (o - 1) * s + 1, s)
                       for i, d, o, s in zip(k, dilation, out, stride, strict=True))


def _extended(
    x: np.ndarray, padding: tuple, kernel: tuple, out: tuple, stride: tuple, dilation: tuple, fill: Any
) -> np.ndarray:
    """``x`` with its padding, and as much beyond the end as the last windows of ceil mode reach."""
    need = tuple(max((o - 1) * s + d * (k - 1) + 1, n + p) for o, s, d, k, n, p in
                 zip(out, stride, dilation, kernel, x.shape[2:], padding, strict=True))
    if need == x.shape[2:] and not any(padding):
        return x
    full = np.full((*x.shape[:2], *need), fill, x.dtype)
    full[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)))] = x
    return full


def _lowest(dtype: np.dtype) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


# ---------------------------------------------------------------- maxima

@op(
    name="_max_pool",
    tensors=("input",),
    method=False,
    out=False,
    outputs=("values", "indices"),
    node="MaxPoolWithIndicesBackward0",
    rejects=("complex", "bool"),
    low="keep",
    follows=("input",),
    vjp=(lambda g, out, input: linked(_put_back(g[0], out[1], input), input),),
)
def _max_pool(input, kernel, stride, padding, dilation, ceil_mode):
    """(maxima, flat spatial indices) of the windows of (N, C, *S); the first of equals wins, nan wins over all."""
    size = input.shape[2:]
    out = tuple(pooled_size(n, *a, ceil_mode) for n, *a in zip(size, kernel, stride, padding, dilation, strict=True))
    x = _extended(input, padding, kernel, out, stride, dilation, _lowest(input.dtype))
    planes = x.reshape(-1, *x.shape[2:])
    positions, firsts, steps, base = _windows(*map(tuple, (size, kernel, out, stride, padding, dilation)))
    has_nan = input.dtype.kind not in "iu" and bool(np.isnan(x).any())
    best = np.empty((len(planes), *out), x.dtype)
    which = np.zeros(best.shape, np.min_scalar_type(len(positions)))    # the number of the position of the maximum
    step = max(1, _BLOCK // max(1, prod(out)))
    for start in range(0, len(planes), step):
        images, top, at = planes[start : start + step], best[start : start + step], which[start : start + step]
        top[...] = images[(slice(None), *positions[0])]
        for number, where in enumerate(positions[1:], 1):
            part = np.ascontiguousarray(images[(slice(None), *where)])
            better = part > top
            if has_nan:
                better |= np.isnan(part)
            if firsts[number] is not None:
                better |= firsts[number]
            np.maximum(part, top, top)
            np.maximum(at, np.multiply(better, number, dtype=at.dtype), at)     # later ones have larger numbers
    index = steps.take(which)
    index += base
    shape = (*input.shape[:2], *out)
    return best.reshape(shape), index.reshape(shape)


@lru_cache(maxsize=128)
def _windows(size: tuple, kernel: tuple, out: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    """By kernel position: the slices that it meets, the windows whose first real element it is (None: no matter), and
    its distance in flat indices from the window's start; and these starts.

    The first real element of a window counts even if it is no larger than what fills the padding.
    """
    rank = len(size)

    def along(d: int, values: Any) -> np.ndarray:
        return np.asarray(values, np.int64).reshape((-1,) + (1,) * (rank - 1 - d))

    starts = [along(d, np.arange(out[d]) * stride[d] - padding[d]) for d in range(rank)]
    scale = [prod(size[d + 1 :]) for d in range(rank)]
    base = sum(start * n for start, n in zip(starts, scale, strict=True))
    positions, firsts, steps = [], [], []
    seen: Any = np.full(out, not any(padding))
    for k, where in _positions(kernel, out, stride, dilation):
        moves = [i * d for i, d in zip(k, dilation, strict=True)]
        inside: Any = True
        for start, move, n in zip(starts, moves, size, strict=True):
            inside = inside & (start + move >= 0) & (start + move < n)
        new = inside & ~seen
        seen = seen | inside
        positions.append(where)
        firsts.append(new if new.any() else None)
        steps.append(sum(move * n for move, n in zip(moves, scale, strict=True)))
    return positions, firsts, np.array(steps, np.int64), base


def _put_back(g: Any, index: Any, input: Any) -> Any:
    """Each gradient added where its maximum came from."""
    shape, n = input.shape, 1
    for s in shape[2:]:
        n *= s
    flat = g.new_zeros((*shape[:2], n)).scatter_add(2, index.flatten(2), g.flatten(2))
    return like_channels(flat.view(shape), input)


# ---------------------------------------------------------------- averages

def _counts(n: int, kernel: int, stride: int, padding: int, out: int, include: bool) -> np.ndarray:
    """How many positions the windows along one dimension have, with or without the padding."""
    start = np.arange(out) * stride - padding
    end = np.minimum(start + kernel, n + padding)
    if not include:
        start, end = np.maximum(start, 0), np.minimum(end, n)
    return end - start


def _divisor(
    size: tuple, kernel: tuple, stride: tuple, padding: tuple, out: tuple, include: bool, override: Any
) -> Any:
    if override is not None:
        return np.asarray(override)
    total = np.ones((), np.int64)
    for n, k, s, p, o in zip(size, kernel, stride, padding, out, strict=True):
        total = np.multiply.outer(total, _counts(n, k, s, p, o, include))
    return total


@op(
    name="_avg_pool",
    tensors=("input",),
    method=False,
    out=False,
    linear=True,
    node="AvgPoolBackward0",
    rejects=("complex", "bool"),
    follows=("input",),
    vjp=(
        lambda g, input, kernel, stride, padding, ceil_mode, include, override: linked(like_channels(_avg_pool_backward(
            g, input.shape[2:], kernel, stride, padding, ceil_mode, include, override
        ), input), input),
    ),
)
def _avg_pool(input, kernel, stride, padding, ceil_mode, include, override):
    """Means of the windows of (N, C, *S)."""
    size = input.shape[2:]
    ones = (1,) * len(size)
    out = tuple(pooled_size(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    x = _extended(input, padding, kernel, out, stride, ones, 0)
    total = np.zeros((*input.shape[:2], *out), input.dtype)
    for _, where in _positions(kernel, out, stride, ones):
        total += x[(slice(None), slice(None), *where)]
    divisor = _divisor(size, kernel, stride, padding, out, include, override)
    if input.dtype.kind in "iu":
        return np.trunc(total / divisor).astype(input.dtype)
    return total / divisor.astype(input.dtype)


@op(name="_avg_pool_backward", tensors=("grad",), method=False, out=False, linear=True, node="AvgPoolBackward0",
    vjp=(lambda g, kernel, stride, padding, ceil_mode, include, override:
         _avg_pool(g, kernel, stride, padding, ceil_mode, include, override),))
def _avg_pool_backward(grad, size, kernel, stride, padding, ceil_mode, include, override):
    """The adjoint of ``_avg_pool``: every gradient spread over its window."""
    out = grad.shape[2:]
    ones = (1,) * len(size)
    g = grad / _divisor(tuple(size), kernel, stride, padding, out, include, override).astype(grad.dtype)
    need = tuple(max((o - 1) * s + k, n + p) for o, s, k, n, p in zip(out, stride, kernel, size, padding, strict=True))
    full = np.zeros((*grad.shape[:2], *need), grad.dtype)
    for _, where in _positions(kernel, out, stride, ones):
        full[(slice(None), slice(None), *where)] += g
    return np.ascontiguousarray(
        full[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(padding, size, strict=True)))]
    )


# ---------------------------------------------------------------- the public functions

def _define_max(n: int) -> tuple:
    name = f"max_pool{n}d"

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        x, unbatched = batched(name, input, n)
        label = f"{name}_with_indices" if return_indices else name
        values, indices = _max_pool(
            x, *geometry(label, x, n, kernel_size, stride, padding, dilation, ceil_mode), ceil_mode
        )
        return (values.squeeze(0), indices.squeeze(0)) if unbatched else (values, indices)

    def pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        if n == 1 and not return_indices and isinstance(input, Tensor) and not input.requires_grad:
            input = input.contiguous()                  # PyTorch's kernel of this case knows no other order
        values, indices = with_indices(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (values, indices) if return_indices else values

    def unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        return _unpool(n, input, indices, kernel_size, stride, padding, output_size)

    doc = f"The maxima of sliding windows of (N, C, {'D, H, W'[9 - 3 * n:]})"
    for f, label, text in ((with_indices, name + "_with_indices", doc + ", and where they stand."),
                           (pool, name, doc + "; with ``return_indices`` also where they stand."),
                           (unpool, f"max_unpool{n}d", "Put maxima back where they stood, zeros elsewhere.")):
        f.__name__ = f.__qualname__ = label
        f.__doc__ = text
    return composite(with_indices, namespace="nn.functional"), composite(pool, namespace="nn.functional"), composite(
        unpool, namespace="nn.functional")


def _unpool(n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Any:
    name = f"max_unpool{n}d"
    kernel = per_dimension(kernel_size, n, name, "kernel_size")
    stride = kernel if stride is None or stride == [] else per_dimension(stride, n, name, "stride")
    padding = per_dimension(padding, n, name, "padding")
    if indices.dtype.name != "int64":
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype.label}")
    if indices.shape != input.shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) "
                           "but got indices "
                           f"tensor with shape: {list(indices.shape)}")
    default = tuple(
        (s - 1) * t + k - 2 * p for s, t, k, p in zip(input.shape[-n:], stride, kernel, padding, strict=True)
    )
    if output_size is None:
        size = default
    else:
        size = tuple(output_size)[-n:]
        if len(output_size) not in (n, n + 2) and len(output_size) != n + 1:
            raise ValueError(f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a "
                             "length of "
                             f"'{len(output_size)}'")
        for d, (s, low, high) in enumerate(zip(size, [a - b for a, b in zip(default, stride, strict=True)],
                                               [a + b for a, b in zip(default, stride, strict=True)], strict=True)):
            if not low < s < high:
                raise ValueError(f"invalid output_size \"{tuple(size)}\" (dim {d} must be between {low} and {high})")
    if any(s < 0 for s in size):
        raise ValueError("max_unpooling: output_size must contain non-negative spatial dimensions, but got output_size="
                         f"{list(size)}")
    lead = tuple(input.shape[:-n])
    total = 1
    for s in size:
        total *= s
    if input.numel() and not input.is_meta and (indices.min().item() < 0 or indices.max().item() >= total):
        raise RuntimeError(f"found an invalid max index: {indices.max().item()} (output volumes are of size "
                           f"{'x'.join(map(str, size))})")
    flat = input.new_zeros((*lead, total)).scatter(len(lead), indices.flatten(len(lead)), input.flatten(len(lead)))
    return like_channels(flat.view(*lead, *size), input) if n == 2 else flat.view(*lead, *size)


def _define_avg(n: int) -> Any:
    name = f"avg_pool{n}d"

    def pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        x, unbatched = batched(name, input, n)
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        kernel, stride, padding, _ = geometry(name, x, n, kernel_size, stride, padding, 1, ceil_mode)
        x = x if n < 3 else x.contiguous()
        out = _avg_pool(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return out.squeeze(0) if unbatched else out

    if n == 1:
        def pool1(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
            return pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad)
        final: Any = pool1
    else:
        final = pool
    final.__name__ = final.__qualname__ = name
    final.__doc__ = f"The means of sliding windows of (N, C, {'D, H, W'[9 - 3 * n:]})."
    return composite(final, namespace="nn.functional", out=n > 1)


max_pool1d_with_indices, max_pool1d, max_unpool1d = _define_max(1)
max_pool2d_with_indices, max_pool2d, max_unpool2d = _define_max(2)
max_pool3d_with_indices, max_pool3d, max_unpool3d = _define_max(3)
avg_pool1d, avg_pool2d, avg_pool3d = _define_avg(1), _define_avg(2), _define_avg(3)
