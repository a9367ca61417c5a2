"""Who computes: libraries with PyTorch's names, in this process or another, array modules, and single functions.

An implementation answers three questions: ``find(name)``, what runs under a public name (None if nothing does);
``run(what, sample, random)`` and ``gradients(what, sample, random, double)``, which give an ``Outcome``. ``make(name)``
makes one of the known ones; ``register(name, factory)`` adds another.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from .. import outcome
from ..outcome import Outcome
from ..samples import Sample
from ..samples import find as find_name

NO_TORCH = "torch is not installed here: pip install torch, or choose another reference (oracle, numpy)"
KNOWN: dict[str, Callable[[], Implementation]] = {}


class Implementation:
    """Something that computes samples. ``faithful``: its strides, aliases and errors are worth comparing."""

    faithful = True

    def __init__(self, name: str) -> None:
        self.name = name

    def find(self, name: str) -> Any:
        raise NotImplementedError

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        raise NotImplementedError

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        raise NotImplementedError

    def close(self) -> None:
        """Give back processes."""

    def __repr__(self) -> str:
        return f"<implementation {self.name}>"


class Library(Implementation):
    """A module with PyTorch's names, in this process; ``around`` is a context that every call runs in."""

    def __init__(self, library: Any, name: str = "", around: Callable = contextlib.nullcontext) -> None:
        super().__init__(name or library.__name__)
        self.library, self.around = library, around

    def find(self, name: str) -> Any:
        return find_name(self.library, name)

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        with self.around():
            return outcome.run(self.library, what, sample, random)

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        with self.around():
            return outcome.gradients(self.library, what, sample, random, double)


class OnDevice(Library):
    """A library whose tensors are put on another device before every call."""

    faithful = False

    def __init__(self, library: Any, name: str, device: str) -> None:
        super().__init__(library, name)
        self.device = device

    def _moved(self, sample: Sample) -> Sample:
        return sample.map_arrays(lambda a: a.with_(device=self.device))

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        return super().run(what, self._moved(sample), random)

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        return super().gradients(what, self._moved(sample), random, double)


class Arrays(Implementation):
    """A module of functions on arrays (numpy, jax.numpy): values only, under numpy's names."""

    faithful = False
    RENAMED = types.MappingProxyType(
        {
            "mul": "multiply",
            "div": "true_divide",
            "sub": "subtract",
            "neg": "negative",
            "pow": "power",
            **{n: "arc" + n[1:] for n in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2")},
            "eq": "equal",
            "ne": "not_equal",
            "lt": "less",
            "le": "less_equal",
            "gt": "greater",
            "ge": "greater_equal",
            "clamp": "clip",
            "bitwise_not": "invert",
            "rsub": "",
            "cat": "",
            "permute": "",
        }
    )
    # The same name with another meaning, or other arguments.
    OTHER = frozenset(("std", "var", "sort", "split", "unique", "squeeze", "transpose", "repeat", "take", "where",
                       "sum", "prod", "mean", "any", "all", "max", "min", "full", "gather", "dot", "cross", "cov",
                       "gradient", "quantile", "argsort", "amax", "amin"))  # fmt: skip

    def __init__(self, module: Any, name: str, names: frozenset | None = None) -> None:
        super().__init__(name)
        self.module, self.names = module, names

    def find(self, name: str) -> Any:
        if name in self.OTHER:
            return None
        return getattr(self.module, self.RENAMED.get(name, name), None) if "." not in name else None

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        import numpy as np

        from ..samples import Array, map_arguments
        from .oracle import quantised

        args, kwargs = map_arguments(
            lambda a: quantised(a) if isinstance(a, Array) else getattr(np, a.name), (list(sample.args), sample.kwargs)
        )
        if getattr(what, "__name__", "") in ("cumsum", "cumprod") and np.ndim(args[0]) == 0:
            return Outcome(NotImplementedError("these make a vector of a number"))
        try:
            got = outcome.quietly(what, *args, **kwargs)
        except Exception as error:
            return Outcome(error)
        flat = [got] if not isinstance(got, (tuple, list)) else [f"tuple of {len(got)}", *got]
        return Outcome(None, [outcome.Values(np.asarray(v)) if hasattr(v, "dtype") else v for v in flat], [])

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        return Outcome(NotImplementedError("an array module has no gradients"))


def remembered(value: Any, library: Any = None) -> Implementation:
    """``value`` as an implementation: one already, the name of a known one, or a module with PyTorch's names."""
    if isinstance(value, Implementation):
        return value
    return make(value) if isinstance(value, str) else Library(value)


def register(name: str) -> Callable:
    """Decorator: the function makes the implementation ``name``; it raises ImportError where it cannot."""

    def note(factory: Callable[[], Implementation]) -> Callable:
        KNOWN[name] = factory
        return factory

    return note


def make(name: str) -> Implementation:
    """The implementation of that name. ValueError if nobody knows it, ImportError where it cannot be had."""
    if name not in KNOWN:
        raise ValueError(f"unknown implementation {name!r}; known: {', '.join(KNOWN)}")
    return KNOWN[name]()


def _flowtorch() -> Any:
    import flowtorch
    import flowtorch.autograd
    import flowtorch.nn.functional

    return flowtorch


@register("flowtorch")
def _() -> Implementation:
    return Library(_flowtorch(), "flowtorch")


@contextlib.contextmanager
def _interpreted() -> Any:
    from flowtorch import overrides

    overrides.active.append("difftest")
    try:
        yield
    finally:
        overrides.active.remove("difftest")


@register("flowtorch-interpret")
def _() -> Implementation:
    return Library(_flowtorch(), "flowtorch-interpret", _interpreted)


def _process(name: str, library: str, **environment: str) -> Implementation:
    from .process import Process

    return Process(name, [sys.executable], library, environment)


@register("flowtorch-plain")
def _() -> Implementation:
    return _process("flowtorch-plain", "flowtorch", FLOWTORCH_FAST_PATH="0", FLOWTORCH_NATIVE="0")


@register("flowtorch-numpy")
def _() -> Implementation:
    return _process("flowtorch-numpy", "flowtorch", FLOWTORCH_NATIVE="0")


@register("flowtorch-native")
def _() -> Implementation:
    if importlib.util.find_spec("flowtorch.native") is None:
        raise ImportError("flowtorch has no native tier here")
    return _process("flowtorch-native", "flowtorch", FLOWTORCH_NATIVE="require")


@register("flowtorch-triton")
def _() -> Implementation:
    from .process import Process

    python = os.environ.get("FLOWTORCH_TRITON_PYTHON", sys.executable)
    if python == sys.executable and importlib.util.find_spec("triton") is None:
        raise ImportError("triton is not installed; FLOWTORCH_TRITON_PYTHON may name a Python that has it")
    environment = {"TRITON_INTERPRET": "1", "FLOWTORCH_CUDA": "interpret"}
    return Process("flowtorch-triton", [python], "flowtorch", environment, device="cuda")


@register("flowtorch-cuda")
def _() -> Implementation:
    library = _flowtorch()
    if not library.cuda.is_available():
        raise ImportError("flowtorch sees no GPU here")
    return OnDevice(library, "flowtorch-cuda", "cuda")


@register("torch")
def _() -> Implementation:
    if importlib.util.find_spec("torch") is None:
        raise ImportError(NO_TORCH)
    import torch

    if torch is sys.modules.get("flowtorch"):
        raise ImportError("the module torch here is flowtorch itself")
    return Library(torch, "torch")


@register("torch-process")
def _() -> Implementation:
    if importlib.util.find_spec("torch") is None:
        raise ImportError(NO_TORCH)
    return _process("torch-process", "torch")


@register("oracle")
def _() -> Implementation:
    from .oracle import Oracle

    return Oracle()


@register("numpy")
def _() -> Implementation:
    import numpy

    return Arrays(numpy, "numpy")


@register("jax")
def _() -> Implementation:
    if importlib.util.find_spec("jax") is None:
        raise ImportError("jax is not installed here: pip install jax")
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)  # else jax computes float64 in float32
    return Arrays(jax.numpy, "jax")


@register("onnxruntime")
def _() -> Implementation:
    for name in ("onnx", "onnxruntime"):  # the one makes the models, the other runs them
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"{name} is not installed here: pip install onnx onnxruntime")
    from .onnx_reference import OnnxRuntime

    return OnnxRuntime()
