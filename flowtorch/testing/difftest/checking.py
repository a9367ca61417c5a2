"""``check(fn, ref, samples)`` and ``@op``: one function or snippet, every mode."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..samples import Array, Sample, Spec, laid_out, load
from ..samples import find as find_name
from . import explained, modes, reproducer
from .implementations import Arrays, Implementation, Library, make, remembered
from .rows import ALL_CHECKS, Recorder, Row, applies
from .shrink import shrink
from .verdict import GOOD, SEVERITY

MODES = ("values", "layouts", "views", "dtypes", "first_gradients", "double_gradients", "inplace", "outs", "compiled",
         "traced", "device", "interpret", "reruns")  # fmt: skip
NAMED_MODES = (*(c for c in ALL_CHECKS if c != "accuracy"), "interpret", "reruns")


LAYOUTS_OF = {"layouts": ("transposed", "strided", "overlapping"), "views": ("offset", "expanded")}


class DifferenceFound(AssertionError):
    """Two implementations differ; ``script`` shows it, ``sample`` is the smallest call found."""

    def __init__(self, text: str, sample: Sample, script: str, verdict: str) -> None:
        super().__init__(f"{text}\n\n{script}")
        self.sample, self.script, self.verdict = sample, script, verdict


class Function(Arrays):
    """Any callable on numpy arrays, as a reference."""

    def __init__(self, function: Callable) -> None:
        super().__init__(None, getattr(function, "__name__", "function"))
        self.function = function

    def find(self, name: str) -> Any:
        return self.function


def bound_to(function: Callable, library: Any) -> Callable:
    """The snippet with its library: passed as the first argument ``torch``, or put where its globals name one."""
    if reproducer.takes_library(function):
        return functools.partial(function, library)
    if not isinstance(function, types.FunctionType):
        return function
    scope = {**function.__globals__, **{k: _counterpart(v, library) for k, v in function.__globals__.items()}}
    cells = function.__closure__ and tuple(
        types.CellType(_counterpart(c.cell_contents, library)) for c in function.__closure__
    )
    made = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _counterpart(value: Any, library: Any) -> Any:
    """The module of ``library`` that stands where ``value`` stands in torch or flowtorch."""
    if not isinstance(value, types.ModuleType):
        return value
    root, _, rest = value.__name__.partition(".")
    if root not in ("torch", "flowtorch"):
        return value
    return (find_name(library, rest) if rest else library) or value


class Snippet(Recorder):
    """A recorder whose calls all go to one snippet."""

    def __init__(
        self, function: Any, candidate: Implementation, reference: Implementation, table: explained.Table | None = None
    ) -> None:
        super().__init__(candidate, reference, explained=table)
        self.function = function

    def functions(self, name: str) -> tuple[Any, Any]:
        if isinstance(self.function, str):
            return super().functions(name)
        ours, theirs = (
            bound_to(self.function, side.library) if isinstance(side, Library) else side.find(name)
            for side in (self.candidate, self.reference)
        )
        return ours, theirs

    def exact(self, names: Any, spec: Spec, sample: Sample) -> Callable | None:
        if isinstance(self.function, str):
            return super().exact(names, spec, sample)
        oracle = self.oracle
        if (
            oracle is None
            or spec.random
            or not any("float" in a.dtype or "complex" in a.dtype for a in sample.arrays())
        ):
            return None
        return lambda: oracle.exact(bound_to(self.function, oracle.library), sample)


class Outcome:
    """What a check found: its rows, and the findings as lines."""

    def __init__(self, name: str, recorder: Recorder, failures: list[DifferenceFound]) -> None:
        self.name, self.rows, self.failures = name, list(recorder.rows.values()), failures

    @property
    def ok(self) -> bool:
        return not self.failures

    def __repr__(self) -> str:
        worst = max((r.worst for r in self.rows), key=SEVERITY.__getitem__, default="nothing ran")
        return f"<check of {self.name}: {len(self.rows)} rows, {worst}>"


def _chosen(modes: Iterable[str] | None, named: bool) -> tuple[str, ...]:
    """The modes asked for, which must be known ones."""
    known = NAMED_MODES if named else MODES
    wanted = (modes,) if isinstance(modes, str) else tuple(modes) if modes is not None else known
    if unknown := [m for m in wanted if m not in MODES and m not in NAMED_MODES]:
        raise ValueError(f"no mode {', '.join(map(repr, unknown))}: there are {', '.join(known)}")
    return wanted


def check(
    fn: Any, ref: Any = None, samples: Any = None, *, candidate: Any = "flowtorch", modes: Iterable[str] | None = None,
    examples: int = 60, seed: int = 0, gradient: bool = True, random: bool = False, factor: float = 4.0,
    sums: bool = True, database: Path | None = None, raises: bool = True, strict: bool = False,
    ignore: Iterable[str] = (),
) -> Outcome:  # fmt: skip
    """Hold a function against a reference in every mode; DifferenceFound with a script where they differ.

    ``fn``       a public name ("nn.functional.gelu"), or a snippet in Torch style: a function of tensors that names
                 ``torch`` as a global or takes it as its first argument
    ``ref``      an implementation or its name (torch where installed, else the oracle), or a function on numpy arrays
    ``samples``  a hypothesis strategy, or an iterable, of ``Sample``s or tuples of arguments; the registry's for names
    ``ignore``   verdicts that may be ("stride mismatch")
    ``strict``   what is only suspicious (up to 16 times the error model's allowance) fails too
    ``modes``    some of ``MODES``; ``examples`` how many a strategy gives; ``database`` a folder for failures
    """
    sides = remembered(candidate), _reference(ref)
    if isinstance(fn, str) and sides[0].find(fn) is None:
        raise ValueError(f"{sides[0].name} has no function {fn!r}")
    if not isinstance(fn, str) and not callable(fn):
        raise TypeError(f"check() takes a public name or a function, not {type(fn).__name__}")
    name = fn if isinstance(fn, str) else getattr(fn, "__name__", "snippet")
    own = isinstance(fn, str) and samples is None and sides[0].name.startswith("flowtorch")
    table = explained.read() if own and sides[1].name.startswith("torch") else None
    recorder = Snippet(fn, *sides, table)
    if isinstance(sides[1], Function):
        recorder.oracle = None  # the function is the definition; the oracle would only run the snippet again
    spec = _spec(fn, name, samples, gradient, random, factor if sums else 1.0)
    wanted = _chosen(modes, samples is None and isinstance(fn, str))
    failures: list[DifferenceFound] = []
    run = _Run(recorder, spec, fn, database, GOOD.union(ignore, () if strict else ("suspicious",)))
    if hasattr(samples, "example"):  # a hypothesis strategy
        failures += run.drawn(samples, wanted, examples, seed)
    else:
        for mode in wanted:
            failures += run.listed(mode)
    if failures and raises:
        raise failures[0]
    return Outcome(name, recorder, failures)


def _reference(ref: Any) -> Implementation:
    if ref is None:
        import importlib.util

        return remembered("torch" if importlib.util.find_spec("torch") is not None else "oracle")
    if callable(ref) and not isinstance(ref, (str, Implementation, types.ModuleType)):
        return Function(ref)
    return remembered(ref)


def _spec(fn: Any, name: str, samples: Any, gradient: bool, random: bool, factor: float) -> Any:
    known = load().get(fn) if isinstance(fn, str) else None
    spec = copy.copy(known)
    if spec is None:
        spec = Spec(name, list, dtypes=("float32",), random=random, factor=factor, gradient=gradient, errors=False)
    if samples is not None and not hasattr(samples, "example"):
        listed = [as_sample(s) for s in samples]
        if not listed:
            raise ValueError("samples is empty: nothing would be compared")
        spec.samples = lambda dtype: iter(retyped(s, dtype) for s in listed)  # type: ignore[method-assign]
        spec.dtypes = tuple(dict.fromkeys(a.dtype for s in listed for a in s.arrays()[:1])) or ("float32",)
    elif samples is None and known is None:
        raise ValueError("a snippet needs samples: a list of argument tuples, or a strategy from difftest.strategies")
    return spec


def as_sample(value: Any) -> Sample:
    """A Sample from itself, or from a tuple of arguments; numpy arrays and tensors become Arrays."""
    if isinstance(value, Sample):
        return value
    args = value if isinstance(value, tuple) else (value,)
    return Sample(tuple(as_array(a) for a in args), {})


def as_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return Array(value, str(value.dtype), grad=value.dtype.kind in "fc")
    if hasattr(value, "detach") and hasattr(value, "dtype"):
        from ..outcome import numbers

        dtype = str(value.dtype).removeprefix("torch.")
        return Array(numbers(value, dtype), dtype, grad="float" in dtype or "complex" in dtype)
    return value


def retyped(sample: Sample, dtype: str) -> Sample:
    """The call with its floating-point tensors in ``dtype``, if that is one."""
    if "float" not in dtype:
        return sample
    return sample.map_arrays(lambda a: a.with_(dtype=dtype) if "float" in a.dtype else a)


def turned(mode: str, sample: Sample) -> list[Sample]:
    """The calls that a mode makes of one: its tensors in other memory layouts, or of other dtypes."""
    if mode == "dtypes":
        kinds = ("float64", "bfloat16") if any("float" in a.dtype for a in sample.arrays()) else ()
        return [retyped(sample, k) for k in kinds]
    return [sample.map_arrays(lambda a, k=k: laid_out(a, k)) for k in LAYOUTS_OF[mode]]


class _Run:
    """One check: its recorder, and how findings become failures."""

    def __init__(self, recorder: Snippet, spec: Any, fn: Any, database: Path | None, good: frozenset) -> None:
        self.recorder, self.spec, self.fn, self.database = recorder, spec, fn, database
        self.good = good

    def lines(self, mode: str, sample: Sample) -> list[str]:
        """What is bad about one call in one mode."""
        return [line for line in self.all_lines(mode, sample) if line.split(":")[0] not in self.good]

    def all_lines(self, mode: str, sample: Sample) -> list[str]:
        r, spec = self.recorder, self.spec
        r.variant = mode
        if mode in ("first_gradients", "double_gradients"):
            if not spec.gradient:
                return []
            double = sample.map_arrays(lambda a: a.with_(dtype="float64") if "float" in a.dtype else a)
            return (
                list(r.compare_gradients(spec, double, mode[0] == "d", ""))
                if any(a.grad for a in sample.arrays())
                else []
            )
        if mode in LAYOUTS_OF or mode == "dtypes":
            return [line for s in turned(mode, sample) for line in r.compare(spec.name, spec, s, "")]
        if mode == "reruns":
            r.reruns = 2
            try:
                return list(r.compare(spec.name, spec, sample, ""))
            finally:
                r.reruns = 0
        if mode == "interpret":
            return list(self.against(make("flowtorch-interpret"), sample))
        if mode in ("compiled", "traced") and isinstance(r.candidate, Library):
            if isinstance(self.fn, str):
                return []
            way = modes.compiled if mode == "compiled" else modes.traced
            return list(self.against(modes.Wrapped(r.candidate.library, f"{r.candidate.name}-{mode}", way), sample))
        if mode == "device":
            other = modes.device(r.candidate)
            return [] if other is None else list(self.against(other, sample))
        if mode in ("inplace", "outs"):
            return self.writing(mode, sample)
        return list(r.compare(spec.name, spec, sample, ""))

    def writing(self, mode: str, sample: Sample) -> list[str]:
        """The result over the first argument, or into ``out=`` where the snippet takes it."""
        r, spec = self.recorder, self.spec
        sides = r.functions(spec.name)
        if mode == "outs":
            if sides[1] is None or not modes.takes_out(self.fn):
                return []
            calls = modes.outs(sample, r.reference.run(sides[1], sample, spec.random))
            return [line for s in calls for line in r.compare(spec.name, spec, s, "")]
        arrays = sample.arrays()
        both = all(isinstance(side, Library) for side in (r.candidate, r.reference))
        if not both or None in sides or not arrays or sample.args[0] is not arrays[0]:
            return []
        if arrays[0].layout == "overlapping":  # the order of writing would decide what is left there
            return []
        return list(r.compare(tuple(map(modes.written_back, sides)), spec, sample, ""))

    def against(self, other: Implementation, sample: Sample) -> Iterator[str]:
        """The candidate by another path of its own."""
        r = self.recorder
        before, r.candidate = r.candidate, other
        try:
            yield from r.compare(self.spec.name, self.spec, sample, "")
        finally:
            r.candidate = before

    def listed(self, mode: str) -> list[DifferenceFound]:
        """The failures over the listed samples, or over what a check of the matrix makes of them."""
        if isinstance(self.fn, str) and mode in ALL_CHECKS:
            self.recorder.variant = mode
            before = len(self.recorder.rows)
            if not applies(mode, self.spec) or not list(ALL_CHECKS[mode](self.recorder, self.spec)):
                return []
            rows = list(self.recorder.rows.values())[before:]
            bad = [row for row in rows if row.worst not in self.good]
            return [self.failure(mode, row.sample, row) for row in bad if row.sample is not None][:5]
        for dtype in self.spec.dtypes:
            for sample in self.spec.samples(dtype):
                if self.lines(mode, sample):
                    small = shrink(sample, lambda s: bool(self.quiet(mode, s)))
                    return [self.failure(mode, small)]
        return []

    def quiet(self, mode: str, sample: Sample) -> list[str]:
        """The lines on one call, leaving no rows."""
        rows, self.recorder.rows = self.recorder.rows, {}
        try:
            return self.lines(mode, sample)
        finally:
            self.recorder.rows = rows

    def drawn(self, strategy: Any, modes: tuple[str, ...], examples: int, seed: int) -> list[DifferenceFound]:
        """The failure that hypothesis ends with when it has made the call as small as it can."""
        import hypothesis

        last: list[tuple[str, Sample]] = []

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, print_blob=False, report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(strategy)
        def one(value: Any) -> None:
            sample = as_sample(value)
            for mode in modes:
                if self.lines(mode, sample):
                    last[:] = [(mode, sample)]
                    raise AssertionError(mode)

        try:
            one()
        except AssertionError:
            mode, sample = last[0]
            return [self.failure(mode, sample)]
        return []

    def failure(self, mode: str, sample: Sample, row: Row | None = None) -> DifferenceFound:
        lines = self.quiet(mode, sample) if row is None else [row.examples.get(row.worst, row.worst)]
        text = lines[0] if lines else "differs"
        verdict = row.worst if row is not None else text.split(":")[0]
        name = self.spec.name if row is None else row.name
        if row is not None and not row.name.startswith("operator."):
            from .failures import verdict_of

            def fails(s: Sample) -> bool:
                return verdict_of(self.recorder, self.spec, mode, row.name, s) == row.worst

            sample = shrink(sample, fails) if fails(sample) else sample
        function = None if isinstance(self.fn, str) else self.fn
        if row is None and (mode in LAYOUTS_OF or mode == "dtypes"):  # the script makes the call as the mode makes it
            sample = next((s for s in turned(mode, sample) if self.quiet("values", s)), sample)
        if mode == "device":
            sample = sample.map_arrays(lambda a: a.with_(device="cuda"))
        source = reproducer.script(name, sample, function=function, what=text[:110], gradients="gradients" in mode)
        if self.database is not None and function is None:
            from .failures import Database

            Database(self.database).add(self.spec.name, mode, name, sample, verdict, text)
        return DifferenceFound(f"{self.spec.name} in mode {mode}: {text}", sample, source, verdict)


def op(ref: Any = None, samples: Any = None, *, modes: Iterable[str] = MODES, **options: Any) -> Callable:
    """Decorator: a snippet in Torch style becomes a test of every mode, one test each under pytest."""

    def make(function: Callable) -> Callable:
        def test(mode: str) -> None:
            check(function, ref, samples, modes=(mode,), **options)

        test.__name__ = test.__qualname__ = f"test_{function.__name__.removeprefix('test_')}"
        test.__doc__, test.__module__ = function.__doc__, function.__module__
        test.snippet = function  # type: ignore[attr-defined]
        try:
            import pytest
        except ImportError:
            return test
        return pytest.mark.parametrize("mode", tuple(modes))(test)

    return make
