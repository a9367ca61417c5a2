"""Resampling of images: every output pixel is a weighted sum of a few input pixels along each dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import op


def _column(weights: np.ndarray, k: int, dim: int, ndim: int) -> np.ndarray:
    """One tap's weights, shaped to broadcast along ``dim``."""
    return weights[:, k].reshape([-1 if d == dim else 1 for d in range(ndim)])


def _gather(x: np.ndarray, dim: int, taps: np.ndarray, weights: Any) -> np.ndarray:
    if weights is None:
        return np.take(x, taps[:, 0], axis=dim)
    weights = weights.astype(x.dtype)
    total = np.take(x, taps[:, 0], axis=dim)
    total *= _column(weights, 0, dim, x.ndim)
    for k in range(1, taps.shape[1]):
        part = np.take(x, taps[:, k], axis=dim)
        part *= _column(weights, k, dim, x.ndim)
        total += part
    return total


def _along(dim: int, ndim: int, piece: slice) -> tuple:
    return tuple(piece if d == dim else slice(None) for d in range(ndim))


def _run_sums(x: np.ndarray, starts: np.ndarray, dim: int) -> np.ndarray:
    """Sums of the runs along ``dim`` that begin at ``starts``."""
    n, runs = x.shape[dim], len(starts)
    lengths = np.diff(starts)
    length = int(lengths[1]) if runs > 3 else 0
    if not length or (lengths[1:] != length).any():
        return np.add.reduceat(x, starts, axis=dim)
    # All runs but the first and the last are alike: strided slices add up ten times faster than a general reduction.
    shape = list(x.shape)
    shape[dim] = runs
    out = np.empty(shape, x.dtype)
    middle = out[_along(dim, x.ndim, slice(1, -1))]
    first, last = int(starts[1]), int(starts[-1])
    for piece, run in ((slice(0, first), slice(0, 1)), (slice(last, n), slice(-1, None))):
        part = x[_along(dim, x.ndim, piece)]
        np.add.reduce(part, axis=dim, keepdims=True, out=out[_along(dim, x.ndim, run)])
    middle[...] = x[_along(dim, x.ndim, slice(first, last, length))]
    for offset in range(1, length):
        middle += x[_along(dim, x.ndim, slice(first + offset, last, length))]
    return out


def _spread(g: np.ndarray, dim: int, taps: np.ndarray, weights: Any, size: int) -> np.ndarray:
    """The adjoint of ``_gather``. Each tap's indices never decrease, so runs of equal ones can be summed at once."""
    shape = list(g.shape)
    shape[dim] = size
    out = np.zeros(shape, g.dtype)
    place: list = [slice(None)] * g.ndim
    for k in range(taps.shape[1]):
        index = taps[:, k]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(index)) + 1])
        part = g if weights is None else g * _column(weights.astype(g.dtype), k, dim, g.ndim)
        chosen = index[starts]
        if chosen[-1] - chosen[0] == len(chosen) - 1:
            place[dim] = slice(int(chosen[0]), int(chosen[-1]) + 1)
        else:
            place[dim] = chosen
        out[tuple(place)] += _run_sums(part, starts, dim)
    return out


@op(
    name="resample",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    node="UpsampleBackward0",
    follows=("input",),
    vjp=(lambda g, input_shape, plan: resample_adjoint(g, tuple(input_shape), plan),),  # type: ignore[has-type]
)
def resample(input, plan):
    """Resample along dimensions; ``plan`` has (dim, taps (out, k), weights (out, k) or None) for each of them."""
    for dim, taps, weights in plan:
        input = _gather(input, dim, taps, weights)
    return input


@op(
    name="resample_adjoint",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    follows=("input",),
    vjp=(lambda g, plan: resample(g, plan),),
)
def resample_adjoint(input, shape, plan):
    """The adjoint of ``resample`` for inputs of ``shape``."""
    for dim, taps, weights in reversed(plan):
        input = _spread(input, dim, taps, weights, shape[dim])
    return input


def fixed_point(taps: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, int]:
    """Weights of uint8 images as integers, with as many bits after the point (the second result) as 16 allow."""
    weights = weights.copy()
    for k in range(1, taps.shape[1]):  # taps that fall on one border pixel are rounded together
        twice = taps[:, k] == taps[:, k - 1]
        weights[twice, k] += weights[twice, k - 1]
        weights[twice, k - 1] = 0
    bits = 0
    while bits < 22 and int(0.5 + weights.max() * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    scaled = weights * (1 << bits)
    return np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64), bits


@op(name="resample_bytes", tensors=("input",), namespace="_nn", method=False, out=False, follows=("input",))
def resample_bytes(input, plan):
    """``resample`` of uint8 images with weights in fixed point, rounded after each dimension, last one first."""
    for dim, taps, weights in reversed(plan):
        scaled, bits = fixed_point(taps, weights)
        total = _gather(input.astype(np.int64), dim, taps, scaled) + (1 << (bits - 1))
        input = np.clip(total >> bits, 0, 255).astype(np.uint8)
    return input


# ---------------------------------------------------------------- which pixels, with which weights


def _ratio(n: int, out: int, align_corners: bool, scale: float | None, kind: Any) -> Any:
    """Input pixels per output pixel, in the precision that the kernel of that dtype uses."""
    if align_corners:
        return kind(n - 1) / kind(out - 1) if out > 1 else kind(0)
    return kind(1.0 / scale) if scale is not None and scale > 0 else kind(n) / kind(out)


def _nearest(n: int, out: int, scale: float | None, kind: Any, exact: bool) -> tuple:
    ratio = _ratio(n, out, False, scale, kind)
    place = np.arange(out, dtype=kind)
    if exact:
        place = np.maximum(ratio * (place + kind(0.5)) - kind(0.5), 0) + kind(0.5)
    else:
        place = ratio * place
    taps = np.minimum(np.floor(place.astype(np.float32)).astype(np.int64), n - 1)
    return taps[:, None], None


def _centers(n: int, out: int, align_corners: bool, scale: float | None, kind: Any) -> np.ndarray:
    """The place of every output pixel between the input pixels."""
    ratio = _ratio(n, out, align_corners, scale, kind)
    place = np.arange(out, dtype=kind)
    return ratio * place if align_corners else ratio * (place + kind(0.5)) - kind(0.5)


def _linear(n: int, out: int, align_corners: bool, scale: float | None, kind: Any) -> tuple:
    place = np.maximum(_centers(n, out, align_corners, scale, kind), 0)
    low = np.minimum(place.astype(np.int64), n - 1)
    part = np.clip(place - low.astype(kind), 0, 1)
    return np.stack([low, np.minimum(low + 1, n - 1)], 1), np.stack([1 - part, part], 1)


def _cubic_near(x: Any, a: float) -> Any:
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _cubic_far(x: Any, a: float) -> Any:
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def _cubic(n: int, out: int, align_corners: bool, scale: float | None, kind: Any) -> tuple:
    place = _centers(n, out, align_corners, scale, kind)
    low = np.floor(place).astype(np.int64)
    t = np.clip(place - low.astype(kind), 0, 1)
    a = -0.75
    weights = [_cubic_far(t + 1, a), _cubic_near(t, a), _cubic_near(1 - t, a), _cubic_far(2 - t, a)]
    taps = np.clip(low[:, None] + np.arange(-1, 3), 0, n - 1)
    return taps, np.stack(weights, 1).astype(kind)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _catmull_rom(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, _cubic_near(x, -0.5), np.where(x < 2, _cubic_far(x, -0.5), 0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


FILTERS = {"bilinear": (_triangle, 1), "bicubic": (_catmull_rom, 2), "lanczos": (_lanczos, 3)}


def _filtered(mode: str, n: int, out: int, align_corners: bool, scale: float | None, kind: Any) -> tuple:
    """Taps of a filter that widens when shrinking, so that no input pixel is passed over."""
    function, reach = FILTERS[mode]
    ratio = _ratio(n, out, align_corners, scale, kind)
    support = kind(reach) * max(ratio, kind(1))
    center = ratio * (np.arange(out, dtype=kind) + kind(0.5))
    first = np.maximum((center - support + kind(0.5)).astype(np.int64), 0)
    last = np.minimum((center + support + kind(0.5)).astype(np.int64), n)
    taps = first[:, None] + np.arange(int((last - first).max()))
    weights = function((taps - center[:, None] + kind(0.5)) / max(ratio, kind(1))) * (taps < last[:, None])
    weights = weights / weights.sum(1, keepdims=True)
    return np.minimum(taps, n - 1), weights.astype(kind)


def make_plan(
    mode: str, shape: tuple, size: tuple, align_corners: bool, scales: Any, antialias: bool, double: bool
) -> tuple:
    """What ``resample`` needs for (N, C, ...) inputs of ``shape`` and outputs of spatial ``size``."""
    kind = np.float64 if double else np.float32
    plan = []
    for d, out in enumerate(size):
        n, scale = shape[d + 2], None if scales is None else scales[d]
        if mode.startswith("nearest"):
            taps, weights = _nearest(n, out, scale, kind, mode == "nearest-exact")
        elif antialias:
            taps, weights = _filtered(mode, n, out, align_corners, scale, kind)
        elif mode == "bicubic":
            taps, weights = _cubic(n, out, align_corners, scale, kind)
        else:
            taps, weights = _linear(n, out, align_corners, scale, kind)
        if out != n or weights is not None or not np.array_equal(taps[:, 0], np.arange(n)):
            plan.append((d + 2, taps, weights))
    return tuple(plan)
