"""Seeing every primitive below autograd: ``TorchDispatchMode`` and ``__torch_dispatch__`` of tensor subclasses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from flowtorch import ops_namespace, overrides
from flowtorch.autograd.mode import grad_mode, no_grad
from flowtorch.tensor import Tensor, shared_counter, view_of, wrap

__all__ = [
    "BaseTorchDispatchMode",
    "TorchDispatchMode",
    "is_in_torch_dispatch_mode",
    "is_traceable_wrapper_subclass",
    "is_traceable_wrapper_subclass_type",
    "return_and_correct_aliasing",
    "transform_subclass",
]


class TorchDispatchMode:
    """Context that sees every primitive below autograd.

    Override ``__torch_dispatch__(self, func, types, args, kwargs)``.
    ``func`` is the overload (it prints as ``aten.add.Tensor``); calling it computes the result, which the method
    returns, or something else in its place. Nothing is recorded inside, and the mode does not see its own calls.
    """

    is_infra_mode = False

    def __init__(self, _dispatch_key: Any = None) -> None:
        pass

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        from flowtorch import interception

        overrides.state.below = [*overrides.state.below, self]
        overrides.active.append(self)
        interception.hold()
        return self

    def __exit__(self, *exc: object) -> None:
        from flowtorch import interception

        overrides.state.below = overrides.state.below[:-1]
        overrides.active.remove(self)
        interception.drop()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """A new instance, to be entered."""
        return cls(*args, **kwargs)

    @classmethod
    def is_infra_mode_(cls) -> bool:
        return cls.is_infra_mode

    # ---- called by the core
    def primitive(self, op: Any, values: list, inplace: bool, run: Callable) -> Any:
        return handle(self.__torch_dispatch__, op, values, inplace)

    def maker(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        return handle_maker(self.__torch_dispatch__, (), name, args, kwargs)


class BaseTorchDispatchMode(TorchDispatchMode):
    """A mode that passes every call on."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside a handler nothing is recorded, and function modes and ``__torch_function__`` see nothing."""
    state = overrides.state
    previous, state.outer = state.outer, (state.subclasses_disabled, state.modes)
    try:
        with overrides.DisableTorchFunction(), no_grad():
            yield
    finally:
        state.outer = previous


def handle(method: Callable, op: Any, values: list, inplace: bool) -> Any:
    """Show a primitive to ``method(func, types, args, kwargs)`` and take its result for the op's."""
    from flowtorch.ops.dispatch import flat_inputs
    from flowtorch.overload_names import shown

    func, args, kwargs, function = shown(op, values, inplace)
    inputs = [t for t in flat_inputs(op, values) if isinstance(t, Tensor)]
    types = tuple(dict.fromkeys(type(t) for t in inputs if is_dispatched(type(t))))
    recording, target = grad_mode.enabled, values[0]
    before = target._array.copy() if inplace and not is_dispatched(type(target)) else None
    with _quiet(), ops_namespace.standing_for(func, function):
        result = method(func, types, args, kwargs)
    if result is NotImplemented:
        raise TypeError(
            f"Multiple dispatch failed for '{func}'; all __torch_dispatch__ handlers returned NotImplemented"
        )
    if inplace:
        return _written(target, result, before)
    if isinstance(result, Tensor):
        return _fresh(result, inputs, recording, None)
    if isinstance(result, (tuple, list)):
        several = [_fresh(t, inputs, recording, "multi_output") if isinstance(t, Tensor) else t for t in result]
        if isinstance(result, tuple) and hasattr(result, "_fields"):
            return type(result)(several)  # type: ignore[call-arg]
        return tuple(several)
    return result


def _written(target: Any, result: Any, before: Any) -> Any:
    """What an in-place op's handler left in ``target``, as a new tensor; the caller writes (and records) it itself."""
    if before is None:
        return result
    new = wrap((target if result is target or not isinstance(result, Tensor) else result)._array.copy(), target._type)
    np.copyto(target._array, before)
    return new


def _fresh(t: Any, inputs: list, recording: bool, origin: str | None) -> Any:
    """A handler's result without history of its own, and not an input itself."""
    if any(t is i for i in inputs) or t._node is not None or t._requires_grad:
        return _alias(t)
    if recording and t._view is not None and t._view[1] == "no_grad":
        view: Any = view_of(t)
        t._view = tuple(view._replace(origin=origin))
    return t


# ---------------------------------------------------------------- subclasses


def handle_maker(method: Callable, types: tuple, name: str, args: tuple, kwargs: dict) -> Any:
    """Show ``zeros``, ``detach`` and their like, which make tensors without a primitive."""
    from flowtorch.overload_names import _FIXED, overload

    with _quiet():
        return method(overload("aten", name, _FIXED.get(name, "default")), types, args, kwargs)


def _alias(t: Any) -> Any:
    """The same tensor, class and attributes included, without history."""
    alias = object.__new__(type(t))
    alias._array, alias._type, alias._counter = t._array, t._type, shared_counter(t)
    alias._requires_grad, alias._node, alias._view, alias._grad = False, None, None, None
    alias.__dict__.update(t.__dict__)
    return alias


class Saved:
    """A result kept by a node: as it is, without the history that would refer to the node and back."""

    __slots__ = ("tensor",)

    def __init__(self, t: Any) -> None:
        self.tensor = _alias(t)

    @property
    def shape(self) -> tuple:
        return self.tensor._array.shape

    def get(self) -> Any:
        return _alias(self.tensor)


def is_dispatched(cls: type) -> bool:
    """Whether a class has a ``__torch_dispatch__`` of its own."""
    return (
        cls is not Tensor
        and getattr(cls, "__torch_dispatch__", None) is not None
        and (getattr(cls, "__torch_dispatch__", None) is not overrides._disabled_torch_dispatch_impl)
    )


def handle_subclass(special: list, op: Any, values: list, inplace: bool) -> Any:
    """Show a primitive to the ``__torch_dispatch__`` of the most derived class among its tensors."""
    first = special[0]
    for t in special[1:]:
        if issubclass(type(t), type(first)) and type(t) is not type(first):
            first = t
    return handle(type(first).__torch_dispatch__, op, values, inplace)


def make_wrapper_subclass(
    cls: type,
    size: Any,
    strides: Any = None,
    storage_offset: int = 0,
    memory_format: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    **_: Any,
) -> Any:
    """A tensor of class ``cls`` that shows a size, strides and dtype but has no memory of its own."""
    from flowtorch import devices, dtypes
    from flowtorch.array.tensortype import tensor_type
    from flowtorch.func.batched import Shell

    d = dtypes.get_default_dtype() if dtype is None else dtype
    size = tuple(int(n) for n in size)
    one = np.zeros(1, d.numpy)
    if strides is None:
        steps, step = [], 1
        for n in reversed(size):
            steps.append(step)
            step *= max(n, 1)
        strides = steps[::-1]
    shown = np.lib.stride_tricks.as_strided(one, size, [s * one.itemsize for s in strides]).view(Shell)
    t: Any = object.__new__(cls)
    t._array = shown
    t._type = tensor_type(d, devices.cpu if device is None else devices.device(device), False)
    t._counter, t._requires_grad, t._node, t._view, t._grad = 0, bool(requires_grad), None, None, None
    return t


# ---------------------------------------------------------------- the helpers that PyTorch's users import


def is_in_torch_dispatch_mode(include_infra_modes: bool = True) -> bool:
    """Whether the running thread is inside a dispatch mode."""
    return any(isinstance(m, TorchDispatchMode) for m in overrides.state.below)


def _get_current_dispatch_mode() -> Any:
    modes = _get_current_dispatch_mode_stack()
    return modes[-1] if modes else None


def _get_current_dispatch_mode_stack() -> list:
    return [m for m in overrides.state.below if isinstance(m, TorchDispatchMode)]


@contextlib.contextmanager
def _disable_current_modes() -> Iterator[list]:
    """The block is seen by no dispatch mode."""
    previous = overrides.state.below
    overrides.state.below = []
    try:
        yield previous
    finally:
        overrides.state.below = previous


@contextlib.contextmanager
def _pop_mode_temporarily(k: Any = None) -> Iterator[Any]:
    """The block is not seen by the innermost dispatch mode."""
    previous = overrides.state.below
    overrides.state.below = previous[:-1]
    try:
        yield previous[-1]
    finally:
        overrides.state.below = previous


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """Whether a tensor's class says what tensors it wraps (``__tensor_flatten__``, ``__tensor_unflatten__``)."""
    return isinstance(t, Tensor) and is_traceable_wrapper_subclass_type(type(t))


def is_traceable_wrapper_subclass_type(t: type) -> bool:
    """``is_traceable_wrapper_subclass`` for a class."""
    return (
        issubclass(t, Tensor)
        and t is not Tensor
        and hasattr(t, "__tensor_flatten__")
        and hasattr(t, "__tensor_unflatten__")
    )


def transform_subclass(t: Any, callback: Callable, outer_size: Any = None, outer_stride: Any = None) -> Any:
    """A wrapper like ``t`` around ``callback(name, inner)`` for each tensor that it wraps."""
    names, context = t.__tensor_flatten__()
    inner = {name: callback(name, getattr(t, name)) for name in names}
    return type(t).__tensor_unflatten__(inner, context, outer_size or t.size(), outer_stride or t.stride())


def return_and_correct_aliasing(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """What a wrapper's ``__torch_dispatch__`` returns: ``out``, or for an in-place op the tensor written into."""
    name = getattr(func, "_opname", "")
    return args[0] if name.endswith("_") and not name.startswith("_") else out
