"""Normalisation on the device: kernels for rows, groups and channels, other dimensions by reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, kernel_module
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import run
from flowtorch.ops.cuda.base import cast, copied, dense, folded, formula, full, kernel, zeros
from flowtorch.ops.cuda.scans import state_type, tile


def _mean(x: Any, dims: tuple, dtype: str) -> Any:
    result = triton_kernel.reduce("mean", x, tuple(dims), dtype)
    return result.reshape([1 if d in dims else n for d, n in enumerate(x.shape)])


def _moments(input: Any, dims: tuple) -> tuple[Any, Any, str]:
    """(mean, variance, dtype of both) over ``dims``, kept as size 1."""
    state = compute_type(input.dtype.name)
    mean = _mean(input, dims, state)
    return mean, folded("mean", "(x - m) * (x - m)", {"x": input, "m": mean}, dims, state, keepdim=True), state


@kernel("_standardize")
def standardize(input: Any, dims: tuple, eps: float) -> tuple:
    mean, variance, state = _moments(input, dims)
    name = input.dtype.name
    types = (("x", name), ("m", state), ("v", state))
    result = formula("(x - m) / sqrt(v + eps)", types, ("eps",), name)(input, mean, variance, float(eps))
    return result, cast(mean, name), cast(variance, name)


@kernel("_standardize_adjoint")
def standardize_adjoint(grad: Any, input: Any, dims: tuple, eps: float) -> Any:
    mean, variance, state = _moments(input, dims)
    name = input.dtype.name
    types = (("g", grad.dtype.name), ("x", name), ("m", state), ("v", state))
    arrays = {"g": grad, "x": input, "m": mean, "v": variance}
    tilt = folded("mean", "g * ((x - m) / sqrt(v + eps))", arrays, dims, state, numbers={"eps": float(eps)},
                  keepdim=True)  # fmt: skip
    share = _mean(grad, dims, state)
    types = (*types, ("s", state), ("t", state))
    text = "(g - s - ((x - m) / sqrt(v + eps)) * t) / sqrt(v + eps)"
    return formula(text, types, ("eps",), name)(grad, input, mean, variance, share, tilt, float(eps))


def _rows(input: Any, count: int) -> tuple[Any, int, dict[str, int], Any]:
    flat = dense(input).reshape(-1)
    rows = flat.size // count if count else 0
    return flat, rows, tile(rows, count, 4096), state_type(input.dtype.name)


def _eps(eps: float, array: Any) -> Any:
    return np.float64(eps) if array.dtype == np.float64 else float(eps)


def _warps(sizes: dict[str, int]) -> int:
    return min(max(4, sizes["ROWS"] * sizes["COLS"] // 512), 16)


def _normal_rows(input: Any, weight: Any, bias: Any, count: int, eps: float, rms: bool, groups: int = 0,
                 size: int = 1) -> Any:  # fmt: skip
    """Rows of ``count`` standardised; ``groups`` of them make a sample whose channels of ``size`` are then scaled."""
    flat, rows, sizes, state = _rows(input, count)
    result = empty(input.shape, input.dtype)
    if rows:
        w, b = (flat if part is None else dense(part) for part in (weight, bias))
        run(kernel_module("norms").layer_norm, (-(-rows // sizes["ROWS"]),), flat, w, b, result, rows, count, groups,
            size, _eps(eps, flat), STATE=state, WEIGHT=weight is not None, BIAS=bias is not None, RMS=rms,
            CHANNELS=groups > 0, warps=_warps(sizes), **sizes)
    return result


def _rows_adjoint(grad: Any, input: Any, weight: Any, count: int, eps: float, rms: bool, groups: int = 0,
                  size: int = 1) -> tuple:  # fmt: skip
    """(gradient in the rows, their means, their reciprocal deviations)."""
    flat, rows, sizes, state = _rows(input, count)
    wide = np.dtype(compute_type(input.dtype.name))
    result, mean, scale = empty(input.shape, input.dtype), empty((rows,), wide), empty((rows,), wide)
    if rows:
        w = flat if weight is None else dense(weight)
        run(kernel_module("norms").layer_norm_adjoint, (-(-rows // sizes["ROWS"]),), dense(grad).reshape(-1), flat, w,
            result, mean, scale, rows, count, groups, size, _eps(eps, flat), STATE=state, WEIGHT=weight is not None,
            RMS=rms, CHANNELS=groups > 0, warps=_warps(sizes), **sizes)
    return result, mean, scale


@kernel("_layer_norm")
def layer_norm(input: Any, weight: Any = None, bias: Any = None, count: int = 1, eps: float = 1e-5) -> Any:
    return _normal_rows(input, weight, bias, count, eps, rms=False)


@kernel("_rms_norm")
def rms_norm(input: Any, weight: Any = None, count: int = 1, eps: float = 1e-6) -> Any:
    return _normal_rows(input, weight, None, count, eps, rms=True)


@kernel("_group_norm")
def group_norm(input: Any, weight: Any = None, bias: Any = None, groups: int = 1, eps: float = 1e-5) -> Any:
    size = math.prod(input.shape[2:])
    return _normal_rows(input, weight, bias, input.shape[1] // groups * size, eps, False, groups, size)


@kernel("_layer_norm_adjoint")
def layer_norm_adjoint(grad: Any, input: Any, weight: Any = None, count: int = 1, eps: float = 1e-5,
                       affine: bool = True) -> tuple:
    result, mean, scale = _rows_adjoint(grad, input, weight, count, eps, rms=False)
    if not affine:
        nothing = empty((0,), grad.dtype)
        return result, nothing, nothing
    return result, *_column_sums(grad, input, mean, scale, count)


@kernel("_rms_norm_adjoint")
def rms_norm_adjoint(grad: Any, input: Any, weight: Any = None, count: int = 1, eps: float = 1e-6,
                     affine: bool = True) -> tuple:
    result, mean, scale = _rows_adjoint(grad, input, weight, count, eps, rms=True)
    return result, _column_sums(grad, input, mean, scale, count)[0] if affine else empty((0,), grad.dtype)


def _column_sums(grad: Any, input: Any, mean: Any, scale: Any, count: int) -> list:
    """The gradients in weight and bias of rows: sums over all of them, by chunks."""
    rows, wide = len(mean), mean.dtype
    programs = max(1, min(64, rows // 32))
    dw, db = (empty((programs, count), wide) for _ in range(2))
    sizes = tile(32, min(count, 128), 4096)
    run(kernel_module("norms").layer_norm_weights, (-(-count // sizes["COLS"]), programs), dense(grad).reshape(-1),
        dense(input).reshape(-1), mean, scale, dw, db, rows, count, -(-rows // programs),
        STATE=state_type(input.dtype.name), **sizes)  # fmt: skip
    return [triton_kernel.reduce("sum", part, (0,), grad.dtype.name) for part in (dw, db)]


@kernel("_group_norm_adjoint")
def group_norm_adjoint(grad: Any, input: Any, weight: Any = None, groups: int = 1, eps: float = 1e-5,
                       affine: bool = True) -> tuple:
    samples, channels = input.shape[:2]
    size = math.prod(input.shape[2:])
    count = channels // groups * size
    result, mean, scale = _rows_adjoint(grad, input, weight, count, eps, False, groups, size)
    name = grad.dtype.name
    if not affine:
        return result, empty((0,), grad.dtype), empty((0,), grad.dtype)
    split = (samples, groups, channels // groups, size)
    g, x = (dense(part).reshape(split) for part in (grad, input))
    m, r = (part.reshape(samples, groups, 1, 1) for part in (mean, scale))
    dw = folded("sum", "g * ((x - m) * r)", {"g": g, "x": x, "m": m, "r": r}, (0, 3), name)
    return result, dw.reshape(channels), triton_kernel.reduce("sum", g, (0, 3), name).reshape(channels)


# ---------------------------------------------------------------- channels over the batch

_PROGRAMS = 512
"""As many as fill a device several times."""


def _chunks(programs: int, total: int) -> int:
    """How many programs share the ``total`` elements of a channel, where one for each are ``programs``."""
    return max(1, min(_PROGRAMS // programs, total // 4096, 256))


def _channel_moments(x: Any) -> tuple[Any, Any]:
    """The mean and the variance of each channel of (N, C, S)."""
    import triton

    samples, channels, spatial = x.shape
    x_n, x_c, x_s = element_strides(x)
    total, wide = samples * spatial, np.dtype(compute_type(x.dtype.name))
    mean, var = empty((channels,), wide), empty((channels,), wide)
    if not channels:
        return mean, var
    rows = min(64, triton.next_power_of_2(channels)) if x_c == 1 and channels > 1 else 1
    sizes = {"ROWS": rows, "COLS": tile(1, total, 2048 // rows)["COLS"]}
    programs = -(-channels // rows)
    chunks = _chunks(programs, total)
    chunk = -(-total // (chunks * sizes["COLS"])) * sizes["COLS"]
    chunks = max(1, -(-total // chunk)) if chunk else 1
    module, state = kernel_module("norms"), state_type(x.dtype.name)
    parts = (mean, var) if chunks == 1 else tuple(empty((chunks, channels), wide) for _ in range(2))
    run(module.channel_moments, (programs, chunks), x, *parts, channels, total, spatial, chunk, x_n, x_c, x_s,
        STATE=state, FINAL=chunks == 1, warps=_warps(sizes), **sizes)  # fmt: skip
    if chunks > 1:
        sizes = {"ROWS": triton.next_power_of_2(chunks), "COLS": 16}
        run(module.joined_moments, (-(-channels // 16),), *parts, mean, var, channels, total, chunk, chunks,
            STATE=state, **sizes)  # fmt: skip
    return mean, var


def _three(input: Any) -> Any:
    """(N, C, *) as (N, C, S), with channels where they are if that needs no copy."""
    if input.flags.c_contiguous or input.ndim < 4:
        return dense(input).reshape(*input.shape[:2], -1) if input.ndim != 3 else input
    last = input.transpose(0, *range(2, input.ndim), 1)
    if not last.flags.c_contiguous:
        return dense(input).reshape(*input.shape[:2], -1)
    return last.reshape(len(input), -1, input.shape[1]).transpose(0, 2, 1)


def _by_channel(part: Any, ndim: int) -> Any:
    return part.reshape(-1, *(1,) * (ndim - 2))


@kernel("_batch_norm")
def batch_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> tuple:
    if not input.size:
        mean, var = (full((input.shape[1],), input.dtype, math.nan) for _ in range(2))
        return copied(input), mean, var
    mean, var = _channel_moments(_three(input))
    text, arrays = "(x - m) / sqrt(v + eps)", {"x": input, "m": mean, "v": var}
    for name, part, sign in (("w", weight, "*"), ("b", bias, "+")):
        if part is not None:
            text, arrays[name] = f"{text} {sign} {name}", part
    result = _formula(text, arrays, input.dtype.name, eps)
    return result, mean, var


def _formula(text: str, arrays: dict[str, Any], name: str, eps: float) -> Any:
    """``text`` of a tensor (N, C, *) or several and vectors of C."""
    ndim = arrays["x"].ndim
    given = [part if part.ndim == ndim and ndim > 1 else _by_channel(part, ndim) for part in arrays.values()]
    types = tuple((key, part.dtype.name) for key, part in zip(arrays, given, strict=True))
    return formula(text, types, ("eps",), name)(*given, float(eps))


@kernel("_batch_norm_adjoint")
def batch_norm_adjoint(grad: Any, input: Any, weight: Any = None, eps: float = 1e-5) -> tuple:
    name, state, ndim = grad.dtype.name, compute_type(grad.dtype.name), input.ndim
    dims = (0, *range(2, ndim))
    if not input.size:
        return copied(grad), *(zeros((input.shape[1],), grad.dtype) for _ in range(2))
    mean, var = _channel_moments(_three(input))
    arrays = {"g": grad, "x": input, "m": _by_channel(mean, ndim), "v": _by_channel(var, ndim)}
    text = "g * ((x - m) / sqrt(v + eps))"
    dw = folded("sum", text, arrays, dims, state, numbers={"eps": float(eps)})
    db = triton_kernel.reduce("sum", grad, dims, state)
    count = max(input.size // max(input.shape[1], 1), 1)
    more = {"s": db, "t": dw} | ({} if weight is None else {"w": weight})
    text = f"(g - s * {1 / count!r} - (x - m) / sqrt(v + eps) * (t * {1 / count!r})) / sqrt(v + eps)"
    dx = _formula(f"{text} * w" if weight is not None else text, arrays | more, name, eps)
    return dx, cast(dw, grad.dtype), cast(db, grad.dtype)
