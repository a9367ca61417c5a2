"""Which call of one recording stands for which of the other: by what flows in, not by position.

A call has the same name and takes corresponding values. Values correspond when they have the same bits, or come out of
calls that correspond. So a call more or less on one side shifts nothing, and numbers may differ as much as they like.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from .calls import RANDOM
from .trace import Event, Trace

FILLS = frozenset(name for name in RANDOM if name.endswith("_"))  # what was there before says nothing
OVERWRITING = FILLS - {"dropout_"} | {"zero_", "fill_"}  # new memory may hold anything, also what stands elsewhere
CLOSE = 1e-3  # two values that no pair of calls connects may still be the same intermediate
INPLACE = str.maketrans("", "", "_")


class Alignment:
    """Pairs of events (numbers in the two traces), and which values stand for which."""

    def __init__(self, ours: Trace, theirs: Trace) -> None:
        self.ours, self.theirs = ours, theirs
        self.pair: dict[int, int] = {}
        self.values: dict[str, set[str]] = defaultdict(set)
        self.made_by_us = producers(ours)
        self.made_by_them = producers(theirs)
        self.gradients: set[tuple[str, str]] = set()  # (ours, theirs) of the same thing in the same pass
        self.takers: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)  # (event, output) -> inputs
        for n, e in enumerate(ours.events):
            for j, source in enumerate(e.sources):
                if source:
                    self.takers[source[0], source[1]].append((n, j))
        self._unused: dict[str, list[int]] = defaultdict(list)
        for n, e in enumerate(theirs.events):
            if e.phase != "backward":
                self._unused[bare(e)].append(n)
        self._align()

    def _align(self) -> None:
        for n, e in enumerate(self.ours.events):
            if e.phase == "backward":
                b = self.their_gradient(e)
                if b is not None:
                    self.values[e.outputs[0]].add(b)
                    self.gradients.add((e.outputs[0], b))
                continue
            match = self._best(e)
            if match is None:
                self._by_value(e)
                continue
            self.pair[n] = match
            other = self.theirs.events[match]
            self._unused[bare(e)].remove(match)
            for a, b in zip(e.outputs, other.outputs, strict=False):
                self.values[a].add(b)
            for a, b in flowing_in(e, other):
                if not self.known(a):  # first seen here: a parameter, or what an unpaired call gave
                    self.values[a].add(b)

    def their_gradient(self, e: Event) -> str | None:
        """Their gradient of what ``e`` is the gradient of, in the same backward pass."""
        for number, k in e.of:
            match = self.pair.get(number)
            if match is not None and (e.sweep, k) in self.theirs.events[match].grads:
                return self.theirs.events[match].grads[e.sweep, k]
        return None

    def values_of_step(self, e: Event) -> list[str]:
        """Their gradients that go into the optimizer's step ``e`` of ours."""
        match = self.pair[next(n for n, x in enumerate(self.ours.events) if x is e)]
        other = self.theirs.events[match]
        return [d for d, name in zip(other.inputs, other.names[0], strict=True) if name.endswith(".grad")]

    def own_calls(self, digest: str, most: int = 40) -> list[int]:
        """Our calls without a partner behind a value, in order, back to values that they have too; [] if too many."""
        found: set[int] = set()
        waiting = [digest]
        while waiting and len(found) <= most:
            d = waiting.pop()
            if d != digest and self.counterpart(d) is not None:
                continue
            made = self.made_by_us.get(d, ())
            if any(n in self.pair for n in made):
                continue
            for n in made[-1:]:
                if n not in found:
                    found.add(n)
                    waiting += self.ours.events[n].inputs
        return sorted(found) if len(found) <= most else []

    def known(self, digest: str) -> bool:
        return digest in self.values or digest in self.theirs.dtypes

    def same(self, a: str, b: str) -> bool:
        """Whether our value ``a`` stands for their value ``b``."""
        return a == b or b in self.values.get(a, ())

    def _best(self, e: Event) -> int | None:
        """Their call with most inputs in common, the earliest of those; None if none could be it."""
        unused = [n for n in self._unused.get(bare(e), ()) if len(self.theirs.events[n].inputs) == len(e.inputs)]
        for n in unused:
            other = self.theirs.events[n]
            pairs = flowing_in(e, other) or zip(e.outputs, other.outputs, strict=False)  # what is written tells
            if (e.name in FILLS or all(self.same(a, b) for a, b in pairs)) and self._fitting(e, other):
                return n
        if e.name in OVERWRITING:
            return None
        best, best_score = None, -1.0
        for n in unused:
            other = self.theirs.events[n]
            score = sum(self.nearness(a, b) for a, b in flowing_in(e, other))
            if score > best_score and self._fitting(e, other):
                best, best_score = n, score
        if best is None or best_score > 0:
            return best
        # Nothing in common: only if what goes in is new to them, and nothing else could have made it.
        return best if not any(self.known(a) for a, _ in flowing_in(e, e)) else None

    def nearness(self, a: str, b: str) -> float:
        """1 where our value stands for theirs, a half where a few calls of theirs made it from that."""
        if self.same(a, b):
            return 1.0
        made, seen = [b], 0
        while made and seen < 6:
            seen += 1
            for n in self.made_by_them.get(made.pop(0), ()):
                inputs = self.theirs.events[n].inputs
                if any(self.same(a, x) for x in inputs):
                    return 0.5
                made += inputs[:2]
        return 0.0

    def _fitting(self, e: Event, other: Event) -> bool:
        if len(e.outputs) != len(other.outputs):
            return False
        pairs = [*zip(e.inputs, other.inputs, strict=True), *zip(e.outputs, other.outputs, strict=True)]
        return all(shape_of(self.ours, a) == shape_of(self.theirs, b) for a, b in pairs)

    def _by_value(self, e: Event) -> None:
        """Connect what an unpaired call gave with a value of theirs that is nearly the same."""
        for a in e.outputs:
            if a in self.theirs.dtypes or a in self.values:
                continue
            v = self.ours.values.get(a)
            if v is None or v.size < 2 or v.dtype.kind not in "fc":
                continue
            near = [
                b for b in self.made_by_them if shape_of(self.theirs, b) == v.shape and close(v, self.theirs.values[b])
            ]
            if near:
                self.values[a].update(near[:1])

    def counterpart(self, digest: str) -> str | None:
        """Their value for ours, if there is one."""
        if digest in self.values:
            found = self.values[digest]
            return digest if digest in found else min(found)
        return digest if digest in self.theirs.dtypes else None


def flowing_in(e: Event, other: Event) -> list[tuple[str, str]]:
    """The values that go into two calls of the same function, without those that are overwritten."""
    return list(zip(e.inputs, other.inputs, strict=True))[e.name in OVERWRITING :]


def bare(e: Event) -> str:
    """The name without what marks in-place forms: the same function may be either on the other side.

    Random fills go by their order: one side may name the initialiser, the other the distribution inside it.
    """
    return "random fill" if e.name in FILLS else f"{e.phase} {e.name.rstrip('_')}"


def producers(trace: Trace) -> dict[str, list[int]]:
    """value -> the calls that gave it."""
    made: dict[str, list[int]] = defaultdict(list)
    for n, e in enumerate(trace.events):
        if e.phase != "backward":
            for d in e.outputs:
                made[d].append(n)
    return made


def shape_of(trace: Trace, digest: str) -> Any:
    v = trace.values.get(digest)
    return None if v is None else v.shape


def close(a: np.ndarray, b: np.ndarray) -> bool:
    if b.dtype.kind not in "fc":
        return False
    with np.errstate(all="ignore"):
        size = float(np.max(np.abs(b))) if b.size else 0.0
        return bool(size > 0 and np.max(np.abs(a - b)) <= CLOSE * size)
