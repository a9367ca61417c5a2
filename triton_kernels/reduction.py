"""Reductions over any set of dimensions: sum, mean, prod, amax, amin, any, all.

One template serves rows and columns: a tile of (kept, reduced) elements walks along the reduced dimensions,
combining into an accumulator tile that is reduced once at the end. Triton lays the tile out along whichever
side is contiguous. A reduction with few results is split over programs and finished by a second, small one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import triton

from .compile import INTERPRET, TYPE, Call, Kernel, define, pointer
from .indexing import coordinates, offset

_PROGRAMS_WANTED = 512
_ELEMENTS_PER_SPLIT = 8192


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of reduction combines, in kernel source."""

    identity: dict[str, str]
    """The neutral element, by category of the accumulator: f(loat), i(nteger) or b(ool)."""
    combine: str
    """A new accumulator from {acc} and {x}, element by element."""
    finish: str
    """The accumulator tile {acc} reduced along axis 1."""


_LOWEST = {"f": 'float("-inf")', "i": "LOWEST"}
_HIGHEST = {"f": 'float("inf")', "i": "HIGHEST"}
RULES = {
    "sum": Rule({"f": "0.0", "i": "0"}, "{acc} + {x}", "tl.sum({acc}, 1)"),
    "mean": Rule({"f": "0.0"}, "{acc} + {x}", "tl.sum({acc}, 1)"),
    "prod": Rule({"f": "1.0", "i": "1"}, "{acc} * {x}", "tl.reduce({acc}, 1, scalar.multiply)"),
    "amax": Rule(_LOWEST, "scalar.{nan}maximum({acc}, {x})", "tl.reduce({acc}, 1, scalar.{nan}maximum)"),
    "amin": Rule(_HIGHEST, "scalar.{nan}minimum({acc}, {x})", "tl.reduce({acc}, 1, scalar.{nan}minimum)"),
    "any": Rule({"i": "0"}, "{acc} | {x}", "tl.max({acc}, 1)"),
    "all": Rule({"i": "1"}, "{acc} & {x}", "tl.min({acc}, 1)"),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """What a reduction kernel is specialised on."""

    rule: str
    dtypes: tuple[str, str, str]
    """Of the input, the output, and the accumulator, which holds what is combined."""
    kept: int
    reduced: int
    """How many dimensions are kept and reduced."""
    unit: str
    """The side whose innermost stride in the input is 1: "kept", "reduced", or ""."""
    wide: bool
    aligned: bool
    tile: tuple[int, int]
    average: bool
    """Divide the result by the number of elements."""


def accumulator(rule: str, input: str, output: str) -> str:
    """The dtype that `rule` over elements of `input` accumulates in to give `output`."""
    if rule in ("any", "all"):
        return "int32"
    if rule in ("amax", "amin"):
        return {"float16": "float32", "bfloat16": "float32", "bool": "int32"}.get(input, input)
    if "float" in output:
        return "float64" if "float64" in (input, output) else "float32"
    return "int64"


@lru_cache(maxsize=4096)
def prepare(
    rule: str,
    input: str,
    output: str,
    kept: tuple[tuple[int, ...], ...],
    reduced: tuple[tuple[int, ...], ...],
    wide: bool = False,
    aligned: bool = False,
    elements: int | None = None,
) -> tuple[tuple[Call, ...], tuple[int, str] | None]:
    """The calls that reduce `input` into `output`, and the workspace they need as (elements, dtype) or None.

    kept:    (size, stride in the input, stride in the output) of every kept dimension, outermost first.
    reduced: (size, stride in the input) of every reduced dimension.
    The one call takes (input, output); two calls take (input, workspace) and (workspace, output).
    """
    space = _Space(kept, reduced, wide, aligned, elements)
    state = accumulator(rule, input, output)
    splits = _splits(space)
    if splits == 1:
        count = space.inner if rule == "mean" else None
        return (_call(rule, (input, output, state), space, 1, count),), None
    places = _dense(space, splits)
    partial = tuple((size, step, place) for (size, step, _), place in zip(kept, places, strict=True))
    first = _call(rule, (input, state, state), replace(space, kept=partial), splits, None)
    rest = tuple((size, place, step) for (size, _, step), place in zip(kept, places, strict=True))
    remaining = replace(space, kept=rest, reduced=((splits, 1),))
    # any and all are 0 or 1 by now
    again = {"any": "amax", "all": "amin"}.get(rule, rule)
    second = _call(again, (state, output, state), remaining, 1, space.inner if rule == "mean" else None)
    return (first, second), (space.outer * splits, state)


@dataclass(frozen=True, slots=True)
class _Space:
    kept: tuple[tuple[int, ...], ...]
    reduced: tuple[tuple[int, ...], ...]
    wide: bool
    aligned: bool
    elements: int | None

    @property
    def outer(self) -> int:
        return math.prod(size for size, _, _ in self.kept)

    @property
    def inner(self) -> int:
        return math.prod(size for size, _ in self.reduced)


def _splits(space: _Space) -> int:
    """How many programs share one result."""
    if INTERPRET and space.elements is None:
        return 1
    wanted = _PROGRAMS_WANTED // max(space.outer, 1)
    return max(1, min(wanted, space.inner // (space.elements or _ELEMENTS_PER_SPLIT)))


def _dense(space: _Space, last: int) -> list[int]:
    """Strides of a dense array of the kept sizes and a last dimension of `last`, without that dimension's."""
    strides, step = [], last
    for size, _, _ in reversed(space.kept):
        strides.append(step)
        step *= size
    return strides[::-1]


def _call(rule: str, dtypes: tuple[str, str, str], space: _Space, splits: int, count: int | None) -> Call:
    kept, reduced = space.kept, space.reduced
    unit = "reduced" if reduced and reduced[-1][1] == 1 else "kept" if kept and kept[-1][1] == 1 else ""
    tile = _tile(space, unit, dtypes[2])
    steps = [step for _, step, _ in kept] + [step for _, step in reduced]
    if unit:
        steps.remove(1)
    even = all(number % 16 == 0 for number in (*steps, space.inner if unit == "reduced" else space.outer))
    variant = Variant(
        rule,
        dtypes,
        len(kept),
        len(reduced),
        unit,
        space.wide,
        space.aligned and even,
        tile,
        count is not None,
    )
    chunk = triton.cdiv(triton.cdiv(space.inner, splits), tile[1]) * tile[1]
    integers = (
        space.outer, space.inner, chunk, 1 if count is None else count,
        *(size for size, _, _ in kept[1:]), *(size for size, _ in reduced[1:]),
        *(step for _, step, _ in kept), *(step for _, step in reduced), *(step for _, _, step in kept),
    )  # fmt: skip
    return Call(build(variant), (triton.cdiv(space.outer, tile[0]), splits), integers)


def _tile(space: _Space, unit: str, state: str) -> tuple[int, int]:
    # 64-bit accumulators and addresses each take twice the registers
    fitting = 4096 // (2 if space.wide else 1) // (2 if state.endswith("64") else 1)
    limit = space.elements or (65536 if INTERPRET else fitting)
    rows = triton.next_power_of_2(max(space.outer, 1))
    cols = triton.next_power_of_2(max(space.inner, 1))
    if unit == "reduced" or INTERPRET:
        width = min(cols, limit)
        return min(rows, max(limit // width, 1)), width
    height = min(rows, 64)
    return height, min(cols, limit // height)


@cache
def build(variant: Variant) -> Kernel:
    """The kernel of one variant."""
    sizes = [
        *(f"k{dim}" for dim in range(1, variant.kept)),
        *(f"r{dim}" for dim in range(1, variant.reduced)),
    ]
    steps = [f"xk{dim}" for dim in range(variant.kept)] + [f"xr{dim}" for dim in range(variant.reduced)]
    places = [f"yk{dim}" for dim in range(variant.kept)]
    integers = ["kept", "reduced", "chunk", "count", *sizes, *steps, *places]
    signature = {"x_ptr": pointer(variant.dtypes[0]), "y_ptr": pointer(variant.dtypes[1])}
    signature |= dict.fromkeys(integers, "i64" if variant.wide else "i32")
    divisible = frozenset(["x_ptr", *steps, variant.unit, "chunk"]) if variant.aligned else frozenset()
    constants = {"KEPT": variant.tile[0], "REDUCED": variant.tile[1]}
    return define(variant.rule, signature, constants, _body(variant), divisible & {*integers, "x_ptr"})


def _body(variant: Variant) -> list[str]:
    rule = RULES[variant.rule]
    category = "f" if variant.dtypes[2].startswith("float") else "i"
    state = TYPE[variant.dtypes[2]]
    identity = rule.identity[category]
    if identity in ("LOWEST", "HIGHEST"):
        identity = _extreme(variant.dtypes[2], identity)
    words = {"nan": "nan_" if category == "f" else "", "acc": "acc", "x": "x"}
    wide = ".to(tl.int64)" if variant.wide else ""
    x_kept = [f"xk{dim}" for dim in range(variant.kept)]
    x_reduced = [f"xr{dim}" for dim in range(variant.reduced)]
    if variant.unit == "kept":
        x_kept[-1] = "1"
    elif variant.unit == "reduced":
        x_reduced[-1] = "1"
    inner = offset("ir", x_reduced) if variant.reduced else "r * 0"
    load = "x != 0" if variant.rule in ("any", "all") else "x"
    return [
        f"k = tl.program_id(0){wide} * KEPT + tl.arange(0, KEPT)",
        *(coordinates("k", ["", *(f"k{dim}" for dim in range(1, variant.kept))], "ik") if variant.kept else []),
        f"x_at = x_ptr + ({offset('ik', x_kept) if variant.kept else 'k * 0'})[:, None]",
        f"acc = tl.full((KEPT, REDUCED), {identity}, {state})",
        f"start = tl.program_id(1){wide} * chunk",
        "stop = tl.minimum(start + chunk, reduced)",
        "for begin in range(start, stop, REDUCED):",
        "    r = begin + tl.arange(0, REDUCED)",
        *(f"    {line}" for line in coordinates("r", ["", *(f"r{d}" for d in range(1, variant.reduced))], "ir")),
        "    mask = (k < kept)[:, None] & (r < stop)[None, :]",
        f"    x = tl.load(x_at + ({inner})[None, :], mask=mask)",
        f"    x = tl.where(mask, ({load}).to({state}), tl.full((), {identity}, {state}))",
        f"    acc = {rule.combine.format(**words)}",
        f"total = {rule.finish.format(**words)}",
        *([f"total = total / count.to({state})"] if variant.average else []),
        f"y_at = {offset('ik', [f'yk{dim}' for dim in range(variant.kept)]) if variant.kept else 'k * 0'}",
        # splits of one result lie next to each other in the workspace
        f"tl.store(y_ptr + y_at + tl.program_id(1), {_stored('total', variant)}, mask=k < kept)",
    ]


def _stored(name: str, variant: Variant) -> str:
    return f"{name} != 0" if variant.dtypes[1] == "bool" else f"{name}.to({TYPE[variant.dtypes[1]]})"


def _extreme(dtype: str, which: str) -> str:
    unsigned = dtype.startswith("u")
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    if which == "LOWEST":
        return "0" if unsigned else str(-(2 ** (bits - 1)))
    return str(2**bits - 1 if unsigned else 2 ** (bits - 1) - 1)
