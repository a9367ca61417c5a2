"""Pooling to a given output size: adaptive averages and maxima, fractional maxima."""
from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from flowtorch.array.sums import of_rows
from flowtorch.ops.copy import like_channels
from flowtorch.ops.families import op
from flowtorch.ops.op import composite
from flowtorch.ops.pooling import _put_back
from flowtorch.ops.pooling_arguments import adapted, batched, per_dimension
from flowtorch.ops.second_order import linked


def _bins(n: int, out: int) -> list[tuple[int, int]]:
    """Start and end of the ``out`` windows that cover ``n`` elements."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def _averaging(n: int, out: int, dtype: np.dtype) -> np.ndarray:
    matrix = np.zeros((out, n), dtype)
    for i, (a, b) in enumerate(_bins(n, out)):
        matrix[i, a:b] = 1 / (b - a)
    return matrix


def _means(x: np.ndarray, out: int) -> np.ndarray:
    """The means over ``out`` windows of the last dimension."""
    n = x.shape[-1]
    means = np.matmul(x, _averaging(n, out, x.dtype).T)
    if np.isfinite(means).all():
        return means
    return np.stack([x[..., a:b].sum(-1) / (b - a) for a, b in _bins(n, out)], -1)    # each keeps its nan to itself


def _shares(g: np.ndarray, n: int) -> np.ndarray:
    """The adjoint of ``_means`` of ``n`` elements."""
    shares = np.matmul(g, _averaging(n, g.shape[-1], g.dtype))
    if not np.isfinite(shares).all():
        shares = np.zeros((*g.shape[:-1], n), g.dtype)
        for i, (a, b) in enumerate(_bins(n, g.shape[-1])):
            shares[..., a:b] += g[..., i : i + 1] / (b - a)
    return shares


@op(
    name="_adaptive_avg_pool",
    tensors=("input",),
    method=False,
    out=False,
    linear=True,
    node="AdaptiveAvgPoolBackward0",
    rejects=("complex", "bool", "integer"),
    follows=("input",),
    vjp=(lambda g, input, size: _spread(g, input, size),),
)
def _adaptive_avg_pool(input, size):
    """Means of (N, C, *S) over windows that give ``size``: one averaging matrix per dimension."""
    if 0 in input.shape[2:]:
        if all(n == 1 for n in size):
            return np.full((*input.shape[:2], *size), np.nan, input.dtype)     # the mean of nothing
        name = "adaptive_avg_pool3d" if len(size) == 3 else "adaptive_avg_pool2d"
        raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has "
                           f"sizes {list(input.shape)} with dimension {input.shape.index(0, 2)} being empty")
    if all(n == 1 for n in size) and input.dtype.char in "fd" and input.flags.c_contiguous:
        count = math.prod(input.shape[2:])                                # one window: a sum is less than a product
        return (of_rows(input.reshape(-1, count)) / input.dtype.type(count)).reshape(*input.shape[:2], *size)
    out = input
    for d, n in enumerate(size):
        out = np.moveaxis(_means(np.moveaxis(out, 2 + d, -1), n), -1, 2 + d)
    return np.ascontiguousarray(out)


def _spread(g: Any, input: Any, size: tuple) -> Any:
    grad = _adaptive_avg_pool_backward(g, tuple(input.shape)[2:])
    grad = like_channels(grad, input)
    return linked(grad, input) if any(n != 1 for n in size) else grad       # one window: PyTorch takes the mean


@op(
    name="_adaptive_avg_pool_backward",
    tensors=("grad",),
    method=False,
    out=False,
    linear=True,
    node="AdaptiveAvgPoolBackward0",
    vjp=(lambda g, grad_shape: _adaptive_avg_pool(g, tuple(grad_shape)[2:]),),
)
def _adaptive_avg_pool_backward(grad, size):
    """The adjoint of ``_adaptive_avg_pool``."""
    if all(n == 1 for n in grad.shape[2:]) and size:
        return np.full((*grad.shape[:2], *size), grad / grad.dtype.type(math.prod(size)))
    out = grad
    for d, n in enumerate(size):
        out = np.moveaxis(_shares(np.moveaxis(out, 2 + d, -1), n), -1, 2 + d)
    return np.ascontiguousarray(out)


@op(
    name="_window_max",
    tensors=("input",),
    method=False,
    out=False,
    outputs=("values", "indices"),
    low="keep",
    rejects=("complex", "bool"),
    node="AdaptiveMaxPoolBackward0",
    follows=("input",),
    vjp=(lambda g, out, input: linked(_put_back(g[0], out[1], input), input),),
)
def _window_max(input, windows):
    """(maxima, flat indices) of (N, C, *S) over a grid of windows, given per dimension as (start, end) pairs."""
    n, c, *size = input.shape
    shape = (n, c, *(len(w) for w in windows))
    values, indices = np.empty(shape, input.dtype), np.empty(shape, np.int64)
    strides = [int(np.prod(size[d + 1:])) for d in range(len(size))]
    for at in product(*(range(len(w)) for w in windows)):
        spans = [w[i] for w, i in zip(windows, at, strict=True)]
        part = input[(slice(None), slice(None), *(slice(a, b) for a, b in spans))]
        part = part.reshape(n, c, math.prod(b - a for a, b in spans))
        best = part.argmax(-1)
        if (odd := part != part).any():                     # PyTorch takes the last nan of a window
            best = np.where(odd.any(-1), part.shape[-1] - 1 - odd[..., ::-1].argmax(-1), best)
        values[(slice(None), slice(None), *at)] = np.take_along_axis(part, best[..., None], -1)[..., 0]
        inner = np.unravel_index(best, tuple(b - a for a, b in spans))
        indices[(slice(None), slice(None), *at)] = sum(
            (i + a) * s for i, (a, _), s in zip(inner, spans, strides, strict=True)
        )
    return values, indices


def _define(n: int) -> tuple:
    avg_name, max_name = f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d"

    def avg(input, output_size):
        size = adapted(avg_name, input, output_size, n)
        x, unbatched = batched(avg_name, input, n)
        out = _adaptive_avg_pool(x if n < 3 else x.contiguous(), size)
        return out.squeeze(0) if unbatched else out

    def with_indices(input, output_size, return_indices=False):
        size = adapted(max_name, input, output_size, n)
        x, unbatched = batched(max_name, input, n)
        windows = tuple(tuple(_bins(s, o)) for s, o in zip(x.shape[2:], size, strict=True))
        values, indices = _window_max(x if n < 3 else x.contiguous(), windows)
        return (values.squeeze(0), indices.squeeze(0)) if unbatched else (values, indices)

    def maximum(input, output_size, return_indices=False):
        values, indices = with_indices(input, output_size)
        return (values, indices) if return_indices else values

    for f, label, doc in ((avg, avg_name, "Means over windows that give ``output_size``."),
                          (with_indices, max_name + "_with_indices", "Maxima over windows that give ``output_size``, "
                                                                     "and their "
                           "flat indices."),
                          (maximum, max_name, "Maxima over windows that give ``output_size``.")):
        f.__name__ = f.__qualname__ = label
        f.__doc__ = doc
    return tuple(composite(f, namespace="nn.functional") for f in (avg, with_indices, maximum))


adaptive_avg_pool1d, adaptive_max_pool1d_with_indices, adaptive_max_pool1d = _define(1)
adaptive_avg_pool2d, adaptive_max_pool2d_with_indices, adaptive_max_pool2d = _define(2)
adaptive_avg_pool3d, adaptive_max_pool3d_with_indices, adaptive_max_pool3d = _define(3)


def _fractional_starts(sample: float, n: int, out: int, kernel: int) -> list[tuple[int, int]]:
    """Pseudo-random window starts (Graham, "Fractional max-pooling", 2014) for one dimension."""
    if out == 1:
        return [(n - kernel, n)]
    alpha = (n - kernel) / (out - 1)
    starts = [int((i + sample) * alpha) - int(sample * alpha) for i in range(out - 1)]
    starts.append(n - kernel)
    return [(s, s + kernel) for s in starts]


def _define_fractional(n: int) -> tuple:
    name = f"fractional_max_pool{n}d"

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        kernel = per_dimension(kernel_size, n, name, "kernel_size")
        if output_size is None:
            ratio = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
            if len(ratio) != n:
                raise ValueError(f"{name} requires output_ratio to either be a single float or tuple of floats.")
            output_size = tuple(int(s * r) for s, r in zip(input.shape[-n:], ratio, strict=True))
        size = per_dimension(output_size, n, name, "output_size")
        x, unbatched = batched(name, input, n)
        for s, k, o in zip(x.shape[2:], kernel, size, strict=True):
            if k < 1:
                raise RuntimeError(f"{name}(): the kernel size must be greater than zero, got {list(kernel)}")
            if o + k - 1 > s:
                raise RuntimeError(f"{name}(): pool size ({k}) too large relative to input size ({s})")
        if _random_samples is None:
            import flowtorch

            _random_samples = flowtorch.rand((x.shape[0], x.shape[1], n), dtype=x.dtype)
        return _fractional(x, _random_samples, kernel, size, unbatched)

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        values, indices = with_indices(input, kernel_size, output_size, output_ratio, False, _random_samples)
        return (values, indices) if return_indices else values

    for f, label in ((with_indices, name + "_with_indices"), (pool, name)):
        f.__name__ = f.__qualname__ = label
        f.__doc__ = "Maxima over pseudo-random windows that give ``output_size`` (Graham, 2014)."
    return tuple(composite(f, namespace="nn.functional") for f in (with_indices, pool))


def _fractional(x: Any, samples: Any, kernel: tuple, size: tuple, unbatched: bool) -> tuple:
    """Each image and channel has windows of its own."""
    import flowtorch

    x, rows = x.contiguous(), []
    drawn = samples.tolist() if not samples.is_meta else np.zeros(tuple(samples.shape)).tolist()
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            # The samples' last dimension runs from the innermost spatial dimension outwards.
            windows = tuple(
                tuple(_fractional_starts(u, s, o, k))
                for u, s, o, k in zip(
                    reversed(drawn[i][c]) if len(kernel) == 2 else drawn[i][c], x.shape[2:], size, kernel, strict=True
                )
            )
            rows.append(_window_max(x[i:i + 1, c:c + 1], windows))
    shape = (*x.shape[:2], *size)
    values = flowtorch.cat([r[0] for r in rows]).view(shape) if rows else x.new_zeros(shape)
    indices = flowtorch.cat([r[1] for r in rows]).view(shape) if rows else x.new_zeros(shape).long()
    return (values.squeeze(0), indices.squeeze(0)) if unbatched else (values, indices)


fractional_max_pool2d_with_indices, fractional_max_pool2d = _define_fractional(2)
fractional_max_pool3d_with_indices, fractional_max_pool3d = _define_fractional(3)
