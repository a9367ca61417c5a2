"""Joint layout planning: one iteration space for all operands of a pointwise kernel.

Broadcast, drop dimensions of size one, order by the output's strides, and merge neighbours that are
mergeable in every operand. Strides count elements. Most calls end as one contiguous dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_INT32_LIMIT = 2**31 - 1
Dim = tuple[int, tuple[int, ...]]
"""A dimension: its size, and its stride in every operand."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The iteration space planned for one kernel call."""

    kind: str
    """"contiguous": one dimension, unit strides. "inner": the last dimension has unit strides. "general": any
    strides. An input's stride in a unit-stride dimension may also be 0."""
    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    """Per operand, outermost dimension first."""
    scalars: tuple[bool, ...]
    """Per operand: the same single element everywhere."""
    index_bits: int
    """32, or 64 where an offset or the element count does not fit."""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """The strides that read an operand of `shape` as one of the broadcast shape `target`."""
    missing = len(target) - len(shape)
    if missing < 0:
        raise ValueError(f"shape {tuple(shape)} does not broadcast to {tuple(target)}")
    result = [0] * missing
    for size, stride, wanted in zip(shape, strides, target[missing:], strict=True):
        if size != wanted and size != 1:
            raise ValueError(f"shape {tuple(shape)} does not broadcast to {tuple(target)}")
        result.append(stride if size == wanted else 0)
    return tuple(result)


@lru_cache(maxsize=16384)
def plan(shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], outputs: int = 1) -> Layout:
    """Plan a kernel over `shape` for operands of broadcast `strides`, the last `outputs` of them written."""
    dims = list(zip(shape, zip(*strides, strict=True), strict=True)) if shape else []
    first_output = len(strides) - outputs
    for size, steps in dims:
        if size > 1 and 0 in steps[first_output:]:
            raise ValueError("an output of a kernel has several elements in one place")
    merged = _merge(dims, lambda dim: (*dim[1][first_output:], *dim[1][:first_output]))
    return _layout(merged or [(1, (1,) * len(strides))], len(strides), first_output)


def _merge(dims: list[Dim], order: Callable[[Dim], tuple[int, ...]]) -> list[Dim]:
    """Dimensions of more than one element, largest strides first; neighbours merged where all strides
    allow."""
    merged: list[Dim] = []
    wide = [dim for dim in dims if dim[0] != 1]
    for size, steps in sorted(wide, key=lambda dim: tuple(map(abs, order(dim))), reverse=True):
        if merged and all(outer == inner * size for outer, inner in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * size, steps)
        else:
            merged.append((size, steps))
    return merged


def _layout(dims: list[Dim], operands: int, first_output: int) -> Layout:
    shape = tuple(size for size, _ in dims)
    strides = tuple(tuple(steps[k] for _, steps in dims) for k in range(operands))
    scalars = tuple(not any(own) for own in strides)
    inner = dims[-1][1]
    unit = all(step == 1 or (step == 0 and k < first_output) for k, step in enumerate(inner))
    if not unit:
        kind = "general"
    elif len(dims) == 1:
        kind = "contiguous"
    else:
        kind = "inner"
    reach = max(sum(abs(step) * (size - 1) for size, step in zip(shape, own, strict=True)) for own in strides)
    wide = max(reach, math.prod(shape)) > _INT32_LIMIT
    return Layout(kind, shape, strides, scalars, 64 if wide else 32)


@dataclass(frozen=True, slots=True)
class ReductionLayout:
    """The iteration space planned for one reduction."""

    kept: tuple[tuple[int, ...], ...]
    """(size, stride in each input, stride in the output) of the kept dimensions, outermost first."""
    reduced: tuple[tuple[int, ...], ...]
    """(size, stride in each input) of the reduced dimensions, outermost first."""
    index_bits: int


@lru_cache(maxsize=4096)
def plan_reduction(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...], dims: tuple[int, ...], output: tuple[int, ...]
) -> ReductionLayout:
    """Plan the reduction of `dims` of inputs with `strides`; `output` has the strides of the result's dimensions."""
    places = iter(output)
    steps = list(zip(*strides, strict=True))
    kept: list[Dim] = [(n, (*steps[d], next(places))) for d, n in enumerate(shape) if d not in dims]
    reduced: list[Dim] = [(shape[d], steps[d]) for d in dims]
    # the first input decides the order: it is never smaller than the others
    outer, inner = _merge(kept, lambda dim: (dim[1][-1], *dim[1][:-1])), _merge(reduced, lambda dim: dim[1])
    reach = max(sum(abs(own[1][k]) * (own[0] - 1) for own in (*outer, *inner)) for k in range(len(strides)))
    return ReductionLayout(
        tuple((size, *own) for size, own in outer),
        tuple((size, *own) for size, own in inner),
        64 if max(reach, math.prod(shape)) > _INT32_LIMIT else 32,
    )


@lru_cache(maxsize=16384)
def output_strides(shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The strides of a new dense output that keeps the inputs' order of dimensions, as PyTorch does.

    `strides` are the inputs' own, broadcast to `shape`; a broadcast dimension has stride 0 in them. Orders
    list the innermost dimension first.
    """
    standard = [tuple(reversed(range(len(shape))))] + ([(1, 3, 2, 0)] if len(shape) == 4 else [])  # channels last
    broadcast = any(0 in own for own in strides)        # then PyTorch sorts, even where the result is all but settled
    for order in standard:
        packed = _pack(shape, order)
        if 0 in shape or (not broadcast and all(_same(shape, own, packed) for own in strides)):
            return packed
    if not broadcast and all(own == strides[0] for own in strides) and _dense(shape, strides[0]):
        return strides[0]
    order = list(standard[0])

    def compare(left: int, right: int) -> int:
        for own in strides:
            if own[left] == 0 or own[right] == 0:
                continue
            if own[left] != own[right]:
                return -1 if own[left] < own[right] else 1
            if shape[left] > shape[right]:
                return 1
        return 0

    for start in range(1, len(order)):
        position = start
        for before in reversed(range(start)):
            outcome = compare(order[before], order[position])
            if outcome > 0:
                order[before], order[position] = order[position], order[before]
                position = before
            elif outcome < 0:
                break
    return _pack(shape, order)


def _pack(shape: tuple[int, ...], order: Sequence[int]) -> tuple[int, ...]:
    """The strides of a dense array whose dimensions lie in memory in `order`, innermost first."""
    result, step = [0] * len(shape), 1
    for dim in order:
        result[dim] = step
        step *= max(shape[dim], 1)
    return tuple(result)


def _same(shape: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return all(a == b for size, a, b in zip(shape, left, right, strict=True) if size != 1)


def _dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for size, stride in sorted(zip(shape, strides, strict=True), key=lambda dim: (dim[1], dim[0])):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True
