"""Reductions over any set of dimensions: sum, mean, prod, amax, amin, any, all, and exclusive or of bits.

One template serves rows and columns: a tile of (kept, reduced) elements walks along the reduced dimensions,
combining into an accumulator tile that is reduced once at the end. Triton lays the tile out along whichever
side is contiguous. A reduction with few results is split over programs and finished by a second, small one.
What is combined may be an expression of several operands, and the result may pass through another before it is stored:
a norm or a variance reads its input and writes its result, and nothing in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import triton

from .compile import INTERPRET, SCALAR, TYPE, Call, Kernel, define, pointer
from .indexing import coordinates, offset
from .pointwise import Expression

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
    "xor": Rule({"i": "0"}, "{acc} ^ {x}", "tl.xor_sum({acc}, 1)"),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """What a reduction kernel is specialised on."""

    rule: str
    inputs: tuple[str, ...]
    """The dtypes of the inputs."""
    output: str
    state: str
    """The dtype of the accumulator, which holds what is combined."""
    kept: int
    reduced: int
    """How many dimensions are kept and reduced."""
    unit: tuple[str, ...]
    """Per input, the side whose innermost stride is 1: "kept", "reduced", or ""."""
    alone: tuple[str, ...]
    """Per input, the only side along which it varies, so that its elements are read once for the other: or ""."""
    wide: bool
    aligned: bool
    tile: tuple[int, int]
    average: bool
    """Divide the result by the number of elements."""
    before: Expression | None
    """What is combined, of the inputs x0, x1, ...; None combines the only input itself."""
    after: Expression | None
    """What is stored, of the result x0."""


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
    inputs: tuple[str, ...],
    output: str,
    kept: tuple[tuple[int, ...], ...],
    reduced: tuple[tuple[int, ...], ...],
    wide: bool = False,
    aligned: bool = False,
    elements: int | None = None,
    before: Expression | None = None,
    after: Expression | None = None,
) -> tuple[tuple[Call, ...], tuple[int, str] | None]:
    """The calls that reduce `inputs` into `output`, and the workspace they need as (elements, dtype) or None.

    kept:    (size, stride in each input, stride in the output) of every kept dimension, outermost first.
    reduced: (size, stride in each input) of every reduced dimension.
    The one call takes (inputs, output), then the scalars of `before` and `after`; two calls take (inputs, workspace)
    and the scalars of `before`, and (workspace, output) and those of `after`.
    """
    space = _Space(kept, reduced, wide, aligned, elements)
    state = accumulator(rule, before.outputs[0] if before else inputs[0], output)
    splits = _splits(space)
    count = space.inner if rule == "mean" else None
    if splits == 1:
        return (_call(rule, (inputs, output, state), space, 1, count, before, after),), None
    places = _dense(space, splits)
    partial = tuple((*own[:-1], place) for own, place in zip(kept, places, strict=True))
    first = _call(rule, (inputs, state, state), replace(space, kept=partial), splits, None, before, None)
    rest = tuple((own[0], place, own[-1]) for own, place in zip(kept, places, strict=True))
    remaining = replace(space, kept=rest, reduced=((splits, 1),))
    # any and all are 0 or 1 by now
    again = {"any": "amax", "all": "amin"}.get(rule, rule)
    second = _call(again, ((state,), output, state), remaining, 1, count, None, after)
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
        return math.prod(own[0] for own in self.kept)

    @property
    def inner(self) -> int:
        return math.prod(own[0] for own in self.reduced)


def _splits(space: _Space) -> int:
    """How many programs share one result."""
    if INTERPRET and space.elements is None:
        return 1
    wanted = _PROGRAMS_WANTED // max(space.outer, 1)
    return max(1, min(wanted, space.inner // (space.elements or _ELEMENTS_PER_SPLIT)))


def _dense(space: _Space, last: int) -> list[int]:
    """Strides of a dense array of the kept sizes and a last dimension of `last`, without that dimension's."""
    strides, step = [], last
    for own in reversed(space.kept):
        strides.append(step)
        step *= own[0]
    return strides[::-1]


def _call(
    rule: str, dtypes: tuple[tuple[str, ...], str, str], space: _Space, splits: int, count: int | None,
    before: Expression | None, after: Expression | None,
) -> Call:  # fmt: skip
    kept, reduced = space.kept, space.reduced
    inputs = range(len(dtypes[0]))
    unit = tuple(_unit(kept, reduced, 1 + k) for k in inputs)
    tile = _tile(space, unit[0], dtypes[2])
    steps = [step for own in kept for step in own[1:-1]] + [step for own in reduced for step in own[1:]]
    ends = [space.inner if side == "reduced" else space.outer for side in unit]
    even = all(number % 16 == 0 for number in (*(step for step in steps if step != 1), *ends))
    variant = Variant(
        rule,
        *dtypes,
        len(kept),
        len(reduced),
        unit,
        tuple(_alone(kept, reduced, 1 + k) for k in inputs),
        space.wide,
        space.aligned and even,
        tile,
        count is not None,
        before,
        after,
    )
    chunk = triton.cdiv(triton.cdiv(space.inner, splits), tile[1]) * tile[1]
    integers = (
        space.outer, space.inner, chunk, 1 if count is None else count,
        *(own[0] for own in kept[1:]), *(own[0] for own in reduced[1:]),
        *(step for k in inputs for dims in (kept, reduced) for step in (own[1 + k] for own in dims)),
        *(own[-1] for own in kept),
    )  # fmt: skip
    return Call(build(variant), (triton.cdiv(space.outer, tile[0]), splits), integers)


def _unit(kept: tuple[tuple[int, ...], ...], reduced: tuple[tuple[int, ...], ...], position: int) -> str:
    if reduced and reduced[-1][position] == 1:
        return "reduced"
    return "kept" if kept and kept[-1][position] == 1 else ""


def _alone(kept: tuple[tuple[int, ...], ...], reduced: tuple[tuple[int, ...], ...], position: int) -> str:
    if position == 1:  # the first input sets the shape of the tile
        return ""
    along, across = (any(own[position] for own in dims) for dims in (kept, reduced))
    return "" if along and across else "reduced" if across else "kept"


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
    inputs = range(len(variant.inputs))
    steps = [f"x{k}_{side}{dim}" for k in inputs
             for side, dims in (("k", variant.kept), ("r", variant.reduced)) for dim in range(dims)]  # fmt: skip
    places = [f"yk{dim}" for dim in range(variant.kept)]
    integers = ["kept", "reduced", "chunk", "count", *sizes, *steps, *places]
    pointers = [f"x{k}_ptr" for k in inputs]
    signature = {name: pointer(dtype) for name, dtype in zip(pointers, variant.inputs, strict=True)}
    signature["y_ptr"] = pointer(variant.output)
    for letter, expression in (("s", variant.before), ("a", variant.after)):
        types = expression.scalars if expression else ()
        signature |= {f"{letter}{k}": SCALAR[dtype] for k, dtype in enumerate(types)}
    signature |= dict.fromkeys(integers, "i64" if variant.wide else "i32")
    divisible = frozenset([*pointers, *steps, *variant.unit, "chunk"]) if variant.aligned else frozenset()
    constants = {"KEPT": variant.tile[0], "REDUCED": variant.tile[1]}
    name = variant.before.name if variant.before else variant.rule
    return define(name, signature, constants, _body(variant), divisible & {*integers, *pointers})


def _body(variant: Variant) -> list[str]:
    rule = RULES[variant.rule]
    category = "f" if variant.state.startswith("float") else "i"
    state = TYPE[variant.state]
    identity = rule.identity[category]
    if identity in ("LOWEST", "HIGHEST"):
        identity = _extreme(variant.state, identity)
    words = {"nan": "nan_" if category == "f" else "", "acc": "acc", "x": "x"}
    wide = ".to(tl.int64)" if variant.wide else ""
    ahead: list[str] = []
    loads: list[str] = []
    for k, (unit, alone) in enumerate(zip(variant.unit, variant.alone, strict=True)):
        kept = [f"x{k}_k{dim}" for dim in range(variant.kept)]
        inner = [f"x{k}_r{dim}" for dim in range(variant.reduced)]
        if unit:
            (kept if unit == "kept" else inner)[-1] = "1"
        at = f"({offset('ik', kept) if variant.kept else 'k * 0'})[:, None]"
        place = f"({offset('ir', inner) if variant.reduced else 'r * 0'})[None, :]"
        if alone == "kept":
            ahead.append(f"x{k} = tl.load(x{k}_ptr + {at}, mask=(k < kept)[:, None])")
        elif alone == "reduced":
            loads.append(f"x{k} = tl.load(x{k}_ptr + {place}, mask=(r < stop)[None, :])")
        else:
            ahead.append(f"x{k}_at = x{k}_ptr + {at}")
            loads.append(f"x{k} = tl.load(x{k}_at + {place}, mask=mask)")
    value = "x0"
    if variant.before:
        loads += variant.before.lines
        value = variant.before.results[0]
    if variant.rule in ("any", "all"):
        value = f"{value} != 0"
    return [
        f"k = tl.program_id(0){wide} * KEPT + tl.arange(0, KEPT)",
        *(coordinates("k", ["", *(f"k{dim}" for dim in range(1, variant.kept))], "ik") if variant.kept else []),
        *ahead,
        f"acc = tl.full((KEPT, REDUCED), {identity}, {state})",
        f"start = tl.program_id(1){wide} * chunk",
        "stop = tl.minimum(start + chunk, reduced)",
        "for begin in range(start, stop, REDUCED):",
        "    r = begin + tl.arange(0, REDUCED)",
        *(f"    {line}" for line in coordinates("r", ["", *(f"r{d}" for d in range(1, variant.reduced))], "ir")),
        "    mask = (k < kept)[:, None] & (r < stop)[None, :]",
        *(f"    {line}" for line in loads),
        f"    x = tl.where(mask, ({value}).to({state}), tl.full((), {identity}, {state}))",
        f"    acc = {rule.combine.format(**words)}",
        f"total = {rule.finish.format(**words)}",
        *([f"total = total / count.to({state})"] if variant.average else []),
        *_epilogue(variant),
        f"y_at = {offset('ik', [f'yk{dim}' for dim in range(variant.kept)]) if variant.kept else 'k * 0'}",
        # splits of one result lie next to each other in the workspace
        f"tl.store(y_ptr + y_at + tl.program_id(1), {_stored('total', variant)}, mask=k < kept)",
    ]


def _epilogue(variant: Variant) -> list[str]:
    if variant.after is None:
        return []
    given = [f"s{k} = a{k}" for k in range(len(variant.after.scalars))]
    return ["x0 = total", *given, *variant.after.lines, f"total = {variant.after.results[0]}"]


def _stored(name: str, variant: Variant) -> str:
    return f"{name} != 0" if variant.output == "bool" else f"{name}.to({TYPE[variant.output]})"


def _extreme(dtype: str, which: str) -> str:
    unsigned = dtype.startswith("u")
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    if which == "LOWEST":
        return "0" if unsigned else str(-(2 ** (bits - 1)))
    return str(2**bits - 1 if unsigned else 2 ** (bits - 1) - 1)
