"""Calls of the library's functions on proxies: seen wherever the proxy stands, and noted as PyTorch notes them.

The call path asks ``overrides.symbolic`` only where it has left every short cut, and only while something is in it,
so nobody pays who does not trace.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import functools
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import flowtorch as torch
from flowtorch import interception, overrides
from flowtorch.ops.op import REGISTRY

from ._names import _functions, torch_name

_for_good = False


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Inside, calls of functions with proxies among their arguments reach the proxies."""
    _watch()
    try:
        yield
    finally:
        overrides.symbolic.remove(_take)
        interception.drop()
        if not overrides.symbolic:
            for function, (original, ours) in _exchanges().items():
                if function.__code__ is ours:
                    function.__code__ = original.__code__


def _watch() -> None:
    interception.hold()
    overrides.symbolic.append(_take)
    for function, (original, ours) in _exchanges().items():
        if function.__code__ is not ours:
            # The code of many ops is compiled on their first call, so it may be another than last time.
            original.__code__, original.__defaults__ = function.__code__, function.__defaults__
            original.__kwdefaults__ = function.__kwdefaults__
            function.__code__ = ours


def watch_for_good() -> None:
    """As ``watching``, from now on: there are proxies that belong to no trace."""
    global _for_good
    if not _for_good:
        _for_good = True
        _watch()


@functools.cache
def _exchanges() -> dict[FunctionType, tuple[FunctionType, CodeType]]:
    """Function -> what it does, and code that shows the call to proxies before, for the Python functions of all ops.

    They get calls as they were made, while further on all parameters are filled in.
    """
    table = {}
    for op in REGISTRY.values():
        function = getattr(op.public, "__wrapped__", op.public)
        if isinstance(function, FunctionType):
            own = function.__code__
            if "__signature__" not in function.__dict__:  # what the code tells is not the op's while it is exchanged
                function.__signature__ = inspect.signature(op.public)  # type: ignore[attr-defined]
            original = FunctionType(own, function.__globals__, op.name, function.__defaults__, function.__closure__)
            table[function] = original, interception._code(_shown(op.public, original), own)
    return table


def _shown(public: Any, original: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        taken = _take(public, args, kwargs)
        return original(*args, **kwargs) if taken is NotImplemented else taken

    return call


def _take(function: Any, args: tuple, kwargs: dict) -> Any:
    """Let a proxy among the arguments take the call; NotImplemented where there is none."""
    if overrides.state.modes or overrides.state.subclasses_disabled:
        return NotImplemented
    proxy = find_proxy((args, kwargs))
    if proxy is None:
        return NotImplemented
    return type(proxy).__torch_function__(function, (type(proxy),), args, kwargs)


def find_proxy(a: Any) -> Any:
    """The first proxy in nested tuples, lists, dicts and slices; None where there is none."""
    from .proxy import Proxy

    if isinstance(a, Proxy):
        return a
    if isinstance(a, slice):
        a = (a.start, a.stop, a.step)
    elif isinstance(a, dict):
        a = a.values()
    elif not isinstance(a, (tuple, list)):
        return None
    return next((found for x in a if (found := find_proxy(x)) is not None), None)


def called(function: Any, args: tuple, kwargs: dict) -> tuple[str, Any, tuple, dict]:
    """(op, target, args, kwargs) of the node for a call of ``function``."""
    if getattr(function, "__name__", None) == "__get__":
        return "call_method", "__get__", args, kwargs
    method = _method_name(function)
    if method is not None and (function not in _functions() or (args and _is_method_call(function, args[0]))):
        return "call_method", method, args, kwargs
    name = torch_name(function) or ""
    if name.startswith(("torch.nn.functional.", "torch.functional.")):
        args, kwargs = _spelled_out(function, args, kwargs)
    return "call_function", function, args, kwargs


@functools.cache
def _methods() -> dict[Any, str]:
    found: dict[Any, str] = {}
    for name in dir(torch.Tensor):
        value = inspect.getattr_static(torch.Tensor, name)
        if inspect.isfunction(value) or type(value).__name__ == "function":
            if value not in found or value.__name__ == name:
                found[value] = name
    return found


def _method_name(function: Any) -> str | None:
    try:
        found = _methods().get(function)
    except TypeError:
        return None
    if found is None and hasattr(function, "op"):  # the method may be another callable of the same op
        name: str = function.__name__
        held = inspect.getattr_static(torch.Tensor, name, None)
        found = name if getattr(held, "op", None) is getattr(function, "op", held) else None
    return found


def _spelled_out(function: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The call with every parameter, by keyword where it has a default: so PyTorch's Python functions pass it on."""
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    bound.apply_defaults()
    spelled_args: list = []
    spelled: dict = {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            spelled_args.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            spelled.update(value)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            spelled_args.append(value)
        else:
            spelled[name] = value
    return tuple(spelled_args), spelled


# ---------------------------------------------------------------- function or method?


def _is_method_call(function: Any, first: Any) -> bool:
    """Whether ``first.name(...)`` or an operator is being run, rather than ``torch.name(first, ...)``.

    Both are one function here; the caller's instruction tells them apart.
    """
    if not isinstance(first, torch.Tensor):
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_library(frame):
        frame = frame.f_back
    if frame is None:
        return False
    # A frame that waits for a call may stand behind the instruction, on one of its caches.
    passed = [i for i in dis.get_instructions(frame.f_code) if i.offset <= frame.f_lasti]
    found = passed[-1] if passed else None
    if found is None or not found.opname.startswith("CALL"):
        return found is not None
    called_as = _callee(frame, found)
    if not isinstance(called_as, ast.Attribute):
        return False
    root: ast.expr = called_as.value
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return True
    value = frame.f_locals.get(root.id, frame.f_globals.get(root.id))
    return not isinstance(value, ModuleType)


def _is_library(frame: FrameType) -> bool:
    made = frame.f_code.co_filename.startswith("<op ")  # compiled from a template
    return made or frame.f_globals.get("__name__", "").partition(".")[0] == "flowtorch"


def _callee(frame: FrameType, instruction: dis.Instruction) -> ast.expr | None:
    """What the call at an instruction calls, from its source; None where that is not known."""
    at = getattr(instruction, "positions", None)
    if at is None or at.lineno is None or at.end_lineno is None or at.col_offset is None:
        return None
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)[at.lineno - 1 : at.end_lineno]
    if not lines:
        return None
    raw = [line.encode() for line in lines]
    raw[-1] = raw[-1][: at.end_col_offset]
    raw[0] = raw[0][at.col_offset :]
    try:
        tree = ast.parse(b"(" + b"".join(raw) + b")", mode="eval").body
    except SyntaxError:
        return None
    return tree.func if isinstance(tree, ast.Call) else None
