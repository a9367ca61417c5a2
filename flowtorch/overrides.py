"""Who else wants to see an op: __torch_function__ of subclasses, function modes, and other interposed listeners.

``active`` is empty in the common case. The fast path tests only that; anything in it (on whichever thread) sends
every call through ``interpret``, which then asks the thread's own stacks.
"""
from __future__ import annotations

import os
import threading
from typing import Any

active: list[Any] = []
if os.environ.get("FLOWTORCH_FAST_PATH", "1") == "0":
    active.append("FLOWTORCH_FAST_PATH=0")


class _ThreadState(threading.local):
    def __init__(self) -> None:
        self.subclasses_disabled = False      # inside DisableTorchFunctionSubclass
        self.modes: list[Any] = []            # TorchFunctionMode stack, innermost last
        self.autocast: Any = None             # amp's (op's name, arguments) -> arguments, while it is on
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


class TorchFunctionMode:
    """Context that sees every public call: override ``__torch_function__(self, func, types, args, kwargs)``."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> TorchFunctionMode:
        state.modes = [*state.modes, self]
        active.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        state.modes = state.modes[:-1]
        active.remove(self)


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


_exact_tensor_types: set[type] = set()


def is_exact_tensor(a: Any) -> bool:
    return type(a) in _exact_tensor_types


def handle_torch_function(func: Any, relevant: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the ``__torch_function__`` implementations in PyTorch's order: modes first, then subclasses before bases."""
    types: list[type] = []
    overloaded: list[Any] = []
    for a in relevant:
        cls = type(a)
        impl = getattr(cls, "__torch_function__", None)
        if impl is None or impl is _disabled_torch_function_impl or cls in types or is_exact_tensor(a):
            continue
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
    name = getattr(func, "__name__", str(func))
    raise TypeError(f"Multiple dispatch failed for 'torch.{name}'; all __torch_function__ handlers returned "
                    f"NotImplemented: {', '.join(t.__name__ for t in types)}")
