"""Whose derivative made a gradient wrong: derivatives replayed on the other side's values, and difference quotients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errormodel import EPS, SUSPICIOUS, UNITS
from .replay import Replay, Way, values_of
from .steperror import added, coarsest, movement
from .trace import Event, Trace

STEP = 1e-6  # of a difference quotient, relative to the size of the input
DIRECTIONS = 3


class Derivatives:
    """The derivatives of paired calls. ``there`` replays on the other side's values."""

    def __init__(
        self, ours: Trace, theirs: Trace, pair: dict[int, int], takers: dict, there: Replay, skipped: list[str]
    ) -> None:
        self.ours, self.theirs, self.pair, self.takers = ours, theirs, pair, takers
        self.there, self.skipped = there, skipped
        self.second: dict[int, float] = {}

    def other(self, number: int) -> Event | None:
        e, match = self.ours.events[number], self.pair.get(number)
        return None if match is None or e.call is None else self.theirs.events[match]

    def judge(self, e: Event, b: str, uses: list[tuple[int, int]]) -> tuple[float | None, int | None, str]:
        """(error of our derivatives on their values against their gradient ``b``, the call to blame, in which way).

        Where a value is used more than once, the call to blame is the one whose derivative is furthest from a
        difference quotient.
        """
        off = self.first_order(e.sweep, b, uses)
        if off is not None and off <= 1:
            return off, None, ""
        again = self.ran_before(e)
        if again:
            return self.second_order(again)
        if off is None:
            return None, None, ""
        if len({number for number, _ in uses}) == 1:
            return off, uses[0][0], "gradient"
        errors = [(self.quotient_error(number, k, e.sweep), number) for number, k in uses]
        return off, max(errors)[1], "gradient"

    def first_order(self, sweep: int, b: str, uses: list[tuple[int, int]]) -> float | None:
        """The error of the sum of what the uses send; None if not all of them can be replayed."""
        others = [(self.ours.events[n], self.other(n), k) for n, k in uses]
        if not others or any(other is None for _, other, _ in others):
            return None

        def total(way: Way) -> list[np.ndarray]:
            parts = [self.there.derivative(e, other, sweep, k, way) for e, other, k in others if other is not None]
            return [np.sum(parts, axis=0)]

        def spread() -> Iterator[np.ndarray]:
            try:
                for (moves,) in movement(total):
                    yield moves
            except Exception as problem:  # not every derivative has a double precision form
                self.skipped.append(f"a derivative in double precision: {type(problem).__name__}: {problem}")

        try:
            (got,) = total(Way())
        except Exception as problem:  # whatever a recorded call may raise on other values
            self.skipped.append(f"a derivative could not be replayed: {type(problem).__name__}: {problem}")
            return None
        seen = [d for _, other, _ in others if other is not None for d in (*other.inputs, *other.outputs)]
        coarse = coarsest([*(self.theirs.dtypes[d] for d in (b, *seen)), *(e.autocast for e, _, _ in others)])
        expected = self.theirs.values[b]
        return added(got.astype(expected.dtype), expected, self.theirs.dtypes[b], coarse, expected.size, spread)

    def worst_by_itself(self, numbers: list[int], sweep: int) -> int | None:
        """Among calls that only our side makes, the one whose derivative is no difference quotient of it, here."""
        itself = {n: n for n in numbers}
        alone = Derivatives(
            self.ours, self.ours, itself, self.takers, Replay(self.there.library, self.ours), self.skipped
        )
        errors = []
        for n in numbers:
            e = self.ours.events[n]
            inexact = [k for k, d in enumerate(e.inputs) if self.ours.dtypes[d] in EPS]
            if e.call is not None and any(s == sweep for s, _ in e.grads):
                errors.append((max((alone.quotient_error(n, k, sweep) for k in inexact), default=0.0), n))
        return max(errors)[1] if errors and max(errors)[0] > 1 else None

    # ---- passes through derivatives

    def ran_before(self, e: Event) -> list[int]:
        """The calls whose derivatives this pass may have run through: those of a pass before that was recorded too."""
        before = {sweep for sweep in self.ours.recorded_sweeps if sweep < e.sweep}
        touched: set[int] = set()
        for n, k in e.of if before else ():
            touched.add(n)
            if k >= 0:
                touched.update(c for c, _ in self.takers[n, k])
            else:  # a leaf: whatever took the same value
                leaf = self.ours.events[n].inputs[-1 - k]
                touched.update(c for c, x in enumerate(self.ours.events) if leaf in x.inputs)
        through = {s for n in touched for s, _ in self.ours.events[n].grads if s in before}
        return [n for n, x in enumerate(self.ours.events) if any(s in through for s, _ in x.grads)]

    def second_order(self, numbers: list[int]) -> tuple[float | None, int | None, str]:
        """The call whose derivative is not the derivative's: (how far off, its number); no blame where none is."""
        for n in numbers:
            if n not in self.second:
                self.second[n] = self.second_error(n)
        worst = max(numbers, key=self.second.__getitem__)
        if self.second[worst] <= SUSPICIOUS:
            return None, None, ""
        return self.second[worst], worst, "gradient of the gradient"

    def second_error(self, number: int) -> float:
        """Our second derivatives of one call against difference quotients of its first, in double precision."""
        e, other = self.ours.events[number], self.other(number)
        if other is None:
            return 0.0
        sweep = next(s for s, _ in e.grads if s in self.ours.recorded_sweeps)
        rng, worst = np.random.default_rng(0), 0.0
        try:
            for k in [k for k, d in enumerate(other.inputs) if self.theirs.dtypes[d] in EPS]:
                for j in [j for j, d in enumerate(other.inputs) if self.theirs.dtypes[d] in EPS]:
                    worst = max(worst, self.mixed_error(e, other, sweep, k, j, rng))
        except Exception as problem:  # functions that cannot be differentiated twice
            self.skipped.append(f"second derivative of {e.name}: {type(problem).__name__}: {problem}")
        return worst

    def mixed_error(self, e: Event, other: Event, sweep: int, k: int, j: int, rng: Any) -> float:
        """How far d/dx_j of the derivative in x_k is off, along one direction of each."""
        grad = self.there.library.autograd.grad
        out, given = self.there.call(e, other.inputs, other.drawn, Way(wide=True), grad=True)
        roots = [(i, t) for i, t in enumerate(out) if t.requires_grad and (sweep, i) in other.grads]
        if not roots:
            return 0.0
        incoming = [self.there.tensor(other.grads[sweep, i], Way(wide=True)) for i, _ in roots]
        (first,) = grad([t for _, t in roots], [given[k]], incoming, create_graph=True, allow_unused=True)
        if first is None:
            return 0.0
        weights = self.there.library.from_numpy(rng.choice([-1.0, 1.0], tuple(first.shape)))
        (second,) = grad((first * weights).sum(), [given[j]], allow_unused=True) if first.requires_grad else (None,)
        x = np.asarray(self.theirs.values[other.inputs[j]], np.float64)
        direction = rng.choice([-1.0, 1.0], x.shape)
        size = max(float(np.abs(x).max(initial=0.0)), 1e-3) * STEP
        ends = []
        for sign in (1.0, -1.0):
            moved = self.moved(x + sign * size * direction)
            inputs = [*other.inputs[:j], "moved", *other.inputs[j + 1 :]]
            at = Event("forward", e.name, inputs, other.outputs, ("", 0, ""))
            at.grads, at.drawn = other.grads, other.drawn
            ends.append(float((moved.derivative(e, at, sweep, k, Way(wide=True)) * values_of(weights)).sum()))
        slope = (ends[0] - ends[1]) / 2 / size
        ours = 0.0 if second is None else float((values_of(second) * direction).sum())
        scale = abs(slope) + (0.0 if second is None else float(np.sqrt((values_of(second) ** 2).sum())))
        scale += 1e-3 * max(map(abs, ends))  # what the difference itself may have lost
        return abs(ours - slope) / (UNITS * 1e-6 * scale + 1e-30)

    def moved(self, values: np.ndarray) -> Replay:
        trace = Trace("moved")
        trace.values = {**self.theirs.values, "moved": values}
        trace.dtypes = {**self.theirs.dtypes, "moved": "float64"}
        return Replay(self.there.library, trace)

    # ---- difference quotients

    def quotient_error(self, number: int, k: int, sweep: int) -> float:
        """Our derivative of one call on their values against a difference quotient of the call in double precision."""
        e, other = self.ours.events[number], self.other(number)
        if other is None:
            return 0.0
        try:
            return self.checked(e, other, k, sweep)
        except Exception as problem:  # functions without a double precision form
            self.skipped.append(f"derivative of {e.name} at {e.where}: {type(problem).__name__}: {problem}")
            return 0.0

    def checked(self, e: Event, other: Event, k: int, sweep: int) -> float:
        out, _ = self.there.call(e, other.inputs, other.drawn, grad=True)
        roots = [i for i, t in enumerate(out) if t.requires_grad and (sweep, i) in other.grads]
        got = self.there.derivative(e, other, sweep, k).astype(np.float64)
        rng, worst = np.random.default_rng(0), 0.0
        x = np.asarray(self.theirs.values[other.inputs[k]], np.float64)
        size = max(float(np.abs(x).max(initial=0.0)), 1e-3) * STEP
        for _ in range(DIRECTIONS):
            direction = rng.choice([-1.0, 1.0], x.shape)
            slope = self.slope(e, other, sweep, k, x, size * direction, roots) / size
            ours = float((got * direction).sum())
            scale = float(np.sqrt((got**2).sum())) + abs(slope)
            dtype = self.theirs.dtypes[other.inputs[k]]
            limit = UNITS * max(EPS[dtype], 1e-7) * np.sqrt(x.size) * scale * 4 + 1e-30
            worst = max(worst, abs(ours - slope) / limit)
        return worst

    def slope(self, e: Event, other: Event, sweep: int, k: int, x: Any, step: Any, roots: list[int]) -> float:
        """How the incoming gradients times the results change along ``step``: half the difference of two calls."""
        ends = []
        for sign in (1.0, -1.0):
            inputs = [*other.inputs[:k], "moved", *other.inputs[k + 1 :]]
            out, _ = self.moved(x + sign * step).call(e, inputs, other.drawn, Way(wide=True))
            g = [np.asarray(self.theirs.values[other.grads[sweep, i]], np.float64) for i in roots]
            ends.append(sum(float((values_of(out[i]) * gi).sum()) for i, gi in zip(roots, g, strict=True)))
        return (ends[0] - ends[1]) / 2
