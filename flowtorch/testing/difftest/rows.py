"""The run over the registry: every call judged, and gathered by function, variant, dtype and layout."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import checks
from ..errormodel import EPS, WIDE, reduction_length, signed_units
from ..outcome import Outcome, Result, unphased
from ..samples import Array, Named, Sample, Spec, load
from . import verdict
from .circumstances import CIRCUMSTANCES
from .explained import Table
from .implementations import Implementation, remembered
from .measure import Measure, hexed
from .objects import CLASSES, objects
from .objects import load as classes
from .oracle import Numbers, Oracle, quantised
from .variations import VARIATIONS
from .verdict import GOOD, SEVERITY, Finding


class Row:
    """What is known of one function in one variant, dtype and layout."""

    def __init__(self, op: str, variant: str, dtype: str, layout: str) -> None:
        self.op, self.variant, self.dtype, self.layout = op, variant, dtype, layout
        self.verdicts: Counter[str] = Counter()
        self.explained: Counter[tuple[str, str]] = Counter()  # (verdict, reason), apart from the verdicts above
        self.measure = Measure()
        self.condition = 0.0
        self.examples: dict[str, str] = {}
        self.sample: Sample | None = None  # of the worst verdict
        self.name: Any = op
        self.worst_inputs: list[str] = []

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.op, self.variant, self.dtype, self.layout

    @property
    def worst(self) -> str:
        return verdict.worst(self.verdicts)

    def explain(self, found: Finding, reason: str, sample: Sample) -> None:
        """Count a finding whose reason is known."""
        self.explained[found.verdict, reason] += 1
        self.examples.setdefault(f"explained: {reason}", f"{sample}: {found.text}")

    def note(self, found: Finding, name: Any, sample: Sample) -> None:
        if found.verdict not in GOOD and SEVERITY[found.verdict] > SEVERITY[self.worst]:
            self.sample = sample
            self.name = name if isinstance(name, str) else f"operator.{name[0].__name__}"
        self.verdicts[found.verdict] += 1
        if found.text:
            self.examples.setdefault(found.verdict, f"{sample}: {found.text}")
        if found.measure is not None and self.measure.merge(found.measure):
            self.worst_inputs = inputs_at(sample, found.measure.worst.get("index", 0))


def inputs_at(sample: Sample, index: int) -> list[str]:
    """The inputs that led to element ``index`` of a pointwise result, with all their bits; else nothing."""
    arrays = sample.arrays()
    if not arrays:
        return []
    try:
        shape = np.broadcast_shapes(*(a.values.shape for a in arrays))
        return [hexed(np.broadcast_to(quantised(a), shape).ravel()[index].astype(a.values.dtype)) for a in arrays]
    except (ValueError, IndexError):  # no elementwise call: no inputs belong to the worst element
        return []


class Recorder(checks.Pair):
    """A pair whose comparisons become rows instead of lines."""

    def __init__(
        self, candidate: Any, reference: Any, oracle: Any = None, reruns: int = 0, explained: Table | None = None
    ) -> None:
        super().__init__(candidate, reference)
        self.table = explained
        self.oracle: Oracle | None = Oracle() if oracle is None else oracle or None
        self.rows: dict[tuple, Row] = {}
        self.variant, self.op, self.reruns = "values", "", reruns
        self.calls = 0
        self.numbers = Numbers() if importlib.util.find_spec("mpmath") else None

    def row(self, spec: Spec, dtype: str, layout: str) -> Row:
        key = (spec.name, self.variant, dtype, layout)
        if key not in self.rows:
            self.rows[key] = Row(*key)
        return self.rows[key]

    def compare(self, names: Any, spec: Spec, sample: Sample, label: str, precision: str = "") -> Iterator[str]:
        self.calls += 1
        ours, theirs = self.functions(names) if isinstance(names, str) else names
        if theirs is None or ours is None:
            if theirs is not None:
                yield from self.put(spec, names, sample, [Finding("unsupported", f"there is no {names}")])
            return
        expected = self.reference.run(theirs, sample, spec.random)
        got = self.candidate.run(ours, sample, spec.random)
        findings = self.findings(names, spec, sample, expected, got, precision)
        again = self.again(ours, spec, sample, got)
        yield from self.put(spec, names, sample, findings + again)

    def findings(
        self, names: Any, spec: Spec, sample: Sample, expected: Outcome, got: Outcome, precision: str = ""
    ) -> list[Finding]:
        if spec.columns:
            expected, got = unphased(expected), unphased(got)
        if spec.unordered:
            got = ordered_as(expected, got, sample)
        autograd = self.variant == "autograd" or spec.family in CLASSES  # gradients are among the results
        return verdict.outcomes(
            expected,
            got,
            self.exact(names, spec, sample),
            length=length_of(spec, sample, expected),
            sums=spec.factor > 1 or spec.family in ("reduction", "loss", "scan") or autograd,
            floor=1.0 if autograd else 0.0,
            factor=spec.factor,
            faithful=self.reference.faithful and self.candidate.faithful,
            undefined=spec.undefined,
            stored=precision if precision in EPS else "",
            correct=rounds_once(spec, sample),
            signs=self.reference.faithful and self.variant == "specials" and spec.family in ("unary", "binary"),
        )

    def exact(self, names: Any, spec: Spec, sample: Sample) -> Callable | None:
        """A function that gives the exact values, where there can be one."""
        inexact = [a.dtype for a in sample.arrays() if a.dtype in EPS]
        laid_out = any(a.layout != "contiguous" for a in sample.arrays())  # which the oracle leaves out
        if self.oracle is None or spec.random or not (inexact or laid_out) or self.variant == "stream":
            return None
        oracle, numbers = self.oracle, self.numbers
        what = oracle.find(names) if isinstance(names, str) else names[1]

        def exact() -> Any:
            known = numbers.sample(spec.name, sample) if numbers is not None and isinstance(names, str) else None
            if known is not None or what is None:
                return known
            if spec.columns:
                return None  # moving the inputs may turn a column round
            if not inexact or any(d in WIDE for d in inexact):
                return oracle.exact(what, sample)
            return self.conditioned(names, sample)

        return exact

    def conditioned(self, names: Any, sample: Sample) -> Any:
        """Nothing is wider than double: the reference stands for the exact value, with its own conditioning."""
        from .oracle import exact_with

        theirs = self.reference.find(names) if isinstance(names, str) else names[1]
        return exact_with(lambda s: self.reference.run(theirs, s), sample)

    def again(self, ours: Any, spec: Spec, sample: Sample, got: Outcome) -> list[Finding]:
        """Whether more calls with the same inputs give the same bits."""
        for _ in range(self.reruns if got.error is None and not spec.undefined else 0):
            other = self.candidate.run(ours, sample, spec.random)
            for a, b in zip(got.results, other.results or [], strict=False):
                nans = isinstance(a, Result) and a.values.dtype.kind in "fc"
                moved = isinstance(a, Result) and (a.dtype, a.shape, a.strides) != (b.dtype, b.shape, b.strides)
                if moved or (isinstance(a, Result) and not np.array_equal(a.values, b.values, equal_nan=nans)):
                    return [Finding("nondeterministic", "two calls gave different bits")]
        return []

    def compare_gradients(self, spec: Spec, sample: Sample, double: bool, label: str) -> Iterator[str]:
        self.calls += 1
        ours, theirs = self.functions(spec.name)
        if ours is None or theirs is None:
            return

        def gradients(s: Sample, who: Implementation, what: Any) -> Outcome:
            return who.gradients(what, s, spec.random, double)

        def exact() -> Any:
            from .oracle import exact_with

            known = self.numbers.gradients(spec.name, sample, double) if self.numbers is not None else None
            if known is not None:
                return known
            return exact_with(lambda s: gradients(s, self.reference, theirs), sample)

        expected, got = gradients(sample, self.reference, theirs), gradients(sample, self.candidate, ours)
        if double:
            zeros_for_missing(expected, got)
        length = max((a.values.size for a in sample.arrays()), default=1)
        known = None if spec.random else exact
        asked = [v.name for v in sample.kwargs.values() if isinstance(v, Named) and v.name in EPS]
        found = verdict.outcomes(
            expected,
            got,
            known,
            length=length,
            factor=32 * spec.factor,
            faithful=False,
            sums=True,
            floor=1.0,
            stored=asked[0] if asked else "",
        )
        if self.reference.faithful and (expected.error is None) != (got.error is None):
            found = [verdict._errors(expected, got, True)]
        yield from self.put(spec, spec.name, sample, found)

    def put(self, spec: Spec, name: Any, sample: Sample, findings: list[Finding]) -> Iterator[str]:
        arrays = sample.arrays()
        dtype = arrays[0].dtype if arrays else "-"
        layout = next((a.layout for a in arrays if a.layout != "contiguous"), "contiguous")
        row = self.row(spec, dtype, layout)
        for f in findings:
            if f.verdict not in GOOD and self.table is not None:
                entry = self.table.find(spec.name, self.variant, f.verdict, f"{sample}: {f.text}")
                if entry is not None:
                    row.explain(f, entry.reason, sample)
                    continue
            row.note(f, name, sample)
            if f.verdict not in GOOD:
                yield f"{f.verdict}: {sample}: {f.text}"


def ordered_as(expected: Outcome, got: Outcome, sample: Sample) -> Outcome:
    """``got`` with the expected indices, if its own name elements that are equal to those it says they are."""
    if expected.error is not None or got.error is not None or not sample.arrays():
        return got
    x, results = quantised(sample.arrays()[0]), list(got.results or [])
    for k, (e, g) in enumerate(zip(expected.results, results, strict=False)):
        both = isinstance(e, Result) and isinstance(g, Result)
        if not both or g.dtype != "int64" or e.dtype != "int64" or e.shape != g.shape or (e.values == g.values).all():
            continue
        said = results[k - 1] if k and isinstance(results[k - 1], Result) and results[k - 1].shape == g.shape else None
        if any(names(x, d, g.values, said, e.values) for d in range(x.ndim)):
            g.values = e.values
    return got


def names(x: np.ndarray, dim: int, index: np.ndarray, said: Result | None, other: np.ndarray) -> bool:
    """Whether ``index`` along ``dim`` names what was said, or else the same values as the ``other`` index."""
    if index.ndim == x.ndim - 1:
        index, other = np.expand_dims(index, dim), np.expand_dims(other, dim)
    sizes = [(m, n) for d, (m, n) in enumerate(zip(index.shape, x.shape, strict=False)) if d != dim]
    if index.ndim != x.ndim or any(m != n for m, n in sizes):
        return False
    if not all(((i >= 0) & (i < x.shape[dim])).all() for i in (index, other)):  # of the other: another dimension's
        return False
    named = np.take_along_axis(x, index, dim)
    wanted = np.take_along_axis(x, other, dim) if said is None else said.values.reshape(named.shape).astype(x.dtype)
    return bool(((named == wanted) | ((named != named) & (wanted != wanted))).all())


def zeros_for_missing(expected: Outcome, got: Outcome) -> None:
    """Second derivatives that are zero everywhere may be left out: the side that has them loses them."""
    sides = [o.results for o in (expected, got)]
    if None in sides:
        return
    short, long = sorted(sides, key=len)

    def nothing(r: Any) -> bool:
        return r is None or (isinstance(r, Result) and not np.any(r.values))

    if all(nothing(r) for r in long[len(short) :]):
        del long[len(short) :]
    for k, (a, b) in enumerate(zip(short, long, strict=False)):
        if None in (a, b) and nothing(a) and nothing(b):
            short[k] = long[k] = None


# Arithmetic that IEEE 754 defines to the last bit, and what only chooses among its operands.
CORRECT = frozenset(
    """
    add sub subtract mul multiply div divide true_divide sqrt square neg negative abs absolute floor ceil trunc fix
    round relu maximum minimum fmax fmin clamp clip clamp_min clamp_max where copysign sign sgn amax amin max min
    sort topk kthvalue median mode gather take take_along_dim index_select masked_select masked_fill masked_scatter
    scatter cummax cummin cat concat concatenate stack hstack vstack dstack flip roll nan_to_num
    """.split()  # noqa: SIM905
)


def rounds_once(spec: Spec, sample: Sample) -> bool:
    """Whether every correct implementation gives the same bits."""
    if any("complex" in a.dtype for a in sample.arrays()):
        return False
    if spec.family == "view":
        return True
    plain = not any(isinstance(v, (float, complex)) for v in (*sample.args, *sample.kwargs.values()))
    return spec.name.removeprefix("Tensor.") in CORRECT and plain and "alpha" not in sample.kwargs


def length_of(spec: Spec, sample: Sample, expected: Outcome) -> float:
    """How many terms one element of the results adds up; 1 for functions that add nothing."""
    if spec.factor <= 1 and spec.family not in ("reduction", "loss", "scan"):
        return 1.0
    outputs = [r.shape for r in expected.results or [] if isinstance(r, Result)]
    if spec.family == "scan":
        return float(max((max(s, default=1) for s in outputs), default=1))
    return reduction_length([a.values.shape for a in sample.arrays()], outputs)


# ---------------------------------------------------------------- wide sweeps over functions of numbers


def sweep_points(dtype: str) -> np.ndarray:
    """Numbers of every size and sign: powers of two apart, a dense middle, and where formulas change."""
    wide = np.ldexp(1.0 + np.linspace(0, 0.9, 60), np.linspace(-60, 60, 60).astype(int))
    dense = np.linspace(-14, 14, 225)
    odd = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 20.0, 20.5, 88.0, 104.0, 708.0])
    points = np.concatenate([wide, -wide, dense, odd, -odd, 1 + dense / 2**12, dense / 2**10])
    return np.unique(quantised(Array(points, dtype)).astype(np.float64))


def sweep(recorder: Recorder, spec: Spec, numbers: Numbers) -> Iterator[str]:
    """One function of a number over its whole domain, both sides held against mpmath."""
    if spec.name not in numbers or spec.name == "polygamma":
        return
    recorder.variant = "sweep"
    for dtype in [d for d in ("float32", "bfloat16") if d in spec.dtypes]:
        sample = Sample((Array(sweep_points(dtype), dtype),), {})
        ours, theirs = recorder.functions(spec.name)
        if ours is None or theirs is None:
            return
        expected, got = recorder.reference.run(theirs, sample), recorder.candidate.run(ours, sample)
        if expected.error or got.error or not isinstance(expected.results[0], Result):
            continue
        recorder.calls += 1
        e, g = expected.results[0].values, got.results[0].values
        exact, spread = numbers.exact(spec.name, sample.args[0].values)
        known = np.isfinite(exact)
        found = verdict.values(e[known], g[known], dtype, lambda x=exact[known], s=spread[known]: (x, s), always=True)
        narrowed = Sample((Array(sample.args[0].values[known], dtype),), {})
        row = recorder.row(spec, dtype, "contiguous")
        ours, theirs = (signed_units(side[known], exact[known], dtype) for side in (g, e))
        if found.measure is not None and known.any():
            found.measure.reference_units = float(np.nanmax(np.abs(theirs)))
        if found.verdict in GOOD and (text := leaning(ours, theirs)):
            found = Finding("suspicious", text, found.measure)
        yield from recorder.put(spec, spec.name, narrowed, [found])
        with np.errstate(all="ignore"):
            steep = spread[known] / np.abs(exact[known])
        row.condition = float(np.nanmedian(steep[np.isfinite(steep)])) if np.isfinite(steep).any() else 0.0


def leaning(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Words on errors that all go one way, each of them small; nothing where they cancel as roundings do."""
    means = []
    for units in (ours, theirs):
        small = units[np.isfinite(units) & (np.abs(units) < 64)]
        means.append(float(small.mean()) if small.size else 0.0)
    if not abs(means[0]) > 0.5 > abs(means[1]):
        return ""
    return f"errors lean to one side: {means[0]:+.2f} units on average, the reference's {means[1]:+.2f}"


def stream(recorder: Recorder, spec: Spec) -> Iterator[str]:
    """Random functions called twice after one seed: the second call must go on where the first one ended."""
    if not spec.random:
        return
    ours, theirs = recorder.functions(spec.name)
    if ours is None or theirs is None:
        return
    recorder.variant = "stream"
    for sample in list(spec.samples(spec.dtypes[0]))[:3]:
        first = [
            side.run(what, sample, True) for side, what in ((recorder.reference, theirs), (recorder.candidate, ours))
        ]
        if any(o.error is not None for o in first):
            continue
        yield from recorder.compare(spec.name, unseeded(spec), sample, "")


def unseeded(spec: Spec) -> Spec:
    """The same function, not seeded before each call."""
    import copy

    other = copy.copy(spec)
    other.random = False
    return other


# ---------------------------------------------------------------- the whole registry

LEVELS = {
    "smoke": ("values", "first_gradients"),
    "full": (*[c for c in checks.CHECKS if c != "accuracy"], *VARIATIONS, *CIRCUMSTANCES, "classes", "sweep", "stream"),
}
# Checks of what is no value: of little use against a reference that only has values.
UNFAITHFUL = ("outs", "errors", "variants", "promotion", "sizes", "parameters", "autograd", *CIRCUMSTANCES, "classes")
ALL_CHECKS = {**checks.CHECKS, **VARIATIONS, **CIRCUMSTANCES, "classes": objects}


def applies(check: str, spec: Spec) -> bool:
    """Whether a check is meant for what the samples are of: functions, or classes."""
    return (check == "classes") == (spec.family in CLASSES)


def registry() -> dict[str, Spec]:
    """All that has samples: functions and classes."""
    return {**load(), **classes()}


def run_ops(
    names: list[str], candidate: Any, reference: Any, variants: tuple[str, ...], smoke: bool = False, seed: int = 0,
    progress: Callable[[str, Recorder], None] | None = None, reruns: int = 0, explained: Table | None = None,
) -> Recorder:  # fmt: skip
    """Judge these functions in these variants; the recorder holds the rows."""
    specs = registry()
    recorder = Recorder(remembered(candidate), remembered(reference), reruns=reruns, explained=explained)
    if not recorder.reference.faithful:
        variants = tuple(v for v in variants if v not in UNFAITHFUL)
    for name in names:
        spec = specs[name]
        if smoke or seed:
            spec = reduced(spec, seed, ("float32", "int64", "complex64", "bfloat16") if not smoke else ("float32",))
        for variant in [v for v in variants if applies(v, spec)]:
            recorder.variant = variant
            started = time.perf_counter()
            if variant == "sweep":
                if recorder.numbers is not None:
                    list(sweep(recorder, spec, recorder.numbers))
            elif variant == "stream":
                list(stream(recorder, spec))
            elif recorder.reference.find(name) is not None:
                list(ALL_CHECKS[variant](recorder, spec))
            if time.perf_counter() - started > 20 and progress is not None:
                progress(f"{name} {variant} took {time.perf_counter() - started:.0f} s", recorder)
        if progress is not None:
            progress(name, recorder)
    return recorder


def reduced(spec: Spec, seed: int, dtypes: tuple[str, ...]) -> Spec:
    """The same function with fewer dtypes, or with other values."""
    import copy

    small = copy.copy(spec)
    small.dtypes = tuple(d for d in spec.dtypes if d in dtypes) or spec.dtypes[:1]
    small.seed = seed
    return small
