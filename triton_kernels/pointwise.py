"""Pointwise kernels: one expression over tensors, written out as Triton source for each layout class.

contiguous: one dimension of unit stride; a full tile moves 16 bytes per access, only the last tile is masked.
inner:      two-dimensional tiles over (all outer dimensions, the inner dimension of unit stride).
general:    a flat index taken apart into coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import triton

from .compile import INTERPRET, SCALAR, Call, Kernel, define, pointer
from .indexing import coordinates, offset

_ONE_BYTE = ("bool", "int8", "uint8")


@dataclass(frozen=True, slots=True)
class Expression:
    """A rendered scalar expression: statements over elements x0, x1, ... and scalars s0, s1, ..."""

    name: str
    inputs: tuple[str, ...]
    """Dtype names of x0, x1, ..."""
    scalars: tuple[str, ...]
    """Dtype names of s0, s1, ..."""
    outputs: tuple[str, ...]
    """Dtype names of the results."""
    lines: tuple[str, ...]
    """Statements that compute the results."""
    results: tuple[str, ...]
    """What to store, of the outputs' dtypes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a pointwise kernel is specialised on beside its expression."""

    kind: str
    ndim: int
    unit: tuple[bool, ...]
    """Per operand: the innermost stride is 1; where the kind has unit strides, it is 0 otherwise."""
    single: tuple[bool, ...]
    """Per operand: the same element everywhere."""
    wide: bool
    """Indices have 64 bits."""
    aligned: bool
    """Pointers are aligned to 16 bytes; in the kind "inner", sizes and strides are multiples of 16 too."""
    tile: tuple[int, int]
    """Rows and columns of a tile; one row but for the kind "inner"."""


def prepare(
    expression: Expression,
    kind: str,
    shape: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    wide: bool = False,
    aligned: bool = False,
    elements: int | None = None,
) -> Call:
    """The call for operands (inputs, then outputs) whose layout was planned as `kind`, `shape` and `strides`.

    elements: elements per program, a power of two; by default what gives each thread 16 bytes or more, or,
    in the
              interpreter, up to 65536.
    """
    rows, cols = math.prod(shape[:-1]), shape[-1]
    if kind != "inner":
        rows, cols = 1, rows * cols
    narrow = all(dtype in _ONE_BYTE for dtype in (*expression.inputs, *expression.outputs))
    limit = elements or (65536 if INTERPRET else 2048 if narrow else 1024)
    width = min(limit, triton.next_power_of_2(cols)) if INTERPRET or kind == "inner" else limit
    tile = (min(limit // width, triton.next_power_of_2(rows)), width)
    steps = [step for own in strides for step in own[:-1]]
    variant = Variant(
        kind,
        len(shape),
        tuple(own[-1] == 1 for own in strides),
        tuple(not any(own) for own in strides),
        wide,
        aligned and (kind == "contiguous" or (kind == "inner" and all(n % 16 == 0 for n in (cols, *steps)))),
        tile,
    )
    grid = triton.cdiv(rows, tile[0]) * triton.cdiv(cols, tile[1])
    integers = (rows, cols) if kind == "inner" else (cols,)
    if kind != "contiguous":
        dims = len(shape) - (kind == "inner")
        integers += shape[1:dims] + tuple(step for own in strides if any(own) for step in own[:dims])
    return Call(build(expression, variant), (grid,), integers)


@cache
def build(expression: Expression, variant: Variant) -> Kernel:
    """The kernel of one expression and variant."""
    inputs, outputs = len(expression.inputs), len(expression.outputs)
    operands = [f"x{k}" for k in range(inputs)] + [f"y{k}" for k in range(outputs)]
    dtypes = (*expression.inputs, *expression.outputs)
    signature = {f"{name}_ptr": pointer(dtype) for name, dtype in zip(operands, dtypes, strict=True)}
    divisible = set(signature) if variant.aligned else set()
    signature |= {f"s{k}": SCALAR[dtype] for k, dtype in enumerate(expression.scalars)}
    integers = _integers(variant, operands)
    signature |= dict.fromkeys(integers, "i64" if variant.wide else "i32")
    if variant.aligned and variant.kind == "inner":
        # the sizes of outer dimensions take no part in addresses
        divisible |= {name for name in integers if name == "cols" or "_" in name}
    constants = {"COLS": variant.tile[1]}
    if variant.kind == "inner":
        constants["ROWS"] = variant.tile[0]
    return define(expression.name, signature, constants, _body(expression, variant, operands), frozenset(divisible))


def _integers(variant: Variant, operands: Sequence[str]) -> list[str]:
    if variant.kind == "contiguous":
        return ["cols"]
    dims = variant.ndim - (variant.kind == "inner")
    sizes = ["rows", "cols"] if variant.kind == "inner" else ["cols"]
    strided = [name for name, single in zip(operands, variant.single, strict=True) if not single]
    return [
        *sizes,
        *(f"n{dim}" for dim in range(1, dims)),
        *(f"{n}_{dim}" for n in strided for dim in range(dims)),
    ]


def _body(expression: Expression, variant: Variant, operands: Sequence[str]) -> list[str]:
    program = "tl.program_id(0).to(tl.int64)" if variant.wide else "tl.program_id(0)"
    dims = variant.ndim - (variant.kind == "inner")
    sizes = ["", *(f"n{dim}" for dim in range(1, dims))]
    if variant.kind == "inner":
        head = [
            f"program = {program}",
            "across = tl.cdiv(cols, COLS)",
            "first_row = (program // across) * ROWS",
            "first_col = (program % across) * COLS",
            "row = first_row + tl.arange(0, ROWS)",
            "col = first_col + tl.arange(0, COLS)",
            *coordinates("row", sizes, "i"),
        ]
        full = "(first_row + ROWS <= rows) & (first_col + COLS <= cols)"
        masks = ["row_mask = (row < rows)[:, None]", "mask = row_mask & (col < cols)[None, :]"]
    else:
        head = [f"first = {program} * COLS", "index = first + tl.arange(0, COLS)"]
        if variant.kind == "general":
            head += coordinates("index", sizes, "i")
        full = "first + COLS <= cols"
        masks = ["mask = index < cols"]
    loads = []
    for position, name in enumerate(operands[: len(expression.inputs)]):
        if variant.single[position]:
            head.append(f"{name} = tl.load({name}_ptr)")
        else:
            loads.append((name, *_address(variant, name, position)))
    stores = [
        (result, *_address(variant, operands[position], position))
        for position, result in enumerate(expression.results, len(expression.inputs))
    ]

    def tile(masked: bool) -> list[str]:
        return [
            *(f"{name} = tl.load({at}{f', mask={mask}' if masked else ''})" for name, at, mask in loads),
            *expression.lines,
            *(f"tl.store({at}, {value}{f', mask={mask}' if masked else ''})" for value, at, mask in stores),
        ]

    if variant.kind == "general":
        return [*head, *masks, *tile(masked=True)]
    indented = [[f"    {line}" for line in part] for part in (tile(masked=False), masks + tile(masked=True))]
    return [*head, f"if {full}:", *indented[0], "else:", *indented[1]]


def _address(variant: Variant, name: str, position: int) -> tuple[str, str]:
    """The address block of an operand's elements in the tile, and the mask of that block."""
    if variant.kind == "contiguous":
        return f"{name}_ptr + index", "mask"
    if variant.kind == "general":
        return f"{name}_ptr + ({offset('i', [f'{name}_{dim}' for dim in range(variant.ndim)])})", "mask"
    row = f"{name}_ptr + ({offset('i', [f'{name}_{dim}' for dim in range(variant.ndim - 1)])})[:, None]"
    return (f"{row} + col[None, :]", "mask") if variant.unit[position] else (row, "row_mask")
