"""What random ops do inside vmap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowtorch.autograd.levels import Level
from flowtorch.func.batched import Batched, Call, batch, rule
from flowtorch.func.rules_pointwise import aligned
from flowtorch.ops import random
from flowtorch.ops.dispatch import flat_inputs, interpret_inplace
from flowtorch.tensor import Tensor

_ERROR = (
    "vmap: called random operation while in randomness error mode. Choose vmap(..., randomness='different') or 'same', "
    "or draw outside of vmap"
)
_UNBATCHED = (
    "vmap: Cannot ask for different inplace randomness on an unbatched tensor: one tensor can only hold one draw. "
    "Expand it to the batch first"
)


class _Maps(threading.local):
    """The vmaps that the running thread is in: (level, randomness, batch size), innermost last."""

    def __init__(self) -> None:
        self.stack: list[tuple[Level, str, int]] = []

    def check_draw(self) -> None:
        """Refuse a draw into a tensor that is no batch where every example wants its own numbers."""
        for _, randomness, _ in reversed(self.stack):
            if randomness == "error":
                raise RuntimeError(_ERROR)
            if randomness == "different":
                raise RuntimeError(_UNBATCHED)

    def draw(self, make: Callable, shape: tuple) -> Tensor:
        """A new random tensor: ``make`` gets the shape with a dimension for every vmap that wants different numbers."""
        if any(randomness == "error" for _, randomness, _ in self.stack):
            raise RuntimeError(_ERROR)
        wanted = [(level, size) for level, randomness, size in self.stack if randomness == "different"]
        kept, self.stack = self.stack, []
        try:
            result = make((*[size for _, size in wanted], *shape))
        finally:
            self.stack = kept
        return _nested(result, wanted)


def _nested(value: Tensor, wanted: list) -> Tensor:
    """``value`` as a batch of the innermost level around one of the next outer, whose dimension comes first in it."""
    if not wanted:
        return value
    (level, _), rest = wanted[0], wanted[1:]
    return _nested(batch(value, level), rest)


maps = _Maps()


@contextmanager
def randomness_of(level: Level, randomness: str, size: int) -> Iterator[None]:
    """The block runs inside a vmap with this randomness."""
    maps.stack.append((level, randomness, size))
    random.under_vmap.append(maps)
    try:
        yield
    finally:
        maps.stack.pop()
        random.under_vmap.remove(maps)


@contextmanager
def outside(level: int) -> Iterator[None]:
    """The block runs one level below this vmap."""
    kept = maps.stack
    at = next((k for k, (opened, _, _) in enumerate(kept) if opened.number == level), len(kept))
    maps.stack = kept[:at]
    try:
        yield
    finally:
        maps.stack = kept


def randomness_at(level: int) -> str:
    """The randomness of the vmap of this level."""
    return next((r for opened, r, _ in maps.stack if opened.number == level), "error")


def fill_batch(call: Call, level: int) -> None:
    """An in-place draw into a batch: all of it, or one example for all."""
    mode = randomness_at(level)
    if mode == "error":
        raise RuntimeError(_ERROR)
    values = list(call.values)
    n = call.op.positional
    with outside(level):
        if mode == "different":
            interpret_inplace(
                call.op, tuple(values[:n]), dict(zip(call.op.names[n:], values[n:], strict=True))
            )
            return
        target = values[0]
        values[0] = target.select(0, 0).clone() if call.size else target
        interpret_inplace(call.op, tuple(values[:n]), dict(zip(call.op.names[n:], values[n:], strict=True)))
        target.copy_(values[0].expand(target.shape))


@rule("_bernoulli", "poisson", "_multinomial", "_normal", "_binomial", "_gamma", "_dirichlet")
def draw_batch(call: Call) -> Any:
    """Draws whose parameters are batches: each example its own."""
    level = next(t.level for t in flat_inputs(call.op, call.logical) if type(t) is Batched)
    mode = randomness_at(level)
    if mode == "error":
        raise RuntimeError(_ERROR)
    if mode == "same":
        raise RuntimeError(
            "Vmap does not currently support same randomness with a batched tensor input: each example would draw from "
            "other parameters. Use randomness='different'"
        )
    values = aligned(call, call.op.tensor_index)
    with outside(level):
        if call.op.name == "_multinomial" and call.rank(0) == 2:
            input = values[0]
            drawn = call.run([input.flatten(0, 1), *values[1:]])
            return drawn.unflatten(0, tuple(input.shape[:2]))
        return call.run(values)
