"""Convolution and its two adjoints on the device, and the columns of windows (im2col)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.cuda import element_strides, empty, kernel_module, strided
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import grid_map, run
from flowtorch.ops import fold
from flowtorch.ops.conv import output_size
from flowtorch.ops.cuda.base import bilinear, combined, copy_into, kernel, linear, zeros
from flowtorch.ops.cuda.scans import state_type


def _deep(array: Any) -> Any:
    """The array with three spatial dimensions."""
    missing = 5 - array.ndim
    return array.reshape((*array.shape[:2], *(1,) * missing, *array.shape[2:]))


def _three(values: Any, fill: int) -> tuple[int, ...]:
    return (*(fill,) * (3 - len(values)), *map(int, values))


def _check(array: Any) -> None:
    if array.dtype.kind in "biu":
        label = dtypes.from_numpy_dtype(array.dtype).label
        raise NotImplementedError(f"\"convolution_cuda\" not implemented for '{label}': convert to a floating dtype")


def _output(shape: tuple, dtype: np.dtype, like: Any) -> Any:
    """New memory with channels last where ``like`` has them there."""
    if like.ndim >= 4 and not like.flags.c_contiguous:
        order = (0, *range(2, like.ndim), 1)
        if like.transpose(order).flags.c_contiguous:
            return empty([shape[d] for d in order], dtype).transpose([order.index(d) for d in range(like.ndim)])
    return empty(shape, dtype)


def _tiles(dtype: np.dtype, rows: int, cols: int, inner: int) -> dict[str, int]:
    import triton

    interpret = kernel_module("compile").INTERPRET
    most = (256, 256) if interpret else {2: (128, 128), 4: (64, 64)}.get(dtype.itemsize, (32, 32))
    row, col = (max(16, min(limit, triton.next_power_of_2(max(n, 1)))) for limit, n in zip(most, (rows, cols),
                                                                                           strict=True))
    deep = max(16, min(256 if interpret else 32, triton.next_power_of_2(max(inner, 1))))
    return {"ROWS": row, "COLS": col, "INNER": deep}


def _options(sizes: dict[str, int], kernel_size: tuple, dtype: np.dtype) -> dict[str, Any]:
    from flowtorch import backends

    names = {f"K{d}": n for d, n in enumerate(kernel_size)}
    # eight warps where a tile of results, or of the places that are gathered for it, is more than four can hold
    warps = 8 if sizes["ROWS"] * sizes["COLS"] >= 4096 or sizes["ROWS"] * sizes["INNER"] >= 2048 else 4
    # as PyTorch's, convolutions of float32 are multiplied in TensorFloat-32 unless that is turned off
    precision = "tf32" if dtype == np.float32 and backends.cudnn.allow_tf32 else "ieee"
    return {**sizes, **names, "STATE": state_type(dtype.name), "PRECISION": precision, "warps": warps}


@kernel("convolution")
def convolution(input: Any, weight: Any, bias: Any = None, stride: Any = (1,), padding: Any = (0,),
                dilation: Any = (1,), groups: int = 1, size: Any = None) -> Any:
    _check(input)
    if input.dtype.kind == "c":
        total = bilinear(lambda x, w: convolution(x, w, None, stride, padding, dilation, groups, size), input, weight)
        return total if bias is None else combined(total, bias.reshape((-1, *(1,) * (total.ndim - 2))))
    f, c, *window = weight.shape
    spatial = output_size(input.shape[2:], tuple(window), stride, padding, dilation) if size is None else tuple(size)
    result = _output((input.shape[0], f, *spatial), input.dtype, input)
    if not result.size:
        return result
    if not c * math.prod(window) or not input.size:
        _fill_bias(result, bias)
        return result
    x, w, y = _deep(input), _deep(weight), _deep(result)
    images, out, k = input.shape[0], y.shape[2:], w.shape[2:]
    if groups > 1 and c == 1:
        _depthwise(x, w, bias, y, groups, stride, padding, dilation)
        return result
    sizes = _tiles(input.dtype, images * math.prod(out), f // groups, c * math.prod(k))
    grid = (-(-images * math.prod(out) // sizes["ROWS"]), -(-(f // groups) // sizes["COLS"]), groups)
    run(kernel_module("convolution").forward, grid, x, w, w if bias is None else bias, y, images, f // groups, c,
        *x.shape[2:], *out, *_three(stride, 1), *_three(padding, 0), *_three(dilation, 1),
        *element_strides(x), *element_strides(w), *element_strides(y), BIAS=bias is not None,
        **_options(sizes, k, input.dtype))
    return result


def _fill_bias(result: Any, bias: Any) -> None:
    copy_into(result, zeros((), result.dtype) if bias is None else bias.reshape((-1, *(1,) * (result.ndim - 2))))


_TAPS = (
    "for t in range(K0 * K1 * K2):",
    "    t2 = t % K2",
    "    t1 = t // K2 % K1",
    "    t0 = t // (K1 * K2)",
)


def _depthwise(x: Any, w: Any, bias: Any, y: Any, groups: int, stride: Any, padding: Any, dilation: Any) -> None:
    """One input channel per group: sums of products without a matrix."""
    state = compute_type(x.dtype.name)
    lines = [
        "c = c1 // multiple",
        f"acc = {'tl.zeros((BLOCK,)' if bias is None else 'tl.load(b_ptr + c1, mask=m).to('}"
        f"{', ' if bias is None else ''}tl.{state})",
        *_TAPS,
        "    r0 = c2 * s0 - p0 + t0 * d0",
        "    r1 = c3 * s1 - p1 + t1 * d1",
        "    r2 = c4 * s2 - p2 + t2 * d2",
        "    inside = m & (r0 >= 0) & (r0 < i0) & (r1 >= 0) & (r1 < i1) & (r2 >= 0) & (r2 < i2)",
        "    v = tl.load(x_ptr + c0 * x_n + c * x_c + r0 * x_0 + r1 * x_1 + r2 * x_2, mask=inside, other=0)",
        "    u = tl.load(w_ptr + c1 * w_f + t0 * w_0 + t1 * w_1 + t2 * w_2, mask=m, other=0)",
        f"    acc += v.to(tl.{state}) * u.to(tl.{state})",
        "y = acc",
    ]
    numbers = _numbers(x, w, stride, padding, dilation) | {"multiple": y.shape[1] // groups}
    tables = {"x": x, "w": w} | ({} if bias is None else {"b": bias})
    constants = {f"K{d}": n for d, n in enumerate(w.shape[2:])}
    grid_map("depthwise", y.shape, lines, {}, {"y": y}, tables, numbers, constants=constants, block=256)


def _numbers(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, values in (("s", _three(stride, 1)), ("p", _three(padding, 0)), ("d", _three(dilation, 1)),
                         ("i", x.shape[2:])):  # fmt: skip
        found |= {f"{name}{d}": n for d, n in enumerate(values)}
    x_n, x_c, *x_rest = element_strides(x)
    w_f, _, *w_rest = element_strides(w)
    found |= {"x_n": x_n, "x_c": x_c, "w_f": w_f}
    return found | {f"x_{d}": n for d, n in enumerate(x_rest)} | {f"w_{d}": n for d, n in enumerate(w_rest)}


@kernel("convolution_input")
def convolution_input(grad: Any, weight: Any, size: Any, stride: Any = (1,), padding: Any = (0,),
                      dilation: Any = (1,), groups: int = 1) -> Any:
    _check(grad)
    if grad.dtype.kind == "c":
        return bilinear(lambda g, w: convolution_input(g, w, size, stride, padding, dilation, groups), grad, weight)
    images, f, *_ = grad.shape
    c = weight.shape[1]
    result = _output((images, groups * c, *size), grad.dtype, grad)
    if not grad.size or not weight.size or not result.size:
        return zeros(result.shape, grad.dtype)
    g, w, x = _deep(grad), _deep(weight), _deep(result)
    k = w.shape[2:]
    sizes = _tiles(grad.dtype, images * math.prod(x.shape[2:]), c, f // groups * math.prod(k))
    grid = (-(-images * math.prod(x.shape[2:]) // sizes["ROWS"]), -(-c // sizes["COLS"]), groups)
    run(kernel_module("convolution").input_gradient, grid, g, w, x, images, f // groups, c, *x.shape[2:], *g.shape[2:],
        *_three(stride, 1), *_three(padding, 0), *_three(dilation, 1), *element_strides(g), *element_strides(w),
        *element_strides(x), **_options(sizes, k, grad.dtype))
    return result


@kernel("convolution_weight")
def convolution_weight(grad: Any, input: Any, kernel: Any, stride: Any = (1,), padding: Any = (0,),
                       dilation: Any = (1,), groups: int = 1) -> Any:
    _check(grad)
    if grad.dtype.kind == "c":
        return bilinear(lambda g, x: convolution_weight(g, x, kernel, stride, padding, dilation, groups), grad, input)
    images, f, *_ = grad.shape
    c = input.shape[1] // groups
    shape = (f, c, *kernel)
    if not grad.size or not input.size or not math.prod(shape):
        return zeros(shape, grad.dtype)
    g, x, k = _deep(grad), _deep(input), _three(kernel, 1)
    positions, width = images * math.prod(g.shape[2:]), c * math.prod(k)
    sizes = _tiles(grad.dtype, f // groups, width, positions)
    tiles = -(-(f // groups) // sizes["ROWS"]) * -(-width // sizes["COLS"]) * groups
    splits = max(1, min(256 // tiles, positions // 2048))
    chunk = -(-positions // splits)
    wide = np.dtype(compute_type(grad.dtype.name))
    partial = empty((splits, f, *k, c), wide)
    grid = (-(-(f // groups) // sizes["ROWS"]), -(-width // sizes["COLS"]), groups * splits)
    run(kernel_module("convolution").weight_gradient, grid, g, x, partial, images, f // groups, c, chunk, splits,
        *x.shape[2:], *g.shape[2:], *_three(stride, 1), *_three(padding, 0), *_three(dilation, 1),
        *element_strides(g), *element_strides(x), **_options(sizes, k, grad.dtype))
    total = partial[0] if splits == 1 else triton_kernel.reduce("sum", partial, (0,), wide.name)
    result = empty(shape, grad.dtype)
    copy_into(_deep(result), total.transpose(0, 4, 1, 2, 3))
    return result


# ---------------------------------------------------------------- columns of windows

@kernel("im2col")
def im2col(input: Any, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> Any:
    if input.dtype.kind == "c":
        return linear(lambda part: im2col(part, kernel, dilation, padding, stride), input)
    n, c, h, w = input.shape
    out = fold.block_counts((h, w), kernel, dilation, padding, stride)
    result = empty((n, c, *kernel, *out), input.dtype)
    lines = [
        "r0 = c4 * s0 - p0 + c2 * d0",
        "r1 = c5 * s1 - p1 + c3 * d1",
        "inside = m & (r0 >= 0) & (r0 < h) & (r1 >= 0) & (r1 < w)",
        "y = tl.load(x_ptr + c0 * x_n + c1 * x_c + r0 * x_0 + r1 * x_1, mask=inside, other=0)",
    ]
    grid_map("im2col", result.shape, lines, {}, {"y": result}, {"x": input},
             _pairs(stride, padding, dilation) | _strides("x", input) | {"h": h, "w": w})
    return result.reshape(n, c * kernel[0] * kernel[1], out[0] * out[1])


def _pairs(stride: tuple, padding: tuple, dilation: tuple) -> dict[str, int]:
    named = (("s", stride), ("p", padding), ("d", dilation))
    return {f"{name}{d}": int(values[d]) for name, values in named for d in range(2)}


def _strides(name: str, array: Any) -> dict[str, int]:
    n, c, *rest = element_strides(array)
    return {f"{name}_n": n, f"{name}_c": c} | {f"{name}_{d}": step for d, step in enumerate(rest)}


@kernel("col2im")
def col2im(input: Any, size: tuple, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> Any:
    if input.dtype.kind == "c":
        return linear(lambda part: col2im(part, size, kernel, dilation, padding, stride), input)
    n = input.shape[0]
    c = input.shape[1] // (kernel[0] * kernel[1])
    out = fold.block_counts(size, kernel, dilation, padding, stride)
    result = empty((n, c, *size), input.dtype)
    row, column, step = element_strides(input)
    columns = strided(input, (n, c, *kernel, *out),
                      (row, column * kernel[0] * kernel[1], column * kernel[1], column, step * out[1], step))
    state = compute_type(input.dtype.name)
    lines = [
        f"acc = tl.zeros((BLOCK,), tl.{state})",
        "for t in range(K0 * K1):",
        "    t0 = t // K1",
        "    t1 = t % K1",
        "    r0 = c2 + p0 - t0 * d0",
        "    r1 = c3 + p1 - t1 * d1",
        "    inside = m & (r0 >= 0) & (r1 >= 0) & (r0 % s0 == 0) & (r1 % s1 == 0)",
        "    r0 = r0 // s0",
        "    r1 = r1 // s1",
        "    inside = inside & (r0 < o0) & (r1 < o1)",
        "    at = x_ptr + c0 * x_n + c1 * x_c + t0 * x_0 + t1 * x_1 + r0 * x_2 + r1 * x_3",
        f"    acc += tl.load(at, mask=inside, other=0).to(tl.{state})",
        "y = acc",
    ]
    grid_map("col2im", result.shape, lines, {}, {"y": result}, {"x": columns},
             _pairs(stride, padding, dilation) | _strides("x", columns) | {"o0": out[0], "o1": out[1]},
             constants={"K0": kernel[0], "K1": kernel[1]}, block=256)
    return result


