"""One expression over the elements of many tensors in one launch: a table on the device says where they are.

A row of the table describes one tensor of every operand: its number of elements, then one address per operand. The
chunks that programs work on are (row, first element) pairs, so that large and small tensors share the device evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import triton
import triton.language as tl

from . import scalar
from .compile import INTERPRET, SCALAR, TYPE, Call, Kernel, define
from .pointwise import Expression


@dataclass(frozen=True, slots=True)
class Variant:
    """What a multi-tensor kernel is specialised on beside its expression."""

    single: tuple[bool, ...]
    """Per input: one element for the whole tensor."""
    aligned: bool
    """All addresses are multiples of 16 bytes."""
    block: int
    """Elements that a program computes at a time."""
    span: int
    """Elements of a chunk: a multiple of the block."""


def chunks(sizes: Sequence[int], span: int) -> list[tuple[int, int]]:
    """(row, first element) of every program."""
    return [(row, first) for row, size in enumerate(sizes) for first in range(0, size, span)]


def tile(sizes: Sequence[int]) -> tuple[int, int]:
    """(block, span) for tensors of these sizes; in the interpreter few large blocks, where each costs a millisecond."""
    if INTERPRET:
        block = min(65536, triton.next_power_of_2(max(*sizes, 1)))
        return block, 4 * block
    return 1024, 8192 if sum(sizes) >= 1 << 22 else 2048


def prepare(expression: Expression, variant: Variant, programs: int) -> Call:
    """The call for `programs` chunks; its arguments are the addresses of table and chunks, then the scalars."""
    return Call(build(expression, variant), (programs,), ())


@cache
def build(expression: Expression, variant: Variant) -> Kernel:
    """The kernel of one expression and variant."""
    signature = {"table_ptr": "*i64", "chunks_ptr": "*i64"}
    signature |= {f"s{k}": SCALAR[dtype] for k, dtype in enumerate(expression.scalars)}
    constants = {"BLOCK": variant.block, "SPAN": variant.span}
    return define(f"multi_{expression.name.strip('_')}", signature, constants, _body(expression, variant))


def _body(expression: Expression, variant: Variant) -> list[str]:
    inputs = [f"x{k}" for k in range(len(expression.inputs))]
    outputs = [f"y{k}" for k in range(len(expression.outputs))]
    dtypes = (*expression.inputs, *expression.outputs)
    lines = [
        "chunk = tl.program_id(0)",
        "row = tl.load(chunks_ptr + 2 * chunk)",
        "start = tl.multiple_of(tl.load(chunks_ptr + 2 * chunk + 1), 16)",
        f"at = table_ptr + row * {1 + len(dtypes)}",
        "size = tl.load(at)",
    ]
    for k, (name, dtype) in enumerate(zip([*inputs, *outputs], dtypes, strict=True), 1):
        address = f"tl.load(at + {k}).to(tl.pointer_type({TYPE[dtype]}))"
        lines.append(f"{name}_ptr = {f'tl.multiple_of({address}, 16)' if variant.aligned else address}")
    lines += [f"{name} = tl.load({name}_ptr)" for name, one in zip(inputs, variant.single, strict=True) if one]
    moving = [name for name, one in zip(inputs, variant.single, strict=True) if not one]

    def block(mask: str) -> list[str]:
        return [
            *(f"{name} = tl.load({name}_ptr + index{mask})" for name in moving),
            *expression.lines,
            *(f"tl.store({name}_ptr + index, {value}{mask})"
              for name, value in zip(outputs, expression.results, strict=True)),
        ]  # fmt: skip

    return [
        *lines,
        "for first in range(start, tl.minimum(start + SPAN, size), BLOCK):",
        "    index = first + tl.arange(0, BLOCK)",
        "    if first + BLOCK <= size:",
        *(f"        {line}" for line in block("")),
        "    else:",
        *(f"        {line}" for line in block(", mask=index < size")),
    ]


WORDS = 64
"""Words that one launch of `words` writes."""


@cache
def words() -> Kernel:
    """The kernel that writes its arguments, up to `WORDS` integers of 64 bits, to memory."""
    signature = {"out_ptr": "*i64"} | {f"w{k}": "i64" for k in range(WORDS)} | {"count": "i32"}
    body = [f"tl.store(out_ptr + {k}, w{k}, mask=count > {k})" for k in range(WORDS)]
    return define("words", signature, {}, body)


@triton.jit
def partial_norms(
    table_ptr, chunks_ptr, partial_ptr, ORDER: tl.constexpr, TYPE: tl.constexpr, STATE: tl.constexpr,
    ALIGNED: tl.constexpr, BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Per chunk: the sum of squares (ORDER 2), of magnitudes (1), or the largest magnitude (0), NaN if there is one."""
    chunk = tl.program_id(0)
    row = tl.load(chunks_ptr + 2 * chunk)
    start = tl.multiple_of(tl.load(chunks_ptr + 2 * chunk + 1), 16)
    size = tl.load(table_ptr + row * 2)
    x_ptr = tl.load(table_ptr + row * 2 + 1).to(tl.pointer_type(TYPE))
    if ALIGNED:
        x_ptr = tl.multiple_of(x_ptr, 16)
    total = tl.zeros((BLOCK,), STATE)
    for first in range(start, tl.minimum(start + SPAN, size), BLOCK):
        index = first + tl.arange(0, BLOCK)
        if first + BLOCK <= size:
            x = tl.abs(tl.load(x_ptr + index).to(STATE))
        else:
            x = tl.abs(tl.load(x_ptr + index, mask=index < size, other=0).to(STATE))
        if ORDER == 2:
            total += x * x
        elif ORDER == 1:
            total += x
        else:
            total = scalar.nan_maximum(total, x)
    tl.store(partial_ptr + chunk, _together(total, ORDER))


@triton.jit
def norms(partial_ptr, starts_ptr, out_ptr, ORDER: tl.constexpr, STATE: tl.constexpr, BLOCK: tl.constexpr):
    """Per row: the norm from the partial results of its chunks, which stand at starts[row] to starts[row + 1]."""
    row = tl.program_id(0)
    start = tl.load(starts_ptr + row)
    stop = tl.load(starts_ptr + row + 1)
    total = tl.zeros((BLOCK,), STATE)
    for first in range(start, stop, BLOCK):
        index = first + tl.arange(0, BLOCK)
        x = tl.load(partial_ptr + index, mask=index < stop, other=0)
        if ORDER == 0:
            total = scalar.nan_maximum(total, x)
        else:
            total += x
    norm = _together(total, ORDER)
    if ORDER == 2:
        norm = scalar.square_root(norm)
    tl.store(out_ptr + row, norm.to(out_ptr.dtype.element_ty))


@triton.jit
def _together(x, ORDER: tl.constexpr):
    if ORDER == 0:
        largest = tl.max(tl.where(x != x, 0.0, x), 0)
        return tl.where(tl.max((x != x).to(tl.int32), 0) > 0, float("nan"), largest)
    return tl.sum(x, 0)
