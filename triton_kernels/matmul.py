"""Matrix products of strided matrices, batched: 16-bit floats on tensor cores, float32 in full precision or TF32.

Floats accumulate in float32 (float64 for float64). Integer products have no tensor-core instruction, so
small tiles are multiplied out and summed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import triton

from . import tuning
from .compile import INTERPRET, SCALAR, TYPE, Call, Kernel, define, pointer
from .indexing import coordinates, offset

_GROUP = 8
"""Rows of tiles that are walked together, so that their operands stay in the L2 cache."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a matrix product is specialised on."""

    dtypes: tuple[str, ...]
    """Of left, right, output and, where something is added, the addend."""
    batch: int
    """How many batch dimensions there are."""
    unit: tuple[int, ...]
    """Per operand, which of its two dimensions (0 or 1) has stride 1; -1 for neither."""
    even: bool
    """The inner size is a multiple of the tile's."""
    wide: bool
    aligned: bool
    tile: tuple[int, int, int]
    """Rows, columns and inner size of a tile."""
    scaled: bool = False
    """The product is multiplied by alpha, and the addend by beta."""
    round: tuple[bool, bool, bool] = (False, False, False)
    """Whether rows, columns and inner size are multiples of 16."""
    activation: str = ""
    """What is applied to the result: "", "relu" or "gelu"."""
    warps: int = 0
    """0: by the size of the tile."""
    stages: int = 3
    tf32: bool = False
    """float32 operands are rounded to TensorFloat-32, which tensor cores multiply."""

    @property
    def names(self) -> str:
        return "abcd"[: len(self.dtypes)]


def prepare(
    dtypes: tuple[str, ...],
    sizes: tuple[int, int, int],
    strides: tuple[tuple[int, int], ...],
    batch: tuple[tuple[int, ...], ...] = (),
    wide: bool = False,
    aligned: bool = False,
    tile: tuple[int, int, int] | None = None,
    scaled: bool = False,
    activation: str = "",
    tf32: bool = False,
) -> Call:
    """The call for output = activation(alpha * left @ right + beta * addend), the addend being optional.

    sizes:   rows, columns, inner size.
    strides: (row, column) strides of left, right, output and addend; those of an addend that broadcasts are 0.
    batch:   of every batch dimension, outermost first: its size, and the strides of each operand.
    scaled:  alpha and beta are arguments of the kernel, after the operands; otherwise both are 1.
    """
    chosen = {} if tile else tuning.find("matmul", tuning.matmul_class(dtypes[0], *sizes))
    tile = tile or _fitted(chosen, *sizes[:2]) or _tile(dtypes[0], *sizes)
    resources = chosen.get("warps", 0), chosen.get("stages", 3)
    return _prepared(dtypes, sizes, strides, batch, wide, aligned, tile, scaled, activation, resources, tf32)


@lru_cache(maxsize=4096)
def _prepared(
    dtypes: tuple[str, ...], sizes: tuple[int, int, int], strides: tuple[tuple[int, int], ...],
    batch: tuple[tuple[int, ...], ...], wide: bool, aligned: bool, tile: tuple[int, int, int], scaled: bool,
    activation: str, resources: tuple[int, int], tf32: bool,
) -> Call:  # fmt: skip
    rows, cols, inner = sizes
    unit = tuple(1 if own[1] == 1 else 0 if own[0] == 1 else -1 for own in strides)
    steps = [step for own in strides for step in own if step != 1]
    steps += [step for _, *own in batch for step in own]
    variant = Variant(
        dtypes, len(batch), unit, inner % tile[2] == 0, wide,
        aligned and all(step % 16 == 0 for step in steps), tile, scaled,
        (rows % 16 == 0, cols % 16 == 0, inner % 16 == 0), activation, *resources, tf32,
    )  # fmt: skip
    count = math.prod(size for size, *_ in batch)
    grid = triton.cdiv(rows, tile[0]) * triton.cdiv(cols, tile[1]) * count
    integers = (*sizes, *(size for size, *_ in batch[1:]))
    for k, own in enumerate(strides):
        integers += (*(dim[1 + k] for dim in batch), *own)
    return Call(build(variant), (grid,), integers)


def _fitted(chosen: Mapping[str, Any], rows: int, cols: int) -> tuple[int, int, int] | None:
    """The tile of a configuration, no larger than the matrix; None where there is none."""
    if INTERPRET or "tile" not in chosen:
        return None
    most = (triton.next_power_of_2(max(size, 16)) for size in (rows, cols))
    down, across = (min(own, limit) for own, limit in zip(chosen["tile"][:2], most, strict=True))
    return down, across, chosen["tile"][2]


def _tile(dtype: str, rows: int, cols: int, inner: int) -> tuple[int, int, int]:
    if not dtype.startswith(("float", "bfloat")):
        return (16, 16, 16)
    if INTERPRET:
        rows, cols, inner = (max(16, min(256, triton.next_power_of_2(size))) for size in (rows, cols, inner))
        return rows, cols, inner
    most, deep = {"float64": (32, 16), "float32": (64, 32)}.get(dtype, (128, 32))
    rows, cols = (max(16, min(most, triton.next_power_of_2(size))) for size in (rows, cols))
    return rows, min(cols, 4 * rows), deep


@cache
def build(variant: Variant) -> Kernel:
    """The kernel of one variant."""
    names = variant.names
    signature = {f"{name}_ptr": pointer(dtype) for name, dtype in zip(names, variant.dtypes, strict=True)}
    steps = [f"{name}_{dim}" for name in names for dim in (*range(variant.batch), "row", "col")]
    unit = {f"{name}_{('row', 'col')[dim]}" for name, dim in zip(names, variant.unit, strict=True) if dim >= 0}
    sizes = [name for name, round in zip(("rows", "cols", "inner"), variant.round, strict=True) if round]
    divisible = frozenset([*signature, *(set(steps) - unit), *sizes]) if variant.aligned else frozenset()
    if variant.scaled:
        signature |= dict.fromkeys(("alpha", "beta"), SCALAR[_accumulator(variant).removeprefix("tl.")])
    integers = ["rows", "cols", "inner", *(f"n{dim}" for dim in range(1, variant.batch)), *steps]
    signature |= dict.fromkeys(integers, "i64" if variant.wide else "i32")
    constants = dict(zip(("ROWS", "COLS", "INNER"), variant.tile, strict=True))
    full = variant.tile[0] * variant.tile[1] * (4 if variant.dtypes[0] == "float64" else 1)
    warps = variant.warps or (8 if full > 4096 or (full == 4096 and len(variant.dtypes) == 4) else 4)
    return define("matmul", signature, constants, _body(variant), divisible, warps, variant.stages)


def _body(variant: Variant) -> list[str]:
    accumulator = _accumulator(variant)
    sides = (("row", "k"), ("k", "col"), ("row", "col"), ("row", "col"))
    tiles = [
        _address(name, *side, unit) for name, side, unit in zip(variant.names, sides, variant.unit, strict=False)
    ]
    k_mask = ("", "") if variant.even else (" & (k < inner)[None, :]", "(k < inner)[:, None] & ")
    lines = [
        f"program = tl.program_id(0){'.to(tl.int64)' if variant.wide else ''}",
        "down = tl.cdiv(rows, ROWS)",
        "across = tl.cdiv(cols, COLS)",
        "batch = program // (down * across)",
        "program = program % (down * across)",
        f"group = program // ({_GROUP} * across)",
        f"height = tl.minimum(down - group * {_GROUP}, {_GROUP})",
        f"within = program % ({_GROUP} * across)",
        f"row = (group * {_GROUP} + within % height) * ROWS + tl.arange(0, ROWS)",
        "col = within // height * COLS + tl.arange(0, COLS)",
    ]
    if variant.batch:
        lines += coordinates("batch", ["", *(f"n{dim}" for dim in range(1, variant.batch))], "i")
        for name in variant.names:
            lines.append(f"{name}_ptr += {offset('i', [f'{name}_{dim}' for dim in range(variant.batch)])}")
    return [
        *lines,
        f"acc = tl.zeros((ROWS, COLS), {accumulator})",
        "for first in range(0, inner, INNER):",
        "    k = first + tl.arange(0, INNER)",
        f"    a = tl.load({tiles[0]}, mask=(row < rows)[:, None]{k_mask[0]}, other=0)",
        f"    b = tl.load({tiles[1]}, mask={k_mask[1]}(col < cols)[None, :], other=0)",
        f"    {_multiply(variant, accumulator)}",
        "mask = (row < rows)[:, None] & (col < cols)[None, :]",
        *_epilogue(variant, tiles, accumulator),
        f"tl.store({tiles[2]}, acc.to({TYPE[variant.dtypes[2]]}), mask=mask)",
    ]


def _epilogue(variant: Variant, tiles: list[str], accumulator: str) -> list[str]:
    lines = ["acc = acc * alpha"] if variant.scaled else []
    if len(variant.dtypes) == 4:
        lines.append(f"d = tl.load({tiles[3]}, mask=mask, other=0).to({accumulator})")
        lines.append("acc = acc + d * beta" if variant.scaled else "acc = acc + d")
    if variant.activation == "relu":
        lines.append("acc = tl.where(acc < 0, 0.0, acc)")
    elif variant.activation == "gelu":
        lines.append("acc = 0.5 * acc * (1 + libdevice.erf(acc * 0.7071067811865476))")
    return lines


def _accumulator(variant: Variant) -> str:
    if variant.dtypes[0] == "float64":
        return "tl.float64"
    if variant.dtypes[0].startswith(("float", "bfloat")):
        return "tl.float32"
    # products wrap around the same way in a wider type
    return TYPE[variant.dtypes[0]] if variant.dtypes[0].endswith("64") else "tl.int32"


def _multiply(variant: Variant, accumulator: str) -> str:
    if not variant.dtypes[0].startswith(("float", "bfloat")):
        return f"acc += tl.sum((a[:, :, None] * b[None, :, :]).to({accumulator}), 1)"
    precision = "tf32" if variant.tf32 else "ieee"
    return f'acc = tl.dot(a, b, acc, input_precision="{precision}", out_dtype={accumulator})'


def _address(name: str, rows: str, cols: str, unit: int) -> str:
    row = f"{rows}[:, None]" + ("" if unit == 0 else f" * {name}_row")
    col = f"{cols}[None, :]" + ("" if unit == 1 else f" * {name}_col")
    return f"{name}_ptr + {row} + {col}"
