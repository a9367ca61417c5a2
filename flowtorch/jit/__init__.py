"""``torch.jit`` as it is with the compiler switched off (PYTORCH_JIT=0): what is scripted or traced stays Python.

Functions and modules come back as they are, so results are those of eager execution. What needs a compiled program
(its graph, its archive) says so when it is used.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar

from flowtorch.futures import Future as Future
from flowtorch.jit import _checks
from flowtorch.jit import annotations as annotations  # type: ignore[assignment]
from flowtorch.nn.module import Module

__all__ = [
    "Attribute", "CompilationUnit", "Error", "Final", "Future", "RecursiveScriptModule", "ScriptFunction",
    "ScriptModule", "ScriptWarning", "TopLevelTracedModule", "TracedModule", "TracerWarning", "TracingCheckError",
    "annotate", "annotations", "enable_onednn_fusion", "export", "export_opnames", "fork", "freeze", "ignore",
    "interface", "is_scripting", "is_tracing", "isinstance", "load", "onednn_fusion_enabled", "optimize_for_inference",
    "optimized_execution", "run_frozen_optimizations", "save", "script", "script_if_tracing", "script_method",
    "set_fusion_strategy", "strict_fusion", "trace", "trace_module", "unused", "wait",
]  # fmt: skip

T = TypeVar("T")
_builtin_isinstance = isinstance


class Error(RuntimeError):
    """An error inside a compiled program."""


JITException = Error


class ScriptWarning(Warning):
    """What PyTorch warns of while it compiles."""


class TracerWarning(Warning):
    """What PyTorch warns of while it traces."""

    @staticmethod
    def ignore_lib_warnings() -> None:
        """There are no warnings to silence."""


class TracingCheckError(Exception):
    """A trace computes something else than the function traced."""


def _no_program(what: str) -> NoReturn:
    raise NotImplementedError(
        f"{what} needs a compiled TorchScript program, which flowtorch does not make: torch.jit.script and "
        "torch.jit.trace return the function or module itself. Save and load its state_dict instead."
    )


class ScriptFunction:
    """The type of compiled functions, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _no_program("torch.jit.ScriptFunction")


class ScriptModule(Module):
    """A module whose methods PyTorch would compile; here an ordinary module."""

    def save(self, f: Any, **kwargs: Any) -> None:
        """Write a TorchScript archive: not supported."""
        _no_program("ScriptModule.save")


class RecursiveScriptModule(ScriptModule):
    """The type of compiled modules, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _no_program("torch.jit.RecursiveScriptModule")


class TracedModule(ScriptModule):
    """The type of traced modules, of which there are none."""


class TopLevelTracedModule(TracedModule):
    """The type of traced modules, of which there are none."""


class _GraphPart:
    """A part of a compiled program's graph: a type to name in annotations, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _no_program(f"torch._C.{type(self).__name__}")


class Graph(_GraphPart):
    """The graph of a compiled program."""


class Node(_GraphPart):
    """An operator in the graph of a compiled program."""


class Value(_GraphPart):
    """An operand in the graph of a compiled program."""


class CompilationUnit:
    """Functions compiled from text: not supported."""

    def __init__(self, lang: str | None = None, _frames_up: int = 0) -> None:
        if lang is not None:
            _no_program("torch.jit.CompilationUnit")


class Attribute:
    """A value and the type that a compiler should take it for."""

    def __init__(self, value: Any, type: Any) -> None:
        self.value, self.type = value, type


def script(obj: T, optimize: None = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> T:
    """Return ``obj`` as it is."""
    return obj


def script_method(fn: T) -> T:
    """Return the method as it is."""
    return fn


def script_if_tracing(fn: T) -> T:
    """Return ``fn`` as it is: nothing is ever traced."""
    return fn


def trace(
    func: T, example_inputs: Any = None, optimize: None = None, check_trace: bool = True, check_inputs: Any = None,
    check_tolerance: float = 1e-5, strict: bool = True, _force_outplace: bool = False, _module_class: Any = None,
    _compilation_unit: Any = None, example_kwarg_inputs: Any = None, _store_inputs: bool = True,
) -> T:  # fmt: skip
    """Return ``func`` as it is."""
    return func


def trace_module(
    mod: T, inputs: Any, optimize: None = None, check_trace: bool = True, check_inputs: Any = None,
    check_tolerance: float = 1e-5, strict: bool = True, _force_outplace: bool = False, _module_class: Any = None,
    _compilation_unit: Any = None, example_inputs_is_kwarg: bool = False, _store_inputs: bool = True,
) -> T:  # fmt: skip
    """Return the module as it is."""
    return mod


def _get_trace_graph(*args: Any, **kwargs: Any) -> NoReturn:
    """The graph of a function's operators: not supported."""
    raise NotImplementedError(
        "torch.jit._get_trace_graph: flowtorch traces no programs. torch.utils.flop_counter.FlopCounterMode counts "
        "operations, and a torch.utils._python_dispatch.TorchDispatchMode sees every operator."
    )


def is_scripting() -> bool:
    """Whether this is a compiled program: never."""
    return False


def is_tracing() -> bool:
    """Whether a trace is being recorded: never."""
    return False


def unused(fn: T) -> T:
    """Return ``fn`` as it is."""
    return fn


def export(fn: T) -> T:
    """Return ``fn`` as it is."""
    return fn


def interface(obj: T) -> T:
    """Return the class as it is."""
    return obj


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Return the function as it is; also a decorator with arguments."""
    if callable(drop):
        return drop
    if not _builtin_isinstance(drop, bool):
        raise RuntimeError(f"Argument to @torch.jit.ignore must be a bool or a function but got {drop}")
    return lambda fn: fn


def annotate(the_type: Any, the_value: T) -> T:
    """Return the value: the type is for a compiler."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether ``obj`` is of a type, which may be one such as ``list[int]`` or a tuple of types."""
    return _checks.matches(obj, target_type)


def fork(func: Callable, *args: Any, **kwargs: Any) -> Future:
    """Call ``func`` at once and return its result as a future."""
    future: Future = Future()
    try:
        future.set_result(func(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future


def wait(future: Future) -> Any:
    """Return the result of a future made by ``fork``."""
    return future.wait()


def freeze(mod: Any, preserved_attrs: list[str] | None = None, optimize_numerics: bool = True) -> Any:
    """Return a module in evaluation mode as it is."""
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module "
            "before freezing."
        )
    return mod


def optimize_for_inference(mod: T, other_methods: list[str] | None = None) -> T:
    """Return the module as it is."""
    return mod


def run_frozen_optimizations(mod: Any, optimize_numerics: bool = True, preserved_methods: Any = None) -> None:
    """Change nothing."""


def export_opnames(m: Any) -> list[str]:
    """The operators of a compiled module: not supported."""
    _no_program("torch.jit.export_opnames")


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """Write a TorchScript archive: not supported."""
    _no_program("torch.jit.save")


def load(f: Any, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False) -> Any:
    """Run a TorchScript archive: not supported; ``serialization.script_state_dict`` reads its parameters."""
    raise NotImplementedError(
        "torch.jit.load: flowtorch does not run TorchScript programs. flowtorch.serialization.script_state_dict(file) "
        "gives the parameters and buffers of the archive as a state_dict, to be loaded into the module's Python class."
    )


def set_fusion_strategy(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Change nothing; return what PyTorch starts with."""
    return [("STATIC", 2), ("DYNAMIC", 10)]


def enable_onednn_fusion(enabled: bool) -> None:
    """Change nothing."""


def onednn_fusion_enabled() -> bool:
    """Whether fusion is on: no."""
    return False


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """A context that changes nothing."""
    yield


@contextlib.contextmanager
def strict_fusion() -> Iterator[None]:
    """A context that changes nothing."""
    yield


@contextlib.contextmanager
def fuser(name: str) -> Iterator[None]:
    """A context that changes nothing."""
    yield


_script_if_tracing = script_if_tracing


def _overload(fn: Callable) -> Callable:
    return fn


def _overload_method(fn: Callable) -> Callable:
    return fn


def _unwrap_optional(value: T | None) -> T:
    assert value is not None, "Unwrapping null optional"
    return value


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
