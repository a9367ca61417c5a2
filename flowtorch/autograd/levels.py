"""Levels of function transforms, and the tensors that carry one: duals, tracked tensors, batched tensors.

A transform opens a level, wraps its function's arguments in tensors of that level and runs the function. An op hands
itself to the argument with the highest level, whose class does its part and runs the op again one level down. When the
level is closed its wrappers act as what they wrap.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.overrides import _disabled_torch_function_impl
from flowtorch.tensor import Tensor, shared_counter

_new = object.__new__
_set_class: Any = object.__dict__["__class__"].__set__                   # type: ignore[attr-defined]


class _Levels(threading.local):
    """The levels of the running thread."""

    def __init__(self) -> None:
        self.last = 0
        self.open: dict[int, Level] = {}              # in the order of their opening


levels = _Levels()


class Level:
    """One open level: its number, how deep it lies, and the grad mode around it."""

    def __init__(self) -> None:
        levels.last += 1
        self.number = levels.last
        self.depth = len(levels.open) + 1
        self.grad_outside = grad_mode.enabled
        self.taken: list[Wrapped] = []                # tensors of the caller that became wrappers, see ``become``

    def stop(self) -> None:
        """From now on tensors of this level act as what they wrap."""
        levels.open.pop(self.number, None)

    def close(self) -> None:
        self.stop()
        for t in reversed(self.taken):
            _restore(t)


@contextmanager
def new_level() -> Iterator[Level]:
    """Open a level for the block."""
    level = Level()
    levels.open[level.number] = level
    try:
        yield level
    finally:
        level.close()


class Wrapped(Tensor):
    """A tensor around another one, which it stands for at its level.

    ``value`` is the tensor one level down; ``_array`` has the shape, strides and dtype that this tensor shows.
    """

    __slots__ = ()

    level: int
    depth: int
    value: Tensor
    __torch_function__ = staticmethod(_disabled_torch_function_impl)     # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Tensor

    @property
    def data(self) -> Any:
        return self.detach()                                            # type: ignore[attr-defined]

    @data.setter
    def data(self, new: Tensor) -> None:
        raise RuntimeError("x.data = y is not supported inside a function transform; use torch.no_grad() and "
                           "x.copy_(y)")

    def resize_(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("resize_ is not supported inside a function transform")

    def set_(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("set_ is not supported inside a function transform")

    def item(self) -> Any:
        return self.value.item()

    def tolist(self) -> Any:
        return self.value.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        return self.value.numpy(force=force)

    def _scalar(self, kind: str) -> Any:
        return self.value._scalar(kind)

    def __index__(self) -> int:
        return self.value.__index__()




def unwrapped(t: Tensor) -> Tensor:
    """What a transform's tensor wraps, all the way down: all examples of a batch, for checks on values."""
    while not t._type.plain and "value" in t.__dict__:
        t = t.__dict__["value"]
    return t


def make_wrapper(cls: type, value: Tensor, level: Level | int, array: Any, depth: int = 0) -> Any:
    """A new wrapper of ``cls`` around ``value``, with no history of its own."""
    t = _new(cls)  # type: ignore[var-annotated]
    _fill(t, value, array)
    t.__dict__["value"] = value
    t.__dict__["level"] = level.number if isinstance(level, Level) else level
    t.__dict__["depth"] = level.depth if isinstance(level, Level) else depth
    return t


def _fill(t: Any, value: Tensor, array: Any) -> None:
    source = value._type
    t._array = array
    t._type = tensor_type(source.dtype, source.device, False, source.inference)
    t._counter = shared_counter(value)
    t._requires_grad, t._node, t._view, t._grad = False, None, None, None


def become(t: Tensor, cls: type, level: Level) -> None:
    """Turn ``t`` itself into a wrapper of what it was, because a tensor of this level is written into it.

    When the level closes ``t`` is restored, with what was written.
    """
    if t._view is not None and t._view[0] is not t:
        base = t._view[0]
        if not (type(base) is cls and base.level == level.number):  # type: ignore[attr-defined]
            become(base, cls, level)
    inner = _new(type(t))
    for name in ("_array", "_type", "_requires_grad", "_node", "_grad", "_view"):
        setattr(inner, name, getattr(t, name))
    inner._counter = shared_counter(t)
    inner.__dict__.update(t.__dict__)
    view = t._view
    if view is not None:                              # the same view, of the base as it was
        inner._view = (view[0].value, *view[1:3], None, *view[4:]) if view[3] is None else view
    t.__dict__.clear()
    _set_class(t, cls)
    _fill(t, inner, inner._array)
    t.__dict__.update(value=inner, level=level.number, depth=level.depth)
    t._view = view
    level.taken.append(t)                                               # type: ignore[arg-type]


def _restore(t: Any) -> None:
    inner = t.__dict__["value"]
    t.__dict__.clear()
    _set_class(t, type(inner))
    for name in ("_array", "_type", "_requires_grad", "_node", "_grad", "_view", "_counter"):
        setattr(t, name, getattr(inner, name))
    t.__dict__.update(inner.__dict__)
