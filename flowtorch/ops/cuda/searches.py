"""Values among values on the device: unique, searchsorted, isin, bincount and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.cuda import empty, to_host
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops import searching
from flowtorch.ops.cuda.base import INT64, cast, copied, dense, formula, full, kernel, zeros
from flowtorch.ops.cuda.indexing import _numbered, index_select
from flowtorch.ops.cuda.places import Lookup, Places, accumulate, read
from flowtorch.ops.cuda.scans import order, take_rows
from flowtorch.ops.families import normalize_dim

_BISECT = (
    "low = i * 0",
    "high = low + length",
    "for step in range(STEPS):",
    "    middle = (low + high) // 2",
    "    edge = tl.load(e_ptr + {base} + {at}, mask=m & (middle < length), other=0)",
    # NaN is larger than every number
    "    go = (low < high) & ({less})",
    "    high = tl.where((low < high) & (go == 0), middle, high)",
    "    low = tl.where(go, middle + 1, low)",
)
_LEFT = "(edge < v) | ((v != v) & (edge == edge))"
_RIGHT = "(edge <= v) | (v != v)"


def bisected(edges: Any, values: Any, right: bool, out: Any, sorter: Any = None, rows: bool = False) -> Any:
    """Where each value belongs among ascending edges: those of its row of a matrix, or one vector."""
    length = edges.shape[-1]
    tables = {"e": dense(edges)}
    at = "middle"
    base = "i // width * length" if rows else "i * 0"
    if sorter is not None:
        tables["p"] = dense(sorter)
        at = f"tl.load(p_ptr + {base} + middle, mask=m & (middle < length), other=0)"
    lines = [line.format(base=base, at=at, less=_RIGHT if right else _LEFT) for line in _BISECT]
    width = values.shape[-1] if rows and values.ndim else 1
    grid_map("bisect", values.shape, [*lines, "y = low"], {"v": values}, {"y": out}, tables,
             {"length": length, "width": max(width, 1)}, constants={"STEPS": max(length, 1).bit_length()})
    return out


@kernel("_searchsorted")
def searchsorted(sorted_sequence: Any, input: Any, sorter: Any = None, right: bool = False,
                 out_int32: bool = False) -> Any:
    result = empty(input.shape, np.dtype(np.int32) if out_int32 else INT64)
    return bisected(sorted_sequence, input, right, result, sorter, rows=sorted_sequence.ndim > 1)


@kernel("_isin")
def isin(elements: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    if elements.dtype.kind == "c":
        raise RuntimeError(f"Unsupported input type encountered for isin(): {searching._label(elements)}")
    common = elements.dtype
    if elements.dtype != test_elements.dtype:
        common = np.result_type(elements.dtype, test_elements.dtype)
    values, tests = cast(elements, common), dense(cast(test_elements, common)).reshape(1, -1)
    if not tests.size:
        return full(elements.shape, bool, invert)
    edges = take_rows(tests, order(tests, False))
    found = bisected(edges[0], values, False, empty(elements.shape, INT64))
    result = empty(elements.shape, np.dtype(bool))
    lines = [
        "e = tl.load(e_ptr + p, mask=m & (p < length), other=0)",
        "y = ((p < length) & (e == v)).to(tl.int32)" + (" ^ 1" if invert else ""),
    ]
    grid_map("isin", values.shape, lines, {"p": found, "v": values}, {"y": result}, {"e": edges},
             {"length": edges.size})
    return result


def _counted(at: Any, size: int, weights: Any = None, dtype: Any = np.int64) -> Any:
    """How often each position occurs, or the sum of its weights; -1 counts nowhere."""
    result = zeros((size + 1,), dtype)
    flat = dense(at).reshape(-1)
    values = full((1,), dtype, 1) if weights is None else cast(dense(weights).reshape(-1), dtype)
    if flat.size:
        where = formula("where(x < 0, n, x)", (("x", flat.dtype.name),), ("n",), flat.dtype.name)(flat, size)
        accumulate(result, Places(flat.shape, (0,), [Lookup(where, 1, size + 1)], "bincount()"), values)
    return result[:size]


@kernel("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    if input.dtype.kind in "cb" or input.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cuda\" not implemented for '{searching._label(input)}'")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim != 1:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if not input.size:
        return zeros((minlength,), INT64)
    ends = [int(to_host(triton_kernel.reduce(rule, input, (0,), input.dtype.name))) for rule in ("amin", "amax")]
    if ends[0] < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    size = max(ends[1] + 1, minlength)
    at = cast(input, INT64)
    if weights is None:
        return _counted(at, size)
    if weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    return _counted(at, size, weights, weights.dtype if weights.dtype == np.float32 else np.float64)


@kernel("_histc")
def histc(input: Any, bins: int, low: float, high: float) -> Any:
    at = empty(input.shape, INT64)
    state = "float64" if input.dtype == np.float64 else "float32"
    lines = [
        f"v = x.to(tl.{state})",
        "k = ((v - low) * bins / (high - low)).to(tl.int64)",
        "y = tl.where((v >= low) & (v <= high), tl.minimum(k, bins - 1), -1)",
    ]
    scalars = {"low": (float(low), state), "high": (float(high), state)}
    grid_map("histc", input.shape, lines, {"x": input}, {"y": at}, {}, {"bins": bins}, scalars)
    return cast(_counted(at, bins), input.dtype)


@kernel("_histogramdd_counts")
def histogramdd(input: Any, weight: Any, edges: list, density: bool = False) -> Any:
    sizes = [len(e) - 1 for e in edges]
    at = zeros((len(input),), INT64)
    for d, e in enumerate(edges):
        column = input[:, d]
        place = bisected(e, column, True, empty(column.shape, INT64))
        lines = [
            "first = tl.load(e_ptr)",
            "last = tl.load(e_ptr + size)",
            "k = tl.minimum(tl.maximum(p - 1, 0), size - 1)",
            "y = tl.where((x >= first) & (x <= last) & (a >= 0), a * size + k, -1)",
        ]
        following = empty(at.shape, INT64)
        grid_map("histogram_place", at.shape, lines, {"x": column, "p": place, "a": at}, {"y": following},
                 {"e": dense(e)}, {"size": sizes[d]})
        at = following
    total = int(np.prod(sizes))
    counts = _counted(at, total, weight if weight.size else None, np.float64).reshape(sizes)
    if density:
        whole = triton_kernel.reduce("sum", counts, tuple(range(counts.ndim)), "float64")
        counts = formula("c / t", (("c", "float64"), ("t", "float64")), (), "float64")(counts, whole)
        for d, e in enumerate(edges):
            types = (("c", "float64"), ("b", e.dtype.name), ("a", e.dtype.name))
            shape = [-1 if k == d else 1 for k in range(len(sizes))]
            text = "c / (cast(b, float64) - cast(a, float64))"
            counts = formula(text, types, (), "float64")(counts, e[1:].reshape(shape), e[:-1].reshape(shape))
    return cast(counts, input.dtype)


# ---------------------------------------------------------------- unique

def _runs(changed: Any, places: Any) -> tuple:
    """(starts of runs, run number of each element in the original order, run lengths) of flags of first elements."""
    flags, running, count = _numbered(changed)
    n = flags.size
    starts, inverse = empty((count + 1,), INT64), empty((n,), INT64)
    lines = [
        "tl.store(s_ptr + r - 1, i, mask=m & (f != 0))",
        "tl.store(v_ptr + p, r - 1, mask=m)",
        "tl.store(s_ptr + count + i * 0, total + i * 0, mask=m & (i == 0))",
    ]
    inputs = {"f": flags, "r": running, "p": places}
    grid_map("runs", (n,), lines, inputs, {}, {"s": starts, "v": inverse}, {"count": count})
    types = (("a", "int64"), ("b", "int64"))
    return starts[:count], inverse, formula("a - b", types, (), "int64")(starts[1:], starts[:-1])


def _changed(rows: Any) -> Any:
    """1 where a row differs from the one before it."""
    result = zeros((len(rows),), INT64)
    lines = [
        "before = tl.load(x_ptr + i - width, mask=m & (c0 > 0), other=0)",
        "tl.store(y_ptr + c0, i * 0 + 1, mask=m & ((c0 == 0) | (x != before)))",
    ]
    grid_map("changed", rows.shape, lines, {"x": rows}, {}, {"y": result}, {"width": rows.shape[1]})
    return result


def _count_range(n: int) -> Any:
    result = empty((n,), INT64)
    grid_map("count", (n,), ["y = i"], {}, {"y": result})
    return result


def _slices(input: Any, dim: int) -> Any:
    searching._rows(np.broadcast_to(np.zeros((), np.int8), input.shape), dim)  # its errors
    moved = input.transpose([dim, *[d for d in range(input.ndim) if d != dim]])
    return dense(moved).reshape(len(moved), input.size // max(len(moved), 1))


def _sorted_rows(rows: Any) -> Any:
    """The places that sort rows lexicographically: stable sorts by the columns, last first."""
    places = _count_range(len(rows))
    for column in reversed(range(rows.shape[1])):
        keys = read(rows[:, column], Places(places.shape, (0,), [Lookup(places, rows.shape[1], len(rows))], "unique()"))
        step = cast(dense(order(keys.reshape(1, -1), False)[0]), INT64)
        places = index_select(places, 0, step)
    return places


def _distinct(input: Any, dim: Any, places: Any, rows: Any) -> tuple:
    if not len(rows):
        return copied(input), zeros((0,), INT64), zeros((0,), INT64)
    ordered = rows if places is None else index_select(rows, 0, places)
    starts, inverse, counts = _runs(_changed(ordered), _count_range(len(rows)) if places is None else places)
    chosen = starts if places is None else index_select(places, 0, starts)
    if dim is None:
        return index_select(rows[:, 0], 0, chosen), inverse.reshape(input.shape), counts
    return index_select(input, dim, chosen), inverse, counts


@kernel("_unique")
def unique(input: Any, dim: Any = None, inverse: bool = True) -> tuple:
    searching._refuse_complex(input)
    if dim is None:
        flat = dense(input).reshape(-1, 1)
        if not flat.size:
            return empty((0,), input.dtype), empty(input.shape, INT64), zeros((0,), INT64)
        return _distinct(input, None, cast(dense(order(flat.reshape(1, -1), False)[0]), INT64), flat)
    dim = normalize_dim(dim, input.ndim)
    rows = _slices(input, dim)
    return _distinct(input, dim, _sorted_rows(rows), rows)


@kernel("_unique_consecutive")
def unique_consecutive(input: Any, dim: Any = None) -> tuple:
    if dim is None:
        if not input.size:
            return empty((0,), input.dtype), empty(input.shape, INT64), zeros((0,), INT64)
        return _distinct(input, None, None, dense(input).reshape(-1, 1))
    dim = normalize_dim(dim, input.ndim)
    return _distinct(input, dim, None, _slices(input, dim))


