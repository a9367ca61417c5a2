"""Kernels that map an index space: each program computes a block of outputs from what statements say.

A statement sees the flat index ``i``, the coordinates ``c0``, ``c1``, ... of the space, the mask ``m`` of the valid
ones, every operand's element under the operand's name, numbers and scalars under theirs, and ``{table}_ptr`` for
memory that it reads or writes by itself. What it assigns to an output's name is stored.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

import triton

from .compile import INTERPRET, SCALAR, TYPE, Call, Kernel, define, pointer
from .indexing import coordinates, offset


@dataclass(frozen=True, slots=True)
class Operand:
    """An array with one element per point of the index space."""

    name: str
    dtype: str
    strides: tuple[str, ...]
    """Per dimension: "0", "1", or "n" for a stride known at launch."""


@dataclass(frozen=True, slots=True)
class Map:
    """What a mapping kernel is specialised on."""

    name: str
    lines: tuple[str, ...]
    ndim: int
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    tables: tuple[tuple[str, str], ...]
    """(name, dtype) of memory addressed by the statements."""
    scalars: tuple[tuple[str, str], ...]
    """(name, dtype)."""
    numbers: tuple[tuple[str, bool], ...]
    """(name, whether it needs 64 bits) of integers."""
    constants: tuple[tuple[str, int], ...]
    wide: bool
    aligned: bool
    """Addresses, sizes and strides are multiples of 16."""
    block: int


def prepare(map: Map, sizes: tuple[int, ...], strides: tuple[tuple[int, ...], ...], numbers: tuple[int, ...]) -> Call:
    """The call over a space of `sizes`; `strides` of inputs then outputs, in elements."""
    total = math.prod(sizes)
    integers = [total, *sizes[1:]]
    for operand, own in zip((*map.inputs, *map.outputs), strides, strict=True):
        integers += [step for step, kind in zip(own, operand.strides, strict=True) if kind == "n"]
    return Call(build(map), (triton.cdiv(total, map.block),), (*numbers, *integers))


def block_size(total: int, limit: int = 1024) -> int:
    """Points per program: all of them in the interpreter, where a program costs a millisecond."""
    most = 65536 if INTERPRET else limit
    return max(1, min(most, triton.next_power_of_2(max(total, 1))))


@cache
def build(map: Map) -> Kernel:
    """The kernel of one map."""
    operands = (*map.inputs, *map.outputs)
    signature = {f"{operand.name}_ptr": pointer(operand.dtype) for operand in operands}
    signature |= {f"{name}_ptr": pointer(dtype) for name, dtype in map.tables}
    signature |= {name: SCALAR[dtype] for name, dtype in map.scalars}
    signature |= {name: "i64" if wide else "i32" for name, wide in map.numbers}
    integers = ["total", *(f"n{dim}" for dim in range(1, map.ndim))]
    integers += [f"{op.name}_{dim}" for op in operands for dim, kind in enumerate(op.strides) if kind == "n"]
    signature |= dict.fromkeys(integers, "i64" if map.wide else "i32")
    constants = dict(map.constants) | {"BLOCK": map.block}
    divisible = frozenset([*(f"{operand.name}_ptr" for operand in operands), *integers] if map.aligned else ())
    return define(map.name, signature, constants, _body(map), divisible)


def _body(map: Map) -> list[str]:
    text = "\n".join(map.lines)
    used = re.search(r"\bc\d", text) or any(set(op.strides) - {"0"} for op in (*map.inputs, *map.outputs))
    head = [
        f"i = tl.program_id(0){'.to(tl.int64)' if map.wide else ''} * BLOCK + tl.arange(0, BLOCK)",
        "m = i < total",
    ]
    if used and map.ndim:
        head += coordinates("i", ["", *(f"n{dim}" for dim in range(1, map.ndim))], "c")
    loads = [f"{op.name} = tl.load({_address(op)}, mask=m, other=0)" for op in map.inputs]
    stores = [
        f"tl.store({_address(op)}, {_stored(op)}, mask=m)" for op in map.outputs
    ]
    return [*head, *loads, *map.lines, *stores]


def _stored(operand: Operand) -> str:
    return f"{operand.name} != 0" if operand.dtype == "bool" else f"{operand.name}.to({TYPE[operand.dtype]})"


def _address(operand: Operand) -> str:
    strides = [f"{operand.name}_{dim}" if kind == "n" else kind for dim, kind in enumerate(operand.strides)]
    steps = offset("c", strides)
    return f"{operand.name}_ptr + {'i * 0' if steps == '0' else steps}"
