"""softmax and log_softmax along one dimension, forward and backward.

Rows that fit into a tile are read once. Longer rows are walked twice: the first walk keeps a running maximum
and a sum scaled to it, the second writes. Rows need not be contiguous: a tile spans several rows where those
are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import triton

from .compile import INTERPRET, TYPE, Call, Kernel, define, pointer
from .indexing import coordinates, offset

_LONGEST_TILE = 16384
_WALKING_TILE = 4096


@dataclass(frozen=True, slots=True)
class Variant:
    """What a softmax kernel is specialised on."""

    log: bool
    backward: bool
    dtypes: tuple[str, ...]
    """Of the operands: (input, output), or (incoming gradient, output, gradient) for the backward."""
    dims: int
    unit: tuple[str, ...]
    """Per operand, the side of unit stride: "col" along the softmax, "row" across, or ""."""
    wide: bool
    aligned: bool
    whole: bool
    """A row fits into one tile."""
    tile: tuple[int, int]


@lru_cache(maxsize=4096)
def prepare(
    log: bool,
    dtypes: tuple[str, ...],
    rows: tuple[tuple[int, ...], ...],
    along: tuple[int, ...],
    wide: bool = False,
    aligned: bool = False,
    elements: int | None = None,
) -> Call:
    """The call for operands (input, output), or (incoming gradient, output, gradient) for the backward.

    rows:  of every dimension but the softmax's, outermost first: its size and each operand's stride.
    along: the same of the softmax's dimension.
    """
    count, length = math.prod(size for size, *_ in rows), along[0]
    unit = tuple(
        "col" if step == 1 else "row" if rows and rows[-1][1 + k] == 1 else "" for k, step in enumerate(along[1:])
    )
    longest = elements or (65536 if INTERPRET else _LONGEST_TILE // (2 if "float64" in dtypes else 1))
    whole = triton.next_power_of_2(length) <= longest
    width = triton.next_power_of_2(length) if whole else (elements or _WALKING_TILE)
    height = max(1, (elements or (65536 if INTERPRET else 2048)) // width)
    if "row" in unit and not INTERPRET and elements is None:
        height = max(height, min(16, longest // width))
    tile = (min(height, triton.next_power_of_2(count)), width)
    steps = [step for dim in (*rows, along) for step in dim[1:] if step != 1]
    variant = Variant(
        log,
        len(dtypes) == 3,
        dtypes,
        len(rows),
        unit,
        wide,
        aligned and all(number % 16 == 0 for number in (*steps, length)),
        whole,
        tile,
    )
    integers = (count, length, *(size for size, *_ in rows[1:]))
    for k in range(1, 1 + len(dtypes)):
        integers += (*(dim[k] for dim in rows), along[k])
    return Call(build(variant), (triton.cdiv(count, tile[0]),), integers)


@cache
def build(variant: Variant) -> Kernel:
    """The kernel of one variant."""
    names = ("g", "y", "d") if variant.backward else ("x", "y")
    signature = {f"{name}_ptr": pointer(dtype) for name, dtype in zip(names, variant.dtypes, strict=True)}
    steps = [f"{name}_{dim}" for name in names for dim in (*range(variant.dims), "along")]
    integers = ["rows", "length", *(f"n{dim}" for dim in range(1, variant.dims)), *steps]
    divisible = frozenset([*signature, "length", *steps]) if variant.aligned else frozenset()
    signature |= dict.fromkeys(integers, "i64" if variant.wide else "i32")
    constants = {"ROWS": variant.tile[0], "COLS": variant.tile[1]}
    name = f"{'log_' * variant.log}softmax{'_backward' * variant.backward}"
    warps = min(max(4, variant.tile[0] * variant.tile[1] // 512), 16)
    return define(name, signature, constants, _body(variant, names), divisible, warps)


def _body(variant: Variant, names: tuple[str, ...]) -> list[str]:
    accumulator = "tl.float64" if "float64" in variant.dtypes else "tl.float32"
    lines = [
        f"row = tl.program_id(0){'.to(tl.int64)' if variant.wide else ''} * ROWS + tl.arange(0, ROWS)",
        *coordinates("row", ["", *(f"n{dim}" for dim in range(1, variant.dims))], "i"),
    ]
    for name, unit in zip(names, variant.unit, strict=True):
        steps = [f"{name}_{dim}" for dim in range(variant.dims)]
        if unit == "row":
            steps[-1] = "1"
        at = offset("i", steps) if steps else "row * 0"
        lines.append(f"{name}_at = {name}_ptr + ({at})[:, None]")
    lines.append("row_mask = (row < rows)[:, None]")
    text = {
        name: f"{name}_at + col[None, :]" + ("" if unit == "col" else f" * {name}_along")
        for name, unit in zip(names, variant.unit, strict=True)
    }
    make = _backward if variant.backward else _forward
    return lines + make(variant, text, accumulator)


def _load(name: str, at: str, accumulator: str, other: str) -> str:
    return f"{name} = tl.load({at}, mask=mask, other={other}).to({accumulator})"


def _columns(first: str = "") -> list[str]:
    return [f"col = {first}tl.arange(0, COLS)", "mask = row_mask & (col < length)[None, :]"]


def _walk(body: list[str]) -> list[str]:
    return ["for first in range(0, length, COLS):", *(f"    {line}" for line in _columns("first + ") + body)]


def _forward(variant: Variant, at: dict[str, str], accumulator: str) -> list[str]:
    load = _load("x", at["x"], accumulator, 'float("-inf")')
    value = "x - peak - log_total" if variant.log else "scalar.divide(libdevice.exp(x - peak), total)"
    store = f"tl.store({at['y']}, ({value}).to({TYPE[variant.dtypes[1]]}), mask=mask)"
    total = ["log_total = libdevice.log(total)"] if variant.log else []
    if variant.whole:
        return [
            *_columns(),
            load,
            "peak = tl.max(x, 1)[:, None]",
            "total = tl.sum(libdevice.exp(x - peak), 1)[:, None]",
            *total,
            store,
        ]
    return [
        f'running = tl.full((ROWS, COLS), float("-inf"), {accumulator})',
        f"sums = tl.zeros((ROWS, COLS), {accumulator})",
        *_walk([
            load,
            "peak = tl.maximum(running, x)",
            "scaled = sums * libdevice.exp(running - peak) + libdevice.exp(x - peak)",
            # where nothing but -inf was seen yet, that difference is NaN although no NaN came in
            'sums = tl.where((peak == float("-inf")) & (x == x), sums, scaled)',
            "running = peak",
        ]),
        "peak = tl.max(running, 1)[:, None]",
        'unseen = (running == float("-inf")) & (sums == sums)',
        "parts = tl.where(unseen, 0.0, sums * libdevice.exp(running - peak))",
        "total = tl.sum(parts, 1)[:, None]",
        *total,
        *_walk([load, store]),
    ]  # fmt: skip


def _backward(variant: Variant, at: dict[str, str], accumulator: str) -> list[str]:
    loads = [_load(name, at[name], accumulator, "0.0") for name in ("g", "y")]
    term = "g" if variant.log else "g * y"
    value = "g - libdevice.exp(y) * total" if variant.log else "y * (g - total)"
    store = f"tl.store({at['d']}, ({value}).to({TYPE[variant.dtypes[2]]}), mask=mask)"
    if variant.whole:
        return [*_columns(), *loads, f"total = tl.sum({term}, 1)[:, None]", store]
    return [
        f"sums = tl.zeros((ROWS, COLS), {accumulator})",
        *_walk([*loads, f"sums += {term}"]),
        "total = tl.sum(sums, 1)[:, None]",
        *_walk([*loads, store]),
    ]
