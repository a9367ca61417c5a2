"""Reading and writing at computed places: the two kernels under every op that takes indices.

A space of points is mapped to places in an array: some of its dimensions step through the array by a stride, others
look their position up in arrays of indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, faults, instant, strided
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.planner import broadcast_strides
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops.cuda.base import INT64, bits, cast, copy_into, dense, parts
from flowtorch.ops.cuda.scans import order


@dataclass(slots=True)
class Lookup:
    """A dimension of the array whose positions stand in an array of indices."""

    index: Any
    """Broadcasts to the space."""
    stride: int
    size: int
    wrap: bool = False
    """Negative indices count from the end."""


@dataclass(slots=True)
class Places:
    """Where the points of a space lie in an array."""

    shape: tuple[int, ...]
    steps: tuple[int, ...]
    """Per dimension of the space: the stride in the array, 0 where only look-ups move."""
    lookups: Sequence[Lookup]
    what: str
    """The op, for messages."""

    def lines(self) -> list[str]:
        """Statements that compute ``at``, the place of each point, and ``ok``, whether it lies inside."""
        terms = [f"c{d} * s{d}" for d, step in enumerate(self.steps) if step]
        found = [f"at = {' + '.join(terms) or 'i * 0'}", "ok = m"]
        for k, lookup in enumerate(self.lookups):
            if lookup.wrap:
                found.append(f"k{k} = tl.where(k{k} < 0, k{k} + z{k}, k{k})")
            found += [f"ok = ok & (k{k} >= 0) & (k{k} < z{k})", f"at = at + k{k} * t{k}"]
        return [*found, "tl.store(fault_ptr + i * 0, code, mask=m & (ok == 0))"]

    @property
    def inputs(self) -> dict[str, Any]:
        return {f"k{k}": lookup.index for k, lookup in enumerate(self.lookups)}

    @property
    def numbers(self) -> dict[str, int]:
        found = {f"s{d}": step for d, step in enumerate(self.steps) if step}
        for k, lookup in enumerate(self.lookups):
            found |= {f"z{k}": lookup.size, f"t{k}": lookup.stride}
        return found | {"code": faults.code(f"{self.what}: index out of bounds")}

    def split(self, array: Any) -> tuple[Places, Any]:
        """The same places in an array of complex numbers seen as something that kernels can move."""
        words = bits(array)
        if words.ndim == array.ndim:
            return self, words
        lookups = [Lookup(k.index[..., None], 2 * k.stride, k.size, k.wrap) for k in self.lookups]
        return Places((*self.shape, 2), (*[2 * s for s in self.steps], 1), lookups, self.what), words


class Outline:
    """An array's shape and dtype, for checks that would have to wait for the device to see its elements."""

    def __init__(self, array: Any):
        self.shape, self.ndim, self.size, self.dtype = array.shape, array.ndim, array.size, array.dtype

    def view(self, dtype: Any) -> np.ndarray:
        return np.zeros(1, dtype)

    def min(self) -> int:
        return 0

    max = min


def outline(array: Any) -> Any:
    """What checks may look at: the array itself where that costs nothing, else its shape."""
    return array if instant() else Outline(array)


def read(source: Any, places: Places) -> Any:
    """A new array of the elements of ``source`` at ``places``."""
    result = empty(places.shape, source.dtype)
    at, words = places.split(source)
    lines = [*at.lines(), "y = tl.load(x_ptr + at, mask=ok, other=0)"]
    grid_map("read", at.shape, lines, at.inputs, {"y": bits(result)}, {"x": words, "fault": faults.word()}, at.numbers)
    return result


def write(target: Any, places: Places, values: Any) -> None:
    """Write ``values`` (broadcast) into ``target`` at ``places``; which of several for one place stays is open."""
    if values.dtype != target.dtype:
        values = cast(values, target.dtype)
    at, words = places.split(target)
    given = bits(values)
    if given.ndim > values.ndim and len(at.shape) - given.ndim > 0:
        given = given.reshape((1,) * (len(at.shape) - given.ndim) + given.shape)
    lines = [*at.lines(), "tl.store(x_ptr + at, v, mask=ok)"]
    grid_map("write", at.shape, lines, {**at.inputs, "v": given}, {}, {"x": words, "fault": faults.word()}, at.numbers)


_ATOMIC = ("float32", "float64", "int32", "int64")
_COMBINE = {
    "sum": "acc + v",
    "mean": "acc + v",
    "prod": "acc * v",
    "amax": "scalar.nan_maximum(acc, v)",
    "amin": "scalar.nan_minimum(acc, v)",
}


def accumulate(target: Any, places: Places, values: Any, rule: str = "sum", include_self: bool = True) -> None:
    """Combine ``values`` into ``target`` at ``places``: with atomic additions, or in order after a stable sort.

    The sorted way gives the same result each time and rounds once; it is taken where deterministic algorithms are
    asked for, for dtypes without atomic additions and for every rule but "sum".
    """
    from flowtorch.ops.queries import are_deterministic_algorithms_enabled

    if not math.prod(places.shape):
        return
    if target.dtype.kind == "c":
        if rule != "sum":
            raise NotImplementedError(f"no kernel reduces complex numbers by '{rule}' at indices on device 'cuda'")
        _add_complex(target, places, values)
        return
    if rule == "sum" and include_self and target.dtype.name in _ATOMIC and not are_deterministic_algorithms_enabled():
        lines = [*places.lines(), "tl.atomic_add(x_ptr + at, v, mask=ok)"]
        given = {**places.inputs, "v": cast(values, target.dtype)}
        grid_map("add", places.shape, lines, given, {}, {"x": target, "fault": faults.word()}, places.numbers)
        return
    _reduce_sorted(target, places, values, rule, include_self)


def _add_complex(target: Any, places: Places, values: Any) -> None:
    lookups = [Lookup(k.index, 2 * k.stride, k.size, k.wrap) for k in places.lookups]
    doubled = Places(places.shape, tuple(2 * step for step in places.steps), lookups, places.what)
    for plane, part in zip(parts(target), parts(values), strict=True):
        accumulate(plane, doubled, dense(part))


def _reduce_sorted(target: Any, places: Places, values: Any, rule: str, include_self: bool) -> None:
    shape = places.shape
    moving = [d for d in range(len(shape)) if any(_varies(k.index, d, shape) for k in places.lookups)]
    fixed = [d for d in range(len(shape)) if d not in moving]
    keys = empty([shape[d] for d in moving], INT64)
    drop = (..., *[0] * len(fixed))
    lookups = [
        Lookup(spread_to(k.index, shape).transpose([*moving, *fixed])[drop], k.stride, k.size, k.wrap)
        for k in places.lookups
    ]
    own = Places(tuple(shape[d] for d in moving), tuple(places.steps[d] for d in moving), lookups, places.what)
    lines = [*own.lines(), "y = tl.where(ok, at, -1).to(tl.int64)"]
    grid_map("place_keys", own.shape, lines, own.inputs, {"y": keys}, {"fault": faults.word()}, own.numbers)
    flat = keys.reshape(1, -1)
    sequence = dense(order(flat, False))
    ordered = empty((flat.size,), INT64)
    lines = ["y = tl.load(k_ptr + p, mask=m)"]
    grid_map("ordered", (flat.size,), lines, {"p": sequence[0]}, {"y": ordered}, {"k": flat})
    spread = dense(spread_to(values, shape).transpose([*moving, *fixed]))
    space = (flat.size, *[shape[d] for d in fixed])
    _fold(target, rule, include_self, ordered, sequence, spread, space, [places.steps[d] for d in fixed])


def _fold(
    target: Any, rule: str, include_self: bool, keys: Any, sequence: Any, values: Any, space: tuple, steps: list[int]
) -> None:
    state = {"bool": "int32"}.get(target.dtype.name, compute_type(target.dtype.name))
    combine = _COMBINE[rule]
    division = "divide" if state.startswith("f") else "integer_floor_divide"
    divide = f"scalar.{division}(acc, n.to(acc.dtype))"
    lines = [
        "key = tl.load(keys_ptr + c0, mask=m, other=-1)",
        "before = tl.load(keys_ptr + c0 - 1, mask=m & (c0 > 0), other=-2)",
        "go = m & (key >= 0) & (before != key)",
        f"at = key{''.join(f' + c{d + 1} * s{d}' for d, step in enumerate(steps))}",
        f"acc = tl.load(x_ptr + at, mask=go, other=0).to(tl.{state})",
        "first = go",
        "n = tl.full((BLOCK,), SELF, tl.int32)",
        "j = c0",
        "while tl.max(go.to(tl.int32), 0) > 0:",
        "    p = tl.load(sequence_ptr + j, mask=go, other=0)",
        f"    v = tl.load(values_ptr + p.to(tl.int64) * width + i % width, mask=go, other=0).to(tl.{state})",
        f"    new = {combine}" if include_self else f"    new = tl.where(j == c0, v, {combine})",
        "    acc = tl.where(go, new, acc)",
        "    n += go.to(tl.int32)",
        "    j += 1",
        "    following = tl.load(keys_ptr + j, mask=go & (j < count), other=-2)",
        "    go = go & (j < count) & (following == key)",
    ]
    if rule == "mean":
        lines.append(f"acc = tl.where(n > 0, {divide}, acc)")
    stored = "acc != 0" if target.dtype == bool else f"acc.to(tl.{target.dtype.name})"
    lines.append(f"tl.store(x_ptr + at, {stored}, mask=first)")
    numbers = {f"s{d}": step for d, step in enumerate(steps)}
    tables = {"x": target, "keys": keys, "sequence": sequence, "values": values}
    numbers |= {"count": space[0], "width": math.prod(space[1:])}
    grid_map(f"fold_{rule}", space, lines, {}, {}, tables, numbers, constants={"SELF": int(include_self)}, block=256)


def _varies(index: Any, dim: int, shape: tuple) -> bool:
    d = dim - (len(shape) - index.ndim)
    return d >= 0 and index.shape[d] != 1 and element_strides(index)[d] != 0


def spread_to(array: Any, shape: tuple) -> Any:
    """The array broadcast to a shape, as a view."""
    return strided(array, shape, broadcast_strides(array.shape, element_strides(array), shape))


def along_dim(array: Any, dim: int, index: Any, what: str, shape: tuple, wrap: bool = False) -> Places:
    """The places whose position along ``dim`` stands in ``index``, of the space's shape; the rest is its own."""
    steps = list(element_strides(array))
    lookup = Lookup(index, steps[dim], array.shape[dim], wrap)
    steps[dim] = 0
    return Places(tuple(shape), tuple(steps), [lookup], what)


def slices(array: Any, dim: int, index: Any, what: str) -> Places:
    """The places of the slices that the vector ``index`` names along ``dim``."""
    shape = [*array.shape[:dim], index.size, *array.shape[dim + 1 :]]
    return along_dim(array, dim, index.reshape([-1 if d == dim else 1 for d in range(array.ndim)]), what, tuple(shape))


def written(input: Any, change: Callable[[Any], None]) -> Any:
    """A copy of ``input`` with its order of dimensions, changed."""
    result = empty(input.shape, input.dtype, element_strides(input))
    copy_into(result, input)
    change(result)
    return result
