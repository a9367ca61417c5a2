"""``with difftest.crossref("torch"):`` every public call made inside is made on the reference too, and compared.

Any program or test suite becomes a differential one. The reference sees the values that went into each call, so an
error is reported where it is made and not again in what follows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .. import outcome
from ..errormodel import reduction_length
from ..outcome import Outcome, Result
from ..samples import Array, Named, Sample, find
from . import verdict
from .calls import NOT_RECORDED, RANDOM
from .checking import DifferenceFound
from .implementations import Implementation, remembered
from .oracle import exact_with
from .reproducer import script
from .verdict import GOOD

PLACES = ("{}", "Tensor.{}", "nn.functional.{}", "linalg.{}", "special.{}", "fft.{}")
LARGEST = 1_000_000  # elements of an argument beyond which a call is let pass
# What they give depends on more than the values that go in.
SKIPPED = NOT_RECORDED | RANDOM | {
    "tensor", "as_tensor", "from_numpy", "manual_seed", "clone", "_to_copy", "cuda", "cpu", "to", "set_", "grad_fn",
    "requires_grad", "data", "resize_", "resize_as_", "as_strided", "pin_memory", "share_memory_", "detach", "alias",
    "shape", "dtype", "device", "new_tensor", "frombuffer",
}  # fmt: skip


class crossref:
    """Context that compares every public call with ``reference``; DifferenceFound at its end unless ``raises=False``.

    ``found`` has the findings as DifferenceFound objects, ``calls`` how often each function was compared.
    """

    def __init__(self, reference: Any = "torch", raises: bool = True, ignore: Any = ("suspicious",)) -> None:
        self.reference: Implementation = remembered(reference)
        self.raises, self.good = raises, GOOD.union(ignore)
        self.found: list[DifferenceFound] = []
        self.calls: Counter[str] = Counter()
        self.names: dict[Any, str | None] = {}

    def __enter__(self) -> crossref:
        import flowtorch
        from flowtorch import overrides

        self.library = flowtorch
        cross = self

        class Mode(overrides.TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
                return cross.call(func, args, kwargs or {})

        self.mode = Mode()
        self.mode.__enter__()
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self.mode.__exit__(kind, *rest)
        if kind is None and self.found and self.raises:
            raise self.found[0]

    def call(self, function: Any, args: tuple, kwargs: dict) -> Any:
        name = getattr(function, "__name__", "")
        sample = None if name in SKIPPED else self.sampled(args, kwargs)
        public = None if sample is None else self.public_name(name, function)
        if sample is None or public is None:
            return function(*args, **kwargs)
        before = self.random_state()
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            self.compare(public, sample, Outcome(error))
            raise
        if self.random_state() != before:  # the reference would draw other numbers
            return result
        flat = [
            Result(r, {}, {}) if isinstance(r, self.library.Tensor) else outcome.plain(r)
            for r in outcome.flatten(result, self.library)
        ]
        self.compare(public, sample, Outcome(None, flat, []))
        return result

    def random_state(self) -> bytes:
        return self.library.get_rng_state().numpy().tobytes()

    def public_name(self, name: str, function: Any) -> str | None:
        """Where the reference has the function; None if it has none. One name may be several functions'."""
        if function not in self.names:
            here = [p.format(name) for p in (("Tensor.{}",) if name.startswith("__") else PLACES)]
            own = [p for p in here if find(self.library, p) is function]
            # What stands nowhere (an attribute's getter) is known by its name, where that is nothing else's.
            places = own or [p for p in here if find(self.library, p) is None or p.startswith("Tensor.")]
            self.names[function] = next((p for p in places if callable(self.reference.find(p))), None)
        return self.names[function]

    def sampled(self, args: tuple, kwargs: dict) -> Sample | None:
        """The call as a sample; None if it is too large, or holds what a sample cannot."""

        class Unfit(Exception):
            pass

        def turn(v: Any) -> Any:
            if isinstance(v, self.library.Tensor):
                if v.numel() > LARGEST or v.device.type != "cpu" or v.layout is not self.library.strided:
                    raise Unfit
                dtype = str(v.dtype).removeprefix("torch.")
                return Array(outcome.numbers(v, dtype), dtype)
            if isinstance(v, self.library.dtype):
                return Named(str(v).removeprefix("torch."))
            if isinstance(v, (tuple, list)) and type(v) in (tuple, list, self.library.Size):
                return tuple(map(turn, v)) if not isinstance(v, list) else list(map(turn, v))
            if isinstance(v, slice):
                return slice(turn(v.start), turn(v.stop), turn(v.step))
            if v is None or v is Ellipsis or isinstance(v, (bool, int, float, complex, str)):
                return v
            raise Unfit

        try:
            return Sample(tuple(map(turn, args)), {k: turn(v) for k, v in kwargs.items() if k != "out"})
        except Unfit:
            return None

    def compare(self, name: str, sample: Sample, got: Outcome) -> None:
        self.calls[name] += 1
        theirs = self.reference.find(name)
        expected = self.reference.run(theirs, sample)
        if expected.error is not None and got.error is None:
            findings = [verdict.Finding("error mismatch", f"the reference raises {outcome.describe(expected.error)}")]
        else:
            shapes = [r.shape for r in expected.results or [] if isinstance(r, Result)]
            length = reduction_length([a.values.shape for a in sample.arrays()], shapes)
            findings = verdict.outcomes(
                expected, got, lambda: exact_with(lambda s: self.reference.run(theirs, s), sample),
                length=length, faithful=False, sums=True,
            )  # fmt: skip
            findings += [
                verdict.Finding("dtype mismatch", f"dtype: expected {e.dtype}, got {g.dtype}")
                for e, g in zip(expected.results or [], got.results or [], strict=False)
                if self.reference.faithful and isinstance(e, Result) and isinstance(g, Result) and e.dtype != g.dtype
            ]
            if (expected.error is None) != (got.error is None):
                findings = [
                    verdict.Finding("error mismatch", f"raised {outcome.describe(got.error)}, the reference did not")
                ]
        for f in findings:
            if f.verdict not in self.good:
                text = f"{name}{sample}: {f.verdict}: {f.text}"
                self.found.append(DifferenceFound(text, sample, script(name, sample, what=text[:110]), f.verdict))


class capture(crossref):
    """Context that keeps the calls of a running program as samples: ``samples`` has them by public name.

    ``check(name, samples=samples[name])`` then tests what the program really does.
    """

    def __init__(self, reference: Any = "flowtorch", most: int = 20) -> None:
        super().__init__(reference, raises=False)
        self.most = most
        self.samples: dict[str, list[Sample]] = {}

    def compare(self, name: str, sample: Sample, got: Outcome) -> None:
        self.calls[name] += 1
        kept = self.samples.setdefault(name, [])
        if got.error is None and len(kept) < self.most and repr(sample) not in map(repr, kept):
            kept.append(sample)
