"""From a program to the one call in it that is at fault, made small: a script, to run and to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errormodel import EPS, reduction_length
from ..outcome import Outcome, Result
from ..samples import Array, Named, Sample
from . import verdict
from .calls import RANDOM
from .implementations import Implementation, Library
from .oracle import exact_with
from .process import Process
from .reproducer import script
from .shrink import shrink
from .trace import Slot
from .verdict import GOOD

PLACES = ("nn.functional.{}", "{}", "Tensor.{}", "linalg.{}", "special.{}", "fft.{}")
ENOUGH = GOOD | {"suspicious"}


class Unfit(Exception):
    """The call holds what a sample cannot."""


class Narrowed:
    """One call that fails by itself: ``variant`` is "values" or "first_gradients", ``script`` runs it."""

    def __init__(self, name: str, variant: str, sample: Sample, found: verdict.Finding) -> None:
        self.name, self.variant, self.sample = name, variant, sample
        self.verdict, self.text = found.verdict, found.text
        what = f"{name}: {found.verdict}: {found.text}"[:110]
        self.script = script(name, sample, what=what, gradients="gradients" in variant)

    def keep(self, folder: Path) -> Path:
        """Store it in a failure database; the path of its script."""
        from .failures import Database

        path = Database(folder).add(self.name, self.variant, self.name, self.sample, self.verdict, self.text)
        return path.with_suffix(".py")


def narrow(
    name: str, variant: str, sample: Sample, candidate: Implementation, reference: Implementation
) -> Narrowed | None:
    """The smallest call found that fails as this one does; None if this one does not fail by itself."""

    def failing(s: Sample) -> verdict.Finding | None:
        return next((f for f in judged(name, variant, s, candidate, reference) if f.verdict not in ENOUGH), None)

    first = failing(sample)
    if first is None:
        return None

    def fails(s: Sample) -> bool:
        found = failing(s)
        return found is not None and found.verdict == first.verdict

    small = shrink(sample, fails)
    return Narrowed(name, variant, small, failing(small) or first)


def judged(
    name: str, variant: str, sample: Sample, candidate: Implementation, reference: Implementation
) -> list[verdict.Finding]:
    """The findings on one call of a public function, or on its gradients."""
    ours, theirs = candidate.find(name), reference.find(name)
    if ours is None or theirs is None:
        return []
    gradients = "gradients" in variant

    def outcome(side: Implementation, what: Any, call: Sample) -> Outcome:
        return side.gradients(what, call) if gradients else side.run(what, call)

    expected = outcome(reference, theirs, sample)
    if expected.error is not None:  # the reference has no say
        return []
    got = outcome(candidate, ours, sample)
    return verdict.outcomes(
        expected, got, lambda: exact_with(lambda s: outcome(reference, theirs, s), sample),
        length=length_of(sample, expected), factor=32.0 if gradients else 1.0, faithful=False, sums=True,
        floor=1.0 if gradients else 0.0,
    )  # fmt: skip


def length_of(sample: Sample, expected: Outcome) -> float:
    shapes = [r.shape for r in expected.results or [] if isinstance(r, Result)]
    return reduction_length([a.values.shape for a in sample.arrays()], shapes)


# ---------------------------------------------------------------- of a lockstep run


def of_step(result: Any, step: Any, reference: Implementation) -> Narrowed | None:
    """The call that a lockstep run names, alone, on the other side's inputs; None where it cannot stand alone."""
    event, other = result.ours.events[step.number], result.alignment.pair.get(step.number)
    if other is None or event.call is None or event.phase != "forward" or event.name in RANDOM:
        return None
    name = public_name(event.call[0])
    if name is None:
        return None
    variant = "first_gradients" if step.event.phase == "backward" else "values"
    try:
        sample = as_sample(event.call, result.theirs.events[other].inputs, result.theirs)
    except Unfit:
        return None
    return narrow(name, variant, sample, Library(result.library, "flowtorch"), reference)


def public_name(function: Any) -> str | None:
    """Under which name below ``torch`` a recorded function is found again; None if under none."""
    import flowtorch
    from flowtorch.overrides import resolve_name

    from ..samples import find

    resolved, bare = resolve_name(function) or "", getattr(function, "__name__", "")
    places = (resolved.removeprefix("torch."), *(place.format(bare) for place in PLACES))
    return next((name for name in places if name and find(flowtorch, name) is not None), None)


def as_sample(call: tuple, digests: list[str], trace: Any) -> Sample:
    """A recorded call with the values of ``trace`` for its tensors. Unfit if it holds what a sample cannot."""
    _, args, kwargs = call

    def turn(v: Any) -> Any:
        if isinstance(v, Slot):
            digest = digests[v.index]
            if digest not in trace.values:
                raise Unfit
            dtype = trace.dtypes[digest]
            return Array(trace.values[digest], dtype, grad=dtype in EPS)
        if type(v).__name__ == "dtype":
            return Named(str(v).removeprefix("torch."))
        if isinstance(v, (list, tuple)):
            return list(map(turn, v)) if isinstance(v, list) else tuple(map(turn, v))
        if isinstance(v, slice):
            return slice(turn(v.start), turn(v.stop), turn(v.step))
        if v is None or v is Ellipsis or isinstance(v, (bool, int, float, complex, str)):
            return v
        raise Unfit

    return Sample(tuple(map(turn, args)), {k: turn(v) for k, v in kwargs.items() if k != "out"})


def reference_for(against: str, library: Any) -> Implementation | None:
    """Who can make a call again for the other side of a lockstep run, in a process where ``torch`` is flowtorch."""
    import sys

    if against == "oracle":
        from .oracle import Oracle

        return Oracle(library)
    if against == "numpy":
        plain = {"FLOWTORCH_FAST_PATH": "0", "FLOWTORCH_NATIVE": "0"}
        return Process("flowtorch-plain", [sys.executable], "flowtorch", plain)
    made = Process("torch", [sys.executable], "torch", {})
    return made if made.find("add") is not None else None
