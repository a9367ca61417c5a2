"""Pooling over windows and resampling on the device. Each output, or each input of an adjoint, walks its own window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, to_device
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops.cuda.base import INT64, dense, kernel, zeros
from flowtorch.ops.cuda.indexing import _rows
from flowtorch.ops.cuda.places import accumulate, read
from flowtorch.ops.interpolate import fixed_point
from flowtorch.ops.pooling import pooled_size


def _steps(name: str, array: Any) -> dict[str, int]:
    return {f"{name}_{d}": step for d, step in enumerate(element_strides(array))}


def _numbers(**groups: Sequence[int]) -> dict[str, int]:
    return {f"{name}{d}": int(n) for name, values in groups.items() for d, n in enumerate(values)}


def _decode(rank: int, count: str = "K") -> list[str]:
    """Statements of a loop over all positions t0, t1, ... of a window of K0 x K1 x ... positions."""
    lines = [f"for t in range({' * '.join(f'{count}{d}' for d in range(rank))}):", "    rest = t"]
    for d in range(rank - 1, -1, -1):
        lines += [f"    t{d} = rest % {count}{d}", f"    rest = rest // {count}{d}"]
    return lines


def _at(rank: int, name: str = "x") -> str:
    return f"{name}_ptr + c0 * {name}_0 + c1 * {name}_1 + " + " + ".join(f"r{d} * {name}_{d + 2}" for d in range(rank))


def _inside(rank: int, bound: str) -> str:
    return "inside = m & " + " & ".join(f"(r{d} >= 0) & (r{d} < {bound}{d})" for d in range(rank))


def _flat(rank: int) -> str:
    """The flat index of the position r0, r1, ... among all positions of an image."""
    text = "r0"
    for d in range(1, rank):
        text = f"({text}) * n{d}_ + r{d}"
    return text


_BEST = (
    "    better = inside & ((k < 0) | (v > best) | ((v != v) & (best == best)))",
    "    best = tl.where(better, v, best)",
    "    k = tl.where(better, at, k)",
)


def _maxima(input: Any, out: Sequence[int], lines: list[str], numbers: dict, constants: dict, tables: dict) -> tuple:
    rank = input.ndim - 2
    values, places = empty((*input.shape[:2], *out), input.dtype), empty((*input.shape[:2], *out), INT64)
    state = compute_type(input.dtype.name)
    text = [
        f"best = tl.zeros((BLOCK,), tl.{state})",
        "k = tl.full((BLOCK,), -1, tl.int64)",
        *_decode(rank),
        *lines,
        f"    v = tl.load({_at(rank)}, mask=inside, other=0).to(tl.{state})",
        f"    at = ({_flat(rank)}).to(tl.int64)",
        *_BEST,
        "y = best",
    ]
    sizes = {f"n{d}_": n for d, n in enumerate(input.shape[2:])}
    grid_map("window_max", values.shape, text, {}, {"y": values, "k": places}, {"x": input, **tables},
             numbers | sizes | _steps("x", input), constants=constants, block=256)
    return values, places


@kernel("_max_pool")
def max_pool(input: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple:
    rank, size = input.ndim - 2, input.shape[2:]
    steps = zip(size, kernel, stride, padding, dilation, strict=True)
    out = [pooled_size(n, k, s, p, d, ceil_mode) for n, k, s, p, d in steps]
    lines = [f"    r{d} = c{d + 2} * s{d} - p{d} + t{d} * d{d}" for d in range(rank)]
    lines.append("    " + _inside(rank, "z"))
    numbers = _numbers(s=stride, p=padding, d=dilation, z=size)
    return _maxima(input, out, lines, numbers, {f"K{d}": n for d, n in enumerate(kernel)}, {})


@kernel("_window_max")
def window_max(input: Any, windows: Any) -> tuple:
    rank = input.ndim - 2
    tables, lines, constants = {}, [], {}
    for d, spans in enumerate(windows):
        tables[f"w{d}"] = to_device(np.array(spans, np.int64).reshape(-1))
        constants[f"K{d}"] = max(b - a for a, b in spans)
        lines.append(f"    r{d} = tl.load(w{d}_ptr + 2 * c{d + 2}, mask=m, other=0) + t{d}")
        lines.append(f"    e{d} = tl.load(w{d}_ptr + 2 * c{d + 2} + 1, mask=m, other=0)")
    lines.append("    " + _inside(rank, "e"))
    return _maxima(input, [len(spans) for spans in windows], lines, {}, constants, tables)


def _divisor(rank: int, include: bool, override: Any) -> list[str]:
    """Statements for the number that the window of the output position o0, o1, ... is divided by, indented once."""
    if override is not None:
        return ["    count = (r0 * 0 + divisor).to(tl.float32)"]
    lines = ["    count = tl.full((BLOCK,), 1, tl.int32)"]
    for d in range(rank):
        lines += [f"    a = o{d} * s{d} - p{d}", f"    b = tl.minimum(a + K{d}, z{d} + p{d})"]
        if not include:
            lines += ["    a = tl.maximum(a, 0)", f"    b = tl.minimum(b, z{d})"]
        lines.append("    count = count * (b - a).to(tl.int32)")
    return lines


@kernel("_avg_pool")
def avg_pool(input: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool, override: Any) -> Any:
    rank, size = input.ndim - 2, input.shape[2:]
    out = [pooled_size(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
    result = empty((*input.shape[:2], *out), input.dtype)
    state = compute_type(input.dtype.name)
    divide = "y = acc / count" if state.startswith("f") else "y = acc // count"
    lines = [
        f"acc = tl.zeros((BLOCK,), tl.{state})",
        *_decode(rank),
        *(f"    r{d} = c{d + 2} * s{d} - p{d} + t{d}" for d in range(rank)),
        "    " + _inside(rank, "z"),
        f"    acc += tl.load({_at(rank)}, mask=inside, other=0).to(tl.{state})",
        *(f"o{d} = c{d + 2}" for d in range(rank)),
        *(line[4:].replace("r0", "c0") for line in _divisor(rank, include, override)),
        f"count = count.to(tl.{state})",
        divide,
    ]
    numbers = _numbers(s=stride, p=padding, z=size) | _steps("x", input)
    if override is not None:
        numbers["divisor"] = int(override)
    constants = {f"K{d}": n for d, n in enumerate(kernel)}
    grid_map("avg_pool", result.shape, lines, {}, {"y": result}, {"x": input}, numbers, constants=constants, block=256)
    return result


@kernel("_avg_pool_backward")
def avg_pool_backward(grad: Any, size: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool,
                      override: Any) -> Any:
    rank = grad.ndim - 2
    result = empty((*grad.shape[:2], *size), grad.dtype)
    state = compute_type(grad.dtype.name)
    lines = [f"acc = tl.zeros((BLOCK,), tl.{state})", *_decode(rank)]
    whole = "    whole = m"
    for d in range(rank):
        lines.append(f"    r{d} = c{d + 2} + p{d} - t{d}")
        whole += f" & (r{d} >= 0) & (r{d} % s{d} == 0)"
    lines.append(whole)
    lines += [f"    r{d} = r{d} // s{d}" for d in range(rank)]
    lines.append("    " + _inside(rank, "u").replace("m &", "whole &"))
    lines += [f"    o{d} = r{d}" for d in range(rank)]
    lines += _divisor(rank, include, override)
    lines += [
        f"    g = tl.load({_at(rank, 'g')}, mask=inside, other=0).to(tl.{state})",
        f"    acc += tl.where(inside, scalar.divide(g, tl.where(inside, count, 1).to(tl.{state})), 0.0)",
        "y = acc",
    ]
    numbers = _numbers(s=stride, p=padding, z=size, u=grad.shape[2:]) | _steps("g", grad)
    if override is not None:
        numbers["divisor"] = int(override)
    constants = {f"K{d}": n for d, n in enumerate(kernel)}
    grid_map("avg_pool_backward", result.shape, lines, {}, {"y": result}, {"g": grad}, numbers, constants=constants,
             block=256)
    return result


# ---------------------------------------------------------------- windows that give a size

def _adaptive(source: Any, out: Sequence[int], adjoint: bool) -> Any:
    """Means over windows that give the size ``out``, or gradients spread over them."""
    rank, size = source.ndim - 2, source.shape[2:]
    result = empty((*source.shape[:2], *out), source.dtype)
    state = compute_type(source.dtype.name)
    # windows are those of `large` elements seen by `small` outputs, whichever side is computed here
    large, small = (out, size) if adjoint else (size, out)
    constants = {f"K{d}": -(-a // b) + 1 if not adjoint else -(-b // a) + 1
                 for d, (a, b) in enumerate(zip(large, small, strict=True))}  # fmt: skip
    lines = [f"acc = tl.zeros((BLOCK,), tl.{state})", "count = c0 * 0 + 1", *_decode(rank)]
    lines += ["    inside = m", "    count = c0 * 0 + 1"]
    for d in range(rank):
        if adjoint:
            lines += [
                f"    r{d} = c{d + 2} * b{d} // a{d} + t{d}",
                f"    begin = r{d} * a{d} // b{d}",
                f"    end = ((r{d} + 1) * a{d} + b{d} - 1) // b{d}",
                f"    inside = inside & (r{d} < b{d}) & (c{d + 2} >= begin) & (c{d + 2} < end)",
                "    count = count * (end - begin)",
            ]
        else:
            lines += [
                f"    begin = c{d + 2} * a{d} // b{d}",
                f"    end = ((c{d + 2} + 1) * a{d} + b{d} - 1) // b{d}",
                f"    r{d} = begin + t{d}",
                f"    inside = inside & (r{d} < end)",
                "    count = count * (end - begin)",
            ]
    lines += [
        f"    v = tl.load({_at(rank)}, mask=inside, other=0).to(tl.{state})",
        f"    acc += scalar.divide(v, tl.where(inside, count, 1).to(tl.{state}))" if adjoint else "    acc += v",
        "y = acc" if adjoint else f"y = scalar.divide(acc, count.to(tl.{state}))",
    ]
    numbers = _numbers(a=large, b=small) | _steps("x", source)
    grid_map("adaptive_pool", result.shape, lines, {}, {"y": result}, {"x": source}, numbers, constants=constants,
             block=256)
    return result


@kernel("_adaptive_avg_pool")
def adaptive_avg_pool(input: Any, size: Any) -> Any:
    return _adaptive(input, tuple(size), adjoint=False)


@kernel("_adaptive_avg_pool_backward")
def adaptive_avg_pool_backward(grad: Any, size: Any) -> Any:
    if not grad.size:
        return zeros((*grad.shape[:2], *size), grad.dtype)
    return _adaptive(grad, tuple(size), adjoint=True)


# ---------------------------------------------------------------- resampling

def _split(array: Any, dim: int) -> tuple[int, int, int, Any]:
    """(elements before, along and after ``dim``, the array in order)."""
    array = dense(array)
    before = int(np.prod(array.shape[:dim], dtype=np.int64))
    after = int(np.prod(array.shape[dim + 1 :], dtype=np.int64))
    return before, array.shape[dim], after, array


def _taps(input: Any, dim: int, taps: np.ndarray, weights: Any, dtype: np.dtype) -> Any:
    """Weighted sums of the input's elements at ``taps`` (out, k) along ``dim``."""
    before, n, after, source = _split(input, dim)
    count, width = taps.shape
    result = empty((before, count, after), dtype)
    state = compute_type(input.dtype.name)
    lines = [
        f"acc = tl.zeros((BLOCK,), tl.{state})",
        "for t in range(K):",
        "    k = tl.load(taps_ptr + c1 * K + t, mask=m, other=0)",
        f"    v = tl.load(x_ptr + (c0 * n + k) * after + c2, mask=m, other=0).to(tl.{state})",
        *([] if weights is None else [f"    v = v * tl.load(w_ptr + c1 * K + t, mask=m, other=0).to(tl.{state})"]),
        "    acc += v",
        "y = acc",
    ]
    tables = {"x": source, "taps": to_device(np.ascontiguousarray(taps, np.int64))}
    if weights is not None:
        tables["w"] = to_device(np.ascontiguousarray(weights, np.dtype(state)))
    grid_map("resample", result.shape, lines, {}, {"y": result}, tables, {"n": n, "after": after},
             constants={"K": 1 if weights is None else width})
    return result.reshape([count if d == dim else m for d, m in enumerate(input.shape)])


@kernel("resample")
def resample(input: Any, plan: Any) -> Any:
    for dim, taps, weights in plan:
        input = _taps(input, dim, taps if weights is not None else taps[:, :1], weights, input.dtype)
    return input


def _transposed(taps: np.ndarray, weights: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each input the outputs that read it and with which weights, as many for each (the rest weigh nothing)."""
    weights = np.ones(taps.shape) if weights is None else weights
    order = np.argsort(taps.reshape(-1), kind="stable")
    owner, counts = taps.reshape(-1)[order], np.bincount(taps.reshape(-1), minlength=size)
    slot = np.arange(len(order)) - (np.cumsum(counts) - counts)[owner]
    back, share = np.zeros((size, max(int(counts.max()), 1)), np.int64), np.zeros((size, max(int(counts.max()), 1)))
    back[owner, slot], share[owner, slot] = order // taps.shape[1], weights.reshape(-1)[order]
    return back, share


@kernel("resample_adjoint")
def resample_adjoint(input: Any, shape: Any, plan: Any) -> Any:
    for dim, taps, weights in reversed(plan):
        taps = taps if weights is not None else taps[:, :1]
        input = _taps(input, dim, *_transposed(taps, weights, shape[dim]), input.dtype)
    return input


@kernel("resample_bytes")
def resample_bytes(input: Any, plan: Any) -> Any:
    for dim, taps, weights in reversed(plan):
        scaled, bits = fixed_point(taps, weights)
        before, n, after, source = _split(input, dim)
        result = empty((before, len(taps), after), np.dtype(np.uint8))
        lines = [
            "acc = tl.full((BLOCK,), 0, tl.int64) + half",
            "for t in range(K):",
            "    k = tl.load(taps_ptr + c1 * K + t, mask=m, other=0)",
            "    v = tl.load(x_ptr + (c0 * n + k) * after + c2, mask=m, other=0).to(tl.int64)",
            "    acc += v * tl.load(w_ptr + c1 * K + t, mask=m, other=0)",
            "y = tl.minimum(tl.maximum(acc >> bits, 0), 255)",
        ]
        tables = {"x": source, "taps": to_device(np.ascontiguousarray(taps, np.int64)), "w": to_device(scaled)}
        grid_map("resample_bytes", result.shape, lines, {}, {"y": result}, tables,
                 {"n": n, "after": after, "half": 1 << (bits - 1), "bits": bits}, constants={"K": taps.shape[1]})
        input = result.reshape([len(taps) if d == dim else m for d, m in enumerate(input.shape)])
    return input


# ---------------------------------------------------------------- bags of rows

@kernel("segment_sum")
def segment_sum(input: Any, bag: Any, count: int) -> Any:
    result = zeros((count, input.shape[1]), input.dtype)
    if bag.size:
        accumulate(result, _rows(result, to_device(bag) if type(bag) is np.ndarray else bag, "embedding_bag()"), input)
    return result


@kernel("segment_rows")
def segment_rows(input: Any, bag: Any) -> Any:
    return read(input, _rows(input, to_device(bag) if type(bag) is np.ndarray else bag, "embedding_bag()"))
