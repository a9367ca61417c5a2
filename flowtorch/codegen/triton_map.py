"""Calls of mapping kernels and of hand-written ones with device arrays: types, strides and grids from the arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from flowtorch.array.cuda import address, element_strides, kernel_module

from . import planner

_NONE: Mapping = MappingProxyType({})


def grid_map(
    name: str,
    shape: Sequence[int],
    lines: Sequence[str],
    inputs: Mapping[str, Any] = _NONE,
    outputs: Mapping[str, Any] = _NONE,
    tables: Mapping[str, Any] = _NONE,
    numbers: Mapping[str, int] = _NONE,
    scalars: Mapping[str, tuple[Any, str]] = _NONE,
    constants: Mapping[str, int] = _NONE,
    block: int = 1024,
) -> None:
    """Run `lines` at every point of the space `shape`; see triton_kernels/mapping.py for what they may say.

    inputs, outputs: arrays with an element per point (inputs are broadcast), loaded and stored by name.
    tables:          arrays that the lines address through ``{name}_ptr``.
    numbers:         integers; scalars: (value, dtype) of numbers of a stated dtype.
    """
    shape = tuple(shape)
    if 0 in shape:
        return
    arrays = (*inputs.values(), *outputs.values())
    places = [address(array) for array in arrays]
    aligned = not any(place & 15 for place in places)
    key = (
        name, shape, tuple(lines), aligned, block,
        *[(array.dtype, array.shape, array.strides) for array in arrays], len(inputs), *inputs, *outputs,
        *[(key, array.dtype, _reach(array)) for key, array in tables.items()],
        *[(key, -(2**31) <= value < 2**31) for key, value in numbers.items()],
        *[(key, dtype) for key, (_, dtype) in scalars.items()], *constants.items(),
    )  # fmt: skip
    call = _plans.get(key)
    if call is None:
        if len(_plans) > 4096:  # ever new shapes must not grow it for ever
            _plans.clear()
        rest = (tables, numbers, scalars, constants, block, aligned)
        call = _plans[key] = _plan(name, shape, lines, inputs, outputs, *rest)
    places += [address(array) for array in tables.values()]
    values = [value for value, _ in scalars.values()]
    kernel_module("launch").launch(call.kernel, call.grid, (*places, *values, *numbers.values(), *call.integers))


_plans: dict[tuple, Any] = {}


def _plan(
    name: str, shape: tuple, lines: Sequence[str], inputs: Mapping, outputs: Mapping, tables: Mapping, numbers: Mapping,
    scalars: Mapping, constants: Mapping, block: int, aligned: bool,
) -> Any:  # fmt: skip
    """The call of a mapping kernel for operands of one layout, but for addresses, scalars and numbers."""
    total = math.prod(shape)
    mapping = kernel_module("mapping")
    arrays = [*inputs.values(), *outputs.values()]
    strides = [planner.broadcast_strides(a.shape, element_strides(a), shape) for a in arrays]
    wide = total >= 2**31 or any(_reach(a) for a in (*arrays, *tables.values()))
    kinds = [tuple("0" if n == 1 or s == 0 else "1" if s == 1 else "n" for n, s in zip(shape, own, strict=True))
             for own in strides]  # fmt: skip
    operands = [
        mapping.Operand(key, array.dtype.name, kind)
        for (key, array), kind in zip((*inputs.items(), *outputs.items()), kinds, strict=True)
    ]
    made = mapping.Map(
        name,
        tuple(lines),
        len(shape),
        tuple(operands[: len(inputs)]),
        tuple(operands[len(inputs) :]),
        tuple((key, array.dtype.name) for key, array in tables.items()),
        tuple((key, dtype) for key, (_, dtype) in scalars.items()),
        tuple((key, not -(2**31) <= value < 2**31) for key, value in numbers.items()),
        tuple(constants.items()),
        wide,
        aligned and _round(total, shape, strides, kinds),
        mapping.block_size(total, block),
    )
    return mapping.prepare(made, shape, tuple(strides), ())


def _round(total: int, shape: tuple, strides: list, kinds: list) -> bool:
    """Whether all numbers that a kernel is given are multiples of 16, so that it may move 16 bytes at once."""
    pairs = [pair for own, kind in zip(strides, kinds, strict=True) for pair in zip(own, kind, strict=True)]
    return all(n % 16 == 0 for n in (total, *shape[1:], *(step for step, kind in pairs if kind == "n")))


def run(
    function: Any, grid: tuple[int, ...], *arguments: Any, warps: int = 4, stages: int = 3, **constants: Any
) -> None:
    """Launch the Triton function over `grid`: arrays become pointers, ints i32 or i64, floats fp32.

    A numpy int64 is always an i64, and one kernel serves all its values: for numbers that change from call to call.
    """
    types: list[str] = []
    values: list[Any] = []
    round: list[bool] = []  # as Triton's own launcher does: a multiple of 16 lets the kernel move 16 bytes at once
    pointer = kernel_module("compile").POINTER
    for value in arguments:
        if type(value) is np.int64:
            types.append("i64")
            values.append(int(value))
            round.append(False)
        elif isinstance(value, (int, np.integer)):
            types.append("i32" if -(2**31) <= value < 2**31 else "i64")
            values.append(int(value))
            round.append(not value & 15)
        elif isinstance(value, float):
            types.append("fp32" if type(value) is float else "fp64")  # numpy's float64 is a float, too
            values.append(value)
            round.append(False)
        else:
            types.append(pointer[value.dtype.name])
            values.append(address(value))
            round.append(not values[-1] & 15)
    key = function, tuple(types), tuple(round), warps, stages, *constants.items()
    kernel = _variants.get(key)
    if kernel is None:
        names = [name for name in function.arg_names if name not in constants]
        divisible = frozenset([name for name, whole in zip(names, round, strict=False) if whole])
        kernel = _variants[key] = kernel_module("direct").variant(
            function, tuple(types), tuple(constants.items()), divisible, warps=warps, stages=stages
        )
    kernel_module("launch").launch(kernel, grid, tuple(values))


_variants: dict[tuple, Any] = {}


def _reach(array: Any) -> bool:
    steps = element_strides(array)
    return sum(abs(step) * (size - 1) for size, step in zip(array.shape, steps, strict=True)) >= 2**31
