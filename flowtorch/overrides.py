"""Who else wants to see an op: __torch_function__ of subclasses, function modes, and other interposed listeners.

``active`` is empty in the common case. The fast path tests only that; anything in it (on whichever thread) sends
every call through ``interpret``, which then asks the thread's own stacks.
"""
from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

active: list[Any] = []
if os.environ.get("FLOWTORCH_FAST_PATH", "1") == "0":
    active.append("FLOWTORCH_FAST_PATH=0")

# Who takes calls that have stand-ins for values anywhere among their arguments (``fx``): ``(function, args, kwargs)``
# -> the result, or NotImplemented. Empty unless a program is being traced.
symbolic: list[Any] = []


class _ThreadState(threading.local):
    def __init__(self) -> None:
        self.subclasses_disabled = False      # inside DisableTorchFunctionSubclass
        self.modes: list[Any] = []            # TorchFunctionMode stack, innermost last
        self.autocast: Any = None             # amp's (op's name, arguments) -> arguments, while it is on
        self.outer: tuple = (False, [])       # the two above, as they were around a ``__torch_dispatch__``
        self.below: list[Any] = []            # who sees primitives below autograd, innermost last: ``see_below``


state = _ThreadState()


def _disabled_torch_function_impl(func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """``__torch_function__`` of classes that want none: run ``func`` as for plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


class DisableTorchFunctionSubclass:
    """Context in which ``__torch_function__`` of tensor subclasses is not called."""

    def __enter__(self) -> None:
        self._previous = state.subclasses_disabled
        state.subclasses_disabled = True

    def __exit__(self, *exc: object) -> None:
        state.subclasses_disabled = self._previous


class DisableTorchFunction:
    """Context in which neither ``__torch_function__`` nor function modes are called."""

    def __enter__(self) -> None:
        self._previous = state.subclasses_disabled, state.modes
        state.subclasses_disabled, state.modes = True, []

    def __exit__(self, *exc: object) -> None:
        state.subclasses_disabled, state.modes = self._previous


def _disabled_torch_dispatch_impl(*args: Any, **kwargs: Any) -> Any:
    """``__torch_dispatch__`` of classes that want none."""
    return NotImplemented


class TorchFunctionMode:
    """Context that sees every public call: override ``__torch_function__(self, func, types, args, kwargs)``."""

    def __init__(self) -> None:
        pass

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        from flowtorch import interception

        state.modes = [*state.modes, self]
        active.append(self)
        interception.hold()
        return self

    def __exit__(self, *exc: object) -> None:
        from flowtorch import interception

        state.modes = state.modes[:-1]
        active.remove(self)
        interception.drop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new instance, to be entered."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that passes every call on."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}))


# ---------------------------------------------------------------- classes

dispatch_classes: list[type] = []             # tensor subclasses with a ``__torch_dispatch__`` of their own


def note_class(cls: type, function: Any) -> bool:
    """Take note of a tensor subclass at its first instance; whether it has a ``__torch_dispatch__`` of its own."""
    dispatch = getattr(cls, "__torch_dispatch__", None)
    dispatched = dispatch is not None and dispatch is not _disabled_torch_dispatch_impl
    if dispatched:
        from flowtorch import interception
        from flowtorch.utils._python_dispatch import Saved

        dispatch_classes.append(cls)
        cls.__flowtorch_saved__ = lambda self: Saved(self)                              # type: ignore[attr-defined]
        interception.hold()
        if not any("__torch_function__" in c.__dict__ for c in cls.__mro__[:-1] if c not in _exact_tensor_types):
            cls.__torch_function__ = staticmethod(_disabled_torch_function_impl)          # type: ignore[attr-defined]
            return True
    inherited = any(getattr(t.__torch_function__, "__func__", None) is function for t in _exact_tensor_types)  # type: ignore[attr-defined]
    own = cls.__module__.startswith(("flowtorch.", "torch."))
    if function is not _disabled_torch_function_impl and not inherited and not own:
        from flowtorch import interception

        interception.hold()                   # for good: composites must ask whether the class wants the call
    return dispatched


def see_below(compute: Any, op: Any, values: list, inplace: bool) -> Any:
    """Hand a primitive to the innermost of those who see them; ``run(values)`` goes on to the next, then the kernel."""
    stack = state.below
    state.below = stack[:-1]
    try:
        return stack[-1].primitive(op, values, inplace, lambda v: compute(op, v, inplace))
    finally:
        state.below = stack


def has_torch_function(relevant: Any) -> bool:
    """Whether a call with these arguments must go through ``__torch_function__`` first."""
    if state.modes:
        return True
    if state.subclasses_disabled:
        return False
    for a in relevant:
        impl = getattr(type(a), "__torch_function__", None)
        if impl is not None and impl is not _disabled_torch_function_impl and not is_exact_tensor(a):
            return True
    return False


def other_library() -> type | None:
    """The tensor class of a PyTorch that is loaded beside this library, if one is; the two do not mix."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind if isinstance(kind, type) and not is_exact_type(kind) else None


def asked_by_stranger() -> bool:
    """Whether a default ``__torch_function__`` runs for somebody who does not know ``DisableTorchFunctionSubclass``."""
    return state.subclasses_disabled and other_library() is not None


def refuse_strangers(name: str, values: Any) -> None:
    """Refuse tensors of a PyTorch loaded beside this library: its defaults would hand every call back, forever."""
    kind = other_library()
    if kind is not None and any(isinstance(v, kind) for v in values):
        raise TypeError(f"{name}(): a tensor of the PyTorch that is loaded beside flowtorch was given together with, "
                        "or in place of, flowtorch's; exchange data with from_dlpack or numpy()")


_exact_tensor_types: set[type] = set()


def is_exact_type(kind: type) -> bool:
    """Whether this is the tensor class itself, or a class that behaves as it does."""
    return kind in _exact_tensor_types


def is_exact_tensor(a: Any) -> bool:
    return type(a) in _exact_tensor_types


_seen: set[type] = set()


def _note_tensor_like(cls: type) -> None:
    """Show composites too from now on to classes with ``__torch_function__`` that are no tensors."""
    _seen.add(cls)
    if not any(is_exact_type(base) for base in cls.__mro__) and not cls.__module__.startswith(("flowtorch.", "torch.")):
        from flowtorch import interception

        interception.hold()


def handle_torch_function(func: Any, relevant: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the ``__torch_function__`` implementations in PyTorch's order: modes first, then subclasses before bases."""
    types: list[type] = []
    overloaded: list[Any] = []
    name = getattr(func, "__name__", str(func))
    refuse_strangers(name, relevant)
    for a in relevant:
        cls = type(a)
        impl = getattr(cls, "__torch_function__", None)
        if impl is None or impl is _disabled_torch_function_impl or cls in types or is_exact_tensor(a):
            continue
        if cls not in _seen:
            _note_tensor_like(cls)
        index = next((i for i, t in enumerate(types) if issubclass(cls, t)), len(types))
        types.insert(index, cls)
        overloaded.insert(index, a)
    if state.modes:
        mode = state.modes[-1]
        previous = state.modes
        state.modes = previous[:-1]
        try:
            result = mode.__torch_function__(func, tuple(types), args, kwargs)
        finally:
            state.modes = previous
        if result is not NotImplemented:
            return result
    if not state.subclasses_disabled:
        for a in overloaded:
            result = a.__torch_function__(func, tuple(types), args, kwargs)
            if result is not NotImplemented:
                return result
    raise TypeError(f"Multiple dispatch failed for 'torch.{name}'; all __torch_function__ handlers returned "
                    f"NotImplemented: {', '.join(t.__name__ for t in types)}")


# ---------------------------------------------------------------- what else torch.overrides offers


def has_torch_function_unary(a: Any) -> bool:
    """``has_torch_function`` of one argument."""
    return has_torch_function((a,))


def has_torch_function_variadic(*relevant: Any) -> bool:
    """``has_torch_function`` of several arguments."""
    return has_torch_function(relevant)


def is_tensor_like(inp: Any) -> bool:
    """Whether ``inp`` is a tensor or its type has ``__torch_function__``."""
    return hasattr(type(inp), "__torch_function__")


def wrap_torch_function(dispatcher: Any) -> Any:
    """Decorator: let ``__torch_function__`` of the arguments that ``dispatcher`` picks take calls of the function."""
    def decorate(func: Any) -> Any:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)
        return wrapped
    return decorate


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Inside a ``__torch_dispatch__``: let function modes and ``__torch_function__`` see calls again."""
    previous = state.subclasses_disabled, state.modes
    state.subclasses_disabled, state.modes = state.outer
    try:
        yield
    finally:
        state.subclasses_disabled, state.modes = previous


def redispatch_function(func: Any, types: Any, args: tuple, kwargs: dict | None) -> Any:
    """Run ``func`` without asking ``__torch_function__`` for it, but for the functions that it calls."""
    from flowtorch import interception

    kwargs = kwargs or {}
    original = interception.original_of(func)
    if original is not None:
        return original(*args, **kwargs)
    with DisableTorchFunctionSubclass():
        return func(*args, **kwargs)


@contextlib.contextmanager
def _enable_torch_function() -> Iterator[None]:
    """Let ``__torch_function__`` of subclasses be called again."""
    previous, state.subclasses_disabled = state.subclasses_disabled, False
    try:
        yield
    finally:
        state.subclasses_disabled = previous


def _get_current_function_mode() -> Any:
    return state.modes[-1] if state.modes else None


def _get_current_function_mode_stack() -> list:
    return list(state.modes)


def _len_torch_function_stack() -> int:
    return len(state.modes)


def _is_torch_function_mode_enabled() -> bool:
    return bool(state.modes)


@contextlib.contextmanager
def _pop_mode_temporarily() -> Iterator[Any]:
    previous = state.modes
    state.modes = previous[:-1]
    try:
        yield previous[-1]
    finally:
        state.modes = previous


_TABLES = ("get_default_nowrap_functions", "get_ignored_functions", "get_overridable_functions",
           "get_testing_overrides", "is_tensor_method_or_property", "resolve_name")


def __getattr__(name: str) -> Any:
    if name in _TABLES:
        from flowtorch import overridable

        return getattr(overridable, name)
    raise AttributeError(f"module 'torch.overrides' has no attribute '{name}'")
