"""The samples' calls under other circumstances: numbers with all their bits, random numbers from other parameters and
generators, autocast, and sparse tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..checks import lay_out
from ..samples import Array, Sample, Spec, find
from .implementations import Library

FEW = 3
SCALES = (16.0, 1 / 16)


def floating(a: Array) -> bool:
    return "float" in a.dtype or "complex" in a.dtype


def libraries(pair: Any) -> list:
    """The two modules with PyTorch's names, where both sides are in this process; else nothing."""
    sides = (pair.candidate, pair.reference)
    return [s.library for s in sides] if all(isinstance(s, Library) for s in sides) else []


def precise(pair: Any, spec: Spec) -> Iterator[str]:
    """Double precision with numbers that single precision cannot hold: whatever passes through it shows.

    The samples' own numbers have few bits, so that all dtypes see the same ones.
    """
    if spec.random or spec.undefined or spec.columns or spec.family == "linalg":
        return
    middle = (max(spec.domain[0], -1e3) + min(spec.domain[1], 1e3)) / 2

    def full(a: Array) -> Array:
        if not floating(a) or not a.values.size or a.dtype in ("float16", "bfloat16"):
            return a
        part = 2.0**-30 * np.linspace(0.7, 1.3, a.values.size).reshape(a.values.shape)
        values = np.where(np.isfinite(a.values), a.values + (middle - a.values) * part, a.values)
        return a.with_(values=values, dtype="complex128" if "complex" in a.dtype else "float64")

    for sample in islice(spec.samples("float64" if "float64" in spec.dtypes else spec.dtypes[0]), 2 * FEW):
        changed = sample.map_arrays(full)
        if any("64" in a.dtype and floating(a) for a in changed.arrays()):
            yield from pair.compare(spec.name, spec, changed, "all bits ")


# ---------------------------------------------------------------- random numbers


def draws(pair: Any, spec: Spec) -> Iterator[str]:
    """Random numbers from parameters of other sizes, into other memory, and from a generator of the caller's."""
    if not spec.random:
        return
    for sample in islice(spec.samples(spec.dtypes[0]), FEW):
        for scale in SCALES:
            yield from pair.compare(spec.name, spec, scaled(sample, scale), f"times {scale} ")
        for layout in ("transposed", "strided") if sample.arrays() else ():
            changed = sample.map_arrays(lambda a, layout=layout: lay_out(a, layout))
            yield from pair.compare(spec.name, spec, changed, f"{layout} ")
        if libraries(pair):
            functions = tuple(from_generator(spec.name, library) for library in libraries(pair))
            yield from pair.compare(functions, spec, sample, "own generator ")


def scaled(sample: Sample, scale: float) -> Sample:
    """The call with its numbers that are no whole ones times ``scale``, in tensors and beside them."""
    made = sample.map_arrays(lambda a: a.with_(values=a.values * scale) if floating(a) else a)
    numbers = [v * scale if type(v) in (int, float) else v for v in made.args[1:]]
    return Sample((*made.args[:1], *numbers), made.kwargs) if made.arrays() else made


def from_generator(name: str, library: Any) -> Callable:
    """The call with a generator of its own: what it draws, what that and the common generator draw next."""
    function = find(library, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        own = library.Generator().manual_seed(77)
        drawn = function(*args, **kwargs, generator=own)
        return drawn, library.rand(3, generator=own), library.rand(3)

    return call


# ---------------------------------------------------------------- autocast and sparse tensors


def autocast(pair: Any, spec: Spec) -> Iterator[str]:
    """Which dtypes a function gives under autocast."""
    functions = tuple(cast(spec.name, library) for library in libraries(pair))
    for dtype in [d for d in ("float32", "bfloat16") if d in spec.dtypes and not spec.random and functions]:
        for sample in islice(spec.samples(dtype), 2):
            if any(floating(a) for a in sample.arrays()):
                yield from pair.compare(functions, spec, sample, f"{dtype} under autocast ")


def cast(name: str, library: Any) -> Callable:
    function = find(library, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        with library.autocast("cpu", library.bfloat16):
            made = function(*args, **kwargs)
        parts = made if isinstance(made, (tuple, list)) else [made]
        return [str(t.dtype).removeprefix("torch.") for t in parts if isinstance(t, library.Tensor)]

    return call


def sparse(pair: Any, spec: Spec) -> Iterator[str]:
    """What PyTorch computes on sparse tensors: the first argument as one, in either layout."""
    if spec.random or not libraries(pair) or spec.undefined or spec.name.endswith("_"):
        return
    for layout in ("sparse_coo", "sparse_csr"):
        functions = tuple(thinned(spec.name, library, layout) for library in libraries(pair))
        for sample in islice(spec.samples("float64" if "float64" in spec.dtypes else spec.dtypes[0]), 2):
            first = sample.args[0] if sample.args else None
            if not isinstance(first, Array) or first.values.ndim != 2 or not first.values.size:
                continue
            holes = first.values * (np.indices(first.values.shape).sum(0) % 2)
            changed = Sample((first.with_(values=holes), *sample.args[1:]), sample.kwargs)
            if pair.reference.run(functions[1], changed).error is None:
                yield from pair.compare(functions, spec, changed, f"{layout} ")


def thinned(name: str, library: Any, layout: str) -> Callable:
    function = find(library, name)

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        made = function(x.to_sparse(layout=getattr(library, layout)), *args, **kwargs)
        parts = made if isinstance(made, (tuple, list)) else [made]
        return [(str(t.layout).removeprefix("torch."), t.to_dense()) for t in parts if isinstance(t, library.Tensor)]

    return call


CIRCUMSTANCES = {f.__name__: f for f in (precise, draws, autocast, sparse)}
