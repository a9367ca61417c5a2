"""Sparse tensors on a device: which entries a result has is worked out in host memory, and the result moved back.

How many entries there are follows from the contents of indices, so that the host has to wait for them in any case.
Conversions record history, so gradients go the same way back.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from flowtorch import devices
from flowtorch.ops.families import common_device
from flowtorch.tensor import Tensor


def by_host(f: Callable) -> Callable:
    """Decorator: ``f`` gets its tensors in host memory, and what it returns goes to the device they came from."""
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(map(_away, args)) and not (kwargs and any(map(_away, kwargs.values()))):
            return f(*args, **kwargs)
        return run(f, args, kwargs)
    return call


def run(f: Callable, args: Any, kwargs: dict, name: str = "") -> Any:
    """``f`` of the arguments in host memory, its tensors on their device; a tensor that is returned stays itself."""
    tensors = list(_tensors((*args, *kwargs.values())))
    device = common_device(name or f.__name__, tensors)
    hosted = {id(t): t if t.device.type == "cpu" else t.cpu() for t in tensors}   # type: ignore[attr-defined]
    result = f(*[_mapped(x, hosted) for x in args], **{key: _mapped(x, hosted) for key, x in kwargs.items()})
    back = {id(hosted[id(t)]): t for t in tensors}
    return _returned(result, back, device)


def placed(make: Callable) -> Callable:
    """Decorator of a constructor: its parts are put together in host memory, wherever they and the result lie."""
    @functools.wraps(make)
    def call(*args: Any, device: Any = None, requires_grad: bool = False, **kwargs: Any) -> Any:
        target = None if device is None else devices.resolve(device)
        parts = list(_tensors((*args, *kwargs.values())))
        if target is None:
            target = next((t.device for t in reversed(parts) if t.is_floating_point() or t.is_complex()),
                          parts[-1].device if parts else None)
        if target is None or (all(t.device.type == "cpu" for t in parts) and target.type != "cuda"):
            return make(*args, device=device, requires_grad=requires_grad, **kwargs)
        hosted = {id(t): t.cpu() for t in parts}
        args = tuple([_mapped(x, hosted) for x in args])
        result = make(*args, **{key: _mapped(x, hosted) for key, x in kwargs.items()}).to(target)
        if requires_grad and not result.requires_grad:
            result.requires_grad = True
        return result
    return call


def _away(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x._type.device.type == "cuda"
    return isinstance(x, (list, tuple)) and any(isinstance(t, Tensor) and t._type.device.type == "cuda" for t in x)


def _tensors(values: Any) -> Iterator[Tensor]:
    for x in values:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from (t for t in x if isinstance(t, Tensor))


def _mapped(x: Any, hosted: dict[int, Tensor]) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)([hosted.get(id(t), t) for t in x]) if any(id(t) in hosted for t in x) else x
    return hosted.get(id(x), x)


def _returned(result: Any, back: dict[int, Tensor], device: Any) -> Any:
    if isinstance(result, Tensor):
        given = back.get(id(result))
        return result.to(device) if given is None else given             # type: ignore[attr-defined]
    if isinstance(result, (tuple, list)):
        return type(result)([_returned(t, back, device) for t in result])
    return result
