"""Two recordings side by side: the first call that adds an error of its own, and how errors grow.

What a call's result is off by has two parts. The error that it *adds* shows when the candidate's call is run again on
the other side's inputs; the rest it *inherits* from calls before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errormodel import SUSPICIOUS, reduction_length
from .alignment import Alignment, flowing_in
from .calls import RANDOM
from .derivatives import Derivatives
from .replay import Replay
from .steperror import Kept, added, coarsest, distance, movement
from .trace import Event, Trace

NOISE = 1e-5  # of the largest gradient of a step: smaller ones may be what cancelled terms leave
GROSS = 1e5  # allowances that no error inherited from calls before explains, where nothing can be replayed


class Step:
    """One pair of calls: their errors in units of what rounding explains (1 is the error model's allowance)."""

    def __init__(self, number: int, event: Event, total: float, added: float | None, kind: str = "") -> None:
        self.number, self.event, self.total, self.added, self.kind = number, event, total, added, kind

    @property
    def diverges(self) -> bool:
        return self.added is not None and self.added > SUSPICIOUS

    def describe(self) -> str:
        e = self.event
        module = f" in {e.module}" if e.module else ""
        added = "not replayed" if self.added is None else f"adds {short(self.added)}"
        what = f"{self.kind or 'error'}: {added}, total {short(self.total)} times the allowance"
        return f"{e.phase} {e.name}{module} at {e.where}: {e.text}\n    {what}"


def shown(e: Event, phase: str) -> Event:
    """A call as what it is to blame for in another phase."""
    return Event(phase, e.name, e.inputs, e.outputs, (e.file, e.line, e.text), e.module)


def short(x: float) -> str:
    return f"{x:.3g}"


class Lockstep:
    """The analysis. ``library`` is the candidate, whose calls can be run again."""

    def __init__(self, ours: Trace, theirs: Trace, library: Any) -> None:
        self.ours, self.theirs, self.library = ours, theirs, library
        self.alignment = Alignment(ours, theirs)
        self.there = Replay(library, theirs)
        self.skipped: list[str] = []
        pairs = self.alignment.pair, self.alignment.takers
        self.derivatives = Derivatives(ours, theirs, *pairs, self.there, self.skipped)
        self.settled: set[tuple[str, str]] = set()  # values that differ, of which it is known why
        self.steps = [step for n, e in enumerate(ours.events) if (step := self.step(n, e)) is not None]

    @property
    def first(self) -> Step | None:
        return next((s for s in self.steps if s.diverges), None)

    def step(self, n: int, e: Event) -> Step | None:
        if e.phase == "backward":
            return self.gradient(n, e)
        match = self.alignment.pair.get(n)
        return None if match is None else self.call(n, e, self.theirs.events[match])

    # ---- calls and steps of optimizers

    def call(self, n: int, e: Event, other: Event) -> Step:
        extra = self.inserted(e, other) or self.other_settings(n, e, other)
        if extra is not None:
            return extra
        pairs = list(zip(e.outputs, other.outputs, strict=False))
        total = max((self.error(a, b, e) for a, b in pairs), default=0.0)
        if all(a == b for a, b in pairs):
            return Step(n, e, 0.0, 0.0)
        if e.phase == "schedule":
            return Step(n, e, total, total if e.inputs == other.inputs else 0.0, "another learning rate")
        if e.drawn and e.drawn != other.drawn and e.inputs == other.inputs:
            return Step(n, e, total, total, "the random numbers differ, the generator's state before them too")
        return Step(n, e, total, self.replayed(e, other))

    def other_settings(self, n: int, e: Event, other: Event) -> Step | None:
        """An optimizer's step whose hyperparameters are not the other side's."""
        for number, (here, there) in enumerate(zip(e.settings, other.settings, strict=False)):
            for name in [k for k in here if k in there and here[k] != there[k]]:
                if name != "lr" or not self.rate_is_inherited(e, here[name], there[name]):
                    kind = f"{name} is {here[name]} in group {number}, {there[name]} there"
                    return Step(n, e, float("inf"), float("inf"), kind)
        return None

    def rate_is_inherited(self, e: Event, here: float, there: float) -> bool:
        """Whether a schedule before this step has set both rates, so that it is to blame if they differ."""
        for n, before in enumerate(self.ours.events):
            if before is e:
                return False
            match = self.alignment.pair.get(n)
            if before.phase == "schedule" and match is not None:
                sides = self.ours.values[before.outputs[0]], self.theirs.values[self.theirs.events[match].outputs[0]]
                if here in sides[0] and there in sides[1]:
                    return True
        return False

    def inserted(self, e: Event, other: Event) -> Step | None:
        """A call on one side only, if what it changed is what goes in here."""
        for a, b in flowing_in(e, other):
            if (a, b) in self.settled or (self.alignment.same(a, b) and self.connected(a, b)):
                continue
            self.settled.add((a, b))
            off = self.error(a, b, e)
            if off <= 1 or self.explained(a, b):
                continue
            ours = self.unpaired(a, self.alignment.made_by_us, set(self.alignment.pair))
            if ours is not None:
                return Step(ours, self.ours.events[ours], off, off, "a call that the other side does not make")
            behind = self.differentiated(e, a, b, off)
            if behind is not None and off > SUSPICIOUS:
                kind = "gradient through calls that the other side makes otherwise"
                return Step(behind, shown(self.ours.events[behind], "backward"), off, off, kind)
            theirs = self.unpaired(b, self.alignment.made_by_them, set(self.alignment.pair.values()))
            if theirs is not None:
                return Step(theirs, self.theirs.events[theirs], off, off, "a call that only the other side makes")
        return None

    def differentiated(self, e: Event, a: str, b: str, off: float) -> int | None:
        """The call without a partner whose derivative gave the gradient ``a`` of a parameter; None if that is noise."""
        if e.phase != "optimizer":
            return None
        theirs = [self.theirs.values[d] for d in self.alignment.values_of_step(e) if d in self.theirs.values]
        sizes = [float(np.abs(v).max(initial=0.0)) for v in theirs if v.dtype.kind == "f"]
        if not np.abs(self.theirs.values[b]).max(initial=0.0) > NOISE * max(sizes, default=0.0):
            return None
        found = [x for x in self.ours.events if x.phase == "backward" and x.name == "leaf" and x.outputs[0] == a]
        alone = [n for x in found for n, _ in x.of if n not in self.alignment.pair]
        if not alone:
            return None
        line = self.ours.events[alone[0]].where  # all the calls that this line of the program makes there
        near = [n for n, x in enumerate(self.ours.events) if x.where == line and n not in self.alignment.pair]
        guilty = self.derivatives.worst_by_itself(near, found[-1].sweep)
        return alone[0] if guilty is None and off > GROSS else guilty

    def explained(self, a: str, b: str) -> bool:
        """Whether our own calls behind ``a``, made again from the other side's values, give ``b``.

        Then both sides compute the same in different steps, and what differs was there before.
        """
        stands: dict[str, str] = {}
        chain = self.alignment.own_calls(a)
        if not chain:
            return False
        again = Trace("again")
        again.values, again.dtypes = dict(self.theirs.values), dict(self.theirs.dtypes)
        length = 1.0
        try:
            for n in chain:
                e = self.ours.events[n]
                inputs = [stands.get(d) or self.alignment.counterpart(d) or d for d in e.inputs]
                for d in inputs:
                    if d not in again.values:
                        again.keep(d, self.ours.values[d], self.ours.dtypes[d])
                length = max(length, self.length(e))
                for d, values in zip(e.outputs, Replay(self.library, again).results(e, inputs, e.drawn), strict=False):
                    stands[d] = f"{d} again"
                    again.keep(stands[d], values, self.ours.dtypes[d])
            got, expected = again.values[stands[a]], self.theirs.values[b]
        except Exception as problem:  # whatever a recorded call may raise on other values
            self.skipped.append(f"{self.ours.events[chain[-1]].name}: {type(problem).__name__}: {problem}")
            return False
        return distance(got, expected, self.ours.dtypes[a], length) <= SUSPICIOUS

    def connected(self, a: str, b: str) -> bool:
        """Whether a pair of calls gave both values, so that what differs is known already."""
        if a == b or (a, b) in self.alignment.gradients:
            return True
        pairs = self.alignment.pair
        return any(pairs.get(n) in self.alignment.made_by_them.get(b, ()) for n in self.alignment.made_by_us.get(a, ()))

    @staticmethod
    def unpaired(digest: str, made: dict[str, list[int]], paired: set[int]) -> int | None:
        found = [n for n in made.get(digest, ()) if n not in paired]
        return found[-1] if found and len(found) == len(made[digest]) else None

    def error(self, a: str, b: str, e: Event) -> float:
        """How far two values are apart, in allowances."""
        x, y = self.ours.values.get(a), self.theirs.values.get(b)
        if a == b or x is None or y is None:
            return 0.0
        return distance(x, y, self.ours.dtypes[a], self.length(e))

    def length(self, e: Event) -> float:
        shapes = [self.ours.values[d].shape for d in e.inputs if d in self.ours.values]
        outs = [self.ours.values[d].shape for d in e.outputs if d in self.ours.values]
        return 1.0 if e.phase == "optimizer" else reduction_length(shapes, outs)

    def replayed(self, e: Event, other: Event) -> float | None:
        """The error that our call makes on their inputs; None if it cannot be run again."""
        names = range(len(other.outputs)) if e.phase != "optimizer" else other.names[1]
        try:
            got = self.again(e, other)
        except Exception as problem:  # whatever a recorded call may raise on other values
            self.skipped.append(f"{e.name} at {e.where}: {type(problem).__name__}: {problem}")
            return None
        dtypes = [e.autocast, *(self.theirs.dtypes[d] for d in (*other.inputs, *other.outputs))]
        stages = Kept(self.movement(e, other))

        def spread(name: Any) -> Iterator[Any]:
            return (moves[name] for moves in stages if name in moves)

        worst = 0.0
        for name, b in zip(names, other.outputs, strict=True):
            if name in got and b in self.theirs.values:
                values, dtype = self.theirs.values[b], self.theirs.dtypes[b]
                off = added(got[name], values, dtype, coarsest(dtypes), self.length(e), lambda name=name: spread(name))
                worst = max(worst, off)
        return worst

    def again(self, e: Event, other: Event, *way: Any) -> dict[Any, np.ndarray]:
        """The results of our call on their inputs, by name or number."""
        if e.phase == "optimizer":
            return self.there.step(e, other, *way)
        if e.phase == "accumulation":
            return dict(enumerate(self.there.accumulation(other.inputs, *way)))
        return dict(enumerate(self.there.results(e, other.inputs, other.drawn, *way)))

    def movement(self, e: Event, other: Event) -> Iterator[dict[Any, np.ndarray]]:
        """By how much the results move, by name or number; nothing for calls that draw random numbers."""
        names: list = []

        def run(way: Any) -> list[np.ndarray]:
            found = self.again(e, other, way)
            names[:] = found
            return list(found.values())

        try:
            for moves in movement(run) if not e.drawn else ():
                yield dict(zip(names, moves, strict=True))
        except Exception as problem:  # not every function has a double precision form
            self.skipped.append(f"{e.name} at {e.where} in double precision: {type(problem).__name__}: {problem}")

    # ---- backward

    def gradient(self, n: int, e: Event) -> Step | None:
        """A gradient that arrived: whose derivative made it wrong, if it is."""
        b, a = self.alignment.their_gradient(e), e.outputs[0]
        if b is None or b not in self.theirs.values or a not in self.ours.values:
            return None
        if a == b:
            return Step(n, e, 0.0, 0.0)
        x, y = self.ours.values[a], self.theirs.values[b]
        total = distance(x, y, self.ours.dtypes[a], max(x.size, 1))
        added, guilty, kind = self.derivatives.judge(e, b, self.uses(e, n))
        if guilty is None:
            return Step(n, e, total, added)
        return Step(guilty, shown(self.ours.events[guilty], "backward"), total, added, kind)

    def uses(self, e: Event, before: int) -> list[tuple[int, int]]:
        """(event, input) of the calls that took what ``e`` is the gradient of, and that this pass went through."""
        number, k = e.of[0]
        if k < 0:
            return [(c, -1 - j) for c, j in e.of]
        takers = self.alignment.takers[number, k]
        return [(c, j) for c, j in takers if c < before and any(s == e.sweep for s, _ in self.ours.events[c].grads)]

    # ---- nan and inf

    def origin(self) -> tuple[Event, str] | None:
        return not_finite(self.ours)


def not_finite(trace: Trace) -> tuple[Event, str] | None:
    """The first call that makes nan or inf out of finite inputs, and which of them."""
    for e in trace.events:
        if e.phase == "backward" or e.name in ("empty", "full") or (e.call and endless(e.call[1:])):
            continue
        values = [trace.values[d] for d in e.outputs if d in trace.values]
        bad = [v for v in values if v.dtype.kind in "fc" and not np.isfinite(v).all()]
        inputs = [trace.values[d] for d in e.inputs if d in trace.values]
        if bad and all(v.dtype.kind not in "fc" or np.isfinite(v).all() for v in inputs):
            return e, "nan" if np.isnan(bad[0]).any() else "inf"
    return None


def endless(value: Any) -> bool:
    """Whether the program itself says nan or inf there, as it does in masks."""
    if isinstance(value, (tuple, list)):
        return any(map(endless, value))
    if isinstance(value, dict):
        return any(map(endless, value.values()))
    return isinstance(value, float) and not np.isfinite(value)


# ---------------------------------------------------------------- the oracle as the other side


def shadow(ours: Trace, library: Any) -> Trace:
    """The same calls in double precision, each on what the one before gave: a recording to be held against."""
    from .replay import Way, values_of

    made = Trace("oracle")
    runner = Replay(library, made)
    stands: dict[str, str] = {}
    for number, e in enumerate(ours.events):
        if e.phase != "forward":
            continue
        inputs = [stands.get(d, d) for d in e.inputs]
        for d, s in zip(e.inputs, inputs, strict=True):
            if s not in made.values and d in ours.values:
                made.values[s], made.dtypes[s] = ours.values[d], ours.dtypes[d]
        outputs = list(e.outputs)
        if e.name not in RANDOM and not e.drawn and all(s in made.values for s in inputs):
            try:
                out, _ = runner.call(e, inputs, way=Way(wide=True))
            except Exception:  # not every function has a double precision form
                out = []
            for k, t in enumerate(out[: len(outputs)]):
                name = f"{number}.{k}"
                made.values[name], made.dtypes[name] = values_of(t), ours.dtypes[e.outputs[k]]
                stands[e.outputs[k]] = outputs[k] = name
        for d in outputs:
            if d not in made.values and d in ours.values:
                made.values[d], made.dtypes[d] = ours.values[d], ours.dtypes[d]
        event = Event("forward", e.name, inputs, outputs, (e.file, e.line, e.text), e.module)
        made.events.append(event)
    return made
