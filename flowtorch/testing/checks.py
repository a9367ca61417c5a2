"""The checks that hold a function against a reference: each gives the differences it found, one line each.

``candidate`` and ``reference`` are implementations (``difftest.implementations``), or modules with PyTorch's names.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import outcome
from .difftest.implementations import remembered
from .errormodel import EPS
from .outcome import differences, unphased
from .samples import LAYOUTS, Array, Sample, Spec
from .samples_pointwise import mixed, special_sample

OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "truediv",
    "true_divide": "truediv",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "pow": "pow",
    "matmul": "matmul",
    "bitwise_and": "and_",
    "bitwise_or": "or_",
    "bitwise_xor": "xor",
    "bitwise_left_shift": "lshift",
    "bitwise_right_shift": "rshift",
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "le": "le",
    "gt": "gt",
    "ge": "ge",
    "neg": "neg",
    "abs": "abs",
    "bitwise_not": "invert",
    "positive": "pos",
}
IN_PLACE = {"add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift"}


class Pair:
    """A candidate beside its reference: implementations, their names, or modules with PyTorch's names."""

    def __init__(self, candidate: Any, reference: Any) -> None:
        self.candidate, self.reference = remembered(candidate), remembered(reference)

    def functions(self, name: str) -> tuple[Any, Any]:
        return self.candidate.find(name), self.reference.find(name)

    def compare(self, names: Any, spec: Spec, sample: Sample, label: str, precision: str = "") -> Iterator[str]:
        """Lines for one call: ``names`` is a public name or a pair of functions."""
        ours, theirs = self.functions(names) if isinstance(names, str) else names
        expected = self.reference.run(theirs, sample, spec.random)
        got = self.candidate.run(ours, sample, spec.random)
        if spec.columns:
            expected, got = unphased(expected), unphased(got)
        for d in differences(expected, got, spec, precision=precision):
            yield f"{label}{sample}: {d}"

    def compare_gradients(self, spec: Spec, sample: Sample, double: bool, label: str) -> Iterator[str]:
        """Lines for the gradients of one call, or for their gradients."""
        ours, theirs = self.functions(spec.name)
        expected = self.reference.gradients(theirs, sample, spec.random, double)
        got = self.candidate.gradients(ours, sample, spec.random, double)
        for d in differences(expected, got, _Loose(spec), strides=False):  # type: ignore[arg-type]
            yield f"{label}{sample}: {d}"


def values(pair: Pair, spec: Spec) -> Iterator[str]:
    """Values, dtypes, shapes, strides, aliasing and errors of every sample in every dtype."""
    for dtype in spec.dtypes:
        for sample in spec.samples(dtype):
            yield from pair.compare(spec.name, spec, sample, f"{dtype} ")


def layouts(pair: Pair, spec: Spec) -> Iterator[str]:
    """The same calls with transposed, strided, offset, expanded and channels-last inputs."""
    if not spec.layouts:
        return
    for layout in LAYOUTS[1:]:
        for sample in spec.samples(spec.dtypes[0]):
            arrays = sample.arrays()
            changed = sample.map_arrays(lambda a, layout=layout: lay_out(a, layout))
            if any(a.layout != "contiguous" for a in changed.arrays()) or not arrays:
                yield from pair.compare(spec.name, spec, changed, "")


def lay_out(a: Array, layout: str) -> Array:
    if a.values.ndim == 0 or (layout == "transposed" and a.values.ndim == 1):
        return a
    if layout == "channels_last" and a.values.ndim not in (4, 5):
        return a
    if layout == "expanded" and len(a.values):
        return a.with_(layout=layout, values=np.broadcast_to(a.values[:1], a.values.shape).copy())
    return a.with_(layout=layout)


def variants(pair: Pair, spec: Spec) -> Iterator[str]:
    """The method, the in-place method and function, the operators: wherever the reference has them."""
    if "." in spec.name and not spec.name.startswith("nn.functional"):
        return
    last = spec.name.rsplit(".", 1)[-1]
    names = [f"Tensor.{last}", f"Tensor.{last}_"] if "." not in spec.name else []
    names.append(f"{spec.name}_")
    for name in names:
        ours, theirs = pair.functions(name)
        if theirs is None or last.endswith("_"):
            continue
        if ours is None:
            yield f"{name}: missing"
            continue
        for dtype in [d for d in ("float32", "int64", "bool", "bfloat16", "complex64") if d in spec.dtypes]:
            for sample in spec.samples(dtype):
                if sample.args and isinstance(sample.args[0], Array):
                    yield from pair.compare(name, spec, sample, f"{name} {dtype} ")
    if "." not in spec.name and last in OPERATORS:
        yield from operators(pair, spec, OPERATORS[last])


def operators(pair: Pair, spec: Spec, name: str) -> Iterator[str]:
    function = getattr(operator, name)
    inplace = getattr(operator, "i" + name.rstrip("_")) if name in IN_PLACE else None
    for dtype in [d for d in ("float32", "int64", "bool") if d in spec.dtypes]:
        for sample in spec.samples(dtype):
            if sample.kwargs:
                continue
            yield from pair.compare((function, function), spec, sample, f"operator.{name} {dtype} ")
            if inplace:
                yield from pair.compare((inplace, inplace), spec, sample, f"operator.i{name} {dtype} ")
            if len(sample.args) == 2 and not isinstance(sample.args[1], Array):
                turned = Sample(sample.args[::-1], {})
                yield from pair.compare((function, function), spec, turned, f"operator.{name} {dtype} ")


def outs(pair: Pair, spec: Spec) -> Iterator[str]:
    """``out=``: empty, of the right shape, transposed, of a wider and of a wrong dtype, of a wrong shape."""
    if spec.name.startswith(("Tensor.", "nn.functional.")) or spec.name.endswith("_"):
        return
    _, theirs = pair.functions(spec.name)
    for dtype in [d for d in ("float32", "int64") if d in spec.dtypes]:
        for number, sample in enumerate(spec.samples(dtype)):
            expected = pair.reference.run(theirs, sample, spec.random)
            results = None if expected.error else [r for r in expected.results if isinstance(r, outcome.Result)]
            if not results or number > 2 or len(results) > 3 or "dtype" in sample.kwargs:
                continue
            single = isinstance(expected.results[0], outcome.Result)
            for kind in ("empty", "right", "transposed", "wide", "narrow", "shape"):
                made = [make_out(r, kind) for r in results]
                call = Sample(sample.args, {**sample.kwargs, "out": made[0] if single else tuple(made)})
                lines = list(
                    pair.compare(
                        spec.name,
                        spec,
                        call,
                        f"out {kind} {dtype} ",
                        results[0].dtype if kind == "wide" and results[0].dtype in EPS else "",
                    )
                )
                yield from lines
                refused = pair.reference.run(theirs, call, spec.random).error
                if isinstance(refused, TypeError):  # the function takes no out=
                    return


def make_out(r: Any, kind: str) -> Array:
    dtype = {"wide": "float64", "narrow": "bool"}.get(kind, r.dtype)
    shape = {"empty": (0,), "shape": (*r.shape, 2)}.get(kind, r.shape)
    return Array(
        np.zeros(shape), dtype, layout="transposed" if kind == "transposed" and len(shape) > 1 else "contiguous"
    )


def first_gradients(pair: Pair, spec: Spec) -> Iterator[str]:
    """Gradients in float64 (and complex128), and which outputs require one."""
    yield from _gradients(pair, spec, double=False)


def double_gradients(pair: Pair, spec: Spec) -> Iterator[str]:
    """Gradients of gradients in float64."""
    if spec.double:
        yield from _gradients(pair, spec, double=True)


class _Loose:
    """The tolerances of gradients: sums over products, of a few dozen roundings."""

    undefined, family = False, "gradient"

    def __init__(self, spec: Spec) -> None:
        self.factor = 32 * max(spec.factor, 1)


def _gradients(pair: Pair, spec: Spec, double: bool) -> Iterator[str]:
    if not spec.gradient or spec.undefined:
        return
    for dtype in [
        d for d in ("float64", "complex128") if d in spec.dtypes or (d == "complex128" and "complex64" in spec.dtypes)
    ]:
        for sample in spec.samples(dtype):
            if not any(a.grad for a in sample.arrays()):
                continue
            yield from pair.compare_gradients(spec, sample, double, f"{dtype} ")


def specials(pair: Pair, spec: Spec) -> Iterator[str]:
    """Zeros of both signs, infinities, nan, subnormal numbers and the ends of the range: pointwise functions."""
    if spec.family not in ("unary", "binary", "ternary"):
        return
    for dtype in spec.dtypes:
        for sample in spec.samples(dtype):
            arrays = sample.arrays()
            if arrays and all(a.values.shape == arrays[0].values.shape and a.values.ndim == 2 for a in arrays):
                yield from pair.compare(spec.name, spec, special_sample(sample, dtype), f"{dtype} ")
                break


def promotion(pair: Pair, spec: Spec) -> Iterator[str]:
    """Two tensors of different dtypes, with and without dimensions, and tensors beside numbers."""
    if spec.family not in ("binary", "ternary"):
        return
    for dtype in ("float32", "float64", "bfloat16", "int64", "uint8", "bool", "complex64"):
        usable = [s for s in spec.samples(dtype) if len(s.arrays()) > 1]
        for sample in (usable[0], *(s for s in usable if any(a.values.ndim == 0 for a in s.arrays()))):
            for other in mixed(dtype):
                yield from pair.compare(spec.name, spec, change_last(sample, other), f"{dtype} with {other} ")
        for sample in spec.samples(dtype):
            if len(sample.arrays()) == 1 and len(sample.args) == 2:
                for number in (3, 1.5, True, 2j):
                    changed = Sample(tuple(a if isinstance(a, Array) else number for a in sample.args), sample.kwargs)
                    yield from pair.compare(spec.name, spec, changed, f"{dtype} with {number} ")
                break


def change_last(sample: Sample, dtype: str) -> Sample:
    last = sample.arrays()[-1]
    values = last.values if "complex" in dtype or last.values.dtype.kind != "c" else last.values.real
    if "int" in dtype or dtype == "bool":
        values = np.round(np.abs(values)).astype(np.int64)
    return sample.map_arrays(lambda a: a.with_(dtype=dtype, values=values) if a is last else a)


# ---------------------------------------------------------------- errors


def errors(pair: Pair, spec: Spec) -> Iterator[str]:
    """Broken calls: wrong types, dimensions, shapes, dtypes and names of arguments raise what the reference raises."""
    if not spec.errors:
        return
    done = set()
    for sample in list(spec.samples(spec.dtypes[0]))[:2]:
        for what, broken in breakages(sample):
            if (what, key := repr(broken)) in done:
                continue
            done.add((what, key))
            yield from pair.compare(spec.name, spec, broken, f"{what}: ")


# No two elements alike where the dtype tells them apart, and ones where it does not.
OTHER_SHAPE = 1 + np.modf(np.arange(70.0).reshape(7, 2, 5) * 0.6180339887498949)[0]


def breakages(sample: Sample) -> Iterator[tuple[str, Sample]]:
    """(what was done, the broken call)."""
    args = sample.args
    for i, a in enumerate(args):

        def put(value: Any, i: int = i) -> Sample:
            return Sample((*args[:i], value, *args[i + 1 :]), sample.kwargs)

        if isinstance(a, Array):
            yield "text for a tensor", put("text")
            yield "None for a tensor", put(None)
            yield "list for a tensor", put([1.0, 2.0])
            yield "other shape", put(Array(OTHER_SHAPE, a.dtype))
        elif isinstance(a, bool):
            yield "text for a flag", put("text")
        elif isinstance(a, int):
            yield "too large", put(11)
            yield "too small", put(-11)
            yield "text for a number", put("text")
            yield "fraction for a number", put(1.5)
        elif isinstance(a, (tuple, list)) and all(isinstance(x, int) for x in a):
            yield "text among sizes", put((*a, "text"))
            yield "one more", put((*a, 11))
    yield "unknown keyword", Sample(args, {**sample.kwargs, "bogus": 1})
    if args and isinstance(args[0], Array):
        yield "nothing", Sample((), {})


# ---------------------------------------------------------------- accuracy


def accuracy(pair: Pair, spec: Spec) -> Iterator[str]:
    """float32 against the reference in float64: not worse than twice the reference's own error plus one unit."""
    if not spec.accuracy:
        return
    ours, theirs = pair.functions(spec.name)
    first = next((s for s in spec.samples("float64") if len(s.arrays()) and s.arrays()[0].values.ndim == 2), None)
    if first is None:
        return
    large = enlarge(first, spec)
    single = large.map_arrays(lambda a: a.with_(dtype="float32") if a.dtype == "float64" else a)
    oracle = pair.reference.run(theirs, large, spec.random)
    sides = [pair.reference.run(theirs, single, spec.random), pair.candidate.run(ours, single, spec.random)]
    if oracle.error or any(s.error for s in sides):
        return
    for k, exact in enumerate(oracle.results):
        if isinstance(exact, outcome.Result) and exact.dtype == "float64":
            reference, candidate = (units(exact.values, s.results[k].values, spec) for s in sides)
            limit = 2 * reference + 1
            if candidate > limit:
                yield f"{single}: error of {candidate:.2f} units, the reference's is {reference:.2f}"


def enlarge(sample: Sample, spec: Spec) -> Sample:
    rng = np.random.default_rng(5)

    def grow(a: Array) -> Array:
        low, high = (a.values.min(), a.values.max()) if a.values.size else (0, 1)
        return a.with_(values=rng.uniform(low, high, (60, 50)).astype(np.float32).astype(np.float64))

    return sample.map_arrays(lambda a: grow(a) if a.dtype == "float64" else a)


def units(exact: np.ndarray, got: np.ndarray, spec: Spec) -> float:
    """The error at the 99.9th percentile, in units of the last place of float32."""
    with np.errstate(all="ignore"):
        ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        e = np.abs(got.astype(np.float64) - exact) / ulp
    e = e[np.isfinite(e)]
    return float(np.quantile(e, 0.999)) if e.size else 0.0


CHECKS = {
    f.__name__: f
    for f in (
        values,
        layouts,
        variants,
        outs,
        first_gradients,
        double_gradients,
        specials,
        promotion,
        errors,
        accuracy,
    )
}
