"""Scans, places of extrema, sorting and order statistics on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.cuda import empty, kernel_module, strided
from flowtorch.array.cuda import kernels as device_kernels
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import grid_map, run
from flowtorch.ops import sorting
from flowtorch.ops.cuda.base import (
    INT64,
    along,
    cast,
    copied,
    copy_into,
    dense,
    formula,
    from_rows,
    full,
    kernel,
    parts,
    rows_last,
    zeros,
)
from flowtorch.ops.families import normalize_dim, normalize_dims
from flowtorch.ops.reduction import _need_elements, accumulation_type


def state_type(name: str) -> Any:
    """Triton's dtype to hold values of the dtype ``name`` in while they are compared or summed."""
    import triton.language as tl

    device_kernels()
    name = {"bool": "int32", "uint8": "int32", "int8": "int32", "int16": "int32", "uint16": "int32"}.get(name, name)
    return getattr(tl, compute_type(name))


def tile(rows: int, length: int, limit: int = 2048) -> dict[str, int]:
    """Rows and columns of a tile that covers short rows whole."""
    import triton

    limit = 65536 if kernel_module("compile").INTERPRET else limit
    cols = min(limit, triton.next_power_of_2(max(length, 1)))
    return {"ROWS": max(1, min(limit // cols, triton.next_power_of_2(max(rows, 1)))), "COLS": cols}


def _grid(rows: int, sizes: dict[str, int]) -> tuple[int]:
    return (-(-rows // sizes["ROWS"]),)


# ---------------------------------------------------------------- scans

def _scan(rule: str, input: Any, dim: int, target: np.dtype) -> Any:
    if input.ndim == 0:
        normalize_dims(dim, 0)
        return cast(copied(input), target)
    d = along(dim, input.ndim)
    if not input.size:
        return empty(input.shape, target)
    if target.kind == "c":
        input = cast(input, target)
    flat, rest = rows_last(input, d)
    result = empty(flat.shape, target)
    sizes = tile(*flat.shape)
    function = kernel_module("scan").running
    if target.kind == "c":
        pair = [x.view(np.dtype(np.float32 if target.itemsize == 8 else np.float64)) for x in (flat, result)]
        sizes = tile(len(flat), flat.shape[1], 512)  # the combine function of the logarithms fills the registers
        run(kernel_module("complex_numbers").running, _grid(len(flat), sizes), *pair, *flat.shape, RULE=rule,
            warps=8, **sizes)
        return from_rows(result, rest, d)
    state = state_type("int64" if target.kind in "biu" else target.name)
    warps = 8 if rule == "logsumexp" else 4
    run(function, _grid(len(flat), sizes), flat, result, *flat.shape, RULE=rule, STATE=state, warps=warps, **sizes)
    return from_rows(result, rest, d)


@kernel("cumsum")
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    if accumulation_type(input, dtype).kind == "c":
        input = cast(input, accumulation_type(input, dtype))
        result = empty(input.shape, input.dtype)
        for target, part in zip(parts(result), parts(input), strict=True):
            copy_into(target, _scan("sum", part, dim, part.dtype))
        return result
    return _scan("sum", input, dim, accumulation_type(input, dtype))


@kernel("cumprod")
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    return _scan("prod", input, dim, accumulation_type(input, dtype))


@kernel("logcumsumexp")
def logcumsumexp(input: Any, dim: int) -> Any:
    return _scan("logsumexp", input, dim, input.dtype)


def _running(rule: str) -> Any:
    def running(input: Any, dim: int) -> tuple:
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return copied(input), zeros((), INT64)
        d = along(dim, input.ndim)
        if not input.size:
            return empty(input.shape, input.dtype), empty(input.shape, INT64)
        return tuple(from_rows(part, rest, d) for part, rest in _places("running_extreme", rule, input, d, False))
    return running


kernel("cummax")(_running("max"))
kernel("cummin")(_running("min"))


# ---------------------------------------------------------------- places of extrema

def _places(name: str, rule: str, input: Any, dim: int, reduced: bool) -> list:
    """[(rows of values, shape of the rest), (rows of places, ...)] of a kernel in triton_kernels/scan.py."""
    flat, rest = rows_last(input, dim)
    shape = (len(flat), 1) if reduced else flat.shape
    values, places = empty(shape, input.dtype), empty(shape, INT64)
    sizes = tile(*flat.shape)
    function = getattr(kernel_module("scan"), name)
    state = state_type(input.dtype.name)
    if flat.size:
        run(function, _grid(len(flat), sizes), flat, values, places, *flat.shape, RULE=rule, STATE=state, **sizes)
    return [(values, rest), (places, rest)]


def _extreme(rule: str) -> Any:
    def extreme(input: Any, dim: int, keepdim: bool = False) -> tuple:
        _need_elements(input, dim, rule)
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return copied(input), zeros((), INT64)
        d = along(dim, input.ndim)
        found = [from_rows(part, rest, d) for part, rest in _places("extreme_place", rule, input, d, True)]
        return tuple(found if keepdim else [part.squeeze(d) for part in found])
    return extreme


def _argument(rule: str, find: Any) -> Any:
    def argument(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        _need_elements(input, dim, f"arg{rule}")
        if dim is None:
            place = find(dense(input).reshape(-1), 0)[1]
            return place.reshape((1,) * input.ndim) if keepdim else place
        return find(input, dim, keepdim)[1]
    return argument


for _rule in ("max", "min"):
    _find = _extreme(_rule)
    kernel(f"_{_rule}_dim")(_find)
    kernel(f"arg{_rule}")(_argument(_rule, _find))


# ---------------------------------------------------------------- sorting

_KEYS = {
    "float32": ("b = tl.where(x == 0, 0.0, x).to(tl.int32, bitcast=True)", "b ^ ((b >> 31) & 0x7FFFFFFF)"),
    "float64": ("b = tl.where(x == 0, 0.0, x).to(tl.int64, bitcast=True)", "b ^ ((b >> 63) & 0x7FFFFFFFFFFFFFFF)"),
}


def order(rows: Any, descending: bool) -> Any:
    """The places that sort each row of a dense matrix, stably; int32, NaN counts as the largest."""
    import triton

    count, length = rows.shape
    size = triton.next_power_of_2(max(length, 1))
    name = rows.dtype.name
    wide = rows.dtype.itemsize == 8 or name == "uint32"
    key_type = np.dtype(np.int64 if wide else np.int32)
    lines = []
    if rows.dtype.kind not in "biu":
        if name not in _KEYS:
            lines.append("x = x.to(tl.float32)")
        first, text = _KEYS["float64" if name == "float64" else "float32"]
        lines += [first, f"k = tl.where(x != x, MOST, {text})"]
    elif name == "uint64":
        lines.append("k = x.to(tl.int64, bitcast=True) ^ LEAST")
    else:
        lines.append(f"k = x.to(tl.{key_type.name})")
    if descending:
        lines.append("k = ~k")
    most = 2 ** (8 * key_type.itemsize - 1) - 1
    lines += ["k = tl.where(c1 < length, k, MOST)", "p = c1.to(tl.int32)"]
    lines.insert(0, "x = tl.load(x_ptr + c0 * length + c1, mask=m & (c1 < length), other=0)")
    tables, numbers, constants = {"x": rows}, {"length": length}, {"MOST": most, "LEAST": -most - 1}
    interpret = kernel_module("compile").INTERPRET
    if not wide and size <= (32 if interpret else 2048):
        packed = empty((count, size), INT64)
        lines.append("y = (k.to(tl.int64) << 32) | p.to(tl.int64)")
        grid_map("sort_keys", (count, size), lines, {}, {"y": packed}, tables, numbers, constants=constants)
        height = max(1, min((65536 if interpret else 2048) // size, triton.next_power_of_2(count)))
        run(kernel_module("sort").sort_packed, (-(-count // height),), packed, count, SIZE=size, ROWS=height)
        return strided(packed.view(np.int32), (count, length), (2 * size, 2))
    keys, places = empty((count, size), key_type), empty((count, size), np.dtype(np.int32))
    grid_map("sort_keys", (count, size), lines, {}, {"k": keys, "p": places}, tables, numbers, constants=constants)
    step = kernel_module("sort").exchange
    pairs = count * size // 2
    block = triton.next_power_of_2(min(pairs, 65536)) if interpret else 512
    width = 2
    while width <= size:
        distance = width // 2
        while distance:
            # the last merge rises everywhere
            run(step, (-(-pairs // block),), keys, places, pairs, size, width if width < size else 2 * size, distance,
                BLOCK=block)
            distance //= 2
        width *= 2
    return places[:, :length]


def take_rows(rows: Any, places: Any) -> Any:
    """rows[i, places[i, j]]."""
    result = empty(places.shape, rows.dtype)
    grid_map("take_rows", places.shape, ["y = tl.load(x_ptr + c0 * step + p, mask=m)"], {"p": places}, {"y": result},
             {"x": rows}, {"step": rows.shape[1]})
    return result


def _sorted(input: Any, dim: int, descending: bool, stop: int | None = None) -> tuple:
    rows, rest = rows_last(input, dim)
    places = order(rows, descending)[:, :stop]
    return from_rows(take_rows(rows, places), rest, dim), from_rows(cast(dense(places), INT64), rest, dim)


@kernel("sort")
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: Any = None) -> tuple:
    if input.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CUDA")
    dim = normalize_dim(dim, input.ndim)
    if input.ndim == 0:
        return copied(input), zeros((), INT64)
    if not input.size:
        return empty(input.shape, input.dtype), empty(input.shape, INT64)
    return _sorted(input, dim, bool(descending))


@kernel("topk")
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple:
    if input.dtype.kind in "cb":
        raise RuntimeError(f"topk does not support {'complex' if input.dtype.kind == 'c' else 'bool'} dtypes on CUDA")
    dim = normalize_dim(dim, input.ndim)
    n = input.shape[dim] if input.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if input.ndim == 0:
        return (copied(input), zeros((), INT64)) if k else (empty((0,), input.dtype), empty((0,), INT64))
    if not input.size or not k:
        shape = [k if d == dim else n for d, n in enumerate(input.shape)]
        return empty(shape, input.dtype), empty(shape, INT64)
    return _sorted(input, dim, bool(largest), k)


def _picked(input: Any, dim: int, keepdim: bool, rank: Any) -> tuple:
    """The value of ``rank`` (an int, or one per row) of each slice, and its place."""
    rows, rest = rows_last(input, dim)
    ordered = order(rows, False)
    if isinstance(rank, int):
        places = ordered[:, rank : rank + 1]
    else:
        places = take_rows(dense(ordered), rank(rows).reshape(-1, 1))
    found = (from_rows(take_rows(rows, places), rest, dim), from_rows(cast(dense(places), INT64), rest, dim))
    return found if keepdim else tuple([part.squeeze(dim) for part in found])


@kernel("kthvalue")
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple:
    sorting._refuse("kthvalue_cuda", input, "cb")
    dim = sorting._nonempty_dim("kthvalue", input, dim)
    n = input.shape[dim] if input.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if input.ndim == 0:
        return copied(input), zeros((), INT64)
    return _picked(input, dim, keepdim, k - 1)


def _middle(ignore_nan: bool) -> Any:
    """The rank of the median per row: NaN sorts last, so it is the first NaN's or that among the numbers."""
    def rank(rows: Any) -> Any:
        name = rows.dtype.name
        numbers = formula("cast(x == x, int64)", (("x", name),), (), "int64")(rows)
        count = triton_kernel.reduce("sum", numbers, (1,), "int64")
        result = empty(count.shape, INT64)
        text = "y = tl.where(n > 0, n - 1, 0) // 2" if ignore_nan else "y = tl.where(n == length, (n - 1) // 2, n)"
        grid_map("median_rank", count.shape, [text], {"n": count}, {"y": result}, numbers={"length": rows.shape[1]})
        return result
    return rank


def _median(name: str, ignore_nan: bool) -> None:
    def sliced(input: Any, dim: int, keepdim: bool = False) -> tuple:
        sorting._refuse("median_out_impl", input, "cb")
        dim = sorting._nonempty_dim(name, input, dim)
        if input.ndim == 0:
            return copied(input), zeros((), INT64)
        rank = _middle(ignore_nan) if input.dtype.kind not in "iu" else (input.shape[dim] - 1) // 2
        return _picked(input, dim, keepdim, rank)

    def whole(input: Any) -> Any:
        sorting._refuse("median_cuda", input, "cb")
        if not input.size:
            return full((), input.dtype, float("nan") if input.dtype.kind not in "iu" else np.iinfo(input.dtype).min)
        return sliced(dense(input).reshape(-1), 0)[0]

    kernel(f"_{name}_dim")(sliced)
    kernel(f"_{name}_all")(whole)


_median("median", False)
_median("nanmedian", True)


@kernel("mode")
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> tuple:
    sorting._refuse("mode_cuda", input, "c")
    dim = sorting._nonempty_dim("mode", input, dim)
    if input.ndim == 0:
        return copied(input), zeros((), INT64)
    rows, rest = rows_last(input, dim)
    places = dense(order(rows, False))
    ordered = take_rows(rows, places)
    # where the run of equal values starts that each belongs to; the longest run's end has the largest distance to it
    starts = empty(rows.shape, INT64)
    lines = [
        "before = tl.load(v_ptr + i - 1, mask=m & (c1 > 0), other=0)",
        "s = tl.where((c1 > 0) & (v != before), c1, 0)",
    ]
    grid_map("run_starts", rows.shape, lines, {"v": ordered}, {"s": starts})
    newest = _places("running_extreme", "max", starts, 1, False)[0][0]
    length = empty(rows.shape, INT64)
    grid_map("run_lengths", rows.shape, ["y = c1 - s"], {"s": newest}, {"y": length})
    end = _places("extreme_place", "max", length, 1, True)[1][0]
    chosen = take_rows(places, end)
    found = (from_rows(take_rows(rows, chosen), rest, dim), from_rows(cast(chosen, INT64), rest, dim))
    return found if keepdim else tuple([part.squeeze(dim) for part in found])
