"""Two recordings side by side: the first call that adds an error of its own, and how errors grow.

What a call's result is off by has two parts. The error that it *adds* shows when the candidate's call is run again on
the other side's inputs; the rest it *inherits* from calls before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errormodel import EPS, SUSPICIOUS, UNITS, reduction_length
from .alignment import Alignment
from .recording import RANDOM, Event, Slot, Trace


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


def short(x: float) -> str:
    return f"{x:.3g}"


class Lockstep:
    """The analysis. ``library`` is the candidate, whose calls can be run again."""

    def __init__(self, ours: Trace, theirs: Trace, library: Any) -> None:
        self.ours, self.theirs, self.library = ours, theirs, library
        self.alignment = Alignment(ours, theirs)
        self.steps: list[Step] = []
        self.skipped: list[str] = []
        self.consumers: dict[str, list[int]] = {}
        for n, e in enumerate(ours.events):
            if e.phase == "forward":
                for d in e.inputs:
                    self.consumers.setdefault(d, []).append(n)
        for n, e in enumerate(ours.events):
            step = self.backward(n, e) if e.phase == "backward" else self.call(n, e)
            if step is not None:
                self.steps.append(step)

    @property
    def first(self) -> Step | None:
        return next((s for s in self.steps if s.diverges), None)

    # ---- forward and optimizer

    def call(self, n: int, e: Event) -> Step | None:
        match = self.alignment.pair.get(n)
        if match is None:
            return None
        other = self.theirs.events[match]
        extra = self.inserted(e, other)
        if extra is not None:
            return extra
        total = max((self.error(a, b, e) for a, b in zip(e.outputs, other.outputs, strict=True)), default=0.0)
        if total <= 1:
            return Step(n, e, total, 0.0)
        if e.name in RANDOM:
            return Step(n, e, total, total, "the random numbers differ")
        return Step(n, e, total, self.replayed(e, other))

    def inserted(self, e: Event, other: Event) -> Step | None:
        """A call on one side only, if what it changed is what goes in here."""
        for a, b in zip(e.inputs, other.inputs, strict=True):
            if self.alignment.same(a, b) and self.connected(a, b):
                continue
            off = self.error(a, b, e)
            if off <= SUSPICIOUS:
                continue
            ours = self.unpaired(a, self.alignment.made_by_us, set(self.alignment.pair))
            if ours is not None:
                return Step(ours, self.ours.events[ours], off, off, "a call that the other side does not make")
            theirs = self.unpaired(b, self.alignment.made_by_them, set(self.alignment.pair.values()))
            if theirs is not None:
                return Step(theirs, self.theirs.events[theirs], off, off, "a call that only the other side makes")
        return None

    def connected(self, a: str, b: str) -> bool:
        """Whether a pair of calls gave both values, so that what differs is known already."""
        pairs = self.alignment.pair
        return a == b or any(
            pairs.get(n) in self.alignment.made_by_them.get(b, ()) for n in self.alignment.made_by_us.get(a, ())
        )

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
        return reduction_length(shapes, outs)

    def replayed(self, e: Event, other: Event) -> float | None:
        """The error that our call makes on their inputs; None if it cannot be run again."""
        try:
            if e.phase == "optimizer":
                got = self.replay_optimizer(e, other)
            else:
                got = [values_of(t) for t in self.run_again(e, other.inputs, self.theirs)[0]]
        except Exception as problem:
            self.skipped.append(f"{e.name} at {e.where}: {type(problem).__name__}: {problem}")
            return None
        worst = 0.0
        for k, b in enumerate(other.outputs[: len(got)]):
            if b in self.theirs.values:
                worst = max(worst, distance(got[k], self.theirs.values[b], self.theirs.dtypes[b], self.length(e)))
        return worst

    def tensor(self, digest: str, trace: Trace, grad: bool = False, wide: bool = False) -> Any:
        dtype = trace.dtypes[digest]
        if wide and dtype in EPS:
            dtype = "complex128" if "complex" in dtype else "float64"
        t = self.library.from_numpy(np.array(trace.values[digest])).to(getattr(self.library, dtype))
        return t.requires_grad_() if grad else t

    def run_again(
        self, e: Event, inputs: list[str], trace: Trace, grad: bool = False, wide: bool = False
    ) -> tuple[list, list]:
        """(tensors that come out, tensors that went in) of our call on these values."""
        function, args, kwargs = e.call
        differentiable = [trace.dtypes[d] in EPS for d in inputs]
        given = [self.tensor(d, trace, grad and ok, wide) for d, ok in zip(inputs, differentiable, strict=True)]
        used = [t.clone() if grad and t.requires_grad else t for t in given]

        def fill(value: Any) -> Any:
            if isinstance(value, Slot):
                return used[value.index]
            if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
                return type(value)(fill(v) for v in value)
            if isinstance(value, dict):
                return {k: fill(v) for k, v in value.items()}
            return value

        versions = [t._version for t in used]
        with self.library.enable_grad() if grad else self.library.no_grad():
            result = function(*fill(args), **fill(kwargs))
        out = list(flat(result, self.library))
        out += [t for t, v in zip(used, versions, strict=True) if t._version != v and not any(t is o for o in out)]
        return out, given

    def replay_optimizer(self, e: Event, other: Event) -> list[np.ndarray]:
        """One step of our optimizer from their parameters, gradients and state."""
        cls, groups = e.call
        tensors = [self.tensor(d, self.theirs) for d in other.inputs]
        params: dict[str, Any] = {}
        for name, t in zip(other.names, tensors, strict=True):
            number, what = name.split(".", 1)
            params.setdefault(number, {})[what] = t
        entries, made, start = list(params.values()), [], 0
        for group in groups:
            chunk = [p["param"].requires_grad_() for p in entries[start : start + group["count"]]]
            start += group["count"]
            made.append({"params": chunk, **{k: v for k, v in group.items() if k != "count"}})
        known = cls.__init__.__code__.co_varnames
        optimizer = cls([g for g in made if g["params"]], **({"lr": groups[0]["lr"]} if "lr" in known else {}))
        for p in entries:
            p["param"].grad = p["grad"]
            state = {k: v for k, v in p.items() if k not in ("param", "grad")}
            if state:
                optimizer.state[p["param"]] = state
        optimizer.step()
        return [values_of(p["param"]) for p in entries]

    # ---- backward

    def backward(self, n: int, e: Event) -> Step | None:
        """A gradient that arrived: whose derivative made it wrong, if it is."""
        b = self.their_gradient(e)
        a = e.outputs[0]
        if b is None or b not in self.theirs.values or a not in self.ours.values:
            return None
        total = distance(
            self.ours.values[a], self.theirs.values[b], self.ours.dtypes[a], max(self.ours.values[a].size, 1)
        )
        if total <= 1:
            return Step(n, e, total, 0.0)
        added, guilty = self.added_gradient(b, self.uses(e, n))
        if guilty is None:
            return Step(n, e, total, added)
        culprit = self.ours.events[guilty]
        where = (culprit.file, culprit.line, culprit.text)
        shown = Event("backward", culprit.name, culprit.inputs, culprit.outputs, where, culprit.module)
        return Step(guilty, shown, total, added, "gradient")

    def added_gradient(self, b: str, uses: list[tuple[int, int]]) -> tuple[float | None, int | None]:
        """(the error of our derivatives on their values against their gradient ``b``, the call to blame for it).

        Where a value is used more than once, the call to blame is the one whose derivative is furthest from a
        difference quotient.
        """
        try:
            parts = [g for number, k in uses if (g := self.derivative(number, k)) is not None]
        except Exception as problem:
            self.skipped.append(f"a derivative could not be replayed: {type(problem).__name__}: {problem}")
            return None, None
        if not parts or len(parts) < len(uses):
            return None, None
        got, expected = np.sum(parts, axis=0), self.theirs.values[b]
        scale = np.sum([np.abs(p).max(initial=0.0) for p in parts]) / max(
            float(np.abs(expected).max(initial=0.0)), 1e-300
        )
        length = max(expected.size, 1) * max(float(scale), 1.0) ** 2  # parts may cancel
        added = distance(got, expected, self.theirs.dtypes[b], length)
        if added <= 1:
            return added, None
        if len({number for number, _ in uses}) == 1:
            return added, uses[0][0]
        errors = [(self.derivative_error(number, k) or 0.0, number) for number, k in uses]
        return added, max(errors)[1]

    def derivative(self, number: int, k: int) -> np.ndarray | None:
        """What our derivative of one call sends to its input ``k``, on their values and their incoming gradients."""
        e, match = self.ours.events[number], self.alignment.pair.get(number)
        if match is None or e.call is None or e.name in RANDOM:
            return None
        other = self.theirs.events[match]
        out, given = self.run_again(e, other.inputs, self.theirs, grad=True)
        roots = [(j, t) for j, t in enumerate(out) if t.requires_grad and j in other.grads]
        if not roots or not given[k].requires_grad:
            return np.zeros(self.theirs.values[other.inputs[k]].shape)
        incoming = [self.tensor(other.grads[j], self.theirs) for j, _ in roots]
        (g,) = self.library.autograd.grad([t for _, t in roots], [given[k]], incoming, allow_unused=True)
        return np.zeros(self.theirs.values[other.inputs[k]].shape) if g is None else values_of(g)

    def their_gradient(self, e: Event) -> str | None:
        """Their gradient of what ``e`` is the gradient of."""
        for number, k in e.of:
            match = self.alignment.pair.get(number)
            if match is not None and k in self.theirs.events[match].grads:
                return self.theirs.events[match].grads[k]
        return None

    def uses(self, e: Event, before: int) -> list[tuple[int, int]]:
        """(event, input) of the calls that took what ``e`` is the gradient of."""
        number, k = e.of[0]
        if k < 0:
            return [(c, -1 - j) for c, j in e.of]
        value = self.ours.events[number].outputs[k]
        takers = [c for c in self.consumers.get(value, ()) if number < c < before]
        return [(c, j) for c in takers for j, d in enumerate(self.ours.events[c].inputs) if d == value]

    def derivative_error(self, number: int, k: int) -> float | None:
        """Our derivative of one call on their values against a difference quotient of the call in double precision."""
        e, match = self.ours.events[number], self.alignment.pair.get(number)
        if match is None or e.call is None or e.name in RANDOM:
            return None
        other = self.theirs.events[match]
        try:
            return self.checked_derivative(e, other, [k])
        except Exception as problem:
            self.skipped.append(f"derivative of {e.name} at {e.where}: {type(problem).__name__}: {problem}")
            return None

    def checked_derivative(self, e: Event, other: Event, which: list[int]) -> float | None:
        torch = self.library
        out, given = self.run_again(e, other.inputs, self.theirs, grad=True)
        roots = [(k, t) for k, t in enumerate(out) if t.requires_grad and k in other.grads]
        if not roots:
            return None
        incoming = [self.tensor(other.grads[k], self.theirs) for k, _ in roots]
        wanted = [given[k] for k in which if given[k].requires_grad]
        got = torch.autograd.grad([t for _, t in roots], wanted, incoming, allow_unused=True)
        rng, worst = np.random.default_rng(0), 0.0
        for k, g in zip([k for k in which if given[k].requires_grad], got, strict=True):
            x = np.asarray(self.theirs.values[other.inputs[k]], np.float64)
            size = max(float(np.abs(x).max(initial=0.0)), 1e-3)
            got_g = np.zeros_like(x) if g is None else values_of(g).astype(np.float64)
            for _ in range(3):
                direction = rng.choice([-1.0, 1.0], x.shape)
                slope = self.slope(e, other, k, x, direction * size * 1e-6, roots) / 1e-6 / size
                ours = float((got_g * direction).sum())
                scale = float(np.sqrt((got_g**2).sum())) + abs(slope)
                dtype = self.theirs.dtypes[other.inputs[k]]
                limit = UNITS * max(EPS[dtype], 1e-7) * np.sqrt(x.size) * scale * 4 + 1e-30
                worst = max(worst, abs(ours - slope) / limit)
        return worst

    def slope(self, e: Event, other: Event, k: int, x: np.ndarray, step: np.ndarray, roots: list) -> float:
        """How the incoming gradients times the results change along ``step``: half the difference of two calls."""
        ends = []
        for sign in (1.0, -1.0):
            moved = Trace()
            moved.values = {**self.theirs.values, "moved": x + sign * step}
            moved.dtypes = {**self.theirs.dtypes, "moved": "float64"}
            inputs = [*other.inputs[:k], "moved", *other.inputs[k + 1 :]]
            out, _ = self.run_again(e, inputs, moved, wide=True)
            g = [np.asarray(self.theirs.values[other.grads[j]], np.float64) for j, _ in roots]
            ends.append(sum(float((values_of(out[j]) * gj).sum()) for (j, _), gj in zip(roots, g, strict=True)))
        return (ends[0] - ends[1]) / 2

    # ---- nan and inf

    def origin(self) -> tuple[Event, str] | None:
        return not_finite(self.ours)


def not_finite(trace: Trace) -> tuple[Event, str] | None:
    """The first call that makes nan or inf out of finite inputs, and which of them."""
    for e in trace.events:
        if e.phase == "backward":
            continue
        values = [trace.values[d] for d in e.outputs if d in trace.values]
        bad = [v for v in values if v.dtype.kind in "fc" and not np.isfinite(v).all()]
        inputs = [trace.values[d] for d in e.inputs if d in trace.values]
        if (
            bad
            and all(v.dtype.kind not in "fc" or np.isfinite(v).all() for v in inputs)
            and e.name not in ("empty", "full")
        ):
            return e, "nan" if np.isnan(bad[0]).any() else "inf"
    return None


def distance(x: np.ndarray, y: np.ndarray, dtype: str, length: float) -> float:
    """The largest difference, in units of what rounding explains: 4 sqrt(length) units of the largest element."""
    if x.shape != y.shape:
        return float("inf")
    if not x.size:
        return 0.0
    if dtype not in EPS or x.dtype.kind not in "fc":
        return 0.0 if np.array_equal(x, y) else float("inf")
    with np.errstate(all="ignore"):
        if not np.array_equal(np.isfinite(x), np.isfinite(y)):
            return float("inf")
        finite = np.isfinite(y)
        size = float(np.max(np.abs(y[finite]), initial=0.0))
        limit = UNITS * EPS[dtype] * np.sqrt(max(length, 1.0)) * size
        off = float(np.max(np.abs(x[finite] - y[finite]), initial=0.0))
        return off / limit if limit else (float("inf") if off else 0.0)


def values_of(t: Any) -> np.ndarray:
    from ..outcome import numbers

    return numbers(t, str(t.dtype).removeprefix("torch."))


def flat(value: Any, library: Any) -> Any:
    if isinstance(value, library.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from flat(v, library)
    elif isinstance(value, dict):
        for v in value.values():
            yield from flat(v, library)


# ---------------------------------------------------------------- the oracle as the other side


def shadow(ours: Trace, library: Any) -> Trace:
    """The same calls in double precision, each on what the one before gave: a recording to be held against."""
    made = Trace("oracle")
    runner = Lockstep.__new__(Lockstep)
    runner.library = library
    stands: dict[str, str] = {}
    for number, e in enumerate(ours.events):
        if e.phase != "forward":
            continue
        inputs = [stands.get(d, d) for d in e.inputs]
        for d, s in zip(e.inputs, inputs, strict=True):
            if s not in made.values and d in ours.values:
                made.values[s], made.dtypes[s] = ours.values[d], ours.dtypes[d]
        outputs = list(e.outputs)
        if e.name not in RANDOM and all(s in made.values for s in inputs):
            try:
                out, _ = runner.run_again(e, inputs, made, wide=True)
            except Exception:
                out = []  # nothing in double precision to compare with: the recorded values stand for it
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
