"""Other ways to make one call of a snippet: written in place, into ``out=``, compiled, traced, on another device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..outcome import Outcome, Result
from ..samples import Array, Sample
from .implementations import Library, OnDevice


class Wrapped(Library):
    """A library whose functions go through ``wrap(library, function, sample)`` before they are called."""

    def __init__(self, library: Any, name: str, wrap: Callable) -> None:
        super().__init__(library, name)
        self.wrap = wrap

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        return super().run(self.wrap(self.library, what, sample), sample, random)


def compiled(library: Any, function: Callable, sample: Sample) -> Callable:
    return library.compile(function)


def traced(library: Any, function: Callable, sample: Sample) -> Callable:
    """The function's graph, run; the function itself where it cannot be traced: it branches on values, or the like."""
    import importlib

    fx = importlib.import_module(f"{library.__name__}.fx")
    try:
        return fx.symbolic_trace(function) if not sample.kwargs else function
    except (fx.proxy.TraceError, TypeError, RuntimeError, AssertionError):  # the code needs a value, or is no function
        return function


def device(candidate: Any) -> Library | None:
    """The candidate's library on its GPU, or Triton's interpreter (FLOWTORCH_CUDA=interpret); None without either."""
    library = getattr(candidate, "library", None)
    if library is None or not library.cuda.is_available():
        return None
    return OnDevice(library, f"{candidate.name}-cuda", "cuda")


def written_back(function: Callable) -> Callable:
    """The snippet whose first result overwrites its first argument, which must have room for it."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(x, *args, **kwargs)
        return x.copy_(result[0] if isinstance(result, (tuple, list)) else result)

    return call


def takes_out(function: Any) -> bool:
    try:
        return "out" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def outs(sample: Sample, expected: Outcome) -> list[Sample]:
    """The call with ``out=``: empty, of the right shape, and transposed."""
    if expected.error is not None or len(expected.results) != 1 or not isinstance(expected.results[0], Result):
        return []
    r = expected.results[0]
    turned = "transposed" if len(r.shape) > 1 else "contiguous"
    right = Array(np.zeros(r.shape), r.dtype)
    made = [Array(np.zeros(0), r.dtype), right, right.with_(layout=turned)]
    return [Sample(sample.args, {**sample.kwargs, "out": out}) for out in made]
