"""Calls made out of the registry's samples, for what the samples themselves do not reach.

Sides of one and of none, ties and kinks, nan and inf among ordinary numbers, parameters that no sample sets, half
precision, memory layouts in other dtypes, and autograd's rules for in-place calls.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..checks import lay_out
from ..samples import Array, Sample, Spec
from .implementations import Library

FEW = 4  # samples of a function that are varied
OPTIONS = frozenset(("out", "dtype", "layout", "device", "requires_grad", "pin_memory", "memory_format", "generator",
                     "size_average", "reduce", "inplace", "sparse", "sparse_grad"))  # fmt: skip
WORDS = {"mean": ("sum", "none"), "none": ("tanh",), "linear": ("linear",)}


def floating(a: Array) -> bool:
    return "float" in a.dtype or "complex" in a.dtype


def stable(spec: Spec) -> bool:
    """Whether results do not hang on the last bit of the input, as ranks, pivots and eigenvalues that are equal do."""
    return not (spec.undefined or spec.random or spec.columns or spec.family == "linalg")


def sizes(pair: Any, spec: Spec) -> Iterator[str]:
    """Every side of one length made one, or none, in all arguments at once, and in the first alone."""
    if not spec.errors or spec.random:
        return
    done = set()
    for sample in islice(spec.samples(spec.dtypes[0]), FEW):
        for size in {n for a in sample.arrays() for n in a.values.shape if n > 1}:
            for new in (1, 0):
                for which in (None, 0):
                    changed = resized(sample, size, new, which)
                    if repr(changed) not in done:
                        done.add(repr(changed))
                        label = f"side of {size} made {new} "
                        yield from pair.compare(spec.name, spec, changed, label)
                        if new == 1 and which is None and has_gradient(spec, changed):
                            yield from pair.compare_gradients(spec, changed, False, label)


def has_gradient(spec: Spec, sample: Sample) -> bool:
    arrays = [a for a in sample.arrays() if a.grad]
    return spec.gradient and stable(spec) and bool(arrays) and all(a.dtype == "float64" for a in arrays)


def resized(sample: Sample, size: int, new: int, which: int | None) -> Sample:
    seen: list[Array] = []

    def cut(a: Array) -> Array:
        seen.append(a)
        if which is not None and len(seen) - 1 != which:
            return a
        return a.with_(values=a.values[tuple(slice(0, new) if n == size else slice(None) for n in a.values.shape)])

    return sample.map_arrays(cut)


def rounded(sample: Sample, spec: Spec, dtype: str) -> Sample:
    """The call with whole numbers of its domain: operands that tie, zeros, and points where formulas meet."""
    low, high = np.ceil(spec.domain[0]), np.floor(spec.domain[1])
    if low > high:  # no whole number inside: the ones that the domain ends before
        low, high = high, low

    def whole(a: Array) -> Array:
        if not floating(a):
            return a
        values = np.clip(np.round(a.values.real), min(low, 0), max(high, 1))
        return a.with_(values=values, dtype=dtype)

    return sample.map_arrays(whole)


def ties(pair: Any, spec: Spec) -> Iterator[str]:
    """Values and gradients at whole numbers, where elements are equal and piecewise functions have their kinks."""
    if not stable(spec) or spec.family == "view":
        return
    for dtype in [d for d in ("float32", "float64") if d in spec.dtypes]:
        for sample in islice(spec.samples(dtype), FEW):
            if any(floating(a) for a in sample.arrays()):
                turned = rounded(sample, spec, dtype)
                yield from pair.compare(spec.name, spec, turned, "whole numbers ")
                if dtype == "float64" and spec.gradient and not spec.unordered and any(a.grad for a in turned.arrays()):
                    yield from pair.compare_gradients(spec, turned, False, "whole numbers ")


def nans(pair: Any, spec: Spec) -> Iterator[str]:
    """One nan, infinity or minus zero among ordinary numbers, in one argument after the other; then nothing else."""
    if not stable(spec) or spec.family in ("unary", "binary", "view"):
        return
    for sample in islice(spec.samples("float32" if "float32" in spec.dtypes else spec.dtypes[0]), FEW):
        arrays = [a for a in sample.arrays() if floating(a) and a.values.size]
        for target in arrays:
            for value in (np.nan, np.inf, -np.inf, -0.0):
                for whole in (False, True):
                    yield from pair.compare(spec.name, spec, put(sample, target, value, whole), f"one {value} ")
                if len(arrays) == 2 and arrays[0].values.shape == arrays[1].values.shape:  # where products meet zero
                    zeros = sample.map_arrays(lambda a, t=target: a if a is t else a.with_(values=a.values * 0))
                    yield from pair.compare(spec.name, spec, put(zeros, target, value), f"one {value}, else zeros ")


def put(sample: Sample, target: Array, value: float, whole: bool = False) -> Sample:
    """The call with ``value`` in one place of one argument, or (``whole``) along its last dimension."""
    values = target.values.astype(np.result_type(target.values, np.float64))
    if whole and values.ndim:
        values[(0,) * (values.ndim - 1)] = value
    else:
        values.flat[values.size // 2] = value
    return sample.map_arrays(lambda a: a.with_(values=values) if a is target else a)


def limits(pair: Any, spec: Spec) -> Iterator[str]:
    """The largest and least whole numbers, as the first argument of pointwise functions: what wraps, wraps alike."""
    if spec.family not in ("unary", "binary") or spec.random:
        return
    for dtype in [d for d in ("uint8", "int8", "int32", "int64") if d in spec.dtypes]:
        ends = np.iinfo(dtype)
        chosen = np.array([ends.max, ends.max - 1, ends.max // 2 + 1, 1, 0, ends.min + 1])
        for sample in islice(spec.samples(dtype), FEW):
            if sample.args and isinstance(sample.args[0], Array) and sample.args[0].values.dtype.kind in "iu":
                first = sample.args[0]
                extreme = first.with_(values=np.resize(chosen, first.values.shape).astype(first.values.dtype))
                yield from pair.compare(spec.name, spec, Sample((extreme, *sample.args[1:]), sample.kwargs), "ends ")


def parameters(pair: Any, spec: Spec) -> Iterator[str]:
    """Parameters that keep their default in a sample get another value, one after the other."""
    if spec.random or not spec.errors:
        return
    default = defaults(spec.name)
    dtype = "float32" if "float32" in spec.dtypes else spec.dtypes[0]
    for sample in islice(spec.samples(dtype), 3):
        for name, given in default.items():
            if name in sample.kwargs or name in OPTIONS:
                continue
            for other in alternatives(given):
                changed = Sample(sample.args, {**sample.kwargs, name: other})
                yield from pair.compare(spec.name, spec, changed, f"{name}={other} ")
                arrays = [a for a in sample.arrays() if floating(a) and a.values.size]
                if other == 0 and arrays and type(other) is not bool:  # a factor of zero drops even nan
                    yield from pair.compare(spec.name, spec, put(changed, arrays[0], np.nan), f"{name}={other}, nan ")


def alternatives(given: Any) -> tuple:
    if isinstance(given, bool):
        return (not given,)
    if isinstance(given, int):
        return tuple(x for x in (0, 2, -1) if x != given)
    if isinstance(given, float):
        return tuple(x for x in (0.0, 0.5, 2.5) if x != given)
    return WORDS.get(given, ()) if isinstance(given, str) else ()


def defaults(name: str) -> dict[str, Any]:
    """Parameter -> default of a public function, as flowtorch declares them."""
    from ..samples import find
    from .implementations import _flowtorch

    try:
        signature = inspect.signature(find(_flowtorch(), name))
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}


def half(pair: Any, spec: Spec) -> Iterator[str]:
    """float16, of functions whose samples are drawn in bfloat16 alone."""
    if "bfloat16" in spec.dtypes and "float16" not in spec.dtypes and not spec.random:
        for sample in spec.samples("float16"):
            yield from pair.compare(spec.name, spec, sample, "float16 ")


def dtype_layouts(pair: Any, spec: Spec) -> Iterator[str]:
    """Other memory layouts in other dtypes than the first."""
    if not spec.layouts or spec.random:
        return
    for dtype in [d for d in ("float32", "bfloat16", "int64", "complex64") if d in spec.dtypes[1:]]:
        for layout in ("transposed", "expanded", "strided"):
            for sample in islice(spec.samples(dtype), FEW):
                changed = sample.map_arrays(lambda a, layout=layout: lay_out(a, layout))
                if any(a.layout != "contiguous" for a in changed.arrays()):
                    yield from pair.compare(spec.name, spec, changed, f"{dtype} ")


# ---------------------------------------------------------------- autograd's rules for in-place calls


def on_leaf(name: str, library: Any) -> Callable:
    """A leaf that requires a gradient must not be overwritten."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x.detach().requires_grad_(), name)(*args, **kwargs).detach()

    return call


def on_saved(name: str, library: Any) -> Callable:
    """What a derivative needs must not be overwritten before it has run."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        y = leaf * 1
        z = y.sin()
        getattr(y, name)(*args, **kwargs)
        return library.autograd.grad(z.sum(), leaf)[0]

    return call


def on_view(name: str, library: Any) -> Callable:
    """A part overwritten in place: the gradient of the whole, and whether the result is the part."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        y = leaf * 1
        part = y[:1] if y.ndim else y
        result = getattr(part, name)(*args, **kwargs)
        weights = library.linspace(1, 2, max(y.numel(), 1), dtype=y.dtype)[: y.numel()].reshape(y.shape)
        (gradient,) = library.autograd.grad((y * weights).sum(), leaf)
        return gradient, y.detach(), result is part, result.requires_grad, result.is_leaf

    return call


def recorded(name: str, library: Any) -> Callable:
    """What a result says of itself to autograd, where recording is on and where it is off."""
    from ..samples import find

    function = find(library, name)

    def said(result: Any) -> list:
        parts = result if isinstance(result, (tuple, list)) else [result]
        return [(t.requires_grad, t.is_leaf) for t in parts if isinstance(t, library.Tensor)]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = [
            a.detach().clone().requires_grad_()
            if isinstance(a, library.Tensor) and (a.is_floating_point() or a.is_complex())
            else a
            for a in args
        ]
        with library.no_grad():
            quiet = said(function(*given, **kwargs))
        return str((said(function(*given, **kwargs)), quiet))

    return call


def autograd(pair: Any, spec: Spec) -> Iterator[str]:
    """Which calls autograd refuses or must notice, in place and otherwise."""
    sides = (pair.candidate, pair.reference)
    if not all(isinstance(s, Library) for s in sides) or spec.random or spec.undefined:
        return
    dtype = "float64" if "float64" in spec.dtypes else spec.dtypes[0]
    last = spec.name.rpartition(".")[2]
    libraries = [s.library for s in sides if isinstance(s, Library)]
    inplace = last if last.endswith("_") else f"{last}_"
    has_method = all(hasattr(lib.Tensor, inplace) for lib in libraries) and not inplace.startswith("_")
    for sample in islice(spec.samples(dtype), 2):
        if not sample.args or not isinstance(sample.args[0], Array) or not floating(sample.args[0]):
            continue
        if not last.endswith("_"):
            yield from pair.compare(tuple(recorded(spec.name, lib) for lib in libraries), spec, sample, "recorded ")
        for rule in (on_leaf, on_saved, on_view) if has_method and spec.gradient else ():
            functions = tuple(rule(inplace, lib) for lib in libraries)
            yield from pair.compare(functions, spec, sample, f"{rule.__name__} ")


VARIATIONS = {f.__name__: f for f in (sizes, ties, nans, limits, parameters, half, dtype_layouts, autograd)}
